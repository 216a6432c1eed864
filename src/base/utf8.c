/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/utf8.h"

size_t
utf8_length(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char first = s[0], least = 0x80, most = 0xbf;
	size_t len = first < 0x80		      ? 1
		     : first >= 0xc2 && first <= 0xdf ? 2
		     : first >= 0xe0 && first <= 0xef ? 3
		     : first >= 0xf0 && first <= 0xf4 ? 4
						      : 0;

	if (first == 0xe0)
		least = 0xa0;
	else if (first == 0xf0)
		least = 0x90;
	else if (first == 0xed)
		most = 0x9f;
	else if (first == 0xf4)
		most = 0x8f;
	for (size_t i = 1; i < len; i++) {
		if (s[i] < least || s[i] > most)
			return 0;
		least = 0x80;
		most = 0xbf;
	}
	return len;
}

bool
utf8_is_valid(const char *text)
{
	while (*text != '\0') {
		size_t len = utf8_length(text);

		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

void
utf8_clean(char *text)
{
	while (*text != '\0') {
		size_t len = utf8_length(text);

		if (len == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) {
			*text = '?';
			len = 1;
		}
		text += len;
	}
}
