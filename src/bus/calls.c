/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/calls.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"

enum {
	CALLS_PREFIX_SIZE = 64,
	/* A worker's part; what the daemon gets is cut to LIMIT_PART_BYTES_MAX. */
	CALLS_PART_BYTES_MAX = 64 * 1024,
	CALLS_ID_SIZE = QUERY_REQUEST_ID_BYTES_MAX + 24,
};

struct bus_call {
	uint64_t token;	 /* the daemon's */
	uint64_t number; /* ours, in the reply subject, beside: */
	uint64_t secret;
	char req_id[CALLS_ID_SIZE];
	struct registry_worker *w;

	/* The request */
	struct query_headers headers; /* kept until a single message is complete */
	char subject[BUS_SUBJECT_SIZE];
	struct buf single; /* the body so far, for a worker without slots */
	int singles;	   /* parts that went into it, not yet credited */
	uint64_t parts_sent;
	uint64_t parts_credited;
	bool is_sent_whole;
	bool is_too_large; /* 413 is due */

	/* The reply */
	uint64_t parts_seen;
	int pieces_out;	      /* handed to the daemon and not credited by it */
	int pieces_extra;     /* credits of the daemon's that are not the worker's */
	struct buf held;      /* beyond the daemon's window; goes on with its credits */
	bool is_whole;	      /* the worker has sent all of it */
	uint64_t parts_ahead; /* not yet credited */
	size_t bytes_ahead;
	bool is_heard; /* a first part or "busy": the stall limit counts from heard_ms */
	bool is_not_taken;
	bool is_cancelled; /* since heard_ms; only its end is still of interest */
	ms_t heard_ms;

	struct bus_call *prev, *next; /* of its worker, oldest first */
	UT_hash_handle hh_token, hh_number;
};

struct bus_calls {
	struct loop *loop;
	struct bus_calls_config config;
	struct bus_conn *conn;		/* NULL: down */
	char prefix[CALLS_PREFIX_SIZE]; /* "ocf.r.<secret of this life>" */
	unsigned workers_numbered;
	uint64_t calls_numbered;
	struct bus_call *by_token, *by_number;
	struct registry_worker *busy;
	int busy_len;
	struct loop_timer
		*kick; /* what a call of the daemon's must not call back itself */
	struct bus_stats stats;
};

static void calls_on_kick(void *arg);
static void calls_go_on(struct bus_calls *calls);

static void
calls_random(void *out, size_t len)
{
	if (getrandom(out, len, 0) != (ssize_t)len)
		abort();
}

struct bus_calls *
bus_calls_new(struct loop *loop, const struct bus_calls_config *config)
{
	struct bus_calls *calls = mem_calloc(1, sizeof(*calls));
	uint8_t secret[16];
	char hex[2 * sizeof(secret) + 1];

	calls->loop = loop;
	calls->config = *config;
	calls_random(secret, sizeof(secret));
	snprintf(calls->prefix, sizeof(calls->prefix), BUS_SUBJECT_REPLY "%s",
		 hex_encode(secret, sizeof(secret), hex));
	calls->kick = loop_timer_new(loop, calls_on_kick, calls);
	return calls;
}

static void
call_free(struct bus_calls *calls, struct bus_call *call)
{
	struct registry_worker *w = call->w;

	HASH_DELETE(hh_token, calls->by_token, call);
	HASH_DELETE(hh_number, calls->by_number, call);
	DL_DELETE(w->calls, call);
	if (--w->calls_len == 0) {
		DL_DELETE2(calls->busy, w, busy_prev, busy_next);
		calls->busy_len--;
	}
	query_headers_fini(&call->headers);
	buf_fini(&call->single);
	buf_fini(&call->held);
	free(call);
}

void
bus_calls_free(struct bus_calls *calls, struct registry *reg)
{
	struct bus_call *call, *next;

	if (calls == NULL)
		return;
	HASH_ITER (hh_token, calls->by_token, call, next)
		call_free(calls, call);
	for (struct registry_worker *w = registry_first(reg); w != NULL; w = w->hh.next)
		bus_calls_detach(calls, w);
	loop_timer_free(calls->kick);
	free(calls);
}

