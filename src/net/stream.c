/* SPDX-License-Identifier: Apache-2.0 */
/* A stream is a socket, its output queue and the input that its owner has not consumed.
 *
 * Libevent's bufferevents are not used: they stop reading at their high mark and then do
 * not notice that the peer has gone, which is what a waiting query must know at once.
 * Here a paused stream goes on reading until its input is full, and a full one is asked
 * every STREAM_PEEK_MS whether the peer has closed (POLLRDHUP; libevent's EV_CLOSED alone
 * spins on a reset). Plain and TLS share this state machine and differ in five calls.
 *
 * Owner's calls never do I/O and never call back: they note what is wanted and wake
 * stream_kicked(). Every callback is made between stream_enter() and stream_leave(), so
 * that an owner may close the stream from inside it. */
#include "config.h"

#include "net/stream.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "net/event.h"
#include "net/io.h"
#include "net/resolve.h"
#include "net/stream-private.h"
#include "net/tls-session.h"

enum {
	/* A client that left cancels its query at the worker within 100 ms. */
	STREAM_PEEK_MS = 40,
	STREAM_RECORD_BYTES = 16 * 1024, /* the most that a TLS record holds */
	/* Written to one socket before others get their turn. */
	STREAM_WRITE_BYTES_PER_TURN = 256 * 1024,
};

static void stream_update(struct stream *s);
static void stream_limit_over(evutil_socket_t fd, short what, void *arg);
static void stream_ready(evutil_socket_t fd, short what, void *arg);

static struct timeval
stream_span(ms_t ms)
{
	return (struct timeval){ .tv_sec = ms / MS_SECOND,
				 .tv_usec = (ms % MS_SECOND) * 1000 };
}

/* Only lingering counts once there is no owner. */
void
stream_set_limit(struct stream *s, ms_t ms)
{
	struct timeval span = stream_span(ms);

	if (s->is_finishing)
		return;
	if (s->limit == NULL)
		s->limit = event_new(loop_base(s->loop), -1, 0, stream_limit_over, s);
	event_add(s->limit, &span);
}

