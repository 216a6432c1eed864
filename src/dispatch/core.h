/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the dispatch core; see dispatch/dispatch.h. dispatch.c: events in, actions out,
 * timers. queries.c: the life of a query and where it goes next. runs.c: attempts. workers.c:
 * workers, queues, and which waiting query a free slot gets. paces.c: which worker. tenants.c:
 * the order in a queue. bounds.c: who is let in. parts.c: bodies, replies and their credits.
 * choose.c: which candidate. moves.c: queries that go on or are given away, and words of load.
 * loads.c: what is known of others. hedges.c: second copies. budgets.c: how many of these, and
 * of retries. heap.c: what comes first.
 *
 * Rules that keep the lists safe to walk: a step first ends all that has expired, so that
 * nothing expired is left to be started; starting a run never ends a query; ending a query
 * ends no other: one that gives way to another is told at the end of the step. */
#ifndef OCF_DISPATCH_CORE_H
#define OCF_DISPATCH_CORE_H

#include "base/fasthash.h" /* first */

#include <uthash.h>
#include <utlist.h>

#include "base/rng.h"
#include "dispatch/budgets.h"
#include "dispatch/dispatch.h"
#include "dispatch/heap.h"
#include "dispatch/loads.h"
#include "dispatch/tenants.h"

struct query;
struct run;
struct worker;
struct item;

/* Embedded in what it belongs to. */
struct timer {
	struct heap_item due; /* first, so that a pointer to it is one to this */
	void (*fire)(struct dispatch *d, void *owner);
	void *owner;
};

/* A part of a body, shared by the query that keeps it and the action that sends it. */
struct part {
	int refs;
	bool is_last;
	size_t len;
	uint8_t data[];
};

/* The body of a query. Parts are counted from 0 over the whole body; those before `first`
 * are released. */
struct body {
	struct part **parts; /* first … received - 1 */
	int cap;
	int64_t first;
	int64_t received;
	int64_t passed;	 /* the most that any run was sent */
	int64_t granted; /* that the asker may give, in all */
	uint64_t bytes;	 /* received */
	uint64_t held_bytes;
	uint64_t reserved_bytes;
	bool is_whole; /* the last part is there, or there is no body */
	bool is_kept;  /* sent parts stay, for another run */
};

/* A query's head is never changed and so never copied again: the query and the actions that
 * send it share its texts. */
struct shared_head {
	int refs;
	struct query_head head;
};

struct query_key {
	uint64_t link;
	uint64_t query;
};

struct query {
	struct query_key key;
	UT_hash_handle hh;
	struct shared_head *shared;
	struct query_head
		head; /* its texts are those of `shared`; the numbers are its own */
	struct dispatch_candidate *candidates; /* owned */
	int candidates_len;
	uint64_t tried;	  /* a bit for each candidate that is out */
	uint64_t again;	  /* and that comes after all others: its way failed */
	bool may_go;	  /* its asker said GO */
	bool is_awaiting; /* a way to a candidate: */
	int awaited;
	int retries; /* left */
	int returns;
	ms_t arrived;
	bool has_reply; /* the head has gone out */
	struct timer deadline;
	struct body body;
	struct query_error
		last; /* why the latest candidate failed; status 0 = none did */
	struct service *service;   /* waits in its queue; NULL = it does not */
	struct waiting waiting;	   /* there */
	int leaves_after_s;	   /* gave way and is to be told when to come back; 0 */
	struct query *prev, *next; /* that did */
	struct holder *holder;	   /* of the bytes of its body; NULL: none */
	struct run *run;	   /* NULL while it waits */
	struct run *hedge;	   /* a second one, until either replies; NULL */
	struct timer hedge_at;
};

/* A node with free slots asks others for queries. */
struct pull {
	struct timer timer; /* the next time */
	int tries;	    /* since the last query here */
	uint64_t asked;	    /* the number of one that was not answered; 0 */
	ms_t asked_at;
	struct id node; /* it */
	bool is_given;	/* it gave one */
};

