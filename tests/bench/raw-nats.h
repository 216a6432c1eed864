/* SPDX-License-Identifier: Apache-2.0 */
/* nats.c as it is fastest on one thread, with nothing of src/bus: an adapter that only
 * watches the socket, synchronous subscriptions that are emptied after each read, writes
 * that go out once in a turn of the loop. It is the baseline of bench-dispatch, and what
 * bench-worker speaks through. It does not connect again. */
#ifndef OCF_TESTS_RAW_NATS_H
#define OCF_TESTS_RAW_NATS_H

#include <nats/nats.h>

#include "net/loop.h"

struct raw_nats {
	struct loop *loop;
	natsConnection *nc;
	struct loop_watch *watch;
	int fd;
	void (*readable)(void *arg); /* something arrived: empty the subscriptions */
	void *arg;
};

/* Ends the program when there is no server at `url`. */
void raw_nats_open(struct raw_nats *raw, struct loop *loop, const char *url,
		   const char *name, void (*readable)(void *arg), void *arg);
void raw_nats_close(struct raw_nats *raw);
natsSubscription *raw_nats_subscribe(struct raw_nats *raw, const char *subject,
				     const char *queue);
/* NULL: nothing is there. */
natsMsg *raw_nats_next(natsSubscription *sub);
/* End the program unless nats.c says that all is well. */
void raw_nats_must(natsStatus status, const char *what);

#endif
