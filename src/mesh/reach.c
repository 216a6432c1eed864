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
	if (n->is_met)
		return;
	n->is_met = true;
	/* Nothing passes through one that takes no links. */
	if (n->inbound != MESH_INBOUND_NO)
		r->found[r->len++] = n;
}

/* One that died a moment ago still has its place: of those who are to be linked in its stead it
 * is not known yet whether they can be. */
static bool
reach_has_place(const struct mesh *m, const struct mesh_node *n,
		const struct mesh_node *x)
{
	return mesh_is_standing(m, n, x) ||
	       (mesh_node_verdict(n) == MESH_VERDICT_DEAD && !n->is_gone &&
		m->now - n->judged_at < MESH_FEW_MS);
}

/* A link that was lost a moment ago may be there again in another one. */
static bool
reach_begins_with(const struct mesh *m, const struct mesh_node *n)
{
	bool is_lost = n->link == 0 && n->vote_due == 0 && n->suspect_at == 0;

	return !is_lost && (n->link == 0 || mesh_node_is_linked(m, n)) &&
	       mesh_is_standing(m, n, n);
}

static void
reach_watch(struct mesh *m, struct mesh_node *n)
{
	bool is_watched = mesh_watches(m, n);

	if (is_watched && !n->is_watched) {
		n->watched_at = m->now;
		/* That we did not hear it when it was for us to watch before says nothing now. */
		if (n->link == 0 && n->vote_due == 0 && n->lost_at != 0 &&
		    m->now - n->lost_at >= MESH_KNOWN_MS)
			n->lost_at = 0;
		mesh_want(m, m->now + MESH_KNOWN_MS);
	}
	n->is_watched = is_watched;
}

static void
reach_find(struct mesh *m)
{
	struct reach r = { .found = mem_calloc(HASH_COUNT(m->nodes) + 1,
					       sizeof(struct mesh_node *)) };
	struct mesh_node *near[MESH_NEIGHBOURS_MAX], *n;
	int len;

	m->is_alone = true;
	for (n = m->nodes; n != NULL; n = n->hh.next) {
		n->is_met = false;
		reach_watch(m, n);
		m->is_reach_due |= !mesh_is_standing(m, n, n) && reach_has_place(m, n, n);
		if (!reach_begins_with(m, n))
			continue;
		m->is_alone = false;
		reach_add(&r, n);
	}
	for (int i = 0; i < r.len; i++) {
		len = mesh_neighbours(m, r.found[i], reach_has_place, near);
		for (int k = 0; k < len; k++)
			if (near[k] != &m->self &&
			    mesh_is_standing(m, near[k], near[k]) &&
			    !reach_is_cut(r.found[i], near[k]))
				reach_add(&r, near[k]);
	}
	for (n = m->nodes; n != NULL; n = n->hh.next) {
		if (n->inbound != MESH_INBOUND_NO || n->is_met || n->is_gone)
			continue;
		len = mesh_neighbours(m, n, reach_has_place, near);
		for (int k = 0; k < len; k++)
			n->is_met |= near[k] != &m->self && near[k]->is_met &&
				     !reach_is_cut(n, near[k]);
	}
	free(r.found);
}

/* Who was cut off is not there again because those who watch it now are others, of whom it is
 * not known yet that they do not hear it: it takes a while to be believed, unless it is linked
 * to us or says so itself (mesh_node_found()). */
static void
reach_believe(struct mesh *m, struct mesh_node *n)
{
	bool was_reached = n->is_reached;

	if (m->is_alone)
		n->is_doubtful = false; /* the fault is ours */
	if (!n->is_met)
		n->met_at = 0;
	else if (n->met_at == 0)
		n->met_at = m->now;
	n->is_reached = n->is_met &&
			(!n->is_doubtful || m->now - n->met_at >= MESH_FEW_MS);
	if (n->is_reached)
		n->is_doubtful = false;
	else if (was_reached && !m->is_alone)
		n->is_doubtful = true;
	if (n->is_met && !n->is_reached) {
		m->is_reach_due = true;
		mesh_want(m, n->met_at + MESH_FEW_MS);
	}
}

void
mesh_node_found(struct mesh *m, struct mesh_node *n)
{
	n->is_reached = true;
	n->is_doubtful = false;
	/* By the first link all others may be there again. But the one at its other end may have
	 * been as alone, and has told by then whom it does not hear. */
	if (m->is_alone)
		m->reach_after = m->now + MESH_TOLD_MS;
	m->is_alone = false;
	mesh_reach_changed(m);
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
	reach_find(m);
	if (m->is_reach_due)
		mesh_want(m, m->reach_after);
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		reach_believe(m, n);
		mesh_node_update(m, n);
	}
}

/* ---- what is told ---- */

/* Some say that they do not hear it, and nor have we since. Too few of them say no more than
 * what is seen here, if nobody else is left who could hear it. Nor is one that could not be
 * reached any nearer for being accused: who is suspect still counts as being there. */
static bool
node_is_suspect(const struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_link *l = mesh_link_find(m, n->link);
	int votes = mesh_votes_counted(n);

	if (votes > 0 && l != NULL)
		return l->heard <= n->evidence->first_at;
	if (n->state == MESH_NODE_UNREACHABLE && !n->is_reached)
		return false;
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
	mesh_overlay_state(m, n->state, state);
	n->state = state;
	m->view++;
	mesh_reach_changed(m);
	item = mesh_act(m, MESH_ACTION_NODE_STATE, 0);
	item->action.node = n->id;
	item->action.state = state;
	mesh_tree_node_changed(m, n);
}
