/* SPDX-License-Identifier: Apache-2.0 */
/* How fast each worker is, and which one a query gets.
 *
 * The time that a worker takes is smoothed for each of its services. Of those with a free slot
 * the much slower ones are left out; and if the best of them is much slower than some that are
 * busy, the query waits for these when it should be done sooner there: when the queries before
 * it, and the query itself, take them less than the free one alone. Behind a long queue the
 * free one is used, so that nothing is idle for nothing. (The slow-server problem: a threshold
 * on the queue is optimal. Lin and Kumar, "Optimal control of a queueing system with two
 * heterogeneous servers", 1984.)
 *
 * A wait rests on what a worker does, not only on what it did: one that has finished nothing for
 * long counts as that slow, and a timer looks again. Who is not known gets queries; and a slow
 * one gets one now and then, and more as long as it does well, or nobody would know that it has
 * become fast. */
#include "config.h"

#include <string.h>

#include "dispatch/core.h"

enum {
	/* So many times slower is much slower. */
	PACE_MUCH = 2,
	/* Queries until a worker's time says something, and until it is waited for. */
	PACE_SEEN_MIN = 2,
	PACE_SEEN_WELL = 8,
	PACE_WEIGHT = 16, /* of the past, in the smoothed time */
	/* The slow one has its turn after so long, and so many queries of the service here,
	 * and it is at this work for a 64th of the time at most. */
	PACE_TRY_MS = 10 * MS_SECOND,
	PACE_TRY_QUERIES = 256,
	PACE_TRY_PART = 64,
	PACE_US_MIN = 500, /* clocks have milliseconds */
	PACE_SPAN_US = 1000 * 1000 * 1000,
	PACE_LOOK_MS = MS_SECOND, /* at most, until a wait is looked at again */
};

void
pace_seen(struct worker *w, const struct query *q, ms_t took)
{
	struct worker_service *s = worker_serves(w, &q->head);
	int64_t us = took * 1000 + PACE_US_MIN;

	if (s == NULL)
		return; /* not any more */
	s->pace.is_again = s->pace.is_trial && us * PACE_MUCH < s->pace.mean_us;
	s->pace.is_trial = false;
	if (s->pace.seen < PACE_WEIGHT)
		s->pace.seen++;
	s->pace.mean_us += (us - s->pace.mean_us) / s->pace.seen;
}

/* 0: not known well enough, or to be tried again. */
static int64_t
pace_us(const struct dispatch *d, const struct worker_service *s,
	const struct service *of)
{
	const struct pace *p = &s->pace;
	ms_t span = p->mean_us / 1000 * PACE_TRY_PART;

	if (span < PACE_TRY_MS)
		span = PACE_TRY_MS;
	if (p->seen < PACE_SEEN_MIN || p->is_again ||
	    (of->started - p->tried >= PACE_TRY_QUERIES && d->now - p->tried_at >= span))
		return 0;
	return p->mean_us;
}

void
pace_started(struct dispatch *d, struct worker *w, const struct query *q)
{
	struct worker_service *s = worker_serves(w, &q->head);
	struct service *of;

	HASH_FIND_STR(d->services, q->head.service, of);
	if (s == NULL || of == NULL)
		return;
	s->pace.is_trial = s->pace.seen >= PACE_SEEN_MIN && pace_us(d, s, of) == 0;
	s->pace.is_again = false;
	s->pace.tried_at = d->now;
	s->pace.tried = ++of->started;
}

/* As it was, or as it is if that is worse: it has finished nothing for so long. */
static int64_t
pace_now_us(const struct dispatch *d, const struct worker *w,
	    const struct worker_service *s)
{
	int64_t idle = (d->now - w->moved_at) * 1000;

	return s->pace.mean_us > idle ? s->pace.mean_us : idle;
}

/* What waits here for other services of this worker. */
static int
pace_others(const struct dispatch *d, const struct worker *w, const struct service *but)
{
	int n = 0;

	for (int i = 0; i < w->services_len; i++) {
		struct service *s;

		if (strcmp(w->services[i].name, but->name) == 0)
			continue;
		HASH_FIND_STR(d->services, w->services[i].name, s);
		n += s != NULL ? s->queue.len : 0;
	}
	return n;
}

static void
pace_look(struct dispatch *d, void *owner)
{
	struct service *s = owner;

	for (struct worker *w = d->workers; w != NULL && s->queue.len > 0; w = w->hh.next)
		if (worker_is_free(w))
			worker_bind(d, w);
}

bool
pace_waits(struct dispatch *d, const struct worker *w, const struct query *q, int ahead)
{
	int64_t own, expected, rate = 0, slots = 0;
	struct service *of;
	ms_t look;

	HASH_FIND_STR(d->services, q->head.service, of);
	own = of != NULL ? pace_us(d, worker_serves(w, &q->head), of) : 0;
	if (own == 0)
		return false;
	for (struct worker *f = d->workers; f != NULL; f = f->hh.next) {
		const struct worker_service *s;
		int64_t us;

		if (f == w || f->is_draining || f->is_resting || f->running < f->slots ||
		    (s = worker_serves(f, &q->head)) == NULL ||
		    s->pace.seen < PACE_SEEN_WELL)
			continue;
		us = pace_now_us(d, f, s);
		if (us * PACE_MUCH > own)
			continue;
		rate += f->slots * (int64_t)PACE_SPAN_US / us;
		slots += f->slots;
		ahead += pace_others(d, f, of);
	}
	if (rate == 0)
		return false;
	expected = (ahead + 1 + slots) * PACE_SPAN_US / rate;
	if (expected >= own)
		return false;
	look = expected / 1000 + 1;
	if (look > PACE_LOOK_MS)
		look = PACE_LOOK_MS;
	of->look.fire = pace_look;
	of->look.owner = of;
	if (of->look.due.index == 0 || of->look.due.at > d->now + look)
		timer_set(d, &of->look, d->now + look);
	return true;
}

/* The fastest that is free and known. */
static int64_t
pace_least(const struct dispatch *d, const struct query *q, const struct worker *but,
	   const struct service *of)
{
	int64_t least = 0;

	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next) {
		const struct worker_service *s;
		int64_t us;

		if (w == but || !worker_is_free(w) ||
		    (s = worker_serves(w, &q->head)) == NULL)
			continue;
		us = pace_us(d, s, of);
		if (us > 0 && (least == 0 || us < least))
			least = us;
	}
	return least;
}

/* Of those with a free slot that are not much slower than others, the one with the smallest
 * share of its slots in use; any of several such. */
struct worker *
worker_pick(struct dispatch *d, const struct query *q, const struct worker *but)
{
	struct worker *best = NULL, *w;
	struct service *of;
	uint64_t ties = 0;
	int64_t least;

	HASH_FIND_STR(d->services, q->head.service, of);
	if (of == NULL)
		return NULL; /* nobody announces it */
	least = pace_least(d, q, but, of);
	for (w = d->workers; w != NULL; w = w->hh.next) {
		const struct worker_service *s;
		int64_t order;

		if (w == but || !worker_is_free(w) ||
		    (s = worker_serves(w, &q->head)) == NULL ||
		    (least > 0 && pace_us(d, s, of) > least * PACE_MUCH))
			continue;
		order = best == NULL ? -1
				     : (int64_t)w->running * best->slots -
					       (int64_t)best->running * w->slots;
		if (order < 0) {
			best = w;
			ties = 1;
		} else if (order == 0 && rng_below(&d->rng, ++ties) == 0) {
			best = w;
		}
	}
	return best;
}
