/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that rest, for bench-http.sh:
 *
 *	bench-http-idle HOST:PORT CONNECTIONS
 *
 * Each asks for /healthz once. When all have their replies, a line «ready»; when standard input
 * ends, so do they. Any reply but 200 and any connection that is closed ends it with an error. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/stream.h"

enum { CONNECTIONS_MAX = 100000, AT_ONCE_MAX = 64 };

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct crowd {
	struct loop *loop;
	const char *address;
	struct client *clients;
	int len, opened, answered;
};

struct client {
	struct crowd *crowd;
	struct stream *stream;
};

static void crowd_open(struct crowd *crowd);

static void
die(const char *what)
{
	fprintf(stderr, "bench-http-idle: %s\n", what);
	exit(1);
}

static void
crowd_input_over(void *arg, int ready)
{
	struct crowd *crowd = arg;
	char rest[64];

	(void)ready;
	if (read(STDIN_FILENO, rest, sizeof(rest)) <= 0)
		loop_stop(crowd->loop);
}

static size_t
client_on_data(void *arg, struct bytes data)
{
	struct client *c = arg;
	struct crowd *crowd = c->crowd;

	/* The reply's body is its end. */
	if (data.len < 16 || memcmp(data.data + data.len - 3, "ok\n", 3) != 0)
		return 0;
	if (memcmp(data.data, "HTTP/1.1 200 ", 13) != 0)
		die("not answered with 200");
	crowd->answered++;
	if (crowd->answered == crowd->len) {
		puts("ready");
		fflush(stdout);
	}
	crowd_open(crowd);
	return data.len;
}

static void
client_on_close(void *arg, int reason, const char *why)
{
	(void)arg, (void)reason;
	die(why);
}

static const struct stream_handler client_handler = { .on_data = client_on_data,
						      .on_close = client_on_close };

/* A few at a time: the server's queue of connections that it has not accepted is short. */
static void
crowd_open(struct crowd *crowd)
{
	while (crowd->opened < crowd->len &&
	       crowd->opened - crowd->answered < AT_ONCE_MAX) {
		struct client *c = &crowd->clients[crowd->opened++];

		c->crowd = crowd;
		c->stream = stream_dial(crowd->loop, crowd->address, NULL, NULL,
					&client_handler, c, NULL);
		stream_write(c->stream, bytes_text(request));
	}
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { .len = argc == 3 ? atoi(argv[2]) : 0 };
	struct loop_watch *input;
	struct rlimit files;

	if (crowd.len < 1 || crowd.len > CONNECTIONS_MAX) {
		fprintf(stderr, "usage: bench-http-idle HOST:PORT CONNECTIONS (1-%d)\n",
			CONNECTIONS_MAX);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	crowd.loop = loop_new();
	crowd.address = argv[1];
	crowd.clients = mem_calloc((size_t)crowd.len, sizeof(*crowd.clients));
	input = loop_watch_new(crowd.loop, STDIN_FILENO, crowd_input_over, &crowd);
	loop_watch_set(input, LOOP_READ);
	crowd_open(&crowd);
	loop_run(crowd.loop);
	loop_watch_free(input);
	for (int i = 0; i < crowd.opened; i++)
		stream_close(crowd.clients[i].stream);
	loop_free(crowd.loop);
	free(crowd.clients);
	return 0;
}
