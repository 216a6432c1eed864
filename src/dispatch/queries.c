/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a query: accepted, brought to a candidate, brought to another, ended. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/core.h"

enum {
	/* So late has whoever had it failed: when nothing is known of its service; at least,
	 * and so many times what nearly all queries take. */
	QUERY_LATE_MS = 10 * MS_SECOND,
	QUERY_LATE_MS_MIN = MS_SECOND,
	QUERY_LATE_TIMES = 4,
};

struct query *
query_find(const struct dispatch *d, uint64_t link, uint64_t query)
{
	struct query_key key = { .link = link, .query = query };
	struct query *q;

	HASH_FIND(hh, d->queries, &key, sizeof(key), q);
	return q;
}

static const char *
node_short(const struct id *node, char out[9])
{
	char text[ID_TEXT_SIZE];

	memcpy(out, id_text(node, text), 8);
	out[8] = '\0';
	return out;
}

const char *
run_who(const struct dispatch *d, const struct run *run, char out[WHO_SIZE])
{
	char node[9];

	node_short(run->link == 0 ? &d->config.self : &run->node, node);
	if (run->worker != NULL)
		snprintf(out, WHO_SIZE, "worker %s on node %s", run->worker->name, node);
	else
		snprintf(out, WHO_SIZE, "node %s", node);
	return out;
}

/* Ends. */

void
query_free(struct dispatch *d, struct query *q)
{
	assert(q->run == NULL && q->hedge == NULL);
	if (q->service != NULL)
		queue_remove(q);
	bounds_forget_leaver(d, q);
	timer_clear(d, &q->deadline);
	timer_clear(d, &q->hedge_at);
	body_fini(d, q);
	HASH_DEL(d->queries, q);
	shared_head_release(q->shared);
	query_error_fini(&q->last);
	free(q->candidates);
	free(q);
}

void
query_end(struct dispatch *d, struct query *q)
{
	struct run *run = q->run, *hedge = q->hedge;

	q->run = q->hedge = NULL;
	if (run != NULL)
		run->query = NULL;
	if (hedge != NULL)
		hedge->query = NULL;
	query_free(d, q);
	if (run != NULL)
		run_cancel(d, run);
	if (hedge != NULL)
		run_cancel(d, hedge);
}

static void
query_tell_error(struct dispatch *d, uint64_t link, uint64_t query,
		 const struct query_error *e, bool is_final)
{
	struct query_error told = *e; /* borrowed */
	struct dispatch_action a = {
		.type = DISPATCH_ACTION_ERROR,
		.link = link,
		.query = query,
		.error = &told,
		.is_final = is_final,
	};

	/* Who may ask again is told when. */
	if ((told.status == 429 || told.status == 503) && told.retry_after_s == 0)
		told.retry_after_s = DISPATCH_RETRY_AFTER_S_MIN;
	d->stats.failed++;
	dispatch_act(d, &a, NULL);
}

void
query_end_error(struct dispatch *d, struct query *q, struct query_error *e, bool is_final)
{
	if (q->run != NULL) {
		e->node = q->run->node;
		if (q->run->worker != NULL) {
			free(e->worker);
			e->worker = mem_strdup(q->run->worker->name);
		}
	}
	query_tell_error(d, q->key.link, q->key.query, e, is_final);
	query_error_fini(e);
	query_end(d, q);
}

/* A deadline that is far beyond what its service takes is no fault of the deadline. */
static void
query_expired_run(struct dispatch *d, const struct query *q, struct run *run)
{
	struct budget *b = budgets_get(&d->budgets, loads_key(q->head.service), d->now);
	ms_t took = d->now - run->since, usual = budget_hedge_after(b);

	run->is_failed = usual < 0 ? took >= QUERY_LATE_MS
				   : took >= QUERY_LATE_MS_MIN &&
					     took >= QUERY_LATE_TIMES * usual;
}

