/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that reconcile their tables, in virtual time: links with latency that may be cut at
 * any moment, tables that are read, merged and swept a little later, clocks apart, heartbeats
 * with settled roots. Rows written at one node do not flood: only sessions carry them. */
#ifndef OCF_TESTS_SIM_SYNC_WORLD_H
#define OCF_TESTS_SIM_SYNC_WORLD_H

#include "lib/rowset.h"
#include "sim/sim.h"
#include "sync/sync.h"

enum { SYNC_WORLD_NODES_MAX = 8, SYNC_WORLD_LINKS_MAX = 4096 };

struct sync_world;

/* One end of a link. */
struct sync_world_end {
	struct sync_world *world;
	int node, peer;
	int link;     /* of the world */
	ms_t arrives; /* the latest frame on its way here */
	ms_t read;    /* the latest answer to a READ */
	ms_t merged;  /* the latest merge of rows that came here */
};

struct sync_world_link {
	bool is_up;
	struct sync_world_end ends[2];
};

struct sync_world_node {
	struct sync_world *world;
	int index;
	struct id id;
	struct sync *sync;
	struct rowset rows;
	struct leases *leases; /* NULL: nothing is swept */
	ms_t skew;	       /* its clock is so far ahead */
	ms_t swept;	       /* the latest sweep is done */
	ms_t tick_at;
	bool is_pumping;
	int fail_reads; /* one in so many fails; 0 = none */
	uint64_t bytes; /* SYNC frames sent, with headers */
	uint64_t row_bytes;
	int sessions, rejects;
	int swept_for, disbelieved; /* horizons of others */
	struct sync_result last;    /* of the last session of ours; nothing to be freed */
	struct buf named;	    /* is_here u8 | is_there u8 | key (len u8, bytes) */
	uint64_t seq;
};

struct sync_world {
	struct sim sim;
	int nodes_len;
	struct sync_world_node nodes[SYNC_WORLD_NODES_MAX];
	struct sync_world_link *links;
	int links_len;
	ms_t latency, read_ms, merge_ms; /* at most */
	ms_t beat_ms;			 /* between heartbeats */
	bool is_beating;
};

enum { SYNC_WORLD_WALL_MS = 1000000000 }; /* the wall clock when virtual time begins */

void sync_world_init(struct sync_world *w, uint64_t seed, int nodes, ms_t interval);
void sync_world_fini(struct sync_world *w);
/* From now on rows have leases. */
void sync_world_lease(struct sync_world *w, ms_t retention_ms);
/* Lose the table. */
void sync_world_empty(struct sync_world *w, int node);
/* Returns the link's number, or -1 when there is one. */
int sync_world_connect(struct sync_world *w, int a, int b);
void sync_world_connect_all(struct sync_world *w);
void sync_world_cut(struct sync_world *w, int link);
/* The link between the two that is up, or -1. */
int sync_world_link(const struct sync_world *w, int a, int b);
/* The owner's next version of a row, written at this node: `len` bytes, or a remove (< 0). */
void sync_world_write(struct sync_world *w, int node, const struct row_key *key, int len);
/* A person asks; run the simulation until it has ended, or for an hour. */
struct sync_result sync_world_start(struct sync_world *w, int from, int to, bool is_dry);
void sync_world_run(struct sync_world *w, ms_t span);
bool sync_world_is_equal(const struct sync_world *w);
/* Run until all tables are equal; the time that took, or -1 after `most`. */
ms_t sync_world_converge(struct sync_world *w, ms_t most);

#endif
