/* SPDX-License-Identifier: Apache-2.0 */
/* The workers of the simulated world: what they do with what they are given. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tap.h"
#include "sim/dispatch-world.h"

static bool
job_is_void(const struct job *j)
{
	const struct node *n = &j->worker->world->nodes[j->worker->node];

	return j->is_over || !n->is_running || n->life != j->life ||
	       j->worker->number != j->worker_number;
}

static void
job_over(struct job *j)
{
	if (j->is_over)
		return;
	j->is_over = true;
	if (j->worker->number == j->worker_number)
		j->worker->outstanding--;
}

static struct later *
job_later(struct job *j)
{
	struct later *l = later_new(&j->worker->world->nodes[j->worker->node], 0);

	l->job = j;
	return l;
}

static void
job_fail(struct job *j, enum dispatch_failure failure, int status)
{
	struct query_error error;
	struct dispatch_event e = { .type = DISPATCH_EVENT_RUN_FAILED,
				    .run = j->run,
				    .failure = failure,
				    .error = &error };
	struct node *n = &j->worker->world->nodes[j->worker->node];

	query_error_set(&error, status, "as the simulation wanted");
	job_over(j);
	node_step(n, &e);
	query_error_fini(&error);
}

static void
job_reply(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct later *l = data;
	struct job *j = l->job;
	struct dispatch_event e = { .run = j->run };
	struct reply_head head = { .status = 200 };
	int parts = reply_parts(j->asked->index);
	uint8_t part[4096];

	(void)sim;
	j->is_replying = false;
	if (job_is_void(j))
		return;
	if (j->reply == 0 && parts % 3 == 0) {
		e.type = DISPATCH_EVENT_RUN_HEAD;
		e.reply = &head;
		node_step(l->node, &e);
	}
	while (j->reply < parts && j->credit > 0 && !job_is_void(j)) {
		memset(part, j->reply, sizeof(part));
		e.type = DISPATCH_EVENT_RUN_DATA;
		e.data = bytes_of(part, reply_part_len(j->asked->index, j->reply));
		j->reply++;
		j->credit--;
		e.is_last = j->reply == parts && parts % 2 == 0;
		if (e.is_last)
			job_over(j);
		node_step(l->node, &e);
		if (sim_once_in(&w->sim, 50) && !w->is_tame && !job_is_void(j)) {
			job_fail(j, DISPATCH_LOST, 502);
			return;
		}
	}
	if (job_is_void(j) || j->reply < parts)
		return;
	e = (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_DATA,
				     .run = j->run,
				     .is_last = true };
	job_over(j);
	node_step(l->node, &e);
}

static void
job_reply_later(struct job *j, ms_t most)
{
	struct world *w = j->worker->world;

	if (j->is_replying)
		return;
	j->is_replying = true;
	later(w, (ms_t)sim_below(&w->sim, (uint64_t)most), job_reply, job_later(j));
}

static void
job_act(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;
	struct job *j = l->job;
	struct dispatch_event e = { .type = DISPATCH_EVENT_RUN_RETURNED,
				    .run = j->run,
				    .retry_after_s = 1 };

	(void)sim;
	(void)arg;
	if (job_is_void(j))
		return;
	if (j->behaviour == FAILS) {
		job_fail(j, DISPATCH_ANSWERED, 502);
	} else if (j->behaviour == IS_LOST) {
		job_fail(j, DISPATCH_LOST, 502);
	} else if (j->behaviour == NOT_THERE) {
		job_fail(j, DISPATCH_NOT_TAKEN, 503);
	} else if (j->behaviour == GIVES_BACK) {
		job_over(j);
		node_step(l->node, &e);
	}
}

static void
job_cancelled_late(struct sim *sim, void *arg, void *data)
{
	(void)sim;
	(void)arg;
	job_over(((struct later *)data)->job);
}

static void
job_cancelled(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;

	(void)sim;
	(void)arg;
	if (!job_is_void(l->job))
		job_fail(l->job, DISPATCH_ANSWERED, 499);
}

static struct job *
job_find(struct node *n, uint64_t run)
{
	struct world *w = n->world;

	for (int i = w->jobs_len - 1; i >= 0; i--)
		if (w->jobs[i].run == run && w->jobs[i].worker->node == n->index &&
		    w->jobs[i].life == n->life)
			return &w->jobs[i];
	return NULL;
}

static void
job_open(struct node *n, const struct dispatch_action *a)
{
	struct world *w = n->world;
	struct job *j = &w->jobs[w->jobs_len++];
	struct asked *q = &w->queries[strtol(a->head->request_id + 1, NULL, 10)];

	CU_ASSERT_FATAL(w->jobs_len < JOBS_MAX);
	*j = (struct job){ .run = a->run,
			   .life = n->life,
			   .asked = q,
			   .worker_number = a->worker_id,
			   .credit = LIMIT_PARTS_WINDOW };
	for (int i = 0; i < WORKERS_MAX; i++)
		if (n->workers[i].number == a->worker_id)
			j->worker = &n->workers[i];
	CU_ASSERT_FATAL(j->worker != NULL);
	CU_ASSERT(j->worker->services & (a->head->service[0] == 'a' ? 1 : 2));
	CU_ASSERT(++j->worker->outstanding <= j->worker->slots);
	/* Reserved before, confirmed since; or of a client of its own. */
	CU_ASSERT(n->drains_since == 0 || q->node == n->index ||
		  w->sim.now <= n->drains_since + DISPATCH_GO_MS);
	CU_ASSERT(a->head->timeout_ms > 0);
	CU_ASSERT(w->sim.now + a->head->timeout_ms <= q->deadline + 200);
	j->is_deaf = sim_once_in(&w->sim, 3);
	j->behaviour = w->is_tame || sim_once_in(&w->sim, 2)
			       ? ANSWERS
			       : (enum behaviour)sim_below(&w->sim, 7);
	if (j->behaviour != GIVES_BACK && j->behaviour != NOT_THERE) {
		q->executed++;
		CU_ASSERT(q->is_idempotent || q->executed == 1);
	}
	if (j->behaviour == ANSWERS_EARLY ||
	    (j->behaviour == ANSWERS && a->head->body_len == 0))
		job_reply_later(j, 3000);
	else if (j->behaviour != ANSWERS)
		later(w, (ms_t)sim_below(&w->sim, 2000), job_act, job_later(j));
}

