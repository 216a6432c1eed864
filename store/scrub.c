/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber: the whole store looked at, a little at a time, and put right from its rows.
 *
 * A pass goes through the rows, a bucket at a time: each row decodes, stands where its key
 * hashes to, and is found by its owner, its index keys and its removed versions; their
 * digests sum up to the bucket's. Then through those lists, an entry at a time: each has a
 * row that makes it. And at last the root is the sum of all buckets.
 *
 * Looking uses a read transaction, whose snapshot no commit disturbs. What looks wrong is
 * looked at again in a write transaction, where it is named and put right at once: so what
 * is named is wrong, whatever goes on beside. A digest that does not fit may be a digest that
 * rotted or a row that did: the rows' signatures tell (store_config.is_genuine). */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "store/private.h"

enum {
	SCRUB_ENTRIES = 256, /* of a list, at a time */
	SCRUB_TOLD_MAX = 16, /* faults that are named, of those of one look */
	SCRUB_TEXT_SIZE = 192,
};

/* Copied out of the transaction: `key` and `value` lie in scrub.data one after the other. */
struct scrub_item {
	size_t at, key_len, value_len;
	bool is_bad;
};

struct scrub {
	struct store *store;
	MDB_txn *txn;
	bool is_repair;
	struct root root;
	struct buf data;
	struct scrub_item *items;
	int n, cap;
	/* Of the rows, those that their owner did not sign so: K and digest. */
	struct {
		uint8_t k[STORE_K_BYTES];
		struct u128 digest;
	} * forged;
	int n_forged;
	uint64_t faults[STORE_FAULTS];
	int n_told;
	struct {
		enum store_fault fault;
		char text[SCRUB_TEXT_SIZE];
	} told[SCRUB_TOLD_MAX];
	bool is_changed; /* the root, or a row */
};

const char *
store_fault_text(enum store_fault fault)
{
	static const char *const texts[STORE_FAULTS] = {
		[STORE_FAULT_ROW] = "row",	 [STORE_FAULT_OWNER] = "owner",
		[STORE_FAULT_INDEX] = "index",	 [STORE_FAULT_REMOVED] = "removed",
		[STORE_FAULT_DIGEST] = "digest", [STORE_FAULT_ROOT] = "root",
	};

	return texts[fault];
}

static void scrub_fault(struct scrub *s, enum store_fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
scrub_fault(struct scrub *s, enum store_fault fault, const char *fmt, ...)
{
	va_list ap;

	s->faults[fault]++;
	if (s->n_told == SCRUB_TOLD_MAX)
		return;
	s->told[s->n_told].fault = fault;
	va_start(ap, fmt);
	vsnprintf(s->told[s->n_told++].text, SCRUB_TEXT_SIZE, fmt, ap);
	va_end(ap);
}

static uint64_t
scrub_found(const struct scrub *s)
{
	uint64_t n = 0;

	for (int i = 0; i < STORE_FAULTS; i++)
		n += s->faults[i];
	return n;
}

static void
scrub_item_add(struct scrub *s, MDB_val key, MDB_val value, bool is_bad)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : SCRUB_ENTRIES;
		s->items = mem_realloc(s->items, (size_t)s->cap, sizeof(s->items[0]));
	}
	s->items[s->n++] = (struct scrub_item){ .at = s->data.len,
						.key_len = key.mv_size,
						.value_len = value.mv_size,
						.is_bad = is_bad };
	buf_put_bytes(&s->data, env_bytes(key));
	buf_put_bytes(&s->data, env_bytes(value));
}

static struct bytes
scrub_key(const struct scrub *s, const struct scrub_item *item)
{
	return bytes_of(s->data.data + item->at, item->key_len);
}

static struct bytes
scrub_value(const struct scrub *s, const struct scrub_item *item)
{
	return bytes_of(s->data.data + item->at + item->key_len, item->value_len);
}

static struct u128
scrub_digest(const struct scrub *s, const struct scrub_item *item)
{
	return buckets_digest(s->store, scrub_key(s, item).data, scrub_value(s, item));
}

