/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that take no links: who says that they are there, who believes it, and how a query
 * gets to one by way of a third. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "mesh/core.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

enum { ASKER, HIDDEN, OTHER };

/* ---- who is there ---- */

/* Its homes are ASKER, OTHER and this node, which is not linked to it. */
static void
leaf_start(struct rig *r)
{
	rig_init(r, home, 1);
	rig_is_reached(r);
	rig_row(r, HIDDEN, MESH_INBOUND_NO);
	rig_row(r, ASKER, MESH_INBOUND_YES);
	rig_row(r, OTHER, MESH_INBOUND_YES);
	rig_up(r, ASKER, false);
	rig_up(r, OTHER, false);
	rig_pass(r, MS_SECOND);
	rig_forget(r);
}

static void
suspected(struct rig *r, int by, uint64_t incarnation, bool is_isolated)
{
	struct wire_liveness said = { .type = WIRE_SUSPECT,
				      .is_isolated = is_isolated,
				      .subject = r->peers[HIDDEN],
				      .incarnation = incarnation,
				      .votes_len = 1 };
	struct buf b = BUF_INIT;

	said.votes[0] = rig_vote(&r->peers[HIDDEN], incarnation, &r->peers[by],
				 is_isolated);
	wire_put_liveness(&b, &said);
	rig_hear(r, by, &b);
}

static void
alive(struct rig *r, int from, uint64_t incarnation)
{
	struct buf b = BUF_INIT;

	rig_put_alive(&b, &r->peers[HIDDEN], incarnation, WIRE_STANDING_THERE);
	rig_hear(r, from, &b);
}

/* One without a link to us is there as long as one of its homes that we reach does not say
 * otherwise. */
static void
test_a_leaf_is_there_by_its_homes(void)
{
	struct rig r;

	leaf_start(&r);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	suspected(&r, ASKER, 3, true);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	/* None has a link to it, and none accuses it. */
	suspected(&r, OTHER, 3, true);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_UNREACHABLE);
	/* It says itself that it is there, which is told to the others. */
	alive(&r, OTHER, 4);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_ALIVE, NULL) == 1);
	CU_ASSERT(rig_sent(&r, OTHER, WIRE_ALIVE, NULL) == 0);
	/* By a home that has gone itself nobody is reached. */
	rig_down(&r, ASKER);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	rig_fini(&r);

	/* Two of three homes are a quorum. */
	leaf_start(&r);
	suspected(&r, ASKER, 3, false);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_SUSPECT);
	CU_ASSERT(rig_sent(&r, OTHER, WIRE_SUSPECT, NULL) == 1);
	suspected(&r, OTHER, 3, false);
	rig_pass(&r, MESH_DEAD_MS - 1);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_SUSPECT);
	rig_pass(&r, 1);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_DEAD);
	alive(&r, ASKER, 4);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	rig_fini(&r);
}

/* A home whose leaf is gone says so; a link in the place of another is no end. */
static void
test_a_lost_leaf_is_told(void)
{
	struct rig r;

	leaf_start(&r);
	rig_up(&r, HIDDEN, false);
	rig_forget(&r);
	rig_up(&r, HIDDEN, false);
	rig_pass(&r, 2 * MESH_RELINK_MS);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_SUSPECT, NULL) == 0);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	rig_fini(&r);

	/* It may be there again in a moment. */
	leaf_start(&r);
	rig_up(&r, HIDDEN, false);
	rig_down(&r, HIDDEN);
	rig_pass(&r, MESH_RELINK_MS - 1);
	rig_up(&r, HIDDEN, false);
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_SUSPECT, NULL) == 0);
	rig_down(&r, HIDDEN);
	rig_pass(&r, MESH_RELINK_MS);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_SUSPECT, NULL) == 1);
	CU_ASSERT(rig_sent(&r, OTHER, WIRE_SUSPECT, NULL) == 1);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_SUSPECT);
	suspected(&r, OTHER, 3, false);
	rig_pass(&r, MESH_DEAD_MS);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_DEAD);
	/* It is back, and hears what is held against it; then it refutes. */
	rig_forget(&r);
	rig_up(&r, HIDDEN, false);
	CU_ASSERT(rig_sent(&r, HIDDEN, WIRE_VERDICT, NULL) >= 1);
	alive(&r, HIDDEN, 4);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_ALIVE, NULL) == 1);
	rig_fini(&r);
}

