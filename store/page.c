/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of many rows. A scan walks one database (rows by K, or owners by encoded key)
 * with the pending rows laid over it, copies records until it has enough, and closes its
 * transaction before the first callback: so a reader may take its time, call the store,
 * or stop. What follows is the next scan's. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/private.h"

enum {
	PAGE_ROWS = 256, /* of store_each and its like */
	PAGE_BYTES = 256 * 1024,
};

struct found {
	uint8_t k[STORE_K_BYTES];
	size_t at, len; /* the record, in scan.data */
};

struct scan {
	struct store *store;
	const struct id
		*owner;	 /* NULL: in the order of K; else this one's, by encoded key */
	struct buf from; /* the first key wanted */
	int max_rows;
	size_t max_bytes;
	struct buf data;
	struct found *found;
	int n;
	bool has_more; /* `from` is where it goes on */
};

static struct bytes
scan_pending_key(const struct scan *s, const struct pending *p)
{
	return s->owner != NULL ? bytes_of(p->record->data, p->record->key_len)
				: bytes_of(p->k, STORE_K_BYTES);
}

static bool
scan_is_past_owner(const struct scan *s, struct bytes key)
{
	return s->owner != NULL &&
	       (key.len < ID_BYTES || memcmp(key.data, s->owner->b, ID_BYTES) != 0);
}

static int
scan_by_owner(const void *a, const void *b)
{
	const struct record *x = (*(struct pending *const *)a)->record;
	const struct record *y = (*(struct pending *const *)b)->record;

	return bytes_compare(bytes_of(x->data, x->key_len),
			     bytes_of(y->data, y->key_len));
}

static int
scan_by_k(const void *a, const void *b)
{
	return memcmp((*(struct pending *const *)a)->k, (*(struct pending *const *)b)->k,
		      STORE_K_BYTES);
}

/* The pending rows from `from` on, in order. */
static struct pending **
scan_pending(const struct scan *s, int *ret_n)
{
	unsigned max = HASH_COUNT(s->store->pending);
	struct pending **list = mem_calloc(max, sizeof(struct pending *)), *p, *next;
	int n = 0;

	HASH_ITER (hh, s->store->pending, p, next) {
		struct bytes key = scan_pending_key(s, p);

		if (bytes_compare(key, buf_bytes(&s->from)) >= 0 &&
		    !scan_is_past_owner(s, key))
			list[n++] = p;
	}
	if (n > 1)
		qsort(list, (size_t)n, sizeof(list[0]),
		      s->owner != NULL ? scan_by_owner : scan_by_k);
	*ret_n = n;
	return list;
}

/* Keep a copy. False when the page is full: `key` is where the next one begins. */
static bool
scan_add(struct scan *s, const uint8_t k[STORE_K_BYTES], struct bytes key,
	 struct bytes record)
{
	if (s->n == s->max_rows ||
	    (s->n > 0 && s->data.len + record.len > s->max_bytes)) {
		buf_clear(&s->from);
		buf_put_bytes(&s->from, key);
		s->has_more = true;
		return false;
	}
	memcpy(s->found[s->n].k, k, STORE_K_BYTES);
	s->found[s->n].at = s->data.len;
	s->found[s->n].len = record.len;
	s->n++;
	buf_put_bytes(&s->data, record);
	return true;
}

/* The row that the cursor's entry names. An entry without a row, or of a wrong size, is
 * damage: an empty record, which does not decode. */
