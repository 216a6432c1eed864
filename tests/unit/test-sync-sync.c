/* SPDX-License-Identifier: Apache-2.0 */
/* One core and a peer made of bare hands: when sessions begin, what a peer may say and what
 * it may not, and that whatever it does a session ends. Whole sessions between two cores
 * are in tests/sim/test-sim-sync.c. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "lib/rowset.h"
#include "lib/sha256.h"
#include "lib/tap.h"
#include "sync/core.h"

enum { LINKS = 6, SENT_MAX = 256, WALL_MS = 1000000000 };

struct rig {
	struct sync *s;
	struct rowset rows;
	ms_t now;
	struct buf sent[SENT_MAX]; /* payloads of SYNC frames */
	uint64_t sent_link[SENT_MAX];
	int sent_len;
	uint64_t rows_bytes;
	char rejected[SYNC_WHY_SIZE];
	uint64_t rejected_link;
	struct sync_result result;
	int done;
	bool is_held; /* READs are not answered */
	struct sync_action reads[64];
	int reads_len;
};

static void rig_step(struct rig *r, struct sync_event *e);

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

static void
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

static void
rig_forget(struct rig *r)
{
	for (int i = 0; i < r->sent_len; i++)
		buf_fini(&r->sent[i]);
	r->sent_len = 0;
}

static void
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

static void
rig_step(struct rig *r, struct sync_event *e)
{
	struct sync_action a;

	e->wall_ms = (uint64_t)r->now + WALL_MS;
	sync_step(r->s, r->now, e);
	while (sync_next(r->s, &a))
		rig_do(r, &a);
}

static void
rig_release(struct rig *r)
{
	r->is_held = false;
	for (int i = 0; i < r->reads_len; i++)
		rig_answer(r, &r->reads[i]);
	r->reads_len = 0;
}

/* Until then, with all ticks. */
static void
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

/* Our id is 5: the peers of links 1 to 4 have smaller ones, that of 6 a larger one. */
static void
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

static void
rig_down(struct rig *r, uint64_t link)
{
	struct sync_event e = { .type = SYNC_EVENT_LINK_DOWN, .link = link };

	rig_step(r, &e);
}

static void
rig_start(struct rig *r, uint64_t link, uint64_t request, bool is_dry)
{
	struct sync_event e = { .type = SYNC_EVENT_START,
				.link = link,
				.request = request,
				.is_dry = is_dry };

	rig_step(r, &e);
}

static void
rig_root(struct rig *r, uint64_t link, uint64_t epoch, bool is_equal)
{
	struct sync_event e = { .type = SYNC_EVENT_ROOT,
				.link = link,
				.epoch = epoch,
				.ours = { { 256, 0 }, 0 },
				.theirs = { { is_equal ? 256 : 512, 0 }, 0 } };

	rig_step(r, &e);
}

static void
rig_hear(struct rig *r, uint64_t link, const struct sync_frame *f)
{
	struct buf b = BUF_INIT;
	struct sync_event e = { .type = SYNC_EVENT_FRAME, .link = link };

	sync_frame_put(&b, f);
	e.data = buf_bytes(&b);
	rig_step(r, &e);
	buf_fini(&b);
}

/* The latest frame sent; its entries point into `sent`. */
static struct sync_frame
rig_last(struct rig *r)
{
	struct sync_frame f = { 0 };
	const char *why;

	CU_ASSERT_FATAL(r->sent_len > 0);
	CU_ASSERT_FATAL(sync_frame_read(buf_bytes(&r->sent[r->sent_len - 1]), &f, &why) ==
			0);
	return f;
}

static bool
rig_is_rejected(struct rig *r, const char *words)
{
	bool is_rejected = strstr(r->rejected, words) != NULL;

	if (!is_rejected)
		tap_note("«%s» has not «%s»", r->rejected, words);
	r->rejected[0] = '\0';
	return is_rejected;
}