static void
job_credit(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;
	struct dispatch_event e = { .type = DISPATCH_EVENT_RUN_CREDIT,
				    .run = l->job->run,
				    .parts = 1 };

	(void)sim;
	(void)arg;
	if (job_is_void(l->job))
		return;
	l->job->uncredited--;
	node_step(l->node, &e);
}

static void
job_body(struct job *j, const struct dispatch_action *a)
{
	struct world *w = j->worker->world;

	for (size_t i = 0; i < a->data.len; i++)
		j->sum += a->data.data[i];
	j->bytes += a->data.len;
	if (a->data.len > 0) {
		CU_ASSERT(++j->uncredited <= LIMIT_PARTS_WINDOW);
		later(w, (ms_t)sim_below(&w->sim, 40), job_credit, job_later(j));
	}
	if (!a->is_last)
		return;
	CU_ASSERT(j->bytes == j->asked->body_bytes && j->sum == j->asked->body_sum);
	if (j->behaviour == ANSWERS)
		job_reply_later(j, 3000);
}

void
worker_do(struct node *n, const struct dispatch_action *a)
{
	struct world *w = n->world;
	struct job *j;

	if (a->type == DISPATCH_ACTION_RUN_OPEN) {
		job_open(n, a);
		return;
	}
	j = job_find(n, a->run);
	CU_ASSERT_FATAL(j != NULL);
	if (job_is_void(j))
		return;
	if (a->type == DISPATCH_ACTION_RUN_BODY) {
		job_body(j, a);
	} else if (a->type == DISPATCH_ACTION_RUN_CREDIT) {
		j->credit += a->parts;
		CU_ASSERT(j->credit <= LIMIT_PARTS_WINDOW);
		if (j->reply > 0)
			job_reply_later(j, 20);
	} else if (a->type == DISPATCH_ACTION_RUN_CANCEL) {
		if (j->is_deaf)
			later(w, DISPATCH_CANCEL_MS - 1, job_cancelled_late,
			      job_later(j));
		else
			later(w, (ms_t)sim_below(&w->sim, 500), job_cancelled,
			      job_later(j));
	}
}

void
worker_start(struct world *w, struct node *n, struct worker *k)
{
	struct dispatch_service services[2];
	struct dispatch_worker info = { .services = services, .name = k->name };
	struct dispatch_event e = { .type = DISPATCH_EVENT_WORKER, .worker = &info };

	if (k->number != 0 || !n->is_running)
		return;
	k->number = ++w->next_worker;
	k->slots = 1 + (int)sim_below(&w->sim, 3);
	k->outstanding = 0;
	k->services = 1 + (int)sim_below(&w->sim, 3);
	snprintf(k->name, sizeof(k->name), "w%llu", (unsigned long long)k->number);
	info.worker = k->number;
	info.slots = k->slots;
	if (k->services & 1)
		services[info.services_len++] = (struct dispatch_service){ .name = "a" };
	if (k->services & 2)
		services[info.services_len++] = (struct dispatch_service){ .name = "b" };
	node_step(n, &e);
}

void
worker_stop(struct node *n, struct worker *k)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_WORKER_GONE,
				    .worker_id = k->number };

	if (k->number == 0 || !n->is_running)
		return;
	node_tick_now(n);
	k->number = 0;
	node_step(n, &e);
}
