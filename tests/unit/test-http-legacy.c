/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of the 2023 original: its shapes, exactly, and its errors. */
#include "config.h"

#include "http/legacy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

static void
ask(struct bench *b, const char *body, const char *headers, int status)
{
	char *request = mem_printf("POST /api/v1/request/%s HTTP/1.1\r\n" H
				   "%sContent-Length: %zu\r\n\r\n%s",
				   status % 2 ? "_inference" : "inference", headers,
				   strlen(body), body);

	bench_ask(b, &b->raw, request, status);
	free(request);
}

/* What went to the worker for a body of a client; NULL: refused, and `why` says so. */
static const char *
pass(const char *body, const char *why)
{
	static struct buf out;
	struct errmsg err = { "" };
	char *service = NULL;
	int status;

	buf_clear(&out);
	if (body == NULL) {
		buf_fini(&out);
		return NULL;
	}
	status = legacy_read(bytes_text(body), &service, &out, &err);
	if (why != NULL && (status != 400 || strstr(err.text, why) == NULL))
		tap_note("%s: %d, %s", body, status, err.text);
	CU_ASSERT((status == 0) == (service != NULL));
	CU_ASSERT(status == 0 || out.len == 0);
	CU_ASSERT((why != NULL) == (status == 400));
	CU_ASSERT(why == NULL || strstr(err.text, why) != NULL);
	if (service != NULL)
		CU_ASSERT(strncmp(service, "inference:m", 11) == 0);
	free(service);
	return status == 0 ? buf_text(&out) : NULL;
}

static void
test_requests(void)
{
	static const char exact[] = "{ \"params\":{\"t\":0.1,\"s\":18446744073709551615,"
				    "\"u\":\"\\u00e9\"},\"model_name\":\"m/x\" }";
	char *longest = mem_calloc(1, 300), *body;

	CU_ASSERT_STRING_EQUAL(pass(exact, NULL), exact);
	CU_ASSERT_STRING_EQUAL(pass("{\"model_name\":\"m\"}", NULL),
			       "{\"model_name\":\"m\",\"params\":{}}");
	CU_ASSERT_STRING_EQUAL(pass("{\"params\":null,\"model_name\":\"m\"}", NULL),
			       "{\"model_name\":\"m\",\"params\":{}}");
	CU_ASSERT_STRING_EQUAL(
		pass("{\"x\":[1],\"params\":{\"n\":5},\"model_name\":\"m\"}", NULL),
		"{\"model_name\":\"m\",\"params\":{\"n\":5}}");
	pass("", "not JSON");
	pass("{", "not JSON");
	pass("\xff", "not JSON");
	pass("{\"model_name\":\"m\"} x", "not JSON");
	pass("{\"model_name\":\"m\",\"model_name\":\"n\"}", "not JSON");
	pass("{\"model_name\":\"m\",\"params\":{\"x\":1e999}}", "not JSON");
	pass("[\"model_name\"]", "not a JSON object");
	pass("{}", "`model_name` is missing");
	pass("{\"model_name\":\"\"}", "`model_name` is missing");
	pass("{\"model_name\":null}", "`model_name` is missing");
	pass("{\"model_name\":\"m\\u0000\"}", "not JSON");
	pass("{\"model_name\":\"m\\n\"}", "control characters");
	pass("{\"model_name\":\"m\",\"params\":7}", "`params`");
	pass("{\"model_name\":\"m\",\"params\":{\"s\":18446744073709551615},\"x\":1}",
	     "over 64 bits");
	memset(longest, 'm', LIMIT_SERVICE_BYTES_MAX - 10);
	body = mem_printf("{\"model_name\":\"%s\",\"params\":{}}", longest);
	CU_ASSERT_STRING_EQUAL(pass(body, NULL), body);
	free(body);
	body = mem_printf("{\"model_name\":\"%sm\"}", longest);
	pass(body, "over 190 bytes");
	free(body);
	free(longest);
	pass(NULL, NULL);
}

