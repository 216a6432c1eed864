/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "table/token-json.h"

static void
test_round_trip(void)
{
	static const char *const texts[] = {
		"{\"name\":\"a\",\"rate\":null,\"burst\":null,\"concurrency\":null,"
		"\"share\":null,\"services\":null}",
		"{\"name\":\"b@c\",\"rate\":10,\"burst\":20,\"concurrency\":4,"
		"\"share\":1000,\"services\":[\"llm\",\"a, b\"]}",
		"{\"name\":\"c\",\"rate\":0.5,\"burst\":null,\"concurrency\":null,"
		"\"share\":null,\"services\":null}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *json = json_loads(texts[i], 0, NULL), *again;
		struct tokens_entry e;
		struct errmsg err = { "" };

		CU_ASSERT_EQUAL_FATAL(token_from_json(json, &e, &err), 0);
		again = token_to_json(&e);
		CU_ASSERT(json_equal(json, again));
		json_decref(again);
		json_decref(json);
		tokens_entry_fini(&e);
	}
}

static void
test_wrong(void)
{
	static const char *const texts[] = {
		"{}",
		"{\"name\":1}",
		"{\"name\":\"two words\"}",
		"{\"name\":\"a\",\"pace\":1}",
		"{\"name\":\"a\",\"rate\":0}",
		"{\"name\":\"a\",\"rate\":-1}",
		"{\"name\":\"a\",\"rate\":1e300}",
		"{\"name\":\"a\",\"rate\":\"1\"}",
		"{\"name\":\"a\",\"burst\":1}",
		"{\"name\":\"a\",\"rate\":1,\"burst\":1.5}",
		"{\"name\":\"a\",\"concurrency\":0}",
		"{\"name\":\"a\",\"concurrency\":1000001}",
		"{\"name\":\"a\",\"share\":1001}",
		"{\"name\":\"a\",\"services\":[]}",
		"{\"name\":\"a\",\"services\":\"llm\"}",
		"{\"name\":\"a\",\"services\":[\"llm\",1]}",
		"{\"name\":\"a\",\"services\":[\"a\\nb\"]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *json = json_loads(texts[i], 0, NULL);
		struct errmsg err = { "" };
		struct tokens_entry e;
		int rc = token_from_json(json, &e, &err);

		if (rc != -EINVAL || err.text[0] == '\0')
			tap_note("%s: %d %s", texts[i], rc, err.text);
		CU_ASSERT(rc == -EINVAL && err.text[0] != '\0');
		json_decref(json);
	}
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a token's JSON and back", test_round_trip },
		{ "what is no token is refused with a reason", test_wrong },
	};

	return TAP_MAIN(argc, argv, tests);
}
