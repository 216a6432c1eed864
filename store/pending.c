/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed in memory and not yet on disk. A row is here from its merge until the
 * commit that holds its newest state; rows wait on a list in the order of their first
 * uncommitted change, so that "all changes up to n are durable" is a look at its head. A
 * row that changes while its older state is being written goes back to the end of the
 * list. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "store/private.h"

struct pending *
pending_find(struct store *store, const uint8_t k[STORE_K_BYTES])
{
	struct pending *p;

	HASH_FIND(hh, store->pending, k, STORE_K_BYTES, p);
	return p;
}

static void
pending_free_record(struct store *store, struct record *record)
{
	if (record == NULL)
		return;
	assert(store->pending_bytes >= record->len);
	store->pending_bytes -= record->len;
	free(record);
}

/* With `lock` held. The record is taken over on success. */
static int
pending_put(struct store *store, struct record *record)
{
	struct pending *p = pending_find(store, record->k);

	if (store->pending_bytes + record->len > STORE_PENDING_BYTES_MAX ||
	    (p == NULL && HASH_COUNT(store->pending) >= STORE_PENDING_ROWS_MAX))
		return -EAGAIN;
	if (p == NULL) {
		p = mem_calloc(1, sizeof(*p));
		memcpy(p->k, record->k, STORE_K_BYTES);
		HASH_ADD(hh, store->pending, k, STORE_K_BYTES, p);
	} else if (p->record != p->flying) {
		pending_free_record(store, p->record);
	}
	p->record = record;
	store->pending_bytes += record->len;
	store->changes++;
	if (!p->is_dirty) {
		p->is_dirty = true;
		p->since = store->changes;
		DL_APPEND(store->dirty, p);
	}
	pthread_cond_signal(&store->wake);
	return 0;
}

int
pending_take(struct store *store, struct pending **items, int max, size_t max_bytes)
{
	size_t bytes = 0;
	int n = 0;

	while (store->dirty != NULL && n < max &&
	       (n == 0 || bytes + store->dirty->record->len <= max_bytes)) {
		struct pending *p = store->dirty;

		assert(p->flying == NULL && p->is_dirty);
		DL_DELETE(store->dirty, p);
		p->is_dirty = false;
		p->flying = p->record;
		p->flying_since = p->since;
		bytes += p->record->len;
		items[n++] = p;
	}
	return n;
}

void
pending_done(struct store *store, struct pending **items, int n)
{
	for (int i = 0; i < n; i++) {
		struct pending *p = items[i];
		struct record *flown = p->flying;

		p->flying = NULL;
		if (!p->is_dirty) {
			assert(p->record == flown);
			HASH_DEL(store->pending, p);
			free(p);
		}
		pending_free_record(store, flown);
	}
}

void
pending_undo(struct store *store, struct pending **items, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		struct pending *p = items[i];

		if (p->is_dirty) {
			DL_DELETE(store->dirty, p);
			pending_free_record(store, p->flying);
		}
		p->flying = NULL;
		p->is_dirty = true;
		p->since = p->flying_since;
		DL_PREPEND(store->dirty, p);
	}
}

uint64_t
pending_durable(struct store *store)
{
	uint64_t durable = store->changes;
	struct pending_meta *m;

	if (store->dirty != NULL)
		durable = store->dirty->since - 1;
	DL_FOREACH (store->metas, m)
		if (m->since - 1 < durable)
			durable = m->since - 1;
	return durable;
}

void
pending_free_all(struct store *store)
{
	struct pending *p, *next;
	struct pending_meta *m, *m_next;

	HASH_ITER (hh, store->pending, p, next) {
		HASH_DEL(store->pending, p);
		free(p->record);
		free(p);
	}
	DL_FOREACH_SAFE (store->metas, m, m_next) {
		buf_fini(&m->value);
		free(m);
	}
	assert(store->waiters == NULL);
}

static int
store_get_disk(struct store *store, const uint8_t k[STORE_K_BYTES], struct row *ret_row)
{
	struct row_key key;
	struct bytes v;
	MDB_txn *txn;
	int rc = env_read_begin(store, &txn);

	if (rc != 0)
		return rc;
	rc = env_code(env_get(txn, store->rows, bytes_of(k, STORE_K_BYTES), &v));
	if (rc == 0)
		rc = rows_decode(store, k, v, &key, ret_row);
	env_read_end(store, txn);
	if (rc == -OCF_ECORRUPT)
		rows_report_damage(store, k);
	return rc;
}

/* Memory first: what is there is at least as new as what is on disk, and it is gone from
 * there only once the disk has it. */
static int
store_get_k(struct store *store, const uint8_t k[STORE_K_BYTES], struct row *ret_row)
{
	struct row_key key;
	struct pending *p;
	int rc = -ENOENT;

	pthread_mutex_lock(&store->lock);
	p = pending_find(store, k);
	if (p != NULL && p->record->len > p->record->key_len) {
		rc = rows_decode(store, k, bytes_of(p->record->data, p->record->len),
				 &key, ret_row);
		assert(rc == 0); /* we encoded it */
	}
	pthread_mutex_unlock(&store->lock);
	return p != NULL ? rc : store_get_disk(store, k, ret_row);
}

