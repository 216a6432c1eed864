/* SPDX-License-Identifier: Apache-2.0 */
/* Making, opening and closing a store. */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/private.h"

enum {
	STORE_CONSTANTS_BYTES = ID_BYTES + 8 + 4,
	/* A start begins this far, at random, beyond what was reserved: a store restored
	 * from an old copy is unlikely to give out a dot that the cluster has seen. */
	STORE_SKIP_BITS = 24,
};

/* One process at a time; LMDB alone would let several in. */
static int
store_lock(const char *dir, bool is_read_only, int *ret_fd, struct errmsg *err)
{
	char *path = mem_printf("%s/open.lock", dir), pid[16] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc = 0;

	/* What cannot be written can be saved all the same. Where there is no such file
	 * nobody else can make it either. */
	if (fd < 0 && errno == EROFS && is_read_only) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT) {
			free(path);
			return 0;
		}
	}
	if (fd < 0) {
		rc = error_set(err, -errno, "%s: %s", path, error_text(-errno));
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (rc != -EBUSY)
			error_set(err, rc, "%s cannot be locked: %s", path,
				  error_text(rc));
		else if (pread(fd, pid, sizeof(pid) - 1, 0) > 0 &&
			 strtol(pid, NULL, 10) > 0)
			error_set(err, rc, "the store in %s is open in process %ld", dir,
				  strtol(pid, NULL, 10));
		else
			error_set(err, rc, "the store in %s is open in another process",
				  dir);
		close(fd);
	} else {
		/* For the sentence above only: a failure to write it changes nothing. */
		int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

		if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) == n)
			rc = 0;
		*ret_fd = fd;
	}
	free(path);
	return rc;
}

/* LMDB found a page that cannot be what it is, and ends the process on return: say what to
 * do, for the sentence that it prints does not. */
static void
store_on_broken_page(MDB_env *env, const char *what)
{
	struct store *store = mdb_env_get_userctx(env);

	store_report(
		store, -OCF_ECORRUPT,
		"the store in %s is damaged where it cannot be read around (%s), and "
		"this process ends; restore a backup, or move the node's data folder "
		"away and join again",
		store->config.dir, what);
}

static struct store *
store_new(const struct store_config *config)
{
	struct store *store = mem_calloc(1, sizeof(*store));
	pthread_condattr_t attr;

	store->config = *config;
	store->config.dir = mem_strdup(config->dir);
	store->lock_fd = -1;
	pthread_mutex_init(&store->scrub_lock, NULL);
	pthread_mutex_init(&store->write_lock, NULL);
	pthread_mutex_init(&store->lock, NULL);
	pthread_rwlock_init(&store->map_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&store->wake, &attr);
	pthread_condattr_destroy(&attr);
	return store;
}

static void
store_free(struct store *store)
{
	pending_free_all(store);
	if (store->env != NULL)
		mdb_env_close(store->env);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	pthread_cond_destroy(&store->wake);
	pthread_rwlock_destroy(&store->map_lock);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->write_lock);
	pthread_mutex_destroy(&store->scrub_lock);
	buf_fini(&store->scrub.key);
	free(store->recents.items);
	buf_fini(&store->held);
	buf_fini(&store->encoded);
	free(store->actors);
	free((char *)store->config.dir);
	free(store);
}

static int
store_open_databases(struct store *store, MDB_txn *txn, unsigned flags)
{
	int rc = mdb_dbi_open(txn, "rows", flags, &store->rows);

	if (rc == 0)
		rc = mdb_dbi_open(txn, "owners", flags, &store->owners);
	if (rc == 0)
		rc = mdb_dbi_open(txn, "digests", flags, &store->digests);
	if (rc == 0 && store->format >= STORE_FORMAT_REMOVED)
		rc = mdb_dbi_open(txn, "removed", flags, &store->removed);
	return rc;
}

static int
store_create_write(struct store *store, MDB_txn *txn, void *arg)
{
	const struct store_constants *c = arg;
	struct root root = { .bits = BUCKET_BITS_MIN };
	struct buf constants = BUF_INIT;
	uint64_t actor = store_random();
	struct bytes format;
	uint8_t v[8];
	int rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);

	if (rc != 0)
		return rc;
	if (env_get(txn, store->meta, bytes_text("format"), &format) == 0)
		return -EEXIST;
	buf_put(&constants, c->cluster.b, ID_BYTES);
	buf_put_u64(&constants, (uint64_t)c->retention_ms);
	buf_put_u32(&constants, c->rows_per_node);
	store->format = STORE_FORMAT;
	rc = store_open_databases(store, txn, MDB_CREATE);
	if (rc == 0)
		rc = store_put_meta(store, txn, "constants", buf_bytes(&constants));
	if (rc == 0)
		rc = store_put_actors(store, txn, &actor, 1);
	if (rc == 0)
		rc = store_put_reserved(store, txn, 0);
	if (rc == 0)
		rc = store_put_root(store, txn, &root);
	if (rc == 0)
		rc = store_put_meta(store, txn, "format", store_u64(STORE_FORMAT, v));
	buf_fini(&constants);
	return rc;
}

