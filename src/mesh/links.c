/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a link: opened, greeted, one of two, ended. */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/lease.h"
#include "mesh/core.h"

struct mesh_link *
mesh_link_make(struct mesh *m, uint64_t id, bool is_inbound)
{
	struct mesh_link *l = mem_calloc(1, sizeof(*l));

	l->id = id;
	l->is_inbound = is_inbound;
	l->since = l->heard = m->now;
	l->rtt = -1;
	wire_reader_init(&l->reader);
	HASH_ADD(hh, m->links, id, sizeof(l->id), l);
	return l;
}

static struct mesh_seed *
mesh_link_seed(struct mesh *m, const struct mesh_link *l)
{
	for (int i = 0; i < m->seeds_len; i++)
		if (m->seeds[i].link == l->id)
			return &m->seeds[i];
	return NULL;
}

/* How long until an address is dialled again: nothing will change soon where it was refused,
 * and less so where we are barred. */
static ms_t
mesh_link_ended_wait(struct mesh *m, uint8_t goodbye, int fails)
{
	switch (goodbye) {
	case WIRE_GOODBYE_BARRED:
		return MESH_BARRED_MS / 2 +
		       (ms_t)rng_below(&m->rng, (uint64_t)MESH_BARRED_MS / 2);
	case WIRE_GOODBYE_REFUSED:
	case WIRE_GOODBYE_MALFORMED:
		return MESH_DIAL_CAP_MS / 2 + mesh_backoff(m, 30);
	default:
		return mesh_backoff(m, fails);
	}
}

/* Not both ends at the same moment. */
static ms_t
mesh_relink_wait(struct mesh *m, const struct mesh_node *n)
{
	if (id_compare(&m->config.self, &n->id) < 0)
		return 0;
	return MESH_RELINK_MS / 5 + (ms_t)rng_below(&m->rng, MESH_RELINK_MS / 5);
}

static void
mesh_link_ended_backoff(struct mesh *m, struct mesh_link *l, uint8_t goodbye)
{
	struct mesh_seed *s = mesh_link_seed(m, l);
	struct mesh_node *n = l->node;
	bool was_healthy = l->state == MESH_LINK_UP &&
			   m->now - l->since >= MESH_DIAL_HEALTHY_MS;
	int fails = n != NULL ? n->fails : s != NULL ? s->fails : 0;
	ms_t wait;

	fails = was_healthy ? 0 : fails + 1;
	wait = mesh_link_ended_wait(m, goodbye, fails);
	if (s != NULL) {
		s->link = 0;
		s->fails = fails;
		s->next_dial = m->now + wait;
		mesh_want(m, s->next_dial);
	}
	if (n != NULL) {
		n->fails = fails;
		n->next_dial = m->now + wait;
		/* One that is reset may be there again at once; if not, that is soon known. Who
		 * does not hear us is there. */
		if ((was_healthy && goodbye == 0) ||
		    (l->state == MESH_LINK_UP && mesh_node_is_deaf(n, goodbye)))
			n->next_dial = m->now + mesh_relink_wait(m, n);
		mesh_want(m, n->next_dial);
	}
}

/* Of the links to one node that are up, and of its present life: that dialled by the smaller
 * id, of several the newest. Both ends judge alike. */
static struct mesh_link *
mesh_node_best(struct mesh *m, const struct mesh_node *n)
{
	bool is_smaller = id_compare(&m->config.self, &n->id) < 0;
	struct mesh_link *best = NULL;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->node != n || l->state != MESH_LINK_UP || l->life != n->life)
			continue;
		if (best == NULL)
			best = l;
		else if (l->is_inbound == best->is_inbound)
			best = l->id > best->id ? l : best;
		else if (l->is_inbound != is_smaller)
			best = l;
	}
	return best;
}

/* A link that is to be closed by this side, now that `best` is the node's. */
static bool
mesh_link_is_loser(const struct mesh *m, const struct mesh_link *l,
		   const struct mesh_link *best)
{
	bool is_smaller = id_compare(&m->config.self, &l->node->id) < 0;

	if (l == best)
		return false;
	/* Our HELLO is not sent: the other side does not count on it. */
	if (l->state == MESH_LINK_DIALLING)
		return true;
	/* Links of a former life of the node are dead, whether or not they know it. */
	if (l->state == MESH_LINK_UP && l->life != l->node->life)
		return true;
	return !is_smaller && (l->state == MESH_LINK_UP || !l->is_inbound);
}

/* Make the best link the node's; others that are up are retired, and closed by the larger
 * id. Closing one comes back here for the rest. */
