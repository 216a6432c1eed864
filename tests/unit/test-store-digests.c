/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle digests: the same for the same rows, sums at every depth, found out when
 * they are wrong. */
#include "config.h"

#include "lib/tap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/codec.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/private.h"

static bool
digest_equal(struct store_digest a, struct store_digest b)
{
	return u128_equal(a.sum, b.sum) && a.count == b.count;
}

/* The rows of a cluster, each with a first and a second state, in an order of its own;
 * some arrive twice, some only in their second state. */
static void
fill(struct store *store, int n, uint64_t seed)
{
	int *order = mem_calloc((size_t)n, sizeof(order[0]));
	struct rng rng;

	rng_init(&rng, seed);
	for (int i = 0; i < n; i++) {
		int j = (int)rng_below(&rng, (uint64_t)i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (int i = 0; i < n; i++) {
		struct row_key key = test_key(1 + (uint64_t)order[i] % 7, order[i] / 7);

		if (rng_below(&rng, 2))
			CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 30) == 0);
		if (rng_below(&rng, 8) == 0)
			CU_ASSERT_FATAL(test_store_wait(store) == 0);
		CU_ASSERT_FATAL(test_merge(store, &key, 3, 2, order[i] % 5 ? 20 : -1) ==
				0);
		if (rng_below(&rng, 4) == 0)
			CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 30) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	free(order);
}

static void
test_order_does_not_matter(void)
{
	struct store_digest first = { .count = 0 };

	for (int i = 0; i < 4; i++) {
		char name[] = { 'o', (char)('0' + i), '\0' }, *dir = test_folder(name);
		struct store *store;

		test_store_create(dir);
		store = test_store_open(dir);
		fill(store, 500, tap_seed() + (uint64_t)i);
		if (i == 0)
			first = store_root(store);
		CU_ASSERT(first.count == 500 && digest_equal(first, store_root(store)));
		store_close(store);
		store = test_store_open(dir);
		CU_ASSERT(digest_equal(first, store_root(store)));
		CU_ASSERT(test_store_differences(store) == 0);
		store_close(store);
		free(dir);
	}
}

/* Every node is the sum of its children, down to single rows, whatever way it is
 * computed. */
static void
check_node(struct store *store, const uint8_t prefix[STORE_K_BYTES], int depth, int bits,
	   struct store_digest node)
{
	struct store_digest children[1 << STORE_CHILD_BITS_MAX], sum = { .count = 0 };

	CU_ASSERT_FATAL(store_digests(store, prefix, depth, bits, children) == 0);
	for (int i = 0; i < 1 << bits; i++) {
		sum.sum = u128_add(sum.sum, children[i].sum);
		sum.count += children[i].count;
	}
	CU_ASSERT_FATAL(digest_equal(sum, node));
	if (node.count <= 1 || depth + bits > 32)
		return;
	for (int i = 0; i < 1 << bits; i++) {
		uint8_t child[STORE_K_BYTES] = { 0 };

		if (i % 16 != 3 && children[i].count < 2)
			continue;
		put_be64(child, get_be64(prefix) | (uint64_t)i << (64 - depth - bits));
		check_node(store, child, depth + bits, 4, children[i]);
	}
}

static void
test_sums(void)
{
	uint8_t top[STORE_K_BYTES] = { 0 };
	char *dir = test_folder("sums");
	struct store_digest one;
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	fill(store, 1500, tap_seed());
	for (int bits = 1; bits <= STORE_CHILD_BITS_MAX; bits++)
		check_node(store, top, 0, bits, store_root(store));
	CU_ASSERT(store_digests(store, top, 0, 0, &one) == 0);
	CU_ASSERT(digest_equal(one, store_root(store)));
	store_close(store);
	free(dir);
}

struct naive {
	struct store *store;
	struct store_digest sum;
};

static bool
naive_add(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	  const struct row *row)
{
	struct naive *naive = arg;
	struct buf out = BUF_INIT;

	(void)key;
	codec_put_row(&out, row);
	naive->sum.sum = u128_add(
		naive->sum.sum,
		digest_row(store_table_key(naive->store), k, buf_bytes(&out)));
	naive->sum.count++;
	buf_fini(&out);
	return true;
}

