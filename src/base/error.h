/* SPDX-License-Identifier: Apache-2.0 */
/* Errors. A function that can fail returns 0 or a negative code: a negated errno, or one of
 * the project's own below. Codes travel between modules; a sentence for a person is made
 * where a person reads it (configuration, command line, log) in a `struct errmsg`. */
#ifndef OCF_BASE_ERROR_H
#define OCF_BASE_ERROR_H

#include <errno.h>

/* X(name, number, text). Numbers start below every errno and are not reused. */
#define OCF_ERRORS(X)                                                                    \
	X(OCF_EMALFORMED, 1000, "malformed data")                                        \
	X(OCF_ELIMIT, 1001, "a limit was exceeded")                                      \
	X(OCF_ESIGNATURE, 1002, "the signature does not match")                          \
	X(OCF_EVERSION, 1003, "made by a newer version of this program")                 \
	X(OCF_EEXPIRED, 1004, "expired")                                                 \
	X(OCF_EFOREIGN, 1005, "belongs to another cluster")                              \
	X(OCF_ECORRUPT, 1006, "the store is damaged")                                    \
	X(OCF_EREFUSED, 1007, "refused by the other side")                               \
	X(OCF_EUNKNOWN, 1008, "not known here")                                          \
	X(OCF_ECRYPTO, 1009, "a cryptographic operation failed")

enum ocf_error {
#define X(name, number, text) name = (number),
	OCF_ERRORS(X)
#undef X
};

/* Exit statuses of every program (sysexits.h where it has a name). */
enum {
	EXIT_STATUS_USAGE = 2,
	EXIT_STATUS_UNREACHABLE = 69, /* the daemon could not be reached */
	EXIT_STATUS_IO = 74,
	EXIT_STATUS_TRY_LATER = 75, /* 429, 503, 504, peer not reached */
	EXIT_STATUS_PERMISSION = 77,
	EXIT_STATUS_CONFIG = 78,
};

/* What went wrong in words, without a full stop or a line end; empty when nothing did. */
struct errmsg {
	char text[512];
};

/* The sentence for a negative code; errno values as strerror(3). Never NULL. Thread-safe. */
const char *error_text(int code);

/* Format into `msg` (NULL is allowed) and return `code`, so that a failing function ends
 * with `return error_set(err, -EINVAL, "...")`. Longer text is cut. */
int error_set(struct errmsg *msg, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Put "text: " in front of what `msg` says. */
int error_prefix(struct errmsg *msg, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
