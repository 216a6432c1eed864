/* SPDX-License-Identifier: Apache-2.0 */
/* The data folder, and the keys in it, as files; see doctor-look.c. */
#include "config.h"

#include <fts.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/places.h"
#include "cli/doctor.h"
#include "ident/identity.h"

static const char look_system_socket[] = "/run/ocf/ocfd.sock";

/* ---- the data folder ---- */

/* The node's own folder, as the daemon tells it; else where this user's would be. */
static const char *
look_data(const json_t *facts)
{
	const char *told = doctor_text(facts, "node.reply.data");

	return told[0] != '\0' ? told : doctor_text(facts, "places.data");
}

/* A file in the folder that belongs to another user than the folder does: somebody started a
 * program as root. NULL when there is none. Free(3) it. */
static char *
look_for_strange(const char *folder, uid_t owner)
{
	enum { ENTRIES_MAX = 10000, LEVELS_MAX = 3 }; /* JetStream may have more */
	char *copy = mem_strdup(folder), *found = NULL;
	char *const roots[] = { copy, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int n = 0;

	while (fts != NULL && found == NULL && n++ < ENTRIES_MAX &&
	       (entry = fts_read(fts)) != NULL) {
		if (entry->fts_level > LEVELS_MAX)
			fts_set(fts, entry, FTS_SKIP);
		else if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS &&
			 entry->fts_info != FTS_DNR && entry->fts_statp->st_uid != owner)
			found = mem_strdup(entry->fts_path);
	}
	if (fts != NULL)
		fts_close(fts);
	free(copy);
	return found;
}

static void
look_at_space(const char *path, json_t *folder)
{
	char *data = mem_printf("%s/store/data.mdb", path);
	struct statvfs fs;
	struct stat st;

	if (statvfs(path, &fs) == 0) {
		json_object_set_new(
			folder, "free",
			json_integer((json_int_t)(fs.f_bavail * fs.f_frsize)));
		json_object_set_new(
			folder, "size",
			json_integer((json_int_t)(fs.f_blocks * fs.f_frsize)));
		/* Some file systems have no fixed number of files. */
		json_object_set_new(folder, "has_no_files_left",
				    json_boolean(fs.f_files > 0 && fs.f_favail == 0));
		json_object_set_new(folder, "is_read_only",
				    json_boolean((fs.f_flag & ST_RDONLY) != 0));
	}
	if (stat(data, &st) == 0)
		json_object_set_new(folder, "store_bytes",
				    json_integer((json_int_t)st.st_blocks * 512));
	free(data);
}

json_t *
doctor_look_at_folder(const struct cli *cli, const json_t *facts)
{
	const char *path = look_data(facts);
	json_t *folder = json_pack("{s:o, s:b}", "path", doctor_string(path),
				   "is_system_there",
				   access(look_system_socket, F_OK) == 0);
	struct errmsg err = { "" };
	const struct passwd *owner;
	struct stat st;
	char *strange;

	(void)cli;
	if (places_check_data(path, &err) != 0)
		json_object_set_new(folder, "file_system", doctor_string(err.text));
	if (stat(path, &st) != 0) {
		int rc = -errno;

		json_object_set_new(folder, "is_missing", json_boolean(rc == -ENOENT));
		json_object_set_new(folder, "error", doctor_string(error_text(rc)));
		return folder;
	}
	json_object_set_new(folder, "uid", json_integer(st.st_uid));
	json_object_set_new(folder, "mode", json_integer(st.st_mode & 07777));
	json_object_set_new(folder, "is_folder", json_boolean(S_ISDIR(st.st_mode)));
	strange = look_for_strange(path, st.st_uid);
	if (strange != NULL)
		json_object_set_new(folder, "strange", doctor_string(strange));
	free(strange);
	look_at_space(path, folder);
	/* Last: it may ask a directory in the network. */
	owner = getpwuid(st.st_uid);
	if (owner != NULL)
		json_object_set_new(folder, "owner", doctor_string(owner->pw_name));
	return folder;
}

/* ---- keys and certificates ---- */

static json_t *
look_at_certificate(const char *data, enum identity_file file)
{
	char *path = mem_printf("%s/keys/%s", data, identity_file_names[file]);
	struct buf pem = BUF_INIT, der = BUF_INIT;
	ms_t from_ms = 0, until_ms = 0;
	struct errmsg err = { "" };
	int rc = file_read(path, 2 * CERT_DER_BYTES_MAX, &pem, &err);

	if (rc == 0)
		rc = cert_from_pem(buf_bytes(&pem), &der, &err);
	if (rc == 0)
		rc = cert_dates(buf_bytes(&der), &from_ms, &until_ms);
	buf_fini(&pem);
	buf_fini(&der);
	free(path);
	if (rc != 0)
		return NULL;
	return json_pack("{s:s, s:I, s:I}", "name", identity_file_names[file], "from_ms",
			 (json_int_t)from_ms, "until_ms", (json_int_t)until_ms);
}

/* The files that hold secrets and can be read or written by others. */
static json_t *
look_for_open_files(const char *data)
{
	static const char *const names[] = { "", "/node.key", "/ca.key" };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/keys%s", data, names[i]);
		struct stat st;
		/* Nobody gets through a folder that is closed; of it only writing counts. */
		mode_t mask = names[i][0] == '\0' ? 022 : 077;

		if (stat(path, &st) == 0 && (st.st_mode & mask) != 0)
			json_array_append_new(
				list,
				json_pack("{s:o, s:i, s:i}", "path", doctor_string(path),
					  "mode", (int)(st.st_mode & 07777), "right",
					  names[i][0] == '\0' ? 0700 : 0600));
		free(path);
	}
	return list;
}

json_t *
doctor_look_at_keys(const struct cli *cli, const json_t *facts)
{
	const char *data = look_data(facts);
	char *folder = mem_printf("%s/keys", data), *ca = mem_printf("%s/ca.key", folder);
	json_t *keys = json_object(), *certs = json_array();
	struct identity *identity = NULL;
	struct errmsg err = { "" };
	int rc = identity_load(data, &identity, &err);

	(void)cli;
	identity_free(identity);
	json_object_set_new(keys, "is_there", json_boolean(identity_exists(data)));
	json_object_set_new(keys, "denied",
			    json_boolean(rc == -EACCES ||
					 (access(folder, X_OK) != 0 && errno == EACCES)));
	json_object_set_new(keys, "has_ca_key", json_boolean(access(ca, F_OK) == 0));
	json_object_set_new(keys, "open", look_for_open_files(data));
	/* Of open keys is said already how to close them. */
	if (rc != 0 && rc != -EPERM)
		json_object_set_new(keys, "error", doctor_string(err.text));
	for (int i = 0; i < 2; i++) {
		json_t *cert = look_at_certificate(data, i == 0 ? IDENTITY_NODE_CERT
								: IDENTITY_CA_CERT);

		if (cert != NULL)
			json_array_append_new(certs, cert);
	}
	json_object_set_new(keys, "certs", certs);
	free(ca);
	free(folder);
	return keys;
}
