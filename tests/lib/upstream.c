/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server for tests of `ocf-worker --http`: it does what a test wants to see,
 * nice or not, one thread a connection.
 *
 * usage: upstream FOLDER PORT|unix:PATH [CERTIFICATE KEY]
 *
 * With PEM files of a certificate and its key it speaks TLS. Port 0: any. Once it listens
 * FOLDER/listen has its URL. Files in FOLDER tell it what to do; it goes on until it is killed.
 * The paths:
 *
 *	/echo           the body back, as it comes
 *	/request        the request's head, as text
 *	/file/NAME      FOLDER/NAME; /store/NAME writes the body there
 *	/later          reads the body when FOLDER/read is there; how many bytes it had
 *	/sse            event 1 at once, event i when FOLDER/go.i is there, up to ?3
 *	/drip           a few bytes again and again, until the client closes
 *	/hang           nothing, until the client closes
 *	/break, /broken N bytes (?N) and then the end, of a reply with a length, in chunks
 *	/status/NNN     that status; ?N: with Retry-After: N
 *	/slow/NNN       that status, and a byte of its body every 20 ms, until the client closes
 *	/headers        with several headers; /interim after two interim replies
 *	/large          a head of 40,000 bytes; /nothing: no reply; /garbage: no HTTP
 *	/refuse         413 without having read the body, and the end
 *	/close          a good reply, and then the connection is closed without a word of it
 *	/v1/models      FOLDER/models, or 404; /health: the status in FOLDER/health, or 200
 *	/stats          connections, requests, those being answered, those closed by clients */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	HEAD_BYTES_MAX = 64 * 1024,
	PIECE_BYTES = 64 * 1024,
	POLL_MS = 20, /* how often files are looked for */
};

struct client {
	int fd;
	SSL *tls;		       /* or NULL */
	char head[HEAD_BYTES_MAX + 1]; /* of the request, with its empty line */
	size_t head_len;
	char in[PIECE_BYTES]; /* read and not yet used */
	size_t in_len;
	char method[32], path[1024], query[1024];
	long long left; /* of the body or of its chunk */
	bool is_chunked, is_body_over;
	bool is_open; /* goes on after this reply */
};

static const char *folder;
static SSL_CTX *tls_context; /* NULL: no TLS */
static atomic_int connections, requests, active, closed;

static void
die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void
file_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", folder, name);
}

