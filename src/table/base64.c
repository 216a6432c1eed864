/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "table/base64.h"

#include <string.h>

#include "base/error.h"

static const char base64_digits
	[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct bytes v, struct buf *out)
{
	for (size_t i = 0; i < v.len; i += 3) {
		size_t n = v.len - i < 3 ? v.len - i : 3;
		uint32_t word = (uint32_t)v.data[i] << 16;

		if (n > 1)
			word |= (uint32_t)v.data[i + 1] << 8;
		if (n > 2)
			word |= v.data[i + 2];
		for (size_t k = 0; k < 4; k++) {
			uint32_t digit = word >> (18 - 6 * k) & 63;

			buf_put_u8(out, k <= n ? (uint8_t)base64_digits[digit] : '=');
		}
	}
}

/* The value of a digit, or -1. */
static int
base64_value(char c)
{
	const char *at = c == '\0' ? NULL : strchr(base64_digits, c);

	return at == NULL ? -1 : (int)(at - base64_digits);
}

/* Four characters into one to three bytes; the count, or 0 when they are not base64. */
static size_t
base64_decode_group(const char *text, bool is_last, uint8_t out[3])
{
	size_t pads = 0;
	uint32_t word = 0;

	if (is_last && text[3] == '=')
		pads = text[2] == '=' ? 2 : 1;
	for (size_t k = 0; k < 4; k++) {
		int value = k >= 4 - pads ? 0 : base64_value(text[k]);

		if (value < 0)
			return 0;
		word = word << 6 | (uint32_t)value;
	}
	if ((pads == 1 && (word & 0xff) != 0) || (pads == 2 && (word & 0xffff) != 0))
		return 0;
	out[0] = (uint8_t)(word >> 16);
	out[1] = (uint8_t)(word >> 8);
	out[2] = (uint8_t)word;
	return 3 - pads;
}

int
base64_decode(const char *text, struct buf *out)
{
	size_t start = out->len, len = strlen(text);

	if (len % 4 != 0)
		return -OCF_EMALFORMED;
	for (size_t i = 0; i < len; i += 4) {
		uint8_t group[3];
		size_t n = base64_decode_group(text + i, i + 4 == len, group);

		if (n == 0) {
			out->len = start;
			return -OCF_EMALFORMED;
		}
		buf_put(out, group, n);
	}
	return 0;
}
