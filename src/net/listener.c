/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. Not libevent's evconnlistener: out of descriptors, that spins on the
 * connection it cannot accept; here accepting rests for a moment. */
#include "config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/address.h"
#include "net/event.h"
#include "net/stream-private.h"
#include "net/stream.h"
#include "net/tls-session.h"

enum {
	LISTENER_BACKLOG = 511,
	LISTENER_ACCEPTS_PER_TURN = 32,
	LISTENER_REST_MS = 100, /* without descriptors left */
};

struct listener {
	struct loop *loop;
	struct tls *tls;
	int fd;
	struct event *event;
	struct event *rest;
	void (*on_accept)(void *arg, struct stream *s);
	void *arg;
	char address[STREAM_ADDRESS_SIZE];
	char *path;	/* of a unix socket */
	dev_t path_dev; /* the socket that is ours to unlink */
	ino_t path_ino;
	bool is_paused;
	bool is_resting;
	bool is_accepting; /* inside on_accept */
	bool is_closed;
};

static void
listener_update(struct listener *l)
{
	if (l->is_paused || l->is_resting)
		event_del(l->event);
	else
		event_add(l->event, NULL);
}

static void
listener_rested(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd, (void)what;
	l->is_resting = false;
	listener_update(l);
}

static void
listener_free(struct listener *l)
{
	struct stat st;

	if (l->event != NULL)
		event_free(l->event);
	if (l->rest != NULL)
		event_free(l->rest);
	if (l->fd >= 0)
		close(l->fd);
	if (l->path != NULL && stat(l->path, &st) == 0 && st.st_dev == l->path_dev &&
	    st.st_ino == l->path_ino)
		unlink(l->path);
	tls_free(l->tls);
	free(l->path);
	free(l);
}

/* False when there is nothing to accept now. */
static bool
listener_accept_one(struct listener *l)
{
	static struct log_limit limit = { .span_ms = 10 * MS_SECOND, .burst = 1 };
	const struct timeval rest = { .tv_usec = LISTENER_REST_MS * 1000 };
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char peer[STREAM_ADDRESS_SIZE];
	int fd = accept4(l->fd, (void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 &&
	    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		if (log_limit_pass(&limit, "net"))
			log_warn("net",
				 "%s: cannot accept a connection: %s; raise "
				 "LimitNOFILE or ulimit -n",
				 l->address, error_text(-errno));
		l->is_resting = true;
		event_add(l->rest, &rest);
		listener_update(l);
		return false;
	}
	if (fd < 0) /* EAGAIN, or a peer that left before it was accepted */
		return errno != EAGAIN;
	if (l->path != NULL)
		snprintf(peer, sizeof(peer), "%s", l->address);
	else
		address_format((const void *)&from, len, peer);
	l->on_accept(l->arg, stream_accept(l->loop, fd, l->tls, peer, l->path != NULL));
	return true;
}

static void
listener_ready(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd, (void)what;
	l->is_accepting = true;
	for (int i = 0; i < LISTENER_ACCEPTS_PER_TURN; i++) {
		if (!listener_accept_one(l) || l->is_closed || l->is_paused)
			break;
	}
	l->is_accepting = false;
	if (l->is_closed)
		listener_free(l);
}

static int
listener_refused(int code, const char *address, int port, struct errmsg *err)
{
	switch (-code) {
	case EADDRINUSE:
		return error_set(
			err, code,
			"%s is already in use; stop the program that listens "
			"there (ss -ltnp 'sport = :%d' names it) or choose another "
			"port (0 picks a free one)",
			address, port);
	case EACCES:
		return error_set(
			err, code,
			"%s is not allowed for this user; choose a port above 1023",
			address);
	case EADDRNOTAVAIL:
		return error_set(err, code,
				 "%s is not an address of this machine; choose one that "
				 "'ip address' shows, or [::] for all",
				 address);
	default:
		return error_set(err, code, "cannot listen on %s: %s", address,
				 error_text(code));
	}
}

static int
listener_bind(struct listener *l, const struct sockaddr *sa, socklen_t len)
{
	int on = 1, off = 0;

	l->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (sa->sa_family != AF_UNIX)
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa->sa_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(l->fd, sa, len) == 0)
		return 0;
	on = errno;
	close(l->fd);
	l->fd = -1;
	return -on;
}

