/* SPDX-License-Identifier: Apache-2.0 */
/* A transaction's rows: each row, its digest, and where it is listed. A page of LMDB costs
 * the same however much of it changes, so that what lies together is changed together: rows
 * and digests in the order of K, owners in the order of keys, each through one cursor, which
 * finds most of its places on the page where it stands. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/private.h"

struct apply {
	struct store *store;
	MDB_txn *txn;
	struct bucket_run run;
	const struct record **owned; /* in their owner's list now, or not any more */
	int n_owned;
};

/* ---- owners ---- */

static int
apply_owned_compare(const void *x, const void *y)
{
	const struct record *a = *(const struct record *const *)x;
	const struct record *b = *(const struct record *const *)y;

	return bytes_compare(bytes_of(a->data, a->key_len),
			     bytes_of(b->data, b->key_len));
}

static int
apply_owners(struct apply *a)
{
	MDB_cursor *cursor;
	int rc;

	if (a->n_owned == 0)
		return 0;
	qsort(a->owned, (size_t)a->n_owned, sizeof(struct record *), apply_owned_compare);
	rc = mdb_cursor_open(a->txn, a->store->owners, &cursor);
	if (rc != 0)
		return rc;
	for (int i = 0; i < a->n_owned && rc == 0; i++) {
		const struct record *record = a->owned[i];
		MDB_val key = { record->key_len, (void *)record->data };
		MDB_val value = { STORE_K_BYTES, (void *)record->k };

		if (record->len > record->key_len) {
			rc = mdb_cursor_put(cursor, &key, &value, 0);
		} else {
			rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);
			if (rc == 0)
				rc = mdb_cursor_del(cursor, 0);
			rc = rc == MDB_NOTFOUND ? 0 : rc;
		}
	}
	mdb_cursor_close(cursor);
	return rc;
}

/* ---- removed versions ---- */

/* Removed versions are few, and lie together by their age as they come. */
static int
apply_removed(struct apply *a, const struct record *record, struct bytes old)
{
	uint8_t old_key[REMOVED_KEY_BYTES], new_key[REMOVED_KEY_BYTES];
	bool had = rows_removed_key(record->k, old, old_key);
	bool has = rows_removed_key(record->k, bytes_of(record->data, record->len),
				    new_key);
	int rc = 0; /* the first write: `old` is not read from here on */

	if (had && has && memcmp(old_key, new_key, REMOVED_KEY_BYTES) == 0)
		return 0;
	if (had)
		rc = env_delete(a->txn, a->store->removed,
				bytes_of(old_key, sizeof(old_key)));
	if (rc == 0 && has)
		rc = env_put(a->txn, a->store->removed,
			     bytes_of(new_key, sizeof(new_key)), BYTES_NONE);
	return rc;
}

/* ---- rows ---- */

/* What else changes with the row; `old` points into a page, which a write may move, or is
 * BYTES_NONE. */
static int
apply_beside(struct apply *a, const struct record *record, struct bytes old,
	     struct bucket_change *ret_change)
{
	struct bucket_change change = { .had = old.data != NULL,
					.has = record->len > record->key_len };
	int rc;

	if (change.had)
		change.minus = buckets_digest(a->store, record->k, old);
	if (change.has)
		change.plus = buckets_digest(a->store, record->k,
					     bytes_of(record->data, record->len));
	if (change.had != change.has)
		a->owned[a->n_owned++] = record;
	rc = apply_removed(a, record, old);
	if (rc == 0)
		rc = bucket_run_change(&a->run, record->k, &change);
	*ret_change = change;
	return rc;
}

/* One search in most cases: a row that is new is put at once, of one that was there the put
 * tells the old record. */
static int
apply_row(struct apply *a, MDB_cursor *cursor, const struct record *record,
	  struct bucket_change *ret_change)
{
	bool has = record->len > record->key_len;
	MDB_val key = { STORE_K_BYTES, (void *)record->k };
	MDB_val value = { record->len, (void *)record->data }, old = value;
	int rc = has ? mdb_cursor_put(cursor, &key, &old, MDB_NOOVERWRITE)
		     : mdb_cursor_get(cursor, &key, &old, MDB_SET);

	*ret_change = (struct bucket_change){ .had = false };
	if (has && rc == 0)
		return apply_beside(a, record, BYTES_NONE, ret_change);
	if (!has && rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0 && rc != MDB_KEYEXIST)
		return rc;
	rc = apply_beside(a, record, env_bytes(old), ret_change);
	if (rc != 0)
		return rc;
	return has ? mdb_cursor_put(cursor, &key, &value, MDB_CURRENT)
		   : mdb_cursor_del(cursor, 0);
}

static int
apply_rows(struct apply *a, const struct record **records, int n,
	   struct store_digest *ret_moved)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(a->txn, a->store->rows, &cursor);

	if (rc != 0)
		return rc;
	for (int i = 0; i < n && rc == 0; i++) {
		struct bucket_change change;

		rc = apply_row(a, cursor, records[i], &change);
		ret_moved[i].sum = u128_sub(change.plus, change.minus);
		ret_moved[i].count = (uint64_t)change.has - (uint64_t)change.had;
	}
	mdb_cursor_close(cursor);
	return rc;
}

int
rows_apply(struct store *store, MDB_txn *txn, const struct record **records, int n,
	   struct root *root, struct store_digest *ret_moved)
{
	struct apply a = { .store = store, .txn = txn };
	int rc = bucket_run_begin(&a.run, store, txn, root);

	if (rc != 0)
		return rc;
	a.owned = mem_calloc((size_t)n, sizeof(a.owned[0]));
	rc = apply_rows(&a, records, n, ret_moved);
	rc = bucket_run_end(&a.run, rc);
	if (rc == 0)
		rc = apply_owners(&a);
	free(a.owned);
	return rc;
}
