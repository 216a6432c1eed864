/* SPDX-License-Identifier: Apache-2.0 */
/* Where the table lives: rows by the hash of their key, the lists of each owner's rows and of
 * removed ones, the flat Merkle digests and the root, in one LMDB environment, changed in
 * one transaction, so that they never disagree. Values are opaque: what is looked for by
 * what rows mean is looked up in memory (src/table/catalog.h).
 *
 * Threads. One thread (the daemon's loop) makes all changes: store_merge, store_replace,
 * store_next_dot, store_actor_renew, store_meta_set, store_sync. Changes land in memory
 * at once and are committed in groups by the store's own writer thread, so that no caller
 * waits for a disk; what is merged and not yet committed is *pending*, and a reader sees
 * it first. Reads may come from any thread. Callbacks of readers are made with no lock
 * held and no transaction open, and may call the store.
 *
 * When the disk is full or fails, pending rows stay in memory and are retried every
 * second, reads go on, waiting store_sync calls are answered with the error, and after
 * STORE_PENDING_ROWS_MAX or STORE_PENDING_BYTES_MAX changes are refused with -EAGAIN. A
 * change from a peer may then be dropped (reconciliation brings it back), one of our own
 * must be reported to its client. Where the disk failed at the very end of a commit, LMDB
 * lets nobody read either: the files are opened anew at once, or, should that fail too, every
 * second, and until then reads are -EIO.
 *
 * A row on disk that does not decode, or does not hash to its place, is -OCF_ECORRUPT and
 * is named to `report`; it is never taken for an absent row. store_repair() drops it. What
 * commits need of the digests is made anew from the rows when it is found damaged. */
#ifndef OCF_STORE_STORE_H
#define OCF_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "crdt/digest.h"
#include "crdt/row.h"

struct store;

enum {
	STORE_FORMAT = 2, /* of the files; an older one is migrated, a newer one refused */
	STORE_K_BYTES = 16,
	/* Pending changes: a few seconds of a slow disk at the highest rate of a large
	 * cluster; as bytes, what a small machine can spare. */
	STORE_PENDING_ROWS_MAX = 65536,
	STORE_PENDING_BYTES_MAX = 64 * 1024 * 1024,
	STORE_META_NAME_BYTES_MAX = 64,
	STORE_META_VALUE_BYTES_MAX = 64 * 1024, /* seeds, incarnation, horizon: small */
	STORE_PAGE_ROWS_MAX = 4096,
	STORE_ACTORS_MAX = 4096,	  /* this store ever had: one per renewal */
	STORE_CHILD_BITS_MAX = 8,	  /* of store_digests: 256 children */
	STORE_RECENT_MS = 40 * MS_SECOND, /* see store_root_before() */
};

/* What every node of a cluster must agree on; set once, when the store is made. */
struct store_constants {
	struct id cluster;
	ms_t retention_ms;	/* T: how long a lease lasts */
	uint32_t rows_per_node; /* worker rows' names are numbers below it */
};

struct store_config {
	const char *dir; /* of its own, made by store_create */
	row_sha256_fn *sha256;
	/* Called by store_merge() with what a merge made, to drop from it what may not be held
	 * (crdt/lease.h: what the horizon ended); empty: the row is not held at all. On the
	 * caller's thread; must not call the store. NULL is allowed: all is kept. */
	void (*trim)(void *arg, const struct row_key *key, struct row *row);
	void *trim_arg;
	/* Told of trouble: a negative code and a sentence, once per new trouble, and 0
	 * when commits work again. On any thread; must not call the store. NULL is
	 * allowed. */
	void (*report)(void *arg, int rc, const char *text);
	void *report_arg;
	/* Asked by store_scrub() when a digest does not fit its rows: is this row what its
	 * owner signed? One that is not is dropped. May read the store. NULL: it is. */
	bool (*is_genuine)(void *arg, const struct row_key *key, const struct row *row);
	void *is_genuine_arg;
	/* For looking only: nothing is written but the process's number in the file that
	 * locks the store, no thread is started, and no call that changes something may be
	 * made. */
	bool is_read_only;
};

