/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not what they were, and disks that are full: errors, never a crash. What
 * may crash runs in a child. */
#include "config.h"

#include "lib/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/private.h"

enum { ROWS = 500 };

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

/* Open, read, verify, write, close: whatever each says, it must return. Exits 0 when the
 * store was refused, 1 when something was found wrong in it, 2 when nothing. */
static void
use(const char *dir)
{
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store;
	uint64_t wrong = 0;
	int n = 0, rc = store_open(&config, &store, &err);

	if (rc != 0)
		_exit(strstr(err.text, dir) != NULL ? 0 : 9);
	rc = store_each(store, see, &n);
	if (store_verify(store, NULL, NULL, &wrong) != 0)
		wrong++;
	for (int i = 0; i < 5; i++) {
		struct row_key key = test_key(1, i);
		struct row row = ROW_INIT;

		if (store_get(store, &key, &row) == 0)
			row_fini(&row);
		test_merge(store, &key, 9, 1, 10);
	}
	test_store_wait(store);
	store_close(store);
	_exit(rc != 0 || wrong > 0 ? 1 : 2);
}

static int
use_in_child(const char *dir)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		/* LMDB's own assertions end in abort(); a core file helps nobody here. */
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		use(dir);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A store with rows, and its data file's content up to the last page in use. */
static char *
make(const char *name, struct buf *ret_content)
{
	char *dir = test_folder(name), *path = mem_printf("%s/data.mdb", dir);
	struct store *store;
	MDB_envinfo info;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = 0; i < ROWS; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, 200) == 0);
	}
	CU_ASSERT(test_store_wait(store) == 0);
	mdb_env_info(store->env, &info);
	store_close(store);
	CU_ASSERT_FATAL(file_read(path, 64 * 1024 * 1024, ret_content, NULL) == 0);
	CU_ASSERT_FATAL(ret_content->len > (info.me_last_pgno + 1) * 4096);
	ret_content->len = (info.me_last_pgno + 1) * 4096;
	free(path);
	return dir;
}

static void
put_back(const char *dir, struct bytes content)
{
	char *path = mem_printf("%s/data.mdb", dir);
	int fd = open(path, O_WRONLY | O_TRUNC);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(write(fd, content.data, content.len) == (ssize_t)content.len);
	close(fd);
	free(path);
}

static void
test_truncated(void)
{
	struct buf content = BUF_INIT;
	char *dir = make("cut", &content);

	put_back(dir, buf_bytes(&content));
	CU_ASSERT(use_in_child(dir) == 2); /* whole, though not extended */
	for (size_t len = 0; len < content.len; len += len < 20000 ? 1000 : 16384) {
		put_back(dir, bytes_of(content.data, len));
		CU_ASSERT(use_in_child(dir) == 0);
	}
	put_back(dir, bytes_of(content.data, content.len - 1));
	CU_ASSERT(use_in_child(dir) == 0);
	put_back(dir, buf_bytes(&content));
	CU_ASSERT(use_in_child(dir) == 2);
	buf_fini(&content);
	free(dir);
}

/* Rows that rot: any byte of any value page. LMDB's own pages have no checksums, so the
 * bytes changed here are those of records, found by their content. */
static void
test_rotten_rows(void)
{
	struct buf content = BUF_INIT;
	char *dir = make("rot", &content);
	int found = 0;

	for (int i = 0; i < 25; i++) {
		struct row_key key = test_key(1, i * 7);
		struct buf needle = BUF_INIT;
		uint8_t *at;

		buf_put(&needle, key.owner.b, ID_BYTES);
		buf_put_u8(&needle, key.kind);
		buf_put_bytes8(&needle, bytes_of(key.name, key.name_len));
		buf_put_u8(&needle,
			   1); /* the row's count of versions: not the owners' key */
		at = memmem(content.data, content.len, needle.data, needle.len);
		while (at != NULL) { /* freed pages may hold older copies */
			at[needle.len + 3 * (size_t)i % 90] ^= 0x10;
			found++;
			at = memmem(at + 1, content.len - (size_t)(at + 1 - content.data),
				    needle.data, needle.len);
		}
		buf_fini(&needle);
		put_back(dir, buf_bytes(&content));
		CU_ASSERT(use_in_child(dir) == 1);
	}
	CU_ASSERT(found >= 25);
	buf_fini(&content);
	free(dir);
}

static void
test_garbage(void)
{
	struct buf content = BUF_INIT, garbage = BUF_INIT;
	char *dir = make("garbage", &content);
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (size_t i = 0; i < content.len; i++)
		buf_put_u8(&garbage, (uint8_t)rng_next(&rng));
	put_back(dir, buf_bytes(&garbage));
	CU_ASSERT(use_in_child(dir) == 0);
	put_back(dir, bytes_text("this is not a database, it is a text file"));
	CU_ASSERT(use_in_child(dir) == 0);
	memset(garbage.data, 0, garbage.len);
	put_back(dir, buf_bytes(&garbage));
	CU_ASSERT(use_in_child(dir) == 0);
	memset(content.data + 2 * 4096, 0, content.len - 2 * 4096); /* all but the head */
	put_back(dir, buf_bytes(&content));
	CU_ASSERT(use_in_child(dir) == 0);
	buf_fini(&content);
	buf_fini(&garbage);
	free(dir);
}

