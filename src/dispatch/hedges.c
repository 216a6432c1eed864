/* SPDX-License-Identifier: Apache-2.0 */
/* A second copy of a query that takes unusually long, at another worker; whichever replies first
 * answers it, and the other one is cancelled.
 *
 * Only what may be run twice is, only for clients of this node (or each hop would double it),
 * only while nothing of a reply has come, and only where a slot is free as far as is known, so
 * that no copy keeps others waiting. How many there may be, and after how long, is in
 * budgets.h. */
#include "config.h"

#include <assert.h>

#include "dispatch/core.h"

static struct budget *
hedge_budget(struct dispatch *d, const struct query *q)
{
	return budgets_get(&d->budgets, loads_key(q->head.service), d->now);
}

static bool
hedge_may(const struct dispatch *d, const struct query *q)
{
	return q->run != NULL && q->run->is_open && q->hedge == NULL && !q->has_reply &&
	       q->body.is_whole && q->body.is_kept && body_can_replay(q) &&
	       q->deadline.due.at > d->now && !d->is_stopped;
}

static void
hedge_due(struct dispatch *d, void *owner)
{
	struct query *q = owner;
	struct budget *b = hedge_budget(d, q);
	int here = query_here(q), open[DISPATCH_CANDIDATES_MAX], n, candidate = -1;
	uint64_t but = q->tried | q->again;
	struct worker *w = NULL;

	if (!hedge_may(d, q) || !budget_has_hedge(b))
		return;
	if (here >= 0 && !(q->tried & (UINT64_C(1) << here)))
		w = worker_pick(d, q, q->run->worker);
	if (w == NULL) {
		if (q->run->candidate >= 0)
			but |= UINT64_C(1) << q->run->candidate;
		n = query_open_ones(q, but, open);
		candidate = n > 0 ? choose_hedge(d, q, open, n) : -1;
	}
	if (w == NULL && candidate < 0)
		return;
	budget_hedge(b);
	d->stats.hedges++;
	run_start_hedge(d, q, w, candidate);
}

void
hedge_prepare(struct dispatch *d, struct query *q)
{
	ms_t after;

	if (d->config.hedge_percent == 0 || q->key.link != 0 || !q->head.is_idempotent ||
	    !id_is_zero(&q->head.pin))
		return;
	after = budget_hedge_after(hedge_budget(d, q));
	if (after < 0)
		return;
	q->hedge_at.fire = hedge_due;
	q->hedge_at.owner = q;
	timer_set(d, &q->hedge_at, d->now + after);
}

void
hedge_seen(struct dispatch *d, const struct query *q, const struct run *run)
{
	budget_seen(hedge_budget(d, q), d->now - run->since);
}

void
hedge_won(struct dispatch *d, struct run *run)
{
	struct query *q = run->query;
	struct run *other = q->run == run ? q->hedge : q->run;

	timer_clear(d, &q->hedge_at);
	if (q->hedge == NULL)
		return;
	d->stats.hedges_won += q->hedge == run;
	q->run = run;
	q->hedge = NULL;
	other->query = NULL;
	/* Its end will not be known, but that it took so long. */
	hedge_seen(d, q, other);
	run_cancel(d, other);
}

bool
hedge_goes_on(struct query *q, struct run *run)
{
	assert(run->query == q);
	if (q->hedge == NULL)
		return false;
	if (q->run == run)
		q->run = q->hedge;
	q->hedge = NULL;
	run->query = NULL;
	return true;
}
