/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that a node is linked with, out of its list of links. */
#ifndef OCF_CLI_LINKED_H
#define OCF_CLI_LINKED_H

#include <jansson.h>

/* Of GET /v1/peers: the ids of those with a link that is up, in order, each once. A new
 * array; empty when `peers` is none. */
json_t *linked_nodes(const json_t *peers);

#endif
