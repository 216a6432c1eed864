/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/tunnel.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* Words of bus_tunnel_close(). */
enum { TUNNEL_PATIENT = 1, TUNNEL_AT_ONCE = 2 };

/* Bytes on their way in one direction. */
struct queue {
	uint8_t data[TUNNEL_BUFFER_BYTES];
	size_t start, len;
};

struct bus_tunnel {
	SSL *tls;
	int tls_fd, listen_fd, plain_fd, wake_fd;
	int port;
	pthread_t thread;
	struct queue in, out; /* from TLS; to it */
	bool is_plain_over;   /* it has ended, what it wrote may still be here */
	ms_t end_ms;	      /* then at the latest; 0: no end yet */
	bool is_tls_over;
	bool reads_by_writing, writes_by_reading; /* what TLS waits for */
	pthread_mutex_t lock;
	struct errmsg why; /* under lock */
};

/* ---- queues ---- */

static size_t
queue_room(const struct queue *q)
{
	return sizeof(q->data) - q->start - q->len;
}

static void
queue_added(struct queue *q, size_t n)
{
	q->len += n;
}

static void
queue_taken(struct queue *q, size_t n)
{
	q->len -= n;
	q->start = q->len > 0 ? q->start + n : 0;
	/* Moved when the most of it is gone, so that each byte is moved about once. */
	if (q->start > sizeof(q->data) / 2) {
		memmove(q->data, q->data + q->start, q->len);
		q->start = 0;
	}
}

/* ---- the TLS side ---- */

static void
tunnel_set_why(struct bus_tunnel *t, const char *text)
{
	pthread_mutex_lock(&t->lock);
	error_set(&t->why, 0, "TLS: %s", text);
	pthread_mutex_unlock(&t->lock);
}

static void
tunnel_tls_over(struct bus_tunnel *t, int code)
{
	unsigned long error = ERR_peek_last_error();
	const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;

	t->is_tls_over = true;
	if (code == SSL_ERROR_SSL)
		tunnel_set_why(t, text != NULL ? text : "broken");
}

static bool
tunnel_read_tls(struct bus_tunnel *t)
{
	size_t n = 0;
	int code;

	if (t->is_tls_over || queue_room(&t->in) == 0)
		return false;
	t->reads_by_writing = false;
	ERR_clear_error();
	if (SSL_read_ex(t->tls, t->in.data + t->in.start + t->in.len, queue_room(&t->in),
			&n) == 1) {
		queue_added(&t->in, n);
		return true;
	}
	code = SSL_get_error(t->tls, 0);
	if (code == SSL_ERROR_WANT_WRITE)
		t->reads_by_writing = true;
	else if (code != SSL_ERROR_WANT_READ)
		tunnel_tls_over(t, code);
	return false;
}

static bool
tunnel_write_tls(struct bus_tunnel *t)
{
	size_t n = 0;
	int code;

	if (t->is_tls_over || t->out.len == 0)
		return false;
	t->writes_by_reading = false;
	ERR_clear_error();
	if (SSL_write_ex(t->tls, t->out.data + t->out.start, t->out.len, &n) == 1) {
		queue_taken(&t->out, n);
		return true;
	}
	code = SSL_get_error(t->tls, 0);
	if (code == SSL_ERROR_WANT_READ)
		t->writes_by_reading = true;
	else if (code != SSL_ERROR_WANT_WRITE)
		tunnel_tls_over(t, code);
	return false;
}

/* ---- the plain side ---- */

