/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `ocf` and of `ocf-sync` share: the table that drives dispatch and
 * help, the options that all of them take, and words on standard error. A command is one
 * file, cmd-NAME.c, with one function that returns the exit status. Data goes to standard
 * output, everything said to a person to standard error. */
#ifndef OCF_CLI_COMMAND_H
#define OCF_CLI_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/places.h"

/* What was said before the command's own options. Borrowed from argv and the environment.
 */
struct cli {
	const struct command *command;
	const char *socket; /* --socket */
	const char *url;    /* --url */
	const char *data;   /* --data */
	bool is_json;	    /* --json: the route's reply as it is */
	bool no_headings;   /* --no-headings */
};

enum command_flags {
	COMMAND_ASKS = 1,   /* a daemon: --socket, --url */
	COMMAND_LISTS = 2,  /* --json, --no-headings */
	COMMAND_LOCAL = 4,  /* works on the data folder: --data */
	COMMAND_JSON = 8,   /* --json alone */
	COMMAND_ADMIN = 16, /* asks through the socket, and nowhere else */
};

struct command {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line */
	const char *help;    /* lines about its own options; may be "" */
	int flags;
	int (*run)(struct cli *cli, int argc, char **argv);
};

struct program {
	const char *name;
	const char *purpose; /* a sentence, for help */
	const char *options; /* lines about the common ones, likewise */
	const char *failed;  /* what exit status 1 means */
	/* In the order in which help lists them; ends with a NULL name. */
	const struct command *commands;
};

/* This one: main.c of `ocf`, sync-main.c of `ocf-sync`. */
extern const struct program program;
/* All of main(). */
int program_run(int argc, char **argv);
const struct command *command_find(const char *name);

/* What cli_option() returns before a command for --help and --version. */
enum {
	CLI_OPTION_HELP = 0x2000,
	CLI_OPTION_VERSION,
};

/* Options that a command has beside the common ones, as getopt_long(3) wants them; values
 * below 256 are short options, listed in `shorts` too ("" without any). Returns the
 * option's value, or -1 at the end, with optind at the first argument. The common ones
 * are taken care of; a wrong one or --help ends the program. While `cli->command` is NULL
 * all common ones are taken, and --help and --version are the caller's. */
int cli_option(struct cli *cli, int argc, char **argv, const char *shorts,
	       const struct option *own);
/* Ends the program with a usage error when an option was given before the command that it
 * does not take. */
void cli_check_common(const struct cli *cli);
/* How many arguments are left. Ends the program with a usage error unless it is within
 * [min, max]. */
int cli_arguments(const struct cli *cli, int argc, char **argv, int min, int max);
/* "PROGRAM NAME: sentence" and where to find help; ends the program with status 2. */
_Noreturn void cli_usage_error(const struct cli *cli, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "PROGRAM: sentence" on standard error; control characters become '?', line ends stay. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* As cli_say; returns `status`. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A whole number in [min, max], and nothing else. */
bool cli_number(const char *text, int64_t min, int64_t max, int64_t *ret_number);
/* The places that --data and the environment give; ends the program when there are none.
 */
void cli_places(const struct cli *cli, struct places *ret_places);

int cmd_backup(struct cli *cli, int argc, char **argv);
int cmd_ban(struct cli *cli, int argc, char **argv);
int cmd_compare(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_drain(struct cli *cli, int argc, char **argv);
int cmd_dump(struct cli *cli, int argc, char **argv);
int cmd_forget(struct cli *cli, int argc, char **argv);
int cmd_init(struct cli *cli, int argc, char **argv);
int cmd_invite(struct cli *cli, int argc, char **argv);
int cmd_join(struct cli *cli, int argc, char **argv);
int cmd_load(struct cli *cli, int argc, char **argv);
int cmd_nodes(struct cli *cli, int argc, char **argv);
int cmd_peers(struct cli *cli, int argc, char **argv);
int cmd_query(struct cli *cli, int argc, char **argv);
int cmd_restore(struct cli *cli, int argc, char **argv);
int cmd_root(struct cli *cli, int argc, char **argv);
int cmd_run(struct cli *cli, int argc, char **argv);
int cmd_services(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_token(struct cli *cli, int argc, char **argv);
int cmd_unban(struct cli *cli, int argc, char **argv);
int cmd_verify(struct cli *cli, int argc, char **argv);
int cmd_watch(struct cli *cli, int argc, char **argv);
int cmd_workers(struct cli *cli, int argc, char **argv);

#endif
