/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated node: a mesh core with its table, its disk and its comparisons; and the world
 * that it is in. What happens to them is mesh-world.c's and mesh-faults.c's. */
#ifndef OCF_TESTS_SIM_MESH_NODE_H
#define OCF_TESTS_SIM_MESH_NODE_H

#include <stdio.h>

#include "sim/mesh-stream.h"
#include "sim/mesh-sync.h"
#include "sim/mesh-world.h"
#include "sim/sim.h"

enum {
	MESH_WORLD_RETENTION_MS = 7 * MS_DAY,
	MESH_WORLD_LATENCIES_MAX = 1 << 16,
	MESH_WORLD_CUTS_MAX = 16,
	MESH_WORLD_FAILURES_SHOWN = 20,
	MESH_WORLD_REGIONS = 5,
	MESH_WORLD_CHECK_US = 35, /* of a row's signature, by two cores */
	/* Rows that wait for it, of one node; more are dropped, as in src/daemon/verify.h,
	 * where it is more: there are many nodes here. */
	MESH_WORLD_CHECK_BYTES = 4 * 1024 * 1024,
};

/* What was seen of it after its latest step; see mesh-watch.c. */
struct watched {
	uint64_t *incarnations; /* of all nodes, as it holds them; NULL: not kept */
	uint64_t parent;	/* by the tree: a link, */
	uint64_t rank;		/* of that root, */
	uint32_t seq;		/* and its beacon; */
	ms_t changed_at;	/* one of these */
};

/* A row of one's own, until it is committed. */
struct own {
	uint32_t row, version;
};

struct node {
	struct world *world;
	int index;
	struct id id;
	bool is_running;
	bool is_host_down; /* it died with its host: nobody refuses a dial */
	bool is_doomed;	   /* it is not to be started any more */
	bool is_starved;
	bool is_hidden;		   /* takes no links */
	bool is_newer;		   /* sends frames that this version does not know */
	int clone_of;		   /* -1: it is itself */
	enum mesh_inbound inbound; /* as its row says, like the next */
	uint16_t homes[MESH_HOMES_MAX];
	uint8_t homes_len;
	int region;
	uint32_t life;
	struct mesh *mesh;
	/* The disk: */
	struct mesh_table table;
	uint32_t starts;
	uint32_t *old_disk; /* a copy of the table; NULL: none was made; */
	uint32_t old_starts;

	struct sim_clock clock; /* monotonic, from whenever its machine began */
	uint64_t horizon;
	struct mesh_sync sync;
	struct own *own;
	int own_len, own_cap, own_committing;
	bool is_committing;
	us_t checked_at; /* when those that came so far are checked, */
	size_t checking; /* bytes */
	ms_t stamp;	 /* of its latest row */
	ms_t tick_at;
	bool is_pumping;
	struct sim_process process;
	struct stream_end *ends; /* by link */
	size_t rate;		 /* bytes a second that it reads; 0: any */
	ms_t spike;		 /* longer delays, */
	us_t spike_until;
	uint8_t *seen; /* enum mesh_state, of all nodes */
	ms_t *seen_at; /* of each */
	uint64_t
		incarnation; /* the highest it told of itself, in this life of its disk */
	int deaths;	     /* told, in all, of nodes that were or seemed to be gone */
	int ways, ways_found;
	struct watched watched;
	uint64_t sent[WIRE_CLASSES];
	struct mesh_stats stats; /* of earlier lives */
};

/* Nothing passes from side 1 to side 2 (`is_there`), or from 2 to 1 (`is_back`). */
struct cut {
	bool is_there, is_back;
	ms_t until; /* 0: free */
	uint8_t *side;
};

struct world {
	struct sim sim;
	struct world_options options;
	int nodes_len; /* without clones, which stand behind */
	int slots;
	struct node *nodes;
	struct mesh_rows rows;
	struct stream **streams; /* open ones */
	int streams_len, streams_cap;
	struct cut cuts[MESH_WORLD_CUTS_MAX];
	int cuts_len;
	bool is_quiet; /* no more faults and writes */
	us_t delay_min, delay_max;
	us_t region_delay[MESH_WORLD_REGIONS][MESH_WORLD_REGIONS];
	bool is_tiny;	/* limits */
	int pieces;	/* one in so many packets comes in small ones; 0: none */
	ms_t commit_ms; /* the longest commit, in the calm */
	unsigned resets_per_minute; /* of a million links */
	int failures;
	char first_failure[WORLD_WHY_SIZE];
	int false_deaths;
	/* How long rows take, us: */
	bool is_measuring;
	int64_t *latencies;
	int latencies_len;
	uint64_t hellos; /* of which the incarnation was looked at */
	struct world_watched watched;
	struct world_refreshes refreshes;
};

struct packet {
	struct packet *next;
	us_t at;
	size_t len;
	bool is_close;
	uint8_t data[];
};

/* Something is not as it should be. */
void world_fail(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define WORLD_CHECK(w, condition)                                                        \
	((condition) ? (void)0                                                           \
		     : world_fail((w), "%s:%d: %s", __FILE__, __LINE__, #condition))
/* A line of the trace that a person asked for. */
void world_trace(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
us_t world_delay(struct world *w, const struct node *from, const struct node *to);
/* Does anything pass from the one to the other? */
bool world_is_blocked(const struct world *w, const struct node *from,
		      const struct node *to);
/* Running, and a node of its own. */
bool node_counts(const struct node *n);
struct node *world_node_of(struct world *w, const struct id *id);

/* mesh-node.c. The mesh takes the event, and what it wants done is. */
void node_step(struct node *n, struct mesh_event *e);
ms_t node_wall(const struct node *n);
/* Its cores are asked anew when they want to be called. */
void node_wake(struct node *n);
/* What its table's root is now. */
void node_tell_root(struct node *n);
void node_start(struct node *n);
/* A process that dies resets its streams; a host that dies does not. What was not committed
 * is lost. */
void node_crash(struct node *n, bool is_silent);
/* Are the two to be linked? */
bool node_is_to_link(const struct node *a, const struct node *b);
/* Of all its lives. */
void node_stats(const struct node *n, struct mesh_stats *ret_stats);

/* mesh-commit.c: rows, in and out. */
/* The node writes the next version of a row of its own. */
void node_write(struct node *n, uint32_t row);
/* And its node row, as it is. */
void node_refresh(struct node *n);
/* It hears of another by its node row. */
void node_learn(struct node *n, uint32_t row);
void node_deliver(struct node *n, const struct mesh_action *a);
void node_deliver_refresh(struct node *n, const struct mesh_action *a);
void node_answer(struct node *n, const struct mesh_action *a);
void node_commit(struct node *n);
/* For its comparisons. */
void node_send_sync(void *arg, uint64_t link, struct bytes frames);
void node_reject(void *arg, uint64_t link, const char *why);

/* mesh-watch.c: what must hold after each step of a core. */
/* A vote that may count from this step on. */
struct watched_vote {
	bool is_one, is_listed, was_held;
	uint64_t incarnation;
	struct id subject, observer;
};
void watch_start(struct node *n);
void watch_fini(struct node *n);
struct watched_vote watch_before(struct node *n, const struct mesh_event *e);
void watch_after(struct node *n, const struct mesh_event *e,
		 const struct watched_vote *vote);

/* mesh-faults.c */
void faults_begin(struct world *w);
/* All is as it was, and who can be started is. */
void faults_end(struct world *w);

#endif
