/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to find how two tables differ, held against the budgets and against what
 * negentropy's C++ reference (range-based reconciliation; commit 6edb041) needed for the
 * same: bytes of frames both ways with their headers, rows excluded, and legs. Half of the
 * differences are on each side, spread at random. Tables are arrays with flat sums of
 * buckets, as the store's; over real stores it is measured by tests/bench/bench-reconcile.c,
 * with the same bytes. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/tap.h"
#include "sync/sync.h"

enum { ROW_BYTES = 400, BUCKET_ROWS = 50, SIDES = 2, FRAME_HEADER = 4 };

struct entry {
	uint8_t k[SYNC_K_BYTES];
	struct u128 digest;
	bool is_held[SIDES];
};

struct side {
	struct world *w;
	int index;
	struct sync_digest root;
	struct sync_digest *buckets;
};

struct item {
	struct item *next;
	struct sync_event event;
	int to;
	struct buf data;
	bool is_rows;
};

struct world {
	struct entry *entries;
	uint64_t len;
	int bits; /* of the buckets */
	uint64_t *starts;
	struct side sides[SIDES];
	struct sync *sync[SIDES];
	struct item *first, **last;
	struct sync_result result;
	bool is_done;
	int legs;	      /* messages so far, pipelined ones once; */
	int legs_before_rows; /* when the first row was sent */
};

/* ---- the table ---- */

static uint64_t
top_bits(const uint8_t k[SYNC_K_BYTES], int bits)
{
	return bits == 0 ? 0 : get_be64(k) >> (64 - bits);
}

static void
side_hold(struct side *s, uint64_t i)
{
	struct entry *e = &s->w->entries[i];
	struct sync_digest *b = &s->buckets[top_bits(e->k, s->w->bits)];

	if (e->is_held[s->index])
		return;
	e->is_held[s->index] = true;
	b->sum = u128_add(b->sum, e->digest);
	b->count++;
	s->root.sum = u128_add(s->root.sum, e->digest);
	s->root.count++;
}

static int
side_root(void *arg, uint64_t epoch, struct sync_digest *ret_root)
{
	(void)epoch;
	*ret_root = ((struct side *)arg)->root;
	return 0;
}

static uint64_t
world_find(const struct world *w, const uint8_t k[SYNC_K_BYTES])
{
	uint64_t bucket = top_bits(k, w->bits), i = w->starts[bucket];

	while (i < w->starts[bucket + 1] && memcmp(w->entries[i].k, k, SYNC_K_BYTES) < 0)
		i++;
	return i;
}

static int
side_digests(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
	     struct sync_digest *ret_children)
{
	struct side *s = arg;
	struct world *w = s->w;
	int below = w->bits - depth - bits;
	uint64_t node = top_bits(prefix, depth);

	memset(ret_children, 0, sizeof(ret_children[0]) << bits);
	if (below >= 0) {
		uint64_t n = UINT64_C(1) << (bits + below), first = node * n;

		for (uint64_t i = 0; i < n; i++) {
			struct sync_digest *c = &ret_children[i >> below];

			c->sum = u128_add(c->sum, s->buckets[first + i].sum);
			c->count += s->buckets[first + i].count;
		}
		return 0;
	}
	for (uint64_t i = world_find(w, prefix);
	     i < w->len && top_bits(w->entries[i].k, depth) == node; i++) {
		struct sync_digest
			*c = &ret_children[top_bits(w->entries[i].k, depth + bits) &
					   ((1U << bits) - 1)];

		if (!w->entries[i].is_held[s->index])
			continue;
		c->sum = u128_add(c->sum, w->entries[i].digest);
		c->count++;
	}
	return 0;
}

static int
side_rows(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn, void *fn_arg)
{
	struct side *s = arg;
	uint8_t row[ROW_BYTES] = { 0 };

	for (uint64_t i = world_find(s->w, from); i < s->w->len; i++) {
		const struct entry *e = &s->w->entries[i];

		if (!e->is_held[s->index])
			continue;
		put_be64(row, i);
		if (!fn(fn_arg, e->k, e->digest, bytes_of(row, sizeof(row))))
			break;
	}
	return 0;
}

static int
side_page(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
	  sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
	  bool *ret_is_last)
{
	struct side *s = arg;
	uint8_t row[ROW_BYTES] = { 0 };
	size_t bytes = 0;

	for (uint64_t i = world_find(s->w, cursor); i < s->w->len; i++) {
		const struct entry *e = &s->w->entries[i];

		if (!e->is_held[s->index])
			continue;
		if ((bytes += ROW_BYTES) > max_bytes) {
			memcpy(ret_next, e->k, SYNC_K_BYTES);
			*ret_is_last = false;
			return 0;
		}
		put_be64(row, i);
		fn(fn_arg, e->k, e->digest, bytes_of(row, sizeof(row)));
	}
	*ret_is_last = true;
	return 0;
}

