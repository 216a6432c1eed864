/* SPDX-License-Identifier: Apache-2.0 */
/* Many mesh cores in virtual time, who dial each other as they like, and
 * with signatures that are hashes: for tests of who holds whom for what. Bytes arrive whole and
 * in order, 5 ms later; tests/sim/mesh-world.h is less kind, and smaller. */
#ifndef OCF_TESTS_MESH_CROWD_H
#define OCF_TESTS_MESH_CROWD_H

#include "mesh/core.h"
#include "sim/sim.h"

enum { CROWD_MAX = 64 };

struct crowd_stream;

struct crowd_node {
	struct crowd *crowd;
	int index;
	struct id id;
	struct mesh *mesh; /* NULL: it is not running */
	uint64_t incarnation;
	uint32_t life;
	ms_t tick_at;
	ms_t late_ms; /* it is slow: each tick comes so much later */
	bool is_pumping;
	uint64_t sent_bytes, sent_beats, sent_votes, deaths; /* deaths: told to it */
	uint64_t refutations, downs; /* links that were up and ended */
};

struct crowd {
	struct sim sim;
	int len;
	struct crowd_node nodes[CROWD_MAX];
	struct crowd_stream *streams;
	int streams_len, streams_cap;
	int left; /* for crowd_halves() */
	ms_t told_at[CROWD_MAX][CROWD_MAX];
};

/* All run, know each other, and have been linked for a while. */
void crowd_init(struct crowd *c, int len);
void crowd_fini(struct crowd *c);
void crowd_go_on(struct crowd *c, ms_t span);
void crowd_start(struct crowd *c, int node);
/* A process that dies resets its streams; a host that dies does not. */
void crowd_crash(struct crowd *c, int node, bool is_silent);
/* It says goodbye. */
void crowd_stop(struct crowd *c, int node);
/* One link between the two, if there is one. */
void crowd_reset(struct crowd *c, int a, int b);
/* Nothing passes between the first `left` and the others; 0: all are together again. */
void crowd_split(struct crowd *c, int left);
enum mesh_state crowd_sees(const struct crowd *c, int node, int other);
/* How many of those that run see it so. */
int crowd_count(const struct crowd *c, int other, enum mesh_state state);
/* When the last of them came to see what it sees. */
ms_t crowd_last_told(const struct crowd *c, int other);

#endif
