/* SPDX-License-Identifier: Apache-2.0 */
/* The rings, as one node computes them from its table, against the rule written down a second
 * time; and what the graph that they make is good for. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "mesh/core.h"

enum { NODES_MAX = 1024 };

struct view {
	struct mesh *mesh;
	struct rng rng;
	ms_t now;
	struct mesh_node *nodes[NODES_MAX]; /* the first one is this node itself */
	int len;
};

static struct id
view_id(struct view *v)
{
	struct id id;

	for (int i = 0; i < ID_BYTES; i++)
		id.b[i] = (uint8_t)rng_next(&v->rng);
	return id;
}

static struct mesh_node *
view_add(struct view *v, enum mesh_inbound inbound, const char *region)
{
	const char *address = "192.0.2.1:1";
	struct mesh_event e = { .type = MESH_EVENT_NODE,
				.node = view_id(v),
				.inbound = inbound,
				.region = region,
				.addresses = &address,
				.addresses_len = 1 };
	struct mesh_node *n;

	mesh_step(v->mesh, v->now, &e);
	n = mesh_node_find(v->mesh, &e.node);
	if (inbound != MESH_INBOUND_NO && v->len < NODES_MAX)
		v->nodes[v->len++] = n;
	return n;
}

static void
view_init(struct view *v, uint64_t seed, int nodes)
{
	struct mesh_config config = { .seed = seed, .rows_per_node = 100, .format = 1 };
	const char *address = "192.0.2.7:1";
	struct mesh_event self = { .type = MESH_EVENT_SELF,
				   .addresses = &address,
				   .addresses_len = 1 };

	*v = (struct view){ .now = 1000 };
	rng_init(&v->rng, seed);
	config.self = view_id(v);
	v->mesh = mesh_new(&config, v->now);
	mesh_step(v->mesh, v->now, &self);
	v->nodes[v->len++] = &v->mesh->self;
	while (v->len < nodes)
		view_add(v, MESH_INBOUND_YES, "");
}

static void
view_fini(struct view *v)
{
	mesh_free(v->mesh);
}

static int
neighbours(const struct view *v, int i, struct mesh_node *ret[MESH_NEIGHBOURS_MAX])
{
	return mesh_neighbours(v->mesh, v->nodes[i], mesh_is_standing, ret);
}

static bool
is_among(const struct mesh_node *n, struct mesh_node *const *nodes, int len)
{
	for (int i = 0; i < len; i++)
		if (nodes[i] == n)
			return true;
	return false;
}

/* The rule a second time: how far from `x` on it is to `n` on the ring, of nodes without
 * regions; `way` -1: backwards. */
static uint64_t
ring_way(int ring, int way, const struct mesh_node *x, const struct mesh_node *n)
{
	uint64_t from = hash64(bytes_of(x->id.b, ID_BYTES), (uint64_t)ring);
	uint64_t to = hash64(bytes_of(n->id.b, ID_BYTES), (uint64_t)ring);

	if (ring > 0) {
		/* 16 bits of the empty region stand above, the same for all. */
		from = from >> 16 << 16;
		to = to >> 16 << 16;
	}
	return way > 0 ? to - from : from - to;
}

static struct mesh_node *
ring_next(const struct view *v, int ring, int way, const struct mesh_node *x)
{
	struct mesh_node *best = NULL;

	for (int i = 0; i < v->len; i++)
		if (v->nodes[i] != x &&
		    (best == NULL ||
		     ring_way(ring, way, x, v->nodes[i]) < ring_way(ring, way, x, best)))
			best = v->nodes[i];
	return best;
}

static void
test_the_rule(void)
{
	struct view v;
	int topped = 0, odd = 0;

	view_init(&v, tap_seed(), 300);
	for (int i = 0; i < v.len; i++) {
		struct mesh_node *nodes[MESH_NEIGHBOURS_MAX],
			*theirs[MESH_NEIGHBOURS_MAX];
		int len = neighbours(&v, i, nodes);
		struct mesh_node *named[2 * MESH_RINGS];

		CU_ASSERT(len == 2 * MESH_RINGS);
		for (int ring = 0; ring < MESH_RINGS; ring++)
			for (int way = -1; way <= 1; way += 2) {
				struct mesh_node *n = ring_next(&v, ring, way,
								v.nodes[i]);

				named[2 * ring + (way > 0)] = n;
				CU_ASSERT(is_among(n, nodes, len));
			}
		/* Who is not named by a ring fills a gap; all others are so both ways. */
		for (int k = 0; k < len; k++) {
			bool is_named = is_among(nodes[k], named, 2 * MESH_RINGS);
			int their_len = mesh_neighbours(v.mesh, nodes[k],
							mesh_is_standing, theirs);
			bool is_mutual = is_among(v.nodes[i], theirs, their_len);

			topped += !is_named;
			odd += !is_mutual;
			CU_ASSERT(is_mutual || !is_named);
		}
	}
	tap_note("of %d neighbours %d fill a gap, %d of them one way", 6 * v.len, topped,
		 odd);
	view_fini(&v);
}

