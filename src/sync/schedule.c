/* SPDX-License-Identifier: Apache-2.0 */
/* Which session of ours runs next: one that a person asked for; one over a link whose roots
 * differ; one over a random link. See sync/sync.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sync/core.h"

static void
schedule_want(struct sync *s, struct sync_link *l, enum sync_want want)
{
	if (l->want == SYNC_WANT_NOTHING || l->is_random)
		l->want_at = s->now;
	if (want > l->want)
		l->want = want;
	l->is_random = false;
}

/* The one with fewer rows is the one that has something to learn, and may read pages. */
void
schedule_link_up(struct sync *s, struct sync_link *l, const struct sync_event *e)
{
	bool is_smaller = id_compare(&s->config.self, &e->node) < 0;

	if (u128_equal(e->ours.sum, e->theirs.sum) && e->ours.count == e->theirs.count) {
		join_ended(s, &e->node, 0, true);
		return;
	}
	if (e->ours.count < e->theirs.count ||
	    (e->ours.count == e->theirs.count && is_smaller))
		schedule_want(s, l, SYNC_WANT_WHOLE);
}

void
schedule_root(struct sync *s, struct sync_link *l, const struct sync_event *e)
{
	bool is_smaller = id_compare(&s->config.self, &l->node) < 0;
	bool is_ours = s->session != NULL && s->session->link == l->id;

	if (e->theirs.sum.hi == e->ours.sum.hi) {
		l->differs = 0;
		l->retry_ms = SYNC_RETRY_MS;
		if (l->want == SYNC_WANT_SETTLED && !l->is_random)
			l->want = SYNC_WANT_NOTHING;
		return;
	}
	if (is_ours || l->inbound.is_open)
		return; /* it is being seen to */
	if (l->differs > 0 && e->epoch <= l->differs_epoch)
		return;
	l->differs++;
	l->differs_epoch = e->epoch;
	if (l->differs >= (is_smaller ? 2 : 3))
		schedule_want(s, l, SYNC_WANT_SETTLED);
}

/* Requests. */

static void
schedule_refuse(struct sync *s, const struct sync_request *r, const struct sync_link *l,
		int rc, const char *why)
{
	struct sync_result result = { .request = r->request,
				      .link = r->link,
				      .is_dry = r->is_dry,
				      .rc = rc,
				      .remaining_ms = -1,
				      .elapsed_ms = s->now - r->since };

	if (l != NULL)
		result.node = l->node;
	memcpy(result.why, why, strlen(why) + 1);
	s->stats.sessions_failed++;
	sync_done(s, &result, NULL);
}

void
schedule_request(struct sync *s, const struct sync_event *e)
{
	struct sync_request r = { .request = e->request,
				  .link = e->link,
				  .is_dry = e->is_dry,
				  .at = s->now,
				  .since = s->now };
	struct sync_link *l = sync_link_find(s, e->link);

	if (l == NULL || l->is_rejected)
		schedule_refuse(s, &r, l, -ECONNRESET,
				"there is no link to that node that carries rows");
	else if (s->requests_len == SYNC_REQUESTS_MAX)
		schedule_refuse(s, &r, l, -EBUSY,
				"too many sessions that were asked for are waiting here");
	else
		s->requests[s->requests_len++] = r;
}

static void
schedule_request_drop(struct sync *s, int i)
{
	s->requests_len--;
	memmove(&s->requests[i], &s->requests[i + 1],
		(size_t)(s->requests_len - i) * sizeof(s->requests[0]));
}

void
schedule_link_down(struct sync *s, const struct sync_link *l)
{
	int i = 0;

	while (i < s->requests_len) {
		struct sync_request r = s->requests[i];

		if (r.link != l->id) {
			i++;
			continue;
		}
		schedule_request_drop(s, i);
		schedule_refuse(s, &r, l, -ECONNRESET, "the link ended");
	}
}

void
schedule_cancel(struct sync *s, uint64_t request)
{
	static const char why[] = "nobody waits for it any more";

	if (s->session != NULL && s->session->request.request == request)
		session_end(s, -ECANCELED, NULL, "%s", why);
	for (int i = 0; i < s->requests_len; i++) {
		struct sync_request r = s->requests[i];

		if (r.request != request)
			continue;
		schedule_request_drop(s, i);
		schedule_refuse(s, &r, sync_link_find(s, r.link), -ECANCELED, why);
		return;
	}
}

bool
schedule_again(struct sync *s, const struct sync_session *x)
{
	struct sync_request r = x->request;

	if (r.request == 0 || r.tries == SYNC_BUSY_TRIES ||
	    s->requests_len == SYNC_REQUESTS_MAX)
		return false;
	r.at = s->now + (SYNC_BUSY_MS / 2 << r.tries);
	r.tries++;
	s->requests[s->requests_len++] = r;
	return true;
}

/* Ends. */

/* 3/4 to 5/4 of the interval, lest all nodes do it at once. */
static void
schedule_random_next(struct sync *s)
{
	ms_t span = s->config.interval_ms * s->random_factor;

	if (span > 0)
		s->random_at = s->now + span * 3 / 4 +
			       (ms_t)rng_below(&s->rng, (uint64_t)span / 2 + 1);
}

