/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's half of the calls: its messages put together to replies and handed on as the
 * daemon has room for them, and those that break the protocol or fall silent. The daemon's
 * half is calls.c. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bus/calls-private.h"
#include "bus/protocol.h"

enum {
	/* A worker's part; what the daemon gets is cut to LIMIT_PART_BYTES_MAX. */
	CALLS_PART_BYTES_MAX = 64 * 1024,
	/* After so many reads from the connection (of at most BUS_CONN_IO_BYTES each) what came
	 * for workers without a query is dropped; those are asked one by one, so that the more
	 * there are the rarer that is. Else a worker that goes on after its end fills memory. */
	CALLS_IDLE_READS = 16,
	CALLS_IDLE_WORKERS = 8, /* one more read for each so many */
};

/* The worker broke the protocol: it is told to stop, and the query has failed. */
static void
call_broken(struct bus_calls *calls, struct bus_call *call, const char *what)
{
	struct query_error error;

	query_error_set(&error, 502, "worker %s: %s", call->w->pub.id, what);
	bus_calls_control(calls, call, "cancel", 0);
	bus_call_error(calls, call, &error, BUS_LOST);
}

/* A cancelled query's worker has stopped, or had the time to. */
static void
call_cancelled(struct bus_calls *calls, struct bus_call *call)
{
	struct query_error error;

	query_error_set(&error, 499, "worker %s was told to stop", call->w->pub.id);
	bus_call_error(calls, call, &error, BUS_ANSWERED);
}

static void
call_head(struct bus_calls *calls, const struct bus_call *call, struct reply_head *head)
{
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1];

	/* Not the worker's own text: it may be gone before the callback returns. */
	memcpy(id, call->w->pub.id, strlen(call->w->pub.id) + 1);
	head->node = calls->config.node_id;
	head->worker = id;
	calls->config.handler->reply_head(calls->config.handler_arg, call->token, head);
	head->worker = NULL;
	reply_head_fini(head);
}

/* By our number, which is never used again: the daemon may end or cancel a call in any
 * callback. */
static bool
calls_has(const struct bus_calls *calls, uint64_t number)
{
	struct bus_call *call;

	HASH_FIND(hh_number, calls->by_number, &number, sizeof(number), call);
	return call != NULL && !call->is_cancelled;
}

/* Hand on, in pieces that fit a frame, what the daemon's window has room for; with the last
 * piece of a whole reply the call ends. Returns how much that was; -1: the call is over. */
static int64_t
call_hand_on(struct bus_calls *calls, struct bus_call *call, struct bytes data)
{
	uint64_t token = call->token, number = call->number;
	size_t at = 0;

	while (at < data.len && call->pieces_out < LIMIT_PARTS_WINDOW) {
		size_t len = data.len - at < LIMIT_PART_BYTES_MAX ? data.len - at
								  : LIMIT_PART_BYTES_MAX;
		bool is_last = call->is_whole && at + len == data.len;

		call->pieces_out++;
		if (is_last)
			bus_call_free(calls, call);
		calls->config.handler->reply_data(calls->config.handler_arg, token,
						  bytes_of(data.data + at, len), is_last);
		at += len;
		if (is_last || !calls_has(calls, number))
			return -1;
	}
	return (int64_t)at;
}

/* A message may hold more pieces than the daemon takes at once: the rest waits. */
static void
call_data(struct bus_calls *calls, struct bus_call *call, struct bytes data)
{
	int64_t used = call->held.len > 0 ? 0 : call_hand_on(calls, call, data);

	if (used >= 0 && (size_t)used < data.len)
		buf_put(&call->held, data.data + used, data.len - (size_t)used);
}

/* The worker has sent all; what is held ends the call. */
static void
call_end(struct bus_calls *calls, struct bus_call *call)
{
	uint64_t token = call->token;

	call->is_whole = true;
	if (call->held.len > 0)
		return;
	bus_call_free(calls, call);
	calls->config.handler->reply_data(calls->config.handler_arg, token, BYTES_NONE,
					  true);
}

static void
call_go_on(struct bus_calls *calls, struct bus_call *call)
{
	/* Not the call's meanwhile, which the daemon may end. */
	struct buf held = call->held;
	int64_t used;

	call->held = BUF_INIT;
	used = call_hand_on(calls, call, buf_bytes(&held));
	if (used < 0) {
		buf_fini(&held);
		return;
	}
	buf_drop(&held, (size_t)used);
	call->held = held;
}

void
bus_calls_go_on(struct bus_calls *calls)
{
	struct bus_call *call, *next;
	bool was_found = true;

	/* A callback may end other calls, so the search begins anew after each. */
	while (was_found) {
		was_found = false;
		HASH_ITER (hh_token, calls->by_token, call, next) {
			if (call->held.len == 0 || call->pieces_out >= LIMIT_PARTS_WINDOW)
				continue;
			call_go_on(calls, call);
			was_found = true;
			break;
		}
	}
}

