/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is: the queue by itself, with a server that takes what it takes, and beside a
 * model that knows all that waits. What dispatch makes of it is in test-dispatch-bounds. */
#include "config.h"

#include "dispatch/tenants.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "lib/tap.h"

enum { JOBS_MAX = 20000, TENANTS_MAX = 64, LINES_MAX = 3, SLOTS_MAX = 8, MS = 1000 };

struct job {
	struct waiting waiting;
	struct turn turn;
	int tenant, line;
	int64_t took_us;
	bool is_there; /* the model's word */
};

struct desk {
	struct tenants queue;
	struct rng rng;
	uint64_t turns;
	struct job jobs[JOBS_MAX];
	int jobs_len;
	int weights[TENANTS_MAX];
	int left[TENANTS_MAX]; /* that wait, by the model */
	int served[TENANTS_MAX];
	int64_t worked[TENANTS_MAX];
	struct job *running[SLOTS_MAX];
	int64_t ends[SLOTS_MAX];
	int64_t now;
};

static struct desk *
desk_open(int64_t cost_us)
{
	static struct desk k;

	memset(&k, 0, sizeof(k));
	rng_init(&k.rng, tap_seed());
	k.queue.cost_us = cost_us;
	for (int i = 0; i < TENANTS_MAX; i++)
		k.weights[i] = TENANTS_WEIGHT;
	return &k;
}

static struct u128
line_key(int line)
{
	return (struct u128){ 7, (uint64_t)line };
}

static const char *
name(int tenant)
{
	static char text[20];

	snprintf(text, sizeof(text), "token:%d", tenant);
	return text;
}

static struct job *
put_in(struct desk *k, int tenant, int line, int64_t took_us)
{
	struct job *j = &k->jobs[k->jobs_len++];

	CU_ASSERT_FATAL(k->jobs_len <= JOBS_MAX);
	*j = (struct job){
		.tenant = tenant, .line = line, .took_us = took_us, .is_there = true
	};
	j->waiting.owner = j;
	j->waiting.turn = ++k->turns;
	tenants_put(&k->queue, &j->waiting, name(tenant), k->weights[tenant],
		    line_key(line));
	k->left[tenant]++;
	return j;
}

static struct job *
put(struct desk *k, int tenant, int64_t took_us)
{
	return put_in(k, tenant, 0, took_us);
}

/* Of all lines, as a worker that serves everything; NULL: nothing waits. */
static struct job *
next(const struct desk *k)
{
	struct waiting *best = NULL;

	for (const struct line *l = k->queue.lines; l != NULL; l = l->hh.next)
		if (best == NULL || tenants_is_before(tenants_next(l), best))
			best = tenants_next(l);
	return best != NULL ? best->owner : NULL;
}

static void
take(struct desk *k, struct job *j)
{
	CU_ASSERT_FATAL(j->is_there && j->waiting.flow != NULL);
	tenants_take(&j->waiting, ++k->turns, &j->turn);
	j->is_there = false;
	k->left[j->tenant]--;
	k->served[j->tenant]++;
}

static void
done(struct desk *k, struct job *j)
{
	k->worked[j->tenant] += j->took_us;
	tenants_done(&j->turn, j->took_us);
}

/* One slot: the next has its turn, and it ends. Returns whose. */
static int
serve(struct desk *k)
{
	struct job *j = next(k);

	CU_ASSERT_FATAL(j != NULL);
	take(k, j);
	done(k, j);
	return j->tenant;
}

static void
desk_close(struct desk *k)
{
	while (next(k) != NULL)
		serve(k);
	for (int i = 0; i < TENANTS_MAX; i++)
		CU_ASSERT(k->left[i] == 0);
	CU_ASSERT(k->queue.len == 0 && k->queue.shares_len == 0);
	CU_ASSERT(k->queue.weights == 0);
	tenants_fini(&k->queue);
}

