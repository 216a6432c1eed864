/* SPDX-License-Identifier: Apache-2.0 */
/* ocf watch: changes of the table, a line each, from GET /v1/events. When the stream breaks it
 * is asked for again, behind the last event that came, so that none is missed or told twice. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/explain.h"
#include "cli/output.h"

enum {
	/* One event is at most a row as JSON, far below this. */
	WATCH_LINE_BYTES_MAX = 1024 * 1024,
	WATCH_ID_BYTES_MAX = 64,
	WATCH_COUNT_MAX = 1000 * 1000 * 1000,
	/* A node that was stopped is waited for. */
	WATCH_RETRY_MS = 500,
	WATCH_RETRIES = 60,
};

struct watch {
	const struct cli *cli;
	struct buf line;		   /* what came of one */
	char *data;			   /* of the event that is coming; or NULL */
	bool is_reset;			   /* that one */
	char id[WATCH_ID_BYTES_MAX + 1];   /* of it */
	char last[WATCH_ID_BYTES_MAX + 1]; /* of the last that is whole */
	int64_t left;			   /* events to be shown; -1: for ever */
	bool has_broken;		   /* before */
	bool is_enough;
	bool has_failed; /* there is nowhere to print to */
};

/* ---- an event as a line ---- */

static void
watch_put_services(const json_t *row, struct buf *out)
{
	const json_t *services = json_object_get(row, "services"), *item;
	size_t i;

	json_array_foreach((json_t *)services, i, item)
	{
		buf_put_text(out, i > 0 ? ", " : ": ");
		output_plain(json_object_get(item, "name"), out);
	}
}

/* "2026-11-28T23:31:46.123Z worker add reader-2 on n2: ready: ocr" */
static void
watch_print_text(const json_t *event)
{
	const json_t *row = json_object_get(event, "row");
	const char *kind = json_string_value(json_object_get(event, "kind"));
	bool is_worker = kind != NULL && strcmp(kind, "worker") == 0;
	struct buf out = BUF_INIT;

	output_plain(json_object_get(event, "time"), &out);
	buf_printf(&out, " %-6s %-6s ", kind != NULL ? kind : "?",
		   json_is_string(json_object_get(event, "op"))
			   ? json_string_value(json_object_get(event, "op"))
			   : "?");
	if (is_worker) {
		output_plain(json_object_get(event, "id"), &out);
		buf_put_text(&out, " on ");
		output_plain(json_object_get(row, "node_name"), &out);
	} else {
		output_plain(json_object_get(row, "name"), &out);
	}
	buf_put_text(&out, " (");
	output_short_id(json_object_get(event, "node"), &out);
	buf_put_text(&out, ")");
	if (json_is_object(row)) {
		buf_put_text(&out, " ");
		output_plain(json_object_get(row, "state"), &out);
		if (is_worker)
			watch_put_services(row, &out);
	}
	output_make_safe(&out);
	printf("%s\n", buf_text(&out));
	buf_fini(&out);
}

/* False: no more is wanted. */
static bool
watch_show(struct watch *w, const char *text)
{
	json_t *event = json_loads(text, 0, NULL);

	if (!json_is_object(event)) {
		json_decref(event);
		cli_say("an event is no JSON object, and is left out");
		return true;
	}
	if (w->is_reset) {
		/* The first says no more than that it begins. */
		if (w->has_broken)
			cli_say("some changes are lost: too much has happened meanwhile, or "
				"the node was started again");
		if (w->has_broken && w->cli->is_json)
			output_json(event);
	} else {
		if (w->cli->is_json)
			output_json(event);
		else
			watch_print_text(event);
		w->is_enough = w->left > 0 && --w->left == 0;
	}
	json_decref(event);
	if (fflush(stdout) != 0) {
		w->has_failed = true;
		return false;
	}
	errno = 0; /* which is what ends it in order */
	return !w->is_enough;
}

/* ---- the stream ---- */

