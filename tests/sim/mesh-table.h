/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of simulated nodes. What rows there are, who owns them and what each version of
 * them says is kept once for all (struct mesh_rows); a node's table is the version that it
 * holds of each. The first `nodes` rows are node rows. A row on the wire has the bytes of a
 * real one (crdt/codec.h), so that costs are real: 118 beside name and value. The higher version
 * wins. The sync core reads a table as it reads a real one, and its settled roots are made as
 * store/recent.c makes them. */
#ifndef OCF_TESTS_SIM_MESH_TABLE_H
#define OCF_TESTS_SIM_MESH_TABLE_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/id.h"
#include "mesh/mesh.h"
#include "sync/sync.h"

enum {
	MESH_NODE_VALUE_BYTES = 200, /* of a node row */
	MESH_EPOCHS_MAX = 64,	     /* of changes that are not settled; */
	MESH_EPOCHS_KEPT =
		36, /* so many those stay that are stamped in the future: 6 minutes */
	MESH_ASIDE_MAX = 4096, /* rows without their owner's node row; more are dropped */
};

/* What one version of a row says. */
struct mesh_fact {
	ms_t stamp;
	bool is_refresh; /* to be: with the value of the version before, if that says the same */
	uint32_t value; /* of which version it has the value; set by mesh_rows_write() */
	/* Of a node row: */
	enum mesh_inbound inbound;
	uint16_t
		homes[MESH_HOMES_MAX]; /* node rows; those of nodes that take no links, */
	uint8_t homes_len;	       /* where they are not as computed */
};

struct mesh_row {
	int owner;
	uint16_t len;  /* of the value */
	uint8_t forks; /* versions side by side; more than one makes a row that is long */
	uint32_t version; /* the latest that was written, 0: none; */
	uint32_t durable; /* the latest that its owner has committed */
	uint32_t cap;
	struct mesh_fact *facts; /* of version i + 1 */
	/* How long the latest takes to be seen by all: */
	uint32_t seen; /* so many have it */
	int64_t written_us;
};

struct mesh_rows {
	uint32_t nodes, len, max;
	struct mesh_row *rows;
	const struct id **owners; /* of nodes; not owned */
	uint32_t *order;	  /* all of `max`, by K */
	uint64_t *k;		  /* the first half of K, in that order */
	uint64_t bytes;		  /* of all rows that were written, encoded */
};

void mesh_rows_init(struct mesh_rows *rows, uint32_t nodes, uint32_t max);
void mesh_rows_fini(struct mesh_rows *rows);
/* A new row of that owner; its number. `len` above what one version holds makes forks. */
uint32_t mesh_rows_add(struct mesh_rows *rows, int owner, size_t len);
/* The next version of it; its number. */
uint32_t mesh_rows_write(struct mesh_rows *rows, uint32_t row,
			 const struct mesh_fact *fact);
void mesh_row_put(const struct mesh_rows *rows, struct buf *out, uint32_t row,
		  uint32_t version);
size_t mesh_row_len(const struct mesh_rows *rows, uint32_t row);
/* The next one of encoded rows; false when it is not as mesh_row_put() makes it. */
bool mesh_row_read(const struct mesh_rows *rows, struct reader *r, uint32_t *ret_row,
		   uint32_t *ret_version);

struct mesh_held {
	uint32_t row, version;
};

struct mesh_table {
	struct mesh_rows *rows;
	uint32_t *versions; /* 0: not held */
	struct sync_digest root;
	struct mesh_epoch {
		uint64_t epoch, since;	  /* and the one in which the first came */
		struct sync_digest moved; /* by changes stamped in it */
	} epochs[MESH_EPOCHS_MAX];
	int epochs_len;
	/* What was held before each change that is not committed, in their order; of the
	 * first `committing` the commit is under way. */
	struct mesh_held *undo;
	int undo_len, undo_cap, committing;
	struct mesh_held *aside;
	int aside_len;
};

void mesh_table_init(struct mesh_table *t, struct mesh_rows *rows);
void mesh_table_fini(struct mesh_table *t);
/* False when that or a later version is held already. `wall_ms`: the node's clock. With
 * `is_durable` it is on the disk already. */
bool mesh_table_merge(struct mesh_table *t, uint32_t row, uint32_t version, ms_t wall_ms,
		      bool is_durable);
/* A row is held no more, or as it was. */
void mesh_table_set_back(struct mesh_table *t, uint32_t row, uint32_t version);
/* Is the owner's node row held, or is it one? */
bool mesh_table_can_merge(const struct mesh_table *t, uint32_t row);
void mesh_table_put_aside(struct mesh_table *t, uint32_t row, uint32_t version);
/* One of that owner that was put aside; false when there is none. */
bool mesh_table_take_aside(struct mesh_table *t, int owner, struct mesh_held *ret_row);
/* A commit of all there is begins, and ends. */
bool mesh_table_commit_begin(struct mesh_table *t);
void mesh_table_commit_end(struct mesh_table *t);
/* Power is cut: what is on the disk is left. */
void mesh_table_crash(struct mesh_table *t);
/* The disk is another one: `versions` as mesh_table_copy() made them, or empty (NULL). */
void mesh_table_replace(struct mesh_table *t, const uint32_t *versions);
uint32_t *mesh_table_copy(const struct mesh_table *t); /* what is committed; free(3) it */
struct sync_table mesh_table_view(struct mesh_table *t);

#endif
