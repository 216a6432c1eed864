/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of mesh cores in virtual time: streams that arrive in any pieces, resets, silent
 * partitions, crashes and restarts, processes that stand still, dials from both sides at
 * once, writes all the while. The last `hidden` nodes take no links. Afterwards, with the
 * network whole again, every pair has exactly one link, but for hidden ones, which have one to
 * each of their homes; every row is everywhere, every verdict is right, and all have found out
 * who is hidden. */
#ifndef OCF_TESTS_SIM_MESH_WORLD_H
#define OCF_TESTS_SIM_MESH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "mesh/mesh.h"

enum {
	MESH_WORLD_NODES_MAX = 10,
	MESH_WORLD_OPEN_MAX = 8, /* where none is hidden */
};

struct world;

/* One history, with or without faults, checked at its end; returns the hash of all that
 * happened. */
uint64_t world_run(uint64_t seed, int nodes, int hidden, bool with_faults);

/* Or step by step. All nodes run, and some know of each other: */
struct world *world_new(uint64_t seed, int nodes, int hidden);
/* All know each other and are linked, for 20 s to more than two minutes: */
struct world *world_calm(uint64_t seed, int nodes, int hidden);
void world_free(struct world *w);
void world_go_on(struct world *w, ms_t span);
ms_t world_now(const struct world *w);
int world_below(struct world *w, int n); /* a number in [0, n) */
/* The process stands still: nothing is read and no timer fires, but nothing is lost. */
void world_freeze(struct world *w, int node, ms_t span);
/* It dies; with its host (`is_silent`) nobody is told. */
void world_crash(struct world *w, int node, bool is_silent);
void world_start(struct world *w, int node);
/* Whatever is sent between the first `left` nodes and the others is lost, or is no more. */
void world_split(struct world *w, int left, bool is_cut);
/* The node writes a row, which is not to be lost. */
void world_add_row(struct world *w, int node);
/* A disk loses the latest row, if the next one cannot be merged without it; else false. */
bool world_lose_latest(struct world *w, int node);
/* Its horizon is for so long beyond what any clock allows. */
void world_advance_horizon(struct world *w, int node, ms_t span);
/* Does the link of `a` to `b` carry no rows, as `a` has it? */
bool world_is_rowless(const struct world *w, int a, int b);
/* Comparisons that nobody answered, of all nodes since the beginning. */
uint64_t world_timeouts(const struct world *w);
/* What `node` was told last of `other`, and when. */
enum mesh_state world_seen(const struct world *w, int node, int other, ms_t *ret_since);
/* How often any node was told of another that it is dead, or cannot be reached, since it was
 * calm. */
int world_deaths(const struct world *w);
/* Each hidden node looks for a way to each other one; returns for how many there was none
 * before. */
int world_look_for_ways(struct world *w);
/* How many looked and have found none. */
int world_lost_ways(const struct world *w);
/* All is as it should be, now. */
void world_check(struct world *w);

#endif
