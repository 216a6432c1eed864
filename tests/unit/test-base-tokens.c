/* SPDX-License-Identifier: Apache-2.0 */
/* The token file: what its lines say, what is wrong with them, and that editing one leaves the
 * others as they were. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "lib/tap.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "BBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char *
path_of(const char *name)
{
	return mem_printf("%s/%s", tap_folder(), name);
}

static char *
write_file(const char *name, struct bytes content)
{
	char *path = path_of(name);
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL(file_write(path, content, 0600, &err), 0);
	return path;
}

static bool
file_holds(const char *path, const char *text)
{
	struct buf content = BUF_INIT;
	bool is_it;

	CU_ASSERT_EQUAL(file_read(path, TOKENS_FILE_BYTES_MAX, &content, NULL), 0);
	is_it = bytes_equal_text(buf_bytes(&content), text);
	if (!is_it)
		tap_note("%s holds: %s", path, buf_text(&content));
	buf_fini(&content);
	return is_it;
}

static void
test_read(void)
{
	char *path = write_file(
		"read",
		bytes_text("# who\n\r\nme:" HASH_A
			   ":rate=2.5,burst=7,concurrency=3,share=9,"
			   "service=a%2Cb,service=inference:x\r\n\nY.o_u-@+1:" HASH_B));
	struct errmsg err = { "" };
	struct tokens t;

	CU_ASSERT_EQUAL_FATAL(tokens_read(path, &t, &err), 0);
	CU_ASSERT_EQUAL_FATAL(t.len, 2);
	CU_ASSERT_STRING_EQUAL(t.items[0].name, "me");
	CU_ASSERT_EQUAL(t.items[0].line, 3);
	CU_ASSERT_EQUAL(t.items[0].hash[31], 0xaa);
	CU_ASSERT_EQUAL(t.items[0].rate_milli, 2500);
	CU_ASSERT_EQUAL(t.items[0].burst, 7);
	CU_ASSERT_EQUAL(t.items[0].concurrency, 3);
	CU_ASSERT_EQUAL(t.items[0].share, 9);
	CU_ASSERT_EQUAL_FATAL(t.items[0].services_len, 2);
	CU_ASSERT_STRING_EQUAL(t.items[0].services[0], "a,b");
	CU_ASSERT_STRING_EQUAL(t.items[0].services[1], "inference:x");
	CU_ASSERT_STRING_EQUAL(t.items[1].name, "Y.o_u-@+1");
	CU_ASSERT_EQUAL(t.items[1].line, 5);
	CU_ASSERT_EQUAL(t.items[1].rate_milli, 0);
	CU_ASSERT_EQUAL(t.items[1].services_len, 0);
	CU_ASSERT_EQUAL(tokens_burst(&t.items[0]), 7);
	t.items[0].burst = 0;
	CU_ASSERT_EQUAL(tokens_burst(&t.items[0]), 3);
	tokens_fini(&t);
	free(path);
	path = write_file("empty", BYTES_NONE);
	CU_ASSERT_EQUAL_FATAL(tokens_read(path, &t, &err), 0);
	CU_ASSERT_EQUAL(t.len, 0);
	tokens_fini(&t);
	free(path);
}

#define REST "\nlast:" HASH_B "\n"
static void
test_bad_lines(void)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{ "me", "not NAME:SHA256" },
		{ ":" HASH_A, "the name is not" },
		{ "two words:" HASH_A, "the name is not" },
		{ "me\x01:" HASH_A, "the name is not" },
		{ "mé:" HASH_A, "the name is not" },
		{ "me:" HASH_A "a", "not a SHA-256" },
		{ "me:12", "not a SHA-256" },
		{ "me:" HASH_A ":", "not KEY=VALUE" },
		{ "me:" HASH_A ":rate", "not KEY=VALUE" },
		{ "me:" HASH_A ":rate=1,,share=1", "not KEY=VALUE" },
		{ "me:" HASH_A ":pace=1", "'pace' is none of rate" },
		{ "me:" HASH_A ":rate=0", "rate=0 is not" },
		{ "me:" HASH_A ":rate=-1", "rate=-1 is not" },
		{ "me:" HASH_A ":rate=1e3", "rate=1e3 is not" },
		{ "me:" HASH_A ":rate=1.", "rate=1. is not" },
		{ "me:" HASH_A ":rate=0.0001", "rate=0.0001 is not" },
		{ "me:" HASH_A ":rate=1000001", "rate=1000001 is not" },
		{ "me:" HASH_A ":rate=99999999999999999999", "is not from" },
		{ "me:" HASH_A ":rate=1,rate=2", "rate stands twice" },
		{ "me:" HASH_A ":burst=5", "burst needs a rate" },
		{ "me:" HASH_A ":rate=1,burst=0", "burst=0 is not a number" },
		{ "me:" HASH_A ":rate=1,burst=1000001", "burst is not from" },
		{ "me:" HASH_A ":concurrency=x", "concurrency=x is not" },
		{ "me:" HASH_A ":concurrency=1000001", "concurrency is not from" },
		{ "me:" HASH_A ":share=1001", "share is not from" },
		{ "me:" HASH_A ":service=", "no name of a service" },
		{ "me:" HASH_A ":service=a%2", "two hex digits" },
		{ "me:" HASH_A ":service=a%00b", "two hex digits" },
		{ "me:" HASH_A ":service=a%0Ab", "no name of a service" },
		{ "last:" HASH_A, "the name last stands in line 2 already" },
		{ "me:" HASH_B, "this token is that of line 2, too" },
	};
	struct errmsg err;
	struct tokens t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool is_twice = i + 2 >= sizeof(bad) / sizeof(bad[0]);
		char *text = mem_printf("# one\n%s" REST, bad[i].line);
		char *path = write_file("bad", bytes_text(text));
		char *where = mem_printf("%s:%d: ", path, is_twice ? 3 : 2);

		err.text[0] = '\0';
		CU_ASSERT_EQUAL(tokens_read(path, &t, &err), -OCF_EMALFORMED);
		if (strncmp(err.text, where, strlen(where)) != 0 ||
		    strstr(err.text, bad[i].why) == NULL) {
			tap_note("%s: %s", bad[i].line, err.text);
			CU_FAIL("another sentence");
		}
		/* Nor is such a file edited: it would still not be read. */
		CU_ASSERT_EQUAL(tokens_remove(path, "last", &err), -OCF_EMALFORMED);
		CU_ASSERT(file_holds(path, text));
		free(where);
		free(path);
		free(text);
	}
}

