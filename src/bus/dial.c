/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/dial.h"

#include <ctype.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "bus/protocol.h"

enum {
	/* One message to a worker without slots, with its headers. */
	DIAL_PAYLOAD_BYTES_MIN = BUS_SINGLE_BYTES_MAX + BUS_HEADERS_BYTES_MAX,
	DIAL_PART_MS = 500,
	DIAL_QUOTED_BYTES = 60, /* of a first line that is not NATS's */
};

/* Wait for `events`. 0; -ETIMEDOUT, -ECANCELED. */
static int
dial_wait(int fd, short events, ms_t end, int cancel_fd)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = events },
				       { .fd = cancel_fd, .events = POLLIN } };
		ms_t left = end - clock_mono_ms();
		int n = left > 0 ? poll(p, 2, (int)left) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (p[1].revents != 0)
			return -ECANCELED;
		return n > 0 ? 0 : -ETIMEDOUT;
	}
}

/* ---- TCP ---- */

static int
dial_socket(const struct addrinfo *to, int cancel_fd, int *ret_fd)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, error = 0, rc = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) {
		rc = errno == EINPROGRESS
			     ? dial_wait(fd, POLLOUT, clock_mono_ms() + DIAL_MS,
					 cancel_fd)
			     : -errno;
		if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
			rc = -error;
	}
	if (rc < 0)
		close(fd);
	else
		*ret_fd = fd;
	return rc;
}

static int
dial_connect(const struct access_place *place, int cancel_fd, int *ret_fd,
	     struct errmsg *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char port[16];
	int rc;

	snprintf(port, sizeof(port), "%d", place->port);
	rc = getaddrinfo(place->host, port, &hints, &list);
	if (rc != 0)
		return error_set(err, -ENOENT, "no address of %s: %s", place->host,
				 gai_strerror(rc));
	rc = -ENOENT;
	for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
		rc = dial_socket(at, cancel_fd, ret_fd);
		if (rc == 0 || rc == -ECANCELED)
			break;
	}
	freeaddrinfo(list);
	return rc < 0 ? error_set(err, rc, "%s", error_text(rc)) : 0;
}

/* ---- its first line ---- */

/* Up to its end, and no byte more: what follows may be TLS's. */
static int
dial_read_line(int fd, int cancel_fd, struct buf *line, struct errmsg *err)
{
	ms_t end = clock_mono_ms() + DIAL_MS;

	while (line->len < DIAL_INFO_BYTES_MAX) {
		char chunk[4096];
		const char *stop;
		ssize_t n;
		int rc = dial_wait(fd, POLLIN, end, cancel_fd);

		if (rc == -ETIMEDOUT)
			return error_set(
				err, rc,
				"something listens there and does not speak as a "
				"NATS server: it is another program, or hangs");
		if (rc < 0)
			return error_set(err, rc, "%s", error_text(rc));
		n = recv(fd, chunk, sizeof(chunk), MSG_PEEK);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return error_set(err, -ECONNRESET,
					 "the connection was closed without a word");
		stop = memchr(chunk, '\n', (size_t)n);
		if (stop != NULL)
			n = stop + 1 - chunk;
		n = recv(fd, chunk, (size_t)n, 0);
		buf_put(line, chunk, n > 0 ? (size_t)n : 0);
		if (stop != NULL)
			return 0;
		/* What is no NATS is told without waiting for its end. */
		if (line->len >= 5 && memcmp(line->data, "INFO ", 5) != 0 &&
		    memcmp(line->data, "-ERR ", 5) != 0)
			return 0;
	}
	return error_set(err, -OCF_ELIMIT, "its first line is over %d bytes",
			 DIAL_INFO_BYTES_MAX);
}

/* What it says, as far as a log can show it. */
static int
dial_refuse_line(const char *line, struct errmsg *err)
{
	char quoted[DIAL_QUOTED_BYTES + 1];
	size_t n = 0;

	if (strncmp(line, "-ERR ", 5) == 0) {
		line += 5 + strspn(line + 5, " '");
		return error_set(err, -OCF_EREFUSED, "it refuses: %.*s",
				 (int)strcspn(line, "'\r\n"), line);
	}
	for (; line[n] != '\0' && line[n] != '\r' && line[n] != '\n' &&
	       n < DIAL_QUOTED_BYTES;
	     n++)
		quoted[n] = line[n];
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)quoted[i]))
			quoted[i] = '?';
	quoted[n] = '\0';
	return error_set(err, -EPROTO, "this is no NATS server, it begins with \"%s\"",
			 quoted);
}

static int
dial_check_info(const json_t *info, bool wants_tls, struct errmsg *err)
{
	json_int_t payload = json_integer_value(json_object_get(info, "max_payload"));

	if (!json_is_object(info))
		return error_set(err, -EPROTO,
				 "this is no NATS server: its INFO is no "
				 "JSON");
	if (!json_is_true(json_object_get(info, "headers")))
		return error_set(err, -EPROTO,
				 "this NATS server takes no headers, which every query "
				 "has; it must be of version 2.2 or newer");
	if (payload < DIAL_PAYLOAD_BYTES_MIN)
		return error_set(err, -EPROTO,
				 "its max_payload is %" JSON_INTEGER_FORMAT
				 " bytes; queries need %d, so set max_payload: 1MB there",
				 payload, DIAL_PAYLOAD_BYTES_MIN);
	if (wants_tls && !json_is_true(json_object_get(info, "tls_required")) &&
	    !json_is_true(json_object_get(info, "tls_available")))
		return error_set(err, -EPROTO,
				 "TLS is wanted, and this NATS server offers none");
	return 0;
}

