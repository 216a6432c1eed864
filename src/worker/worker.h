/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: announces itself on the bus, takes queries, has its backend answer each, sends
 * the reply back in parts. Worker protocol v1 as a worker speaks it.
 *
 * It is announced once its backend is ready (worker_set_ready()); while that is not so any
 * more it is announced as draining, which sends its queries to other workers.
 * Loop thread only. */
#ifndef OCF_WORKER_WORKER_H
#define OCF_WORKER_WORKER_H

#include "base/error.h"
#include "bus/access.h"
#include "net/loop.h"
#include "worker/backend.h"

struct worker;

struct worker_config {
	const char *id;
	const char *service;
	int match_len;
	const char *const *match;
	int meta_len;
	const char *const *meta; /* "k=v" */
	int slots;
	const char *bus; /* NULL: the local daemon's, looked up before each attempt */
	struct bus_access access; /* the files for it; its url is not used */
	const char *run_file;	  /* of the local daemon */
	struct backend *backend;
	/* Drained, or stopped at once. With `why`: by itself, and a person must act. */
	void (*stopped)(void *arg, const char *why);
	void *arg;
};

/* Starts connecting; `config` and all in it must outlive the worker. */
int worker_open(struct loop *loop, const struct worker_config *config,
		struct worker **ret_worker, struct errmsg *err);
/* Kill what runs, disconnect. NULL is allowed. */
void worker_close(struct worker *worker);
/* Whether the backend can answer; at the start it cannot. */
void worker_set_ready(struct worker *worker, bool is_ready);
/* What queries it takes beside the config's, instead of those told before; copied. How many
 * of them there is room for in an announcement: the others are left out. */
int worker_set_matches(struct worker *worker, int len, char *const *matches);
/* Take nothing more; `stopped` when all that runs has ended. A second time: at once. */
void worker_drain(struct worker *worker);

#endif
