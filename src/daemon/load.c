/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/load: some lines of a dump are read and checked on the lane, merged as rows
 * from a link are, and handed on; the answer comes when they are durable. Whoever loads a
 * dump sends page after page: so at most a page of it is on its way to the disk. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/rows.h"
#include "daemon/work.h"
#include "ident/audit.h"
#include "table/dump.h"
#include "table/rows.h"

enum { LOAD_LINES_MAX = 1024 }; /* of a request: what is merged in one turn of the loop */

struct load_line {
	struct row_key key;
	struct row row;
	bool is_held; /* as it is: nothing to do */
	int rc;
	char *why; /* or NULL */
};

struct load {
	struct daemon *d;
	struct work *work; /* while it lands */
	struct buf body;
	struct audit audit;
	bool is_strict; /* nothing behind a line that is refused is merged */
	struct load_line *lines;
	int len;
	int new, unchanged, ended;
};

static int
load_open(struct daemon *d, const struct query_headers *params, struct bytes body,
	  void **ret_job, struct errmsg *err)
{
	struct load *load;
	int lines = 0;

	for (size_t i = 0; i < body.len; i++)
		lines += body.data[i] == '\n';
	if (lines > LOAD_LINES_MAX) {
		error_set(err, -EINVAL, "more than %d lines at once", LOAD_LINES_MAX);
		return 413;
	}
	load = mem_calloc(1, sizeof(*load));
	load->d = d;
	load->is_strict = query_headers_get(params, "strict") != NULL;
	buf_put_bytes(&load->body, body);
	/* One more may come without its end. */
	load->lines = mem_calloc((size_t)lines + 1, sizeof(load->lines[0]));
	*ret_job = load;
	return 200;
}

static void
load_close(void *job)
{
	struct load *load = job;

	for (int i = 0; i < load->len; i++) {
		row_fini(&load->lines[i].row);
		free(load->lines[i].why);
	}
	free(load->lines);
	checker_free(load->audit.checker);
	buf_fini(&load->body);
	free(load);
}

/* ---- the lane ---- */

static int
load_get(void *arg, const struct row_key *key, struct row *ret_row)
{
	const struct load *load = arg;

	return store_get(load->d->store, key, ret_row);
}

/* What is held was checked when it came. */
static bool
load_is_held(struct load *load, const struct row_key *key, const struct row *row)
{
	struct row held = ROW_INIT;
	bool is_held = store_get(load->d->store, key, &held) == 0 &&
		       row_equal(&held, row);

	row_fini(&held);
	return is_held;
}

static void
load_check(struct load *load, struct bytes text)
{
	const struct store_constants *constants = store_constants(load->d->store);
	struct load_line *line = &load->lines[load->len++];
	struct dump_line read = { .row = ROW_INIT };
	struct errmsg err = { "" };

	line->rc = dump_read_line(text, constants->rows_per_node, ident_sha256, &read,
				  &err);
	if (line->rc == 0 && read.is_end)
		line->rc = error_set(&err, -OCF_EMALFORMED, "it is no row");
	line->key = read.key;
	line->row = read.row;
	if (line->rc == 0)
		line->is_held = load_is_held(load, &line->key, &line->row);
	if (line->rc == 0 && !line->is_held) {
		line->rc = audit_check(&load->audit, &line->key, &line->row);
		audit_why(&line->key, line->rc, &err);
	}
	if (line->rc != 0)
		line->why = mem_strdup(err.text);
}

static int
load_step(void *job, struct buf *out, struct errmsg *err)
{
	struct load *load = job;
	struct bytes body = buf_bytes(&load->body);
	const struct store_constants *constants = store_constants(load->d->store);

	(void)out;
	(void)err;
	load->audit = (struct audit){
		.checker = checker_new(load->d->identity, table_node_cert),
		.rows_per_node = constants->rows_per_node,
		.get = load_get,
		.arg = load,
	};
	while (body.len > 0) {
		const uint8_t *end = memchr(body.data, '\n', body.len);
		size_t len = end != NULL ? (size_t)(end - body.data) : body.len;

		load_check(load, bytes_of(body.data, len));
		if (end != NULL)
			len++;
		body = bytes_of(body.data + len, body.len - len);
	}
	return 0;
}

/* ---- the loop ---- */

static json_t *
load_lines_json(const struct load *load)
{
	json_t *lines = json_array();

	for (int i = 0; i < load->len; i++) {
		const struct load_line *line = &load->lines[i];

		if (line->rc == 0)
			continue;
		json_array_append_new(
			lines,
			json_pack("{s:i, s:s, s:s}", "line", i + 1, "is",
				  line->rc == -OCF_EUNKNOWN ? "unknown" : "refused",
				  "why", line->why != NULL ? line->why : ""));
	}
	return lines;
}

static void
load_answer(struct load *load, struct buf *out)
{
	json_t *json = json_pack("{s:i, s:i, s:i, s:o}", "new", load->new, "unchanged",
				 load->unchanged, "ended", load->ended, "lines",
				 load_lines_json(load));
	char *text = json_dumps(json, JSON_COMPACT);

	buf_put_text(out, text != NULL ? text : "{}");
	buf_put_u8(out, '\n');
	free(text);
	json_decref(json);
}

static void
load_on_durable(void *arg, int rc)
{
	struct load *load = arg;
	char why[128];

	snprintf(why, sizeof(why), "the rows cannot be written to the disk: %s",
		 error_text(rc));
	work_landed(load->work, rc, why);
}

static void
load_merge(struct load *load, struct load_line *line, struct buf *changed)
{
	enum rows_import_end end = ROWS_IMPORT_UNCHANGED;
	struct errmsg why = { "" };

	if (!line->is_held)
		line->rc = rows_import(load->d->rows, &line->key, &line->row, changed,
				       &end);
	if (line->rc == -OCF_EUNKNOWN)
		audit_why(&line->key, line->rc, &why);
	else if (line->rc != 0)
		error_set(&why, line->rc, "it could not be merged: %s",
			  error_text(line->rc));
	if (line->rc != 0) {
		line->why = mem_strdup(why.text);
		return;
	}
	load->new += end == ROWS_IMPORT_NEW;
	load->unchanged += end == ROWS_IMPORT_UNCHANGED;
	load->ended += end == ROWS_IMPORT_ENDED;
}

static bool
load_land(void *job, struct work *w, struct buf *out)
{
	struct load *load = job;
	struct buf changed = BUF_INIT;
	bool is_over = false;

	load->work = w;
	for (int i = 0; i < load->len && !is_over; i++) {
		struct load_line *line = &load->lines[i];

		if (line->rc == 0)
			load_merge(load, line, &changed);
		is_over = load->is_strict && line->rc != 0 && line->rc != -OCF_EUNKNOWN;
	}
	rows_import_end(load->d->rows, buf_bytes(&changed));
	buf_fini(&changed);
	load_answer(load, out);
	if (load->new == 0)
		return true;
	rows_when_durable(load->d->rows, load_on_durable, load);
	return false;
}

const struct work_type work_load = {
	.name = "load",
	.content_type = "application/json",
	.open = load_open,
	.step = load_step,
	.land = load_land,
	.close = load_close,
};
