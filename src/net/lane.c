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
	struct lane *lane;
	void (*work)(void *arg);
	void (*done)(void *arg, bool was_run);
	void *arg;
	bool was_run;
	struct lane_job *next;
};

struct lane {
	struct loop *loop;
	int len; /* the loop's, as the next */
	bool is_ending;

	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct lane_job *first, **last;
	bool is_closing;
};

static void
lane_finish(void *arg)
{
	struct lane_job *job = arg;

	job->done(job->arg, job->was_run);
	job->lane->len--;
	free(job);
}

static void *
lane_run(void *arg)
{
	struct lane *lane = arg;

	for (;;) {
		struct lane_job *job;

		pthread_mutex_lock(&lane->lock);
		while (lane->first == NULL && !lane->is_closing)
			pthread_cond_wait(&lane->wake, &lane->lock);
		job = lane->is_closing ? NULL : lane->first;
		if (job != NULL && (lane->first = job->next) == NULL)
			lane->last = &lane->first;
		pthread_mutex_unlock(&lane->lock);
		if (job == NULL)
			return NULL;
		job->work(job->arg);
		job->was_run = true;
		loop_post(lane->loop, lane_finish, job);
	}
}

struct lane *
lane_open(struct loop *loop)
{
	struct lane *lane = mem_calloc(1, sizeof(*lane));
	sigset_t all, old;
	int rc;

	lane->loop = loop;
	lane->last = &lane->first;
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
	struct lane_job *job;
	int not_run = 0;

	if (lane == NULL)
		return;
	lane->is_ending = true;
	pthread_mutex_lock(&lane->lock);
	lane->is_closing = true;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	pthread_join(lane->thread, NULL);
	/* First those that have run: they wait in the loop's letter box. */
	for (job = lane->first; job != NULL; job = job->next)
		not_run++;
	while (lane->len > not_run)
		loop_turn(lane->loop, 0);
	while ((job = lane->first) != NULL) {
		lane->first = job->next;
		lane_finish(job);
	}
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

void
lane_put(struct lane *lane, void (*work)(void *arg),
	 void (*done)(void *arg, bool was_run), void *arg)
{
	struct lane_job *job = mem_calloc(1, sizeof(*job));

	assert(!lane->is_ending);
	*job = (struct lane_job){ .lane = lane, .work = work, .done = done, .arg = arg };
	lane->len++;
	pthread_mutex_lock(&lane->lock);
	*lane->last = job;
	lane->last = &job->next;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
}

int
lane_len(const struct lane *lane)
{
	return lane->len;
}
