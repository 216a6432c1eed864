/* SPDX-License-Identifier: Apache-2.0 */
/* The tree by which rows travel (mesh/mesh.h). Its root, the node of the lowest rank, sends
 * beacons; each node follows the lowest rank that it hears of, takes the link by which a
 * beacon came first for the one to its parent, tells that one so, and passes the beacon on
 * over its other links. A beacon has a number, and whose number is the later stands
 * nearer to the root in time, so that no circle can form (as the sequence numbers of
 * Perkins, Bhagwat: "Highly Dynamic Destination-Sequenced Distance-Vector Routing", 1994).
 * Between two beacons only one who was nearer to the root than this node becomes its parent
 * (the feasibility condition of Garcia-Luna-Aceves: "Loop-Free Routing Using Diffusing
 * Computations", 1993); nor does anybody else when it comes back to a root that it had left.
 *
 * In doubt a row is sent: over each link of which it is not known that its other end has a
 * parent elsewhere in the same tree. So a tree that is only half there costs copies, and
 * loses nothing. A node whose parent is lost says PARENT to all, which makes each link of
 * it an edge, until it has found one. An old tree stays in use until a new root is heard. */
#include "config.h"

#include <string.h>

#include "mesh/core.h"

enum {
	TREE_TOLD_MS = MESH_ROOT_MS + MESH_BEACON_MS
}; /* a beacon says so long where one is */

/* ---- who is the root ---- */

uint64_t
mesh_rank(const struct mesh *m, const struct id *node)
{
	uint8_t both[2 * ID_BYTES];

	memcpy(both, m->config.cluster.b, ID_BYTES);
	memcpy(both + ID_BYTES, node->b, ID_BYTES);
	return hash64(bytes_of(both, sizeof(both)), 0);
}

bool
mesh_tree_is_root(const struct mesh *m)
{
	return m->tree.is_set && !m->tree.is_lost && m->tree.root == &m->self;
}

static bool
tree_may_be_root(const struct mesh *m, const struct mesh_node *n)
{
	return n->inbound != MESH_INBOUND_NO && mesh_is_reachable(m, n, n) && !n->is_mute;
}

static void
tree_find_heir(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;
	struct mesh_node *heir = NULL;

	if (tree_may_be_root(m, &m->self))
		heir = &m->self;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		if ((heir == NULL || n->rank < heir->rank) && tree_may_be_root(m, n))
			heir = n;
	if (t->heir != heir)
		t->heir_since = m->now;
	t->heir = heir;
	t->is_heir_stale = false;
}

void
mesh_tree_node_changed(struct mesh *m, const struct mesh_node *n)
{
	struct mesh_tree *t = &m->tree;

	if (t->heir != NULL && n != t->heir && n != t->root && n->rank > t->heir->rank)
		return;
	t->is_heir_stale = true;
	mesh_want(m, m->now);
}

/* Who has that rank, and may be followed: a beacon from behind a cut shows that there is a
 * way, whatever is thought of its root. */
static struct mesh_node *
tree_node_of_rank(struct mesh *m, uint64_t rank)
{
	struct mesh_node *n = m->nodes;

	if (rank == m->self.rank)
		return &m->self;
	/* Mostly it is the one that is followed. */
	if (m->tree.is_set && m->tree.root->rank == rank)
		n = m->tree.root;
	while (n != NULL && n->rank != rank)
		n = n->hh.next;
	if (n == NULL || n->inbound == MESH_INBOUND_NO || !mesh_is_standing(m, n, n))
		return NULL;
	return n;
}

/* ---- edges ---- */

bool
mesh_link_has_rows(const struct mesh_link *l)
{
	return l->state == MESH_LINK_UP && l->retired_at == 0 && !l->is_rowless;
}

static bool
tree_is_too_slow(const struct mesh *m, const struct mesh_link *l)
{
	return l->edge.lagging_at != 0 && m->now - l->edge.lagging_at >= MESH_LAGGING_MS;
}

