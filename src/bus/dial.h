/* SPDX-License-Identifier: Apache-2.0 */
/* The first words with a server: is it NATS, can it carry queries, does it want TLS? What
 * nats.c says of a server that is something else is «Timeout»; here it is said what it was.
 *
 * TLS is done here, for nats.c 3.4.1 waits for the rest of a TLS record, or for room to write
 * one, in a poll(2) without a limit, also on an event loop: a server that hangs would stop
 * the whole node. So with TLS nats.c is given a plain connection to a tunnel in this
 * process (tunnel.h). Blocking, for a thread that may block. */
#ifndef OCF_BUS_DIAL_H
#define OCF_BUS_DIAL_H

#include "base/error.h"
#include "bus/access.h"
#include "bus/tunnel.h"

enum {
	DIAL_MS = 2000, /* to connect; for the first word; for TLS: each */
	DIAL_INFO_BYTES_MAX = 64 * 1024,
};

/* `cancel_fd` becomes readable when nobody wants the outcome any more (-ECANCELED). With a
 * server that is spoken to in plain text *ret_tunnel is NULL: connect to it. */
int bus_dial(const struct bus_access *access, const struct access_place *place,
	     int cancel_fd, struct bus_tunnel **ret_tunnel, struct errmsg *err);

#endif
