/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes by the names that people use, asked of the daemon. */
#ifndef OCF_CLI_NAMES_H
#define OCF_CLI_NAMES_H

#include <jansson.h>

#include "base/id.h"
#include "cli/command.h"

/* The id of the node that `text` means: an id, a unique beginning of one (at least 4 digits),
 * or a name where it is unambiguous. Returns an exit status; a failure was said. */
int names_find_node(const struct cli *cli, const char *text, char ret_id[ID_TEXT_SIZE]);
/* "n2 (ab12cd34)" for an id, or the id; free(3) it. */
char *names_of_node(const struct cli *cli, const char *id);
/* The same by a list fetched once (an exit status); NULL stands for an empty one. */
int names_load(const struct cli *cli, json_t **ret_nodes);
char *names_in(const json_t *nodes, const char *id);

#endif
