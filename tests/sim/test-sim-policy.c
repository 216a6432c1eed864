/* SPDX-License-Identifier: Apache-2.0 */
/* That a node is chosen well: shorter tails than under every policy that others have, and not
 * much longer ones than if everything were known. tests/sim/policy prints all of it. */
#include "config.h"

#include "lib/tap.h"
#include "sim/policy-world.h"

static struct policy_result
measure(const struct policy_kind *kind, double load, enum policy_stress stress)
{
	struct policy_setup setup = { .kind = kind,
				      .seed = tap_seed(),
				      .load = load,
				      .stress = stress,
				      .warm_ms = 4 * MS_SECOND,
				      .span_ms = (tap_is_quick() ? 6 : 60) * MS_SECOND };
	struct policy_result r;

	policy_run(&setup, &r);
	tap_note("%s at %.2f, %s: mean %.0f ms, p99 %.0f ms", kind->name, load,
		 policy_stress_name(stress), r.mean_ms, r.p99_ms);
	return r;
}

static void
beats_all(double load, enum policy_stress stress, double most)
{
	struct policy_result ours = measure(policy_kind_named("best"), load, stress), r;

	CU_ASSERT(ours.queries > 1000 && ours.lost == 0);
	/* The others take far longer, and the test with them: in full length only. */
	for (const struct policy_kind *k = policy_kinds; k->name != NULL; k++)
		if (k->is_rival && (k->is_close || !tap_is_quick())) {
			r = measure(k, load, stress);
			CU_ASSERT(ours.p99_ms < r.p99_ms);
			CU_ASSERT(ours.mean_ms < r.mean_ms);
		}
	r = measure(policy_kind_named("omniscient"), load, stress);
	CU_ASSERT(ours.mean_ms < most * r.mean_ms);
	CU_ASSERT(ours.p99_ms < most * r.p99_ms);
}

static void
test_half(void)
{
	beats_all(0.5, POLICY_CALM, 1.4);
}

static void
test_full(void)
{
	beats_all(0.85, POLICY_CALM, 1.3);
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
	{ "and at 0.85, nearly as soon as if all were known", test_full },
	{ "when nobody tells its load the choice is still better than by chance",
	  test_untold },
	{ "nodes that turn slow for a while are avoided", test_slowed },
	{ "no query is lost because nodes come and go", test_churn },
	{ "a seed gives the same history twice", test_repeatable },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
