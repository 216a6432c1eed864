/* SPDX-License-Identifier: Apache-2.0 */
/* What may happen to the store's files while they are in use, and what comes of it: no
 * room, no address space, other programs that read them, programs that died reading. */
#include "config.h"

#include "lib/tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "lib/faults.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/backup.h"
#include "store/private.h"

enum {
	ROWS = 200,
	SLOTS = 126,   /* for readers, as LMDB has them */
	RETRY_MS = 50, /* long enough for what is looked at before it */
};

struct rig {
	char *dir;
	struct store *store;
	int n_reports, last;
	char text[512];
};

static void
report(void *arg, int rc, const char *text)
{
	struct rig *rig = arg;

	tap_note("%d: %s", rc, text);
	snprintf(rig->text, sizeof(rig->text), "%s", text);
	rig->last = rc;
	__atomic_fetch_add(&rig->n_reports, 1, __ATOMIC_SEQ_CST);
}

static void
rig_open(struct rig *rig, const char *name)
{
	struct store_config config = { .sha256 = test_sha256,
				       .report = report,
				       .report_arg = rig };

	*rig = (struct rig){ .dir = test_folder(name) };
	test_store_create(rig->dir);
	config.dir = rig->dir;
	CU_ASSERT_FATAL(store_open(&config, &rig->store, NULL) == 0);
	rig->store->retry_ms = RETRY_MS;
	for (int i = 0; i < ROWS; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(rig->store, &key, 3, 1, 100) == 0);
	}
	CU_ASSERT(test_store_wait(rig->store) == 0);
}

static void
rig_close(struct rig *rig)
{
	CU_ASSERT(test_store_differences(rig->store) == 0);
	CU_ASSERT(store_close(rig->store) == 0);
	free(rig->dir);
}

/* Write a row; store_sync's answer. */
static int
write_one(struct rig *rig, int number, uint64_t seq)
{
	struct row_key key = test_key(2, number);

	CU_ASSERT(test_merge(rig->store, &key, 3, seq, 500) == 0);
	return test_store_wait(rig->store);
}

static void
reads_go_on(struct rig *rig)
{
	struct row_key key = test_key(1, 7);
	struct row row;

	CU_ASSERT_FATAL(store_get(rig->store, &key, &row) == 0);
	row_fini(&row);
}

/* The two faces of a full disk, and a disk that fails: each is told as what it is, and
 * what was not written is, once it can be. */
static void
test_disk(void)
{
	static const struct {
		enum faults_mode mode;
		int error;
		long long free;
		int rc;
		const char *word;
	} cases[] = {
		{ FAULTS_ERROR, ENOSPC, -1, -ENOSPC, "No space left" },
		{ FAULTS_SHORT, 0, 0, -ENOSPC, "No space left" },
		{ FAULTS_SHORT, 0, 1LL << 40, -EIO, "Input/output" },
		{ FAULTS_ERROR, EIO, 1LL << 40, -EIO, "Input/output" },
		{ FAULTS_ERROR, EDQUOT, -1, -EDQUOT, "quota" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[32];
		struct rig rig;

		snprintf(name, sizeof(name), "disk-%zu", i);
		rig_open(&rig, name);
		faults_set_free(cases[i].free);
		faults_set(cases[i].mode, 0, cases[i].error);
		CU_ASSERT(write_one(&rig, 1, 1) == cases[i].rc);
		CU_ASSERT(write_one(&rig, 2, 1) == cases[i].rc);
		CU_ASSERT(rig.n_reports == 1 && rig.last == cases[i].rc);
		CU_ASSERT(strstr(rig.text, cases[i].word) != NULL);
		reads_go_on(&rig);
		faults_set(FAULTS_NONE, 0, 0);
		faults_set_free(-1);
		while (test_store_wait(rig.store) != 0)
			;
		CU_ASSERT(rig.n_reports == 2 && rig.last == 0);
		CU_ASSERT(store_root(rig.store).count == ROWS + 2);
		rig_close(&rig);
	}
}

/* One of the writes of a commit fails, and all that follow. False: it has not so many. */
static bool
fail_write(enum faults_mode mode, int n)
{
	struct row_key key = test_key(2, 1);
	struct store_stats stats;
	struct rig rig;
	struct row row;
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "write-%d-%d", (int)mode, n);
	rig_open(&rig, name);
	faults_set_free(1LL << 40);
	faults_set(mode, n, EIO);
	rc = write_one(&rig, 1, 1);
	CU_ASSERT(rc == (faults_seen() > n ? -EIO : 0));
	reads_go_on(&rig);
	faults_set(FAULTS_NONE, 0, 0);
	faults_set_free(-1);
	CU_ASSERT(write_one(&rig, 2, 1) == 0 && write_one(&rig, 1, 2) == 0);
	store_stats(rig.store, &stats);
	CU_ASSERT(stats.error == 0 && rig.n_reports == (rc != 0 ? 2 : 0));
	CU_ASSERT(store_root(rig.store).count == ROWS + 2);
	CU_ASSERT_FATAL(store_get(rig.store, &key, &row) == 0);
	CU_ASSERT(row_seen(&row, 3) == 2);
	row_fini(&row);
	reads_go_on(&rig);
	rig_close(&rig);
	return rc != 0;
}

