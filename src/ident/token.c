/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/token.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "ident/base32.h"
#include "ident/typo.h"

enum {
	TOKEN_VERSION = 1,
	TOKEN_FLAG_ADMIN = 1,
	TOKEN_CHECK_BYTES = 4,
};

static const char token_prefix[] = "ocf1-";
static const char token_digits[] = "abcdefghijklmnopqrstuvwxyz234567"; /* base32.h */

static void
token_check_sum(struct bytes body, uint8_t out[TOKEN_CHECK_BYTES])
{
	uint8_t hash[IDENT_SHA256_BYTES];

	ident_sha256(body.data, body.len, hash);
	memcpy(out, hash, TOKEN_CHECK_BYTES);
}

void
token_encode(const struct token *token, struct buf *out)
{
	struct buf body = BUF_INIT;
	uint8_t sum[TOKEN_CHECK_BYTES];

	buf_put_u8(&body, TOKEN_VERSION);
	buf_put_u8(&body, token->is_admin ? TOKEN_FLAG_ADMIN : 0);
	buf_put(&body, token->fingerprint, sizeof(token->fingerprint));
	buf_put(&body, token->secret, sizeof(token->secret));
	buf_put_u64(&body, (uint64_t)token->expires_ms);
	buf_put_u8(&body, token->addresses_len);
	for (unsigned i = 0; i < token->addresses_len; i++)
		buf_put_bytes8(&body, bytes_text(token->addresses[i]));
	token_check_sum(buf_bytes(&body), sum);
	buf_put(&body, sum, sizeof(sum));
	buf_put_text(out, token_prefix);
	base32_encode(buf_bytes(&body), out);
	ident_wipe(body.data, body.len);
	buf_fini(&body);
}

/* An address goes to a terminal and to a resolver: printable, without spaces. */
static bool
token_address_is_plain(struct bytes address)
{
	for (size_t i = 0; i < address.len; i++) {
		if (address.data[i] <= 0x20 || address.data[i] >= 0x7f)
			return false;
	}
	return address.len > 0;
}

static int
token_decode_body(struct bytes body, struct token *ret_token, struct errmsg *err)
{
	struct reader r = reader_of(body);
	struct token token = { .is_admin = false };
	uint8_t version = reader_u8(&r), flags = reader_u8(&r);
	unsigned len;

	if (version != TOKEN_VERSION || (flags & ~TOKEN_FLAG_ADMIN) != 0)
		return error_set(err, -OCF_EVERSION,
				 "the token was made by a newer version of ocf");
	token.is_admin = (flags & TOKEN_FLAG_ADMIN) != 0;
	reader_copy(&r, token.fingerprint, sizeof(token.fingerprint));
	reader_copy(&r, token.secret, sizeof(token.secret));
	token.expires_ms = (ms_t)reader_u64(&r);
	len = reader_u8(&r);
	for (unsigned i = 0; i < len && !r.failed && i < TOKEN_ADDRESSES_MAX; i++) {
		struct bytes address = reader_bytes8(&r);

		if (!token_address_is_plain(address))
			r.failed = true;
		else
			memcpy(token.addresses[i], address.data, address.len);
	}
	if (!reader_done(&r) || len == 0 || len > TOKEN_ADDRESSES_MAX ||
	    token.expires_ms < 0)
		return error_set(err, -OCF_EMALFORMED, "the token makes no sense");
	token.addresses_len = (uint8_t)len;
	*ret_token = token;
	return 0;
}

/* ---- a text that should be one ---- */

/* What chat windows, mail programs and people put into a token: it is skipped. */
static const char *const token_blanks[] = {
	" ",
	"\t",
	"\r",
	"\n",
	">",
	"\xc2\xa0" /* no-break space */,
	"\xc2\xad" /* soft hyphen */,
	"\xe2\x80\x8b" /* zero width */,
	"\xe2\x80\x8c",
	"\xe2\x80\x8d",
	"\xe2\x81\xa0" /* word joiner */,
	"\xef\xbb\xbf" /* byte order mark */,
};
/* And around it. */
static const char *const token_quotes[] = {
	"\"",
	"'",
	"`",
	"<",
	"(",
	")",
	"[",
	"]",
	"*",
	"_",
	",",
	".",
	";",
	":",
	"!",
	"\xe2\x80\x98",
	"\xe2\x80\x99",
	"\xe2\x80\x9a",
	"\xe2\x80\x9c",
	"\xe2\x80\x9d",
	"\xe2\x80\x9e",
	"\xc2\xab",
	"\xc2\xbb",
};

