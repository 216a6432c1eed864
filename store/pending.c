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

/* K is a keyed hash already. */
static unsigned
pending_hash(const uint8_t k[STORE_K_BYTES])
{
	return get_be32(k + 4);
}

struct pending *
pending_find(struct store *store, const uint8_t k[STORE_K_BYTES])
{
	struct pending *p;

	HASH_FIND_BYHASHVALUE(hh, store->pending, k, STORE_K_BYTES, pending_hash(k), p);
	return p;
}

static void
pending_forget_record(struct store *store, const struct record *record)
{
	assert(store->pending_bytes >= record->len);
	store->pending_bytes -= record->len;
}

/* With `lock` held. */
static void
pending_set_dirty(struct store *store, struct pending *p, uint64_t since)
{
	p->is_dirty = true;
	p->since = since;
	store->n_dirty++;
}

static void
pending_unset_dirty(struct store *store, struct pending *p)
{
	DL_DELETE(store->dirty, p);
	p->is_dirty = false;
	store->n_dirty--;
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
		HASH_ADD_BYHASHVALUE(hh, store->pending, k, STORE_K_BYTES,
				     pending_hash(p->k), p);
	} else if (p->record != p->flying) {
		pending_forget_record(store, p->record);
		free(p->record);
	}
	p->record = record;
	store->pending_bytes += record->len;
	store->changes++;
	if (!p->is_dirty) {
		pending_set_dirty(store, p, store->changes);
		DL_APPEND(store->dirty, p);
	}
	writer_nudge(store);
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
		pending_unset_dirty(store, p);
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

		pending_forget_record(store, p->flying);
		if (p->is_dirty) { /* changed meanwhile */
			struct record *flown = p->flying;

			p->flying = NULL;
			items[i] = NULL;
			free(flown);
			continue;
		}
		assert(p->record == p->flying);
		HASH_DEL(store->pending, p);
	}
}

void
pending_free(struct pending **items, int n)
{
	for (int i = 0; i < n; i++) {
		if (items[i] == NULL)
			continue;
		free(items[i]->record);
		free(items[i]);
	}
}

