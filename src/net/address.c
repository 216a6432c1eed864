/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char address_unix_prefix[] = "unix:";

const char *
address_unix_path(const char *address)
{
	size_t len = sizeof(address_unix_prefix) - 1;

	return strncmp(address, address_unix_prefix, len) == 0 ? address + len : NULL;
}

int
address_unix_fill(const char *path, struct sockaddr_un *ret_sun, struct errmsg *err)
{
	size_t len = strlen(path);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (len == 0)
		return error_set(err, -EINVAL, "a path is missing after 'unix:'");
	if (len > ADDRESS_UNIX_PATH_BYTES_MAX)
		return error_set(
			err, -EINVAL,
			"the socket path %s has %zu bytes, the kernel allows %d; "
			"choose a shorter folder",
			path, len, ADDRESS_UNIX_PATH_BYTES_MAX);
	memcpy(sun.sun_path, path, len);
	*ret_sun = sun;
	return 0;
}

static int
address_split_port(const char *text, int *ret_port)
{
	size_t len = strlen(text);
	int port = 0;

	if (len == 0 || len > 5)
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		port = port * 10 + (*text - '0');
	}
	if (port > 65535)
		return -EINVAL;
	*ret_port = port;
	return 0;
}

int
address_split(const char *address, char *host, size_t host_size, int *ret_port)
{
	bool is_bracketed = address[0] == '[';
	const char *start = address + is_bracketed;
	const char *end = is_bracketed ? strchr(start, ']') : strchr(start, ':');
	size_t len;

	if (end == NULL || end == start)
		return -EINVAL;
	len = (size_t)(end - start);
	if (len >= host_size || (is_bracketed && *++end != ':'))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)start[i];

		if (!isalnum(c) && strchr(is_bracketed ? ":.%-_" : ".-_", c) == NULL)
			return -EINVAL;
	}
	if (address_split_port(end + 1, ret_port) != 0)
		return -EINVAL;
	memcpy(host, start, len);
	host[len] = '\0';
	return 0;
}

char *
address_place(const char *peer, char out[ADDRESS_PLACE_SIZE])
{
	char host[ADDRESS_HOST_SIZE], text[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;
	int port;

	out[0] = '\0';
	if (address_split(peer, host, sizeof(host), &port) != 0)
		return out;
	host[strcspn(host, "%")] = '\0'; /* the interface */
	if (inet_pton(AF_INET, host, &four) == 1) {
		inet_ntop(AF_INET, &four, out, ADDRESS_PLACE_SIZE);
	} else if (inet_pton(AF_INET6, host, &six) == 1) {
		bool is_whole = IN6_IS_ADDR_LINKLOCAL(&six) || IN6_IS_ADDR_LOOPBACK(&six);

		if (!is_whole)
			memset(six.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &six, text, sizeof(text));
		snprintf(out, ADDRESS_PLACE_SIZE, "%s%s", text, is_whole ? "" : "/64");
	}
	return out;
}

struct addrinfo *
address_numeric(const char *host, int port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *list;
	char service[8];

	snprintf(service, sizeof(service), "%d", port);
	return getaddrinfo(host, service, &hints, &list) == 0 ? list : NULL;
}

bool
address_is_loopback(const char *address)
{
	char host[ADDRESS_HOST_SIZE];
	struct addrinfo *list;
	bool is_loopback = false;
	int port;

	if (address_unix_path(address) != NULL)
		return true;
	if (address_split(address, host, sizeof(host), &port) != 0)
		return false;
	if (strcasecmp(host, "localhost") == 0)
		return true;
	list = address_numeric(host, port);
	if (list == NULL)
		return false;
	if (list->ai_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)list->ai_addr;

		is_loopback = ntohl(sin->sin_addr.s_addr) >> 24 == 127;
	} else if (list->ai_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)list->ai_addr;
		const struct in6_addr *a = &sin6->sin6_addr;

		is_loopback = IN6_IS_ADDR_LOOPBACK(a) ||
			      (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	freeaddrinfo(list);
	return is_loopback;
}

char *
address_format(const struct sockaddr *sa, socklen_t len, char out[STREAM_ADDRESS_SIZE])
{
	char host[INET6_ADDRSTRLEN + 20], port[8]; /* with "%interface" */

	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)sa;

		if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
			inet_ntop(AF_INET, &sin6->sin6_addr.s6_addr[12], host,
				  sizeof(host));
			snprintf(out, STREAM_ADDRESS_SIZE, "%s:%d", host,
				 ntohs(sin6->sin6_port));
			return out;
		}
	}
	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, STREAM_ADDRESS_SIZE, "unknown");
	else
		snprintf(out, STREAM_ADDRESS_SIZE,
			 sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return out;
}
