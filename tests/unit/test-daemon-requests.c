/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of the comparisons: how many at once, how long they are known, and that
 * one that nobody asks about is nobody's. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/requests.h"
#include "lib/tap.h"

static const struct id node = { { 7 } };

static void
end(struct requests *rs, uint64_t number, int rc, ms_t now)
{
	struct sync_result result = { .request = number, .rc = rc, .remaining_ms = -1 };

	memcpy(result.why, rc < 0 ? "why" : "", rc < 0 ? 4 : 1);
	requests_done(rs, &result, now);
}

static bool
says(struct requests *rs, uint64_t number, const struct sync_result *progress,
     const char *state)
{
	json_t *json = request_json(requests_find(rs, number), progress, "n2");
	const char *is = json_string_value(json_object_get(json, "state"));
	bool is_said = is != NULL && strcmp(is, state) == 0 &&
		       json_object_get(json, "remaining_s") != NULL &&
		       json_is_array(json_object_get(json, "rows"));

	json_decref(json);
	return is_said;
}

static void
test_room(void)
{
	struct requests rs = { 0 };
	int running;

	for (int i = 0; i < REQUESTS_MAX; i++)
		CU_ASSERT_FATAL(requests_add(&rs, &node, false, 1000, &running) != NULL);
	CU_ASSERT(requests_add(&rs, &node, false, 1000, &running) == NULL);
	CU_ASSERT(running == REQUESTS_MAX);
	end(&rs, 3, 0, 2000);
	/* Who asked is still to be told. */
	CU_ASSERT(requests_add(&rs, &node, false, 2000, &running) == NULL);
	CU_ASSERT(says(&rs, 3, NULL, "done"));
	CU_ASSERT(requests_add(&rs, &node, true, 2000, &running) != NULL);
	/* What ended is known for a while, and not for ever. */
	CU_ASSERT(says(&rs, 3, NULL, "done"));
	end(&rs, 4, -EIO, 3000);
	CU_ASSERT(says(&rs, 4, NULL, "failed"));
	CU_ASSERT(requests_add(&rs, &node, true, 2000 + REQUESTS_KEPT_MS, &running) !=
		  NULL);
	CU_ASSERT(requests_find(&rs, 3) == NULL && requests_find(&rs, 4) != NULL);
	requests_fini(&rs);
}

static void
test_forsaken(void)
{
	struct sync_result progress = { .legs = 3, .remaining_ms = 500 };
	struct requests rs = { .last = 41 };
	struct request *r;
	int running;

	CU_ASSERT(requests_forsaken(&rs, 0) == NULL);
	r = requests_add(&rs, &node, false, 1000, &running);
	CU_ASSERT_FATAL(r != NULL && r->number == 42);
	CU_ASSERT(says(&rs, 42, NULL, "waiting") && says(&rs, 42, &progress, "running"));
	CU_ASSERT(requests_forsaken(&rs, 999 + REQUESTS_ASKED_MS) == NULL);
	CU_ASSERT(requests_forsaken(&rs, 1000 + REQUESTS_ASKED_MS) == r);
	r->asked_ms = 5000;
	CU_ASSERT(requests_forsaken(&rs, 1000 + REQUESTS_ASKED_MS) == NULL);
	end(&rs, 42, -ECANCELED, 6000);
	CU_ASSERT(requests_forsaken(&rs, 5000 + REQUESTS_ASKED_MS) == NULL);
	CU_ASSERT(says(&rs, 42, NULL, "failed"));
	requests_fini(&rs);
}

static const struct tap_test tests[] = {
	{ "so many are under way, and so many that ended are known", test_room },
	{ "one that nobody asks about is forsaken, until it has ended", test_forsaken },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