struct service {
	char *name;
	UT_hash_handle hh;
	struct tenants queue;
	ms_t mean_ms;	 /* smoothed time that a worker takes */
	int64_t mean_us; /* the same, finer and slower; 0: none yet */
	struct pull pull;
	uint64_t started;  /* runs, by workers of this node */
	struct timer look; /* at queries that wait for a faster worker */
};

/* How long a worker takes; see paces.c. */
struct pace {
	int64_t mean_us; /* smoothed */
	int seen;	 /* of how many, up to a bound */
	ms_t tried_at;	 /* when it got one last, */
	uint64_t tried;	 /* and the how manieth of its service that was */
	bool is_trial;	 /* it got one although it was slow, */
	bool is_again;	 /* was not, and gets another one at once */
};

struct worker_service {
	char *name;
	char **match;
	int match_len;
	struct pace pace;
};

struct worker {
	uint64_t id;
	struct u128 mark; /* sums of these tell sets of workers apart */
	UT_hash_handle hh;
	char *name;
	int slots;
	int running; /* slots in use */
	bool is_draining;
	bool is_resting; /* it gave something back lately, or failed again and again */
	struct timer rest;
	ms_t moved_at;	 /* the last end of a run, or start of the only one */
	int failures;	 /* one after the other */
	ms_t ejected_ms; /* how long it rested for the latest of these */
	struct worker_service *services;
	int services_len;
};

/* A tenant that holds bytes of bodies. */
struct holder {
	char *name;
	UT_hash_handle hh;
	uint64_t bytes;
};

/* Those that would serve a query, if they had a slot free. */
struct serving {
	struct u128 set;
	int slots; /* in all */
};

struct run {
	uint64_t id;
	UT_hash_handle hh;
	struct query *query; /* NULL: cancelled, holds its slot until the worker stops */
	uint64_t link;	     /* 0: a worker's */
	struct worker *worker; /* of link 0 */
	struct id node;	       /* who runs it */
	int candidate;	       /* index, or -1 */
	uint64_t service;      /* of another node's: loads_key() */
	bool is_taken;
	bool is_offered; /* the node is ready, and whoever asked is to say GO */
	bool is_failed;
	bool is_done;	 /* it replied, all of it: what it took says something */
	bool is_open;	 /* RUN_OPEN is out */
	int64_t sent;	 /* parts of the body */
	int credit;	 /* parts that may be sent */
	int outstanding; /* parts of the reply not yet consumed */
	ms_t since;
	struct turn turn;   /* of its query's tenant; none if it had not to wait */
	struct timer timer; /* for GO, or for the end of a cancelled one */
};

struct dispatch {
	struct dispatch_config config;
	struct rng rng;
	ms_t now;
	uint64_t next_run;
	uint64_t next_turn;
	struct query *queries;
	struct run *runs;
	struct worker *workers;
	struct service *services;
	struct loads loads;
	struct budgets budgets;
	struct heap timers;
	uint64_t reserved_bytes;
	struct holder *holders;
	struct query *leavers;
	bool is_draining, is_stopped;
	bool is_firing, is_bind_due; /* workers wait until all timers have fired */
	struct dispatch_stats stats; /* the counters; buffered_bytes */
	struct item *first, *last, *taken;
	struct item *spare; /* done with, to be used again */
	int spare_len;
};

/* dispatch.c */
void timer_set(struct dispatch *d, struct timer *t, ms_t at);
void timer_clear(struct dispatch *d, struct timer *t);
/* Queue an action; the pointers of `a` are copied, `part` is shared. `head` only by
 * dispatch_act_open(). */
void dispatch_act(struct dispatch *d, const struct dispatch_action *a, struct part *part);
/* With a->head, whose texts are those of `shared`. */
void dispatch_act_open(struct dispatch *d, const struct dispatch_action *a,
		       struct shared_head *shared);
struct shared_head *shared_head_new(const struct query_head *head);
void shared_head_release(struct shared_head *shared);
void act_query(struct dispatch *d, enum dispatch_action_type type, const struct query *q,
	       int parts);
void act_run(struct dispatch *d, enum dispatch_action_type type, const struct run *run,
	     int parts);

