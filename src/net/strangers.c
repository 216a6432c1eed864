/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/strangers.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "net/address.h"

enum { STRANGERS_NETWORK_BYTES = 8 }; /* of an IPv6 address */

/* 1 byte: 4, 6 or 0 (a unix socket, say), then the bits that count, zeros behind. */
struct strangers_key {
	uint8_t b[1 + sizeof(struct in6_addr)];
};

struct strangers_address {
	struct strangers_key key;
	unsigned len;
	UT_hash_handle hh;
};

static struct strangers_key
strangers_key(const char *peer)
{
	struct strangers_key key = { { 0 } };
	char host[ADDRESS_HOST_SIZE];
	struct in6_addr six;
	int port;

	if (address_split(peer, host, sizeof(host), &port) != 0)
		return key;
	host[strcspn(host, "%")] = '\0'; /* the interface */
	if (inet_pton(AF_INET, host, key.b + 1) == 1) {
		key.b[0] = 4;
	} else if (inet_pton(AF_INET6, host, &six) == 1) {
		key.b[0] = 6;
		memcpy(key.b + 1, &six,
		       IN6_IS_ADDR_LINKLOCAL(&six) ? sizeof(six)
						   : STRANGERS_NETWORK_BYTES);
	}
	return key;
}

void
strangers_fini(struct strangers *strangers)
{
	struct strangers_address *a, *next;

	HASH_ITER (hh, strangers->addresses, a, next) {
		HASH_DEL(strangers->addresses, a);
		free(a);
	}
	strangers->len = 0;
}

int
strangers_enter(struct strangers *strangers, const char *peer, struct errmsg *err)
{
	struct strangers_key key = strangers_key(peer);
	struct strangers_address *a;

	HASH_FIND(hh, strangers->addresses, &key, sizeof(key), a);
	if (a != NULL && a->len >= strangers->of_address_max)
		return error_set(err, -EBUSY,
				 "%u connections from its address have not shown yet who "
				 "they are",
				 a->len);
	if (strangers->len >= strangers->max)
		return error_set(err, -EBUSY,
				 "%u connections have not shown yet who they are",
				 strangers->len);
	if (a == NULL) {
		a = mem_calloc(1, sizeof(*a));
		a->key = key;
		HASH_ADD(hh, strangers->addresses, key, sizeof(a->key), a);
	}
	a->len++;
	strangers->len++;
	return 0;
}

void
strangers_leave(struct strangers *strangers, const char *peer)
{
	struct strangers_key key = strangers_key(peer);
	struct strangers_address *a;

	HASH_FIND(hh, strangers->addresses, &key, sizeof(key), a);
	assert(a != NULL && a->len > 0 && strangers->len > 0);
	strangers->len--;
	if (--a->len > 0)
		return;
	HASH_DEL(strangers->addresses, a);
	free(a);
}
