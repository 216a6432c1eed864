/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/percent.h"

#include <stdlib.h>

#include "base/mem.h"

/* -1: it is none. */
static int
percent_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *
percent_decode(struct bytes in, bool plus_is_blank)
{
	char *out = mem_alloc(in.len + 1), *to = out;

	for (size_t i = 0; i < in.len; i++) {
		int c = in.data[i];

		if (c == '%') {
			int high = i + 2 < in.len ? percent_digit(in.data[i + 1]) : -1;
			int low = high >= 0 ? percent_digit(in.data[i + 2]) : -1;

			c = low >= 0 ? high * 16 + low : '\0';
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (c == '\0') {
			free(out);
			return NULL;
		}
		*to++ = (char)c;
	}
	*to = '\0';
	return out;
}
