/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that others drive. Nothing of a table is kept between their frames: an ASK says
 * all that its ANSWER is made of. What is kept bounds them: how many there are, how often
 * they are opened, what they ask. */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sync/core.h"

static void
answer_send(struct sync *s, const struct sync_link *l, struct sync_frame *f, uint32_t sid)
{
	f->sid = sid;
	sync_send(s, l->id, f);
}

void
answer_close(struct sync_link *l)
{
	if (!l->inbound.is_open)
		return;
	l->inbound.is_open = false;
	sync_sids_add(l->sids, &l->sids_len, l->inbound.sid);
}

void
answer_tick(struct sync *s)
{
	struct sync_link *l;

	for (l = s->links; l != NULL; l = l->hh.next) {
		ms_t until = l->inbound.heard + SYNC_INBOUND_IDLE_MS;

		if (!l->inbound.is_open || l->under_way > 0)
			continue;
		if (s->now >= until)
			answer_close(l);
		else
			sync_wake(s, until);
	}
}

/* Admission. */

static bool
answer_is_room(const struct sync *s)
{
	const struct sync_link *l;
	int n = 0;

	for (l = s->links; l != NULL; l = l->hh.next)
		n += l->inbound.is_open;
	return n < SYNC_INBOUND_MAX;
}

static void
answer_busy(struct sync *s, const struct sync_link *l, uint32_t sid)
{
	struct sync_frame f = { .type = SYNC_BUSY };
	const struct sync_link *other;
	uint64_t n = 0;

	for (other = s->links; other != NULL; other = other->hh.next)
		if (other != l && !other->is_rejected && rng_below(&s->rng, ++n) == 0)
			f.node = other->node;
	s->stats.busy++;
	answer_send(s, l, &f, sid);
}

/* A token bucket: each OPEN moves a moment SYNC_OPENS_EVERY_MS ahead, and that may be as
 * far ahead of now as the burst. */
static bool
answer_is_too_fast(struct sync *s, struct sync_link *l)
{
	if (l->opens_until < s->now)
		l->opens_until = s->now;
	if (l->opens_until - s->now >= SYNC_OPENS_BURST * SYNC_OPENS_EVERY_MS)
		return true;
	l->opens_until += SYNC_OPENS_EVERY_MS;
	return false;
}

static bool
answer_admit(struct sync *s, struct sync_link *l, uint32_t sid)
{
	if (l->inbound.is_open && l->inbound.sid == sid)
		return true;
	answer_close(l); /* the peer has given that one up */
	if (!answer_is_room(s)) {
		/* A late ASK of it is none of a session unheard of. */
		sync_sids_add(l->sids, &l->sids_len, sid);
		answer_busy(s, l, sid);
		return false;
	}
	l->inbound = (struct sync_inbound){ .is_open = true, .sid = sid };
	return true;
}

static struct sync_wait *
answer_wait(struct sync *s, struct sync_link *l, enum sync_wait_type type,
	    const struct sync_frame *f, bool is_final)
{
	struct sync_wait *wait = sync_wait_new(s, type, l->id, f->sid);

	wait->seq = f->seq;
	wait->is_final = is_final;
	l->inbound.heard = s->now;
	l->under_way++;
	return wait;
}

/* READ, at once or when what came before is merged. */
static void
answer_read(struct sync *s, struct sync_wait *wait, struct sync_job *job)
{
	wait->job = NULL;
	if (!wait->is_final) {
		sync_read(s, wait, job);
		return;
	}
	wait->job = job;
	sync_settle(s, wait);
}

/* The horizons are not the same: who has the lower one sweeps before anything else. */
static void
answer_apart(struct sync *s, struct sync_link *l, uint32_t sid, uint64_t theirs)
{
	struct sync_frame f = { .type = SYNC_APART, .horizon = s->horizon };

	if (s->horizon < theirs) /* and so the end */
		answer_close(l);
	answer_send(s, l, &f, sid);
}

bool
answer_swept(struct sync *s, struct sync_wait *wait)
{
	struct sync_link *l = sync_link_find(s, wait->link);

	if (l == NULL)
		return false;
	l->inbound.heard = s->now;
	if (l->is_rejected || !l->inbound.is_open || l->inbound.sid != wait->sid) {
		l->under_way--;
	} else if (s->horizon != wait->horizon) { /* not believed, or the hour is over */
		l->under_way--;
		answer_apart(s, l, wait->sid, wait->horizon);
	} else {
		answer_read(s, wait, wait->job);
		return true;
	}
	return false;
}

static struct sync_job *
answer_open_job(const struct sync *s, const struct sync_frame *f)
{
	struct sync_job *job = mem_calloc(1, sizeof(*job));
	uint64_t epoch = sync_epoch(s->wall);

	job->type = SYNC_JOB_OPEN;
	job->is_dry = (f->flags & SYNC_FLAG_DRY) != 0;
	job->salt = f->salt;
	job->theirs = f->root;
	job->epoch = f->epoch;
	/* Of another time no settled root is known any more. */
	if ((f->flags & SYNC_FLAG_WHOLE) || f->epoch + SYNC_EPOCHS_APART_MAX < epoch ||
	    f->epoch > epoch + SYNC_EPOCHS_APART_MAX)
		job->epoch = UINT64_MAX;
	return job;
}

