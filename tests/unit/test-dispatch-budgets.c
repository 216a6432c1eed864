/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts beyond the first: how many a budget allows, and what becomes of a query that is with
 * two workers at the same time. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "dispatch/budgets.h"
#include "dispatch/dispatch.h"
#include "dispatch/loads.h"
#include "lib/tap.h"

/* ---- the buckets and the histogram alone */

static int
retries_now(struct budget *b, ms_t now)
{
	int n = 0;

	while (budget_retry(b, now))
		n++;
	return n;
}

static void
test_shares(void)
{
	struct budgets budgets = { 0 };
	struct budget *b = budgets_get(&budgets, 1, 5000);
	int hedges = 0;

	CU_ASSERT(retries_now(b, 5000) == BUDGET_RETRY_RESERVE);
	CU_ASSERT(!budget_hedge(b));
	for (int i = 0; i < 1000; i++)
		budget_query(b, BUDGET_HEDGE_PERCENT);
	/* No more of those is saved up. */
	while (budget_has_hedge(b) && budget_hedge(b))
		hedges++;
	CU_ASSERT(hedges == BUDGET_HEDGE_MAX);
	CU_ASSERT(retries_now(b, 5000) == 1000 * BUDGET_RETRY_PERCENT / 100);
	for (int i = 0; i < 200; i++) {
		budget_query(b, BUDGET_HEDGE_PERCENT);
		hedges += budget_hedge(b);
	}
	CU_ASSERT(hedges == BUDGET_HEDGE_MAX + 200 * BUDGET_HEDGE_PERCENT / 100);
	for (int i = 0; i < 100000; i++)
		budget_query(b, 0);
	CU_ASSERT(retries_now(b, 5000) == BUDGET_RETRY_MAX);
	/* Time alone brings the reserve back, and not more. */
	CU_ASSERT(retries_now(b, 7000) == 2 * BUDGET_RETRY_PER_S);
	CU_ASSERT(retries_now(b, 7000 + MS_DAY) == BUDGET_RETRY_RESERVE);
	budgets_fini(&budgets);
}

static void
test_percentile(void)
{
	struct budgets budgets = { 0 };
	struct budget *b = budgets_get(&budgets, 1, 0);

	for (int i = 0; i < BUDGET_SEEN_MIN - 1; i++) {
		budget_seen(b, 100);
		CU_ASSERT(budget_hedge_after(b) == -1);
	}
	/* Steps of an eighth, and never less. */
	budget_seen(b, 100);
	CU_ASSERT(budget_hedge_after(b) > 100 && budget_hedge_after(b) <= 113);
	/* It follows: of 1 … 1000 ms, 950. */
	for (int i = 0; i < 20000; i++)
		budget_seen(b, 1 + (i * 7919) % 1000);
	CU_ASSERT(budget_hedge_after(b) > 900 && budget_hedge_after(b) < 1100);
	for (int i = 0; i < 3000; i++)
		budget_seen(b, i % 2);
	CU_ASSERT(budget_hedge_after(b) == BUDGET_HEDGE_MS_MIN);
	/* Whatever comes. */
	for (int i = 0; i < 3000; i++)
		budget_seen(b, i % 2 == 0 ? INT64_MAX : -5);
	CU_ASSERT(budget_hedge_after(b) >= (ms_t)1 << 27);
	budgets_fini(&budgets);
}

static void
test_bounded(void)
{
	struct budgets budgets = { 0 };

	for (uint64_t i = 0; i < 3 * BUDGETS_MAX; i++) {
		struct budget *b = budgets_get(&budgets, 7, 0);

		CU_ASSERT(i == 0 || b->hedges == 1000);
		b->hedges = 1000;
		budgets_get(&budgets, 1000 + i, 0);
	}
	CU_ASSERT(budgets.len == BUDGETS_MAX);
	budgets_fini(&budgets);
	CU_ASSERT(budgets.len == 0 && budgets.services == NULL);
}

/* ---- in the core */

enum { SAID_MAX = 64, TOOK_MS = 10 };

struct desk {
	struct dispatch *dispatch;
	ms_t now;
	uint64_t next; /* query */
	char letters[SAID_MAX + 1];
	struct {
		uint64_t link, run, worker;
		int hops, attempt, status;
	} said[SAID_MAX];
	int len;
};

