/* SPDX-License-Identifier: Apache-2.0 */
/* Stores of older formats, brought forward a format at a time. A step is one write
 * transaction, which changes the format's number too: a store that is interrupted is
 * wholly of one format or of the next, and goes on from there when it is opened again. */
#include "config.h"

#include "store/private.h"

struct migration {
	const char *what;
	env_write_fn *fn;
};

/* An index by what values mean, which nothing ever read. */
static int
migrate_index(MDB_txn *txn)
{
	MDB_dbi index;
	int rc = mdb_dbi_open(txn, "index", 0, &index);

	if (rc == 0)
		rc = mdb_drop(txn, index, 1);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The rows with removed versions by their age, so that a sweep need not look at all of
 * them. What a damaged row says of itself does not matter: it is found by whoever reads it. */
static int
migrate_removed(struct store *store, MDB_txn *txn)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_dbi rows;
	int rc = mdb_dbi_open(txn, "rows", 0, &rows);

	if (rc == MDB_NOTFOUND)
		return -OCF_ECORRUPT;
	if (rc == 0)
		rc = mdb_dbi_open(txn, "removed", MDB_CREATE, &store->removed);
	if (rc == 0)
		rc = mdb_cursor_open(txn, rows, &cursor);
	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		uint8_t entry[REMOVED_KEY_BYTES];

		if (key.mv_size != STORE_K_BYTES ||
		    !rows_removed_key(key.mv_data, env_bytes(value), entry))
			continue;
		rc = env_put(txn, store->removed, bytes_of(entry, sizeof(entry)),
			     BYTES_NONE);
		if (rc != 0)
			break;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
migrate_to_2(struct store *store, MDB_txn *txn, void *arg)
{
	int rc = migrate_removed(store, txn);

	(void)arg;
	return rc == 0 ? migrate_index(txn) : rc;
}

/* From format i + 1 to i + 2. */
static const struct migration migrations[] = {
	{ "its removed rows are listed by age", migrate_to_2 },
};
_Static_assert(sizeof(migrations) / sizeof(migrations[0]) == STORE_FORMAT - 1,
	       "a step for every older format");

static int
migrate_step(struct store *store, MDB_txn *txn, void *arg)
{
	const struct migration *migration = arg;
	uint8_t format[8];
	int rc = migration->fn(store, txn, NULL);

	if (rc != 0)
		return rc;
	return store_put_meta(store, txn, "format", store_u64(store->format + 1, format));
}

int
store_migrate(struct store *store)
{
	int rc = 0;

	while (rc == 0 && store->format < STORE_FORMAT) {
		struct migration step = migrations[store->format - 1];

		rc = env_write(store, migrate_step, &step);
		if (rc != 0)
			break;
		store->format++;
		store_report(store, 0,
			     "the store in %s has format %llu now: %s; older versions of "
			     "this program cannot open it any more",
			     store->config.dir, (unsigned long long)store->format,
			     step.what);
	}
	return rc;
}
