/* SPDX-License-Identifier: Apache-2.0 */
/* The policies that ours is measured against, each by its own rule and with what it may know.
 * Those that weigh are told the true capacity of every node. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/budgets.h"
#include "sim/policy-world.h"

/* Random. */

static int
draw(struct policy_world *w, double (*weight)(const struct policy_node *))
{
	double sum = 0, x;
	int last = -1;

	for (int i = 0; i < POLICY_NODES; i++)
		sum += w->nodes[i].is_there ? weight(&w->nodes[i]) : 0;
	x = sum * ((double)(rng_next(&w->sim.rng) >> 11) / 9007199254740992.0);
	for (int i = 0; i < POLICY_NODES; i++) {
		if (!w->nodes[i].is_there)
			continue;
		last = i;
		x -= weight(&w->nodes[i]);
		if (x < 0)
			break;
	}
	return last;
}

static double
weight_same(const struct policy_node *n)
{
	(void)n;
	return 1;
}

static double
weight_slots(const struct policy_node *n)
{
	return n->slots;
}

static double
weight_capacity(const struct policy_node *n)
{
	return n->slots * n->usual_speed;
}

static int
uniform_pick(struct policy_node *n)
{
	return draw(n->world, weight_same);
}

static int
workers_pick(struct policy_node *n)
{
	return draw(n->world, weight_slots);
}

static int
capacity_pick(struct policy_node *n)
{
	return draw(n->world, weight_capacity);
}

/* Shortest queue by own queries in flight, as OpenTela has it: of equals the first. */

struct own {
	int in_flight[POLICY_NODES];
};

static int
own_pick(struct policy_node *n)
{
	struct own *own = n->opponent;
	int best = -1;

	for (int i = 0; i < POLICY_NODES; i++)
		if (n->world->nodes[i].is_there &&
		    (best < 0 || own->in_flight[i] < own->in_flight[best]))
			best = i;
	own->in_flight[best]++;
	return best;
}

static void
own_replied(struct policy_node *n, int by)
{
	struct own *own = n->opponent;

	own->in_flight[by]--;
}

/* Join-idle-queue: for each slot that becomes free its node leaves a token with one of two
 * dispatchers, the one that has fewer; a dispatcher spends the oldest it has, or else draws
 * by capacity. */

struct idle {
	int tokens[1024];
	int len;
	bool is_begun;
};

struct idle_word {
	int from, to;
};

static void
idle_token(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct idle_word *word = data;
	struct idle *idle = w->nodes[word->to].opponent;

	(void)sim;
	if (idle != NULL && idle->len < 1024)
		idle->tokens[idle->len++] = word->from;
}

static void
idle_leave(struct policy_node *n)
{
	struct policy_world *w = n->world;
	struct idle_word word = { .from = n->index, .to = draw(w, weight_same) };
	int other = draw(w, weight_same);
	struct idle *a = w->nodes[word.to].opponent, *b = w->nodes[other].opponent;

	if (b->len < a->len)
		word.to = other;
	policy_tell(w, idle_token, &word, sizeof(word));
}

static int
idle_pick(struct policy_node *n)
{
	struct idle *idle = n->opponent;

	while (idle->len > 0) {
		int node = idle->tokens[0];

		memmove(idle->tokens, idle->tokens + 1,
			(size_t)--idle->len * sizeof(idle->tokens[0]));
		if (n->world->nodes[node].is_there)
			return node;
	}
	return capacity_pick(n);
}

static void
idle_arrived(struct policy_node *n)
{
	struct idle *idle = n->opponent;

	/* All are idle in the beginning; this is soon enough to say it. */
	for (int i = 1; i < n->slots && !idle->is_begun; i++)
		idle_leave(n);
	idle->is_begun = true;
}

static void
idle_done(struct policy_node *n, us_t took, int held_before)
{
	(void)took;
	(void)held_before;
	if (n->held < n->slots)
		idle_leave(n);
}

/* Prequal (NSDI '24): for each query three probes of random nodes, whose answers (requests in
 * flight, and the latency to expect at so many) are kept in a pool of 16 for a second and used
 * up to a few times. Of those that are not hot, the least latency; else the least in flight.
 * "prequal-slots" counts what is in flight for each slot, and takes more of them for hot. */

enum {
	PREQUAL_POOL = 16,
	PREQUAL_PROBES = 3,
	PREQUAL_USES = 4, /* (1 + 1) / ((1 - 16/32) * 3 - 1) */
	PREQUAL_AGE_US = 1000000,
	PREQUAL_RECENT = 128,
	PREQUAL_SAMPLES = 16,
	PREQUAL_HELD_MAX = 64,
};

