/* SPDX-License-Identifier: Apache-2.0 */
/* How far something is, on one line of standard error that is drawn again and again; nothing
 * where that is no terminal. */
#ifndef OCF_CLI_PROGRESS_H
#define OCF_CLI_PROGRESS_H

#include <stdint.h>

/* "WHAT [####......] 40 %  12 of 30 rows, 6/s, 3 s left"; a `total` of 0 or below `done` is
 * not known, and the bar is left out. The rate is that since the line is there, told from its
 * second second on. What finds no room on the line is left out, from its end. */
void progress_show(const char *what, int64_t done, int64_t total);
/* "WHAT  12.3 MiB" */
void progress_show_bytes(const char *what, int64_t done);
/* Take the line away, if there is one. */
void progress_clear(void);

#endif
