/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events: changes of the table as server-sent events (WHATWG HTML, 9.2), as they
 * happen. Each has a number, and the last ones are kept in a ring, so that a client that was
 * away for a while goes on where it was by Last-Event-ID.
 *
 * A client that is new, or was away for too long, first gets an event `reset`: what it knows
 * counts no more, it reads the lists, and what follows are changes since. One that takes its
 * events too slowly is cut, and may come again.
 *
 * The host is asked to tell changes only while somebody follows, and for EVENTS_LINGER_MS
 * after the last has left. The loop's thread only. */
#ifndef OCF_HTTP_EVENTS_H
#define OCF_HTTP_EVENTS_H

#include <jansson.h>

#include "base/clock.h"

struct api;
struct api_call;
struct events;

enum {
	EVENTS_RING_MAX = 4096, /* kept */
	EVENTS_RING_BYTES_MAX = 2 * 1024 * 1024,
	EVENTS_FOLLOWERS_MAX = 64,
	/* What a client may leave unread: all of a ring, and as much again. */
	EVENTS_PENDING_BYTES_MAX = 2 * EVENTS_RING_BYTES_MAX,
	EVENTS_KEEP_ALIVE_MS = 15 * MS_SECOND, /* a comment, when nothing else was sent */
	EVENTS_LINGER_MS = 5 * MS_MINUTE,
};

struct events *events_new(struct api *api);
/* After the server, whose end has ended those who follow. NULL is allowed. */
void events_free(struct events *events);
/* Something changed: an object, taken over, that gets "seq" and "time" in front. */
void events_add(struct events *events, json_t *event);
/* End the streams of those whose token is not known any more; and of all, and of all to come. */
void events_check_users(struct events *events);
void events_end(struct events *events);

/* The route. */
void events_run(const struct api_call *call);

#endif
