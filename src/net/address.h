/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as sockets have them and as people write them. Private to net/; what others
 * need stands in net/stream.h. */
#ifndef OCF_NET_ADDRESS_H
#define OCF_NET_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "net/stream.h"

enum {
	ADDRESS_HOST_SIZE = 256,	   /* DNS names have at most 253 characters */
	ADDRESS_UNIX_PATH_BYTES_MAX = 107, /* sun_path less its NUL, unix(7) */
};

/* "unix:/path": the path, else NULL. */
const char *address_unix_path(const char *address);
/* Fill `ret_sun`; -EINVAL with a sentence for an empty or overlong path. */
int address_unix_fill(const char *path, struct sockaddr_un *ret_sun, struct errmsg *err);
/* "1.2.3.4:5", "[::1]:5"; IPv4 inside IPv6 is shown as IPv4. Returns `out`. */
char *address_format(const struct sockaddr *sa, socklen_t len,
		     char out[STREAM_ADDRESS_SIZE]);
/* The addresses of a numeric host, without asking anybody; NULL when it is a name.
 * freeaddrinfo(3) them. */
struct addrinfo *address_numeric(const char *host, int port);

#endif
