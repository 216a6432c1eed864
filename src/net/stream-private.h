/* SPDX-License-Identifier: Apache-2.0 */
/* A stream from the inside, for stream.c (its life once connected), stream-dial.c
 * (before) and listener.c (which hands over accepted sockets). Private to net/. */
#ifndef OCF_NET_STREAM_PRIVATE_H
#define OCF_NET_STREAM_PRIVATE_H

#include <netdb.h>
#include <sys/un.h>

#include <event2/buffer.h>

#include "net/event.h"
#include "net/stream.h"

enum stream_state {
	STREAM_RESOLVING,
	STREAM_CONNECTING,
	STREAM_HANDSHAKE,
	STREAM_OPEN,
	STREAM_ENDED, /* failed: on_close was called, or there is no owner */
};

struct stream {
	struct loop *loop;
	const struct stream_handler *handler; /* NULL: nobody is told anything */
	void *arg;
	enum stream_state state;
	int fd; /* -1 before a socket is there */
	char peer[STREAM_ADDRESS_SIZE];
	bool is_unix;
	struct tls *tls;	     /* NULL: plain */
	struct tls_session *session; /* from the connected socket on */

	struct buf in; /* arrived, not consumed */
	struct evbuffer *out;
	uint64_t plain_received, plain_sent; /* moved without TLS */

	bool is_paused;
	bool is_eof;	       /* the peer ended; writing may go on */
	bool is_show_due;      /* stream_resume(): show the input again */
	bool is_input_hidden;  /* TLS holds bytes that the socket does not announce */
	bool is_write_blocked; /* wait until the socket takes more */
	bool is_read_blocked;  /* ... for a read: TLS has something to say first */
	bool is_finishing;     /* no owner: write out, then close */
	bool is_fin_sent;      /* ... all written; the input is thrown away */
	bool is_closed;	       /* by its owner; freed at the outermost stream_leave() */
	int depth;	       /* of stream_enter() */
	bool is_reading, is_writing; /* the events that are added */

	struct event *kick, *read_event;
	/* Made when they are needed: a connection that rests has none of them. */
	struct event *write_event;
	struct event *limit; /* for connecting, the handshake, lingering */
	struct event *peek;
	struct loop_orphan orphan;

	/* While dialling. */
	char *alpn;
	char *host;
	int port;
	struct resolve *resolve;
	struct addrinfo *addresses, *next_address;
	struct sockaddr_un *unix_address;
	int dial_code;
};

struct stream *stream_new(struct loop *loop);
/* Takes over `fd`, which must not block. */
struct stream *stream_accept(struct loop *loop, int fd, struct tls *tls, const char *peer,
			     bool is_unix);

/* Around everything that the loop calls. */
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);
/* In between. The stream is of no more use; tell its owner once. */
void stream_fail(struct stream *s, int code, const char *why);

void stream_set_options(int fd);
void stream_attach(struct stream *s, int fd);
void stream_close_socket(struct stream *s);
/* For what is going on now; only lingering counts once there is no owner. */
void stream_set_limit(struct stream *s, ms_t ms);
/* The dialled socket is connected: TLS begins, or the stream is open. */
void stream_connected(struct stream *s);

/* stream-dial.c: the first step; the next address; connect(2) has ended. */
void stream_dial_start(struct stream *s);
void stream_connect_next(struct stream *s);
void stream_connect_done(struct stream *s);

#endif
