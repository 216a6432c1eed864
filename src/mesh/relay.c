/* SPDX-License-Identifier: Apache-2.0 */
/* Queries between two nodes that are linked to this one and not to each other, passed on
 * frame by frame. To the node that answers they are this node's own: it needs to know
 * nothing of relays, and passes on nothing that comes so. Of their contents only the form
 * is looked at, since that node would blame this one for bad bytes; and parts are counted, so
 * that what waits here is bounded whatever the two ends do. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mesh/core.h"

/* In the qids that this node gives, what tells them from those of its own dispatcher. */
#define RELAY_QID_BIT (UINT64_C(1) << 63)

static struct mesh_relay *
relay_of_asker(const struct mesh *m, uint64_t link, uint64_t qid)
{
	struct mesh_relay_key key = { .link = link, .qid = qid };
	struct mesh_relay *r;

	HASH_FIND(hh, m->relays, &key, sizeof(key), r);
	return r;
}

static struct mesh_relay *
relay_of_answerer(const struct mesh *m, uint64_t link, uint64_t qid)
{
	struct mesh_relay *r;

	HASH_FIND(hh_out, m->relays_out, &qid, sizeof(qid), r);
	return r != NULL && r->out_link == link ? r : NULL;
}

static void
relay_send(struct mesh *m, uint64_t link, struct buf *frame)
{
	struct mesh_link *l = mesh_link_find(m, link);

	if (l != NULL)
		mesh_send(m, l, WIRE_CLASS_RELAY, buf_bytes(frame));
	buf_fini(frame);
}

/* ---- ends ---- */

static void
relay_free(struct mesh *m, struct mesh_relay *r)
{
	struct mesh_link *in = mesh_link_find(m, r->key.link);
	struct mesh_link *out = mesh_link_find(m, r->out_link);

	if (in != NULL)
		in->relays--;
	if (out != NULL)
		out->relays--;
	HASH_DELETE(hh, m->relays, r);
	HASH_DELETE(hh_out, m->relays_out, r);
	free(r);
}

void
mesh_relays_free(struct mesh *m)
{
	while (m->relays != NULL)
		relay_free(m, m->relays);
}

static void
relay_tell_error(struct mesh *m, uint64_t link, uint64_t qid, int status, bool is_taken,
		 bool is_final, const char *text)
{
	struct query_error error;
	struct buf b = BUF_INIT;

	query_error_set(&error, status, "%s", text);
	error.node = m->config.self;
	error.is_taken = is_taken;
	error.retry_after_s = status == 503 ? 1 : 0;
	wire_put_reply_error(&b, qid, &error, is_final);
	relay_send(m, link, &b);
	query_error_fini(&error);
}

static void
relay_cancel(struct mesh *m, const struct mesh_relay *r)
{
	struct buf b = BUF_INIT;

	wire_put_query_word(&b, WIRE_QUERY_CANCEL, r->out_qid);
	relay_send(m, r->out_link, &b);
}

/* One end sent more than the other asked for, or said that it may. */
static void
relay_broken(struct mesh *m, struct mesh_relay *r)
{
	relay_cancel(m, r);
	relay_tell_error(m, r->key.link, r->key.qid, 502, r->is_taken, true,
			 "more was sent through the node that passes it on than was "
			 "asked for");
	relay_free(m, r);
}

/* Whether the worker has it the asker must know, to decide whether it may ask again: what
 * was said of it passed here. */
void
mesh_relays_link_down(struct mesh *m, const struct mesh_link *l)
{
	struct mesh_relay *r, *next;

	HASH_ITER (hh, m->relays, r, next) {
		if (r->key.link == l->id)
			relay_cancel(m, r);
		else if (r->out_link == l->id)
			relay_tell_error(m, r->key.link, r->key.qid,
					 r->is_taken ? 502 : 503, r->is_taken, false,
					 "the node that passes queries on lost its link "
					 "to the one that answers");
		else
			continue;
		relay_free(m, r);
	}
}

/* ---- a new one ---- */

/* Why not; NULL: it may be. */
static const char *
relay_refusal(const struct mesh *m, const struct mesh_link *in,
	      const struct mesh_node *to, const struct mesh_link *out)
{
	if (m->is_leaving)
		return "the node that passes queries on is stopping";
	if (out == NULL || to == in->node ||
	    (to->inbound == MESH_INBOUND_YES && in->node->inbound != MESH_INBOUND_NO))
		return "the node that was to pass the query on is not linked to the one "
		       "that answers";
	if (in->relays >= MESH_RELAYS_MAX || out->relays >= MESH_RELAYS_MAX ||
	    out->is_loaded)
		return "the node that passes queries on has too many of them";
	return NULL;
}

