/* SPDX-License-Identifier: Apache-2.0 */
/* The routes over real sockets, TCP and unix; who may use them is test-http-access.c. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/metrics.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

static void
test_views(void)
{
	struct bench b;
	json_t *value;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, GET("/v1/nodes?x&all=a+b%21"), 200);
	value = bench_json(&b);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(value, "view")),
			API_VIEW_NODES);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "all")), "a b!");
	json_decref(value);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-type"), "application/json");
	bench_ask(&b, &b.socket, GET("/v1/services"), 200);
	bench_ask(&b, &b.raw, "HEAD /v1/status HTTP/1.1\r\n" H "\r\n", 200);
	bench_ask(&b, &b.raw, GET("/v1/peers"), 503);
	bench_ask(&b, &b.raw, GET("/v1/nodes?a=%00"), 400);
	bench_ask(&b, &b.raw, GET("/healthz"), 200);
	bench_ask(&b, &b.raw, GET("/readyz"), 503);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "the bus is not up") != NULL);
	b.is_ready = true;
	bench_ask(&b, &b.raw, GET("/readyz"), 200);
	bench_ask(&b, &b.raw, GET("/openapi.yaml"), 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), openapi_yaml);
	bench_ask(&b, &b.raw, GET("/metrics"), 200);
	CU_ASSERT(
		strstr(buf_text(&b.reply.body),
		       "ocf_http_requests_total{route=\"/readyz\",status=\"503\"} 1\n") !=
		NULL);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "ocf_http_connections 2\n") != NULL);
	bench_close(&b);
}

static void
test_unknown_routes(void)
{
	struct bench b;
	json_t *value;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, GET("/nothing"), 404);
	value = bench_json(&b);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(value, "status")), 404);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "title")),
			       "Not Found");
	json_decref(value);
	bench_ask(&b, &b.raw, GET("/v1/service"), 404);
	bench_ask(&b, &b.raw, GET("/v1/service/"), 404);
	bench_ask(&b, &b.raw, GET("/v1/status/"), 404);
	bench_ask(&b, &b.raw, "POST /v1/status HTTP/1.1\r\n" H "\r\n", 405);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "allow"), "OPTIONS, GET, HEAD");
	bench_ask(&b, &b.socket, GET("/v1/admin/invite"), 405);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "allow"), "OPTIONS, POST");
	bench_ask(&b, &b.raw, "OPTIONS /v1/status HTTP/1.1\r\n" H "\r\n", 204);
	bench_ask(&b, &b.raw, "OPTIONS * HTTP/1.1\r\n" H "\r\n", 204);
	bench_close(&b);
}

static void
test_query_head(void)
{
	struct bench b;
	char id[ID_TEXT_SIZE];

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(
		&b, &b.raw,
		"POST /v1/service/a%2Fb%20c/x%2Fy/?q=1&r HTTP/1.1\r\n" H
		"Ocf-Match: model=m\r\nX-Otela-Identity-Group: model=n\r\n"
		"X-Otela-Fallback: 2\r\nOcf-Timeout: 30s\r\nIdempotency-Key: k\r\n"
		"X-Request-Id: r.1\r\nContent-Type: text/plain\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
		"Ocf-Node: 000102030405060708090a0b0c0d0e0f\r\nAccept: a\r\nAccept: b\r\n"
		"Authorization: Bearer x\r\nCookie: c\r\nProxy-Foo: d\r\nTE: trailers\r\n"
		"Connection: x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\nhello",
		200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "hello");
	CU_ASSERT_STRING_EQUAL(b.head.service, "a/b c");
	CU_ASSERT_STRING_EQUAL(b.head.path, "/x%2Fy/?q=1&r");
	CU_ASSERT_STRING_EQUAL(b.head.method, "POST");
	CU_ASSERT_STRING_EQUAL(b.head.selector, "model=m");
	CU_ASSERT_EQUAL(b.head.fallback, 2);
	CU_ASSERT_EQUAL(b.head.timeout_ms, 30000);
	CU_ASSERT(b.head.is_idempotent);
	CU_ASSERT_STRING_EQUAL(b.head.request_id, "r.1");
	CU_ASSERT_STRING_EQUAL(b.head.content_type, "text/plain");
	CU_ASSERT_STRING_EQUAL(b.head.traceparent,
			       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	CU_ASSERT_STRING_EQUAL(id_text(&b.head.pin, id),
			       "000102030405060708090a0b0c0d0e0f");
	CU_ASSERT_EQUAL(b.head.body_len, 5);
	CU_ASSERT_EQUAL(b.head.headers.len, 3); /* two Accept, the Idempotency-Key */
	CU_ASSERT_EQUAL(b.parts, 1);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-computing-node"),
			       "abababababababababababababababab");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-computing-worker"), "w-1");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-request-id"), "r.1");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-type"), "text/x-test");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-own"), "yes");
	CU_ASSERT(strncmp(raw_header(&b.reply, "server-timing"), "total;dur=", 10) == 0);
	CU_ASSERT(raw_header(&b.reply, "x-bad") == NULL);
	CU_ASSERT(raw_header(&b.reply, "access-control-allow-origin") == NULL);
	CU_ASSERT(raw_header(&b.reply, "content-length") == NULL);
	bench_ask(&b, &b.socket, QUERY("wc?x=1", "X-Request-Id: a b\r\n"), 200);
	CU_ASSERT_STRING_EQUAL(b.head.path, "/?x=1");
	CU_ASSERT_EQUAL(strlen(b.head.request_id), 32);
	CU_ASSERT_EQUAL(strlen(b.head.traceparent), 55);
	CU_ASSERT_EQUAL(b.head.timeout_ms, BENCH_TIMEOUT_MS);
	CU_ASSERT(b.head.is_idempotent && b.head.selector == NULL);
	bench_close(&b);
}

