/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the daemon's drive of the dispatch core, for its own files only; the others see
 * what daemon.h shows.
 *
 *	queries.c      clients and other nodes
 *	queries-bus.c  the workers of this node
 *	queries-load.c words of load between nodes
 *	queries-bounds.c bounds, and what they refused
 *
 * All on the loop's thread. */
#ifndef OCF_DAEMON_QUERIES_H
#define OCF_DAEMON_QUERIES_H

#include "base/fasthash.h" /* first */

#include <uthash.h>

#include "daemon/daemon.h"
#include "dispatch/dispatch.h"
#include "mesh/wire.h"

/* A client's query. */
struct client {
	uint64_t number;
	struct queries *queries;
	struct api_query *reply;
	ms_t started_ms;
	UT_hash_handle hh;
};

/* A run that a worker of ours is to have, not sent yet: the head goes with the first part
 * of its body, so that a small query is one message. */
struct opening {
	uint64_t run;
	uint64_t worker;
	const struct query_head *head; /* kept of dispatch's action */
	UT_hash_handle hh;
};

struct queries_refusal {
	struct queries *queries;
	enum dispatch_refusal why;
};

struct queries {
	struct daemon *d;
	struct dispatch *dispatch;
	struct client *clients;
	struct opening *openings;
	struct loop_timer *timer;
	ms_t timer_at; /* when it is armed for; -1: it is not */
	uint64_t last_number;
	struct catalog_providers providers;
	struct buf frame;
	struct metric_histogram *seconds;
	uint64_t *answered, *failed;
	struct queries_refusal refusals[DISPATCH_REFUSALS];
	bool is_pumping;
	bool is_closing;
};

/* Feed the core and do what it asks. */
void queries_step(struct queries *qs, const struct dispatch_event *event);
/* LOAD, PROBE or PULL, and the frames of these. */
void queries_load_do(struct queries *qs, const struct dispatch_action *a);
void queries_load_frame(struct queries *qs, const struct wire_query *q,
			struct dispatch_event *event);
void queries_load_add_metrics(struct queries *qs);
void queries_bounds_configure(const struct config *from, struct dispatch_config *to);
void queries_bounds_add_metrics(struct queries *qs);
void queries_send(struct queries *qs, uint64_t link);
/* How the policy is called; the default for an unknown one. */
enum dispatch_policy queries_policy(const char *name);
/* An action about a run of a worker here. */
void queries_worker_do(struct queries *qs, const struct dispatch_action *a);
/* Runs that were not sent yet to this worker (0: to any) never will be. */
void queries_drop_openings(struct queries *qs, uint64_t number);

#endif
