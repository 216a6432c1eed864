/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle digests, flat and additive: bucket i holds the sum (mod 2^128) of the item
 * digests of the rows whose K begins with the `bits` bits of i, and their count. A node
 * of the tree above, at any fan-out, is a sum over a run of buckets, computed when asked
 * (Meyer: "Range-Based Set Reconciliation", 2022; that sums may stand in for hashes of
 * hashes is safe because the item digest is keyed). Same rows, same sums, whatever the
 * order of arrival and whatever `bits`, which is local and grows and shrinks with the table. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/private.h"

uint64_t
bucket_prefix(const uint8_t k[STORE_K_BYTES], int bits)
{
	return bits == 0 ? 0 : get_be64(k) >> (64 - bits);
}

struct u128
buckets_digest(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes record)
{
	size_t key_len = rows_key_len(record);

	return digest_row(&store->tk, k,
			  bytes_of(record.data + key_len, record.len - key_len));
}

static void
bucket_apply(struct store_digest *d, const struct bucket_change *change)
{
	if (change->had) {
		d->sum = u128_sub(d->sum, change->minus);
		d->count -= d->count > 0; /* 0: damaged, which verify tells */
	}
	if (change->has) {
		d->sum = u128_add(d->sum, change->plus);
		d->count++;
	}
}

static void
bucket_put(uint8_t *p, const struct store_digest *d)
{
	put_be64(p, d->sum.hi);
	put_be64(p + 8, d->sum.lo);
	put_be32(p + 16, (uint32_t)d->count);
}

static void
bucket_get(const uint8_t *p, struct store_digest *ret_d)
{
	ret_d->sum = (struct u128){ .hi = get_be64(p), .lo = get_be64(p + 8) };
	ret_d->count = get_be32(p + 16);
}

int
buckets_read(struct store *store, MDB_txn *txn, uint32_t number,
	     struct store_digest slots[BUCKET_SLOTS])
{
	struct bytes v;
	uint8_t key[4];
	int rc;

	put_be32(key, number);
	rc = env_get(txn, store->digests, bytes_of(key, sizeof(key)), &v);
	memset(slots, 0, BUCKET_SLOTS * sizeof(slots[0]));
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc == 0 && v.len != BUCKET_RECORD_BYTES)
		return -OCF_ECORRUPT;
	for (int i = 0; i < BUCKET_SLOTS && rc == 0; i++)
		bucket_get(v.data + i * BUCKET_SLOT_BYTES, &slots[i]);
	return rc;
}

int
buckets_write(struct store *store, MDB_txn *txn, uint32_t number,
	      const struct store_digest slots[BUCKET_SLOTS])
{
	uint8_t key[4], value[BUCKET_RECORD_BYTES];

	put_be32(key, number);
	for (int i = 0; i < BUCKET_SLOTS; i++)
		bucket_put(value + i * BUCKET_SLOT_BYTES, &slots[i]);
	return env_put(txn, store->digests, bytes_of(key, sizeof(key)),
		       bytes_of(value, sizeof(value)));
}

/* ---- changing them ---- */

int
bucket_run_begin(struct bucket_run *run, struct store *store, MDB_txn *txn,
		 struct root *root)
{
	*run = (struct bucket_run){ .root = root };
	return mdb_cursor_open(txn, store->digests, &run->cursor);
}

static int
bucket_run_flush(struct bucket_run *run)
{
	uint8_t number[4];
	MDB_val key = { sizeof(number), number };
	MDB_val value = { sizeof(run->record), run->record };

	if (!run->is_loaded)
		return 0;
	put_be32(number, run->number);
	return mdb_cursor_put(run->cursor, &key, &value, 0);
}

static int
bucket_run_load(struct bucket_run *run, uint32_t wanted)
{
	uint8_t number[4];
	MDB_val key = { sizeof(number), number }, value;
	int rc;

	if (run->is_loaded && run->number == wanted)
		return 0;
	rc = bucket_run_flush(run);
	if (rc != 0)
		return rc;
	put_be32(number, wanted);
	rc = mdb_cursor_get(run->cursor, &key, &value, MDB_SET);
	if (rc == 0 && value.mv_size != sizeof(run->record))
		return -OCF_ECORRUPT;
	if (rc == 0)
		memcpy(run->record, value.mv_data, sizeof(run->record));
	else if (rc == MDB_NOTFOUND)
		memset(run->record, 0, sizeof(run->record));
	else
		return rc;
	run->number = wanted;
	run->is_loaded = true;
	return 0;
}

int
bucket_run_change(struct bucket_run *run, const uint8_t k[STORE_K_BYTES],
		  const struct bucket_change *change)
{
	uint64_t bucket = bucket_prefix(k, run->root->bits);
	uint8_t *slot = run->record + bucket % BUCKET_SLOTS * BUCKET_SLOT_BYTES;
	struct store_digest digest;
	int rc = bucket_run_load(run, (uint32_t)(bucket / BUCKET_SLOTS));

	if (rc != 0)
		return rc;
	bucket_get(slot, &digest);
	bucket_apply(&digest, change);
	bucket_put(slot, &digest);
	bucket_apply(&run->root->digest, change);
	return 0;
}

int
bucket_run_end(struct bucket_run *run, int rc)
{
	if (rc == 0)
		rc = bucket_run_flush(run);
	mdb_cursor_close(run->cursor);
	return rc;
}

/* ---- computing them ---- */

int
buckets_sum(struct store *store, MDB_txn *txn, int bits, struct store_digest **ret_slots,
	    struct store_digest *ret_root)
{
	struct store_digest *slots = mem_calloc((size_t)1 << bits, sizeof(slots[0]));
	struct store_digest root = { .count = 0 };
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(txn, store->rows, &cursor);

