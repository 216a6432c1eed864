/* SPDX-License-Identifier: Apache-2.0 */
/* Which node is chosen by what is known of it, queries that go on or are given away, and the
 * words of load. That all of this is safe whatever happens, tests/sim/test-sim-dispatch tries;
 * that it is good, tests/sim/test-sim-policy. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "dispatch/loads.h"
#include "lib/tap.h"

enum { SAID_MAX = 64, HERE = 0xaa };

struct desk {
	struct dispatch *dispatch;
	ms_t now;
	uint64_t next;
	char letters[SAID_MAX + 1];
	struct dispatch_action said[SAID_MAX]; /* numbers only */
	int len;
	struct id answered; /* by the latest head of a reply */
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
		CU_ASSERT_FATAL(k->len < SAID_MAX);
		k->said[k->len] = a;
		if (a.reply != NULL)
			k->answered = a.reply->node;
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
desk_open(struct desk *k, enum dispatch_policy policy)
{
	struct dispatch_config config = { .seed = tap_seed(),
					  .queue_max = 10,
					  .buffer_bytes_max = 1 << 20,
					  .retries = 1,
					  .body_bytes_max = 1 << 20,
					  .policy = policy };

	*k = (struct desk){ .now = 100000 };
	memset(config.self.b, HERE, ID_BYTES);
	k->dispatch = dispatch_new(&config);
}

static void
worker(struct desk *k, int slots)
{
	struct dispatch_service service = { .name = "wc" };
	struct dispatch_worker info = { .worker = 1,
					.name = "w",
					.slots = slots,
					.services = &service,
					.services_len = 1 };

	step(k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER, .worker = &info });
}

static struct id
node(int n)
{
	struct id id;

	memset(id.b, n, ID_BYTES);
	return id;
}

struct ask {
	uint64_t link;
	int hops, nodes; /* nodes 1 … n have the links of that number */
	bool is_here, is_idempotent, is_pinned;
};

static struct dispatch_event
ask(struct desk *k, struct ask a)
{
	static struct dispatch_candidate candidates[10];
	static char text[] = "r", service[] = "wc";
	static struct query_head head;
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .link = a.link,
				    .query = ++k->next,
				    .head = &head,
				    .candidates = candidates };

	head = (struct query_head){ .request_id = text,
				    .service = service,
				    .method = text,
				    .path = text,
				    .is_idempotent = a.is_idempotent,
				    .hops = (uint8_t)a.hops,
				    .timeout_ms = MS_HOUR };
	if (a.is_pinned)
		head.pin = node(HERE);
	if (a.link != 0)
		e.node = node((int)a.link);
	if (a.is_here)
		candidates[e.candidates_len++] = (struct dispatch_candidate){
			.node = node(HERE)
		};
	for (int i = 1; i <= a.nodes; i++)
		if ((uint64_t)i != a.link)
			candidates[e.candidates_len++] = (struct dispatch_candidate){
				.node = node(i), .link = (uint64_t)i, .slots = 1
			};
	return e;
}

static struct dispatch_event
word(enum dispatch_event_type type, int from, uint64_t number, struct dispatch_load load)
{
	return (struct dispatch_event){ .type = type,
					.link = (uint64_t)from,
					.node = node(from),
					.run = number,
					.query = number,
					.service = "wc",
					.load = load };
}

static void
told(struct desk *k, int from, struct dispatch_load load)
{
	step(k, word(DISPATCH_EVENT_LOAD, from, 1000000, load));
}

static const struct dispatch_action *
said(const struct desk *k, char letter)
{
	const char *at = strchr(k->letters, letter);

	return at != NULL ? &k->said[at - k->letters] : NULL;
}

static struct dispatch_event
run(enum dispatch_event_type type, uint64_t link, uint64_t number)
{
	return (struct dispatch_event){
		.type = type, .link = link, .run = number, .is_last = true
	};
}

