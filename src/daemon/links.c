/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the mesh core over TLS streams: events in, actions out. What is to be sent waits in
 * each link's outbox (outbox.h). */
#include "config.h"

#include "daemon/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/network.h"
#include "crdt/codec.h"
#include "daemon/rows.h"
#include "daemon/starts.h"

enum {
	LINKS_FLUSH_BYTES = 64 * 1024, /* at most this much waits in the stream itself */
	LINKS_FINISH_MS = MS_SECOND,
	/* Accepted and not known yet: strangers may come this far, each for as long as TLS
	 * gives a handshake; and so many of one address. An honest node needs one for two round
	 * trips, and one that is sent away dials again a moment later, so the share is enough for
	 * a laboratory behind one address whose nodes all come at once. */
	LINKS_STRANGERS_MAX = 256,
	LINKS_STRANGERS_OF_ADDRESS_MAX = 32,
};

/* ---- output ---- */

/* Move frames into the stream, until it holds `limit` bytes. */
static void
link_flush(struct link *l, size_t limit)
{
	enum wire_class class;
	struct bytes frame;

	while (stream_pending(l->stream) < limit &&
	       outbox_take(&l->outbox, &frame, &class)) {
		stream_write(l->stream, frame);
		l->sent_bytes += frame.len;
		*l->links->sent_bytes[class] += frame.len;
	}
}

/* Tell the core when what is passed on for others begins to wait here, or ends to; and when
 * rows begin to be dropped, until all that waited are out. */
static void
link_weigh(struct link *l, bool has_dropped)
{
	struct mesh_event event = { .type = MESH_EVENT_LINK_LOADED,
				    .link = l->number,
				    .is_loaded = outbox_is_loaded(&l->outbox),
				    .is_lagging = has_dropped ||
						  (l->is_lagging &&
						   outbox_has(&l->outbox, OUTBOX_ROWS)) };
	bool is_lag_new = event.is_lagging != l->is_lagging;
	struct links *links = l->links;

	l->is_lagging = event.is_lagging;
	if (event.is_loaded != l->is_loaded) {
		l->is_loaded = event.is_loaded;
		links_step(links, &event);
	}
	event.type = MESH_EVENT_LINK_LAGGING;
	if (is_lag_new)
		links_step(links, &event);
}

/* Its other end has shown who it is, or has gone. */
static void
link_is_known(struct link *l)
{
	if (l->is_stranger)
		strangers_leave(&l->links->strangers, stream_peer(l->stream));
	l->is_stranger = false;
}

/* The link gives its stream away, or up: what it moved counts on. */
static void
link_part(struct link *l)
{
	uint64_t received, sent;

	if (l->stream == NULL)
		return;
	stream_wire_bytes(l->stream, &received, &sent);
	l->links->ended_received += received;
	l->links->ended_sent += sent;
	l->stream = NULL;
}

static void
link_free(struct link *l)
{
	struct stream *stream = l->stream;

	HASH_DEL(l->links->by_number, l);
	link_is_known(l);
	link_part(l);
	stream_close(stream);
	outbox_fini(&l->outbox);
	free(l->dialled);
	free(l);
}

/* It ends. If it was dialled and never came up, that is why its address cannot be reached. */
static void
link_note_failure(const struct link *l, const char *why)
{
	if (l->dialled != NULL && !l->is_up)
		dials_failed(l->links->dials, l->dialled, &l->sought, why,
			     loop_now(l->links->d->loop));
}

struct link *
links_find(const struct links *links, uint64_t number)
{
	struct link *l;

	HASH_FIND(hh, links->by_number, &number, sizeof(number), l);
	return l;
}

/* Close a link that takes nothing any more, and so no goodbye. */
static void
links_drop(struct links *links, struct link *l, const char *why)
{
	struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED,
				    .link = l->number,
				    .why = why };

	link_free(l);
	links_step(links, &event);
}

