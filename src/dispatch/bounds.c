/* SPDX-License-Identifier: Apache-2.0 */
/* What is let in, and when to ask again.
 *
 * Bounds are by number (queries that wait for one service), by bytes (of bodies, of the whole
 * node) and by the wait that is to be expected, each of the whole and most of one tenant. Who
 * is over a bound of its own is told so with 429; when it is the service or the node that is
 * full, with 503. All are told when to come back: after the wait that is expected.
 *
 * No tenant can keep the others out: when the queue of a service is full and a tenant has less
 * than its fair part of it, the latest query of the tenant that has most gives way. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/core.h"

/* All alike, until tokens have a share of their own. */
int
query_weight(const struct query *q)
{
	return q->head.share > 0 ? q->head.share : TENANTS_WEIGHT;
}

/* Waits. */

/* As far as is known; 0: nothing was measured yet. Of two measures the lesser, for whoever is
 * refused must be so with good reason. */
static int64_t
bounds_mean_us(const struct service *s)
{
	int64_t quick = s->mean_ms * 1000;

	return quick < s->mean_us ? quick : s->mean_us;
}

int64_t
bounds_wait_us(const struct service *s, const struct query *q, const struct serving *by)
{
	int ahead = tenants_ahead(&s->queue, q->head.tenant, query_weight(q), by->set);

	return bounds_mean_us(s) * ahead / (by->slots > 0 ? by->slots : 1);
}

static int
bounds_seconds(int64_t us)
{
	int64_t seconds = (us / 1000 + MS_SECOND - 1) / MS_SECOND;

	if (seconds < DISPATCH_RETRY_AFTER_S_MIN)
		return DISPATCH_RETRY_AFTER_S_MIN;
	return seconds < DISPATCH_RETRY_AFTER_S_MAX ? (int)seconds
						    : DISPATCH_RETRY_AFTER_S_MAX;
}

/* When one more of its tenant would have had its turn, and a worker be through with it. */
static int
bounds_retry_after(const struct service *s, const struct query *q,
		   const struct serving *by)
{
	int64_t mean = s->mean_us > 0 ? bounds_mean_us(s) : (int64_t)MS_SECOND * 1000;
	int64_t ahead = tenants_ahead(&s->queue, q->head.tenant, query_weight(q),
				      by->set);

	return bounds_seconds(mean * (ahead + 1) / (by->slots > 0 ? by->slots : 1));
}

/* Bytes. */

/* About the time in which one of them is over. */
static int
bounds_bytes_after(const struct dispatch *d, const char *service)
{
	const struct service *s;

	HASH_FIND_STR(d->services, service, s);
	return bounds_seconds(s != NULL ? bounds_mean_us(s) : 0);
}

bool
bounds_hold(struct dispatch *d, struct query *q, uint64_t len,
	    struct query_error *ret_error)
{
	const char *tenant = q->head.tenant;
	uint64_t most = d->config.tenant_bytes_max;
	struct holder *h;
	bool is_of_one;

	HASH_FIND_STR(d->holders, tenant, h);
	is_of_one = most > 0 && (h != NULL ? h->bytes : 0) + len > most;
	if (is_of_one || d->reserved_bytes + len > d->config.buffer_bytes_max) {
		d->stats.refused[is_of_one ? DISPATCH_REFUSED_TENANT_BYTES
					   : DISPATCH_REFUSED_BYTES]++;
		query_error_set(
			ret_error, is_of_one ? 429 : 503,
			is_of_one
				? "the bodies of %s's queries fill the memory set aside "
				  "for those of one tenant"
				: "the bodies of waiting queries fill the memory set "
				  "aside for them",
			tenant);
		ret_error->node = d->config.self;
		ret_error->retry_after_s = bounds_bytes_after(d, q->head.service);
		return false;
	}
	if (h == NULL) {
		h = mem_calloc(1, sizeof(*h));
		h->name = mem_strdup(tenant);
		HASH_ADD_KEYPTR(hh, d->holders, h->name, strlen(h->name), h);
	}
	h->bytes += len;
	d->reserved_bytes += len;
	q->body.reserved_bytes = len;
	q->holder = h;
	return true;
}

void
bounds_release(struct dispatch *d, struct query *q)
{
	struct holder *h = q->holder;

	if (h == NULL)
		return;
	h->bytes -= q->body.reserved_bytes;
	d->reserved_bytes -= q->body.reserved_bytes;
	q->body.reserved_bytes = 0;
	q->holder = NULL;
	if (h->bytes > 0)
		return;
	HASH_DEL(d->holders, h);
	free(h->name);
	free(h);
}

/* Queues. */

/* The latest of whoever has most is to leave for `q`; false: nobody has more than this one's
 * tenant would have. It is told at the end of the step (bounds_settle()), so that whoever walks
 * over queries need not expect it. */
static bool
bounds_make_room(struct dispatch *d, struct service *s, const struct query *q)
{
	struct waiting *most = tenants_most(&s->queue);
	int own = tenants_len(&s->queue, q->head.tenant);
	struct query *leaver;
	struct serving by;

	if (most == NULL || most->flow->share->len <= own + 1 ||
	    own >= tenants_fair(&s->queue, q->head.tenant, query_weight(q),
				d->config.queue_max))
		return false;
	leaver = most->owner;
	worker_serving(d, leaver, &by);
	leaver->leaves_after_s = bounds_retry_after(s, leaver, &by);
	queue_remove(leaver);
	DL_APPEND(d->leavers, leaver);
	return true;
}

