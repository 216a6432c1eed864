/* SPDX-License-Identifier: Apache-2.0 */
/* What is held against a node, and when that is a verdict: who watches it and does not hear it
 * says so, once for each of its incarnations; so many votes are a quorum, and stand when they
 * were not refuted in time. Fewer are waited for longer, and less with each: the curve is that
 * of Lifeguard (see beats.c). */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mesh/core.h"

/* ---- what is held ---- */

struct mesh_evidence *
mesh_evidence_get(struct mesh_node *n)
{
	if (n->evidence == NULL)
		n->evidence = mem_calloc(1, sizeof(*n->evidence));
	return n->evidence;
}

void
mesh_evidence_free(struct mesh_node *n)
{
	if (n->evidence != NULL)
		free(n->evidence->votes);
	free(n->evidence);
	n->evidence = NULL;
}

enum mesh_verdict
mesh_node_verdict(const struct mesh_node *n)
{
	return n->evidence != NULL ? n->evidence->verdict : MESH_VERDICT_NONE;
}

/* Of one that was judged, in the sum over all. */
static uint64_t
verdict_weight(const struct mesh_node *n)
{
	uint8_t text[ID_BYTES + 8 + 1];
	enum mesh_verdict verdict = mesh_node_verdict(n);

	if (verdict == MESH_VERDICT_NONE)
		return 0;
	for (int i = 0; i < ID_BYTES; i++)
		text[i] = n->id.b[i];
	put_be64(text + ID_BYTES, n->incarnation);
	text[ID_BYTES + 8] = (uint8_t)verdict;
	return hash64(bytes_of(text, sizeof(text)), 0);
}

void
mesh_node_set_verdict(struct mesh *m, struct mesh_node *n, enum mesh_verdict verdict)
{
	m->liveness -= verdict_weight(n);
	mesh_evidence_get(n)->verdict = verdict;
	m->liveness += verdict_weight(n);
	n->judged_at = m->now;
	n->dead_at = 0;
}

void
mesh_evidence_clear(struct mesh *m, struct mesh_node *n)
{
	struct mesh_evidence *e = n->evidence;

	n->dead_at = 0;
	if (e == NULL)
		return;
	if (e->len > 0)
		mesh_reach_changed(m);
	mesh_node_set_verdict(m, n, MESH_VERDICT_NONE);
	free(e->votes);
	e->votes = NULL;
	e->len = 0;
	e->first_at = e->enough_at = 0;
}

void
mesh_node_raise(struct mesh *m, struct mesh_node *n, uint64_t incarnation)
{
	if (incarnation <= n->incarnation)
		return;
	mesh_evidence_clear(m, n);
	n->incarnation = incarnation;
	n->is_voting = false;
}

/* ---- votes ---- */

const struct mesh_ballot *
mesh_vote_of(const struct mesh_node *n, const struct id *observer)
{
	const struct mesh_evidence *e = n->evidence;

	for (int i = 0; e != NULL && i < e->len; i++)
		if (id_equal(&e->votes[i].vote.observer, observer))
			return &e->votes[i];
	return NULL;
}

int
mesh_votes_counted(const struct mesh_node *n)
{
	const struct mesh_evidence *e = n->evidence;
	int votes = 0;

	for (int i = 0; e != NULL && i < e->len; i++)
		votes += !e->votes[i].is_isolated;
	return votes;
}

static int
votes_judged(const struct mesh_node *n)
{
	const struct mesh_evidence *e = n->evidence;
	int votes = 0;

	for (int i = 0; i < e->len; i++)
		votes += !e->votes[i].is_isolated && e->votes[i].is_judged;
	return votes;
}

int
mesh_quorum(const struct mesh *m, const struct mesh_node *n)
{
	struct mesh_node *nodes[MESH_NEIGHBOURS_MAX];
	int observers = mesh_neighbours(m, n, mesh_is_standing, nodes);
	int quorum = (observers + 1) / 2;

	return quorum < 1 ? 1 : quorum > MESH_QUORUM_MAX ? MESH_QUORUM_MAX : quorum;
}

