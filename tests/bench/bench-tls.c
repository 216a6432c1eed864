/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs that nobody can listen and nobody else gets in: bench-tls FOLDER. Two ends in
 * one process on one loop, over loopback, as the daemon joins them (net/stream.h), so that
 * figures of time are of both ends together. Baselines are the same streams without TLS, in
 * turns with it: an experiment, for between nodes there is no such thing. A JSON line each:
 *
 *   handshake  links opened and closed, one after the other: how many in a second on one
 *              core, processor time of one beside a plain one's, bytes of TLS either way
 *   rows       bytes on the wire for 1,024 of frames: rows one at a time, and pages of them
 *   check      rows of workers judged by the checker: signatures in a second on one core;
 *              the baseline is ident_verify() of a text of the same length
 *   query      one that is forwarded, and its reply with as long a body: QUERY_OPEN to the
 *              last REPLY_DATA, the other end answers at once; processor time, plain's beside
 *              it */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/bench.h"
#include "crdt/codec.h"
#include "ident/checker.h"
#include "mesh/mesh.h"
#include "mesh/wire.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
	HANDSHAKES = 300,
	PAGE_BYTES = 48 * 1024, /* of rows that a link is told when it comes up */
	ROW_BYTES = 300,	/* key and state of a worker's row, about */
	ROWS = 1000,
	CHECKS = 2000,
	WAIT_MS = 10000,
};

struct end {
	struct stream *stream;
	struct wire_reader reader;
	bool is_open, is_server;
	int replies; /* whole ones */
	uint64_t received;
};

struct world {
	struct loop *loop;
	struct identity *us, *them;
	struct tls *tls_us, *tls_them; /* NULL while the plain baseline is measured */
	struct listener *secure, *plain;
	struct end client, server;
};

static void
world_wait(struct world *w, const bool *done)
{
	double limit = bench_now() + WAIT_MS / 1000.0;

	while (!*done && bench_now() < limit)
		loop_turn(w->loop, 100);
	bench_must(*done ? 0 : -ETIMEDOUT, "nothing comes");
}

/* ---- the two ends */

/* What a worker would say at once: the body back. */
static void
end_answers(struct end *e, const struct wire_query *q)
{
	struct buf out = BUF_INIT;

	if (q->type == WIRE_QUERY_OPEN) {
		struct reply_head head = { .status = 200, .worker = (char *)"a-worker" };

		wire_put_query_word(&out, WIRE_QUERY_TAKEN, q->qid);
		wire_put_reply_head(&out, q->qid, &head);
	} else if (q->type == WIRE_QUERY_BODY) {
		wire_put_reply_data(&out, q->qid, q->data, q->is_last);
	}
	stream_write(e->stream, buf_bytes(&out));
	buf_fini(&out);
}

static size_t
end_on_data(void *arg, struct bytes data)
{
	struct end *e = arg;
	size_t len = data.len;
	struct wire_frame frame;
	struct wire_query q;

	e->received += len;
	while (wire_reader_next(&e->reader, &data, &frame) == 1) {
		if (!wire_type_is_query(frame.type))
			continue;
		bench_must(wire_read_query(&frame, &q), "a query frame");
		if (e->is_server)
			end_answers(e, &q);
		else
			e->replies += q.type == WIRE_REPLY_DATA && q.is_last;
		wire_query_fini(&q);
	}
	return len;
}

static void
end_on_open(void *arg)
{
	((struct end *)arg)->is_open = true;
}

static void
end_on_close(void *arg, int reason, const char *why)
{
	(void)arg;
	bench_must(reason, why);
}

static const struct stream_handler end_handler = { .on_open = end_on_open,
						   .on_data = end_on_data,
						   .on_close = end_on_close };

static void
end_begin(struct end *e, struct stream *s, bool is_server)
{
	*e = (struct end){ .stream = s, .is_server = is_server };
	wire_reader_init(&e->reader);
	e->reader.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	stream_set_handler(s, &end_handler, e);
}

static void
end_close(struct end *e)
{
	stream_close(e->stream);
	wire_reader_fini(&e->reader);
	*e = (struct end){ .stream = NULL };
}

static void
world_on_accept(void *arg, struct stream *s)
{
	end_begin(&((struct world *)arg)->server, s, true);
}

static void
world_link(struct world *w, bool is_tls)
{
	struct listener *l = is_tls ? w->secure : w->plain;

	end_begin(&w->client,
		  stream_dial(w->loop, listener_address(l), is_tls ? w->tls_us : NULL,
			      TLS_ALPN_PEER, &end_handler, &w->client, NULL),
		  false);
	world_wait(w, &w->client.is_open);
	world_wait(w, &w->server.is_open);
}

static void
world_unlink(struct world *w)
{
	end_close(&w->client);
	end_close(&w->server);
}

