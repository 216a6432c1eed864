/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats, and what is done when one does not come.
 *
 * A node sends one a second, in turn to those that it watches, and says in each by when the
 * next one comes: that it keeps, and one of them was told of each of its seconds. So the first
 * of its watchers misses one within a second, however many there are, and whatever becomes of
 * other links. That one PINGs it, and asks two other watchers, who PING it too. To see whether
 * the fault is its own it PINGs the others of whom it heard nothing for a second as well. What
 * comes of it is votes.c's. A node that is slow itself (its ticks come late, or others heard
 * what it did not) asks as soon, but waits longer for an answer: Dadgar, Phillips, Currey:
 * "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2018. */
#include "config.h"

#include "mesh/core.h"

enum { BEATS_ASKED = 2 };

/* ---- who ---- */

bool
mesh_watches(const struct mesh *m, const struct mesh_node *n)
{
	if (!mesh_is_standing(m, n, n))
		return false;
	if (mesh_is_leaf(m))
		return mesh_is_neighbour_of(m, &m->self, n);
	return mesh_is_neighbour_of(m, n, &m->self) ||
	       (n->inbound != MESH_INBOUND_NO && mesh_is_neighbour_of(m, &m->self, n));
}

static bool
link_is_of_node(const struct mesh_link *l)
{
	return l->state == MESH_LINK_UP && l->node->link == l->id;
}

ms_t
mesh_check_ms(const struct mesh *m)
{
	return (ms_t)MESH_CHECK_MS * (1 + m->health);
}

bool
mesh_link_is_mute(const struct mesh *m, const struct mesh_link *l)
{
	return l->pinged_at != 0 && m->now - l->mute_since >= mesh_check_ms(m);
}

void
mesh_health_add(struct mesh *m, int n)
{
	m->health += n;
	if (m->health < 0)
		m->health = 0;
	if (m->health > MESH_HEALTH_MAX)
		m->health = MESH_HEALTH_MAX;
	m->health_due = m->now + MESH_HEALTH_MS;
	if (m->health > 0)
		mesh_want(m, m->health_due);
}

void
mesh_health_stalled(struct mesh *m)
{
	if (m->stalled_at != 0 && m->now - m->stalled_at < MS_SECOND)
		return;
	m->stalled_at = m->now;
	mesh_health_add(m, 1);
}

/* ---- ours ---- */

static bool
beat_is_slow(struct mesh *m, struct mesh_link *l)
{
	if (l->slow_view != m->view) {
		l->slow_view = m->view;
		l->is_slow = !mesh_watches(m, l->node) ||
			     l->node->inbound == MESH_INBOUND_NO;
	}
	return l->is_slow || !link_is_of_node(l);
}

/* Is it one of those over which there is a beat each second? */
static bool
beat_has_turn(struct mesh *m, struct mesh_link *l)
{
	return l->state == MESH_LINK_UP && l->retired_at == 0 && !beat_is_slow(m, l);
}

static bool
beat_is_free(struct mesh *m, ms_t at)
{
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->beat_due == at && !l->is_told_slow && beat_has_turn(m, l))
			return false;
	return true;
}

static void
beat_send(struct mesh *m, struct mesh_link *l, int seconds)
{
	enum wire_status belief = mesh_held_status(l->node);
	uint64_t word = m->word & ~(UINT64_C(0xffff) << 8);
	struct buf b = BUF_INIT;

	if (belief == WIRE_STATUS_UNKNOWN)
		belief = WIRE_STATUS_ALIVE;
	wire_put_heartbeat(&b, word | (m->liveness & 0xffff) << 8, belief, seconds);
	mesh_send(m, l, WIRE_CLASS_HEARTBEAT, buf_bytes(&b));
	buf_fini(&b);
}

static void
beat_send_slow(struct mesh *m, struct mesh_link *l, ms_t from)
{
	l->is_told_slow = true;
	l->beat_due = from + MESH_BEAT_SLOW_MS;
	beat_send(m, l, MESH_BEAT_SLOW_MS / MS_SECOND);
}

