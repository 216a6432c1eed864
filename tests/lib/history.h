/* SPDX-License-Identifier: Apache-2.0 */
/* The table as one would explain it: every version ever written is an event that is kept
 * for ever, together with the set of events that its writer had before it. A replica's copy
 * of a row is a set of events; an event stands in it unless another one of the set saw it.
 * That is all. There are no numbers, contexts or digests here, so that a wrong use of those
 * cannot be wrong here in the same way. An event is known by the SHA-256 of its version.
 *
 * tests/lib/model.h is the same idea for one row without time. Here rows are many, and a
 * replica may forget what its leases have ended: its set is then what it still holds, and
 * the world (tests/sim/table-world.h) judges whether it was allowed to. */
#ifndef OCF_TESTS_HISTORY_H
#define OCF_TESTS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "crdt/row.h"

enum {
	HISTORY_ROWS_MAX = 64,
	HISTORY_EVENTS_MAX = 512, /* of a row; a set has a bit for each */
	HISTORY_SET_WORDS = HISTORY_EVENTS_MAX / 64,
};

struct history_set {
	uint64_t bits[HISTORY_SET_WORDS];
};

struct history_event {
	uint8_t hash[ROW_HASH_BYTES];
	struct dot
		dot; /* for messages, and to see that none is given twice; never to judge */
	uint64_t stamp;
	bool is_removed;
	struct history_set saw; /* with all that those saw */
};

struct history_row {
	struct history_event *events;
	int len, cap;
	/* Judged no more until all is quiet: an owner's numbering was put back, or there were
	 * more versions at once than a row keeps. */
	bool is_loose;
};

struct history {
	struct history_row rows[HISTORY_ROWS_MAX];
};

void history_clear(struct history *h); /* keeps the memory */
void history_fini(struct history *h);

/* The owner wrote `v`, having `seen`. Returns the event, or -1 when there are too many. */
int history_write(struct history *h, int row, const struct version *v,
		  const struct history_set *seen);
/* The event that is this version, or -1: nobody wrote it. */
int history_find(const struct history *h, int row, const struct version *v);
/* The events of a state; false when one was written by nobody. */
bool history_events(const struct history *h, int row, const struct row *state,
		    struct history_set *ret_set);
/* What stands when a copy that holds `mine` gets `theirs`. */
void history_merge(const struct history *h, int row, struct history_set *mine,
		   const struct history_set *theirs);
/* The lowest stamp of an event that saw this one; UINT64_MAX: none did. */
uint64_t history_covered_at(const struct history *h, int row, int event);

bool history_has(const struct history_set *set, int event);
/* Is there one that was written later than this one? */
bool history_has_later(const struct history_set *set, int event);
void history_add(struct history_set *set, int event);
bool history_is_same(const struct history_set *a, const struct history_set *b);

#endif
