/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses without blocking the loop. Private to net/.
 *
 * getaddrinfo(3) on a few threads, not evdns: a home network's names come from mDNS or a
 * hosts file by nsswitch, and a laptop's resolv.conf changes while we run; glibc follows
 * both. */
#ifndef OCF_NET_RESOLVE_H
#define OCF_NET_RESOLVE_H

#include <netdb.h>

#include "net/loop.h"

enum {
	/* Look-ups at a time; a name server that does not answer holds one for some 10
	 * s. */
	RESOLVE_THREADS_MAX = 8,
};

struct resolve;

/* `fn` gets the addresses (its to free by freeaddrinfo(3)), or NULL and a sentence. */
struct resolve *
resolve_start(struct loop *loop, const char *host, int port,
	      void (*fn)(void *arg, struct addrinfo *list, const char *why), void *arg);
/* Before `fn` was called: it will not be. NULL is allowed. */
void resolve_cancel(struct resolve *r);

#endif