static void
mesh_node_choose(struct mesh *m, struct mesh_node *n)
{
	struct mesh_link *best = mesh_node_best(m, n), *l;

	n->link = best != NULL ? best->id : 0;
	if (best == NULL)
		return;
	if (best->retired_at != 0) {
		best->retired_at = 0;
		mesh_tree_link_up(m, best);
	}
	for (l = m->links; l != NULL; l = l->hh.next) {
		if (l->node != n || l == best)
			continue;
		if (mesh_link_is_loser(m, l, best)) {
			mesh_link_close(m, l, WIRE_GOODBYE_DUPLICATE, "%s",
					wire_goodbye_text(WIRE_GOODBYE_DUPLICATE));
			mesh_node_choose(m, n);
			return;
		}
		if (l->state == MESH_LINK_UP && l->retired_at == 0) {
			l->retired_at = m->now;
			mesh_want(m, m->now + MESH_DUPLICATE_MS);
			mesh_tree_link_down(m, l);
		}
	}
}

static void
mesh_node_lost_link(struct mesh *m, struct mesh_node *n, uint8_t goodbye)
{
	mesh_node_choose(m, n);
	if (n->link == 0)
		mesh_node_unlinked(m, n, goodbye);
}

void
mesh_link_ended(struct mesh *m, struct mesh_link *l, uint8_t goodbye, const char *why)
{
	struct mesh_node *n = l->node;
	bool was_up = l->state == MESH_LINK_UP;
	bool was_dial = l->state == MESH_LINK_DIALLING;

	/* An end that both sides want is no failure. */
	if (goodbye == WIRE_GOODBYE_DUPLICATE || goodbye == WIRE_GOODBYE_CLOCK ||
	    goodbye == WIRE_GOODBYE_IDLE) {
		struct mesh_seed *s = mesh_link_seed(m, l);

		if (s != NULL)
			s->link = 0;
		/* Who has no use by its view for a link that we want will have none soon. */
		if (n != NULL)
			n->next_dial = m->now + (goodbye == WIRE_GOODBYE_IDLE &&
								 mesh_is_wanted(m, n)
							 ? MESH_DIAL_CAP_MS
							 : mesh_backoff(m, 2));
	} else if (goodbye != 0 || !l->is_inbound || was_up) {
		/* Of one that came and went it is not known whether it was to be a link: a
		 * dial-back (inbound.c) looks like that. */
		mesh_link_ended_backoff(m, l, goodbye);
	}
	HASH_DEL(m->links, l);
	if (n != NULL) {
		n->links--;
		n->missed_at = was_up ? m->now : n->missed_at;
		if (n->way_until > m->now)
			mesh_want(m, m->now);
	}
	if (was_up) {
		struct mesh_item *item = mesh_act(m, MESH_ACTION_LINK_DOWN, l->id);

		item->action.node = n->id;
		item->action.is_spare = !mesh_is_wanted(m, n);
		mesh_act_text(item, why, &item->action.why);
		/* Another one is to expect the heartbeat that it would have got. */
		mesh_want(m, m->now);
		mesh_inbound_link_down(m, l);
		mesh_relays_link_down(m, l);
		mesh_node_lost_link(m, n, goodbye);
		mesh_tree_link_down(m, l);
	} else if (was_dial && n != NULL && goodbye != WIRE_GOODBYE_DUPLICATE) {
		mesh_node_not_found(m, n);
	}
	mesh_spread_link_fini(l);
	wire_reader_fini(&l->reader);
	buf_fini(&l->rows);
	buf_fini(&l->sync_rows);
	free(l);
}

void
mesh_link_close(struct mesh *m, struct mesh_link *l, enum wire_goodbye reason,
		const char *fmt, ...)
{
	struct mesh_item *item;
	char why[MESH_WHY_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (reason != 0 && l->state != MESH_LINK_DIALLING) {
		struct buf b = BUF_INIT;

		wire_put_goodbye(&b, reason, why);
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
		buf_fini(&b);
	}
	if (reason == WIRE_GOODBYE_REFUSED || reason == WIRE_GOODBYE_MALFORMED ||
	    reason == WIRE_GOODBYE_BARRED)
		m->stats.refused_links++;
	if (reason == WIRE_GOODBYE_MALFORMED && l->node != NULL)
		l->node->banished_until = m->now + MESH_BANISH_MS;
	item = mesh_act(m, MESH_ACTION_CLOSE, l->id);
	item->action.goodbye = (uint8_t)reason;
	if (l->node != NULL)
		item->action.node = l->node->id;
	mesh_act_text(item, why, &item->action.why);
	/* LEAVING from our side says nothing about the other node. */
	mesh_link_ended(m, l, reason == WIRE_GOODBYE_LEAVING ? 0 : (uint8_t)reason, why);
}

void
mesh_link_bar(struct mesh *m, struct mesh_link *l)
{
	if (l->node->barred_why != NULL)
		mesh_link_close(m, l, WIRE_GOODBYE_BARRED, "%s", l->node->barred_why);
	else
		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"the node is no member any more");
}

