/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: one thread, timers, descriptors, signals, and the hand-off through
 * which other threads (the store's writer, nats.c's reconnect thread) reach it. The rest
 * of the project sees libevent only through this header and net/stream.h.
 *
 * Every call but loop_post() belongs to the loop's thread. No callback is ever made from
 * inside a call that asks for it: it comes from loop_run(). */
#ifndef OCF_NET_LOOP_H
#define OCF_NET_LOOP_H

#include <stdbool.h>

#include "base/clock.h"

struct loop;
struct loop_timer;
struct loop_watch;

enum { LOOP_POST_MAX = 65536 }; /* hand-offs waiting; beyond it the poster waits */

struct loop *loop_new(void);
/* All timers, watches and streams must be gone; hand-offs still waiting are run, streams
 * that stream_finish() left behind are closed. NULL is allowed. */
void loop_free(struct loop *loop);
/* Until loop_stop(); not at all when that came first. Not from inside a callback. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn: wait for at most `wait_ms`, run what is due. For tests and small programs. */
void loop_turn(struct loop *loop, ms_t wait_ms);
/* The monotonic clock. A timer set for a moment of it never fires before that moment. */
ms_t loop_now(const struct loop *loop);

/* A one-shot timer, not armed. Free from its own callback is allowed. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_timer_free(struct loop_timer *timer);		      /* NULL is allowed */
void loop_timer_set(struct loop_timer *timer, ms_t delay_ms); /* re-arming replaces */
void loop_timer_clear(struct loop_timer *timer);

/* Call `fn` whenever `fd` is ready; level-triggered. The descriptor stays the
 * caller's. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_watch *loop_watch_new(struct loop *loop, int fd,
				  void (*fn)(void *arg, int ready), void *arg);
void loop_watch_free(struct loop_watch *watch); /* NULL is allowed */
void loop_watch_set(struct loop_watch *watch, int interest);

/* Call `fn` on the loop for each delivery of `signo`; for the life of the loop. Afterwards
 * the signal is ignored. */
int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg), void *arg);

/* From any thread: run fn(arg) on the loop, in order of posting. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

#endif
