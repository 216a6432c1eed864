/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold after each step of a core, whatever goes wrong around it. Who may vote is
 * written down here a second time, from the rule and not from rings.c.
 *   Edges of the tree that have the same root and beacon form no circle.
 *   A vote counts only if the one who holds it has its observer in its own table among those
 * who may watch the node.
 *   What is held of another node is never of a lower incarnation than it was. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"
#include "sim/mesh-node.h"

enum {
	/* Of larger worlds incarnations are not kept: they are n² numbers. */
	WATCH_NODES_MAX = 1024,
	WATCH_NEAR =
		2, /* on each side of a ring, who may vote; behind a leaf twice as many */
};

void
watch_start(struct node *n)
{
	size_t nodes = (size_t)n->world->nodes_len;
	uint64_t *incarnations = n->watched.incarnations;

	if (incarnations == NULL && nodes <= WATCH_NODES_MAX)
		incarnations = mem_calloc(nodes, sizeof(incarnations[0]));
	else if (incarnations != NULL)
		memset(incarnations, 0, nodes * sizeof(incarnations[0]));
	n->watched = (struct watched){ .incarnations = incarnations };
}

void
watch_fini(struct node *n)
{
	free(n->watched.incarnations);
	n->watched = (struct watched){ 0 };
}

/* ---- the tree ---- */

/* To whom the node's edge leads; NULL: it has none, or that end knows of no link any more. */
static struct node *
watch_parent(struct node *n)
{
	const struct mesh_tree *t = &n->mesh->tree;
	struct stream_end *e = t->is_set ? stream_end_find(n, t->parent) : NULL;

	if (e == NULL || stream_other(e)->link == 0)
		return NULL;
	return stream_other(e)->node;
}

static void
watch_tree(struct node *n)
{
	const struct wire_beacon *beacon = &n->mesh->tree.beacon;
	struct watched *w = &n->watched;
	struct node *at = n;

	if (w->parent == n->mesh->tree.parent && w->rank == beacon->rank &&
	    w->seq == beacon->seq)
		return;
	w->parent = n->mesh->tree.parent;
	w->rank = beacon->rank;
	w->seq = beacon->seq;
	w->changed_at = n->world->sim.now;
	n->world->watched.parents++;
	for (int i = 0; i <= n->world->slots; i++) {
		at = watch_parent(at);
		if (at == NULL || at->mesh->tree.beacon.rank != w->rank ||
		    at->mesh->tree.beacon.seq != w->seq)
			return;
		if (at == n) {
			world_fail(n->world,
				   "node %d is behind itself in the tree of beacon %u",
				   n->index, w->seq);
			return;
		}
	}
}

/* ---- votes ---- */

struct watch_place {
	const struct mesh_node *node;
	uint64_t way; /* from the subject on, forwards */
};

static int
watch_compare(const void *a, const void *b)
{
	const struct watch_place *x = a, *y = b;

	return x->way < y->way ? -1 : x->way > y->way;
}

/* On ring 0 by hash(id), on the others by hash(ring, id), of which 48 bits count: here nobody
 * has a region. */
static uint64_t
watch_place(int ring, const struct mesh_node *n)
{
	uint64_t place = hash64(bytes_of(n->id.b, ID_BYTES), (uint64_t)ring);

	return ring == 0 ? place : place >> 16 << 16;
}

static bool
watch_counts(const struct mesh_node *n)
{
	return n->inbound != MESH_INBOUND_NO && !n->is_gone && !n->has_left &&
	       n->state != MESH_NODE_DEAD && n->state != MESH_NODE_LEFT;
}

/* All others that count, as they stand behind `x` on the ring. Returns how many. */
static int
watch_ring(const struct mesh *m, int ring, const struct mesh_node *x,
	   struct watch_place *ret)
{
	int len = 0;

	if (x != &m->self && watch_counts(&m->self))
		ret[len++] = (struct watch_place){ &m->self, 0 };
	for (const struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		if (n != x && watch_counts(n))
			ret[len++] = (struct watch_place){ n, 0 };
	for (int i = 0; i < len; i++)
		ret[i].way = watch_place(ring, ret[i].node) - watch_place(ring, x);
	qsort(ret, (size_t)len, sizeof(ret[0]), watch_compare);
	return len;
}

/* Above what all rings give together. */
enum { WATCH_SET_MAX = 4 * WATCH_NEAR * MESH_RINGS_MAX };

struct watch_set {
	const struct mesh_node *nodes[WATCH_SET_MAX];
	int len;
};

static void
watch_add(struct watch_set *set, const struct mesh_node *n)
{
	for (int i = 0; i < set->len; i++)
		if (set->nodes[i] == n)
			return;
	assert(set->len < WATCH_SET_MAX);
	set->nodes[set->len++] = n;
}

static bool
watch_has(const struct watch_set *set, const struct mesh_node *n)
{
	for (int i = 0; i < set->len; i++)
		if (set->nodes[i] == n)
			return true;
	return false;
}

/* The nearest `near` on each side of x on each ring; of a leaf twice as many behind it. */
static void
watch_near(const struct mesh *m, const struct mesh_node *x, int near,
	   struct watch_place *places, struct watch_set *set)
{
	bool is_leaf = x->inbound == MESH_INBOUND_NO;

	for (int ring = 0; ring < m->rings.count; ring++) {
		int len = watch_ring(m, ring, x, places);

		for (int i = 0; i < len && i < (is_leaf ? 2 * near : near); i++)
			watch_add(set, places[i].node);
		for (int i = 0; i < len && i < near && !is_leaf; i++)
			watch_add(set, places[len - 1 - i].node);
	}
}

/* Those that are linked to x by the rings, or would be if it had one less: one on each side of
 * each, and as many of the next on ring 0 as lack; of a leaf those that its row names, if any of
 * them counts. */
static void
watch_neighbours(const struct mesh *m, const struct mesh_node *x,
		 struct watch_place *places, struct watch_set *set)
{
	int len;

