/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber: every kind of damage is found, named, counted and put right, as far as the
 * rows tell what is right; and nothing is ever found that is not there. */
#include "config.h"

#include "lib/tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/codec.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/private.h"

/* More than 256 rows: the lists are looked at in several steps. */
enum { ROWS = 700, REPORTS_MAX = 64 };

struct rig {
	char *dir;
	struct store *store;
	struct row_key victim; /* the row that is damaged */
	uint8_t k[STORE_K_BYTES];
	struct buf key;			   /* encoded */
	struct store_digest root, without; /* of all rows, and without the victim */
	int n_reports, n_asked;
	char reports[REPORTS_MAX][256];
};

static struct rig *rig; /* of the test that runs: callbacks have it too */

/* The signatures of these rows are noise: what was written first counts as genuine. */
static bool
is_genuine(void *arg, const struct row_key *key, const struct row *row)
{
	bool is_same = false;

	(void)arg;
	__atomic_fetch_add(&rig->n_asked, 1, __ATOMIC_SEQ_CST);
	if (row_key_compare(key, &rig->victim) != 0)
		return true;
	for (uint64_t seq = 2; seq <= 3; seq++) { /* 3: of test_harm_met() */
		struct row want;

		test_row(3, seq, seq - 1, seq == 2 ? -1 : 40, seq, &want);
		is_same |= row_equal(row, &want);
		row_fini(&want);
	}
	return is_same;
}

static void
report(void *arg, int rc, const char *text)
{
	(void)arg;
	tap_note("%d: %s", rc, text);
	if (rig->n_reports < REPORTS_MAX)
		snprintf(rig->reports[rig->n_reports++], sizeof(rig->reports[0]), "%s",
			 text);
}

static void
rig_open_store(void)
{
	struct store_config config = { .dir = rig->dir,
				       .sha256 = test_sha256,
				       .is_genuine = is_genuine,
				       .report = report };
	struct errmsg err = { "" };

	CU_ASSERT_FATAL(store_open(&config, &rig->store, &err) == 0);
}

/* Rows, every third of them removed, the victim too. */
static void
rig_open(const char *name)
{
	rig = mem_calloc(1, sizeof(*rig));
	rig->dir = test_folder(name);
	rig->victim = test_key(1, 3);
	codec_put_key(&rig->key, &rig->victim);
	test_store_create(rig->dir);
	rig_open_store();
	digest_key(&rig->store->tk, &rig->victim, test_sha256, rig->k);
	for (int i = 0; i < ROWS; i++) {
		struct row_key key = test_key(1, i);

		if (i == 3)
			continue;
		CU_ASSERT_FATAL(test_merge(rig->store, &key, 3, 1 + (uint64_t)i % 9,
					   i % 3 == 0 ? -1 : 40) == 0);
	}
	CU_ASSERT(test_store_wait(rig->store) == 0);
	rig->without = store_root(rig->store);
	CU_ASSERT(test_merge(rig->store, &rig->victim, 3, 2, -1) == 0);
	CU_ASSERT(test_store_wait(rig->store) == 0);
	rig->root = store_root(rig->store);
}

static void
rig_close(void)
{
	CU_ASSERT(test_store_differences(rig->store) == 0);
	CU_ASSERT(store_close(rig->store) == 0);
	buf_fini(&rig->key);
	free(rig->dir);
	free(rig);
	rig = NULL;
}

static void
damage(env_write_fn *fn)
{
	pthread_mutex_lock(&rig->store->write_lock);
	CU_ASSERT_FATAL(env_write(rig->store, fn, NULL) == 0);
	pthread_mutex_unlock(&rig->store->write_lock);
}

/* A whole pass; whether the root or a row changed. Returns the last error. */
static int
pass(bool *ret_changed)
{
	bool is_end = false, any = false;
	int last = 0;

	for (int i = 0; !is_end && i < 10000; i++) {
		bool is_changed;
		int rc = store_scrub(rig->store, &is_changed, &is_end);

		last = rc != 0 ? rc : last;
		any |= is_changed;
	}
	CU_ASSERT(is_end);
	if (ret_changed != NULL)
		*ret_changed = any;
	return last;
}

