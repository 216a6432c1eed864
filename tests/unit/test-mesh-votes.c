/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there: what one core makes of what it is told. What many make of each other is
 * test-mesh-crowd.c's. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "mesh/core.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

/* ---- numbers ---- */

static void
test_quorum(void)
{
	static const int wanted[] = { 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3 };
	struct mesh_config config = { .seed = 1, .format = 1 };
	struct mesh_node *n = NULL;

	for (int nodes = 2; nodes <= 12; nodes++) {
		struct mesh *m = mesh_new(&config, 1);

		for (int i = 1; i < nodes; i++) {
			struct mesh_event e = { .type = MESH_EVENT_NODE,
						.inbound = MESH_INBOUND_YES };

			e.node.b[0] = (uint8_t)(17 * i);
			mesh_step(m, 1, &e);
		}
		for (n = m->nodes; n != NULL; n = n->hh.next) {
			CU_ASSERT(mesh_quorum(m, n) == wanted[nodes - 1]);
			CU_ASSERT(mesh_is_voter(m, n, &m->self) || nodes > 7);
			CU_ASSERT(!mesh_is_voter(m, n, n));
		}
		mesh_free(m);
	}
}

static void
test_timer(void)
{
	CU_ASSERT(mesh_votes_ms(1, 1) == 2000 && mesh_votes_ms(2, 1) == 2000);
	CU_ASSERT(mesh_votes_ms(1, 2) == 15000 && mesh_votes_ms(2, 2) == 2000);
	CU_ASSERT(mesh_votes_ms(1, 3) == 15000 && mesh_votes_ms(2, 3) == 6797);
	CU_ASSERT(mesh_votes_ms(3, 3) == 2000 && mesh_votes_ms(9, 3) == 2000);
}

/* ---- one core: peers 0 … 5, of which some are linked ---- */

enum { VICTIM, ONE, TWO, THREE, FOUR, STRANGER };

static struct wire_liveness
suspect(const struct rig *r, int subject, uint64_t incarnation, int observer)
{
	struct wire_liveness said = { .type = WIRE_SUSPECT,
				      .subject = r->peers[subject],
				      .incarnation = incarnation,
				      .votes_len = 1 };

	said.votes[0] = rig_vote(&r->peers[subject], incarnation, &r->peers[observer],
				 false);
	return said;
}

static void
say(struct rig *r, int from, const struct wire_liveness *said)
{
	struct buf b = BUF_INIT;

	wire_put_liveness(&b, said);
	rig_hear(r, from, &b);
}

static void
say_suspect(struct rig *r, int from, int subject, uint64_t incarnation, int observer)
{
	struct wire_liveness said = suspect(r, subject, incarnation, observer);

	say(r, from, &said);
}

static void
say_alive(struct rig *r, int from, int subject, uint64_t incarnation,
	  enum wire_standing standing)
{
	struct buf b = BUF_INIT;

	rig_put_alive(&b, &r->peers[subject], incarnation, standing);
	rig_hear(r, from, &b);
}

static void
say_verdict(struct rig *r, int from, int subject, uint64_t incarnation, int votes)
{
	struct buf b = BUF_INIT;

	rig_put_verdict(&b, &r->peers[subject], incarnation, &r->peers[ONE], votes);
	rig_hear(r, from, &b);
}

/* A cluster of six, of which ONE, TWO and, if so, VICTIM are linked to us. */
static void
votes_start(struct rig *r, bool is_linked)
{
	rig_init(r, home, 1);
	for (int i = 0; i < STRANGER; i++)
		rig_row(r, i, MESH_INBOUND_YES);
	rig_up(r, ONE, false);
	rig_up(r, TWO, false);
	if (is_linked)
		rig_up(r, VICTIM, false);
	rig_pass(r, MS_SECOND);
	CU_ASSERT(mesh_node_state(r->mesh, &r->peers[VICTIM]) == MESH_NODE_ALIVE);
	rig_forget(r);
}