/* More buckets, the same sums; empty again, they are zero. */
static void
test_buckets_grow(void)
{
	char *dir = test_folder("grow");
	int n = tap_is_quick() ? 4000 : 14000;
	struct store_stats before, after;
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	store_stats(store, &before);
	for (int i = 0; i < n; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 8) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	store_stats(store, &after);
	CU_ASSERT(after.bucket_bits > before.bucket_bits);
	CU_ASSERT(after.rows >> after.bucket_bits < 50);
	CU_ASSERT(after.rows == (uint64_t)n && after.pending_rows == 0);
	{
		struct naive naive = { .store = store };

		CU_ASSERT(store_each(store, naive_add, &naive) == 0);
		CU_ASSERT(digest_equal(naive.sum, store_root(store)));
	}
	CU_ASSERT(test_store_differences(store) == 0);
	for (int i = 0; i < n; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(store_replace(store, &key, &ROW_INIT) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	CU_ASSERT(digest_equal(store_root(store), (struct store_digest){ .count = 0 }));
	CU_ASSERT(test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

/* A store whose bits are as asked, whatever its rows want. */
static int
set_bits(struct store *store, MDB_txn *txn, void *arg)
{
	struct root root = store->root;
	int rc;

	root.bits = *(int *)arg;
	rc = buckets_rebuild(store, txn, &root);
	if (rc == 0)
		rc = store_put_root(store, txn, &root);
	if (rc == 0)
		store->root.bits = root.bits;
	return rc;
}

/* Digests of nodes at random, of any depth and fan-out, in one number. */
static uint64_t
digests_hash(struct store *store, uint64_t seed)
{
	struct store_digest children[1 << STORE_CHILD_BITS_MAX];
	uint8_t prefix[STORE_K_BYTES];
	uint64_t hash = 0;
	struct rng rng;

	rng_init(&rng, seed);
	for (int i = 0; i < 60; i++) {
		int bits = (int)rng_below(&rng, STORE_CHILD_BITS_MAX + 1);
		int depth = (int)rng_below(&rng, 24);

		put_be64(prefix, rng_next(&rng));
		put_be64(prefix + 8, rng_next(&rng));
		CU_ASSERT_FATAL(store_digests(store, prefix, depth, bits, children) == 0);
		for (int k = 0; k < 1 << bits; k++) {
			hash = (hash ^ children[k].sum.hi) * 0x9e3779b97f4a7c15;
			hash = (hash ^ children[k].sum.lo) * 0x9e3779b97f4a7c15;
			hash = (hash ^ children[k].count) * 0x9e3779b97f4a7c15;
		}
	}
	return hash;
}

/* Rows from..to-1 are held, or are not any more. */
static void
hold_rows(struct store *store, int from, int to, bool is_held)
{
	for (int i = from; i < to; i++) {
		struct row_key key = test_key(1 + (uint64_t)i / 10000, i % 10000);

		int rc = is_held ? test_merge(store, &key, 3, 1, 8)
				 : store_replace(store, &key, &ROW_INIT);

		CU_ASSERT_FATAL(rc == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
}

static int
bits_of(struct store *store)
{
	struct store_stats stats;

	store_stats(store, &stats);
	return stats.bucket_bits;
}

/* Two stores go the same way, one with bits as they fit, one with bits at random. */
static void
test_bits_agree(void)
{
	char *dirs[2] = { test_folder("fits"), test_folder("any") };
	int max = tap_is_quick() ? 6000 : 16000, n = 0, grown = 0, shrunk = 0;
	struct store *fits, *any;
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < 2; i++)
		test_store_create(dirs[i]);
	fits = test_store_open(dirs[0]);
	any = test_store_open(dirs[1]);
	for (int step = 0; step < 12; step++) {
		static const int tenths[] = { 0, 10, 1, 7, 0, 4, 10, 1 };
		int next = step < 8 ? tenths[step] * max / 10
				    : (int)rng_below(&rng, (uint64_t)max);
		int bits = BUCKET_BITS_MIN + (int)rng_below(&rng, 10);
		int before = bits_of(fits);
		uint64_t seed = rng_next(&rng);

		hold_rows(fits, next > n ? n : next, next > n ? next : n, next > n);
		hold_rows(any, next > n ? n : next, next > n ? next : n, next > n);
		n = next;
		grown += bits_of(fits) > before;
		shrunk += bits_of(fits) < before;
		CU_ASSERT((n >> bits_of(fits)) < BUCKET_ROWS_MEAN_MAX);
		CU_ASSERT(bits_of(fits) == BUCKET_BITS_MIN ||
			  n >> bits_of(fits) >= BUCKET_ROWS_MEAN_MIN);
		pthread_mutex_lock(&any->write_lock);
		CU_ASSERT(env_write(any, set_bits, &bits) == 0);
		pthread_mutex_unlock(&any->write_lock);
		CU_ASSERT(digest_equal(store_root(fits), store_root(any)));
		CU_ASSERT(store_root(fits).count == (uint64_t)n);
		CU_ASSERT(digests_hash(fits, seed) == digests_hash(any, seed));
		CU_ASSERT(test_store_differences(fits) == 0);
		CU_ASSERT(test_store_differences(any) == 0);
	}
	CU_ASSERT(grown >= 3 && shrunk >= 3);
	store_close(fits);
	fits = test_store_open(dirs[0]);
	CU_ASSERT(digest_equal(store_root(fits), store_root(any)));
	store_close(fits);
	store_close(any);
	free(dirs[0]);
	free(dirs[1]);
}

/* A size that swings by half, wherever it is, changes the bits once and not each time. */
static void
test_bits_keep(void)
{
	char *dir = test_folder("keep");
	int max = BUCKET_ROWS_MEAN_MAX << BUCKET_BITS_MIN, bits;
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	hold_rows(store, 0, max - 1, true);
	CU_ASSERT(bits_of(store) == BUCKET_BITS_MIN);
	hold_rows(store, max - 1, max, true);
	bits = bits_of(store);
	CU_ASSERT(bits == BUCKET_BITS_MIN + 1);
	for (int i = 0; i < 3; i++) {
		hold_rows(store, max / 2, max, false);
		CU_ASSERT(bits_of(store) == bits);
		hold_rows(store, max / 2, max, true);
		CU_ASSERT(bits_of(store) == bits);
	}
	hold_rows(store, 100, max, false);
	CU_ASSERT(bits_of(store) == BUCKET_BITS_MIN);
	store_close(store);
	free(dir);
}

/* More than the map holds at first. */
static void
test_map_grows(void)
{
	enum { N = 2500, LEN = 16000 };
	char *dir = test_folder("map");
	struct store_stats before, after;
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	store_stats(store, &before);
	for (int i = 0; i < N; i++) {
		struct row_key key = test_key(1, i);
		int rc;

		while ((rc = test_merge(store, &key, 3, 1, LEN)) == -EAGAIN)
			CU_ASSERT(test_store_wait(store) == 0);
		CU_ASSERT_FATAL(rc == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	store_stats(store, &after);
	CU_ASSERT(before.map_bytes < (uint64_t)N * LEN &&
		  after.map_bytes > (uint64_t)N * LEN);
	CU_ASSERT(store_root(store).count == N && test_store_differences(store) == 0);
	store_close(store);
	store = test_store_open(dir);
	CU_ASSERT(store_root(store).count == N && test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

struct reader_thread {
	struct store *store;
	bool is_done;
	int rounds, failures;
};

/* Every snapshot that a reader gets is of one moment: sums and rows agree in it. */
static void *
read_on(void *arg)
{
	struct reader_thread *t = arg;
	struct store_digest children[256], top;
	uint8_t zero[STORE_K_BYTES] = { 0 };
	struct row_key key = test_key(1, 0);

	while (!__atomic_load_n(&t->is_done, __ATOMIC_SEQ_CST)) {
		struct naive naive = { .store = t->store };
		uint64_t differences = 0, count = 0;
		struct row row = ROW_INIT;

		t->failures += store_verify(t->store, NULL, NULL, &differences) != 0;
		t->failures += store_digests(t->store, zero, 0, 8, children) != 0;
		t->failures += store_digests(t->store, zero, 0, 0, &top) != 0;
		for (int i = 0; i < 256; i++)
			count += children[i].count;
		t->failures += count > top.count; /* rows are only added here */
		t->failures += store_each(t->store, naive_add, &naive) != 0;
		t->failures += naive.sum.count < count;
		if (store_get(t->store, &key, &row) == 0)
			row_fini(&row);
		t->rounds++;
	}
	return NULL;
}

static void
test_readers(void)
{
	char *dir = test_folder("readers");
	struct reader_thread threads[2] = { { .rounds = 0 } };
	int n = tap_is_quick() ? 3000 : 8000;
	pthread_t ids[2];

	test_store_create(dir);
	threads[0].store = threads[1].store = test_store_open(dir);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_FATAL(pthread_create(&ids[i], NULL, read_on, &threads[i]) == 0);
	for (int i = 0; i < n; i++) {
		struct row_key key = test_key(1, i);
		int rc;

		while ((rc = test_merge(threads[0].store, &key, 3, 1, 4000)) == -EAGAIN)
			test_store_wait(threads[0].store);
		CU_ASSERT_FATAL(rc == 0);
		if (i % 100 == 0)
			CU_ASSERT(test_store_wait(threads[0].store) == 0);
	}
	for (int i = 0; i < 2; i++) {
		__atomic_store_n(&threads[i].is_done, true, __ATOMIC_SEQ_CST);
		pthread_join(ids[i], NULL);
		CU_ASSERT(threads[i].failures == 0 && threads[i].rounds > 0);
	}
	tap_note("%d and %d rounds of reading", threads[0].rounds, threads[1].rounds);
	CU_ASSERT(test_store_differences(threads[0].store) == 0);
	store_close(threads[0].store);
	free(dir);
}

/* What is spoilt, behind the store's back. */
enum spoil { SPOIL_BUCKET, SPOIL_ROOT, SPOIL_OWNER, SPOIL_REMOVED, SPOIL_ROW, SPOIL_N };

static int
spoil_write(struct store *store, MDB_txn *txn, void *arg)
{
	enum spoil what = *(enum spoil *)arg;
	uint8_t copy[4096], zero[4] = { 0 };
	MDB_val key, value;
	MDB_cursor *cursor;
	struct root root;
	int rc;

	if (what == SPOIL_ROOT) {
		rc = store_get_root(store, txn, &root);
		root.digest.sum.lo++;
		return rc != 0 ? rc : store_put_root(store, txn, &root);
	}
	if (what == SPOIL_BUCKET) {
		struct bytes v;

		rc = env_get(txn, store->digests, bytes_of(zero, 4), &v);
		if (rc != 0)
			return rc;
		memcpy(copy, v.data, v.len);
		copy[15] ^= 1;
		return env_put(txn, store->digests, bytes_of(zero, 4),
			       bytes_of(copy, v.len));
	}
	rc = mdb_cursor_open(txn,
			     what == SPOIL_OWNER     ? store->owners
			     : what == SPOIL_REMOVED ? store->removed
						     : store->rows,
			     &cursor);
	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	if (rc == 0 && what == SPOIL_ROW) {
		memcpy(copy, value.mv_data, value.mv_size);
		copy[0] ^= 1; /* another owner: no longer the key of this place */
		value.mv_data = copy;
		rc = mdb_cursor_put(cursor, &key, &value, MDB_CURRENT);
	} else if (rc == 0) {
		rc = mdb_cursor_del(cursor, 0);
	}
	mdb_cursor_close(cursor);
	return rc;
}

static void
note_damage(void *arg, int rc, const char *text)
{
	int *reports = arg;

	tap_note("%s", text);
	*reports += rc == -OCF_ECORRUPT;
}

static bool
count_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	  const struct row *row)
{
	(void)k;
	(void)key;
	(void)row;
	++*(int *)arg;
	return true;
}

static void
test_spoilt(void)
{
	for (enum spoil what = 0; what < SPOIL_N; what++) {
		char name[] = { 's', (char)('0' + (int)what), '\0' },
		     *dir = test_folder(name);
		int reports = 0, rows = 0;
		struct store_config config = { .dir = dir,
					       .sha256 = test_sha256,
					       .report = note_damage,
					       .report_arg = &reports };
		struct store *store;
		uint64_t dropped = 99;

		test_store_create(dir);
		CU_ASSERT_FATAL(store_open(&config, &store, NULL) == 0);
		fill(store, 200, tap_seed());
		CU_ASSERT(test_store_differences(store) == 0);
		pthread_mutex_lock(&store->write_lock);
		CU_ASSERT(env_write(store, spoil_write, &what) == 0);
		pthread_mutex_unlock(&store->write_lock);
		CU_ASSERT(test_store_differences(store) > 0);
		CU_ASSERT(store_each(store, count_row, &rows) == 0);
		CU_ASSERT(store_each(store, count_row, &rows) == 0);
		CU_ASSERT(rows == 2 * (what == SPOIL_ROW ? 199 : 200));
		CU_ASSERT(reports == (what == SPOIL_ROW)); /* once */
		CU_ASSERT(store_repair(store, NULL, NULL, &dropped) == 0);
		CU_ASSERT(dropped == (what == SPOIL_ROW));
		CU_ASSERT(test_store_differences(store) == 0);
		CU_ASSERT(store_root(store).count == 200 - dropped);
		fill(store, 200, tap_seed()); /* a peer brings it back */
		CU_ASSERT(store_root(store).count == 200);
		CU_ASSERT(test_store_differences(store) == 0);
		store_close(store);
		free(dir);
	}
}

/* The root of before is the root less what came since, in whatever order it came. */
static void
test_root_before(void)
{
	char *dir = test_folder("before");
	struct store_digest early, now;
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = 0; i < 20; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 30) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	early = store_root(store);
	for (int i = 19; i >= 10; i--) {
		struct row_key key = test_key(1, i), fresh = test_key(2, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 3, 2, i % 2 ? 40 : -1) == 0);
		CU_ASSERT_FATAL(test_merge(store, &fresh, 3, 2, 40) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	now = store_root(store);
	CU_ASSERT(now.count == 30 && !digest_equal(now, early));
	CU_ASSERT(digest_equal(store_root_before(store, TEST_STAMP(2) + 1), now));
	CU_ASSERT(digest_equal(store_root_before(store, TEST_STAMP(2)), early));
	CU_ASSERT(digest_equal(store_root_before(store, 0),
			       (struct store_digest){ .count = 0 }));
	store_close(store);
	/* A store just opened knows of no changes. */
	store = test_store_open(dir);
	CU_ASSERT(digest_equal(store_root_before(store, 0), now));
	store_close(store);
	free(dir);
}

/* Kept STORE_RECENT_MS from the later of commit and stamp, a stamp of the future no longer
 * than RECENTS_MS_MAX, and never more than RECENTS_MAX. */
static void
test_recents(void)
{
	struct recents r = { 0 };
	struct recent change = { .stamp = 5000, .moved = { { 0, 7 }, 1 } };
	struct store_digest root = { { 0, 100 }, 10 };
	ms_t now = 10000;

	recents_note(&r, now, &change);
	change.stamp = (uint64_t)now + MS_HOUR;
	recents_note(&r, now, &change);
	CU_ASSERT(recents_subtract(&r, now, root, 0).count == 8);
	CU_ASSERT(recents_subtract(&r, now, root, 5001).sum.lo == 93);
	CU_ASSERT(recents_subtract(&r, now + STORE_RECENT_MS - 1, root, 0).count == 8);
	CU_ASSERT(recents_subtract(&r, now + STORE_RECENT_MS, root, 0).count == 9);
	CU_ASSERT(recents_subtract(&r, now + RECENTS_MS_MAX - 1, root, 0).count == 9);
	CU_ASSERT(recents_subtract(&r, now + RECENTS_MS_MAX, root, 0).count == 10);
	/* Old ones make room first. */
	change.stamp = 0;
	for (int i = 0; i < 100000; i++)
		recents_note(&r, now + i * 1000, &change);
	CU_ASSERT(r.cap <= 128);
	for (int i = 0; i < RECENTS_MAX + 10; i++)
		recents_note(&r, now + MS_DAY, &change);
	CU_ASSERT(r.len <= RECENTS_MAX && r.len > RECENTS_MAX / 2);
	free(r.items);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "the root does not depend on the order of arrival",
		  test_order_does_not_matter },
		{ "every node is the sum of its children, above and below the buckets",
		  test_sums },
		{ "the root of before is the root less what came since",
		  test_root_before },
		{ "recent changes are kept so long and no longer", test_recents },
		{ "buckets grow with the table and empty with it", test_buckets_grow },
		{ "stores with different bits agree on every digest, growing or "
		  "shrinking",
		  test_bits_agree },
		{ "a size that swings does not change the bits each time",
		  test_bits_keep },
		{ "the map grows by itself", test_map_grows },
		{ "readers on other threads see one moment while the table is written "
		  "and grows",
		  test_readers },
		{ "verify finds what is spoilt and repair mends it", test_spoilt },
	};

	return TAP_MAIN(argc, argv, tests);
}
