/* SPDX-License-Identifier: Apache-2.0 */
/* The session that we drive, one at a time: its states, and how it ends.
 *
 *   ROOT -> OPEN -> SAME: the end
 *                -> DIFFER -> WALK -> SETTLE -> ROOT -> OPEN, final -> ...
 *
 * A final OPEN whose roots differ still begins another pass while passes move rows. */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sync/core.h"

static void
session_read_root(struct sync *s)
{
	struct sync_session *x = s->session;
	struct sync_job *job = mem_calloc(1, sizeof(*job));

	job->type = SYNC_JOB_ROOT;
	job->epoch = x->epoch;
	x->state = SYNC_STATE_ROOT;
	sync_read(s, sync_wait_new(s, SYNC_WAIT_ROOT, x->link, x->sid), job);
}

void
session_begin(struct sync *s, struct sync_link *l, const struct sync_request *request,
	      enum sync_want want, bool is_random)
{
	struct sync_session *x = mem_calloc(1, sizeof(*x));

	assert(s->session == NULL && l != NULL);
	s->session = x;
	x->sid = s->next_sid++;
	x->link = l->id;
	x->want = want;
	x->is_random = is_random;
	if (request != NULL)
		x->request = *request;
	x->started = x->heard = s->now;
	x->epoch = UINT64_MAX;
	x->flags = SYNC_FLAG_WHOLE;
	if (want == SYNC_WANT_SETTLED) {
		x->epoch = sync_epoch(s->wall);
		x->flags = 0;
	}
	if (x->request.is_dry)
		x->flags |= SYNC_FLAG_DRY;
	x->result = (struct sync_result){ .request = x->request.request,
					  .link = l->id,
					  .node = l->node,
					  .is_dry = x->request.is_dry };
	x->rows_base = l->rows_received;
	session_read_root(s);
	session_tick(s);
}

void
session_free(struct sync_session *x)
{
	if (x == NULL)
		return;
	walk_clear(x);
	buf_fini(&x->names);
	free(x);
}

void
session_result(const struct sync *s, struct sync_result *ret_result)
{
	const struct sync_session *x = s->session;

	*ret_result = x->result;
	ret_result->legs = x->legs + 2 * x->rounds;
	ret_result->elapsed_ms = s->now - (x->request.request != 0 ? x->request.since
								   : x->started);
}

/* The end. */

static void
session_count(struct sync *s, const struct sync_session *x, const struct sync_result *r)
{
	if (r->rc < 0)
		s->stats.sessions_failed++;
	else
		s->stats.sessions++;
	if (r->rc == 0 && r->is_equal) {
		s->stats.last_ok = s->now;
		s->stats.sessions_equal += x->passes == 0;
	}
}

/* Tell the other side, unless it knows: its SAME or BUSY was the end. */
static void
session_say_end(struct sync *s, struct sync_link *l)
{
	struct sync_session *x = s->session;
	struct sync_frame f = { .type = SYNC_END, .sid = x->sid };

	if (x->is_sent && !x->is_known && !l->is_rejected)
		x->result.sent_bytes += sync_send(s, l->id, &f);
}

void
session_end(struct sync *s, int rc, const struct id *busy, const char *fmt, ...)
{
	struct sync_session *x = s->session;
	struct sync_link *l;
	va_list ap;

	if (x == NULL)
		return;
	l = sync_link_find(s, x->link);
	assert(l != NULL);
	if (rc != -ECONNRESET)
		session_say_end(s, l);
	session_result(s, &x->result);
	x->result.rc = rc;
	va_start(ap, fmt);
	vsnprintf(x->result.why, sizeof(x->result.why), fmt, ap);
	va_end(ap);
	sync_sids_add(l->our_sids, &l->our_sids_len, x->sid);
	s->session = NULL;
	schedule_ended(s, l, x, busy);
	if (busy == NULL || !schedule_again(s, x)) {
		session_count(s, x, &x->result);
		sync_done(s, &x->result, &x->names);
	}
	session_free(x);
}

/* OPEN and what answers it. */

static void
session_open(struct sync *s, const struct sync_made *made)
{
	struct sync_session *x = s->session;
	struct sync_frame f = { .type = SYNC_OPEN, .sid = x->sid };

	if (made->rc < 0) {
		session_end(s, made->rc, NULL, "our own table: %s", error_text(made->rc));
		return;
	}
	x->ours = made->root;
	x->salt = rng_next(&s->rng);
	f.flags = x->flags;
	f.salt = x->salt;
	f.epoch = (x->flags & SYNC_FLAG_WHOLE) ? 0 : x->epoch;
	f.root = x->ours;
	x->result.sent_bytes += sync_send(s, x->link, &f);
	x->is_sent = true;
	x->legs++;
	x->heard = s->now;
	x->state = SYNC_STATE_OPEN;
}

