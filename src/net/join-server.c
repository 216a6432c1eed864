/* SPDX-License-Identifier: Apache-2.0 */
/* The side that admits. A session lives from the stream's opening to the answer; whatever
 * a stranger sends, it ends within JOIN_MS_MAX. The invitation is used after everything
 * else was found good, and before the certificate exists. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ident/invites.h"
#include "net/join-wire.h"
#include "net/join.h"
#include "net/strangers.h"
#include "net/tls.h"
#include "utlist.h"

enum { JOIN_LINGER_MS = 2 * MS_SECOND };

struct join_session {
	struct join_server *server;
	struct stream *stream;
	struct loop_timer *limit;
	bool is_counted; /* among the strangers */
	struct join_session *prev, *next;
};

struct join_server {
	struct loop *loop;
	struct join_host host;
	struct join_session *sessions;
	struct strangers strangers;
};

static void
join_session_leaves(struct join_session *session)
{
	if (session->is_counted)
		strangers_leave(&session->server->strangers,
				stream_peer(session->stream));
	session->is_counted = false;
}

static void
join_session_free(struct join_session *session)
{
	struct join_server *server = session->server;

	DL_DELETE(server->sessions, session);
	join_session_leaves(session);
	stream_close(session->stream);
	loop_timer_free(session->limit);
	free(session);
}

static void
join_report(const struct join_session *session, int code, const struct id *node,
	    const char *name, const char *why)
{
	const struct join_host *host = &session->server->host;

	if (host->report != NULL)
		host->report(host->arg, code, node, name, stream_peer(session->stream),
			     why);
}

/* Send, and leave the rest to the loop. */
static void
join_session_answer(struct join_session *session, const struct join_reply *reply)
{
	struct buf out = BUF_INIT;

	join_reply_encode(reply, &out);
	stream_write(session->stream, buf_bytes(&out));
	ident_wipe(out.data, out.len);
	buf_fini(&out);
	join_session_leaves(session);
	stream_finish(session->stream, JOIN_LINGER_MS);
	session->stream = NULL;
	join_session_free(session);
}

/* What a stranger may be told: what is wrong with its invitation, and nothing of this
 * machine (paths, full disks). */
static const char *
join_public_why(int code, const char *why)
{
	switch (code) {
	case -OCF_EUNKNOWN:
	case -OCF_EEXPIRED:
	case -OCF_ELIMIT:
	case -OCF_EVERSION:
	case -OCF_EREFUSED:
	case -OCF_EMALFORMED:
	case -OCF_ESIGNATURE:
	case -ETIMEDOUT:
	case -EBUSY:
		return why;
	default:
		return "the inviting node cannot admit anybody at this moment; its log "
		       "says why";
	}
}

static void
join_session_refuse(struct join_session *session, int code, const struct id *node,
		    const char *name, const char *why)
{
	struct join_reply reply = { .is_refused = true,
				    .sentence = bytes_text(join_public_why(code, why)) };

	if (reply.sentence.len > JOIN_SENTENCE_BYTES_MAX)
		reply.sentence.len = JOIN_SENTENCE_BYTES_MAX;
	join_report(session, code, node, name, why);
	join_session_answer(session, &reply);
}

/* All that can speak against it, the invitation last. */
static int
join_session_admit(struct join_session *session, const struct join_request *request,
		   const struct id *node, struct buf *constants, bool *ret_is_admin,
		   struct errmsg *err)
{
	const struct join_host *host = &session->server->host;
	ms_t now_ms = clock_wall_ms();
	int rc;

	if (host->identity->ca_key == NULL)
		return error_set(
			err, -OCF_EREFUSED,
			"this node does not hold the cluster's CA key and cannot "
			"admit others; use an invitation of a node that does");
	rc = invites_check(host->invites_path, request->secret, node, now_ms, err);
	if (rc == 0)
		rc = host->welcome(host->arg, node, request->name, constants, err);
	if (rc == 0 && constants->len > JOIN_CONSTANTS_BYTES_MAX)
		rc = error_set(err, -OCF_ELIMIT, "the cluster's constants are too large");
	if (rc == 0)
		rc = invites_take(host->invites_path, request->secret, node, now_ms,
				  ret_is_admin, err);
	return rc;
}