static void
test_least_cost(void)
{
	struct desk k;
	int third = 0;

	desk_open(&k, DISPATCH_BEST);
	told(&k, 1, (struct dispatch_load){ 1, 1, 9, 50000 });
	told(&k, 2, (struct dispatch_load){ 4, 2, 0, 60000 });
	told(&k, 3, (struct dispatch_load){ 1, 0, 0, 900000 });
	/* All three are looked at: the second has the least. */
	k.now += LOADS_RAMP_MS / 100;
	CU_ASSERT(did(&k, ask(&k, (struct ask){ .nodes = 3 }), "o"));
	CU_ASSERT(said(&k, 'o')->link == 2);
	/* Two more fill its slots, and the next waits there for 60 ms and four times a
	 * quarter of it: less than 900. A lot more of them do not. */
	for (int i = 0; i < 40; i++) {
		step(&k, ask(&k, (struct ask){ .nodes = 3 }));
		third += said(&k, 'o')->link == 3;
		CU_ASSERT(i > 3 || third == 0);
	}
	CU_ASSERT(third > 0);
	dispatch_free(k.dispatch);
}

static void
test_probes(void)
{
	struct desk k;

	desk_open(&k, DISPATCH_BEST);
	CU_ASSERT(did(&k, ask(&k, (struct ask){ .nodes = 1 }), "Po"));
	CU_ASSERT(said(&k, 'P')->node.b[0] == 1);
	/* Not again so soon, whether or not it answers. */
	CU_ASSERT(did(&k, ask(&k, (struct ask){ .nodes = 1 }), "o"));
	k.now += 299;
	told(&k, 1, (struct dispatch_load){ 1, 0, 0, 1000 });
	CU_ASSERT(did(&k, ask(&k, (struct ask){ .nodes = 1 }), "o"));
	k.now += 301;
	CU_ASSERT(did(&k, ask(&k, (struct ask){ .nodes = 1 }), "Po"));
	/* Who is probed answers, also about what it does not have. */
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_PROBE, 5, 77, (struct dispatch_load){ 0 }),
		      "L"));
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == 77);
	CU_ASSERT(k.said[0].load.slots == 0);
	worker(&k, 3);
	step(&k, word(DISPATCH_EVENT_PROBE, 5, 78, (struct dispatch_load){ 0 }));
	CU_ASSERT(k.said[0].load.slots == 3 && k.said[0].load.running == 0);
	dispatch_free(k.dispatch);
}

static void
test_reports(void)
{
	struct desk k;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	CU_ASSERT(did(&k, ask(&k, (struct ask){ 5, .hops = 2, .is_idempotent = true }),
		      "To"));
	/* One that has to wait is told of at once; two ends are told of before the end. */
	CU_ASSERT(did(&k, ask(&k, (struct ask){ 6, .hops = 2, .is_idempotent = true }),
		      "L"));
	CU_ASSERT(k.said[0].link == 6 && k.said[0].load.queued == 1);
	k.now += 40;
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, 1), "HLDTo"));
	CU_ASSERT(k.said[1].link == 5 && k.said[1].load.running == 1);
	CU_ASSERT(k.said[1].load.queued == 0);
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, 2), "HLD"));
	CU_ASSERT(k.said[1].load.running == 0 && k.said[1].load.mean_us > 30000);
	dispatch_free(k.dispatch);
}

static void
test_onward(void)
{
	struct reply_head reply = { .status = 200, .node = node(7) };
	struct dispatch_event head = { .type = DISPATCH_EVENT_RUN_HEAD,
				       .link = 1,
				       .reply = &reply };
	struct desk k;
	uint64_t number, query;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	step(&k, ask(&k, (struct ask){ 5, .hops = 2, .is_idempotent = true }));
	told(&k, 1, (struct dispatch_load){ 1, 0, 0, 1000 });
	CU_ASSERT(did(&k,
		      ask(&k, (struct ask){ 5, .hops = 1, .nodes = 1, .is_here = true }),
		      "o"));
	number = k.said[0].run;
	query = k.next;
	CU_ASSERT(k.said[0].link == 1);
	/* Whoever runs it waits until the first who asked has said GO. */
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_TAKEN, 1, number), "T"));
	CU_ASSERT(k.said[0].link == 5 && k.said[0].query == query);
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_GO,
					       .link = 5,
					       .query = query },
		      "g"));
	CU_ASSERT(k.said[0].link == 1 && k.said[0].run == number);
	/* Who answered is told, not who passed it on. */
	head.run = number;
	CU_ASSERT(did(&k, head, "H") && k.answered.b[0] == 7);
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 1, number), "LD"));
	/* After two hops it stays; and so does one that is for this node alone. */
	CU_ASSERT(did(&k,
		      ask(&k, (struct ask){ 5, .hops = 2, .nodes = 1, .is_here = true }),
		      "L"));
	CU_ASSERT(did(&k,
		      ask(&k, (struct ask){ 5, .hops = 1, .nodes = 1, .is_here = true,
					    .is_pinned = true }),
		      "L"));
	dispatch_free(k.dispatch);
}

