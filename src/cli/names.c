/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "cli/client.h"

static const char names_path[] = "/v1/nodes?all=1";

static const char *
names_member(const json_t *node, const char *member)
{
	const char *text = json_string_value(json_object_get(node, member));

	return text != NULL ? text : "";
}

/* The id of the one node that fits, by name or else by the beginning of its id. */
static int
names_pick(const json_t *nodes, const char *text, char ret_id[ID_TEXT_SIZE])
{
	enum { PREFIX_MIN = 4 };
	const char *named = NULL, *begun = NULL, *id;
	int names = 0, begins = 0;
	size_t len = strlen(text), i;
	const json_t *node;

	json_array_foreach((json_t *)nodes, i, node)
	{
		id = names_member(node, "id");
		if (strcmp(names_member(node, "name"), text) == 0 && text[0] != '\0') {
			named = id;
			names++;
		}
		if (len >= PREFIX_MIN && strncasecmp(id, text, len) == 0) {
			begun = id;
			begins++;
		}
	}
	if (names > 1 || (names == 0 && begins > 1))
		return cli_fail(
			EXIT_FAILURE,
			"'%s' could be several nodes; 'ocf nodes --all' shows their ids",
			text);
	id = names == 1 ? named : begun;
	if (names + begins == 0 || strlen(id) != ID_TEXT_SIZE - 1)
		return cli_fail(
			EXIT_FAILURE,
			"there is no node '%s'; 'ocf nodes --all' lists them, and "
			"%d digits of an id are enough, if no other begins so",
			text, PREFIX_MIN);
	memcpy(ret_id, id, ID_TEXT_SIZE);
	return EXIT_SUCCESS;
}

int
names_find_node(const struct cli *cli, const char *text, char ret_id[ID_TEXT_SIZE])
{
	json_t *nodes = NULL;
	struct id id;
	int status;

	if (id_parse(text, &id) == 0) {
		id_text(&id, ret_id);
		return EXIT_SUCCESS;
	}
	status = client_get_json(cli, names_path, &nodes, NULL);
	if (status == EXIT_SUCCESS)
		status = names_pick(nodes, text, ret_id);
	json_decref(nodes);
	return status;
}

int
names_load(const struct cli *cli, json_t **ret_nodes)
{
	return client_get_json(cli, names_path, ret_nodes, NULL);
}

char *
names_in(const json_t *nodes, const char *id)
{
	const json_t *node;
	size_t i;

	json_array_foreach((json_t *)nodes, i, node)
	{
		const char *its_name = names_member(node, "name");

		if (strcmp(names_member(node, "id"), id) == 0 && its_name[0] != '\0')
			return mem_printf("%s (%.8s)", its_name, id);
	}
	return mem_strdup(id);
}

char *
names_of_node(const struct cli *cli, const char *id)
{
	json_t *nodes = NULL;
	char *name;

	names_load(cli, &nodes);
	name = names_in(nodes, id);
	json_decref(nodes);
	return name;
}
