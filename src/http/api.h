/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP interface of a node (interfaces.md: HTTP): one const table of routes, served
 * on TCP and on the unix socket, admin routes on the socket only. Here are routing,
 * access, the reading and writing of HTTP; data and queries are the daemon's, reached
 * through `struct api_host`.
 *
 * A query, seen from the daemon:
 *
 *	query_open(arg, q, head)   a head has come; returns the daemon's token. A JSON
 *	                           body that may name the model was looked at before.
 *	query_body(token, part, last)
 *	                           parts of at most LIMIT_PART_BYTES_MAX, the last one
 *	                           marked (it may be empty); LIMIT_PARTS_WINDOW of them,
 *	                           empty ones too, then as many as api_reply_want() allows
 *	query_consumed(token, n)   n parts of api_reply_data() were taken by the client;
 *	                           at most LIMIT_PARTS_WINDOW may be under way
 *	query_cancel(token)        the client left; the daemon drops the query
 *	api_reply_head(q, …)       once, before any data
 *	api_reply_data(q, …)       one part
 *	api_reply_end(q)           the reply is whole
 *	api_reply_error(q, …)      instead of a head; later it cuts the connection, so
 *	                           that the client sees that the reply is not whole
 *
 * After query_cancel, api_reply_end or api_reply_error neither side uses the other's
 * pointer again. The daemon may answer from inside query_open (its return value is then
 * not used) and query_body. No callback is made from inside an api_ call. Loop's thread
 * only. */
#ifndef OCF_HTTP_API_H
#define OCF_HTTP_API_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/query.h"
#include "http/access.h"
#include "net/loop.h"

struct api;
struct api_query;
struct api_work;
struct metrics;
struct tls;

enum {
	API_TIMEOUT_DEFAULT_MS = 600 * MS_SECOND, /* of a query without Ocf-Timeout */
	API_TIMEOUT_MAX_MS = 24 * MS_HOUR,
	API_ADMIN_BODY_BYTES_MAX = 64 * 1024,
	/* Of a work: lines of a dump, of which one may have a MiB. */
	API_WORK_BODY_BYTES_MAX = 2 * 1024 * 1024,
	/* A query of the 2023 original: what one message to its workers may hold. */
	API_INFERENCE_BODY_BYTES_MAX = 512 * 1024,
	/* Its answer, which is gathered and becomes one JSON text: the largest whole reply
	 * that the bus takes. */
	API_INFERENCE_REPLY_BYTES_MAX = 8 * 1024 * 1024,
	/* Of an OpenAI request, whose model chooses the worker, up to the body's end: what is
	 * kept to be sent again (DISPATCH_KEEP_BYTES_MAX). With all such together. */
	API_PEEK_BYTES_MAX = 4 * 1024 * 1024,
	API_PEEK_ALL_BYTES_MAX = 128 * 1024 * 1024,
	/* While nothing has come of a streamed reply, a comment is sent so often. */
	API_KEEPALIVE_MS = 15 * MS_SECOND,
};

enum api_view {
	API_VIEW_STATUS,
	API_VIEW_NODES,
	API_VIEW_WORKERS,
	API_VIEW_SERVICES,
	API_VIEW_PEERS
};

struct api_host {
	void *arg;
	/* What `ocf status`, `ocf nodes`, … show. `params`: the URL's, decoded ("all" is
	 * "1"). A new reference; NULL: not to be had now (503). */
	json_t *(*read)(void *arg, enum api_view view,
			const struct query_headers *params);
	/* POST /v1/admin/NAME. `body`: its JSON, an object; empty without a body. Returns
	 * 200 with a new reference, or another status with the reason. */
	int (*admin)(void *arg, const char *name, const json_t *body, json_t **ret_reply,
		     struct errmsg *err);
	/* POST /v1/admin/NAME of those that take a while, or whose reply is large: see
	 * api_work_begin(). `params` as of read(), `body` whole; both are borrowed. Returns
	 * 0 with the daemon's token and answers later, or a status with the reason. */
	int (*work_open)(void *arg, const char *name, const struct query_headers *params,
			 struct bytes body, struct api_work *w, void **ret_token,
			 struct errmsg *err);
	/* The client took what it was given: more is welcome. */
	void (*work_more)(void *token);
	void (*work_cancel)(void *token); /* the client left; forget it */
	/* From now on tell each change of the table by api_event(), or not any more. */
	void (*watch)(void *arg, bool is_wanted);
	/* Is this node able to serve? */
	bool (*ready)(void *arg, struct errmsg *why);
	/* The connections of this node's bus, as JSON, are given to `fn` once, later; empty
	 * when they could not be had. Returns 0, or the status with the reason, and `fn` is
	 * not called. connections_cancel: `fn_arg` wants them no more. */
	int (*connections)(void *arg, void (*fn)(void *fn_arg, struct bytes json),
			   void *fn_arg, struct errmsg *err);
	void (*connections_cancel)(void *arg, void *fn_arg);
	void *(*query_open)(void *arg, struct api_query *q,
			    const struct query_head *head);
	void (*query_body)(void *token, struct bytes part, bool is_last);
	void (*query_consumed)(void *token, int parts);
	void (*query_cancel)(void *token);
};

