/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that take no links: whom they attach to, whom they dial, and how one finds a way to
 * another. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

static struct id
node_id(int i)
{
	struct id id = { { 0 } };

	memset(id.b, 0x55, ID_BYTES);
	put_be32(id.b, (uint32_t)i);
	return id;
}

/* Node i, in a row. */
static void
learn(struct rig *r, int i, enum mesh_inbound inbound)
{
	char address[32];
	const char *addresses[] = { address };

	snprintf(address, sizeof(address), "node-%d:1", i);
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					 .node = node_id(i),
					 .inbound = inbound,
					 .addresses = addresses,
					 .addresses_len = 1 });
}

/* It opens a link to us, and greets. */
static uint64_t
open_link(struct rig *r, int i)
{
	struct wire_hello h = { .protocol_min = 1,
				.protocol_max = 1,
				.node = node_id(i),
				.life = 7,
				.incarnation = 3,
				.retention_ms = MS_DAY,
				.rows_per_node = 100,
				.format = 1,
				.wall_ms = RIG_WALL_MS + r->now };
	struct buf b = BUF_INIT;
	uint64_t link = mesh_link_new(r->mesh);

	rig_step(r, (struct mesh_event){
			    .type = MESH_EVENT_LINK_OPEN, .link = link, .node = h.node });
	wire_put_hello(&b, &h);
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
					 .link = link,
					 .data = buf_bytes(&b) });
	buf_fini(&b);
	return link;
}

static bool
is_among(const struct id *id, const struct id *ids, int len)
{
	for (int i = 0; i < len; i++)
		if (id_equal(id, &ids[i]))
			return true;
	return false;
}

/* As the rule says: the two with the least way from hash(k, leaf) on, on each ring. */
static bool
is_home(const struct id *leaf, int i, int nodes)
{
	for (uint64_t k = 0; k < 3; k++) {
		uint64_t start = hash64(bytes_of(leaf->b, ID_BYTES), k), way;
		struct id id = node_id(i);
		int nearer = 0;

		way = hash64(bytes_of(id.b, ID_BYTES), k) - start;
		for (int j = 0; j < nodes; j++) {
			id = node_id(j);
			nearer += hash64(bytes_of(id.b, ID_BYTES), k) - start < way;
		}
		if (nearer < 2)
			return true;
	}
	return false;
}

static void
test_homes_are_computed(void)
{
	struct id homes[MESH_HOMES_MAX], leaf = node_id(1000);
	struct rig r;
	int len;

	rig_init(&r, home, 1);
	for (int i = 0; i < 40; i++) {
		learn(&r, i, MESH_INBOUND_YES);
		learn(&r, 100 + i, i % 2 ? MESH_INBOUND_NO : MESH_INBOUND_UNKNOWN);
		len = mesh_homes(r.mesh, &leaf, homes);
		CU_ASSERT(len == (i < MESH_HOMES_MAX ? i + 1 : MESH_HOMES_MAX));
		for (int j = 0; j <= i; j++) {
			struct id id = node_id(j);

			CU_ASSERT(is_among(&id, homes, len) ||
				  (i >= MESH_HOMES_MAX && !is_home(&leaf, j, i + 1)));
		}
	}
	/* What is no member any more, or has left, is no home. */
	for (int i = 0; i < 40; i++)
		rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
						  .node = node_id(i),
						  .inbound = MESH_INBOUND_YES,
						  .is_gone = i % 2 == 0,
						  .has_left = i % 2 == 1 });
	CU_ASSERT(mesh_homes(r.mesh, &leaf, homes) == 0);
	rig_fini(&r);
}

/* We are a leaf, linked to one of `nodes`, and so connected with all. */
static uint64_t
leaf_start(struct rig *r, int nodes)
{
	uint64_t link;

	rig_init(r, home, 0);
	CU_ASSERT(mesh_inbound(r->mesh) == MESH_INBOUND_NO);
	for (int i = 0; i < nodes; i++)
		learn(r, i, MESH_INBOUND_YES);
	rig_row(r, 0, MESH_INBOUND_YES);
	rig_up(r, 0, false);
	rig_pass(r, 1);
	link = r->links[0];
	rig_forget(r);
	return link;
}

static void
test_a_leaf_dials_its_homes(void)
{
	struct id homes[MESH_HOMES_MAX], self;
	struct rig r;
	int len, dials;

	leaf_start(&r, 40);
	memset(self.b, 5, ID_BYTES);
	len = mesh_homes(r.mesh, &self, homes);
	rig_pass(&r, 5 * MS_SECOND);
	dials = r.dials;
	/* One may be the peer that is linked. */
	CU_ASSERT(dials == len || dials == len - 1);
	/* All are alive, by what was heard. */
	for (int i = 0; i < 40; i++) {
		struct id id = node_id(i);

		CU_ASSERT(mesh_node_state(r.mesh, &id) == MESH_NODE_ALIVE);
	}
	rig_fini(&r);
}

