/* SPDX-License-Identifier: Apache-2.0 */
/* Can others open links to this node? A peer that dials back tells; and this node dials back
 * for others. What it is worth, and what it cannot be used for, is said in mesh/mesh.h. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "mesh/core.h"

/* A question that was lost has this long beside the time of the dials. */
enum { INBOUND_ANSWER_MS = 5 * MS_SECOND };

/* ---- asking ---- */

enum mesh_inbound
mesh_inbound(const struct mesh *m)
{
	return m->test.found;
}

static void
inbound_found(struct mesh *m, enum mesh_inbound found)
{
	struct mesh_test *t = &m->test;

	t->has_failed = t->is_lone = false;
	if (t->found == found)
		return;
	t->found = found;
	m->self.inbound = found;
	mesh_rings_update(m, &m->self, m->self_region);
	mesh_want(m, m->now); /* for other links */
	mesh_act(m, MESH_ACTION_INBOUND, 0)->action.inbound = found;
	if (found == MESH_INBOUND_NO)
		mesh_votes_withdraw(m);
	mesh_reach_changed(m);
}

static void
inbound_ask_at(struct mesh *m, ms_t at)
{
	m->test.link = 0;
	m->test.due = at;
	mesh_want(m, at);
}

void
mesh_self_set(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_test *t = &m->test;
	const char *first = e->addresses_len > 0 ? e->addresses[0] : "";
	uint64_t digest = e->addresses_len > 0
				  ? wire_addresses_digest(e->addresses, e->addresses_len)
				  : 0;
	bool is_change = t->addresses != 0 && t->addresses != digest;

	memset(m->config.address, 0, sizeof(m->config.address));
	if (strlen(first) <= WIRE_ADDRESS_BYTES_MAX)
		memcpy(m->config.address, first, strlen(first));
	t->addresses = digest;
	if (e->region != NULL && strlen(e->region) < sizeof(m->self_region))
		memcpy(m->self_region, e->region, strlen(e->region) + 1);
	mesh_rings_update(m, &m->self, m->self_region);
	/* Who advertises nothing is dialled by nobody. */
	if (is_change || digest == 0)
		inbound_found(m, digest == 0 ? MESH_INBOUND_NO : MESH_INBOUND_UNKNOWN);
	if (is_change && digest != 0)
		inbound_ask_at(m, m->now + MESH_INBOUND_FIRST_MS);
}

void
mesh_inbound_link_down(struct mesh *m, const struct mesh_link *l)
{
	if (m->test.link == l->id)
		inbound_ask_at(m, m->now);
}

/* May this link be asked, among those that are `is_near` or not? */
static bool
inbound_may_ask(const struct mesh *m, const struct mesh_link *l, bool is_near)
{
	return l->state == MESH_LINK_UP && l->node->link == l->id &&
	       l->is_near == is_near &&
	       (!m->test.has_failed || !id_equal(&m->test.failed, &l->node->id));
}

static bool
inbound_has_far(const struct mesh *m)
{
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->node->link == l->id && !l->is_near)
			return true;
	return false;
}

void
mesh_inbound_link_up(struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_link *l = mesh_link_find(m, n->link);
	struct mesh_test *t = &m->test;
	bool is_second = t->is_lone && l != NULL && !id_equal(&t->failed, &n->id) &&
			 (!l->is_near || !inbound_has_far(m));

	if (is_second || (t->due == 0 && t->link == 0))
		inbound_ask_at(m, m->now + MESH_INBOUND_FIRST_MS);
	if (is_second)
		t->is_lone = false;
}

/* Each of those that can be asked now with the same chance; NULL: then *ret_at is when one
 * can be, 0 for never. */
static struct mesh_link *
inbound_pick(struct mesh *m, ms_t *ret_at)
{
	bool is_near = !inbound_has_far(m);
	struct mesh_link *pick = NULL;
	uint64_t n = 0;

	*ret_at = 0;
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		ms_t at;

		if (!inbound_may_ask(m, l, is_near))
			continue;
		at = l->node->ask_after;
		if (at <= m->now && rng_below(&m->rng, ++n) == 0)
			pick = l;
		if (at > m->now && (*ret_at == 0 || at < *ret_at))
			*ret_at = at;
	}
	return pick;
}

