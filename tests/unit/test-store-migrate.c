/* SPDX-License-Identifier: Apache-2.0 */
/* Stores of older formats become stores of this one, with everything in them, whole or
 * not at all. tests/data/store-1.mdb.gz was made by fill() with the code of format 1. */
#include "config.h"

#include "lib/tap.h"

#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/faults.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/store.h"

enum { OWNERS = 3, WORKERS = 12, REMOVED = 4 };

/* The actors of the store in tests/data, which were random. */
#define ACTOR_FIRST UINT64_C(0xf83073ee2ae2db60)
#define ACTOR_SECOND UINT64_C(0x2b1d02c75fc8c304)

/* Per owner a node row and worker rows: the first four removed, the next four written
 * twice, one of these by two actors, one removed by one actor and added by another. */
static void
fill(struct store *store)
{
	for (uint64_t owner = 1; owner <= OWNERS; owner++)
		for (int i = -1; i < WORKERS; i++) {
			struct row_key key = test_key(owner, i);
			uint64_t seq = owner * 100 + (uint64_t)(i + 1);

			CU_ASSERT(test_merge(store, &key, owner, seq, 20 + i) == 0);
			if (i >= 0 && i < 8)
				CU_ASSERT(test_merge(store, &key, owner, seq + 1,
						     i < REMOVED ? -1 : 30) == 0);
			if (i == 3 || i == 7)
				CU_ASSERT(test_merge(store, &key, owner + 50, seq, 40) ==
					  0);
		}
	CU_ASSERT(store_meta_set(store, "seeds", bytes_text("192.0.2.7:8442")) == 0);
	CU_ASSERT(store_meta_set(store, "horizon", bytes_text("1700000000000")) == 0);
	CU_ASSERT(test_store_wait(store) == 0);
}

/* The store of format 1 in a folder of its own. */
static char *
old_store(const char *name)
{
	char *dir = test_folder(name), *path = mem_printf("%s/data.mdb", dir);
	char *source = tap_source("tests/data/store-1.mdb.gz");
	char program[] = "gzip", option[] = "-dc";
	char *argv[] = { program, option, source, NULL };
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	CU_ASSERT_FATAL(mkdir(dir, 0700) == 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, path,
					 O_WRONLY | O_CREAT | O_EXCL, 0600);
	CU_ASSERT_FATAL(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0);
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid && status == 0);
	posix_spawn_file_actions_destroy(&actions);
	free(source);
	free(path);
	return dir;
}

/* Is there an index in the store, as the programs of format 1 kept it? With `is_filled` it
 * gets an entry first. */
