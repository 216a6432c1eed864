/* SPDX-License-Identifier: Apache-2.0 */
/* Rows put aside: in order, bounded for all and for each link, asked for once in a while. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/aside.h"
#include "lib/tap.h"

static struct id
owner_id(int i)
{
	struct id id = { { 0 } };

	id.b[0] = (uint8_t)(i >> 8);
	id.b[1] = (uint8_t)i;
	return id;
}

/* A row with a value, so that a leak would be seen. */
static bool
put(struct aside *a, uint64_t link, int owner, int number, size_t bytes, ms_t now_ms)
{
	struct aside_row row = { .link = link, .bytes = bytes };
	struct id id = owner_id(owner);
	char name[16];
	bool is_to_ask;

	snprintf(name, sizeof(name), "%d", number);
	CU_ASSERT_EQUAL_FATAL(row_key_make(&id, ROW_WORKER, name, &row.key), 0);
	row.row.len = 1;
	row.row.versions[0].value = bytes_of(mem_dup("v", 1), 1);
	is_to_ask = aside_put(a, &row, now_ms);
	CU_ASSERT_EQUAL(row.row.len, 0);
	return is_to_ask;
}

/* The number of the owner's next row; -1: none. */
static int
take(struct aside *a, int owner)
{
	struct id id = owner_id(owner);
	struct aside_row row;
	int number;

	if (!aside_take(a, &id, &row))
		return -1;
	number = atoi(row.key.name);
	row_fini(&row.row);
	return number;
}

static void
test_order(void)
{
	struct aside *a = aside_new();

	for (int i = 0; i < 6; i++)
		put(a, (uint64_t)(1 + i % 2), i % 3, i, 10, 0);
	CU_ASSERT_EQUAL(take(a, 7), -1);
	CU_ASSERT_EQUAL(take(a, 1), 1);
	CU_ASSERT_EQUAL(take(a, 1), 4);
	CU_ASSERT_EQUAL(take(a, 1), -1);
	CU_ASSERT_EQUAL(aside_len(a), 4);
	aside_free(a);
	aside_free(NULL);
}

static void
test_bounds(void)
{
	struct aside *a = aside_new();

	for (int i = 0; i < ASIDE_LINK_ROWS_MAX; i++)
		put(a, 1, 1, i, 10, 0);
	put(a, 2, 2, 0, 10, 0);
	put(a, 1, 1, ASIDE_LINK_ROWS_MAX, 10, 0);
	/* The link's own oldest gave way. */
	CU_ASSERT_EQUAL(aside_len(a), ASIDE_LINK_ROWS_MAX + 1);
	CU_ASSERT_EQUAL(take(a, 1), 1);
	CU_ASSERT_EQUAL(take(a, 2), 0);
	for (int i = 0; i < 2 * ASIDE_ROWS_MAX; i++)
		put(a, (uint64_t)(10 + i), 3, i, 10, 0);
	CU_ASSERT_EQUAL(aside_len(a), ASIDE_ROWS_MAX);
	CU_ASSERT_EQUAL(take(a, 1), -1);
	CU_ASSERT_EQUAL(take(a, 3), ASIDE_ROWS_MAX);
	put(a, 9, 4, 0, ASIDE_BYTES_MAX - 20, 0);
	CU_ASSERT_EQUAL(aside_len(a), 3);
	put(a, 9, 4, 1, ASIDE_BYTES_MAX, 0);
	CU_ASSERT_EQUAL(aside_len(a), 1);
	aside_free(a);
}

static void
test_asking(void)
{
	struct aside *a = aside_new();

	CU_ASSERT(put(a, 1, 1, 0, 10, 5));
	CU_ASSERT(!put(a, 1, 1, 1, 10, 6));
	CU_ASSERT(put(a, 2, 1, 2, 10, 6)); /* another link may know */
	CU_ASSERT(put(a, 1, 2, 0, 10, 6));
	CU_ASSERT(!put(a, 1, 1, 3, 10, 4 + ASIDE_ASK_MS));
	CU_ASSERT(put(a, 1, 1, 4, 10, 5 + ASIDE_ASK_MS));
	CU_ASSERT(!put(a, 1, 1, 5, 10, 6 + ASIDE_ASK_MS));
	while (take(a, 1) >= 0)
		;
	CU_ASSERT(put(a, 1, 1, 0, 10, 6 + ASIDE_ASK_MS));
	aside_free(a);
}

/* A variable made of a row that is there, as rows.c makes it. */
static __attribute__((noinline)) bool
put_copy(struct aside *a, const struct row_key *key, const struct row *from)
{
	struct aside_row row = { .link = 1, .key = *key, .row = *from, .bytes = 10 };

	return aside_put(a, &row, 0);
}

/* gcc 12 with -ftrivial-auto-var-init=zero clears parts of such a variable. */
static void
test_whole(void)
{
	struct aside *a = aside_new();
	struct id id = owner_id(1);
	struct row row = { .len = ROW_VERSIONS_MAX };
	struct aside_row back;
	struct row_key key;

	for (int i = 0; i < row.len; i++) {
		struct version *v = &row.versions[i];

		v->dot = (struct dot){ UINT64_MAX, UINT64_MAX };
		v->stamp = ROW_STAMP_MAX;
		v->context_len = ROW_CONTEXT_MAX;
		for (int j = 0; j < ROW_CONTEXT_MAX; j++)
			v->context[j] = (struct dot){ UINT64_MAX, UINT64_MAX };
		v->is_removed = true;
		memset(v->signature, 0xff, sizeof(v->signature));
		memset(v->hash, 0xff, sizeof(v->hash));
	}
	CU_ASSERT_EQUAL_FATAL(row_key_make(&id, ROW_WORKER, "7", &key), 0);
	put_copy(a, &key, &row);
	CU_ASSERT_FATAL(aside_take(a, &id, &back));
	CU_ASSERT(row_equal(&back.row, &row));
	CU_ASSERT_EQUAL(row_key_compare(&back.key, &key), 0);
	aside_free(a);
}

static const struct tap_test tests[] = {
	{ "rows of an owner come back in the order in which they came", test_order },
	{ "when there is no room the oldest give way, first those of the same link",
	  test_bounds },
	{ "a row that was put aside comes back whole", test_whole },
	{ "a node row is asked for once a link, and again after a while", test_asking },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
