/* SPDX-License-Identifier: Apache-2.0 */
/* A dump on its way into a table, whoever merges its rows: the running node (cmd-load.c) or
 * this process (offline-rows.c). Here are its lines, their numbers, and what became of each.
 *
 * Lines go in pages, so that memory is bounded whatever the file holds. A row whose owner's
 * node row is not known (yet) is put aside, into a file without a name, and tried again
 * behind the last line: the order of lines does not matter. */
#ifndef OCF_CLI_LOAD_H
#define OCF_CLI_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"

enum {
	LOAD_PAGE_LINES = 512,
	LOAD_PAGE_BYTES = 256 * 1024, /* or one line that is longer */
};

enum load_is {
	LOAD_TAKEN,
	LOAD_REFUSED,
	LOAD_UNKNOWN, /* its owner's node row is not held */
};

struct load_line {
	uint64_t number; /* the file's first line is 1 */
	size_t at, len;	 /* in the page's text, without the line's end */
	enum load_is is;
	char *why; /* owned; NULL for one that was taken */
};

struct load_page {
	struct buf text; /* the lines, each with its end */
	int len;
	struct load_line lines[LOAD_PAGE_LINES];
	/* Of those that were taken. */
	uint64_t new, unchanged, ended;
};

struct load {
	const char *name; /* of the file, for sentences */
	FILE *in;
	bool is_strict; /* stop at the first line that is refused */
	struct id cluster;
	/* Merge the lines in their order and say what became of each; all of them are
	 * LOAD_TAKEN before. When `is_strict`, none behind one that is refused is merged.
	 * Returns 0, or a negative code: with the reason, or without one if it was said
	 * already. */
	int (*apply)(void *arg, struct load_page *page, struct errmsg *err);
	/* A line was not taken, and will not be. */
	void (*tell)(void *arg, uint64_t number, const char *why);
	/* So many rows were read, of so many that the dump says it has. */
	void (*show)(void *arg, uint64_t read, uint64_t total);
	void *arg;

	/* What became of it. */
	uint64_t read, new, unchanged, ended, refused, aside;
	bool is_whole; /* the last line was there, and told the right number */
	bool is_stopped;
};

/* 0 when the file was read to its end, whatever became of its lines; or a negative code:
 * -OCF_EMALFORMED, -OCF_EVERSION, -OCF_EFOREIGN: not a dump for this table; -EIO and others.
 * A reason is missing only where apply() gave none. */
int load_run(struct load *load, struct errmsg *err);
/* What became of it: {"read","new","unchanged","ended","refused","aside","is_whole",
 * "is_stopped"} */
json_t *load_json(const struct load *load);

#endif
