/* SPDX-License-Identifier: Apache-2.0 */
/* Who may wait at a dispatcher, who is refused with what status and told to come back when, and
 * who gets the next slot: one node, a worker or two, several tenants. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "dispatch/dispatch.h"
#include "lib/tap.h"

enum { SAID_MAX = 64, ORDER_MAX = 2000, HERE = 0xaa };

struct desk {
	struct dispatch_config config;
	struct dispatch *dispatch;
	ms_t now;
	uint64_t next;
	int slots;
	/* Of the latest step: errors, by the query's number. */
	struct {
		uint64_t query;
		int status, after;
		char text[200];
	} errors[SAID_MAX];
	int errors_len;
	/* All that workers were given, in order. */
	uint64_t run[ORDER_MAX], query_of[ORDER_MAX];
	int order_len;
	uint64_t opened; /* to which link the latest RUN_OPEN went, */
	char tenant[QUERY_TENANT_BYTES_MAX + 1]; /* and whose it was */
};

static void
desk_note(struct desk *k, const struct dispatch_action *a)
{
	if (a->type == DISPATCH_ACTION_RUN_OPEN) {
		CU_ASSERT_FATAL(k->order_len < ORDER_MAX);
		k->opened = a->link;
		snprintf(k->tenant, sizeof(k->tenant), "%s", a->head->tenant);
		sscanf(a->head->request_id, "%llu",
		       (unsigned long long *)&k->query_of[k->order_len]);
		k->run[k->order_len++] = a->run;
		CU_ASSERT(a->head->timeout_ms > 0);
	}
	if (a->type != DISPATCH_ACTION_ERROR)
		return;
	CU_ASSERT_FATAL(k->errors_len < SAID_MAX);
	k->errors[k->errors_len].query = a->query;
	k->errors[k->errors_len].status = a->error->status;
	k->errors[k->errors_len].after = a->error->retry_after_s;
	snprintf(k->errors[k->errors_len].text, sizeof(k->errors[0].text), "%s",
		 a->error->text);
	k->errors_len++;
}

static void
step(struct desk *k, struct dispatch_event e)
{
	struct dispatch_action a;

	k->errors_len = 0;
	dispatch_step(k->dispatch, k->now, &e);
	while (dispatch_next(k->dispatch, &a))
		desk_note(k, &a);
}

static void
desk_open(struct desk *k, struct dispatch_config config, int slots)
{
	struct dispatch_service service = { .name = "wc" };
	struct dispatch_worker worker = { .worker = 1,
					  .name = "w",
					  .slots = slots,
					  .services = &service,
					  .services_len = 1 };

	memset(k, 0, sizeof(*k));
	k->now = 100000;
	k->slots = slots;
	config.seed = tap_seed();
	config.queue_max = config.queue_max > 0 ? config.queue_max : 1000;
	config.body_bytes_max = 1 << 30;
	if (config.buffer_bytes_max == 0)
		config.buffer_bytes_max = 1 << 30;
	memset(config.self.b, HERE, ID_BYTES);
	k->dispatch = dispatch_new(&config);
	step(k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER, .worker = &worker });
}

struct ask {
	const char *tenant;
	uint16_t share;
	ms_t timeout;
	int64_t body_len;
	uint64_t link;	    /* it comes from there */
	uint64_t elsewhere; /* and may go there */
	bool is_not_here;
	const char *selector;
};

/* Returns its number. */
static uint64_t
ask(struct desk *k, struct ask a)
{
	char id[24], service[] = "wc", text[] = "/", tenant[64], selector[64];
	struct query_head head = { .request_id = id,
				   .service = service,
				   .method = text,
				   .path = text,
				   .is_idempotent = true,
				   .share = a.share,
				   .body_len = a.body_len,
				   .timeout_ms = a.timeout > 0 ? a.timeout : MS_HOUR };
	struct dispatch_candidate candidates[2] = { { .link = 0 },
						    { .link = a.elsewhere } };
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .link = a.link,
				    .query = ++k->next,
				    .head = &head,
				    .candidates = candidates + a.is_not_here,
				    .candidates_len = 1 + (a.elsewhere != 0) -
						      a.is_not_here };

	memset(candidates[0].node.b, HERE, ID_BYTES);
	memset(candidates[1].node.b, (int)a.elsewhere, ID_BYTES);
	memset(e.node.b, (int)a.link, ID_BYTES);
	snprintf(id, sizeof(id), "%llu", (unsigned long long)k->next);
	if (a.tenant != NULL) {
		snprintf(tenant, sizeof(tenant), "%s", a.tenant);
		head.tenant = tenant;
	}
	if (a.selector != NULL) {
		snprintf(selector, sizeof(selector), "%s", a.selector);
		head.selector = selector;
	}
	step(k, e);
	return k->next;
}

