/* SPDX-License-Identifier: Apache-2.0 */
/* Is all as it should be? See mesh-world.h. */
#include "config.h"

#include "lib/tap.h"
#include "sim/mesh-inside.h"

bool
world_is_rowless(const struct world *w, int a, int b)
{
	struct mesh_peer peers[2 * MESH_WORLD_NODES_MAX];
	int n = mesh_peers(w->nodes[a].mesh, peers, 2 * MESH_WORLD_NODES_MAX);
	uint64_t link = mesh_link_of(w->nodes[a].mesh, &w->nodes[b].id);

	for (int i = 0; i < n && i < 2 * MESH_WORLD_NODES_MAX; i++)
		if (peers[i].link == link)
			return peers[i].is_rowless;
	return false;
}

uint64_t
world_timeouts(const struct world *w)
{
	uint64_t n = 0;

	for (int i = 0; i < w->nodes_len; i++)
		n += w->nodes[i].sync.timeouts;
	return n;
}

static void
world_check_pair(struct world *w, int a, int b)
{
	int open = 0;
	uint64_t at_a = mesh_link_of(w->nodes[a].mesh, &w->nodes[b].id);
	uint64_t at_b = mesh_link_of(w->nodes[b].mesh, &w->nodes[a].id);

	for (int i = 0; i < w->streams_len; i++) {
		struct stream *s = &w->streams[i];
		int first = s->end[0] == a ? 0 : 1;

		if (s->is_cut || s->link[0] == 0 || s->link[1] == 0 ||
		    s->end[first] != a || s->end[1 - first] != b ||
		    s->life[first] != w->nodes[a].life ||
		    s->life[1 - first] != w->nodes[b].life)
			continue;
		open++;
		CU_ASSERT(s->link[first] == at_a && s->link[1 - first] == at_b);
	}
	if (open != 1)
		tap_note("nodes %d and %d have %d links", a, b, open);
	CU_ASSERT(open == 1);
	CU_ASSERT(world_is_rowless(w, a, b) == world_is_rowless(w, b, a));
}

void
world_check(struct world *w)
{
	for (int i = 0; i < w->nodes_len; i++) {
		struct node *n = &w->nodes[i];
		struct mesh_peer peers[2 * MESH_WORLD_NODES_MAX];
		int links;
		struct mesh_stats stats;
		int alive = 0, lacks = 0;

		if (!n->is_running)
			continue;
		for (int k = 0; k < w->nodes_len; k++) {
			if (k == i)
				continue;
			if (n->seen[k] !=
			    (w->nodes[k].is_running ? MESH_NODE_ALIVE : MESH_NODE_DEAD))
				tap_note("node %d takes node %d for %d", i, k,
					 n->seen[k]);
			CU_ASSERT(n->seen[k] == (w->nodes[k].is_running
							 ? MESH_NODE_ALIVE
							 : MESH_NODE_DEAD));
			CU_ASSERT(mesh_node_state(n->mesh, &w->nodes[k].id) ==
				  n->seen[k]);
			alive += w->nodes[k].is_running;
			if (k > i && w->nodes[k].is_running)
				world_check_pair(w, i, k);
		}
		for (int row = 0; row < MESH_ROWS_MAX; row++)
			for (int k = 0; k < w->nodes_len; k++)
				lacks += w->nodes[k].is_running &&
					 w->nodes[k].table.has[row] &&
					 !n->table.has[row] &&
					 mesh_table_can_merge(&n->table, (uint32_t)row);
		if (lacks > 0)
			tap_note("node %d lacks %d rows", i, lacks);
		CU_ASSERT(lacks == 0);
		mesh_stats(n->mesh, &stats);
		CU_ASSERT(stats.links_up == alive);
		CU_ASSERT(stats.received_bytes[WIRE_CLASS_HEARTBEAT] ==
			  12 * stats.received_frames[WIRE_CLASS_HEARTBEAT]);
		links = mesh_peers(n->mesh, peers, 2 * MESH_WORLD_NODES_MAX);
		CU_ASSERT(links >= alive);
		for (int k = 0; k < links && k < 2 * MESH_WORLD_NODES_MAX; k++)
			CU_ASSERT(
				peers[k].link != mesh_link_of(n->mesh, &peers[k].node) ||
				peers[k].rtt_ms == mesh_rtt_of(n->mesh, &peers[k].node));
	}
}
