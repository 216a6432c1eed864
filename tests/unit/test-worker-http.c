/* SPDX-License-Identifier: Apache-2.0 */
/* ocf-worker --http, as it is run, between a real bus and a server (tests/lib/upstream.c)
 * that does what it is told. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "unit/worker-rig.h"

enum {
	BIG = 32 * 1024 * 1024, /* far more than any buffer on the way */
};

/* --- the tests --- */

/* The most memory that the worker ever had, in KiB. */
static long
worker_peak(const struct worker_rig *r)
{
	char *path = mem_printf("/proc/%d/status", (int)r->worker);
	struct buf text = BUF_INIT;
	const char *at = NULL;
	long peak = -1;

	if (file_read(path, 65536, &text, NULL) == 0)
		at = strstr(buf_text(&text), "VmHWM:");
	if (at != NULL)
		peak = strtol(at + strlen("VmHWM:"), NULL, 10);
	buf_fini(&text);
	free(path);
	return peak;
}

/* Far less than went through it; but sanitizers keep what was freed for a while. */
static bool
peak_is_small(const struct worker_rig *r, long before)
{
	long grown = worker_peak(r) - before;

	tap_note("the worker grew by %ld KiB", grown);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return before > 0;
#else
	return before > 0 && grown < BIG / 1024 / 2;
#endif
}

static bool
begins(struct fixture_call *c, const char *text)
{
	return strncmp(buf_text(&c->data), text, strlen(text)) == 0;
}

static void
test_request(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "request", "1");
	c = worker_rig_ask(&r, 1, "PUT", "/request/a%20b?x=1&y=%2F", "hello");
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(c->ends == 1 && c->status == 200);
	CU_ASSERT_STRING_EQUAL(c->type, "text/plain");
	CU_ASSERT(begins(c, "PUT /request/a%20b?x=1&y=%2F HTTP/1.1\nHost: 127.0.0.1:"));
	CU_ASSERT(strstr(buf_text(&c->data), "\nX-Request-Id: id-1\n") != NULL);
	CU_ASSERT(strstr(buf_text(&c->data), "\nContent-Length: 5\n") != NULL);
	/* curl's own ideas */
	CU_ASSERT(strcasestr(buf_text(&c->data), "\nAccept:") == NULL);
	CU_ASSERT(strcasestr(buf_text(&c->data), "\nContent-Type:") == NULL);
	CU_ASSERT(strcasestr(buf_text(&c->data), "\nExpect:") == NULL);
	c = worker_rig_ask(&r, 1, "POST", "/request", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(strstr(buf_text(&c->data), "\nContent-Length: 0\n") != NULL);
	c = worker_rig_get(&r, "/request");
	CU_ASSERT(begins(c, "GET /request HTTP/1.1\n"));
	CU_ASSERT(strcasestr(buf_text(&c->data), "\nContent-Length") == NULL);
	CU_ASSERT(strcasestr(buf_text(&c->data), "\nTransfer-Encoding") == NULL);
	c = worker_rig_ask(&r, 1, "HEAD", "/headers", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(worker_rig_replied(c, 201, ""));
	CU_ASSERT_STRING_EQUAL(c->type, "text/x-told; charset=utf-8");
	worker_rig_close(&r);
}

/* Of a HEAD no body goes on: what announced one would take the next request for it. */
static void
test_head_with_a_body(void)
{
	struct query_head head = worker_rig_head("HEAD", "/headers");
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "head", "1");
	c = &r.f.calls[1];
	head.body_len = -1;
	CU_ASSERT_FATAL(bus_send(r.f.bus, "w", 1, &head, bytes_text("GET"), false) == 0);
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(worker_rig_replied(c, 201, ""));
	for (int i = 0; i < 2; i++) {
		c = worker_rig_get(&r, "/request");
		CU_ASSERT(begins(c, "GET /request HTTP/1.1\n"));
	}
	worker_rig_close(&r);
}

