/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS connection as a plain one: a thread of its own takes one connection on a loopback
 * port, and only from this very process, and passes bytes on between it and the TLS
 * connection. It holds 64 KiB each way, and reads no more than it can pass on. */
#ifndef OCF_BUS_TUNNEL_H
#define OCF_BUS_TUNNEL_H

#include <openssl/ssl.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
	TUNNEL_BUFFER_BYTES = 64 * 1024,
	TUNNEL_ACCEPT_MS =
		2000,	       /* then nobody comes; at once when the TLS side is reset */
	TUNNEL_FLUSH_MS = 500, /* for what is left when the plain side has ended */
};

struct bus_tunnel;

/* Takes `tls`, whose handshake is done, and its socket over, also when it fails. `greeting`
 * goes to whoever connects. */
int bus_tunnel_open(SSL *tls, int fd, struct bytes greeting,
		    struct bus_tunnel **ret_tunnel, struct errmsg *err);
int bus_tunnel_port(const struct bus_tunnel *tunnel); /* of 127.0.0.1 */
/* Why the TLS side ended; "" while it has not, or if it just closed. From any thread. */
void bus_tunnel_why(struct bus_tunnel *tunnel, struct errmsg *ret);
/* With `is_patient` what was written is sent first, for at most TUNNEL_FLUSH_MS; the plain
 * side must have been closed. NULL is allowed. */
void bus_tunnel_close(struct bus_tunnel *tunnel, bool is_patient);

#endif
