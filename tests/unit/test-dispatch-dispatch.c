/* SPDX-License-Identifier: Apache-2.0 */
/* One dispatch core, step by step. Several of them, with everything that can go wrong, are
 * in tests/sim. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/dispatch-desk.h"

static void
test_answer(void)
{
	struct reply_head reply = { .status = 201 };
	struct dispatch_event e;
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 7, 1, NULL);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true }),
			 "To") == 0);
	CU_ASSERT(k.said[1].run == 1 && k.said[1].worker == 7);
	CU_ASSERT(k.said[1].timeout == MS_MINUTE);
	e = desk_run_event(DISPATCH_EVENT_RUN_HEAD, 0, 1);
	e.reply = &reply;
	CU_ASSERT(desk_did(&k, e, "H") && k.said[0].status == 201);
	CU_ASSERT(strcmp(k.said[0].who, "w7") == 0);
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "5\n", false), "D") &&
		  k.said[0].len == 2);
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CREDIT,
						    .query = 1,
						    .parts = 1 },
			   "c"));
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "", true), "D") && k.said[0].is_last);
	CU_ASSERT(dispatch_due(k.dispatch) == -1);
	desk_close(&k);
}

static void
test_late_binding(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, "model=a");
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 2, .is_here = true }),
			 "") == 0);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 3,
							 .is_here = true,
							 .selector = "model=a" }),
			 "") == 0);
	/* The queue is full: told when to come back. */
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 4, .is_here = true }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after >= 1);
	CU_ASSERT(strstr(k.said[0].text, "2 queries wait") != NULL);
	/* A new worker takes what it serves, the oldest first. */
	CU_ASSERT(strcmp(desk_worker(&k, 2, 1, "model=b"), "To") == 0 &&
		  k.said[0].query == 2);
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "", true), "HDTo") &&
		  k.said[2].query == 3);
	desk_step(&k, desk_run_data(0, 2, "", true));
	desk_step(&k, desk_run_data(0, 3, "", true));
	desk_close(&k);
}

static void
test_selectors(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, "model=a");
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 1,
							 .is_here = true,
							 .selector = "model=b" }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && strstr(k.said[0].text, "\"wc\"") != NULL);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 2 }), "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after == 1);
	desk_close(&k);
}

static void
test_deadline(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true, .timeout = 5000 });
	desk_ask(&k, (struct desk_ask){ .query = 2, .is_here = true, .timeout = 2000 });
	CU_ASSERT(dispatch_due(k.dispatch) == 3000);
	k.now = 3000;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "E"));
	CU_ASSERT(k.said[0].query == 2 && k.said[0].status == 504);
	CU_ASSERT(strstr(k.said[0].text, "free within 2 s") != NULL);
	k.now = 6000;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "Ex"));
	CU_ASSERT(strstr(k.said[0].text, "worker w1 on node abababab did not finish") !=
		  NULL);
	CU_ASSERT(strcmp(k.said[0].who, "w1") == 0);
	/* The slot is held until the worker has stopped, or for a while. */
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 3, .is_here = true }),
			 "") == 0);
	CU_ASSERT(dispatch_due(k.dispatch) == 6000 + DISPATCH_CANCEL_MS);
	k.now = 6000 + DISPATCH_CANCEL_MS;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "To"));
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "late", true), ""));
	desk_step(&k, desk_run_data(0, 2, "", true));
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 4, .timeout = -1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 504);
	desk_close(&k);
}

static void
test_elsewhere(void)
{
	uint64_t first, second;
	struct desk k;

	desk_open(&k);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 1,
							 .nodes = { 11, 12 },
							 .nodes_len = 2 }),
			 "o") == 0);
	first = k.said[0].link;
	CU_ASSERT(k.said[0].hops == 1);
	/* Nobody there has taken it: the other node is tried. */
	CU_ASSERT(desk_did(&k, desk_run_failed(first, 1, DISPATCH_NOT_TAKEN), "o"));
	second = k.said[0].link;
	CU_ASSERT(first + second == 23 && k.said[0].attempt == 1 && k.said[0].run == 2);
	/* Words of the first attempt, or from the wrong node, mean nothing. */
	CU_ASSERT(desk_did(&k, desk_run_data(first, 1, "x", true), ""));
	CU_ASSERT(desk_did(&k, desk_run_data(first, 2, "x", true), ""));
	CU_ASSERT(
		desk_did(&k, desk_run_event(DISPATCH_EVENT_RUN_TAKEN, second, 2), "Tg"));
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						    .link = second },
			   "E"));
	CU_ASSERT(k.said[0].status == 502 && k.said[0].is_taken);
	CU_ASSERT(strstr(k.said[0].text, "was lost") != NULL);
	/* Not taken, and nowhere else to go: to be asked again later. */
	desk_ask(&k, (struct desk_ask){ .query = 2, .nodes = { 13 }, .nodes_len = 1 });
	CU_ASSERT(desk_did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 13 },
		"E"));
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after > 0);
	CU_ASSERT(!k.said[0].is_taken);
	desk_close(&k);
}