static void
test_flood(void)
{
	struct desk *k = desk_open(50 * MS);

	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 10; i++)
			put(k, 0, 50 * MS);
		put(k, 1, 50 * MS);
		serve(k);
		serve(k);
		/* Half of all turns are the other's, each as soon as it comes. */
		CU_ASSERT(k->left[1] == 0 && k->served[1] == round + 1);
	}
	CU_ASSERT(k->served[0] == 500 && k->left[0] == 4500);
	CU_ASSERT(tenants_len(&k->queue, name(0)) == 4500);
	desk_close(k);
}

static void
test_first_come(void)
{
	struct desk *k = desk_open(MS);

	for (int i = 0; i < 100; i++)
		put(k, (int)rng_below(&k->rng, 5), MS);
	for (uint64_t last[5] = { 0 }; next(k) != NULL;) {
		struct job *j = next(k);

		CU_ASSERT(j->waiting.turn > last[j->tenant]);
		last[j->tenant] = j->waiting.turn;
		serve(k);
	}
	desk_close(k);
}

static int64_t
spread(const struct desk *k, const int64_t what[], int tenants)
{
	int64_t least = what[0] / k->weights[0], most = least;

	for (int i = 1; i < tenants; i++) {
		int64_t v = what[i] / k->weights[i];

		least = v < least ? v : least;
		most = v > most ? v : most;
	}
	return most - least;
}

static void
test_many(void)
{
	enum { TENANTS = 50, EACH = 40 };
	struct desk *k = desk_open(3 * MS);

	/* One has all its queries there before the next one comes. */
	for (int t = 0; t < TENANTS; t++)
		for (int i = 0; i < EACH; i++)
			put(k, t, 3 * MS);
	CU_ASSERT(k->queue.shares_len == TENANTS);
	for (int i = 0; i < TENANTS * EACH; i++) {
		serve(k);
		CU_ASSERT(spread(k, k->worked, TENANTS) <= 3 * MS);
	}
	desk_close(k);
}

/* So many slots, and the first of `tenants` always have something waiting; how long what each
 * of these runs is told by took(). Returns the most by which one of them was ahead. */
static int64_t
crowd(struct desk *k, int tenants, int slots, int rounds,
      int64_t (*took)(struct desk *, int tenant))
{
	int64_t most = 0;

	for (int round = 0; round < rounds; round++) {
		int first = 0;

		for (int t = 0; t < tenants; t++)
			while (k->left[t] < 3)
				put(k, t, took(k, t));
		for (int s = 0; s < slots; s++) {
			if (k->running[s] != NULL)
				continue;
			k->running[s] = next(k);
			take(k, k->running[s]);
			k->ends[s] = k->now + k->running[s]->took_us;
		}
		for (int s = 1; s < slots; s++)
			if (k->ends[s] < k->ends[first])
				first = s;
		k->now = k->ends[first];
		done(k, k->running[first]);
		k->running[first] = NULL;
		if (spread(k, k->worked, tenants) > most)
			most = spread(k, k->worked, tenants);
	}
	for (int s = 0; s < slots; s++)
		if (k->running[s] != NULL)
			done(k, k->running[s]);
	return most;
}

static int64_t
took_of_two(struct desk *k, int tenant)
{
	(void)k;
	return tenant == 0 ? 10 * MS : 100 * MS;
}

static void
test_different_times(void)
{
	struct desk *k = desk_open(30 * MS);
	int64_t ahead = crowd(k, 2, 1, 2000, took_of_two);

	CU_ASSERT(ahead <= 100 * MS); /* a query of one of them */
	CU_ASSERT(k->served[0] > 9 * k->served[1] && k->served[0] < 11 * k->served[1]);
	tap_note("one slot: %lld ms ahead at most, %d and %d turns",
		 (long long)ahead / MS, k->served[0], k->served[1]);
	desk_close(k);
	/* Four slots: at most what runs there besides. */
	k = desk_open(30 * MS);
	ahead = crowd(k, 2, 4, 4000, took_of_two);
	CU_ASSERT(ahead <= 4 * 100 * MS);
	CU_ASSERT(k->served[0] > 9 * k->served[1] && k->served[0] < 11 * k->served[1]);
	tap_note("four slots: %lld ms ahead at most, %d and %d turns",
		 (long long)ahead / MS, k->served[0], k->served[1]);
	desk_close(k);
}

