/* SPDX-License-Identifier: Apache-2.0 */
/* Small replicas of the other kind of OR-set: one causal context for the whole table, a
 * version vector and a cloud of single dots (Almeida, Shoker, Baquero: "Delta state
 * replicated data types", 2018), exchanged in pages. It is not what crdt/row.h does; it is
 * what implementations get wrong. Each of the wrong ways below loses live rows, and all
 * replicas end equal, so that who compares replicas only sees nothing: they prove that the
 * check against a model does.
 *
 * A session takes the other's context, then its pages one by one, between which either side
 * writes on; a dot that is not on its page and is in its context was removed there. */
#ifndef OCF_TESTS_GLOBAL_CONTEXT_H
#define OCF_TESTS_GLOBAL_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

enum global_way {
	GLOBAL_RIGHT, /* the context is frozen before the first page, joined after the last */
	GLOBAL_LATE,	 /* a page is judged by a context that was read after it */
	GLOBAL_NEWER,	 /* a context newer than the pages is joined */
	GLOBAL_FIRST,	 /* the context is joined first, then rows are fetched */
	GLOBAL_CUT,	 /* it is joined though the session was cut */
	GLOBAL_NO_CLOUD, /* a dot received stands for all lower ones of its actor */
	GLOBAL_WAYS,
};

struct global_result {
	int live, lost; /* rows that should be there at the end; that are not */
	int returned;	/* removed ones that are there */
	bool is_equal;	/* all replicas, entries and contexts */
};

/* One random history of four replicas, then sessions until nothing changes. */
void global_history(enum global_way way, uint64_t seed, struct global_result *ret_result);

#endif