/* The value behind "NAME: ", or NULL. */
static const char *
watch_field(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + (line[len + 1] == ' ');
}

static bool
watch_line(struct watch *w, const char *line)
{
	const char *value;
	bool is_more = true;

	if (line[0] == '\0') {
		if (w->id[0] != '\0')
			snprintf(w->last, sizeof(w->last), "%s", w->id);
		if (w->data != NULL)
			is_more = watch_show(w, w->data);
		free(w->data);
		w->data = NULL;
		w->is_reset = false;
		w->id[0] = '\0';
	} else if ((value = watch_field(line, "data")) != NULL) {
		free(w->data);
		w->data = mem_strdup(value);
	} else if ((value = watch_field(line, "id")) != NULL) {
		snprintf(w->id, sizeof(w->id), "%s", value);
	} else if ((value = watch_field(line, "event")) != NULL) {
		w->is_reset = strcmp(value, "reset") == 0;
	}
	return is_more;
}

static bool
watch_take(void *arg, struct bytes data)
{
	struct watch *w = arg;

	while (data.len > 0) {
		const uint8_t *end = memchr(data.data, '\n', data.len);
		size_t len = end != NULL ? (size_t)(end - data.data) : data.len;

		if (w->line.len + len > WATCH_LINE_BYTES_MAX) {
			errno = EMSGSIZE;
			return false;
		}
		buf_put(&w->line, data.data, len);
		if (end == NULL)
			return true;
		data = bytes_of(end + 1, data.len - len - 1);
		if (!watch_line(w, buf_text(&w->line)))
			return false;
		buf_clear(&w->line);
	}
	return true;
}

/* What is left of an event that did not come whole. */
static void
watch_forget(struct watch *w)
{
	buf_clear(&w->line);
	free(w->data);
	w->data = NULL;
	w->is_reset = false;
	w->id[0] = '\0';
}

/* One stream, to its end. `ret_began`: there was one. */
static int
watch_once(struct watch *w, bool *ret_began)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	request.path = "/v1/events";
	request.timeout_ms = 0; /* none */
	request.sink = watch_take;
	request.sink_arg = w;
	request.sink_name = "the changes";
	request.is_enough = &w->is_enough;
	client_add_header(&request, "Accept", "text/event-stream");
	if (w->last[0] != '\0')
		client_add_header(&request, "Last-Event-ID", w->last);
	status = client_send(w->cli, &request, &reply);
	*ret_began = reply.status >= 200 && reply.status < 300;
	client_request_fini(&request);
	client_reply_fini(&reply);
	watch_forget(w);
	return status;
}

/* A node of this machine that was stopped may be starting again. */
static void
watch_wait(const struct cli *cli)
{
	const struct timespec pause = { .tv_nsec = WATCH_RETRY_MS * 1000000L };
	struct client_target target;

	if (explain_target(cli, false, &target) != EXIT_SUCCESS)
		return;
	for (int i = 0; i < WATCH_RETRIES; i++) {
		nanosleep(&pause, NULL);
		if (target.socket == NULL || explain_connect(target.socket) == 0)
			break;
	}
	client_target_fini(&target);
}

int
cmd_watch(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	struct watch w = { .cli = cli, .left = -1 };
	bool began;
	int c, status;

	while ((c = cli_option(cli, argc, argv, "n:", options)) != -1)
		if (!cli_number(optarg, 1, WATCH_COUNT_MAX, &w.left))
			cli_usage_error(cli, "--count '%s' is not from 1 to %d", optarg,
					WATCH_COUNT_MAX);
	cli_arguments(cli, argc, argv, 0, 0);
	for (;;) {
		status = watch_once(&w, &began);
		if (w.is_enough || w.has_failed || !began)
			break;
		cli_say("the stream has ended; going on behind the last change");
		w.has_broken = true;
		watch_wait(cli);
	}
	buf_fini(&w.line);
	return status;
}
