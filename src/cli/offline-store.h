/* SPDX-License-Identifier: Apache-2.0 */
/* The work on the store itself, in the process that offline.c makes for it. */
#ifndef OCF_CLI_OFFLINE_STORE_H
#define OCF_CLI_OFFLINE_STORE_H

#include <stdio.h>

#include "base/places.h"
#include "cli/offline.h"

/* Do it, and write JSON objects to `out`, one a line: states while it goes on, then what
 * offline_run() gives, or {"error":sentence,"status":exit status}. */
void offline_store_run(const struct places *places, enum offline_op op, FILE *out);

#endif