void
bus_calls_set_conn(struct bus_calls *calls, struct bus_conn *conn)
{
	calls->conn = conn;
}

void
bus_calls_attach(struct bus_calls *calls, struct registry_worker *w)
{
	char subject[CALLS_PREFIX_SIZE + 24];

	if (w->number == 0)
		w->number = ++calls->workers_numbered;
	snprintf(subject, sizeof(subject), "%s.%u.*", calls->prefix, w->number);
	assert(w->sub == NULL);
	if (calls->conn != NULL)
		w->sub = bus_conn_subscribe(calls->conn, subject, NULL);
}

void
bus_calls_detach(struct bus_calls *calls, struct registry_worker *w)
{
	(void)calls;
	bus_sub_free(w->sub);
	w->sub = NULL;
}

/* --- control: what the node tells a worker about one of its queries --- */

static void
calls_control(struct bus_calls *calls, const struct bus_call *call, const char *op,
	      uint64_t n)
{
	char subject[BUS_SUBJECT_SIZE];
	json_t *message;
	char *text;

	if (calls->conn == NULL || call->w->is_legacy)
		return;
	message = json_pack("{s:s,s:s}", "op", op, "id", call->req_id);
	if (n > 0)
		json_object_set_new(message, "n", json_integer((json_int_t)n));
	text = json_dumps(message, JSON_COMPACT);
	snprintf(subject, sizeof(subject), BUS_SUBJECT_CONTROL "%s", call->w->pub.id);
	if (text != NULL)
		bus_conn_publish(calls->conn, subject, NULL, NULL, bytes_text(text));
	free(text);
	json_decref(message);
}

/* --- ends of a call --- */

static void
call_error(struct bus_calls *calls, struct bus_call *call, struct query_error *error,
	   enum bus_outcome outcome)
{
	uint64_t token = call->token;

	error->is_taken = outcome == BUS_ANSWERED || outcome == BUS_LOST;
	error->node = calls->config.node_id;
	error->worker = mem_strdup(call->w->pub.id);
	call_free(calls, call);
	calls->config.handler->reply_error(calls->config.handler_arg, token, error,
					   outcome);
	query_error_fini(error);
}

/* The worker broke the protocol: it is told to stop, and the query has failed. */
static void
call_broken(struct bus_calls *calls, struct bus_call *call, const char *what)
{
	struct query_error error;

	query_error_set(&error, 502, "worker %s: %s", call->w->pub.id, what);
	calls_control(calls, call, "cancel", 0);
	call_error(calls, call, &error, BUS_LOST);
}

/* A cancelled query's worker has stopped, or had the time to. */
static void
call_cancelled(struct bus_calls *calls, struct bus_call *call)
{
	struct query_error error;

	query_error_set(&error, 499, "worker %s was told to stop", call->w->pub.id);
	call_error(calls, call, &error, BUS_ANSWERED);
}

void
bus_calls_fail_worker(struct bus_calls *calls, struct registry_worker *w,
		      const char *reason)
{
	while (w->calls != NULL) {
		struct bus_call *call = w->calls;
		bool is_not_taken = call->is_not_taken;
		struct query_error error;

		if (is_not_taken)
			query_error_set(&error, 503, "worker %s is not there: %s",
					w->pub.id, reason);
		else
			query_error_set(&error, 502, "worker %s went away: %s", w->pub.id,
					reason);
		call_error(calls, call, &error, is_not_taken ? BUS_NOT_TAKEN : BUS_LOST);
	}
}

/* Tell the daemon what a call of its own must not tell it, if there is anything. */
static bool
call_kick(struct bus_calls *calls, struct bus_call *call)
{
	struct query_error error;
	int n = call->singles;

	if (call->is_too_large) {
		query_error_set(&error, 413,
				"worker %s takes no slots and therefore no parts: "
				"at most %d bytes",
				call->w->pub.id, BUS_SINGLE_BYTES_MAX);
		call_error(calls, call, &error, BUS_ANSWERED);
		return true;
	}
	call->singles = 0;
	if (n > 0)
		calls->config.handler->request_credit(calls->config.handler_arg,
						      call->token, n);
	return n > 0;
}

