/* SPDX-License-Identifier: Apache-2.0 */
/* Rows out of and into the store of a node that does not run. What the daemon's dump.c,
 * load.c and backup.c do for one that runs. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/load.h"
#include "cli/offline-store.h"
#include "store/backup.h"
#include "table/dump.h"
#include "table/rows.h"

enum {
	OFFLINE_PAGE_ROWS = 1024,
	OFFLINE_PAGE_BYTES = 256 * 1024,
};

/* ---- out ---- */

static uint64_t
offline_horizon(struct store *store)
{
	struct buf text = BUF_INIT;
	uint64_t horizon = 0;

	if (store_meta_get(store, "horizon", &text) == 0)
		horizon = strtoull(buf_text(&text), NULL, 10) & ROW_STAMP_MAX;
	buf_fini(&text);
	return horizon;
}

static int
offline_dump_pass(struct offline *o, struct dump_pass *pass, struct errmsg *err)
{
	uint8_t from[STORE_K_BYTES] = { 0 }, next[STORE_K_BYTES];
	bool has_more = true;

	while (has_more) {
		int rc = store_page(o->store, from, OFFLINE_PAGE_ROWS, OFFLINE_PAGE_BYTES,
				    dump_on_row, pass, next, &has_more);

		if (rc != 0)
			return error_set(err, rc,
					 "the store in %s/store cannot be read: %s",
					 o->places->data, error_text(rc));
		if (fwrite(pass->out->data, 1, pass->out->len, o->task->to) !=
		    pass->out->len)
			return error_set(err, -errno, "writing the dump: %s",
					 error_text(-errno));
		buf_clear(pass->out);
		memcpy(from, next, sizeof(from));
		offline_show(o, pass->rows, o->total);
	}
	return 0;
}

int
offline_dump(struct offline *o, json_t **ret_json, struct errmsg *err)
{
	struct store_digest root = store_root(o->store);
	struct dump_head head = {
		.cluster = store_constants(o->store)->cluster,
		.horizon_ms = offline_horizon(o->store),
		.rows = root.count,
		.root = root.sum,
	};
	struct buf out = BUF_INIT;
	struct dump_pass pass = { .out = &out };
	int rc;

	o->total = root.count;
	dump_put_head(&head, clock_wall_ms(), &out);
	rc = offline_dump_pass(o, &pass, err);
	pass.is_second = true;
	if (rc == 0)
		rc = offline_dump_pass(o, &pass, err);
	dump_put_end(pass.rows, root.sum, &out);
	if (rc == 0 && (fwrite(out.data, 1, out.len, o->task->to) != out.len ||
			fflush(o->task->to) != 0))
		rc = error_set(err, -errno, "writing the dump: %s", error_text(-errno));
	buf_fini(&out);
	if (rc == 0)
		*ret_json = offline_root_json(o);
	return rc;
}

int
offline_backup(struct offline *o, json_t **ret_json, struct errmsg *err)
{
	struct store_blob blobs[IDENTITY_FILES];
	struct identity_files files;
	struct stat st = { .st_size = 0 };
	int fd = fileno(o->task->to), rc, n = 0;

	identity_to_files(o->identity, o->task->has_keys, &files);
	for (int i = 0; i < IDENTITY_FILES; i++) {
		if (files.file[i].len > 0)
			blobs[n++] = store_blob_of(identity_file_names[i],
						   buf_bytes(&files.file[i]));
	}
	rc = store_backup_to(o->store, fd, blobs, n, err);
	identity_files_fini(&files);
	if (rc == 0 && fstat(fd, &st) == 0)
		*ret_json = json_pack("{s:I}", "bytes", (json_int_t)st.st_size);
	return rc;
}

/* ---- in ---- */

static void
offline_on_line(void *arg, uint64_t number, const char *why)
{
	struct offline *o = arg;

	offline_write(o, json_pack("{s:s, s:I, s:s}", "state", "running", "line",
				   (json_int_t)number, "why", why));
}

static void
offline_on_read(void *arg, uint64_t read, uint64_t total)
{
	offline_show(arg, read, total);
}

/* What is held was checked when it came. */
static bool
offline_is_held(struct offline *o, const struct dump_line *line)
{
	struct row held = ROW_INIT;
	bool is_held = store_get(o->store, &line->key, &held) == 0 &&
		       row_equal(&held, &line->row);

	row_fini(&held);
	return is_held;
}

static int
offline_merge(struct offline *o, const struct dump_line *line, struct load_page *page,
	      struct errmsg *err)
{
	bool has_changed = false;
	int rc;

	if (offline_is_held(o, line)) {
		page->unchanged++;
		return 0;
	}
	rc = audit_check(&o->audit, &line->key, &line->row);
	if (rc != 0) {
		audit_why(&line->key, rc, err);
		return rc;
	}
	rc = store_merge(o->store, &line->key, &line->row, &has_changed, NULL);
	if (rc != 0)
		return error_set(err, rc, "it could not be merged: %s", error_text(rc));
	page->new += has_changed;
	page->unchanged += !has_changed;
	return 0;
}

static int
offline_apply_line(struct offline *o, struct load_page *page, struct load_line *line)
{
	struct dump_line read = { .row = ROW_INIT };
	struct errmsg why = { "" };
	int rc = dump_read_line(bytes_of(page->text.data + line->at, line->len),
				o->audit.rows_per_node, ident_sha256, &read, &why);

	if (rc == 0 && read.is_end)
		rc = error_set(&why, -OCF_EMALFORMED, "it is no row");
	if (rc == 0)
		rc = offline_merge(o, &read, page, &why);
	row_fini(&read.row);
	if (rc != 0) {
		line->is = rc == -OCF_EUNKNOWN ? LOAD_UNKNOWN : LOAD_REFUSED;
		line->why = mem_strdup(why.text);
	}
	return rc;
}

/* A page is on the disk before the next is read. */
static int
offline_apply(void *arg, struct load_page *page, struct errmsg *err)
{
	struct offline *o = arg;
	int rc;

	for (int i = 0; i < page->len; i++) {
		offline_apply_line(o, page, &page->lines[i]);
		if (o->task->load->is_strict && page->lines[i].is == LOAD_REFUSED)
			break;
	}
	rc = page->new > 0 ? offline_wait_durable(o->store) : 0;
	if (rc != 0)
		return error_set(err, rc, "the store in %s/store cannot be written: %s",
				 o->places->data, error_text(rc));
	return 0;
}

int
offline_load(struct offline *o, json_t **ret_json, struct errmsg *err)
{
	struct load load = *o->task->load;
	int rc = offline_reopen(o, false, err);

	if (rc != 0)
		return rc;
	o->checker = checker_new(o->identity, table_node_cert);
	o->audit = (struct audit){
		.checker = o->checker,
		.rows_per_node = store_constants(o->store)->rows_per_node,
		.get = offline_get,
		.arg = o,
	};
	load.cluster = store_constants(o->store)->cluster;
	load.apply = offline_apply;
	load.tell = offline_on_line;
	load.show = offline_on_read;
	load.arg = o;
	rc = load_run(&load, err);
	o->is_input_wrong = rc == -OCF_EMALFORMED || rc == -OCF_EVERSION ||
			    rc == -OCF_EFOREIGN;
	if (rc == 0)
		*ret_json = load_json(&load);
	return rc;
}