/* ---- two cores, joined by queues without latency ---- */

static struct item *
world_queue(struct world *w, int to, enum sync_event_type type)
{
	struct item *item = mem_calloc(1, sizeof(*item));

	item->to = to;
	item->event.type = type;
	item->event.link = 1;
	*w->last = item;
	w->last = &item->next;
	return item;
}

static void
world_act(struct world *w, int from, const struct sync_action *a)
{
	struct sync_table table = { .arg = &w->sides[from],
				    .root = side_root,
				    .digests = side_digests,
				    .rows = side_rows,
				    .page = side_page };
	struct item *item;

	switch (a->type) {
	case SYNC_ACTION_SEND:
		item = world_queue(w, 1 - from, SYNC_EVENT_FRAME);
		w->legs += w->legs % 2 == from; /* the initiator's are the odd ones */
		buf_put_bytes(&item->data, a->data);
		break;
	case SYNC_ACTION_SEND_ROWS:
		if (w->legs_before_rows == 0)
			w->legs_before_rows = w->legs;
		item = world_queue(w, 1 - from, SYNC_EVENT_ROWS);
		buf_put_bytes(&item->data, a->rows);
		item->event.len = a->rows.len / ROW_BYTES;
		break;
	case SYNC_ACTION_READ:
		item = world_queue(w, from, SYNC_EVENT_READ_DONE);
		item->event.number = a->number;
		item->event.made = sync_compare(&table, a->job);
		break;
	case SYNC_ACTION_SETTLE:
		item = world_queue(w, from, SYNC_EVENT_SETTLED);
		item->event.number = a->number;
		break;
	case SYNC_ACTION_HORIZON: /* both are 0 */
		CU_FAIL("nobody has swept further");
		break;
	case SYNC_ACTION_REJECT:
		CU_FAIL("honest nodes do not reject each other");
		break;
	case SYNC_ACTION_DONE:
		w->result = *a->result;
		w->is_done = true;
		break;
	}
}

static void
world_drain(struct world *w)
{
	struct sync_action a;

	for (int i = 0; i < SIDES; i++)
		while (sync_next(w->sync[i], &a))
			world_act(w, i, &a);
}

static void
world_pump(struct world *w)
{
	world_drain(w);
	while (w->first != NULL) {
		struct item *item = w->first;

		w->first = item->next;
		if (w->first == NULL)
			w->last = &w->first;
		if (item->event.type == SYNC_EVENT_ROWS)
			for (size_t at = 0; at < item->data.len; at += ROW_BYTES)
				side_hold(&w->sides[item->to],
					  get_be64(item->data.data + at));
		item->event.wall_ms = 1000000000;
		item->event.data = buf_bytes(&item->data);
		sync_step(w->sync[item->to], 1, &item->event);
		buf_fini(&item->data);
		free(item);
		world_drain(w);
	}
}

/* ---- building ---- */

static int
entry_compare(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->k, ((const struct entry *)b)->k,
		      SYNC_K_BYTES);
}

static void
world_build(struct world *w, uint64_t rows, uint64_t differ, uint64_t seed)
{
	struct rng rng;

	*w = (struct world){ .len = rows + differ / 2 + differ % 2, .last = NULL };
	w->last = &w->first;
	w->entries = mem_calloc(w->len, sizeof(w->entries[0]));
	rng_init(&rng, seed);
	for (uint64_t i = 0; i < w->len; i++) {
		put_be64(w->entries[i].k, rng_next(&rng));
		put_be64(w->entries[i].k + 8, rng_next(&rng));
		w->entries[i].digest.hi = rng_next(&rng);
		w->entries[i].digest.lo = rng_next(&rng);
		/* The first ones are on one side each; what is sorted by K is at random. */
		w->entries[i].is_held[0] = i >= differ || i % 2 == 0;
		w->entries[i].is_held[1] = i >= differ || i % 2 == 1;
	}
	qsort(w->entries, w->len, sizeof(w->entries[0]), entry_compare);
	while (rows >> w->bits > BUCKET_ROWS)
		w->bits++;
	if (w->bits < SYNC_TOP_BITS)
		w->bits = SYNC_TOP_BITS;
	w->starts = mem_calloc((UINT64_C(1) << w->bits) + 1, sizeof(w->starts[0]));
	for (uint64_t i = 0; i < w->len; i++)
		w->starts[top_bits(w->entries[i].k, w->bits) + 1]++;
	for (uint64_t i = 0; i < UINT64_C(1) << w->bits; i++)
		w->starts[i + 1] += w->starts[i];
	for (int i = 0; i < SIDES; i++) {
		struct sync_config config = { .seed = seed + (uint64_t)i };

		config.self.b[0] = (uint8_t)(i + 1);
		w->sync[i] = sync_new(&config, 0);
		w->sides[i] = (struct side){ .w = w, .index = i };
		w->sides[i].buckets = mem_calloc(UINT64_C(1) << w->bits,
						 sizeof(w->sides[i].buckets[0]));
		for (uint64_t k = 0; k < w->len; k++) {
			bool is_held = w->entries[k].is_held[i];

			w->entries[k].is_held[i] = false;
			if (is_held)
				side_hold(&w->sides[i], k);
		}
	}
}

