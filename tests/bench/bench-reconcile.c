/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to find how two tables differ, and to make them equal: bench-reconcile FOLDER
 * [ROWS…] ($OCF_BENCH_ROWS, or 10000 100000 1000000). Two stores of LMDB, the session that
 * ocfd drives over src/daemon/replica.c, and rows with the codec's bytes. One JSON line for
 * each number of rows and of differences, half of which are on each side, spread at random:
 *
 *   discovery_bytes   frames both ways with their headers, rows excluded; row_bytes: those
 *   legs              messages one after the other
 *   cpu_ms            of both sides together, for comparing; merging rows is bench-merge's
 *
 * and beside it the bytes and the time of negentropy's C++ reference for the same
 * (range-based reconciliation; commit 6edb041; a B-tree in memory). Building the stores is not
 * counted. The folder must be empty and is left. */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/codec.h"
#include "daemon/replica.h"
#include "ident/sha256.h"
#include "store/store.h"
#include "sync/sync.h"

enum { SIDES = 2, VALUE_BYTES = 250, WORKERS = 100 /* of a node */ };

static const uint64_t wall_ms = UINT64_C(1790000000000);

/* On its way to a side. */
struct item {
	struct item *next;
	struct sync_event event;
	int to;
	struct buf data;
};

struct world {
	struct store *stores[SIDES];
	struct sync *sync[SIDES];
	struct item *first, **last;
	struct sync_result result;
	bool is_done;
	double cpu_ms;
};

static void
must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench-reconcile: %s: %s\n", what, error_text(rc));
	exit(1);
}

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

/* ---- stores ---- */

static struct row_key
row_key_of(uint64_t i)
{
	struct row_key key;
	struct id owner;
	struct rng rng;
	char name[16];

	rng_init(&rng, i / WORKERS + 1);
	put_be64(owner.b, rng_next(&rng));
	put_be64(owner.b + 8, rng_next(&rng));
	snprintf(name, sizeof(name), "%d", (int)(i % WORKERS));
	must(row_key_make(&owner, ROW_WORKER, name, &key), "a key");
	return key;
}

static void
on_durable(void *arg, int rc)
{
	must(rc, "changes could not be made durable");
	sem_post(arg);
}

static void
store_wait(struct store *store)
{
	sem_t done;

	sem_init(&done, 0, 0);
	store_sync(store, on_durable, &done);
	while (sem_wait(&done) != 0)
		;
	sem_destroy(&done);
}

/* NULL: it is gone, without a trace. */
static void
row_put(struct store *store, const struct row_key *key, const struct row *row)
{
	struct row none = ROW_INIT;
	bool is_changed;
	int rc;

	do {
		rc = row == NULL ? store_replace(store, key, &none)
				 : store_merge(store, key, row, &is_changed, NULL);
		if (rc == -EAGAIN)
			store_wait(store);
	} while (rc == -EAGAIN);
	must(rc, "a row");
}

static void
row_make(uint64_t i, struct row *ret_row)
{
	struct version v = { .dot = { 7, i + 1 }, .stamp = wall_ms - MS_HOUR };
	uint8_t signature[ROW_SIGNATURE_BYTES], *value = mem_alloc(VALUE_BYTES);
	struct rng rng;

	rng_init(&rng, i);
	for (size_t k = 0; k < sizeof(signature); k++)
		signature[k] = (uint8_t)rng_next(&rng);
	for (int k = 0; k < VALUE_BYTES; k++)
		value[k] = (uint8_t)rng_next(&rng);
	v.value = bytes_of(value, VALUE_BYTES);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, ret_row);
}

static void
row_write(struct world *w, uint64_t i, bool is_here, bool is_there)
{
	struct row_key key = row_key_of(i);
	struct row row;

	row_make(i, &row);
	if (is_here)
		row_put(w->stores[0], &key, &row);
	if (is_there)
		row_put(w->stores[1], &key, &row);
	row_fini(&row);
}

static void
world_open(struct world *w, const char *folder, uint64_t rows)
{
	struct store_constants constants = { .cluster = { { 0xbe } },
					     .retention_ms = 7 * (ms_t)MS_DAY,
					     .rows_per_node = 16384 };

	*w = (struct world){ .last = NULL };
	w->last = &w->first;
	for (int i = 0; i < SIDES; i++) {
		char *dir = mem_printf("%s/%" PRIu64 ".%d", folder, rows, i);
		struct store_config config = { .dir = dir, .sha256 = ident_sha256 };
		struct errmsg err = { "" };

		must(store_create(dir, &constants, &err), err.text);
		must(store_open(&config, &w->stores[i], &err), err.text);
		free(dir);
	}
	for (uint64_t i = 0; i < rows; i++)
		row_write(w, i, true, true);
	for (int i = 0; i < SIDES; i++)
		store_wait(w->stores[i]);
}

