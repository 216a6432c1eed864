/* SPDX-License-Identifier: Apache-2.0 */
/* fork(2) for a child that will execve(2), in a process that handles signals.
 *
 * A handler usually tells the event loop through a pipe, and a child has that pipe too: a
 * signal that reaches the child before its execve(2), for instance because its query was
 * cancelled at once, would be taken by the parent for its own. So the child begins with all
 * signals blocked, and lets them in only when their handlers are gone. */
#ifndef OCF_BASE_FORK_H
#define OCF_BASE_FORK_H

#include <sys/types.h>

/* As fork(2); in the child all signals are blocked. From any thread. */
pid_t fork_blocked(void);
/* In that child: default handling and nothing blocked, as a program expects it at its start.
 * Async-signal-safe. */
void fork_unblock(void);

#endif