static void
calls_on_kick(void *arg)
{
	struct bus_calls *calls = arg;
	struct bus_call *call, *next;
	bool was_found = true;

	/* A callback may end other calls, so the search begins anew after each. */
	while (was_found) {
		was_found = false;
		HASH_ITER (hh_token, calls->by_token, call, next) {
			was_found = call_kick(calls, call);
			if (was_found)
				break;
		}
	}
	calls_go_on(calls);
}

/* --- the request --- */

static struct bus_call *
calls_find(const struct bus_calls *calls, uint64_t token)
{
	struct bus_call *call;

	HASH_FIND(hh_token, calls->by_token, &token, sizeof(token), call);
	return call;
}

static bool
worker_serves(const struct registry_worker *w, const char *service)
{
	for (int i = 0; i < w->pub.services_len; i++)
		if (strcmp(w->pub.services[i].name, service) == 0)
			return true;
	return false;
}

/* The client's id where it is unique at the worker: parts and cancel go by it. */
static void
call_set_req_id(struct bus_call *call, const char *request_id)
{
	const struct bus_call *other;
	size_t len = strlen(request_id);

	DL_FOREACH (call->w->calls, other)
		if (strcmp(other->req_id, request_id) == 0)
			break;
	if (other == NULL && len > 0 && len <= QUERY_REQUEST_ID_BYTES_MAX)
		snprintf(call->req_id, sizeof(call->req_id), "%s", request_id);
	else
		snprintf(call->req_id, sizeof(call->req_id), "%.*s~%" PRIx64,
			 QUERY_REQUEST_ID_BYTES_MAX, request_id, call->number);
}

static int
call_publish(struct bus_calls *calls, struct bus_call *call, struct bytes data,
	     bool is_last)
{
	struct query_headers *h = &call->headers;
	char reply[CALLS_PREFIX_SIZE + 64], number[24];
	bool is_first = call->parts_sent == 0;
	int rc;

	if (!is_first || !is_last) {
		if (!is_first)
			query_headers_add(h, BUS_H_REQ_ID, call->req_id);
		snprintf(number, sizeof(number), "%" PRIu64, call->parts_sent);
		query_headers_add(h, BUS_H_PART, number);
	}
	if (!is_first && is_last) {
		snprintf(number, sizeof(number), "%" PRIu64, call->parts_sent + 1);
		query_headers_add(h, BUS_H_PARTS, number);
	}
	snprintf(reply, sizeof(reply), "%s.%u.%" PRIx64 "-%016" PRIx64, calls->prefix,
		 call->w->number, call->number, call->secret);
	/* One 503 a query, not one a part: only the first asks for an answer. */
	rc = bus_conn_publish(calls->conn, call->subject, is_first ? reply : NULL, h,
			      data);
	query_headers_fini(h);
	if (rc == 0) {
		call->parts_sent++;
		call->is_sent_whole = is_last;
	}
	return rc;
}

static int
call_put(struct bus_calls *calls, struct bus_call *call, struct bytes part, bool is_last)
{
	int rc;

	if (calls->conn == NULL)
		return -ENOTCONN;
	if (call->w->pub.is_direct)
		return call_publish(calls, call, part, is_last);
	if (call->single.len + part.len > BUS_SINGLE_BYTES_MAX) {
		call->is_too_large = true;
		loop_timer_set(calls->kick, 0);
		return 0;
	}
	if (!is_last || call->single.len > 0)
		buf_put_bytes(&call->single, part);
	if (!is_last) { /* the next may come */
		call->singles++;
		loop_timer_set(calls->kick, 0);
		return 0;
	}
	if (call->single.len > 0)
		part = buf_bytes(&call->single);
	rc = call_publish(calls, call, part, true);
	buf_fini(&call->single);
	return rc;
}