/* The oldest run that is not over ends, after so long. Returns which query has its slot. */
static uint64_t
done(struct desk *k, int *at, ms_t took)
{
	int before = k->order_len;

	CU_ASSERT_FATAL(*at < k->order_len);
	k->now += took;
	step(k, (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_DATA,
					 .run = k->run[(*at)++],
					 .is_last = true });
	return k->order_len > before ? k->query_of[k->order_len - 1] : 0;
}

static struct dispatch_stats
stats(const struct desk *k)
{
	struct dispatch_stats s;

	dispatch_stats(k->dispatch, &s);
	return s;
}

/* All that still runs ends, and nothing is left. `at`: the first that does. */
static void
desk_close(struct desk *k, int at)
{
	struct dispatch_stats s;

	while (at < k->order_len)
		done(k, &at, 1);
	s = stats(k);
	CU_ASSERT(s.queries == 0 && s.queued == 0 && s.running == 0 && s.tenants == 0);
	CU_ASSERT(s.buffered_bytes == 0);
	dispatch_free(k->dispatch);
}

static const struct ask ann = { .tenant = "token:ann" }, bob = { .tenant = "token:bob" },
			cid = { .tenant = "token:cid" };

/* One flood and a few: whoever has few is not behind all of it. */
static void
test_turns(void)
{
	struct desk k;
	uint64_t of_bob[3];
	int at = 0;

	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	for (int i = 0; i < 101; i++)
		ask(&k, ann);
	for (int i = 0; i < 3; i++)
		of_bob[i] = ask(&k, bob);
	CU_ASSERT(stats(&k).tenants == 2 && stats(&k).queued == 103);
	for (int i = 0; i < 3; i++) {
		uint64_t first = done(&k, &at, 10), second = done(&k, &at, 10);

		CU_ASSERT((first == of_bob[i]) != (second == of_bob[i]));
	}
	CU_ASSERT(stats(&k).tenants == 1);
	desk_close(&k, at);
}

/* By the time of the worker: she asks for what takes five times as long. */
static void
test_turns_by_time(void)
{
	struct desk k;
	int at = 0, turns = 0;

	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	for (int i = 0; i < 100; i++) {
		ask(&k, ann); /* odd numbers */
		ask(&k, bob);
	}
	for (int i = 0; i < 90; i++) {
		bool is_ann = k.query_of[at] % 2 == 1;

		turns += is_ann;
		done(&k, &at, is_ann ? 50 : 10);
	}
	CU_ASSERT(turns >= 14 && turns <= 16);
	desk_close(&k, at);
}

/* Her token has a share of three, his none. */
static void
test_turns_by_share(void)
{
	struct ask much = ann;
	struct desk k;
	int at = 0, turns = 0;

	much.share = 3;
	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	for (int i = 0; i < 100; i++) {
		ask(&k, much); /* odd numbers */
		ask(&k, bob);
	}
	for (int i = 0; i < 80; i++) {
		turns += k.query_of[at] % 2 == 1;
		done(&k, &at, 10);
	}
	CU_ASSERT(turns >= 59 && turns <= 61);
	desk_close(&k, at);
}

static void
test_full_alone(void)
{
	struct desk k;
	int at = 0;

	desk_open(&k, (struct dispatch_config){ .queue_max = 3 }, 1);
	for (int i = 0; i < 4; i++) {
		ask(&k, ann);
		CU_ASSERT(k.errors_len == 0);
	}
	/* The service is full, and nobody else is there. */
	ask(&k, ann);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 503);
	CU_ASSERT(k.errors[0].query == k.next && k.errors[0].after >= 1);
	CU_ASSERT(strstr(k.errors[0].text, "3 queries wait") != NULL);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_QUEUE] == 1);
	desk_close(&k, at);
}

