/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/dials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "mesh/mesh.h"

struct dial {
	char address[WIRE_ADDRESS_BYTES_MAX + 1];
	struct id node;
	char why[MESH_WHY_SIZE];
	unsigned fails; /* in a row */
	ms_t at;
	UT_hash_handle hh;
};

struct dials {
	struct dial *by_address; /* in order of their latest failure */
	uint64_t inbound;
	ms_t inbound_at;
};

struct dials *
dials_new(void)
{
	return mem_calloc(1, sizeof(struct dials));
}

static void
dials_remove(struct dials *dials, struct dial *dial)
{
	HASH_DEL(dials->by_address, dial);
	free(dial);
}

void
dials_free(struct dials *dials)
{
	if (dials == NULL)
		return;
	while (dials->by_address != NULL)
		dials_remove(dials, dials->by_address);
	free(dials);
}

void
dials_failed(struct dials *dials, const char *address, const struct id *node,
	     const char *why, ms_t now)
{
	struct dial *dial;

	HASH_FIND_STR(dials->by_address, address, dial);
	if (dial != NULL)
		HASH_DEL(dials->by_address, dial);
	else
		dial = mem_calloc(1, sizeof(*dial));
	if (HASH_COUNT(dials->by_address) == DIALS_MAX)
		dials_remove(dials, dials->by_address);
	snprintf(dial->address, sizeof(dial->address), "%s", address);
	snprintf(dial->why, sizeof(dial->why), "%s", why);
	dial->node = *node;
	dial->fails++;
	dial->at = now;
	HASH_ADD_STR(dials->by_address, address, dial);
}

void
dials_linked(struct dials *dials, const char *address, const struct id *node,
	     bool is_inbound, ms_t now)
{
	struct dial *dial, *next;

	HASH_ITER (hh, dials->by_address, dial, next) {
		if (id_equal(&dial->node, node) || strcmp(dial->address, address) == 0)
			dials_remove(dials, dial);
	}
	if (is_inbound) {
		dials->inbound++;
		dials->inbound_at = now;
	}
}

json_t *
dials_failures_json(const struct dials *dials, ms_t now)
{
	json_t *list = json_array();

	for (const struct dial *d = dials->by_address; d != NULL; d = d->hh.next) {
		char id[ID_TEXT_SIZE];

		json_array_append_new(
			list,
			json_pack("{s:s?, s:s, s:s, s:i, s:I}", "node",
				  id_is_zero(&d->node) ? NULL : id_text(&d->node, id),
				  "address", d->address, "error", d->why, "fails",
				  (int)d->fails, "age_s",
				  (json_int_t)((now - d->at) / MS_SECOND)));
	}
	return list;
}

json_t *
dials_inbound_json(const struct dials *dials, ms_t now)
{
	return json_pack("{s:I, s:o}", "count", (json_int_t)dials->inbound, "last_s",
			 dials->inbound == 0
				 ? json_null()
				 : json_integer((now - dials->inbound_at) / MS_SECOND));
}
