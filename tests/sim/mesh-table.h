/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a simulated node: a set of numbered rows that never change, some of them
 * longer than a frame, read by the sync core as a real one is. */
#ifndef OCF_TESTS_SIM_MESH_TABLE_H
#define OCF_TESTS_SIM_MESH_TABLE_H

#include <stdbool.h>

#include "sync/sync.h"

enum { MESH_ROWS_MAX = 400 };

struct mesh_table {
	bool has[MESH_ROWS_MAX];
	bool aside[MESH_ROWS_MAX]; /* merged once the one they need is held */
	struct sync_digest root;
	const ms_t *stamps; /* of all rows, by the wall clock; the world's */
};

/* False when it is held already. */
bool mesh_table_add(struct mesh_table *t, uint32_t row);
/* It is held no more. */
void mesh_table_drop(struct mesh_table *t, uint32_t row);
/* As worker rows need their owner's node row, some rows need another. */
bool mesh_row_needs(uint32_t row, uint32_t *ret_needed);
bool mesh_table_can_merge(const struct mesh_table *t, uint32_t row);
/* As mesh_table_add(); what is new goes to `changed`, and so does what waited for it. False:
 * the row is put aside, for *ret_wanted is not held. */
bool mesh_table_merge(struct mesh_table *t, uint32_t row, struct buf *changed,
		      uint32_t *ret_wanted);
/* number u32, length u32 of what follows. */
void mesh_row_put(struct buf *out, uint32_t row);
/* The next one of encoded rows. */
uint32_t mesh_row_read(struct reader *r);
struct sync_table mesh_table_view(struct mesh_table *t);

#endif
