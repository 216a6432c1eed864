/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of dials that failed. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "daemon/dials.h"
#include "lib/tap.h"

static const struct id node1 = { { 1 } }, node2 = { { 2 } }, nobody = { { 0 } };

static const char *
failure(const json_t *list, size_t i, const char *member)
{
	return json_string_value(json_object_get(json_array_get(list, i), member));
}

static void
test_a_failure_is_told_with_its_reason_and_age(void)
{
	struct dials *dials = dials_new();
	json_t *list;

	dials_failed(dials, "a:1", &node1, "refused", 1000);
	dials_failed(dials, "b:1", &nobody, "silence", 2000);
	dials_failed(dials, "a:1", &node1, "no route", 5000);
	list = dials_failures_json(dials, 9000);
	CU_ASSERT_EQUAL_FATAL(json_array_size(list), 2);
	CU_ASSERT_STRING_EQUAL(failure(list, 0, "address"), "b:1");
	CU_ASSERT_PTR_NULL(failure(list, 0, "node"));
	CU_ASSERT_STRING_EQUAL(failure(list, 1, "error"), "no route");
	CU_ASSERT_EQUAL(
		json_integer_value(json_object_get(json_array_get(list, 1), "fails")), 2);
	CU_ASSERT_EQUAL(
		json_integer_value(json_object_get(json_array_get(list, 1), "age_s")), 4);
	json_decref(list);
	dials_free(dials);
}

static void
test_a_link_ends_the_failures_of_its_node(void)
{
	struct dials *dials = dials_new();
	json_t *list, *inbound = dials_inbound_json(dials, 10);

	CU_ASSERT_TRUE(json_is_null(json_object_get(inbound, "last_s")));
	json_decref(inbound);
	dials_failed(dials, "a:1", &node1, "refused", 0);
	dials_failed(dials, "seed:1", &nobody, "refused", 0);
	dials_failed(dials, "b:1", &node2, "refused", 0);
	dials_linked(dials, "seed:1", &node1, false, 1000);
	list = dials_failures_json(dials, 1000);
	CU_ASSERT_EQUAL_FATAL(json_array_size(list), 1);
	CU_ASSERT_STRING_EQUAL(failure(list, 0, "address"), "b:1");
	json_decref(list);
	dials_linked(dials, "", &node2, true, 2000);
	inbound = dials_inbound_json(dials, 9000);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(inbound, "count")), 1);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(inbound, "last_s")), 7);
	json_decref(inbound);
	dials_free(dials);
}

static void
test_the_oldest_of_too_many_gives_way(void)
{
	struct dials *dials = dials_new();
	char address[16];
	json_t *list;

	for (int i = 0; i <= DIALS_MAX; i++) {
		snprintf(address, sizeof(address), "a:%d", i);
		dials_failed(dials, address, &node1, "refused", i);
		dials_failed(dials, "often:1", &node2, "refused", i);
	}
	list = dials_failures_json(dials, 1000);
	CU_ASSERT_EQUAL_FATAL(json_array_size(list), DIALS_MAX);
	CU_ASSERT_STRING_EQUAL(failure(list, 0, "address"), "a:2");
	CU_ASSERT_STRING_EQUAL(failure(list, DIALS_MAX - 1, "address"), "often:1");
	json_decref(list);
	dials_free(dials);
}

static const struct tap_test tests[] = {
	{ "a failure is told with its reason and its age",
	  test_a_failure_is_told_with_its_reason_and_age },
	{ "a link ends the failures of its node and of its address",
	  test_a_link_ends_the_failures_of_its_node },
	{ "the oldest of too many failures gives way",
	  test_the_oldest_of_too_many_gives_way },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
