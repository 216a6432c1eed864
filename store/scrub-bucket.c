/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber's look at a bucket of rows. A digest that does not fit may be a digest that
 * rotted or a row that did: the rows' signatures tell (store_config.is_genuine). */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "store/scrub-private.h"

static struct u128
scrub_digest(const struct scrub *s, const struct scrub_item *item)
{
	return buckets_digest(s->store, scrub_key(s, item).data, scrub_value(s, item));
}

static bool
scrub_is_forged(const struct scrub *s, const struct scrub_item *item)
{
	for (int i = 0; i < s->n_forged; i++)
		if (bytes_equal(bytes_of(s->forged[i].k, STORE_K_BYTES),
				scrub_key(s, item)) &&
		    u128_equal(s->forged[i].digest, scrub_digest(s, item)))
			return true;
	return false;
}

/* The rows from the bucket's first K up to the next one's. */
static int
scrub_collect_rows(struct scrub *s, uint64_t bucket)
{
	uint8_t from[STORE_K_BYTES] = { 0 }, end[STORE_K_BYTES] = { 0 };
	bool is_last = bucket + 1 == (uint64_t)1 << s->root.bits;
	MDB_val key = { sizeof(from), from }, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(s->txn, s->store->rows, &cursor);

	if (rc != 0)
		return rc;
	s->n = 0; /* of an earlier look */
	buf_clear(&s->data);
	put_be64(from, bucket << (64 - s->root.bits));
	put_be64(end, is_last ? 0 : (bucket + 1) << (64 - s->root.bits));
	/* The first bucket begins with the first key, which may be too short a one. */
	rc = mdb_cursor_get(cursor, &key, &value,
			    bucket == 0 ? MDB_FIRST : MDB_SET_RANGE);
	while (rc == 0 && (is_last || bytes_compare(env_bytes(key),
						    bytes_of(end, sizeof(end))) < 0)) {
		scrub_item_add(s, key, value, false);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
scrub_row_owner(struct scrub *s, const struct scrub_item *item, const char *name)
{
	struct bytes record = scrub_value(s, item), k = scrub_key(s, item), owned;
	struct bytes key = bytes_of(record.data, rows_key_len(record));
	int rc = env_get(s->txn, s->store->owners, key, &owned);

	if (rc == 0 && bytes_equal(owned, k))
		return 0;
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	scrub_fault(s, STORE_FAULT_OWNER, "row %s is missing among its owner's", name);
	return s->is_repair ? env_put(s->txn, s->store->owners, key, k) : 0;
}

static int
scrub_row_removed(struct scrub *s, const struct scrub_item *item, const char *name)
{
	uint8_t entry[REMOVED_KEY_BYTES];
	struct bytes key = bytes_of(entry, sizeof(entry)), nothing;
	int rc;

	if (!rows_removed_key(scrub_key(s, item).data, scrub_value(s, item), entry))
		return 0;
	rc = env_get(s->txn, s->store->removed, key, &nothing);
	if (rc != MDB_NOTFOUND)
		return rc;
	scrub_fault(s, STORE_FAULT_REMOVED,
		    "row %s is missing among those with removed versions", name);
	return s->is_repair ? env_put(s->txn, s->store->removed, key, BYTES_NONE) : 0;
}

/* A damaged row goes: the other nodes have it. What else names it is found as an entry of
 * no row. */
static int
scrub_row_damaged(struct scrub *s, struct scrub_item *item, const char *name,
		  const char *how)
{
	scrub_fault(s, STORE_FAULT_ROW, "row %s %s", name, how);
	item->is_bad = true;
	s->is_changed = true;
	return s->is_repair ? env_delete(s->txn, s->store->rows, scrub_key(s, item)) : 0;
}

static int
scrub_row(struct scrub *s, struct scrub_item *item)
{
	char name[2 * STORE_K_BYTES + 1] = "under a key of a wrong size";
	struct bytes k = scrub_key(s, item);
	struct row_key key;
	struct row row;
	int rc;

	if (k.len == STORE_K_BYTES)
		hex_encode(k.data, STORE_K_BYTES, name);
	if (k.len != STORE_K_BYTES ||
	    rows_decode(s->store, k.data, scrub_value(s, item), &key, &row) != 0)
		return scrub_row_damaged(s, item, name, "is damaged");
	row_fini(&row);
	if (scrub_is_forged(s, item))
		return scrub_row_damaged(s, item, name, "is not what its owner signed");
	rc = scrub_row_owner(s, item, name);
	if (rc == 0)
		rc = scrub_row_removed(s, item, name);
	return rc;
}

static struct store_digest
scrub_sum(const struct scrub *s)
{
	struct store_digest sum = { .count = 0 };

	for (int i = 0; i < s->n; i++) {
		if (s->items[i].is_bad)
			continue;
		sum.sum = u128_add(sum.sum, scrub_digest(s, &s->items[i]));
		sum.count++;
	}
	return sum;
}

/* Make the bucket what its rows sum up to. The root is right with it, or was right with
 * what the bucket held before its rows changed; else nothing can be told from it. */
static int
scrub_put_slot(struct scrub *s, uint64_t bucket, struct store_digest *slots,
	       struct store_digest sum)
{
	struct store_digest *slot = &slots[bucket % BUCKET_SLOTS], total, moved;
	int rc = scrub_total(s, &total);

	if (rc == -OCF_ECORRUPT)
		return scrub_rebuild(s);
	if (rc != 0)
		return rc;
	moved = scrub_move(total, *slot, sum);
	if (!scrub_equal(moved, s->root.digest)) {
		if (!scrub_equal(total, s->root.digest))
			return scrub_rebuild(s);
		s->root.digest = moved;
		s->is_changed = true;
	}
	*slot = sum;
	return buckets_write(s->store, s->txn, (uint32_t)(bucket / BUCKET_SLOTS), slots);
}

static int
scrub_slot(struct scrub *s, uint64_t bucket)
{
	struct store_digest slots[BUCKET_SLOTS], sum = scrub_sum(s);
	const struct store_digest *slot = &slots[bucket % BUCKET_SLOTS];
	int rc = buckets_read(s->store, s->txn, (uint32_t)(bucket / BUCKET_SLOTS), slots);

	if (rc == -OCF_ECORRUPT) {
		scrub_fault(s, STORE_FAULT_DIGEST, "digest record %" PRIu64 " is damaged",
			    bucket / BUCKET_SLOTS);
		return s->is_repair ? scrub_rebuild(s) : 0;
	}
	if (rc != 0 || scrub_equal(*slot, sum))
		return rc;
	if (s->faults[STORE_FAULT_ROW] == 0) /* else it is no wonder */
		scrub_fault(s, STORE_FAULT_DIGEST,
			    "bucket %" PRIu64 " of %" PRIu64
			    " has a digest of another content (rows: %" PRIu64
			    " in the digest, %" PRIu64 " there)",
			    bucket, (uint64_t)1 << s->root.bits, slot->count, sum.count);
	return s->is_repair ? scrub_put_slot(s, bucket, slots, sum) : 0;
}

int
scrub_bucket(struct scrub *s)
{
	uint64_t bucket = s->store->scrub.prefix >> (64 - s->root.bits);
	int rc = scrub_collect_rows(s, bucket);

	for (int i = 0; i < s->n && rc == 0; i++)
		rc = scrub_row(s, &s->items[i]);
	return rc == 0 ? scrub_slot(s, bucket) : rc;
}

void
scrub_bucket_ask(struct scrub *s)
{
	const struct store_config *config = &s->store->config;
	bool is_doubtful;

	pthread_mutex_lock(&s->store->lock);
	is_doubtful = s->store->scrub.doubts > 0;
	pthread_mutex_unlock(&s->store->lock);
	if (config->is_genuine == NULL ||
	    (s->faults[STORE_FAULT_DIGEST] == 0 && !is_doubtful))
		return;
	s->forged = mem_calloc((size_t)s->n, sizeof(s->forged[0]));
	for (int i = 0; i < s->n; i++) {
		struct bytes k = scrub_key(s, &s->items[i]);
		struct row_key key;
		struct row row;

		if (s->items[i].is_bad ||
		    rows_decode(s->store, k.data, scrub_value(s, &s->items[i]), &key,
				&row) != 0)
			continue;
		if (!config->is_genuine(config->is_genuine_arg, &key, &row)) {
			memcpy(s->forged[s->n_forged].k, k.data, STORE_K_BYTES);
			s->forged[s->n_forged++].digest = scrub_digest(s, &s->items[i]);
		}
		row_fini(&row);
	}
}
