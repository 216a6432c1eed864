/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives on a link; heartbeats; rows flooded; whole tables asked for and sent. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "mesh/core.h"

static void
mesh_send_empty(struct mesh *m, struct mesh_link *l, enum wire_type type)
{
	struct buf b = BUF_INIT;

	wire_put_frame(&b, (uint8_t)type, WIRE_FLAG_MUST, BYTES_NONE);
	mesh_send(m, l, wire_class_of((uint8_t)type), buf_bytes(&b));
	buf_fini(&b);
}

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
	l->rtt_due = m->now + MESH_RTT_MS;
	mesh_want(m, l->rtt_due);
	mesh_send_ping(m, l, WIRE_PING, (uint64_t)m->now);
}

/* Whole tables. */

static void
mesh_table_ask(struct mesh *m, struct mesh_link *l)
{
	m->ask_link = l->id;
	m->ask_heard = m->now;
	m->wants_table = false;
	m->stats.tables_asked++;
	l->ask_root = m->root.hi;
	l->ask_next = m->now + l->ask_interval;
	mesh_want(m, m->now + MESH_ASK_STALL_MS);
	mesh_send_empty(m, l, WIRE_ROWS_ASK);
}

void
mesh_table_greeted(struct mesh *m, struct mesh_link *l)
{
	if (l->is_rowless || l->their_root == m->root.hi)
		return;
	if (m->ask_link == 0)
		mesh_table_ask(m, l);
	/* Else heartbeats will tell whether this one has still more to give. */
}

void
mesh_table_cut(struct mesh *m, struct mesh_link *l)
{
	if (m->ask_link != l->id)
		return;
	m->ask_link = 0;
	m->wants_table = true;
	mesh_want(m, m->now);
}

void
mesh_table_tick(struct mesh *m)
{
	struct mesh_link *l;

	if (m->ask_link != 0 && m->now - m->ask_heard >= MESH_ASK_STALL_MS) {
		m->ask_link = 0;
		m->wants_table = true;
	}
	if (m->ask_link != 0)
		mesh_want(m, m->ask_heard + MESH_ASK_STALL_MS);
	if (m->ask_link != 0 || !m->wants_table)
		return;
	m->wants_table = false;
	for (l = m->links; l != NULL; l = l->hh.next) {
		if (l->state != MESH_LINK_UP || l->retired_at != 0 || l->is_rowless ||
		    l->their_root == m->root.hi || l->ask_next > m->now)
			continue;
		mesh_table_ask(m, l);
		return;
	}
}

static void
mesh_table_asked(struct mesh *m, struct mesh_link *l)
{
	if (l->is_rowless || l->is_sending)
		return;
	l->is_sending = l->is_reading = true;
	l->sent_rows = 0;
	mesh_act(m, MESH_ACTION_READ_TABLE, l->id);
}

void
mesh_table_read(struct mesh *m, const struct mesh_event *e)
{
	struct mesh_link *l = mesh_link_find(m, e->link);
	struct buf b = BUF_INIT;
	struct mesh_item *item;

	if (l == NULL || !l->is_reading)
		return;
	l->is_reading = false;
	l->sent_rows += e->rows_len;
	if (e->rows.len > 0)
		wire_put_rows(&b, e->rows);
	if (e->is_last) {
		wire_put_rows_end(&b, l->sent_rows);
		l->is_sending = false;
	}
	if (b.len > 0)
		mesh_send(m, l, WIRE_CLASS_ROWS, buf_bytes(&b));
	buf_fini(&b);
	if (e->is_last)
		return;
	l->is_reading = true;
	item = mesh_act(m, MESH_ACTION_READ_TABLE, l->id);
	memcpy(item->action.cursor, e->cursor, sizeof(item->action.cursor));
}

static void
mesh_table_received(struct mesh *m, struct mesh_link *l)
{
	if (m->ask_link != l->id)
		return;
	m->ask_link = 0;
	mesh_act(m, MESH_ACTION_TABLE_RECEIVED, l->id)->action.node = l->node->id;
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
	wire_put_rows(&b, rows);
	blob = mesh_blob_new(buf_bytes(&b));
	buf_fini(&b);
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state == MESH_LINK_UP && l->retired_at == 0 && !l->is_rowless &&
		    (from == NULL || l->node != from->node))
			mesh_send_blob(m, l, WIRE_CLASS_ROWS, blob);
	mesh_blob_release(blob);
}

