/* SPDX-License-Identifier: Apache-2.0 */
/* The sync core of a simulated node: between the mesh core's links and the node's table, as
 * src/daemon/repair.c is between real ones. */
#ifndef OCF_TESTS_SIM_MESH_SYNC_H
#define OCF_TESTS_SIM_MESH_SYNC_H

#include "mesh/mesh.h"
#include "sim/mesh-table.h"
#include "sim/sim.h"

enum { MESH_SYNC_WALL_MS = 1000000000 }; /* the wall clock when virtual time begins */

struct mesh_sync {
	/* The node's, set before mesh_sync_start(). */
	struct sim *sim;
	struct sim_process *process;
	const struct sim_clock *clock; /* monotonic */
	struct mesh_table *table;
	const us_t *checked_at; /* when the rows that came so far are checked */
	ms_t merge_ms;		/* within which they are merged then, */
	ms_t commit_ms;		/* and are on the disk */
	ms_t wall_offset;	/* of the node's wall clock */
	ms_t interval_ms;	/* between comparisons with a random link; 0: never */
	void (*send)(void *arg, uint64_t link, struct bytes frames);
	void (*reject)(void *arg, uint64_t link, const char *why);
	void (*fail)(void *arg, const char *why);
	void *arg;

	struct sync *core; /* NULL: stopped */
	uint32_t life;
	ms_t tick_at;
	bool is_pumping;
	uint64_t timeouts; /* sessions that ended so, */
	uint64_t compared; /* that found equal roots at once, */
	uint64_t needless; /* that did not, and moved nothing, */
	uint64_t moved;	   /* and that moved rows */
};

void mesh_sync_start(struct mesh_sync *s, const struct id *self);
void mesh_sync_stop(struct mesh_sync *s);
/* It is asked anew when it wants to be called. */
void mesh_sync_wake(struct mesh_sync *s);
/* LINK_UP, LINK_DOWN, ROOT_HEARD, SYNC, and DELIVER_ROWS once they were handed on. */
void mesh_sync_hear(struct mesh_sync *s, const struct mesh_action *a);
/* What heartbeats are to tell. */
uint64_t mesh_sync_word(const struct mesh_sync *s);

#endif