static void
test_idempotent(void)
{
	uint64_t first;
	struct desk k;

	desk_open(&k);
	desk_ask(&k, (struct desk_ask){ .query = 1,
					.nodes = { 11, 12, 13 },
					.nodes_len = 3,
					.is_idempotent = true });
	first = k.said[0].link;
	CU_ASSERT(desk_did(&k, desk_run_event(DISPATCH_EVENT_RUN_TAKEN, first, 1), "T"));
	/* One retry is allowed after it was taken, not two. */
	CU_ASSERT(desk_did(&k, desk_run_failed(first, 1, DISPATCH_LOST), "o"));
	CU_ASSERT(k.said[0].link != first);
	CU_ASSERT(k.len == 1 && k.said[0].attempt == 1);
	CU_ASSERT(desk_did(&k, desk_run_failed(k.said[0].link, 2, DISPATCH_LOST), "E"));
	CU_ASSERT(k.said[0].status == 502);
	/* What the worker itself answers is final. */
	desk_ask(&k, (struct desk_ask){ .query = 2,
					.nodes = { 11, 12 },
					.nodes_len = 2,
					.is_idempotent = true });
	CU_ASSERT(
		desk_did(&k, desk_run_failed(k.said[0].link, 3, DISPATCH_ANSWERED), "E"));
	CU_ASSERT(k.said[0].is_final && strcmp(k.said[0].text, "it broke") == 0);
	desk_close(&k);
}

static void
test_after_first_byte(void)
{
	struct desk k;

	desk_open(&k);
	desk_ask(&k, (struct desk_ask){ .query = 1,
					.nodes = { 11, 12 },
					.nodes_len = 2,
					.is_idempotent = true });
	CU_ASSERT(desk_did(&k, desk_run_data(k.said[0].link, 1, "x", false), "HD"));
	desk_step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = 11 });
	if (k.len == 0)
		desk_step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						       .link = 12 });
	CU_ASSERT(strcmp(k.letters, "E") == 0 && k.said[0].status == 502);
	desk_close(&k);
}

static void
test_receiver_go(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	/* Not idempotent: the worker waits for GO, its slot is reserved. */
	CU_ASSERT(strcmp(desk_ask(&k,
				  (struct desk_ask){ .link = 5, .query = 9, .hops = 1 }),
			 "T") == 0);
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == 9);
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_GO,
						    .link = 5,
						    .query = 9 },
			   "o"));
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_GO,
						    .link = 5,
						    .query = 9 },
			   ""));
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "", true), "HD") &&
		  k.said[0].link == 5);
	desk_ask(&k, (struct desk_ask){ .link = 5, .query = 10, .hops = 1 });
	k.now += DISPATCH_GO_MS;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "E"));
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken);
	/* Idempotent: at once. A third hop: never. */
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .link = 5,
							 .query = 11,
							 .hops = 1,
							 .is_idempotent = true }),
			 "To") == 0);
	CU_ASSERT(strcmp(desk_ask(&k,
				  (struct desk_ask){ .link = 5, .query = 12, .hops = 3 }),
			 "E") == 0);
	/* Its asker is gone: the worker is told. */
	CU_ASSERT(desk_did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 5 },
		"x"));
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 3, DISPATCH_ANSWERED), ""));
	desk_close(&k);
}

static struct dispatch_event
drain(bool is_draining)
{
	return (struct dispatch_event){ .type = DISPATCH_EVENT_DRAIN,
					.is_draining = is_draining };
}

