/* SPDX-License-Identifier: Apache-2.0 */
/* Which links a node opens, keeps and gives up: those that the rings want, spare ones, and
 * dials of the dead, of seeds, and for want of any link. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "mesh/core.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

/* `nodes` are known, and all who are dialled within two seconds take the link. */
static void
town_start(struct rig *r, int nodes)
{
	rig_init(r, home, 1);
	r->forgets = true;
	for (int i = 0; i < nodes; i++) {
		struct id id = rig_id(i);

		rig_learn(r, &id, MESH_INBOUND_YES, 1);
	}
	rig_pass(r, MESH_LOST_MS - 1);
	for (int i = 0; i < r->dials; i++)
		rig_answer(r, i);
	rig_pass(r, 2 * MS_SECOND);
	rig_forget(r);
}

static struct mesh_node *
node_of(const struct rig *r, int i)
{
	struct id id = rig_id(i);
	struct mesh_node *n = mesh_node_find(r->mesh, &id);

	CU_ASSERT_FATAL(n != NULL);
	return n;
}

static bool
is_wanted(const struct rig *r, int i)
{
	return mesh_is_wanted(r->mesh, node_of(r, i));
}

/* The first from `from` on that is, or is not, wanted. */
static int
find(const struct rig *r, int from, bool wanted)
{
	while (is_wanted(r, from) != wanted)
		from++;
	return from;
}

static bool
is_spare(const struct rig *r, uint64_t link)
{
	return mesh_link_is_spare(r->mesh, mesh_link_find(r->mesh, link));
}

/* As one who is linked to us says, with proofs. */
static void
die(struct rig *r, const struct mesh_node *n, enum mesh_state state)
{
	struct buf b = BUF_INIT;
	struct id voters[4];

	for (int i = 0, k = 0; k < 3; i++) {
		voters[k] = rig_id(i);
		k += !id_equal(&voters[k], &n->id);
	}
	if (state == MESH_NODE_LEFT)
		rig_put_alive(&b, &n->id, 5, WIRE_STANDING_LEFT);
	else
		rig_put_verdict(&b, &n->id, 5, voters, 3);
	rig_hear_link(r, r->live[0], &b);
	rig_pass(r, 1);
	CU_ASSERT(n->state == state);
}

/* ---- wanted ---- */

static void
test_wanted(void)
{
	struct mesh_stats stats;
	struct rig r;
	int wanted = 0;
	uint64_t version;

	town_start(&r, 100);
	for (int i = 0; i < 100; i++) {
		wanted += is_wanted(&r, i);
		CU_ASSERT(is_wanted(&r, i) == (node_of(&r, i)->link != 0));
		/* Nobody else is anything but alive, as far as we know. */
		CU_ASSERT(node_of(&r, i)->state == MESH_NODE_ALIVE);
	}
	mesh_stats(r.mesh, &stats);
	CU_ASSERT(wanted >= 6 && wanted <= 8 && stats.links_up == wanted);
	/* Time alone changes nothing. */
	version = r.mesh->overlay_version;
	rig_pass(&r, 10 * MS_MINUTE);
	CU_ASSERT(r.dials == 0 && r.closed == 0 && r.idles == 0 &&
		  r.mesh->overlay_version == version);
	/* One of them is banned: another one takes its place. */
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					  .node = node_of(&r, find(&r, 0, true))->id,
					  .is_gone = true });
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT(r.dials >= 1 && r.dials <= 2 && r.mesh->overlay_version > version);
	rig_fini(&r);
}

/* With up to seven nodes all are linked, whoever dials. */
static void
test_few(void)
{
	struct rig r;

	town_start(&r, 6);
	for (int i = 0; i < 6; i++)
		CU_ASSERT(is_wanted(&r, i) && node_of(&r, i)->link != 0);
	rig_fini(&r);
}

