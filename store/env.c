/* SPDX-License-Identifier: Apache-2.0 */
/* The LMDB environment: opening it with care, error codes, short read transactions, write
 * transactions that make room for themselves, and one in place of one that LMDB gave up.
 *
 * The data file is always extended (as a hole) to the size of the map. A file shorter
 * than its last page is therefore a truncated one, which LMDB itself would meet as a
 * SIGBUS. */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/private.h"

enum {
	ENV_DATABASES_MAX = 8,
	/* A write that fell short on a disk with less than this free met its end. */
	ENV_FULL_BYTES = 256 * 1024,
	ENV_MAP_BYTES_MIN = 16 * 1024 * 1024, /* doubled when full */
};

int
env_code(int rc)
{
	switch (rc) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_BAD_VALSIZE:
	case MDB_INCOMPATIBLE:
	case MDB_CURSOR_FULL:
	case MDB_PAGE_FULL:
		return -OCF_ECORRUPT;
	case MDB_PANIC: /* see env_reopen() */
		return -EIO;
	case MDB_VERSION_MISMATCH:
		return -OCF_EVERSION;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	}
	if (rc <= MDB_LAST_ERRCODE && rc >= MDB_KEYEXIST)
		return -EIO;
	return rc > 0 ? -rc : rc;
}

/* Does the file hold all pages that it says it does? */
static int
env_check_length(MDB_env *env, const char *path, struct errmsg *err)
{
	MDB_envinfo info;
	struct stat st;
	MDB_stat mst;
	uint64_t need;
	int fd;

	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &mst) != 0 ||
	    mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &st) != 0)
		return error_set(err, -EIO, "%s cannot be examined", path);
	need = ((uint64_t)info.me_last_pgno + 1) * mst.ms_psize;
	if ((uint64_t)st.st_size < need)
		return error_set(
			err, -OCF_ECORRUPT,
			"%s is damaged: it has %lld bytes and needs %llu; restore a "
			"backup, or move the node's data folder away and join again",
			path, (long long)st.st_size, (unsigned long long)need);
	return 0;
}

/* Extend the file, never cut it. */
static int
env_extend(MDB_env *env, size_t size)
{
	struct stat st;
	int fd;

	if (mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &st) != 0)
		return -EIO;
	if ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) != 0)
		return -errno;
	return 0;
}

static int
env_open_with(MDB_env *env, const char *dir, const char *path, unsigned flags,
	      struct errmsg *err)
{
	size_t size = ENV_MAP_BYTES_MIN;
	struct stat st;
	int rc;

	if (stat(path, &st) == 0 && (size_t)st.st_size > size)
		size = ((size_t)st.st_size + ENV_MAP_BYTES_MIN - 1) / ENV_MAP_BYTES_MIN *
		       ENV_MAP_BYTES_MIN;
	rc = mdb_env_set_maxdbs(env, ENV_DATABASES_MAX);
	if (rc == 0)
		rc = mdb_env_set_mapsize(env, size);
	if (rc == 0)
		rc = mdb_env_open(env, dir, flags | MDB_NOTLS, 0600);
	if (env_code(rc) == -OCF_ECORRUPT)
		return error_set(
			err, -OCF_ECORRUPT,
			"%s is damaged: %s; restore a backup, or move the node's data "
			"folder away and join again",
			path, mdb_strerror(rc));
	if (rc != 0)
		return error_set(err, env_code(rc), "%s cannot be opened: %s", path,
				 mdb_strerror(rc));
	rc = env_check_length(env, path, err);
	if (rc == 0 && !(flags & MDB_RDONLY)) {
		rc = env_extend(env, size);
		if (rc != 0)
			error_set(err, rc, "%s cannot be extended: %s", path,
				  error_text(rc));
	}
	return rc;
}

int
env_open(const char *dir, unsigned flags, MDB_env **ret_env, struct errmsg *err)
{
	char *path = mem_printf("%s/data.mdb", dir);
	MDB_env *env = NULL;
	int rc = mdb_env_create(&env);

	if (rc != 0)
		rc = error_set(err, env_code(rc), "LMDB: %s", mdb_strerror(rc));
	else
		rc = env_open_with(env, dir, path, flags, err);
	if (rc == 0)
		*ret_env = env;
	else if (env != NULL)
		mdb_env_close(env);
	free(path);
	return rc;
}

/* The slots of readers that died with a transaction open are free again, and so are the
 * pages that they kept. */
static bool
env_drop_dead_readers(struct store *store)
{
	int dead = 0;

	return !store->config.is_read_only && mdb_reader_check(store->env, &dead) == 0 &&
	       dead > 0;
}

/* Other programs may read the store by LMDB itself, and so may many threads of ours: told
 * when it begins. */
static void
env_tell_crowded(struct store *store, bool is_crowded)
{
	if (__atomic_exchange_n(&store->is_crowded, is_crowded, __ATOMIC_RELAXED) ==
		    is_crowded ||
	    !is_crowded)
		return;
	store_report(store, -EAGAIN,
		     "the store in %s has as many readers as it can have; close other "
		     "programs that have it open",
		     store->config.dir);
}

int
env_read_begin(struct store *store, MDB_txn **ret_txn)
{
	int rc;

	pthread_rwlock_rdlock(&store->map_lock);
	rc = store->env != NULL ? mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret_txn)
				: MDB_PANIC;
	if (rc == MDB_READERS_FULL && env_drop_dead_readers(store))
		rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret_txn);
	if (rc == 0 || rc == MDB_READERS_FULL)
		env_tell_crowded(store, rc != 0);
	if (rc != 0)
		pthread_rwlock_unlock(&store->map_lock);
	return env_code(rc);
}

