/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_BASE_PERCENT_H
#define OCF_BASE_PERCENT_H

#include <stdbool.h>

#include "base/bytes.h"

/* Percent-encoding undone (RFC 3986, 2.1); free(3) the result. With `plus_is_blank` a + is a
 * blank, as in a query string. NULL: a percent sign without two hex digits behind it, or a
 * NUL in the result. */
char *percent_decode(struct bytes in, bool plus_is_blank);

#endif
