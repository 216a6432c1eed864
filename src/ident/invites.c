/* SPDX-License-Identifier: Apache-2.0 */
/* A line: SHA-256 of the secret in hex, expiry in ms, uses left, "member" or "admin", then
 * "created=" and "revoked=" with times where they are known, then the ids of the nodes that
 * took it. */
#include "config.h"

#include "ident/invites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "ident/sha256.h"

enum {
	INVITES_FILE_BYTES_MAX = 4 * 1024 * 1024,
	INVITES_EXPIRY_DIGITS_MAX = 15, /* beyond the year 30000 */
};

static const char
	invites_head[] = "# Invitations of this node: SHA-256 of the secret, "
			 "expiry in ms since 1970, uses\n"
			 "# left, kind, when it was made and revoked, ids of the "
			 "nodes that came.\n";

struct invite {
	uint8_t hash[IDENT_SHA256_BYTES];
	ms_t expires_ms;
	ms_t created_ms; /* 0: not known */
	ms_t revoked_ms; /* 0: it was not */
	unsigned uses;
	bool is_admin;
	unsigned takers_len;
	struct id *takers;
};

struct book {
	struct invite *invites;
	unsigned len;
};

static void
book_fini(struct book *book)
{
	for (unsigned i = 0; i < book->len; i++)
		free(book->invites[i].takers);
	free(book->invites);
}

static struct invite *
book_append(struct book *book)
{
	book->invites = mem_realloc(book->invites, book->len + 1,
				    sizeof(book->invites[0]));
	memset(&book->invites[book->len], 0, sizeof(book->invites[0]));
	return &book->invites[book->len++];
}

static void
invite_add_taker(struct invite *invite, const struct id *taker)
{
	invite->takers = mem_realloc(invite->takers, invite->takers_len + 1,
				     sizeof(invite->takers[0]));
	invite->takers[invite->takers_len++] = *taker;
}

static int
book_parse_number(const char *text, size_t digits_max, long long *ret_number)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len == 0 || len > digits_max || strspn(text, "0123456789") != len)
		return -OCF_EMALFORMED;
	*ret_number = strtoll(text, NULL, 10); /* the digits were counted */
	return 0;
}

/* A word behind the kind: a time with its name, or a node that came. */
static int
book_parse_word(struct invite *invite, const char *word)
{
	static const char created[] = "created=", revoked[] = "revoked=";
	struct id taker;
	ms_t *time = NULL;
	size_t len = 0;
	long long ms;

	if (strncmp(word, created, sizeof(created) - 1) == 0) {
		time = &invite->created_ms;
		len = sizeof(created) - 1;
	} else if (strncmp(word, revoked, sizeof(revoked) - 1) == 0) {
		time = &invite->revoked_ms;
		len = sizeof(revoked) - 1;
	}
	if (time == NULL) {
		if (id_parse(word, &taker) != 0)
			return -OCF_EMALFORMED;
		invite_add_taker(invite, &taker);
		return 0;
	}
	if (book_parse_number(word + len, INVITES_EXPIRY_DIGITS_MAX, &ms) != 0)
		return -OCF_EMALFORMED;
	*time = ms;
	return 0;
}

static int
book_parse_line(struct book *book, char *line)
{
	struct invite *invite = book_append(book);
	char *rest, *word = strtok_r(line, " ", &rest);
	long long expires, uses;

	if (word == NULL || hex_decode(word, invite->hash, sizeof(invite->hash)) != 0)
		return -OCF_EMALFORMED;
	if (book_parse_number(strtok_r(NULL, " ", &rest), INVITES_EXPIRY_DIGITS_MAX,
			      &expires) != 0 ||
	    book_parse_number(strtok_r(NULL, " ", &rest), 4, &uses) != 0)
		return -OCF_EMALFORMED;
	invite->expires_ms = expires;
	invite->uses = (unsigned)uses;
	word = strtok_r(NULL, " ", &rest);
	if (word == NULL || (strcmp(word, "admin") != 0 && strcmp(word, "member") != 0))
		return -OCF_EMALFORMED;
	invite->is_admin = strcmp(word, "admin") == 0;
	while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
		if (book_parse_word(invite, word) != 0)
			return -OCF_EMALFORMED;
	}
	return 0;
}

