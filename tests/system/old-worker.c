/* SPDX-License-Identifier: Apache-2.0 */
/* A worker as it was written in 2023, on a plain socket: the NATS text protocol by hand, no
 * library, nothing of ours. It subscribes to what it serves in the queue group `workers`,
 * announces itself once and never again, and answers each query with
 * {"by":NAME,"got":BODY}. When the server goes, it connects to the same address again and
 * subscribes, without a word about itself, as the clients of that time do.
 *
 *	old-worker HOST:PORT NAME SERVICE [OPTION…]
 *	  --silent        announce nothing, not even once
 *	  --bad           announce what is no JSON; the worker serves all the same
 *	  --v1            announce v1 without slots every second: a minimal worker of today
 *	  --gpu NAME=FREE a gpu of 1,000 bytes, so many of them free
 *	  --mute          take queries and never answer
 *	  --count FILE    a line in FILE for each query
 *
 * SIGTERM: say "disconnected" and end, as the original's command line did. */
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
#include <time.h>
#include <unistd.h>

enum { BYTES_MAX = 1024 * 1024, RECONNECT_MS = 200, HEARTBEAT_MS = 1000 };

static volatile sig_atomic_t is_told_to_stop;

struct old_worker {
	const char *address, *name, *service, *gpu, *count;
	bool is_silent, is_bad, is_v1, is_mute;
	int fd;
	unsigned long long client_id; /* from INFO */
	bool was_announced;
	time_t announced_s;
	char in[BYTES_MAX];
	size_t in_len;
};