static void
test_few_nodes(void)
{
	for (int count = MESH_RINGS; count <= MESH_RINGS_MAX; count++)
		for (int nodes = 1; nodes <= 2 * count + 1; nodes++) {
			struct view v;

			view_init(&v, tap_seed() + (uint64_t)nodes, nodes);
			mesh_rings_set_count(v.mesh, count);
			for (int i = 0; i < nodes; i++) {
				struct mesh_node *found[MESH_NEIGHBOURS_MAX];

				CU_ASSERT(neighbours(&v, i, found) == nodes - 1);
				CU_ASSERT(!is_among(v.nodes[i], found, nodes - 1));
			}
			view_fini(&v);
		}
}

/* ---- the graph ---- */

struct graph {
	int len;
	bool is_edge[NODES_MAX][NODES_MAX];
};

static int
index_of(const struct view *v, const struct mesh_node *n)
{
	for (int i = 0; i < v->len; i++)
		if (v->nodes[i] == n)
			return i;
	CU_FAIL_FATAL("a neighbour that nobody knows");
	return -1;
}

/* Links are between two of whom either wants it. */
static struct graph *
graph_of(const struct view *v)
{
	struct graph *g = mem_calloc(1, sizeof(*g));

	g->len = v->len;
	for (int i = 0; i < v->len; i++) {
		struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
		int len = neighbours(v, i, nodes);

		for (int k = 0; k < len; k++) {
			int j = index_of(v, nodes[k]);

			g->is_edge[i][j] = g->is_edge[j][i] = true;
		}
	}
	return g;
}

static int
graph_degree(const struct graph *g, int i)
{
	int degree = 0;

	for (int j = 0; j < g->len; j++)
		degree += g->is_edge[i][j];
	return degree;
}

/* How many are in the largest part without those that are `gone`. */
static int
graph_largest(const struct graph *g, const bool *gone)
{
	static bool seen[NODES_MAX];
	static int queue[NODES_MAX];
	int largest = 0;

	memset(seen, 0, sizeof(seen));
	for (int start = 0; start < g->len; start++) {
		int first = 0, last = 0;

		if (seen[start] || gone[start])
			continue;
		seen[start] = true;
		queue[last++] = start;
		while (first < last) {
			int i = queue[first++];

			for (int j = 0; j < g->len; j++) {
				if (!g->is_edge[i][j] || seen[j] || gone[j])
					continue;
				seen[j] = true;
				queue[last++] = j;
			}
		}
		if (last > largest)
			largest = last;
	}
	return largest;
}

static void
test_degree(void)
{
	struct view v;
	struct graph *g;
	int sum = 0, most = 0;

	view_init(&v, tap_seed(), 1000);
	g = graph_of(&v);
	for (int i = 0; i < v.len; i++) {
		int degree = graph_degree(g, i);

		CU_ASSERT(degree >= 2 * MESH_RINGS);
		sum += degree;
		most = degree > most ? degree : most;
	}
	CU_ASSERT(sum <= 6 * v.len + v.len / 20 && most <= 2 * MESH_RINGS + 2);
	tap_note("1,000 nodes have %.3f links in the mean, %d at most",
		 (double)sum / v.len, most);
	free(g);
	view_fini(&v);
}

/* Half of 1,000 die at once: of the others hardly any is alone (one in 2^6 has lost all its
 * links); and as soon as the deaths are known all are connected again. */
static void
test_half_dies(void)
{
	enum { NODES = 1000 };
	int rounds = tap_is_quick() ? 20 : 100, good = 0;
	double share = 0;

	for (int round = 0; round < rounds; round++) {
		bool gone[NODES_MAX] = { false };
		struct graph *g;
		struct view v;
		int largest;

		view_init(&v, tap_seed() * 1000 + (uint64_t)round, NODES);
		g = graph_of(&v);
		for (int left = NODES / 2; left > 0;) {
			int i = (int)rng_below(&v.rng, NODES);

			left -= !gone[i];
			gone[i] = true;
		}
		largest = graph_largest(g, gone);
		good += largest >= NODES / 2 * 96 / 100;
		share += (double)largest / (NODES / 2) / rounds;
		free(g);
		for (int i = 0; i < NODES; i++)
			if (gone[i])
				v.nodes[i]->state = MESH_NODE_DEAD;
		g = graph_of(&v);
		CU_ASSERT(graph_largest(g, gone) == NODES / 2);
		free(g);
		view_fini(&v);
	}
	CU_ASSERT(good >= rounds * 95 / 100 && share > 0.97);
	tap_note(
		"%d of %d: at least 96 %% of the survivors connected, %.2f %% in the mean",
		good, rounds, 100 * share);
}