/* ---- who answers ---- */

static struct sync_frame
open_of(uint32_t sid)
{
	return (struct sync_frame){ .type = SYNC_OPEN,
				    .sid = sid,
				    .flags = SYNC_FLAG_WHOLE,
				    .salt = 77,
				    .root = { { 1, 2 }, 3 } };
}

static void
test_open(void)
{
	static const int sizes[] = { 0, 5, SYNC_SMALL_ROWS_MAX, SYNC_SMALL_ROWS_MAX + 1 };

	for (int i = 0; i < 4; i++) {
		struct sync_frame f = open_of(9), last;
		struct sync_entry e;
		struct reader entries;
		const char *why;
		struct rig r;

		rig_init(&r, sizes[i], 0);
		rig_up(&r, 1, (uint64_t)sizes[i]);
		rig_hear(&r, 1, &f);
		last = rig_last(&r);
		CU_ASSERT(last.type == SYNC_DIFFER && last.sid == 9);
		CU_ASSERT(last.root.count == (uint64_t)sizes[i]);
		entries = reader_of(last.entries);
		CU_ASSERT(sync_entry_read(&entries, false, &e, &why) == 0);
		CU_ASSERT(e.type == (i == 3 ? SYNC_TOP : SYNC_LIST) && entries.len == 0);
		if (i < 3)
			CU_ASSERT(e.n == sizes[i]);
		f.root = r.rows.root;
		rig_hear(&r, 1, &f);
		CU_ASSERT(rig_last(&r).type == SYNC_SAME);
		CU_ASSERT(r.sent[1].len + SYNC_OPEN_BYTES + 8 <= 150);
		rig_fini(&r);
	}
}