static bool
walk_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	 const struct row *row)
{
	(void)arg, (void)k, (void)key, (void)row;
	return true;
}

static void
note_report(void *arg, int rc, const char *text)
{
	if (rc == -OCF_ECORRUPT && strstr(text, "this process ends; restore a backup"))
		*(int *)arg = 1;
}

/* 1: damage found, 2: none; or it ends by LMDB's hand, and *told says whether with a word. */
static int
walk_in_child(const char *dir, int *told)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct store_config config = { .dir = dir,
					       .sha256 = test_sha256,
					       .report = note_report,
					       .report_arg = told };
		struct store *store;

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		if (store_open(&config, &store, NULL) != 0)
			_exit(1);
		_exit(store_each(store, walk_row, NULL) == 0 ? 2 : 1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* LMDB ends a process that meets some pages; whoever has to mend that is told how. */
static void
test_broken_pages(void)
{
	static const uint8_t zeros[4096];
	struct buf content = BUF_INIT;
	char *dir = make("pages", &content);
	int *told = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int aborted = 0;

	CU_ASSERT_FATAL(told != MAP_FAILED);
	for (size_t at = 2 * 4096; at < content.len; at += 4096) {
		uint8_t page[4096];
		int end;

		memcpy(page, content.data + at, 4096);
		memcpy(content.data + at, zeros, 4096);
		put_back(dir, buf_bytes(&content));
		memcpy(content.data + at, page, 4096);
		*told = 0;
		end = walk_in_child(dir, told);
		CU_ASSERT(end > 0 || end == -SIGABRT);
		CU_ASSERT(*told == (end == -SIGABRT));
		aborted += end == -SIGABRT;
	}
	CU_ASSERT(aborted > 0);
	munmap(told, sizeof(int));
	buf_fini(&content);
	free(dir);
}

static int
write_format(struct store *store, MDB_txn *txn, void *arg)
{
	uint8_t format[8];

	put_be64(format, *(uint64_t *)arg);
	return env_put(txn, store->meta, bytes_text("format"), bytes_of(format, 8));
}

static void
test_newer_format(void)
{
	char *dir = test_folder("newer");
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };
	uint64_t format = STORE_FORMAT + 1;
	struct errmsg err = { "" };
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	pthread_mutex_lock(&store->write_lock);
	CU_ASSERT(env_write(store, write_format, &format) == 0);
	pthread_mutex_unlock(&store->write_lock);
	store_close(store);
	CU_ASSERT(store_open(&config, &store, &err) == -OCF_EVERSION);
	CU_ASSERT(strstr(err.text, "format 3") != NULL &&
		  strstr(err.text, "newer") != NULL);
	free(dir);
}

struct reports {
	int full, well;
};

static void
report(void *arg, int rc, const char *text)
{
	struct reports *reports = arg;

	tap_note("%s", text);
	__atomic_fetch_add(rc == 0 ? &reports->well : &reports->full, 1,
			   __ATOMIC_SEQ_CST);
}

/* The file may not grow: what a full disk is to a file that has no holes left. */
static void
test_full(void)
{
	struct reports reports = { 0, 0 };
	char *dir = test_folder("full");
	struct store_config config = { .dir = dir,
				       .sha256 = test_sha256,
				       .report = report,
				       .report_arg = &reports };
	struct row_key first = test_key(1, 0), last = first;
	struct rlimit limit, old;
	struct store_stats stats;
	struct store *store;
	struct row row;
	struct dot dot;
	int n = 0, rc;

	signal(SIGXFSZ, SIG_IGN);
	test_store_create(dir);
	CU_ASSERT_FATAL(store_open(&config, &store, NULL) == 0);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ .rlim_cur = 20 * 1024 * 1024, .rlim_max = old.rlim_max };
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	do {
		last = test_key(1, n);
		rc = test_merge(store, &last, 3, 1, 16000);
		if (n++ % 100 == 0)
			rc = test_store_wait(store) == 0 ? rc : 1;
	} while (rc == 0 && n < 10000);
	CU_ASSERT(rc == 1 && reports.full == 1 && reports.well == 0);
	store_stats(store, &stats);
	CU_ASSERT(stats.error < 0 && stats.pending_rows > 0 && stats.rows > 0);
	/* Reads go on, of what is on disk and of what is not. */
	CU_ASSERT_FATAL(store_get(store, &first, &row) == 0);
	row_fini(&row);
	CU_ASSERT_FATAL(store_get(store, &last, &row) == 0);
	row_fini(&row);
	CU_ASSERT(store_next_dot(store, &dot) == 0);
	CU_ASSERT(test_store_differences(store) == 0);
	/* Memory is bounded, too. */
	do {
		struct row_key key = test_key(1, n);

		rc = test_merge(store, &key, 3, 1, 16000);
	} while (rc == 0 && n++ < 10000);
	CU_ASSERT(rc == -EAGAIN);
	store_stats(store, &stats);
	CU_ASSERT(stats.pending_bytes <= STORE_PENDING_BYTES_MAX);
	CU_ASSERT(test_store_wait(store) < 0);
	/* Room again: all of it is written, nobody has to ask. */
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &old) == 0);
	while (test_store_wait(store) != 0)
		;
	CU_ASSERT(reports.full == 1 && reports.well == 1);
	CU_ASSERT(store_root(store).count == (uint64_t)n);
	CU_ASSERT(test_store_differences(store) == 0);
	CU_ASSERT(store_close(store) == 0);
	free(dir);
}

