/* SPDX-License-Identifier: Apache-2.0 */
/* One dispatch core, step by step: bodies and replies, their credits and their bounds. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/dispatch-desk.h"

static struct dispatch_event
body(uint64_t query, const char *data, size_t len, bool is_last)
{
	return (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_BODY,
					.query = query,
					.data = bytes_of(data, len),
					.is_last = is_last };
}

static void
test_body(void)
{
	struct dispatch_event credit;
	struct desk k;

	desk_open(&k);
	desk_ask(&k, (struct desk_ask){ .query = 1,
					.nodes = { 11, 12 },
					.nodes_len = 2,
					.body_len = -1 });
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(desk_did(&k, body(1, "part", 4, false), "bW") &&
			  k.said[1].parts == 1);
	/* The run has no credit left: one more window waits here, and no more is asked for. */
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(desk_did(&k, body(1, "part", 4, false), ""));
	credit = desk_run_event(DISPATCH_EVENT_RUN_CREDIT, 11, 1);
	credit.parts = 2;
	desk_step(&k, credit);
	if (k.len == 0) {
		credit.link = 12;
		desk_step(&k, credit);
	}
	CU_ASSERT(strcmp(k.letters, "bbW") == 0 && k.said[2].parts == 2);
	/* More credit than was ever owed is not believed. */
	credit.parts = LIMIT_PARTS_WINDOW + 1;
	CU_ASSERT(desk_did(&k, credit, ""));
	/* It goes elsewhere, and all of the body with it. */
	CU_ASSERT(desk_did(&k, desk_run_failed(credit.link, 1, DISPATCH_NOT_TAKEN),
			   "obbbbbbbbbbbbbbbb"));
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
						    .query = 1 },
			   "x"));
	desk_close(&k);
}

static void
test_bad_bodies(void)
{
	static const char big[LIMIT_PART_BYTES_MAX + 1];
	struct desk k;

	desk_open(&k);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 1,
							 .body_len = (1 << 20) + 1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 413);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 2, .is_here = true, .body_len = 10 });
	CU_ASSERT(desk_did(&k, body(2, "short", 5, true), "Ex") &&
		  k.said[0].status == 400);
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 1, DISPATCH_ANSWERED), ""));
	desk_ask(&k, (struct desk_ask){ .query = 3, .is_here = true, .body_len = 3 });
	CU_ASSERT(desk_did(&k, body(3, "long", 4, false), "Ex") &&
		  k.said[0].status == 400);
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 2, DISPATCH_ANSWERED), ""));
	desk_ask(&k, (struct desk_ask){ .query = 4, .is_here = true, .body_len = -1 });
	CU_ASSERT(desk_did(&k, body(4, big, sizeof(big), false), "Ex"));
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 3, DISPATCH_ANSWERED), ""));
	/* Beyond http.max_body while it streams. */
	desk_ask(&k,
		 (struct desk_ask){
			 .query = 5, .nodes = { 11 }, .nodes_len = 1, .body_len = -1 });
	for (int i = 0; i < 17; i++)
		CU_ASSERT(desk_step(&k, body(5, big, 60000, false))[0] ==
			  (i < 16 ? 'b' : '\0'));
	CU_ASSERT(desk_did(&k, body(5, big, 60000, false), "Ex") &&
		  k.said[0].status == 413);
	desk_close(&k);
}

static void
test_reply_window(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "x", false),
				   i == 0 ? "HD" : "D"));
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "x", false), "Ex") &&
		  k.said[0].status == 502);
	CU_ASSERT(strstr(k.said[0].text, "more of its reply") != NULL);
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 1, DISPATCH_ANSWERED), ""));
	desk_close(&k);
}

static void
test_memory(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true, .body_len = 0 });
	/* 4 MiB hold four windows of 960 KiB; a fifth body has no room. */
	for (uint64_t q = 2; q <= 5; q++)
		desk_ask(&k, (struct desk_ask){ .query = q,
						.nodes = { 11 },
						.nodes_len = 1,
						.body_len = -1 });
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 6,
							 .nodes = { 11 },
							 .nodes_len = 1,
							 .body_len = -1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && strstr(k.said[0].text, "memory") != NULL);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 7,
							 .nodes = { 11 },
							 .nodes_len = 1 }),
			 "o") == 0);
	desk_step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = 11 });
	desk_step(&k, desk_run_data(0, 1, "", true));
	desk_close(&k);
}

/* As a driver keeps it that waits for the body's first part. */
static void
test_head_is_kept(void)
{
	const struct query_head *kept;
	struct dispatch_action a;
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	/* Another one, whose actions are taken one by one. */
	desk_ask(&k, (struct desk_ask){ .query = 2, .is_here = true });
	dispatch_step(k.dispatch, k.now,
		      &(struct dispatch_event){ .type = DISPATCH_EVENT_RUN_DATA,
						.run = 1,
						.is_last = true });
	while (dispatch_next(k.dispatch, &a) && a.type != DISPATCH_ACTION_RUN_OPEN)
		;
	CU_ASSERT_FATAL(a.type == DISPATCH_ACTION_RUN_OPEN && a.run == 2);
	kept = dispatch_head_keep(k.dispatch);
	CU_ASSERT(kept == a.head);
	desk_step(&k, desk_run_data(0, 2, "", true));
	desk_close(&k);
	CU_ASSERT_STRING_EQUAL(kept->service, "wc");
	CU_ASSERT(kept->timeout_ms == MS_MINUTE);
	dispatch_head_drop(kept);
	dispatch_head_drop(NULL);
}

static const struct tap_test tests[] = {
	{ "a body passes under credits and follows its query elsewhere", test_body },
	{ "bodies that are too long, too short or badly cut are refused",
	  test_bad_bodies },
	{ "a worker that ignores its window is cut off", test_reply_window },
	{ "bodies have a bound in all", test_memory },
	{ "the head of a run can be kept beyond its query", test_head_is_kept },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