/* The last one fails, and the files cannot be opened again either, for want of a number: what
 * reads is refused and what writes is kept, until they can be. */
static void
fail_opening(void)
{
	struct row_key key = test_key(1, 7);
	struct store_stats stats;
	struct rlimit old, limit;
	struct errmsg err = { "" };
	struct rig rig;
	struct row row;

	rig_open(&rig, "lost");
	getrlimit(RLIMIT_NOFILE, &old);
	limit = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
	faults_set_free(1LL << 40);
	faults_set(FAULTS_META, 0, EIO);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CU_ASSERT(write_one(&rig, 1, 1) == -EIO);
	CU_ASSERT(store_get(rig.store, &key, &row) == -EIO);
	store_stats(rig.store, &stats);
	CU_ASSERT(stats.map_bytes == 0 && stats.pending_rows == 1);
	faults_set(FAULTS_NONE, 0, 0);
	CU_ASSERT(store_meta_set(rig.store, "seeds", bytes_text("x")) == 0);
	CU_ASSERT(test_store_wait(rig.store) == -EMFILE);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &old) == 0);
	faults_set_free(-1);
	CU_ASSERT(store_backup(rig.store, "lost.bak", NULL, 0, &err) == -EIO);
	while (test_store_wait(rig.store) != 0)
		;
	reads_go_on(&rig);
	CU_ASSERT(store_root(rig.store).count == ROWS + 1);
	rig_close(&rig);
}

/* Whichever of its writes fails, the store says so, reads, and goes on: also after the last
 * one, at which LMDB gives up, since it cannot know which of two states is written. */
static void
test_each_write(void)
{
	int n = 0;

	while (fail_write(FAULTS_ERROR, n) && fail_write(FAULTS_LATE, n))
		n++;
	tap_note("a commit of %d writes", n);
	CU_ASSERT_FATAL(n >= 3);
	fail_opening();
}

/* In a child: its address space is bounded, so the map cannot be doubled. */
static void
use_no_space(const char *dir)
{
	struct rig rig;
	struct rlimit limit;
	int rc = 0;
	FILE *f;
	long pages = 0;

	rig_open(&rig, dir);
	f = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%ld", &pages) != 1)
		_exit(3);
	fclose(f);
	limit.rlim_cur = limit.rlim_max = (rlim_t)pages * 4096 + 12 * 1024 * 1024;
	if (setrlimit(RLIMIT_AS, &limit) != 0)
		_exit(4);
	for (int i = 0; rc == 0 && i < 2000; i++) {
		struct row_key key = test_key(3, i);

		rc = test_merge(rig.store, &key, 3, 1, 16000);
		if (rc == 0 && i % 20 == 0)
			rc = test_store_wait(rig.store);
	}
	reads_go_on(&rig);
	_exit(rc == -ENOMEM && rig.n_reports == 1 && rig.last == -ENOMEM &&
			      test_store_differences(rig.store) == 0
		      ? 0
		      : 5);
}

static void
test_no_address_space(void)
{
	int status = -1;
	pid_t pid;

#ifdef OCF_SANITIZED
	tap_note("a sanitizer has the address space for itself: not tried");
	return;
#endif
	if (getenv("OCF_TEST_VALGRIND") != NULL)
		return;
	pid = fork();
	if (pid == 0)
		use_no_space("space");
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		tap_note("status %x", (unsigned)status);
}

