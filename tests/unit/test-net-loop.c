/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "net/lane.h"
#include "net/loop.h"

static struct loop *loop;
static char trace[64];

struct mark {
	char letter;
	struct loop_timer *timer;
	ms_t due;
	bool is_early, is_last, is_freeing;
};

static void
mark_fired(void *arg)
{
	struct mark *m = arg;
	size_t len = strlen(trace);

	trace[len] = m->letter;
	m->is_early |= loop_now(loop) < m->due;
	if (m->is_freeing) {
		loop_timer_free(m->timer);
		m->timer = NULL;
	}
	if (m->is_last)
		loop_stop(loop);
}

static void
mark_set(struct mark *m, char letter, ms_t delay)
{
	m->letter = letter;
	if (m->timer == NULL)
		m->timer = loop_timer_new(loop, mark_fired, m);
	m->due = loop_now(loop) + delay;
	loop_timer_set(m->timer, delay);
}

static void
world_open(void)
{
	loop = loop_new();
	memset(trace, 0, sizeof(trace));
}

static void
test_timers_order(void)
{
	struct mark marks[5] = { { 0 } };

	world_open();
	mark_set(&marks[0], 'd', 60);
	mark_set(&marks[1], 'b', 20);
	mark_set(&marks[2], 'a', -5);
	mark_set(&marks[3], 'c', 40);
	mark_set(&marks[4], 'e', 80);
	marks[4].is_last = true;
	CU_ASSERT_STRING_EQUAL(trace, ""); /* never from inside the call */
	loop_run(loop);
	CU_ASSERT_STRING_EQUAL(trace, "abcde");
	for (int i = 0; i < 5; i++) {
		CU_ASSERT(!marks[i].is_early);
		loop_timer_free(marks[i].timer);
	}
	loop_free(loop);
}

static void
test_timers_rearmed(void)
{
	struct mark a = { 0 }, b = { 0 }, c = { 0 };

	world_open();
	mark_set(&a, 'a', 10);
	mark_set(&b, 'b', 30);
	mark_set(&c, 'c', 20);
	mark_set(&a, 'a', 50); /* replaces */
	loop_timer_clear(c.timer);
	a.is_last = a.is_freeing = true;
	loop_run(loop);
	CU_ASSERT_STRING_EQUAL(trace, "ba");
	CU_ASSERT_PTR_NULL(a.timer);
	loop_timer_free(b.timer);
	loop_timer_free(c.timer);
	loop_timer_free(NULL);
	loop_free(loop);
}

/* A callback that computes for long must not make the next timer early. */
static void
slow_fired(void *arg)
{
	struct mark *next = arg;
	ms_t until = clock_mono_ms() + 30;

	while (clock_mono_ms() < until)
		;
	mark_set(next, 'n', 20);
}

static void
test_timers_never_early(void)
{
	struct mark next = { .is_last = true };
	struct loop_timer *slow;

	world_open();
	slow = loop_timer_new(loop, slow_fired, &next);
	for (int i = 0; i < 10; i++) {
		loop_timer_set(slow, i);
		loop_run(loop);
		CU_ASSERT(!next.is_early);
	}
	loop_timer_free(slow);
	loop_timer_free(next.timer);
	loop_free(loop);
}

enum { POSTERS = 4 };
static int post_count = 20000;
static int seen[POSTERS], disorder, total;
static pthread_t loop_thread;
static bool is_elsewhere;

struct note {
	int poster, number;
};

static void
note_taken(void *arg)
{
	struct note *note = arg;

	disorder += note->number != seen[note->poster]++;
	is_elsewhere |= !pthread_equal(pthread_self(), loop_thread);
	free(note);
	if (++total == POSTERS * post_count)
		loop_stop(loop);
}

static void *
poster_run(void *arg)
{
	for (int i = 0; i < post_count; i++) {
		struct note *note = mem_alloc(sizeof(*note));

		note->poster = *(int *)arg;
		note->number = i;
		loop_post(loop, note_taken, note);
	}
	return NULL;
}

