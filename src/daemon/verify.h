/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures are checked (ident/checker.h) on a lane of their own (net/lane.h), with a thread
 * for each core: an Ed25519 check takes about 0.1 ms, and a joining node has hundreds of
 * thousands before it. Jobs come back in the order they were given, so rows of a link stay in
 * order; but a worker row may have been checked before the node row of an earlier job was
 * (-OCF_EUNKNOWN), and is worth a second check then. */
#ifndef OCF_DAEMON_VERIFY_H
#define OCF_DAEMON_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/id.h"
#include "crdt/row.h"
#include "ident/identity.h"
#include "net/loop.h"

struct verify;

enum {
	/* Under way; further rows are dropped, and come again with the next comparison of
	 * tables. A row may hold 8 values of 16 KiB, so that a number alone bounds little. */
	VERIFY_ITEMS_MAX = 65536,
	VERIFY_BYTES_MAX = 64 * 1024 * 1024, /* encoded */
};

struct verify_item {
	struct row_key key;
	struct row row; /* owned */
	size_t bytes;	/* encoded */
	bool is_again;	/* checked for the second time */
	int rc; /* 0; -OCF_ESIGNATURE; -OCF_EUNKNOWN: the owner's node row was not met yet
		 */
};

struct verify_job {
	uint64_t link;
	int len, cap;
	size_t bytes;
	struct verify_item *items;  /* owned */
	struct verify *verify;	    /* once it was submitted */
	struct rows_settle *settle; /* owned, from malloc; see rows_settle() */
};

/* `done(arg, job)` is called on the loop and owns the job. `identity` must outlive it. */
struct verify *verify_open(struct loop *loop, const struct identity *identity,
			   void (*done)(void *arg, struct verify_job *job), void *arg);
/* Jobs under way are dropped. */
void verify_close(struct verify *v); /* NULL is allowed */
/* A node row from our own store, checked when it was merged: keep its owner's key. */
void verify_learn(struct verify *v, const struct id *owner, struct bytes node_value);

struct verify_job *verify_job_new(uint64_t link);
/* The row is moved; encoded it has `bytes`. */
void verify_job_add(struct verify_job *job, const struct row_key *key, struct row *row,
		    size_t bytes);
void verify_job_free(struct verify_job *job);
/* Takes the job. -EAGAIN, and the job is freed: as much as may be is under way. */
int verify_submit(struct verify *v, struct verify_job *job);
/* Did `node` sign the text? done(arg, number, is_valid) is called on the loop; not in order with
 * the jobs: these texts say who is there (mesh/mesh.h), and thousands of rows may wait. The
 * caller bounds how many are under way. */
void verify_text(struct verify *v, const struct id *node, struct bytes text,
		 struct bytes signature,
		 void (*done)(void *arg, uint64_t number, bool is_valid), void *arg,
		 uint64_t number);
/* Takes the job, checks it on this thread, and calls done() before it returns. 0.1 ms a row:
 * for few. */
void verify_run(struct verify *v, struct verify_job *job);

#endif
