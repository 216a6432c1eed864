/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of anti-entropy that `ocf-sync compare` and `run` ask the daemon for. */
#ifndef OCF_CLI_RECONCILE_H
#define OCF_CLI_RECONCILE_H

#include <jansson.h>

#include "cli/command.h"

/* `op` is "compare" or "run"; `with` a node as people name it, NULL for one that the daemon
 * picks. Waits for its end, with a progress bar on a terminal. Returns an exit status:
 * EXIT_SUCCESS when it went to its end, and then `ret_state`; a failure was said. */
int reconcile(const struct cli *cli, const char *op, const char *with,
	      json_t **ret_state);
/* "n2 (ab12cd34)", fit to be printed. Free(3) it. */
char *reconcile_node(const json_t *state);

#endif