/* It says itself that it stops: that it was heard of elsewhere does not revive it. */
static void
test_goodbye_outweighs_what_is_reckoned(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	leaf_start(&r);
	rig_up(&r, HIDDEN, false);
	wire_put_goodbye(&b, WIRE_GOODBYE_LEAVING, "");
	rig_hear(&r, HIDDEN, &b);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_LEFT);
	rig_pass(&r, 5 * MS_SECOND);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_LEFT);
	alive(&r, ASKER, 4); /* news */
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	/* One that was banned is alive by nobody's word. */
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					  .node = r.peers[HIDDEN],
					  .is_gone = true });
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_DEAD);
	alive(&r, ASKER, 5);
	rig_pass(&r, 5 * MS_SECOND);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_DEAD);
	rig_fini(&r);
}

/* Who greets anew was never away. */
static void
test_handover_is_not_told(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	leaf_start(&r);
	rig_up(&r, HIDDEN, false);
	rig_forget(&r);
	wire_put_goodbye(&b, WIRE_GOODBYE_CLOCK, "");
	rig_hear(&r, HIDDEN, &b);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	rig_pass(&r, MESH_HANDOVER_MS - 1);
	rig_up(&r, HIDDEN, false);
	rig_pass(&r, 5 * MS_SECOND);
	CU_ASSERT(rig_sent(&r, OTHER, WIRE_SUSPECT, NULL) == 0);
	CU_ASSERT(r.states[HIDDEN] == MESH_NODE_ALIVE);
	/* And if it does not it was. */
	wire_put_goodbye(&b, WIRE_GOODBYE_CLOCK, "");
	rig_hear(&r, HIDDEN, &b);
	rig_pass(&r, MESH_HANDOVER_MS);
	CU_ASSERT(rig_sent(&r, OTHER, WIRE_SUSPECT, NULL) == 1);
	rig_fini(&r);
}

/* ---- ways ---- */

/* Who does not know yet whether it takes links says nothing against a leaf; and what it said
 * against another is not said any more once it turns out to be one itself: nobody else would
 * count it, so that nobody would refute it either. */
static void
test_who_may_accuse(void)
{
	struct rig r;

	for (int known = 0; known < 2; known++) {
		rig_init(&r, home, 1);
		if (known)
			rig_is_reached(&r);
		rig_row(&r, ASKER, MESH_INBOUND_YES);
		rig_row(&r, HIDDEN, MESH_INBOUND_NO);
		rig_up(&r, ASKER, false);
		rig_up(&r, HIDDEN, false);
		rig_forget(&r);
		rig_down(&r, HIDDEN);
		rig_pass(&r, MESH_RELINK_MS);
		CU_ASSERT(rig_sent(&r, ASKER, WIRE_SUSPECT, NULL) == known);
		rig_fini(&r);
	}
	rig_init(&r, home, 1);
	rig_row(&r, ASKER, MESH_INBOUND_YES);
	rig_row(&r, OTHER, MESH_INBOUND_YES);
	rig_up(&r, ASKER, false);
	rig_up(&r, OTHER, false);
	rig_forget(&r);
	rig_down(&r, OTHER);
	rig_pass(&r, MESH_RELINK_MS);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_SUSPECT, NULL) == 1);
	CU_ASSERT(r.states[OTHER] == MESH_NODE_SUSPECT);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_SELF });
	rig_pass(&r, MESH_FEW_MS + MESH_DEAD_MS);
	CU_ASSERT(r.states[OTHER] != MESH_NODE_SUSPECT &&
		  r.states[OTHER] != MESH_NODE_DEAD);
	rig_fini(&r);
}

