/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's state: rows and verdicts in, offers kept. How these lie in memory is in
 * catalog-offers.c; asking is in catalog-lookup.c,
 * lists for people in catalog-json.c. */
#include "config.h"

#include "table/catalog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/hex.h"
#include "base/mem.h"
#include "table/catalog-private.h"

const char *
catalog_state_text(enum catalog_state state)
{
	static const char *const texts[] = {
		[CATALOG_ALIVE] = "alive",	   [CATALOG_SUSPECT] = "suspect",
		[CATALOG_DRAINING] = "draining",   [CATALOG_UNREACHABLE] = "unreachable",
		[CATALOG_DEAD] = "dead",	   [CATALOG_LEFT] = "left",
		[CATALOG_FORGOTTEN] = "forgotten", [CATALOG_BANNED] = "banned",
	};

	assert((size_t)state < sizeof(texts) / sizeof(texts[0]));
	return texts[state];
}

/* ---- Nodes ---- */

static enum catalog_state
node_find_state(const struct node *n)
{
	if (n->ban != NULL)
		return CATALOG_BANNED;
	if (n->forget != NULL)
		return CATALOG_FORGOTTEN;
	if (n->row.has_left || n->is_over)
		return CATALOG_LEFT;
	if (n->row.is_draining && n->verdict < CATALOG_DRAINING)
		return CATALOG_DRAINING;
	return n->verdict;
}

bool
node_is_live(const struct node *n)
{
	return n->has_row && node_state(n) <= CATALOG_DRAINING;
}

struct node *
catalog_get_node(const struct catalog *c, const struct id *id)
{
	struct node *n;

	HASH_FIND(hh, c->nodes, id->b, ID_BYTES, n);
	return n;
}

static void
node_set_bar(struct bar **bar, const struct version *v)
{
	if (*bar != NULL)
		table_bar_fini(&(*bar)->row);
	free(*bar);
	*bar = NULL;
	if (v == NULL)
		return;
	*bar = mem_calloc(1, sizeof(**bar));
	(*bar)->stamp = v->stamp;
	/* One of a later version, that cannot be read, bars as well. */
	if (table_bar_decode(v->value, &(*bar)->row, NULL) != 0)
		memset(&(*bar)->row, 0, sizeof((*bar)->row));
}

static void
catalog_free_node(struct catalog *c, struct node *n)
{
	HASH_DEL(c->nodes, n);
	node_set_bar(&n->ban, NULL);
	node_set_bar(&n->forget, NULL);
	table_node_fini(&n->row);
	pool_give(&c->node_pool, n);
}

static struct node *
catalog_make_node(struct catalog *c, const struct id *id)
{
	struct node *n = catalog_get_node(c, id);

	if (n != NULL)
		return n;
	n = pool_take(&c->node_pool);
	n->id = *id;
	HASH_ADD(hh, c->nodes, id.b, ID_BYTES, n);
	return n;
}

/* Something about the node changed; it is forgotten when nothing is known any more. */
static void
node_update(struct catalog *c, struct node *n)
{
	n->state = node_find_state(n);
	if (n->has_row || n->workers != NULL || n->ban != NULL || n->forget != NULL ||
	    n->verdict != CATALOG_ALIVE)
		return;
	catalog_free_node(c, n);
}

/* ---- Offers ---- */

static void
service_count(struct catalog *c, struct service *s, const char *match,
	      const struct worker *w, int by)
{
	struct offer *o = offers_find(&c->offers, s, match);

	if (o == NULL) {
		o = pool_take(&c->offer_pool);
		offer_init(o, s, match);
		offers_add(&c->offers, o);
		DL_APPEND(s->offers, o);
		s->offers_len++;
		if (match[0] == '\0')
			s->none = o;
	}
	offer_count(o, w, by);
	if (o->len > 0)
		return;
	if (o == s->none)
		s->none = NULL;
	offers_remove(&c->offers, o);
	DL_DELETE(s->offers, o);
	s->offers_len--;
	offer_fini(o);
	pool_give(&c->offer_pool, o);
}

static void
catalog_count_service(struct catalog *c, const struct table_service *ts,
		      const struct worker *w, int by)
{
	struct service *s;

	HASH_FIND_STR(c->services, ts->name, s);
	if (s == NULL) {
		s = mem_calloc(1, sizeof(*s));
		s->name = mem_strdup(ts->name);
		offer_init(&s->any, s, "");
		HASH_ADD_KEYPTR(hh, c->services, s->name, strlen(s->name), s);
	}
	offer_count(&s->any, w, by);
	if (ts->match_len == 0)
		service_count(c, s, "", w, by);
	for (int i = 0; i < ts->match_len; i++)
		service_count(c, s, ts->match[i], w, by);
	if (s->any.len > 0)
		return;
	assert(s->offers == NULL);
	HASH_DEL(c->services, s);
	offer_fini(&s->any);
	free(s->name);
	free(s);
}

