/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the daemon's hand on the table, for its own files only; the others see what
 * daemon.h shows of it.
 *
 *	rows.c   rows from links: checked, merged, handed on
 *	own.c    rows of our own: drives crdt/owner.h
 *	ca.c     rows of the cluster's CA, where its key is held
 *	sweep.c  what the horizon ends: drives crdt/lease.h
 *	aside.c  rows that wait for their owner's node row
 *	load.c   rows of a dump
 *
 * All changes of the store pass through here, on the loop's thread. */
#ifndef OCF_DAEMON_ROWS_H
#define OCF_DAEMON_ROWS_H

#include "base/log.h"
#include "crdt/lease.h"
#include "crdt/owner.h"
#include "daemon/aside.h"
#include "daemon/daemon.h"
#include "daemon/verify.h"

struct own;
struct sweep;

struct rows {
	struct daemon *d;
	struct leases *leases;
	struct own *own;
	struct sweep *sweep;
	struct verify *verify;
	struct aside *aside;
	uint64_t checked_again; /* rows that were put to the checks a second time */
	/* Rows, each behind its length (rows_note()). Our own are handed on when they are
	 * durable; what came from others was handed on at once, and is told anew to links that
	 * come up before the root in HELLO counts it. */
	struct buf own_notes, own_syncing;
	struct buf notes, syncing;
	bool is_dirty; /* something changed since the last sync began */
	bool is_syncing;
	int waiting; /* in the store's hands: rows_when_durable() */
	bool is_closing;
	uint64_t refused;
	struct log_limit refused_limit, failed_limit;
};

/* ---- rows.c ---- */

/* The store holds another state than before under `key`, NULL: none. Whoever shows or dates
 * rows is told; and soon, when it is durable, who compares tables. */
void rows_changed(struct rows *rows, const struct row_key *key, const struct row *row);
/* Sign a version (which is moved) with this key, merge it, and hand it on once it is durable
 * (rows_sync()). `ret_merged`: what is held then; nothing when it fails. */
int rows_write(struct rows *rows, const struct row_key *key, const struct key *signer,
	       struct version *v, struct row *ret_merged);
/* Make what changed durable. */
void rows_sync(struct rows *rows);
/* Call fn(arg, rc) on the loop once the disk holds what was changed before (0), or cannot
 * take it just now; also while the rows are being closed. */
void rows_when_durable(struct rows *rows, void (*fn)(void *arg, int rc), void *arg);

/* ---- own.c ---- */

struct own *own_open(struct rows *rows);
void own_close(struct own *own); /* NULL is allowed */
/* Each of these ignores the rows of others; what is to be done about it is done by
 * own_act(), when the table is as it should be. */
void own_loaded(struct own *own, const struct row_key *key, const struct row *row);
/* A row came from a link, validly signed, and is about to be merged. */
void own_heard(struct own *own, const struct row_key *key, const struct row *row);
/* The store holds this now, not by our own writing; NULL or empty: nothing. */
void own_held(struct own *own, const struct row_key *key, const struct row *row);

void own_act(struct own *own);

/* ---- sweep.c ---- */

struct sweep *sweep_open(struct rows *rows);
void sweep_close(struct sweep *sweep); /* NULL is allowed */
/* While the table is read at the start: there is a row of `owner`. */
void sweep_met(struct sweep *sweep, const struct id *owner);
/* The table was read: set H and sweep. */
void sweep_begin(struct sweep *sweep);

#endif
