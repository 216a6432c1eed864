/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/sha256.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "ident/crypto.h"

void
ident_sha256(const void *data, size_t len, uint8_t out[IDENT_SHA256_BYTES])
{
	crypto_require(SHA256(len == 0 ? "" : data, len, out) != NULL, "SHA-256");
}

void
ident_random(void *out, size_t len)
{
	crypto_require(len <= INT_MAX && RAND_priv_bytes(out, (int)len) == 1,
		       "random bytes");
}

bool
ident_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
ident_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}
