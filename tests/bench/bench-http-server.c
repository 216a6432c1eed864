/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server that does as little as one can: what `ocf-worker --http` is put in front of
 * in the benches, and what it is compared with. bench-http-server: listens on a port of the
 * kernel's choice, which is its only line of output. Every request is answered with its own
 * body; bodies have a Content-Length and are at most STREAM_INPUT_BYTES_MAX long, head
 * included. SIGTERM ends it. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/stream.h"

struct client {
	struct stream *stream;
};

static void
on_signal(int number)
{
	(void)number;
	_exit(0);
}

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
	char head[128];

	while ((len = request_len(bytes_of(data.data + used, data.len - used), &body)) >
	       0) {
		int n = snprintf(head, sizeof(head),
				 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
				 "Content-Length: %zu\r\n\r\n",
				 body.len);

		stream_write(c->stream, bytes_of(head, (size_t)n));
		stream_write(c->stream, body);
		used += len;
	}
	return used;
}

static void
client_on_close(void *arg, int reason, const char *why)
{
	struct client *c = arg;

	(void)reason, (void)why;
	stream_close(c->stream);
	free(c);
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

int
main(void)
{
	struct loop *loop = loop_new();
	struct listener *listener;
	struct errmsg err = { "" };

	signal(SIGTERM, on_signal);
	if (listener_open(loop, "127.0.0.1:0", NULL, 0, server_on_accept, NULL, &listener,
			  &err) < 0) {
		fprintf(stderr, "bench-http-server: %s\n", err.text);
		return 1;
	}
	printf("%s\n", listener_address(listener));
	fflush(stdout);
	loop_run(loop);
	return 0;
}
