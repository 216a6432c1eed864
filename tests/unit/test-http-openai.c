/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's routes over real sockets: what reaches the daemon, and what the client is told. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

#define CHAT "/v1/chat/completions"

/* POST this JSON to a path. */
static void
openai_send(struct bench *b, const char *path, const char *headers, const char *body)
{
	char *head = mem_printf("POST %s HTTP/1.1\r\n" H
				"Content-Type: application/json\r\n%s"
				"Content-Length: %zu\r\n\r\n",
				path, headers, strlen(body));

	if (b->raw.is_eof) {
		raw_close(&b->raw);
		raw_open(&b->raw, b->loop, api_address(b->api));
	}
	raw_send(&b->raw, head);
	raw_send_all(&b->raw, body, strlen(body));
	free(head);
}

static void
openai_ask(struct bench *b, const char *path, const char *headers, const char *body,
	   int status)
{
	openai_send(b, path, headers, body);
	raw_reply_fini(&b->reply);
	raw_reply(&b->raw, false, &b->reply);
	CU_ASSERT_EQUAL(b->reply.status, status);
}

/* The reply is OpenAI's error. */
static void
expect_error(struct bench *b, const char *type, const char *code, const char *word)
{
	json_t *value = bench_json(b), *error = json_object_get(value, "error");
	const char *got = json_string_value(json_object_get(error, "code"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(error);
	CU_ASSERT_STRING_EQUAL(raw_header(&b->reply, "content-type"), "application/json");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(error, "type")), type);
	CU_ASSERT(code == NULL ? got == NULL : got != NULL && strcmp(got, code) == 0);
	CU_ASSERT(json_object_get(error, "param") != NULL);
	CU_ASSERT(strstr(json_string_value(json_object_get(error, "message")), word) !=
		  NULL);
	json_decref(value);
}

static void
test_models(void)
{
	struct bench b;
	json_t *value, *data;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, GET("/v1/models"), 200);
	value = bench_json(&b);
	data = json_object_get(value, "data");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "object")),
			       "list");
	CU_ASSERT_EQUAL_FATAL(json_array_size(data), 2);
	for (size_t i = 0; i < 2; i++) {
		static const char *const ids[] = { "org/small", "large" };
		const json_t *model = json_array_get(data, i);

		CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(model, "id")),
				       ids[i]);
		CU_ASSERT_STRING_EQUAL(
			json_string_value(json_object_get(model, "object")), "model");
		CU_ASSERT(json_is_integer(json_object_get(model, "created")));
		CU_ASSERT(json_is_string(json_object_get(model, "owned_by")));
	}
	json_decref(value);
	for (int i = 0; i < 2; i++) {
		bench_ask(&b, &b.raw,
			  i == 0 ? GET("/v1/models/org/small")
				 : GET("/v1/models/org%2Fsmall?x"),
			  200);
		value = bench_json(&b);
		CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(value, "id")),
				       "org/small");
		json_decref(value);
	}
	bench_ask(&b, &b.raw, GET("/v1/models/gone"), 404);
	expect_error(&b, "invalid_request_error", "model_not_found", "gone");
	bench_ask(&b, &b.raw, GET("/v1/models/a%00"), 404);
	bench_ask(&b, &b.raw, "POST /v1/models HTTP/1.1\r\n" H "\r\n", 405);
	expect_error(&b, "invalid_request_error", NULL, "method");
	bench_close(&b);
}

static void
test_requests(void)
{
	static const char *const paths[] = { CHAT, "/v1/completions", "/v1/embeddings",
					     "/v1/responses" };
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const char
			*body = "{\"seed\":18446744073709551615,\"model\":\"org/small\"}";
		char *path = mem_printf("%s?x=%%20", paths[i]);

		openai_ask(&b, path, "", body, 200);
		CU_ASSERT_STRING_EQUAL(b.head.service, "llm");
		CU_ASSERT_STRING_EQUAL(b.head.path, path);
		CU_ASSERT_STRING_EQUAL(b.head.selector, "model=org/small");
		CU_ASSERT_STRING_EQUAL(b.head.content_type, "application/json");
		CU_ASSERT(b.head.is_idempotent);
		CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), body);
		free(path);
	}
	openai_ask(&b, CHAT, "Ocf-Match: model=x\r\n", "{\"model\":\"y\"}", 200);
	CU_ASSERT_STRING_EQUAL(b.head.selector, "model=x");
	openai_ask(&b, CHAT, "", "{}", 200);
	CU_ASSERT(b.head.selector == NULL);
	bench_ask(&b, &b.raw, GET(CHAT), 405);
	bench_close(&b);
}