/* What comes back untaken waits here; GO that came meanwhile is remembered. */
static void
test_onward_back(void)
{
	struct desk k;
	uint64_t query;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	step(&k, ask(&k, (struct ask){ 5, .hops = 2, .is_idempotent = true }));
	told(&k, 1, (struct dispatch_load){ 1, 0, 0, 1000 });
	step(&k, ask(&k, (struct ask){ 5, .hops = 1, .nodes = 1, .is_here = true }));
	query = k.next;
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_TAKEN, 1, k.said[0].run), "T"));
	CU_ASSERT(did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 1 },
		"L"));
	CU_ASSERT(did(&k,
		      (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_GO,
					       .link = 5,
					       .query = query },
		      ""));
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, 1), "HLDTo"));
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, 3), "HLD"));
	dispatch_free(k.dispatch);
}

static void
test_given(void)
{
	struct dispatch_load idle = { 4, 0, 0, 1000 };
	struct desk k;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	step(&k, ask(&k, (struct ask){ .is_here = true }));
	step(&k, ask(&k, (struct ask){ 5, .hops = 2, .nodes = 3, .is_here = true }));
	step(&k, ask(&k, (struct ask){ 5, .hops = 1, .is_here = true }));
	/* The first has come far enough, the other may not go there. */
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_PULL, 3, 50, idle), "L"));
	CU_ASSERT(k.said[0].link == 3 && k.said[0].query == 50);
	for (int i = 1; i <= 3; i++)
		told(&k, i, (struct dispatch_load){ 1, 1, 9, 900000 });
	step(&k, ask(&k, (struct ask){ 5, .hops = 1, .nodes = 3, .is_here = true }));
	/* It is known to be worse off than this node: nothing. */
	CU_ASSERT(did(&k,
		      word(DISPATCH_EVENT_PULL, 3, 51,
			   (struct dispatch_load){ 4, 0, 0, 90000000 }),
		      "L"));
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_PULL, 3, 52, idle), "oL"));
	CU_ASSERT(k.said[0].link == 3 && k.said[1].load.queued == 2);
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_PULL, 3, 53, idle), "L"));
	dispatch_free(k.dispatch);
}

static void
test_pull(void)
{
	struct dispatch_load busy = { 1, 1, 3, 100000 };
	struct desk k;
	uint64_t number;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_LOAD, 1, 900, busy), "U"));
	CU_ASSERT(k.said[0].node.b[0] == 1 && k.said[0].load.slots == 1);
	number = k.said[0].run;
	/* One at a time. It has nothing that it would give: not asked again at once. */
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_LOAD, 1, 900, busy), ""));
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_LOAD, 1, number, busy), ""));
	k.now += 21;
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_LOAD, 1, 900, busy), "U"));
	number = k.said[0].run;
	/* It gave one; when that is done the next is asked for. */
	CU_ASSERT(did(&k, ask(&k, (struct ask){ 1, .hops = 2, .is_idempotent = true }),
		      "To"));
	CU_ASSERT(did(&k, word(DISPATCH_EVENT_LOAD, 1, number, busy), ""));
	CU_ASSERT(did(&k, run(DISPATCH_EVENT_RUN_DATA, 0, 3), "HLDU"));
	dispatch_free(k.dispatch);
}