/* An absent file is an empty book. */
static int
book_read(const char *path, struct book *ret_book, struct errmsg *err)
{
	struct book book = { .len = 0 };
	struct buf text = BUF_INIT;
	char *rest = NULL;
	int rc = file_read_secret(path, INVITES_FILE_BYTES_MAX, &text, err);

	if (rc == -ENOENT) {
		*ret_book = book;
		return 0;
	}
	if (rc != 0) {
		buf_fini(&text);
		return rc == -OCF_ELIMIT ? -OCF_ECORRUPT : rc;
	}
	buf_put_u8(&text, '\0');
	for (char *line = strtok_r((char *)text.data, "\n", &rest);
	     rc == 0 && line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		if (line[0] != '#')
			rc = book_parse_line(&book, line);
	}
	buf_fini(&text);
	if (rc != 0) {
		rc = error_set(
			err, -OCF_ECORRUPT,
			"%s is damaged at entry %u; remove it and invite again: open "
			"invitations are lost, nodes are not",
			path, book.len);
		book_fini(&book);
		return rc;
	}
	*ret_book = book;
	return 0;
}

static int
book_write(const char *path, const struct book *book, ms_t now_ms, struct errmsg *err)
{
	char hex[2 * IDENT_SHA256_BYTES + 1], id[ID_TEXT_SIZE];
	struct buf text = BUF_INIT;
	int rc;

	buf_put_text(&text, invites_head);
	for (unsigned i = 0; i < book->len; i++) {
		const struct invite *invite = &book->invites[i];

		if (invite->expires_ms + INVITES_EXPIRED_MS < now_ms)
			continue;
		buf_printf(&text, "%s %lld %u %s",
			   hex_encode(invite->hash, sizeof(invite->hash), hex),
			   (long long)invite->expires_ms, invite->uses,
			   invite->is_admin ? "admin" : "member");
		if (invite->created_ms != 0)
			buf_printf(&text, " created=%lld", (long long)invite->created_ms);
		if (invite->revoked_ms != 0)
			buf_printf(&text, " revoked=%lld", (long long)invite->revoked_ms);
		for (unsigned j = 0; j < invite->takers_len; j++)
			buf_printf(&text, " %s", id_text(&invite->takers[j], id));
		buf_put_text(&text, "\n");
	}
	rc = file_write(path, buf_bytes(&text), 0600, err);
	buf_fini(&text);
	return rc;
}

static enum invite_state
invite_state(const struct invite *invite, ms_t now_ms)
{
	if (invite->revoked_ms != 0)
		return INVITE_REVOKED;
	if (now_ms >= invite->expires_ms)
		return INVITE_EXPIRED;
	return invite->uses == 0 ? INVITE_USED : INVITE_OPEN;
}

/* Make room for one: of those that are not open that which expired first goes. */
static int
book_make_room(struct book *book, ms_t now_ms, struct errmsg *err)
{
	while (book->len >= INVITES_MAX) {
		struct invite *oldest = NULL;

		for (unsigned i = 0; i < book->len; i++) {
			struct invite *invite = &book->invites[i];

			if (invite_state(invite, now_ms) == INVITE_OPEN)
				continue;
			if (oldest == NULL || invite->expires_ms < oldest->expires_ms)
				oldest = invite;
		}
		if (oldest == NULL)
			return error_set(
				err, -OCF_ELIMIT,
				"%d invitations are open already; wait until some "
				"expire, or revoke some (ocf invite --list)",
				INVITES_MAX);
		free(oldest->takers);
		book->len--;
		memmove(oldest, oldest + 1,
			(size_t)(&book->invites[book->len] - oldest) * sizeof(*oldest));
	}
	return 0;
}

