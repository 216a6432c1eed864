/* SPDX-License-Identifier: Apache-2.0 */
/* One dispatch core, step by step. Several of them, with everything that can go wrong, are
 * in tests/sim. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "dispatch/dispatch.h"
#include "lib/tap.h"

enum { ACTIONS_MAX = 256 };

/* What an action said, without what it pointed to. */
struct said {
	enum dispatch_action_type type;
	uint64_t link, query, run, worker;
	int parts, status, retry_after, attempt, hops;
	size_t len;
	bool is_last, is_final, is_taken;
	ms_t timeout;
	char text[200];
	char who[20];
	struct id relay_to;
};

struct desk {
	struct dispatch *dispatch;
	ms_t now;
	struct said said[ACTIONS_MAX];
	int len;
	char letters[ACTIONS_MAX + 1]; /* a letter for each action */
};

static void
desk_note(struct desk *k, const struct dispatch_action *a)
{
	static const char letters[] = "wPUWTLHDEobgcx";
	struct said *s = &k->said[k->len];

	CU_ASSERT_FATAL(k->len < ACTIONS_MAX);
	k->letters[k->len++] = letters[a->type];
	*s = (struct said){ .type = a->type,
			    .link = a->link,
			    .query = a->query,
			    .run = a->run,
			    .worker = a->worker_id,
			    .parts = a->parts,
			    .len = a->data.len,
			    .is_last = a->is_last,
			    .is_final = a->is_final,
			    .relay_to = a->relay_to };
	if (a->error != NULL) {
		s->status = a->error->status;
		s->retry_after = a->error->retry_after_s;
		s->is_taken = a->error->is_taken;
		snprintf(s->text, sizeof(s->text), "%s", a->error->text);
		if (a->error->worker != NULL)
			snprintf(s->who, sizeof(s->who), "%s", a->error->worker);
	}
	if (a->reply != NULL) {
		s->status = a->reply->status;
		snprintf(s->who, sizeof(s->who), "%s",
			 a->reply->worker != NULL ? a->reply->worker : "");
	}
	if (a->head != NULL) {
		s->attempt = a->head->attempt;
		s->hops = a->head->hops;
		s->timeout = a->head->timeout_ms;
	}
}

/* Returns the letters of the actions. */
static const char *
step(struct desk *k, struct dispatch_event e)
{
	struct dispatch_action a;

	k->len = 0;
	memset(k->letters, 0, sizeof(k->letters));
	dispatch_step(k->dispatch, k->now, &e);
	while (dispatch_next(k->dispatch, &a))
		desk_note(k, &a);
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
desk_open(struct desk *k)
{
	struct dispatch_config config = { .seed = 3,
					  .queue_max = 2,
					  .buffer_bytes_max = 4 << 20,
					  .retries = 1,
					  .body_bytes_max = 1 << 20 };

	*k = (struct desk){ .now = 1000 };
	memset(config.self.b, 0xab, ID_BYTES);
	k->dispatch = dispatch_new(&config);
}

static void
desk_close(struct desk *k)
{
	struct dispatch_stats s;

	dispatch_stats(k->dispatch, &s);
	CU_ASSERT(s.queries == 0 && s.queued == 0 && s.running == 0 && s.forwarded == 0);
	CU_ASSERT(s.buffered_bytes == 0);
	dispatch_free(k->dispatch);
}

static const char *
worker(struct desk *k, uint64_t number, int slots, const char *match)
{
	static char name[20], text[64];
	char *texts[] = { text };
	struct dispatch_service service = { .name = "wc",
					    .match = texts,
					    .match_len = match != NULL };
	struct dispatch_worker info = { .worker = number,
					.name = name,
					.slots = slots,
					.services = &service,
					.services_len = 1 };

	snprintf(name, sizeof(name), "w%d", (int)number);
	snprintf(text, sizeof(text), "%s", match != NULL ? match : "");
	return step(k, (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER,
						.worker = &info });
}

struct ask {
	uint64_t link, query;
	bool is_idempotent;
	int64_t body_len;
	ms_t timeout;
	const char *selector;
	uint64_t nodes[4]; /* links; the node itself is ours */
	int nodes_len;
	bool is_here;
	int hops;
	bool is_relayed; /* the nodes are reached by way of another */
	bool is_far;	 /* or by nobody yet */
	int ways;	 /* that may be looked for */
};

static const char *
ask(struct desk *k, struct ask a)
{
	char id[] = "r", service[] = "wc", method[] = "POST", path[] = "/", selector[64];
	struct query_head head = { .request_id = id,
				   .service = service,
				   .method = method,
				   .path = path,
				   .is_idempotent = a.is_idempotent,
				   .body_len = a.body_len,
				   .hops = (uint8_t)a.hops,
				   .timeout_ms = a.timeout != 0 ? a.timeout : MS_MINUTE };
	struct dispatch_candidate candidates[5];
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .link = a.link,
				    .query = a.query,
				    .head = &head,
				    .candidates = candidates };

	if (a.selector != NULL) {
		snprintf(selector, sizeof(selector), "%s", a.selector);
		head.selector = selector;
	}
	for (int i = 0; i < a.nodes_len; i++) {
		candidates[e.candidates_len] = (struct dispatch_candidate){
			.link = a.is_far ? 0 : a.nodes[i],
			.is_relayed = a.is_relayed,
			.is_far = a.is_far,
			.ways = a.ways
		};
		memset(candidates[e.candidates_len++].node.b, (int)a.nodes[i], ID_BYTES);
	}
	if (a.is_here)
		candidates[e.candidates_len++] = (struct dispatch_candidate){ 0 };
	return step(k, e);
}

