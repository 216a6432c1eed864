/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/follow.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "cli/progress.h"

enum { VERIFY_MESSAGES_SHOWN = 20 };

static int64_t
verify_count(const json_t *state, const char *member)
{
	return (int64_t)json_integer_value(json_object_get(state, member));
}

static void
verify_on_state(void *arg, const json_t *state)
{
	(void)arg;
	progress_show("verifying", verify_count(state, "rows"),
		      verify_count(state, "total"));
}

static void
verify_print_messages(const json_t *state)
{
	const json_t *messages = json_object_get(state, "messages"), *message;
	int64_t found = verify_count(state, "differences") +
			verify_count(state, "signatures_bad");
	size_t i;

	putchar('\n');
	json_array_foreach((json_t *)messages, i, message)
	{
		struct buf line = BUF_INIT;

		if (i == VERIFY_MESSAGES_SHOWN)
			break;
		output_plain(message, &line);
		output_make_safe(&line);
		printf("%s\n", buf_text(&line));
		buf_fini(&line);
	}
	if (found > (int64_t)i)
		printf("and %lld more\n", (long long)(found - (int64_t)i));
}

static void
verify_print_end(const json_t *state, bool is_repair)
{
	bool is_sound = json_is_true(json_object_get(state, "is_sound"));

	if (is_repair && is_sound)
		printf("\nRepaired. Rows dropped: %lld; other nodes bring them back once "
		       "this one runs.\n",
		       (long long)verify_count(state, "dropped"));
	else if (is_repair)
		printf("\nNot all could be repaired: restore a backup, or move the data "
		       "folder away and\njoin again.\n");
	else
		printf("\nTo repair it, stop the node and run 'ocf-sync verify "
		       "--repair': bad rows are\ndropped, and other nodes bring them "
		       "back.\n");
}

static void
verify_print(const json_t *state, const char *where, bool is_repair)
{
	static const struct output_part rows[] = {
		{ "", "rows", output_plain },
		{ " row in | rows in ", "elapsed_ms", output_elapsed },
		{ NULL, NULL, NULL },
	};
	static const struct output_part sums[] = {
		{ "", "differences", output_plain },
		{ " difference| differences", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part sums_good[] = {
		{ "every digest, count and list is right", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part signed_[] = {
		{ "", "signatures_bad", output_plain },
		{ " of ", "rows", output_plain },
		{ " row not by its owner| rows not by their owners", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct output_part signed_good[] = {
		{ "every row by its owner", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	int64_t differences = verify_count(state, "differences");
	int64_t bad = verify_count(state, "signatures_bad");

	printf("store   %s\n", where);
	output_line(state, "table", rows);
	output_line(state, "sums", differences == 0 ? sums_good : sums);
	output_line(state, "signed", bad == 0 ? signed_good : signed_);
	if (differences + bad > 0) {
		verify_print_messages(state);
		verify_print_end(state, is_repair);
	}
}

static int
verify_online(const struct cli *cli, bool is_repair, json_t **ret_state)
{
	json_t *state = NULL;
	const char *why;
	int http = 0;
	int status = follow(cli, "/v1/admin/verify",
			    json_pack("{s:s, s:b}", "op", "start", "repair", is_repair),
			    false, verify_on_state, NULL, &state, &http);

	progress_clear();
	if (status != EXIT_SUCCESS)
		return status;
	if (follow_is(state, "failed")) {
		why = json_string_value(json_object_get(state, "error"));
		status = cli_fail(EXIT_STATUS_IO, "the store could not be read whole: %s",
				  why != NULL ? why : "it failed");
		json_decref(state);
		return status;
	}
	*ret_state = state;
	return EXIT_SUCCESS;
}

int
cmd_verify(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "repair", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	bool is_repair = false, is_offline;
	struct offline_task task = { .to = NULL };
	json_t *state = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", options) != -1)
		is_repair = true;
	cli_arguments(cli, argc, argv, 0, 0);
	task.op = is_repair ? OFFLINE_REPAIR : OFFLINE_VERIFY;
	is_offline = offline_is_due(cli);
	if (is_offline)
		status = offline_run(cli, &task, verify_on_state, NULL, &state);
	else
		status = verify_online(cli, is_repair, &state);
	progress_clear();
	if (status != EXIT_SUCCESS)
		return status;
	if (cli->is_json) {
		output_json(state);
	} else {
		char *where = is_offline ? offline_store_path(cli) : NULL;

		verify_print(state, where != NULL ? where : "of the running node",
			     is_repair);
		free(where);
	}
	if (!json_is_true(json_object_get(state, "is_sound")))
		status = EXIT_FAILURE;
	json_decref(state);
	return status;
}
