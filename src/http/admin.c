/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/NAME. Most are answered at once, with a JSON object. A *work* is answered
 * later or at length, as its client takes the reply: a copy of the store, a dump of the
 * table. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/problem.h"
#include "http/request.h"
#include "http/routes.h"
#include "net/stream.h"

static const char *
admin_name(const struct api_call *call)
{
	return strrchr(call->route->path, '/') + 1;
}

/* ---- answered at once ---- */

/* The request waits for its body. */
struct admin {
	struct api_call call;
	struct buf body;
};

static void
admin_free(struct admin *a)
{
	buf_fini(&a->body);
	free(a);
}

static void
admin_answer(struct admin *a)
{
	const struct api_host *host = &a->call.api->config.host;
	json_t *body, *reply = NULL;
	struct errmsg err = { "" };
	json_error_t why;
	int status;

	body = a->body.len == 0 ? json_object()
				: json_loadb((const char *)a->body.data, a->body.len,
					     JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(body)) {
		error_set(&err, 0, "the body is not a JSON object%s%s",
			  body == NULL ? ": " : "", body == NULL ? why.text : "");
		status = 400;
	} else {
		status = host->admin(host->arg, admin_name(&a->call), body, &reply, &err);
	}
	json_decref(body);
	if (status == 200)
		api_send_json(&a->call, 200, reply);
	else
		api_refuse(&a->call, status, err.text);
	admin_free(a);
}

static void
admin_on_body(void *arg, struct bytes data, bool is_last)
{
	struct admin *a = arg;

	if (a->body.len + data.len > API_ADMIN_BODY_BYTES_MAX) {
		api_refuse(&a->call, 413, "the body is larger than 64 KiB");
		admin_free(a);
		return;
	}
	buf_put_bytes(&a->body, data);
	if (is_last)
		admin_answer(a);
}

static void
admin_on_drain(void *arg)
{
	(void)arg;
}

static void
admin_on_abort(void *arg)
{
	struct admin *a = arg;

	api_count(&a->call, 499);
	admin_free(a);
}

void
route_admin_run(const struct api_call *call)
{
	static const struct http_handler handler = {
		.on_body = admin_on_body,
		.on_drain = admin_on_drain,
		.on_abort = admin_on_abort,
	};
	struct admin *a = mem_calloc(1, sizeof(*a));

	a->call = *call;
	http_exchange_set_handler(call->x, &handler, a);
}

/* ---- works ---- */

struct api_work {
	struct api_call call; /* its head is gone with the exchange */
	struct buf body;
	void *token;	 /* the host's */
	bool is_open;	 /* the host knows of it */
	bool is_begun;	 /* the reply */
	bool is_waiting; /* the host was told that enough waits */
};

static const struct api_host *
work_host(const struct api_work *w)
{
	return &w->call.api->config.host;
}

static void
work_free(struct api_work *w)
{
	buf_fini(&w->body);
	free(w);
}

/* The request is whole. Returns 0, or the status to refuse it with. */
static int
work_open(struct api_work *w, struct errmsg *err)
{
	const struct api_host *host = work_host(w);
	struct query_headers params;
	int status = request_params(w->call.head->target, &params, err);

	if (status != 0)
		return 400;
	status = host->work_open(host->arg, admin_name(&w->call), &params,
				 buf_bytes(&w->body), w, &w->token, err);
	query_headers_fini(&params);
	w->is_open = status == 0;
	buf_fini(&w->body);
	return status;
}

static void
work_on_body(void *arg, struct bytes data, bool is_last)
{
	struct api_work *w = arg;
	struct errmsg err = { "" };
	int status = 0;

	if (w->body.len + data.len > API_WORK_BODY_BYTES_MAX) {
		status = 413;
		error_set(&err, 0, "the body is larger than 2 MiB");
	} else {
		buf_put_bytes(&w->body, data);
	}
	if (status == 0 && is_last)
		status = work_open(w, &err);
	if (status != 0) {
		api_refuse(&w->call, status, err.text);
		work_free(w);
	}
}

static void
work_on_drain(void *arg)
{
	struct api_work *w = arg;

	if (!w->is_waiting)
		return;
	w->is_waiting = false;
	work_host(w)->work_more(w->token);
}

static void
work_on_abort(void *arg)
{
	struct api_work *w = arg;

	api_count(&w->call, 499);
	if (w->is_open)
		work_host(w)->work_cancel(w->token);
	work_free(w);
}

void
route_work_run(const struct api_call *call)
{
	static const struct http_handler handler = {
		.on_body = work_on_body,
		.on_drain = work_on_drain,
		.on_abort = work_on_abort,
	};
	struct api_work *w = mem_calloc(1, sizeof(*w));

	w->call = *call;
	http_exchange_set_handler(call->x, &handler, w);
}

void
api_work_begin(struct api_work *w, const char *content_type)
{
	struct http_fields fields;

	fields.len = 0;
	api_put_fields(&fields, content_type);
	http_reply_begin(w->call.x, 200, &fields, -1);
	w->is_begun = true;
}

bool
api_work_data(struct api_work *w, struct bytes data)
{
	w->is_waiting = http_reply_data(w->call.x, data) > STREAM_OUTPUT_LOW_BYTES;
	return !w->is_waiting;
}

void
api_work_end(struct api_work *w)
{
	api_count(&w->call, 200);
	http_reply_end(w->call.x);
	work_free(w);
}

void
api_work_fail(struct api_work *w, int status, const char *why)
{
	if (w->is_begun) {
		api_count(&w->call, status);
		http_reply_abort(w->call.x);
	} else {
		api_refuse(&w->call, status, why);
	}
	work_free(w);
}
