/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/dump: the table as lines of JSON (table/dump.h), a page at a time, each of
 * one moment. Rows that change meanwhile are in it in one of their states; merging is what
 * a dump is for, and takes any. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/work.h"
#include "table/dump.h"

enum { DUMP_PAGE_ROWS = 1024 };

struct dump {
	struct daemon *d;
	uint64_t horizon;
	struct dump_pass pass;
	uint8_t from[STORE_K_BYTES];
	bool is_begun;
	bool is_over; /* but for the last line */
};

static int
dump_open(struct daemon *d, const struct query_headers *params, struct bytes body,
	  void **ret_job, struct errmsg *err)
{
	struct dump *dump;

	if (body.len > 0 && !bytes_equal_text(body, "{}")) {
		error_set(err, -EINVAL, "a dump is of the whole table: send no body");
		return 400;
	}
	(void)params;
	dump = mem_calloc(1, sizeof(*dump));
	dump->d = d;
	dump->horizon = rows_horizon(d->rows);
	*ret_job = dump;
	return 200;
}

static void
dump_head(struct dump *dump, struct buf *out)
{
	const struct store_constants *constants = store_constants(dump->d->store);
	struct store_digest root = store_root(dump->d->store);
	struct dump_head head = {
		.cluster = constants->cluster,
		.horizon_ms = dump->horizon,
		.rows = root.count,
		.root = root.sum,
	};

	dump_put_head(&head, clock_wall_ms(), out);
	dump->is_begun = true;
}

static int
dump_step(void *job, struct buf *out, struct errmsg *err)
{
	struct dump *dump = job;
	uint8_t next[STORE_K_BYTES] = { 0 };
	bool has_more = false;
	int rc;

	if (dump->is_over) {
		dump_put_end(dump->pass.rows, store_root(dump->d->store).sum, out);
		return 0;
	}
	if (!dump->is_begun)
		dump_head(dump, out);
	dump->pass.out = out;
	rc = store_page(dump->d->store, dump->from, DUMP_PAGE_ROWS, WORK_PIECE_BYTES,
			dump_on_row, &dump->pass, next, &has_more);
	if (rc != 0)
		return error_set(err, rc, "the table cannot be read: %s", error_text(rc));
	memcpy(dump->from, next, sizeof(next));
	if (!has_more) {
		memset(dump->from, 0, sizeof(dump->from));
		dump->is_over = dump->pass.is_second;
		dump->pass.is_second = true;
	}
	return 1;
}

static void
dump_close(void *job)
{
	free(job);
}

const struct work_type work_dump = {
	.name = "dump",
	.content_type = "application/jsonl",
	.open = dump_open,
	.step = dump_step,
	.close = dump_close,
};