static void
query_expired(struct dispatch *d, void *owner)
{
	struct query *q = owner;
	double seconds = (double)(d->now - q->arrived) / MS_SECOND;
	struct query_error error;
	char who[WHO_SIZE];

	if (q->run != NULL && (q->run->is_taken || q->run->link == 0))
		query_error_set(&error, 504, "%s did not finish within %.3g s",
				run_who(d, q->run, who), seconds);
	else
		query_error_set(&error, 504, "no worker of \"%s\" was free within %.3g s",
				q->head.service, seconds);
	error.is_taken = q->run != NULL && q->run->is_taken;
	if (q->run != NULL && !q->has_reply)
		query_expired_run(d, q, q->run);
	if (q->hedge != NULL)
		query_expired_run(d, q, q->hedge);
	d->stats.expired++;
	query_end_error(d, q, &error, true);
}

/* Where next. */

static void
query_await(struct dispatch *d, struct query *q, int candidate)
{
	struct dispatch_action a = {
		.type = DISPATCH_ACTION_WAY,
		.node = q->candidates[candidate].node,
		.link = q->candidates[candidate].not_by,
	};

	q->is_awaiting = true;
	q->awaited = candidate;
	dispatch_act(d, &a, NULL);
}

static void
query_has_way(struct dispatch *d, struct query *q, const struct dispatch_event *e)
{
	struct dispatch_candidate *c = &q->candidates[q->awaited];
	struct query_error error;
	char node[9];

	q->is_awaiting = false;
	if (e->link != 0) {
		c->link = e->link;
		c->is_relayed = e->is_relayed;
		c->is_far = false;
		run_start_node(d, q, q->awaited);
		return;
	}
	query_error_set(&error, 503, "no way to node %s was found",
			node_short(&c->node, node));
	error.node = c->node;
	error.retry_after_s = 1;
	query_failed(d, q, q->awaited, DISPATCH_NOT_TAKEN, &error);
}

void
query_way(struct dispatch *d, const struct dispatch_event *e)
{
	struct query *q, *next;

	HASH_ITER (hh, d->queries, q, next)
		if (q->is_awaiting && id_equal(&q->candidates[q->awaited].node, &e->node))
			query_has_way(d, q, e);
}

/* Its way failed: is there to be another one? */
static bool
query_seeks(struct query *q, int candidate)
{
	struct dispatch_candidate *c = &q->candidates[candidate];

	if (c->ways == 0)
		return false;
	c->ways--;
	c->not_by = c->link;
	c->link = 0;
	c->is_far = true;
	c->is_relayed = false;
	q->again |= UINT64_C(1) << candidate;
	return true;
}

int
query_open_ones(const struct query *q, uint64_t but, int ret[DISPATCH_CANDIDATES_MAX])
{
	int n = 0;

	for (int i = 0; i < q->candidates_len; i++)
		if (!((q->tried | but) & (UINT64_C(1) << i)))
			ret[n++] = i;
	return n;
}

static void
query_end_untaken(struct dispatch *d, struct query *q)
{
	struct query_error error;

	if (q->last.status != 0) {
		error = q->last;
		q->last = (struct query_error){ 0 };
	} else {
		query_error_set(&error, 503, "no node that offers \"%s\" can be reached",
				q->head.service);
		error.retry_after_s = 1;
	}
	query_end_error(d, q, &error, false);
}

/* Another node's query goes on once at most, and not after a failure: here, or back. */
static void
query_choose_here(struct dispatch *d, struct query *q)
{
	int here = query_here(q);

	if (here >= 0 && !(q->tried & (UINT64_C(1) << here))) {
		queue_put(d, q, here);
		return;
	}
	/* It is this node that does not have it, wherever it was tried. */
	if (!q->last.is_taken)
		q->last.node = d->config.self;
	query_end_untaken(d, q);
}

void
query_choose(struct dispatch *d, struct query *q)
{
	int open[DISPATCH_CANDIDATES_MAX], n, pick;

	if (q->key.link != 0) {
		query_choose_here(d, q);
		return;
	}
	n = query_open_ones(q, q->again, open);
	if (n == 0)
		n = query_open_ones(q, 0, open);
	if (n > 0) {
		pick = choose_one(d, q, open, n);
		if (q->candidates[pick].is_far)
			query_await(d, q, pick);
		else if (q->candidates[pick].link == 0)
			queue_put(d, q, pick);
		else
			run_start_node(d, q, pick);
		return;
	}
	query_end_untaken(d, q);
}

