/* SPDX-License-Identifier: Apache-2.0 */
/* ocf: people's and admins' command. Finds the command in the table and runs it. */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/nearest.h"

const struct command commands[] = {
	{ "init", "[--name NAME] [--retention 7d] [--rows-per-node 16384]",
	  "make a cluster, with this machine as its first node",
	  "      --name NAME        the node's name (the host's name)\n"
	  "      --retention SPAN   how long the table remembers nodes that are away\n"
	  "      --rows-per-node N  how many workers one node may have\n",
	  COMMAND_LOCAL, cmd_init },
	{ "invite", "[--ttl 24h] [--uses 1] [--admin] | --show TOKEN",
	  "print a token with which a machine can join",
	  "      --ttl SPAN         how long the token is good for\n"
	  "      --uses N           how many machines may use it\n"
	  "      --admin            pass on the right to invite and to ban\n"
	  "      --show TOKEN       say what a token holds (never its secret)\n",
	  COMMAND_ASKS, cmd_invite },
	{ "join", "[--name NAME] TOKEN | -",
	  "join a cluster with a token from 'ocf invite'",
	  "      --name NAME        the node's name (the host's name)\n"
	  "  -                      read the token from standard input\n",
	  COMMAND_LOCAL, cmd_join },
	{ "status", "", "this node, its cluster and its table at a glance", "",
	  COMMAND_ASKS | COMMAND_LISTS, cmd_status },
	{ "nodes", "[--all]", "the cluster's nodes",
	  "  -a, --all              also those that are gone\n",
	  COMMAND_ASKS | COMMAND_LISTS, cmd_nodes },
	{ "workers", "", "the workers of all nodes", "", COMMAND_ASKS | COMMAND_LISTS,
	  cmd_workers },
	{ "services", "", "what the cluster offers", "", COMMAND_ASKS | COMMAND_LISTS,
	  cmd_services },
	{ "query", "SERVICE [--match K=V] [--data TEXT | --file FILE | -]",
	  "ask a service and print its answer",
	  "      --match K=V        workers that announced this, or no match at all\n"
	  "      --data TEXT        send this text\n"
	  "      --file FILE        send this file\n"
	  "  -                      send standard input\n"
	  "      --node NODE        only this node may answer\n"
	  "      --timeout SPAN     give up after this long (60s)\n"
	  "      --method METHOD    of the request (POST)\n"
	  "      --path PATH        what follows the service in the request (/)\n"
	  "      --content-type T   type of what is sent\n"
	  "  -v, --verbose          say who answered, and the timings\n",
	  COMMAND_ASKS, cmd_query },
	{ "peers", "", "this node's links to other nodes", "",
	  COMMAND_ASKS | COMMAND_LISTS, cmd_peers },
	{ NULL, NULL, NULL, NULL, 0, NULL },
};

static void
main_help(FILE *out)
{
	fprintf(out, "Usage: ocf COMMAND [OPTION]... [ARGUMENT]...\n"
		     "Use and look after an Open Compute Framework cluster.\n\n"
		     "Commands:\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		fprintf(out, "  %-9s %s\n", c->name, c->summary);
	fprintf(out,
		"\n'ocf help COMMAND' tells more about each.\n\n"
		"Options, before the command or after it, where it takes them:\n"
		"      --socket PATH      the daemon's socket (or $OCF_SOCKET)\n"
		"      --url URL          a daemon over HTTP (or $OCF_URL), with "
		"$OCF_TOKEN\n"
		"      --data DIR         the data folder, and the socket in it\n"
		"      --json             print what is listed as JSON\n"
		"      --no-headings      print no headings above tables\n"
		"  -h, --help             print help and exit\n"
		"  -V, --version          print the version and exit\n\n"
		"Exit status: 0 done, 1 failed, 2 wrong usage, 69 no daemon, 74 input or "
		"output,\n75 try again later, 77 not allowed, 78 wrong configuration.\n\n"
		"Manual: ocf(1).\n");
}

static void
main_version(void)
{
	printf("ocf (ocf) %s\n"
	       "License Apache-2.0: <https://www.apache.org/licenses/LICENSE-2.0>.\n"
	       "There is no warranty, to the extent permitted by law.\n",
	       PACKAGE_VERSION);
}

static int
main_unknown(const char *name)
{
	const struct command *best = NULL;

	for (const struct command *c = commands; c->name != NULL; c++) {
		if (nearest_is_likely(name, c->name) &&
		    (best == NULL || nearest_distance(name, c->name) <
					     nearest_distance(name, best->name)))
			best = c;
	}
	if (best != NULL)
		cli_say("there is no command '%s'; did you mean '%s'?", name, best->name);
	else
		cli_say("there is no command '%s'; 'ocf help' lists them", name);
	return EXIT_STATUS_USAGE;
}

/* `ocf help [COMMAND]` is `ocf [COMMAND] --help`. */
static int
main_run_help(struct cli *cli, int argc, char **argv)
{
	char option[] = "--help";
	char *args[] = { argv[0], option, NULL };

	if (argc < 2) {
		main_help(stdout);
		return EXIT_SUCCESS;
	}
	cli->command = command_find(argv[1]);
	if (cli->command == NULL)
		return main_unknown(argv[1]);
	return cli->command->run(cli, 2, args);
}

/* Options before the command. Returns the index of the command's name. */
static int
main_parse(struct cli *cli, int argc, char **argv)
{
	int c;

	while ((c = cli_option(cli, argc, argv, "+hV", NULL)) != -1) {
		if (c == 'h' || c == CLI_OPTION_HELP)
			main_help(stdout);
		else
			main_version();
		exit(EXIT_SUCCESS);
	}
	return optind;
}

int
main(int argc, char **argv)
{
	struct cli cli = { .command = NULL };
	int at, status;

	file_hold_streams();
	setlocale(LC_ALL, "");
	at = main_parse(&cli, argc, argv);
	if (at >= argc) {
		main_help(stderr);
		return EXIT_STATUS_USAGE;
	}
	if (strcmp(argv[at], "help") == 0) {
		status = main_run_help(&cli, argc - at, argv + at);
	} else {
		cli.command = command_find(argv[at]);
		if (cli.command == NULL)
			return main_unknown(argv[at]);
		cli_check_common(&cli);
		status = cli.command->run(&cli, argc - at, argv + at);
	}
	/* A full disk or a closed pipe behind standard output is a failure. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_SUCCESS)
		status = cli_fail(EXIT_STATUS_IO, "standard output: %s",
				  error_text(-errno));
	return status;
}
