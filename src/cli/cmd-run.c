/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/linked.h"
#include "cli/output.h"
#include "cli/reconcile.h"

static void
run_print(const json_t *state)
{
	static const struct output_part moved[] = {
		{ ": ", "rows_received", output_plain },
		{ " row received, | rows received, ", "rows_sent", output_plain },
		{ " sent (", "legs", output_plain },
		{ " leg, | legs, ", "elapsed_ms", output_elapsed },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	char *node = reconcile_node(state);
	char *heading = mem_printf("%s: %s", node,
				   json_is_true(json_object_get(state, "is_equal"))
					   ? "tables are equal"
					   : "tables still differ");

	output_line(state, heading, moved);
	free(heading);
	fflush(stdout);
	free(node);
}

/* One session; its state goes to `list` or to standard output. */
static int
run_with(const struct cli *cli, const char *with, json_t *list)
{
	json_t *state = NULL;
	int status = reconcile(cli, "run", with, &state);

	if (status != EXIT_SUCCESS)
		return status;
	if (!json_is_true(json_object_get(state, "is_equal")))
		status = EXIT_FAILURE;
	if (list != NULL)
		json_array_append(list, state);
	else if (cli->is_json)
		output_json(state);
	else
		run_print(state);
	json_decref(state);
	return status;
}

/* What could not be done counts more than what was done and left a difference. */
static int
run_worse(int a, int b)
{
	if (a == EXIT_SUCCESS || (a == EXIT_FAILURE && b != EXIT_SUCCESS))
		return b;
	return a;
}

static int
run_with_all(const struct cli *cli)
{
	json_t *peers = NULL, *list = cli->is_json ? json_array() : NULL;
	int status = client_get_json(cli, "/v1/peers", &peers, NULL);
	json_t *nodes = linked_nodes(peers);
	size_t len = json_array_size(nodes);

	for (size_t i = 0; status != EXIT_STATUS_UNREACHABLE && i < len; i++) {
		const char *node = json_string_value(json_array_get(nodes, i));

		status = run_worse(status, run_with(cli, node, list));
	}
	if (status == EXIT_SUCCESS && len == 0)
		status = cli_fail(EXIT_STATUS_TRY_LATER,
				  "this node is linked with no other; 'ocf peers' shows "
				  "its links");
	else if (list != NULL && len > 0)
		output_json(list);
	json_decref(nodes);
	json_decref(list);
	json_decref(peers);
	return status;
}

int
cmd_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "with", required_argument, NULL, 'w' },
		{ "all", no_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	const char *with = NULL;
	bool is_all = false;
	int c;

	while ((c = cli_option(cli, argc, argv, "w:a", options)) != -1) {
		if (c == 'w')
			with = optarg;
		else
			is_all = true;
	}
	cli_arguments(cli, argc, argv, 0, 0);
	if (with != NULL && is_all)
		cli_usage_error(cli, "--with and --all cannot be used together");
	return is_all ? run_with_all(cli) : run_with(cli, with, NULL);
}
