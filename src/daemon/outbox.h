/* SPDX-License-Identifier: Apache-2.0 */
/* What waits to be sent over a link: a queue of frames for each class of urgency. What is
 * in a stream's own buffer cannot be overtaken any more, so little is put there at a
 * time, and the rest waits here. A peer that takes nothing while a queue is at its cap loses
 * what would have gone into it, if that can be found again by other means (rows,
 * announcements), or else the link; never memory of ours.
 *
 * Of rows with the same key the latest state says all, so that it takes the place of one that
 * waits. But a REFRESH has no value: it stands behind the row whose value it goes on with. */
#ifndef OCF_DAEMON_OUTBOX_H
#define OCF_DAEMON_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "mesh/wire.h"

/* Most urgent first: control > rows > announcements > bulk. Bulk is the last three, which
 * share what is left: what is passed on for others has half of it at most, and of the rest
 * queries and comparisons half each, while others want it. */
enum outbox_queue {
	OUTBOX_CONTROL,
	OUTBOX_ROWS,
	OUTBOX_ANNOUNCE,
	OUTBOX_QUERY,
	OUTBOX_SYNC,
	OUTBOX_RELAY,
	OUTBOX_QUEUES
};

enum outbox_end {
	OUTBOX_TAKEN,
	OUTBOX_DROPPED, /* the queue was full, and does without */
	OUTBOX_FULL,	/* it is over its cap now, and nothing may be left out */
};

struct outbox_row;

/* Zeroed is empty. Each queue but that of rows holds whole frames one after another. */
struct outbox {
	struct buf queues[OUTBOX_QUEUES];
	size_t taken
		[OUTBOX_QUEUES]; /* bytes at the front of a queue that are out already */
	struct outbox_row *rows, *rows_by_key; /* a list (utlist.h); uthash */
	struct outbox_row *row_out;	       /* whose last frame was returned */
	size_t rows_bytes;
	int64_t query_lead; /* bytes by which queries are ahead of comparisons */
	int64_t own_lead;   /* and both of what is passed on */
};

void outbox_fini(struct outbox *box);
/* Whole frames; with a `key` other than 0 they are one row. */
enum outbox_end outbox_put(struct outbox *box, enum wire_class class, uint64_t key,
			   struct bytes frames);
/* The frame whose turn it is and its class, valid until the next call; false when there is
 * none. */
bool outbox_take(struct outbox *box, struct bytes *ret_frame, enum wire_class *ret_class);
bool outbox_has(const struct outbox *box, enum outbox_queue queue);
/* So much waits that was passed on for others that nothing more should be taken on. */
bool outbox_is_loaded(const struct outbox *box);

#endif
