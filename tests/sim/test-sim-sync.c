/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that drifted apart find each other again, whatever happens meanwhile; afterwards
 * they hold exactly what the naive model of tests/lib/model.h holds: nothing live is lost and
 * nothing removed returns. And what it costs. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/model.h"
#include "lib/rows.h"
#include "lib/tap.h"
#include "sim/sync-world.h"

enum { KEYS = 60 };

static int
rounds(int n)
{
	return tap_is_quick() ? n / 10 + 1 : n;
}

/* Rows of one owner each, which also has node rows among its keys. */
static struct row_key
key_of(int i)
{
	return test_key(1 + (uint64_t)i / 50, i % 50 - 1);
}

/* `n` rows, the same wherever they are. */
static void
world_some(struct sync_world *w, int node, int n, int len)
{
	for (int i = 0; i < n; i++) {
		struct row_key key = key_of(i);
		struct row row;

		test_row(99, (uint64_t)i + 1, 0, len, (uint64_t)i, &row);
		rowset_merge(&w->nodes[node].rows, &key, &row);
		row_fini(&row);
	}
}

/* All nodes hold them, and nothing else. */
static void
world_common(struct sync_world *w, int n, int len)
{
	for (int i = 0; i < w->nodes_len; i++)
		sync_world_empty(w, i);
	world_some(w, 0, n, len);
	for (int i = 1; i < w->nodes_len; i++)
		rowset_copy(&w->nodes[0].rows, &w->nodes[i].rows);
}

/* ---- against the model ---- */

struct history {
	struct sync_world w;
	struct model models[KEYS];
	bool is_quiet;
};

/* The events that the state of a row has seen. */
static uint64_t
history_seen(const struct model *m, const struct row *row)
{
	uint64_t seen = 0;

	for (int i = 0; i < m->n; i++)
		if (row_seen(row, m->events[i].version.dot.actor) >=
		    m->events[i].version.dot.seq)
			seen |= UINT64_C(1) << i;
	return seen;
}

static void
history_write(struct history *h, int node)
{
	struct sync_world_node *n = &h->w.nodes[node];
	int i = (int)sim_below(&h->w.sim, KEYS), event;
	struct model *m = &h->models[i];
	struct row_key key = key_of(i);
	struct dot dot = { .actor = (uint64_t)node + 1, .seq = ++n->seq };
	struct row row, one;

	if (m->n == MODEL_EVENTS_MAX)
		return;
	m->last_stamp = (uint64_t)(h->w.sim.now + SYNC_WORLD_WALL_MS);
	rowset_get(&n->rows, &key, &row);
	event = model_write(m, history_seen(m, &row), &row, dot,
			    key.kind == ROW_NODE || !sim_once_in(&h->w.sim, 3) ? "a value"
									       : NULL);
	assert(event >= 0);
	model_row(m, event, &one);
	rowset_merge(&n->rows, &key, &one);
	row_fini(&one);
	row_fini(&row);
}

static void
history_fault(struct sim *sim, void *arg, void *data)
{
	struct history *h = arg;
	struct sync_world *w = &h->w;
	int a = (int)sim_below(sim, (uint64_t)w->nodes_len);
	int b = (int)sim_below(sim, (uint64_t)w->nodes_len);

	(void)data;
	if (h->is_quiet)
		return;
	if (a != b && sim_once_in(sim, 4) && sync_world_link(w, a, b) >= 0)
		sync_world_cut(w, sync_world_link(w, a, b));
	else if (a != b && sim_once_in(sim, 3))
		sync_world_connect(w, a, b);
	else
		history_write(h, a);
	sim_at(sim, sim->now + 1 + (ms_t)sim_below(sim, 2000), history_fault, h, NULL);
}

static void
history_check(struct history *h)
{
	for (int i = 0; i < KEYS; i++) {
		struct model *m = &h->models[i];
		uint64_t all = m->n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << m->n) - 1;
		struct row_key key = key_of(i);

		for (int node = 0; node < h->w.nodes_len; node++) {
			struct row row;

			rowset_get(&h->w.nodes[node].rows, &key, &row);
			CU_ASSERT(model_agrees(m, all, &row));
			row_fini(&row);
		}
	}
}

