/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/fork.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

pid_t
fork_blocked(void)
{
	sigset_t all, before;
	int saved;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid != 0) {
		saved = errno;
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		errno = saved;
	}
	return pid;
}

void
fork_unblock(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* SIGKILL, SIGSTOP and the C library's own refuse, which is as well. */
	for (int signo = 1; signo < NSIG; signo++)
		sigaction(signo, &action, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}
