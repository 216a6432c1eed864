/* SPDX-License-Identifier: Apache-2.0 */
/* How queries reach a node that is not linked: by a link to it, opened for that, or, where it
 * takes none, by one of those who are linked to it. The rules are told in mesh/mesh.h. */
#include "config.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "mesh/core.h"

enum {
	WAY_HOPS_MAX = 1 + MESH_NEIGHBOURS_MAX,
	WAY_NOT_MS = 30 * MS_SECOND, /* who could not pass a query on is not asked to */
	WAY_AGAIN_MS = MS_SECOND, /* after none was found: another one is not looked for */
};

static bool
way_is_not_by(const struct mesh *m, const struct mesh_way *w, const struct mesh_node *n)
{
	if (w == NULL || w->until <= m->now)
		return false;
	for (int i = 0; i < w->not_by_len; i++)
		if (w->not_by[i] == n)
			return true;
	return false;
}

/* Those who are linked to it, by the rings, and so may pass a query on. */
static int
way_relays(const struct mesh *m, const struct mesh_node *n,
	   struct mesh_node *ret[MESH_NEIGHBOURS_MAX])
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int all = mesh_neighbours(m, n, mesh_is_reachable, nodes), len = 0;

	for (int i = 0; i < all; i++)
		if (nodes[i] != &m->self && !way_is_not_by(m, n->way, nodes[i]))
			ret[len++] = nodes[i];
	return len;
}

/* Whom to be linked with would make a way. */
static int
way_hops(const struct mesh *m, struct mesh_node *n, struct mesh_node *ret[WAY_HOPS_MAX])
{
	int len = 0;

	if (n->inbound != MESH_INBOUND_NO)
		ret[len++] = n;
	if (n->inbound != MESH_INBOUND_YES)
		len += way_relays(m, n, &ret[len]);
	return len;
}

static int
way_links(const struct mesh *m, const struct mesh_node *n, uint64_t *ret_links, int max)
{
	struct mesh_node *relays[MESH_NEIGHBOURS_MAX];
	int all = way_relays(m, n, relays), len = 0;

	for (int i = 0; i < all && len < max; i++)
		if (relays[i]->link != 0)
			ret_links[len++] = relays[i]->link;
	return len;
}

int
mesh_relays_to(const struct mesh *m, const struct id *node, uint64_t *ret_links, int max)
{
	const struct mesh_node *n = mesh_node_find(m, node);

	if (n == NULL || n->link != 0 || n->is_gone || n->inbound == MESH_INBOUND_YES)
		return 0;
	return way_links(m, n, ret_links, max);
}

bool
mesh_may_open_way(const struct mesh *m, const struct id *node)
{
	struct mesh_node *n = mesh_node_find(m, node);

	if (n == NULL || n->is_gone || n->has_left)
		return false;
	/* Of one that is suspect we know no more than others say, if it is not for us to watch. */
	return n->state == MESH_NODE_ALIVE ||
	       (n->state == MESH_NODE_SUSPECT && !mesh_is_wanted(m, n));
}

/* ---- looking for one ---- */

static struct mesh_way *
way_get(struct mesh *m, struct mesh_node *n)
{
	struct mesh_way *w = n->way;

	if (w == NULL) {
		w = n->way = mem_calloc(1, sizeof(*w));
		w->node = n;
		DL_APPEND(m->ways, w);
	}
	if (w->due == 0 && w->until <= m->now)
		w->not_by_len = 0;
	return w;
}

static void
way_end(struct mesh *m, struct mesh_way *w, uint64_t link)
{
	struct mesh_item *item = mesh_act(m, MESH_ACTION_WAY, link);

	item->action.node = w->node->id;
	if (w->due != 0 && link == 0)
		w->again_at = m->now + WAY_AGAIN_MS;
	w->due = 0;
	if (w->until < m->now + WAY_AGAIN_MS)
		w->until = m->now + WAY_AGAIN_MS;
	mesh_want(m, w->until);
}

