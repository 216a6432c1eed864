/* SPDX-License-Identifier: Apache-2.0 */
/* How queries get to nodes that are not linked: a link is opened, or one is found who passes
 * them on, and another one when that fails. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

enum { NODES = 40, LEAF = 500 };

/* It is alive: those who are linked to it can be reached. */
static void
hear_of(struct rig *r, const struct id *node)
{
	rig_pass(r, MS_SECOND);
	CU_ASSERT(mesh_node_state(r->mesh, node) == MESH_NODE_ALIVE);
}

/* We know `NODES` nodes, and all whom we dial take the link. */
static void
town_start(struct rig *r, bool is_leaf)
{
	rig_init(r, home, is_leaf ? 0 : 1);
	r->forgets = true;
	for (int i = 0; i < NODES; i++) {
		struct id id = rig_id(i);

		rig_learn(r, &id, MESH_INBOUND_YES, 1 + i % 3);
	}
	rig_pass(r, MESH_LOST_MS - 1);
	CU_ASSERT_FATAL(r->dials >= 6 && r->dials < 16);
	for (int i = 0; i < r->dials; i++)
		rig_answer(r, i);
	rig_pass(r, 5 * MS_SECOND);
	for (int i = 0; i < NODES; i++) {
		struct id id = rig_id(i);

		CU_ASSERT(mesh_node_state(r->mesh, &id) == MESH_NODE_ALIVE);
	}
	rig_forget(r);
}

/* A node of the town that is not linked to us, with so many addresses. */
static struct id
stranger(const struct rig *r, int addresses)
{
	for (int i = addresses - 1; i < NODES; i += 3) {
		struct id id = rig_id(i);

		if (mesh_link_of(r->mesh, &id) == 0)
			return id;
	}
	CU_FAIL_FATAL("all are linked");
	return rig_id(0);
}

static void
want_way(struct rig *r, const struct id *node, uint64_t not_by)
{
	rig_step(r, (struct mesh_event){
			    .type = MESH_EVENT_WAY, .node = *node, .link = not_by });
}

static bool
is_among(const struct id *id, const struct id *ids, int len)
{
	for (int i = 0; i < len; i++)
		if (id_equal(id, &ids[i]))
			return true;
	return false;
}

/* ---- to one that takes links ---- */

static void
test_it_is_dialled(void)
{
	struct rig r;
	struct id to;

	town_start(&r, false);
	to = stranger(&r, 1);
	CU_ASSERT(mesh_may_open_way(r.mesh, &to));
	CU_ASSERT(mesh_rtt_of(r.mesh, &to) == -1);
	want_way(&r, &to, 0);
	want_way(&r, &to, 0);
	rig_pass(&r, 10);
	CU_ASSERT_FATAL(r.dials == 1 && r.ways == 0);
	CU_ASSERT(id_equal(&r.dialled[0].node, &to));
	rig_answer(&r, 0);
	/* One answer for both; and once more at once. */
	CU_ASSERT(r.ways == 1 && r.way == r.dialled[0].link &&
		  r.way == mesh_link_of(r.mesh, &to));
	want_way(&r, &to, 0);
	CU_ASSERT(r.ways == 2 && r.way == r.dialled[0].link && r.dials == 1);
	/* One that dials us meanwhile is as good. */
	to = stranger(&r, 1);
	want_way(&r, &to, 0);
	rig_open(&r, &to);
	CU_ASSERT(r.ways == 3 && r.way == mesh_link_of(r.mesh, &to));
	/* Nobody knows it. */
	to = rig_id(999);
	CU_ASSERT(!mesh_may_open_way(r.mesh, &to));
	want_way(&r, &to, 0);
	CU_ASSERT(r.ways == 4 && r.way == 0);
	rig_fini(&r);
}

/* All its addresses are tried, one after the other at once; then it is given up, and for a
 * second it is not dialled again whoever asks. */
