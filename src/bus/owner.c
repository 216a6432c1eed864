/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/owner.h"

#include <jansson.h>

char *
owner_answer(const char *name, const struct id *id, bool is_settled)
{
	char id_field[ID_TEXT_SIZE];
	json_t *answer = json_pack("{s:s,s:s,s:b}", "node", name, "id",
				   id_text(id, id_field), "settled", is_settled);
	char *text = json_dumps(answer, JSON_COMPACT);

	json_decref(answer);
	return text;
}

bool
owner_is_other(struct bytes answer, const struct id *own, const char *url,
	       struct errmsg *ret_why)
{
	json_t *root = json_loadb((const char *)answer.data, answer.len, 0, NULL);
	const char *id_field = json_string_value(json_object_get(root, "id"));
	const char *name = json_string_value(json_object_get(root, "node"));
	bool is_settled = json_is_true(json_object_get(root, "settled"));
	bool is_other;
	struct id id;

	is_other = id_field != NULL && id_parse(id_field, &id) == 0 &&
		   !id_equal(&id, own) && (is_settled || id_compare(&id, own) < 0);
	if (is_other)
		error_set(ret_why, 0,
			  "the bus at %.200s is taken by node %.64s (%s); a bus serves "
			  "one node: give each a NATS account of its own, or leave "
			  "bus.url empty",
			  url, name != NULL ? name : "without a name", id_field);
	json_decref(root);
	return is_other;
}
