/* SPDX-License-Identifier: Apache-2.0 */
/* How nodes and offers lie in memory, and how an offer is found. A query's look-up is a
 * matter of memory alone: what it reads is seldom in the processor's cache, and pages
 * scattered over the heap are seldom in the table by which the processor finds them. So
 * both come from pools of large pages, and all offers of all services stand in one table of
 * hashes with open addressing (Knuth, TAOCP 3, 6.4, algorithm L; removal without marks,
 * algorithm R), in which most are found at the first look. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "base/mem.h"
#include "table/catalog-private.h"

enum {
	MEMORY_HUGE_BYTES = 2 * 1024 * 1024, /* a large page of the machine */
	MEMORY_ALIGN = 64,		     /* a line of the processor's cache */
	POOL_ITEMS_MIN = 16,
	OFFERS_SLOTS_MIN = 64,
};

/* Zeroed; free(3) it. From MEMORY_HUGE_BYTES on in large pages, if the system has any. */
static void *
memory_take(size_t bytes)
{
	size_t align = bytes >= MEMORY_HUGE_BYTES ? MEMORY_HUGE_BYTES : MEMORY_ALIGN;
	void *p = mem_aligned(align, bytes);

	if (align == MEMORY_HUGE_BYTES)
		madvise(p, bytes,
			MADV_HUGEPAGE); /* faster at best; else nothing changes */
	memset(p, 0, bytes);
	return p;
}

/* ---- pools ---- */

void
pool_init(struct pool *pool, size_t size)
{
	*pool = (struct pool){ .size = (size + MEMORY_ALIGN - 1) / MEMORY_ALIGN *
				       MEMORY_ALIGN };
	pool->chunk_bytes = POOL_ITEMS_MIN * pool->size;
}

/* A chunk is twice as large as the one before, up to a large page; its first item is the
 * link to the others. */
static void
pool_extend(struct pool *pool)
{
	size_t bytes = pool->chunk_bytes < MEMORY_HUGE_BYTES ? pool->chunk_bytes
							     : MEMORY_HUGE_BYTES;
	void *chunk = memory_take(bytes);

	pool->chunk_bytes = 2 * bytes;
	*(void **)chunk = pool->chunks;
	pool->chunks = chunk;
	pool->unused = (char *)chunk + pool->size;
	pool->n_unused = bytes / pool->size - 1;
}

void *
pool_take(struct pool *pool)
{
	char *item = pool->free;

	if (item != NULL) {
		pool->free = *(void **)item;
		*(void **)item = NULL;
		return item;
	}
	if (pool->n_unused == 0)
		pool_extend(pool);
	item = pool->unused;
	pool->unused += pool->size;
	pool->n_unused--;
	return item;
}

void
pool_give(struct pool *pool, void *item)
{
	memset(item, 0, pool->size);
	*(void **)item = pool->free;
	pool->free = item;
}

void
pool_fini(struct pool *pool)
{
	while (pool->chunks != NULL) {
		void *chunk = pool->chunks;

		pool->chunks = *(void **)chunk;
		free(chunk);
	}
}

/* ---- the table of offers ---- */

static uint64_t
offers_hash(const struct service *s, const char *match)
{
	return hash64(bytes_text(match), (uint64_t)(uintptr_t)s);
}

struct offer *
offers_find(const struct offers *all, const struct service *s, const char *match)
{
	uint64_t hash = offers_hash(s, match);

	if (all->slots == NULL)
		return NULL;
	for (size_t i = hash & all->mask;; i = (i + 1) & all->mask) {
		const struct offer_slot *slot = &all->slots[i];

		if (slot->offer == NULL)
			return NULL;
		if (slot->hash != hash)
			continue;
		for (int k = 0; k < OFFER_FEW; k += 2) /* read next, all at once */
			__builtin_prefetch(&slot->offer->few[k]);
		if (slot->offer->service == s && strcmp(slot->offer->match, match) == 0)
			return slot->offer;
	}
}

static void
offers_place(struct offers *all, struct offer_slot added)
{
	size_t i = added.hash & all->mask;

	while (all->slots[i].offer != NULL)
		i = (i + 1) & all->mask;
	all->slots[i] = added;
}

