/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/aside.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"

struct aside_item {
	struct aside_row row;
	ms_t asked_ms; /* when its owner's node row was asked for, as of this row */
	struct aside_item *prev, *next;
};

struct aside {
	struct aside_item *items; /* the oldest first */
	int len;
	size_t bytes;
};

struct aside *
aside_new(void)
{
	return mem_calloc(1, sizeof(struct aside));
}

/* The row it holds is not freed. */
static void
aside_remove(struct aside *a, struct aside_item *item)
{
	DL_DELETE(a->items, item);
	a->len--;
	a->bytes -= item->row.bytes;
	free(item);
}

static void
aside_drop(struct aside *a, struct aside_item *item)
{
	row_fini(&item->row.row);
	aside_remove(a, item);
}

void
aside_free(struct aside *a)
{
	if (a == NULL)
		return;
	while (a->items != NULL)
		aside_drop(a, a->items);
	free(a);
}

static void
aside_make_room(struct aside *a, uint64_t link, size_t bytes)
{
	struct aside_item *item, *oldest = NULL;
	int len = 0;

	DL_FOREACH (a->items, item) {
		if (item->row.link != link)
			continue;
		if (len++ == 0)
			oldest = item;
	}
	if (len >= ASIDE_LINK_ROWS_MAX)
		aside_drop(a, oldest);
	while (a->items != NULL &&
	       (a->len >= ASIDE_ROWS_MAX || a->bytes + bytes > ASIDE_BYTES_MAX))
		aside_drop(a, a->items);
}

/* When the owner's node row was asked for over this link; -1: not for any row that still
 * waits. */
static ms_t
aside_asked(const struct aside *a, uint64_t link, const struct id *owner)
{
	const struct aside_item *item;
	ms_t asked_ms = -1;

	DL_FOREACH (a->items, item)
		if (item->row.link == link && id_equal(&item->row.key.owner, owner) &&
		    item->asked_ms > asked_ms)
			asked_ms = item->asked_ms;
	return asked_ms;
}

bool
aside_put(struct aside *a, struct aside_row *row, ms_t now_ms)
{
	struct aside_item *item = mem_calloc(1, sizeof(*item));
	ms_t asked_ms = aside_asked(a, row->link, &row->key.owner);
	bool is_to_ask = asked_ms < 0 || now_ms - asked_ms >= ASIDE_ASK_MS;

	aside_make_room(a, row->link, row->bytes);
	item->row = *row;
	item->asked_ms = is_to_ask ? now_ms : asked_ms;
	row->row = ROW_INIT;
	DL_APPEND(a->items, item);
	a->len++;
	a->bytes += item->row.bytes;
	return is_to_ask;
}

bool
aside_take(struct aside *a, const struct id *owner, struct aside_row *ret_row)
{
	struct aside_item *item;

	DL_FOREACH (a->items, item) {
		if (!id_equal(&item->row.key.owner, owner))
			continue;
		*ret_row = item->row;
		aside_remove(a, item);
		return true;
	}
	return false;
}

int
aside_len(const struct aside *a)
{
	return a->len;
}
