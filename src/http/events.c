/* SPDX-License-Identifier: Apache-2.0 */
/* An id is LIFE.NUMBER: LIFE is drawn at each start, so that the numbers of a former life of
 * the node are not taken for those of this one. */
#include "config.h"

#include "http/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "http/metrics.h"
#include "http/routes.h"

/* One event as it is sent. */
struct event {
	char *text;
	size_t len;
};

struct follower {
	struct api_call call;
	bool has_begun;
	struct follower *prev, *next;
};

struct events {
	struct api *api;
	uint32_t life;
	uint64_t first, next; /* numbers: of the oldest that is kept, and to be given */
	size_t bytes;	      /* of all that are kept */
	struct event ring[EVENTS_RING_MAX]; /* by number */
	struct follower *followers;
	int followers_len;
	bool is_wanted; /* the host tells of changes */
	bool is_over;
	ms_t alone_since;	  /* nobody follows */
	struct loop_timer *timer; /* comments, and the end of lingering */
	uint64_t *sent, *cut;
};

static double
events_read_followers(void *arg)
{
	return ((struct events *)arg)->followers_len;
}

static ms_t
events_now(const struct events *events)
{
	return loop_now(events->api->config.loop);
}

/* ---- the ring ---- */

static void
events_drop_oldest(struct events *events)
{
	struct event *e = &events->ring[events->first++ % EVENTS_RING_MAX];

	events->bytes -= e->len;
	free(e->text);
	*e = (struct event){ .len = 0 };
}

/* What happens from now on is not told: no id of before can go on. */
static void
events_forget(struct events *events)
{
	const struct api_host *host = &events->api->config.host;

	events->is_wanted = false;
	host->watch(host->arg, false);
	while (events->first < events->next)
		events_drop_oldest(events);
	events->first = ++events->next;
}

static const struct event *
events_keep(struct events *events, json_t *event)
{
	struct event *e = &events->ring[events->next % EVENTS_RING_MAX];
	char time[CLOCK_TEXT_SIZE], *body;
	json_t *whole = json_pack("{s:I, s:s}", "seq", (json_int_t)events->next, "time",
				  clock_text(clock_wall_ms(), time));

	json_object_update(whole, event);
	body = json_dumps(whole, JSON_COMPACT);
	json_decref(whole);
	if (events->next - events->first == EVENTS_RING_MAX)
		events_drop_oldest(events);
	e->text = mem_printf("id: %08" PRIx32 ".%" PRIu64 "\ndata: %s\n\n", events->life,
			     events->next, body != NULL ? body : "{}");
	e->len = strlen(e->text);
	free(body);
	events->next++;
	events->bytes += e->len;
	while (events->bytes > EVENTS_RING_BYTES_MAX && events->first + 1 < events->next)
		events_drop_oldest(events);
	return e;
}

/* The number in Last-Event-ID, if all that came behind it is here. */
static bool
events_find(const struct events *events, const char *id, uint64_t *ret_number)
{
	char again[40];
	uint64_t number;
	uint32_t life;

	if (id == NULL || sscanf(id, "%8" SCNx32 ".%19" SCNu64, &life, &number) != 2)
		return false;
	snprintf(again, sizeof(again), "%08" PRIx32 ".%" PRIu64, life, number);
	*ret_number = number;
	return strcmp(again, id) == 0 && life == events->life &&
	       number + 1 >= events->first && number < events->next;
}

/* ---- those who follow ---- */

static void
events_on_timer(void *arg)
{
	struct events *events = arg;
	struct follower *f;

	DL_FOREACH (events->followers, f)
		if (f->has_begun)
			http_reply_data(f->call.x, bytes_text(": nothing new\n\n"));
	if (events->followers == NULL &&
	    events_now(events) - events->alone_since >= EVENTS_LINGER_MS)
		events_forget(events);
	if (events->is_wanted)
		loop_timer_set(events->timer, EVENTS_KEEP_ALIVE_MS);
}

static void
follower_free(struct follower *f)
{
	struct events *events = f->call.api->events;

	DL_DELETE(events->followers, f);
	events->followers_len--;
	events->alone_since = events_now(events);
	free(f);
}

/* No handler is called any more. */
static void
follower_end(struct follower *f)
{
	api_count(&f->call, 200);
	http_reply_end(f->call.x);
	follower_free(f);
}

static void
follower_send(struct follower *f, const struct event *e)
{
	struct events *events = f->call.api->events;

	(*events->sent)++;
	if (http_reply_data(f->call.x, bytes_of(e->text, e->len)) <=
	    EVENTS_PENDING_BYTES_MAX)
		return;
	(*events->cut)++;
	api_count(&f->call, 200);
	http_reply_abort(f->call.x);
	follower_free(f);
}

