/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/token.h"

#include <ctype.h>
#include <string.h>

#include "base/hex.h"
#include "ident/base32.h"

enum {
	TOKEN_VERSION = 1,
	TOKEN_FLAG_ADMIN = 1,
	TOKEN_CHECK_BYTES = 4,
};

static const char token_prefix[] = "ocf1-";

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

int
token_decode(struct bytes text, struct token *ret_token, struct errmsg *err)
{
	const size_t prefix_len = sizeof(token_prefix) - 1;
	struct buf body = BUF_INIT;
	uint8_t sum[TOKEN_CHECK_BYTES];
	size_t len;
	int rc;

	while (text.len > 0 && isspace(text.data[0]))
		text = bytes_of(text.data + 1, text.len - 1);
	if (text.len > prefix_len && text.data[0] == 'o' && text.data[1] == 'c' &&
	    text.data[2] == 'f' && isdigit(text.data[3]) && text.data[3] != '1' &&
	    text.data[4] == '-')
		return error_set(err, -OCF_EVERSION,
				 "the token was made by another version of ocf");
	if (text.len < prefix_len || memcmp(text.data, token_prefix, prefix_len) != 0)
		return error_set(err, -OCF_EMALFORMED,
				 "this is not an invitation; it must begin with '%s'",
				 token_prefix);
	text = bytes_of(text.data + prefix_len, text.len - prefix_len);
	if (text.len > TOKEN_TEXT_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED, "the token is too long");
	rc = base32_decode(text, &body);
	len = body.len < TOKEN_CHECK_BYTES ? 0 : body.len - TOKEN_CHECK_BYTES;
	if (rc == 0 && len > 0) {
		token_check_sum(bytes_of(body.data, len), sum);
		rc = ident_equal(sum, body.data + len, sizeof(sum)) ? 0 : -OCF_EMALFORMED;
	}
	if (rc != 0 || len == 0)
		rc = error_set(err, -OCF_EMALFORMED,
			       "the token is incomplete or mistyped; copy the whole line "
			       "that 'ocf invite' printed");
	else
		rc = token_decode_body(bytes_of(body.data, len), ret_token, err);
	ident_wipe(body.data, body.len);
	buf_fini(&body);
	return rc;
}

int
token_check_time(const struct token *token, ms_t now_ms, struct errmsg *err)
{
	char text[CLOCK_TEXT_SIZE];

	if (now_ms < token->expires_ms)
		return 0;
	return error_set(err, -OCF_EEXPIRED,
			 "the invitation expired at %s; ask for a new one (ocf invite)",
			 clock_text(token->expires_ms, text));
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
