/* SPDX-License-Identifier: Apache-2.0 */
/* Which worker of a node a query gets: the dispatch core with workers of unlike speed, in
 * virtual time. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "dispatch/dispatch.h"
#include "dispatch/loads.h"
#include "lib/tap.h"

enum { WORKERS_MAX = 4, RUNS_MAX = 4096, QUERIES_MAX = 40000, NEVER = 0 };

typedef int64_t us_t;

struct run {
	uint64_t run;
	int worker;
	us_t end;
};

struct shop {
	struct dispatch *dispatch;
	struct rng rng;
	us_t now;
	us_t took[WORKERS_MAX]; /* that each takes; NEVER: it hangs */
	bool fails[WORKERS_MAX];
	int count[WORKERS_MAX]; /* queries that each had */
	struct run runs[RUNS_MAX];
	int runs_len;
	us_t *asked, *waited; /* when; until its reply, -1: none yet */
	int queries, answered, failed;
};

static void
shop_step(struct shop *s, struct dispatch_event e)
{
	struct dispatch_action a;

	dispatch_step(s->dispatch, s->now / 1000, &e);
	while (dispatch_next(s->dispatch, &a)) {
		if (a.type == DISPATCH_ACTION_RUN_OPEN) {
			int w = (int)a.worker_id - 1;

			CU_ASSERT_FATAL(s->runs_len < RUNS_MAX);
			s->count[w]++;
			s->runs[s->runs_len++] = (struct run){
				a.run, w,
				s->took[w] == NEVER ? INT64_MAX : s->now + s->took[w]
			};
		} else if (a.type == DISPATCH_ACTION_DATA && a.is_last) {
			s->answered++;
			s->waited[a.query] = s->now - s->asked[a.query];
		} else if (a.type == DISPATCH_ACTION_ERROR) {
			s->failed++;
		}
	}
}

static void
shop_worker(struct shop *s, int number, int slots, us_t took)
{
	struct dispatch_service service = { .name = "wc" };
	struct dispatch_worker info = { .worker = (uint64_t)number,
					.name = "w",
					.slots = slots,
					.services = &service,
					.services_len = 1 };

	s->took[number - 1] = took;
	shop_step(s, (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER,
					      .worker = &info });
}

static void
shop_open(struct shop *s)
{
	struct dispatch_config config = { .seed = tap_seed(),
					  .queue_max = 1000,
					  .buffer_bytes_max = 1 << 20,
					  .body_bytes_max = 1 << 20,
					  .policy = DISPATCH_BEST };

	*s = (struct shop){ .now = 1000000 };
	memset(config.self.b, 7, ID_BYTES);
	rng_init(&s->rng, tap_seed());
	s->dispatch = dispatch_new(&config);
	s->asked = mem_calloc(QUERIES_MAX, sizeof(us_t));
	s->waited = mem_calloc(QUERIES_MAX, sizeof(us_t));
}

static void
shop_close(struct shop *s)
{
	dispatch_free(s->dispatch);
	free(s->asked);
	free(s->waited);
}

static void
shop_ask(struct shop *s)
{
	char text[] = "r", service[] = "wc";
	struct query_head head = { .request_id = text,
				   .service = service,
				   .method = text,
				   .path = text,
				   .timeout_ms = MS_HOUR };
	struct dispatch_candidate here = { 0 };
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .query = (uint64_t)s->queries,
				    .head = &head,
				    .candidates = &here,
				    .candidates_len = 1 };

	memset(here.node.b, 7, ID_BYTES);
	CU_ASSERT_FATAL(s->queries < QUERIES_MAX);
	s->asked[s->queries] = s->now;
	s->waited[s->queries++] = -1;
	shop_step(s, e);
}

static struct run *
shop_first(struct shop *s)
{
	struct run *first = NULL;

	for (int i = 0; i < s->runs_len; i++)
		if (first == NULL || s->runs[i].end < first->end)
			first = &s->runs[i];
	return first;
}

static char wrong_text[] = "no";
static struct query_error wrong = { .status = 502, .text = wrong_text };

/* All that happens before `until`. */
static void
shop_run(struct shop *s, us_t until)
{
	for (;;) {
		struct dispatch_event e = { .type = DISPATCH_EVENT_TICK };
		struct run *first = shop_first(s);
		ms_t due = dispatch_due(s->dispatch);
		us_t at = due < 0 ? INT64_MAX : due * 1000;

		if (first != NULL && first->end <= at)
			at = first->end;
		if (at >= until)
			break;
		s->now = at > s->now ? at : s->now;
		if (first != NULL && first->end == at) {
			e.type = DISPATCH_EVENT_RUN_DATA;
			e.is_last = true;
			e.run = first->run;
			if (s->fails[first->worker]) {
				e.type = DISPATCH_EVENT_RUN_FAILED;
				e.failure = DISPATCH_ANSWERED;
				e.error = &wrong;
			}
			*first = s->runs[--s->runs_len];
		}
		shop_step(s, e);
	}
	s->now = until;
}