/* The homes of a leaf pass queries on to it, as far as they are linked to us. */
static void
test_homes_pass_on(void)
{
	uint64_t ways[4];
	struct rig r;

	rig_init(&r, home, 1);
	rig_is_reached(&r);
	rig_row(&r, HIDDEN, MESH_INBOUND_NO);
	rig_row(&r, ASKER, MESH_INBOUND_YES);
	rig_row(&r, OTHER, MESH_INBOUND_YES);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 0);
	rig_up(&r, ASKER, false);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 1);
	CU_ASSERT(ways[0] == r.links[ASKER]);
	rig_up(&r, OTHER, false);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 2);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 1) == 1);
	/* With a link of its own it needs nobody. */
	rig_up(&r, HIDDEN, false);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 0);
	rig_down(&r, HIDDEN);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 2);
	/* One that takes links is dialled, and one that is no member left alone. */
	rig_row(&r, HIDDEN, MESH_INBOUND_YES);
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 0);
	rig_row(&r, HIDDEN, MESH_INBOUND_NO);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					  .node = r.peers[HIDDEN],
					  .inbound = MESH_INBOUND_NO,
					  .is_gone = true });
	CU_ASSERT(mesh_relays_to(r.mesh, &r.peers[HIDDEN], ways, 4) == 0);
	rig_fini(&r);
}

/* ---- queries ---- */

static void
relay_start(struct rig *r)
{
	rig_init(r, home, 1);
	rig_is_reached(r);
	rig_row(r, ASKER, MESH_INBOUND_NO);
	rig_row(r, HIDDEN, MESH_INBOUND_NO);
	rig_row(r, OTHER, MESH_INBOUND_YES);
	for (int i = ASKER; i <= OTHER; i++)
		rig_up(r, i, false);
	rig_forget(r);
}

static void
open_to(struct rig *r, int from, uint64_t qid, int node)
{
	struct query_head head = { .request_id = (char[]){ "r" },
				   .service = (char[]){ "wc" },
				   .method = (char[]){ "POST" },
				   .path = (char[]){ "/" },
				   .hops = 1,
				   .body_len = -1,
				   .timeout_ms = 1000 };
	struct buf b = BUF_INIT;

	wire_put_query_relay(&b, qid, &r->peers[node], &head);
	rig_hear(r, from, &b);
}

static void
word(struct rig *r, int from, enum wire_type type, uint64_t qid)
{
	struct buf b = BUF_INIT;

	wire_put_query_word(&b, type, qid);
	rig_hear(r, from, &b);
}

static void
part(struct rig *r, int from, enum wire_type type, uint64_t qid, size_t len, bool is_last)
{
	static const uint8_t bytes[LIMIT_PART_BYTES_MAX];
	struct buf b = BUF_INIT;

	if (type == WIRE_QUERY_BODY)
		wire_put_query_body(&b, qid, bytes_of(bytes, len), is_last);
	else
		wire_put_reply_data(&b, qid, bytes_of(bytes, len), is_last);
	rig_hear(r, from, &b);
}

static void
credit(struct rig *r, int from, uint64_t qid, int parts, bool is_to_asker)
{
	struct buf b = BUF_INIT;

	wire_put_query_credit(&b, qid, parts, is_to_asker);
	rig_hear(r, from, &b);
}

/* The qid of the latest frame of this type sent to the peer; 0: there was none. */
static uint64_t
sent_qid(const struct rig *r, int to, enum wire_type type)
{
	const struct rig_frame *f = NULL;

	if (rig_sent(r, to, (uint8_t)type, &f) == 0)
		return 0;
	CU_ASSERT(f->class == WIRE_CLASS_RELAY);
	return get_be64(f->payload.data);
}