static void
relay_open(struct mesh *m, struct mesh_link *in, const struct wire_query *q)
{
	struct mesh_node *to = mesh_node_find(m, &q->node);
	struct mesh_link *out = to != NULL ? mesh_link_find(m, to->link) : NULL;
	const char *why = relay_refusal(m, in, to, out);
	struct mesh_relay *r = relay_of_asker(m, in->id, q->qid);
	struct buf b = BUF_INIT;

	if (r != NULL)
		return; /* an honest asker never uses a number twice */
	if (why != NULL) {
		relay_tell_error(m, in->id, q->qid, 503, false, false, why);
		return;
	}
	r = mem_calloc(1, sizeof(*r));
	r->key = (struct mesh_relay_key){ .link = in->id, .qid = q->qid };
	r->out_link = out->id;
	r->out_qid = RELAY_QID_BIT | ++m->last_relay;
	r->body_room = r->reply_room = LIMIT_PARTS_WINDOW;
	HASH_ADD(hh, m->relays, key, sizeof(r->key), r);
	HASH_ADD(hh_out, m->relays_out, out_qid, sizeof(r->out_qid), r);
	in->relays++;
	out->relays++;
	m->stats.relayed++;
	wire_put_query_open(&b, r->out_qid, &q->head);
	relay_send(m, r->out_link, &b);
}

void
mesh_link_loaded(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l = mesh_link_find(m, e->link);

	if (l != NULL)
		l->is_loaded = e->is_loaded;
}

/* ---- passing on ---- */

static bool
relay_count(int *room, int change)
{
	*room += change;
	return *room >= 0 && *room <= LIMIT_PARTS_WINDOW;
}

/* False: it does not fit what was said before. */
static bool
relay_account(struct mesh_relay *r, const struct wire_query *q)
{
	switch (q->type) {
	case WIRE_QUERY_BODY:
		return relay_count(&r->body_room, q->data.len > 0 ? -1 : 0);
	case WIRE_QUERY_CREDIT:
		return relay_count(q->is_to_asker ? &r->body_room : &r->reply_room,
				   q->parts);
	case WIRE_REPLY_DATA:
		r->is_taken = true;
		return relay_count(&r->reply_room, q->data.len > 0 ? -1 : 0);
	case WIRE_QUERY_TAKEN:
	case WIRE_REPLY_HEAD:
		r->is_taken = true;
		return ++r->words <= MESH_RELAY_WORDS_MAX;
	case WIRE_QUERY_GO:
	case WIRE_QUERY_LOAD:
		return ++r->words <= MESH_RELAY_WORDS_MAX;
	default:
		return true;
	}
}

static bool
relay_is_end(const struct wire_query *q)
{
	return q->type == WIRE_QUERY_CANCEL || q->type == WIRE_REPLY_ERROR ||
	       (q->type == WIRE_REPLY_DATA && q->is_last);
}

static void
relay_pass(struct mesh *m, struct mesh_relay *r, const struct wire_frame *f,
	   const struct wire_query *q, bool is_from_asker)
{
	struct buf b = BUF_INIT;

	if (!relay_account(r, q)) {
		relay_broken(m, r);
		return;
	}
	wire_put_query_again(&b, f, is_from_asker ? r->out_qid : r->key.qid);
	relay_send(m, is_from_asker ? r->out_link : r->key.link, &b);
	if (relay_is_end(q))
		relay_free(m, r);
}

/* Is it a word of the one who asks? */
static bool
relay_is_askers(const struct wire_frame *f)
{
	switch (f->type) {
	case WIRE_QUERY_BODY:
	case WIRE_QUERY_GO:
	case WIRE_QUERY_CANCEL:
		return true;
	case WIRE_QUERY_CREDIT:
		return !(f->flags & WIRE_FLAG_TO_ASKER);
	default:
		return false;
	}
}

enum mesh_relayed
mesh_frame_relay(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	bool is_open = f->type == WIRE_QUERY_RELAY, is_from_asker = relay_is_askers(f);
	struct mesh_relay *r = NULL;
	struct wire_query q;

	/* Between two that are linked, and about no query. */
	if (f->type == WIRE_QUERY_PROBE || f->type == WIRE_QUERY_PULL)
		return MESH_RELAYED_NOT;
	if (!is_open && f->type != WIRE_QUERY_OPEN && f->payload.len >= 8)
		r = is_from_asker
			    ? relay_of_asker(m, l->id, get_be64(f->payload.data))
			    : relay_of_answerer(m, l->id, get_be64(f->payload.data));
	if (!is_open && r == NULL)
		return MESH_RELAYED_NOT;
	if (wire_read_query(f, &q) < 0) {
		mesh_malformed(m, l, "a query frame to be passed on");
		return MESH_RELAYED_CLOSED;
	}
	if (is_open)
		relay_open(m, l, &q);
	else
		relay_pass(m, r, f, &q, is_from_asker);
	wire_query_fini(&q);
	return MESH_RELAYED;
}