/* ---- a bucket ---- */

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

static int
scrub_row_index(struct scrub *s, const struct scrub_item *item, const char *name,
		const struct row_key *key, const struct row *row)
{
	MDB_val value = env_val(scrub_key(s, item));
	struct buf keys = BUF_INIT;
	struct reader r;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(s->txn, s->store->index, &cursor);

	if (rc != 0)
		return rc;
	rows_index_keys(s->store, key, row, &keys);
	r = reader_of(buf_bytes(&keys));
	while (rc == 0 && r.len > 0) {
		MDB_val index_key = env_val(reader_bytes16(&r)), at = index_key,
			is = value;

		rc = mdb_cursor_get(cursor, &at, &is, MDB_GET_BOTH);
		if (rc != MDB_NOTFOUND)
			continue;
		scrub_fault(s, STORE_FAULT_INDEX, "row %s is missing in the index", name);
		rc = s->is_repair
			     ? mdb_put(s->txn, s->store->index, &index_key, &value, 0)
			     : 0;
	}
	mdb_cursor_close(cursor);
	buf_fini(&keys);
	return rc;
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
	if (scrub_is_forged(s, item)) {
		row_fini(&row);
		return scrub_row_damaged(s, item, name, "is not what its owner signed");
	}
	rc = scrub_row_owner(s, item, name);
	if (rc == 0)
		rc = scrub_row_removed(s, item, name);
	if (rc == 0)
		rc = scrub_row_index(s, item, name, &key, &row);
	row_fini(&row);
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

static bool
scrub_equal(struct store_digest a, struct store_digest b)
{
	return a.count == b.count && u128_equal(a.sum, b.sum);
}

static struct store_digest
scrub_move(struct store_digest d, struct store_digest minus, struct store_digest plus)
{
	return (struct store_digest){
		.sum = u128_add(u128_sub(d.sum, minus.sum), plus.sum),
		.count = d.count - minus.count + plus.count,
	};
}

/* The sum of all buckets as they are written. -OCF_ECORRUPT: one of them cannot be read. */
static int
scrub_total(struct scrub *s, struct store_digest *ret_total)
{
	uint32_t records = (uint32_t)((1U << s->root.bits) / BUCKET_SLOTS);
	struct store_digest slots[BUCKET_SLOTS], total = { .count = 0 }, none = total;
	int rc = 0;

	for (uint32_t i = 0; i < records && rc == 0; i++) {
		rc = buckets_read(s->store, s->txn, i, slots);
		for (int j = 0; j < BUCKET_SLOTS && rc == 0; j++)
			total = scrub_move(total, none, slots[j]);
	}
	if (rc == 0)
		*ret_total = total;
	return rc;
}

/* All digests anew, from the rows. */
static int
scrub_rebuild(struct scrub *s)
{
	struct store_digest before = s->root.digest;
	int rc = buckets_rebuild(s->store, s->txn, &s->root);

	s->is_changed |= !scrub_equal(before, s->root.digest);
	return rc;
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

static int
scrub_bucket(struct scrub *s)
{
	uint64_t bucket = s->store->scrub.prefix >> (64 - s->root.bits);
	int rc = scrub_collect_rows(s, bucket);

	for (int i = 0; i < s->n && rc == 0; i++)
		rc = scrub_row(s, &s->items[i]);
	return rc == 0 ? scrub_slot(s, bucket) : rc;
}

/* Between looking and putting right, with no transaction open: a signature takes time. */
static void
scrub_ask_genuine(struct scrub *s)
{
	const struct store_config *config = &s->store->config;

	if (config->is_genuine == NULL || s->faults[STORE_FAULT_DIGEST] == 0 ||
	    s->store->scrub.phase != SCRUB_ROWS)
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

/* ---- a list ---- */

/* Is there a row that makes this entry? */
static int
scrub_entry_owner(struct scrub *s, struct bytes key, struct bytes value, bool *ret_good)
{
	struct bytes record;
	int rc = value.len == STORE_K_BYTES
			 ? env_get(s->txn, s->store->rows, value, &record)
			 : MDB_NOTFOUND;

	*ret_good = rc == 0 &&
		    bytes_equal(bytes_of(record.data, rows_key_len(record)), key);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
scrub_entry_removed(struct scrub *s, struct bytes key, struct bytes value, bool *ret_good)
{
	uint8_t entry[REMOVED_KEY_BYTES];
	struct bytes record, k;
	int rc = MDB_NOTFOUND;

	(void)value;
	if (key.len == REMOVED_KEY_BYTES) {
		k = bytes_of(key.data + 8, STORE_K_BYTES);
		rc = env_get(s->txn, s->store->rows, k, &record);
	}
	*ret_good = rc == 0 && rows_removed_key(k.data, record, entry) &&
		    bytes_equal(bytes_of(entry, sizeof(entry)), key);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
scrub_entry_index(struct scrub *s, struct bytes key, struct bytes value, bool *ret_good)
{
	struct buf keys = BUF_INIT;
	struct row_key row_key;
	struct reader r;
	struct bytes record;
	struct row row;
	int rc = value.len == STORE_K_BYTES
			 ? env_get(s->txn, s->store->rows, value, &record)
			 : MDB_NOTFOUND;

	*ret_good = false;
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (rows_decode(s->store, value.data, record, &row_key, &row) != 0)
		return 0;
	rows_index_keys(s->store, &row_key, &row, &keys);
	row_fini(&row);
	for (r = reader_of(buf_bytes(&keys)); r.len > 0;)
		*ret_good |= bytes_equal(reader_bytes16(&r), key);
	buf_fini(&keys);
	return 0;
}

static const struct scrub_list {
	enum store_fault fault;
	const char *name;
	int (*is_good)(struct scrub *s, struct bytes key, struct bytes value,
		       bool *ret_good);
} scrub_lists[] = {
	[SCRUB_OWNERS] = { STORE_FAULT_OWNER, "owners' list", scrub_entry_owner },
	[SCRUB_INDEX] = { STORE_FAULT_INDEX, "index", scrub_entry_index },
	[SCRUB_REMOVED] = { STORE_FAULT_REMOVED, "list of removed versions",
			    scrub_entry_removed },
};

static MDB_dbi
scrub_list_dbi(const struct scrub *s)
{
	switch (s->store->scrub.phase) {
	case SCRUB_OWNERS:
		return s->store->owners;
	case SCRUB_INDEX:
		return s->store->index;
	default:
		return s->store->removed;
	}
}

/* The first entry at or behind the one where the last look ended. */
static int
scrub_list_seek(struct scrub *s, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
	struct bytes from_key = buf_bytes(&s->store->scrub.key);
	struct bytes from_value = buf_bytes(&s->store->scrub.value);
	int rc;

	if (from_key.len == 0)
		return mdb_cursor_get(cursor, key, value, MDB_FIRST);
	*key = env_val(from_key);
	*value = env_val(from_value);
	if (s->store->scrub.phase == SCRUB_INDEX) { /* keys with many rows */
		rc = mdb_cursor_get(cursor, key, value, MDB_GET_BOTH_RANGE);
		if (rc == 0) /* it gives no key */
			rc = mdb_cursor_get(cursor, key, value, MDB_GET_CURRENT);
		if (rc != MDB_NOTFOUND)
			return rc;
		*key = env_val(from_key);
		rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
		return rc == 0 && bytes_equal(env_bytes(*key), from_key)
			       ? mdb_cursor_get(cursor, key, value, MDB_NEXT_NODUP)
			       : rc;
	}
	return mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
}

/* MDB_NOTFOUND: that was the end of the list. */
static int
scrub_list_look(struct scrub *s, const struct scrub_list *list)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(s->txn, scrub_list_dbi(s), &cursor);

	if (rc != 0)
		return rc;
	rc = scrub_list_seek(s, cursor, &key, &value);
	for (int n = 0; rc == 0 && n < SCRUB_ENTRIES; n++) {
		bool is_good;

		rc = list->is_good(s, env_bytes(key), env_bytes(value), &is_good);
		if (rc == 0 && !is_good) {
			scrub_item_add(s, key, value, true);
			s->faults[list->fault]++;
		}
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	if (rc == 0) {
		buf_clear(&s->store->scrub.key);
		buf_put_bytes(&s->store->scrub.key, env_bytes(key));
		buf_clear(&s->store->scrub.value);
		buf_put_bytes(&s->store->scrub.value, env_bytes(value));
	}
	mdb_cursor_close(cursor);
	return rc;
}

/* Those that looked wrong, looked at again, as they are now. */
static int
scrub_list_repair(struct scrub *s, const struct scrub_list *list)
{
	MDB_dbi dbi = scrub_list_dbi(s);
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(s->txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	for (int i = 0; i < s->n && rc == 0; i++) {
		struct bytes bytes = scrub_key(s, &s->items[i]);
		MDB_val key = env_val(bytes),
			value = env_val(scrub_value(s, &s->items[i]));
		bool is_good = true;

		rc = mdb_cursor_get(cursor, &key, &value,
				    dbi == s->store->index ? MDB_GET_BOTH : MDB_SET_KEY);
		if (rc == 0)
			rc = list->is_good(s, bytes, env_bytes(value), &is_good);
		if (rc == 0 && !is_good) {
			scrub_fault(s, list->fault,
				    "the %s has an entry that no row makes", list->name);
			rc = mdb_cursor_del(cursor, 0);
		}
		rc = rc == MDB_NOTFOUND ? 0 : rc;
	}
	mdb_cursor_close(cursor);
	return rc;
}

/* ---- the root ---- */

static int
scrub_root(struct scrub *s)
{
	struct store_digest total;
	int rc = scrub_total(s, &total);

	if (rc == 0 && scrub_equal(total, s->root.digest))
		return 0;
	if (rc == 0)
		scrub_fault(s, STORE_FAULT_ROOT,
			    "the root stands for %" PRIu64
			    " rows and is not the sum of the %" PRIu64 " in the digests",
			    s->root.digest.count, total.count);
	else if (rc == -OCF_ECORRUPT)
		scrub_fault(s, STORE_FAULT_DIGEST, "a digest record is damaged");
	else
		return rc;
	return s->is_repair ? scrub_rebuild(s) : 0;
}

/* ---- a step ---- */

/* Returns MDB_NOTFOUND behind the last entry of a list. */
static int
scrub_phase(struct scrub *s)
{
	enum scrub_phase phase = s->store->scrub.phase;

	switch (phase) {
	case SCRUB_ROWS:
		return scrub_bucket(s);
	case SCRUB_ROOT:
		return scrub_root(s);
	default:
		return s->is_repair ? scrub_list_repair(s, &scrub_lists[phase])
				    : scrub_list_look(s, &scrub_lists[phase]);
	}
}

/* *ret_end: the end of the phase. */
static int
scrub_look(struct scrub *s, bool *ret_end)
{
	int rc = env_read_begin(s->store, &s->txn);

	if (rc != 0)
		return rc;
	rc = store_get_root(s->store, s->txn, &s->root);
	if (rc == 0)
		rc = scrub_phase(s);
	else if (rc == -OCF_ECORRUPT) {
		s->faults[STORE_FAULT_ROOT]++;
		rc = 0;
	}
	env_read_end(s->store, s->txn);
	*ret_end = rc == MDB_NOTFOUND;
	return *ret_end ? 0 : env_code(rc);
}

static int
scrub_write(struct store *store, MDB_txn *txn, void *arg)
{
	struct scrub *s = arg;
	struct root written;
	int rc;

	s->txn = txn;
	s->is_repair = true;
	s->is_changed = false;
	s->n_told = 0;
	memset(s->faults, 0, sizeof(s->faults));
	s->root = store->root; /* changed under write_lock only, which is ours */
	rc = store_get_root(store, txn, &written);
	if (rc == -OCF_ECORRUPT)
		scrub_fault(s, STORE_FAULT_ROOT, "the root is damaged");
	else if (rc == 0 && (written.bits != s->root.bits ||
			     !scrub_equal(written.digest, s->root.digest)))
		scrub_fault(s, STORE_FAULT_ROOT, "the root is not what was written");
	else if (rc != 0)
		return rc;
	rc = scrub_phase(s);
	return rc == 0 ? store_put_root(store, txn, &s->root) : rc;
}

static void
scrub_tell(struct scrub *s, int rc)
{
	uint64_t found = scrub_found(s);

	for (int i = 0; i < s->n_told; i++) {
		const char *text = s->told[i].text;

		if (rc != 0)
			store_report(s->store, rc,
				     "%s; it cannot be put right just now: %s", text,
				     error_text(rc));
		else if (s->told[i].fault == STORE_FAULT_ROW)
			store_report(s->store, -OCF_ECORRUPT,
				     "%s; it was dropped, and the other nodes bring it "
				     "back",
				     text);
		else
			store_report(s->store, -OCF_ECORRUPT, "%s; it was put right",
				     text);
	}
	if (found > (uint64_t)s->n_told)
		store_report(s->store, -OCF_ECORRUPT, "and %" PRIu64 " more faults",
			     found - (uint64_t)s->n_told);
}

static int
scrub_repair(struct scrub *s)
{
	struct store *store = s->store;
	int rc;

	pthread_mutex_lock(&store->write_lock);
	rc = env_write(store, scrub_write, s);
	pthread_mutex_lock(&store->lock);
	if (rc == 0)
		store->root = s->root;
	for (int i = 0; i < STORE_FAULTS; i++)
		store->scrub.faults[i] += s->faults[i];
	if (rc == 0)
		store->scrub.repaired += scrub_found(s);
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_unlock(&store->write_lock);
	scrub_tell(s, rc);
	return rc;
}

/* On to what the next step looks at, also after a failure: the next pass comes by again.
 * True at the end of a pass. */
static bool
scrub_advance(struct scrub *s, bool is_end)
{
	struct scrub_at *at = &s->store->scrub;

	if (s->root.bits == 0) /* nothing could be read at all */
		return false;
	if (at->phase == SCRUB_ROWS) {
		uint64_t next = (at->prefix >> (64 - s->root.bits)) + 1;

		is_end = next == (uint64_t)1 << s->root.bits;
		at->prefix = is_end ? 0 : next << (64 - s->root.bits);
		pthread_mutex_lock(&s->store->lock);
		at->buckets++;
		pthread_mutex_unlock(&s->store->lock);
	}
	if (!is_end && at->phase != SCRUB_ROOT)
		return false;
	buf_clear(&at->key);
	buf_clear(&at->value);
	at->phase = at->phase == SCRUB_ROOT ? SCRUB_ROWS : at->phase + 1;
	if (at->phase == SCRUB_INDEX && s->store->config.index == NULL)
		at->phase++;
	return at->phase == SCRUB_ROWS;
}

int
store_scrub(struct store *store, bool *ret_changed, bool *ret_end)
{
	struct scrub s = { .store = store };
	bool is_end = false;
	int rc;

	assert(!store->config.is_read_only);
	pthread_mutex_lock(&store->scrub_lock);
	rc = scrub_look(&s, &is_end);
	if (rc == 0 && scrub_found(&s) > 0) {
		scrub_ask_genuine(&s);
		rc = scrub_repair(&s);
	}
	*ret_changed = rc == 0 && s.is_changed;
	*ret_end = scrub_advance(&s, is_end || rc != 0);
	pthread_mutex_unlock(&store->scrub_lock);
	free(s.items);
	free(s.forged);
	buf_fini(&s.data);
	return rc;
}
