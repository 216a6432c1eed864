/* SPDX-License-Identifier: Apache-2.0 */
/* The loop is one libevent base. Time is CLOCK_MONOTONIC with libevent's precise timers:
 * its default reads the coarse clock, so that a timer may fire 4 ms before the moment
 * that loop_now() was asked for, and a protocol core woken too early only asks again.
 *
 * Other threads reach the loop through a letter box: an array under a mutex, and an
 * eventfd that is written when the array stops being empty. The loop takes the whole
 * array at once and runs it without the lock. The box outlives the loop while somebody
 * holds it. */
#include "config.h"

#include "net/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/thread.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/event.h"
#include "utlist.h"

enum {
	/* One read of a stream, or several of TLS's 16 KiB records. */
	LOOP_SCRATCH_BYTES = 64 * 1024,
	/* Callbacks run before the kernel is asked again, so that work which makes more
	 * work cannot keep sockets and timers waiting. */
	LOOP_CALLBACKS_PER_POLL = 256,
};

struct post {
	void (*fn)(void *arg);
	void *arg;
};

struct post_list {
	struct post *items;
	size_t len;
	size_t cap;
};

struct loop_signal {
	int signo;
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
	struct loop_signal *next;
};

struct loop {
	struct event_base *base;
	struct event *turn_limit; /* ends a loop_turn() */
	struct event *box_event;
	struct loop_signal *signals;
	struct loop_orphan *orphans;
	struct post_list running; /* the array that the loop took; kept for its memory */
	bool is_stopped;
	uint8_t *scratch;

	/* The letter box; under `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct post_list box;
	int box_fd;
	int holders;
	bool is_gone;
};

struct loop_timer {
	struct loop *loop;
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_watch {
	struct loop *loop;
	struct event *event;
	int fd;
	int interest;
	void (*fn)(void *arg, int ready);
	void *arg;
};

/* The loop that this thread is running: its own posts must not wait for room. */
static _Thread_local struct loop *loop_running;

static void *
loop_library_realloc(void *old, size_t len)
{
	return mem_realloc(old, len == 0 ? 1 : len, 1);
}

static void
loop_library_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_debug("net", "libevent: %s", text);
}

static void
loop_library_init(void)
{
	event_set_mem_functions(mem_alloc, loop_library_realloc, free);
	event_set_log_callback(loop_library_log);
	evthread_use_pthreads();
	/* A peer that went away is an error of write(2), not the end of the process. */
	signal(SIGPIPE, SIG_IGN);
}

/* Run everything that is in the box now; what those add comes with the next turn. */
static void
loop_box_run(struct loop *loop)
{
	struct post_list taken;

	pthread_mutex_lock(&loop->lock);
	taken = loop->box;
	loop->box = loop->running;
	loop->box.len = 0;
	loop->running = (struct post_list){ NULL, 0, 0 };
	pthread_cond_broadcast(&loop->room);
	pthread_mutex_unlock(&loop->lock);
	for (size_t i = 0; i < taken.len; i++)
		taken.items[i].fn(taken.items[i].arg);
	free(loop->running.items);
	loop->running = taken;
}

static void
loop_box_ready(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		loop_box_run(arg);
}

static void
loop_turn_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

