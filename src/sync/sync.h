/* SPDX-License-Identifier: Apache-2.0 */
/* Anti-entropy: two nodes find the rows in which their tables differ, and exchange them.
 *
 * A table is a trie over K (the keyed hash of a row's key), each node of which has a digest:
 * the sum of its rows' digests, and their number (store/buckets.c; Meyer: "Range-Based Set
 * Reconciliation", 2022). A session compares roots; when they differ the 256 nodes at depth
 * 8, then, of each node that differs, its 16 children, both sides descending in turn, until
 * a node holds at most SYNC_LIST_ROWS_MAX rows and is listed. Who receives a list sends the
 * rows that the other lacks or holds in another state, and asks for those it lacks itself.
 * Rows travel as whole states (crdt/row.h), so that a session may be cut at any moment and
 * needs no clean-up. It ends by comparing roots again.
 *
 * Digests on the wire are 3 bytes, salted anew for every session: what collides once, and it
 * does for one difference in 16 million, does not the next time. The initiator drives: it
 * sends ASKs, at most SYNC_WINDOW of them at a time, and the responder makes each ANSWER from
 * the ASK and its table alone, keeping nothing in between but a count of sessions and of
 * bytes, to bound them.
 *
 * Tables are compared at one horizon (crdt/lease.h): OPEN carries the initiator's, and who
 * has the lower one sweeps before anything is compared; who does not believe the other's
 * ends the session, and no row has moved. A comparison that a person asks for changes
 * nothing, so it sweeps nothing either.
 *
 * Joining: a table that holds less than a SYNC_FEW_FACTOR-th of the other's rows first reads
 * the other's pages from the beginning, node rows before all others. A place in that order
 * is the same in every table, so a session that is cut goes on there later, with whomever.
 * What pages may have missed or a donor kept to itself is found by comparing, with the donor
 * and then with another node, as soon as there is a link to one.
 *
 * Two parts, both free of I/O. sync_compare(): what one side makes of the other's entries,
 * a pure function of them and a table; it reads the table, so that the driver runs it on a
 * thread of its own. struct sync: which session runs with whom, and when: events in,
 * actions out, as in mesh/mesh.h; one thread. Drivers: src/daemon/repair.c over the store,
 * tests/sim over arrays in virtual time.
 *
 * Settled roots. With changes on their way the roots of two healthy nodes differ all the
 * time, so what is compared is the root less the changes stamped at or after 10·e seconds,
 * where e, the epoch, is floor((now - 10 s) / 10 s). A session begins when the settled roots
 * of a link differ at two epochs one after the other; at once when a link comes up with
 * different roots; with a random link every interval; and when a person asks. It compares
 * tables alone: what two nodes hold of who is there, the mesh compares by HELLO and by
 * heartbeats (mesh/liveness.c). */
#ifndef OCF_SYNC_SYNC_H
#define OCF_SYNC_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"

enum {
	SYNC_K_BYTES = 16,
	/* So many rows weigh as much as 16 digests and a list of one row; measured with
	 * tests/bench/bench-sync.c, 16 would cost up to an eighth more. */
	SYNC_LIST_ROWS_MAX = 10,
	SYNC_TOP_BITS = 8,
	SYNC_STEP_BITS = 4,
	SYNC_DEPTH_MAX = 60, /* nodes below are listed whatever they hold */
	SYNC_WINDOW = 8,     /* ASKs under way */
	SYNC_PAYLOAD_BYTES_MAX = 60 * 1024, /* of a frame */
	SYNC_SHIP_BYTES_MAX = 256 *
			      1024, /* rows sent with one ANSWER; one row may exceed it */
	SYNC_ROWS_BYTES_MAX = 48 * 1024, /* of one SEND_ROWS */
	SYNC_FEW_FACTOR = 8,
	SYNC_INBOUND_MAX = 2,		      /* sessions that others drive; then BUSY */
	SYNC_INBOUND_IDLE_MS = 5 * MS_SECOND, /* one without an ASK so long is over */
	SYNC_PASSES_MAX = 3,		      /* of one session, while they move rows */
	SYNC_REPLY_MS = 30 * MS_SECOND, /* without an ANSWER: the session is given up */
	SYNC_SESSION_MS = 30 * MS_MINUTE,
	/* While we wait for the other side, so much has to come or go in so long; or a session
	 * would hold ours up by a trickle. A link of 4 kbit/s does it. */
	SYNC_TRICKLE_MS = 30 * MS_SECOND,
	SYNC_TRICKLE_BYTES = 16 * 1024,
	SYNC_SWEEPS_MAX = 3, /* of one session, until both horizons are the same */
	SYNC_LINK_MS = 30 *
		       MS_SECOND,  /* between sessions begun by ourselves over one link */
	SYNC_RETRY_MS = MS_SECOND, /* after one that moved no row: doubled each time, */
	SYNC_RETRY_MS_MAX = 8 * MS_MINUTE, /* up to this */
	SYNC_INTERVAL_FACTOR_MAX = 8, /* a random link: doubled up to this while equal */
	SYNC_EPOCH_MS = 10 * MS_SECOND,
	SYNC_NAMED_MAX = 1000, /* differing rows that a comparison names */
	SYNC_WHY_SIZE = 200,
};