static void
test_quorum_is_dead(void)
{
	struct rig r;

	votes_start(&r, false);
	say_suspect(&r, ONE, VICTIM, 3, ONE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	/* Each is handed on, but not to where it came from. */
	CU_ASSERT(rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 2);
	CU_ASSERT(rig_sent(&r, ONE, WIRE_SUSPECT, NULL) == 0);
	rig_pass(&r, MS_SECOND);
	say_suspect(&r, TWO, VICTIM, 3, TWO);
	rig_pass(&r, MESH_DEAD_MS - MS_SECOND - 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	/* Until it says otherwise. */
	say_alive(&r, TWO, VICTIM, 3, WIRE_STANDING_THERE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	say_alive(&r, TWO, VICTIM, 4, WIRE_STANDING_THERE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, ONE, WIRE_ALIVE, NULL) == 2);
	rig_fini(&r);
}

static void
say_lost(struct rig *r, int from, int subject, uint64_t incarnation, int observer)
{
	struct wire_liveness said = suspect(r, subject, incarnation, observer);

	said.is_lost = true;
	say(r, from, &said);
}

/* A link may end while its node stands still: then it has 2 s from when enough say so; but no
 * longer than if fewer had. Where the first did not hear it the links that end later are no
 * reason to wait. */
static void
test_links_that_end(void)
{
	struct rig r;

	votes_start(&r, false);
	say_lost(&r, ONE, VICTIM, 3, ONE);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	rig_pass(&r, MS_SECOND);
	say_suspect(&r, TWO, VICTIM, 3, TWO);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 2);
	rig_pass(&r, MESH_DEAD_MS - 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	say_alive(&r, TWO, VICTIM, 4, WIRE_STANDING_THERE);
	say_lost(&r, ONE, VICTIM, 4, ONE);
	say_suspect(&r, ONE, VICTIM, 4, THREE);
	rig_pass(&r, mesh_votes_ms(2, 3) - 2);
	say_suspect(&r, TWO, VICTIM, 4, TWO);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_pass(&r, 2);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	say_alive(&r, TWO, VICTIM, 5, WIRE_STANDING_THERE);
	say_suspect(&r, ONE, VICTIM, 5, ONE);
	rig_pass(&r, MS_SECOND);
	say_lost(&r, ONE, VICTIM, 5, THREE);
	say_lost(&r, TWO, VICTIM, 5, TWO);
	rig_pass(&r, MESH_DEAD_MS - MS_SECOND);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	rig_fini(&r);
}

/* With too few of them it takes longer: with two 6.8 s from the first. */
static void
test_few_votes(void)
{
	struct rig r;

	votes_start(&r, false);
	say_suspect(&r, ONE, VICTIM, 3, ONE);
	rig_pass(&r, MS_SECOND);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	rig_pass(&r, mesh_votes_ms(2, 3) - MS_SECOND - 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	rig_fini(&r);
}

/* One that is cut off accuses nobody. But those on our side of a cut do not hear it either. */
static void
test_others_are_cut_off(void)
{
	struct wire_liveness said;
	struct mesh_link *l;
	struct rig r;

	votes_start(&r, true);
	l = mesh_link_find(r.mesh, r.links[VICTIM]);
	said = suspect(&r, VICTIM, 3, ONE);
	said.is_isolated = true;
	said.votes[0] = rig_vote(&r.peers[VICTIM], 3, &r.peers[ONE], true);
	/* It was heard a moment ago. */
	say(&r, ONE, &said);
	CU_ASSERT(l->pinged_at == 0);
	r.now += MS_SECOND;
	said.votes[0] = rig_vote(&r.peers[VICTIM], 3, &r.peers[THREE], true);
	say(&r, ONE, &said);
	CU_ASSERT(l->pinged_at == r.now);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 2);
	rig_fini(&r);
}

/* One that is slow waits longer for an answer of its own, and holds up nobody by that. */
static void
test_slow_judge(void)
{
	for (int health = 0; health <= MESH_HEALTH_MAX; health++) {
		struct rig r;

		votes_start(&r, true);
		r.mesh->health = health;
		r.mesh->health_due = r.now + MS_HOUR;
		r.links[VICTIM] = 0; /* it says nothing any more */
		rig_pass(&r, MS_SECOND);
		say_suspect(&r, ONE, VICTIM, 3, ONE);
		say_suspect(&r, ONE, VICTIM, 3, TWO);
		say_suspect(&r, ONE, VICTIM, 3, THREE);
		rig_pass(&r, MESH_DEAD_MS - 1);
		CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
		rig_pass(&r, 2);
		CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
		rig_fini(&r);
	}
}

static void
test_votes_that_do_not_count(void)
{
	struct wire_liveness said;
	struct rig r;

	votes_start(&r, false);
	/* Forged. */
	said = suspect(&r, VICTIM, 3, ONE);
	said.votes[0].signature[5] ^= 1;
	say(&r, ONE, &said);
	said = suspect(&r, VICTIM, 3, ONE);
	said.incarnation = 4;
	say(&r, ONE, &said);
	said = suspect(&r, VICTIM, 3, ONE);
	said.is_isolated = true;
	say(&r, ONE, &said);
	CU_ASSERT(r.verifies == 3);
	/* By one that is not known; by itself; by us; of one that is not known. */
	say_suspect(&r, ONE, VICTIM, 3, STRANGER);
	say_suspect(&r, ONE, VICTIM, 3, VICTIM);
	say_suspect(&r, ONE, STRANGER, 3, ONE);
	said = suspect(&r, VICTIM, 3, ONE);
	memset(said.votes[0].observer.b, 5, ID_BYTES);
	say(&r, ONE, &said);
	CU_ASSERT(r.verifies == 3);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 0);
	/* Old ones are answered by what it said since, at once. */
	say_alive(&r, TWO, VICTIM, 8, WIRE_STANDING_THERE);
	rig_forget(&r);
	say_suspect(&r, ONE, VICTIM, 7, ONE);
	CU_ASSERT(r.verifies == 0 && r.states[VICTIM] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, ONE, WIRE_ALIVE, NULL) == 1);
	/* And what was said twice does nothing. */
	rig_forget(&r);
	say_alive(&r, TWO, VICTIM, 8, WIRE_STANDING_THERE);
	CU_ASSERT(r.verifies == 0 && rig_sent(&r, ONE, WIRE_ALIVE, NULL) == 0);
	say_suspect(&r, ONE, VICTIM, 8, ONE);
	CU_ASSERT(r.verifies == 1 && rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 1);
	say_suspect(&r, ONE, VICTIM, 8, ONE);
	CU_ASSERT(r.verifies == 1 && rig_sent(&r, TWO, WIRE_SUSPECT, NULL) == 1);
	/* One of a higher incarnation is one that we did not know yet. */
	say_suspect(&r, ONE, VICTIM, 9, TWO);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_forget(&r);
	say_suspect(&r, ONE, VICTIM, 8, THREE);
	CU_ASSERT(r.verifies == 0);
	rig_fini(&r);
}