void
links_send(struct links *links, uint64_t number, enum wire_class class, uint64_t key,
	   struct bytes frames)
{
	struct link *l = links_find(links, number);
	enum outbox_end end;

	if (l == NULL || l->stream == NULL)
		return;
	end = outbox_put(&l->outbox, class, key, frames);
	if (end == OUTBOX_FULL) {
		links_drop(links, l, "it takes its frames too slowly");
		return;
	}
	if (l->is_open)
		link_flush(l, LINKS_FLUSH_BYTES);
	link_weigh(l, end == OUTBOX_DROPPED);
}

/* ---- streams ---- */

static void
link_on_open(void *arg)
{
	struct link *l = arg;
	struct links *links = l->links;
	struct mesh_event event = { .type = MESH_EVENT_LINK_OPEN, .link = l->number };

	link_is_known(l);
	if (l->is_accepted && strcmp(stream_alpn(l->stream), TLS_ALPN_JOIN) == 0) {
		struct stream *stream = l->stream;

		link_part(l);
		event.type = MESH_EVENT_LINK_CLOSED;
		event.why = "a node that joins";
		link_free(l);
		invite_accept(links->d, stream);
		links_step(links, &event);
		return;
	}
	l->is_open = true;
	stream_peer_id(l->stream, &event.node);
	event.is_near = network_is_private(stream_peer(l->stream));
	event.link = l->number;
	links_step(links, &event);
	/* Behind our HELLO; if there is none the link is gone. */
	rows_greet(links->d->rows, event.link);
}

static size_t
link_on_data(void *arg, struct bytes data)
{
	struct link *l = arg;
	struct mesh_event event = { .type = MESH_EVENT_LINK_DATA,
				    .link = l->number,
				    .data = data };

	links_step(l->links, &event);
	return data.len;
}

static void
link_on_drain(void *arg)
{
	link_flush(arg, LINKS_FLUSH_BYTES);
	link_weigh(arg, false);
}

/* Not one that left by itself: TLS judged it, or was judged by it (a code of our own), or a
 * stranger took too long. */
static bool
link_is_refused(const struct link *l, int reason)
{
	return reason <= -OCF_EMALFORMED || (l->is_stranger && reason == -ETIMEDOUT);
}

static void
link_on_close(void *arg, int reason, const char *why)
{
	struct link *l = arg;
	struct links *links = l->links;
	char text[MESH_WHY_SIZE];
	struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED,
				    .link = l->number,
				    .why = text };

	snprintf(text, sizeof(text), "%s", why);
	if (link_is_refused(l, reason))
		refusals_log(&links->refusals, "mesh", stream_peer(l->stream), text);
	else
		log_debug("mesh", "link %llu to %s ended: %s",
			  (unsigned long long)l->number, stream_peer(l->stream), text);
	link_note_failure(l, text);
	link_free(l);
	links_step(links, &event);
}

static const struct stream_handler link_handler = {
	.on_open = link_on_open,
	.on_data = link_on_data,
	.on_drain = link_on_drain,
	.on_close = link_on_close,
};

static struct link *
link_new(struct links *links, uint64_t number)
{
	struct link *l = mem_calloc(1, sizeof(*l));

	l->number = number;
	l->links = links;
	HASH_ADD(hh, links->by_number, number, sizeof(l->number), l);
	return l;
}

static void
links_on_accept(void *arg, struct stream *stream)
{
	struct daemon *d = arg;
	struct links *links = d->links;
	struct errmsg err;
	struct link *l;

	if (links == NULL || links->is_closing) {
		stream_close(stream);
		return;
	}
	if (strangers_enter(&links->strangers, stream_peer(stream), &err) != 0) {
		refusals_log(&links->refusals, "mesh", stream_peer(stream), err.text);
		stream_close(stream);
		return;
	}
	l = link_new(links, mesh_link_new(links->mesh));
	l->is_accepted = l->is_stranger = true;
	l->stream = stream;
	stream_set_handler(stream, &link_handler, l);
}

