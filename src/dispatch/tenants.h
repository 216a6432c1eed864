/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for the workers of one service, and whose turn is next: fair between tenants,
 * first come first served within one. A tenant is whoever asks: a token's name, a user of this
 * machine, an address (tenants_name()).
 *
 * A free slot may serve only some of what waits, by the selectors; and among these the tenants
 * take turns, so that one who asks a hundred times a second leaves the others their part.
 *
 *	queue --- line --- flow --- waiting, waiting, ...
 *	    \             /
 *	     --- share ---
 *
 * A line has what the same workers serve: whichever of them is free may have the first of
 * the line, and nothing is ever looked at and skipped. There are as many lines as sets of workers
 * that queries tell apart, which workers' announcements bound and not clients. A flow is what one
 * tenant has in a line, in order of arrival; a share is what it has in the queue, for bounds.
 *
 * Turns within a line are those of self-clocked fair queueing (Golestani, "A self-clocked fair
 * queueing scheme for broadband applications", 1994), by start: each flow has one, a virtual
 * time, and the least has its turn.
 *
 *	who comes, or comes back: start = max(start, time of the line)
 *	a turn: start += expected time / weight; time of the line = start
 *	its end: what it took is put in place of what was expected
 *
 * So turns are shared by the time of workers, and not by the number of queries: of tenants who
 * always have something waiting none gets ahead of another by more than one query (with several
 * slots: by more than they run at one time). Nobody saves up turns by waiting, none pays for
 * having used what nobody else wanted, and those who wait are reached whoever else comes: the
 * time of the line goes on with each turn.
 *
 * A worker that serves several lines, or several services, takes the one whose next flow has
 * waited longest since it came or had a turn (tenants_is_before()).
 *
 * A put, a turn and a removal cost the logarithm of the number of tenants. What is kept lives as
 * long as something waits in the line; of tenants with nothing in it TENANTS_IDLE_MAX are
 * remembered, those whose start is still ahead, the latest ones. Pure: no clock. */
#ifndef OCF_DISPATCH_TENANTS_H
#define OCF_DISPATCH_TENANTS_H

#include "base/fasthash.h" /* first */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/hash.h"
#include "base/id.h"
#include "base/query.h"
#include "dispatch/heap.h"

enum {
	TENANTS_WEIGHT = 1,	/* of a tenant whose share is not said */
	TENANTS_IDLE_MAX = 256, /* of a line */
	TENANTS_WALK_MAX = 64,	/* flows that a walk looks at, and steps of it */
	/* A query takes so much at least: clocks have milliseconds. */
	TENANTS_COST_US_MIN = 100,
};

struct line;
struct flow;
struct share;

/* Embedded in what waits. */
struct waiting {
	struct waiting *prev, *next; /* of its flow */
	struct flow *flow;	     /* NULL: it does not wait */
	uint64_t turn; /* order of arrival, of the owner's; 0: has none yet */
	void *owner;
};

/* One turn that a worker has not ended yet. Zero: it had not waited. */
struct turn {
	struct flow *flow;
	int weight;
	int64_t charged; /* virtual time */
	uint64_t served;
};

/* Zero is an empty one. */
struct tenants {
	int len;
	int64_t cost_us; /* what a query is expected to take; set it whenever known better */
	int shares_len; /* tenants that wait, */
	int weights;	/* and these have in all */
	struct share *shares;
	struct line *lines;
};

struct share {
	char *name;
	UT_hash_handle hh;
	int weight;
	int len;
	struct flow *flows; /* also idle ones */
};

struct line {
	struct u128 key; /* of the set of its workers */
	UT_hash_handle hh;
	struct tenants *queue;
	int len;
	int64_t now;	   /* virtual, us */
	uint64_t served;   /* the turn that has set it */
	struct heap flows; /* that have something waiting, by start */
	struct flow *idle; /* the latest at the end */
	int idle_len;
};

struct flow {
	struct heap_item item; /* first, so that a pointer to it is one to this */
	struct line *line;     /* NULL: gone, and kept for its turns alone */
	struct share *share;
	struct waiting *queue;
	int len;
	int64_t start;
	uint64_t served;	   /* the owner's order, when it had a turn */
	int turns;		   /* not ended */
	struct flow *prev, *next;  /* idle, of the line */
	struct flow *left, *right; /* all of the share */
};

/* Nothing may wait any more; turns may be under way. */
void tenants_fini(struct tenants *t);

/* Let `w` wait, in its place by `turn` among those of its tenant. */
void tenants_put(struct tenants *t, struct waiting *w, const char *tenant, int weight,
		 struct u128 workers);
/* It does not wait any more, and had no turn. */
void tenants_remove(struct waiting *w);
/* It has its turn. `served`: above all that was given before. `ret_turn`: to be ended; NULL: its
 * tenant is charged with what was expected and that is all. */
void tenants_take(struct waiting *w, uint64_t served, struct turn *ret_turn);
/* The turn is over, after so long. */
void tenants_done(struct turn *turn, int64_t took_us);
/* The query comes back as if it had had no turn. */
void tenants_back(struct turn *turn);

/* Whose turn it is. */
struct waiting *tenants_next(const struct line *line);
/* Between the next ones of two lines. */
bool tenants_is_before(const struct waiting *a, const struct waiting *b);

/* How many of the tenant wait. */
int tenants_len(const struct tenants *t, const char *tenant);
/* Of `max` places, those that are the tenant's when all have what is theirs: one at least. */
int tenants_fair(const struct tenants *t, const char *tenant, int weight, int max);
/* How many go before one more of this tenant that the same workers would serve. */
int tenants_ahead(const struct tenants *t, const char *tenant, int weight,
		  struct u128 workers);
/* The latest of the tenant that has most, for its weight. NULL: nothing waits. */
struct waiting *tenants_most(const struct tenants *t);
/* All, by arrival; their number is t->len. free(3) it. */
struct waiting **tenants_list(const struct tenants *t);

/* In the order of turns, over all lines: at most TENANTS_WALK_MAX. Nothing may be put or removed
 * meanwhile. */
struct tenants_walk {
	struct waiting *at[TENANTS_WALK_MAX];
	int64_t starts[TENANTS_WALK_MAX];
	int len, steps;
};
void tenants_walk_begin(struct tenants_walk *walk, const struct tenants *t);
struct waiting *tenants_walk_next(struct tenants_walk *walk); /* NULL: the end */

/* How the one is called who asks at `self`, or at the node `from` which passed the query on
 * (zero: nobody did). What has a meaning on one machine only, a user or a loopback address, is
 * called after the node as well; who has no name is the node itself. */
void tenants_name(const char *tenant, const struct id *self, const struct id *from,
		  char ret[QUERY_TENANT_BYTES_MAX + 1]);

#endif
