/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/output.h"

/* Workers that announced no match serve every query. */
static void
services_match(const json_t *value, struct buf *out)
{
	buf_put_text(out, json_is_string(value) ? json_string_value(value) : "any");
}

int
cmd_services(struct cli *cli, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "SERVICE", "name", output_plain, false, false },
		{ "MATCH", "match", services_match, false, false },
		{ "NODES", "nodes", output_plain, true, false },
		{ "WORKERS", "workers", output_plain, true, false },
		{ "SLOTS", "slots", output_plain, true, false },
		{ NULL, NULL, NULL, false, false },
	};

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	return output_list_of(cli, "/v1/services", columns, "nothing is offered yet");
}
