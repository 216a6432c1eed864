/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated node: a mesh core with its table and its comparisons, and the streams between
 * nodes, in which bytes arrive in any pieces. What happens to them is mesh-world.c's. */
#ifndef OCF_TESTS_SIM_MESH_NODE_H
#define OCF_TESTS_SIM_MESH_NODE_H

#include "sim/mesh-sync.h"
#include "sim/mesh-world.h"
#include "sim/sim.h"

enum {
	STREAMS_MAX = 20000,
	MESH_WORLD_RETENTION_MS = 7 * MS_DAY,
};

struct world;

struct node {
	struct world *world;
	int index;
	struct id id;
	bool is_running;
	bool is_hidden;		   /* takes no links */
	enum mesh_inbound inbound; /* as its row says */
	uint32_t life;
	struct mesh *mesh;
	struct mesh_table table; /* what its disk holds */
	uint64_t horizon;
	struct mesh_sync sync;
	ms_t tick_at;
	bool is_pumping;
	struct sim_process process;
	enum mesh_state seen[MESH_WORLD_NODES_MAX];
	ms_t seen_at[MESH_WORLD_NODES_MAX];
	int deaths; /* told, in all, of nodes that were or seemed to be gone */
	int ways, ways_found;
	uint64_t sent[WIRE_CLASSES];
};

/* One direction of arrival at `end[i]`. A stream that was cut silently carries nothing more
 * and tells nobody. */
struct stream {
	int end[2];
	uint32_t life[2]; /* of the node when it opened */
	uint64_t link[2]; /* 0: not told yet, or closed there */
	bool is_cut;
	ms_t last[2]; /* of the latest arrival at that end */
};

struct world {
	struct sim sim;
	int nodes_len;
	struct node nodes[MESH_WORLD_NODES_MAX];
	struct stream *streams;
	int streams_len;
	int next_row;
	ms_t stamps[MESH_ROWS_MAX];
	bool blocked[MESH_WORLD_NODES_MAX][MESH_WORLD_NODES_MAX];
	bool is_quiet;
	ms_t latency;
};

struct packet {
	int stream, to;
	uint64_t link;
	size_t len;
	bool is_close;
	uint8_t data[];
};

/* Bytes, or the end of the stream, on the way to its end `to`. */
void stream_put(struct world *w, int stream, int to, const void *data, size_t len,
		bool is_close);

/* The mesh takes the event, and what it wants done is. */
void node_step(struct node *n, struct mesh_event *e);
/* What its table's root is now. */
void node_tell_root(struct node *n);
/* It hears of the others by their rows, of `all` or of some. */
void node_learn(struct node *n, bool all);
void node_start(struct node *n);
/* A process that dies resets its streams; a host that dies does not. */
void node_crash(struct node *n, bool is_silent);
/* Are the two to be linked? */
bool node_is_to_link(const struct node *a, const struct node *b);
/* For its comparisons. */
void node_send_sync(void *arg, uint64_t link, struct bytes frames);
void node_reject(void *arg, uint64_t link, const char *why);

#endif
