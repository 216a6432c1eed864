/* SPDX-License-Identifier: Apache-2.0 */
/* The writer thread: takes what is pending, commits it in one transaction, tells who
 * waits. While one commit syncs the next group gathers, so a group is as large as the
 * disk is slow; what nobody waits for gathers a moment longer. After a failure everything
 * is pending again, and the next attempt comes in a second. */
#include "config.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "base/mem.h"
#include "store/private.h"

enum {
	WRITER_RETRY_MS = 1000,
	WRITER_GATHER_MS = 5,
};

/* One transaction's work. */
struct batch {
	struct pending *rows[WRITER_ROWS_MAX];
	int n_rows;
	const struct record *records[WRITER_ROWS_MAX]; /* theirs, ascending by K */
	struct store_digest moved[WRITER_ROWS_MAX];    /* by how much each the root */
	struct pending_meta *metas;		       /* copies */
	struct root root;			       /* as it is afterwards */
	uint64_t reserve;			       /* the numbers reserved in it */
};

/* With `lock` held. */
static void
batch_take(struct store *store, struct batch *b)
{
	struct pending_meta *m;

	b->n_rows = pending_take(store, b->rows, WRITER_ROWS_MAX, WRITER_BYTES_MAX);
	for (int i = 0; i < b->n_rows; i++)
		b->records[i] = b->rows[i]->flying;
	b->metas = NULL;
	DL_FOREACH (store->metas, m) {
		struct pending_meta *copy = mem_dup(m, sizeof(*m));

		copy->value = BUF_INIT;
		buf_put_bytes(&copy->value, buf_bytes(&m->value));
		DL_APPEND(b->metas, copy);
	}
}

static void
batch_fini(struct batch *b)
{
	struct pending_meta *m, *next;

	DL_FOREACH_SAFE (b->metas, m, next) {
		buf_fini(&m->value);
		free(m);
	}
	b->metas = NULL;
}

static int
batch_by_k(const void *a, const void *b)
{
	return memcmp((*(const struct record *const *)a)->k,
		      (*(const struct record *const *)b)->k, STORE_K_BYTES);
}

/* May run more than once, each time in a fresh transaction. */
static int
batch_write(struct store *store, MDB_txn *txn, void *arg)
{
	struct batch *b = arg;
	struct pending_meta *m;
	uint64_t reserved;
	int rc;

	pthread_mutex_lock(&store->lock);
	b->root = store->root;
	b->reserve = store->reserve;
	reserved = store->reserved;
	pthread_mutex_unlock(&store->lock);
	rc = rows_apply(store, txn, b->records, b->n_rows, &b->root, b->moved);
	DL_FOREACH (b->metas, m) {
		struct bytes name = bytes_text(m->name);

		if (rc == 0)
			rc = m->value.len > 0 ? env_put(txn, store->meta, name,
							buf_bytes(&m->value))
					      : env_delete(txn, store->meta, name);
	}
	if (rc == 0 && b->reserve != reserved)
		rc = store_put_reserved(store, txn, b->reserve);
	if (rc == 0)
		rc = buckets_fit(store, txn, &b->root);
	if (rc == 0)
		rc = store_put_root(store, txn, &b->root);
	return rc;
}

/* With `lock` held, after a commit. */
static void
batch_done(struct store *store, struct batch *b)
{
	struct pending_meta *copy, *m, *next;
	ms_t now = clock_wall_ms();

	for (int i = 0; i < b->n_rows; i++) {
		struct recent change = { .stamp = b->records[i]->stamp,
					 .moved = b->moved[i] };

		recents_note(&store->recents, now, &change);
	}
	pending_done(store, b->rows, b->n_rows);
	DL_FOREACH (b->metas, copy) {
		DL_FOREACH_SAFE (store->metas, m, next) {
			if (strcmp(m->name, copy->name) != 0)
				continue;
			m->since = m->number;
			if (m->number == copy->number) {
				DL_DELETE(store->metas, m);
				buf_fini(&m->value);
				free(m);
			}
		}
	}
	store->root = b->root;
	store->reserved = b->reserve;
	store->commits++;
	store->committed_rows += (uint64_t)b->n_rows;
}