static void
way_start(struct mesh *m, struct mesh_way *w)
{
	struct mesh_node *hops[WAY_HOPS_MAX];
	int len = way_hops(m, w->node, hops);

	w->due = m->now + MESH_WAY_MS;
	for (int i = 0; i < len; i++) {
		struct mesh_node *n = hops[i];

		n->way_until = m->now + MESH_IDLE_MS;
		n->way_dials = n->addresses_len > 0 ? n->addresses_len : 1;
	}
	mesh_want(m, m->now);
}

/* By this link it did not work. */
static void
way_note_not_by(struct mesh *m, struct mesh_way *w, uint64_t link)
{
	const struct mesh_link *l = mesh_link_find(m, link);

	if (l == NULL || l->node == NULL || l->node == w->node ||
	    way_is_not_by(m, w, l->node) || w->not_by_len == MESH_NEIGHBOURS_MAX)
		return;
	w->not_by[w->not_by_len++] = l->node;
	w->until = m->now + WAY_NOT_MS;
}

void
mesh_way_open(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_node *n = mesh_node_find(m, &e->node);
	uint64_t links[MESH_NEIGHBOURS_MAX];
	struct mesh_way *w;
	int len;

	if (!mesh_may_open_way(m, &e->node)) {
		mesh_act(m, MESH_ACTION_WAY, 0)->action.node = e->node;
		return;
	}
	w = way_get(m, n);
	way_note_not_by(m, w, e->link);
	len = mesh_relays_to(m, &n->id, links, MESH_NEIGHBOURS_MAX);
	if (n->link != 0)
		way_end(m, w, n->link);
	else if (len > 0)
		way_end(m, w, links[rng_below(&m->rng, (uint64_t)len)]);
	else if (w->due != 0)
		return; /* one answer is for all who asked */
	else if (w->again_at > m->now)
		way_end(m, w, 0);
	else
		way_start(m, w);
}

void
mesh_ways_link_up(struct mesh *m, struct mesh_node *n)
{
	struct mesh_way *w;

	DL_FOREACH (m->ways, w) {
		struct mesh_node *hops[WAY_HOPS_MAX];
		int len = w->due != 0 ? way_hops(m, w->node, hops) : 0;

		for (int i = 0; i < len; i++)
			if (hops[i] == n) {
				way_end(m, w, n->link);
				break;
			}
	}
}

/* ---- time ---- */

/* Every address of each has been tried. A leaf then asks those who are linked to the node:
 * what others reach it may not. */
static void
way_give_up(struct mesh *m, struct mesh_way *w)
{
	uint64_t link = 0;

	if (mesh_is_leaf(m))
		way_links(m, w->node, &link, 1);
	way_end(m, w, link);
}

static void
way_tick(struct mesh *m, struct mesh_way *w)
{
	struct mesh_node *hops[WAY_HOPS_MAX];
	int len = way_hops(m, w->node, hops);
	bool is_open = false;

	for (int i = 0; i < len; i++) {
		struct mesh_node *n = hops[i];

		if (n->links == 0 && n->way_dials > 0) {
			n->next_dial = m->now; /* they are few */
			mesh_dial_node(m, n);
		}
		is_open |= n->links > 0;
	}
	if (!is_open || w->due <= m->now)
		way_give_up(m, w);
	else
		mesh_want(m, w->due);
}

void
mesh_ways_tick(struct mesh *m)
{
	struct mesh_way *w, *next;

	DL_FOREACH_SAFE (m->ways, w, next) {
		if (w->due != 0) {
			way_tick(m, w);
		} else if (w->until <= m->now) {
			w->node->way = NULL;
			DL_DELETE(m->ways, w);
			free(w);
		} else {
			mesh_want(m, w->until);
		}
	}
}

void
mesh_ways_free(struct mesh *m)
{
	struct mesh_way *w, *next;

	DL_FOREACH_SAFE (m->ways, w, next) {
		DL_DELETE(m->ways, w);
		free(w);
	}
}