static void
test_busy(void)
{
	struct sync_frame f = open_of(9);
	struct sync_stats stats;
	struct rig r;

	rig_init(&r, 200, 0);
	for (uint64_t link = 1; link <= 4; link++)
		rig_up(&r, link, 200);
	rig_hear(&r, 1, &f);
	rig_hear(&r, 2, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	CU_ASSERT(rig_last(&r).node.b[0] >= 1 && rig_last(&r).node.b[0] != 3);
	/* Its own next session is no further one. */
	f.sid++;
	rig_hear(&r, 2, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	/* An end makes room, and so does silence. */
	rig_hear(&r, 2, &(struct sync_frame){ .type = SYNC_END, .sid = f.sid });
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	rig_hear(&r, 4, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_pass(&r, SYNC_INBOUND_IDLE_MS);
	rig_hear(&r, 4, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	/* One that was forgotten while it thought goes on when there is room. */
	rig_hear(&r, 3, &(struct sync_frame){ .type = SYNC_ASK, .sid = f.sid });
	CU_ASSERT(rig_last(&r).type == SYNC_ANSWER);
	rig_hear(&r, 1, &(struct sync_frame){ .type = SYNC_ASK, .sid = 9 });
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	sync_stats(r.s, &stats);
	CU_ASSERT(stats.busy == 3 && r.rejected[0] == '\0');
	rig_fini(&r);
}

static void
test_flood(void)
{
	struct sync_frame f = open_of(0);
	struct rig r;

	rig_init(&r, 3, 0);
	rig_up(&r, 1, 3);
	f.root = r.rows.root;
	for (f.sid = 0; f.sid < SYNC_OPENS_BURST; f.sid++)
		rig_hear(&r, 1, &f);
	/* Two a second for ever. */
	for (int i = 0; i < 100; i++, f.sid++) {
		rig_pass(&r, SYNC_OPENS_EVERY_MS);
		rig_hear(&r, 1, &f);
	}
	CU_ASSERT(r.rejected[0] == '\0' && rig_last(&r).type == SYNC_SAME);
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_is_rejected(&r, "faster"));
	rig_forget(&r);
	rig_hear(&r, 1, &f); /* to a link that is being closed nothing is said */
	CU_ASSERT(r.sent_len == 0);
	rig_fini(&r);
}

static void
test_asks(void)
{
	struct sync_frame f = open_of(9), ask = { .type = SYNC_ASK, .sid = 8 };
	struct rig r;

	rig_init(&r, 200, 0);
	rig_up(&r, 1, 200);
	rig_hear(&r, 1, &f);
	rig_hear(&r, 1, &ask);
	CU_ASSERT(rig_is_rejected(&r, "not opened"));
	rig_down(&r, 1);
	rig_up(&r, 2, 200);
	rig_hear(&r, 2, &f);
	ask.sid = 9;
	r.is_held = true;
	for (int i = 0; i < SYNC_WINDOW; i++)
		rig_hear(&r, 2, &ask);
	CU_ASSERT(r.rejected[0] == '\0');
	rig_hear(&r, 2, &ask);
	CU_ASSERT(rig_is_rejected(&r, "at a time"));
	rig_down(&r, 2);
	rig_forget(&r);
	rig_release(&r); /* of a link that has gone */
	CU_ASSERT(r.sent_len == 0);
	rig_up(&r, 3, 200);
	rig_hear(&r, 3, &f);
	for (int i = 0; i < 100000 && r.rejected[0] == '\0'; i++) {
		rig_hear(&r, 3, &ask);
		rig_forget(&r);
	}
	CU_ASSERT(rig_is_rejected(&r, "more was asked"));
	rig_fini(&r);
}

/* Each is one entry too much for a responder. */
static void
test_ask_entries(void)
{
	static const uint8_t top[] = { SYNC_TOP << 4 };
	static const uint8_t shallow[] = { SYNC_LIST << 4 | 1, 0x10, 0 };
	static const uint8_t dry[] = { SYNC_NAME << 4 | 2,
				       7,
				       7,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       0,
				       1,
				       1,
				       1,
				       1,
				       1 };
	static const uint8_t cut[] = { SYNC_LIST << 4 | 2, 7, 3, 1 };
	static const uint8_t unknown[] = { 0xf2, 7 };
	struct {
		struct bytes entries;
		const char *words;
	} cases[] = {
		{ bytes_of(top, sizeof(top)), "cut off" },
		{ bytes_of(shallow, sizeof(shallow)), "LIST at depth 4" },
		{ bytes_of(dry, sizeof(dry)), "NAME at depth 8" },
		{ bytes_of(cut, sizeof(cut)), "cut off" },
		{ bytes_of(unknown, sizeof(unknown)), "no known type" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sync_frame f = open_of(9);
		struct rig r;

		rig_init(&r, 200, 0);
		rig_up(&r, 1, 200);
		rig_hear(&r, 1, &f);
		rig_forget(&r);
		f.type = SYNC_ASK;
		f.flags = 0;
		f.entries = cases[i].entries;
		rig_hear(&r, 1, &f);
		CU_ASSERT(rig_is_rejected(&r, cases[i].words));
		CU_ASSERT(r.sent_len == 0 && r.rows_bytes == 0);
		rig_fini(&r);
	}
}

/* ---- who asks ---- */

/* A session of ours over link 1 is open, and the responder has said that it differs: all of
 * its 256 digests are wrong, so that everything is asked for. */
static void
rig_walk(struct rig *r, int rows, bool is_dry, uint64_t theirs)
{
	struct sync_frame f = { .type = SYNC_DIFFER, .root.count = theirs };
	struct buf entries = BUF_INIT;

	rig_init(r, rows, 0);
	rig_up(r, 1, (uint64_t)rows);
	rig_start(r, 1, 7, is_dry);
	f.sid = rig_last(r).sid;
	buf_put_u8(&entries, SYNC_TOP << 4);
	memset(buf_extend(&entries, 1024), 0, 1024);
	f.entries = buf_bytes(&entries);
	rig_hear(r, 1, &f);
	buf_fini(&entries);
}

static void
test_answers(void)
{
	/* Asked for: LIST of the node 0x00 first of all, for we hold so few rows. */
	static const uint8_t other[] = { SYNC_WANT << 4 | 3, 0, 0x10, 1, 0, 1, 1, 1, 1 };
	static const uint8_t want[] = { SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1, 1 };
	static const uint8_t twice[] = { SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1, 1,
					 SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1, 1 };
	static const uint8_t more[18] = { SYNC_MORE << 4 | 2 };
	static const uint8_t list[] = { SYNC_LIST << 4 | 2, 0, 0 };
	struct {
		struct bytes entries;
		uint16_t seq, answered;
		uint32_t rows;
		const char *words;
	} cases[] = {
		{ bytes_of(want, sizeof(want)), 0, 1, 0, "" },
		{ bytes_of(want, sizeof(want)), 77, 1, 0, "nothing that was asked" },
		{ bytes_of(want, sizeof(want)), 0, 0, 0, "none of the entries" },
		{ bytes_of(want, sizeof(want)), 0, 60000, 0, "more than were asked" },
		{ bytes_of(want, sizeof(want)), 0, 1, 1, "more rows than came" },
		{ bytes_of(other, sizeof(other)), 0, 1, 0, "answers nothing" },
		{ bytes_of(twice, sizeof(twice)), 0, 1, 0, "answers nothing" },
		{ bytes_of(more, sizeof(more)), 0, 1, 0, "answers nothing" },
		{ bytes_of(list, sizeof(list)), 0, 1, 0, "answers nothing" },
		{ bytes_of(list, 2), 0, 1, 0, "cut off" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sync_frame f = { .type = SYNC_ANSWER };
		struct rig r;

		rig_walk(&r, 300, false, 300);
		f.sid = rig_last(&r).sid;
		f.seq = cases[i].seq;
		f.answered = cases[i].answered;
		f.rows = cases[i].rows;
		f.entries = cases[i].entries;
		rig_hear(&r, 1, &f);
		if (cases[i].words[0] != '\0') {
			CU_ASSERT(rig_is_rejected(&r, cases[i].words));
			CU_ASSERT(r.done == 1 && r.result.rc == -OCF_EMALFORMED);
			CU_ASSERT(strstr(r.result.why, cases[i].words) != NULL);
		} else {
			CU_ASSERT(r.rejected[0] == '\0' && r.done == 0);
		}
		rig_fini(&r);
	}
}

/* A comparison's list in portions: all but the last are full. */
static void
test_shown(void)
{
	struct sync_node node = { .depth = SYNC_TOP_BITS };

	for (int is_last = 0; is_last < 2; is_last++) {
		struct sync_frame f = { .type = SYNC_ANSWER, .answered = 1 };
		uint8_t until[SYNC_K_BYTES] = { 0 };
		struct buf entries = BUF_INIT;
		struct rig r;

		until[SYNC_K_BYTES - 1] = !is_last;
		rig_walk(&r, 300, true, 300);
		f.sid = rig_last(&r).sid;
		sync_entry_put(&entries, SYNC_SHOWN, &node);
		buf_put(&entries, node.prefix, SYNC_K_BYTES);
		buf_put(&entries, until, SYNC_K_BYTES);
		buf_put_u16(&entries, 1);
		memset(buf_extend(&entries, 12), 0, 12);
		f.entries = buf_bytes(&entries);
		rig_hear(&r, 1, &f);
		if (is_last) {
			CU_ASSERT(r.rejected[0] == '\0' && r.done == 0);
		} else {
			CU_ASSERT(rig_is_rejected(&r, "SHOWN"));
		}
		buf_fini(&entries);
		rig_fini(&r);
	}
}

static void
test_openings(void)
{
	static const uint8_t deep[] = { SYNC_LIST << 4 | 2, 0, 0 };
	static const uint8_t two[] = { SYNC_LIST << 4, 0, SYNC_LIST << 4, 0 };
	struct {
		struct bytes entries;
		uint64_t count;
		const char *words;
	} cases[] = {
		{ bytes_of(deep, sizeof(deep)), 9, "LIST at depth 8" },
		{ bytes_of(two, sizeof(two)), 9, "more than one" },
		{ BYTES_NONE, 9, "no entry" },
		{ bytes_of(two, 2), UINT64_MAX, "is no table" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sync_frame f = { .type = SYNC_DIFFER };
		struct rig r;

		rig_init(&r, 20, 0);
		rig_up(&r, 1, 20);
		rig_start(&r, 1, 7, false);
		f.sid = rig_last(&r).sid;
		f.root.count = cases[i].count;
		f.entries = cases[i].entries;
		rig_hear(&r, 1, &f);
		CU_ASSERT(rig_is_rejected(&r, cases[i].words));
		CU_ASSERT(r.done == 1 && r.result.rc == -OCF_EMALFORMED);
		rig_fini(&r);
	}
}

/* Somebody who always has another page, with rows or without. */
static void
test_endless(void)
{
	for (int with_rows = 0; with_rows < 2; with_rows++) {
		struct sync_frame f = { .type = SYNC_ANSWER, .answered = 1 };
		uint8_t page[1 + SYNC_K_BYTES] = { SYNC_PAGE << 4 };
		struct rig r;
		int i;

		rig_walk(&r, 0, false, 1000);
		f.entries = bytes_of(page, sizeof(page));
		f.rows = (uint32_t)with_rows;
		for (i = 0; i < 1000000 && r.done == 0; i++) {
			struct sync_event e = { .type = SYNC_EVENT_ROWS,
						.link = 1,
						.len = 1 };

			f.sid = rig_last(&r).sid;
			f.seq = rig_last(&r).seq;
			rig_forget(&r);
			put_be64(page + 1, (uint64_t)i + 1);
			if (with_rows)
				rig_step(&r, &e);
			rig_hear(&r, 1, &f);
		}
		CU_ASSERT(rig_is_rejected(&r, with_rows ? "more was said" : "PAGE"));
		CU_ASSERT(r.result.rc == -OCF_EMALFORMED);
		rig_fini(&r);
	}
}

static void
test_late(void)
{
	struct sync_frame f = { .type = SYNC_SAME };
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	rig_start(&r, 1, 7, false);
	f.sid = rig_last(&r).sid;
	rig_hear(&r, 1, &f);
	CU_ASSERT(r.done == 1 && r.result.rc == 0 && r.result.is_equal);
	CU_ASSERT(r.result.request == 7 && r.result.node.b[0] == 1);
	CU_ASSERT(r.result.sent_bytes + r.result.received_bytes <= 150);
	rig_hear(&r, 1, &f);
	f.type = SYNC_ANSWER;
	rig_hear(&r, 1, &f);
	CU_ASSERT(r.rejected[0] == '\0');
	f.sid += 1000;
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_is_rejected(&r, "no session of ours"));
	rig_fini(&r);
}

static void
test_ends(void)
{
	struct sync_frame busy = { .type = SYNC_BUSY };
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	rig_start(&r, 1, 1, false);
	rig_pass(&r, SYNC_REPLY_MS - 1);
	CU_ASSERT(r.done == 0);
	rig_pass(&r, 1);
	CU_ASSERT(r.done == 1 && r.result.rc == -ETIMEDOUT);
	rig_start(&r, 1, 2, false);
	rig_start(&r, 1, 3, false); /* waits */
	CU_ASSERT(sync_progress(r.s, 3, &r.result) && r.result.request == 3);
	rig_down(&r, 1);
	CU_ASSERT(r.done == 3 && r.result.rc == -ECONNRESET);
	CU_ASSERT(!sync_progress(r.s, 3, &r.result));
	rig_up(&r, 2, 20);
	r.rows.fail_after = 1;
	rig_start(&r, 2, 4, false);
	CU_ASSERT(r.done == 4 && r.result.rc == -EIO && r.result.why[0] != '\0');
	/* A busy node is tried a few times more. */
	rig_forget(&r);
	rig_start(&r, 2, 5, false);
	for (int i = 0; i < 20 && r.done == 4; i++) {
		busy.sid = rig_last(&r).sid;
		rig_hear(&r, 2, &busy);
		rig_pass(&r, MS_MINUTE / 2);
	}
	CU_ASSERT(r.done == 5 && r.result.rc == -EBUSY && r.result.request == 5);
	CU_ASSERT(r.sent_len == 1 + SYNC_BUSY_TRIES);
	/* No more than so many wait. */
	for (uint64_t i = 0; i < SYNC_REQUESTS_MAX + 2; i++)
		rig_start(&r, 2, 100 + i, false);
	CU_ASSERT(r.done == 6 && r.result.rc == -EBUSY);
	rig_fini(&r);
}

static void
test_responder_fails(void)
{
	struct sync_frame f = open_of(9);
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	r.rows.fail_after = 1;
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY && r.rejected[0] == '\0');
	rig_fini(&r);
}

static void
test_garbage(void)
{
	struct rig r;
	struct rng rng;

	rng_init(&rng, tap_seed());
	rig_init(&r, 20, 0);
	for (uint64_t link = 1; link < 2000; link++) {
		uint8_t noise[64];
		struct sync_event e = { .type = SYNC_EVENT_FRAME, .link = link };

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)rng_next(&rng);
		noise[0] = (uint8_t)(link % 9);
		e.data = bytes_of(noise, (size_t)rng_below(&rng, sizeof(noise)));
		rig_up(&r, link, 20);
		rig_step(&r, &e);
		rig_down(&r, link);
		rig_forget(&r);
	}
	CU_ASSERT(r.rejected[0] != '\0');
	rig_fini(&r);
}

/* ---- when ---- */

static void
test_link_up(void)
{
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20); /* equal */
	rig_up(&r, 2, 10); /* the other one has something to learn */
	CU_ASSERT(r.sent_len == 0);
	rig_up(&r, 3, 30);
	CU_ASSERT(r.sent_len == 1 && r.sent_link[0] == 3);
	CU_ASSERT(rig_last(&r).flags == SYNC_FLAG_WHOLE);
	rig_fini(&r);
}

static void
test_roots(void)
{
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	rig_up(&r, 6, 20);
	/* We are the smaller one towards 6, the larger one towards 1. */
	rig_root(&r, 6, 100, false);
	rig_root(&r, 6, 100, false); /* the same epoch again says nothing */
	rig_root(&r, 6, 101, true);
	rig_root(&r, 6, 102, false);
	rig_root(&r, 1, 102, false);
	rig_root(&r, 1, 103, false);
	CU_ASSERT(r.sent_len == 0);
	rig_root(&r, 6, 103, false);
	CU_ASSERT(r.sent_len == 1 && r.sent_link[0] == 6);
	CU_ASSERT(rig_last(&r).flags == 0 &&
		  rig_last(&r).epoch == sync_epoch((uint64_t)r.now + WALL_MS));
	rig_hear(&r, 6,
		 &(struct sync_frame){ .type = SYNC_SAME, .sid = rig_last(&r).sid });
	CU_ASSERT(r.done == 1);
	rig_root(&r, 1, 104, false);
	CU_ASSERT(r.sent_len == 2 && r.sent_link[1] == 1);
	rig_fini(&r);
}

/* They differ all the time, and a session finds nothing: less and less often. */
static void
test_retry(void)
{
	ms_t last = 0, gap = 0;
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 6, 20);
	for (uint64_t epoch = 0; epoch < 1000; epoch++) {
		rig_root(&r, 6, epoch, false);
		rig_pass(&r, SYNC_EPOCH_MS);
		if (r.sent_len == 0)
			continue;
		rig_hear(&r, 6,
			 &(struct sync_frame){ .type = SYNC_SAME,
					       .sid = rig_last(&r).sid });
		rig_forget(&r);
		if (last != 0) {
			CU_ASSERT(r.now - last >= SYNC_LINK_MS);
			CU_ASSERT(r.now - last + 2 * SYNC_EPOCH_MS >= gap);
			gap = r.now - last;
		}
		last = r.now;
	}
	CU_ASSERT(r.done >= 15 && r.done <= 40);
	CU_ASSERT(gap >= SYNC_RETRY_MS_MAX);
	rig_fini(&r);
}

static void
test_random(void)
{
	uint64_t links = 0;
	struct rig r;

	rig_init(&r, 20, MS_MINUTE);
	for (uint64_t link = 1; link <= 4; link++)
		rig_up(&r, link, 20);
	for (int i = 0; i < 4 * 3600; i++) {
		rig_pass(&r, MS_SECOND);
		if (r.sent_len == 0)
			continue;
		links |= UINT64_C(1) << r.sent_link[0];
		rig_hear(&r, r.sent_link[0],
			 &(struct sync_frame){ .type = SYNC_SAME,
					       .sid = rig_last(&r).sid });
		rig_forget(&r);
	}
	/* 1 + 2 + 4 minutes, then one in 8: 32 in four hours. */
	CU_ASSERT(r.done >= 26 && r.done <= 40);
	CU_ASSERT(links == 0x1e);
	rig_fini(&r);
}

static void
test_epochs(void)
{
	struct u128 root = { 0x1122334455667788, 9 };
	uint64_t epoch;

	CU_ASSERT(sync_epoch(0) == 0 && sync_epoch(19999) == 0);
	CU_ASSERT(sync_epoch(20000) == 1 && sync_epoch(1700000000000) == 169999999);
	CU_ASSERT(sync_word(root, 0x1ab) == 0x11223344556677ab);
	for (uint64_t ours = 0; ours < 600; ours++)
		for (uint64_t theirs = ours < 2 ? 0 : ours - 2; theirs <= ours + 2;
		     theirs++) {
			CU_ASSERT(
				sync_word_epoch(sync_word(root, theirs), ours, &epoch) &&
				epoch == theirs);
			CU_ASSERT(!sync_word_epoch(sync_word(root, theirs + 100), ours,
						   &epoch));
		}
}

static const struct tap_test tests[] = {
	{ "an OPEN is answered by SAME, a list or digests", test_open },
	{ "a third session is sent elsewhere until one ends or falls silent", test_busy },
	{ "sessions may be opened twice a second, and not faster", test_flood },
	{ "ASKs belong to a session, eight at a time, and not for ever", test_asks },
	{ "what may not be asked is refused, and nothing is answered", test_ask_entries },
	{ "an ANSWER answers what was asked, once and in order", test_answers },
	{ "of a list in portions only the last one is short", test_shown },
	{ "a DIFFER has one entry, and a table that can be", test_openings },
	{ "pages without an end come to one", test_endless },
	{ "late frames of an ended session are ignored, others are not", test_late },
	{ "a session ends by silence, by its link, by a failed read, by BUSY",
	  test_ends },
	{ "a responder that cannot read says that it is busy", test_responder_fails },
	{ "garbage closes the link and nothing else", test_garbage },
	{ "the node with fewer rows begins when a link comes up", test_link_up },
	{ "roots that differ at two epochs begin a session, at three the other's",
	  test_roots },
	{ "sessions that find nothing become rare", test_retry },
	{ "a random link is compared now and then, less often while equal", test_random },
	{ "the epoch of a heartbeat is found near ours, or not at all", test_epochs },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
