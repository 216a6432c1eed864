/* SPDX-License-Identifier: Apache-2.0 */
/* A table in memory with real rows, in the order of K, for tests of src/sync: merged by
 * crdt/row.h, weighed by crdt/digest.h, encoded by crdt/codec.h, and read through struct
 * sync_table. Sums are made naively, row by row. */
#ifndef OCF_TESTS_ROWSET_H
#define OCF_TESTS_ROWSET_H

#include "crdt/digest.h"
#include "crdt/lease.h"
#include "crdt/row.h"
#include "sync/sync.h"

struct rowset_row {
	uint8_t k[SYNC_K_BYTES];
	struct u128 digest;
	struct bytes encoded; /* key | state; owned */
};

/* For the roots of before. */
struct rowset_change {
	uint64_t stamp;
	struct sync_digest minus; /* what the root was before it, less what it is after */
};

struct rowset {
	struct rowset_row *rows;
	int len, cap;
	struct sync_digest root;
	struct rowset_change *changes;
	int changes_len;
	int fail_after;	       /* reads until one fails with -EIO; 0 = none does */
	struct leases *leases; /* by which rows are swept; NULL: none is. Not owned */
};

void rowset_fini(struct rowset *rs);
void rowset_copy(const struct rowset *from, struct rowset *ret_rs);
/* Merge rows encoded one after the other. Returns how many there were, or -1 when one does
 * not decode; those before it are merged. */
int rowset_merge_encoded(struct rowset *rs, struct bytes rows);
void rowset_merge(struct rowset *rs, const struct row_key *key, const struct row *row);
/* Drop what the horizon of `leases` has ended. */
void rowset_sweep(struct rowset *rs);
/* ROW_INIT when it is not held; row_fini it. */
void rowset_get(const struct rowset *rs, const struct row_key *key, struct row *ret_row);
/* Rows here and not there, there and not here, in both in different states. */
void rowset_differences(const struct rowset *here, const struct rowset *there,
			uint64_t *ret_here, uint64_t *ret_there, uint64_t *ret_differing);
bool rowset_equal(const struct rowset *a, const struct rowset *b);
struct sync_table rowset_table(struct rowset *rs);

#endif
