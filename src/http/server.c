/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and connections; what an exchange's owner calls is in exchange.c.
 *
 * A connection reads one request at a time: from the head on `x` is set, and while the
 * request is complete and not yet answered (or its owner wants no more of the body) the
 * stream is paused and pipelined bytes wait in it. When the last reply was given the
 * connection is closing: it writes out, then hands the stream over to stream_finish(),
 * which waits a moment for the client's end.
 *
 * Timeouts are not timers of their own: a slow tick per connection compares clocks. */
#include "config.h"

#include "http/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/exchange.h"
#include "http/problem.h"
#include "net/strangers.h"
#include "net/stream.h"

struct http_listener {
	struct http_server *server;
	struct listener *listener;
	int tag;
	bool is_unix;
	bool has_tls;
};

struct http_server {
	struct http_server_config config;
	struct http_replies replies;
	ms_t tick_ms;
	bool is_draining; /* every reply is the last of its connection */
	bool is_stopped;
	int listeners_len;
	struct http_listener listeners[HTTP_LISTENERS_MAX];
	int connections[2];	    /* TCP, unix */
	struct strangers addresses; /* of TCP connections */
	uint64_t turned_away;
	int exchanges;
	struct http_conn *conns;
};

static void conn_tick(void *arg);

static int
conn_limit(const struct http_server *server, bool is_unix)
{
	return is_unix ? server->config.socket_connections_max
		       : server->config.connections_max;
}

/* Listeners wait while their kind of connection is at its cap. */
static void
server_update_listeners(struct http_server *server)
{
	for (int i = 0; i < server->listeners_len; i++) {
		struct http_listener *l = &server->listeners[i];

		listener_pause(l->listener,
			       server->is_stopped ||
				       server->connections[l->is_unix] >=
					       conn_limit(server, l->is_unix));
	}
}

static void
conn_free(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	assert(conn->x == NULL);
	DL_DELETE(server->conns, conn);
	server->connections[conn->is_unix]--;
	server_update_listeners(server);
	loop_timer_free(conn->timer);
	http_parser_fini(&conn->parser);
	free(conn);
}

/* The connection is over; `conn` is gone, at the latest when conn_on_data() returns. */
static void
conn_end(struct http_conn *conn, bool is_flushed)
{
	struct stream *s = conn->stream;

	if (s == NULL)
		return;
	conn->stream = NULL;
	if (conn->is_of_address)
		strangers_leave(&conn->server->addresses, stream_peer(s));
	if (is_flushed)
		stream_finish(s, conn->server->config.linger_ms);
	else
		stream_close(s);
	if (!conn->in_data)
		conn_free(conn);
}

/* Write out what is there, then end. */
void
conn_close(struct http_conn *conn)
{
	if (conn->stream == NULL || conn->is_closing)
		return;
	conn->is_closing = true;
	stream_resume(conn->stream);
	if (stream_pending(conn->stream) == 0)
		conn_end(conn, true);
}

void
conn_cut(struct http_conn *conn)
{
	conn_end(conn, false);
}

/* The exchange is over, and its owner knows. */
void
conn_drop_exchange(struct http_conn *conn)
{
	free(conn->x);
	conn->x = NULL;
	conn->server->exchanges--;
}

/* The exchange is over without its owner's doing. */
static void
conn_abort_exchange(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;

	if (x == NULL)
		return;
	/* Out of reach first: the owner may free everything but must not answer. */
	conn->x = NULL;
	conn->server->exchanges--;
	if (x->handler != NULL)
		x->handler->on_abort(x->arg);
	free(x);
}

void
conn_refuse(struct http_conn *conn, int status, const char *why)
{
	bool has_begun = conn->x != NULL && conn->x->has_begun;
	bool is_head = conn->x != NULL && conn->x->is_bodiless;
	json_t *problem;
	char *text;

	log_debug("http", "%s: %d: %s", stream_peer(conn->stream), status, why);
	if (conn->server->config.on_refused != NULL)
		conn->server->config.on_refused(conn->server->config.arg, status);
	conn_abort_exchange(conn);
	if (!has_begun) {
		struct http_fields fields;
		struct buf *out;

		problem = problem_new(status, why);
		text = problem_dump(problem);
		fields.len = 0;
		http_fields_add(&fields, "content-type", PROBLEM_CONTENT_TYPE);
		out = conn_put_head(conn, status, &fields);
		buf_printf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
			   strlen(text), is_head ? "" : text);
		conn_write(conn, buf_bytes(out));
		free(text);
		json_decref(problem);
	}
	conn_close(conn);
}