static void
catalog_count_worker(struct catalog *c, struct worker *w, int by)
{
	if (!w->is_readable)
		return;
	for (int i = 0; i < w->row.services_len; i++)
		catalog_count_service(c, &w->row.services[i], w, by);
	w->node->readable += by;
}

/* ---- Rows ---- */

static void
catalog_drop_worker(struct catalog *c, struct worker *w)
{
	catalog_count_worker(c, w, -1);
	HASH_DEL(w->node->workers, w);
	table_worker_fini(&w->row);
	free(w);
}

static void
node_date(const struct catalog *c, struct node *n)
{
	n->is_over = n->stamp != 0 && n->stamp <= c->expired;
}

static int
catalog_apply_node(struct catalog *c, struct node *n, const struct row *row,
		   const struct version *v, struct errmsg *err)
{
	int rc = 0;

	table_node_fini(&n->row);
	n->has_row = false;
	n->stamp = row != NULL ? row_stamp(row) : 0;
	node_date(c, n);
	if (v != NULL) {
		rc = table_node_decode(v->value, &n->row, err);
		n->has_row = rc == 0;
	}
	node_update(c, n);
	return rc;
}

static int
catalog_apply_worker(struct catalog *c, struct node *n, int number,
		     const struct version *v, struct errmsg *err)
{
	struct worker *w;
	int rc = 0;

	HASH_FIND_INT(n->workers, &number, w);
	if (w != NULL)
		catalog_drop_worker(c, w);
	if (v != NULL) {
		w = mem_calloc(1, sizeof(*w));
		w->number = number;
		w->node = n;
		rc = table_worker_decode(v->value, &w->row, err);
		w->is_readable = rc == 0;
		HASH_ADD_INT(n->workers, number, w);
		catalog_count_worker(c, w, 1);
	}
	node_update(c, n);
	return rc;
}

/* A ban or forget row names the node that it is about. */
static int
catalog_apply_bar(struct catalog *c, const struct row_key *key, const struct version *v,
		  struct errmsg *err)
{
	struct node *n;
	struct id id;

	if (id_parse(key->name, &id) != 0)
		return error_set(err, -OCF_EMALFORMED, "its name is not a node's id");
	n = catalog_make_node(c, &id);
	node_set_bar(key->kind == ROW_BAN ? &n->ban : &n->forget, v);
	node_update(c, n);
	return 0;
}

static int
worker_number(const struct row_key *key, int *ret_number)
{
	int number = 0;

	if (key->name_len < 1 || key->name_len > 9)
		return -OCF_EMALFORMED;
	for (int i = 0; i < key->name_len; i++) {
		if (key->name[i] < '0' || key->name[i] > '9')
			return -OCF_EMALFORMED;
		number = 10 * number + (key->name[i] - '0');
	}
	*ret_number = number;
	return 0;
}

static int
catalog_change(struct catalog *c, const struct row_key *key, const struct row *row,
	       struct errmsg *err)
{
	const struct version *v = row != NULL ? row_visible(row) : NULL;
	int number;

	switch (key->kind) {
	case ROW_NODE:
		return catalog_apply_node(c, catalog_make_node(c, &key->owner), row, v,
					  err);
	case ROW_WORKER:
		if (worker_number(key, &number) != 0)
			return error_set(err, -OCF_EMALFORMED,
					 "its name is not a number");
		return catalog_apply_worker(c, catalog_make_node(c, &key->owner), number,
					    v, err);
	case ROW_BAN:
	case ROW_FORGET:
		return catalog_apply_bar(c, key, v, err);
	default:
		if (row_kind_is_leased(key->kind))
			return 0; /* of a later version, for others */
		return error_set(err, -OCF_EMALFORMED, "its kind %d is not known",
				 key->kind);
	}
}

int
catalog_apply(struct catalog *c, const struct row_key *key, const struct row *row,
	      struct errmsg *err)
{
	struct watch_worker worker;
	struct watch_node node;
	struct id id = key->owner;
	int number, rc;

