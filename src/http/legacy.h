/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of the 2023 original: what its clients send and what they are answered. The
 * routes are in api.c's table, queries run through service.c; here are the words, and the
 * routes that tell of the node. Loop thread only. */
#ifndef OCF_HTTP_LEGACY_H
#define OCF_HTTP_LEGACY_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"
#include "http/routes.h"

#define LEGACY_SERVICE_PREFIX "inference:"

/* Read {"model_name": text, "params": object}. The worker's body, appended to `ret_body`,
 * has these two members and no other; numbers stay as they were written where nothing else
 * is there. Without `params` it gets an empty object, for the original's workers do not
 * answer at all without it. Returns 0, or the status to refuse with and the reason; the
 * service is the caller's to free. */
int legacy_read(struct bytes body, char **ret_service, struct buf *ret_body,
		struct errmsg *err);
/* {"message":"ok","data":…}, the worker's reply as a text; what is not UTF-8 in it becomes
 * U+FFFD. */
json_t *legacy_answer(struct bytes reply);
/* {"error":…} */
json_t *legacy_error(struct bytes text);
/* {"nodes":[…]}, null for none, made of what GET /v1/workers shows: an element for each
 * service of each worker that can be reached. */
json_t *legacy_table(const json_t *workers);

void legacy_table_run(const struct api_call *call);
void legacy_health_run(const struct api_call *call);
void legacy_connections_run(const struct api_call *call);

#endif