/* The error that the peer was told; status 0: none. */
static struct query_error
sent_error(const struct rig *r, int to, uint64_t qid)
{
	const struct rig_frame *f = NULL;
	struct query_error e = { 0 };
	struct wire_query q;

	if (rig_sent(r, to, WIRE_REPLY_ERROR, &f) == 0)
		return e;
	CU_ASSERT_FATAL(
		wire_read_query(&(struct wire_frame){ .type = f->type,
						      .flags = f->flags,
						      .payload = buf_bytes(&f->payload) },
				&q) == 0);
	CU_ASSERT(q.qid == qid);
	e.status = q.error.status;
	e.is_taken = q.error.is_taken;
	wire_query_fini(&q);
	return e;
}

static void
test_a_query_passes(void)
{
	struct rig r;
	uint64_t qid;

	relay_start(&r);
	open_to(&r, ASKER, 7, HIDDEN);
	qid = sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN);
	CU_ASSERT_FATAL(qid != 0 && qid != 7);
	CU_ASSERT(mesh_relays(r.mesh) == 1);
	part(&r, ASKER, WIRE_QUERY_BODY, 7, 100, true);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_BODY) == qid);
	word(&r, HIDDEN, WIRE_QUERY_TAKEN, qid);
	CU_ASSERT(sent_qid(&r, ASKER, WIRE_QUERY_TAKEN) == 7);
	word(&r, ASKER, WIRE_QUERY_GO, 7);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_GO) == qid);
	part(&r, HIDDEN, WIRE_REPLY_DATA, qid, 50, false);
	CU_ASSERT(sent_qid(&r, ASKER, WIRE_REPLY_DATA) == 7);
	credit(&r, ASKER, 7, 1, false);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_CREDIT) == qid);
	credit(&r, HIDDEN, qid, 1, true);
	CU_ASSERT(sent_qid(&r, ASKER, WIRE_QUERY_CREDIT) == 7);
	CU_ASSERT(r.handed_on == 0);
	part(&r, HIDDEN, WIRE_REPLY_DATA, qid, 0, true);
	CU_ASSERT(mesh_relays(r.mesh) == 0);
	/* Late words are the dispatcher's, which drops them; and so are its own queries. */
	credit(&r, ASKER, 7, 1, false);
	part(&r, HIDDEN, WIRE_REPLY_DATA, qid, 0, true);
	word(&r, OTHER, WIRE_QUERY_CANCEL, 7);
	CU_ASSERT(r.handed_on == 3 && r.closed == 0);
	rig_fini(&r);
}

/* Numbers of one link mean nothing on another, nor from the other end. */
static void
test_others_cannot_meddle(void)
{
	struct rig r;
	uint64_t qid;

	relay_start(&r);
	open_to(&r, ASKER, 7, HIDDEN);
	qid = sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN);
	rig_forget(&r);
	word(&r, OTHER, WIRE_QUERY_TAKEN, qid);
	word(&r, OTHER, WIRE_QUERY_CANCEL, 7);
	word(&r, ASKER, WIRE_QUERY_TAKEN, qid);
	word(&r, HIDDEN, WIRE_QUERY_CANCEL, qid);
	CU_ASSERT(r.handed_on == 4 && r.frames_len == 0 && mesh_relays(r.mesh) == 1);
	/* The same number again. */
	open_to(&r, ASKER, 7, HIDDEN);
	CU_ASSERT(r.frames_len == 0 && mesh_relays(r.mesh) == 1);
	open_to(&r, OTHER, 7, HIDDEN);
	CU_ASSERT(mesh_relays(r.mesh) == 2);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN) != qid);
	rig_fini(&r);
}