static void
test_too_much(void)
{
	struct buf text = BUF_INIT;
	struct tokens_entry one = { .name = "one-more" };
	struct errmsg err = { "" };
	struct tokens t;
	char *path;

	for (int i = 0; i < TOKENS_MAX; i++)
		buf_printf(&text, "t%d:%064x\n", i, i + 1);
	path = write_file("full", buf_bytes(&text));
	CU_ASSERT_EQUAL_FATAL(tokens_read(path, &t, &err), 0);
	CU_ASSERT_EQUAL(t.len, TOKENS_MAX);
	tokens_fini(&t);
	CU_ASSERT_EQUAL(tokens_add(path, &one, (uid_t)-1, &err), -OCF_ELIMIT);
	free(path);
	buf_printf(&text, "more:%064x\n", 0);
	path = write_file("over", buf_bytes(&text));
	CU_ASSERT_EQUAL(tokens_read(path, &t, &err), -OCF_ELIMIT);
	CU_ASSERT(strstr(err.text, "over:4097: ") != NULL);
	free(path);
	buf_clear(&text);
	memset(buf_extend(&text, TOKENS_FILE_BYTES_MAX + 1), '#',
	       TOKENS_FILE_BYTES_MAX + 1);
	path = write_file("large", buf_bytes(&text));
	CU_ASSERT_EQUAL(tokens_read(path, &t, &err), -OCF_ELIMIT);
	free(path);
	path = write_file("nul", bytes_of("a\0b\n", 4));
	CU_ASSERT_EQUAL(tokens_read(path, &t, &err), -OCF_EMALFORMED);
	free(path);
	buf_fini(&text);
}