static void
conn_on_head(struct http_conn *conn, const struct http_head *head)
{
	struct http_server *server = conn->server;
	struct http_exchange *x = mem_calloc(1, sizeof(*x));

	x->conn = conn;
	x->head = head;
	x->is_closing = !head->keep_alive || server->is_draining;
	x->is_bodiless = strcmp(head->method, "HEAD") == 0;
	conn->x = x;
	conn->requests++;
	server->exchanges++;
	if (head->body_len > server->config.body_max) {
		conn_refuse(conn, 413,
			    "the body is larger than this node accepts "
			    "(http.max_body)");
		return;
	}
	if (head->body_len == 0) {
		struct http_event ev;

		http_parser_step(&conn->parser, BYTES_NONE, &ev);
		assert(ev.kind == HTTP_END);
		x->is_body_done = true;
	}
	server->config.on_request(server->config.arg, x, head);
	if (conn->x != x)
		return;
	assert(x->handler != NULL);
	if (x->is_body_done) {
		x->handler->on_body(x->arg, BYTES_NONE, true);
		return;
	}
	exchange_send_continue(x);
}

static void
conn_on_body(struct http_conn *conn, struct bytes data)
{
	struct http_exchange *x = conn->x;
	struct http_event ev;

	x->body_len += (int64_t)data.len;
	if (x->body_len > conn->server->config.body_max) {
		conn_refuse(conn, 413,
			    "the body is larger than this node accepts "
			    "(http.max_body)");
		return;
	}
	if (x->body_len == x->head->body_len) {
		http_parser_step(&conn->parser, BYTES_NONE, &ev);
		assert(ev.kind == HTTP_END);
		x->is_body_done = true;
	}
	x->handler->on_body(x->arg, data, x->is_body_done);
}

static void
conn_on_event(struct http_conn *conn, const struct http_event *ev)
{
	switch (ev->kind) {
	case HTTP_HEAD:
		conn_on_head(conn, ev->head);
		break;
	case HTTP_BODY:
		conn_on_body(conn, ev->body);
		break;
	case HTTP_END:
		conn->x->is_body_done = true;
		conn->x->handler->on_body(conn->x->arg, BYTES_NONE, true);
		break;
	case HTTP_ERROR:
		conn_refuse(conn, ev->status, ev->why);
		break;
	case HTTP_MORE:
		break;
	}
}

/* Nothing more may be read now: the reply, the owner, or the client's reading is
 * awaited. */
static bool
conn_must_wait(const struct http_conn *conn)
{
	if (conn->x != NULL)
		return conn->x->is_body_done || conn->x->is_paused;
	return stream_pending(conn->stream) > STREAM_OUTPUT_LOW_BYTES;
}

static size_t
conn_on_data(void *arg, struct bytes data)
{
	struct http_conn *conn = arg;
	struct http_event ev = { .kind = HTTP_BODY };
	size_t used = 0;

	conn->last_in = loop_now(conn->server->config.loop);
	if (conn->x == NULL && http_parser_is_idle(&conn->parser))
		conn->since = conn->last_in;
	conn->in_data = true;
	while (conn->stream != NULL && !conn->is_closing && ev.kind != HTTP_MORE) {
		if (conn_must_wait(conn)) {
			stream_pause(conn->stream);
			break;
		}
		used += http_parser_step(
			&conn->parser, bytes_of(data.data + used, data.len - used), &ev);
		conn_on_event(conn, &ev);
	}
	conn->in_data = false;
	if (conn->stream == NULL) {
		conn_free(conn);
		return data.len;
	}
	return conn->is_closing ? data.len : used;
}

static void
conn_on_drain(void *arg)
{
	struct http_conn *conn = arg;

	if (conn->is_closing) {
		if (stream_pending(conn->stream) == 0)
			conn_end(conn, true);
		return;
	}
	if (conn->x == NULL) {
		stream_resume(conn->stream);
	} else if (conn->x->has_begun) {
		conn->in_data = true;
		conn->x->handler->on_drain(conn->x->arg);
		conn->in_data = false;
		if (conn->stream == NULL)
			conn_free(conn);
	}
}

static void
conn_on_close(void *arg, int reason, const char *why)
{
	struct http_conn *conn = arg;

	log_debug("http", "%s: %s", stream_peer(conn->stream), why);
	conn_abort_exchange(conn);
	conn_end(conn, reason == 0);
}