static int
dial_read_info(int fd, int cancel_fd, bool wants_tls, json_t **ret_info,
	       struct errmsg *err)
{
	struct buf line = BUF_INIT;
	json_t *info = NULL;
	const char *text;
	int rc = dial_read_line(fd, cancel_fd, &line, err);

	if (rc == 0) {
		text = buf_text(&line);
		if (strncmp(text, "INFO ", 5) == 0) {
			info = json_loads(text + 5, JSON_DISABLE_EOF_CHECK, NULL);
			rc = dial_check_info(info, wants_tls, err);
		} else {
			rc = dial_refuse_line(text, err);
		}
	}
	buf_fini(&line);
	if (rc < 0)
		json_decref(info);
	else
		*ret_info = info;
	return rc;
}

/* End a connection that was only to look, and hear what the server said behind its INFO, as
 * that it takes no more. It has seen the end when it has closed, too: else the next
 * connection may be one too many. */
static int
dial_part(int fd, int cancel_fd, struct errmsg *err)
{
	ms_t end = clock_mono_ms() + DIAL_PART_MS;
	struct buf said = BUF_INIT;
	const char *refusal;
	int rc = 0;

	shutdown(fd, SHUT_WR);
	while (rc == 0 && said.len < DIAL_INFO_BYTES_MAX) {
		char chunk[512];
		ssize_t n;

		rc = dial_wait(fd, POLLIN, end, cancel_fd);
		n = rc == 0 ? recv(fd, chunk, sizeof(chunk), 0) : 0;
		if (n <= 0)
			break;
		buf_put(&said, chunk, (size_t)n);
	}
	refusal = strstr(buf_text(&said), "-ERR ");
	rc = refusal != NULL ? dial_refuse_line(refusal, err) : rc == -ECANCELED ? rc : 0;
	buf_fini(&said);
	close(fd);
	return rc;
}

/* ---- TLS ---- */

static int
dial_tls_failed(const SSL *tls, const struct access_place *place, struct errmsg *err)
{
	long verify = SSL_get_verify_result(tls);
	unsigned long code = ERR_peek_last_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	if (verify == X509_V_ERR_HOSTNAME_MISMATCH ||
	    verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return error_set(err, -OCF_EREFUSED,
				 "TLS: its certificate is not one of %s", place->host);
	if (verify != X509_V_OK)
		return error_set(err, -OCF_EREFUSED,
				 "TLS: its certificate is refused: %s",
				 X509_verify_cert_error_string(verify));
	return error_set(err, -OCF_EREFUSED, "TLS: %s",
			 text != NULL ? text : "the connection was closed");
}

static int
dial_handshake(SSL *tls, int fd, const struct access_place *place, int cancel_fd,
	       struct errmsg *err)
{
	ms_t end = clock_mono_ms() + DIAL_MS;

	for (;;) {
		int rc, code;

		ERR_clear_error();
		rc = SSL_connect(tls);
		if (rc == 1)
			return 0;
		code = SSL_get_error(tls, rc);
		if (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE)
			return dial_tls_failed(tls, place, err);
		rc = dial_wait(fd, code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, end,
			       cancel_fd);
		if (rc < 0)
			return error_set(err, rc, "TLS: %s", error_text(rc));
	}
}

/* As nats.c is to see it: plain, and without other servers to try. */
static char *
dial_greeting(json_t *info)
{
	char *text, *line;

	json_object_set_new(info, "tls_required", json_false());
	json_object_del(info, "tls_verify");
	json_object_del(info, "tls_available");
	json_object_del(info, "connect_urls");
	text = json_dumps(info, JSON_COMPACT);
	line = mem_printf("INFO %s\r\n", text != NULL ? text : "{}");
	free(text);
	return line;
}

static int
dial_secure(const struct bus_access *access, const struct access_place *place, int fd,
	    int cancel_fd, json_t *info, struct bus_tunnel **ret_tunnel,
	    struct errmsg *err)
{
	SSL_CTX *ctx = NULL;
	SSL *tls;
	char *greeting;
	int rc = access_tls(access, &ctx, err);

	if (rc < 0) {
		close(fd);
		return rc;
	}
	tls = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (tls == NULL || SSL_set_fd(tls, fd) != 1)
		rc = error_set(err, -OCF_ECRYPTO, "no TLS for %s", place->host);
	else
		rc = access_tls_expect(tls, place->host, err);
	if (rc == 0)
		rc = dial_handshake(tls, fd, place, cancel_fd, err);
	if (rc < 0) {
		SSL_free(tls);
		close(fd);
		return rc;
	}
	greeting = dial_greeting(info);
	rc = bus_tunnel_open(tls, fd, bytes_text(greeting), ret_tunnel, err);
	free(greeting);
	return rc;
}

int
bus_dial(const struct bus_access *access, const struct access_place *place, int cancel_fd,
	 struct bus_tunnel **ret_tunnel, struct errmsg *err)
{
	json_t *info = NULL;
	int fd = -1, rc;

	*ret_tunnel = NULL;
	rc = dial_connect(place, cancel_fd, &fd, err);
	if (rc < 0)
		return rc;
	rc = dial_read_info(fd, cancel_fd, place->is_tls, &info, err);
	if (rc < 0)
		close(fd);
	else if (place->is_tls || json_is_true(json_object_get(info, "tls_required")))
		rc = dial_secure(access, place, fd, cancel_fd, info, ret_tunnel, err);
	else
		rc = dial_part(fd, cancel_fd, err);
	json_decref(info);
	return rc;
}
