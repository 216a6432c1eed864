/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of store/ share, and nobody else.
 *
 * Databases of the environment (integers big-endian):
 *   rows     K 16                      → encoded key | encoded row (crdt/codec.h)
 *   owners   encoded key               → K: the rows of an owner lie together
 *   digests  record u32                → 64 × (sum 16 | count u32), see buckets.c
 *   removed  stamp u64 | K             → nothing: the worker rows with a removed version,
 *                                        by the stamp of its oldest one
 *   meta     name                      → format, constants, actors, reserved, root, and
 *                                        "u:" + name for store_meta_set
 *
 * Locks, in the order in which they may be taken:
 *   scrub_lock  a step of the scrubber, all of it
 *   write_lock  a write transaction, from before its begin to after the memory (root,
 *               actor, …) tells what it did; also held to resize the map
 *   lock        pending rows, waiters, and all fields below it
 *   map_lock    shared: a read transaction is open; exclusive: the map is being resized,
 *               which LMDB allows only without any, or the environment opened anew
 *
 * Inside a transaction a result is LMDB's (its own codes or a positive errno) or ours (a
 * negative errno or OCF_E…): the ranges are apart. env_code() makes all of them ours. */
#ifndef OCF_STORE_PRIVATE_H
#define OCF_STORE_PRIVATE_H

#include <lmdb.h>
#include <pthread.h>
#include <uthash.h>

#include "store/store.h"

enum {
	META_NAME_BYTES_MAX = STORE_META_NAME_BYTES_MAX + 2,
	ROOT_BYTES = 25,	  /* sum 16 | count u64 | bucket bits u8 */
	ACTOR_BLOCK = 65536,	  /* sequence numbers reserved at a time */
	DAMAGED_MAX = 256,	  /* damaged rows that are named */
	STORE_FORMAT_REMOVED = 2, /* the first with the list `removed` */
};

/* What is written for one row: its key, and its state or, to delete it, nothing. */
struct record {
	uint8_t k[STORE_K_BYTES];
	uint64_t stamp; /* row_stamp() of the state */
	size_t key_len;
	size_t len; /* key and row; equal to key_len: delete */
	uint8_t data[];
};

/* A row changed in memory and not yet, or just now being, committed. */
struct pending {
	uint8_t k[STORE_K_BYTES];
	struct record *record; /* the newest state */
	struct record *flying; /* in the transaction under way, or NULL */
	uint64_t since;	       /* number of the first change not in a transaction yet */
	uint64_t flying_since;
	bool is_dirty; /* on the list */
	struct pending *prev, *next;
	UT_hash_handle hh;
};

struct pending_meta {
	char name[META_NAME_BYTES_MAX + 1];
	struct buf value;
	uint64_t since;	 /* number of the first change not durable */
	uint64_t number; /* of the last */
	struct pending_meta *prev, *next;
};

struct waiter {
	uint64_t number; /* changes up to this one must be durable */
	void (*fn)(void *arg, int rc);
	void *arg;
	struct waiter *prev, *next;
};

/* Where the scrubber is, and what it has done. */
enum {
	SCRUB_DOUBTS =
		2, /* the present pass, which may be beyond some rows, and a whole one */
};
enum scrub_phase { SCRUB_ROWS, SCRUB_OWNERS, SCRUB_REMOVED, SCRUB_ROOT };
struct scrub_at {
	enum scrub_phase phase;
	uint64_t prefix; /* of K: the bucket that is next */
	struct buf key;	 /* of a list: the entry that is next; empty: the first */
	/* Digests were made anew from the rows: what rotted in a row until then does not show
	 * in them any more. To the end of so many passes each row is asked about. */
	int doubts;
	uint64_t buckets, repaired, faults[STORE_FAULTS]; /* under `lock` */
};

struct root {
	struct store_digest digest;
	int bits;
};

/* A change that is not long ago: the state that it made is stamped `stamp`, and it moved
 * the root by `moved` (modulo 2^128 and 2^64). */
struct recent {
	uint64_t stamp;
	ms_t until; /* kept, by the wall clock */
	struct store_digest moved;
};
struct recents {
	struct recent *items;
	int len, cap;
};

struct store {
	struct store_config config; /* dir is owned */
	struct store_constants constants;
	struct table_key tk;
	int lock_fd;
	MDB_env *env;	 /* NULL: it was given up, and cannot be opened again just now */
	uint64_t format; /* of the files: an older one when only read */
	MDB_dbi rows, owners, digests, removed, meta;
	pthread_t writer;
	struct buf held,
		encoded; /* of store_merge() and store_replace(), on their thread */