/* Keep the error for the end; among several that could not take it, the soonest
 * Retry-After counts. */
static void
query_failed_note(struct query *q, struct query_error *e)
{
	int after = q->last.retry_after_s;

	if (after > 0 && (e->retry_after_s == 0 || after < e->retry_after_s) &&
	    (e->status == 503 || e->status == 429))
		e->retry_after_s = after;
	query_error_fini(&q->last);
	q->last = *e;
	*e = (struct query_error){ 0 };
}

/* After a worker had it, when it failed. */
static bool
query_may_repeat(struct dispatch *d, const struct query *q)
{
	struct budget *b;

	if (!q->head.is_idempotent || q->retries <= 0)
		return false;
	b = budgets_get(&d->budgets, loads_key(q->head.service), d->now);
	if (budget_retry(b, d->now)) {
		d->stats.repeated++;
		return true;
	}
	d->stats.unrepeated++;
	return false;
}

void
query_failed(struct dispatch *d, struct query *q, int candidate,
	     enum dispatch_failure failure, struct query_error *e)
{
	bool is_here = candidate < 0 || (q->candidates[candidate].link == 0 &&
					 !q->candidates[candidate].is_far);

	assert(q->run == NULL && q->hedge == NULL && q->service == NULL);
	e->is_taken = failure != DISPATCH_NOT_TAKEN && failure != DISPATCH_NO_WAY;
	if (failure == DISPATCH_ANSWERED || q->has_reply || !body_can_replay(q) ||
	    (failure == DISPATCH_LOST && !query_may_repeat(d, q))) {
		query_end_error(d, q, e, failure == DISPATCH_ANSWERED);
		return;
	}
	if (failure == DISPATCH_LOST)
		q->retries--;
	if (q->head.attempt < UINT8_MAX)
		q->head.attempt++;
	query_failed_note(q, e);
	/* Another worker of this node may do it as well. */
	if (is_here && failure == DISPATCH_LOST && queue_is_served(d, q)) {
		if (candidate >= 0)
			query_choose(d, q);
		else
			queue_put(d, q, candidate);
		return;
	}
	if (candidate >= 0 && (failure != DISPATCH_NO_WAY || !query_seeks(q, candidate)))
		q->tried |= UINT64_C(1) << candidate;
	query_choose(d, q);
}

/* Stop. */

static void
query_stop_error(const struct dispatch *d, bool is_taken, struct query_error *ret_error)
{
	if (is_taken) {
		query_error_set(ret_error, 502,
				"the node stops and could not wait for the reply");
	} else {
		query_error_set(ret_error, 503, "the node stops");
		ret_error->retry_after_s = DISPATCH_DRAIN_RETRY_S;
	}
	ret_error->node = d->config.self;
	ret_error->is_taken = is_taken;
}

void
queries_end_all(struct dispatch *d)
{
	struct query *q, *next;

	d->is_stopped = true;
	/* A slot that becomes free is for nobody. */
	for (struct worker *w = d->workers; w != NULL; w = w->hh.next)
		w->is_draining = true;
	HASH_ITER (hh, d->queries, q, next) {
		struct query_error error;

		query_stop_error(d, q->run != NULL && q->run->is_taken, &error);
		query_end_error(d, q, &error, false);
	}
}

/* New. */

/* Does its encoding fit a frame, whatever its tenant is called? Drivers bound what they read,
 * so that this is rare. */
static bool
query_new_fits(const struct query_head *head)
{
	return head->headers.len <= QUERY_HEADERS_MAX &&
	       query_head_len(head) <= QUERY_HEAD_BYTES_MAX - QUERY_TENANT_BYTES_MAX;
}

/* Why it cannot be accepted: `error` is set, true. */
static bool
query_new_refused(struct dispatch *d, const struct dispatch_event *e,
		  struct query_error *error)
{
	const struct query_head *head = e->head;

