/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/output.h"

/* "2 × NVIDIA L4", "L4, T4"; equal ones stand together. */
static void
nodes_gpus(const json_t *value, struct buf *out)
{
	size_t len = json_array_size(value);

	if (len == 0)
		buf_put_text(out, "-");
	for (size_t i = 0, n; i < len; i += n) {
		const json_t *name = json_object_get(json_array_get(value, i), "name");

		n = 1;
		while (i + n < len &&
		       json_equal(name,
				  json_object_get(json_array_get(value, i + n), "name")))
			n++;
		if (i > 0)
			buf_put_text(out, ", ");
		if (n > 1)
			buf_printf(out, "%zu x ", n);
		output_plain(name, out);
	}
}

static void
nodes_inbound(const json_t *value, struct buf *out)
{
	buf_put_text(out, json_is_true(value)	 ? "yes"
			  : json_is_false(value) ? "no"
						 : "-");
}

int
cmd_nodes(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	static const struct column columns[] = {
		{ "NAME", "name", output_plain, false, false },
		{ "ID", "id", output_short_id, false, false },
		{ "STATE", "state", output_plain, false, false },
		{ "WORKERS", "workers", output_plain, true, false },
		{ "CPUS", "hardware.cpus", output_plain, true, false },
		{ "MEMORY", "hardware.memory", output_bytes, true, false },
		{ "GPUS", "hardware.gpus", nodes_gpus, false, true },
		{ "REGION", "region", output_plain, false, true },
		{ "ADDRESSES", "addresses", output_list, false, true },
		{ "INBOUND", "inbound", nodes_inbound, false, false },
		{ "RTT", "rtt_ms", output_ms, true, false },
		{ "SEEN", "last_seen_s", output_seconds, true, false },
		{ "VERSION", "version", output_plain, false, true },
		{ NULL, NULL, NULL, false, false },
	};
	const char *path = "/v1/nodes";
	int c;

	while ((c = cli_option(cli, argc, argv, "a", options)) != -1)
		path = "/v1/nodes?all=1";
	cli_arguments(cli, argc, argv, 0, 0);
	return output_list_of(cli, path, columns, "no nodes are known");
}
