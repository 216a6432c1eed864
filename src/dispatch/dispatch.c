/* SPDX-License-Identifier: Apache-2.0 */
/* Events in, actions out, timers. */
#include "config.h"

#include "dispatch/dispatch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "dispatch/core.h"

/* Timers. */

void
timer_set(struct dispatch *d, struct timer *t, ms_t at)
{
	heap_set(&d->timers, &t->due, at, 0);
}

void
timer_clear(struct dispatch *d, struct timer *t)
{
	heap_remove(&d->timers, &t->due);
}

static void
timers_fire(struct dispatch *d)
{
	struct heap_item *first;

	d->is_firing = true;
	while ((first = heap_first(&d->timers)) != NULL && first->at <= d->now) {
		struct timer *t = (struct timer *)first;

		timer_clear(d, t);
		t->fire(d, t->owner);
	}
	d->is_firing = false;
	if (d->is_bind_due)
		workers_bind(d);
}

ms_t
dispatch_due(const struct dispatch *d)
{
	const struct heap_item *first = heap_first(&d->timers);

	return first != NULL ? first->at : -1;
}

/* Actions. */

/* A head that is sent, or kept by the driver. */
struct sent_head {
	struct query_head head; /* first, so that a pointer to it is one to this */
	struct shared_head *shared;
};

struct item {
	struct dispatch_action action;
	struct sent_head *sent;
	struct reply_head reply;
	struct query_error error;
	struct part *part;
	char *service;
	struct item *next;
};

struct shared_head *
shared_head_new(const struct query_head *head)
{
	struct shared_head *shared = mem_alloc(sizeof(*shared));

	shared->refs = 1;
	query_head_copy(head, &shared->head);
	return shared;
}

void
shared_head_release(struct shared_head *shared)
{
	if (--shared->refs > 0)
		return;
	query_head_fini(&shared->head);
	free(shared);
}

void
dispatch_head_drop(const struct query_head *head)
{
	struct sent_head *sent = (struct sent_head *)(uintptr_t)head;

	if (sent == NULL)
		return;
	shared_head_release(sent->shared);
	free(sent);
}

const struct query_head *
dispatch_head_keep(struct dispatch *d)
{
	struct sent_head *sent = d->taken->sent;

	assert(sent != NULL);
	d->taken->sent = NULL;
	return &sent->head;
}

enum { SPARE_MAX = 16 }; /* about what one step makes */

static void
item_free(struct dispatch *d, struct item *item)
{
	if (item == NULL)
		return;
	if (item->sent != NULL)
		dispatch_head_drop(&item->sent->head);
	reply_head_fini(&item->reply);
	query_error_fini(&item->error);
	part_release(item->part);
	free(item->service);
	if (d->spare_len == SPARE_MAX) {
		free(item);
		return;
	}
	item->next = d->spare;
	d->spare = item;
	d->spare_len++;
}

static struct item *
item_add(struct dispatch *d, const struct dispatch_action *a)
{
	struct item *item = d->spare;

	if (item != NULL) {
		d->spare = item->next;
		d->spare_len--;
	} else {
		item = mem_alloc(sizeof(*item));
	}
	*item = (struct item){ .action = *a };
	if (d->last != NULL)
		d->last->next = item;
	else
		d->first = item;
	d->last = item;
	return item;
}

void
dispatch_act(struct dispatch *d, const struct dispatch_action *a, struct part *part)
{
	struct item *item = item_add(d, a);

	assert(a->head == NULL);
	if (a->reply != NULL) {
		reply_head_copy(a->reply, &item->reply);
		item->action.reply = &item->reply;
	}
	if (a->error != NULL) {
		query_error_copy(a->error, &item->error);
		item->action.error = &item->error;
	}
	if (a->service != NULL)
		item->action.service = item->service = mem_strdup(a->service);
	if (part != NULL) {
		part->refs++;
		item->part = part;
		item->action.data = bytes_of(part->data, part->len);
		item->action.is_last = part->is_last;
	}
}

void
dispatch_act_open(struct dispatch *d, const struct dispatch_action *a,
		  struct shared_head *shared)
{
	struct item *item = item_add(d, a);

	item->sent = mem_alloc(sizeof(*item->sent));
	item->sent->head = *a->head;
	item->sent->shared = shared;
	shared->refs++;
	item->action.head = &item->sent->head;
}

void
act_query(struct dispatch *d, enum dispatch_action_type type, const struct query *q,
	  int parts)
{
	struct dispatch_action a = {
		.type = type,
		.link = q->key.link,
		.query = q->key.query,
		.parts = parts,
	};

	dispatch_act(d, &a, NULL);
}

void
act_run(struct dispatch *d, enum dispatch_action_type type, const struct run *run,
	int parts)
{
	struct dispatch_action a = {
		.type = type,
		.run = run->id,
		.link = run->link,
		.worker_id = run->worker != NULL ? run->worker->id : 0,
		.parts = parts,
	};

	dispatch_act(d, &a, NULL);
}

bool
dispatch_next(struct dispatch *d, struct dispatch_action *ret_action)
{
	item_free(d, d->taken);
	d->taken = d->first;
	if (d->first == NULL)
		return false;
	d->first = d->first->next;
	if (d->first == NULL)
		d->last = NULL;
	*ret_action = d->taken->action;
	return true;
}

/* Life. */

struct dispatch *
dispatch_new(const struct dispatch_config *config)
{
	struct dispatch *d = mem_calloc(1, sizeof(*d));

	assert(config->queue_max >= 1 && config->retries >= 0);
	assert(config->hedge_percent >= 0 && config->hedge_percent <= 100);
	d->config = *config;
	d->next_run = 1;
	rng_init(&d->rng, config->seed);
	return d;
}