static const struct stream_handler conn_handler = {
	.on_data = conn_on_data,
	.on_drain = conn_on_drain,
	.on_close = conn_on_close,
};

/* Has the client taken nothing of what waits for it for too long? */
static bool
conn_is_stalled(struct http_conn *conn, ms_t now)
{
	size_t pending = stream_pending(conn->stream);

	/* Less waits, or as much although more was written: something was taken. */
	if (pending == 0 || conn->written - pending != conn->taken) {
		conn->taken = conn->written - pending;
		conn->last_out = now;
	}
	return now - conn->last_out >= conn->server->config.write_timeout_ms;
}

static void
conn_tick_request(struct http_conn *conn, ms_t now)
{
	const struct http_server_config *c = &conn->server->config;
	bool is_idle = http_parser_is_idle(&conn->parser);
	ms_t limit = is_idle && conn->requests > 0 ? c->idle_timeout_ms
						   : c->head_timeout_ms;

	if (conn_must_wait(conn) || now - conn->since < limit)
		return;
	if (is_idle)
		conn_close(conn);
	else
		conn_refuse(conn, 408, "the request's head did not come in time");
}

static void
conn_tick(void *arg)
{
	struct http_conn *conn = arg;
	const struct http_server_config *c = &conn->server->config;
	ms_t now = loop_now(c->loop);
	struct http_exchange *x = conn->x;

	loop_timer_set(conn->timer, conn->server->tick_ms);
	if (conn_is_stalled(conn, now)) {
		conn_abort_exchange(conn);
		conn_cut(conn);
	} else if (conn->is_closing) {
		return;
	} else if (x == NULL) {
		conn_tick_request(conn, now);
	} else if (!x->is_body_done && !x->is_paused &&
		   now - conn->last_in >= c->body_timeout_ms) {
		conn_refuse(conn, 408, "the request's body did not come in time");
	}
}

/* Has its address room for one more? Otherwise it would soon have all of them. */
static bool
server_admits(struct http_server *server, const struct stream *s, bool *ret_is_of_address)
{
	static struct log_limit limit = { .span_ms = MS_MINUTE, .burst = 1 };
	const char *peer = stream_peer(s);
	struct errmsg err;

	*ret_is_of_address = !address_is_loopback(peer);
	if (!*ret_is_of_address || strangers_enter(&server->addresses, peer, &err) == 0)
		return true;
	server->turned_away++;
	if (log_limit_pass(&limit, "http"))
		log_warn("http",
			 "%s: closed at once: its address has %d connections already "
			 "(http.max_address_connections)",
			 peer, server->config.address_connections_max);
	return false;
}

static void
server_on_accept(void *arg, struct stream *s)
{
	struct http_listener *l = arg;
	struct http_server *server = l->server;
	struct http_conn *conn;
	bool is_of_address = false;

	if (server->is_stopped ||
	    server->connections[l->is_unix] >= conn_limit(server, l->is_unix) ||
	    (!l->is_unix && !server_admits(server, s, &is_of_address))) {
		stream_close(s);
		return;
	}
	conn = mem_calloc(1, sizeof(*conn));
	conn->server = server;
	conn->replies = &server->replies;
	conn->stream = s;
	conn->tag = l->tag;
	conn->is_unix = l->is_unix;
	conn->is_of_address = is_of_address;
	conn->since = conn->last_in = conn->last_out = loop_now(server->config.loop);
	conn->timer = loop_timer_new(server->config.loop, conn_tick, conn);
	http_parser_init(&conn->parser);
	DL_APPEND(server->conns, conn);
	server->connections[l->is_unix]++;
	stream_set_handler(s, &conn_handler, conn);
	loop_timer_set(conn->timer, server->tick_ms);
	server_update_listeners(server);
}

/* An exchange has ended as it should; the next request may come. */
void
conn_next(struct http_conn *conn, bool is_last)
{
	conn_drop_exchange(conn);
	if (is_last || conn->server->is_draining) {
		conn_close(conn);
		return;
	}
	http_parser_next(&conn->parser);
	conn->since = conn->last_in = loop_now(conn->server->config.loop);
	if (stream_pending(conn->stream) <= STREAM_OUTPUT_LOW_BYTES)
		stream_resume(conn->stream);
}

static ms_t
ms_or(ms_t value, ms_t otherwise)
{
	return value > 0 ? value : otherwise;
}