static int
listener_open_tcp(struct listener *l, const char *address, struct errmsg *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list;
	char host[ADDRESS_HOST_SIZE], service[8];
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	int port, rc;

	if (address_split(address, host, sizeof(host), &port) != 0)
		return error_set(err, -EINVAL,
				 "'%.100s' is not an address to listen on; write "
				 "1.2.3.4:port, [ipv6]:port or unix:/path",
				 address);
	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return error_set(err, -EADDRNOTAVAIL, "%s: %s", address,
				 gai_strerror(rc));
	rc = listener_bind(l, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	if (rc == -EAFNOSUPPORT && strcmp(host, "::") == 0) {
		/* A kernel without IPv6: all addresses are the IPv4 ones. */
		list = address_numeric("0.0.0.0", port);
		rc = listener_bind(l, list->ai_addr, list->ai_addrlen);
		freeaddrinfo(list);
	}
	if (rc == 0 && listen(l->fd, LISTENER_BACKLOG) != 0)
		rc = -errno;
	if (rc != 0)
		return listener_refused(rc, address, port, err);
	getsockname(l->fd, (void *)&bound, &len);
	address_format((const void *)&bound, len, l->address);
	return 0;
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static int
listener_clear_stale(const char *path, const struct sockaddr_un *sun, struct errmsg *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST,
				 "%s exists and is not a socket; remove it or choose "
				 "another path",
				 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, error_text(-errno));
	rc = connect(fd, (const void *)sun, sizeof(*sun)) == 0 ? 0 : -errno;
	close(fd);
	if (rc == -ECONNREFUSED && unlink(path) != 0)
		return error_set(err, -errno, "cannot remove the stale socket %s: %s",
				 path, error_text(-errno));
	if (rc == -ECONNREFUSED || rc == -ENOENT)
		return 0;
	if (rc == -EACCES || rc == -EPERM)
		return error_set(err, rc, "%s belongs to another user's program", path);
	return error_set(
		err, -EADDRINUSE,
		"%s is already in use; stop the program that listens there (fuser "
		"%s names it) or choose another path",
		path, path);
}

static int
listener_open_unix(struct listener *l, const char *path, unsigned mode,
		   struct errmsg *err)
{
	struct sockaddr_un sun;
	struct stat st;
	int rc = address_unix_fill(path, &sun, err);

	if (rc == 0)
		rc = listener_clear_stale(path, &sun, err);
	if (rc != 0)
		return rc;
	rc = listener_bind(l, (const void *)&sun, sizeof(sun));
	if (rc != 0)
		return error_set(err, rc, "cannot listen on unix:%s: %s", path,
				 error_text(rc));
	/* Nobody can connect before listen(), so the mode is in force from the start. */
	if (chmod(path, (mode_t)mode) != 0 || listen(l->fd, LISTENER_BACKLOG) != 0 ||
	    stat(path, &st) != 0) {
		rc = error_set(err, -errno, "%s: %s", path, error_text(-errno));
		unlink(path);
		return rc;
	}
	l->path = mem_strdup(path);
	l->path_dev = st.st_dev;
	l->path_ino = st.st_ino;
	snprintf(l->address, sizeof(l->address), "unix:%s", path);
	return 0;
}

int
listener_open(struct loop *loop, const char *address, struct tls *tls, unsigned mode,
	      void (*on_accept)(void *arg, struct stream *s), void *arg,
	      struct listener **ret_listener, struct errmsg *err)
{
	struct listener *l = mem_calloc(1, sizeof(*l));
	const char *path = address_unix_path(address);
	int rc;

	l->loop = loop;
	l->tls = tls_hold(tls);
	l->fd = -1;
	l->on_accept = on_accept;
	l->arg = arg;
	rc = path != NULL ? listener_open_unix(l, path, mode, err)
			  : listener_open_tcp(l, address, err);
	if (rc != 0) {
		listener_free(l);
		return rc;
	}
	l->event = event_new(loop_base(loop), l->fd, EV_READ | EV_PERSIST, listener_ready,
			     l);
	l->rest = event_new(loop_base(loop), -1, 0, listener_rested, l);
	listener_update(l);
	*ret_listener = l;
	return 0;
}

void
listener_close(struct listener *l)
{
	if (l == NULL)
		return;
	l->is_closed = true;
	if (!l->is_accepting)
		listener_free(l);
}

const char *
listener_address(const struct listener *l)
{
	return l->address;
}

void
listener_set_tls(struct listener *l, struct tls *tls)
{
	struct tls *old = l->tls;

	l->tls = tls_hold(tls);
	tls_free(old);
}

void
listener_pause(struct listener *l, bool is_paused)
{
	l->is_paused = is_paused;
	listener_update(l);
}
