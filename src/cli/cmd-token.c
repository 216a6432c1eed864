/* SPDX-License-Identifier: Apache-2.0 */
/* ocf token: who may ask this machine's node over HTTP. The node edits its token file itself
 * while it runs, so that it knows at once; otherwise, and with --file, it is edited here. A new
 * token is made here and printed alone on standard output, once: only its hash goes to the
 * node or into the file. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "ident/sha256.h"
#include "table/token-json.h"

#define TOKEN_ROUTE "/v1/admin/token"
#define TOKEN_PREFIX "ocft-" /* so that people and scanners of secrets know it */

enum {
	TOKEN_SECRET_BYTES = 32,
	TOKEN_SIZE = sizeof(TOKEN_PREFIX) + 2 * TOKEN_SECRET_BYTES,
	/* How long another editor of the file is waited for. */
	TOKEN_WAIT_MS = 5 * MS_SECOND,
	TOKEN_STEP_MS = 20,
};

/* What the command line asks for. */
struct tokening {
	const char *op, *name, *file;
	bool has_limits;
	struct tokens_entry entry;
};

static void
token_make(char out[TOKEN_SIZE], uint8_t hash[TOKENS_HASH_BYTES])
{
	uint8_t secret[TOKEN_SECRET_BYTES];

	ident_random(secret, sizeof(secret));
	memcpy(out, TOKEN_PREFIX, sizeof(TOKEN_PREFIX));
	hex_encode(secret, sizeof(secret), out + strlen(TOKEN_PREFIX));
	ident_sha256(out, strlen(out), hash);
	ident_wipe(secret, sizeof(secret));
}

/* `where` ends a sentence about what was done. */
static int
token_say_done(const struct tokening *t, const char *token, const char *where)
{
	if (token == NULL) {
		cli_say("token %s is revoked %s", t->name, where);
		return EXIT_SUCCESS;
	}
	printf("%s\n", token);
	fflush(stdout);
	cli_say("token %s is added %s", t->name, where);
	cli_say("it is shown this once: send it as 'Authorization: Bearer', or give it to "
		"ocf in $OCF_TOKEN");
	return EXIT_SUCCESS;
}

static int
token_print_list(const struct cli *cli, const json_t *list, const char *file)
{
	static const struct column columns[] = {
		{ "NAME", "name", output_plain, false, false },
		{ "RATE", "rate", output_plain, true, false },
		{ "BURST", "burst", output_plain, true, false },
		{ "CONCURRENCY", "concurrency", output_plain, true, false },
		{ "SHARE", "share", output_plain, true, false },
		{ "SERVICES", "services", output_list, false, true },
		{ NULL, NULL, NULL, false, false },
	};

	if (!json_is_array(list))
		return cli_fail(EXIT_FAILURE, "the reply holds no list: is it an ocfd?");
	if (cli->is_json) {
		output_json(list);
		return EXIT_SUCCESS;
	}
	if (json_array_size(list) == 0) {
		cli_say("no token is in %s", file);
		return EXIT_SUCCESS;
	}
	return output_table(cli, list, columns);
}

/* ---- the node does it ---- */

static json_t *
token_body(const struct tokening *t)
{
	char hash[2 * TOKENS_HASH_BYTES + 1];

	if (strcmp(t->op, "add") == 0)
		return json_pack("{s:s, s:s, s:o}", "op", "add", "sha256",
				 hex_encode(t->entry.hash, TOKENS_HASH_BYTES, hash),
				 "token", token_to_json(&t->entry));
	if (strcmp(t->op, "revoke") == 0)
		return json_pack("{s:s, s:s}", "op", "revoke", "name", t->name);
	return json_pack("{s:s}", "op", "list");
}

static int
token_ask(const struct cli *cli, const struct tokening *t, const char *token)
{
	json_t *reply = NULL;
	const char *file;
	char *where;
	int status = client_post_json(cli, TOKEN_ROUTE, token_body(t), &reply, NULL);

	if (status != EXIT_SUCCESS)
		return status;
	file = json_string_value(json_object_get(reply, "file"));
	if (file == NULL) {
		status = cli_fail(EXIT_FAILURE,
				  "the reply names no file: is it an ocfd?");
	} else if (strcmp(t->op, "list") == 0) {
		status = token_print_list(cli, json_object_get(reply, "tokens"), file);
	} else {
		where = mem_printf("by the running node, in %s: it holds from now on",
				   file);
		status = token_say_done(t, token, where);
		free(where);
	}
	json_decref(reply);
	return status;
}