static const char *
step(struct desk *k, struct dispatch_event e)
{
	static const char letters[] = "wPUWTLHDEobgcx";
	struct dispatch_action a;

	k->len = 0;
	memset(k->letters, 0, sizeof(k->letters));
	dispatch_step(k->dispatch, k->now, &e);
	while (dispatch_next(k->dispatch, &a)) {
		/* Words of load are another matter. */
		if (strchr("PUL", letters[a.type]) != NULL)
			continue;
		CU_ASSERT_FATAL(k->len < SAID_MAX);
		k->said[k->len].link = a.link;
		k->said[k->len].run = a.run;
		k->said[k->len].worker = a.worker_id;
		k->said[k->len].hops = a.head != NULL ? a.head->hops : 0;
		k->said[k->len].attempt = a.head != NULL ? a.head->attempt : 0;
		k->said[k->len].status = a.error != NULL ? a.error->status : 0;
		k->letters[k->len++] = letters[a.type];
	}
	return k->letters;
}

static bool
did(struct desk *k, struct dispatch_event e, const char *letters)
{
	const char *was = step(k, e);

	if (strcmp(was, letters) != 0)
		tap_note("actions \"%s\", not \"%s\"", was, letters);
	return strcmp(was, letters) == 0;
}

static void
desk_open(struct desk *k, int hedge_percent)
{
	struct dispatch_config config = { .seed = tap_seed(),
					  .queue_max = 100,
					  .buffer_bytes_max = 64 << 20,
					  .retries = 3,
					  .hedge_percent = hedge_percent,
					  .body_bytes_max = 16 << 20,
					  .policy = DISPATCH_BEST };

	*k = (struct desk){ .now = 100000 };
	memset(config.self.b, 0xaa, ID_BYTES);
	k->dispatch = dispatch_new(&config);
}

static struct dispatch_stats
desk_stats(const struct desk *k)
{
	struct dispatch_stats stats;

	dispatch_stats(k->dispatch, &stats);
	return stats;
}

static void
desk_close(struct desk *k)
{
	struct dispatch_stats stats = desk_stats(k);

	CU_ASSERT(stats.queries == 0 && stats.queued == 0 && stats.running == 0);
	CU_ASSERT(stats.forwarded == 0 && stats.buffered_bytes == 0);
	dispatch_free(k->dispatch);
}

static void
worker(struct desk *k, int number, int slots)
{
	struct dispatch_service service = { .name = "wc" };
	struct dispatch_worker info = { .worker = (uint64_t)number,
					.name = "w",
					.slots = slots,
					.services = &service,
					.services_len = 1 };

	step(k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER, .worker = &info });
}

struct ask {
	int nodes; /* 1 … n have the links of that number */
	bool is_here, is_idempotent;
	int64_t body_len;
	ms_t timeout;
};

static struct dispatch_event
ask(struct desk *k, struct ask a)
{
	static struct dispatch_candidate candidates[10];
	static char text[] = "r", service[] = "wc";
	static struct query_head head;
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .query = ++k->next,
				    .head = &head,
				    .candidates = candidates };

	head = (struct query_head){ .request_id = text,
				    .service = service,
				    .method = text,
				    .path = text,
				    .is_idempotent = a.is_idempotent,
				    .body_len = a.body_len,
				    .timeout_ms = a.timeout > 0 ? a.timeout : MS_HOUR };
	for (int i = 1; i <= a.nodes; i++) {
		candidates[e.candidates_len] = (struct dispatch_candidate){
			.link = (uint64_t)i, .slots = 1000
		};
		memset(candidates[e.candidates_len++].node.b, i, ID_BYTES);
	}
	if (a.is_here) {
		candidates[e.candidates_len] = (struct dispatch_candidate){ 0 };
		memset(candidates[e.candidates_len++].node.b, 0xaa, ID_BYTES);
	}
	return e;
}

static struct dispatch_event
run(enum dispatch_event_type type, uint64_t link, uint64_t number)
{
	return (struct dispatch_event){ .type = type,
					.link = link,
					.run = number,
					.failure = DISPATCH_LOST,
					.is_last = true };
}

