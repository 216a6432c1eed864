/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/follow.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/progress.h"

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

/* ---- signals ---- */

static const int follow_signals[] = { SIGINT, SIGTERM, SIGHUP };
enum { FOLLOW_SIGNALS = sizeof(follow_signals) / sizeof(follow_signals[0]) };

static volatile sig_atomic_t follow_signal; /* that came */

static void
follow_on_signal(int number)
{
	follow_signal = number;
}

/* Those that are ignored, as under nohup, stay so. */
static void
follow_catch(struct sigaction before[FOLLOW_SIGNALS])
{
	struct sigaction action = { .sa_handler = follow_on_signal };

	for (int i = 0; i < FOLLOW_SIGNALS; i++) {
		sigaction(follow_signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(follow_signals[i], &action, NULL);
	}
}

static void
follow_release(const struct sigaction before[FOLLOW_SIGNALS])
{
	for (int i = 0; i < FOLLOW_SIGNALS; i++)
		sigaction(follow_signals[i], &before[i], NULL);
}

static void
follow_cancel(const struct cli *cli, const char *path, json_t *number)
{
	json_t *ask = json_pack("{s:s, s:O}", "op", "cancel", "request", number);
	json_t *reply = NULL;
	int http;

	progress_clear();
	client_post_json(cli, path, ask, &reply, &http);
	json_decref(reply);
}

/* ---- following ---- */

static int
follow_to_the_end(const struct cli *cli, const char *path, json_t *start, follow_fn *fn,
		  void *arg, json_t **ret_state, int *ret_http)
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
	while (status == EXIT_SUCCESS && follow_signal == 0) {
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
	if (follow_signal != 0 && status == EXIT_SUCCESS)
		follow_cancel(cli, path, number);
	json_decref(begun);
	if (status == EXIT_SUCCESS)
		*ret_state = state;
	else
		json_decref(state);
	return follow_status(status, *ret_http, true);
}

int
follow(const struct cli *cli, const char *path, json_t *start,
       bool is_cancelled_by_signal, follow_fn *fn, void *arg, json_t **ret_state,
       int *ret_http)
{
	struct sigaction before[FOLLOW_SIGNALS];
	int status;

	if (is_cancelled_by_signal)
		follow_catch(before);
	status = follow_to_the_end(cli, path, start, fn, arg, ret_state, ret_http);
	if (is_cancelled_by_signal)
		follow_release(before);
	if (follow_signal != 0)
		raise(follow_signal);
	return status;
}
