/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/join-wire.h"

#include <assert.h>
#include <string.h>

enum {
	JOIN_VERSION = 1,
	JOIN_HEAD_BYTES = 4,
	JOIN_STATUS_DONE = 0,
	JOIN_STATUS_REFUSED = 1,
};

bool
join_name_is_good(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		if (name[i] <= 0x20 || name[i] >= 0x7f)
			return false;
	}
	return len > 0 && len <= LIMIT_NODE_NAME_BYTES_MAX;
}

static void
join_seal(struct buf *out, size_t start)
{
	size_t len = out->len - start - JOIN_HEAD_BYTES;

	assert(len <= JOIN_MESSAGE_BYTES_MAX);
	put_be32(out->data + start, (uint32_t)len);
}

void
join_request_encode(const struct join_request *request, struct buf *out)
{
	size_t start = out->len;

	buf_put_u32(out, 0);
	buf_put_u8(out, JOIN_VERSION);
	buf_put(out, request->secret, sizeof(request->secret));
	buf_put_bytes8(out, bytes_text(request->name));
	buf_put_bytes16(out, request->csr);
	join_seal(out, start);
}

void
join_reply_encode(const struct join_reply *reply, struct buf *out)
{
	size_t start = out->len;

	buf_put_u32(out, 0);
	buf_put_u8(out, JOIN_VERSION);
	if (reply->is_refused) {
		buf_put_u8(out, JOIN_STATUS_REFUSED);
		buf_put_bytes16(out, reply->sentence);
	} else {
		buf_put_u8(out, JOIN_STATUS_DONE);
		buf_put_bytes16(out, reply->cert);
		buf_put_bytes16(out, reply->ca_cert);
		buf_put_bytes32(out, reply->constants);
		buf_put_bytes16(out, reply->ca_key_pem);
	}
	join_seal(out, start);
}

int
join_message(struct bytes input, struct bytes *ret_body)
{
	size_t len;

	if (input.len < JOIN_HEAD_BYTES)
		return 0;
	len = get_be32(input.data);
	if (len > JOIN_MESSAGE_BYTES_MAX)
		return -OCF_ELIMIT;
	if (input.len - JOIN_HEAD_BYTES < len)
		return 0;
	*ret_body = bytes_of(input.data + JOIN_HEAD_BYTES, len);
	return 1;
}

int
join_request_decode(struct bytes body, struct join_request *ret_request)
{
	struct reader r = reader_of(body);
	struct join_request request = { .name = "" };
	struct bytes name;

	if (reader_u8(&r) != JOIN_VERSION)
		return r.failed ? -OCF_EMALFORMED : -OCF_EVERSION;
	reader_copy(&r, request.secret, sizeof(request.secret));
	name = reader_bytes8(&r);
	request.csr = reader_bytes16(&r);
	if (!reader_done(&r) || name.len > LIMIT_NODE_NAME_BYTES_MAX)
		return -OCF_EMALFORMED;
	memcpy(request.name, name.data, name.len);
	if (!join_name_is_good(request.name) || strlen(request.name) != name.len)
		return -OCF_EMALFORMED;
	*ret_request = request;
	return 0;
}

int
join_reply_decode(struct bytes body, struct join_reply *ret_reply)
{
	struct reader r = reader_of(body);
	struct join_reply reply = { .is_refused = false };
	uint8_t status;

	if (reader_u8(&r) != JOIN_VERSION)
		return r.failed ? -OCF_EMALFORMED : -OCF_EVERSION;
	status = reader_u8(&r);
	reply.is_refused = status == JOIN_STATUS_REFUSED;
	if (reply.is_refused) {
		reply.sentence = reader_bytes16(&r);
	} else if (status == JOIN_STATUS_DONE) {
		reply.cert = reader_bytes16(&r);
		reply.ca_cert = reader_bytes16(&r);
		reply.constants = reader_bytes32(&r);
		reply.ca_key_pem = reader_bytes16(&r);
	} else {
		return -OCF_EMALFORMED;
	}
	if (!reader_done(&r))
		return -OCF_EMALFORMED;
	*ret_reply = reply;
	return 0;
}
