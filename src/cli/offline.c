/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/explain.h"
#include "cli/offline-store.h"

/* ---- is it due? ---- */

/* The socket that the daemon wrote into run.json. Free(3) it. */
static char *
offline_read_run(const char *data)
{
	enum { RUN_BYTES_MAX = 64 * 1024 };
	char *path = mem_printf("%s/run.json", data), *socket = NULL;
	struct buf text = BUF_INIT;
	json_t *run = NULL;

	if (file_read(path, RUN_BYTES_MAX, &text, NULL) == 0)
		run = json_loadb((const char *)text.data, text.len, 0, NULL);
	if (json_is_string(json_object_get(run, "socket")))
		socket = mem_strdup(json_string_value(json_object_get(run, "socket")));
	json_decref(run);
	buf_fini(&text);
	free(path);
	return socket;
}

static bool
offline_is_nobody(const char *socket)
{
	int rc = explain_connect(socket);

	return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR;
}

bool
offline_is_due(struct cli *cli)
{
	static char *found; /* lives as long as the program */
	struct client_target target;
	bool is_due = false;

	/* Who names a daemon means it. */
	if (cli->socket != NULL || cli->url != NULL ||
	    (cli->data == NULL && explain_is_target_set()))
		return false;
	if (explain_target(cli, true, &target) != EXIT_SUCCESS)
		exit(EXIT_STATUS_CONFIG);
	if (offline_is_nobody(target.socket)) {
		free(found);
		found = offline_read_run(target.data);
		is_due = found == NULL || offline_is_nobody(found);
		if (!is_due)
			cli->socket = found;
	}
	client_target_fini(&target);
	return is_due;
}

bool
offline_node_runs(const struct places *places)
{
	char *found = offline_read_run(places->data);
	bool runs = !offline_is_nobody(places->socket) ||
		    (found != NULL && !offline_is_nobody(found));

	free(found);
	return runs;
}

char *
offline_store_path(const struct cli *cli)
{
	struct places places;
	char *path;

	cli_places(cli, &places);
	path = mem_printf("%s/store", places.data);
	places_fini(&places);
	return path;
}

/* ---- the parent ---- */

/* What the child wrote: states, one a line, the last with what there is to know. */
static json_t *
offline_follow(FILE *from, follow_fn *fn, void *arg)
{
	json_t *last = NULL;
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, from) > 0) {
		json_t *state = json_loads(line, 0, NULL);

		if (state == NULL)
			continue;
		json_decref(last);
		last = state;
		if (follow_is(state, "running"))
			fn(arg, state);
	}
	free(line);
	return last;
}

/* The first line that it wrote to standard error, "" when there is none. */
static void
offline_last_words(int fd, char out[200])
{
	ssize_t len = pread(fd, out, 199, 0);

	out[len > 0 ? len : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static int
offline_died(const struct places *places, int how, int words)
{
	char text[200], end[64];

	/* Who read the dump wants no more of it. */
	if (WIFSIGNALED(how) && WTERMSIG(how) == SIGPIPE)
		raise(SIGPIPE);
	offline_last_words(words, text);
	if (WIFSIGNALED(how))
		snprintf(end, sizeof(end), "signal %d", WTERMSIG(how));
	else
		snprintf(end, sizeof(end), "exit status %d", WEXITSTATUS(how));
	return cli_fail(EXIT_STATUS_IO,
			"the store in %s/store is damaged: reading it ended with %s%s%s; "
			"restore a backup, or move %s away and join again",
			places->data, end, text[0] != '\0' ? ": " : "", text,
			places->data);
}

/* Its end: the state itself, or {"error","status"}. */
static int
offline_finish(const struct places *places, json_t *last, int how, int words,
	       json_t **ret_json)
{
	const char *error = json_string_value(json_object_get(last, "error"));
	int status;

	if (!WIFEXITED(how) || WEXITSTATUS(how) != 0 || last == NULL ||
	    follow_is(last, "running")) {
		json_decref(last);
		return offline_died(places, how, words);
	}
	if (error == NULL) {
		*ret_json = last;
		return EXIT_SUCCESS;
	}
	status = cli_fail((int)json_integer_value(json_object_get(last, "status")), "%s",
			  error);
	json_decref(last);
	return status;
}

_Noreturn static void
offline_child(const struct places *places, const struct offline_task *task, int out,
	      int words)
{
	FILE *to = fdopen(out, "w");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* LMDB's assertions go there, and become a part of one sentence. */
	if (to == NULL || dup2(words, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	offline_store_run(places, task, to);
	_exit(fflush(to) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int
offline_start(const struct places *places, const struct offline_task *task, follow_fn *fn,
	      void *arg, json_t **ret_json)
{
	int pipe_fds[2] = { -1, -1 }, how = 0, words, status;
	json_t *last = NULL;
	FILE *from;
	pid_t pid;

	words = memfd_create("stderr", MFD_CLOEXEC);
	if (words < 0 || pipe2(pipe_fds, O_CLOEXEC) != 0)
		return cli_fail(EXIT_FAILURE, "a pipe: %s", error_text(-errno));
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		offline_child(places, task, pipe_fds[1], words);
	close(pipe_fds[1]);
	if (pid < 0)
		return cli_fail(EXIT_FAILURE, "a process: %s", error_text(-errno));
	from = fdopen(pipe_fds[0], "r");
	if (from != NULL) {
		last = offline_follow(from, fn, arg);
		fclose(from);
	}
	while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	status = offline_finish(places, last, how, words, ret_json);
	close(words);
	return status;
}

int
offline_run(const struct cli *cli, const struct offline_task *task, follow_fn *fn,
	    void *arg, json_t **ret_json)
{
	struct places places;
	struct stat st;
	struct errmsg err = { "" };
	int status;

	cli_places(cli, &places);
	if (places_check_data(places.data, &err) != 0)
		status = cli_fail(EXIT_STATUS_CONFIG, "%s", err.text);
	else if (stat(places.data, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
		status = cli_fail(EXIT_STATUS_CONFIG,
				  "there is no node in %s: make one with 'ocf init' or "
				  "'ocf join -', or name its folder with --data",
				  places.data);
	else if (stat(places.data, &st) != 0)
		status = cli_fail(EXIT_STATUS_PERMISSION, "%s: %s", places.data,
				  error_text(-errno));
	else if (!S_ISDIR(st.st_mode))
		status = cli_fail(EXIT_STATUS_CONFIG,
				  "%s is not a folder; --data names the data folder of a "
				  "node",
				  places.data);
	else
		status = offline_start(&places, task, fn, arg, ret_json);
	places_fini(&places);
	return status;
}
