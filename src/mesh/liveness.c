/* SPDX-License-Identifier: Apache-2.0 */
/* Frames about who is there: read, checked, weighed (votes.c) and handed on; what this node
 * says of itself; and the exchange of what is held, over links whose ends differ. Signatures
 * are the driver's, one way and the other. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

#define INCARNATION_MAX (UINT64_MAX / 2) /* there is room above it */

/* ---- sending ---- */

void
mesh_flood(struct mesh *m, struct bytes frames, uint64_t origin)
{
	const struct mesh_link *from = mesh_link_find(m, origin);
	struct mesh_blob *blob = mesh_blob_new(frames);

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->node->link == l->id &&
		    (from == NULL || l->node != from->node))
			mesh_send_blob(m, l, WIRE_CLASS_CONTROL, blob);
	mesh_blob_release(blob);
}

/* What came from another is handed on by those that others come by. */
static void
relay(struct mesh *m, const struct wire_liveness *said, uint64_t origin)
{
	struct buf b = BUF_INIT;

	if (mesh_is_leaf(m))
		return;
	wire_put_liveness(&b, said);
	mesh_flood(m, buf_bytes(&b), origin);
	buf_fini(&b);
}

static void
put_votes(const struct mesh_node *n, struct buf *out)
{
	const struct mesh_evidence *e = n->evidence;

	for (int i = 0; i < e->len; i++) {
		struct wire_liveness said = { .type = WIRE_SUSPECT,
					      .is_isolated = e->votes[i].is_isolated,
					      .is_lost = e->votes[i].is_lost,
					      .subject = n->id,
					      .incarnation = n->incarnation,
					      .votes_len = 1 };

		said.votes[0] = e->votes[i].vote;
		wire_put_liveness(out, &said);
	}
}

static void
put_verdict(const struct mesh_node *n, struct buf *out)
{
	const struct mesh_evidence *e = n->evidence;
	struct wire_liveness said = { .type = WIRE_VERDICT,
				      .subject = n->id,
				      .incarnation = n->incarnation };

	for (int i = 0; i < e->len && said.votes_len < WIRE_VOTES_MAX; i++)
		if (!e->votes[i].is_isolated)
			said.votes[said.votes_len++] = e->votes[i].vote;
	if (said.votes_len > 0)
		wire_put_liveness(out, &said);
}

/* Its own word, if that is of its present incarnation. */
static bool
put_alive(const struct mesh_node *n, struct buf *out)
{
	const struct mesh_evidence *e = n->evidence;
	struct wire_liveness said = { .type = WIRE_ALIVE,
				      .subject = n->id,
				      .incarnation = n->incarnation };

	if (e == NULL || e->signed_incarnation == 0 ||
	    e->signed_incarnation != n->incarnation)
		return false;
	said.standing = e->standing;
	memcpy(said.signature, e->signature, sizeof(said.signature));
	wire_put_liveness(out, &said);
	return true;
}

void
mesh_put_proofs(const struct mesh_node *n, struct buf *out)
{
	if (n->evidence == NULL)
		return;
	if (n->evidence->verdict == MESH_VERDICT_LEFT)
		put_alive(n, out);
	else if (n->evidence->verdict == MESH_VERDICT_DEAD)
		put_verdict(n, out);
	else
		put_votes(n, out);
}

enum wire_status
mesh_held_status(const struct mesh_node *n)
{
	if (mesh_node_verdict(n) != MESH_VERDICT_NONE)
		return WIRE_STATUS_DEAD;
	if ((n->evidence != NULL && n->evidence->len > 0) || n->is_voting)
		return WIRE_STATUS_SUSPECT;
	return n->incarnation != 0 ? WIRE_STATUS_ALIVE : WIRE_STATUS_UNKNOWN;
}

/* ---- signatures ---- */

static struct mesh_signing *
signing_new(struct mesh *m, enum mesh_signing_type type, const struct wire_liveness *said)
{
	struct mesh_signing *s = mem_calloc(1, sizeof(*s));

	s->number = ++m->last_signing;
	s->type = type;
	s->said = *said;
	HASH_ADD(hh, m->signings, number, sizeof(s->number), s);
	return s;
}

static struct mesh_signing *
signing_find(const struct mesh *m, uint64_t number)
{
	struct mesh_signing *s;

	HASH_FIND(hh, m->signings, &number, sizeof(number), s);
	return s;
}

static void
signing_free(struct mesh *m, struct mesh_signing *s)
{
	HASH_DEL(m->signings, s);
	if (s->type == MESH_SIGNING_CHECK)
		HASH_DELETE(hh_digest, m->checks, s);
	free(s);
}

