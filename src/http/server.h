/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1.1 server on net/stream: connections, keep-alive, pipelining (one request at a
 * time, answered in order), bodies streamed both ways with back-pressure, limits and
 * timeouts. What a request means is decided above, in api.c.
 *
 * An exchange is one request and its reply. It begins with on_request(), which must set a
 * handler; it ends, for both sides, with http_reply_end(), http_reply_full(),
 * http_reply_abort(), or with the handler's on_abort(). The handler may answer from
 * inside on_request() and on_body(). What the server refuses by itself (a malformed
 * request, 408, 413, 431) it answers with a problem object, and closes.
 *
 * A reply that ends before its request's body does ends the connection, too. A client
 * that shuts its side down has left: its request is aborted. All calls belong to the
 * loop's thread, and no callback is made from inside an http_ call. */
#ifndef OCF_HTTP_SERVER_H
#define OCF_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/query.h"
#include "http/parse.h"
#include "net/loop.h"

struct http_server;
struct http_exchange;
struct tls;

enum {
	HTTP_LISTENERS_MAX = 4,
	/* Of all TCP listeners; a connection may hold about 2 MiB of buffers at worst. */
	HTTP_CONNECTIONS_MAX = 1024,
	/* Of these from one address (net/strangers.h says what that is), but for loopback's:
	 * behind a proxy there everybody comes from it. */
	HTTP_ADDRESS_CONNECTIONS_MAX = 256,
	/* Unix sockets have a cap of their own, so that an operator always gets in. */
	HTTP_SOCKET_CONNECTIONS_MAX = 128,
	HTTP_HEAD_TIMEOUT_MS = 30 * MS_SECOND,	/* from a head's first byte to its last */
	HTTP_BODY_TIMEOUT_MS = 30 * MS_SECOND,	/* without a byte of a wanted body */
	HTTP_WRITE_TIMEOUT_MS = 60 * MS_SECOND, /* without a byte of a reply taken */
	HTTP_IDLE_TIMEOUT_MS = 75 * MS_SECOND,	/* between requests */
	/* After the last reply of a connection, what still comes is read and dropped for
	 * this long, so that a reset does not destroy the reply on its way (RFC 9112
	 * §9.6). */
	HTTP_LINGER_MS = 2 * MS_SECOND,
	/* Timeouts are looked at this often, or at a quarter of the shortest. */
	HTTP_TICK_MS_MAX = 5 * MS_SECOND,
	/* Of a reply: what a worker may give, and ours. */
	HTTP_FIELDS_MAX = QUERY_HEADERS_MAX + 16,
};

/* The header fields of a reply; begin with a `len` of 0. All texts are borrowed, until the
 * call that takes the fields returns. */
struct http_fields {
	int len;
	struct http_header items[HTTP_FIELDS_MAX];
};
void http_fields_add(struct http_fields *fields, const char *name, const char *value);

struct http_server_config {
	struct loop *loop;
	/* A head has come; `tag` is the listener's. The head lives as long as the
	 * exchange. */
	void (*on_request)(void *arg, struct http_exchange *x,
			   const struct http_head *head);
	/* A request was refused by the server itself; for metrics. May be NULL. */
	void (*on_refused)(void *arg, int status);
	void *arg;
	const char *name;    /* for the Server header; "ocf/1.0" */
	int64_t body_max;    /* bytes of a request body; beyond it 413 */
	int connections_max; /* the rest: 0 takes the constants above */
	int address_connections_max;
	int socket_connections_max;
	ms_t head_timeout_ms, body_timeout_ms, write_timeout_ms, idle_timeout_ms,
		linger_ms;
};

struct http_handler {
	/* The next bytes of the request body. `is_last` comes once per request, with an
	 * empty `data` where there is no body. */
	void (*on_body)(void *arg, struct bytes data, bool is_last);
	/* Output was written and at most STREAM_OUTPUT_LOW_BYTES of it wait; comes after
	 * each such write, so also when nobody waited for it. */
	void (*on_drain)(void *arg);
	/* The client left, timed out or broke the protocol; the exchange is gone. */
	void (*on_abort)(void *arg);
};

struct http_server *http_server_new(const struct http_server_config *config);
/* Drops all connections; running exchanges get on_abort(). Not from inside a callback. */
void http_server_free(struct http_server *server);
/* "host:port" or "unix:/path" (made with `mode`). `tls` NULL for plain. `tag` is told by
 * http_exchange_tag(). */
int http_server_listen(struct http_server *server, const char *address, struct tls *tls,
		       unsigned mode, int tag, struct errmsg *err);
/* For connections that come from now on, on the listeners that have TLS. */
void http_server_set_tls(struct http_server *server, struct tls *tls);
/* The bound address of the first listener with this tag, with its real port; NULL
 * without. */
const char *http_server_address(const struct http_server *server, int tag);
/* Answer what comes, but let each reply be the last of its connection; close idle ones. */
void http_server_drain(struct http_server *server);
/* Accept no more, close idle connections, close each other one after its reply. */
void http_server_stop(struct http_server *server);
int http_server_connections(const struct http_server *server);
/* Connections that were closed at once, since their address had as many as it may. */
uint64_t http_server_turned_away(const struct http_server *server);
int http_server_exchanges(const struct http_server *server); /* running now */
/* Connections whose clients have not yet taken all that was written. */
int http_server_unsent(const struct http_server *server);

int http_exchange_tag(const struct http_exchange *x);
/* The client's address (net/stream.h), and the bytes of both bodies so far. */
const char *http_exchange_peer(const struct http_exchange *x);
void http_exchange_bytes(const struct http_exchange *x, int64_t *ret_received,
			 int64_t *ret_sent);
/* As stream_peer_uid(). */
int http_exchange_peer_uid(const struct http_exchange *x);
const struct http_head *http_exchange_head(const struct http_exchange *x);
void http_exchange_set_handler(struct http_exchange *x, const struct http_handler *h,
			       void *arg);
/* Stop and go on taking the request body. */
void http_body_pause(struct http_exchange *x);
void http_body_resume(struct http_exchange *x);

/* Status line and fields (NULL for none). Date, Server, Connection and the body's
 * framing are added; Connection, Content-Length and Transfer-Encoding among `fields` are
 * left out. `body_len` -1: not known, sent in chunks. A reply to HEAD and one of 204 or
 * 304 has no body: its data is dropped. -EINVAL, and nothing was sent, when a field is
 * not valid. */
int http_reply_begin(struct http_exchange *x, int status,
		     const struct http_fields *fields, int64_t body_len);
bool http_reply_has_begun(const struct http_exchange *x);
/* Returns the bytes waiting in the output. */
size_t http_reply_data(struct http_exchange *x, struct bytes data);
size_t http_reply_pending(const struct http_exchange *x);
void http_reply_end(struct http_exchange *x);
/* Begin, data and end in one, with fields of our own making. */
void http_reply_full(struct http_exchange *x, int status,
		     const struct http_fields *fields, struct bytes body);
/* A problem object as the whole reply. */
void http_reply_problem(struct http_exchange *x, int status, const char *detail);
/* Cut the connection, so that the client sees that its reply is not whole. */
void http_reply_abort(struct http_exchange *x);

#endif
