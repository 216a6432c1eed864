/* SPDX-License-Identifier: Apache-2.0 */
/* The guard: a small process, made before any thread, that outlives us by a moment. Every
 * command enters its process group in the guard's list before it runs, through a pipe that
 * we hold open; when we are gone, however that came, the pipe ends and the guard kills the
 * groups that are left. PR_SET_PDEATHSIG alone would reach a command, but not what the
 * command started. */
#ifndef OCF_WORKER_GUARD_H
#define OCF_WORKER_GUARD_H

#include <sys/types.h>

struct guard;

enum { GUARD_GROUPS_MAX = 8192 }; /* twice the slots of a worker: some are ending */

/* NULL with errno set. */
struct guard *guard_start(void);
void guard_stop(struct guard *guard); /* NULL is allowed */
/* In the command itself, after fork(2): async-signal-safe. */
void guard_enter(const struct guard *guard, pid_t group);
/* Before the group's leader is reaped, so that its number cannot have been given anew. */
void guard_leave(const struct guard *guard, pid_t group);

#endif
