/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server that does as little as one can: what `ocf-worker --http` is put in front of
 * in benches and tests of load, and what it is compared with:
 *
 *	bench-http-server [NAME=VALUE]…
 *
 * Its first line of output is where it listens. Every request is answered with its own body;
 * bodies have a Content-Length and are at most STREAM_INPUT_BYTES_MAX long, head included. At
 * once, and at a port of the kernel's choice, but for:
 *
 *	port=N    that one
 *	ms=N      each takes so long
 *	slots=N   of so many at a time (1); the others wait, first come first served
 *	log=FILE  a line for each that is begun, behind what is there: its first word
 *
 * GET /begun is answered with how many that were so far. SIGTERM ends it. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/mem.h"
#include "net/stream.h"

enum { WORD_MAX = 80 };

struct job {
	struct client *client; /* NULL: it has gone */
	struct loop_timer *timer;
	struct job *prev, *next; /* while it waits */
	size_t len;
	uint8_t body[];
};

struct client {
	struct stream *stream;
	struct job *job; /* of the request that is not answered */
};

static struct {
	struct loop *loop;
	struct job *waiting;
	int running, slots;
	long ms, begun;
	FILE *log;
	const char *port;
} server = { .slots = 1, .port = "0" };

static void
on_signal(int number)
{
	(void)number;
	_exit(0);
}

static void
client_answer(struct client *c, struct bytes body)
{
	char head[128];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 body.len);

	stream_write(c->stream, bytes_of(head, (size_t)n));
	stream_write(c->stream, body);
}

static void
request_note(struct bytes body)
{
	size_t n = 0;

	server.begun++;
	if (server.log == NULL)
		return;
	while (n < body.len && n < WORD_MAX && body.data[n] > ' ')
		n++;
	fprintf(server.log, "%.*s\n", (int)n, (const char *)body.data);
	fflush(server.log);
}

/* ---- requests that take a while ---- */

static void job_on_timer(void *arg);

static void
jobs_start(void)
{
	struct job *job;

	while ((job = server.waiting) != NULL && server.running < server.slots) {
		DL_DELETE(server.waiting, job);
		server.running++;
		request_note(bytes_of(job->body, job->len));
		job->timer = loop_timer_new(server.loop, job_on_timer, job);
		loop_timer_set(job->timer, server.ms);
	}
}

static void
job_on_timer(void *arg)
{
	struct job *job = arg;
	struct client *c = job->client;

	server.running--;
	if (c != NULL) {
		client_answer(c, bytes_of(job->body, job->len));
		c->job = NULL;
		stream_resume(c->stream);
	}
	loop_timer_free(job->timer);
	free(job);
	jobs_start();
}

static void
client_request(struct client *c, struct bytes body)
{
	struct job *job;

	if (server.ms == 0) {
		request_note(body);
		client_answer(c, body);
		return;
	}
	job = mem_calloc(1, sizeof(*job) + body.len);
	job->client = c;
	job->len = body.len;
	if (body.len > 0)
		memcpy(job->body, body.data, body.len);
	c->job = job;
	DL_APPEND(server.waiting, job);
	jobs_start();
}

/* ---- clients ---- */

/* The whole request at the beginning of `data`: its length, and its body; 0: not all of it. */
static size_t
request_len(struct bytes data, struct bytes *ret_body)
{
	const char *text = (const char *)data.data, *end, *field;
	size_t head_len, body_len = 0;

	end = data.len > 0 ? memmem(text, data.len, "\r\n\r\n", 4) : NULL;
	if (end == NULL)
		return 0;
	head_len = (size_t)(end - text) + 4;
	for (field = text; field < end; field++) {
		field = memchr(field, '\n', (size_t)(end - field));
		if (field == NULL)
			break;
		if (strncasecmp(field + 1, "content-length:", 15) == 0)
			body_len = strtoul(field + 16, NULL, 10);
	}
	if (data.len - head_len < body_len)
		return 0;
	*ret_body = bytes_of(data.data + head_len, body_len);
	return head_len + body_len;
}

static size_t
client_on_data(void *arg, struct bytes data)
{
	struct client *c = arg;
	size_t used = 0, len;
	struct bytes body;
	char text[32];

	while (c->job == NULL &&
	       (len = request_len(bytes_of(data.data + used, data.len - used), &body)) >
		       0) {
		if (len > 11 && memcmp(data.data + used, "GET /begun ", 11) == 0) {
			snprintf(text, sizeof(text), "%ld\n", server.begun);
			client_answer(c, bytes_text(text));
		} else {
			client_request(c, body);
		}
		used += len;
	}
	return used;
}

static void
client_on_close(void *arg, int reason, const char *why)
{
	struct client *c = arg;
	struct job *job = c->job;

	(void)reason, (void)why;
	stream_close(c->stream);
	free(c);
	if (job == NULL)
		return;
	job->client = NULL;
	if (job->timer != NULL)
		return; /* what was begun is done to its end */
	DL_DELETE(server.waiting, job);
	free(job);
}

static const struct stream_handler client_handler = { .on_data = client_on_data,
						      .on_close = client_on_close };

static void
server_on_accept(void *arg, struct stream *stream)
{
	struct client *c = mem_calloc(1, sizeof(*c));

	(void)arg;
	c->stream = stream;
	stream_set_handler(stream, &client_handler, c);
}

static bool
server_option(const char *text)
{
	if (strncmp(text, "ms=", 3) == 0)
		server.ms = strtol(text + 3, NULL, 10);
	else if (strncmp(text, "slots=", 6) == 0)
		server.slots = atoi(text + 6);
	else if (strncmp(text, "port=", 5) == 0)
		server.port = text + 5;
	else if (strncmp(text, "log=", 4) == 0)
		server.log = fopen(text + 4, "a");
	else
		return false;
	return server.ms >= 0 && server.slots > 0;
}

int
main(int argc, char **argv)
{
	struct listener *listener;
	struct errmsg err = { "" };
	char address[32];

	for (int i = 1; i < argc; i++)
		if (!server_option(argv[i])) {
			fprintf(stderr, "usage: bench-http-server [port=N] [ms=N] "
					"[slots=N] [log=FILE]\n");
			return 2;
		}
	server.loop = loop_new();
	signal(SIGTERM, on_signal);
	snprintf(address, sizeof(address), "127.0.0.1:%s", server.port);
	if (listener_open(server.loop, address, NULL, 0, server_on_accept, NULL,
			  &listener, &err) < 0) {
		fprintf(stderr, "bench-http-server: %s\n", err.text);
		return 1;
	}
	printf("%s\n", listener_address(listener));
	fflush(stdout);
	loop_run(server.loop);
	return 0;
}
