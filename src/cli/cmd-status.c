/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/output.h"

/* The text of one member; free it with buf_fini. */
static struct buf
status_cell(const json_t *status, const char *path,
	    void (*format)(const json_t *value, struct buf *out))
{
	struct buf cell = BUF_INIT;

	format(output_member(status, path), &cell);
	/* What a worker or a node wrote must not draw on the terminal. */
	for (size_t i = 0; i < cell.len; i++) {
		if (cell.data[i] < 0x20 || cell.data[i] == 0x7f)
			cell.data[i] = '?';
	}
	buf_text(&cell);
	return cell;
}

/* "heading   format", where each %s is the next member; ended by a NULL path. */
struct status_member {
	const char *before;
	const char *path;
	void (*format)(const json_t *value, struct buf *out);
};

static void
status_line(const json_t *status, const char *heading,
	    const struct status_member *members)
{
	printf("%-8s", heading);
	for (; members->before != NULL; members++) {
		struct buf cell = BUF_INIT;

		fputs(members->before, stdout);
		if (members->path == NULL)
			continue;
		cell = status_cell(status, members->path, members->format);
		fputs(buf_text(&cell), stdout);
		buf_fini(&cell);
	}
	putchar('\n');
}

static void
status_print(const json_t *s)
{
	static const struct status_member node[] = {
		{ "", "node.name", output_plain },
		{ " (", "node.id", output_plain },
		{ "), ocfd ", "node.version", output_plain },
		{ ", up ", "node.uptime_s", output_seconds },
		{ NULL, NULL, NULL },
	};
	static const struct status_member cluster[] = {
		{ "", "cluster.nodes", output_plain },
		{ " nodes, ", "cluster.alive", output_plain },
		{ " alive (cluster ", "cluster.id", output_plain },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct status_member table[] = {
		{ "", "table.rows", output_plain },
		{ " rows: ", "table.workers", output_plain },
		{ " workers, ", "table.services", output_plain },
		{ " services (root ", "table.root", output_plain },
		{ ")", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct status_member bus[] = {
		{ "", "bus.state", output_plain },
		{ ", ", "bus.url", output_plain },
		{ NULL, NULL, NULL },
	};
	static const struct status_member sync[] = {
		{ "last equal ", "sync.last_ok_s", output_seconds },
		{ " ago, ", "sync.repairs", output_plain },
		{ " repairs", NULL, NULL },
		{ NULL, NULL, NULL },
	};
	static const struct status_member queue[] = {
		{ "", "queue.queued", output_plain },
		{ " waiting, ", "queue.running", output_plain },
		{ " running", NULL, NULL },
		{ NULL, NULL, NULL },
	};

	status_line(s, "node", node);
	status_line(s, "cluster", cluster);
	status_line(s, "table", table);
	status_line(s, "bus", bus);
	if (json_is_number(output_member(s, "sync.last_ok_s")))
		status_line(s, "sync", sync);
	status_line(s, "queries", queue);
}

int
cmd_status(struct cli *cli, int argc, char **argv)
{
	struct buf text = BUF_INIT;
	json_t *json = NULL;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	status = client_get_json(cli, "/v1/status", &json, &text);
	if (status == EXIT_SUCCESS && cli->is_json) {
		fwrite(text.data, 1, text.len, stdout);
		if (text.len > 0 && text.data[text.len - 1] != '\n')
			putchar('\n');
	} else if (status == EXIT_SUCCESS) {
		status_print(json);
	}
	json_decref(json);
	buf_fini(&text);
	return status;
}
