/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"

struct job_part {
	struct bytes data; /* owned */
	bool is_last;
	struct job_part *prev, *next;
};

struct job {
	const struct job_host *host;
	struct query_head head;
	char *reply;
	struct run *run;	  /* NULL before it begins */
	struct job_part *waiting; /* of the body, before the run */
	uint64_t body_parts;
	int64_t body_bytes;
	bool is_body_whole;
	uint64_t parts_sent, parts_credited;
	struct buf lines;  /* headers for the first part */
	struct buf held;   /* output that waits, see struct backend_ops */
	bool is_cancelled; /* nothing is sent any more but that it has stopped */
	bool is_failed;	   /* an error was sent */
	struct loop_timer *busy, *deadline, *over;
	UT_hash_handle hh;
	struct job *prev, *next; /* among those that end */
};

static void job_on_head(void *arg, const struct reply_head *head, bool is_alone);
static void job_on_output(void *arg, struct bytes part);
static void job_on_consumed(void *arg);
static void job_on_ended(void *arg, const struct run_end *end);

static const struct run_handler job_run_handler = {
	.head = job_on_head,
	.output = job_on_output,
	.consumed = job_on_consumed,
	.ended = job_on_ended,
};

/* --- messages to the node --- */

static void
job_publish(struct job *job, struct buf *lines, struct bytes data)
{
	if (job->is_cancelled || job->is_failed || job->host->conn == NULL)
		return;
	bus_conn_publish(job->host->conn, job->reply, NULL, lines, data);
	loop_timer_set(job->busy, BUS_BUSY_MS);
}

static void
job_send(struct job *job, const char *name, const char *value, struct bytes data)
{
	struct buf lines = BUF_INIT;

	bus_headers_put(&lines, name, value);
	job_publish(job, &lines, data);
	buf_fini(&lines);
}

static void
job_refuse_with(struct bus_conn *conn, const char *reply, int code, const char *text,
		int retry_after_s, struct bytes details)
{
	struct buf lines = BUF_INIT;
	char *line = mem_strdup(text);

	for (char *p = line; *p != '\0'; p++)
		if (*p == '\r' || *p == '\n')
			*p = ' ';
	bus_headers_put_number(&lines, BUS_H_ERROR_CODE, (uint64_t)code);
	bus_headers_put(&lines, BUS_H_ERROR, line);
	if (retry_after_s >= 0)
		bus_headers_put_number(&lines, BUS_H_RETRY_AFTER,
				       (uint64_t)retry_after_s);
	if (conn != NULL)
		bus_conn_publish(conn, reply, NULL, &lines, details);
	buf_fini(&lines);
	free(line);
}

void
job_refuse(struct bus_conn *conn, const char *reply, int code, const char *text,
	   int retry_after_s)
{
	job_refuse_with(conn, reply, code, text, retry_after_s, BYTES_NONE);
}

/* Tell the node, once, that this query has failed. */
static void
job_fail_with(struct job *job, const struct run_end *end)
{
	if (job->is_cancelled || job->is_failed)
		return;
	job_refuse_with(job->host->conn, job->reply, end->code, end->text,
			end->retry_after_s, end->details);
	job->is_failed = true;
}

static void
job_fail(struct job *job, int code, const char *text)
{
	job_fail_with(job, &(struct run_end){
				   .code = code, .text = text, .retry_after_s = -1 });
}

/* --- life --- */

static void
job_on_busy(void *arg)
{
	job_send(arg, BUS_H_CTL, "busy", BYTES_NONE);
}

static void
job_is_over(struct job *job)
{
	if (job->is_cancelled)
		job_refuse(job->host->conn, job->reply, 499, "cancelled", -1);
	job->host->over(job->host->arg, job);
}

static void
job_on_over(void *arg)
{
	job_is_over(arg);
}

static void
job_stop(struct job *job)
{
	if (job->run != NULL)
		job->host->backend->ops->stop(job->run);
	else
		loop_timer_set(job->over, 0);
}

static void
job_on_deadline(void *arg)
{
	struct job *job = arg;

	job_fail(job, 504, "the deadline passed while it ran");
	job_stop(job);
}

struct job *
job_new(const struct job_host *host, struct query_head *head, const char *reply)
{
	struct job *job = mem_calloc(1, sizeof(*job));

	job->host = host;
	job->head = *head;
	*head = (struct query_head){ 0 };
	job->reply = mem_strdup(reply);
	job->busy = loop_timer_new(host->loop, job_on_busy, job);
	job->deadline = loop_timer_new(host->loop, job_on_deadline, job);
	job->over = loop_timer_new(host->loop, job_on_over, job);
	if (job->head.timeout_ms > 0)
		loop_timer_set(job->deadline, job->head.timeout_ms);
	/* The first sign of life says that the query was taken. */
	job_send(job, BUS_H_CTL, "busy", BYTES_NONE);
	return job;
}

void
job_free(struct job *job)
{
	struct job_part *part, *next;

	job->host->backend->ops->free(job->run);
	DL_FOREACH_SAFE (job->waiting, part, next) {
		free((void *)(uintptr_t)part->data.data);
		free(part);
	}
	loop_timer_free(job->busy);
	loop_timer_free(job->deadline);
	loop_timer_free(job->over);
	query_head_fini(&job->head);
	buf_fini(&job->lines);
	buf_fini(&job->held);
	free(job->reply);
	free(job);
}

/* --- the run --- */