static void
test_refused(void)
{
	struct rig r;

	relay_start(&r);
	/* To one that takes links itself a leaf's are passed on, and no others. */
	rig_row(&r, 3, MESH_INBOUND_YES);
	rig_up(&r, 3, false);
	open_to(&r, OTHER, 1, 3);
	CU_ASSERT(sent_error(&r, OTHER, 1).status == 503);
	open_to(&r, ASKER, 1, 3);
	CU_ASSERT(sent_error(&r, ASKER, 1).status == 0 && mesh_relays(r.mesh) == 1);
	word(&r, ASKER, WIRE_QUERY_CANCEL, 1);
	rig_forget(&r);
	open_to(&r, ASKER, 2, ASKER);
	CU_ASSERT(sent_error(&r, ASKER, 2).status == 503);
	rig_forget(&r);
	open_to(&r, ASKER, 3, 4); /* not linked, nor known */
	CU_ASSERT(sent_error(&r, ASKER, 3).status == 503);
	CU_ASSERT(!sent_error(&r, ASKER, 3).is_taken);
	rig_forget(&r);
	for (int i = 0; i < MESH_RELAYS_MAX; i++)
		open_to(&r, i % 2 ? ASKER : OTHER, 10 + (uint64_t)i, HIDDEN);
	CU_ASSERT(rig_sent(&r, ASKER, WIRE_REPLY_ERROR, NULL) == 0);
	CU_ASSERT(mesh_relays(r.mesh) == MESH_RELAYS_MAX);
	open_to(&r, ASKER, 99, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 99).status == 503);
	word(&r, ASKER, WIRE_QUERY_CANCEL, 11);
	rig_forget(&r);
	open_to(&r, ASKER, 100, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 100).status == 0);
	word(&r, ASKER, WIRE_QUERY_CANCEL, 13);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_LEAVING });
	open_to(&r, ASKER, 101, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 101).status == 503);
	rig_fini(&r);
}

static void
test_much_that_waits(void)
{
	struct mesh_event loaded = { .type = MESH_EVENT_LINK_LOADED, .is_loaded = true };
	struct rig r;

	relay_start(&r);
	loaded.link = r.links[HIDDEN];
	rig_step(&r, loaded);
	open_to(&r, ASKER, 1, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 1).status == 503);
	CU_ASSERT(rig_sent(&r, HIDDEN, WIRE_QUERY_OPEN, NULL) == 0);
	loaded.is_loaded = false;
	rig_step(&r, loaded);
	rig_forget(&r);
	open_to(&r, ASKER, 2, HIDDEN);
	CU_ASSERT(rig_sent(&r, HIDDEN, WIRE_QUERY_OPEN, NULL) == 1);
	/* Words that need no credit. */
	for (int i = 0; i < MESH_RELAY_WORDS_MAX; i++)
		word(&r, ASKER, WIRE_QUERY_GO, 2);
	CU_ASSERT(mesh_relays(r.mesh) == 1);
	word(&r, ASKER, WIRE_QUERY_GO, 2);
	CU_ASSERT(mesh_relays(r.mesh) == 0 && sent_error(&r, ASKER, 2).status == 502);
	rig_fini(&r);
}

static void
test_ends_are_told(void)
{
	struct rig r;
	uint64_t qid;

	/* The asker cancels, or is gone. */
	relay_start(&r);
	open_to(&r, ASKER, 7, HIDDEN);
	qid = sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN);
	word(&r, ASKER, WIRE_QUERY_CANCEL, 7);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_CANCEL) == qid);
	open_to(&r, ASKER, 8, HIDDEN);
	qid = sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN);
	rig_down(&r, ASKER);
	CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_CANCEL) == qid);
	CU_ASSERT(mesh_relays(r.mesh) == 0);
	rig_up(&r, ASKER, false);
	/* The one that answers is gone: before it had said that a worker has it … */
	open_to(&r, ASKER, 9, HIDDEN);
	rig_forget(&r);
	rig_down(&r, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 9).status == 503);
	CU_ASSERT(!sent_error(&r, ASKER, 9).is_taken);
	/* … and after. */
	rig_up(&r, HIDDEN, false);
	open_to(&r, ASKER, 10, HIDDEN);
	word(&r, HIDDEN, WIRE_QUERY_TAKEN, sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN));
	rig_forget(&r);
	rig_down(&r, HIDDEN);
	CU_ASSERT(sent_error(&r, ASKER, 10).status == 502);
	CU_ASSERT(sent_error(&r, ASKER, 10).is_taken);
	CU_ASSERT(mesh_relays(r.mesh) == 0);
	rig_fini(&r);
}

