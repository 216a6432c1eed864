/* SPDX-License-Identifier: Apache-2.0 */
/* Which links this node wants, by the rings, and which it has that nobody wants any more. The
 * rules are told in mesh/mesh.h. What is computed here is kept until anything that it rests on
 * changes: each such change raises m->rings.version. */
#include "config.h"

#include <string.h>

#include "mesh/core.h"

/* ---- whom ---- */

/* As standing, and one that died a while ago: it is most likely to come back soon. */
static bool
overlay_is_missed(const struct mesh *m, const struct mesh_node *n,
		  const struct mesh_node *x)
{
	return mesh_is_standing(m, n, x) ||
	       (!n->is_gone && !n->has_left && n->state == MESH_NODE_DEAD &&
		m->now - n->missed_at < MESH_MISSED_MS);
}

static bool
overlay_is_fit_and_reachable(const struct mesh *m, const struct mesh_node *n,
			     const struct mesh_node *x)
{
	return mesh_is_fit_home(m, n, x) && mesh_is_reachable(m, n, x);
}

static bool
overlay_has(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
	    const struct mesh_node *n)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int len = mesh_neighbours(m, x, filter, nodes);

	for (int i = 0; i < len; i++)
		if (nodes[i] == n)
			return true;
	return false;
}

/* Those standing have the duty to watch each other; those reachable keep the component
 * connected, whatever stands between them on the rings. One that is not reachable is none of
 * these, though among the few that are known to be there, at our start, we stand next to it. */
static bool
overlay_is_wanted(const struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_node *self = &m->self;

	if (n->is_gone || n->has_left || n->state == MESH_NODE_LEFT)
		return false;
	if (mesh_is_leaf(m))
		return overlay_has(m, self, mesh_is_fit_home, n) ||
		       overlay_has(m, self, overlay_is_fit_and_reachable, n);
	if (overlay_has(m, n, mesh_is_standing, self) ||
	    (mesh_is_reachable(m, n, n) && overlay_has(m, n, mesh_is_reachable, self)))
		return true;
	return n->inbound != MESH_INBOUND_NO &&
	       (overlay_has(m, self, mesh_is_standing, n) ||
		overlay_has(m, self, mesh_is_reachable, n) ||
		overlay_has(m, self, overlay_is_missed, n));
}

bool
mesh_is_wanted(const struct mesh *m, struct mesh_node *n)
{
	if (n->wanted_version != m->rings.version) {
		n->is_wanted = overlay_is_wanted(m, n);
		n->wanted_version = m->rings.version;
	}
	return n->is_wanted;
}

static void
overlay_add(struct mesh_overlay *o, struct mesh_node *n)
{
	for (int i = 0; i < o->len; i++)
		if (o->nodes[i] == n)
			return;
	if (o->len < MESH_WANTED_MAX)
		o->nodes[o->len++] = n;
}

static void
overlay_add_neighbours(struct mesh *m, mesh_filter *filter)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int len = mesh_neighbours(m, &m->self, filter, nodes);

	for (int i = 0; i < len; i++)
		overlay_add(&m->overlay, nodes[i]);
}

/* Those who are topped up with us: none is farther before us on ring 0 than it has
 * neighbours. */
static void
overlay_add_topped(struct mesh *m)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int len = mesh_rings_before(m, &m->self, mesh_is_standing, nodes,
				    2 * m->rings.count);

	for (int i = 0; i < len; i++)
		if (mesh_is_wanted(m, nodes[i]))
			overlay_add(&m->overlay, nodes[i]);
}

static void
overlay_make(struct mesh *m)
{
	struct mesh_overlay *o = &m->overlay;
	struct mesh_node *old[MESH_WANTED_MAX];
	int old_len = o->len;

	memcpy(old, o->nodes, sizeof(old));
	o->made_of = m->rings.version;
	o->len = 0;
	if (mesh_is_leaf(m)) {
		overlay_add_neighbours(m, mesh_is_fit_home);
		overlay_add_neighbours(m, overlay_is_fit_and_reachable);
	} else {
		overlay_add_neighbours(m, mesh_is_standing);
		overlay_add_neighbours(m, mesh_is_reachable);
		overlay_add_topped(m);
		overlay_add_neighbours(m, overlay_is_missed);
	}
	if (o->len != old_len ||
	    memcmp(old, o->nodes, (size_t)old_len * sizeof(old[0])) != 0)
		m->overlay_version++;
}

static bool
overlay_has_link(const struct mesh *m)
{
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP)
			return true;
	return false;
}

static bool
overlay_is_whole(const struct mesh *m)
{
	const struct mesh_overlay *o = &m->overlay;
	int up = 0;

	for (int i = 0; i < o->len; i++) {
		const struct mesh_node *n = o->nodes[i];

		up += n->link != 0;
		if (n->link == 0 && n->fails == 0 && n->state != MESH_NODE_DEAD &&
		    mesh_node_address(n) != NULL)
			return false;
	}
	return up > 0 || o->len == 0;
}

void
mesh_overlay_tick(struct mesh *m)
{
	bool has_link = overlay_has_link(m);

	if (has_link != m->has_link)
		m->has_link_at = m->now;
	m->has_link = has_link;
	if (m->overlay.made_of != m->rings.version)
		overlay_make(m);
	m->overlay.is_whole = overlay_is_whole(m);
}

void
mesh_overlay_link_up(struct mesh *m, struct mesh_node *n)
{
	/* It took us: so it may be our home. */
	if (n->busy_until != 0)
		m->rings.version++;
	n->busy_until = 0;
	mesh_ways_link_up(m, n);
}

void
mesh_overlay_state(struct mesh *m, enum mesh_state was, enum mesh_state is)
{
	/* Suspect counts as alive. */
	bool was_there = was == MESH_NODE_ALIVE || was == MESH_NODE_SUSPECT;
	bool is_there = is == MESH_NODE_ALIVE || is == MESH_NODE_SUSPECT;

	if (was != is && !(was_there && is_there))
		m->rings.version++;
}

/* ---- spare links ---- */

/* Make before break: until those that are wanted are up or have failed, all count. */
bool
mesh_link_is_spare(const struct mesh *m, const struct mesh_link *l)
{
	return l->state == MESH_LINK_UP && m->overlay.is_whole &&
	       !mesh_is_wanted(m, l->node);
}

bool
mesh_link_is_idle(const struct mesh *m, struct mesh_link *l)
{
	if (!mesh_link_is_spare(m, l) || l->relays > 0 || l->node->way_until > m->now)
		l->used = m->now;
	if (m->now - l->used < MESH_IDLE_MS)
		return false;
	l->used = m->now;
	return true;
}