int
invites_add(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES], ms_t expires_ms,
	    unsigned uses, bool is_admin, ms_t now_ms, struct errmsg *err)
{
	struct book book;
	struct invite *invite;
	int rc;

	if (uses < 1 || uses > INVITES_USES_MAX)
		return error_set(err, -OCF_ELIMIT,
				 "an invitation can be used 1 to %d times",
				 INVITES_USES_MAX);
	rc = book_read(path, &book, err);
	if (rc != 0)
		return rc;
	rc = book_make_room(&book, now_ms, err);
	if (rc == 0) {
		invite = book_append(&book);
		ident_sha256(secret, TOKEN_SECRET_BYTES, invite->hash);
		invite->expires_ms = expires_ms;
		invite->created_ms = now_ms;
		invite->uses = uses;
		invite->is_admin = is_admin;
		rc = book_write(path, &book, now_ms, err);
	}
	book_fini(&book);
	return rc;
}

/* Compares with every entry in full, so that the time tells nothing. */
static struct invite *
book_find(struct book *book, const uint8_t secret[TOKEN_SECRET_BYTES])
{
	uint8_t hash[IDENT_SHA256_BYTES];
	struct invite *found = NULL;

	ident_sha256(secret, TOKEN_SECRET_BYTES, hash);
	for (unsigned i = 0; i < book->len; i++) {
		if (ident_equal(book->invites[i].hash, hash, sizeof(hash)))
			found = &book->invites[i];
	}
	return found;
}

static bool
invite_has_taker(const struct invite *invite, const struct id *taker)
{
	for (unsigned i = 0; i < invite->takers_len; i++) {
		if (id_equal(&invite->takers[i], taker))
			return true;
	}
	return false;
}

static int
invite_take(struct invite *invite, const struct id *taker, ms_t now_ms, bool *ret_is_new,
	    struct errmsg *err)
{
	char text[CLOCK_TEXT_SIZE], here[CLOCK_TEXT_SIZE];

	if (invite == NULL)
		return error_set(
			err, -OCF_EUNKNOWN,
			"this node does not know the invitation; ask for a new one");
	if (invite->revoked_ms != 0)
		return error_set(err, -OCF_EREFUSED,
				 "the invitation was revoked at %s by those who made it; "
				 "ask for a new one",
				 clock_text(invite->revoked_ms, text));
	if (now_ms >= invite->expires_ms)
		return error_set(err, -OCF_EEXPIRED,
				 "the invitation expired at %s, and the inviting node's "
				 "clock says %s; ask for a new one",
				 clock_text(invite->expires_ms, text),
				 clock_text(now_ms, here));
	*ret_is_new = !invite_has_taker(invite, taker);
	if (!*ret_is_new)
		return 0;
	if (invite->uses == 0)
		return error_set(err, -OCF_ELIMIT,
				 "the invitation was used already; ask for a new one");
	invite->uses--;
	invite_add_taker(invite, taker);
	return 0;
}

int
invites_take(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
	     const struct id *taker, ms_t now_ms, bool *ret_is_admin, struct errmsg *err)
{
	struct book book;
	struct invite *invite;
	bool is_new = false;
	int rc = book_read(path, &book, err);

	if (rc != 0)
		return rc;
	invite = book_find(&book, secret);
	rc = invite_take(invite, taker, now_ms, &is_new, err);
	if (rc == 0 && is_new)
		rc = book_write(path, &book, now_ms, err);
	if (rc == 0)
		*ret_is_admin = invite->is_admin;
	book_fini(&book);
	return rc;
}

int
invites_check(const char *path, const uint8_t secret[TOKEN_SECRET_BYTES],
	      const struct id *taker, ms_t now_ms, struct errmsg *err)
{
	struct book book;
	bool is_new;
	int rc = book_read(path, &book, err);

	if (rc != 0)
		return rc;
	rc = invite_take(book_find(&book, secret), taker, now_ms, &is_new, err);
	book_fini(&book);
	return rc;
}

/* ---- by id ---- */

char *
invites_id(const uint8_t secret[TOKEN_SECRET_BYTES], char out[INVITES_ID_SIZE])
{
	uint8_t hash[IDENT_SHA256_BYTES];

	ident_sha256(secret, TOKEN_SECRET_BYTES, hash);
	return hex_encode(hash, sizeof(hash), out);
}