/* Of a leaf: by those who are its homes, as it names them or not. */
static void
test_leaves_are_wanted_by_homes(void)
{
	struct id self, homes[MESH_HOMES_MAX];
	int ours = 0;
	struct rig r;

	town_start(&r, 100);
	self = r.mesh->self.id;
	for (int i = 1000; i < 1200; i++) {
		struct id id = rig_id(i);
		bool is_ours = false;
		int len;

		rig_learn(&r, &id, MESH_INBOUND_NO, 1);
		len = mesh_homes(r.mesh, &id, homes);
		for (int k = 0; k < len; k++)
			is_ours |= id_equal(&homes[k], &self);
		CU_ASSERT(is_wanted(&r, i) == is_ours);
		ours += is_ours;
	}
	/* 200 leaves with 6 homes each among 101. */
	CU_ASSERT(ours >= 2 && ours <= 40);
	CU_ASSERT(!is_wanted(&r, find(&r, 1000, false)));
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					  .node = rig_id(find(&r, 1000, false)),
					  .inbound = MESH_INBOUND_NO,
					  .homes = &self,
					  .homes_len = 1 });
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT(r.dials == 0); /* they dial us */
	rig_fini(&r);
}

/* ---- spare ---- */

static void
test_spare_links_end(void)
{
	struct buf b = BUF_INIT;
	uint64_t spare, wanted;
	struct rig r;
	struct id id;

	town_start(&r, 100);
	id = rig_id(find(&r, 0, false));
	wanted = node_of(&r, find(&r, 0, true))->link;
	CU_ASSERT(!r.is_spare); /* of those that came up so far */
	spare = rig_open(&r, &id);
	CU_ASSERT(r.is_spare);
	r.is_spare = false;
	CU_ASSERT(is_spare(&r, spare) && !is_spare(&r, wanted));
	rig_pass(&r, MESH_IDLE_MS - MS_SECOND);
	CU_ASSERT(r.idles == 0);
	/* A word of a query: again a whole minute. */
	wire_put_query_word(&b, WIRE_QUERY_CANCEL, 7);
	rig_hear_link(&r, spare, &b);
	rig_pass(&r, MESH_IDLE_MS - MS_SECOND);
	CU_ASSERT(r.idles == 0);
	rig_pass(&r, 3 * MS_SECOND);
	CU_ASSERT(r.idles == 1 && r.idle == spare);
	/* The driver still has a query there, and is asked again later. */
	rig_pass(&r, MESH_IDLE_MS + MS_SECOND);
	CU_ASSERT(r.idles == 2 && mesh_link_of(r.mesh, &id) == spare);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_IDLE, .link = spare });
	CU_ASSERT(mesh_link_of(r.mesh, &id) == 0 && r.is_spare);
	CU_ASSERT(mesh_node_state(r.mesh, &id) == MESH_NODE_ALIVE);
	rig_pass(&r, 10 * MS_MINUTE);
	CU_ASSERT(r.idles == 2 && r.dials == 0);
	rig_fini(&r);
}

/* One by which a query is passed on is in use, however quiet it is. */
static void
test_relays_keep_a_link(void)
{
	struct query_head head = { .request_id = (char[]){ "r" },
				   .service = (char[]){ "wc" },
				   .method = (char[]){ "POST" },
				   .path = (char[]){ "/" },
				   .hops = 1,
				   .body_len = 0,
				   .timeout_ms = MS_HOUR };
	struct id asker, leaf;
	struct buf b = BUF_INIT;
	struct rig r;
	uint64_t link;

	town_start(&r, 100);
	asker = rig_id(find(&r, 0, false));
	leaf = rig_id(1000);
	rig_learn(&r, &leaf, MESH_INBOUND_NO, 1);
	link = rig_open(&r, &asker);
	rig_open(&r, &leaf);
	wire_put_query_relay(&b, 7, &leaf, &head);
	rig_hear_link(&r, link, &b);
	CU_ASSERT(mesh_relays(r.mesh) == 1);
	rig_pass(&r, 5 * MS_MINUTE);
	CU_ASSERT(r.idles == 0);
	wire_put_query_word(&b, WIRE_QUERY_CANCEL, 7);
	rig_hear_link(&r, link, &b);
	rig_pass(&r, MESH_IDLE_MS + 2 * MS_SECOND);
	CU_ASSERT(r.idles == 1 + !is_wanted(&r, 1000));
	rig_fini(&r);
}

