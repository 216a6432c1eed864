/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge from CUnit to TAP (testanything.org), which automake's harness reads: one line
 * per test. A test program is
 *
 *	static const struct tap_test tests[] = {
 *		{ "what it shows, as a sentence", test_what_expected },
 *	};
 *	int main(int argc, char **argv) { return TAP_MAIN(argc, argv, tests); }
 *
 * With arguments only the tests whose sentence contains one of them run. CU_ASSERT… report a
 * failure and go on; CU_ASSERT_…_FATAL ends the test. */
#ifndef OCF_TESTS_TAP_H
#define OCF_TESTS_TAP_H

/* clang-format off: CUnit's headers need this order */
#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
/* clang-format on */
#include <stdbool.h>
#include <stdint.h>

struct tap_test {
	const char *sentence;
	void (*run)(void);
};

int tap_main(int argc, char **argv, const struct tap_test *tests, int count);
#define TAP_MAIN(argc, argv, tests)                                                      \
	tap_main(argc, argv, tests, (int)(sizeof(tests) / sizeof((tests)[0])))

/* The seed of this run: $OCF_TEST_SEED or a fixed one; printed, so that a failure can be
 * repeated. */
uint64_t tap_seed(void);
/* $OCF_TEST_LEVEL is "quick": instrumented runs do fewer rounds. */
bool tap_is_quick(void);
/* A line of diagnosis beside the results. */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A folder of this test program's own ($OCF_TEST_TMP, made by tests/run and removed after
 * it); the current folder without one. */
const char *tap_folder(void);
/* A file of the source tree, as "$srcdir/path"; free(3) it. */
char *tap_source(const char *path);

#endif