static bool
tunnel_read_plain(struct bus_tunnel *t)
{
	ssize_t n;

	if (t->is_plain_over || queue_room(&t->out) == 0)
		return false;
	n = recv(t->plain_fd, t->out.data + t->out.start + t->out.len,
		 queue_room(&t->out), 0);
	if (n > 0)
		queue_added(&t->out, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->is_plain_over = true;
	return n > 0;
}

static bool
tunnel_write_plain(struct bus_tunnel *t)
{
	ssize_t n;

	if (t->is_plain_over || t->in.len == 0)
		return false;
	n = send(t->plain_fd, t->in.data + t->in.start, t->in.len, MSG_NOSIGNAL);
	if (n > 0)
		queue_taken(&t->in, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		t->is_plain_over = true;
	return n > 0;
}

/* ---- the thread ---- */

/* Of a socket that nothing is wanted of poll(2) would still tell, again and again, that it
 * was reset; that is found when something is. */
static struct pollfd
tunnel_interest(int fd, bool is_over, int events)
{
	return (struct pollfd){ .fd = is_over || events == 0 ? -1 : fd,
				.events = (short)events };
}

/* Until there is something to do, or bus_tunnel_close() was called. */
static void
tunnel_wait(struct bus_tunnel *t, ms_t timeout_ms)
{
	int plain = 0, tls = 0;
	struct pollfd p[3];
	eventfd_t word;

	if (queue_room(&t->out) > 0)
		plain |= POLLIN;
	if (t->in.len > 0)
		plain |= POLLOUT;
	if (queue_room(&t->in) > 0)
		tls |= t->reads_by_writing ? POLLOUT : POLLIN;
	if (t->out.len > 0)
		tls |= t->writes_by_reading ? POLLIN : POLLOUT;
	p[0] = tunnel_interest(t->wake_fd, false, POLLIN);
	p[1] = tunnel_interest(t->plain_fd, t->is_plain_over, plain);
	p[2] = tunnel_interest(t->tls_fd, t->is_tls_over, tls);
	poll(p, 3, (int)timeout_ms);
	if (eventfd_read(t->wake_fd, &word) == 0 && t->end_ms == 0)
		t->end_ms = clock_mono_ms() +
			    (word == TUNNEL_PATIENT ? TUNNEL_FLUSH_MS : 0);
}

static void
tunnel_pump(struct bus_tunnel *t)
{
	for (;;) {
		ms_t left = -1;
		bool has_moved = tunnel_read_tls(t);

		has_moved |= tunnel_write_plain(t);
		has_moved |= tunnel_read_plain(t);
		has_moved |= tunnel_write_tls(t);
		if (t->is_plain_over && t->end_ms == 0)
			t->end_ms = clock_mono_ms() + TUNNEL_FLUSH_MS;
		if (t->end_ms != 0)
			left = t->end_ms - clock_mono_ms();
		if ((t->end_ms != 0 && left <= 0) ||
		    (t->is_plain_over && t->out.len == 0) ||
		    (t->is_tls_over && (t->in.len == 0 || t->is_plain_over)))
			return;
		if (!has_moved)
			tunnel_wait(t, left);
	}
}

/* Does one of the socket's two ends have this address? */
static bool
tunnel_has_end(int fd, int (*get)(int, struct sockaddr *, socklen_t *),
	       const struct sockaddr_in *end)
{
	struct sockaddr_in at = { .sin_family = AF_UNSPEC };
	socklen_t len = sizeof(at);

	return get(fd, (struct sockaddr *)&at, &len) == 0 && at.sin_family == AF_INET &&
	       at.sin_port == end->sin_port && at.sin_addr.s_addr == end->sin_addr.s_addr;
}

/* Is the other end of this loopback connection a socket of this process? By both ends: one
 * port alone may be a stranger's and of a socket of ours as well, of another protocol. */
static bool
tunnel_is_own(int fd)
{
	struct sockaddr_in here, there;
	socklen_t len = sizeof(here);
	bool is_own = false;
	struct dirent *entry;
	DIR *dir;

	if (getsockname(fd, (struct sockaddr *)&here, &len) != 0)
		return false;
	len = sizeof(there);
	if (getpeername(fd, (struct sockaddr *)&there, &len) != 0)
		return false;
	dir = opendir("/proc/self/fd");
	while (dir != NULL && !is_own && (entry = readdir(dir)) != NULL) {
		int other = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.')
			is_own = tunnel_has_end(other, getsockname, &there) &&
				 tunnel_has_end(other, getpeername, &here);
	}
	if (dir != NULL)
		closedir(dir);
	return is_own;
}

static bool
tunnel_accept(struct bus_tunnel *t)
{
	ms_t end = clock_mono_ms() + TUNNEL_ACCEPT_MS, left;

	while ((left = end - clock_mono_ms()) > 0) {
		struct pollfd p[3] = {
			{ .fd = t->wake_fd, .events = POLLIN },
			{ .fd = t->listen_fd, .events = POLLIN },
			{ .fd = t->tls_fd }, /* that it was reset is told all the same */
		};
		int one = 1;

		if (poll(p, 3, (int)left) < 0 && errno != EINTR)
			return false;
		if (p[2].revents != 0)
			tunnel_set_why(t, "the connection was reset");
		if (p[0].revents != 0 || p[2].revents != 0)
			return false;
		t->plain_fd = p[1].revents != 0 ? accept4(t->listen_fd, NULL, NULL,
							  SOCK_CLOEXEC | SOCK_NONBLOCK)
						: -1;
		if (t->plain_fd < 0)
			continue;
		if (tunnel_is_own(t->plain_fd)) {
			setsockopt(t->plain_fd, IPPROTO_TCP, TCP_NODELAY, &one,
				   sizeof(one));
			return true;
		}
		close(t->plain_fd);
		t->plain_fd = -1;
	}
	return false;
}

static void *
tunnel_thread(void *arg)
{
	struct bus_tunnel *t = arg;
	sigset_t all;

	/* OpenSSL writes to sockets without MSG_NOSIGNAL. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	if (tunnel_accept(t)) {
		close(t->listen_fd);
		t->listen_fd = -1;
		tunnel_pump(t);
		if (!t->is_tls_over)
			SSL_shutdown(t->tls);
		close(t->plain_fd);
	}
	/* nats.c must not wait for what will never come. */
	if (t->listen_fd >= 0)
		close(t->listen_fd);
	close(t->tls_fd);
	return NULL;
}

/* ---- the owner's side ---- */

static int
tunnel_listen(struct bus_tunnel *t)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->wake_fd < 0 || t->listen_fd < 0 ||
	    bind(t->listen_fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(t->listen_fd, 4) != 0 ||
	    getsockname(t->listen_fd, (struct sockaddr *)&at, &len) != 0)
		return -errno;
	t->port = ntohs(at.sin_port);
	return 0;
}

static void
tunnel_free(struct bus_tunnel *t)
{
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	pthread_mutex_destroy(&t->lock);
	SSL_free(t->tls);
	free(t);
}

int
bus_tunnel_open(SSL *tls, int fd, struct bytes greeting, struct bus_tunnel **ret_tunnel,
		struct errmsg *err)
{
	struct bus_tunnel *t = mem_calloc(1, sizeof(*t));
	int rc;

	t->tls = tls;
	t->tls_fd = fd;
	t->plain_fd = t->listen_fd = t->wake_fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	rc = greeting.len <= sizeof(t->in.data) ? tunnel_listen(t) : -OCF_ELIMIT;
	if (rc == 0) {
		memcpy(t->in.data, greeting.data, greeting.len);
		t->in.len = greeting.len;
		rc = -pthread_create(&t->thread, NULL, tunnel_thread, t);
	}
	if (rc < 0) {
		error_set(err, rc, "no way for TLS: %s", error_text(rc));
		if (t->listen_fd >= 0)
			close(t->listen_fd);
		close(fd);
		tunnel_free(t);
		return rc;
	}
	*ret_tunnel = t;
	return 0;
}

int
bus_tunnel_port(const struct bus_tunnel *t)
{
	return t->port;
}

void
bus_tunnel_why(struct bus_tunnel *t, struct errmsg *ret)
{
	pthread_mutex_lock(&t->lock);
	*ret = t->why;
	pthread_mutex_unlock(&t->lock);
}

void
bus_tunnel_close(struct bus_tunnel *t, bool is_patient)
{
	if (t == NULL)
		return;
	eventfd_write(t->wake_fd, is_patient ? TUNNEL_PATIENT : TUNNEL_AT_ONCE);
	pthread_join(t->thread, NULL);
	tunnel_free(t);
}