/* What a node says of others counts while it is not dead itself, here. */
static void
test_dead_do_not_count(void)
{
	struct rig r;

	votes_start(&r, false);
	say_verdict(&r, ONE, FOUR, 3, 3);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[FOUR] == MESH_NODE_DEAD);
	rig_forget(&r);
	say_suspect(&r, ONE, VICTIM, 3, FOUR);
	CU_ASSERT(r.verifies == 0 && r.states[VICTIM] == MESH_NODE_ALIVE);
	say_alive(&r, TWO, FOUR, 4, WIRE_STANDING_THERE);
	CU_ASSERT(r.states[FOUR] == MESH_NODE_ALIVE);
	say_suspect(&r, ONE, VICTIM, 3, FOUR);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_fini(&r);
}

/* Votes of one that was banned are worth nothing, nor is what was said of it. */
static void
test_gone_do_not_count(void)
{
	struct mesh_event gone = { .type = MESH_EVENT_NODE,
				   .inbound = MESH_INBOUND_YES,
				   .is_gone = true };
	struct rig r;

	votes_start(&r, false);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	say_suspect(&r, ONE, VICTIM, 3, FOUR);
	gone.node = r.peers[THREE];
	rig_step(&r, gone);
	gone.node = r.peers[FOUR];
	rig_step(&r, gone);
	CU_ASSERT(r.states[THREE] == MESH_NODE_DEAD);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	rig_pass(&r, 5 * MS_SECOND);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	rig_forget(&r);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	say_suspect(&r, ONE, THREE, 3, ONE);
	say_verdict(&r, ONE, THREE, 3, 2);
	CU_ASSERT(r.verifies == 0);
	rig_fini(&r);
}

