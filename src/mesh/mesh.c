/* SPDX-License-Identifier: Apache-2.0 */
/* Events in, actions out; nodes. */
#include "config.h"

#include "mesh/mesh.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

struct mesh *
mesh_new(const struct mesh_config *config, ms_t now)
{
	struct mesh *m = mem_calloc(1, sizeof(*m));

	m->config = *config;
	m->config.address[WIRE_ADDRESS_BYTES_MAX] = '\0';
	m->incarnation = config->incarnation;
	rng_init(&m->rng, config->seed);
	m->life = rng_next(&m->rng);
	m->now = now;
	m->next_link = 1;
	m->rings.count = MESH_RINGS;
	m->self.id = config->self;
	m->self.state = MESH_NODE_ALIVE;
	m->self.rank = mesh_rank(m, &config->self);
	mesh_rings_update(m, &m->self, "");
	m->has_link_at = now;
	m->redial_due = now + MESH_REDIAL_MS;
	m->heard = now;
	m->view = 1;
	m->beat_due = now + MESH_BEAT_MS;
	m->due = m->beat_due;
	return m;
}

static void
mesh_node_free(struct mesh *m, struct mesh_node *n)
{
	HASH_DEL(m->nodes, n);
	for (int i = 0; i < n->addresses_len; i++)
		free(n->addresses[i]);
	free(n->barred_why);
	free(n->homes);
	mesh_evidence_free(n);
	free(n);
}

static void
mesh_item_free(struct mesh_item *item)
{
	if (item != NULL)
		mesh_blob_release(item->blob);
	free(item);
}

void
mesh_free(struct mesh *m)
{
	struct mesh_link *l, *l_next;
	struct mesh_node *n, *n_next;

	if (m == NULL)
		return;
	mesh_relays_free(m);
	mesh_spread_free(m);
	mesh_ways_free(m);
	mesh_signings_free(m);
	HASH_ITER (hh, m->links, l, l_next) {
		HASH_DEL(m->links, l);
		mesh_spread_link_fini(l);
		wire_reader_fini(&l->reader);
		buf_fini(&l->rows);
		buf_fini(&l->sync_rows);
		free(l);
	}
	HASH_ITER (hh, m->nodes, n, n_next)
		mesh_node_free(m, n);
	mesh_rings_free(m);
	mesh_item_free(m->taken);
	while (m->first != NULL) {
		struct mesh_item *item = m->first;

		m->first = item->next;
		mesh_item_free(item);
	}
	free(m);
}

void
mesh_want(struct mesh *m, ms_t at)
{
	if (at < m->now)
		at = m->now; /* so that a late tick is one that came late */
	if (at < m->due)
		m->due = at;
}

ms_t
mesh_due(const struct mesh *m)
{
	return m->due;
}

/* Actions. */

struct mesh_item *
mesh_act(struct mesh *m, enum mesh_action_type type, uint64_t link)
{
	struct mesh_item *item = mem_calloc(1, sizeof(*item));

	item->action.type = type;
	item->action.link = link;
	if (m->last != NULL)
		m->last->next = item;
	else
		m->first = item;
	m->last = item;
	return item;
}

void
mesh_act_text(struct mesh_item *item, const char *text, const char **ret_field)
{
	assert(item->blob == NULL);
	item->blob = mesh_blob_new(bytes_of(text, strlen(text) + 1));
	*ret_field = (const char *)item->blob->data;
}

struct mesh_blob *
mesh_blob_new(struct bytes v)
{
	struct mesh_blob *b = mem_alloc(sizeof(*b) + v.len);

	b->refs = 1;
	b->len = v.len;
	if (v.len > 0)
		memcpy(b->data, v.data, v.len);
	return b;
}

void
mesh_blob_release(struct mesh_blob *b)
{
	if (b != NULL && --b->refs == 0)
		free(b);
}

void
mesh_send_blob(struct mesh *m, struct mesh_link *l, enum wire_class class,
	       struct mesh_blob *b)
{
	struct mesh_item *item = mesh_act(m, MESH_ACTION_SEND, l->id);

	b->refs++;
	item->blob = b;
	item->action.class = class;
	item->action.data = bytes_of(b->data, b->len);
}

