/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/global-context.h"

#include <assert.h>
#include <string.h>

enum {
	REPLICAS = 4,
	KEYS = 12,
	PAGES = 4, /* a key is on page key % PAGES */
	SEQS = 64, /* of a replica: a set of its dots is a word */
	STEPS = 160,
};

/* Dots by actor, bit by seq - 1. That a vector and a cloud hold such a set in less room
 * makes no difference here but in GLOBAL_NO_CLOUD, where there is no cloud. */
struct dots {
	uint64_t of[REPLICAS];
};

struct replica {
	struct dots entries[KEYS]; /* dots that stand */
	struct dots context;	   /* all that were ever seen */
	int seq;
};

struct session {
	bool is_on;
	int from, to, page; /* `to` takes the pages of `from` */
	struct dots frozen;
	bool has_rows; /* of the page, read and not yet judged (GLOBAL_LATE) */
	struct dots rows[KEYS];
};

struct global {
	enum global_way way;
	struct rng rng;
	struct replica replicas[REPLICAS];
	struct session sessions[REPLICAS];
	/* The model: which dots were written for which key, and which of them somebody who saw
	 * them replaced or removed. */
	struct dots written[KEYS], gone[KEYS];
};

static void
dots_join(struct dots *into, const struct dots *other)
{
	for (int i = 0; i < REPLICAS; i++)
		into->of[i] |= other->of[i];
}

/* All dots up to the highest: what a vector without a cloud says. */
static void
dots_fill(struct dots *d)
{
	for (int i = 0; i < REPLICAS; i++)
		for (int shift = 1; shift < SEQS; shift *= 2)
			d->of[i] |= d->of[i] >> shift;
}

static void
global_write(struct global *g, int at, int key, bool is_add)
{
	struct replica *r = &g->replicas[at];
	uint64_t bit = UINT64_C(1) << r->seq;

	if (is_add && r->seq == SEQS)
		return;
	dots_join(&g->gone[key], &r->entries[key]);
	memset(&r->entries[key], 0, sizeof(r->entries[key]));
	if (!is_add)
		return;
	r->seq++;
	r->entries[key].of[at] = bit;
	r->context.of[at] |= bit;
	g->written[key].of[at] |= bit;
}

/* ---- sessions ---- */

static void
session_begin(struct global *g, int from, int to)
{
	struct session *s = &g->sessions[to];

	*s = (struct session){ .is_on = true, .from = from, .to = to };
	s->frozen = g->replicas[from].context;
	if (g->way == GLOBAL_FIRST)
		dots_join(&g->replicas[to].context, &s->frozen);
}

/* Keep what both have, what the other has and we never saw, and what we have and the other,
 * by this context, never saw. */
static void
session_merge(struct replica *r, int key, const struct dots *theirs,
	      const struct dots *context, struct dots *received)
{
	for (int i = 0; i < REPLICAS; i++) {
		uint64_t mine = r->entries[key].of[i];
		uint64_t fresh = theirs->of[i] & ~r->context.of[i];

		r->entries[key].of[i] = (mine & theirs->of[i]) | fresh |
					(mine & ~context->of[i]);
		received->of[i] |= fresh;
	}
}

/* Whoever judges by a later context reads the page in one step and judges in another. */
static void
session_page(struct global *g, struct session *s)
{
	struct replica *from = &g->replicas[s->from], *to = &g->replicas[s->to];
	struct dots context = s->frozen, received = { { 0 } };

	if (!s->has_rows)
		memcpy(s->rows, from->entries, sizeof(s->rows));
	if (g->way == GLOBAL_LATE && !s->has_rows) {
		s->has_rows = true;
		return;
	}
	if (g->way == GLOBAL_LATE)
		context = from->context;
	s->has_rows = false;
	for (int key = s->page; key < KEYS; key += PAGES)
		session_merge(to, key, &s->rows[key], &context, &received);
	if (g->way == GLOBAL_NO_CLOUD)
		dots_fill(&received);
	dots_join(&to->context, &received);
	s->page++;
}

static void
session_end(struct global *g, struct session *s, bool is_cut)
{
	struct dots context = s->frozen;

	s->is_on = false;
	if (is_cut && g->way != GLOBAL_CUT)
		return;
	if (g->way == GLOBAL_NEWER)
		context = g->replicas[s->from].context;
	dots_join(&g->replicas[s->to].context, &context);
}

static void
session_step(struct global *g, struct session *s, bool is_quiet)
{
	if (!is_quiet && rng_below(&g->rng, 12) == 0)
		session_end(g, s, true);
	else if (s->page < PAGES)
		session_page(g, s);
	else
		session_end(g, s, false);
}

/* ---- a history ---- */

static void
global_step(struct global *g)
{
	int at = (int)rng_below(&g->rng, REPLICAS), other;

	if (rng_below(&g->rng, 3) == 0) {
		global_write(g, at, (int)rng_below(&g->rng, KEYS),
			     rng_below(&g->rng, 4) != 0);
		return;
	}
	if (g->sessions[at].is_on) {
		session_step(g, &g->sessions[at], false);
		return;
	}
	other = (int)rng_below(&g->rng, REPLICAS);
	if (other != at)
		session_begin(g, other, at);
}

/* Whole sessions between all pairs, so that what can spread does. */
static void
global_quiet(struct global *g)
{
	enum global_way way = g->way;

	for (int i = 0; i < REPLICAS; i++)
		if (g->sessions[i].is_on)
			session_end(g, &g->sessions[i], true);
	/* The last sessions are right ones, lest anybody said that the wrong ones only
	 * needed more time: what is lost by then is known as removed to all. */
	g->way = GLOBAL_RIGHT;
	for (int round = 0; round < 3; round++)
		for (int to = 0; to < REPLICAS; to++)
			for (int from = 0; from < REPLICAS; from++) {
				if (from == to)
					continue;
				session_begin(g, from, to);
				while (g->sessions[to].is_on)
					session_step(g, &g->sessions[to], true);
			}
	g->way = way;
}

void
global_history(enum global_way way, uint64_t seed, struct global_result *ret_result)
{
	struct global g = { .way = way };

	*ret_result = (struct global_result){ .is_equal = true };
	rng_init(&g.rng, seed);
	for (int i = 0; i < STEPS; i++)
		global_step(&g);
	global_quiet(&g);
	for (int i = 1; i < REPLICAS; i++)
		ret_result->is_equal &= memcmp(g.replicas[0].entries,
					       g.replicas[i].entries,
					       sizeof(g.replicas[0].entries)) == 0 &&
					memcmp(&g.replicas[0].context,
					       &g.replicas[i].context,
					       sizeof(g.replicas[0].context)) == 0;
	for (int key = 0; key < KEYS; key++)
		for (int i = 0; i < REPLICAS; i++) {
			uint64_t live = g.written[key].of[i] & ~g.gone[key].of[i];
			uint64_t held = g.replicas[0].entries[key].of[i];

			ret_result->live += __builtin_popcountll(live);
			ret_result->lost += __builtin_popcountll(live & ~held);
			ret_result->returned += __builtin_popcountll(held & ~live);
		}
}
