/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "mesh/wire.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

_Static_assert(8 + LIMIT_PART_BYTES_MAX <= WIRE_PAYLOAD_BYTES_MAX, "a part fits a frame");
_Static_assert(8 + QUERY_HEAD_BYTES_MAX <= WIRE_PAYLOAD_BYTES_MAX, "a head fits a frame");
_Static_assert(WIRE_HEADER_BYTES + 8 == WIRE_HEARTBEAT_BYTES, "a beat is 12 bytes");

const char *
wire_class_name(enum wire_class c)
{
	static const char *const names[WIRE_CLASSES] = {
		[WIRE_CLASS_HELLO] = "hello",	    [WIRE_CLASS_HEARTBEAT] = "heartbeat",
		[WIRE_CLASS_CONTROL] = "control",   [WIRE_CLASS_ROWS] = "rows",
		[WIRE_CLASS_ANNOUNCE] = "announce", [WIRE_CLASS_SYNC] = "sync",
		[WIRE_CLASS_QUERY] = "query",	    [WIRE_CLASS_RELAY] = "relay",
	};

	assert(c < WIRE_CLASSES);
	return names[c];
}

enum wire_class
wire_class_of(uint8_t type)
{
	if (type == WIRE_HELLO)
		return WIRE_CLASS_HELLO;
	if (type == WIRE_HEARTBEAT)
		return WIRE_CLASS_HEARTBEAT;
	if (type == WIRE_ROWS || type == WIRE_REFRESH)
		return WIRE_CLASS_ROWS;
	if (type == WIRE_ANNOUNCE || type == WIRE_PULL)
		return WIRE_CLASS_ANNOUNCE;
	if (type == WIRE_SYNC || type == WIRE_SYNC_ROWS)
		return WIRE_CLASS_SYNC;
	if (type == WIRE_QUERY_RELAY)
		return WIRE_CLASS_RELAY;
	return wire_type_is_query(type) ? WIRE_CLASS_QUERY : WIRE_CLASS_CONTROL;
}

bool
wire_type_is_query(uint8_t type)
{
	return type >= WIRE_QUERY_OPEN && type <= WIRE_QUERY_PULL;
}

const char *
wire_goodbye_text(uint8_t reason)
{
	switch (reason) {
	case WIRE_GOODBYE_LEAVING:
		return "the node is stopping";
	case WIRE_GOODBYE_DUPLICATE:
		return "another link between the two nodes stays";
	case WIRE_GOODBYE_REFUSED:
		return "refused";
	case WIRE_GOODBYE_MALFORMED:
		return "malformed data";
	case WIRE_GOODBYE_SILENT:
		return "nothing was heard for too long";
	case WIRE_GOODBYE_BUSY:
		return "too many links";
	case WIRE_GOODBYE_IDLE:
		return "the link is not needed any more";
	case WIRE_GOODBYE_CLOCK:
		return "the clocks differ otherwise than before";
	case WIRE_GOODBYE_BARRED:
		return "banned or forgotten";
	default:
		return "no known reason";
	}
}

void
wire_reader_init(struct wire_reader *r)
{
	*r = (struct wire_reader){ .part = BUF_INIT,
				   .payload_max = WIRE_HELLO_BYTES_MAX };
}

void
wire_reader_fini(struct wire_reader *r)
{
	buf_fini(&r->part);
}

/* Move bytes from `input` until `part` holds `want` of them. */
static bool
wire_reader_fill(struct wire_reader *r, struct bytes *input, size_t want)
{
	size_t n = want - r->part.len;

	if (n > input->len)
		n = input->len;
	buf_put(&r->part, input->data, n);
	input->data += n;
	input->len -= n;
	return r->part.len == want;
}

/* A frame that lies whole in the input is not copied. */
static int
wire_reader_direct(struct bytes *input, size_t len, struct wire_frame *ret_frame)
{
	const uint8_t *p = input->data;

	ret_frame->type = p[2];
	ret_frame->flags = p[3];
	ret_frame->payload = bytes_of(p + WIRE_HEADER_BYTES, len);
	input->data += WIRE_HEADER_BYTES + len;
	input->len -= WIRE_HEADER_BYTES + len;
	return 1;
}