static void
test_gives_way(void)
{
	struct desk k;
	uint64_t latest = 0, of_bob, of_cid;
	int at = 0;

	desk_open(&k, (struct dispatch_config){ .queue_max = 4 }, 1);
	for (int i = 0; i < 5; i++)
		latest = ask(&k, ann);
	of_bob = ask(&k, bob);
	CU_ASSERT_FATAL(k.errors_len == 1);
	CU_ASSERT(k.errors[0].query == latest && k.errors[0].status == 429);
	CU_ASSERT(k.errors[0].after >= 1 && k.errors[0].after <= 60);
	CU_ASSERT(strstr(k.errors[0].text, "token:ann") != NULL);
	/* Each has two: she has her part, and he does not get more than his. */
	ask(&k, bob);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query == latest - 1);
	ask(&k, bob);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query == k.next);
	CU_ASSERT(k.errors[0].status == 429);
	ask(&k, ann);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query == k.next);
	CU_ASSERT(k.errors[0].status == 429);
	of_cid = ask(&k, cid);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query < of_cid);
	CU_ASSERT(stats(&k).queued == 4 && stats(&k).tenants == 3);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_GAVE_WAY] == 3);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_SHARE] == 2);
	CU_ASSERT(k.query_of[0] == 1);
	done(&k, &at, 10);
	CU_ASSERT(done(&k, &at, 10) == of_bob);
	desk_close(&k, at);
}

/* Who gives way goes elsewhere, if it may; whoever comes for many small tenants has none to
 * push out. */
static void
test_gives_way_to_elsewhere(void)
{
	struct desk k;
	struct ask far = ann;
	int at = 0;

	desk_open(&k, (struct dispatch_config){ .queue_max = 2 }, 1);
	far.link = 9; /* of another node, whose it was to choose */
	ask(&k, ann);
	ask(&k, ann);
	ask(&k, far);
	ask(&k, bob);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query == 3);
	CU_ASSERT(k.errors[0].status == 429);
	ask(&k, cid);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].query == k.next);
	CU_ASSERT(k.errors[0].status == 503);
	desk_close(&k, at);
	desk_open(&k,
		  (struct dispatch_config){ .queue_max = 2,
					    .policy = DISPATCH_LEAST_LOADED },
		  1);
	at = 0;
	far = ann;
	far.elsewhere = 5;
	ask(&k, ann);
	ask(&k, ann);
	/* One that has lost its way there waits here. */
	ask(&k, far);
	if (k.opened == 5)
		step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_FAILED,
						  .link = 5,
						  .run = k.run[--k.order_len],
						  .failure = DISPATCH_NOT_TAKEN });
	k.opened = 0;
	ask(&k, bob);
	CU_ASSERT(stats(&k).queued == 2);
	CU_ASSERT(k.errors_len == 1 ? k.errors[0].query == 3 : k.opened == 5);
	step(&k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL, .query = 3 });
	if (k.opened == 5)
		k.order_len--;
	desk_close(&k, at);
}

static void
test_tenant_queue(void)
{
	struct desk k;

	desk_open(&k, (struct dispatch_config){ .tenant_queue_max = 2 }, 1);
	for (int i = 0; i < 3; i++)
		ask(&k, ann);
	CU_ASSERT(k.errors_len == 0);
	ask(&k, ann);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 429);
	CU_ASSERT(k.errors[0].after >= 1);
	CU_ASSERT(strstr(k.errors[0].text, "2 queries of token:ann wait") != NULL);
	ask(&k, bob);
	CU_ASSERT(k.errors_len == 0);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_TENANT_QUEUE] == 1);
	desk_close(&k, 0);
}

static void
test_bytes(void)
{
	struct ask big = ann, other = bob;
	struct desk k;

	/* Held while the query lives, also while it runs. */
	desk_open(&k,
		  (struct dispatch_config){ .buffer_bytes_max = 1000,
					    .tenant_bytes_max = 500 },
		  10);
	big.body_len = other.body_len = 300;
	ask(&k, big);
	ask(&k, big);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 429);
	CU_ASSERT(k.errors[0].after >= 1 && strstr(k.errors[0].text, "token:ann"));
	big.body_len = 200;
	ask(&k, big);
	CU_ASSERT(k.errors_len == 0);
	ask(&k, other);
	CU_ASSERT(k.errors_len == 0);
	other.tenant = "token:cid";
	ask(&k, other);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 503);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_TENANT_BYTES] == 1);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_BYTES] == 1);
	/* One without a body needs none. */
	ask(&k, ann);
	CU_ASSERT(k.errors_len == 0);
	step(&k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL, .query = 1 });
	ask(&k, other);
	CU_ASSERT(k.errors_len == 0);
	desk_close(&k, 0);
}