static struct dispatch_event
run_event(enum dispatch_event_type type, uint64_t link, uint64_t run)
{
	return (struct dispatch_event){ .type = type, .link = link, .run = run };
}

static struct dispatch_event
run_data(uint64_t link, uint64_t run, const char *text, bool is_last)
{
	struct dispatch_event e = run_event(DISPATCH_EVENT_RUN_DATA, link, run);

	e.data = bytes_text(text);
	e.is_last = is_last;
	return e;
}

static struct query_error wrong = { .status = 502, .text = (char[]){ "it broke" } };

static struct dispatch_event
run_failed(uint64_t link, uint64_t run, enum dispatch_failure failure)
{
	struct dispatch_event e = run_event(DISPATCH_EVENT_RUN_FAILED, link, run);

	e.failure = failure;
	e.error = &wrong;
	return e;
}

static void
test_answer(void)
{
	struct reply_head reply = { .status = 201 };
	struct dispatch_event e;
	struct desk k;

	desk_open(&k);
	worker(&k, 7, 1, NULL);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 1, .is_here = true }), "To") ==
		  0);
	CU_ASSERT(k.said[1].run == 1 && k.said[1].worker == 7);
	CU_ASSERT(k.said[1].timeout == MS_MINUTE);
	e = run_event(DISPATCH_EVENT_RUN_HEAD, 0, 1);
	e.reply = &reply;
	CU_ASSERT(did(&k, e, "H") && k.said[0].status == 201);
	CU_ASSERT(strcmp(k.said[0].who, "w7") == 0);
	CU_ASSERT(did(&k, run_data(0, 1, "5\n", false), "D") && k.said[0].len == 2);
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CREDIT,
					       .query = 1,
					       .parts = 1 },
		      "c"));
	CU_ASSERT(did(&k, run_data(0, 1, "", true), "D") && k.said[0].is_last);
	CU_ASSERT(dispatch_due(k.dispatch) == -1);
	desk_close(&k);
}

static void
test_late_binding(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, "model=a");
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 2, .is_here = true }), "") == 0);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 3,
					       .is_here = true,
					       .selector = "model=a" }),
			 "") == 0);
	/* The queue is full: told when to come back. */
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 4, .is_here = true }), "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after >= 1);
	CU_ASSERT(strstr(k.said[0].text, "2 queries wait") != NULL);
	/* A new worker takes what it serves, the oldest first. */
	CU_ASSERT(strcmp(worker(&k, 2, 1, "model=b"), "To") == 0 && k.said[0].query == 2);
	CU_ASSERT(did(&k, run_data(0, 1, "", true), "HDTo") && k.said[2].query == 3);
	step(&k, run_data(0, 2, "", true));
	step(&k, run_data(0, 3, "", true));
	desk_close(&k);
}

static void
test_selectors(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, "model=a");
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 1,
					       .is_here = true,
					       .selector = "model=b" }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && strstr(k.said[0].text, "\"wc\"") != NULL);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 2 }), "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after == 1);
	desk_close(&k);
}

