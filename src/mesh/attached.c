/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that take no links themselves, as seen by those who are not linked to them: who is
 * linked says so to all its links (ATTACHED), and they hold the node for alive, and can reach
 * it, as long as one of them says so. The rule is told in mesh/mesh.h. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mesh/core.h"

/* ---- what we say ---- */

/* A leaf tells nothing. One link of a node handed over to another is nothing to tell. */
static enum mesh_told
attached_to_tell(const struct mesh *m, const struct mesh_node *n, bool is_for_leaves)
{
	bool is_linked = n->link != 0 || n->suspect_at != 0;

	if (mesh_is_leaf(m) || n->is_gone || n->state != MESH_NODE_ALIVE)
		return MESH_TOLD_NOTHING;
	if (is_for_leaves)
		return is_linked ? MESH_TOLD_LINKED : MESH_TOLD_HEARD;
	return is_linked && n->inbound != MESH_INBOUND_YES ? MESH_TOLD_LINKED
							   : MESH_TOLD_NOTHING;
}

static uint8_t
attached_flags(enum mesh_told told)
{
	return told == MESH_TOLD_NOTHING ? WIRE_FLAG_NO_MORE
	       : told == MESH_TOLD_HEARD ? WIRE_FLAG_HEARD
					 : 0;
}

static void
attached_tell_all(struct mesh *m, const struct mesh_node *n, enum mesh_told told,
		  bool is_for_leaves)
{
	struct buf b = BUF_INIT;
	struct mesh_blob *blob;

	wire_put_attached(&b, bytes_of(n->id.b, ID_BYTES), attached_flags(told));
	blob = mesh_blob_new(buf_bytes(&b));
	buf_fini(&b);
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->node != n &&
		    l->is_leaf == is_for_leaves)
			mesh_send_blob(m, l, WIRE_CLASS_CONTROL, blob);
	mesh_blob_release(blob);
}

void
mesh_attached_update(struct mesh *m, struct mesh_node *n)
{
	enum mesh_told told = attached_to_tell(m, n, false);
	enum mesh_told told_leaves = attached_to_tell(m, n, true);

	if (m->is_stopped)
		return; /* the end of our links says it */
	if (told != n->told)
		attached_tell_all(m, n, told, false);
	if (told_leaves != n->told_leaves)
		attached_tell_all(m, n, told_leaves, true);
	n->told = told;
	n->told_leaves = told_leaves;
}

void
mesh_attached_update_all(struct mesh *m)
{
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		mesh_attached_update(m, n);
		mesh_node_weigh(m, n);
	}
}

/* Tell the link of all nodes of which its kind was told `told`, and, with `than_other`, the
 * other kind was told something else. As NOTHING: of those told to the other kind alone. */
static void
attached_tell_link(struct mesh *m, struct mesh_link *l, enum mesh_told told,
		   bool than_other)
{
	struct buf ids = BUF_INIT, frames = BUF_INIT;

	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		enum mesh_told now = l->is_leaf ? n->told_leaves : n->told;
		enum mesh_told was = l->is_leaf ? n->told : n->told_leaves;

		if (n != l->node && now == told && (!than_other || now != was))
			buf_put(&ids, n->id.b, ID_BYTES);
		if (ids.len == 0 ||
		    (n->hh.next != NULL && ids.len < (size_t)WIRE_WANT_MAX * ID_BYTES))
			continue;
		wire_put_attached(&frames, buf_bytes(&ids), attached_flags(told));
		buf_clear(&ids);
	}
	if (frames.len > 0)
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&frames));
	buf_fini(&ids);
	buf_fini(&frames);
}

/* From here on the link hears what changes. */
void
mesh_attached_greet(struct mesh *m, struct mesh_link *l)
{
	l->is_leaf = l->node->inbound == MESH_INBOUND_NO;
	attached_tell_link(m, l, MESH_TOLD_LINKED, false);
	attached_tell_link(m, l, MESH_TOLD_HEARD, false);
}