/* So many that each take a second have been seen. */
static int
seconds_seen(struct desk *k)
{
	int at = 0;

	for (int i = 0; i < 3; i++) {
		ask(k, cid);
		done(k, &at, MS_SECOND);
	}
	return at;
}

static void
test_deadline(void)
{
	struct ask brief = ann;
	struct desk k;
	int at;

	desk_open(&k, (struct dispatch_config){ 0 }, 2);
	at = seconds_seen(&k);
	for (int i = 0; i < 12; i++)
		ask(&k, ann);
	/* Ten wait for two slots. */
	brief.timeout = 5000;
	ask(&k, brief);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 503);
	CU_ASSERT(k.errors[0].after == 6);
	CU_ASSERT(strstr(k.errors[0].text, "beyond its deadline") != NULL);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_DEADLINE] == 1);
	brief.timeout = 5100;
	ask(&k, brief);
	CU_ASSERT(k.errors_len == 0);
	/* Another's turn comes sooner, and so it may wait. */
	brief.tenant = "token:bob";
	brief.timeout = 1500;
	ask(&k, brief);
	CU_ASSERT(k.errors_len == 0);
	desk_close(&k, at);
}

/* As long as nothing is known of how long they take, all may try. */
static void
test_deadline_unknown(void)
{
	struct ask brief = ann;
	struct desk k;

	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	brief.timeout = 10;
	for (int i = 0; i < 50; i++) {
		ask(&k, brief);
		CU_ASSERT(k.errors_len == 0);
	}
	k.now += 10;
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK });
	CU_ASSERT(k.errors_len == 50);
	desk_close(&k, 0);
}

static void
test_wait_max(void)
{
	struct desk k;
	int at;

	desk_open(&k, (struct dispatch_config){ .wait_max_ms = 3500 }, 1);
	at = seconds_seen(&k);
	for (int i = 0; i < 5; i++) {
		ask(&k, ann);
		CU_ASSERT(k.errors_len == 0);
	}
	ask(&k, ann);
	CU_ASSERT(k.errors_len == 1 && k.errors[0].status == 503);
	CU_ASSERT(k.errors[0].after == 5);
	CU_ASSERT(strstr(k.errors[0].text, "about 4 s") != NULL);
	CU_ASSERT(stats(&k).refused[DISPATCH_REFUSED_WAIT] == 1);
	ask(&k, bob);
	CU_ASSERT(k.errors_len == 0);
	desk_close(&k, at);
}

/* Retry-After is what the wait would be, within a minute. */
static void
test_retry_after(void)
{
	static const struct {
		int queue_max, slots, after;
	} cases[] = {
		{ 1, 1, 2 }, { 20, 1, 21 }, { 20, 4, 6 }, { 200, 1, 60 }, { 3, 64, 1 }
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct desk k;
		int at;

		desk_open(&k, (struct dispatch_config){ .queue_max = cases[c].queue_max },
			  cases[c].slots);
		at = seconds_seen(&k);
		for (int i = 0; i < cases[c].slots + cases[c].queue_max; i++)
			ask(&k, ann);
		ask(&k, ann);
		CU_ASSERT_FATAL(k.errors_len == 1 && k.errors[0].status == 503);
		CU_ASSERT_EQUAL(k.errors[0].after, cases[c].after);
		desk_close(&k, at);
	}
}

/* Whatever comes first when several moments have passed unseen: what has expired ends, and what
 * has not begins. */
static void
test_expired(void)
{
	struct ask brief = ann;
	struct desk k;
	int at = 0;

	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	ask(&k, cid);
	/* It gives it back and rests for a second. */
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_RETURNED,
					  .run = k.run[at++],
					  .retry_after_s = 1 });
	step(&k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL, .query = 1 });
	brief.timeout = 1500;
	ask(&k, brief);
	ask(&k, brief);
	ask(&k, bob);
	ask(&k, brief);
	/* The tick is late: by then all of the brief ones have expired. */
	k.now += 2000;
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK });
	CU_ASSERT(k.errors_len == 3 && k.errors[0].status == 504);
	CU_ASSERT(k.order_len == 2 && k.query_of[1] == 4);
	/* Nor does the end of a run give its slot to one. */
	ask(&k, brief);
	ask(&k, brief);
	CU_ASSERT(done(&k, &at, 1500) == 0);
	CU_ASSERT(k.order_len == 2 && stats(&k).expired == 5);
	desk_close(&k, at);
}

