/* SPDX-License-Identifier: Apache-2.0 */
/* Durable puts a second through the store, by the number of rows in a commit, and the same
 * bytes put by LMDB alone: the same records under the same keys in one database, one
 * mdb_put each, committed and synced as often. Both begin with the same table; then come
 * rows that it does not hold ("new"), and newer states of these ("newer"), in no order.
 * "pages" are what a put writes, in pages of 4 KiB. Runs alternate between the two. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "bench/bench.h"
#include "crdt/codec.h"
#include "ident/sha256.h"

enum { ROWS = 100000, SIZES = 4, PAGE_BYTES = 4096 };

static const int sizes[SIZES] = { 1, 16, 128, 1024 };
static const int commits[SIZES] = { 200, 150, 80, 25 };

struct put {
	struct row_key key;
	struct row row;
	uint8_t k[STORE_K_BYTES];
	struct buf record;
};

struct measure {
	double per_s[BENCH_RUNS];
	double pages[BENCH_RUNS];
};

struct bench {
	struct store *store;
	MDB_env *env;
	MDB_dbi dbi;
	struct put *puts;
	int n, per;
};

static void
puts_make(struct bench *b, uint64_t first, uint64_t seq)
{
	b->puts = mem_calloc((size_t)b->n, sizeof(b->puts[0]));
	for (int i = 0; i < b->n; i++) {
		struct put *put = &b->puts[i];

		put->key = bench_key(first + (uint64_t)i);
		bench_row(first + (uint64_t)i, seq, &put->row);
		digest_key(store_table_key(b->store), &put->key, ident_sha256, put->k);
		codec_put_key(&put->record, &put->key);
		codec_put_row(&put->record, &put->row);
	}
}

static void
puts_free(struct bench *b)
{
	for (int i = 0; i < b->n; i++) {
		row_fini(&b->puts[i].row);
		buf_fini(&b->puts[i].record);
	}
	free(b->puts);
}

static void
put_ours(struct bench *b)
{
	for (int i = 0; i < b->n; i++) {
		bool is_changed = false;

		bench_must(store_merge(b->store, &b->puts[i].key, &b->puts[i].row,
				       &is_changed, NULL),
			   "merging");
		bench_must(is_changed ? 0 : -EINVAL, "a row that changes nothing");
		if ((i + 1) % b->per == 0)
			bench_store_wait(b->store);
	}
}

static void
put_bare(struct bench *b)
{
	for (int i = 0; i < b->n;) {
		MDB_txn *txn;

		bench_must(mdb_txn_begin(b->env, NULL, 0, &txn), "LMDB");
		for (int j = 0; j < b->per; j++, i++) {
			struct put *put = &b->puts[i];
			MDB_val key = { STORE_K_BYTES, put->k };
			MDB_val value = { put->record.len, put->record.data };

			bench_must(mdb_put(txn, b->dbi, &key, &value, 0), "LMDB");
		}
		bench_must(mdb_txn_commit(txn), "LMDB");
	}
}

static void
measure(struct bench *b, void (*fn)(struct bench *b), struct measure *m, int run)
{
	uint64_t written = bench_written();
	double start = bench_now();

	fn(b);
	m->per_s[run] = b->n / (bench_now() - start);
	m->pages[run] = (double)(bench_written() - written) / PAGE_BYTES / b->n;
}

/* {new, newer} × {ours, bare} */
static void
bench_size(struct bench *b, int size, uint64_t *first)
{
	static const char *const names[2] = { "new", "newer" };
	struct measure ours[2], bare[2];

	b->per = sizes[size];
	b->n = sizes[size] * commits[size];
	for (int run = 0; run < BENCH_RUNS; run++) {
		for (int again = 0; again < 2; again++) {
			puts_make(b, *first, (uint64_t)again + 1);
			measure(b, put_ours, &ours[again], run);
			measure(b, put_bare, &bare[again], run);
			puts_free(b);
		}
		*first += (uint64_t)b->n;
	}
	printf("%s{\"per_commit\":%d", size > 0 ? "," : "", b->per);
	for (int again = 0; again < 2; again++) {
		double mine = bench_median(ours[again].per_s, BENCH_RUNS);
		double theirs = bench_median(bare[again].per_s, BENCH_RUNS);

		printf(",\"%s\":{\"per_s\":%.0f,\"lmdb_per_s\":%.0f,\"ratio\":%.2f,"
		       "\"pages\":%.2f,\"lmdb_pages\":%.2f}",
		       names[again], mine, theirs, mine / theirs,
		       bench_median(ours[again].pages, BENCH_RUNS),
		       bench_median(bare[again].pages, BENCH_RUNS));
	}
	printf("}");
	fflush(stdout);
}

static void
bench_fill(struct bench *b, uint64_t n)
{
	struct bench_stream s;
	MDB_txn *txn;

	bench_stream_make(b->store, n, 1, &s);
	bench_store_fill(b->store, &s);
	bench_must(mdb_txn_begin(b->env, NULL, 0, &txn), "LMDB");
	for (uint64_t i = 0; i < n; i++) {
		MDB_val key = { STORE_K_BYTES, s.places[i].k };
		MDB_val value = { s.places[i].len, s.data.data + s.places[i].at };

		bench_must(mdb_put(txn, b->dbi, &key, &value, 0), "LMDB");
	}
	bench_must(mdb_txn_commit(txn), "LMDB");
	bench_stream_fini(&s);
}

int
main(int argc, char **argv)
{
	uint64_t n = bench_rows(ROWS), first = n;
	char *dir = bench_folder(argc > 1 ? argv[1] : NULL, "ours");
	char *bare = bench_folder(argv[1], "bare");
	struct bench b = { .store = bench_store_make(dir) };

	b.env = bench_lmdb_open(bare, (size_t)4 << 30, &b.dbi);
	bench_fill(&b, n);
	printf("{\"bench\":\"store_put\",\"rows\":%" PRIu64 ",\"commits\":[", n);
	for (int size = 0; size < SIZES; size++)
		bench_size(&b, size, &first);
	printf("]}\n");
	mdb_env_close(b.env);
	bench_must(store_close(b.store), "closing");
	free(dir);
	free(bare);
	return 0;
}
