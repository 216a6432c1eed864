/* SPDX-License-Identifier: Apache-2.0 */
/* NKEYs, NATS's Ed25519 keys as text: a seed ("SU…", 58 characters) is secret, its public
 * key ("U…", 56) is how a server knows it. Base32 without padding of a prefix, the key and
 * CRC-16 (nats-io/nkeys). Pure, any thread. */
#ifndef OCF_BUS_NKEY_H
#define OCF_BUS_NKEY_H

#include <stdbool.h>

#include "base/error.h"

enum {
	NKEY_SEED_BYTES = 58,
	NKEY_PUBLIC_SIZE = 57, /* with its NUL */
};

/* Does it look as a seed is meant to, right or not? Then it is no password. */
bool nkey_looks_like_seed(const char *text);
/* The public key of a user's seed. -OCF_EMALFORMED: a wrong character or sum, or the seed of
 * something else than a user; the sentence never quotes it. */
int nkey_public(const char *seed, char ret_public[NKEY_PUBLIC_SIZE], struct errmsg *err);

#endif
