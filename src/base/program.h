/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that ours start: where they are. */
#ifndef OCF_BASE_PROGRAM_H
#define OCF_BASE_PROGRAM_H

#include <stdbool.h>

/* Is it a plain file that this user may run? */
bool program_is_one(const char *path);
/* `name` in the absolute folders of PATH, then in /usr/sbin and /usr/local/sbin, which are not
 * in the PATH of ordinary users. Free(3) it; NULL when it is in none. */
char *program_find(const char *name);

#endif
