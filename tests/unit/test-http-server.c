/* SPDX-License-Identifier: Apache-2.0 */
/* The server over real sockets, driven by clients that do as they like. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "http/server.h"
#include "lib/tap.h"
#include "net/stream.h"
#include "unit/http-raw.h"

#define H "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

enum { BIG_BYTES = 16 * 1024 * 1024, BODY_MAX = 8 * 1024 * 1024 };

/* One server, and what it saw. */
struct bench {
	struct loop *loop;
	struct http_server *server;
	struct raw raw; /* one client */
	struct raw_reply reply;
	struct http_exchange *last; /* running */
	bool was_aborted;
	bool saw_smuggled;
	size_t body_len; /* received, all requests */
	size_t pending_max;
	int refused;
};

/* One exchange of the bench's owner. */
struct job {
	struct bench *bench;
	struct http_exchange *x;
	struct loop_timer *timer;
	size_t left;
};

static void
job_free(struct job *job)
{
	job->bench->last = NULL;
	loop_timer_free(job->timer);
	free(job);
}

static void
job_reply(struct job *job, const char *text)
{
	http_reply_full(job->x, 200, NULL, bytes_text(text));
	job_free(job);
}

static void
job_pump(struct job *job)
{
	static uint8_t block[65536];
	size_t pending = 0;

	while (job->left > 0 && pending < 4 * sizeof(block)) {
		size_t n = job->left < sizeof(block) ? job->left : sizeof(block);

		memset(block, 'a' + (int)(job->left / sizeof(block) % 26), sizeof(block));
		pending = http_reply_data(job->x, bytes_of(block, n));
		job->left -= n;
		if (pending > job->bench->pending_max)
			job->bench->pending_max = pending;
	}
	if (job->left == 0) {
		http_reply_end(job->x);
		job_free(job);
	}
}

static void
job_on_body(void *arg, struct bytes data, bool is_last)
{
	struct job *job = arg;
	const char *target = http_exchange_head(job->x)->target;
	char text[32];

	job->bench->body_len += data.len;
	job->left += data.len;
	if (strcmp(target, "/echo") == 0) {
		if (!http_reply_has_begun(job->x))
			http_reply_begin(job->x, 200, NULL, -1);
		http_reply_data(job->x, data);
		if (is_last) {
			http_reply_end(job->x);
			job_free(job);
		}
	} else if (!is_last || strcmp(target, "/wait") == 0) {
		return;
	} else if (strcmp(target, "/later") == 0) {
		loop_timer_set(job->timer, 30);
	} else if (strcmp(target, "/big") == 0) {
		http_reply_begin(job->x, 200, NULL, -1);
		job->left = BIG_BYTES;
		job_pump(job);
	} else if (strcmp(target, "/cut") == 0) {
		http_reply_begin(job->x, 200, NULL, -1);
		http_reply_data(job->x, bytes_text("half of "));
		http_reply_abort(job->x);
		job_free(job);
	} else if (strcmp(target, "/204") == 0) {
		http_reply_full(job->x, 204, NULL, BYTES_NONE);
		job_free(job);
	} else {
		snprintf(text, sizeof(text), "%zu bytes", job->left);
		job_reply(job, text);
	}
}

static void
job_on_drain(void *arg)
{
	struct job *job = arg;

	if (strcmp(http_exchange_head(job->x)->target, "/big") == 0)
		job_pump(job);
}

static void
job_on_abort(void *arg)
{
	struct job *job = arg;

	job->bench->was_aborted = true;
	job_free(job);
}

static void
job_on_timer(void *arg)
{
	job_reply(arg, "later");
}