/* Make a store. -EEXIST when there is one already. */
int store_create(const char *dir, const struct store_constants *constants,
		 struct errmsg *err);
/* Open it, for one process at a time (-EBUSY), also one that only reads. -ENOENT: there is
 * none; -OCF_EVERSION: a newer program made it; -OCF_ECORRUPT: damaged. Starts the writer
 * thread. LMDB may end a process that reads damaged pages, with a signal: who opens a store
 * of which that must be feared does it in a process for the purpose. */
int store_open(const struct store_config *config, struct store **ret_store,
	       struct errmsg *err);
/* Commit what is pending, answer every store_sync, end the thread, free. Returns the
 * error when something could not be committed. NULL is allowed. */
int store_close(struct store *store);

const struct store_constants *store_constants(const struct store *store);
const struct table_key *store_table_key(const struct store *store);

/* The actor of this store: random, made with it. Dots carry it. */
uint64_t store_actor(struct store *store);
/* Did this store ever have this actor? */
bool store_actor_is_ours(struct store *store, uint64_t actor);
/* Take a new one, for a rolled-back or cloned store; waits for the disk. */
int store_actor_renew(struct store *store);
/* A dot that was never given out and never will be again, even after a power cut:
 * sequence numbers are reserved on disk before they are used, and each opening starts
 * beyond the reserved ones. -EAGAIN (or the disk's error) when the next block is not yet
 * reserved. */
int store_next_dot(struct store *store, struct dot *ret_dot);
/* The number of the next dot: lower ones of the present actor may have been given out. */
uint64_t store_next_seq(struct store *store);
/* Up to `max` actors that this store ever had, the present one last; how many there are. */
int store_actors(struct store *store, uint64_t *ret_actors, int max);

/* Small things that must survive: seeds, incarnation, horizon. Pending like rows; an
 * empty value removes. -OCF_ELIMIT for a name or value too long. */
int store_meta_set(struct store *store, const char *name, struct bytes value);
/* Append the value to `out`; -ENOENT when there is none. */
int store_meta_get(struct store *store, const char *name, struct buf *out);

/* The row's state (row_fini it), pending or durable; -ENOENT when none is held. */
int store_get(struct store *store, const struct row_key *key, struct row *ret_row);
/* Merge a state into the row's, and trim it (see store_config). `ret_merged` may be NULL;
 * else row_fini it. The signature is the caller's to verify. -OCF_EMALFORMED: the key is none
 * of this cluster's; -EAGAIN: see above. On success *ret_changed says whether another state
 * is held now than before (an empty one: the row was deleted); nothing is written when not. */
int store_merge(struct store *store, const struct row_key *key,
		const struct row *incoming, bool *ret_changed, struct row *ret_merged);
/* Set the state without merging; an empty one deletes the row and leaves no trace. Only
 * for the sweep, which is a function of the horizon and so the same everywhere. */
int store_replace(struct store *store, const struct row_key *key, const struct row *row);
/* Call fn(arg, rc) on the writer thread once every change made before this call is
 * durable (rc 0), or could not be made so just now (rc < 0; it stays pending and is
 * retried). */
void store_sync(struct store *store, void (*fn)(void *arg, int rc), void *arg);

/* A row found by a reader: valid during the call. Return false to stop. */
typedef bool store_row_fn(void *arg, const uint8_t k[STORE_K_BYTES],
			  const struct row_key *key, const struct row *row);

/* Up to `max_rows` rows in the order of K from `from` on, pending ones included, of about
 * `max_bytes` encoded (at least one row). *ret_more tells whether there may be rows
 * behind the last one given, and `ret_next` where they begin; a snapshot is a series of
 * pages, each of them consistent. A damaged row is reported and left out. */
int store_page(struct store *store, const uint8_t from[STORE_K_BYTES], int max_rows,
	       size_t max_bytes, store_row_fn *fn, void *arg,
	       uint8_t ret_next[STORE_K_BYTES], bool *ret_more);