/* The length of the one that the text begins with, or ends with; 0: none. */
static size_t
token_one_of(struct bytes text, const char *const *list, size_t list_len, bool is_at_end)
{
	for (size_t i = 0; i < list_len; i++) {
		size_t len = strlen(list[i]);

		if (len <= text.len &&
		    memcmp(is_at_end ? text.data + text.len - len : text.data, list[i],
			   len) == 0)
			return len;
	}
	return 0;
}

static size_t
token_blank(struct bytes text, bool is_at_end)
{
	return token_one_of(text, token_blanks,
			    sizeof(token_blanks) / sizeof(token_blanks[0]), is_at_end);
}

static struct bytes
token_trim(struct bytes text)
{
	const size_t quotes = sizeof(token_quotes) / sizeof(token_quotes[0]);
	size_t len;

	do {
		len = token_blank(text, false);
		if (len == 0)
			len = token_one_of(text, token_quotes, quotes, false);
		text = bytes_of(text.data + len, text.len - len);
	} while (len > 0);
	do {
		len = token_blank(text, true);
		if (len == 0)
			len = token_one_of(text, token_quotes, quotes, true);
		text.len -= len;
	} while (len > 0);
	return text;
}

/* Bytes of "ocf1-" at the beginning, in any case and with any dash; 0: it is not there. */
static size_t
token_prefix_len(struct bytes text)
{
	static const char dashes[] = "\xe2\x80"; /* and 0x90 … 0x95 */

	if (text.len < 5 || strncasecmp((const char *)text.data, token_prefix, 4) != 0)
		return 0;
	if (text.data[4] == '-')
		return 5;
	return text.len >= 7 && memcmp(text.data + 4, dashes, 2) == 0 &&
			       text.data[6] >= 0x90 && text.data[6] <= 0x95
		       ? 7
		       : 0;
}

static int
token_no_prefix(struct bytes text, struct errmsg *err)
{
	if (text.len >= 5 && strncasecmp((const char *)text.data, "ocf", 3) == 0 &&
	    isdigit(text.data[3]) && text.data[3] != '1' && text.data[4] == '-')
		return error_set(err, -OCF_EVERSION,
				 "the token was made by another version of ocf");
	for (size_t i = 1; i < text.len; i++)
		if (token_prefix_len(bytes_of(text.data + i, text.len - i)) > 0)
			return error_set(err, -OCF_EMALFORMED,
					 "there are other words in front of the token; "
					 "give it alone, from '%s' on",
					 token_prefix);
	return error_set(err, -OCF_EMALFORMED,
			 "this is not an invitation; it must begin with '%s'",
			 token_prefix);
}

/* The digits of a word, in lower case and without blanks, up to what is none: `rest`. */
static void
token_take_digits(struct bytes text, struct buf *ret_digits, struct bytes *ret_rest)
{
	while (text.len > 0) {
		size_t blank = token_blank(text, false);
		int c = tolower(text.data[0]);

		if (blank == 0) {
			if (c == '\0' || strchr(token_digits, c) == NULL)
				break;
			buf_put_u8(ret_digits, (uint8_t)c);
			blank = 1;
		}
		text = bytes_of(text.data + blank, text.len - blank);
	}
	*ret_rest = text;
}

/* Its bytes with a checksum that fits; the caller wipes. */
static bool
token_open(struct bytes digits, struct buf *ret_body)
{
	uint8_t sum[TOKEN_CHECK_BYTES];
	size_t len;

	if (base32_decode(digits, ret_body) != 0 || ret_body->len <= TOKEN_CHECK_BYTES)
		return false;
	len = ret_body->len - TOKEN_CHECK_BYTES;
	token_check_sum(bytes_of(ret_body->data, len), sum);
	return ident_equal(sum, ret_body->data + len, sizeof(sum));
}

static bool
token_fits(struct bytes digits)
{
	struct buf body = BUF_INIT;
	bool fits = token_open(digits, &body);

	ident_wipe(body.data, body.len);
	buf_fini(&body);
	return fits;
}

/* ---- what is wrong with it ---- */