/* FEW - (FEW - DEAD) × log(votes) / log(quorum). */
ms_t
mesh_votes_ms(int votes, int quorum)
{
	if (votes >= quorum)
		return MESH_DEAD_MS;
	if (votes == 2) /* of 3: log 2 / log 3 is 0.631 */
		return MESH_FEW_MS - (MESH_FEW_MS - MESH_DEAD_MS) * 631 / 1000;
	return MESH_FEW_MS;
}
_Static_assert(MESH_QUORUM_MAX == 3, "as the curve is written down");

/* The first that counts. */
static void
votes_begin(struct mesh *m, struct mesh_evidence *e)
{
	e->first_at = m->now;
	e->is_lost = false;
	for (int i = 0; i < e->len; i++)
		e->is_lost |= !e->votes[i].is_isolated && e->votes[i].is_lost;
}

/* Who votes because it hears nothing has waited for it. But a link may also end while its node
 * stands still for a moment: then MESH_DEAD_MS begin when enough say so, all others of whom
 * waited themselves, though no longer is waited than for fewer. Where one is enough, that is
 * waited here, while there is a link or a dial that hangs. Not so where a dial was refused. */
static ms_t
votes_stand_at(const struct mesh_node *n, int votes, int quorum)
{
	const struct mesh_evidence *e = n->evidence;
	ms_t at = e->first_at + mesh_votes_ms(votes, quorum);
	ms_t few = e->first_at + mesh_votes_ms(quorum - 1, quorum);

	if (votes < quorum || !e->is_lost || n->is_refused)
		return at;
	at = e->enough_at + MESH_DEAD_MS;
	if (quorum == 1 && n->links > 0)
		at += MESH_CHECK_MS;
	return at < few ? at : few;
}

/* When is what is held a verdict? What came as one has been waited for. */
static void
votes_weigh(struct mesh *m, struct mesh_node *n)
{
	struct mesh_evidence *e = n->evidence;
	int votes = mesh_votes_counted(n), quorum;

	n->dead_at = 0;
	if (votes == 0 || e->verdict != MESH_VERDICT_NONE)
		return;
	quorum = mesh_quorum(m, n);
	if (e->first_at == 0)
		votes_begin(m, e);
	if (votes < quorum)
		e->enough_at = 0;
	else if (e->enough_at == 0)
		e->enough_at = m->now;
	n->dead_at = votes_stand_at(n, votes, quorum);
	if (votes_judged(n) >= quorum)
		n->dead_at = m->now;
	mesh_want(m, n->dead_at);
}

bool
mesh_vote_add(struct mesh *m, struct mesh_node *n, const struct mesh_ballot *vote)
{
	struct mesh_evidence *e = mesh_evidence_get(n);
	int at = 0;

	while (at < e->len &&
	       !id_equal(&e->votes[at].vote.observer, &vote->vote.observer))
		at++;
	if (at == MESH_VOTES_MAX)
		return false;
	if (at < e->len && (!e->votes[at].is_isolated || vote->is_isolated)) {
		if (vote->is_judged && !vote->is_isolated) {
			e->votes[at].is_judged = true;
			votes_weigh(m, n);
		}
		return false;
	}
	if (at == e->len)
		e->votes = mem_realloc(e->votes, (size_t)++e->len, sizeof(e->votes[0]));
	e->votes[at] = *vote;
	mesh_reach_changed(m);
	votes_weigh(m, n);
	mesh_node_update(m, n);
	return true;
}

/* Votes of one who is no member any more, or watches nobody. */
static void
votes_drop(struct mesh *m, struct mesh_node *n, const struct id *observer)
{
	struct mesh_evidence *e = n->evidence;

	for (int i = 0; i < e->len; i++) {
		if (!id_equal(&e->votes[i].vote.observer, observer))
			continue;
		e->votes[i] = e->votes[--e->len];
		/* What nobody says any more is not so; who still watches it will see. */
		if (e->len == 0 && e->verdict == MESH_VERDICT_DEAD)
			mesh_evidence_clear(m, n);
		votes_weigh(m, n);
		mesh_reach_changed(m);
		mesh_node_update(m, n);
		return;
	}
}

