/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog: the table as queries and people see it, in memory. It is fed every change
 * of a row and every verdict about a node, and answers without parsing and without the
 * disk.
 *
 * What is visible follows from the rows held and from the overlay of liveness alone, in
 * whatever order they came: a worker counts only while its owner's node row is held and
 * has not left, its lease goes on, and it is not banned and not forgotten. Nodes that are
 * dead or unreachable, and workers that drain, are still known, but are no providers. (A row
 * that is swept is applied here as not held.)
 *
 * Not thread-safe: it belongs to the loop's thread. Lists of JSON (jansson) are the
 * caller's reference, to be dropped by json_decref(). */
#ifndef OCF_TABLE_CATALOG_H
#define OCF_TABLE_CATALOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/id.h"
#include "crdt/row.h"
#include "table/rows.h"

struct catalog;

/* In the order of what hides more. The first two may serve queries. */
enum catalog_state {
	CATALOG_ALIVE, /* also before anything was said of a node */
	CATALOG_SUSPECT,
	CATALOG_DRAINING,
	CATALOG_UNREACHABLE,
	CATALOG_DEAD,
	CATALOG_LEFT, /* or its lease is over */
	CATALOG_FORGOTTEN,
	CATALOG_BANNED,
};

/* "alive", "suspect", … as `ocf nodes` shows them. */
const char *catalog_state_text(enum catalog_state state);

struct catalog *catalog_new(void);
void catalog_free(struct catalog *c); /* NULL is allowed */

/* The row's state is now `row`; NULL or an empty row: not held any more. A value that
 * cannot be read makes the row invisible and the result -OCF_EMALFORMED (why in `err`);
 * nothing else fails. Ban and forget rows count whoever owns them, for their signature was
 * checked, and whether or not their value can be read. */
int catalog_apply(struct catalog *c, const struct row_key *key, const struct row *row,
		  struct errmsg *err);
/* What failure detection says (ALIVE … LEFT); remembered also for a node whose row is not
 * held, until it is set back to CATALOG_ALIVE. */
void catalog_set_state(struct catalog *c, const struct id *node,
		       enum catalog_state state);

/* The leases that end at or before `lease_ms` are over: those of nodes whose row's highest
 * stamp is at or before it. To be told from time to time; a lease that was over and is
 * renewed, or is none by a clock that was set back, goes on. */
void catalog_expire(struct catalog *c, ms_t lease_ms);

/* ---- Nodes ---- */

struct catalog_node {
	struct id id;
	enum catalog_state state; /* with its row, bans and forgets taken in */
	const struct table_node *row;
	int workers; /* worker rows held that can be read */
};

/* Views into the catalog: valid until its next change. False when no node row is held. */
bool catalog_node(const struct catalog *c, const struct id *node,
		  struct catalog_node *ret_node);
/* Is it banned or forgotten, whether or not its row is held? */
bool catalog_is_barred(const struct catalog *c, const struct id *node);

/* A ban or a forget that stands. */
struct catalog_bar {
	struct id by;	    /* who wrote it; zero: its row cannot be read */
	const char *name;   /* of the node, as its author knew it; "" */
	const char *reason; /* "" = none was given */
	ms_t at_ms;	    /* wall clock */
};
/* `kind` is ROW_BAN or ROW_FORGET. A view, as above. False: it is not. */
bool catalog_bar(const struct catalog *c, const struct id *node, enum row_kind kind,
		 struct catalog_bar *ret_bar);
/* Append "n1 (ab12cd34)", or the id of a node whose name is not known. */
void catalog_describe(const struct catalog *c, const struct id *id, struct buf *out);
/* For a sentence: the nodes, as above, that hold the cluster's CA key as far as their rows
 * say, but for one; at most `max` of them. Appends nothing when there are none. */
void catalog_ca_holders(const struct catalog *c, const struct id *but, int max,
			struct buf *out);
/* A node by its id, a unique beginning of the id (at least 4 digits), or its name where
 * that is unambiguous. -OCF_EUNKNOWN, or -ENOTUNIQ when several fit. */
int catalog_find_node(const struct catalog *c, const char *text, struct id *ret_node);

/* ---- Providers ---- */

