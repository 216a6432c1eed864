/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

static bool
network_is_private4(uint32_t a)
{
	return a >> 24 == 10 || a >> 24 == 127 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
	       a >> 16 == 0xa9fe || a >> 22 == 0x191; /* 100.64/10 */
}

static bool
network_is_private6(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		return network_is_private4(get_be32(a->s6_addr + 12));
	return IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_LINKLOCAL(a) ||
	       (a->s6_addr[0] & 0xfe) == 0xfc;
}

/* `name` is `suffix` without its dot, or ends in it. */
static bool
network_ends_in(const char *name, const char *suffix)
{
	size_t name_len = strlen(name), len = strlen(suffix);

	return strcasecmp(name, suffix + 1) == 0 ||
	       (name_len > len && strcasecmp(name + name_len - len, suffix) == 0);
}

bool
network_is_private(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : strlen(address);
	char host[256];
	struct in6_addr six;
	struct in_addr four;

	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	host[strcspn(host, "%")] = '\0'; /* a zone */
	if (inet_pton(AF_INET, host, &four) == 1)
		return network_is_private4(ntohl(four.s_addr));
	if (inet_pton(AF_INET6, host, &six) == 1)
		return network_is_private6(&six);
	return network_ends_in(host, ".localhost") || network_ends_in(host, ".local") ||
	       network_ends_in(host, ".lan");
}