void
mesh_signings_free(struct mesh *m)
{
	while (m->signings != NULL)
		signing_free(m, m->signings);
}

static void
sign(struct mesh *m, enum mesh_signing_type type, const struct wire_liveness *said)
{
	struct mesh_signing *s = signing_new(m, type, said);
	struct mesh_item *item = mesh_act(m, MESH_ACTION_SIGN, 0);
	struct buf text = BUF_INIT;

	wire_put_liveness_signed(&text, &m->config.cluster, said, &m->config.self);
	item->blob = mesh_blob_new(buf_bytes(&text));
	item->action.number = s->number;
	item->action.data = bytes_of(item->blob->data, item->blob->len);
	buf_fini(&text);
}

void
mesh_sign_vote(struct mesh *m, struct mesh_node *n, bool is_isolated, bool is_lost)
{
	struct wire_liveness said = { .type = WIRE_SUSPECT,
				      .is_isolated = is_isolated,
				      .is_lost = is_lost,
				      .subject = n->id,
				      .incarnation = n->incarnation,
				      .votes_len = 1 };

	said.votes[0].observer = m->config.self;
	sign(m, MESH_SIGNING_VOTE, &said);
}

/* Check what `signer` said; the answer comes to check_done(). What comes again meanwhile, or is
 * one too many, is dropped: it comes by the exchange, if it is not refuted. */
static void
check(struct mesh *m, const struct mesh_link *l, const struct wire_liveness *said,
      bool is_judged)
{
	const uint8_t *signature = said->type == WIRE_ALIVE ? said->signature
							    : said->votes[0].signature;
	const struct id *signer = said->type == WIRE_ALIVE ? &said->subject
							   : &said->votes[0].observer;
	struct mesh_signing *s;
	struct mesh_item *item;
	struct buf b = BUF_INIT;
	size_t text;
	uint64_t digest;

	wire_put_liveness_signed(&b, &m->config.cluster, said, signer);
	text = b.len;
	buf_put(&b, signature, WIRE_SIGNATURE_BYTES);
	digest = hash64(buf_bytes(&b), 0);
	HASH_FIND(hh_digest, m->checks, &digest, sizeof(digest), s);
	if (s == NULL && HASH_CNT(hh_digest, m->checks) < MESH_VERIFIES_MAX) {
		s = signing_new(m, MESH_SIGNING_CHECK, said);
		s->link = l->id;
		s->is_judged = is_judged;
		s->digest = digest;
		HASH_ADD(hh_digest, m->checks, digest, sizeof(s->digest), s);
		item = mesh_act(m, MESH_ACTION_VERIFY, l->id);
		item->blob = mesh_blob_new(buf_bytes(&b));
		item->action.number = s->number;
		item->action.node = *signer;
		item->action.data = bytes_of(item->blob->data, text);
		item->action.signature = bytes_of(item->blob->data + text,
						  WIRE_SIGNATURE_BYTES);
	}
	buf_fini(&b);
}

/* ---- ourselves ---- */

static struct wire_liveness
own_word(const struct mesh *m, enum wire_standing standing)
{
	struct wire_liveness said = { .type = WIRE_ALIVE,
				      .subject = m->config.self,
				      .incarnation = m->incarnation,
				      .standing = standing };

	memcpy(said.signature,
	       standing == WIRE_STANDING_LEFT ? m->own.left : m->own.alive,
	       sizeof(said.signature));
	return said;
}

/* All are told, once it is signed. */
static void
own_say_alive(struct mesh *m)
{
	struct wire_liveness said = own_word(m, WIRE_STANDING_THERE);

	if (m->own.is_alive_asked || m->own.has_alive || m->is_stopped)
		return;
	m->own.is_alive_asked = true;
	sign(m, MESH_SIGNING_ALIVE, &said);
}

/* That it leaves is signed beforehand: at the end there is no time. */
static void
own_prepare_left(struct mesh *m)
{
	struct wire_liveness said = own_word(m, WIRE_STANDING_LEFT);

	if (m->own.is_left_asked || m->own.has_left)
		return;
	m->own.is_left_asked = true;
	sign(m, MESH_SIGNING_LEFT, &said);
}