struct loop *
loop_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct loop *loop = mem_calloc(1, sizeof(*loop));
	struct event_config *config;

	pthread_once(&once, loop_library_init);
	config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	/* Only this loop's thread touches the base: others go through the letter box. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_max_dispatch_interval(config, NULL, LOOP_CALLBACKS_PER_POLL, 0);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	loop->box_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->base == NULL || loop->box_fd < 0) {
		log_error("net", "no event loop: the kernel has no more descriptors for "
				 "this process (ulimit -n)");
		abort();
	}
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->room, NULL);
	loop->holders = 1;
	loop->scratch = mem_alloc(LOOP_SCRATCH_BYTES);
	loop->turn_limit = event_new(loop->base, -1, 0, loop_turn_over, loop);
	loop->box_event = event_new(loop->base, loop->box_fd, EV_READ | EV_PERSIST,
				    loop_box_ready, loop);
	event_add(loop->box_event, NULL);
	return loop;
}

void
loop_hold(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->holders++;
	pthread_mutex_unlock(&loop->lock);
}

void
loop_drop(struct loop *loop)
{
	bool is_last;

	pthread_mutex_lock(&loop->lock);
	is_last = --loop->holders == 0;
	pthread_mutex_unlock(&loop->lock);
	if (!is_last)
		return;
	close(loop->box_fd);
	free(loop->box.items);
	free(loop->running.items);
	free(loop->scratch);
	pthread_cond_destroy(&loop->room);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void
loop_free(struct loop *loop)
{
	struct loop_signal *signal_item, *next;
	bool is_empty = false;

	if (loop == NULL)
		return;
	while (!is_empty) {
		loop_box_run(loop);
		pthread_mutex_lock(&loop->lock);
		is_empty = loop->box.len == 0;
		loop->is_gone = is_empty;
		pthread_mutex_unlock(&loop->lock);
	}
	while (loop->orphans != NULL) {
		struct loop_orphan *orphan = loop->orphans;

		DL_DELETE(loop->orphans, orphan);
		orphan->end(orphan);
	}
	LL_FOREACH_SAFE(loop->signals, signal_item, next)
	{
		event_free(signal_item->event);
		/* One that comes while its program tidies up must not end it half-way. */
		signal(signal_item->signo, SIG_IGN);
		free(signal_item);
	}
	event_free(loop->turn_limit);
	event_free(loop->box_event);
	event_base_free(loop->base);
	loop->base = NULL;
	loop_drop(loop);
}

static void
loop_run_base(struct loop *loop, int flags)
{
	struct loop *outer = loop_running;

	assert(outer != loop); /* not from inside a callback */
	loop_running = loop;
	event_base_loop(loop->base, flags | EVLOOP_NO_EXIT_ON_EMPTY);
	loop_running = outer;
}

void
loop_run(struct loop *loop)
{
	while (!loop->is_stopped)
		loop_run_base(loop, 0);
	loop->is_stopped = false;
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
	event_base_loopbreak(loop->base);
}

static struct timeval
loop_span(ms_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){ .tv_sec = ms / MS_SECOND,
				 .tv_usec = (ms % MS_SECOND) * 1000 };
}

void
loop_turn(struct loop *loop, ms_t wait_ms)
{
	struct timeval span = loop_span(wait_ms);

	if (wait_ms <= 0) {
		loop_run_base(loop, EVLOOP_NONBLOCK);
		return;
	}
	event_add(loop->turn_limit, &span);
	loop_run_base(loop, EVLOOP_ONCE);
	event_del(loop->turn_limit);
}

ms_t
loop_now(const struct loop *loop)
{
	(void)loop;
	return clock_mono_ms();
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

uint8_t *
loop_scratch(struct loop *loop, size_t *ret_size)
{
	*ret_size = LOOP_SCRATCH_BYTES;
	return loop->scratch;
}

void
loop_orphan_add(struct loop *loop, struct loop_orphan *orphan)
{
	DL_APPEND(loop->orphans, orphan);
}

void
loop_orphan_remove(struct loop *loop, struct loop_orphan *orphan)
{
	DL_DELETE(loop->orphans, orphan);
}

static void
loop_timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;

	(void)fd, (void)what;
	timer->fn(timer->arg); /* may have freed the timer */
}

struct loop_timer *
loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *timer = mem_calloc(1, sizeof(*timer));

	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	timer->event = event_new(loop->base, -1, 0, loop_timer_fired, timer);
	return timer;
}

void
loop_timer_free(struct loop_timer *timer)
{
	if (timer == NULL)
		return;
	event_free(timer->event);
	free(timer);
}

