/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/rowset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/sha256.h"

static const struct table_key *
rowset_table_key(void)
{
	static const struct id cluster = { { 0xc1 } };
	static struct table_key tk;
	static bool is_made;

	if (!is_made)
		table_key_derive(&cluster, test_sha256, &tk);
	is_made = true;
	return &tk;
}

void
rowset_fini(struct rowset *rs)
{
	for (int i = 0; i < rs->len; i++)
		free((void *)(uintptr_t)rs->rows[i].encoded.data);
	free(rs->rows);
	free(rs->changes);
	*rs = (struct rowset){ .leases = rs->leases };
}

void
rowset_copy(const struct rowset *from, struct rowset *ret_rs)
{
	*ret_rs = (struct rowset){ .len = from->len,
				   .cap = from->len,
				   .root = from->root };
	ret_rs->rows = mem_calloc((size_t)from->len, sizeof(from->rows[0]));
	for (int i = 0; i < from->len; i++) {
		struct bytes e = from->rows[i].encoded;

		ret_rs->rows[i] = from->rows[i];
		ret_rs->rows[i].encoded = bytes_of(mem_dup(e.data, e.len), e.len);
	}
}

/* The first row at or behind `k`. */
static int
rowset_find(const struct rowset *rs, const uint8_t k[SYNC_K_BYTES])
{
	int low = 0, high = rs->len;

	while (low < high) {
		int mid = (low + high) / 2;

		if (memcmp(rs->rows[mid].k, k, SYNC_K_BYTES) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
rowset_is_at(const struct rowset *rs, int i, const uint8_t k[SYNC_K_BYTES])
{
	return i < rs->len && memcmp(rs->rows[i].k, k, SYNC_K_BYTES) == 0;
}

static void
rowset_decode(struct bytes encoded, struct row_key *ret_key, struct row *ret_row)
{
	struct reader r = reader_of(encoded);
	int rc = codec_read_key(&r, ret_key);

	if (rc == 0)
		rc = codec_read_row(&r, test_sha256, ret_row);
	assert(rc == 0 && reader_done(&r));
}

static void
rowset_note(struct rowset *rs, uint64_t stamp, struct sync_digest before)
{
	struct rowset_change *c;

	if ((rs->changes_len & (rs->changes_len + 1)) == 0)
		rs->changes = mem_realloc(rs->changes, 2 * (size_t)rs->changes_len + 2,
					  sizeof(rs->changes[0]));
	c = &rs->changes[rs->changes_len++];
	c->stamp = stamp;
	c->minus.sum = u128_sub(before.sum, rs->root.sum);
	c->minus.count = before.count - rs->root.count;
}

static void
rowset_set(struct rowset *rs, int i, const struct row_key *key, const struct row *row)
{
	struct sync_digest before = rs->root;
	struct rowset_row *r = &rs->rows[i];
	struct buf b = BUF_INIT;
	size_t key_len;

	codec_put_key(&b, key);
	key_len = b.len;
	codec_put_row(&b, row);
	if (r->encoded.data != NULL) {
		rs->root.sum = u128_sub(rs->root.sum, r->digest);
		rs->root.count--;
		free((void *)(uintptr_t)r->encoded.data);
	}
	r->digest = digest_row(rowset_table_key(), r->k,
			       bytes_of(b.data + key_len, b.len - key_len));
	r->encoded = bytes_of(mem_dup(b.data, b.len), b.len);
	rs->root.sum = u128_add(rs->root.sum, r->digest);
	rs->root.count++;
	rowset_note(rs, row_stamp(row), before);
	buf_fini(&b);
}

static void
rowset_insert(struct rowset *rs, int i, const uint8_t k[SYNC_K_BYTES])
{
	if (rs->len == rs->cap) {
		rs->cap = rs->cap * 2 + 16;
		rs->rows = mem_realloc(rs->rows, (size_t)rs->cap, sizeof(rs->rows[0]));
	}
	memmove(&rs->rows[i + 1], &rs->rows[i],
		(size_t)(rs->len - i) * sizeof(rs->rows[0]));
	rs->len++;
	rs->rows[i] = (struct rowset_row){ .encoded = BYTES_NONE };
	memcpy(rs->rows[i].k, k, SYNC_K_BYTES);
}

static void
rowset_remove(struct rowset *rs, int i, uint64_t stamp)
{
	struct sync_digest before = rs->root;

	rs->root.sum = u128_sub(rs->root.sum, rs->rows[i].digest);
	rs->root.count--;
	free((void *)(uintptr_t)rs->rows[i].encoded.data);
	rs->len--;
	memmove(&rs->rows[i], &rs->rows[i + 1],
		(size_t)(rs->len - i) * sizeof(rs->rows[0]));
	rowset_note(rs, stamp, before);
}

/* What the horizon leaves of it. */
static bool
rowset_trim(struct rowset *rs, const struct row_key *key, struct row *row)
{
	bool is_trimmed;

	if (rs->leases == NULL)
		return false;
	is_trimmed = leases_sweep(rs->leases, key, row);
	leases_note(rs->leases, key, row);
	return is_trimmed;
}

void
rowset_merge(struct rowset *rs, const struct row_key *key, const struct row *row)
{
	uint8_t k[SYNC_K_BYTES];
	struct row held = ROW_INIT;
	struct row_key same;
	bool is_held;
	int i;

	digest_key(rowset_table_key(), key, test_sha256, k);
	i = rowset_find(rs, k);
	is_held = rowset_is_at(rs, i, k);
	if (is_held)
		rowset_decode(rs->rows[i].encoded, &same, &held);
	if (row_merge(&held, row)) {
		rowset_trim(rs, key, &held);
		if (held.len > 0 && !is_held)
			rowset_insert(rs, i, k);
		if (held.len > 0)
			rowset_set(rs, i, key, &held);
		else if (is_held)
			rowset_remove(rs, i, row_stamp(row));
	}
	row_fini(&held);
}

/* Twice, for what is left of a row depends on its owner's. */
void
rowset_sweep(struct rowset *rs)
{
	for (int pass = 0; pass < 2; pass++)
		for (int i = rs->len - 1; i >= 0; i--) {
			struct row_key key;
			uint64_t stamp;
			struct row row;

			rowset_decode(rs->rows[i].encoded, &key, &row);
			stamp = row_stamp(&row);
			if (rowset_trim(rs, &key, &row) && row.len > 0)
				rowset_set(rs, i, &key, &row);
			else if (row.len == 0)
				rowset_remove(rs, i, stamp);
			row_fini(&row);
		}
}

int
rowset_merge_encoded(struct rowset *rs, struct bytes rows)
{
	struct reader r = reader_of(rows);
	int n = 0;

	while (r.len > 0) {
		struct row_key key;
		struct row row;

		if (codec_read_key(&r, &key) != 0 ||
		    codec_read_row(&r, test_sha256, &row) != 0)
			return -1;
		rowset_merge(rs, &key, &row);
		row_fini(&row);
		n++;
	}
	return n;
}

void
rowset_get(const struct rowset *rs, const struct row_key *key, struct row *ret_row)
{
	uint8_t k[SYNC_K_BYTES];
	struct row_key same;
	int i;

	digest_key(rowset_table_key(), key, test_sha256, k);
	i = rowset_find(rs, k);
	*ret_row = ROW_INIT;
	if (rowset_is_at(rs, i, k))
		rowset_decode(rs->rows[i].encoded, &same, ret_row);
}

void
rowset_differences(const struct rowset *here, const struct rowset *there,
		   uint64_t *ret_here, uint64_t *ret_there, uint64_t *ret_differing)
{
	uint64_t both = 0;

	*ret_here = *ret_there = *ret_differing = 0;
	for (int i = 0; i < here->len; i++) {
		int at = rowset_find(there, here->rows[i].k);

		if (!rowset_is_at(there, at, here->rows[i].k)) {
			++*ret_here;
			continue;
		}
		both++;
		if (!bytes_equal(here->rows[i].encoded, there->rows[at].encoded))
			++*ret_differing;
	}
	*ret_there = (uint64_t)there->len - both;
}

bool
rowset_equal(const struct rowset *a, const struct rowset *b)
{
	uint64_t here, there, differing;

	rowset_differences(a, b, &here, &there, &differing);
	return here + there + differing == 0;
}

/* As struct sync_table. */

static int
table_fails(struct rowset *rs)
{
	return rs->fail_after > 0 && --rs->fail_after == 0 ? -EIO : 0;
}

static int
table_root(void *arg, uint64_t epoch, struct sync_digest *ret_root)
{
	struct rowset *rs = arg;
	int rc = table_fails(rs);

	*ret_root = rs->root;
	for (int i = 0; i < rs->changes_len && epoch != UINT64_MAX; i++) {
		const struct rowset_change *c = &rs->changes[i];

		if (c->stamp < epoch * SYNC_EPOCH_MS)
			continue;
		ret_root->sum = u128_add(ret_root->sum, c->minus.sum);
		ret_root->count += c->minus.count;
	}
	return rc;
}

static int
table_digests(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
	      struct sync_digest *ret_children)
{
	struct rowset *rs = arg;
	uint64_t node = get_be64(prefix),
		 mask = depth == 0 ? 0 : ~UINT64_C(0) << (64 - depth);
	uint8_t from[SYNC_K_BYTES] = { 0 };
	int rc = table_fails(rs);

	assert(depth + bits <= 64 && (node & ~mask) == 0);
	put_be64(from, node);
	memset(ret_children, 0, sizeof(ret_children[0]) << bits);
	for (int i = rowset_find(rs, from); i < rs->len; i++) {
		uint64_t k = get_be64(rs->rows[i].k);
		struct sync_digest *child;

		if ((k & mask) != node)
			break;
		child = &ret_children[k << depth >> (64 - bits)];
		child->sum = u128_add(child->sum, rs->rows[i].digest);
		child->count++;
	}
	return rc;
}

static int
table_rows(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn, void *fn_arg)
{
	struct rowset *rs = arg;
	int rc = table_fails(rs);

	for (int i = rowset_find(rs, from); i < rs->len && rc == 0; i++) {
		const struct rowset_row *r = &rs->rows[i];

		if (!fn(fn_arg, r->k, r->digest, r->encoded))
			break;
	}
	return rc;
}

/* A cursor is a K whose last bit says that the node rows are done. */
static int
table_page(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
	   sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
	   bool *ret_is_last)
{
	struct rowset *rs = arg;
	int rc = table_fails(rs), phase = cursor[SYNC_K_BYTES - 1] & 1;
	uint8_t from[SYNC_K_BYTES];
	size_t bytes = 0;

	memcpy(from, cursor, SYNC_K_BYTES);
	from[SYNC_K_BYTES - 1] &= 0xfe;
	*ret_is_last = false;
	for (int i = rowset_find(rs, from); rc == 0; i++) {
		const struct rowset_row *r = &rs->rows[i];

		if (i == rs->len && phase == 1)
			break;
		if (i == rs->len) {
			phase = 1;
			i = -1;
			continue;
		}
		if ((r->encoded.data[ID_BYTES] == ROW_NODE) != (phase == 0))
			continue;
		if (bytes > 0 && bytes + r->encoded.len > max_bytes) {
			memcpy(ret_next, r->k, SYNC_K_BYTES);
			ret_next[SYNC_K_BYTES -
				 1] = (uint8_t)((ret_next[SYNC_K_BYTES - 1] & 0xfe) |
						phase);
			return 0;
		}
		bytes += r->encoded.len;
		fn(fn_arg, r->k, r->digest, r->encoded);
	}
	*ret_is_last = true;
	return rc;
}

struct sync_table
rowset_table(struct rowset *rs)
{
	return (struct sync_table){ .arg = rs,
				    .root = table_root,
				    .digests = table_digests,
				    .rows = table_rows,
				    .page = table_page };
}
