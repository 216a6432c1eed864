/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/output.h"

/* What keeps this node from being a member as others are. */
static void
status_trouble(const json_t *s)
{
	static const struct output_part silent[] = {
		{ "nothing is written by this node: ", "node.silent", output_plain },
		{ NULL, NULL, NULL },
	};
	static const struct output_part barred[] = {
		{ "this node is no member any more: ", "node.barred", output_plain },
		{ NULL, NULL, NULL },
	};

	if (json_is_string(output_member(s, "node.silent")))
		output_line(s, "", silent);
	if (json_is_string(output_member(s, "node.barred")))
		output_line(s, "", barred);
}

/* Who holds the CA's key alone takes it along when it goes. */
static void
status_holders(const json_t *s)
{
	static const struct output_part none[] = {
		{ "warning: no node is known to hold the cluster's CA key, so that nobody "
		  "can be invited or banned",
		  NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part one[] = {
		{ "warning: one node alone holds the cluster's CA key, without which "
		  "nobody can be invited or banned; let another join by 'ocf invite "
		  "--admin'",
		  NULL, NULL },
		{ NULL, NULL, NULL },
	};
	const json_t *holders = output_member(s, "cluster.ca_holders");

	if (json_is_integer(holders) && json_integer_value(holders) < 2)
		output_line(s, "", json_integer_value(holders) == 0 ? none : one);
}

static void
status_print(const json_t *s)
{
	static const struct output_part node[] = {
		{ "", "node.name", output_plain },
		{ " (", "node.id", output_plain },
		{ "), ocfd ", "node.version", output_plain },
		{ ", up ", "node.uptime_s", output_seconds },
		{ NULL, NULL, NULL },
	};
	static const struct output_part cluster[] = {
		{ "", "cluster.nodes", output_plain },
		{ " node, | nodes, ", "cluster.alive", output_plain },
		{ " alive (cluster ", "cluster.id", output_plain },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part table[] = {
		{ "", "table.rows", output_plain },
		{ " row: | rows: ", "table.workers", output_plain },
		{ " worker, | workers, ", "table.services", output_plain },
		{ " service | services ", NULL, NULL },
		{ "(", "table.stored", output_plain },
		{ " stored, root ", "table.root", output_plain },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part bus[] = {
		{ "", "bus.state", output_plain },
		{ ", ", "bus.url", output_plain },
		{ NULL, NULL, NULL },
	};
	static const struct output_part trouble[] = {
		{ "", "bus.trouble", output_plain },
		{ NULL, NULL, NULL },
	};
	static const struct output_part sync[] = {
		{ "last equal ", "sync.last_ok_s", output_seconds },
		{ " ago, ", "sync.repairs", output_plain },
		{ " repair| repairs", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part joining[] = {
		{ "", "sync.joining.rows", output_plain },
		{ " of ", "sync.joining.of", output_plain },
		{ " row read, | rows read, ", "sync.joining.rows_s", output_plain },
		{ "/s, ", "sync.joining.remaining_s", output_seconds },
		{ " left", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part queue[] = {
		{ "", "queue.queued", output_plain },
		{ " waiting, ", "queue.running", output_plain },
		{ " running", NULL, NULL },
		{ NULL, NULL, NULL },
	};

	output_line(s, "node", node);
	status_trouble(s);
	output_line(s, "cluster", cluster);
	status_holders(s);
	output_line(s, "table", table);
	output_line(s, "bus", bus);
	if (json_is_string(output_member(s, "bus.trouble")))
		output_line(s, "", trouble);
	if (json_is_number(output_member(s, "sync.last_ok_s")))
		output_line(s, "sync", sync);
	if (json_is_object(output_member(s, "sync.joining")))
		output_line(s, "joining", joining);
	output_line(s, "queries", queue);
}

int
cmd_status(struct cli *cli, int argc, char **argv)
{
	struct buf text = BUF_INIT;
	json_t *json = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	status = client_get_json(cli, "/v1/status", &json, &text);
	if (status == EXIT_SUCCESS && cli->is_json) {
		fwrite(text.data, 1, text.len, stdout);
		if (text.len > 0 && text.data[text.len - 1] != '\n')
			putchar('\n');
	} else if (status == EXIT_SUCCESS) {
		status_print(json);
	}
	json_decref(json);
	buf_fini(&text);
	return status;
}
