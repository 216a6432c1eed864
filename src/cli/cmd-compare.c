/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/reconcile.h"

enum { COMPARE_ROWS_SHOWN = 20 };

/* The first rows, their owners by name. */
static int
compare_print_rows(const struct cli *cli, const json_t *rows)
{
	static const struct column columns[] = {
		{ "HELD", "where", output_plain, false, false },
		{ "KIND", "kind", output_plain, false, false },
		{ "OWNER", "owner", output_plain, false, true },
		{ "NAME", "name", output_plain, false, false },
		{ NULL, NULL, NULL, false, false },
	};
	json_t *shown = json_array(), *nodes = NULL;
	const json_t *row;
	size_t i;
	int status;

	names_load(cli, &nodes); /* without it there are ids */
	json_array_foreach((json_t *)rows, i, row)
	{
		const char *id = json_string_value(json_object_get(row, "owner"));
		char *owner = names_in(nodes, id != NULL ? id : "?");
		json_t *copy = json_copy((json_t *)row);

		if (i < COMPARE_ROWS_SHOWN) {
			json_object_set_new(copy, "owner", json_string(owner));
			json_array_append(shown, copy);
		}
		json_decref(copy);
		free(owner);
	}
	json_decref(nodes);
	status = output_table(cli, shown, columns);
	json_decref(shown);
	return status;
}

static int
compare_print(const struct cli *cli, const json_t *state)
{
	static const struct output_part node[] = {
		{ "", "name", output_plain },
		{ " (", "node", output_plain },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part differ[] = {
		{ "", "only_here", output_plain },
		{ " only here, ", "only_there", output_plain },
		{ " only there, ", "differing", output_plain },
		{ " in different states", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part equal[] = {
		{ "all equal", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part cost[] = {
		{ "", "sent_bytes", output_bytes },
		{ " sent, ", "received_bytes", output_bytes },
		{ " received in ", "legs", output_plain },
		{ " leg, | legs, ", "elapsed_ms", output_elapsed },
		{ NULL, NULL, NULL },
	};
	const json_t *rows = json_object_get(state, "rows");
	json_int_t found = json_integer_value(json_object_get(state, "only_here")) +
			   json_integer_value(json_object_get(state, "only_there")) +
			   json_integer_value(json_object_get(state, "differing"));
	bool is_equal = json_is_true(json_object_get(state, "is_equal"));

	output_line(state, "node", node);
	output_line(state, "rows", is_equal ? equal : differ);
	output_line(state, "cost", cost);
	if (json_array_size(rows) > 0) {
		int status;

		putchar('\n');
		status = compare_print_rows(cli, rows);
		if (status != EXIT_SUCCESS)
			return status;
		if (found > COMPARE_ROWS_SHOWN)
			printf("and %lld more; --json names the first %zu\n",
			       (long long)found - COMPARE_ROWS_SHOWN,
			       json_array_size(rows));
	}
	return is_equal ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
cmd_compare(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "with", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	const char *with = NULL;
	json_t *state = NULL;
	int status;

	while (cli_option(cli, argc, argv, "w:", options) != -1)
		with = optarg;
	cli_arguments(cli, argc, argv, 0, 0);
	status = reconcile(cli, "compare", with, &state);
	if (status != EXIT_SUCCESS)
		return status;
	if (cli->is_json) {
		output_json(state);
		status = json_is_true(json_object_get(state, "is_equal")) ? EXIT_SUCCESS
									  : EXIT_FAILURE;
	} else {
		status = compare_print(cli, state);
	}
	json_decref(state);
	return status;
}
