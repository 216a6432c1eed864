/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/output.h"

/* Of a link. One whose ends' clocks are too far apart is up, and still brings nothing. */
static void
peers_put_state(const json_t *link, struct buf *out)
{
	output_plain(output_member(link, "state"), out);
	if (json_is_true(output_member(link, "rowless")))
		buf_put_text(out, ", no rows");
	if (json_is_true(output_member(link, "lagging")))
		buf_put_text(out, ", slow");
}

/* What it is by the tree on which rows travel. */
static void
peers_put_tree(const json_t *link, struct buf *out)
{
	if (json_is_true(output_member(link, "parent")))
		buf_put_text(out, "parent");
	else if (json_is_true(output_member(link, "child")))
		buf_put_text(out, "child");
	else
		buf_put_text(out, "-");
}

int
cmd_peers(struct cli *cli, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "NODE", "name", output_plain, false, false },
		{ "ID", "node", output_short_id, false, false },
		{ "ADDRESS", "address", output_plain, false, false },
		{ "DIRECTION", "direction", output_plain, false, false },
		{ "STATE", "", peers_put_state, false, false },
		{ "TREE", "", peers_put_tree, false, false },
		{ "RTT", "rtt_ms", output_ms, true, false },
		{ "SENT", "sent_bytes", output_bytes, true, false },
		{ "RECEIVED", "received_bytes", output_bytes, true, false },
		{ "UP", "since_s", output_seconds, true, false },
		{ "PROTOCOL", "protocol", output_plain, true, false },
		{ NULL, NULL, NULL, false, false },
	};

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	return output_list_of(cli, "/v1/peers", columns, "this node has no links");
}