static void
test_answers(void)
{
	struct bench b;
	json_t *reply;

	bench_open(&b, (struct access_config){ 0 });
	ask(&b, "{\"model_name\":\"echo\",\"params\":{}}",
	    "Ocf-Timeout: 3s\r\nContent-Type: text/plain\r\nX-Request-Id: r7\r\n", 200);
	CU_ASSERT_STRING_EQUAL(b.head.service, "inference:echo");
	CU_ASSERT_STRING_EQUAL(b.head.method, "POST");
	CU_ASSERT_STRING_EQUAL(b.head.path, "/");
	CU_ASSERT_STRING_EQUAL(b.head.content_type, "application/json");
	/* less what the body took */
	CU_ASSERT(b.head.timeout_ms > 0 && b.head.timeout_ms <= 3000);
	CU_ASSERT(!b.head.is_idempotent);
	CU_ASSERT(b.head.selector == NULL && b.head.body_len == 33);
	CU_ASSERT(bytes_equal_text(buf_bytes(&b.body),
				   "{\"model_name\":\"echo\",\"params\":{}}"));
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body),
			       "{\"message\":\"ok\",\"data\":\"{\\\"model_name\\\":"
			       "\\\"echo\\\",\\\"params\\\":{}}\"}\n");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "content-type"), "application/json");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-request-id"), "r7");
	CU_ASSERT(raw_header(&b.reply, "x-computing-node") != NULL);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "x-computing-worker"), "w-1");
	/* A body in many parts, and a selector in it that is none here. */
	for (int i = 0; i < 2; i++) {
		char *big = mem_alloc(API_INFERENCE_BODY_BYTES_MAX + 1), *body;

		memset(big, 'x', API_INFERENCE_BODY_BYTES_MAX);
		big[API_INFERENCE_BODY_BYTES_MAX - 50 + 10 * i] = '\0';
		body = mem_printf(
			"{\"model_name\":\"echo\",\"params\":{\"model\":\"%s\"}}", big);
		ask(&b, body, "",
		    strlen(body) <= API_INFERENCE_BODY_BYTES_MAX ? 200 : 413);
		free(body);
		free(big);
	}
	CU_ASSERT(b.head.selector == NULL);
	reply = legacy_answer(bytes_of("a\0\xff\xc3\xa9", 5));
	CU_ASSERT(json_string_length(json_object_get(reply, "data")) == 7);
	CU_ASSERT(memcmp(json_string_value(json_object_get(reply, "data")),
			 "a\0\xef\xbf\xbd\xc3\xa9", 8) == 0);
	json_decref(reply);
	bench_close(&b);
}

static void
expect_error(struct bench *b, const char *text)
{
	json_t *reply = bench_json(b);
	const char *error = json_string_value(json_object_get(reply, "error"));

	CU_ASSERT_STRING_EQUAL(raw_header(&b->reply, "content-type"), "application/json");
	CU_ASSERT(json_object_size(reply) == 1 && error != NULL);
	if (error == NULL || strstr(error, text) == NULL)
		tap_note("%s: %s", text, buf_text(&b->reply.body));
	CU_ASSERT(error != NULL && strstr(error, text) != NULL);
	json_decref(reply);
}

static void
test_errors(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	ask(&b, "{\"model_name\":\"none\"}", "", 404);
	expect_error(&b, "no worker available: no node offers");
	ask(&b, "{\"model_name\":\"busy\"}", "", 503);
	expect_error(&b, "no worker available: all workers are busy");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "retry-after"), "7");
	/* What came of a reply that broke off is not sent: it is gathered first. */
	ask(&b, "{\"model_name\":\"torn\"}", "", 502);
	expect_error(&b, "the worker died");
	ask(&b, "{\"model_name\":\"big\"}", "", 502);
	expect_error(&b, "over 8388608 bytes");
	CU_ASSERT(b.was_cancelled && b.job == NULL);
	ask(&b, "nonsense", "", 400);
	expect_error(&b, "not JSON");
	ask(&b, "", "", 400);
	expect_error(&b, "not JSON");
	ask(&b, "{\"model_name\":\"echo\"}", "Ocf-Timeout: soon\r\n", 400);
	expect_error(&b, "Ocf-Timeout");
	ask(&b, "{\"model_name\":\"echo\"}", "Origin: http://evil.example\r\n", 403);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "{\"error\":") != NULL);
	bench_ask(&b, &b.raw, GET("/api/v1/request/inference"), 405);
	expect_error(&b, "no such method");
	CU_ASSERT(raw_header(&b.reply, "allow") != NULL);
	bench_ask(&b, &b.raw, GET("/api/v1/status/nothing"), 404);
	/* A client that leaves. */
	b.was_cancelled = false;
	raw_send(&b.raw, "POST /api/v1/request/inference HTTP/1.1\r\n" H
			 "Content-Length: 21\r\n\r\n{\"model_name\":\"hold\"}");
	while (b.job == NULL)
		raw_turn(&b.raw);
	raw_close(&b.raw);
	CU_ASSERT(raw_until(&b.raw, &b.was_cancelled));
	raw_open(&b.raw, b.loop, api_address(b.api));
	raw_send(&b.raw, "POST /api/v1/request/inference HTTP/1.1\r\n" H
			 "Content-Length: 21\r\n\r\n{\"model");
	for (int i = 0; i < 20; i++)
		raw_turn(&b.raw);
	CU_ASSERT_EQUAL(api_running(b.api), 1);
	bench_close(&b);
}

