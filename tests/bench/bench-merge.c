/* SPDX-License-Identifier: Apache-2.0 */
/* Rows merged from a session, which brings them in the order of K: rows a second in memory
 * (decoded, merged into the state held, trimmed by the horizon), and into the store until
 * they are durable: rows that it did not hold, the same ones again, and newer states of
 * rows that it holds. "cpu_us" is the time of all processors a row. Signatures are checked
 * elsewhere, on threads of their own. The baseline is LMDB alone: one mdb_put a row of the
 * same bytes, in the same order, 1,024 a transaction. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "bench/bench.h"
#include "crdt/codec.h"
#include "crdt/lease.h"
#include "ident/sha256.h"

enum { ROWS = 200000, MEMORY_ROWS = 100000, PER_COMMIT = 1024 };

/* Rows a second: what comes is newer than what is held. */
static double
bench_in_memory(const struct bench_stream *old, const struct bench_stream *new)
{
	struct leases *leases = leases_new(&(struct id){ { 0 } }, 7 * (ms_t)MS_DAY);
	uint64_t n = new->n < MEMORY_ROWS ? new->n : MEMORY_ROWS;
	struct reader held = reader_of(buf_bytes(&old->data));
	struct reader come = reader_of(buf_bytes(&new->data));
	struct row *rows = mem_calloc(n, sizeof(rows[0]));
	struct row_key *keys = mem_calloc(n, sizeof(keys[0]));
	double start;

	for (uint64_t i = 0; i < n; i++) {
		struct row_key node = bench_node_key(old->places[i].row);
		struct row row;

		bench_node_row(old->places[i].row, &row);
		leases_note(leases, &node, &row);
		row_fini(&row);
		bench_must(codec_read_key(&held, &keys[i]), "a key");
		bench_must(codec_read_row(&held, ident_sha256, &rows[i]), "a row");
	}
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		struct row_key key;
		struct row row;

		bench_must(codec_read_key(&come, &key), "a key");
		bench_must(codec_read_row(&come, ident_sha256, &row), "a row");
		bench_must(row_merge(&rows[i], &row) ? 0 : -EINVAL, "nothing new");
		leases_sweep(leases, &key, &rows[i]);
		row_fini(&row);
	}
	start = bench_now() - start;
	for (uint64_t i = 0; i < n; i++)
		row_fini(&rows[i]);
	free(rows);
	free(keys);
	leases_free(leases);
	return (double)n / start;
}

static double
bench_store(struct store *store, const struct bench_stream *s, double *ret_cpu_us)
{
	double start = bench_now(), cpu = bench_cpu();

	bench_store_fill(store, s);
	*ret_cpu_us = (bench_cpu() - cpu) * 1e6 / (double)s->n;
	return (double)s->n / (bench_now() - start);
}

static double
bench_lmdb(const char *dir, const struct bench_stream *s)
{
	MDB_dbi dbi;
	MDB_env *env = bench_lmdb_open(dir, 2 * s->data.len + (64U << 20), &dbi);
	double start = bench_now();

	for (uint64_t i = 0; i < s->n;) {
		MDB_txn *txn;

		bench_must(mdb_txn_begin(env, NULL, 0, &txn), "LMDB");
		for (int j = 0; j < PER_COMMIT && i < s->n; j++, i++) {
			struct bench_place *place = &s->places[i];
			MDB_val key = { STORE_K_BYTES, place->k };
			MDB_val value = { place->len, s->data.data + place->at };

			bench_must(mdb_put(txn, dbi, &key, &value, 0), "LMDB");
		}
		bench_must(mdb_txn_commit(txn), "LMDB");
	}
	start = bench_now() - start;
	mdb_env_close(env);
	return (double)s->n / start;
}

struct figures {
	double memory[BENCH_RUNS];
	double fresh[BENCH_RUNS], again[BENCH_RUNS], newer[BENCH_RUNS];
	double fresh_cpu[BENCH_RUNS], cpu;
	double lmdb[BENCH_RUNS];
};

static void
bench_run(const char *folder, uint64_t n, int run, struct figures *f)
{
	static struct bench_stream first, second;
	char names[2][3] = { { 'r', (char)('0' + run) }, { 'l', (char)('0' + run) } };
	char *dir = bench_folder(folder, names[0]);
	struct store *store = bench_store_make(dir);

	if (run == 0) { /* the same for all: the table key is the cluster's */
		bench_stream_make(store, n, 1, &first);
		bench_stream_make(store, n, 2, &second);
	}
	f->memory[run] = bench_in_memory(&first, &second);
	f->fresh[run] = bench_store(store, &first, &f->fresh_cpu[run]);
	f->again[run] = bench_store(store, &first, &f->cpu);
	f->newer[run] = bench_store(store, &second, &f->cpu);
	bench_must(store_close(store), "closing");
	free(dir);
	dir = bench_folder(folder, names[1]);
	f->lmdb[run] = bench_lmdb(dir, &first);
	free(dir);
	if (run == BENCH_RUNS - 1) {
		bench_stream_fini(&first);
		bench_stream_fini(&second);
	}
}

int
main(int argc, char **argv)
{
	uint64_t n = bench_rows(ROWS);
	struct figures f;

	for (int i = 0; i < BENCH_RUNS; i++)
		bench_run(argc > 1 ? argv[1] : NULL, n, i, &f);
	printf("{\"bench\":\"merge\",\"rows\":%" PRIu64 ",\"memory_per_s\":%.0f,"
	       "\"store_per_s\":%.0f,\"cpu_us\":%.2f,\"again_per_s\":%.0f,"
	       "\"newer_per_s\":%.0f,\"lmdb_per_s\":%.0f",
	       n, bench_median(f.memory, BENCH_RUNS), bench_median(f.fresh, BENCH_RUNS),
	       bench_median(f.fresh_cpu, BENCH_RUNS), bench_median(f.again, BENCH_RUNS),
	       bench_median(f.newer, BENCH_RUNS), bench_median(f.lmdb, BENCH_RUNS));
	printf(",\"ratio\":%.3f}\n", f.fresh[BENCH_RUNS / 2] / f.lmdb[BENCH_RUNS / 2]);
	return 0;
}
