/* SPDX-License-Identifier: Apache-2.0 */
/* A row on disk: its record, and what changes with it in the same transaction. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "store/private.h"

enum {
	ROWS_KIND_AT = 16,
	ROWS_KEY_LEN_AT = 17,
	ROWS_KEY_BYTES_MIN = 18
}; /* crdt/codec.h: key */

size_t
rows_key_len(struct bytes record)
{
	size_t len;

	if (record.len < ROWS_KEY_BYTES_MIN)
		return 0;
	len = ROWS_KEY_BYTES_MIN + (size_t)record.data[ROWS_KEY_LEN_AT];
	return len <= record.len ? len : 0;
}

struct record *
record_new(const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	   const struct row *row)
{
	struct record *record;
	struct buf out = BUF_INIT;
	size_t key_len;

	codec_put_key(&out, key);
	key_len = out.len;
	if (row->len > 0)
		codec_put_row(&out, row);
	record = mem_alloc(sizeof(*record) + out.len);
	memcpy(record->k, k, STORE_K_BYTES);
	record->stamp = row_stamp(row);
	record->key_len = key_len;
	record->len = out.len;
	memcpy(record->data, out.data, out.len);
	buf_fini(&out);
	return record;
}

int
rows_decode(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes record,
	    struct row_key *ret_key, struct row *ret_row)
{
	struct reader r = reader_of(record);
	uint8_t really[STORE_K_BYTES];
	struct row_key key;
	struct row row;

	if (codec_read_key(&r, &key) != 0)
		return -OCF_ECORRUPT;
	digest_key(&store->tk, &key, store->config.sha256, really);
	if (memcmp(really, k, STORE_K_BYTES) != 0)
		return -OCF_ECORRUPT;
	if (codec_read_row(&r, store->config.sha256, &row) != 0)
		return -OCF_ECORRUPT;
	if (!reader_done(&r)) {
		row_fini(&row);
		return -OCF_ECORRUPT;
	}
	*ret_key = key;
	*ret_row = row;
	return 0;
}

void
rows_report_damage(struct store *store, const uint8_t k[STORE_K_BYTES])
{
	char text[2 * STORE_K_BYTES + 1];
	bool is_new = true;

	pthread_mutex_lock(&store->lock);
	for (uint64_t i = 0; i < store->n_damaged && i < DAMAGED_MAX; i++)
		is_new &= memcmp(store->damaged[i], k, STORE_K_BYTES) != 0;
	is_new &= store->n_damaged < DAMAGED_MAX;
	if (is_new)
		memcpy(store->damaged[store->n_damaged++], k, STORE_K_BYTES);
	pthread_mutex_unlock(&store->lock);
	if (is_new)
		store_report(
			store, -OCF_ECORRUPT,
			"the row stored at %s is damaged; `ocf-sync verify --repair` "
			"drops it and the other nodes bring it back",
			hex_encode(k, STORE_K_BYTES, text));
}

static void
rows_index_keys_put(void *put_arg, struct bytes index_key)
{
	struct buf *out = put_arg;

	assert(index_key.len >= 1 && index_key.len <= STORE_INDEX_KEY_BYTES_MAX);
	buf_put_bytes16(out, index_key);
}

void
rows_index_keys(struct store *store, const struct row_key *key, const struct row *row,
		struct buf *out)
{
	if (store->config.index != NULL && row->len > 0)
		store->config.index(store->config.index_arg, key, row,
				    rows_index_keys_put, out);
}

int
rows_index_change(struct store *store, MDB_txn *txn, const uint8_t k[STORE_K_BYTES],
		  struct bytes old_keys, struct bytes new_keys)
{
	struct reader old = reader_of(old_keys), new = reader_of(new_keys);
	MDB_val key, value = { STORE_K_BYTES, (void *)k };
	int rc;

	if (bytes_equal(old_keys, new_keys))
		return 0;
	while (old.len > 0) {
		key = env_val(reader_bytes16(&old));
		rc = mdb_del(txn, store->index, &key, &value);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
	}
	while (new.len > 0) {
		key = env_val(reader_bytes16(&new));
		rc = mdb_put(txn, store->index, &key, &value, MDB_NODUPDATA);
		if (rc != 0 && rc != MDB_KEYEXIST)
			return rc;
	}
	return 0;
}

