/* SPDX-License-Identifier: Apache-2.0 */
/* What puts a bad first choice right: a query that would wait goes on once to where it would
 * not, and a node with nothing to do asks for one that waits elsewhere. And the words of load
 * by which nodes know of each other. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch/core.h"

enum {
	/* An answer that has not come by then does not come. */
	PULL_WAIT_MS = MS_SECOND,
	/* Nobody is known to have something: others are asked at random, after so long, and
	 * twice that, so many times after the last query here; then it is silent. */
	PULL_RETRY_MS = 20,
	PULL_TRIES = 3,
	PULL_REFUSALS_MAX =
		6, /* one that gave nothing is asked again after 20 ms … 1.3 s */
	/* Whoever asks has nothing better to do: the more does waiting count. */
	PULL_WAIT_WEIGHT = 8,
};

/* Words. */

void
load_here(const struct dispatch *d, const char *service, struct dispatch_load *ret)
{
	struct service *s;

	*ret = (struct dispatch_load){ 0 };
	HASH_FIND_STR(d->services, service, s);
	if (s == NULL)
		return;
	ret->queued = s->queue.len;
	ret->mean_us = s->mean_us;
	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next)
		for (int i = 0; i < w->services_len && !w->is_draining; i++)
			if (strcmp(w->services[i].name, service) == 0) {
				ret->slots += w->slots;
				ret->running += w->is_resting ? w->slots : w->running;
				break;
			}
}

void
load_tell(struct dispatch *d, const struct query *q, bool is_ending)
{
	struct dispatch_action a = { .type = DISPATCH_ACTION_LOAD,
				     .link = q->key.link,
				     .query = q->key.query,
				     .service = q->head.service };

	if (q->key.link == 0 || d->config.policy != DISPATCH_BEST)
		return;
	load_here(d, q->head.service, &a.load);
	/* Its slot is about to be free. */
	if (is_ending && a.load.queued > 0)
		a.load.queued--;
	else if (is_ending && a.load.running > 0)
		a.load.running--;
	dispatch_act(d, &a, NULL);
}

/* Who had nothing to give, or nothing that it would, is left alone for a while. */
static void
pull_answered(struct dispatch *d, struct service *s, struct load *l)
{
	s->pull.asked = 0;
	if (s->pull.is_given) {
		l->refusals = 0;
		return;
	}
	l->pull_after = d->now + (PULL_RETRY_MS << l->refusals);
	if (l->refusals < PULL_REFUSALS_MAX)
		l->refusals++;
}

void
pull_given(struct dispatch *d, const struct query *q, const struct id *node)
{
	struct service *s;

	HASH_FIND_STR(d->services, q->head.service, s);
	if (s != NULL && s->pull.asked != 0 && id_equal(&s->pull.node, node))
		s->pull.is_given = true;
}

void
load_event(struct dispatch *d, const struct dispatch_event *e)
{
	const struct id *node = &e->node;
	struct service *s;
	struct load *l;
	struct run *run;

	HASH_FIND(hh, d->runs, &e->run, sizeof(e->run), run);
	if (run != NULL && run->link == e->link)
		node = &run->node;
	if (id_is_zero(node) || id_equal(node, &d->config.self))
		return;
	l = loads_get(&d->loads, loads_key(e->service), node, d->now);
	load_said(l, &e->load, d->now);
	HASH_FIND_STR(d->services, e->service, s);
	if (s == NULL)
		return;
	if (s->pull.asked == e->run && e->run != 0)
		pull_answered(d, s, l);
	if (s->pull.asked == 0)
		pull_consider(d, s);
}

void
probe_event(struct dispatch *d, const struct dispatch_event *e)
{
	struct dispatch_action a = { .type = DISPATCH_ACTION_LOAD,
				     .link = e->link,
				     .query = e->query,
				     .service = e->service };

	load_here(d, e->service, &a.load);
	dispatch_act(d, &a, NULL);
}

void
probe_consider(struct dispatch *d, const struct query *q, struct load *l, ms_t age)
{
	struct dispatch_action a = { .type = DISPATCH_ACTION_PROBE,
				     .service = q->head.service };

	if (l == NULL || (l->said_at >= 0 && d->now - l->said_at <= age) ||
	    (l->probed_at >= 0 && d->now - l->probed_at <= age))
		return;
	l->probed_at = d->now;
	a.node = l->node;
	a.run = d->next_run++;
	d->stats.probes++;
	dispatch_act(d, &a, NULL);
}

/* Onward. */

bool
query_onward(struct dispatch *d, struct query *q)
{
	int open[DISPATCH_CANDIDATES_MAX], n, pick;

	if (d->config.policy != DISPATCH_BEST || q->head.hops >= DISPATCH_HOPS_MAX ||
	    q->candidates_len < 2 || !id_is_zero(&q->head.pin) ||
	    worker_is_there(d, &q->head))
		return false;
	n = query_open_ones(q, 0, open);
	pick = n > 1 ? choose_onward(d, q, open, n) : -1;
	if (pick < 0 || q->candidates[pick].is_far)
		return false;
	d->stats.onward++;
	run_start_node(d, q, pick);
	return true;
}

/* Pulls. */

static void
pull_ask(struct dispatch *d, struct service *s, struct load *l,
	 const struct dispatch_load *here)
{
	struct dispatch_action a = { .type = DISPATCH_ACTION_PULL,
				     .node = l->node,
				     .service = s->name,
				     .load = *here,
				     .run = d->next_run++ };

	s->pull.asked = a.run;
	s->pull.asked_at = d->now;
	s->pull.node = l->node;
	s->pull.is_given = false;
	if (l->said.queued > 0)
		l->said.queued--;
	d->stats.pulls++;
	dispatch_act(d, &a, NULL);
}