int
store_create(const char *dir, const struct store_constants *constants, struct errmsg *err)
{
	struct store_config config = { .dir = dir };
	struct store_constants copy = *constants;
	struct store *store;
	int rc = file_make_dirs(dir, 0700, err), fd;

	assert(constants->retention_ms > 0 && constants->rows_per_node > 0);
	if (rc != 0)
		return rc;
	store = store_new(&config);
	rc = store_lock(dir, false, &store->lock_fd, err);
	if (rc == 0)
		rc = env_open(dir, 0, &store->env, err);
	if (rc == 0) {
		rc = env_write(store, store_create_write, &copy);
		if (rc == -EEXIST)
			error_set(err, rc, "there is a store in %s already", dir);
		else if (rc != 0)
			error_set(err, rc, "the store in %s cannot be made: %s", dir,
				  error_text(rc));
	}
	/* The folder's entries must survive as well as the files do. */
	fd = rc == 0 ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		if (fsync(fd) != 0)
			rc = error_set(err, -errno, "%s: %s", dir, error_text(-errno));
		close(fd);
	}
	store_free(store);
	return rc;
}

static int
store_load_constants(struct store *store, MDB_txn *txn)
{
	struct store_constants *c = &store->constants;
	struct reader r;
	int rc = store_get_meta(store, txn, "constants", STORE_CONSTANTS_BYTES, &r);

	if (rc != 0)
		return rc;
	reader_copy(&r, c->cluster.b, ID_BYTES);
	c->retention_ms = (ms_t)reader_u64(&r);
	c->rows_per_node = reader_u32(&r);
	if (c->retention_ms <= 0 || c->rows_per_node == 0)
		return -OCF_ECORRUPT;
	table_key_derive(&c->cluster, store->config.sha256, &store->tk);
	return 0;
}

static int
store_load_actors(struct store *store, MDB_txn *txn)
{
	struct bytes v;
	struct reader r;
	int rc = env_get(txn, store->meta, bytes_text("actors"), &v);

	if (rc == MDB_NOTFOUND ||
	    (rc == 0 && (v.len == 0 || v.len % 8 != 0 || v.len > 8 * STORE_ACTORS_MAX)))
		return -OCF_ECORRUPT;
	if (rc != 0)
		return rc;
	free(store->actors); /* of an attempt before the map grew */
	store->n_actors = (int)(v.len / 8);
	store->actors = mem_calloc((size_t)store->n_actors, sizeof(store->actors[0]));
	r = reader_of(v);
	for (int i = 0; i < store->n_actors; i++)
		store->actors[i] = reader_u64(&r);
	return 0;
}

/* A first block, starting beyond all that was ever reserved. */
static int
store_load_sequence(struct store *store, MDB_txn *txn)
{
	struct reader r;
	uint64_t bound;
	int rc = store_get_meta(store, txn, "reserved", 8, &r);

	if (rc != 0)
		return rc;
	bound = reader_u64(&r);
	if (bound > UINT64_MAX / 2)
		return -OCF_ECORRUPT;
	store->next_seq = bound + 1 + (store_random() & ((1U << STORE_SKIP_BITS) - 1));
	store->reserved = store->reserve = store->next_seq + ACTOR_BLOCK;
	return store_put_reserved(store, txn, store->reserved);
}

static int
store_load_format(struct store *store, MDB_txn *txn, void *arg)
{
	struct reader r;
	int rc = mdb_dbi_open(txn, "meta", 0, &store->meta);

	(void)arg;
	if (rc == MDB_NOTFOUND)
		return -OCF_ECORRUPT;
	if (rc == 0)
		rc = store_get_meta(store, txn, "format", 8, &r);
	if (rc != 0)
		return rc;
	store->format = reader_u64(&r);
	if (store->format == 0)
		return -OCF_ECORRUPT;
	return store->format > STORE_FORMAT ? -OCF_EVERSION : 0;
}

