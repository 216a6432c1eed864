/* SPDX-License-Identifier: Apache-2.0 */
/* Connections whose other end has not shown yet who it is, counted by the address they come
 * from: so many in all, and of these so many from one address, so that one that holds all
 * it can get leaves room for the others.
 *
 * What counts of an address, address_place() says. No system call, no clock. */
#ifndef OCF_NET_STRANGERS_H
#define OCF_NET_STRANGERS_H

#include "base/error.h"

struct strangers_address;

/* Set the two limits, zero the rest. */
struct strangers {
	unsigned max;
	unsigned of_address_max;
	unsigned len;
	struct strangers_address *addresses;
};

void strangers_fini(struct strangers *strangers);
/* One more from `peer` (stream_peer()): 0, or -EBUSY and why it is not let in. */
int strangers_enter(struct strangers *strangers, const char *peer, struct errmsg *err);
/* One that entered is known now, or has gone. */
void strangers_leave(struct strangers *strangers, const char *peer);

#endif
