/* SPDX-License-Identifier: Apache-2.0 */
/* A member of a cluster that says whatever a test tells it to: it has a valid identity (the
 * data folder of a node that does not run), opens a link to another node, answers HELLO, and
 * is then a bridge between frames and lines. A line in, "TYPE FLAGS HEX" with decimal type,
 * hexadecimal flags and payload, is sent as a frame; "raw HEX" as bytes. Each frame that
 * comes is a line out, in the same form; the last line is "closed WHY".
 *
 * usage: member DATA-DIR ADDRESS [ROWS [NAME=VALUE]…]
 *
 * ROWS: how many it claims to hold (10). The others make its HELLO another one than is right:
 *	node=HEX, cluster=HEX, retention=MS, rows-per-node=N, format=N, protocol=N
 *	clock=MS   its clock is so far ahead
 *	pad=BYTES  so many zeros behind it
 *	times=N    it is sent so often; 0: never
 * and not in HELLO:
 *	alpn=NAME  the protocol that it wants in TLS */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "mesh/wire.h"
#include "net/stream.h"
#include "net/tls.h"

struct member {
	struct loop *loop;
	struct identity *identity;
	struct stream *stream;
	struct wire_reader reader;
	struct buf input; /* lines not whole yet */
	struct loop_watch *watch;
	uint64_t rows;
	char **lies; /* NAME=VALUE, NULL at the end */
};

static void
member_die(const char *what, const char *why)
{
	fprintf(stderr, "member: %s: %s\n", what, why);
	exit(2);
}

/* The value of an argument, or NULL. */
static const char *
member_lie(const struct member *m, const char *name)
{
	size_t len = strlen(name);

	for (char **lie = m->lies; *lie != NULL; lie++)
		if (strncmp(*lie, name, len) == 0 && (*lie)[len] == '=')
			return *lie + len + 1;
	return NULL;
}

static long long
member_lie_number(const struct member *m, const char *name, long long otherwise)
{
	const char *value = member_lie(m, name);

	return value != NULL ? strtoll(value, NULL, 10) : otherwise;
}

static void
member_lie_id(const struct member *m, const char *name, struct id *id)
{
	const char *value = member_lie(m, name);

	if (value != NULL && id_parse(value, id) != 0)
		member_die(name, "is no id");
}

static void
member_lie_in(const struct member *m, struct wire_hello *h)
{
	member_lie_id(m, "node", &h->node);
	member_lie_id(m, "cluster", &h->cluster);
	h->retention_ms = member_lie_number(m, "retention", h->retention_ms);
	h->rows_per_node = (uint32_t)member_lie_number(m, "rows-per-node",
						       h->rows_per_node);
	h->format = (uint16_t)member_lie_number(m, "format", h->format);
	h->protocol_min = h->protocol_max = (uint16_t)member_lie_number(m, "protocol",
									h->protocol_max);
	h->wall_ms += member_lie_number(m, "clock", 0);
}

/* Whatever the other side says of the cluster is right; our table is another one. */
static void
member_greet(struct member *m, struct bytes payload)
{
	struct buf out = BUF_INIT;
	struct wire_hello h;
	size_t pad;

	if (wire_read_hello(payload, &h) != 0)
		member_die("HELLO", "cannot be read");
	h.node = m->identity->node_id;
	h.life = h.incarnation = 1;
	h.root.hi ^= 1;
	h.rows = m->rows;
	h.held_status = WIRE_STATUS_UNKNOWN;
	h.held_incarnation = 0;
	h.address[0] = '\0';
	member_lie_in(m, &h);
	wire_put_hello(&out, &h);
	pad = (size_t)member_lie_number(m, "pad", 0);
	memset(buf_extend(&out, pad), 0, pad);
	put_be16(out.data, (uint16_t)(out.len - WIRE_HEADER_BYTES));
	for (long long i = member_lie_number(m, "times", 1); i > 0; i--)
		stream_write(m->stream, buf_bytes(&out));
	buf_fini(&out);
	m->reader.payload_max = WIRE_PAYLOAD_BYTES_MAX;
}

