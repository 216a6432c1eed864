/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hex.h"

#include <string.h>

#include "base/error.h"
#include "base/id.h"

char *
hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
hex_decode(const char *text, void *out, size_t len)
{
	uint8_t *p = out;

	if (strlen(text) != 2 * len)
		return -OCF_EMALFORMED;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -OCF_EMALFORMED;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

bool
id_is_zero(const struct id *id)
{
	static const struct id zero;

	return id_equal(id, &zero);
}

char *
id_text(const struct id *id, char out[ID_TEXT_SIZE])
{
	return hex_encode(id->b, ID_BYTES, out);
}

int
id_parse(const char *text, struct id *ret_id)
{
	struct id id;
	int rc = hex_decode(text, id.b, ID_BYTES);

	if (rc == 0)
		*ret_id = id;
	return rc;
}
