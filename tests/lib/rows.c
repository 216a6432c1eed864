/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/rows.h"

#include <assert.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "lib/sha256.h"
#include "lib/tap.h"

struct row_key
test_key(uint64_t owner, int number)
{
	struct id id = { { 0 } };
	struct row_key key;
	char name[16] = "";

	put_be64(id.b, owner);
	if (number >= 0)
		snprintf(name, sizeof(name), "%d", number);
	if (row_key_make(&id, number >= 0 ? ROW_WORKER : ROW_NODE, name, &key) != 0)
		abort();
	return key;
}

void
test_row(uint64_t actor, uint64_t seq, uint64_t own, int len, uint64_t seed,
	 struct row *ret_row)
{
	struct version v = { .dot = { actor, seq },
			     .stamp = TEST_STAMP(seq),
			     .is_removed = len < 0 };
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct rng rng;

	rng_init(&rng, seed);
	if (own > 0)
		v.context[v.context_len++] = (struct dot){ actor, own };
	if (len >= 0) {
		uint8_t *value = mem_calloc((size_t)len, 1);

		for (int i = 0; i < len; i++)
			value[i] = (uint8_t)rng_next(&rng);
		v.value = bytes_of(value, (size_t)len);
	}
	for (int i = 0; i < ROW_SIGNATURE_BYTES; i++)
		signature[i] = (uint8_t)rng_next(&rng);
	version_seal(&v, signature, test_sha256);
	row_of_version(&v, ret_row);
}

int
test_merge(struct store *store, const struct row_key *key, uint64_t actor, uint64_t seq,
	   int len)
{
	struct row row;
	bool is_changed;
	int rc;

	test_row(actor, seq, seq - 1, len, seq, &row);
	rc = store_merge(store, key, &row, &is_changed, NULL);
	row_fini(&row);
	return rc;
}

char *
test_folder(const char *name)
{
	return mem_printf("%s/%s", tap_folder(), name);
}

void
test_store_create(const char *dir)
{
	struct store_constants constants = {
		.cluster = { { 0xc1 } },
		.retention_ms = 7 * (ms_t)MS_DAY,
		.rows_per_node = TEST_ROWS_PER_NODE,
	};
	struct errmsg err = { "" };

	if (store_create(dir, &constants, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
}

struct store *
test_store_open(const char *dir)
{
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store;

	if (store_open(&config, &store, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
	return store;
}

struct wait {
	sem_t done;
	int rc;
};

static void
wait_done(void *arg, int rc)
{
	struct wait *w = arg;

	w->rc = rc;
	sem_post(&w->done);
}

int
test_store_wait(struct store *store)
{
	struct wait w;

	sem_init(&w.done, 0, 0);
	store_sync(store, wait_done, &w);
	while (sem_wait(&w.done) != 0)
		assert(errno == EINTR);
	sem_destroy(&w.done);
	return w.rc;
}

static void
differences_note(void *arg, const char *text)
{
	(void)arg;
	tap_note("%s", text);
}

uint64_t
test_store_differences(struct store *store)
{
	uint64_t n = UINT64_MAX;
	int rc = store_verify(store, differences_note, NULL, &n);

	assert((rc == 0) == (n == 0));
	return n;
}