/* False: it was malformed and the call has ended, or the daemon ended it. */
static bool
call_first(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg)
{
	struct query_headers headers;
	struct reply_head head;
	uint64_t number = call->number;
	int rc;

	bus_msg_headers(msg, &headers);
	rc = bus_protocol_reply_read(&headers, &head);
	query_headers_fini(&headers);
	if (rc < 0) {
		call_broken(calls, call, "its reply has a status outside 200 to 599");
		return false;
	}
	call_head(calls, call, &head);
	return calls_has(calls, number);
}

static void
call_on_part(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg,
	     const char *seq)
{
	struct bytes data = bus_msg_data(msg);
	uint64_t number;

	if (bus_protocol_number(seq, INT64_MAX, &number) < 0 ||
	    number != call->parts_seen) {
		call_broken(calls, call,
			    "a part of its reply is missing or out of order");
		return;
	}
	if (data.len > CALLS_PART_BYTES_MAX) {
		call_broken(calls, call, "a part of its reply is over 64 KiB");
		return;
	}
	call->bytes_ahead += data.len;
	if (call->bytes_ahead > BUS_AHEAD_BYTES_MAX) {
		call_broken(calls, call,
			    "it sends faster than its reader reads, and does "
			    "not wait for credit");
		return;
	}
	call->parts_ahead++;
	call->parts_seen++;
	call->is_heard = true;
	call->is_doubtful = false;
	call->heard_ms = loop_now(calls->loop);
	if (number == 0 && !call_first(calls, call, msg))
		return;
	if (data.len == 0)
		bus_call_give_credit(calls, call, 1);
	else
		call->pieces_extra += (int)((data.len - 1) / LIMIT_PART_BYTES_MAX);
	call_data(calls, call, data);
}

static void
call_on_end(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg,
	    const char *count)
{
	uint64_t number;

	if (bus_msg_data(msg).len > 0 ||
	    bus_protocol_number(count, INT64_MAX, &number) < 0 ||
	    number != call->parts_seen) {
		call_broken(calls, call, "its reply ended with parts missing");
		return;
	}
	if (call->parts_seen == 0 && !call_first(calls, call, msg))
		return;
	call_end(calls, call);
}

/* One message that is the whole reply. */
static void
call_on_whole(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg)
{
	struct bytes data = bus_msg_data(msg);

	if (call->parts_seen > 0) {
		call_broken(calls, call, "its reply holds a message without Ocf-Seq");
		return;
	}
	if (data.len > BUS_AHEAD_BYTES_MAX) {
		call_broken(calls, call, "its reply is one message of over 8 MiB");
		return;
	}
	call->parts_seen = 1;
	if (!call_first(calls, call, msg))
		return;
	call->is_whole = true;
	if (data.len > 0)
		call_data(calls, call, data);
	else
		call_end(calls, call);
}

static void
call_on_error(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg,
	      const char *code)
{
	const char *text = bus_msg_header(msg, BUS_H_ERROR);
	struct bytes tail = bus_msg_data(msg);
	struct query_error error;
	uint64_t status = 502, after = 0;
	bool is_returned;

	if (bus_protocol_number(code, 599, &status) < 0 || status < 400)
		status = 502;
	is_returned = call->parts_seen == 0 && (status == 429 || status == 503) &&
		      bus_protocol_number(bus_msg_header(msg, BUS_H_RETRY_AFTER), 86400,
					  &after) == 0;
	text = text != NULL ? text : "the worker gave no reason";
	if (tail.len > QUERY_ERROR_BYTES_MAX / 2)
		tail.len = QUERY_ERROR_BYTES_MAX / 2;
	if (tail.data != NULL && memchr(tail.data, '\0', tail.len) != NULL)
		tail.len = 0;
	query_error_set(&error, (int)status, "%.1900s%s%.*s", text,
			tail.len > 0 ? "\n" : "", (int)tail.len,
			tail.len > 0 ? (const char *)tail.data : "");
	error.retry_after_s = (int)after;
	bus_call_error(calls, call, &error, is_returned ? BUS_RETURNED : BUS_ANSWERED);
}

static void
call_on_control(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg,
		const char *what)
{
	const char *text = bus_msg_header(msg, BUS_H_CREDIT);
	uint64_t n = 1;

	call->heard_ms = loop_now(calls->loop);
	if (strcmp(what, "busy") == 0) {
		call->is_heard = true;
		call->is_doubtful = false;
	} else if (strcmp(what, "credit") == 0) {
		if ((text != NULL && bus_protocol_number(text, 1024, &n) < 0) || n == 0 ||
		    n > call->parts_sent - call->parts_credited) {
			call_broken(calls, call, "it credits parts that were not sent");
			return;
		}
		call->parts_credited += n;
		calls->config.handler->request_credit(calls->config.handler_arg,
						      call->token, (int)n);
	}
	/* Other words may come with later versions: nothing to do. */
}