static int
scan_disk_record(struct scan *s, MDB_txn *txn, MDB_val key, MDB_val value,
		 uint8_t ret_k[STORE_K_BYTES], struct bytes *ret_record)
{
	MDB_val *k = s->owner != NULL ? &value : &key;
	int rc = 0;

	memset(ret_k, 0, STORE_K_BYTES);
	*ret_record = BYTES_NONE;
	if (k->mv_size != STORE_K_BYTES)
		return 0;
	memcpy(ret_k, k->mv_data, STORE_K_BYTES);
	if (s->owner == NULL)
		*ret_record = env_bytes(value);
	else
		rc = env_get(txn, s->store->rows, bytes_of(ret_k, STORE_K_BYTES),
			     ret_record);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Both orders merged; of one key the pending state counts. */
static int
scan_walk(struct scan *s, MDB_txn *txn, MDB_cursor *cursor, struct pending **list, int n)
{
	MDB_val key = env_val(buf_bytes(&s->from)), value;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE), i = 0;

	for (;;) {
		bool has_disk = rc == 0 && !scan_is_past_owner(s, env_bytes(key));
		struct pending *p = i < n ? list[i] : NULL;
		uint8_t k[STORE_K_BYTES];
		struct bytes record;
		int order = has_disk ? 1 : -1;

		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
		if (!has_disk && p == NULL)
			return 0;
		if (has_disk)
			order = p == NULL ? 1
					  : bytes_compare(scan_pending_key(s, p),
							  env_bytes(key));
		if (order <= 0) {
			if (p->record->len > p->record->key_len &&
			    !scan_add(s, p->k, scan_pending_key(s, p),
				      bytes_of(p->record->data, p->record->len)))
				return 0;
			i++;
		} else {
			rc = scan_disk_record(s, txn, key, value, k, &record);
			if (rc != 0)
				return rc;
			if (!scan_add(s, k, env_bytes(key), record))
				return 0;
		}
		if (has_disk && order >= 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
}

/* Fill the page, under the lock, so that no row is between memory and disk. */
static int
scan_run(struct scan *s)
{
	struct store *store = s->store;
	struct pending **list;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int rc, n;

	s->n = 0;
	s->has_more = false;
	buf_clear(&s->data);
	pthread_mutex_lock(&store->lock);
	rc = env_read_begin(store, &txn);
	if (rc != 0) {
		pthread_mutex_unlock(&store->lock);
		return rc;
	}
	list = scan_pending(s, &n);
	rc = mdb_cursor_open(txn, s->owner != NULL ? store->owners : store->rows,
			     &cursor);
	if (rc == 0) {
		rc = scan_walk(s, txn, cursor, list, n);
		mdb_cursor_close(cursor);
	}
	free(list);
	env_read_end(store, txn);
	pthread_mutex_unlock(&store->lock);
	return env_code(rc);
}

/* Give what was found to fn. Returns the number given; fewer than found: fn wants no
 * more. */
static int
scan_give(struct scan *s, store_row_fn *fn, void *arg)
{
	for (int i = 0; i < s->n; i++) {
		struct found *f = &s->found[i];
		struct row_key key;
		struct row row;
		bool go_on;

		if (rows_decode(s->store, f->k, bytes_of(s->data.data + f->at, f->len),
				&key, &row) != 0) {
			rows_report_damage(s->store, f->k);
			continue;
		}
		go_on = fn(arg, f->k, &key, &row);
		row_fini(&row);
		if (!go_on)
			return i + 1;
	}
	return -1;
}

static void
scan_init(struct scan *s, struct store *store, int max_rows, size_t max_bytes)
{
	*s = (struct scan){ .store = store,
			    .max_rows = max_rows,
			    .max_bytes = max_bytes };
	s->found = mem_calloc((size_t)max_rows, sizeof(s->found[0]));
}

static void
scan_fini(struct scan *s)
{
	free(s->found);
	buf_fini(&s->data);
	buf_fini(&s->from);
}

/* The K behind this one; false behind the last. */
static bool
page_after(const uint8_t k[STORE_K_BYTES], uint8_t ret_k[STORE_K_BYTES])
{
	memcpy(ret_k, k, STORE_K_BYTES);
	for (int i = STORE_K_BYTES - 1; i >= 0; i--)
		if (++ret_k[i] != 0)
			return true;
	return false;
}

int
store_page(struct store *store, const uint8_t from[STORE_K_BYTES], int max_rows,
	   size_t max_bytes, store_row_fn *fn, void *arg, uint8_t ret_next[STORE_K_BYTES],
	   bool *ret_more)
{
	struct scan s;
	int rc, given;

	assert(max_rows >= 1 && max_rows <= STORE_PAGE_ROWS_MAX);
	scan_init(&s, store, max_rows, max_bytes);
	buf_put(&s.from, from, STORE_K_BYTES);
	rc = scan_run(&s);
	if (rc == 0) {
		given = scan_give(&s, fn, arg);
		*ret_more = s.has_more;
		if (s.has_more)
			memcpy(ret_next, s.from.data, STORE_K_BYTES);
		if (given > 0) /* stopped in between: go on behind that row */
			*ret_more = page_after(s.found[given - 1].k, ret_next) &&
				    (s.has_more || given < s.n);
	}
	scan_fini(&s);
	return rc;
}

static int
store_each_of(struct store *store, const struct id *owner, store_row_fn *fn, void *arg)
{
	struct scan s;
	int rc;

	scan_init(&s, store, PAGE_ROWS, PAGE_BYTES);
	s.owner = owner;
	if (owner != NULL)
		buf_put(&s.from, owner->b, ID_BYTES);
	else
		memset(buf_extend(&s.from, STORE_K_BYTES), 0, STORE_K_BYTES);
	do
		rc = scan_run(&s);
	while (rc == 0 && scan_give(&s, fn, arg) < 0 && s.has_more);
	scan_fini(&s);
	return rc;
}

int
store_each(struct store *store, store_row_fn *fn, void *arg)
{
	return store_each_of(store, NULL, fn, arg);
}

int
store_owner_each(struct store *store, const struct id *owner, store_row_fn *fn, void *arg)
{
	return store_each_of(store, owner, fn, arg);
}

/* The rows that `removed` names, from the entry in `from` on, up to a stamp. What an entry
 * says is believed only if the row says so too. */
static int
removed_page(struct scan *s, MDB_txn *txn, uint64_t stamp)
{
	MDB_val key = env_val(buf_bytes(&s->from)), value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, s->store->removed, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0) {
		struct bytes entry = env_bytes(key), record;
		uint8_t really[REMOVED_KEY_BYTES];
		const uint8_t *k = entry.data + 8;

		if (entry.len == REMOVED_KEY_BYTES) {
			if (get_be64(entry.data) > stamp)
				break;
			rc = env_get(txn, s->store->rows, bytes_of(k, STORE_K_BYTES),
				     &record);
			if (rc == 0 && rows_removed_key(k, record, really) &&
			    memcmp(really, entry.data, REMOVED_KEY_BYTES) == 0 &&
			    !scan_add(s, k, entry, record))
				break;
			if (rc != 0 && rc != MDB_NOTFOUND)
				break;
		}
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

struct removed_given {
	store_row_fn *fn;
	void *arg;
	int n;
	bool is_stopped;
};

static bool
removed_give(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	     const struct row *row)
{
	struct removed_given *given = arg;

	given->n++;
	given->is_stopped = !given->fn(given->arg, k, key, row);
	return !given->is_stopped;
}

int
store_removed_each(struct store *store, uint64_t stamp, int max_rows, store_row_fn *fn,
		   void *arg, bool *ret_more)
{
	struct removed_given given = { .fn = fn, .arg = arg };
	struct scan s;
	MDB_txn *txn;
	int rc;

	assert(max_rows >= 1 && max_rows <= STORE_PAGE_ROWS_MAX);
	if (store->format < STORE_FORMAT_REMOVED)
		return -OCF_EVERSION;
	scan_init(&s, store, max_rows, PAGE_BYTES);
	buf_put_u64(&s.from, 0);
	do { /* again when all on the page were damaged */
		s.n = 0;
		s.has_more = false;
		buf_clear(&s.data);
		rc = env_read_begin(store, &txn);
		if (rc != 0)
			break;
		rc = env_code(removed_page(&s, txn, stamp));
		env_read_end(store, txn);
		if (rc == 0)
			scan_give(&s, removed_give, &given);
	} while (rc == 0 && given.n == 0 && s.has_more);
	if (rc == 0)
		*ret_more = s.has_more || given.is_stopped;
	scan_fini(&s);
	return rc;
}