static void
test_windows_are_kept(void)
{
	struct rig r;
	uint64_t qid;

	for (int way = 0; way < 2; way++) {
		int from = way == 0 ? ASKER : HIDDEN;
		enum wire_type type = way == 0 ? WIRE_QUERY_BODY : WIRE_REPLY_DATA;

		relay_start(&r);
		open_to(&r, ASKER, 7, HIDDEN);
		qid = sent_qid(&r, HIDDEN, WIRE_QUERY_OPEN);
		for (int i = 0; i < LIMIT_PARTS_WINDOW; i++)
			part(&r, from, type, way == 0 ? 7 : qid, 10, false);
		if (way == 0)
			credit(&r, HIDDEN, qid, 1, true);
		else
			credit(&r, ASKER, 7, 1, false);
		part(&r, from, type, way == 0 ? 7 : qid, 10, false);
		CU_ASSERT(mesh_relays(r.mesh) == 1);
		part(&r, from, type, way == 0 ? 7 : qid, 10, false);
		CU_ASSERT(mesh_relays(r.mesh) == 0);
		CU_ASSERT(sent_qid(&r, HIDDEN, WIRE_QUERY_CANCEL) == qid);
		CU_ASSERT(sent_error(&r, ASKER, 7).status == 502);
		rig_fini(&r);
	}
	/* More credit than there is room. */
	relay_start(&r);
	open_to(&r, ASKER, 7, HIDDEN);
	credit(&r, ASKER, 7, 1, false);
	CU_ASSERT(mesh_relays(r.mesh) == 0);
	rig_fini(&r);
}

/* Bad bytes end the link that they came by, and not that of the node that would see them. */
static void
test_bad_bytes_stop_here(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	relay_start(&r);
	open_to(&r, ASKER, 7, HIDDEN);
	wire_put_frame(&b, WIRE_QUERY_GO, WIRE_FLAG_MUST,
		       bytes_of("\0\0\0\0\0\0\0\7x", 9));
	rig_hear(&r, ASKER, &b);
	CU_ASSERT(r.links[ASKER] == 0 && r.links[HIDDEN] != 0 && r.closed == 1);
	CU_ASSERT(rig_sent(&r, HIDDEN, WIRE_QUERY_CANCEL, NULL) == 1);
	wire_put_frame(&b, WIRE_QUERY_RELAY, WIRE_FLAG_MUST, bytes_of("too short", 9));
	rig_hear(&r, OTHER, &b);
	CU_ASSERT(r.links[OTHER] == 0);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "a node that takes no links is there as its homes say",
	  test_a_leaf_is_there_by_its_homes },
	{ "a home whose leaf is gone says so, if it does not come back at once",
	  test_a_lost_leaf_is_told },
	{ "a goodbye outweighs what is reckoned",
	  test_goodbye_outweighs_what_is_reckoned },
	{ "one that greets anew was not away", test_handover_is_not_told },
	{ "who may be a leaf itself accuses none, and a leaf nobody",
	  test_who_may_accuse },
	{ "the homes of a node that takes no links pass queries on to it",
	  test_homes_pass_on },
	{ "a query passes to a node that takes no links, and its reply comes back",
	  test_a_query_passes },
	{ "words of others about it are not passed on", test_others_cannot_meddle },
	{ "for a node that takes links, a stranger, or too many at once: refused",
	  test_refused },
	{ "nothing new is passed on while much waits, nor words without end",
	  test_much_that_waits },
	{ "when one end is gone the other is told, and whether a worker had it",
	  test_ends_are_told },
	{ "more parts or credits than were asked for end the query",
	  test_windows_are_kept },
	{ "bad bytes are not passed on; the link that they came by ends",
	  test_bad_bytes_stop_here },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
