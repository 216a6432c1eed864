/* SPDX-License-Identifier: Apache-2.0 */
/* When sessions of ours begin, and how often. */
#include "config.h"

#include "unit/sync-rig.h"

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
test_busy_names_another(void)
{
	struct sync_frame busy = { .type = SYNC_BUSY };
	struct rig r;

	rig_init(&r, 20, 0);
	for (uint64_t link = 1; link <= 3; link++)
		rig_up(&r, link, 20);
	rig_up(&r, 4, 30); /* differs: begins */
	CU_ASSERT(r.sent_len == 1 && r.sent_link[0] == 4);
	busy.sid = rig_last(&r).sid;
	busy.node.b[0] = 2;
	rig_hear(&r, 4, &busy);
	CU_ASSERT_FATAL(r.sent_len == 2);
	CU_ASSERT(r.sent_link[1] == 2 && rig_last(&r).type == SYNC_OPEN);
	/* One that is not linked: the first one again, later. */
	busy.sid = rig_last(&r).sid;
	busy.node.b[0] = 99;
	rig_hear(&r, 2, &busy);
	CU_ASSERT(r.sent_len == 2);
	rig_pass(&r, 2 * SYNC_BUSY_MS);
	CU_ASSERT(r.sent_len == 3);
	/* A person asked for this one. */
	rig_fini(&r);
	rig_init(&r, 20, 0);
	rig_up(&r, 1, 20);
	rig_up(&r, 2, 20);
	rig_start(&r, 1, 5, false);
	busy.sid = rig_last(&r).sid;
	busy.node.b[0] = 2;
	rig_hear(&r, 1, &busy);
	rig_pass(&r, 2 * SYNC_BUSY_MS);
	CU_ASSERT(r.sent_len == 2 && r.sent_link[1] == 1);
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
	CU_ASSERT(sync_word(root, 0x1ab) == 0x11223344550000ab);
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
	{ "the node with fewer rows begins when a link comes up", test_link_up },
	{ "roots that differ at two epochs begin a session, at three the other's",
	  test_roots },
	{ "sessions that find nothing become rare", test_retry },
	{ "a busy node's word for another is taken, unless a person chose it",
	  test_busy_names_another },
	{ "a random link is compared now and then, less often while equal", test_random },
	{ "the epoch of a heartbeat is found near ours, or not at all", test_epochs },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
