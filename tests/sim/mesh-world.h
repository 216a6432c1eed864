/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of mesh cores in virtual time, with the daemon's outboxes, the sync core, tables and
 * disks; and what goes wrong in them, drawn from the seed. Afterwards, with the network whole
 * again, the links are those that are wanted and no others, every row is everywhere, every
 * verdict is right, nothing waits, and idle traffic is what it was. The last `hidden` nodes
 * take no links; all have found out who they are. A run is its seed and its options. */
#ifndef OCF_TESTS_SIM_MESH_WORLD_H
#define OCF_TESTS_SIM_MESH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "mesh/mesh.h"

enum {
	MESH_WORLD_NODES_MAX = 16384,
	MESH_RECORD_BYTES =
		715, /* a worker's, as measured of the system that this replaces */
	MESH_WORLD_CLONES_MAX = 2,
	/* To be whole again: links that are not wanted any more live for MESH_IDLE_MS. */
	MESH_WORLD_BOUND_MS = MESH_IDLE_MS + MS_MINUTE,
	WORLD_WHY_SIZE = 200,
	MESH_WORLD_ROWS_ADDED = 400, /* by what nodes write, beside what they begin with */
};

/* What goes wrong; a bit each. */
enum world_fault {
	FAULT_RESETS,	  /* links end */
	FAULT_SPIKES,	  /* a node's delays grow up to 2 s */
	FAULT_PARTITIONS, /* two sides, or one node and the others */
	FAULT_ONE_WAY,	  /* the same, of one direction; or of both at different times */
	FAULT_SLOW,	  /* a node reads few bytes a second */
	FAULT_HALF_OPEN,  /* a stream carries nothing more and nobody is told */
	FAULT_PAUSES,	  /* a process stands still for 0.1 to 30 s */
	FAULT_CRASHES,	  /* processes and hosts; what was not committed is lost */
	FAULT_DISK_LOSS,  /* a crash, and the disk is empty */
	FAULT_OLD_DISK,	  /* a crash, and the disk is as it was a while ago */
	FAULT_CLONES,	  /* a second node with the same identity and disk */
	FAULT_CLOCKS,	  /* wall clocks jump by up to a day */
	FAULT_DRIFT, /* monotonic clocks run up to 500 ppm off, one in four by up to 2 % */
	FAULT_VERSIONS, /* some nodes send what others do not know */
	FAULT_JOINS,	/* many new nodes at once */
	FAULT_RESTARTS, /* all processes at once */
	FAULT_TINY,	/* windows of some bytes, slow commits and checks */
	WORLD_FAULTS,
};
#define FAULT_BIT(fault) (1u << (fault))
#define FAULTS_ALL (FAULT_BIT(WORLD_FAULTS) - 1)
extern const char *const world_fault_names[WORLD_FAULTS];

enum world_net {
	NET_ANY,      /* up to a delay drawn from 1 to 200 ms */
	NET_LOOPBACK, /* 20 to 100 us */
	NET_LAN,      /* 0.1 to 0.5 ms */
	NET_WAN,      /* regions, 10 to 150 ms apart */
};
extern const char *const world_net_names[NET_WAN + 1];

enum world_begin {
	BEGIN_SOME, /* nodes hold their own row and some of the others' node rows */
	BEGIN_FULL, /* all tables are the same */
};

struct world_options {
	uint64_t seed;
	int nodes, hidden;
	enum world_net net;
	enum world_begin begin;
	int rows;	 /* of all workers, beside node rows */
	int added;	 /* rows that may be added later */
	unsigned faults; /* bits of enum world_fault that may be */
	bool is_traced;	 /* print what happens */
	/* Something is to be wrong: it is not printed, and the end is not looked at. */
	bool is_only_watched;
	ms_t interval_ms; /* as mesh_sync's; 0: a minute; negative: never */
	/* When all is whole again, in+out of a node: bytes a second; 0: not looked at. */
	double idle_max;
};

struct world;

/* ---- whole histories ---- */

/* What was looked at after steps of cores, so far: votes that began to count, edges of the tree
 * that changed, and incarnations of others. */
struct world_watched {
	uint64_t votes, parents, incarnations;
};

struct world_result {
	uint64_t trace;	 /* the hash of all that happened */
	uint64_t events; /* of the simulation */
	int failures;
	unsigned faults; /* that were on in this run */
	ms_t healed_ms;	 /* from the end of the faults until all was whole */
	double idle;	 /* in+out of a node afterwards, bytes a second */
	struct world_watched watched;
	char first_failure[WORLD_WHY_SIZE];
};
/* `span` of faults and writes, then the check. */
void world_run(const struct world_options *options, ms_t span,
	       struct world_result *ret_result);

/* ---- or step by step ---- */

/* All nodes run. */
struct world *world_open(const struct world_options *options);
/* In which all are linked and whole, and have been for some time. NULL when they do not
 * become so. */
