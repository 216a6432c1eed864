/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed hashes of the table: where a row stands in the hash order, and what its state
 * weighs in the Merkle sums. Both are keyed by the table key (derived from the cluster
 * id, known to members only), so that an outsider cannot choose colliding names. */
#ifndef OCF_CRDT_DIGEST_H
#define OCF_CRDT_DIGEST_H

#include "base/hash.h"
#include "crdt/row.h"

enum { DIGEST_TABLE_KEY_BYTES = HASH_SECRET_BYTES };

struct table_key {
	uint8_t b[DIGEST_TABLE_KEY_BYTES];
};

/* SHA-256("ocf-table-1" | cluster | counter u8) for counter = 0…5, joined. */
void table_key_derive(const struct id *cluster, row_sha256_fn *sha256,
		      struct table_key *ret_key);
/* K: the first 128 bits of SHA-256(table key | encoded row key). A range of K is a range
 * of keys in the store. */
void digest_key(const struct table_key *tk, const struct row_key *key,
		row_sha256_fn *sha256, uint8_t ret_k[16]);
/* XXH3-128, keyed, of K and the encoded row state. Sums of these (u128_add) do not depend
 * on the order in which rows arrived. */
struct u128 digest_row(const struct table_key *tk, const uint8_t k[16],
		       struct bytes encoded_row);

#endif