static void
test_bad_requests(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "bad", "1");
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "no-slash"), 400, BUS_ANSWERED,
				    "begins with no /"));
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/a b"), 400, BUS_ANSWERED,
				    "percent-encoded"));
	c = worker_rig_ask(&r, 1, "CONNECT", "/request", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(worker_rig_failed(c, 400, BUS_ANSWERED, "method"));
	c = worker_rig_ask(&r, 1, "GET / HTTP/1.1 X", "/request", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
	CU_ASSERT(worker_rig_failed(c, 400, BUS_ANSWERED, "method"));
	CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/interim"), 200, "final\n"));
	worker_rig_close(&r);
}

/* Send BIG bytes as credit allows, until they are sent or `stop` credits are missing; how
 * many parts are sent. */
static int
send_big(struct worker_rig *r, int token, const char *path, int64_t body_len, bool waits)
{
	static uint8_t part[LIMIT_PART_BYTES_MAX];
	struct query_head head = worker_rig_head("POST", path);
	struct fixture_call *c = &r->f.calls[token];
	const int all = BIG / LIMIT_PART_BYTES_MAX;
	ms_t until = clock_mono_ms() + FIXTURE_WAIT_MS, still = clock_mono_ms();
	int sent = 1, credit = 0;

	head.body_len = body_len;
	memset(part, 'u', sizeof(part));
	CU_ASSERT_FATAL(bus_send(r->f.bus, "w", (uint64_t)token, &head,
				 bytes_of(part, sizeof(part)), false) == 0);
	while (sent < all && clock_mono_ms() < until && !worker_rig_is_over(c)) {
		while (sent < all && sent - c->credit < LIMIT_PARTS_WINDOW) {
			CU_ASSERT(bus_body(r->f.bus, (uint64_t)token,
					   bytes_of(part, sizeof(part)),
					   sent + 1 == all) == 0);
			sent++;
		}
		loop_turn(r->f.loop, 5);
		if (credit != c->credit)
			still = clock_mono_ms();
		credit = c->credit;
		if (!waits && clock_mono_ms() - still > 500)
			break;
	}
	return sent;
}

static void
test_upload_is_held_up(void)
{
	const int all = BIG / LIMIT_PART_BYTES_MAX;
	struct worker_rig r;
	struct fixture_call *c;
	char text[64];
	long before;
	int sent;

	worker_rig_open(&r, "upload", "1");
	before = worker_peak(&r);
	/* Nobody reads: what the sockets' buffers do not hold waits here. */
	sent = send_big(&r, 1, "/later", -1, false);
	c = &r.f.calls[1];
	tap_note("%d of %d parts were sent", sent, all);
	CU_ASSERT(sent < all && sent - c->credit == LIMIT_PARTS_WINDOW);
	bus_cancel(r.f.bus, 1);
	CU_ASSERT(bus_fixture_until(&r.f, &c->errors, 1));
	/* When it is read, all of it arrives; with a length and in chunks. Of a sender that has
	 * gone a server learns behind what that has sent. */
	worker_rig_tell(&r, "read", "");
	CU_ASSERT(worker_rig_counts(&r, "closed", 1));
	snprintf(text, sizeof(text), "%d\n", all * LIMIT_PART_BYTES_MAX);
	for (int token = 2; token <= 3; token++) {
		int64_t len = token == 2 ? -1 : (int64_t)all * LIMIT_PART_BYTES_MAX;

		CU_ASSERT(send_big(&r, token, "/later", len, true) == all);
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[token].ends, 1));
		CU_ASSERT(worker_rig_replied(&r.f.calls[token], 200, text));
	}
	CU_ASSERT(peak_is_small(&r, before));
	worker_rig_close(&r);
}