static uint64_t
found(struct store_stats *ret_stats)
{
	uint64_t n = 0;

	store_stats(rig->store, ret_stats);
	for (int i = 0; i < STORE_FAULTS; i++)
		n += ret_stats->faults[i];
	return n;
}

static bool
was_told(const char *words)
{
	for (int i = 0; i < rig->n_reports; i++)
		if (strstr(rig->reports[i], words) != NULL)
			return true;
	return false;
}

static bool
root_is(struct store_digest want)
{
	struct store_digest is = store_root(rig->store);

	return is.count == want.count && u128_equal(is.sum, want.sum);
}

/* ---- kinds of damage ---- */

static struct bytes
record_number(uint8_t key[4])
{
	put_be32(key, (uint32_t)(bucket_prefix(rig->k, rig->store->root.bits) / 64));
	return bytes_of(key, 4);
}

static int
damage_digest(struct store *store, MDB_txn *txn, void *arg)
{
	struct store_digest slots[BUCKET_SLOTS];
	uint64_t bucket = bucket_prefix(rig->k, store->root.bits);
	int rc = buckets_read(store, txn, (uint32_t)(bucket / 64), slots);

	(void)arg;
	slots[bucket % 64].sum.lo ^= 0x100;
	return rc != 0 ? rc : buckets_write(store, txn, (uint32_t)(bucket / 64), slots);
}

static int
damage_digest_record(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t key[4];

	(void)arg;
	return env_put(txn, store->digests, record_number(key), bytes_text("short"));
}

static int
damage_digest_gone(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t key[4];

	(void)arg;
	return env_delete(txn, store->digests, record_number(key));
}

static int
damage_root(struct store *store, MDB_txn *txn, void *arg)
{
	struct root root = store->root;

	(void)arg;
	root.digest.sum.hi ^= 1;
	root.digest.count += 3;
	return store_put_root(store, txn, &root);
}

static int
damage_root_bits(struct store *store, MDB_txn *txn, void *arg)
{
	struct root root = store->root;

	(void)arg;
	root.bits++;
	return store_put_root(store, txn, &root);
}

static int
damage_root_value(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return store_put_meta(store, txn, "root", bytes_text("nothing of the kind"));
}

static int
damage_owner_gone(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return env_delete(txn, store->owners, buf_bytes(&rig->key));
}

static int
damage_owner_other(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return env_put(txn, store->owners, buf_bytes(&rig->key),
		       bytes_text("sixteen letters."));
}

static int
damage_owner_more(struct store *store, MDB_txn *txn, void *arg)
{
	struct row_key key = test_key(9, 9);
	struct buf encoded = BUF_INIT;
	int rc;

	(void)arg;
	codec_put_key(&encoded, &key);
	rc = env_put(txn, store->owners, buf_bytes(&encoded),
		     bytes_of(rig->k, STORE_K_BYTES));
	buf_fini(&encoded);
	return rc;
}

static int
damage_removed_gone(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t entry[REMOVED_KEY_BYTES];
	struct bytes record;
	int rc = env_get(txn, store->rows, bytes_of(rig->k, STORE_K_BYTES), &record);

	(void)arg;
	if (rc != 0 || !rows_removed_key(rig->k, record, entry))
		return -EINVAL;
	return env_delete(txn, store->removed, bytes_of(entry, sizeof(entry)));
}

static int
damage_removed_more(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t entry[REMOVED_KEY_BYTES];

	(void)arg;
	put_be64(entry, 77);
	memcpy(entry + 8, rig->k, STORE_K_BYTES);
	return env_put(txn, store->removed, bytes_of(entry, sizeof(entry)), BYTES_NONE);
}

