/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes a node that takes no links attaches to: its homes, which everybody can compute;
 * whom to dial; and a way to such a node for one that has none of its homes in common with
 * it. The rules are told in mesh/mesh.h. */
#include "config.h"

#include <string.h>

#include "mesh/core.h"

enum { HOMES_A_RING = 2 };

_Static_assert(MESH_HOMES_MAX == HOMES_A_RING * MESH_RINGS, "two on each ring");

bool
mesh_is_leaf(const struct mesh *m)
{
	return m->test.found == MESH_INBOUND_NO;
}

static uint64_t
ring_place(int ring, const struct id *id)
{
	return hash64(bytes_of(id->b, ID_BYTES), (uint64_t)ring);
}

/* Those who may be homes, as this node sees it. One that was too busy for us is none of
 * ours for a while; the next one on the ring is. */
static bool
home_is_fit(const struct mesh *m, const struct mesh_node *n, const struct id *leaf)
{
	bool is_ours = id_equal(leaf, &m->config.self);

	return n->inbound == MESH_INBOUND_YES && mesh_is_standing(m, n, n) &&
	       !id_equal(&n->id, leaf) && !(is_ours && n->busy_until > m->now);
}

static int
homes_add(struct mesh_node **homes, int len, struct mesh_node *n)
{
	for (int i = 0; i < len; i++)
		if (homes[i] == n)
			return len;
	homes[len] = n;
	return len + 1;
}

/* The nearest on one ring, the next first. */
static void
homes_of_ring(const struct mesh *m, int ring, const struct id *leaf,
	      struct mesh_node *ret[HOMES_A_RING])
{
	uint64_t start = ring_place(ring, leaf), ways[HOMES_A_RING] = { 0 };

	memset(ret, 0, HOMES_A_RING * sizeof(ret[0]));
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		uint64_t way = ring_place(ring, &n->id) - start;
		int at = HOMES_A_RING;

		if (!home_is_fit(m, n, leaf))
			continue;
		while (at > 0 && (ret[at - 1] == NULL || way < ways[at - 1]))
			at--;
		for (int i = HOMES_A_RING - 1; i > at; i--) {
			ret[i] = ret[i - 1];
			ways[i] = ways[i - 1];
		}
		if (at < HOMES_A_RING) {
			ret[at] = n;
			ways[at] = way;
		}
	}
}

/* Where rings overlap, the next ones on the first: as mesh_neighbours() does it for those who
 * watch the leaf. */
static int
homes_top_up(const struct mesh *m, const struct id *leaf, struct mesh_node **homes,
	     int len)
{
	uint64_t start = ring_place(0, leaf), way = 0;

	while (len < MESH_HOMES_MAX) {
		struct mesh_node *best = NULL;

		for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
			uint64_t its = ring_place(0, &n->id) - start;

			if (!home_is_fit(m, n, leaf) || (best != NULL && its >= way) ||
			    homes_add(homes, len, n) == len)
				continue;
			best = n;
			way = its;
		}
		if (best == NULL)
			break;
		len = homes_add(homes, len, best);
	}
	return len;
}

/* With fewer than MESH_HOMES_MAX that are fit, all of them. */
static int
homes_of(const struct mesh *m, const struct id *leaf,
	 struct mesh_node *ret[MESH_HOMES_MAX])
{
	int fit = 0, len = 0;

	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		if (!home_is_fit(m, n, leaf))
			continue;
		if (fit < MESH_HOMES_MAX)
			ret[fit] = n;
		fit++;
	}
	if (fit < MESH_HOMES_MAX)
		return fit;
	for (int ring = 0; ring < MESH_RINGS; ring++) {
		struct mesh_node *near[HOMES_A_RING];

		homes_of_ring(m, ring, leaf, near);
		for (int i = 0; i < HOMES_A_RING; i++)
			len = homes_add(ret, len, near[i]);
	}
	return homes_top_up(m, leaf, ret, len);
}

int
mesh_homes(const struct mesh *m, const struct id *leaf, struct id ret[MESH_HOMES_MAX])
{
	struct mesh_node *homes[MESH_HOMES_MAX];
	int len = homes_of(m, leaf, homes);

	for (int i = 0; i < len; i++)
		ret[i] = homes[i]->id;
	return len;
}

/* ---- whom to dial ---- */

static bool
homes_has_link(const struct mesh *m)
{
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP)
			return true;
	return false;
}

/* Reckoned once a second: with many nodes that takes a while. */
static void
homes_choose(struct mesh *m)
{
	struct mesh_node *homes[MESH_HOMES_MAX];
	int len = mesh_is_leaf(m) ? homes_of(m, &m->config.self, homes) : 0;

	m->homes_due = m->now + MESH_BEAT_MS;
	m->homes = len;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		n->is_home = false;
	for (int i = 0; i < len; i++)
		homes[i]->is_home = true;
}