/* The model often comes last, behind pictures. */
static void
test_large_requests(void)
{
	char *blanks = mem_alloc(API_PEEK_BYTES_MAX + 1), *body;
	struct bench b;

	memset(blanks, ' ', API_PEEK_BYTES_MAX);
	blanks[API_PEEK_BYTES_MAX] = '\0';
	bench_open(&b, (struct access_config){ 0 });
	body = mem_printf("{%.*s\"model\":\"m\"}", API_PEEK_BYTES_MAX - 13, blanks);
	CU_ASSERT_EQUAL(strlen(body), API_PEEK_BYTES_MAX);
	openai_ask(&b, CHAT, "", body, 200);
	CU_ASSERT_STRING_EQUAL(b.head.selector, "model=m");
	CU_ASSERT_EQUAL(b.reply.body.len, API_PEEK_BYTES_MAX);
	free(body);
	body = mem_printf("{%.*s\"model\":\"m\"}", API_PEEK_BYTES_MAX - 12, blanks);
	openai_ask(&b, CHAT, "", body, 413);
	expect_error(&b, "invalid_request_error", NULL, "Ocf-Match");
	openai_ask(&b, CHAT, "Ocf-Match: model=m\r\n", body, 200);
	CU_ASSERT_EQUAL(b.reply.body.len, API_PEEK_BYTES_MAX + 1);
	free(body);
	bench_close(&b);
	free(blanks);
}

static void
test_errors(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	openai_ask(&b, CHAT, "", "{\"model\":\"none\"}", 404);
	expect_error(&b, "invalid_request_error", "model_not_found", "none");
	openai_ask(&b, CHAT, "", "{\"model\":\"busy\"}", 503);
	expect_error(&b, "server_error", "overloaded", "busy");
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "retry-after"), "7");
	openai_ask(&b, CHAT, "Ocf-Timeout: soon\r\n", "{}", 400);
	expect_error(&b, "invalid_request_error", NULL, "Ocf-Timeout");
	bench_close(&b);
}

/* As many bodies as may be held at once, and one more. */
static void
test_many_large_requests(void)
{
	enum { HELD = API_PEEK_ALL_BYTES_MAX / API_PEEK_BYTES_MAX };
	char *half = mem_calloc(1, API_PEEK_BYTES_MAX), *head;
	struct raw many[HELD];
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	head = mem_printf("POST " CHAT " HTTP/1.1\r\n" H "Content-Type: application/json"
			  "\r\nContent-Length: %d\r\n\r\n",
			  API_PEEK_BYTES_MAX);
	memset(half, ' ', API_PEEK_BYTES_MAX);
	for (int i = 0; i < HELD; i++) {
		raw_open(&many[i], b.loop, api_address(b.api));
		raw_send(&many[i], head);
		raw_send_all(&many[i], half, API_PEEK_BYTES_MAX - 1);
		for (int k = 0; k < 10; k++)
			raw_turn(&many[i]);
	}
	half[1024] = '\0';
	/* What was sent may not have been read yet. */
	for (int i = 0; i < 10000 && b.reply.status != 503; i++) {
		openai_send(&b, CHAT, "", half);
		raw_reply_fini(&b.reply);
		raw_reply(&b.raw, false, &b.reply);
	}
	CU_ASSERT_EQUAL(b.reply.status, 503);
	expect_error(&b, "server_error", "overloaded", "wait");
	CU_ASSERT(raw_header(&b.reply, "retry-after") != NULL);
	for (int i = 0; i < HELD; i++)
		raw_close(&many[i]);
	for (int i = 0; i < 100 && api_running(b.api) > 0; i++)
		raw_turn(&b.raw);
	openai_ask(&b, CHAT, "", half, 200);
	bench_close(&b);
	free(head);
	free(half);
}

/* ---- streams ---- */

#define STREAM_OF(model) "{\"model\":\"" model "\",\"stream\":true}"

static void
until_text(struct bench *b, const char *text)
{
	while (strstr(buf_text(&b->raw.in), text) == NULL && !b->raw.is_eof)
		raw_turn(&b->raw);
	CU_ASSERT(strstr(buf_text(&b->raw.in), text) != NULL);
}

static void
stream_begin(struct bench *b)
{
	openai_send(b, CHAT, "", STREAM_OF("hold"));
	until_text(b, ": waiting\n\n");
	raw_turn(&b->raw);
}

static void
stream_head(struct bench *b, int status, const char *type)
{
	struct reply_head head = { .status = status, .content_type = mem_strdup(type) };

	api_reply_head(b->job->q, &head);
	reply_head_fini(&head);
}

static void
stream_data(struct bench *b, const char *data)
{
	b->under_way++;
	api_reply_data(b->job->q, bytes_text(data));
}

