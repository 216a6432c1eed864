/* SPDX-License-Identifier: Apache-2.0 */
/* The descent that we drive: what is to be asked is packed into ASKs, SYNC_WINDOW of them on
 * their way; each ANSWER is taken by sync_compare(), which makes rows to send and entries
 * to ask next.
 *
 * How much a frame may ask is a guess at what answers it: an ANSWER holds 60 KiB and sends
 * 256 KiB of rows, and what it cannot answer is asked again. The guess follows what was
 * seen. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sync/core.h"

enum {
	WALK_CHILDREN_BYTES_MAX = 16 * 73, /* all 16 children differ */
	WALK_ANSWER_BYTES = SYNC_PAYLOAD_BYTES_MAX - 2 * SYNC_REPLY_BYTES_MAX,
	WALK_ANSWER_DRY_BYTES = SYNC_PAYLOAD_BYTES_MAX - SYNC_REPLY_DRY_BYTES_MAX,
	WALK_LIST_ROWS = 2, /* at first; at most SYNC_LIST_ROWS_MAX */
	WALK_ROWS = 512,    /* of one ANSWER, at first */
	WALK_ROWS_MIN = 8,
	WALK_ROWS_MAX = 4096,
};

/* What is to be asked. */

static void
walk_add(struct sync_session *x, struct bytes entries, int round, bool is_first)
{
	struct sync_chunk *chunk, **at = &x->queue;

	if (entries.len == 0)
		return;
	chunk = mem_calloc(1, sizeof(*chunk));
	buf_put_bytes(&chunk->entries, entries);
	chunk->round = round;
	while (!is_first && *at != NULL)
		at = &(*at)->next;
	chunk->next = *at;
	*at = chunk;
}

static void
walk_chunk_drop(struct sync_session *x)
{
	struct sync_chunk *chunk = x->queue;

	x->queue = chunk->next;
	buf_fini(&chunk->entries);
	free(chunk);
}

static void
walk_ask_free(struct sync_session *x, int i)
{
	buf_fini(&x->asks[i].entries);
	x->asks_len--;
	memmove(&x->asks[i], &x->asks[i + 1],
		(size_t)(x->asks_len - i) * sizeof(x->asks[0]));
}

void
walk_clear(struct sync_session *x)
{
	while (x->queue != NULL)
		walk_chunk_drop(x);
	while (x->asks_len > 0)
		walk_ask_free(x, x->asks_len - 1);
	while (x->held != NULL) {
		struct sync_held *held = x->held;

		x->held = held->next;
		sync_job_free(held->job);
		free(held);
	}
}

/* ASKs. */

static void
walk_weigh(const struct sync_session *x, const struct sync_entry *e, size_t *ret_bytes,
	   uint64_t *ret_rows)
{
	*ret_bytes = 200;
	*ret_rows = 0;
	switch (e->type) {
	case SYNC_CHILDREN:
		*ret_bytes = x->children_bytes;
		break;
	case SYNC_LIST:
	case SYNC_REST:
		*ret_rows = x->list_rows;
		break;
	case SYNC_MORE:
		*ret_bytes = x->result.is_dry ? SYNC_REPLY_DRY_BYTES_MAX : 200;
		break;
	case SYNC_WANT:
		*ret_rows = (uint64_t)e->n;
		break;
	case SYNC_NAME:
		*ret_bytes = (size_t)e->n * (1 + SYNC_KEY_BYTES_MAX);
		break;
	default:
		break;
	}
}

struct walk_pack {
	struct sync_pending_ask *ask;
	size_t bytes; /* of the answer, as guessed */
	uint64_t rows;
};

