/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/io.h"

#include <sys/socket.h>
#include <sys/types.h>

enum io_status
io_socket_failed(int code, struct io *io)
{
	io->code = code;
	switch (-code) {
	case ECONNRESET:
	case EPIPE:
		io->code = -ECONNRESET;
		error_set(&io->err, 0, "the other side broke the connection off");
		break;
	case ETIMEDOUT:
		error_set(&io->err, 0, "the other side is not reachable any more");
		break;
	default:
		error_set(&io->err, 0, "the connection failed: %s", error_text(code));
	}
	return IO_FAILED;
}

enum io_status
io_socket_read(int fd, void *data, size_t size, struct io *io)
{
	ssize_t n;

	do
		n = recv(fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		io->len = (size_t)n;
		return IO_DONE;
	}
	if (n == 0)
		return IO_END;
	if (errno == EAGAIN)
		return IO_WANT_READ;
	return io_socket_failed(-errno, io);
}