static void
own_refute(struct mesh *m, uint64_t over)
{
	struct mesh_own *own = &m->own;

	if (over >= INCARNATION_MAX)
		return;
	if (over > own->refute_over)
		own->refute_over = over;
	if (m->now - own->refuted_at < MESH_REFUTE_MS && own->refuted_at != 0) {
		own->refute_due = own->refuted_at + MESH_REFUTE_MS;
		mesh_want(m, own->refute_due);
		return;
	}
	own->refute_due = 0;
	own->refuted_at = m->now;
	if (own->refute_over >= m->incarnation)
		m->incarnation = own->refute_over + 1;
	own->has_alive = own->has_left = false;
	own->is_alive_asked = own->is_left_asked = false;
	mesh_act(m, MESH_ACTION_INCARNATION, 0)->action.incarnation = m->incarnation;
	mesh_health_stalled(m);
	own_say_alive(m);
	own_prepare_left(m);
}

/* Somebody holds something against us, of that incarnation, or knows of no later one: it is
 * told, with a proof that it can hand on. */
static void
own_accused(struct mesh *m, struct mesh_link *l, uint64_t incarnation)
{
	struct wire_liveness said = own_word(m, WIRE_STANDING_THERE);
	struct buf b = BUF_INIT;

	if (incarnation >= m->incarnation) {
		own_refute(m, incarnation);
	} else if (!m->own.has_alive) {
		own_say_alive(m);
	} else if (mesh_rate_pass(m, &l->answers, MESH_ANSWERS_MAX)) {
		wire_put_liveness(&b, &said);
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
		buf_fini(&b);
	}
}

void
mesh_doubted(struct mesh *m)
{
	if (m->own.refuted_at == 0 || m->now - m->own.refuted_at >= MESH_DOUBTED_MS)
		own_refute(m, m->incarnation);
}

void
mesh_hello_liveness(struct mesh *m, struct mesh_link *l, const struct wire_hello *h)
{
	struct mesh_node *n = l->node;
	uint64_t held = h->held_incarnation;

	own_prepare_left(m);
	mesh_node_raise(m, n, h->incarnation);
	/* What is not decided yet is in no sum. */
	mesh_exchange(m, l);
	l->is_exchange_short = h->liveness == l->told_liveness;
	if (l->is_exchange_short)
		l->exchange_after = 0;
	if (h->held_status == WIRE_STATUS_DEAD || h->held_status == WIRE_STATUS_SUSPECT)
		own_accused(m, l, held);
	else if (held > m->incarnation)
		own_refute(m, held);
	else if (held != m->incarnation)
		own_accused(m, l, held);
}

void
mesh_liveness_stop(struct mesh *m)
{
	struct wire_liveness said = own_word(m, WIRE_STANDING_LEFT);
	struct buf b = BUF_INIT;

	if (!m->own.has_left)
		return; /* GOODBYE tells those who are linked, and they vote */
	wire_put_liveness(&b, &said);
	mesh_flood(m, buf_bytes(&b), 0);
	buf_fini(&b);
}

static void
own_vote_signed(struct mesh *m, struct mesh_signing *s)
{
	struct mesh_node *n = mesh_node_find(m, &s->said.subject);
	struct mesh_ballot vote = { .vote = s->said.votes[0],
				    .is_isolated = s->said.is_isolated,
				    .is_lost = s->said.is_lost };
	struct buf b = BUF_INIT;

	if (n == NULL || !n->is_voting || n->incarnation != s->said.incarnation)
		return;
	n->is_voting = false;
	if (n->lost_at != 0 && mesh_vote_is_ours(m, n) && mesh_vote_add(m, n, &vote)) {
		wire_put_liveness(&b, &s->said);
		mesh_flood(m, buf_bytes(&b), 0);
		buf_fini(&b);
	}
	mesh_node_update(m, n);
}

static void
own_word_signed(struct mesh *m, struct mesh_signing *s)
{
	struct buf b = BUF_INIT;

	if (s->said.incarnation != m->incarnation)
		return;
	if (s->type == MESH_SIGNING_LEFT) {
		memcpy(m->own.left, s->said.signature, sizeof(m->own.left));
		m->own.has_left = true;
		return;
	}
	memcpy(m->own.alive, s->said.signature, sizeof(m->own.alive));
	m->own.has_alive = true;
	wire_put_liveness(&b, &s->said);
	mesh_flood(m, buf_bytes(&b), 0);
	buf_fini(&b);
}

void
mesh_signed(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_signing *s = signing_find(m, e->number);

	if (s == NULL || s->type == MESH_SIGNING_CHECK)
		return;
	if (e->data.len == WIRE_SIGNATURE_BYTES && s->type == MESH_SIGNING_VOTE) {
		memcpy(s->said.votes[0].signature, e->data.data, e->data.len);
		own_vote_signed(m, s);
	} else if (e->data.len == WIRE_SIGNATURE_BYTES) {
		memcpy(s->said.signature, e->data.data, e->data.len);
		own_word_signed(m, s);
	}
	signing_free(m, s);
}

