/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/command.h"

enum { COMMANDS_ENVIRONMENT_MAX = 4096 };

struct run {
	struct command *cmd;
	const struct run_handler *handler;
	void *arg;
};

static void
environment_add(char **environment, int *len, const char *name, const char *value)
{
	if (value != NULL)
		environment[(*len)++] = mem_printf("%s=%s", name, value);
}

static bool
environment_is_ours(const char *item)
{
	static const char *const names[] = {
		"OCF_REQUEST_ID=", "OCF_SERVICE=", "OCF_MATCH=",    "OCF_PATH=",
		"OCF_METHOD=",	   "OCF_ATTEMPT=", "CONTENT_TYPE=", "TRACEPARENT=",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(item, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Our environment and what is known of the query; what came with the request under names
 * of its own choosing stays out. */
static char **
environment_new(const struct query_head *head)
{
	char **out = mem_calloc(COMMANDS_ENVIRONMENT_MAX + 16, sizeof(*out));
	char attempt[8];
	int len = 0;

	for (char **item = environ; *item != NULL && len < COMMANDS_ENVIRONMENT_MAX;
	     item++)
		if (!environment_is_ours(*item))
			out[len++] = mem_strdup(*item);
	snprintf(attempt, sizeof(attempt), "%u", head->attempt);
	environment_add(out, &len, "OCF_REQUEST_ID", head->request_id);
	environment_add(out, &len, "OCF_SERVICE", head->service);
	environment_add(out, &len, "OCF_MATCH", head->selector);
	environment_add(out, &len, "OCF_PATH", head->path);
	environment_add(out, &len, "OCF_METHOD", head->method);
	environment_add(out, &len, "OCF_ATTEMPT", attempt);
	environment_add(out, &len, "CONTENT_TYPE", head->content_type);
	environment_add(out, &len, "TRACEPARENT", head->traceparent);
	return out;
}

static void
environment_free(char **environment)
{
	for (char **item = environment; *item != NULL; item++)
		free(*item);
	free(environment);
}

/* --- what the command does, as a run --- */

static void
commands_on_output(void *arg, struct bytes part)
{
	struct run *run = arg;

	run->handler->output(run->arg, part);
}

static void
commands_on_consumed(void *arg)
{
	struct run *run = arg;

	run->handler->consumed(run->arg);
}

static void
commands_on_ended(void *arg, int status, struct bytes errors)
{
	struct run *run = arg;
	struct run_end end = { .retry_after_s = -1 };
	char text[160];

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		if (WIFSIGNALED(status))
			snprintf(text, sizeof(text),
				 "the command was killed by signal %d (%s)",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
		else
			snprintf(text, sizeof(text), "the command exited with status %d",
				 WEXITSTATUS(status));
		end.code = 502;
		end.text = text;
		end.details = errors;
	}
	run->handler->ended(run->arg, &end);
}

static const struct command_handler commands_handler = {
	.output = commands_on_output,
	.consumed = commands_on_consumed,
	.ended = commands_on_ended,
};

/* --- the backend --- */

static int
commands_start(struct backend *backend, const struct query_head *head,
	       const struct run_handler *handler, void *arg, struct run **ret_run,
	       struct errmsg *err)
{
	const struct commands *commands = (const struct commands *)backend;
	struct run *run = mem_calloc(1, sizeof(*run));
	char **environment = environment_new(head);
	struct command_config config = {
		.path = commands->config.path,
		.argv = commands->config.argv,
		.environ = environment,
		.guard = commands->config.guard,
	};
	int rc;

	run->handler = handler;
	run->arg = arg;
	rc = command_start(commands->loop, &config, &commands_handler, run, &run->cmd,
			   err);
	environment_free(environment);
	if (rc < 0) {
		free(run);
		return rc;
	}
	*ret_run = run;
	return 0;
}

static void
commands_write(struct run *run, struct bytes part, bool is_last)
{
	command_write(run->cmd, part, is_last);
}

static void
commands_pause(struct run *run, bool is_paused)
{
	command_pause(run->cmd, is_paused);
}

static void
commands_stop(struct run *run)
{
	command_kill(run->cmd);
}

static void
commands_free(struct run *run)
{
	if (run == NULL)
		return;
	command_free(run->cmd);
	free(run);
}

static bool
commands_are_streaming(const struct backend *backend)
{
	return ((const struct commands *)backend)->config.is_streaming;
}

static const struct backend_ops commands_ops = {
	.start = commands_start,
	.write = commands_write,
	.pause = commands_pause,
	.stop = commands_stop,
	.free = commands_free,
	.is_streaming = commands_are_streaming,
};

void
commands_init(struct commands *commands, struct loop *loop,
	      const struct commands_config *config)
{
	*commands = (struct commands){
		.backend = { .ops = &commands_ops },
		.loop = loop,
		.config = *config,
	};
}
