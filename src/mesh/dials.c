/* SPDX-License-Identifier: Apache-2.0 */
/* Whom this node dials, and when: those that it wants to be linked with, those by whom a query
 * is to go, one of the dead now and then, its seeds, and for want of any link everybody. The
 * rules are told in mesh/mesh.h. */
#include "config.h"

#include <string.h>

#include "mesh/core.h"

ms_t
mesh_backoff(struct mesh *m, int fails)
{
	ms_t span = MESH_DIAL_CAP_MS;

	if (fails < 8 && (MESH_DIAL_BASE_MS << fails) < MESH_DIAL_CAP_MS)
		span = MESH_DIAL_BASE_MS << fails;
	return 1 + (ms_t)rng_below(&m->rng, (uint64_t)span);
}

static struct mesh_link *
dial(struct mesh *m, const char *address, struct mesh_node *n)
{
	struct mesh_link *l = mesh_link_make(m, m->next_link++, false);
	struct mesh_item *item = mesh_act(m, MESH_ACTION_DIAL, l->id);

	l->node = n;
	if (n != NULL) {
		n->links++;
		item->action.node = n->id;
	}
	memcpy(l->address, address, strlen(address) + 1);
	mesh_act_text(item, address, &item->action.address);
	mesh_want(m, m->now + MESH_OPEN_MS);
	return l;
}

/* ---- nodes ---- */

static bool
node_is_barred(const struct mesh_node *n)
{
	return n->is_gone || n->has_left || n->state == MESH_NODE_LEFT;
}

const char *
mesh_node_address(const struct mesh_node *n)
{
	const char *address = n->hello_address;

	if (n->addresses_len > 0)
		address = n->addresses[n->turn % n->addresses_len];
	return address[0] != '\0' ? address : NULL;
}

/* One that has a link, or that one is being opened to, is not dialled. */
void
mesh_dial_node(struct mesh *m, struct mesh_node *n)
{
	const char *address = mesh_node_address(n);

	if (node_is_barred(n) || n->links > 0 || address == NULL)
		return;
	if (n->next_dial > m->now || HASH_COUNT(m->links) >= MESH_LINKS_MAX) {
		mesh_want(m,
			  n->next_dial > m->now ? n->next_dial : m->now + MESH_BEAT_MS);
		return;
	}
	n->turn = n->addresses_len > 0 ? (n->turn + 1) % n->addresses_len : 0;
	n->is_news = false;
	if (n->way_until > m->now && n->way_dials > 0)
		n->way_dials--;
	dial(m, address, n);
}

static void
dial_wanted(struct mesh *m)
{
	const struct mesh_overlay *o = &m->overlay;

	for (int i = 0; i < o->len; i++)
		if (o->nodes[i]->inbound != MESH_INBOUND_NO)
			mesh_dial_node(m, o->nodes[i]);
}

/* What is known may be old, also of those that say that they take no links. The wanted ones
 * come first, then the others in turn, some at a time. */
static void
dial_lost(struct mesh *m)
{
	struct mesh_node *n = m->lost_turn;

	if (m->now - m->has_link_at < MESH_LOST_MS) {
		mesh_want(m, m->has_link_at + MESH_LOST_MS);
		return;
	}
	for (unsigned i = 0; i < HASH_COUNT(m->nodes); i++) {
		n = n != NULL && n->hh.next != NULL ? n->hh.next : m->nodes;
		if (HASH_COUNT(m->links) >= MESH_LOST_DIALS_MAX) {
			mesh_want(m, m->now + MESH_BEAT_MS);
			return;
		}
		mesh_dial_node(m, n);
		m->lost_turn = n;
	}
}

/* ---- the dead ---- */

static bool
node_is_lost(const struct mesh_node *n)
{
	return (n->state == MESH_NODE_DEAD || n->state == MESH_NODE_UNREACHABLE) &&
	       !node_is_barred(n);
}

static bool
node_is_there(const struct mesh_node *n)
{
	return (n->state == MESH_NODE_ALIVE || n->state == MESH_NODE_SUSPECT) &&
	       !node_is_barred(n);
}