static void
test_bad_query_heads(void)
{
	static const char *const bad[] = {
		QUERY("wc", "Ocf-Match: model\r\n"),
		QUERY("wc", "Ocf-Match: =m\r\n"),
		QUERY("wc", "Ocf-Match: a=b\r\nOcf-Match: a=c\r\n"),
		QUERY("wc", "X-Otela-Fallback: 3\r\n"),
		QUERY("wc", "Ocf-Timeout: soon\r\n"),
		QUERY("wc", "Ocf-Timeout: 0\r\n"),
		QUERY("wc", "Ocf-Timeout: 25h\r\n"),
		QUERY("wc", "Ocf-Node: abc\r\n"),
		QUERY("wc", "Content-Type: a\r\nContent-Type: b\r\n"),
		QUERY("a%00b", ""),
		QUERY("a%0ab", ""),
	};
	struct buf many = BUF_INIT;
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bench_ask(&b, &b.raw, bad[i], 400);
	buf_put_text(&many, "GET /v1/service/wc HTTP/1.1\r\n" H);
	for (int i = 0; i <= QUERY_HEADERS_MAX; i++)
		buf_printf(&many, "X-%d: 1\r\n", i);
	buf_put_text(&many, "\r\n");
	bench_ask(&b, &b.raw, buf_text(&many), 431);
	buf_fini(&many);
	CU_ASSERT(b.head.service == NULL);
	bench_close(&b);
}