/* The next one comes at the next whole second, and says more. */
static void
beat_send_early(struct mesh *m, struct mesh_link *l)
{
	l->is_told_slow = false;
	l->beat_due = m->beat_due;
	beat_send(m, l, MESH_BEAT_MS / MS_SECOND);
}

/* At the whole second `at`: the next one comes at the first for which nobody waits yet. While
 * nothing changes that is when all others had their turn; where a link has ended it is the
 * second that this one had, so that none stays empty. */
static void
beat_send_turn(struct mesh *m, struct mesh_link *l, ms_t at)
{
	int seconds = 1;

	l->is_told_slow = false;
	l->beat_due = at;
	while (seconds < WIRE_BEAT_SECONDS_MAX &&
	       !beat_is_free(m, at + (ms_t)seconds * MESH_BEAT_MS))
		seconds++;
	l->beat_due = at + (ms_t)seconds * MESH_BEAT_MS;
	beat_send(m, l, seconds);
}

void
mesh_beat_link_up(struct mesh *m, struct mesh_link *l)
{
	l->expect = m->now + MESH_BEAT_FIRST_MS;
	if (beat_is_slow(m, l))
		beat_send_slow(m, l, m->beat_due - MESH_BEAT_MS);
	else
		beat_send_early(m, l);
}

/* Those whose time has come, at the whole second `at`. */
static void
beat_send_due(struct mesh *m, ms_t at)
{
	/* In a process that stood still that was long ago: what would be told as counted from it
	 * would be more than the other end has to wait, which would miss it that much later. */
	bool is_late = m->now - at >= MESH_BEAT_MS;

	at += (m->now - at) / MESH_BEAT_MS * MESH_BEAT_MS;
	m->beat_due = at + MESH_BEAT_MS;
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->state != MESH_LINK_UP || l->retired_at != 0)
			continue;
		if (l->beat_due > at && (!l->is_told_slow || beat_is_slow(m, l)))
			continue;
		if (beat_is_slow(m, l))
			beat_send_slow(m, l, at);
		else if (is_late)
			beat_send_early(m, l);
		else
			beat_send_turn(m, l, at);
	}
}

/* Nobody waits for the next whole second, since a link has ended, or its node does not watch us
 * any more: then the one that would wait longest gets a beat before its time. One that comes
 * early does no harm, while a second for which nobody waits is one that we could be gone for
 * longer and nobody would notice. */
static void
beat_fill(struct mesh *m)
{
	struct mesh_link *last = NULL;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (!beat_has_turn(m, l))
			continue;
		if (l->beat_due == m->beat_due && !l->is_told_slow)
			return;
		if (last == NULL || l->beat_due > last->beat_due)
			last = l;
	}
	if (last != NULL)
		beat_send_early(m, last);
}

void
mesh_beat_tick(struct mesh *m)
{
	if (m->beat_due <= m->now)
		beat_send_due(m, m->beat_due);
	beat_fill(m);
	mesh_want(m, m->beat_due);
}

/* ---- those of others ---- */

static void
beat_compare_sums(struct mesh *m, struct mesh_link *l, uint64_t word)
{
	if ((word >> 8 & 0xffff) == (m->liveness & 0xffff)) {
		l->sum_differs = 0;
	} else if (++l->sum_differs >= 2) {
		l->sum_differs = 0;
		mesh_exchange(m, l);
	}
}

void
mesh_beat_arrived(struct mesh *m, struct mesh_link *l, uint64_t word, uint8_t flags)
{
	enum wire_status belief = (enum wire_status)(flags & WIRE_FLAGS_STATUS);
	int seconds = wire_beat_seconds(flags);
	struct mesh_item *item;

	l->expect = m->now +
		    (seconds > 0 ? (ms_t)seconds * MS_SECOND : (ms_t)MESH_BEAT_FIRST_MS);
	if (l->retired_at != 0)
		return;
	beat_compare_sums(m, l, word);
	if (belief == WIRE_STATUS_SUSPECT || belief == WIRE_STATUS_DEAD)
		mesh_doubted(m);
	if (l->is_rowless)
		return;
	item = mesh_act(m, MESH_ACTION_ROOT_HEARD, l->id);
	item->action.node = l->node->id;
	item->action.word = word & ~(UINT64_C(0xffff) << 8);
}