	if (c->watch == NULL)
		return catalog_change(c, key, row, err);
	if (key->kind == ROW_WORKER && worker_number(key, &number) == 0) {
		watch_worker_begin(c, &id, number, &worker);
		rc = catalog_change(c, key, row, err);
		watch_worker_end(c, &worker);
		return rc;
	}
	/* A ban or a forget is about another. */
	if (key->kind != ROW_NODE && id_parse(key->name, &id) != 0)
		return catalog_change(c, key, row, err);
	watch_node_begin(c, &id, &node);
	rc = catalog_change(c, key, row, err);
	watch_node_end(c, &node);
	return rc;
}

void
catalog_set_state(struct catalog *c, const struct id *node, enum catalog_state state)
{
	struct node *n = catalog_make_node(c, node);
	struct watch_node before;

	assert(state <= CATALOG_LEFT);
	if (c->watch != NULL)
		watch_node_begin(c, node, &before);
	n->verdict = state;
	node_update(c, n);
	if (c->watch != NULL)
		watch_node_end(c, &before);
}

void
catalog_expire(struct catalog *c, ms_t lease_ms)
{
	struct node *n, *next;

	c->expired = lease_ms > 0 ? (uint64_t)lease_ms : 0;
	HASH_ITER (hh, c->nodes, n, next) {
		bool was_over = n->is_over, is_watched;
		struct watch_node before;

		node_date(c, n);
		is_watched = c->watch != NULL && n->is_over != was_over;
		if (is_watched)
			watch_node_begin(c, &n->id, &before);
		node_update(c, n);
		if (is_watched)
			watch_node_end(c, &before);
	}
}

struct catalog *
catalog_new(void)
{
	struct catalog *c = mem_calloc(1, sizeof(*c));

	pool_init(&c->node_pool, sizeof(struct node));
	pool_init(&c->offer_pool, sizeof(struct offer));
	return c;
}

void
catalog_free(struct catalog *c)
{
	struct node *n, *next_node;
	struct worker *w, *next_worker;

	if (c == NULL)
		return;
	HASH_ITER (hh, c->nodes, n, next_node) {
		HASH_ITER (hh, n->workers, w, next_worker)
			catalog_drop_worker(c, w);
		catalog_free_node(c, n);
	}
	assert(c->services == NULL);
	pool_fini(&c->node_pool);
	pool_fini(&c->offer_pool);
	offers_fini(&c->offers);
	free(c);
}

/* ---- Sorted views ---- */

static int
compare_nodes(const void *a, const void *b)
{
	struct node *const *x = a, *const *y = b;

	return id_compare(&(*x)->id, &(*y)->id);
}

const char *
node_name(const struct node *n)
{
	const struct bar *bar = n->ban != NULL ? n->ban : n->forget;

	/* Of one that has left, the row tells none. */
	if (n->has_row && n->row.name[0] != '\0')
		return n->row.name;
	return bar != NULL && bar->row.name != NULL ? bar->row.name : "";
}

struct node **
catalog_sorted_nodes(const struct catalog *c, bool with_banned, int *ret_len)
{
	struct node **nodes = mem_calloc(HASH_COUNT(c->nodes) + 1, sizeof(*nodes));
	struct node *n, *next;
	int len = 0;

	HASH_ITER (hh, c->nodes, n, next) {
		if (n->has_row || (with_banned && n->ban != NULL))
			nodes[len++] = n;
	}
	qsort(nodes, (size_t)len, sizeof(*nodes), compare_nodes);
	*ret_len = len;
	return nodes;
}

static int
compare_services(const void *a, const void *b)
{
	struct service *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

struct service **
catalog_sorted_services(const struct catalog *c, int *ret_len)
{
	struct service **services = mem_calloc(HASH_COUNT(c->services) + 1,
					       sizeof(*services));
	struct service *s, *next;
	int len = 0;

	HASH_ITER (hh, c->services, s, next) {
		if (offer_is_live(&s->any))
			services[len++] = s;
	}
	qsort(services, (size_t)len, sizeof(*services), compare_services);
	*ret_len = len;
	return services;
}

static int
compare_offers(const void *a, const void *b)
{
	struct offer *const *x = a, *const *y = b;

	return strcmp((*x)->match, (*y)->match);
}

struct offer **
service_sorted_offers(const struct service *s, int *ret_len)
{
	struct offer **offers = mem_calloc((size_t)s->offers_len + 1, sizeof(*offers));
	struct offer *o;
	int len = 0;

	DL_FOREACH (s->offers, o)
		offers[len++] = o;
	qsort(offers, (size_t)len, sizeof(*offers), compare_offers);
	*ret_len = len;
	return offers;
}