/* What another one judged is believed when the votes are enough, at once, and handed on. */
static void
test_verdict(void)
{
	const struct rig_frame *f;
	struct rig r;

	votes_start(&r, false);
	say_verdict(&r, ONE, VICTIM, 3, 3);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	CU_ASSERT_FATAL(rig_sent(&r, TWO, WIRE_VERDICT, &f) == 1);
	CU_ASSERT(f->payload.len == 24 + 3 * 80);
	rig_forget(&r);
	say_verdict(&r, TWO, VICTIM, 3, 4);
	CU_ASSERT(r.verifies == 0 && rig_sent(&r, ONE, WIRE_VERDICT, NULL) == 0);
	rig_fini(&r);

	/* Too few. */
	votes_start(&r, false);
	say_verdict(&r, ONE, VICTIM, 3, 2);
	rig_pass(&r, MESH_DEAD_MS);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_SUSPECT);
	rig_fini(&r);

	/* Of one that we hear: it is told, and we wait for what it says. */
	votes_start(&r, true);
	say_verdict(&r, ONE, VICTIM, 3, 3);
	CU_ASSERT(rig_sent(&r, VICTIM, WIRE_VERDICT, NULL) == 1);
	rig_pass(&r, MS_MINUTE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE && r.links[VICTIM] != 0);
	rig_fini(&r);

	/* Of one that is linked, and silent. */
	votes_start(&r, true);
	say_verdict(&r, ONE, VICTIM, 3, 3);
	r.links[VICTIM] = 0; /* it says nothing any more */
	rig_pass(&r, 3 * MESH_CHECK_MS);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	rig_fini(&r);
}

static void
test_leaving(void)
{
	struct rig r;

	votes_start(&r, false);
	say_alive(&r, ONE, VICTIM, 3, WIRE_STANDING_LEFT);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_LEFT);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_ALIVE, NULL) == 1);
	/* What was said before it left; and votes for it. */
	say_alive(&r, TWO, VICTIM, 3, WIRE_STANDING_THERE);
	say_suspect(&r, ONE, VICTIM, 3, ONE);
	rig_pass(&r, MS_MINUTE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_LEFT);
	say_alive(&r, ONE, VICTIM, 4, WIRE_STANDING_THERE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	/* We go. */
	rig_forget(&r);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_STOP });
	CU_ASSERT(r.frames_len == 4 && r.frames[0].type == WIRE_ALIVE);
	CU_ASSERT(r.frames[0].payload.data[24] == WIRE_STANDING_LEFT);
	CU_ASSERT(r.frames[3].type == WIRE_GOODBYE);
	rig_fini(&r);
}

/* ---- ourselves ---- */

static uint64_t
told_incarnation(const struct rig_frame *f)
{
	return get_be64(f->payload.data + ID_BYTES);
}

static void
accuse(struct rig *r, int from, uint64_t incarnation)
{
	struct wire_liveness said = suspect(r, VICTIM, incarnation, from);

	memset(said.subject.b, 5, ID_BYTES);
	say(r, from, &said);
}