static void
test_posts_in_order(void)
{
	pthread_t threads[POSTERS];
	int numbers[POSTERS];

	world_open();
	post_count = tap_is_quick() ? 5000 : 50000; /* more than the box holds together */
	loop_thread = pthread_self();
	for (int i = 0; i < POSTERS; i++) {
		numbers[i] = i;
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, poster_run, &numbers[i]), 0);
	}
	loop_run(loop);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(disorder, 0);
	CU_ASSERT_EQUAL(total, POSTERS * post_count);
	CU_ASSERT(!is_elsewhere);
	loop_free(loop);
}

static int chained;

static void
post_again(void *arg)
{
	if (++chained < *(int *)arg)
		loop_post(loop, post_again, arg);
}

/* From a callback beyond the limit: the loop must not wait for itself. */
static void
post_flood(void *arg)
{
	for (int i = 0; i < LOOP_POST_MAX + 10; i++)
		loop_post(loop, post_again, arg);
}

static void
test_posts_from_the_loop(void)
{
	int limit = 0;

	world_open();
	loop_post(loop, post_flood, &limit);
	loop_turn(loop, 1000);
	loop_turn(loop, 1000);
	CU_ASSERT_EQUAL(chained, LOOP_POST_MAX + 10);
	loop_free(loop);
}

/* What was handed over before the loop ends is run, and what that hands over. */
static void
test_posts_run_at_free(void)
{
	int limit = 5;

	world_open();
	chained = 0;
	loop_post(loop, post_again, &limit);
	loop_free(loop);
	CU_ASSERT_EQUAL(chained, 5);
}

/* Work that makes more work does not starve timers. */
static void
post_forever(void *arg)
{
	if (trace[0] == '\0')
		loop_post(loop, post_forever, arg);
}

static void
test_posts_do_not_starve(void)
{
	struct mark a = { .is_last = true };

	world_open();
	loop_post(loop, post_forever, NULL);
	mark_set(&a, 'a', 20);
	loop_run(loop);
	CU_ASSERT_STRING_EQUAL(trace, "a");
	loop_turn(loop, 0);
	loop_timer_free(a.timer);
	loop_free(loop);
}

struct pipe_end {
	int fd;
	struct loop_watch *watch;
	int calls, ready;
	bool is_freeing;
};

static void
pipe_ready(void *arg, int ready)
{
	struct pipe_end *p = arg;
	char byte;

	p->calls++;
	p->ready = ready;
	if (ready & LOOP_READ)
		CU_ASSERT(read(p->fd, &byte, 1) >= 0);
	if (p->is_freeing) {
		loop_watch_free(p->watch);
		p->watch = NULL;
	}
}

static void
test_watches(void)
{
	int fds[2];
	struct pipe_end in = { 0 }, out = { 0 };

	world_open();
	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	in.fd = fds[0];
	out.fd = fds[1];
	in.watch = loop_watch_new(loop, in.fd, pipe_ready, &in);
	out.watch = loop_watch_new(loop, out.fd, pipe_ready, &out);
	CU_ASSERT_EQUAL(write(out.fd, "abc", 3), 3);
	loop_turn(loop, 0);
	CU_ASSERT_EQUAL(in.calls, 0); /* nothing wanted yet */
	loop_watch_set(in.watch, LOOP_READ);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 0);
	CU_ASSERT_EQUAL(in.calls, 3); /* level-triggered, then quiet */
	loop_watch_set(out.watch, LOOP_WRITE);
	loop_turn(loop, 100);
	CU_ASSERT_EQUAL(out.ready, LOOP_WRITE);
	loop_watch_set(out.watch, 0);
	out.calls = 0;
	loop_turn(loop, 10);
	CU_ASSERT_EQUAL(out.calls, 0);
	in.is_freeing = true;
	CU_ASSERT_EQUAL(write(out.fd, "d", 1), 1);
	loop_turn(loop, 100);
	CU_ASSERT_PTR_NULL(in.watch);
	loop_watch_free(out.watch);
	loop_watch_free(NULL);
	close(fds[0]);
	close(fds[1]);
	loop_free(loop);
}

static int signals;

static void
signal_came(void *arg)
{
	(void)arg;
	signals++;
}

static void
test_signals(void)
{
	world_open();
	CU_ASSERT_EQUAL(loop_signal(loop, SIGUSR1, signal_came, NULL), 0);
	raise(SIGUSR1);
	CU_ASSERT_EQUAL(signals, 0);
	for (int i = 0; i < 10 && signals == 0; i++)
		loop_turn(loop, 100);
	CU_ASSERT_EQUAL(signals, 1);
	loop_free(loop);
}