/* Is there room for the next entry? */
static bool
walk_pack_entry(struct sync_session *x, struct walk_pack *p)
{
	struct sync_chunk *chunk = x->queue;
	struct reader r = reader_of(bytes_of(chunk->entries.data + chunk->at,
					     chunk->entries.len - chunk->at));
	size_t left = r.len, bytes, len;
	struct sync_entry e;
	uint64_t rows;
	const char *why;
	int rc = sync_entry_read(&r, x->result.is_dry, &e, &why);

	assert(rc == 0); /* we made it */
	len = left - r.len;
	walk_weigh(x, &e, &bytes, &rows);
	if (p->ask->n > 0 &&
	    (chunk->round != p->ask->round ||
	     SYNC_ASK_BYTES + p->ask->entries.len + len > SYNC_PAYLOAD_BYTES_MAX ||
	     p->bytes + bytes >
		     (x->result.is_dry ? WALK_ANSWER_DRY_BYTES : WALK_ANSWER_BYTES) ||
	     p->rows + rows > x->rows_max))
		return false;
	buf_put(&p->ask->entries, chunk->entries.data + chunk->at, len);
	p->ask->n++;
	p->bytes += bytes;
	p->rows += rows;
	p->ask->round = chunk->round;
	chunk->at += len;
	if (chunk->at == chunk->entries.len)
		walk_chunk_drop(x);
	return true;
}

static void
walk_ask(struct sync *s)
{
	struct sync_session *x = s->session;
	struct sync_pending_ask *ask = &x->asks[x->asks_len];
	struct walk_pack pack = { .ask = ask };
	struct sync_frame f = { .type = SYNC_ASK, .sid = x->sid, .salt = x->salt };

	*ask = (struct sync_pending_ask){ .seq = x->next_seq++ };
	while (x->queue != NULL && walk_pack_entry(x, &pack))
		;
	if (x->unsettled_bytes > SYNC_UNSETTLED_BYTES_MAX && !x->is_settling) {
		ask->is_settling = x->is_settling = true;
		x->unsettled_bytes = 0;
		f.flags |= SYNC_FLAG_SETTLE;
	}
	if (x->result.is_dry)
		f.flags |= SYNC_FLAG_DRY;
	if (x->asks_len++ == 0)
		x->heard = s->now;
	if (ask->round > x->rounds)
		x->rounds = ask->round;
	f.seq = ask->seq;
	f.entries = buf_bytes(&ask->entries);
	x->result.sent_bytes += sync_send(s, x->link, &f);
}

void
walk_pump(struct sync *s)
{
	struct sync_session *x = s->session;

	if (x == NULL || x->state != SYNC_STATE_WALK || x->is_pacing)
		return;
	while (x->queue != NULL && x->asks_len < SYNC_WINDOW)
		walk_ask(s);
	/* One without entries, for the sake of its flag. */
	if (x->held != NULL && x->asks_len == 0 && !x->is_settling)
		walk_ask(s);
	if (x->asks_len > 0 || x->reads > 0 || x->held != NULL)
		return;
	if (x->is_paging)
		join_read_all(s, &x->result.node);
	if (!x->result.is_dry) {
		session_settle(s);
		return;
	}
	x->result.is_equal = x->result.only_here + x->result.only_there +
				     x->result.differing ==
			     0;
	session_end(s, 0, NULL, "%s", "");
}

/* Taking. */

static bool
walk_is_held(const struct sync_session *x)
{
	return x->unsettled_bytes > SYNC_UNSETTLED_BYTES_MAX;
}

static void
walk_read(struct sync *s, struct sync_job *job, int round)
{
	struct sync_session *x = s->session;
	struct sync_wait *wait = sync_wait_new(s, SYNC_WAIT_TAKE, x->link, x->sid);

	wait->round = round;
	x->reads++;
	sync_read(s, wait, job);
}

/* Now, or once their store has caught up with what we sent. */
static void
walk_take(struct sync *s, struct sync_job *job, int round, bool is_first)
{
	struct sync_session *x = s->session;
	struct sync_held *held, **at = &x->held;

	if (!walk_is_held(x) && (x->held == NULL || is_first)) {
		walk_read(s, job, round);
		return;
	}
	held = mem_calloc(1, sizeof(*held));
	held->job = job;
	held->round = round;
	while (!is_first && *at != NULL)
		at = &(*at)->next;
	held->next = *at;
	*at = held;
}

static void
walk_release(struct sync *s)
{
	struct sync_session *x = s->session;

	/* One at a time: what it makes may be too much again. */
	if (x->held != NULL && x->reads == 0 && !walk_is_held(x)) {
		struct sync_held *held = x->held;

		x->held = held->next;
		walk_read(s, held->job, held->round);
		free(held);
	}
}