/* Poisson arrivals, so many in a second. */
static void
shop_busy(struct shop *s, double rate, us_t span)
{
	us_t end = s->now + span;

	for (;;) {
		double x = ((double)(rng_next(&s->rng) >> 11) + 0.5) / 9007199254740992.0;
		us_t next = s->now + (us_t)(-log(x) / rate * 1e6);

		if (next >= end)
			break;
		shop_run(s, next);
		shop_ask(s);
	}
	shop_run(s, end);
}

static int
order(const void *a, const void *b)
{
	us_t x = *(const us_t *)a, y = *(const us_t *)b;

	return (x > y) - (x < y);
}

/* Of those asked since `from`, so many of a thousand were done within what is returned. */
static us_t
shop_within(struct shop *s, int from, int permille)
{
	int n = s->queries - from;
	us_t *sorted = mem_dup(s->waited + from, (size_t)n * sizeof(us_t)), result;

	for (int i = 0; i < n; i++)
		if (sorted[i] < 0)
			sorted[i] = INT64_MAX;
	qsort(sorted, (size_t)n, sizeof(us_t), order);
	result = sorted[(int64_t)(n - 1) * permille / 1000];
	free(sorted);
	return result;
}

static struct dispatch_stats
shop_stats(const struct shop *s)
{
	struct dispatch_stats stats;

	dispatch_stats(s->dispatch, &stats);
	return stats;
}

/* NATS alone shared 600 such queries out by halves: the 99th percentile was 5.5 s. */
static void
test_mixed(void)
{
	us_t p50, p99;
	struct shop s;

	shop_open(&s);
	shop_worker(&s, 1, 1, 1000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 300, 60000000);
	p50 = shop_within(&s, 0, 500);
	p99 = shop_within(&s, 0, 990);
	tap_note(
		"%d queries, %d and %d to the fast and the slow one, %llu held; p50 %.1f "
		"ms, p99 %.1f ms",
		s.queries, s.count[0], s.count[1],
		(unsigned long long)shop_stats(&s).held, (double)p50 / 1000,
		(double)p99 / 1000);
	CU_ASSERT(p99 <= 15000);
	/* The slow one is not forgotten. */
	CU_ASSERT(s.count[1] > 2 && s.count[1] < s.queries / 100);
	/* At nearly all that the fast one can do, both have work. */
	shop_busy(&s, 1005, 10000000);
	shop_run(&s, s.now + 1000000);
	CU_ASSERT(s.count[1] > 20);
	tap_note("%d queries, %d to the slow one; p99 %.1f ms, at most %.1f ms",
		 s.queries, s.count[1], (double)shop_within(&s, 0, 990) / 1000,
		 (double)shop_within(&s, 0, 1000) / 1000);
	CU_ASSERT(shop_within(&s, 0, 1000) < 400000);
	shop_close(&s);
}

/* With the queue at its end the slow one would not be sooner: all it takes is to be well used. */
static void
test_burst(void)
{
	int before;
	struct shop s;

	shop_open(&s);
	shop_worker(&s, 1, 1, 1000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 300, 2000000);
	before = s.count[1];
	for (int i = 0; i < 200; i++)
		shop_ask(&s);
	CU_ASSERT(s.count[1] == before + 1);
	shop_run(&s, s.now + 1000000);
	/* One of 50 ms more often, and all is done no later than by the fast one alone. */
	CU_ASSERT(s.count[1] > before + 2 && s.answered == s.queries);
	CU_ASSERT(shop_within(&s, s.queries - 200, 1000) <= 201000);
	shop_close(&s);
}

static void
test_alike(void)
{
	struct shop s;

	shop_open(&s);
	shop_worker(&s, 1, 2, 20000);
	shop_worker(&s, 2, 2, 25000);
	shop_worker(&s, 3, 2, 30000);
	shop_busy(&s, 150, 10000000);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(s.count[i] > s.queries / 5);
	CU_ASSERT(shop_stats(&s).held == 0);
	shop_close(&s);
}

static void
test_becomes_fast(void)
{
	struct shop s;
	int before;

	shop_open(&s);
	shop_worker(&s, 1, 1, 2000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 100, 20000000);
	before = s.count[1];
	CU_ASSERT(before < s.queries / 100);
	s.took[1] = 2000;
	shop_busy(&s, 100, 40000000);
	CU_ASSERT(s.count[1] - before > 4000 / 5);
	/* And slow again. */
	s.took[1] = 50000;
	shop_busy(&s, 100, 10000000);
	before = s.queries;
	shop_busy(&s, 100, 40000000);
	CU_ASSERT(shop_within(&s, before, 990) <= 15000);
	shop_close(&s);
}