static void
test_deadline(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true, .timeout = 5000 });
	ask(&k, (struct ask){ .query = 2, .is_here = true, .timeout = 2000 });
	CU_ASSERT(dispatch_due(k.dispatch) == 3000);
	k.now = 3000;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "E"));
	CU_ASSERT(k.said[0].query == 2 && k.said[0].status == 504);
	CU_ASSERT(strstr(k.said[0].text, "free within 2 s") != NULL);
	k.now = 6000;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "Ex"));
	CU_ASSERT(strstr(k.said[0].text, "worker w1 on node abababab did not finish") !=
		  NULL);
	CU_ASSERT(strcmp(k.said[0].who, "w1") == 0);
	/* The slot is held until the worker has stopped, or for a while. */
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 3, .is_here = true }), "") == 0);
	CU_ASSERT(dispatch_due(k.dispatch) == 6000 + DISPATCH_CANCEL_MS);
	k.now = 6000 + DISPATCH_CANCEL_MS;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "To"));
	CU_ASSERT(did(&k, run_data(0, 1, "late", true), ""));
	step(&k, run_data(0, 2, "", true));
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 4, .timeout = -1 }), "E") == 0);
	CU_ASSERT(k.said[0].status == 504);
	desk_close(&k);
}

static void
test_elsewhere(void)
{
	uint64_t first, second;
	struct desk k;

	desk_open(&k);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 1,
					       .nodes = { 11, 12 },
					       .nodes_len = 2 }),
			 "o") == 0);
	first = k.said[0].link;
	CU_ASSERT(k.said[0].hops == 1);
	/* Nobody there has taken it: the other node is tried. */
	CU_ASSERT(did(&k, run_failed(first, 1, DISPATCH_NOT_TAKEN), "o"));
	second = k.said[0].link;
	CU_ASSERT(first + second == 23 && k.said[0].attempt == 1 && k.said[0].run == 2);
	/* Words of the first attempt, or from the wrong node, mean nothing. */
	CU_ASSERT(did(&k, run_data(first, 1, "x", true), ""));
	CU_ASSERT(did(&k, run_data(first, 2, "x", true), ""));
	CU_ASSERT(did(&k, run_event(DISPATCH_EVENT_RUN_TAKEN, second, 2), "Tg"));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = second },
		      "E"));
	CU_ASSERT(k.said[0].status == 502 && k.said[0].is_taken);
	CU_ASSERT(strstr(k.said[0].text, "was lost") != NULL);
	/* Not taken, and nowhere else to go: to be asked again later. */
	ask(&k, (struct ask){ .query = 2, .nodes = { 13 }, .nodes_len = 1 });
	CU_ASSERT(did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 13 },
		"E"));
	CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after > 0);
	CU_ASSERT(!k.said[0].is_taken);
	desk_close(&k);
}

/* Who is reached by way of another is named to that one; all else is as with a link. */
static void
test_by_way_of_another(void)
{
	struct desk k;
	struct id node;

	desk_open(&k);
	memset(node.b, 5, ID_BYTES);
	ask(&k, (struct ask){ .query = 1, .nodes = { 5 }, .nodes_len = 1 });
	CU_ASSERT(k.said[0].type == DISPATCH_ACTION_RUN_OPEN);
	CU_ASSERT(id_is_zero(&k.said[0].relay_to));
	did(&k,
	    (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL, .query = 1 },
	    "x");
	ask(&k, (struct ask){
			.query = 2, .nodes = { 5 }, .nodes_len = 1, .is_relayed = true });
	CU_ASSERT(k.said[0].type == DISPATCH_ACTION_RUN_OPEN && k.said[0].link == 5);
	CU_ASSERT(id_equal(&k.said[0].relay_to, &node));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_TAKEN,
					       .link = 5,
					       .run = k.said[0].run },
		      "Tg"));
	CU_ASSERT(id_is_zero(&k.said[1].relay_to));
	CU_ASSERT(did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 5 },
		"E"));
	CU_ASSERT(k.said[0].status == 502 && k.said[0].is_taken);
	desk_close(&k);
}

