/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: what is read from where, what wins, and what a mistake is told. */
#include "config.h"

#include "lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/options.h"

static char *
test_write(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", tap_folder(), name);

	CU_ASSERT_EQUAL_FATAL(file_write(path, bytes_text(text), 0600, NULL), 0);
	return path;
}

static void
test_defaults_are_those_of_the_manual(void)
{
	struct config c;

	config_init(&c);
	CU_ASSERT_STRING_EQUAL(c.http.listen, "127.0.0.1:8092");
	CU_ASSERT_STRING_EQUAL(c.peer.listen, "[::]:8093");
	CU_ASSERT_STRING_EQUAL(c.bus.listen, "127.0.0.1:8094");
	CU_ASSERT_EQUAL(c.http.max_body, 64 << 20);
	CU_ASSERT_EQUAL(c.dispatch.timeout, 600 * MS_SECOND);
	CU_ASSERT_EQUAL(c.peer.seeds.len, 0);
	CU_ASSERT_EQUAL(config_check(&c, NULL), 0);
	config_fini(&c);
}

static void
test_later_sources_win(void)
{
	char *path = test_write("ocf.conf", "; a comment\n[http]\nlisten = 127.0.0.1:1\n"
					    "max_body = 2K ; and another\n"
					    "[peer]\nseeds = a:1, b:2\nseeds = c:3\n"
					    "[log]\nlevel = debug\n");
	char *folder = mem_printf("%s.d", path);
	char *drop_in, *environment[] = { (char *)"OCF_HTTP_MAX_BODY=3K",
					  (char *)"HOME=/", (char *)"OCF_SOCKET=/x",
					  (char *)"OCF_TEST_ANY=1", NULL };
	struct errmsg err = { "" };
	struct config c;

	mkdir(folder, 0700);
	drop_in = test_write("ocf.conf.d/10.conf", "[http]\nlisten = 127.0.0.1:2\n");
	config_init(&c);
	CU_ASSERT_EQUAL(config_read(&c, path, true, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_STRING_EQUAL(c.http.listen, "127.0.0.1:2");
	CU_ASSERT_EQUAL(c.http.max_body, 2048);
	CU_ASSERT_EQUAL_FATAL(c.peer.seeds.len, 3);
	CU_ASSERT_STRING_EQUAL(c.peer.seeds.items[1], "b:2");
	CU_ASSERT_STRING_EQUAL(c.peer.seeds.items[2], "c:3");
	CU_ASSERT_EQUAL(config_read_environment(&c, environment, &err), 0);
	CU_ASSERT_EQUAL(c.http.max_body, 3072);
	CU_ASSERT_EQUAL(config_read_argument(&c, "http.max_body=4096", &err), 0);
	CU_ASSERT_EQUAL(c.http.max_body, 4096);
	CU_ASSERT_EQUAL(config_read_argument(&c, "peer.seeds=d:4", &err), 0);
	CU_ASSERT_EQUAL(c.peer.seeds.len, 1);
	config_fini(&c);
	unlink(drop_in);
	rmdir(folder);
	unlink(path);
	free(drop_in);
	free(folder);
	free(path);
}

/* A file, and what its error must say. */
static const struct {
	const char *text;
	const char *says[3];
} mistakes[] = {
	{ "[http]\nlisen = 127.0.0.1:1\n",
	  { "bad.conf:2", "http.lisen", "http.listen" } },
	{ "[htp]\nlisten = 127.0.0.1:1\n",
	  { "bad.conf:2", "htp.listen", "http.listen" } },
	{ "listen = 127.0.0.1:1\n",
	  { "bad.conf:1", "'listen' stands in front", "write [" } },
	{ "[http]\n\nmax_body = big\n", { "bad.conf:3", "http.max_body", "size" } },
	{ "[http]\nmax_body = 1\n", { "bad.conf:2", "http.max_body", "1024" } },
	{ "[http]\npublic = perhaps\n", { "bad.conf:2", "http.public", "yes nor no" } },
	{ "[dispatch]\ntimeout = 5 weeks\n",
	  { "bad.conf:2", "dispatch.timeout", "30s" } },
	{ "[dispatch]\npolicy = worst\n", { "bad.conf:2", "dispatch.policy", "random" } },
	{ "[peer]\nlisten = here\n", { "bad.conf:2", "peer.listen", "127.0.0.1" } },
	{ "[peer]\nseeds = a:1, there\n", { "bad.conf:2", "peer.seeds", "'there'" } },
	{ "[peer]\nadvertise = here\n", { "bad.conf:2", "peer.advertise", "'here'" } },
	{ "[log]\nnonsense\n", { "bad.conf:2", "neither", "comment" } },
};

static void
test_mistakes_are_named_with_their_place(void)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		char *path = test_write("bad.conf", mistakes[i].text);
		struct errmsg err = { "" };
		struct config c;

		config_init(&c);
		CU_ASSERT_NOT_EQUAL(config_read(&c, path, true, &err), 0);
		for (int j = 0; j < 3; j++) {
			if (strstr(err.text, mistakes[i].says[j]) == NULL)
				tap_note("'%s' does not say '%s'", err.text,
					 mistakes[i].says[j]);
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, mistakes[i].says[j]));
		}
		config_fini(&c);
		unlink(path);
		free(path);
	}
}