/* ---- the table, as a session sees it ---- */

struct sync_digest {
	struct u128 sum; /* of the rows' digests, mod 2^128 */
	uint64_t count;
};

/* A row found: its place, its digest, and "key | state" as encoded by crdt/codec.h. Valid
 * during the call; false stops the reading. */
typedef bool sync_row_fn(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
			 struct bytes encoded);

/* Read by sync_compare() on its caller's thread. All return 0 or a negative code. */
struct sync_table {
	void *arg;
	/* The root, less the changes stamped at or after SYNC_EPOCH_MS * epoch; epoch
	 * UINT64_MAX: the whole root. */
	int (*root)(void *arg, uint64_t epoch, struct sync_digest *ret_root);
	/* The 2^bits children of the node at `depth`, see store_digests(). */
	int (*digests)(void *arg, const uint8_t prefix[SYNC_K_BYTES], int depth, int bits,
		       struct sync_digest *ret_children);
	/* Rows in the order of K from `from` on, to the end of the table or until `fn` says
	 * enough. */
	int (*rows)(void *arg, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn,
		    void *fn_arg);
	/* A page of the whole table from `cursor` (zeros: the beginning), node rows first:
	 * about `max_bytes` of rows given to `fn`, whose answer is not asked for. */
	int (*page)(void *arg, const uint8_t cursor[SYNC_K_BYTES], size_t max_bytes,
		    sync_row_fn *fn, void *fn_arg, uint8_t ret_next[SYNC_K_BYTES],
		    bool *ret_is_last);
};

/* ---- comparing: pure, any thread ---- */

/* What is to be compared: made by the core, opaque to the driver, which carries it to
 * sync_compare() and the result back. */
struct sync_job;
struct sync_made;

/* Read the table as the job asks. NULL never; a table that cannot be read is told in the
 * result. Takes the job. */
struct sync_made *sync_compare(const struct sync_table *table, struct sync_job *job);
void sync_job_free(struct sync_job *job);    /* NULL is allowed */
void sync_made_free(struct sync_made *made); /* NULL is allowed */

/* ---- the core ---- */

struct sync;

struct sync_config {
	struct id self;
	uint64_t seed;
	ms_t interval_ms; /* with a random link; 0: never */
};

enum sync_event_type {
	/* The time of sync_due() has come. */
	SYNC_EVENT_TICK,
	/* `link` to `node` is up and may carry rows; its root was `theirs` and ours `ours`
	 * (both whole), as each end told the other: of the two, one begins, so both must
	 * know the same pair. */
	SYNC_EVENT_LINK_UP,
	SYNC_EVENT_LINK_DOWN,
	/* A heartbeat of `link`: its settled root was `theirs.sum.hi` (but for SYNC_WORD_ROOT
	 * cleared) at `epoch`, when ours is `ours.sum.hi` (likewise). */
	SYNC_EVENT_ROOT,
	/* `data`, the payload of a SYNC frame, came on `link`. */
	SYNC_EVENT_FRAME,
	/* `len` rows (a SYNC_ROWS frame of `bytes`) came on `link`; they are merged by the
	 * driver. */
	SYNC_EVENT_ROWS,
	/* Answers to the action of this `number`. READ_DONE takes `made`. SWEPT: `rc` 0, or
	 * negative when the horizon is not to be believed, and nothing was done. */
	SYNC_EVENT_READ_DONE,
	SYNC_EVENT_SETTLED,
	SYNC_EVENT_SWEPT,
	/* A person asks for a session over `link`: `is_dry` compares and moves nothing. Its end
	 * is told with this `request`, which is not 0 and of the caller's choosing. */
	SYNC_EVENT_START,
	/* Nobody waits for this `request` any more: it ends with -ECANCELED, unless it has
	 * ended. */
	SYNC_EVENT_CANCEL,
};

/* Fields that an event does not name are zero. Borrowed for the call, but for `made`. */
struct sync_event {
	enum sync_event_type type;
	uint64_t wall_ms; /* the wall clock, */
	uint64_t horizon; /* and ours, as of what is on the disk; with each event */
	uint64_t link;
	struct id node;
	struct sync_digest theirs, ours;
	uint64_t epoch;
	struct bytes data;
	uint64_t len, bytes;
	uint64_t number;
	int rc;
	struct sync_made *made;
	uint64_t request;
	bool is_dry;
};

