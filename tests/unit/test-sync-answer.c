/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that others drive: what they may ask, how often, and what they are told. The peer
 * is made of bare hands. */
#include "config.h"

#include <string.h>

#include "unit/sync-rig.h"

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

/* An OPEN of another horizon, and at 100 ourselves. */
static void
test_horizon(void)
{
	struct {
		uint64_t theirs;
		bool is_dry;
		enum sync_frame_type answer;
		uint64_t ours; /* afterwards */
	} cases[] = {
		{ 100, false, SYNC_DIFFER, 100 }, { 50, false, SYNC_APART, 100 },
		{ 150, false, SYNC_DIFFER, 150 }, { 300, false, SYNC_APART, 100 },
		{ 50, true, SYNC_DIFFER, 100 },	  { 300, true, SYNC_DIFFER, 100 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int is_final = 0; is_final < 2; is_final++) {
			struct sync_frame f = open_of(9);
			struct rig r;

			rig_init(&r, 200, 0);
			r.horizon = 100;
			r.believed = 200;
			rig_up(&r, 1, 200);
			f.horizon = cases[i].theirs;
			f.flags |= cases[i].is_dry ? SYNC_FLAG_DRY : 0;
			f.flags |= is_final ? SYNC_FLAG_FINAL : 0;
			rig_hear(&r, 1, &f);
			CU_ASSERT(r.sent_len == 1 && r.rejected[0] == '\0');
			CU_ASSERT(rig_last(&r).type == cases[i].answer);
			CU_ASSERT(r.horizon == cases[i].ours);
			if (cases[i].answer == SYNC_APART)
				CU_ASSERT(rig_last(&r).horizon == 100);
			/* The other one has swept meanwhile, and opens again. */
			f.horizon = r.horizon;
			rig_hear(&r, 1, &f);
			CU_ASSERT(r.sent_len == 2 && rig_last(&r).type == SYNC_DIFFER);
			rig_fini(&r);
		}
}

static void
test_sweep_and_the_link(void)
{
	struct sync_frame f = open_of(9);
	struct rig r;

	rig_init(&r, 200, 0);
	r.believed = 200;
	rig_up(&r, 1, 200);
	f.horizon = 150;
	r.is_held = true;
	rig_hear(&r, 1, &f);
	rig_pass(&r, 2 * SYNC_INBOUND_IDLE_MS); /* a sweep takes its time */
	CU_ASSERT(r.reads_len == 1 && r.sent_len == 0);
	rig_down(&r, 1);
	rig_release(&r);
	CU_ASSERT(r.sent_len == 0 && r.rejected[0] == '\0');
	rig_fini(&r);
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

/* A node that opens one session behind the other gives way to who was refused meanwhile,
 * also over another link; and nobody keeps a place for ever that others wait for. */
static void
test_turns(void)
{
	struct sync_frame f = open_of(9), ask = { .type = SYNC_ASK, .sid = 9 };
	struct rig r;

	rig_init(&r, 200, 0);
	for (uint64_t link = 1; link <= 3; link++)
		rig_up(&r, link, 200);
	rig_hear(&r, 1, &f);
	rig_hear(&r, 2, &f);
	rig_pass(&r, MS_SECOND);
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_pass(&r, MS_SECOND);
	f.sid++;
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_down(&r, 1);
	rig_up(&r, 1, 200);
	f.sid++;
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	/* Who is refused and does not come back is not waited for long. */
	rig_pass(&r, MS_SECOND);
	f.sid++;
	rig_hear(&r, 1, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_pass(&r, SYNC_BUSY_WAIT_MS);
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER);
	rig_fini(&r);

	rig_init(&r, 200, 0);
	for (uint64_t link = 1; link <= 3; link++)
		rig_up(&r, link, 200);
	f = open_of(9);
	rig_hear(&r, 1, &f);
	rig_hear(&r, 2, &f);
	for (int i = 0; i < SYNC_TURN_MS / MS_SECOND - 1; i++) {
		rig_pass(&r, MS_SECOND);
		rig_hear(&r, 1, &ask);
		CU_ASSERT(rig_last(&r).type == SYNC_ANSWER);
		rig_hear(&r, 2, &ask);
		CU_ASSERT(rig_last(&r).type == SYNC_ANSWER);
		rig_forget(&r);
	}
	f.sid++;
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY);
	rig_pass(&r, MS_SECOND);
	rig_hear(&r, 1, &ask);
	CU_ASSERT(rig_last(&r).type == SYNC_BUSY && rig_last(&r).sid == 9);
	rig_hear(&r, 3, &f);
	CU_ASSERT(rig_last(&r).type == SYNC_DIFFER && r.rejected[0] == '\0');
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

static const struct tap_test tests[] = {
	{ "an OPEN is answered by SAME, a list or digests", test_open },
	{ "tables of two horizons are not compared before the lower one is swept",
	  test_horizon },
	{ "a sweep may take long, and longer than the link", test_sweep_and_the_link },
	{ "a third session is sent elsewhere until one ends or falls silent", test_busy },
	{ "who wants session after session gives way to who waits", test_turns },
	{ "sessions may be opened twice a second, and not faster", test_flood },
	{ "ASKs belong to a session, eight at a time, and not for ever", test_asks },
	{ "what may not be asked is refused, and nothing is answered", test_ask_entries },
	{ "a responder that cannot read says that it is busy", test_responder_fails },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
