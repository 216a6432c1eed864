/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the daemon as tables: columns are described once, libsmartcols does the rest.
 */
#ifndef OCF_CLI_OUTPUT_H
#define OCF_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "cli/command.h"

struct column {
	const char *heading;
	const char *member; /* of each element; may be "a.b", or "": all of it */
	/* Append the cell's text; `value` is the member's, NULL without one. */
	void (*format)(const json_t *value, struct buf *out);
	bool is_number;	 /* aligned to the right */
	bool may_be_cut; /* first when the terminal is too narrow */
};

/* Texts, numbers and booleans as they are ("-" for nothing), and the others. */
void output_plain(const json_t *value, struct buf *out);
void output_short_id(const json_t *value, struct buf *out); /* the first 8 digits */
void output_bytes(const json_t *value, struct buf *out);
void output_ms(const json_t *value, struct buf *out);
void output_elapsed(const json_t *value, struct buf *out); /* ms: "12 ms", "3.4 s" */
void output_seconds(const json_t *value, struct buf *out);
void output_list(const json_t *value, struct buf *out);	  /* "a, b" */
void output_length(const json_t *value, struct buf *out); /* of a list */

/* GET `path` and print the array as a table of `columns` (ended by a NULL heading), or as
 * it came with --json. `nothing` is said on standard error of an empty one. Returns an
 * exit status. */
int output_list_of(const struct cli *cli, const char *path, const struct column *columns,
		   const char *nothing);

/* Print such an array; returns an exit status. */
int output_table(const struct cli *cli, const json_t *array,
		 const struct column *columns);

/* "heading   text format text format…" of one object: each part is words, and then, unless
 * `path` is NULL, a member. Words of the form "one|many" are chosen by the number in front
 * of them. Ended by `before` NULL. */
struct output_part {
	const char *before;
	const char *path;
	void (*format)(const json_t *value, struct buf *out);
};
void output_line(const json_t *object, const char *heading,
		 const struct output_part *parts);
/* Print the object as it came from the daemon, on one line. */
void output_json(const json_t *json);
/* Make what a worker or a node wrote fit to be printed: control characters become '?'. */
void output_make_safe(struct buf *text);

/* The member "a.b" of an object, itself for ""; NULL when there is none. */
const json_t *output_member(const json_t *object, const char *path);

#endif