struct world *world_calm(const struct world_options *options);
void world_free(struct world *w);
void world_go_on(struct world *w, ms_t span);
ms_t world_now(const struct world *w);
int world_below(struct world *w, int n); /* a number in [0, n) */
uint64_t world_events(const struct world *w);
/* Go on until all is whole, and at most for `span`; how long it took, -1: it is not. */
ms_t world_until_whole(struct world *w, ms_t span);
/* The same, of equal tables alone, looked at each millisecond. */
ms_t world_until_rows(struct world *w, ms_t span);
/* All is as it should be, now: else failures are counted and printed. */
void world_check(struct world *w);
int world_failures(const struct world *w);

struct world_watched world_watched(const struct world *w);

/* The process stands still: nothing is read and no timer fires, but nothing is lost. */
void world_freeze(struct world *w, int node, ms_t span);
/* It dies; with its host (`is_silent`) nobody is told. */
void world_crash(struct world *w, int node, bool is_silent);
void world_start(struct world *w, int node);
void world_lose_disk(struct world *w, int node); /* of one that does not run */
/* Nothing passes between the first `left` nodes and the others; or again. */
void world_split(struct world *w, int left, bool is_cut);
/* It reads so many bytes a second; 0: any. */
void world_slow_down(struct world *w, int node, size_t rate);
/* Its wall clock is so far off; its monotonic one runs so many millionths too fast. */
void world_set_clock(struct world *w, int node, ms_t offset);
void world_set_drift(struct world *w, int node, int ppm);
void world_delay_more(struct world *w, int node, ms_t most, ms_t span);
/* It runs for a tenth of a second between stops of 0.5 to 3 s; or again all the time. */
void world_starve(struct world *w, int node, bool is_starved);
/* One of its links ends. */
void world_reset(struct world *w, int node);
/* So many of a million links end each minute. */
void world_set_resets(struct world *w, unsigned per_million);
/* The node writes a row, a new one or one of its own once more; it is not to be lost. */
void world_write(struct world *w, int node);
/* It writes its node row, with another value. */
void world_write_node_row(struct world *w, int node);
/* It writes its node row anew with the value that it has, so that it travels without. */
void world_refresh(struct world *w, int node);
/* So many were merged, and of so many the value was not held, and the row asked for. */
struct world_refreshes {
	uint64_t merged, pulled;
};
struct world_refreshes world_refreshes(const struct world *w);
/* It writes its first worker's row anew, of so many bytes of value when it is new. */
void world_rewrite(struct world *w, int node, size_t len);
/* It is not to come back: what it alone holds may be lost. */
void world_doom(struct world *w, int node);
/* A disk loses the node row of another node, which is told. */
int world_lose_node_row(struct world *w, int node);
/* It holds the node row of the owner as that was before its latest version. */
void world_age_node_row(struct world *w, int node, int owner);
/* Its horizon is for so long beyond what any clock allows. */
void world_advance_horizon(struct world *w, int node, ms_t span);
/* Does the link of `a` to `b` carry no rows, as `a` has it? */
bool world_is_rowless(const struct world *w, int a, int b);
bool world_is_running(const struct world *w, int node);
/* What `node` was told last of `other`, and when. */
enum mesh_state world_seen(const struct world *w, int node, int other, ms_t *ret_since);
/* How often any node was told of another that it is dead, or cannot be reached, since it was
 * calm. */
int world_deaths(const struct world *w);
/* How often any took one for dead that ran, and to which nothing was blocked. */
int world_false_deaths(const struct world *w);
/* How many rows a node holds. */
uint64_t world_held(const struct world *w, int node);
/* The latest moment at which any was told that it is dead; -1: somebody was not. */
ms_t world_dead_since(const struct world *w, int node);
/* The one with the lowest hash(cluster | id): the root of the tree. */
int world_root(const struct world *w);
/* Each hidden node looks for a way to each other one; returns for how many there was none
 * before. */
int world_look_for_ways(struct world *w);
/* How many looked and have found none. */
int world_lost_ways(const struct world *w);

/* ---- what it costs ---- */

/* Sessions of all nodes since the beginning: that nobody answered; that found equal roots at
 * once; that did not, and moved nothing; that moved rows. */
struct world_sessions {
	uint64_t timeouts, compared, needless, moved;
};
void world_sessions(const struct world *w, struct world_sessions *ret_sessions);

/* Bytes of frames with their headers, of one node or (-1) of all. */
struct world_bytes {
	ms_t at;
	uint64_t sent[WIRE_CLASSES], received[WIRE_CLASSES];
};
void world_bytes(const struct world *w, int node, struct world_bytes *ret_bytes);
/* Since then, in and out, per node and second. */
double world_rate(const struct world *w, const struct world_bytes *since);
uint64_t world_sent(const struct world *w, const struct world_bytes *since,
		    unsigned classes); /* a bit each; of all nodes */
/* The bytes of all rows, encoded, and of the row that world_rewrite() writes. */
uint64_t world_row_bytes(const struct world *w);
size_t world_rewritten_bytes(const struct world *w, int node);
/* Begin to note how long rows take from being written until the last running node has them. */
void world_measure(struct world *w);
/* So many were noted, and so long took the one behind which `part` of them are; us. */
int64_t world_latency(const struct world *w, double part, int *ret_noted);

#endif