/* ---- actions ---- */

static void
links_dial(struct links *links, const struct mesh_action *a)
{
	struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED, .link = a->link };
	struct link *l = link_new(links, a->link);
	struct errmsg err = { "" };

	l->dialled = mem_strdup(a->address);
	l->sought = a->node;
	l->stream = stream_dial(links->d->loop, a->address, links->d->tls, TLS_ALPN_PEER,
				&link_handler, l, &err);
	if (l->stream != NULL)
		return;
	link_note_failure(l, err.text);
	link_free(l);
	event.why = err.text;
	links_step(links, &event);
}

static bool
link_is_refused_by(const struct link *l, uint8_t goodbye)
{
	switch (goodbye) {
	case WIRE_GOODBYE_REFUSED:
	case WIRE_GOODBYE_MALFORMED:
	case WIRE_GOODBYE_BUSY:
		return true;
	case WIRE_GOODBYE_SILENT:
		return l->is_open && !l->is_up; /* it never greeted */
	default:
		return false;
	}
}

static void
links_log_closed(struct links *links, const struct link *l, const struct mesh_action *a)
{
	char id[ID_TEXT_SIZE], *who;

	if (!link_is_refused_by(l, a->goodbye)) {
		log_debug("mesh", "link %llu is closed: %s", (unsigned long long)a->link,
			  a->why);
		return;
	}
	who = mem_printf("the link with node %s at %s", id_text(&a->node, id),
			 stream_peer(l->stream));
	refusals_log(&links->refusals, "mesh", who, a->why);
	free(who);
}

static void
links_do_close(struct links *links, const struct mesh_action *a)
{
	struct link *l = links_find(links, a->link);

	if (l == NULL)
		return;
	link_note_failure(l, a->why);
	if (a->is_barred)
		bars_note_told(links->d->bars, &a->node, a->why);
	else if (catalog_is_barred(links->d->catalog, &a->node))
		bars_note_refused(links->d->bars, &a->node, a->why);
	else
		links_log_closed(links, l, a);
	if (l->is_open) {
		struct stream *stream = l->stream;

		link_flush(l, SIZE_MAX);
		link_part(l);
		stream_finish(stream, LINKS_FINISH_MS);
	}
	link_free(l);
}

/* It is there now, or was until now if it was there before. Was it ever? */
static bool
links_note_seen(struct links *links, const struct id *node, bool is_alive)
{
	struct seen *s;

	HASH_FIND(hh, links->seen, node, sizeof(*node), s);
	if (s == NULL) {
		s = mem_calloc(1, sizeof(*s));
		s->node = *node;
		s->at_ms = -1;
		HASH_ADD(hh, links->seen, node, sizeof(s->node), s);
	}
	if (is_alive || s->is_alive)
		s->at_ms = loop_now(links->d->loop);
	if (is_alive)
		s->has_left = false;
	s->is_alive = is_alive;
	return s->at_ms >= 0;
}

static void
links_show_node(struct links *links, const struct mesh_action *a)
{
	static const enum catalog_state states[] = {
		[MESH_NODE_SUSPECT] = CATALOG_SUSPECT,
		[MESH_NODE_ALIVE] = CATALOG_ALIVE,
		[MESH_NODE_DEAD] = CATALOG_DEAD,
		[MESH_NODE_UNREACHABLE] = CATALOG_UNREACHABLE,
		/* It has stopped; whether it has left the cluster, its row says. */
		[MESH_NODE_LEFT] = CATALOG_DEAD,
	};
	struct catalog_node node;
	char id[ID_TEXT_SIZE];
	bool was_seen = links_note_seen(links, &a->node, a->state == MESH_NODE_ALIVE);

	catalog_set_state(links->d->catalog, &a->node, states[a->state]);
	if (links->d->is_stopping || !catalog_node(links->d->catalog, &a->node, &node) ||
	    node.row->has_left)
		return;
	/* At the start all are unreachable, for a moment. */
	if (was_seen || a->state != MESH_NODE_UNREACHABLE)
		log_info("mesh", "node %s (%s) is %s", node.row->name,
			 id_text(&a->node, id),
			 a->state == MESH_NODE_LEFT
				 ? "stopped, as it said"
				 : catalog_state_text(states[a->state]));
}

