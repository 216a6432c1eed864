/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tap.h"

static int
parse(const char *json, struct models *ret)
{
	struct errmsg err = { "" };

	memset(ret, 0, sizeof(*ret));
	return models_parse(bytes_text(json), ret, &err);
}

static void
test_lists(void)
{
	struct models a, b;

	/* As Ollama, vLLM and llama.cpp have it. */
	CU_ASSERT_FATAL(
		parse("{\"object\":\"list\",\"data\":[{\"id\":\"qwen2.5:7b\",\"object\":"
		      "\"model\",\"created\":1,\"owned_by\":\"library\"},{\"id\":"
		      "\"meta-llama/Llama-3.1-8B\",\"permission\":[{}]},{\"id\":"
		      "\"qwen2.5:7b\"}]}",
		      &a) == 0);
	CU_ASSERT_EQUAL_FATAL(a.len, 2);
	CU_ASSERT_STRING_EQUAL(a.matches[0], "model=meta-llama/Llama-3.1-8B");
	CU_ASSERT_STRING_EQUAL(a.matches[1], "model=qwen2.5:7b");
	CU_ASSERT(a.left_out == 0 && a.why[0] == '\0');
	/* The order is the server's business. */
	CU_ASSERT_FATAL(parse("{\"data\":[{\"id\":\"meta-llama/Llama-3.1-8B\"},"
			      "{\"id\":\"qwen2.5:7b\"}]}",
			      &b) == 0);
	CU_ASSERT(models_equal(&a, &b));
	models_fini(&b);
	CU_ASSERT_FATAL(parse("{\"data\":[{\"id\":\"qwen2.5:7b\"}]}", &b) == 0);
	CU_ASSERT(!models_equal(&a, &b));
	models_fini(&b);
	models_fini(&a);
	CU_ASSERT_FATAL(parse("{\"data\":[]}", &a) == 0);
	CU_ASSERT(a.len == 0 && a.left_out == 0);
	models_fini(&a);
}

static void
test_no_list(void)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"nonsense",
		"{\"data\":{}}",
		"{}",
		"null",
		"{\"data\":[{",
		"{\"data\":null}",
		"[{\"id\":\"x\"}]",
		"\"",
		"1",
		"{\"data\":[]}x",
	};
	struct models m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT(parse(bad[i], &m) == -OCF_EMALFORMED);
}

static void
test_left_out(void)
{
	char json[32768], id[300];
	size_t len;
	struct models m;

	CU_ASSERT_FATAL(parse("{\"data\":[{\"id\":\"\"},{\"id\":\"*\"},{\"id\":7},7,"
			      "{\"id\":\"a\\nb\"},{\"name\":\"x\"},{\"id\":\"good\"}]}",
			      &m) == 0);
	CU_ASSERT(m.len == 1 && m.left_out == 6);
	CU_ASSERT_STRING_EQUAL(m.matches[0], "model=good");
	CU_ASSERT(strstr(m.why, "cannot be a match") != NULL);
	models_fini(&m);

	memset(id, 'x', sizeof(id));
	id[sizeof(id) - 1] = '\0';
	snprintf(json, sizeof(json), "{\"data\":[{\"id\":\"%s\"}]}", id);
	CU_ASSERT_FATAL(parse(json, &m) == 0);
	CU_ASSERT(m.len == 0 && m.left_out == 1 && strlen(m.why) < 120);
	models_fini(&m);

	len = (size_t)snprintf(json, sizeof(json), "{\"data\":[");
	for (int i = 0; i < LIMIT_MATCHES_MAX + 3; i++)
		len += (size_t)snprintf(json + len, sizeof(json) - len,
					"%s{\"id\":\"m%d\"}", i > 0 ? "," : "", i);
	snprintf(json + len, sizeof(json) - len, "]}");
	CU_ASSERT_FATAL(parse(json, &m) == 0);
	CU_ASSERT(m.len == LIMIT_MATCHES_MAX && m.left_out == 3);
	CU_ASSERT_STRING_EQUAL(m.why, "m64 is one too many");
	models_fini(&m);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "models become matches, sorted and each once", test_lists },
		{ "what is no list of models is refused", test_no_list },
		{ "ids that cannot be a match are left out, and counted", test_left_out },
	};

	return TAP_MAIN(argc, argv, tests);
}
