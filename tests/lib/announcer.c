/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that do nothing but announce themselves, as many as are wanted on one connection:
 * a way to write rows at a node at any rate. A plain socket, nothing of ours.
 *
 *	announcer HOST:PORT BYTES	numeric IPv4: the node's bus
 *
 * A line on standard input is one announcement, published at once: "ID N" says that worker
 * ID is there, with metadata {"n":N,"pad":"…"} of so many bytes (0: without a pad); "ID gone"
 * says that it left. When the connection ends it connects again, and then, and whenever the
 * node asks (ocf.hello), announces again what each worker said last. A line that is told
 * while there is no connection is not lost by that. SIGTERM ends it, without a word of the
 * workers. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 16384,
	ID_BYTES_MAX = 64,
	N_BYTES_MAX = 24,
	PAD_BYTES_MAX = 4000,
	IN_BYTES_MAX = 64 * 1024,
	RECONNECT_MS = 50,
	HEARTBEAT_S = 3600, /* longer than any test */
};

struct worker {
	char id[ID_BYTES_MAX + 1];
	char n[N_BYTES_MAX + 1]; /* "gone": it left */
};

static struct worker workers[WORKERS_MAX];
static int workers_len;
static size_t metadata_bytes;
static struct sockaddr_in bus = { .sin_family = AF_INET };
static int fd = -1; /* the connection; -1: none */
static char in[IN_BYTES_MAX], lines[IN_BYTES_MAX];
static size_t in_len, lines_len;

static void
on_signal(int number)
{
	(void)number;
	_exit(0);
}

static void
announcer_die(const char *what)
{
	fprintf(stderr, "announcer: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- out ---- */

static void
announcer_hang_up(void)
{
	close(fd);
	fd = -1;
}

static void
announcer_put(const char *text, size_t len)
{
	while (len > 0 && fd >= 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			announcer_hang_up();
			return;
		}
		text += n;
		len -= (size_t)n;
	}
}

static void
announcer_publish(const struct worker *w)
{
	static char pad[PAD_BYTES_MAX + 1], body[PAD_BYTES_MAX + 512], head[64];
	bool is_gone = strcmp(w->n, "gone") == 0;
	const char *n_text = is_gone ? "0" : w->n;
	size_t bare = strlen("{\"n\":,\"pad\":\"\"}") + strlen(n_text);
	size_t pad_len = metadata_bytes > bare ? metadata_bytes - bare : 0;
	int body_len, head_len;

	memset(pad, 'x', pad_len);
	pad[pad_len] = '\0';
	body_len = snprintf(
		body, sizeof(body),
		"{\"v\":1,\"id\":\"%s\",\"service\":\"announced\",\"slots\":1,"
		"\"hb_s\":%d,\"status\":\"%s\",\"metadata\":{\"n\":%s,"
		"\"pad\":\"%s\"}}\r\n",
		w->id, HEARTBEAT_S, is_gone ? "disconnected" : "connected", n_text, pad);
	head_len = snprintf(head, sizeof(head), "PUB worker:status %d\r\n", body_len - 2);
	announcer_put(head, (size_t)head_len);
	announcer_put(body, (size_t)body_len);
}

static void
announcer_publish_all(void)
{
	for (int i = 0; i < workers_len; i++)
		if (strcmp(workers[i].n, "gone") != 0)
			announcer_publish(&workers[i]);
}

static void
announcer_dial(void)
{
	static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false,"
				    "\"name\":\"announcer\"}\r\nSUB ocf.hello 1\r\n";

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		announcer_die("socket");
	in_len = 0;
	if (connect(fd, (const void *)&bus, sizeof(bus)) != 0) {
		announcer_hang_up();
		return;
	}
	announcer_put(hello, sizeof(hello) - 1);
	announcer_publish_all();
}

/* ---- in ---- */

/* What the server says: only PING and a message of the one subscription matter. */
static void
announcer_take_in(void)
{
	ssize_t n = recv(fd, in + in_len, sizeof(in) - in_len, 0);
	char *end;

	if (n <= 0) {
		announcer_hang_up();
		return;
	}
	in_len += (size_t)n;
	while (fd >= 0 && (end = memmem(in, in_len, "\r\n", 2)) != NULL) {
		size_t used = (size_t)(end - in) + 2;

		if (strncmp(in, "PING", 4) == 0)
			announcer_put("PONG\r\n", 6);
		else if (strncmp(in, "MSG ", 4) == 0)
			announcer_publish_all();
		else if (strncmp(in, "-ERR", 4) == 0)
			fprintf(stderr, "announcer: %.*s\n", (int)used - 2, in);
		in_len -= used;
		memmove(in, in + used, in_len);
	}
	if (in_len == sizeof(in))
		announcer_hang_up();
}

static struct worker *
announcer_worker(const char *id)
{
	for (int i = 0; i < workers_len; i++)
		if (strcmp(workers[i].id, id) == 0)
			return &workers[i];
	if (workers_len == WORKERS_MAX) {
		errno = ENOSPC;
		announcer_die("workers");
	}
	snprintf(workers[workers_len].id, sizeof(workers[0].id), "%s", id);
	return &workers[workers_len++];
}

static void
announcer_obey(const char *line)
{
	char id[ID_BYTES_MAX + 1], n[N_BYTES_MAX + 1];
	struct worker *w;

	if (sscanf(line, "%64[A-Za-z0-9._-] %24[0-9gone]", id, n) != 2) {
		errno = EINVAL;
		announcer_die(line);
	}
	w = announcer_worker(id);
	snprintf(w->n, sizeof(w->n), "%s", n);
	if (fd >= 0)
		announcer_publish(w);
}

/* False: there is nobody any more who could say a line. */
static bool
announcer_read_lines(void)
{
	ssize_t n = read(STDIN_FILENO, lines + lines_len, sizeof(lines) - lines_len);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	lines_len += (size_t)n;
	while ((end = memchr(lines, '\n', lines_len)) != NULL) {
		size_t used = (size_t)(end - lines) + 1;

		*end = '\0';
		announcer_obey(lines);
		lines_len -= used;
		memmove(lines, lines + used, lines_len);
	}
	return lines_len < sizeof(lines);
}

static void
announcer_run(void)
{
	struct pollfd polls[2] = { { .fd = STDIN_FILENO, .events = POLLIN } };

	for (;;) {
		if (fd < 0)
			announcer_dial();
		polls[1] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (poll(polls, 2, fd < 0 ? RECONNECT_MS : -1) < 0 && errno != EINTR)
			announcer_die("poll");
		if (polls[1].revents != 0)
			announcer_take_in();
		if (polls[0].revents != 0 && !announcer_read_lines())
			polls[0].fd = -1;
	}
}

int
main(int argc, char **argv)
{
	char *colon = argc == 3 ? strrchr(argv[1], ':') : NULL, *end = NULL;

	if (colon != NULL)
		metadata_bytes = strtoul(argv[2], &end, 10);
	if (colon == NULL || *end != '\0' || metadata_bytes > PAD_BYTES_MAX) {
		fprintf(stderr, "usage: announcer HOST:PORT BYTES\n");
		return 2;
	}
	*colon = '\0';
	bus.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, argv[1], &bus.sin_addr) != 1) {
		errno = EINVAL;
		announcer_die(argv[1]);
	}
	signal(SIGTERM, on_signal);
	announcer_run();
	return 0;
}
