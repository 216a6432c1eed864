/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/linked.h"

#include <string.h>

json_t *
linked_nodes(const json_t *peers)
{
	json_t *nodes = json_array(), *seen = json_object();

	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *peer = json_array_get(peers, i);
		json_t *node = json_object_get(peer, "node");
		const char *id = json_string_value(node);
		const char *state = json_string_value(json_object_get(peer, "state"));

		if (id == NULL || state == NULL || strcmp(state, "up") != 0 ||
		    json_object_get(seen, id) != NULL)
			continue;
		json_object_set_new(seen, id, json_true());
		json_array_append(nodes, node);
	}
	json_decref(seen);
	return nodes;
}
