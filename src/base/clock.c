/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static ms_t
clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (ms_t)ts.tv_sec * MS_SECOND + ts.tv_nsec / 1000000;
}

ms_t
clock_mono_ms(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

/* For tests (CONTRIBUTING.md): what is added to the wall clock. */
static ms_t clock_offset_ms;

static void
clock_read_offset(void)
{
	const char *text = secure_getenv("OCF_TEST_CLOCK_MS");

	if (text != NULL)
		clock_offset_ms = strtoll(text, NULL, 10);
}

ms_t
clock_wall_ms(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, clock_read_offset);
	return clock_read(CLOCK_REALTIME) + clock_offset_ms;
}

char *
clock_text(ms_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / MS_SECOND);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_TEXT_SIZE - n, ".%03dZ", (int)(wall_ms % MS_SECOND));
	return out;
}

int
clock_parse_span(const char *text, ms_t *ret_ms)
{
	static const struct {
		const char *name;
		ms_t ms;
	} units[] = {
		{ "ms", 1 },	    { "s", MS_SECOND }, { "", MS_SECOND },
		{ "m", MS_MINUTE }, { "h", MS_HOUR },	{ "d", MS_DAY },
	};
	const ms_t max = (ms_t)36525 * MS_DAY;
	char *end;
	long long n;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (n > max / units[i].ms)
			return -EINVAL;
		*ret_ms = n * units[i].ms;
		return 0;
	}
	return -EINVAL;
}
