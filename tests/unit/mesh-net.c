/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/mesh-net.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "unit/mesh-rig.h"

/* Bytes on their way, or rows being merged (`is_merge`), or an end. */
struct net_packet {
	struct net_packet *prev, *next;
	ms_t at;
	int from, to;
	uint64_t link; /* the number at `to` */
	bool is_merge, is_refresh, is_end;
	size_t len;
	uint8_t data[];
};

static int
packet_compare(const struct net_packet *a, const struct net_packet *b)
{
	return a->at > b->at ? 1 : -1; /* of one moment in the order they were put */
}

static struct net_packet *
net_put(struct net *net, ms_t delay, int from, int to, struct bytes data)
{
	struct net_packet *p = mem_calloc(1, sizeof(*p) + data.len), *last;

	/* A stream keeps its order. */
	p->at = net->now + delay;
	if (p->at < net->nodes[to].arrived[from])
		p->at = net->nodes[to].arrived[from];
	net->nodes[to].arrived[from] = p->at;
	p->from = from;
	p->to = to;
	p->link = net->nodes[to].links[from];
	p->len = data.len;
	if (data.len > 0)
		memcpy(p->data, data.data, data.len);
	/* Mostly it is the last. */
	last = net->queue != NULL ? net->queue->prev : NULL;
	if (last == NULL || last->at <= p->at)
		DL_APPEND(net->queue, p);
	else
		DL_INSERT_INORDER(net->queue, p, packet_compare);
	return p;
}

static int
net_peer(const struct net *net, int node, uint64_t link)
{
	for (int i = 0; i < net->len; i++)
		if (link != 0 && net->nodes[node].links[i] == link)
			return i;
	return -1;
}

/* ---- actions ---- */

static void
net_send(struct net *net, int node, const struct mesh_action *a)
{
	int to = net_peer(net, node, a->link);
	struct bytes data = a->data;
	struct wire_reader reader;
	struct wire_frame f;

	if (to < 0)
		return;
	wire_reader_init(&reader);
	reader.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	while (wire_reader_next(&reader, &data, &f) == 1) {
		struct buf b = BUF_INIT;

		if (f.type < NET_TYPES)
			net->frames[f.type]++;
		net->bytes[a->class] += WIRE_HEADER_BYTES + f.payload.len;
		wire_put_frame(&b, f.type, f.flags, f.payload);
		if (f.type == WIRE_BEACON && net->nodes[node].is_mute)
			; /* lost */
		else if (net->pass == NULL || net->pass(net->arg, node, to, &f))
			net_put(net, net->latency, node, to, buf_bytes(&b));
		buf_fini(&b);
	}
	wire_reader_fini(&reader);
}

static void
net_deliver(struct net *net, int node, const struct mesh_action *a)
{
	bool is_refresh = a->type == MESH_ACTION_DELIVER_REFRESH;
	struct bytes rows = is_refresh ? a->data : a->rows;
	int from = net_peer(net, node, a->link);
	struct net_packet *p;

	CU_ASSERT_FATAL(rows.len >= 4 && from >= 0);
	net->nodes[node].delivered[get_be32(rows.data)]++;
	net->nodes[node].refreshes += is_refresh;
	p = net_put(net, net->merge_ms, from, node, rows);
	p->is_merge = true;
	p->is_refresh = is_refresh;
}

/* Its actions are taken by net_step(), which called this. */
static void
net_answer(struct net *net, int node, struct mesh_event *e)
{
	e->wall_ms = NET_WALL_MS + net->now + net->nodes[node].skew;
	mesh_step(net->nodes[node].mesh, net->now, e);
}

static void
net_sign(struct net *net, int node, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_SIGNED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	rig_hash(&net->nodes[node].id, a->data, signature);
	e.data = bytes_of(signature, sizeof(signature));
	net_answer(net, node, &e);
}

