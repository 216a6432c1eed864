/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that take no links themselves, as seen by those who are not linked to them: who is
 * linked says so to all its links (ATTACHED), and they hold the node for alive, and can reach
 * it, as long as one of them says so. The rule is told in mesh/mesh.h. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mesh/core.h"

/* ---- what we say ---- */

/* Of one handing over from link to link, nothing is said. */
static bool
attached_is_ours(const struct mesh *m, const struct mesh_node *n)
{
	return n->inbound != MESH_INBOUND_YES && m->test.found != MESH_INBOUND_NO &&
	       !n->is_gone && n->state == MESH_NODE_ALIVE &&
	       (n->link != 0 || n->suspect_at != 0);
}

void
mesh_attached_update(struct mesh *m, struct mesh_node *n)
{
	bool is_ours = attached_is_ours(m, n);
	struct mesh_blob *blob;
	struct buf b = BUF_INIT;

	/* The end of our links will say it. */
	if (is_ours == n->is_told || m->is_stopped)
		return;
	n->is_told = is_ours;
	wire_put_attached(&b, bytes_of(n->id.b, ID_BYTES), !is_ours);
	blob = mesh_blob_new(buf_bytes(&b));
	buf_fini(&b);
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->node != n)
			mesh_send_blob(m, l, WIRE_CLASS_CONTROL, blob);
	mesh_blob_release(blob);
}

void
mesh_attached_update_all(struct mesh *m)
{
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		mesh_attached_update(m, n);
}

/* From here on the link hears what changes. */
void
mesh_attached_greet(struct mesh *m, struct mesh_link *l)
{
	struct buf ids = BUF_INIT, frames = BUF_INIT;

	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		bool is_last = n->hh.next == NULL;

		if (n->is_told && n != l->node)
			buf_put(&ids, n->id.b, ID_BYTES);
		if (ids.len == 0 ||
		    (!is_last && ids.len < (size_t)WIRE_WANT_MAX * ID_BYTES))
			continue;
		wire_put_attached(&frames, buf_bytes(&ids), false);
		buf_clear(&ids);
	}
	if (frames.len > 0)
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&frames));
	buf_fini(&ids);
	buf_fini(&frames);
}

/* ---- what we hear ---- */

static struct mesh_claim *
claim_find(const struct mesh_link *l, const struct id *node)
{
	struct mesh_claim *c;

	HASH_FIND(hh, l->claims, node, sizeof(*node), c);
	return c;
}

bool
mesh_node_is_claimed(const struct mesh *m, const struct mesh_node *n)
{
	if (n->inbound == MESH_INBOUND_YES || n->is_gone)
		return false;
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->claims != NULL && l->node != n && claim_find(l, &n->id) != NULL)
			return true;
	return false;
}

void
mesh_node_weigh(struct mesh *m, struct mesh_node *n)
{
	if (n->link != 0 || n->is_gone)
		return;
	if (mesh_node_is_claimed(m, n))
		mesh_node_set_state(m, n, MESH_NODE_ALIVE);
	else if (n->state == MESH_NODE_ALIVE && n->suspect_at == 0)
		mesh_node_set_state(m, n, MESH_NODE_SUSPECT);
}

static void
claim_weigh(struct mesh *m, const struct id *node)
{
	struct mesh_node *n = mesh_node_find(m, node);

	/* One whose row is not here is weighed when that comes. */
	if (n != NULL)
		mesh_node_weigh(m, n);
}

static void
claim_add(struct mesh *m, struct mesh_link *l, const struct id *node)
{
	struct mesh_claim *c = claim_find(l, node);

	if (c != NULL || HASH_COUNT(l->claims) >= MESH_LINKS_MAX ||
	    id_equal(node, &m->config.self))
		return;
	c = mem_calloc(1, sizeof(*c));
	c->node = *node;
	HASH_ADD(hh, l->claims, node, sizeof(c->node), c);
	claim_weigh(m, node);
}

static void
claim_drop(struct mesh *m, struct mesh_link *l, struct mesh_claim *c)
{
	struct id node = c->node;

	HASH_DEL(l->claims, c);
	free(c);
	claim_weigh(m, &node);
}

bool
mesh_frame_attached(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct bytes nodes;
	struct reader r;
	struct id node;

	if (wire_read_want(f->payload, &nodes) < 0)
		return mesh_malformed(m, l, "an ATTACHED");
	r = reader_of(nodes);
	for (reader_copy(&r, node.b, ID_BYTES); !r.failed;
	     reader_copy(&r, node.b, ID_BYTES)) {
		struct mesh_claim *c = claim_find(l, &node);

		if (!(f->flags & WIRE_FLAG_NO_MORE))
			claim_add(m, l, &node);
		else if (c != NULL)
			claim_drop(m, l, c);
	}
	return true;
}

void
mesh_claims_end(struct mesh *m, struct mesh_link *l)
{
	while (l->claims != NULL)
		claim_drop(m, l, l->claims);
}

int
mesh_relays_to(const struct mesh *m, const struct id *node, uint64_t *ret_links, int max)
{
	const struct mesh_node *n = mesh_node_find(m, node);
	int len = 0;

	if (n == NULL || n->link != 0 || n->is_gone || n->inbound == MESH_INBOUND_YES)
		return 0;
	for (const struct mesh_link *l = m->links; l != NULL && len < max; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->node->link == l->id &&
		    claim_find(l, node) != NULL)
			ret_links[len++] = l->id;
	return len;
}