/* Has the other end a parent in the tree in which we are, which is not this node? */
static bool
tree_is_elsewhere(const struct mesh *m, const struct mesh_link *l)
{
	const struct mesh_edge *e = &l->edge;
	uint64_t rank = m->tree.beacon.rank;

	if (!m->tree.is_set)
		return false;
	return (e->is_no_child && e->child_rank == rank) ||
	       (e->heard != 0 && m->now - e->heard < TREE_TOLD_MS &&
		e->beacon.rank == rank);
}

static bool
tree_is_orphan(const struct mesh *m)
{
	return m->tree.parent == 0 && !mesh_tree_is_root(m);
}

/* Also behind a HELLO that is not answered yet: the root in it is the one before a row that
 * changes now, so that nobody would miss it. */
bool
mesh_link_is_eager(const struct mesh *m, const struct mesh_link *l)
{
	if (l->state == MESH_LINK_GREETING)
		return l->node->link == 0 && !mesh_link_is_spare(m, l);
	if (!mesh_link_has_rows(l) || tree_is_too_slow(m, l))
		return false;
	if (l->edge.is_child || l->id == m->tree.parent)
		return true;
	return !mesh_link_is_spare(m, l) &&
	       (tree_is_orphan(m) || !tree_is_elsewhere(m, l));
}

/* ---- frames ---- */

static void
tree_send_parent(struct mesh *m, struct mesh_link *l, bool is_no_more)
{
	struct buf b = BUF_INIT;

	wire_put_parent(&b, m->tree.beacon.rank, is_no_more);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
	l->edge.is_parent_told = !is_no_more;
	l->edge.is_no_parent_told = is_no_more;
	l->edge.told_rank = m->tree.beacon.rank;
}

/* A leaf passes no beacon on, so that it has to say what others hear from theirs. */
static void
tree_tell_link(struct mesh *m, struct mesh_link *l)
{
	const struct mesh_tree *t = &m->tree;
	const struct mesh_edge *e = &l->edge;
	bool is_orphan = tree_is_orphan(m);

	if (l->id == t->parent ||
	    (is_orphan && !e->is_child && !mesh_link_is_spare(m, l))) {
		if (!e->is_parent_told)
			tree_send_parent(m, l, false);
	} else if (!is_orphan && t->settle_due == 0 &&
		   (e->is_parent_told ||
		    (mesh_is_leaf(m) &&
		     !(e->is_no_parent_told && e->told_rank == t->beacon.rank)))) {
		tree_send_parent(m, l, true);
	}
}

static void
tree_tell(struct mesh *m)
{
	if (!m->tree.is_set)
		return;
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (mesh_link_has_rows(l))
			tree_tell_link(m, l);
}

static bool
tree_passes_on(const struct mesh *m)
{
	return m->tree.is_set && !m->tree.is_lost && !mesh_is_leaf(m) &&
	       m->tree.beacon.distance <= MESH_DISTANCE_MAX;
}

static void
tree_send_beacon(struct mesh *m, struct mesh_link *l)
{
	struct buf b = BUF_INIT;

	if (!mesh_link_has_rows(l) || mesh_link_is_spare(m, l))
		return;
	wire_put_beacon(&b, &m->tree.beacon);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

static void
tree_pass_on(struct mesh *m)
{
	if (!tree_passes_on(m))
		return;
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->id != m->tree.parent)
			tree_send_beacon(m, l);
}

/* ---- the parent ---- */

static ms_t
tree_settle_ms(const struct mesh_link *l)
{
	ms_t span = l->rtt < 0 ? 5 * MESH_SETTLE_MIN_MS : 2 * l->rtt;

	return span < MESH_SETTLE_MIN_MS   ? MESH_SETTLE_MIN_MS
	       : span > MESH_SETTLE_MAX_MS ? MESH_SETTLE_MAX_MS
					   : span;
}

