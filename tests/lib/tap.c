/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { TAP_SEED_DEFAULT = 20231127 };

static int tap_number;

static void
tap_report(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	(void)suite;
	for (CU_pFailureRecord f = failure; f != NULL; f = f->pNext)
		printf("# %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
	printf("%sok %d - %s\n", failure != NULL ? "not " : "", ++tap_number,
	       test->pName);
	fflush(stdout);
}

static bool
tap_is_wanted(const char *sentence, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(sentence, argv[i]) != NULL)
			return true;
	return argc < 2;
}

int
tap_main(int argc, char **argv, const struct tap_test *tests, int count)
{
	CU_pSuite suite;
	int planned = 0;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 99;
	suite = CU_add_suite("tests", NULL, NULL);
	for (int i = 0; i < count; i++) {
		if (!tap_is_wanted(tests[i].sentence, argc, argv))
			continue;
		if (CU_add_test(suite, tests[i].sentence, tests[i].run) == NULL)
			return 99;
		planned++;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n# seed %llu\n", planned, (unsigned long long)tap_seed());
	CU_set_test_complete_handler(tap_report);
	CU_run_all_tests();
	count = (int)CU_get_number_of_tests_failed();
	CU_cleanup_registry();
	return count == 0 && planned > 0 ? 0 : 1;
}

uint64_t
tap_seed(void)
{
	const char *text = getenv("OCF_TEST_SEED");

	return text != NULL ? strtoull(text, NULL, 0) : TAP_SEED_DEFAULT;
}

bool
tap_is_quick(void)
{
	const char *level = getenv("OCF_TEST_LEVEL");

	return level != NULL && strcmp(level, "quick") == 0;
}

void
tap_note(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

const char *
tap_folder(void)
{
	const char *folder = getenv("OCF_TEST_TMP");

	return folder != NULL ? folder : ".";
}

char *
tap_source(const char *path)
{
	const char *srcdir = getenv("OCF_TEST_SRCDIR");

	return mem_printf("%s/%s", srcdir != NULL ? srcdir : ".", path);
}
