/* SPDX-License-Identifier: Apache-2.0 */
/* Workers, queues, and which waiting query a free slot gets.
 *
 * A service has one queue, in which tenants take turns (tenants.h). A query goes to a worker
 * only when that has a free slot (late binding), so that a fast worker gets what a slow one
 * would have sat on, and may wait for a faster one (paces.c); a selector that only one worker
 * serves does not hold up those behind it. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "dispatch/core.h"

/* Services. */

static struct service *
service_get(struct dispatch *d, const char *name)
{
	struct service *s;

	HASH_FIND_STR(d->services, name, s);
	if (s != NULL)
		return s;
	s = mem_calloc(1, sizeof(*s));
	s->name = mem_strdup(name);
	s->queue.cost_us = LOADS_MEAN_US;
	HASH_ADD_KEYPTR(hh, d->services, s->name, strlen(s->name), s);
	return s;
}

void
service_free(struct dispatch *d, struct service *s)
{
	tenants_fini(&s->queue);
	timer_clear(d, &s->pull.timer);
	timer_clear(d, &s->look);
	HASH_DEL(d->services, s);
	free(s->name);
	free(s);
}

void
service_observe(struct dispatch *d, const char *name, ms_t took)
{
	struct service *s;

	HASH_FIND_STR(d->services, name, s);
	if (s == NULL)
		return;
	s->mean_us = s->mean_us == 0
			     ? took * 1000 + 1
			     : s->mean_us + (took * 1000 - s->mean_us) / LOADS_WEIGHT;
	s->queue.cost_us = s->mean_us;
	s->pull.tries = 0;
	s->mean_ms = s->mean_ms == 0 ? took + 1 : (7 * s->mean_ms + took + 4) / 8;
}

/* Workers. */

struct worker_service *
worker_serves(const struct worker *w, const struct query_head *head)
{
	for (int i = 0; i < w->services_len; i++) {
		struct worker_service *s = &w->services[i];

		if (strcmp(s->name, head->service) == 0 &&
		    query_match_serves(s->match, s->match_len, head->selector,
				       head->fallback))
			return s;
	}
	return NULL;
}

bool
worker_is_free(const struct worker *w)
{
	return !w->is_draining && !w->is_resting && w->running < w->slots;
}

bool
worker_is_there(const struct dispatch *d, const struct query_head *head)
{
	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next)
		if (worker_is_free(w) && worker_serves(w, head) != NULL)
			return true;
	return false;
}

void
worker_serving(const struct dispatch *d, const struct query *q, struct serving *ret)
{
	*ret = (struct serving){ { 0, 0 }, 0 };
	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next)
		if (!w->is_draining && worker_serves(w, &q->head) != NULL) {
			ret->set = u128_add(ret->set, w->mark);
			ret->slots += w->slots;
		}
}

/* The first in turn that would not rather wait for a faster worker. */
static struct query *
worker_bind_willing(struct dispatch *d, const struct worker *w, struct service *s)
{
	struct tenants_walk walk;
	struct waiting *next;
	int ahead = 0;

	tenants_walk_begin(&walk, &s->queue);
	while ((next = tenants_walk_next(&walk)) != NULL) {
		struct query *q = next->owner;

		if (worker_serves(w, &q->head) != NULL && !pace_waits(d, w, q, ahead++))
			return q;
	}
	return NULL;
}

/* Of what waits for the service and it serves, the one whose turn it is. */
static struct query *
worker_bind_of(struct dispatch *d, const struct worker *w, struct service *s)
{
	struct query *best = NULL, *q;

	for (struct line *l = s->queue.lines; l != NULL; l = l->hh.next) {
		q = tenants_next(l)->owner;
		if (worker_serves(w, &q->head) != NULL &&
		    (best == NULL || tenants_is_before(&q->waiting, &best->waiting)))
			best = q;
	}
	if (best != NULL && pace_waits(d, w, best, 0))
		return worker_bind_willing(d, w, s);
	return best;
}