static struct dispatch_event
tick(struct desk *k, ms_t after)
{
	k->now += after;
	return (struct dispatch_event){ .type = DISPATCH_EVENT_TICK };
}

/* Enough replies, after 10 ms each, to know when one is late. */
static void
warm(struct desk *k, struct ask a)
{
	for (int i = 0; i < BUDGET_SEEN_MIN; i++) {
		uint64_t link, number;

		step(k, ask(k, a));
		CU_ASSERT_FATAL(k->len > 0);
		link = k->said[k->len - 1].link;
		number = k->said[k->len - 1].run;
		step(k, tick(k, TOOK_MS));
		CU_ASSERT(did(k, run(DISPATCH_EVENT_RUN_DATA, link, number), "HD"));
	}
	CU_ASSERT(desk_stats(k).hedges == 0);
}

static const struct ask two_nodes = { .nodes = 2, .is_idempotent = true };
enum { LATE_MS = 12 }; /* the end of the step in which 10 is, at the latest */

static void
test_retry_budget(void)
{
	int opened = 0, errors = 0;
	struct desk k;

	desk_open(&k, 0);
	for (int i = 0; i < 1000; i++) {
		/* Whoever takes it loses it. */
		step(&k, ask(&k, (struct ask){ .nodes = 4, .is_idempotent = true }));
		while (k.len == 1 && k.letters[0] == 'o') {
			opened++;
			CU_ASSERT(k.said[0].attempt <= 3);
			step(&k, run(DISPATCH_EVENT_RUN_FAILED, k.said[0].link,
				     k.said[0].run));
		}
		CU_ASSERT(strcmp(k.letters, "E") == 0);
		errors += k.said[0].status == 502;
	}
	CU_ASSERT(errors == 1000);
	CU_ASSERT(opened ==
		  1000 + BUDGET_RETRY_RESERVE + 1000 * BUDGET_RETRY_PERCENT / 100);
	CU_ASSERT(desk_stats(&k).repeated == (uint64_t)opened - 1000);
	CU_ASSERT(desk_stats(&k).unrepeated > 0);
	desk_close(&k);
}

/* What no worker has had costs nothing to try elsewhere. */
static void
test_untaken(void)
{
	struct desk k;

	desk_open(&k, 0);
	for (int i = 0; i < 300; i++) {
		struct dispatch_event e;

		step(&k, ask(&k, (struct ask){ .nodes = 4 }));
		for (int n = 1; n <= 4; n++) {
			CU_ASSERT_FATAL(strcmp(k.letters, "o") == 0);
			e = run(DISPATCH_EVENT_RUN_FAILED, k.said[0].link, k.said[0].run);
			e.failure = DISPATCH_NOT_TAKEN;
			step(&k, e);
		}
		CU_ASSERT(strcmp(k.letters, "E") == 0);
	}
	CU_ASSERT(desk_stats(&k).repeated == 0 && desk_stats(&k).unrepeated == 0);
	desk_close(&k);
}

static void
test_hedge(void)
{
	uint64_t link, number;
	struct desk k;

	desk_open(&k, 100);
	warm(&k, two_nodes);
	for (int winner = 0; winner < 2; winner++) {
		CU_ASSERT(did(&k, ask(&k, two_nodes), "o"));
		link = k.said[0].link;
		number = k.said[0].run;
		CU_ASSERT(did(&k, tick(&k, TOOK_MS), ""));
		CU_ASSERT(did(&k, tick(&k, LATE_MS - TOOK_MS), "o"));
		CU_ASSERT(k.said[0].link == 3 - link);
		/* It is not passed on, and is known for a repetition. */
		CU_ASSERT(k.said[0].hops == DISPATCH_HOPS_MAX && k.said[0].attempt == 1);
		CU_ASSERT(desk_stats(&k).forwarded == 2);
		CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_TAKEN, 3 - link, number + 1),
			      "T"));
		/* No third one. */
		CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
		if (winner == 1) {
			link = 3 - link;
			number++;
		}
		/* Its first byte decides. */
		CU_ASSERT(did(&k,
			      (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_DATA,
						       .link = link,
						       .run = number,
						       .data = bytes_text("x") },
			      "xHD"));
		CU_ASSERT(k.said[0].link == 3 - link);
		CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 3 - link, k.said[0].run),
			      ""));
		CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, link, number), "D"));
		CU_ASSERT(desk_stats(&k).hedges_won == (uint64_t)winner);
	}
	CU_ASSERT(desk_stats(&k).hedges == 2);
	/* The client leaves: both are told. */
	step(&k, ask(&k, two_nodes));
	while (desk_stats(&k).hedges == 2)
		step(&k, tick(&k, 1));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					       .query = k.next },
		      "xx"));
	desk_close(&k);
}

