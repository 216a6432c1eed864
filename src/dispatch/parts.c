/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and replies in parts, and the credits that bound them.
 *
 * Of a body the asker may give LIMIT_PARTS_WINDOW parts beyond those that were passed on to
 * a run, so that what waits is bounded; what was passed on is kept beside it while another
 * run might need it, up to DISPATCH_KEEP_BYTES_MAX and while all bodies together stay below
 * the configured bound. Of a reply nothing is held here: its parts go straight out, and its
 * sender waits for the credits of whoever reads them. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/core.h"

static struct part *
part_new(struct bytes data, bool is_last)
{
	struct part *part = mem_alloc(sizeof(*part) + data.len);

	part->refs = 1;
	part->is_last = is_last;
	part->len = data.len;
	if (data.len > 0)
		memcpy(part->data, data.data, data.len);
	return part;
}

void
part_release(struct part *part)
{
	if (part != NULL && --part->refs == 0)
		free(part);
}

bool
body_init(struct dispatch *d, struct query *q, struct query_error *ret_error)
{
	uint64_t window = (uint64_t)LIMIT_PARTS_WINDOW * LIMIT_PART_BYTES_MAX;
	uint64_t len = q->head.body_len < 0 ? window : (uint64_t)q->head.body_len;

	q->body.granted = LIMIT_PARTS_WINDOW;
	q->body.is_whole = q->head.body_len == 0;
	q->body.is_kept = true;
	if (len > window)
		len = window;
	return len == 0 || bounds_hold(d, q, len, ret_error);
}

/* Release the parts before `end`. */
static void
body_release(struct dispatch *d, struct query *q, int64_t end)
{
	struct body *b = &q->body;
	int n = (int)(end - b->first), left = (int)(b->received - end);

	assert(n >= 0 && left >= 0);
	for (int i = 0; i < n; i++) {
		b->held_bytes -= b->parts[i]->len;
		d->stats.buffered_bytes -= b->parts[i]->len;
		part_release(b->parts[i]);
	}
	if (left > 0 && n > 0)
		memmove(b->parts, b->parts + n, (size_t)left * sizeof(b->parts[0]));
	b->first = end;
}

void
body_fini(struct dispatch *d, struct query *q)
{
	body_release(d, q, q->body.received);
	assert(q->body.held_bytes == 0);
	bounds_release(d, q);
	free(q->body.parts);
	q->body.parts = NULL;
	q->body.cap = 0;
}

bool
body_can_replay(const struct query *q)
{
	return q->body.first == 0;
}

void
body_forget_sent(struct dispatch *d, struct query *q)
{
	q->body.is_kept = false;
	if (q->run != NULL && q->run->sent > q->body.first)
		body_release(d, q, q->run->sent);
}

/* Why this part cannot be: a status and a text, or 0. */
static int
body_check(const struct dispatch *d, const struct query *q,
	   const struct dispatch_event *e, const char **ret_why)
{
	const struct body *b = &q->body;
	uint64_t bytes = b->bytes + e->data.len;
	int64_t len = q->head.body_len;

	if (e->data.len > LIMIT_PART_BYTES_MAX || (e->data.len == 0 && !e->is_last)) {
		*ret_why = "a part of the body has a length that no part may have";
		return 400;
	}
	if (e->data.len > 0 && b->received >= b->granted) {
		*ret_why = "more of the body was sent than was asked for";
		return 400;
	}
	if (bytes > (uint64_t)d->config.body_bytes_max) {
		*ret_why = "the body is longer than http.max_body allows";
		return 413;
	}
	if (len >= 0 &&
	    (bytes > (uint64_t)len || (e->is_last && bytes < (uint64_t)len))) {
		*ret_why = "the body is not as long as was announced";
		return 400;
	}
	return 0;
}

void
body_event(struct dispatch *d, struct query *q, const struct dispatch_event *e)
{
	struct body *b = &q->body;
	const char *why = NULL;
	struct query_error error;
	int status, n;

	if (b->is_whole)
		return;
	status = body_check(d, q, e, &why);
	if (status != 0) {
		query_error_set(&error, status, "%s", why);
		query_end_error(d, q, &error, true);
		return;
	}
	n = (int)(b->received - b->first);
	if (n == b->cap) {
		b->cap = b->cap * 2 + 4;
		b->parts = mem_realloc(b->parts, (size_t)b->cap, sizeof(b->parts[0]));
	}
	b->parts[n] = part_new(e->data, e->is_last);
	b->received++;
	b->bytes += e->data.len;
	b->held_bytes += e->data.len;
	d->stats.buffered_bytes += e->data.len;
	b->is_whole = e->is_last;
	body_flush(d, q);
}