static void
test_length_that_is_wrong(void)
{
	struct worker_rig r;
	struct query_head head = worker_rig_head("POST", "/echo");

	worker_rig_open(&r, "length", "1");
	head.body_len = 7;
	CU_ASSERT(bus_send(r.f.bus, "w", 1, &head, bytes_text("abc"), false) == 0);
	CU_ASSERT(bus_body(r.f.bus, 1, bytes_text("defgh"), false) == 0);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[1].errors, 1));
	CU_ASSERT(r.f.calls[1].error_status == 502);
	CU_ASSERT(bus_send(r.f.bus, "w", 2, &head, bytes_text("abc"), false) == 0);
	CU_ASSERT(bus_body(r.f.bus, 2, bytes_text("def"), true) == 0);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[2].errors, 1));
	CU_ASSERT(bus_send(r.f.bus, "w", 3, &head, bytes_text("abc"), false) == 0);
	CU_ASSERT(bus_body(r.f.bus, 3, bytes_text("defg"), true) == 0);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[3].ends, 1));
	CU_ASSERT(worker_rig_replied(&r.f.calls[3], 200, "abcdefg"));
	worker_rig_close(&r);
}

static void
test_download_is_held_up(void)
{
	struct worker_rig r;
	struct fixture_call *c = &r.f.calls[1];
	uint8_t *data = mem_calloc(1, BIG);
	char *path;
	long before;

	worker_rig_open(&r, "download", "1");
	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	path = worker_rig_file(&r, "big");
	CU_ASSERT_FATAL(file_write(path, bytes_of(data, BIG), 0644, NULL) == 0);
	free(path);
	before = worker_peak(&r);
	c->holds_credit = true;
	worker_rig_ask(&r, 1, "GET", "/file/big", "");
	CU_ASSERT(bus_fixture_until(&r.f, &c->parts, LIMIT_PARTS_WINDOW));
	bus_fixture_turn(&r.f, 300);
	CU_ASSERT_EQUAL(c->parts, LIMIT_PARTS_WINDOW);
	c->holds_credit = false;
	bus_credit(r.f.bus, 1, LIMIT_PARTS_WINDOW);
	CU_ASSERT(bus_fixture_until(&r.f, &c->ends, 1));
	CU_ASSERT(bytes_equal(buf_bytes(&c->data), bytes_of(data, BIG)));
	CU_ASSERT(peak_is_small(&r, before));
	/* The server is left when its reader goes, in the middle of it too. */
	c->holds_credit = true;
	worker_rig_ask(&r, 1, "GET", "/file/big", "");
	CU_ASSERT(bus_fixture_until(&r.f, &c->parts, LIMIT_PARTS_WINDOW));
	bus_cancel(r.f.bus, 1);
	CU_ASSERT(bus_fixture_until(&r.f, &c->errors, 1));
	CU_ASSERT(worker_rig_counts(&r, "closed", 1));
	CU_ASSERT(worker_rig_counts(&r, "active", 0));
	free(data);
	worker_rig_close(&r);
}

static bool
has_data(void *arg)
{
	return ((struct fixture_call *)arg)->data.len > 0;
}

static void
test_events_come_one_by_one(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "sse", "1");
	c = worker_rig_ask(&r, 1, "GET", "/sse?3", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, has_data, c));
	bus_fixture_turn(&r.f, 100);
	CU_ASSERT_STRING_EQUAL(buf_text(&c->data), "data: 1\n\n");
	CU_ASSERT_STRING_EQUAL(c->type, "text/event-stream");
	buf_clear(&c->data);
	worker_rig_tell(&r, "go.2", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, has_data, c));
	CU_ASSERT_STRING_EQUAL(buf_text(&c->data), "data: 2\n\n");
	CU_ASSERT(c->ends == 0);
	worker_rig_tell(&r, "go.3", "");
	CU_ASSERT(bus_fixture_until(&r.f, &c->ends, 1));
	CU_ASSERT_STRING_EQUAL(buf_text(&c->data), "data: 2\n\ndata: 3\n\n");
	worker_rig_close(&r);
}