void
mesh_attached_change(struct mesh *m, struct mesh_node *n)
{
	bool is_leaf = n->inbound == MESH_INBOUND_NO;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->node != n || l->state != MESH_LINK_UP || l->is_leaf == is_leaf)
			continue;
		l->is_leaf = is_leaf;
		attached_tell_link(m, l, MESH_TOLD_LINKED, true);
		attached_tell_link(m, l, MESH_TOLD_HEARD, true);
		attached_tell_link(m, l, MESH_TOLD_NOTHING, true);
	}
}

/* ---- what we hear ---- */

static struct mesh_claim *
claim_find(const struct mesh_link *l, const struct id *node)
{
	struct mesh_claim *c;

	HASH_FIND(hh, l->claims, node, sizeof(*node), c);
	return c;
}

/* Of a node that is to be linked to us only our own links tell. */
static bool
claims_count(const struct mesh *m, const struct mesh_node *n)
{
	return !n->is_gone && (n->inbound != MESH_INBOUND_YES || mesh_is_leaf(m));
}

bool
mesh_node_is_claimed(const struct mesh *m, struct mesh_node *n)
{
	/* Nobody tells of a node that takes links and is not to be linked with us. */
	if (!claims_count(m, n))
		return !n->is_gone && !n->has_left && !mesh_is_wanted(m, n);
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->claims != NULL && l->node != n && claim_find(l, &n->id) != NULL)
			return true;
	return false;
}

void
mesh_node_weigh(struct mesh *m, struct mesh_node *n)
{
	if (n->link != 0)
		return;
	if (!n->has_said_goodbye && mesh_node_is_claimed(m, n))
		mesh_node_set_state(m, n, MESH_NODE_ALIVE);
	else if (n->state == MESH_NODE_ALIVE && n->suspect_at == 0)
		mesh_node_set_state(m, n, MESH_NODE_SUSPECT);
}

void
mesh_nodes_weigh(struct mesh *m)
{
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		if (n->state != MESH_NODE_ALIVE)
			mesh_node_weigh(m, n);
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
claim_add(struct mesh *m, struct mesh_link *l, const struct id *node, bool is_heard)
{
	struct mesh_claim *c = claim_find(l, node);
	struct mesh_node *n = mesh_node_find(m, node);

	if (id_equal(node, &m->config.self))
		return;
	if (c == NULL) {
		if (HASH_COUNT(l->claims) >= MESH_NODES_MAX)
			return;
		c = mem_calloc(1, sizeof(*c));
		c->node = *node;
		HASH_ADD(hh, l->claims, node, sizeof(c->node), c);
		if (n != NULL)
			n->has_said_goodbye = false;
	}
	c->is_heard = is_heard;
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
	bool is_too_much = false;
	struct bytes nodes;
	struct reader r;
	struct id node;

	if (wire_read_want(f->payload, &nodes) < 0)
		return mesh_malformed(m, l, "an ATTACHED");
	r = reader_of(nodes);
	for (reader_copy(&r, node.b, ID_BYTES); !r.failed;
	     reader_copy(&r, node.b, ID_BYTES)) {
		struct mesh_claim *c = claim_find(l, &node);

		if (!(f->flags & WIRE_FLAG_NO_MORE)) {
			claim_add(m, l, &node, f->flags & WIRE_FLAG_HEARD);
		} else if (c != NULL) {
			claim_drop(m, l, c);
			is_too_much |= !mesh_rate_pass_in(m, &l->unclaims,
							  MESH_UNCLAIMS_MAX, MS_MINUTE);
		}
	}
	/* A leaf hears of all nodes, and tells nobody. */
	if (!is_too_much || mesh_is_leaf(m))
		return true;
	mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
			"more than %d nodes a minute that it is not linked to any more",
			MESH_UNCLAIMS_MAX);
	return false;
}

void
mesh_claims_end(struct mesh *m, struct mesh_link *l)
{
	while (l->claims != NULL)
		claim_drop(m, l, l->claims);
}
