/* SPDX-License-Identifier: Apache-2.0 */
/* ocf invite: the token alone on standard output, so that it can be piped; all else is said
 * to the person. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/network.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/format.h"
#include "ident/invites.h"
#include "ident/token.h"

#define INVITE_TTL_MAX_MS (30 * (ms_t)MS_DAY) /* as the daemon's */

static int
invite_show(const char *text)
{
	struct token token;
	struct errmsg err = { "" };
	struct buf lines = BUF_INIT;

	if (token_decode(bytes_text(text), &token, &err) != 0)
		return cli_fail(EXIT_FAILURE, "the token cannot be read: %s", err.text);
	token_describe(&token, clock_wall_ms(), &lines);
	fwrite(lines.data, 1, lines.len, stdout);
	buf_fini(&lines);
	ident_wipe(&token, sizeof(token));
	return EXIT_SUCCESS;
}

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
	char span[FORMAT_SIZE];

	if (token == NULL) {
		json_decref(json);
		return cli_fail(EXIT_FAILURE, "the reply holds no token: is it an ocfd?");
	}
	printf("%s\n", token);
	fflush(stdout);
	cli_say("good for %ld %s within %s; on the new machine: ocf join TOKEN", uses,
		uses == 1 ? "machine" : "machines",
		format_span((double)ttl_ms / MS_SECOND, span));
	cli_say("whoever has the token can join: pass it on as you would a password");
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

int
cmd_invite(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "ttl", required_argument, NULL, 't' },
		{ "uses", required_argument, NULL, 'u' },
		{ "admin", no_argument, NULL, 'a' },
		{ "show", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	const char *show = NULL;
	ms_t ttl_ms = MS_DAY;
	bool is_admin = false;
	int64_t uses = 1;
	int c;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1) {
		if (c == 't' && (clock_parse_span(optarg, &ttl_ms) != 0 ||
				 ttl_ms < MS_SECOND || ttl_ms > INVITE_TTL_MAX_MS))
			cli_usage_error(cli, "--ttl '%s' is not from 1s to 30d", optarg);
		if (c == 'u' && !cli_number(optarg, 1, INVITES_USES_MAX, &uses))
			cli_usage_error(cli, "--uses '%s' is not from 1 to %d", optarg,
					INVITES_USES_MAX);
		if (c == 'a')
			is_admin = true;
		if (c == 's')
			show = optarg;
	}
	cli_arguments(cli, argc, argv, 0, 0);
	if (show != NULL)
		return invite_show(show);
	return invite_ask(cli, ttl_ms, (long)uses, is_admin);
}
