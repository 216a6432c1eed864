/* SPDX-License-Identifier: Apache-2.0 */
/* One process for one query: its body on standard input, its output read in parts as it
 * comes, the tail of its standard error kept for the case that it fails.
 *
 * It leads a process group of its own, which is ended as a whole: when the process has
 * exited (what it left in the background belongs to the query), on command_kill(), and by
 * the guard (guard.h) when we are killed. Loop thread only; callbacks come from the loop,
 * and only `ended` may be answered with command_free(). */
#ifndef OCF_WORKER_COMMAND_H
#define OCF_WORKER_COMMAND_H

#include "base/bytes.h"
#include "base/error.h"
#include "net/loop.h"
#include "worker/guard.h"

enum {
	COMMAND_STDERR_BYTES = 2048,	 /* the tail that is kept */
	COMMAND_TERM_MS = 2 * MS_SECOND, /* from SIGTERM to SIGKILL */
};

struct command;

struct command_handler {
	/* At most LIMIT_PART_BYTES_MAX bytes of its output. */
	void (*output)(void *arg, struct bytes part);
	/* One part given to command_write() has gone (or its reader has). */
	void (*consumed)(void *arg);
	/* It has exited and its output was read to the end. `status` is of waitpid(2);
	 * `errors` is the tail of its standard error. */
	void (*ended)(void *arg, int status, struct bytes errors);
};

struct command_config {
	const char *path; /* from command_find() */
	char *const *argv;
	char *const *environ; /* NAME=value, NULL at the end; borrowed during the call */
	struct guard *guard;
};

/* The file that `name` runs, by PATH unless it holds a slash; free(3) it. -ENOENT or
 * -EACCES with a sentence. */
int command_find(const char *name, char **ret_path, struct errmsg *err);

int command_start(struct loop *loop, const struct command_config *config,
		  const struct command_handler *handler, void *arg,
		  struct command **ret_command, struct errmsg *err);
/* Kill what still runs, and wait for it. NULL is allowed. */
void command_free(struct command *cmd);
/* The next part of its input; `is_last` closes it. The bytes are copied. */
void command_write(struct command *cmd, struct bytes part, bool is_last);
/* Stop reading its output, and go on. */
void command_pause(struct command *cmd, bool is_paused);
/* SIGTERM to the group, SIGKILL 2 s later; `ended` follows. */
void command_kill(struct command *cmd);

#endif