static void
links_note_up(struct links *links, const struct mesh_action *a)
{
	struct link *l = links_find(links, a->link);

	if (l == NULL)
		return;
	l->is_up = true;
	dials_linked(links->dials, l->dialled != NULL ? l->dialled : "", &a->node,
		     l->is_accepted, loop_now(links->d->loop));
}

static void
links_log_up(const struct links *links, const struct mesh_action *a, bool is_up)
{
	char id[ID_TEXT_SIZE];

	if (links->d->is_stopping)
		return;
	if (is_up && a->is_rowless)
		log_warn("mesh",
			 "linked to node %s, but without rows: %s; set the clock that is "
			 "wrong",
			 id_text(&a->node, id), a->why);
	else if (is_up)
		log_info("mesh", "linked to node %s", id_text(&a->node, id));
	else
		log_info("mesh", "the link to node %s ended: %s", id_text(&a->node, id),
			 a->why != NULL ? a->why : "closed");
}

static void
links_deliver_rows(struct links *links, const struct mesh_action *a)
{
	bool is_joining = a->is_sync && repair_is_joining(links->d->repair, a->link);
	bool is_refresh = a->type == MESH_ACTION_DELIVER_REFRESH;
	uint64_t len;
	int rc = is_refresh ? rows_deliver_refresh(links->d->rows, a->link, a->data)
			    : rows_deliver(links->d->rows, a->link, a->rows, is_joining,
					   &len);

	if (rc != 0)
		links_reject(links, a->link, "rows that cannot be read");
	else if (a->is_sync)
		repair_rows(links->d->repair, a->link, len, a->rows.len);
}

/* A link that carries rows is up. Its horizon is taken, so that this table forgets what that
 * one has forgotten already; a comparison waits for that by itself. */
static void
links_compare(struct links *links, const struct mesh_action *a)
{
	rows_hear_horizon(links->d->rows, a->horizon, NULL, NULL, 0);
	repair_link_up(links->d->repair, a->link, &a->node,
		       &(struct store_digest){ a->root, a->rows_len },
		       &(struct store_digest){ a->our_root, a->our_rows_len });
}

/* The result of the latest dial-backs goes into this node's row. */
static void
links_show_inbound(struct links *links, enum mesh_inbound inbound)
{
	if (inbound == MESH_INBOUND_YES)
		log_info("mesh", "others can reach this node at its addresses");
	else if (inbound == MESH_INBOUND_NO)
		log_info("mesh",
			 "others cannot reach this node at its addresses; it is reached "
			 "by the links that it opens itself");
	self_found_inbound(links->d, inbound != MESH_INBOUND_UNKNOWN,
			   inbound == MESH_INBOUND_YES);
}

static void
links_end_idle(struct links *links, uint64_t link)
{
	struct mesh_event event = { .type = MESH_EVENT_IDLE, .link = link };

	if ((links->d->queries == NULL || !queries_use(links->d->queries, link)) &&
	    !repair_uses(links->d->repair, link))
		links_step(links, &event);
}

/* 0.1 ms, and rarely: here, since it is waited for. */
static void
links_sign(struct links *links, const struct mesh_action *a)
{
	struct mesh_event event = { .type = MESH_EVENT_SIGNED, .number = a->number };
	uint8_t signature[KEY_SIGNATURE_BYTES];

	ident_sign(links->d->identity->node_key, a->data, signature);
	event.data = bytes_of(signature, sizeof(signature));
	links_step(links, &event);
}

