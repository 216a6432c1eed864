/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"

enum { JOB_ENVIRONMENT_MAX = 4096 };

struct job_part {
	struct bytes data; /* owned */
	bool is_last;
	struct job_part *prev, *next;
};

struct job {
	const struct job_host *host;
	struct query_head head;
	char *reply;
	struct command *cmd;
	struct job_part *waiting; /* of the body, before the command runs */
	uint64_t body_parts;
	bool is_body_whole;
	uint64_t parts_sent, parts_credited;
	struct buf held;   /* output that waits, see struct job_host */
	bool is_cancelled; /* nothing is sent any more but that it has stopped */
	bool is_failed;	   /* an error was sent */
	struct loop_timer *busy, *deadline, *over;
	UT_hash_handle hh;
};

static void job_on_output(void *arg, struct bytes part);
static void job_on_consumed(void *arg);
static void job_on_ended(void *arg, int status, struct bytes errors);

static const struct command_handler job_command_handler = {
	.output = job_on_output,
	.consumed = job_on_consumed,
	.ended = job_on_ended,
};

/* --- messages to the node --- */

static void
job_send(struct job *job, const char *name, const char *value, struct bytes data)
{
	struct query_header item = { (char *)name, (char *)value };
	struct query_headers headers = { 1, &item };

	if (job->is_cancelled || job->is_failed || job->host->conn == NULL)
		return;
	bus_conn_publish(job->host->conn, job->reply, NULL, &headers, data);
	loop_timer_set(job->busy, BUS_BUSY_MS);
}

static void
job_send_number(struct job *job, const char *name, uint64_t number, struct bytes data)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	job_send(job, name, text, data);
}

