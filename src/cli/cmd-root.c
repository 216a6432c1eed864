/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/offline.h"
#include "cli/output.h"

static void
root_on_state(void *arg, const json_t *state)
{
	(void)arg;
	(void)state;
}

int
cmd_root(struct cli *cli, int argc, char **argv)
{
	const char *root;
	json_t *json = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	if (offline_is_due(cli))
		status = offline_run(cli, &(struct offline_task){ .op = OFFLINE_ROOT },
				     root_on_state, NULL, &json);
	else
		status = client_post_json(cli, "/v1/admin/sync",
					  json_pack("{s:s}", "op", "root"), &json, NULL);
	if (status != EXIT_SUCCESS)
		return status;
	root = json_string_value(json_object_get(json, "root"));
	if (root == NULL)
		status = cli_fail(EXIT_FAILURE,
				  "the reply holds no root: is it an ocfd?");
	else if (cli->is_json)
		output_json(json);
	else
		printf("%s\n", root);
	json_decref(json);
	return status;
}
