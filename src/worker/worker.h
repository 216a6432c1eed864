/* SPDX-License-Identifier: Apache-2.0 */
/* A worker in command mode: announces itself on the bus, takes queries, runs the command
 * for each, sends the output back in parts. Worker protocol v1 as a worker speaks it.
 * Loop thread only. */
#ifndef OCF_WORKER_WORKER_H
#define OCF_WORKER_WORKER_H

#include "base/error.h"
#include "bus/access.h"
#include "net/loop.h"
#include "worker/guard.h"

struct worker;

struct worker_config {
	const char *id;
	const char *service;
	int match_len;
	const char *const *match;
	int meta_len;
	const char *const *meta; /* "k=v" */
	int slots;
	bool is_streaming; /* replies go out piece by piece, see job.h */
	const char *bus;   /* NULL: the local daemon's, looked up before each attempt */
	struct bus_access access; /* the files for it; its url is not used */
	const char *run_file;	  /* of the local daemon */
	const char *path;	  /* of the command */
	char *const *argv;
	struct guard *guard;
	/* Drained, or stopped at once. With `why`: by itself, and a person must act. */
	void (*stopped)(void *arg, const char *why);
	void *arg;
};

/* Starts connecting; `config` and all in it must outlive the worker. */
int worker_open(struct loop *loop, const struct worker_config *config,
		struct worker **ret_worker, struct errmsg *err);
/* Kill what runs, disconnect. NULL is allowed. */
void worker_close(struct worker *worker);
/* Take nothing more; `stopped` when all that runs has ended. A second time: at once. */
void worker_drain(struct worker *worker);

#endif