static int
change_row(struct store *store, MDB_txn *txn, size_t back)
{
	struct bytes k = bytes_of(rig->k, STORE_K_BYTES), record;
	struct buf copy = BUF_INIT;
	int rc = env_get(txn, store->rows, k, &record);

	if (rc == 0) {
		buf_put_bytes(&copy, record);
		copy.data[copy.len - back] ^= 0x40;
		rc = env_put(txn, store->rows, k, buf_bytes(&copy));
	}
	buf_fini(&copy);
	return rc;
}

/* A byte of the signature: it decodes as well as before. */
static int
damage_row_signature(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return change_row(store, txn, 10);
}

/* A byte of the context: there is no such row. */
static int
damage_row_bytes(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return change_row(store, txn, ROW_SIGNATURE_BYTES + 2 + 1 + 8);
}

static int
damage_row_gone(struct store *store, MDB_txn *txn, void *arg)
{
	(void)arg;
	return env_delete(txn, store->rows, bytes_of(rig->k, STORE_K_BYTES));
}

static int
damage_row_astray(struct store *store, MDB_txn *txn, void *arg)
{
	struct bytes record;
	int rc = env_get(txn, store->rows, bytes_of(rig->k, STORE_K_BYTES), &record);

	(void)arg;
	return rc != 0 ? rc : env_put(txn, store->rows, bytes_text("short"), record);
}

/* What each of them is found as, how often, and whether a row is lost for now. */
static const struct harm {
	const char *name;
	env_write_fn *fn;
	int faults[STORE_FAULTS]; /* row, owner, removed, digest, root */
	bool is_lost;
	const char *told;
} harms[] = {
	{ "digest", damage_digest, { 0, 0, 0, 1, 0 }, false, "bucket" },
	{ "record", damage_digest_record, { 0, 0, 0, 1, 0 }, false, "record 0" },
	{ "no record", damage_digest_gone, { 0, 0, 0, -1, 0 }, false, "bucket" },
	{ "root", damage_root, { 0, 0, 0, 0, 1 }, false, "root" },
	{ "bits", damage_root_bits, { 0, 0, 0, 0, 1 }, false, "root" },
	{ "value", damage_root_value, { 0, 0, 0, 0, 1 }, false, "root" },
	{ "owner", damage_owner_gone, { 0, 1, 0, 0, 0 }, false, "its owner's" },
	{ "stray owner", damage_owner_other, { 0, 1, 0, 0, 0 }, false, "its owner's" },
	{ "an owner more", damage_owner_more, { 0, 1, 0, 0, 0 }, false, "no row makes" },
	{ "removed", damage_removed_gone, { 0, 0, 1, 0, 0 }, false, "with removed" },
	{ "removed more", damage_removed_more, { 0, 0, 1, 0, 0 }, false, "no row makes" },
	{ "signature", damage_row_signature, { 1, 1, 1, 0, 0 }, true, "signed" },
	{ "row", damage_row_bytes, { 1, 1, 1, 0, 0 }, true, "is damaged" },
	{ "no row", damage_row_gone, { 0, 1, 1, 1, 0 }, true, "bucket" },
	{ "a row astray", damage_row_astray, { 1, 0, 0, 0, 0 }, false, "wrong size" },
};

static void
check_harm(const struct harm *harm)
{
	struct store_stats stats;
	bool is_changed;
	uint64_t n;

	CU_ASSERT(pass(&is_changed) == 0);
	n = found(&stats);
	for (int i = 0; i < STORE_FAULTS; i++) {
		bool is_so = harm->faults[i] < 0
				     ? stats.faults[i] > 0
				     : stats.faults[i] == (uint64_t)harm->faults[i];

		CU_ASSERT(is_so);
		if (!is_so)
			tap_note("%s: %d × %s", harm->name, (int)stats.faults[i],
				 store_fault_text((enum store_fault)i));
	}
	CU_ASSERT(stats.repaired == n && n > 0);
	CU_ASSERT(was_told(harm->told));
	CU_ASSERT(root_is(harm->is_lost ? rig->without : rig->root));
	CU_ASSERT(!harm->is_lost || is_changed);
	CU_ASSERT(test_store_differences(rig->store) == 0);
	CU_ASSERT(pass(&is_changed) == 0 && !is_changed); /* and that was all */
	CU_ASSERT(found(&stats) == n);
}

