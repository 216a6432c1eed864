/* SPDX-License-Identifier: Apache-2.0 */
/* What api.c, admin.c, legacy.c, openai.c, opentela.c and service.c share; nobody else's. */
#ifndef OCF_HTTP_ROUTES_H
#define OCF_HTTP_ROUTES_H

#include "base/rng.h"
#include "http/access.h"
#include "http/api.h"
#include "http/events.h"
#include "http/server.h"

struct api {
	struct api_config config;
	struct http_server *server;
	struct access *access;
	struct events *events;
	struct user_counts user_counts;
	struct rng rng;		  /* request ids; no secret */
	struct route_memo *memos; /* of each route, and of what has none */
	size_t peeked_bytes; /* of bodies that are held until they name their model */
};

/* In whose words a route answers, in what it refuses, too. */
enum route_shape {
	ROUTE_OWN,    /* interfaces.md's; errors are problem objects */
	ROUTE_LEGACY, /* the 2023 original's and OpenTela's: errors are {"error": text} */
	ROUTE_OPENAI, /* OpenAI's (openai.h) */
};

struct route;

/* One request on its way to its route. */
struct api_call {
	struct api *api;
	const struct route *route;
	struct http_exchange *x;
	const struct http_head *head;
	ms_t started; /* monotonic */
	/* Of a query, for the access log; borrowed. */
	const char *request_id, *worker;
	struct user *user; /* whose token came with it, held until api_count(); or NULL */
	bool has_place;	   /* among his requests, likewise */
};

struct route {
	const char *method; /* "ANY", "GET" (HEAD too), "POST" */
	const char *path;   /* up to a `{` it is a prefix, and something must follow */
	void (*run)(const struct api_call *call);
	int view;      /* an enum api_view or dashboard_file, for those */
	bool is_admin; /* on the unix socket only */
	bool is_open;  /* asks for no token: a probe's */
	enum route_shape shape;
};

/* The length of the path up to its `{`. */
size_t route_prefix_len(const struct route *route);
/* The call is over: count the reply in the metrics, write it to the access log and give its
 * user's place back. Once per call, when all of the reply was given and before the exchange
 * is over; nothing looks at call->user afterwards. */
void api_count(const struct api_call *call, int status);
/* Its content type, and what keeps browsers from guessing and from keeping it. */
void api_put_fields(struct http_fields *fields, const char *content_type);
/* What a view shows, without parameters: a new reference, or NULL. */
json_t *api_read(const struct api_call *call, enum api_view view);
/* A whole reply, counted. `fields` may be NULL and gets the content type. */
void api_send(const struct api_call *call, int status, const char *content_type,
	      struct http_fields *fields, struct bytes body);
/* `value` is consumed. */
void api_send_json(const struct api_call *call, int status, json_t *value);
/* `problem` is consumed; on a route of another shape its `detail` becomes the error. */
void api_send_problem(const struct api_call *call, struct http_fields *fields,
		      json_t *problem);
void api_refuse(const struct api_call *call, int status, const char *detail);
/* The same with a Retry-After; 0: without. */
void api_refuse_for_now(const struct api_call *call, int status, int retry_after_s,
			const char *detail);
/* May the call's user query this service? False: it was refused. */
bool api_may_query(const struct api_call *call, const char *service);

/* ANY /v1/service/{service}/{path}. Of a legacy route the body names the service, and the
 * reply is gathered; OpenAI's go to the service OPENAI_SERVICE with the path as it is. */
void service_run(const struct api_call *call);

/* POST /v1/admin/NAME: answered at once, or by a work of the host's. */
void route_admin_run(const struct api_call *call);
void route_work_run(const struct api_call *call);

#endif