/* ---- done here ---- */

/* http.token_file as ocfd would take it, if it were started now. Free(3) it; NULL, and it
 * was said why, when there is none. */
static char *
token_find_file(const struct cli *cli)
{
	static const char key[] = "\nhttp.token_file=";
	char *ocfd = doctor_find_ocfd(), *path = NULL, said[512] = "";
	char print[] = "--print-config", option[] = "--data";
	char *data = cli->data != NULL ? mem_strdup(cli->data) : NULL;
	char *argv[] = { ocfd, print, data != NULL ? option : NULL, data, NULL };
	struct buf out = BUF_INIT;
	const char *at = NULL;

	if (ocfd != NULL)
		doctor_run(argv, &out, said);
	at = strstr(buf_text(&out), key);
	if (at != NULL) {
		at += strlen(key);
		path = mem_dup(at, strcspn(at, "\n"));
	}
	if (ocfd == NULL)
		cli_say("no ocfd is found that could tell http.token_file; name the file "
			"with --file");
	else if (path == NULL)
		cli_say("what http.token_file is cannot be told: %s", said);
	else if (path[0] == '\0')
		cli_say("http.token_file is not set: name a file in ocf.conf, or here with "
			"--file");
	if (path != NULL && path[0] == '\0') {
		free(path);
		path = NULL;
	}
	buf_fini(&out);
	free(ocfd);
	free(data);
	return path;
}

static int
token_exit_status(int rc)
{
	switch (-rc) {
	case 0:
		return EXIT_SUCCESS;
	case EACCES:
	case EPERM:
	case EROFS:
		return EXIT_STATUS_PERMISSION;
	case EBUSY:
		return EXIT_STATUS_TRY_LATER;
	case EIO:
	case ENOSPC:
	case EDQUOT:
		return EXIT_STATUS_IO;
	case OCF_EMALFORMED:
	case OCF_ELIMIT:
		return EXIT_STATUS_CONFIG;
	default:
		return EXIT_FAILURE;
	}
}

/* To whom a file belongs that root makes: whoever runs the node. */
static uid_t
token_owner(const struct cli *cli)
{
	struct places places;
	uid_t owner = (uid_t)-1;
	struct stat st;

	if (geteuid() != 0)
		return owner;
	cli_places(cli, &places);
	if (stat(places.data, &st) == 0)
		owner = st.st_uid;
	places_fini(&places);
	return owner;
}

static int
token_edit_once(const struct cli *cli, const struct tokening *t, const char *path,
		struct errmsg *err)
{
	return strcmp(t->op, "add") == 0
		       ? tokens_add(path, &t->entry, token_owner(cli), err)
		       : tokens_remove(path, t->name, err);
}

static int
token_list_here(const struct cli *cli, const char *path, struct errmsg *err)
{
	json_t *list = json_array();
	struct tokens tokens;
	int rc = tokens_read(path, &tokens, err), status;

	if (rc == 0) {
		for (int i = 0; i < tokens.len; i++)
			json_array_append_new(list, token_to_json(&tokens.items[i]));
		status = token_print_list(cli, list, path);
		tokens_fini(&tokens);
	} else {
		status = cli_fail(token_exit_status(rc), "%s", err->text);
	}
	json_decref(list);
	return status;
}

static int
token_do_here(const struct cli *cli, const struct tokening *t, const char *token)
{
	const struct timespec step = { .tv_nsec = TOKEN_STEP_MS * 1000000L };
	char *path = t->file != NULL ? mem_strdup(t->file) : token_find_file(cli), *where;
	struct errmsg err = { "" };
	int rc, status;

	if (path == NULL)
		return EXIT_STATUS_CONFIG;
	if (strcmp(t->op, "list") == 0) {
		status = token_list_here(cli, path, &err);
		free(path);
		return status;
	}
	rc = token_edit_once(cli, t, path, &err);
	for (ms_t waited = 0; rc == -EBUSY && waited < TOKEN_WAIT_MS;
	     waited += TOKEN_STEP_MS) {
		nanosleep(&step, NULL);
		rc = token_edit_once(cli, t, path, &err);
	}
	where = mem_printf(
		"in %s; %s", path,
		t->file != NULL ? "an ocfd that uses it reads it at its start and on "
				  "SIGHUP"
				: "no ocfd runs here, it holds from the next start on");
	status = rc == 0 ? token_say_done(t, token, where)
			 : cli_fail(token_exit_status(rc), "%s", err.text);
	free(where);
	free(path);
	return status;
}