static void
world_close(struct world *w)
{
	for (int i = 0; i < SIDES; i++)
		must(store_close(w->stores[i]), "closing a store");
}

/* ---- two cores, joined by queues without latency ---- */

static struct item *
world_queue(struct world *w, int to, enum sync_event_type type)
{
	struct item *item = mem_calloc(1, sizeof(*item));

	item->to = to;
	item->event.type = type;
	item->event.link = 1;
	item->event.wall_ms = wall_ms;
	*w->last = item;
	w->last = &item->next;
	return item;
}

static void
world_act(struct world *w, int from, const struct sync_action *a)
{
	struct sync_table table = replica_table(w->stores[from]);
	struct item *item;
	double start;

	switch (a->type) {
	case SYNC_ACTION_SEND:
	case SYNC_ACTION_SEND_ROWS:
		item = world_queue(w, 1 - from,
				   a->type == SYNC_ACTION_SEND ? SYNC_EVENT_FRAME
							       : SYNC_EVENT_ROWS);
		buf_put_bytes(&item->data, a->data);
		buf_put_bytes(&item->data, a->rows);
		break;
	case SYNC_ACTION_READ:
		item = world_queue(w, from, SYNC_EVENT_READ_DONE);
		item->event.number = a->number;
		start = cpu_ms();
		item->event.made = sync_compare(&table, a->job);
		w->cpu_ms += cpu_ms() - start;
		break;
	case SYNC_ACTION_SETTLE:
		item = world_queue(w, from, SYNC_EVENT_SETTLED);
		item->event.number = a->number;
		break;
	case SYNC_ACTION_HORIZON: /* both are 0 */
	case SYNC_ACTION_REJECT:
		must(-OCF_EMALFORMED, a->why != NULL ? a->why : "a horizon");
		break;
	case SYNC_ACTION_DONE:
		w->result = *a->result;
		w->is_done = true;
		break;
	}
}

static uint64_t
world_merge(struct world *w, int to, struct bytes rows)
{
	struct reader r = reader_of(rows);
	uint64_t n = 0;

	for (; r.len > 0; n++) {
		struct row_key key;
		struct row row;

		must(codec_read_key(&r, &key), "a key that was sent");
		must(codec_read_row(&r, ident_sha256, &row), "a row that was sent");
		row_put(w->stores[to], &key, &row);
		row_fini(&row);
	}
	return n;
}

static void
world_step(struct world *w, int to, struct sync_event *e)
{
	double start = cpu_ms();
	struct sync_action a;

	sync_step(w->sync[to], 1, e);
	w->cpu_ms += cpu_ms() - start;
	while (sync_next(w->sync[to], &a))
		world_act(w, to, &a);
}

static void
world_pump(struct world *w)
{
	while (w->first != NULL) {
		struct item *item = w->first;
		struct sync_event *e = &item->event;

		w->first = item->next;
		if (w->first == NULL)
			w->last = &w->first;
		e->data = buf_bytes(&item->data);
		e->bytes = e->data.len;
		if (e->type == SYNC_EVENT_ROWS)
			e->len = world_merge(w, item->to, e->data);
		if (e->type == SYNC_EVENT_SETTLED)
			store_wait(w->stores[item->to]);
		world_step(w, item->to, e);
		buf_fini(&item->data);
		free(item);
	}
}

static void
world_run(struct world *w, uint64_t seed)
{
	w->is_done = false;
	w->cpu_ms = 0;
	for (int i = 0; i < SIDES; i++) {
		struct sync_config config = { .seed = seed + (uint64_t)i };

		config.self.b[0] = (uint8_t)(i + 1);
		w->sync[i] = sync_new(&config, 0);
	}
	for (int i = 0; i < SIDES; i++) {
		struct sync_event e = { .type = SYNC_EVENT_LINK_UP,
					.link = 1,
					.wall_ms = wall_ms };

		e.node.b[0] = (uint8_t)(2 - i);
		world_step(w, i, &e);
	}
	world_step(w, 0,
		   &(struct sync_event){ .type = SYNC_EVENT_START,
					 .link = 1,
					 .request = 1,
					 .wall_ms = wall_ms });
	world_pump(w);
	for (int i = 0; i < SIDES; i++)
		sync_free(w->sync[i]);
}