void
mesh_homes_tick(struct mesh *m)
{
	uint64_t link;

	if (m->homes_due <= m->now)
		homes_choose(m);
	m->has_link = homes_has_link(m);
	m->homes_up = 0;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		m->homes_up += n->is_home && n->link != 0;
		if (n->way_due != 0 && mesh_relays_to(m, &n->id, &link, 1) > 0)
			mesh_way_end(m, n, link);
		else if (n->way_due != 0 && n->way_due <= m->now)
			mesh_way_end(m, n, 0);
		else if (n->way_due != 0)
			mesh_want(m, n->way_due);
	}
}

/* Without any link every node is tried: what is known may be old. And a node that seems to
 * be gone is tried once in a while even if it says that it takes no links. */
enum mesh_dialling
mesh_dialling_of(const struct mesh *m, const struct mesh_node *n)
{
	if (!m->has_link)
		return MESH_DIAL_SOON;
	if (n->inbound == MESH_INBOUND_NO)
		return n->state == MESH_NODE_DEAD ? MESH_DIAL_RARELY : MESH_DIAL_NEVER;
	if (!mesh_is_leaf(m) || n->is_home || n->way_until > m->now || m->homes == 0)
		return MESH_DIAL_SOON;
	return MESH_DIAL_NEVER;
}

/* A link of a leaf to a node that is no home of it, and that nobody needs now. */
bool
mesh_link_is_spare(const struct mesh *m, const struct mesh_link *l)
{
	return mesh_is_leaf(m) && m->homes_up > 0 &&
	       l->node->inbound != MESH_INBOUND_NO && !l->node->is_home &&
	       l->node->way_until <= m->now;
}

bool
mesh_is_full_for(const struct mesh *m, const struct mesh_node *n)
{
	int leaves = 0;

	if (n->inbound != MESH_INBOUND_NO || n->link != 0)
		return false;
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		leaves += l->state != MESH_LINK_DIALLING && l->node != n &&
			  l->node->inbound == MESH_INBOUND_NO;
	return leaves >= MESH_LEAVES_MAX;
}

/* ---- a way ---- */

/* By its homes: one that has no link to it says so, and another one is tried. */
int
mesh_relays_to(const struct mesh *m, const struct id *node, uint64_t *ret_links, int max)
{
	const struct mesh_node *n = mesh_node_find(m, node);
	struct mesh_node *homes[MESH_HOMES_MAX];
	int len = 0, all;

	if (n == NULL || n->link != 0 || n->is_gone ||
	    (n->inbound == MESH_INBOUND_YES && !mesh_is_leaf(m)))
		return 0;
	/* Another leaf's homes, or ours for one that takes links. */
	all = homes_of(m, n->inbound == MESH_INBOUND_YES ? &m->config.self : node, homes);
	for (int i = 0; i < all && len < max; i++)
		if (homes[i] != n && mesh_node_is_linked(m, homes[i]))
			ret_links[len++] = homes[i]->link;
	return len;
}

bool
mesh_may_open_way(const struct mesh *m, const struct id *node)
{
	const struct mesh_node *n = mesh_node_find(m, node);

	return mesh_is_leaf(m) && n != NULL && n->link == 0 && !n->is_gone &&
	       n->state == MESH_NODE_ALIVE;
}

void
mesh_way_end(struct mesh *m, struct mesh_node *n, uint64_t link)
{
	struct mesh_item *item = mesh_act(m, MESH_ACTION_WAY, link);

	n->way_due = 0;
	item->action.node = n->id;
}

void
mesh_way_open(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_node *n = mesh_node_find(m, &e->node), *homes[MESH_HOMES_MAX];
	uint64_t link;
	int len;

	if (n == NULL || !mesh_may_open_way(m, &e->node)) {
		mesh_act(m, MESH_ACTION_WAY, 0)->action.node = e->node;
		return;
	}
	if (mesh_relays_to(m, &n->id, &link, 1) > 0) {
		mesh_way_end(m, n, link);
		return;
	}
	if (n->way_due != 0)
		return; /* one answer is for all who asked */
	n->way_due = m->now + MESH_WAY_MS;
	mesh_want(m, n->way_due);
	len = homes_of(m, &n->id, homes);
	for (int i = 0; i < len; i++) {
		if (homes[i]->link != 0)
			continue;
		homes[i]->way_until = m->now + MESH_IDLE_MS;
		if (homes[i]->links == 0)
			homes[i]->next_dial = m->now;
		mesh_want(m, m->now);
	}
}
