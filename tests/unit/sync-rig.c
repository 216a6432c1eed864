/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/sync-rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/sha256.h"

static void
rig_row(struct rowset *rs, uint64_t i, size_t len)
{
	struct version v = { .dot = { 1, i + 1 }, .stamp = 1000 };
	uint8_t signature[ROW_SIGNATURE_BYTES] = { 0 };
	struct row_key key = { .kind = ROW_NODE };
	struct row row;

	put_be64(key.owner.b, i);
	v.value = bytes_of(mem_calloc(len, 1), len);
	version_seal(&v, signature, test_sha256);
	row_of_version(&v, &row);
	rowset_merge(rs, &key, &row);
	row_fini(&row);
}

void
rig_init(struct rig *r, int rows, ms_t interval)
{
	struct sync_config config = { .self = { { 5 } },
				      .seed = tap_seed(),
				      .interval_ms = interval };

	*r = (struct rig){ .now = MS_HOUR };
	for (int i = 0; i < rows; i++)
		rig_row(&r->rows, (uint64_t)i, 100);
	r->s = sync_new(&config, r->now);
}

void
rig_forget(struct rig *r)
{
	for (int i = 0; i < r->sent_len; i++)
		buf_fini(&r->sent[i]);
	r->sent_len = 0;
}

void
rig_fini(struct rig *r)
{
	sync_free(r->s);
	rowset_fini(&r->rows);
	rig_forget(r);
	for (int i = 0; i < r->reads_len; i++)
		sync_job_free(r->reads[i].job);
}

static void
rig_answer(struct rig *r, const struct sync_action *a)
{
	struct sync_table table = rowset_table(&r->rows);
	struct sync_event e = { .type = SYNC_EVENT_SETTLED, .number = a->number };

	if (a->type == SYNC_ACTION_READ) {
		e.type = SYNC_EVENT_READ_DONE;
		e.made = sync_compare(&table, a->job);
	} else if (a->type == SYNC_ACTION_HORIZON) {
		e.type = SYNC_EVENT_SWEPT;
		e.rc = a->horizon <= r->believed ? 0 : -ERANGE;
		if (e.rc == 0 && a->horizon > r->horizon)
			r->horizon = a->horizon;
	}
	rig_step(r, &e);
}

static void
rig_do(struct rig *r, const struct sync_action *a)
{
	switch (a->type) {
	case SYNC_ACTION_SEND:
		CU_ASSERT_FATAL(r->sent_len < SENT_MAX);
		r->sent_link[r->sent_len] = a->link;
		buf_put_bytes(&r->sent[r->sent_len++], a->data);
		break;
	case SYNC_ACTION_SEND_ROWS:
		r->rows_bytes += a->rows.len;
		break;
	case SYNC_ACTION_READ:
	case SYNC_ACTION_SETTLE:
	case SYNC_ACTION_HORIZON:
		if (!r->is_held)
			rig_answer(r, a);
		else
			r->reads[r->reads_len++] = *a;
		break;
	case SYNC_ACTION_REJECT:
		memcpy(r->rejected, a->why, strlen(a->why) + 1);
		r->rejected_link = a->link;
		break;
	case SYNC_ACTION_DONE:
		r->result = *a->result;
		r->done++;
		break;
	}
}

void
rig_step(struct rig *r, struct sync_event *e)
{
	struct sync_action a;

	e->wall_ms = (uint64_t)r->now + WALL_MS;
	e->horizon = r->horizon;
	sync_step(r->s, r->now, e);
	while (sync_next(r->s, &a))
		rig_do(r, &a);
}

void
rig_release(struct rig *r)
{
	r->is_held = false;
	for (int i = 0; i < r->reads_len; i++)
		rig_answer(r, &r->reads[i]);
	r->reads_len = 0;
}

void
rig_pass(struct rig *r, ms_t span)
{
	ms_t until = r->now + span;

	while (sync_due(r->s) <= until) {
		struct sync_event e = { .type = SYNC_EVENT_TICK };

		r->now = sync_due(r->s) > r->now ? sync_due(r->s) : r->now;
		rig_step(r, &e);
	}
	r->now = until;
}

void
rig_up(struct rig *r, uint64_t link, uint64_t their_rows)
{
	struct sync_event e = { .type = SYNC_EVENT_LINK_UP,
				.link = link,
				.ours = r->rows.root,
				.theirs = { { 1, 1 }, their_rows } };

	e.node.b[0] = (uint8_t)link;
	if (their_rows == (uint64_t)r->rows.len)
		e.theirs = r->rows.root;
	rig_step(r, &e);
}

void
rig_down(struct rig *r, uint64_t link)
{
	struct sync_event e = { .type = SYNC_EVENT_LINK_DOWN, .link = link };

	rig_step(r, &e);
}

void
rig_start(struct rig *r, uint64_t link, uint64_t request, bool is_dry)
{
	struct sync_event e = { .type = SYNC_EVENT_START,
				.link = link,
				.request = request,
				.is_dry = is_dry };

	rig_step(r, &e);
}

void
rig_root(struct rig *r, uint64_t link, uint64_t epoch, bool is_equal)
{
	struct sync_event e = { .type = SYNC_EVENT_ROOT,
				.link = link,
				.epoch = epoch,
				.ours = { { 256, 0 }, 0 },
				.theirs = { { is_equal ? 256 : 512, 0 }, 0 } };

	rig_step(r, &e);
}

void
rig_hear(struct rig *r, uint64_t link, const struct sync_frame *f)
{
	struct buf b = BUF_INIT;
	struct sync_event e = { .type = SYNC_EVENT_FRAME, .link = link };

	sync_frame_put(&b, f);
	e.data = buf_bytes(&b);
	rig_step(r, &e);
	buf_fini(&b);
}

struct sync_frame
rig_last(struct rig *r)
{
	struct sync_frame f = { 0 };
	const char *why;

	CU_ASSERT_FATAL(r->sent_len > 0);
	CU_ASSERT_FATAL(sync_frame_read(buf_bytes(&r->sent[r->sent_len - 1]), &f, &why) ==
			0);
	return f;
}

bool
rig_is_rejected(struct rig *r, const char *words)
{
	bool is_rejected = strstr(r->rejected, words) != NULL;

	if (!is_rejected)
		tap_note("«%s» has not «%s»", r->rejected, words);
	r->rejected[0] = '\0';
	return is_rejected;
}