static void
links_on_verified(void *arg, uint64_t number, bool is_valid)
{
	struct mesh_event event = { .type = MESH_EVENT_VERIFIED,
				    .number = number,
				    .is_valid = is_valid };

	links_step(arg, &event);
}

static void
links_end_way(struct links *links, const struct mesh_action *a)
{
	if (links->d->queries != NULL)
		queries_way_found(links->d->queries, &a->node, a->link);
	repair_way_found(links->d->repair, &a->node, a->link);
}

static void
links_do_query(struct links *links, const struct mesh_action *a)
{
	struct queries *queries = links->d->queries;

	if (queries != NULL && queries_frame(queries, a->link, &a->node, &a->frame) != 0)
		links_reject(links, a->link, "a query frame that cannot be read");
}

static void
links_do_up(struct links *links, const struct mesh_action *a)
{
	struct daemon *d = links->d;

	links_note_up(links, a);
	links_log_up(links, a, true);
	bars_note_let_in(d->bars);
	rows_clock_agrees(d->rows, !mesh_clock_disagrees(links->mesh));
	if (!a->is_rowless)
		links_compare(links, a);
}

static void
links_do_down(struct links *links, const struct mesh_action *a)
{
	struct daemon *d = links->d;

	links_log_up(links, a, false);
	if (!links->is_closing && !d->is_stopping)
		rows_clock_agrees(d->rows, !mesh_clock_disagrees(links->mesh));
	repair_link_down(d->repair, a->link);
	if (d->queries != NULL)
		queries_link_down(d->queries, a->link);
}

static void
links_keep_incarnation(struct daemon *d, uint64_t incarnation)
{
	d->incarnation = incarnation;
	if (starts_keep(d->store, incarnation) != 0)
		log_warn("mesh", "the incarnation could not be kept");
}

static void
links_do(struct links *links, const struct mesh_action *a)
{
	struct daemon *d = links->d;

	switch (a->type) {
	case MESH_ACTION_DIAL:
		links_dial(links, a);
		break;
	case MESH_ACTION_SEND:
		links_send(links, a->link, a->class, a->key, a->data);
		break;
	case MESH_ACTION_CLOSE:
		links_do_close(links, a);
		break;
	case MESH_ACTION_LINK_UP:
		links_do_up(links, a);
		break;
	case MESH_ACTION_LINK_DOWN:
		links_do_down(links, a);
		break;
	case MESH_ACTION_NODE_STATE:
		links_show_node(links, a);
		break;
	case MESH_ACTION_DELIVER_ROWS:
	case MESH_ACTION_DELIVER_REFRESH:
		links_deliver_rows(links, a);
		break;
	case MESH_ACTION_ROOT_HEARD:
		repair_root_heard(d->repair, a->link, a->word);
		break;
	case MESH_ACTION_SYNC:
		repair_message(d->repair, a->link, a->frame.payload);
		break;
	case MESH_ACTION_WANTED:
		rows_answer(d->rows, a->link, a->data);
		break;
	case MESH_ACTION_QUERY:
		links_do_query(links, a);
		break;
	case MESH_ACTION_SIGN:
		links_sign(links, a);
		break;
	case MESH_ACTION_VERIFY:
		verify_text(d->rows->verify, &a->node, a->data, a->signature,
			    links_on_verified, links, a->number);
		break;
	case MESH_ACTION_INCARNATION:
		links_keep_incarnation(d, a->incarnation);
		break;
	case MESH_ACTION_PROBE:
		probes_dial(links->probes, a->link, a->address);
		break;
	case MESH_ACTION_PROBE_END:
		probes_end(links->probes, a->link);
		break;
	case MESH_ACTION_WAY:
		links_end_way(links, a);
		break;
	case MESH_ACTION_IDLE:
		links_end_idle(links, a->link);
		break;
	case MESH_ACTION_INBOUND:
		links_show_inbound(links, a->inbound);
		break;
	case MESH_ACTION_HOMES:
		self_found_homes(d, a->data);
		break;
	}
}

