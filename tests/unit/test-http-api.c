/* SPDX-License-Identifier: Apache-2.0 */
/* The routes over real sockets, TCP and unix; this program plays the daemon. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/metrics.h"
#include "lib/tap.h"
#include "unit/http-raw.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define QUERY(path, headers) "GET /v1/service/" path " HTTP/1.1\r\n" H headers "\r\n"

enum { REPLY_PARTS = 200, BENCH_TIMEOUT_MS = 45 * MS_SECOND };

struct job;

/* One node's HTTP interface, and what its daemon saw. */
struct bench {
	struct loop *loop;
	struct metrics *metrics;
	struct api *api;
	struct raw raw, socket;
	struct raw_reply reply;
	char *path;		/* of the unix socket */
	struct query_head head; /* of the last query */
	struct job *job;	/* running */
	bool is_ready;
	bool was_cancelled;
	int parts, parts_last; /* of the last query's body, and marked as last */
	struct buf body;
	int under_way; /* reply parts not reported as taken */
	int under_way_max;
};

struct job {
	struct bench *bench;
	struct api_query *q;
	int left; /* reply parts */
};

static void
job_free(struct job *job)
{
	job->bench->job = NULL;
	free(job);
}

static void
job_reply_head(struct job *job)
{
	struct reply_head head = { .status = 200,
				   .content_type = mem_strdup("text/x-test") };

	memset(head.node.b, 0xab, ID_BYTES);
	head.worker = mem_strdup("w-1");
	query_headers_add(&head.headers, "x-own", "yes");
	query_headers_add(&head.headers, "x-bad", "a\x01");
	query_headers_add(&head.headers, "content-length", "1");
	query_headers_add(&head.headers, "access-control-allow-origin", "*");
	api_reply_head(job->q, &head);
	reply_head_fini(&head);
}

static void
job_pump(struct job *job)
{
	static const uint8_t part[LIMIT_PART_BYTES_MAX];
	struct bench *b = job->bench;

	while (job->left > 0 && b->under_way < LIMIT_PARTS_WINDOW) {
		api_reply_data(job->q, bytes_of(part, sizeof(part)));
		job->left--;
		if (++b->under_way > b->under_way_max)
			b->under_way_max = b->under_way;
	}
	if (job->left == 0) {
		api_reply_end(job->q);
		job_free(job);
	}
}

static void
job_fail(struct bench *b, struct api_query *q, int status, const char *text)
{
	struct query_error error;

	query_error_set(&error, status, "%s", text);
	error.retry_after_s = status == 503 ? 7 : 0;
	api_reply_error(q, &error);
	query_error_fini(&error);
	(void)b;
}

static void *
host_query_open(void *arg, struct api_query *q, const struct query_head *head)
{
	struct bench *b = arg;
	struct job *job;

	query_head_fini(&b->head);
	query_head_copy(head, &b->head);
	b->parts = b->parts_last = 0;
	buf_clear(&b->body);
	if (strcmp(head->service, "none") == 0) {
		job_fail(b, q, 404, "no node offers the service none");
		return NULL;
	}
	if (strcmp(head->service, "busy") == 0) {
		job_fail(b, q, 503, "all workers are busy");
		return NULL;
	}
	job = mem_calloc(1, sizeof(*job));
	job->bench = b;
	job->q = q;
	b->job = job;
	return job;
}

static void
host_query_body(void *token, struct bytes part, bool is_last)
{
	struct job *job = token;
	struct bench *b = job->bench;

	CU_ASSERT(part.len <= LIMIT_PART_BYTES_MAX);
	b->parts++;
	b->parts_last += is_last;
	buf_put_bytes(&b->body, part);
	if (strcmp(b->head.service, "hold") == 0)
		return;
	if (!is_last) {
		api_reply_want(job->q, 1);
	} else if (strcmp(b->head.service, "big") == 0) {
		job_reply_head(job);
		job->left = REPLY_PARTS;
		job_pump(job);
	} else if (strcmp(b->head.service, "torn") == 0) {
		job_reply_head(job);
		api_reply_data(job->q, bytes_text("half of "));
		job_fail(b, job->q, 502, "the worker died");
		job_free(job);
	} else {
		job_reply_head(job);
		api_reply_data(job->q, buf_bytes(&b->body));
		api_reply_end(job->q);
		job_free(job);
	}
}

