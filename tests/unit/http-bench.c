/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/http-bench.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http/openai.h"
#include "lib/tap.h"

static const char *
bench_word(const struct query_head *head)
{
	if (strcmp(head->service, OPENAI_SERVICE) == 0)
		return head->selector != NULL ? strchr(head->selector, '=') + 1 : "";
	return strncmp(head->service, "inference:", 10) == 0 ? head->service + 10
							     : head->service;
}

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
	if (strcmp(bench_word(head), "none") == 0 ||
	    (head->selector != NULL && strcmp(head->selector, "model=none") == 0)) {
		job_fail(b, q, 404, "no node offers the service none");
		return NULL;
	}
	if (strcmp(bench_word(head), "busy") == 0) {
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
	if (strcmp(bench_word(&b->head), "hold") == 0)
		return;
	if (!is_last) {
		api_reply_want(job->q, 1);
	} else if (strcmp(bench_word(&b->head), "big") == 0) {
		job_reply_head(job);
		job->left = REPLY_PARTS;
		job_pump(job);
	} else if (strcmp(bench_word(&b->head), "torn") == 0) {
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
	if (strcmp(bench_word(&job->bench->head), "big") == 0)
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
		return json_loads(BENCH_SERVICES, 0, NULL);
	return json_pack("{s:i,s:s?}", "view", (int)view, "all", all);
}

static void
host_watch(void *arg, bool is_wanted)
{
	struct bench *b = arg;

	b->watched += is_wanted ? 1 : -1;
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

static int
host_connections(void *arg, void (*fn)(void *fn_arg, struct bytes json), void *fn_arg,
		 struct errmsg *err)
{
	struct bench *b = arg;

	if (!b->is_ready) {
		error_set(err, 0, "the bus is down");
		return 503;
	}
	b->connections_fn = fn;
	b->connections_arg = fn_arg;
	return 0;
}

static void
host_connections_cancel(void *arg, void *fn_arg)
{
	struct bench *b = arg;

	CU_ASSERT(b->connections_arg == fn_arg);
	b->connections_fn = NULL;
	b->was_cancelled = true;
}

/* "backup" fails before its reply begins, "load" in the middle of it; "dump" goes to its end. */
static void
work_on_timer(void *arg)
{
	static const uint8_t piece[WORK_PIECE];
	struct bench *b = arg;
	bool is_welcome = true;

	if (b->work_left == WORK_PIECES)
		api_work_begin(b->work, "application/x-test");
	while (is_welcome && b->work_left > 0) {
		b->work_left--;
		is_welcome = api_work_data(b->work, bytes_of(piece, sizeof(piece)));
	}
	b->work_waits += !is_welcome;
	if (is_welcome) {
		api_work_end(b->work);
		b->work = NULL;
	}
}

static void
work_on_failure(void *arg)
{
	struct bench *b = arg;

	if (b->work_left > 0) {
		api_work_begin(b->work, "application/x-test");
		api_work_data(b->work, bytes_text("half of "));
	}
	api_work_fail(b->work, 507, "the disk is full");
	b->work = NULL;
}

static int
host_work_open(void *arg, const char *name, const struct query_headers *params,
	       struct bytes body, struct api_work *w, void **ret_token,
	       struct errmsg *err)
{
	struct bench *b = arg;
	bool is_dump = strcmp(name, "dump") == 0;

	if (bytes_equal_text(body, "no")) {
		error_set(err, 0, "not now");
		return 429;
	}
	loop_timer_free(b->work_timer);
	b->work_timer = loop_timer_new(b->loop, is_dump ? work_on_timer : work_on_failure,
				       b);
	loop_timer_set(b->work_timer, 0);
	b->work = w;
	b->work_left = strcmp(name, "backup") == 0 ? 0 : WORK_PIECES;
	b->work_waits = 0;
	b->work_is_strict = query_headers_get(params, "strict") != NULL;
	buf_clear(&b->work_body);
	buf_put_bytes(&b->work_body, body);
	*ret_token = b;
	return 0;
}

static void
host_work_more(void *token)
{
	struct bench *b = token;

	loop_timer_set(b->work_timer, 0);
}

static void
host_work_cancel(void *token)
{
	struct bench *b = token;

	loop_timer_clear(b->work_timer);
	b->work = NULL;
	b->was_cancelled = true;
}

static bool
host_ready(void *arg, struct errmsg *why)
{
	struct bench *b = arg;

	if (!b->is_ready)
		error_set(why, 0, "the bus is not up");
	return b->is_ready;
}

void
bench_sha256(const void *data, size_t len, uint8_t out[ACCESS_HASH_BYTES])
{
	SHA256(data, len, out);
}

void
bench_open(struct bench *b, struct access_config access)
{
	static int number;
	struct errmsg err = { "" };
	struct api_config config = {
		.host = { .arg = b,
			  .read = host_read,
			  .watch = host_watch,
			  .admin = host_admin,
			  .work_open = host_work_open,
			  .work_more = host_work_more,
			  .work_cancel = host_work_cancel,
			  .ready = host_ready,
			  .connections = host_connections,
			  .connections_cancel = host_connections_cancel,
			  .query_open = host_query_open,
			  .query_body = host_query_body,
			  .query_consumed = host_query_consumed,
			  .query_cancel = host_query_cancel },
		.version = "test",
		.body_max = 64 * 1024 * 1024,
		.timeout_ms = BENCH_TIMEOUT_MS,
		.linger_ms = 100,
		.keepalive_ms = BENCH_KEEPALIVE_MS,
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

void
bench_close(struct bench *b)
{
	raw_reply_fini(&b->reply);
	raw_close(&b->raw);
	raw_close(&b->socket);
	api_free(b->api);
	loop_timer_free(b->work_timer);
	buf_fini(&b->work_body);
	metrics_free(b->metrics);
	loop_free(b->loop);
	query_head_fini(&b->head);
	buf_fini(&b->body);
	free(b->path);
}

void
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

json_t *
bench_json(struct bench *b)
{
	return json_loadb((const char *)b->reply.body.data, b->reply.body.len, 0, NULL);
}
