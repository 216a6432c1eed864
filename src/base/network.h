/* SPDX-License-Identifier: Apache-2.0 */
/* What an address says of the network that it is good for. Pure. */
#ifndef OCF_BASE_NETWORK_H
#define OCF_BASE_NETWORK_H

#include <stdbool.h>

/* Can only machines of the same network reach "host:port"? Private, link-local, shared
 * and loopback addresses (RFC 1918, 6598, 3927, 4193) and names that end in .local or
 * .lan. */
bool network_is_private(const char *address);

#endif