static void
bench_on_request(void *arg, struct http_exchange *x, const struct http_head *head)
{
	static const struct http_handler handler = {
		.on_body = job_on_body,
		.on_drain = job_on_drain,
		.on_abort = job_on_abort,
	};
	struct bench *b = arg;
	struct http_fields bad = { 0 };
	struct job *job;

	if (strcmp(head->target, "/smuggled") == 0)
		b->saw_smuggled = true;
	if (strcmp(head->target, "/early") == 0) {
		http_reply_problem(x, 403, "not this");
		return;
	}
	if (strcmp(head->target, "/inject") == 0) {
		http_fields_add(&bad, "x-a", "1\r\nX-B: 2");
		CU_ASSERT_EQUAL(http_reply_begin(x, 200, &bad, 0), -EINVAL);
		http_reply_problem(x, 502, "a bad header");
		return;
	}
	job = mem_calloc(1, sizeof(*job));
	job->bench = b;
	job->x = x;
	job->timer = loop_timer_new(b->loop, job_on_timer, job);
	b->last = x;
	http_exchange_set_handler(x, &handler, job);
	if (strcmp(head->target, "/paused") == 0)
		http_body_pause(x);
}

static void
bench_on_refused(void *arg, int status)
{
	((struct bench *)arg)->refused = status;
}

static void
bench_connect(struct bench *b)
{
	raw_open(&b->raw, b->loop, http_server_address(b->server, 1));
}

static void
bench_open(struct bench *b, struct http_server_config config)
{
	struct errmsg err;
	int rc;

	*b = (struct bench){ .loop = loop_new() };
	config.loop = b->loop;
	config.on_request = bench_on_request;
	config.on_refused = bench_on_refused;
	config.arg = b;
	config.name = "ocf/test";
	config.body_max = BODY_MAX;
	if (config.linger_ms == 0)
		config.linger_ms = 100;
	b->server = http_server_new(&config);
	rc = http_server_listen(b->server, "127.0.0.1:0", NULL, 0, 1, &err);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	bench_connect(b);
}

static void
bench_close(struct bench *b)
{
	raw_reply_fini(&b->reply);
	raw_close(&b->raw);
	http_server_free(b->server);
	loop_free(b->loop);
}

/* The next reply has this status and, unless NULL, this body. */
static void
bench_expect(struct bench *b, int status, const char *body)
{
	raw_reply_fini(&b->reply);
	raw_reply(&b->raw, false, &b->reply);
	CU_ASSERT_EQUAL(b->reply.status, status);
	CU_ASSERT(b->reply.is_whole);
	if (b->reply.status != status)
		tap_note("status %d, wanted %d", b->reply.status, status);
	if (body != NULL)
		CU_ASSERT_STRING_EQUAL(buf_text(&b->reply.body), body);
}

static bool
bench_says_close(const struct bench *b)
{
	const char *value = raw_header(&b->reply, "connection");

	return value != NULL && strcmp(value, "close") == 0;
}

struct refusal {
	const char *request;
	int status;
};

/* Each would hide a second request from one of two parsers. */
static const struct refusal refusals[] = {
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
	  400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 5, 6\r\n\r\nabcde", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\n" CHUNKED "0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	  501 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\n chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\n" H CHUNKED "0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H CHUNKED "0x1\r\na\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H CHUNKED "1\r\nab\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H CHUNKED "1\na\n0\n\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\na", 400 },
	{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 413 },
	{ "GET / HTTP/2.0\r\n" H "\r\n", 505 },
	{ "GET /\r\n", 400 },
	{ "CONNECT a:1 HTTP/1.1\r\n" H "\r\n", 501 },
};

static void
test_smuggling(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		raw_send(&b.raw, refusals[i].request);
		raw_send(&b.raw, GET("/smuggled"));
		bench_expect(&b, refusals[i].status, NULL);
		CU_ASSERT(bench_says_close(&b));
		CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-type"),
				       "application/problem+json");
		CU_ASSERT(raw_ends(&b.raw));
		CU_ASSERT(!b.saw_smuggled);
		CU_ASSERT_EQUAL(b.refused, refusals[i].status);
		raw_close(&b.raw);
		bench_connect(&b);
	}
	bench_close(&b);
}

