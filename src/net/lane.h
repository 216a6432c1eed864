/* SPDX-License-Identifier: Apache-2.0 */
/* A lane beside the loop: a thread for work that takes long or may wait for a disk. Jobs
 * run on it one after the other, in the order in which they were put, and each is then
 * finished on the loop, in the same order.
 *
 * Every call belongs to the loop's thread; only `work` runs on the lane's. */
#ifndef OCF_NET_LANE_H
#define OCF_NET_LANE_H

#include <stdbool.h>

#include "net/loop.h"

struct lane;

struct lane *lane_open(struct loop *loop);
/* Wait for the job under way and begin no other. Those that were not finished are finished
 * before this returns, those not begun with `was_run` false; nothing else of the loop is
 * run. NULL is allowed. */
void lane_close(struct lane *lane);
/* Call work(arg) on the lane, then done(arg, true) on the loop. Not from a `done` that
 * lane_close() called. */
void lane_put(struct lane *lane, void (*work)(void *arg),
	      void (*done)(void *arg, bool was_run), void *arg);

#endif
