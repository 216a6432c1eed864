/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap: the earliest first, of several at one moment the one with the lowest order.
 * Timers wait in one, tenants for their turn in others. */
#ifndef OCF_DISPATCH_HEAP_H
#define OCF_DISPATCH_HEAP_H

#include <stdint.h>

/* Embedded in what it belongs to. */
struct heap_item {
	int64_t at;
	uint64_t order;
	int index; /* from 1; 0 = in no heap */
};

/* Zero is an empty one. */
struct heap {
	struct heap_item **items; /* [1 … len] */
	int len, cap;
};

void heap_fini(struct heap *h);
/* Put it there, or move it to another moment. */
void heap_set(struct heap *h, struct heap_item *item, int64_t at, uint64_t order);
/* One that is in no heap is left alone. */
void heap_remove(struct heap *h, struct heap_item *item);
/* NULL: it is empty. */
struct heap_item *heap_first(const struct heap *h);

#endif