/* Who has nothing to do asks a few times, and then nobody any more. */
static void
test_silence(void)
{
	struct desk k;
	int pulls = 0;

	desk_open(&k, DISPATCH_BEST);
	worker(&k, 1);
	told(&k, 1, (struct dispatch_load){ 1, 0, 0, 1000 });
	while (dispatch_due(k.dispatch) >= 0 && pulls < 100) {
		k.now = dispatch_due(k.dispatch);
		step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK });
		pulls += k.len;
		if (k.len > 0)
			step(&k, word(DISPATCH_EVENT_LOAD, 1, k.said[0].run,
				      (struct dispatch_load){ 1, 0, 0, 1000 }));
	}
	CU_ASSERT(pulls > 0 && pulls < 4);
	dispatch_free(k.dispatch);
}

static void
test_ejected(void)
{
	struct desk k;
	int first = 0, second = 0;

	desk_open(&k, DISPATCH_LEAST_LOADED);
	for (int i = 0; i < 200; i++) {
		struct dispatch_event e;

		step(&k, ask(&k, (struct ask){ .nodes = 2 }));
		CU_ASSERT_FATAL(said(&k, 'o') != NULL);
		e = run(DISPATCH_EVENT_RUN_DATA, said(&k, 'o')->link, said(&k, 'o')->run);
		first += e.link == 1;
		second += e.link == 2;
		/* Whatever the first has, it loses. */
		if (e.link == 1) {
			e.type = DISPATCH_EVENT_RUN_FAILED;
			e.failure = DISPATCH_ANSWERED;
		}
		step(&k, e);
	}
	CU_ASSERT(first == LOADS_FAILURES && second == 200 - LOADS_FAILURES);
	/* A second after it has another chance, and then not for two. */
	k.now += LOADS_EJECT_MS;
	for (int i = 0; i < 200 && first == LOADS_FAILURES; i++) {
		step(&k, ask(&k, (struct ask){ .nodes = 2 }));
		first += said(&k, 'o')->link == 1;
		step(&k, run(DISPATCH_EVENT_RUN_DATA, said(&k, 'o')->link,
			     said(&k, 'o')->run));
	}
	CU_ASSERT(first == LOADS_FAILURES + 1);
	dispatch_free(k.dispatch);
}

/* The only one is asked whatever it did. */
static void
test_only_one(void)
{
	struct desk k;

	desk_open(&k, DISPATCH_BEST);
	for (int i = 0; i < 3 * LOADS_FAILURES; i++) {
		struct dispatch_event e;

		step(&k, ask(&k, (struct ask){ .nodes = 1 }));
		CU_ASSERT_FATAL(said(&k, 'o') != NULL);
		e = run(DISPATCH_EVENT_RUN_FAILED, 1, said(&k, 'o')->run);
		e.failure = DISPATCH_ANSWERED;
		step(&k, e);
	}
	dispatch_free(k.dispatch);
}

static void
test_ramp(void)
{
	struct desk k;
	int before = 0, after = 0;

	desk_open(&k, DISPATCH_BEST);
	for (int i = 0; i < 400; i++) {
		/* The ninth is new; all are idle, alike, and four are looked at. */
		for (int n = 1; n <= 8 + (i >= 100); n++)
			told(&k, n, (struct dispatch_load){ 8, 0, 0, 1000 - n * 10 });
		k.now += i < 100 ? 200 : 100;
		step(&k, ask(&k, (struct ask){ .nodes = 8 + (i >= 100) }));
		before += i >= 100 && i < 130 && said(&k, 'o')->link == 9;
		after += i >= 370 && said(&k, 'o')->link == 9;
		step(&k, run(DISPATCH_EVENT_RUN_DATA, said(&k, 'o')->link,
			     said(&k, 'o')->run));
	}
	CU_ASSERT(before < after);
	dispatch_free(k.dispatch);
}

