/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/follow.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/client.h"

/* Most are done at once; those that are not need no haste. */
enum { FOLLOW_FIRST_MS = 10, FOLLOW_MS = 100 };

bool
follow_is(const json_t *state, const char *name)
{
	const char *is = json_string_value(json_object_get(state, "state"));

	return is != NULL && strcmp(is, name) == 0;
}

static void
follow_wait(ms_t ms)
{
	struct timespec span = { .tv_sec = ms / MS_SECOND,
				 .tv_nsec = ms % MS_SECOND * 1000000 };

	nanosleep(&span, NULL);
}

enum { FOLLOW_HTTP_NOT_FOUND = 404 };

/* What ends the following is no answer to what was asked, and so not EXIT_FAILURE, which may
 * be one: the node stopped meanwhile, or was started anew. */
static int
follow_status(int status, int http, bool is_begun)
{
	if (status == EXIT_FAILURE && http == 0)
		return EXIT_STATUS_UNREACHABLE;
	if (status == EXIT_FAILURE && http == FOLLOW_HTTP_NOT_FOUND && is_begun)
		return EXIT_STATUS_TRY_LATER;
	return status;
}

int
follow(const struct cli *cli, const char *path, json_t *start, follow_fn *fn, void *arg,
       json_t **ret_state, int *ret_http)
{
	json_t *begun = NULL, *state = NULL, *number;
	int status = client_post_json(cli, path, start, &begun, ret_http);
	ms_t wait = FOLLOW_FIRST_MS;

	if (status != EXIT_SUCCESS)
		return follow_status(status, *ret_http, false);
	number = json_object_get(begun, "request");
	if (!json_is_integer(number))
		status = cli_fail(EXIT_FAILURE,
				  "the reply names no request: is it an ocfd?");
	while (status == EXIT_SUCCESS) {
		json_t *ask = json_pack("{s:s, s:O}", "op", "state", "request", number);

		json_decref(state);
		state = NULL;
		status = client_post_json(cli, path, ask, &state, ret_http);
		if (status != EXIT_SUCCESS || follow_is(state, "done") ||
		    follow_is(state, "failed"))
			break;
		fn(arg, state);
		follow_wait(wait);
		wait = wait * 2 < FOLLOW_MS ? wait * 2 : FOLLOW_MS;
	}
	json_decref(begun);
	if (status == EXIT_SUCCESS)
		*ret_state = state;
	else
		json_decref(state);
	return follow_status(status, *ret_http, true);
}
