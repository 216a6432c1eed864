/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "store/backup.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/private.h"

static const char backup_magic[] = "ocf-backup ";
static const char backup_version[] = "1\n";

enum {
	BACKUP_HEAD_BYTES = sizeof(backup_magic) - 1 + sizeof(backup_version) - 1,
	BACKUP_SUM_BYTES = ROW_HASH_BYTES,
	/* A commit during a backup that needs a larger map waits for its end: this much
	 * room is made first. */
	BACKUP_ROOM_BYTES = 64 * 1024 * 1024,
};

static bool
backup_name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= STORE_BLOB_NAME_BYTES_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789.-_") == len;
}

struct store_blob
store_blob_of(const char *name, struct bytes content)
{
	struct store_blob blob = { .content = content };

	assert(backup_name_is_good(name));
	snprintf(blob.name, sizeof(blob.name), "%s", name);
	return blob;
}

/* ---- making one ---- */

struct backup {
	struct store *store;
	const struct store_blob *blobs;
	int n;
};

/* A file as one piece of memory. */
struct backup_map {
	void *data;
	size_t len;
};

static int
backup_map(int fd, struct backup_map *ret_map)
{
	struct stat st;
	void *data;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < BACKUP_HEAD_BYTES)
		return -OCF_EMALFORMED;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*ret_map = (struct backup_map){ .data = data, .len = (size_t)st.st_size };
	return 0;
}

static int
backup_put_sum(struct store *store, int fd)
{
	uint8_t sum[BACKUP_SUM_BYTES];
	struct backup_map map;
	int rc = backup_map(fd, &map);

	if (rc != 0)
		return rc;
	store->config.sha256(map.data, map.len, sum);
	munmap(map.data, map.len);
	return file_put(fd, bytes_of(sum, sizeof(sum)));
}

static int
backup_put_rows(struct store *store, int fd)
{
	int rc;

	pthread_rwlock_rdlock(&store->map_lock);
	rc = store->env != NULL ? mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT)
				: MDB_PANIC;
	pthread_rwlock_unlock(&store->map_lock);
	return env_code(rc);
}

static int
backup_write(void *arg, int fd)
{
	const struct backup *backup = arg;
	struct buf head = BUF_INIT;
	int rc;

	buf_put_text(&head, backup_magic);
	buf_put_text(&head, backup_version);
	buf_put_u16(&head, (uint16_t)backup->n);
	for (int i = 0; i < backup->n; i++) {
		buf_put_bytes8(&head, bytes_text(backup->blobs[i].name));
		buf_put_bytes32(&head, backup->blobs[i].content);
	}
	rc = file_put(fd, buf_bytes(&head));
	if (rc == 0)
		rc = backup_put_rows(backup->store, fd);
	if (rc == 0)
		rc = backup_put_sum(backup->store, fd);
	explicit_bzero(head.data, head.len); /* keys, maybe */
	buf_fini(&head);
	return rc;
}

/* Blobs are as they must be, and commits go on meanwhile. */
static void
backup_begin(struct store *store, const struct store_blob *blobs, int n)
{
	assert(n >= 0 && n <= STORE_BLOBS_MAX);
	for (int i = 0; i < n; i++)
		assert(backup_name_is_good(blobs[i].name) &&
		       blobs[i].content.len <= STORE_BLOB_BYTES_MAX);
	if (!store->config.is_read_only) {
		pthread_mutex_lock(&store->write_lock);
		env_make_room(store, BACKUP_ROOM_BYTES); /* or commits wait: no harm */
		pthread_mutex_unlock(&store->write_lock);
	}
}

int
store_backup(struct store *store, const char *path, const struct store_blob *blobs, int n,
	     struct errmsg *err)
{
	struct backup backup = { .store = store, .blobs = blobs, .n = n };

	backup_begin(store, blobs, n);
	return file_write_with(path, 0600, backup_write, &backup, err);
}

int
store_backup_to(struct store *store, int fd, const struct store_blob *blobs, int n,
		struct errmsg *err)
{
	struct backup backup = { .store = store, .blobs = blobs, .n = n };
	int rc;

