/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/outbox.h"

#include <assert.h>

enum {
	OUTBOX_KEPT_BYTES = 256 * 1024, /* memory of an empty queue */
	OUTBOX_LOADED_BYTES = 8 * 1024 * 1024,
};

/* In bytes. */
static const size_t outbox_caps[OUTBOX_QUEUES] = {
	/* What a leaf is told of all nodes when it is greeted has half of it. */
	[OUTBOX_CONTROL] = 512 * 1024,
	[OUTBOX_ROWS] = 8 * 1024 * 1024,
	[OUTBOX_ANNOUNCE] = 256 * 1024,
	/* Windows of parts bound each query to about 1 MiB each way. */
	[OUTBOX_QUERY] = 64 * 1024 * 1024,
	/* Windows of messages bound a session to about 3 MiB. */
	[OUTBOX_SYNC] = 16 * 1024 * 1024,
	/* MESH_RELAYS_MAX of them, with a window each, above what those left that ended. */
	[OUTBOX_RELAY] = 32 * 1024 * 1024 + OUTBOX_LOADED_BYTES,
};

static enum outbox_queue outbox_queue_of(enum wire_class class)
{
	switch (class) {
	case WIRE_CLASS_ROWS:
		return OUTBOX_ROWS;
	case WIRE_CLASS_ANNOUNCE:
		return OUTBOX_ANNOUNCE;
	case WIRE_CLASS_SYNC:
		return OUTBOX_SYNC;
	case WIRE_CLASS_QUERY:
		return OUTBOX_QUERY;
	case WIRE_CLASS_RELAY:
		return OUTBOX_RELAY;
	default:
		return OUTBOX_CONTROL;
	}
}

void
outbox_fini(struct outbox *box)
{
	for (int q = 0; q < OUTBOX_QUEUES; q++)
		buf_fini(&box->queues[q]);
}

bool
outbox_has(const struct outbox *box, enum outbox_queue q)
{
	return box->taken[q] < box->queues[q].len;
}

bool
outbox_is_loaded(const struct outbox *box)
{
	return box->queues[OUTBOX_RELAY].len - box->taken[OUTBOX_RELAY] >
	       OUTBOX_LOADED_BYTES;
}

/* Forget what was taken: when nothing else is left, with the memory that a crowd needed;
 * else when it is at least half of the queue, so that each byte is moved about once. */
static void
outbox_tidy(struct outbox *box, enum outbox_queue q)
{
	struct buf *queue = &box->queues[q];

	if (box->taken[q] < queue->len / 2 || box->taken[q] == 0)
		return;
	if (outbox_has(box, q))
		buf_drop(queue, box->taken[q]);
	else if (queue->cap > OUTBOX_KEPT_BYTES)
		buf_fini(queue);
	else
		buf_clear(queue);
	box->taken[q] = 0;
}

bool
outbox_put(struct outbox *box, enum wire_class class, struct bytes frames)
{
	enum outbox_queue q = outbox_queue_of(class);

	outbox_tidy(box, q);
	buf_put_bytes(&box->queues[q], frames);
	return box->queues[q].len - box->taken[q] <= outbox_caps[q];
}

/* Whose turn it is; OUTBOX_QUEUES: nobody's. */
static enum outbox_queue
outbox_next(struct outbox *box)
{
	enum outbox_queue q = OUTBOX_CONTROL;

	while (q < OUTBOX_QUEUES && !outbox_has(box, q))
		q++;
	if (q < OUTBOX_QUERY)
		return q;
	if (q == OUTBOX_RELAY || !outbox_has(box, OUTBOX_RELAY))
		box->own_lead = 0;
	else if (box->own_lead > 0)
		return OUTBOX_RELAY;
	if (!outbox_has(box, OUTBOX_QUERY) || !outbox_has(box, OUTBOX_SYNC))
		box->query_lead = 0;
	else if (box->query_lead > 0)
		q = OUTBOX_SYNC;
	return q;
}

bool
outbox_take(struct outbox *box, struct bytes *ret_frame)
{
	enum outbox_queue q = outbox_next(box);
	const uint8_t *frame;
	size_t len;

	for (int i = 0; i < OUTBOX_QUEUES; i++)
		outbox_tidy(box, (enum outbox_queue)i);
	if (q == OUTBOX_QUEUES)
		return false;
	frame = box->queues[q].data + box->taken[q];
	len = WIRE_HEADER_BYTES + (size_t)get_be16(frame);
	assert(box->taken[q] + len <= box->queues[q].len);
	box->taken[q] += len;
	if (q == OUTBOX_QUERY || q == OUTBOX_SYNC)
		box->query_lead += q == OUTBOX_QUERY ? (int64_t)len : -(int64_t)len;
	if (q >= OUTBOX_QUERY)
		box->own_lead += q != OUTBOX_RELAY ? (int64_t)len : -(int64_t)len;
	*ret_frame = bytes_of(frame, len);
	return true;
}