	struct scrub_at scrub;
	pthread_mutex_t scrub_lock;
	pthread_mutex_t write_lock;
	pthread_rwlock_t map_lock;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* of the writer, see writer_nudge() */
	ms_t retry_ms;	     /* after a commit that failed; tests wait less */
	bool is_gathering;
	bool is_stopping;
	bool is_lost;		 /* env is NULL */
	bool is_crowded;	 /* no slot for a reader; atomic */
	int error;		 /* of the last commit */
	struct pending *pending; /* hash by K, see pending_find() */
	struct pending *dirty;	 /* list, ascending by `since` */
	int n_dirty;
	struct pending_meta *metas;
	struct waiter *waiters; /* list, ascending by number */
	uint64_t changes;	/* number of the last change */
	uint64_t pending_bytes;
	struct root root; /* durable */
	struct recents recents;
	uint64_t *actors; /* the last one is current */
	int n_actors;
	uint64_t next_seq;
	uint64_t reserved; /* durable: numbers up to this may be given out */
	uint64_t reserve;  /* wanted */
	uint64_t commits, committed_rows, n_damaged;
	uint8_t damaged[DAMAGED_MAX][STORE_K_BYTES];
};

/* env.c */
int env_code(int rc);
int env_open(const char *dir, unsigned flags, MDB_env **ret_env, struct errmsg *err);
int env_read_begin(struct store *store, MDB_txn **ret_txn);
void env_read_end(struct store *store, MDB_txn *txn);
/* Run fn in a write transaction and commit, growing the map and starting over as often as
 * needed; with write_lock held. */
typedef int env_write_fn(struct store *store, MDB_txn *txn, void *arg);
int env_write(struct store *store, env_write_fn *fn, void *arg);
/* Grow the map until this much of it is free; with write_lock held. */
int env_make_room(struct store *store, size_t bytes);
int env_get(MDB_txn *txn, MDB_dbi dbi, struct bytes key, struct bytes *ret_value);
int env_put(MDB_txn *txn, MDB_dbi dbi, struct bytes key, struct bytes value);
int env_delete(MDB_txn *txn, MDB_dbi dbi, struct bytes key);
static inline MDB_val
env_val(struct bytes v)
{
	return (MDB_val){ .mv_size = v.len, .mv_data = (void *)v.data };
}
static inline struct bytes
env_bytes(MDB_val v)
{
	return bytes_of(v.mv_data, v.mv_size);
}

