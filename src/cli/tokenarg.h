/* SPDX-License-Identifier: Apache-2.0 */
/* A token as a command gets it: a word of the command line, or "-" and standard input. It is a
 * password, so the word is overwritten at once: `ps` and /proc/PID/cmdline show it for the
 * moment in which the program starts, and not while it waits for other machines. */
#ifndef OCF_CLI_TOKENARG_H
#define OCF_CLI_TOKENARG_H

#include "ident/token.h"

/* Returns an exit status; what is wrong with it is said. From a terminal it is read to its
 * last character or an empty line, from a pipe to the end. */
int tokenarg_read(char *argument, struct token *ret_token);

#endif
