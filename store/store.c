/* SPDX-License-Identifier: Apache-2.0 */
/* What a store is beside its rows: its constants, actors, sequence numbers and root, in
 * memory and as values of the meta database. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "store/private.h"

void
store_report(struct store *store, int rc, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (store->config.report == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	store->config.report(store->config.report_arg, rc, text);
}

uint64_t
store_random(void)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		abort(); /* no kernel that we run on does this */
	return n;
}

struct bytes
store_u64(uint64_t n, uint8_t out[8])
{
	put_be64(out, n);
	return bytes_of(out, 8);
}

int
store_put_meta(struct store *store, MDB_txn *txn, const char *name, struct bytes value)
{
	return env_put(txn, store->meta, bytes_text(name), value);
}

/* A value of exactly `len` bytes. */
int
store_get_meta(struct store *store, MDB_txn *txn, const char *name, size_t len,
	       struct reader *ret_value)
{
	struct bytes v;
	int rc = env_get(txn, store->meta, bytes_text(name), &v);

	if (rc == MDB_NOTFOUND || (rc == 0 && v.len != len))
		return -OCF_ECORRUPT;
	if (rc == 0)
		*ret_value = reader_of(v);
	return rc;
}

int
store_put_root(struct store *store, MDB_txn *txn, const struct root *root)
{
	uint8_t v[ROOT_BYTES];

	put_be64(v, root->digest.sum.hi);
	put_be64(v + 8, root->digest.sum.lo);
	put_be64(v + 16, root->digest.count);
	v[24] = (uint8_t)root->bits;
	return store_put_meta(store, txn, "root", bytes_of(v, sizeof(v)));
}

int
store_get_root(struct store *store, MDB_txn *txn, struct root *ret_root)
{
	struct root root;
	struct reader r;
	int rc = store_get_meta(store, txn, "root", ROOT_BYTES, &r);

	if (rc != 0)
		return rc;
	root.digest.sum.hi = reader_u64(&r);
	root.digest.sum.lo = reader_u64(&r);
	root.digest.count = reader_u64(&r);
	root.bits = reader_u8(&r);
	if (root.bits < BUCKET_BITS_MIN || root.bits > BUCKET_BITS_MAX)
		return -OCF_ECORRUPT;
	*ret_root = root;
	return 0;
}

int
store_put_reserved(struct store *store, MDB_txn *txn, uint64_t reserved)
{
	uint8_t v[8];

	return store_put_meta(store, txn, "reserved", store_u64(reserved, v));
}

int
store_put_actors(struct store *store, MDB_txn *txn, const uint64_t *actors, int n)
{
	struct buf out = BUF_INIT;
	int rc;

	for (int i = 0; i < n; i++)
		buf_put_u64(&out, actors[i]);
	rc = store_put_meta(store, txn, "actors", buf_bytes(&out));
	buf_fini(&out);
	return rc;
}

const struct store_constants *
store_constants(const struct store *store)
{
	return &store->constants;
}

const struct table_key *
store_table_key(const struct store *store)
{
	return &store->tk;
}

uint64_t
store_actor(struct store *store)
{
	uint64_t actor;

	pthread_mutex_lock(&store->lock);
	actor = store->actors[store->n_actors - 1];
	pthread_mutex_unlock(&store->lock);
	return actor;
}

bool
store_actor_is_ours(struct store *store, uint64_t actor)
{
	bool is_ours = false;

	pthread_mutex_lock(&store->lock);
	for (int i = 0; i < store->n_actors; i++)
		is_ours |= store->actors[i] == actor;
	pthread_mutex_unlock(&store->lock);
	return is_ours;
}

struct store_renewal {
	uint64_t *actors;
	int n;
	uint64_t reserved;
};

static int
store_renew_write(struct store *store, MDB_txn *txn, void *arg)
{
	struct store_renewal *renewal = arg;
	int rc = store_put_actors(store, txn, renewal->actors, renewal->n);

	return rc != 0 ? rc : store_put_reserved(store, txn, renewal->reserved);
}