/* The disk does not keep up: here it does not move at all, as a transaction of ours holds
 * it. Changes are refused when enough are pending, by number or by bytes; rows that are
 * pending may still change, in place; nothing that was taken is lost. */
static void
test_outrun(void)
{
	enum { SMALL = 8, LARGE = 16000 };

	for (int len = SMALL; len <= LARGE; len += LARGE - SMALL) {
		char *dir = test_folder(len == SMALL ? "rows" : "bytes");
		uint64_t taken = 0, last = STORE_PENDING_ROWS_MAX + 1;
		struct store_stats stats;
		struct store *store;
		struct row_key key;
		int rc = 0;

		test_store_create(dir);
		store = test_store_open(dir);
		pthread_mutex_lock(&store->write_lock);
		while (rc == 0 && taken < last) {
			key = test_key(1 + taken / 10000, (int)(taken % 10000));
			rc = test_merge(store, &key, 3, 1, len);
			taken += rc == 0;
		}
		CU_ASSERT(rc == -EAGAIN);
		store_stats(store, &stats);
		CU_ASSERT(stats.pending_rows == taken && stats.rows == 0);
		CU_ASSERT(stats.pending_rows <= STORE_PENDING_ROWS_MAX);
		CU_ASSERT(stats.pending_bytes <= STORE_PENDING_BYTES_MAX);
		CU_ASSERT(len != SMALL || taken == STORE_PENDING_ROWS_MAX);
		CU_ASSERT(len != LARGE ||
			  stats.pending_bytes > STORE_PENDING_BYTES_MAX - 2 * LARGE);
		key = test_key(1, 5); /* one that is there already */
		for (uint64_t seq = 2; seq < 1000 && len == SMALL; seq++)
			CU_ASSERT_FATAL(test_merge(store, &key, 3, seq, len) == 0);
		store_stats(store, &stats);
		CU_ASSERT(stats.pending_rows == taken);
		CU_ASSERT(stats.pending_bytes <= STORE_PENDING_BYTES_MAX);
		pthread_mutex_unlock(&store->write_lock);
		CU_ASSERT(test_store_wait(store) == 0);
		store_stats(store, &stats);
		CU_ASSERT(stats.pending_rows == 0 && stats.pending_bytes == 0);
		CU_ASSERT(stats.rows == taken);
		key = test_key(9, 0);
		CU_ASSERT(test_merge(store, &key, 3, 1, len) == 0);
		CU_ASSERT(test_store_differences(store) == 0);
		CU_ASSERT(store_close(store) == 0);
		free(dir);
	}
}

/* Closed while nothing can be written: it ends, and says so. */
static void
test_closed_full(void)
{
	char *dir = test_folder("closed");
	struct rlimit limit, old;
	struct store *store;

	signal(SIGXFSZ, SIG_IGN);
	test_store_create(dir);
	store = test_store_open(dir);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ .rlim_cur = 4096, .rlim_max = old.rlim_max };
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	for (int i = 0; i < 50; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT(test_merge(store, &key, 3, 1, 1000) == 0);
	}
	CU_ASSERT(store_close(store) < 0);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &old) == 0);
	store = test_store_open(dir);
	CU_ASSERT(test_store_differences(store) == 0);
	store_close(store);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a data file cut anywhere is refused", test_truncated },
		{ "rotten rows are found and do no harm", test_rotten_rows },
		{ "garbage in place of the data file is refused", test_garbage },
		{ "a page on which LMDB gives up is told with what to do",
		  test_broken_pages },
		{ "a store of a newer format is refused", test_newer_format },
		{ "a full disk leaves a store that reads, is bounded, and recovers",
		  test_full },
		{ "who outruns the disk is told so, and memory stays bounded",
		  test_outrun },
		{ "closing on a full disk ends and tells", test_closed_full },
	};

	return TAP_MAIN(argc, argv, tests);
}