static void
tree_set_parent(struct mesh *m, const struct mesh_link *l)
{
	struct mesh_tree *t = &m->tree;

	t->parent = l != NULL ? l->id : 0;
	t->settle_due = m->now + (l != NULL ? tree_settle_ms(l) : MESH_SETTLE_MIN_MS);
	mesh_want(m, t->settle_due);
	tree_tell(m);
}

static bool
tree_is_nearer(const struct mesh *m, const struct wire_beacon *b)
{
	const struct wire_beacon *ours = &m->tree.beacon;

	return b->rank == ours->rank && b->seq == ours->seq &&
	       b->distance < ours->distance;
}

static void
tree_lost_parent(struct mesh *m)
{
	const struct mesh_link *best = NULL;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (mesh_link_has_rows(l) && !tree_is_too_slow(m, l) &&
		    l->id != m->tree.parent && l->edge.heard != 0 &&
		    tree_is_nearer(m, &l->edge.beacon) &&
		    (best == NULL ||
		     l->edge.beacon.distance < best->edge.beacon.distance))
			best = l;
	tree_set_parent(m, best);
}

/* ---- beacons ---- */

static void
tree_follow(struct mesh *m, struct mesh_node *root, const struct wire_beacon *b,
	    const struct mesh_link *l)
{
	struct mesh_tree *t = &m->tree;

	t->is_set = true;
	t->is_lost = false;
	t->root = root;
	t->beacon = *b;
	t->heard = m->now;
	mesh_want(m, m->now + MESH_ROOT_MS);
	if (l != NULL)
		t->beacon.distance++;
	root->is_followed = true;
	root->followed = t->beacon;
	mesh_rings_set_count(m, b->rings);
	tree_set_parent(m, l);
	tree_pass_on(m);
}

static uint32_t
tree_now(const struct mesh *m)
{
	return (uint32_t)(m->wall / MESH_BEACON_UNIT_MS);
}

/* Is it of about now, by our clock? */
static bool
tree_is_timely(const struct mesh *m, uint32_t seq)
{
	int32_t off = (int32_t)(seq - tree_now(m));

	return off <= MESH_BEACON_UNITS && off >= -MESH_BEACON_UNITS;
}

static bool
tree_is_later(uint32_t seq, uint32_t than)
{
	return (int32_t)(seq - than) > 0;
}

/* A root that is taken up again, after another one, may be heard of from below, by the beacon
 * by which it was followed before: it counts again when one comes that is later, or comes from
 * nearer than this node was. One that was numbered by a wrong clock is forgotten. */
static bool
tree_is_feasible(const struct mesh *m, const struct mesh_node *root,
		 const struct wire_beacon *b)
{
	const struct wire_beacon *last = &root->followed;

	if (!root->is_followed || tree_is_later(b->seq, last->seq))
		return true;
	if (b->seq == last->seq)
		return b->distance < last->distance;
	return !tree_is_timely(m, last->seq);
}

/* Is it better than what is followed? That which is lost counts for nothing, but its own
 * old beacons may come from below. */
static bool
tree_is_better(const struct mesh *m, const struct mesh_node *root,
	       const struct wire_beacon *b)
{
	const struct mesh_tree *t = &m->tree;

	if (t->is_set && b->rank == t->beacon.rank)
		return tree_is_later(b->seq, t->beacon.seq);
	return (!t->is_set || t->is_lost || b->rank < t->beacon.rank) &&
	       tree_is_feasible(m, root, b);
}

bool
mesh_frame_beacon(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct wire_beacon b;
	struct mesh_node *root;

	if (wire_read_beacon(payload, &b) < 0)
		return mesh_malformed(m, l, "a BEACON");
	if (!mesh_rate_pass(m, &l->edge.beacons, MESH_BEACONS_MAX) ||
	    !mesh_link_has_rows(l) || l->node->inbound == MESH_INBOUND_NO ||
	    b.distance > MESH_DISTANCE_MAX || !tree_is_timely(m, b.seq))
		return true;
	root = tree_node_of_rank(m, b.rank);
	if (root == NULL)
		return true;
	l->edge.heard = m->now;
	l->edge.beacon = b;
	if (root == &m->self)
		return true; /* of our own */
	if (root->is_mute) {
		root->is_mute = false;
		mesh_tree_node_changed(m, root);
	}
	if (tree_is_better(m, root, &b))
		tree_follow(m, root, &b, l);
	else if (tree_is_orphan(m) && tree_is_nearer(m, &b))
		tree_set_parent(m, l);
	return true;
}

