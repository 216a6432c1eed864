/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/command.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

const struct command *
command_find(const char *name)
{
	for (const struct command *c = program.commands; c->name != NULL; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

/* ---- Words ---- */

static void cli_say_v(const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void
cli_say_v(const char *prefix, const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	for (char *p = text; *p != '\0'; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
	}
	fprintf(stderr, "%s: %s\n", prefix, text);
	free(text);
}

void
cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say_v(program.name, fmt, ap);
	va_end(ap);
}

int
cli_fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say_v(program.name, fmt, ap);
	va_end(ap);
	return status;
}

_Noreturn void
cli_usage_error(const struct cli *cli, const char *fmt, ...)
{
	char prefix[32];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "%s %s", program.name, cli->command->name);
	va_start(ap, fmt);
	cli_say_v(prefix, fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try '%s %s --help'.\n", program.name, cli->command->name);
	exit(EXIT_STATUS_USAGE);
}

static void
command_help(const struct command *c)
{
	char first = c->summary[0];

	if (first >= 'a' && first <= 'z')
		first = (char)(first - 'a' + 'A');
	printf("Usage: %s %s%s%s\n%c%s.\n", program.name, c->name,
	       c->usage[0] != '\0' ? " " : "", c->usage, first, c->summary + 1);
	if (c->help[0] != '\0')
		printf("\n%s", c->help);
	printf("\n");
	if (c->flags & (COMMAND_LISTS | COMMAND_JSON))
		printf("      --json             print the reply as JSON\n");
	if (c->flags & COMMAND_LISTS)
		printf("      --no-headings      print no headings\n");
	if (c->flags & COMMAND_ASKS)
		printf("      --socket PATH      the daemon's socket (or $OCF_SOCKET)\n");
	if ((c->flags & COMMAND_ASKS) && !(c->flags & COMMAND_ADMIN))
		printf("      --url URL          a daemon over HTTP (or $OCF_URL), with "
		       "$OCF_TOKEN\n");
	if (strcmp(c->name, "query") != 0)
		printf("      --data DIR         the data folder%s\n",
		       c->flags & COMMAND_ASKS ? ", and the socket in it" : "");
	printf("  -h, --help             print this and exit\n\nManual: %s(1).\n",
	       program.name);
}

/* ---- Options ---- */

enum {
	OPTION_SOCKET = 0x1000, /* above every command's own */
	OPTION_URL,
	OPTION_DATA,
	OPTION_JSON,
	OPTION_NO_HEADINGS,
	OPTIONS_MAX = 32,	  /* of one command, common ones included */
	OPTIONS_BEFORE = 1 << 16, /* beside enum command_flags: no command yet */
};

/* The command's own options come first, so that its --data wins over the common one. Before
 * the command (it is NULL then) stand those that any command takes. */
static void
cli_merge_options(const struct cli *cli, const struct option *own,
		  struct option ret_all[OPTIONS_MAX])
{
	static const struct {
		struct option option;
		int flags; /* of the commands that take it; 0 = all */
	} common[] = {
		{ { "help", no_argument, NULL, CLI_OPTION_HELP }, 0 },
		{ { "version", no_argument, NULL, CLI_OPTION_VERSION }, OPTIONS_BEFORE },
		{ { "socket", required_argument, NULL, OPTION_SOCKET }, COMMAND_ASKS },
		{ { "url", required_argument, NULL, OPTION_URL }, COMMAND_ASKS },
		{ { "json", no_argument, NULL, OPTION_JSON },
		  COMMAND_LISTS | COMMAND_JSON },
		{ { "no-headings", no_argument, NULL, OPTION_NO_HEADINGS },
		  COMMAND_LISTS },
		{ { "data", required_argument, NULL, OPTION_DATA }, 0 },
	};
	int flags = cli->command != NULL ? cli->command->flags : ~0;
	bool has_data = false;
	size_t len = 0;

	for (; own != NULL && own[len].name != NULL; len++) {
		assert(len < OPTIONS_MAX - 1);
		has_data = has_data || strcmp(own[len].name, "data") == 0;
		ret_all[len] = own[len];
	}
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		if (common[i].flags != 0 && !(flags & common[i].flags))
			continue;
		if (has_data && common[i].option.val == OPTION_DATA)
			continue;
		assert(len < OPTIONS_MAX - 1);
		ret_all[len++] = common[i].option;
	}
	ret_all[len] = (struct option){ NULL, 0, NULL, 0 };
}

