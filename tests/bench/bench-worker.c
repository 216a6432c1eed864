/* SPDX-License-Identifier: Apache-2.0 */
/* What answers in the benches, at once and with as little of its own as can be, on nats.c
 * alone (bench/raw-nats.h):
 *
 *	bench-worker URL SUBJECT		one of a queue group: the body back
 *	bench-worker URL ID SERVICE SLOTS	a worker of protocol v1
 *
 * The worker takes requests of one message. It sends the body back as one message without
 * headers, which is a whole reply, but for these:
 *
 *	stream BYTES	so many bytes in parts, as far as the node has room for them
 *	hang		nothing; a line «ID cancelled NS» when the query is cancelled (NS of
 *			the wall clock), after «ID taken NS»
 *
 * SIGTERM ends it. */
#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bench/raw-nats.h"

enum { ID_SIZE = 128, SUBJECT_SIZE = 300, COMMAND_SIZE = 64 };

/* A query that is not answered at once. */
struct job {
	char id[ID_SIZE];
	char reply[SUBJECT_SIZE];
	uint64_t left, seq;
	int credit;
	struct job *prev, *next;
};

struct worker {
	struct raw_nats nats;
	natsSubscription *work, *control, *hello;
	const char *id, *service, *slots; /* NULL: one of a queue group */
	struct job *jobs;
};

static char part_bytes[LIMIT_PART_BYTES_MAX];

static void
on_signal(int number)
{
	(void)number;
	_exit(0);
}

static void
say(const char *id, const char *what)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	printf("%s %s %lld\n", id, what,
	       (long long)ts.tv_sec * 1000000000 + (long long)ts.tv_nsec);
	fflush(stdout);
}

static void
worker_announce(struct worker *w)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"v\":1,\"id\":\"%s\",\"service\":\"%s\",\"slots\":%s,\"hb_s\":3600,"
		 "\"status\":\"connected\",\"gpus\":[]}",
		 w->id, w->service, w->slots);
	raw_nats_must(natsConnection_PublishString(w->nats.nc, "worker:status", text),
		      "announcing");
}

/* ---- replies of several messages ---- */

static void
job_send(struct worker *w, struct job *job, const char *name, const char *value, int len)
{
	natsMsg *msg = NULL;

	raw_nats_must(natsMsg_Create(&msg, job->reply, NULL, part_bytes, len), "a part");
	raw_nats_must(natsMsgHeader_Set(msg, name, value), "a header");
	raw_nats_must(natsConnection_PublishMsg(w->nats.nc, msg), "a part");
	natsMsg_Destroy(msg);
}

static void
job_go_on(struct worker *w, struct job *job)
{
	char number[24];

	for (; job->credit > 0 && job->left > 0; job->credit--) {
		uint64_t len = job->left < sizeof(part_bytes) ? job->left
							      : sizeof(part_bytes);

		snprintf(number, sizeof(number), "%" PRIu64, job->seq++);
		job_send(w, job, "Ocf-Seq", number, (int)len);
		job->left -= len;
	}
	if (job->left > 0)
		return;
	snprintf(number, sizeof(number), "%" PRIu64, job->seq);
	job_send(w, job, "Ocf-End", number, 0);
	DL_DELETE(w->jobs, job);
	free(job);
}

static struct job *
job_new(struct worker *w, natsMsg *msg)
{
	struct job *job = mem_calloc(1, sizeof(*job));
	const char *id = NULL;

	raw_nats_must(natsMsgHeader_Get(msg, "Ocf-Req-Id", &id), "Ocf-Req-Id");
	snprintf(job->id, sizeof(job->id), "%s", id);
	snprintf(job->reply, sizeof(job->reply), "%s", natsMsg_GetReply(msg));
	job->credit = LIMIT_PARTS_WINDOW;
	DL_APPEND(w->jobs, job);
	return job;
}

static void
job_cancel(struct worker *w, struct job *job)
{
	say(job->id, "cancelled");
	job_send(w, job, "Nats-Service-Error-Code", "499", 0);
	DL_DELETE(w->jobs, job);
	free(job);
}

/* ---- messages ---- */

static void
worker_on_work(struct worker *w, natsMsg *msg)
{
	const char *data = natsMsg_GetData(msg), *reply = natsMsg_GetReply(msg);
	int len = natsMsg_GetDataLength(msg);
	char text[COMMAND_SIZE] = "";
	struct job *job;

	if (reply == NULL)
		return;
	if (len > 0 && len < COMMAND_SIZE)
		snprintf(text, sizeof(text), "%.*s", len, data);
	if (strncmp(text, "stream ", 7) == 0) {
		job = job_new(w, msg);
		job->left = strtoull(text + 7, NULL, 10);
		job_go_on(w, job);
	} else if (strcmp(text, "hang") == 0) {
		job = job_new(w, msg);
		say(job->id, "taken");
	} else {
		raw_nats_must(natsConnection_Publish(w->nats.nc, reply, data, len),
			      "a reply");
	}
}

/* {"op":"credit","id":"…","n":1}, compact and in this order, as the node writes it. */
static void
worker_on_control(struct worker *w, natsMsg *msg)
{
	char text[512], op[16], id[ID_SIZE];
	struct job *job;
	int n = 0;

	snprintf(text, sizeof(text), "%.*s", natsMsg_GetDataLength(msg),
		 natsMsg_GetData(msg));
	if (sscanf(text, "{\"op\":\"%15[a-z]\",\"id\":\"%127[^\"]\",\"n\":%d", op, id,
		   &n) < 2)
		return;
	DL_FOREACH (w->jobs, job)
		if (strcmp(job->id, id) == 0)
			break;
	if (job != NULL && strcmp(op, "cancel") == 0) {
		job_cancel(w, job);
	} else if (job != NULL && strcmp(op, "credit") == 0) {
		job->credit += n;
		job_go_on(w, job);
	}
}

static void
worker_readable(void *arg)
{
	struct worker *w = arg;
	natsMsg *msg;

	while ((msg = raw_nats_next(w->work)) != NULL) {
		worker_on_work(w, msg);
		natsMsg_Destroy(msg);
	}
	if (w->id == NULL)
		return;
	while ((msg = raw_nats_next(w->control)) != NULL) {
		worker_on_control(w, msg);
		natsMsg_Destroy(msg);
	}
	while ((msg = raw_nats_next(w->hello)) != NULL) {
		worker_announce(w);
		natsMsg_Destroy(msg);
	}
}

int
main(int argc, char **argv)
{
	struct worker w = { .id = NULL };
	struct loop *loop;
	char subject[SUBJECT_SIZE];

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: bench-worker URL (SUBJECT | ID SERVICE SLOTS)\n");
		return 2;
	}
	signal(SIGTERM, on_signal);
	loop = loop_new();
	raw_nats_open(&w.nats, loop, argv[1], "bench-worker", worker_readable, &w);
	if (argc == 3) {
		w.work = raw_nats_subscribe(&w.nats, argv[2], "workers");
	} else {
		w.id = argv[2];
		w.service = argv[3];
		w.slots = argv[4];
		snprintf(subject, sizeof(subject), "ocf.d.%s", w.id);
		w.work = raw_nats_subscribe(&w.nats, subject, NULL);
		snprintf(subject, sizeof(subject), "ocf.c.%s", w.id);
		w.control = raw_nats_subscribe(&w.nats, subject, NULL);
		w.hello = raw_nats_subscribe(&w.nats, "ocf.hello", NULL);
		worker_announce(&w);
	}
	loop_run(loop);
	return 0;
}
