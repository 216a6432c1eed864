/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with padding (RFC 4648 §4), for bytes inside JSON. Decoding takes only what
 * encoding makes: no white space, no missing padding, no stray bits, so that one value
 * has one text. */
#ifndef OCF_TABLE_BASE64_H
#define OCF_TABLE_BASE64_H

#include "base/bytes.h"

void base64_encode(struct bytes v, struct buf *out);
/* Append the bytes; -OCF_EMALFORMED appends nothing. */
int base64_decode(const char *text, struct buf *out);

#endif
