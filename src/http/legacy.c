/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/legacy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/query.h"
#include "base/utf8.h"
#include "http/problem.h"
#include "http/request.h"

/* --- queries --- */

/* A request's members. */
struct inference {
	json_t *root;
	const json_t *model, *params;
};

/* jansson cannot hold 2^64 - 1, which is a common seed: a second look at such a body takes
 * its whole numbers as rounded ones, and then the body must go on as it came. */
static bool
inference_load(struct bytes body, size_t flags, struct inference *in, json_error_t *why)
{
	in->root = json_loadb((const char *)body.data, body.len,
			      JSON_REJECT_DUPLICATES | flags, why);
	in->model = json_object_get(in->root, "model_name");
	in->params = json_object_get(in->root, "params");
	return in->root != NULL;
}

static bool
inference_is_exact(const struct inference *in)
{
	return json_is_object(in->params) && json_object_size(in->root) == 2;
}

static char *
inference_service(const struct inference *in, struct errmsg *err)
{
	const char *model = json_string_value(in->model);
	char *service;

	if (!json_is_object(in->root)) {
		error_set(err, 0, "the body is not a JSON object");
		return NULL;
	}
	if (model == NULL || model[0] == '\0') {
		error_set(err, 0, "`model_name` is missing, or not a text");
		return NULL;
	}
	if (in->params != NULL && !json_is_object(in->params) &&
	    !json_is_null(in->params)) {
		error_set(err, 0, "`params` is not an object");
		return NULL;
	}
	service = mem_printf(LEGACY_SERVICE_PREFIX "%s", model);
	if (strlen(model) == json_string_length(in->model) &&
	    query_service_is_valid(service))
		return service;
	error_set(err, 0, "`model_name` is over %d bytes, or has control characters",
		  LIMIT_SERVICE_BYTES_MAX - (int)strlen(LEGACY_SERVICE_PREFIX));
	free(service);
	return NULL;
}

/* Exactly the two members: the bytes go on as they came, for jansson would write 0.1 as
 * 0.10000000000000001. */
static void
inference_put_body(const struct inference *in, struct bytes body, struct buf *ret_body)
{
	json_t *two;
	char *text;

	if (inference_is_exact(in)) {
		buf_put_bytes(ret_body, body);
		return;
	}
	two = json_object();
	json_object_set(two, "model_name", (json_t *)in->model);
	if (json_is_object(in->params))
		json_object_set(two, "params", (json_t *)in->params);
	else
		json_object_set_new(two, "params", json_object());
	text = json_dumps(two, JSON_COMPACT);
	assert(text != NULL);
	buf_put_text(ret_body, text);
	free(text);
	json_decref(two);
}

int
legacy_read(struct bytes body, char **ret_service, struct buf *ret_body,
	    struct errmsg *err)
{
	struct inference in;
	json_error_t why;
	char *service = NULL;
	bool is_big = false;

	if (!inference_load(body, 0, &in, &why) &&
	    json_error_code(&why) == json_error_numeric_overflow)
		is_big = inference_load(body, JSON_DECODE_INT_AS_REAL, &in, &why);
	if (in.root == NULL)
		error_set(err, 0, "the body is not JSON: %s, at byte %d", why.text,
			  why.position);
	else
		service = inference_service(&in, err);
	if (service != NULL && is_big && !inference_is_exact(&in)) {
		error_set(err, 0,
			  "a number of over 64 bits goes only with `model_name` and "
			  "`params` and no other member");
		free(service);
		service = NULL;
	}
	if (service != NULL) {
		inference_put_body(&in, body, ret_body);
		*ret_service = service;
	}
	json_decref(in.root);
	return service != NULL ? 0 : 400;
}

static json_t *
legacy_text(struct bytes text)
{
	json_t *string = json_stringn((const char *)text.data, text.len);
	struct buf in = BUF_INIT, clean = BUF_INIT;
	const char *at, *end;

	if (string != NULL)
		return string;
	buf_put_bytes(&in, text);
	at = buf_text(&in);
	end = at + text.len;
	while (at < end) {
		size_t len = utf8_length(at); /* 1 for a NUL, too */

		if (len > 0)
			buf_put(&clean, at, len);
		else
			buf_put_text(&clean, "\xef\xbf\xbd");
		at += len > 0 ? len : 1;
	}
	string = json_stringn((const char *)clean.data, clean.len);
	buf_fini(&in);
	buf_fini(&clean);
	return string != NULL ? string : json_string("");
}

json_t *
legacy_answer(struct bytes reply)
{
	return json_pack("{s:s, s:o}", "message", "ok", "data", legacy_text(reply));
}

json_t *
legacy_error(struct bytes text)
{
	return json_pack("{s:o}", "error", legacy_text(text));
}

/* --- the table --- */

/* The original's row is known by its node and its connection's number. A legacy worker's id
 * holds that; another's has none in the table, so a number is made of its id, the same on
 * every node and exact in a double. */
static json_int_t
legacy_client_id(const json_t *worker)
{
	const char *id = json_string_value(json_object_get(worker, "id"));
	const json_t *service = json_array_get(json_object_get(worker, "services"), 0);
	bool has_slots = json_integer_value(json_object_get(service, "slots")) > 0;

	if (id == NULL)
		return 0;
	if (!has_slots && id[0] == 'c' && id[1] != '\0' && strlen(id) < 20 &&
	    strspn(id + 1, "0123456789") == strlen(id + 1))
		return (json_int_t)strtoll(id + 1, NULL, 10);
	return (json_int_t)(hash64(bytes_text(id), 0) >> 11);
}