/* Opened. */

static void
mesh_link_send_hello(struct mesh *m, struct mesh_link *l)
{
	struct wire_hello h = {
		.protocol_min = WIRE_PROTOCOL_MIN,
		.protocol_max = WIRE_PROTOCOL_MAX,
		.cluster = m->config.cluster,
		.node = m->config.self,
		.life = m->life,
		.incarnation = m->incarnation,
		.retention_ms = m->config.retention_ms,
		.rows_per_node = m->config.rows_per_node,
		.format = m->config.format,
		.wall_ms = m->wall,
		.horizon = m->horizon,
		.root = m->root,
		.rows = m->rows,
		.rings = (uint8_t)m->rings.count,
		.held_status = (uint8_t)mesh_held_status(l->node),
		.held_incarnation = l->node->incarnation,
		.liveness = m->liveness,
	};
	struct buf b = BUF_INIT;

	memcpy(h.address, m->config.address, sizeof(h.address));
	l->told_root = h.root;
	l->told_rows = h.rows;
	l->told_horizon = h.horizon;
	l->told_wall = h.wall_ms;
	l->told_liveness = h.liveness;
	l->clock_offset = h.wall_ms - m->now;
	l->clock_horizon = h.horizon;
	wire_put_hello(&b, &h);
	mesh_send(m, l, WIRE_CLASS_HELLO, buf_bytes(&b));
	buf_fini(&b);
}

/* Whom TLS found at the other end. Returns NULL when the link was closed for it. */
static struct mesh_node *
mesh_link_opened_node(struct mesh *m, struct mesh_link *l, const struct id *id)
{
	struct mesh_seed *s = mesh_link_seed(m, l);
	struct mesh_node *n;

	if (id_equal(id, &m->config.self)) {
		mesh_link_close(m, l, 0, "this node itself answers there");
		if (s != NULL) {
			s->next_dial = m->now + MESH_SELF_MS;
			mesh_want(m, s->next_dial);
		}
		return NULL;
	}
	if (s != NULL)
		s->node = *id;
	n = mesh_node_get(m, id);
	if (n == NULL) {
		mesh_link_close(m, l, WIRE_GOODBYE_BUSY, "more than %d nodes are known",
				MESH_NODES_MAX);
		return NULL;
	}
	if (l->node != n) {
		/* A seed, an inbound link, or an address that is now another node's. */
		if (l->node != NULL) {
			l->node->links--;
			l->node->fails++;
			l->node->next_dial = m->now + mesh_backoff(m, l->node->fails);
			mesh_want(m, l->node->next_dial);
		}
		l->node = n;
		n->links++;
	}
	return n;
}

void
mesh_link_opened(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l = mesh_link_find(m, e->link);
	bool is_full = HASH_COUNT(m->links) >= MESH_LINKS_MAX;
	struct mesh_node *n;

	assert(e->link != 0 && e->link < m->next_link);
	if (l == NULL)
		l = mesh_link_make(m, e->link, true);
	l->since = l->heard = m->now;
	l->is_near = e->is_near;
	n = mesh_link_opened_node(m, l, &e->node);
	if (n == NULL)
		return;
	l->state = MESH_LINK_GREETING;
	mesh_want(m, m->now + MESH_HELLO_MS);
	if (m->is_stopped)
		mesh_link_close(m, l, WIRE_GOODBYE_LEAVING, "this node is stopping");
	else if (l->is_inbound && is_full)
		mesh_link_close(m, l, WIRE_GOODBYE_BUSY, "%d links are open",
				MESH_LINKS_MAX);
	else if (l->is_inbound && n->links > MESH_LINKS_OF_NODE_MAX)
		mesh_link_close(m, l, WIRE_GOODBYE_BUSY,
				"%d links with that node are open",
				MESH_LINKS_OF_NODE_MAX);
	else if (l->is_inbound && mesh_is_full_for(m, n))
		mesh_link_close(m, l, WIRE_GOODBYE_BUSY,
				"%d nodes that take no links are attached to this one",
				MESH_LEAVES_MAX);
	else if (n->is_gone)
		mesh_link_bar(m, l);
	else if (n->banished_until > m->now)
		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"it sent what it must not and may come back in %lld s",
				(long long)((n->banished_until - m->now + MS_SECOND - 1) /
					    MS_SECOND));
	else if (!l->is_inbound && n->link != 0)
		mesh_link_close(m, l, WIRE_GOODBYE_DUPLICATE, "%s",
				wire_goodbye_text(WIRE_GOODBYE_DUPLICATE));
	else
		mesh_link_send_hello(m, l);
}

