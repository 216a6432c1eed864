/* SPDX-License-Identifier: Apache-2.0 */
/* Two cores with tables, and whatever an input makes of what passes between them: frames
 * that are changed, dropped, repeated or made up, for either role, links that end, reads
 * that fail or wait, horizons that rise or are not believed, requests that are cancelled,
 * time that passes. Whatever happens, every session that was asked for
 * ends, in bounded time.
 *
 * The first byte chooses the tables; then each byte is a step, which may take more bytes. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/rowset.h"
#include "lib/sha256.h"
#include "sync/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SIDES = 2, ITEMS_MAX = 256, STEPS_MAX = 400, TABLES = 6, REQUESTS_MAX = 32 };
enum { HORIZON_MAX = 200 }; /* that is believed */

/* On its way to a side; or a question to its driver. */
struct item {
	struct item *next;
	int to;
	enum sync_event_type type;
	struct buf data;
	uint64_t number, horizon;
	struct sync_job *job;
};

struct fuzz {
	struct sync *sync[SIDES];
	struct rowset rows[SIDES];
	struct item *first, **last;
	int items;
	uint64_t link;
	bool is_up, is_closing;
	ms_t now;
	uint64_t horizon[SIDES];
	int started[SIDES], done[SIDES];
	uint32_t sid[SIDES]; /* of the latest frame of that side */
	uint64_t salt;
};

static struct rowset tables[TABLES];

static void
fuzz_row(struct rowset *rs, uint64_t i, uint64_t seq)
{
	struct version v = { .dot = { 1 + i % 2, seq }, .stamp = 1000 + seq };
	uint8_t signature[ROW_SIGNATURE_BYTES] = { 0 };
	struct row_key key = { .kind = ROW_NODE };
	struct row row;

	put_be64(key.owner.b, i);
	v.value = bytes_of(mem_calloc(20 + i % 300, 1), 20 + i % 300);
	version_seal(&v, signature, test_sha256);
	row_of_version(&v, &row);
	rowset_merge(rs, &key, &row);
	row_fini(&row);
}

static void
fuzz_tables(void)
{
	static const uint64_t sizes[TABLES] = { 0, 6, 60, 61, 200, 300 };

	if (tables[1].len > 0)
		return;
	for (int t = 0; t < TABLES; t++)
		for (uint64_t i = 0; i < sizes[t]; i++)
			fuzz_row(&tables[t], i * (1 + (uint64_t)t % 2),
				 1 + (i % 7 == 0 ? (uint64_t)t : 0));
}

/* ---- driver ---- */

static struct item *
fuzz_queue(struct fuzz *f, int to, enum sync_event_type type)
{
	struct item *item = mem_calloc(1, sizeof(*item));

	item->to = to;
	item->type = type;
	*f->last = item;
	f->last = &item->next;
	f->items++;
	return item;
}

static void
fuzz_act(struct fuzz *f, int side, const struct sync_action *a)
{
	struct item *item;

	switch (a->type) {
	case SYNC_ACTION_SEND:
		assert(a->data.len >= 5 && a->data.len <= SYNC_PAYLOAD_BYTES_MAX);
		if (a->data.data[0] == SYNC_OPEN)
			f->sid[side] = get_be32(a->data.data + 1);
		if (!f->is_up)
			break;
		item = fuzz_queue(f, 1 - side, SYNC_EVENT_FRAME);
		buf_put_bytes(&item->data, a->data);
		break;
	case SYNC_ACTION_SEND_ROWS:
		if (!f->is_up)
			break;
		item = fuzz_queue(f, 1 - side, SYNC_EVENT_ROWS);
		buf_put_bytes(&item->data, a->rows);
		break;
	case SYNC_ACTION_READ:
	case SYNC_ACTION_SETTLE:
		item = fuzz_queue(f, side,
				  a->type == SYNC_ACTION_READ ? SYNC_EVENT_READ_DONE
							      : SYNC_EVENT_SETTLED);
		item->number = a->number;
		item->job = a->job;
		break;
	case SYNC_ACTION_HORIZON:
		assert(a->horizon > f->horizon[side]);
		item = fuzz_queue(f, side, SYNC_EVENT_SWEPT);
		item->number = a->number;
		item->horizon = a->horizon;
		break;
	case SYNC_ACTION_REJECT:
		assert(a->why[0] != '\0');
		f->is_closing = true;
		break;
	case SYNC_ACTION_DONE:
		assert((a->result->rc == 0) == (a->result->why[0] == '\0'));
		assert(a->result->named_len <= SYNC_NAMED_MAX);
		f->done[side] += a->result->request != 0;
		break;
	}
}

static void
fuzz_step(struct fuzz *f, int side, struct sync_event *e)
{
	struct sync_action a;

	e->wall_ms = (uint64_t)f->now + 1000000000;
	e->horizon = f->horizon[side];
	sync_step(f->sync[side], f->now, e);
	while (sync_next(f->sync[side], &a))
		fuzz_act(f, side, &a);
}

