/* SPDX-License-Identifier: Apache-2.0 */
/* A query over HTTP: the request's body goes to the host in parts, the host's parts go to
 * the client, each way within a window of parts.
 *
 * The host's calls never call it back: what they allow (more parts) or report (parts
 * taken) is done from a timer of no delay, or by the loop that is already calling the
 * host. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http/legacy.h"
#include "http/problem.h"
#include "http/request.h"
#include "http/routes.h"
#include "net/stream.h"

enum { SERVICE_LIST_MAX = 200 }; /* names in a 404 */

struct api_query {
	struct api_call call; /* its head and x are gone with the exchange */
	struct query_head head;
	void *token;	   /* the host's */
	struct buf body;   /* arrived, not handed over */
	int window;	   /* parts that may be handed over */
	int taken;	   /* reply parts that the host was not told of */
	int depth;	   /* of calls to the host: do not free */
	bool is_peeking;   /* the body may name the model: wait for all of it */
	bool is_open;	   /* the host knows of it */
	bool is_whole;	   /* the request is complete */
	bool is_last_sent; /* and the host knows */
	bool is_over;
	int status; /* of the reply, once it has begun */
	/* On a legacy route the reply is gathered. */
	struct reply_head gathered_head;
	struct buf gathered;
	bool is_too_large;
	struct loop_timer *timer;
};

static const struct api_host *
query_host(const struct api_query *q)
{
	return &q->call.api->config.host;
}

static void
query_free(struct api_query *q)
{
	loop_timer_free(q->timer);
	query_head_fini(&q->head);
	buf_fini(&q->body);
	reply_head_fini(&q->gathered_head);
	buf_fini(&q->gathered);
	free(q);
}

static bool
query_is_legacy(const struct api_query *q)
{
	return q->call.route->is_legacy;
}

static void
query_leave(struct api_query *q)
{
	if (--q->depth == 0 && q->is_over)
		query_free(q);
}

/* Neither side uses it any more. */
static void
query_over(struct api_query *q)
{
	q->is_over = true;
	if (q->depth == 0)
		query_free(q);
}

static void
query_pump(struct api_query *q)
{
	size_t at = 0;

	q->depth++;
	while (!q->is_over && q->window > 0 &&
	       (at < q->body.len || (q->is_whole && !q->is_last_sent))) {
		size_t left = q->body.len - at;
		size_t n = left < LIMIT_PART_BYTES_MAX ? left : LIMIT_PART_BYTES_MAX;
		struct bytes part = n > 0 ? bytes_of(q->body.data + at, n) : BYTES_NONE;

		q->window--;
		q->is_last_sent = q->is_whole && n == left;
		at += n;
		query_host(q)->query_body(q->token, part, q->is_last_sent);
	}
	buf_drop(&q->body, at);
	if (q->body.len == 0)
		buf_fini(&q->body);
	if (!q->is_over && !q->is_whole) {
		if (q->body.len > 0)
			http_body_pause(q->call.x);
		else
			http_body_resume(q->call.x);
	}
	query_leave(q);
}

static void
query_report(struct api_query *q)
{
	int n = q->taken;

	if (n == 0 || http_reply_pending(q->call.x) > STREAM_OUTPUT_LOW_BYTES)
		return;
	q->taken = 0;
	query_host(q)->query_consumed(q->token, n);
}

/* Whoever gathers the reply gives up. */
static void
query_refuse_reply(struct api_query *q)
{
	char text[80];

	snprintf(text, sizeof(text), "the worker's reply is over %d bytes",
		 API_INFERENCE_REPLY_BYTES_MAX);
	api_refuse(&q->call, 502, text);
}

static void
query_on_timer(void *arg)
{
	struct api_query *q = arg;

	q->depth++;
	if (q->is_too_large) {
		query_host(q)->query_cancel(q->token);
		query_refuse_reply(q);
		q->is_over = true;
	} else {
		query_report(q);
		if (!q->is_over)
			query_pump(q);
	}
	query_leave(q);
}

static void
query_open(struct api_query *q)
{
	void *token;

	if (q->is_peeking && q->is_whole)
		q->head.selector = request_model(buf_bytes(&q->body));
	q->is_peeking = false;
	q->is_open = true;
	q->depth++;
	token = query_host(q)->query_open(query_host(q)->arg, q, &q->head);
	assert(token != NULL || q->is_over);
	q->token = token;
	if (!q->is_over)
		query_pump(q);
	query_leave(q);
}

