/* SPDX-License-Identifier: Apache-2.0 */
/* Asks an HTTP server as fast as it answers:
 *
 *	bench-http-load HOST:PORT PATH CLIENTS SECONDS
 *
 * CLIENTS connections, kept alive, each with one POST of 256 bytes at a time. One line:
 * requests in a second, the median and the 99th percentile of their times in microseconds,
 * our own processor time for each. Any reply but 200 with a body of 256 bytes ends it with an
 * error. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "bench/histogram.h"
#include "net/stream.h"

enum { BODY_BYTES = 256, CLIENTS_MAX = 1000 };

struct load {
	struct loop *loop;
	struct histogram times;
	double until;
	int flying;
	char request[512];
	size_t request_len;
};

struct client {
	struct load *load;
	struct stream *stream;
	double sent;
};

static double
now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
die(const char *what, struct bytes more)
{
	fprintf(stderr, "bench-http-load: %s\n%.*s\n", what, (int)more.len,
		more.len > 0 ? (const char *)more.data : "");
	exit(1);
}

static void
client_ask(struct client *c)
{
	c->load->flying++;
	c->sent = now(CLOCK_MONOTONIC);
	stream_write(c->stream, bytes_of(c->load->request, c->load->request_len));
}

static bool
head_has(const char *head, size_t len, const char *field, const char **ret_value)
{
	size_t n = strlen(field);

	for (size_t i = 0; i + n < len; i++)
		if (head[i] == '\n' && strncasecmp(head + i + 1, field, n) == 0) {
			*ret_value = head + i + 1 + n;
			return true;
		}
	return false;
}

/* Chunks up to the empty one: their bytes, and the length of all of it; 0: not all. */
static size_t
chunks_len(const char *p, size_t len, size_t *ret_body)
{
	size_t at = 0, body = 0, n;
	char *end;

	for (;;) {
		if (memmem(p + at, len - at, "\r\n", 2) == NULL)
			return 0;
		n = strtoul(p + at, &end, 16);
		at = (size_t)(end - p) + 2 + n + 2;
		if (at > len)
			return 0;
		body += n;
		if (n == 0)
			break;
	}
	*ret_body = body;
	return at;
}

/* The length of the reply at the beginning of `data`; 0: not all of it. */
static size_t
reply_len(struct bytes data)
{
	const char *text = (const char *)data.data, *value = NULL;
	const char *end = data.len > 0 ? memmem(text, data.len, "\r\n\r\n", 4) : NULL;
	size_t head_len, body = 0, len;

	if (end == NULL)
		return 0;
	head_len = (size_t)(end - text) + 4;
	if (strncmp(text, "HTTP/1.1 200 ", 13) != 0)
		die("not answered with 200:", data);
	if (head_has(text, head_len, "content-length:", &value)) {
		body = strtoul(value, NULL, 10);
		len = head_len + body;
		if (len > data.len)
			return 0;
	} else {
		len = chunks_len(end + 4, data.len - head_len, &body);
		if (len == 0)
			return 0;
		len += head_len;
	}
	if (body != BODY_BYTES)
		die("a body of another length:", data);
	return len;
}

static size_t
client_on_data(void *arg, struct bytes data)
{
	struct client *c = arg;
	struct load *load = c->load;
	size_t len = reply_len(data);
	double at = now(CLOCK_MONOTONIC);

	if (len == 0)
		return 0;
	load->flying--;
	histogram_add(&load->times, at - c->sent);
	if (at < load->until)
		client_ask(c);
	else if (load->flying == 0)
		loop_stop(load->loop);
	return len;
}

static void
client_on_close(void *arg, int reason, const char *why)
{
	(void)arg, (void)reason;
	die(why, BYTES_NONE);
}

static const struct stream_handler client_handler = { .on_data = client_on_data,
						      .on_close = client_on_close };

int
main(int argc, char **argv)
{
	struct load *load = mem_calloc(1, sizeof(*load));
	int clients = argc == 5 ? atoi(argv[3]) : 0;
	double seconds = argc == 5 ? strtod(argv[4], NULL) : 0, start, cpu;
	char body[BODY_BYTES + 1];
	struct client *c;

	if (clients < 1 || clients > CLIENTS_MAX || seconds <= 0) {
		fprintf(stderr,
			"usage: bench-http-load HOST:PORT PATH CLIENTS (1-%d) "
			"SECONDS\n",
			CLIENTS_MAX);
		return 2;
	}
	memset(body, 'b', BODY_BYTES);
	body[BODY_BYTES] = '\0';
	load->request_len = (size_t)snprintf(
		load->request, sizeof(load->request),
		"POST %.100s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
		"Content-Length: %d\r\n\r\n%s",
		argv[2], BODY_BYTES, body);
	load->loop = loop_new();
	start = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	load->until = start + seconds;
	c = mem_calloc((size_t)clients, sizeof(*c));
	for (int i = 0; i < clients; i++) {
		c[i].load = load;
		c[i].stream = stream_dial(load->loop, argv[1], NULL, NULL,
					  &client_handler, &c[i], NULL);
		client_ask(&c[i]);
	}
	loop_run(load->loop);
	printf("%.0f %.0f %.0f %.1f\n",
	       (double)load->times.n / (now(CLOCK_MONOTONIC) - start),
	       histogram_us(&load->times, 0.5), histogram_us(&load->times, 0.99),
	       (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)load->times.n);
	for (int i = 0; i < clients; i++)
		stream_close(c[i].stream);
	loop_free(load->loop);
	free(c);
	free(load);
	return 0;
}
