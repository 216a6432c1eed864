/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648 base32, lower case, no padding. Private to ident/. */
#ifndef OCF_IDENT_BASE32_H
#define OCF_IDENT_BASE32_H

#include "base/bytes.h"

void base32_encode(struct bytes v, struct buf *out);
/* White space is skipped. -OCF_EMALFORMED for any other foreign character, and for a
 * length or last bits that no encoder makes, so that each value has one text. */
int base32_decode(struct bytes text, struct buf *out);

#endif
