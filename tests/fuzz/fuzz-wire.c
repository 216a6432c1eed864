/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from another node. The first byte says how: 'f' reads frames and each payload by its
 * type; whatever is read as a query must encode to what it was read from. Anything else
 * feeds a mesh core in pieces (the first byte's size), greeted or not (its lowest bit). */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "mesh/mesh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
fuzz_query(const struct wire_frame *f)
{
	struct wire_query q;
	struct buf b = BUF_INIT;

	if (wire_read_query(f, &q) < 0)
		return;
	switch (q.type) {
	case WIRE_QUERY_OPEN:
		assert(q.head.service != NULL && q.head.path != NULL);
		break;
	case WIRE_QUERY_BODY:
		wire_put_query_body(&b, q.qid, q.data, q.is_last);
		break;
	case WIRE_REPLY_DATA:
		wire_put_reply_data(&b, q.qid, q.data, q.is_last);
		break;
	case WIRE_QUERY_CREDIT:
		wire_put_query_credit(&b, q.qid, q.parts, q.is_to_asker);
		break;
	case WIRE_QUERY_LOAD:
	case WIRE_QUERY_PROBE:
	case WIRE_QUERY_PULL:
		wire_put_query_load(&b, q.type, q.qid, q.service, &q.load);
		break;
	default:
		break;
	}
	if (b.len > 0)
		assert(bytes_equal(
			bytes_of(b.data + WIRE_HEADER_BYTES, b.len - WIRE_HEADER_BYTES),
			f->payload));
	buf_fini(&b);
	wire_query_fini(&q);
}

/* What can be read is written as it was. */
static void
fuzz_control(struct bytes payload)
{
	struct buf clock = BUF_INIT, want = BUF_INIT, dialled = BUF_INIT;
	enum wire_dialled result;
	uint64_t token;
	struct bytes owners;
	uint64_t horizon;
	ms_t wall;

	if (wire_read_clock(payload, &wall, &horizon) == 0) {
		wire_put_clock(&clock, wall, horizon);
		buf_drop(&clock, WIRE_HEADER_BYTES);
		assert(bytes_equal(buf_bytes(&clock), payload));
	}
	if (wire_read_want(payload, &owners) == 0) {
		wire_put_want(&want, owners);
		buf_drop(&want, WIRE_HEADER_BYTES);
		assert(bytes_equal(buf_bytes(&want), payload));
	}
	if (wire_read_dialled(payload, &token, &result) == 0) {
		wire_put_dialled(&dialled, token, result);
		buf_drop(&dialled, WIRE_HEADER_BYTES);
		assert(bytes_equal(buf_bytes(&dialled), payload));
	}
	buf_fini(&dialled);
	buf_fini(&clock);
	buf_fini(&want);
}

static void
fuzz_tree(struct bytes payload)
{
	struct buf beacon = BUF_INIT;
	struct wire_beacon b;
	struct bytes hashes;

	if (wire_read_beacon(payload, &b) == 0) {
		wire_put_beacon(&beacon, &b);
		buf_drop(&beacon, WIRE_HEADER_BYTES);
		assert(bytes_equal(buf_bytes(&beacon), payload));
	}
	if (wire_read_hashes(payload, &hashes) == 0)
		assert(hashes.len > 0 && hashes.len <= 8 * WIRE_HASHES_MAX);
	buf_fini(&beacon);
}

static void
fuzz_liveness(const struct wire_frame *f)
{
	struct wire_liveness said;
	struct id subject;
	struct buf b = BUF_INIT;

	if (f->type >= WIRE_SUSPECT && f->type <= WIRE_VERDICT &&
	    wire_read_liveness(f, &said) == 0)
		wire_put_liveness(&b, &said);
	else if ((f->type == WIRE_ASK || f->type == WIRE_HEARD) &&
		 wire_read_about(f->payload, &subject) == 0)
		wire_put_about(&b, (enum wire_type)f->type, &subject);
	if (b.len > 0)
		assert(bytes_equal(
			bytes_of(b.data + WIRE_HEADER_BYTES, b.len - WIRE_HEADER_BYTES),
			f->payload));
	buf_fini(&b);
}

static void
fuzz_frames(struct bytes input)
{
	char text[WIRE_GOODBYE_BYTES_MAX + 1];
	struct wire_hello hello;
	struct wire_reader r;
	struct wire_frame f;
	uint8_t reason;

	wire_reader_init(&r);
	r.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	while (wire_reader_next(&r, &input, &f) == 1) {
		if (wire_type_is_query(f.type))
			fuzz_query(&f);
		if (wire_read_hello(f.payload, &hello) == 0)
			assert(memchr(hello.address, 0, sizeof(hello.address)) != NULL);
		if (wire_read_goodbye(f.payload, &reason, text) == 0)
			assert(strlen(text) <= WIRE_GOODBYE_BYTES_MAX);
		fuzz_control(f.payload);
		fuzz_tree(f.payload);
		fuzz_liveness(&f);
	}
	wire_reader_fini(&r);
}

static void
fuzz_drain(struct mesh *m, ms_t now)
{
	static const uint8_t signature[WIRE_SIGNATURE_BYTES];
	struct mesh_action a;

	while (mesh_next(m, &a)) {
		struct mesh_event e = { .number = a.number };

		if (a.type == MESH_ACTION_SEND)
			assert(a.data.len >= WIRE_HEADER_BYTES);
		/* A signature is good if its first byte is even. */
		e.type = a.type == MESH_ACTION_SIGN ? MESH_EVENT_SIGNED
						    : MESH_EVENT_VERIFIED;
		if (a.type == MESH_ACTION_SIGN)
			e.data = bytes_of(signature, sizeof(signature));
		if (a.type == MESH_ACTION_VERIFY)
			e.is_valid = a.signature.data[0] % 2 == 0;
		if (a.type == MESH_ACTION_SIGN || a.type == MESH_ACTION_VERIFY)
			mesh_step(m, now, &e);
	}
}

static void
fuzz_greet(struct mesh *m, struct mesh_event *e, const struct id *node)
{
	struct wire_hello hello = { .protocol_min = 1,
				    .protocol_max = 1,
				    .node = *node,
				    .life = 5,
				    .format = 1 };
	struct buf b = BUF_INIT;

	wire_put_hello(&b, &hello);
	e->data = buf_bytes(&b);
	mesh_step(m, 2, e);
	fuzz_drain(m, 2);
	buf_fini(&b);
}

static void
fuzz_mesh(uint8_t how, struct bytes input)
{
	struct mesh_config config = { .seed = 1, .format = 1 };
	struct mesh *m = mesh_new(&config, 1);
	struct mesh_event e = { .type = MESH_EVENT_LINK_OPEN, .wall_ms = 1 };
	size_t piece = 1 + (how >> 1);

	e.link = mesh_link_new(m);
	e.node.b[0] = 7;
	/* Some are known whom the input may name: of equal bytes, 1 to 4. */
	e.type = MESH_EVENT_NODE;
	for (int i = 1; i <= 4; i++) {
		memset(e.node.b, i, ID_BYTES);
		mesh_step(m, 1, &e);
	}
	e.type = MESH_EVENT_LINK_OPEN;
	memset(e.node.b, 0, ID_BYTES);
	e.node.b[0] = 7;
	mesh_step(m, 1, &e);
	fuzz_drain(m, 1);
	e.type = MESH_EVENT_LINK_DATA;
	if (how & 1)
		fuzz_greet(m, &e, &e.node);
	while (input.len > 0) {
		e.data = bytes_of(input.data, input.len < piece ? input.len : piece);
		input.data += e.data.len;
		input.len -= e.data.len;
		mesh_step(m, 3, &e);
		fuzz_drain(m, 3);
	}
	/* Rows of our own are announced, and asked for what was announced; links lag. */
	e.type = MESH_EVENT_ROW_CHANGED;
	e.link = 0;
	e.rows = bytes_text("row");
	mesh_step(m, 4, &e);
	e.type = MESH_EVENT_TICK;
	for (ms_t now = 100; now <= MS_MINUTE; now += now) {
		mesh_step(m, now, &e);
		fuzz_drain(m, now);
	}
	mesh_step(m, MS_MINUTE, &e);
	fuzz_drain(m, MS_MINUTE);
	mesh_free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == 'f')
		fuzz_frames(bytes_of(data + 1, len - 1));
	else
		fuzz_mesh(data[0], bytes_of(data + 1, len - 1));
	return 0;
}
