/* SPDX-License-Identifier: Apache-2.0 */
/* ocf: people's and admins' command: its table. program.c does the rest. */
#include "config.h"

#include <stddef.h>

#include "cli/command.h"

static const struct command main_commands[] = {
	{ "init", "[--name NAME] [--retention 7d] [--rows-per-node 16384]",
	  "make a cluster, with this machine as its first node",
	  "      --name NAME        the node's name (the host's name)\n"
	  "      --retention SPAN   a node renews its entry twice in this span\n"
	  "      --rows-per-node N  how many workers one node may have\n",
	  COMMAND_LOCAL, cmd_init },
	{ "invite",
	  "[--ttl 24h] [--uses 1] [--admin] | --list | --show TOKEN | --revoke TOKEN",
	  "print a token with which a machine can join",
	  "      --ttl SPAN         how long the token is good for\n"
	  "      --uses N           how many machines may use it\n"
	  "      --admin            pass on the right to invite, to ban and to forget\n"
	  "      --list             the invitations of this node that are open\n"
	  "      --show TOKEN       say what a token holds (never its secret)\n"
	  "      --revoke TOKEN     let nobody join with it any more (or its ID)\n"
	  "TOKEN may be -: it is read from standard input.\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LISTS, cmd_invite },
	{ "join", "[--name NAME] - | TOKEN",
	  "join a cluster with a token from 'ocf invite'",
	  "      --name NAME        the node's name (the host's name)\n"
	  "  -                      read the token from standard input: a token among\n"
	  "                         the arguments is in the shell's history\n",
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
	{ "token", "add NAME [OPTION]... | list | revoke NAME",
	  "who may ask this node over HTTP",
	  "      --rate R           requests a second (any)\n"
	  "      --burst N          as many may come at once (R)\n"
	  "      --concurrency N    requests under way at the same time (any)\n"
	  "      --share N          weight in a queue beside others (1)\n"
	  "      --services LIST    with commas: the only services it is for (all)\n"
	  "      --file FILE        this token file, and do not ask the node\n"
	  "add prints a new token, once.\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LISTS, cmd_token },
	{ "peers", "", "this node's links to other nodes", "",
	  COMMAND_ASKS | COMMAND_LISTS, cmd_peers },
	{ "watch", "[--count N]", "changes of the table as they happen",
	  "  -n, --count N          end after so many\n", COMMAND_ASKS | COMMAND_JSON,
	  cmd_watch },
	{ "doctor", "", "what is wrong here, and what to do about it", "",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_doctor },
	{ "ban", "NODE [--reason TEXT]", "shut a node out of the cluster",
	  "      --reason TEXT      told to it and to all others\n",
	  COMMAND_ASKS | COMMAND_ADMIN, cmd_ban },
	{ "unban", "NODE", "let a banned node in again", "", COMMAND_ASKS | COMMAND_ADMIN,
	  cmd_unban },
	{ "forget", "NODE", "forget a node that is gone for good", "",
	  COMMAND_ASKS | COMMAND_ADMIN, cmd_forget },
	{ "drain", "", "let this node leave the cluster, and stop",
	  "Queries that run are finished first. Started again, it is a member again.\n",
	  COMMAND_ASKS | COMMAND_ADMIN, cmd_drain },
	{ "backup", "FILE [--no-keys] [--force]",
	  "copy the node's store and keys to a file, while it runs",
	  "      --no-keys          leave the keys out\n"
	  "      --force            in place of a file that is no backup, too\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_backup },
	{ NULL, NULL, NULL, NULL, 0, NULL },
};

const struct program program = {
	.name = "ocf",
	.purpose = "Use and look after an Open Compute Framework cluster.",
	.options = "      --socket PATH      the daemon's socket (or $OCF_SOCKET)\n"
		   "      --url URL          a daemon over HTTP (or $OCF_URL), with "
		   "$OCF_TOKEN\n"
		   "      --data DIR         the data folder, and the socket in it\n"
		   "      --json             print what is listed as JSON\n"
		   "      --no-headings      print no headings above tables\n",
	.failed = "failed",
	.commands = main_commands,
};

int
main(int argc, char **argv)
{
	return program_run(argc, argv);
}