struct catalog_provider {
	struct id node;
	enum catalog_state state; /* alive or suspect */
	int workers;		  /* that match and are ready */
	int slots;		  /* of those; a legacy worker counts none */
};

/* In order of node id. The items are owned; reuse the struct from query to query. */
struct catalog_providers {
	int len;
	int cap;
	struct catalog_provider *items;
};

enum catalog_answer {
	CATALOG_FOUND,
	CATALOG_NO_SERVICE, /* 404: no visible row offers the service */
	CATALOG_NO_MATCH,   /* 404: rows, but none of them serves this selector */
	CATALOG_NO_NODE,    /* 404: rows that match, but not on the node asked for */
	CATALOG_NONE_READY, /* 503: a match, but dead, unreachable or draining */
};

/* Who can serve (service, selector) at this fallback level (interfaces.md: Selection).
 * `selector` NULL: any worker of the service. `pin` NULL or zero: any node. Fills `ret`
 * only for CATALOG_FOUND, and leaves it empty otherwise. */
enum catalog_answer catalog_providers(const struct catalog *c, const char *service,
				      const char *selector, int fallback,
				      const struct id *pin,
				      struct catalog_providers *ret);
void catalog_providers_fini(struct catalog_providers *p);

/* For the sentence of a 404: the names of the visible services in order ("a, b, c and 4
 * more"; at most `max` of them), or the matches of one. Appends nothing when there are
 * none. Control characters cannot occur in them. */
void catalog_offers(const struct catalog *c, int max, struct buf *out);
void catalog_matches(const struct catalog *c, const char *service, int max,
		     struct buf *out);

/* ---- A node's own worker rows ---- */

/* The number of the row in which `owner` describes its worker `id`; -1 for none. */
int catalog_worker_row(const struct catalog *c, const struct id *owner, const char *id);

/* ---- What people see ---- */

struct catalog_counts {
	int nodes;	/* rows held of nodes that have not left and are not forgotten or
			 banned */
	int alive;	/* of those: alive, suspect or draining */
	int ca_holders; /* of those, dead ones too: that hold the cluster's CA key */
	int workers;	/* visible: of those nodes that are alive, suspect or draining */
	int services;	/* distinct names that such workers offer */
};
void catalog_counts(const struct catalog *c, struct catalog_counts *ret_counts);

/* What only the daemon knows of a node, for one element of `ocf nodes`. */
struct catalog_contact {
	double rtt_ms;	    /* negative: not known (null) */
	double last_seen_s; /* likewise */
	bool is_past_grace; /* dead for longer than mesh.dead_grace */
};
typedef struct catalog_contact catalog_contact_fn(void *arg, const struct id *node);

/* The arrays of interfaces.md. Nodes in order of name, then id; `contact` may be NULL.
 * Without `with_gone` those that have left, are forgotten or banned, or are past the
 * grace of the dead are left out; with it there are also those that are banned and whose row
 * is not held. */
json_t *catalog_nodes_json(const struct catalog *c, bool with_gone,
			   catalog_contact_fn *contact, void *arg);
/* Workers in order of node id and row number; those of nodes that are dead or unreachable
 * have the state "hidden", those of nodes that left, are forgotten or banned are left
 * out. */
json_t *catalog_workers_json(const struct catalog *c);
/* An element per (service, match) with the counts of visible rows. "match" is null for
 * workers that announced none and so serve every query of the service. */
json_t *catalog_services_json(const struct catalog *c);

/* ---- Changes of what people see ---- */

/* One of them: a node row that is held or not, with its state; a worker that is listed or
 * not. A lease that goes on, and what only contacts know, is none. */
struct catalog_change {
	const char *kind; /* "node", "worker" */
	const char *op;	  /* "add", "update", "remove", "state": that alone has changed */
	const char *id;	  /* of the node, in hex, or the worker's own */
	struct id node;	  /* whose it is */
	/* As in the lists, but for a node's workers, rtt_ms and last_seen_s; NULL: removed. */
	const json_t *row;
};
typedef void catalog_change_fn(void *arg, const struct catalog_change *change);
/* From now on fn(arg) is told of each, behind it; it must not change the catalog. NULL ends
 * that. While nobody watches it costs nothing. */
void catalog_watch(struct catalog *c, catalog_change_fn *fn, void *arg);

#endif
