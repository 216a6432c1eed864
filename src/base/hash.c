/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"

#include <assert.h>
#include <xxhash.h>

uint64_t
hash64(struct bytes v, uint64_t seed)
{
	return XXH3_64bits_withSeed(v.data, v.len, seed);
}

struct u128
hash128_keyed(struct bytes v, const void *secret, size_t len)
{
	XXH128_hash_t h;

	assert(len >= XXH3_SECRET_SIZE_MIN);
	h = XXH3_128bits_withSecret(v.data, v.len, secret, len);
	return (struct u128){ .hi = h.high64, .lo = h.low64 };
}

struct u128
u128_add(struct u128 a, struct u128 b)
{
	struct u128 s = { .hi = a.hi + b.hi, .lo = a.lo + b.lo };

	s.hi += s.lo < a.lo;
	return s;
}

struct u128
u128_sub(struct u128 a, struct u128 b)
{
	struct u128 s = { .hi = a.hi - b.hi, .lo = a.lo - b.lo };

	s.hi -= a.lo < b.lo;
	return s;
}