/* It waits for a way; none: it goes elsewhere. */
static void
test_no_way_yet(void)
{
	struct dispatch_event way = { .type = DISPATCH_EVENT_WAY };
	struct desk k;

	desk_open(&k);
	memset(way.node.b, 5, ID_BYTES);
	for (int round = 0; round < 2; round++) {
		uint64_t query = 1 + (uint64_t)round;

		CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = query,
						       .nodes = { 5 },
						       .nodes_len = 1,
						       .is_far = true }),
				 "w") == 0);
		/* Of another node. */
		way.node.b[0] = 6;
		CU_ASSERT(did(&k, way, ""));
		way.node.b[0] = 5;
		way.link = round == 0 ? 77 : 0;
		way.is_relayed = true;
		if (round == 1) {
			CU_ASSERT(did(&k, way, "E"));
			CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after > 0);
			continue;
		}
		CU_ASSERT(!dispatch_uses(k.dispatch, 77));
		CU_ASSERT(did(&k, way, "o"));
		CU_ASSERT(k.said[0].link == 77 &&
			  id_equal(&k.said[0].relay_to, &way.node));
		CU_ASSERT(dispatch_uses(k.dispatch, 77) &&
			  !dispatch_uses(k.dispatch, 78));
		CU_ASSERT(did(&k, way, "")); /* it is found already */
		CU_ASSERT(did(&k,
			      (struct dispatch_event){
				      .type = DISPATCH_EVENT_QUERY_CANCEL, .query = 1 },
			      "x"));
	}
	/* The deadline does not wait. */
	ask(&k, (struct ask){ .query = 3,
			      .nodes = { 5 },
			      .nodes_len = 1,
			      .is_far = true,
			      .timeout = 50 });
	k.now += 50;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "E"));
	CU_ASSERT(k.said[0].status == 504);
	CU_ASSERT(did(&k, way, ""));
	desk_close(&k);
}

/* The error of a node that was to pass the query on. */
static struct dispatch_event
relay_failed(uint64_t link, uint64_t run)
{
	static struct query_error error;
	static char text[] = "no";
	struct dispatch_event e = run_failed(link, run, DISPATCH_NOT_TAKEN);

	error = (struct query_error){ .status = 503, .text = text };
	memset(error.node.b, 99, ID_BYTES);
	e.error = &error;
	return e;
}

static struct dispatch_event
way_found(uint64_t link, bool is_relayed)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_WAY,
				    .link = link,
				    .is_relayed = is_relayed };

	memset(e.node.b, 5, ID_BYTES);
	return e;
}

/* Who was to pass it on could not: others are asked, and then the same node by another way, as
 * often as it may be. */
static void
test_another_way(void)
{
	struct id node;
	struct desk k;

	memset(node.b, 5, ID_BYTES);
	desk_open(&k);
	ask(&k, (struct ask){ .query = 1,
			      .nodes = { 5 },
			      .nodes_len = 1,
			      .is_relayed = true,
			      .ways = 3 });
	CU_ASSERT(did(&k, relay_failed(5, 1), "w") && k.said[0].link == 5);
	CU_ASSERT(did(&k, way_found(6, true), "o") && k.said[0].link == 6);
	CU_ASSERT(id_equal(&k.said[0].relay_to, &node) && k.said[0].attempt == 1);
	/* A link that is lost is no better. */
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = 6 },
		      "w") &&
		  k.said[0].link == 6);
	/* One of its own. */
	CU_ASSERT(did(&k, way_found(7, false), "o") && k.said[0].link == 7);
	CU_ASSERT(id_is_zero(&k.said[0].relay_to));
	/* What the node itself says counts. */
	CU_ASSERT(did(&k, relay_failed(7, 3), "E") && k.said[0].status == 503);

	/* So many, and no more. */
	ask(&k, (struct ask){ .query = 2,
			      .nodes = { 5 },
			      .nodes_len = 1,
			      .is_relayed = true,
			      .ways = 2 });
	CU_ASSERT(did(&k, relay_failed(5, 4), "w"));
	CU_ASSERT(did(&k, way_found(6, true), "o"));
	CU_ASSERT(did(&k, relay_failed(6, 5), "w"));
	CU_ASSERT(did(&k, way_found(7, true), "o"));
	CU_ASSERT(did(&k, relay_failed(7, 6), "E"));
	/* None is found. */
	ask(&k, (struct ask){ .query = 3,
			      .nodes = { 5 },
			      .nodes_len = 1,
			      .is_relayed = true,
			      .ways = 2 });
	CU_ASSERT(did(&k, relay_failed(5, 7), "w"));
	CU_ASSERT(did(&k, way_found(0, false), "E") && k.said[0].status == 503);
	/* A worker has it: then nothing may be repeated by whatever way. */
	ask(&k, (struct ask){ .query = 4,
			      .nodes = { 5 },
			      .nodes_len = 1,
			      .is_relayed = true,
			      .ways = 2 });
	CU_ASSERT(did(&k, run_event(DISPATCH_EVENT_RUN_TAKEN, 5, 8), "Tg"));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = 5 },
		      "E") &&
		  k.said[0].status == 502);
	desk_close(&k);
}

