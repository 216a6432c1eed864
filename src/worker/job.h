/* SPDX-License-Identifier: Apache-2.0 */
/* One query at the worker: its run at the backend, the two windows, the deadline, and the
 * sign of life while the run is silent. Loop thread only. */
#ifndef OCF_WORKER_JOB_H
#define OCF_WORKER_JOB_H

#include <uthash.h>

#include "base/query.h"
#include "bus/conn.h"
#include "net/loop.h"
#include "worker/backend.h"

struct job;

struct job_host {
	struct loop *loop;
	struct bus_conn *conn; /* changes over time; NULL or down: messages are dropped */
	struct backend *backend; /* who answers */
	/* The job is over; `job` is freed by job_free() in this call. */
	void (*over)(void *arg, struct job *job);
	void *arg;
};

/* Takes `head` over. `reply` is copied. Not yet started. */
struct job *job_new(const struct job_host *host, struct query_head *head,
		    const char *reply);
void job_free(struct job *job);
/* Begin its run now. When that fails, its client is told and `over` follows. */
void job_start(struct job *job);
bool job_is_started(const struct job *job);
/* A part of the body; `index` must be the next one. */
void job_body(struct job *job, uint64_t index, struct bytes part, bool is_last);
void job_credit(struct job *job, uint64_t n);
/* No reply is wanted any more; when the run has ended the node is told, and `over`
 * follows. */
void job_cancel(struct job *job);

/* An error reply without a job. `retry_after_s` < 0: no such header. */
void job_refuse(struct bus_conn *conn, const char *reply, int code, const char *text,
		int retry_after_s);

const char *job_id(const struct job *job);
/* The node was told that it has failed; it is about to be over. */
bool job_has_failed(const struct job *job);
struct job *job_find(struct job *jobs,
		     const char *id); /* in a list made with job_list_* */
void job_list_add(struct job **jobs, struct job *job);
void job_list_remove(struct job **jobs, struct job *job);
struct job *job_next(const struct job *job); /* oldest first */
int job_list_len(struct job *jobs);

/* A list of jobs whose ids may come again, also in it: none is found there by its id. */
void job_ending_add(struct job **ending, struct job *job);
void job_ending_remove(struct job **ending, struct job *job);
int job_ending_len(const struct job *ending);

#endif