	for (int i = 0; i < x->homes_len && x->inbound == MESH_INBOUND_NO; i++) {
		const struct mesh_node *n = id_equal(&x->homes[i], &m->self.id)
						    ? &m->self
						    : mesh_node_find(m, &x->homes[i]);

		if (n != NULL && watch_counts(n))
			watch_add(set, n);
	}
	if (set->len > 0)
		return;
	watch_near(m, x, 1, places, set);
	len = watch_ring(m, 0, x, places);
	for (int i = 0; i < len && set->len < 2 * m->rings.count + 1; i++)
		watch_add(set, places[i].node);
}

/* Is the observer one whose vote the node may count? Who watches the subject by its table, and
 * who may by one that is a little older or newer. */
static bool
watch_is_listed(const struct mesh *m, const struct mesh_node *subject,
		const struct mesh_node *observer)
{
	struct watch_place *places = mem_calloc(HASH_COUNT(m->nodes) + 2,
						sizeof(places[0]));
	struct watch_set set = { .len = 0 }, near = { .len = 0 }, theirs = { .len = 0 };
	bool is_listed;

	watch_near(m, subject, WATCH_NEAR, places, &set);
	watch_neighbours(m, subject, places, &near);
	watch_neighbours(m, observer, places, &theirs);
	is_listed = watch_counts(observer) &&
		    (watch_has(&set, observer) || watch_has(&near, observer) ||
		     (subject->inbound != MESH_INBOUND_NO &&
		      watch_has(&theirs, subject)));
	free(places);
	return is_listed;
}

static const struct mesh_node *
watch_node(const struct mesh *m, const struct id *id)
{
	return id_equal(id, &m->self.id) ? &m->self : mesh_node_find(m, id);
}

static bool
watch_holds(const struct mesh *m, const struct watched_vote *vote)
{
	const struct mesh_node *subject = mesh_node_find(m, &vote->subject);
	const struct mesh_ballot *held = NULL;

	if (subject != NULL && subject->incarnation == vote->incarnation)
		held = mesh_vote_of(subject, &vote->observer);
	return held != NULL && !held->is_isolated;
}

/* Votes begin to count when they are signed, or found to be so. Those that come with a verdict
 * are of whoever was listed where it was made. */
struct watched_vote
watch_before(struct node *n, const struct mesh_event *e)
{
	const struct mesh_node *subject, *observer;
	struct watched_vote vote = { .is_one = false };
	struct mesh_signing *s = NULL;

	if (e->type != MESH_EVENT_SIGNED && e->type != MESH_EVENT_VERIFIED)
		return vote;
	HASH_FIND(hh, n->mesh->signings, &e->number, sizeof(e->number), s);
	if (s == NULL || s->said.type != WIRE_SUSPECT || s->is_judged)
		return vote;
	vote.incarnation = s->said.incarnation;
	vote.subject = s->said.subject;
	vote.observer = s->said.votes[0].observer;
	subject = watch_node(n->mesh, &vote.subject);
	observer = watch_node(n->mesh, &vote.observer);
	vote.is_one = true;
	vote.is_listed = subject != NULL && observer != NULL && observer != subject &&
			 watch_is_listed(n->mesh, subject, observer);
	vote.was_held = watch_holds(n->mesh, &vote);
	return vote;
}

static void
watch_vote(struct node *n, const struct watched_vote *vote)
{
	const struct node *subject = world_node_of(n->world, &vote->subject);
	const struct node *observer = world_node_of(n->world, &vote->observer);

	if (vote->was_held || !watch_holds(n->mesh, vote))
		return;
	n->world->watched.votes++;
	if (!vote->is_listed)
		world_fail(n->world,
			   "node %d counts a vote against node %d of node %d, which does "
			   "not watch it",
			   n->index, subject != NULL ? subject->index : -1,
			   observer != NULL ? observer->index : -1);
}

/* ---- incarnations ---- */

static void
watch_incarnation(struct node *n, const struct mesh_node *held)
{
	struct node *other = world_node_of(n->world, &held->id);
	uint64_t *was;

	if (other == NULL || n->watched.incarnations == NULL)
		return;
	was = &n->watched.incarnations[other->index];
	if (held->incarnation == *was)
		return;
	n->world->watched.incarnations++;
	if (held->incarnation < *was)
		world_fail(n->world,
			   "node %d holds incarnation %llx of node %d, and held %llx",
			   n->index, (unsigned long long)held->incarnation, other->index,
			   (unsigned long long)*was);
	*was = held->incarnation;
}

/* All at each tick, as there are many a second, and at once that of which something was
 * proved. */
static void
watch_incarnations(struct node *n, const struct mesh_event *e,
		   const struct watched_vote *vote)
{
	const struct mesh_node *held = mesh_node_find(n->mesh, &vote->subject);

	if (held != NULL && vote->is_one)
		watch_incarnation(n, held);
	if (e->type != MESH_EVENT_TICK)
		return;
	for (held = n->mesh->nodes; held != NULL; held = held->hh.next)
		watch_incarnation(n, held);
}

void
watch_after(struct node *n, const struct mesh_event *e, const struct watched_vote *vote)
{
	watch_tree(n);
	if (vote->is_one)
		watch_vote(n, vote);
	watch_incarnations(n, e, vote);
}