bool
mesh_frame_parent(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	uint64_t rank;

	/* Of whichever root: who follows another one will hear of ours, or we of its. */
	if (wire_read_u64(f->payload, &rank) < 0)
		return mesh_malformed(m, l, "a PARENT");
	l->edge.is_child = !(f->flags & WIRE_FLAG_NO_MORE);
	l->edge.is_no_child = !l->edge.is_child;
	l->edge.child_rank = rank;
	return true;
}

/* ---- as root ---- */

/* How many rings there are to be is for the root to say. */
static int
tree_rings(struct mesh *m)
{
	int live = 1;

	for (const struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		live += n->inbound != MESH_INBOUND_NO && mesh_is_reachable(m, n, n);
	return mesh_rings_judge(m->rings.count, live, m->now, &m->tree.many_since);
}

static void
tree_beacon(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;
	uint32_t seq = tree_now(m);
	struct wire_beacon b = { .rank = m->self.rank, .rings = (uint8_t)tree_rings(m) };

	/* Above the latest, but for one that a wrong clock had made. */
	if (mesh_tree_is_root(m) && !tree_is_later(seq, t->beacon.seq) &&
	    !tree_is_later(t->beacon.seq, seq + MESH_BEACON_UNITS / 2))
		seq = t->beacon.seq + 1;
	b.seq = seq;
	t->beaconed = m->now;
	t->beacon_due = m->now + (t->quick > 0 ? MESH_QUICK_MS : MESH_BEACON_MS);
	t->quick -= t->quick > 0;
	tree_follow(m, &m->self, &b, NULL);
}

/* A link came or went: those behind it may be without a parent. */
static void
tree_hurry(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;

	if (!mesh_tree_is_root(m))
		return;
	t->quick = MESH_QUICK_BEACONS;
	if (t->beacon_due > t->beaconed + MESH_QUICK_MS)
		t->beacon_due = t->beaconed + MESH_QUICK_MS;
	mesh_want(m, t->beacon_due);
}

/* ---- events ---- */

void
mesh_tree_link_up(struct mesh *m, struct mesh_link *l)
{
	if (!mesh_link_has_rows(l))
		return;
	if (tree_passes_on(m))
		tree_send_beacon(m, l);
	if (m->tree.is_set)
		tree_tell_link(m, l);
	tree_hurry(m);
}

void
mesh_tree_link_down(struct mesh *m, const struct mesh_link *l)
{
	if (m->is_stopped)
		return;
	if (l->id == m->tree.parent)
		tree_lost_parent(m);
	tree_hurry(m);
}

void
mesh_link_lagging(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l = mesh_link_find(m, e->link);

	if (l == NULL)
		return;
	if (!e->is_lagging)
		l->edge.lagging_at = 0;
	else if (l->edge.lagging_at == 0)
		l->edge.lagging_at = m->now;
	mesh_want(m, m->now + MESH_LAGGING_MS);
}

void
mesh_tree_forgive(struct mesh *m, ms_t late)
{
	m->tree.heard += late;
	m->tree.heir_since += late;
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->edge.heard != 0)
			l->edge.heard += late;
}

