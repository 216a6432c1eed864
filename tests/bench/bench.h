/* SPDX-License-Identifier: Apache-2.0 */
/* What the benches share: a clock, medians, and a table as a cluster has it. Each bench is a
 * program, tests/bench/bench-NAME FOLDER, which makes its stores under the folder, prints
 * one JSON line and leaves removing the folder to its caller (make bench). $OCF_BENCH_ROWS
 * sets another number of rows. Figures are for a quiet machine; what counts on any other is
 * their ratio to the baseline that was measured in the same run. */
#ifndef OCF_TESTS_BENCH_H
#define OCF_TESTS_BENCH_H

#include <lmdb.h>

#include "store/store.h"

enum {
	BENCH_RUNS = 5, /* of which the median is told */
	/* The table: nodes with workers, each of which offers one service with one match. */
	BENCH_WORKERS = 100, /* of a node */
	BENCH_SERVICES = 200,
	BENCH_MATCHES = 1000, /* of a service */
};

double bench_now(void); /* seconds */
double bench_cpu(void); /* of the processors, all threads */
double bench_median(double *values, int n);
uint64_t bench_rows(uint64_t otherwise);
/* FOLDER/NAME of the program's argument, made anew; free(3) it. Ends the program when it
 * cannot be. */
char *bench_folder(const char *folder, const char *name);
/* End with the sentence unless rc is 0. */
void bench_must(int rc, const char *what);

/* Row i of the table: BENCH_WORKERS worker rows of each node, one node after the other. */
struct row_key bench_key(uint64_t i);
/* The node row of row i's owner. */
struct row_key bench_node_key(uint64_t i);
/* Its state after `seq` writes, with a value as a worker's row has it (about 200 bytes); not
 * truly signed. row_fini it. */
void bench_row(uint64_t i, uint64_t seq, struct row *ret_row);
void bench_node_row(uint64_t i, struct row *ret_row);
void bench_service(uint64_t i, char out[16]);
void bench_match(uint64_t i, char out[32]);

/* Rows in the order of K, as a session brings them: key | state, joined. */
struct bench_stream {
	struct buf data;
	struct bench_place {
		uint8_t k[STORE_K_BYTES];
		uint64_t row;
		size_t at, len;
	} * places;
	uint64_t n;
};
/* Rows 0…n-1 after `seq` writes, for this store. */
void bench_stream_make(struct store *store, uint64_t n, uint64_t seq,
		       struct bench_stream *ret_stream);
void bench_stream_fini(struct bench_stream *s);

struct store *bench_store_open(const char *dir);
struct store *bench_store_make(const char *dir); /* and open it */
/* Until all changes are durable. */
void bench_store_wait(struct store *store);
/* Merge all rows of the stream, until they are durable. */
void bench_store_fill(struct store *store, const struct bench_stream *s);
/* LMDB alone, with one database and room for `bytes`. */
MDB_env *bench_lmdb_open(const char *dir, size_t bytes, MDB_dbi *ret_dbi);
/* Bytes that this process handed to write(2) and its like. */
uint64_t bench_written(void);

#endif
