/* SPDX-License-Identifier: Apache-2.0 */
/* How long queries take under a policy: many unlike nodes in virtual time, each a dispatch
 * core with clients and a worker of its own, joined by links of one hop's time. The place for
 * figures; what must hold whatever goes wrong is in dispatch-world.h.
 *
 * A node has 1 … 8 slots and a speed of 0.5 … 4, drawn by the seed; the work of a query is
 * log-normal (sigma 1, mean 100 ms at speed 1); arrivals are Poisson, and for a seed, a load
 * and a stress they are the same whatever the policy. Policies are the core's own, which gets
 * all nodes as candidates, or an opponent of policy-opponents.c, which picks one node by what
 * it may know and leaves the core no choice. */
#ifndef OCF_TESTS_SIM_POLICY_WORLD_H
#define OCF_TESTS_SIM_POLICY_WORLD_H

#include "dispatch/dispatch.h"
#include "sim/sim.h"

enum {
	POLICY_NODES = 32,
	POLICY_SLOTS_MAX = 8,
	POLICY_WORK_US = 100000, /* the mean, at speed 1 */
	POLICY_HOP_US = 2000,
};

enum policy_stress {
	POLICY_CALM,
	POLICY_STALE,  /* between two nodes load is told once in 5 s */
	POLICY_UNTOLD, /* nor at all */
	POLICY_SKEWED, /* whom clients ask: by Zipf's law */
	POLICY_SLOWED, /* each 2 s one node turns 5 times slower for 5 s */
	POLICY_FAR,    /* hops of 25 ms */
	POLICY_CHURN,  /* each 2 s one node is gone for 10 s, what it had is lost */
	POLICY_STALLS, /* one attempt in 100 is held up for 1 s by its worker */
	POLICY_STRESSES,
};

struct policy_setup {
	const struct policy_kind *kind;
	uint64_t seed;
	double load; /* of all slots, 0 … 1 */
	enum policy_stress stress;
	ms_t warm_ms, span_ms; /* not counted; counted */
};

struct policy_result {
	int queries; /* counted */
	int lost;    /* of those: ended with an error */
	double mean_ms, p50_ms, p90_ms, p99_ms;
	double frames; /* of load: reports, probes and pulls, for each query */
	double moved;  /* queries that went on from a node, or were pulled, of all */
	uint64_t trace;
};

void policy_run(const struct policy_setup *setup, struct policy_result *ret_result);
const char *policy_stress_name(enum policy_stress stress);

/* ---- for policy-opponents.c ---- */

struct policy_node {
	struct policy_world *world;
	int index;
	struct id id;
	bool is_there;
	uint32_t life;
	int slots;
	double speed; /* now */
	double usual_speed;
	struct dispatch *dispatch;
	bool is_pumping;
	ms_t tick_at;
	us_t told[POLICY_NODES]; /* when it told its load to whom */
	struct policy_job *jobs; /* running */
	int coming;		 /* queries on their way here */
	int held;		 /* queries here, waiting or running */
	void *opponent;		 /* what its part of an opponent's policy knows */
};

struct policy_world {
	struct sim sim;
	const struct policy_setup *setup;
	struct policy_node nodes[POLICY_NODES];
	struct rng fate; /* arrivals, work, stress: not touched by any policy */
	us_t hop_us;
	double rate; /* queries for each microsecond */
	double zipf[POLICY_NODES];
	us_t counted_from, counted_to;
	struct policy_asked *queries;
	int queries_len, queries_cap, open;
	uint64_t frames, moved;
	uint64_t next_worker;
	bool is_over;
};

/* A way to choose. What is NULL is not asked for. */
struct policy_kind {
	const char *name;
	bool is_rival; /* to be beaten; the others are ours, and one that knows all */
	bool is_close; /* and that is not easy */
	/* The core's own policy when there is no `pick`. */
	enum dispatch_policy policy;
	int hedge_percent; /* of that */
	/* The node for a query that `n`'s client asks. */
	int (*pick)(struct policy_node *n);
	/* A query has got to `n`, or is done there after so long; and the one who asked. */
	void (*arrived)(struct policy_node *n);
	void (*done)(struct policy_node *n, us_t took, int held_before);
	void (*replied)(struct policy_node *n, int by);
	size_t size; /* of `opponent` */
};

extern const struct policy_kind policy_kinds[];
const struct policy_kind *policy_kind_named(const char *name);

/* A word from one node to another, after a hop: `fn` is called with the world and a copy of
 * `data`. */
void policy_tell(struct policy_world *w, sim_fn *fn, const void *data, size_t len);

#endif
