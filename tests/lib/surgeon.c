/* SPDX-License-Identifier: Apache-2.0 */
/* Damage to the store of a node that does not run, for tests in shell:
 *
 *	surgeon DATA list                    the rows: kind, owner, name
 *	surgeon DATA drop KIND OWNER [NAME]  the row was never here
 *	surgeon DATA unsign KIND OWNER [NAME]  a byte of its signature is another
 *	surgeon DATA rot KIND OWNER [NAME]   likewise of its value, in the file
 *	surgeon DATA unindex KIND OWNER [NAME]  it is not among its owner's
 *	surgeon DATA format NUMBER           the store's format
 *
 * What drop leaves is a sound store, and so does unsign but for the signature. */
#include "config.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "ident/audit.h"
#include "ident/sha256.h"
#include "store/private.h"

_Noreturn static void
die(const char *what, const char *why)
{
	fprintf(stderr, "surgeon: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void
must(int rc, const char *what)
{
	if (rc < 0)
		die(what, error_text(rc));
}

static struct store *
open_store(const char *data)
{
	char *dir = mem_printf("%s/store", data);
	struct store_config config = { .dir = dir, .sha256 = ident_sha256 };
	struct errmsg err = { "" };
	struct store *store;

	if (store_open(&config, &store, &err) != 0)
		die(dir, err.text);
	free(dir);
	return store;
}

static struct row_key
find_key(char **words)
{
	struct row_key key;
	struct id owner;
	int kind;

	if (words[0] == NULL || words[1] == NULL)
		die("arguments", "which row?");
	kind = row_kind_find(words[0]);
	must(kind, words[0]);
	must(id_parse(words[1], &owner), words[1]);
	must(row_key_make(&owner, (enum row_kind)kind, words[2] != NULL ? words[2] : "",
			  &key),
	     "the key");
	return key;
}

static bool
list_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	 const struct row *row)
{
	char owner[ID_TEXT_SIZE];

	(void)arg;
	(void)k;
	(void)row;
	printf("%s %s %s\n", row_kind_text(key->kind), id_text(&key->owner, owner),
	       key->name);
	return true;
}

static void
drop(struct store *store, const struct row_key *key)
{
	const struct row none = ROW_INIT;

	must(store_replace(store, key, &none), "dropping");
}

static void
unsign(struct store *store, const struct row_key *key)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct row row;

	must(store_get(store, key, &row), "the row");
	memcpy(signature, row.versions[0].signature, sizeof(signature));
	signature[5] ^= 1;
	version_seal(&row.versions[0], signature, ident_sha256);
	must(store_replace(store, key, &row), "replacing");
	row_fini(&row);
}

/* In the file: what is sealed by nothing but sums and signatures. */
static void
rot(const char *data, const struct row_key *key)
{
	char *path = mem_printf("%s/store/data.mdb", data);
	struct buf content = BUF_INIT, needle = BUF_INIT;
	struct store *store = open_store(data);
	struct row row;
	uint8_t *at;
	size_t from = 0;
	int fd, found = 0;

	must(store_get(store, key, &row), "the row");
	buf_put_bytes(&needle, row.versions[0].value);
	row_fini(&row);
	store_close(store);
	must(file_read(path, 1 << 30, &content, NULL), path);
	fd = open(path, O_WRONLY);
	while (content.len > from && (at = memmem(content.data + from, content.len - from,
						  needle.data, needle.len)) != NULL) {
		uint8_t other = at[needle.len / 2] ^ 1;

		if (pwrite(fd, &other, 1,
			   (off_t)(at - content.data) + (off_t)(needle.len / 2)) != 1)
			die(path, "cannot be written");
		from = (size_t)(at - content.data) + 1;
		found++;
	}
	close(fd);
	if (found == 0)
		die(path, "the value is not in it");
	buf_fini(&content);
	buf_fini(&needle);
	free(path);
}

static int
unindex(struct store *store, MDB_txn *txn, void *arg)
{
	struct buf key = BUF_INIT;
	int rc;

	codec_put_key(&key, arg);
	rc = env_delete(txn, store->owners, buf_bytes(&key));
	buf_fini(&key);
	return rc;
}

static int
write_format(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t format[8];

	put_be64(format, (uint64_t)strtoull(arg, NULL, 10));
	return env_put(txn, store->meta, bytes_text("format"), bytes_of(format, 8));
}

static void
write_with(struct store *store, env_write_fn *fn, void *arg)
{
	pthread_mutex_lock(&store->write_lock);
	must(env_write(store, fn, arg), "writing");
	pthread_mutex_unlock(&store->write_lock);
}

int
main(int argc, char **argv)
{
	const char *op = argc > 2 ? argv[2] : "";
	struct store *store;
	struct row_key key;

	if (argc < 3)
		die("arguments", "DATA and what to do");
	if (strcmp(op, "rot") == 0) {
		key = find_key(argv + 3);
		rot(argv[1], &key);
		return EXIT_SUCCESS;
	}
	store = open_store(argv[1]);
	if (strcmp(op, "list") == 0) {
		must(store_each(store, list_row, NULL), "reading");
	} else if (strcmp(op, "format") == 0 && argc == 4) {
		write_with(store, write_format, argv[3]);
	} else {
		key = find_key(argv + 3);
		if (strcmp(op, "drop") == 0)
			drop(store, &key);
		else if (strcmp(op, "unsign") == 0)
			unsign(store, &key);
		else if (strcmp(op, "unindex") == 0)
			write_with(store, unindex, &key);
		else
			die(op, "no such operation");
	}
	must(store_close(store), "closing");
	return EXIT_SUCCESS;
}