static void
test_statuses(void)
{
	static const int passed[] = { 200, 202, 204, 301, 304, 400,
				      404, 418, 500, 502, 504, 599 };
	struct worker_rig r;
	struct fixture_call *c;
	char path[64], text[64];

	worker_rig_open(&r, "statuses", "1");
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		bool is_empty = passed[i] == 204 || passed[i] == 304;

		snprintf(path, sizeof(path), "/status/%d", passed[i]);
		snprintf(text, sizeof(text), "it is %d\n", passed[i]);
		CU_ASSERT(worker_rig_replied(worker_rig_get(&r, path), passed[i],
					     is_empty ? "" : text));
	}
	c = worker_rig_get(&r, "/status/429?17");
	CU_ASSERT(worker_rig_failed(c, 429, BUS_RETURNED, "it is 429") &&
		  c->retry_after_s == 17);
	c = worker_rig_get(&r, "/status/503");
	CU_ASSERT(worker_rig_failed(c, 503, BUS_RETURNED, "it is 503") &&
		  c->retry_after_s == 1);
	c = worker_rig_get(&r, "/status/503?86400");
	CU_ASSERT(worker_rig_failed(c, 503, BUS_RETURNED, "503") &&
		  c->retry_after_s == 60);
	/* That is no illness, and every slot is free again. */
	CU_ASSERT(r.f.changes == 0 &&
		  worker_rig_replied(worker_rig_get(&r, "/health"), 200, "health\n"));
	worker_rig_close(&r);
}

static void
test_failures(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "failures", "1");
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/nothing"), 502, BUS_ANSWERED,
				    "Empty reply"));
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/garbage"), 502, BUS_ANSWERED,
				    "no reply that could be"));
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/large"), 502, BUS_ANSWERED,
				    "too large or malformed"));
	CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/status/700"), 502, BUS_ANSWERED,
				    "malformed"));
	c = worker_rig_get(&r, "/break?1000");
	CU_ASSERT(worker_rig_failed(c, 502, BUS_ANSWERED, "broke off") &&
		  c->data.len == 1000);
	c = worker_rig_get(&r, "/broken?1000");
	CU_ASSERT(worker_rig_failed(c, 502, BUS_ANSWERED, "broke off") &&
		  c->data.len == 1000);
	c = worker_rig_get(&r, "/break?300000");
	CU_ASSERT(worker_rig_failed(c, 502, BUS_ANSWERED, "broke off") &&
		  c->data.len == 300000);
	/* It is there all the same, and is looked at for that. */
	CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/health"), 200, "health\n"));
	/* Early words, while the body is on its way. */
	(void)send_big(&r, 2, "/refuse", -1, false);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[2].ends, 1));
	CU_ASSERT(worker_rig_replied(&r.f.calls[2], 413, "too much\n"));
	worker_rig_close(&r);
}

/* The server answers before the body has come, and more of it does not come. */
static void
test_answers_before_the_body(void)
{
	static const struct {
		const char *path;
		int status;
	} table[] = { { "/status/404", 404 },	{ "/refuse", 413 },
		      { "/status/503?3", 503 }, { "/status/429", 429 },
		      { "/close", 200 },	{ "/close?300", 200 },
		      { "/nothing", 502 },	{ "/garbage", 502 },
		      { "/break?100", 502 } };
	struct worker_rig r;

	worker_rig_open(&r, "before", "1");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct query_head head = worker_rig_head("POST", table[i].path);
		struct fixture_call *c = &r.f.calls[i + 1];

		head.timeout_ms = 20000;
		CU_ASSERT(bus_send(r.f.bus, "w", i + 1, &head, bytes_text("some of it"),
				   false) == 0);
		CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
		if (c->ends == 1 ? c->status != table[i].status
				 : c->error_status != table[i].status)
			tap_note("%s: %d %d %d %s", table[i].path, c->ends, c->status,
				 c->error_status, c->error);
		CU_ASSERT(c->ends == 1 ? c->status == table[i].status
				       : c->error_status == table[i].status);
		CU_ASSERT(c->errors == 0 || table[i].status == 502 ||
			  c->outcome == BUS_RETURNED);
	}
	worker_rig_close(&r);
}

static void
test_kept_connections(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "kept", "1");
	for (int i = 0; i < 20; i++)
		CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/health"), 200,
					     "health\n"));
	CU_ASSERT(worker_rig_counts(&r, "connections",
				    2)); /* with that which asks whether */
	/* Closed behind our back: the next ones do not suffer, should they cross that. */
	for (int i = 0; i < 10; i++) {
		c = worker_rig_ask(&r, 1, "POST", "/close", "");
		CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
		CU_ASSERT(worker_rig_replied(c, 200, "bye\n"));
		c = worker_rig_ask(&r, 1, "PUT", "/echo", "again");
		CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
		CU_ASSERT(worker_rig_replied(c, 200, "again"));
	}
	worker_rig_close(&r);
}

