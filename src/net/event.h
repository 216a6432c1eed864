/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of net/ share about the loop, and nobody else sees: libevent's base, and
 * what must end with the loop. Loop's thread only, unless a call says otherwise. */
#ifndef OCF_NET_EVENT_H
#define OCF_NET_EVENT_H

#include <event2/event.h>

#include "net/loop.h"

struct event_base *loop_base(struct loop *loop);
/* Memory for one read at a time; its content is anybody's after the next callback. */
uint8_t *loop_scratch(struct loop *loop, size_t *ret_size);

/* Something that the loop must end when it is freed first: a stream that is writing out
 * its last bytes and has no owner any more. */
struct loop_orphan {
	void (*end)(struct loop_orphan *orphan);
	struct loop_orphan *prev, *next;
};
void loop_orphan_add(struct loop *loop, struct loop_orphan *orphan);
void loop_orphan_remove(struct loop *loop, struct loop_orphan *orphan);

/* For a thread that may outlive the loop (a name look-up): keep the loop's letter box,
 * and post to it only if there still is a loop. Any thread. */
void loop_hold(struct loop *loop);
void loop_drop(struct loop *loop);
bool loop_try_post(struct loop *loop, void (*fn)(void *arg), void *arg);

#endif