/* store.c */
void store_report(struct store *store, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
uint64_t store_random(void);
struct bytes store_u64(uint64_t n, uint8_t out[8]);
int store_put_meta(struct store *store, MDB_txn *txn, const char *name,
		   struct bytes value);
/* A value of exactly `len` bytes; -OCF_ECORRUPT when there is none such. */
int store_get_meta(struct store *store, MDB_txn *txn, const char *name, size_t len,
		   struct reader *ret_value);
int store_put_actors(struct store *store, MDB_txn *txn, const uint64_t *actors, int n);
int store_put_root(struct store *store, MDB_txn *txn, const struct root *root);
int store_get_root(struct store *store, MDB_txn *txn, struct root *ret_root);
int store_put_reserved(struct store *store, MDB_txn *txn, uint64_t reserved);

/* open.c */
/* The databases and the root of an environment that was opened in place of another. */
int store_load_again(struct store *store, struct root *ret_root);

/* migrate.c */
/* Bring the files from store->format to STORE_FORMAT; before anybody else uses them. */
int store_migrate(struct store *store);

/* rows.c */
/* A record's bytes in place of what `out` has: key and row, of an empty row the key alone;
 * returns the key's length. */
size_t rows_encode(const struct row_key *key, const struct row *row, struct buf *out);
struct record *record_new(const uint8_t k[STORE_K_BYTES], uint64_t stamp, size_t key_len,
			  struct bytes data);
int rows_decode(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes record,
		struct row_key *ret_key, struct row *ret_row);
/* Count the row and name it to the report. */
void rows_report_damage(struct store *store, const uint8_t k[STORE_K_BYTES]);
/* The same without the key, which the caller has encoded; a record of another key is
 * damaged. */
int rows_decode_row(struct store *store, struct bytes key, struct bytes record,
		    struct row *ret_row);
/* The length of the encoded key at the front of a record; 0 when it is too short. */
size_t rows_key_len(struct bytes record);
/* Where a row stands in `removed`; false when it does not. */
enum { REMOVED_KEY_BYTES = 8 + STORE_K_BYTES };
bool rows_removed_key(const uint8_t k[STORE_K_BYTES], struct bytes record,
		      uint8_t ret_key[REMOVED_KEY_BYTES]);

/* apply.c */
/* Make the records, which ascend by K, their rows' states: rows, digests, lists.
 * `root` follows; *ret_moved has for each record by how much. */
int rows_apply(struct store *store, MDB_txn *txn, const struct record **records, int n,
	       struct root *root, struct store_digest *ret_moved);

/* buckets.c */
enum {
	/* To a record: 1,280 bytes; LMDB keeps values up to 2 KB inline. */
	BUCKET_SLOTS = 64,
	BUCKET_SLOT_BYTES = 20,
	BUCKET_RECORD_BYTES = BUCKET_SLOTS * BUCKET_SLOT_BYTES,
	BUCKET_BITS_MIN = 6, /* one record */
	BUCKET_BITS_MAX = 24,
	/* Rows to a bucket: more buckets are made at MAX and fewer below MIN, then so many
	 * that the mean is between SHRUNK and twice that. */
	BUCKET_ROWS_MEAN_MAX = 50,
	BUCKET_ROWS_MEAN_MIN = 6,
	BUCKET_ROWS_MEAN_SHRUNK = 12,
};
struct bucket_change {
	struct u128 minus, plus; /* digests of the old and the new state */
	bool had, has;
};
/* Changes in the order of K: the record that they lie in is read and written once. A run
 * that was begun is ended, with the result so far: the last record is written only if that
 * is 0. `root` follows. */
struct bucket_run {
	MDB_cursor *cursor;
	struct root *root;
	bool is_loaded;
	uint32_t number; /* of the record */
	uint8_t record[BUCKET_RECORD_BYTES];
};
int bucket_run_begin(struct bucket_run *run, struct store *store, MDB_txn *txn,
		     struct root *root);
int bucket_run_change(struct bucket_run *run, const uint8_t k[STORE_K_BYTES],
		      const struct bucket_change *change);
int bucket_run_end(struct bucket_run *run, int rc);
/* Slots for 2^bits buckets summed up from the rows; free(3) them. */
int buckets_sum(struct store *store, MDB_txn *txn, int bits,
		struct store_digest **ret_slots, struct store_digest *ret_root);
int buckets_write(struct store *store, MDB_txn *txn, uint32_t number,
		  const struct store_digest slots[BUCKET_SLOTS]);
/* Write the digests anew with root->bits bits. */
int buckets_rebuild(struct store *store, MDB_txn *txn, struct root *root);
/* Rebuild with more or fewer buckets when there are too few or too many for the rows. */
int buckets_fit(struct store *store, MDB_txn *txn, struct root *root);
struct u128 buckets_digest(struct store *store, const uint8_t k[STORE_K_BYTES],
			   struct bytes record);
/* Read one record into 64 slots; absent: zeros. */
int buckets_read(struct store *store, MDB_txn *txn, uint32_t number,
		 struct store_digest slots[BUCKET_SLOTS]);
uint64_t bucket_prefix(const uint8_t k[STORE_K_BYTES], int bits);

/* recent.c */
enum {
	/* Above the changes of a large cluster in STORE_RECENT_MS; of more the oldest count
	 * as old too early, which costs a comparison. */
	RECENTS_MAX = 65536,
	/* A stamp of the future, for its owner's clock is ahead, keeps a change so long. */
	RECENTS_MS_MAX = 6 * MS_MINUTE,
};
void recents_note(struct recents *r, ms_t now, const struct recent *change);
struct store_digest recents_subtract(const struct recents *r, ms_t now,
				     struct store_digest root, uint64_t stamp);

/* pending.c */
struct pending *pending_find(struct store *store, const uint8_t k[STORE_K_BYTES]);
/* Move up to a transaction's worth from the dirty list; later one of _done and _undo.
 * With `lock` held. */
int pending_take(struct store *store, struct pending **items, int max, size_t max_bytes);
/* What was taken is committed. Leaves in `items` what is not needed any more, NULL between;
 * to be given to pending_free() without the lock. */
void pending_done(struct store *store, struct pending **items, int n);
void pending_free(struct pending **items, int n);
void pending_undo(struct store *store, struct pending **items, int n);
void pending_free_all(struct store *store);
/* The highest change up to which everything is durable; with `lock` held, on the writer's
 * thread and nothing flying. */
uint64_t pending_durable(struct store *store);

/* scrub.c */
/* A commit met damage, without knowing where. Look at all digest records, name and count what
 * is wrong, make them anew. */
int scrub_mend(struct store *store);

/* writer.c */
enum {
	/* Of one transaction: the more rows, the more of them share a page; but an attempt
	 * that fails is repeated, and others wait for it. */
	WRITER_ROWS_MAX = 8192,
	WRITER_BYTES_MAX = 8 * 1024 * 1024,
};
int writer_start(struct store *store);
/* There is something new for the writer; with `lock` held. */
void writer_nudge(struct store *store);
/* Drains; returns the error of what could not be committed. */
int writer_stop(struct store *store);

#endif