/* ---- measuring ---- */

static const struct reference {
	uint64_t rows, differ, bytes;
	double ms;
} references[] = {
	{ 10000, 0, 339, 0.24 },	 { 10000, 1, 1075, 0.23 },
	{ 10000, 10, 6756, 1.2 },	 { 10000, 100, 41915, 6.3 },
	{ 10000, 1000, 166535, 17 },	 { 10000, 10000, 422603, 19 },
	{ 100000, 0, 338, 0.44 },	 { 100000, 1, 1771, 0.44 },
	{ 100000, 10, 14237, 2.2 },	 { 100000, 100, 111028, 9.8 },
	{ 100000, 1000, 787723, 29 },	 { 100000, 10000, 3017925, 51 },
	{ 1000000, 0, 338, 0.9 },	 { 1000000, 1, 2356, 0.9 },
	{ 1000000, 10, 19513, 5.8 },	 { 1000000, 100, 163850, 36 },
	{ 1000000, 1000, 1365517, 148 }, { 1000000, 10000, 10494931, 536 },
};

static void
bench_print(const struct world *w, uint64_t rows, uint64_t differ)
{
	const struct sync_result *r = &w->result;
	uint64_t bytes = r->sent_bytes + r->received_bytes;

	printf("{\"bench\":\"reconcile\",\"rows\":%" PRIu64 ",\"diff\":%" PRIu64
	       ",\"discovery_bytes\":%" PRIu64 ",\"row_bytes\":%" PRIu64
	       ",\"legs\":%d,\"cpu_ms\":%.2f",
	       rows, differ, bytes, r->sent_row_bytes + r->received_row_bytes, r->legs,
	       w->cpu_ms);
	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
		if (references[i].rows == rows && references[i].differ == differ)
			printf(",\"negentropy_bytes\":%" PRIu64
			       ",\"bytes_ratio\":%.3f,\"negentropy_cpu_ms\":%.2f",
			       references[i].bytes,
			       (double)bytes / (double)references[i].bytes,
			       references[i].ms);
	printf("}\n");
	fflush(stdout);
}

static void
bench_one(struct world *w, uint64_t rows, uint64_t differ)
{
	for (uint64_t i = 0; i < differ; i++)
		row_write(w, rows + i, i % 2 == 0, i % 2 == 1);
	for (int i = 0; i < SIDES; i++)
		store_wait(w->stores[i]);
	world_run(w, rows + differ);
	bench_print(w, rows, differ);
	if (!w->is_done || w->result.rc != 0 || !w->result.is_equal ||
	    w->result.rows_sent + w->result.rows_received != differ)
		must(-EIO, w->result.why);
	for (uint64_t i = 0; i < differ; i++) {
		struct row_key key = row_key_of(rows + i);

		for (int k = 0; k < SIDES; k++)
			row_put(w->stores[k], &key, NULL);
	}
	for (int i = 0; i < SIDES; i++)
		store_wait(w->stores[i]);
}

int
main(int argc, char **argv)
{
	static const uint64_t differ[] = { 0, 1, 10, 100, 1000, 10000 };
	uint64_t sizes[16] = { 10000, 100000, 1000000 };
	int sizes_len = 3;
	const char *rows = getenv("OCF_BENCH_ROWS");
	struct world w;

	if (argc < 2) {
		fprintf(stderr, "usage: bench-reconcile FOLDER [ROWS…]\n");
		return EXIT_STATUS_USAGE;
	}
	if (rows != NULL && strtoull(rows, NULL, 10) > 0) {
		sizes[0] = strtoull(rows, NULL, 10);
		sizes_len = 1;
	}
	for (int i = 2; i < argc && i < 18; i++) {
		sizes[i - 2] = strtoull(argv[i], NULL, 0);
		sizes_len = i - 1;
	}
	for (int i = 0; i < sizes_len; i++) {
		world_open(&w, argv[1], sizes[i]);
		for (int k = 0; k < 6; k++)
			if (sizes[i] >= differ[k])
				bench_one(&w, sizes[i], differ[k]);
		world_close(&w);
	}
	return 0;
}
