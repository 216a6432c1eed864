/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions between tables that are swept meanwhile, by clocks minutes apart: owners that live
 * keep what they wrote last, of those that are gone nothing is left, and what was removed and
 * forgotten does not return. Nodes are parted for less than the retention; what happens
 * beyond it is the table's business, not the session's. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/rows.h"
#include "lib/tap.h"
#include "sim/sync-world.h"

enum {
	LEASE_OWNERS = 24,
	LEASE_ROWS = 6, /* of an owner, the first its node row */
	LEASE_KEYS = LEASE_OWNERS * LEASE_ROWS,
	LEASE_RETENTION_MS = 3 * MS_HOUR,
};

/* Owners write at one node each, refresh their node rows, and some stop for good. */
struct leased {
	struct sync_world w;
	bool is_live[LEASE_KEYS];
	bool is_gone[LEASE_OWNERS];
	ms_t refresh[LEASE_OWNERS];
	bool is_quiet;
};

static struct row_key
leased_key(int i)
{
	return test_key(1 + (uint64_t)(i / LEASE_ROWS), i % LEASE_ROWS - 1);
}

static void
leased_write(struct leased *l, int i, bool is_live)
{
	struct row_key key = leased_key(i);

	sync_world_write(&l->w, i / LEASE_ROWS % l->w.nodes_len, &key, is_live ? 40 : -1);
	l->is_live[i] = is_live;
}

static void
leased_refresh(struct leased *l)
{
	for (int o = 0; o < LEASE_OWNERS; o++) {
		if (l->is_gone[o] || l->w.sim.now < l->refresh[o])
			continue;
		leased_write(l, o * LEASE_ROWS, true);
		l->refresh[o] = l->w.sim.now + LEASE_RETENTION_MS * 9 / 20 +
				(ms_t)sim_below(&l->w.sim, LEASE_RETENTION_MS / 10);
	}
}

static void
leased_fault(struct sim *sim, void *arg, void *data)
{
	struct leased *l = arg;
	struct sync_world *w = &l->w;
	int a = (int)sim_below(sim, (uint64_t)w->nodes_len);
	int b = (int)sim_below(sim, (uint64_t)w->nodes_len);
	int i = (int)sim_below(sim, LEASE_KEYS);

	(void)data;
	leased_refresh(l);
	if (!l->is_quiet) {
		if (a != b && sync_world_link(w, a, b) >= 0 && sim_once_in(sim, 5))
			sync_world_cut(w, sync_world_link(w, a, b));
		else if (a != b)
			sync_world_connect(w, a, b);
		if (i % LEASE_ROWS != 0 && !l->is_gone[i / LEASE_ROWS])
			leased_write(l, i, sim_once_in(sim, 2));
		if (sim_once_in(sim, 100))
			l->is_gone[i / LEASE_ROWS] = true;
	}
	sim_at(sim, sim->now + 1 + (ms_t)sim_below(sim, MS_MINUTE), leased_fault, l,
	       NULL);
}

static void
leased_check(struct leased *l, int node)
{
	struct sync_world_node *n = &l->w.nodes[node];

	for (int i = 0; i < LEASE_KEYS; i++) {
		struct row_key key = leased_key(i);
		bool is_gone = l->is_gone[i / LEASE_ROWS];
		struct row row;

		rowset_get(&n->rows, &key, &row);
		/* Of whom is gone nothing is left; of the others what they wrote last. */
		if (is_gone) {
			CU_ASSERT(row.len == 0);
		} else {
			CU_ASSERT((row_visible(&row) != NULL) == l->is_live[i]);
		}
		CU_ASSERT(!leases_sweep(n->leases, &key, &row));
		row_fini(&row);
	}
}

/* Returns how often a horizon was taken from another. */
static int
leased_run(uint64_t seed)
{
	struct leased *l = mem_calloc(1, sizeof(*l));
	struct sync_world *w = &l->w;
	int taken = 0;

	sync_world_init(w, seed, 4, 20 * MS_SECOND);
	w->beat_ms = 10 * MS_SECOND;
	for (int i = 0; i < w->nodes_len; i++)
		w->nodes[i].skew = (ms_t)sim_below(&w->sim, 8 * MS_MINUTE) -
				   4 * MS_MINUTE;
	sync_world_lease(w, LEASE_RETENTION_MS);
	sync_world_connect_all(w);
	leased_fault(&w->sim, l, NULL);
	sync_world_run(w, (tap_is_quick() ? 5 : 10) * MS_HOUR);
	l->is_quiet = true;
	sync_world_connect_all(w);
	sync_world_run(w, LEASE_RETENTION_MS + MS_HOUR);
	/* The middle of an hour of all clocks. */
	sync_world_run(w, MS_HOUR * 3 / 2 - (w->sim.now + SYNC_WORLD_WALL_MS) % MS_HOUR);
	CU_ASSERT(sync_world_converge(w, 10 * MS_MINUTE) >= 0);
	for (int i = 0; i < w->nodes_len; i++) {
		CU_ASSERT(leases_horizon(w->nodes[i].leases) ==
			  leases_horizon(w->nodes[0].leases));
		CU_ASSERT(w->nodes[i].rejects == 0 && w->nodes[i].disbelieved == 0);
		leased_check(l, i);
		taken += w->nodes[i].swept_for;
		CU_ASSERT(rowset_equal(&w->nodes[0].rows, &w->nodes[i].rows));
	}
	sync_world_fini(w);
	free(l);
	return taken;
}

static void
test_leases(void)
{
	int taken = 0;

	for (int i = 0; i < (tap_is_quick() ? 1 : 10); i++) {
		unsigned before = CU_get_number_of_failures();

		taken += leased_run(tap_seed() * 1000 + (uint64_t)i);
		if (CU_get_number_of_failures() != before)
			tap_note("failed with round %d", i);
	}
	CU_ASSERT(taken > 0);
}

/* A clock that is an hour ahead sweeps what lives: no row may go over that link. */
static void
test_wrong_clock(void)
{
	for (int asks = 0; asks < 2; asks++) {
		struct sync_world w;
		struct sync_result r;

		sync_world_init(&w, tap_seed(), 2, 0);
		w.nodes[1].skew = 70 * MS_MINUTE;
		sync_world_lease(&w, LEASE_RETENTION_MS);
		for (int i = 0; i < 20; i++) {
			struct row_key key = leased_key(i % 2 * LEASE_ROWS);

			sync_world_write(&w, i % 2, &key, 50);
		}
		sync_world_connect(&w, 0, 1);
		sync_world_run(&w, 3 * MS_MINUTE);
		r = sync_world_start(&w, asks, 1 - asks, false);
		CU_ASSERT(r.rc == -ESTALE && r.rows_sent + r.rows_received == 0);
		CU_ASSERT(strstr(r.why, "clock") != NULL);
		for (int i = 0; i < 2; i++) {
			CU_ASSERT(w.nodes[i].row_bytes == 0 && w.nodes[i].rejects == 0);
			CU_ASSERT(w.nodes[i].rows.len == 1);
		}
		/* A person may compare all the same. */
		r = sync_world_start(&w, asks, 1 - asks, true);
		CU_ASSERT(r.rc == 0 && r.only_here == 1 && r.only_there == 1);
		sync_world_fini(&w);
	}
}

static const struct tap_test tests[] = {
	{ "sweeps race sessions: what lives stays, what was swept does not return",
	  test_leases },
	{ "no row goes between tables of which one has a wrong clock", test_wrong_clock },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
