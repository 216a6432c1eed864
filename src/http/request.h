/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a query (base/query.h) out of an HTTP request, as interfaces.md maps
 * them. */
#ifndef OCF_HTTP_REQUEST_H
#define OCF_HTTP_REQUEST_H

#include <stdbool.h>

#include "base/error.h"
#include "base/query.h"
#include "base/rng.h"
#include "http/parse.h"

enum { REQUEST_PARAMS_MAX = 32 };

/* Of a target "/v1/service/NAME/rest?query", `rest` beginning behind the slash that
 * `prefix_len` counts; 0 for a query whose body names the service, which stays NULL.
 * Everything that is passed on is checked; ids that are missing are
 * made; `timeout_ms` holds for a request that names none. Returns 0, or the HTTP status
 * to refuse with and the reason; free the head with query_head_fini() on 0. */
int request_query_head(const struct http_head *head, size_t prefix_len, ms_t timeout_ms,
		       struct rng *rng, struct query_head *ret_q, struct errmsg *err);
/* Who asks, as in base/query.h: by the name of a token, or else a user of this machine, or
 * else an address (stream_peer()). `token` NULL, `uid` -1: none. NULL: not known; free(3) it. */
char *request_tenant(const char *token, int uid, const char *peer);
/* The selector may stand in the body, which has at most `max` bytes as far as the head
 * tells. */
bool request_may_name_model(const struct http_head *head, const struct query_head *q,
			    int64_t max);
/* "model=NAME" of a JSON object, or NULL when it names none; free(3) it. `ret_is_stream`:
 * it asks for a reply as events. */
char *request_model(struct bytes body, bool *ret_is_stream);
/* The parameters of a target, decoded; a name alone has the value "". As above, 0
 * or 400. */
int request_params(const char *target, struct query_headers *ret_params,
		   struct errmsg *err);
/* What a path has behind `prefix_len`, without its parameters, decoded; free(3) it. NULL: it
 * has a NUL byte. */
char *request_path_rest(const char *target, size_t prefix_len);
/* May a header of a worker's reply reach the client? */
bool request_reply_header_passes(const char *name);

#endif
