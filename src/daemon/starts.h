/* SPDX-License-Identifier: Apache-2.0 */
/* The incarnation of this node in the mesh: its starts, counted in the store, and below them
 * how often it refuted that it is dead. Each start outranks all that others can hold of an
 * earlier one, as far as this node knows: with an older copy of the store it is told of later
 * ones, and the count goes on above them. */
#ifndef OCF_DAEMON_STARTS_H
#define OCF_DAEMON_STARTS_H

#include <stdint.h>

struct store;

enum {
	STARTS_BITS = 32, /* of an incarnation, for what comes within one start */
	/* The mesh knows of none above INT64_MAX. Nobody starts so often; whoever others
	 * told of such a number goes on below it, by refuting. */
	STARTS_MAX = INT32_MAX,
};

/* One more. A negative code: the store failed. */
int starts_count(struct store *store, uint64_t *ret_incarnation);
/* The node has this incarnation now: the next start is to be above it. Written only when the
 * count is not above it by itself. */
int starts_keep(struct store *store, uint64_t incarnation);

#endif
