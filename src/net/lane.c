/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/lane.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct lane_job {
	void (*work)(void *arg);
	void (*done)(void *arg, bool was_run);
	void *arg;
	struct lane_job *next;
};

struct lane_jobs {
	struct lane_job *first, **last;
};

/* What the loop is sent: one letter for all that has run since the last. It is freed when
 * it is read, and may be read after the lane is gone. */
struct lane_letter {
	struct lane *lane; /* NULL: gone */
};

struct lane {
	struct loop *loop;
	bool is_ending;

	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct lane_jobs waiting, run;
	struct lane_letter *letter; /* on its way */
	bool is_closing;
};

/* ---- jobs ---- */

static void
lane_jobs_add(struct lane_jobs *jobs, struct lane_job *job)
{
	job->next = NULL;
	if (jobs->first == NULL)
		jobs->last = &jobs->first;
	*jobs->last = job;
	jobs->last = &job->next;
}

static struct lane_job *
lane_jobs_take(struct lane_jobs *jobs)
{
	struct lane_job *job = jobs->first;

	if (job != NULL)
		jobs->first = job->next;
	return job;
}

static void
lane_finish(struct lane_jobs jobs, bool was_run)
{
	struct lane_job *job;

	while ((job = lane_jobs_take(&jobs)) != NULL) {
		job->done(job->arg, was_run);
		free(job);
	}
}

static void
lane_on_letter(void *arg)
{
	struct lane_letter *letter = arg;
	struct lane *lane = letter->lane;
	struct lane_jobs run;

	free(letter);
	if (lane == NULL)
		return;
	pthread_mutex_lock(&lane->lock);
	run = lane->run;
	lane->run = (struct lane_jobs){ 0 };
	lane->letter = NULL;
	pthread_mutex_unlock(&lane->lock);
	lane_finish(run, true);
}

/* ---- the thread ---- */

static void
lane_has_run(struct lane *lane, struct lane_job *job)
{
	struct lane_letter *letter = NULL;

	pthread_mutex_lock(&lane->lock);
	lane_jobs_add(&lane->run, job);
	if (lane->letter == NULL) {
		letter = mem_alloc(sizeof(*letter));
		letter->lane = lane;
		lane->letter = letter;
	}
	pthread_mutex_unlock(&lane->lock);
	if (letter != NULL)
		loop_post(lane->loop, lane_on_letter, letter);
}

static void *
lane_run(void *arg)
{
	struct lane *lane = arg;

	for (;;) {
		struct lane_job *job = NULL;

		pthread_mutex_lock(&lane->lock);
		while (lane->waiting.first == NULL && !lane->is_closing)
			pthread_cond_wait(&lane->wake, &lane->lock);
		if (!lane->is_closing)
			job = lane_jobs_take(&lane->waiting);
		pthread_mutex_unlock(&lane->lock);
		if (job == NULL)
			return NULL;
		job->work(job->arg);
		lane_has_run(lane, job);
	}
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

/* The loop is not turned for what has run: with it would come whatever else waits there, for
 * parts of the program that are gone already. */
void
lane_close(struct lane *lane)
{
	if (lane == NULL)
		return;
	lane->is_ending = true;
	pthread_mutex_lock(&lane->lock);
	lane->is_closing = true;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	pthread_join(lane->thread, NULL);
	if (lane->letter != NULL)
		lane->letter->lane = NULL;
	lane_finish(lane->run, true);
	lane_finish(lane->waiting, false);
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

void
lane_put(struct lane *lane, void (*work)(void *arg),
	 void (*done)(void *arg, bool was_run), void *arg)
{
	struct lane_job *job = mem_alloc(sizeof(*job));

	assert(!lane->is_ending);
	*job = (struct lane_job){ .work = work, .done = done, .arg = arg };
	pthread_mutex_lock(&lane->lock);
	lane_jobs_add(&lane->waiting, job);
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
}