/* The index keys of a record. One that is damaged had keys that nobody can tell any more;
 * store_repair() finds them. */
static void
rows_apply_keys(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes record,
		struct buf *out)
{
	struct row_key key;
	struct row row;

	if (store->config.index == NULL || record.len == 0)
		return;
	if (rows_decode(store, k, record, &key, &row) != 0) {
		rows_report_damage(store, k);
		return;
	}
	rows_index_keys(store, &key, &row, out);
	row_fini(&row);
}

static int
rows_apply_index(struct store *store, MDB_txn *txn, const uint8_t k[STORE_K_BYTES],
		 struct bytes old, struct bytes new)
{
	struct buf old_keys = BUF_INIT, new_keys = BUF_INIT;
	int rc;

	rows_apply_keys(store, k, old, &old_keys);
	rows_apply_keys(store, k, new, &new_keys);
	rc = rows_index_change(store, txn, k, buf_bytes(&old_keys), buf_bytes(&new_keys));
	buf_fini(&old_keys);
	buf_fini(&new_keys);
	return rc;
}

bool
rows_removed_key(const uint8_t k[STORE_K_BYTES], struct bytes record,
		 uint8_t ret_key[REMOVED_KEY_BYTES])
{
	size_t key_len = rows_key_len(record);
	uint64_t stamp;

	if (key_len == 0 || record.data[ROWS_KIND_AT] != ROW_WORKER ||
	    !codec_oldest_removed(bytes_of(record.data + key_len, record.len - key_len),
				  &stamp))
		return false;
	put_be64(ret_key, stamp);
	memcpy(ret_key + 8, k, STORE_K_BYTES);
	return true;
}

static int
rows_apply_removed(struct store *store, MDB_txn *txn, const uint8_t k[STORE_K_BYTES],
		   struct bytes old, struct bytes new)
{
	uint8_t old_key[REMOVED_KEY_BYTES], new_key[REMOVED_KEY_BYTES];
	bool had = rows_removed_key(k, old, old_key);
	bool has = rows_removed_key(k, new, new_key);
	int rc = 0;

	if (had && has && memcmp(old_key, new_key, REMOVED_KEY_BYTES) == 0)
		return 0;
	if (had)
		rc = env_delete(txn, store->removed, bytes_of(old_key, sizeof(old_key)));
	if (rc == 0 && has)
		rc = env_put(txn, store->removed, bytes_of(new_key, sizeof(new_key)),
			     BYTES_NONE);
	return rc;
}

int
rows_apply(struct store *store, MDB_txn *txn, const struct record *record,
	   struct root *root)
{
	struct bytes k = bytes_of(record->k, STORE_K_BYTES), old = BYTES_NONE;
	struct bytes new = bytes_of(record->data, record->len);
	struct bytes key = bytes_of(record->data, record->key_len);
	struct bucket_change change = { .has = record->len > record->key_len };
	int rc = env_get(txn, store->rows, k, &old);

	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	change.had = rc == 0;
	if (!change.had && !change.has)
		return 0;
	if (!change.has)
		new = BYTES_NONE;
	if (change.had)
		change.minus = buckets_digest(store, record->k, old);
	if (change.has)
		change.plus = buckets_digest(store, record->k, new);
	rc = rows_apply_index(store, txn, record->k, old, new);
	if (rc == 0)
		rc = rows_apply_removed(store, txn, record->k, old, new);
	if (rc == 0)
		rc = buckets_change(store, txn, record->k, &change, root);
	if (rc == 0 && change.had != change.has)
		rc = change.has ? env_put(txn, store->owners, key, k)
				: env_delete(txn, store->owners, key);
	if (rc == 0) /* last: `old` points into the page */
		rc = change.has ? env_put(txn, store->rows, k, new)
				: env_delete(txn, store->rows, k);
	return rc;
}
