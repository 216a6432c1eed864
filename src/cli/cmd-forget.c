/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>

#include "cli/bar.h"
#include "cli/command.h"

int
cmd_forget(struct cli *cli, int argc, char **argv)
{
	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 1, 1);
	return bar_ask(
		cli, "forget", argv[optind], NULL,
		"is forgotten: what the table holds of it goes when the retention is over, "
		"and should it return it is refused",
		"is forgotten already: nothing to do");
}