void
mesh_evidence_end(struct mesh *m, struct mesh_node *gone)
{
	mesh_evidence_clear(m, gone);
	mesh_evidence_free(gone);
	gone->vote_due = gone->lost_at = 0;
	gone->is_voting = false;
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next)
		if (n->evidence != NULL)
			votes_drop(m, n, &gone->id);
}

/* ---- ours ---- */

void
mesh_votes_withdraw(struct mesh *m)
{
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		n->is_voting = false;
		n->vote_due = 0;
		if (n->evidence != NULL)
			votes_drop(m, n, &m->self.id);
	}
}

/* Of a leaf only those tell who can be its homes: a node that does not know yet whether it is
 * one itself says nothing. */
bool
mesh_vote_is_ours(const struct mesh *m, const struct mesh_node *n)
{
	return !mesh_is_leaf(m) && mesh_is_voter(m, n, &m->self) &&
	       (n->inbound != MESH_INBOUND_NO || m->test.found == MESH_INBOUND_YES);
}

bool
mesh_is_isolated(const struct mesh *m)
{
	return m->is_isolated;
}

/* Of those whom we watch. */
struct isolation {
	int all, lost, up;
};

static void
isolation_count(const struct mesh *m, const struct mesh_node *n, struct isolation *count)
{
	const struct mesh_link *l = mesh_link_find(m, n->link);
	bool is_mute = l != NULL && (l->has_failed || mesh_link_is_mute(m, l));

	count->all++;
	if (l != NULL && !is_mute)
		count->up += m->now - l->since >= MESH_ISOLATED_MS;
	else
		count->lost += is_mute || (n->lost_at != 0 &&
					   m->now - n->lost_at < MESH_ISOLATED_MS);
}

void
mesh_isolation_update(struct mesh *m)
{
	struct mesh_node *near[MESH_NEIGHBOURS_MAX];
	struct isolation count = { 0 };
	int len;

	if (mesh_is_leaf(m)) {
		m->is_isolated = false;
		return;
	}
	len = mesh_neighbours(m, &m->self, mesh_is_standing, near);
	for (struct mesh_node *n = m->nodes; n != NULL; n = n->hh.next) {
		bool is_near = false;

		for (int i = 0; i < len; i++)
			is_near |= near[i] == n;
		if (is_near || ((n->link != 0 || n->lost_at != 0) &&
				n->inbound != MESH_INBOUND_NO && mesh_watches(m, n)))
			isolation_count(m, n, &count);
	}
	if (count.all >= 3 && 2 * count.lost > count.all) {
		if (!m->is_isolated)
			mesh_link_probe_all(m);
		m->is_isolated = true;
	} else if (count.all < 3 || 2 * count.up > count.all) {
		m->is_isolated = false;
	}
}

void
mesh_revote_later(struct mesh *m, struct mesh_node *n)
{
	n->revote_ms = n->revote_ms == 0 ? MESH_REVOTE_MS : 2 * n->revote_ms;
	if (n->revote_ms > MESH_REVOTE_MS_MAX)
		n->revote_ms = MESH_REVOTE_MS_MAX;
	n->revote_at = m->now + n->revote_ms;
	mesh_want(m, n->revote_at);
}

void
mesh_vote(struct mesh *m, struct mesh_node *n)
{
	const struct mesh_ballot *held = mesh_vote_of(n, &m->config.self);
	bool is_lost = n->vote_due != 0 && !n->is_refused;

	n->vote_due = 0;
	if (m->is_stopped || n->is_gone || n->has_left || n->is_voting ||
	    mesh_node_verdict(n) != MESH_VERDICT_NONE || !mesh_vote_is_ours(m, n)) {
		mesh_node_update(m, n);
		return;
	}
	mesh_isolation_update(m);
	if (held == NULL || (held->is_isolated && !m->is_isolated)) {
		n->is_voting = true;
		if (!m->is_isolated)
			mesh_revote_later(m, n);
		mesh_sign_vote(m, n, m->is_isolated, is_lost);
	}
	mesh_node_update(m, n);
}

