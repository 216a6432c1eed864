/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: one attempt each, by a worker of this node or by another node. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "dispatch/core.h"

static struct run *
run_new(struct dispatch *d, struct query *q)
{
	struct run *run = mem_calloc(1, sizeof(*run));

	assert(q->service == NULL && body_can_replay(q));
	run->id = d->next_run++;
	run->query = q;
	run->candidate = -1;
	run->credit = LIMIT_PARTS_WINDOW;
	run->since = d->now;
	run->timer.owner = run;
	HASH_ADD(hh, d->runs, id, sizeof(run->id), run);
	d->stats.retried += q->head.attempt > 0;
	return run;
}

/* A run that nobody wanted to its end says nothing of who had it. */
static void
run_fared(struct dispatch *d, struct run *run)
{
	enum load_outcome outcome = run->is_failed ? LOAD_FAILED
				    : run->is_done ? LOAD_DONE
						   : LOAD_DROPPED;
	struct load *l = NULL;

	if (run->link != 0)
		l = loads_find(&d->loads, run->service, &run->node);
	if (l != NULL)
		d->stats.ejected_nodes += load_back(l, outcome, d->now - run->since,
						    d->now);
	if (run->worker != NULL && outcome != LOAD_DROPPED)
		worker_fared(d, run->worker, run->is_failed);
}

void
run_free(struct dispatch *d, struct run *run)
{
	struct worker *w = run->worker;

	assert(run->query == NULL);
	run_fared(d, run);
	timer_clear(d, &run->timer);
	tenants_done(&run->turn, (d->now - run->since) * 1000);
	HASH_DEL(d->runs, run);
	free(run);
	if (w != NULL) {
		assert(w->running > 0);
		w->running--;
		w->moved_at = d->now;
		worker_bind(d, w);
	}
}

/* The query goes out, and of its body what there is. */
static void
run_open(struct dispatch *d, struct run *run)
{
	struct query *q = run->query;
	struct query_head head = q->head; /* borrowed */
	struct dispatch_action a = {
		.type = DISPATCH_ACTION_RUN_OPEN,
		.run = run->id,
		.link = run->link,
		.worker_id = run->worker != NULL ? run->worker->id : 0,
		.head = &head,
	};

	if (run->link != 0 && q->candidates[run->candidate].is_relayed)
		a.relay_to = run->node;
	head.timeout_ms = q->deadline.due.at - d->now;
	if (run->link != 0)
		head.hops++;
	/* A copy stays where it is sent, or it could end up beside the other one. */
	if (run == q->hedge) {
		head.hops = DISPATCH_HOPS_MAX;
		if (head.attempt < UINT8_MAX)
			head.attempt++;
	}
	run->is_open = true;
	dispatch_act_open(d, &a, q->shared);
	body_flush(d, q);
	if (run == q->run)
		hedge_prepare(d, q);
}

/* The asker never said GO: the slot is for others. */
static void
run_go_late(struct dispatch *d, void *owner)
{
	struct run *run = owner;
	struct query_error error;

	query_error_set(&error, 503,
			"the node that asked did not confirm the query within %d s",
			DISPATCH_GO_MS / MS_SECOND);
	error.is_taken = false;
	query_end_error(d, run->query, &error, false);
}

static void
run_to_worker(struct dispatch *d, struct run *run, struct worker *w)
{
	assert(w->running < w->slots);
	run->worker = w;
	run->node = d->config.self;
	run->candidate = query_here(run->query);
	if (w->running++ == 0)
		w->moved_at = d->now;
	pace_started(d, w, run->query);
}

static void
run_to_node(struct dispatch *d, struct run *run, int candidate)
{
	struct query *q = run->query;

	run->candidate = candidate;
	run->link = q->candidates[candidate].link;
	run->node = q->candidates[candidate].node;
	run->service = loads_key(q->head.service);
	load_sent(loads_get(&d->loads, run->service, &run->node, d->now));
}

void
run_start_worker(struct dispatch *d, struct query *q, struct worker *w)
{
	struct run *run = run_new(d, q);

	assert(q->run == NULL && q->hedge == NULL);
	q->run = run;
	run_to_worker(d, run, w);
	act_query(d, DISPATCH_ACTION_TAKEN, q, 0);
	if (q->key.link != 0 && !q->head.is_idempotent && !q->may_go) {
		run->timer.fire = run_go_late;
		timer_set(d, &run->timer, d->now + DISPATCH_GO_MS);
		return;
	}
	run->is_taken = true;
	d->stats.taken++;
	run_open(d, run);
}

