/* SPDX-License-Identifier: Apache-2.0 */
/* A row under this node's id, for owner.c: what the table holds of it beside what the node
 * claims, and what the context of its next version is to name. Pure; what is to be written, and
 * when, is owner.c's. */
#ifndef OCF_CRDT_OWNED_H
#define OCF_CRDT_OWNED_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/bytes.h"
#include "crdt/row.h"

/* An actor in the contexts of a row, other than its versions' own: covered up to `dot.seq`
 * since `stamp` at the latest. */
struct cover {
	struct dot dot;
	uint64_t stamp;
};

/* A row under our id: what the table holds, and what we say. */
struct owned {
	struct row_key key;
	struct row held;
	struct buf value; /* claimed */
	bool is_claimed;
	bool is_released; /* by UNCLAIM: not of a former life any more */
	bool is_forced;	  /* to be written whatever it says: under a new actor */
	bool is_failed;	  /* waits for the next try */
	bool is_dirty;	  /* on the list */
	struct cover *covers;
	int covers_len;
	struct owned *prev, *next; /* of the list */
	UT_hash_handle hh;
};

/* The table holds this now; NULL: nothing. It is copied. */
void owned_hold(struct owned *r, const struct row *row);
/* Is there a visible value? */
bool owned_is_live(const struct owned *r);
/* The held state is one version, and says this. */
bool owned_says(const struct owned *r, struct bytes value);
/* What the next version, by `actor`, is to cover: all that is held, less the actors that were
 * covered before the horizon, which nobody can bring back any more; and when there are still
 * too many, less those that were covered first: should one of them return, it is covered
 * again. */
void owned_put_seen(const struct owned *r, uint64_t actor, uint64_t horizon,
		    struct row *ret_seen);

#endif