/* Of two attempts one may fail. */
static void
test_hedge_fails(void)
{
	struct desk k;

	desk_open(&k, 100);
	warm(&k, two_nodes);
	for (int dies = 0; dies < 4; dies++) {
		uint64_t first, second, number;
		struct dispatch_event e;

		step(&k, ask(&k, two_nodes));
		first = k.said[0].link;
		number = k.said[0].run;
		while (k.len == 0 || k.letters[0] != 'o' || k.said[0].run == number)
			step(&k, tick(&k, 1));
		second = k.said[0].link;
		CU_ASSERT(second == 3 - first);
		/* Without a word to the client. */
		if (dies % 2 == 0) {
			e = run(DISPATCH_EVENT_RUN_FAILED, first, number);
			CU_ASSERT(did(&k, e, ""));
			number++;
			first = second;
		} else {
			e = run(DISPATCH_EVENT_LINK_DOWN, second, 0);
			CU_ASSERT(did(&k, e, ""));
		}
		CU_ASSERT(desk_stats(&k).forwarded == 1);
		if (dies < 2) {
			CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, first, number),
				      "HD"));
			continue;
		}
		/* Both: then it is over as ever. */
		e = run(DISPATCH_EVENT_RUN_FAILED, first, number);
		e.failure = DISPATCH_ANSWERED;
		CU_ASSERT(did(&k, e, "E"));
	}
	desk_close(&k);
}

static void
test_no_hedge(void)
{
	struct ask plain = two_nodes, body = two_nodes, alone = two_nodes;
	struct dispatch_event e;
	struct desk k;

	plain.is_idempotent = false;
	body.body_len = 4;
	alone.nodes = 1;
	desk_open(&k, 100);
	warm(&k, two_nodes);
	/* May not run twice; nobody else; the body is not here; a reply has begun. */
	CU_ASSERT(did(&k, ask(&k, plain), "o"));
	e = run(DISPATCH_EVENT_RUN_DATA, k.said[0].link, k.said[0].run);
	CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
	CU_ASSERT(did(&k, e, "HD"));
	CU_ASSERT(did(&k, ask(&k, alone), "o"));
	e = run(DISPATCH_EVENT_RUN_DATA, 1, k.said[0].run);
	CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
	CU_ASSERT(did(&k, e, "HD"));
	step(&k, ask(&k, body));
	CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					  .query = k.next });
	CU_ASSERT(did(&k, ask(&k, two_nodes), "o"));
	e = run(DISPATCH_EVENT_RUN_DATA, k.said[0].link, k.said[0].run);
	e.is_last = false;
	e.data = bytes_text("x");
	CU_ASSERT(did(&k, e, "HD"));
	CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
	e.is_last = true;
	CU_ASSERT(did(&k, e, "D"));
	CU_ASSERT(desk_stats(&k).hedges == 0);
	desk_close(&k);
	/* Not beyond the budget: one in 50, and the beginning pays nothing. */
	desk_open(&k, BUDGET_HEDGE_PERCENT);
	warm(&k, two_nodes);
	for (int i = 0; i < 200; i++) {
		step(&k, ask(&k, two_nodes));
		step(&k, tick(&k, 40 * MS_MINUTE));
		step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
						  .query = k.next });
	}
	CU_ASSERT(desk_stats(&k).hedges ==
		  (200 + BUDGET_SEEN_MIN) * BUDGET_HEDGE_PERCENT / 100);
	desk_close(&k);
	/* Not at all. */
	desk_open(&k, 0);
	warm(&k, two_nodes);
	step(&k, ask(&k, two_nodes));
	CU_ASSERT(did(&k, tick(&k, MS_SECOND), ""));
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					  .query = k.next });
	desk_close(&k);
}