/* Greeted. */

static bool
mesh_hello_is_fit(struct mesh *m, struct mesh_link *l, const struct wire_hello *h)
{
	const struct mesh_config *c = &m->config;

	if (!id_equal(&h->cluster, &c->cluster)) {
		char theirs[ID_TEXT_SIZE], ours[ID_TEXT_SIZE];

		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"it belongs to cluster %s, this node to %s",
				id_text(&h->cluster, theirs), id_text(&c->cluster, ours));
		return false;
	}
	if (!id_equal(&h->node, &l->node->id)) {
		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"its HELLO names another node than its certificate");
		return false;
	}
	if (h->protocol_max < WIRE_PROTOCOL_MIN || h->protocol_min > WIRE_PROTOCOL_MAX) {
		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"it speaks protocol %d to %d, this node %d to %d",
				h->protocol_min, h->protocol_max, WIRE_PROTOCOL_MIN,
				WIRE_PROTOCOL_MAX);
		return false;
	}
	if (h->format != c->format || h->retention_ms != c->retention_ms ||
	    h->rows_per_node != c->rows_per_node) {
		mesh_link_close(m, l, WIRE_GOODBYE_REFUSED,
				"other cluster constants: format %d, retention %lld ms, "
				"%u rows a node; here %d, %lld ms, %u",
				h->format, (long long)h->retention_ms, h->rows_per_node,
				c->format, (long long)c->retention_ms, c->rows_per_node);
		return false;
	}
	return true;
}

/* A clock and a horizon, of one moment. */
struct mesh_clock {
	ms_t wall;
	uint64_t horizon;
};

/* As leases_believes() at the one side will judge the horizon of the other, if that is whole
 * hours: one that is not ends no link, it is not taken. */
static bool
mesh_clock_believes(const struct mesh *m, struct mesh_clock one, struct mesh_clock other)
{
	ms_t bound = one.wall - m->config.retention_ms + LEASE_AHEAD_MS;

	return other.horizon <= (uint64_t)(bound > 0 ? bound : 0);
}

/* Why a link between these clocks may not carry rows; "": it may. Of what the two HELLOs
 * told, both ends think the same. */
static const char *
mesh_rowless_why(const struct mesh *m, struct mesh_clock theirs, struct mesh_clock ours)
{
	ms_t skew = theirs.wall - ours.wall;

	if (skew > MESH_CLOCK_SKEW_MS || skew < -MESH_CLOCK_SKEW_MS)
		return "its clock and this one are more than 5 min apart";
	if (!mesh_clock_believes(m, ours, theirs))
		return "it has forgotten more than this node's clock allows";
	if (!mesh_clock_believes(m, theirs, ours))
		return "this node has forgotten more than its clock allows";
	return "";
}
_Static_assert(MESH_CLOCK_SKEW_MS == 5 * MS_MINUTE, "as the sentence says");

bool
mesh_link_clock(struct mesh *m, struct mesh_link *l, ms_t wall, uint64_t horizon)
{
	struct mesh_clock theirs = { wall, horizon }, ours = { m->wall, m->horizon };
	const char *why = mesh_rowless_why(m, theirs, ours);

	l->skew = wall - m->wall;
	if (l->is_rowless == (why[0] != '\0'))
		return true;
	mesh_link_close(m, l, WIRE_GOODBYE_CLOCK, "it is greeted anew: %s",
			why[0] != '\0' ? why : "the clocks agree again");
	return false;
}

