/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/command.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "base/fork.h"
#include "base/limits.h"
#include "base/mem.h"

struct command_part {
	uint8_t *data;
	size_t len, at;
	struct command_part *prev, *next;
};

/* Our ends of its three pipes; -1 when closed. */
enum { IN, OUT, ERR, PIPES };

struct command {
	struct loop *loop;
	const struct command_handler *handler;
	void *arg;
	struct guard *guard;
	pid_t pid;
	int pidfd;
	int fds[PIPES];
	struct loop_watch *watches[PIPES];
	struct loop_watch *exit_watch;
	struct loop_timer *kill_timer;
	struct loop_timer *end_timer; /* `ended` never comes from inside a call */
	struct command_part *parts;   /* of its input, not yet written */
	bool is_input_whole;
	bool is_paused;
	bool has_exited;
	int status;
	char errors[COMMAND_STDERR_BYTES];
	size_t errors_len;
};

static int
command_check(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int
command_find(const char *name, char **ret_path, struct errmsg *err)
{
	const char *env = getenv("PATH");
	char *places, *rest, *folder, *found = NULL;
	int rc;

	if (strchr(name, '/') != NULL) {
		rc = command_check(name);
		if (rc < 0)
			return error_set(err, rc, "the command %s cannot be run: %s",
					 name,
					 rc == -EACCES ? "it is not an executable file"
						       : strerror(-rc));
		*ret_path = mem_strdup(name);
		return 0;
	}
	places = mem_strdup(env != NULL ? env : "/usr/local/bin:/usr/bin:/bin");
	rest = places;
	while (found == NULL && (folder = strsep(&rest, ":")) != NULL) {
		char *path = mem_printf("%s/%s", folder[0] != '\0' ? folder : ".", name);

		if (command_check(path) == 0)
			found = path;
		else
			free(path);
	}
	free(places);
	if (found == NULL)
		return error_set(err, -ENOENT, "the command %s was not found in PATH",
				 name);
	*ret_path = found;
	return 0;
}

/* After fork(2) in a process with threads: async-signal-safe calls only. */
static void
command_child(const struct command_config *config, const int theirs[PIPES], pid_t parent)
{
	static const char text[] = "the command could not be run\n";
	ssize_t ignored;

	setpgid(0, 0);
	guard_enter(config->guard, getpid());
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	for (int i = 0; i < PIPES; i++)
		dup2(theirs[i], i);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	fork_unblock();
	execve(config->path, config->argv, config->environ);
	ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(127);
}

static void
command_close(struct command *cmd, int which)
{
	loop_watch_free(cmd->watches[which]);
	cmd->watches[which] = NULL;
	if (cmd->fds[which] >= 0)
		close(cmd->fds[which]);
	cmd->fds[which] = -1;
}

/* --- its input --- */

static void
command_part_done(struct command *cmd)
{
	struct command_part *part = cmd->parts;

	DL_DELETE(cmd->parts, part);
	free(part->data);
	free(part);
	cmd->handler->consumed(cmd->arg);
}

/* Nobody reads it any more, which is the command's right (`head -1`): swallow the rest. */
static void
command_input_refused(struct command *cmd)
{
	command_close(cmd, IN);
	while (cmd->parts != NULL)
		command_part_done(cmd);
}

static void
command_on_writable(void *arg, int ready)
{
	struct command *cmd = arg;

	(void)ready;
	while (cmd->parts != NULL && cmd->fds[IN] >= 0) {
		struct command_part *part = cmd->parts;
		ssize_t n = write(cmd->fds[IN], part->data + part->at,
				  part->len - part->at);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			command_input_refused(cmd);
			return;
		}
		part->at += (size_t)n;
		if (part->at == part->len)
			command_part_done(cmd);
	}
	if (cmd->fds[IN] < 0)
		return;
	loop_watch_set(cmd->watches[IN], 0);
	if (cmd->is_input_whole)
		command_close(cmd, IN);
}