static void
test_a_long_line_is_refused_whole(void)
{
	char text[400], *path;
	struct errmsg err = { "" };
	struct config c;

	snprintf(text, sizeof(text), "[node]\nname = %0250d\n", 7);
	path = test_write("long.conf", text);
	config_init(&c);
	CU_ASSERT_NOT_EQUAL(config_read(&c, path, true, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "long.conf:2"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "199 bytes"));
	CU_ASSERT_STRING_EQUAL(c.node.name, "");
	config_fini(&c);
	unlink(path);
	free(path);
}

static void
test_unknown_variables_and_arguments_are_errors(void)
{
	char *environment[] = { (char *)"OCF_HTTP_LISTN=127.0.0.1:1", NULL };
	struct errmsg err = { "" };
	struct config c;

	config_init(&c);
	CU_ASSERT_NOT_EQUAL(config_read_environment(&c, environment, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "OCF_HTTP_LISTN"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did you mean OCF_HTTP_LISTEN?"));
	environment[0] = (char *)"OCF_FOO=1"; /* like none */
	CU_ASSERT_NOT_EQUAL(config_read_environment(&c, environment, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "OCF_FOO"));
	CU_ASSERT_PTR_NULL(strstr(err.text, "did you mean"));
	CU_ASSERT_NOT_EQUAL(config_read_argument(&c, "bus.lissen=x", &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "bus.listen"));
	CU_ASSERT_NOT_EQUAL(config_read_argument(&c, "bus.listen", &err), 0);
	config_fini(&c);
}

static void
test_options_that_exclude_each_other_are_refused(void)
{
	struct errmsg err = { "" };
	struct config c;

	config_init(&c);
	config_read_argument(&c, "bus.url=nats://127.0.0.1:4222", &err);
	CU_ASSERT_EQUAL(config_check(&c, &err), 0);
	config_read_argument(&c, "bus.server=none", &err);
	CU_ASSERT_NOT_EQUAL(config_check(&c, &err), 0);
	config_fini(&c);
	config_init(&c);
	config_read_argument(&c, "bus.listen=0.0.0.0:8094", &err);
	CU_ASSERT_NOT_EQUAL(config_check(&c, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "loopback"));
	config_fini(&c);
}

static const struct tap_test tests[] = {
	{ "defaults are those of the manual", test_defaults_are_those_of_the_manual },
	{ "file, drop-in, environment, argument: later wins", test_later_sources_win },
	{ "a mistake is named with file, line, key and the nearest one",
	  test_mistakes_are_named_with_their_place },
	{ "a line too long for the parser is refused whole",
	  test_a_long_line_is_refused_whole },
	{ "unknown variables and arguments are errors",
	  test_unknown_variables_and_arguments_are_errors },
	{ "options that exclude each other are refused",
	  test_options_that_exclude_each_other_are_refused },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