/* That the server has had, with the one by which it is asked. */
static int
requests_had(struct worker_rig *r)
{
	static const char name[] = "\"requests\":";
	struct fixture_call *c = worker_rig_ask(r, 3, "GET", "/stats", "");
	const char *at;

	CU_ASSERT_FATAL(bus_fixture_until_true(&r->f, worker_rig_is_over, c));
	at = strstr(buf_text(&c->data), name);
	return at != NULL ? atoi(at + strlen(name)) : -1;
}

/* Over a connection from before, a server takes a query and closes without a word. */
static void
test_closed_without_a_word(void)
{
	static const struct {
		const char *name, *method, *body;
		int requests; /* with one before */
	} table[] = { { "once", "POST", "body", 3 },
		      { "bodiless", "POST", "", 3 },
		      { "again", "PUT", "body", 4 } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct worker_rig r;
		struct fixture_call *c;

		worker_rig_open(&r, table[i].name, "1");
		CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/health"), 200,
					     "health\n"));
		c = worker_rig_ask(&r, 2, table[i].method, "/nothing", table[i].body);
		CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
		CU_ASSERT(worker_rig_failed(c, 502, BUS_ANSWERED, "the server behind"));
		CU_ASSERT(requests_had(&r) == table[i].requests);
		worker_rig_close(&r);
	}
}

/* It dies of a query, or with it, and cannot be reached any more. */
static void
test_dead_while_at_work(void)
{
	static const struct {
		const char *name, *method, *body;
		int status;
		enum bus_outcome outcome;
	} table[] = { { "dead-once", "POST", "body", 502, BUS_ANSWERED },
		      { "dead-bodiless", "POST", "", 502, BUS_ANSWERED },
		      { "dead-again", "PUT", "body", 503, BUS_RETURNED } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct worker_rig r;
		struct fixture_call *c;

		worker_rig_open(&r, table[i].name, "2");
		CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/health"), 200,
					     "health\n"));
		c = worker_rig_ask(&r, 2, table[i].method, "/hang", table[i].body);
		CU_ASSERT(worker_rig_counts(&r, "active", 1));
		worker_rig_end(&r.server, SIGKILL);
		CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
		CU_ASSERT(worker_rig_failed(c, table[i].status, table[i].outcome,
					    "the server behind"));
		worker_rig_close(&r);
	}
}

static void
test_deadline_and_cancel(void)
{
	struct worker_rig r;
	struct query_head head = worker_rig_head("GET", "/hang");
	int closed = 0;

	worker_rig_open(&r, "deadline", "2");
	head.timeout_ms = 300;
	CU_ASSERT(bus_send(r.f.bus, "w", 1, &head, BYTES_NONE, true) == 0);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[1].errors, 1));
	CU_ASSERT(worker_rig_failed(&r.f.calls[1], 504, BUS_ANSWERED, "deadline"));
	CU_ASSERT(worker_rig_counts(&r, "closed", ++closed));
	/* Before the first byte, and in the middle of the reply; more of them than slots. */
	for (int i = 0; i < 4; i++) {
		worker_rig_ask(&r, 2, "GET", "/hang", "");
		worker_rig_ask(&r, 3, "GET", "/drip", "");
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[3].heads, 1));
		bus_cancel(r.f.bus, 2);
		bus_cancel(r.f.bus, 3);
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[2].errors, 1));
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[3].errors, 1));
		closed += 2;
		CU_ASSERT(worker_rig_counts(&r, "closed", closed));
	}
	CU_ASSERT(worker_rig_counts(&r, "active", 0));
	worker_rig_close(&r);
}