int
wire_reader_next(struct wire_reader *r, struct bytes *input, struct wire_frame *ret_frame)
{
	size_t len;

	if (r->is_taken) {
		r->is_taken = false;
		buf_clear(&r->part);
	}
	if (r->part.len == 0 && input->len >= WIRE_HEADER_BYTES) {
		len = get_be16(input->data);
		if (len > r->payload_max)
			return -OCF_ELIMIT;
		if (input->len >= WIRE_HEADER_BYTES + len)
			return wire_reader_direct(input, len, ret_frame);
	}
	if (input->len == 0)
		return 0;
	if (r->part.len < WIRE_HEADER_BYTES &&
	    !wire_reader_fill(r, input, WIRE_HEADER_BYTES))
		return 0;
	len = get_be16(r->part.data);
	if (len > r->payload_max)
		return -OCF_ELIMIT;
	if (!wire_reader_fill(r, input, WIRE_HEADER_BYTES + len))
		return 0;
	r->is_taken = true;
	ret_frame->type = r->part.data[2];
	ret_frame->flags = r->part.data[3];
	ret_frame->payload = bytes_of(r->part.data + WIRE_HEADER_BYTES, len);
	return 1;
}

/* Begin a frame whose length is not known yet; wire_end() sets it. */
static size_t
wire_begin(struct buf *out, uint8_t type, uint8_t flags)
{
	size_t start = out->len;

	buf_put_u16(out, 0);
	buf_put_u8(out, type);
	buf_put_u8(out, flags);
	return start;
}

static void
wire_end(struct buf *out, size_t start)
{
	size_t len = out->len - start - WIRE_HEADER_BYTES;

	assert(len <= WIRE_PAYLOAD_BYTES_MAX);
	put_be16(out->data + start, (uint16_t)len);
}

void
wire_put_frame(struct buf *out, uint8_t type, uint8_t flags, struct bytes payload)
{
	size_t start = wire_begin(out, type, flags);

	buf_put_bytes(out, payload);
	wire_end(out, start);
}

void
wire_put_hello(struct buf *out, const struct wire_hello *h)
{
	size_t start = wire_begin(out, WIRE_HELLO, WIRE_FLAG_MUST);

	assert(memchr(h->address, 0, sizeof(h->address)) != NULL);
	buf_put_u32(out, WIRE_MAGIC);
	buf_put_u16(out, h->protocol_min);
	buf_put_u16(out, h->protocol_max);
	buf_put(out, h->cluster.b, ID_BYTES);
	buf_put(out, h->node.b, ID_BYTES);
	buf_put_u64(out, h->life);
	buf_put_u64(out, h->incarnation);
	buf_put_u64(out, (uint64_t)h->retention_ms);
	buf_put_u32(out, h->rows_per_node);
	buf_put_u16(out, h->format);
	buf_put_u64(out, (uint64_t)h->wall_ms);
	buf_put_u64(out, h->horizon);
	buf_put_u64(out, h->root.hi);
	buf_put_u64(out, h->root.lo);
	buf_put_u64(out, h->rows);
	buf_put_u8(out, h->rings);
	buf_put_u8(out, h->held_status);
	buf_put_u64(out, h->held_incarnation);
	buf_put_bytes8(out, bytes_text(h->address));
	buf_put_u64(out, h->liveness);
	wire_end(out, start);
}