/* Passed parts stay for another run while that is possible and there is room. */
static void
body_flush_keep(struct dispatch *d, struct query *q)
{
	struct body *b = &q->body;

	/* The parts that one of two runs was sent the other may lack still. */
	if (q->hedge != NULL)
		return;
	if (q->has_reply || b->held_bytes > DISPATCH_KEEP_BYTES_MAX ||
	    d->stats.buffered_bytes > d->config.buffer_bytes_max)
		b->is_kept = false;
	if (!b->is_kept)
		body_forget_sent(d, q);
}

static void
body_flush_run(struct dispatch *d, struct query *q, struct run *run)
{
	struct body *b = &q->body;

	while (run->sent < b->received) {
		struct part *part = b->parts[run->sent - b->first];
		struct dispatch_action a = {
			.type = DISPATCH_ACTION_RUN_BODY,
			.run = run->id,
			.link = run->link,
			.worker_id = run->worker != NULL ? run->worker->id : 0,
		};

		assert(run->sent >= b->first);
		if (part->len > 0 && run->credit == 0)
			break;
		run->credit -= part->len > 0;
		dispatch_act(d, &a, part);
		run->sent++;
	}
	if (run->sent > b->passed)
		b->passed = run->sent;
}

void
body_flush(struct dispatch *d, struct query *q)
{
	struct body *b = &q->body;
	int want;

	if (q->run == NULL || !q->run->is_open)
		return;
	body_flush_run(d, q, q->run);
	if (q->hedge != NULL)
		body_flush_run(d, q, q->hedge);
	body_flush_keep(d, q);
	want = (int)(LIMIT_PARTS_WINDOW + b->passed - b->granted);
	if (want > 0 && !b->is_whole) {
		b->granted += want;
		act_query(d, DISPATCH_ACTION_WANT, q, want);
	}
}

/* Replies. */

void
reply_credit(struct dispatch *d, struct query *q, int parts)
{
	struct run *run = q->run;

	if (run == NULL || !run->is_open || parts <= 0)
		return;
	if (parts > run->outstanding)
		parts = run->outstanding;
	run->outstanding -= parts;
	if (parts > 0)
		act_run(d, DISPATCH_ACTION_RUN_CREDIT, run, parts);
}

/* The run sent what it must not; the query ends, and so does the run. */
static void
reply_broken(struct dispatch *d, struct run *run, const char *what)
{
	struct query_error error;
	char who[WHO_SIZE];

	query_error_set(&error, 502, "%s %s", run_who(d, run, who), what);
	error.is_taken = true;
	query_end_error(d, run->query, &error, true);
}

static bool
reply_head_fits(const struct reply_head *head)
{
	return head->headers.len <= QUERY_HEADERS_MAX &&
	       reply_head_len(head) <= QUERY_HEAD_BYTES_MAX;
}

void
reply_head_event(struct dispatch *d, struct run *run, const struct reply_head *head)
{
	struct query *q = run->query;
	struct reply_head reply = *head;
	struct dispatch_action a = {
		.type = DISPATCH_ACTION_HEAD,
		.link = q->key.link,
		.query = q->key.query,
		.reply = &reply,
	};

	if (q->has_reply) {
		reply_broken(d, run, "sent a second head of its reply");
		return;
	}
	/* The node behind the link may have had it from another. */
	if (run->link == 0 || id_is_zero(&reply.node))
		reply.node = run->node;
	if (run->worker != NULL)
		reply.worker = run->worker->name;
	if (reply.status < 200 || reply.status > 599 || !reply_head_fits(&reply)) {
		reply_broken(d, run, "sent a head of its reply that cannot be passed on");
		return;
	}
	q->has_reply = true;
	hedge_seen(d, q, run);
	dispatch_act(d, &a, NULL);
	body_flush_keep(d, q);
}

void
reply_data_event(struct dispatch *d, struct run *run, struct bytes data, bool is_last)
{
	struct query *q = run->query;
	struct dispatch_action a = {
		.type = DISPATCH_ACTION_DATA,
		.link = q->key.link,
		.query = q->key.query,
	};
	struct part *part;

	if (data.len == 0 && !is_last)
		return;
	if (data.len > LIMIT_PART_BYTES_MAX ||
	    (data.len > 0 && ++run->outstanding > LIMIT_PARTS_WINDOW)) {
		reply_broken(d, run, "sent more of its reply than was asked for");
		return;
	}
	if (!q->has_reply) {
		struct reply_head head = { .status = 200 };

		reply_head_event(d, run, &head);
	}
	if (is_last)
		load_tell(d, q, run->worker != NULL);
	part = part_new(data, is_last);
	dispatch_act(d, &a, part);
	part_release(part);
	if (!is_last)
		return;
	if (run->worker != NULL) {
		service_observe(d, q->head.service, d->now - run->since);
		pace_seen(run->worker, q, d->now - run->since);
	}
	run->is_done = true;
	d->stats.done++;
	q->run = NULL;
	run->query = NULL;
	query_end(d, q);
	run_free(d, run);
}
