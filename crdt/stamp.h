/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps: the owner's wall clock made monotone. A stamp never absorbs another node's
 * clock (so one bad clock cannot push all others ahead) and never decides causality: dots
 * and contexts do. It tells versions apart and gives them an age. */
#ifndef OCF_CRDT_STAMP_H
#define OCF_CRDT_STAMP_H

#include <stdint.h>

struct stamp_clock {
	uint64_t last; /* ms; the highest stamp given out or found in our own rows */
};

/* A stamp above every earlier one, and at least `wall_ms`. */
uint64_t stamp_next(struct stamp_clock *clock, int64_t wall_ms);
/* A stamp of ours found in the store. */
void stamp_seen(struct stamp_clock *clock, uint64_t stamp);
/* The horizon of a table with this retention: whole hours of (now - retention), in ms;
 * rows whose lease is at or before it have ended. 0 before there is any. */
uint64_t stamp_horizon(int64_t wall_ms, int64_t retention_ms);

#endif