static void
host_query_consumed(void *token, int parts)
{
	struct job *job = token;

	job->bench->under_way -= parts;
	CU_ASSERT(parts > 0 && job->bench->under_way >= 0);
	if (strcmp(job->bench->head.service, "big") == 0)
		job_pump(job);
}

static void
host_query_cancel(void *token)
{
	struct job *job = token;

	job->bench->was_cancelled = true;
	job_free(job);
}

static json_t *
host_read(void *arg, enum api_view view, const struct query_headers *params)
{
	const char *all = query_headers_get(params, "all");

	(void)arg;
	if (view == API_VIEW_PEERS)
		return NULL;
	if (view == API_VIEW_SERVICES)
		return json_pack("[{s:s,s:[s,s]},{s:s,s:[]}]", "name", "echo", "match",
				 "model=a", "model=b", "name", "wc", "match");
	return json_pack("{s:i,s:s?}", "view", (int)view, "all", all);
}

static int
host_admin(void *arg, const char *name, const json_t *body, json_t **ret_reply,
	   struct errmsg *err)
{
	(void)arg;
	if (json_object_get(body, "fail") != NULL) {
		error_set(err, 0, "this node does not hold the CA's key");
		return 403;
	}
	*ret_reply = json_pack("{s:s,s:O}", "name", name, "body",
			       (json_t *)(uintptr_t)body);
	return 200;
}

static bool
host_ready(void *arg, struct errmsg *why)
{
	struct bench *b = arg;

	if (!b->is_ready)
		error_set(why, 0, "the bus is not up");
	return b->is_ready;
}

static void
bench_sha256(const void *data, size_t len, uint8_t out[ACCESS_HASH_BYTES])
{
	SHA256(data, len, out);
}

static void
bench_open(struct bench *b, struct access_config access)
{
	static int number;
	struct errmsg err = { "" };
	struct api_config config = {
		.host = { .arg = b,
			  .read = host_read,
			  .admin = host_admin,
			  .ready = host_ready,
			  .query_open = host_query_open,
			  .query_body = host_query_body,
			  .query_consumed = host_query_consumed,
			  .query_cancel = host_query_cancel },
		.version = "test",
		.body_max = 64 * 1024 * 1024,
		.timeout_ms = BENCH_TIMEOUT_MS,
		.linger_ms = 100,
	};

	*b = (struct bench){ .loop = loop_new(), .metrics = metrics_new() };
	config.loop = b->loop;
	config.metrics = b->metrics;
	access.sha256 = bench_sha256;
	config.access = access;
	CU_ASSERT_EQUAL_FATAL(api_new(&config, &b->api, &err), 0);
	b->path = mem_printf("unix:%s/%d.sock", tap_folder(), number++);
	if (api_listen(b->api, "127.0.0.1:0", NULL, 0, &err) != 0 ||
	    api_listen(b->api, b->path, NULL, 0660, &err) != 0)
		tap_note("%s", err.text);
	raw_open(&b->raw, b->loop, api_address(b->api));
	raw_open(&b->socket, b->loop, b->path);
}

static void
bench_close(struct bench *b)
{
	raw_reply_fini(&b->reply);
	raw_close(&b->raw);
	raw_close(&b->socket);
	api_free(b->api);
	metrics_free(b->metrics);
	loop_free(b->loop);
	query_head_fini(&b->head);
	buf_fini(&b->body);
	free(b->path);
}

static void
bench_ask(struct bench *b, struct raw *raw, const char *request, int status)
{
	raw_reply_fini(&b->reply);
	if (raw->is_eof) {
		raw_close(raw);
		raw_open(raw, b->loop, raw == &b->socket ? b->path : api_address(b->api));
	}
	raw_send(raw, request);
	raw_reply(raw, strncmp(request, "HEAD", 4) == 0, &b->reply);
	if (b->reply.status != status)
		tap_note("%.60s: status %d, wanted %d: %s", request, b->reply.status,
			 status, buf_text(&b->reply.body));
	CU_ASSERT_EQUAL(b->reply.status, status);
	if (raw_header(&b->reply, "connection") != NULL) {
		CU_ASSERT(raw_ends(raw));
	}
}

