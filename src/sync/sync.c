/* SPDX-License-Identifier: Apache-2.0 */
/* Events in, actions out, and the links. */
#include "config.h"

#include "sync/sync.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sync/core.h"

struct sync *
sync_new(const struct sync_config *config, ms_t now)
{
	struct sync *s = mem_calloc(1, sizeof(*s));

	s->config = *config;
	rng_init(&s->rng, config->seed);
	s->now = now;
	s->next_number = 1;
	s->next_sid = (uint32_t)rng_next(&s->rng);
	s->random_factor = 1;
	s->random_at = config->interval_ms > 0 ? now + config->interval_ms : INT64_MAX;
	s->due = now + MS_HOUR;
	sync_wake(s, s->random_at);
	s->stats.last_ok = -1;
	return s;
}

static void
sync_item_free(struct sync_item *item)
{
	if (item == NULL)
		return;
	buf_fini(&item->data);
	buf_fini(&item->names);
	free(item->named);
	free(item);
}

static void
sync_wait_free(struct sync *s, struct sync_wait *wait)
{
	HASH_DEL(s->waits, wait);
	sync_job_free(wait->job);
	free(wait);
}

void
sync_free(struct sync *s)
{
	struct sync_link *l, *l_next;
	struct sync_wait *w, *w_next;

	if (s == NULL)
		return;
	session_free(s->session);
	HASH_ITER (hh, s->links, l, l_next) {
		HASH_DEL(s->links, l);
		free(l);
	}
	HASH_ITER (hh, s->waits, w, w_next)
		sync_wait_free(s, w);
	sync_item_free(s->taken);
	while (s->first != NULL) {
		struct sync_item *item = s->first;

		s->first = item->next;
		sync_job_free(item->action.job);
		sync_item_free(item);
	}
	free(s);
}

void
sync_wake(struct sync *s, ms_t at)
{
	if (at < s->due)
		s->due = at;
}

ms_t
sync_due(const struct sync *s)
{
	return s->due;
}

/* Actions. */

struct sync_item *
sync_act(struct sync *s, enum sync_action_type type, uint64_t link)
{
	struct sync_item *item = mem_calloc(1, sizeof(*item));

	item->action.type = type;
	item->action.link = link;
	if (s->last != NULL)
		s->last->next = item;
	else
		s->first = item;
	s->last = item;
	return item;
}

bool
sync_next(struct sync *s, struct sync_action *ret_action)
{
	sync_item_free(s->taken);
	s->taken = s->first;
	if (s->first == NULL)
		return false;
	s->first = s->first->next;
	if (s->first == NULL)
		s->last = NULL;
	*ret_action = s->taken->action;
	return true;
}

size_t
sync_send(struct sync *s, uint64_t link, const struct sync_frame *f)
{
	struct sync_item *item = sync_act(s, SYNC_ACTION_SEND, link);

	sync_frame_put(&item->data, f);
	item->action.data = buf_bytes(&item->data);
	return SYNC_FRAME_HEADER_BYTES + item->data.len;
}

void
sync_send_rows(struct sync *s, uint64_t link, const struct sync_made *made)
{
	struct reader rows = reader_of(buf_bytes(&made->rows));
	struct reader pieces = reader_of(buf_bytes(&made->pieces));

	while (pieces.len > 0) {
		struct sync_item *item = sync_act(s, SYNC_ACTION_SEND_ROWS, link);

		buf_put_bytes(&item->data, reader_take(&rows, reader_u32(&pieces)));
		item->action.rows = buf_bytes(&item->data);
	}
	assert(reader_done(&rows));
	s->stats.rows_sent += made->rows_len;
}

static void
sync_done_names(struct sync_item *item)
{
	struct reader r = reader_of(buf_bytes(&item->names));
	int n = 0;

	item->named = mem_calloc(SYNC_NAMED_MAX, sizeof(item->named[0]));
	while (r.len > 0 && n < SYNC_NAMED_MAX) {
		item->named[n].is_here = reader_u8(&r);
		item->named[n].is_there = reader_u8(&r);
		item->named[n++].key = reader_bytes8(&r);
	}
	item->result.named = item->named;
	item->result.named_len = n;
}

void
sync_done(struct sync *s, const struct sync_result *result, struct buf *names)
{
	struct sync_item *item = sync_act(s, SYNC_ACTION_DONE, result->link);

	item->result = *result;
	item->action.result = &item->result;
	if (names == NULL || names->len == 0)
		return;
	item->names = *names;
	*names = BUF_INIT;
	sync_done_names(item);
}

/* Questions to the driver. */

struct sync_wait *
sync_wait_new(struct sync *s, enum sync_wait_type type, uint64_t link, uint32_t sid)
{
	struct sync_wait *wait = mem_calloc(1, sizeof(*wait));

	wait->number = s->next_number++;
	wait->type = type;
	wait->link = link;
	wait->sid = sid;
	HASH_ADD(hh, s->waits, number, sizeof(wait->number), wait);
	return wait;
}

