/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may say: all entries of a frame are read and judged before one is acted upon.
 * An answer is judged by what was asked: each of its entries is of a node that the entry it
 * answers was about, or of a child of it, in order, and goes on where that one stopped. So
 * a session comes to an end whatever the other side sends. */
#include "config.h"

#include <string.h>

#include "sync/compare.h"

static bool
check_read(struct compare *c, struct reader *r, struct sync_entry *ret_e)
{
	const char *why;

	if (sync_entry_read(r, c->job->is_dry, ret_e, &why) == 0)
		return true;
	compare_malformed(c, "%s", why);
	return false;
}

/* Asks. */

static bool
check_may_be_asked(const struct compare *c, const struct sync_entry *e)
{
	/* Above, DIFFER has told; it would cost us much and them nothing. */
	bool is_deep = e->node.depth >= SYNC_TOP_BITS;

	switch (e->type) {
	case SYNC_CHILDREN:
		return is_deep;
	case SYNC_MORE:
		return true;
	case SYNC_NAME:
		return c->job->is_dry;
	case SYNC_LIST:
	case SYNC_REST:
		return !c->job->is_dry && is_deep;
	case SYNC_WANT:
	case SYNC_LEFT:
	case SYNC_PAGE:
		return !c->job->is_dry;
	default:
		return false;
	}
}

void
compare_check_ask(struct compare *c)
{
	struct reader r = reader_of(buf_bytes(&c->job->entries));
	struct sync_entry e;

	while (r.len > 0 && check_read(c, &r, &e))
		if (!check_may_be_asked(c, &e)) {
			compare_malformed(c, "%s at depth %d is nothing to be asked",
					  sync_entry_name(e.type), e.node.depth);
			return;
		}
}

/* Answers. */

static bool
check_node_begins(const struct sync_entry *e)
{
	return memcmp(e->from, e->node.prefix, SYNC_K_BYTES) == 0;
}

static int
check_from_compare(const struct sync_entry *a, const struct sync_entry *b)
{
	return memcmp(a->from, b->from, SYNC_K_BYTES);
}

static bool
check_answers_children(const struct sync_entry *asked, const struct sync_entry *e,
		       const struct sync_entry *prev)
{
	return (e->type == SYNC_CHILDREN || e->type == SYNC_LIST) &&
	       sync_node_is_child(&asked->node, &e->node) &&
	       (prev == NULL ||
		memcmp(prev->node.prefix, e->node.prefix, SYNC_K_BYTES) < 0);
}

static bool
check_answers_list(const struct sync_entry *e, const struct sync_entry *prev)
{
	if (e->type == SYNC_WANT)
		return prev == NULL;
	return e->type == SYNC_MORE && !check_node_begins(e) &&
	       (prev == NULL || prev->type == SYNC_WANT);
}

/* Only a full one has another behind it, or they would be without end. */
static bool
check_shown(const struct sync_entry *e)
{
	static const uint8_t zeros[SYNC_K_BYTES];

	return e->n == SYNC_SHOWN_ROWS_MAX || memcmp(e->until, zeros, SYNC_K_BYTES) == 0;
}

static bool
check_answers_more(const struct compare *c, const struct sync_entry *asked,
		   const struct sync_entry *e)
{
	if (c->job->is_dry)
		return e->type == SYNC_SHOWN && check_from_compare(e, asked) == 0 &&
		       check_shown(e);
	return (e->type == SYNC_REST && check_from_compare(e, asked) == 0) ||
	       (e->type == SYNC_CHILDREN && e->node.depth >= SYNC_TOP_BITS);
}

/* `prev`: the entry before `e`, when it answers the same one. */
static bool
check_answers(const struct compare *c, const struct sync_entry *asked,
	      const struct sync_entry *e, const struct sync_entry *prev)
{
	if (asked->type == SYNC_CHILDREN)
		return check_answers_children(asked, e, prev);
	if (!sync_node_equal(&asked->node, &e->node))
		return false;
	if (asked->type == SYNC_LIST)
		return check_answers_list(e, prev);
	if (prev != NULL)
		return false;
	switch (asked->type) {
	case SYNC_REST:
		return e->type == SYNC_MORE && check_from_compare(e, asked) > 0;
	case SYNC_MORE:
		return check_answers_more(c, asked, e);
	case SYNC_WANT:
		return e->type == SYNC_LEFT && e->n < asked->n;
	case SYNC_LEFT:
		return e->type == SYNC_WANT && e->n == asked->n;
	case SYNC_NAME:
		return e->type == SYNC_KEYS && e->n <= asked->n;
	case SYNC_PAGE: /* without rows it would go on for ever */
		return e->type == SYNC_PAGE && check_from_compare(e, asked) != 0 &&
		       c->job->told_rows > 0;
	default:
		return false;
	}
}

/* What was wanted came now; what came else was only there. */
static void
check_tally(struct compare *c, uint64_t wanted, uint64_t held)
{
	uint64_t told = c->job->told_rows;

	if (told > wanted + held)
		c->made->only_there += told - wanted - held;
}

static void
check_answer(struct compare *c)
{
	struct reader asks = reader_of(buf_bytes(&c->job->asked));
	struct reader r = reader_of(buf_bytes(&c->job->entries));
	struct sync_entry asked = { 0 }, e, last;
	const struct sync_entry *prev = NULL;
	uint64_t wanted = 0, held = 0;
	bool has_asked = false;

	while (r.len > 0 && check_read(c, &r, &e)) {
		while (!has_asked || !check_answers(c, &asked, &e, prev)) {
			if (asks.len == 0) {
				compare_malformed(c,
						  "%s at depth %d answers nothing that "
						  "was asked",
						  sync_entry_name(e.type), e.node.depth);
				return;
			}
			has_asked = check_read(c, &asks, &asked);
			prev = NULL;
			wanted += asked.type == SYNC_WANT ? (uint64_t)asked.n : 0;
		}
		held += (uint64_t)e.m;
		last = e;
		prev = &last;
	}
	while (asks.len > 0 && check_read(c, &asks, &asked))
		wanted += asked.type == SYNC_WANT ? (uint64_t)asked.n : 0;
	check_tally(c, wanted, held);
}

static void
check_opening(struct compare *c)
{
	struct reader r = reader_of(buf_bytes(&c->job->entries));
	struct sync_entry e;

	if (r.len == 0)
		compare_malformed(c, "a DIFFER has no entry");
	else if (!check_read(c, &r, &e))
		return;
	else if (r.len > 0)
		compare_malformed(c, "a DIFFER has more than one entry");
	else if (e.type != SYNC_TOP && (e.type != SYNC_LIST || e.node.depth != 0))
		compare_malformed(c, "a DIFFER has %s at depth %d",
				  sync_entry_name(e.type), e.node.depth);
}

void
compare_check_answer(struct compare *c)
{
	if (c->job->is_opening)
		check_opening(c);
	else
		check_answer(c);
}