static uint64_t
history_run(uint64_t seed, int nodes, ms_t interval)
{
	struct history *h = mem_calloc(1, sizeof(*h));
	struct sync_world *w = &h->w;
	uint64_t trace;
	ms_t took;

	sync_world_init(w, seed, nodes, interval);
	for (int i = 0; i < KEYS; i++)
		model_init(&h->models[i]);
	for (int i = 0; i < 200; i++)
		history_write(h, (int)sim_below(&w->sim, (uint64_t)nodes));
	for (int i = 0; i < nodes; i++)
		w->nodes[i].fail_reads = i % 3 == 2 ? 50 : 0;
	sync_world_connect_all(w);
	sim_at(&w->sim, w->sim.now + 1, history_fault, h, NULL);
	sync_world_run(w, 4 * MS_MINUTE);
	h->is_quiet = true;
	for (int i = 0; i < nodes; i++)
		w->nodes[i].fail_reads = 0;
	sync_world_connect_all(w);
	took = sync_world_converge(w, 20 * MS_MINUTE);
	CU_ASSERT(took >= 0);
	history_check(h);
	for (int i = 0; i < nodes; i++) {
		CU_ASSERT(w->nodes[i].rejects == 0);
		CU_ASSERT(rowset_equal(&w->nodes[0].rows, &w->nodes[i].rows));
	}
	trace = w->sim.trace;
	sync_world_fini(w);
	for (int i = 0; i < KEYS; i++)
		model_fini(&h->models[i]);
	free(h);
	return trace;
}

static void
test_histories(void)
{
	for (int i = 0; i < rounds(50); i++) {
		uint64_t seed = tap_seed() * 1000 + (uint64_t)i;
		unsigned before = CU_get_number_of_failures();
		int nodes = 2 + i % (SYNC_WORLD_NODES_MAX - 1);

		history_run(seed, nodes, i % 2 == 0 ? MS_MINUTE : 0);
		if (CU_get_number_of_failures() != before)
			tap_note("failed with seed %llu, %d nodes",
				 (unsigned long long)seed, nodes);
	}
}

static void
test_repeatable(void)
{
	for (int i = 0; i < rounds(6); i++) {
		uint64_t seed = tap_seed() + 77 + (uint64_t)i;

		CU_ASSERT(history_run(seed, 2 + i % 5, MS_MINUTE) ==
			  history_run(seed, 2 + i % 5, MS_MINUTE));
	}
}

/* ---- sizes ---- */

/* Rows here or there or in another state there, one in so many each. */
static void
world_diverge(struct sync_world *w, int rows, uint64_t once_in)
{
	for (int i = 0; i < rows; i++) {
		struct row_key key = key_of(i);

		if (sim_once_in(&w->sim, once_in))
			sync_world_write(w, (int)sim_below(&w->sim, 2), &key,
					 (int)sim_below(&w->sim, 600) - 50);
		key = key_of(rows + i);
		if (sim_once_in(&w->sim, once_in))
			sync_world_write(w, (int)sim_below(&w->sim, 2), &key,
					 (int)sim_below(&w->sim, 600));
	}
}