static int64_t
took_by_chance(struct desk *k, int tenant)
{
	int64_t most = tenant % 3 == 0 ? 100 : tenant % 3 == 1 ? 10 : 2;

	return MS * (1 + (int64_t)rng_below(&k->rng, (uint64_t)most));
}

static void
test_by_chance(void)
{
	int rounds = tap_is_quick() ? 1000 : 6000;
	struct desk *k = desk_open(20 * MS);
	int64_t ahead = crowd(k, 7, 1, rounds, took_by_chance);

	CU_ASSERT(ahead <= 100 * MS);
	tap_note("one slot: %lld ms ahead at most", (long long)ahead / MS);
	desk_close(k);
	for (int slots = 2; slots <= SLOTS_MAX; slots *= 2) {
		k = desk_open(20 * MS);
		ahead = crowd(k, 7, slots, rounds, took_by_chance);
		CU_ASSERT(ahead <= slots * 100 * MS);
		tap_note("%d slots: %lld ms ahead at most", slots, (long long)ahead / MS);
		desk_close(k);
	}
}

static int64_t
took_ten(struct desk *k, int tenant)
{
	(void)k;
	(void)tenant;
	return 10 * MS;
}

static void
test_weights(void)
{
	struct desk *k = desk_open(10 * MS);

	k->weights[0] = 3;
	crowd(k, 3, 1, 2000, took_ten);
	CU_ASSERT(k->served[0] >= 1198 && k->served[0] <= 1202);
	CU_ASSERT(k->served[1] >= 399 && k->served[1] <= 401);
	CU_ASSERT(tenants_fair(&k->queue, name(0), 3, 100) == 60);
	CU_ASSERT(tenants_fair(&k->queue, name(1), 1, 100) == 20);
	CU_ASSERT(tenants_fair(&k->queue, name(9), 1, 100) == 16);
	CU_ASSERT(tenants_fair(&k->queue, name(9), 1, 2) == 1);
	desk_close(k);
}

/* Nobody is held to what it had while it was alone, and nobody saves up turns. */
static void
test_late(void)
{
	struct desk *k = desk_open(10 * MS);
	int of_other = 0;

	for (int i = 0; i < 1000; i++)
		put(k, 0, 10 * MS);
	for (int i = 0; i < 500; i++)
		serve(k);
	for (int i = 0; i < 400; i++)
		put(k, 1, 10 * MS);
	for (int i = 1; i <= 800; i++) {
		of_other += serve(k) == 1;
		CU_ASSERT(2 * of_other >= i - 2 && 2 * of_other <= i + 2);
	}
	desk_close(k);
}

/* Who asks for the next one whenever the one before has begun is no quicker for it. */
static void
test_one_at_a_time(void)
{
	struct desk *k = desk_open(10 * MS);

	for (int i = 0; i < 200; i++)
		put(k, 0, 10 * MS);
	for (int i = 0; i < 100; i++) {
		if (k->left[1] == 0)
			put(k, 1, 10 * MS);
		serve(k);
	}
	CU_ASSERT(k->served[1] >= 49 && k->served[1] <= 51);
	desk_close(k);
}

/* However many new ones come, those who wait are reached. */
static void
test_newcomers(void)
{
	struct desk *k = desk_open(10 * MS);

	for (int i = 0; i < 50; i++)
		put(k, 0, 10 * MS);
	for (int i = 0; i < 3000 && k->left[0] > 0; i++) {
		put(k, 1 + i % 60, 10 * MS);
		put(k, 1 + (i + 7) % 60, 10 * MS);
		serve(k);
	}
	CU_ASSERT(k->left[0] == 0);
	desk_close(k);
}