/* queries.c */
void query_new(struct dispatch *d, const struct dispatch_event *e);
struct query *query_find(const struct dispatch *d, uint64_t link, uint64_t query);
/* Take the next candidate, or end with the latest error. */
void query_choose(struct dispatch *d, struct query *q);
/* A candidate failed: `e` is taken over. Goes elsewhere if that is allowed, else ends. */
void query_failed(struct dispatch *d, struct query *q, int candidate,
		  enum dispatch_failure failure, struct query_error *e);
/* End with an error, which is taken over. */
void query_end_error(struct dispatch *d, struct query *q, struct query_error *e,
		     bool is_final);
/* End; whoever asked has been told or has left. Its run is cancelled. */
void query_end(struct dispatch *d, struct query *q);
void query_free(struct dispatch *d, struct query *q); /* without any action */
/* A way to a node was found, or none. */
void query_way(struct dispatch *d, const struct dispatch_event *e);
void query_link_down(struct dispatch *d, uint64_t link);
void queries_end_all(struct dispatch *d);
/* "worker w on node 1a2b3c4d", for texts; `out` is returned. */
enum { WHO_SIZE = 128 };
const char *run_who(const struct dispatch *d, const struct run *run, char out[WHO_SIZE]);

/* Those that are neither out nor in `but`; returns how many. */
int query_open_ones(const struct query *q, uint64_t but,
		    int ret[DISPATCH_CANDIDATES_MAX]);

/* choose.c */
/* The candidate that is this node; -1. */
int query_here(const struct query *q);
/* One of `open`, by the policy. */
int choose_one(struct dispatch *d, const struct query *q, const int open[], int n);
/* One that is better than to wait here; -1: none is known. */
int choose_onward(struct dispatch *d, const struct query *q, const int open[], int n);
/* Another node that has a slot free, as far as is known; -1: none is known. */
int choose_hedge(struct dispatch *d, const struct query *q, const int open[], int n);

/* moves.c */
void load_here(const struct dispatch *d, const char *service, struct dispatch_load *ret);
/* Tell the node that asked; `is_ending`: what the query has here is about to be free. */
void load_tell(struct dispatch *d, const struct query *q, bool is_ending);
void load_event(struct dispatch *d, const struct dispatch_event *e);
void probe_event(struct dispatch *d, const struct dispatch_event *e);
/* Ask the node if what is known of it is older than `age`. NULL is allowed. */
void probe_consider(struct dispatch *d, const struct query *q, struct load *l, ms_t age);
/* Another node's query that would wait here: true when it goes on. */
bool query_onward(struct dispatch *d, struct query *q);
/* Slots may be free and the queue empty: ask others. */
void pull_consider(struct dispatch *d, struct service *s);
/* Another node's query has come; maybe because it was asked for. */
void pull_given(struct dispatch *d, const struct query *q, const struct id *node);
void pull_event(struct dispatch *d, const struct dispatch_event *e);

/* hedges.c */
/* Its run has begun: a second one may follow. */
void hedge_prepare(struct dispatch *d, struct query *q);
/* The run is the one that answers: the other is cancelled. */
void hedge_won(struct dispatch *d, struct run *run);
/* The run is over without a reply. True: another one goes on, and the query with it. */
bool hedge_goes_on(struct query *q, struct run *run);
/* How long it was until a reply, or that there was none for so long. */
void hedge_seen(struct dispatch *d, const struct query *q, const struct run *run);

/* runs.c */
void run_start_worker(struct dispatch *d, struct query *q, struct worker *w);
void run_start_node(struct dispatch *d, struct query *q, int candidate);
/* A second one, elsewhere: at that worker, or (NULL) candidate. */
void run_start_hedge(struct dispatch *d, struct query *q, struct worker *w,
		     int candidate);
/* The query lets go of it: the worker or node is told. */
void run_cancel(struct dispatch *d, struct run *run);
void run_free(struct dispatch *d, struct run *run); /* its slot becomes free */
void run_go(struct dispatch *d, struct query *q);
void run_event(struct dispatch *d, const struct dispatch_event *e);
void run_link_down(struct dispatch *d, uint64_t link);
/* All runs of a worker that is gone. */
void run_worker_gone(struct dispatch *d, struct worker *w);

