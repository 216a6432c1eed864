/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629): what is not valid cannot go into JSON. Pure. */
#ifndef OCF_BASE_UTF8_H
#define OCF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of the sequence at the front of `text`, which ends in NUL; 0 when it
 * is not valid: overlong, a surrogate, above U+10FFFF or cut. An empty text gives 1. */
size_t utf8_length(const char *text);
bool utf8_is_valid(const char *text);
/* In place, for what came from elsewhere and is to be shown: each byte that is not of a valid
 * sequence, and each control character, becomes `?`. */
void utf8_clean(char *text);

#endif
