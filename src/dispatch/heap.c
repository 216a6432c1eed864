/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dispatch/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

static bool
heap_is_before(const struct heap_item *a, const struct heap_item *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void
heap_place(struct heap *h, struct heap_item *item, int i)
{
	h->items[i] = item;
	item->index = i;
}

static void
heap_sift(struct heap *h, struct heap_item *item, int i)
{
	while (i > 1 && heap_is_before(item, h->items[i / 2])) {
		heap_place(h, h->items[i / 2], i);
		i /= 2;
	}
	while (2 * i <= h->len) {
		int child = 2 * i;

		if (child < h->len &&
		    heap_is_before(h->items[child + 1], h->items[child]))
			child++;
		if (!heap_is_before(h->items[child], item))
			break;
		heap_place(h, h->items[child], i);
		i = child;
	}
	heap_place(h, item, i);
}

void
heap_fini(struct heap *h)
{
	free(h->items);
	*h = (struct heap){ 0 };
}

void
heap_set(struct heap *h, struct heap_item *item, int64_t at, uint64_t order)
{
	item->at = at;
	item->order = order;
	if (item->index == 0) {
		if (h->len + 2 > h->cap) {
			h->cap = h->cap * 2 + 16;
			h->items = mem_realloc(h->items, (size_t)h->cap,
					       sizeof(struct heap_item *));
		}
		item->index = ++h->len;
	}
	heap_sift(h, item, item->index);
}

void
heap_remove(struct heap *h, struct heap_item *item)
{
	int i = item->index;
	struct heap_item *last;

	if (i == 0)
		return;
	item->index = 0;
	last = h->items[h->len--];
	if (last != item)
		heap_sift(h, last, i);
}

struct heap_item *
heap_first(const struct heap *h)
{
	return h->len > 0 ? h->items[1] : NULL;
}
