/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"

static const struct {
	const char *name;
	char priority; /* syslog(3) */
} levels[] = {
	[LOG_ERROR] = { "error", '3' },
	[LOG_WARN] = { "warn", '4' },
	[LOG_INFO] = { "info", '6' },
	[LOG_DEBUG] = { "debug", '7' },
};

static enum log_level log_level_max = LOG_INFO;
static enum log_format log_line_format = LOG_FORMAT_TEXT;

void
log_configure(enum log_level level, enum log_format format)
{
	log_level_max = level;
	log_line_format = format;
}

bool
log_enabled(enum log_level level)
{
	return level <= log_level_max;
}

int
log_parse_level(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Control characters as `?`; in JSON also quotes and backslashes escaped. */
static void
log_put_clean(struct buf *line, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			buf_put_u8(line, '?');
		else if (log_line_format == LOG_FORMAT_JSON && (*p == '"' || *p == '\\'))
			buf_printf(line, "\\%c", *p);
		else
			buf_put_u8(line, *p);
	}
}

static void
log_put_line(struct buf *line, enum log_level level, const char *module, const char *text)
{
	char when[CLOCK_TEXT_SIZE];

	clock_text(clock_wall_ms(), when);
	if (log_line_format == LOG_FORMAT_JSON) {
		buf_printf(line,
			   "{\"ts\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"msg\":\"",
			   when, levels[level].name, module);
		log_put_clean(line, text);
		buf_put_text(line, "\"}\n");
		return;
	}
	if (getenv("JOURNAL_STREAM") != NULL)
		buf_printf(line, "<%c>%s: ", levels[level].priority, module);
	else
		buf_printf(line, "%s %-5s %s: ", when, levels[level].name, module);
	log_put_clean(line, text);
	buf_put_u8(line, '\n');
}

void
log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	char text[LOG_LINE_BYTES_MAX];
	struct buf line = BUF_INIT;
	ssize_t n;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_put_line(&line, level, module, text);
	n = write(STDERR_FILENO, line.data, line.len);
	(void)n; /* there is nowhere left to say that the log is gone */
	buf_fini(&line);
}

bool
log_limit_pass(struct log_limit *limit, const char *module)
{
	long long now = clock_mono_ms();

	if (limit->started_ms == 0 || now - limit->started_ms >= limit->span_ms) {
		if (limit->skipped > 0)
			log_write(LOG_WARN, module, "%d similar messages were left out",
				  limit->skipped);
		limit->started_ms = now;
		limit->used = limit->skipped = 0;
	}
	if (limit->used < limit->burst) {
		limit->used++;
		return true;
	}
	limit->skipped++;
	return false;
}
