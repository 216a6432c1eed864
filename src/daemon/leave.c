/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the cluster: `ocf drain`. The node drains as one that is told to stop does
 * (drain.c); then its worker rows are removed and its node row says that it left, by the
 * owner core; when the disk holds that and other nodes were handed it, it says goodbye and
 * stops. A crash on the way leaves a node that is a member still, or one that has left: what
 * is durable decides, and the next start makes a member of it in any case.
 *
 * Whoever asked is told by lines of JSON over POST /v1/admin/drain, a work (work.h) that
 * waits on the loop for news. */
#include "config.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/work.h"
#include "table/rows.h"

enum {
	LEAVE_LOOK_MS = 20,
	/* For the rows to be written: a write that failed is tried again after 5 s. */
	LEAVE_WRITE_MS = 15 * MS_SECOND,
	/* For one link at least to take them. One that takes nothing is closed by the mesh
	 * before that (MESH_SILENT_MS). */
	LEAVE_TELL_MS = 10 * MS_SECOND,
	LEAVE_TELL_ALL_MS = MS_SECOND, /* for all links to; one is enough after that */
};

enum leave_phase {
	LEAVE_DRAINS,
	LEAVE_WRITES,
	LEAVE_TELLS,
	LEAVE_DONE,
	LEAVE_FAILED,
};

/* One who asked. */
struct leave_job {
	struct leave *leave;
	struct work *work;	/* while it waits for news: … */
	struct buf *out;	/* … to be put here */
	bool is_told;		/* of anything yet */
	bool is_over;		/* the last line is in `out` */
	enum leave_phase phase; /* told last */
	int running;
	struct leave_job *prev, *next;
};

struct leave {
	struct daemon *d;
	struct loop_timer *timer;
	enum leave_phase phase;
	ms_t since;	/* the phase's begin; monotonic */
	int cut;	/* queries that were not waited for */
	int told;	/* links that took the rows */
	char *why;	/* why it failed */
	bool is_member; /* … before anything was written */
	struct leave_job *jobs;
};

/* ---- whoever asked ---- */

static json_t *
leave_json(const struct leave *leave)
{
	struct daemon *d = leave->d;

	struct catalog_counts counts;

	catalog_counts(d->catalog, &counts);
	switch (leave->phase) {
	case LEAVE_DRAINS:
		return json_pack("{s:s, s:i}", "state", "draining", "running",
				 queries_running(d->queries));
	case LEAVE_WRITES:
	case LEAVE_TELLS:
		return json_pack("{s:s}", "state", "leaving");
	case LEAVE_DONE:
		return json_pack("{s:s, s:s, s:i, s:i, s:i, s:b}", "state", "left",
				 "name", d->name, "told", leave->told, "others",
				 counts.nodes, "cut", leave->cut, "ca",
				 d->identity->ca_key != NULL);
	default:
		return json_pack("{s:s, s:s, s:b}", "state", "failed", "why", leave->why,
				 "member", leave->is_member);
	}
}

static bool
leave_is_over(const struct leave *leave)
{
	return leave->phase >= LEAVE_DONE;
}

/* Append what this job has not been told yet; false: nothing is new. */
static bool
leave_job_tell(struct leave_job *job, struct buf *out)
{
	const struct leave *leave = job->leave;
	int running = leave->phase == LEAVE_DRAINS ? queries_running(leave->d->queries)
						   : 0;
	json_t *json;
	char *text;

	if (job->is_told && job->phase == leave->phase && job->running == running)
		return false;
	json = leave_json(leave);
	text = json_dumps(json, JSON_COMPACT);
	buf_put_text(out, text);
	buf_put_u8(out, '\n');
	free(text);
	json_decref(json);
	job->is_told = true;
	job->phase = leave->phase;
	job->running = running;
	job->is_over = leave_is_over(leave);
	return true;
}

static void
leave_tell(struct leave *leave)
{
	struct leave_job *job, *next;

	DL_FOREACH_SAFE (leave->jobs, job, next) {
		struct work *work = job->work;

		if (work == NULL || !leave_job_tell(job, job->out))
			continue;
		job->work = NULL;
		work_landed(work, 0, NULL); /* it may be gone with this */
	}
}

/* ---- the way out ---- */

static void
leave_set_phase(struct leave *leave, enum leave_phase phase)
{
	leave->phase = phase;
	leave->since = loop_now(leave->d->loop);
}

static void
leave_fail(struct leave *leave, char *why)
{
	leave->is_member = leave->phase == LEAVE_DRAINS;
	leave_set_phase(leave, LEAVE_FAILED);
	leave->why = why;
	leave_tell(leave);
}

/* What the disk holds is that it left. */
static void
leave_done(struct leave *leave, int told)
{
	struct daemon *d = leave->d;

	leave->told = told;
	leave_set_phase(leave, LEAVE_DONE);
	if (told == 0 && links_up(d->links) > 0)
		log_warn("node", "left the cluster, but no other node took the news");
	else
		log_info("node", "left the cluster; nodes that were told: %d", told);
	leave_tell(leave);
}

