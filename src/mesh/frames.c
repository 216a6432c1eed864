/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives on a link; rows flooded. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "mesh/core.h"

static void
mesh_send_ping(struct mesh *m, struct mesh_link *l, enum wire_type type, uint64_t token)
{
	struct buf b = BUF_INIT;

	wire_put_ping(&b, type, token);
	mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

void
mesh_ping(struct mesh *m, struct mesh_link *l)
{
	mesh_send_ping(m, l, WIRE_PING, (uint64_t)m->now);
}

bool
mesh_rate_pass_in(const struct mesh *m, struct mesh_rate *rate, int max, ms_t span)
{
	if (m->now - rate->since >= span)
		*rate = (struct mesh_rate){ .since = m->now };
	return ++rate->count <= max;
}

bool
mesh_rate_pass(const struct mesh *m, struct mesh_rate *rate, int max)
{
	return mesh_rate_pass_in(m, rate, max, MS_SECOND);
}

/* Rows. */

void
mesh_rows_changed(struct mesh *m, uint64_t origin, struct bytes rows)
{
	const struct mesh_link *from = mesh_link_find(m, origin);
	struct mesh_blob *blob;
	struct buf b = BUF_INIT;

	if (rows.len == 0)
		return;
	wire_put_rows(&b, WIRE_ROWS, rows);
	blob = mesh_blob_new(buf_bytes(&b));
	buf_fini(&b);
	/* Also behind a HELLO that is not answered yet: the root in it is the one before these
	 * rows, so that nobody would miss them. */
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state != MESH_LINK_DIALLING && l->retired_at == 0 &&
		    !l->is_rowless && (from == NULL || l->node != from->node))
			mesh_send_blob(m, l, WIRE_CLASS_ROWS, blob);
	mesh_blob_release(blob);
}

/* False when the link was closed. */
static bool
mesh_rows_arrived(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	bool is_sync = f->type == WIRE_SYNC_ROWS;
	struct buf *begun = is_sync ? &l->sync_rows : &l->rows;
	struct bytes rows = f->payload;
	struct mesh_item *item;

	if (l->is_rowless)
		return true;
	if (begun->len > 0 || (f->flags & WIRE_FLAG_MORE)) {
		if (begun->len + f->payload.len > MESH_ROWS_BYTES_MAX) {
			mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
					"a row of more than %d bytes",
					MESH_ROWS_BYTES_MAX);
			return false;
		}
		buf_put_bytes(begun, f->payload);
		if (f->flags & WIRE_FLAG_MORE)
			return true;
		rows = buf_bytes(begun);
	}
	if (rows.len == 0) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "a frame of no rows");
		return false;
	}
	item = mesh_act(m, MESH_ACTION_DELIVER_ROWS, l->id);
	item->blob = mesh_blob_new(rows);
	item->action.node = l->node->id;
	item->action.rows = bytes_of(item->blob->data, item->blob->len);
	item->action.is_sync = is_sync;
	buf_fini(begun);
	return true;
}

/* Node rows asked for. */

void
mesh_want_rows(struct mesh *m, uint64_t link, struct bytes owners)
{
	struct mesh_link *l = mesh_link_find(m, link);
	struct buf b = BUF_INIT;

	if (l == NULL || l->state != MESH_LINK_UP || l->is_rowless)
		return;
	while (owners.len > 0 && mesh_rate_pass(m, &l->sent_wants, MESH_WANTS_SENT_MAX)) {
		size_t len = owners.len;

		if (len > (size_t)WIRE_WANT_MAX * ID_BYTES)
			len = (size_t)WIRE_WANT_MAX * ID_BYTES;
		wire_put_want(&b, bytes_of(owners.data, len));
		owners.data += len;
		owners.len -= len;
	}
	if (b.len > 0)
		mesh_send(m, l, WIRE_CLASS_CONTROL, buf_bytes(&b));
	buf_fini(&b);
}

/* Frames. */

/* Each of these is false when the link was closed. */

bool
mesh_malformed(struct mesh *m, struct mesh_link *l, const char *what)
{
	mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "%s cannot be read", what);
	return false;
}

static bool
mesh_frame_ping(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	uint64_t token;

	if (wire_read_u64(f->payload, &token) < 0)
		return mesh_malformed(m, l, "a PING or PONG");
	if (f->type == WIRE_PONG) {
		ms_t rtt = m->now - (ms_t)token;

		/* A token of ours is a moment in the past; anything else tells nothing. */
		if (token <= (uint64_t)m->now && rtt <= MESH_SILENT_MS)
			l->rtt = l->rtt < 0 ? rtt : (7 * l->rtt + rtt + 4) / 8;
		return true;
	}
	if (!mesh_rate_pass(m, &l->pings, MESH_PINGS_MAX)) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"more than %d PINGs a second", MESH_PINGS_MAX);
		return false;
	}
	mesh_send_ping(m, l, WIRE_PONG, token);
	return true;
}

static bool
mesh_frame_clock(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	uint64_t horizon;
	ms_t wall;

	if (wire_read_clock(f->payload, &wall, &horizon) < 0)
		return mesh_malformed(m, l, "a CLOCK");
	return mesh_link_clock(m, l, wall, horizon);
}