static void
test_a_join(void)
{
	int most_opened = 0, most_closed = 0, rounds = 20;
	struct view v;

	view_init(&v, tap_seed() + 7, 200);
	for (int round = 0; round < rounds; round++) {
		struct graph *before = graph_of(&v), *after;
		int opened = 0, closed = 0;

		view_add(&v, MESH_INBOUND_YES, "");
		after = graph_of(&v);
		for (int i = 0; i < v.len; i++)
			for (int j = 0; j < i; j++) {
				opened += after->is_edge[i][j] && !before->is_edge[i][j];
				closed += before->is_edge[i][j] && !after->is_edge[i][j];
			}
		most_opened = opened > most_opened ? opened : most_opened;
		most_closed = closed > most_closed ? closed : most_closed;
		free(before);
		free(after);
	}
	/* Its own; and one or another gap that is filled otherwise. */
	CU_ASSERT(most_opened >= 2 * MESH_RINGS && most_opened <= 2 * MESH_RINGS + 3);
	CU_ASSERT(most_closed <= MESH_RINGS + 3);
	tap_note("by one of %d joins at most %d links are opened, and %d closed", rounds,
		 most_opened, most_closed);
	view_fini(&v);
}

static void
test_regions(void)
{
	static const char *const regions[] = { "eu", "us", "ap", "" };
	int near = 0, all = 0;
	struct graph *g;
	struct view v;

	view_init(&v, tap_seed(), 1);
	for (int i = 0; i < 400; i++)
		view_add(&v, MESH_INBOUND_YES, regions[i % 4]);
	g = graph_of(&v);
	for (int i = 1; i < v.len; i++)
		for (int j = 1; j < i; j++) {
			near += g->is_edge[i][j] && i % 4 == j % 4;
			all += g->is_edge[i][j];
		}
	/* A quarter on ring 0, and almost all on the two others. */
	CU_ASSERT(near > all * 65 / 100 && near < all * 85 / 100);
	tap_note("of %d links %d stay within a region", all, near);
	/* Another label: it stands elsewhere. */
	{
		struct mesh_node *nodes[MESH_NEIGHBOURS_MAX], *n = v.nodes[1];
		struct mesh_event e = { .type = MESH_EVENT_NODE,
					.node = n->id,
					.inbound = MESH_INBOUND_YES,
					.region = "us" };
		int len, here = 0;

		mesh_step(v.mesh, v.now, &e);
		len = mesh_neighbours(v.mesh, n, mesh_is_standing, nodes);
		for (int i = 0; i < len; i++)
			here += nodes[i]->region == v.nodes[2]->region;
		CU_ASSERT(here >= 3);
	}
	free(g);
	view_fini(&v);
}

/* ---- K ---- */

static void
test_rings_count(void)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	ms_t since = 0, now = MS_HOUR;
	uint64_t version;
	struct view v;

	view_init(&v, tap_seed(), 100);
	CU_ASSERT(neighbours(&v, 1, nodes) == 6);
	version = v.mesh->rings.version;
	mesh_rings_set_count(v.mesh, 4);
	CU_ASSERT(neighbours(&v, 1, nodes) == 8 && v.mesh->rings.version != version);
	mesh_rings_set_count(v.mesh, 5);
	mesh_rings_set_count(v.mesh, 2);
	mesh_rings_set_count(v.mesh, -1);
	CU_ASSERT(v.mesh->rings.count == 4);
	mesh_rings_set_count(v.mesh, 3);
	CU_ASSERT(neighbours(&v, 1, nodes) == 6);
	view_fini(&v);

	CU_ASSERT(mesh_rings_judge(3, 3000, now, &since) == 3 && since == 0);
	CU_ASSERT(mesh_rings_judge(3, 3001, now, &since) == 3 && since == now);
	CU_ASSERT(mesh_rings_judge(3, 9000, now + 10 * MS_MINUTE - 1, &since) == 3);
	CU_ASSERT(mesh_rings_judge(3, 9000, now + 10 * MS_MINUTE, &since) == 4);
	/* One moment below it, and the time begins anew. */
	CU_ASSERT(mesh_rings_judge(3, 3000, now + 11 * MS_MINUTE, &since) == 3);
	CU_ASSERT(mesh_rings_judge(3, 3001, now + 12 * MS_MINUTE, &since) == 3);
	CU_ASSERT(mesh_rings_judge(3, 3001, now + 21 * MS_MINUTE, &since) == 3);
	CU_ASSERT(mesh_rings_judge(3, 3001, now + 22 * MS_MINUTE, &since) == 4);
	/* It stays, until there are clearly fewer. */
	CU_ASSERT(mesh_rings_judge(4, 2500, now + 23 * MS_MINUTE, &since) == 4);
	CU_ASSERT(mesh_rings_judge(4, 2000, now + 23 * MS_MINUTE, &since) == 4);
	CU_ASSERT(mesh_rings_judge(4, 1999, now + 23 * MS_MINUTE, &since) == 3);
}

