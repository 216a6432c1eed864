/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void
digest_move(struct sync_digest *d, struct sync_digest by)
{
	d->sum = u128_add(d->sum, by.sum);
	d->count += by.count;
}

static struct sync_digest
row_digest(uint32_t row, uint32_t version)
{
	uint32_t both[2] = { row, version };
	uint64_t h = hash64(bytes_of(both, sizeof(both)), 7);

	if (version == 0)
		return (struct sync_digest){ .count = 0 };
	return (struct sync_digest){ { h, h * UINT64_C(0x9e3779b97f4a7c15) }, 1 };
}

/* ---- life ---- */

void
mesh_table_init(struct mesh_table *t, struct mesh_rows *rows)
{
	*t = (struct mesh_table){ .rows = rows };
	t->versions = mem_calloc(rows->max, sizeof(t->versions[0]));
}

void
mesh_table_fini(struct mesh_table *t)
{
	free(t->versions);
	free(t->undo);
	free(t->aside);
	*t = (struct mesh_table){ 0 };
}

/* ---- changes ---- */

/* Changes count by the epoch of their stamps until that is long settled. */
static void
table_note_epoch(struct mesh_table *t, uint64_t epoch, uint64_t now_epoch,
		 struct sync_digest moved)
{
	int at, kept = 0;

	if (epoch + 2 * SYNC_EPOCHS_APART_MAX < now_epoch)
		return;
	for (int i = 0; i < t->epochs_len; i++)
		if (t->epochs[i].epoch + 2 * SYNC_EPOCHS_APART_MAX >= now_epoch &&
		    t->epochs[i].since + MESH_EPOCHS_KEPT >= now_epoch)
			t->epochs[kept++] = t->epochs[i];
	t->epochs_len = kept;
	for (at = 0; at < t->epochs_len && t->epochs[at].epoch != epoch; at++)
		;
	if (at == MESH_EPOCHS_MAX)
		at--; /* of clocks that are far ahead: settled together */
	else if (at == t->epochs_len)
		t->epochs[t->epochs_len++] = (struct mesh_epoch){ .epoch = epoch,
								  .since = now_epoch };
	digest_move(&t->epochs[at].moved, moved);
}

static struct sync_digest
table_set(struct mesh_table *t, uint32_t row, uint32_t version)
{
	struct sync_digest moved = row_digest(row, version);
	struct sync_digest old = row_digest(row, t->versions[row]);

	moved.sum = u128_sub(moved.sum, old.sum);
	moved.count -= old.count;
	digest_move(&t->root, moved);
	t->versions[row] = version;
	return moved;
}

bool
mesh_table_merge(struct mesh_table *t, uint32_t row, uint32_t version, ms_t wall_ms,
		 bool is_durable)
{
	struct sync_digest moved;
	ms_t stamp = t->rows->rows[row].facts[version - 1].stamp;

	if (t->versions[row] >= version)
		return false;
	if (t->undo_len == t->undo_cap) {
		t->undo_cap = 2 * t->undo_cap + 16;
		t->undo = mem_realloc(t->undo, (size_t)t->undo_cap, sizeof(t->undo[0]));
	}
	if (!is_durable)
		t->undo[t->undo_len++] = (struct mesh_held){ row, t->versions[row] };
	moved = table_set(t, row, version);
	table_note_epoch(t, (uint64_t)stamp / SYNC_EPOCH_MS,
			 sync_epoch((uint64_t)wall_ms), moved);
	return true;
}

void
mesh_table_set_back(struct mesh_table *t, uint32_t row, uint32_t version)
{
	table_set(t, row, version);
}

bool
mesh_table_can_merge(const struct mesh_table *t, uint32_t row)
{
	return row < t->rows->nodes || t->versions[t->rows->rows[row].owner] > 0;
}

void
mesh_table_put_aside(struct mesh_table *t, uint32_t row, uint32_t version)
{
	if (t->aside == NULL)
		t->aside = mem_calloc(MESH_ASIDE_MAX, sizeof(t->aside[0]));
	if (t->aside_len < MESH_ASIDE_MAX)
		t->aside[t->aside_len++] = (struct mesh_held){ row, version };
}

bool
mesh_table_take_aside(struct mesh_table *t, int owner, struct mesh_held *ret_row)
{
	for (int i = 0; i < t->aside_len; i++)
		if (t->rows->rows[t->aside[i].row].owner == owner) {
			*ret_row = t->aside[i];
			t->aside[i] = t->aside[--t->aside_len];
			return true;
		}
	return false;
}

/* ---- the disk ---- */

bool
mesh_table_commit_begin(struct mesh_table *t)
{
	if (t->committing > 0 || t->undo_len == 0)
		return false;
	t->committing = t->undo_len;
	return true;
}

void
mesh_table_commit_end(struct mesh_table *t)
{
	t->undo_len -= t->committing;
	if (t->undo_len > 0)
		memmove(t->undo, t->undo + t->committing,
			(size_t)t->undo_len * sizeof(t->undo[0]));
	t->committing = 0;
}

void
mesh_table_crash(struct mesh_table *t)
{
	while (t->undo_len > 0) {
		struct mesh_held *held = &t->undo[--t->undo_len];

		table_set(t, held->row, held->version);
	}
	t->committing = t->aside_len = t->epochs_len = 0;
}