int
wire_read_hello(struct bytes payload, struct wire_hello *ret_h)
{
	struct reader r = reader_of(payload);
	struct wire_hello h = { 0 };
	struct bytes address;
	bool is_magic = reader_u32(&r) == WIRE_MAGIC;

	h.protocol_min = reader_u16(&r);
	h.protocol_max = reader_u16(&r);
	reader_copy(&r, h.cluster.b, ID_BYTES);
	reader_copy(&r, h.node.b, ID_BYTES);
	h.life = reader_u64(&r);
	h.incarnation = reader_u64(&r);
	h.retention_ms = (ms_t)reader_u64(&r);
	h.rows_per_node = reader_u32(&r);
	h.format = reader_u16(&r);
	h.wall_ms = (ms_t)reader_u64(&r);
	h.horizon = reader_u64(&r);
	h.root.hi = reader_u64(&r);
	h.root.lo = reader_u64(&r);
	h.rows = reader_u64(&r);
	h.rings = reader_u8(&r);
	h.held_status = reader_u8(&r);
	h.held_incarnation = reader_u64(&r);
	address = reader_bytes8(&r);
	h.liveness = reader_u64(&r);
	if (r.failed || !is_magic || h.protocol_min > h.protocol_max ||
	    h.held_status > WIRE_STATUS_DEAD || h.wall_ms < 0 ||
	    h.wall_ms > WIRE_WALL_MAX || address.len > WIRE_ADDRESS_BYTES_MAX)
		return -OCF_EMALFORMED;
	for (size_t i = 0; i < address.len; i++) {
		if (address.data[i] <= 0x20 || address.data[i] > 0x7e)
			return -OCF_EMALFORMED;
		h.address[i] = (char)address.data[i];
	}
	/* A socket of the receiver's machine is no address of a node. */
	if (strncmp(h.address, "unix:", 5) == 0)
		return -OCF_EMALFORMED;
	*ret_h = h;
	return 0;
}

static void
wire_put_u64(struct buf *out, uint8_t type, uint8_t flags, uint64_t v)
{
	size_t start = wire_begin(out, type, flags);

	buf_put_u64(out, v);
	wire_end(out, start);
}

int
wire_read_u64(struct bytes payload, uint64_t *ret_v)
{
	if (payload.len != 8)
		return -OCF_EMALFORMED;
	*ret_v = get_be64(payload.data);
	return 0;
}

void
wire_put_heartbeat(struct buf *out, uint64_t word, enum wire_status belief, int next_s)
{
	uint8_t flags = (uint8_t)belief & WIRE_FLAGS_STATUS;

	assert(next_s >= 0 && next_s <= WIRE_BEAT_SECONDS_MAX);
	wire_put_u64(out, WIRE_HEARTBEAT, (uint8_t)(flags | next_s << 2), word);
}

int
wire_beat_seconds(uint8_t flags)
{
	return flags >> 2;
}

void
wire_put_ping(struct buf *out, enum wire_type ping_or_pong, uint64_t token)
{
	assert(ping_or_pong == WIRE_PING || ping_or_pong == WIRE_PONG);
	wire_put_u64(out, (uint8_t)ping_or_pong, 0, token);
}

void
wire_put_clock(struct buf *out, ms_t wall_ms, uint64_t horizon)
{
	size_t start = wire_begin(out, WIRE_CLOCK, 0);

	buf_put_u64(out, (uint64_t)wall_ms);
	buf_put_u64(out, horizon);
	wire_end(out, start);
}

int
wire_read_clock(struct bytes payload, ms_t *ret_wall_ms, uint64_t *ret_horizon)
{
	uint64_t wall;

	if (payload.len != 16)
		return -OCF_EMALFORMED;
	wall = get_be64(payload.data);
	if (wall > (uint64_t)WIRE_WALL_MAX)
		return -OCF_EMALFORMED;
	*ret_wall_ms = (ms_t)wall;
	*ret_horizon = get_be64(payload.data + 8);
	return 0;
}

void
wire_put_want(struct buf *out, struct bytes owners)
{
	assert(owners.len > 0 && owners.len % ID_BYTES == 0 &&
	       owners.len / ID_BYTES <= WIRE_WANT_MAX);
	wire_put_frame(out, WIRE_WANT, 0, owners);
}