static json_t *
bench_json(struct bench *b)
{
	return json_loadb((const char *)b->reply.body.data, b->reply.body.len, 0, NULL);
}

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

#define INVITE "POST /v1/admin/invite HTTP/1.1\r\n" H
static void
test_admin(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, INVITE "\r\n", 403);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "unix socket") != NULL);
	bench_ask(&b, &b.socket, INVITE "\r\n", 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body),
			       "{\"name\":\"invite\",\"body\":{}}\n");
	bench_ask(&b, &b.socket, INVITE "Content-Length: 10\r\n\r\n{\"uses\":2}", 200);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "\"uses\":2") != NULL);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 10\r\n\r\n{\"fail\":2}", 403);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 2\r\n\r\n[]", 400);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 1\r\n\r\n{", 400);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 15\r\n\r\n{\"a\":1, \"a\": 1}",
		  400);
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

#define FROM(host, more) "GET /v1/status HTTP/1.1\r\nHost: " host "\r\n" more "\r\n"
#define POST_FROM(host, origin)                                                          \
	"POST /v1/service/wc HTTP/1.1\r\nHost: " host "\r\nOrigin: " origin "\r\n\r\n"
static void
test_sites(void)
{
	static const char *const names[] = { "box.example" };
	struct bench b;

	bench_open(&b, (struct access_config){ .names = names, .names_len = 1 });
	bench_ask(&b, &b.raw, FROM("localhost:1234", ""), 200);
	bench_ask(&b, &b.raw, FROM("127.0.0.2", ""), 200);
	bench_ask(&b, &b.raw, FROM("[::1]:8092", ""), 200);
	bench_ask(&b, &b.raw, FROM("Box.Example:1", ""), 200);
	bench_ask(&b, &b.raw, FROM("box.example.", ""), 200);
	bench_ask(&b, &b.raw, FROM("evil.example", ""), 421);
	bench_ask(&b, &b.raw, FROM("127.0.0.1.evil.example", ""), 421);
	bench_ask(&b, &b.raw, FROM("192.168.1.2", ""), 421);
	bench_ask(&b, &b.raw, "GET http://evil.example/v1/status HTTP/1.1\r\n" H "\r\n",
		  421);
	bench_ask(&b, &b.socket, FROM("evil.example", ""), 200);
	bench_ask(&b, &b.raw, FROM("localhost", "Origin: http://evil.example\r\n"), 200);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:1"), 200);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:2"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://evil.example"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "null"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:1, http://e"),
		  403);
	bench_close(&b);
}

static char *
write_tokens(const char *name, const char *more, mode_t mode)
{
	char *path = mem_printf("%s/%s", tap_folder(), name), hex[65], *text;
	uint8_t hash[32];
	struct errmsg err;

	bench_sha256("secret", 6, hash);
	text = mem_printf("# who\n\nme:%s:rate=1\nyou:%064d\n%s",
			  hex_encode(hash, 32, hex), 0, more);
	CU_ASSERT_EQUAL(file_write(path, bytes_text(text), mode, &err), 0);
	free(text);
	return path;
}

static void
test_tokens(void)
{
	char *path = write_tokens("tokens", "", 0600);
	char *other = write_tokens("tokens-bad", "x:12\n", 0600);
	struct bench b;
	struct errmsg err;

	bench_open(&b,
		   (struct access_config){ .token_file = path, .local_tokens = true });
	bench_ask(&b, &b.raw, FROM("localhost", ""), 401);
	CU_ASSERT(strncmp(raw_header(&b.reply, "www-authenticate"), "Bearer", 6) == 0);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer wrong\r\n"), 401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Basic secret\r\n"), 401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer\r\n"), 401);
	bench_ask(&b, &b.raw,
		  FROM("localhost", "Authorization: Bearer secret\r\n"
				    "Authorization: Bearer wrong\r\n"),
		  401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: bearer secret\r\n"), 200);
	bench_ask(&b, &b.raw, GET("/nothing"), 401);
	bench_ask(&b, &b.raw, GET("/healthz"), 200);
	bench_ask(&b, &b.socket, FROM("x", ""), 200);
	CU_ASSERT_EQUAL(api_reload(b.api,
				   &(struct access_config){ .token_file = other,
							    .local_tokens = true,
							    .sha256 = bench_sha256 },
				   &err),
			-OCF_EMALFORMED);
	CU_ASSERT(strstr(err.text, "tokens-bad:5: ") != NULL);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer secret\r\n"), 200);
	CU_ASSERT_EQUAL(
		api_reload(b.api, &(struct access_config){ .token_file = NULL }, &err),
		0);
	bench_ask(&b, &b.raw, FROM("localhost", ""), 200);
	bench_close(&b);
	free(path);
	free(other);
}

