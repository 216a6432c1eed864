/* SPDX-License-Identifier: Apache-2.0 */
/* Makes uthash's tables use XXH3, a fifth of its own function's cost for the short keys that
 * queries have. To be included before uthash.h, by all files that use a table or by none. */
#ifndef OCF_BASE_FASTHASH_H
#define OCF_BASE_FASTHASH_H

#ifdef UTHASH_H
#error "base/fasthash.h comes before uthash.h"
#endif

#include "base/hash.h"

#define HASH_FUNCTION(key, len, hashv)                                                   \
	((hashv) = (unsigned)hash64(bytes_of((key), (len)), 0))

#endif
