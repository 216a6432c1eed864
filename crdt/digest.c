/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/digest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"

static const char digest_prefix[] = "ocf-table-1"; /* without its NUL */

void
table_key_derive(const struct id *cluster, row_sha256_fn *sha256,
		 struct table_key *ret_key)
{
	enum { PREFIX = sizeof(digest_prefix) - 1 };
	uint8_t input[PREFIX + ID_BYTES + 1];

	memcpy(input, digest_prefix, PREFIX);
	memcpy(input + PREFIX, cluster->b, ID_BYTES);
	for (uint8_t i = 0; i < DIGEST_TABLE_KEY_BYTES / ROW_HASH_BYTES; i++) {
		input[PREFIX + ID_BYTES] = i;
		sha256(input, sizeof(input), ret_key->b + i * ROW_HASH_BYTES);
	}
}

void
digest_key(const struct table_key *tk, const struct row_key *key, row_sha256_fn *sha256,
	   uint8_t ret_k[16])
{
	uint8_t hash[ROW_HASH_BYTES];
	struct buf in = BUF_INIT;

	buf_put(&in, tk->b, sizeof(tk->b));
	codec_put_key(&in, key);
	sha256(in.data, in.len, hash);
	memcpy(ret_k, hash, 16);
	buf_fini(&in);
}

struct u128
digest_row(const struct table_key *tk, const uint8_t k[16], struct bytes encoded_row)
{
	enum {
		SMALL_BYTES = 2048
	}; /* larger rows are rare; those are copied elsewhere */
	uint8_t small[SMALL_BYTES];
	size_t len = 16 + encoded_row.len;
	uint8_t *in = len <= sizeof(small) ? small : mem_alloc(len);
	struct u128 digest;

	memcpy(in, k, 16);
	if (encoded_row.len > 0)
		memcpy(in + 16, encoded_row.data, encoded_row.len);
	digest = hash128_keyed(bytes_of(in, len), tk->b, sizeof(tk->b));
	if (in != small)
		free(in);
	return digest;
}