/* A node that comes between us and a neighbour: the old link counts until the new one is up or
 * cannot be. */
static void
test_make_before_break(void)
{
	struct rig r;

	for (int is_refused = 0; is_refused < 2; is_refused++) {
		uint64_t links[RIG_LIVE], old = 0;
		int live, from = 200, dials;

		town_start(&r, 100);
		live = r.live_len;
		memcpy(links, r.live, sizeof(links));
		/* Until one does. */
		while (old == 0 && from < 600) {
			struct id id = rig_id(from++);

			rig_learn(&r, &id, MESH_INBOUND_YES, 1);
			if (!is_wanted(&r, from - 1))
				continue;
			rig_pass(&r, MS_SECOND); /* it is found to be there */
			for (int i = 0; i < live; i++)
				if (!mesh_is_wanted(
					    r.mesh,
					    mesh_link_find(r.mesh, links[i])->node))
					old = links[i];
		}
		CU_ASSERT_FATAL(old != 0);
		rig_pass(&r, MESH_DIAL_YIELD_MS + 500);
		dials = r.dials;
		CU_ASSERT(dials >= 1 && !is_spare(&r, old));
		for (int i = 0; i < dials; i++)
			is_refused ? rig_refuse(&r, i) : rig_answer(&r, i);
		rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
		CU_ASSERT(is_spare(&r, old) && r.idles == 0);
		rig_pass(&r, MESH_IDLE_MS + MS_SECOND);
		/* One that cannot be linked is dead soon, and the old one wanted again. */
		CU_ASSERT(is_refused ? !is_spare(&r, old) : r.idles >= 1);
		rig_fini(&r);
	}
}

/* ---- the dead ---- */

/* So many of the town die for us, long ago; who is dialled in an hour? */
static int
dials_of_the_dead(int nodes, int dead, int left)
{
	struct rig r;
	int dials = 0;

	town_start(&r, nodes);
	rig_pass(&r, MESH_MISSED_MS);
	for (int i = 0; dead + left > 0; i++) {
		struct mesh_node *n = node_of(&r, i);

		if (n->link != 0)
			continue;
		die(&r, n, dead > 0 ? MESH_NODE_DEAD : MESH_NODE_LEFT);
		dead > 0 ? dead-- : left--;
	}
	rig_forget(&r);
	for (int i = 0; i < 3600; i++) {
		rig_pass(&r, MS_SECOND);
		for (int k = 0; k < r.dials && k < RIG_DIALS; k++) {
			struct mesh_node *n = mesh_node_find(r.mesh, &r.dialled[k].node);

			/* Others are neighbours now. */
			n->state == MESH_NODE_ALIVE ? rig_answer(&r, k)
						    : rig_refuse(&r, k);
		}
	}
	for (int k = 0; k < r.dials && k < RIG_DIALS; k++)
		dials += mesh_node_find(r.mesh, &r.dialled[k].node)->state !=
			 MESH_NODE_ALIVE;
	rig_fini(&r);
	return dials;
}

static void
test_dead_are_dialled(void)
{
	int few = dials_of_the_dead(100, 10, 10), none, most;

	/* With a chance of 10 to 81 each 30 s: 15 in an hour. */
	CU_ASSERT(few >= 5 && few <= 30);
	/* With as many as there are others: each time. */
	most = dials_of_the_dead(100, 60, 0);
	CU_ASSERT(most >= 90 && most <= 172);
	none = dials_of_the_dead(100, 0, 20);
	CU_ASSERT(none == 0);
	tap_note("%d dials an hour with 10 of 91 dead, %d with 60 of 100", few, most);
}

