/* SPDX-License-Identifier: Apache-2.0 */
/* A row on disk: its record, and what it is listed under. */
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

size_t
rows_encode(const struct row_key *key, const struct row *row, struct buf *out)
{
	size_t key_len;

	buf_clear(out);
	codec_put_key(out, key);
	key_len = out->len;
	if (row->len > 0)
		codec_put_row(out, row);
	return key_len;
}

struct record *
record_new(const uint8_t k[STORE_K_BYTES], uint64_t stamp, size_t key_len,
	   struct bytes data)
{
	struct record *record = mem_alloc(sizeof(*record) + data.len);

	memcpy(record->k, k, STORE_K_BYTES);
	record->stamp = stamp;
	record->key_len = key_len;
	record->len = data.len;
	memcpy(record->data, data.data, data.len);
	return record;
}

int
rows_decode(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes record,
	    struct row_key *ret_key, struct row *ret_row)
{
	struct reader r = reader_of(record);
	uint8_t really[STORE_K_BYTES];
	struct row_key key;
	int rc;

	if (codec_read_key(&r, &key) != 0)
		return -OCF_ECORRUPT;
	digest_key(&store->tk, &key, store->config.sha256, really);
	if (memcmp(really, k, STORE_K_BYTES) != 0)
		return -OCF_ECORRUPT;
	rc = rows_decode_row(store, bytes_of(record.data, record.len - r.len), record,
			     ret_row);
	if (rc == 0)
		*ret_key = key;
	return rc;
}

int
rows_decode_row(struct store *store, struct bytes key, struct bytes record,
		struct row *ret_row)
{
	struct reader r = reader_of(record);
	struct row row;

	if (!bytes_equal(reader_take(&r, key.len), key) ||
	    codec_read_row(&r, store->config.sha256, &row) != 0)
		return -OCF_ECORRUPT;
	if (!reader_done(&r)) {
		row_fini(&row);
		return -OCF_ECORRUPT;
	}
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

bool
rows_removed_key(const uint8_t k[STORE_K_BYTES], struct bytes record,
		 uint8_t ret_key[REMOVED_KEY_BYTES])
{
	size_t key_len = rows_key_len(record);
	uint64_t stamp;

	if (key_len == 0 || !row_kind_is_leased(record.data[ROWS_KIND_AT]) ||
	    !codec_oldest_removed(bytes_of(record.data + key_len, record.len - key_len),
				  &stamp))
		return false;
	put_be64(ret_key, stamp);
	memcpy(ret_key + 8, k, STORE_K_BYTES);
	return true;
}
