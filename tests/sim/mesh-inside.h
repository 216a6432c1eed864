/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a world of meshes (mesh-world.h): what mesh-world.c runs and mesh-check.c looks
 * at. */
#ifndef OCF_TESTS_SIM_MESH_INSIDE_H
#define OCF_TESTS_SIM_MESH_INSIDE_H

#include "mesh/mesh.h"
#include "sim/mesh-sync.h"
#include "sim/mesh-world.h"
#include "sim/sim.h"

enum {
	STREAMS_MAX = 20000,
	MESH_WORLD_RETENTION_MS = 7 * MS_DAY,
};

struct node {
	struct world *world;
	int index;
	struct id id;
	bool is_running;
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
	int verdicts; /* states told, in all */
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

#endif
