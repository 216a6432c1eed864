/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "cli/progress.h"

enum { LOAD_MESSAGES_MAX = 100 }; /* in JSON; on standard error are all of them */

struct loading {
	struct cli *cli;
	struct load load;
	json_t *messages;
	int failed; /* exit status of a page that could not be loaded; it was said */
};

static void
loading_tell(void *arg, uint64_t number, const char *why)
{
	struct loading *l = arg;

	progress_clear();
	cli_say("line %llu: %s", (unsigned long long)number, why);
	if (json_array_size(l->messages) < LOAD_MESSAGES_MAX)
		json_array_append_new(
			l->messages,
			json_pack("{s:I, s:s}", "line", (json_int_t)number, "why", why));
}

static void
loading_show(void *arg, uint64_t read, uint64_t total)
{
	(void)arg;
	progress_show("loading", (int64_t)read, (int64_t)total);
}

/* ---- by the running node ---- */

static uint64_t
loading_count(const json_t *json, const char *member)
{
	json_int_t n = json_integer_value(json_object_get(json, member));

	return n > 0 ? (uint64_t)n : 0;
}

/* What the node says of a page. */
static void
loading_read_reply(const json_t *reply, struct load_page *page)
{
	const json_t *line;
	size_t i;

	page->new = loading_count(reply, "new");
	page->unchanged = loading_count(reply, "unchanged");
	page->ended = loading_count(reply, "ended");
	json_array_foreach(json_object_get(reply, "lines"), i, line)
	{
		uint64_t at = loading_count(line, "line");
		const char *is = json_string_value(json_object_get(line, "is"));
		const char *why = json_string_value(json_object_get(line, "why"));

		if (at < 1 || at > (uint64_t)page->len)
			continue;
		page->lines[at - 1].is = is != NULL && strcmp(is, "unknown") == 0
						 ? LOAD_UNKNOWN
						 : LOAD_REFUSED;
		free(page->lines[at - 1].why);
		page->lines[at - 1].why = mem_strdup(why != NULL ? why : "refused");
	}
}

static int
loading_post(void *arg, struct load_page *page, struct errmsg *err)
{
	struct loading *l = arg;
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	json_t *json = NULL;

	(void)err;
	request.method = "POST";
	request.path = l->load.is_strict ? "/v1/admin/load?strict" : "/v1/admin/load";
	request.is_admin = true;
	request.timeout_ms = CLIENT_WORK_MS;
	request.has_body = true;
	request.body = buf_bytes(&page->text);
	client_add_header(&request, "Content-Type", "application/jsonl");
	l->failed = client_send(l->cli, &request, &reply);
	if (l->failed == EXIT_SUCCESS) {
		json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
		if (!json_is_array(json_object_get(json, "lines")))
			l->failed = cli_fail(EXIT_FAILURE, "the reply does not say what "
							   "became of the rows: is it "
							   "an ocfd?");
	}
	if (l->failed == EXIT_SUCCESS)
		loading_read_reply(json, page);
	json_decref(json);
	client_reply_fini(&reply);
	client_request_fini(&request);
	return l->failed == EXIT_SUCCESS ? 0 : -EREMOTEIO;
}

/* The cluster of the node that runs. */
static int
loading_find_cluster(struct loading *l)
{
	json_t *status_json = NULL;
	int status = client_get_json(l->cli, "/v1/status", &status_json, NULL);
	const char *text = json_string_value(output_member(status_json, "cluster.id"));

	if (status == EXIT_SUCCESS &&
	    (text == NULL || id_parse(text, &l->load.cluster) != 0))
		status = cli_fail(EXIT_FAILURE,
				  "the reply does not name the cluster: is it an ocfd?");
	json_decref(status_json);
	return status;
}

static int
loading_online(struct loading *l, json_t **ret_json)
{
	struct errmsg err = { "" };
	int status = loading_find_cluster(l), rc;

	if (status != EXIT_SUCCESS)
		return status;
	l->load.apply = loading_post;
	l->load.tell = loading_tell;
	l->load.show = loading_show;
	l->load.arg = l;
	rc = load_run(&l->load, &err);
	progress_clear();
	if (l->failed != EXIT_SUCCESS)
		return l->failed;
	if (rc != 0)
		return cli_fail(rc == -OCF_EMALFORMED || rc == -OCF_EVERSION ||
						rc == -OCF_EFOREIGN
					? EXIT_FAILURE
					: EXIT_STATUS_IO,
				"%s", err.text);
	*ret_json = load_json(&l->load);
	return EXIT_SUCCESS;
}