static void
test_nothing_taken(void)
{
	struct desk *k = desk_open(0);
	int of_other = 0;

	/* Clocks have milliseconds: most take none of them. */
	for (int i = 0; i < 100; i++)
		put(k, 0, 0);
	for (int i = 0; i < 10; i++)
		put(k, 1, 0);
	for (int i = 0; i < 20; i++)
		of_other += serve(k) == 1;
	CU_ASSERT(of_other >= 9);
	desk_close(k);
}

/* A worker that serves two lines does not leave one for the other. */
static void
test_lines(void)
{
	struct desk *k = desk_open(10 * MS);

	for (int i = 0; i < 200; i++)
		put_in(k, 0, 0, 10 * MS);
	for (int i = 0; i < 20; i++)
		put_in(k, 1, 1, 10 * MS);
	for (int i = 0; i < 42; i++)
		serve(k);
	CU_ASSERT(k->left[1] == 0 && k->served[0] >= 20);
	/* Nor does the rest of a line wait for who is behind in another. */
	for (int i = 0; i < 20; i++) {
		put_in(k, 1, 1, 10 * MS);
		put_in(k, 2, 0, 10 * MS);
	}
	for (int i = 0; i < 90; i++)
		serve(k);
	CU_ASSERT(k->left[1] == 0 && k->left[2] == 0);
	desk_close(k);
}

static void
test_back(void)
{
	struct desk *k = desk_open(10 * MS);
	struct job *j;

	for (int i = 0; i < 4; i++)
		put(k, 0, 10 * MS);
	for (int i = 0; i < 4; i++)
		put(k, 1, 10 * MS);
	serve(k);
	serve(k);
	j = next(k);
	CU_ASSERT(j->tenant == 0);
	take(k, j);
	/* The worker would not have it: as before. */
	tenants_back(&j->turn);
	tenants_put(&k->queue, &j->waiting, name(0), 1, line_key(0));
	j->is_there = true;
	k->left[0]++;
	k->served[0]--;
	CU_ASSERT(next(k) == j);
	while (next(k) != NULL) {
		serve(k);
		CU_ASSERT(k->served[0] - k->served[1] <= 1 &&
			  k->served[1] <= k->served[0]);
	}
	desk_close(k);
}

static void
test_most(void)
{
	struct desk *k = desk_open(MS);
	struct job *j;

	CU_ASSERT(tenants_most(&k->queue) == NULL);
	put(k, 0, MS);
	for (int i = 0; i < 5; i++)
		j = put_in(k, 1, i % 2, MS);
	for (int i = 0; i < 3; i++)
		put(k, 2, MS);
	CU_ASSERT(tenants_most(&k->queue) == &j->waiting);
	tenants_remove(&j->waiting);
	j->is_there = false;
	k->left[1]--;
	CU_ASSERT(tenants_most(&k->queue) != &j->waiting);
	desk_close(k);
}

/* How many go before one that comes is known when it comes. */
static void
test_ahead(void)
{
	for (int round = 0; round < (tap_is_quick() ? 50 : 500); round++) {
		struct desk *k = desk_open(10 * MS);
		int ahead, tenant = (int)rng_below(&k->rng, 6);
		struct job *j;

		rng_init(&k->rng, tap_seed() + (uint64_t)round);
		for (int i = (int)rng_below(&k->rng, 60); i > 0; i--)
			put(k, (int)rng_below(&k->rng, 6), 10 * MS);
		for (int i = (int)rng_below(&k->rng, 20); i > 0 && next(k) != NULL; i--)
			serve(k);
		ahead = tenants_ahead(&k->queue, name(tenant), 1, line_key(0));
		j = put(k, tenant, 10 * MS);
		for (; next(k) != j; ahead--)
			serve(k);
		CU_ASSERT(ahead == 0);
		desk_close(k);
	}
}

/* A walk tells the order of turns without any being had. */
static void
test_walk(void)
{
	struct desk *k = desk_open(10 * MS);
	struct waiting *order[TENANTS_WALK_MAX + 1];
	struct tenants_walk walk;
	int n = 0;

	for (int i = 0; i < 100; i++)
		put(k, (int)rng_below(&k->rng, 4), 10 * MS);
	serve(k);
	tenants_walk_begin(&walk, &k->queue);
	while ((order[n] = tenants_walk_next(&walk)) != NULL)
		n++;
	CU_ASSERT(n == TENANTS_WALK_MAX);
	for (int i = 0; i < n; i++) {
		CU_ASSERT(order[i] == &next(k)->waiting);
		serve(k);
	}
	desk_close(k);
}