static json_t *
legacy_gpus(const json_t *worker)
{
	static const char *const numbers[] = { "memory", "memory_free", "memory_used" };
	const json_t *from = json_object_get(json_object_get(worker, "hardware"), "gpus");
	json_t *gpus = json_array();

	for (size_t i = 0; i < json_array_size(from); i++) {
		const json_t *gpu = json_array_get(from, i);
		json_t *item = json_object();

		json_object_set(item, "name", json_object_get(gpu, "name"));
		for (size_t k = 0; k < 3; k++)
			json_object_set_new(item, numbers[k],
					    json_integer(json_integer_value(
						    json_object_get(gpu, numbers[k]))));
		json_array_append_new(gpus, item);
	}
	return gpus;
}

static json_t *
legacy_row(const json_t *worker, const char *state, const json_t *service)
{
	if (strcmp(state, "ready") == 0)
		state = "connected";
	return json_pack(
		"{s:O, s:I, s:s, s:o, s:O}", "peer_id", json_object_get(worker, "node"),
		"client_id", legacy_client_id(worker), "status", state, "gpus",
		legacy_gpus(worker), "service", json_object_get(service, "name"));
}

json_t *
legacy_table(const json_t *workers)
{
	json_t *nodes = json_array();

	for (size_t i = 0; i < json_array_size(workers); i++) {
		const json_t *w = json_array_get(workers, i);
		const char *state = json_string_value(json_object_get(w, "state"));
		const json_t *services = json_object_get(w, "services");

		if (state == NULL || strcmp(state, "hidden") == 0)
			continue;
		for (size_t k = 0; k < json_array_size(services); k++)
			json_array_append_new(
				nodes, legacy_row(w, state, json_array_get(services, k)));
	}
	if (json_array_size(nodes) == 0) {
		json_decref(nodes);
		nodes = json_null();
	}
	return json_pack("{s:o}", "nodes", nodes);
}

void
legacy_table_run(const struct api_call *call)
{
	json_t *workers = api_read(call, API_VIEW_WORKERS);

	if (workers == NULL) {
		api_refuse(call, 503, "this node cannot tell now; ask again in a moment");
		return;
	}
	api_send_json(call, 200, legacy_table(workers));
	json_decref(workers);
}

/* --- health --- */

static json_t *
legacy_peers(const json_t *links)
{
	json_t *peers = json_array();

	for (size_t i = 0; i < json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i);
		const char *state = json_string_value(json_object_get(link, "state"));
		json_t *node = json_object_get(link, "node");
		bool is_new = json_is_string(node) && state != NULL &&
			      strcmp(state, "up") == 0;

		for (size_t k = 0; k < json_array_size(peers) && is_new; k++)
			is_new = !json_equal(json_array_get(peers, k), node);
		if (is_new)
			json_array_append(peers, node);
	}
	return peers;
}

void
legacy_health_run(const struct api_call *call)
{
	struct query_headers params;
	struct errmsg err;
	json_t *health, *links;
	const char *peer;

	if (request_params(call->head->target, &params, &err) != 0) {
		api_refuse(call, 400, err.text);
		return;
	}
	health = json_pack("{s:s}", "status", "ok");
	peer = query_headers_get(&params, "peer");
	if (peer != NULL && strcmp(peer, "1") == 0) {
		links = api_read(call, API_VIEW_PEERS);
		json_object_set_new(health, "peers", legacy_peers(links));
		json_decref(links);
	}
	query_headers_fini(&params);
	api_send_json(call, 200, health);
}

/* --- connections: the bus answers later --- */

static void
connections_on_body(void *arg, struct bytes data, bool is_last)
{
	(void)arg;
	(void)data;
	(void)is_last;
}

static void
connections_on_drain(void *arg)
{
	(void)arg;
}

static void
connections_on_abort(void *arg)
{
	struct api_call *call = arg;
	const struct api_host *host = &call->api->config.host;

	host->connections_cancel(host->arg, call);
	api_count(call, 499);
	free(call);
}

static void
connections_on_answer(void *arg, struct bytes json)
{
	struct api_call *call = arg;

	if (json.len > 0)
		api_send(call, 200, "application/json", NULL, json);
	else
		api_refuse(call, 503, "the bus did not answer; ask again in a moment");
	free(call);
}

void
legacy_connections_run(const struct api_call *call)
{
	static const struct http_handler handler = {
		.on_body = connections_on_body,
		.on_drain = connections_on_drain,
		.on_abort = connections_on_abort,
	};
	const struct api_host *host = &call->api->config.host;
	struct api_call *kept = mem_calloc(1, sizeof(*kept));
	struct errmsg err = { "" };
	int status;

	*kept = *call;
	kept->head = NULL; /* gone before the answer */
	status = host->connections(host->arg, connections_on_answer, kept, &err);
	if (status != 0) {
		free(kept);
		api_refuse(call, status, err.text);
		return;
	}
	http_exchange_set_handler(call->x, &handler, kept);
}
