/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher: brings every query to a free worker, here or on another node, and its
 * reply back; each query ends exactly once, by its deadline at the latest.
 *
 * A sans-io core: dispatch_step(core, now, event) changes its state and queues actions,
 * which the driver takes out with dispatch_next() and performs; dispatch_due() says when it
 * wants a DISPATCH_EVENT_TICK. No system call, no clock, no log. Two drivers run it:
 * src/daemon and tests/sim.
 *
 * Two kinds of things have numbers:
 *   a query  (link, query): who asked. link 0 = a client of this node, and `query` is a
 *            number that the driver chose; else the link by which another node asked, and
 *            `query` is the qid in its frames. The pair is unique while the query lives.
 *   a run    one attempt to have it answered: by a worker of this node (link 0) or by the
 *            node behind `link` (its frames' qid is the run). The core numbers runs and
 *            never uses a number twice, so that late words of an abandoned attempt are told
 *            apart and dropped.
 *
 * The life of a query: QUERY_NEW with its candidates, the nodes that offer it (made by
 * the driver from the table). One is chosen by the policy (choose.c). The node itself:
 * the query waits in its service's queue, where tenants take turns (tenants.h), until a
 * worker that serves it has a free slot (late binding); or is refused there (bounds.c).
 * Another node: it is forwarded there and waits in that node's queue. One that would wait
 * there goes on once more if it would be done sooner elsewhere, and one that waits is given to
 * a node that has nothing to do and asks for it (moves.c); by DISPATCH_HOPS_MAX hops in all.
 * A candidate that fails before a worker has taken the query is left out and another one
 * drawn; after that, only an idempotent query is tried again, before its first reply byte, at
 * most `retries` times and within the budget of its service (budgets.h). Such a one that takes
 * unusually long may be sent to a second worker at the same time; who replies first answers it
 * (hedges.c).
 * One whose way fails is tried by another way, when no other candidate is left. The body
 * is kept for that while it can be needed and is at most DISPATCH_KEEP_BYTES_MAX long.
 *
 * Taken means: for a worker of this node, that RUN_OPEN was asked for; for another node,
 * that it said so (RUN_TAKEN) and, if the query is not idempotent, that RUN_GO was sent.
 *
 * Flow control: bodies and replies pass in parts (1 … LIMIT_PART_BYTES_MAX bytes; an empty
 * one only as the last) with LIMIT_PARTS_WINDOW of them on the way at a time:
 *   body     the driver may give that many parts with QUERY_BODY, and one more for each
 *            part of a DISPATCH_ACTION_WANT; the core sends a run that many, and one more
 *            for each part of a RUN_CREDIT
 *   reply    the other way round: QUERY_CREDIT when the client (or node) has taken parts;
 *            DISPATCH_ACTION_CREDIT allows the run to send more
 * An empty last part needs no credit. A query with body_len 0 has no body parts. */
#ifndef OCF_DISPATCH_DISPATCH_H
#define OCF_DISPATCH_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/query.h"

struct dispatch;

enum {
	DISPATCH_CANDIDATES_MAX = 64, /* of a query; of more the driver draws */
	DISPATCH_TIMEOUT_MS_MAX = MS_DAY,
	/* A body up to here is kept so that it can be sent again; a longer one is sent once. */
	DISPATCH_KEEP_BYTES_MAX = 4 * 1024 * 1024,
	/* A worker that was told to cancel keeps its slot until it answers, or this long. */
	DISPATCH_CANCEL_MS = 5 * MS_SECOND,
	/* For RUN_GO after RUN_TAKEN: then the reserved slot is given to another query. */
	DISPATCH_GO_MS = 5 * MS_SECOND,
	DISPATCH_RETURNS_MAX = 8,	/* times that workers may give one query back */
	DISPATCH_RETRY_AFTER_S_MIN = 1, /* of each 429 and 503 */
	DISPATCH_RETRY_AFTER_S_MAX = 60,
	DISPATCH_HOPS_MAX =
		2, /* nodes that a query is forwarded by, its first one included */
	/* Told to one who found only nodes that drain: about what a restart takes. */
	DISPATCH_DRAIN_RETRY_S = 5,
};

/* How one of several candidates is chosen. */
enum dispatch_policy {
	DISPATCH_RANDOM,       /* any, uniformly */
	DISPATCH_LEAST_LOADED, /* of all, the one with the fewest own queries for its slots */
	DISPATCH_BEST,	       /* of a few, the one that is expected to be done first */
};

struct dispatch_config {
	struct id self;
	uint64_t seed;
	int queue_max;		   /* queries waiting for one service (1 at least) */
	int tenant_queue_max;	   /* of these, of one tenant; 0: all */
	uint64_t buffer_bytes_max; /* of all bodies held; beyond it new queries get 503 */
	uint64_t tenant_bytes_max; /* of these, of one tenant's; 0: all */
	ms_t wait_max_ms;  /* that is expected of a query; 0: up to its deadline */
	int retries;	   /* of an idempotent query that a worker had taken */
	int hedge_percent; /* of all queries, so many may be sent twice; 0: none is */
	int64_t body_bytes_max; /* http.max_body; beyond it 413 */
	enum dispatch_policy policy;
};

/* What a node says of a service: its ready workers' slots, those in use, queries that wait,
 * and the smoothed time that one takes (0: none was measured yet). */
struct dispatch_load {
	int slots, running, queued;
	int64_t mean_us;
};

struct dispatch_candidate {
	struct id node;
	int slots;     /* of its workers, as the table has it; 0 not known */
	ms_t rtt_ms;   /* of the link to it; 0 also when not known */
	uint64_t link; /* 0: this node itself */
	/* The link is to another node, which passes the query on to this one. To the core that
	 * is a link like others, but that it may end in two ways. */
	bool is_relayed;
	/* No link leads there yet, but one may be found: when the query is to go there it waits
	 * for DISPATCH_EVENT_WAY. `link` is 0. */
	bool is_far;
	/* So many other ways may be looked for when one fails before a worker has the query:
	 * after all other candidates. */
	int ways;
	uint64_t not_by; /* the core's: the link by which it failed */
};

struct dispatch_service {
	const char *name;
	char *const *match; /* none: every query of the service */
	int match_len;
};

struct dispatch_worker {
	uint64_t worker;  /* a number that the driver chose; never used twice */
	const char *name; /* its id in the table */
	int slots;	  /* 1 … LIMIT_SLOTS_MAX */
	bool is_draining; /* finishes what it has, gets nothing new */
	const struct dispatch_service *services;
	int services_len;
};

enum dispatch_failure {
	DISPATCH_NOT_TAKEN, /* no worker ever had it: nobody subscribed, queue full */
	DISPATCH_NO_WAY,   /* nor did it get to the node: only the way there has failed */
	DISPATCH_LOST,	   /* a worker had it and is gone or silent: outcome not known */
	DISPATCH_ANSWERED, /* the worker itself says that it failed: not tried again */
};

enum dispatch_event_type {
	/* The time of dispatch_due() has come. */
	DISPATCH_EVENT_TICK,
	/* A new query: `link`, `query`, `head`, its `candidates`, or of a client an `error`
	 * that is its answer. One of another node needs candidates only if it
	 * would wait here (dispatch_would_wait()): the node itself, and others but the one
	 * that asks. */
	DISPATCH_EVENT_QUERY_NEW,
	DISPATCH_EVENT_QUERY_BODY,   /* `data`, `is_last` */
	DISPATCH_EVENT_QUERY_CREDIT, /* `parts` of the reply were consumed */
	DISPATCH_EVENT_QUERY_GO,     /* from a node, after TAKEN */
	DISPATCH_EVENT_QUERY_CANCEL, /* whoever asked has left; no action follows for it */
	/* What became of a `run`; `link` as the driver knows it (0 from a worker), and words
	 * of another link than the run's are dropped. */
	DISPATCH_EVENT_RUN_TAKEN,  /* from a node */
	DISPATCH_EVENT_RUN_CREDIT, /* `parts` of the body were consumed */
	DISPATCH_EVENT_RUN_HEAD,   /* `reply` */
	DISPATCH_EVENT_RUN_DATA, /* `data`; `is_last` ends it. Without a RUN_HEAD before,
				      * the reply has status 200 */
	DISPATCH_EVENT_RUN_FAILED,   /* `failure`, `error`; ends it */
	DISPATCH_EVENT_RUN_RETURNED, /* a worker answered 429 or 503: back to the queue, and
				      * nothing for that worker for `retry_after_s` */
	/* A worker came or changed: `worker`. What it runs goes on. */
	DISPATCH_EVENT_WORKER,
	/* It is gone: `worker_id`. */
	DISPATCH_EVENT_WORKER_GONE,
	/* All workers are gone. */
	DISPATCH_EVENT_BUS_DOWN,
	/* By `link` queries reach `node`, with `is_relayed` by being passed on; 0: no way was
	 * found. The answer to DISPATCH_ACTION_WAY. */
	DISPATCH_EVENT_WAY,
	/* The node behind `link` (`node`; of a run that is passed on its own) says its `load` of
	 * `service`: with `run`, or in answer to the PROBE or PULL that had this number. */
	DISPATCH_EVENT_LOAD,
	/* It asks for that: (`link`, `query`), `service`. */
	DISPATCH_EVENT_PROBE,
	/* It has slots free, see its `load`, and asks for a query of `service` that waits here;
	 * `node`, (`link`, `query`). */
	DISPATCH_EVENT_PULL,
	/* `link` has ended (MESH_ACTION_LINK_DOWN). */
	DISPATCH_EVENT_LINK_DOWN,
	/* From now on (`is_draining`), or no more: other nodes' queries are not taken. Those
	 * that wait here go back to be tried elsewhere; what runs, and what this node's own
	 * clients have asked, goes on as ever. */
	DISPATCH_EVENT_DRAIN,
	/* The end: every query is told so, what workers run is cancelled, and what still
	 * comes is refused. */
	DISPATCH_EVENT_STOP,
};

/* Fields that an event does not name are zero. Everything is borrowed for the call. */
struct dispatch_event {
	enum dispatch_event_type type;
	uint64_t link;
	uint64_t query;
	uint64_t run;
	struct id node;
	bool is_relayed;
	const struct query_head *head;
	const struct reply_head *reply;
	const struct query_error *error; /* status and text are used, and retry_after_s */
	enum dispatch_failure failure;
	struct bytes data;
	bool is_last;
	int parts;
	int retry_after_s;
	const struct dispatch_candidate *candidates;
	int candidates_len;
	const struct dispatch_worker *worker;
	uint64_t worker_id;
	bool is_draining;
	const char *service;
	struct dispatch_load load;
};

enum dispatch_action_type {
	/* Look for a way to `node`, which was a candidate without one (`is_far`), or whose way
	 * failed: then not by `link`. */
	DISPATCH_ACTION_WAY,
	/* To `node`, if it is linked, else to nobody: number `run`, `service`, and with PULL
	 * the `load` here. */
	DISPATCH_ACTION_PROBE,
	DISPATCH_ACTION_PULL,
	/* To whoever asked, (`link`, `query`): */
	DISPATCH_ACTION_WANT,  /* `parts` more of the body may be given */
	DISPATCH_ACTION_TAKEN, /* a worker is about to have it (to nodes: QUERY_TAKEN) */
	DISPATCH_ACTION_LOAD,  /* to nodes: `service`, `load` */
	DISPATCH_ACTION_HEAD,  /* `reply` */
	DISPATCH_ACTION_DATA,  /* `data`; `is_last` ends the query */
	DISPATCH_ACTION_ERROR, /* `error`, `is_final`; ends the query. After HEAD the client's
				* connection is to be cut off */
	/* To whoever answers, `run`; `link` and, if that is 0, `worker_id`: */
	/* `head`, with attempt, hops and timeout_ms as of now; `relay_to`: zero, or the node
	 * to which whoever is behind the link is to pass it on. */
	DISPATCH_ACTION_RUN_OPEN,
	DISPATCH_ACTION_RUN_BODY,   /* `data`, `is_last` */
	DISPATCH_ACTION_RUN_GO,	    /* to a node */
	DISPATCH_ACTION_RUN_CREDIT, /* `parts` more of the reply may be sent */
	DISPATCH_ACTION_RUN_CANCEL, /* not wanted any more. A worker's driver answers with
				     * RUN_FAILED or the last RUN_DATA when it has stopped */
};

struct dispatch_action {
	enum dispatch_action_type type;
	uint64_t link;
	uint64_t query;
	uint64_t run;
	uint64_t worker_id;
	struct id relay_to;
	struct id node;
	const struct query_head *head;
	const struct reply_head *reply;
	const struct query_error *error;
	bool is_final;
	struct bytes data;
	bool is_last;
	int parts;
	const char *service;
	struct dispatch_load load;
};

/* Why a query may not wait here, or its body has no room. */
enum dispatch_refusal {
	DISPATCH_REFUSED_QUEUE, /* the queue of its service is full: 503 */
	DISPATCH_REFUSED_SHARE, /* that, and its tenant has its part of it: 429 */
	DISPATCH_REFUSED_GAVE_WAY, /* it waited, and had to give way to another tenant: 429 */
	DISPATCH_REFUSED_TENANT_QUEUE, /* tenant_queue_max: 429 */
	DISPATCH_REFUSED_DEADLINE,     /* its turn would come after its deadline: 503 */
	DISPATCH_REFUSED_WAIT,	       /* wait_max_ms: 503 */
	DISPATCH_REFUSED_BYTES,	       /* buffer_bytes_max: 503 */
	DISPATCH_REFUSED_TENANT_BYTES, /* tenant_bytes_max: 429 */
	DISPATCH_REFUSALS
};

struct dispatch *dispatch_new(const struct dispatch_config *config);
/* Forgets all queries without a word. NULL is allowed. */
void dispatch_free(struct dispatch *d);
void dispatch_step(struct dispatch *d, ms_t now, const struct dispatch_event *event);
/* The next action, in order; false when there is none. What it points to is valid until the
 * next call of dispatch_next() or dispatch_free(). Steps may come in between. */
bool dispatch_next(struct dispatch *d, struct dispatch_action *ret_action);
/* After dispatch_next() gave a DISPATCH_ACTION_RUN_OPEN, once: its head, to be kept until
 * dispatch_head_drop(), also beyond dispatch_free(). */
const struct query_head *dispatch_head_keep(struct dispatch *d);
void dispatch_head_drop(const struct query_head *head); /* NULL is allowed */
/* The moment of the next tick; -1 when nothing is waited for. */
ms_t dispatch_due(const struct dispatch *d);

/* Does any query come or go by this link (not 0)? */
bool dispatch_uses(const struct dispatch *d, uint64_t link);

/* Would such a query of another node have to wait here? */
bool dispatch_would_wait(const struct dispatch *d, const struct query_head *head);

struct dispatch_stats {
	int queries;   /* alive, of clients and of other nodes */
	int queued;    /* waiting here for a worker */
	int running;   /* slots in use by workers of this node, cancelled ones included */
	int forwarded; /* runs at other nodes */
	int slots;     /* of all workers that are not draining */
	int tenants;   /* that have queries waiting here, for each service */
	uint64_t buffered_bytes; /* of bodies */
	/* Since the start: */
	uint64_t taken, retried, returned, cancelled, expired, failed, done;
	uint64_t late; /* words about runs that were over */
	/* Queries of others that went on, were given to who asked; pulls and probes sent. */
	uint64_t onward, given, pulls, probes;
	uint64_t refused[DISPATCH_REFUSALS];
	/* Retries after a worker had the query: made, not in the budget; second copies, and those
	 * that replied first; queries that waited for a faster worker while one was free; nodes
	 * and workers left alone because they failed again and again. */
	uint64_t repeated, unrepeated, hedges, hedges_won, held;
	uint64_t ejected_nodes, ejected_workers;
};
void dispatch_stats(const struct dispatch *d, struct dispatch_stats *ret_stats);

#endif
