/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of links: to people as JSON and metrics, to other parts as answers. */
#include "config.h"

#include "daemon/links.h"

#include <stdlib.h>

#include "base/mem.h"

enum { LINKS_PEERS_MAX = MESH_LINKS_MAX };

uint64_t
links_any(const struct links *links, struct id *ret_node)
{
	struct mesh_peer *peers = mem_calloc(LINKS_PEERS_MAX, sizeof(*peers));
	int n = mesh_peers(links->mesh, peers, LINKS_PEERS_MAX), fit = 0;
	uint64_t link = 0;

	for (int i = 0; i < n && i < LINKS_PEERS_MAX; i++) {
		if (mesh_link_of(links->mesh, &peers[i].node) != peers[i].link ||
		    peers[i].is_rowless)
			continue;
		/* Each of those that fit with the same chance. */
		if (rng_below(&links->d->rng, (uint64_t)++fit) > 0)
			continue;
		link = peers[i].link;
		*ret_node = peers[i].node;
	}
	free(peers);
	return link;
}

void
links_put_homes(const struct links *links, const struct id *node, struct buf *out)
{
	struct id homes[MESH_HOMES_MAX];
	int len = mesh_homes(links->mesh, node, homes);

	for (int i = 0; i < len; i++) {
		buf_put_text(out, i > 0 ? ", " : "");
		catalog_describe(links->d->catalog, &homes[i], out);
	}
}

json_t *
links_peers_json(const struct links *links)
{
	struct mesh_peer *peers = mem_calloc(LINKS_PEERS_MAX, sizeof(*peers));
	int n = mesh_peers(links->mesh, peers, LINKS_PEERS_MAX);
	ms_t now = loop_now(links->d->loop);
	json_t *list = json_array();

	for (int i = 0; i < n && i < LINKS_PEERS_MAX; i++) {
		const struct mesh_peer *p = &peers[i];
		struct link *l = links_find(links, p->link);
		struct catalog_node node;
		char id[ID_TEXT_SIZE];
		bool is_known = catalog_node(links->d->catalog, &p->node, &node);

		json_array_append_new(
			list,
			json_pack(
				"{s:o, s:s?, s:s, s:s, s:s, s:o, s:I, s:I, s:i, s:o, "
				"s:b, s:o, s:b, s:b, s:b}",
				"node",
				id_is_zero(&p->node) ? json_null()
						     : json_string(id_text(&p->node, id)),
				"name", is_known ? node.row->name : NULL, "address",
				p->address, "direction", p->is_inbound ? "in" : "out",
				"state", p->state, "rtt_ms",
				p->rtt_ms < 0 ? json_null() : json_integer(p->rtt_ms),
				"sent_bytes", (json_int_t)(l != NULL ? l->sent_bytes : 0),
				"received_bytes", (json_int_t)p->received_bytes,
				"protocol", p->protocol, "since_s",
				json_integer((now - p->since_ms) / MS_SECOND), "rowless",
				p->is_rowless, "clock_skew_ms",
				p->protocol == 0 ? json_null()
						 : json_integer(p->clock_skew_ms),
				"parent", p->is_parent, "child", p->is_child, "lagging",
				p->is_lagging));
	}
	free(peers);
	return list;
}

double
links_rtt_ms(const struct links *links, const struct id *node)
{
	return (double)mesh_rtt_of(links->mesh, node);
}

double
links_last_seen_s(const struct links *links, const struct id *node)
{
	struct seen *s;

	/* Linked, or as others say. */
	if (mesh_link_of(links->mesh, node) != 0 ||
	    mesh_node_state(links->mesh, node) == MESH_NODE_ALIVE)
		return 0;
	HASH_FIND(hh, links->seen, node, sizeof(*node), s);
	if (s == NULL || s->at_ms < 0)
		return -1;
	return (double)(loop_now(links->d->loop) - s->at_ms) / MS_SECOND;
}

void
links_tell_doctor(const struct links *links, json_t *reply)
{
	ms_t now = loop_now(links->d->loop);

	json_object_set_new(reply, "dials", dials_failures_json(links->dials, now));
	json_object_set_new(reply, "inbound", dials_inbound_json(links->dials, now));
}

int
links_up(const struct links *links)
{
	struct mesh_stats stats;

	mesh_stats(links->mesh, &stats);
	return stats.links_up;
}

