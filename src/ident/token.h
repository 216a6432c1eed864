/* SPDX-License-Identifier: Apache-2.0 */
/* An invitation as one word that survives a chat window: "ocf1-" and lower-case base32
 * (RFC 4648, no padding) of
 *
 *	version u8 = 1 | flags u8 (1 = admin) | SHA-256 of the CA certificate, 32 bytes |
 *	secret, 16 bytes | expires, u64 ms since 1970 | n u8 | n * (length u8, address) |
 *	first 4 bytes of the SHA-256 of all before
 *
 * Whoever holds the word can join until it is used or expires: it is a password. When it is
 * read, white space (wrapped lines), invisible characters, quotes around it and upper case
 * count for nothing; any other change is noticed, and where it is one altered, exchanged,
 * missing or doubled character it is named. */
#ifndef OCF_IDENT_TOKEN_H
#define OCF_IDENT_TOKEN_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "ident/sha256.h"

enum {
	TOKEN_SECRET_BYTES = 16,
	TOKEN_ADDRESSES_MAX = 8,
	TOKEN_ADDRESS_BYTES_MAX = 255, /* a DNS name of 249 characters and a port */
	TOKEN_TEXT_BYTES_MAX = 4096,   /* above the longest with 8 long addresses */
	/* With blanks in it, and words around it, which are refused in words. */
	TOKEN_INPUT_BYTES_MAX = 4 * TOKEN_TEXT_BYTES_MAX,
};

struct token {
	uint8_t fingerprint[IDENT_SHA256_BYTES]; /* SHA-256 of the CA certificate's DER */
	uint8_t secret[TOKEN_SECRET_BYTES];
	ms_t expires_ms;       /* wall clock */
	bool is_admin;	       /* the CA key is passed on */
	uint8_t addresses_len; /* at least 1 */
	char addresses[TOKEN_ADDRESSES_MAX][TOKEN_ADDRESS_BYTES_MAX + 1];
};

/* Append the word, without a line end. */
void token_encode(const struct token *token, struct buf *out);
/* -OCF_EMALFORMED, -OCF_EVERSION; the sentence tells a wrong word from a mistyped and a
 * cut one, and names a typing error, which takes some milliseconds (`err` NULL: none). An
 * expired token is decoded: see token_check_time(). */
int token_decode(struct bytes text, struct token *ret_token, struct errmsg *err);
/* -OCF_EEXPIRED with a sentence. */
int token_check_time(const struct token *token, ms_t now_ms, struct errmsg *err);
/* Add one; -OCF_ELIMIT when full or too long. The same one again is fine. */
int token_add_address(struct token *token, const char *address);
/* Append lines for a person: cluster, expiry, addresses; not the secret. */
void token_describe(const struct token *token, ms_t now_ms, struct buf *out);

#endif