static void
test_many_slots(void)
{
	enum { MANY = 40 };
	struct worker_rig r;

	worker_rig_open(&r, "many", "40");
	for (int i = 1; i <= MANY; i++)
		worker_rig_ask(&r, i, "GET", "/sse?2", "");
	for (int i = 1; i <= MANY; i++)
		CU_ASSERT(bus_fixture_until_true(&r.f, has_data, &r.f.calls[i]));
	worker_rig_tell(&r, "go.2", "");
	for (int i = 1; i <= MANY; i++) {
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[i].ends, 1));
		CU_ASSERT(
			worker_rig_replied(&r.f.calls[i], 200, "data: 1\n\ndata: 2\n\n"));
	}
	/* In one connection each, which are used again. */
	for (int i = 1; i <= MANY; i++)
		worker_rig_ask(&r, i, "POST", "/echo", "x");
	for (int i = 1; i <= MANY; i++)
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.calls[i].ends, 1));
	CU_ASSERT(worker_rig_counts(&r, "connections", MANY + 1));
	worker_rig_close(&r);
}

/* --- health --- */

static bool
is_draining(void *arg)
{
	return ((struct fixture *)arg)->is_draining;
}

static bool
is_ready(void *arg)
{
	return !((struct fixture *)arg)->is_draining;
}

static void
test_server_goes_and_comes(void)
{
	struct worker_rig r;

	/* The server comes after the worker, which says nothing before. */
	worker_rig_open_idle(&r, "flap");
	worker_rig_end(&r.server, SIGKILL);
	worker_rig_work(&r, NULL);
	bus_fixture_turn(&r.f, 300);
	CU_ASSERT(r.f.ups == 0);
	worker_rig_serve(&r);
	CU_ASSERT_FATAL(bus_fixture_until(&r.f, &r.f.ups, 1));
	CU_ASSERT(!r.f.is_draining);
	for (int i = 0; i < 3; i++) {
		worker_rig_end(&r.server, SIGKILL);
		CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/health"), 503,
					    BUS_RETURNED, "cannot be reached"));
		CU_ASSERT(r.f.calls[1].retry_after_s == 1 && !r.f.calls[1].is_taken);
		CU_ASSERT(bus_fixture_until_true(&r.f, is_draining, &r.f));
		/* What was on its way goes back as well. */
		CU_ASSERT(worker_rig_failed(worker_rig_get(&r, "/health"), 503,
					    BUS_RETURNED, "not there"));
		worker_rig_serve(&r);
		CU_ASSERT(bus_fixture_until_true(&r.f, is_ready, &r.f));
		CU_ASSERT(worker_rig_replied(worker_rig_get(&r, "/health"), 200,
					     "health\n"));
	}
	CU_ASSERT(r.f.downs == 0 && r.f.warnings == 0);
	worker_rig_close(&r);
}

static void
test_health_path(void)
{
	struct worker_rig r;

	worker_rig_open_idle(&r, "health");
	worker_rig_tell(&r, "health", "500");
	worker_rig_work(&r, "--health", "/health", NULL);
	bus_fixture_turn(&r.f, 300);
	CU_ASSERT(r.f.ups == 0);
	worker_rig_tell(&r, "health", "204");
	CU_ASSERT_FATAL(bus_fixture_until(&r.f, &r.f.ups, 1));
	worker_rig_tell(&r, "health", "503");
	CU_ASSERT(bus_fixture_until_true(&r.f, is_draining, &r.f));
	worker_rig_tell(&r, "health", "200");
	CU_ASSERT(bus_fixture_until_true(&r.f, is_ready, &r.f));
	/* It is missed without a query, too. */
	worker_rig_end(&r.server, SIGKILL);
	CU_ASSERT(bus_fixture_until_true(&r.f, is_draining, &r.f));
	worker_rig_close(&r);
}

/* --- ends --- */