uint32_t *
mesh_table_copy(const struct mesh_table *t)
{
	uint32_t *versions = mem_dup(t->versions, t->rows->max * sizeof(versions[0]));

	for (int i = t->undo_len - 1; i >= 0; i--)
		versions[t->undo[i].row] = t->undo[i].version;
	return versions;
}

void
mesh_table_replace(struct mesh_table *t, const uint32_t *versions)
{
	mesh_table_crash(t);
	for (uint32_t row = 0; row < t->rows->len; row++)
		table_set(t, row, versions != NULL ? versions[row] : 0);
}

/* ---- as the sync core reads it ---- */

static int
table_root(void *arg, uint64_t epoch, struct sync_digest *ret_root)
{
	const struct mesh_table *t = arg;
	struct sync_digest root = t->root;

	for (int i = 0; i < t->epochs_len; i++)
		if (epoch != UINT64_MAX && t->epochs[i].epoch >= epoch &&
		    t->epochs[i].since + MESH_EPOCHS_KEPT >= epoch) {
			root.sum = u128_sub(root.sum, t->epochs[i].moved.sum);
			root.count -= t->epochs[i].moved.count;
		}
	*ret_root = root;
	return 0;
}

/* The first place in the order at or behind K. */
static uint32_t
table_find(const struct mesh_rows *rows, uint64_t k)
{
	uint32_t from = 0, to = rows->max;

	while (from < to) {
		uint32_t at = from + (to - from) / 2;

		if (rows->k[at] < k)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static int
table_digests(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
	      struct sync_digest *ret_children)
{
	const struct mesh_table *t = arg;
	uint64_t k = get_be64(prefix);

	memset(ret_children, 0, sizeof(ret_children[0]) << bits);
	for (uint32_t i = table_find(t->rows, k); i < t->rows->max; i++) {
		uint32_t row = t->rows->order[i];

		if (depth > 0 && (t->rows->k[i] ^ k) >> (64 - depth) != 0)
			break;
		if (t->versions[row] > 0)
			digest_move(
				&ret_children[(t->rows->k[i] << depth) >> (64 - bits)],
				row_digest(row, t->versions[row]));
	}
	return 0;
}

static void
row_k(const struct mesh_rows *rows, uint32_t at, uint8_t ret_k[SYNC_K_BYTES])
{
	put_be64(ret_k, rows->k[at]);
	memset(ret_k + 8, 0, SYNC_K_BYTES - 8);
}

struct table_reading {
	const struct mesh_table *t;
	sync_row_fn *fn;
	void *fn_arg;
	struct buf encoded;
};

static bool
table_read(struct table_reading *reading, uint32_t at)
{
	const struct mesh_table *t = reading->t;
	uint32_t row = t->rows->order[at];
	uint8_t k[SYNC_K_BYTES];

	row_k(t->rows, at, k);
	buf_clear(&reading->encoded);
	mesh_row_put(t->rows, &reading->encoded, row, t->versions[row]);
	return reading->fn(reading->fn_arg, k, row_digest(row, t->versions[row]).sum,
			   buf_bytes(&reading->encoded));
}

static int
table_rows(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn, void *fn_arg)
{
	struct table_reading reading = { .t = arg, .fn = fn, .fn_arg = fn_arg };
	const struct mesh_rows *rows = reading.t->rows;
	uint32_t at = table_find(rows, get_be64(from));

	/* The second half of each K is zero. */
	if (at < rows->max && rows->k[at] == get_be64(from) && get_be64(from + 8) > 0)
		at++;
	for (; at < rows->max; at++)
		if (reading.t->versions[rows->order[at]] > 0 && !table_read(&reading, at))
			break;
	buf_fini(&reading.encoded);
	return 0;
}

/* As src/daemon/replica.c: the last bit of a cursor is set in the second pass, over all rows
 * but those of nodes. */
static int
table_page(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
	   sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
	   bool *ret_is_last)
{
	struct table_reading reading = { .t = arg, .fn = fn, .fn_arg = fn_arg };
	const struct mesh_rows *rows = reading.t->rows;
	bool is_second = (cursor[SYNC_K_BYTES - 1] & 1) != 0;
	size_t bytes = 0;
	uint32_t at = table_find(rows, get_be64(cursor));

	for (; at < rows->max && bytes < max_bytes; at++) {
		uint32_t row = rows->order[at];

		if (reading.t->versions[row] == 0 || (row >= rows->nodes) != is_second)
			continue;
		table_read(&reading, at);
		bytes += reading.encoded.len;
	}
	buf_fini(&reading.encoded);
	*ret_is_last = at == rows->max && is_second;
	memset(ret_next, 0, SYNC_K_BYTES);
	if (at < rows->max)
		row_k(rows, at, ret_next);
	ret_next[SYNC_K_BYTES - 1] = is_second || at == rows->max;
	return 0;
}

struct sync_table
mesh_table_view(struct mesh_table *t)
{
	return (struct sync_table){
		.arg = t,
		.root = table_root,
		.digests = table_digests,
		.rows = table_rows,
		.page = table_page,
	};
}
