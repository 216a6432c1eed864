/* SPDX-License-Identifier: Apache-2.0 */
/* The book of open invitations: <data>/invites, 0600, one text line each, rewritten as a
 * whole and atomically at every change. It holds the SHA-256 of each secret, so that
 * reading it lets nobody in. One process (the daemon) writes it; calls block on the disk.
 *
 * A node that takes an invitation is written down: when its answer was lost, the same key
 * may take the same invitation again without using it up further. */
#ifndef OCF_IDENT_INVITES_H
#define OCF_IDENT_INVITES_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "ident/token.h"

enum {
	INVITES_MAX = 1000, /* open at a time; expired ones go first */
	INVITES_USES_MAX = 1000,
	/* How long an expired invitation is remembered, to be called expired. */
	INVITES_EXPIRED_MS = 30 * (long long)MS_DAY,
};

/* -OCF_ELIMIT when the book is full or `uses` is out of range. */
int invites_add(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		ms_t expires_ms, unsigned uses, bool is_admin, ms_t now_ms,
		struct errmsg *err);
/* Use it once for `taker`. -OCF_EUNKNOWN (no such secret), -OCF_EEXPIRED, -OCF_ELIMIT
 * (used up), each with its sentence; or an error of the file, which is none of these. */
int invites_take(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		 const struct id *taker, ms_t now_ms, bool *ret_is_admin,
		 struct errmsg *err);
/* As invites_take(), but only looks whether it could be taken. */
int invites_check(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		  const struct id *taker, ms_t now_ms, struct errmsg *err);

#endif
