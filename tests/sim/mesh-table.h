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
	struct sync_digest root;
	const ms_t *stamps; /* of all rows, by the wall clock; the world's */
};

/* False when it is held already. */
bool mesh_table_add(struct mesh_table *t, uint32_t row);
/* number u32, length u32 of what follows. */
void mesh_row_put(struct buf *out, uint32_t row);
/* The next one of encoded rows. */
uint32_t mesh_row_read(struct reader *r);
struct sync_table mesh_table_view(struct mesh_table *t);

#endif
