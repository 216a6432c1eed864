/* SPDX-License-Identifier: Apache-2.0 */
/* The table loses no row: random histories of machines against a model that keeps every
 * event for ever (tests/sim/table-world.h). That the check sees loss is shown by
 * test-sim-wrong.c. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "sim/table-world.h"

static bool
is_slow(void)
{
	const char *level = getenv("OCF_TEST_LEVEL");

	return level != NULL && strcmp(level, "slow") == 0;
}

static int
amount(int n, int slow)
{
	if (is_slow())
		return slow;
	return tap_is_quick() ? n / 10 + 1 : n;
}

static struct table_world *
world_new(void)
{
	return mem_calloc(1, sizeof(struct table_world));
}

static void
world_free(struct table_world *w)
{
	table_world_fini(w);
	free(w);
}

/* ---- a failing history made small ---- */

static bool
fails(struct table_world *w, const struct table_params *params)
{
	struct table_counts counts = { 0 };

	return table_world_run(w, params, &counts)[0] != '\0';
}

static bool
shrink_steps(struct table_world *w, struct table_params *p)
{
	bool is_smaller = false;

	for (int less = p->steps / 2; less > 0; less /= 2) {
		struct table_params q = *p;

		q.steps -= less;
		while (q.steps > 0 && fails(w, &q)) {
			*p = q;
			q.steps -= less;
			is_smaller = true;
		}
	}
	return is_smaller;
}

static bool
shrink_faults(struct table_world *w, struct table_params *p)
{
	bool is_smaller = false;

	for (unsigned bit = 1; bit < TABLE_FAULTS; bit <<= 1) {
		struct table_params q = *p;

		q.faults &= ~bit;
		if (q.faults != p->faults && fails(w, &q)) {
			*p = q;
			is_smaller = true;
		}
	}
	return is_smaller;
}

static bool
shrink_nodes(struct table_world *w, struct table_params *p)
{
	for (int nodes = 2; nodes < p->nodes; nodes++) {
		struct table_params q = *p;

		q.nodes = nodes;
		if (fails(w, &q)) {
			*p = q;
			return true;
		}
	}
	return false;
}

/* Fewer kinds of trouble, fewer nodes, fewer steps: whatever still fails. */
static void
shrink(struct table_world *w, struct table_params *p)
{
	bool is_smaller = true;

	for (int i = 0; i < 8 && is_smaller; i++) {
		is_smaller = shrink_faults(w, p);
		is_smaller |= shrink_steps(w, p);
		is_smaller |= shrink_nodes(w, p);
	}
}

/* `w` has just failed. */
static void
report(struct table_world *w, struct table_params p)
{
	struct table_counts counts = { 0 };

	tap_note("seed %llu: %s", (unsigned long long)p.seed, w->why);
	p = w->params;
	shrink(w, &p);
	table_world_run(w, &p, &counts);
	tap_note("smallest: OCF_TEST_HISTORY='%llu %d %d %x %d %d': %s",
		 (unsigned long long)p.seed, p.nodes, p.steps, p.faults, p.session_once,
		 p.store_once, w->why);
}

/* ---- histories ---- */

static void
histories(int n, struct table_params params, struct table_counts *counts)
{
	struct table_world *w = world_new();
	uint64_t seed = tap_seed() * 1000003 + params.seed;
	ms_t start = clock_mono_ms();
	int failed = 0;

	for (int i = 0; i < n && failed < 3; i++) {
		struct table_params p = params;

		p.seed = seed + (uint64_t)i;
		if (table_world_run(w, &p, counts)[0] == '\0')
			continue;
		failed++;
		report(w, p);
	}
	CU_ASSERT(failed == 0);
	tap_note("%llu histories from seed %llu, %llu steps, %.1f s",
		 (unsigned long long)counts->histories, (unsigned long long)seed,
		 (unsigned long long)counts->steps,
		 (double)(clock_mono_ms() - start) / MS_SECOND);
	tap_note("merges %llu, writes %llu, sweeps %llu, put aside %llu, renewals %llu, "
		 "clones %llu, sessions %llu (%llu real)",
		 (unsigned long long)counts->merges, (unsigned long long)counts->writes,
		 (unsigned long long)counts->sweeps, (unsigned long long)counts->asides,
		 (unsigned long long)counts->renewals, (unsigned long long)counts->clones,
		 (unsigned long long)counts->sessions,
		 (unsigned long long)counts->real_sessions);
	world_free(w);
}

static void
test_everyday(void)
{
	struct table_counts counts = { 0 };

	histories(amount(15000, 500000),
		  (struct table_params){ .faults = TABLE_EVERYDAY }, &counts);
}

/* What the generator is to bring about, it does. */
static void
check_counts(const struct table_counts *c)
{
	tap_note("%llu times more versions than a row keeps, %llu times a full context",
		 (unsigned long long)c->versions_over,
		 (unsigned long long)c->actors_over);
	CU_ASSERT(c->renewals > 0 && c->clones > 0 && c->sweeps > 0 && c->asides > 0);
	CU_ASSERT(c->real_sessions > 0 && c->left > 0);
	CU_ASSERT(tap_is_quick() || (c->versions_over > 0 && c->actors_over > 0));
}

static void
test_all_faults(void)
{
	struct table_counts counts = { 0 };

	histories(amount(15000, 500000),
		  (struct table_params){ .faults = TABLE_FAULTS, .session_once = 4 },
		  &counts);
	check_counts(&counts);
}

/* $OCF_TEST_HISTORY = "seed nodes steps faults session_once store_once": that one, told
 * step by step. */
static void
test_one(void)
{
	struct table_params p = { .is_told = true };
	struct table_world *w = world_new();
	struct table_counts counts = { 0 };
	const char *text = getenv("OCF_TEST_HISTORY");
	unsigned long long seed;

	if (text != NULL && sscanf(text, "%llu %d %d %x %d %d", &seed, &p.nodes, &p.steps,
				   &p.faults, &p.session_once, &p.store_once) == 6) {
		p.seed = seed;
		CU_ASSERT_STRING_EQUAL(table_world_run(w, &p, &counts), "");
	}
	world_free(w);
}

/* Over LMDB, every second machine. */
static void
test_real_stores(void)
{
	struct table_counts counts = { 0 };

	histories(amount(40, 2000),
		  (struct table_params){
			  .faults = TABLE_FAULTS, .store_once = 2, .session_once = 4 },
		  &counts);
	tap_note("%llu machines with a real store",
		 (unsigned long long)counts.store_machines);
	CU_ASSERT(counts.store_machines > 0);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "histories with everyday faults lose nothing", test_everyday },
		{ "histories with all faults lose nothing", test_all_faults },
		{ "nor do they over real stores", test_real_stores },
		{ "a history given by hand is told", test_one },
	};

	return TAP_MAIN(argc, argv, tests);
}
