/* SPDX-License-Identifier: Apache-2.0 */
/* A file that a command makes: whole, or not at all, and then what was there before stays. */
#ifndef OCF_CLI_SAVEFILE_H
#define OCF_CLI_SAVEFILE_H

#include <stdio.h>
#include <sys/types.h>

/* fn(arg, to) writes it and returns an exit status; a failure was said. NULL and "-" are
 * standard output; a device or a pipe is written as it is. Returns an exit status. */
int savefile_write(const char *path, mode_t mode, int (*fn)(void *arg, FILE *to),
		   void *arg);
/* The mode of a file that is no secret: what the umask leaves. */
mode_t savefile_mode(void);

#endif