static void
test_each_harm(void)
{
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		rig_open(harms[i].name);
		damage(harms[i].fn);
		check_harm(&harms[i]);
		/* Brought back, the row is there again. */
		CU_ASSERT(test_merge(rig->store, &rig->victim, 3, 2, -1) == 0);
		CU_ASSERT(test_store_wait(rig->store) == 0 && root_is(rig->root));
		rig_close();
	}
}

/* Harm that was done while nobody had the store open. */
static void
test_harm_before(void)
{
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		char name[64];

		if (harms[i].fn == damage_root_bits || harms[i].fn == damage_root_value)
			continue; /* refused, or all buckets are wrong: below */
		snprintf(name, sizeof(name), "before %s", harms[i].name);
		rig_open(name);
		damage(harms[i].fn);
		store_close(rig->store);
		rig_open_store();
		check_harm(&harms[i]);
		rig_close();
	}
	rig_open("before bits");
	damage(damage_root_bits);
	store_close(rig->store);
	rig_open_store();
	CU_ASSERT(pass(NULL) == 0 && root_is(rig->root));
	rig_close();
}

/* What a commit needs is damaged: it is not put off until the scrubber comes by. */
static void
test_harm_met(void)
{
	struct row_key key = test_key(2, 1);
	struct store_stats stats;
	bool is_changed;

	rig_open("met");
	CU_ASSERT(test_merge(rig->store, &key, 3, 1, 40) == 0);
	damage(damage_digest_record);
	CU_ASSERT(test_merge(rig->store, &rig->victim, 3, 3, 40) == 0);
	CU_ASSERT(test_store_wait(rig->store) == 0);
	CU_ASSERT(was_told("digest record is damaged; it was put right"));
	CU_ASSERT(found(&stats) == 1 && stats.faults[STORE_FAULT_DIGEST] == 1);
	CU_ASSERT(stats.repaired == 1 && rig->n_reports == 1);
	CU_ASSERT(store_root(rig->store).count == ROWS + 1);
	CU_ASSERT(test_store_differences(rig->store) == 0);
	CU_ASSERT(pass(&is_changed) == 0 && !is_changed && found(&stats) == 1);
	rig_close();
}

/* All kinds at once, in many places. */
static void
test_much_harm(void)
{
	struct store_stats stats;
	int asked;

	rig_open("much");
	damage(damage_digest);
	damage(damage_root);
	damage(damage_owner_more);
	damage(damage_owner_gone);
	damage(damage_removed_gone);
	damage(damage_removed_more);
	damage(damage_row_signature);
	damage(damage_digest_record);
	CU_ASSERT(pass(NULL) == 0);
	CU_ASSERT(found(&stats) >= 5 && stats.repaired == found(&stats));
	/* Though the digests were summed up anew with that row. */
	CU_ASSERT(was_told("is not what its owner signed; it was dropped"));
	CU_ASSERT(stats.faults[STORE_FAULT_ROW] == 1);
	CU_ASSERT(test_store_differences(rig->store) == 0);
	CU_ASSERT(pass(NULL) == 0 && test_store_differences(rig->store) == 0);
	asked = rig->n_asked;
	CU_ASSERT(pass(NULL) == 0 && rig->n_asked == asked);
	rig_close();
}

/* The store grows, and with it the number of buckets: digests are summed up anew, in which
 * the row that rotted does not show. */