/* The node may start it. */
static void
run_confirm(struct dispatch *d, struct run *run)
{
	run->is_offered = false;
	run->is_taken = true;
	d->stats.taken++;
	if (!run->query->head.is_idempotent)
		act_run(d, DISPATCH_ACTION_RUN_GO, run, 0);
}

void
run_go(struct dispatch *d, struct query *q)
{
	struct run *run = q->run;

	q->may_go = q->key.link != 0;
	if (run != NULL && run->is_offered) {
		run_confirm(d, run);
		return;
	}
	if (run == NULL || run->worker == NULL || run->is_open)
		return;
	timer_clear(d, &run->timer);
	run->is_taken = true;
	run->since = d->now;
	d->stats.taken++;
	run_open(d, run);
}

void
run_start_node(struct dispatch *d, struct query *q, int candidate)
{
	struct run *run = run_new(d, q);

	assert(q->run == NULL && q->hedge == NULL);
	q->run = run;
	run_to_node(d, run, candidate);
	run_open(d, run);
}

void
run_start_hedge(struct dispatch *d, struct query *q, struct worker *w, int candidate)
{
	struct run *run = run_new(d, q);

	assert(q->run != NULL && q->hedge == NULL && q->head.is_idempotent);
	q->hedge = run;
	if (w != NULL) {
		run_to_worker(d, run, w);
		run->is_taken = true;
		d->stats.taken++;
	} else {
		run_to_node(d, run, candidate);
	}
	run_open(d, run);
}

/* A worker that never answers a cancel: it has its slot back. */
static void
run_cancel_late(struct dispatch *d, void *owner)
{
	run_free(d, owner);
}

void
run_cancel(struct dispatch *d, struct run *run)
{
	assert(run->query == NULL);
	timer_clear(d, &run->timer);
	if (!run->is_open) {
		run_free(d, run);
		return;
	}
	act_run(d, DISPATCH_ACTION_RUN_CANCEL, run, 0);
	if (run->link != 0) {
		run_free(d, run);
		return;
	}
	run->timer.fire = run_cancel_late;
	timer_set(d, &run->timer, d->now + DISPATCH_CANCEL_MS);
}

/* Events. */

static void
run_taken(struct dispatch *d, struct run *run)
{
	struct query *q = run->query;

	if (run->link == 0 || run->is_taken || run->is_offered)
		return;
	act_query(d, DISPATCH_ACTION_TAKEN, q, 0);
	/* Of a query that went on it is the first who asked that says GO. */
	if (q->key.link != 0 && !q->head.is_idempotent && !q->may_go)
		run->is_offered = true;
	else
		run_confirm(d, run);
}

/* The run is over, and the query goes elsewhere or ends. */
static void
run_failed(struct dispatch *d, struct run *run, enum dispatch_failure failure,
	   struct query_error *e)
{
	struct query *q = run->query;
	int candidate = run->candidate;
	struct worker *w = run->worker;

	/* Who was to pass it on speaks for itself. */
	if (failure == DISPATCH_NOT_TAKEN && run->link != 0 && candidate >= 0 &&
	    q->candidates[candidate].is_relayed && !id_is_zero(&e->node) &&
	    !id_equal(&e->node, &run->node))
		failure = DISPATCH_NO_WAY;
	if (id_is_zero(&e->node))
		e->node = run->node;
	run->is_failed = failure != DISPATCH_ANSWERED || e->status >= 500;
	run->is_done = !run->is_failed;
	if (hedge_goes_on(q, run)) {
		if (candidate >= 0 && run->link != 0)
			q->tried |= UINT64_C(1) << candidate;
		query_error_fini(e);
		run_free(d, run);
		return;
	}
	if (w != NULL) {
		free(e->worker);
		e->worker = mem_strdup(w->name);
	}
	q->run = NULL;
	run->query = NULL;
	/* First the query, so that it cannot be bound to the same slot again at once when
	 * it is to go elsewhere; then the slot. */
	query_failed(d, q, candidate, failure, e);
	run_free(d, run);
}

static void
run_failed_event(struct dispatch *d, struct run *run, const struct dispatch_event *e)
{
	struct query_error error;
	char who[WHO_SIZE];

	if (e->error != NULL && e->error->text != NULL)
		query_error_copy(e->error, &error);
	else
		query_error_set(&error, 502, "%s failed", run_who(d, run, who));
	if (error.status < 400 || error.status > 599)
		error.status = 502;
	run_failed(d, run, e->failure, &error);
}

