/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the calls share: calls.c, where the daemon comes in, and replies.c,
 * where the workers' messages do. Nobody else includes this. */
#ifndef OCF_BUS_CALLS_PRIVATE_H
#define OCF_BUS_CALLS_PRIVATE_H

#include "base/fasthash.h" /* first */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/bytes.h"
#include "base/query.h"
#include "bus/calls.h"
#include "bus/protocol.h"

enum {
	CALLS_PREFIX_SIZE = 64,
	CALLS_OWN_SIZE = sizeof(BUS_SUBJECT_DIRECT) + LIMIT_WORKER_ID_BYTES_MAX,
	CALLS_ID_SIZE = QUERY_REQUEST_ID_BYTES_MAX + 24,
	CALLS_RANDOM_BYTES = 256, /* fetched at once; of so many getrandom(2) gives all */
};

/* By which a worker knows a call. The bytes behind the id are no part of the key. */
struct bus_call_name {
	unsigned worker; /* its number */
	char req_id[CALLS_ID_SIZE];
};

struct bus_call {
	uint64_t token;	 /* the daemon's */
	uint64_t number; /* ours, in the reply subject, beside: */
	uint64_t secret;
	struct bus_call_name name;
	struct registry_worker *w;

	/* The request */
	char *subject;	   /* of its queue group; NULL: the worker's own */
	struct buf lines;  /* headers of a single message, until that is complete, */
	struct buf single; /* and the body so far, for a worker without slots */
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
	bool is_doubtful; /* since heard_ms: who had it may be gone */
	bool is_not_taken;
	bool is_cancelled; /* since heard_ms; only its end is still of interest */
	ms_t heard_ms;

	struct bus_call *prev, *next; /* of its worker, oldest first */
	UT_hash_handle hh_token, hh_number, hh_name;
};

struct bus_calls {
	struct loop *loop;
	struct bus_calls_config config;
	struct bus_conn *conn;		/* NULL: down */
	char prefix[CALLS_PREFIX_SIZE]; /* "ocf.r.<secret of this life>" */
	unsigned workers_numbered;
	uint64_t calls_numbered;
	struct bus_call *by_token, *by_number, *by_name;
	struct registry_worker *busy;
	int busy_len;
	int reads; /* since idle workers were looked at */
	struct loop_timer
		*kick; /* what a call of the daemon's must not call back itself */
	struct bus_stats stats;
	struct buf lines; /* headers of the message that is being made */
	uint8_t random[CALLS_RANDOM_BYTES]; /* the last `random_left` are unused */
	size_t random_left;
};

/* calls.c */

/* Without a callback. */
void bus_call_free(struct bus_calls *calls, struct bus_call *call);
/* What the node tells a worker about one of its queries. */
void bus_calls_control(struct bus_calls *calls, const struct bus_call *call,
		       const char *op, uint64_t n);
/* Free `call`, then tell the daemon; `error` is completed, and finished. */
void bus_call_error(struct bus_calls *calls, struct bus_call *call,
		    struct query_error *error, enum bus_outcome outcome);
/* `n` of the worker's parts were passed on, or pieces of them. */
void bus_call_give_credit(struct bus_calls *calls, struct bus_call *call, int n);

/* replies.c */

/* Everything that `w` sent. */
void bus_calls_drain_worker(struct bus_calls *calls, struct registry_worker *w);
/* What waited for the daemon's credits. */
void bus_calls_go_on(struct bus_calls *calls);

#endif
