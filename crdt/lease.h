/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and the horizon: how long rows live, and how removed ones are forgotten without
 * keeping a tombstone for ever.
 *
 * The lease of an owner is the highest stamp, live or removed, of its node row, which it
 * writes anew every half of the retention T; a ban or a forget ends it at its own stamp at
 * the latest. All rows of the owner live as long as its lease: a row's own stamp never
 * decides its age. The horizon H = whole hours of (now - T) only grows, travels in HELLO and
 * in the first leg of a comparison, and is the same everywhere before rows flow. What it
 * ends is swept, leaving no trace: every row of an owner whose lease is at or before H, and
 * every removed version stamped at or before H. So what is stored, compared and relayed is a
 * function of the rows merged and of H alone. (A lease as in Gray, Cheriton: "Leases", 1989,
 * given by the owner to its own rows; T must be far above the clocks' error.)
 *
 * Rows of ban and forget have no lease and are never swept. One's own rows do not end by
 * one's own lease: a node that was off for longer than T writes its node row first.
 *
 * Pure: time comes in, nothing goes out; not thread-safe. tests/sim/test-sim-table.c runs
 * this against a model that keeps everything for ever. */
#ifndef OCF_CRDT_LEASE_H
#define OCF_CRDT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "crdt/row.h"

struct leases;

enum {
	LEASE_HORIZON_MS = MS_HOUR, /* H is a multiple of it */
	/* A horizon that is further than this ahead of what our own clock says is not
	 * believed. */
	LEASE_AHEAD_MS = 10 * MS_MINUTE,
};

/* `self` owns the rows that are not ended by its lease; zero: nobody's. */
struct leases *leases_new(const struct id *self, ms_t retention_ms);
void leases_free(struct leases *l); /* NULL is allowed */

/* The state of a row is now this; NULL or empty: not held. Node, ban and forget rows count,
 * others are ignored. */
void leases_note(struct leases *l, const struct row_key *key, const struct row *row);
/* Is the owner's node row held (under the rules that need none: always)? A row of another
 * owner is to be put aside until it is. */
bool leases_knows(const struct leases *l, const struct row_key *key);
/* The lease, ms since 1970; 0 when the node row is not held. */
uint64_t leases_of(const struct leases *l, const struct id *owner);
/* Has the lease ended at `wall_ms`, swept or not? True when there is none. What a look-up in
 * rows asks; the catalog (src/table), which keeps no rows, has the stamps and asks itself. */
bool leases_is_over(const struct leases *l, const struct id *owner, ms_t wall_ms);

uint64_t leases_horizon(const struct leases *l);
/* The clock moved on, or H was read from the store: H becomes the larger of `stored` and
 * what the clock says; one that is more than LEASE_AHEAD_MS ahead of the clock comes from a
 * clock that was wrong, and is set back. Returns true when H changed: sweep, keep it. */
bool leases_tick(struct leases *l, uint64_t stored, ms_t wall_ms);
/* A peer's H over a link whose clocks agree. False, and nothing is changed, when it is not
 * to be believed: then the link may carry no rows. *ret_changed: H grew; sweep, keep it. */
bool leases_hear(struct leases *l, uint64_t theirs, ms_t wall_ms, bool *ret_changed);
/* The same question without taking it. */
bool leases_believes(const struct leases *l, uint64_t theirs, ms_t wall_ms);

/* What the horizon leaves of a state that was merged: to be called with every merge, and for
 * every row when H grows. Node rows count for their own lease. Returns true when the row
 * changed; it may be empty then, which means that it is not to be held. */
bool leases_sweep(const struct leases *l, const struct row_key *key, struct row *row);
/* Calls fn(arg, owner) for every owner all of whose rows are to be swept now; fn must not
 * change the leases. */
void leases_each_ended(const struct leases *l,
		       void (*fn)(void *arg, const struct id *owner), void *arg);

#endif
