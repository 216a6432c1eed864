/* SPDX-License-Identifier: Apache-2.0 */
/* A store as one file, and a store made of such a file.
 *
 * The file holds, one after the other:
 *   "ocf-backup 1\n"
 *   blobs u16, each u8 length | name | u32 length | content
 *   LMDB's data file, compacted (mdb_env_copyfd2)
 *   SHA-256 of all before it
 * The sum is checked before LMDB, which has none, sees a byte: a file that was damaged or
 * cut is refused, never believed. It is no signature: who can write the file can make one.
 *
 * Blobs are small files that go along, such as keys; a backup that holds keys is as secret
 * as they are. */
#ifndef OCF_STORE_BACKUP_H
#define OCF_STORE_BACKUP_H

#include "base/bytes.h"
#include "base/error.h"
#include "store/store.h"

enum {
	STORE_BLOBS_MAX = 64,
	STORE_BLOB_NAME_BYTES_MAX = 63,
	STORE_BLOB_BYTES_MAX = 64 * 1024,
};

struct store_blob {
	/* Letters, digits, '.', '-' and '_', not beginning with '.': it can name a file. */
	char name[STORE_BLOB_NAME_BYTES_MAX + 1];
	struct bytes content;
};

/* `name` is good, as above. */
struct store_blob store_blob_of(const char *name, struct bytes content);

/* Write the store, as of the last commit (see store_sync), and the blobs to the file, mode
 * 0600, in place of what is there: wholly, or not at all. Any thread; blocks for as long as
 * the disk takes; rows are read and written meanwhile. The store may be open to read only.
 * `err` names the file. */
int store_backup(struct store *store, const char *path, const struct store_blob *blobs,
		 int n, struct errmsg *err);

/* The same, into an empty file that is open to read and write. */
int store_backup_to(struct store *store, int fd, const struct store_blob *blobs, int n,
		    struct errmsg *err);
/* -OCF_EMALFORMED unless the file begins as a backup does. */
int store_backup_look(const char *path);

/* What a backup holds, checked in full, before it is in place: take the blobs out, see that
 * it is the right cluster's, set what must not be as it was (store_meta_set). A negative
 * code refuses all of it. */
typedef int store_restore_fn(void *arg, struct store *store,
			     const struct store_blob *blobs, int n, struct errmsg *err);

/* Make the store config->dir of a backup, with a new actor, brought forward to this
 * format, everything in it verified: wholly, or not at all. `fn` may be NULL. `err` is
 * always set: -EEXIST: the folder is there and not empty; -OCF_EMALFORMED: no backup;
 * -OCF_EVERSION: made by a newer program; -OCF_ECORRUPT: damaged, or cut short; or what
 * `fn` returned. */
int store_restore(const char *path, const struct store_config *config,
		  store_restore_fn *fn, void *arg, struct errmsg *err);
/* The same, of a file that is open; `path` is its name for sentences. */
int store_restore_from(int fd, const char *path, const struct store_config *config,
		       store_restore_fn *fn, void *arg, struct errmsg *err);

#endif
