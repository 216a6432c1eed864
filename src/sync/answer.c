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

/* Places. There are few, and a node that wants one again and again shall not have it all the
 * time while others are told BUSY. */

static struct sync_turn *
answer_turn_find(struct sync *s, const struct id *node)
{
	for (int i = 0; i < SYNC_TURNS; i++)
		if (id_equal(&s->turns[i].node, node))
			return &s->turns[i];
	return NULL;
}

static void
answer_turn_begin(struct sync *s, struct sync_link *l)
{
	struct sync_turn *turn = answer_turn_find(s, &l->node);

	for (int i = 0; turn == NULL && i < SYNC_TURNS; i++)
		if (s->turns[i].until < INT64_MAX)
			turn = &s->turns[i];
	for (int i = 0; i < SYNC_TURNS; i++)
		if (!id_equal(&turn->node, &l->node) && s->turns[i].until < turn->until)
			turn = &s->turns[i];
	*turn = (struct sync_turn){ l->node, s->now, INT64_MAX };
	l->is_refused = false;
}

/* How many others were refused during the link's last turn, and will be back? */
static int
answer_waiting(struct sync *s, const struct sync_link *l)
{
	const struct sync_turn *turn = answer_turn_find(s, &l->node);
	const struct sync_link *o;
	int n = 0;

	for (o = s->links; turn != NULL && o != NULL; o = o->hh.next)
		n += o != l && o->is_refused && !o->is_rejected &&
		     o->refused_at > turn->from && o->refused_at < turn->until &&
		     s->now - o->refused_at < SYNC_BUSY_WAIT_MS;
	return n;
}

static bool
answer_is_room(struct sync *s, const struct sync_link *l)
{
	const struct sync_link *o;
	int n = answer_waiting(s, l);

	for (o = s->links; o != NULL; o = o->hh.next)
		n += o->inbound.is_open;
	return n < SYNC_INBOUND_MAX;
}

void
answer_close(struct sync *s, struct sync_link *l)
{
	struct sync_turn *turn = answer_turn_find(s, &l->node);

	if (!l->inbound.is_open)
		return;
	l->inbound.is_open = false;
	sync_sids_add(l->sids, &l->sids_len, l->inbound.sid);
	if (turn != NULL)
		turn->until = s->now;
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

static bool
answer_turn_is_over(struct sync *s, const struct sync_link *l)
{
	const struct sync_turn *turn = answer_turn_find(s, &l->node);

	return turn != NULL && s->now - turn->from >= SYNC_TURN_MS &&
	       answer_waiting(s, l) > 0;
}

void
answer_tick(struct sync *s)
{
	struct sync_link *l;

	for (l = s->links; l != NULL; l = l->hh.next) {
		ms_t until = l->inbound.heard + SYNC_INBOUND_IDLE_MS;

		if (!l->inbound.is_open)
			continue;
		if (answer_turn_is_over(s, l)) {
			answer_close(s, l);
			answer_busy(s, l, l->inbound.sid);
		} else if (l->under_way == 0 && s->now >= until) {
			answer_close(s, l);
		} else if (l->under_way == 0) {
			sync_wake(s, until);
		}
	}
}

/* Admission. */

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
	answer_close(s, l); /* the peer has given that one up */
	if (!answer_is_room(s, l)) {
		/* A late ASK of it is none of a session unheard of. */
		sync_sids_add(l->sids, &l->sids_len, sid);
		l->is_refused = true;
		l->refused_at = s->now;
		answer_busy(s, l, sid);
		return false;
	}
	l->inbound = (struct sync_inbound){ .is_open = true, .sid = sid };
	answer_turn_begin(s, l);
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
		answer_close(s, l);
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
			answer_close(s, l);
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
		answer_close(s, l);
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
		answer_close(s, l);
		answer_busy(s, l, wait->sid);
	} else if (wait->type == SYNC_WAIT_OPEN) {
		answer_opened(s, l, wait, made);
	} else {
		answer_answer(s, l, wait, made);
	}
}