static void
fuzz_deliver(struct fuzz *f, const struct item *item)
{
	struct rowset *rs = &f->rows[item->to];
	struct sync_table table = rowset_table(rs);
	struct sync_event e = { .type = item->type,
				.link = f->link,
				.number = item->number,
				.data = buf_bytes(&item->data),
				.bytes = item->data.len };

	if (item->type == SYNC_EVENT_READ_DONE)
		e.made = sync_compare(&table, item->job);
	if (item->type == SYNC_EVENT_ROWS) {
		int n = rowset_merge_encoded(rs, e.data);

		if (n < 0)
			f->is_closing = true; /* as the driver would */
		e.len = n < 0 ? 1 : (uint64_t)n;
	}
	if (item->type == SYNC_EVENT_SWEPT && item->horizon > HORIZON_MAX)
		e.rc = -ERANGE;
	else if (item->horizon > f->horizon[item->to])
		f->horizon[item->to] = item->horizon;
	fuzz_step(f, item->to, &e);
}

/* Frames go with their link; questions to a driver are answered all the same. */
static void
fuzz_take(struct fuzz *f, bool is_dropped)
{
	struct item *item = f->first;

	if (item == NULL)
		return;
	f->first = item->next;
	if (f->first == NULL)
		f->last = &f->first;
	f->items--;
	if (item->job != NULL || item->type == SYNC_EVENT_SETTLED ||
	    item->type == SYNC_EVENT_SWEPT || (f->is_up && !is_dropped))
		fuzz_deliver(f, item);
	buf_fini(&item->data);
	free(item);
}

static void
fuzz_link(struct fuzz *f, bool is_up)
{
	for (int side = 0; side < SIDES && f->is_up != is_up; side++) {
		struct sync_event e = { .type = is_up ? SYNC_EVENT_LINK_UP
						      : SYNC_EVENT_LINK_DOWN,
					.link = f->link };

		e.node.b[0] = (uint8_t)(2 - side);
		e.ours = f->rows[side].root;
		e.theirs = f->rows[1 - side].root;
		fuzz_step(f, side, &e);
	}
	if (f->is_up && !is_up) {
		struct item *item;

		f->is_up = false;
		for (item = f->first; item != NULL; item = item->next)
			if (item->type == SYNC_EVENT_FRAME)
				buf_clear(&item->data);
		while (f->first != NULL)
			fuzz_take(f, true);
		f->link++;
	}
	f->is_up = is_up;
	f->is_closing = false;
}

/* ---- steps ---- */

static void
fuzz_start(struct fuzz *f, int side, bool is_dry)
{
	struct sync_event e = { .type = SYNC_EVENT_START,
				.link = f->link,
				.request = 1 + (uint64_t)f->started[side],
				.is_dry = is_dry };

	if (f->started[side] == REQUESTS_MAX)
		return;
	f->started[side]++;
	fuzz_step(f, side, &e);
}

static void
fuzz_change(struct fuzz *f, struct reader *r)
{
	struct item *item = f->first;
	size_t at = reader_u16(r);
	uint8_t with = reader_u8(r);

	if (item != NULL && item->data.len > 0 && item->type == SYNC_EVENT_FRAME)
		item->data.data[at % item->data.len] ^= with;
	fuzz_take(f, false);
}

/* A frame that says so itself; `how` puts in what makes it be looked at. */
static void
fuzz_inject(struct fuzz *f, struct reader *r)
{
	uint8_t how = reader_u8(r), len = reader_u8(r);
	struct bytes body = reader_take(r, len < r->len ? len : r->len);
	struct sync_frame frame = { .type = 1 + how % 7u, .entries = BYTES_NONE };
	int to = how >> 7;
	struct item *item;
	bool is_ours;

	if (frame.type == SYNC_END && body.len > 0)
		frame.type = SYNC_APART;
	is_ours = frame.type == SYNC_OPEN || frame.type == SYNC_ASK ||
		  frame.type == SYNC_END;

	item = fuzz_queue(f, to, SYNC_EVENT_FRAME);
	frame.sid = f->sid[is_ours ? 1 - to : to];
	frame.salt = f->salt;
	frame.seq = body.len > 0 ? body.data[0] % 4 : 0;
	frame.answered = body.len > 1 ? body.data[1] % 4 : 1;
	frame.flags = frame.type == SYNC_OPEN ? how >> 4 & 7 : 0;
	frame.horizon = body.len > 0 ? body.data[0] : f->horizon[to];
	frame.root.count = body.len > 2 ? body.data[2] * 4 : 0;
	if (frame.type == SYNC_DIFFER || frame.type == SYNC_ASK ||
	    frame.type == SYNC_ANSWER)
		frame.entries = body.len > 3 ? bytes_of(body.data + 3, body.len - 3)
					     : BYTES_NONE;
	sync_frame_put(&item->data, &frame);
}