static void
test_stop_before_run(void)
{
	world_open();
	loop_stop(loop);
	loop_run(loop);
	loop_free(loop);
	loop_free(NULL);
}

static void
test_turn_waits(void)
{
	ms_t start;

	world_open();
	start = clock_mono_ms();
	loop_turn(loop, 30);
	CU_ASSERT(clock_mono_ms() - start >= 30);
	start = clock_mono_ms();
	loop_turn(loop, 0);
	CU_ASSERT(clock_mono_ms() - start < 1000);
	loop_free(loop);
}

/* ---- lanes ---- */

enum { LANE_JOBS = 200 };

struct lane_world {
	struct lane *lane;
	pthread_t loop_thread;
	int worked, finished, cut;
	int order[LANE_JOBS];
	bool is_wrong;	      /* the loop's */
	bool is_wrong_thread; /* the lane's */
	pthread_mutex_t gate; /* held: the job waits */
};

struct lane_test_job {
	struct lane_world *world;
	int number;
	bool waits;
};

static void
lane_test_work(void *arg)
{
	struct lane_test_job *job = arg;
	struct lane_world *w = job->world;

	w->is_wrong_thread |= pthread_equal(pthread_self(), w->loop_thread) != 0;
	if (job->waits) {
		pthread_mutex_lock(&w->gate);
		pthread_mutex_unlock(&w->gate);
	}
	w->order[w->worked++] = job->number;
}

static void
lane_test_done(void *arg, bool was_run)
{
	struct lane_test_job *job = arg;
	struct lane_world *w = job->world;

	w->is_wrong |= pthread_equal(pthread_self(), w->loop_thread) == 0;
	if (!was_run)
		w->cut++;
	else
		w->is_wrong |= w->order[w->finished] != job->number ||
			       w->finished != job->number;
	w->finished++;
	free(job);
}

static void
lane_count_work(void *arg)
{
	struct lane_world *w = arg;

	__atomic_add_fetch(&w->worked, 1, __ATOMIC_RELEASE);
}

static void
lane_count_done(void *arg, bool was_run)
{
	struct lane_world *w = arg;

	w->cut += !was_run;
	w->finished++;
}

/* So many, and wait until all have run. */
static void
lane_count_put(struct lane_world *w, int n)
{
	for (int i = 0; i < n; i++)
		lane_put(w->lane, lane_count_work, lane_count_done, w);
	while (__atomic_load_n(&w->worked, __ATOMIC_ACQUIRE) < n)
		sched_yield();
}

static void
lane_world_open(struct lane_world *w)
{
	world_open();
	*w = (struct lane_world){ .lane = lane_open(loop),
				  .loop_thread = pthread_self() };
	pthread_mutex_init(&w->gate, NULL);
}

static void
lane_world_put(struct lane_world *w, int number, bool waits)
{
	struct lane_test_job *job = mem_alloc(sizeof(*job));

	*job = (struct lane_test_job){ w, number, waits };
	lane_put(w->lane, lane_test_work, lane_test_done, job);
}

static void
test_lane_order(void)
{
	struct lane_world w;

	lane_world_open(&w);
	for (int i = 0; i < LANE_JOBS; i++)
		lane_world_put(&w, i, false);
	while (w.finished < LANE_JOBS)
		loop_turn(loop, 1000);
	CU_ASSERT(w.cut == 0 && !w.is_wrong);
	lane_close(w.lane);
	CU_ASSERT(!w.is_wrong_thread);
	pthread_mutex_destroy(&w.gate);
	loop_free(loop);
}

/* Jobs that take differently long, on several threads. */
struct lane_wide_job {
	struct lane_world *world;
	int number;
	struct timespec length;
};

static void
lane_wide_work(void *arg)
{
	struct lane_wide_job *job = arg;

	nanosleep(&job->length, NULL);
	__atomic_add_fetch(&job->world->worked, 1, __ATOMIC_RELEASE);
}

static void
lane_wide_done(void *arg, bool was_run)
{
	struct lane_wide_job *job = arg;
	struct lane_world *w = job->world;

	w->is_wrong |= job->number != w->finished++;
	w->cut += !was_run;
	free(job);
}