static void
test_edit(void)
{
	static const char head[] = "# kept \t\r\n\nold:" HASH_B
				   ":share=2,service=x,rate=01.50";
	struct tokens_entry e = { .name = "new",
				  .rate_milli = 10500,
				  .burst = 20,
				  .concurrency = 4,
				  .share = 2 };
	char *path = write_file("edit", bytes_text(head)), *wanted;
	struct errmsg err = { "" };
	struct stat st;

	memset(e.hash, 0xaa, sizeof(e.hash));
	tokens_add_service(&e, "a, b%");
	tokens_add_service(&e, "inference:é");
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), 0);
	wanted = mem_printf("%s\nnew:" HASH_A ":rate=10.5,burst=20,concurrency=4,share=2,"
			    "service=a%%2C%%20b%%25,service=inference:é\n",
			    head);
	CU_ASSERT(file_holds(path, wanted));
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), -EEXIST);
	CU_ASSERT(strstr(err.text, "of this name") != NULL);
	snprintf(e.name, sizeof(e.name), "other");
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), -EEXIST);
	CU_ASSERT(strstr(err.text, "of this value") != NULL);
	e.share = TOKENS_SHARE_MAX + 1;
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), -EINVAL);
	CU_ASSERT(file_holds(path, wanted));
	CU_ASSERT_EQUAL(tokens_remove(path, "none", &err), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(tokens_remove(path, "new", &err), 0);
	wanted[strlen(head) + 1] = '\0';
	CU_ASSERT(file_holds(path, wanted));
	CU_ASSERT_EQUAL(tokens_remove(path, "old", &err), 0);
	CU_ASSERT(file_holds(path, "# kept \t\r\n\n"));
	tokens_entry_fini(&e);
	free(wanted);
	free(path);
}

/* A file that is not there, one that others can read, and one behind a link. */
static void
test_places(void)
{
	struct tokens_entry e = { .name = "me" };
	char *path = path_of("fresh"), *link = path_of("link");
	struct errmsg err = { "" };
	struct stat st;

	CU_ASSERT_EQUAL(tokens_remove(path, "me", &err), -ENOENT);
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(symlink("fresh", link), 0);
	CU_ASSERT_EQUAL(tokens_remove(link, "me", &err), 0);
	CU_ASSERT_EQUAL(lstat(link, &st), 0);
	CU_ASSERT(S_ISLNK(st.st_mode));
	CU_ASSERT(file_holds(path, ""));
	CU_ASSERT_EQUAL(chmod(path, 0640), 0);
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), -EPERM);
	CU_ASSERT(strstr(err.text, "chmod 600") != NULL);
	CU_ASSERT(file_holds(path, ""));
	free(link);
	free(path);
}

/* One process of several that add at the same time; each tries until it may. */
static void
add_some(const char *path, int who, int count)
{
	for (int i = 0; i < count; i++) {
		struct tokens_entry e = { .share = 1 };
		struct errmsg err = { "" };
		int rc;

		snprintf(e.name, sizeof(e.name), "t%d.%d", who, i);
		e.hash[0] = (uint8_t)who;
		e.hash[1] = (uint8_t)i;
		while ((rc = tokens_add(path, &e, (uid_t)-1, &err)) == -EBUSY)
			usleep(100);
		if (rc != 0)
			_exit(1);
	}
	_exit(0);
}

static void
test_two_editors(void)
{
	enum { EDITORS = 4, EACH = 10 };
	struct tokens_entry e = { .name = "me", .hash = { [31] = 1 } };
	static char *path; /* which valgrind finds in the children, too */
	struct errmsg err = { "" };
	struct tokens t;
	int fd;

	path = path_of("shared");
	for (int i = 0; i < EDITORS; i++)
		if (fork() == 0)
			add_some(path, i, EACH);
	for (int i = 0; i < EDITORS; i++) {
		int how = -1;

		CU_ASSERT(wait(&how) > 0);
		CU_ASSERT_EQUAL(how, 0);
	}
	CU_ASSERT_EQUAL_FATAL(tokens_read(path, &t, &err), 0);
	CU_ASSERT_EQUAL(t.len, EDITORS * EACH);
	tokens_fini(&t);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(flock(fd, LOCK_EX), 0);
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), -EBUSY);
	close(fd);
	CU_ASSERT_EQUAL(tokens_add(path, &e, (uid_t)-1, &err), 0);
	free(path);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "lines of the token file say what they should", test_read },
		{ "bad lines are told with file and line", test_bad_lines },
		{ "too many and too large is refused", test_too_much },
		{ "an edit leaves all other lines as they were", test_edit },
		{ "a new file is the owner's alone, and a link stays one", test_places },
		{ "of two editors neither loses what the other wrote", test_two_editors },
	};

	return TAP_MAIN(argc, argv, tests);
}
