/* SPDX-License-Identifier: Apache-2.0 */
/* Rows put aside: the node row of their owner is not held, so that nobody can say yet
 * whether the owner signed them or whether its lease goes on. They wait here, in the order
 * in which they came, until it comes; the oldest give way, first those of the same link, so
 * that one which sends rows of owners who never come takes little from others.
 *
 * Belongs to the loop's thread. */
#ifndef OCF_DAEMON_ASIDE_H
#define OCF_DAEMON_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "crdt/row.h"

struct aside;

enum {
	ASIDE_ROWS_MAX = 1024,
	ASIDE_LINK_ROWS_MAX = 256,
	ASIDE_BYTES_MAX = 16 * 1024 * 1024, /* encoded */
	/* A node row that was asked for and did not come is asked for again, when a further
	 * row of its owner comes. */
	ASIDE_ASK_MS = 10 * MS_SECOND,
};

struct aside_row {
	uint64_t link;
	struct row_key key;
	struct row row;
	size_t bytes;
	bool is_joining; /* see rows_deliver() */
};

struct aside *aside_new(void);
void aside_free(struct aside *a); /* NULL is allowed */
/* Takes the row over, which came from `link` and is `bytes` long. True: its owner's node row
 * is to be asked for there, which was not done lately. `now_ms` is monotonic. */
bool aside_put(struct aside *a, struct aside_row *row, ms_t now_ms);
/* The next of the owner's rows, the oldest first, which is the caller's then; false: none is
 * left. */
bool aside_take(struct aside *a, const struct id *owner, struct aside_row *ret_row);
int aside_len(const struct aside *a);

#endif