void
sync_read(struct sync *s, struct sync_wait *wait, struct sync_job *job)
{
	struct sync_item *item = sync_act(s, SYNC_ACTION_READ, wait->link);

	wait->asked = SYNC_ASKED_READ;
	item->action.number = wait->number;
	item->action.job = job;
}

void
sync_settle(struct sync *s, struct sync_wait *wait)
{
	struct sync_item *item = sync_act(s, SYNC_ACTION_SETTLE, wait->link);

	wait->asked = SYNC_ASKED_SETTLE;
	item->action.number = wait->number;
}

void
sync_sweep(struct sync *s, struct sync_wait *wait, uint64_t horizon)
{
	struct sync_item *item = sync_act(s, SYNC_ACTION_HORIZON, wait->link);

	wait->asked = SYNC_ASKED_SWEEP;
	wait->horizon = horizon;
	item->action.number = wait->number;
	item->action.horizon = horizon;
}

static struct sync_wait *
sync_wait_find(const struct sync *s, uint64_t number, enum sync_asked asked)
{
	struct sync_wait *wait;

	HASH_FIND(hh, s->waits, &number, sizeof(number), wait);
	assert(wait != NULL && wait->asked == asked);
	return wait;
}

static void
sync_read_done(struct sync *s, const struct sync_event *e)
{
	struct sync_wait *wait = sync_wait_find(s, e->number, SYNC_ASKED_READ);

	assert(e->made != NULL);
	if (wait->type == SYNC_WAIT_OPEN || wait->type == SYNC_WAIT_ASK)
		answer_read_done(s, wait, e->made);
	else
		session_read_done(s, wait, e->made);
	sync_wait_free(s, wait);
	sync_made_free(e->made);
}

static void
sync_settled(struct sync *s, const struct sync_event *e)
{
	struct sync_wait *wait = sync_wait_find(s, e->number, SYNC_ASKED_SETTLE);
	struct sync_job *job = wait->job;

	if (job != NULL && sync_link_find(s, wait->link) != NULL) {
		wait->job = NULL;
		sync_read(s, wait, job);
		return;
	}
	if (job == NULL)
		session_settled(s, wait);
	sync_wait_free(s, wait);
}

static void
sync_swept(struct sync *s, const struct sync_event *e)
{
	struct sync_wait *wait = sync_wait_find(s, e->number, SYNC_ASKED_SWEEP);

	if (wait->type == SYNC_WAIT_OPEN && answer_swept(s, wait))
		return;
	if (wait->type == SYNC_WAIT_SWEEP)
		session_swept(s, wait, e->rc);
	sync_wait_free(s, wait);
}

/* Links. */

struct sync_link *
sync_link_find(const struct sync *s, uint64_t id)
{
	struct sync_link *l;

	HASH_FIND(hh, s->links, &id, sizeof(id), l);
	return l;
}

void
sync_sids_add(uint32_t sids[SYNC_SIDS], int *len, uint32_t sid)
{
	if (sync_sids_has(sids, *len, sid))
		return;
	if (*len == SYNC_SIDS)
		memmove(sids, sids + 1, (size_t)-- * len * sizeof(sids[0]));
	sids[(*len)++] = sid;
}

bool
sync_sids_has(const uint32_t sids[SYNC_SIDS], int len, uint32_t sid)
{
	for (int i = 0; i < len; i++)
		if (sids[i] == sid)
			return true;
	return false;
}

void
sync_reject(struct sync *s, struct sync_link *l, const char *fmt, ...)
{
	struct sync_item *item;
	va_list ap;

	if (l->is_rejected)
		return;
	l->is_rejected = true;
	item = sync_act(s, SYNC_ACTION_REJECT, l->id);
	va_start(ap, fmt);
	vsnprintf(item->why, sizeof(item->why), fmt, ap);
	va_end(ap);
	item->action.why = item->why;
	answer_close(s, l);
	if (s->session != NULL && s->session->link == l->id)
		session_end(s, -OCF_EMALFORMED, NULL, "%s", item->why);
	schedule_link_down(s, l);
}

static void
sync_link_up(struct sync *s, const struct sync_event *e)
{
	struct sync_link *l = sync_link_find(s, e->link);

	if (l != NULL)
		return;
	l = mem_calloc(1, sizeof(*l));
	l->id = e->link;
	l->node = e->node;
	l->next_at = s->now;
	l->retry_ms = SYNC_RETRY_MS;
	l->busy_ms = SYNC_BUSY_MS;
	l->opens_until = s->now;
	HASH_ADD(hh, s->links, id, sizeof(l->id), l);
	schedule_link_up(s, l, e);
}

static void
sync_link_down(struct sync *s, struct sync_link *l)
{
	if (s->session != NULL && s->session->link == l->id)
		session_end(s, -ECONNRESET, NULL, "the link ended");
	answer_close(s, l);
	schedule_link_down(s, l);
	HASH_DEL(s->links, l);
	free(l);
}

