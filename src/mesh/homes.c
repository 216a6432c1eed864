/* SPDX-License-Identifier: Apache-2.0 */
/* The homes of this node while it takes no links: all can compute them, but for one that has
 * too many leaves or that this node cannot reach, in whose place comes the next. Then it
 * names its actual ones in its row, and these stand. The rules are told in mesh/mesh.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

_Static_assert((int)MESH_HOMES_MAX == (int)MESH_NEIGHBOURS_MAX, "two on each ring");

/* Dials in a row that failed, at all its addresses in turn. */
enum { HOMES_FAILS_MAX = 6 };

bool
mesh_is_leaf(const struct mesh *m)
{
	return m->test.found == MESH_INBOUND_NO;
}

bool
mesh_is_fit_home(const struct mesh *m, const struct mesh_node *n,
		 const struct mesh_node *x)
{
	return mesh_is_standing(m, n, x) && n->busy_until <= m->now;
}

void
mesh_home_put_off(struct mesh *m, struct mesh_node *n)
{
	struct mesh_overlay *o = &m->overlay;

	n->busy_until = m->now + MESH_BUSY_MS;
	if (o->homes_due == 0 || o->homes_due > n->busy_until)
		o->homes_due = n->busy_until;
	m->rings.version++;
	mesh_want(m, m->now);
}

/* Those that were busy are asked again when their time is over. */
static void
homes_ask_again(struct mesh *m)
{
	struct mesh_overlay *o = &m->overlay;

	if (o->homes_due == 0 || o->homes_due > m->now)
		return;
	o->homes_due = 0;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		if (n->busy_until == 0)
			continue;
		if (n->busy_until <= m->now) {
			n->busy_until = 0;
			n->fails = 0;
		} else if (o->homes_due == 0 || n->busy_until < o->homes_due) {
			o->homes_due = n->busy_until;
		}
	}
	m->rings.version++;
}

/* It may be there for others, and not for us; if there is one to take its place. */
static void
homes_put_off_failed(struct mesh *m)
{
	const struct mesh_overlay *o = &m->overlay;
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX + 1];
	int places = 2 * m->rings.count;

	if (mesh_rings_before(m, &m->self, mesh_is_fit_home, nodes, places + 1) <= places)
		return;
	for (int i = 0; i < o->len; i++) {
		struct mesh_node *n = o->nodes[i];

		if (n->link == 0 && n->fails >= HOMES_FAILS_MAX &&
		    n->busy_until <= m->now) {
			mesh_home_put_off(m, n);
			return;
		}
	}
}

static bool
homes_is_told(const struct mesh_overlay *o, const struct id *id)
{
	for (int i = 0; i < o->homes_len; i++)
		if (id_equal(&o->homes[i], id))
			return true;
	return false;
}

/* Those that count now, if they are not the ones that everybody would take for ours. What was
 * told stands while one that was busy is asked again. */
static int
homes_actual(const struct mesh *m, struct id ret[MESH_NEIGHBOURS_MAX])
{
	struct mesh_node *fit[MESH_NEIGHBOURS_MAX], *computed[MESH_NEIGHBOURS_MAX];
	int fit_len = mesh_neighbours(m, &m->self, mesh_is_fit_home, fit);
	int computed_len = mesh_neighbours(m, &m->self, mesh_is_standing, computed);
	bool is_computed = fit_len == computed_len &&
			   memcmp(fit, computed, (size_t)fit_len * sizeof(fit[0])) == 0;
	int len = 0, up = 0;

	for (int i = 0; i < fit_len; i++) {
		up += fit[i]->link != 0;
		if (fit[i]->link != 0 || homes_is_told(&m->overlay, &fit[i]->id))
			ret[len++] = fit[i]->id;
	}
	if (!is_computed)
		return len;
	if (up == fit_len || m->overlay.homes_len == 0)
		return 0;
	memcpy(ret, m->overlay.homes, sizeof(m->overlay.homes));
	return m->overlay.homes_len;
}

/* Told when all is settled: what a home says, that is full, may take a while. */
static void
homes_tell(struct mesh *m)
{
	struct mesh_overlay *o = &m->overlay;
	struct id homes[MESH_NEIGHBOURS_MAX] = { { { 0 } } };
	int len = mesh_is_leaf(m) ? homes_actual(m, homes) : 0;
	size_t size = (size_t)len * sizeof(homes[0]);
	struct mesh_item *item;

	if (len == o->homes_len && memcmp(homes, o->homes, size) == 0)
		return;
	memcpy(o->homes, homes, sizeof(homes));
	o->homes_len = len;
	item = mesh_act(m, MESH_ACTION_HOMES, 0);
	item->blob = mesh_blob_new(bytes_of(homes, size));
	item->action.data = bytes_of(item->blob->data, size);
}

void
mesh_homes_tick(struct mesh *m)
{
	homes_ask_again(m);
	if (mesh_is_leaf(m) && m->has_link)
		homes_put_off_failed(m);
	if (m->overlay.is_whole && m->overlay.made_of == m->rings.version)
		homes_tell(m);
	if (m->overlay.homes_due != 0)
		mesh_want(m, m->overlay.homes_due);
}

bool
mesh_is_full_for(const struct mesh *m, const struct mesh_node *n)
{
	int leaves = 0;

	if (n->inbound != MESH_INBOUND_NO || n->link != 0)
		return false;
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		leaves += l->state != MESH_LINK_DIALLING && l->node != n &&
			  l->node->inbound == MESH_INBOUND_NO;
	return leaves >= MESH_LEAVES_MAX;
}

/* ---- those of others ---- */

bool
mesh_node_set_homes(struct mesh_node *n, const struct id *homes, int len)
{
	size_t size;

	if (len > MESH_NEIGHBOURS_MAX)
		len = MESH_NEIGHBOURS_MAX;
	size = (size_t)len * sizeof(*homes);
	if (len == n->homes_len && (len == 0 || memcmp(n->homes, homes, size) == 0))
		return false;
	free(n->homes);
	n->homes = len > 0 ? mem_dup(homes, size) : NULL;
	n->homes_len = len;
	return true;
}

int
mesh_homes(const struct mesh *m, const struct id *node, struct id ret[MESH_HOMES_MAX])
{
	const struct mesh_node *n = id_equal(node, &m->self.id) ? &m->self
								: mesh_node_find(m, node);
	struct mesh_node *homes[MESH_NEIGHBOURS_MAX];
	int len;

	if (n == NULL)
		return 0;
	len = mesh_neighbours(m, n, n == &m->self ? mesh_is_fit_home : mesh_is_standing,
			      homes);
	for (int i = 0; i < len; i++)
		ret[i] = homes[i]->id;
	return len;
}
