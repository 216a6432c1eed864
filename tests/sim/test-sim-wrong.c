/* SPDX-License-Identifier: Apache-2.0 */
/* The proof that the check of test-sim-table.c sees loss: wrong replicas, each with one
 * well-known mistake, are caught within a few histories; and tables with one causal context
 * for all lose rows in five plausible ways (tests/lib/global-context.h). */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/global-context.h"
#include "lib/tap.h"
#include "sim/table-world.h"

/* ---- wrong replicas are caught ---- */

struct wrong {
	enum table_break broken;
	const char *name;
	unsigned faults;
	int most; /* histories within which it must be caught, */
	/* and within which by the state that all reach once quiet alone; 0: the owner puts it
	 * right in the end, and the model of each step sees what is lost meanwhile. */
	int most_quiet;
};

static const struct wrong wrongs[] = {
	{ TABLE_CONTEXT_NOT_JOINED, "context not joined", TABLE_EVERYDAY, 400, 0 },
	{ TABLE_HIGHEST_SEQ, "merge by the highest number", TABLE_EVERYDAY, 50, 100 },
	{ TABLE_GE_FOR_GT, ">= for >", TABLE_EVERYDAY, 50, 50 },
	{ TABLE_OWN_STAMP_AGE, "age by the row's own stamp", TABLE_EVERYDAY, 50, 50 },
	{ TABLE_ACTOR_REUSED, "an actor reused after disk loss", TABLE_EVERYDAY, 100,
	  100 },
	{ TABLE_NUMBERS_AGAIN, "numbering restarted after a crash", TABLE_EVERYDAY, 50,
	  50 },
	{ TABLE_NO_AUTHORITY, "no owner authority", TABLE_EVERYDAY, 50, 100 },
	{ TABLE_NO_REFRESH, "no refresh", TABLE_EVERYDAY, 50, 50 },
	{ TABLE_HORIZON_TRUSTED, "a wrong clock's horizon taken", TABLE_EVERYDAY, 2000,
	  2000 },
	{ TABLE_SAME_DOT_MINE, "same dot keeps mine", TABLE_EVERYDAY | TABLE_TWIN, 2000,
	  2000 },
	{ TABLE_NO_CONTEXT_SENT, "a state sent without its context", TABLE_EVERYDAY, 50,
	  50 },
};

/* In which history is it caught? -1: in none. */
static int
caught_at(struct table_world *w, const struct wrong *wrong, bool is_lax, int most)
{
	struct table_params p = { .faults = wrong->faults,
				  .broken = wrong->broken,
				  .is_lax = is_lax };
	struct table_counts counts = { 0 };

	for (int i = 0; i < most; i++) {
		p.seed = tap_seed() * 7919 + (uint64_t)i;
		if (table_world_run(w, &p, &counts)[0] != '\0')
			return i;
	}
	return -1;
}

static void
test_wrong_replicas(void)
{
	struct table_world *w = mem_calloc(1, sizeof(*w));

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		int full = caught_at(w, &wrongs[i], false, wrongs[i].most);
		char why[TABLE_WHY_SIZE];
		int lax;

		snprintf(why, sizeof(why), "%s", w->why);
		lax = caught_at(w, &wrongs[i], true, wrongs[i].most_quiet);
		tap_note("%s: in history %d (%s); once quiet in %d (%s)", wrongs[i].name,
			 full, why, lax, w->why);
		CU_ASSERT(full >= 0);
		CU_ASSERT(lax >= 0 || wrongs[i].most_quiet == 0);
	}
	table_world_fini(w);
	free(w);
}

static void
test_global_contexts(void)
{
	static const char *const names[GLOBAL_WAYS] = {
		"the right way",
		"judged by a later context",
		"a newer context joined",
		"the context joined first",
		"joined after a cut session",
		"no cloud",
	};
	int n = tap_is_quick() ? 200 : 2000;

	for (int way = 0; way < GLOBAL_WAYS; way++) {
		int runs = 0, live = 0, lost = 0, returned = 0, unequal = 0;

		for (int i = 0; i < n; i++) {
			struct global_result r;

			global_history((enum global_way)way, tap_seed() + (uint64_t)i,
				       &r);
			runs += r.lost > 0;
			live += r.live;
			lost += r.lost;
			returned += r.returned;
			unequal += !r.is_equal;
		}
		tap_note("%s: %d of %d runs lose live rows, %d of %d rows", names[way],
			 runs, n, lost, live);
		CU_ASSERT(unequal == 0 && returned == 0);
		CU_ASSERT(way == GLOBAL_RIGHT ? runs == 0 : runs > n / 4);
	}
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "wrong replicas are caught", test_wrong_replicas },
		{ "one context for the whole table loses rows in five ways, and all replicas "
		  "agree",
		  test_global_contexts },
	};

	return TAP_MAIN(argc, argv, tests);
}