int
wire_read_want(struct bytes payload, struct bytes *ret_owners)
{
	if (payload.len == 0 || payload.len % ID_BYTES != 0 ||
	    payload.len / ID_BYTES > WIRE_WANT_MAX)
		return -OCF_EMALFORMED;
	*ret_owners = payload;
	return 0;
}

void
wire_put_dial_back(struct buf *out, uint64_t token, uint64_t addresses)
{
	size_t start = wire_begin(out, WIRE_DIAL_BACK, 0);

	buf_put_u64(out, token);
	buf_put_u64(out, addresses);
	wire_end(out, start);
}

int
wire_read_dial_back(struct bytes payload, uint64_t *ret_token, uint64_t *ret_addresses)
{
	if (payload.len != WIRE_DIAL_BACK_BYTES)
		return -OCF_EMALFORMED;
	*ret_token = get_be64(payload.data);
	*ret_addresses = get_be64(payload.data + 8);
	return 0;
}

void
wire_put_dialled(struct buf *out, uint64_t token, enum wire_dialled result)
{
	size_t start = wire_begin(out, WIRE_DIALLED, 0);

	buf_put_u64(out, token);
	buf_put_u8(out, (uint8_t)result);
	wire_end(out, start);
}

int
wire_read_dialled(struct bytes payload, uint64_t *ret_token,
		  enum wire_dialled *ret_result)
{
	if (payload.len != 9 || payload.data[8] > WIRE_DIALLED_NOT)
		return -OCF_EMALFORMED;
	*ret_token = get_be64(payload.data);
	*ret_result = (enum wire_dialled)payload.data[8];
	return 0;
}

uint64_t
wire_addresses_digest(const char *const *addresses, int len)
{
	struct buf b = BUF_INIT;
	uint64_t digest;

	/* With the NUL, so that the parts cannot be moved. */
	for (int i = 0; i < len; i++)
		buf_put(&b, addresses[i], strlen(addresses[i]) + 1);
	digest = hash64(buf_bytes(&b), WIRE_DIAL_BACK);
	buf_fini(&b);
	return digest;
}

void
wire_put_goodbye(struct buf *out, enum wire_goodbye reason, const char *text)
{
	size_t start = wire_begin(out, WIRE_GOODBYE, 0);
	size_t len = strlen(text);

	buf_put_u8(out, (uint8_t)reason);
	buf_put(out, text, len < WIRE_GOODBYE_BYTES_MAX ? len : WIRE_GOODBYE_BYTES_MAX);
	wire_end(out, start);
}

int
wire_read_goodbye(struct bytes payload, uint8_t *ret_reason,
		  char ret_text[WIRE_GOODBYE_BYTES_MAX + 1])
{
	if (payload.len < 1 || payload.len > 1 + WIRE_GOODBYE_BYTES_MAX)
		return -OCF_EMALFORMED;
	*ret_reason = payload.data[0];
	for (size_t i = 1; i < payload.len; i++) {
		uint8_t c = payload.data[i];

		ret_text[i - 1] = c >= 0x20 && c <= 0x7e ? (char)c : '?';
	}
	ret_text[payload.len - 1] = '\0';
	return 0;
}

void
wire_put_rows(struct buf *out, enum wire_type type, struct bytes rows)
{
	assert(type == WIRE_ROWS || type == WIRE_SYNC_ROWS);
	while (rows.len > WIRE_PAYLOAD_BYTES_MAX) {
		wire_put_frame(out, (uint8_t)type, WIRE_FLAG_MUST | WIRE_FLAG_MORE,
			       bytes_of(rows.data, WIRE_PAYLOAD_BYTES_MAX));
		rows.data += WIRE_PAYLOAD_BYTES_MAX;
		rows.len -= WIRE_PAYLOAD_BYTES_MAX;
	}
	wire_put_frame(out, (uint8_t)type, WIRE_FLAG_MUST, rows);
}

void
wire_put_sync(struct buf *out, struct bytes message)
{
	wire_put_frame(out, WIRE_SYNC, WIRE_FLAG_MUST, message);
}