static void
tree_tick_lagging(struct mesh *m)
{
	struct mesh_link *l = m->links;

	while (l != NULL) {
		ms_t since = l->edge.lagging_at;

		if (since != 0 && m->now - since >= MESH_LAGGED_MS) {
			mesh_link_close(m, l, WIRE_GOODBYE_SILENT,
					"it took its rows too slowly for %d s",
					MESH_LAGGED_MS / MS_SECOND);
			l = m->links; /* others may be gone with it */
			continue;
		}
		if (since != 0)
			mesh_want(m, since + (tree_is_too_slow(m, l) ? MESH_LAGGED_MS
								     : MESH_LAGGING_MS));
		if (l->id == m->tree.parent && tree_is_too_slow(m, l))
			tree_lost_parent(m);
		l = l->hh.next;
	}
}

/* Another root, of which was heard while a better one was followed: by whoever stands nearest
 * to it. */
static void
tree_follow_other(struct mesh *m)
{
	struct wire_beacon best = { .rank = UINT64_MAX };
	struct mesh_node *root = NULL;
	struct mesh_link *from = NULL;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		const struct wire_beacon *b = &l->edge.beacon;
		struct mesh_node *n;

		if (!mesh_link_has_rows(l) || l->edge.heard == 0 ||
		    m->now - l->edge.heard >= MESH_ROOT_MS ||
		    !tree_is_timely(m, b->seq) || b->rank == m->tree.beacon.rank ||
		    b->rank > best.rank ||
		    (b->rank == best.rank &&
		     (tree_is_later(best.seq, b->seq) ||
		      (best.seq == b->seq && best.distance <= b->distance))))
			continue;
		n = tree_node_of_rank(m, b->rank);
		if (n == NULL || n == &m->self || !tree_is_feasible(m, n, b))
			continue;
		best = *b;
		root = n;
		from = l;
	}
	if (root != NULL)
		tree_follow(m, root, &best, from);
}

/* Forget a root that is gone, or of which nothing is heard any more. */
static void
tree_tick_root(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;
	struct mesh_node *root = t->root;
	bool is_heard = m->now - t->heard < MESH_ROOT_MS;

	if (!t->is_set || t->is_lost)
		return;
	if (root == &m->self) {
		t->is_lost = mesh_is_leaf(m);
		return;
	}
	if (!is_heard) {
		root->is_mute = true;
		t->is_heir_stale = true;
	}
	t->is_lost = !is_heard || root->inbound == MESH_INBOUND_NO ||
		     !mesh_is_reachable(m, root, root);
	if (t->is_lost)
		tree_follow_other(m);
	else
		mesh_want(m, t->heard + MESH_ROOT_MS);
}

/* Who should be the root and says nothing is passed over. */
static void
tree_tick_heir(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;

	if (t->is_heir_stale || t->heir == NULL)
		tree_find_heir(m);
	if (t->heir == NULL || t->heir == &m->self)
		return;
	if (t->is_set && !t->is_lost && t->beacon.rank <= t->heir->rank)
		return;
	if (m->now - t->heir_since >= MESH_ROOT_MS) {
		t->heir->is_mute = true;
		tree_find_heir(m);
	}
	mesh_want(m, t->heir_since + MESH_ROOT_MS);
}

void
mesh_tree_tick(struct mesh *m)
{
	struct mesh_tree *t = &m->tree;

	tree_tick_lagging(m);
	tree_tick_root(m);
	tree_tick_heir(m);
	if (t->heir == &m->self && !mesh_is_leaf(m) &&
	    (!t->is_set || t->is_lost || t->beacon.rank > m->self.rank)) {
		t->quick = MESH_QUICK_BEACONS;
		tree_beacon(m);
	} else if (mesh_tree_is_root(m) && t->beacon_due <= m->now) {
		tree_beacon(m);
	}
	if (mesh_tree_is_root(m))
		mesh_want(m, t->beacon_due);
	if (t->settle_due != 0 && t->settle_due <= m->now) {
		t->settle_due = 0;
		tree_tell(m);
	}
	if (t->settle_due != 0)
		mesh_want(m, t->settle_due);
}

bool
mesh_root(const struct mesh *m, struct id *ret_root)
{
	if (!m->tree.is_set || m->tree.is_lost)
		return false;
	*ret_root = m->tree.root->id;
	return true;
}