static void
stream_event_free(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

void
stream_close_socket(struct stream *s)
{
	stream_event_free(s->read_event);
	stream_event_free(s->write_event);
	s->read_event = s->write_event = NULL;
	s->is_reading = s->is_writing = s->is_write_blocked = false;
	s->is_input_hidden = false;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void
stream_destroy(struct stream *s)
{
	if (s->session != NULL && s->state == STREAM_OPEN && stream_pending(s) == 0 &&
	    !s->is_fin_sent)
		tls_session_end(s->session);
	stream_close_socket(s);
	tls_session_free(s->session);
	tls_free(s->tls);
	stream_event_free(s->kick);
	stream_event_free(s->limit);
	stream_event_free(s->peek);
	resolve_cancel(s->resolve);
	if (s->addresses != NULL)
		freeaddrinfo(s->addresses);
	evbuffer_free(s->out);
	buf_fini(&s->in);
	free(s->unix_address);
	free(s->host);
	free(s->alpn);
	free(s);
}

void
stream_enter(struct stream *s)
{
	s->depth++;
}

void
stream_leave(struct stream *s)
{
	assert(s->depth > 0);
	if (!s->is_closed)
		stream_update(s);
	if (--s->depth == 0 && s->is_closed)
		stream_destroy(s);
}

/* An orphan's end: it has nobody but the loop. */
static void
stream_orphan_over(struct stream *s)
{
	loop_orphan_remove(s->loop, &s->orphan);
	s->is_closed = true;
}

/* Between enter and leave. The stream is of no more use; tell its owner once. */
void
stream_fail(struct stream *s, int code, const char *why)
{
	struct errmsg text;

	if (s->state == STREAM_ENDED || s->is_closed)
		return;
	error_set(&text, code, "%s", why); /* `why` may be the stream's own */
	s->state = STREAM_ENDED;
	evbuffer_drain(s->out, evbuffer_get_length(s->out));
	stream_close_socket(s);
	if (s->is_finishing) {
		stream_orphan_over(s);
		return;
	}
	/* After a plain end the owner knows already, and only its last bytes are lost. */
	if (!s->is_eof && s->handler != NULL && s->handler->on_close != NULL)
		s->handler->on_close(s->arg, code, text.text);
}

/* Let the owner see what is there; `data` is `in`, or fresh bytes while that is empty. */
static void
stream_show(struct stream *s, struct bytes data)
{
	bool is_fresh = data.data != s->in.data;
	size_t used = 0;

	if (!s->is_paused && s->handler != NULL && s->handler->on_data != NULL)
		used = s->handler->on_data(s->arg, data);
	assert(used <= data.len);
	if (s->is_closed || s->is_finishing)
		return;
	if (is_fresh)
		buf_put(&s->in, data.data + used, data.len - used);
	else
		buf_drop(&s->in, used);
	if (s->in.len == 0 && s->in.cap > 0)
		buf_fini(&s->in);
}

static void
stream_ended_by_peer(struct stream *s)
{
	if (s->is_eof)
		return;
	s->is_eof = true;
	if (s->is_show_due && !s->is_paused && !s->is_finishing && s->in.len > 0)
		stream_show(s, buf_bytes(&s->in));
	if (s->is_closed)
		return;
	if (s->is_finishing) {
		if (s->is_fin_sent)
			stream_orphan_over(s);
		return;
	}
	if (s->handler != NULL && s->handler->on_close != NULL)
		s->handler->on_close(s->arg, 0, "the other side closed the connection");
}

static enum io_status
stream_read_some(struct stream *s, uint8_t *data, size_t size, struct io *io)
{
	enum io_status status;

	/* After our last word the peer's are thrown away as they come. */
	if (s->session != NULL && !s->is_fin_sent)
		return tls_session_read(s->session, data, size, io);
	status = io_socket_read(s->fd, data, size, io);
	if (status == IO_DONE)
		s->plain_received += io->len;
	return status;
}

static bool
stream_may_read(const struct stream *s)
{
	return s->state == STREAM_OPEN && !s->is_eof && !s->is_closed &&
	       s->in.len < STREAM_INPUT_BYTES_MAX;
}

static void
stream_take(struct stream *s, const uint8_t *data, size_t len)
{
	if (s->is_finishing)
		return;
	if (s->in.len == 0) {
		stream_show(s, bytes_of(data, len));
		return;
	}
	buf_put(&s->in, data, len);
	stream_show(s, buf_bytes(&s->in));
}

static void
stream_pump_in(struct stream *s)
{
	enum io_status status = IO_DONE;
	struct io io = { .len = 0 };
	size_t size, len = 0, room;
	uint8_t *scratch = loop_scratch(s->loop, &size);

	s->is_read_blocked = false;
	if (!stream_may_read(s))
		return;
	room = STREAM_INPUT_BYTES_MAX - s->in.len;
	if (size > room)
		size = room;
	while (len < size && status == IO_DONE) {
		status = stream_read_some(s, scratch + len, size - len, &io);
		if (status == IO_DONE)
			len += io.len;
		if (s->session == NULL)
			break;
	}
	s->is_input_hidden = s->session != NULL && status == IO_DONE;
	if (len > 0)
		stream_take(s, scratch, len);
	if (s->is_closed || s->state != STREAM_OPEN)
		return;
	if (status == IO_WANT_WRITE)
		s->is_write_blocked = s->is_read_blocked = true;
	else if (status == IO_END)
		stream_ended_by_peer(s);
	else if (status == IO_FAILED)
		stream_fail(s, io.code, io.err.text);
}

static enum io_status
stream_write_tls(struct stream *s, struct io *io)
{
	size_t len = stream_pending(s);
	enum io_status status;

	if (len > STREAM_RECORD_BYTES)
		len = STREAM_RECORD_BYTES;
	status = tls_session_write(s->session, evbuffer_pullup(s->out, (ssize_t)len), len,
				   io);
	if (status == IO_DONE)
		evbuffer_drain(s->out, io->len);
	return status == IO_END ? io_socket_failed(-EPIPE, io) : status;
}

static enum io_status
stream_write_some(struct stream *s, struct io *io)
{
	int n;

	if (s->session != NULL)
		return stream_write_tls(s, io);
	n = evbuffer_write_atmost(s->out, s->fd, STREAM_WRITE_BYTES_PER_TURN);
	if (n > 0) {
		io->len = (size_t)n;
		s->plain_sent += io->len;
		return IO_DONE;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return io_socket_failed(-errno, io);
	return IO_WANT_WRITE;
}

/* Everything is written: say so to the peer, then wait for its end, so that a close while
 * it still sends does not become a reset that destroys our last words. */
static void
stream_send_fin(struct stream *s)
{
	s->is_fin_sent = true;
	if (s->session != NULL)
		tls_session_end(s->session);
	shutdown(s->fd, SHUT_WR);
	if (s->is_eof)
		stream_orphan_over(s);
}

static void
stream_pump_out(struct stream *s)
{
	enum io_status status = IO_DONE;
	struct io io = { .len = 0 };
	size_t written = 0;

	if (s->state != STREAM_OPEN || s->is_closed || s->is_fin_sent)
		return;
	while (stream_pending(s) > 0 && written < STREAM_WRITE_BYTES_PER_TURN) {
		status = stream_write_some(s, &io);
		if (status != IO_DONE)
			break;
		written += io.len;
	}
	if (status == IO_FAILED) {
		/* What the peer said before it left tells more than that it left. */
		evbuffer_drain(s->out, stream_pending(s));
		stream_pump_in(s);
		stream_fail(s, io.code, io.err.text);
		return;
	}
	s->is_write_blocked = stream_pending(s) > 0 && status != IO_WANT_READ;
	if (s->is_finishing) {
		if (stream_pending(s) == 0)
			stream_send_fin(s);
	} else if (written > 0 && stream_pending(s) <= STREAM_OUTPUT_LOW_BYTES &&
		   s->handler != NULL && s->handler->on_drain != NULL) {
		s->handler->on_drain(s->arg);
	}
}

/* Connected, and trusted if that was wanted. */
static void
stream_opened(struct stream *s)
{
	s->state = STREAM_OPEN;
	if (!s->is_finishing && s->limit != NULL)
		event_del(s->limit);
	if (s->is_finishing)
		event_active(s->kick, 0, 0);
	else if (s->handler != NULL && s->handler->on_open != NULL)
		s->handler->on_open(s->arg);
	if (!s->is_closed)
		event_active(s->kick, 0, 0);
}

static void
stream_handshake(struct stream *s)
{
	struct io io = { .len = 0 };
	enum io_status status = IO_DONE;

	if (s->session != NULL)
		status = tls_session_handshake(s->session, &io);
	s->is_write_blocked = status == IO_WANT_WRITE;
	if (status == IO_DONE) {
		s->is_input_hidden = s->session != NULL;
		stream_opened(s);
	} else if (status == IO_END) {
		stream_fail(s, -ECONNRESET, "the other side closed during the handshake");
	} else if (status == IO_FAILED) {
		stream_fail(s, io.code, io.err.text);
	}
}

/* A socket is there, dialled or accepted (`alpn` NULL); TLS begins. */
static void
stream_start(struct stream *s, const char *alpn)
{
	s->state = STREAM_HANDSHAKE;
	s->is_write_blocked = false;
	if (s->tls == NULL)
		return;
	s->session = tls_session_new(s->tls, s->fd, alpn);
	stream_set_limit(s, TLS_HANDSHAKE_MS_MAX);
}

void
stream_connected(struct stream *s)
{
	stream_start(s, s->alpn);
	stream_handshake(s);
}

/* The socket can be read or written, or is broken. */
static void
stream_ready(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	stream_enter(s);
	if (s->state == STREAM_CONNECTING) {
		stream_connect_done(s);
	} else if (s->state == STREAM_HANDSHAKE) {
		stream_handshake(s);
	} else {
		if ((what & EV_READ) || s->is_read_blocked)
			stream_pump_in(s);
		if (what & EV_WRITE)
			s->is_write_blocked = false;
		if (!s->is_write_blocked)
			stream_pump_out(s);
	}
	stream_leave(s);
}

void
stream_attach(struct stream *s, int fd)
{
	s->fd = fd;
	s->read_event = event_new(loop_base(s->loop), fd, EV_READ | EV_PERSIST,
				  stream_ready, s);
}

/* What an owner's call has asked for, now from the loop. */
static void
stream_kicked(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd, (void)what;
	stream_enter(s);
	if (s->state == STREAM_RESOLVING)
		stream_dial_start(s);
	else if (s->state == STREAM_HANDSHAKE && !s->is_write_blocked)
		stream_handshake(s); /* accepted */
	if (s->is_show_due && s->state == STREAM_OPEN && !s->is_paused && !s->is_closed) {
		s->is_show_due = false;
		if (s->in.len > 0 && !s->is_eof && !s->is_finishing)
			stream_show(s, buf_bytes(&s->in));
	}
	if (s->is_input_hidden)
		stream_pump_in(s);
	if (!s->is_write_blocked)
		stream_pump_out(s);
	stream_leave(s);
}

/* Connecting, the handshake or lingering took too long. */
static void
stream_limit_over(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	struct errmsg err;

	(void)fd, (void)what;
	stream_enter(s);
	if (s->is_finishing) {
		stream_orphan_over(s);
	} else if (s->state == STREAM_CONNECTING && s->next_address != NULL) {
		s->dial_code = -ETIMEDOUT;
		stream_close_socket(s);
		stream_connect_next(s);
	} else {
		error_set(&err, -ETIMEDOUT, "%s did not %s in time",
			  s->alpn != NULL ? s->peer : "the other side",
			  s->state == STREAM_HANDSHAKE ? "finish the TLS handshake"
						       : "answer");
		stream_fail(s, -ETIMEDOUT, err.text);
	}
	stream_leave(s);
}

/* The input is full, so the end of the stream cannot be read: ask for it. */
static void
stream_peek(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	struct pollfd ask = { .fd = s->fd, .events = POLLRDHUP };
	int code = 0;
	socklen_t len = sizeof(code);
	struct io io;

	(void)fd, (void)what;
	stream_enter(s);
	if (s->fd >= 0 && s->state == STREAM_OPEN && poll(&ask, 1, 0) > 0) {
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &len);
		if (code != 0) {
			io_socket_failed(-code, &io);
			stream_fail(s, io.code, io.err.text);
		} else {
			stream_ended_by_peer(s);
		}
	}
	stream_leave(s);
}

static void
stream_set_event(struct event *event, bool *is_added, bool is_wanted)
{
	if (event == NULL || *is_added == is_wanted)
		return;
	*is_added = is_wanted;
	if (is_wanted)
		event_add(event, NULL);
	else
		event_del(event);
}

/* Most sockets take at once what is written. */
static struct event *
stream_write_event(struct stream *s, bool is_wanted)
{
	if (s->write_event == NULL && is_wanted && s->fd >= 0)
		s->write_event = event_new(loop_base(s->loop), s->fd,
					   EV_WRITE | EV_PERSIST, stream_ready, s);
	return s->write_event;
}

/* Bring the events into line with the state; at the end of everything that changes it. */
static void
stream_update(struct stream *s)
{
	bool is_full = s->state == STREAM_OPEN && !s->is_eof &&
		       s->in.len >= STREAM_INPUT_BYTES_MAX;
	bool is_blocked = s->state == STREAM_CONNECTING || s->is_write_blocked;
	struct timeval span = stream_span(STREAM_PEEK_MS);

	if (s->is_finishing && s->in.cap > 0)
		buf_fini(&s->in);
	stream_set_event(s->read_event, &s->is_reading,
			 stream_may_read(s) ||
				 (s->state == STREAM_HANDSHAKE && !s->is_write_blocked));
	if (s->is_input_hidden && stream_may_read(s))
		event_active(s->kick, 0, 0);
	stream_set_event(stream_write_event(s, is_blocked), &s->is_writing, is_blocked);
	if (is_full && s->peek == NULL)
		s->peek = event_new(loop_base(s->loop), -1, EV_PERSIST, stream_peek, s);
	if (s->peek != NULL) {
		if (!is_full)
			event_del(s->peek);
		else if (!event_pending(s->peek, EV_TIMEOUT, NULL))
			event_add(s->peek, &span);
	}
}

void
stream_set_options(int fd)
{
	int on = 1, unsent = STREAM_UNSENT_BYTES;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

struct stream *
stream_new(struct loop *loop)
{
	struct stream *s = mem_calloc(1, sizeof(*s));

	s->loop = loop;
	s->fd = -1;
	s->out = evbuffer_new();
	s->kick = event_new(loop_base(loop), -1, 0, stream_kicked, s);
	return s;
}

struct stream *
stream_accept(struct loop *loop, int fd, struct tls *tls, const char *peer, bool is_unix)
{
	struct stream *s = stream_new(loop);

	s->tls = tls_hold(tls);
	s->is_unix = is_unix;
	snprintf(s->peer, sizeof(s->peer), "%s", peer);
	if (!is_unix)
		stream_set_options(fd);
	stream_attach(s, fd);
	stream_start(s, NULL);
	event_active(s->kick, 0, 0);
	return s;
}

void
stream_set_handler(struct stream *s, const struct stream_handler *h, void *arg)
{
	s->handler = h;
	s->arg = arg;
}

size_t
stream_write(struct stream *s, struct bytes data)
{
	assert(!s->is_finishing && !s->is_closed);
	if (s->state == STREAM_ENDED || data.len == 0)
		return stream_pending(s);
	evbuffer_add(s->out, data.data, data.len);
	if (s->state == STREAM_OPEN && !s->is_write_blocked)
		event_active(s->kick, 0, 0);
	return stream_pending(s);
}

size_t
stream_pending(const struct stream *s)
{
	return evbuffer_get_length(s->out);
}

void
stream_pause(struct stream *s)
{
	s->is_paused = true;
}

void
stream_resume(struct stream *s)
{
	s->is_paused = false;
	if (s->state != STREAM_OPEN || s->is_show_due)
		return;
	s->is_show_due = true;
	event_active(s->kick, 0, 0);
}

static void
stream_orphan_end(struct loop_orphan *orphan)
{
	struct stream *s = (void *)((char *)orphan - offsetof(struct stream, orphan));

	s->is_closed = true;
	if (s->depth == 0)
		stream_destroy(s);
}

void
stream_finish(struct stream *s, ms_t linger_ms)
{
	assert(!s->is_finishing && !s->is_closed);
	s->handler = NULL;
	if (s->state == STREAM_ENDED) {
		stream_close(s);
		return;
	}
	stream_set_limit(s, linger_ms < 0 ? 0 : linger_ms);
	s->is_finishing = true;
	s->orphan.end = stream_orphan_end;
	loop_orphan_add(s->loop, &s->orphan);
	event_active(s->kick, 0, 0);
	if (s->depth == 0)
		stream_update(s);
}

void
stream_close(struct stream *s)
{
	if (s == NULL)
		return;
	assert(!s->is_finishing && !s->is_closed);
	s->is_closed = true;
	if (s->depth == 0)
		stream_destroy(s);
}

const char *
stream_peer(const struct stream *s)
{
	return s->peer;
}

int
stream_peer_uid(const struct stream *s)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!s->is_unix || s->fd < 0 ||
	    getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -1;
	return (int)cred.uid;
}

bool
stream_peer_id(const struct stream *s, struct id *ret_id)
{
	return s->session != NULL && tls_session_peer_id(s->session, ret_id);
}

void
stream_wire_bytes(const struct stream *s, uint64_t *ret_received, uint64_t *ret_sent)
{
	uint64_t received = 0, sent = 0;

	if (s->session != NULL)
		tls_session_wire_bytes(s->session, &received, &sent);
	*ret_received = s->plain_received + received;
	*ret_sent = s->plain_sent + sent;
}

const char *
stream_alpn(const struct stream *s)
{
	return s->session != NULL ? tls_session_alpn(s->session) : "";
}
