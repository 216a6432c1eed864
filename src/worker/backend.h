/* SPDX-License-Identifier: Apache-2.0 */
/* What answers queries at a worker: a command (commands.h) or an HTTP server (fetch.h).
 *
 * A job (job.h) is one query and knows the protocol: parts and their windows, deadline,
 * sign of life, cancellation. It starts one `run` at its backend, which knows nothing of
 * that:
 *
 *	job                                  run
 *	start(head) ----------------------->
 *	write(part) … write(last part) ---->
 *	            <----------------------- consumed(), once for each part written
 *	            <----------------------- head(), at most once, before any output
 *	            <----------------------- output(part) …
 *	pause(true), pause(false) --------->    no output in between
 *	stop() ---------------------------->    no output any more; `ended` follows soon
 *	            <----------------------- ended(how), once, the last
 *	free() ---------------------------->    at any time; no callback any more
 *
 * What a run keeps in memory is bounded: of the body what was written and is not consumed
 * (the job's peer waits after LIMIT_PARTS_WINDOW parts), of the reply a few parts.
 *
 * Loop thread only. Callbacks come from the loop, never from inside one of these calls, and
 * only `ended` may be answered with free(). */
#ifndef OCF_WORKER_BACKEND_H
#define OCF_WORKER_BACKEND_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/query.h"

struct backend;
struct run;

/* How a run ended. */
struct run_end {
	int code;	  /* 0: well, and all of the reply was given; else 400 to 599 */
	const char *text; /* with a code: one sentence */
	struct bytes details; /* with a code: more for the client, or empty */
	int retry_after_s; /* 429, 503: back to the queue, not to me so long; < 0: no */
};

struct run_handler {
	/* Status, type and headers of the reply; a run without it has status 200. Borrowed
	 * during the call. `is_alone`: no output follows at once. */
	void (*head)(void *arg, const struct reply_head *head, bool is_alone);
	/* At most LIMIT_PART_BYTES_MAX bytes of the reply. */
	void (*output)(void *arg, struct bytes part);
	/* One part given to write() is not held any more. */
	void (*consumed)(void *arg);
	void (*ended)(void *arg, const struct run_end *end);
};

struct backend_ops {
	/* `head` must outlive the run; body_len bytes will be written, unless it is -1.
	 * Negative: `err` says why, and no run was started; -EINVAL: the query is at
	 * fault. */
	int (*start)(struct backend *backend, const struct query_head *head,
		     const struct run_handler *handler, void *arg, struct run **ret_run,
		     struct errmsg *err);
	/* The next part of the body, copied; `is_last` ends it. */
	void (*write)(struct run *run, struct bytes part, bool is_last);
	void (*pause)(struct run *run, bool is_paused);
	void (*stop)(struct run *run);
	void (*free)(struct run *run); /* NULL is allowed */
	/* Replies go out as they come. Otherwise the job holds the first
	 * LIMIT_PART_BYTES_MAX of them back until there is more or the run has ended: then
	 * the reply to a run that fails is an error from its first byte on, not a reply that
	 * breaks off. */
	bool (*is_streaming)(const struct backend *backend);
};

/* The first member of each backend. */
struct backend {
	const struct backend_ops *ops;
};

#endif
