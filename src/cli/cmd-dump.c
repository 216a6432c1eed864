/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/savefile.h"
#include "table/dump.h"

enum { DUMP_TAIL_BYTES = 512 }; /* the last line is shorter */

struct dump {
	struct cli *cli;
	FILE *to;
	bool is_shown; /* how far it is, on the terminal */
	uint64_t rows, total;
	char tail[DUMP_TAIL_BYTES]; /* the end of what came */
	size_t tail_len;
	json_t *result; /* {"rows","root"} */
};

/* ---- from the running node ---- */

static void
dump_keep_tail(struct dump *d, struct bytes data)
{
	size_t keep;

	if (data.len > sizeof(d->tail))
		data = bytes_of(data.data + data.len - sizeof(d->tail), sizeof(d->tail));
	keep = sizeof(d->tail) - data.len;
	if (keep > d->tail_len)
		keep = d->tail_len;
	memmove(d->tail, d->tail + d->tail_len - keep, keep);
	memcpy(d->tail + keep, data.data, data.len);
	d->tail_len = keep + data.len;
}

static bool
dump_take(void *arg, struct bytes data)
{
	struct dump *d = arg;
	struct dump_head head;

	if (data.len == 0)
		return true;
	if (d->rows == 0) {
		const uint8_t *end = memchr(data.data, '\n', data.len);
		size_t len = end != NULL ? (size_t)(end - data.data) : data.len;

		if (dump_read_head(bytes_of(data.data, len), &head, NULL) == 0)
			d->total = head.rows;
	}
	for (size_t i = 0; i < data.len; i++)
		d->rows += data.data[i] == '\n';
	dump_keep_tail(d, data);
	if (d->is_shown)
		/* The first line and the last are no rows. */
		progress_show("dumping",
			      (int64_t)(d->rows > d->total ? d->total : d->rows),
			      (int64_t)d->total);
	return fwrite(data.data, 1, data.len, d->to) == data.len;
}

/* What came must end with the line that says so. */
static int
dump_check_end(struct dump *d)
{
	size_t at = d->tail_len > 0 ? d->tail_len - 1 : 0;
	struct dump_line line = { .is_end = false };
	char root[33];

	while (at > 0 && d->tail[at - 1] != '\n')
		at--;
	if (dump_read_line(bytes_of(d->tail + at, d->tail_len - at), UINT32_MAX, NULL,
			   &line, NULL) != 0 ||
	    !line.is_end)
		return cli_fail(EXIT_FAILURE,
				"the dump is not whole: it broke off after "
				"%lld lines",
				(long long)d->rows);
	snprintf(root, sizeof(root), "%016llx%016llx", (unsigned long long)line.root.hi,
		 (unsigned long long)line.root.lo);
	d->result = json_pack("{s:I, s:s}", "rows", (json_int_t)line.rows, "root", root);
	return EXIT_SUCCESS;
}

static int
dump_online(struct dump *d, FILE *to)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	d->to = to;
	request.method = "POST";
	request.path = "/v1/admin/dump";
	request.is_admin = true;
	request.timeout_ms = CLIENT_WORK_MS;
	request.sink = dump_take;
	request.sink_arg = d;
	request.sink_name = "writing the dump";
	status = client_send(d->cli, &request, &reply);
	progress_clear();
	if (status == EXIT_SUCCESS && fflush(to) != 0)
		status = cli_fail(EXIT_STATUS_IO, "writing the dump: %s",
				  error_text(-errno));
	if (status == EXIT_SUCCESS)
		status = dump_check_end(d);
	client_reply_fini(&reply);
	client_request_fini(&request);
	return status;
}

/* ---- from its store ---- */

static void
dump_on_state(void *arg, const json_t *state)
{
	struct dump *d = arg;

	if (d->is_shown)
		progress_show(
			"dumping",
			(int64_t)json_integer_value(json_object_get(state, "rows")),
			(int64_t)json_integer_value(json_object_get(state, "total")));
}

static int
dump_offline(struct dump *d, FILE *to)
{
	struct offline_task task = { .op = OFFLINE_DUMP, .to = to };
	int status = offline_run(d->cli, &task, dump_on_state, d, &d->result);

	progress_clear();
	return status;
}

static int
dump_write(void *arg, FILE *to)
{
	struct dump *d = arg;

	return offline_is_due(d->cli) ? dump_offline(d, to) : dump_online(d, to);
}

static void
dump_print(const struct dump *d, const char *file)
{
	if (d->cli->is_json)
		output_json(d->result);
	else
		printf("%s: %lld rows, root %s\n", file,
		       (long long)json_integer_value(json_object_get(d->result, "rows")),
		       json_string_value(json_object_get(d->result, "root")));
}

int
cmd_dump(struct cli *cli, int argc, char **argv)
{
	struct dump d = { .cli = cli };
	const char *file = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	if (cli_arguments(cli, argc, argv, 0, 1) == 1)
		file = argv[optind];
	if (file != NULL && strcmp(file, "-") == 0)
		file = NULL;
	if (file == NULL && cli->is_json)
		cli_usage_error(cli, "a dump is JSON as it is; --json tells about one "
				     "that goes to a file");
	d.is_shown = file != NULL || !isatty(STDOUT_FILENO);
	status = savefile_write(file, savefile_mode(), dump_write, &d);
	if (status == EXIT_SUCCESS && file != NULL)
		dump_print(&d, file);
	json_decref(d.result);
	return status;
}