/* Another program, which uses LMDB as it likes: `n` readers, each of the state as it is
 * now. Ends when it is killed. */
static pid_t
other_readers(const char *dir, int n)
{
	int ends[2];
	char ready;
	pid_t pid;

	CU_ASSERT_FATAL(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		MDB_env *env;
		MDB_txn *txn;

		if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 8) != 0 ||
		    mdb_env_open(env, dir, MDB_NOTLS | MDB_RDONLY, 0600) != 0)
			_exit(1);
		for (int i = 0; i < n; i++)
			if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
				_exit(2);
		if (write(ends[1], "", 1) != 1)
			_exit(3);
		for (;;)
			pause();
	}
	close(ends[1]);
	CU_ASSERT_FATAL(read(ends[0], &ready, 1) == 1);
	close(ends[0]);
	return pid;
}

static void
end_other(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	CU_ASSERT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

static void
test_readers_full(void)
{
	struct row_key key = test_key(1, 7);
	struct rig rig;
	struct row row;
	bool is_changed;
	pid_t other;

	rig_open(&rig, "readers");
	other = other_readers(rig.dir, SLOTS);
	CU_ASSERT(store_get(rig.store, &key, &row) == -EAGAIN);
	CU_ASSERT(store_get(rig.store, &key, &row) == -EAGAIN);
	CU_ASSERT(rig.n_reports == 1 && rig.last == -EAGAIN);
	CU_ASSERT(strstr(rig.text, "as many readers") != NULL);
	test_row(3, 2, 1, 10, 1, &row);
	CU_ASSERT(store_merge(rig.store, &key, &row, &is_changed, NULL) == -EAGAIN);
	row_fini(&row);
	/* Who commits needs no slot. */
	CU_ASSERT(store_meta_set(rig.store, "seeds", bytes_text("x")) == 0);
	CU_ASSERT(test_store_wait(rig.store) == 0);
	end_other(other);
	reads_go_on(&rig); /* the slots of the dead are free */
	other = other_readers(rig.dir, SLOTS);
	CU_ASSERT(store_get(rig.store, &key, &row) == -EAGAIN);
	CU_ASSERT(rig.n_reports == 2); /* it was well between */
	end_other(other);
	rig_close(&rig);
}

/* The pages that a reader sees are not used again: a dead one's are. */
static void
test_stale_reader(void)
{
	struct store_stats stats;
	uint64_t alive;
	struct rig rig;
	pid_t other;

	rig_open(&rig, "stale");
	store_stats(rig.store, &stats);
	alive = stats.map_bytes;
	other = other_readers(rig.dir, 1);
	end_other(other);
	for (uint64_t seq = 1; seq <= 12; seq++) { /* 12 × 4 MB, of which 4 are needed */
		for (int i = 0; i < 260; i++) {
			struct row_key key = test_key(4, i);

			CU_ASSERT(test_merge(rig.store, &key, 3, seq, 16000) == 0);
		}
		CU_ASSERT(test_store_wait(rig.store) == 0);
	}
	store_stats(rig.store, &stats);
	tap_note("map of %d MiB", (int)(stats.map_bytes >> 20));
	CU_ASSERT(stats.map_bytes <= 2 * alive);
	rig_close(&rig);
}

static bool is_over;

static bool
see(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
    const struct row *row)
{
	(void)k;
	(void)key;
	(void)row;
	++*(int *)arg;
	return true;
}

static void *
read_on(void *arg)
{
	struct rig *rig = arg;
	struct store_digest children[16];
	const uint8_t from[STORE_K_BYTES] = { 0 };
	struct id owner = test_key(1, 0).owner;

	while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
		int n = 0;

		reads_go_on(rig);
		CU_ASSERT(store_owner_each(rig->store, &owner, see, &n) == 0);
		CU_ASSERT(n == ROWS);
		CU_ASSERT(store_digests(rig->store, from, 0, 4, children) == 0);
	}
	return NULL;
}

