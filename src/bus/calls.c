/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's half of the calls: which there are, their requests in parts, cancel, credit,
 * and the ways in which they end. The worker's half is replies.c. */
#include "config.h"

#include "bus/calls-private.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"

static void calls_on_kick(void *arg);

static void
calls_random(void *out, size_t len)
{
	if (getrandom(out, len, 0) != (ssize_t)len)
		abort();
}

/* 64 bits that nobody can guess; the kernel is asked for many at once. */
static uint64_t
calls_secret(struct bus_calls *calls)
{
	uint64_t secret;

	if (calls->random_left < sizeof(secret)) {
		calls_random(calls->random, sizeof(calls->random));
		calls->random_left = sizeof(calls->random);
	}
	calls->random_left -= sizeof(secret);
	memcpy(&secret, calls->random + calls->random_left, sizeof(secret));
	/* What was given out is not kept beside what will be. */
	memset(calls->random + calls->random_left, 0, sizeof(secret));
	return secret;
}

struct bus_calls *
bus_calls_new(struct loop *loop, const struct bus_calls_config *config)
{
	struct bus_calls *calls = mem_calloc(1, sizeof(*calls));
	/* Tells this life from others. What nobody can guess each call has beside it. */
	uint8_t secret[4];
	char hex[2 * sizeof(secret) + 1];

	calls->loop = loop;
	calls->config = *config;
	calls_random(secret, sizeof(secret));
	snprintf(calls->prefix, sizeof(calls->prefix), BUS_SUBJECT_REPLY "%s",
		 hex_encode(secret, sizeof(secret), hex));
	calls->kick = loop_timer_new(loop, calls_on_kick, calls);
	return calls;
}

void
bus_call_free(struct bus_calls *calls, struct bus_call *call)
{
	struct registry_worker *w = call->w;

	HASH_DELETE(hh_token, calls->by_token, call);
	HASH_DELETE(hh_number, calls->by_number, call);
	HASH_DELETE(hh_name, calls->by_name, call);
	DL_DELETE(w->calls, call);
	if (--w->calls_len == 0) {
		DL_DELETE2(calls->busy, w, busy_prev, busy_next);
		calls->busy_len--;
	}
	buf_fini(&call->lines);
	buf_fini(&call->single);
	buf_fini(&call->held);
	free(call->subject);
	free(call);
}

void
bus_calls_free(struct bus_calls *calls, struct registry *reg)
{
	struct bus_call *call, *next;

	if (calls == NULL)
		return;
	HASH_ITER (hh_token, calls->by_token, call, next)
		bus_call_free(calls, call);
	for (struct registry_worker *w = registry_first(reg); w != NULL; w = w->hh.next)
		bus_calls_detach(calls, w);
	loop_timer_free(calls->kick);
	buf_fini(&calls->lines);
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
	snprintf(subject, sizeof(subject), "%s.%x.*", calls->prefix, w->number);
	assert(w->sub == NULL);
	if (calls->conn != NULL)
		w->sub = bus_conn_subscribe(calls->conn, subject, NULL);
	if (w->sub != NULL)
		calls->stats.reply_subs++;
}

void
bus_calls_detach(struct bus_calls *calls, struct registry_worker *w)
{
	if (w->sub != NULL) {
		calls->stats.reply_subs--;
		/* What it said too late or to others is counted, however soon it left. */
		if (calls->conn != NULL && w->calls == NULL)
			bus_calls_drain_worker(calls, w);
	}
	bus_sub_free(w->sub);
	w->sub = NULL;
}

/* --- control: what the node tells a worker about one of its queries --- */