static void
pair_run(uint64_t seed, int rows, uint64_t once_in)
{
	struct sync_world w;
	uint64_t here, there, differing, differences;
	struct sync_result r;

	sync_world_init(&w, seed, 2, 0);
	world_common(&w, rows, 100);
	world_diverge(&w, rows, once_in);
	w.is_beating = false;
	sync_world_connect(&w, 0, 1);
	sync_world_run(&w, MS_MINUTE);
	CU_ASSERT(sync_world_is_equal(&w));
	CU_ASSERT(rowset_equal(&w.nodes[0].rows, &w.nodes[1].rows));
	CU_ASSERT(w.nodes[0].rejects + w.nodes[1].rejects == 0);
	world_diverge(&w, rows, once_in);
	rowset_differences(&w.nodes[0].rows, &w.nodes[1].rows, &here, &there, &differing);
	differences = here + there + differing;
	r = sync_world_start(&w, 0, 1, false);
	CU_ASSERT(r.rc == 0 && r.is_equal);
	CU_ASSERT(sync_world_is_equal(&w));
	/* Exact, but where rows that differ came in portions. */
	CU_ASSERT(r.only_here + r.only_there + r.differing <=
		  differences + differences / 50 + 4);
	/* Fewer when the newer state came first, and the older needed not to be sent. */
	CU_ASSERT(r.rows_sent >= here && r.rows_sent <= here + differing);
	CU_ASSERT(r.rows_received >= there && r.rows_received <= there + differing);
	/* OPEN and DIFFER, three round trips, and the final OPEN and SAME. */
	if (r.legs > 2 + 6 + 2)
		tap_note("%d rows, %llu differences: %d legs", rows,
			 (unsigned long long)differences, r.legs);
	CU_ASSERT(r.legs <= 2 + 6 + 2);
	sync_world_fini(&w);
}

static void
test_pairs(void)
{
	static const int sizes[] = { 0, 1, 5, 20, 100, 130, 300, 1000, 5000 };

	for (int i = 0; i < rounds(36); i++)
		pair_run(tap_seed() + (uint64_t)i, sizes[i % 9],
			 1 + (uint64_t)(i / 9) * (uint64_t)(i / 9) * 10);
}

static void
test_joiner(void)
{
	for (int i = 0; i < 2; i++) {
		struct sync_world w;
		struct sync_result *r;
		ms_t took;

		sync_world_init(&w, tap_seed() + (uint64_t)i, 2, 0);
		world_common(&w, tap_is_quick() ? 4000 : 20000, 200);
		/* It has a node row of its own, and nothing else. */
		rowset_fini(&w.nodes[1].rows);
		sync_world_write(&w, 1, &(struct row_key){ .kind = ROW_NODE }, 300);
		sync_world_connect(&w, 0, 1);
		took = sync_world_converge(&w, 5 * MS_MINUTE);
		CU_ASSERT(took >= 0 && took < MS_MINUTE);
		sync_world_run(&w, MS_MINUTE);
		r = &w.nodes[1].last;
		CU_ASSERT(r->rc == 0 && r->is_equal && w.nodes[1].sessions == 1);
		CU_ASSERT(w.nodes[0].sessions == 0);
		CU_ASSERT(r->rows_received >= (uint64_t)w.nodes[1].rows.len - 1);
		/* Pages cost a few bytes each: nobody lists what the other lacks. */
		tap_note("%d rows joined in %lld ms; %llu bytes of frames",
			 w.nodes[1].rows.len, (long long)took,
			 (unsigned long long)(r->sent_bytes + r->received_bytes));
		CU_ASSERT(r->sent_bytes + r->received_bytes < 20000);
		sync_world_fini(&w);
	}
}

/* An empty node that is asked rather than asks. */
static void
test_empty_responder(void)
{
	struct sync_world w;
	struct sync_result r;

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, 5000, 300);
	rowset_fini(&w.nodes[1].rows);
	w.is_beating = false;
	sync_world_connect(&w, 0, 1);
	sync_world_cut(&w, 0);
	sync_world_connect(&w, 0, 1);
	sync_world_run(&w, MS_MINUTE);
	rowset_fini(&w.nodes[1].rows);
	r = sync_world_start(&w, 0, 1, false);
	CU_ASSERT(r.rc == 0 && r.is_equal && r.rows_sent == 5000);
	sync_world_fini(&w);
}

