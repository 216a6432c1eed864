/* SPDX-License-Identifier: Apache-2.0 */
/* What changed lately, and by how much it moved the root. With changes on their way the
 * roots of two healthy stores differ all the time; the root less the latest changes is what
 * they can compare. Kept in memory only: in a store that was just opened everything counts
 * as old, and at worst it is compared once too often. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/private.h"

static void
recents_expire(struct recents *r, ms_t now)
{
	int kept = 0;

	for (int i = 0; i < r->len; i++)
		if (r->items[i].until > now)
			r->items[kept++] = r->items[i];
	r->len = kept;
}

static void
recents_make_room(struct recents *r, ms_t now)
{
	if (r->len < r->cap)
		return;
	recents_expire(r, now);
	if (r->len < r->cap / 2)
		return;
	if (r->cap < RECENTS_MAX) {
		r->cap = r->cap > 0 ? 2 * r->cap : 64;
		r->items = mem_realloc(r->items, (size_t)r->cap, sizeof(r->items[0]));
	} else if (r->len == r->cap) {
		/* A tenth at a time, so that moving the others costs little. */
		int dropped = RECENTS_MAX / 10;

		r->len -= dropped;
		memmove(r->items, r->items + dropped,
			(size_t)r->len * sizeof(r->items[0]));
	}
}

void
recents_note(struct recents *r, ms_t now, const struct recent *change)
{
	ms_t from = change->stamp > (uint64_t)now ? (ms_t)change->stamp : now;

	recents_make_room(r, now);
	r->items[r->len] = *change;
	r->items[r->len++].until = from - now < RECENTS_MS_MAX - STORE_RECENT_MS
					   ? from + STORE_RECENT_MS
					   : now + RECENTS_MS_MAX;
}

struct store_digest
recents_subtract(const struct recents *r, ms_t now, struct store_digest root,
		 uint64_t stamp)
{
	for (int i = 0; i < r->len; i++) {
		const struct recent *change = &r->items[i];

		if (change->stamp < stamp || change->until <= now)
			continue;
		root.sum = u128_sub(root.sum, change->moved.sum);
		root.count -= change->moved.count;
	}
	return root;
}