static void
stream_end(struct bench *b, const char *data)
{
	struct api_query *q = b->job->q;

	stream_data(b, data);
	free(b->job);
	b->job = NULL;
	api_reply_end(q);
	raw_reply_fini(&b->reply);
	raw_reply(&b->raw, false, &b->reply);
	CU_ASSERT_EQUAL(b->reply.status, 200);
	CU_ASSERT(b->reply.is_whole);
	CU_ASSERT_STRING_EQUAL(raw_header(&b->reply, "content-type"),
			       "text/event-stream");
	CU_ASSERT_STRING_EQUAL(raw_header(&b->reply, "x-accel-buffering"), "no");
}

static void
stream_fail(struct bench *b, int status, const char *text)
{
	struct api_query *q = b->job->q;
	struct query_error error;

	query_error_set(&error, status, "%s", text);
	free(b->job);
	b->job = NULL;
	api_reply_error(q, &error);
	query_error_fini(&error);
	raw_reply_fini(&b->reply);
	raw_reply(&b->raw, false, &b->reply);
}

/* Comments come until the first event and no more. */
static void
test_keepalive(void)
{
	struct bench b;
	char *body;

	bench_open(&b, (struct access_config){ 0 });
	stream_begin(&b);
	stream_head(&b, 200, "text/event-stream; charset=utf-8");
	stream_data(&b, "data: 1\n\n");
	until_text(&b, "data: 1\n\n");
	for (ms_t end = loop_now(b.loop) + 3 * BENCH_KEEPALIVE_MS;
	     loop_now(b.loop) < end;)
		raw_turn(&b.raw);
	stream_end(&b, "data: [DONE]\n\n");
	body = mem_strdup(buf_text(&b.reply.body));
	CU_ASSERT(strncmp(body, ": waiting\n\n", 11) == 0);
	CU_ASSERT_STRING_EQUAL(strstr(body, "data:"), "data: 1\n\ndata: [DONE]\n\n");
	free(body);

	/* Who asked for no stream is sent no comments, and leaves unanswered. */
	b.was_cancelled = false;
	openai_send(&b, CHAT, "", "{\"model\":\"hold\"}");
	while (b.job == NULL)
		raw_turn(&b.raw);
	for (ms_t end = loop_now(b.loop) + 3 * BENCH_KEEPALIVE_MS;
	     loop_now(b.loop) < end;)
		raw_turn(&b.raw);
	CU_ASSERT_EQUAL(b.raw.in.len, 0);
	raw_close(&b.raw);
	CU_ASSERT(raw_until(&b.raw, &b.was_cancelled));
	raw_open(&b.raw, b.loop, api_address(b.api));

	/* And a client that leaves between two of them is noticed. */
	b.was_cancelled = false;
	stream_begin(&b);
	raw_close(&b.raw);
	CU_ASSERT(raw_until(&b.raw, &b.was_cancelled));
	raw_open(&b.raw, b.loop, api_address(b.api));
	bench_close(&b);
}

/* After a comment the status is said: what comes instead of events is an event. */
static void
test_keepalive_then(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	stream_begin(&b);
	stream_head(&b, 400, "application/json");
	stream_end(&b, "{\"error\":\n{\"message\":\"too long\"}}\n");
	CU_ASSERT(strstr(buf_text(&b.reply.body),
			 "data: {\"error\": {\"message\":\"too long\"}} \n\n") != NULL);
	stream_begin(&b);
	stream_head(&b, 500, "text/plain");
	stream_end(&b, "out of\nmemory");
	CU_ASSERT(strstr(buf_text(&b.reply.body), "\"message\":\"out of\\nmemory\"") !=
		  NULL);
	stream_begin(&b);
	stream_head(&b, 200, "application/json");
	stream_end(&b, "{\"choices\":[]}");
	CU_ASSERT(strstr(buf_text(&b.reply.body), "data: {\"choices\":[]}\n\n") != NULL);

	stream_begin(&b);
	stream_fail(&b, 504, "the deadline is over");
	CU_ASSERT(b.reply.is_whole);
	CU_ASSERT(strstr(buf_text(&b.reply.body),
			 "data: {\"error\":{\"message\":\"the deadline is over\"") !=
		  NULL);

	/* But one that fails after its first event is cut, as any. */
	stream_begin(&b);
	stream_head(&b, 200, "text/event-stream");
	stream_data(&b, "data: 1\n\n");
	stream_fail(&b, 502, "the worker died");
	CU_ASSERT(!b.reply.is_whole);
	bench_close(&b);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "the models are those that workers match by name", test_models },
		{ "requests are idempotent queries of llm, for their model",
		  test_requests },
		{ "the model is found at the end of a large body", test_large_requests },
		{ "errors have OpenAI's shape", test_errors },
		{ "bodies that wait for their end are bounded together",
		  test_many_large_requests },
		{ "a client of a stream is told that it goes on, until it does",
		  test_keepalive },
		{ "what comes instead of a promised stream is an event of it",
		  test_keepalive_then },
	};

	return TAP_MAIN(argc, argv, tests);
}