static void
test_it_does_not_answer(void)
{
	struct rig r;
	struct id to;

	town_start(&r, false);
	to = stranger(&r, 3);
	want_way(&r, &to, 0);
	rig_pass(&r, 1);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_FATAL(r.dials == i + 1 && r.ways == 0);
		rig_refuse(&r, i);
		rig_pass(&r, 1);
	}
	CU_ASSERT(r.ways == 1 && r.way == 0 && r.dials == 3);
	CU_ASSERT(strcmp(r.dialled[0].address, r.dialled[1].address) != 0 &&
		  strcmp(r.dialled[1].address, r.dialled[2].address) != 0);
	for (int i = 0; i < 100; i++)
		want_way(&r, &to, 0);
	rig_pass(&r, 10);
	CU_ASSERT(r.ways == 101 && r.way == 0 && r.dials == 3);
	rig_pass(&r, MS_SECOND);
	want_way(&r, &to, 0);
	rig_pass(&r, 1);
	CU_ASSERT(r.dials == 4 && r.ways == 101);
	/* It says nothing at all. */
	rig_pass(&r, MESH_WAY_MS - 2);
	CU_ASSERT(r.ways == 101);
	rig_pass(&r, 2);
	CU_ASSERT(r.ways == 102 && r.way == 0);
	/* One that is dead, was banned or has left is not looked for. */
	to = stranger(&r, 1);
	rig_step(&r, (struct mesh_event){
			     .type = MESH_EVENT_NODE, .node = to, .has_left = true });
	CU_ASSERT(!mesh_may_open_way(r.mesh, &to));
	rig_step(&r, (struct mesh_event){
			     .type = MESH_EVENT_NODE, .node = to, .is_gone = true });
	CU_ASSERT(!mesh_may_open_way(r.mesh, &to));
	rig_fini(&r);
}

/* ---- to a leaf ---- */

/* The leaf's homes, of which none is linked to us. */
static int
leaf_far(struct rig *r, struct id *ret_leaf, struct id ret_homes[MESH_HOMES_MAX])
{
	for (int i = LEAF; i < LEAF + 1000; i++) {
		int len, linked = 0;

		*ret_leaf = rig_id(i);
		rig_learn(r, ret_leaf, MESH_INBOUND_NO, 1);
		len = mesh_homes(r->mesh, ret_leaf, ret_homes);
		for (int k = 0; k < len; k++)
			linked += mesh_link_of(r->mesh, &ret_homes[k]) != 0 ||
				  get_be32(ret_homes[k].b) >= NODES;
		if (linked == 0)
			return len;
	}
	CU_FAIL_FATAL("every leaf is near");
	return 0;
}

static void
test_a_home_passes_it_on(void)
{
	struct id leaf, homes[MESH_HOMES_MAX];
	uint64_t links[MESH_HOMES_MAX];
	struct rig r;
	int len;

	for (int is_leaf = 0; is_leaf < 2; is_leaf++) {
		town_start(&r, is_leaf);
		len = leaf_far(&r, &leaf, homes);
		hear_of(&r, &leaf);
		CU_ASSERT(mesh_relays_to(r.mesh, &leaf, links, MESH_HOMES_MAX) == 0);
		want_way(&r, &leaf, 0);
		rig_pass(&r, 1);
		CU_ASSERT(r.dials == len && r.ways == 0);
		for (int i = 0; i < r.dials; i++)
			CU_ASSERT(is_among(&r.dialled[i].node, homes, len));
		rig_refuse(&r, 0);
		rig_answer(&r, 1);
		CU_ASSERT(r.ways == 1 && r.way == r.dialled[1].link);
		rig_answer(&r, 2);
		CU_ASSERT(r.ways == 1);
		CU_ASSERT(mesh_relays_to(r.mesh, &leaf, links, MESH_HOMES_MAX) == 2);
		CU_ASSERT(mesh_relays_to(r.mesh, &leaf, links, 1) == 1);
		want_way(&r, &leaf, 0);
		CU_ASSERT(r.ways == 2 &&
			  (r.way == r.dialled[1].link || r.way == r.dialled[2].link));
		rig_fini(&r);
	}
}

/* A home that is not linked to it, as a query found out: another one is taken, then others are
 * dialled, and when none is left that is said. Later all are tried again. */
static void
test_another_home(void)
{
	struct id leaf, homes[MESH_HOMES_MAX];
	uint64_t links[MESH_HOMES_MAX], first;
	struct rig r;
	int len;

	town_start(&r, false);
	len = leaf_far(&r, &leaf, homes);
	hear_of(&r, &leaf);
	first = rig_open(&r, &homes[0]);
	rig_open(&r, &homes[1]);
	want_way(&r, &leaf, first);
	CU_ASSERT(r.ways == 1 && r.way == mesh_link_of(r.mesh, &homes[1]));
	CU_ASSERT(mesh_relays_to(r.mesh, &leaf, links, MESH_HOMES_MAX) == 1);
	want_way(&r, &leaf, r.way);
	CU_ASSERT(r.ways == 1);
	rig_pass(&r, 1);
	CU_ASSERT_FATAL(r.dials == len - 2 && r.ways == 1);
	for (int i = 0; i < len - 2; i++) {
		CU_ASSERT(is_among(&r.dialled[i].node, &homes[2], len - 2));
		rig_answer(&r, i);
		CU_ASSERT(r.ways == 2 + i && r.way == r.dialled[i].link);
		want_way(&r, &leaf, r.way);
	}
	rig_pass(&r, 1);
	CU_ASSERT(r.ways == len && r.way == 0);
	rig_pass(&r, 30 * MS_SECOND);
	want_way(&r, &leaf, 0);
	CU_ASSERT(r.ways == len + 1 && r.way != 0);
	/* A link that is gone already says nothing of who was there. */
	want_way(&r, &leaf, 12345678);
	CU_ASSERT(r.ways == len + 2 && r.way != 0);
	rig_fini(&r);
}

