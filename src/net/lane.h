/* SPDX-License-Identifier: Apache-2.0 */
/* A lane beside the loop: threads for work that takes long or may wait for a disk. Jobs are
 * begun in the order in which they were put, and finished on the loop in that same order. With
 * one thread each has run before the next begins; with several they overlap.
 *
 * Every call belongs to the loop's thread; only `work` runs on the lane's. */
#ifndef OCF_NET_LANE_H
#define OCF_NET_LANE_H

#include <stdbool.h>

#include "net/loop.h"

struct lane;

enum { LANE_THREADS_MAX = 16 };

struct lane *lane_open(struct loop *loop);
/* With a thread for each core that this process may use, LANE_THREADS_MAX at most. */
struct lane *lane_open_wide(struct loop *loop);
/* Wait for the jobs under way and begin no other. Those that were not finished are finished
 * before this returns, those not begun with `was_run` false; nothing else of the loop is
 * run. NULL is allowed. */
void lane_close(struct lane *lane);
/* Call work(arg) on the lane, then done(arg, true) on the loop. Not from a `done` that
 * lane_close() called. */
void lane_put(struct lane *lane, void (*work)(void *arg),
	      void (*done)(void *arg, bool was_run), void *arg);

#endif
