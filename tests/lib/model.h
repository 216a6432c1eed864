/* SPDX-License-Identifier: Apache-2.0 */
/* The OR-set as one would explain it, without a thought for size: every version ever
 * written is an event that is kept for ever, together with the set of events that its
 * writer had seen. A replica is a set of events. An event stands in a replica unless an
 * event of the replica saw it. What crdt/row.c keeps must be what stands, always.
 *
 * The model knows nothing of contexts, sequence numbers or signatures, so a wrong use of
 * those cannot be wrong here in the same way. */
#ifndef OCF_TESTS_MODEL_H
#define OCF_TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "crdt/row.h"

enum { MODEL_EVENTS_MAX = 64 }; /* of one history: sets of events are bits of a word */

struct model {
	int n;
	struct {
		struct version version; /* what row.c sees of it; owned */
		uint64_t saw;		/* events, by number */
	} events[MODEL_EVENTS_MAX];
	uint64_t last_stamp;
};

void model_init(struct model *m);
void model_fini(struct model *m);
/* The owner, as the actor, adds (value not NULL) or removes, having seen what the replica
 * `seen` (events) holds; its version is made by version_next() from `row`, the real state
 * of that replica. Returns the event's number, or -1 when version_next() refuses. */
int model_write(struct model *m, uint64_t seen, const struct row *row, struct dot dot,
		const char *value);
/* The events that stand in a replica that holds these. */
uint64_t model_standing(const struct model *m, uint64_t events);
/* Is `row` exactly what stands in the replica? */
bool model_agrees(const struct model *m, uint64_t events, const struct row *row);
/* The state of a replica that received only this event. */
void model_row(const struct model *m, int event, struct row *ret_row);

#endif
