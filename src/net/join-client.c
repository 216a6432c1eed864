/* SPDX-License-Identifier: Apache-2.0 */
/* The side that wants in. All addresses are dialled at once, since most of a home node's
 * do not work from elsewhere; the secret goes to one of them at a time, and only after
 * its certificate was found to fit the token. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/join-wire.h"
#include "net/join.h"
#include "net/tls.h"

enum attempt_state {
	ATTEMPT_DIALLING,
	ATTEMPT_READY, /* open and trusted; waits for its turn */
	ATTEMPT_ASKED,
	ATTEMPT_OVER,
};

struct attempt {
	struct join_client *client;
	unsigned number;
	enum attempt_state state;
	struct stream *stream;
	struct loop_timer *limit;
};

struct join_client {
	struct loop *loop;
	struct tls *tls;
	struct key *node_key;
	struct token token;
	struct buf request;
	struct attempt attempts[TOKEN_ADDRESSES_MAX];
	struct join_result result;
	struct loop_timer *start;
	void (*done)(void *arg, const struct join_result *result);
	void *arg;
};

static void
attempt_close(struct attempt *attempt)
{
	stream_close(attempt->stream);
	attempt->stream = NULL;
	loop_timer_free(attempt->limit);
	attempt->limit = NULL;
	attempt->state = ATTEMPT_OVER;
}

/* End everything, and tell. The client may be gone afterwards. */
static void
join_client_finish(struct join_client *client, struct identity *identity,
		   struct bytes constants)
{
	struct buf kept = BUF_INIT;
	struct join_result result;

	buf_put_bytes(&kept, constants); /* closing a stream frees its input */
	for (unsigned i = 0; i < client->token.addresses_len; i++) {
		struct join_attempt *told = &client->result.attempts[i];

		if (client->attempts[i].state != ATTEMPT_OVER)
			told->code = error_set(&told->why, -ECANCELED,
					       "not needed any more");
		attempt_close(&client->attempts[i]);
	}
	result = client->result;
	result.identity = identity;
	result.constants = buf_bytes(&kept);
	client->done(client->arg, &result);
	identity_free(identity);
	buf_fini(&kept);
}

static void
join_client_next(struct join_client *client)
{
	bool is_waiting = false;

	for (unsigned i = 0; i < client->token.addresses_len; i++) {
		if (client->attempts[i].state == ATTEMPT_ASKED)
			return;
	}
	for (unsigned i = 0; i < client->token.addresses_len; i++) {
		struct attempt *attempt = &client->attempts[i];

		if (attempt->state == ATTEMPT_READY) {
			attempt->state = ATTEMPT_ASKED;
			loop_timer_set(attempt->limit, JOIN_MS_MAX);
			stream_write(attempt->stream, buf_bytes(&client->request));
			return;
		}
		is_waiting |= attempt->state == ATTEMPT_DIALLING;
	}
	if (is_waiting)
		return;
	if (client->result.code == 0) /* nor did anybody refuse in words */
		client->result.code = error_set(
			&client->result.why, -EHOSTUNREACH,
			"no address of the invitation could be used");
	join_client_finish(client, NULL, BYTES_NONE);
}

static void
attempt_failed(struct attempt *attempt, int code, const char *why)
{
	struct join_client *client = attempt->client;
	struct join_attempt *told = &client->result.attempts[attempt->number];

	told->code = error_set(&told->why, code, "%s", why);
	attempt_close(attempt);
	join_client_next(client);
}

static void
attempt_opened(void *arg)
{
	struct attempt *attempt = arg;

	attempt->state = ATTEMPT_READY;
	join_client_next(attempt->client);
}

static void
attempt_closed(void *arg, int reason, const char *why)
{
	attempt_failed(arg, reason == 0 ? -ECONNRESET : reason, why);
}

static void
attempt_late(void *arg)
{
	struct errmsg err;

	error_set(&err, -ETIMEDOUT, "no answer within %d s",
		  (int)(JOIN_MS_MAX / MS_SECOND));
	attempt_failed(arg, -ETIMEDOUT, err.text);
}

/* The inviter's sentence, fit for a terminal. */
static void
attempt_refused(struct attempt *attempt, struct bytes sentence)
{
	struct join_client *client = attempt->client;
	char text[JOIN_SENTENCE_BYTES_MAX + 1];
	size_t len = sentence.len < sizeof(text) ? sentence.len : sizeof(text) - 1;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = sentence.data[i];

		text[i] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	text[len] = '\0';
	client->result.code = error_set(&client->result.why, -OCF_EREFUSED, "%s", text);
	attempt_failed(attempt, -OCF_EREFUSED, text);
}