static void
member_print(const struct wire_frame *f)
{
	char *hex = mem_alloc(2 * f->payload.len + 1);

	printf("%d %02x %s\n", f->type, f->flags,
	       hex_encode(f->payload.data, f->payload.len, hex));
	fflush(stdout);
	free(hex);
}

static size_t
member_on_data(void *arg, struct bytes data)
{
	struct member *m = arg;
	size_t len = data.len;
	struct wire_frame f;
	int rc;

	while ((rc = wire_reader_next(&m->reader, &data, &f)) == 1) {
		if (f.type == WIRE_HELLO)
			member_greet(m, f.payload);
		member_print(&f);
	}
	if (rc < 0)
		member_die("a frame", "too long");
	return len;
}

static void
member_on_close(void *arg, int reason, const char *why)
{
	struct member *m = arg;

	(void)reason;
	printf("closed %s\n", why);
	fflush(stdout);
	loop_stop(m->loop);
}

static void
member_say(struct member *m, char *line)
{
	char *type = strtok_r(line, " ", &line), *flags, *hex;
	struct buf out = BUF_INIT, payload = BUF_INIT;
	size_t len;

	if (type == NULL)
		return;
	flags = strcmp(type, "raw") == 0 ? type : strtok_r(NULL, " ", &line);
	hex = strtok_r(NULL, " ", &line);
	len = hex != NULL ? strlen(hex) / 2 : 0;
	if (flags == NULL ||
	    (len > 0 && hex_decode(hex, buf_extend(&payload, len), len) != 0))
		member_die("a line", "is not TYPE FLAGS HEX");
	if (flags == type)
		buf_put_bytes(&out, buf_bytes(&payload));
	else
		wire_put_frame(&out, (uint8_t)strtoul(type, NULL, 10),
			       (uint8_t)strtoul(flags, NULL, 16), buf_bytes(&payload));
	stream_write(m->stream, buf_bytes(&out));
	buf_fini(&out);
	buf_fini(&payload);
}

static void
member_on_input(void *arg, int ready)
{
	struct member *m = arg;
	char chunk[65536], *end;
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		loop_stop(m->loop);
		return;
	}
	buf_put(&m->input, chunk, (size_t)n);
	while (m->input.len > 0 &&
	       (end = memchr(m->input.data, '\n', m->input.len)) != NULL) {
		size_t len = (size_t)(end - (char *)m->input.data);

		*end = '\0';
		member_say(m, (char *)m->input.data);
		buf_drop(&m->input, len + 1);
	}
}

int
main(int argc, char **argv)
{
	static const struct stream_handler handler = { .on_data = member_on_data,
						       .on_close = member_on_close };
	struct errmsg err = { "" };
	struct member m = { .rows = 10 };
	struct tls *tls = NULL;
	const char *alpn;

	if (argc < 3)
		member_die("usage", "member DATA-DIR ADDRESS [ROWS]");
	if (argc > 3)
		m.rows = strtoull(argv[3], NULL, 10);
	m.lies = argv + (argc > 3 ? 4 : 3);
	alpn = member_lie(&m, "alpn");
	if (identity_load(argv[1], &m.identity, &err) != 0 ||
	    tls_new(m.identity, &tls, &err) != 0)
		member_die(argv[1], err.text);
	m.loop = loop_new();
	wire_reader_init(&m.reader);
	m.stream = stream_dial(m.loop, argv[2], tls, alpn != NULL ? alpn : TLS_ALPN_PEER,
			       &handler, &m, &err);
	if (m.stream == NULL)
		member_die(argv[2], err.text);
	m.watch = loop_watch_new(m.loop, STDIN_FILENO, member_on_input, &m);
	loop_watch_set(m.watch, LOOP_READ);
	loop_run(m.loop);
	loop_watch_free(m.watch);
	stream_close(m.stream);
	wire_reader_fini(&m.reader);
	buf_fini(&m.input);
	tls_free(tls);
	loop_free(m.loop);
	identity_free(m.identity);
	return 0;
}