static void
join_session_welcome(struct join_session *session, const struct join_request *request,
		     const struct id *node, const uint8_t public_key[KEY_PUBLIC_BYTES],
		     const struct buf *constants, bool is_admin)
{
	const struct identity *identity = session->server->host.identity;
	struct buf cert = BUF_INIT, pem = BUF_INIT;
	struct join_reply reply = { .ca_cert = buf_bytes(&identity->ca_cert),
				    .constants = buf_bytes(constants) };

	cert_issue(identity->ca_key, public_key, clock_wall_ms(), &cert);
	if (is_admin)
		key_to_pem(identity->ca_key, &pem);
	reply.cert = buf_bytes(&cert);
	reply.ca_key_pem = buf_bytes(&pem);
	join_report(session, 0, node, request->name,
		    is_admin ? "admitted, with the CA key" : "admitted");
	join_session_answer(session, &reply);
	ident_wipe(pem.data, pem.len);
	buf_fini(&pem);
	buf_fini(&cert);
}

static void
join_session_request(struct join_session *session, struct bytes body)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct buf constants = BUF_INIT;
	struct join_request request;
	struct id node = { { 0 } };
	struct errmsg err = { "" };
	bool is_admin = false;
	int rc = join_request_decode(body, &request);

	if (rc != 0) {
		join_session_refuse(
			session, rc, &node, "",
			rc == -OCF_EVERSION
				? "this node is older than the joiner; update it"
				: "the request makes no sense");
		return;
	}
	rc = cert_request_check(request.csr, public_key, &err);
	if (rc == 0) {
		node = key_id_of_public(public_key);
		rc = join_session_admit(session, &request, &node, &constants, &is_admin,
					&err);
	}
	if (rc != 0)
		join_session_refuse(session, rc, &node, request.name,
				    err.text[0] != '\0' ? err.text : error_text(rc));
	else
		join_session_welcome(session, &request, &node, public_key, &constants,
				     is_admin);
	ident_wipe(request.secret, sizeof(request.secret));
	buf_fini(&constants);
}

static size_t
join_session_data(void *arg, struct bytes data)
{
	const struct id nobody = { { 0 } };
	struct join_session *session = arg;
	struct bytes body;
	int rc = join_message(data, &body);

	if (rc == 0)
		return 0;
	if (rc < 0)
		join_session_refuse(session, rc, &nobody, "", "the request is too large");
	else
		join_session_request(session, body);
	return data.len;
}

static void
join_session_closed(void *arg, int reason, const char *why)
{
	const struct id nobody = { { 0 } };
	struct join_session *session = arg;

	join_report(session, reason == 0 ? -ECONNRESET : reason, &nobody, "", why);
	join_session_free(session);
}

static void
join_session_late(void *arg)
{
	const struct id nobody = { { 0 } };

	join_session_refuse(arg, -ETIMEDOUT, &nobody, "",
			    "the request did not come in time");
}

static const struct stream_handler join_session_handler = {
	.on_data = join_session_data,
	.on_close = join_session_closed,
};

struct join_server *
join_server_new(struct loop *loop, const struct join_host *host)
{
	struct join_server *server = mem_calloc(1, sizeof(*server));

	server->loop = loop;
	server->host = *host;
	server->strangers.max = JOIN_SESSIONS_MAX;
	server->strangers.of_address_max = JOIN_SESSIONS_OF_ADDRESS_MAX;
	return server;
}

void
join_server_take(struct join_server *server, struct stream *s)
{
	const struct id nobody = { { 0 } };
	struct join_session *session = mem_calloc(1, sizeof(*session));

	session->server = server;
	session->stream = s;
	session->limit = loop_timer_new(server->loop, join_session_late, session);
	DL_APPEND(server->sessions, session);
	if (strcmp(stream_alpn(s), TLS_ALPN_JOIN) != 0) {
		join_report(session, -OCF_EREFUSED, &nobody, "",
			    "not an invitation's stream");
		join_session_free(session);
		return;
	}
	stream_set_handler(s, &join_session_handler, session);
	if (strangers_enter(&server->strangers, stream_peer(s), NULL) != 0) {
		join_session_refuse(session, -EBUSY, &nobody, "",
				    "too many are joining at this moment; try again");
		return;
	}
	session->is_counted = true;
	loop_timer_set(session->limit, JOIN_MS_MAX);
}

void
join_server_free(struct join_server *server)
{
	if (server == NULL)
		return;
	while (server->sessions != NULL)
		join_session_free(server->sessions);
	strangers_fini(&server->strangers);
	free(server);
}