/* Random histories beside a model that looks at everything. */

static struct job *
oldest(struct desk *k, int tenant, int line)
{
	for (int i = 0; i < k->jobs_len; i++) {
		struct job *j = &k->jobs[i];

		if (j->is_there && j->tenant == tenant && j->line == line)
			return j;
	}
	return NULL;
}

static struct job *
any_waiting(struct desk *k)
{
	for (int tries = 0; tries < 200 && k->jobs_len > 0; tries++) {
		struct job *j = &k->jobs[rng_below(&k->rng, (uint64_t)k->jobs_len)];

		if (j->is_there)
			return j;
	}
	return NULL;
}

static void
history_check(struct desk *k)
{
	int all = 0, shares = 0;

	for (int t = 0; t < TENANTS_MAX; t++) {
		CU_ASSERT(tenants_len(&k->queue, name(t)) == k->left[t]);
		all += k->left[t];
		shares += k->left[t] > 0;
	}
	CU_ASSERT(k->queue.len == all && k->queue.shares_len == shares);
	for (const struct line *l = k->queue.lines; l != NULL; l = l->hh.next)
		CU_ASSERT(l->idle_len <= TENANTS_IDLE_MAX);
}

static void
history_step(struct desk *k, struct job *running[SLOTS_MAX])
{
	int slot = (int)rng_below(&k->rng, SLOTS_MAX);
	struct job *j;

	switch (rng_below(&k->rng, 7)) {
	case 0:
	case 1:
	case 2:
		put_in(k, (int)rng_below(&k->rng, 1 + rng_below(&k->rng, TENANTS_MAX)),
		       (int)rng_below(&k->rng, LINES_MAX),
		       (int64_t)rng_below(&k->rng, 50 * MS));
		break;
	case 3: /* its client leaves */
		j = any_waiting(k);
		if (j == NULL)
			break;
		tenants_remove(&j->waiting);
		j->is_there = false;
		k->left[j->tenant]--;
		break;
	case 4: /* other workers serve it now */
		j = any_waiting(k);
		if (j == NULL)
			break;
		tenants_remove(&j->waiting);
		j->line = (int)rng_below(&k->rng, LINES_MAX);
		tenants_put(&k->queue, &j->waiting, name(j->tenant), 1,
			    line_key(j->line));
		break;
	default:
		if (running[slot] != NULL) {
			done(k, running[slot]);
			running[slot] = NULL;
		}
		j = next(k);
		if (j == NULL)
			break;
		CU_ASSERT(j == oldest(k, j->tenant, j->line));
		take(k, j);
		running[slot] = j;
		break;
	}
}

static void
test_histories(void)
{
	for (int round = 0; round < (tap_is_quick() ? 5 : 40); round++) {
		struct desk *k = desk_open(5 * MS);
		struct job *running[SLOTS_MAX] = { NULL };
		int puts;

		rng_init(&k->rng, tap_seed() * 77 + (uint64_t)round);
		for (int i = 0; i < 1500; i++) {
			history_step(k, running);
			if (i % 50 == 0)
				history_check(k);
		}
		for (int s = 0; s < SLOTS_MAX; s++)
			if (running[s] != NULL)
				done(k, running[s]);
		puts = k->jobs_len;
		desk_close(k);
		/* None is lost: whatever was put is gone now. */
		for (int i = 0; i < puts; i++)
			CU_ASSERT(!k->jobs[i].is_there &&
				  k->jobs[i].waiting.flow == NULL &&
				  k->jobs[i].turn.flow == NULL);
	}
}