/* How much of a token these bytes are: its whole length with the checksum, if that can be
 * told; 0: it goes on behind them, as far as can be seen; -1: they are no token's. */
static int
token_measure(struct bytes body)
{
	struct reader r = reader_of(body);
	uint8_t version = reader_u8(&r), flags = reader_u8(&r);
	unsigned len;

	reader_take(&r, IDENT_SHA256_BYTES + TOKEN_SECRET_BYTES + sizeof(uint64_t));
	len = reader_u8(&r);
	if (body.len > 1 &&
	    (version != TOKEN_VERSION || (flags & ~TOKEN_FLAG_ADMIN) != 0))
		return -1;
	if (!r.failed && (len == 0 || len > TOKEN_ADDRESSES_MAX))
		return -1;
	for (unsigned i = 0; i < len && !r.failed; i++) {
		size_t held = reader_u8(&r);
		struct bytes address;

		if (r.failed)
			break;
		address = bytes_of(r.data, held < r.len ? held : r.len);
		if (held == 0 || (address.len > 0 && !token_address_is_plain(address)))
			return -1;
		reader_take(&r, held);
	}
	return r.failed ? 0 : (int)(body.len - r.len) + TOKEN_CHECK_BYTES;
}

/* As many bytes as the digits hold, whole or not. */
static void
token_unpack(struct bytes digits, struct buf *out)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < digits.len; i++) {
		const char *digit = strchr(token_digits, digits.data[i]);

		bits = (bits << 5 | (unsigned)(digit - token_digits)) & 0xfff;
		held += 5;
		if (held >= 8) {
			held -= 8;
			buf_put_u8(out, (uint8_t)(bits >> held));
		}
	}
}

/* How many digits, from the first on, are a whole token; 0: none are. `ret_is_cut`: they
 * are the beginning of one. */
static size_t
token_whole_digits(struct bytes digits, bool *ret_is_cut)
{
	struct buf body = BUF_INIT;
	size_t whole = 0;
	int len;

	token_unpack(digits, &body);
	len = token_measure(buf_bytes(&body));
	*ret_is_cut = len == 0 || len > (int)body.len;
	if (len > 0 && !*ret_is_cut)
		whole = ((size_t)len * 8 + 4) / 5;
	ident_wipe(body.data, body.len);
	buf_fini(&body);
	return whole > 0 && token_fits(bytes_of(digits.data, whole)) ? whole : 0;
}

static int
token_explain_foreign(struct bytes rest, size_t at, struct errmsg *err)
{
	static const char wrong[] = "0189", right[] = "olbg";
	const char *found = strchr(wrong, rest.data[0]);
	char c = (char)rest.data[0];

	if (found != NULL)
		return error_set(
			err, -OCF_EMALFORMED,
			"the token is mistyped: its character %zu is '%c', and no "
			"token has a 0, 1, 8 or 9 behind '%s'; is it '%c'?",
			at, c, token_prefix, right[found - wrong]);
	if (c > 0x20 && c < 0x7f)
		return error_set(
			err, -OCF_EMALFORMED,
			"the token is mistyped, or stands among other words: its "
			"character %zu is '%c', which no token has",
			at, c);
	return error_set(
		err, -OCF_EMALFORMED,
		"the token is mistyped, or stands among other words: what follows "
		"its character %zu is no letter that a token has",
		at - 1);
}

static int
token_explain_typo(struct bytes digits, bool is_cut, struct errmsg *err)
{
	struct typo typo = typo_find(digits, token_digits, token_fits);
	size_t at = sizeof(token_prefix) + typo.at;

	switch (typo.kind) {
	case TYPO_ALTERED:
		return error_set(
			err, -OCF_EMALFORMED,
			"the token is mistyped: its character %zu should be '%c' "
			"and is '%c'",
			at, typo.should, typo.is);
	case TYPO_SWAPPED:
		return error_set(err, -OCF_EMALFORMED,
				 "the token is mistyped: its characters %zu and %zu have "
				 "changed places",
				 at, at + 1);
	case TYPO_EXTRA:
		return error_set(err, -OCF_EMALFORMED,
				 "the token is mistyped: its character %zu, '%c', is one "
				 "too many",
				 at, typo.is);
	case TYPO_MISSING:
		return error_set(
			err, -OCF_EMALFORMED,
			"the token is mistyped: behind its character %zu a '%c' is "
			"missing",
			at - 1, typo.should);
	default:
		if (is_cut)
			return error_set(err, -OCF_EMALFORMED,
					 "the token is cut off: it goes on behind its "
					 "character %zu; copy the whole line that 'ocf "
					 "invite' printed",
					 digits.len + sizeof(token_prefix) - 1);
		return error_set(err, -OCF_EMALFORMED,
				 "the token is incomplete or mistyped in more than one "
				 "place; copy the whole line that 'ocf invite' printed");
	}
}

