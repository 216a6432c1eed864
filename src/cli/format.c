/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/format.h"

#include <stdio.h>
#include <string.h>

char *
format_bytes(int64_t bytes, char out[FORMAT_SIZE])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	int unit = -1;

	/* 1023.95 would be shown as 1024.0. */
	while ((value >= 1023.95 || (unit < 0 && value >= 1024)) && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(out, FORMAT_SIZE, "%d B", (int)bytes);
	else
		snprintf(out, FORMAT_SIZE, "%.1f %s", value, units[unit]);
	return out;
}

/* "5 h 12 min", or "5 h" when there is nothing of the smaller unit. */
static void
format_two(int64_t large, const char *large_unit, int64_t small, const char *small_unit,
	   char out[FORMAT_SIZE])
{
	if (small == 0)
		snprintf(out, FORMAT_SIZE, "%lld %s", (long long)large, large_unit);
	else
		snprintf(out, FORMAT_SIZE, "%lld %s %lld %s", (long long)large,
			 large_unit, (long long)small, small_unit);
}

char *
format_span(double seconds, char out[FORMAT_SIZE])
{
	int64_t s;

	if (seconds < 0)
		seconds = 0;
	s = seconds < 1e15 ? (int64_t)(seconds + 0.5) : (int64_t)1e15;
	if (seconds < 9.95)
		snprintf(out, FORMAT_SIZE, "%.1f s", seconds);
	else if (s < 60)
		format_two(s, "s", 0, "", out);
	else if (s < 10 * 60)
		format_two(s / 60, "min", s % 60, "s", out);
	else if (s < 3600)
		format_two(s / 60, "min", 0, "", out);
	else if (s < 86400)
		format_two(s / 3600, "h", s / 60 % 60, "min", out);
	else if (s < 10 * 86400)
		format_two(s / 86400, "d", s / 3600 % 24, "h", out);
	else
		format_two(s / 86400, "d", 0, "", out);
	return out;
}

char *
format_ms(double ms, char out[FORMAT_SIZE])
{
	int digits = ms < 0.995 ? 2 : ms < 99.95 ? 1 : 0;

	snprintf(out, FORMAT_SIZE, "%.*f ms", digits, ms);
	return out;
}

static void
format_escape(unsigned char c, struct buf *out)
{
	buf_printf(out, "%%%02X", c);
}

void
format_path_segment(const char *text, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL)
			buf_put(out, text, 1);
		else
			format_escape((unsigned char)*text, out);
	}
}

void
format_path(const char *path, struct buf *out)
{
	if (path[0] != '/')
		buf_put_text(out, "/");
	for (; *path != '\0'; path++) {
		unsigned char c = (unsigned char)*path;

		if (c <= 0x20 || c >= 0x7f || strchr("\"#<>\\^`{|}", c) != NULL)
			format_escape(c, out);
		else
			buf_put(out, path, 1);
	}
}