/* Feed the core and do what it asks; what its actions cause in turn is fed in the same
 * way, and its actions follow in order. */
void
links_step(struct links *links, struct mesh_event *event)
{
	struct mesh_action action;
	ms_t now = loop_now(links->d->loop);

	event->wall_ms = clock_wall_ms();
	mesh_step(links->mesh, now, event);
	if (links->is_pumping)
		return;
	links->is_pumping = true;
	while (mesh_next(links->mesh, &action))
		links_do(links, &action);
	links->is_pumping = false;
	if (!links->is_closing) {
		ms_t wait = mesh_due(links->mesh) - now;

		loop_timer_set(links->timer, wait > 0 ? wait : 0);
	}
}

static void
links_on_timer(void *arg)
{
	struct mesh_event event = { .type = MESH_EVENT_TICK };

	links_step(arg, &event);
}

/* ---- life ---- */

static int
links_listen(struct daemon *d, struct errmsg *err)
{
	int rc = listener_open(d->loop, d->config->peer.listen, d->tls, 0,
			       links_on_accept, d, &d->peer_listener, err);

	if (rc != 0)
		return error_prefix(err, rc, "peer.listen %s", d->config->peer.listen);
	return 0;
}

static void
links_give_seeds(struct links *links)
{
	struct mesh_event event = { .type = MESH_EVENT_SEEDS };
	char *seeds[MESH_SEEDS_MAX];

	event.addresses_len = self_seeds(links->d, seeds, MESH_SEEDS_MAX);
	event.addresses = (const char *const *)seeds;
	links_step(links, &event);
	for (int i = 0; i < event.addresses_len; i++)
		free(seeds[i]);
}

/* The listener is opened first, since its port is part of what self.c advertises. */
int
links_open(struct daemon *d, struct errmsg *err)
{
	const struct store_constants *constants = store_constants(d->store);
	struct mesh_config config = {
		.self = d->identity->node_id,
		.cluster = constants->cluster,
		.seed = rng_next(&d->rng),
		.retention_ms = constants->retention_ms,
		.rows_per_node = constants->rows_per_node,
		.format = CODEC_FORMAT,
	};
	struct links *links;
	int rc = links_listen(d, err);

	if (rc == 0)
		rc = self_open(d, err);
	if (rc != 0)
		return rc;
	config.incarnation = d->incarnation;
	links = mem_calloc(1, sizeof(*links));
	links->d = d;
	links->strangers.max = LINKS_STRANGERS_MAX;
	links->strangers.of_address_max = LINKS_STRANGERS_OF_ADDRESS_MAX;
	links->dials = dials_new();
	links->mesh = mesh_new(&config, loop_now(d->loop));
	links->timer = loop_timer_new(d->loop, links_on_timer, links);
	links_add_metrics(links);
	links->probes = probes_open(d);
	d->links = links;
	links_self_changed(links);
	links_give_seeds(links);
	links_root_changed(links);
	return 0;
}

void
links_stop(struct links *links)
{
	struct mesh_event event = { .type = MESH_EVENT_STOP };

	links_step(links, &event);
}

void
links_close(struct links *links)
{
	struct link *l, *next;
	struct seen *s, *next_seen;

	if (links == NULL)
		return;
	links->is_closing = true;
	probes_close(links->probes);
	HASH_ITER (hh, links->by_number, l, next) {
		link_free(l);
	}
	HASH_ITER (hh, links->seen, s, next_seen) {
		HASH_DEL(links->seen, s);
		free(s);
	}
	strangers_fini(&links->strangers);
	loop_timer_free(links->timer);
	dials_free(links->dials);
	mesh_free(links->mesh);
	free(links);
}
