/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"

static void
test_urls(void)
{
	static const struct {
		const char *url, *origin, *base, *socket;
	} table[] = {
		{ "http://127.0.0.1:8000", "http://127.0.0.1:8000", "", NULL },
		{ "http://127.0.0.1:8000/", "http://127.0.0.1:8000", "", NULL },
		{ "http://h/a/b//", "http://h", "/a/b", NULL },
		{ "HTTP://h", "http://h", "", NULL },
		{ "https://h.example:8443/x", "https://h.example:8443", "/x", NULL },
		{ "http://[::1]:80/", "http://[::1]:80", "", NULL },
		{ "unix:/run/s.sock", "http://localhost", "", "/run/s.sock" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct errmsg err = { "" };
		struct target t;
		int rc = target_parse(table[i].url, &t, &err);

		if (rc < 0)
			tap_note("%s: %s", table[i].url, err.text);
		CU_ASSERT_FATAL(rc == 0);
		CU_ASSERT_STRING_EQUAL(t.name, table[i].url);
		CU_ASSERT_STRING_EQUAL(t.origin, table[i].origin);
		CU_ASSERT_STRING_EQUAL(t.base, table[i].base);
		CU_ASSERT((t.socket == NULL) == (table[i].socket == NULL));
		if (t.socket != NULL && table[i].socket != NULL)
			CU_ASSERT_STRING_EQUAL(t.socket, table[i].socket);
		target_fini(&t);
	}
}

static void
test_bad_urls(void)
{
	static const struct {
		const char *url, *says;
	} table[] = {
		{ "127.0.0.1:8000", "did you mean http://127.0.0.1:8000?" },
		{ "localhost", "did you mean http://localhost?" },
		{ "//h/x", "did you mean http://h/x?" },
		{ "", "did you mean" },
		{ "ftp://h", "not ftp:" },
		{ "htp://h", "not htp:" },
		{ "http://", "is not a URL" },
		{ "http://h:99999", "is not a URL" },
		{ "http://h:port", "is not a URL" },
		{ "http://u:p@h/", "user or a password" },
		{ "http://h/?x=1", "behind ?" },
		{ "http://h/#x", "behind ?" },
		{ "http://h/a b", "percent-encoded" },
		{ "http://h/a\n", "percent-encoded" },
		{ "http://h/\xc3\xa9", "percent-encoded" },
		{ "unix:s.sock", "absolute path" },
		{ "unix://run/s.sock", "absolute path" },
		{ "unix:", "absolute path" },
	};
	struct errmsg err;
	struct target t;
	char *url;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int rc = target_parse(table[i].url, &t, &err);

		if (rc != -EINVAL || strstr(err.text, table[i].says) == NULL)
			tap_note("%s: %d, %s", table[i].url, rc, err.text);
		CU_ASSERT(rc == -EINVAL && strstr(err.text, table[i].says) != NULL);
		CU_ASSERT(strstr(err.text, ":p@") == NULL);
	}
	url = mem_printf("unix:/%0110d", 1);
	CU_ASSERT(target_parse(url, &t, &err) == -EINVAL);
	CU_ASSERT(strstr(err.text, "107 bytes") != NULL);
	free(url);
	url = mem_printf("http://h/%01100d", 1);
	CU_ASSERT(target_parse(url, &t, &err) == -EINVAL);
	free(url);
}

/* `wanted` NULL: refused. */
static void
join(const char *url, const char *path, const char *wanted)
{
	struct errmsg err = { "" };
	struct target t;
	char *got = NULL;
	int rc;

	CU_ASSERT_FATAL(target_parse(url, &t, NULL) == 0);
	rc = target_join(&t, path, &got, &err);
	if (rc != (wanted != NULL ? 0 : -EINVAL))
		tap_note("%s and %s: %s", url, path, rc < 0 ? err.text : got);
	CU_ASSERT(rc == (wanted != NULL ? 0 : -EINVAL));
	if (rc == 0 && wanted != NULL)
		CU_ASSERT_STRING_EQUAL(got, wanted);
	CU_ASSERT((rc == 0) == (err.text[0] == '\0'));
	free(got);
	target_fini(&t);
}

static void
test_paths(void)
{
	join("http://h", "/", "/");
	join("http://h/", "/a/b?c=d&e=/..", "/a/b?c=d&e=/..");
	join("http://h/base/", "/a", "/base/a");
	join("http://h/base", "/", "/base/");
	join("http://h/base", "/a..b/...?x=/../y", "/base/a..b/...?x=/../y");
	join("http://h", "/../x", "/../x");
	join("unix:/s", "/%2e%2e", "/%2e%2e");
	join("http://h/base", "/../x", NULL);
	join("http://h/base", "/a/..", NULL);
	join("http://h/base", "/./x", NULL);
	join("http://h/base", "/a/%2E./x", NULL);
	join("http://h/base", "/a%2f..%2Fx", NULL);
	join("http://h/base", "/a\\..\\x", NULL);
	join("http://h/base", "/a%5c..", NULL);
	join("http://h/base", "/..?x", NULL);
	join("http://h", "", NULL);
	join("http://h", "x", NULL);
	join("http://h", "http://other/", NULL);
	join("http://h", "/a b", NULL);
	join("http://h", "/a\tb", NULL);
	join("http://h", "/a#b", NULL);
	join("http://h", "/\xc3\xa9", NULL);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "URLs are taken apart", test_urls },
		{ "a bad URL is refused with its remedy", test_bad_urls },
		{ "paths are joined, and none leads out of the base", test_paths },
	};

	return TAP_MAIN(argc, argv, tests);
}
