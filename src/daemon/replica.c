/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/replica.h"

#include <string.h>

#include "crdt/codec.h"
#include "crdt/digest.h"

enum {
	/* In one transaction of the store: a list is short, and each row read is decoded. */
	REPLICA_READ_ROWS = 4,
	REPLICA_READ_ROWS_MAX = 512,
	REPLICA_READ_BYTES_MAX = 256 * 1024,
};

static int
replica_root(void *arg, uint64_t epoch, struct sync_digest *ret_root)
{
	struct store *store = arg;
	struct store_digest root = epoch == UINT64_MAX
					   ? store_root(store)
					   : store_root_before(
						     store,
						     epoch * (uint64_t)SYNC_EPOCH_MS);

	*ret_root = (struct sync_digest){ root.sum, root.count };
	return 0;
}

static int
replica_digests(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
		struct sync_digest *ret_children)
{
	struct store_digest children[1 << STORE_CHILD_BITS_MAX];
	int rc = store_digests(arg, prefix, depth, bits, children);

	for (int i = 0; i < 1 << bits && rc == 0; i++)
		ret_children[i] = (struct sync_digest){ children[i].sum,
							children[i].count };
	return rc;
}

struct replica_reading {
	struct store *store;
	sync_row_fn *fn;
	void *fn_arg;
	struct buf encoded;
	bool is_enough;
	bool is_page;	/* of one pass: */
	bool is_second; /* over all rows but those of nodes */
};

static bool
replica_on_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	       const struct row *row)
{
	struct replica_reading *reading = arg;
	struct u128 digest;
	size_t key_len;

	if (reading->is_page && (key->kind == ROW_NODE) == reading->is_second)
		return true;
	buf_clear(&reading->encoded);
	codec_put_key(&reading->encoded, key);
	key_len = reading->encoded.len;
	codec_put_row(&reading->encoded, row);
	digest = digest_row(store_table_key(reading->store), k,
			    bytes_of(reading->encoded.data + key_len,
				     reading->encoded.len - key_len));
	reading->is_enough = !reading->fn(reading->fn_arg, k, digest,
					  buf_bytes(&reading->encoded));
	return reading->is_page || !reading->is_enough;
}

static int
replica_rows(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn, void *fn_arg)
{
	struct replica_reading reading = { .store = arg, .fn = fn, .fn_arg = fn_arg };
	uint8_t at[STORE_K_BYTES];
	bool has_more = true;
	int rc = 0;

	memcpy(at, from, sizeof(at));
	for (int max = REPLICA_READ_ROWS; has_more && !reading.is_enough && rc == 0;
	     max = max * 4 < REPLICA_READ_ROWS_MAX ? max * 4 : REPLICA_READ_ROWS_MAX) {
		uint8_t next[STORE_K_BYTES];

		rc = store_page(reading.store, at, max, REPLICA_READ_BYTES_MAX,
				replica_on_row, &reading, next, &has_more);
		memcpy(at, next, sizeof(at));
	}
	buf_fini(&reading.encoded);
	return rc;
}

/* Where a page begins: in the last bit of the place which pass it is of, nodes' rows first, so
 * that a reader can check the owners of what follows; the other bits are those of the store's
 * place K, whose last one is lost. So it begins at an even K, at most one before the first row
 * that is to be read, where that is the row of an odd one. K is a 128-bit hash: no row that was
 * read already is there. */
enum { REPLICA_SECOND = 1 };

static int
replica_page(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
	     sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
	     bool *ret_is_last)
{
	struct replica_reading reading = { .store = arg,
					   .fn = fn,
					   .fn_arg = fn_arg,
					   .is_page = true,
					   .is_second = (cursor[15] & REPLICA_SECOND) !=
							0 };
	uint8_t from[STORE_K_BYTES], next[STORE_K_BYTES] = { 0 };
	bool has_more = false;
	int rc;

	memcpy(from, cursor, sizeof(from));
	from[15] &= (uint8_t)~REPLICA_SECOND;
	rc = store_page(reading.store, from, STORE_PAGE_ROWS_MAX, max_bytes,
			replica_on_row, &reading, next, &has_more);
	buf_fini(&reading.encoded);
	if (rc != 0)
		return rc;
	if (!has_more)
		memset(next, 0, sizeof(next));
	*ret_is_last = !has_more && reading.is_second;
	next[15] &= (uint8_t)~REPLICA_SECOND;
	if (reading.is_second || !has_more)
		next[15] |= REPLICA_SECOND;
	memcpy(ret_next, next, sizeof(next));
	return 0;
}

struct sync_table
replica_table(struct store *store)
{
	return (struct sync_table){
		.arg = store,
		.root = replica_root,
		.digests = replica_digests,
		.rows = replica_rows,
		.page = replica_page,
	};
}