void
loop_timer_set(struct loop_timer *timer, ms_t delay_ms)
{
	struct timeval span = loop_span(delay_ms);

	/* libevent counts from the start of the turn; the caller counted from
	 * loop_now(). */
	event_base_update_cache_time(timer->loop->base);
	event_add(timer->event, &span);
}

void
loop_timer_clear(struct loop_timer *timer)
{
	event_del(timer->event);
}

static void
loop_watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *watch = arg;
	int ready = ((what & EV_READ) ? LOOP_READ : 0) |
		    ((what & EV_WRITE) ? LOOP_WRITE : 0);

	(void)fd;
	ready &= watch->interest;
	if (ready != 0)
		watch->fn(watch->arg, ready); /* may have freed the watch */
}

struct loop_watch *
loop_watch_new(struct loop *loop, int fd, void (*fn)(void *arg, int ready), void *arg)
{
	struct loop_watch *watch = mem_calloc(1, sizeof(*watch));

	watch->loop = loop;
	watch->fd = fd;
	watch->fn = fn;
	watch->arg = arg;
	watch->event = event_new(loop->base, fd, EV_READ | EV_PERSIST, loop_watch_ready,
				 watch);
	return watch;
}

void
loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return;
	event_free(watch->event);
	free(watch);
}

void
loop_watch_set(struct loop_watch *watch, int interest)
{
	short what = EV_PERSIST;
	int rc;

	if (watch->interest == interest)
		return;
	event_del(watch->event);
	watch->interest = interest;
	if (interest == 0)
		return;
	if (interest & LOOP_READ)
		what |= EV_READ;
	if (interest & LOOP_WRITE)
		what |= EV_WRITE;
	event_assign(watch->event, watch->loop->base, watch->fd, what, loop_watch_ready,
		     watch);
	rc = event_add(watch->event, NULL);
	assert(rc == 0); /* an open descriptor of a kind that can be waited for */
	(void)rc;
}

static void
loop_signal_came(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *item = arg;

	(void)fd, (void)what;
	item->fn(item->arg);
}

int
loop_signal(struct loop *loop, int signo, void (*fn)(void *arg), void *arg)
{
	struct loop_signal *item = mem_calloc(1, sizeof(*item));

	item->signo = signo;
	item->fn = fn;
	item->arg = arg;
	item->event = event_new(loop->base, signo, EV_SIGNAL | EV_PERSIST,
				loop_signal_came, item);
	if (item->event == NULL || event_add(item->event, NULL) != 0) {
		if (item->event != NULL)
			event_free(item->event);
		free(item);
		return -EINVAL;
	}
	LL_PREPEND(loop->signals, item);
	return 0;
}

static bool
loop_box_put(struct loop *loop, struct post post, bool is_waiting)
{
	uint64_t one = 1;
	ssize_t n = sizeof(one);

	pthread_mutex_lock(&loop->lock);
	while (is_waiting && !loop->is_gone && loop->box.len >= LOOP_POST_MAX)
		pthread_cond_wait(&loop->room, &loop->lock);
	if (loop->is_gone) {
		pthread_mutex_unlock(&loop->lock);
		return false;
	}
	if (loop->box.len == loop->box.cap) {
		loop->box.cap = loop->box.cap == 0 ? 64 : loop->box.cap * 2;
		loop->box.items = mem_realloc(loop->box.items, loop->box.cap,
					      sizeof(loop->box.items[0]));
	}
	loop->box.items[loop->box.len++] = post;
	if (loop->box.len == 1)
		n = write(loop->box_fd, &one, sizeof(one));
	pthread_mutex_unlock(&loop->lock);
	assert(n == sizeof(one)); /* an eventfd takes 2^64 - 2 of these */
	return true;
}

void
loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct post post = { .fn = fn, .arg = arg };
	bool is_put = loop_box_put(loop, post, loop_running != loop);

	assert(is_put); /* posting to a freed loop */
	(void)is_put;
}

bool
loop_try_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	return loop_box_put(loop, (struct post){ .fn = fn, .arg = arg }, true);
}
