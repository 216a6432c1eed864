/* SPDX-License-Identifier: Apache-2.0 */
/* What ocf ban, ocf unban and ocf forget share: the node, the question to the daemon, and its
 * answer. */
#ifndef OCF_CLI_BAR_H
#define OCF_CLI_BAR_H

#include "cli/command.h"

/* POST /v1/admin/VERB about the node that `text` means. `reason` may be NULL. `done` and
 * `already`: what is said behind "node n1 (ab12cd34) " when it was done, and when there was
 * nothing to do (then with who did it before, and when). Returns the exit status. */
int bar_ask(const struct cli *cli, const char *verb, const char *text, const char *reason,
	    const char *done, const char *already);

#endif