void
mesh_link_greeted(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct mesh_node *n = l->node;
	struct mesh_seed *s = mesh_link_seed(m, l);
	struct mesh_item *item;
	uint64_t id = l->id;
	struct wire_hello h;
	const char *why;

	if (wire_read_hello(payload, &h) < 0) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "its HELLO cannot be read");
		return;
	}
	if (!mesh_hello_is_fit(m, l, &h))
		return;
	mesh_hello_liveness(m, l, &h);
	l->life = h.life;
	l->protocol = h.protocol_max < WIRE_PROTOCOL_MAX ? h.protocol_max
							 : WIRE_PROTOCOL_MAX;
	l->skew = h.wall_ms - l->told_wall;
	why = mesh_rowless_why(m, (struct mesh_clock){ h.wall_ms, h.horizon },
			       (struct mesh_clock){ l->told_wall, l->told_horizon });
	l->is_rowless = why[0] != '\0';
	l->reader.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	memcpy(n->hello_address, h.address, sizeof(h.address));
	if (l->is_inbound)
		memcpy(l->address, h.address, sizeof(h.address));
	if (s != NULL) {
		s->link = 0;
		s->fails = 0;
	}
	n->life = h.life;
	l->state = MESH_LINK_UP;
	l->since = l->used = m->now;
	l->rtt_due = m->now + MESH_RTT_MS;
	item = mesh_act(m, MESH_ACTION_LINK_UP, l->id);
	item->action.node = n->id;
	item->action.is_rowless = l->is_rowless;
	item->action.is_spare = !mesh_is_wanted(m, n);
	mesh_act_text(item, why, &item->action.why);
	item->action.horizon = h.horizon;
	item->action.root = h.root;
	item->action.rows_len = h.rows;
	item->action.our_root = l->told_root;
	item->action.our_rows_len = l->told_rows;
	mesh_node_choose(m, n);
	mesh_inbound_link_up(m, n);
	mesh_overlay_link_up(m, n);
	/* Until a beacon says so. */
	if (!m->tree.is_set)
		mesh_rings_set_count(m, h.rings);
	l = mesh_link_find(m, id);
	if (l != NULL)
		mesh_tree_link_up(m, l);
	/* Of two links it may just have been the one to go. */
	l = mesh_link_find(m, id);
	if (n->link != id || l == NULL)
		return;
	mesh_node_linked(m, n, l);
	mesh_beat_link_up(m, l);
	mesh_ping(m, l);
}

/* Time. */

static void
mesh_tell_clock(struct mesh *m, struct mesh_link *l)
{
	struct buf b = BUF_INIT;

	l->clock_offset = m->wall - m->now;
	l->clock_horizon = m->horizon;
	wire_put_clock(&b, m->wall, m->horizon);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* Is it another one than was told, by more than its running? */
static bool
mesh_clock_is_set(const struct mesh *m, const struct mesh_link *l)
{
	ms_t step = m->wall - m->now - l->clock_offset;

	return step > MESH_CLOCK_STEP_MS || step < -MESH_CLOCK_STEP_MS ||
	       l->clock_horizon != m->horizon;
}

/* True when it was closed, and perhaps others with it. */
static bool
mesh_link_tick_up(struct mesh *m, struct mesh_link *l)
{
	if (mesh_link_tick_silence(m, l))
		return true;
	if (l->retired_at != 0 && m->now - l->retired_at >= MESH_DUPLICATE_MS) {
		mesh_link_close(m, l, WIRE_GOODBYE_DUPLICATE, "%s",
				wire_goodbye_text(WIRE_GOODBYE_DUPLICATE));
		return true;
	}
	if (l->rtt_due <= m->now || mesh_clock_is_set(m, l))
		mesh_tell_clock(m, l);
	if (l->rtt_due <= m->now) {
		l->rtt_due = m->now + MESH_RTT_MS;
		mesh_ping(m, l);
	}
	if (m->now - l->since >= MESH_DIAL_HEALTHY_MS)
		l->node->fails = 0;
	if (mesh_link_is_idle(m, l))
		mesh_act(m, MESH_ACTION_IDLE, l->id);
	mesh_want(m, l->rtt_due);
	if (l->retired_at != 0)
		mesh_want(m, l->retired_at + MESH_DUPLICATE_MS);
	return false;
}

static bool
mesh_link_tick(struct mesh *m, struct mesh_link *l)
{
	bool is_dial = l->state == MESH_LINK_DIALLING;
	ms_t limit = is_dial ? MESH_OPEN_MS : MESH_HELLO_MS;

	if (l->state == MESH_LINK_UP)
		return mesh_link_tick_up(m, l);
	if (m->now - l->since < limit) {
		mesh_want(m, l->since + limit);
		return false;
	}
	mesh_link_close(m, l, WIRE_GOODBYE_SILENT, "no %s within %lld s",
			is_dial ? "connection" : "HELLO", (long long)(limit / MS_SECOND));
	return true;
}

void
mesh_links_tick(struct mesh *m)
{
	struct mesh_link *l = m->links;

	while (l != NULL)
		l = mesh_link_tick(m, l) ? m->links : l->hh.next;
}