static int
store_load(struct store *store, MDB_txn *txn, void *arg)
{
	int rc = store_open_databases(store, txn, 0);

	(void)arg;
	if (rc == MDB_NOTFOUND)
		rc = -OCF_ECORRUPT;
	if (rc == 0)
		rc = store_load_constants(store, txn);
	if (rc == 0)
		rc = store_load_actors(store, txn);
	if (rc == 0)
		rc = store_get_root(store, txn, &store->root);
	if (rc == 0 && !store->config.is_read_only)
		rc = store_load_sequence(store, txn);
	return rc;
}

/* While nobody else uses the environment. A commit keeps the databases open. */
static int
store_load_read(struct store *store, env_write_fn *fn, void *arg)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return env_code(rc);
	rc = fn(store, txn, arg);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return env_code(rc);
}

static int
store_load_files(struct store *store, MDB_txn *txn, void *arg)
{
	int rc = mdb_dbi_open(txn, "meta", 0, &store->meta);

	if (rc == 0)
		rc = store_open_databases(store, txn, 0);
	return rc == 0 ? store_get_root(store, txn, arg) : rc;
}

/* Actors and numbers stay as memory has them: of a commit that is there though it failed
 * there may be more of both on disk, and none of those was given out. */
int
store_load_again(struct store *store, struct root *ret_root)
{
	return store_load_read(store, store_load_files, ret_root);
}

static int
store_open_load(struct store *store, struct errmsg *err)
{
	const char *dir = store->config.dir;
	int rc = store_load_read(store, store_load_format, NULL);

	if (rc == 0 && store->config.is_read_only)
		rc = store_load_read(store, store_load, NULL);
	else if (rc == 0 && store->format < STORE_FORMAT)
		rc = store_migrate(store);
	if (rc == 0 && !store->config.is_read_only)
		rc = env_write(store, store_load, NULL);
	if (rc == -OCF_EVERSION)
		return error_set(
			err, rc,
			"the store in %s has format %llu, made by a newer version of "
			"this program; this one knows formats up to %d: install the "
			"newer one",
			dir, (unsigned long long)store->format, STORE_FORMAT);
	if (rc == -OCF_ECORRUPT)
		return error_set(
			err, rc,
			"the store in %s is damaged or was never finished; restore a "
			"backup, or move the node's data folder away and join again",
			dir);
	if (rc != 0)
		return error_set(err, rc, "the store in %s cannot be opened: %s", dir,
				 error_text(rc));
	return 0;
}

/* LMDB would make what is not there. */
static int
store_open_look(const char *dir, struct errmsg *err)
{
	char *path = mem_printf("%s/data.mdb", dir);
	struct stat st;
	int rc = 0;

	if (stat(path, &st) != 0)
		rc = errno == ENOENT
			     ? error_set(err, -ENOENT,
					 "there is no store in %s; `ocf init` makes a "
					 "cluster, "
					 "`ocf join` enters one",
					 dir)
			     : error_set(err, -errno, "%s: %s", path, error_text(-errno));
	else if (!S_ISREG(st.st_mode))
		rc = error_set(
			err, -OCF_ECORRUPT,
			"%s is damaged: it is not a file; restore a backup, or move "
			"the node's data folder away and join again",
			path);
	else if (st.st_size == 0)
		rc = error_set(err, -OCF_ECORRUPT,
			       "%s is damaged: it is empty; restore a backup, or move "
			       "the node's data folder away and join again",
			       path);
	free(path);
	return rc;
}

int
store_open(const struct store_config *config, struct store **ret_store,
	   struct errmsg *err)
{
	struct store *store;
	int rc = store_open_look(config->dir, err);

	if (rc != 0)
		return rc;
	store = store_new(config);
	rc = store_lock(config->dir, config->is_read_only, &store->lock_fd, err);
	if (rc == 0) /* LMDB's own lock is not needed: ours is exclusive */
		rc = env_open(config->dir,
			      config->is_read_only ? MDB_RDONLY | MDB_NOLOCK : 0,
			      &store->env, err);
	if (rc == 0)
		rc = env_code(mdb_env_set_userctx(store->env, store));
	if (rc == 0)
		rc = env_code(mdb_env_set_assert(store->env, store_on_broken_page));
	if (rc == 0)
		rc = store_open_load(store, err);
	if (rc == 0 && !config->is_read_only) {
		rc = writer_start(store);
		if (rc != 0)
			error_set(err, rc, "a thread cannot be started: %s",
				  error_text(rc));
	}
	if (rc != 0)
		store_free(store);
	else
		*ret_store = store;
	return rc;
}

int
store_close(struct store *store)
{
	int rc;

	if (store == NULL)
		return 0;
	rc = store->config.is_read_only ? 0 : writer_stop(store);
	store_free(store);
	return rc;
}
