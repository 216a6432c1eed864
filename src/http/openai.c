/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/openai.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/problem.h"
#include "http/request.h"

static const char model_key[] = "model=";

json_t *
openai_error(int status, const char *message)
{
	static const struct {
		int status;
		const char *type, *code, *param;
	} kinds[] = {
		{ 401, "authentication_error", "invalid_api_key", NULL },
		{ 403, "permission_error", NULL, NULL },
		{ 404, "invalid_request_error", "model_not_found", "model" },
		{ 429, "rate_limit_error", "rate_limit_exceeded", NULL },
		{ 503, "server_error", "overloaded", NULL },
		{ 504, "server_error", "timeout", NULL },
	};
	const char *type = status < 500 ? "invalid_request_error" : "server_error";
	const char *code = NULL, *param = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].status != status)
			continue;
		type = kinds[i].type;
		code = kinds[i].code;
		param = kinds[i].param;
	}
	return json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message",
			 problem_string(message), "type", type, "code", code, "param",
			 param);
}

/* Lines would end the event. Of JSON, line ends stand between its words only. */
static char *
event_of(const char *text)
{
	char *event = mem_printf("data: %s\n\n", text);
	size_t len = strlen(event) - 2; /* without the empty line that ends it */

	for (size_t i = 0; i < len; i++)
		if (event[i] == '\n' || event[i] == '\r')
			event[i] = ' ';
	return event;
}

char *
openai_event(int status, struct bytes body)
{
	json_t *value = json_loadb((const char *)body.data, body.len,
				   JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	bool is_told = status < 400 || json_object_get(value, "error") != NULL;
	char *text, *event;

	text = mem_dup(body.data, body.len);
	if (value == NULL || !is_told) {
		json_t *error = openai_error(status < 400 ? 502 : status,
					     text[0] != '\0' ? text
							     : problem_title(status));

		free(text);
		text = problem_dump(error);
		json_decref(error);
	}
	event = event_of(text);
	free(text);
	json_decref(value);
	return event;
}

void
openai_address(const struct http_head *head, struct query_head *q)
{
	free(q->service);
	q->service = mem_strdup(OPENAI_SERVICE);
	free(q->path);
	q->path = mem_strdup(head->target);
	/* Nothing of it changes anything anywhere: another worker may be asked. */
	q->is_idempotent = true;
}

/* ---- models ---- */

/* The model of one of the table's offers, or NULL: of another service, with another match, or
 * by nobody who is there. */
static const char *
offer_model(const json_t *offer)
{
	const char *service = json_string_value(json_object_get(offer, "name"));
	const char *match = json_string_value(json_object_get(offer, "match"));
	size_t len = strlen(model_key);

	if (service == NULL || strcmp(service, OPENAI_SERVICE) != 0 || match == NULL ||
	    strncmp(match, model_key, len) != 0 || strcmp(match + len, "*") == 0 ||
	    json_integer_value(json_object_get(offer, "workers")) == 0)
		return NULL;
	return match + len;
}

static json_t *
model_new(const char *id)
{
	json_t *model = json_pack("{s:s, s:s, s:i, s:s}", "id", id, "object", "model",
				  "created", 0, "owned_by", "ocf");

	assert(model != NULL);
	return model;
}

static json_t *
models_read(const struct api_call *call)
{
	json_t *offers = api_read(call, API_VIEW_SERVICES), *offer;
	json_t *models = json_array();
	size_t i;

	json_array_foreach(offers, i, offer)
	{
		const char *id = offer_model(offer);

		if (id != NULL)
			json_array_append_new(models, model_new(id));
	}
	json_decref(offers);
	return models;
}

void
openai_models_run(const struct api_call *call)
{
	api_send_json(
		call, 200,
		json_pack("{s:s, s:o}", "object", "list", "data", models_read(call)));
}

void
openai_model_run(const struct api_call *call)
{
	char *id = request_path_rest(call->head->target, route_prefix_len(call->route));
	json_t *models = models_read(call), *model, *found = NULL;
	char *why;
	size_t i;

	json_array_foreach(models, i, model)
	{
		if (id != NULL &&
		    strcmp(json_string_value(json_object_get(model, "id")), id) == 0)
			found = model;
	}
	if (found != NULL) {
		api_send_json(call, 200, json_incref(found));
	} else {
		why = mem_printf("there is no model %s; GET /v1/models lists them",
				 id != NULL ? id : "of that name");
		api_refuse(call, 404, why);
		free(why);
	}
	json_decref(models);
	free(id);
}