void
env_read_end(struct store *store, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	pthread_rwlock_unlock(&store->map_lock);
}

/* Is there address space for so much more? mdb_env_set_mapsize() finds out when the old map
 * is gone already. */
static bool
env_can_map(size_t more)
{
	void *p = mmap(NULL, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, more);
	return true;
}

/* No transaction of this process is open: write_lock is ours and map_lock keeps readers
 * out; other processes are kept out by store_open. */
static int
env_grow(struct store *store)
{
	MDB_envinfo info;
	size_t size;
	int rc;

	mdb_env_info(store->env, &info);
	if (info.me_mapsize > SIZE_MAX / 4)
		return -EFBIG;
	size = info.me_mapsize * 2;
	if (!env_can_map(size - info.me_mapsize))
		return -ENOMEM;
	rc = env_extend(store->env, size);
	if (rc != 0)
		return rc;
	pthread_rwlock_wrlock(&store->map_lock);
	rc = mdb_env_set_mapsize(store->env, size);
	if (rc != 0) {
		int again = mdb_env_set_mapsize(store->env, info.me_mapsize);

		assert(again == 0); /* it was mapped a moment ago */
	}
	pthread_rwlock_unlock(&store->map_lock);
	return env_code(rc);
}

int
env_make_room(struct store *store, size_t bytes)
{
	for (;;) {
		MDB_envinfo info;
		MDB_stat st;
		int rc;

		if (store->env == NULL)
			return -EIO;
		mdb_env_info(store->env, &info);
		mdb_env_stat(store->env, &st);
		if (info.me_mapsize - (info.me_last_pgno + 1) * st.ms_psize >= bytes)
			return 0;
		rc = env_grow(store);
		if (rc != 0)
			return rc;
	}
}

/* LMDB knows a write that fell short as EIO alone, which is what a disk does that is
 * becoming full. */
static int
env_commit(struct store *store, MDB_txn *txn)
{
	struct statvfs vfs;
	int rc = mdb_txn_commit(txn), fd;

	if (rc == EIO && mdb_env_get_fd(store->env, &fd) == 0 &&
	    fstatvfs(fd, &vfs) == 0 &&
	    (uint64_t)vfs.f_bavail * vfs.f_frsize < ENV_FULL_BYTES)
		return ENOSPC;
	return rc;
}

/* LMDB gives an environment up, for reading too, when the last page of a commit could not be
 * written: the one that says which state is the newest. On disk is the state before that
 * commit or the one behind it, each of them whole, and what follows is done on top of
 * whichever is found there. Our own lock on the store stays. While the files cannot be opened
 * reads are refused, and the writer tries again. */
static int
env_reopen(struct store *store)
{
	struct root root;
	int rc;

	pthread_rwlock_wrlock(&store->map_lock);
	if (store->env != NULL)
		mdb_env_close(store->env);
	store->env = NULL;
	rc = env_open(store->config.dir, 0, &store->env, NULL);
	if (rc == 0)
		rc = store_load_again(store, &root);
	if (rc != 0 && store->env != NULL) {
		mdb_env_close(store->env);
		store->env = NULL;
	}
	pthread_rwlock_unlock(&store->map_lock);
	pthread_mutex_lock(&store->lock);
	if (rc == 0)
		store->root = root;
	store->is_lost = rc != 0;
	writer_nudge(store);
	pthread_mutex_unlock(&store->lock);
	return rc;
}

static int
env_write_begin(struct store *store, MDB_txn **ret_txn)
{
	int rc = store->env != NULL ? mdb_txn_begin(store->env, NULL, 0, ret_txn)
				    : MDB_PANIC;

	if (rc != MDB_PANIC)
		return env_code(rc);
	rc = env_reopen(store);
	return rc == 0 ? env_code(mdb_txn_begin(store->env, NULL, 0, ret_txn)) : rc;
}

int
env_write(struct store *store, env_write_fn *fn, void *arg)
{
	bool has_looked = false;

	for (;;) {
		MDB_txn *txn;
		int rc = env_write_begin(store, &txn);

		if (rc != 0)
			return rc;
		rc = fn(store, txn, arg);
		if (rc == 0)
			rc = env_commit(store, txn);
		else
			mdb_txn_abort(txn);
		if (rc != 0 && rc != MDB_MAP_FULL && env_write_begin(store, &txn) == 0)
			mdb_txn_abort(txn); /* or it was given up, and is opened again */
		if (rc != MDB_MAP_FULL)
			return env_code(rc);
		if (!has_looked && env_drop_dead_readers(store)) {
			has_looked = true; /* there may be room enough now */
			continue;
		}
		rc = env_grow(store);
		if (rc != 0)
			return rc;
	}
}

int
env_get(MDB_txn *txn, MDB_dbi dbi, struct bytes key, struct bytes *ret_value)
{
	MDB_val k = env_val(key), v;
	int rc = mdb_get(txn, dbi, &k, &v);

	if (rc == 0)
		*ret_value = env_bytes(v);
	return rc;
}

int
env_put(MDB_txn *txn, MDB_dbi dbi, struct bytes key, struct bytes value)
{
	MDB_val k = env_val(key), v = env_val(value);

	return mdb_put(txn, dbi, &k, &v, 0);
}

int
env_delete(MDB_txn *txn, MDB_dbi dbi, struct bytes key)
{
	MDB_val k = env_val(key);
	int rc = mdb_del(txn, dbi, &k, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}
