/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and the horizon, one rule at a time; that they lose nothing together with
 * everything else is tests/sim/test-sim-table.c. */
#include "config.h"

#include "crdt/lease.h"

#include "lib/rows.h"
#include "lib/tap.h"

static const ms_t retention = 7 * (ms_t)MS_DAY;
static const ms_t now = 1000 * (ms_t)MS_DAY;

static struct leases *
leases_fresh(void)
{
	static const struct id nobody = { { 0 } };
	struct leases *l = leases_new(&nobody, retention);

	CU_ASSERT(leases_tick(l, 0, now));
	return l;
}

static void
row_stamped(ms_t stamp, int len, struct row *ret_row)
{
	test_row(9, 1, 0, len, 1, ret_row);
	ret_row->versions[0].stamp = (uint64_t)stamp;
}

static void
note(struct leases *l, const struct row_key *key, ms_t stamp)
{
	struct row row;

	row_stamped(stamp, 10, &row);
	leases_note(l, key, &row);
	row_fini(&row);
}

/* What a sweep leaves of a row stamped so: -1: nothing; else whether it changed. */
static int
sweep(struct leases *l, const struct row_key *key, ms_t stamp, int len)
{
	struct row row;
	bool has_changed;

	row_stamped(stamp, len, &row);
	has_changed = leases_sweep(l, key, &row);
	if (row.len == 0)
		return has_changed ? -1 : -2;
	row_fini(&row);
	return has_changed;
}

static struct row_key
key_about(enum row_kind kind, const struct id *node)
{
	static const struct id ca = { { 0xca } };
	char name[ID_TEXT_SIZE];
	struct row_key key;

	CU_ASSERT_FATAL(row_key_make(&ca, kind, id_text(node, name), &key) == 0);
	return key;
}

static void
test_horizon(void)
{
	struct leases *l = leases_fresh();
	bool has_changed;
	uint64_t h = (uint64_t)(now - retention);

	CU_ASSERT(leases_horizon(l) == h); /* a whole hour already */
	CU_ASSERT(!leases_tick(l, 0, now + MS_HOUR - 1));
	CU_ASSERT(leases_tick(l, 0, now + MS_HOUR));
	CU_ASSERT(leases_horizon(l) == h + MS_HOUR);
	/* It only grows, but for a clock that had been wrong. */
	CU_ASSERT(!leases_tick(l, 0, now + MS_HOUR - LEASE_AHEAD_MS));
	CU_ASSERT(leases_tick(l, 0, now - MS_HOUR));
	CU_ASSERT(leases_horizon(l) == h - MS_HOUR);
	/* That of the store counts, unless it is of such a clock. */
	CU_ASSERT(leases_tick(l, h, now));
	CU_ASSERT(!leases_tick(l, h + MS_HOUR, now));
	CU_ASSERT(leases_horizon(l) == h);
	/* A peer's is taken when it may be right. */
	CU_ASSERT(leases_hear(l, h + MS_HOUR, now + MS_HOUR - LEASE_AHEAD_MS,
			      &has_changed));
	CU_ASSERT(has_changed && leases_horizon(l) == h + MS_HOUR);
	CU_ASSERT(!leases_hear(l, h + 3 * MS_HOUR, now + MS_HOUR, &has_changed));
	CU_ASSERT(!leases_hear(l, h + MS_HOUR + 1, now + MS_HOUR, &has_changed));
	CU_ASSERT(!has_changed && leases_horizon(l) == h + MS_HOUR);
	CU_ASSERT(leases_hear(l, h - 10 * MS_HOUR, now + MS_HOUR, &has_changed));
	CU_ASSERT(!has_changed && leases_horizon(l) == h + MS_HOUR);
	leases_free(l);
}

