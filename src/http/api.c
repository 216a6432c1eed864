/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, who may use them, and the routes that answer at once. */
#include "config.h"

#include "http/api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/dashboard.h"
#include "http/legacy.h"
#include "http/metrics.h"
#include "http/openai.h"
#include "http/opentela.h"
#include "http/problem.h"
#include "http/request.h"
#include "http/routes.h"
#include "net/stream.h"

static void view_run(const struct api_call *call);
static void health_run(const struct api_call *call);
static void ready_run(const struct api_call *call);
static void metrics_run(const struct api_call *call);
static void openapi_run(const struct api_call *call);

static const struct route routes[] = {
	{ "ANY", "/v1/service/{service}/{path}", service_run, 0, false, false,
	  ROUTE_OWN },
	{ "GET", "/v1/models", openai_models_run, 0, false, false, ROUTE_OPENAI },
	{ "GET", "/v1/models/{id}", openai_model_run, 0, false, false, ROUTE_OPENAI },
	{ "POST", "/v1/chat/completions", service_run, 0, false, false, ROUTE_OPENAI },
	{ "POST", "/v1/completions", service_run, 0, false, false, ROUTE_OPENAI },
	{ "POST", "/v1/embeddings", service_run, 0, false, false, ROUTE_OPENAI },
	{ "POST", "/v1/responses", service_run, 0, false, false, ROUTE_OPENAI },
	{ "GET", "/v1/status", view_run, API_VIEW_STATUS, false, false, ROUTE_OWN },
	{ "GET", "/v1/nodes", view_run, API_VIEW_NODES, false, false, ROUTE_OWN },
	{ "GET", "/v1/workers", view_run, API_VIEW_WORKERS, false, false, ROUTE_OWN },
	{ "GET", "/v1/services", view_run, API_VIEW_SERVICES, false, false, ROUTE_OWN },
	{ "GET", "/v1/peers", view_run, API_VIEW_PEERS, false, false, ROUTE_OWN },
	{ "GET", "/v1/events", events_run, 0, false, false, ROUTE_OWN },
	{ "POST", "/api/v1/request/inference", service_run, 0, false, false,
	  ROUTE_LEGACY },
	{ "POST", "/api/v1/request/_inference", service_run, 0, false, false,
	  ROUTE_LEGACY },
	{ "GET", "/api/v1/status/table", legacy_table_run, 0, false, false,
	  ROUTE_LEGACY },
	{ "GET", "/api/v1/status/health", legacy_health_run, 0, false, false,
	  ROUTE_LEGACY },
	{ "GET", "/api/v1/status/connections", legacy_connections_run, 0, false, false,
	  ROUTE_LEGACY },
	{ "GET", "/v1/dnt/table", opentela_table_run, 0, false, false, ROUTE_LEGACY },
	{ "GET", "/v1/dnt/peers", opentela_peers_run, 0, false, false, ROUTE_LEGACY },
	{ "GET", "/v1/dnt/stats", opentela_stats_run, 0, false, false, ROUTE_LEGACY },
	{ "GET", "/v1/health", legacy_health_run, 0, false, false, ROUTE_LEGACY },
	{ "GET", "/", dashboard_run, DASHBOARD_PAGE, false, false, ROUTE_OWN },
	{ "GET", "/dashboard/dashboard.css", dashboard_run, DASHBOARD_STYLE, false, false,
	  ROUTE_OWN },
	{ "GET", "/dashboard/dashboard.js", dashboard_run, DASHBOARD_SCRIPT, false, false,
	  ROUTE_OWN },
	{ "GET", "/healthz", health_run, 0, false, true, ROUTE_OWN },
	{ "GET", "/readyz", ready_run, 0, false, true, ROUTE_OWN },
	{ "GET", "/metrics", metrics_run, 0, false, false, ROUTE_OWN },
	{ "GET", "/openapi.yaml", openapi_run, 0, false, false, ROUTE_OWN },
	{ "POST", "/v1/admin/doctor", route_admin_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/invite", route_admin_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/token", route_admin_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/sync", route_admin_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/verify", route_admin_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/ban", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/unban", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/forget", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/backup", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/drain", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/dump", route_work_run, 0, true, false, ROUTE_OWN },
	{ "POST", "/v1/admin/load", route_work_run, 0, true, false, ROUTE_OWN },
};

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

