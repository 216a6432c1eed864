/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: what is in them, whatever goes on meanwhile; and that nothing but a whole one
 * of ours becomes a store. */
#include "config.h"

#include "lib/tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "store/backup.h"
#include "store/private.h"

enum { ROWS = 400, WRITTEN = 1000, FILE_BYTES_MAX = 64 * 1024 * 1024 };

static const struct store_blob blobs[] = {
	{ .name = "node.key", .content = { (const uint8_t *)"a secret", 8 } },
	{ .name = "empty", .content = { NULL, 0 } },
};
enum { BLOBS = 2 };

static struct store *
make(const char *name)
{
	char *dir = test_folder(name);
	struct store *store;

	test_store_create(dir);
	store = test_store_open(dir);
	for (int i = -1; i < ROWS; i++) {
		struct row_key key = test_key(1, i);

		CU_ASSERT_FATAL(test_merge(store, &key, 3, 1, i % 5 == 4 ? -1 : 150) ==
				0);
	}
	CU_ASSERT(store_meta_set(store, "seeds", bytes_text("192.0.2.7:8442")) == 0);
	CU_ASSERT(test_store_wait(store) == 0);
	free(dir);
	return store;
}

struct got {
	int calls, refuse;
	uint64_t rows;
};

static int
get(void *arg, struct store *store, const struct store_blob *have, int n,
    struct errmsg *err)
{
	struct got *got = arg;

	got->calls++;
	got->rows = store_root(store).count;
	CU_ASSERT(n == BLOBS);
	for (int i = 0; i < n && i < BLOBS; i++) {
		CU_ASSERT_STRING_EQUAL(have[i].name, blobs[i].name);
		CU_ASSERT(bytes_equal(have[i].content, blobs[i].content));
	}
	CU_ASSERT(store_meta_set(store, "restored", bytes_text("yes")) == 0);
	return got->refuse != 0 ? error_set(err, got->refuse, "not this one") : 0;
}

static int
restore(const char *file, const char *dir, struct got *got, struct errmsg *err)
{
	struct store_config config = { .dir = dir, .sha256 = test_sha256 };

	err->text[0] = '\0';
	return store_restore(file, &config, got != NULL ? get : NULL, got, err);
}

static bool
is_there(const char *dir)
{
	char *beside = mem_printf("%s.restoring", dir);
	bool is_beside = access(beside, F_OK) == 0;

	free(beside);
	CU_ASSERT(!is_beside); /* whatever happened, nothing is left of the attempt */
	return access(dir, F_OK) == 0;
}

static void
test_whole(void)
{
	char *file = test_folder("whole.backup"), *dir = test_folder("whole-again");
	struct store *store = make("whole"), *again;
	struct store_digest root = store_root(store);
	struct errmsg err = { "" };
	struct got got = { .calls = 0 };
	struct buf out = BUF_INIT;
	struct stat st;
	uint64_t actor = store_actor(store), seq = store_next_seq(store);
	struct dot dot;

	CU_ASSERT(store_backup(store, file, blobs, BLOBS, &err) == 0);
	CU_ASSERT(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600);
	CU_ASSERT(st.st_size < 1024 * 1024); /* no holes, no free pages */
	CU_ASSERT(store_backup(store, file, blobs, BLOBS, &err) == 0); /* in its place */
	CU_ASSERT(restore(file, dir, &got, &err) == 0);
	CU_ASSERT(is_there(dir) && got.calls == 1 && got.rows == ROWS + 1);
	again = test_store_open(dir);
	CU_ASSERT(u128_equal(store_root(again).sum, root.sum));
	CU_ASSERT(test_store_differences(again) == 0);
	CU_ASSERT(store_actor(again) != actor && store_actor_is_ours(again, actor));
	CU_ASSERT(store_next_dot(again, &dot) == 0 && dot.actor == store_actor(again));
	CU_ASSERT(store_next_seq(store) == seq);
	CU_ASSERT(store_meta_get(again, "seeds", &out) == 0);
	CU_ASSERT(bytes_equal_text(buf_bytes(&out), "192.0.2.7:8442"));
	CU_ASSERT(store_meta_get(again, "restored", &out) == 0);
	store_close(again);
	CU_ASSERT(restore(file, dir, &got, &err) == -EEXIST); /* never over another */
	CU_ASSERT(strstr(err.text, dir) != NULL && got.calls == 1);
	buf_fini(&out);
	store_close(store);
	free(file);
	free(dir);
}