/* One that died a moment ago is dialled as before, if it was to be linked; then as all. */
static void
test_missed_for_a_while(void)
{
	struct mesh_node *n;
	struct rig r;
	int soon, late;

	town_start(&r, 100);
	n = node_of(&r, find(&r, 0, true));
	rig_cut(&r, n->link);
	rig_pass(&r, 1);
	for (int i = 0; i < 600; i++) {
		rig_pass(&r, MS_SECOND);
		for (int k = 0; k < r.dials && k < RIG_DIALS; k++)
			id_equal(&r.dialled[k].node, &n->id) ? rig_refuse(&r, k)
							     : rig_answer(&r, k);
	}
	CU_ASSERT(n->state == MESH_NODE_DEAD && mesh_is_wanted(r.mesh, n));
	soon = r.dials;
	CU_ASSERT(soon >= 20);
	for (int i = 0; i < 3000; i++) {
		rig_pass(&r, MS_SECOND);
		for (int k = soon; k < r.dials && k < RIG_DIALS; k++)
			rig_refuse(&r, k);
	}
	late = r.dials - soon;
	CU_ASSERT(late < soon / 2 && mesh_is_wanted(r.mesh, n));
	tap_note("%d dials in 10 minutes, %d in the 50 after that", soon, late);
	rig_fini(&r);
}

/* A row that names another address of a dead node is news of it. */
static void
test_news_of_the_dead(void)
{
	struct mesh_node *n;
	struct rig r;
	struct id id;

	town_start(&r, 100);
	n = node_of(&r, find(&r, 0, false));
	id = n->id;
	die(&r, n, MESH_NODE_DEAD);
	rig_learn(&r, &id, MESH_INBOUND_YES, 1);
	rig_pass(&r, 5 * MS_SECOND);
	CU_ASSERT(r.dials == 0);
	rig_learn(&r, &id, MESH_INBOUND_YES, 2);
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT(r.dials == 1 && id_equal(&r.dialled[0].node, &id));
	/* Once. */
	rig_refuse(&r, 0);
	rig_pass(&r, 10 * MS_SECOND);
	CU_ASSERT(r.dials == 1);
	/* Of one that is there and not to be linked it is none. */
	n = node_of(&r, find(&r, 50, false));
	CU_ASSERT(!id_equal(&n->id, &id));
	id = n->id;
	rig_learn(&r, &id, MESH_INBOUND_YES, 3);
	rig_pass(&r, 10 * MS_SECOND);
	CU_ASSERT(r.dials == 1);
	/* And one that is to be is dialled there soon, however long it did not answer. */
	n = node_of(&r, find(&r, 0, true));
	id = n->id;
	rig_cut(&r, n->link);
	n->fails = 20;
	n->next_dial = r.now + MESH_BARRED_MS;
	rig_forget(&r);
	rig_learn(&r, &id, MESH_INBOUND_YES, 3);
	rig_pass(&r, MESH_DIAL_YIELD_MS + 500);
	CU_ASSERT(r.dials >= 1 && id_equal(&r.dialled[0].node, &id));
	CU_ASSERT(n->fails == 0);
	rig_fini(&r);
}

/* ---- seeds ---- */