static void
test_model_of_body(void)
{
#define JSON_POST(type, len)                                                             \
	"POST /v1/service/llm HTTP/1.1\r\n" H "Content-Type: " type                      \
	"\r\nContent-Length: " #len "\r\n\r\n"
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw,
		  JSON_POST("application/json; charset=utf-8", 15) "{\"model\": \"m1\"}",
		  200);
	CU_ASSERT_STRING_EQUAL(b.head.selector, "model=m1");
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "{\"model\": \"m1\"}");
	bench_ask(&b, &b.raw, JSON_POST("text/plain", 15) "{\"model\": \"m1\"}", 200);
	CU_ASSERT(b.head.selector == NULL);
	bench_ask(&b, &b.raw, JSON_POST("application/json", 3) "{\"m", 200);
	CU_ASSERT(b.head.selector == NULL);
	bench_ask(&b, &b.raw, JSON_POST("application/json", 11) "{\"model\":1}", 200);
	CU_ASSERT(b.head.selector == NULL);
	raw_send(&b.raw, "POST /v1/service/llm HTTP/1.1\r\n" H
			 "Content-Type: application/json\r\n"
			 "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"model\":\r\n");
	for (int i = 0; i < 20; i++)
		raw_turn(&b.raw);
	bench_ask(&b, &b.raw, "5\r\n\"m2\"}\r\n0\r\n\r\n", 200);
	CU_ASSERT_STRING_EQUAL(b.head.selector, "model=m2");
	bench_close(&b);
}

static void
test_query_errors(void)
{
	struct bench b;
	json_t *value;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, QUERY("none", "X-Request-Id: i\r\n"), 404);
	value = bench_json(&b);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "services")), 2);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "request_id")),
			       "i");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "detail")),
			       "no node offers the service none");
	json_decref(value);
	bench_ask(&b, &b.raw, QUERY("busy", ""), 503);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "retry-after"), "7");
	/* A short body that has come is no reason to end the connection. */
	bench_ask(&b, &b.raw,
		  "POST /v1/service/busy HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody",
		  503);
	CU_ASSERT_PTR_NULL(raw_header(&b.reply, "connection"));
	raw_send(&b.raw, QUERY("torn", ""));
	raw_reply_fini(&b.reply);
	raw_reply(&b.raw, false, &b.reply);
	CU_ASSERT(!b.reply.is_whole && b.raw.is_eof);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "half of ");
	bench_close(&b);
}

/* 16 parts of the request come without being asked for, and 16 of the reply are under
 * way. */
static void
test_windows(void)
{
	size_t len = 40 * LIMIT_PART_BYTES_MAX, sent;
	uint8_t *body = mem_calloc(1, len);
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	raw_send(&b.raw, "POST /v1/service/hold HTTP/1.1\r\n" H
			 "Content-Length: 2457600\r\n\r\n");
	sent = raw_send_some(&b.raw, body, len, 100);
	for (int i = 0; i < 100; i++)
		raw_turn(&b.raw);
	CU_ASSERT_EQUAL(b.parts, LIMIT_PARTS_WINDOW);
	api_reply_want(b.job->q, 2);
	CU_ASSERT_EQUAL(b.parts, LIMIT_PARTS_WINDOW); /* not from inside the call */
	for (int i = 0; i < 50; i++)
		raw_turn(&b.raw);
	CU_ASSERT_EQUAL(b.parts, LIMIT_PARTS_WINDOW + 2);
	api_reply_want(b.job->q, 1000);
	raw_send_all(&b.raw, body + sent, len - sent);
	while (b.parts_last == 0)
		raw_turn(&b.raw);
	CU_ASSERT_EQUAL(b.body.len, len);
	CU_ASSERT_EQUAL(b.parts_last, 1);
	raw_reset(&b.raw);
	CU_ASSERT(raw_until(&b.raw, &b.was_cancelled));
	raw_open(&b.raw, b.loop, api_address(b.api));
	b.raw.is_deaf = true;
	raw_send(&b.raw, QUERY("big", ""));
	for (int i = 0; i < 100; i++)
		raw_turn(&b.raw);
	CU_ASSERT(b.job != NULL);
	b.raw.is_deaf = false;
	raw_reply_fini(&b.reply);
	raw_reply(&b.raw, false, &b.reply);
	CU_ASSERT_EQUAL(b.reply.body.len, (size_t)REPLY_PARTS * LIMIT_PART_BYTES_MAX);
	CU_ASSERT(b.under_way_max <= LIMIT_PARTS_WINDOW);
	bench_close(&b);
	free(body);
}