/* Without blobs, and of a store that is only read. */
static void
test_bare(void)
{
	char *from = test_folder("bare"), *file = test_folder("bare.backup");
	char *dir = test_folder("bare-again");
	struct store_config config = { .dir = from,
				       .sha256 = test_sha256,
				       .is_read_only = true };
	struct errmsg err = { "" };
	struct store *store;

	store_close(make("bare"));
	CU_ASSERT_FATAL(store_open(&config, &store, &err) == 0);
	CU_ASSERT(store_backup(store, file, NULL, 0, &err) == 0);
	store_close(store);
	CU_ASSERT(mkdir(dir, 0700) == 0); /* an empty folder is in nobody's way */
	CU_ASSERT(restore(file, dir, NULL, &err) == 0 && is_there(dir));
	store = test_store_open(dir);
	CU_ASSERT(store_root(store).count == ROWS + 1);
	store_close(store);
	free(from);
	free(file);
	free(dir);
}

struct writing {
	struct store *store;
	bool is_over;
	int n;
};

/* The same rows over and over, as fast as the disk goes. */
static void *
write_on(void *arg)
{
	struct writing *writing = arg;

	while (!__atomic_load_n(&writing->is_over, __ATOMIC_SEQ_CST)) {
		struct row_key key = test_key(7, writing->n % WRITTEN);
		uint64_t seq = 1 + (uint64_t)(writing->n / WRITTEN);

		if (writing->n % 50 == 0)
			test_store_wait(writing->store);
		CU_ASSERT(test_merge(writing->store, &key, 3, seq, 4000) == 0);
		writing->n++;
	}
	return NULL;
}

/* Each backup taken while rows are written is a sound store of some moment: verify, which
 * restoring does, compares all its digests with all its rows. */
