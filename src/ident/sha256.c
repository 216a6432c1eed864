/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/sha256.h"

#include <limits.h>
#include <pthread.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "ident/crypto.h"

/* OpenSSL looks an algorithm up by its name, under locks, which takes longer than hashing a
 * row does. So it is looked up once, and kept for ever. */
static EVP_MD *sha256_found;

static void
sha256_find(void)
{
	sha256_found = EVP_MD_fetch(NULL, "SHA256", NULL);
	crypto_require(sha256_found != NULL, "SHA-256");
}

void
ident_sha256(const void *data, size_t len, uint8_t out[IDENT_SHA256_BYTES])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, sha256_find);
	crypto_require(
		EVP_Digest(len == 0 ? "" : data, len, out, NULL, sha256_found, NULL) == 1,
		"SHA-256");
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
