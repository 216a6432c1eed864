/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that keep a table together, in virtual time: the real cores crdt/lease.h and
 * crdt/owner.h over crdt/row.h and crdt/codec.h, on disks that crash, are lost, are put back
 * from an old copy, or are copied and run twice; between them links that are cut, late and
 * lying clocks, messages lost, late, twice and out of order, and sessions cut short. A
 * history is its parameters (struct table_params): the same ones give the same history.
 *
 * Checked is, at each merge and sweep, that a machine holds what the model of
 * tests/lib/history.h says, and may have forgotten only what its horizon ends; and once all
 * is quiet (table-check.c), in three ways: what each machine shows is what living owners
 * claim; all hold the same bytes at the same horizon; nothing is written or moved while
 * nothing happens. Further that no dot is given out twice or has two contents, and that
 * a node stops as a clone where one ran, and only there.
 *
 *   table-disk.c     what a machine keeps
 *   table-node.c     a machine: the driver of leases and owner
 *   table-world.c    time, links, messages, the quick form of a session
 *   table-session.c  sessions by src/sync
 *   table-faults.c   what happens: the generator
 *   table-check.c    what must hold once all is quiet */
#ifndef OCF_TESTS_SIM_TABLE_WORLD_H
#define OCF_TESTS_SIM_TABLE_WORLD_H

#include "base/rng.h"
#include "crdt/lease.h"
#include "crdt/owner.h"
#include "lib/history.h"
#include "sim/table-disk.h"

enum {
	TABLE_MACHINES = TABLE_IDENTITIES + 3, /* with clones */
	TABLE_ASIDE_MAX = 16,
	TABLE_WHY_SIZE = 300,
};

/* Wrong replicas, each with one well-known mistake. */
enum table_break {
	TABLE_RIGHT,
	TABLE_CONTEXT_NOT_JOINED, /* a version covers what is there, not what that covered */
	TABLE_HIGHEST_SEQ, /* merge looks at no context, keeps the highest number */
	TABLE_GE_FOR_GT,
	TABLE_OWN_STAMP_AGE, /* a live version ends by its own stamp, not by the lease */
	TABLE_ACTOR_REUSED,  /* after disk loss the old actor begins at 1 again */
	TABLE_NUMBERS_AGAIN, /* so does every start */
	TABLE_NO_AUTHORITY,  /* the owner does not look at what comes back under its id */
	TABLE_NO_REFRESH,    /* the node row is written once */
	TABLE_HORIZON_TRUSTED, /* whatever a peer says, and it stays */
	TABLE_SAME_DOT_MINE,   /* of two versions of one dot each keeps its own */
	TABLE_NO_CONTEXT_SENT,
	TABLE_BREAKS,
};

/* Kinds of trouble, which a history has or has not. */
enum table_fault {
	TABLE_CUT_SHORT = 1 << 0,    /* broadcasts that miss some, sessions cut */
	TABLE_PARTITION = 1 << 1,    /* shorter and longer than T */
	TABLE_CRASH = 1 << 2,	     /* merges since the last commit are lost */
	TABLE_DISK_LOSS = 1 << 3,    /* the identity is kept */
	TABLE_CLOCK = 1 << 4,	     /* minutes, hours and weeks apart */
	TABLE_GONE = 1 << 5,	     /* for ever */
	TABLE_DELAY = 1 << 6,	     /* late, twice, out of order */
	TABLE_ROLLBACK = 1 << 7,     /* an old copy of the disk, then a start */
	TABLE_ROLLBACK_RUN = 1 << 8, /* the same under a running process: a VM put back */
	TABLE_RESTORE = 1 << 9,	     /* an old copy with a new actor */
	TABLE_CLONE = 1 << 10,	     /* a copy of the disk runs beside the original */
	TABLE_TWIN = 1 << 11,	     /* the same dot with other bytes */
	TABLE_BAN = 1 << 12,	     /* and forget, and their ends */
	TABLE_LIVES = 1 << 13, /* many short lives: over 8 versions, over 16 actors */
	TABLE_WRITE_FAILS = 1 << 14, /* a full disk */
	TABLE_LAZY = 1 << 15,  /* own writes that a crash may take, before they leave */
	TABLE_HOUR = 1 << 16,  /* the horizon moves in the middle of a session */
	TABLE_LEAVE = 1 << 17, /* an owner withdraws, and starts again or does not */
	TABLE_EVERYDAY = (1 << 7) - 1, /* those above TABLE_ROLLBACK */
	TABLE_FAULTS = (1 << 18) - 1,
};

struct table_params {
	uint64_t seed;
	int nodes; /* 2 … TABLE_IDENTITIES; 0: as the seed says */
	int steps; /* 0: as the seed says */
	unsigned faults;
	enum table_break broken;
	bool is_lax;	  /* judge when all is quiet only */
	int store_once;	  /* one machine in so many has a real store; 0: none */
	int session_once; /* one session in so many is a real one; 0: none */
	bool is_told;	  /* print what happens */
};

struct table_world;

struct table_aside {
	int key;
	struct row row;
};

struct table_node {
	struct table_world *world;
	int index;
	int identity;
	bool is_up;
	bool is_gone;	/* for ever */
	bool is_cloned; /* ended with CLONE */
	ms_t skew;	/* of its clock */
	ms_t started;	/* the world's time */
	bool is_settled;
	bool is_clock_wrong;
	int node_value;
	int claims[TABLE_NAMES]; /* values; 0: no worker */
	bool is_announced[TABLE_NAMES];
	struct table_disk disk;
	bool has_uncommitted; /* own writes, which may not leave */
	struct table_disk *backup;
	ms_t backup_wall; /* when the life that the backup is of began */
	struct leases *leases;
	struct owner *owner;
	uint64_t trusted; /* TABLE_HORIZON_TRUSTED */
	bool is_pumping;
	struct table_aside aside[TABLE_ASIDE_MAX];
	int aside_len;
};

