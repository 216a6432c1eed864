/* SPDX-License-Identifier: Apache-2.0 */
/* What shows a NATS server who we are, from one file that only its owner may read. By its
 * content it is a credentials file of NATS (a user's JWT and the seed of its key), or one
 * line: a user's NKEY seed, user:password, or a token. Any thread. */
#ifndef OCF_BUS_CREDENTIALS_H
#define OCF_BUS_CREDENTIALS_H

#include "base/clock.h"
#include "base/error.h"
#include "bus/nkey.h"

enum { CREDENTIALS_BYTES_MAX = 64 * 1024 };

enum credentials_kind {
	CREDENTIALS_NONE,
	CREDENTIALS_PASSWORD,
	CREDENTIALS_TOKEN,
	CREDENTIALS_NKEY,
	CREDENTIALS_JWT,
};

struct credentials {
	enum credentials_kind kind;
	char *user;			   /* PASSWORD */
	char *secret;			   /* password, token, or seed */
	char *jwt;			   /* JWT */
	char public_key[NKEY_PUBLIC_SIZE]; /* NKEY, JWT */
	ms_t expires_ms;		   /* JWT: its end on the wall clock; 0: none */
};

/* -EPERM: others can read it; -OCF_EMALFORMED: none of these, or a JWT that is another key's.
 * The sentence names the file, and never quotes it. */
int credentials_read(const char *path, struct credentials *ret, struct errmsg *err);
/* Clears the secrets. All zero is allowed. */
void credentials_fini(struct credentials *c);

#endif
