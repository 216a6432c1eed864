/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 keys (RFC 8032): a node's, and the cluster CA's. A node's id is the first half
 * of the SHA-256 of its public key, so that an id proves itself by a signature; a
 * cluster's id is the same of its CA's key.
 *
 * A key does not change once made: signing and verifying are safe from any thread. */
#ifndef OCF_IDENT_KEY_H
#define OCF_IDENT_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"

enum {
	KEY_PUBLIC_BYTES = 32,
	KEY_SIGNATURE_BYTES = 64,
	KEY_PEM_BYTES_MAX = 4096, /* ours have about 120; room for comments */
};

struct key;

struct key *key_generate(void);
struct key *key_share(const struct key *key); /* one more to key_free() */
void key_free(struct key *key);		      /* NULL is allowed */

/* PKCS #8 in PEM, not encrypted: guarded by file mode. key_load refuses (-EPERM) a file
 * that others can read; key_save writes 0600. */
int key_load(const char *path, struct key **ret_key, struct errmsg *err);
int key_save(const struct key *key, const char *path, struct errmsg *err);
int key_from_pem(struct bytes pem, struct key **ret_key, struct errmsg *err);
void key_to_pem(const struct key *key, struct buf *out);

void key_public(const struct key *key, uint8_t out[KEY_PUBLIC_BYTES]);
struct id key_id(const struct key *key);
struct id key_id_of_public(const uint8_t public_key[KEY_PUBLIC_BYTES]);

void ident_sign(const struct key *key, struct bytes message,
		uint8_t out[KEY_SIGNATURE_BYTES]);
bool ident_verify(const uint8_t public_key[KEY_PUBLIC_BYTES], struct bytes message,
		  const uint8_t signature[KEY_SIGNATURE_BYTES]);

#endif
