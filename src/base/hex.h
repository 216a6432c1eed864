/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_BASE_HEX_H
#define OCF_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Two lower-case digits a byte and a NUL: `out` holds 2 * len + 1 bytes. Returns `out`. */
char *hex_encode(const void *data, size_t len, char *out);
/* Exactly 2 * len digits of either case, then a NUL; else -OCF_EMALFORMED. */
int hex_decode(const char *text, void *out, size_t len);

#endif