struct probe {
	int node, uses;
	double held; /* in flight */
	us_t latency, at;
};

struct prequal {
	struct probe pool[PREQUAL_POOL];
	int len;
	double recent[PREQUAL_RECENT];
	int recent_len, turn;
	/* As one that is asked: latencies, by how many were in flight on arrival. */
	us_t samples[PREQUAL_HELD_MAX][PREQUAL_SAMPLES];
	int samples_len[PREQUAL_HELD_MAX], samples_next[PREQUAL_HELD_MAX];
};

struct prequal_word {
	int from, to;
	struct probe probe;
};

static int
order_us(const void *a, const void *b)
{
	us_t x = *(const us_t *)a, y = *(const us_t *)b;

	return (x > y) - (x < y);
}

static int
order_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static us_t
prequal_latency(const struct prequal *p, int held)
{
	us_t sorted[PREQUAL_SAMPLES];

	if (held >= PREQUAL_HELD_MAX)
		held = PREQUAL_HELD_MAX - 1;
	for (int off = 0; off < PREQUAL_HELD_MAX; off++)
		for (int side = -1; side <= 1; side += 2) {
			int i = held + side * off;
			int n;

			if (i < 0 || i >= PREQUAL_HELD_MAX || p->samples_len[i] == 0)
				continue;
			n = p->samples_len[i];
			memcpy(sorted, p->samples[i], (size_t)n * sizeof(sorted[0]));
			qsort(sorted, (size_t)n, sizeof(sorted[0]), order_us);
			return sorted[n / 2];
		}
	return 0; /* nobody was answered yet: to be tried */
}

static void
prequal_drop(struct prequal *p, int i)
{
	p->pool[i] = p->pool[--p->len];
}

static int
prequal_oldest(const struct prequal *p)
{
	int best = 0;

	for (int i = 1; i < p->len; i++)
		if (p->pool[i].at < p->pool[best].at)
			best = i;
	return best;
}

static bool
prequal_is_normal(const struct policy_world *w)
{
	return strcmp(w->setup->kind->name, "prequal-slots") == 0;
}

static double
prequal_held(const struct policy_world *w, const struct probe *p)
{
	return prequal_is_normal(w) ? p->held / w->nodes[p->node].slots : p->held;
}

static void
prequal_answer(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct prequal_word *word = data;
	struct prequal *p = w->nodes[word->to].opponent;

	if (p == NULL)
		return;
	word->probe.at = sim->now_us;
	if (p->len == PREQUAL_POOL)
		prequal_drop(p, prequal_oldest(p));
	p->pool[p->len++] = word->probe;
	p->recent[p->turn] = prequal_held(w, &word->probe);
	p->turn = (p->turn + 1) % PREQUAL_RECENT;
	if (p->recent_len < PREQUAL_RECENT)
		p->recent_len++;
}

static void
prequal_probed(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct prequal_word *word = data;
	struct policy_node *n = &w->nodes[word->to];
	struct prequal_word answer = { .from = word->to, .to = word->from };

	(void)sim;
	if (!n->is_there)
		return;
	answer.probe.node = n->index;
	answer.probe.held = n->held;
	answer.probe.latency = prequal_latency(n->opponent, n->held);
	policy_tell(w, prequal_answer, &answer, sizeof(answer));
}

static double
prequal_hot(const struct policy_node *n)
{
	const struct prequal *p = n->opponent;
	double sorted[PREQUAL_RECENT];
	double q = prequal_is_normal(n->world) ? 0.6 : 0.84;

	for (int i = 0; i < p->recent_len; i++)
		sorted[i] = p->recent[i];
	qsort(sorted, (size_t)p->recent_len, sizeof(sorted[0]), order_double);
	return p->recent_len > 0 ? sorted[(int)(q * (p->recent_len - 1))] : 0;
}

/* Of the cold the quickest, else the least in flight; or (is_worst) the other end of it. */
static int
prequal_best(const struct policy_node *n, double hot, bool is_worst)
{
	const struct prequal *p = n->opponent;
	int best = -1;

	for (int i = 0; i < p->len; i++) {
		double a = prequal_held(n->world, &p->pool[i]), b;
		bool is_better;

		if (best < 0) {
			best = i;
			continue;
		}
		b = prequal_held(n->world, &p->pool[best]);
		if ((a <= hot) != (b <= hot))
			is_better = a <= hot;
		else if (a <= hot)
			is_better = p->pool[i].latency < p->pool[best].latency;
		else
			is_better = a < b;
		if (is_better != is_worst)
			best = i;
	}
	return best;
}

