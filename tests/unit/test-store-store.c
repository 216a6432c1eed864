/* SPDX-License-Identifier: Apache-2.0 */
/* A store from making to closing: rows, numbers, small things, readers. */
#include "config.h"

#include "lib/tap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/rows.h"
#include "lib/sha256.h"

static void
test_made_once(void)
{
	struct store_constants constants = { { { 7 } }, 3600000, 100 };
	char *dir = test_folder("once"), *none = test_folder("none");
	struct store_config config = { .dir = none, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store;
	uint64_t actor;

	CU_ASSERT(store_open(&config, &store, &err) == -ENOENT);
	CU_ASSERT(strstr(err.text, "ocf init") != NULL);
	CU_ASSERT(access(none, F_OK) != 0);
	CU_ASSERT_FATAL(store_create(dir, &constants, &err) == 0);
	CU_ASSERT(store_create(dir, &constants, &err) == -EEXIST);
	store = test_store_open(dir);
	CU_ASSERT(store_constants(store)->cluster.b[0] == 7);
	CU_ASSERT(store_constants(store)->retention_ms == 3600000);
	CU_ASSERT(store_constants(store)->rows_per_node == 100);
	actor = store_actor(store);
	CU_ASSERT(store_actor_is_ours(store, actor));
	CU_ASSERT_FALSE(store_actor_is_ours(store, actor + 1));
	CU_ASSERT(store_close(store) == 0);
	CU_ASSERT(store_close(NULL) == 0);
	store = test_store_open(dir);
	CU_ASSERT(store_actor(store) == actor);
	store_close(store);
	free(dir);
	free(none);
}

static void
test_one_process(void)
{
	char *dir = test_folder("busy"), number[32];
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store, *second;
	int status = -1;
	pid_t pid;

	test_store_create(dir);
	store = test_store_open(dir);
	CU_ASSERT(store_open(&config, &second, &err) == -EBUSY);
	snprintf(number, sizeof(number), "process %d", (int)getpid());
	CU_ASSERT(strstr(err.text, number) != NULL && strstr(err.text, dir) != NULL);
	pid = fork();
	if (pid == 0) { /* not its exit: valgrind would count what the copy never freed */
		if (store_open(&config, &second, NULL) == -EBUSY)
			raise(SIGKILL);
		_exit(1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	store_close(store);
	store_close(test_store_open(dir));
	free(dir);
}

static void
test_merge_and_restart(void)
{
	char *dir = test_folder("merge");
	struct row_key key = test_key(1, 4), bad = test_key(1, 4);
	struct row row, merged, got;
	struct store *store;
	bool is_changed;

	test_store_create(dir);
	store = test_store_open(dir);
	CU_ASSERT(store_get(store, &key, &got) == -ENOENT);
	test_row(9, 1, 0, 100, 1, &row);
	CU_ASSERT(store_merge(store, &key, &row, &is_changed, &merged) == 0 &&
		  is_changed);
	CU_ASSERT(row_equal(&row, &merged));
	row_fini(&merged);
	CU_ASSERT_FATAL(store_get(store, &key, &got) ==
			0); /* pending or not, it is there */
	CU_ASSERT(row_equal(&row, &got));
	row_fini(&got);
	CU_ASSERT(store_merge(store, &key, &row, &is_changed, NULL) == 0 && !is_changed);
	CU_ASSERT(test_store_wait(store) == 0);
	CU_ASSERT_FATAL(store_get(store, &key, &got) == 0);
	CU_ASSERT(row_equal(&row, &got));
	row_fini(&got);
	snprintf(bad.name, sizeof(bad.name), "99999");
	bad.name_len = 5;
	CU_ASSERT(store_merge(store, &bad, &row, &is_changed, NULL) == -OCF_EMALFORMED);
	store_close(store);
	store = test_store_open(dir);
	CU_ASSERT_FATAL(store_get(store, &key, &got) == 0);
	CU_ASSERT(row_equal(&row, &got));
	row_fini(&got);
	row_fini(&row);
	test_row(8, 1, 0, 10, 2, &row); /* another actor's: both stand */
	CU_ASSERT(store_merge(store, &key, &row, &is_changed, &merged) == 0 &&
		  is_changed);
	CU_ASSERT(merged.len == 2);
	row_fini(&merged);
	row_fini(&row);
	CU_ASSERT(test_store_wait(store) == 0 && test_store_differences(store) == 0);
	CU_ASSERT(store_root(store).count == 1);
	CU_ASSERT(store_replace(store, &key, &ROW_INIT) == 0);
	CU_ASSERT(store_get(store, &key, &got) == -ENOENT);
	CU_ASSERT(test_store_wait(store) == 0 && test_store_differences(store) == 0);
	CU_ASSERT(store_get(store, &key, &got) == -ENOENT);
	CU_ASSERT(store_root(store).count == 0);
	CU_ASSERT(u128_equal(store_root(store).sum, (struct u128){ 0, 0 }));
	store_close(store);
	free(dir);
}

static void
test_close_drains(void)
{
	char *dir = test_folder("drain");
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = 0; i < 3000; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 5, 1, 20) == 0);
	}
	CU_ASSERT(store_close(store) == 0);
	store = test_store_open(dir);
	CU_ASSERT(store_root(store).count == 3000 && test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

static void
test_numbers(void)
{
	char *dir = test_folder("numbers");
	uint64_t last = 0, actor;
	struct store *store;
	struct dot dot;

	test_store_create(dir);
	for (int life = 0; life < 5; life++) {
		store = test_store_open(dir);
		for (int i = 0; i < 100000; i++) {
			int rc;

			while ((rc = store_next_dot(store, &dot)) == -EAGAIN)
				CU_ASSERT(test_store_wait(store) == 0);
			CU_ASSERT_FATAL(rc == 0 && dot.seq > last);
			last = dot.seq;
		}
		store_close(store);
	}
	store = test_store_open(dir);
	actor = store_actor(store);
	CU_ASSERT(dot.actor == actor);
	CU_ASSERT(store_actor_renew(store) == 0);
	CU_ASSERT(store_actor(store) != actor);
	CU_ASSERT(store_actor_is_ours(store, actor));
	CU_ASSERT(store_next_dot(store, &dot) == 0 && dot.actor == store_actor(store));
	last = dot.seq;
	store_close(store);
	store = test_store_open(dir);
	CU_ASSERT(store_actor(store) == dot.actor && store_actor_is_ours(store, actor));
	CU_ASSERT(store_next_dot(store, &dot) == 0 && dot.seq > last);
	store_close(store);
	free(dir);
}

static void
test_small_things(void)
{
	char *dir = test_folder("meta"), long_name[STORE_META_NAME_BYTES_MAX + 2];
	struct buf out = BUF_INIT;
	struct store *store;

	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	test_store_create(dir);
	store = test_store_open(dir);
	CU_ASSERT(store_meta_get(store, "seeds", &out) == -ENOENT);
	CU_ASSERT(store_meta_set(store, long_name, bytes_text("x")) == -OCF_ELIMIT);
	CU_ASSERT(store_meta_set(store, "seeds", bytes_text("one")) == 0);
	CU_ASSERT(store_meta_set(store, "seeds", bytes_text("two")) == 0);
	CU_ASSERT(store_meta_set(store, "format", bytes_text("not the store's")) == 0);
	CU_ASSERT(store_meta_get(store, "seeds", &out) == 0);
	CU_ASSERT(bytes_equal_text(buf_bytes(&out), "two"));
	CU_ASSERT(test_store_wait(store) == 0);
	buf_clear(&out);
	CU_ASSERT(store_meta_get(store, "seeds", &out) == 0);
	CU_ASSERT(bytes_equal_text(buf_bytes(&out), "two"));
	CU_ASSERT(store_meta_set(store, "gone", bytes_text("x")) == 0);
	CU_ASSERT(test_store_wait(store) == 0);
	CU_ASSERT(store_meta_set(store, "gone", BYTES_NONE) == 0);
	CU_ASSERT(store_meta_get(store, "gone", &out) == -ENOENT);
	store_close(store);
	store = test_store_open(dir);
	CU_ASSERT(store_meta_get(store, "gone", &out) == -ENOENT);
	buf_clear(&out);
	CU_ASSERT(store_meta_get(store, "seeds", &out) == 0);
	CU_ASSERT(bytes_equal_text(buf_bytes(&out), "two"));
	store_close(store);
	buf_fini(&out);
	free(dir);
}

struct seen {
	uint8_t last[STORE_K_BYTES];
	int n, stop_after;
	bool is_ordered;
	uint64_t seqs;
};

static bool
see(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
    const struct row *row)
{
	struct seen *seen = arg;

	(void)key;
	if (seen->n > 0 && memcmp(seen->last, k, STORE_K_BYTES) >= 0)
		seen->is_ordered = false;
	memcpy(seen->last, k, STORE_K_BYTES);
	seen->seqs += row->versions[0].dot.seq;
	return ++seen->n != seen->stop_after;
}

/* Pages of every size show every row once and in order, while rows are pending, removed
 * in memory, or changed in memory. */
static void
test_pages(void)
{
	char *dir = test_folder("pages");
	struct store *store;
	struct rng rng;

	test_store_create(dir);
	store = test_store_open(dir);
	rng_init(&rng, tap_seed());
	for (int i = 0; i < 300; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 5, 1, 50) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	for (int round = 0; round < 50; round++) {
		struct seen seen = { .is_ordered = true }, all = { .is_ordered = true };
		uint8_t at[STORE_K_BYTES] = { 0 };
		bool more = true;
		int max = 1 + (int)rng_below(&rng, 80);
		struct row_key gone = test_key(1, round),
			       changed = test_key(1, 100 + round);
		struct row_key new = test_key(2, round);

		CU_ASSERT(store_replace(store, &gone, &ROW_INIT) == 0);
		CU_ASSERT(test_merge(store, &changed, 5, 2, 60) == 0);
		CU_ASSERT(test_merge(store, &new, 6, 1, 10) == 0);
		seen.stop_after = round % 3 == 0 ? 5 : 0;
		while (more) {
			int before = seen.n;

			CU_ASSERT_FATAL(store_page(store, at, max, 4000, see, &seen, at,
						   &more) == 0);
			CU_ASSERT(seen.n - before <= max);
		}
		CU_ASSERT(seen.n == 300 && seen.is_ordered);
		CU_ASSERT(seen.seqs == 300 + (uint64_t)round + 1);
		CU_ASSERT(store_each(store, see, &all) == 0);
		CU_ASSERT(all.n == 300 && all.is_ordered && all.seqs == seen.seqs);
	}
	CU_ASSERT(test_store_wait(store) == 0 && test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

struct owned {
	struct id owner;
	int n;
	bool is_good;
};

static bool
see_owned(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	  const struct row *row)
{
	struct owned *owned = arg;

	(void)k;
	(void)row;
	owned->n++;
	owned->is_good &= id_equal(&owned->owner, &key->owner);
	return true;
}

static void
test_owners(void)
{
	char *dir = test_folder("owners");
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = -1; i < 600; i++)
		for (uint64_t owner = 1; owner <= 3; owner++) {
			struct row_key key = test_key(owner, i);

			if (i == 300)
				CU_ASSERT(test_store_wait(store) == 0);
			CU_ASSERT_FATAL(test_merge(store, &key, owner, 1, 5) == 0);
		}
	for (uint64_t owner = 0; owner <= 4; owner++) {
		struct owned owned = { .owner = test_key(owner, -1).owner,
				       .is_good = true };

		CU_ASSERT(store_owner_each(store, &owned.owner, see_owned, &owned) == 0);
		CU_ASSERT(owned.n == (owner >= 1 && owner <= 3 ? 601 : 0) &&
			  owned.is_good);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	store_close(store);
	free(dir);
}

struct swept {
	int n, stop_after;
	uint64_t last;
	struct row_key keys[400];
};

static bool
see_removed(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	    const struct row *row)
{
	struct swept *swept = arg;

	(void)k;
	CU_ASSERT(row->len == 1 && row->versions[0].is_removed);
	CU_ASSERT(row->versions[0].stamp >= swept->last);
	swept->last = row->versions[0].stamp;
	swept->keys[swept->n] = *key;
	return ++swept->n != swept->stop_after;
}

/* Rows with removed versions come by age, as many as are asked for, until they are swept
 * or written again; node rows never. */
static void
test_removed(void)
{
	char *dir = test_folder("removed");
	struct swept swept = { .n = 0 }, none = { .n = 0 };
	struct row_key node = test_key(1, -1);
	struct store *store;
	bool more = true;

	test_store_create(dir);
	store = test_store_open(dir);
	CU_ASSERT(test_merge(store, &node, 5, 1, -1) == 0);
	for (int i = 0; i < 300; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 5, 1000 - (uint64_t)i,
					   i % 3 == 0 ? 10 : -1) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0 && test_store_differences(store) == 0);
	CU_ASSERT(store_removed_each(store, TEST_STAMP(700), 400, see_removed, &none,
				     &more) == 0);
	CU_ASSERT(none.n == 0 && !more);
	for (int round = 0; round < 4; round++) { /* 200 of them, 60 a time */
		swept.n = 0;
		swept.last = 0;
		CU_ASSERT(store_removed_each(store, TEST_STAMP(1000), 60, see_removed,
					     &swept, &more) == 0);
		CU_ASSERT(swept.n == (round < 3 ? 60 : 20) && more == (round < 3));
		for (int i = 0; i < swept.n; i++)
			CU_ASSERT((i % 2 ? store_replace(store, &swept.keys[i], &ROW_INIT)
					 : test_merge(store, &swept.keys[i], 5, 2000,
						      5)) == 0);
		CU_ASSERT(test_store_wait(store) == 0);
		CU_ASSERT(test_store_differences(store) == 0);
	}
	CU_ASSERT(store_removed_each(store, UINT64_MAX, 60, see_removed, &none, &more) ==
			  0 &&
		  none.n == 0 && !more);
	for (int i = 0; i < 5; i++) {
		struct row_key key = test_key(2, i);

		CU_ASSERT(test_merge(store, &key, 6, 1, -1) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	none.stop_after = 2;
	CU_ASSERT(store_removed_each(store, UINT64_MAX, 60, see_removed, &none, &more) ==
			  0 &&
		  none.n == 2 && more);
	store_close(store);
	free(dir);
}

static struct buf
read_data(const char *dir)
{
	char *path = mem_printf("%s/data.mdb", dir);
	struct buf content = BUF_INIT;

	CU_ASSERT_FATAL(file_read(path, 64 * 1024 * 1024, &content, NULL) == 0);
	free(path);
	return content;
}

static void
test_read_only(void)
{
	char *dir = test_folder("read-only"), *lock = mem_printf("%s/lock.mdb", dir);
	struct store_config config = { .dir = dir,
				       .sha256 = test_sha256,
				       .is_read_only = true };
	struct buf before, after;
	struct store_digest root;
	struct errmsg err = { "" };
	struct store *store, *other;
	struct row row = ROW_INIT;
	struct row_key key;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = 0; i < 100; i++) {
		key = test_key(1, i);
		CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 200) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	root = store_root(store);
	store_close(store);
	before = read_data(dir);
	CU_ASSERT(unlink(lock) == 0); /* LMDB's, not needed to look */
	CU_ASSERT_FATAL(store_open(&config, &store, &err) == 0);
	CU_ASSERT(store_open(&config, &other, &err) == -EBUSY);
	CU_ASSERT(store_root(store).count == 100);
	CU_ASSERT(u128_equal(store_root(store).sum, root.sum));
	CU_ASSERT(store_get(store, &key, &row) == 0);
	CU_ASSERT(test_store_differences(store) == 0);
	row_fini(&row);
	CU_ASSERT(store_close(store) == 0);
	after = read_data(dir);
	CU_ASSERT(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
	CU_ASSERT(access(lock, F_OK) != 0);
	store = test_store_open(dir); /* to be written again */
	CU_ASSERT(test_merge(store, &key, 3, 2, 200) == 0);
	CU_ASSERT(store_close(store) == 0);
	buf_fini(&before);
	buf_fini(&after);
	free(lock);
	free(dir);
}

static void
trim_all(void *arg, const struct row_key *key, struct row *row)
{
	(void)arg, (void)key;
	row_fini(row);
}

/* What the horizon ended before it came is no row, and no error either. */
static void
test_trimmed(void)
{
	char *dir = test_folder("trimmed");
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	struct row_key key = test_key(1, 4);
	struct row row, merged, got;
	struct store *store;
	bool is_changed = true;

	test_store_create(dir);
	config.trim = trim_all;
	CU_ASSERT_FATAL(store_open(&config, &store, NULL) == 0);
	test_row(9, 1, 0, 100, 1, &row);
	CU_ASSERT_FATAL(store_merge(store, &key, &row, &is_changed, &merged) == 0);
	CU_ASSERT(!is_changed && merged.len == 0);
	CU_ASSERT(store_get(store, &key, &got) == -ENOENT);
	row_fini(&row);
	store_close(store);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a store is made once and keeps its constants and actor",
		  test_made_once },
		{ "a second opener is refused with the first one's process",
		  test_one_process },
		{ "rows merge, are read back at once, and survive a restart",
		  test_merge_and_restart },
		{ "a row of which nothing may be held is taken for what it is: nothing",
		  test_trimmed },
		{ "closing commits what is pending", test_close_drains },
		{ "sequence numbers only rise, over blocks, lives and actors",
		  test_numbers },
		{ "small things are kept, replaced and removed", test_small_things },
		{ "pages show every row once and in order, pending ones included",
		  test_pages },
		{ "a store opened to be read changes in nothing", test_read_only },
		{ "an owner's rows are found", test_owners },
		{ "rows with removed versions are found by age", test_removed },
	};

	return TAP_MAIN(argc, argv, tests);
}