void
bus_calls_control(struct bus_calls *calls, const struct bus_call *call, const char *op,
		  uint64_t n)
{
	char subject[BUS_SUBJECT_SIZE];
	json_t *message;
	char *text;

	if (calls->conn == NULL || call->w->pub.is_legacy)
		return;
	message = json_pack("{s:s,s:s}", "op", op, "id", call->name.req_id);
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

void
bus_call_error(struct bus_calls *calls, struct bus_call *call, struct query_error *error,
	       enum bus_outcome outcome)
{
	uint64_t token = call->token;

	error->is_taken = outcome == BUS_ANSWERED || outcome == BUS_LOST;
	error->node = calls->config.node_id;
	error->worker = mem_strdup(call->w->pub.id);
	bus_call_free(calls, call);
	calls->config.handler->reply_error(calls->config.handler_arg, token, error,
					   outcome);
	query_error_fini(error);
}

uint64_t
bus_calls_mark(const struct bus_calls *calls)
{
	return calls->calls_numbered;
}

void
bus_calls_fail_until(struct bus_calls *calls, struct registry_worker *w, uint64_t mark,
		     const char *reason)
{
	/* Oldest first; one that is given meanwhile is behind the mark. */
	while (w->calls != NULL && w->calls->number <= mark) {
		struct bus_call *call = w->calls;
		bool is_not_taken = call->is_not_taken;
		struct query_error error;

		if (is_not_taken)
			query_error_set(&error, 503, "worker %s is not there: %s",
					w->pub.id, reason);
		else
			query_error_set(&error, 502, "worker %s went away: %s", w->pub.id,
					reason);
		bus_call_error(calls, call, &error,
			       is_not_taken ? BUS_NOT_TAKEN : BUS_LOST);
	}
}

void
bus_calls_fail_worker(struct bus_calls *calls, struct registry_worker *w,
		      const char *reason)
{
	bus_calls_fail_until(calls, w, UINT64_MAX, reason);
}

void
bus_calls_doubt(struct bus_calls *calls, struct registry *reg,
		const struct registry_worker *w)
{
	struct registry_worker *other;
	struct bus_call *call;
	char subject[BUS_SUBJECT_SIZE];

	for (other = registry_first(reg); other != NULL && !w->pub.is_direct;
	     other = other->hh.next) {
		if (other->pub.is_direct)
			continue;
		DL_FOREACH (other->calls, call) {
			for (int i = 0; i < w->pub.services_len; i++) {
				bus_protocol_subject(w->pub.services[i].name, subject);
				if (call->is_doubtful || call->is_cancelled ||
				    call->subject == NULL ||
				    strcmp(call->subject, subject) != 0)
					continue;
				call->is_doubtful = true;
				call->heard_ms = loop_now(calls->loop);
			}
		}
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
		bus_call_error(calls, call, &error, BUS_ANSWERED);
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
	bus_calls_go_on(calls);
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

static size_t
call_name_len(const struct bus_call_name *name)
{
	return offsetof(struct bus_call_name, req_id) + strlen(name->req_id);
}

/* The client's id where it is unique at the worker: parts and cancel go by it. */
static void
calls_name(struct bus_calls *calls, struct bus_call *call, const char *request_id)
{
	struct bus_call_name *name = &call->name;
	const struct bus_call *other = NULL;
	size_t len = strlen(request_id);

	name->worker = call->w->number;
	memcpy(name->req_id, request_id,
	       len <= QUERY_REQUEST_ID_BYTES_MAX ? len : QUERY_REQUEST_ID_BYTES_MAX);
	HASH_FIND(hh_name, calls->by_name, name, call_name_len(name), other);
	if (other != NULL || len == 0 || len > QUERY_REQUEST_ID_BYTES_MAX)
		snprintf(name->req_id, sizeof(name->req_id), "%.*s~%" PRIx64,
			 QUERY_REQUEST_ID_BYTES_MAX, request_id, call->number);
	HASH_ADD(hh_name, calls->by_name, name, call_name_len(name), call);
}

static char *
text_put_hex(char *p, uint64_t value, int digits_min)
{
	int bits = 4 * (digits_min - 1);

	while (bits < 60 && value >> bits >= 16)
		bits += 4;
	for (; bits >= 0; bits -= 4)
		*p++ = "0123456789abcdef"[value >> bits & 15];
	return p;
}

/* "ocf.r.<secret>.<worker>.<number>-<secret of the call>": by hand, since it is made for each
 * query. */
static void
call_put_reply_subject(const struct bus_calls *calls, const struct bus_call *call,
		       char out[CALLS_PREFIX_SIZE + 64])
{
	size_t len = strlen(calls->prefix);
	char *p = out + len;

	memcpy(out, calls->prefix, len);
	*p++ = '.';
	p = text_put_hex(p, call->w->number, 1);
	*p++ = '.';
	p = text_put_hex(p, call->number, 1);
	*p++ = '-';
	p = text_put_hex(p, call->secret, 16);
	*p = '\0';
}

static const char *
call_put_own_subject(const struct bus_call *call, char out[CALLS_OWN_SIZE])
{
	memcpy(out, BUS_SUBJECT_DIRECT, sizeof(BUS_SUBJECT_DIRECT) - 1);
	memcpy(out + sizeof(BUS_SUBJECT_DIRECT) - 1, call->w->pub.id,
	       strlen(call->w->pub.id) + 1);
	return out;
}

/* With calls->lines, which of a first part are the head. */
static int
call_publish(struct bus_calls *calls, struct bus_call *call, struct bytes data,
	     bool is_last)
{
	struct buf *lines = &calls->lines;
	char reply[CALLS_PREFIX_SIZE + 64], own[CALLS_OWN_SIZE];
	const char *subject = call->subject;
	bool is_first = call->parts_sent == 0;
	int rc;

	if (!is_first)
		bus_headers_put(lines, BUS_H_REQ_ID, call->name.req_id);
	if (!is_first || !is_last)
		bus_headers_put_number(lines, BUS_H_PART, call->parts_sent);
	if (!is_first && is_last)
		bus_headers_put_number(lines, BUS_H_PARTS, call->parts_sent + 1);
	if (is_first)
		call_put_reply_subject(calls, call, reply);
	if (subject == NULL)
		subject = call_put_own_subject(call, own);
	/* One 503 a query, not one a part: only the first asks for an answer. */
	rc = bus_conn_publish(calls->conn, subject, is_first ? reply : NULL, lines, data);
	if (rc == 0) {
		call->parts_sent++;
		call->is_sent_whole = is_last;
	}
	return rc;
}

/* A worker without slots gets its request as one message, which is gathered here. */
static int
call_gather(struct bus_calls *calls, struct bus_call *call, struct bytes part,
	    bool is_last)
{
	int rc;

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
	buf_clear(&calls->lines);
	buf_put_bytes(&calls->lines, buf_bytes(&call->lines));
	rc = call_publish(calls, call, part, true);
	buf_fini(&call->lines);
	buf_fini(&call->single);
	return rc;
}

static int
call_begin(struct bus_calls *calls, struct bus_call *call, const struct query_head *head,
	   struct bytes first, bool is_last)
{
	bool is_direct = call->w->pub.is_direct;
	int rc;

	buf_clear(&calls->lines);
	rc = bus_protocol_request(head, call->name.req_id,
				  is_direct ? &calls->lines : &call->lines);
	if (rc < 0)
		return rc;
	return is_direct ? call_publish(calls, call, first, is_last)
			 : call_gather(calls, call, first, is_last);
}

int
bus_calls_send(struct bus_calls *calls, struct registry_worker *w, uint64_t token,
	       const struct query_head *head, struct bytes first, bool is_last)
{
	char subject[BUS_SUBJECT_SIZE];
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
	call->secret = calls_secret(calls);
	call->w = w;
	calls_name(calls, call, head->request_id);
	if (!w->pub.is_direct)
		call->subject = mem_strdup(bus_protocol_subject(head->service, subject));
	HASH_ADD(hh_token, calls->by_token, token, sizeof(call->token), call);
	HASH_ADD(hh_number, calls->by_number, number, sizeof(call->number), call);
	DL_APPEND(w->calls, call);
	if (w->calls_len++ == 0) {
		DL_APPEND2(calls->busy, w, busy_prev, busy_next);
		calls->busy_len++;
	}
	rc = call_begin(calls, call, head, first, is_last);
	if (rc < 0)
		bus_call_free(calls, call);
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
	if (calls->conn == NULL)
		return -ENOTCONN;
	if (!call->w->pub.is_direct)
		return call_gather(calls, call, part, is_last);
	buf_clear(&calls->lines);
	return call_publish(calls, call, part, is_last);
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
		bus_call_free(calls, call);
		return -OCF_EUNKNOWN;
	}
	bus_calls_control(calls, call, "cancel", 0);
	call->is_cancelled = true;
	buf_fini(&call->held);
	call->heard_ms = loop_now(calls->loop);
	return 0;
}

void
bus_call_give_credit(struct bus_calls *calls, struct bus_call *call, int n)
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
	bus_calls_control(calls, call, "credit", (uint64_t)n);
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
	bus_call_give_credit(calls, call, n);
}

void
bus_calls_stats(const struct bus_calls *calls, struct bus_stats *stats)
{
	const struct bus_call *call;

	stats->sent = calls->stats.sent;
	stats->reply_subs = calls->stats.reply_subs;
	for (call = calls->by_token; call != NULL; call = call->hh_token.next)
		stats->held_bytes += call->held.len + call->single.len;
	stats->replies_late = calls->stats.replies_late;
	stats->replies_foreign = calls->stats.replies_foreign;
	stats->outstanding = (int)HASH_CNT(hh_token, calls->by_token);
}
