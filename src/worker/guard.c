/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

struct guard {
	pid_t pid;
	int fd; /* an int32_t a message: a group that began, or its negative when it ended */
};

static void
guard_note(int32_t *groups, int *len, int32_t message)
{
	int32_t group = message > 0 ? message : -message;
	int i = 0;

	while (i < *len && groups[i] != group)
		i++;
	if (message > 0 && i == *len && *len < GUARD_GROUPS_MAX)
		groups[(*len)++] = group;
	else if (message < 0 && i < *len)
		groups[i] = groups[--*len];
}

static void
guard_main(int fd)
{
	static int32_t groups[GUARD_GROUPS_MAX];
	int32_t message;
	int len = 0;

	/* Out of the terminal's reach: an interrupt is for the worker, which then ends us. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "ocf-guard");
	dup2(fd, STDIN_FILENO);
	syscall(SYS_close_range, 1u, ~0u, 0u);
	for (;;) {
		ssize_t n = read(STDIN_FILENO, &message, sizeof(message));

		if (n == (ssize_t)sizeof(message))
			guard_note(groups, &len, message);
		else if (n >= 0 || errno != EINTR)
			break;
	}
	for (int i = 0; i < len; i++)
		kill(-groups[i], SIGKILL);
	_exit(0);
}

struct guard *
guard_start(void)
{
	struct guard *guard;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return NULL;
	pid = fork();
	if (pid == 0)
		guard_main(fds[0]);
	close(fds[0]);
	if (pid < 0) {
		close(fds[1]);
		return NULL;
	}
	guard = mem_calloc(1, sizeof(*guard));
	guard->pid = pid;
	guard->fd = fds[1];
	return guard;
}

void
guard_stop(struct guard *guard)
{
	if (guard == NULL)
		return;
	close(guard->fd);
	waitpid(guard->pid, NULL, 0);
	free(guard);
}

static void
guard_send(const struct guard *guard, int32_t message)
{
	ssize_t n;

	do
		n = write(guard->fd, &message, sizeof(message));
	while (n < 0 && errno == EINTR);
}

void
guard_enter(const struct guard *guard, pid_t group)
{
	guard_send(guard, (int32_t)group);
}

void
guard_leave(const struct guard *guard, pid_t group)
{
	guard_send(guard, -(int32_t)group);
}
