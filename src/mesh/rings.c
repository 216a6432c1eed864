/* SPDX-License-Identifier: Apache-2.0 */
/* The rings: who is linked to whom, who watches whom, computed by every node from its own
 * table (mesh/mesh.h). On ring k the nodes that take links stand in the order of their
 * places, a hash of k and the id; a node's neighbours are the nearest before and behind it on
 * each ring, so that a few links of each make a random graph that is hard to cut (expander;
 * as the rings of observers of Suresh et al.: "Stable and Consistent Membership at Scale with
 * Rapid", 2018). Ring 0 knows no regions; on the others those of one region stand together,
 * so that most links are short ones.
 *
 * Each ring is an array, sorted by (place, id), of all that take links and are not gone,
 * whatever else is known of them: those who do not count for a question are passed over. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

enum { RINGS_PLACE_BITS = 48 }; /* behind the region's 16 */

/* ---- places ---- */

static uint64_t
ring_place(int ring, const struct mesh_node *n)
{
	uint64_t place = hash64(bytes_of(n->id.b, ID_BYTES), (uint64_t)ring);

	if (ring == 0)
		return place;
	return (uint64_t)n->region << RINGS_PLACE_BITS | place >> (64 - RINGS_PLACE_BITS);
}

static int
ring_compare(int ring, const struct mesh_node *a, const struct mesh_node *b)
{
	if (a->places[ring] != b->places[ring])
		return a->places[ring] < b->places[ring] ? -1 : 1;
	return id_compare(&a->id, &b->id);
}

/* Where the node stands on the ring, or would. */
static int
ring_find(const struct mesh *m, int ring, const struct mesh_node *n)
{
	int low = 0, high = m->rings.len;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (ring_compare(ring, m->rings.nodes[ring][middle], n) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
ring_insert(struct mesh *m, int ring, struct mesh_node *n)
{
	struct mesh_node **nodes = m->rings.nodes[ring];
	int at = ring_find(m, ring, n);

	memmove(&nodes[at + 1], &nodes[at],
		(size_t)(m->rings.len - at) * sizeof(nodes[0]));
	nodes[at] = n;
}

static void
ring_remove(struct mesh *m, int ring, struct mesh_node *n)
{
	struct mesh_node **nodes = m->rings.nodes[ring];
	int at = ring_find(m, ring, n);

	memmove(&nodes[at], &nodes[at + 1],
		(size_t)(m->rings.len - at - 1) * sizeof(nodes[0]));
}

static void
rings_put(struct mesh *m, struct mesh_node *n, bool is_on)
{
	if (is_on && m->rings.len == m->rings.cap) {
		m->rings.cap = 2 * m->rings.cap + 64;
		for (int ring = 0; ring < MESH_RINGS_MAX; ring++)
			m->rings.nodes[ring] = mem_realloc(
				m->rings.nodes[ring], (size_t)m->rings.cap,
				sizeof(m->rings.nodes[ring][0]));
	}
	for (int ring = 0; ring < MESH_RINGS_MAX; ring++)
		if (is_on)
			ring_insert(m, ring, n);
		else
			ring_remove(m, ring, n);
	m->rings.len += is_on ? 1 : -1;
	n->is_on_rings = is_on;
}

void
mesh_rings_update(struct mesh *m, struct mesh_node *n, const char *region)
{
	bool is_to_be = n->inbound != MESH_INBOUND_NO && !n->is_gone;
	uint16_t hash = (uint16_t)(hash64(bytes_text(region), 0) >> RINGS_PLACE_BITS);

	if (n->is_placed && n->is_on_rings == is_to_be && n->region == hash)
		return;
	if (n->is_on_rings)
		rings_put(m, n, false);
	n->region = hash;
	n->is_placed = true;
	/* One that is on no ring has its places all the same: its homes stand behind them. */
	for (int ring = 0; ring < MESH_RINGS_MAX; ring++)
		n->places[ring] = ring_place(ring, n);
	if (is_to_be)
		rings_put(m, n, true);
	m->rings.version++;
}

void
mesh_rings_set_count(struct mesh *m, int count)
{
	if (count < MESH_RINGS || count > MESH_RINGS_MAX || count == m->rings.count)
		return;
	m->rings.count = count;
	m->rings.version++;
}

int
mesh_rings_judge(int count, int live, ms_t now, ms_t *above_since)
{
	if (live <= MESH_RINGS_MORE_NODES)
		*above_since = 0;
	else if (*above_since == 0)
		*above_since = now;
	if (*above_since != 0 && now - *above_since >= MESH_RINGS_MORE_MS)
		return MESH_RINGS_MAX;
	return live < MESH_RINGS_LESS_NODES ? MESH_RINGS : count;
}

void
mesh_rings_free(struct mesh *m)
{
	for (int ring = 0; ring < MESH_RINGS_MAX; ring++)
		free(m->rings.nodes[ring]);
}

/* ---- neighbours ---- */

struct found {
	struct mesh_node **nodes;
	int len, max;
};

static bool
found_add(struct found *found, struct mesh_node *n)
{
	for (int i = 0; i < found->len; i++)
		if (found->nodes[i] == n)
			return false;
	if (found->len < found->max)
		found->nodes[found->len++] = n;
	return true;
}

/* The nearest `many` on one side of x's place, of those that pass. */
static void
ring_walk(const struct mesh *m, int ring, const struct mesh_node *x, mesh_filter *filter,
	  int step, int many, struct found *found)
{
	int len = m->rings.len, at = ring_find(m, ring, x);
	int first = step < 0 ? at - 1 : x->is_on_rings ? at + 1 : at;

	for (int i = 0; i < len && many > 0; i++) {
		struct mesh_node
			*n = m->rings.nodes[ring][((first + step * i) % len + len) % len];

		if (n == x || !filter(m, n, x))
			continue;
		found_add(found, n);
		many--;
	}
}

/* Rings overlap where nodes are few: so that each has as many as it should, the next ones on
 * ring 0 are taken too. */
static void
ring_top_up(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
	    struct found *found)
{
	int len = m->rings.len, at = ring_find(m, 0, x);

	for (int i = 0; i < len && found->len < found->max; i++) {
		struct mesh_node *n = m->rings.nodes[0][(at + i) % len];

		if (n != x && filter(m, n, x))
			found_add(found, n);
	}
}

/* The homes that the row of a leaf names, as far as they may be such. */
static void
ring_named(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
	   struct found *found)
{
	for (int i = 0; i < x->homes_len; i++) {
		struct mesh_node *n = id_equal(&x->homes[i], &m->self.id)
					      ? (struct mesh_node *)&m->self
					      : mesh_node_find(m, &x->homes[i]);

		if (n != NULL && n->is_on_rings && filter(m, n, x))
			found_add(found, n);
	}
}

int
mesh_rings_before(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
		  struct mesh_node **ret, int max)
{
	struct found found = { .nodes = ret, .max = max };

	ring_walk(m, 0, x, filter, -1, max, &found);
	return found.len;
}

/* `more` than there are to be, by topping up. */
static int
rings_neighbours(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
		 int more, struct mesh_node **ret)
{
	bool is_leaf = x->inbound == MESH_INBOUND_NO;
	struct found found = { .nodes = ret, .max = 2 * m->rings.count + more };

	if (is_leaf)
		ring_named(m, x, filter, &found);
	if (found.len > 0)
		return found.len;
	for (int ring = 0; ring < m->rings.count; ring++) {
		ring_walk(m, ring, x, filter, 1, is_leaf ? 2 : 1, &found);
		if (!is_leaf)
			ring_walk(m, ring, x, filter, -1, 1, &found);
	}
	ring_top_up(m, x, filter, &found);
	return found.len;
}

int
mesh_neighbours(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
		struct mesh_node *ret[MESH_NEIGHBOURS_MAX])
{
	return rings_neighbours(m, x, filter, 0, ret);
}

/* Is n linked to x by the rings, or would it be if x had one neighbour less? */
static bool
rings_may_be_neighbour(const struct mesh *m, const struct mesh_node *x,
		       const struct mesh_node *n)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX + 1];
	int len = rings_neighbours(m, x, mesh_is_standing, 1, nodes);

	for (int i = 0; i < len; i++)
		if (nodes[i] == n)
			return true;
	return false;
}