void
mesh_send(struct mesh *m, struct mesh_link *l, enum wire_class class, struct bytes v)
{
	struct mesh_blob *b = mesh_blob_new(v);

	mesh_send_blob(m, l, class, b);
	mesh_blob_release(b);
}

bool
mesh_next(struct mesh *m, struct mesh_action *ret_action)
{
	mesh_item_free(m->taken);
	m->taken = m->first;
	if (m->first == NULL)
		return false;
	m->first = m->first->next;
	if (m->first == NULL)
		m->last = NULL;
	*ret_action = m->taken->action;
	return true;
}

/* Nodes. */

struct mesh_link *
mesh_link_find(const struct mesh *m, uint64_t id)
{
	struct mesh_link *l;

	HASH_FIND(hh, m->links, &id, sizeof(id), l);
	return l;
}

struct mesh_node *
mesh_node_find(const struct mesh *m, const struct id *id)
{
	struct mesh_node *n;

	HASH_FIND(hh, m->nodes, id, sizeof(*id), n);
	return n;
}

struct mesh_node *
mesh_node_get(struct mesh *m, const struct id *id)
{
	struct mesh_node *n = mesh_node_find(m, id);

	if (n != NULL || HASH_COUNT(m->nodes) >= MESH_NODES_MAX)
		return n;
	n = mem_calloc(1, sizeof(*n));
	n->id = *id;
	n->rank = mesh_rank(m, id);
	n->state = MESH_NODE_ALIVE; /* what is so is told below */
	n->missed_at = m->now;
	n->next_dial = m->now;
	if (id_compare(&m->config.self, id) > 0)
		n->next_dial += MESH_DIAL_YIELD_MS + (ms_t)rng_below(&m->rng, 500);
	HASH_ADD(hh, m->nodes, id, sizeof(n->id), n);
	mesh_rings_update(m, n, "");
	mesh_node_update(m, n);
	mesh_want(m, n->next_dial);
	return n;
}

static void
mesh_node_bar_links(struct mesh *m, struct mesh_node *n)
{
	struct mesh_link *l = m->links;

	/* Closing one may close others of the node: begin again. */
	while (l != NULL) {
		bool is_of_node = l->node == n;

		if (is_of_node)
			mesh_link_bar(m, l);
		l = is_of_node ? m->links : l->hh.next;
	}
}

static bool
mesh_node_same_addresses(const struct mesh_node *n, const struct mesh_event *e)
{
	if (n->addresses_len != e->addresses_len)
		return false;
	for (int i = 0; i < n->addresses_len; i++)
		if (strcmp(n->addresses[i], e->addresses[i]) != 0)
			return false;
	return true;
}

static void
mesh_node_learned(struct mesh *m, const struct mesh_event *e)
{
	bool is_known = mesh_node_find(m, &e->node) != NULL;
	struct mesh_node *n;

	if (id_equal(&e->node, &m->config.self))
		return;
	n = mesh_node_get(m, &e->node);
	if (n == NULL)
		return;
	n->is_gone = e->is_gone;
	free(n->barred_why);
	n->barred_why = e->is_gone && e->why != NULL ? mem_strdup(e->why) : NULL;
	if (mesh_node_set_homes(n, e->homes, e->homes_len) || n->has_left != e->has_left)
		m->rings.version++;
	n->has_left = e->has_left;
	n->inbound = e->inbound;
	mesh_rings_update(m, n, e->region != NULL ? e->region : "");
	mesh_tree_node_changed(m, n);
	if (n->is_gone)
		mesh_node_bar_links(m, n);
	if (n->is_gone)
		mesh_evidence_end(m, n);
	mesh_reach_changed(m);
	mesh_node_update(m, n);
	if (mesh_node_same_addresses(n, e))
		return;
	for (int i = 0; i < n->addresses_len; i++)
		free(n->addresses[i]);
	n->addresses_len = 0;
	for (int i = 0; i < e->addresses_len && n->addresses_len < MESH_ADDRESSES_MAX;
	     i++)
		if (strlen(e->addresses[i]) <= WIRE_ADDRESS_BYTES_MAX)
			n->addresses[n->addresses_len++] = mem_strdup(e->addresses[i]);
	if (n->next_dial > m->now + MESH_DIAL_YIELD_MS)
		n->next_dial = m->now + MESH_DIAL_YIELD_MS; /* it may have moved */
	n->turn = n->fails = 0;
	/* Of one that is met for the first time, at our start, nobody knows that it is lost. */
	n->is_news = is_known;
	m->has_news |= is_known;
	mesh_want(m, n->next_dial);
}

