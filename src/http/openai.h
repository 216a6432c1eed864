/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's surface (interfaces.md: HTTP). Its POST requests are queries of the service
 * OPENAI_SERVICE for a worker that matches `model=NAME`, NAME being the body's `model`; what
 * they ask goes to the worker as it came (service.c). The models are those that the table's
 * workers of that service match by name. Errors have OpenAI's shape. */
#ifndef OCF_HTTP_OPENAI_H
#define OCF_HTTP_OPENAI_H

#include <jansson.h>

#include "base/query.h"
#include "http/routes.h"

#define OPENAI_SERVICE "llm"

/* {"error":{"message","type","code","param"}} for an HTTP status. */
json_t *openai_error(int status, const char *message);
/* What a worker answered, as the one event of a stream that this node has begun itself: its
 * body, or of a failure that does not say so itself an error. A new text, "data: …\n\n". */
char *openai_event(int status, struct bytes body);

/* Make a request's head, whose service and path are not known, one of this surface. */
void openai_address(const struct http_head *head, struct query_head *q);

/* GET /v1/models, /v1/models/{id} */
void openai_models_run(const struct api_call *call);
void openai_model_run(const struct api_call *call);

#endif