void
bounds_settle(struct dispatch *d)
{
	struct query *q;

	while ((q = d->leavers) != NULL) {
		struct query_error error;

		query_error_set(&error, 429,
				"the queue of \"%s\" is full, and %s has most of it: the "
				"latest of its queries gives way to others",
				q->head.service, q->head.tenant);
		error.node = d->config.self;
		error.retry_after_s = q->leaves_after_s;
		bounds_forget_leaver(d, q);
		d->stats.refused[DISPATCH_REFUSED_GAVE_WAY]++;
		query_failed(d, q, query_here(q), DISPATCH_NOT_TAKEN, &error);
	}
}

void
bounds_forget_leaver(struct dispatch *d, struct query *q)
{
	if (q->leaves_after_s == 0)
		return;
	DL_DELETE(d->leavers, q);
	q->leaves_after_s = 0;
}

/* The queue is full: is that this tenant's doing? */
static enum dispatch_refusal
bounds_full(const struct dispatch *d, const struct service *s, const struct query *q)
{
	int own = tenants_len(&s->queue, q->head.tenant);
	bool is_alone = s->queue.shares_len == (own > 0);

	return own > 0 && !is_alone &&
			       own >= tenants_fair(&s->queue, q->head.tenant,
						   query_weight(q), d->config.queue_max)
		       ? DISPATCH_REFUSED_SHARE
		       : DISPATCH_REFUSED_QUEUE;
}

/* Would its time be over before its turn comes? */
static bool
bounds_wait_check(const struct dispatch *d, const struct service *s,
		  const struct query *q, const struct serving *by,
		  enum dispatch_refusal *ret_why)
{
	int64_t wait = bounds_wait_us(s, q, by);

	if (wait >= (q->deadline.due.at - d->now) * 1000)
		*ret_why = DISPATCH_REFUSED_DEADLINE;
	else if (d->config.wait_max_ms > 0 && wait > d->config.wait_max_ms * 1000)
		*ret_why = DISPATCH_REFUSED_WAIT;
	else
		return true;
	return false;
}

bool
bounds_have_room(const struct dispatch *d, const struct service *s, const struct query *q,
		 const struct serving *by)
{
	int most = d->config.tenant_queue_max;
	enum dispatch_refusal why;

	return s->queue.len < d->config.queue_max &&
	       (most == 0 || tenants_len(&s->queue, q->head.tenant) < most) &&
	       bounds_wait_check(d, s, q, by, &why);
}

static bool
bounds_queue_check(struct dispatch *d, struct service *s, const struct query *q,
		   const struct serving *by, enum dispatch_refusal *ret_why)
{
	int most = d->config.tenant_queue_max;

	if (most > 0 && tenants_len(&s->queue, q->head.tenant) >= most) {
		*ret_why = DISPATCH_REFUSED_TENANT_QUEUE;
		return false;
	}
	if (!bounds_wait_check(d, s, q, by, ret_why))
		return false;
	if (s->queue.len < d->config.queue_max || bounds_make_room(d, s, q))
		return true;
	*ret_why = bounds_full(d, s, q);
	return false;
}

static void
bounds_queue_error(const struct service *s, const struct query *q,
		   const struct serving *by, enum dispatch_refusal why,
		   struct query_error *ret_error)
{
	const char *name = q->head.service;
	double wait = (double)bounds_wait_us(s, q, by) / (MS_SECOND * 1000);

	switch (why) {
	case DISPATCH_REFUSED_TENANT_QUEUE:
		query_error_set(
			ret_error, 429, "%d queries of %s wait for \"%s\" already",
			tenants_len(&s->queue, q->head.tenant), q->head.tenant, name);
		break;
	case DISPATCH_REFUSED_SHARE:
		query_error_set(ret_error, 429,
				"the queue of \"%s\" is full, and %s has its part of it",
				name, q->head.tenant);
		break;
	case DISPATCH_REFUSED_DEADLINE:
		query_error_set(ret_error, 503,
				"the query would wait about %.3g s for a worker of "
				"\"%s\", which is beyond its deadline",
				wait, name);
		break;
	case DISPATCH_REFUSED_WAIT:
		query_error_set(
			ret_error, 503,
			"the query would wait about %.3g s for a worker of \"%s\"", wait,
			name);
		break;
	default:
		query_error_set(ret_error, 503, "%d queries wait for \"%s\" already",
				s->queue.len, name);
		break;
	}
}

bool
bounds_queue(struct dispatch *d, struct service *s, const struct query *q,
	     const struct serving *by, struct query_error *ret_error)
{
	enum dispatch_refusal why;

	if (bounds_queue_check(d, s, q, by, &why))
		return true;
	d->stats.refused[why]++;
	bounds_queue_error(s, q, by, why, ret_error);
	ret_error->node = d->config.self;
	ret_error->retry_after_s = bounds_retry_after(s, q, by);
	return false;
}