int
store_actor_renew(struct store *store)
{
	struct store_renewal new = { .reserved = ACTOR_BLOCK };
	int rc;

	pthread_mutex_lock(&store->write_lock);
	new.n = store->n_actors + 1;
	if (new.n > STORE_ACTORS_MAX) {
		pthread_mutex_unlock(&store->write_lock);
		return -OCF_ELIMIT;
	}
	new.actors = mem_calloc((size_t) new.n, sizeof(new.actors[0]));
	memcpy(new.actors, store->actors,
	       (size_t)store->n_actors * sizeof(new.actors[0]));
	new.actors[new.n - 1] = store_random();
	rc = env_write(store, store_renew_write, &new);
	if (rc == 0) {
		uint64_t *old = store->actors;

		pthread_mutex_lock(&store->lock);
		store->actors = new.actors;
		store->n_actors = new.n;
		store->next_seq = 1;
		store->reserved = store->reserve = new.reserved;
		pthread_mutex_unlock(&store->lock);
		new.actors = old;
	}
	pthread_mutex_unlock(&store->write_lock);
	free(new.actors);
	return rc;
}

int
store_next_dot(struct store *store, struct dot *ret_dot)
{
	int rc = 0;

	pthread_mutex_lock(&store->lock);
	if (store->next_seq > store->reserved) {
		rc = store->error != 0 ? store->error : -EAGAIN;
	} else {
		ret_dot->actor = store->actors[store->n_actors - 1];
		ret_dot->seq = store->next_seq++;
	}
	if (store->reserve == store->reserved &&
	    store->next_seq + ACTOR_BLOCK / 2 > store->reserved) {
		store->reserve = store->reserved + ACTOR_BLOCK;
		writer_nudge(store);
	}
	pthread_mutex_unlock(&store->lock);
	return rc;
}

uint64_t
store_next_seq(struct store *store)
{
	uint64_t seq;

	pthread_mutex_lock(&store->lock);
	seq = store->next_seq;
	pthread_mutex_unlock(&store->lock);
	return seq;
}

int
store_actors(struct store *store, uint64_t *ret_actors, int max)
{
	int n;

	pthread_mutex_lock(&store->lock);
	n = store->n_actors;
	for (int i = 0; i < max && i < n; i++)
		ret_actors[i] = store->actors[n > max ? n - max + i : i];
	pthread_mutex_unlock(&store->lock);
	return n;
}

void
store_stats(struct store *store, struct store_stats *ret_stats)
{
	struct store_stats stats = { .rows = 0 };
	MDB_envinfo info = { .me_mapsize = 0 };

	pthread_rwlock_rdlock(&store->map_lock);
	if (store->env != NULL)
		mdb_env_info(store->env, &info);
	pthread_rwlock_unlock(&store->map_lock);
	pthread_mutex_lock(&store->lock);
	stats.rows = store->root.digest.count;
	stats.pending_rows = HASH_COUNT(store->pending);
	stats.pending_bytes = store->pending_bytes;
	stats.commits = store->commits;
	stats.committed_rows = store->committed_rows;
	stats.damaged = store->n_damaged;
	stats.map_bytes = info.me_mapsize;
	stats.bucket_bits = store->root.bits;
	stats.error = store->error;
	stats.scrubbed = store->scrub.buckets;
	stats.repaired = store->scrub.repaired;
	memcpy(stats.faults, store->scrub.faults, sizeof(stats.faults));
	pthread_mutex_unlock(&store->lock);
	*ret_stats = stats;
}

struct store_digest
store_root(struct store *store)
{
	struct store_digest root;

	pthread_mutex_lock(&store->lock);
	root = store->root.digest;
	pthread_mutex_unlock(&store->lock);
	return root;
}

struct store_digest
store_root_before(struct store *store, uint64_t stamp)
{
	struct store_digest root;

	pthread_mutex_lock(&store->lock);
	root = recents_subtract(&store->recents, clock_wall_ms(), store->root.digest,
				stamp);
	pthread_mutex_unlock(&store->lock);
	return root;
}