/* workers.c */
void worker_event(struct dispatch *d, const struct dispatch_worker *info);
void worker_gone(struct dispatch *d, uint64_t id);
void workers_gone(struct dispatch *d);
void worker_free(struct dispatch *d, struct worker *w);
void worker_rest(struct dispatch *d, struct worker *w, int seconds);
/* How it fared with a run; one that fails again and again rests. */
void worker_fared(struct dispatch *d, struct worker *w, bool is_failed);
bool worker_is_free(const struct worker *w);
/* Which of its services; NULL: none. */
struct worker_service *worker_serves(const struct worker *w,
				     const struct query_head *head);
/* Give its free slots to waiting queries. */
void worker_bind(struct dispatch *d, struct worker *w);
/* Is there one that serves it and has a slot free? */
bool worker_is_there(const struct dispatch *d, const struct query_head *head);
/* All that are not draining. */
void worker_serving(const struct dispatch *d, const struct query *q, struct serving *ret);
void workers_bind(struct dispatch *d);
/* Start it here or let it wait; or fail this candidate. */
void queue_put(struct dispatch *d, struct query *q, int candidate);
/* It keeps its place among those of its tenant. */
void queue_put_back(struct dispatch *d, struct query *q);
void queue_remove(struct query *q);
/* It has its turn; `ret_turn` as for tenants_take(). */
void queue_take(struct dispatch *d, struct query *q, struct turn *ret_turn);
bool queue_is_served(const struct dispatch *d, const struct query *q);
/* Give back what waits and nobody here serves any more. */
void queues_check(struct dispatch *d);
void service_free(struct dispatch *d, struct service *s);
void service_observe(struct dispatch *d, const char *name, ms_t took);

/* bounds.c */
/* Of its tenant, in turns and bounds. */
int query_weight(const struct query *q);
/* So many bytes of its body may be held here; false: no, and why. */
bool bounds_hold(struct dispatch *d, struct query *q, uint64_t len,
		 struct query_error *ret_error);
void bounds_release(struct dispatch *d, struct query *q);
/* May it wait here? False: no, and why. One that has to give way to it leaves the queue. */
bool bounds_queue(struct dispatch *d, struct service *s, const struct query *q,
		  const struct serving *by, struct query_error *ret_error);
/* It may, and nobody has to give way. */
bool bounds_have_room(const struct dispatch *d, const struct service *s,
		      const struct query *q, const struct serving *by);
/* The wait that is to be expected. */
int64_t bounds_wait_us(const struct service *s, const struct query *q,
		       const struct serving *by);
/* Tell those that gave way: they go elsewhere, or end. */
void bounds_settle(struct dispatch *d);
void bounds_forget_leaver(struct dispatch *d, struct query *q);

/* paces.c */
void pace_started(struct dispatch *d, struct worker *w, const struct query *q);
void pace_seen(struct worker *w, const struct query *q, ms_t took);
/* Should it, behind `ahead` others, rather wait for others than have this free worker? */
bool pace_waits(struct dispatch *d, const struct worker *w, const struct query *q,
		int ahead);
/* A free worker for it, but not `but`; NULL: none. */
struct worker *worker_pick(struct dispatch *d, const struct query *q,
			   const struct worker *but);

/* parts.c */
void part_release(struct part *part);
/* False when there is no room for it, and why. */
bool body_init(struct dispatch *d, struct query *q, struct query_error *ret_error);
void body_fini(struct dispatch *d, struct query *q);
void body_event(struct dispatch *d, struct query *q, const struct dispatch_event *e);
/* Send the run what it may have. */
void body_flush(struct dispatch *d, struct query *q);
bool body_can_replay(const struct query *q);
void body_forget_sent(struct dispatch *d, struct query *q);
void reply_credit(struct dispatch *d, struct query *q, int parts);
void reply_head_event(struct dispatch *d, struct run *run, const struct reply_head *head);
void reply_data_event(struct dispatch *d, struct run *run, struct bytes data,
		      bool is_last);

#endif