static void
test_seeds(void)
{
	const char *seed = "seed.example:1";
	struct mesh_event e = { .type = MESH_EVENT_SEEDS,
				.addresses = &seed,
				.addresses_len = 1 };
	struct mesh_node *n;
	struct rig r;
	struct id id;
	int dials;

	town_start(&r, 100);
	id = rig_id(find(&r, 0, false));
	n = mesh_node_find(r.mesh, &id);
	rig_step(&r, e);
	rig_pass(&r, 1);
	CU_ASSERT_FATAL(r.dials == 1 && strcmp(r.dialled[0].address, seed) == 0);
	/* Nobody is there: again and again. */
	rig_refuse(&r, 0);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT_FATAL(r.dials == 2);
	r.dialled[1].node = id;
	rig_answer(&r, 1);
	CU_ASSERT(mesh_link_of(r.mesh, &id) == r.dialled[1].link);
	/* It is there, and not to be linked: the link ends, and none is opened. */
	rig_pass(&r, MESH_IDLE_MS + 5 * MS_SECOND);
	CU_ASSERT(r.idles == 1);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_IDLE, .link = r.idle });
	rig_pass(&r, 10 * MS_MINUTE);
	CU_ASSERT(r.dials == 2);
	/* Dead: it is looked for, each 30 s at the latest. */
	rig_forget(&r);
	die(&r, n, MESH_NODE_DEAD);
	for (int i = 0; i < 600; i++) {
		rig_pass(&r, MS_SECOND);
		for (int k = 0; k < r.dials && k < RIG_DIALS; k++)
			rig_refuse(&r, k);
	}
	dials = 0;
	for (int k = 0; k < r.dials; k++)
		dials += strcmp(r.dialled[k].address, seed) == 0;
	CU_ASSERT(dials >= 20 && dials <= 120);
	rig_fini(&r);
}

/* ---- without any link ---- */

static void
test_lost(void)
{
	enum { NODES = 300 };
	struct rig r;
	int most = 0, tried = 0;
	bool seen[NODES] = { false };

	rig_init(&r, home, 1);
	r.forgets = true;
	for (int i = 0; i < NODES; i++) {
		struct id id = rig_id(i);

		rig_learn(&r, &id, i % 3 ? MESH_INBOUND_YES : MESH_INBOUND_NO, 1);
	}
	/* First those that we want. */
	rig_pass(&r, MESH_LOST_MS - 100);
	CU_ASSERT(r.dials >= 6 && r.dials < 30);
	for (int i = 0; i < 600; i++) {
		int open = (int)HASH_COUNT(r.mesh->links);

		most = open > most ? open : most;
		for (int k = 0; k < r.dials && k < RIG_DIALS; k++) {
			seen[get_be32(r.dialled[k].node.b)] = true;
			if (i % 2)
				rig_refuse(&r, k);
		}
		rig_forget(&r);
		rig_pass(&r, 100);
	}
	for (int i = 0; i < NODES; i++)
		tried += seen[i];
	CU_ASSERT(most <= MESH_LOST_DIALS_MAX + MESH_WANTED_MAX && tried > NODES / 2);
	tap_note("%d of %d tried in a minute, %d at once", tried, NODES, most);
	/* With a link all that ends. */
	{
		struct id id = rig_id(1);

		rig_open(&r, &id);
	}
	rig_pass(&r, 2 * MS_SECOND);
	for (int k = 0; k < r.dials && k < RIG_DIALS; k++)
		rig_refuse(&r, k);
	rig_pass(&r, MESH_OPEN_MS);
	rig_forget(&r);
	rig_pass(&r, MS_MINUTE);
	CU_ASSERT(r.dials < 100);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "links to the neighbours on the rings are opened, and no others", test_wanted },
	{ "among seven nodes all are linked", test_few },
	{ "a leaf is wanted by its homes, which do not dial it",
	  test_leaves_are_wanted_by_homes },
	{ "a link that nobody wants ends when no query came by it for a minute",
	  test_spare_links_end },
	{ "one by which a query is passed on does not", test_relays_keep_a_link },
	{ "an old link counts until the new one is up or has failed",
	  test_make_before_break },
	{ "of those that are dead each node tries one in 30 s, as likely as there are many",
	  test_dead_are_dialled },
	{ "a neighbour that died is dialled on for a while", test_missed_for_a_while },
	{ "a dead node that tells another address is dialled there, once",
	  test_news_of_the_dead },
	{ "seeds are dialled while nobody is known there, or it is dead", test_seeds },
	{ "without any link all are dialled, some at a time", test_lost },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