void
job_start(struct job *job)
{
	const struct backend_ops *ops = job->host->backend->ops;
	struct job_part *part, *next;
	struct errmsg err = { "" };
	int rc;

	if (job->is_body_whole)
		job->head.body_len = job->body_bytes;
	rc = ops->start(job->host->backend, &job->head, &job_run_handler, job, &job->run,
			&err);
	if (rc < 0) {
		job_fail(job, rc == -EINVAL ? 400 : 502, err.text);
		loop_timer_set(job->over, 0);
		return;
	}
	DL_FOREACH_SAFE (job->waiting, part, next) {
		ops->write(job->run, part->data, part->is_last);
		free((void *)(uintptr_t)part->data.data);
		free(part);
	}
	job->waiting = NULL;
}

bool
job_is_started(const struct job *job)
{
	return job->run != NULL;
}

/* The next part, and not more or less than was said of all of them? */
static bool
job_body_is_right(const struct job *job, uint64_t index, bool is_last)
{
	int64_t len = job->head.body_len;

	return !job->is_body_whole && index == job->body_parts &&
	       (len < 0 || job->body_bytes == len || (job->body_bytes < len && !is_last));
}

void
job_body(struct job *job, uint64_t index, struct bytes part, bool is_last)
{
	struct job_part *waiting;

	if (job->is_cancelled || job->is_failed)
		return;
	job->body_bytes += (int64_t)part.len;
	if (!job_body_is_right(job, index, is_last)) {
		job_fail(job, 502, "a part of the request is missing or out of order");
		job_stop(job);
		return;
	}
	job->body_parts++;
	job->is_body_whole = is_last;
	if (job->run != NULL) {
		job->host->backend->ops->write(job->run, part, is_last);
		return;
	}
	waiting = mem_calloc(1, sizeof(*waiting));
	waiting->data = bytes_of(mem_dup(part.data, part.len), part.len);
	waiting->is_last = is_last;
	DL_APPEND(job->waiting, waiting);
}

static void
job_on_consumed(void *arg)
{
	struct job *job = arg;

	/* A request that came in one message has no window. */
	if (job->body_parts > 1 || !job->is_body_whole)
		job_send(job, BUS_H_CTL, "credit", BYTES_NONE);
}

static void
job_send_part(struct job *job, struct bytes part)
{
	/* The head stands in the first part, and is not needed afterwards. */
	bus_headers_put_number(&job->lines, BUS_H_SEQ, job->parts_sent);
	job_publish(job, &job->lines, part);
	buf_clear(&job->lines);
	job->parts_sent++;
	if (job->parts_sent - job->parts_credited >= LIMIT_PARTS_WINDOW)
		job->host->backend->ops->pause(job->run, true);
}

static void
job_send_held(struct job *job)
{
	struct bytes rest = buf_bytes(&job->held);

	while (rest.len > 0) {
		size_t len = rest.len < LIMIT_PART_BYTES_MAX ? rest.len
							     : LIMIT_PART_BYTES_MAX;

		job_send_part(job, bytes_of(rest.data, len));
		rest.data += len;
		rest.len -= len;
	}
	buf_fini(&job->held);
}

/* It does not wait for data: a client of a stream sees that it began. */
static void
job_on_head(void *arg, const struct reply_head *head, bool is_alone)
{
	struct job *job = arg;

	buf_clear(&job->lines);
	bus_protocol_reply_headers(head, &job->lines);
	if (is_alone)
		job_send_part(job, BYTES_NONE);
}

static void
job_on_output(void *arg, struct bytes part)
{
	struct job *job = arg;
	struct backend *backend = job->host->backend;

	if (backend->ops->is_streaming(backend) || job->parts_sent > 0) {
		job_send_part(job, part);
		return;
	}
	buf_put_bytes(&job->held, part);
	if (job->held.len > LIMIT_PART_BYTES_MAX)
		job_send_held(job);
}

void
job_credit(struct job *job, uint64_t n)
{
	if (n > job->parts_sent - job->parts_credited)
		n = job->parts_sent - job->parts_credited;
	job->parts_credited += n;
	if (job->run != NULL &&
	    job->parts_sent - job->parts_credited < LIMIT_PARTS_WINDOW)
		job->host->backend->ops->pause(job->run, false);
}

static void
job_on_ended(void *arg, const struct run_end *end)
{
	struct job *job = arg;
	char number[24];

	if (end->code == 0) {
		job_send_held(job);
		snprintf(number, sizeof(number), "%" PRIu64, job->parts_sent);
		job_send(job, BUS_H_END, number, BYTES_NONE);
	} else {
		job_fail_with(job, end);
	}
	job_is_over(job);
}

void
job_cancel(struct job *job)
{
	job->is_cancelled = true;
	loop_timer_clear(job->busy);
	loop_timer_clear(job->deadline);
	job_stop(job);
}

/* --- lists --- */

bool
job_has_failed(const struct job *job)
{
	return job->is_failed;
}

const char *
job_id(const struct job *job)
{
	return job->head.request_id;
}

struct job *
job_find(struct job *jobs, const char *id)
{
	struct job *job;

	HASH_FIND_STR(jobs, id, job);
	return job;
}

void
job_list_add(struct job **jobs, struct job *job)
{
	HASH_ADD_KEYPTR(hh, *jobs, job->head.request_id, strlen(job->head.request_id),
			job);
}

void
job_list_remove(struct job **jobs, struct job *job)
{
	HASH_DEL(*jobs, job);
}

struct job *
job_next(const struct job *job)
{
	return job->hh.next;
}

int
job_list_len(struct job *jobs)
{
	return (int)HASH_COUNT(jobs);
}

void
job_ending_add(struct job **ending, struct job *job)
{
	DL_APPEND(*ending, job);
}

void
job_ending_remove(struct job **ending, struct job *job)
{
	DL_DELETE(*ending, job);
}

int
job_ending_len(const struct job *ending)
{
	const struct job *job;
	int n = 0;

	DL_COUNT(ending, job, n);
	return n;
}
