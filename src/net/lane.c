/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/lane.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"

struct lane_job {
	void (*work)(void *arg);
	void (*done)(void *arg, bool was_run);
	void *arg;
	bool was_run;
	struct lane_job *prev, *next;
};

struct lane {
	struct loop *loop;
	bool is_closed; /* the loop's; the letter on its way frees the lane */

	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct lane_job *waiting, *run; /* oldest first */
	bool is_posted;			/* a letter to the loop is on its way */
	bool is_closing;
};

static void
lane_free(struct lane *lane)
{
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

static void
lane_finish(struct lane_job *jobs)
{
	while (jobs != NULL) {
		struct lane_job *job = jobs;

		DL_DELETE(jobs, job);
		job->done(job->arg, job->was_run);
		free(job);
	}
}

/* The letter: some have run. */
static void
lane_on_run(void *arg)
{
	struct lane *lane = arg;
	struct lane_job *run;

	if (lane->is_closed) {
		lane_free(lane);
		return;
	}
	pthread_mutex_lock(&lane->lock);
	run = lane->run;
	lane->run = NULL;
	lane->is_posted = false;
	pthread_mutex_unlock(&lane->lock);
	lane_finish(run);
}

static struct lane_job *
lane_take(struct lane *lane)
{
	struct lane_job *job = NULL;

	pthread_mutex_lock(&lane->lock);
	while (lane->waiting == NULL && !lane->is_closing)
		pthread_cond_wait(&lane->wake, &lane->lock);
	if (!lane->is_closing) {
		job = lane->waiting;
		DL_DELETE(lane->waiting, job);
	}
	pthread_mutex_unlock(&lane->lock);
	return job;
}

static void *
lane_run(void *arg)
{
	struct lane *lane = arg;
	struct lane_job *job;

	while ((job = lane_take(lane)) != NULL) {
		bool is_first;

		job->work(job->arg);
		job->was_run = true;
		pthread_mutex_lock(&lane->lock);
		DL_APPEND(lane->run, job);
		is_first = !lane->is_posted;
		lane->is_posted = true;
		pthread_mutex_unlock(&lane->lock);
		if (is_first)
			loop_post(lane->loop, lane_on_run, lane);
	}
	return NULL;
}

struct lane *
lane_open(struct loop *loop)
{
	struct lane *lane = mem_calloc(1, sizeof(*lane));
	sigset_t all, old;
	int rc;

	lane->loop = loop;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->wake, NULL);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&lane->thread, NULL, lane_run, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		log_error("net", "no thread: the limit of this process or user is "
				 "reached (ulimit -u)");
		abort();
	}
	return lane;
}

void
lane_close(struct lane *lane)
{
	if (lane == NULL)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->is_closing = true;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	pthread_join(lane->thread, NULL);
	lane_finish(lane->run);
	lane_finish(lane->waiting);
	lane->is_closed = true;
	if (!lane->is_posted)
		lane_free(lane);
}

void
lane_put(struct lane *lane, void (*work)(void *arg),
	 void (*done)(void *arg, bool was_run), void *arg)
{
	struct lane_job *job = mem_calloc(1, sizeof(*job));

	assert(!lane->is_closing); /* which no other thread sets */
	*job = (struct lane_job){ .work = work, .done = done, .arg = arg };
	pthread_mutex_lock(&lane->lock);
	DL_APPEND(lane->waiting, job);
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
}
