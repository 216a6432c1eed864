/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a program: lines on standard error. Only `daemon`, `worker` and `cli` decide
 * what is worth a line; `net`, `bus` and `http` may write LOG_DEBUG and, where no caller is
 * there to be told, LOG_WARN. The pure folders never log.
 *
 * On a terminal: time, level, module, sentence. Under journald ($JOURNAL_STREAM): a "<N>"
 * prefix instead of the time (sd-daemon(3)). As JSON: one object a line. A control
 * character in a message is printed as `?`, so that no peer can write lines of ours.
 * Thread-safe: a line is one write(2). */
#ifndef OCF_BASE_LOG_H
#define OCF_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum { LOG_LINE_BYTES_MAX = 2048 };

/* Before any thread is started; without it: LOG_INFO, text. */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* -EINVAL for anything but error, warn, info, debug. */
int log_parse_level(const char *text, enum log_level *ret_level);
void log_write(enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What happened, as names and values instead of a sentence: "NAME=VALUE …", a value with blanks
 * or quotes in quotes; in JSON members of the line's object. */
struct log_field {
	const char *name;
	const char *text; /* NULL: it is a number */
	long long number;
};
void log_fields(enum log_level level, const char *module, const struct log_field *fields,
		int n);

#define log_error(module, ...) log_write(LOG_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...) log_write(LOG_WARN, module, __VA_ARGS__)
#define log_info(module, ...) log_write(LOG_INFO, module, __VA_ARGS__)
#define log_debug(module, ...)                                                           \
	do {                                                                             \
		if (log_enabled(LOG_DEBUG))                                              \
			log_write(LOG_DEBUG, module, __VA_ARGS__);                       \
	} while (0)

/* At most `burst` lines in any `span_ms`; the next one that passes says how many were
 * left out. One limiter per kind of message, zero-initialised but for its two limits. */
struct log_limit {
	long long span_ms;
	int burst;
	long long started_ms;
	int used;
	int skipped;
};
bool log_limit_pass(struct log_limit *limit, const char *module);

#endif
