/* SPDX-License-Identifier: Apache-2.0 */
/* The session that we drive, one at a time: its states, and how it ends.
 *
 *   ROOT -> OPEN -> SAME: the end
 *                -> APART -> SWEEP -> ROOT -> OPEN -> ...
 *                -> DIFFER -> WALK -> SETTLE -> ROOT -> OPEN, final -> ...
 *
 * A final OPEN whose roots differ still begins another pass while passes move rows. It
 * compares settled roots, for in a busy cluster whole ones hardly ever are the same; but
 * whole ones when a person asked, who is to be told the truth of that moment, and behind
 * pages, which went one way only. */
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
	x->started = x->heard = x->seen = s->now;
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

	struct sync_result *r = ret_result;
	uint64_t moved = x->result.rows_sent + x->result.rows_received;
	uint64_t found = x->result.only_here + x->result.only_there +
			 2 * x->result.differing;
	ms_t span = s->now - x->walk_started;

	*r = x->result;
	r->legs = x->legs + 2 * x->rounds;
	r->elapsed_ms = s->now -
			(x->request.request != 0 ? x->request.since : x->started);
	r->remaining_ms = -1;
	if (r->is_dry)
		return;
	if (r->rows_expected < found)
		r->rows_expected = found;
	if (r->rows_expected < moved)
		r->rows_expected = moved;
	if (moved == 0 || span <= 0)
		return;
	r->rows_s = moved * MS_SECOND / (uint64_t)span;
	r->remaining_ms = (ms_t)((r->rows_expected - moved) * (uint64_t)span / moved);
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
	if (!x->result.is_dry)
		join_ended(s, &l->node, rc, x->result.is_equal);
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
	x->horizon = s->horizon;
	f.flags = x->flags;
	f.salt = x->salt;
	f.horizon = x->horizon;
	f.epoch = (x->flags & SYNC_FLAG_WHOLE) ? 0 : x->epoch;
	f.root = x->ours;
	x->result.sent_bytes += sync_send(s, x->link, &f);
	x->is_sent = true;
	x->legs++;
	x->heard = s->now;
	x->state = SYNC_STATE_OPEN;
}

/* With the roots still different after this pass, is there no use in another? One that found
 * nothing is the end; for a person it may have been a digest that collided, so that the next
 * one, salted anew, must find nothing either. */
static bool
session_is_over(struct sync_session *x)
{
	if (!x->is_final)
		return false;
	if (x->pass_moved || x->pass_found > 0)
		x->empty_passes = 0;
	else
		x->empty_passes++;
	if (x->passes >= SYNC_PASSES_MAX)
		return true;
	if (x->empty_passes > 0)
		return x->request.request == 0 || x->empty_passes > 1;
	return !x->pass_moved;
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
	if (session_is_over(x)) {
		x->result.is_equal = x->empty_passes > 0;
		session_end(s, 0, NULL, "%s", "");
		return;
	}
	if (x->passes++ == 0)
		x->result.rows_expected = f->root.count > x->ours.count
						  ? f->root.count - x->ours.count
						  : x->ours.count - f->root.count;
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

/* Nothing was compared, for one of us has swept further than the other. */
static void
session_apart(struct sync *s, struct sync_link *l, const struct sync_frame *f)
{
	struct sync_session *x = s->session;

	x->legs++;
	if (x->state != SYNC_STATE_OPEN || x->result.is_dry || f->horizon == x->horizon) {
		sync_reject(s, l, "an APART where the horizons are the same");
	} else if (f->horizon < x->horizon) {
		x->is_known = true;
		session_end(s, -ESTALE, NULL,
			    "the other side's clock says that this node's is ahead");
	} else if (++x->sweeps > SYNC_SWEEPS_MAX) {
		session_end(s, -ESTALE, NULL, "the other side's horizon moves on and on");
	} else if (f->horizon <= s->horizon) { /* the hour is over meanwhile */
		session_read_root(s);
	} else {
		x->state = SYNC_STATE_SWEEP;
		sync_sweep(s, sync_wait_new(s, SYNC_WAIT_SWEEP, x->link, x->sid),
			   f->horizon);
	}
}

void
session_swept(struct sync *s, const struct sync_wait *wait, int rc)
{
	struct sync_session *x = s->session;

	if (x == NULL || x->sid != wait->sid)
		return;
	if (rc < 0) {
		session_end(s, -ESTALE, NULL,
			    "the other side's clock is ahead of this node's");
		return;
	}
	if ((x->flags & SYNC_FLAG_WHOLE) == 0)
		x->epoch = sync_epoch(s->wall); /* it may have taken a while */
	session_read_root(s);
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
	case SYNC_APART:
		session_apart(s, l, f);
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
	x->flags |= SYNC_FLAG_FINAL;
	/* Pages have only gone one way. */
	if (x->request.request == 0 && !x->is_paging) {
		x->epoch = sync_epoch(s->wall);
		x->flags &= (uint8_t)~SYNC_FLAG_WHOLE;
	}
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

/* The time that we spent waiting for the other side, and what went over the link meanwhile:
 * a session past its OPEN must not only live, but get on. */
static bool
session_is_trickle(struct sync *s, bool is_waiting)
{
	struct sync_session *x = s->session;
	const struct sync_result *r = &x->result;
	uint64_t bytes = r->sent_bytes + r->received_bytes + r->sent_row_bytes +
			 r->received_row_bytes;
	bool is_trickle = false;

	if (x->was_waiting)
		x->waited += s->now - x->seen;
	if (x->waited >= SYNC_TRICKLE_MS) {
		is_trickle = bytes - x->waited_bytes < SYNC_TRICKLE_BYTES;
		x->waited = 0;
		x->waited_bytes = bytes;
	}
	x->seen = s->now;
	x->was_waiting = is_waiting;
	return is_trickle;
}

void
session_tick(struct sync *s)
{
	struct sync_session *x = s->session;
	ms_t until, reply;
	bool is_waiting, is_trickle;

	if (x == NULL)
		return;
	is_waiting = x->state == SYNC_STATE_OPEN || x->asks_len > 0;
	is_trickle = session_is_trickle(s, is_waiting);
	until = x->started + SYNC_SESSION_MS;
	reply = x->heard + SYNC_REPLY_MS;
	if (s->now >= until) {
		session_end(s, -ETIMEDOUT, NULL, "not finished within %d minutes",
			    SYNC_SESSION_MS / MS_MINUTE);
	} else if (is_waiting && s->now >= reply) {
		session_end(s, -ETIMEDOUT, NULL, "no answer within %d seconds",
			    SYNC_REPLY_MS / MS_SECOND);
	} else if (is_trickle) {
		session_end(s, -ETIMEDOUT, NULL, "less than %d KiB in %d seconds",
			    SYNC_TRICKLE_BYTES / 1024, SYNC_TRICKLE_MS / MS_SECOND);
	} else {
		sync_wake(s, is_waiting && reply < until ? reply : until);
	}
}
