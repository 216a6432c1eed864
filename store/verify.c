/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is kept beside the rows can be computed from them: verify does so and
 * compares, repair does so and writes it. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "store/private.h"

enum { VERIFY_TOLD_MAX = 1000 }; /* sentences; the others are only counted */

struct verify {
	struct store *store;
	MDB_txn *txn;
	void (*fn)(void *arg, const char *text);
	void *arg;
	uint64_t differences;
	uint64_t owners, removed; /* entries that there should be */
};

static void verify_tell(struct verify *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
verify_tell(struct verify *v, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (++v->differences > VERIFY_TOLD_MAX || v->fn == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->fn(v->arg, text);
}

/* An older format, which may be read, has none. */
static bool
verify_has_removed(const struct verify *v)
{
	return v->store->format >= STORE_FORMAT_REMOVED;
}

static int
verify_removed(struct verify *v, const uint8_t k[STORE_K_BYTES], const char *name,
	       struct bytes record)
{
	uint8_t key[REMOVED_KEY_BYTES];
	struct bytes nothing;
	int rc;

	if (!verify_has_removed(v) || !rows_removed_key(k, record, key))
		return 0;
	v->removed++;
	rc = env_get(v->txn, v->store->removed, bytes_of(key, sizeof(key)), &nothing);
	if (rc == MDB_NOTFOUND) {
		verify_tell(v, "row %s is missing among those with removed versions",
			    name);
		rc = 0;
	}
	return rc;
}

/* Each row's own entries were found, so that others are too many. */
static int
verify_counts(struct verify *v)
{
	MDB_stat st;
	int rc = mdb_stat(v->txn, v->store->owners, &st);

	if (rc == 0 && st.ms_entries != v->owners)
		verify_tell(v, "the owners' list has %zu rows, the table has %" PRIu64,
			    st.ms_entries, v->owners);
	if (rc == 0 && verify_has_removed(v)) {
		rc = mdb_stat(v->txn, v->store->removed, &st);
		if (rc == 0 && st.ms_entries != v->removed)
			verify_tell(v,
				    "the list of removed versions has %zu rows, the "
				    "table has %" PRIu64,
				    st.ms_entries, v->removed);
	}
	return rc;
}

static int
verify_row(struct verify *v, struct bytes k, struct bytes record)
{
	struct bytes owned = BYTES_NONE;
	char name[2 * STORE_K_BYTES + 1];
	struct row_key key;
	struct row row;
	int rc;

	if (k.len != STORE_K_BYTES) {
		verify_tell(v, "a row is stored under a key of %zu bytes", k.len);
		return 0;
	}
	hex_encode(k.data, STORE_K_BYTES, name);
	if (rows_decode(v->store, k.data, record, &key, &row) != 0) {
		verify_tell(v, "row %s is damaged", name);
		return 0;
	}
	v->owners++;
	rc = env_get(v->txn, v->store->owners,
		     bytes_of(record.data, rows_key_len(record)), &owned);
	if (rc == MDB_NOTFOUND || (rc == 0 && !bytes_equal(owned, k))) {
		verify_tell(v, "row %s is missing among its owner's", name);
		rc = 0;
	}
	if (rc == 0)
		rc = verify_removed(v, k.data, name, record);
	row_fini(&row);
	return rc;
}

static int
verify_rows(struct verify *v)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(v->txn, v->store->rows, &cursor);

	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		rc = verify_row(v, env_bytes(key), env_bytes(value));
		if (rc != 0)
			break;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? verify_counts(v) : rc;
}

static int
verify_slots(struct verify *v, const struct store_digest *slots, int bits)
{
	struct store_digest stored[BUCKET_SLOTS];

	for (uint64_t i = 0; i < (uint64_t)1 << bits; i++) {
		const struct store_digest *is = &stored[i % BUCKET_SLOTS];

		if (i % BUCKET_SLOTS == 0) {
			int rc = buckets_read(v->store, v->txn,
					      (uint32_t)(i / BUCKET_SLOTS), stored);

			if (rc == -OCF_ECORRUPT) {
				verify_tell(v, "digest record %" PRIu64 " is damaged",
					    i / BUCKET_SLOTS);
				i += BUCKET_SLOTS - 1;
				continue;
			}
			if (rc != 0)
				return rc;
		}
		if (!u128_equal(is->sum, slots[i].sum) || is->count != slots[i].count)
			verify_tell(v,
				    "bucket %" PRIu64 " of %" PRIu64
				    " has a digest of another content (rows: %" PRIu64
				    " in the digest, %" PRIu64 " there)",
				    i, (uint64_t)1 << bits, is->count, slots[i].count);
	}
	return 0;
}

static int
verify_digests(struct verify *v)
{
	struct store_digest *slots, sum;
	struct root root;
	int rc = store_get_root(v->store, v->txn, &root);

	if (rc == -OCF_ECORRUPT) {
		verify_tell(v, "the root is damaged");
		return 0;
	}
	if (rc == 0)
		rc = buckets_sum(v->store, v->txn, root.bits, &slots, &sum);
	if (rc != 0)
		return rc;
	if (!u128_equal(sum.sum, root.digest.sum) || sum.count != root.digest.count)
		verify_tell(v,
			    "the root stands for %" PRIu64
			    " rows and is not the sum of the %" PRIu64 " there are",
			    root.digest.count, sum.count);
	rc = verify_slots(v, slots, root.bits);
	free(slots);
	return rc;
}

int
store_verify(struct store *store, void (*fn)(void *arg, const char *text), void *arg,
	     uint64_t *ret_differences)
{
	struct verify v = { .store = store, .fn = fn, .arg = arg };
	int rc = env_read_begin(store, &v.txn);

	if (rc != 0)
		return rc;
	rc = verify_rows(&v);
	if (rc == 0)
		rc = verify_digests(&v);
	env_read_end(store, v.txn);
	*ret_differences = v.differences;
	if (rc == 0 && v.differences > 0)
		rc = -OCF_ECORRUPT;
	return env_code(rc);
}

struct repair {
	struct verify v;
	struct root root;
};

/* Where one row is listed; a damaged one is named and not kept. */
static int
repair_row(struct repair *repair, struct bytes k, struct bytes record, bool *ret_keep)
{
	struct verify *v = &repair->v;
	char name[2 * STORE_K_BYTES + 1] = "under a key of a wrong size";
	uint8_t own_k[STORE_K_BYTES]; /* k points into a page, which a write may move */
	uint8_t removed[REMOVED_KEY_BYTES];
	struct row_key key;
	struct row row;
	bool is_removed;
	int rc;

	if (k.len == STORE_K_BYTES) {
		memcpy(own_k, k.data, STORE_K_BYTES);
		hex_encode(own_k, STORE_K_BYTES, name);
	}
	*ret_keep = k.len == STORE_K_BYTES &&
		    rows_decode(v->store, k.data, record, &key, &row) == 0;
	if (!*ret_keep) {
		verify_tell(v, "row %s is damaged and was dropped", name);
		return 0;
	}
	is_removed = rows_removed_key(own_k, record, removed);
	rc = env_put(v->txn, v->store->owners,
		     bytes_of(record.data, rows_key_len(record)), k);
	if (rc == 0 && is_removed)
		rc = env_put(v->txn, v->store->removed,
			     bytes_of(removed, sizeof(removed)), BYTES_NONE);
	row_fini(&row);
	return rc;
}

static int
repair_write(struct store *store, MDB_txn *txn, void *arg)
{
	struct repair *repair = arg;
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc = mdb_drop(txn, store->owners, 0);

	repair->v.txn = txn;
	repair->v.differences = 0;
	if (rc == 0)
		rc = mdb_drop(txn, store->removed, 0);
	if (rc == 0)
		rc = mdb_cursor_open(txn, store->rows, &cursor);
	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	while (rc == 0) {
		bool keep;

		rc = repair_row(repair, env_bytes(key), env_bytes(value), &keep);
		if (rc == 0 && !keep)
			rc = mdb_cursor_del(cursor, 0);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (rc != MDB_NOTFOUND)
		return rc;
	repair->root = (struct root){ .bits = BUCKET_BITS_MIN };
	rc = buckets_rebuild(store, txn, &repair->root);
	if (rc == 0)
		rc = buckets_fit(store, txn, &repair->root);
	return rc == 0 ? store_put_root(store, txn, &repair->root) : rc;
}

int
store_repair(struct store *store, void (*fn)(void *arg, const char *text), void *arg,
	     uint64_t *ret_dropped)
{
	struct repair repair = { .v = { .store = store, .fn = fn, .arg = arg } };
	int rc;

	pthread_mutex_lock(&store->write_lock);
	rc = env_write(store, repair_write, &repair);
	if (rc == 0) {
		pthread_mutex_lock(&store->lock);
		store->root = repair.root;
		store->n_damaged = 0;
		pthread_mutex_unlock(&store->lock);
		*ret_dropped = repair.v.differences;
	}
	pthread_mutex_unlock(&store->write_lock);
	return rc;
}
