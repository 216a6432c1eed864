/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that take no links: whom they attach to, by the rule or else, and who dials them. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

/* Node i, in a row. */
static void
learn(struct rig *r, int i, enum mesh_inbound inbound)
{
	struct id id = rig_id(i);

	rig_learn(r, &id, inbound, 1);
}

static bool
is_among(const struct id *id, const struct id *ids, int len)
{
	for (int i = 0; i < len; i++)
		if (id_equal(id, &ids[i]))
			return true;
	return false;
}

static uint64_t
place(const struct id *id, uint64_t ring)
{
	uint64_t hash = hash64(bytes_of(id->b, ID_BYTES), ring);

	/* Above them stand 16 bits of the region, none here. */
	return ring == 0 ? hash : hash >> 16 << 16;
}

/* As the rule says: the two with the least way from hash(k, leaf) on, on each ring. */
static bool
is_home(const struct id *leaf, int i, int nodes)
{
	for (uint64_t k = 0; k < 3; k++) {
		uint64_t start = place(leaf, k), way;
		struct id id = rig_id(i);
		int nearer = 0;

		way = place(&id, k) - start;
		for (int j = 0; j < nodes; j++) {
			id = rig_id(j);
			nearer += place(&id, k) - start < way;
		}
		if (nearer < 2)
			return true;
	}
	return false;
}

static void
test_homes_are_computed(void)
{
	struct id homes[MESH_HOMES_MAX], others[MESH_HOMES_MAX], voters[4];
	struct id leaf = rig_id(1000);
	struct buf b = BUF_INIT;
	struct rig r;
	uint64_t link;
	int len;

	rig_init(&r, home, 0);
	CU_ASSERT(mesh_homes(r.mesh, &leaf, homes) == 0); /* not known */
	learn(&r, 1000, MESH_INBOUND_NO);
	for (int i = 0; i < 40; i++) {
		learn(&r, i, i % 2 ? MESH_INBOUND_YES : MESH_INBOUND_UNKNOWN);
		learn(&r, 100 + i, MESH_INBOUND_NO);
		len = mesh_homes(r.mesh, &leaf, homes);
		CU_ASSERT(len == (i < 6 ? i + 1 : 6));
		for (int j = 0; j <= i; j++) {
			struct id id = rig_id(j);

			/* Where rings agree the next ones fill the gap. */
			if (i < 6 || is_home(&leaf, j, i + 1))
				CU_ASSERT(is_among(&id, homes, len));
		}
	}
	/* What is dead is no home, until it says that it is there. */
	link = rig_open(&r, &homes[1]);
	for (int i = 0, k = 0; k < 3; i++) {
		voters[k] = rig_id(i);
		k += !id_equal(&voters[k], &homes[0]);
	}
	rig_put_verdict(&b, &homes[0], 5, voters, 3);
	rig_hear_link(&r, link, &b);
	rig_pass(&r, 1);
	CU_ASSERT(mesh_node_state(r.mesh, &homes[0]) == MESH_NODE_DEAD);
	len = mesh_homes(r.mesh, &leaf, others);
	CU_ASSERT(len == 6 && !is_among(&homes[0], others, len));
	rig_put_alive(&b, &homes[0], 6, WIRE_STANDING_THERE);
	rig_hear_link(&r, link, &b);
	CU_ASSERT(is_among(&homes[0], others, mesh_homes(r.mesh, &leaf, others)));
	/* Nor what is no member any more, or has left. */
	for (int i = 0; i < 40; i++)
		rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
						  .node = rig_id(i),
						  .inbound = MESH_INBOUND_YES,
						  .is_gone = i % 2 == 0,
						  .has_left = i % 2 == 1 });
	CU_ASSERT(mesh_homes(r.mesh, &leaf, homes) == 0);
	rig_fini(&r);
}

/* We are a leaf, linked to one, by whom all of `nodes` can be reached. */
static void
leaf_start(struct rig *r, int nodes)
{
	rig_init(r, home, 0);
	CU_ASSERT(mesh_inbound(r->mesh) == MESH_INBOUND_NO);
	for (int i = 0; i < nodes; i++)
		learn(r, i, MESH_INBOUND_YES);
	rig_row(r, 0, MESH_INBOUND_YES);
	rig_up(r, 0, false);
	rig_forget(r);
	r->forgets = true;
}

