/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of keys, versions and row states: canonical (one state, one encoding), so
 * that equal states have equal digests, and the same in the store, on the wire and under
 * a signature. Integers are big-endian.
 *
 *   key      owner 16 | kind u8 | name_len u8 | name
 *   version  actor u64 | seq u64 | stamp u64 | own u64 | others u8 | value_len u16 |
 *            others × (actor u64 | seq u64) | signature 64 | value
 *            own = the seq that the context holds of the version's own actor, 0 = none;
 *            others ascend by actor and leave that one out; value_len 0xffff = a remove
 *   row      count u8 | versions, ascending by dot
 *
 * With one actor that is 18 + 1 + 99 = 118 bytes beside name and value, and 16 for each
 * further actor. What is signed is
 *   "ocf-row-1" 0x00 | cluster 16 | key | actor | seq | stamp | own | others u8 |
 *   others… | is_removed u8 | SHA-256 of the value 32
 *
 * Decoding checks every bound before it believes a length, and refuses whatever encoding
 * would not have produced. */
#ifndef OCF_CRDT_CODEC_H
#define OCF_CRDT_CODEC_H

#include <stdbool.h>

#include "base/bytes.h"
#include "crdt/row.h"

enum {
	CODEC_FORMAT = 1, /* of these bytes: all of a cluster have the same */
	CODEC_KEY_BYTES_MAX = 18 + ROW_NAME_BYTES_MAX,
	CODEC_ROW_OVERHEAD_BYTES = 118, /* one version, one actor, key included */
	CODEC_VALUE_REMOVED = 0xffff,
	/* 16 + 8 versions with full contexts and values: larger than a frame, so a row
	 * that has forked that often travels alone (see mesh/wire.h). */
	CODEC_ROW_BYTES_MAX = 1 + ROW_VERSIONS_MAX * (99 + 16 * ROW_CONTEXT_MAX + 16384),
};

void codec_put_key(struct buf *out, const struct row_key *key);
void codec_put_version(struct buf *out, const struct version *v);
void codec_put_row(struct buf *out, const struct row *row);

/* Read one item from the front of `r`. On failure the reader is failed and the result is
 * -OCF_EMALFORMED; nothing is left to free. Versions get their hash by `sha256`. */
int codec_read_key(struct reader *r, struct row_key *ret_key);
int codec_read_row(struct reader *r, row_sha256_fn *sha256, struct row *ret_row);

/* Has the encoded row state, which need not be sound, a removed version? The stamp of the
 * oldest. Without decoding: cheap. */
bool codec_oldest_removed(struct bytes encoded_row, uint64_t *ret_stamp);

/* The bytes that the owner signs (appended to `out`). */
void codec_put_signed(struct buf *out, const struct id *cluster,
		      const struct row_key *key, const struct version *v,
		      row_sha256_fn *sha256);

#endif
