/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams on the loop: TCP or unix sockets, plain or TLS, listening or dialled, with
 * back-pressure both ways. http/ speaks over plain ones, the mesh over TLS ones.
 *
 * A stream is owned by whoever got it; stream_close() ends it at any time, also from
 * inside one of its own callbacks, and no callback follows. After on_close the stream
 * must still be closed by its owner. All calls belong to the loop's thread. */
#ifndef OCF_NET_STREAM_H
#define OCF_NET_STREAM_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"
#include "net/loop.h"

struct stream;
struct listener;
struct tls; /* net/tls.h */

enum { STREAM_ADDRESS_SIZE = 128 }; /* "1.2.3.4:5", "[::1]:5", "unix:/path" */

/* Members may be NULL. */
struct stream_handler {
	/* Connected, and for TLS the handshake is done and the peer verified. Comes once,
	 * for accepted streams too, before anything else but a failing on_close. */
	void (*on_open)(void *arg);
	/* All bytes that have arrived and are not yet consumed. Returns how many were
	 * used; the rest is shown again with the next arrival, or by stream_resume(). */
	size_t (*on_data)(void *arg, struct bytes data);
	/* Output was written and what is left is at or below STREAM_OUTPUT_LOW_BYTES.
	 * Comes after each such write, so also when nobody waited for it. */
	void (*on_drain)(void *arg);
	/* Once. The other side ended (`reason` 0): what was written still goes out, and
	 * so does stream_write(). Or the stream failed: a negative code, and a sentence
	 * in `why` (valid during the call); nothing goes out any more. All input was
	 * shown before, unless the stream is paused or its input is full: a peer that has
	 * gone is reported at once, and what it left unread is lost. */
	void (*on_close)(void *arg, int reason, const char *why);
};

enum {
	/* Unconsumed input is capped here: a peer is not read further until its owner has
	 * consumed. Room for a whole frame and its successor's header. */
	STREAM_INPUT_BYTES_MAX = 128 * 1024,
	STREAM_OUTPUT_LOW_BYTES = 64 * 1024,
	/* About so much the kernel holds that is not on the wire yet. By itself it would take
	 * megabytes, and what is urgent would wait behind them. */
	STREAM_UNSENT_BYTES = 128 * 1024,
	STREAM_DIAL_MS_MAX = 10 * MS_SECOND, /* the name, and again the last address */
	/* An address that does not answer, when the name has another one. */
	STREAM_DIAL_NEXT_MS = 1500,
};

void stream_set_handler(struct stream *s, const struct stream_handler *h, void *arg);
/* Copy `data` to the output. Returns the bytes waiting there now; the owner should stop
 * at its own limit and go on at on_drain. Never blocks, never fails: a failure arrives as
 * on_close. */
size_t stream_write(struct stream *s, struct bytes data);
size_t stream_pending(const struct stream *s);
/* Stop and go on showing input. While paused a close by the peer is still noticed.
 * stream_resume() shows again what is not consumed, also when nothing was paused. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);
/* Hand the stream over to the loop: no callback follows and it must not be used again. It
 * is closed when its output is written and the peer has ended too, at most `linger_ms`
 * later; what still arrives is thrown away, so that it does not reset our last words. */
void stream_finish(struct stream *s, ms_t linger_ms);
/* At once; output that still waits is lost. NULL is allowed. */
void stream_close(struct stream *s);

/* Text of the far address (a unix socket's path for both sides); as dialled until
 * then. */
const char *stream_peer(const struct stream *s);
/* The user id of a unix socket's peer; -1 otherwise. */
int stream_peer_uid(const struct stream *s);
/* After on_open of a TLS stream: the id of the peer's certificate (its key's hash), and the
 * ALPN protocol that was agreed ("" without one). */
bool stream_peer_id(const struct stream *s, struct id *ret_id);
const char *stream_alpn(const struct stream *s);
/* Bytes moved over the socket so far; with TLS its records and handshake are counted. */
void stream_wire_bytes(const struct stream *s, uint64_t *ret_received,
		       uint64_t *ret_sent);

/* "host:port", "[v6]:port" or "unix:/path". Port 0 picks one. Listening on [::] serves
 * IPv4 too. `tls` NULL for plain. on_accept gets streams whose handler must be set at
 * once; TLS streams open later (on_open), within the handshake limit of net/tls.h. A unix
 * socket gets `mode`; a stale one (nobody listening) is replaced. */
int listener_open(struct loop *loop, const char *address, struct tls *tls, unsigned mode,
		  void (*on_accept)(void *arg, struct stream *s), void *arg,
		  struct listener **ret_listener, struct errmsg *err);
void listener_close(struct listener *l); /* NULL is allowed; unlinks its unix socket */
/* The bound address, with the real port. */
const char *listener_address(const struct listener *l);
/* For the streams that it accepts from now on. */
void listener_set_tls(struct listener *l, struct tls *tls);
/* Stop and go on accepting (connection limits). */
void listener_pause(struct listener *l, bool is_paused);

/* Start to connect; the outcome is on_open or on_close. Names are resolved without
 * blocking the loop. `alpn` for TLS ("ocf/1"). Returns NULL only for an address that
 * cannot be parsed. */
struct stream *stream_dial(struct loop *loop, const char *address, struct tls *tls,
			   const char *alpn, const struct stream_handler *h, void *arg,
			   struct errmsg *err);

/* Split "host:port" / "[v6]:port"; -EINVAL otherwise. `host` has no brackets. */
int address_split(const char *address, char *host, size_t host_size, int *ret_port);
bool address_is_loopback(const char *address);
/* Where the far end of stream_peer() is, as far as others are to be told from it: an address of
 * IPv4, or the first 64 bits of one of IPv6 ("2001:db8:0:1::/64"), for a household and a rented
 * machine have a whole such network. Neighbours on one link (fe80::/10) share these bits, so
 * there the whole address counts, as ::1 does. "" of what is no address. Returns `out`. */
enum { ADDRESS_PLACE_SIZE = 64 };
char *address_place(const char *peer, char out[ADDRESS_PLACE_SIZE]);

#endif