static void
test_cancel(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	for (int i = 0; i < 4; i++) {
		struct raw *raw = i % 2 ? &b.socket : &b.raw;

		raw_send(raw, QUERY("hold", ""));
		while (b.job == NULL)
			raw_turn(raw);
		raw_close(raw);
		CU_ASSERT(raw_until(raw, &b.was_cancelled));
		CU_ASSERT_EQUAL(api_running(b.api), 0);
		b.was_cancelled = false;
		raw_open(raw, b.loop, i % 2 ? b.path : api_address(b.api));
	}
	/* And when the daemon itself ends. */
	raw_send(&b.raw, QUERY("hold", ""));
	while (b.job == NULL)
		raw_turn(&b.raw);
	bench_close(&b);
	CU_ASSERT(b.was_cancelled);
}

/* Every route stands in openapi.yaml with its method, and every path there is a route. */
#define WORK(path, body)                                                                 \
	"POST /v1/admin/" path " HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n" body

static void
test_works(void)
{
	struct bench b;
	char *large;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, WORK("dump", "{}"), 403);
	bench_ask(&b, &b.socket, WORK("dump?strict", "{}"), 200);
	CU_ASSERT_TRUE(b.reply.is_whole);
	CU_ASSERT_EQUAL(b.reply.body.len, (size_t)WORK_PIECES * WORK_PIECE);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-type"),
			       "application/x-test");
	CU_ASSERT_STRING_EQUAL(buf_text(&b.work_body), "{}");
	CU_ASSERT_TRUE(b.work_is_strict);
	/* No more than a piece waits for a client. */
	CU_ASSERT_TRUE(b.work_waits > WORK_PIECES / 4);
	bench_ask(&b, &b.socket, WORK("dump", "no"), 429);
	bench_ask(&b, &b.socket, WORK("backup", "{}"), 507);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf_text(&b.reply.body), "the disk is full"));
	bench_ask(&b, &b.socket, WORK("load", "{}"), 200);
	CU_ASSERT_FALSE(b.reply.is_whole);
	bench_ask(&b, &b.socket, WORK("load?a=%00", "{}"), 400);
	large = mem_printf("POST /v1/admin/load HTTP/1.1\r\n" H
			   "Content-Length: %d\r\n\r\n%*s",
			   API_WORK_BODY_BYTES_MAX + 1, API_WORK_BODY_BYTES_MAX + 1, "");
	bench_ask(&b, &b.socket, large, 413);
	free(large);
	bench_close(&b);
}

static void
test_work_is_cancelled(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	b.socket.is_deaf = true;
	raw_send(&b.socket, WORK("dump", "{}"));
	while (b.work_waits == 0)
		raw_turn(&b.socket);
	raw_close(&b.socket);
	CU_ASSERT(raw_until(&b.raw, &b.was_cancelled));
	CU_ASSERT_TRUE(b.work_left > 0);
	raw_open(&b.socket, b.loop, b.path);
	/* And one that is not over when the interface goes. */
	b.was_cancelled = false;
	b.socket.is_deaf = true;
	b.work_waits = 0;
	raw_send(&b.socket, WORK("dump", "{}"));
	while (b.work_waits == 0)
		raw_turn(&b.socket);
	bench_close(&b);
	CU_ASSERT_TRUE(b.was_cancelled);
}