/* ---- asking ---- */

static void
about_send(struct mesh *m, struct mesh_link *l, enum wire_type type,
	   const struct id *subject)
{
	struct buf b = BUF_INIT;

	wire_put_about(&b, type, subject);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* Two of those who watch it, each with the same chance. */
static void
about_ask(struct mesh *m, const struct mesh_node *n)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	struct mesh_link *found[MESH_NEIGHBOURS_MAX];
	int len = mesh_neighbours(m, n, mesh_is_standing, nodes), links = 0;

	for (int i = 0; i < len; i++) {
		struct mesh_link *l = mesh_link_find(m, nodes[i]->link);

		if (l != NULL && l->pinged_at == 0)
			found[links++] = l;
	}
	for (int i = 0; i < BEATS_ASKED && links > 0; i++) {
		int at = (int)rng_below(&m->rng, (uint64_t)links);

		about_send(m, found[at], WIRE_ASK, &n->id);
		found[at] = found[--links];
	}
}

static void
link_ping(struct mesh *m, struct mesh_link *l)
{
	mesh_ping(m, l);
	l->pinged_at = m->now;
	if (l->mute_since == 0)
		l->mute_since = m->now;
	mesh_want(m, m->now + mesh_check_ms(m));
}

static void
link_probe(struct mesh *m, struct mesh_link *l)
{
	if (l->pinged_at != 0 || !link_is_of_node(l))
		return;
	l->is_probe = true;
	l->is_heard_elsewhere = false;
	link_ping(m, l);
}

/* Do we hear the others? */
static void
link_probe_others(struct mesh *m, const struct mesh_link *one)
{
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l != one && l->state == MESH_LINK_UP && !beat_is_slow(m, l))
			link_probe(m, l);
}

void
mesh_link_probe_all(struct mesh *m)
{
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP)
			link_probe(m, l);
}

/* Our own question: others are asked, too. */
static void
link_ask(struct mesh *m, struct mesh_link *l)
{
	l->is_probe = l->is_heard_elsewhere = false;
	link_ping(m, l);
	/* A leaf watches nobody, and asks the next one when this one does not answer. */
	if (!link_is_of_node(l) || mesh_is_leaf(m))
		return;
	about_ask(m, l->node);
	link_probe_others(m, l);
}

void
mesh_link_check(struct mesh *m, struct mesh_link *l)
{
	if (l->pinged_at != 0) {
		l->is_probe = false;
		return;
	}
	if (m->now - l->heard < MS_SECOND)
		return;
	l->is_probe = l->is_heard_elsewhere = false;
	link_ping(m, l);
	link_probe_others(m, l);
}

static void
about_asked(struct mesh *m, struct mesh_link *asker, const struct id *subject)
{
	struct mesh_node *n = mesh_node_find(m, subject);
	struct mesh_link *l = n != NULL ? mesh_link_find(m, n->link) : NULL;

	if (l == NULL || l == asker || !mesh_rate_pass(m, &asker->asks, MESH_ASKS_MAX))
		return;
	if (m->now - l->heard < MS_SECOND) {
		about_send(m, asker, WIRE_HEARD, subject);
		return;
	}
	for (int i = 0; i < l->askers_len; i++)
		if (l->askers[i] == asker->id)
			return;
	if (l->askers_len < MESH_ASKERS_MAX)
		l->askers[l->askers_len++] = asker->id;
	mesh_link_check(m, l);
}

static void
about_heard(struct mesh *m, const struct id *subject)
{
	struct mesh_node *n = mesh_node_find(m, subject);
	struct mesh_link *l = n != NULL ? mesh_link_find(m, n->link) : NULL;

	if (l != NULL && l->pinged_at != 0)
		l->is_heard_elsewhere = true;
}

