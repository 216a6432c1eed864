/* SPDX-License-Identifier: Apache-2.0 */
/* Several dispatch cores joined by links in virtual time, over the real frames: workers that
 * are slow, fail, give back, fall silent, vanish; nodes that die; links that are reset;
 * clients that leave or do not read. A run checks as it goes, and at its end, that every
 * query ends once, by its deadline; that what is not idempotent runs once at most; that
 * bodies and replies arrive whole; that windows, slots and memory are kept; and that nothing
 * is left behind. The tests need world_run() alone; the rest is for dispatch-world.c,
 * dispatch-workers.c and dispatch-clients.c. */
#ifndef OCF_TESTS_SIM_DISPATCH_WORLD_H
#define OCF_TESTS_SIM_DISPATCH_WORLD_H

#include "base/id.h"
#include "dispatch/dispatch.h"
#include "sim/sim.h"

enum {
	NODES_MAX = 5,
	WORKERS_MAX = 4, /* of one node */
	QUERIES_MAX = 400,
	JOBS_MAX = 4000,
	LINKS_MAX = 4000,
	BUFFER_BYTES = 8 * 1024 * 1024,
	REPLY_PARTS_MAX = 40,
	BODY_PARTS_MAX = 40,
};

struct outcome {
	uint64_t trace;
	int done, asked;
	int errors[600];
	uint64_t onward, given; /* queries that went on, that were given to who asked */
};

/* One history. Tame: workers answer, and nothing breaks. */
struct outcome world_run(uint64_t seed, int nodes, bool is_tame);

struct world;

struct asked {
	int index, node;
	uint32_t life;
	bool is_idempotent;
	int parts; /* of the body */
	int given, granted;
	int64_t body_len; /* as announced */
	uint64_t body_sum, body_bytes;
	ms_t deadline;
	bool has_left, has_head, is_feeding, reads_never;
	int ends;
	int status; /* of an error; 0 */
	int uncredited;
	int reply_parts;
	int executed;
};

struct worker {
	struct world *world;
	int node;
	uint64_t number; /* 0: not there */
	int slots, outstanding;
	int services; /* bit 0 "a", bit 1 "b" */
	char name[16];
};

enum behaviour {
	ANSWERS,
	ANSWERS_EARLY,
	FAILS,
	GIVES_BACK,
	IS_SILENT,
	IS_LOST,
	NOT_THERE
};

struct job {
	uint64_t run, worker_number;
	struct worker *worker;
	uint32_t life; /* of the node */
	struct asked *asked;
	enum behaviour behaviour;
	uint64_t sum, bytes;
	int uncredited; /* body parts not yet consumed */
	int reply, credit;
	bool is_over, is_replying, is_deaf;
};

struct node {
	struct world *world;
	int index;
	struct id id;
	bool is_running, is_pumping;
	ms_t drains_since; /* 0: it takes the queries of others */
	uint32_t life;
	struct dispatch *dispatch;
	ms_t tick_at;
	struct worker workers[WORKERS_MAX];
};

struct link {
	int end[2];
	bool is_down[2];
	ms_t last[2];
};

struct world {
	struct sim sim;
	int nodes_len, queries_len, jobs_len, links_len;
	struct node nodes[NODES_MAX];
	struct asked queries[QUERIES_MAX];
	struct job jobs[JOBS_MAX];
	struct link links[LINKS_MAX];	/* number = index + 1 */
	int link[NODES_MAX][NODES_MAX]; /* the number between two, 0 = none */
	uint64_t next_worker;
	enum dispatch_policy policy;
	uint64_t onward, given;
	bool is_slow;		/* clients ask less often: queues are rarely full */
	bool is_quiet, is_tame; /* tame: workers answer, nothing breaks */
	int done, errors[600];
};

/* The body and the reply of a query are known beforehand. */
int reply_parts(int index);
size_t reply_part_len(int index, int part);
size_t body_part_len(int index, int part);

/* A delayed call, void when its node has died meanwhile. */
struct later {
	struct node *node;
	uint32_t life;
	struct asked *asked;
	struct job *job;
	int n;
	uint64_t link;
	int to;
	size_t len;
	uint8_t data[];
};

struct later *later_new(struct node *n, size_t len);
/* Takes `l`. */
void later(struct world *w, ms_t delay, sim_fn *fn, struct later *l);
bool later_is_void(const struct later *l);

/* Step the node's core and do what it wants. */
void node_step(struct node *n, struct dispatch_event *e);
/* What is due is done before something happens at the same moment: a worker that vanishes
 * has had what it was given. */
void node_tick_now(struct node *n);

/* dispatch-workers.c */

/* What the node wants of its workers. */
void worker_do(struct node *n, const struct dispatch_action *a);
/* One comes, or vanishes. */
void worker_start(struct world *w, struct node *n, struct worker *k);
void worker_stop(struct node *n, struct worker *k);

/* dispatch-clients.c */

/* Give the next part of the body, soon and as granted. */
void client_feed_later(struct node *n, struct asked *q);
/* A sim_fn of a struct later. */
void client_leave(struct sim *sim, void *arg, void *data);
/* What the node tells the client of a query of its own. */
void client_do(struct node *n, const struct dispatch_action *a);

#endif
