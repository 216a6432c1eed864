/* SPDX-License-Identifier: Apache-2.0 */
/* Fast, non-cryptographic hashes: XXH3 of xxHash, whose values are stable since 0.8.0 and
 * may therefore be stored and compared between machines. */
#ifndef OCF_BASE_HASH_H
#define OCF_BASE_HASH_H

#include <stdint.h>

#include "base/bytes.h"

enum {
	HASH_SECRET_BYTES = 192
}; /* XXH3's default secret size; at least 136 are needed */

/* A 128-bit number; sums are taken modulo 2^128. */
struct u128 {
	uint64_t hi;
	uint64_t lo;
};

uint64_t hash64(struct bytes v, uint64_t seed);
/* Keyed by a secret that nobody outside the cluster knows; `len` >= 136 bytes of it. */
struct u128 hash128_keyed(struct bytes v, const void *secret, size_t len);

struct u128 u128_add(struct u128 a, struct u128 b);
struct u128 u128_sub(struct u128 a, struct u128 b);
static inline int
u128_equal(struct u128 a, struct u128 b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

#endif