/* One in as many as are there, of which each tries one: so each of them is tried by somebody
 * about as often, however many are lost. */
static void
dial_dead(struct mesh *m)
{
	struct mesh_node *n, *pick = NULL;
	uint64_t lost = 0, there = 1, fit = 0;

	mesh_want(m, m->redial_due);
	if (m->redial_due > m->now)
		return;
	m->redial_due = m->now + MESH_REDIAL_MS - MESH_REDIAL_MS * 3 / 10 +
			(ms_t)rng_below(&m->rng, MESH_REDIAL_MS * 6 / 10);
	mesh_want(m, m->redial_due);
	for (n = m->nodes; n != NULL; n = n->hh.next) {
		there += node_is_there(n);
		if (!node_is_lost(n))
			continue;
		lost++;
		if (n->links == 0 && n->next_dial <= m->now &&
		    mesh_node_address(n) != NULL && rng_below(&m->rng, ++fit) == 0)
			pick = n;
	}
	if (lost > 0)
		m->rings.version++; /* some may be missed no more */
	if (pick != NULL && rng_below(&m->rng, there) < lost)
		mesh_dial_node(m, pick);
}

/* Those that were given up, and have moved. */
static void
dial_news(struct mesh *m)
{
	bool has_news = false;

	if (!m->has_news)
		return;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		if (!n->is_news)
			continue;
		n->is_news = node_is_lost(n) && n->links == 0 &&
			     mesh_node_address(n) != NULL;
		if (n->is_news)
			mesh_dial_node(m, n);
		has_news |= n->is_news;
	}
	m->has_news = has_news;
}

/* ---- seeds ---- */

void
mesh_seeds_set(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l;

	for (int i = 0; i < m->seeds_len; i++) {
		l = mesh_link_find(m, m->seeds[i].link);
		if (l != NULL && l->state == MESH_LINK_DIALLING)
			mesh_link_close(m, l, WIRE_GOODBYE_DUPLICATE,
					"the seeds were changed");
	}
	m->seeds_len = 0;
	for (int i = 0; i < e->addresses_len && m->seeds_len < MESH_SEEDS_MAX; i++) {
		struct mesh_seed *s = &m->seeds[m->seeds_len];
		size_t len = strlen(e->addresses[i]);

		if (len == 0 || len > WIRE_ADDRESS_BYTES_MAX)
			continue;
		*s = (struct mesh_seed){ .next_dial = m->now };
		memcpy(s->address, e->addresses[i], len + 1);
		m->seeds_len++;
	}
	mesh_want(m, m->now);
}

/* Who answered there last: is it to be looked for? Also where it is there for others, when we
 * want a link with it: of all its addresses this may be the one that leads there. */
static bool
seed_is_missed(const struct mesh *m, const struct mesh_seed *s)
{
	struct mesh_node *n = mesh_node_find(m, &s->node);

	if (n == NULL)
		return true;
	if (n->links > 0 || n->is_gone)
		return false;
	return !node_is_there(n) || !m->has_link || n->way_until > m->now ||
	       (n->inbound != MESH_INBOUND_NO && mesh_is_wanted(m, n));
}

static void
dial_seeds(struct mesh *m)
{
	for (int i = 0; i < m->seeds_len; i++) {
		struct mesh_seed *s = &m->seeds[i];

		if (s->link != 0 || !seed_is_missed(m, s))
			continue;
		if (s->next_dial > m->now || HASH_COUNT(m->links) >= MESH_LINKS_MAX) {
			mesh_want(m, s->next_dial > m->now ? s->next_dial
							   : m->now + MESH_BEAT_MS);
			continue;
		}
		s->link = dial(m, s->address, NULL)->id;
	}
}

void
mesh_dials_tick(struct mesh *m)
{
	dial_wanted(m);
	mesh_ways_tick(m);
	dial_dead(m);
	dial_news(m);
	if (!m->has_link)
		dial_lost(m);
	dial_seeds(m);
}