static struct sync_job *
walk_job(const struct sync_session *x)
{
	struct sync_job *job = mem_calloc(1, sizeof(*job));

	job->type = SYNC_JOB_TAKE;
	job->is_dry = x->result.is_dry;
	job->salt = x->salt;
	job->names_max = SYNC_NAMED_MAX - x->result.named_len;
	return job;
}

void
walk_begin(struct sync *s, const struct sync_frame *differ)
{
	struct sync_session *x = s->session;
	struct sync_node top = { .depth = 0 };
	uint8_t cursor[SYNC_K_BYTES];
	struct buf entry = BUF_INIT;
	struct sync_job *job;

	x->theirs = differ->root.count;
	x->pass_bytes = 0;
	x->pass_moved = false;
	x->pass_found = 0;
	if (x->passes == 1)
		x->walk_started = s->now;
	x->children_bytes = WALK_CHILDREN_BYTES_MAX;
	x->list_rows = WALK_LIST_ROWS;
	x->rows_max = WALK_ROWS;
	x->is_paging = join_begin(s, x->theirs, cursor);
	if (x->is_paging) {
		sync_entry_put(&entry, SYNC_PAGE, &top);
		buf_put(&entry, cursor, SYNC_K_BYTES);
		walk_add(x, buf_bytes(&entry), 1, false);
		buf_fini(&entry);
		walk_pump(s);
		return;
	}
	job = walk_job(x);
	job->is_opening = true;
	buf_put_bytes(&job->entries, differ->entries);
	walk_take(s, job, 0, false);
}

/* ANSWERs. */

/* The first `n` entries end where? */
static size_t
walk_entries_len(const struct sync_session *x, const struct buf *entries, int n)
{
	struct reader r = reader_of(buf_bytes(entries));
	struct sync_entry e;
	const char *why;

	for (int i = 0; i < n; i++) {
		int rc = sync_entry_read(&r, x->result.is_dry, &e, &why);

		assert(rc == 0);
	}
	return entries->len - r.len;
}

static void
walk_learn(struct sync_session *x, const struct sync_pending_ask *ask,
	   const struct sync_frame *f)
{
	size_t bytes;
	uint64_t rows;

	if (f->answered == 0)
		return;
	bytes = f->entries.len / f->answered * 5 / 4 + 20;
	rows = f->rows / f->answered + 1;
	x->children_bytes = bytes < WALK_CHILDREN_BYTES_MAX ? bytes
							    : WALK_CHILDREN_BYTES_MAX;
	x->list_rows = rows < SYNC_LIST_ROWS_MAX ? rows : SYNC_LIST_ROWS_MAX;
	if (f->answered < ask->n && f->rows > 0)
		x->rows_max = f->rows;
	else if (f->rows > x->rows_max / 2)
		x->rows_max *= 2;
	if (x->rows_max < WALK_ROWS_MIN)
		x->rows_max = WALK_ROWS_MIN;
	if (x->rows_max > WALK_ROWS_MAX)
		x->rows_max = WALK_ROWS_MAX;
}

/* What contradicts itself or what went before; NULL when nothing does. */
static const char *
walk_answer_wrong(const struct sync_session *x, const struct sync_link *l,
		  const struct sync_pending_ask *ask, const struct sync_frame *f)
{
	if (f->answered > ask->n || (f->answered == 0 && ask->n > 0))
		return "an ANSWER answers none of the entries, or more than were asked";
	if (f->answered == 0 && f->entries.len > 0)
		return "an ANSWER to an ASK without entries has some";
	if (x->result.is_dry && f->rows > 0)
		return "an ANSWER of a comparison has rows";
	/* They came before it, on the same link. */
	if (f->rows > l->rows_received - x->rows_base - x->told_rows)
		return "an ANSWER tells of more rows than came";
	if (x->pass_bytes > sync_discovery_max(x->ours.count, x->theirs))
		return "more was said to find the differences than the two tables' rows allow";
	return NULL;
}

