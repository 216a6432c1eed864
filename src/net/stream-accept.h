/* SPDX-License-Identifier: Apache-2.0 */
/* Where listener.c hands an accepted socket to stream.c. Private to net/. */
#ifndef OCF_NET_STREAM_ACCEPT_H
#define OCF_NET_STREAM_ACCEPT_H

#include "net/stream.h"

/* Takes over `fd`, which must not block. */
struct stream *stream_accept(struct loop *loop, int fd, struct tls *tls, const char *peer,
			     bool is_unix);

#endif
