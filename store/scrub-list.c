/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber's look at the lists beside the rows: each entry has a row that makes it. That
 * each row has its entries is seen with the row (scrub-bucket.c). */
#include "config.h"

#include "store/scrub-private.h"

enum { SCRUB_ENTRIES = 256 /* at a time */ };

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
	struct bytes record = BYTES_NONE, k = BYTES_NONE;
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
	switch (s->phase) {
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
	if (s->phase == SCRUB_INDEX) { /* keys with many rows */
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

int
scrub_list_look(struct scrub *s)
{
	const struct scrub_list *list = &scrub_lists[s->phase];
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

int
scrub_list_repair(struct scrub *s)
{
	const struct scrub_list *list = &scrub_lists[s->phase];
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