static void
test_drain(void)
{
	struct worker_rig r;
	struct fixture_call *c;
	int status = -1;

	worker_rig_open(&r, "drain", "1");
	c = worker_rig_ask(&r, 1, "GET", "/sse?2", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, has_data, c));
	kill(r.worker, SIGTERM);
	CU_ASSERT(bus_fixture_until_true(&r.f, is_draining, &r.f));
	worker_rig_tell(&r, "go.2", "");
	CU_ASSERT(bus_fixture_until(&r.f, &c->ends, 1));
	CU_ASSERT(worker_rig_replied(c, 200, "data: 1\n\ndata: 2\n\n"));
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.downs, 1));
	CU_ASSERT(waitpid(r.worker, &status, 0) == r.worker);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	r.worker = 0;
	worker_rig_close(&r);
}

static void
test_killed_worker(void)
{
	struct worker_rig r;
	struct fixture_call *c;

	worker_rig_open(&r, "killed", "1");
	c = worker_rig_ask(&r, 1, "GET", "/drip", "");
	CU_ASSERT(bus_fixture_until_true(&r.f, has_data, c));
	worker_rig_end(&r.worker, SIGKILL);
	CU_ASSERT(bus_fixture_until(&r.f, &c->errors, 1));
	CU_ASSERT(c->outcome == BUS_LOST && c->error_status == 502);
	worker_rig_work(&r, NULL);
	CU_ASSERT(bus_fixture_until(&r.f, &r.f.ups, 2));
	CU_ASSERT(worker_rig_counts(&r, "closed", 1));
	worker_rig_close(&r);
}

static void
test_bus_restarts(void)
{
	struct worker_rig r;
	struct fixture_call *c;
	int states;

	worker_rig_open(&r, "bus", "1");
	for (int i = 1; i <= 2; i++) {
		c = worker_rig_ask(&r, 1, "GET", "/drip", "");
		CU_ASSERT(bus_fixture_until_true(&r.f, has_data, c));
		states = r.f.states;
		kill(bus_fixture_server_pid(r.f.folder), SIGKILL);
		CU_ASSERT(bus_fixture_until(&r.f, &r.f.states, states + 2));
		CU_ASSERT(bus_fixture_until(&r.f, &c->errors, 1));
		/* Its one slot is free when the worker is back. */
		for (int try = 0; try < 200; try++) {
			c = worker_rig_ask(&r, 2, "POST", "/echo", "back");
			CU_ASSERT(bus_fixture_until_true(&r.f, worker_rig_is_over, c));
			if (c->ends == 1)
				break;
			bus_fixture_turn(&r.f, 20);
		}
		CU_ASSERT(worker_rig_replied(c, 200, "back"));
		CU_ASSERT(worker_rig_counts(&r, "closed", i));
	}
	worker_rig_close(&r);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "method, path, query string and body go there as they came",
		  test_request },
		{ "a HEAD goes without its body", test_head_with_a_body },
		{ "what cannot be a request is a 400", test_bad_requests },
		{ "a server that does not read holds the sender up",
		  test_upload_is_held_up },
		{ "parts that are not as long as was said are refused",
		  test_length_that_is_wrong },
		{ "a reader that does not read holds the server up",
		  test_download_is_held_up },
		{ "events come one by one", test_events_come_one_by_one },
		{ "every status is passed on, but 429 and 503 go back", test_statuses },
		{ "what is no reply is a 502, what breaks off breaks off",
		  test_failures },
		{ "an answer does not wait for the rest of the body",
		  test_answers_before_the_body },
		{ "connections are kept and used again", test_kept_connections },
		{ "what a server may have done is not asked of it twice, unless it may be",
		  test_closed_without_a_word },
		{ "nor is it given back to be asked of another",
		  test_dead_while_at_work },
		{ "deadline and cancellation end the request at once",
		  test_deadline_and_cancel },
		{ "slots run together, each over its connection", test_many_slots },
		{ "a server that goes makes the worker drain until it is back",
		  test_server_goes_and_comes },
		{ "so does one that says it is not well", test_health_path },
		{ "SIGTERM finishes what is on its way", test_drain },
		{ "the server is left when the worker is killed", test_killed_worker },
		{ "no slot is lost when the bus restarts", test_bus_restarts },
	};

	if (getenv("OCF_TEST_SAY") != NULL)
		log_configure(LOG_DEBUG, LOG_FORMAT_TEXT);
	return TAP_MAIN(argc, argv, tests);
}