static void
attempt_admitted(struct attempt *attempt, const struct join_reply *reply)
{
	struct join_client *client = attempt->client;
	struct bytes ca_key = client->token.is_admin ? reply->ca_key_pem : BYTES_NONE;
	struct identity *identity = NULL;
	struct errmsg err = { "" };
	int rc = identity_new_joined(client->node_key, reply->cert, reply->ca_cert,
				     ca_key, &identity, &err);

	if (rc == 0 && !ident_equal(identity->fingerprint, client->token.fingerprint,
				    sizeof(identity->fingerprint))) {
		identity_free(identity);
		rc = error_set(&err, -OCF_EFOREIGN, "it is another cluster's");
	}
	if (rc != 0) {
		error_prefix(&err, rc, "the answer cannot be used");
		attempt_failed(attempt, rc, err.text);
		return;
	}
	client->result.code = 0;
	client->result.why.text[0] = '\0';
	attempt->state = ATTEMPT_OVER;
	join_client_finish(client, identity, reply->constants);
}

static size_t
attempt_data(void *arg, struct bytes data)
{
	struct attempt *attempt = arg;
	struct join_reply reply;
	struct bytes body;
	int rc = join_message(data, &body);

	if (rc == 0 && attempt->state == ATTEMPT_ASKED)
		return 0;
	if (rc == 1 && attempt->state == ATTEMPT_ASKED)
		rc = join_reply_decode(body, &reply);
	else
		rc = -OCF_EMALFORMED;
	if (rc != 0)
		attempt_failed(attempt, rc,
			       rc == -OCF_EVERSION ? "the inviter is newer; update ocf"
						   : "the answer makes no sense");
	else if (reply.is_refused)
		attempt_refused(attempt, reply.sentence);
	else
		attempt_admitted(attempt, &reply);
	return data.len;
}

static const struct stream_handler attempt_handler = {
	.on_open = attempt_opened,
	.on_data = attempt_data,
	.on_close = attempt_closed,
};

static void
join_client_start(void *arg)
{
	struct join_client *client = arg;
	struct errmsg err;

	for (unsigned i = 0; i < client->token.addresses_len; i++) {
		struct attempt *attempt = &client->attempts[i];
		struct join_attempt *told = &client->result.attempts[i];

		attempt->stream = stream_dial(client->loop, told->address, client->tls,
					      TLS_ALPN_JOIN, &attempt_handler, attempt,
					      &err);
		if (attempt->stream == NULL) {
			told->code = error_set(&told->why, -EINVAL, "%s", err.text);
			attempt->state = ATTEMPT_OVER;
			continue;
		}
		attempt->limit = loop_timer_new(client->loop, attempt_late, attempt);
		loop_timer_set(attempt->limit, JOIN_MS_MAX);
	}
	join_client_next(client);
}

static void
join_client_bad_name(void *arg)
{
	struct join_client *client = arg;

	client->result.code = error_set(
		&client->result.why, -EINVAL,
		"a node's name has 1 to %d characters, without spaces",
		LIMIT_NODE_NAME_BYTES_MAX);
	join_client_finish(client, NULL, BYTES_NONE);
}

struct join_client *
join_client_new(struct loop *loop, const struct token *token, const struct key *node_key,
		const char *name,
		void (*done)(void *arg, const struct join_result *result), void *arg)
{
	struct join_client *client = mem_calloc(1, sizeof(*client));
	struct join_request request = { .name = "" };
	struct buf csr = BUF_INIT;
	bool is_named = join_name_is_good(name);

	client->loop = loop;
	client->tls = tls_new_join(token->fingerprint);
	client->node_key = key_share(node_key);
	client->token = *token;
	client->done = done;
	client->arg = arg;
	client->result.attempts_len = token->addresses_len;
	for (unsigned i = 0; i < token->addresses_len; i++) {
		struct attempt *attempt = &client->attempts[i];

		attempt->client = client;
		attempt->number = i;
		snprintf(client->result.attempts[i].address,
			 sizeof(client->result.attempts[i].address), "%s",
			 token->addresses[i]);
	}
	if (is_named) {
		cert_request_make(node_key, &csr);
		memcpy(request.secret, token->secret, sizeof(request.secret));
		snprintf(request.name, sizeof(request.name), "%s", name);
		request.csr = buf_bytes(&csr);
		join_request_encode(&request, &client->request);
		buf_fini(&csr);
	}
	client->start = loop_timer_new(
		loop, is_named ? join_client_start : join_client_bad_name, client);
	loop_timer_set(client->start, 0);
	return client;
}

void
join_client_free(struct join_client *client)
{
	if (client == NULL)
		return;
	for (unsigned i = 0; i < client->token.addresses_len; i++)
		attempt_close(&client->attempts[i]);
	loop_timer_free(client->start);
	tls_free(client->tls);
	key_free(client->node_key);
	ident_wipe(client->request.data, client->request.len);
	ident_wipe(&client->token, sizeof(client->token));
	buf_fini(&client->request);
	free(client);
}