static void
test_another_way_comes_last(void)
{
	uint64_t first, second;
	struct desk k;

	desk_open(&k);
	ask(&k,
	    (struct ask){ .query = 1, .nodes = { 5, 6, 7 }, .nodes_len = 3, .ways = 1 });
	first = k.said[0].link;
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = first },
		      "o"));
	second = k.said[0].link;
	CU_ASSERT(second != first);
	/* The link of one that is not asked yet. */
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
					       .link = 18 - first - second },
		      ""));
	CU_ASSERT(did(&k, run_failed(second, 2, DISPATCH_NOT_TAKEN), "w"));
	CU_ASSERT(k.said[0].link == first || k.said[0].link == 18 - first - second);
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					       .query = 1 },
		      ""));
	desk_close(&k);
}

static void
test_idempotent(void)
{
	uint64_t first;
	struct desk k;

	desk_open(&k);
	ask(&k, (struct ask){ .query = 1,
			      .nodes = { 11, 12, 13 },
			      .nodes_len = 3,
			      .is_idempotent = true });
	first = k.said[0].link;
	CU_ASSERT(did(&k, run_event(DISPATCH_EVENT_RUN_TAKEN, first, 1), "T"));
	/* One retry is allowed after it was taken, not two. */
	CU_ASSERT(did(&k, run_failed(first, 1, DISPATCH_LOST), "o"));
	CU_ASSERT(k.said[0].link != first);
	CU_ASSERT(k.len == 1 && k.said[0].attempt == 1);
	CU_ASSERT(did(&k, run_failed(k.said[0].link, 2, DISPATCH_LOST), "E"));
	CU_ASSERT(k.said[0].status == 502);
	/* What the worker itself answers is final. */
	ask(&k, (struct ask){ .query = 2,
			      .nodes = { 11, 12 },
			      .nodes_len = 2,
			      .is_idempotent = true });
	CU_ASSERT(did(&k, run_failed(k.said[0].link, 3, DISPATCH_ANSWERED), "E"));
	CU_ASSERT(k.said[0].is_final && strcmp(k.said[0].text, "it broke") == 0);
	desk_close(&k);
}

static void
test_after_first_byte(void)
{
	struct desk k;

	desk_open(&k);
	ask(&k, (struct ask){ .query = 1,
			      .nodes = { 11, 12 },
			      .nodes_len = 2,
			      .is_idempotent = true });
	CU_ASSERT(did(&k, run_data(k.said[0].link, 1, "x", false), "HD"));
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 11 });
	if (k.len == 0)
		step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						  .link = 12 });
	CU_ASSERT(strcmp(k.letters, "E") == 0 && k.said[0].status == 502);
	desk_close(&k);
}