void
pending_undo(struct store *store, struct pending **items, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		struct pending *p = items[i];

		if (p->is_dirty) {
			pending_unset_dirty(store, p);
			pending_forget_record(store, p->flying);
			free(p->flying);
		}
		p->flying = NULL;
		pending_set_dirty(store, p, p->flying_since);
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
store_read_disk(struct store *store, const uint8_t k[STORE_K_BYTES], struct buf *out)
{
	struct bytes v;
	MDB_txn *txn;
	int rc = env_read_begin(store, &txn);

	if (rc != 0)
		return rc;
	rc = env_code(env_get(txn, store->rows, bytes_of(k, STORE_K_BYTES), &v));
	if (rc == 0)
		buf_put_bytes(out, v);
	env_read_end(store, txn);
	return rc;
}

/* The record that is held, in place of what `out` has. Memory first: what is there is at
 * least as new as what is on disk, and it is gone from there only once the disk has it. */
static int
store_read(struct store *store, const uint8_t k[STORE_K_BYTES], struct buf *out)
{
	struct pending *p;
	int rc = -ENOENT;

	buf_clear(out);
	pthread_mutex_lock(&store->lock);
	p = pending_find(store, k);
	if (p != NULL && p->record->len > p->record->key_len) {
		buf_put(out, p->record->data, p->record->len);
		rc = 0;
	}
	pthread_mutex_unlock(&store->lock);
	return p != NULL ? rc : store_read_disk(store, k, out);
}

static int
store_decode(struct store *store, const uint8_t k[STORE_K_BYTES], struct bytes key,
	     struct bytes record, struct row *ret_row)
{
	int rc = rows_decode_row(store, key, record, ret_row);

	if (rc == -OCF_ECORRUPT)
		rows_report_damage(store, k);
	return rc;
}

int
store_get(struct store *store, const struct row_key *key, struct row *ret_row)
{
	struct buf held = BUF_INIT, encoded = BUF_INIT;
	uint8_t k[STORE_K_BYTES];
	int rc;

	digest_key(&store->tk, key, store->config.sha256, k);
	rc = store_read(store, k, &held);
	if (rc == 0) {
		rows_encode(key, &ROW_INIT, &encoded);
		rc = store_decode(store, k, buf_bytes(&encoded), buf_bytes(&held),
				  ret_row);
	}
	buf_fini(&held);
	buf_fini(&encoded);
	return rc;
}

/* Make the row's state what store->encoded holds. */
static int
store_put(struct store *store, const uint8_t k[STORE_K_BYTES], uint64_t stamp,
	  size_t key_len)
{
	struct record *record = record_new(k, stamp, key_len, buf_bytes(&store->encoded));
	int rc;

	pthread_mutex_lock(&store->lock);
	rc = pending_put(store, record);
	pthread_mutex_unlock(&store->lock);
	if (rc != 0)
		free(record);
	return rc;
}

/* Merge into what is held and trim; `encoded` is the incoming state's, then the new one's.
 * Equal states have equal bytes: what comes again, as most of a flood does, is known
 * without being decoded. */
static int
store_merge_k(struct store *store, const uint8_t k[STORE_K_BYTES],
	      const struct row_key *key, const struct row *incoming, bool *ret_changed,
	      struct row *ret_merged)
{
	size_t key_len = rows_encode(key, incoming, &store->encoded);
	struct bytes encoded = buf_bytes(&store->encoded);
	int rc = store_read(store, k, &store->held);

	*ret_changed = false;
	if (rc == -ENOENT) {
		ret_merged->len = 0;
		rc = 0;
	} else if (rc != 0) {
		return rc;
	} else if (bytes_equal(encoded, buf_bytes(&store->held))) {
		row_copy(incoming, ret_merged);
		return 0;
	} else {
		rc = store_decode(store, k, bytes_of(encoded.data, key_len),
				  buf_bytes(&store->held), ret_merged);
		if (rc != 0)
			return rc;
	}
	if (!row_merge(ret_merged, incoming))
		return 0;
	if (store->config.trim != NULL)
		store->config.trim(store->config.trim_arg, key, ret_merged);
	rows_encode(key, ret_merged, &store->encoded);
	if (store->held.len == 0)
		*ret_changed = ret_merged->len > 0;
	else
		*ret_changed = !bytes_equal(buf_bytes(&store->encoded),
					    buf_bytes(&store->held));
	if (*ret_changed) {
		rc = store_put(store, k, row_stamp(ret_merged), key_len);
		if (rc != 0)
			row_fini(ret_merged);
	}
	return rc;
}

int
store_merge(struct store *store, const struct row_key *key, const struct row *incoming,
	    bool *ret_changed, struct row *ret_merged)
{
	uint8_t k[STORE_K_BYTES];
	struct row merged;
	bool is_changed;
	int rc = row_key_check(key, store->constants.rows_per_node);

	if (rc != 0)
		return rc;
	digest_key(&store->tk, key, store->config.sha256, k);
	rc = store_merge_k(store, k, key, incoming, &is_changed, &merged);
	if (rc != 0)
		return rc;
	*ret_changed = is_changed;
	if (ret_merged != NULL)
		*ret_merged = merged;
	else
		row_fini(&merged);
	return 0;
}

int
store_replace(struct store *store, const struct row_key *key, const struct row *row)
{
	uint8_t k[STORE_K_BYTES];
	size_t key_len;
	int rc = row_key_check(key, store->constants.rows_per_node);

	if (rc != 0)
		return rc;
	digest_key(&store->tk, key, store->config.sha256, k);
	key_len = rows_encode(key, row, &store->encoded);
	return store_put(store, k, row_stamp(row), key_len);
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
	writer_nudge(store);
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
	writer_nudge(store);
	pthread_mutex_unlock(&store->lock);
}