static struct id
self_id(void)
{
	struct id self;

	memset(self.b, 5, ID_BYTES);
	return self;
}

static void
test_a_leaf_dials_its_homes(void)
{
	struct id homes[MESH_HOMES_MAX], self = self_id();
	struct rig r;
	int len;

	leaf_start(&r, 40);
	len = mesh_homes(r.mesh, &self, homes);
	CU_ASSERT(len == 6);
	rig_pass(&r, 2 * MS_SECOND);
	/* One may be the peer that is linked. */
	CU_ASSERT(r.dials == len || r.dials == len - 1);
	for (int i = 0; i < r.dials; i++) {
		CU_ASSERT(is_among(&r.dialled[i].node, homes, len));
		rig_answer(&r, i);
	}
	/* All are alive: they can be reached by our homes. */
	for (int i = 0; i < 40; i++) {
		struct id id = rig_id(i);

		CU_ASSERT(mesh_node_state(r.mesh, &id) == MESH_NODE_ALIVE);
	}
	/* These are the ones that everybody takes for its homes: nothing is to be told. The
	 * first link is not needed any more. */
	rig_pass(&r, MESH_IDLE_MS + 2 * MS_SECOND);
	CU_ASSERT(r.homes == 0 && r.idles == (is_among(&r.peers[0], homes, len) ? 0 : 1));
	rig_fini(&r);
}

static void
test_nobody_dials_a_leaf(void)
{
	struct id leaf = rig_id(500);
	uint64_t link;
	struct rig r;

	rig_init(&r, home, 1);
	rig_is_reached(&r);
	r.forgets = true;
	rig_row(&r, 0, MESH_INBOUND_YES);
	rig_up(&r, 0, false);
	learn(&r, 500, MESH_INBOUND_NO);
	link = rig_open(&r, &leaf);
	rig_forget(&r);
	rig_pass(&r, 30 * MS_MINUTE);
	CU_ASSERT(r.dials == 0);
	CU_ASSERT(mesh_node_state(r.mesh, &leaf) == MESH_NODE_ALIVE);
	/* Dead, it is tried as all that are: its row may be old. */
	rig_cut(&r, link);
	rig_pass(&r, MESH_RELINK_MS + MESH_DEAD_MS);
	CU_ASSERT(mesh_node_state(r.mesh, &leaf) == MESH_NODE_DEAD && r.dials == 0);
	for (int i = 0; i < 30 * 60; i++) {
		rig_pass(&r, MS_SECOND);
		for (int k = 0; k < r.dials; k++) {
			CU_ASSERT(id_equal(&r.dialled[k].node, &leaf));
			rig_refuse(&r, k);
		}
	}
	CU_ASSERT(r.dials >= 5 && r.dials <= 60);
	/* And all, without any link. */
	rig_down(&r, 0);
	rig_forget(&r);
	rig_pass(&r, 2 * MS_MINUTE);
	CU_ASSERT(r.dials >= 3);
	rig_fini(&r);
}

static void
test_too_many_leaves(void)
{
	struct id id;
	struct rig r;

	rig_init(&r, home, 1);
	r.forgets = true;
	for (int i = 0; i <= MESH_LEAVES_MAX; i++) {
		id = rig_id(i);
		learn(&r, i, MESH_INBOUND_NO);
		rig_forget(&r);
		r.live_len = 0;
		rig_open(&r, &id);
		CU_ASSERT(r.closed == (i == MESH_LEAVES_MAX));
		rig_forget(&r);
	}
	CU_ASSERT(mesh_link_of(r.mesh, &(struct id){ { 0 } }) == 0);
	/* Others still come in. */
	id = rig_id(5000);
	learn(&r, 5000, MESH_INBOUND_YES);
	rig_open(&r, &id);
	CU_ASSERT(r.closed == 0);
	rig_fini(&r);
}

/* ---- other homes ---- */