int
links_rows_sent(const struct links *links, int *ret_links)
{
	struct mesh_peer *peers = mem_calloc(LINKS_PEERS_MAX, sizeof(*peers));
	int n = mesh_peers(links->mesh, peers, LINKS_PEERS_MAX), sent = 0;

	*ret_links = 0;
	for (int i = 0; i < n && i < LINKS_PEERS_MAX; i++) {
		const struct link *l = links_find(links, peers[i].link);

		if (l == NULL || l->stream == NULL || peers[i].is_rowless ||
		    mesh_link_of(links->mesh, &peers[i].node) != l->number)
			continue;
		++*ret_links;
		sent += !outbox_has(&l->outbox, OUTBOX_ROWS) &&
			stream_pending(l->stream) == 0;
	}
	free(peers);
	return sent;
}

bool
links_are_busy(const struct links *links)
{
	for (const struct link *l = links->by_number; l != NULL; l = l->hh.next)
		if (l->is_open && (outbox_has(&l->outbox, OUTBOX_QUERY) ||
				   outbox_has(&l->outbox, OUTBOX_RELAY) ||
				   stream_pending(l->stream) > 0))
			return true;
	return false;
}

/* ---- metrics ---- */

struct links_received {
	struct links *links;
	enum wire_class class;
};

static double
links_read_received(void *arg)
{
	struct links_received *r = arg;
	struct mesh_stats stats;

	mesh_stats(r->links->mesh, &stats);
	return (double)stats.received_bytes[r->class];
}

static double
links_read_up(void *arg)
{
	return links_up(arg);
}

static double
links_read_relaying(void *arg)
{
	return links_relaying(arg);
}

static double
links_read_relayed(void *arg)
{
	struct links *links = arg;
	struct mesh_stats stats;

	mesh_stats(links->mesh, &stats);
	return (double)stats.relayed;
}

static double
links_read_wire(const struct links *links, bool is_sent)
{
	uint64_t sum = is_sent ? links->ended_sent : links->ended_received;

	for (const struct link *l = links->by_number; l != NULL; l = l->hh.next) {
		uint64_t received = 0, sent = 0;

		if (l->stream != NULL)
			stream_wire_bytes(l->stream, &received, &sent);
		sum += is_sent ? sent : received;
	}
	return (double)sum;
}

static double
links_read_wire_received(void *arg)
{
	return links_read_wire(arg, false);
}

static double
links_read_wire_sent(void *arg)
{
	return links_read_wire(arg, true);
}

static double
links_read_duplicates(void *arg)
{
	struct links *links = arg;
	struct mesh_stats stats;

	mesh_stats(links->mesh, &stats);
	return (double)stats.duplicates;
}

static double
links_read_pulled(void *arg)
{
	struct links *links = arg;
	struct mesh_stats stats;

	mesh_stats(links->mesh, &stats);
	return (double)stats.pulled;
}

static void
links_add_rows_metrics(struct links *links)
{
	struct metrics *m = links->d->metrics;

	metrics_counter_read(
		m, "ocf_peer_duplicate_rows_total",
		"Rows that came again within half a minute; their signatures "
		"are not checked again.",
		NULL, links_read_duplicates, links);
	metrics_counter_read(m, "ocf_peer_pulled_rows_total",
			     "Rows asked for, since only an announcement of them came.",
			     NULL, links_read_pulled, links);
}

void
links_add_metrics(struct links *links)
{
	static struct links_received received[WIRE_CLASSES];
	struct metrics *m = links->d->metrics;

	for (int c = 0; c < WIRE_CLASSES; c++) {
		char *labels = metrics_labels(
			"class", wire_class_name((enum wire_class)c), (char *)NULL);

		links->sent_bytes[c] = metrics_counter(
			m, "ocf_peer_sent_bytes_total",
			"Bytes of frames sent to other nodes, headers "
			"included, before TLS.",
			labels);
		received[c] = (struct links_received){ links, (enum wire_class)c };
		metrics_counter_read(
			m, "ocf_peer_received_bytes_total",
			"Bytes of frames received from other nodes, headers included.",
			labels, links_read_received, &received[c]);
		free(labels);
	}
	metrics_counter_read(m, "ocf_peer_tls_sent_bytes_total",
			     "Bytes written to the sockets of links, with TLS and its "
			     "handshakes, failed ones included.",
			     NULL, links_read_wire_sent, links);
	metrics_counter_read(m, "ocf_peer_tls_received_bytes_total",
			     "Bytes read from the sockets of links, likewise.", NULL,
			     links_read_wire_received, links);
	metrics_gauge_read(m, "ocf_peer_links", "Links to other nodes that are up.", NULL,
			   links_read_up, links);
	metrics_gauge_read(m, "ocf_relays",
			   "Queries being passed on between other nodes.", NULL,
			   links_read_relaying, links);
	metrics_counter_read(m, "ocf_relayed_total",
			     "Queries passed on between other nodes.", NULL,
			     links_read_relayed, links);
	links_add_rows_metrics(links);
}
