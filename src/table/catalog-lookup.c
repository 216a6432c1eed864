/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the catalog. The one on every query's path is catalog_providers(): a merge
 * of at most four sorted arrays, without allocation once its result has grown. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/query.h"
#include "table/catalog-private.h"
#include "table/catalog.h"

static void
catalog_view(const struct node *n, struct catalog_node *ret)
{
	*ret = (struct catalog_node){
		.id = n->id,
		.state = node_state(n),
		.row = &n->row,
		.workers = n->readable,
	};
}

bool
catalog_node(const struct catalog *c, const struct id *node,
	     struct catalog_node *ret_node)
{
	const struct node *n = catalog_get_node(c, node);

	if (n == NULL || !n->has_row)
		return false;
	catalog_view(n, ret_node);
	return true;
}

bool
catalog_is_barred(const struct catalog *c, const struct id *node)
{
	const struct node *n = catalog_get_node(c, node);

	return n != NULL && (n->ban != NULL || n->forget != NULL);
}

bool
catalog_bar(const struct catalog *c, const struct id *node, enum row_kind kind,
	    struct catalog_bar *ret_bar)
{
	const struct node *n = catalog_get_node(c, node);
	const struct bar *bar = n == NULL ? NULL : kind == ROW_BAN ? n->ban : n->forget;

	if (bar == NULL)
		return false;
	*ret_bar = (struct catalog_bar){
		.by = bar->row.by,
		.name = bar->row.name != NULL ? bar->row.name : "",
		.reason = bar->row.reason != NULL ? bar->row.reason : "",
		.at_ms = (ms_t)bar->stamp,
	};
	return true;
}

void
catalog_describe(const struct catalog *c, const struct id *id, struct buf *out)
{
	const struct node *n = catalog_get_node(c, id);
	const char *name = n != NULL ? node_name(n) : "";
	char text[ID_TEXT_SIZE];

	id_text(id, text);
	if (name[0] != '\0')
		buf_printf(out, "%s (%.8s)", name, text);
	else
		buf_put_text(out, text);
}

int
catalog_find_node(const struct catalog *c, const char *text, struct id *ret_node)
{
	enum { PREFIX_MIN = 4 };
	size_t len = strlen(text);
	const struct node *named = NULL, *begun = NULL;
	int names = 0, begins = 0;
	struct node *n, *next;
	struct id id;

	if (id_parse(text, &id) == 0 && (n = catalog_get_node(c, &id)) != NULL &&
	    n->has_row) {
		*ret_node = id;
		return 0;
	}
	HASH_ITER (hh, c->nodes, n, next) {
		char digits[ID_TEXT_SIZE];

		if (!node_is_visible(n))
			continue;
		if (strcmp(n->row.name, text) == 0) {
			named = n;
			names++;
		}
		if (len >= PREFIX_MIN &&
		    strncasecmp(id_text(&n->id, digits), text, len) == 0) {
			begun = n;
			begins++;
		}
	}
	if (names > 1 || (names == 0 && begins > 1))
		return -ENOTUNIQ;
	if (names + begins == 0)
		return -OCF_EUNKNOWN;
	*ret_node = names == 1 ? named->id : begun->id;
	return 0;
}

/* ---- Providers ---- */

enum { OFFERS_MAX = 4 }; /* none, equal, k=*, all */

/* The offers that serve the selector; the same rule as query_match_serves(). */
static int
service_select(const struct catalog *c, const struct service *s, const char *selector,
	       int fallback, const struct offer *ret_offers[OFFERS_MAX])
{
	char star[LIMIT_MATCH_BYTES_MAX + 2];
	const char *texts[OFFERS_MAX - 1] = { selector };
	int len = 0, wanted = 1;
	size_t key;

	if (selector == NULL) {
		ret_offers[0] = &s->any;
		return 1;
	}
	if (s->none != NULL)
		ret_offers[len++] = s->none;
	key = fallback >= 1 ? strcspn(selector, "=") + 1 : 0;
	if (fallback >= 1 && key < LIMIT_MATCH_BYTES_MAX) {
		memcpy(star, selector, key);
		memcpy(star + key, "*", 2);
		if (strcmp(star, selector) != 0)
			texts[wanted++] = star;
	}
	if (fallback >= 2)
		texts[wanted++] = "all";
	for (int i = 0; i < wanted; i++) {
		const struct offer *o = offers_find(&c->offers, s, texts[i]);

		if (o != NULL)
			ret_offers[len++] = o;
	}
	return len;
}