/* ---- the command line ---- */

static void
token_take_services(const struct cli *cli, struct tokens_entry *e, const char *text)
{
	while (text[0] != '\0') {
		size_t len = strcspn(text, ",");
		char *name = mem_dup(text, len);

		if (len == 0)
			cli_usage_error(cli, "--services has a name without a letter");
		tokens_add_service(e, name);
		free(name);
		text += len + (text[len] == ',' && text[len + 1] != '\0');
		if (text[0] == ',')
			cli_usage_error(cli, "--services has a name without a letter");
	}
	if (e->services_len == 0)
		cli_usage_error(cli, "--services names none");
}

static void
token_take_option(const struct cli *cli, struct tokening *t, int c)
{
	struct tokens_entry *e = &t->entry;

	if (c == 'r' && !tokens_parse_rate(optarg, &e->rate_milli))
		cli_usage_error(cli,
				"--rate '%s' is not from 0.001 to %d requests a second, "
				"with three decimals at most",
				optarg, TOKENS_RATE_MILLI_MAX / 1000);
	if (c == 'b' && !cli_number(optarg, 1, TOKENS_NUMBER_MAX, &e->burst))
		cli_usage_error(cli, "--burst '%s' is not from 1 to %d", optarg,
				TOKENS_NUMBER_MAX);
	if (c == 'c' && !cli_number(optarg, 1, TOKENS_NUMBER_MAX, &e->concurrency))
		cli_usage_error(cli, "--concurrency '%s' is not from 1 to %d", optarg,
				TOKENS_NUMBER_MAX);
	if (c == 's' && !cli_number(optarg, 1, TOKENS_SHARE_MAX, &e->share))
		cli_usage_error(cli, "--share '%s' is not from 1 to %d", optarg,
				TOKENS_SHARE_MAX);
	if (c == 'a')
		token_take_services(cli, e, optarg);
	if (c == 'f')
		t->file = optarg;
	else
		t->has_limits = true;
}

static void
token_take_arguments(const struct cli *cli, struct tokening *t, int argc, char **argv)
{
	struct errmsg err = { "" };
	bool is_add, is_list;
	int n = cli_arguments(cli, argc, argv, 1, 2);

	t->op = argv[optind];
	t->name = n == 2 ? argv[optind + 1] : "";
	is_add = strcmp(t->op, "add") == 0;
	is_list = strcmp(t->op, "list") == 0;
	if (!is_add && !is_list && strcmp(t->op, "revoke") != 0)
		cli_usage_error(cli, "'%s' is none of add, list and revoke", t->op);
	if (is_list != (n == 1))
		cli_usage_error(cli, "%s",
				is_list ? "list takes no name"
					: "the name of the token is missing");
	if (!is_add && t->has_limits)
		cli_usage_error(cli, "limits are for add; to change those of a token, "
				     "revoke it and add another");
	if (!is_list && (cli->is_json || cli->no_headings))
		cli_usage_error(cli, "%s is for list",
				cli->is_json ? "--json" : "--no-headings");
	if (t->file != NULL && (cli->socket != NULL || cli->url != NULL))
		cli_usage_error(cli,
				"--file needs no node: it excludes --socket and --url");
	if (!is_list && strlen(t->name) > TOKENS_NAME_BYTES_MAX)
		cli_usage_error(cli, "the name is longer than %d bytes",
				TOKENS_NAME_BYTES_MAX);
	if (is_list)
		return;
	snprintf(t->entry.name, sizeof(t->entry.name), "%s", t->name);
	if (tokens_check(&t->entry, &err) != 0)
		cli_usage_error(cli, "%s", err.text);
}

int
cmd_token(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "burst", required_argument, NULL, 'b' },
		{ "concurrency", required_argument, NULL, 'c' },
		{ "share", required_argument, NULL, 's' },
		{ "services", required_argument, NULL, 'a' },
		{ "file", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct tokening t = { .op = NULL };
	char token[TOKEN_SIZE];
	int c, status;
	bool is_add;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1)
		token_take_option(cli, &t, c);
	token_take_arguments(cli, &t, argc, argv);
	is_add = strcmp(t.op, "add") == 0;
	if (is_add)
		token_make(token, t.entry.hash);
	if (t.file != NULL || offline_is_due(cli))
		status = token_do_here(cli, &t, is_add ? token : NULL);
	else
		status = token_ask(cli, &t, is_add ? token : NULL);
	ident_wipe(token, sizeof(token));
	tokens_entry_fini(&t.entry);
	return status;
}
