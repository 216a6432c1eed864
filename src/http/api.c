/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, who may use them, and the routes that answer at once. */
#include "config.h"

#include "http/api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/legacy.h"
#include "http/metrics.h"
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
	{ "ANY", "/v1/service/{service}/{path}", service_run, 0, false, false, false },
	{ "GET", "/v1/status", view_run, API_VIEW_STATUS, false, false, false },
	{ "GET", "/v1/nodes", view_run, API_VIEW_NODES, false, false, false },
	{ "GET", "/v1/workers", view_run, API_VIEW_WORKERS, false, false, false },
	{ "GET", "/v1/services", view_run, API_VIEW_SERVICES, false, false, false },
	{ "GET", "/v1/peers", view_run, API_VIEW_PEERS, false, false, false },
	{ "POST", "/api/v1/request/inference", service_run, 0, false, false, true },
	{ "POST", "/api/v1/request/_inference", service_run, 0, false, false, true },
	{ "GET", "/api/v1/status/table", legacy_table_run, 0, false, false, true },
	{ "GET", "/api/v1/status/health", legacy_health_run, 0, false, false, true },
	{ "GET", "/api/v1/status/connections", legacy_connections_run, 0, false, false,
	  true },
	{ "GET", "/healthz", health_run, 0, false, true, false },
	{ "GET", "/readyz", ready_run, 0, false, true, false },
	{ "GET", "/metrics", metrics_run, 0, false, false, false },
	{ "GET", "/openapi.yaml", openapi_run, 0, false, false, false },
	{ "POST", "/v1/admin/doctor", route_admin_run, 0, true, false, false },
	{ "POST", "/v1/admin/invite", route_admin_run, 0, true, false, false },
	{ "POST", "/v1/admin/sync", route_admin_run, 0, true, false, false },
	{ "POST", "/v1/admin/verify", route_admin_run, 0, true, false, false },
	{ "POST", "/v1/admin/ban", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/unban", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/forget", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/backup", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/drain", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/dump", route_work_run, 0, true, false, false },
	{ "POST", "/v1/admin/load", route_work_run, 0, true, false, false },
};

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

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
route_has_path(const struct route *route, const char *target, size_t path_len)
{
	size_t prefix = route_prefix_len(route);

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

void
api_count(const struct api_call *call, int status)
{
	struct metrics *m = call->api->config.metrics;
	const char *path = call->route != NULL ? call->route->path : "none";
	ms_t ms = loop_now(call->api->config.loop) - call->started;
	char code[8], *labels;

	snprintf(code, sizeof(code), "%d", status);
	labels = metrics_labels("route", path, "status", code, (char *)NULL);
	(*metrics_counter(m, "ocf_http_requests_total",
			  "Requests answered, by route and status; 499: the client left.",
			  labels))++;
	free(labels);
	labels = metrics_labels("route", path, (char *)NULL);
	metric_observe(metrics_histogram(m, "ocf_http_request_seconds",
					 "From a request's head to the end of its reply.",
					 labels, NULL, 0),
		       (double)ms / 1000);
	free(labels);
}

void
api_send(const struct api_call *call, int status, const char *content_type,
	 struct query_headers *headers, struct bytes body)
{
	struct query_headers own = { 0 };

	if (headers == NULL)
		headers = &own;
	query_headers_add(headers, "content-type", content_type);
	query_headers_add(headers, "cache-control", "no-store");
	query_headers_add(headers, "x-content-type-options", "nosniff");
	api_count(call, status);
	http_reply_full(call->x, status, headers, body);
	query_headers_fini(&own);
}

void
api_send_problem(const struct api_call *call, struct query_headers *headers,
		 json_t *problem)
{
	int status = (int)json_integer_value(json_object_get(problem, "status"));
	bool is_legacy = call->route != NULL && call->route->is_legacy;
	char *text;

	if (is_legacy) {
		json_t *error = legacy_error(bytes_text(
			json_string_value(json_object_get(problem, "detail"))));

		json_decref(problem);
		problem = error;
	}
	text = problem_dump(problem);
	api_send(call, status, is_legacy ? "application/json" : PROBLEM_CONTENT_TYPE,
		 headers, bytes_text(text));
	free(text);
	json_decref(problem);
}

void
api_refuse(const struct api_call *call, int status, const char *detail)
{
	struct query_headers headers = { 0 };

	if (status == 401)
		query_headers_add(&headers, "www-authenticate", "Bearer realm=\"ocf\"");
	api_send_problem(call, &headers, problem_new(status, detail));
	query_headers_fini(&headers);
}

void
api_send_json(const struct api_call *call, int status, json_t *value)
{
	char *text = problem_dump(value);

	api_send(call, status, "application/json", NULL, bytes_text(text));
	free(text);
	json_decref(value);
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
	struct query_headers headers = { 0 };
	struct buf allow = BUF_INIT;

	buf_put_text(&allow, "OPTIONS");
	for (int i = 0; i < ROUTES; i++)
		if (route_has_path(&routes[i], target, path_len))
			buf_printf(&allow, ", %s",
				   strcmp(routes[i].method, "GET") == 0
					   ? "GET, HEAD"
					   : routes[i].method);
	query_headers_add(&headers, "allow", buf_text(&allow));
	buf_fini(&allow);
	if (strcmp(call->head->method, "OPTIONS") == 0) {
		api_count(call, 204);
		http_reply_full(call->x, 204, &headers, BYTES_NONE);
	} else {
		api_send_problem(call, &headers,
				 problem_new(405, "this path has no such method"));
	}
	query_headers_fini(&headers);
}

/* 0, or the status to refuse with: who asks, from where, with what token. */
static int
api_check_access(struct api_call *call, struct errmsg *err)
{
	enum access_way way = (enum access_way)http_exchange_tag(call->x);
	const struct access *access = call->api->access;
	int status = access_check_site(access, way, call->head, err);

	if (status != 0 || (call->route != NULL && call->route->is_open))
		return status;
	if (call->route != NULL && call->route->is_admin && way != ACCESS_SOCKET) {
		error_set(err, 0,
			  "this is for the node's administrator: it is served on the "
			  "unix socket only");
		return 403;
	}
	return access_check_token(access, way, call->head, &call->token_name, err);
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
	struct errmsg err;
	int status;

	for (int i = 0; i < ROUTES && !has_method; i++) {
		if (!route_has_path(&routes[i], head->target, path_len))
			continue;
		call.route = &routes[i];
		has_method = route_has_method(&routes[i], head->method);
	}
	status = api_check_access(&call, &err);
	if (status != 0)
		api_refuse(&call, status, err.text);
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
	int rc = access_new(&config->access, &access, err);

	if (rc < 0)
		return rc;
	api = mem_calloc(1, sizeof(*api));
	api->config = *config;
	if (api->config.timeout_ms == 0)
		api->config.timeout_ms = API_TIMEOUT_DEFAULT_MS;
	api->access = access;
	rng_init(&api->rng, rng_seed_from_os());
	name = mem_printf("ocf/%s", config->version);
	api->server = http_server_new(&(struct http_server_config){
		.loop = config->loop,
		.on_request = api_on_request,
		.on_refused = api_on_refused,
		.arg = api,
		.name = name,
		.body_max = config->body_max,
		.linger_ms = config->linger_ms,
	});
	free(name);
	metrics_gauge_read(config->metrics, "ocf_http_connections",
			   "Open HTTP connections.", NULL, api_read_connections, api);
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
	access_free(api->access);
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
	int rc = access_new(config, &access, err);

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
	int rc = access_new(config, &access, err);

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
	return 0;
}

void
api_drain(struct api *api)
{
	http_server_drain(api->server);
}

void
api_stop(struct api *api)
{
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