static void
test_receiver_go(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	/* Not idempotent: the worker waits for GO, its slot is reserved. */
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .link = 5, .query = 9, .hops = 1 }),
			 "T") == 0);
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == 9);
	CU_ASSERT(did(&k,
		      (struct dispatch_event){
			      .type = DISPATCH_EVENT_QUERY_GO, .link = 5, .query = 9 },
		      "o"));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){
			      .type = DISPATCH_EVENT_QUERY_GO, .link = 5, .query = 9 },
		      ""));
	CU_ASSERT(did(&k, run_data(0, 1, "", true), "HD") && k.said[0].link == 5);
	ask(&k, (struct ask){ .link = 5, .query = 10, .hops = 1 });
	k.now += DISPATCH_GO_MS;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "E"));
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken);
	/* Idempotent: at once. A third hop: never. */
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .link = 5,
					       .query = 11,
					       .hops = 1,
					       .is_idempotent = true }),
			 "To") == 0);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .link = 5, .query = 12, .hops = 3 }),
			 "E") == 0);
	/* Its asker is gone: the worker is told. */
	CU_ASSERT(did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 5 },
		"x"));
	CU_ASSERT(did(&k, run_failed(0, 3, DISPATCH_ANSWERED), ""));
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
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .link = 5, .query = 9, .hops = 1 });
	ask(&k, (struct ask){ .link = 5, .query = 10, .hops = 1 });
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	/* Another node's query that waits goes back to be asked elsewhere; that of a client
	 * of ours has nowhere else to wait. */
	CU_ASSERT(did(&k, drain(true), "E"));
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == 10);
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken && !k.said[0].is_final);
	CU_ASSERT(k.said[0].retry_after == DISPATCH_DRAIN_RETRY_S);
	CU_ASSERT(strstr(k.said[0].text, "drains") != NULL);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .link = 6, .query = 1, .hops = 1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && !k.said[0].is_taken);
	/* What had a worker before goes on, also when its asker still had to say so. */
	CU_ASSERT(did(&k,
		      (struct dispatch_event){
			      .type = DISPATCH_EVENT_QUERY_GO, .link = 5, .query = 9 },
		      "o"));
	CU_ASSERT(did(&k, run_data(0, 1, "done", true), "HDTo"));
	CU_ASSERT(k.said[0].link == 5 && k.said[2].link == 0);
	CU_ASSERT(did(&k, run_data(0, 2, "done", true), "HD"));
	/* And again. */
	CU_ASSERT(did(&k, drain(false), ""));
	ask(&k, (struct ask){ .link = 5, .query = 11, .hops = 1, .is_idempotent = true });
	CU_ASSERT(strcmp(k.letters, "To") == 0);
	/* One that comes back from its worker meanwhile is not kept either. */
	step(&k, drain(true));
	e = run_event(DISPATCH_EVENT_RUN_RETURNED, 0, 3);
	CU_ASSERT(did(&k, e, "E") && k.said[0].status == 503 && !k.said[0].is_taken);
	desk_close(&k);
}

static void
test_stop(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	ask(&k, (struct ask){ .query = 2, .is_here = true });
	ask(&k, (struct ask){ .query = 3, .nodes = { 11 }, .nodes_len = 1 });
	CU_ASSERT(
		did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_STOP }, "ExEEx"));
	CU_ASSERT(k.said[0].query == 1 && k.said[0].status == 502 && k.said[0].is_taken);
	CU_ASSERT(k.said[2].status == 503 && !k.said[2].is_taken);
	CU_ASSERT(k.said[2].retry_after > 0);
	CU_ASSERT(k.said[3].query == 3 && k.said[3].status == 503);
	CU_ASSERT(k.said[4].link == 11);
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 4, .is_here = true }), "E") == 0);
	CU_ASSERT(k.said[0].status == 503);
	/* A slot that becomes free is for nobody. */
	CU_ASSERT(did(&k, run_failed(0, 1, DISPATCH_ANSWERED), ""));
	desk_close(&k);
}

