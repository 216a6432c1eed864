/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder of a backup. The store gets a new actor (store/backup.h), so that the node's
 * numbering cannot collide with what it wrote since and lost; what others still hold of that
 * is covered by what the node writes next (crdt/owner.h).
 *
 * Nothing is deleted: what is in the way is refused, or moved aside with --force. The keys
 * are written before the store is put in place, so that a store without keys never stands
 * there; done again after an interruption, it finds its own keys and goes on. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/founding.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "ident/identity.h"
#include "store/backup.h"

struct restoring {
	const char *file;
	int fd;
	bool is_forced;
	struct places places;
	char *store; /* <data>/store */
	/* Where what was in the way is now; NULL: nothing was. */
	char *old_store, *old_keys;
	struct identity *identity;
	bool had_keys; /* the backup; else they are those of the folder */
	uint64_t rows;
};

/* ---- what is there ---- */

static bool
restore_is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 || errno != ENOENT;
}

/* Somebody has the store open: a node, or another of us. */
static bool
restore_is_in_use(const struct restoring *r)
{
	char *path = mem_printf("%s/open.lock", r->store);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_in_use = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

	if (fd >= 0)
		close(fd);
	free(path);
	return is_in_use;
}

static int
restore_check_folder(const struct restoring *r)
{
	bool runs = offline_node_runs(&r->places) || restore_is_in_use(r);
	const char *data = r->places.data;

	if (runs)
		return cli_fail(EXIT_STATUS_TRY_LATER,
				"a node runs in %s: stop it before its data is restored",
				data);
	if (restore_is_there(r->store) && rmdir(r->store) != 0 && !r->is_forced)
		return cli_fail(EXIT_FAILURE,
				"there is a store in %s: --force moves it aside, or name "
				"another folder with --data",
				r->store);
	return EXIT_SUCCESS;
}

/* Rename to a name that is free and says when. */
static int
restore_move_aside(const char *path, char **ret_old, struct errmsg *err)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	char *old;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	old = mem_printf("%s.old-%s", path, stamp);
	for (int i = 2; restore_is_there(old) && i < 100; i++) {
		free(old);
		old = mem_printf("%s.old-%s-%d", path, stamp, i);
	}
	if (restore_is_there(old) || rename(path, old) != 0) {
		int rc = errno != 0 ? -errno : -EEXIST;

		error_set(err, rc, "%s cannot be moved aside: %s", path, error_text(rc));
		free(old);
		return rc;
	}
	*ret_old = old;
	return 0;
}

/* ---- keys ---- */

static void
restore_read_files(const struct store_blob *blobs, int n, struct identity_files *ret)
{
	*ret = (struct identity_files){ .file = { BUF_INIT } };
	for (int i = 0; i < n; i++)
		for (int f = 0; f < IDENTITY_FILES; f++)
			if (strcmp(blobs[i].name, identity_file_names[f]) == 0)
				buf_put_bytes(&ret->file[f], blobs[i].content);
}

/* The keys in the folder are those of the backup's node. */
static int
restore_check_own(struct restoring *r, const struct id *node, struct errmsg *err)
{
	char theirs[ID_TEXT_SIZE], ours[ID_TEXT_SIZE];

	if (id_equal(node, &r->identity->node_id))
		return 0;
	return error_set(err, -OCF_EFOREIGN,
			 "%s is a backup of the node %s, and the keys in %s/keys are of "
			 "%s%s",
			 r->file, id_text(node, theirs), r->places.data,
			 id_text(&r->identity->node_id, ours),
			 r->had_keys ? ": --force moves them aside" : "");
}

static int
restore_take_keys(struct restoring *r, const struct identity_files *files,
		  const struct id *node, struct errmsg *err)
{
	const char *data = r->places.data;
	char *keys = mem_printf("%s/keys", data);
	int rc = 0;

	if (identity_exists(data)) {
		rc = identity_load(data, &r->identity, err);
		if (rc == 0)
			rc = restore_check_own(r, node, err);
		if (rc == 0 || !r->is_forced)
			goto out;
		identity_free(r->identity);
		r->identity = NULL;
		rc = restore_move_aside(keys, &r->old_keys, err);
	}
	if (rc == 0)
		rc = identity_from_files(files, &r->identity, err);
	if (rc == 0)
		rc = identity_save(r->identity, data, err);
out:
	free(keys);
	return rc;
}

static int
restore_find_identity(struct restoring *r, const struct identity_files *files,
		      struct errmsg *err)
{
	struct id node;
	int rc = identity_files_node(files, &node, err);

	if (rc != 0)
		return error_prefix(err, rc, "the certificates in %s", r->file);
	r->had_keys = files->file[IDENTITY_NODE_KEY].len > 0;
	if (r->had_keys)
		return restore_take_keys(r, files, &node, err);
	if (!identity_exists(r->places.data))
		return error_set(err, -ENOENT,
				 "%s was made with --no-keys: put the node's keys into "
				 "%s/keys first, or join the cluster anew",
				 r->file, r->places.data);
	rc = identity_load(r->places.data, &r->identity, err);
	return rc == 0 ? restore_check_own(r, &node, err) : rc;
}

static int
restore_on_store(void *arg, struct store *store, const struct store_blob *blobs, int n,
		 struct errmsg *err)
{
	struct restoring *r = arg;
	struct identity_files files;
	int rc;