void
command_write(struct command *cmd, struct bytes data, bool is_last)
{
	struct command_part *part = mem_calloc(1, sizeof(*part));

	assert(!cmd->is_input_whole);
	cmd->is_input_whole = is_last;
	part->data = mem_dup(data.data, data.len);
	part->len = data.len;
	DL_APPEND(cmd->parts, part);
	if (cmd->fds[IN] >= 0)
		loop_watch_set(cmd->watches[IN], LOOP_WRITE);
	else
		loop_timer_set(cmd->end_timer, 0);
}

/* --- its output --- */

static void
command_end_if_done(struct command *cmd)
{
	if (cmd->has_exited && cmd->fds[OUT] < 0)
		loop_timer_set(cmd->end_timer, 0);
}

/* After its exit an empty pipe is the end, whoever else may still hold it open. */
static void
command_on_readable(void *arg, int ready)
{
	struct command *cmd = arg;
	uint8_t data[LIMIT_PART_BYTES_MAX];
	ssize_t n;

	(void)ready;
	n = read(cmd->fds[OUT], data, sizeof(data));
	if (n > 0) {
		cmd->handler->output(cmd->arg, bytes_of(data, (size_t)n));
		if (cmd->has_exited)
			loop_timer_set(cmd->end_timer, 0);
		return;
	}
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !cmd->has_exited)))
		return;
	command_close(cmd, OUT);
	command_end_if_done(cmd);
}

static void
command_read_errors(struct command *cmd)
{
	char data[4096];
	ssize_t n;

	while ((n = read(cmd->fds[ERR], data, sizeof(data))) > 0) {
		size_t len = (size_t)n, keep;
		const char *from = data;

		if (len > sizeof(cmd->errors)) {
			from += len - sizeof(cmd->errors);
			len = sizeof(cmd->errors);
		}
		keep = sizeof(cmd->errors) - len;
		if (cmd->errors_len > keep) {
			memmove(cmd->errors, cmd->errors + cmd->errors_len - keep, keep);
			cmd->errors_len = keep;
		}
		memcpy(cmd->errors + cmd->errors_len, from, len);
		cmd->errors_len += len;
	}
	if (n == 0)
		loop_watch_set(cmd->watches[ERR], 0);
}

static void
command_on_errors(void *arg, int ready)
{
	(void)ready;
	command_read_errors(arg);
}

/* --- its end --- */

/* Reap it, and end what is left of its group while its number is still ours. */
static void
command_reap(struct command *cmd)
{
	kill(-cmd->pid, SIGKILL);
	guard_leave(cmd->guard, cmd->pid);
	waitpid(cmd->pid, &cmd->status, 0);
	cmd->has_exited = true;
	loop_watch_free(cmd->exit_watch);
	cmd->exit_watch = NULL;
	close(cmd->pidfd);
	loop_timer_clear(cmd->kill_timer);
}

static void
command_on_exit(void *arg, int ready)
{
	struct command *cmd = arg;

	(void)ready;
	command_reap(cmd);
	command_read_errors(cmd);
	/* The pipe may be empty and held open elsewhere: then no event would come. */
	if (cmd->fds[OUT] >= 0 && !cmd->is_paused)
		command_on_readable(cmd, LOOP_READ);
	command_end_if_done(cmd);
}

static void
command_on_kill_timer(void *arg)
{
	struct command *cmd = arg;

	if (!cmd->has_exited)
		kill(-cmd->pid, SIGKILL);
}

static void
command_on_end_timer(void *arg)
{
	struct command *cmd = arg;

	if (cmd->fds[IN] < 0)
		command_input_refused(cmd);
	if (cmd->has_exited && cmd->fds[OUT] >= 0 && !cmd->is_paused)
		command_on_readable(cmd, LOOP_READ);
	else if (cmd->has_exited && cmd->fds[OUT] < 0)
		cmd->handler->ended(cmd->arg, cmd->status,
				    bytes_of(cmd->errors, cmd->errors_len));
}