/* False when the link was closed. */
static bool
mesh_rows_arrived(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct bytes rows = f->payload;
	struct mesh_item *item;

	if (l->is_rowless)
		return true;
	if (m->ask_link == l->id)
		m->ask_heard = m->now;
	if (l->rows.len > 0 || (f->flags & WIRE_FLAG_MORE)) {
		if (l->rows.len + f->payload.len > MESH_ROWS_BYTES_MAX) {
			mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
					"a row of more than %d bytes",
					MESH_ROWS_BYTES_MAX);
			return false;
		}
		buf_put_bytes(&l->rows, f->payload);
		if (f->flags & WIRE_FLAG_MORE)
			return true;
		rows = buf_bytes(&l->rows);
	}
	if (rows.len == 0) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "an empty ROWS frame");
		return false;
	}
	item = mesh_act(m, MESH_ACTION_DELIVER_ROWS, l->id);
	item->blob = mesh_blob_new(rows);
	item->action.node = l->node->id;
	item->action.rows = bytes_of(item->blob->data, item->blob->len);
	buf_fini(&l->rows);
	return true;
}

/* Heartbeats. */

/* Equal roots: nothing to do. Different ones, and neither has moved since this link's last
 * beat: something was missed, so ask; less and less often while that brings nothing. */
static void
mesh_beat_arrived(struct mesh *m, struct mesh_link *l, uint64_t root)
{
	uint64_t ours = m->root.hi;
	bool is_settled = l->is_differing && l->differing_theirs == root &&
			  l->differing_ours == ours;

	l->their_root = root;
	l->is_differing = root != ours;
	l->differing_theirs = root;
	l->differing_ours = ours;
	if (!l->is_differing) {
		l->ask_interval = MESH_ASK_MS;
		return;
	}
	if (!is_settled || l->is_rowless || l->retired_at != 0 || m->ask_link != 0 ||
	    l->ask_next > m->now)
		return;
	if (l->ask_root == ours && l->ask_next != 0)
		l->ask_interval = l->ask_interval * 2 < MESH_ASK_MS_MAX
					  ? l->ask_interval * 2
					  : MESH_ASK_MS_MAX;
	else
		l->ask_interval = MESH_ASK_MS;
	mesh_table_ask(m, l);
}

void
mesh_beat_tick(struct mesh *m)
{
	struct mesh_link *next = NULL, *first = NULL, *l;
	struct buf b = BUF_INIT;

	mesh_want(m, m->beat_due);
	if (m->beat_due > m->now)
		return;
	m->beat_due = m->now + MESH_BEAT_MS;
	mesh_want(m, m->beat_due);
	for (l = m->links; l != NULL; l = l->hh.next) {
		if (l->state != MESH_LINK_UP || l->retired_at != 0)
			continue;
		if (first == NULL || l->id < first->id)
			first = l;
		if (l->id > m->beat_link && (next == NULL || l->id < next->id))
			next = l;
	}
	if (next == NULL)
		next = first;
	if (next == NULL)
		return;
	m->beat_link = next->id;
	wire_put_heartbeat(&b, m->root.hi, WIRE_STATUS_ALIVE);
	mesh_send(m, next, WIRE_CLASS_HEARTBEAT, buf_bytes(&b));
	buf_fini(&b);
}

/* Frames. */

/* Each of these is false when the link was closed. */

static bool
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
	if (m->now - l->pings_since >= MS_SECOND) {
		l->pings_since = m->now;
		l->pings = 0;
	}
	if (++l->pings > MESH_PINGS_MAX) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
				"more than %d PINGs a second", MESH_PINGS_MAX);
		return false;
	}
	mesh_send_ping(m, l, WIRE_PONG, token);
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
	item->action.node = l->node->id;
	mesh_act_text(item, why, &item->action.why);
	mesh_link_ended(m, l, reason, why);
	return false;
}

static bool
mesh_frame_query(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	struct mesh_item *item = mesh_act(m, MESH_ACTION_QUERY, l->id);

	item->blob = mesh_blob_new(f->payload);
	item->action.node = l->node->id;
	item->action.frame = *f;
	item->action.frame.payload = bytes_of(item->blob->data, item->blob->len);
	return true;
}

static bool
mesh_frame_up(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	uint64_t v;

	switch (f->type) {
	case WIRE_HEARTBEAT:
		if (wire_read_u64(f->payload, &v) < 0)
			return mesh_malformed(m, l, "a HEARTBEAT");
		mesh_beat_arrived(m, l, v);
		return true;
	case WIRE_PING:
	case WIRE_PONG:
		return mesh_frame_ping(m, l, f);
	case WIRE_ROWS_ASK:
		mesh_table_asked(m, l);
		return true;
	case WIRE_ROWS:
		return mesh_rows_arrived(m, l, f);
	case WIRE_ROWS_END:
		if (wire_read_u64(f->payload, &v) < 0)
			return mesh_malformed(m, l, "a ROWS_END");
		mesh_table_received(m, l);
		return true;
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
	l->heard = m->now;
	l->is_pinged = false;
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
