/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several candidates a query goes to.
 *
 * Policy "best" looks at few: this node itself, and four others drawn with a chance that is
 * proportional to their slots by the square of the time that the service takes there: by what
 * they can do, and the quick ones the more, for who is drawn and idle gets the query, and one
 * that is long is best with the quick. The one with the least cost has it: the way there and
 * back, the service, four times the wait, and what its errors cost. Everybody looks at other
 * four, so that not all run to the node that was the least loaded when all heard of it last.
 * (Mitzenmacher, "The power of two choices", 2001; Dahlin, "Interpreting stale load
 * information", 2000.) */
#include "config.h"

#include <assert.h>

#include "dispatch/core.h"

enum {
	CHOOSE_DRAWN = 4,
	CHOOSE_DRAWN_ONWARD = 3,
	/* What is known of a drawn one is older than this: it is asked, for the next time. */
	CHOOSE_PROBE_MS = 300,
	CHOOSE_RAMP_ONE = 64,
	CHOOSE_PACE_ONE = 1024, /* of the quickest */
	/* A link is to be opened first, or another node passes the query on. */
	CHOOSE_FAR_US = 20 * 1000,
	CHOOSE_RELAY_US = 5 * 1000,
};

/* One that may be drawn. */
struct choice {
	int candidate;
	struct load *load; /* NULL: this node */
	int slots;
	int64_t mean_us;
	int64_t way_us;
	uint64_t weight; /* 0: not to be chosen */
	int ahead;
	bool is_ejected;
};

static bool
choose_is_here(const struct dispatch_candidate *c)
{
	return c->link == 0 && !c->is_far;
}

int
query_here(const struct query *q)
{
	for (int i = 0; i < q->candidates_len; i++)
		if (choose_is_here(&q->candidates[i]))
			return i;
	return -1;
}

static void
choice_here(const struct dispatch_load *here, struct choice *c)
{
	c->slots = here->slots > 0 ? here->slots : 1;
	c->mean_us = here->mean_us;
	c->ahead = here->running + here->queued;
}

static void
choice_there(struct dispatch *d, uint64_t service, const struct dispatch_candidate *from,
	     struct choice *c)
{
	struct load *l = loads_get(&d->loads, service, &from->node, d->now);

	load_seen(l, d->now);
	c->load = l;
	c->slots = l->said_at >= 0 && l->said.slots > 0 ? l->said.slots
		   : from->slots > 0			? from->slots
							: 1;
	c->mean_us = load_mean_us(l, d->now);
	c->ahead = load_ahead(l, d->now);
	c->way_us = (int64_t)from->rtt_ms * 1000 + (from->is_far ? CHOOSE_FAR_US : 0) +
		    (from->is_relayed ? CHOOSE_RELAY_US : 0);
	c->is_ejected = l->ejected_until > d->now;
}

/* Who was not measured is taken for as fast as the others. */
static void
choices_guess(struct choice *choices, int n)
{
	int64_t sum = 0, guess = LOADS_MEAN_US;
	int known = 0;

	for (int i = 0; i < n; i++)
		if (choices[i].mean_us > 0) {
			sum += choices[i].mean_us;
			known++;
		}
	if (known > 0)
		guess = sum / known;
	for (int i = 0; i < n; i++) {
		if (choices[i].mean_us == 0)
			choices[i].mean_us = guess;
		if (choices[i].mean_us < LOADS_MEAN_US_MIN)
			choices[i].mean_us = LOADS_MEAN_US_MIN;
	}
}

static uint64_t
choice_weight(const struct choice *c, int64_t least_us)
{
	uint64_t pace = (uint64_t)(least_us * CHOOSE_PACE_ONE / c->mean_us);

	return (uint64_t)c->slots * pace * pace + 1;
}

static uint64_t
choice_ramp(const struct dispatch *d, const struct choice *c)
{
	ms_t age = d->now - c->load->since;

	if (age >= LOADS_RAMP_MS)
		return CHOOSE_RAMP_ONE;
	return 1 + (uint64_t)(age > 0 ? age : 0) * CHOOSE_RAMP_ONE / LOADS_RAMP_MS;
}

/* Who is new, or was away, is looked at as often as it has been here long beside the others:
 * among few as among many. */
static void
choices_ramp(struct dispatch *d, struct choice *choices, int n)
{
	uint64_t most = 0;

	for (int i = 0; i < n; i++)
		if (choices[i].load != NULL && !choices[i].is_ejected &&
		    choice_ramp(d, &choices[i]) > most)
			most = choice_ramp(d, &choices[i]);
	for (int i = 0; i < n; i++)
		if (choices[i].load != NULL && !choices[i].is_ejected &&
		    choice_ramp(d, &choices[i]) < most &&
		    rng_below(&d->rng, most) >= choice_ramp(d, &choices[i]))
			choices[i].weight = 0;
}

/* At most half of them are left out. */
static void
choices_eject(struct choice *choices, int n)
{
	int64_t least = INT64_MAX;
	int out = 0;

	for (int i = 0; i < n; i++)
		if (choices[i].mean_us < least)
			least = choices[i].mean_us;
	for (int i = 0; i < n; i++) {
		struct choice *c = &choices[i];

		c->is_ejected = c->is_ejected && out < n / 2;
		out += c->is_ejected;
		c->weight = c->is_ejected ? 0 : choice_weight(c, least);
	}
}

static int
choices_make(struct dispatch *d, const struct query *q, const int open[], int n,
	     struct choice *ret)
{
	uint64_t service = loads_key(q->head.service);
	struct dispatch_load here;

	for (int i = 0; i < n; i++) {
		const struct dispatch_candidate *from = &q->candidates[open[i]];

		ret[i] = (struct choice){ .candidate = open[i] };
		if (choose_is_here(from)) {
			load_here(d, q->head.service, &here);
			choice_here(&here, &ret[i]);
		} else {
			choice_there(d, service, from, &ret[i]);
		}
	}
	choices_guess(ret, n);
	choices_eject(ret, n);
	choices_ramp(d, ret, n);
	return n;
}

/* By weight; what is drawn has none after. NULL: all are. */
static struct choice *
choices_draw(struct dispatch *d, struct choice *choices, int n)
{
	uint64_t sum = 0, at;

	for (int i = 0; i < n; i++)
		sum += choices[i].weight;
	if (sum == 0)
		return NULL;
	at = rng_below(&d->rng, sum);
	for (int i = 0; i < n; i++) {
		if (at < choices[i].weight) {
			choices[i].weight = 0;
			return &choices[i];
		}
		at -= choices[i].weight;
	}
	return NULL;
}

static int64_t
choice_cost_us(const struct choice *c)
{
	int64_t cost = c->way_us +
		       load_cost_us(c->slots, c->mean_us, c->ahead, LOADS_WAIT_WEIGHT);

	if (c->load != NULL)
		cost += (int64_t)LOADS_ERROR_US * c->load->error / LOADS_ERROR_ONE;
	return cost;
}

static struct choice *
choose_here(struct choice *choices, int n)
{
	for (int i = 0; i < n; i++)
		if (choices[i].load == NULL)
			return &choices[i];
	return NULL;
}

static int
choose_best(struct dispatch *d, const struct query *q, const int open[], int n)
{
	struct choice choices[DISPATCH_CANDIDATES_MAX], *here, *best = NULL;

	choices_make(d, q, open, n, choices);
	here = choose_here(choices, n);
	if (here != NULL) {
		here->weight = 0;
		best = here;
	}
	for (int i = 0; i < CHOOSE_DRAWN; i++) {
		struct choice *c = choices_draw(d, choices, n);

		if (c == NULL)
			break;
		probe_consider(d, q, c->load, CHOOSE_PROBE_MS);
		if (best == NULL || choice_cost_us(c) < choice_cost_us(best))
			best = c;
	}
	/* All that is left is ejected. */
	return best != NULL ? best->candidate : open[rng_below(&d->rng, (uint64_t)n)];
}

/* The one with the fewest own queries for its slots; any of several such. */
static int
choose_least_loaded(struct dispatch *d, const struct query *q, const int open[], int n)
{
	struct choice choices[DISPATCH_CANDIDATES_MAX], *best = NULL;
	uint64_t ties = 0;

	choices_make(d, q, open, n, choices);
	for (int i = 0; i < n; i++) {
		struct choice *c = &choices[i];
		int64_t order = -1;

		if (c->load != NULL)
			c->ahead = c->load->in_flight;
		if (best != NULL)
			order = (int64_t)(c->ahead + 1) * best->slots -
				(int64_t)(best->ahead + 1) * c->slots;
		if (c->weight == 0 && best != NULL)
			continue;
		if (order < 0 || best->weight == 0) {
			best = c;
			ties = 1;
		} else if (order == 0 && rng_below(&d->rng, ++ties) == 0) {
			best = c;
		}
	}
	return best->candidate;
}

int
choose_one(struct dispatch *d, const struct query *q, const int open[], int n)
{
	assert(n > 0);
	switch (d->config.policy) {
	case DISPATCH_BEST:
		return choose_best(d, q, open, n);
	case DISPATCH_LEAST_LOADED:
		return choose_least_loaded(d, q, open, n);
	default:
		return open[rng_below(&d->rng, (uint64_t)n)];
	}
}

int
choose_onward(struct dispatch *d, const struct query *q, const int open[], int n)
{
	struct choice choices[DISPATCH_CANDIDATES_MAX], *here, *best = NULL;

	choices_make(d, q, open, n, choices);
	here = choose_here(choices, n);
	if (here == NULL)
		return -1;
	here->weight = 0;
	for (int i = 0; i < CHOOSE_DRAWN_ONWARD; i++) {
		struct choice *c = choices_draw(d, choices, n);

		if (c == NULL)
			break;
		probe_consider(d, q, c->load, CHOOSE_PROBE_MS);
		if (best == NULL || choice_cost_us(c) < choice_cost_us(best))
			best = c;
	}
	if (best == NULL || choice_cost_us(best) * 5 >= choice_cost_us(here) * 4)
		return -1;
	return best->candidate;
}

int
choose_hedge(struct dispatch *d, const struct query *q, const int open[], int n)
{
	struct choice choices[DISPATCH_CANDIDATES_MAX], *best = NULL;

	choices_make(d, q, open, n, choices);
	for (int i = 0; i < n; i++) {
		struct choice *c = &choices[i];

		if (c->load == NULL || c->weight == 0 || c->ahead >= c->slots ||
		    q->candidates[c->candidate].is_far)
			continue;
		if (best == NULL || choice_cost_us(c) < choice_cost_us(best))
			best = c;
	}
	return best != NULL ? best->candidate : -1;
}