/* At another worker of this node, with all of the body. */
static void
test_hedge_here(void)
{
	struct ask here = { .is_here = true, .is_idempotent = true };
	struct dispatch_event e;
	uint64_t first, number;
	struct desk k;

	desk_open(&k, 100);
	worker(&k, 1, 1);
	warm(&k, here);
	here.body_len = 8;
	CU_ASSERT(did(&k, ask(&k, here), "To"));
	first = k.said[1].worker;
	number = k.said[1].run;
	e = (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_BODY,
				     .query = k.next,
				     .data = bytes_text("half") };
	step(&k, e);
	e.is_last = true;
	step(&k, e);
	/* No free slot but its own. */
	CU_ASSERT(did(&k, tick(&k, LATE_MS), ""));
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					  .query = k.next });
	step(&k, run(DISPATCH_EVENT_RUN_FAILED, 0, number));
	worker(&k, 2, 1);
	CU_ASSERT(did(&k, ask(&k, here), "To"));
	first = k.said[1].worker;
	number = k.said[1].run;
	e.query = k.next;
	e.is_last = false;
	CU_ASSERT(did(&k, e, "bW"));
	e.is_last = true;
	CU_ASSERT(did(&k, e, "b"));
	CU_ASSERT(did(&k, tick(&k, LATE_MS), "obb"));
	CU_ASSERT(k.said[0].worker == 3 - first && k.said[0].run == number + 1);
	CU_ASSERT(desk_stats(&k).running == 2);
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, number + 1), "xHD"));
	CU_ASSERT(k.said[0].worker == first);
	/* Its slot is free when it has stopped. */
	CU_ASSERT(desk_stats(&k).running == 1);
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_FAILED, 0, number), ""));
	desk_close(&k);
}

/* Who lets deadlines pass has failed; whom a client leaves has not. */
static void
test_hung(void)
{
	struct ask soon = { .nodes = 2, .timeout = 20 * MS_SECOND };
	int first = 0;
	struct desk k;

	desk_open(&k, 0);
	for (int i = 0; i < 60; i++) {
		step(&k, ask(&k, soon));
		CU_ASSERT_FATAL(k.len == 1);
		if (k.said[0].link == 1) {
			first++;
			CU_ASSERT(did(&k, tick(&k, soon.timeout), "Ex"));
		} else {
			step(&k, run(DISPATCH_EVENT_RUN_DATA, 2, k.said[0].run));
		}
	}
	CU_ASSERT(desk_stats(&k).ejected_nodes > 0 || first < LOADS_FAILURES);
	desk_close(&k);

	desk_open(&k, 0);
	for (int i = 0; i < 60; i++) {
		step(&k, ask(&k, soon));
		k.now += soon.timeout / 2;
		step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
						  .query = k.next });
	}
	CU_ASSERT(desk_stats(&k).ejected_nodes == 0);
	/* Nor whose client allows next to nothing. */
	soon.timeout = 20;
	for (int i = 0; i < 60; i++) {
		step(&k, ask(&k, soon));
		CU_ASSERT(did(&k, tick(&k, soon.timeout), "Ex"));
	}
	CU_ASSERT(desk_stats(&k).ejected_nodes == 0);
	desk_close(&k);
}

static const struct tap_test tests[] = {
	{ "retries and hedges are shares of the queries, with a reserve", test_shares },
	{ "the 95th percentile is known to an eighth, and follows", test_percentile },
	{ "budgets have a bound", test_bounded },
	{ "what workers lose is repeated within the budget, and then not",
	  test_retry_budget },
	{ "what none has taken goes elsewhere without one", test_untaken },
	{ "a late query goes to a second node, and the first to reply answers it",
	  test_hedge },
	{ "when one of the two fails the other goes on", test_hedge_fails },
	{ "nothing is sent twice that must not be, or for which there is no budget",
	  test_no_hedge },
	{ "or to a second worker of this node, with its body", test_hedge_here },
	{ "a node that lets deadlines pass is left alone, not one whose clients leave",
	  test_hung },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