/* What only another worker serves holds nobody up, whoever's it is. */
static void
test_selectors(void)
{
	struct dispatch_service service = { .name = "wc", .match_len = 1 };
	struct dispatch_worker worker = { .worker = 2,
					  .name = "v",
					  .slots = 1,
					  .services = &service,
					  .services_len = 1 };
	char *match[] = { (char[]){ "model=b" } };
	struct ask of_b = ann, of_a = bob;
	struct desk k;
	int at = 0;

	of_b.selector = "model=b";
	of_a.selector = "model=a";
	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	for (int i = 0; i < 6; i++)
		ask(&k, of_b);
	for (int i = 0; i < 3; i++)
		ask(&k, of_a);
	CU_ASSERT(k.order_len == 1 && stats(&k).queued == 8);
	/* A second one, for the one kind only: it takes the oldest of these. */
	service.match = match;
	step(&k,
	     (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER, .worker = &worker });
	CU_ASSERT(k.order_len == 2 && k.query_of[1] == 2);
	/* The first one serves both lines, and leaves none of them. */
	CU_ASSERT(done(&k, &at, 10) == 7);
	at = 2;
	CU_ASSERT(done(&k, &at, 10) == 3);
	CU_ASSERT(done(&k, &at, 10) == 8);
	CU_ASSERT(done(&k, &at, 10) == 4);
	/* It goes, and so does what nobody else serves. */
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
					  .worker_id = 1 });
	CU_ASSERT(k.errors_len == 2 && k.errors[0].query == 4 && k.errors[1].query == 9);
	CU_ASSERT(stats(&k).queued == 2);
	at = 1;
	CU_ASSERT(done(&k, &at, 10) == 5);
	at = k.order_len - 1;
	desk_close(&k, at);
}

/* What a tenant is called goes with the query, to this node's workers' line and to others. */
static void
test_tenants_travel(void)
{
	struct ask a = { .elsewhere = 5, .is_not_here = true };
	struct desk k;

	desk_open(&k, (struct dispatch_config){ 0 }, 1);
	a.tenant = "uid:1000";
	ask(&k, a);
	CU_ASSERT(k.opened == 5);
	CU_ASSERT_STRING_EQUAL(k.tenant, "uid:1000@aaaaaaaa");
	a.tenant = "token:ann";
	ask(&k, a);
	CU_ASSERT_STRING_EQUAL(k.tenant, "token:ann");
	a.tenant = NULL;
	ask(&k, a);
	CU_ASSERT_STRING_EQUAL(k.tenant, "node:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	/* Another's that names nobody is that node's. */
	a = (struct ask){ .link = 7 };
	ask(&k, a);
	CU_ASSERT(k.opened == 0);
	CU_ASSERT_STRING_EQUAL(k.tenant, "node:07070707070707070707070707070707");
	step(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 5 });
	CU_ASSERT(k.errors_len == 3);
	desk_close(&k, 3);
}

static const struct tap_test tests[] = {
	{ "a tenant with few queries is not behind all of one that floods", test_turns },
	{ "a tenant whose queries take longer has fewer turns", test_turns_by_time },
	{ "a tenant with three times the share has three turns for one",
	  test_turns_by_share },
	{ "a full queue is 503 for who is alone in it", test_full_alone },
	{ "in a full queue who has most gives way to who has less than its part",
	  test_gives_way },
	{ "what gives way goes elsewhere if it may, and nobody gives way for nothing",
	  test_gives_way_to_elsewhere },
	{ "a tenant over its own bound is told so with 429", test_tenant_queue },
	{ "bytes of bodies have bounds of one and of all", test_bytes },
	{ "a query whose turn would come after its deadline is refused at once",
	  test_deadline },
	{ "but not while nothing is known", test_deadline_unknown },
	{ "a wait that is longer than allowed is refused", test_wait_max },
	{ "Retry-After is the wait that is expected, from 1 to 60 s", test_retry_after },
	{ "expired work never reaches a worker", test_expired },
	{ "turns are taken among what a worker serves", test_selectors },
	{ "who asks is told from node to node", test_tenants_travel },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
