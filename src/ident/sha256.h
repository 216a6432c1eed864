/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, secrets from the kernel, and comparing them. Safe from any thread. */
#ifndef OCF_IDENT_SHA256_H
#define OCF_IDENT_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IDENT_SHA256_BYTES = 32 };

/* FIPS 180-4. Has the type of crdt's row_sha256_fn. */
void ident_sha256(const void *data, size_t len, uint8_t out[IDENT_SHA256_BYTES]);
/* Bytes fit for keys and secrets. */
void ident_random(void *out, size_t len);
/* In a time that does not depend on the content. */
bool ident_equal(const void *a, const void *b, size_t len);
/* Overwrite a secret that is no longer needed; not optimised away. */
void ident_wipe(void *secret, size_t len);

#endif