static void
leave_look_written(struct leave *leave)
{
	struct daemon *d = leave->d;
	const char *why = rows_why_silent(d->rows);

	if (rows_has_withdrawn(d->rows)) {
		leave_set_phase(leave, LEAVE_TELLS);
		return;
	}
	if (loop_now(d->loop) - leave->since < LEAVE_WRITE_MS)
		return;
	log_error("node",
		  "stopping without having left the cluster: its rows could not be "
		  "written");
	leave_fail(leave, mem_printf("its rows could not be written to the disk within "
				     "%d s%s%s",
				     (int)(LEAVE_WRITE_MS / MS_SECOND),
				     why[0] != '\0' ? ": " : "", why));
	daemon_stop(d, EXIT_STATUS_IO);
}

static void
leave_look_told(struct leave *leave)
{
	struct daemon *d = leave->d;
	ms_t spent = loop_now(d->loop) - leave->since;
	int links, told = links_rows_sent(d->links, &links);

	if (told == links || (told > 0 && spent >= LEAVE_TELL_ALL_MS) ||
	    spent >= LEAVE_TELL_MS) {
		leave_done(leave, told);
		daemon_stop(d, EXIT_SUCCESS);
	}
}

static void
leave_look(void *arg)
{
	struct leave *leave = arg;

	if (leave->d->is_stopping)
		return;
	if (leave->phase == LEAVE_WRITES)
		leave_look_written(leave);
	else if (leave->phase == LEAVE_TELLS)
		leave_look_told(leave);
	leave_tell(leave);
	if (!leave_is_over(leave))
		loop_timer_set(leave->timer, LEAVE_LOOK_MS);
}

static bool
leave_withdraw(struct leave *leave)
{
	struct daemon *d = leave->d;
	struct table_node node = { .has_left = true };
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };
	int rc;

	buf_put_bytes(&node.cert, buf_bytes(&d->identity->node_cert));
	rc = table_node_encode(&node, &value, &err);
	table_node_fini(&node);
	if (rc == 0)
		rows_withdraw(d->rows, buf_bytes(&value));
	else
		leave_fail(leave, mem_strdup(err.text));
	buf_fini(&value);
	return rc == 0;
}

bool
leave_drained(struct daemon *d, int cut)
{
	struct leave *leave = d->leave;

	if (leave == NULL || leave->phase != LEAVE_DRAINS)
		return false;
	leave->cut = cut;
	log_info("node", "leaving the cluster");
	leave_set_phase(leave, LEAVE_WRITES);
	return leave_withdraw(leave);
}

bool
leave_give_up(struct daemon *d)
{
	struct leave *leave = d->leave;

	if (leave == NULL || leave->phase != LEAVE_DRAINS || d->is_stopping)
		return false;
	leave_fail(leave, mem_strdup("the node was told to stop meanwhile"));
	return true;
}

void
leave_stopping(struct daemon *d)
{
	int links;

	if (d->leave == NULL || leave_is_over(d->leave))
		return;
	if (d->leave->phase == LEAVE_TELLS)
		leave_done(d->leave, links_rows_sent(d->links, &links));
	else
		leave_fail(d->leave,
			   mem_strdup(d->fatal != NULL
					      ? d->fatal
					      : "the node was stopped meanwhile"));
}

void
leave_close(struct daemon *d)
{
	if (d->leave == NULL)
		return;
	loop_timer_free(d->leave->timer);
	free(d->leave->why);
	free(d->leave);
	d->leave = NULL;
}

/* ---- POST /v1/admin/drain ---- */

static int
leave_begin(struct daemon *d, struct errmsg *err)
{
	const char *silent = rows_why_silent(d->rows);

	if (d->is_stopping || (d->is_leaving && d->leave == NULL)) {
		error_set(err, -EBUSY, "this node is stopping already, without leaving");
		return 409;
	}
	if (d->leave != NULL)
		return 200; /* two may wait for it */
	if (silent[0] != '\0') {
		error_set(err, -EAGAIN,
			  "this node cannot say that it leaves, since it writes nothing "
			  "just now: %s",
			  silent);
		return 503;
	}
	d->leave = mem_calloc(1, sizeof(*d->leave));
	d->leave->d = d;
	d->leave->timer = loop_timer_new(d->loop, leave_look, d->leave);
	loop_timer_set(d->leave->timer, LEAVE_LOOK_MS);
	log_info("node", "told to leave the cluster");
	drain_and_stop(d);
	return 200;
}

static int
leave_open(struct daemon *d, const struct query_headers *params, struct bytes body,
	   void **ret_job, struct errmsg *err)
{
	struct leave_job *job;
	int status;

	(void)params;
	if (body.len > 0 && !bytes_equal_text(body, "{}")) {
		error_set(err, -EINVAL, "there is nothing to choose: send no body");
		return 400;
	}
	status = leave_begin(d, err);
	if (status != 200)
		return status;
	job = mem_calloc(1, sizeof(*job));
	job->leave = d->leave;
	DL_APPEND(d->leave->jobs, job);
	*ret_job = job;
	return 200;
}

static bool
leave_land(void *arg, struct work *w, struct buf *out)
{
	struct leave_job *job = arg;

	work_goes_on(w, !job->is_over);
	if (job->is_over || leave_job_tell(job, out))
		return true;
	job->work = w;
	job->out = out;
	return false;
}

static void
leave_job_close(void *arg)
{
	struct leave_job *job = arg;

	DL_DELETE(job->leave->jobs, job);
	free(job);
}

const struct work_type work_drain = {
	.name = "drain",
	.content_type = "application/jsonl",
	.is_light = true,
	.open = leave_open,
	.land = leave_land,
	.close = leave_job_close,
};
