/* SPDX-License-Identifier: Apache-2.0 */
/* Who can be reached, and what is told of each node. Nobody sees more than its own links; but
 * everybody knows who is to be linked to whom, and is told which of these links are not there
 * (SUSPECT). So each node reckons for itself, a second after a change at most, which nodes are
 * connected with it. One that is not is unreachable: that may be its own fault or another's,
 * and nothing is said of it to others. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mesh/core.h"

/* ---- who is connected with us ---- */

bool
mesh_node_is_linked(const struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_link *l = mesh_link_find(m, n->link);

	return l != NULL && !l->has_failed;
}

static bool
reach_is_cut(const struct mesh_node *a, const struct mesh_node *b)
{
	return mesh_vote_of(a, &b->id) != NULL || mesh_vote_of(b, &a->id) != NULL;
}

struct reach {
	struct mesh_node **found; /* those through which others can be reached */
	int len;
};

static void
reach_add(struct reach *r, struct mesh_node *n)
{
	if (n->is_reached)
		return;
	n->is_reached = true;
	/* Nothing passes through one that takes no links. */
	if (n->inbound != MESH_INBOUND_NO)
		r->found[r->len++] = n;
}

static void
reach_compute(struct mesh *m)
{
	struct reach r = { .found = mem_calloc(HASH_COUNT(m->nodes) + 1,
					       sizeof(struct mesh_node *)) };
	struct mesh_node *near[MESH_NEIGHBOURS_MAX], *n;
	int len;

	for (n = m->nodes; n != NULL; n = n->hh.next) {
		n->is_reached = false;
		n->is_watched = mesh_watches(m, n);
		if (mesh_node_is_linked(m, n) && mesh_is_standing(m, n, n))
			reach_add(&r, n);
	}
	for (int i = 0; i < r.len; i++) {
		len = mesh_neighbours(m, r.found[i], mesh_is_standing, near);
		for (int k = 0; k < len; k++)
			if (near[k] != &m->self && !reach_is_cut(r.found[i], near[k]))
				reach_add(&r, near[k]);
	}
	for (n = m->nodes; n != NULL; n = n->hh.next) {
		if (n->inbound != MESH_INBOUND_NO || n->is_reached || n->is_gone)
			continue;
		len = mesh_neighbours(m, n, mesh_is_standing, near);
		for (int k = 0; k < len; k++)
			n->is_reached |= near[k] != &m->self && near[k]->is_reached &&
					 !reach_is_cut(n, near[k]);
	}
	free(r.found);
}

void
mesh_reach_changed(struct mesh *m)
{
	m->is_reach_due = true;
	mesh_want(m, m->reach_after);
}

void
mesh_reach_tick(struct mesh *m)
{
	if (m->rings_seen != m->rings.version) {
		m->rings_seen = m->rings.version;
		m->view++;
		m->is_reach_due = true;
	}
	if (!m->is_reach_due)
		return;
	if (m->reach_after > m->now) {
		mesh_want(m, m->reach_after);
		return;
	}
	m->is_reach_due = false;
	m->reach_after = m->now + MS_SECOND;
	reach_compute(m);
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		mesh_node_update(m, n);
}

/* ---- what is told ---- */

/* Some say that they do not hear it, and nor have we since. Too few of them say no more than
 * what is seen here, if nobody else is left who could hear it. */
static bool
node_is_suspect(const struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_link *l = mesh_link_find(m, n->link);
	int votes = mesh_votes_counted(n);

	if (votes > 0 && l != NULL)
		return l->heard <= n->evidence->first_at;
	if (votes > 0 && (n->is_reached || votes >= mesh_quorum(m, n)))
		return true;
	return n->vote_due != 0 || n->is_voting;
}

static enum mesh_state
node_find_state(const struct mesh *m, const struct mesh_node *n)
{
	enum mesh_verdict verdict = mesh_node_verdict(n);
	bool is_linked = mesh_node_is_linked(m, n);

	if (n->is_gone)
		return MESH_NODE_DEAD;
	if (verdict == MESH_VERDICT_LEFT ||
	    (!is_linked && (n->has_said_goodbye || n->has_left)))
		return MESH_NODE_LEFT;
	if (verdict == MESH_VERDICT_DEAD)
		return MESH_NODE_DEAD;
	if (node_is_suspect(m, n))
		return MESH_NODE_SUSPECT;
	/* suspect_at: its link is being handed over. */
	if (is_linked || n->suspect_at != 0 || n->is_reached)
		return MESH_NODE_ALIVE;
	return MESH_NODE_UNREACHABLE;
}

void
mesh_node_update(struct mesh *m, struct mesh_node *n)
{
	enum mesh_state state = node_find_state(m, n);
	struct mesh_item *item;

	if (n->state == state)
		return;
	n->state = state;
	m->view++;
	mesh_reach_changed(m);
	item = mesh_act(m, MESH_ACTION_NODE_STATE, 0);
	item->action.node = n->id;
	item->action.state = state;
}