static void
test_limits(void)
{
	struct bench b;
	char *line = mem_alloc(9001);

	memset(line, 'a', 9000);
	line[9000] = '\0';
	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, "GET / HTTP/1.1\r\n" H "X: ");
	raw_send(&b.raw, line);
	bench_expect(&b, 431, NULL);
	CU_ASSERT(raw_ends(&b.raw));
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, "GET /");
	raw_send(&b.raw, line);
	bench_expect(&b, 414, NULL);
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, "PUT / HTTP/1.1\r\n" H "Content-Length: 8388609\r\n\r\n");
	bench_expect(&b, 413, NULL);
	CU_ASSERT(bench_says_close(&b));
	bench_close(&b);
	free(line);
}

/* The chunked body's length is known only when it is too much. */
static void
test_chunked_too_large(void)
{
	struct bench b;
	struct buf chunk = BUF_INIT;

	buf_put_text(&chunk, "100000\r\n");
	memset(buf_extend(&chunk, 0x100000), 'x', 0x100000);
	buf_put_text(&chunk, "\r\n");
	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, "PUT /wait HTTP/1.1\r\n" H CHUNKED);
	for (int i = 0; i < 9; i++)
		raw_send_all(&b.raw, chunk.data, chunk.len);
	bench_expect(&b, 413, NULL);
	CU_ASSERT(b.was_aborted);
	CU_ASSERT(b.body_len <= BODY_MAX);
	bench_close(&b);
	buf_fini(&chunk);
}

static void
test_pipelining(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw,
		 GET("/later") "POST /a HTTP/1.1\r\n" H
			       "Content-Length: 3\r\n\r\nabc" GET("/later") GET("/204")
				       GET("/b") "POST /echo HTTP/1.1\r\n" H CHUNKED
						 "2\r\nhi\r\n0\r\n\r\n" GET("/c"));
	bench_expect(&b, 200, "later");
	bench_expect(&b, 200, "3 bytes");
	bench_expect(&b, 200, "later");
	bench_expect(&b, 204, NULL);
	CU_ASSERT(raw_header(&b.reply, "content-length") == NULL);
	bench_expect(&b, 200, "0 bytes");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "server"), "ocf/test");
	CU_ASSERT(raw_header(&b.reply, "date") != NULL);
	bench_expect(&b, 200, "hi");
	bench_expect(&b, 200, "0 bytes");
	CU_ASSERT_EQUAL(http_server_connections(b.server), 1);
	raw_send(&b.raw,
		 "GET /d HTTP/1.1\r\n" H "Connection: close\r\n\r\n" GET("/smuggled"));
	bench_expect(&b, 200, "0 bytes");
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	CU_ASSERT(!b.saw_smuggled);
	bench_close(&b);
}

static void
test_old_versions_and_head(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, "HEAD /echo HTTP/1.1\r\n" H "\r\nHEAD /x HTTP/1.1\r\n" H "\r\n");
	raw_reply(&b.raw, true, &b.reply);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "transfer-encoding"), "chunked");
	raw_reply_fini(&b.reply);
	raw_reply(&b.raw, true, &b.reply);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-length"), "7");
	raw_send(&b.raw, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	bench_expect(&b, 200, "0 bytes");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "connection"), "keep-alive");
	raw_send(&b.raw, "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n"
			 "Connection: keep-alive\r\n\r\nhello");
	bench_expect(&b, 200, "hello");
	CU_ASSERT(raw_header(&b.reply, "transfer-encoding") == NULL);
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	bench_close(&b);
}

static void
test_continue(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, "POST /a HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
			 "Content-Length: 5\r\n\r\n");
	bench_expect(&b, 100, NULL);
	raw_send(&b.raw, "hello");
	bench_expect(&b, 200, "5 bytes");
	raw_send(&b.raw, "POST /a HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
			 "Content-Length: 8388609\r\n\r\n");
	bench_expect(&b, 413, NULL);
	CU_ASSERT(raw_ends(&b.raw));
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, "POST /early HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
			 "Content-Length: 5\r\n\r\n");
	bench_expect(&b, 403, NULL);
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	bench_close(&b);
}