/* What is found out once. The series of the metrics are looked up by their labels at the first
 * reply, and again when the status is another than that of the reply before. */
struct route_memo {
	size_t prefix_len;
	int status;
	uint64_t *requests;
	struct metric_histogram *seconds;
};

bool
api_route_at(int i, const char **ret_method, const char **ret_path, bool *ret_is_admin)
{
	if (i < 0 || i >= ROUTES)
		return false;
	*ret_method = routes[i].method;
	*ret_path = routes[i].path;
	*ret_is_admin = routes[i].is_admin;
	return true;
}

size_t
route_prefix_len(const struct route *route)
{
	return strcspn(route->path, "{");
}

static bool
route_has_path(const struct api *api, const struct route *route, const char *target,
	       size_t path_len)
{
	size_t prefix = api->memos[route - routes].prefix_len;

	if (route->path[prefix] == '\0')
		return path_len == prefix && strncmp(target, route->path, prefix) == 0;
	return path_len > prefix && strncmp(target, route->path, prefix) == 0 &&
	       target[prefix] != '/';
}

static bool
route_has_method(const struct route *route, const char *method)
{
	return strcmp(route->method, "ANY") == 0 || strcmp(route->method, method) == 0 ||
	       (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void
route_memo_count(struct route_memo *memo, struct metrics *m, const char *path, int status)
{
	char code[DECIMAL_SIZE], *labels;

	labels = metrics_labels("route", path, "status",
				decimal_text((uint64_t)status, code), (char *)NULL);
	memo->requests = metrics_counter(
		m, "ocf_http_requests_total",
		"Requests answered, by route and status; 499: the client left.", labels);
	memo->status = status;
	free(labels);
	if (memo->seconds != NULL)
		return;
	labels = metrics_labels("route", path, (char *)NULL);
	memo->seconds = metrics_histogram(
		m, "ocf_http_request_seconds",
		"From a request's head to the end of its reply.", labels, NULL, 0);
	free(labels);
}

static void
api_log(const struct api_call *call, int status, ms_t ms)
{
	const struct http_head *head = http_exchange_head(call->x);
	int64_t received, sent;

	http_exchange_bytes(call->x, &received, &sent);

	struct log_field fields[10] = {
		{ "peer", http_exchange_peer(call->x), 0 },
		{ "method", head->method, 0 },
		{ "target", head->target, 0 },
		{ "status", NULL, status },
		{ "received", NULL, received },
		{ "sent", NULL, sent },
		{ "ms", NULL, ms },
	};
	int len = 7;

	if (call->user != NULL)
		fields[len++] = (struct log_field){ "token", user_name(call->user), 0 };
	if (call->request_id != NULL)
		fields[len++] = (struct log_field){ "request_id", call->request_id, 0 };
	if (call->worker != NULL)
		fields[len++] = (struct log_field){ "worker", call->worker, 0 };
	log_fields(LOG_INFO, "access", fields, len);
}

void
api_count(const struct api_call *call, int status)
{
	const struct route *route = call->route;
	struct route_memo
		*memo = &call->api->memos[route != NULL ? route - routes : ROUTES];
	ms_t ms = loop_now(call->api->config.loop) - call->started;

	if (memo->status != status)
		route_memo_count(memo, call->api->config.metrics,
				 route != NULL ? route->path : "none", status);
	(*memo->requests)++;
	metric_observe(memo->seconds, (double)ms / 1000);
	if (call->api->config.access_log)
		api_log(call, status, ms);
	if (call->has_place)
		user_leave(call->user, ms);
	user_unref(call->user);
}

void
api_put_fields(struct http_fields *fields, const char *content_type)
{
	http_fields_add(fields, "content-type", content_type);
	http_fields_add(fields, "cache-control", "no-store");
	http_fields_add(fields, "x-content-type-options", "nosniff");
}

void
api_send(const struct api_call *call, int status, const char *content_type,
	 struct http_fields *fields, struct bytes body)
{
	struct http_fields own;
	int rc;

	own.len = 0;
	if (fields == NULL)
		fields = &own;
	api_put_fields(fields, content_type);
	rc = http_reply_begin(call->x, status, fields, (int64_t)body.len);
	assert(rc == 0);
	(void)rc;
	http_reply_data(call->x, body);
	api_count(call, status);
	http_reply_end(call->x);
}

void
api_send_problem(const struct api_call *call, struct http_fields *fields, json_t *problem)
{
	int status = (int)json_integer_value(json_object_get(problem, "status"));
	enum route_shape shape = call->route != NULL ? call->route->shape : ROUTE_OWN;
	char *text;

	if (shape != ROUTE_OWN) {
		const char *detail = json_string_value(
			json_object_get(problem, "detail"));
		json_t *error = shape == ROUTE_LEGACY ? legacy_error(bytes_text(detail))
						      : openai_error(status, detail);

		json_decref(problem);
		problem = error;
	}
	text = problem_dump(problem);
	api_send(call, status,
		 shape == ROUTE_OWN ? PROBLEM_CONTENT_TYPE : "application/json", fields,
		 bytes_text(text));
	free(text);
	json_decref(problem);
}

void
api_refuse_for_now(const struct api_call *call, int status, int retry_after_s,
		   const char *detail)
{
	struct http_fields fields;
	char after[DECIMAL_SIZE];

	fields.len = 0;
	if (status == 401)
		http_fields_add(&fields, "www-authenticate", "Bearer realm=\"ocf\"");
	if (retry_after_s > 0)
		http_fields_add(&fields, "retry-after",
				decimal_text((uint64_t)retry_after_s, after));
	api_send_problem(call, &fields, problem_new(status, detail));
}

void
api_refuse(const struct api_call *call, int status, const char *detail)
{
	api_refuse_for_now(call, status, 0, detail);
}

bool
api_may_query(const struct api_call *call, const char *service)
{
	struct errmsg err;
	int status = user_check_service(call->user, &call->api->user_counts, service,
					&err);

	if (status != 0)
		api_refuse(call, status, err.text);
	return status == 0;
}

void
api_send_json(const struct api_call *call, int status, json_t *value)
{
	char *text = problem_dump(value);

	api_send(call, status, "application/json", NULL, bytes_text(text));
	free(text);
	json_decref(value);
}

json_t *
api_read(const struct api_call *call, enum api_view view)
{
	static const struct query_headers none;
	const struct api_host *host = &call->api->config.host;

	return host->read(host->arg, view, &none);
}

static void
view_run(const struct api_call *call)
{
	const struct api_host *host = &call->api->config.host;
	struct query_headers params;
	struct errmsg err;
	json_t *value;

	if (request_params(call->head->target, &params, &err) != 0) {
		api_refuse(call, 400, err.text);
		return;
	}
	value = host->read(host->arg, (enum api_view)call->route->view, &params);
	query_headers_fini(&params);
	if (value != NULL)
		api_send_json(call, 200, value);
	else
		api_refuse(call, 503, "this node cannot tell now; ask again in a moment");
}

static void
health_run(const struct api_call *call)
{
	api_send(call, 200, "text/plain; charset=utf-8", NULL, bytes_text("ok\n"));
}

static void
ready_run(const struct api_call *call)
{
	const struct api_host *host = &call->api->config.host;
	struct errmsg why = { "" };

	if (host->ready(host->arg, &why))
		api_send(call, 200, "text/plain; charset=utf-8", NULL,
			 bytes_text("ready\n"));
	else
		api_refuse(call, 503, why.text);
}

static void
metrics_run(const struct api_call *call)
{
	struct buf out = BUF_INIT;

	metrics_write(call->api->config.metrics, &out);
	api_send(call, 200, METRICS_CONTENT_TYPE, NULL, buf_bytes(&out));
	buf_fini(&out);
}

static void
openapi_run(const struct api_call *call)
{
	api_send(call, 200, "application/yaml", NULL, bytes_text(openapi_yaml));
}

/* 405 tells what would have been right; OPTIONS is answered with it, too. */
static void
api_answer_methods(const struct api_call *call, const char *target, size_t path_len)
{
	struct http_fields fields;
	struct buf allow = BUF_INIT;

	buf_put_text(&allow, "OPTIONS");
	for (int i = 0; i < ROUTES; i++)
		if (route_has_path(call->api, &routes[i], target, path_len))
			buf_printf(&allow, ", %s",
				   strcmp(routes[i].method, "GET") == 0
					   ? "GET, HEAD"
					   : routes[i].method);
	fields.len = 0;
	http_fields_add(&fields, "allow", buf_text(&allow));
	if (strcmp(call->head->method, "OPTIONS") == 0) {
		api_count(call, 204);
		http_reply_full(call->x, 204, &fields, BYTES_NONE);
	} else {
		api_send_problem(call, &fields,
				 problem_new(405, "this path has no such method"));
	}
	buf_fini(&allow);
}

/* 0, or the status to refuse with: who asks, from where, with what token, and how often.
 * Sets the call's user. */
static int
api_check_access(struct api_call *call, int *ret_retry_after_s, struct errmsg *err)
{
	enum access_way way = (enum access_way)http_exchange_tag(call->x);
	const struct access *access = call->api->access;
	struct user *user = NULL;
	int status = access_check_site(access, way, call->head, err);

	if (status != 0 || (call->route != NULL && call->route->is_open))
		return status;
	if (call->route != NULL && call->route->is_admin && way != ACCESS_SOCKET) {
		error_set(err, 0,
			  "this is for the node's administrator: it is served on the "
			  "unix socket only");
		return 403;
	}
	status = access_check_token(access, way, call->head, &user, err);
	if (user == NULL)
		return status;
	call->user = user_ref(user);
	status = user_enter(user, &call->api->user_counts, call->started,
			    ret_retry_after_s, err);
	call->has_place = status == 0;
	return status;
}

static void
api_on_request(void *arg, struct http_exchange *x, const struct http_head *head)
{
	struct api *api = arg;
	struct api_call call = {
		.api = api, .x = x, .head = head, .started = loop_now(api->config.loop)
	};
	size_t path_len = strcspn(head->target, "?");
	bool has_method = false;
	int status, retry_after_s = 0;
	struct errmsg err;

	for (int i = 0; i < ROUTES && !has_method; i++) {
		if (!route_has_path(api, &routes[i], head->target, path_len))
			continue;
		call.route = &routes[i];
		has_method = route_has_method(&routes[i], head->method);
	}
	status = api_check_access(&call, &retry_after_s, &err);
	if (status != 0)
		api_refuse_for_now(&call, status, retry_after_s, err.text);
	else if (has_method)
		call.route->run(&call);
	else if (call.route != NULL || strcmp(head->target, "*") == 0)
		api_answer_methods(&call, head->target, path_len);
	else
		api_refuse(&call, 404,
			   "there is nothing at this path; /openapi.yaml lists "
			   "what there is");
}

static void
api_on_refused(void *arg, int status)
{
	struct api *api = arg;
	char code[8], *labels;

	snprintf(code, sizeof(code), "%d", status);
	labels = metrics_labels("status", code, (char *)NULL);
	(*metrics_counter(
		api->config.metrics, "ocf_http_refused_total",
		"Requests refused before their route was looked up, and bodies that "
		"broke the protocol or a limit.",
		labels))++;
	free(labels);
}

static double
api_read_connections(void *arg)
{
	return http_server_connections(((struct api *)arg)->server);
}

static double
api_read_turned_away(void *arg)
{
	return (double)http_server_turned_away(((struct api *)arg)->server);
}

static double
api_read_running(void *arg)
{
	return http_server_exchanges(((struct api *)arg)->server);
}

int
api_new(const struct api_config *config, struct api **ret_api, struct errmsg *err)
{
	struct access *access;
	struct api *api;
	char *name;
	int rc = access_new(&config->access, NULL, loop_now(config->loop), &access, err);

	if (rc < 0)
		return rc;
	api = mem_calloc(1, sizeof(*api));
	api->config = *config;
	if (api->config.timeout_ms == 0)
		api->config.timeout_ms = API_TIMEOUT_DEFAULT_MS;
	api->access = access;
	api->memos = mem_calloc(ROUTES + 1, sizeof(*api->memos));
	for (int i = 0; i < ROUTES; i++)
		api->memos[i].prefix_len = route_prefix_len(&routes[i]);
	api->user_counts.metrics = config->metrics;
	rng_init(&api->rng, rng_seed_from_os());
	name = mem_printf("ocf/%s", config->version);
	api->server = http_server_new(&(struct http_server_config){
		.loop = config->loop,
		.on_request = api_on_request,
		.on_refused = api_on_refused,
		.arg = api,
		.name = name,
		.body_max = config->body_max,
		.connections_max = config->connections_max,
		.address_connections_max = config->address_connections_max,
		.linger_ms = config->linger_ms,
	});
	free(name);
	api->events = events_new(api);
	metrics_gauge_read(config->metrics, "ocf_http_connections",
			   "Open HTTP connections.", NULL, api_read_connections, api);
	metrics_counter_read(config->metrics, "ocf_http_turned_away_total",
			     "HTTP connections closed at once, since their address had "
			     "as many as it may.",
			     NULL, api_read_turned_away, api);
	metrics_gauge_read(config->metrics, "ocf_http_running",
			   "Requests that are being read or answered.", NULL,
			   api_read_running, api);
	*ret_api = api;
	return 0;
}

void
api_free(struct api *api)
{
	if (api == NULL)
		return;
	http_server_free(api->server);
	events_free(api->events);
	access_free(api->access);
	free(api->memos);
	user_counts_fini(&api->user_counts);
	free(api);
}

int
api_listen(struct api *api, const char *address, struct tls *tls, unsigned mode,
	   struct errmsg *err)
{
	enum access_way way = ACCESS_SOCKET;
	int rc;

	if (strncmp(address, "unix:", 5) != 0) {
		rc = access_check_listen(api->access, address, err);
		if (rc < 0)
			return rc;
		way = address_is_loopback(address) ? ACCESS_LOOPBACK : ACCESS_NETWORK;
	}
	return http_server_listen(api->server, address, tls, mode, (int)way, err);
}

void
api_set_tls(struct api *api, struct tls *tls)
{
	http_server_set_tls(api->server, tls);
}

const char *
api_address(const struct api *api)
{
	const char *address = http_server_address(api->server, ACCESS_LOOPBACK);

	return address != NULL ? address
			       : http_server_address(api->server, ACCESS_NETWORK);
}

int
api_check_access_config(const struct access_config *config, const char *address,
			struct errmsg *err)
{
	struct access *access;
	int rc = access_new(config, NULL, 0, &access, err);

	if (rc < 0)
		return rc;
	rc = access_check_listen(access, address, err);
	access_free(access);
	return rc;
}

int
api_reload(struct api *api, const struct access_config *config, struct errmsg *err)
{
	struct access *access;
	int rc = access_new(config, api->access, loop_now(api->config.loop), &access,
			    err);

	if (rc < 0)
		return rc;
	if (api_address(api) != NULL)
		rc = access_check_listen(access, api_address(api), err);
	if (rc < 0) {
		access_free(access);
		return rc;
	}
	access_free(api->access);
	api->access = access;
	events_check_users(api->events);
	return 0;
}

int
api_tokens(const struct api *api)
{
	return access_tokens(api->access);
}

void
api_event(struct api *api, const char *kind, const char *op, const char *id,
	  const struct id *node, const json_t *row)
{
	char text[ID_TEXT_SIZE];
	json_t *value = row != NULL ? json_deep_copy(row) : json_null();

	events_add(api->events,
		   json_pack("{s:s, s:s, s:s, s:s, s:o}", "kind", kind, "op", op, "id",
			     id, "node", id_text(node, text), "row", value));
}

void
api_drain(struct api *api)
{
	events_end(api->events);
	http_server_drain(api->server);
}

void
api_stop(struct api *api)
{
	events_end(api->events);
	http_server_stop(api->server);
}

int
api_running(const struct api *api)
{
	return http_server_exchanges(api->server);
}

int
api_unsent(const struct api *api)
{
	return http_server_unsent(api->server);
}