static void
job_refuse_with(struct bus_conn *conn, const char *reply, int code, const char *text,
		int retry_after_s, struct bytes details)
{
	struct query_headers headers = { 0 };
	char number[16], *line = mem_strdup(text);

	for (char *p = line; *p != '\0'; p++)
		if (*p == '\r' || *p == '\n')
			*p = ' ';
	snprintf(number, sizeof(number), "%d", code);
	query_headers_add(&headers, BUS_H_ERROR_CODE, number);
	query_headers_add(&headers, BUS_H_ERROR, line);
	snprintf(number, sizeof(number), "%d", retry_after_s);
	if (retry_after_s >= 0)
		query_headers_add(&headers, BUS_H_RETRY_AFTER, number);
	if (conn != NULL)
		bus_conn_publish(conn, reply, NULL, &headers, details);
	query_headers_fini(&headers);
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
job_fail(struct job *job, int code, const char *text, struct bytes details)
{
	if (job->is_cancelled || job->is_failed)
		return;
	job_refuse_with(job->host->conn, job->reply, code, text, -1, details);
	job->is_failed = true;
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
	if (job->cmd != NULL)
		command_kill(job->cmd);
	else
		loop_timer_set(job->over, 0);
}

static void
job_on_deadline(void *arg)
{
	struct job *job = arg;

	job_fail(job, 504, "the deadline passed while the command ran", BYTES_NONE);
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

	command_free(job->cmd);
	DL_FOREACH_SAFE (job->waiting, part, next) {
		free((void *)(uintptr_t)part->data.data);
		free(part);
	}
	loop_timer_free(job->busy);
	loop_timer_free(job->deadline);
	loop_timer_free(job->over);
	query_head_fini(&job->head);
	buf_fini(&job->held);
	free(job->reply);
	free(job);
}

/* --- the command --- */

static void
job_environment_add(char **environment, int *len, const char *name, const char *value)
{
	if (value != NULL)
		environment[(*len)++] = mem_printf("%s=%s", name, value);
}

static bool
job_environment_is_ours(const char *item)
{
	static const char *const names[] = {
		"OCF_REQUEST_ID=", "OCF_SERVICE=", "OCF_MATCH=",    "OCF_PATH=",
		"OCF_METHOD=",	   "OCF_ATTEMPT=", "CONTENT_TYPE=", "TRACEPARENT=",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(item, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Our environment and what is known of the query; what came with the request under names
 * of its own choosing stays out. */
static char **
job_environment(const struct job *job)
{
	char **out = mem_calloc(JOB_ENVIRONMENT_MAX + 16, sizeof(*out));
	char attempt[8];
	int len = 0;

	for (char **item = environ; *item != NULL && len < JOB_ENVIRONMENT_MAX; item++)
		if (!job_environment_is_ours(*item))
			out[len++] = mem_strdup(*item);
	snprintf(attempt, sizeof(attempt), "%u", job->head.attempt);
	job_environment_add(out, &len, "OCF_REQUEST_ID", job->head.request_id);
	job_environment_add(out, &len, "OCF_SERVICE", job->head.service);
	job_environment_add(out, &len, "OCF_MATCH", job->head.selector);
	job_environment_add(out, &len, "OCF_PATH", job->head.path);
	job_environment_add(out, &len, "OCF_METHOD", job->head.method);
	job_environment_add(out, &len, "OCF_ATTEMPT", attempt);
	job_environment_add(out, &len, "CONTENT_TYPE", job->head.content_type);
	job_environment_add(out, &len, "TRACEPARENT", job->head.traceparent);
	return out;
}

void
job_start(struct job *job)
{
	char **environment = job_environment(job);
	struct command_config config = {
		.path = job->host->path,
		.argv = job->host->argv,
		.environ = environment,
		.guard = job->host->guard,
	};
	struct job_part *part, *next;
	struct errmsg err = { "" };
	int rc = command_start(job->host->loop, &config, &job_command_handler, job,
			       &job->cmd, &err);

	for (char **item = environment; *item != NULL; item++)
		free(*item);
	free(environment);
	if (rc < 0) {
		job_fail(job, 502, err.text, BYTES_NONE);
		loop_timer_set(job->over, 0);
		return;
	}
	DL_FOREACH_SAFE (job->waiting, part, next) {
		command_write(job->cmd, part->data, part->is_last);
		free((void *)(uintptr_t)part->data.data);
		free(part);
	}
	job->waiting = NULL;
}

bool
job_is_started(const struct job *job)
{
	return job->cmd != NULL;
}

void
job_body(struct job *job, uint64_t index, struct bytes part, bool is_last)
{
	struct job_part *waiting;

	if (job->is_cancelled || job->is_failed)
		return;
	if (job->is_body_whole || index != job->body_parts) {
		job_fail(job, 502, "a part of the request is missing or out of order",
			 BYTES_NONE);
		job_stop(job);
		return;
	}
	job->body_parts++;
	job->is_body_whole = is_last;
	if (job->cmd != NULL) {
		command_write(job->cmd, part, is_last);
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
	job_send_number(job, BUS_H_SEQ, job->parts_sent, part);
	job->parts_sent++;
	if (job->parts_sent - job->parts_credited >= LIMIT_PARTS_WINDOW)
		command_pause(job->cmd, true);
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

static void
job_on_output(void *arg, struct bytes part)
{
	struct job *job = arg;

	if (job->host->is_streaming || job->parts_sent > 0) {
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
	if (job->cmd != NULL &&
	    job->parts_sent - job->parts_credited < LIMIT_PARTS_WINDOW)
		command_pause(job->cmd, false);
}

static void
job_on_ended(void *arg, int status, struct bytes errors)
{
	struct job *job = arg;
	char text[160];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		job_send_held(job);
		job_send_number(job, BUS_H_END, job->parts_sent, BYTES_NONE);
	} else {
		if (WIFSIGNALED(status))
			snprintf(text, sizeof(text),
				 "the command was killed by signal %d (%s)",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
		else
			snprintf(text, sizeof(text), "the command exited with status %d",
				 WEXITSTATUS(status));
		job_fail(job, 502, text, errors);
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