static void
test_refuting(void)
{
	const struct rig_frame *f;
	struct rig r;

	votes_start(&r, false);
	accuse(&r, ONE, 10);
	CU_ASSERT(r.incarnation == 11);
	CU_ASSERT_FATAL(rig_sent(&r, ONE, WIRE_ALIVE, &f) == 1);
	CU_ASSERT(told_incarnation(f) == 11);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_ALIVE, NULL) == 1);
	/* The same, by another way: that one is told, and no more. */
	accuse(&r, TWO, 10);
	CU_ASSERT(r.incarnation == 11 && rig_sent(&r, TWO, WIRE_ALIVE, NULL) == 2);
	CU_ASSERT(rig_sent(&r, ONE, WIRE_ALIVE, NULL) == 1);
	/* Not too often. */
	accuse(&r, ONE, 11);
	accuse(&r, ONE, 500);
	CU_ASSERT(r.incarnation == 11);
	rig_pass(&r, MESH_REFUTE_MS);
	CU_ASSERT(r.incarnation == 501);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_ALIVE, &f) == 3 && told_incarnation(f) == 501);
	/* A number that leaves no room is no number. */
	accuse(&r, ONE, UINT64_MAX - 3);
	CU_ASSERT(r.links[ONE] == 0 && r.incarnation == 501);
	rig_fini(&r);
}

/* A heartbeat says what the other side believes. */
static void
test_doubted(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	votes_start(&r, false);
	wire_put_heartbeat(&b, 0, WIRE_STATUS_SUSPECT, 6);
	rig_hear(&r, ONE, &b);
	CU_ASSERT(r.incarnation == 11);
	wire_put_heartbeat(&b, 0, WIRE_STATUS_SUSPECT, 6);
	rig_hear(&r, ONE, &b);
	CU_ASSERT(r.incarnation == 11);
	rig_pass(&r, MESH_DOUBTED_MS);
	wire_put_heartbeat(&b, 0, WIRE_STATUS_DEAD, 6);
	rig_hear(&r, ONE, &b);
	CU_ASSERT(r.incarnation == 12);
	rig_fini(&r);
}

/* ---- bounds ---- */

static void
test_bounds(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	votes_start(&r, false);
	r.forgets = r.keeps_verifies = true;
	/* Signatures that are being checked. */
	for (uint64_t i = 0; i < 2 * MESH_VERIFIES_MAX; i++)
		say_suspect(&r, ONE, VICTIM, 100 + i, ONE);
	CU_ASSERT(r.verifies == MESH_VERIFIES_MAX);
	say_suspect(&r, ONE, VICTIM, 100, ONE);
	CU_ASSERT(r.verifies == MESH_VERIFIES_MAX);
	rig_fini(&r);

	/* Questions of one peer, and answers to what is old. */
	votes_start(&r, true);
	for (int i = 0; i < 3 * MESH_ASKS_MAX; i++) {
		wire_put_about(&b, WIRE_ASK, &r.peers[VICTIM]);
		if (i == 0) { /* there is something to tell */
			struct buf beat = BUF_INIT;

			wire_put_heartbeat(&beat, 0, WIRE_STATUS_ALIVE, 0);
			rig_hear(&r, VICTIM, &beat);
		}
		rig_hear(&r, ONE, &b);
	}
	CU_ASSERT(rig_sent(&r, ONE, WIRE_HEARD, NULL) == MESH_ASKS_MAX);
	say_alive(&r, TWO, VICTIM, 8, WIRE_STANDING_THERE);
	rig_forget(&r);
	for (int i = 0; i < 3 * MESH_ANSWERS_MAX; i++)
		say_suspect(&r, ONE, VICTIM, 7, ONE);
	CU_ASSERT(rig_sent(&r, ONE, WIRE_ALIVE, NULL) == MESH_ANSWERS_MAX);
	/* Nonsense. */
	wire_put_frame(&b, WIRE_ASK, 0, bytes_of("short", 5));
	rig_hear(&r, ONE, &b);
	CU_ASSERT(r.links[ONE] == 0);
	wire_put_frame(&b, WIRE_VERDICT, 0, bytes_of(r.peers[0].b, ID_BYTES));
	rig_hear(&r, TWO, &b);
	CU_ASSERT(r.links[TWO] == 0);
	rig_fini(&r);
}

