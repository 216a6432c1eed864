/* SPDX-License-Identifier: Apache-2.0 */
/* Is a simulated cluster as it should be; what its nodes hold and believe; and what it cost. */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"
#include "sim/mesh-node.h"

/* Which lose rows for good. */
#define FAULTS_OF_DISKS                                                                  \
	(FAULT_BIT(FAULT_DISK_LOSS) | FAULT_BIT(FAULT_OLD_DISK) | FAULT_BIT(FAULT_JOINS))

/* A look at all: quietly, to the first thing that is wrong, or loudly, to the last. */
struct look {
	struct world *w;
	bool is_loud;
	bool is_wrong;
	int *links; /* of one node to each other: open ones */
};

static void look_says(struct look *k, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
look_says(struct look *k, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	k->is_wrong = true;
	if (!k->is_loud)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	world_fail(k->w, "%s", text);
}

static bool
look_is_over(const struct look *k)
{
	return k->is_wrong && !k->is_loud;
}

/* ---- rows ---- */

static void
look_at_rows(struct look *k)
{
	struct world *w = k->w;
	const struct node *first = NULL;

	for (int i = 0; i < w->nodes_len; i++) {
		const struct node *n = &w->nodes[i];

		if (!node_counts(n))
			continue;
		if (first == NULL)
			first = n;
		if (n->table.root.count != first->table.root.count ||
		    !u128_equal(n->table.root.sum, first->table.root.sum))
			look_says(k, "nodes %d and %d hold other rows", first->index, i);
		if (n->own_len > 0 || n->table.undo_len > 0)
			look_says(k, "node %d has not committed", i);
		if (n->table.aside_len > 0)
			look_says(k, "node %d has %d rows aside", i, n->table.aside_len);
	}
	for (uint32_t row = 0; first != NULL && row < w->rows.len && !look_is_over(k);
	     row++) {
		const struct mesh_row *r = &w->rows.rows[row];

		/* What a lost or older disk took, its owner may have to write anew. */
		if (first->table.versions[row] < r->durable &&
		    !w->nodes[r->owner].is_doomed &&
		    (w->options.faults & FAULTS_OF_DISKS) == 0)
			look_says(k, "row %u is lost: version %u of %u", row,
				  first->table.versions[row], r->durable);
	}
}

/* ---- links ---- */

/* By one who passes queries on, or by a link that is opened for it. */
static bool
has_way(const struct node *n, const struct node *other)
{
	uint64_t link;

	return mesh_relays_to(n->mesh, &other->id, &link, 1) == 1 ||
	       mesh_may_open_way(n->mesh, &other->id);
}

/* Either may want it: who died lately is missed by each for a time of its own. */
static bool
is_wanted_by_one(const struct node *n, const struct node *other)
{
	return node_is_to_link(n, other) || node_is_to_link(other, n);
}

static void
look_at_pair(struct look *k, const struct node *n, const struct node *other)
{
	int open = k->links[other->index];
	bool is_wanted = is_wanted_by_one(n, other);

	if (open != (is_wanted ? 1 : 0))
		look_says(k, "node %d has %d links to node %d", n->index, open,
			  other->index);
	else if (!is_wanted && !has_way(n, other))
		look_says(k, "node %d has no way to node %d", n->index, other->index);
}

/* Open streams to each, which are the links that both cores name. */
static void
look_count_links(struct look *k, const struct node *n)
{
	memset(k->links, 0, (size_t)k->w->slots * sizeof(k->links[0]));
	for (struct stream_end *e = n->ends; e != NULL; e = e->hh.next) {
		struct stream_end *other = stream_other(e);

		for (int q = 0; q < OUTBOX_QUEUES; q++)
			if (outbox_has(&e->outbox, (enum outbox_queue)q))
				look_says(k, "node %d has frames that wait for node %d",
					  n->index, other->node->index);
		if (e->is_cut || other->link == 0)
			continue;
		k->links[other->node->index]++;
		if (mesh_link_of(n->mesh, &other->node->id) != e->link)
			look_says(k, "node %d has a link to node %d that it does not use",
				  n->index, other->node->index);
	}
}

static void
look_at_links(struct look *k, const struct node *n)
{
	struct world *w = k->w;
	struct mesh_stats stats;
	int wanted = 0;

	look_count_links(k, n);
	for (int i = 0; i < w->nodes_len && !look_is_over(k); i++) {
		const struct node *other = &w->nodes[i];

		if (other == n || !other->is_running)
			continue;
		look_at_pair(k, n, other);
		wanted += is_wanted_by_one(n, other);
	}
	mesh_stats(n->mesh, &stats);
	if (stats.links_up != wanted)
		look_says(k, "node %d has %d links that are up, and wants %d", n->index,
			  stats.links_up, wanted);
	if (stats.received_bytes[WIRE_CLASS_HEARTBEAT] !=
	    WIRE_HEARTBEAT_BYTES * stats.received_frames[WIRE_CLASS_HEARTBEAT])
		look_says(k, "a heartbeat has not %d bytes", WIRE_HEARTBEAT_BYTES);
	if (wanted > 0 &&
	    n->inbound != (n->is_hidden ? MESH_INBOUND_NO : MESH_INBOUND_YES))
		look_says(k, "node %d has not found out whether it takes links",
			  n->index);
}

/* ---- who is there ---- */

/* Where most of those who watch it are gone at once, nobody knows better than that a node
 * cannot be reached. */
static bool
is_right(const struct world *w, const struct node *n, int other)
{
	enum mesh_state seen = (enum mesh_state)n->seen[other];

	if (w->nodes[other].is_running)
		return seen == MESH_NODE_ALIVE;
	return seen == MESH_NODE_DEAD || seen == MESH_NODE_UNREACHABLE;
}

static void
look_at_states(struct look *k, const struct node *n)
{
	struct world *w = k->w;

	for (int i = 0; i < w->nodes_len && !look_is_over(k); i++) {
		if (i == n->index)
			continue;
		if (!is_right(w, n, i))
			look_says(k, "node %d takes node %d for %d", n->index, i,
				  n->seen[i]);
		if (mesh_node_state(n->mesh, &w->nodes[i].id) !=
		    (enum mesh_state)n->seen[i])
			look_says(k, "node %d was not told of node %d", n->index, i);
	}
}

/* ---- the tree ---- */

/* How many links of the node carry rows at once, by its own view or the other end's. */
static int
look_count_edges(const struct node *n)
{
	int edges = 0;

	for (struct stream_end *e = n->ends; e != NULL; e = e->hh.next) {
		struct stream_end *other = stream_other(e);
		const struct mesh_link *ours = mesh_link_find(n->mesh, e->link), *theirs;

		if (e->is_cut || other->link == 0 || ours == NULL)
			continue;
		theirs = mesh_link_find(other->node->mesh, other->link);
		edges += mesh_link_is_eager(n->mesh, ours) ||
			 (theirs != NULL &&
			  mesh_link_is_eager(other->node->mesh, theirs));
	}
	return edges;
}

/* A while after the latest beacon, when former parents know that they are none any more. */
static bool
tree_is_at_rest(const struct world *w)
{
	ms_t latest = 0;

	for (int i = 0; i < w->nodes_len; i++)
		if (node_counts(&w->nodes[i]) && w->nodes[i].watched.changed_at > latest)
			latest = w->nodes[i].watched.changed_at;
	return w->sim.now - latest > 2 * MESH_SETTLE_MAX_MS;
}

/* All follow the same root, the one of the lowest rank; and with one edge less than there are
 * nodes, each but the root with a parent, there is no second way for any row. */
static void
look_at_tree(struct look *k)
{
	struct world *w = k->w;
	const struct node *first = &w->nodes[world_root(w)];
	int nodes = 0, edges = 0;

	for (int i = 0; i < w->nodes_len && !look_is_over(k); i++) {
		const struct node *n = &w->nodes[i];
		struct id root;

		if (!node_counts(n))
			continue;
		nodes++;
		edges += look_count_edges(n);
		if (!mesh_root(n->mesh, &root) || !id_equal(&root, &first->id))
			look_says(k, "node %d does not follow node %d, the root", i,
				  first->index);
		else if ((n->mesh->tree.parent == 0) != (n == first))
			look_says(k, "node %d has %s parent", i, n == first ? "a" : "no");
	}
	if (!look_is_over(k) && nodes > 0 && tree_is_at_rest(w) &&
	    edges != 2 * (nodes - 1))
		look_says(k, "%d nodes have %d ends of edges", nodes, edges);
}

static bool
world_look(struct world *w, bool is_loud)
{
	struct look k = { .w = w, .is_loud = is_loud };

	look_at_rows(&k);
	if (!look_is_over(&k))
		look_at_tree(&k);
	k.links = mem_calloc((size_t)w->slots, sizeof(k.links[0]));
	for (int i = 0; i < w->nodes_len && !look_is_over(&k); i++) {
		const struct node *n = &w->nodes[i];

		if (!node_counts(n))
			continue;
		look_at_states(&k, n);
		if (!look_is_over(&k))
			look_at_links(&k, n);
	}
	free(k.links);
	return !k.is_wrong;
}

void
world_check(struct world *w)
{
	world_look(w, true);
}

ms_t
world_until_whole(struct world *w, ms_t span)
{
	ms_t from = w->sim.now;

	while (w->sim.now < from + span) {
		sim_run(&w->sim, w->sim.now + MS_SECOND);
		/* It is to last for a moment. */
		if (world_look(w, false)) {
			sim_run(&w->sim, w->sim.now + 3 * MS_SECOND);
			if (world_look(w, false))
				return w->sim.now - from;
		}
	}
	return -1;
}

ms_t
world_until_rows(struct world *w, ms_t span)
{
	ms_t from = w->sim.now;

	while (w->sim.now < from + span) {
		bool is_equal = true;

		sim_run(&w->sim, w->sim.now + 1);
		for (int i = 1; i < w->nodes_len && is_equal; i++)
			is_equal = !w->nodes[i].is_running ||
				   u128_equal(w->nodes[i].table.root.sum,
					      w->nodes[0].table.root.sum);
		if (is_equal)
			return w->sim.now - from;
	}
	return -1;
}

/* ---- questions ---- */

bool
world_is_rowless(const struct world *w, int a, int b)
{
	const struct mesh *m = w->nodes[a].mesh;
	int len = mesh_peers(m, NULL, 0);
	struct mesh_peer *peers = mem_calloc((size_t)len + 1, sizeof(peers[0]));
	uint64_t link = mesh_link_of(m, &w->nodes[b].id);
	bool is_rowless = false;

	mesh_peers(m, peers, len);
	for (int i = 0; i < len; i++)
		is_rowless |= peers[i].link == link && peers[i].is_rowless;
	free(peers);
	return is_rowless;
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
world_false_deaths(const struct world *w)
{
	return w->false_deaths;
}

uint64_t
world_held(const struct world *w, int node)
{
	return w->nodes[node].table.root.count;
}

ms_t
world_dead_since(const struct world *w, int node)
{
	ms_t since = 0;

	for (int i = 0; i < w->nodes_len; i++) {
		const struct node *n = &w->nodes[i];

		if (i == node || !node_counts(n))
			continue;
		if (n->seen[node] != MESH_NODE_DEAD)
			return -1;
		if (n->seen_at[node] > since)
			since = n->seen_at[node];
	}
	return since;
}

int
world_root(const struct world *w)
{
	uint64_t lowest = UINT64_MAX;
	int root = 0;

	for (int i = 0; i < w->nodes_len; i++) {
		uint8_t both[2 * ID_BYTES] = { 0 }; /* of the cluster, and the node */
		uint64_t rank;

		memcpy(both + ID_BYTES, w->nodes[i].id.b, ID_BYTES);
		rank = hash64(bytes_of(both, sizeof(both)), 0);
		if (node_counts(&w->nodes[i]) && !w->nodes[i].is_hidden &&
		    rank < lowest) {
			lowest = rank;
			root = i;
		}
	}
	return root;
}

/* ---- costs ---- */

void
world_sessions(const struct world *w, struct world_sessions *ret_sessions)
{
	*ret_sessions = (struct world_sessions){ 0 };
	for (int i = 0; i < w->nodes_len; i++) {
		const struct mesh_sync *s = &w->nodes[i].sync;

		ret_sessions->timeouts += s->timeouts;
		ret_sessions->compared += s->compared;
		ret_sessions->needless += s->needless;
		ret_sessions->moved += s->moved;
	}
}

void
world_bytes(const struct world *w, int node, struct world_bytes *ret_bytes)
{
	*ret_bytes = (struct world_bytes){ .at = w->sim.now };
	for (int i = 0; i < w->slots; i++) {
		struct mesh_stats stats;

		if (node >= 0 && i != node)
			continue;
		node_stats(&w->nodes[i], &stats);
		for (int c = 0; c < WIRE_CLASSES; c++) {
			ret_bytes->sent[c] += w->nodes[i].sent[c];
			ret_bytes->received[c] += stats.received_bytes[c];
		}
	}
}

double
world_rate(const struct world *w, const struct world_bytes *since)
{
	struct world_bytes now;
	uint64_t bytes = 0;
	int nodes = 0;

	world_bytes(w, -1, &now);
	for (int c = 0; c < WIRE_CLASSES; c++)
		bytes += now.sent[c] - since->sent[c] + now.received[c] -
			 since->received[c];
	for (int i = 0; i < w->nodes_len; i++)
		nodes += node_counts(&w->nodes[i]);
	if (nodes == 0 || now.at == since->at)
		return 0;
	return (double)bytes * MS_SECOND / (double)nodes / (double)(now.at - since->at);
}

uint64_t
world_sent(const struct world *w, const struct world_bytes *since, unsigned classes)
{
	struct world_bytes now;
	uint64_t bytes = 0;

	world_bytes(w, -1, &now);
	for (int c = 0; c < WIRE_CLASSES; c++)
		if (classes & (1u << c))
			bytes += now.sent[c] - since->sent[c];
	return bytes;
}

uint64_t
world_row_bytes(const struct world *w)
{
	return w->rows.bytes;
}

void
world_measure(struct world *w)
{
	w->is_measuring = true;
	w->latencies_len = 0;
}

static int
latency_compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int64_t
world_latency(const struct world *w, double part, int *ret_noted)
{
	int len = w->latencies_len, at = (int)(part * len);
	int64_t *sorted, found = -1;

	*ret_noted = len;
	if (len == 0)
		return -1;
	sorted = mem_dup(w->latencies, (size_t)len * sizeof(sorted[0]));
	qsort(sorted, (size_t)len, sizeof(sorted[0]), latency_compare);
	found = sorted[at < len ? at : len - 1];
	free(sorted);
	return found;
}