/* The link is cut again and again, and the next one may be to another donor. */
static void
join_run(uint64_t seed, int rows, int donors)
{
	struct sync_world w;
	uint64_t row_bytes = 0, bytes = 0, table = 0;
	struct sync_world_node *joiner;
	int cuts = 0;

	sync_world_init(&w, seed, 1 + donors, 0);
	w.latency = 50;
	joiner = &w.nodes[donors];
	world_common(&w, rows, 200);
	for (int i = 0; i < rows; i++)
		table += w.nodes[0].rows.rows[i].encoded.len;
	sync_world_empty(&w, donors);
	sync_world_write(&w, donors, &(struct row_key){ .kind = ROW_NODE }, 300);
	w.is_beating = false;
	for (; cuts < 200 && joiner->rows.len < rows; cuts++) {
		int link = sync_world_connect(&w, cuts % donors, donors);

		sync_world_run(&w, 100 + (ms_t)sim_below(&w.sim, 300));
		sync_world_cut(&w, link); /* what is on its way is lost */
		sync_world_run(&w, MS_SECOND);
	}
	for (int i = 0; i < donors; i++)
		row_bytes += w.nodes[i].row_bytes;
	for (int i = 0; i <= donors; i++)
		bytes += w.nodes[i].bytes;
	tap_note("%d rows, %d donors, %d cuts: %llu %% of the table was sent, and %llu "
		 "bytes of frames",
		 rows, donors, cuts, (unsigned long long)(100 * row_bytes / table),
		 (unsigned long long)bytes);
	CU_ASSERT(cuts > 2 && joiner->rows.len >= rows);
	/* At most what was under way at each cut was for nothing. */
	CU_ASSERT(row_bytes <= table + (uint64_t)cuts * SYNC_SHIP_BYTES_MAX);
	/* Nobody listed what the other lacks, but in the last session, whose end finds the
	 * joiner's own row. */
	CU_ASSERT(bytes <= (uint64_t)cuts * 1500 + 4000);
	for (int i = 0; i < donors; i++)
		sync_world_connect(&w, i, donors);
	sync_world_run(&w, 3 * MS_MINUTE);
	for (int i = 0; i < donors; i++) {
		CU_ASSERT(rowset_equal(&joiner->rows, &w.nodes[i].rows));
		CU_ASSERT(w.nodes[i].rejects + joiner->rejects == 0);
	}
	sync_world_fini(&w);
}

static void
test_join_in_parts(void)
{
	for (int i = 0; i < rounds(6); i++)
		join_run(tap_seed() + (uint64_t)i, 12000, 1 + i % 2);
}

/* A joiner rests only once a second node's table was found the same. There are no heartbeats,
 * for nothing but that comparison is to find it. */
static void
test_second_donor(void)
{
	struct sync_world w;
	struct sync_result r;

	sync_world_init(&w, tap_seed(), 3, 0);
	world_common(&w, 10, 100);
	w.is_beating = false;
	sync_world_connect_all(&w);
	world_some(&w, 0, 3000, 100);
	r = sync_world_start(&w, 2, 0, false);
	CU_ASSERT(r.rc == 0 && r.is_equal && r.rows_received == 3000);
	sync_world_run(&w, 20 * MS_SECOND);
	CU_ASSERT(rowset_equal(&w.nodes[1].rows, &w.nodes[2].rows));
	CU_ASSERT(w.nodes[2].sessions == 2);
	sync_world_fini(&w);
	/* The second one comes later, and knows what the donor kept to itself. */
	sync_world_init(&w, tap_seed(), 3, 0);
	w.is_beating = false;
	world_some(&w, 0, 2900, 100);
	world_some(&w, 1, 3000, 100);
	sync_world_connect(&w, 0, 2);
	sync_world_run(&w, 20 * MS_SECOND);
	CU_ASSERT(rowset_equal(&w.nodes[0].rows, &w.nodes[2].rows));
	CU_ASSERT(w.nodes[2].sessions == 1);
	sync_world_connect(&w, 1, 2);
	sync_world_run(&w, 20 * MS_SECOND);
	CU_ASSERT(rowset_equal(&w.nodes[1].rows, &w.nodes[2].rows));
	sync_world_fini(&w);
}