/* ---- into the store ---- */

static void
loading_on_state(void *arg, const json_t *state)
{
	const char *why = json_string_value(json_object_get(state, "why"));

	if (why != NULL)
		loading_tell(arg, loading_count(state, "line"), why);
	else
		loading_show(arg, loading_count(state, "rows"),
			     loading_count(state, "total"));
}

static int
loading_offline(struct loading *l, json_t **ret_json)
{
	struct offline_task task = { .op = OFFLINE_LOAD, .load = &l->load };
	int status = offline_run(l->cli, &task, loading_on_state, l, ret_json);

	progress_clear();
	return status;
}

/* ---- words ---- */

static void
loading_print(const json_t *json)
{
	static const struct output_part read[] = {
		{ "", "read", output_plain },
		{ " row in | rows in ", "elapsed_ms", output_elapsed },
		{ NULL, NULL, NULL },
	};
	static const struct output_part table[] = {
		{ "", "new", output_plain },
		{ " new, ", "unchanged", output_plain },
		{ " unchanged", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part ended[] = {
		{ "", "ended", output_plain },
		{ ", whose lease had ended", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part refused[] = {
		{ "", "refused", output_plain },
		{ NULL, NULL, NULL },
	};
	static const struct output_part aside[] = {
		{ "", "aside", output_plain },
		{ ", whose owner's node row is neither here nor in the dump, or has no "
		  "lease any more|, whose owners' node rows are neither here nor in the "
		  "dump, or have no lease any more",
		  NULL, NULL },
		{ NULL, NULL, NULL },
	};

	output_line(json, "read", read);
	output_line(json, "table", table);
	if (loading_count(json, "ended") > 0)
		output_line(json, "ended", ended);
	if (loading_count(json, "refused") > 0)
		output_line(json, "refused", refused);
	if (loading_count(json, "aside") > 0)
		output_line(json, "aside", aside);
}

/* What was not as it should be, and the exit status for it. */
static int
loading_judge(const struct loading *l, const json_t *json)
{
	if (json_is_true(json_object_get(json, "is_stopped")))
		return cli_fail(EXIT_FAILURE, "stopped at the first line that was "
					      "refused; what stands before it was "
					      "loaded");
	if (!json_is_true(json_object_get(json, "is_whole")))
		return cli_fail(EXIT_FAILURE,
				"%s is not whole, or was changed: its last line is not "
				"there or tells another number of rows",
				l->load.name);
	return loading_count(json, "refused") + loading_count(json, "aside") == 0
		       ? EXIT_SUCCESS
		       : EXIT_FAILURE;
}

static int
loading_open(struct load *load, const char *file)
{
	struct stat st;

	load->name = strcmp(file, "-") == 0 ? "standard input" : file;
	load->in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	if (load->in == NULL)
		return cli_fail(errno == EACCES ? EXIT_STATUS_PERMISSION : EXIT_STATUS_IO,
				"%s: %s", file, error_text(-errno));
	if (fstat(fileno(load->in), &st) == 0 && S_ISDIR(st.st_mode))
		return cli_fail(EXIT_STATUS_IO, "%s is a folder, not a file", load->name);
	return EXIT_SUCCESS;
}

int
cmd_load(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "strict", no_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	struct loading l = { .cli = cli, .messages = json_array() };
	ms_t started = clock_mono_ms();
	json_t *json = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", options) != -1)
		l.load.is_strict = true;
	cli_arguments(cli, argc, argv, 1, 1);
	status = loading_open(&l.load, argv[optind]);
	if (status == EXIT_SUCCESS)
		status = offline_is_due(cli) ? loading_offline(&l, &json)
					     : loading_online(&l, &json);
	if (status == EXIT_SUCCESS) {
		json_object_set_new(json, "elapsed_ms",
				    json_integer(clock_mono_ms() - started));
		json_object_set(json, "messages", l.messages);
		if (cli->is_json)
			output_json(json);
		else
			loading_print(json);
		fflush(stdout);
		status = loading_judge(&l, json);
	}
	if (l.load.in != NULL && l.load.in != stdin)
		fclose(l.load.in);
	json_decref(l.messages);
	json_decref(json);
	return status;
}