static void
net_verify(struct net *net, int node, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_VERIFIED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	rig_hash(&a->node, a->data, signature);
	e.is_valid = bytes_equal(bytes_of(signature, sizeof(signature)), a->signature);
	net_answer(net, node, &e);
}

static void
net_do(struct net *net, int node, const struct mesh_action *a)
{
	int peer;

	switch (a->type) {
	case MESH_ACTION_SEND:
		net_send(net, node, a);
		break;
	case MESH_ACTION_CLOSE:
		peer = net_peer(net, node, a->link);
		if (peer < 0)
			break;
		net_put(net, net->latency, node, peer, BYTES_NONE)->is_end = true;
		net->nodes[node].links[peer] = 0;
		break;
	case MESH_ACTION_DELIVER_ROWS:
	case MESH_ACTION_DELIVER_REFRESH:
		net_deliver(net, node, a);
		break;
	case MESH_ACTION_SIGN:
		net_sign(net, node, a);
		break;
	case MESH_ACTION_VERIFY:
		net_verify(net, node, a);
		break;
	default:
		break;
	}
}

void
net_step(struct net *net, int node, struct mesh_event e)
{
	struct net_node *n = &net->nodes[node];
	struct mesh_action a;

	if (n->mesh == NULL)
		return;
	e.wall_ms = NET_WALL_MS + net->now + n->skew;
	mesh_step(n->mesh, net->now, &e);
	while (mesh_next(n->mesh, &a))
		net_do(net, node, &a);
}

/* ---- rows ---- */

static void
net_row(uint32_t row, struct buf *out)
{
	uint8_t rest[NET_ROW_BYTES - 4];

	memset(rest, (int)(row & 0xff), sizeof(rest));
	buf_put_u32(out, row);
	buf_put(out, rest, sizeof(rest));
}

/* It is new here, and goes on as it came. */
static void
net_merge(struct net *net, int node, uint64_t link, uint32_t row, bool is_refresh)
{
	uint8_t refresh[WIRE_REFRESH_BYTES] = { 0 };
	struct mesh_event e = { .type = MESH_EVENT_ROW_CHANGED,
				.link = link,
				.key_hash = row + 1 };
	struct buf b = BUF_INIT;

	if (net->nodes[node].has[row])
		return;
	net->nodes[node].has[row] = true;
	net->nodes[node].got[row] = net->now;
	put_be32(refresh, row);
	if (is_refresh)
		e.refresh = bytes_of(refresh, sizeof(refresh));
	net_row(row, &b);
	e.rows = buf_bytes(&b);
	net_step(net, node, e);
	buf_fini(&b);
}

int
net_write(struct net *net, int node, bool is_refresh)
{
	int row = net->rows++;

	CU_ASSERT_FATAL(row < NET_ROWS_MAX);
	net_merge(net, node, 0, (uint32_t)row, is_refresh);
	return row;
}

int
net_live(const struct net *net)
{
	int n = 0;

	for (int i = 0; i < net->len; i++)
		n += net->nodes[i].mesh != NULL;
	return n;
}

int
net_having(const struct net *net, int row)
{
	int n = 0;

	for (int i = 0; i < net->len; i++)
		n += net->nodes[i].mesh != NULL && net->nodes[i].has[row];
	return n;
}

/* ---- time ---- */

static void
net_arrive(struct net *net, const struct net_packet *p)
{
	struct net_node *n = &net->nodes[p->to];
	struct mesh_event e = { .type = MESH_EVENT_LINK_DATA,
				.link = p->link,
				.data = bytes_of(p->data, p->len),
				.why = "the other side closed it" };

	if (p->is_merge) {
		net_merge(net, p->to, p->link, get_be32(p->data), p->is_refresh);
		return;
	}
	if (p->link == 0 || n->links[p->from] != p->link)
		return;
	if (p->is_end) {
		n->links[p->from] = 0;
		e.type = MESH_EVENT_LINK_CLOSED;
	}
	net_step(net, p->to, e);
}