/* Rows written a moment ago are not settled, but for a donor that was started since: the
 * joiner, which has just read them all, is not to take its settled root for an empty table and
 * to read them again. Its own row, which pages do not bring to the donor, makes it compare. */
static void
test_fresh_rows(void)
{
	struct sync_world w;
	struct sync_result *r;

	sync_world_init(&w, tap_seed(), 2, 0);
	w.is_beating = false;
	for (int i = 0; i < 3000; i++) {
		struct row_key key = key_of(i);

		sync_world_write(&w, 0, &key, 100);
	}
	w.nodes[0].rows.changes_len = 0; /* not remembered over a start */
	sync_world_write(&w, 1, &(struct row_key){ .kind = ROW_NODE }, 300);
	sync_world_connect(&w, 0, 1);
	sync_world_run(&w, MS_MINUTE);
	r = &w.nodes[1].last;
	CU_ASSERT(r->rc == 0 && r->rows_received == 3000 && r->rows_sent == 1);
	CU_ASSERT(rowset_equal(&w.nodes[0].rows, &w.nodes[1].rows));
	sync_world_fini(&w);
}

static void
test_progress(void)
{
	uint64_t last = 0, last_of = 0, seen = 0;
	struct sync_joining j = { 0 };
	struct sync_world w;

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, 12000, 300);
	sync_world_empty(&w, 1);
	CU_ASSERT(!sync_joining(w.nodes[1].sync, &j));
	sync_world_connect(&w, 0, 1);
	for (int i = 0; i < 600 && w.nodes[1].sessions == 0; i++) {
		sync_world_run(&w, 20);
		if (!sync_joining(w.nodes[1].sync, &j))
			continue;
		CU_ASSERT(j.rows >= last && j.rows <= j.of && j.of == 12000);
		if (j.rows > 0)
			CU_ASSERT(j.rows_s > 0 && j.remaining_ms >= 0);
		seen += j.rows > last;
		last = j.rows;
		last_of = j.of;
	}
	CU_ASSERT(seen > 5 && last > 6000 && last_of == 12000);
	CU_ASSERT(!sync_joining(w.nodes[1].sync, &j));
	sync_world_fini(&w);
}

/* Rows so large that few fit an answer: MORE, REST and LEFT. */
static void
test_large_rows(void)
{
	for (int i = 0; i < rounds(4); i++) {
		struct sync_world w;
		struct sync_result r;

		sync_world_init(&w, tap_seed() + (uint64_t)i, 2, 0);
		for (int k = 0; k < 250; k++) {
			struct row_key key = key_of(k);

			sync_world_write(&w, (int)sim_below(&w.sim, 2), &key, 16384);
			if (sim_once_in(&w.sim, 3))
				sync_world_write(&w, (int)sim_below(&w.sim, 2), &key,
						 16000);
		}
		w.is_beating = false;
		sync_world_connect(&w, 0, 1);
		sync_world_run(&w, MS_MINUTE);
		CU_ASSERT(sync_world_is_equal(&w));
		r = sync_world_start(&w, i % 2, 1 - i % 2, false);
		CU_ASSERT(r.rc == 0 && r.is_equal);
		CU_ASSERT(w.nodes[0].rejects + w.nodes[1].rejects == 0);
		sync_world_fini(&w);
	}
}

/* ---- comparing ---- */

static void
dry_check_names(const struct sync_world *w)
{
	const struct sync_world_node *n = &w->nodes[0];
	struct reader r = reader_of(buf_bytes(&n->named));

	while (r.len > 0) {
		bool is_here = reader_u8(&r), is_there = reader_u8(&r);
		struct bytes encoded = reader_bytes8(&r);
		struct reader of_key = reader_of(encoded);
		struct row here, there;
		struct row_key key;

		CU_ASSERT_FATAL(codec_read_key(&of_key, &key) == 0);
		rowset_get(&n->rows, &key, &here);
		rowset_get(&w->nodes[1].rows, &key, &there);
		CU_ASSERT(is_here == (here.len > 0) && is_there == (there.len > 0));
		CU_ASSERT(!row_equal(&here, &there));
		row_fini(&here);
		row_fini(&there);
	}
}

