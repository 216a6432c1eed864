/* SPDX-License-Identifier: Apache-2.0 */
/* The session that we drive, against a peer made of bare hands: what it may say and what it
 * may not, and that whatever it does the session ends. Whole sessions between two cores are
 * in tests/sim/test-sim-sync.c. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "unit/sync-rig.h"

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
	memset(buf_extend(&entries, (size_t)sync_d_bytes(is_dry) * 256), 0,
	       (size_t)sync_d_bytes(is_dry) * 256);
	f.entries = buf_bytes(&entries);
	rig_hear(r, 1, &f);
	buf_fini(&entries);
}

static void
test_answers(void)
{
	/* Asked for: LIST of the node 0x00 first of all, for we hold so few rows. */
	static const uint8_t other[] = { SYNC_WANT << 4 | 3, 0, 0x10, 1, 0, 1, 1, 1 };
	static const uint8_t want[] = { SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1 };
	static const uint8_t twice[] = { SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1,
					 SYNC_WANT << 4 | 2, 0, 1, 0, 1, 1, 1 };
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

/* The other side has swept further, or says so. */
static void
test_horizon(void)
{
	struct {
		uint64_t theirs;
		bool is_dry;
		int rc;
		const char *words;
	} cases[] = {
		{ 150, false, 0, "" },
		{ 300, false, -ESTALE, "clock is ahead" },
		{ 50, false, -ESTALE, "this node's is ahead" },
		{ 100, false, -OCF_EMALFORMED, "horizons are the same" },
		{ 150, true, -OCF_EMALFORMED, "horizons are the same" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sync_frame f = { .type = SYNC_APART, .horizon = cases[i].theirs };
		struct rig r;

		rig_init(&r, 300, 0);
		r.horizon = 100;
		r.believed = 200;
		rig_up(&r, 1, 300);
		rig_start(&r, 1, 7, cases[i].is_dry);
		CU_ASSERT(rig_last(&r).horizon == 100);
		f.sid = rig_last(&r).sid;
		rig_forget(&r);
		rig_hear(&r, 1, &f);
		if (cases[i].rc == 0) {
			CU_ASSERT_FATAL(r.sent_len == 1 && r.done == 0);
			CU_ASSERT(rig_last(&r).type == SYNC_OPEN);
			CU_ASSERT(rig_last(&r).sid == f.sid);
			CU_ASSERT(rig_last(&r).horizon == 150);
		} else {
			CU_ASSERT(r.done == 1 && r.result.rc == cases[i].rc);
			CU_ASSERT(strstr(r.result.why, cases[i].words) != NULL);
			CU_ASSERT(r.rows_bytes == 0 && r.horizon == 100);
			CU_ASSERT((r.rejected[0] != '\0') ==
				  (cases[i].rc == -OCF_EMALFORMED));
		}
		rig_fini(&r);
	}
}

static void
test_horizon_moves_on(void)
{
	struct sync_frame f = { .type = SYNC_APART, .horizon = 1 };
	struct rig r;

	rig_init(&r, 300, 0);
	r.believed = UINT64_MAX;
	rig_up(&r, 1, 300);
	rig_start(&r, 1, 7, false);
	f.sid = rig_last(&r).sid;
	for (int i = 0; i < 10 && r.done == 0; i++, f.horizon++)
		rig_hear(&r, 1, &f);
	CU_ASSERT(r.done == 1 && r.result.rc == -ESTALE && r.rejected[0] == '\0');
	CU_ASSERT(r.horizon == SYNC_SWEEPS_MAX);
	/* While we sweep nothing is heard of it. */
	rig_start(&r, 1, 8, false);
	f.sid = rig_last(&r).sid;
	r.is_held = true;
	f.horizon = 90;
	rig_hear(&r, 1, &f);
	rig_pass(&r, SYNC_REPLY_MS * 2);
	CU_ASSERT(r.done == 1);
	rig_down(&r, 1);
	CU_ASSERT(r.done == 2 && r.result.rc == -ECONNRESET);
	rig_release(&r); /* of a session that has ended */
	rig_fini(&r);
}

/* Pages of one row each, one in a while. */
static void
test_trickle(void)
{
	static const ms_t every[] = { 20 * MS_SECOND, 5, 20 * MS_SECOND };
	static const uint64_t bytes[] = { 200, 200, 48 * 1024 };

	for (int k = 0; k < 3; k++) {
		struct sync_frame f = { .type = SYNC_ANSWER, .answered = 1, .rows = 1 };
		uint8_t page[1 + SYNC_K_BYTES] = { SYNC_PAGE << 4 };
		struct rig r;
		ms_t began;

		rig_walk(&r, 0, false, 1000);
		began = r.now;
		f.entries = bytes_of(page, sizeof(page));
		for (int i = 0; i < 500 && r.done == 0; i++) {
			struct sync_event e = { .type = SYNC_EVENT_ROWS,
						.link = 1,
						.len = 1,
						.bytes = bytes[k] };

			f.sid = rig_last(&r).sid;
			f.seq = rig_last(&r).seq;
			rig_forget(&r);
			put_be64(page + 1, (uint64_t)i + 1);
			rig_pass(&r, every[k]);
			if (r.done > 0)
				break;
			rig_step(&r, &e);
			if (r.done == 0)
				rig_hear(&r, 1, &f);
		}
		CU_ASSERT(r.rejected[0] == '\0');
		if (k == 0) {
			CU_ASSERT(r.done == 1 && r.result.rc == -ETIMEDOUT);
			CU_ASSERT(strstr(r.result.why, "less than 16 KiB") != NULL);
			CU_ASSERT(r.now - began <= 2 * SYNC_TRICKLE_MS);
		} else if (k == 1) {
			CU_ASSERT(r.done == 0);
		} else {
			CU_ASSERT(r.done == 1 && r.now - began >= SYNC_SESSION_MS);
		}
		rig_fini(&r);
	}
}

static void
test_cancel(void)
{
	struct sync_event e = { .type = SYNC_EVENT_CANCEL, .request = 2 };
	struct sync_result result;
	struct rig r;

	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	rig_start(&r, 1, 1, false);
	rig_start(&r, 1, 2, false);
	rig_step(&r, &e); /* it waits */
	CU_ASSERT(r.done == 1 && r.result.request == 2 && r.result.rc == -ECANCELED);
	e.request = 3; /* there is none */
	rig_step(&r, &e);
	CU_ASSERT(r.done == 1 && sync_progress(r.s, 1, &result));
	e.request = 1; /* it runs */
	rig_step(&r, &e);
	CU_ASSERT(r.done == 2 && r.result.request == 1 && r.result.rc == -ECANCELED);
	CU_ASSERT(rig_last(&r).type == SYNC_END && r.rejected[0] == '\0');
	rig_step(&r, &e); /* it has ended */
	CU_ASSERT(r.done == 2 && !sync_progress(r.s, 1, &result));
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

static const struct tap_test tests[] = {
	{ "an ANSWER answers what was asked, once and in order", test_answers },
	{ "of a list in portions only the last one is short", test_shown },
	{ "a DIFFER has one entry, and a table that can be", test_openings },
	{ "pages without an end come to one", test_endless },
	{ "late frames of an ended session are ignored, others are not", test_late },
	{ "a session ends by silence, by its link, by a failed read, by BUSY",
	  test_ends },
	{ "who has swept less sweeps and opens again, unless a clock is wrong",
	  test_horizon },
	{ "a horizon that moves on ends the session, and so does the link meanwhile",
	  test_horizon_moves_on },
	{ "a session that only trickles is ended, one that gets on is not",
	  test_trickle },
	{ "what was asked for and is cancelled ends, waiting or running", test_cancel },
	{ "garbage closes the link and nothing else", test_garbage },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