static void
mesh_nodes_tick(struct mesh *m)
{
	struct mesh_node *n, *next;

	HASH_ITER (hh, m->nodes, n, next)
		mesh_votes_tick(m, n);
}

/* Events. */

static void
mesh_stop(struct mesh *m)
{
	m->is_stopped = true;
	mesh_liveness_stop(m);
	while (m->links != NULL)
		mesh_link_close(m, m->links, WIRE_GOODBYE_LEAVING,
				"this node is stopping");
}

static void
mesh_put_off(ms_t *at, ms_t late)
{
	if (*at != 0)
		*at += late;
}

/* All that was waited for while this process stood still is waited for as much longer. */
static void
mesh_forgive(struct mesh *m, ms_t late)
{
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		l->heard = l->heard + late < m->now ? l->heard + late : m->now;
		l->expect += late;
		mesh_put_off(&l->pinged_at, late);
		mesh_put_off(&l->mute_since, late);
		if (l->state != MESH_LINK_UP)
			l->since = l->since + late < m->now ? l->since + late : m->now;
	}
	m->heard = m->heard + late < m->now ? m->heard + late : m->now;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		mesh_put_off(&n->dead_at, late);
		mesh_put_off(&n->suspect_at, late);
		mesh_put_off(&n->vote_due, late);
		mesh_put_off(&n->lost_at, late);
		mesh_put_off(&n->watched_at, late);
		if (n->evidence == NULL)
			continue;
		mesh_put_off(&n->evidence->first_at, late);
		mesh_put_off(&n->evidence->enough_at, late);
	}
}

static void
mesh_tick(struct mesh *m)
{
	ms_t late = m->now - m->due;

	if (late >= MESH_HEALTH_LATE_MS)
		mesh_health_stalled(m);
	if (late >= MESH_LATE_MS) {
		mesh_tree_forgive(m, late);
		mesh_forgive(m, late);
	}
	m->due = m->now + MS_HOUR;
	if (m->is_stopped)
		return;
	mesh_links_tick(m);
	mesh_reach_tick(m);
	mesh_nodes_tick(m);
	mesh_liveness_tick(m);
	mesh_inbound_tick(m);
	mesh_overlay_tick(m);
	mesh_homes_tick(m);
	mesh_dials_tick(m);
	mesh_beat_tick(m);
	mesh_tree_tick(m);
	mesh_spread_tick(m);
}

static void
mesh_step_link(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l = mesh_link_find(m, e->link);
	const char *why = e->why != NULL ? e->why : "closed";

	if (e->type == MESH_EVENT_LINK_OPEN) {
		mesh_link_opened(m, e);
		return;
	}
	if (l == NULL)
		return; /* the core has closed it meanwhile */
	if (e->type == MESH_EVENT_LINK_DATA)
		mesh_link_data(m, e->link, e->data);
	else if (e->type == MESH_EVENT_LINK_CLOSED)
		mesh_link_ended(m, l, 0, why);
	else if (e->type == MESH_EVENT_IDLE)
		mesh_link_close(m, l, WIRE_GOODBYE_IDLE, "%s",
				wire_goodbye_text(WIRE_GOODBYE_IDLE));
	else
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "%s", why);
}