static void
call_on_message(struct bus_calls *calls, struct bus_call *call, struct bus_msg *msg)
{
	const char *value;

	if (call->is_cancelled) {
		if (bus_msg_header(msg, BUS_H_CTL) == NULL &&
		    bus_msg_header(msg, BUS_H_SEQ) == NULL)
			call_cancelled(calls, call);
		return;
	}
	if ((value = bus_msg_header(msg, BUS_H_ERROR_CODE)) != NULL ||
	    bus_msg_header(msg, BUS_H_ERROR) != NULL)
		call_on_error(calls, call, msg, value);
	else if ((value = bus_msg_header(msg, BUS_H_CTL)) != NULL)
		call_on_control(calls, call, msg, value);
	else if ((value = bus_msg_header(msg, BUS_H_END)) != NULL)
		call_on_end(calls, call, msg, value);
	else if ((value = bus_msg_header(msg, BUS_H_SEQ)) != NULL)
		call_on_part(calls, call, msg, value);
	else
		call_on_whole(calls, call, msg);
}

/* As calls.c writes it, and nothing else. Returns what is behind it. */
static const char *
text_read_hex(const char *p, uint64_t *ret)
{
	for (*ret = 0; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
		*ret = *ret << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return p;
}

static void
calls_on_message(struct bus_calls *calls, struct registry_worker *w, struct bus_msg *msg)
{
	const char *at = strrchr(bus_msg_subject(msg), '.');
	struct bus_call *call = NULL;
	uint64_t number = 0, secret = 0;

	if (at != NULL)
		at = text_read_hex(at + 1, &number);
	if (at != NULL && *at == '-')
		at = text_read_hex(at + 1, &secret);
	if (at == NULL || *at != '\0')
		number = 0;
	HASH_FIND(hh_number, calls->by_number, &number, sizeof(number), call);
	if (call != NULL && call->w == w && call->secret == secret && !call->is_whole)
		call_on_message(calls, call, msg);
	else if ((call == NULL || call->is_whole) && number > 0 &&
		 number <= calls->calls_numbered)
		calls->stats.replies_late++;
	else
		calls->stats.replies_foreign++;
}

void
bus_calls_drain_worker(struct bus_calls *calls, struct registry_worker *w)
{
	struct bus_msg *msg = NULL;
	struct bus_call *call;
	enum bus_next next;
	int unreached = 0;

	while ((next = bus_sub_next(w->sub, &msg)) != BUS_NEXT_NONE) {
		if (next == BUS_NEXT_NO_RESPONDERS) {
			unreached++;
			continue;
		}
		calls_on_message(calls, w, msg);
		bus_msg_free(msg);
	}
	if (unreached == 0 || w->calls == NULL)
		return;
	for (call = w->calls->prev; unreached > 0; call = call->prev) {
		if (!call->is_heard) {
			call->is_not_taken = true;
			unreached--;
		}
		if (call == w->calls)
			break;
	}
	calls->config.vanished(calls->config.vanished_arg, w);
}

static void
calls_drain_idle(struct bus_calls *calls, struct registry *reg)
{
	calls->reads = 0;
	for (struct registry_worker *w = registry_first(reg); w != NULL; w = w->hh.next)
		if (w->calls == NULL)
			bus_calls_drain_worker(calls, w);
}

void
bus_calls_drain(struct bus_calls *calls, struct registry *reg)
{
	/* Callbacks may add and remove busy workers: each turn takes the head and puts it
	 * at the end, so that all who were there at the start have their turn. */
	for (int left = calls->busy_len; left > 0 && calls->busy != NULL; left--) {
		struct registry_worker *w = calls->busy;

		DL_DELETE2(calls->busy, w, busy_prev, busy_next);
		DL_APPEND2(calls->busy, w, busy_prev, busy_next);
		bus_calls_drain_worker(calls, w);
	}
	if (++calls->reads > CALLS_IDLE_READS + registry_len(reg) / CALLS_IDLE_WORKERS)
		calls_drain_idle(calls, reg);
}

static bool
call_is_stalled(const struct bus_calls *calls, const struct bus_call *call, ms_t now)
{
	if (call->is_cancelled)
		return now - call->heard_ms > BUS_CANCEL_MS;
	return (call->is_heard || call->is_doubtful) && !call->is_whole &&
	       call->parts_ahead < LIMIT_PARTS_WINDOW &&
	       now - call->heard_ms > calls->config.stall_ms;
}

void
bus_calls_tick(struct bus_calls *calls, struct registry *reg, ms_t now)
{
	struct bus_call *call, *next;
	bool was_found = true;

	while (was_found) {
		was_found = false;
		HASH_ITER (hh_token, calls->by_token, call, next) {
			if (!call_is_stalled(calls, call, now))
				continue;
			if (call->is_cancelled)
				call_cancelled(calls, call);
			else
				call_broken(calls, call,
					    call->is_doubtful
						    ? "another of its queue group went "
						      "away, perhaps with this query"
						    : "it began and then fell silent");
			was_found = true;
			break;
		}
	}
	calls_drain_idle(calls, reg);
}