static void
answer_open(struct sync *s, struct sync_link *l, const struct sync_frame *f)
{
	bool is_dry = (f->flags & SYNC_FLAG_DRY) != 0;
	struct sync_wait *wait;

	if (answer_is_too_fast(s, l)) {
		sync_reject(s, l, "sessions are opened faster than one in %d ms",
			    SYNC_OPENS_EVERY_MS);
		return;
	}
	if (f->root.count > SYNC_ROWS_MAX) {
		sync_reject(s, l, "a table of %llu rows is no table",
			    (unsigned long long)f->root.count);
		return;
	}
	s->stats.sessions_answered += !l->inbound.is_open || l->inbound.sid != f->sid;
	if (!answer_admit(s, l, f->sid))
		return;
	l->inbound.theirs = f->root.count;
	l->inbound.asks = l->inbound.bytes = 0;
	/* Until our own count is known. */
	l->inbound.asks_max = l->inbound.bytes_max = UINT64_MAX;
	if (!is_dry && f->horizon < s->horizon) {
		l->inbound.heard = s->now;
		answer_apart(s, l, f->sid, f->horizon);
		return;
	}
	wait = answer_wait(s, l, SYNC_WAIT_OPEN, f, (f->flags & SYNC_FLAG_FINAL) != 0);
	if (is_dry || f->horizon == s->horizon) {
		answer_read(s, wait, answer_open_job(s, f));
		return;
	}
	wait->job = answer_open_job(s, f);
	sync_sweep(s, wait, f->horizon);
}

static void
answer_ask(struct sync *s, struct sync_link *l, const struct sync_frame *f, size_t len)
{
	struct sync_inbound *in = &l->inbound;
	bool is_known = sync_sids_has(l->sids, l->sids_len, f->sid);
	struct sync_job *job;

	if ((!in->is_open || in->sid != f->sid) && !is_known) {
		sync_reject(s, l, "an ASK of a session that was not opened");
		return;
	}
	if (in->is_open && in->sid != f->sid)
		return;	    /* late: another one was opened since */
	if (!in->is_open) { /* forgotten, for it was idle */
		struct sync_inbound before = *in;

		if (!answer_admit(s, l, f->sid))
			return;
		if (before.sid == f->sid)
			*in = before;
		in->is_open = true;
	}
	in->asks++;
	in->bytes += len;
	if (in->asks > in->asks_max || in->bytes > in->bytes_max) {
		sync_reject(s, l, "more was asked than the two tables' rows allow");
		return;
	}
	job = mem_calloc(1, sizeof(*job));
	job->type = SYNC_JOB_ANSWER;
	job->is_dry = (f->flags & SYNC_FLAG_DRY) != 0;
	job->salt = f->salt;
	buf_put_bytes(&job->entries, f->entries);
	answer_read(
		s,
		answer_wait(s, l, SYNC_WAIT_ASK, f, (f->flags & SYNC_FLAG_SETTLE) != 0),
		job);
}

void
answer_frame(struct sync *s, struct sync_link *l, const struct sync_frame *f, size_t len)
{
	if (f->type == SYNC_END) {
		if (l->inbound.is_open && l->inbound.sid == f->sid)
			answer_close(l);
	} else if (l->under_way >= SYNC_WINDOW) {
		sync_reject(s, l, "more than %d ASKs at a time", SYNC_WINDOW);
	} else if (f->type == SYNC_OPEN) {
		answer_open(s, l, f);
	} else {
		answer_ask(s, l, f, len);
	}
}

/* Answers. */

static void
answer_opened(struct sync *s, struct sync_link *l, const struct sync_wait *wait,
	      const struct sync_made *made)
{
	struct sync_frame f = { .type = SYNC_SAME };
	struct sync_inbound *in = &l->inbound;

	if (made->is_same) {
		l->differs = 0;
		s->stats.last_ok = s->now;
		answer_close(l);
		answer_send(s, l, &f, wait->sid);
		return;
	}
	in->bytes_max = sync_discovery_max(made->root.count, in->theirs);
	in->asks_max = SYNC_ASKS_BASE + made->root.count + in->theirs;
	f.type = SYNC_DIFFER;
	f.root.count = made->root.count;
	f.entries = buf_bytes(&made->out);
	answer_send(s, l, &f, wait->sid);
}

static void
answer_answer(struct sync *s, const struct sync_link *l, const struct sync_wait *wait,
	      const struct sync_made *made)
{
	struct sync_frame f = { .type = SYNC_ANSWER, .seq = wait->seq };

	f.answered = (uint16_t)made->handled;
	f.rows = (uint32_t)made->rows_len;
	f.entries = buf_bytes(&made->out);
	sync_send_rows(s, l->id, made);
	answer_send(s, l, &f, wait->sid);
}

void
answer_read_done(struct sync *s, const struct sync_wait *wait, struct sync_made *made)
{
	struct sync_link *l = sync_link_find(s, wait->link);

	if (l == NULL)
		return;
	l->under_way--;
	if (l->is_rejected || !l->inbound.is_open || l->inbound.sid != wait->sid)
		return; /* ended meanwhile */
	l->inbound.heard = s->now;
	if (made->why[0] != '\0') {
		sync_reject(s, l, "%s", made->why);
	} else if (made->rc < 0) { /* our table cannot be read just now */
		answer_close(l);
		answer_busy(s, l, wait->sid);
	} else if (wait->type == SYNC_WAIT_OPEN) {
		answer_opened(s, l, wait, made);
	} else {
		answer_answer(s, l, wait, made);
	}
}