bool
mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
	      const struct mesh_node *voter)
{
	bool is_leaf = x->inbound == MESH_INBOUND_NO;
	struct mesh_node *nodes[4 * MESH_RINGS_MAX];
	struct found found = { .nodes = nodes, .max = 4 * MESH_RINGS_MAX };

	/* Of one that is dead, by what is held here, nobody has to wait for the word. */
	if (voter->inbound == MESH_INBOUND_NO || voter == x ||
	    !mesh_is_standing(m, voter, x))
		return false;
	for (int ring = 0; ring < m->rings.count; ring++) {
		ring_walk(m, ring, x, mesh_is_standing, 1, is_leaf ? 4 : 2, &found);
		if (!is_leaf)
			ring_walk(m, ring, x, mesh_is_standing, -1, 2, &found);
	}
	for (int i = 0; i < found.len; i++)
		if (nodes[i] == voter)
			return true;
	/* Those by whom few are topped up: by another view the next one may be, too. */
	return rings_may_be_neighbour(m, x, voter) ||
	       (!is_leaf && rings_may_be_neighbour(m, voter, x));
}

bool
mesh_is_neighbour_of(const struct mesh *m, const struct mesh_node *x,
		     const struct mesh_node *n)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int len = mesh_neighbours(m, x, mesh_is_standing, nodes);

	for (int i = 0; i < len; i++)
		if (nodes[i] == n)
			return true;
	return false;
}

/* ---- who counts ---- */

bool
mesh_is_standing(const struct mesh *m, const struct mesh_node *n,
		 const struct mesh_node *x)
{
	(void)m;
	(void)x;
	return !n->is_gone && !n->has_left && n->state != MESH_NODE_DEAD &&
	       n->state != MESH_NODE_LEFT;
}

bool
mesh_is_reachable(const struct mesh *m, const struct mesh_node *n,
		  const struct mesh_node *x)
{
	return mesh_is_standing(m, n, x) && n->state != MESH_NODE_UNREACHABLE;
}
