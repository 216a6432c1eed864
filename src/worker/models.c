/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/query.h"

static void
models_leave_out(struct models *models, const char *id, const char *why)
{
	if (models->left_out++ > 0)
		return;
	snprintf(models->why, sizeof(models->why), "%.*s%s %s", MODELS_LEFT_OUT_BYTES, id,
		 strlen(id) > MODELS_LEFT_OUT_BYTES ? "…" : "", why);
}

static void
models_add(struct models *models, const char *id)
{
	char *match = mem_printf("model=%s", id);

	for (int i = 0; i < models->len; i++) {
		if (strcmp(models->matches[i], match) == 0) {
			free(match);
			return;
		}
	}
	/* What stands for several is no name of one. */
	if (strcmp(id, "*") == 0 || !query_selector_is_valid(match)) {
		models_leave_out(models, id, "cannot be a match");
		free(match);
	} else if (models->len == LIMIT_MATCHES_MAX) {
		models_leave_out(models, id, "is one too many");
		free(match);
	} else {
		models->matches[models->len++] = match;
	}
}

static int
models_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int
models_parse(struct bytes json, struct models *ret_models, struct errmsg *err)
{
	json_t *root = json_loadb((const char *)json.data, json.len, 0, NULL);
	json_t *data = json_object_get(root, "data"), *item;
	struct models models = { 0 };
	size_t i;

	if (!json_is_array(data)) {
		json_decref(root);
		return error_set(err, -OCF_EMALFORMED,
				 "it is not a list of models as OpenAI's is");
	}
	json_array_foreach(data, i, item)
	{
		const char *id = json_string_value(json_object_get(item, "id"));

		if (id == NULL)
			models_leave_out(&models, "one", "has no id");
		else
			models_add(&models, id);
	}
	json_decref(root);
	qsort(models.matches, (size_t)models.len, sizeof(models.matches[0]),
	      models_compare);
	*ret_models = models;
	return 0;
}

void
models_fini(struct models *models)
{
	for (int i = 0; i < models->len; i++)
		free(models->matches[i]);
	*models = (struct models){ 0 };
}

bool
models_equal(const struct models *a, const struct models *b)
{
	bool is_equal = a->len == b->len && a->left_out == b->left_out;

	for (int i = 0; is_equal && i < a->len; i++)
		is_equal = strcmp(a->matches[i], b->matches[i]) == 0;
	return is_equal;
}