struct table_message {
	ms_t at;
	int from, to;
	int key;
	struct row row;
};

/* What a world saw, over all histories: that the generator makes what it is to make. */
struct table_counts {
	uint64_t histories, steps, merges, writes, renewals, clones, sweeps, asides, left,
		sessions, real_sessions, versions_over, actors_over, store_machines;
};

struct table_world {
	struct table_params params;
	struct table_rules rules;
	struct rng rng;
	ms_t now;
	struct table_node nodes[TABLE_MACHINES];
	int nodes_len;
	int identities;
	bool is_cut[TABLE_IDENTITIES][TABLE_IDENTITIES];
	/* Its numbering was put back or runs twice: it may stop as a clone, and its rows are
	 * judged once quiet only. */
	bool is_doubled[TABLE_IDENTITIES];
	/* The highest horizon that a machine of this identity took, by whatever clock: it left
	 * out of contexts what that ended. */
	uint64_t horizons[TABLE_IDENTITIES];
	bool is_banned[TABLE_IDENTITIES]; /* see table-check.c */
	struct table_message *messages;
	int messages_len, messages_cap;
	struct history history;
	struct dot *dots; /* given out */
	int dots_len, dots_cap;
	int values;
	int stores;
	bool is_quiet;
	uint64_t moved, writes; /* of all but node rows; see table-check.c */
	struct table_counts *counts;
	char why[TABLE_WHY_SIZE]; /* the first thing found wrong; "" */
};

/* ---- table-world.c ---- */

/* Play the history. Returns "" or what was wrong, valid until the next call; w->params says
 * what the seed decided. */
const char *table_world_run(struct table_world *w, const struct table_params *params,
			    struct table_counts *counts);
void table_world_fini(struct table_world *w); /* w was zeroed before its first run */
void table_world_wrong(struct table_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A line of what happens, if it is to be told. */
void world_tell(const struct table_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
uint64_t world_below(struct table_world *w, uint64_t n);
bool world_has(const struct table_world *w, enum table_fault fault);
/* True in `percent` of all cases. */
bool world_chance(struct table_world *w, int percent);
bool world_linked(const struct table_world *w, const struct table_node *a,
		  const struct table_node *b);
/* May rows flow? Clocks and horizons are compared, the higher horizon is taken. */
bool world_greet(struct table_world *w, struct table_node *a, struct table_node *b);
/* A session, of which a part of the rows arrives. */
void world_sync(struct table_world *w, struct table_node *a, struct table_node *b,
		int percent);
void world_broadcast(struct table_world *w, struct table_node *from, int key,
		     const struct row *row);
void world_deliver(struct table_world *w);
/* Time passes, for all. */
void world_pass(struct table_world *w, ms_t span);
/* What arrives when this is sent: through the codec, its signatures checked. */
void world_transmit(struct table_world *w, int key, const struct row *row,
		    struct row *ret_row);
struct table_node *world_add(struct table_world *w, int identity);

/* ---- table-session.c ---- */

/* A session by src/sync; after `frames` frames it is cut. */
void world_session(struct table_world *w, struct table_node *a, struct table_node *b,
		   int frames);

/* ---- table-node.c ---- */

ms_t node_wall(const struct table_node *n);
void node_start(struct table_node *n);
/* started_wall: of the life that goes on, numbering and all; see TABLE_ROLLBACK_RUN. */
void node_resume(struct table_node *n, ms_t started_wall);
void node_stop(struct table_node *n); /* a crash */
void node_tick(struct table_node *n);
void node_clock(struct table_node *n, bool is_wrong);
bool node_hear(struct table_node *n, uint64_t horizon);
/* A row state came. */
void node_absorb(struct table_node *n, int key, const struct row *row);
void node_claim(struct table_node *n, int name, int value);
void node_unclaim(struct table_node *n, int name);
void node_say_node(struct table_node *n, int value);
/* It leaves: until it starts again it claims nothing. */
void node_withdraw(struct table_node *n, int value);
void node_commit(struct table_node *n);
/* A row of the cluster's CA is written here: value 0 removes. */
void node_decree(struct table_node *n, int key, int value);
/* The value that a look-up finds, 0: none. */
int node_shows(const struct table_node *n, int identity, int name);
bool node_bans(const struct table_node *n, int identity);
void table_sign(const struct row_key *key, const struct version *v,
		uint8_t ret_signature[ROW_SIGNATURE_BYTES]);
/* Write, sign and seal a version, and tell the model. 0 or version_next()'s code. */
int node_make_version(struct table_world *w, int key, const struct row *seen,
		      struct dot dot, uint64_t stamp, const struct bytes *value,
		      const struct history_set *saw, struct row *ret_row);

/* ---- table-faults.c, table-check.c ---- */

void world_step(struct table_world *w);
/* Perhaps an owner leaves for ever just before all is quiet, and what it wrote turns up
 * twice. */
void world_last_step(struct table_world *w);
/* All is well from now on, and time passes. */
void world_quiet(struct table_world *w, ms_t span);
void world_check(struct table_world *w, bool are_dead_over);
void world_check_end(struct table_world *w);

#endif
