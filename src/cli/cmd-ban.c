/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>

#include "cli/bar.h"
#include "cli/command.h"

int
cmd_ban(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "reason", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	const char *reason = NULL;
	int c;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1)
		reason = optarg;
	cli_arguments(cli, argc, argv, 1, 1);
	return bar_ask(cli, "ban", argv[optind], reason,
		       "is banned: links to it are closed and refused, its workers are "
		       "hidden, everywhere as the word gets there",
		       "is banned already: nothing to do");
}
