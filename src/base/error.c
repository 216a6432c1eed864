/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
error_text(int code)
{
	const char *text;

	switch (-code) {
#define X(name, number, text)                                                            \
	case name:                                                                       \
		return text;
		OCF_ERRORS(X)
#undef X
	default:
		text = strerrordesc_np(-code);
		return text != NULL ? text : "unknown error";
	}
}

int
error_set(struct errmsg *msg, int code, const char *fmt, ...)
{
	va_list ap;

	if (msg == NULL)
		return code;
	va_start(ap, fmt);
	vsnprintf(msg->text, sizeof(msg->text), fmt, ap);
	va_end(ap);
	return code;
}

int
error_prefix(struct errmsg *msg, int code, const char *fmt, ...)
{
	struct errmsg old;
	size_t len;
	va_list ap;

	if (msg == NULL)
		return code;
	old = *msg;
	va_start(ap, fmt);
	vsnprintf(msg->text, sizeof(msg->text), fmt, ap);
	va_end(ap);
	len = strlen(msg->text);
	snprintf(msg->text + len, sizeof(msg->text) - len, ": %s", old.text);
	return code;
}