/* A paused body is not read into memory; resumed, all of it comes. */
static void
test_body_back_pressure(void)
{
	struct bench b;
	uint8_t *body = mem_calloc(1, BODY_MAX);
	size_t sent;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, "POST /paused HTTP/1.1\r\n" H "Content-Length: 8388608\r\n\r\n");
	while (b.last == NULL)
		raw_turn(&b.raw);
	sent = raw_send_some(&b.raw, body, BODY_MAX, 100);
	CU_ASSERT(sent < BODY_MAX);
	CU_ASSERT_EQUAL(b.body_len, 0);
	http_body_resume(b.last);
	raw_send_all(&b.raw, body + sent, BODY_MAX - sent);
	bench_expect(&b, 200, "8388608 bytes");
	bench_close(&b);
	free(body);
}

/* A client that does not read makes the server wait, not grow. */
static void
test_slow_reader(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	b.raw.is_deaf = true;
	raw_send(&b.raw, GET("/big") GET("/a"));
	for (int i = 0; i < 100; i++)
		raw_turn(&b.raw);
	CU_ASSERT(b.last != NULL); /* not done */
	b.raw.is_deaf = false;
	bench_expect(&b, 200, NULL);
	CU_ASSERT_EQUAL(b.reply.body.len, BIG_BYTES);
	CU_ASSERT(b.pending_max < 1024 * 1024);
	bench_expect(&b, 200, "0 bytes");
	bench_close(&b);
}

static void
test_client_leaves(void)
{
	/* Also with unread pipelined bytes, and after a half of the body. */
	static const char *const requests[] = {
		GET("/wait"),
		GET("/wait") GET("/a") GET("/b"),
		"POST /wait HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nhalf",
		"POST /paused HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nhalf",
	};
	struct bench b;
	ms_t started;

	bench_open(&b, (struct http_server_config){ 0 });
	for (int i = 0; i < 12; i++) {
		raw_send(&b.raw, requests[i % 4]);
		while (b.last == NULL)
			raw_turn(&b.raw);
		started = clock_mono_ms();
		if (i < 4)
			raw_close(&b.raw);
		else if (i < 8)
			raw_reset(&b.raw);
		else
			shutdown(b.raw.fd, SHUT_WR);
		CU_ASSERT(raw_until(&b.raw, &b.was_aborted));
		/* Noticed by an event, not by a timeout. */
		CU_ASSERT(clock_mono_ms() - started < 5 * MS_SECOND);
		CU_ASSERT(b.last == NULL);
		b.was_aborted = false;
		raw_close(&b.raw);
		bench_connect(&b);
	}
	bench_close(&b);
}

static void
test_cut_reply(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, GET("/cut"));
	raw_reply(&b.raw, false, &b.reply);
	CU_ASSERT_EQUAL(b.reply.status, 200);
	CU_ASSERT(!b.reply.is_whole);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "half of ");
	CU_ASSERT(b.raw.is_eof);
	bench_close(&b);
}

static void
test_header_injection(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_send(&b.raw, GET("/inject") GET("/a"));
	bench_expect(&b, 502, NULL);
	CU_ASSERT(raw_header(&b.reply, "x-b") == NULL);
	bench_expect(&b, 200, "0 bytes");
	bench_close(&b);
}

static void
test_timeouts(void)
{
	struct bench b;

	bench_open(&b, (struct http_server_config){ .head_timeout_ms = 80,
						    .body_timeout_ms = 80,
						    .idle_timeout_ms = 80,
						    .write_timeout_ms = 80 });
	CU_ASSERT(raw_ends(&b.raw)); /* said nothing */
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, "GET / HTTP/1.1\r\nHo");
	bench_expect(&b, 408, NULL);
	CU_ASSERT(raw_ends(&b.raw));
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, "POST /wait HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhel");
	bench_expect(&b, 408, NULL);
	CU_ASSERT(b.was_aborted);
	CU_ASSERT(raw_ends(&b.raw));
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, GET("/a"));
	bench_expect(&b, 200, NULL);
	CU_ASSERT(raw_ends(&b.raw)); /* idle, without a 408 */
	raw_close(&b.raw);
	bench_connect(&b);
	b.was_aborted = false;
	b.raw.is_deaf = true;
	raw_send(&b.raw, GET("/big"));
	CU_ASSERT(raw_until(&b.raw, &b.was_aborted));
	bench_close(&b);
}