static void
inbound_ask(struct mesh *m)
{
	struct mesh_test *t = &m->test;
	struct mesh_link *l;
	struct buf b = BUF_INIT;
	ms_t at;

	if (t->addresses == 0)
		return;
	l = inbound_pick(m, &at);
	if (l == NULL && at == 0 && t->has_failed) {
		/* There is no other one to ask. */
		inbound_found(m, MESH_INBOUND_NO);
		t->is_lone = true;
		at = m->now + MESH_INBOUND_MS;
	}
	if (l == NULL) {
		t->due = at;
		if (at != 0)
			mesh_want(m, at);
		return;
	}
	t->due = 0;
	t->link = l->id;
	t->token = rng_next(&m->rng);
	t->until = m->now + MESH_PROBE_MS + INBOUND_ANSWER_MS;
	mesh_want(m, t->until);
	wire_put_dial_back(&b, t->token, t->addresses);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* A peer that did not or could not try is not asked again at once. */
static void
inbound_put_off(struct mesh *m, struct mesh_link *l)
{
	if (l != NULL)
		l->node->ask_after = m->now + MESH_INBOUND_AGAIN_MS;
	inbound_ask_at(m, m->now);
}

bool
mesh_frame_dialled(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct mesh_test *t = &m->test;
	enum wire_dialled result;
	uint64_t token;

	if (wire_read_dialled(payload, &token, &result) < 0)
		return mesh_malformed(m, l, "a DIALLED");
	if (t->link != l->id || t->token != token)
		return true; /* of a question that is over */
	if (result == WIRE_DIALLED_NOT) {
		inbound_put_off(m, l);
	} else if (result == WIRE_DIALLED_REACHED) {
		inbound_found(m, MESH_INBOUND_YES);
		inbound_ask_at(m, m->now + MESH_INBOUND_MS);
	} else if (t->has_failed) {
		inbound_found(m, MESH_INBOUND_NO);
		inbound_ask_at(m, m->now + MESH_INBOUND_MS);
	} else {
		t->has_failed = true;
		t->failed = l->node->id;
		inbound_ask_at(m, m->now);
	}
	return true;
}

/* ---- dialling back ---- */

static void
probe_answer(struct mesh *m, struct mesh_link *l, uint64_t token,
	     enum wire_dialled result)
{
	struct buf b = BUF_INIT;

	wire_put_dialled(&b, token, result);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

static void
probe_end(struct mesh *m, struct mesh_probe *p, enum wire_dialled result)
{
	struct mesh_link *l = mesh_link_find(m, p->link);

	if (l != NULL)
		probe_answer(m, l, p->token, result);
	mesh_act(m, MESH_ACTION_PROBE_END, p->number);
	*p = (struct mesh_probe){ 0 };
}

static struct mesh_probe *
probe_find(struct mesh *m, uint64_t number)
{
	for (int i = 0; i < MESH_PROBES_MAX; i++)
		if (m->probes[i].number == number)
			return &m->probes[i];
	return NULL;
}

void
mesh_probed(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_probe *p = probe_find(m, e->link);

	/* What failed is told when the time is over: see mesh.h. */
	if (e->link != 0 && p != NULL && id_equal(&p->node, &e->node))
		probe_end(m, p, WIRE_DIALLED_REACHED);
}

static void
probe_begin(struct mesh *m, struct mesh_probe *p, const struct mesh_link *l,
	    uint64_t token)
{
	struct mesh_node *n = l->node;

	*p = (struct mesh_probe){
		.number = ++m->last_probe,
		.link = l->id,
		.token = token,
		.node = n->id,
		.until = m->now + MESH_PROBE_MS,
	};
	n->dialled_back = m->now + MESH_DIAL_BACK_MS;
	mesh_want(m, p->until);
	for (int i = 0; i < n->addresses_len; i++) {
		struct mesh_item *item = mesh_act(m, MESH_ACTION_PROBE, p->number);

		item->action.node = n->id;
		mesh_act_text(item, n->addresses[i], &item->action.address);
	}
}

bool
mesh_frame_dial_back(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct mesh_node *n = l->node;
	struct mesh_probe *p = probe_find(m, 0);
	uint64_t token, addresses;

	if (wire_read_dial_back(payload, &token, &addresses) < 0)
		return mesh_malformed(m, l, "a DIAL_BACK");
	if (!mesh_rate_pass(m, &l->dial_backs, MESH_DIAL_BACKS_MAX)) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"more than %d DIAL_BACKs a second", MESH_DIAL_BACKS_MAX);
		return false;
	}
	if (p == NULL || n->addresses_len == 0 || n->dialled_back > m->now ||
	    addresses != wire_addresses_digest((const char *const *)n->addresses,
					       n->addresses_len))
		probe_answer(m, l, token, WIRE_DIALLED_NOT);
	else
		probe_begin(m, p, l, token);
	return true;
}

/* ---- time ---- */

void
mesh_inbound_tick(struct mesh *m)
{
	struct mesh_test *t = &m->test;

	for (int i = 0; i < MESH_PROBES_MAX; i++) {
		struct mesh_probe *p = &m->probes[i];

		if (p->number != 0 && p->until <= m->now)
			probe_end(m, p, WIRE_DIALLED_FAILED);
		else if (p->number != 0)
			mesh_want(m, p->until);
	}
	if (t->link != 0 && t->until <= m->now)
		inbound_put_off(m, mesh_link_find(m, t->link));
	if (t->link == 0 && t->due != 0 && t->due <= m->now)
		inbound_ask(m);
	else if (t->link != 0 || t->due != 0)
		mesh_want(m, t->link != 0 ? t->until : t->due);
}