void
mesh_step(struct mesh *m, ms_t now, const struct mesh_event *e)
{
	assert(now >= m->now);
	m->now = now;
	if (e->wall_ms != 0)
		m->wall = e->wall_ms;
	switch (e->type) {
	case MESH_EVENT_TICK:
		mesh_tick(m);
		break;
	case MESH_EVENT_SEEDS:
		mesh_seeds_set(m, e);
		break;
	case MESH_EVENT_SELF:
		mesh_self_set(m, e);
		break;
	case MESH_EVENT_NODE:
		mesh_node_learned(m, e);
		break;
	case MESH_EVENT_LINK_OPEN:
	case MESH_EVENT_LINK_DATA:
	case MESH_EVENT_LINK_CLOSED:
	case MESH_EVENT_LINK_REJECT:
	case MESH_EVENT_IDLE:
		mesh_step_link(m, e);
		break;
	case MESH_EVENT_ROW_CHANGED:
		mesh_row_changed(m, e);
		break;
	case MESH_EVENT_LINK_LAGGING:
		mesh_link_lagging(m, e);
		break;
	case MESH_EVENT_ROOT:
		m->root = e->root;
		m->rows = e->rows_len;
		m->horizon = e->horizon;
		m->word = e->word;
		break;
	case MESH_EVENT_WANT:
		mesh_want_rows(m, e->link, e->data);
		break;
	case MESH_EVENT_PROBED:
		mesh_probed(m, e);
		break;
	case MESH_EVENT_WAY:
		mesh_way_open(m, e);
		break;
	case MESH_EVENT_LEAVING:
		m->is_leaving = true;
		break;
	case MESH_EVENT_STOP:
		mesh_stop(m);
		break;
	case MESH_EVENT_LINK_LOADED:
		mesh_link_loaded(m, e);
		break;
	case MESH_EVENT_SIGNED:
		mesh_signed(m, e);
		break;
	case MESH_EVENT_VERIFIED:
		mesh_verified(m, e);
		break;
	}
}

/* Questions. */

uint64_t
mesh_link_new(struct mesh *m)
{
	return m->next_link++;
}

uint64_t
mesh_link_of(const struct mesh *m, const struct id *node)
{
	const struct mesh_node *n = mesh_node_find(m, node);

	return n != NULL ? n->link : 0;
}

int
mesh_relays(const struct mesh *m)
{
	return (int)HASH_CNT(hh, m->relays);
}

ms_t
mesh_rtt_of(const struct mesh *m, const struct id *node)
{
	const struct mesh_link *l = mesh_link_find(m, mesh_link_of(m, node));

	return l != NULL ? l->rtt : -1;
}

enum mesh_state
mesh_node_state(const struct mesh *m, const struct id *node)
{
	const struct mesh_node *n = mesh_node_find(m, node);

	return n != NULL ? n->state : MESH_NODE_UNREACHABLE;
}

bool
mesh_clock_disagrees(const struct mesh *m)
{
	int links = 0, others = 0;

	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->state != MESH_LINK_UP || l->retired_at != 0)
			continue;
		links++;
		others += l->skew > MESH_CLOCK_SKEW_MS || l->skew < -MESH_CLOCK_SKEW_MS;
	}
	return others >= 2 && 2 * others > links;
}

static void
mesh_peer_fill(const struct mesh *m, const struct mesh_link *l, struct mesh_peer *p)
{
	static const char *const names[] = {
		[MESH_LINK_DIALLING] = "dialling",
		[MESH_LINK_GREETING] = "greeting",
		[MESH_LINK_UP] = "up",
	};

	*p = (struct mesh_peer){
		.link = l->id,
		.state = l->retired_at != 0 ? "closing" : names[l->state],
		.is_inbound = l->is_inbound,
		.is_rowless = l->is_rowless,
		.is_parent = l->id == m->tree.parent,
		.is_child = l->edge.is_child,
		.is_lagging = l->edge.lagging_at != 0,
		.rtt_ms = l->rtt,
		.clock_skew_ms = l->skew,
		.since_ms = l->since,
		.protocol = l->protocol,
		.received_bytes = l->received_bytes,
	};
	if (l->node != NULL)
		p->node = l->node->id;
	memcpy(p->address, l->address, sizeof(p->address));
}

int
mesh_peers(const struct mesh *m, struct mesh_peer *ret_peers, int max)
{
	const struct mesh_link *l;
	int n = 0;

	for (l = m->links; l != NULL; l = l->hh.next, n++) {
		int at = n;

		if (n >= max)
			continue;
		/* Numbers may be opened out of order. */
		while (at > 0 && ret_peers[at - 1].link > l->id) {
			ret_peers[at] = ret_peers[at - 1];
			at--;
		}
		mesh_peer_fill(m, l, &ret_peers[at]);
	}
	return n;
}

void
mesh_stats(const struct mesh *m, struct mesh_stats *ret_stats)
{
	const struct mesh_link *l;

	*ret_stats = m->stats;
	ret_stats->links_up = 0;
	for (l = m->links; l != NULL; l = l->hh.next)
		ret_stats->links_up += l->state == MESH_LINK_UP;
}