/* Of all that waits. */
static struct query *
worker_bind_next(struct dispatch *d, const struct worker *w)
{
	struct query *best = NULL, *q;

	for (int i = 0; i < w->services_len; i++) {
		struct service *s;

		HASH_FIND_STR(d->services, w->services[i].name, s);
		q = s != NULL ? worker_bind_of(d, w, s) : NULL;
		if (q != NULL &&
		    (best == NULL || tenants_is_before(&q->waiting, &best->waiting)))
			best = q;
	}
	return best;
}

void
worker_bind(struct dispatch *d, struct worker *w)
{
	struct query *q;

	/* Expired work never reaches a worker: first all that has expired is to end. */
	if (d->is_firing) {
		d->is_bind_due = true;
		return;
	}
	while (worker_is_free(w) && (q = worker_bind_next(d, w)) != NULL) {
		struct turn turn;

		assert(q->deadline.due.at > d->now);
		queue_take(d, q, &turn);
		run_start_worker(d, q, w);
		q->run->turn = turn;
	}
	for (int i = 0; i < w->services_len && worker_is_free(w); i++) {
		struct service *s;

		HASH_FIND_STR(d->services, w->services[i].name, s);
		if (s != NULL)
			pull_consider(d, s);
	}
}

void
workers_bind(struct dispatch *d)
{
	d->is_bind_due = false;
	for (struct worker *w = d->workers; w != NULL; w = w->hh.next)
		worker_bind(d, w);
}

static void
worker_rested(struct dispatch *d, void *owner)
{
	struct worker *w = owner;

	w->is_resting = false;
	worker_bind(d, w);
}

void
worker_rest(struct dispatch *d, struct worker *w, int seconds)
{
	if (seconds < 1)
		seconds = 1;
	if (seconds > DISPATCH_RETRY_AFTER_S_MAX)
		seconds = DISPATCH_RETRY_AFTER_S_MAX;
	w->is_resting = true;
	timer_set(d, &w->rest, d->now + (ms_t)seconds * MS_SECOND);
}

/* Would more than half of those that serve the same rest? */
static bool
worker_is_needed(const struct dispatch *d, const struct worker *w)
{
	for (int i = 0; i < w->services_len; i++) {
		int all = 0, resting = 1;

		for (const struct worker *o = d->workers; o != NULL; o = o->hh.next)
			for (int k = 0; k < o->services_len && !o->is_draining; k++)
				if (strcmp(o->services[k].name, w->services[i].name) ==
				    0) {
					all++;
					resting += o->is_resting && o != w;
					break;
				}
		if (resting * 2 > all)
			return true;
	}
	return false;
}

/* As nodes are (loads.c). */
void
worker_fared(struct dispatch *d, struct worker *w, bool is_failed)
{
	if (!is_failed) {
		w->failures = 0;
		w->ejected_ms = 0;
		return;
	}
	if (++w->failures < LOADS_FAILURES || w->is_resting || w->is_draining ||
	    worker_is_needed(d, w))
		return;
	w->ejected_ms = loads_ejection(w->ejected_ms);
	d->stats.ejected_workers++;
	worker_rest(d, w, (int)(w->ejected_ms / MS_SECOND));
}

static void
worker_services_fini(struct worker *w)
{
	for (int i = 0; i < w->services_len; i++) {
		for (int k = 0; k < w->services[i].match_len; k++)
			free(w->services[i].match[k]);
		free(w->services[i].match);
		free(w->services[i].name);
	}
	free(w->services);
	w->services = NULL;
	w->services_len = 0;
}

/* What it took, before it announced this anew. */
static struct pace
worker_services_pace(const struct worker *was, const char *name)
{
	for (int i = 0; i < was->services_len; i++)
		if (strcmp(was->services[i].name, name) == 0)
			return was->services[i].pace;
	return (struct pace){ 0 };
}

