/* SPDX-License-Identifier: Apache-2.0 */
/* ocf invite: the token alone on standard output, so that it can be piped; all else is said
 * to the person. And what became of tokens: the daemon is asked by the hash of the secret, so
 * that a token is sent nowhere but to the node that admits. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/network.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/explain.h"
#include "cli/format.h"
#include "cli/output.h"
#include "cli/tokenarg.h"
#include "ident/invites.h"
#include "ident/token.h"

#define INVITE_TTL_MAX_MS (30 * (ms_t)MS_DAY) /* as the daemon's */

/* ---- what became of one ---- */

static json_t *
invite_id_json(const char *op, const struct token *token)
{
	char id[INVITES_ID_SIZE];

	return json_pack("{s:s, s:s}", "op", op, "id", invites_id(token->secret, id));
}

/* A count as a word or two of a sentence. */
static void
invite_put_state(const json_t *reply, struct buf *out)
{
	const char *state = json_string_value(json_object_get(reply, "state"));
	long long left = json_integer_value(json_object_get(reply, "uses_left"));
	long long taken = json_integer_value(json_object_get(reply, "taken"));
	const char *revoked = json_string_value(json_object_get(reply, "revoked"));

	if (state == NULL || strcmp(state, "unknown") == 0) {
		buf_put_text(out, "not made by this machine's node");
		return;
	}
	buf_put_text(out, state);
	if (revoked != NULL)
		buf_printf(out, " at %s", revoked);
	if (strcmp(state, "open") == 0)
		buf_printf(out, ", %lld use%s left", left, left == 1 ? "" : "s");
	if (taken > 0)
		buf_printf(out, ", %lld node%s came by it", taken, taken == 1 ? "" : "s");
}

/* What the book of this machine's node says, if one runs. */
static void
invite_show_state(const struct cli *cli, const struct token *token)
{
	struct client_target target;
	struct buf state = BUF_INIT;
	json_t *reply = NULL;
	bool is_there;

	if (cli->url != NULL || getenv("OCF_URL") != NULL ||
	    explain_target(cli, true, &target) != EXIT_SUCCESS)
		return;
	is_there = explain_connect(target.socket) == 0;
	client_target_fini(&target);
	if (is_there &&
	    client_post_json(cli, "/v1/admin/invite", invite_id_json("state", token),
			     &reply, NULL) == EXIT_SUCCESS) {
		invite_put_state(reply, &state);
		output_make_safe(&state);
		printf("state       %s\n", buf_text(&state));
	}
	buf_fini(&state);
	json_decref(reply);
}

static int
invite_show(const struct cli *cli, char *argument)
{
	struct buf lines = BUF_INIT;
	char id[INVITES_ID_SIZE];
	struct token token;
	int status = tokenarg_read(argument, &token);

	if (status != EXIT_SUCCESS)
		return status;
	printf("id          %.*s\n", INVITES_ID_SHORT, invites_id(token.secret, id));
	token_describe(&token, clock_wall_ms(), &lines);
	fwrite(lines.data, 1, lines.len, stdout);
	invite_show_state(cli, &token);
	buf_fini(&lines);
	ident_wipe(&token, sizeof(token));
	return EXIT_SUCCESS;
}

/* ---- revoked, listed ---- */

static bool
invite_is_id(const char *text)
{
	size_t len = strlen(text);

	return len >= INVITES_ID_SHORT && len < INVITES_ID_SIZE &&
	       strspn(text, "0123456789abcdef") == len;
}