int
bus_calls_send(struct bus_calls *calls, struct registry_worker *w, uint64_t token,
	       const struct query_head *head, struct bytes first, bool is_last)
{
	struct bus_call *call;
	int rc;

	assert(first.len <= LIMIT_PART_BYTES_MAX);
	if (calls->conn == NULL || w->sub == NULL)
		return -ENOTCONN;
	if (!worker_serves(w, head->service))
		return -OCF_EUNKNOWN;
	if (calls_find(calls, token) != NULL)
		return -EEXIST;
	call = mem_calloc(1, sizeof(*call));
	call->token = token;
	call->number = ++calls->calls_numbered;
	calls_random(&call->secret, sizeof(call->secret));
	call->w = w;
	call_set_req_id(call, head->request_id);
	if (w->pub.is_direct)
		snprintf(call->subject, sizeof(call->subject), BUS_SUBJECT_DIRECT "%s",
			 w->pub.id);
	else
		bus_protocol_subject(head->service, call->subject);
	HASH_ADD(hh_token, calls->by_token, token, sizeof(call->token), call);
	HASH_ADD(hh_number, calls->by_number, number, sizeof(call->number), call);
	DL_APPEND(w->calls, call);
	if (w->calls_len++ == 0) {
		DL_APPEND2(calls->busy, w, busy_prev, busy_next);
		calls->busy_len++;
	}
	rc = bus_protocol_request_headers(head, call->req_id, &call->headers);
	if (rc == 0)
		rc = call_put(calls, call, first, is_last);
	if (rc < 0)
		call_free(calls, call);
	else
		calls->stats.sent++;
	return rc;
}

int
bus_calls_body(struct bus_calls *calls, uint64_t token, struct bytes part, bool is_last)
{
	struct bus_call *call = calls_find(calls, token);

	assert(part.len <= LIMIT_PART_BYTES_MAX);
	if (call == NULL || call->is_cancelled)
		return -OCF_EUNKNOWN;
	if (call->is_too_large)
		return 0;
	/* An empty last part needs no credit. */
	if (call->is_sent_whole ||
	    (part.len > 0 &&
	     call->parts_sent - call->parts_credited >= LIMIT_PARTS_WINDOW))
		return -OCF_ELIMIT;
	return call_put(calls, call, part, is_last);
}

int
bus_calls_cancel(struct bus_calls *calls, uint64_t token)
{
	struct bus_call *call = calls_find(calls, token);

	if (call == NULL)
		return -OCF_EUNKNOWN;
	if (call->is_cancelled)
		return 0;
	if (call->is_whole) { /* its worker is done with it */
		call_free(calls, call);
		return -OCF_EUNKNOWN;
	}
	calls_control(calls, call, "cancel", 0);
	call->is_cancelled = true;
	buf_fini(&call->held);
	call->heard_ms = loop_now(calls->loop);
	return 0;
}

/* `n` of the worker's parts were passed on, or pieces of them. */
static void
call_credit(struct bus_calls *calls, struct bus_call *call, int n)
{
	int own = n < call->pieces_extra ? n : call->pieces_extra;

	call->pieces_extra -= own;
	n -= own;
	if ((uint64_t)n > call->parts_ahead)
		n = (int)call->parts_ahead;
	if (n == 0)
		return;
	call->bytes_ahead -= call->bytes_ahead / call->parts_ahead * (uint64_t)n;
	call->parts_ahead -= (uint64_t)n;
	if (call->parts_ahead == 0)
		call->bytes_ahead = 0;
	/* The stall limit does not count while the worker waits for us. */
	call->heard_ms = loop_now(calls->loop);
	calls_control(calls, call, "credit", (uint64_t)n);
}

void
bus_calls_credit(struct bus_calls *calls, uint64_t token, int n)
{
	struct bus_call *call = calls_find(calls, token);

	assert(n > 0);
	if (call == NULL || call->is_cancelled)
		return;
	call->pieces_out -= n < call->pieces_out ? n : call->pieces_out;
	if (call->held.len > 0)
		loop_timer_set(calls->kick, 0);
	call_credit(calls, call, n);
}

/* --- the reply --- */