static void
dry_run(uint64_t seed, int rows, uint64_t once_in)
{
	struct sync_world w;
	uint64_t here, there, differing, all;
	struct sync_digest before[2];
	struct sync_result r;

	sync_world_init(&w, seed, 2, 0);
	world_common(&w, rows, 50);
	w.is_beating = false;
	sync_world_connect(&w, 0, 1);
	world_diverge(&w, rows, once_in);
	if (seed % 5 == 0)
		rowset_fini(&w.nodes[seed % 2].rows);
	for (int i = 0; i < 2; i++)
		before[i] = w.nodes[i].rows.root;
	rowset_differences(&w.nodes[0].rows, &w.nodes[1].rows, &here, &there, &differing);
	all = here + there + differing;
	r = sync_world_start(&w, 0, 1, true);
	CU_ASSERT(r.rc == 0 && r.is_dry && r.is_equal == (all == 0));
	CU_ASSERT(r.only_here == here && r.only_there == there &&
		  r.differing == differing);
	CU_ASSERT(r.rows_sent + r.rows_received == 0);
	CU_ASSERT((uint64_t)r.named_len == (all < SYNC_NAMED_MAX ? all : SYNC_NAMED_MAX));
	for (int i = 0; i < 2; i++)
		CU_ASSERT(u128_equal(before[i].sum, w.nodes[i].rows.root.sum));
	dry_check_names(&w);
	CU_ASSERT(w.nodes[0].rejects + w.nodes[1].rejects == 0);
	sync_world_fini(&w);
}

static void
test_dry(void)
{
	static const int sizes[] = { 0, 3, 20, 100, 200, 1000, 6000 };

	for (int i = 0; i < rounds(42); i++)
		dry_run(tap_seed() + (uint64_t)i, sizes[i % 7],
			1 + (uint64_t)(i / 7) * (uint64_t)(i / 7) * 10);
}

/* ---- what it costs ---- */

static void
test_idle(void)
{
	struct sync_world w;
	struct sync_result r;
	uint64_t bytes = 0;
	int sessions = 0;

	sync_world_init(&w, tap_seed(), 4, MS_MINUTE);
	world_common(&w, 500, 100);
	sync_world_connect_all(&w);
	sync_world_run(&w, MS_MINUTE / 2);
	r = sync_world_start(&w, 0, 1, false);
	CU_ASSERT(r.rc == 0 && r.is_equal && r.legs == 2);
	CU_ASSERT(r.sent_bytes + r.received_bytes <= 150);
	tap_note("an equal session: %llu bytes",
		 (unsigned long long)(r.sent_bytes + r.received_bytes));
	sync_world_run(&w, MS_HOUR);
	for (int i = 0; i < 4; i++) {
		bytes += w.nodes[i].bytes;
		sessions += w.nodes[i].sessions;
		CU_ASSERT(w.nodes[i].row_bytes == 0);
	}
	/* 1 + 2 + 4 minutes, then one in 8: about ten an hour and node. */
	CU_ASSERT(sessions >= 4 * 7 && sessions <= 4 * 14);
	CU_ASSERT(bytes <= (uint64_t)sessions * 150);
	sync_world_fini(&w);
}

/* With changes on their way all the time and flooded, settled roots are equal. */
static void
test_busy_but_equal(void)
{
	struct sync_world w;

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, 300, 100);
	sync_world_connect_all(&w);
	for (int i = 0; i < 600; i++) {
		struct row_key key = key_of((int)sim_below(&w.sim, 300));
		struct row row;

		sync_world_write(&w, i % 2, &key, 100);
		sync_world_run(&w, 300);
		rowset_get(&w.nodes[i % 2].rows, &key, &row);
		rowset_merge(&w.nodes[1 - i % 2].rows, &key, &row);
		row_fini(&row);
	}
	CU_ASSERT(w.nodes[0].sessions + w.nodes[1].sessions == 0);
	/* A row that did not get through is found within four epochs. */
	sync_world_write(&w, 0, &(struct row_key){ .kind = ROW_NODE }, 50);
	CU_ASSERT(sync_world_converge(&w, MS_MINUTE) >= 0);
	CU_ASSERT(w.nodes[0].sessions + w.nodes[1].sessions <= 2);
	sync_world_fini(&w);
}

