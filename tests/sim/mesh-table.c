/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-table.h"

#include <stdlib.h>
#include <string.h>

#include "lib/tap.h"

static struct u128
row_digest(uint32_t row)
{
	uint64_t h = hash64(bytes_of(&row, sizeof(row)), 7);

	return (struct u128){ h, ~h };
}

static void
row_k(uint32_t row, uint8_t ret_k[SYNC_K_BYTES])
{
	put_be64(ret_k, hash64(bytes_of(&row, sizeof(row)), 8));
	put_be64(ret_k + 8, hash64(bytes_of(&row, sizeof(row)), 9));
}

static int
row_compare(const void *a, const void *b)
{
	uint8_t ka[SYNC_K_BYTES], kb[SYNC_K_BYTES];

	row_k(*(const uint32_t *)a, ka);
	row_k(*(const uint32_t *)b, kb);
	return memcmp(ka, kb, SYNC_K_BYTES);
}

/* All rows in the order of K. */
static const uint32_t *
rows_in_order(void)
{
	static uint32_t order[MESH_ROWS_MAX];
	static bool is_made;

	for (uint32_t i = 0; !is_made && i < MESH_ROWS_MAX; i++)
		order[i] = i;
	if (!is_made)
		qsort(order, MESH_ROWS_MAX, sizeof(order[0]), row_compare);
	is_made = true;
	return order;
}

static void
digest_add(struct sync_digest *d, uint32_t row)
{
	d->sum = u128_add(d->sum, row_digest(row));
	d->count++;
}

void
mesh_table_drop(struct mesh_table *t, uint32_t row)
{
	t->has[row] = false;
	t->root.sum = u128_sub(t->root.sum, row_digest(row));
	t->root.count--;
}

bool
mesh_table_add(struct mesh_table *t, uint32_t row)
{
	CU_ASSERT_FATAL(row < MESH_ROWS_MAX);
	if (t->has[row])
		return false;
	t->has[row] = true;
	digest_add(&t->root, row);
	return true;
}

bool
mesh_row_needs(uint32_t row, uint32_t *ret_needed)
{
	*ret_needed = row - 1;
	return row % 4 == 3;
}

bool
mesh_table_can_merge(const struct mesh_table *t, uint32_t row)
{
	uint32_t needed;

	return !mesh_row_needs(row, &needed) || t->has[needed];
}

bool
mesh_table_merge(struct mesh_table *t, uint32_t row, struct buf *changed,
		 uint32_t *ret_wanted)
{
	CU_ASSERT_FATAL(row < MESH_ROWS_MAX);
	if (mesh_row_needs(row, ret_wanted) && !t->has[*ret_wanted]) {
		t->aside[row] = true;
		return false;
	}
	if (mesh_table_add(t, row))
		mesh_row_put(changed, row);
	if (row + 1 == MESH_ROWS_MAX || !t->aside[row + 1])
		return true;
	t->aside[row + 1] = false;
	return mesh_table_merge(t, row + 1, changed, ret_wanted);
}

/* Every 12th row is longer than a frame. */
void
mesh_row_put(struct buf *out, uint32_t row)
{
	uint32_t len = row % 12 == 11 ? 100000 : row % 700;

	buf_put_u32(out, row);
	buf_put_u32(out, len);
	memset(buf_extend(out, len), (int)(row & 0xff), len);
}

uint32_t
mesh_row_read(struct reader *r)
{
	uint32_t row = reader_u32(r), len = reader_u32(r);
	struct bytes rest = reader_take(r, len);

	CU_ASSERT_FATAL(!r->failed && row < MESH_ROWS_MAX);
	CU_ASSERT_FATAL(len == 0 || rest.data[len - 1] == (row & 0xff));
	return row;
}

/* ---- as the sync core reads it ---- */

static int
table_root(void *arg, uint64_t epoch, struct sync_digest *ret_root)
{
	const struct mesh_table *t = arg;
	struct sync_digest root = { .count = 0 };

	for (uint32_t row = 0; row < MESH_ROWS_MAX; row++)
		if (t->has[row] && (epoch == UINT64_MAX ||
				    (uint64_t)t->stamps[row] < epoch * SYNC_EPOCH_MS))
			digest_add(&root, row);
	*ret_root = root;
	return 0;
}

static int
table_digests(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
	      struct sync_digest *ret_children)
{
	const struct mesh_table *t = arg;
	uint64_t node = depth == 0 ? 0 : get_be64(prefix) >> (64 - depth);

	memset(ret_children, 0, sizeof(ret_children[0]) << bits);
	for (uint32_t row = 0; row < MESH_ROWS_MAX; row++) {
		uint8_t k[SYNC_K_BYTES];
		uint64_t at;

		row_k(row, k);
		at = get_be64(k);
		if (t->has[row] && (depth == 0 || at >> (64 - depth) == node))
			digest_add(&ret_children[(at << depth) >> (64 - bits)], row);
	}
	return 0;
}

static int
table_rows(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn, void *fn_arg)
{
	const struct mesh_table *t = arg;
	const uint32_t *order = rows_in_order();
	struct buf encoded = BUF_INIT;
	bool is_enough = false;

	for (int i = 0; i < MESH_ROWS_MAX && !is_enough; i++) {
		uint8_t k[SYNC_K_BYTES];

		row_k(order[i], k);
		if (!t->has[order[i]] || memcmp(k, from, SYNC_K_BYTES) < 0)
			continue;
		buf_clear(&encoded);
		mesh_row_put(&encoded, order[i]);
		is_enough = !fn(fn_arg, k, row_digest(order[i]), buf_bytes(&encoded));
	}
	buf_fini(&encoded);
	return 0;
}

struct table_page {
	sync_row_fn *fn;
	void *fn_arg;
	size_t left;
	uint8_t last[SYNC_K_BYTES];
	bool is_cut;
};

static bool
table_page_row(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	       struct bytes encoded)
{
	struct table_page *page = arg;

	if (page->left == 0) {
		page->is_cut = true;
		memcpy(page->last, k, SYNC_K_BYTES);
		return false;
	}
	page->fn(page->fn_arg, k, digest, encoded);
	page->left -= encoded.len < page->left ? encoded.len : page->left;
	return true;
}

static int
table_page(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
	   sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
	   bool *ret_is_last)
{
	struct table_page page = { .fn = fn, .fn_arg = fn_arg, .left = max_bytes };
	int rc = table_rows(arg, cursor, table_page_row, &page);

	*ret_is_last = !page.is_cut;
	memcpy(ret_next, page.last, SYNC_K_BYTES);
	return rc;
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