static bool
mesh_frame_want(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct mesh_item *item;
	struct bytes owners;

	if (wire_read_want(f->payload, &owners) < 0)
		return mesh_malformed(m, l, "a WANT");
	if (!mesh_rate_pass(m, &l->wants, MESH_WANTS_MAX)) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"more than %d WANTs a second", MESH_WANTS_MAX);
		return false;
	}
	if (l->is_rowless)
		return true;
	item = mesh_act(m, MESH_ACTION_WANTED, l->id);
	item->blob = mesh_blob_new(owners);
	item->action.node = l->node->id;
	item->action.data = bytes_of(item->blob->data, item->blob->len);
	return true;
}

static bool
mesh_frame_goodbye(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	char text[WIRE_GOODBYE_BYTES_MAX + 1], why[MESH_WHY_SIZE];
	struct mesh_item *item;
	uint8_t reason;

	if (wire_read_goodbye(f->payload, &reason, text) < 0)
		return mesh_malformed(m, l, "a GOODBYE");
	snprintf(why, sizeof(why), "the other side says: %s",
		 text[0] != '\0' ? text : wire_goodbye_text(reason));
	item = mesh_act(m, MESH_ACTION_CLOSE, l->id);
	item->action.goodbye = reason;
	item->action.node = l->node->id;
	item->action.is_barred = reason == WIRE_GOODBYE_BARRED;
	mesh_act_text(item, why, &item->action.why);
	if (reason == WIRE_GOODBYE_BUSY && mesh_is_leaf(m)) {
		l->node->busy_until = m->now + MESH_BUSY_MS;
		m->homes_due = m->now;
	}
	mesh_link_ended(m, l, reason, why);
	return false;
}

static bool
mesh_frame_hand_on(struct mesh *m, struct mesh_link *l, const struct wire_frame *f,
		   enum mesh_action_type type)
{
	struct mesh_item *item = mesh_act(m, type, l->id);

	item->blob = mesh_blob_new(f->payload);
	item->action.node = l->node->id;
	item->action.frame = *f;
	item->action.frame.payload = bytes_of(item->blob->data, item->blob->len);
	return true;
}

static bool
mesh_frame_query(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	enum mesh_relayed relayed;

	l->used = m->now;
	relayed = mesh_frame_relay(m, l, f);
	if (relayed == MESH_RELAYED_NOT)
		return mesh_frame_hand_on(m, l, f, MESH_ACTION_QUERY);
	return relayed == MESH_RELAYED;
}

static bool
mesh_frame_up(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	uint64_t v;

	switch (f->type) {
	case WIRE_HEARTBEAT:
		if (wire_read_u64(f->payload, &v) < 0)
			return mesh_malformed(m, l, "a HEARTBEAT");
		mesh_beat_arrived(m, l, v, f->flags);
		return true;
	case WIRE_PING:
	case WIRE_PONG:
		return mesh_frame_ping(m, l, f);
	case WIRE_CLOCK:
		return mesh_frame_clock(m, l, f);
	case WIRE_WANT:
		return mesh_frame_want(m, l, f);
	case WIRE_DIAL_BACK:
		return mesh_frame_dial_back(m, l, f->payload);
	case WIRE_SUSPECT:
	case WIRE_ALIVE:
	case WIRE_VERDICT:
		return mesh_frame_liveness(m, l, f);
	case WIRE_ASK:
	case WIRE_HEARD:
		return mesh_frame_about(m, l, f);
	case WIRE_DIALLED:
		return mesh_frame_dialled(m, l, f->payload);
	case WIRE_ROWS:
	case WIRE_SYNC_ROWS:
		return mesh_rows_arrived(m, l, f);
	case WIRE_SYNC:
		return l->is_rowless || mesh_frame_hand_on(m, l, f, MESH_ACTION_SYNC);
	case WIRE_HELLO:
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "a second HELLO");
		return false;
	default:
		break;
	}
	if (wire_type_is_query(f->type))
		return mesh_frame_query(m, l, f);
	if (f->flags & WIRE_FLAG_MUST) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"a frame of type %d, which this node must understand and "
				"does not",
				f->type);
		return false;
	}
	m->stats.skipped_frames++;
	return true;
}

static bool
mesh_frame(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	if (f->type == WIRE_GOODBYE)
		return mesh_frame_goodbye(m, l, f);
	if (l->state == MESH_LINK_UP)
		return mesh_frame_up(m, l, f);
	if (f->type != WIRE_HELLO) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"its first frame is no HELLO");
		return false;
	}
	mesh_link_greeted(m, l, f->payload);
	return true;
}

void
mesh_link_data(struct mesh *m, uint64_t id, struct bytes data)
{
	struct mesh_link *l = mesh_link_find(m, id);
	struct wire_frame f;
	int rc;

	if (l->state == MESH_LINK_DIALLING)
		return;
	mesh_link_heard(m, l);
	l->received_bytes += data.len;
	/* A frame may end this link, also by way of another one: look it up each time. */
	while ((l = mesh_link_find(m, id)) != NULL) {
		rc = wire_reader_next(&l->reader, &data, &f);
		if (rc == 0)
			return;
		if (rc < 0) {
			mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
					"a frame longer than %zu bytes",
					l->reader.payload_max);
			return;
		}
		m->stats.received_frames[wire_class_of(f.type)]++;
		m->stats.received_bytes[wire_class_of(f.type)] += WIRE_HEADER_BYTES +
								  f.payload.len;
		if (!mesh_frame(m, l, &f))
			return;
	}
}