	if (rc != 0) {
		free(slots);
		return rc;
	}
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		struct bucket_change change = { .has = true };

		if (key.mv_size != STORE_K_BYTES)
			continue; /* a damaged page; the row is counted nowhere */
		change.plus = buckets_digest(store, key.mv_data, env_bytes(value));
		bucket_apply(&slots[bucket_prefix(key.mv_data, bits)], &change);
		bucket_apply(&root, &change);
	}
	mdb_cursor_close(cursor);
	if (rc != MDB_NOTFOUND) {
		free(slots);
		return rc;
	}
	*ret_slots = slots;
	*ret_root = root;
	return 0;
}

int
buckets_rebuild(struct store *store, MDB_txn *txn, struct root *root)
{
	uint32_t records = (uint32_t)(1U << root->bits) / BUCKET_SLOTS;
	struct store_digest *slots;
	int rc = mdb_drop(txn, store->digests, 0);

	if (rc == 0)
		rc = buckets_sum(store, txn, root->bits, &slots, &root->digest);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < records && rc == 0; i++)
		rc = buckets_write(store, txn, i, slots + (size_t)i * BUCKET_SLOTS);
	free(slots);
	return rc;
}

/* How many bits fit so many rows, from what there are: with room on both sides, so that
 * rows that come and go around a border do not rebuild the table each time. */
static int
buckets_bits(uint64_t rows, int bits)
{
	while (bits < BUCKET_BITS_MAX && rows >> bits >= BUCKET_ROWS_MEAN_MAX)
		bits++;
	if (rows >> bits >= BUCKET_ROWS_MEAN_MIN)
		return bits;
	while (bits > BUCKET_BITS_MIN && rows >> bits < BUCKET_ROWS_MEAN_SHRUNK)
		bits--;
	return bits;
}

int
buckets_fit(struct store *store, MDB_txn *txn, struct root *root)
{
	struct root fitted = *root;
	int rc;

	fitted.bits = buckets_bits(root->digest.count, root->bits);
	if (fitted.bits == root->bits)
		return 0;
	rc = buckets_rebuild(store, txn, &fitted);
	if (rc != 0)
		return rc;
	/* Something had rotted; only the rows' signatures can tell what. */
	if (fitted.digest.count != root->digest.count ||
	    !u128_equal(fitted.digest.sum, root->digest.sum)) {
		pthread_mutex_lock(&store->lock);
		store->scrub.doubts = SCRUB_DOUBTS;
		pthread_mutex_unlock(&store->lock);
	}
	*root = fitted;
	return 0;
}

/* The children as sums of buckets: `shift` bits of a bucket's number lie below them. */
static int
buckets_children_flat(struct store *store, MDB_txn *txn, uint64_t first, int bits,
		      int shift, struct store_digest *children)
{
	uint64_t n = (uint64_t)1 << (bits + shift);
	struct store_digest slots[BUCKET_SLOTS];
	uint32_t loaded = UINT32_MAX;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t bucket = first + i;
		struct store_digest *child = &children[i >> shift];
		const struct store_digest *slot = &slots[bucket % BUCKET_SLOTS];

		if (bucket / BUCKET_SLOTS != loaded) {
			int rc = buckets_read(store, txn,
					      (uint32_t)(bucket / BUCKET_SLOTS), slots);

			if (rc != 0)
				return rc;
			loaded = (uint32_t)(bucket / BUCKET_SLOTS);
		}
		child->sum = u128_add(child->sum, slot->sum);
		child->count += slot->count;
	}
	return 0;
}

/* The children as sums of rows. */
static int
buckets_children_rows(struct store *store, MDB_txn *txn, uint64_t node, int depth,
		      int bits, struct store_digest *children)
{
	uint8_t from[STORE_K_BYTES] = { 0 };
	MDB_val key = { sizeof(from), from }, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->rows, &cursor);

	if (rc != 0)
		return rc;
	put_be64(from, depth == 0 ? 0 : node << (64 - depth));
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && key.mv_size == STORE_K_BYTES &&
	       bucket_prefix(key.mv_data, depth) == node) {
		uint64_t child = bucket_prefix(key.mv_data, depth + bits) &
				 (((uint64_t)1 << bits) - 1);
		struct bucket_change change = { .has = true };

		change.plus = buckets_digest(store, key.mv_data, env_bytes(value));
		bucket_apply(&children[child], &change);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
store_digests(struct store *store, const uint8_t prefix[STORE_K_BYTES], int depth,
	      int bits, struct store_digest *ret_children)
{
	struct store_digest children[1 << STORE_CHILD_BITS_MAX] = { { .count = 0 } };
	uint64_t node = bucket_prefix(prefix, depth);
	struct root root;
	MDB_txn *txn;
	int rc;

	assert(depth >= 0 && bits >= 0 && bits <= STORE_CHILD_BITS_MAX &&
	       depth + bits <= 64);
	rc = env_read_begin(store, &txn);
	if (rc != 0)
		return rc;
	rc = store_get_root(store, txn, &root);
	if (rc == 0 && depth + bits <= root.bits)
		rc = buckets_children_flat(store, txn, node << (root.bits - depth), bits,
					   root.bits - depth - bits, children);
	else if (rc == 0)
		rc = buckets_children_rows(store, txn, node, depth, bits, children);
	env_read_end(store, txn);
	if (rc == 0)
		memcpy(ret_children, children, sizeof(children[0]) << bits);
	return env_code(rc);
}