	backup_begin(store, blobs, n);
	rc = backup_write(&backup, fd);
	return rc == 0 ? 0
		       : error_set(err, rc, "the store in %s cannot be copied: %s",
				   store->config.dir, error_text(rc));
}

int
store_backup_look(const char *path)
{
	char magic[sizeof(backup_magic) - 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
	    memcmp(magic, backup_magic, sizeof(magic)) != 0)
		rc = -OCF_EMALFORMED;
	close(fd);
	return rc;
}

/* ---- a store of one ---- */

struct restore {
	const char *path; /* of the backup */
	const struct store_config *config;
	store_restore_fn *fn;
	void *arg;
	char *dir; /* beside the folder that is wanted */
	struct backup_map map;
	struct store_blob blobs[STORE_BLOBS_MAX];
	int n;
	struct bytes image; /* of LMDB */
};

static int
restore_damaged(const struct restore *r, const char *what, struct errmsg *err)
{
	return error_set(err, -OCF_ECORRUPT,
			 "%s is damaged or was cut short: %s; use another backup",
			 r->path, what);
}

static int
restore_check_head(const struct restore *r, struct errmsg *err)
{
	const char *head = r->map.data;
	size_t at = sizeof(backup_magic) - 1;

	if (memcmp(head, backup_magic, at) != 0)
		return error_set(
			err, -OCF_EMALFORMED,
			"%s is not a backup of a node: 'ocf backup FILE' makes one",
			r->path);
	if (memcmp(head + at, backup_version, sizeof(backup_version) - 1) != 0)
		return error_set(
			err, -OCF_EVERSION,
			"%s was made by a newer version of this program: install "
			"that one to restore it",
			r->path);
	return 0;
}

static int
restore_check_sum(struct restore *r, struct errmsg *err)
{
	uint8_t sum[BACKUP_SUM_BYTES];
	const uint8_t *data = r->map.data;
	size_t len = r->map.len;

	if (len < BACKUP_HEAD_BYTES + BACKUP_SUM_BYTES)
		return restore_damaged(r, "it ends at once", err);
	len -= BACKUP_SUM_BYTES;
	r->config->sha256(data, len, sum);
	if (memcmp(sum, data + len, BACKUP_SUM_BYTES) != 0)
		return restore_damaged(r, "its sum does not match", err);
	return 0;
}

static int
restore_read_blobs(struct restore *r, struct errmsg *err)
{
	struct reader in = reader_of(
		bytes_of((const uint8_t *)r->map.data + BACKUP_HEAD_BYTES,
			 r->map.len - BACKUP_HEAD_BYTES - BACKUP_SUM_BYTES));
	int n = reader_u16(&in);

	if (n > STORE_BLOBS_MAX)
		return restore_damaged(r, "it says that it holds too many files", err);
	for (int i = 0; i < n; i++) {
		struct store_blob *blob = &r->blobs[i];
		struct bytes name = reader_bytes8(&in);

		blob->content = reader_bytes32(&in);
		if (in.failed || name.len > STORE_BLOB_NAME_BYTES_MAX ||
		    blob->content.len > STORE_BLOB_BYTES_MAX)
			return restore_damaged(r, "a file in it has no good length", err);
		memcpy(blob->name, name.data, name.len);
		if (strlen(blob->name) != name.len || !backup_name_is_good(blob->name))
			return restore_damaged(r, "a file in it has no good name", err);
	}
	r->n = n;
	r->image = bytes_of(in.data, in.len);
	return 0;
}

/* A folder that an interrupted attempt left, or ours after a failure. There are only the
 * files of a store in it. */