static void
test_returned(void)
{
	struct dispatch_event e;
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	e = run_event(DISPATCH_EVENT_RUN_RETURNED, 0, 1);
	e.retry_after_s = 2;
	CU_ASSERT(did(&k, e, ""));
	k.now += 1999;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, ""));
	k.now += 1;
	CU_ASSERT(did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK }, "To"));
	/* The last worker goes: nothing waits for it. */
	e.run = 2;
	step(&k, e);
	CU_ASSERT(did(&k,
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
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	ask(&k, (struct ask){ .query = 2, .is_here = true, .is_idempotent = true });
	worker(&k, 2, 1, NULL); /* takes 2 */
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
					       .worker_id = 1 },
		      "E"));
	CU_ASSERT(k.said[0].query == 1 && k.said[0].status == 502);
	CU_ASSERT(strstr(k.said[0].text, "worker w1") != NULL);
	worker(&k, 3, 1, NULL);
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
					       .worker_id = 2 },
		      "To"));
	CU_ASSERT(k.said[1].worker == 3 && k.said[1].attempt == 1);
	CU_ASSERT(
		did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_BUS_DOWN }, "E"));
	CU_ASSERT(k.said[0].status == 502);
	desk_close(&k);
}

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
	ask(&k,
	    (struct ask){
		    .query = 1, .nodes = { 11, 12 }, .nodes_len = 2, .body_len = -1 });
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(did(&k, body(1, "part", 4, false), "bW") &&
			  k.said[1].parts == 1);
	/* The run has no credit left: one more window waits here, and no more is asked for. */
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(did(&k, body(1, "part", 4, false), ""));
	credit = run_event(DISPATCH_EVENT_RUN_CREDIT, 11, 1);
	credit.parts = 2;
	step(&k, credit);
	if (k.len == 0) {
		credit.link = 12;
		step(&k, credit);
	}
	CU_ASSERT(strcmp(k.letters, "bbW") == 0 && k.said[2].parts == 2);
	/* More credit than was ever owed is not believed. */
	credit.parts = LIMIT_PARTS_WINDOW + 1;
	CU_ASSERT(did(&k, credit, ""));
	/* It goes elsewhere, and all of the body with it. */
	CU_ASSERT(did(&k, run_failed(credit.link, 1, DISPATCH_NOT_TAKEN),
		      "obbbbbbbbbbbbbbbb"));
	CU_ASSERT(did(&k,
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
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 1, .body_len = (1 << 20) + 1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 413);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 2, .is_here = true, .body_len = 10 });
	CU_ASSERT(did(&k, body(2, "short", 5, true), "Ex") && k.said[0].status == 400);
	CU_ASSERT(did(&k, run_failed(0, 1, DISPATCH_ANSWERED), ""));
	ask(&k, (struct ask){ .query = 3, .is_here = true, .body_len = 3 });
	CU_ASSERT(did(&k, body(3, "long", 4, false), "Ex") && k.said[0].status == 400);
	CU_ASSERT(did(&k, run_failed(0, 2, DISPATCH_ANSWERED), ""));
	ask(&k, (struct ask){ .query = 4, .is_here = true, .body_len = -1 });
	CU_ASSERT(did(&k, body(4, big, sizeof(big), false), "Ex"));
	CU_ASSERT(did(&k, run_failed(0, 3, DISPATCH_ANSWERED), ""));
	/* Beyond http.max_body while it streams. */
	ask(&k,
	    (struct ask){ .query = 5, .nodes = { 11 }, .nodes_len = 1, .body_len = -1 });
	for (int i = 0; i < 17; i++)
		CU_ASSERT(step(&k, body(5, big, 60000, false))[0] ==
			  (i < 16 ? 'b' : '\0'));
	CU_ASSERT(did(&k, body(5, big, 60000, false), "Ex") && k.said[0].status == 413);
	desk_close(&k);
}

static void
test_reply_window(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true });
	for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(did(&k, run_data(0, 1, "x", false), i == 0 ? "HD" : "D"));
	CU_ASSERT(did(&k, run_data(0, 1, "x", false), "Ex") && k.said[0].status == 502);
	CU_ASSERT(strstr(k.said[0].text, "more of its reply") != NULL);
	CU_ASSERT(did(&k, run_failed(0, 1, DISPATCH_ANSWERED), ""));
	desk_close(&k);
}

static void
test_memory(void)
{
	struct desk k;

	desk_open(&k);
	worker(&k, 1, 1, NULL);
	ask(&k, (struct ask){ .query = 1, .is_here = true, .body_len = 0 });
	/* 4 MiB hold four windows of 960 KiB; a fifth body has no room. */
	for (uint64_t q = 2; q <= 5; q++)
		ask(&k, (struct ask){ .query = q,
				      .nodes = { 11 },
				      .nodes_len = 1,
				      .body_len = -1 });
	CU_ASSERT(strcmp(ask(&k, (struct ask){ .query = 6,
					       .nodes = { 11 },
					       .nodes_len = 1,
					       .body_len = -1 }),
			 "E") == 0);
	CU_ASSERT(k.said[0].status == 503 && strstr(k.said[0].text, "memory") != NULL);
	CU_ASSERT(strcmp(ask(&k,
			     (struct ask){ .query = 7, .nodes = { 11 }, .nodes_len = 1 }),
			 "o") == 0);
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 11 });
	step(&k, run_data(0, 1, "", true));
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
	{ "a query waits for a way to a node, and goes elsewhere without one",
	  test_no_way_yet },
	{ "a query whose way fails goes by another one, a few times", test_another_way },
	{ "after all other nodes", test_another_way_comes_last },
	{ "a node that is reached by way of another is named to that one",
	  test_by_way_of_another },
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
	{ "a body passes under credits and follows its query elsewhere", test_body },
	{ "bodies that are too long, too short or badly cut are refused",
	  test_bad_bodies },
	{ "a worker that ignores its window is cut off", test_reply_window },
	{ "bodies have a bound in all", test_memory },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