/* ---- what others say ---- */

/* Let the node itself say what it thinks of that. */
static void
tell_subject(struct mesh *m, const struct mesh_link *l, const struct mesh_node *n,
	     const struct wire_liveness *said)
{
	struct mesh_link *its = mesh_link_find(m, n->link);
	struct buf b = BUF_INIT;

	if (its == NULL || its == l)
		return;
	wire_put_liveness(&b, said);
	mesh_send(m, its, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* It is over: say how it is now. */
static void
answer_old(struct mesh *m, struct mesh_link *l, struct mesh_node *n,
	   const struct wire_liveness *said)
{
	struct buf b = BUF_INIT;

	if (!mesh_rate_pass(m, &l->answers, MESH_ANSWERS_MAX))
		return;
	if (put_alive(n, &b))
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	else
		tell_subject(m, l, n, said);
	buf_fini(&b);
}

static const struct mesh_node *
voter_find(const struct mesh *m, const struct id *id, const struct mesh_node *subject)
{
	const struct mesh_node *voter = mesh_node_find(m, id);

	if (id_equal(id, &m->config.self))
		return &m->self; /* in an earlier life, perhaps */

	return voter != NULL && !voter->is_gone && voter != subject ? voter : NULL;
}

static void
suspect_arrived(struct mesh *m, struct mesh_link *l, struct mesh_node *n,
		const struct wire_liveness *said)
{
	const struct id *observer = &said->votes[0].observer;
	const struct mesh_node *voter = voter_find(m, observer, n);

	if (said->incarnation == n->incarnation) {
		const struct mesh_ballot *held = mesh_vote_of(n, observer);

		if (mesh_node_verdict(n) == MESH_VERDICT_LEFT ||
		    (held != NULL && (!held->is_isolated || said->is_isolated)))
			return;
	}
	/* What we say, we know. */
	if (voter != NULL && voter != &m->self && mesh_is_voter(m, n, voter))
		check(m, l, said, false);
}

/* Whoever judged it may have seen other voters than we do: each counts that is a member. */
static void
verdict_arrived(struct mesh *m, struct mesh_link *l, struct mesh_node *n,
		const struct wire_liveness *said)
{
	/* What is judged is judged. */
	if (said->incarnation == n->incarnation &&
	    mesh_node_verdict(n) != MESH_VERDICT_NONE)
		return;
	if (mesh_rate_pass(m, &l->answers, MESH_ANSWERS_MAX))
		tell_subject(m, l, n, said);
	for (int i = 0; i < said->votes_len; i++) {
		struct wire_liveness one = { .type = WIRE_SUSPECT,
					     .subject = said->subject,
					     .incarnation = said->incarnation,
					     .votes_len = 1 };
		const struct mesh_ballot *held = NULL;

		one.votes[0] = said->votes[i];
		if (said->incarnation == n->incarnation)
			held = mesh_vote_of(n, &one.votes[0].observer);
		if (held != NULL && held->is_judged)
			continue;
		if (voter_find(m, &one.votes[0].observer, n) != NULL)
			check(m, l, &one, true);
	}
}

static void
alive_arrived(struct mesh *m, struct mesh_link *l, struct mesh_node *n,
	      const struct wire_liveness *said)
{
	const struct mesh_evidence *e = n->evidence;

	if (e != NULL && e->signed_incarnation == said->incarnation &&
	    (e->standing == said->standing || e->standing == WIRE_STANDING_LEFT))
		return;
	check(m, l, said, false);
}

bool
mesh_frame_liveness(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct wire_liveness said;
	struct mesh_node *n;

	if (wire_read_liveness(f, &said) < 0 || said.incarnation >= INCARNATION_MAX)
		return mesh_malformed(m, l, "a SUSPECT, ALIVE or VERDICT");
	if (id_equal(&said.subject, &m->config.self)) {
		if (f->type != WIRE_ALIVE)
			own_accused(m, l, said.incarnation);
		return true;
	}
	n = mesh_node_find(m, &said.subject);
	if (n == NULL || n->is_gone)
		return true; /* its row comes, and then the exchange */
	if (said.incarnation < n->incarnation)
		answer_old(m, l, n, &said);
	else if (f->type == WIRE_SUSPECT)
		suspect_arrived(m, l, n, &said);
	else if (f->type == WIRE_VERDICT)
		verdict_arrived(m, l, n, &said);
	else
		alive_arrived(m, l, n, &said);
	return true;
}

static void
vote_checked(struct mesh *m, struct mesh_signing *s, struct mesh_node *n)
{
	struct mesh_ballot vote = { .vote = s->said.votes[0],
				    .is_isolated = s->said.is_isolated,
				    .is_lost = s->said.is_lost,
				    .is_judged = s->is_judged };

	mesh_node_raise(m, n, s->said.incarnation);
	if (!mesh_vote_add(m, n, &vote))
		return;
	/* A verdict is handed on as a whole, once it is one here, too. */
	if (!s->is_judged)
		relay(m, &s->said, s->link);
	mesh_vote_join(m, n, vote.is_isolated);
}

static void
alive_checked(struct mesh *m, struct mesh_signing *s, struct mesh_node *n)
{
	struct mesh_evidence *e = mesh_evidence_get(n);

	if (e->signed_incarnation == s->said.incarnation &&
	    e->standing == WIRE_STANDING_LEFT)
		return;
	if (s->said.incarnation > n->incarnation) {
		mesh_node_raise(m, n, s->said.incarnation);
		n->has_said_goodbye = false;
		n->vote_due = 0;
		mesh_node_found(m, n);
		/* Another one hears it. */
		if (n->lost_at != 0)
			mesh_revote_later(m, n);
	}
	e->signed_incarnation = s->said.incarnation;
	e->standing = s->said.standing;
	memcpy(e->signature, s->said.signature, sizeof(e->signature));
	if (s->said.standing == WIRE_STANDING_LEFT)
		mesh_node_set_verdict(m, n, MESH_VERDICT_LEFT);
	mesh_reach_changed(m);
	mesh_node_update(m, n);
	relay(m, &s->said, s->link);
}

/* By what is known now, which may be more than when it came. */
static bool
vote_may_count(const struct mesh *m, const struct mesh_signing *s,
	       const struct mesh_node *n)
{
	const struct mesh_node *voter = voter_find(m, &s->said.votes[0].observer, n);

	return voter != NULL && (s->is_judged || mesh_is_voter(m, n, voter));
}

void
mesh_verified(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_signing *s = signing_find(m, e->number);
	struct mesh_node *n;

	if (s == NULL || s->type != MESH_SIGNING_CHECK)
		return;
	n = mesh_node_find(m, &s->said.subject);
	/* Much may have changed since it came. */
	if (e->is_valid && n != NULL && !n->is_gone &&
	    s->said.incarnation >= n->incarnation) {
		if (s->said.type == WIRE_ALIVE)
			alive_checked(m, s, n);
		else if (vote_may_count(m, s, n))
			vote_checked(m, s, n);
	}
	signing_free(m, s);
}

/* ---- the exchange ---- */

void
mesh_exchange(struct mesh *m, struct mesh_link *l)
{
	if (l->exchange_after > m->now)
		return;
	l->exchange_after = m->now + MESH_EXCHANGE_MS;
	l->exchange_at = 0;
	l->is_exchange_short = false;
	l->exchange_due = m->now;
	mesh_want(m, m->now);
}

/* Some of the entries, in the order in which the nodes were met. */
static void
exchange_send(struct mesh *m, struct mesh_link *l)
{
	struct buf b = BUF_INIT;
	int at = 0, sent = 0;

	for (struct mesh_node *n = m->nodes; n != NULL && sent < MESH_EXCHANGE_MAX;
	     n = n->hh.next) {
		size_t before = b.len;

		if (n->evidence == NULL || at++ < l->exchange_at)
			continue;
		l->exchange_at++;
		if (l->is_exchange_short && n->evidence->verdict != MESH_VERDICT_NONE)
			continue;
		mesh_put_proofs(n, &b);
		sent += b.len > before;
	}
	if (sent < MESH_EXCHANGE_MAX)
		l->exchange_due = 0;
	else
		l->exchange_due = m->now + MS_SECOND;
	if (b.len > 0)
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* ---- time ---- */

void
mesh_liveness_tick(struct mesh *m)
{
	if (m->health > 0 && m->health_due <= m->now)
		mesh_health_add(m, -1);
	if (m->health > 0)
		mesh_want(m, m->health_due);
	if (m->is_isolated)
		mesh_isolation_update(m);
	if (m->own.refute_due != 0 && m->own.refute_due <= m->now)
		own_refute(m, m->own.refute_over);
	if (m->own.refute_due != 0)
		mesh_want(m, m->own.refute_due);
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->state != MESH_LINK_UP || l->exchange_due == 0)
			continue;
		if (l->exchange_due <= m->now)
			exchange_send(m, l);
		if (l->exchange_due != 0)
			mesh_want(m, l->exchange_due);
	}
}
