/* SPDX-License-Identifier: Apache-2.0 */
/* The proof that what is looked at after each step (mesh-watch.c) is seen when it is wrong:
 * cores of which one rule is broken are caught within a few histories. The rules are broken
 * by the linker (--wrap): a call of the function in another file comes here. */
#include "config.h"

#include <string.h>

#include "daemon/refresh.h"
#include "lib/tap.h"
#include "mesh/core.h"
#include "sim/mesh-world.h"

enum wrong_rule {
	RULE_NONE,
	RULE_ANY_VOTER,
	RULE_LAST_HEARD,
	RULE_ANY_BEACON,
	RULE_WHOLE_ROWS,
};

static enum wrong_rule broken;

/* ---- rules, and how they are broken ---- */

bool __real_mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
			  const struct mesh_node *voter);
bool __wrap_mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
			  const struct mesh_node *voter);
void __real_mesh_node_raise(struct mesh *m, struct mesh_node *n, uint64_t incarnation);
void __wrap_mesh_node_raise(struct mesh *m, struct mesh_node *n, uint64_t incarnation);
bool __real_refresh_put(const struct row_key *key, const struct row *row,
			struct buf *out);
bool __wrap_refresh_put(const struct row_key *key, const struct row *row,
			struct buf *out);
bool __real_mesh_frame_beacon(struct mesh *m, struct mesh_link *l, struct bytes payload);
bool __wrap_mesh_frame_beacon(struct mesh *m, struct mesh_link *l, struct bytes payload);

/* Any member may say of any other that it is not there. */
bool
__wrap_mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
		     const struct mesh_node *voter)
{
	return broken == RULE_ANY_VOTER || __real_mesh_is_voter(m, x, voter);
}

/* Whatever was heard last of a node holds. */
void
__wrap_mesh_node_raise(struct mesh *m, struct mesh_node *n, uint64_t incarnation)
{
	if (broken == RULE_LAST_HEARD)
		n->incarnation = incarnation;
	else
		__real_mesh_node_raise(m, n, incarnation);
}

/* A beacon is followed also when it is not later than the one before. */
bool
__wrap_mesh_frame_beacon(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	if (broken == RULE_ANY_BEACON && m->tree.is_set && m->tree.root != &m->self)
		m->tree.beacon.seq--;
	return __real_mesh_frame_beacon(m, l, payload);
}

/* A row that is refreshed travels with its value. */
bool
__wrap_refresh_put(const struct row_key *key, const struct row *row, struct buf *out)
{
	return broken != RULE_WHOLE_ROWS && __real_refresh_put(key, row, out);
}

/* ---- they are caught ---- */

enum { WRONG_NODES = 16, WRONG_SEEDS = 200, RIGHT_SEEDS = 10 };

static const struct wrong {
	enum wrong_rule rule;
	const char *name, *says;
} wrongs[] = {
	{ RULE_ANY_VOTER, "anybody votes", "which does not watch it" },
	{ RULE_LAST_HEARD, "what was heard last holds", "holds incarnation" },
	{ RULE_ANY_BEACON, "any beacon is followed", "is behind itself in the tree" },
};

static void
run(uint64_t seed, struct world_result *ret_result)
{
	struct world_options options = { .seed = seed,
					 .nodes = WRONG_NODES,
					 .is_only_watched = true,
					 .faults = FAULTS_ALL };

	world_run(&options, MS_MINUTE, ret_result);
}

/* In which history is it caught? -1: in none. */
static int
caught_at(const struct wrong *wrong, struct world_result *ret_result)
{
	int at = -1;

	broken = wrong->rule;
	for (int i = 0; i < WRONG_SEEDS && at < 0; i++) {
		run(tap_seed() * 700 + (uint64_t)i, ret_result);
		if (strstr(ret_result->first_failure, wrong->says) != NULL)
			at = i;
	}
	broken = RULE_NONE;
	return at;
}

static void
test_wrong_rules(void)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct world_result result;
		int at = caught_at(&wrongs[i], &result);

		tap_note("%s: in history %d (%s)", wrongs[i].name, at,
			 result.first_failure);
		CU_ASSERT(at >= 0);
	}
}

/* The same histories, with the rules as they are; and there was something to look at. */
static void
test_right_rules(void)
{
	struct world_watched sum = { 0 };

	for (int i = 0; i < RIGHT_SEEDS; i++) {
		struct world_result result;

		run(tap_seed() * 700 + (uint64_t)i, &result);
		CU_ASSERT(result.failures == 0);
		sum.votes += result.watched.votes;
		sum.parents += result.watched.parents;
		sum.incarnations += result.watched.incarnations;
	}
	tap_note(
		"%llu votes, %llu edges of the tree and %llu incarnations were looked at",
		(unsigned long long)sum.votes, (unsigned long long)sum.parents,
		(unsigned long long)sum.incarnations);
	CU_ASSERT(sum.votes > 100 && sum.parents > 1000 && sum.incarnations > 1000);
}

/* The bytes of rows that a refresh costs for each other node. */
static double
refresh_bytes(enum wrong_rule rule)
{
	struct world_options options = {
		.seed = tap_seed(), .nodes = 20, .net = NET_LAN, .begin = BEGIN_FULL
	};
	struct world *w = world_calm(&options);
	struct world_bytes since;
	double bytes;

	world_go_on(w, 3 * MS_MINUTE); /* spare links are gone */
	world_bytes(w, -1, &since);
	broken = rule;
	for (int i = 0; i < options.nodes; i++) {
		world_refresh(w, i);
		world_go_on(w, 50);
	}
	world_go_on(w, MS_SECOND);
	broken = RULE_NONE;
	bytes = (double)world_sent(w, &since, 1u << WIRE_CLASS_ROWS) / options.nodes /
		(options.nodes - 1);
	CU_ASSERT(world_failures(w) == 0);
	world_free(w);
	return bytes;
}

static void
test_budget(void)
{
	double right = refresh_bytes(RULE_NONE), wrong = refresh_bytes(RULE_WHOLE_ROWS);

	tap_note("%.1f bytes for each node and refresh, with the value %.1f", right,
		 wrong);
	CU_ASSERT(right <= 1.06 * 120 && wrong > 1.06 * 120);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "wrong rules are seen after the step that is wrong", test_wrong_rules },
		{ "and those that are right are not", test_right_rules },
		{ "a refresh that takes its value along is above its budget",
		  test_budget },
	};

	return TAP_MAIN(argc, argv, tests);
}
