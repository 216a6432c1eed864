/* SPDX-License-Identifier: Apache-2.0 */
/* Makes uthash's tables use XXH3, a fifth of its own function's cost for the short keys that
 * queries have, and for numbers less than that. To be included before uthash.h, by all files
 * that use a table or by none. */
#ifndef OCF_BASE_FASTHASH_H
#define OCF_BASE_FASTHASH_H

#ifdef UTHASH_H
#error "base/fasthash.h comes before uthash.h"
#endif

#include <string.h>

#include "base/hash.h"

static inline unsigned
fasthash(const void *key, size_t len)
{
	uint64_t number;

	if (len != sizeof(number))
		return (unsigned)hash64(bytes_of(key, len), 0);
	/* MurmurHash3's finalizer. */
	memcpy(&number, key, sizeof(number));
	number = (number ^ number >> 33) * UINT64_C(0xff51afd7ed558ccd);
	number = (number ^ number >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (unsigned)(number ^ number >> 33);
}

#define HASH_FUNCTION(key, len, hashv) ((hashv) = fasthash((key), (len)))

#endif
