/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch in a world where much goes wrong: how many nodes, with which seeds, and what must
 * have come of it. What each history is checked for stands in dispatch-world.h. */
#include "config.h"

#include "lib/tap.h"
#include "sim/dispatch-world.h"

static void
test_tame(void)
{
	for (int nodes = 1; nodes <= NODES_MAX; nodes++) {
		struct outcome out = world_run(tap_seed() + (uint64_t)nodes, nodes, true);

		/* Queues of 6 overflow, which is 503; most are answered. */
		CU_ASSERT(out.done > out.asked / 3);
	}
}

static void
test_faults(void)
{
	struct outcome all = { 0 };

	for (int i = 0; i < (tap_is_quick() ? 20 : 150); i++) {
		uint64_t seed = tap_seed() * 1000 + (uint64_t)i;
		unsigned before = CU_get_number_of_failures();
		struct outcome out = world_run(seed, 1 + i % NODES_MAX, false);

		if (CU_get_number_of_failures() != before)
			tap_note("failed with seed %llu, %d nodes",
				 (unsigned long long)seed, 1 + i % NODES_MAX);
		all.done += out.done;
		all.asked += out.asked;
		all.onward += out.onward;
		all.given += out.given;
		all.hedges += out.hedges;
		all.hedges_won += out.hedges_won;
		for (int k = 0; k < 600; k++)
			all.errors[k] += out.errors[k];
	}
	tap_note("%d asked, %d answered; 429 %d, 502 %d, 503 %d, 504 %d", all.asked,
		 all.done, all.errors[429], all.errors[502], all.errors[503],
		 all.errors[504]);
	tap_note("%llu went on from where they waited, %llu were given to who asked",
		 (unsigned long long)all.onward, (unsigned long long)all.given);
	tap_note("%llu were sent twice, and %llu answered by the second",
		 (unsigned long long)all.hedges, (unsigned long long)all.hedges_won);
	/* The test is worth something only if all of this happens. */
	CU_ASSERT(tap_is_quick() || (all.onward > 0 && all.given > 0));
	CU_ASSERT(tap_is_quick() || (all.hedges > 0 && all.hedges_won > 0));
	CU_ASSERT(all.done > all.asked / 10 && all.errors[502] > 0);
	CU_ASSERT(all.errors[429] > 0 && all.errors[503] > 0 && all.errors[504] > 0);
}

static void
test_repeatable(void)
{
	for (int i = 0; i < 3; i++) {
		uint64_t seed = tap_seed() + 99 + (uint64_t)i;

		CU_ASSERT(world_run(seed, 3, false).trace ==
			  world_run(seed, 3, false).trace);
	}
}

static const struct tap_test tests[] = {
	{ "with good workers and a whole network, queries are answered or told to wait",
	  test_tame },
	{ "whatever breaks, every query ends once and in time, and nothing leaks",
	  test_faults },
	{ "a seed gives the same history twice", test_repeatable },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
