/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people read them. Each writes a NUL-terminated text to `out` and returns it.
 */
#ifndef OCF_CLI_FORMAT_H
#define OCF_CLI_FORMAT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { FORMAT_SIZE = 32 };

/* "512 B", "4.0 KiB", "62.5 GiB". */
char *format_bytes(int64_t bytes, char out[FORMAT_SIZE]);
/* "0.4 s", "12 s", "3 min 20 s", "42 min", "5 h 12 min", "2 d 5 h", "30 d". */
char *format_span(double seconds, char out[FORMAT_SIZE]);
/* "0.21 ms", "3.4 ms", "1200 ms". */
char *format_ms(double ms, char out[FORMAT_SIZE]);
/* Append a segment of a URL's path: everything but unreserved characters (RFC 3986) as
 * %XX. */
void format_path_segment(const char *text, struct buf *out);
/* Append what follows the service in a URL: as it is, but for what no URL may hold. */
void format_path(const char *path, struct buf *out);

#endif
