/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/mesh-script.h"

#include <stdio.h>
#include <string.h>

static void
script_frames(struct script *s, struct bytes data)
{
	struct wire_reader r;
	struct wire_frame f;

	wire_reader_init(&r);
	r.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	while (wire_reader_next(&r, &data, &f) == 1) {
		s->types[s->types_len++] = f.type;
		if (f.type == WIRE_GOODBYE)
			s->goodbye = f.payload.data[0];
		s->wants += f.type == WIRE_WANT;
		s->clocks += f.type == WIRE_CLOCK;
		if (f.type == WIRE_HEARTBEAT)
			s->beat = get_be64(f.payload.data);
	}
	wire_reader_fini(&r);
}

/* Nobody here checks it. */
static void
script_sign(struct script *s, const struct mesh_action *a)
{
	static const uint8_t signature[WIRE_SIGNATURE_BYTES];
	struct mesh_event e = { .type = MESH_EVENT_SIGNED,
				.number = a->number,
				.data = bytes_of(signature, sizeof(signature)) };

	mesh_step(s->mesh, s->now, &e);
}

static void
script_do(struct script *s, const struct mesh_action *a)
{
	static const char letters[] = "DSCUWNRHAYQIpeiwdrhsv"; /* by type */
	size_t n = strlen(s->kinds);

	_Static_assert(sizeof(letters) - 1 == MESH_ACTION_VERIFY + 1, "one for each");
	if (a->type == MESH_ACTION_SIGN) {
		script_sign(s, a);
		return;
	}
	if (n + 1 < sizeof(s->kinds))
		s->kinds[n] = letters[a->type];
	if (a->type == MESH_ACTION_SEND)
		script_frames(s, a->data);
	if (a->type == MESH_ACTION_DIAL) {
		s->dialled = a->link;
		snprintf(s->address, sizeof(s->address), "%s", a->address);
	}
	s->is_barred |= a->is_barred;
	if (a->why != NULL)
		snprintf(s->why, sizeof(s->why), "%s", a->why);
	if (a->type == MESH_ACTION_NODE_STATE)
		s->state = a->state;
	if (a->type == MESH_ACTION_INCARNATION)
		s->incarnation = a->incarnation;
	if (a->type == MESH_ACTION_DELIVER_ROWS) {
		s->delivered += a->rows.len;
		s->is_sync = a->is_sync;
	}
	if (a->type == MESH_ACTION_LINK_UP) {
		s->is_rowless = a->is_rowless;
		s->horizon = a->horizon;
		s->root = a->root;
		s->rows_len = a->rows_len;
		s->our_root = a->our_root;
		s->our_rows_len = a->our_rows_len;
	}
	if (a->type == MESH_ACTION_WANTED)
		s->wanted += a->data.len;
	if (a->type == MESH_ACTION_ROOT_HEARD)
		s->word = a->word;
}

void
script_step(struct script *s, struct mesh_event e)
{
	struct mesh_action a;

	memset(s->kinds, 0, sizeof(s->kinds));
	s->why[0] = '\0';
	s->types_len = 0;
	s->goodbye = 0;
	s->delivered = 0;
	s->wanted = 0;
	s->wants = 0;
	e.wall_ms = SCRIPT_WALL_MS + s->now - SCRIPT_START_MS;
	mesh_step(s->mesh, s->now, &e);
	while (mesh_next(s->mesh, &a))
		script_do(s, &a);
}

void
script_start(struct script *s)
{
	struct mesh_config config = { .seed = 1,
				      .incarnation = 10,
				      .retention_ms = MS_DAY,
				      .rows_per_node = 100,
				      .format = 1,
				      .address = "127.0.0.1:1" };

	*s = (struct script){ .now = SCRIPT_START_MS };
	memset(config.self.b, 5, ID_BYTES);
	memset(s->peer.b, 9, ID_BYTES);
	s->mesh = mesh_new(&config, s->now);
}

void
script_accept(struct script *s)
{
	s->link = mesh_link_new(s->mesh);
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					    .link = s->link,
					    .node = s->peer });
}

struct wire_hello
script_hello(const struct script *s)
{
	struct wire_hello h = { .protocol_min = 1,
				.protocol_max = 1,
				.node = s->peer,
				.life = 77,
				.incarnation = 3,
				.retention_ms = MS_DAY,
				.rows_per_node = 100,
				.format = 1,
				.wall_ms = SCRIPT_WALL_MS + s->now - SCRIPT_START_MS,
				.address = "10.0.0.9:1" };

	return h;
}

void
script_data(struct script *s, const struct buf *b)
{
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
					    .link = s->link,
					    .data = buf_bytes(b) });
}

void
script_greet(struct script *s, const struct wire_hello *h)
{
	struct buf b = BUF_INIT;

	wire_put_hello(&b, h);
	script_data(s, &b);
	buf_fini(&b);
}

void
script_frame(struct script *s, uint8_t type, uint8_t flags, const char *payload,
	     size_t len)
{
	struct buf b = BUF_INIT;

	wire_put_frame(&b, type, flags, bytes_of(payload, len));
	script_data(s, &b);
	buf_fini(&b);
}

void
script_up(struct script *s)
{
	struct wire_hello h;

	script_start(s);
	script_accept(s);
	CU_ASSERT(s->types_len == 1 && s->types[0] == WIRE_HELLO);
	h = script_hello(s);
	script_greet(s, &h);
	CU_ASSERT(strchr(s->kinds, 'U') != NULL && s->state == MESH_NODE_ALIVE);
	CU_ASSERT(mesh_link_of(s->mesh, &s->peer) == s->link);
}

void
script_end(struct script *s)
{
	mesh_free(s->mesh);
}

void
script_wait(struct script *s, ms_t until)
{
	while (s->now < until) {
		ms_t due = mesh_due(s->mesh);

		s->now = due < until ? (due > s->now ? due : s->now + 1) : until;
		script_step(s, (struct mesh_event){ .type = MESH_EVENT_TICK });
		if (strchr(s->kinds, 'C') != NULL || strchr(s->kinds, 'N') != NULL)
			return;
	}
}

void
script_beat(struct script *s, int next_s)
{
	struct buf b = BUF_INIT;

	wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, next_s);
	script_data(s, &b);
	buf_fini(&b);
}
