/* SPDX-License-Identifier: Apache-2.0 */
/* From the arguments to a command's function: what all programs with commands do. */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/nearest.h"

static void
program_help(FILE *out)
{
	fprintf(out, "Usage: %s COMMAND [OPTION]... [ARGUMENT]...\n%s\n\nCommands:\n",
		program.name, program.purpose);
	for (const struct command *c = program.commands; c->name != NULL; c++)
		fprintf(out, "  %-9s %s\n", c->name, c->summary);
	fprintf(out,
		"\n'%s help COMMAND' tells more about each.\n\n"
		"Options, before the command or after it, where it takes them:\n"
		"%s"
		"  -h, --help             print help and exit\n"
		"  -V, --version          print the version and exit\n\n"
		"Exit status: 0 done, 1 %s, 2 wrong usage,\n69 no daemon, 74 input or "
		"output, 75 try again later, 77 not allowed,\n78 wrong configuration.\n\n"
		"Manual: %s(1).\n",
		program.name, program.options, program.failed, program.name);
}

static void
program_version(void)
{
	printf("%s (ocf) %s\n"
	       "License Apache-2.0: <https://www.apache.org/licenses/LICENSE-2.0>.\n"
	       "There is no warranty, to the extent permitted by law.\n",
	       program.name, PACKAGE_VERSION);
}

static int
program_unknown(const char *name)
{
	const struct command *best = NULL;

	for (const struct command *c = program.commands; c->name != NULL; c++) {
		if (nearest_is_likely(name, c->name) &&
		    (best == NULL || nearest_distance(name, c->name) <
					     nearest_distance(name, best->name)))
			best = c;
	}
	if (best != NULL)
		cli_say("there is no command '%s'; did you mean '%s'?", name, best->name);
	else
		cli_say("there is no command '%s'; '%s help' lists them", name,
			program.name);
	return EXIT_STATUS_USAGE;
}

/* `help [COMMAND]` is `[COMMAND] --help`. */
static int
program_run_help(struct cli *cli, int argc, char **argv)
{
	char option[] = "--help";
	char *args[] = { argv[0], option, NULL };

	if (argc < 2) {
		program_help(stdout);
		return EXIT_SUCCESS;
	}
	cli->command = command_find(argv[1]);
	if (cli->command == NULL)
		return program_unknown(argv[1]);
	return cli->command->run(cli, 2, args);
}

/* Options before the command. Returns the index of the command's name. */
static int
program_parse(struct cli *cli, int argc, char **argv)
{
	int c;

	while ((c = cli_option(cli, argc, argv, "+hV", NULL)) != -1) {
		if (c == 'h' || c == CLI_OPTION_HELP)
			program_help(stdout);
		else
			program_version();
		exit(EXIT_SUCCESS);
	}
	return optind;
}

int
program_run(int argc, char **argv)
{
	struct cli cli = { .command = NULL };
	int at, status;

	file_hold_streams();
	setlocale(LC_ALL, "");
	at = program_parse(&cli, argc, argv);
	if (at >= argc) {
		program_help(stderr);
		return EXIT_STATUS_USAGE;
	}
	if (strcmp(argv[at], "help") == 0) {
		status = program_run_help(&cli, argc - at, argv + at);
	} else {
		cli.command = command_find(argv[at]);
		if (cli.command == NULL)
			return program_unknown(argv[at]);
		cli_check_common(&cli);
		status = cli.command->run(&cli, argc - at, argv + at);
	}
	/* A full disk or a closed pipe behind standard output is a failure. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_SUCCESS)
		status = cli_fail(EXIT_STATUS_IO, "standard output: %s",
				  error_text(-errno));
	return status;
}
