/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/output.h"

/* "wc, llm (model=a, model=b)". */
static void
workers_services(const json_t *value, struct buf *out)
{
	const json_t *service;
	size_t i;

	json_array_foreach((json_t *)value, i, service)
	{
		const json_t *match = json_object_get(service, "match");

		if (i > 0)
			buf_put_text(out, ", ");
		output_plain(json_object_get(service, "name"), out);
		if (json_array_size(match) == 0)
			continue;
		buf_put_text(out, " (");
		output_list(match, out);
		buf_put_text(out, ")");
	}
}

/* A worker's slots are those of each of its services. */
static void
workers_slots(const json_t *value, struct buf *out)
{
	output_plain(json_object_get(json_array_get(value, 0), "slots"), out);
}

int
cmd_workers(struct cli *cli, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "ID", "id", output_plain, false, false },
		{ "NODE", "node_name", output_plain, false, false },
		{ "STATE", "state", output_plain, false, false },
		{ "SLOTS", "services", workers_slots, true, false },
		{ "SERVICES", "services", workers_services, false, true },
		{ "CPUS", "hardware.cpus", output_plain, true, false },
		{ "MEMORY", "hardware.memory", output_bytes, true, false },
		{ "GPUS", "hardware.gpus", output_length, true, false },
		{ NULL, NULL, NULL, false, false },
	};

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	return output_list_of(cli, "/v1/workers", columns,
			      "no workers: attach one with 'ocf-worker --service NAME -- "
			      "COMMAND'");
}