static bool
file_is_there(const char *name)
{
	char path[2048];

	file_name(path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

/* --- the client's bytes --- */

static bool
is_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, POLL_MS) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static ssize_t
client_send(struct client *c, const void *data, size_t len)
{
	if (c->tls != NULL)
		return SSL_write(c->tls, data,
				 len < PIECE_BYTES ? (int)len : PIECE_BYTES);
	return send(c->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t
client_recv(struct client *c, void *data, size_t size)
{
	if (c->tls != NULL)
		return SSL_read(c->tls, data, (int)size);
	return recv(c->fd, data, size, 0);
}

/* Wait for a file; false: the client has gone. */
static bool
wait_for(struct client *c, const char *name)
{
	while (!file_is_there(name))
		if (is_closed(c->fd))
			return false;
	return true;
}

static bool
put(struct client *c, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = client_send(c, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool put_text(struct client *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static bool
put_text(struct client *c, const char *fmt, ...)
{
	char text[8192];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return put(c, text, (size_t)len);
}

static bool
put_chunk(struct client *c, const void *data, size_t len)
{
	return put_text(c, "%zx\r\n", len) && put(c, data, len) && put(c, "\r\n", 2);
}

static bool
put_whole(struct client *c, int status, const char *type, const char *text)
{
	bool has_no_body = strcmp(c->method, "HEAD") == 0 || status == 204 ||
			   status == 304;

	return put_text(
		       c,
		       "HTTP/1.1 %d Told\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		       status, type, strlen(text)) &&
	       (has_no_body || put(c, text, strlen(text)));
}

static bool
fill(struct client *c)
{
	ssize_t n = client_recv(c, c->in + c->in_len, sizeof(c->in) - c->in_len);

	if (n <= 0)
		return false;
	c->in_len += (size_t)n;
	return true;
}

static void
drop(struct client *c, size_t len)
{
	memmove(c->in, c->in + len, c->in_len - len);
	c->in_len -= len;
}

/* A line without its end; false: the client has gone. */
static bool
get_line(struct client *c, char *line, size_t size)
{
	for (;;) {
		char *end = memchr(c->in, '\n', c->in_len);

		if (end != NULL) {
			size_t len = (size_t)(end - c->in);

			snprintf(line, size, "%.*s", (int)len, c->in);
			line[strcspn(line, "\r")] = '\0';
			drop(c, len + 1);
			return true;
		}
		if (c->in_len == sizeof(c->in) || !fill(c))
			return false;
	}
}

/* Some of the body; 0: its end, -1: the client has gone. */
static ssize_t
get_body(struct client *c, char *out, size_t size)
{
	char line[64];
	size_t n;

	if (c->is_body_over)
		return 0;
	if (c->is_chunked && c->left == 0) {
		if (!get_line(c, line, sizeof(line)))
			return -1;
		c->left = strtoll(line, NULL, 16);
		if (c->left == 0) {
			c->is_body_over = true;
			return get_line(c, line, sizeof(line)) ? 0 : -1;
		}
	}
	if (c->in_len == 0 && !fill(c))
		return -1;
	n = c->in_len < size ? c->in_len : size;
	if ((long long)n > c->left)
		n = (size_t)c->left;
	memcpy(out, c->in, n);
	drop(c, n);
	c->left -= (long long)n;
	if (c->left == 0 && c->is_chunked && !get_line(c, line, sizeof(line)))
		return -1;
	if (c->left == 0 && !c->is_chunked)
		c->is_body_over = true;
	return (ssize_t)n;
}

static bool
get_head(struct client *c)
{
	char line[HEAD_BYTES_MAX], *mark;

	c->head_len = 0;
	c->left = 0;
	c->is_chunked = false;
	c->is_open = true;
	do {
		if (!get_line(c, line, sizeof(line)) ||
		    c->head_len + strlen(line) + 1 > HEAD_BYTES_MAX)
			return false;
		c->head_len += (size_t)sprintf(c->head + c->head_len, "%s\n", line);
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			c->left = strtoll(line + 15, NULL, 10);
		if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
			c->is_chunked = true;
	} while (line[0] != '\0');
	c->is_body_over = !c->is_chunked && c->left == 0;
	if (sscanf(c->head, "%31s %1023s", c->method, c->path) != 2)
		return false;
	c->query[0] = '\0';
	mark = strchr(c->path, '?');
	if (mark != NULL) {
		snprintf(c->query, sizeof(c->query), "%s", mark + 1);
		*mark = '\0';
	}
	return true;
}

/* --- the paths --- */

static void
do_echo(struct client *c)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/x-echo\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	char data[16384];
	ssize_t n;

	c->is_open = put(c, head, sizeof(head) - 1);
	while (c->is_open && (n = get_body(c, data, sizeof(data))) != 0)
		c->is_open = n > 0 && put_chunk(c, data, (size_t)n);
	c->is_open = c->is_open && put(c, "0\r\n\r\n", 5);
}

static void
do_file(struct client *c)
{
	char path[2048], data[PIECE_BYTES];
	FILE *file;
	size_t n;

	file_name(path, sizeof(path), c->path + strlen("/file/"));
	file = fopen(path, "r");
	if (file == NULL) {
		c->is_open = put_whole(c, 404, "text/plain", "no such file\n");
		return;
	}
	fseek(file, 0, SEEK_END);
	c->is_open = put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n",
			      ftell(file));
	rewind(file);
	while (c->is_open && (n = fread(data, 1, sizeof(data), file)) > 0)
		c->is_open = put(c, data, n);
	if (!c->is_open)
		closed++;
	fclose(file);
}

static void
do_store(struct client *c, FILE *file)
{
	char data[PIECE_BYTES], text[64];
	long long len = 0;
	ssize_t n;

	while ((n = get_body(c, data, sizeof(data))) > 0) {
		len += n;
		if (file != NULL)
			fwrite(data, 1, (size_t)n, file);
	}
	if (file != NULL)
		fclose(file);
	if (n < 0)
		closed++;
	snprintf(text, sizeof(text), "%lld\n", len);
	c->is_open = n == 0 && put_whole(c, 200, "text/plain", text);
}

static void
do_sse(struct client *c)
{
	int events = c->query[0] != '\0' ? atoi(c->query) : 3;
	char name[32], event[64];

	c->is_open = put_text(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				 "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 1; c->is_open && i <= events; i++) {
		snprintf(name, sizeof(name), "go.%d", i);
		snprintf(event, sizeof(event), "data: %d\n\n", i);
		c->is_open = (i == 1 || wait_for(c, name)) &&
			     put_chunk(c, event, strlen(event));
	}
	if (c->is_open)
		c->is_open = put(c, "0\r\n\r\n", 5);
	else
		closed++;
}

static void
do_drip(struct client *c)
{
	put_text(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	while (put_chunk(c, "drip\n", 5) && !is_closed(c->fd))
		;
	closed++;
	c->is_open = false;
}

static void
do_hang(struct client *c)
{
	while (!is_closed(c->fd))
		;
	closed++;
	c->is_open = false;
}

static void
do_break(struct client *c, bool is_chunked)
{
	int len = atoi(c->query);
	char *data = calloc(1, (size_t)len + 1);

	memset(data, 'b', (size_t)len);
	put_text(c, "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		 is_chunked ? "Transfer-Encoding: chunked" : "Content-Length: 1000000");
	if (is_chunked)
		put_chunk(c, data, (size_t)len);
	else
		put(c, data, (size_t)len);
	free(data);
	c->is_open = false;
}

static void
do_status(struct client *c)
{
	int status = atoi(c->path + strlen("/status/"));
	char text[64];

	snprintf(text, sizeof(text), "it is %d\n", status);
	if (c->query[0] == '\0')
		c->is_open = put_whole(c, status, "text/plain", text);
	else
		c->is_open = put_text(c,
				      "HTTP/1.1 %d Told\r\nRetry-After: %s\r\n"
				      "Content-Length: %zu\r\n\r\n%s",
				      status, c->query, strlen(text), text);
}

static void
do_slow(struct client *c)
{
	c->is_open = put_text(c, "HTTP/1.1 %d Told\r\nContent-Length: 1000000\r\n\r\n",
			      atoi(c->path + strlen("/slow/")));
	while (put(c, "s", 1) && !is_closed(c->fd))
		;
	closed++;
	c->is_open = false;
}

static void
do_large(struct client *c)
{
	char value[400];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (int i = 0; i < 100; i++)
		put_text(c, "X-Large-%d: %s\r\n", i, value);
	put_text(c, "\r\n");
}

static void
do_models(struct client *c)
{
	char path[2048], text[65536];
	FILE *file;
	size_t n;

	file_name(path, sizeof(path), "models");
	file = fopen(path, "r");
	if (file == NULL) {
		c->is_open = put_whole(c, 404, "text/plain", "none\n");
		return;
	}
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	c->is_open = put_whole(c, 200, "application/json", text);
}

static void
do_health(struct client *c)
{
	char path[2048], text[16] = "200";
	FILE *file;

	file_name(path, sizeof(path), "health");
	file = fopen(path, "r");
	if (file != NULL) {
		if (fgets(text, sizeof(text), file) == NULL)
			text[0] = '\0';
		fclose(file);
	}
	c->is_open = put_whole(c, atoi(text), "text/plain", "health\n");
}

static void
do_stats(struct client *c)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"connections\":%d,\"requests\":%d,\"active\":%d,\"closed\":%d}\n",
		 connections, requests, active - 1, closed);
	c->is_open = put_whole(c, 200, "application/json", text);
}

static void
do_headers(struct client *c)
{
	c->is_open = put_text(
		c,
		"HTTP/1.1 201 Told\r\nContent-Type: text/x-told; charset=utf-8\r\n"
		"X-One: 1\r\nVARY: a\r\nVary: b\r\nConnection: keep-alive\r\n"
		"Keep-Alive: timeout=9\r\nSet-Cookie: secret=1\r\nX-Empty:\r\n"
		"Proxy-Authenticate: x\r\nContent-Length: 3\r\n\r\n%s",
		strcmp(c->method, "HEAD") == 0 ? "" : "yes");
}

static void
do_later(struct client *c)
{
	c->is_open = wait_for(c, "read");
	if (c->is_open)
		do_store(c, NULL);
	else
		closed++;
}

/* A reset would overtake the reply, so what comes is taken until the client ends, too. */
static void
do_refuse(struct client *c)
{
	put_whole(c, 413, "text/plain", "too much\n");
	shutdown(c->fd, SHUT_WR);
	while (client_recv(c, c->in, sizeof(c->in)) > 0)
		;
	c->is_open = false;
}

static FILE *
open_to_store(const struct client *c)
{
	char path[2048];

	file_name(path, sizeof(path), c->path + strlen("/store/"));
	return fopen(path, "w");
}

static bool
begins(const struct client *c, const char *prefix)
{
	return strncmp(c->path, prefix, strlen(prefix)) == 0;
}

/* A whole reply, and after so many milliseconds the end of the connection. */
static void
do_close(struct client *c)
{
	put_whole(c, 200, "text/plain", "bye\n");
	usleep((useconds_t)strtoul(c->query, NULL, 10) * 1000);
	c->is_open = false;
}

/* Those that leave the body unread, or end the connection, or both. */
static bool
answer_badly(struct client *c)
{
	if (begins(c, "/hang"))
		do_hang(c);
	else if (begins(c, "/drip"))
		do_drip(c);
	else if (begins(c, "/slow/"))
		do_slow(c);
	else if (begins(c, "/break"))
		do_break(c, false);
	else if (begins(c, "/broken"))
		do_break(c, true);
	else if (begins(c, "/nothing"))
		c->is_open = false;
	else if (begins(c, "/garbage"))
		c->is_open = put_text(c, "this is no HTTP\r\n\r\n") && false;
	else if (begins(c, "/refuse"))
		do_refuse(c);
	else if (begins(c, "/close"))
		do_close(c);
	else
		return false;
	return true;
}

static void
answer(struct client *c)
{
	if (answer_badly(c))
		return;
	if (begins(c, "/echo"))
		do_echo(c);
	else if (begins(c, "/request"))
		c->is_open = put_whole(c, 200, "text/plain", c->head);
	else if (begins(c, "/file/"))
		do_file(c);
	else if (begins(c, "/store/"))
		do_store(c, open_to_store(c));
	else if (begins(c, "/later"))
		do_later(c);
	else if (begins(c, "/sse"))
		do_sse(c);
	else if (begins(c, "/status/"))
		do_status(c);
	else if (begins(c, "/headers"))
		do_headers(c);
	else if (begins(c, "/interim"))
		c->is_open = put_text(c, "HTTP/1.1 100 Continue\r\nX-No: 1\r\n\r\n"
					 "HTTP/1.1 103 Early Hints\r\nX-No: 2\r\n\r\n") &&
			     put_whole(c, 200, "text/plain", "final\n");
	else if (begins(c, "/large"))
		do_large(c);
	else if (begins(c, "/v1/models"))
		do_models(c);
	else if (begins(c, "/health"))
		do_health(c);
	else if (begins(c, "/stats"))
		do_stats(c);
	else
		c->is_open = put_whole(c, 404, "text/plain", "no such path\n");
}

static void *
serve(void *arg)
{
	struct client *c = arg;
	char rest[PIECE_BYTES];
	ssize_t n = 0;

	if (c->tls != NULL && SSL_accept(c->tls) != 1)
		n = -1;
	while (n == 0 && get_head(c)) {
		requests++;
		active++;
		answer(c);
		active--;
		if (!c->is_open)
			break;
		while ((n = get_body(c, rest, sizeof(rest))) > 0)
			;
	}
	if (c->tls != NULL && n == 0)
		SSL_shutdown(c->tls);
	SSL_free(c->tls);
	close(c->fd);
	free(c);
	return NULL;
}

/* --- the listener --- */

static int
listen_socket(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("a unix socket");
	return fd;
}

static int
listen_port(const char *port, char *url, size_t size)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)atoi(port)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(at);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&at, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		die("a listener");
	snprintf(url, size, "%s://127.0.0.1:%d", tls_context != NULL ? "https" : "http",
		 ntohs(at.sin_port));
	return fd;
}

static void
say_listening(const char *url)
{
	char path[2048], part[2048];
	FILE *file;

	file_name(path, sizeof(path), "listen");
	file_name(part, sizeof(part), "listen.part");
	file = fopen(part, "w");
	if (file == NULL || fprintf(file, "%s\n", url) < 0 || fclose(file) != 0 ||
	    rename(part, path) != 0)
		die(path);
}

static void
load_certificate(const char *certificate, const char *key)
{
	tls_context = SSL_CTX_new(TLS_server_method());
	if (tls_context == NULL ||
	    SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1)
		die(certificate);
}

int
main(int argc, char **argv)
{
	char url[256];
	int fd, on = 1;

	if (argc != 3 && argc != 5) {
		fprintf(stderr,
			"usage: upstream FOLDER PORT|unix:PATH [CERTIFICATE KEY]\n");
		return EXIT_FAILURE;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc == 5)
		load_certificate(argv[3], argv[4]);
	folder = argv[1];
	snprintf(url, sizeof(url), "%s", argv[2]);
	fd = strncmp(argv[2], "unix:", 5) == 0 ? listen_socket(argv[2] + 5)
					       : listen_port(argv[2], url, sizeof(url));
	if (listen(fd, 128) != 0)
		die("listen");
	say_listening(url);
	for (;;) {
		struct client *c = calloc(1, sizeof(*c));
		pthread_t thread;

		c->fd = accept(fd, NULL, NULL);
		if (c->fd < 0)
			die("accept");
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (tls_context != NULL) {
			c->tls = SSL_new(tls_context);
			SSL_set_fd(c->tls, c->fd);
		}
		connections++;
		if (pthread_create(&thread, NULL, serve, c) != 0)
			die("a thread");
		pthread_detach(thread);
	}
}
