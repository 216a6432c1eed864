/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bench/bench.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/codec.h"
#include "crdt/digest.h"
#include "ident/sha256.h"

enum { BENCH_ROWS_PER_NODE = 16384 };
#define BENCH_STAMP UINT64_C(1790000000000)

double
bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double
bench_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(values[0]), bench_compare);
	return values[n / 2];
}

uint64_t
bench_rows(uint64_t otherwise)
{
	const char *text = getenv("OCF_BENCH_ROWS");
	uint64_t n = text != NULL ? strtoull(text, NULL, 10) : 0;

	return n > 0 ? n : otherwise;
}

void
bench_must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what,
		rc > 0 ? mdb_strerror(rc) : error_text(rc));
	exit(1);
}

char *
bench_folder(const char *folder, const char *name)
{
	char *path;

	if (folder == NULL) {
		fprintf(stderr, "usage: bench-NAME FOLDER (or: make bench BENCH=NAME)\n");
		exit(2);
	}
	path = mem_printf("%s/%s", folder, name);
	bench_must(mkdir(path, 0700) == 0 ? 0 : -errno, path);
	return path;
}

/* ---- the table ---- */

/* Ids are hashes of keys: spread evenly, in no order. */
static void
bench_owner(uint64_t node, struct id *ret_id)
{
	struct rng rng;

	rng_init(&rng, node + 1);
	put_be64(ret_id->b, rng_next(&rng));
	put_be64(ret_id->b + 8, rng_next(&rng));
}

struct row_key
bench_key(uint64_t i)
{
	struct row_key key;
	struct id owner;
	char name[16];

	bench_owner(i / BENCH_WORKERS, &owner);
	snprintf(name, sizeof(name), "%d", (int)(i % BENCH_WORKERS));
	bench_must(row_key_make(&owner, ROW_WORKER, name, &key), name);
	return key;
}

struct row_key
bench_node_key(uint64_t i)
{
	struct row_key key;
	struct id owner;

	bench_owner(i / BENCH_WORKERS, &owner);
	bench_must(row_key_make(&owner, ROW_NODE, "", &key), "a node's key");
	return key;
}

/* A worker's service and match follow from a hash of its number, so that those of one kind
 * are on different nodes. */
static uint64_t
bench_kind(uint64_t i)
{
	struct rng rng;

	rng_init(&rng, i);
	return rng_below(&rng, (uint64_t)BENCH_SERVICES * BENCH_MATCHES);
}

void
bench_service(uint64_t i, char out[16])
{
	snprintf(out, 16, "svc-%03d", (int)(bench_kind(i) % BENCH_SERVICES));
}

void
bench_match(uint64_t i, char out[32])
{
	snprintf(out, 32, "model=model-%03d", (int)(bench_kind(i) / BENCH_SERVICES));
}

static void
bench_version(uint64_t seed, uint64_t seq, struct bytes value, struct row *ret_row)
{
	struct version v = { .stamp = BENCH_STAMP + seq };
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct rng rng;

	rng_init(&rng, seed / BENCH_WORKERS);
	v.dot = (struct dot){ rng_next(&rng), 1000 + seed % BENCH_WORKERS + 1000 * seq };
	if (seq > 1)
		v.context[v.context_len++] = (struct dot){ v.dot.actor,
							   v.dot.seq - 1000 };
	for (int i = 0; i < ROW_SIGNATURE_BYTES; i += 8)
		put_be64(signature + i, rng_next(&rng));
	v.value = bytes_of(mem_dup(value.data, value.len), value.len);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, ret_row);
}

void
bench_row(uint64_t i, uint64_t seq, struct row *ret_row)
{
	char text[512], service[16], match[32];
	int len;

	bench_service(i, service);
	bench_match(i, match);
	len = snprintf(text, sizeof(text),
		       "{\"hardware\":{\"cpus\":8,\"gpus\":[{\"memory\":25769803776,"
		       "\"name\":\"NVIDIA L4\"}],\"memory\":67108864000},"
		       "\"id\":\"worker-%07" PRIu64
		       "\",\"metadata\":{\"writes\":\"%" PRIu64
		       "\"},\"services\":[{\"match\":[\"%s\"],\"name\":\"%s\"}],"
		       "\"slots\":4}",
		       i, seq, match, service);
	bench_version(i, seq, bytes_of(text, (size_t)len), ret_row);
}