enum sync_action_type {
	/* Send `data` as the payload of one SYNC frame to `link`. */
	SYNC_ACTION_SEND,
	/* Send `rows`, whole ones encoded one after the other, as SYNC_ROWS frames to
	 * `link`; in order with SEND. At most SYNC_ROWS_BYTES_MAX unless it is a single row. */
	SYNC_ACTION_SEND_ROWS,
	/* Call sync_compare() with `job` (which is the driver's now) and give what it made
	 * back with READ_DONE and this `number`. Several may be under way; those of one link
	 * are to be answered in their order. Each READ, SETTLE and HORIZON is answered once,
	 * also when the link has ended meanwhile. */
	SYNC_ACTION_READ,
	/* When all rows that came on `link` before this are merged, or put aside, or dropped,
	 * and those merged are committed: SETTLED with this `number`. */
	SYNC_ACTION_SETTLE,
	/* The peer of `link` has swept up to `horizon`, which is beyond ours. If that is to be
	 * believed, sweep, and once it is on the disk: SWEPT with this `number`. */
	SYNC_ACTION_HORIZON,
	/* The peer of `link` sent what it must not: close it, saying `why`. */
	SYNC_ACTION_REJECT,
	/* A session of ours has ended: `result`. */
	SYNC_ACTION_DONE,
};

/* A row in which two tables differ: its encoded key (crdt/codec.h), and who holds it. */
struct sync_named {
	bool is_here, is_there; /* both: in different states */
	struct bytes key;
};

struct sync_result {
	uint64_t request; /* 0: begun by ourselves */
	uint64_t link;
	struct id node;
	bool is_dry;
	/* 0: went to its end; -EBUSY: the other side has too many sessions; -ETIMEDOUT;
	 * -ECANCELED; -ECONNRESET: the link ended; -OCF_EMALFORMED: it was rejected; -ESTALE:
	 * the horizons cannot be made one, for a clock is wrong; others: our own table could
	 * not be read. */
	int rc;
	/* At the end the roots were equal: the whole ones if a person asked, else the settled
	 * ones, or the whole ones at once. Or the tables were gone through and no row differed,
	 * though the roots do: a root has only what is on the disk, and a table that was
	 * merged has more while the disk is behind, or full. */
	bool is_equal;
	int legs; /* messages, both ways; pipelined ones count as one */
	uint64_t sent_bytes,
		received_bytes; /* SYNC frames with their headers, rows excluded */
	uint64_t rows_sent, rows_received;
	uint64_t sent_row_bytes, received_row_bytes; /* encoded, without headers */
	uint64_t
		rows_expected; /* to be sent and received in all, as far as is known now */
	uint64_t rows_s;       /* so many a second */
	ms_t remaining_ms;     /* -1: not known */
	/* What was found different; of a comparison the whole truth, else as far as lists
	 * told: about so many where rows came in portions. */
	uint64_t only_here, only_there, differing;
	ms_t elapsed_ms;
	const struct sync_named *named; /* of a comparison; valid during the call */
	int named_len;
	char why[SYNC_WHY_SIZE]; /* rc in words; "" when 0 */
};

struct sync_action {
	enum sync_action_type type;
	uint64_t link;
	uint64_t number;
	uint64_t horizon;
	struct bytes data;
	struct bytes rows;
	struct sync_job *job;
	const char *why;
	const struct sync_result *result;
};

struct sync *sync_new(const struct sync_config *config, ms_t now);
void sync_free(struct sync *s); /* NULL is allowed */
void sync_step(struct sync *s, ms_t now, const struct sync_event *event);
/* The next action, in order; false when there is none. What it points to is valid until the
 * next call of sync_next() or sync_free(), but for a job, which is the driver's. Steps may
 * come in between. */
bool sync_next(struct sync *s, struct sync_action *ret_action);
ms_t sync_due(const struct sync *s);

/* How far the session of a request is; false when there is none (it has ended). */
bool sync_progress(const struct sync *s, uint64_t request,
		   struct sync_result *ret_result);

/* How far joining is; false when it is not going on. It is over when the last page was read.
 * Between sessions there is no rate. */
struct sync_joining {
	uint64_t rows, of; /* read; the donor's */
	uint64_t rows_s;
	ms_t remaining_ms; /* -1: not known */
};
bool sync_joining(const struct sync *s, struct sync_joining *ret_joining);

struct sync_stats {
	uint64_t sessions;	    /* of ours that went to their end */
	uint64_t sessions_failed;   /* of ours that did not */
	uint64_t sessions_equal;    /* found nothing to do */
	uint64_t sessions_answered; /* begun by others */
	uint64_t busy;		    /* refused, for there were too many */
	uint64_t rows_sent, rows_received;
	ms_t last_ok; /* monotonic: when a session last ended with equal roots; -1 never */
};
void sync_stats(const struct sync *s, struct sync_stats *ret_stats);

/* Epochs. `word` is what a heartbeat carries: the first 40 bits of a settled root, 16 bits that
 * are the mesh's own, and the last byte of its epoch. */
#define SYNC_WORD_ROOT (~UINT64_C(0xffffff))
uint64_t sync_epoch(uint64_t wall_ms);
uint64_t sync_word(struct u128 settled, uint64_t epoch);
/* The epoch that a peer meant, near our own one; false when it is more than
 * SYNC_EPOCHS_APART_MAX away, so that the roots cannot be compared. */
enum { SYNC_EPOCHS_APART_MAX = 2 };
bool sync_word_epoch(uint64_t word, uint64_t our_epoch, uint64_t *ret_epoch);

#endif
