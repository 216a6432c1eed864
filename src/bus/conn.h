/* SPDX-License-Identifier: Apache-2.0 */
/* One NATS connection on the event loop: nats.c behind an adapter of our own.
 *
 * nats.c 3.4.1 calls back on threads of its own, even with its libevent adapter. So there
 * are no asynchronous subscriptions: the socket is read on the loop, messages collect in
 * synchronous subscriptions, and the owner takes them out in `readable`, also on the loop.
 * What still comes from foreign threads (the connect thread here; the ping timer and the
 * close notice of nats.c) goes through loop_post().
 *
 * Somebody's NATS (config.access) is looked at first (dial.h), its servers in turn, beginning
 * behind the one that was lost; TLS is a tunnel of ours. Each attempt reads its files anew.
 *
 * nats.c's own reconnecting is switched off: its reconnect thread would attach the new
 * socket behind the loop's back and replay half of a conversation that the queries of
 * before have already given up. A lost connection is `down`, everything of it is dropped,
 * and a new one is made, for ever, waiting 20 ms at first and at most 2 s (with jitter)
 * between attempts. The socket is watched through a dup(2), because nats.c may close its
 * own from the timer thread while the loop still polls it.
 *
 * Loop thread only. */
#ifndef OCF_BUS_CONN_H
#define OCF_BUS_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/query.h"
#include "bus/access.h"
#include "net/loop.h"

enum {
	BUS_CONN_IO_BYTES = 256 * 1024,
	BUS_CONN_PING_MS = 5 * MS_SECOND,    /* two unanswered: the connection is lost */
	BUS_CONN_TIMEOUT_MS = 2 * MS_SECOND, /* of one attempt to connect */
	BUS_CONN_RETRY_MS_MIN = 20,
	BUS_CONN_RETRY_MS_MAX = 2 * MS_SECOND,
	/* nats.c's write buffer has no bound and is moved on every partial write. */
	BUS_CONN_BUFFER_BYTES_MAX = 32 * 1024 * 1024,
};

struct bus_conn;
struct bus_sub; /* a subscription */
struct bus_msg; /* a received message */

struct bus_conn_config {
	const char *url; /* of one plain server that is known to be NATS; or NULL, and: */
	const struct bus_access *access;
	const char *name; /* as the server's connection list shows it */
	const char *user; /* for `url`; or NULL */
	const char *password;
};

struct bus_conn_handler {
	/* Connected; nothing is subscribed. `client_id` is the server's number for us. */
	void (*up)(void *arg, uint64_t client_id);
	/* Lost. Every subscription is dead and must be freed by now or in this call. */
	void (*down)(void *arg, const char *reason);
	/* Something arrived: drain the subscriptions. What is published meanwhile is written
	 * together, afterwards. It must not close the connection. */
	void (*readable)(void *arg);
	/* A connection attempt that failed, with what each server said; when up, a permission
	 * violation. */
	void (*trouble)(void *arg, const char *text);
};

/* Starts connecting. Strings are copied. NULL when the url cannot be used; then `err` says
 * why. Of an access all is to be checked before, by access_check(). */
struct bus_conn *bus_conn_open(struct loop *loop, const struct bus_conn_config *config,
			       const struct bus_conn_handler *handler, void *arg,
			       struct errmsg *err);
/* Write out what is buffered (at most 500 ms) and disconnect; no callback. Free the
 * subscriptions first. An attempt to connect is waited for. NULL is allowed. */
void bus_conn_close(struct bus_conn *conn);
bool bus_conn_is_up(const struct bus_conn *conn);
/* The id of the server that it is connected to, which is another after each of its starts; ""
 * while down. In a cluster of servers a client's number means something on its own only. */
const char *bus_conn_server_id(const struct bus_conn *conn);
/* The server is known to be there: if a retry is being waited for, do it now. */
void bus_conn_retry_now(struct bus_conn *conn);
size_t bus_conn_buffered(const struct bus_conn *conn);

/* `lines` (headers, of bus_headers_put(); used up) and `reply` may be NULL. The subject must be
 * safe (bus/protocol.h). -ENOTCONN; -ENOBUFS; -EMSGSIZE: over the server's limit. */
int bus_conn_publish(struct bus_conn *conn, const char *subject, const char *reply,
		     struct buf *lines, struct bytes data);

/* `queue` may be NULL. NULL when not connected. */
struct bus_sub *bus_conn_subscribe(struct bus_conn *conn, const char *subject,
				   const char *queue);
void bus_sub_free(struct bus_sub *sub); /* NULL is allowed */

enum bus_next {
	BUS_NEXT_NONE,
	BUS_NEXT_MSG,
	/* The server's 503: a message sent with a reply subject that this subscription covers
	 * reached nobody. nats.c does not say which. */
	BUS_NEXT_NO_RESPONDERS,
};
enum bus_next bus_sub_next(struct bus_sub *sub, struct bus_msg **ret_msg);

const char *bus_msg_subject(const struct bus_msg *msg);
const char *bus_msg_reply(const struct bus_msg *msg); /* or NULL */
struct bytes bus_msg_data(const struct bus_msg *msg);
const char *bus_msg_header(struct bus_msg *msg,
			   const char *name); /* exact case; or NULL */
void bus_msg_headers(struct bus_msg *msg, struct query_headers *ret); /* all, copied */
void bus_msg_free(struct bus_msg *msg);

#endif