static void
test_beside_writes(void)
{
	struct writing writing = { .store = make("beside") };
	char *file = test_folder("beside.backup");
	uint64_t last = ROWS + 1;
	pthread_t thread;

	CU_ASSERT_FATAL(pthread_create(&thread, NULL, write_on, &writing) == 0);
	for (int i = 0; i < (tap_is_quick() ? 2 : 5); i++) {
		char name[32], *dir;
		struct errmsg err = { "" };
		struct got got = { .calls = 0 };

		snprintf(name, sizeof(name), "beside-%d", i);
		dir = test_folder(name);
		CU_ASSERT(store_backup(writing.store, file, blobs, BLOBS, &err) == 0);
		CU_ASSERT(restore(file, dir, &got, &err) == 0);
		CU_ASSERT(got.rows >= last);
		last = got.rows;
		free(dir);
	}
	__atomic_store_n(&writing.is_over, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CU_ASSERT(test_store_wait(writing.store) == 0);
	CU_ASSERT(test_store_differences(writing.store) == 0);
	CU_ASSERT(writing.n > 0);
	tap_note("%d writes meanwhile", writing.n);
	store_close(writing.store);
	free(file);
}

static void
put_file(const char *path, struct bytes content)
{
	CU_ASSERT_FATAL(file_write(path, content, 0600, NULL) == 0);
}

static void
refused(const char *file, int code, const char *word)
{
	char *dir = test_folder("refused");
	struct got got = { .calls = 0 };
	struct errmsg err;
	int rc = restore(file, dir, &got, &err);

	CU_ASSERT(rc == code);
	CU_ASSERT(strstr(err.text, word) != NULL && strstr(err.text, file) != NULL);
	CU_ASSERT(got.calls == 0 && !is_there(dir));
	if (rc != code || strstr(err.text, word) == NULL)
		tap_note("%d instead of %d: %s", rc, code, err.text);
	free(dir);
}

static void
reseal(struct buf *content)
{
	test_sha256(content->data, content->len - ROW_HASH_BYTES,
		    content->data + content->len - ROW_HASH_BYTES);
}

/* A file whose sum is right was made by a program, which may have been a wrong one. */
static void
test_wrong_inside(void)
{
	struct buf content = BUF_INIT, wrong = BUF_INIT;
	char *file = test_folder("inside.backup"), *path = test_folder("wrong.backup");
	struct store *store = make("inside");
	const size_t blob = sizeof("ocf-backup 1\n") - 1;
	struct buf needle = BUF_INIT;
	struct row_key key = test_key(1, 3);
	uint64_t newer = STORE_FORMAT + 1;
	uint8_t *format, *row;

	CU_ASSERT(store_backup(store, file, blobs, BLOBS, NULL) == 0);
	store_close(store);
	CU_ASSERT_FATAL(file_read(file, FILE_BYTES_MAX, &content, NULL) == 0);
	buf_put_bytes(&wrong, buf_bytes(&content));
	wrong.data[blob + 3] = '/'; /* a path, not a name */
	reseal(&wrong);
	put_file(path, buf_bytes(&wrong));
	refused(path, -OCF_ECORRUPT, "name");
	memcpy(wrong.data, content.data, content.len);
	wrong.data[blob] = 0xff; /* that many of them */
	reseal(&wrong);
	put_file(path, buf_bytes(&wrong));
	refused(path, -OCF_ECORRUPT, "too many");
	memcpy(wrong.data, content.data, content.len);
	put_be32(wrong.data + blob + 2 + 1 + 8, 0x7fffffff);
	reseal(&wrong);
	put_file(path, buf_bytes(&wrong));
	refused(path, -OCF_ECORRUPT, "length");
	memcpy(wrong.data, content.data, content.len);
	format = memmem(wrong.data, wrong.len, "format\0\0\0\0\0\0\0", 13);
	CU_ASSERT_FATAL(format != NULL);
	put_be64(format + 6, newer);
	reseal(&wrong);
	put_file(path, buf_bytes(&wrong));
	refused(path, -OCF_EVERSION, "newer");
	memcpy(wrong.data, content.data, content.len);
	buf_put(&needle, key.owner.b, ID_BYTES);
	buf_put_u8(&needle, key.kind);
	buf_put_bytes8(&needle, bytes_text(key.name));
	buf_put_u8(&needle, 1); /* versions: the row, not its owner's entry */
	row = memmem(wrong.data, wrong.len, needle.data, needle.len);
	CU_ASSERT_FATAL(row != NULL);
	row[needle.len + 120] ^= 1;
	reseal(&wrong);
	put_file(path, buf_bytes(&wrong));
	refused(path, -OCF_ECORRUPT, "is not the sum");
	buf_fini(&needle);
	buf_fini(&content);
	buf_fini(&wrong);
	free(file);
	free(path);
}

static void
test_refused(void)
{
	struct buf content = BUF_INIT;
	char *file = test_folder("good.backup"), *path = test_folder("bad.backup");
	struct store *store = make("good");
	struct rng rng;

	rng_init(&rng, tap_seed());
	CU_ASSERT(store_backup(store, file, blobs, BLOBS, NULL) == 0);
	store_close(store);
	CU_ASSERT_FATAL(file_read(file, FILE_BYTES_MAX, &content, NULL) == 0);
	for (size_t len = 0; len < content.len; len += 1 + rng_below(&rng, 20000)) {
		put_file(path, bytes_of(content.data, len));
		refused(path, len < 13 ? -OCF_EMALFORMED : -OCF_ECORRUPT,
			len < 13 ? "not a backup" : "damaged");
	}
	for (int i = 0; i < (tap_is_quick() ? 10 : 50); i++) {
		size_t at = 13 + (size_t)rng_below(&rng, content.len - 13);

		content.data[at] ^= (uint8_t)(1U << rng_below(&rng, 8));
		put_file(path, buf_bytes(&content));
		refused(path, -OCF_ECORRUPT, "damaged");
		CU_ASSERT_FATAL(file_read(file, FILE_BYTES_MAX,
					  (buf_clear(&content), &content), NULL) == 0);
	}
	content.data[11] = '2';
	put_file(path, buf_bytes(&content));
	refused(path, -OCF_EVERSION, "newer");
	put_file(path, bytes_text("a text that somebody took for a backup of his node"));
	refused(path, -OCF_EMALFORMED, "not a backup");
	unlink(path);
	refused(path, -ENOENT, "No such file");
	CU_ASSERT(mkdir(path, 0700) == 0);
	refused(path, -OCF_EMALFORMED, "not a backup");
	buf_fini(&content);
	free(file);
	free(path);
}

/* Who takes the blobs may refuse them; and an attempt that died before is in nobody's way. */
static void
test_all_or_nothing(void)
{
	char *file = test_folder("all.backup"), *dir = test_folder("all-again");
	char *left = mem_printf("%s.restoring", dir);
	struct store *store = make("all");
	struct got got = { .refuse = -OCF_EFOREIGN };
	struct errmsg err;

	CU_ASSERT(store_backup(store, file, blobs, BLOBS, NULL) == 0);
	store_close(store);
	CU_ASSERT(restore(file, dir, &got, &err) == -OCF_EFOREIGN && got.calls == 1);
	CU_ASSERT_STRING_EQUAL(err.text, "not this one");
	CU_ASSERT(!is_there(dir));
	test_store_create(left);
	got.refuse = 0;
	CU_ASSERT(restore(file, dir, &got, &err) == 0 && is_there(dir));
	free(file);
	free(dir);
	free(left);
}

/* No room: neither a backup nor a store is left in halves, and the old one stays. */
static void
test_no_room(void)
{
	char *file = test_folder("room.backup"), *dir = test_folder("room-again");
	struct store *store = make("room");
	struct buf before = BUF_INIT, after = BUF_INIT;
	struct rlimit limit, old;
	struct errmsg err = { "" };

	CU_ASSERT(store_backup(store, file, blobs, BLOBS, NULL) == 0);
	CU_ASSERT(file_read(file, FILE_BYTES_MAX, &before, NULL) == 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	for (int i = 0; i < 3; i++) {
		static const rlim_t sizes[] = { 10, 5000, 60000 };

		limit = (struct rlimit){ .rlim_cur = sizes[i], .rlim_max = old.rlim_max };
		CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		CU_ASSERT(store_backup(store, file, blobs, BLOBS, &err) < 0);
		CU_ASSERT(strstr(err.text, file) != NULL);
		CU_ASSERT(restore(file, dir, NULL, &err) < 0 && err.text[0] != '\0');
		CU_ASSERT(!is_there(dir));
		CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &old) == 0);
	}
	CU_ASSERT(file_read(file, FILE_BYTES_MAX, &after, NULL) == 0);
	CU_ASSERT(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
	CU_ASSERT(restore(file, dir, NULL, &err) == 0);
	store_close(store);
	buf_fini(&before);
	buf_fini(&after);
	free(file);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a backup becomes a store of the same rows with a new actor",
		  test_whole },
		{ "a store that is only read can be backed up, also without blobs",
		  test_bare },
		{ "a backup taken beside writes is a sound store of one moment",
		  test_beside_writes },
		{ "damaged, cut, foreign and newer files are refused, each in words",
		  test_refused },
		{ "a sealed file with nonsense inside is refused", test_wrong_inside },
		{ "a restore happens wholly or not at all", test_all_or_nothing },
		{ "without room the old backup stays and no half store", test_no_room },
	};

	return TAP_MAIN(argc, argv, tests);
}