static void
worker_services_set(struct dispatch *d, struct worker *w,
		    const struct dispatch_worker *info)
{
	struct worker was = *w;

	w->services = mem_calloc((size_t)info->services_len, sizeof(w->services[0]));
	w->services_len = info->services_len;
	for (int i = 0; i < info->services_len; i++) {
		const struct dispatch_service *from = &info->services[i];
		struct worker_service *to = &w->services[i];

		to->name = mem_strdup(from->name);
		to->match = mem_calloc((size_t)from->match_len, sizeof(to->match[0]));
		to->match_len = from->match_len;
		for (int k = 0; k < from->match_len; k++)
			to->match[k] = mem_strdup(from->match[k]);
		to->pace = worker_services_pace(&was, to->name);
		service_get(d, to->name);
	}
	worker_services_fini(&was);
}

void
worker_free(struct dispatch *d, struct worker *w)
{
	assert(w->running == 0);
	timer_clear(d, &w->rest);
	HASH_DEL(d->workers, w);
	worker_services_fini(w);
	free(w->name);
	free(w);
}

static bool
service_is_announced(const struct dispatch *d, const struct service *s)
{
	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next)
		for (int i = 0; i < w->services_len; i++)
			if (strcmp(w->services[i].name, s->name) == 0)
				return true;
	return false;
}

/* Nobody here takes it. For another node's query that is said of the drain, if there is one:
 * its workers may well be there. */
static void
queue_refused(const struct dispatch *d, const struct query *q, struct query_error *error)
{
	if (d->is_draining && q->key.link != 0) {
		query_error_fini(error);
		query_error_set(error, 503, "the node drains: it takes no more queries");
		error->retry_after_s = DISPATCH_DRAIN_RETRY_S;
	}
	error->node = d->config.self;
}

static void
queue_add(struct service *s, struct query *q, const struct serving *by)
{
	q->service = s;
	tenants_put(&s->queue, &q->waiting, q->head.tenant, query_weight(q), by->set);
}

/* What nobody here serves any more goes elsewhere. */
static void
queue_check_served(struct dispatch *d, const struct service *s)
{
	struct waiting **list = tenants_list(&s->queue);
	int n = s->queue.len;

	for (int i = 0; i < n; i++) {
		struct query *q = list[i]->owner;
		struct query_error error;

		if (queue_is_served(d, q))
			continue;
		queue_remove(q);
		query_error_set(
			&error, 503,
			"the last worker of \"%s\" that could take the query is gone",
			q->head.service);
		queue_refused(d, q, &error);
		query_failed(d, q, query_here(q), DISPATCH_NOT_TAKEN, &error);
	}
	free(list);
}

/* Others may serve it than did, and it waits with what these serve. */
static void
queue_check_lines(struct dispatch *d, struct service *s)
{
	struct waiting **list = tenants_list(&s->queue);
	int n = s->queue.len;

	for (int i = 0; i < n; i++) {
		struct query *q = list[i]->owner;
		struct serving by;

		worker_serving(d, q, &by);
		if (u128_equal(by.set, list[i]->flow->line->key))
			continue;
		queue_remove(q);
		queue_add(s, q, &by);
	}
	free(list);
}

/* After a worker left or changed. A queue that nobody announces is gone. */
void
queues_check(struct dispatch *d)
{
	struct service *s, *next;

	HASH_ITER (hh, d->services, s, next) {
		if (s->queue.len > 0)
			queue_check_served(d, s);
		if (s->queue.len > 0)
			queue_check_lines(d, s);
		if (s->queue.len == 0 && !service_is_announced(d, s))
			service_free(d, s);
	}
}