/* The original's request: it is read whole, for it names the service. */
static void
query_gather(struct api_query *q)
{
	struct buf body = BUF_INIT;
	struct errmsg err = { "" };
	int status = 413;

	error_set(&err, 0, "the body is over %d bytes", API_INFERENCE_BODY_BYTES_MAX);
	if (q->body.len <= API_INFERENCE_BODY_BYTES_MAX) {
		if (!q->is_whole)
			return;
		status = legacy_read(buf_bytes(&q->body), &q->head.service, &body, &err);
	}
	if (status != 0) {
		api_refuse(&q->call, status, err.text);
		query_free(q);
		return;
	}
	buf_fini(&q->body);
	q->body = body;
	q->head.body_len = (int64_t)body.len;
	free(q->head.content_type);
	q->head.content_type = mem_strdup("application/json");
	query_open(q);
}

static void
query_on_body(void *arg, struct bytes data, bool is_last)
{
	struct api_query *q = arg;

	buf_put_bytes(&q->body, data);
	q->is_whole = is_last;
	if (query_is_legacy(q)) {
		query_gather(q);
		return;
	}
	if (q->is_peeking && !is_last && q->body.len <= LIMIT_PART_BYTES_MAX)
		return;
	if (q->is_open)
		query_pump(q);
	else
		query_open(q);
}

static void
query_on_drain(void *arg)
{
	struct api_query *q = arg;

	q->depth++;
	if (q->is_open)
		query_report(q);
	query_leave(q);
}

static void
query_on_abort(void *arg)
{
	struct api_query *q = arg;

	assert(q->depth == 0);
	api_count(&q->call, 499);
	q->call.x = NULL;
	if (q->is_open)
		query_host(q)->query_cancel(q->token);
	query_over(q);
}

static const struct http_handler query_handler = {
	.on_body = query_on_body,
	.on_drain = query_on_drain,
	.on_abort = query_on_abort,
};

static bool
body_is_short(int64_t len)
{
	return len >= 0 && len <= LIMIT_PART_BYTES_MAX;
}

void
service_run(const struct api_call *call)
{
	struct api_query *q;
	struct query_head head;
	struct errmsg err;
	bool is_legacy = call->route->is_legacy;
	int status = request_query_head(
		call->head, is_legacy ? 0 : route_prefix_len(call->route),
		call->api->config.timeout_ms, &call->api->rng, &head, &err);

	if (status != 0) {
		api_refuse(call, status, err.text);
		return;
	}
	q = mem_calloc(1, sizeof(*q));
	q->call = *call;
	q->head = head;
	q->window = LIMIT_PARTS_WINDOW;
	q->is_peeking = !is_legacy && request_may_name_model(call->head, &q->head);
	q->timer = loop_timer_new(call->api->config.loop, query_on_timer, q);
	http_exchange_set_handler(call->x, &query_handler, q);
	/* Where nothing in the body matters for the choice, the choice need not wait for
	 * it. Only for the beginning of a short one, which mostly comes with the head: a
	 * refusal with the body still to come would end the connection. */
	if (!is_legacy && !q->is_peeking && !body_is_short(call->head->body_len))
		query_open(q);
}

/* Ours, beside what the worker said. */
static void
query_put_headers(const struct api_query *q, struct query_headers *headers,
		  const struct id *node, const char *worker)
{
	ms_t ms = loop_now(q->call.api->config.loop) - q->call.started;
	char id[ID_TEXT_SIZE], *timing = mem_printf("total;dur=%lld", (long long)ms);

	query_headers_add(headers, "x-request-id", q->head.request_id);
	query_headers_add(headers, "server-timing", timing);
	if (!id_is_zero(node))
		query_headers_add(headers, "x-computing-node", id_text(node, id));
	if (worker != NULL && http_value_is_valid(worker))
		query_headers_add(headers, "x-computing-worker", worker);
	free(timing);
}

/* A worker's header that would break the reply's head is left out. */
static void
query_put_header(struct query_headers *headers, const char *name, const char *value)
{
	if (value != NULL && http_name_is_valid(name) && http_value_is_valid(value))
		query_headers_add(headers, name, value);
}

void
api_reply_head(struct api_query *q, const struct reply_head *head)
{
	struct query_headers headers = { 0 };
	bool is_status = head->status >= 200 && head->status <= 599;
	int rc;

	assert(!q->is_over && q->is_open);
	q->status = is_status ? head->status : 502;
	if (query_is_legacy(q)) {
		reply_head_fini(&q->gathered_head);
		reply_head_copy(head, &q->gathered_head);
		return;
	}
	query_put_headers(q, &headers, &head->node, head->worker);
	query_put_header(&headers, "content-type", head->content_type);
	for (int i = 0; i < head->headers.len; i++)
		if (request_reply_header_passes(head->headers.items[i].name))
			query_put_header(&headers, head->headers.items[i].name,
					 head->headers.items[i].value);
	rc = http_reply_begin(q->call.x, q->status, &headers, -1);
	assert(rc == 0);
	(void)rc;
	query_headers_fini(&headers);
}