static int
walk_find_ask(const struct sync_session *x, uint16_t seq)
{
	for (int i = 0; i < x->asks_len; i++)
		if (x->asks[i].seq == seq)
			return i;
	return -1;
}

/* Let our own store catch up with what came. */
static void
walk_pace(struct sync *s)
{
	struct sync_session *x = s->session;

	if (x->is_pacing || ++x->unsettled_answers < SYNC_UNSETTLED_ANSWERS_MAX)
		return;
	x->is_pacing = true;
	sync_settle(s, sync_wait_new(s, SYNC_WAIT_PACE, x->link, x->sid));
}

void
walk_settled(struct sync *s)
{
	s->session->is_pacing = false;
	s->session->unsettled_answers = 0;
	walk_pump(s);
}

void
walk_answer(struct sync *s, struct sync_link *l, const struct sync_frame *f)
{
	struct sync_session *x = s->session;
	int i = walk_find_ask(x, f->seq);
	struct sync_pending_ask *ask = &x->asks[i < 0 ? 0 : i];
	const char *why;
	struct sync_job *job;
	size_t len;

	why = i < 0 ? "an ANSWER to nothing that was asked"
		    : walk_answer_wrong(x, l, ask, f);
	if (why != NULL) {
		sync_reject(s, l, "%s", why);
		return;
	}
	walk_learn(x, ask, f);
	x->told_rows += f->rows;
	x->result.rows_received += f->rows;
	x->pass_moved |= f->rows > 0;
	if (x->is_paging)
		join_rows(s, f->rows);
	if (ask->is_settling)
		x->is_settling = false;
	len = walk_entries_len(x, &ask->entries, f->answered);
	walk_add(x, bytes_of(ask->entries.data + len, ask->entries.len - len),
		 ask->round + 1, true);
	if (f->entries.len > 0 || f->rows > 0) {
		job = walk_job(x);
		job->told_rows = f->rows;
		buf_put_bytes(&job->entries, f->entries);
		buf_put(&job->asked, ask->entries.data, len);
		walk_take(s, job, ask->round, false);
	}
	walk_ask_free(x, i);
	walk_release(s);
	if (f->rows > 0)
		walk_pace(s);
	walk_pump(s);
}

static void
walk_tally(struct sync_session *x, struct sync_made *made)
{
	struct sync_result *r = &x->result;

	x->pass_found += made->only_here + made->only_there + made->differing;
	r->only_here += made->only_here;
	r->only_there += made->only_there;
	r->differing += made->differing;
	if (r->named_len < SYNC_NAMED_MAX) {
		buf_put_bytes(&x->names, buf_bytes(&made->names));
		r->named_len += made->names_len;
	}
}

/* `next`: the PAGE to be asked for; nothing behind the last one. */
static void
walk_page(struct sync *s, struct bytes next)
{
	struct reader r = reader_of(next);
	struct sync_entry e;
	const char *why;

	if (next.len > 0 && sync_entry_read(&r, false, &e, &why) == 0)
		join_go_on(s, e.from);
}

void
walk_taken(struct sync *s, const struct sync_wait *wait, struct sync_made *made)
{
	struct sync_session *x = s->session;
	struct sync_job *job;

	x->reads--;
	if (made->why[0] != '\0') {
		sync_reject(s, sync_link_find(s, x->link), "%s", made->why);
		return;
	}
	if (made->rc < 0) {
		session_end(s, made->rc, NULL, "our own table: %s", error_text(made->rc));
		return;
	}
	walk_tally(x, made);
	if (made->rows_len > 0) {
		x->pass_moved = true;
		x->unsettled_bytes += made->rows.len;
		x->result.rows_sent += made->rows_len;
		x->result.sent_row_bytes += made->rows.len;
		sync_send_rows(s, x->link, made);
	}
	if (x->is_paging)
		walk_page(s, buf_bytes(&made->out));
	walk_add(x, buf_bytes(&made->out), wait->round + 1, false);
	if (made->rest.len > 0) {
		job = walk_job(x);
		job->is_checked = true;
		job->entries = made->rest;
		made->rest = BUF_INIT;
		walk_take(s, job, wait->round, true);
	}
	walk_release(s);
	walk_pump(s);
}