/* At most half full: then most stand where they should. */
static void
offers_grow(struct offers *all)
{
	struct offer_slot *old = all->slots;
	size_t n_old = old != NULL ? all->mask + 1 : 0;
	size_t n = n_old > 0 ? 2 * n_old : OFFERS_SLOTS_MIN;

	all->slots = memory_take(n * sizeof(old[0]));
	all->mask = n - 1;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].offer != NULL)
			offers_place(all, old[i]);
	free(old);
}

void
offers_add(struct offers *all, struct offer *o)
{
	struct offer_slot slot = { offers_hash(o->service, o->match), o };

	if (all->slots == NULL || 2 * (all->len + 1) > all->mask + 1)
		offers_grow(all);
	offers_place(all, slot);
	all->len++;
}

void
offers_remove(struct offers *all, const struct offer *o)
{
	size_t i = offers_hash(o->service, o->match) & all->mask, hole;

	while (all->slots[i].offer != o)
		i = (i + 1) & all->mask;
	/* Those behind the hole that could not stand there before, may now. */
	for (hole = i;;) {
		size_t wanted;

		i = (i + 1) & all->mask;
		if (all->slots[i].offer == NULL)
			break;
		wanted = all->slots[i].hash & all->mask;
		if (((i - wanted) & all->mask) >= ((i - hole) & all->mask)) {
			all->slots[hole] = all->slots[i];
			hole = i;
		}
	}
	all->slots[hole].offer = NULL;
	all->len--;
}

void
offers_fini(struct offers *all)
{
	assert(all->len == 0);
	free(all->slots);
}

/* ---- an offer ---- */

void
offer_init(struct offer *o, struct service *s, const char *match)
{
	size_t size = strlen(match) + 1;

	o->service = s;
	o->stakes = o->few;
	o->cap = OFFER_FEW;
	o->match = size <= OFFER_MATCH_BYTES ? o->short_match : mem_alloc(size);
	memcpy(o->match, match, size);
}

void
offer_fini(struct offer *o)
{
	if (o->stakes != o->few)
		free(o->stakes);
	if (o->match != o->short_match)
		free(o->match);
}

/* Where the node's stake is, or should be. */
static int
offer_position(const struct offer *o, const struct id *id)
{
	int low = 0, high = o->len;

	while (low < high) {
		int mid = low + (high - low) / 2;

		if (id_compare(&o->stakes[mid].node->id, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
offer_insert(struct offer *o, int at, struct node *n)
{
	if (o->len == o->cap) {
		struct stake *old = o->stakes == o->few ? NULL : o->stakes;

		o->cap *= 2;
		o->stakes = mem_realloc(old, (size_t)o->cap, sizeof(*o->stakes));
		if (old == NULL)
			memcpy(o->stakes, o->few, sizeof(o->few));
	}
	memmove(&o->stakes[at + 1], &o->stakes[at],
		(size_t)(o->len - at) * sizeof(*o->stakes));
	o->stakes[at] = (struct stake){ .node = n };
	o->len++;
}

void
offer_count(struct offer *o, const struct worker *w, int by)
{
	int at = offer_position(o, &w->node->id);
	struct stake *s;

	if (at == o->len || o->stakes[at].node != w->node) {
		assert(by > 0);
		offer_insert(o, at, w->node);
	}
	s = &o->stakes[at];
	if (w->row.is_draining) {
		s->draining += by;
	} else {
		s->ready += by;
		s->slots += by * w->row.slots;
	}
	assert(s->ready >= 0 && s->draining >= 0 && s->slots >= 0);
	if (s->ready > 0 || s->draining > 0)
		return;
	o->len--;
	memmove(&o->stakes[at], &o->stakes[at + 1],
		(size_t)(o->len - at) * sizeof(*o->stakes));
}

bool
offer_is_live(const struct offer *o)
{
	for (int i = 0; i < o->len; i++) {
		if (node_is_live(o->stakes[i].node))
			return true;
	}
	return false;
}
