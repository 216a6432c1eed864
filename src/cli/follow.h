/* SPDX-License-Identifier: Apache-2.0 */
/* Something that takes the daemon a while: it is asked to begin, gives the request a number,
 * and tells by that how far it is. */
#ifndef OCF_CLI_FOLLOW_H
#define OCF_CLI_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/command.h"

/* Called with each state until the last. */
typedef void follow_fn(void *arg, const json_t *state);

/* POST `start` (taken over) to `path`, then ask until the state is "done" or "failed", which
 * `ret_state` is then. With `is_cancelled_by_signal` SIGINT, SIGTERM and SIGHUP tell the
 * daemon that nobody waits any more (`op` "cancel"), and then end this program as ever.
 * Returns an exit status; what went wrong before the end was said. `ret_http`: the HTTP
 * status of the last reply, 0 when there was none. */
int follow(const struct cli *cli, const char *path, json_t *start,
	   bool is_cancelled_by_signal, follow_fn *fn, void *arg, json_t **ret_state,
	   int *ret_http);
/* Does it have this state? */
bool follow_is(const json_t *state, const char *name);

#endif