static int
prequal_pick(struct policy_node *n)
{
	struct policy_world *w = n->world;
	struct prequal *p = n->opponent;
	double hot;
	int best, node;

	for (int i = 0; i < PREQUAL_PROBES; i++) {
		struct prequal_word word = { .from = n->index,
					     .to = draw(w, weight_same) };

		policy_tell(w, prequal_probed, &word, sizeof(word));
	}
	for (int i = p->len - 1; i >= 0; i--)
		if (w->sim.now_us - p->pool[i].at > PREQUAL_AGE_US ||
		    !w->nodes[p->pool[i].node].is_there)
			prequal_drop(p, i);
	hot = prequal_hot(n);
	if (p->len < 2)
		return uniform_pick(n);
	best = prequal_best(n, hot, false);
	node = p->pool[best].node;
	p->pool[best].held++;
	if (++p->pool[best].uses >= PREQUAL_USES)
		prequal_drop(p, best);
	if (p->len > 2)
		prequal_drop(p, rng_below(&w->sim.rng, 2) == 0
					? prequal_oldest(p)
					: prequal_best(n, hot, true));
	return node;
}

static void
prequal_done(struct policy_node *n, us_t took, int held_before)
{
	struct prequal *p = n->opponent;
	int i = held_before < PREQUAL_HELD_MAX ? held_before : PREQUAL_HELD_MAX - 1;

	p->samples[i][p->samples_next[i]] = took;
	p->samples_next[i] = (p->samples_next[i] + 1) % PREQUAL_SAMPLES;
	if (p->samples_len[i] < PREQUAL_SAMPLES)
		p->samples_len[i]++;
}

/* Who knows everything at once: the least of the time to get there, the service and four
 * times the wait, all as it is now, what is on its way included. */
static int
omniscient_pick(struct policy_node *n)
{
	struct policy_world *w = n->world;
	double best_cost = 0;
	int best = -1;

	for (int i = 0; i < POLICY_NODES; i++) {
		const struct policy_node *o = &w->nodes[i];
		double m = POLICY_WORK_US / o->speed, cost;
		int over = o->held + o->coming + 1 - o->slots;

		if (!o->is_there)
			continue;
		cost = m + (i == n->index ? 0 : 2.0 * (double)w->hop_us) +
		       4 * m * (over > 0 ? over : 0) / o->slots;
		if (best < 0 || cost < best_cost) {
			best = i;
			best_cost = cost;
		}
	}
	return best;
}

const struct policy_kind policy_kinds[] = {
	{ .name = "best", .policy = DISPATCH_BEST },
	{ .name = "best-hedged",
	  .policy = DISPATCH_BEST,
	  .hedge_percent = BUDGET_HEDGE_PERCENT },
	{ .name = "least-loaded", .is_rival = true, .policy = DISPATCH_LEAST_LOADED },
	{ .name = "random", .is_rival = true, .policy = DISPATCH_RANDOM },
	{ .name = "random-workers", .is_rival = true, .pick = workers_pick },
	{ .name = "random-capacity",
	  .is_rival = true,
	  .is_close = true,
	  .pick = capacity_pick },
	{ .name = "own-shortest",
	  .is_rival = true,
	  .pick = own_pick,
	  .replied = own_replied,
	  .size = sizeof(struct own) },
	{ .name = "join-idle-queue",
	  .is_rival = true,
	  .is_close = true,
	  .pick = idle_pick,
	  .arrived = idle_arrived,
	  .done = idle_done,
	  .size = sizeof(struct idle) },
	{ .name = "prequal",
	  .is_rival = true,
	  .is_close = true,
	  .pick = prequal_pick,
	  .done = prequal_done,
	  .size = sizeof(struct prequal) },
	{ .name = "prequal-slots",
	  .is_rival = true,
	  .is_close = true,
	  .pick = prequal_pick,
	  .done = prequal_done,
	  .size = sizeof(struct prequal) },
	{ .name = "omniscient", .pick = omniscient_pick },
	{ .name = NULL },
};

const struct policy_kind *
policy_kind_named(const char *name)
{
	for (const struct policy_kind *k = policy_kinds; k->name != NULL; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}