/* The flood goes on, half a second behind, and one row did not get through: the session that
 * brings it needs one pass, for what is compared at its end is settled. */
static void
test_busy_ends_soon(void)
{
	enum { BEHIND = 10 };
	struct sync_world w;
	const struct sync_result *r;
	int written[BEHIND] = { 0 };

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, 3000, 100);
	sync_world_connect_all(&w);
	sync_world_write(&w, 0, &(struct row_key){ .kind = ROW_NODE }, 50);
	for (int i = 0; i < 1200; i++) {
		int *k = &written[i % BEHIND];
		struct row_key before = key_of(*k), key;
		struct row row;

		rowset_get(&w.nodes[*k % 2].rows, &before, &row);
		rowset_merge(&w.nodes[1 - *k % 2].rows, &before, &row);
		row_fini(&row);
		*k = (int)sim_below(&w.sim, 3000);
		key = key_of(*k); /* written at the same node each time */
		sync_world_write(&w, *k % 2, &key, 100);
		sync_world_run(&w, 50);
	}
	CU_ASSERT(w.nodes[0].sessions + w.nodes[1].sessions == 1);
	r = &w.nodes[w.nodes[0].sessions > 0 ? 0 : 1].last;
	tap_note("%d legs, %llu rows", r->legs,
		 (unsigned long long)(r->rows_sent + r->rows_received));
	CU_ASSERT(r->rc == 0 && r->is_equal && r->rows_sent + r->rows_received > 0);
	CU_ASSERT(r->legs <= 2 + 6 + 2);
	sync_world_fini(&w);
}

/* A full disk: what was merged is read, but is in no root. Comparing and reconciling tell
 * the same, and soon. */
static void
test_root_behind(void)
{
	struct sync_world w;
	struct sync_result r;

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, 3000, 100);
	w.is_beating = false;
	sync_world_connect(&w, 0, 1);
	w.nodes[1].rows.root.sum.lo++;
	w.nodes[1].rows.root.count--;
	for (int asks = 0; asks < 2; asks++) {
		r = sync_world_start(&w, asks, 1 - asks, true);
		CU_ASSERT(r.rc == 0 && r.is_equal && r.named_len == 0);
		r = sync_world_start(&w, asks, 1 - asks, false);
		CU_ASSERT(r.rc == 0 && r.is_equal);
		CU_ASSERT(r.rows_sent + r.rows_received == 0);
		/* One difference more, and it is moved as ever. */
		sync_world_write(&w, 0, &(struct row_key){ .kind = ROW_NODE }, 50 + asks);
		r = sync_world_start(&w, asks, 1 - asks, true);
		CU_ASSERT(r.rc == 0 && !r.is_equal && r.named_len == 1);
		r = sync_world_start(&w, asks, 1 - asks, false);
		CU_ASSERT(r.rc == 0 && r.is_equal);
		/* One that differs goes both ways. */
		CU_ASSERT(r.rows_sent + r.rows_received == 1 + (uint64_t)asks);
	}
	sync_world_fini(&w);
}

static void
test_budget(void)
{
	struct sync_world w;
	struct sync_result r;

	sync_world_init(&w, tap_seed(), 2, 0);
	world_common(&w, tap_is_quick() ? 3000 : 20000, 20);
	w.is_beating = false;
	sync_world_connect(&w, 0, 1);
	sync_world_write(&w, 0, &(struct row_key){ .kind = ROW_NODE }, 50);
	r = sync_world_start(&w, 1, 0, false);
	tap_note("one row of 20,000: %llu bytes, %d legs",
		 (unsigned long long)(r.sent_bytes + r.received_bytes), r.legs);
	CU_ASSERT(r.rc == 0 && r.is_equal && r.rows_received == 1);
	CU_ASSERT(r.sent_bytes + r.received_bytes <= 1500);
	sync_world_fini(&w);
}