	restore_read_files(blobs, n, &files);
	rc = restore_find_identity(r, &files, err);
	identity_files_fini(&files);
	if (rc == 0 &&
	    !id_equal(&store_constants(store)->cluster, &r->identity->cluster_id))
		rc = error_set(err, -OCF_EFOREIGN,
			       "the store in %s is of another cluster than the keys",
			       r->file);
	r->rows = store_root(store).count;
	return rc;
}

/* ---- when it fails ---- */

/* The old store back; if that fails, too, it is still there under its other name. */
static void
restore_undo_store(const struct restoring *r)
{
	if (r->old_store != NULL && rename(r->old_store, r->store) != 0)
		cli_say("the old store is in %s", r->old_store);
}

/* And its keys, or it would stand beside those of another node, which the backup has still. */
static void
restore_undo_keys(const struct restoring *r)
{
	char *keys = mem_printf("%s/keys", r->places.data);

	for (int f = 0; r->old_keys != NULL && f < IDENTITY_FILES; f++) {
		char *path = mem_printf("%s/%s", keys, identity_file_names[f]);

		unlink(path);
		free(path);
	}
	if (r->old_keys != NULL && rename(r->old_keys, keys) != 0)
		cli_say("the old keys are in %s", r->old_keys);
	free(keys);
}

/* ---- all of it ---- */

static int
restore_status(int rc)
{
	switch (-rc) {
	case EACCES:
	case EPERM:
		return EXIT_STATUS_PERMISSION;
	case OCF_EMALFORMED:
	case OCF_EVERSION:
	case OCF_EFOREIGN:
	case OCF_ECORRUPT:
	case EEXIST:
	case ENOENT:
		return EXIT_FAILURE;
	default:
		return EXIT_STATUS_IO;
	}
}

static int
restore_make(struct restoring *r)
{
	struct store_config config = { .dir = r->store, .sha256 = ident_sha256 };
	struct errmsg err = { "" };
	int rc = file_make_dirs(r->places.data, 0750, &err);

	if (rc != 0)
		return cli_fail(rc == -EACCES || rc == -EPERM ? EXIT_STATUS_PERMISSION
							      : EXIT_STATUS_IO,
				"%s", err.text);
	if (restore_is_there(r->store))
		rc = restore_move_aside(r->store, &r->old_store, &err);
	if (rc == 0)
		rc = store_restore_from(r->fd, r->file, &config, restore_on_store, r,
					&err);
	if (rc == 0)
		return EXIT_SUCCESS;
	restore_undo_store(r);
	restore_undo_keys(r);
	rmdir(r->places.data); /* if it was made for this: it is empty */
	return cli_fail(restore_status(rc), "%s", err.text);
}

static void
restore_print(const struct cli *cli, const struct restoring *r)
{
	char id[ID_TEXT_SIZE];
	json_t *json;

	id_text(&r->identity->node_id, id);
	if (!cli->is_json) {
		printf("%s: node %s, %llu row%s, a new actor\n", r->places.data, id,
		       (unsigned long long)r->rows, r->rows == 1 ? "" : "s");
		if (r->old_store != NULL)
			printf("the old store is in %s\n", r->old_store);
		if (r->old_keys != NULL)
			printf("the old keys are in %s\n", r->old_keys);
		printf("Next: start the node with 'ocfd', on this machine only.\n");
		return;
	}
	json = json_pack("{s:s, s:s, s:I, s:s?, s:s?}", "data", r->places.data, "node",
			 id, "rows", (json_int_t)r->rows, "old_store", r->old_store,
			 "old_keys", r->old_keys);
	output_json(json);
	json_decref(json);
}

static int
restore_open(struct restoring *r)
{
	struct stat st;

	r->fd = open(r->file, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 && strcmp(r->file, "-") == 0)
		return cli_fail(EXIT_STATUS_USAGE,
				"a backup is read from a file, not from "
				"standard input");
	if (r->fd < 0)
		return cli_fail(errno == EACCES ? EXIT_STATUS_PERMISSION : EXIT_STATUS_IO,
				"%s: %s", r->file, error_text(-errno));
	if (fstat(r->fd, &st) == 0 && S_ISDIR(st.st_mode))
		return cli_fail(EXIT_STATUS_IO, "%s is a folder, not a file", r->file);
	return EXIT_SUCCESS;
}

int
cmd_restore(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct restoring r = { .fd = -1 };
	int status;

	while (cli_option(cli, argc, argv, "", options) != -1)
		r.is_forced = true;
	cli_arguments(cli, argc, argv, 1, 1);
	r.file = argv[optind];
	/* Before root becomes the folder's owner, who may not be allowed to read it. */
	status = restore_open(&r);
	if (status == EXIT_SUCCESS)
		status = founding_places(cli, &r.places);
	if (status == EXIT_SUCCESS) {
		r.store = mem_printf("%s/store", r.places.data);
		status = restore_check_folder(&r);
		if (status == EXIT_SUCCESS)
			status = restore_make(&r);
		if (status == EXIT_SUCCESS)
			restore_print(cli, &r);
		places_fini(&r.places);
	}
	if (r.fd >= 0)
		close(r.fd);
	identity_free(r.identity);
	free(r.store);
	free(r.old_store);
	free(r.old_keys);
	return status;
}
