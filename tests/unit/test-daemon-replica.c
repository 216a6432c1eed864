/* SPDX-License-Identifier: Apache-2.0 */
/* The store as the sync core reads it: pages, wherever they end, leave out no row. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "crdt/codec.h"
#include "daemon/replica.h"
#include "lib/rows.h"
#include "lib/tap.h"

enum { NODES = 40, WORKERS = 10, ROWS = NODES * (WORKERS + 1), PAGES_MAX = 4 * ROWS };

struct reading {
	uint8_t k[PAGES_MAX][SYNC_K_BYTES];
	bool is_node[PAGES_MAX];
	int len;
};

static bool
on_row(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest, struct bytes encoded)
{
	struct reader r = reader_of(encoded);
	struct reading *reading = arg;
	struct row_key key;

	(void)digest;
	CU_ASSERT_FATAL(reading->len < PAGES_MAX);
	CU_ASSERT_EQUAL_FATAL(codec_read_key(&r, &key), 0);
	memcpy(reading->k[reading->len], k, SYNC_K_BYTES);
	reading->is_node[reading->len++] = key.kind == ROW_NODE;
	return true;
}

static bool
has_row(const struct reading *reading, const uint8_t k[SYNC_K_BYTES])
{
	for (int i = 0; i < reading->len; i++)
		if (memcmp(reading->k[i], k, SYNC_K_BYTES) == 0)
			return true;
	return false;
}

static struct store *
make_store(void)
{
	char *dir = test_folder("store");
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = 0; i < NODES; i++)
		for (int j = -1; j < WORKERS; j++) {
			struct row_key key = test_key((uint64_t)i + 1, j);

			CU_ASSERT_EQUAL(test_merge(store, &key, 1,
						   (uint64_t)(i * 100 + j + 2), 100),
					0);
		}
	CU_ASSERT_EQUAL(test_store_wait(store), 0);
	free(dir);
	return store;
}

static void
read_pages(const struct sync_table *table, size_t max_bytes, struct reading *ret)
{
	uint8_t cursor[SYNC_K_BYTES] = { 0 }, next[SYNC_K_BYTES];
	bool is_last = false;
	int pages = 0;

	memset(ret, 0, sizeof(*ret));
	while (!is_last && pages++ < PAGES_MAX) {
		CU_ASSERT_EQUAL_FATAL(table->page(table->arg, cursor, max_bytes, on_row,
						  ret, next, &is_last),
				      0);
		memcpy(cursor, next, sizeof(cursor));
	}
	CU_ASSERT(is_last);
}

/* Where a page ends depends on its size: many sizes end at many rows. */
static void
test_pages(void)
{
	static const uint8_t first[SYNC_K_BYTES] = { 0 };
	static struct reading all, pages;
	struct store *store = make_store();
	struct sync_table table = replica_table(store);

	all.len = 0;
	CU_ASSERT_EQUAL(table.rows(table.arg, first, on_row, &all), 0);
	CU_ASSERT_EQUAL(all.len, ROWS);
	for (size_t bytes = 1; bytes < 40000; bytes = 2 * bytes + 1) {
		int missing = 0, late = 0;

		read_pages(&table, bytes, &pages);
		for (int i = 0; i < all.len; i++)
			missing += !has_row(&pages, all.k[i]);
		for (int i = 1; i < pages.len; i++)
			late += pages.is_node[i] && !pages.is_node[i - 1];
		if (missing + late + (pages.len != ROWS) > 0)
			tap_note("pages of %zu bytes: %d rows, %d missing, %d of nodes "
				 "behind others",
				 bytes, pages.len, missing, late);
		CU_ASSERT_EQUAL(pages.len, ROWS);
		CU_ASSERT_EQUAL(missing, 0);
		CU_ASSERT_EQUAL(late, 0);
	}
	CU_ASSERT_EQUAL(store_close(store), 0);
}

static const struct tap_test tests[] = {
	{ "pages have every row once, those of nodes first, wherever they end",
	  test_pages },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
