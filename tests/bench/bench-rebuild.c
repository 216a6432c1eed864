/* SPDX-License-Identifier: Apache-2.0 */
/* All digests from the rows: how long it takes to sum them, and to write them anew as when
 * the buckets grow or a store is repaired. The baseline is a reading of the same rows, byte
 * by byte eight at a time, through a cursor. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "store/private.h"

enum { ROWS = 1000000 };

static double
bench_sum(struct store *store)
{
	struct store_digest *slots, root;
	double start = bench_now();
	MDB_txn *txn;

	bench_must(env_read_begin(store, &txn), "reading");
	bench_must(buckets_sum(store, txn, store->root.bits, &slots, &root), "summing");
	bench_must(u128_equal(root.sum, store->root.digest.sum) ? 0 : -OCF_ECORRUPT,
		   "the sum");
	env_read_end(store, txn);
	free(slots);
	return bench_now() - start;
}

static int
bench_rebuild_write(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return buckets_rebuild(store, txn, &store->root);
}

static double
bench_rebuild(struct store *store)
{
	double start = bench_now();

	pthread_mutex_lock(&store->write_lock);
	bench_must(env_write(store, bench_rebuild_write, NULL), "rebuilding");
	pthread_mutex_unlock(&store->write_lock);
	return bench_now() - start;
}

static double
bench_scan(struct store *store, uint64_t *ret_sum)
{
	double start = bench_now();
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;

	bench_must(env_read_begin(store, &txn), "reading");
	bench_must(mdb_cursor_open(txn, store->rows, &cursor), "LMDB");
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		const uint8_t *p = value.mv_data;

		for (size_t i = 0; i + 8 <= value.mv_size; i += 8) {
			uint64_t word;

			memcpy(&word, p + i, 8);
			*ret_sum += word;
		}
	}
	mdb_cursor_close(cursor);
	env_read_end(store, txn);
	return bench_now() - start;
}

int
main(int argc, char **argv)
{
	double sum[BENCH_RUNS], rebuild[BENCH_RUNS], scan[BENCH_RUNS];
	char *dir = bench_folder(argc > 1 ? argv[1] : NULL, "store");
	struct store *store = bench_store_make(dir);
	uint64_t n = bench_rows(ROWS), content = 0;
	struct bench_stream s;

	bench_stream_make(store, n, 1, &s);
	bench_store_fill(store, &s);
	bench_stream_fini(&s);
	for (int i = 0; i < BENCH_RUNS; i++) {
		scan[i] = bench_scan(store, &content);
		sum[i] = bench_sum(store);
		rebuild[i] = bench_rebuild(store);
	}
	printf("{\"bench\":\"rebuild\",\"rows\":%" PRIu64 ",\"bits\":%d,\"sum_s\":%.3f,"
	       "\"rebuild_s\":%.3f,\"scan_s\":%.3f",
	       n, store->root.bits, bench_median(sum, BENCH_RUNS),
	       bench_median(rebuild, BENCH_RUNS), bench_median(scan, BENCH_RUNS));
	printf(",\"ratio\":%.2f}\n", sum[BENCH_RUNS / 2] / scan[BENCH_RUNS / 2]);
	bench_must(store_close(store), "closing");
	free(dir);
	return content != 0 ? 0 : 1;
}
