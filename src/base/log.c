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

/* Control characters as `?`; within quotes quotes and backslashes escaped. */
static void
log_put_clean(struct buf *line, const char *text, bool is_quoted)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			buf_put_u8(line, '?');
		else if (is_quoted && (*p == '"' || *p == '\\'))
			buf_printf(line, "\\%c", *p);
		else
			buf_put_u8(line, *p);
	}
}

/* All that stands before what is said. */
static void
log_put_start(struct buf *line, enum log_level level, const char *module)
{
	char when[CLOCK_TEXT_SIZE];

	clock_text(clock_wall_ms(), when);
	if (log_line_format == LOG_FORMAT_JSON)
		buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",",
			   when, levels[level].name, module);
	else if (getenv("JOURNAL_STREAM") != NULL)
		buf_printf(line, "<%c>%s: ", levels[level].priority, module);
	else
		buf_printf(line, "%s %-5s %s: ", when, levels[level].name, module);
}

static void
log_put_end(struct buf *line)
{
	ssize_t n;

	buf_put_text(line, log_line_format == LOG_FORMAT_JSON ? "}\n" : "\n");
	n = write(STDERR_FILENO, line->data, line->len);
	(void)n; /* there is nowhere left to say that the log is gone */
	buf_fini(line);
}

void
log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	bool is_json = log_line_format == LOG_FORMAT_JSON;
	char text[LOG_LINE_BYTES_MAX];
	struct buf line = BUF_INIT;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_put_start(&line, level, module);
	if (is_json)
		buf_put_text(&line, "\"msg\":\"");
	log_put_clean(&line, text, is_json);
	if (is_json)
		buf_put_u8(&line, '"');
	log_put_end(&line);
}

static void
log_put_field(struct buf *line, const struct log_field *f, bool is_first)
{
	bool is_json = log_line_format == LOG_FORMAT_JSON;
	bool is_quoted = f->text != NULL && (is_json || f->text[0] == '\0' ||
					     strpbrk(f->text, " \"=") != NULL);

	if (!is_first)
		buf_put_u8(line, is_json ? ',' : ' ');
	buf_printf(line, is_json ? "\"%s\":" : "%s=", f->name);
	if (f->text == NULL)
		buf_printf(line, "%lld", f->number);
	if (is_quoted)
		buf_put_u8(line, '"');
	if (f->text != NULL)
		log_put_clean(line, f->text, is_quoted);
	if (is_quoted)
		buf_put_u8(line, '"');
}

void
log_fields(enum log_level level, const char *module, const struct log_field *fields,
	   int n)
{
	struct buf line = BUF_INIT;

	if (!log_enabled(level))
		return;
	log_put_start(&line, level, module);
	for (int i = 0; i < n; i++)
		log_put_field(&line, &fields[i], i == 0);
	log_put_end(&line);
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
