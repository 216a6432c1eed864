/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and exchanges as server.c and exchange.c share them; nobody else's. */
#ifndef OCF_HTTP_EXCHANGE_H
#define OCF_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/bytes.h"
#include "base/query.h"
#include "http/server.h"
#include "net/stream.h"

/* What the replies of a server have in common. */
struct http_replies {
	char *server_name;
	time_t stamped; /* the second that `stamp` tells; it is made once for all of it */
	struct buf stamp; /* the fields Date and Server */
	struct buf out;	  /* a head or a chunk's size on its way; kept for its memory */
};

struct http_conn {
	struct http_server *server;
	struct http_replies *replies; /* the server's */
	struct stream *stream; /* NULL: over, `conn` is freed when its callback returns */
	struct http_parser parser;
	struct http_exchange *x; /* the request being read or answered */
	struct loop_timer *timer;
	int tag;
	bool is_unix;
	bool is_of_address; /* one of those that are counted by address */
	bool is_closing;    /* the last reply was given */
	bool in_data;	    /* a callback to the owner may be under way: do not free */
	int64_t requests;
	ms_t since; /* the head's first byte, or the end of the reply before */
	ms_t last_in, last_out;
	uint64_t written, taken; /* bytes given to the stream, and of those gone */
	struct http_conn *prev, *next;
};

struct http_exchange {
	struct http_conn *conn;
	const struct http_handler *handler;
	void *arg;
	const struct http_head *head;
	int64_t body_len;   /* of the request, so far */
	int64_t sent;	    /* of the reply's body */
	int64_t reply_left; /* of a reply whose length was told */
	bool is_body_done;  /* the whole request is here */
	bool is_paused;
	bool has_continued; /* 100 was sent */
	bool has_begun;
	bool is_bodiless; /* the reply to a HEAD, or a 204 or 304 */
	bool is_chunked;
	bool is_closing; /* the connection ends with this reply */
};

/* The reply was given; `is_last`: the connection ends with it. */
void conn_next(struct http_conn *conn, bool is_last);
/* Forget the exchange, whose owner knows. */
void conn_drop_exchange(struct http_conn *conn);
/* End the connection: when all is written, or at once. */
void conn_close(struct http_conn *conn);
void conn_cut(struct http_conn *conn);
/* Answer by ourselves and close; a running exchange is aborted. */
void conn_refuse(struct http_conn *conn, int status, const char *why);
void conn_write(struct http_conn *conn, struct bytes data);
/* Status line, Date, Server and `fields` (NULL for none), without the empty line; valid until
 * the connection, or another one of its server, is written to. */
struct buf *conn_put_head(struct http_conn *conn, int status,
			  const struct http_fields *fields);
/* "100 Continue" where the client waits for it and its body is wanted. */
void exchange_send_continue(struct http_exchange *x);

#endif