static void
restore_remove(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "open.lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", dir, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

static int
restore_write_image(void *arg, int fd)
{
	return file_put(fd, *(const struct bytes *)arg);
}

static void
restore_keep_first(void *arg, const char *text)
{
	struct errmsg *first = arg;

	if (first->text[0] == '\0')
		error_set(first, 0, "%s", text);
}

/* In the folder beside: the store, looked at in full, made ours. */
static int
restore_adopt(const struct restore *r, struct store *store, struct errmsg *err)
{
	struct errmsg first = { "" };
	uint64_t differences;
	int rc = store_verify(store, restore_keep_first, &first, &differences);

	if (rc == -OCF_ECORRUPT)
		return restore_damaged(r, first.text, err);
	if (rc != 0)
		return error_set(err, rc, "what %s holds cannot be read: %s", r->path,
				 error_text(rc));
	rc = store_actor_renew(store);
	if (rc != 0)
		return error_set(err, rc, "the store in %s cannot be written: %s", r->dir,
				 error_text(rc));
	return r->fn != NULL ? r->fn(r->arg, store, r->blobs, r->n, err) : 0;
}

static int
restore_open(const struct restore *r, struct errmsg *err)
{
	struct store_config config = *r->config;
	struct store *store;
	int rc, closed;

	config.dir = r->dir;
	rc = store_open(&config, &store, err);
	if (rc != 0)
		return error_prefix(err, rc, "what %s holds cannot be used", r->path);
	rc = restore_adopt(r, store, err);
	closed = store_close(store);
	if (rc == 0 && closed != 0)
		rc = error_set(err, closed, "the store in %s cannot be written: %s",
			       r->dir, error_text(closed));
	return rc;
}

static int
restore_make(struct restore *r, struct errmsg *err)
{
	char *path = mem_printf("%s/data.mdb", r->dir);
	int rc;

	restore_remove(r->dir);
	rc = file_make_dirs(r->dir, 0700, err);
	if (rc == 0)
		rc = file_write_with(path, 0600, restore_write_image, &r->image, err);
	if (rc == 0)
		rc = restore_open(r, err);
	if (rc == 0 && rename(r->dir, r->config->dir) != 0)
		rc = error_set(err, -errno, "%s cannot be put in place: %s",
			       r->config->dir, error_text(-errno));
	if (rc == 0 && (rc = file_sync_folder(r->config->dir)) != 0)
		error_set(err, rc, "%s: %s", r->config->dir, error_text(rc));
	if (rc != 0)
		restore_remove(r->dir);
	free(path);
	return rc;
}

static int
restore_check(struct restore *r, struct errmsg *err)
{
	int rc = restore_check_head(r, err);

	if (rc == 0)
		rc = restore_check_sum(r, err);
	if (rc == 0)
		rc = restore_read_blobs(r, err);
	return rc;
}

static int
restore_map(struct restore *r, int fd, struct errmsg *err)
{
	int rc = backup_map(fd, &r->map);

	if (rc == -OCF_EMALFORMED)
		return error_set(
			err, rc,
			"%s is not a backup of a node: 'ocf backup FILE' makes one",
			r->path);
	return rc == 0 ? 0 : error_set(err, rc, "%s: %s", r->path, error_text(rc));
}

/* rename(2) puts a folder over an empty one only; better said before the work. */
static int
restore_check_place(const char *dir, struct errmsg *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	bool is_empty = true;

	if (d == NULL)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "%s: %s", dir,
						   error_text(-errno));
	while ((entry = readdir(d)) != NULL)
		is_empty &= strcmp(entry->d_name, ".") == 0 ||
			    strcmp(entry->d_name, "..") == 0;
	closedir(d);
	if (!is_empty)
		return error_set(err, -EEXIST,
				 "%s is there already: move it away to restore a backup",
				 dir);
	return 0;
}

int
store_restore(const char *path, const struct store_config *config, store_restore_fn *fn,
	      void *arg, struct errmsg *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, error_text(-errno));
	rc = store_restore_from(fd, path, config, fn, arg, err);
	close(fd);
	return rc;
}

int
store_restore_from(int fd, const char *path, const struct store_config *config,
		   store_restore_fn *fn, void *arg, struct errmsg *err)
{
	struct restore *r = mem_calloc(1, sizeof(*r));
	int rc = restore_check_place(config->dir, err);

	r->path = path;
	r->config = config;
	r->fn = fn;
	r->arg = arg;
	r->dir = mem_printf("%s.restoring", config->dir);
	if (rc == 0)
		rc = restore_map(r, fd, err);
	if (rc == 0)
		rc = restore_check(r, err);
	if (rc == 0)
		rc = restore_make(r, err);
	if (r->map.data != NULL)
		munmap(r->map.data, r->map.len);
	free(r->dir);
	free(r);
	return rc;
}
