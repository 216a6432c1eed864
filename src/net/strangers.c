/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/strangers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "net/address.h"

struct strangers_address {
	char place[ADDRESS_PLACE_SIZE];
	unsigned len;
	UT_hash_handle hh;
};

static struct strangers_address *
strangers_find(const struct strangers *strangers, const char *place)
{
	struct strangers_address *a;

	HASH_FIND_STR(strangers->addresses, place, a);
	return a;
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
	char place[ADDRESS_PLACE_SIZE];
	struct strangers_address *a;

	a = strangers_find(strangers, address_place(peer, place));
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
		memcpy(a->place, place, sizeof(place));
		HASH_ADD_STR(strangers->addresses, place, a);
	}
	a->len++;
	strangers->len++;
	return 0;
}

void
strangers_leave(struct strangers *strangers, const char *peer)
{
	char place[ADDRESS_PLACE_SIZE];
	struct strangers_address *a;

	a = strangers_find(strangers, address_place(peer, place));
	assert(a != NULL && a->len > 0 && strangers->len > 0);
	strangers->len--;
	if (--a->len > 0)
		return;
	HASH_DEL(strangers->addresses, a);
	free(a);
}