static void
test_openapi(void)
{
	const char *method, *path, *at;
	bool is_admin;
	int routes = 0, paths = 0;

	for (int i = 0; api_route_at(i, &method, &path, &is_admin); i++) {
		char *entry = mem_printf("\n  %s:\n", path);
		const char *found = strstr(openapi_yaml, entry), *end, *operation;

		routes++;
		CU_ASSERT_PTR_NOT_NULL_FATAL(found);
		end = strstr(found + 1, "\n  /");
		operation = strstr(found, strcmp(method, "GET") == 0 ? "\n    get:"
								     : "\n    post:");
		CU_ASSERT(operation != NULL && (end == NULL || operation < end));
		at = strstr(found, "x-ocf-socket-only: true");
		CU_ASSERT_EQUAL(at != NULL && (end == NULL || at < end), is_admin);
		free(entry);
	}
	for (at = openapi_yaml; (at = strstr(at, "\n  /")) != NULL; at++)
		paths++;
	CU_ASSERT_EQUAL(paths, routes); /* one method a path so far */
}

static double
read_seven(void *arg)
{
	return 7 + *(int *)arg;
}

static void
test_metrics(void)
{
	struct metrics *m = metrics_new();
	struct buf out = BUF_INIT;
	double bounds[] = { 0.1, 1 };
	char *labels = metrics_labels("a", "x\"\\\ny", "b", "2", NULL);
	uint64_t *counter = metrics_counter(m, "ocf_c_total", "Counts\nit.", labels);
	struct metric_histogram *h = metrics_histogram(m, "ocf_h_seconds", "H.", NULL,
						       bounds, 2);
	int one = 1;

	(*counter) += 3;
	(*metrics_counter(m, "ocf_c_total", "", labels))++;
	(*metrics_counter(m, "ocf_c_total", "", NULL))++;
	metrics_gauge_read(m, "ocf_g", "G.", NULL, read_seven, &one);
	*metrics_gauge(m, "ocf_s", "S.", NULL) = 0.5;
	metric_observe(h, 0.1);
	metric_observe(h, 0.5);
	metric_observe(h, 5);
	metrics_write(m, &out);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&out),
		"# HELP ocf_c_total Counts\\nit.\n# TYPE ocf_c_total counter\n"
		"ocf_c_total{a=\"x\\\"\\\\\\ny\",b=\"2\"} 4\nocf_c_total 1\n"
		"# HELP ocf_h_seconds H.\n# TYPE ocf_h_seconds histogram\n"
		"ocf_h_seconds_bucket{le=\"0.1\"} 1\n"
		"ocf_h_seconds_bucket{le=\"1\"} 2\n"
		"ocf_h_seconds_bucket{le=\"+Inf\"} 3\n"
		"ocf_h_seconds_sum 5.5999999999999996\nocf_h_seconds_count 3\n"
		"# HELP ocf_g G.\n# TYPE ocf_g gauge\nocf_g 8\n"
		"# HELP ocf_s S.\n# TYPE ocf_s gauge\nocf_s 0.5\n");
	for (int i = 0; i < METRICS_SERIES_MAX + 10; i++) {
		char number[32];

		snprintf(number, sizeof(number), "n=\"%d\"", i);
		(*metrics_counter(m, "ocf_many_total", "Many.", number))++;
	}
	CU_ASSERT_EQUAL(*counter, 4);
	buf_fini(&out);
	free(labels);
	metrics_free(m);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "the views, probes, metrics and the document are served", test_views },
		{ "an unknown path is 404, a wrong method 405 with Allow",
		  test_unknown_routes },
		{ "a query's head is made of the request's", test_query_head },
		{ "bad words in a query's head are refused", test_bad_query_heads },
		{ "a small JSON body names the model", test_model_of_body },
		{ "a failed query says why, and what there is", test_query_errors },
		{ "bodies flow within their windows", test_windows },
		{ "a client that leaves cancels its query", test_cancel },
		{ "a work's reply comes in pieces, as the client takes them",
		  test_works },
		{ "a client that leaves cancels its work", test_work_is_cancelled },
		{ "openapi.yaml and the table of routes say the same", test_openapi },
		{ "metrics are written as Prometheus reads them", test_metrics },
	};

	return TAP_MAIN(argc, argv, tests);
}
