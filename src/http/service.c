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
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http/legacy.h"
#include "http/openai.h"
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
	size_t peeked;	   /* bytes of it that wait so */
	bool is_open;	   /* the host knows of it */
	bool is_whole;	   /* the request is complete */
	bool is_last_sent; /* and the host knows */
	bool is_over;
	int status;   /* of the reply, once it has begun */
	char *worker; /* who gave it; only for the access log */
	/* On a legacy route the reply is gathered; so is one that is no stream of events for
	 * a client who was promised one. */
	struct reply_head gathered_head;
	struct buf gathered;
	bool is_too_large;
	bool is_stream;	  /* the client of an OpenAI route wants events */
	bool is_promised; /* and the reply was begun for it, by a comment */
	bool is_single;	  /* but the worker's is none */
	/* NULL until they are needed: mostly they are not. */
	struct loop_timer *timer, *keepalive;
};

/* The fields of a reply, and the texts of those that are made for it. */
struct query_fields {
	struct http_fields fields;
	char node[ID_TEXT_SIZE];
	char timing[sizeof("total;dur=") + DECIMAL_SIZE];
};

static const struct api_host *
query_host(const struct api_query *q)
{
	return &q->call.api->config.host;
}

/* The body is not held any more. */
static void
query_unhold(struct api_query *q)
{
	q->call.api->peeked_bytes -= q->peeked;
	q->peeked = 0;
	q->is_peeking = false;
}

static void
query_free(struct api_query *q)
{
	query_unhold(q);
	loop_timer_free(q->timer);
	loop_timer_free(q->keepalive);
	query_head_fini(&q->head);
	free(q->worker);
	buf_fini(&q->body);
	reply_head_fini(&q->gathered_head);
	buf_fini(&q->gathered);
	free(q);
}

static bool
query_is_legacy(const struct api_query *q)
{
	return q->call.route->shape == ROUTE_LEGACY;
}

static bool
query_is_openai(const struct api_query *q)
{
	return q->call.route->shape == ROUTE_OPENAI;
}