void
worker_event(struct dispatch *d, const struct dispatch_worker *info)
{
	struct worker *w;

	assert(info->slots >= 1 && info->slots <= LIMIT_SLOTS_MAX);
	HASH_FIND(hh, d->workers, &info->worker, sizeof(info->worker), w);
	if (w == NULL) {
		w = mem_calloc(1, sizeof(*w));
		w->id = info->worker;
		w->mark.hi = hash64(bytes_of(&w->id, sizeof(w->id)), 1);
		w->mark.lo = hash64(bytes_of(&w->id, sizeof(w->id)), 2);
		w->rest = (struct timer){ .fire = worker_rested, .owner = w };
		HASH_ADD(hh, d->workers, id, sizeof(w->id), w);
	}
	free(w->name);
	w->name = mem_strdup(info->name);
	w->slots = info->slots;
	w->is_draining = info->is_draining;
	worker_services_set(d, w, info);
	queues_check(d);
	worker_bind(d, w);
}

static void
worker_gone_one(struct dispatch *d, struct worker *w)
{
	/* Nothing more is bound to it, and it counts no more as serving. */
	w->is_draining = true;
	run_worker_gone(d, w);
	worker_free(d, w);
}

void
worker_gone(struct dispatch *d, uint64_t id)
{
	struct worker *w;

	HASH_FIND(hh, d->workers, &id, sizeof(id), w);
	if (w == NULL)
		return;
	worker_gone_one(d, w);
	queues_check(d);
}

void
workers_gone(struct dispatch *d)
{
	struct worker *w, *next;

	for (w = d->workers; w != NULL; w = w->hh.next)
		w->is_draining = true;
	HASH_ITER (hh, d->workers, w, next)
		worker_gone_one(d, w);
	queues_check(d);
}

/* Queues. */

bool
queue_is_served(const struct dispatch *d, const struct query *q)
{
	if (d->is_draining && q->key.link != 0)
		return false;
	for (const struct worker *w = d->workers; w != NULL; w = w->hh.next)
		if (!w->is_draining && worker_serves(w, &q->head) != NULL)
			return true;
	return false;
}

void
queue_remove(struct query *q)
{
	tenants_remove(&q->waiting);
	q->service = NULL;
}

void
queue_take(struct dispatch *d, struct query *q, struct turn *ret_turn)
{
	tenants_take(&q->waiting, ++d->next_turn, ret_turn);
	q->service = NULL;
}

void
queue_put(struct dispatch *d, struct query *q, int candidate)
{
	struct query_error error;
	struct serving by;
	struct service *s;
	struct worker *w;

	if (q->waiting.turn == 0)
		q->waiting.turn = ++d->next_turn;
	if (!queue_is_served(d, q)) {
		query_error_set(&error, 503,
				"no worker of \"%s\" here can take the query",
				q->head.service);
		queue_refused(d, q, &error);
		query_failed(d, q, candidate, DISPATCH_NOT_TAKEN, &error);
		return;
	}
	s = service_get(d, q->head.service);
	w = worker_pick(d, q, NULL);
	worker_serving(d, q, &by);
	if (w != NULL && bounds_have_room(d, s, q, &by) &&
	    pace_waits(
		    d, w, q,
		    tenants_ahead(&s->queue, q->head.tenant, query_weight(q), by.set))) {
		d->stats.held++;
		w = NULL;
	}
	if (w != NULL) {
		run_start_worker(d, q, w);
		return;
	}
	if (!bounds_queue(d, s, q, &by, &error)) {
		query_failed(d, q, candidate, DISPATCH_NOT_TAKEN, &error);
		return;
	}
	queue_add(s, q, &by);
	load_tell(d, q, false);
}

void
queue_put_back(struct dispatch *d, struct query *q)
{
	struct serving by;
	struct worker *w = worker_pick(d, q, NULL);

	if (w != NULL && !pace_waits(d, w, q, 0)) {
		run_start_worker(d, q, w);
		return;
	}
	worker_serving(d, q, &by);
	queue_add(service_get(d, q->head.service), q, &by);
}
