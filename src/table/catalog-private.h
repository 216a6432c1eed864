/* SPDX-License-Identifier: Apache-2.0 */
/* How the catalog is kept, for its own files only.
 *
 * Nodes and services are hashed by id and name. A service has one offer for each text
 * that a worker announced as match, one with the text "" for workers that announced none,
 * and one, `any`, that counts each worker once. An offer is an array of (node, counts) in
 * order of node id. It is kept whether or not the node is visible, so that a verdict
 * about a node with a thousand workers touches one word; visibility is decided when
 * somebody asks. */
#ifndef OCF_TABLE_CATALOG_PRIVATE_H
#define OCF_TABLE_CATALOG_PRIVATE_H

#include "table/catalog.h"

#include <uthash.h>

/* Items of one size that lie together. A look-up reads a little of each node and offer that
 * it finds: on the heap, among the workers, each would be on a page of its own, which the
 * processor has to look up first. */
struct pool {
	size_t size;  /* of an item */
	void *free;   /* the first of those that are free; each points to the next */
	char *unused; /* so many of the last chunk were never taken */
	size_t n_unused;
	size_t chunk_bytes; /* of the next */
	void *chunks;	    /* each points to the next */
};

struct worker {
	int number; /* the row's name */
	struct node *node;
	bool is_readable;
	struct table_worker row; /* zeros when it is not readable */
	UT_hash_handle hh;	 /* in node->workers */
};

/* A ban or forget row. */
struct bar {
	struct table_bar row; /* zeros when it cannot be read */
	uint64_t stamp;
};

struct node {
	/* What a look-up reads of it, together. */
	struct id id;
	enum catalog_state state; /* of what is below, see node_update() */
	bool has_row;
	bool is_over; /* its lease, as of the last catalog_expire() */
	enum catalog_state verdict;
	struct table_node row;	  /* zeros without one */
	uint64_t stamp;		  /* the row's highest; 0 without one */
	struct worker *workers;	  /* by number */
	int readable;		  /* of those */
	struct bar *ban, *forget; /* NULL: not banned, not forgotten */
	UT_hash_handle hh;
};

/* What one node has for one offer. */
struct stake {
	struct node *node;
	int ready;
	int draining;
	int slots; /* of those that are ready */
};

/* What a look-up reads lies together: the stakes unless they are many, and the match unless
 * it is long. */
enum { OFFER_FEW = 8, OFFER_MATCH_BYTES = 32 };
struct offer {
	const struct service *service;
	char *match; /* "" = none announced; `short_match`, or on the heap */
	int len;
	int cap;
	struct stake *stakes; /* ascending node ids; `few`, or on the heap */
	char short_match[OFFER_MATCH_BYTES];
	struct stake few[OFFER_FEW];
	struct offer *prev, *next; /* of the service */
};

/* All of them, by (service, match). */
struct offers {
	struct offer_slot {
		uint64_t hash;
		struct offer *offer; /* NULL: free */
	} * slots;
	size_t mask; /* their number less one: a power of two less one */
	size_t len;
};

struct service {
	char *name;
	struct offer any;
	struct offer *none;   /* of those below, the one for no match; or NULL */
	struct offer *offers; /* list, in no order */
	int offers_len;
	UT_hash_handle hh;
};

struct catalog {
	uint64_t expired; /* leases at or before it are over */
	struct node *nodes;
	struct pool node_pool, offer_pool;
	struct offers offers;
	struct service *services;
	catalog_change_fn *watch; /* NULL: nobody watches */
	void *watch_arg;
};

/* What somebody who watches saw of a node, or of one of its workers, before a change. */
struct watch_node {
	struct id id;
	json_t *row; /* NULL: none */
	bool is_visible, is_live, is_draining;
};
struct watch_worker {
	struct id node;
	int number;
	char *id; /* NULL: it was not listed */
	json_t *row;
};

static inline enum catalog_state
node_state(const struct node *n)
{
	return n->state;
}
/* Its rows count for something: held, not left, not over, not forgotten, not banned. */
static inline bool
node_is_visible(const struct node *n)
{
	return n->has_row && n->state < CATALOG_LEFT;
}
/* And it is not dead or unreachable: it is in the counts that people see. */
bool node_is_live(const struct node *n);

/* catalog-offers.c */
void pool_init(struct pool *pool, size_t size);
void *pool_take(struct pool *pool); /* zeroed */
void pool_give(struct pool *pool, void *item);
void pool_fini(struct pool *pool); /* and all items */
/* NULL when there is none. */
struct offer *offers_find(const struct offers *all, const struct service *s,
			  const char *match);
void offers_add(struct offers *all, struct offer *o);
void offers_remove(struct offers *all, const struct offer *o);
void offers_fini(struct offers *all); /* empty */
void offer_init(struct offer *o, struct service *s,
		const char *match); /* zeroed before */
void offer_fini(struct offer *o);
/* Count a worker in (by = 1) or out (by = -1). */
void offer_count(struct offer *o, const struct worker *w, int by);
bool offer_is_live(const struct offer *o);

/* catalog-watch.c; before and behind each change, where c->watch is set. */
void watch_node_begin(const struct catalog *c, const struct id *id,
		      struct watch_node *ret);
void watch_node_end(const struct catalog *c, struct watch_node *before);
void watch_worker_begin(const struct catalog *c, const struct id *node, int number,
			struct watch_worker *ret);
void watch_worker_end(const struct catalog *c, struct watch_worker *before);

/* catalog-json.c: an element of a list; `contact` NULL: without what only contacts and
 * workers change. */
json_t *node_json(const struct node *n, const struct catalog_contact *contact);
json_t *worker_json(const struct worker *w);
/* What it is in, on a node that is live, and that drains. */
const char *worker_state_text(const struct worker *w, bool is_live, bool is_draining);

/* catalog.c */

struct node *catalog_get_node(const struct catalog *c, const struct id *id);
/* What the node is called: by its row, or else by its ban; "" = not known. */
const char *node_name(const struct node *n);
/* All nodes that have a row, and those that have none and are banned if so asked, ascending
 * by id; free(3) the array. */
struct node **catalog_sorted_nodes(const struct catalog *c, bool with_banned,
				   int *ret_len);
/* Services with a live stake, ascending by name; likewise. */
struct service **catalog_sorted_services(const struct catalog *c, int *ret_len);
/* A service's offers, ascending by match; likewise. */
struct offer **service_sorted_offers(const struct service *s, int *ret_len);

#endif