static void
test_access_config(void)
{
	char *path = write_tokens("tokens-ok", "", 0600);
	char *loose = write_tokens("tokens-loose", "", 0644);
	struct access_config none = { 0 },
			     tokens = { .token_file = path, .sha256 = bench_sha256 };
	struct access_config open = { .is_public = true },
			     closed = { .local_tokens = true };
	struct access_config readable = { .token_file = loose, .sha256 = bench_sha256 };
	struct access_config absent = { .token_file = "/nonexistent/t",
					.sha256 = bench_sha256 };
	struct errmsg err;

	CU_ASSERT_EQUAL(api_check_access_config(&none, "127.0.0.1:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "[::1]:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "0.0.0.0:8092", &err), -EPERM);
	CU_ASSERT(strstr(err.text, "http.public") != NULL);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "[::]:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&tokens, "0.0.0.0:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&open, "0.0.0.0:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&closed, "127.0.0.1:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&readable, "0.0.0.0:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&absent, "0.0.0.0:8092", &err), -ENOENT);
	free(path);
	free(loose);
}

/* What an address that anyone reaches answers to: 0, 421 or 403. */
static int
network_site(const struct access *a, const char *method, const char *host,
	     const char *origin)
{
	struct http_head head = { .method = method, .target = "/", .host = host };
	struct errmsg err;

	if (origin != NULL)
		head.headers[head.headers_len++] = (struct http_header){
			.name = "origin", .value = origin
		};
	return access_check_site(a, ACCESS_NETWORK, &head, &err);
}

static void
test_network_sites(void)
{
	static const char *const names[] = { "box.example" };
	struct access_config named = { .names = names,
				       .names_len = 1,
				       .is_public = true };
	struct access_config open = { .is_public = true },
			     closed = { .is_public = false };
	struct access *a;
	struct errmsg err;

	CU_ASSERT_EQUAL_FATAL(access_new(&named, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "box.example:8092", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "192.168.1.2:8092", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "[2001:db8::1]", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "evil.example", NULL), 421);
	CU_ASSERT_EQUAL(network_site(a, "PUT", "10.0.0.1", "http://10.0.0.1"), 0);
	CU_ASSERT_EQUAL(network_site(a, "PUT", "10.0.0.1", "http://evil.example"), 403);
	access_free(a);
	/* A public node without names: a rebound name must not reach it. */
	CU_ASSERT_EQUAL_FATAL(access_new(&open, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "any.example", NULL), 421);
	access_free(a);
	/* One that asks for tokens may be called anything, until names are given. */
	CU_ASSERT_EQUAL_FATAL(access_new(&closed, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "any.example", NULL), 0);
	access_free(a);
}

/* Every route stands in openapi.yaml with its method, and every path there is a route. */
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
		{ "admin routes exist on the unix socket only", test_admin },
		{ "a query's head is made of the request's", test_query_head },
		{ "bad words in a query's head are refused", test_bad_query_heads },
		{ "a small JSON body names the model", test_model_of_body },
		{ "a failed query says why, and what there is", test_query_errors },
		{ "bodies flow within their windows", test_windows },
		{ "a client that leaves cancels its query", test_cancel },
		{ "foreign Hosts and Origins are refused", test_sites },
		{ "which Hosts a public address answers to", test_network_sites },
		{ "tokens open what they should", test_tokens },
		{ "an address that anyone reaches needs tokens or public",
		  test_access_config },
		{ "openapi.yaml and the table of routes say the same", test_openapi },
		{ "metrics are written as Prometheus reads them", test_metrics },
	};

	return TAP_MAIN(argc, argv, tests);
}