static void
on_signal(int number)
{
	(void)number;
	is_told_to_stop = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "old-worker: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* False: the connection is gone. */
static bool
put(const struct old_worker *w, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(w->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
publish(const struct old_worker *w, const char *subject, const char *body, size_t len)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "PUB %s %zu\r\n", subject, len);

	return put(w, head, (size_t)n) && put(w, body, len) && put(w, "\r\n", 2);
}

static bool
announce(const struct old_worker *w, const char *status)
{
	char text[1024], gpus[256] = "", more[128] = "";
	const char *end = w->is_bad ? "" : "}";

	if (w->gpu != NULL) {
		int name_len = (int)strcspn(w->gpu, "=");
		long memory_free = strtol(w->gpu + name_len + 1, NULL, 10);

		snprintf(gpus, sizeof(gpus),
			 "{\"name\":\"%.*s\",\"memory\":1000,\"memory_free\":%ld,"
			 "\"memory_used\":%ld}",
			 name_len, w->gpu, memory_free, 1000 - memory_free);
	}
	if (w->is_v1)
		snprintf(more, sizeof(more), ",\"v\":1,\"id\":\"%s\",\"hb_s\":1",
			 w->name);
	snprintf(text, sizeof(text),
		 "{\"service\":\"%s\",\"gpus\":[%s],\"client_id\":%llu,"
		 "\"status\":\"%s\",\"offering\":[]%s%s",
		 w->service, gpus, w->client_id, status, more, end);
	return publish(w, "worker:status", text, strlen(text));
}

static void
count(const struct old_worker *w, const char *body, size_t len)
{
	FILE *file = fopen(w->count, "a");

	if (file == NULL)
		die(w->count);
	fprintf(file, "%.*s\n", (int)len, body);
	fclose(file);
}

static bool
answer(const struct old_worker *w, const char *reply_to, const char *body, size_t len)
{
	size_t size = len + strlen(w->name) + 64;
	char *text;
	int n;
	bool ok;

	if (w->count != NULL)
		count(w, body, len);
	if (w->is_mute)
		return true;
	text = malloc(size);
	if (text == NULL)
		die("memory");
	n = snprintf(text, size, "{\"by\":\"%s\",\"got\":%.*s}", w->name, (int)len, body);
	ok = publish(w, reply_to, text, (size_t)n);
	free(text);
	return ok;
}

/* "MSG subject sid [reply] length", then the body. Returns the bytes used, 0: not all of it
 * has come, -1: the connection is of no use any more. */
static ssize_t
on_msg(const struct old_worker *w, size_t line_len)
{
	char line[4096], *words[6], *rest = line, *word, *end;
	size_t n = 0, len, head = line_len + 2;

	if (line_len >= sizeof(line))
		return -1;
	memcpy(line, w->in, line_len);
	line[line_len] = '\0';
	while ((word = strsep(&rest, " ")) != NULL && n < 6)
		if (word[0] != '\0')
			words[n++] = word;
	if (n < 4 || n > 5)
		return -1;
	len = strtoul(words[n - 1], &end, 10);
	if (*end != '\0' || len > BYTES_MAX - sizeof(line) - 4)
		return -1;
	if (w->in_len < head + len + 2)
		return 0;
	if (n == 5 && !answer(w, words[3], w->in + head, len))
		return -1;
	return (ssize_t)(head + len + 2);
}

/* One line of the server. As on_msg(). */
static ssize_t
on_line(struct old_worker *w)
{
	const char *end = memmem(w->in, w->in_len, "\r\n", 2), *id;
	size_t len;

	if (end == NULL)
		return w->in_len == sizeof(w->in) ? -1 : 0;
	len = (size_t)(end - w->in);
	if (strncmp(w->in, "MSG ", 4) == 0)
		return on_msg(w, len);
	if (strncmp(w->in, "INFO ", 5) == 0) {
		id = memmem(w->in, len, "\"client_id\":", 12);
		if (id != NULL)
			w->client_id = strtoull(id + 12, NULL, 10);
	} else if (strncmp(w->in, "PING", 4) == 0) {
		if (!put(w, "PONG\r\n", 6))
			return -1;
	} else if (strncmp(w->in, "-ERR", 4) == 0) {
		fprintf(stderr, "old-worker: %.*s\n", (int)len, w->in);
	}
	return (ssize_t)(len + 2);
}

/* What has come; false: the connection is gone. */
static bool
take_in(struct old_worker *w)
{
	ssize_t n = recv(w->fd, w->in + w->in_len, sizeof(w->in) - w->in_len, 0), used;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	w->in_len += (size_t)n;
	while (w->in_len > 0 && (used = on_line(w)) != 0) {
		if (used < 0)
			return false;
		w->in_len -= (size_t)used;
		memmove(w->in, w->in + used, w->in_len);
	}
	return true;
}

static bool
dial(struct old_worker *w)
{
	static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false,"
				    "\"lang\":\"by-hand\",\"name\":\"old-worker\"}\r\n";
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(w->address, ':');
	char host[64], sub[512];
	int n;

	if (colon == NULL) {
		errno = EINVAL;
		die(w->address);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - w->address), w->address);
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die(host);
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		die("socket");
	w->in_len = 0;
	w->client_id = 0;
	if (connect(w->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	while (w->client_id == 0)
		if (is_told_to_stop || !take_in(w))
			return false;
	n = snprintf(sub, sizeof(sub), "SUB %s workers 1\r\n", w->service);
	return put(w, hello, sizeof(hello) - 1) && put(w, sub, (size_t)n);
}

static time_t
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Until the connection ends or we are told to stop. */
static void
serve(struct old_worker *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	if (!w->is_silent && (!w->was_announced || w->is_v1)) {
		if (!announce(w, "connected"))
			return;
		w->was_announced = true;
		w->announced_s = now_s();
	}
	for (;;) {
		int n = poll(&p, 1, HEARTBEAT_MS);

		if (is_told_to_stop) {
			announce(w, "disconnected");
			return;
		}
		if (w->is_v1 && now_s() != w->announced_s) {
			w->announced_s = now_s();
			if (!announce(w, "connected"))
				return;
		}
		if (n > 0 && !take_in(w))
			return;
	}
}

static void
read_options(struct old_worker *w, char **arg)
{
	for (; *arg != NULL; arg++) {
		if (strcmp(*arg, "--silent") == 0) {
			w->is_silent = true;
		} else if (strcmp(*arg, "--bad") == 0) {
			w->is_bad = true;
		} else if (strcmp(*arg, "--v1") == 0) {
			w->is_v1 = true;
		} else if (strcmp(*arg, "--mute") == 0) {
			w->is_mute = true;
		} else if (strcmp(*arg, "--gpu") == 0 && arg[1] != NULL) {
			w->gpu = *++arg;
		} else if (strcmp(*arg, "--count") == 0 && arg[1] != NULL) {
			w->count = *++arg;
		} else {
			fprintf(stderr, "old-worker: %s?\n", *arg);
			exit(2);
		}
	}
}

int
main(int argc, char **argv)
{
	static struct old_worker w;
	struct sigaction action = { .sa_handler = on_signal };

	if (argc < 4) {
		fprintf(stderr, "usage: old-worker HOST:PORT NAME SERVICE [OPTION...]\n");
		return 2;
	}
	w.address = argv[1];
	w.name = argv[2];
	w.service = argv[3];
	read_options(&w, argv + 4);
	sigaction(SIGTERM, &action, NULL);
	while (!is_told_to_stop) {
		if (dial(&w))
			serve(&w);
		close(w.fd);
		if (!is_told_to_stop)
			poll(NULL, 0, RECONNECT_MS);
	}
	return 0;
}