void
dispatch_free(struct dispatch *d)
{
	struct query *q, *q_next;
	struct run *run, *run_next;
	struct worker *w, *w_next;
	struct service *s, *s_next;

	if (d == NULL)
		return;
	HASH_ITER (hh, d->queries, q, q_next) {
		if (q->run != NULL)
			q->run->query = NULL;
		if (q->hedge != NULL)
			q->hedge->query = NULL;
		q->run = q->hedge = NULL;
		query_free(d, q);
	}
	HASH_ITER (hh, d->runs, run, run_next)
		run_free(d, run);
	HASH_ITER (hh, d->workers, w, w_next)
		worker_free(d, w);
	HASH_ITER (hh, d->services, s, s_next)
		service_free(d, s);
	loads_fini(&d->loads);
	budgets_fini(&d->budgets);
	item_free(d, d->taken);
	while (d->first != NULL) {
		struct item *item = d->first;

		d->first = item->next;
		item_free(d, item);
	}
	assert(d->stats.buffered_bytes == 0 && d->reserved_bytes == 0);
	assert(d->holders == NULL && d->leavers == NULL);
	while (d->spare != NULL) {
		struct item *item = d->spare;

		d->spare = item->next;
		free(item);
	}
	heap_fini(&d->timers);
	free(d);
}

/* Events. */

static void
dispatch_step_query(struct dispatch *d, const struct dispatch_event *e)
{
	struct query *q = query_find(d, e->link, e->query);

	if (e->type == DISPATCH_EVENT_QUERY_NEW) {
		if (q == NULL)
			query_new(d, e);
		return;
	}
	if (q == NULL)
		return; /* it has ended meanwhile */
	switch (e->type) {
	case DISPATCH_EVENT_QUERY_BODY:
		body_event(d, q, e);
		break;
	case DISPATCH_EVENT_QUERY_CREDIT:
		reply_credit(d, q, e->parts);
		break;
	case DISPATCH_EVENT_QUERY_GO:
		run_go(d, q);
		break;
	default:
		d->stats.cancelled++;
		query_end(d, q);
		break;
	}
}

void
dispatch_step(struct dispatch *d, ms_t now, const struct dispatch_event *e)
{
	assert(now >= d->now);
	d->now = now;
	timers_fire(d);
	switch (e->type) {
	case DISPATCH_EVENT_TICK:
		break;
	case DISPATCH_EVENT_QUERY_NEW:
	case DISPATCH_EVENT_QUERY_BODY:
	case DISPATCH_EVENT_QUERY_CREDIT:
	case DISPATCH_EVENT_QUERY_GO:
	case DISPATCH_EVENT_QUERY_CANCEL:
		dispatch_step_query(d, e);
		break;
	case DISPATCH_EVENT_RUN_TAKEN:
	case DISPATCH_EVENT_RUN_CREDIT:
	case DISPATCH_EVENT_RUN_HEAD:
	case DISPATCH_EVENT_RUN_DATA:
	case DISPATCH_EVENT_RUN_FAILED:
	case DISPATCH_EVENT_RUN_RETURNED:
		run_event(d, e);
		break;
	case DISPATCH_EVENT_WORKER:
		worker_event(d, e->worker);
		break;
	case DISPATCH_EVENT_WORKER_GONE:
		worker_gone(d, e->worker_id);
		break;
	case DISPATCH_EVENT_BUS_DOWN:
		workers_gone(d);
		break;
	case DISPATCH_EVENT_WAY:
		query_way(d, e);
		break;
	case DISPATCH_EVENT_LOAD:
		load_event(d, e);
		break;
	case DISPATCH_EVENT_PROBE:
		probe_event(d, e);
		break;
	case DISPATCH_EVENT_PULL:
		pull_event(d, e);
		break;
	case DISPATCH_EVENT_LINK_DOWN:
		query_link_down(d, e->link);
		run_link_down(d, e->link);
		break;
	case DISPATCH_EVENT_DRAIN:
		d->is_draining = e->is_draining;
		queues_check(d);
		break;
	case DISPATCH_EVENT_STOP:
		queries_end_all(d);
		break;
	}
	bounds_settle(d);
}

bool
dispatch_would_wait(const struct dispatch *d, const struct query_head *head)
{
	return d->config.policy == DISPATCH_BEST && !worker_is_there(d, head);
}

bool
dispatch_uses(const struct dispatch *d, uint64_t link)
{
	for (const struct query *q = d->queries; q != NULL; q = q->hh.next)
		if (q->key.link == link || (q->run != NULL && q->run->link == link) ||
		    (q->hedge != NULL && q->hedge->link == link))
			return true;
	return false;
}

void
dispatch_stats(const struct dispatch *d, struct dispatch_stats *ret_stats)
{
	const struct service *s;
	const struct worker *w;
	const struct run *run;

	*ret_stats = d->stats;
	ret_stats->tenants = 0;
	ret_stats->queries = (int)HASH_COUNT(d->queries);
	ret_stats->queued = ret_stats
				    ->running = ret_stats
							->forwarded = ret_stats
									      ->slots = 0;
	for (s = d->services; s != NULL; s = s->hh.next) {
		ret_stats->queued += s->queue.len;
		ret_stats->tenants += s->queue.shares_len;
	}
	for (run = d->runs; run != NULL; run = run->hh.next)
		ret_stats->forwarded += run->link != 0;
	for (w = d->workers; w != NULL; w = w->hh.next) {
		ret_stats->running += w->running;
		ret_stats->slots += w->is_draining ? 0 : w->slots;
	}
}
