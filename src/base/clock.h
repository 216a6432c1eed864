/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Protocol cores get it as an argument; only drivers (daemon, programs, tests) read
 * a clock. */
#ifndef OCF_BASE_CLOCK_H
#define OCF_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t ms_t; /* milliseconds: a span, or a moment of the clock named beside it */

enum {
	MS_SECOND = 1000,
	MS_MINUTE = 60 * MS_SECOND,
	MS_HOUR = 60 * MS_MINUTE,
	MS_DAY = 24 * MS_HOUR,
	CLOCK_TEXT_SIZE = 32,
};

ms_t clock_mono_ms(void); /* since some moment before our start; never goes back */
/* Since 1970-01-01 UTC; may jump. OCF_TEST_CLOCK_MS in the environment is added. */
ms_t clock_wall_ms(void);
/* RFC 3339 with milliseconds, UTC, of a wall clock moment. Returns `out`. */
char *clock_text(ms_t wall_ms, char out[CLOCK_TEXT_SIZE]);
/* "250ms", "30s", "10m", "24h", "7d", or plain digits for seconds. Negative, empty,
 * other units or more than 100 years: -EINVAL. */
int clock_parse_span(const char *text, ms_t *ret_ms);

#endif