struct http_server *
http_server_new(const struct http_server_config *config)
{
	struct http_server *server = mem_calloc(1, sizeof(*server));
	struct http_server_config *c = &server->config;

	*c = *config;
	server->replies.server_name = mem_strdup(config->name);
	if (c->connections_max == 0)
		c->connections_max = HTTP_CONNECTIONS_MAX;
	if (c->address_connections_max == 0)
		c->address_connections_max = HTTP_ADDRESS_CONNECTIONS_MAX;
	server->addresses.max = (unsigned)c->connections_max;
	server->addresses.of_address_max = (unsigned)c->address_connections_max;
	if (c->socket_connections_max == 0)
		c->socket_connections_max = HTTP_SOCKET_CONNECTIONS_MAX;
	c->head_timeout_ms = ms_or(c->head_timeout_ms, HTTP_HEAD_TIMEOUT_MS);
	c->body_timeout_ms = ms_or(c->body_timeout_ms, HTTP_BODY_TIMEOUT_MS);
	c->write_timeout_ms = ms_or(c->write_timeout_ms, HTTP_WRITE_TIMEOUT_MS);
	c->idle_timeout_ms = ms_or(c->idle_timeout_ms, HTTP_IDLE_TIMEOUT_MS);
	c->linger_ms = ms_or(c->linger_ms, HTTP_LINGER_MS);
	server->tick_ms = HTTP_TICK_MS_MAX;
	for (int i = 0; i < 4; i++) {
		ms_t quarter = (ms_t[]){ c->head_timeout_ms, c->body_timeout_ms,
					 c->write_timeout_ms, c->idle_timeout_ms }[i] /
			       4;

		if (quarter < server->tick_ms)
			server->tick_ms = quarter > 0 ? quarter : 1;
	}
	return server;
}

void
http_server_free(struct http_server *server)
{
	if (server == NULL)
		return;
	server->is_stopped = true;
	while (server->conns != NULL) {
		conn_abort_exchange(server->conns);
		conn_cut(server->conns);
	}
	for (int i = 0; i < server->listeners_len; i++)
		listener_close(server->listeners[i].listener);
	strangers_fini(&server->addresses);
	free(server->replies.server_name);
	buf_fini(&server->replies.stamp);
	buf_fini(&server->replies.out);
	free(server);
}

int
http_server_listen(struct http_server *server, const char *address, struct tls *tls,
		   unsigned mode, int tag, struct errmsg *err)
{
	struct http_listener *l = &server->listeners[server->listeners_len];
	int rc;

	if (server->listeners_len == HTTP_LISTENERS_MAX)
		return error_set(err, -OCF_ELIMIT, "more than %d HTTP listeners",
				 HTTP_LISTENERS_MAX);
	*l = (struct http_listener){ .server = server, .tag = tag };
	l->is_unix = strncmp(address, "unix:", 5) == 0;
	l->has_tls = tls != NULL;
	rc = listener_open(server->config.loop, address, tls, mode, server_on_accept, l,
			   &l->listener, err);
	if (rc == 0)
		server->listeners_len++;
	return rc;
}

void
http_server_set_tls(struct http_server *server, struct tls *tls)
{
	for (int i = 0; i < server->listeners_len; i++)
		if (server->listeners[i].has_tls)
			listener_set_tls(server->listeners[i].listener, tls);
}

const char *
http_server_address(const struct http_server *server, int tag)
{
	for (int i = 0; i < server->listeners_len; i++)
		if (server->listeners[i].tag == tag)
			return listener_address(server->listeners[i].listener);
	return NULL;
}

void
http_server_drain(struct http_server *server)
{
	struct http_conn *conn, *next;

	server->is_draining = true;
	DL_FOREACH_SAFE (server->conns, conn, next)
		if (conn->x == NULL && http_parser_is_idle(&conn->parser))
			conn_close(conn);
		else if (conn->x != NULL)
			conn->x->is_closing = true;
}

void
http_server_stop(struct http_server *server)
{
	server->is_stopped = true;
	server_update_listeners(server);
	http_server_drain(server);
}

int
http_server_connections(const struct http_server *server)
{
	return server->connections[0] + server->connections[1];
}

uint64_t
http_server_turned_away(const struct http_server *server)
{
	return server->turned_away;
}

int
http_server_exchanges(const struct http_server *server)
{
	return server->exchanges;
}

int
http_server_unsent(const struct http_server *server)
{
	const struct http_conn *conn;
	int unsent = 0;

	DL_FOREACH (server->conns, conn)
		unsent += stream_pending(conn->stream) > 0;
	return unsent;
}