/* All rows, as one series of pages. */
int store_each(struct store *store, store_row_fn *fn, void *arg);
/* All rows of one owner, pending ones included. */
int store_owner_each(struct store *store, const struct id *owner, store_row_fn *fn,
		     void *arg);
/* Up to `max_rows` worker rows with a removed version stamped at or before `stamp`, the
 * oldest first, as of the last commit. *ret_more: there may be others. */
int store_removed_each(struct store *store, uint64_t stamp, int max_rows,
		       store_row_fn *fn, void *arg, bool *ret_more);

/* The sum of item digests (mod 2^128) and the number of rows under a prefix of K. */
struct store_digest {
	struct u128 sum;
	uint64_t count;
};

/* Of the whole table, as of the last commit. No disk. */
struct store_digest store_root(struct store *store);
/* The root less the changes whose rows are stamped at or after `stamp`, of those that were
 * committed, or are stamped, within the last STORE_RECENT_MS (older ones are not told apart
 * any more). What two stores compare while changes are on their way between them. */
struct store_digest store_root_before(struct store *store, uint64_t stamp);
/* Of the 2^bits children (bits <= STORE_CHILD_BITS_MAX) of the node at `depth` bits (the
 * first `depth` bits of `prefix`; depth + bits <= 64), in order, as of the last commit
 * and of one moment. Sums over the flat table down to its own depth, a scan of rows below
 * it. */
int store_digests(struct store *store, const uint8_t prefix[STORE_K_BYTES], int depth,
		  int bits, struct store_digest *ret_children);

/* What a scrub finds. */
enum store_fault {
	STORE_FAULT_ROW, /* does not decode, or is not where it belongs, or not genuine */
	STORE_FAULT_OWNER, /* an entry that is missing or too many, in each of the lists */
	STORE_FAULT_REMOVED,
	STORE_FAULT_DIGEST,
	STORE_FAULT_ROOT,
	STORE_FAULTS,
};
const char *store_fault_text(enum store_fault fault); /* "row", "owner", … */

struct store_stats {
	uint64_t rows; /* as of the last commit */
	uint64_t pending_rows;
	uint64_t pending_bytes;
	uint64_t commits;
	uint64_t committed_rows;
	uint64_t damaged;   /* rows found damaged since the start */
	uint64_t map_bytes; /* the file's size on paper; it is sparse */
	int bucket_bits;
	int error;	   /* of the last commit; 0 when it went well */
	uint64_t scrubbed; /* buckets, since the start */
	uint64_t faults
		[STORE_FAULTS]; /* found by scrubbing; other than 0: the disk fails */
	uint64_t repaired;	/* of those */
};
void store_stats(struct store *store, struct store_stats *ret_stats);

/* Recompute every digest, count and entry of a list from the rows and compare, as of the last
 * commit. `fn(arg, sentence)` is called for each difference (the first thousand) and must
 * not call the store. Takes about five seconds for a million rows; from any thread. Returns
 * 0, -OCF_ECORRUPT when there were differences, or an error. */
int store_verify(struct store *store, void (*fn)(void *arg, const char *text), void *arg,
		 uint64_t *ret_differences);
/* The next step of looking at the whole store, a bucket of rows or a few entries of a list:
 * compare it with what the rows make, as of the last commit; name what is wrong to `report`,
 * count it, put it right. Some milliseconds, from any thread; but the root that is wrong is
 * summed up anew, a third of a second for a million rows. *ret_changed: another root than
 * before, or a damaged row was dropped, which others may have. *ret_end: that was the last
 * step of a pass; an error ends none. Not of a store that is read only. */
int store_scrub(struct store *store, bool *ret_changed, bool *ret_end);
/* Drop damaged rows (named to fn) and rebuild digests, counts and lists from the
 * others. Waits for the disk. */
int store_repair(struct store *store, void (*fn)(void *arg, const char *text), void *arg,
		 uint64_t *ret_dropped);

#endif