bool
mesh_frame_about(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct id subject;

	if (wire_read_about(f->payload, &subject) < 0)
		return mesh_malformed(m, l, "an ASK or HEARD");
	if (f->type == WIRE_ASK)
		about_asked(m, l, &subject);
	else
		about_heard(m, &subject);
	return true;
}

void
mesh_link_heard(struct mesh *m, struct mesh_link *l)
{
	m->heard = l->heard = m->now;
	/* A beat that is late is waited for once more. */
	if (l->pinged_at != 0 && l->expect < m->now + MESH_LATE_BEAT_MS)
		l->expect = m->now + MESH_LATE_BEAT_MS;
	l->pinged_at = l->mute_since = 0;
	for (int i = 0; i < l->askers_len; i++) {
		struct mesh_link *asker = mesh_link_find(m, l->askers[i]);

		if (asker != NULL && asker->state == MESH_LINK_UP)
			about_send(m, asker, WIRE_HEARD, &l->node->id);
	}
	l->askers_len = 0;
	if (!link_is_of_node(l)) {
		l->has_failed = false;
		return;
	}
	l->node->revote_at = 0;
	/* It may have been another link that failed. */
	if (l->has_failed || l->node->lost_at != 0) {
		l->has_failed = false;
		l->node->lost_at = l->node->vote_due = 0;
		mesh_reach_changed(m);
		mesh_node_update(m, l->node);
	}
}

/* ---- time ---- */

/* Nothing came in time. */
static void
link_check_failed(struct mesh *m, struct mesh_link *l)
{
	if (l->is_probe) {
		mesh_isolation_update(m);
		if (!m->is_isolated) {
			link_ask(m, l);
			return;
		}
	}
	l->askers_len = 0;
	if (l->is_heard_elsewhere) {
		mesh_health_add(m, 1);
		link_ask(m, l);
		return;
	}
	l->has_failed = true;
	if (link_is_of_node(l))
		mesh_node_mute(m, l->node);
}

/* A leaf gets a beat from each home twice a minute: whether it is cut off it asks one of them,
 * and if that does not answer all. */
static ms_t
leaf_asks_at(const struct mesh *m)
{
	if (m->leaf_asked > m->heard)
		return m->leaf_asked + mesh_check_ms(m);
	return m->heard + MESH_LEAF_SILENT_MS;
}

/* When it is to be asked after. */
static ms_t
link_late_at(const struct mesh *m, const struct mesh_link *l)
{
	ms_t late = (l->expect > l->heard ? l->expect : l->heard) + MESH_LATE_BEAT_MS;

	return mesh_is_leaf(m) && late > leaf_asks_at(m) ? leaf_asks_at(m) : late;
}

bool
mesh_link_tick_silence(struct mesh *m, struct mesh_link *l)
{
	ms_t late = link_late_at(m, l), failed;

	/* Also while a PING is out by which only we ourselves were to be tried: it holds up
	 * nobody. */
	if ((l->pinged_at == 0 || l->is_probe) && late <= m->now) {
		if (m->leaf_asked <= m->heard)
			m->leaf_asked = m->now;
		link_ask(m, l);
	} else if (l->pinged_at == 0 || l->is_probe) {
		mesh_want(m, late);
	}
	if (l->pinged_at == 0)
		return false;
	failed = l->pinged_at + mesh_check_ms(m);
	if (m->now - l->mute_since >= MESH_SILENT_MS) {
		mesh_link_close(m, l, WIRE_GOODBYE_SILENT,
				"nothing was heard for %lld ms",
				(long long)(m->now - l->heard));
		return true;
	}
	mesh_want(m, l->mute_since + MESH_SILENT_MS);
	/* A leaf accuses nobody: for it a link is there until it is closed. */
	if (mesh_is_leaf(m))
		return false;
	if (!l->has_failed && failed <= m->now)
		link_check_failed(m, l);
	else if (!l->has_failed)
		mesh_want(m, failed);
	return false;
}