void
command_pause(struct command *cmd, bool is_paused)
{
	if (cmd->is_paused == is_paused)
		return;
	cmd->is_paused = is_paused;
	if (cmd->fds[OUT] >= 0)
		loop_watch_set(cmd->watches[OUT], is_paused ? 0 : LOOP_READ);
	if (!is_paused && cmd->has_exited)
		loop_timer_set(cmd->end_timer, 0);
}

void
command_kill(struct command *cmd)
{
	/* Nobody wants the rest: neither may hold up the end. */
	command_close(cmd, OUT);
	if (!cmd->has_exited) {
		kill(-cmd->pid, SIGTERM);
		kill(-cmd->pid, SIGCONT);
		loop_timer_set(cmd->kill_timer, COMMAND_TERM_MS);
	}
	command_end_if_done(cmd);
}

void
command_free(struct command *cmd)
{
	if (cmd == NULL)
		return;
	if (!cmd->has_exited)
		command_reap(cmd);
	for (int i = 0; i < PIPES; i++)
		command_close(cmd, i);
	while (cmd->parts != NULL) {
		struct command_part *part = cmd->parts;

		DL_DELETE(cmd->parts, part);
		free(part->data);
		free(part);
	}
	loop_timer_free(cmd->kill_timer);
	loop_timer_free(cmd->end_timer);
	free(cmd);
}

static void
command_watch(struct command *cmd)
{
	cmd->kill_timer = loop_timer_new(cmd->loop, command_on_kill_timer, cmd);
	cmd->end_timer = loop_timer_new(cmd->loop, command_on_end_timer, cmd);
	cmd->exit_watch = loop_watch_new(cmd->loop, cmd->pidfd, command_on_exit, cmd);
	cmd->watches[IN] = loop_watch_new(cmd->loop, cmd->fds[IN], command_on_writable,
					  cmd);
	cmd->watches[OUT] = loop_watch_new(cmd->loop, cmd->fds[OUT], command_on_readable,
					   cmd);
	cmd->watches[ERR] = loop_watch_new(cmd->loop, cmd->fds[ERR], command_on_errors,
					   cmd);
	loop_watch_set(cmd->exit_watch, LOOP_READ);
	loop_watch_set(cmd->watches[OUT], LOOP_READ);
	loop_watch_set(cmd->watches[ERR], LOOP_READ);
}

/* Three pipes; the ends at `ours` do not block. */
static int
command_pipes(int ours[PIPES], int theirs[PIPES])
{
	for (int i = 0; i < PIPES; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0) {
			int error = errno;

			while (i-- > 0) {
				close(ours[i]);
				close(theirs[i]);
			}
			return -error;
		}
		ours[i] = fds[i == IN ? 1 : 0];
		theirs[i] = fds[i == IN ? 0 : 1];
		fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	return 0;
}

int
command_start(struct loop *loop, const struct command_config *config,
	      const struct command_handler *handler, void *arg,
	      struct command **ret_command, struct errmsg *err)
{
	int ours[PIPES], theirs[PIPES], pidfd, error;
	pid_t parent = getpid(), pid;
	struct command *cmd;
	int rc = command_pipes(ours, theirs);

	if (rc < 0)
		return error_set(err, rc, "no pipes for the command: %s", strerror(-rc));
	pid = fork_blocked();
	if (pid == 0)
		command_child(config, theirs, parent);
	pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	error = errno;
	for (int i = 0; i < PIPES; i++)
		close(theirs[i]);
	if (pidfd < 0) {
		for (int i = 0; i < PIPES; i++)
			close(ours[i]);
		if (pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		return error_set(err, -error, "no process for the command: %s",
				 strerror(error));
	}
	setpgid(pid, pid); /* as it does itself; whoever is first */
	cmd = mem_calloc(1, sizeof(*cmd));
	cmd->loop = loop;
	cmd->handler = handler;
	cmd->arg = arg;
	cmd->guard = config->guard;
	cmd->pid = pid;
	cmd->pidfd = pidfd;
	memcpy(cmd->fds, ours, sizeof(ours));
	command_watch(cmd);
	*ret_command = cmd;
	return 0;
}