/* Those that it names pass it on, and no others. */
static void
test_named_homes_pass_it_on(void)
{
	struct id leaf, homes[MESH_HOMES_MAX], named;
	uint64_t link;
	struct rig r;

	town_start(&r, false);
	leaf_far(&r, &leaf, homes);
	rig_open(&r, &homes[0]);
	CU_ASSERT(mesh_relays_to(r.mesh, &leaf, &link, 1) == 1);
	named = stranger(&r, 1);
	while (is_among(&named, homes, MESH_HOMES_MAX)) {
		rig_open(&r, &named);
		named = stranger(&r, 1);
	}
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					  .node = leaf,
					  .inbound = MESH_INBOUND_NO,
					  .homes = &named,
					  .homes_len = 1 });
	CU_ASSERT(mesh_relays_to(r.mesh, &leaf, &link, 1) == 0);
	CU_ASSERT(mesh_homes(r.mesh, &leaf, homes) == 1 && id_equal(&homes[0], &named));
	hear_of(&r, &leaf);
	want_way(&r, &leaf, 0);
	rig_pass(&r, 1);
	CU_ASSERT(r.dials == 1 && id_equal(&r.dialled[0].node, &named));
	rig_answer(&r, 0);
	CU_ASSERT(r.ways == 1 && r.way == r.dialled[0].link);
	rig_fini(&r);
}

/* ---- to one of whom it is not known ---- */

/* It has just come, and is linked to its neighbours, if it can be dialled or not. */
static void
test_not_tested_yet(void)
{
	struct id to, homes[MESH_HOMES_MAX];
	uint64_t links[MESH_HOMES_MAX];
	struct rig r;
	int len;

	town_start(&r, false);
	to = stranger(&r, 1);
	rig_learn(&r, &to, MESH_INBOUND_UNKNOWN, 1);
	hear_of(&r, &to);
	len = mesh_homes(r.mesh, &to, homes);
	CU_ASSERT(len == 6);
	if (mesh_relays_to(r.mesh, &to, links, MESH_HOMES_MAX) == 0) {
		want_way(&r, &to, 0);
		rig_pass(&r, 1);
		CU_ASSERT(r.dials == 1 + len);
		for (int i = 0; i < r.dials; i++)
			if (id_equal(&r.dialled[i].node, &to))
				rig_refuse(&r, i);
		for (int i = 0; i < r.dials && r.ways == 0; i++)
			rig_answer(&r, i);
	} else {
		want_way(&r, &to, 0);
	}
	CU_ASSERT(r.ways == 1 && r.way != 0 && r.way != mesh_link_of(r.mesh, &to));
	rig_fini(&r);
}

/* A leaf that cannot dial a node, though others can, asks one who is linked to it. */
static void
test_a_leaf_asks_its_homes(void)
{
	struct rig r;
	struct id to;
	int tried = 0, passed = 0;

	town_start(&r, true);
	for (int i = 0; i < NODES; i++) {
		uint64_t link;

		to = rig_id(i);
		if (mesh_link_of(r.mesh, &to) != 0)
			continue;
		CU_ASSERT(mesh_relays_to(r.mesh, &to, &link, 1) == 0);
		rig_forget(&r);
		r.ways = 0;
		want_way(&r, &to, 0);
		rig_pass(&r, 1);
		for (int k = 0; k < r.dials; k++) {
			rig_refuse(&r, k);
			rig_pass(&r, 1);
		}
		CU_ASSERT(r.ways == 1);
		tried++;
		passed += r.way != 0;
	}
	/* Of six homes some are neighbours of it. */
	CU_ASSERT(passed > 0 && passed < tried);
	tap_note("%d of %d nodes are linked to a home of ours", passed, tried);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "to a node that takes links one is opened, once for all who ask",
	  test_it_is_dialled },
	{ "each of its addresses is tried once; then for a second it is given up",
	  test_it_does_not_answer },
	{ "to a leaf a query is passed on by one of its homes, which is dialled for that",
	  test_a_home_passes_it_on },
	{ "by a home that could not do it none goes for 30 s, but by another one",
	  test_another_home },
	{ "homes that a leaf names pass queries on, and the computed ones do not",
	  test_named_homes_pass_it_on },
	{ "a node that was not tested yet is dialled, and so are its neighbours",
	  test_not_tested_yet },
	{ "a leaf that cannot dial a node asks one that is linked to it",
	  test_a_leaf_asks_its_homes },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
