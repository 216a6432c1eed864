/* SPDX-License-Identifier: Apache-2.0 */
/* What other parts of the daemon tell the mesh core, and what they send over its links. */
#include "config.h"

#include "daemon/links.h"

#include "base/log.h"
#include "crdt/codec.h"

void
links_row_changed(struct links *links, uint64_t link, struct bytes row,
		  struct bytes refresh)
{
	size_t key_len = CODEC_KEY_BYTES_MAX - ROW_NAME_BYTES_MAX +
			 row.data[CODEC_KEY_BYTES_MAX - ROW_NAME_BYTES_MAX - 1];
	struct mesh_event event = {
		.type = MESH_EVENT_ROW_CHANGED,
		.link = link,
		.rows = row,
		.refresh = refresh,
		.key_hash = hash64(bytes_of(row.data, key_len), 0),
	};

	links_step(links, &event);
}

void
links_root_changed(struct links *links)
{
	struct store_digest root = store_root(links->d->store);
	struct mesh_event event = {
		.type = MESH_EVENT_ROOT,
		.root = root.sum,
		.rows_len = root.count,
		.horizon = rows_horizon(links->d->rows),
		.word = repair_word(links->d),
	};

	links_step(links, &event);
}

/* Said once, of a node that was there; its row tells no name any more, and may come later than
 * its goodbye. */
static void
links_log_left(struct links *links, const struct id *id)
{
	char text[ID_TEXT_SIZE];
	struct seen *s;

	HASH_FIND(hh, links->seen, id, sizeof(*id), s);
	if (s == NULL || s->at_ms < 0 || s->has_left)
		return;
	s->has_left = true;
	log_info("mesh", "node %s has left the cluster", id_text(id, text));
}

void
links_node_changed(struct links *links, const struct id *id)
{
	struct mesh_event event = { .type = MESH_EVENT_NODE, .node = *id };
	struct catalog_node node;
	struct buf why = BUF_INIT;
	bool is_held;

	if (links == NULL || id_equal(id, &links->d->identity->node_id))
		return;
	is_held = catalog_node(links->d->catalog, id, &node);
	if (bars_put_why(links->d, id, &why)) {
		event.is_gone = true;
		event.why = buf_text(&why);
	} else if (is_held && node.row->has_left) {
		event.has_left = true;
		links_log_left(links, id);
	} else if (is_held) {
		event.addresses = (const char *const *)node.row->addresses;
		event.addresses_len = node.row->addresses_len;
		if (node.row->is_inbound_known)
			event.inbound = node.row->is_inbound ? MESH_INBOUND_YES
							     : MESH_INBOUND_NO;
		event.region = node.row->region;
		event.homes = node.row->homes;
		event.homes_len = node.row->homes_len;
	}
	links_step(links, &event);
	buf_fini(&why);
}

void
links_self_changed(struct links *links)
{
	struct mesh_event event = {
		.type = MESH_EVENT_SELF,
		.addresses = (const char *const *)links->d->addresses,
		.addresses_len = links->d->addresses_len,
		.region = links->d->config->node.region,
	};

	links_step(links, &event);
}

void
links_probed(struct links *links, uint64_t probe, const struct id *node)
{
	struct mesh_event event = { .type = MESH_EVENT_PROBED,
				    .link = probe,
				    .node = *node };

	if (!links->is_closing)
		links_step(links, &event);
}

void
links_reject(struct links *links, uint64_t link, const char *why)
{
	struct mesh_event event = { .type = MESH_EVENT_LINK_REJECT,
				    .link = link,
				    .why = why };

	links_step(links, &event);
}

void
links_send_query(struct links *links, uint64_t link, struct bytes frame)
{
	links_send(links, link, WIRE_CLASS_QUERY, 0, frame);
}

void
links_send_sync(struct links *links, uint64_t link, struct bytes frames)
{
	links_send(links, link, WIRE_CLASS_SYNC, 0, frames);
}

void
links_send_rows(struct links *links, uint64_t link, struct bytes rows)
{
	struct buf frames = BUF_INIT;

	wire_put_rows(&frames, WIRE_ROWS, rows);
	links_send(links, link, WIRE_CLASS_ROWS, 0, buf_bytes(&frames));
	buf_fini(&frames);
}

void
links_want(struct links *links, uint64_t link, struct bytes owners)
{
	struct mesh_event event = { .type = MESH_EVENT_WANT,
				    .link = link,
				    .data = owners };

	if (owners.len > 0)
		links_step(links, &event);
}

uint64_t
links_of_node(const struct links *links, const struct id *node)
{
	return mesh_link_of(links->mesh, node);
}

int
links_relays_to(const struct links *links, const struct id *node, uint64_t *ret_links,
		int max)
{
	return mesh_relays_to(links->mesh, node, ret_links, max);
}

bool
links_may_find_way(const struct links *links, const struct id *node)
{
	return mesh_may_open_way(links->mesh, node);
}

void
links_find_way(struct links *links, const struct id *node, uint64_t not_by)
{
	struct mesh_event event = { .type = MESH_EVENT_WAY,
				    .node = *node,
				    .link = not_by };

	links_step(links, &event);
}

int
links_relaying(const struct links *links)
{
	return mesh_relays(links->mesh);
}

void
links_leave(struct links *links)
{
	struct mesh_event event = { .type = MESH_EVENT_LEAVING };

	links_step(links, &event);
}