/* Whom all wait for may stop at any moment. */
static void
test_hangs(void)
{
	struct shop s;
	int before;

	shop_open(&s);
	shop_worker(&s, 1, 1, 1000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 100, 5000000);
	s.took[0] = NEVER;
	before = s.queries;
	shop_busy(&s, 10, 20000000);
	shop_run(&s, s.now + 1000000);
	/* One is lost; the others were done by the other one, soon. */
	CU_ASSERT(s.answered == s.queries - 1);
	CU_ASSERT(s.count[1] >= s.queries - before - 2);
	CU_ASSERT(shop_within(&s, before, 900) < 300000);
	/* It is gone altogether: who waited for it does not any more. */
	shop_step(&s, (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER_GONE,
					       .worker_id = 1 });
	s.runs_len = 0;
	CU_ASSERT(s.failed == 1);
	shop_ask(&s);
	shop_run(&s, s.now + 51000);
	CU_ASSERT(s.answered == s.queries - 1);
	shop_close(&s);
}

/* A wait ends also when nothing happens at all but time passing. */
static void
test_wait_is_looked_at(void)
{
	struct shop s;
	int before;

	shop_open(&s);
	shop_worker(&s, 1, 1, 1000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 300, 5000000);
	shop_run(&s, s.now + 100000);
	s.took[0] = NEVER;
	shop_ask(&s);
	before = s.count[1];
	shop_ask(&s);
	CU_ASSERT(s.count[1] == before && shop_stats(&s).queued == 1);
	shop_run(&s, s.now + 50000);
	CU_ASSERT(s.count[1] == before + 1 && shop_stats(&s).queued == 0);
	shop_close(&s);
}

static void
test_announced_anew(void)
{
	struct shop s;
	int before;

	shop_open(&s);
	shop_worker(&s, 1, 1, 1000);
	shop_worker(&s, 2, 1, 50000);
	shop_busy(&s, 100, 2000000);
	/* What they take is known all the same. */
	shop_worker(&s, 1, 2, 1000);
	shop_worker(&s, 2, 2, 50000);
	before = s.count[1];
	for (int i = 0; i < 50; i++) {
		shop_ask(&s);
		shop_run(&s, s.now + 3000);
	}
	CU_ASSERT(s.count[1] == before);
	shop_close(&s);
}

/* Who fails at once would otherwise get most queries. */
static void
test_fails(void)
{
	struct shop s;
	int failed;

	shop_open(&s);
	shop_worker(&s, 1, 1, 10000);
	shop_worker(&s, 2, 1, 1000);
	s.fails[1] = true;
	shop_busy(&s, 50, 1000000);
	failed = s.failed;
	CU_ASSERT(failed >= LOADS_FAILURES && failed <= LOADS_FAILURES + 1);
	CU_ASSERT(shop_stats(&s).ejected_workers >= 1);
	/* A second, then two, four, … 30: in five minutes about 14 times. */
	shop_busy(&s, 50, 300000000);
	CU_ASSERT(s.failed - failed > 5 && s.failed - failed < 30);
	/* It is mended: after its rest it is as the other. */
	s.fails[1] = false;
	shop_busy(&s, 50, 31000000);
	failed = s.count[1];
	shop_busy(&s, 50, 10000000);
	CU_ASSERT(s.count[1] > failed + 50);
	/* Of two that fail, one goes on: more than half never rest. */
	s.fails[0] = s.fails[1] = true;
	shop_busy(&s, 50, 10000000);
	failed = s.queries - s.answered;
	shop_ask(&s);
	shop_run(&s, s.now + 100000);
	CU_ASSERT(s.queries - s.answered == failed + 1 && shop_stats(&s).queued == 0);
	shop_close(&s);
}

static const struct tap_test tests[] = {
	{ "a query waits for the fast worker when it is done sooner there", test_mixed },
	{ "behind a long queue the slow one is used, too", test_burst },
	{ "workers that are about as fast share the work", test_alike },
	{ "a slow worker that becomes fast is found out, and one that becomes slow",
	  test_becomes_fast },
	{ "a fast worker that hangs holds up nobody for long", test_hangs },
	{ "a wait is looked at again by time alone", test_wait_is_looked_at },
	{ "a new announcement does not make a worker unknown", test_announced_anew },
	{ "a worker that fails again and again rests, but never more than half",
	  test_fails },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
