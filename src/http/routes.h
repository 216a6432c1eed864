/* SPDX-License-Identifier: Apache-2.0 */
/* What api.c, admin.c, legacy.c and service.c share; nobody else's. */
#ifndef OCF_HTTP_ROUTES_H
#define OCF_HTTP_ROUTES_H

#include "base/rng.h"
#include "http/access.h"
#include "http/api.h"
#include "http/server.h"

struct api {
	struct api_config config;
	struct http_server *server;
	struct access *access;
	struct rng rng; /* request ids; no secret */
};

struct route;

/* One request on its way to its route. */
struct api_call {
	struct api *api;
	const struct route *route;
	struct http_exchange *x;
	const struct http_head *head;
	ms_t started; /* monotonic */
	/* Of the bearer token, borrowed while the route begins; NULL: none was needed. */
	const char *token_name;
};

struct route {
	const char *method; /* "ANY", "GET" (HEAD too), "POST" */
	const char *path;   /* up to a `{` it is a prefix, and something must follow */
	void (*run)(const struct api_call *call);
	int view;	/* an enum api_view, for those */
	bool is_admin;	/* on the unix socket only */
	bool is_open;	/* asks for no token: a probe's */
	bool is_legacy; /* of the 2023 original: errors are {"error": text} */
};

/* The length of the path up to its `{`. */
size_t route_prefix_len(const struct route *route);
/* Count the reply in the metrics; once per call. */
void api_count(const struct api_call *call, int status);
/* A whole reply, counted. `headers` may be NULL and gets the content type. */
void api_send(const struct api_call *call, int status, const char *content_type,
	      struct query_headers *headers, struct bytes body);
/* `value` is consumed. */
void api_send_json(const struct api_call *call, int status, json_t *value);
/* `problem` is consumed. On a legacy route its `detail` becomes the error. */
void api_send_problem(const struct api_call *call, struct query_headers *headers,
		      json_t *problem);
void api_refuse(const struct api_call *call, int status, const char *detail);

/* ANY /v1/service/{service}/{path}; of a legacy route the body names the service, and the
 * reply is gathered. */
void service_run(const struct api_call *call);

/* POST /v1/admin/NAME: answered at once, or by a work of the host's. */
void route_admin_run(const struct api_call *call);
void route_work_run(const struct api_call *call);

#endif