static void
test_drain(void)
{
	struct dispatch_event e;
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .link = 5, .query = 9, .hops = 1 });
	desk_ask(&k, (struct desk_ask){ .link = 5, .query = 10, .hops = 1 });
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	/* Another node's query that waits goes back to be asked elsewhere; that of a client
	 * of ours has nowhere else to wait. */
	CU_ASSERT(desk_did(&k, drain(true), "E"));
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == 10);
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken && !k.said[0].is_final);
	CU_ASSERT(k.said[0].retry_after == DISPATCH_DRAIN_RETRY_S);
	CU_ASSERT(strstr(k.said[0].text, "drains") != NULL);
	CU_ASSERT(strcmp(desk_ask(&k,
				  (struct desk_ask){ .link = 6, .query = 1, .hops = 1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken);
	/* What had a worker before goes on, also when its asker still had to say so. */
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_GO,
						    .link = 5,
						    .query = 9 },
			   "o"));
	CU_ASSERT(desk_did(&k, desk_run_data(0, 1, "done", true), "HDTo"));
	CU_ASSERT(k.said[0].link == 5 && k.said[2].link == 0);
	CU_ASSERT(desk_did(&k, desk_run_data(0, 2, "done", true), "HD"));
	/* And again. */
	CU_ASSERT(desk_did(&k, drain(false), ""));
	desk_ask(&k, (struct desk_ask){
			     .link = 5, .query = 11, .hops = 1, .is_idempotent = true });
	CU_ASSERT(strcmp(k.letters, "To") == 0);
	/* One that comes back from its worker meanwhile is not kept either. */
	desk_step(&k, drain(true));
	e = desk_run_event(DISPATCH_EVENT_RUN_RETURNED, 0, 3);
	CU_ASSERT(desk_did(&k, e, "E") && k.said[0].status == 503 && !k.said[0].is_taken);
	desk_close(&k);
}

static void
test_stop(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	desk_ask(&k, (struct desk_ask){ .query = 2, .is_here = true });
	desk_ask(&k, (struct desk_ask){ .query = 3, .nodes = { 11 }, .nodes_len = 1 });
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_STOP },
			   "ExEEx"));
	CU_ASSERT(k.said[0].query == 1 && k.said[0].status == 502 && k.said[0].is_taken);
	CU_ASSERT(k.said[2].status == 503 && !k.said[2].is_taken);
	CU_ASSERT(k.said[2].retry_after > 0);
	CU_ASSERT(k.said[3].query == 3 && k.said[3].status == 503);
	CU_ASSERT(k.said[4].link == 11);
	CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = 4, .is_here = true }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503);
	/* A slot that becomes free is for nobody. */
	CU_ASSERT(desk_did(&k, desk_run_failed(0, 1, DISPATCH_ANSWERED), ""));
	desk_close(&k);
}

static void
test_returned(void)
{
	struct dispatch_event e;
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	e = desk_run_event(DISPATCH_EVENT_RUN_RETURNED, 0, 1);
	e.retry_after_s = 2;
	CU_ASSERT(desk_did(&k, e, ""));
	k.now += 1999;
	CU_ASSERT(
		desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, ""));
	k.now += 1;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "To"));
	/* The last worker goes: nothing waits for it. */
	e.run = 2;
	desk_step(&k, e);
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
						    .worker_id = 1 },
			   "E"));
	CU_ASSERT(k.said[0].status == 503 && strstr(k.said[0].text, "is gone") != NULL);
	desk_close(&k);
}

static void
test_worker_gone(void)
{
	struct desk k;

	desk_open(&k);
	desk_worker(&k, 1, 1, NULL);
	desk_ask(&k, (struct desk_ask){ .query = 1, .is_here = true });
	desk_ask(&k,
		 (struct desk_ask){ .query = 2, .is_here = true, .is_idempotent = true });
	desk_worker(&k, 2, 1, NULL); /* takes 2 */
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
						    .worker_id = 1 },
			   "E"));
	CU_ASSERT(k.said[0].query == 1 && k.said[0].status == 502);
	CU_ASSERT(strstr(k.said[0].text, "worker w1") != NULL);
	desk_worker(&k, 3, 1, NULL);
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
						    .worker_id = 2 },
			   "To"));
	CU_ASSERT(k.said[1].worker == 3 && k.said[1].attempt == 1);
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_BUS_DOWN },
			   "E"));
	CU_ASSERT(k.said[0].status == 502);
	desk_close(&k);
}

static const struct tap_test tests[] = {
	{ "a worker's reply passes to its client, part by part", test_answer },
	{ "queries wait for a free slot of a worker that serves them, first come first served",
	  test_late_binding },
	{ "a selector that nobody serves, or no candidate, is 503", test_selectors },
	{ "at its deadline a query ends with 504, wherever it is", test_deadline },
	{ "what nobody has taken goes elsewhere; what was taken does not",
	  test_elsewhere },
	{ "an idempotent query is tried again, as often as configured", test_idempotent },
	{ "after the first byte nothing is tried again", test_after_first_byte },
	{ "a query of another node runs when its asker says so, and ends with its link",
	  test_receiver_go },
	{ "a node that drains finishes what runs and takes nothing new of others",
	  test_drain },
	{ "at the end every query is told what became of it", test_stop },
	{ "a query that a worker gives back waits until that worker has rested",
	  test_returned },
	{ "a worker that vanishes fails its queries over", test_worker_gone },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