static ms_t
net_due(const struct net *net)
{
	ms_t due = net->queue != NULL ? net->queue->at : INT64_MAX;

	for (int i = 0; i < net->len; i++)
		if (net->nodes[i].mesh != NULL && mesh_due(net->nodes[i].mesh) < due)
			due = mesh_due(net->nodes[i].mesh);
	return due;
}

void
net_run(struct net *net, ms_t span)
{
	ms_t until = net->now + span, due;

	while ((due = net_due(net)) <= until) {
		if (due > net->now)
			net->now = due;
		while (net->queue != NULL && net->queue->at <= net->now) {
			struct net_packet *p = net->queue;

			DL_DELETE(net->queue, p);
			net_arrive(net, p);
			free(p);
		}
		for (int i = 0; i < net->len; i++)
			if (net->nodes[i].mesh != NULL &&
			    mesh_due(net->nodes[i].mesh) <= net->now)
				net_step(net, i,
					 (struct mesh_event){ .type = MESH_EVENT_TICK });
	}
	net->now = until;
}

/* ---- links ---- */

void
net_link(struct net *net, int a, int b)
{
	struct net_node *first = &net->nodes[a], *second = &net->nodes[b];

	if (a == b || first->links[b] != 0 || first->mesh == NULL ||
	    second->mesh == NULL || (a < net->left) != (b < net->left))
		return;
	first->links[b] = mesh_link_new(first->mesh);
	second->links[a] = mesh_link_new(second->mesh);
	net_step(net, a,
		 (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
				      .link = first->links[b],
				      .node = second->id });
	net_step(net, b,
		 (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
				      .link = second->links[a],
				      .node = first->id });
}

static void
net_end(struct net *net, int node, int peer)
{
	uint64_t link = net->nodes[node].links[peer];

	net->nodes[node].links[peer] = 0;
	if (link != 0)
		net_step(net, node,
			 (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
					      .link = link,
					      .why = "cut" });
}

void
net_cut(struct net *net, int a, int b)
{
	net_end(net, a, b);
	net_end(net, b, a);
}

static int
net_find(const struct net *net, const struct id *id)
{
	int i = 0;

	while (i < net->len && !id_equal(&net->nodes[i].id, id))
		i++;
	return i;
}

static void
net_link_near(struct net *net, int node, mesh_filter *filter)
{
	struct mesh *m = net->nodes[node].mesh;
	struct mesh_node *near[MESH_NEIGHBOURS_MAX];
	int n = mesh_neighbours(m, &m->self, filter, near);

	for (int k = 0; k < n; k++)
		net_link(net, node, net_find(net, &near[k]->id));
}

void
net_link_rings(struct net *net)
{
	for (int i = 0; i < net->len; i++) {
		if (net->nodes[i].mesh == NULL)
			continue;
		net_link_near(net, i, mesh_is_standing);
		net_link_near(net, i, mesh_is_reachable);
	}
}

void
net_split(struct net *net, int left)
{
	net->left = left;
	for (int a = 0; a < left; a++)
		for (int b = left; b < net->len; b++)
			net_cut(net, a, b);
}

void
net_kill(struct net *net, int node)
{
	mesh_free(net->nodes[node].mesh);
	net->nodes[node].mesh = NULL;
	for (int i = 0; i < net->len; i++) {
		net->nodes[node].links[i] = 0;
		net_end(net, i, node);
	}
}

void
net_make_leaf(struct net *net, int node)
{
	net->nodes[node].is_leaf = true;
	net_step(net, node, (struct mesh_event){ .type = MESH_EVENT_SELF });
	for (int i = 0; i < net->len; i++)
		net_step(net, i,
			 (struct mesh_event){ .type = MESH_EVENT_NODE,
					      .node = net->nodes[node].id,
					      .inbound = MESH_INBOUND_NO });
	CU_ASSERT(mesh_is_leaf(net->nodes[node].mesh));
}