struct api_config {
	struct loop *loop;
	struct metrics *metrics; /* served at /metrics, and our own are added */
	struct api_host host;
	struct access_config access;
	const char *version; /* for the Server header */
	int64_t body_max;    /* http.max_body, bytes */
	ms_t timeout_ms;     /* dispatch.timeout; 0: API_TIMEOUT_DEFAULT_MS */
	ms_t linger_ms;	     /* 0: HTTP_LINGER_MS */
	ms_t keepalive_ms;   /* 0: API_KEEPALIVE_MS */
	bool access_log;     /* http.access_log: a line of the log for each request */
	int connections_max, address_connections_max; /* 0: as http/server.h has it */
};

/* Fails as access_new() does. */
int api_new(const struct api_config *config, struct api **ret_api, struct errmsg *err);
/* Drops all connections; the host's query_cancel is called for each running query. */
void api_free(struct api *api); /* NULL is allowed */
/* Listen on "host:port" (port 0 picks one) or "unix:/path" (`mode`: 0660). -EPERM when
 * the access rules do not allow the address, with the remedy (exit 78); else as
 * listener_open(). `tls` NULL for plain. */
int api_listen(struct api *api, const char *address, struct tls *tls, unsigned mode,
	       struct errmsg *err);
/* Where api_listen() was given TLS, for connections that come from now on. */
void api_set_tls(struct api *api, struct tls *tls);
/* The bound TCP address with its real port ("127.0.0.1:8092"); NULL without one. */
const char *api_address(const struct api *api);
/* The rule alone, for --check-config: as api_listen(), nothing is opened but the token
 * file. */
int api_check_access_config(const struct access_config *access, const char *address,
			    struct errmsg *err);
/* Take a changed configuration or token file; the old one stays on failure. Requests that run
 * go on, also those of a token that is gone. */
int api_reload(struct api *api, const struct access_config *access, struct errmsg *err);
int api_tokens(const struct api *api); /* that are known */
/* Go on answering, but end each connection with its reply. */
void api_drain(struct api *api);
/* Accept no more; running queries go on. */
void api_stop(struct api *api);
int api_running(const struct api *api); /* exchanges */
/* Connections with output that the client has not taken yet. */
int api_unsent(const struct api *api);

/* A change of the table, for those who follow /v1/events. `row` is borrowed; NULL: null. */
void api_event(struct api *api, const char *kind, const char *op, const char *id,
	       const struct id *node, const json_t *row);

void api_reply_head(struct api_query *q, const struct reply_head *head);
void api_reply_data(struct api_query *q, struct bytes part);
void api_reply_end(struct api_query *q);
void api_reply_error(struct api_query *q, const struct query_error *error);
/* `parts` more parts of the request body may come. */
void api_reply_want(struct api_query *q, int parts);

/* The reply of a work: begin, data, end; or fail, which cuts the connection once it has begun,
 * so that the client sees that the reply is not whole. After end, fail and work_cancel
 * neither side uses the other's pointer again. Not from inside work_open. */
void api_work_begin(struct api_work *w, const char *content_type);
/* False: enough waits, go on at work_more. */
bool api_work_data(struct api_work *w, struct bytes data);
void api_work_end(struct api_work *w);
void api_work_fail(struct api_work *w, int status, const char *why);

/* The table of routes, for the test that compares it with openapi.yaml: method
 * ("ANY", "GET", "POST"), path pattern, and whether it is on the socket only. False
 * past the end. */
bool api_route_at(int i, const char **ret_method, const char **ret_path,
		  bool *ret_is_admin);
/* openapi.yaml, as served. */
extern const char openapi_yaml[];

#endif