static bool
has_index(const char *dir, bool is_filled)
{
	MDB_val key = { 3, (void *)"svc" },
		value = { STORE_K_BYTES, (void *)"a row of service" };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc;

	CU_ASSERT_FATAL(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
	CU_ASSERT_FATAL(mdb_env_open(env, dir, 0, 0600) == 0);
	CU_ASSERT_FATAL(mdb_txn_begin(env, NULL, 0, &txn) == 0);
	rc = mdb_dbi_open(txn, "index", 0, &dbi);
	CU_ASSERT(rc == 0 || rc == MDB_NOTFOUND);
	if (is_filled)
		CU_ASSERT(rc == 0 && mdb_put(txn, dbi, &key, &value, 0) == 0);
	CU_ASSERT(mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
	return rc == 0;
}

struct told {
	int n;
	char text[512];
};

static void
tell(void *arg, int rc, const char *text)
{
	struct told *told = arg;

	CU_ASSERT(rc == 0);
	told->n++;
	snprintf(told->text, sizeof(told->text), "%s", text);
}

struct removed {
	int n;
	uint64_t last;
};

static bool
see_removed(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	    const struct row *row)
{
	struct removed *removed = arg;
	uint64_t oldest = UINT64_MAX;

	(void)k;
	CU_ASSERT(key->kind == ROW_WORKER && strtol(key->name, NULL, 10) < REMOVED);
	for (int i = 0; i < row->len; i++)
		if (row->versions[i].is_removed && row->versions[i].stamp < oldest)
			oldest = row->versions[i].stamp;
	CU_ASSERT(oldest != UINT64_MAX && oldest >= removed->last);
	removed->last = oldest;
	removed->n++;
	return true;
}

static void
check_meta(struct store *store, const char *name, const char *value)
{
	struct buf out = BUF_INIT;

	CU_ASSERT(store_meta_get(store, name, &out) == 0);
	CU_ASSERT(bytes_equal_text(buf_bytes(&out), value));
	buf_fini(&out);
}

/* Everything that fill() put in, as the present code would have written it. */
static void
check_filled(struct store *store, const char *fresh_name)
{
	char *dir = test_folder(fresh_name);
	struct store *fresh;
	struct store_digest want, have = store_root(store);

	test_store_create(dir);
	fresh = test_store_open(dir);
	fill(fresh);
	want = store_root(fresh);
	CU_ASSERT(want.count == OWNERS * (WORKERS + 1) && have.count == want.count);
	CU_ASSERT(u128_equal(have.sum, want.sum));
	CU_ASSERT(test_store_differences(store) == 0);
	check_meta(store, "seeds", "192.0.2.7:8442");
	check_meta(store, "horizon", "1700000000000");
	CU_ASSERT(store_actor(store) == ACTOR_SECOND);
	CU_ASSERT(store_actor_is_ours(store, ACTOR_FIRST));
	CU_ASSERT(store_actors(store, NULL, 0) == 2);
	store_close(fresh);
	free(dir);
}

static void
check_removed(struct store *store)
{
	struct removed removed = { .n = 0 };
	bool more = true;

	CU_ASSERT(store_removed_each(store, UINT64_MAX, 100, see_removed, &removed,
				     &more) == 0);
	CU_ASSERT(removed.n == OWNERS * REMOVED && !more);
}

static void
rmdir_store(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "open.lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", dir, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

static void
test_from_1(void)
{
	char *dir = old_store("from-1");
	struct told told = { .n = 0 };
	struct store_config config = {
		.dir = dir, .sha256 = test_sha256, .report = tell, .report_arg = &told
	};
	struct row_key key = test_key(1, 20);
	struct errmsg err = { "" };
	struct store *store;
	uint64_t seq;

	CU_ASSERT(has_index(dir, true));
	CU_ASSERT_FATAL(store_open(&config, &store, &err) == 0);
	CU_ASSERT(told.n == 1 && strstr(told.text, "format 2") != NULL);
	check_filled(store, "fresh");
	check_removed(store);
	seq = store_next_seq(store);
	CU_ASSERT(test_merge(store, &key, 1, 1, -1) == 0);
	CU_ASSERT(store_close(store) == 0);
	CU_ASSERT(!has_index(dir, false));
	CU_ASSERT_FATAL(store_open(&config, &store, &err) == 0);
	CU_ASSERT(told.n == 1); /* once for all */
	CU_ASSERT(store_root(store).count == OWNERS * (WORKERS + 1) + 1);
	CU_ASSERT(store_next_seq(store) > seq && test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

/* To look at it changes nothing, and works. */
static void
test_read_only(void)
{
	char *dir = old_store("read-only");
	struct store_config config = { .dir = dir,
				       .sha256 = test_sha256,
				       .is_read_only = true };
	struct removed removed = { .n = 0 };
	struct store *store;
	bool more;

	for (int i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(store_open(&config, &store, NULL) == 0);
		check_filled(store, i == 0 ? "fresh-a" : "fresh-b");
		CU_ASSERT(store_removed_each(store, UINT64_MAX, 100, see_removed,
					     &removed, &more) == -OCF_EVERSION);
		store_close(store);
	}
	store = test_store_open(dir);
	check_removed(store);
	store_close(store);
	free(dir);
}

/* Killed at each write that the migration makes, one after the other: what is left is
 * wholly of the old format or of the new one, and is brought forward the next time. */
static void
test_killed(void)
{
	char *dir = old_store("killed");
	bool is_through = false;
	int n;

	for (n = 0; !is_through && n < 200; n++) {
		struct store_config config = { .sha256 = test_sha256,
					       .is_read_only = true };
		char fresh[32];
		struct store *store;
		int status = -1;
		pid_t pid;

		rmdir_store(dir);
		free(dir);
		dir = old_store("killed");
		config.dir = dir;
		pid = fork();
		if (pid == 0) {
			faults_set(FAULTS_KILL, n, 0);
			_exit(store_close(test_store_open(dir)) == 0 ? 0 : 1);
		}
		CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
		is_through = WIFEXITED(status);
		CU_ASSERT(is_through ? WEXITSTATUS(status) == 0
				     : WTERMSIG(status) == SIGKILL);
		CU_ASSERT_FATAL(store_open(&config, &store, NULL) == 0);
		CU_ASSERT(test_store_differences(store) == 0);
		CU_ASSERT(store_root(store).count == OWNERS * (WORKERS + 1));
		store_close(store);
		store = test_store_open(dir);
		snprintf(fresh, sizeof(fresh), "fresh-%d", n);
		check_filled(store, fresh);
		check_removed(store);
		store_close(store);
	}
	tap_note("killed at each of %d writes", n - 1);
	CU_ASSERT(is_through && n > 4);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a store of format 1 is brought forward with everything in it",
		  test_from_1 },
		{ "a store of an older format can be looked at as it is",
		  test_read_only },
		{ "a migration killed at any moment leaves the old store or the new one",
		  test_killed },
	};

	/* LMDB's files have the sizes and the byte order of the machine. */
	if (sizeof(void *) != 8 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) {
		printf("1..0 # SKIP the store in tests/data is of a 64-bit, "
		       "little-endian machine\n");
		return 0;
	}
	return TAP_MAIN(argc, argv, tests);
}
