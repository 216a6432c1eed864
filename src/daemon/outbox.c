/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/mem.h"

enum {
	OUTBOX_KEPT_BYTES = 256 * 1024, /* memory of an empty queue */
	OUTBOX_LOADED_BYTES = 8 * 1024 * 1024,
};

/* In bytes. */
static const size_t outbox_caps[OUTBOX_QUEUES] = {
	/* What a leaf is told of all nodes when it is greeted has half of it. */
	[OUTBOX_CONTROL] = 512 * 1024,
	/* Above what a link that comes up is told. */
	[OUTBOX_ROWS] = 4 * 1024 * 1024,
	[OUTBOX_ANNOUNCE] = 64 * 1024,
	/* Windows of parts bound each query to about 1 MiB each way. */
	[OUTBOX_QUERY] = 64 * 1024 * 1024,
	/* Windows of messages bound a session to about 3 MiB. */
	[OUTBOX_SYNC] = 16 * 1024 * 1024,
	/* MESH_RELAYS_MAX of them, with a window each, above what those left that ended. */
	[OUTBOX_RELAY] = 32 * 1024 * 1024 + OUTBOX_LOADED_BYTES,
};

struct outbox_row {
	struct outbox_row *prev, *next;
	UT_hash_handle hh;
	uint64_t key; /* its lowest bit says whether it is a REFRESH; 0: it has none */
	size_t len, taken;
	uint8_t frames[];
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

/* ---- rows ---- */

static size_t
row_bytes(const struct outbox_row *row)
{
	return sizeof(*row) + row->len;
}

/* It is replaced by no other any more. */
static void
row_unname(struct outbox *box, struct outbox_row *row)
{
	if (row->key != 0)
		HASH_DEL(box->rows_by_key, row);
	row->key = 0;
}

static void
row_free(struct outbox *box, struct outbox_row *row)
{
	row_unname(box, row);
	box->rows_bytes -= row_bytes(row);
	DL_DELETE(box->rows, row);
	free(row);
}

static struct outbox_row *
row_find(const struct outbox *box, uint64_t key)
{
	struct outbox_row *row;

	HASH_FIND(hh, box->rows_by_key, &key, sizeof(key), row);
	return row;
}

static enum outbox_end
row_put(struct outbox *box, uint64_t key, struct bytes frames)
{
	bool is_refresh = frames.data[2] == WIRE_REFRESH;
	struct outbox_row *row, *same = NULL, *refresh = NULL;
	size_t gone;

	if (key != 0) {
		key = is_refresh ? key | 1 : key & ~UINT64_C(1);
		same = row_find(box, key);
		refresh = is_refresh ? NULL : row_find(box, key | 1);
	}
	gone = same != NULL ? row_bytes(same) : 0;
	if (box->rows_bytes - gone + sizeof(*row) + frames.len > outbox_caps[OUTBOX_ROWS])
		return OUTBOX_DROPPED;
	row = mem_alloc(sizeof(*row) + frames.len);
	*row = (struct outbox_row){ .len = frames.len };
	memcpy(row->frames, frames.data, frames.len);
	box->rows_bytes += row_bytes(row);
	DL_APPEND(box->rows, row);
	if (same != NULL) {
		DL_DELETE(box->rows, row);
		DL_PREPEND_ELEM(box->rows, same, row);
		row_free(box, same);
	}
	if (refresh != NULL)
		row_free(box, refresh);
	row->key = key;
	if (key != 0)
		HASH_ADD(hh, box->rows_by_key, key, sizeof(row->key), row);
	return OUTBOX_TAKEN;
}

/* The next frame, and its row's memory for as long as it is used. */
static struct bytes
row_take(struct outbox *box)
{
	struct outbox_row *row = box->rows;
	const uint8_t *frame = row->frames + row->taken;
	size_t len = WIRE_HEADER_BYTES + (size_t)get_be16(frame);

	assert(row->taken + len <= row->len);
	row_unname(box, row);
	row->taken += len;
	if (row->taken == row->len) {
		box->rows_bytes -= row_bytes(row);
		DL_DELETE(box->rows, row);
		box->row_out = row;
	}
	return bytes_of(frame, len);
}

/* ---- all queues ---- */

void
outbox_fini(struct outbox *box)
{
	for (int q = 0; q < OUTBOX_QUEUES; q++)
		buf_fini(&box->queues[q]);
	while (box->rows != NULL)
		row_free(box, box->rows);
	free(box->row_out);
	box->row_out = NULL;
}

bool
outbox_has(const struct outbox *box, enum outbox_queue q)
{
	if (q == OUTBOX_ROWS)
		return box->rows != NULL;
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

enum outbox_end
outbox_put(struct outbox *box, enum wire_class class, uint64_t key, struct bytes frames)
{
	enum outbox_queue q = outbox_queue_of(class);

	assert(frames.len >= WIRE_HEADER_BYTES);
	if (q == OUTBOX_ROWS)
		return row_put(box, key, frames);
	outbox_tidy(box, q);
	if (q == OUTBOX_ANNOUNCE &&
	    box->queues[q].len - box->taken[q] + frames.len > outbox_caps[q])
		return OUTBOX_DROPPED;
	buf_put_bytes(&box->queues[q], frames);
	return box->queues[q].len - box->taken[q] <= outbox_caps[q] ? OUTBOX_TAKEN
								    : OUTBOX_FULL;
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

static enum wire_class
outbox_class_of(enum outbox_queue q, struct bytes frame)
{
	static const enum wire_class classes[OUTBOX_QUEUES] = {
		[OUTBOX_ROWS] = WIRE_CLASS_ROWS,
		[OUTBOX_ANNOUNCE] = WIRE_CLASS_ANNOUNCE,
		[OUTBOX_QUERY] = WIRE_CLASS_QUERY,
		[OUTBOX_SYNC] = WIRE_CLASS_SYNC,
		[OUTBOX_RELAY] = WIRE_CLASS_RELAY,
	};

	return q == OUTBOX_CONTROL ? wire_class_of(frame.data[2]) : classes[q];
}

static struct bytes
outbox_take_from(struct outbox *box, enum outbox_queue q)
{
	const uint8_t *frame = box->queues[q].data + box->taken[q];
	size_t len = WIRE_HEADER_BYTES + (size_t)get_be16(frame);

	assert(box->taken[q] + len <= box->queues[q].len);
	box->taken[q] += len;
	if (q == OUTBOX_QUERY || q == OUTBOX_SYNC)
		box->query_lead += q == OUTBOX_QUERY ? (int64_t)len : -(int64_t)len;
	if (q >= OUTBOX_QUERY)
		box->own_lead += q != OUTBOX_RELAY ? (int64_t)len : -(int64_t)len;
	return bytes_of(frame, len);
}

bool
outbox_take(struct outbox *box, struct bytes *ret_frame, enum wire_class *ret_class)
{
	enum outbox_queue q = outbox_next(box);

	free(box->row_out);
	box->row_out = NULL;
	for (int i = 0; i < OUTBOX_QUEUES; i++)
		outbox_tidy(box, (enum outbox_queue)i);
	if (q == OUTBOX_QUEUES)
		return false;
	*ret_frame = q == OUTBOX_ROWS ? row_take(box) : outbox_take_from(box, q);
	*ret_class = outbox_class_of(q, *ret_frame);
	return true;
}
