/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/lane.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct lane_job {
	void (*work)(void *arg);
	void (*done)(void *arg, bool was_run);
	void *arg;
	bool has_run; /* the lane's lock */
	struct lane_job *next;
};

/* What the loop is sent: one letter for all that has run since the last. It is freed when
 * it is read, and may be read after the lane is gone. */
struct lane_letter {
	struct lane *lane; /* NULL: gone */
};

struct lane {
	struct loop *loop;
	bool is_ending;

	int threads_len;
	pthread_t threads[LANE_THREADS_MAX];
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct lane_job *first, **last; /* all that is not finished, in order */
	struct lane_job *waiting;	/* the first of them that nobody has begun */
	struct lane_letter *letter;	/* on its way */
	bool is_closing;
};

/* ---- on the loop ---- */

/* The first job, if it has run, or if that does not matter. */
static struct lane_job *
lane_take_first(struct lane *lane, bool is_run_only)
{
	struct lane_job *job;

	pthread_mutex_lock(&lane->lock);
	job = lane->first;
	if (job != NULL && is_run_only && !job->has_run)
		job = NULL;
	if (job != NULL) {
		lane->first = job->next;
		if (lane->first == NULL)
			lane->last = &lane->first;
		if (lane->waiting == job)
			lane->waiting = job->next;
	}
	pthread_mutex_unlock(&lane->lock);
	return job;
}

static void
lane_finish(struct lane *lane, bool is_run_only)
{
	struct lane_job *job;

	while ((job = lane_take_first(lane, is_run_only)) != NULL) {
		job->done(job->arg, job->has_run);
		free(job);
	}
}

static void
lane_on_letter(void *arg)
{
	struct lane_letter *letter = arg;
	struct lane *lane = letter->lane;

	if (lane != NULL) {
		pthread_mutex_lock(&lane->lock);
		lane->letter = NULL;
		pthread_mutex_unlock(&lane->lock);
	}
	free(letter);
	if (lane != NULL)
		lane_finish(lane, true);
}

/* ---- the threads ---- */

/* One behind a job that still runs is finished with that, and needs no letter. */
static void
lane_has_run(struct lane *lane, struct lane_job *job)
{
	struct lane_letter *letter = NULL;

	pthread_mutex_lock(&lane->lock);
	job->has_run = true;
	if (lane->letter == NULL && lane->first == job) {
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
		while (lane->waiting == NULL && !lane->is_closing)
			pthread_cond_wait(&lane->wake, &lane->lock);
		if (!lane->is_closing) {
			job = lane->waiting;
			lane->waiting = job->next;
		}
		pthread_mutex_unlock(&lane->lock);
		if (job == NULL)
			return NULL;
		job->work(job->arg);
		lane_has_run(lane, job);
	}
}

/* ---- life ---- */

static struct lane *
lane_open_threads(struct loop *loop, int threads)
{
	struct lane *lane = mem_calloc(1, sizeof(*lane));
	sigset_t all, old;
	int rc = 0;

	lane->loop = loop;
	lane->last = &lane->first;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->wake, NULL);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (lane->threads_len < threads && rc == 0) {
		rc = pthread_create(&lane->threads[lane->threads_len], NULL, lane_run,
				    lane);
		lane->threads_len += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (lane->threads_len == 0) {
		log_error("net", "no thread: the limit of this process or user is "
				 "reached (ulimit -u)");
		abort();
	}
	return lane;
}

struct lane *
lane_open(struct loop *loop)
{
	return lane_open_threads(loop, 1);
}

struct lane *
lane_open_wide(struct loop *loop)
{
	cpu_set_t cpus;
	int threads = 1;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		threads = CPU_COUNT(&cpus);
	return lane_open_threads(loop,
				 threads < LANE_THREADS_MAX ? threads : LANE_THREADS_MAX);
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
	pthread_cond_broadcast(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	for (int i = 0; i < lane->threads_len; i++)
		pthread_join(lane->threads[i], NULL);
	if (lane->letter != NULL)
		lane->letter->lane = NULL;
	lane_finish(lane, false);
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
	*lane->last = job;
	lane->last = &job->next;
	if (lane->waiting == NULL)
		lane->waiting = job;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
}
