/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt to move bytes over a socket, plain or TLS, and what came of it. Private to
 * net/. */
#ifndef OCF_NET_IO_H
#define OCF_NET_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum io_status {
	IO_DONE,       /* `len` bytes were moved, at least one */
	IO_WANT_READ,  /* nothing moved; try again when the socket can be read */
	IO_WANT_WRITE, /* likewise, written: TLS may want this for a read, too */
	IO_END,	       /* the other side said that nothing more comes */
	IO_FAILED,     /* `code` and `err` say why */
};

struct io {
	size_t len;
	int code;
	struct errmsg err;
};

enum io_status io_socket_read(int fd, void *data, size_t size, struct io *io);
/* An IO_FAILED for a negated errno of a socket call, with its sentence. */
enum io_status io_socket_failed(int code, struct io *io);

#endif