static void
world_open(struct world *w, const char *folder)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct key *key = key_generate();
	struct buf cert = BUF_INIT;

	*w = (struct world){ .loop = loop_new() };
	bench_must(identity_create(folder, &w->them, NULL), "an identity");
	key_public(key, public_key);
	cert_issue(w->them->ca_key, public_key, clock_wall_ms(), &cert);
	bench_must(identity_new_joined(key, buf_bytes(&cert),
				       buf_bytes(&w->them->ca_cert), BYTES_NONE, &w->us,
				       NULL),
		   "another identity");
	bench_must(tls_new(w->us, &w->tls_us, NULL), "TLS");
	bench_must(tls_new(w->them, &w->tls_them, NULL), "TLS");
	bench_must(listener_open(w->loop, "127.0.0.1:0", w->tls_them, 0, world_on_accept,
				 w, &w->secure, NULL),
		   "listening");
	bench_must(listener_open(w->loop, "127.0.0.1:0", NULL, 0, world_on_accept, w,
				 &w->plain, NULL),
		   "listening");
	buf_fini(&cert);
	key_free(key);
}

static void
world_close(struct world *w)
{
	listener_close(w->secure);
	listener_close(w->plain);
	tls_free(w->tls_us);
	tls_free(w->tls_them);
	identity_free(w->us);
	identity_free(w->them);
	loop_free(w->loop);
}

/* ---- handshakes */

/* Seconds of the processor, and by the clock, for one. */
static double
handshakes(struct world *w, bool is_tls, double *ret_wall)
{
	double cpu = bench_cpu(), wall = bench_now();

	for (int i = 0; i < HANDSHAKES; i++) {
		world_link(w, is_tls);
		world_unlink(w);
	}
	*ret_wall = (bench_now() - wall) / HANDSHAKES;
	return (bench_cpu() - cpu) / HANDSHAKES;
}

static void
bench_handshake(struct world *w)
{
	double tls[BENCH_RUNS], plain[BENCH_RUNS], wall[BENCH_RUNS], ignored;
	uint64_t received, sent;

	for (int i = 0; i < BENCH_RUNS; i++) {
		tls[i] = handshakes(w, true, &wall[i]);
		plain[i] = handshakes(w, false, &ignored);
	}
	world_link(w, true);
	stream_wire_bytes(w->client.stream, &received, &sent);
	world_unlink(w);
	bench_median(tls, BENCH_RUNS);
	bench_median(plain, BENCH_RUNS);
	printf("{\"bench\":\"tls\",\"what\":\"handshake\",\"per_s\":%.0f,\"cpu_us\":%.0f,"
	       "\"plain_cpu_us\":%.0f,\"ratio\":%.1f,",
	       1 / bench_median(wall, BENCH_RUNS), tls[BENCH_RUNS / 2] * 1e6,
	       plain[BENCH_RUNS / 2] * 1e6, tls[BENCH_RUNS / 2] / plain[BENCH_RUNS / 2]);
	printf("\"client_bytes\":%" PRIu64 ",\"server_bytes\":%" PRIu64 "}\n", sent,
	       received);
}

/* ---- rows on the wire */

/* Bytes on the wire for 1,024 of frames, of rows sent `page` bytes at a time. */
static double
rows_sent(struct world *w, size_t page)
{
	uint64_t received, before, after, frames = 0;
	struct buf rows = BUF_INIT, out = BUF_INIT;

	memset(buf_extend(&rows, page), 'r', page);
	stream_wire_bytes(w->client.stream, &received, &before);
	for (size_t left = (size_t)ROWS * ROW_BYTES; left >= page; left -= page) {
		bool is_there = false;

		buf_clear(&out);
		wire_put_rows(&out, WIRE_ROWS, buf_bytes(&rows));
		w->server.received = 0;
		stream_write(w->client.stream, buf_bytes(&out));
		while (!is_there) {
			loop_turn(w->loop, 100);
			is_there = w->server.received >= out.len;
		}
		frames += out.len;
	}
	stream_wire_bytes(w->client.stream, &received, &after);
	buf_fini(&rows);
	buf_fini(&out);
	return (double)(after - before) / (double)frames * 1024;
}

static void
bench_rows_sent(struct world *w)
{
	double one, page;

	world_link(w, true);
	one = rows_sent(w, ROW_BYTES);
	page = rows_sent(w, PAGE_BYTES);
	world_unlink(w);
	printf("{\"bench\":\"tls\",\"what\":\"rows\",\"row_bytes\":%d,"
	       "\"wire_per_kb\":%.0f,\"page_bytes\":%d,\"page_wire_per_kb\":%.0f}\n",
	       ROW_BYTES, one, PAGE_BYTES, page);
}

/* ---- signatures */

static int
whole_value(struct bytes value, struct buf *out)
{
	buf_put_bytes(out, value);
	return value.len > 0 ? 0 : -OCF_EMALFORMED;
}

/* A row of one version signed by `us`; what was signed is appended to `text`. */
static void
row_make(const struct world *w, const struct row_key *key, struct bytes value,
	 struct buf *text, uint8_t signature[ROW_SIGNATURE_BYTES], struct row *ret_row)
{
	const struct row none = ROW_INIT;
	struct version v;