void
api_reply_data(struct api_query *q, struct bytes part)
{
	assert(!q->is_over && (query_is_legacy(q) || http_reply_has_begun(q->call.x)));
	q->taken++;
	if (query_is_legacy(q)) {
		q->is_too_large |= q->gathered.len + part.len >
				   API_INFERENCE_REPLY_BYTES_MAX;
		if (!q->is_too_large)
			buf_put_bytes(&q->gathered, part);
		loop_timer_set(q->timer, 0);
		return;
	}
	if (http_reply_data(q->call.x, part) <= STREAM_OUTPUT_LOW_BYTES)
		loop_timer_set(q->timer, 0);
}

static void
query_send_gathered(struct api_query *q)
{
	struct query_headers headers = { 0 };
	bool is_good = q->status < 400;
	json_t *value = is_good ? legacy_answer(buf_bytes(&q->gathered))
				: legacy_error(buf_bytes(&q->gathered));
	char *text = problem_dump(value);

	query_put_headers(q, &headers, &q->gathered_head.node, q->gathered_head.worker);
	api_send(&q->call, is_good ? 200 : q->status, "application/json", &headers,
		 bytes_text(text));
	query_headers_fini(&headers);
	free(text);
	json_decref(value);
}

void
api_reply_end(struct api_query *q)
{
	if (query_is_legacy(q)) {
		assert(!q->is_over && q->is_open);
		if (q->is_too_large)
			query_refuse_reply(q);
		else
			query_send_gathered(q);
		query_over(q);
		return;
	}
	assert(!q->is_over && http_reply_has_begun(q->call.x));
	api_count(&q->call, q->status);
	http_reply_end(q->call.x);
	query_over(q);
}

void
api_reply_want(struct api_query *q, int parts)
{
	assert(!q->is_over && parts >= 0);
	q->window += parts;
	if (q->depth == 0)
		loop_timer_set(q->timer, 0);
}

static bool
names_have(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) if (strcmp(json_string_value(item), name) ==
					      0) return true;
	return false;
}

/* What is offered, for one who asked in vain: the services, or what this service's
 * workers match. */
static void
query_list_offers(const struct api_query *q, json_t *problem)
{
	const struct query_headers none = { 0 };
	json_t *rows = query_host(q)->read(query_host(q)->arg, API_VIEW_SERVICES, &none);
	json_t *services = json_array(), *matches = json_array(), *row, *match;
	bool is_known = false;
	size_t i, j;

	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		if (name == NULL)
			continue;
		if (json_array_size(services) < SERVICE_LIST_MAX &&
		    !names_have(services, name))
			json_array_append_new(services, json_string(name));
		if (strcmp(name, q->head.service) != 0)
			continue;
		is_known = true;
		json_array_foreach(
			json_object_get(row, "match"), j,
			match) if (json_is_string(match) &&
				   json_array_size(matches) < SERVICE_LIST_MAX &&
				   !names_have(matches, json_string_value(match)))
			json_array_append(matches, match);
	}
	json_object_set(problem, is_known ? "matches" : "services",
			is_known ? matches : services);
	json_decref(services);
	json_decref(matches);
	json_decref(rows);
}

static json_t *
query_problem(const struct api_query *q, const struct query_error *error, int status)
{
	const char *text = error->text != NULL ? error->text : "";
	json_t *problem;
	char node[ID_TEXT_SIZE], *legacy;

	if (query_is_legacy(q)) {
		bool has_none = status == 404 || status == 503;

		legacy = mem_printf("%s%s", has_none ? "no worker available: " : "",
				    text);
		problem = problem_new(status, legacy);
		free(legacy);
		return problem;
	}
	problem = problem_new(status, text);
	json_object_set_new(problem, "request_id", json_string(q->head.request_id));
	if (!id_is_zero(&error->node))
		json_object_set_new(problem, "node",
				    json_string(id_text(&error->node, node)));
	if (error->worker != NULL)
		json_object_set_new(problem, "worker", problem_string(error->worker));
	if (status == 404)
		query_list_offers(q, problem);
	return problem;
}

void
api_reply_error(struct api_query *q, const struct query_error *error)
{
	struct query_headers headers = { 0 };
	int status = error->status >= 400 && error->status <= 599 ? error->status : 502;
	char after[16];

	assert(!q->is_over && q->is_open);
	if (http_reply_has_begun(q->call.x)) {
		api_count(&q->call, status);
		http_reply_abort(q->call.x);
		query_over(q);
		return;
	}
	query_put_headers(q, &headers, &error->node, error->worker);
	if (error->retry_after_s > 0) {
		snprintf(after, sizeof(after), "%d", error->retry_after_s);
		query_headers_add(&headers, "retry-after", after);
	}
	api_send_problem(&q->call, &headers, query_problem(q, error, status));
	query_headers_fini(&headers);
	query_over(q);
}