static void
lane_wide_put(struct lane_world *w)
{
	for (int i = 0; i < LANE_JOBS; i++) {
		struct lane_wide_job *job = mem_alloc(sizeof(*job));

		*job = (struct lane_wide_job){ w, i, { 0, i % 7 * 100000 } };
		lane_put(w->lane, lane_wide_work, lane_wide_done, job);
	}
}

static void
test_lane_wide(void)
{
	struct lane_world w;

	lane_world_open(&w);
	lane_close(w.lane);
	w.lane = lane_open_wide(loop);
	lane_wide_put(&w);
	while (w.finished < LANE_JOBS)
		loop_turn(loop, 1000);
	CU_ASSERT(w.cut == 0 && !w.is_wrong);
	/* Closed in the middle: those that were begun have run, whatever is before them. */
	w.finished = w.worked = 0;
	lane_wide_put(&w);
	loop_turn(loop, 1);
	lane_close(w.lane);
	CU_ASSERT(w.finished == LANE_JOBS && w.worked + w.cut == LANE_JOBS);
	CU_ASSERT(!w.is_wrong);
	pthread_mutex_destroy(&w.gate);
	loop_free(loop);
}

/* Closed while one runs and others wait: that one is finished, the others are told. */
static void
test_lane_close(void)
{
	struct lane_world w;

	lane_world_open(&w);
	lane_close(w.lane); /* with nothing */
	w.lane = lane_open(loop);
	pthread_mutex_lock(&w.gate);
	for (int i = 0; i < LANE_JOBS; i++)
		lane_world_put(&w, i, i == 0);
	pthread_mutex_unlock(&w.gate);
	lane_close(w.lane);
	CU_ASSERT(w.finished == LANE_JOBS && w.cut + w.worked == LANE_JOBS);
	CU_ASSERT(!w.is_wrong);
	lane_close(NULL);
	pthread_mutex_destroy(&w.gate);
	loop_free(loop);
}

/* What else waits for the loop may belong to a part that is gone already. */
static void
test_lane_close_alone(void)
{
	struct mark other = { .letter = 'o' }, timer = { 0 };
	struct lane_world w;

	lane_world_open(&w);
	loop_post(loop, mark_fired, &other);
	mark_set(&timer, 't', 0);
	lane_count_put(&w, 1);
	lane_close(w.lane);
	CU_ASSERT(w.finished == 1 && w.cut == 0);
	CU_ASSERT_STRING_EQUAL(trace, "");
	loop_turn(loop, 0);
	CU_ASSERT(strlen(trace) == 2);
	loop_timer_free(timer.timer);
	pthread_mutex_destroy(&w.gate);
	loop_free(loop);
}

/* Nobody turns the loop while the thread runs: more jobs than the letter box holds. */
static void
test_lane_close_full(void)
{
	enum { JOBS = LOOP_POST_MAX + 1000 };
	struct lane_world w;

	lane_world_open(&w);
	lane_count_put(&w, JOBS);
	lane_close(w.lane);
	CU_ASSERT(w.finished == JOBS && w.cut == 0);
	pthread_mutex_destroy(&w.gate);
	loop_free(loop);
}

static const struct tap_test tests[] = {
	{ "timers fire in the order of their moments", test_timers_order },
	{ "a timer armed again fires once; it may be freed by its callback",
	  test_timers_rearmed },
	{ "a timer never fires before its moment", test_timers_never_early },
	{ "hand-offs from threads run on the loop, each thread's in order",
	  test_posts_in_order },
	{ "a callback may hand over more than the limit", test_posts_from_the_loop },
	{ "hand-offs that wait are run when the loop ends", test_posts_run_at_free },
	{ "endless hand-offs do not starve timers", test_posts_do_not_starve },
	{ "watches tell of readiness that was asked for", test_watches },
	{ "signals arrive on the loop", test_signals },
	{ "a loop stopped before it runs does not run", test_stop_before_run },
	{ "a turn waits as long as asked", test_turn_waits },
	{ "jobs of a lane run on its thread and are finished in order", test_lane_order },
	{ "on a wide lane they overlap, and are finished in order all the same",
	  test_lane_wide },
	{ "a lane that is closed finishes every job", test_lane_close },
	{ "and runs nothing else of the loop", test_lane_close_alone },
	{ "a lane runs on while nobody turns the loop", test_lane_close_full },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