static void
answer_all(struct rig *r, const struct id *but, bool is_busy)
{
	for (int i = 0; i < r->dials; i++) {
		struct buf b = BUF_INIT;

		if (but == NULL || !id_equal(&r->dialled[i].node, but)) {
			rig_answer(r, i);
		} else if (!is_busy) {
			rig_refuse(r, i);
		} else if (!r->dialled[i].is_answered) {
			rig_answer(r, i);
			wire_put_goodbye(&b, WIRE_GOODBYE_BUSY, "full");
			rig_hear_link(r, r->dialled[i].link, &b);
		}
	}
}

static bool
is_told(const struct rig *r, const struct id *id)
{
	for (size_t at = 0; at < r->homes_told.len; at += ID_BYTES)
		if (memcmp(r->homes_told.data + at, id->b, ID_BYTES) == 0)
			return true;
	return false;
}

/* One that says BUSY, or does not answer us though it is there for others, is left out, for the
 * next one; our row is to say so, until it takes us. */
static void
test_other_homes(bool is_busy)
{
	struct id homes[MESH_HOMES_MAX], others[MESH_HOMES_MAX], self = self_id();
	struct rig r;
	int len, told;

	leaf_start(&r, 40);
	len = mesh_homes(r.mesh, &self, homes);
	for (int i = 0; i < 20; i++) {
		rig_pass(&r, 5 * MS_SECOND);
		answer_all(&r, &homes[0], is_busy);
	}
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT(mesh_homes(r.mesh, &self, others) == len);
	CU_ASSERT(!is_among(&homes[0], others, len) && is_among(&homes[1], others, len));
	CU_ASSERT(r.homes == 1 && r.homes_told.len == (size_t)len * ID_BYTES);
	for (int i = 0; i < len; i++)
		CU_ASSERT(is_told(&r, &others[i]));
	/* It is asked again, in vain: what was told stands. */
	told = r.homes;
	rig_forget(&r);
	for (int i = 0; i < 60; i++) {
		rig_pass(&r, 15 * MS_SECOND);
		answer_all(&r, &homes[0], is_busy);
	}
	CU_ASSERT(r.dials >= 1 && r.homes == told);
	/* It takes us: all is as computed, and nothing is told in the row. */
	rig_forget(&r);
	for (int i = 0; i < 60; i++) {
		rig_pass(&r, 15 * MS_SECOND);
		answer_all(&r, NULL, false);
	}
	CU_ASSERT(mesh_link_of(r.mesh, &homes[0]) != 0);
	CU_ASSERT(r.homes == told + 1 && r.homes_told.len == 0);
	rig_fini(&r);
}

static void
test_a_busy_home(void)
{
	test_other_homes(true);
}

static void
test_a_home_out_of_reach(void)
{
	test_other_homes(false);
}

/* With nobody but full ones there is nothing to choose from. */
static void
test_all_are_busy(void)
{
	struct id homes[MESH_HOMES_MAX], self = self_id(), id = rig_id(0);
	struct rig r;

	leaf_start(&r, 1);
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT_FATAL(r.dials == 1);
	answer_all(&r, &id, true);
	CU_ASSERT(mesh_homes(r.mesh, &self, homes) == 1 &&
		  id_equal(&homes[0], &r.peers[0]));
	rig_down(&r, 0);
	rig_pass(&r, 2 * MS_MINUTE);
	CU_ASSERT(r.dials > 2); /* for want of any link */
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "homes are the next two on each ring that take links and are not dead",
	  test_homes_are_computed },
	{ "a leaf dials its homes and nobody else, and knows who is alive",
	  test_a_leaf_dials_its_homes },
	{ "nobody dials a leaf, but for one that is dead, rarely, and for want of any link",
	  test_nobody_dials_a_leaf },
	{ "of leaves above 512 each is told BUSY; others come in", test_too_many_leaves },
	{ "in the place of a home that is busy comes the next, and the row is to say so",
	  test_a_busy_home },
	{ "so it is with one that cannot be reached", test_a_home_out_of_reach },
	{ "when all are busy they are asked again", test_all_are_busy },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