/* Among two as among many: the new one is the quicker by far. */
static void
test_ramp_of_two(void)
{
	struct desk k;
	int second[3] = { 0 };

	desk_open(&k, DISPATCH_BEST);
	for (int i = 0; i < 600; i++) {
		int nodes = 1 + (i >= 200);

		for (int n = 1; n <= nodes; n++)
			told(&k, n, (struct dispatch_load){ 8, 0, 0, 100000 / n / n });
		k.now += 50;
		step(&k, ask(&k, (struct ask){ .nodes = nodes }));
		second[i / 200] += said(&k, 'o')->link == 2;
		step(&k, run(DISPATCH_EVENT_RUN_DATA, said(&k, 'o')->link,
			     said(&k, 'o')->run));
	}
	/* Half of those in its first 10 s, and then all. */
	CU_ASSERT(second[1] > 50 && second[1] < 150 && second[2] == 200);
	/* Back from 10 s of absence it begins again. */
	for (int i = 0; i < 200; i++) {
		k.now += 50;
		told(&k, 1, (struct dispatch_load){ 8, 0, 0, 100000 });
		step(&k, ask(&k, (struct ask){ .nodes = 1 }));
		step(&k, run(DISPATCH_EVENT_RUN_DATA, 1, said(&k, 'o')->run));
	}
	second[0] = 0;
	for (int i = 0; i < 20; i++) {
		for (int n = 1; n <= 2; n++)
			told(&k, n, (struct dispatch_load){ 8, 0, 0, 100000 / n / n });
		k.now += 50;
		step(&k, ask(&k, (struct ask){ .nodes = 2 }));
		second[0] += said(&k, 'o')->link == 2;
		step(&k, run(DISPATCH_EVENT_RUN_DATA, said(&k, 'o')->link,
			     said(&k, 'o')->run));
	}
	CU_ASSERT(second[0] < 10);
	dispatch_free(k.dispatch);
}

/* Never more than half of them are left alone: of four that all fail, two are asked still. */
static void
test_ejected_half(void)
{
	struct desk k;
	int count[5] = { 0 }, asked = 0;

	desk_open(&k, DISPATCH_LEAST_LOADED);
	for (int i = 0; i < 400; i++) {
		struct dispatch_event e;

		step(&k, ask(&k, (struct ask){ .nodes = 4 }));
		CU_ASSERT_FATAL(said(&k, 'o') != NULL);
		e = run(DISPATCH_EVENT_RUN_FAILED, said(&k, 'o')->link,
			said(&k, 'o')->run);
		e.failure = DISPATCH_ANSWERED;
		if (i >= 200)
			count[e.link]++;
		step(&k, e);
	}
	for (int n = 1; n <= 4; n++)
		asked += count[n] > 0;
	CU_ASSERT(asked == 2);
	dispatch_free(k.dispatch);
}

static void
test_bounded(void)
{
	struct loads loads = { 0 };

	for (int i = 0; i < 2 * LOADS_MAX; i++) {
		struct id id = { 0 };

		memcpy(id.b, &i, sizeof(i));
		loads_get(&loads, (uint64_t)i % 100, &id, i);
	}
	CU_ASSERT(loads.len == LOADS_MAX);
	CU_ASSERT(loads_find(&loads, 0, &(struct id){ 0 }) == NULL);
	loads_fini(&loads);
	CU_ASSERT(loads.len == 0 && loads.services == NULL);
}

static const struct tap_test tests[] = {
	{ "the one that is expected to be done first is chosen", test_least_cost },
	{ "who is not known well is asked, and not too often", test_probes },
	{ "load is told with replies, and when a query waits", test_reports },
	{ "a query that would wait goes on, once, and runs once", test_onward },
	{ "and waits here when it comes back", test_onward_back },
	{ "a query that waits is given to who asks for one and may have it", test_given },
	{ "an idle node asks where queries wait", test_pull },
	{ "and is silent when there is nothing", test_silence },
	{ "who fails again and again is left alone for a while", test_ejected },
	{ "but not the only one", test_only_one },
	{ "and not more than half of them", test_ejected_half },
	{ "a new node gets its share little by little", test_ramp },
	{ "also when it is one of two, and when it comes back", test_ramp_of_two },
	{ "what is known of others has a bound", test_bounded },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
