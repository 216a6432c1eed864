/* SPDX-License-Identifier: Apache-2.0 */
/* What ident/ and net/tls.c, the only code that sees OpenSSL, share of it. */
#ifndef OCF_IDENT_CRYPTO_H
#define OCF_IDENT_CRYPTO_H

#include <openssl/evp.h>

#include "ident/key.h"

/* For operations that fail only when OpenSSL is broken or out of memory: says so and
 * aborts, as base/mem.h does. */
void crypto_require(int is_ok, const char *what);
/* Borrowed. */
EVP_PKEY *key_pkey(const struct key *key);
/* A new reference to hold a public key by itself. */
EVP_PKEY *crypto_public_key(const uint8_t public_key[KEY_PUBLIC_BYTES]);
/* The raw bytes, when it is an Ed25519 key. */
bool crypto_public_bytes(EVP_PKEY *pkey, uint8_t out[KEY_PUBLIC_BYTES]);
/* Append what a memory BIO holds, and free it. */
void crypto_take_bio(BIO *bio, struct buf *out);

#endif