	if (e->error != NULL)
		query_error_copy(e->error, error);
	else if (d->is_stopped)
		query_stop_error(d, false, error);
	else if (!query_new_fits(head))
		query_error_set(error, 431, "the headers of the query are too long");
	else if (head->body_len > d->config.body_bytes_max)
		query_error_set(
			error, 413,
			"the body is longer than http.max_body allows (%lld bytes)",
			(long long)d->config.body_bytes_max);
	else if (head->timeout_ms <= 0)
		query_error_set(error, 504, "the deadline had passed on arrival");
	else if (e->link != 0 && head->hops > DISPATCH_HOPS_MAX)
		query_error_set(error, 503, "the query was forwarded more than twice");
	else if (e->link != 0 && !id_is_zero(&head->pin) &&
		 !id_equal(&head->pin, &d->config.self))
		query_error_set(error, 503, "the query is for another node");
	else
		return false;
	return true;
}

static struct query *
query_make(struct dispatch *d, const struct dispatch_event *e)
{
	struct query *q = mem_calloc(1, sizeof(*q));
	const struct id nobody = { { 0 } };
	ms_t timeout = e->head->timeout_ms;
	int n = e->candidates_len;
	char tenant[QUERY_TENANT_BYTES_MAX + 1];
	struct query_head named = *e->head; /* borrowed */

	tenants_name(e->head->tenant, &d->config.self, e->link != 0 ? &e->node : &nobody,
		     tenant);
	named.tenant = tenant;
	q->key = (struct query_key){ .link = e->link, .query = e->query };
	q->shared = shared_head_new(&named);
	q->head = q->shared->head;
	q->arrived = d->now;
	q->waiting.owner = q;
	q->retries = d->config.retries - q->head.attempt;
	assert(n <= DISPATCH_CANDIDATES_MAX);
	if (n > 0) {
		size_t size = (size_t)n * sizeof(q->candidates[0]);

		q->candidates = mem_alloc(size);
		memcpy(q->candidates, e->candidates, size);
		q->candidates_len = n;
	}
	q->deadline = (struct timer){ .fire = query_expired, .owner = q };
	if (timeout > DISPATCH_TIMEOUT_MS_MAX)
		timeout = DISPATCH_TIMEOUT_MS_MAX;
	timer_set(d, &q->deadline, d->now + timeout);
	HASH_ADD(hh, d->queries, key, sizeof(q->key), q);
	return q;
}

void
query_new(struct dispatch *d, const struct dispatch_event *e)
{
	struct query_error error;
	struct query *q;

	if (query_new_refused(d, e, &error)) {
		query_tell_error(d, e->link, e->query, &error, false);
		query_error_fini(&error);
		return;
	}
	q = query_make(d, e);
	budget_query(budgets_get(&d->budgets, loads_key(q->head.service), d->now),
		     d->config.hedge_percent);
	if (!body_init(d, q, &error)) {
		query_end_error(d, q, &error, false);
		return;
	}
	if (e->link != 0)
		pull_given(d, q, &e->node);
	if (e->link != 0 && queue_is_served(d, q) && query_onward(d, q))
		return;
	if (e->link != 0)
		queue_put(d, q, query_here(q));
	else
		query_choose(d, q);
}

/* Links. */

/* Nobody waits any more for what came by it, and nothing more is sent there. */
void
query_link_down(struct dispatch *d, uint64_t link)
{
	struct query *q, *next;

	HASH_ITER (hh, d->queries, q, next) {
		if (q->key.link == link && link != 0) {
			d->stats.cancelled++;
			query_end(d, q);
			continue;
		}
		for (int i = 0; i < q->candidates_len; i++)
			if (q->candidates[i].link == link && link != 0 &&
			    (q->run == NULL || q->run->candidate != i) &&
			    (q->hedge == NULL || q->hedge->candidate != i) &&
			    !query_seeks(q, i))
				q->tried |= UINT64_C(1) << i;
	}
}
