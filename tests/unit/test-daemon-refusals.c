/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says of those who are refused: a line each, and never a flood. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/refusals.h"
#include "lib/tap.h"

enum { TEXT_SIZE = 64 * 1024 };

/* What is written to standard error until log_end(). */
static int log_kept;
static FILE *log_file;

static void
log_begin(void)
{
	log_file = tmpfile();
	CU_ASSERT_PTR_NOT_NULL_FATAL(log_file);
	log_kept = dup(STDERR_FILENO);
	dup2(fileno(log_file), STDERR_FILENO);
}

static char *
log_end(void)
{
	char *text = mem_calloc(1, TEXT_SIZE);

	dup2(log_kept, STDERR_FILENO);
	close(log_kept);
	rewind(log_file);
	text[fread(text, 1, TEXT_SIZE - 1, log_file)] = '\0';
	fclose(log_file);
	return text;
}

static int
count(const char *text, const char *words)
{
	int n = 0;

	while ((text = strstr(text, words)) != NULL) {
		n++;
		text += strlen(words);
	}
	return n;
}

static void
test_a_line_names_who_and_why(void)
{
	struct refusals refusals = { 0 };
	char *text;

	log_begin();
	refusals_log(&refusals, "mesh", "192.0.2.1:7", "it showed no certificate");
	text = log_end();
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "192.0.2.1:7 is refused: it showed no certificate"));
	free(text);
}

static void
test_a_flood_is_a_few_lines(void)
{
	struct refusals refusals = { 0 };
	char *text, why[64];

	log_begin();
	for (int i = 0; i < 1000; i++) {
		snprintf(why, sizeof(why), "%d connections from its address", i);
		refusals_log(&refusals, "mesh", "192.0.2.1:7", why);
	}
	refusals_log(&refusals, "mesh", "192.0.2.2:7", "it showed no certificate");
	text = log_end();
	CU_ASSERT_EQUAL(count(text, "192.0.2.1:7 is refused"), REFUSALS_BURST);
	CU_ASSERT_EQUAL(count(text, "192.0.2.2:7 is refused"), 1);
	free(text);
}

/* An enemy can choose words of a reason, but not more kinds than there are. */
static void
test_whatever_the_reasons_are_lines_are_bounded(void)
{
	struct refusals refusals = { 0 };
	char *text, why[64];

	log_begin();
	for (int i = 0; i < 5000; i++) {
		snprintf(why, sizeof(why), "%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
			 'a' + i / 676);
		refusals_log(&refusals, "mesh", "x", why);
	}
	text = log_end();
	CU_ASSERT_EQUAL(count(text, "is refused"), REFUSALS_BURST * REFUSALS_KINDS);
	free(text);
	memset(why, 'x', sizeof(why));
	CU_ASSERT(refusals_kind("") >= 0 && refusals_kind("") < REFUSALS_KINDS);
	CU_ASSERT_EQUAL(refusals_kind("within 5 s"), refusals_kind("within 10 s"));
}

static const struct tap_test tests[] = {
	{ "a line names who was refused, and why", test_a_line_names_who_and_why },
	{ "a flood of one kind is a few lines, and hides no other kind",
	  test_a_flood_is_a_few_lines },
	{ "whatever the reasons are, lines are bounded",
	  test_whatever_the_reasons_are_lines_are_bounded },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