/* ---- homes and voters ---- */

static void
test_named_homes(void)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX], *others[MESH_NEIGHBOURS_MAX], *leaf;
	struct mesh_event e = { .type = MESH_EVENT_NODE, .inbound = MESH_INBOUND_NO };
	struct id homes[MESH_NEIGHBOURS_MAX + 4];
	struct view v;
	int len, n = 0;

	view_init(&v, tap_seed(), 60);
	leaf = view_add(&v, MESH_INBOUND_NO, "");
	len = mesh_neighbours(v.mesh, leaf, mesh_is_standing, nodes);
	CU_ASSERT(len == 6 && !leaf->is_on_rings);
	/* Those that it names stand in their place: two, and what may be none. */
	for (int i = 0; n < 2; i++)
		if (!is_among(v.nodes[i], nodes, len))
			homes[n++] = v.nodes[i]->id;
	homes[n++] = leaf->id;
	homes[n++] = view_id(&v);
	homes[n++] = homes[0];
	e.node = leaf->id;
	e.homes = homes;
	e.homes_len = n;
	mesh_step(v.mesh, v.now, &e);
	CU_ASSERT(mesh_neighbours(v.mesh, leaf, mesh_is_standing, others) == 2);
	CU_ASSERT(id_equal(&others[0]->id, &homes[0]) &&
		  id_equal(&others[1]->id, &homes[1]));
	CU_ASSERT(mesh_is_voter(v.mesh, leaf, others[1]) &&
		  mesh_is_voter(v.mesh, leaf, nodes[0]));
	/* When none of them is left the computed ones count. */
	others[0]->state = others[1]->state = MESH_NODE_DEAD;
	CU_ASSERT(mesh_neighbours(v.mesh, leaf, mesh_is_standing, others) == 6);
	/* More than there may be are cut. */
	for (int i = 0; i < MESH_NEIGHBOURS_MAX + 4; i++)
		homes[i] = v.nodes[20 + i]->id;
	e.homes_len = MESH_NEIGHBOURS_MAX + 4;
	mesh_step(v.mesh, v.now, &e);
	CU_ASSERT(leaf->homes_len == MESH_NEIGHBOURS_MAX);
	mesh_rings_set_count(v.mesh, 4);
	CU_ASSERT(mesh_neighbours(v.mesh, leaf, mesh_is_standing, others) == 8);
	e.homes_len = 0;
	mesh_step(v.mesh, v.now, &e);
	CU_ASSERT(mesh_neighbours(v.mesh, leaf, mesh_is_standing, others) == 8 &&
		  leaf->homes_len == 0);
	view_fini(&v);
}

/* Who watches x, or is watched by it, among those that stand. */
static int
watchers(const struct view *v, const struct mesh_node *x, struct mesh_node **ret)
{
	int len = 0;

	for (int i = 0; i < v->len; i++)
		if (v->nodes[i] != x && mesh_is_standing(v->mesh, v->nodes[i], x) &&
		    (mesh_is_neighbour_of(v->mesh, x, v->nodes[i]) ||
		     mesh_is_neighbour_of(v->mesh, v->nodes[i], x)))
			ret[len++] = v->nodes[i];
	return len;
}

/* One node is dead for those who watch x and not here, or here alone. */
static void
check_voters(struct view *v, struct mesh_node *odd, bool is_dead_here, int *asked,
	     int *refused)
{
	struct mesh_node *nodes[NODES_MAX];

	for (int i = 1; i < v->len; i++) {
		struct mesh_node *x = v->nodes[i];
		int len;

		if (x == odd)
			continue;
		odd->state = is_dead_here ? MESH_NODE_ALIVE : MESH_NODE_DEAD;
		len = watchers(v, x, nodes);
		odd->state = is_dead_here ? MESH_NODE_DEAD : MESH_NODE_ALIVE;
		for (int k = 0; k < len; k++) {
			if (nodes[k] == odd)
				continue;
			(*asked)++;
			*refused += !mesh_is_voter(v->mesh, x, nodes[k]);
		}
		odd->state = MESH_NODE_ALIVE;
	}
}