/* Votes that are kept of one node, whoever may vote. */
static void
test_votes_are_bounded(void)
{
	struct mesh_config config = { .seed = 1, .format = 1 };
	struct mesh *m = mesh_new(&config, 1);
	struct mesh_event e = { .type = MESH_EVENT_NODE, .inbound = MESH_INBOUND_YES };
	struct mesh_node *n;

	e.node.b[0] = 1;
	mesh_step(m, 1, &e);
	n = mesh_node_find(m, &e.node);
	for (int i = 0; i < 2 * MESH_VOTES_MAX; i++) {
		struct mesh_ballot vote = { .is_isolated = i % 2 };

		vote.vote.observer.b[0] = (uint8_t)(2 + i);
		CU_ASSERT(mesh_vote_add(m, n, &vote) == (i < MESH_VOTES_MAX));
	}
	CU_ASSERT(n->evidence->len == MESH_VOTES_MAX);
	CU_ASSERT(mesh_votes_counted(n) == MESH_VOTES_MAX / 2);
	mesh_free(m);
}

/* ---- the exchange ---- */

static void
test_exchange(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	votes_start(&r, false);
	say_verdict(&r, ONE, VICTIM, 3, 3);
	say_alive(&r, ONE, THREE, 5, WIRE_STANDING_LEFT);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	rig_forget(&r);
	/* One whose sum is another is told all that is held, when its second beat says so. */
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(rig_sent(&r, TWO, WIRE_VERDICT, NULL) == 0);
		wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, 6);
		rig_hear(&r, TWO, &b);
	}
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(rig_sent(&r, TWO, WIRE_VERDICT, NULL) == 1);
	CU_ASSERT(rig_sent(&r, TWO, WIRE_ALIVE, NULL) == 1);
	/* And not again for a while. */
	for (int i = 0; i < 6; i++) {
		wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, 6);
		rig_hear(&r, TWO, &b);
		rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	}
	CU_ASSERT(rig_sent(&r, TWO, WIRE_VERDICT, NULL) == 1);
	/* So is one that greets. */
	rig_up(&r, FOUR, false);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(rig_sent(&r, FOUR, WIRE_VERDICT, NULL) == 1);
	CU_ASSERT(rig_sent(&r, FOUR, WIRE_ALIVE, NULL) >= 1);
	rig_fini(&r);
}

/* The last link is lost, and another one comes a moment later: by it all are there again. */
static void
test_alone(void)
{
	struct rig r;

	votes_start(&r, false);
	rig_down(&r, ONE);
	rig_down(&r, TWO);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_UNREACHABLE);
	/* What was reckoned last is not a second old. */
	rig_row(&r, THREE, MESH_INBOUND_YES);
	rig_pass(&r, 10);
	rig_up(&r, ONE, false);
	CU_ASSERT(r.states[ONE] == MESH_NODE_ALIVE);
	/* It might say otherwise; further links do not put that off. */
	rig_pass(&r, MESH_TOLD_MS - 100);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_UNREACHABLE);
	rig_up(&r, TWO, false);
	rig_pass(&r, 100);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	rig_fini(&r);
}

/* Two that are cut off from the others link with each other: neither takes the others to be
 * there by way of the other one. */
static void
test_alone_together(void)
{
	struct wire_liveness said;
	struct rig r;

	votes_start(&r, false);
	rig_down(&r, ONE);
	rig_down(&r, TWO);
	rig_pass(&r, MS_SECOND);
	rig_up(&r, ONE, false);
	rig_pass(&r, MESH_TOLD_MS - 100);
	for (int i = 0; i < STRANGER; i++) {
		said = suspect(&r, i, 3, ONE);
		said.votes[0] = rig_vote(&r.peers[i], 3, &r.peers[ONE], true);
		said.is_isolated = true;
		if (i != ONE)
			say(&r, ONE, &said);
	}
	for (int i = 0; i < 50; i++) {
		rig_pass(&r, 100);
		CU_ASSERT(r.states[VICTIM] == MESH_NODE_UNREACHABLE);
		CU_ASSERT(r.states[TWO] == MESH_NODE_UNREACHABLE);
	}
	CU_ASSERT(r.states[ONE] == MESH_NODE_ALIVE);
	/* Nor does one of them seem to be there for being accused, until it is dead. */
	say_suspect(&r, ONE, VICTIM, 3, ONE);
	say_suspect(&r, ONE, VICTIM, 3, TWO);
	say_suspect(&r, ONE, VICTIM, 3, THREE);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_UNREACHABLE);
	rig_pass(&r, MESH_DEAD_MS - 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_UNREACHABLE);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_DEAD);
	rig_fini(&r);
}