int
net_seeing(const struct net *net, int node, enum mesh_state state)
{
	int n = 0;

	for (int i = 0; i < net->len; i++)
		n += i != node && net->nodes[i].mesh != NULL &&
		     mesh_node_state(net->nodes[i].mesh, &net->nodes[node].id) == state;
	return n;
}

int
net_ends(const struct net *net)
{
	int n = 0;

	for (int i = 0; i < net->len; i++)
		for (int k = 0; k < net->len; k++)
			n += net->nodes[i].links[k] != 0;
	return n;
}

/* ---- the tree ---- */

int
net_parent(const struct net *net, int node)
{
	const struct mesh *m = net->nodes[node].mesh;

	return mesh_tree_is_root(m) ? -2 : net_peer(net, node, m->tree.parent);
}

static bool
net_edge_is_known(const struct net *net, int child, int parent)
{
	const struct mesh_link *l = mesh_link_find(net->nodes[parent].mesh,
						   net->nodes[parent].links[child]);

	return l != NULL && l->edge.is_child;
}

/* Up from there; -1 when that leads nowhere. */
static int
net_climb(const struct net *net, int node)
{
	for (int steps = 0; steps <= net->len; steps++) {
		int parent = net_parent(net, node);

		if (parent == -2)
			return node;
		if (parent < 0 || !net_edge_is_known(net, node, parent))
			return -1;
		node = parent;
	}
	return -1;
}

static int
net_children(const struct net *net, int node)
{
	int n = 0;

	for (const struct mesh_link *l = net->nodes[node].mesh->links; l != NULL;
	     l = l->hh.next)
		n += l->edge.is_child;
	return n;
}

bool
net_is_tree(const struct net *net)
{
	int lowest = -1, children = 0, nodes = 0;

	for (int i = 0; i < net->len; i++)
		if (net->nodes[i].mesh != NULL && !net->nodes[i].is_leaf &&
		    !net->nodes[i].is_mute &&
		    (lowest < 0 ||
		     net->nodes[i].mesh->self.rank < net->nodes[lowest].mesh->self.rank))
			lowest = i;
	for (int i = 0; i < net->len; i++) {
		if (net->nodes[i].mesh == NULL)
			continue;
		children += net_children(net, i);
		if (net->nodes[i].is_mute)
			continue;
		nodes++;
		if (net_climb(net, i) != lowest)
			return false;
	}
	return children == nodes - 1;
}

/* ---- life ---- */

void
net_init(struct net *net, int len, uint64_t seed)
{
	*net = (struct net){ .len = len, .now = 1000, .latency = 1, .merge_ms = 1 };
	rng_init(&net->rng, seed);
	for (int i = 0; i < len; i++)
		for (int k = 0; k < ID_BYTES; k++)
			net->nodes[i].id.b[k] = (uint8_t)rng_next(&net->rng);
	for (int i = 0; i < len; i++) {
		struct mesh_config config = { .self = net->nodes[i].id,
					      .seed = rng_next(&net->rng),
					      .incarnation = 10,
					      .retention_ms = MS_DAY,
					      .rows_per_node = 100,
					      .format = 1 };

		net->nodes[i].mesh = mesh_new(&config, net->now);
		for (int k = 0; k < len; k++)
			net_step(net, i,
				 (struct mesh_event){ .type = MESH_EVENT_NODE,
						      .node = net->nodes[k].id,
						      .inbound = MESH_INBOUND_YES });
	}
}

void
net_forget(struct net *net)
{
	memset(net->frames, 0, sizeof(net->frames));
	memset(net->bytes, 0, sizeof(net->bytes));
}

void
net_fini(struct net *net)
{
	struct net_packet *p, *next;

	DL_FOREACH_SAFE (net->queue, p, next) {
		free(p);
	}
	for (int i = 0; i < net->len; i++)
		mesh_free(net->nodes[i].mesh);
}