/* Whoever watches a node by its own view may vote by ours, also when one more is dead by the one
 * than by the other; and others may not. */
static void
test_voters(void)
{
	static const int sizes[] = { 8, 10, 12, 20, 50, 100 };

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		int voters = 0, asked = 0, refused = 0, rounds = 600 / sizes[s];
		struct mesh_node *nodes[NODES_MAX];
		struct view v;

		view_init(&v, tap_seed() + s, sizes[s]);
		for (int i = 1; i < v.len; i++) {
			int len = watchers(&v, v.nodes[i], nodes);

			for (int k = 0; k < len; k++)
				CU_ASSERT(mesh_is_voter(v.mesh, v.nodes[i], nodes[k]));
			CU_ASSERT(!mesh_is_voter(v.mesh, v.nodes[i], v.nodes[i]));
		}
		for (int i = 0; i < rounds; i++)
			check_voters(
				&v,
				v.nodes[1 + rng_below(&v.rng, (uint64_t)sizes[s] - 1)],
				i % 2, &asked, &refused);
		/* But for one or another of those who fill a gap. */
		CU_ASSERT(refused <= asked / 200);
		for (int k = 0; k < v.len; k++)
			voters += mesh_is_voter(v.mesh, v.nodes[5], v.nodes[k]);
		CU_ASSERT(voters >= 6 && voters <= 24);
		tap_note("%d nodes: %d vote about one; of %d who watch by another view "
			 "%d may not by ours",
			 sizes[s], voters, asked, refused);
		view_fini(&v);
	}
}

/* ---- cost ---- */

static int looks;

static bool
count_look(const struct mesh *m, const struct mesh_node *n, const struct mesh_node *x)
{
	looks++;
	return mesh_is_standing(m, n, x);
}

static void
test_cost(void)
{
	enum { NODES = 10000 };
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	clock_t from = clock();
	uint64_t version;
	struct view v;
	double spent;

	view_init(&v, tap_seed(), 1);
	for (int i = 1; i < NODES; i++)
		view_add(&v, MESH_INBOUND_YES, "");
	CU_ASSERT(v.mesh->rings.len == NODES);
	spent = (double)(clock() - from) / CLOCKS_PER_SEC;
	tap_note("%d nodes learned in %.0f ms of the processor", NODES, spent * 1000);
	CU_ASSERT(spent <
		  20); /* also under valgrind, and far below what n^2 steps take */
	/* Neighbours are found without a look at the others. */
	for (int i = 0; i < NODES_MAX; i++) {
		looks = 0;
		mesh_neighbours(v.mesh, v.nodes[i], count_look, nodes);
		CU_ASSERT(looks <= 4 * MESH_NEIGHBOURS_MAX);
	}
	/* What is known already moves nobody. */
	version = v.mesh->rings.version;
	{
		struct mesh_event e = { .type = MESH_EVENT_NODE,
					.node = v.nodes[9]->id,
					.inbound = MESH_INBOUND_UNKNOWN };

		mesh_step(v.mesh, v.now, &e);
		CU_ASSERT(v.mesh->rings.version == version);
		e.is_gone = true;
		mesh_step(v.mesh, v.now, &e);
		CU_ASSERT(v.mesh->rings.version != version &&
			  v.mesh->rings.len == NODES - 1);
	}
	view_fini(&v);
}

static const struct tap_test tests[] = {
	{ "neighbours are the next before and behind on each ring, both ways but for gaps",
	  test_the_rule },
	{ "up to 2 K + 1 nodes all are linked to all", test_few_nodes },
	{ "1,000 nodes have 6 links each", test_degree },
	{ "half of 1,000 dead, 97 % of the others are connected, and all once it is known",
	  test_half_dies },
	{ "a node that joins moves few links of others", test_a_join },
	{ "most links stay within a region, and some do not", test_regions },
	{ "K is 4 above 3,000 nodes for 10 minutes, and 3 again below 2,000",
	  test_rings_count },
	{ "the homes that a leaf names stand in place of the computed ones",
	  test_named_homes },
	{ "who watches a node may vote, and few others", test_voters },
	{ "10,000 nodes cost no look at all others", test_cost },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