static void
call_head(struct bus_calls *calls, const struct bus_call *call, struct reply_head *head)
{
	head->node = calls->config.node_id;
	head->worker = mem_strdup(call->w->pub.id);
	calls->config.handler->reply_head(calls->config.handler_arg, call->token, head);
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

/* Hand on, in pieces that fit a frame, what the daemon's window has room for. Returns how
 * much that was; -1: the daemon wants no more of it. */
static int64_t
call_hand_on(struct bus_calls *calls, struct bus_call *call, struct bytes data)
{
	uint64_t token = call->token, number = call->number;
	size_t at = 0;

	while (at < data.len && call->pieces_out < LIMIT_PARTS_WINDOW) {
		size_t len = data.len - at < LIMIT_PART_BYTES_MAX ? data.len - at
								  : LIMIT_PART_BYTES_MAX;

		call->pieces_out++;
		calls->config.handler->reply_data(calls->config.handler_arg, token,
						  bytes_of(data.data + at, len));
		at += len;
		if (!calls_has(calls, number))
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

/* The worker has sent all. */
static void
call_end(struct bus_calls *calls, struct bus_call *call)
{
	uint64_t token = call->token;

	call->is_whole = true;
	if (call->held.len > 0)
		return;
	call_free(calls, call);
	calls->config.handler->reply_end(calls->config.handler_arg, token);
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
	if (call->is_whole)
		call_end(calls, call);
}

/* What waited for the daemon's credits. */
static void
calls_go_on(struct bus_calls *calls)
{
	struct bus_call *call, *next;
	bool was_found = true;

	/* As above: the search begins anew after each. */
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
	call->heard_ms = loop_now(calls->loop);
	if (number == 0 && !call_first(calls, call, msg))
		return;
	if (data.len == 0)
		call_credit(calls, call, 1);
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
	uint64_t number = call->number;

	if (call->parts_seen > 0) {
		call_broken(calls, call, "its reply holds a message without Ocf-Seq");
		return;
	}
	if (bus_msg_data(msg).len > BUS_AHEAD_BYTES_MAX) {
		call_broken(calls, call, "its reply is one message of over 8 MiB");
		return;
	}
	call->parts_seen = 1;
	if (!call_first(calls, call, msg))
		return;
	call->is_whole = true;
	call_data(calls, call, bus_msg_data(msg));
	if (calls_has(calls, number))
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
	call_error(calls, call, &error, is_returned ? BUS_RETURNED : BUS_ANSWERED);
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

static void
calls_on_message(struct bus_calls *calls, struct registry_worker *w, struct bus_msg *msg)
{
	const char *dot = strrchr(bus_msg_subject(msg), '.');
	struct bus_call *call = NULL;
	uint64_t number = 0, secret = 0;
	char *end = NULL;

	if (dot != NULL)
		number = strtoull(dot + 1, &end, 16);
	if (end != NULL && *end == '-')
		secret = strtoull(end + 1, &end, 16);
	HASH_FIND(hh_number, calls->by_number, &number, sizeof(number), call);
	if (call != NULL && call->w == w && call->secret == secret && !call->is_whole)
		call_on_message(calls, call, msg);
	else if ((call == NULL || call->is_whole) && number > 0 &&
		 number <= calls->calls_numbered)
		calls->stats.replies_late++;
	else
		calls->stats.replies_foreign++;
}

/* Everything that `w` sent. */
static void
calls_drain_worker(struct bus_calls *calls, struct registry_worker *w)
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

void
bus_calls_drain(struct bus_calls *calls)
{
	/* Callbacks may add and remove busy workers: each turn takes the head and puts it
	 * at the end, so that all who were there at the start have their turn. */
	for (int left = calls->busy_len; left > 0 && calls->busy != NULL; left--) {
		struct registry_worker *w = calls->busy;

		DL_DELETE2(calls->busy, w, busy_prev, busy_next);
		DL_APPEND2(calls->busy, w, busy_prev, busy_next);
		calls_drain_worker(calls, w);
	}
}

static bool
call_is_stalled(const struct bus_calls *calls, const struct bus_call *call, ms_t now)
{
	if (call->is_cancelled)
		return now - call->heard_ms > BUS_CANCEL_MS;
	return call->is_heard && !call->is_whole &&
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
				call_broken(calls, call, "it began and then fell silent");
			was_found = true;
			break;
		}
	}
	for (struct registry_worker *w = registry_first(reg); w != NULL; w = w->hh.next)
		if (w->calls == NULL)
			calls_drain_worker(calls, w);
}

void
bus_calls_stats(const struct bus_calls *calls, struct bus_stats *stats)
{
	stats->sent = calls->stats.sent;
	stats->replies_late = calls->stats.replies_late;
	stats->replies_foreign = calls->stats.replies_foreign;
	stats->outstanding = (int)HASH_CNT(hh_token, calls->by_token);
}
