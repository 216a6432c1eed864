/* SPDX-License-Identifier: Apache-2.0 */
/* ocf drain: the node leaves the cluster and stops. What it says on its way, a line of JSON
 * each, is shown; its last line decides. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/progress.h"

enum { DRAIN_LINE_BYTES_MAX = 64 * 1024 };

struct draining {
	struct buf line; /* that has not ended yet */
	json_t *last;
	int64_t running; /* told last */
	bool is_over;
};

static void
drain_show_running(struct draining *d, int64_t running)
{
	if (running == d->running)
		return;
	d->running = running;
	if (isatty(STDERR_FILENO))
		progress_show(running == 1 ? "waiting for one query"
					   : "waiting for queries",
			      running, 0);
	else if (running > 0)
		cli_say("waiting: %lld quer%s still run%s", (long long)running,
			running == 1 ? "y" : "ies", running == 1 ? "s" : "");
}

static void
drain_take_line(struct draining *d, struct bytes line)
{
	json_t *json = json_loadb((const char *)line.data, line.len, 0, NULL);
	const char *state = json_string_value(json_object_get(json, "state"));

	if (state == NULL) {
		json_decref(json);
		return;
	}
	if (strcmp(state, "draining") == 0)
		drain_show_running(d,
				   json_integer_value(json_object_get(json, "running")));
	d->is_over = strcmp(state, "left") == 0 || strcmp(state, "failed") == 0;
	json_decref(d->last);
	d->last = json;
}

static bool
drain_take(void *arg, struct bytes data)
{
	struct draining *d = arg;
	const uint8_t *end;

	buf_put_bytes(&d->line, data);
	while (d->line.len > 0 && !d->is_over &&
	       (end = memchr(d->line.data, '\n', d->line.len)) != NULL) {
		size_t len = (size_t)(end - d->line.data);

		drain_take_line(d, bytes_of(d->line.data, len));
		buf_drop(&d->line, len + 1);
	}
	errno = EPROTO;
	return d->line.len <= DRAIN_LINE_BYTES_MAX;
}

static int64_t
drain_number(const json_t *state, const char *name)
{
	return json_integer_value(json_object_get(state, name));
}

/* Whom it told, or what follows from that it told nobody. */
static void
drain_say_told(const json_t *state)
{
	int64_t told = drain_number(state, "told"),
		others = drain_number(state, "others");

	if (told > 0)
		printf("%lld other node%s told; those pass it on.\n", (long long)told,
		       told == 1 ? " was" : "s were");
	else if (others > 0)
		cli_say("no other node could be told, for none was linked: they will "
			"show it as dead until the table's retention is over, unless it "
			"is started and drained again");
	else
		printf("No other node is known that could be told.\n");
}

static int
drain_end(const json_t *state)
{
	const char *name = json_string_value(json_object_get(state, "name"));
	const char *why = json_string_value(json_object_get(state, "why"));
	int64_t cut = drain_number(state, "cut");

	if (strcmp(json_string_value(json_object_get(state, "state")), "left") != 0)
		return cli_fail(EXIT_FAILURE,
				"the node has not left the cluster: %s. It stops%s",
				why != NULL ? why : "it does not say why",
				json_is_true(json_object_get(state, "member"))
					? ", and is a member still"
					: "; 'ocf nodes --all' on another node says "
					  "whether it is a member still");
	printf("Node %s has left the cluster and stops.\n", name != NULL ? name : "?");
	drain_say_told(state);
	if (cut > 0)
		cli_say("%lld quer%s not waited for any longer (node.drain_timeout)",
			(long long)cut, cut == 1 ? "y was" : "ies were");
	if (json_is_true(json_object_get(state, "ca")))
		cli_say("its data folder holds the cluster's CA key: keep it, unless "
			"another node holds that too, or nobody can be invited or banned "
			"any more");
	return EXIT_SUCCESS;
}

int
cmd_drain(struct cli *cli, int argc, char **argv)
{
	struct draining d = { .running = 0 };
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	request.method = "POST";
	request.path = "/v1/admin/drain";
	request.is_admin = true;
	request.timeout_ms = CLIENT_WORK_MS;
	request.has_body = true;
	request.body = BYTES_NONE;
	request.sink = drain_take;
	request.sink_arg = &d;
	request.sink_name = "reading the node's answer";
	request.is_enough = &d.is_over;
	request.broken_off = "the node ended before it said that it had left: it may be a "
			     "member still; 'ocf nodes --all' on another node tells";
	status = client_send(cli, &request, &reply);
	progress_clear();
	if (status == EXIT_SUCCESS)
		status = drain_end(d.last);
	client_reply_fini(&reply);
	client_request_fini(&request);
	json_decref(d.last);
	buf_fini(&d.line);
	return status;
}