/* Commit one batch; `lock` is held before and after, not meanwhile. */
static int
writer_commit(struct store *store, struct batch *b)
{
	int before = store->error, rc;

	batch_take(store, b);
	pthread_mutex_unlock(&store->lock);
	qsort(b->records, (size_t)b->n_rows, sizeof(b->records[0]), batch_by_k);
	pthread_mutex_lock(&store->write_lock);
	rc = env_write(store, batch_write, b);
	if (rc == -OCF_ECORRUPT) {
		pthread_mutex_unlock(&store->write_lock);
		scrub_mend(store); /* tells; whether it helped is seen now */
		pthread_mutex_lock(&store->write_lock);
		rc = env_write(store, batch_write, b);
	}
	pthread_mutex_lock(&store->lock);
	if (rc == 0)
		batch_done(store, b);
	else
		pending_undo(store, b->rows, b->n_rows);
	store->error = rc;
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_unlock(&store->write_lock);
	if (rc == 0)
		pending_free(b->rows, b->n_rows);
	batch_fini(b);
	if (rc != before && rc == 0)
		store_report(store, 0, "changes are being written to %s again",
			     store->config.dir);
	else if (rc != before)
		store_report(store, rc,
			     "changes cannot be written to %s: %s; they are kept in "
			     "memory and "
			     "tried again",
			     store->config.dir, error_text(rc));
	pthread_mutex_lock(&store->lock);
	return rc;
}

/* Answer those who wait: with 0 up to what is durable, and the others too when `rc` says
 * that the last attempt failed. `lock` is held before and after. */
static void
writer_answer(struct store *store, int rc)
{
	uint64_t durable = pending_durable(store), upto = store->changes;

	while (store->waiters != NULL && (store->waiters->number <= durable ||
					  (rc != 0 && store->waiters->number <= upto))) {
		struct waiter *w = store->waiters;

		DL_DELETE(store->waiters, w);
		pthread_mutex_unlock(&store->lock);
		w->fn(w->arg, w->number <= durable ? 0 : rc);
		free(w);
		pthread_mutex_lock(&store->lock);
	}
}

static bool
writer_has_work(const struct store *store)
{
	return store->dirty != NULL || store->metas != NULL || store->is_lost ||
	       store->reserve != store->reserved;
}

static void
writer_wait(struct store *store, ms_t until)
{
	struct timespec ts = { .tv_sec = until / MS_SECOND,
			       .tv_nsec = until % MS_SECOND * 1000000 };

	pthread_cond_timedwait(&store->wake, &store->lock, &ts);
}

/* Is there no use in waiting for more? */
static bool
writer_is_urgent(const struct store *store)
{
	return store->waiters != NULL || store->is_stopping ||
	       store->reserve != store->reserved || store->n_dirty >= WRITER_ROWS_MAX ||
	       store->pending_bytes >= WRITER_BYTES_MAX;
}

static void
writer_gather(struct store *store)
{
	ms_t until = clock_mono_ms() + WRITER_GATHER_MS;

	store->is_gathering = true;
	while (!writer_is_urgent(store) && clock_mono_ms() < until)
		writer_wait(store, until);
	store->is_gathering = false;
}

void
writer_nudge(struct store *store)
{
	if (!store->is_gathering || writer_is_urgent(store))
		pthread_cond_signal(&store->wake);
}

static void *
writer_run(void *arg)
{
	struct store *store = arg;
	struct batch *b = mem_calloc(1, sizeof(*b));
	ms_t retry_at = 0;

	pthread_mutex_lock(&store->lock);
	for (;;) {
		bool has_work = writer_has_work(store);
		int rc = 0;

		if (has_work && store->error != 0 && !store->is_stopping &&
		    clock_mono_ms() < retry_at) {
			writer_wait(store, retry_at);
			continue;
		}
		if (has_work) {
			writer_gather(store);
			rc = writer_commit(store, b);
		}
		if (rc != 0)
			retry_at = clock_mono_ms() + store->retry_ms;
		writer_answer(store, rc);
		if (store->is_stopping && (rc != 0 || !writer_has_work(store)) &&
		    store->waiters == NULL)
			break;
		if (!writer_has_work(store) && store->waiters == NULL &&
		    !store->is_stopping)
			pthread_cond_wait(&store->wake, &store->lock);
	}
	pthread_mutex_unlock(&store->lock);
	free(b);
	return NULL;
}

int
writer_start(struct store *store)
{
	sigset_t all, old;
	int rc;

	store->retry_ms = WRITER_RETRY_MS;
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&store->writer, NULL, writer_run, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

int
writer_stop(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	store->is_stopping = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->writer, NULL);
	return writer_has_work(store) ? store->error : 0;
}