static void
run_returned(struct dispatch *d, struct run *run, int retry_after_s)
{
	struct query *q = run->query;
	struct worker *w = run->worker;
	struct query_error error;
	char who[WHO_SIZE];

	if (w == NULL)
		return;
	d->stats.returned++;
	worker_rest(d, w, retry_after_s);
	if (hedge_goes_on(q, run)) {
		run_free(d, run);
		return;
	}
	if (q->has_reply || !body_can_replay(q) || !queue_is_served(d, q) ||
	    ++q->returns > DISPATCH_RETURNS_MAX) {
		query_error_set(&error, 503, "%s gave the query back: it is busy",
				run_who(d, run, who));
		error.retry_after_s = retry_after_s > 0 ? retry_after_s : 1;
		run_failed(d, run, DISPATCH_NOT_TAKEN, &error);
		return;
	}
	q->run = NULL;
	run->query = NULL;
	tenants_back(&run->turn);
	queue_put_back(d, q);
	run_free(d, run);
}

/* Words about a run that was cancelled only tell when its slot is free. */
static void
run_event_cancelled(struct dispatch *d, struct run *run, const struct dispatch_event *e)
{
	bool is_end = e->type == DISPATCH_EVENT_RUN_FAILED ||
		      e->type == DISPATCH_EVENT_RUN_RETURNED ||
		      (e->type == DISPATCH_EVENT_RUN_DATA && e->is_last);

	if (is_end)
		run_free(d, run);
}

void
run_event(struct dispatch *d, const struct dispatch_event *e)
{
	struct run *run;

	HASH_FIND(hh, d->runs, &e->run, sizeof(e->run), run);
	if (run == NULL || run->link != e->link || !run->is_open) {
		d->stats.late++;
		return;
	}
	if (run->query == NULL) {
		run_event_cancelled(d, run, e);
		return;
	}
	if (e->type == DISPATCH_EVENT_RUN_HEAD ||
	    (e->type == DISPATCH_EVENT_RUN_DATA && (e->data.len > 0 || e->is_last)))
		hedge_won(d, run);
	switch (e->type) {
	case DISPATCH_EVENT_RUN_TAKEN:
		run_taken(d, run);
		break;
	case DISPATCH_EVENT_RUN_CREDIT:
		if (e->parts > 0 && e->parts <= LIMIT_PARTS_WINDOW - run->credit) {
			run->credit += e->parts;
			body_flush(d, run->query);
		}
		break;
	case DISPATCH_EVENT_RUN_HEAD:
		reply_head_event(d, run, e->reply);
		break;
	case DISPATCH_EVENT_RUN_DATA:
		reply_data_event(d, run, e->data, e->is_last);
		break;
	case DISPATCH_EVENT_RUN_FAILED:
		run_failed_event(d, run, e);
		break;
	default:
		run_returned(d, run, e->retry_after_s);
		break;
	}
}

void
run_link_down(struct dispatch *d, uint64_t link)
{
	struct run *run, *next;

	HASH_ITER (hh, d->runs, run, next) {
		struct query_error error;
		char who[WHO_SIZE];
		bool is_taken;

		if (link == 0 || run->link != link)
			continue;
		/* Whoever has begun to reply has taken it, said or not. What nobody had
		 * taken may be asked again without a thought. */
		is_taken = run->is_taken || run->query->has_reply;
		query_error_set(&error, is_taken ? 502 : 503, "the link to %s was lost",
				run_who(d, run, who));
		error.retry_after_s = 1;
		if (is_taken)
			run_failed(d, run, DISPATCH_LOST, &error);
		else
			run_failed(d, run, DISPATCH_NO_WAY, &error);
	}
}

void
run_worker_gone(struct dispatch *d, struct worker *w)
{
	struct run *run, *next;

	HASH_ITER (hh, d->runs, run, next) {
		struct query_error error;
		char who[WHO_SIZE];

		if (run->worker != w)
			continue;
		if (run->query == NULL) {
			run_free(d, run);
			continue;
		}
		query_error_set(&error, run->is_open ? 502 : 503, "%s is gone",
				run_who(d, run, who));
		run_failed(d, run, run->is_open ? DISPATCH_LOST : DISPATCH_NOT_TAKEN,
			   &error);
	}
}