static void
follower_reset(struct follower *f, bool was_here)
{
	struct events *events = f->call.api->events;
	char time[CLOCK_TEXT_SIZE];
	char *text = mem_printf(
		"event: reset\nid: %08" PRIx32 ".%" PRIu64 "\n"
		"data: {\"seq\":%" PRIu64
		",\"time\":\"%s\",\"op\":\"reset\",\"why\":\"%s\"}\n\n",
		events->life, events->next - 1, events->next - 1,
		clock_text(clock_wall_ms(), time),
		was_here ? "what changed since this Last-Event-ID is not kept any more"
			 : "changes are told from here on");

	http_reply_data(f->call.x, bytes_text(text));
	free(text);
}

/* The request is whole: the reply begins, and does not end by itself. */
static void
follower_begin(struct follower *f)
{
	struct events *events = f->call.api->events;
	const char *last = http_head_get(f->call.head, "last-event-id");
	struct http_fields fields = { .len = 0 };
	uint64_t number;

	api_put_fields(&fields, "text/event-stream");
	http_fields_add(&fields, "x-accel-buffering", "no");
	http_reply_begin(f->call.x, 200, &fields, -1);
	f->has_begun = true;
	if (events->is_over || strcmp(f->call.head->method, "HEAD") == 0) {
		follower_end(f);
		return;
	}
	if (!events_find(events, last, &number)) {
		follower_reset(f, last != NULL);
		return;
	}
	/* The ring is smaller than what may be unread, so that none of these cuts. */
	while (++number < events->next)
		follower_send(f, &events->ring[number % EVENTS_RING_MAX]);
	http_reply_data(f->call.x, bytes_text(": all of it\n\n"));
}

static void
follower_on_body(void *arg, struct bytes data, bool is_last)
{
	(void)data; /* that of a GET means nothing */
	if (is_last)
		follower_begin(arg);
}

static void
follower_on_drain(void *arg)
{
	(void)arg;
}

/* It is how a stream of events ends, so no 499. */
static void
follower_on_abort(void *arg)
{
	struct follower *f = arg;

	api_count(&f->call, f->has_begun ? 200 : 499);
	follower_free(f);
}

void
events_run(const struct api_call *call)
{
	static const struct http_handler handler = {
		.on_body = follower_on_body,
		.on_drain = follower_on_drain,
		.on_abort = follower_on_abort,
	};
	struct events *events = call->api->events;
	const struct api_host *host = &call->api->config.host;
	struct follower *f;

	if (events->is_over || events->followers_len == EVENTS_FOLLOWERS_MAX) {
		api_refuse_for_now(call, 503, EVENTS_KEEP_ALIVE_MS / MS_SECOND,
				   events->is_over
					   ? "this node is stopping"
					   : "as many as may follow the changes do; try "
					     "again later, or another node");
		return;
	}
	if (!events->is_wanted) {
		events->is_wanted = true;
		host->watch(host->arg, true);
		loop_timer_set(events->timer, EVENTS_KEEP_ALIVE_MS);
	}
	f = mem_calloc(1, sizeof(*f));
	f->call = *call;
	DL_APPEND(events->followers, f);
	events->followers_len++;
	http_exchange_set_handler(call->x, &handler, f);
}

void
events_add(struct events *events, json_t *event)
{
	const struct event *e;
	struct follower *f, *next;

	if (events->is_wanted && !events->is_over) {
		e = events_keep(events, event);
		DL_FOREACH_SAFE (events->followers, f, next)
			if (f->has_begun)
				follower_send(f, e);
	}
	json_decref(event);
}

void
events_check_users(struct events *events)
{
	struct follower *f, *next;

	DL_FOREACH_SAFE (events->followers, f, next)
		if (f->has_begun && f->call.user != NULL &&
		    !access_knows(events->api->access, f->call.user))
			follower_end(f);
}

void
events_end(struct events *events)
{
	struct follower *f, *next;

	events->is_over = true;
	DL_FOREACH_SAFE (events->followers, f, next)
		if (f->has_begun)
			follower_end(f);
}

/* ---- from the beginning to the end ---- */

struct events *
events_new(struct api *api)
{
	struct events *events = mem_calloc(1, sizeof(*events));
	struct metrics *m = api->config.metrics;

	events->api = api;
	events->life = (uint32_t)rng_next(&api->rng);
	events->first = events->next = 1;
	events->timer = loop_timer_new(api->config.loop, events_on_timer, events);
	metrics_gauge_read(m, "ocf_http_events_followers", "Clients of /v1/events.", NULL,
			   events_read_followers, events);
	events->sent = metrics_counter(m, "ocf_http_events_sent_total",
				       "Changes of the table sent to them.", NULL);
	events->cut = metrics_counter(
		m, "ocf_http_events_cut_total",
		"Of them, those that were cut because they took them too slowly.", NULL);
	return events;
}

void
events_free(struct events *events)
{
	const struct api_host *host;

	if (events == NULL)
		return;
	host = &events->api->config.host;
	if (events->is_wanted)
		host->watch(host->arg, false);
	while (events->first < events->next)
		events_drop_oldest(events);
	loop_timer_free(events->timer);
	free(events);
}
