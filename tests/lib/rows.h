/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and stores for tests. */
#ifndef OCF_TESTS_ROWS_H
#define OCF_TESTS_ROWS_H

#include "crdt/row.h"
#include "store/store.h"

enum { TEST_ROWS_PER_NODE = 16384 };
/* What test_row() stamps a version of this seq with. */
#define TEST_STAMP(seq) (1000 + (uint64_t)(seq))

/* The node row (number < 0) or a worker row of owner `owner`. */
struct row_key test_key(uint64_t owner, int number);
/* A row of one version by `actor`, which replaces the actor's version `own` (0: none),
 * and whose value is `len` bytes made from `seed` (len < 0: a remove). */
void test_row(uint64_t actor, uint64_t seq, uint64_t own, int len, uint64_t seed,
	      struct row *ret_row);
/* test_row and store_merge; the state is whatever `own` covers. */
int test_merge(struct store *store, const struct row_key *key, uint64_t actor,
	       uint64_t seq, int len);
/* A new folder's name under tap_folder(); free(3) it. */
char *test_folder(const char *name);
void test_store_create(const char *dir);
/* Aborts with the reason when it cannot be opened. */
struct store *test_store_open(const char *dir);
/* Wait until all changes are durable; store_sync's result. */
int test_store_wait(struct store *store);
uint64_t test_store_differences(struct store *store);

#endif