static void
sync_frame(struct sync *s, struct sync_link *l, struct bytes payload)
{
	size_t len = SYNC_FRAME_HEADER_BYTES + payload.len;
	struct sync_frame f;
	const char *why;

	if (l->is_rejected)
		return;
	if (sync_frame_read(payload, &f, &why) < 0)
		sync_reject(s, l, "%s", why);
	else if (f.type == SYNC_OPEN || f.type == SYNC_ASK || f.type == SYNC_END)
		answer_frame(s, l, &f, len);
	else
		session_frame(s, l, &f, len);
}

static void
sync_rows(struct sync *s, struct sync_link *l, const struct sync_event *e)
{
	l->rows_received += e->len;
	s->stats.rows_received += e->len;
	if (s->session != NULL && s->session->link == l->id) {
		s->session->heard = s->now;
		s->session->result.received_row_bytes += e->bytes;
	}
	if (l->inbound.is_open)
		l->inbound.heard = s->now;
}

/* Events. */

static void
sync_step_link(struct sync *s, const struct sync_event *e)
{
	struct sync_link *l = sync_link_find(s, e->link);

	if (e->type == SYNC_EVENT_LINK_UP)
		sync_link_up(s, e);
	if (l == NULL)
		return;
	switch (e->type) {
	case SYNC_EVENT_LINK_DOWN:
		sync_link_down(s, l);
		break;
	case SYNC_EVENT_ROOT:
		if (!l->is_rejected)
			schedule_root(s, l, e);
		break;
	case SYNC_EVENT_FRAME:
		sync_frame(s, l, e->data);
		break;
	case SYNC_EVENT_ROWS:
		sync_rows(s, l, e);
		break;
	default:
		break;
	}
}

void
sync_step(struct sync *s, ms_t now, const struct sync_event *e)
{
	assert(now >= s->now);
	s->now = now;
	if (e->wall_ms != 0)
		s->wall = e->wall_ms;
	s->horizon = e->horizon;
	switch (e->type) {
	case SYNC_EVENT_TICK:
		break;
	case SYNC_EVENT_READ_DONE:
		sync_read_done(s, e);
		break;
	case SYNC_EVENT_SETTLED:
		sync_settled(s, e);
		break;
	case SYNC_EVENT_SWEPT:
		sync_swept(s, e);
		break;
	case SYNC_EVENT_START:
		schedule_request(s, e);
		break;
	case SYNC_EVENT_CANCEL:
		schedule_cancel(s, e->request);
		break;
	case SYNC_EVENT_LINK_UP:
	case SYNC_EVENT_LINK_DOWN:
	case SYNC_EVENT_ROOT:
	case SYNC_EVENT_FRAME:
	case SYNC_EVENT_ROWS:
		sync_step_link(s, e);
		break;
	}
	s->due = now + MS_HOUR; /* at the latest */
	session_tick(s);
	answer_tick(s);
	schedule_run(s);
}

/* Questions. */

uint64_t
sync_discovery_max(uint64_t ours, uint64_t theirs)
{
	return SYNC_DISCOVERY_BYTES_BASE + SYNC_DISCOVERY_BYTES_PER_ROW * (ours + theirs);
}

bool
sync_progress(const struct sync *s, uint64_t request, struct sync_result *ret_result)
{
	const struct sync_request *r;

	if (s->session != NULL && s->session->request.request == request) {
		session_result(s, ret_result);
		return true;
	}
	for (int i = 0; i < s->requests_len; i++) {
		const struct sync_link *l;

		r = &s->requests[i];
		if (r->request != request)
			continue;
		l = sync_link_find(s, r->link);
		*ret_result = (struct sync_result){ .request = request,
						    .link = r->link,
						    .is_dry = r->is_dry,
						    .remaining_ms = -1,
						    .elapsed_ms = s->now - r->since };
		if (l != NULL)
			ret_result->node = l->node;
		return true;
	}
	return false;
}

void
sync_stats(const struct sync *s, struct sync_stats *ret_stats)
{
	*ret_stats = s->stats;
}

uint64_t
sync_epoch(uint64_t wall_ms)
{
	return wall_ms < SYNC_EPOCH_MS ? 0 : (wall_ms - SYNC_EPOCH_MS) / SYNC_EPOCH_MS;
}

uint64_t
sync_word(struct u128 settled, uint64_t epoch)
{
	return (settled.hi & SYNC_WORD_ROOT) | (epoch & 0xff);
}

bool
sync_word_epoch(uint64_t word, uint64_t our_epoch, uint64_t *ret_epoch)
{
	for (int i = -SYNC_EPOCHS_APART_MAX; i <= SYNC_EPOCHS_APART_MAX; i++) {
		uint64_t epoch = our_epoch + (uint64_t)(int64_t)i;

		if (i < 0 && our_epoch < (uint64_t)-i)
			continue;
		if ((epoch & 0xff) == (word & 0xff)) {
			*ret_epoch = epoch;
			return true;
		}
	}
	return false;
}
