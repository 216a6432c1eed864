/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/lease.h"
#include "lib/tap.h"
#include "sim/mesh-node.h"

/* Faults. */

static void
world_reset_stream(struct world *w)
{
	for (int i = w->streams_len - 1; i >= 0 && i > w->streams_len - 30; i--) {
		if (w->streams[i].link[0] == 0 || w->streams[i].link[1] == 0 ||
		    !sim_once_in(&w->sim, 4))
			continue;
		stream_put(w, i, 0, NULL, 0, true);
		stream_put(w, i, 1, NULL, 0, true);
		return;
	}
}

static void
world_cut(struct world *w, int a, int b, bool is_cut)
{
	w->blocked[a][b] = w->blocked[b][a] = is_cut;
	for (int i = 0; is_cut && i < w->streams_len; i++)
		if ((w->streams[i].end[0] == a && w->streams[i].end[1] == b) ||
		    (w->streams[i].end[0] == b && w->streams[i].end[1] == a))
			w->streams[i].is_cut = true;
}

static void
world_write(struct world *w, struct node *n)
{
	struct mesh_event e = { .type = MESH_EVENT_ROWS_CHANGED };
	struct buf b = BUF_INIT;
	uint32_t row = (uint32_t)w->next_row;

	if (!n->is_running || w->next_row == MESH_ROWS_MAX)
		return;
	w->stamps[w->next_row++] = w->sim.now + MESH_SYNC_WALL_MS;
	mesh_table_add(&n->table, row);
	mesh_row_put(&b, row);
	e.rows = buf_bytes(&b);
	node_step(n, &e);
	node_tell_root(n);
	buf_fini(&b);
}

static void
world_fault(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct node *n = &w->nodes[sim_below(sim, (uint64_t)w->nodes_len)];
	int other = (int)sim_below(sim, (uint64_t)w->nodes_len);

	(void)data;
	if (w->is_quiet)
		return;
	switch (sim_below(sim, 10)) {
	case 0:
		if (n->is_running)
			node_crash(n, sim_once_in(sim, 2));
		break;
	case 1:
	case 2:
		if (!n->is_running)
			node_start(n);
		break;
	case 3:
		world_cut(w, n->index, other, true);
		break;
	case 4:
		world_cut(w, n->index, other, false);
		break;
	case 5:
		world_reset_stream(w);
		break;
	default:
		world_write(w, n);
		break;
	}
	sim_at(sim, sim->now + 1 + (ms_t)sim_below(sim, 3000), world_fault, w, NULL);
}

/* Runs. */

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

/* By one who passes queries on; two that are hidden may have to look for one. */
static bool
world_has_way(const struct world *w, int node, int other)
{
	const struct mesh *m = w->nodes[node].mesh;
	const struct id *id = &w->nodes[other].id;
	uint64_t link;

	if (mesh_relays_to(m, id, &link, 1) == 1)
		return true;
	return w->nodes[node].is_hidden && w->nodes[other].is_hidden &&
	       mesh_may_open_way(m, id);
}

static void
world_check_pair(struct world *w, int a, int b)
{
	int open = 0;
	uint64_t at_a = mesh_link_of(w->nodes[a].mesh, &w->nodes[b].id);
	uint64_t at_b = mesh_link_of(w->nodes[b].mesh, &w->nodes[a].id);
	int wanted = node_is_to_link(&w->nodes[a], &w->nodes[b]);

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
	if (open != wanted)
		tap_note("nodes %d and %d have %d links", a, b, open);
	CU_ASSERT(open == wanted);
	if (!wanted)
		CU_ASSERT(world_has_way(w, a, b) && world_has_way(w, b, a));
	CU_ASSERT(world_is_rowless(w, a, b) == world_is_rowless(w, b, a));
}

/* Where most of those who watch it are gone at once, nobody knows better than that a node
 * cannot be reached. */
static bool
world_is_right(const struct world *w, int node, int other)
{
	enum mesh_state seen = w->nodes[node].seen[other];

	if (w->nodes[other].is_running)
		return seen == MESH_NODE_ALIVE;
	return seen == MESH_NODE_DEAD || seen == MESH_NODE_UNREACHABLE;
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
			if (!world_is_right(w, i, k))
				tap_note("node %d takes node %d for %d", i, k,
					 n->seen[k]);
			CU_ASSERT(world_is_right(w, i, k));
			CU_ASSERT(mesh_node_state(n->mesh, &w->nodes[k].id) ==
				  n->seen[k]);
			alive += w->nodes[k].is_running &&
				 node_is_to_link(n, &w->nodes[k]);
			if (k > i && w->nodes[k].is_running)
				world_check_pair(w, i, k);
		}
		CU_ASSERT(alive == 0 || n->inbound == (n->is_hidden ? MESH_INBOUND_NO
								    : MESH_INBOUND_YES));
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

struct world *
world_new(uint64_t seed, int nodes, int hidden)
{
	struct world *w = mem_calloc(1, sizeof(*w));

	sim_init(&w->sim, seed);
	w->streams = mem_calloc(STREAMS_MAX, sizeof(w->streams[0]));
	w->nodes_len = nodes;
	w->latency = 1 + (ms_t)sim_below(&w->sim, 200);
	for (int i = 0; i < nodes; i++) {
		w->nodes[i].world = w;
		w->nodes[i].index = i;
		w->nodes[i].is_hidden = i >= nodes - hidden;
		w->nodes[i].table.stamps = w->stamps;
		w->nodes[i].sync = (struct mesh_sync){ .sim = &w->sim,
						       .process = &w->nodes[i].process,
						       .table = &w->nodes[i].table,
						       .merge_ms = w->latency,
						       .send = node_send_sync,
						       .reject = node_reject,
						       .arg = &w->nodes[i] };
		for (int k = 0; k < ID_BYTES; k++)
			w->nodes[i].id.b[k] = (uint8_t)rng_next(&w->sim.rng);
	}
	for (int i = 0; i < nodes; i++)
		node_start(&w->nodes[i]);
	return w;
}

