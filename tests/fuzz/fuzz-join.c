/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers hand us before anybody trusts them: tokens, the messages of ocf-join/1,
 * requests and certificates. The first byte says which; what decodes must encode to the
 * very bytes it was read from, where there is an encoder. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "ident/cert.h"
#include "net/join-wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
fuzz_token(struct bytes text)
{
	struct token token, again;
	struct buf out = BUF_INIT;

	if (token_decode(text, &token, NULL) != 0)
		return;
	token_encode(&token, &out);
	assert(token_decode(buf_bytes(&out), &again, NULL) == 0);
	assert(memcmp(&token, &again, sizeof(token)) == 0);
	buf_fini(&out);
}

static void
fuzz_request(struct bytes input)
{
	struct buf out = BUF_INIT;
	struct join_request request;
	struct bytes body;

	if (join_message(input, &body) != 1 || join_request_decode(body, &request) != 0)
		return;
	join_request_encode(&request, &out);
	assert(bytes_equal(buf_bytes(&out), bytes_of(input.data, out.len)));
	buf_fini(&out);
}

static void
fuzz_reply(struct bytes input)
{
	struct buf out = BUF_INIT;
	struct join_reply reply;
	struct bytes body;

	if (join_message(input, &body) != 1 || join_reply_decode(body, &reply) != 0)
		return;
	join_reply_encode(&reply, &out);
	assert(bytes_equal(buf_bytes(&out), bytes_of(input.data, out.len)));
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct bytes rest;

	if (len == 0)
		return 0;
	rest = bytes_of(data + 1, len - 1);
	switch (data[0]) {
	case 't':
		fuzz_token(rest);
		break;
	case 'q':
		fuzz_request(rest);
		break;
	case 'r':
		fuzz_reply(rest);
		break;
	case 'c':
		cert_check_ca(rest, CERT_AT_ANY_TIME, NULL, NULL, NULL);
		cert_check(rest, rest, CERT_AT_ANY_TIME, NULL, NULL, NULL);
		break;
	case 's':
		cert_request_check(rest, public_key, NULL);
		break;
	default:
		break;
	}
	return 0;
}