static void
test_connection_cap(void)
{
	struct bench b;
	struct raw second;

	bench_open(&b, (struct http_server_config){ .connections_max = 1 });
	raw_send(&b.raw, GET("/a"));
	bench_expect(&b, 200, NULL);
	raw_open(&second, b.loop, http_server_address(b.server, 1));
	raw_send(&second, GET("/b"));
	for (int i = 0; i < 50; i++)
		raw_turn(&second);
	CU_ASSERT_EQUAL(second.in.len, 0);
	CU_ASSERT_EQUAL(http_server_connections(b.server), 1);
	raw_close(&b.raw);
	b.raw = second;
	bench_expect(&b, 200, "0 bytes");
	bench_close(&b);
}

static void
test_stop(void)
{
	struct bench b;
	struct raw idle;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_open(&idle, b.loop, http_server_address(b.server, 1));
	raw_send(&idle, GET("/a"));
	raw_send(&b.raw, GET("/later"));
	while (b.last == NULL)
		raw_turn(&b.raw);
	http_server_stop(b.server);
	bench_expect(&b, 200, "later");
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	while (idle.in.len == 0 && !idle.is_eof)
		raw_turn(&idle);
	buf_clear(&idle.in);
	CU_ASSERT(raw_ends(&idle));
	raw_close(&idle);
	CU_ASSERT_EQUAL(http_server_connections(b.server), 0);
	bench_close(&b);
}

static void
test_drain(void)
{
	struct bench b;
	struct raw idle;

	bench_open(&b, (struct http_server_config){ 0 });
	raw_open(&idle, b.loop, http_server_address(b.server, 1));
	raw_send(&idle, GET("/a"));
	raw_send(&b.raw, GET("/later"));
	while (b.last == NULL || http_server_exchanges(b.server) != 1)
		raw_turn(&b.raw);
	http_server_drain(b.server);
	bench_expect(&b, 200, "later");
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	while (idle.in.len == 0 && !idle.is_eof)
		raw_turn(&idle);
	buf_clear(&idle.in);
	CU_ASSERT(raw_ends(&idle));
	raw_close(&idle);
	/* Who comes now is answered, once. */
	raw_close(&b.raw);
	bench_connect(&b);
	raw_send(&b.raw, GET("/b"));
	bench_expect(&b, 200, NULL);
	CU_ASSERT(bench_says_close(&b));
	CU_ASSERT(raw_ends(&b.raw));
	CU_ASSERT_EQUAL(http_server_unsent(b.server), 0);
	bench_close(&b);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "ambiguous requests are refused and nothing behind them is read",
		  test_smuggling },
		{ "too long lines and too large bodies are refused", test_limits },
		{ "a chunked body that grows too large is refused",
		  test_chunked_too_large },
		{ "pipelined requests are answered in order", test_pipelining },
		{ "HTTP/1.0 and HEAD get what they understand",
		  test_old_versions_and_head },
		{ "100 is sent when the body is wanted, and only then", test_continue },
		{ "a paused request body waits at the client", test_body_back_pressure },
		{ "a slow reader of a large reply does not fill our memory",
		  test_slow_reader },
		{ "a client that leaves aborts its request at once", test_client_leaves },
		{ "a reply that is cut can be told from a whole one", test_cut_reply },
		{ "a header with a line end is not sent", test_header_injection },
		{ "slow heads, bodies, readers and idle connections end", test_timeouts },
		{ "connections above the cap wait", test_connection_cap },
		{ "draining goes on answering, once a connection", test_drain },
		{ "stopping ends idle connections and lets replies finish", test_stop },
	};

	return TAP_MAIN(argc, argv, tests);
}