static void
test_idle_bound(void)
{
	static struct tenants queue = { .cost_us = 10 * MS };
	static struct waiting guests[4 * TENANTS_IDLE_MAX], last;
	char text[20];

	last.turn = 1;
	tenants_put(&queue, &last, "token:last", 1, line_key(0));
	for (int i = 0; i < 4 * TENANTS_IDLE_MAX; i++) {
		snprintf(text, sizeof(text), "addr:%d", i);
		guests[i].turn = (uint64_t)i + 2;
		tenants_put(&queue, &guests[i], text, 1, line_key(0));
	}
	/* They have their turns out of order, so that all are ahead of the line's time. */
	for (int i = 0; i < 4 * TENANTS_IDLE_MAX; i++)
		tenants_take(&guests[i], (uint64_t)(5 * TENANTS_IDLE_MAX + i), NULL);
	CU_ASSERT(queue.lines->idle_len <= TENANTS_IDLE_MAX);
	CU_ASSERT((int)HASH_COUNT(queue.shares) <= TENANTS_IDLE_MAX + 1);
	CU_ASSERT(queue.len == 1 && queue.shares_len == 1);
	tenants_remove(&last);
	CU_ASSERT(queue.lines == NULL && queue.shares == NULL);
	tenants_fini(&queue);
}

static bool
is_called(const char *tenant, int from, const char *expected)
{
	char text[QUERY_TENANT_BYTES_MAX + 1];
	struct id self, node;

	memset(self.b, 0xaa, ID_BYTES);
	memset(node.b, from, ID_BYTES);
	tenants_name(tenant, &self, &node, text);
	if (strcmp(text, expected) != 0)
		tap_note("\"%s\", not \"%s\"", text, expected);
	return strcmp(text, expected) == 0;
}

static void
test_names(void)
{
	/* What has a meaning everywhere is the same whatever node is asked. */
	CU_ASSERT(is_called("token:ann@x", 0, "token:ann@x"));
	CU_ASSERT(is_called("token:ann@x", 5, "token:ann@x"));
	CU_ASSERT(is_called("addr:192.0.2.1", 0, "addr:192.0.2.1"));
	CU_ASSERT(is_called("addr:::1234:0:0:0/64", 0, "addr:::1234:0:0:0/64"));
	CU_ASSERT(is_called("uid:7", 0, "uid:7@aaaaaaaa"));
	CU_ASSERT(is_called("uid:7", 5, "uid:7@05050505"));
	CU_ASSERT(is_called("uid:7@aaaaaaaa", 5, "uid:7@aaaaaaaa"));
	CU_ASSERT(is_called("addr:127.0.0.1", 0, "addr:127.0.0.1@aaaaaaaa"));
	CU_ASSERT(is_called("addr:::1", 0, "addr:::1@aaaaaaaa"));
	CU_ASSERT(is_called(NULL, 0, "node:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	CU_ASSERT(is_called(NULL, 5, "node:05050505050505050505050505050505"));
}

static const struct tap_test tests[] = {
	{ "one who asks ten times as much leaves the other its half", test_flood },
	{ "within a tenant the first that comes is the first that goes",
	  test_first_come },
	{ "of fifty none is ever more than a query ahead", test_many },
	{ "who has slow queries has fewer turns, by the time that they take",
	  test_different_times },
	{ "whatever they take, nobody gets ahead by more than what runs at a time",
	  test_by_chance },
	{ "a weight is so many times the turns", test_weights },
	{ "who comes late has its share from then on", test_late },
	{ "who asks for one at a time has no more than its share", test_one_at_a_time },
	{ "newcomers do not keep others waiting for ever", test_newcomers },
	{ "queries that take no time are shared, too", test_nothing_taken },
	{ "a worker that serves more than one line leaves none of them", test_lines },
	{ "what a worker gives back costs no turn and loses no place", test_back },
	{ "the latest of whoever has most gives way", test_most },
	{ "how many go before is known beforehand", test_ahead },
	{ "a walk is in the order of turns", test_walk },
	{ "in random histories none is lost, doubled or overtaken by its own",
	  test_histories },
	{ "of tenants with nothing waiting few are remembered", test_idle_bound },
	{ "who means the same machine is called after it", test_names },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
