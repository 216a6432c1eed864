/* SPDX-License-Identifier: Apache-2.0 */
/* ocf-sync: reconciliation by hand, and a look into the store. Its table; program.c does the
 * rest. */
#include "config.h"

#include <stddef.h>

#include "cli/command.h"

static const struct command sync_commands[] = {
	{ "compare", "[--with NODE]",
	  "say in which rows this node's table and another's differ",
	  "  -w, --with NODE        the other node, linked or not\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LISTS, cmd_compare },
	{ "run", "[--with NODE | --all]", "make both tables equal, now",
	  "  -w, --with NODE        the other node, linked or not\n"
	  "  -a, --all              with every linked node, one after the other\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_JSON, cmd_run },
	{ "verify", "[--repair]", "re-sum every digest, check every list and signature",
	  "      --repair           drop bad rows, make digests and lists anew\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_verify },
	{ "dump", "[FILE]", "write the whole table as lines of JSON",
	  "  -                      to standard output, as without FILE\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_dump },
	{ "load", "FILE | - [--strict]", "merge the rows of a dump into the table",
	  "      --strict           stop at the first line that is refused\n"
	  "  -                      read the dump from standard input\n",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_load },
	{ "restore", "FILE [--force]", "make the node's data folder of a backup",
	  "      --force            move the store or keys that are there aside\n",
	  COMMAND_LOCAL | COMMAND_JSON, cmd_restore },
	{ "root", "", "print the digest of the whole table", "",
	  COMMAND_ASKS | COMMAND_ADMIN | COMMAND_LOCAL | COMMAND_JSON, cmd_root },
	{ NULL, NULL, NULL, NULL, 0, NULL },
};

const struct program program = {
	.name = "ocf-sync",
	.purpose =
		"Compare and reconcile a node's table; verify, dump, load and restore it.",
	.options = "      --socket PATH      the daemon's socket (or $OCF_SOCKET)\n"
		   "      --data DIR         the data folder, and the socket in it\n"
		   "      --json             print the result as JSON\n"
		   "      --no-headings      print no headings above tables\n",
	.failed = "differences were found, or it failed",
	.commands = sync_commands,
};

int
main(int argc, char **argv)
{
	return program_run(argc, argv);
}