static void
test_nobody_dials_a_leaf(void)
{
	struct id leaf = node_id(500);
	struct buf b = BUF_INIT;
	struct rig r;
	uint64_t link;

	rig_init(&r, home, 1);
	r.forgets = true;
	rig_row(&r, 0, MESH_INBOUND_YES);
	rig_up(&r, 0, false);
	learn(&r, 500, MESH_INBOUND_NO);
	link = open_link(&r, 500);
	for (int i = 0; i < 30 * 60; i++) {
		wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, 0);
		rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
						  .link = link,
						  .data = buf_bytes(&b) });
		buf_fini(&b);
		rig_pass(&r, MS_SECOND);
	}
	CU_ASSERT(r.dials == 0);
	CU_ASSERT(mesh_node_state(r.mesh, &leaf) == MESH_NODE_ALIVE);
	/* Dead, it is tried once in a while: its row may be old. */
	rig_pass(&r, 30 * MS_MINUTE);
	CU_ASSERT(mesh_node_state(r.mesh, &leaf) == MESH_NODE_DEAD);
	CU_ASSERT(r.dials >= 1 && r.dials <= 7);
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
	struct rig r;

	rig_init(&r, home, 1);
	r.forgets = true;
	for (int i = 0; i <= MESH_LEAVES_MAX; i++) {
		learn(&r, i, MESH_INBOUND_NO);
		rig_forget(&r);
		open_link(&r, i);
		CU_ASSERT(r.closed == (i == MESH_LEAVES_MAX));
		rig_forget(&r);
	}
	CU_ASSERT(mesh_link_of(r.mesh, &(struct id){ { 0 } }) == 0);
	/* Others still come in. */
	learn(&r, 5000, MESH_INBOUND_YES);
	open_link(&r, 5000);
	CU_ASSERT(r.closed == 0);
	rig_fini(&r);
}

/* One that says BUSY is left out, for the next one. */
static void
test_a_busy_home(void)
{
	struct id homes[MESH_HOMES_MAX], others[MESH_HOMES_MAX], self;
	struct buf b = BUF_INIT;
	struct rig r;
	uint64_t link;
	int len, i = 0;

	leaf_start(&r, 40);
	memset(self.b, 5, ID_BYTES);
	len = mesh_homes(r.mesh, &self, homes);
	while (get_be32(homes[i].b) >= 40)
		i++;
	link = open_link(&r, (int)get_be32(homes[i].b));
	wire_put_goodbye(&b, WIRE_GOODBYE_BUSY, "full");
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
					  .link = link,
					  .data = buf_bytes(&b) });
	buf_fini(&b);
	CU_ASSERT(!is_among(&homes[i], others, mesh_homes(r.mesh, &self, others)));
	rig_pass(&r, MESH_BUSY_MS);
	CU_ASSERT(is_among(&homes[i], others, mesh_homes(r.mesh, &self, others)));
	CU_ASSERT(len > 1);
	rig_fini(&r);
}

/* ---- ways ---- */

static void
want_way(struct rig *r, int i)
{
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_WAY, .node = node_id(i) });
}

static void
test_a_way_is_found(void)
{
	struct id homes[MESH_HOMES_MAX], leaf = node_id(500);
	struct rig r;
	uint64_t link;
	int i = 0;

	leaf_start(&r, 40);
	learn(&r, 500, MESH_INBOUND_NO);
	rig_pass(&r, 2 * MS_SECOND);
	CU_ASSERT(mesh_node_state(r.mesh, &leaf) == MESH_NODE_ALIVE);
	CU_ASSERT(mesh_relays_to(r.mesh, &leaf, &link, 1) == 0);
	CU_ASSERT(mesh_may_open_way(r.mesh, &leaf));
	rig_pass(&r, MS_MINUTE);
	rig_forget(&r);
	want_way(&r, 500);
	want_way(&r, 500);
	rig_pass(&r, 10);
	CU_ASSERT(r.dials > 0 && r.dials <= MESH_HOMES_MAX && r.ways == 0);
	mesh_homes(r.mesh, &leaf, homes);
	while (get_be32(homes[i].b) >= 40)
		i++;
	link = open_link(&r, (int)get_be32(homes[i].b));
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(r.ways == 1 && r.way == link);
	/* There already: at once. */
	want_way(&r, 500);
	CU_ASSERT(r.ways == 2 && r.way == link);
	rig_fini(&r);
}

static void
test_no_way_is_found(void)
{
	struct rig r;

	leaf_start(&r, 40);
	want_way(&r, 501); /* not known */
	CU_ASSERT(r.ways == 1 && r.way == 0);
	learn(&r, 500, MESH_INBOUND_NO);
	rig_pass(&r, 2 * MS_SECOND);
	want_way(&r, 500);
	rig_pass(&r, MESH_WAY_MS - 1);
	CU_ASSERT(r.ways == 1);
	rig_pass(&r, 1);
	CU_ASSERT(r.ways == 2 && r.way == 0);
	rig_fini(&r);
}

/* A leaf's links beside those to its homes end when nobody used them for a while. */
static void
test_spare_links_end(void)
{
	struct id homes[MESH_HOMES_MAX], self, id;
	struct rig r;
	uint64_t spare;
	int len, i = 0;

	leaf_start(&r, 40);
	memset(self.b, 5, ID_BYTES);
	rig_pass(&r, MS_SECOND);
	len = mesh_homes(r.mesh, &self, homes);
	do
		id = node_id(i++);
	while (is_among(&id, homes, len));
	spare = open_link(&r, i - 1);
	CU_ASSERT(mesh_link_of(r.mesh, &id) == spare);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_IDLE, .link = spare });
	CU_ASSERT(mesh_link_of(r.mesh, &id) == 0);
	/* It is alive as before: others know. */
	CU_ASSERT(mesh_node_state(r.mesh, &id) == MESH_NODE_ALIVE);
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
	{ "in the place of a home that is busy comes the next", test_a_busy_home },
	{ "a way to another leaf is found among its homes", test_a_way_is_found },
	{ "or it is said that none was", test_no_way_is_found },
	{ "a link that nobody needs ends without harm", test_spare_links_end },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
