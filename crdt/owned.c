/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/owned.h"

#include <stdlib.h>

#include "base/mem.h"

/* ---- what is held ---- */

/* Since when is this context entry covered? As known before, else no later than the newest
 * version that says so. */
static void
owned_add_cover(struct owned *r, const struct cover *old, int old_len, struct dot dot,
		uint64_t stamp)
{
	struct cover *c = r->covers;

	while (c < r->covers + r->covers_len && c->dot.actor != dot.actor)
		c++;
	if (c == r->covers + r->covers_len) {
		r->covers = mem_realloc(r->covers, (size_t)r->covers_len + 1,
					sizeof(r->covers[0]));
		c = &r->covers[r->covers_len++];
		*c = (struct cover){ dot, stamp };
	} else if (c->dot.seq < dot.seq || (c->dot.seq == dot.seq && c->stamp < stamp)) {
		*c = (struct cover){ dot, stamp };
	}
	for (int i = 0; i < old_len; i++)
		if (old[i].dot.actor == c->dot.actor && old[i].dot.seq == c->dot.seq &&
		    old[i].stamp < c->stamp)
			c->stamp = old[i].stamp;
}

void
owned_hold(struct owned *r, const struct row *row)
{
	struct cover *old = r->covers;
	int old_len = r->covers_len;

	row_fini(&r->held);
	if (row != NULL)
		row_copy(row, &r->held);
	r->covers = NULL;
	r->covers_len = 0;
	for (int i = 0; i < r->held.len; i++) {
		const struct version *v = &r->held.versions[i];

		for (int j = 0; j < v->context_len; j++)
			if (v->context[j].actor != v->dot.actor)
				owned_add_cover(r, old, old_len, v->context[j], v->stamp);
	}
	free(old);
}

bool
owned_is_live(const struct owned *r)
{
	return row_visible(&r->held) != NULL;
}

bool
owned_says(const struct owned *r, struct bytes value)
{
	const struct version *v = row_visible(&r->held);

	return v != NULL && r->held.len == 1 && bytes_equal(v->value, value);
}

/* ---- contexts ---- */

static bool
seen_has_dot_of(const struct row *seen, uint64_t actor)
{
	for (int i = 0; i < seen->len; i++)
		if (seen->versions[i].dot.actor == actor)
			return true;
	return false;
}

static void
seen_forget(struct row *seen, uint64_t actor)
{
	for (int i = 0; i < seen->len; i++) {
		struct version *v = &seen->versions[i];
		int kept = 0;

		for (int j = 0; j < v->context_len; j++)
			if (v->context[j].actor != actor)
				v->context[kept++] = v->context[j];
		v->context_len = (uint8_t)kept;
	}
}

/* How many actors the next version's context names. */
static int
seen_actors(const struct row *seen)
{
	uint64_t actors[ROW_VERSIONS_MAX * (ROW_CONTEXT_MAX + 1)];
	int n = 0;

	for (int i = 0; i < seen->len; i++) {
		const struct version *v = &seen->versions[i];

		for (int j = -1; j < v->context_len; j++) {
			uint64_t actor = j < 0 ? v->dot.actor : v->context[j].actor;
			int k = 0;

			while (k < n && actors[k] != actor)
				k++;
			if (k == n)
				actors[n++] = actor;
		}
	}
	return n;
}

void
owned_put_seen(const struct owned *r, uint64_t actor, uint64_t horizon,
	       struct row *ret_seen)
{
	row_copy(&r->held, ret_seen);
	for (;;) {
		bool is_full = seen_actors(ret_seen) > ROW_CONTEXT_MAX;
		const struct cover *oldest = NULL;

		for (int i = 0; i < r->covers_len; i++) {
			const struct cover *c = &r->covers[i];

			if (c->dot.actor == actor ||
			    seen_has_dot_of(ret_seen, c->dot.actor))
				continue;
			if (c->stamp <= horizon)
				seen_forget(ret_seen, c->dot.actor);
			else if (row_seen(ret_seen, c->dot.actor) != 0 &&
				 (oldest == NULL || c->stamp < oldest->stamp))
				oldest = c;
		}
		if (!is_full || oldest == NULL)
			return;
		if (seen_actors(ret_seen) > ROW_CONTEXT_MAX)
			seen_forget(ret_seen, oldest->dot.actor);
	}
}