static void
test_table(void)
{
	json_t *workers = json_pack(
		"[{s:s,s:s,s:s,s:[{s:s,s:i},{s:s,s:i}],s:{s:[{s:s,s:i,s:i,s:i}]}},"
		" {s:s,s:s,s:s,s:[{s:s,s:i}],s:{s:[{s:s,s:i}]}},"
		" {s:s,s:s,s:s,s:[{s:s,s:i}],s:{s:[]}}]",
		"id", "c12", "node", "n1", "state", "ready", "services", "name",
		"inference:a", "slots", 0, "name", "inference:b", "slots", 0, "hardware",
		"gpus", "name", "G", "memory", 9, "memory_free", 4, "memory_used", 5,
		"id", "c13", "node", "n2", "state", "draining", "services", "name", "wc",
		"slots", 2, "hardware", "gpus", "name", "H", "memory", 7, "id", "x",
		"node", "n3", "state", "hidden", "services", "name", "wc", "slots", 0,
		"hardware", "gpus");
	json_t *table = legacy_table(workers), *row;
	char *text;

	CU_ASSERT_EQUAL_FATAL(json_array_size(json_object_get(table, "nodes")), 3);
	row = json_array_get(json_object_get(table, "nodes"), 1);
	text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
	CU_ASSERT_STRING_EQUAL(
		text, "{\"client_id\":12,\"gpus\":[{\"memory\":9,\"memory_free\":4,"
		      "\"memory_used\":5,\"name\":\"G\"}],\"peer_id\":\"n1\",\"service\":"
		      "\"inference:b\",\"status\":\"connected\"}");
	free(text);
	/* One with slots is no legacy worker, whatever its id. */
	row = json_array_get(json_object_get(table, "nodes"), 2);
	CU_ASSERT(json_integer_value(json_object_get(row, "client_id")) > 13);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "status")),
			       "draining");
	json_decref(table);
	json_decref(workers);
	workers = json_array();
	table = legacy_table(workers);
	CU_ASSERT(json_is_null(json_object_get(table, "nodes")));
	json_decref(table);
	json_decref(workers);
}

static void
test_health_and_connections(void)
{
	struct bench b;
	struct raw *raw;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, GET("/api/v1/status/health"), 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "{\"status\":\"ok\"}\n");
	bench_ask(&b, &b.raw, GET("/api/v1/status/health?peer=1"), 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body),
			       "{\"status\":\"ok\",\"peers\":[]}\n");
	bench_ask(&b, &b.raw, GET("/api/v1/status/connections"), 503);
	expect_error(&b, "the bus is down");
	b.is_ready = true;
	for (int i = 0; i < 2; i++) {
		raw_send(&b.raw, GET("/api/v1/status/connections"));
		while (b.connections_fn == NULL)
			raw_turn(&b.raw);
		b.connections_fn(b.connections_arg,
				 i == 0 ? bytes_text("{\"x\":1}") : BYTES_NONE);
		b.connections_fn = NULL;
		raw_reply_fini(&b.reply);
		raw_reply(&b.raw, false, &b.reply);
		CU_ASSERT_EQUAL(b.reply.status, i == 0 ? 200 : 503);
	}
	for (int i = 0; i < 2; i++) {
		raw = i == 0 ? &b.socket : &b.raw;
		raw_send(raw, GET("/api/v1/status/connections"));
		while (b.connections_fn == NULL)
			raw_turn(raw);
		if (i == 0) {
			raw_close(raw);
			CU_ASSERT(raw_until(raw, &b.was_cancelled));
			b.was_cancelled = false;
			raw_open(raw, b.loop, b.path);
		}
	}
	/* And when the daemon itself ends. */
	bench_close(&b);
	CU_ASSERT(b.was_cancelled);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a request is read, and passed on as it was written", test_requests },
		{ "an answer has the original's shape", test_answers },
		{ "so has an error, with its proper status", test_errors },
		{ "the table is the original's", test_table },
		{ "so are health and the connections", test_health_and_connections },
	};
	return TAP_MAIN(argc, argv, tests);
}
