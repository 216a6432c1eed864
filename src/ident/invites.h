/* SPDX-License-Identifier: Apache-2.0 */
/* The book of open invitations: <data>/invites, 0600, one text line each, rewritten as a
 * whole and atomically at every change. It holds the SHA-256 of each secret, so that
 * reading it lets nobody in. One process (the daemon) writes it; calls block on the disk.
 *
 * A node that takes an invitation is written down: when its answer was lost, the same key
 * may take the same invitation again without using it up further.
 *
 * People and the command line name an invitation by its *id*, the SHA-256 of its secret in
 * hex, or a beginning of it; who has only that cannot join. */
#ifndef OCF_IDENT_INVITES_H
#define OCF_IDENT_INVITES_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "ident/sha256.h"
#include "ident/token.h"

enum {
	INVITES_MAX = 1000, /* open at a time; expired ones go first */
	INVITES_USES_MAX = 1000,
	/* How long an expired invitation is remembered, to be called expired. */
	INVITES_EXPIRED_MS = 30 * (long long)MS_DAY,
	INVITES_ID_SIZE = 2 * IDENT_SHA256_BYTES + 1,
	INVITES_ID_SHORT = 8, /* digits that are shown; fewer name nothing */
};

enum invite_state {
	INVITE_OPEN,
	INVITE_USED, /* up */
	INVITE_EXPIRED,
	INVITE_REVOKED,
};

struct invite_view {
	char id[INVITES_ID_SIZE];
	enum invite_state state;
	ms_t created_ms; /* 0: not known */
	ms_t expires_ms;
	ms_t revoked_ms; /* 0: it was not */
	unsigned uses_left;
	unsigned taken; /* nodes that came by it */
	bool is_admin;
};

/* -OCF_ELIMIT when the book is full or `uses` is out of range. */
int invites_add(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		ms_t expires_ms, unsigned uses, bool is_admin, ms_t now_ms,
		struct errmsg *err);
/* Use it once for `taker`. -OCF_EUNKNOWN (no such secret), -OCF_EEXPIRED, -OCF_ELIMIT
 * (used up), -OCF_EREFUSED (revoked), each with its sentence; or an error of the file, which is
 * none of these. */
int invites_take(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		 const struct id *taker, ms_t now_ms, bool *ret_is_admin,
		 struct errmsg *err);
/* The id of the invitation with this secret. */
char *invites_id(const uint8_t secret[TOKEN_SECRET_BYTES], char out[INVITES_ID_SIZE]);
/* "open", "used up", "expired", "revoked". */
const char *invites_state_text(enum invite_state state);
/* Nobody can take it any more, also who has its token. Fails as invites_view() does, or with
 * -OCF_EEXPIRED, -OCF_ELIMIT (used up) or -EALREADY (revoked), each with its sentence, when
 * it was not open; it is viewed then, too, as it was. */
int invites_revoke(const char *path, const char *id, ms_t now_ms,
		   struct invite_view *ret_view, struct errmsg *err);
/* -OCF_EUNKNOWN: no such id here; -ENOTUNIQ: several begin so; or an error of the file. */
int invites_view(const char *path, const char *id, ms_t now_ms,
		 struct invite_view *ret_view, struct errmsg *err);
/* fn() for each that is open, those made last at the end. */
int invites_each_open(const char *path, ms_t now_ms,
		      void (*fn)(void *arg, const struct invite_view *view), void *arg,
		      struct errmsg *err);
/* As invites_take(), but only looks whether it could be taken. */
int invites_check(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
		  const struct id *taker, ms_t now_ms, struct errmsg *err);

#endif
