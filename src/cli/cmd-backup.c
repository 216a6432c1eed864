/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/savefile.h"
#include "store/backup.h"

struct backing {
	struct cli *cli;
	bool has_keys;
	FILE *to;
	int64_t bytes;
};

static bool
backup_take(void *arg, struct bytes data)
{
	struct backing *b = arg;

	b->bytes += (int64_t)data.len;
	progress_show_bytes("copying", b->bytes);
	return fwrite(data.data, 1, data.len, b->to) == data.len;
}

static int
backup_online(struct backing *b)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	request.method = "POST";
	request.path = "/v1/admin/backup";
	request.is_admin = true;
	request.timeout_ms = CLIENT_WORK_MS;
	request.has_body = true;
	request.body = bytes_text(b->has_keys ? "{\"keys\":true}" : "{\"keys\":false}");
	request.sink = backup_take;
	request.sink_arg = b;
	request.sink_name = "writing the backup";
	client_add_header(&request, "Content-Type", "application/json");
	status = client_send(b->cli, &request, &reply);
	progress_clear();
	client_reply_fini(&reply);
	client_request_fini(&request);
	return status;
}

static void
backup_on_state(void *arg, const json_t *state)
{
	(void)arg;
	(void)state;
}

static int
backup_offline(struct backing *b)
{
	struct offline_task task = { .op = OFFLINE_BACKUP,
				     .to = b->to,
				     .has_keys = b->has_keys };
	json_t *json = NULL;
	int status = offline_run(b->cli, &task, backup_on_state, NULL, &json);

	b->bytes = (int64_t)json_integer_value(json_object_get(json, "bytes"));
	json_decref(json);
	return status;
}

static int
backup_write(void *arg, FILE *to)
{
	struct backing *b = arg;
	int status;

	b->to = to;
	status = offline_is_due(b->cli) ? backup_offline(b) : backup_online(b);
	if (status == EXIT_SUCCESS && fflush(to) != 0)
		status = cli_fail(EXIT_STATUS_IO, "writing the backup: %s",
				  error_text(-errno));
	return status;
}

/* An older backup gives way to a new one; nothing else does unless it is meant. */
static int
backup_check_file(const char *file, bool is_forced)
{
	struct stat st;
	int rc;

	if (stat(file, &st) != 0)
		return EXIT_SUCCESS; /* or writing says why not */
	if (S_ISDIR(st.st_mode))
		return cli_fail(EXIT_STATUS_IO, "%s is a folder, not a file", file);
	if (!S_ISREG(st.st_mode))
		return cli_fail(EXIT_STATUS_IO,
				"%s is no plain file, and a backup goes to one", file);
	rc = store_backup_look(file);
	if (rc == -EACCES)
		return cli_fail(EXIT_STATUS_PERMISSION, "%s: %s", file, error_text(rc));
	if (rc != 0 && st.st_size > 0 && !is_forced)
		return cli_fail(EXIT_FAILURE,
				"%s is there and is no backup: name another file, or put "
				"the backup in its place with --force",
				file);
	return EXIT_SUCCESS;
}

static void
backup_print(const struct backing *b, const char *file)
{
	json_t *json = json_pack("{s:s, s:I, s:b}", "file", file, "bytes",
				 (json_int_t)b->bytes, "keys", b->has_keys);
	struct buf size = BUF_INIT;

	if (b->cli->is_json) {
		if (json != NULL) /* a name that is no UTF-8 */
			output_json(json);
	} else {
		output_bytes(json_object_get(json, "bytes"), &size);
		printf("%s: %s%s\n", file, buf_text(&size),
		       b->has_keys ? ", with the node's keys: keep it as safe as them"
				   : ", without the node's keys");
		buf_fini(&size);
	}
	json_decref(json);
}

int
cmd_backup(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "no-keys", no_argument, NULL, 'k' },
		{ "force", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct backing b = { .cli = cli, .has_keys = true };
	bool is_forced = false;
	const char *file;
	int c, status;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1) {
		if (c == 'k')
			b.has_keys = false;
		else
			is_forced = true;
	}
	cli_arguments(cli, argc, argv, 1, 1);
	file = argv[optind];
	if (strcmp(file, "-") == 0)
		cli_usage_error(cli, "a backup goes to a file, not to standard output");
	status = backup_check_file(file, is_forced);
	if (status == EXIT_SUCCESS)
		status = savefile_write(file, 0600, backup_write, &b);
	if (status == EXIT_SUCCESS)
		backup_print(&b, file);
	return status;
}