/* Who says that it does not hear us is there. Whoever stood still loses all links so, and neither
 * shows nor accuses the others for it, but dials them at once. */
static void
test_deaf(void)
{
	const struct mesh_node *n;
	struct buf b = BUF_INIT;
	struct rig r;

	votes_start(&r, true);
	wire_put_goodbye(&b, WIRE_GOODBYE_SILENT, "the node is dead");
	rig_hear(&r, VICTIM, &b);
	CU_ASSERT(r.links[VICTIM] == 0 && r.states[VICTIM] == MESH_NODE_ALIVE);
	rig_pass(&r, MESH_RELINK_MS);
	CU_ASSERT(r.dials == 1);
	rig_pass(&r, MESH_REVOTE_MS - MESH_RELINK_MS - 1);
	CU_ASSERT(r.states[VICTIM] == MESH_NODE_ALIVE);
	n = mesh_node_find(r.mesh, &r.peers[VICTIM]);
	CU_ASSERT(mesh_vote_of(n, &r.mesh->config.self) == NULL);
	/* Where it does not come back there is something to say. */
	rig_pass(&r, 1);
	CU_ASSERT(mesh_vote_of(n, &r.mesh->config.self) != NULL);
	rig_fini(&r);
}

/* A process that stood still is slow for a while, and not more so for what others said of it. */
static void
test_slow_once(void)
{
	struct rig r;

	votes_start(&r, false);
	r.now += 10 * MS_SECOND;
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(r.mesh->health == 1);
	accuse(&r, ONE, 10);
	CU_ASSERT(r.incarnation == 11 && r.mesh->health == 1);
	rig_pass(&r, MS_SECOND);
	accuse(&r, ONE, 11);
	CU_ASSERT(r.incarnation == 12 && r.mesh->health == 2);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "so many votes are a quorum", test_quorum },
	{ "fewer are waited for longer", test_timer },
	{ "a quorum is a verdict when 2 s have passed, until it is refuted",
	  test_quorum_is_dead },
	{ "two votes of three take 6.8 s", test_few_votes },
	{ "where a link ended first, the 2 s begin when votes are enough",
	  test_links_that_end },
	{ "of whom one that is cut off does not hear we look ourselves whether we do",
	  test_others_are_cut_off },
	{ "who is slow judges with the others", test_slow_judge },
	{ "what is forged, foreign, old or said already does not count",
	  test_votes_that_do_not_count },
	{ "nor does what the dead say", test_dead_do_not_count },
	{ "nor does what a node says that is no member any more",
	  test_gone_do_not_count },
	{ "a verdict is believed by its votes alone, but of a node that is heard",
	  test_verdict },
	{ "a node that leaves says so, and is believed at once", test_leaving },
	{ "who is accused takes the next incarnation, and not too often", test_refuting },
	{ "a heartbeat that doubts us is refuted, too", test_doubted },
	{ "signatures under way, questions and answers are bounded", test_bounds },
	{ "so are the votes of one node", test_votes_are_bounded },
	{ "who holds something else is told what is held here", test_exchange },
	{ "who was alone sees all again with its first link", test_alone },
	{ "but not by one that does not reach them either", test_alone_together },
	{ "who ends a link since it does not hear us is not accused", test_deaf },
	{ "who stood still and was accused of it is slow for one of these",
	  test_slow_once },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
