/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine of tests/sim/table-world.h keeps: its table, its horizon, its actors and
 * its numbering. Merges are lost in a crash until they are committed, numbers are reserved
 * before they are given out. In memory; or in a real store (store/store.h), whose rows are
 * mirrored here after each change, so that the world reads both in the same way.
 *
 * Keys are numbers, since the world has few: of identity i its node row and its workers,
 * then a ban and a forget of each identity. */
#ifndef OCF_TESTS_SIM_TABLE_DISK_H
#define OCF_TESTS_SIM_TABLE_DISK_H

#include "base/rng.h"
#include "crdt/lease.h"
#include "crdt/row.h"
#include "store/store.h"

enum {
	TABLE_IDENTITIES = 6,
	TABLE_NAMES = 4,
	TABLE_KEYS_EACH = 1 + TABLE_NAMES,
	TABLE_BANS = TABLE_IDENTITIES * TABLE_KEYS_EACH,
	TABLE_FORGETS = TABLE_BANS + TABLE_IDENTITIES,
	TABLE_KEYS = TABLE_FORGETS + TABLE_IDENTITIES,
	TABLE_ACTORS_MAX = 128,
	TABLE_BLOCK = 50, /* numbers reserved at once */
};

#define TABLE_RETENTION_MS (7 * (ms_t)MS_DAY)

/* name < 0: the node row. */
int table_key_of(int identity, int name);
const struct row_key *table_key(int key);
int table_key_find(const struct row_key *key);
const struct id *table_id(int identity);
/* Whose row it is; -1: the cluster's. */
int table_owner(int key);
/* Whom a ban or a forget is about; -1: another row. */
int table_about(int key);

/* The parts that a wrong replica does otherwise. */
struct table_rules {
	bool (*merge)(struct row *into, const struct row *other); /* row_merge */
	bool (*sweep)(const struct leases *l, const struct row_key *key,
		      struct row *row); /* leases_sweep */
};

struct table_cell {
	struct row row;
	uint64_t digest; /* of the encoded state; 0: not held */
};

struct table_undo {
	int key;
	struct row row;
};

struct table_disk {
	const struct table_rules *rules;
	const struct leases *leases; /* the machine's; NULL: it is off */
	struct table_cell cells[TABLE_KEYS];
	uint64_t root; /* of the cells' digests: equal tables, equal roots */
	uint64_t horizon, committed_horizon;
	uint64_t actors[TABLE_ACTORS_MAX];
	int actors_len;
	uint64_t next_seq, reserved;
	bool is_reused;		 /* TABLE_ACTOR_REUSED: counts from 1 at the next start */
	struct table_undo *undo; /* what a crash brings back */
	int undo_len, undo_cap;
	char *dir; /* a real store; NULL: memory */
	struct store *store;
};

/* A new disk with a new actor; `dir` is taken, NULL: in memory. */
void table_disk_init(struct table_disk *d, const struct table_rules *rules,
		     struct rng *rng, char *dir);
void table_disk_fini(struct table_disk *d);
/* After a start: numbering goes on beyond what was reserved. */
void table_disk_open(struct table_disk *d, struct rng *rng);
/* All is kept. */
void table_disk_commit(struct table_disk *d);
/* The process ends; what was not committed is lost (a real store commits it). */
void table_disk_crash(struct table_disk *d);
/* What is committed, as it is now; `dir` as above. For backups and clones. */
void table_disk_copy(struct table_disk *from, struct table_disk *ret_d, char *dir);

const struct row *table_disk_row(const struct table_disk *d, int key);
/* Merge, then sweep. Returns true when another state is held now. */
bool table_disk_merge(struct table_disk *d, int key, const struct row *row);
/* Sweep one row as the leases say. */
bool table_disk_sweep(struct table_disk *d, int key);
struct dot table_disk_dot(struct table_disk *d);
void table_disk_renew(struct table_disk *d, struct rng *rng);
/* Does the store hold what is mirrored, and are its digests right? Always, in memory. */
bool table_disk_verify(struct table_disk *d);

#endif
