/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of what people see, found by comparing what they saw before with what they see
 * then. What hides or shows a node hides or shows its workers, too. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "table/catalog-private.h"

void
catalog_watch(struct catalog *c, catalog_change_fn *fn, void *arg)
{
	c->watch = fn;
	c->watch_arg = arg;
}

/* What differs, as a word; NULL: nothing. Both may be NULL. */
static const char *
watch_op(json_t *before, json_t *after)
{
	static const char *const states[] = { "state", "alive" };
	json_t *a, *b;
	bool is_state_alone;

	if (before == NULL || after == NULL)
		return before != NULL ? "remove" : after != NULL ? "add" : NULL;
	if (json_equal(before, after))
		return NULL;
	a = json_copy(before);
	b = json_copy(after);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		json_object_del(a, states[i]);
		json_object_del(b, states[i]);
	}
	is_state_alone = json_equal(a, b);
	json_decref(a);
	json_decref(b);
	return is_state_alone ? "state" : "update";
}

static void
watch_tell(const struct catalog *c, const char *kind, const char *id,
	   const struct id *node, json_t *before, json_t *after)
{
	struct catalog_change change = { .kind = kind,
					 .op = watch_op(before, after),
					 .id = id,
					 .node = *node,
					 .row = after };

	if (change.op != NULL)
		c->watch(c->watch_arg, &change);
}

/* ---- a worker ---- */

static json_t *
watch_worker_row(const struct worker *w)
{
	return w != NULL && w->is_readable && node_is_visible(w->node) ? worker_json(w)
								       : NULL;
}

static const struct worker *
watch_find_worker(const struct catalog *c, const struct id *node, int number)
{
	struct node *n = catalog_get_node(c, node);
	struct worker *w = NULL;

	if (n != NULL)
		HASH_FIND_INT(n->workers, &number, w);
	return w;
}

void
watch_worker_begin(const struct catalog *c, const struct id *node, int number,
		   struct watch_worker *ret)
{
	const struct worker *w = watch_find_worker(c, node, number);

	*ret = (struct watch_worker){ .node = *node, .number = number };
	ret->row = watch_worker_row(w);
	ret->id = ret->row != NULL ? mem_strdup(w->row.id) : NULL;
}

void
watch_worker_end(const struct catalog *c, struct watch_worker *before)
{
	const struct worker *w = watch_find_worker(c, &before->node, before->number);
	json_t *row = watch_worker_row(w);

	/* Another worker may have taken the number. */
	if (row != NULL && before->id != NULL && strcmp(before->id, w->row.id) != 0) {
		watch_tell(c, "worker", before->id, &before->node, before->row, NULL);
		json_decref(before->row);
		before->row = NULL;
	}
	if (row != NULL || before->row != NULL)
		watch_tell(c, "worker", row != NULL ? w->row.id : before->id,
			   &before->node, before->row, row);
	json_decref(row);
	json_decref(before->row);
	free(before->id);
}

/* ---- a node ---- */

void
watch_node_begin(const struct catalog *c, const struct id *id, struct watch_node *ret)
{
	const struct node *n = catalog_get_node(c, id);

	*ret = (struct watch_node){ .id = *id };
	if (n == NULL)
		return;
	ret->is_visible = node_is_visible(n);
	ret->is_live = node_is_live(n);
	ret->is_draining = node_state(n) == CATALOG_DRAINING;
	ret->row = n->has_row ? node_json(n, NULL) : NULL;
}

/* A worker as it was shown while its node was as before. (That its node has another name is
 * told as the node's change alone.) */
static json_t *
watch_row_before(const struct worker *w, const struct watch_node *before)
{
	json_t *row;

	if (!before->is_visible)
		return NULL;
	row = worker_json(w);
	json_object_set_new(
		row, "state",
		json_string(worker_state_text(w, before->is_live, before->is_draining)));
	return row;
}

static void
watch_workers(const struct catalog *c, const struct node *n,
	      const struct watch_node *before)
{
	struct worker *w, *next;

	HASH_ITER (hh, n->workers, w, next) {
		json_t *was, *is;

		if (!w->is_readable)
			continue;
		was = watch_row_before(w, before);
		is = watch_worker_row(w);
		watch_tell(c, "worker", w->row.id, &n->id, was, is);
		json_decref(was);
		json_decref(is);
	}
}

void
watch_node_end(const struct catalog *c, struct watch_node *before)
{
	const struct node *n = catalog_get_node(c, &before->id);
	struct watch_node now;
	char id[ID_TEXT_SIZE];

	watch_node_begin(c, &before->id, &now);
	watch_tell(c, "node", id_text(&before->id, id), &before->id, before->row,
		   now.row);
	if (n != NULL &&
	    (now.is_visible != before->is_visible || now.is_live != before->is_live ||
	     now.is_draining != before->is_draining))
		watch_workers(c, n, before);
	json_decref(now.row);
	json_decref(before->row);
}
