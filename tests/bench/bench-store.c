/* SPDX-License-Identifier: Apache-2.0 */
/* The store at a size: bench-store FOLDER [ROWS]. One JSON line; times in microseconds a
 * row, or in milliseconds where the name says so. The folder is made and left. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/rows.h"

enum { VALUE_BYTES = 300, ROWS_DEFAULT = 100000 };

static bool
see(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
    const struct row *row)
{
	(void)k;
	(void)key;
	(void)row;
	++*(uint64_t *)arg;
	return true;
}

static struct row_key
bench_key(uint64_t i)
{
	return test_key(1 + i / 1000, (int)(i % 1000));
}

/* Every row once, with seq; microseconds a row until all is durable. */
static double
bench_merge(struct store *store, uint64_t n, uint64_t seq)
{
	ms_t start = clock_mono_ms();

	for (uint64_t i = 0; i < n; i++) {
		struct row_key key = bench_key(i * 7919 % n);

		while (test_merge(store, &key, 3, seq, VALUE_BYTES) == -EAGAIN)
			test_store_wait(store);
	}
	test_store_wait(store);
	return (double)(clock_mono_ms() - start) * 1000 / (double)n;
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : ROWS_DEFAULT, seen = 0;
	struct store_digest children[256];
	uint8_t zero[STORE_K_BYTES] = { 0 };
	double add, again, update, alone;
	ms_t at, open_ms, each_ms, digests_ms, verify_ms;
	struct store_stats stats;
	struct store *store;

	if (argc < 2 || n == 0) {
		fprintf(stderr, "usage: bench-store FOLDER [ROWS]\n");
		return 2;
	}
	test_store_create(argv[1]);
	store = test_store_open(argv[1]);
	add = bench_merge(store, n, 1);
	again = bench_merge(store, n, 1); /* duplicates, as a flood brings them */
	update = bench_merge(store, n, 2);
	at = clock_mono_ms();
	for (uint64_t i = 0; i < 200; i++) {
		struct row_key key = bench_key(i % n);

		test_merge(store, &key, 3, 3 + i, VALUE_BYTES);
		test_store_wait(store);
	}
	alone = (double)(clock_mono_ms() - at) / 200;
	store_close(store);
	at = clock_mono_ms();
	store = test_store_open(argv[1]);
	open_ms = clock_mono_ms() - at;
	at = clock_mono_ms();
	store_each(store, see, &seen);
	each_ms = clock_mono_ms() - at;
	at = clock_mono_ms();
	for (int i = 0; i < 100; i++)
		store_digests(store, zero, 0, 8, children);
	digests_ms = clock_mono_ms() - at;
	at = clock_mono_ms();
	test_store_differences(store);
	verify_ms = clock_mono_ms() - at;
	store_stats(store, &stats);
	printf("{\"bench\":\"store\",\"rows\":%" PRIu64
	       ",\"add_us\":%.2f,\"again_us\":%.2f,"
	       "\"update_us\":%.2f,\"commit_alone_ms\":%.2f,\"open_ms\":%" PRId64
	       ",\"each_ms\":%" PRId64 ",\"digests256_ms\":%.3f,\"verify_ms\":%" PRId64
	       ",\"bits\":%d,\"map_bytes\":%" PRIu64 "}\n",
	       seen, add, again, update, alone, open_ms, each_ms,
	       (double)digests_ms / 100, verify_ms, stats.bucket_bits, stats.map_bytes);
	return store_close(store) == 0 ? 0 : 1;
}