static void
world_free(struct world *w)
{
	for (int i = 0; i < SIDES; i++) {
		sync_free(w->sync[i]);
		free(w->sides[i].buckets);
	}
	free(w->starts);
	free(w->entries);
}

/* ---- budgets ---- */

static const struct budget {
	uint64_t rows, differ;
	uint64_t bytes;	     /* at most */
	uint64_t negentropy; /* bytes, measured */
} budgets[] = {
	{ 10000, 0, 150, 339 },
	{ 10000, 1, 1300, 1075 },
	{ 10000, 10, 4000, 6756 },
	{ 10000, 100, 17000, 41915 },
	{ 10000, 1000, 100000, 166535 },
	{ 10000, 10000, 450000, 422603 },
	{ 100000, 0, 150, 338 },
	{ 100000, 1, 1500, 1771 },
	{ 100000, 10, 4000, 14237 },
	{ 100000, 100, 17000, 111028 },
	{ 100000, 1000, 100000, 787723 },
	{ 100000, 10000, 450000, 3017925 },
	{ 1000000, 0, 150, 338 },
	{ 1000000, 1, 1500, 2356 },
	{ 1000000, 10, 4000, 19513 },
	{ 1000000, 100, 25000, 163850 },
	{ 1000000, 1000, 190000, 1365517 },
	{ 1000000, 10000, 1200000, 10494931 },
};

static void
budget_start(struct world *w)
{
	for (int i = 0; i < SIDES; i++) {
		struct sync_event e = { .type = SYNC_EVENT_LINK_UP,
					.link = 1,
					.wall_ms = 1000000000 };

		e.node.b[0] = (uint8_t)(2 - i);
		sync_step(w->sync[i], 0, &e);
	}
	sync_step(w->sync[0], 1,
		  &(struct sync_event){ .type = SYNC_EVENT_START,
					.link = 1,
					.request = 1,
					.wall_ms = 1000000000 });
	world_pump(w);
}

static void
budget_check(const struct budget *b)
{
	const struct sync_result *r;
	uint64_t bytes;
	struct world w;

	world_build(&w, b->rows, b->differ, tap_seed() + b->rows + b->differ);
	budget_start(&w);
	r = &w.result;
	bytes = r->sent_bytes + r->received_bytes;
	tap_note(
		"%llu rows, %llu differ: %llu bytes of %llu, negentropy's %llu; %d legs, "
		"rows after %d",
		(unsigned long long)b->rows, (unsigned long long)b->differ,
		(unsigned long long)bytes, (unsigned long long)b->bytes,
		(unsigned long long)b->negentropy, r->legs, w.legs_before_rows);
	CU_ASSERT(w.is_done && r->rc == 0 && r->is_equal);
	CU_ASSERT(r->rows_sent + r->rows_received == b->differ);
	CU_ASSERT(bytes <= b->bytes && bytes < b->negentropy);
	/* Three round trips; then one with rows and one to end it. */
	CU_ASSERT(r->legs <= 6 + 2 + 2);
	if (b->differ > 0)
		CU_ASSERT(w.legs_before_rows > 0 && w.legs_before_rows <= 6);
	world_free(&w);
}

static void
test_budgets(void)
{
	uint64_t most = tap_is_quick() ? 10000 : 100000;

	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
		if (budgets[i].rows <= most)
			budget_check(&budgets[i]);
}

/* One of a million: the legs are most there. */
static void
test_a_million(void)
{
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
		if (budgets[i].rows == 1000000 && budgets[i].differ == 1000 &&
		    !tap_is_quick())
			budget_check(&budgets[i]);
}

static const struct tap_test tests[] = {
	{ "differences are found within the budgets, and for less than negentropy needs",
	  test_budgets },
	{ "a thousand in a million, too", test_a_million },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
