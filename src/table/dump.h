/* SPDX-License-Identifier: Apache-2.0 */
/* A table as lines of JSON: what `ocf-sync dump` writes and `ocf-sync load` reads.
 *
 *   {"ocf_dump":1,"cluster":"<32 hex>","time":"…","horizon_ms":1763920800000,"rows":2,
 *    "root":"<32 hex>"}
 *   {"owner":"<32 hex>","kind":"worker","name":"0","versions":[{"actor":"<16 hex>",
 *    "seq":"<16 hex>","context":{"<16 hex>":"<16 hex>"},"stamp_ms":1763999999123,
 *    "time":"2025-11-24T…Z","value":"{…}","signature":"<base64>"}]}
 *   {"end":true,"rows":2,"root":"<32 hex>"}
 *
 * The first line says what it is of, and the last that it is whole. Actors and sequence
 * numbers are hexadecimal, since 64 bits do not fit the numbers of most readers of JSON; a
 * context is an object from actor to sequence number, of actors that ascend. A value is a
 * text byte for byte, "value_base64" where it is none (no UTF-8, or a NUL in it), and
 * "removed":true stands in the place of either. "time" says for people what "stamp_ms" says
 * and is not read. A row that was written is read as the same row, hash and signature
 * included; members that are not known are ignored, what is wrong is named.
 *
 * Pure functions, safe from any thread. */
#ifndef OCF_TABLE_DUMP_H
#define OCF_TABLE_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "crdt/row.h"

enum {
	DUMP_FORMAT = 1,
	/* The longest line: a row of ROW_VERSIONS_MAX values, of which each byte needs six
	 * ("\u0001"), and their contexts. */
	DUMP_LINE_BYTES_MAX = 1024 * 1024,
};

struct dump_head {
	struct id cluster;
	uint64_t horizon_ms;
	uint64_t rows;
	struct u128 root;
};

/* Rows on their way into a dump: those of nodes in a first pass, the others in a second, so
 * that a reader can check the owners of what follows. */
struct dump_pass {
	bool is_second;
	struct buf *out;
	uint64_t rows; /* put so far */
};
/* Of the type store_row_fn (store/store.h), without its header. */
bool dump_on_row(void *pass, const uint8_t *k, const struct row_key *key,
		 const struct row *row);

/* Append a line, its end included. */
void dump_put_head(const struct dump_head *head, int64_t wall_ms, struct buf *out);
void dump_put_row(const struct row_key *key, const struct row *row, struct buf *out);
void dump_put_end(uint64_t rows, struct u128 root, struct buf *out);

/* -OCF_EMALFORMED: not the first line of a dump; -OCF_EVERSION: of a newer kind. */
int dump_read_head(struct bytes line, struct dump_head *ret_head, struct errmsg *err);

struct dump_line {
	bool is_end;   /* nothing else is set then, but `rows` and `root` */
	uint64_t rows; /* how many the dump has, by its end */
	struct u128 root;
	struct row_key key;
	struct row row; /* row_fini it */
};

/* Any later line. -OCF_EMALFORMED with what is wrong; of a row every bound is checked then,
 * but not who signed it. `rows_per_node`: the cluster's constant. */
int dump_read_line(struct bytes line, uint32_t rows_per_node, row_sha256_fn *sha256,
		   struct dump_line *ret_line, struct errmsg *err);

#endif
