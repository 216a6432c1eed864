/* SPDX-License-Identifier: Apache-2.0 */
/* Node rows of simulated tables as REFRESH: by the daemon's own code. */
#ifndef OCF_TESTS_SIM_MESH_REFRESH_H
#define OCF_TESTS_SIM_MESH_REFRESH_H

#include "sim/mesh-table.h"

enum mesh_refresh_found {
	MESH_REFRESH_OLD,    /* that version is held, or a later one */
	MESH_REFRESH_WANTED, /* its value is not held: the row is to be asked for */
	MESH_REFRESH_FALSE,  /* another value is: its signature will not be good */
	MESH_REFRESH_GOOD,
};

struct mesh_refresh {
	uint32_t row, version;
	enum mesh_refresh_found found;
};

/* Does who held the version `before` need no value for `after`? */
bool mesh_refresh_is_one(const struct mesh_rows *rows, uint32_t row, uint32_t before,
			 uint32_t after);
/* Append the payload; false when there is none. */
bool mesh_refresh_put(const struct mesh_rows *rows, struct buf *out, uint32_t row,
		      uint32_t version);
/* False for what no owner writes. */
bool mesh_refresh_read(const struct mesh_table *t, struct bytes payload,
		       struct mesh_refresh *ret_refresh);

#endif
