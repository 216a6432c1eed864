/* SPDX-License-Identifier: Apache-2.0 */
/* A store on a damaged file: opened, read, scrubbed, verified, repaired, written, closed.
 * The input is a series of edits of a small sound store, each u16 page | u16 offset |
 * u8 length | bytes, so that a corpus stays small; `page` counts modulo the pages.
 *
 * LMDB believes its pages, so that a damaged one may end the process by a signal: as in
 * the offline tools (cli/offline.h) a child does the work, and such an end is an outcome.
 * What is wrong is an assertion of ours (the exit status WRONG), a sanitizer's word, or no
 * end at all. */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/private.h"

enum {
	ROWS = 60,
	SECONDS = 20, /* of CPU, for one input: it takes some milliseconds */
	BYTES_MAX = 256 * 1024 * 1024,
	STEPS_MAX = 2000,
	WRONG = 7,
	DONE = 0,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int fuzz_cost(void);

/* A child, several commits and as many fsyncs to an input. */
int
fuzz_cost(void)
{
	return 20;
}

static char folder[256];
static struct buf sound; /* the data file's content */
static size_t page_size;

static bool
see(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
    const struct row *row)
{
	(void)k;
	(void)key;
	(void)row;
	return ++*(int *)arg <
	       10 * ROWS; /* a tree that leads back to itself has no end */
}

static void
remove_files(void)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "open.lock",
					     "words" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", folder, names[i]);

		unlink(path);
		free(path);
	}
}

static void
clean_up(void)
{
	remove_files();
	rmdir(folder);
}

/* Once: a store with rows of all sorts, as its file's bytes. */
static void
make_sound(void)
{
	const char *tmp = getenv("OCF_TEST_TMP");
	struct store *store;
	MDB_envinfo info;
	MDB_stat st;
	char *path;
	int rc;

	snprintf(folder, sizeof(folder), "%s/fuzz-store.%d", tmp != NULL ? tmp : "/tmp",
		 (int)getpid());
	test_store_create(folder);
	store = test_store_open(folder);
	for (int i = -1; i < ROWS; i++) {
		struct row_key key = test_key(1, i);

		rc = test_merge(store, &key, 3, 2, i % 4 == 3 ? -1 : 30 + i);
		assert(rc == 0);
	}
	rc = test_store_wait(store);
	assert(rc == 0);
	mdb_env_info(store->env, &info);
	mdb_env_stat(store->env, &st);
	page_size = st.ms_psize;
	store_close(store);
	path = mem_printf("%s/data.mdb", folder);
	rc = file_read(path, 64 * 1024 * 1024, &sound, NULL);
	assert(rc == 0);
	sound.len = (info.me_last_pgno + 1) * page_size;
	free(path);
	atexit(clean_up);
}

static void
write_damaged(struct bytes edits)
{
	struct reader r = reader_of(edits);
	struct buf file = BUF_INIT;
	char *path = mem_printf("%s/data.mdb", folder);
	int rc;

	buf_put_bytes(&file, buf_bytes(&sound));
	while (r.len > 0) {
		size_t page = reader_u16(&r) % (file.len / page_size);
		size_t at = page * page_size + reader_u16(&r) % page_size;
		struct bytes bytes = reader_bytes8(&r);

		if (r.failed)
			break;
		memcpy(file.data + at, bytes.data,
		       at + bytes.len <= file.len ? bytes.len : file.len - at);
	}
	remove_files();
	rc = file_write(path, buf_bytes(&file), 0600, NULL);
	assert(rc == 0);
	buf_fini(&file);
	free(path);
}

static void
use_open(struct store *store)
{
	struct row_key key = test_key(1, 1);
	uint64_t differences = 0, dropped = 0;
	struct row row;
	bool is_changed, more, is_end = false;
	int n = 0, rc;

	store_each(store, see, &n);
	n = 0;
	store_removed_each(store, UINT64_MAX, 100, see, &n, &more);
	if (store_get(store, &key, &row) == 0)
		row_fini(&row);
	for (int i = 0; i < STEPS_MAX && !is_end; i++)
		if (store_scrub(store, &is_changed, &is_end) == -EAGAIN)
			break;
	store_verify(store, NULL, NULL, &differences);
	test_merge(store, &key, 3, 9, 10);
	test_store_wait(store);
	rc = store_repair(store, NULL, NULL, &dropped);
	/* Where repair says that all is well, it is. */
	if (rc == 0 && store_verify(store, NULL, NULL, &differences) == 0 &&
	    differences != 0)
		_exit(WRONG);
}

static void
use(void)
{
	struct store_config config = { .dir = folder, .sha256 = test_sha256 };
	struct errmsg err = { "" };
	struct store *store;
	int n = 0;

	config.is_read_only = true;
	if (store_open(&config, &store, &err) == 0) {
		store_each(store, see, &n);
		store_close(store);
	} else if (err.text[0] == '\0') {
		_exit(WRONG); /* refused without a sentence */
	}
	config.is_read_only = false;
	if (store_open(&config, &store, &err) != 0)
		_exit(DONE);
	use_open(store);
	store_close(store);
	_exit(DONE);
}

/* The last words of a child: of LMDB's assertions, or of ours and a sanitizer's? */
static bool
is_ours(void)
{
	char *path = mem_printf("%s/words", folder);
	struct buf words = BUF_INIT;
	bool is_ours;

	file_read(path, 1024 * 1024, &words, NULL);
	is_ours = strstr(buf_text(&words), "store/") != NULL ||
		  strstr(buf_text(&words), "crdt/") != NULL ||
		  strstr(buf_text(&words), "base/") != NULL;
	if (is_ours)
		printf("# %s\n", buf_text(&words));
	buf_fini(&words);
	free(path);
	return is_ours;
}

static int
words_open(void)
{
	char *path = mem_printf("%s/words", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	free(path);
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int status = 0;
	pid_t pid;

#ifdef __SANITIZE_THREAD__
	/* Garbage that LMDB takes for an address is, to this sanitizer, memory that we freed,
	 * and a race of ours; the other builds play it. */
	return 0;
#endif
	if (sound.len == 0)
		make_sound();
	write_damaged(bytes_of(data, len));
	fflush(stdout);
	pid = fork();
	assert(pid >= 0);
	if (pid == 0) {
		dup2(words_open(), STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		setrlimit(RLIMIT_CPU, &(struct rlimit){ SECONDS, SECONDS });
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ BYTES_MAX, BYTES_MAX });
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		use();
	}
	while (waitpid(pid, &status, 0) != pid)
		assert(errno == EINTR);
	if (WIFEXITED(status) && WEXITSTATUS(status) == DONE)
		return 0;
	/* Killed by a page that was no page: only LMDB's business. */
	if (WIFSIGNALED(status) && !is_ours() &&
	    (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS ||
	     WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGFPE ||
	     WTERMSIG(status) == SIGXFSZ))
		return 0;
	printf("# the child ended with status %x\n", (unsigned)status);
	abort();
}