static void
test_lease(void)
{
	struct row_key node = test_key(1, -1), worker = test_key(1, 3);
	struct leases *l = leases_fresh();
	ms_t h = now - retention;

	CU_ASSERT(!leases_knows(l, &worker) && leases_knows(l, &node));
	note(l, &node, h + 1);
	CU_ASSERT(leases_knows(l, &worker));
	CU_ASSERT(leases_of(l, &node.owner) == (uint64_t)h + 1);
	/* A row's own stamp says nothing, unless it was removed. */
	CU_ASSERT(sweep(l, &worker, 1, 10) == 0);
	CU_ASSERT(sweep(l, &worker, h, -1) == -1);
	CU_ASSERT(sweep(l, &worker, h + 1, -1) == 0);
	/* The owner's lease does. */
	note(l, &node, h);
	CU_ASSERT(sweep(l, &worker, now, 10) == -1);
	CU_ASSERT(sweep(l, &node, h, 10) == -1);
	CU_ASSERT(sweep(l, &node, h + 1, 10) == 0);
	leases_note(l, &node, NULL);
	CU_ASSERT(leases_of(l, &node.owner) == 0 && !leases_knows(l, &worker));
	leases_free(l);
}

static void
test_over(void)
{
	struct row_key node = test_key(1, -1);
	struct leases *l = leases_fresh();

	CU_ASSERT(leases_is_over(l, &node.owner, now));
	note(l, &node, now);
	CU_ASSERT(!leases_is_over(l, &node.owner, now + retention - 1));
	CU_ASSERT(leases_is_over(l, &node.owner, now + retention));
	leases_free(l);
}

static void
test_ban(void)
{
	struct row_key node = test_key(1, -1), worker = test_key(1, 0);
	struct row_key ban = key_about(ROW_BAN, &node.owner);
	struct row_key forget = key_about(ROW_FORGET, &node.owner);
	struct leases *l = leases_fresh();
	struct row row;

	note(l, &node, now);
	note(l, &ban, now - MS_HOUR);
	CU_ASSERT(leases_of(l, &node.owner) == (uint64_t)(now - MS_HOUR));
	note(l, &forget, now - 2 * MS_HOUR);
	CU_ASSERT(leases_of(l, &node.owner) == (uint64_t)(now - 2 * MS_HOUR));
	note(l, &forget, now + MS_HOUR);
	note(l, &ban, now - retention);
	CU_ASSERT(sweep(l, &worker, now, 10) == -1);
	CU_ASSERT(sweep(l, &node, now, 10) == -1);
	/* They themselves stay for ever, removed or not. */
	CU_ASSERT(sweep(l, &ban, 1, 10) == 0);
	CU_ASSERT(sweep(l, &ban, 1, -1) == 0);
	row_stamped(now, -1, &row);
	leases_note(l, &ban, &row); /* unbanned */
	CU_ASSERT(leases_of(l, &node.owner) == (uint64_t)now);
	row_fini(&row);
	leases_free(l);
}

static void
test_self(void)
{
	struct row_key node = test_key(1, -1), worker = test_key(1, 0);
	struct leases *l = leases_new(&node.owner, retention);

	CU_ASSERT(leases_tick(l, 0, now));
	note(l, &node, now - 2 * retention);
	CU_ASSERT(sweep(l, &node, now - 2 * retention, 10) == 0);
	CU_ASSERT(sweep(l, &worker, 1, 10) == 0);
	CU_ASSERT(sweep(l, &worker, 1, -1) == -1);
	leases_free(l);
}

static void
count(void *arg, const struct id *owner)
{
	(void)owner;
	++*(int *)arg;
}

static void
test_each(void)
{
	struct leases *l = leases_fresh();
	int n = 0;

	for (int i = 1; i <= 100; i++) {
		struct row_key node = test_key((uint64_t)i, -1);

		note(l, &node, i <= 30 ? now - retention : now);
	}
	leases_each_ended(l, count, &n);
	CU_ASSERT(n == 30);
	leases_free(l);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "the horizon grows with the clock and with believable peers",
		  test_horizon },
		{ "rows live as long as their owner's lease", test_lease },
		{ "a lease is over before it is swept", test_over },
		{ "a ban or a forget ends the lease, and stays", test_ban },
		{ "a node's own rows do not end by its own lease", test_self },
		{ "the owners that have ended are found", test_each },
	};

	return TAP_MAIN(argc, argv, tests);
}