/* ---- when things go wrong ---- */

static void
test_no_link(void)
{
	struct sync_world w;
	struct sync_result r;

	sync_world_init(&w, tap_seed(), 2, 0);
	r = sync_world_start(&w, 0, 1, false);
	CU_ASSERT(r.rc == -ECONNRESET && r.why[0] != '\0');
	sync_world_fini(&w);
}

static void
test_crowd(void)
{
	struct sync_world w;
	int sessions = 0;
	struct sync_stats stats;

	/* All lost their tables but one, and come to it at once. */
	sync_world_init(&w, tap_seed(), SYNC_WORLD_NODES_MAX, 0);
	world_common(&w, 3000, 300);
	for (int i = 1; i < w.nodes_len; i++)
		rowset_fini(&w.nodes[i].rows);
	for (int i = 1; i < w.nodes_len; i++)
		sync_world_connect(&w, 0, i);
	CU_ASSERT(sync_world_converge(&w, 2 * MS_MINUTE) >= 0);
	sync_world_run(&w, MS_MINUTE);
	sync_stats(w.nodes[0].sync, &stats);
	CU_ASSERT(stats.busy > 0 && stats.sessions_answered >= 7);
	for (int i = 1; i < w.nodes_len; i++) {
		struct sync_stats own;

		sync_stats(w.nodes[i].sync, &own);
		CU_ASSERT(own.sessions >= 1 && own.last_ok > 0);
		sessions += w.nodes[i].sessions;
	}
	CU_ASSERT(sessions < 200);
	sync_world_fini(&w);
}

static void
test_cut(void)
{
	for (int i = 0; i < rounds(8); i++) {
		struct sync_world w;

		sync_world_init(&w, tap_seed() + (uint64_t)i, 2, 0);
		world_common(&w, 1000, 300);
		world_diverge(&w, 1000, 3);
		w.is_beating = false;
		/* Each time it gets a little further, and is cut off. */
		for (int k = 0; k < 40 && !sync_world_is_equal(&w); k++) {
			int link = sync_world_connect(&w, 0, 1);

			sync_world_run(&w, 300 + 100 * k);
			sync_world_cut(&w, link);
			sync_world_run(&w, MS_SECOND);
		}
		CU_ASSERT(sync_world_is_equal(&w));
		CU_ASSERT(w.nodes[0].rejects + w.nodes[1].rejects == 0);
		sync_world_fini(&w);
	}
}

static const struct tap_test tests[] = {
	{ "two tables become one, with as few rows and legs as there are differences",
	  test_pairs },
	{ "2 to 8 nodes hold what the model holds, after cuts, writes and failed reads",
	  test_histories },
	{ "a joiner reads a large table page by page", test_joiner },
	{ "a joiner that is cut off goes on where it was, with whomever",
	  test_join_in_parts },
	{ "a joiner compares with a second node before it rests", test_second_donor },
	{ "a joiner reads rows once, though none of them is settled", test_fresh_rows },
	{ "how far joining is can be seen", test_progress },
	{ "a node with nothing is given everything", test_empty_responder },
	{ "rows of 16 KiB are sent in portions", test_large_rows },
	{ "a comparison moves nothing and tells the whole truth", test_dry },
	{ "equal tables cost 150 bytes a session, and few sessions", test_idle },
	{ "changes on their way begin no session", test_busy_but_equal },
	{ "a session among changes on their way needs one pass", test_busy_ends_soon },
	{ "what a disk does not hold yet makes no table differ", test_root_behind },
	{ "one row of many is found for 1,500 bytes", test_budget },
	{ "a session without a link ends at once", test_no_link },
	{ "a crowd is sent elsewhere or later, and all are served", test_crowd },
	{ "a session that is cut again and again gets further each time", test_cut },
	{ "a seed gives the same history twice", test_repeatable },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
