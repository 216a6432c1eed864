/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/base32.h"

#include <string.h>

#include "base/error.h"

static const char base32_digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void
base32_encode(struct bytes v, struct buf *out)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < v.len; i++) {
		bits = (bits << 8 | v.data[i]) & 0xffff;
		for (held += 8; held >= 5; held -= 5)
			buf_put_u8(out, (uint8_t)base32_digits[bits >> (held - 5) & 31]);
	}
	if (held > 0)
		buf_put_u8(out, (uint8_t)base32_digits[bits << (5 - held) & 31]);
}

int
base32_decode(struct bytes text, struct buf *out)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char *digit = memchr(base32_digits, text.data[i], 32);

		if (text.data[i] != '\0' && strchr(" \t\r\n", text.data[i]) != NULL)
			continue;
		if (digit == NULL)
			return -OCF_EMALFORMED;
		bits = (bits << 5 | (unsigned)(digit - base32_digits)) & 0xfff;
		held += 5;
		if (held >= 8) {
			held -= 8;
			buf_put_u8(out, (uint8_t)(bits >> held));
		}
	}
	/* Five or more bits over: a digit too many. Others must be zero. */
	if (held >= 5 || (bits & ((1u << held) - 1)) != 0)
		return -OCF_EMALFORMED;
	return 0;
}