void
bench_node_row(uint64_t i, struct row *ret_row)
{
	char text[512];
	int len = snprintf(
		text, sizeof(text),
		"{\"addresses\":[\"192.0.2.7:8093\"],\"cert\":\"bm9uZQ==\",\"hardware\":"
		"{\"cpus\":64,\"gpus\":[],\"memory\":270582939648},\"inbound\":"
		"true,\"incarnation\":1,\"labels\":{},\"name\":\"node-%05" PRIu64
		"\",\"region\":\"eu\",\"version\":\"0.1\"}",
		i / BENCH_WORKERS);

	bench_version(i, 1, bytes_of(text, (size_t)len), ret_row);
}

/* ---- what a session brings ---- */

static int
bench_by_k(const void *a, const void *b)
{
	return memcmp(((const struct bench_place *)a)->k,
		      ((const struct bench_place *)b)->k, STORE_K_BYTES);
}

void
bench_stream_make(struct store *store, uint64_t n, uint64_t seq,
		  struct bench_stream *ret_stream)
{
	struct bench_stream s = { .n = n };

	s.places = mem_calloc(n, sizeof(s.places[0]));
	for (uint64_t i = 0; i < n; i++) {
		struct row_key key = bench_key(i);

		digest_key(store_table_key(store), &key, ident_sha256, s.places[i].k);
		s.places[i].row = i;
	}
	qsort(s.places, n, sizeof(s.places[0]), bench_by_k);
	for (uint64_t i = 0; i < n; i++) {
		struct bench_place *place = &s.places[i];
		struct row_key key = bench_key(place->row);
		struct row row;

		bench_row(place->row, seq, &row);
		place->at = s.data.len;
		codec_put_key(&s.data, &key);
		codec_put_row(&s.data, &row);
		place->len = s.data.len - place->at;
		row_fini(&row);
	}
	*ret_stream = s;
}

void
bench_stream_fini(struct bench_stream *s)
{
	buf_fini(&s->data);
	free(s->places);
}

/* ---- stores ---- */

struct store *
bench_store_open(const char *dir)
{
	struct store_config config = { .dir = dir, .sha256 = ident_sha256 };
	struct errmsg err = { "" };
	struct store *store;

	bench_must(store_open(&config, &store, &err), err.text);
	return store;
}

struct store *
bench_store_make(const char *dir)
{
	struct store_constants constants = { .cluster = { { 0xbe } },
					     .retention_ms = 7 * (ms_t)MS_DAY,
					     .rows_per_node = BENCH_ROWS_PER_NODE };
	struct errmsg err = { "" };

	bench_must(store_create(dir, &constants, &err), err.text);
	return bench_store_open(dir);
}

struct bench_wait {
	sem_t done;
	int rc;
};

static void
bench_store_waited(void *arg, int rc)
{
	struct bench_wait *w = arg;

	w->rc = rc;
	sem_post(&w->done);
}

void
bench_store_wait(struct store *store)
{
	struct bench_wait w;

	sem_init(&w.done, 0, 0);
	store_sync(store, bench_store_waited, &w);
	while (sem_wait(&w.done) != 0)
		;
	sem_destroy(&w.done);
	bench_must(w.rc, "changes could not be made durable");
}

void
bench_store_fill(struct store *store, const struct bench_stream *s)
{
	struct reader r = reader_of(buf_bytes(&s->data));

	while (r.len > 0) {
		struct row_key key;
		struct row row;
		bool is_changed;
		int rc;

		bench_must(codec_read_key(&r, &key), "a row's key");
		bench_must(codec_read_row(&r, ident_sha256, &row), "a row");
		while ((rc = store_merge(store, &key, &row, &is_changed, NULL)) ==
		       -EAGAIN)
			bench_store_wait(store);
		bench_must(rc, "a row could not be merged");
		row_fini(&row);
	}
	bench_store_wait(store);
}

MDB_env *
bench_lmdb_open(const char *dir, size_t bytes, MDB_dbi *ret_dbi)
{
	MDB_env *env;
	MDB_txn *txn;

	bench_must(mdb_env_create(&env), "LMDB");
	bench_must(mdb_env_set_maxdbs(env, 1), "LMDB");
	bench_must(mdb_env_set_mapsize(env, bytes), "LMDB");
	bench_must(mdb_env_open(env, dir, MDB_NOTLS, 0600), dir);
	bench_must(mdb_txn_begin(env, NULL, 0, &txn), "LMDB");
	bench_must(mdb_dbi_open(txn, "rows", MDB_CREATE, ret_dbi), "LMDB");
	bench_must(mdb_txn_commit(txn), "LMDB");
	return env;
}

uint64_t
bench_written(void)
{
	FILE *f = fopen("/proc/self/io", "r");
	uint64_t n = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "wchar: %" SCNu64, &n) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return n;
}