void
world_free(struct world *w)
{
	for (int i = 0; i < w->nodes_len; i++) {
		sim_process_fini(&w->nodes[i].process);
		mesh_free(w->nodes[i].mesh);
		mesh_sync_stop(&w->nodes[i].sync);
	}
	free(w->streams);
	sim_fini(&w->sim);
	free(w);
}

uint64_t
world_run(uint64_t seed, int nodes, int hidden, bool with_faults)
{
	struct world *w = world_new(seed, nodes, hidden);
	uint64_t trace;

	if (with_faults)
		sim_at(&w->sim, w->sim.now + 500, world_fault, w, NULL);
	else
		for (int i = 0; i < 50; i++)
			world_write(w, &w->nodes[i % nodes]);
	sim_run(&w->sim, w->sim.now + (with_faults ? 5 * MS_MINUTE : 20 * MS_SECOND));
	w->is_quiet = true;
	for (int a = 0; a < nodes; a++)
		for (int b = 0; b < nodes; b++)
			w->blocked[a][b] = false;
	if (with_faults && !w->nodes[0].is_running)
		node_start(&w->nodes[0]);
	for (int i = 0; i < nodes; i++)
		if (w->nodes[i].is_running)
			node_learn(&w->nodes[i], true);
	/* Links that are not needed live for a while. */
	sim_run(&w->sim, w->sim.now + (with_faults  ? 5 * MS_MINUTE
				       : hidden > 0 ? 2 * MS_MINUTE
						    : 20 * MS_SECOND));
	world_check(w);
	trace = w->sim.trace;
	world_free(w);
	return trace;
}

struct world *
world_calm(uint64_t seed, int nodes, int hidden)
{
	struct world *w = world_new(seed, nodes, hidden);

	for (int i = 0; i < nodes; i++)
		node_learn(&w->nodes[i], true);
	if (hidden > 0)
		sim_run(&w->sim, w->sim.now + 2 * MS_MINUTE);
	sim_run(&w->sim,
		w->sim.now + 20 * MS_SECOND + (ms_t)sim_below(&w->sim, 2 * MS_MINUTE));
	world_check(w);
	for (int i = 0; i < nodes; i++)
		w->nodes[i].deaths = 0;
	return w;
}

bool
world_lose_latest(struct world *w, int node)
{
	uint32_t needed;

	if (!mesh_row_needs((uint32_t)w->next_row, &needed))
		return false;
	mesh_table_drop(&w->nodes[node].table, needed);
	node_tell_root(&w->nodes[node]);
	return true;
}

void
world_advance_horizon(struct world *w, int node, ms_t span)
{
	struct node *n = &w->nodes[node];

	n->horizon = (uint64_t)(w->sim.now + MESH_SYNC_WALL_MS + LEASE_AHEAD_MS -
				MESH_WORLD_RETENTION_MS + span);
	node_tell_root(n);
}

void
world_freeze(struct world *w, int node, ms_t span)
{
	sim_freeze(&w->sim, &w->nodes[node].process, span);
}

void
world_crash(struct world *w, int node, bool is_silent)
{
	node_crash(&w->nodes[node], is_silent);
}

void
world_start(struct world *w, int node)
{
	node_start(&w->nodes[node]);
}

void
world_split(struct world *w, int left, bool is_cut)
{
	for (int a = 0; a < left; a++)
		for (int b = left; b < w->nodes_len; b++)
			world_cut(w, a, b, is_cut);
}

void
world_add_row(struct world *w, int node)
{
	world_write(w, &w->nodes[node]);
}

void
world_go_on(struct world *w, ms_t span)
{
	sim_run(&w->sim, w->sim.now + span);
}

int
world_below(struct world *w, int n)
{
	return (int)sim_below(&w->sim, (uint64_t)n);
}

ms_t
world_now(const struct world *w)
{
	return w->sim.now;
}

enum mesh_state
world_seen(const struct world *w, int node, int other, ms_t *ret_since)
{
	if (ret_since != NULL)
		*ret_since = w->nodes[node].seen_at[other];
	return w->nodes[node].seen[other];
}

int
world_deaths(const struct world *w)
{
	int deaths = 0;

	for (int i = 0; i < w->nodes_len; i++)
		deaths += w->nodes[i].deaths;
	return deaths;
}

int
world_look_for_ways(struct world *w)
{
	struct mesh_event e = { .type = MESH_EVENT_WAY };
	int far = 0;

	for (int i = 0; i < w->nodes_len; i++)
		for (int k = 0; k < w->nodes_len; k++) {
			uint64_t link;

			if (i == k || !w->nodes[i].is_hidden || !w->nodes[k].is_hidden)
				continue;
			e.node = w->nodes[k].id;
			far += mesh_relays_to(w->nodes[i].mesh, &e.node, &link, 1) == 0;
			node_step(&w->nodes[i], &e);
		}
	return far;
}

int
world_lost_ways(const struct world *w)
{
	int lost = 0, looked = 0;

	for (int i = 0; i < w->nodes_len; i++) {
		lost += w->nodes[i].ways - w->nodes[i].ways_found;
		looked += w->nodes[i].ways;
	}
	return looked > 0 ? lost : -1;
}
