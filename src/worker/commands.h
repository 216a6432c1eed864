/* SPDX-License-Identifier: Apache-2.0 */
/* The backend that answers each query with a command of its own: one process (command.h),
 * the query's words in its environment. An exit status other than 0 is an error, with the
 * tail of its standard error. Loop thread only. */
#ifndef OCF_WORKER_COMMANDS_H
#define OCF_WORKER_COMMANDS_H

#include "net/loop.h"
#include "worker/backend.h"
#include "worker/guard.h"

struct commands_config {
	const char *path; /* from command_find() */
	char *const *argv;
	struct guard *guard;
	bool is_streaming; /* see struct backend_ops */
};

struct commands {
	struct backend backend;
	struct loop *loop;
	struct commands_config config;
};

/* In the caller's memory; what `config` points to must outlive it. Nothing to release. */
void commands_init(struct commands *commands, struct loop *loop,
		   const struct commands_config *config);

#endif