static void
schedule_random_ended(struct sync *s, bool is_equal)
{
	if (!is_equal)
		s->random_factor = 1;
	else if (s->random_factor < SYNC_INTERVAL_FACTOR_MAX)
		s->random_factor *= 2;
	schedule_random_next(s);
}

/* The node that a busy one named, when we have a link to it. */
static void
schedule_try_other(struct sync *s, const struct id *node, enum sync_want want)
{
	struct sync_link *l;

	for (l = s->links; l != NULL; l = l->hh.next)
		if (id_equal(&l->node, node) && !l->is_rejected && l->next_at <= s->now) {
			schedule_want(s, l, want);
			return;
		}
}

static void
schedule_busy(struct sync *s, struct sync_link *l, const struct sync_session *x,
	      const struct id *named)
{
	l->next_at = s->now + l->busy_ms / 2 +
		     (ms_t)rng_below(&s->rng, (uint64_t)l->busy_ms);
	if (l->busy_ms < SYNC_BUSY_MS_MAX)
		l->busy_ms *= 2;
	if (x->request.request != 0)
		return; /* that one was asked for, and no other */
	if (!x->is_random)
		schedule_want(s, l, x->want);
	if (!id_is_zero(named))
		schedule_try_other(s, named, x->want);
}

void
schedule_ended(struct sync *s, struct sync_link *l, const struct sync_session *x,
	       const struct id *busy)
{
	const struct sync_result *r = &x->result;
	bool is_moved = r->rows_sent + r->rows_received > 0;

	l->differs = 0;
	if (x->is_random)
		schedule_random_ended(s, r->rc == 0 && r->is_equal && !is_moved);
	else if (is_moved)
		s->random_factor = 1;
	if (busy != NULL) {
		schedule_busy(s, l, x, busy);
		return;
	}
	l->busy_ms = SYNC_BUSY_MS;
	if (x->request.request != 0)
		return;
	l->retry_ms = is_moved ? SYNC_RETRY_MS : l->retry_ms * 2;
	if (l->retry_ms > SYNC_RETRY_MS_MAX)
		l->retry_ms = SYNC_RETRY_MS_MAX;
	l->next_at = s->now +
		     (l->retry_ms > SYNC_LINK_MS ? l->retry_ms : (ms_t)SYNC_LINK_MS);
}

/* Beginnings. */

static bool
schedule_run_request(struct sync *s)
{
	for (int i = 0; i < s->requests_len; i++) {
		struct sync_request r = s->requests[i];

		if (r.at > s->now) {
			sync_wake(s, r.at);
			continue;
		}
		schedule_request_drop(s, i);
		session_begin(s, sync_link_find(s, r.link), &r, SYNC_WANT_WHOLE, false);
		return true;
	}
	return false;
}

static ms_t
schedule_time(const struct sync_link *l)
{
	return l->want_at > l->next_at ? l->want_at : l->next_at;
}

static void
schedule_random(struct sync *s)
{
	struct sync_link *l, *chosen = NULL;
	uint64_t n = 0;

	if (s->random_at > s->now)
		return;
	schedule_random_next(s);
	for (l = s->links; l != NULL; l = l->hh.next)
		if (!l->is_rejected && l->next_at <= s->now &&
		    rng_below(&s->rng, ++n) == 0)
			chosen = l;
	if (chosen == NULL || chosen->want != SYNC_WANT_NOTHING)
		return;
	chosen->want = SYNC_WANT_SETTLED;
	chosen->is_random = true;
	chosen->want_at = s->now;
}

/* Any link will do, so that neither a donor that leaves nor a slow one is waited for. */
static void
schedule_join(struct sync *s)
{
	struct sync_link *l, *chosen = NULL;
	uint64_t n = 0;

	for (l = s->links; l != NULL; l = l->hh.next) {
		if (l->is_rejected || !join_wants(s, l))
			continue;
		if (l->next_at > s->now)
			sync_wake(s, l->next_at);
		else if (l->want != SYNC_WANT_NOTHING && !l->is_random)
			return; /* it is about to begin */
		else if (rng_below(&s->rng, ++n) == 0)
			chosen = l;
	}
	if (chosen != NULL)
		schedule_want(s, chosen,
			      s->join.state == SYNC_JOIN_PAGES ? SYNC_WANT_WHOLE
							       : SYNC_WANT_SETTLED);
}

static bool
schedule_run_link(struct sync *s)
{
	struct sync_link *l, *best = NULL;
	enum sync_want want;
	bool is_random;

	for (l = s->links; l != NULL; l = l->hh.next)
		if (l->want != SYNC_WANT_NOTHING && !l->is_rejected &&
		    (best == NULL || schedule_time(l) < schedule_time(best)))
			best = l;
	if (best == NULL)
		return false;
	if (schedule_time(best) > s->now) {
		sync_wake(s, schedule_time(best));
		return false;
	}
	want = best->want;
	is_random = best->is_random;
	best->want = SYNC_WANT_NOTHING;
	best->is_random = false;
	session_begin(s, best, NULL, want, is_random);
	return true;
}

void
schedule_run(struct sync *s)
{
	if (s->session != NULL)
		return; /* its end is seen to by session_tick() */
	if (schedule_run_request(s))
		return;
	schedule_random(s);
	schedule_join(s);
	if (!schedule_run_link(s))
		sync_wake(s, s->random_at);
}