static void
session_differ(struct sync *s, struct sync_link *l, const struct sync_frame *f)
{
	struct sync_session *x = s->session;

	x->legs++;
	if (f->root.count > SYNC_ROWS_MAX) {
		sync_reject(s, l, "a table of %llu rows is no table",
			    (unsigned long long)f->root.count);
		return;
	}
	if (x->is_final && (!x->pass_moved || x->passes >= SYNC_PASSES_MAX)) {
		session_end(s, 0, NULL, "%s", "");
		return;
	}
	x->passes++;
	x->is_final = true; /* from now on */
	x->state = SYNC_STATE_WALK;
	walk_begin(s, f);
}

static void
session_opened(struct sync *s, struct sync_link *l, const struct sync_frame *f)
{
	struct sync_session *x = s->session;

	if (x->state != SYNC_STATE_OPEN) {
		sync_reject(s, l, "an answer to an OPEN that was not sent");
	} else if (f->type == SYNC_DIFFER) {
		session_differ(s, l, f);
	} else {
		x->legs++;
		x->is_known = true;
		x->result.is_equal = true;
		session_end(s, 0, NULL, "%s", "");
	}
}

void
session_frame(struct sync *s, struct sync_link *l, const struct sync_frame *f, size_t len)
{
	struct sync_session *x = s->session;

	if (x == NULL || x->link != l->id || x->sid != f->sid || !x->is_sent) {
		/* A session that has ended may have been answered meanwhile. */
		if (!sync_sids_has(l->our_sids, l->our_sids_len, f->sid))
			sync_reject(s, l, "an answer within no session of ours");
		return;
	}
	x->heard = s->now;
	x->result.received_bytes += len;
	x->pass_bytes += len;
	switch (f->type) {
	case SYNC_SAME:
	case SYNC_DIFFER:
		session_opened(s, l, f);
		break;
	case SYNC_ANSWER:
		if (x->state == SYNC_STATE_WALK)
			walk_answer(s, l, f);
		else
			sync_reject(s, l, "an ANSWER to nothing that was asked");
		break;
	case SYNC_BUSY:
		x->is_known = true;
		session_end(s, -EBUSY, &f->node,
			    "the other side has too many sessions just now");
		break;
	default:
		break;
	}
}

/* Between passes. */

void
session_settle(struct sync *s)
{
	struct sync_session *x = s->session;

	x->legs += 2 * x->rounds;
	x->rounds = 0;
	x->state = SYNC_STATE_SETTLE;
	sync_settle(s, sync_wait_new(s, SYNC_WAIT_SETTLE, x->link, x->sid));
}

void
session_settled(struct sync *s, const struct sync_wait *wait)
{
	struct sync_session *x = s->session;

	if (x == NULL || x->sid != wait->sid)
		return; /* it has ended */
	if (wait->type == SYNC_WAIT_PACE) {
		walk_settled(s);
		return;
	}
	x->epoch = UINT64_MAX;
	x->flags |= SYNC_FLAG_WHOLE | SYNC_FLAG_FINAL;
	session_read_root(s);
}

void
session_read_done(struct sync *s, const struct sync_wait *wait, struct sync_made *made)
{
	struct sync_session *x = s->session;

	if (x == NULL || x->sid != wait->sid)
		return;
	if (wait->type == SYNC_WAIT_ROOT)
		session_open(s, made);
	else
		walk_taken(s, wait, made);
}

void
session_tick(struct sync *s)
{
	struct sync_session *x = s->session;
	ms_t until, reply;
	bool is_waiting;

	if (x == NULL)
		return;
	is_waiting = x->state == SYNC_STATE_OPEN || x->asks_len > 0;
	until = x->started + SYNC_SESSION_MS;
	reply = x->heard + SYNC_REPLY_MS;
	if (s->now >= until) {
		session_end(s, -ETIMEDOUT, NULL, "not finished within %d minutes",
			    SYNC_SESSION_MS / MS_MINUTE);
	} else if (is_waiting && s->now >= reply) {
		session_end(s, -ETIMEDOUT, NULL, "no answer within %d seconds",
			    SYNC_REPLY_MS / MS_SECOND);
	} else {
		sync_wake(s, is_waiting && reply < until ? reply : until);
	}
}
