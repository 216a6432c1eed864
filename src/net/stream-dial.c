/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a stream's life before its socket is connected: the name, the addresses one
 * after the other, the connection. Begun by stream_kicked(), so from the loop. */
#include "config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/address.h"
#include "net/resolve.h"
#include "net/stream-private.h"
#include "net/tls-session.h"

static void
stream_dial_failed(struct stream *s)
{
	struct errmsg err;
	int code = s->dial_code;

	if (code == -ECONNREFUSED)
		error_set(&err, code, "%s refused the connection: nothing listens there",
			  s->peer);
	else if (code == -ENOENT)
		error_set(&err, code, "%s does not exist: nothing listens there",
			  s->peer);
	else
		error_set(&err, code, "no connection to %s: %s", s->peer,
			  error_text(code));
	stream_fail(s, code, err.text);
}

/* One attempt; -EINPROGRESS when the answer comes later. */
static int
stream_connect(struct stream *s, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if (sa->sa_family != AF_UNIX)
		stream_set_options(fd);
	rc = connect(fd, sa, len) == 0 ? 0 : -errno;
	if (rc != 0 && rc != -EINPROGRESS) {
		close(fd);
		return rc;
	}
	stream_attach(s, fd);
	return rc;
}

/* Try the addresses left, in the resolver's order. An attempt that hangs is given up when
 * there is another address, so that a broken IPv6 does not hide a working IPv4. */
void
stream_connect_next(struct stream *s)
{
	int rc = -EADDRNOTAVAIL;

	s->state = STREAM_CONNECTING;
	while (s->fd < 0 && s->next_address != NULL) {
		struct addrinfo *ai = s->next_address;

		s->next_address = ai->ai_next;
		address_format(ai->ai_addr, ai->ai_addrlen, s->peer);
		rc = stream_connect(s, ai->ai_addr, ai->ai_addrlen);
		if (s->fd < 0)
			s->dial_code = rc;
	}
	if (s->fd < 0) {
		stream_dial_failed(s);
		return;
	}
	stream_set_limit(s, s->next_address != NULL ? STREAM_DIAL_NEXT_MS
						    : STREAM_DIAL_MS_MAX);
	if (rc == 0)
		stream_connected(s);
}

void
stream_connect_done(struct stream *s)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
		code = errno;
	if (code == 0) {
		stream_connected(s);
		return;
	}
	s->dial_code = -code;
	stream_close_socket(s);
	stream_connect_next(s);
}

static void
stream_dial_unix(struct stream *s)
{
	int rc = stream_connect(s, (const void *)s->unix_address,
				sizeof(*s->unix_address));

	s->state = STREAM_CONNECTING;
	if (rc == 0) {
		stream_connected(s);
		return;
	}
	/* A full backlog; unix sockets do not connect in the background. */
	s->dial_code = rc == -EAGAIN ? -EBUSY : rc;
	stream_dial_failed(s);
}

static void
stream_resolved(void *arg, struct addrinfo *list, const char *why)
{
	struct stream *s = arg;

	stream_enter(s);
	s->resolve = NULL;
	s->addresses = s->next_address = list;
	if (list == NULL)
		stream_fail(s, -EHOSTUNREACH, why);
	else
		stream_connect_next(s);
	stream_leave(s);
}

void
stream_dial_start(struct stream *s)
{
	if (s->unix_address != NULL) {
		stream_dial_unix(s);
	} else if (s->addresses != NULL) {
		stream_connect_next(s);
	} else if (s->resolve == NULL) {
		stream_set_limit(s, STREAM_DIAL_MS_MAX);
		s->resolve = resolve_start(s->loop, s->host, s->port, stream_resolved, s);
	}
}

struct stream *
stream_dial(struct loop *loop, const char *address, struct tls *tls, const char *alpn,
	    const struct stream_handler *h, void *arg, struct errmsg *err)
{
	const char *path = address_unix_path(address);
	struct sockaddr_un sun;
	char host[ADDRESS_HOST_SIZE];
	struct stream *s;
	int port = 0;

	if (path != NULL && address_unix_fill(path, &sun, err) != 0)
		return NULL;
	if (path == NULL &&
	    (address_split(address, host, sizeof(host), &port) != 0 || port == 0)) {
		error_set(err, -EINVAL,
			  "'%.100s' is not an address; write host:port, [ipv6]:port or "
			  "unix:/path",
			  address);
		return NULL;
	}
	s = stream_new(loop);
	s->state = STREAM_RESOLVING;
	s->tls = tls_hold(tls);
	if (tls != NULL)
		s->alpn = mem_strdup(alpn);
	snprintf(s->peer, sizeof(s->peer), "%.120s", address);
	stream_set_handler(s, h, arg);
	if (path != NULL) {
		s->is_unix = true;
		s->unix_address = mem_dup(&sun, sizeof(sun));
	} else {
		s->host = mem_strdup(host);
		s->port = port;
		s->addresses = s->next_address = address_numeric(host, port);
	}
	event_active(s->kick, 0, 0);
	return s;
}
