/* SPDX-License-Identifier: Apache-2.0 */
/* The two messages of ocf-join/1, drawn in net/join.h. Private to net/. */
#ifndef OCF_NET_JOIN_WIRE_H
#define OCF_NET_JOIN_WIRE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "net/join.h"

struct join_request {
	uint8_t secret[TOKEN_SECRET_BYTES];
	char name[LIMIT_NODE_NAME_BYTES_MAX + 1];
	struct bytes csr;
};

struct join_reply {
	bool is_refused;
	struct bytes sentence; /* of a refusal */
	struct bytes cert, ca_cert, constants, ca_key_pem;
};

bool join_name_is_good(const char *name);
/* Append the whole message, length included. */
void join_request_encode(const struct join_request *request, struct buf *out);
void join_reply_encode(const struct join_reply *reply, struct buf *out);
/* 1 and the message's inside when all of it is there, 0 when more must come, -OCF_ELIMIT
 * when it is longer than allowed. */
int join_message(struct bytes input, struct bytes *ret_body);
/* -OCF_EMALFORMED; -OCF_EVERSION. The results point into `body`. */
int join_request_decode(struct bytes body, struct join_request *ret_request);
int join_reply_decode(struct bytes body, struct join_reply *ret_reply);

#endif
