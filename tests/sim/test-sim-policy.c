/* SPDX-License-Identifier: Apache-2.0 */
/* That a node is chosen well: shorter tails than under every policy that others have, and not
 * much longer ones than if everything were known. tests/sim/policy prints all of it. */
#include "config.h"

#include "lib/tap.h"
#include "sim/policy-world.h"

/* Of so many seeds the mean. */
static struct policy_result
measure_seeds(const struct policy_kind *kind, double load, enum policy_stress stress,
	      int seeds)
{
	struct policy_result sum = { 0 }, r;

	for (int i = 0; i < seeds; i++) {
		struct policy_setup setup = { .kind = kind,
					      .seed = tap_seed() + (uint64_t)i,
					      .load = load,
					      .stress = stress,
					      .warm_ms = 4 * MS_SECOND,
					      .span_ms = (tap_is_quick() ? 6 : 20) *
							 MS_SECOND };

		policy_run(&setup, &r);
		sum.queries += r.queries;
		sum.lost += r.lost;
		sum.mean_ms += r.mean_ms / seeds;
		sum.p99_ms += r.p99_ms / seeds;
	}
	tap_note("%s at %.2f, %s: mean %.0f ms, p99 %.0f ms", kind->name, load,
		 policy_stress_name(stress), sum.mean_ms, sum.p99_ms);
	return sum;
}

static struct policy_result
measure(const struct policy_kind *kind, double load, enum policy_stress stress)
{
	return measure_seeds(kind, load, stress, 1);
}

/* The target is 1.4 at half load, and 1.15 from 0.7 on. Over eight seeds of 30 s the 99th
 * percentile was 1.13 times as long as with all known at 0.5, and 1.09 to 1.13 from 0.7; a
 * single one differs by up to 0.07, a short one by more. */
static double
allowed(double load)
{
	if (tap_is_quick())
		return 1.3;
	return load < 0.7 ? 1.25 : 1.15;
}

static void
beats_all(double load)
{
	const struct policy_kind *best = policy_kind_named("best"), *k;
	struct policy_result ours = measure(best, load, POLICY_CALM), r;
	int seeds = tap_is_quick() ? 1 : 3;

	CU_ASSERT(ours.queries > 1000 && ours.lost == 0);
	/* The easy ones have queues that grow and grow: once is enough. */
	for (k = policy_kinds; k->name != NULL; k++)
		if (k->is_rival && (k->is_close || (load == 0.5 && !tap_is_quick()))) {
			r = measure(k, load, POLICY_CALM);
			CU_ASSERT(ours.p99_ms < r.p99_ms);
			CU_ASSERT(ours.mean_ms < r.mean_ms);
		}
	ours = measure_seeds(best, load, POLICY_CALM, seeds);
	r = measure_seeds(policy_kind_named("omniscient"), load, POLICY_CALM, seeds);
	CU_ASSERT(ours.p99_ms < allowed(load) * r.p99_ms);
	CU_ASSERT(ours.mean_ms < 1.2 * r.mean_ms);
}

static void
test_half(void)
{
	beats_all(0.5);
}

static void
test_more(void)
{
	beats_all(0.7);
	beats_all(0.85);
	beats_all(0.95);
}

/* Nobody says anything of load: what the node sees itself is enough to stay stable. */
static void
test_untold(void)
{
	struct policy_result ours = measure(policy_kind_named("best"), 0.85,
					    POLICY_UNTOLD),
			     weighted = measure(policy_kind_named("random-capacity"),
						0.85, POLICY_UNTOLD);

	CU_ASSERT(ours.p99_ms < weighted.p99_ms);
}

static void
test_slowed(void)
{
	struct policy_result ours = measure(policy_kind_named("best"), 0.7,
					    POLICY_SLOWED),
			     jiq = measure(policy_kind_named("join-idle-queue"), 0.7,
					   POLICY_SLOWED);

	CU_ASSERT(ours.p99_ms < jiq.p99_ms);
}

/* Why `dispatch.hedge` is there; and why it is not the default: if the work makes a query long,
 * and not the worker, it takes as long a second time. */
static void
test_stalls(void)
{
	const struct policy_kind *hedged = policy_kind_named("best-hedged"),
				 *best = policy_kind_named("best");
	struct policy_result with = measure(hedged, 0.5, POLICY_STALLS),
			     without = measure(best, 0.5, POLICY_STALLS);

	CU_ASSERT(with.lost == 0 && with.p99_ms < 0.7 * without.p99_ms);
	with = measure(hedged, 0.7, POLICY_CALM);
	without = measure(best, 0.7, POLICY_CALM);
	CU_ASSERT(with.lost == 0 && with.p99_ms < 1.15 * without.p99_ms);
}

static void
test_churn(void)
{
	struct policy_result ours = measure(policy_kind_named("best"), 0.7, POLICY_CHURN);

	CU_ASSERT(ours.lost == 0);
}

static void
test_repeatable(void)
{
	const struct policy_kind *best = policy_kind_named("best");
	struct policy_setup setup = {
		.kind = best, .seed = tap_seed(), .load = 0.9, .span_ms = 2 * MS_SECOND
	};
	struct policy_result a, b;

	policy_run(&setup, &a);
	policy_run(&setup, &b);
	CU_ASSERT(a.trace == b.trace && a.queries == b.queries);
}

static const struct tap_test tests[] = {
	{ "at half load queries are done sooner than under any other policy", test_half },
	{ "and from 0.7 to 0.95, nearly as soon as if all were known", test_more },
	{ "when nobody tells its load the choice is still better than by chance",
	  test_untold },
	{ "nodes that turn slow for a while are avoided", test_slowed },
	{ "a second copy saves those that a worker holds up, and costs the others little",
	  test_stalls },
	{ "no query is lost because nodes come and go", test_churn },
	{ "a seed gives the same history twice", test_repeatable },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