static void
test_harm_hidden(void)
{
	struct store_stats stats;
	int bits;

	rig_open("hidden");
	store_stats(rig->store, &stats);
	bits = stats.bucket_bits;
	damage(damage_row_signature);
	for (int i = ROWS; i < BUCKET_ROWS_MEAN_MAX << bits; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT(test_merge(rig->store, &key, 3, 1, 40) == 0);
	}
	CU_ASSERT(test_store_wait(rig->store) == 0);
	store_stats(rig->store, &stats);
	CU_ASSERT(stats.bucket_bits > bits);
	CU_ASSERT(pass(NULL) == 0 && was_told("is not what its owner signed"));
	store_stats(rig->store, &stats);
	CU_ASSERT(stats.faults[STORE_FAULT_ROW] == 1);
	rig_close();
}

static void
test_sound(void)
{
	struct store_stats stats;
	bool is_changed;

	rig_open("sound");
	CU_ASSERT(pass(&is_changed) == 0 && !is_changed);
	CU_ASSERT(found(&stats) == 0 && stats.repaired == 0 && rig->n_reports == 0);
	CU_ASSERT(stats.scrubbed == (uint64_t)1 << stats.bucket_bits);
	CU_ASSERT(rig->n_asked == 0); /* signatures only where a digest does not fit */
	rig_close();
}

static bool is_over;

static void *
write_rows(void *arg)
{
	struct rng rng;

	(void)arg;
	rng_init(&rng, tap_seed());
	for (int i = 0; !__atomic_load_n(&is_over, __ATOMIC_SEQ_CST); i++) {
		struct row_key key = test_key(1 + rng_below(&rng, 3),
					      (int)rng_below(&rng, 16000));
		uint64_t what = rng_below(&rng, 8);

		int rc = what == 0 ? store_replace(rig->store, &key, &ROW_INIT)
				   : test_merge(rig->store, &key, 3, 20 + (uint64_t)i,
						what < 4 ? -1 : 30);

		CU_ASSERT(rc == 0);
		if (i % 300 == 0)
			test_store_wait(rig->store);
	}
	return NULL;
}

/* While rows come, change and go, and buckets become more. */
static void
test_no_false_alarm(void)
{
	int passes = tap_is_quick() ? 3 : 25, bits;
	struct store_stats stats;
	pthread_t thread;

	rig_open("beside");
	bits = rig->store->root.bits;
	is_over = false;
	CU_ASSERT_FATAL(pthread_create(&thread, NULL, write_rows, NULL) == 0);
	for (int i = 0; i < passes; i++)
		CU_ASSERT(pass(NULL) == 0);
	__atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CU_ASSERT(test_store_wait(rig->store) == 0);
	CU_ASSERT(pass(NULL) == 0);
	CU_ASSERT(found(&stats) == 0 && rig->n_reports == 0);
	tap_note("%d passes beside %d commits, bucket bits from %d to %d", passes,
		 (int)stats.commits, bits, stats.bucket_bits);
	rig_close();
}

/* Nothing can be written: it is found and told, counted as found, and put right later. */
static void
test_full(void)
{
	struct rlimit limit, old;
	struct store_stats stats;

	rig_open("full");
	damage(damage_owner_gone);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ .rlim_cur = 4096, .rlim_max = old.rlim_max };
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CU_ASSERT(pass(NULL) < 0);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CU_ASSERT(found(&stats) >= 1 && stats.repaired == 0);
	CU_ASSERT(was_told("cannot be put right just now"));
	CU_ASSERT(pass(NULL) == 0);
	found(&stats);
	CU_ASSERT(stats.repaired == 1 && was_told("it was put right"));
	rig_close();
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a sound store is looked at wholly and nothing is found", test_sound },
		{ "every kind of damage is found, named, counted and put right",
		  test_each_harm },
		{ "damage done while the store was closed is found as well",
		  test_harm_before },
		{ "damage that a commit meets is put right at once, and it goes on",
		  test_harm_met },
		{ "damage of all kinds at once is put right", test_much_harm },
		{ "a row that rotted is found, too, when digests were made anew since",
		  test_harm_hidden },
		{ "nothing is found beside writes that is not there",
		  test_no_false_alarm },
		{ "what cannot be put right on a full disk is put right later",
		  test_full },
	};

	return TAP_MAIN(argc, argv, tests);
}
