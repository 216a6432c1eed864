/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's side of the table: when and what a node writes under its own id. Nobody else
 * may, so whatever is wrong with its rows is put right here and nowhere else.
 *
 * A sans-io core: owner_step(core, event) changes its state and queues actions, which the
 * driver takes out with owner_next() and performs; owner_due() says when it wants an
 * OWNER_EVENT_TICK. Drivers: src/daemon/own.c over the store, tests/sim/table-node.c.
 *
 * What it does.
 *   - It holds what this node claims (row → value) beside what the table holds under its id,
 *     and makes them agree: writes what is missing, other, or in several versions, removes
 *     what nobody claims. An unchanged claim writes nothing.
 *   - After a start every live row of the store counts as claimed, until SETTLED says that
 *     who has not claimed by then will not.
 *   - It writes the node row at the start, when it changes, and every T/2 ± 10 %.
 *   - Stamps are this node's clock made monotone. A last stamp more than OWNER_AHEAD_MS ahead
 *     of the clock comes from a clock that was wrong: a new actor starts from the clock again
 *     and rewrites all rows.
 *   - It finds out that its numbering is not its own any more. A version of its present actor
 *     beyond what was handed out, or a dot of it with other bytes: an older copy of the store
 *     was put back, or runs elsewhere. It takes a new actor and writes its rows again.
 *   - A version by an actor that this store never had, whose context covers what was written
 *     since this start (and stamped after it, unless that was under an actor taken since):
 *     another machine runs with this identity. CLONE: the node stops. Any other is taken for
 *     one of a former life, whose clock may have been ahead, and is covered by what is
 *     written next; a machine that runs answers that.
 *   - A node whose clock disagrees with most of its links writes nothing until it agrees.
 *   - A node that withdraws removes its worker rows and then writes its node row once more,
 *     with what WITHDRAW gave. A node row is never removed: it dates all the rows of its
 *     owner, removed ones too. After that only what undoes this is answered; the next life
 *     begins as ever.
 *   - Contexts stay short: an actor that was covered before the horizon is left out.
 *
 * Not thread-safe. Values and rows given are copied. */
#ifndef OCF_CRDT_OWNER_H
#define OCF_CRDT_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "crdt/row.h"

struct owner;

enum {
	OWNER_AHEAD_MS = 5 * MS_MINUTE,
	OWNER_RETRY_MS = 5 * MS_SECOND, /* of a write that failed */
	OWNER_WHY_SIZE = 160,
};

struct owner_config {
	struct id self;
	ms_t retention_ms;
	/* All actors that the store ever had, the present one last; copied. */
	const uint64_t *actors;
	int actors_len;
	/* Sequence numbers below it may have been handed out under the present actor. */
	uint64_t next_seq;
	ms_t started_ms; /* wall clock, of this start */
	uint64_t seed;	 /* of the core's randomness */
};

enum owner_event_type {
	/* The time of owner_due() has come. */
	OWNER_EVENT_TICK,
	/* At the start, before all others: the store holds `row` under `key`. */
	OWNER_EVENT_LOADED,
	/* `row`, validly signed, came from elsewhere and is about to be merged. To be told
	 * before HELD, also when the merge will change nothing. */
	OWNER_EVENT_HEARD,
	/* `row` is now held under `key`; NULL or empty: nothing is (a sweep). */
	OWNER_EVENT_HELD,
	/* What was held under `key` rotted and is gone: it is written again, in place of what
	 * others still have. */
	OWNER_EVENT_LOST,
	/* This node claims `key` (its node row or a worker row) with `value`. */
	OWNER_EVENT_CLAIM,
	/* It does not any more. */
	OWNER_EVENT_UNCLAIM,
	/* Whoever wants to claim a row of a former life has done so. */
	OWNER_EVENT_SETTLED,
	/* This node leaves: nothing is claimed any more, and the node row says `value`.
	 * Later CLAIMs are ignored. owner_has_withdrawn() tells when it is done. */
	OWNER_EVENT_WITHDRAW,
	/* The WRITE of `key` was done under `dot`: the merged `row` is held. Or it was not:
	 * `rc` is negative, and it is tried again later. */
	OWNER_EVENT_WRITTEN,
	/* The RENEW was done: the present actor is `dot.actor`, its first number `dot.seq`.
	 * Or `rc` is negative, as above. */
	OWNER_EVENT_RENEWED,
	/* This node's clock disagrees with most of its links, or (`is_ok`) does not. */
	OWNER_EVENT_CLOCK,
};

/* Fields that an event does not name are zero. Borrowed for the call. */
struct owner_event {
	enum owner_event_type type;
	ms_t wall_ms;	  /* with each event */
	uint64_t horizon; /* with each event; ms */
	const struct row_key *key;
	const struct row *row;
	struct bytes value;
	struct dot dot;
	int rc;
	bool is_ok;
};

enum owner_action_type {
	/* Make the next version of `key`, version_next(seen, a new dot, stamp, value), value
	 * NULL: a remove; sign and seal it, merge it into the table, and hand it on once it
	 * is durable. Answered by WRITTEN before the next action is taken. `seen` is what its
	 * context is to cover. */
	OWNER_ACTION_WRITE,
	/* Take a new actor, durably, and say loudly `why`. Answered by RENEWED. */
	OWNER_ACTION_RENEW,
	/* Another machine runs with this identity: stop. `row` is what it wrote under `key`.
	 * Nothing is written any more. */
	OWNER_ACTION_CLONE,
};

struct owner_action {
	enum owner_action_type type;
	const struct row_key *key;
	const struct row *seen;
	const struct row *row;
	uint64_t stamp;
	const struct bytes *value;
	const char *why;
};

struct owner *owner_new(const struct owner_config *config);
void owner_free(struct owner *o); /* NULL is allowed */
void owner_step(struct owner *o, const struct owner_event *event);
/* The next action; false when there is none. What it points to is valid until the next call
 * of owner_next() or owner_step(). */
bool owner_next(struct owner *o, struct owner_action *ret_action);
/* Wall clock; INT64_MAX: no tick is wanted. That clock may be set back: a driver ticks once a
 * minute or so whatever this says. */
ms_t owner_due(const struct owner *o);

/* Is the row claimed, or not yet known not to be? For who looks for a free number. */
bool owner_has(const struct owner *o, const struct row_key *key);
/* Up to `max` keys of rows that were held or claimed; how many there are. */
int owner_keys(const struct owner *o, struct row_key *ret_keys, int max);
/* All that WITHDRAW wants is written. */
bool owner_has_withdrawn(const struct owner *o);
/* Why nothing is written just now: "" or a sentence. */
const char *owner_why_silent(const struct owner *o);
uint64_t owner_renewals(const struct owner *o); /* in this life */

#endif