const char *
invites_state_text(enum invite_state state)
{
	static const char *const texts[] = { [INVITE_OPEN] = "open",
					     [INVITE_USED] = "used up",
					     [INVITE_EXPIRED] = "expired",
					     [INVITE_REVOKED] = "revoked" };

	return texts[state];
}

static void
invite_fill_view(const struct invite *invite, ms_t now_ms, struct invite_view *ret_view)
{
	*ret_view = (struct invite_view){
		.state = invite_state(invite, now_ms),
		.created_ms = invite->created_ms,
		.expires_ms = invite->expires_ms,
		.revoked_ms = invite->revoked_ms,
		.uses_left = invite->uses,
		.taken = invite->takers_len,
		.is_admin = invite->is_admin,
	};
	hex_encode(invite->hash, sizeof(invite->hash), ret_view->id);
}

static int
book_find_id(struct book *book, const char *id, struct invite **ret_invite,
	     struct errmsg *err)
{
	size_t len = strlen(id);
	struct invite *found = NULL;
	char hex[INVITES_ID_SIZE];

	for (unsigned i = 0; i < book->len && len >= INVITES_ID_SHORT; i++) {
		hex_encode(book->invites[i].hash, sizeof(book->invites[i].hash), hex);
		if (strncmp(hex, id, len) != 0)
			continue;
		if (found != NULL)
			return error_set(err, -ENOTUNIQ,
					 "several invitations begin with %s; give more "
					 "of its id",
					 id);
		found = &book->invites[i];
	}
	if (found == NULL)
		return error_set(err, -OCF_EUNKNOWN,
				 "this node does not know the invitation: it was made on "
				 "another node, or expired long ago");
	*ret_invite = found;
	return 0;
}

int
invites_view(const char *path, const char *id, ms_t now_ms, struct invite_view *ret_view,
	     struct errmsg *err)
{
	struct invite *invite;
	struct book book;
	int rc = book_read(path, &book, err);

	if (rc != 0)
		return rc;
	rc = book_find_id(&book, id, &invite, err);
	if (rc == 0)
		invite_fill_view(invite, now_ms, ret_view);
	book_fini(&book);
	return rc;
}

/* Why there is nothing to revoke. */
static int
invite_closed(const struct invite *invite, ms_t now_ms, struct errmsg *err)
{
	char text[CLOCK_TEXT_SIZE];

	switch (invite_state(invite, now_ms)) {
	case INVITE_REVOKED:
		return error_set(err, -EALREADY,
				 "the invitation was revoked already, at %s",
				 clock_text(invite->revoked_ms, text));
	case INVITE_EXPIRED:
		return error_set(err, -OCF_EEXPIRED,
				 "the invitation needs no revoking: it expired at %s",
				 clock_text(invite->expires_ms, text));
	case INVITE_USED:
		return error_set(
			err, -OCF_ELIMIT,
			"the invitation cannot be revoked: it is used up, and %u "
			"node%s came by it",
			invite->takers_len, invite->takers_len == 1 ? "" : "s");
	default:
		return 0;
	}
}

int
invites_revoke(const char *path, const char *id, ms_t now_ms,
	       struct invite_view *ret_view, struct errmsg *err)
{
	struct invite *invite;
	struct book book;
	int rc = book_read(path, &book, err);

	if (rc != 0)
		return rc;
	rc = book_find_id(&book, id, &invite, err);
	if (rc == 0) {
		rc = invite_closed(invite, now_ms, err);
		if (rc == 0) {
			invite->revoked_ms = now_ms;
			rc = book_write(path, &book, now_ms, err);
		}
		invite_fill_view(invite, now_ms, ret_view);
	}
	book_fini(&book);
	return rc;
}

int
invites_each_open(const char *path, ms_t now_ms,
		  void (*fn)(void *arg, const struct invite_view *view), void *arg,
		  struct errmsg *err)
{
	struct invite_view view;
	struct book book;
	int rc = book_read(path, &book, err);

	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < book.len; i++) {
		invite_fill_view(&book.invites[i], now_ms, &view);
		if (view.state == INVITE_OPEN)
			fn(arg, &view);
	}
	book_fini(&book);
	return 0;
}