static void
fuzz_raw(struct fuzz *f, struct reader *r)
{
	uint8_t len = reader_u8(r);
	struct item *item = fuzz_queue(f, len & 1, SYNC_EVENT_FRAME);

	buf_put_bytes(&item->data, reader_take(r, len < r->len ? len : r->len));
}

static void
fuzz_repeat(struct fuzz *f)
{
	struct item *item;

	if (f->first == NULL || f->first->type != SYNC_EVENT_FRAME)
		return;
	item = fuzz_queue(f, f->first->to, SYNC_EVENT_FRAME);
	buf_put_bytes(&item->data, buf_bytes(&f->first->data));
}

static void
fuzz_pass(struct fuzz *f, ms_t span)
{
	f->now += span;
	for (int side = 0; side < SIDES; side++)
		if (sync_due(f->sync[side]) <= f->now)
			fuzz_step(f, side,
				  &(struct sync_event){ .type = SYNC_EVENT_TICK });
}

static void
fuzz_root(struct fuzz *f, int side)
{
	struct sync_event e = { .type = SYNC_EVENT_ROOT,
				.link = f->link,
				.epoch = sync_epoch((uint64_t)f->now + 1000000000),
				.ours = f->rows[side].root,
				.theirs = f->rows[1 - side].root };

	fuzz_step(f, side, &e);
}

/* An hour is over. */
static void
fuzz_horizon(struct fuzz *f, int side)
{
	f->horizon[side] += 50;
}

static void
fuzz_cancel(struct fuzz *f, int side)
{
	struct sync_event e = { .type = SYNC_EVENT_CANCEL,
				.request = (uint64_t)f->started[side] };

	fuzz_step(f, side, &e);
}

static void
fuzz_do(struct fuzz *f, uint8_t step, struct reader *r)
{
	switch (step % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		for (int i = 0; i <= step / 16; i++)
			fuzz_take(f, false);
		break;
	case 5:
		fuzz_change(f, r);
		break;
	case 6:
		fuzz_take(f, true);
		break;
	case 7:
		fuzz_repeat(f);
		break;
	case 8:
	case 9:
		fuzz_inject(f, r);
		break;
	case 10:
		fuzz_raw(f, r);
		break;
	case 11:
		fuzz_pass(f, (ms_t)(step / 16) * (step / 16) * 400);
		break;
	case 12:
		fuzz_start(f, step >> 7, (step >> 6 & 1) != 0);
		break;
	case 13:
		fuzz_root(f, step >> 7);
		break;
	case 14:
		f->rows[step >> 7].fail_after = step >> 4 & 3;
		break;
	default:
		if ((step >> 4) == 1 || (step >> 4) == 9)
			fuzz_horizon(f, step >> 7);
		else if ((step >> 4) == 2 || (step >> 4) == 10)
			fuzz_cancel(f, step >> 7);
		else
			fuzz_link(f, !f->is_up);
	}
}

/* Nothing more is heard of anybody: what was begun ends. */
static void
fuzz_finish(struct fuzz *f)
{
	for (int i = 0; i < 200 && f->items > 0; i++)
		fuzz_take(f, false);
	while (f->first != NULL)
		fuzz_take(f, true);
	for (int i = 0; i < 4 * REQUESTS_MAX; i++) {
		fuzz_pass(f, SYNC_REPLY_MS);
		while (f->first != NULL)
			fuzz_take(f, true);
	}
	for (int side = 0; side < SIDES; side++)
		assert(f->done[side] == f->started[side]);
	fuzz_link(f, false);
	for (int side = 0; side < SIDES; side++) {
		sync_free(f->sync[side]);
		rowset_fini(&f->rows[side]);
	}
	assert(f->items == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(bytes_of(data, len));
	struct fuzz f = { .link = 1, .last = NULL };
	uint8_t choice = reader_u8(&r);

	fuzz_tables();
	f.last = &f.first;
	for (int side = 0; side < SIDES; side++) {
		struct sync_config config = { .seed = 1 + (uint64_t)side,
					      .interval_ms = MS_MINUTE };

		config.self.b[0] = (uint8_t)(1 + side);
		f.sync[side] = sync_new(&config, 0);
		rowset_copy(&tables[(side == 0 ? choice : choice / 6) % TABLES],
			    &f.rows[side]);
	}
	fuzz_link(&f, true);
	for (int i = 0; i < STEPS_MAX && r.len > 0; i++) {
		if (f.items < ITEMS_MAX)
			fuzz_do(&f, reader_u8(&r), &r);
		else
			fuzz_take(&f, false);
		if (f.is_closing)
			fuzz_link(&f, false);
	}
	fuzz_finish(&f);
	return 0;
}