struct question {
	const char *service;
	const char *selector;
	int fallback;
	const struct offer *offers[OFFERS_MAX];
	int at[OFFERS_MAX]; /* how far each is read */
	int len;
};

/* A node that stands in several offers may have workers that do, too: count them one by
 * one. */
static struct stake
question_recount(const struct question *q, struct node *n)
{
	struct stake sum = { .node = n };
	struct worker *w, *next;

	HASH_ITER (hh, n->workers, w, next) {
		for (int i = 0; i < w->row.services_len; i++) {
			const struct table_service *s = &w->row.services[i];

			if (strcmp(s->name, q->service) != 0 ||
			    !query_match_serves(s->match, s->match_len, q->selector,
						q->fallback))
				continue;
			if (w->row.is_draining) {
				sum.draining++;
			} else {
				sum.ready++;
				sum.slots += w->row.slots;
			}
		}
	}
	return sum;
}

/* Ask for the first nodes' memory at once, not one after the other. */
static void
question_prefetch(const struct question *q)
{
	enum { AHEAD = 8 };

	for (int i = 0; i < q->len; i++)
		for (int k = 0; k < q->offers[i]->len && k < AHEAD; k++)
			__builtin_prefetch(q->offers[i]->stakes[k].node);
}

/* The next node in order of id, with its counts over all offers; false at the end. */
static bool
question_next(struct question *q, struct stake *ret)
{
	const struct stake *first = NULL;
	int found = 0;

	if (q->len == 1) { /* nothing to merge */
		if (q->at[0] == q->offers[0]->len)
			return false;
		*ret = q->offers[0]->stakes[q->at[0]++];
		return true;
	}
	for (int i = 0; i < q->len; i++) {
		const struct stake *s;

		if (q->at[i] == q->offers[i]->len)
			continue;
		s = &q->offers[i]->stakes[q->at[i]];
		if (first == NULL || id_compare(&s->node->id, &first->node->id) < 0)
			first = s;
	}
	if (first == NULL)
		return false;
	for (int i = 0; i < q->len; i++) {
		if (q->at[i] < q->offers[i]->len &&
		    q->offers[i]->stakes[q->at[i]].node == first->node) {
			q->at[i]++;
			found++;
		}
	}
	*ret = found == 1 ? *first : question_recount(q, first->node);
	return true;
}

static void
providers_add(struct catalog_providers *p, const struct stake *s)
{
	if (p->len == p->cap) {
		p->cap = p->cap == 0 ? 8 : 2 * p->cap;
		p->items = mem_realloc(p->items, (size_t)p->cap, sizeof(*p->items));
	}
	p->items[p->len++] = (struct catalog_provider){
		.node = s->node->id,
		.state = node_state(s->node),
		.workers = s->ready,
		.slots = s->slots,
	};
}

static bool
offer_is_visible(const struct offer *o)
{
	for (int i = 0; i < o->len; i++) {
		if (node_is_visible(o->stakes[i].node))
			return true;
	}
	return false;
}