/* Take a common option; false for any other. */
static bool
cli_take_common(struct cli *cli, int c)
{
	switch (c) {
	case OPTION_SOCKET:
		cli->socket = optarg;
		return true;
	case OPTION_URL:
		cli->url = optarg;
		return true;
	case OPTION_DATA:
		cli->data = optarg;
		return true;
	case OPTION_JSON:
		cli->is_json = true;
		return true;
	case OPTION_NO_HEADINGS:
		cli->no_headings = true;
		return true;
	default:
		return false;
	}
}

/* What getopt's sentences begin with. */
static const char *
cli_name(const struct cli *cli, char name[64])
{
	snprintf(name, 64, "%s%s%s", program.name, cli->command != NULL ? " " : "",
		 cli->command != NULL ? cli->command->name : "");
	return name;
}

int
cli_option(struct cli *cli, int argc, char **argv, const char *shorts,
	   const struct option *own)
{
	static const struct command *current;
	static char name[64];
	struct option all[OPTIONS_MAX];
	char with_help[32]; /* `shorts`, and -h behind each command */
	int c;

	if (current != cli->command) {
		current = cli->command;
		optind = 0; /* glibc: begin anew */
	}
	cli_name(cli, name);
	argv[0] = name;
	cli_merge_options(cli, own, all);
	snprintf(with_help, sizeof(with_help), "%s%s", shorts,
		 cli->command != NULL ? "h" : "");
	while ((c = getopt_long(argc, argv, with_help, all, NULL)) != -1) {
		if (cli_take_common(cli, c))
			continue;
		if (cli->command != NULL && (c == CLI_OPTION_HELP || c == 'h')) {
			command_help(cli->command);
			exit(EXIT_SUCCESS);
		}
		if (c == '?') {
			fprintf(stderr, "Try '%s --help'.\n", name);
			exit(EXIT_STATUS_USAGE);
		}
		return c;
	}
	return -1;
}

void
cli_check_common(const struct cli *cli)
{
	int flags = cli->command->flags;

	if (!(flags & (COMMAND_LISTS | COMMAND_JSON)) && cli->is_json)
		cli_usage_error(cli, "--json is for commands that list something");
	if (!(flags & COMMAND_LISTS) && cli->no_headings)
		cli_usage_error(cli, "--no-headings is for commands that print a table");
	if (!(flags & COMMAND_ASKS) && (cli->socket != NULL || cli->url != NULL))
		cli_usage_error(cli,
				"%s is for commands that ask a daemon; this one "
				"works on the data folder",
				cli->socket != NULL ? "--socket" : "--url");
}

int
cli_arguments(const struct cli *cli, int argc, char **argv, int min, int max)
{
	int n = argc - optind;

	if (n < min)
		cli_usage_error(cli, "an argument is missing: %s %s %s", program.name,
				cli->command->name, cli->command->usage);
	if (n > max)
		cli_usage_error(cli, "'%s' is one argument too many", argv[optind + max]);
	return n;
}

bool
cli_number(const char *text, int64_t min, int64_t max, int64_t *ret_number)
{
	long long number;
	char *end;

	if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

void
cli_places(const struct cli *cli, struct places *ret_places)
{
	struct errmsg err = { "" };

	if (places_find(geteuid(), cli->data, ret_places, &err) != 0)
		exit(cli_fail(EXIT_STATUS_CONFIG, "%s", err.text));
}
