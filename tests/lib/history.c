/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
history_clear(struct history *h)
{
	for (int i = 0; i < HISTORY_ROWS_MAX; i++) {
		h->rows[i].len = 0;
		h->rows[i].is_loose = false;
	}
}

void
history_fini(struct history *h)
{
	for (int i = 0; i < HISTORY_ROWS_MAX; i++)
		free(h->rows[i].events);
	memset(h, 0, sizeof(*h));
}

bool
history_has(const struct history_set *set, int event)
{
	return set->bits[event / 64] >> (event % 64) & 1;
}

void
history_add(struct history_set *set, int event)
{
	set->bits[event / 64] |= UINT64_C(1) << (event % 64);
}

bool
history_is_same(const struct history_set *a, const struct history_set *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The next event of the set at or behind `from`, or -1. */
static int
history_next(const struct history_set *set, int from)
{
	for (int i = from; i < HISTORY_EVENTS_MAX; i = (i / 64 + 1) * 64) {
		uint64_t word = set->bits[i / 64] >> (i % 64);

		if (word != 0)
			return i + __builtin_ctzll(word);
	}
	return -1;
}

bool
history_has_later(const struct history_set *set, int event)
{
	return history_next(set, event + 1) >= 0;
}

static void
history_join(struct history_set *into, const struct history_set *other)
{
	for (int i = 0; i < HISTORY_SET_WORDS; i++)
		into->bits[i] |= other->bits[i];
}

int
history_write(struct history *h, int row, const struct version *v,
	      const struct history_set *seen)
{
	struct history_row *r = &h->rows[row];
	struct history_event *e;

	if (r->len == HISTORY_EVENTS_MAX)
		return -1;
	if (r->len == r->cap) {
		r->cap = r->cap * 2 + 8;
		r->events = mem_realloc(r->events, (size_t)r->cap, sizeof(r->events[0]));
	}
	e = &r->events[r->len];
	*e = (struct history_event){ .dot = v->dot,
				     .stamp = v->stamp,
				     .is_removed = v->is_removed,
				     .saw = *seen };
	memcpy(e->hash, v->hash, ROW_HASH_BYTES);
	/* To see an event is to see what it saw. */
	for (int i = history_next(seen, 0); i >= 0; i = history_next(seen, i + 1))
		history_join(&e->saw, &r->events[i].saw);
	return r->len++;
}

int
history_find(const struct history *h, int row, const struct version *v)
{
	const struct history_row *r = &h->rows[row];

	for (int i = r->len - 1; i >= 0; i--)
		if (memcmp(r->events[i].hash, v->hash, ROW_HASH_BYTES) == 0)
			return i;
	return -1;
}

bool
history_events(const struct history *h, int row, const struct row *state,
	       struct history_set *ret_set)
{
	struct history_set set = { { 0 } };

	for (int i = 0; i < state->len; i++) {
		int event = history_find(h, row, &state->versions[i]);

		if (event < 0)
			return false;
		history_add(&set, event);
	}
	*ret_set = set;
	return true;
}

void
history_merge(const struct history *h, int row, struct history_set *mine,
	      const struct history_set *theirs)
{
	const struct history_row *r = &h->rows[row];
	struct history_set seen = { { 0 } };

	history_join(mine, theirs);
	for (int i = history_next(mine, 0); i >= 0; i = history_next(mine, i + 1))
		history_join(&seen, &r->events[i].saw);
	for (int i = 0; i < HISTORY_SET_WORDS; i++)
		mine->bits[i] &= ~seen.bits[i];
}

uint64_t
history_covered_at(const struct history *h, int row, int event)
{
	const struct history_row *r = &h->rows[row];
	uint64_t stamp = UINT64_MAX;

	for (int i = 0; i < r->len; i++)
		if (history_has(&r->events[i].saw, event) && r->events[i].stamp < stamp)
			stamp = r->events[i].stamp;
	return stamp;
}