/* Would a query that waits behind `ahead` others be done sooner here? */
static bool
pull_is_worth(const struct dispatch_load *from, int ahead,
	      const struct dispatch_load *here)
{
	int64_t mean = from->mean_us > 0 ? from->mean_us : LOADS_MEAN_US;
	int64_t own = here->mean_us > 0 ? here->mean_us : mean;

	return own < load_cost_us(from->slots > 0 ? from->slots : 1, mean, ahead,
				  PULL_WAIT_WEIGHT);
}

/* The one with the longest wait; NULL: nobody is known to have any. */
static struct load *
pull_longest(struct dispatch *d, const struct known *k, const struct dispatch_load *here)
{
	struct load *best = NULL;
	int64_t best_us = 0;

	for (struct load *l = k->nodes; l != NULL; l = l->hh.next) {
		int64_t mean = l->said.mean_us > 0 ? l->said.mean_us : LOADS_MEAN_US;
		int64_t wait = mean * l->said.queued /
			       (l->said.slots > 0 ? l->said.slots : 1);

		if (l->said.queued == 0 || l->pull_after > d->now ||
		    !load_is_fresh(l, d->now) || wait <= best_us ||
		    !pull_is_worth(&l->said, l->said.running + l->said.queued - 1, here))
			continue;
		best = l;
		best_us = wait;
	}
	return best;
}

static struct load *
pull_any(struct dispatch *d, const struct known *k)
{
	struct load *pick = NULL;
	uint64_t sum = 0;

	for (struct load *l = k->nodes; l != NULL; l = l->hh.next) {
		uint64_t weight = l->said.slots > 0 ? (uint64_t)l->said.slots : 1;

		if (l->pull_after > d->now)
			continue;
		sum += weight;
		if (rng_below(&d->rng, sum) < weight)
			pick = l;
	}
	return pick;
}

static void pull_late(struct dispatch *d, void *owner);

static bool
pull_may(struct dispatch *d, const struct service *s, struct dispatch_load *ret_here)
{
	if (d->config.policy != DISPATCH_BEST || d->is_draining || d->is_stopped ||
	    s->queue.len > 0)
		return false;
	load_here(d, s->name, ret_here);
	return ret_here->running < ret_here->slots;
}

void
pull_consider(struct dispatch *d, struct service *s)
{
	struct dispatch_load here;
	struct known *k;
	struct load *l;
	ms_t span;

	if ((s->pull.asked != 0 && d->now - s->pull.asked_at < PULL_WAIT_MS) ||
	    !pull_may(d, s, &here))
		return;
	s->pull.asked = 0;
	k = loads_known(&d->loads, loads_key(s->name));
	if (k == NULL)
		return;
	l = pull_longest(d, k, &here);
	if (l != NULL) {
		pull_ask(d, s, l, &here);
		return;
	}
	if (s->pull.tries >= PULL_TRIES || s->pull.timer.due.index != 0)
		return;
	span = PULL_RETRY_MS << s->pull.tries;
	s->pull.timer.fire = pull_late;
	s->pull.timer.owner = s;
	timer_set(d, &s->pull.timer,
		  d->now + span / 2 + (ms_t)rng_below(&d->rng, (uint64_t)span));
}

static void
pull_late(struct dispatch *d, void *owner)
{
	struct service *s = owner;
	struct known *k = loads_known(&d->loads, loads_key(s->name));
	struct dispatch_load here;
	struct load *l;

	s->pull.tries++;
	if (k == NULL || s->pull.asked != 0 || !pull_may(d, s, &here))
		return;
	l = pull_longest(d, k, &here);
	if (l == NULL)
		l = pull_any(d, k);
	if (l != NULL)
		pull_ask(d, s, l, &here);
}

/* The candidate that is that node; -1: it is none, or was tried. */
static int
pull_candidate(const struct query *q, const struct id *node)
{
	for (int i = 0; i < q->candidates_len; i++)
		if (id_equal(&q->candidates[i].node, node))
			return q->tried & (UINT64_C(1) << i) ? -1 : i;
	return -1;
}

/* The next in turn that may go there. */
static struct query *
pull_pick(struct dispatch *d, struct service *s, const struct dispatch_event *e,
	  int *ret_candidate)
{
	struct dispatch_load here;
	struct tenants_walk walk;
	struct waiting *w;
	int ahead;

	load_here(d, s->name, &here);
	ahead = here.running;
	tenants_walk_begin(&walk, &s->queue);
	while ((w = tenants_walk_next(&walk)) != NULL) {
		struct query *q = w->owner;
		int i = pull_candidate(q, &e->node);

		if (i < 0 || q->head.hops >= DISPATCH_HOPS_MAX)
			continue;
		if (!pull_is_worth(&here, ahead++, &e->load))
			continue;
		*ret_candidate = i;
		return q;
	}
	return NULL;
}

void
pull_event(struct dispatch *d, const struct dispatch_event *e)
{
	struct service *s;
	struct query *q = NULL;
	int i = -1;

	HASH_FIND_STR(d->services, e->service, s);
	if (s != NULL)
		q = pull_pick(d, s, e, &i);
	if (q != NULL) {
		q->candidates[i].link = e->link;
		q->candidates[i].is_far = q->candidates[i].is_relayed = false;
		queue_take(d, q, NULL);
		d->stats.given++;
		run_start_node(d, q, i);
	}
	load_said(loads_get(&d->loads, loads_key(e->service), &e->node, d->now), &e->load,
		  d->now);
	if (q != NULL)
		loads_find(&d->loads, loads_key(e->service), &e->node)->sent = 1;
	probe_event(d, e);
}