/* Only the node that made it can do it, and its addresses are in the token. */
static void
invite_say_elsewhere(const struct token *token)
{
	struct buf list = BUF_INIT;

	for (unsigned i = 0; i < token->addresses_len; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", token->addresses[i]);
	cli_say("the node that made it is reached at: %s", buf_text(&list));
	buf_fini(&list);
}

static int
invite_revoke(const struct cli *cli, char *argument)
{
	struct token token = { .addresses_len = 0 };
	json_t *body, *reply = NULL;
	int status, http = 0;

	if (invite_is_id(argument)) {
		body = json_pack("{s:s, s:s}", "op", "revoke", "id", argument);
	} else {
		status = tokenarg_read(argument, &token);
		if (status != EXIT_SUCCESS)
			return status;
		body = invite_id_json("revoke", &token);
	}
	status = client_post_json(cli, "/v1/admin/invite", body, &reply, &http);
	if (http == 404 && token.addresses_len > 0)
		invite_say_elsewhere(&token);
	if (status == EXIT_SUCCESS) {
		json_int_t taken = json_integer_value(json_object_get(reply, "taken"));

		printf("The invitation %s is revoked: nobody can join with it any more.\n",
		       json_string_value(json_object_get(reply, "id")));
		if (taken > 0)
			cli_say("%lld node%s came by it before, and stay%s: see 'ocf nodes'",
				(long long)taken, taken == 1 ? "" : "s",
				taken == 1 ? "s" : "");
	}
	json_decref(reply);
	ident_wipe(&token, sizeof(token));
	return status;
}

static void
invite_grants(const json_t *is_admin, struct buf *out)
{
	buf_put_text(out, json_is_true(is_admin) ? "admin" : "node");
}

static int
invite_list(const struct cli *cli)
{
	static const struct column columns[] = {
		{ "ID", "id", output_plain, false, false },
		{ "GRANTS", "admin", invite_grants, false, false },
		{ "LEFT", "uses_left", output_plain, true, false },
		{ "CAME", "taken", output_plain, true, false },
		{ "CREATED", "created", output_plain, false, true },
		{ "EXPIRES", "expires", output_plain, false, false },
		{ NULL, NULL, NULL, false, false },
	};
	json_t *reply = NULL;
	const json_t *list;
	int status = client_post_json(cli, "/v1/admin/invite",
				      json_pack("{s:s}", "op", "list"), &reply, NULL);

	if (status != EXIT_SUCCESS)
		return status;
	list = json_object_get(reply, "invitations");
	if (!json_is_array(list))
		status = cli_fail(EXIT_FAILURE,
				  "the reply holds no list: is it an ocfd?");
	else if (cli->is_json)
		output_json(list);
	else if (json_array_size(list) == 0)
		cli_say("no invitation of this node is open");
	else
		status = output_table(cli, list, columns);
	json_decref(reply);
	return status;
}

/* ---- made ---- */

/* The port to be forwarded: that of the first address. */
static const char *
invite_port(const json_t *addresses)
{
	const char *first = json_string_value(json_array_get(addresses, 0));
	const char *colon = first != NULL ? strrchr(first, ':') : NULL;

	return colon != NULL ? colon + 1 : "8093";
}

/* Machines elsewhere cannot reach private addresses. */
static void
invite_check_addresses(const json_t *addresses)
{
	struct buf list = BUF_INIT;
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)addresses, i, item)
	{
		const char *text = json_string_value(item);

		if (text != NULL && !network_is_private(text)) {
			buf_fini(&list);
			return;
		}
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", text != NULL ? text : "?");
	}
	if (list.len > 0)
		cli_say("warning: every address in the token is private (%s): only machines "
			"of the same network can join with it. For others, forward TCP %s "
			"on your router to this machine and set peer.advertise in "
			"ocf.conf to the router's public address; or invite from a node "
			"that has one; or bring all into one VPN and advertise its "
			"addresses",
			buf_text(&list), invite_port(addresses));
	else
		cli_say("warning: the token has no address in it");
	buf_fini(&list);
}

