/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/founding.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ident/sha256.h"
#include "store/store.h"

void
founding_name(const struct cli *cli, const char *given, char ret_name[FOUNDING_NAME_SIZE])
{
	char name[256] = "";

	if (given == NULL) {
		if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '.')
			name[0] = '\0';
		name[strcspn(name, ".")] = '\0';
		name[FOUNDING_NAME_SIZE - 1] = '\0';
		given = name[0] != '\0' ? name : "node";
	}
	if (given[0] == '\0' || strlen(given) >= FOUNDING_NAME_SIZE)
		cli_usage_error(cli, "a node's name has from 1 to %d bytes",
				LIMIT_NODE_NAME_BYTES_MAX);
	for (const char *p = given; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			cli_usage_error(cli, "a node's name has no control characters");
	}
	if (!utf8_is_valid(given))
		cli_usage_error(cli, "a node's name is UTF-8");
	snprintf(ret_name, FOUNDING_NAME_SIZE, "%.*s", FOUNDING_NAME_SIZE - 1, given);
}

int
founding_places(const struct cli *cli, struct places *ret_places)
{
	struct errmsg err = { "" };
	struct places places;
	int status = EXIT_SUCCESS;

	cli_places(cli, &places);
	if (places_become_owner(places.data, &err) != 0)
		status = cli_fail(EXIT_STATUS_PERMISSION, "%s", err.text);
	else if (places_check_socket(places.socket, &err) != 0 ||
		 places_check_data(places.data, &err) != 0)
		status = cli_fail(EXIT_STATUS_CONFIG, "%s", err.text);
	if (status == EXIT_SUCCESS)
		*ret_places = places;
	else
		places_fini(&places);
	return status;
}

int
founding_prepare(const struct places *places)
{
	char *store = mem_printf("%s/store", places->data);
	struct errmsg err = { "" };
	int rc = file_make_dirs(places->data, 0750, &err), status = EXIT_SUCCESS;

	if (rc == 0 && access(places->data, W_OK | X_OK) != 0)
		rc = error_set(&err, -errno, "%s: %s", places->data, error_text(-errno));
	if (rc != 0)
		status = cli_fail(rc == -EACCES || rc == -EPERM ? EXIT_STATUS_PERMISSION
								: EXIT_STATUS_IO,
				  "%s", err.text);
	else if (access(store, F_OK) == 0)
		status = cli_fail(
			EXIT_FAILURE,
			"there is a store in %s, but no identity beside it in %s/keys: "
			"bring that back from a backup, or move the store away",
			store, places->data);
	free(store);
	return status;
}

void
founding_remove(const struct places *places, const char *name)
{
	char *path = mem_printf("%s/%s", places->data, name);
	DIR *folder = opendir(path);
	const struct dirent *entry;

	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	if (folder != NULL)
		closedir(folder);
	rmdir(path);
	free(path);
}

static int
founding_fill_store(const char *dir, const struct founding *f, struct errmsg *err)
{
	struct store_config config = { .dir = dir, .sha256 = ident_sha256 };
	struct store *store;
	int rc = store_open(&config, &store, err), closed;

	if (rc != 0)
		return rc;
	rc = store_meta_set(store, "name", bytes_text(f->name));
	if (rc == 0 && f->seeds_json != NULL)
		rc = store_meta_set(store, "seeds", bytes_text(f->seeds_json));
	closed = store_close(store);
	if (rc == 0)
		rc = closed;
	if (rc != 0 && err->text[0] == '\0')
		error_set(err, rc, "%s: %s", dir, error_text(rc));
	return rc;
}

int
founding_make_store(const struct places *places, const struct founding *f)
{
	struct store_constants constants = {
		.cluster = f->cluster,
		.retention_ms = f->retention_ms,
		.rows_per_node = f->rows_per_node,
	};
	char *dir = mem_printf("%s/store", places->data);
	struct errmsg err = { "" };
	int rc = store_create(dir, &constants, &err);

	if (rc == 0) {
		rc = founding_fill_store(dir, f, &err);
		if (rc != 0)
			founding_remove(places, "store");
	}
	free(dir);
	return rc == 0 ? EXIT_SUCCESS : cli_fail(EXIT_STATUS_IO, "%s", err.text);
}
