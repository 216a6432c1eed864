/* SPDX-License-Identifier: Apache-2.0 */
/* Each start of a node outranks whatever it was told before. */
#include "config.h"

#include "daemon/starts.h"

#include <stdlib.h>

#include "lib/rows.h"
#include "lib/tap.h"
#include "store/store.h"

/* The next start, of the node whose store is in this folder. */
static uint64_t
start(const char *dir, struct store **ret_store)
{
	uint64_t incarnation = 0;

	*ret_store = test_store_open(dir);
	CU_ASSERT(starts_count(*ret_store, &incarnation) == 0);
	return incarnation;
}

static void
test_counting(void)
{
	char *dir = test_folder("counting");
	struct store *store;

	test_store_create(dir);
	CU_ASSERT(start(dir, &store) == (uint64_t)1 << STARTS_BITS);
	CU_ASSERT(store_close(store) == 0);
	CU_ASSERT(start(dir, &store) == (uint64_t)2 << STARTS_BITS);
	/* Refuted in the same start. */
	CU_ASSERT(starts_keep(store, ((uint64_t)2 << STARTS_BITS) + 5) == 0);
	CU_ASSERT(store_close(store) == 0);
	CU_ASSERT(start(dir, &store) == (uint64_t)3 << STARTS_BITS);
	CU_ASSERT(store_close(store) == 0);
	free(dir);
}

/* Others knew of later starts than the store does: it is an older copy. */
static void
test_told_of_later(void)
{
	const uint64_t told = ((uint64_t)7 << STARTS_BITS) + 5;
	char *dir = test_folder("later");
	struct store *store;

	test_store_create(dir);
	CU_ASSERT(start(dir, &store) < told);
	CU_ASSERT(starts_keep(store, told) == 0);
	CU_ASSERT(starts_keep(store, told - ((uint64_t)3 << STARTS_BITS)) == 0);
	CU_ASSERT(store_close(store) == 0);
	CU_ASSERT(start(dir, &store) > told);
	CU_ASSERT(starts_keep(store, (uint64_t)INT64_MAX) == 0);
	CU_ASSERT(store_close(store) == 0);
	/* The mesh knows of none above; it is not counted round. */
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(start(dir, &store) == (uint64_t)STARTS_MAX << STARTS_BITS);
		CU_ASSERT(store_close(store) == 0);
	}
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "each start is above the last, refuted or not", test_counting },
		{ "and above what others knew of, when the store is older",
		  test_told_of_later },
	};

	return TAP_MAIN(argc, argv, tests);
}