/* Is the reply kept until it is whole? */
static bool
query_gathers(const struct api_query *q)
{
	return query_is_legacy(q) || q->is_single;
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

/* Ours, beside what the worker said. */
static void
query_put_fields(const struct api_query *q, struct query_fields *ret,
		 const struct id *node, const char *worker)
{
	static const char total[] = "total;dur=";
	ms_t ms = loop_now(q->call.api->config.loop) - q->call.started;
	struct http_fields *fields = &ret->fields;

	fields->len = 0;
	memcpy(ret->timing, total, sizeof(total));
	decimal_text((uint64_t)ms, ret->timing + sizeof(total) - 1);
	http_fields_add(fields, "x-request-id", q->head.request_id);
	http_fields_add(fields, "server-timing", ret->timing);
	if (!id_is_zero(node))
		http_fields_add(fields, "x-computing-node", id_text(node, ret->node));
	if (worker != NULL && http_value_is_valid(worker))
		http_fields_add(fields, "x-computing-worker", worker);
}

/* ---- a client who was promised events ---- */

static void query_on_keepalive(void *arg);

static void
query_set_keepalive(struct api_query *q)
{
	const struct api_config *config = &q->call.api->config;

	if (q->keepalive == NULL)
		q->keepalive = loop_timer_new(config->loop, query_on_keepalive, q);
	loop_timer_set(q->keepalive, config->keepalive_ms > 0 ? config->keepalive_ms
							      : API_KEEPALIVE_MS);
}

static void
query_stop_keepalive(struct api_query *q)
{
	if (q->keepalive != NULL)
		loop_timer_clear(q->keepalive);
}

/* The first token may be minutes away, and proxies and clients give up earlier: as long as
 * nothing has come they are told that it will, by comments, which readers of events skip. */
static void
query_on_keepalive(void *arg)
{
	struct api_query *q = arg;
	struct query_fields ours;
	const struct id nobody = { 0 };
	int rc;

	if (!http_reply_has_begun(q->call.x)) {
		query_put_fields(q, &ours, &nobody, NULL);
		http_fields_add(&ours.fields, "content-type", "text/event-stream");
		http_fields_add(&ours.fields, "cache-control", "no-cache");
		http_fields_add(&ours.fields, "x-accel-buffering", "no");
		rc = http_reply_begin(q->call.x, 200, &ours.fields, -1);
		assert(rc == 0);
		(void)rc;
		q->is_promised = true;
	}
	http_reply_data(q->call.x, bytes_text(": waiting\n\n"));
	query_set_keepalive(q);
}

static bool
reply_is_events(const struct reply_head *head)
{
	static const char type[] = "text/event-stream";

	return head->status < 300 && head->content_type != NULL &&
	       strncasecmp(head->content_type, type, strlen(type)) == 0;
}

/* What came instead of events, as the last one. */
static void
query_send_event(struct api_query *q, int status, struct bytes text)
{
	char *event = openai_event(status, text);

	http_reply_data(q->call.x, bytes_text(event));
	api_count(&q->call, status);
	http_reply_end(q->call.x);
	free(event);
}

/* Whoever gathers the reply gives up. */
static void
query_refuse_reply(struct api_query *q)
{
	char text[80];

	snprintf(text, sizeof(text), "the worker's reply is over %d bytes",
		 API_INFERENCE_REPLY_BYTES_MAX);
	if (q->is_promised)
		query_send_event(q, 502, bytes_text(text));
	else
		api_refuse(&q->call, 502, text);
}

/* The body is gathered, and its deadline has come before its end. */
static void
query_give_up_body(struct api_query *q)
{
	api_refuse(&q->call, 408,
		   "the request's body did not come before the query's deadline");
	query_free(q);
}

static void
query_on_timer(void *arg)
{
	struct api_query *q = arg;

	if (!q->is_open) {
		query_give_up_body(q);
		return;
	}
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
query_set_timer(struct api_query *q, ms_t delay_ms)
{
	if (q->timer == NULL)
		q->timer = loop_timer_new(q->call.api->config.loop, query_on_timer, q);
	loop_timer_set(q->timer, delay_ms);
}

/* Soon, but not from inside of what is going on. */
static void
query_later(struct api_query *q)
{
	query_set_timer(q, 0);
}

/* The body was waited for, at the cost of the query's own time. */
static void
query_stop_waiting(struct api_query *q)
{
	ms_t spent = loop_now(q->call.api->config.loop) - q->call.started;

	loop_timer_clear(q->timer);
	q->head.timeout_ms -= spent < q->head.timeout_ms ? spent : q->head.timeout_ms - 1;
}

static void
query_open(struct api_query *q)
{
	void *token;

	if (q->timer != NULL)
		query_stop_waiting(q);
	if (q->is_peeking && q->is_whole) {
		q->head.selector = request_model(buf_bytes(&q->body), &q->is_stream);
		if (q->is_stream && query_is_openai(q))
			query_set_keepalive(q);
	}
	query_unhold(q);
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
	if (status != 0)
		api_refuse(&q->call, status, err.text);
	if (status != 0 || !api_may_query(&q->call, q->head.service)) {
		buf_fini(&body);
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

/* The body is held until it is whole, so that its model is found. True: it waits, or was
 * refused and the query is gone. */
static bool
query_holds(struct api_query *q, size_t came)
{
	struct http_fields fields = { .len = 0 };
	struct api *api = q->call.api;
	size_t max = query_is_openai(q) ? API_PEEK_BYTES_MAX : LIMIT_PART_BYTES_MAX;

	q->peeked += came;
	api->peeked_bytes += came;
	if (api->peeked_bytes > API_PEEK_ALL_BYTES_MAX) {
		http_fields_add(&fields, "retry-after", "1");
		api_send_problem(&q->call, &fields,
				 problem_new(503, "too many requests wait here for the "
						  "end of their bodies"));
	} else if (q->body.len <= max || !query_is_openai(q)) {
		return !q->is_whole && q->body.len <= max;
	} else {
		api_refuse(&q->call, 413,
			   "the body is too long to look for its model: say it in the "
			   "header Ocf-Match: model=NAME");
	}
	query_free(q);
	return true;
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
	if (q->is_peeking && query_holds(q, data.len))
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
	enum route_shape shape = call->route->shape;
	int status = request_query_head(
		call->head, shape == ROUTE_OWN ? route_prefix_len(call->route) : 0,
		call->api->config.timeout_ms, &call->api->rng, &head, &err);

	if (status != 0) {
		api_refuse(call, status, err.text);
		return;
	}
	if (shape == ROUTE_OPENAI)
		openai_address(call->head, &head);
	if (shape != ROUTE_LEGACY && !api_may_query(call, head.service)) {
		query_head_fini(&head);
		return;
	}
	head.tenant = request_tenant(user_name(call->user),
				     http_exchange_peer_uid(call->x),
				     http_exchange_peer(call->x));
	q = mem_calloc(1, sizeof(*q));
	q->call = *call;
	q->head = head;
	q->head.share = (uint16_t)user_share(call->user);
	q->call.request_id = q->head.request_id;
	q->window = LIMIT_PARTS_WINDOW;
	q->is_peeking = shape != ROUTE_LEGACY &&
			request_may_name_model(
				call->head, &q->head,
				shape == ROUTE_OPENAI ? INT64_MAX : LIMIT_PART_BYTES_MAX);
	http_exchange_set_handler(call->x, &query_handler, q);
	/* A body that is gathered and comes drop by drop waits no longer than a query may. */
	if ((shape == ROUTE_LEGACY || q->is_peeking) && call->head->body_len != 0)
		query_set_timer(q, q->head.timeout_ms);
	/* Where nothing in the body matters for the choice, the choice need not wait for
	 * it. Only for the beginning of a short one, which mostly comes with the head: a
	 * refusal with the body still to come would end the connection. */
	if (shape != ROUTE_LEGACY && !q->is_peeking &&
	    !body_is_short(call->head->body_len))
		query_open(q);
}

static void
query_set_worker(struct api_query *q, const char *worker)
{
	if (!q->call.api->config.access_log || worker == NULL)
		return;
	free(q->worker);
	q->worker = mem_strdup(worker);
	q->call.worker = q->worker;
}

/* A worker's header that would break the reply's head is left out. */
static void
query_put_field(struct http_fields *fields, const char *name, const char *value)
{
	if (value != NULL && fields->len < HTTP_FIELDS_MAX && http_name_is_valid(name) &&
	    http_value_is_valid(value))
		http_fields_add(fields, name, value);
}

/* Of the reply to a HEAD, which has no body that could belie it; else -1, as when nobody
 * knows. */
static int64_t
query_reply_len(const struct api_query *q, const struct reply_head *head)
{
	const char *text = query_headers_get(&head->headers, "content-length");
	size_t digits = text != NULL ? strspn(text, "0123456789") : 0;

	if (strcmp(q->head.method, "HEAD") != 0 || digits == 0 || digits > 18 ||
	    text[digits] != '\0')
		return -1;
	return strtoll(text, NULL, 10);
}

void
api_reply_head(struct api_query *q, const struct reply_head *head)
{
	struct query_fields ours;
	bool is_status = head->status >= 200 && head->status <= 599;
	int rc;

	assert(!q->is_over && q->is_open);
	q->status = is_status ? head->status : 502;
	query_set_worker(q, head->worker);
	q->is_single = q->is_promised && !reply_is_events(head);
	if (query_gathers(q)) {
		reply_head_fini(&q->gathered_head);
		reply_head_copy(head, &q->gathered_head);
		return;
	}
	if (!q->is_stream || !reply_is_events(head))
		query_stop_keepalive(q);
	if (q->is_promised)
		return;
	query_put_fields(q, &ours, &head->node, head->worker);
	if (query_is_openai(q) && reply_is_events(head))
		http_fields_add(&ours.fields, "x-accel-buffering", "no");
	query_put_field(&ours.fields, "content-type", head->content_type);
	for (int i = 0; i < head->headers.len; i++)
		if (request_reply_header_passes(head->headers.items[i].name))
			query_put_field(&ours.fields, head->headers.items[i].name,
					head->headers.items[i].value);
	rc = http_reply_begin(q->call.x, q->status, &ours.fields,
			      query_reply_len(q, head));
	assert(rc == 0);
	(void)rc;
}

void
api_reply_data(struct api_query *q, struct bytes part)
{
	assert(!q->is_over && (query_gathers(q) || http_reply_has_begun(q->call.x)));
	query_stop_keepalive(q);
	q->taken++;
	if (query_gathers(q)) {
		q->is_too_large |= q->gathered.len + part.len >
				   API_INFERENCE_REPLY_BYTES_MAX;
		if (!q->is_too_large)
			buf_put_bytes(&q->gathered, part);
		query_later(q);
		return;
	}
	/* What was written is reported when it is gone; of a reply without a body nothing
	 * is. */
	if (http_reply_data(q->call.x, part) == 0)
		query_later(q);
}

static void
query_send_gathered(struct api_query *q)
{
	struct query_fields ours;
	bool is_good = q->status < 400;
	json_t *value = is_good ? legacy_answer(buf_bytes(&q->gathered))
				: legacy_error(buf_bytes(&q->gathered));
	char *text = problem_dump(value);

	query_put_fields(q, &ours, &q->gathered_head.node, q->gathered_head.worker);
	api_send(&q->call, is_good ? 200 : q->status, "application/json", &ours.fields,
		 bytes_text(text));
	free(text);
	json_decref(value);
}

void
api_reply_end(struct api_query *q)
{
	if (query_gathers(q)) {
		assert(!q->is_over && q->is_open);
		if (q->is_too_large)
			query_refuse_reply(q);
		else if (q->is_single)
			query_send_event(q, q->status, buf_bytes(&q->gathered));
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
		query_later(q);
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
	size_t i;

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
		match = json_object_get(row, "match");
		if (json_is_string(match) && json_array_size(matches) < SERVICE_LIST_MAX)
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
	if (status == 404 && !query_is_openai(q))
		query_list_offers(q, problem);
	return problem;
}

void
api_reply_error(struct api_query *q, const struct query_error *error)
{
	struct query_fields ours;
	int status = error->status >= 400 && error->status <= 599 ? error->status : 502;
	char after[DECIMAL_SIZE];

	assert(!q->is_over && q->is_open);
	/* Nothing of a reply has come: what was promised may end with why. */
	if (q->is_promised && (q->status == 0 || q->is_single)) {
		query_send_event(q, status,
				 bytes_text(error->text != NULL ? error->text : ""));
		query_over(q);
		return;
	}
	if (http_reply_has_begun(q->call.x)) {
		api_count(&q->call, status);
		http_reply_abort(q->call.x);
		query_over(q);
		return;
	}
	query_set_worker(q, error->worker);
	query_put_fields(q, &ours, &error->node, error->worker);
	if (error->retry_after_s > 0)
		http_fields_add(&ours.fields, "retry-after",
				decimal_text((uint64_t)error->retry_after_s, after));
	api_send_problem(&q->call, &ours.fields, query_problem(q, error, status));
	query_over(q);
}
