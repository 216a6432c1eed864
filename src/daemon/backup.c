/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/backup: the store is copied (store/backup.h) into a file of the data folder
 * that has no name, so that nothing is left of it whatever happens, and given to the client
 * piece by piece: who asks may be another user than the node's. */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/work.h"
#include "store/backup.h"

struct backup {
	struct daemon *d;
	bool has_keys;
	int fd; /* -1: not yet made */
	off_t at;
};

static int
backup_open(struct daemon *d, const struct query_headers *params, struct bytes body,
	    void **ret_job, struct errmsg *err)
{
	struct backup *backup;
	int has_keys = true;
	json_error_t error;
	json_t *json = body.len == 0 ? json_object()
				     : json_loadb((const char *)body.data, body.len,
						  JSON_REJECT_DUPLICATES, &error);

	if (json == NULL ||
	    json_unpack_ex(json, &error, JSON_STRICT, "{s?b}", "keys", &has_keys) != 0) {
		json_decref(json);
		error_set(err, -EINVAL, "the body is not {\"keys\":true} or false");
		return 400;
	}
	json_decref(json);
	(void)params;
	backup = mem_calloc(1, sizeof(*backup));
	backup->d = d;
	backup->has_keys = has_keys;
	backup->fd = -1;
	*ret_job = backup;
	return 200;
}

static int
backup_make(struct backup *backup, struct errmsg *err)
{
	const char *folder = backup->d->places->data;
	struct identity_files files;
	struct store_blob blobs[IDENTITY_FILES];
	int rc, n = 0;

	backup->fd = file_open_unnamed(folder);
	if (backup->fd < 0)
		return error_set(err, backup->fd, "%s: %s", folder,
				 error_text(backup->fd));
	identity_to_files(backup->d->identity, backup->has_keys, &files);
	for (int i = 0; i < IDENTITY_FILES; i++) {
		if (files.file[i].len > 0)
			blobs[n++] = store_blob_of(identity_file_names[i],
						   buf_bytes(&files.file[i]));
	}
	rc = store_backup_to(backup->d->store, backup->fd, blobs, n, err);
	identity_files_fini(&files);
	return rc;
}

static int
backup_step(void *job, struct buf *out, struct errmsg *err)
{
	struct backup *backup = job;
	ssize_t n;
	int rc;

	if (backup->fd < 0) {
		rc = backup_make(backup, err);
		return rc == 0 ? 1 : rc;
	}
	n = pread(backup->fd, buf_extend(out, WORK_PIECE_BYTES), WORK_PIECE_BYTES,
		  backup->at);
	out->len -= WORK_PIECE_BYTES - (n > 0 ? (size_t)n : 0);
	if (n < 0)
		return error_set(err, -errno, "the copy cannot be read: %s",
				 error_text(-errno));
	backup->at += n;
	return n > 0;
}

static void
backup_close(void *job)
{
	struct backup *backup = job;

	if (backup->fd >= 0)
		close(backup->fd);
	free(backup);
}

const struct work_type work_backup = {
	.name = "backup",
	.content_type = "application/octet-stream",
	.open = backup_open,
	.step = backup_step,
	.close = backup_close,
};
