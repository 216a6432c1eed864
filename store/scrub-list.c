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

static const struct scrub_list {
	enum store_fault fault;
	const char *name;
	int (*is_good)(struct scrub *s, struct bytes key, struct bytes value,
		       bool *ret_good);
} scrub_lists[] = {
	[SCRUB_OWNERS] = { STORE_FAULT_OWNER, "owners' list", scrub_entry_owner },
	[SCRUB_REMOVED] = { STORE_FAULT_REMOVED, "list of removed versions",
			    scrub_entry_removed },
};

static MDB_dbi
scrub_list_dbi(const struct scrub *s)
{
	return s->phase == SCRUB_OWNERS ? s->store->owners : s->store->removed;
}

int
scrub_list_look(struct scrub *s)
{
	const struct scrub_list *list = &scrub_lists[s->phase];
	MDB_cursor *cursor;
	struct buf *from = &s->store->scrub.key;
	MDB_val key = env_val(buf_bytes(from)), value;
	int rc = mdb_cursor_open(s->txn, scrub_list_dbi(s), &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value,
			    from->len == 0 ? MDB_FIRST : MDB_SET_RANGE);
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
		buf_clear(from);
		buf_put_bytes(from, env_bytes(key));
	}
	mdb_cursor_close(cursor);
	return rc;
}

int
scrub_list_repair(struct scrub *s)
{
	const struct scrub_list *list = &scrub_lists[s->phase];
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(s->txn, scrub_list_dbi(s), &cursor);

	if (rc != 0)
		return rc;
	for (int i = 0; i < s->n && rc == 0; i++) {
		struct bytes bytes = scrub_key(s, &s->items[i]);
		MDB_val key = env_val(bytes), value;
		bool is_good = true;

		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY);
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