/* Characters are counted without blanks, the 'o' of "ocf1-" is the first. */
static int
token_explain(struct bytes digits, struct bytes rest, struct errmsg *err)
{
	bool is_cut;
	size_t whole;

	if (err == NULL)
		return -OCF_EMALFORMED;
	whole = token_whole_digits(digits, &is_cut);
	if (whole > 0)
		return error_set(
			err, -OCF_EMALFORMED,
			"there is something behind the token, which ends with its "
			"character %zu; give it alone",
			whole + sizeof(token_prefix) - 1);
	if (rest.len > 0)
		return token_explain_foreign(rest, digits.len + sizeof(token_prefix),
					     err);
	return token_explain_typo(digits, is_cut, err);
}

int
token_decode(struct bytes text, struct token *ret_token, struct errmsg *err)
{
	struct buf digits = BUF_INIT, body = BUF_INIT;
	struct bytes rest;
	size_t prefix;
	int rc;

	if (text.len > TOKEN_INPUT_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED, "the token is too long");
	text = token_trim(text);
	prefix = token_prefix_len(text);
	if (prefix == 0)
		return token_no_prefix(text, err);
	token_take_digits(bytes_of(text.data + prefix, text.len - prefix), &digits,
			  &rest);
	if (digits.len > TOKEN_TEXT_BYTES_MAX)
		rc = error_set(err, -OCF_EMALFORMED, "the token is too long");
	else if (rest.len > 0 || !token_open(buf_bytes(&digits), &body))
		rc = token_explain(buf_bytes(&digits), rest, err);
	else
		rc = token_decode_body(bytes_of(body.data, body.len - TOKEN_CHECK_BYTES),
				       ret_token, err);
	ident_wipe(digits.data, digits.len);
	ident_wipe(body.data, body.len);
	buf_fini(&digits);
	buf_fini(&body);
	return rc;
}

int
token_check_time(const struct token *token, ms_t now_ms, struct errmsg *err)
{
	char text[CLOCK_TEXT_SIZE], here[CLOCK_TEXT_SIZE];

	if (now_ms < token->expires_ms)
		return 0;
	return error_set(
		err, -OCF_EEXPIRED,
		"the invitation expired at %s, and this machine's clock says %s; "
		"ask for a new one, or set the clock if it is wrong",
		clock_text(token->expires_ms, text), clock_text(now_ms, here));
}

int
token_add_address(struct token *token, const char *address)
{
	struct bytes v = bytes_text(address);

	if (v.len > TOKEN_ADDRESS_BYTES_MAX || !token_address_is_plain(v))
		return -OCF_ELIMIT;
	for (unsigned i = 0; i < token->addresses_len; i++) {
		if (strcmp(token->addresses[i], address) == 0)
			return 0;
	}
	if (token->addresses_len >= TOKEN_ADDRESSES_MAX)
		return -OCF_ELIMIT;
	memcpy(token->addresses[token->addresses_len++], address, v.len + 1);
	return 0;
}

void
token_describe(const struct token *token, ms_t now_ms, struct buf *out)
{
	char hex[2 * IDENT_SHA256_BYTES + 1], text[CLOCK_TEXT_SIZE];

	buf_printf(out, "cluster CA  SHA-256 %s\n",
		   hex_encode(token->fingerprint, IDENT_SHA256_BYTES, hex));
	buf_printf(out, "%s     %s\n", now_ms < token->expires_ms ? "expires" : "expired",
		   clock_text(token->expires_ms, text));
	buf_printf(out, "grants      %s\n",
		   token->is_admin ? "a node that holds the CA key" : "a node");
	for (unsigned i = 0; i < token->addresses_len; i++)
		buf_printf(out, "address     %s\n", token->addresses[i]);
}