	bench_must(
		version_next(&none, (struct dot){ .actor = 1, .seq = 1 }, 1, &value, &v),
		"a version");
	codec_put_signed(text, &w->us->cluster_id, key, &v, ident_sha256);
	ident_sign(w->us->node_key, buf_bytes(text), signature);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, ret_row);
}

static void
bench_check(struct world *w)
{
	struct checker *checker = checker_new(w->us, whole_value);
	double ours[BENCH_RUNS], bare[BENCH_RUNS];
	uint8_t signature[ROW_SIGNATURE_BYTES], value[250] = { 'v' };
	struct row_key key, node_key;
	struct buf text = BUF_INIT;
	struct row row, node;

	bench_must(row_key_make(&w->us->node_id, ROW_NODE, "", &node_key), "a key");
	bench_must(row_key_make(&w->us->node_id, ROW_WORKER, "1", &key), "a key");
	row_make(w, &node_key, buf_bytes(&w->us->node_cert), &text, signature, &node);
	bench_must(checker_check(checker, &node_key, &node), "a node row");
	buf_clear(&text);
	row_make(w, &key, bytes_of(value, sizeof(value)), &text, signature, &row);
	for (int i = 0; i < BENCH_RUNS; i++) {
		double start = bench_cpu();

		for (int j = 0; j < CHECKS; j++)
			bench_must(checker_check(checker, &key, &row), "a row");
		ours[i] = (bench_cpu() - start) / CHECKS;
		start = bench_cpu();
		for (int j = 0; j < CHECKS; j++)
			bench_must(ident_verify(w->us->node_public, buf_bytes(&text),
						signature)
					   ? 0
					   : -OCF_ESIGNATURE,
				   "a signature");
		bare[i] = (bench_cpu() - start) / CHECKS;
	}
	bench_median(bare, BENCH_RUNS);
	bench_median(ours, BENCH_RUNS);
	printf("{\"bench\":\"tls\",\"what\":\"check\",\"per_s\":%.0f,\"us\":%.1f,"
	       "\"verify_us\":%.1f,\"ratio\":%.2f}\n",
	       1 / ours[BENCH_RUNS / 2], ours[BENCH_RUNS / 2] * 1e6,
	       bare[BENCH_RUNS / 2] * 1e6, ours[BENCH_RUNS / 2] / bare[BENCH_RUNS / 2]);
	row_fini(&row);
	row_fini(&node);
	buf_fini(&text);
	checker_free(checker);
}

/* ---- queries */

static void
query_frames(uint64_t qid, size_t body, struct buf *out)
{
	struct query_head head = { .request_id = (char *)"0123456789abcdef",
				   .service = (char *)"llm",
				   .selector = (char *)"model=a-model",
				   .method = (char *)"POST",
				   .path = (char *)"/v1/chat/completions",
				   .content_type = (char *)"application/json",
				   .body_len = (int64_t)body,
				   .timeout_ms = MS_MINUTE };
	uint8_t part[LIMIT_PART_BYTES_MAX] = { 'b' };

	wire_put_query_open(out, qid, &head);
	while (body > 0) {
		size_t len = body < sizeof(part) ? body : sizeof(part);

		body -= len;
		wire_put_query_body(out, qid, bytes_of(part, len), body == 0);
	}
}

/* Seconds of the processor for one. */
static double
queries(struct world *w, bool is_tls, size_t body, int n)
{
	struct buf out = BUF_INIT;
	double cpu;

	world_link(w, is_tls);
	cpu = bench_cpu();
	for (int i = 0; i < n; i++) {
		buf_clear(&out);
		query_frames((uint64_t)i + 1, body, &out);
		stream_write(w->client.stream, buf_bytes(&out));
		while (w->client.replies <= i)
			loop_turn(w->loop, 100);
	}
	cpu = (bench_cpu() - cpu) / n;
	world_unlink(w);
	buf_fini(&out);
	return cpu;
}

static void
bench_query(struct world *w, size_t body, int n)
{
	double tls[BENCH_RUNS], plain[BENCH_RUNS];

	for (int i = 0; i < BENCH_RUNS; i++) {
		tls[i] = queries(w, true, body, n);
		plain[i] = queries(w, false, body, n);
	}
	bench_median(tls, BENCH_RUNS);
	bench_median(plain, BENCH_RUNS);
	printf("{\"bench\":\"tls\",\"what\":\"query\",\"body_bytes\":%zu,\"cpu_us\":%.1f,"
	       "\"plain_cpu_us\":%.1f,\"ratio\":%.2f}\n",
	       body, tls[BENCH_RUNS / 2] * 1e6, plain[BENCH_RUNS / 2] * 1e6,
	       tls[BENCH_RUNS / 2] / plain[BENCH_RUNS / 2]);
}

int
main(int argc, char **argv)
{
	char *folder = bench_folder(argc > 1 ? argv[1] : NULL, "them");
	struct world w;

	world_open(&w, folder);
	bench_handshake(&w);
	bench_rows_sent(&w);
	bench_check(&w);
	bench_query(&w, 200, 2000);
	bench_query(&w, 64 * 1024, 500);
	bench_query(&w, 800 * 1024, 50);
	world_close(&w);
	free(folder);
	return 0;
}
