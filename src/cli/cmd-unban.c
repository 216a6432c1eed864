/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>

#include "cli/bar.h"
#include "cli/command.h"

int
cmd_unban(struct cli *cli, int argc, char **argv)
{
	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 1, 1);
	return bar_ask(
		cli, "unban", argv[optind], NULL,
		"is not banned any more: it is let in again, also by nodes that hear of it "
		"later",
		"is not banned: nothing to do");
}