void
mesh_vote_join(struct mesh *m, struct mesh_node *n, bool is_isolated)
{
	struct mesh_link *l = mesh_link_find(m, n->link);

	/* Who is cut off accuses nobody, but we may be so with it: that is to be found out
	 * before a beat of each of those beyond the cut was due here. */
	if (l != NULL && !l->has_failed)
		mesh_link_check(m, l);
	else if (!is_isolated && n->lost_at != 0 && n->suspect_at == 0 && n->is_watched)
		mesh_vote(m, n);
}

void
mesh_node_mute(struct mesh *m, struct mesh_node *n)
{
	if (n->lost_at == 0)
		n->lost_at = m->now;
	mesh_reach_changed(m);
	if (mesh_watches(m, n) && n->revote_at <= m->now)
		mesh_vote(m, n);
	mesh_node_update(m, n);
}

void
mesh_node_linked(struct mesh *m, struct mesh_node *n, struct mesh_link *l)
{
	struct buf b = BUF_INIT;

	n->has_said_goodbye = n->is_voting = n->is_refused = false;
	n->lost_at = n->vote_due = n->suspect_at = n->revote_at = n->revote_ms = 0;
	mesh_node_found(m, n);
	mesh_node_update(m, n);
	/* What was said of it meanwhile it is to hear, and to refute. */
	mesh_put_proofs(n, &b);
	if (b.len > 0)
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

static bool
node_is_greeting(const struct mesh *m, const struct mesh_node *n)
{
	for (const struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->node == n && l->state == MESH_LINK_GREETING)
			return true;
	return false;
}

static void
node_lost(struct mesh *m, struct mesh_node *n, ms_t wait)
{
	if (n->lost_at != 0)
		return; /* it was not heard before, and that was said */
	n->lost_at = m->now;
	if (mesh_watches(m, n) && !mesh_is_leaf(m) && n->revote_at <= m->now) {
		n->vote_due = m->now + wait;
		mesh_want(m, n->vote_due);
	}
}

/* It has ended the link since it does not hear us, while we heard it: it is there, and the fault
 * is most likely ours, who stood still. */
bool
mesh_node_is_deaf(const struct mesh_node *n, uint8_t goodbye)
{
	return goodbye == WIRE_GOODBYE_SILENT && n->lost_at == 0 &&
	       mesh_node_verdict(n) == MESH_VERDICT_NONE;
}

void
mesh_node_unlinked(struct mesh *m, struct mesh_node *n, uint8_t goodbye)
{
	mesh_reach_changed(m);
	if (goodbye == WIRE_GOODBYE_LEAVING) {
		/* Those who are not linked to it believe its signature, or votes. */
		node_lost(m, n, 0);
		n->has_said_goodbye = true;
	} else if (goodbye == WIRE_GOODBYE_CLOCK ||
		   (goodbye == WIRE_GOODBYE_DUPLICATE && node_is_greeting(m, n))) {
		n->suspect_at = m->now + MESH_HANDOVER_MS;
		mesh_want(m, n->suspect_at);
	} else if (mesh_node_is_deaf(n, goodbye)) {
		n->suspect_at = m->now + MESH_HANDOVER_MS;
		n->revote_at = m->now + MESH_REVOTE_MS;
		mesh_want(m, n->suspect_at);
	} else if (goodbye != WIRE_GOODBYE_IDLE) {
		node_lost(m, n, MESH_RELINK_MS);
	}
	mesh_node_update(m, n);
}

void
mesh_node_not_found(struct mesh *m, struct mesh_node *n)
{
	if (n->link != 0 || n->is_gone || n->suspect_at != 0)
		return;
	if (n->lost_at == 0 && n->is_watched && m->now - n->watched_at >= MESH_KNOWN_MS)
		n->lost_at = m->now;
	n->is_refused = n->lost_at != 0;
	if (n->is_refused && n->evidence != NULL)
		votes_weigh(m, n);
	/* There is no need to wait for it to come back. */
	if (n->vote_due != 0) {
		n->vote_due = m->now;
		mesh_want(m, m->now);
	}
}

/* ---- time ---- */

/* What we hear ourselves counts for more than what others say. It is told what is said, so
 * that it refutes it. False: we do not hear it either. A node that is slow waits longer for an
 * answer of its own, but not beyond the time in which the votes of others were to be refuted. */
static bool
node_is_heard(struct mesh *m, struct mesh_node *n)
{
	ms_t wait = mesh_check_ms(m) < MESH_DEAD_MS ? mesh_check_ms(m) : MESH_DEAD_MS;
	struct mesh_link *l = mesh_link_find(m, n->link);
	struct buf b = BUF_INIT;

	if (l == NULL || l->has_failed)
		return false;
	if (l->heard > n->evidence->first_at) {
		mesh_put_proofs(n, &b);
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
		buf_fini(&b);
		n->evidence->first_at = n->evidence->enough_at = m->now;
		n->dead_at = m->now + MESH_DEAD_MS;
	} else {
		n->dead_at = (l->pinged_at != 0 ? l->mute_since : m->now) + wait + 1;
		if (n->dead_at <= m->now)
			return false;
	}
	mesh_link_check(m, l);
	mesh_want(m, n->dead_at);
	return true;
}

/* Enough said so, and it did not refute. */
static void
node_judge(struct mesh *m, struct mesh_node *n)
{
	struct buf b = BUF_INIT;

	if (node_is_heard(m, n))
		return;
	mesh_node_set_verdict(m, n, MESH_VERDICT_DEAD);
	if (votes_judged(n) >= mesh_quorum(m, n)) {
		mesh_put_proofs(n, &b);
		mesh_flood(m, buf_bytes(&b), 0);
		buf_fini(&b);
	}
	mesh_node_update(m, n);
	/* Whatever it carried is cut off. */
	for (struct mesh_link *l = m->links; l != NULL;) {
		bool is_its = l->node == n && l->state == MESH_LINK_UP;

		if (is_its)
			mesh_link_close(m, l, WIRE_GOODBYE_SILENT, "the node is dead");
		l = is_its ? m->links : l->hh.next;
	}
}

/* It should be linked to us by now. */
static bool
node_is_missing(struct mesh *m, const struct mesh_node *n)
{
	if (n->lost_at != 0 || n->link != 0 || n->suspect_at != 0 || !n->is_watched)
		return false;
	if (m->now - n->watched_at < MESH_KNOWN_MS) {
		mesh_want(m, n->watched_at + MESH_KNOWN_MS);
		return false;
	}
	return true;
}

/* We do not hear it, and have not said so yet, or only that we are isolated. */
static bool
node_is_to_be_voted(const struct mesh *m, const struct mesh_node *n)
{
	const struct mesh_ballot *held = mesh_vote_of(n, &m->config.self);

	return n->lost_at != 0 && n->revote_at <= m->now && n->is_watched &&
	       !mesh_node_is_linked(m, n) && !n->is_voting && n->suspect_at == 0 &&
	       mesh_node_verdict(n) == MESH_VERDICT_NONE &&
	       (held == NULL || (held->is_isolated && !m->is_isolated));
}

void
mesh_votes_tick(struct mesh *m, struct mesh_node *n)
{
	if (n->suspect_at != 0 && n->suspect_at <= m->now) {
		n->suspect_at = 0;
		node_lost(m, n, 0);
		mesh_node_update(m, n);
	}
	if (node_is_missing(m, n))
		n->lost_at = m->now;
	if (n->vote_due != 0 ? n->vote_due <= m->now : node_is_to_be_voted(m, n))
		mesh_vote(m, n);
	if (n->dead_at != 0 && n->dead_at <= m->now)
		node_judge(m, n);
	if (n->suspect_at != 0)
		mesh_want(m, n->suspect_at);
	if (n->vote_due != 0)
		mesh_want(m, n->vote_due);
	if (n->dead_at != 0)
		mesh_want(m, n->dead_at);
	if (n->lost_at != 0 && n->revote_at > m->now)
		mesh_want(m, n->revote_at);
}
