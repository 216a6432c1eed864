/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the catalog: nanoseconds for all providers of a (service, match), the node's
 * state taken in, at fallback 0. The table's services and matches are drawn at random, so
 * that each pair is offered by 1 to 10 nodes or a little more (BENCH_SERVICES ×
 * BENCH_MATCHES pairs), and an answer has as many providers; only those with 1 to 10 are
 * asked for. What more there are costs in proportion. The baseline is one mdb_get of a row
 * by its K, in one transaction, from as many rows of the same bytes. Both are asked in an
 * order of their own at random, as queries come. Times are the processor's. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "bench/bench.h"
#include "table/catalog.h"

enum { ROWS = 1000000, QUESTIONS = 500000, ANSWER_MAX = 10 };

struct question {
	char service[16];
	char match[32];
};

static void
catalog_fill(struct catalog *c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct row_key key = bench_key(i);
		struct row row;

		if (i % BENCH_WORKERS == 0) {
			struct row_key node = bench_node_key(i);

			bench_node_row(i, &row);
			bench_must(catalog_apply(c, &node, &row, NULL), "a node row");
			row_fini(&row);
		}
		bench_row(i, 1, &row);
		bench_must(catalog_apply(c, &key, &row, NULL), "a worker row");
		row_fini(&row);
	}
}

/* Questions with 1 to ANSWER_MAX providers; how many these are in the mean. */
static double
questions_make(const struct catalog *c, uint64_t n, struct question *questions)
{
	struct catalog_providers p = { 0, 0, NULL };
	uint64_t providers = 0;
	struct rng rng;

	rng_init(&rng, 4);
	for (int i = 0; i < QUESTIONS;) {
		struct question *q = &questions[i];
		uint64_t row = rng_below(&rng, n);

		bench_service(row, q->service);
		bench_match(row, q->match);
		if (catalog_providers(c, q->service, q->match, 0, NULL, &p) !=
		    CATALOG_FOUND)
			bench_must(-EINVAL, "a row that is not found");
		if (p.len > ANSWER_MAX)
			continue;
		providers += (uint64_t)p.len;
		i++;
	}
	catalog_providers_fini(&p);
	return (double)providers / QUESTIONS;
}

static double
ask_catalog(const struct catalog *c, const struct question *questions, uint64_t *ret_seen)
{
	struct catalog_providers p = { 0, 0, NULL };
	double start = bench_cpu();

	for (int i = 0; i < QUESTIONS; i++) {
		catalog_providers(c, questions[i].service, questions[i].match, 0, NULL,
				  &p);
		*ret_seen += (uint64_t)p.len;
	}
	start = bench_cpu() - start;
	catalog_providers_fini(&p);
	return start * 1e9 / QUESTIONS;
}

static double
ask_lmdb(MDB_env *env, MDB_dbi dbi, const struct bench_stream *s, uint64_t *ret_seen)
{
	uint8_t *ks = mem_calloc(QUESTIONS, STORE_K_BYTES);
	struct rng rng;
	double start;
	MDB_txn *txn;

	rng_init(&rng, 5);
	for (int i = 0; i < QUESTIONS; i++)
		memcpy(ks + i * STORE_K_BYTES, s->places[rng_below(&rng, s->n)].k,
		       STORE_K_BYTES);
	bench_must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "LMDB");
	start = bench_cpu();
	for (int i = 0; i < QUESTIONS; i++) {
		MDB_val key = { STORE_K_BYTES, ks + i * STORE_K_BYTES }, value;

		bench_must(mdb_get(txn, dbi, &key, &value), "LMDB");
		*ret_seen += *(const uint8_t *)value.mv_data;
	}
	start = bench_cpu() - start;
	mdb_txn_abort(txn);
	free(ks);
	return start * 1e9 / QUESTIONS;
}

static void
lmdb_fill(MDB_env *env, MDB_dbi dbi, const struct bench_stream *s)
{
	MDB_txn *txn;

	bench_must(mdb_txn_begin(env, NULL, 0, &txn), "LMDB");
	for (uint64_t i = 0; i < s->n; i++) {
		MDB_val key = { STORE_K_BYTES, s->places[i].k };
		MDB_val value = { s->places[i].len, s->data.data + s->places[i].at };

		bench_must(mdb_put(txn, dbi, &key, &value, MDB_APPEND), "LMDB");
	}
	bench_must(mdb_txn_commit(txn), "LMDB");
}

int
main(int argc, char **argv)
{
	struct question *questions = mem_calloc(QUESTIONS, sizeof(questions[0]));
	double ours[BENCH_RUNS], lmdb[BENCH_RUNS], providers;
	char *dir = bench_folder(argc > 1 ? argv[1] : NULL, "bare");
	char *made = bench_folder(argv[1], "store");
	struct store *store = bench_store_make(made);
	uint64_t n = bench_rows(ROWS), seen = 0;
	struct catalog *c = catalog_new();
	struct bench_stream s;
	MDB_env *env;
	MDB_dbi dbi;

	bench_stream_make(store, n, 1, &s);
	env = bench_lmdb_open(dir, 2 * s.data.len + (64U << 20), &dbi);
	lmdb_fill(env, dbi, &s);
	catalog_fill(c, n);
	providers = questions_make(c, n, questions);
	for (int i = 0; i < BENCH_RUNS; i++) {
		ours[i] = ask_catalog(c, questions, &seen);
		lmdb[i] = ask_lmdb(env, dbi, &s, &seen);
	}
	printf("{\"bench\":\"lookup\",\"rows\":%" PRIu64
	       ",\"providers\":%.1f,\"ns\":%.0f,"
	       "\"mdb_get_ns\":%.0f",
	       n, providers, bench_median(ours, BENCH_RUNS),
	       bench_median(lmdb, BENCH_RUNS));
	printf(",\"ratio\":%.2f}\n", ours[BENCH_RUNS / 2] / lmdb[BENCH_RUNS / 2]);
	bench_must(seen > 0 ? 0 : -EINVAL, "nothing was found");
	catalog_free(c);
	mdb_env_close(env);
	bench_stream_fini(&s);
	bench_must(store_close(store), "closing");
	free(questions);
	free(made);
	free(dir);
	return 0;
}