enum catalog_answer
catalog_providers(const struct catalog *c, const char *service, const char *selector,
		  int fallback, const struct id *pin, struct catalog_providers *ret)
{
	struct question q = { service, selector, fallback, { NULL }, { 0 }, 0 };
	bool has_match = false, has_pinned = false;
	const struct service *s;
	struct stake stake;

	ret->len = 0;
	if (pin != NULL && id_is_zero(pin))
		pin = NULL;
	HASH_FIND_STR(c->services, service, s);
	if (s == NULL)
		return CATALOG_NO_SERVICE;
	q.len = service_select(c, s, selector, fallback, q.offers);
	question_prefetch(&q); /* comes while the next line looks elsewhere */
	if (!offer_is_visible(&s->any))
		return CATALOG_NO_SERVICE;
	while (question_next(&q, &stake)) {
		if (!node_is_visible(stake.node))
			continue;
		has_match = true;
		if (pin != NULL && !id_equal(&stake.node->id, pin))
			continue;
		has_pinned = true;
		if (stake.ready > 0 && node_state(stake.node) <= CATALOG_SUSPECT)
			providers_add(ret, &stake);
	}
	if (ret->len > 0)
		return CATALOG_FOUND;
	if (!has_match)
		return CATALOG_NO_MATCH;
	return has_pinned ? CATALOG_NONE_READY : CATALOG_NO_NODE;
}

void
catalog_providers_fini(struct catalog_providers *p)
{
	free(p->items);
	*p = (struct catalog_providers){ 0, 0, NULL };
}

/* ---- Sentences ---- */

static void
offers_put(struct buf *out, const char *text, int i)
{
	if (i > 0)
		buf_put_text(out, ", ");
	buf_put_text(out, text);
}

void
catalog_offers(const struct catalog *c, int max, struct buf *out)
{
	int len;
	struct service **services = catalog_sorted_services(c, &len);

	for (int i = 0; i < len && i < max; i++)
		offers_put(out, services[i]->name, i);
	if (len > max)
		buf_printf(out, " and %d more", len - max);
	free(services);
}

void
catalog_matches(const struct catalog *c, const char *service, int max, struct buf *out)
{
	struct service *s;
	struct offer **offers;
	int len, shown = 0, more = 0;

	HASH_FIND_STR(c->services, service, s);
	if (s == NULL)
		return;
	offers = service_sorted_offers(s, &len);
	for (int i = 0; i < len; i++) {
		if (offers[i]->match[0] == '\0' || !offer_is_visible(offers[i]))
			continue;
		if (shown < max)
			offers_put(out, offers[i]->match, shown++);
		else
			more++;
	}
	if (more > 0)
		buf_printf(out, " and %d more", more);
	free(offers);
}

/* Those that are alive first: they can be asked now. */
void
catalog_ca_holders(const struct catalog *c, const struct id *but, int max,
		   struct buf *out)
{
	int len, shown = 0, more = 0;
	struct node **nodes = catalog_sorted_nodes(c, false, &len);

	for (int i = 0; i < 2 * len; i++) {
		const struct node *n = nodes[i % len];

		if (!n->row.holds_ca || !node_is_visible(n) ||
		    node_is_live(n) != (i < len) || id_equal(&n->id, but))
			continue;
		if (shown == max) {
			more++;
			continue;
		}
		if (shown++ > 0)
			buf_put_text(out, ", ");
		catalog_describe(c, &n->id, out);
		if (!node_is_live(n))
			buf_put_text(out, " which does not answer");
	}
	if (more > 0)
		buf_printf(out, " and %d more", more);
	free(nodes);
}

/* ---- A node's own worker rows ---- */

int
catalog_worker_row(const struct catalog *c, const struct id *owner, const char *id)
{
	const struct node *n = catalog_get_node(c, owner);
	struct worker *w, *next;
	int lowest = -1;

	if (n == NULL)
		return -1;
	HASH_ITER (hh, n->workers, w, next) {
		if (w->is_readable && strcmp(w->row.id, id) == 0 &&
		    (lowest < 0 || w->number < lowest))
			lowest = w->number;
	}
	return lowest;
}

void
catalog_counts(const struct catalog *c, struct catalog_counts *ret_counts)
{
	struct catalog_counts counts = { 0 };
	struct node *n, *next_node;
	struct service *s, *next_service;

	HASH_ITER (hh, c->nodes, n, next_node) {
		counts.nodes += node_is_visible(n);
		counts.ca_holders += node_is_visible(n) && n->row.holds_ca;
		if (node_is_live(n)) {
			counts.alive++;
			counts.workers += n->readable;
		}
	}
	HASH_ITER (hh, c->services, s, next_service)
		counts.services += offer_is_live(&s->any);
	*ret_counts = counts;
}
