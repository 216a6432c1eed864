/* SPDX-License-Identifier: Apache-2.0 */
/* 128-bit identities: a node (first half of the SHA-256 of its Ed25519 public key) and a
 * cluster (likewise of its CA's). In text: 32 lower-case hex digits. */
#ifndef OCF_BASE_ID_H
#define OCF_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	ID_BYTES = 16,
	ID_TEXT_SIZE = 33, /* 32 digits and a NUL */
};

struct id {
	uint8_t b[ID_BYTES];
};

static inline int
id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_BYTES);
}

static inline bool
id_equal(const struct id *a, const struct id *b)
{
	return id_compare(a, b) == 0;
}

bool id_is_zero(const struct id *id);
/* Write 32 digits and a NUL to `out`, and return it. */
char *id_text(const struct id *id, char out[ID_TEXT_SIZE]);
/* 0, or -OCF_EMALFORMED unless `text` is exactly 32 hex digits. */
int id_parse(const char *text, struct id *ret_id);

#endif