static int
invite_print(const struct client_reply *reply, long uses, ms_t ttl_ms)
{
	json_t *json = json_loadb((const char *)reply->body.data, reply->body.len, 0,
				  NULL);
	const char *token = json_string_value(json_object_get(json, "token"));
	const char *id = json_string_value(json_object_get(json, "id"));
	char span[FORMAT_SIZE];

	if (token == NULL) {
		json_decref(json);
		return cli_fail(EXIT_FAILURE, "the reply holds no token: is it an ocfd?");
	}
	printf("%s\n", token);
	fflush(stdout);
	cli_say("good for %ld %s within %s; on the new machine run 'ocf join -' and paste "
		"it there",
		uses, uses == 1 ? "machine" : "machines",
		format_span((double)ttl_ms / MS_SECOND, span));
	cli_say("whoever has the token can join: pass it on as you would a password; "
		"'ocf invite --revoke %s' ends it",
		id != NULL ? id : "TOKEN");
	invite_check_addresses(json_object_get(json, "addresses"));
	json_decref(json);
	return EXIT_SUCCESS;
}

static int
invite_ask(const struct cli *cli, ms_t ttl_ms, long uses, bool is_admin)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	char *body = mem_printf("{\"ttl_s\":%lld,\"uses\":%ld,\"admin\":%s}",
				(long long)(ttl_ms / MS_SECOND), uses,
				is_admin ? "true" : "false");
	int status;

	request.method = "POST";
	request.path = "/v1/admin/invite";
	request.has_body = true;
	request.body = bytes_text(body);
	request.is_admin = true;
	client_add_header(&request, "Content-Type", "application/json");
	status = client_send(cli, &request, &reply);
	if (status == EXIT_SUCCESS)
		status = invite_print(&reply, uses, ttl_ms);
	client_request_fini(&request);
	client_reply_fini(&reply);
	free(body);
	return status;
}

/* What the command line asks for. */
struct inviting {
	char *show, *revoke;
	bool is_list;
	bool is_making; /* something is said of a new one */
	ms_t ttl_ms;
	int64_t uses;
	bool is_admin;
};

static void
invite_take_option(const struct cli *cli, struct inviting *in, int c)
{
	if (c == 't' && (clock_parse_span(optarg, &in->ttl_ms) != 0 ||
			 in->ttl_ms < MS_SECOND || in->ttl_ms > INVITE_TTL_MAX_MS))
		cli_usage_error(cli, "--ttl '%s' is not from 1s to 30d", optarg);
	if (c == 'u' && !cli_number(optarg, 1, INVITES_USES_MAX, &in->uses))
		cli_usage_error(cli, "--uses '%s' is not from 1 to %d", optarg,
				INVITES_USES_MAX);
	in->is_admin |= c == 'a';
	in->is_list |= c == 'l';
	in->is_making |= c == 't' || c == 'u' || c == 'a';
	if (c == 's')
		in->show = optarg;
	if (c == 'r')
		in->revoke = optarg;
}

int
cmd_invite(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "ttl", required_argument, NULL, 't' },
		{ "uses", required_argument, NULL, 'u' },
		{ "admin", no_argument, NULL, 'a' },
		{ "list", no_argument, NULL, 'l' },
		{ "show", required_argument, NULL, 's' },
		{ "revoke", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct inviting in = { .ttl_ms = MS_DAY, .uses = 1 };
	int c;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1)
		invite_take_option(cli, &in, c);
	cli_arguments(cli, argc, argv, 0, 0);
	if (in.is_making + in.is_list + (in.show != NULL) + (in.revoke != NULL) > 1)
		cli_usage_error(cli, "--list, --show and --revoke stand alone");
	if (!in.is_list && (cli->is_json || cli->no_headings))
		cli_usage_error(cli, "%s is for commands that list something: --list",
				cli->is_json ? "--json" : "--no-headings");
	if (in.show != NULL)
		return invite_show(cli, in.show);
	if (in.revoke != NULL)
		return invite_revoke(cli, in.revoke);
	if (in.is_list)
		return invite_list(cli);
	return invite_ask(cli, in.ttl_ms, (long)in.uses, in.is_admin);
}