int
store_get(struct store *store, const struct row_key *key, struct row *ret_row)
{
	uint8_t k[STORE_K_BYTES];

	digest_key(&store->tk, key, store->config.sha256, k);
	return store_get_k(store, k, ret_row);
}

static int
store_put_k(struct store *store, const uint8_t k[STORE_K_BYTES],
	    const struct row_key *key, const struct row *row)
{
	struct record *record = record_new(k, key, row);
	int rc;

	pthread_mutex_lock(&store->lock);
	rc = pending_put(store, record);
	pthread_mutex_unlock(&store->lock);
	if (rc != 0)
		free(record);
	return rc;
}

/* Merge and trim. False: what is held stays as it was. */
static bool
store_merge_row(struct store *store, const struct row_key *key, struct row *row,
		const struct row *incoming)
{
	struct row before;
	bool is_changed;

	if (store->config.trim == NULL)
		return row_merge(row, incoming);
	row_copy(row, &before);
	is_changed = row_merge(row, incoming);
	if (is_changed) {
		store->config.trim(store->config.trim_arg, key, row);
		is_changed = !row_equal(&before, row);
	}
	row_fini(&before);
	return is_changed;
}

int
store_merge(struct store *store, const struct row_key *key, const struct row *incoming,
	    bool *ret_changed, struct row *ret_merged)
{
	struct row row = ROW_INIT;
	uint8_t k[STORE_K_BYTES];
	bool is_changed;
	int rc = row_key_check(key, store->constants.rows_per_node);

	if (rc != 0)
		return rc;
	digest_key(&store->tk, key, store->config.sha256, k);
	rc = store_get_k(store, k, &row);
	if (rc != 0 && rc != -ENOENT)
		return rc;
	rc = 0;
	is_changed = store_merge_row(store, key, &row, incoming);
	if (is_changed)
		rc = store_put_k(store, k, key, &row);
	if (rc == 0) {
		*ret_changed = is_changed;
		if (ret_merged != NULL) {
			*ret_merged = row;
			return 0;
		}
	}
	row_fini(&row);
	return rc;
}

int
store_replace(struct store *store, const struct row_key *key, const struct row *row)
{
	uint8_t k[STORE_K_BYTES];
	int rc = row_key_check(key, store->constants.rows_per_node);

	if (rc != 0)
		return rc;
	digest_key(&store->tk, key, store->config.sha256, k);
	return store_put_k(store, k, key, row);
}

static struct pending_meta *
pending_meta_find(struct store *store, const char *name)
{
	struct pending_meta *m;

	DL_FOREACH (store->metas, m)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

int
store_meta_set(struct store *store, const char *name, struct bytes value)
{
	char full[META_NAME_BYTES_MAX + 1];
	struct pending_meta *m;

	if (strlen(name) > STORE_META_NAME_BYTES_MAX || name[0] == '\0' ||
	    value.len > STORE_META_VALUE_BYTES_MAX)
		return -OCF_ELIMIT;
	snprintf(full, sizeof(full), "u:%s", name);
	pthread_mutex_lock(&store->lock);
	m = pending_meta_find(store, full);
	store->changes++;
	if (m == NULL) {
		m = mem_calloc(1, sizeof(*m));
		memcpy(m->name, full, sizeof(full));
		m->since = store->changes;
		DL_APPEND(store->metas, m);
	}
	m->number = store->changes;
	buf_clear(&m->value);
	buf_put_bytes(&m->value, value);
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int
store_meta_get(struct store *store, const char *name, struct buf *out)
{
	char full[META_NAME_BYTES_MAX + 1];
	struct pending_meta *m;
	struct bytes v;
	MDB_txn *txn;
	int rc = -ENOENT;

	if (strlen(name) > STORE_META_NAME_BYTES_MAX)
		return -ENOENT;
	snprintf(full, sizeof(full), "u:%s", name);
	pthread_mutex_lock(&store->lock);
	m = pending_meta_find(store, full);
	if (m != NULL && m->value.len > 0) {
		buf_put_bytes(out, buf_bytes(&m->value));
		rc = 0;
	}
	pthread_mutex_unlock(&store->lock);
	if (m != NULL)
		return rc;
	rc = env_read_begin(store, &txn);
	if (rc != 0)
		return rc;
	rc = env_code(env_get(txn, store->meta, bytes_text(full), &v));
	if (rc == 0)
		buf_put_bytes(out, v);
	env_read_end(store, txn);
	return rc;
}

void
store_sync(struct store *store, void (*fn)(void *arg, int rc), void *arg)
{
	struct waiter *w = mem_calloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	pthread_mutex_lock(&store->lock);
	w->number = store->changes;
	DL_APPEND(store->waiters, w);
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
}