/* Readers on four threads see everything while the map is made larger under them. */
static void
test_growth(void)
{
	int rows = tap_is_quick() ? 1500 : 4000;
	struct store_stats before, after;
	pthread_t threads[4];
	struct rig rig;

	rig_open(&rig, "growth");
	store_stats(rig.store, &before);
	is_over = false;
	for (int i = 0; i < 4; i++)
		CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, read_on, &rig) == 0);
	for (int i = 0; i < rows; i++) {
		struct row_key key = test_key(5, i);
		int rc;

		while ((rc = test_merge(rig.store, &key, 3, 1, 16000)) == -EAGAIN)
			CU_ASSERT(test_store_wait(rig.store) == 0);
		CU_ASSERT_FATAL(rc == 0);
	}
	CU_ASSERT(test_store_wait(rig.store) == 0);
	__atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	store_stats(rig.store, &after);
	tap_note("map from %d to %d MiB", (int)(before.map_bytes >> 20),
		 (int)(after.map_bytes >> 20));
	CU_ASSERT(after.map_bytes > before.map_bytes && rig.n_reports == 0);
	CU_ASSERT(store_root(rig.store).count == ROWS + (uint64_t)rows);
	rig_close(&rig);
}

/* Refused or right, never anything else. */
static void *
read_or_not(void *arg)
{
	struct rig *rig = arg;
	const uint8_t from[STORE_K_BYTES] = { 0 };
	struct store_digest children[16];
	struct store_stats stats;
	struct id owner = test_key(1, 0).owner;

	while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
		int n = 0, rc = store_owner_each(rig->store, &owner, see, &n);

		CU_ASSERT(rc == 0 ? n == ROWS : rc == -EIO);
		rc = store_digests(rig->store, from, 0, 4, children);
		CU_ASSERT(rc == 0 || rc == -EIO);
		store_stats(rig->store, &stats);
	}
	return NULL;
}

/* The environment is given up and opened anew under readers on other threads. */
static void
test_anew_beside_readers(void)
{
	pthread_t threads[3];
	struct rig rig;

	rig_open(&rig, "anew");
	is_over = false;
	for (int i = 0; i < 3; i++)
		CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, read_or_not, &rig) ==
				0);
	faults_set_free(1LL << 40);
	for (int i = 0; i < 3; i++) {
		struct row_key key = test_key(6, i);
		int rc;

		faults_set(FAULTS_META, 0, EIO);
		CU_ASSERT(test_merge(rig.store, &key, 3, 1, 100) == 0);
		CU_ASSERT(test_store_wait(rig.store) == -EIO);
		faults_set(FAULTS_NONE, 0, 0);
		do
			rc = test_store_wait(rig.store);
		while (rc != 0);
	}
	faults_set_free(-1);
	__atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT(rig.n_reports == 6 && store_root(rig.store).count == ROWS + 3);
	rig_close(&rig);
}

/* A process that died with the store open leaves no lock behind; one that lives does. */
static void
test_dead_holder(void)
{
	char *dir = test_folder("holder"), ready;
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store;
	int ends[2], status;
	pid_t pid;

	test_store_create(dir);
	CU_ASSERT_FATAL(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		test_store_open(dir);
		if (write(ends[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CU_ASSERT_FATAL(read(ends[0], &ready, 1) == 1);
	CU_ASSERT(store_open(&config, &store, &err) == -EBUSY);
	CU_ASSERT(strstr(err.text, "is open in process") != NULL);
	config.is_read_only = true;
	CU_ASSERT(store_open(&config, &store, &err) == -EBUSY);
	kill(pid, SIGKILL);
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	store_close(test_store_open(dir));
	close(ends[0]);
	close(ends[1]);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a full disk and a failing one are told as what they are, and mended",
		  test_disk },
		{ "whichever write fails, nothing is lost and it is said",
		  test_each_write },
		{ "without address space the store reads, and tells",
		  test_no_address_space },
		{ "with all slots for readers taken a read is refused in words",
		  test_readers_full },
		{ "the pages of a reader that died are used again", test_stale_reader },
		{ "the map grows under load and beside readers", test_growth },
		{ "files that LMDB gave up are opened anew beside readers",
		  test_anew_beside_readers },
		{ "a second process is refused, and a dead one is in nobody's way",
		  test_dead_holder },
	};

	return TAP_MAIN(argc, argv, tests);
}
