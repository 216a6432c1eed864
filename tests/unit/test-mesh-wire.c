/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what is written is read back the same, in any pieces; what is malformed is
 * refused and never believed. */
#include "config.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/tap.h"
#include "mesh/wire.h"

static struct wire_hello
hello_sample(void)
{
	struct wire_hello h = {
		.protocol_min = 1,
		.protocol_max = 3,
		.life = 0x1122334455667788,
		.incarnation = 5,
		.retention_ms = 7 * (ms_t)MS_DAY,
		.rows_per_node = 16384,
		.format = 2,
		.wall_ms = 1700000000000,
		.horizon = 99,
		.root = { 1, 2 },
		.rows = 77,
		.rings = 3,
		.held_status = WIRE_STATUS_DEAD,
		.held_incarnation = 4,
		.address = "[2001:db8::1]:8093",
	};

	memset(h.cluster.b, 0xaa, ID_BYTES);
	memset(h.node.b, 0xbb, ID_BYTES);
	return h;
}

static struct wire_frame
frame_of(const struct buf *b)
{
	struct wire_frame f = { .type = b->data[2], .flags = b->data[3] };

	f.payload = bytes_of(b->data + WIRE_HEADER_BYTES, b->len - WIRE_HEADER_BYTES);
	CU_ASSERT(get_be16(b->data) == f.payload.len);
	return f;
}

static void
test_hello(void)
{
	struct wire_hello h = hello_sample(), back;
	struct buf b = BUF_INIT;
	struct wire_frame f;

	wire_put_hello(&b, &h);
	buf_put_text(&b, "added by a later version");
	f = frame_of(&(struct buf){ b.data, b.len - 24, 0 });
	memset(&back, 0x55, sizeof(back));
	CU_ASSERT(wire_read_hello(f.payload, &back) == 0);
	CU_ASSERT(back.life == h.life && back.wall_ms == h.wall_ms);
	CU_ASSERT(back.held_status == h.held_status && back.rows == 77);
	CU_ASSERT(strcmp(back.address, h.address) == 0);
	CU_ASSERT(id_equal(&back.node, &h.node) && u128_equal(back.root, h.root));
	CU_ASSERT(wire_read_hello(bytes_of(f.payload.data, f.payload.len + 24), &back) ==
		  0);
	for (size_t len = 0; len < f.payload.len; len++)
		CU_ASSERT(wire_read_hello(bytes_of(f.payload.data, len), &back) ==
			  -OCF_EMALFORMED);
	b.data[WIRE_HEADER_BYTES] ^= 1;
	CU_ASSERT(wire_read_hello(f.payload, &back) == -OCF_EMALFORMED);
	buf_fini(&b);
}

static void
test_hello_address(void)
{
	struct wire_hello h = hello_sample(), back;
	struct buf b = BUF_INIT;

	h.address[2] = '\n';
	wire_put_hello(&b, &h);
	CU_ASSERT(wire_read_hello(frame_of(&b).payload, &back) == -OCF_EMALFORMED);
	buf_clear(&b);
	h = hello_sample();
	snprintf(h.address, sizeof(h.address), "unix:/run/x");
	wire_put_hello(&b, &h);
	CU_ASSERT(wire_read_hello(frame_of(&b).payload, &back) == -OCF_EMALFORMED);
	buf_clear(&b);
	h = hello_sample();
	h.protocol_min = 9;
	wire_put_hello(&b, &h);
	CU_ASSERT(wire_read_hello(frame_of(&b).payload, &back) == -OCF_EMALFORMED);
	buf_fini(&b);
}

static void
test_small_frames(void)
{
	struct buf b = BUF_INIT;
	char text[WIRE_GOODBYE_BYTES_MAX + 1], longer[400];
	uint8_t reason;
	uint64_t v;

	wire_put_heartbeat(&b, 0x0102030405060708, WIRE_STATUS_SUSPECT, 6);
	CU_ASSERT(b.len == WIRE_HEARTBEAT_BYTES);
	CU_ASSERT((frame_of(&b).flags & WIRE_FLAGS_STATUS) == WIRE_STATUS_SUSPECT);
	CU_ASSERT(wire_beat_seconds(frame_of(&b).flags) == 6);
	CU_ASSERT(wire_read_u64(frame_of(&b).payload, &v) == 0 &&
		  v == 0x0102030405060708);
	CU_ASSERT(wire_read_u64(bytes_of(b.data, 7), &v) < 0);
	CU_ASSERT(wire_read_u64(bytes_of(b.data, 9), &v) < 0);
	buf_clear(&b);
	memset(longer, 'x', sizeof(longer));
	longer[3] = '\x1b';
	longer[399] = '\0';
	wire_put_goodbye(&b, WIRE_GOODBYE_BUSY, longer);
	CU_ASSERT(wire_read_goodbye(frame_of(&b).payload, &reason, text) == 0);
	CU_ASSERT(reason == WIRE_GOODBYE_BUSY && strlen(text) == WIRE_GOODBYE_BYTES_MAX);
	CU_ASSERT(text[3] == '?');
	CU_ASSERT(wire_read_goodbye(BYTES_NONE, &reason, text) < 0);
	buf_fini(&b);
}

static void
test_clock_and_want(void)
{
	uint8_t owners[(WIRE_WANT_MAX + 1) * ID_BYTES];
	struct bytes back;
	struct buf b = BUF_INIT;
	uint64_t horizon;
	ms_t wall;

	memset(owners, 7, sizeof(owners));
	wire_put_clock(&b, 1700000000000, 99);
	CU_ASSERT(wire_read_clock(frame_of(&b).payload, &wall, &horizon) == 0);
	CU_ASSERT(wall == 1700000000000 && horizon == 99);
	CU_ASSERT(wire_read_clock(bytes_of(owners, 15), &wall, &horizon) < 0);
	CU_ASSERT(wire_read_clock(bytes_of(owners, 17), &wall, &horizon) < 0);
	/* A clock that nobody could reckon with. */
	buf_clear(&b);
	wire_put_clock(&b, -1, 99);
	CU_ASSERT(wire_read_clock(frame_of(&b).payload, &wall, &horizon) < 0);
	buf_clear(&b);
	wire_put_clock(&b, WIRE_WALL_MAX + 1, 99);
	CU_ASSERT(wire_read_clock(frame_of(&b).payload, &wall, &horizon) < 0);
	buf_clear(&b);
	wire_put_want(&b, bytes_of(owners, WIRE_WANT_MAX * ID_BYTES));
	CU_ASSERT(wire_read_want(frame_of(&b).payload, &back) == 0);
	CU_ASSERT(back.len == WIRE_WANT_MAX * ID_BYTES && back.data[0] == 7);
	CU_ASSERT(wire_read_want(BYTES_NONE, &back) < 0);
	CU_ASSERT(wire_read_want(bytes_of(owners, ID_BYTES + 1), &back) < 0);
	CU_ASSERT(wire_read_want(bytes_of(owners, sizeof(owners)), &back) < 0);
	buf_fini(&b);
}

static void
test_rows_continue(void)
{
	size_t len = 3 * WIRE_PAYLOAD_BYTES_MAX + 5;
	uint8_t *rows = mem_calloc(1, len);
	struct buf b = BUF_INIT;
	struct wire_reader r;
	struct wire_frame f;
	struct bytes input;
	size_t got = 0;
	int frames = 0;

	wire_put_rows(&b, WIRE_ROWS, bytes_of(rows, len));
	input = buf_bytes(&b);
	wire_reader_init(&r);
	r.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	while (wire_reader_next(&r, &input, &f) == 1) {
		got += f.payload.len;
		frames++;
		CU_ASSERT(!(f.flags & WIRE_FLAG_MORE) == (got == len));
	}
	CU_ASSERT(frames == 4 && got == len);
	wire_reader_fini(&r);
	buf_fini(&b);
	free(rows);
}

static void
test_pieces(void)
{
	static const uint8_t payload[60000] = { 1 };
	struct buf b = BUF_INIT;
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < 300; i++)
		wire_put_frame(
			&b, (uint8_t)i, (uint8_t)~i,
			bytes_of(payload, i % 50 == 0 ? sizeof(payload) : (size_t)i));
	for (int round = 0; round < 50; round++) {
		size_t at = 0, most = 1 + rng_below(&rng, round % 2 == 0 ? 9 : 100000);
		struct wire_reader r;
		struct wire_frame f;
		int n = 0;

		wire_reader_init(&r);
		r.payload_max = WIRE_PAYLOAD_BYTES_MAX;
		while (at < b.len) {
			size_t len = 1 + rng_below(&rng, most);
			struct bytes piece = bytes_of(
				b.data + at, len < b.len - at ? len : b.len - at);

			at += piece.len;
			while (wire_reader_next(&r, &piece, &f) == 1) {
				CU_ASSERT(f.type == (uint8_t)n && f.flags == (uint8_t)~n);
				CU_ASSERT(n % 50 == 0 || f.payload.len == (size_t)n);
				n++;
			}
			CU_ASSERT(piece.len == 0);
		}
		CU_ASSERT(n == 300);
		wire_reader_fini(&r);
	}
	buf_fini(&b);
}

static void
test_too_long(void)
{
	static const uint8_t whole[] = { 0x10, 0x01, WIRE_HELLO, 0 };
	struct wire_reader r;
	struct wire_frame f;
	struct bytes input = bytes_of(whole, sizeof(whole));

	wire_reader_init(&r);
	CU_ASSERT(wire_reader_next(&r, &input, &f) == -OCF_ELIMIT);
	wire_reader_fini(&r);
	wire_reader_init(&r);
	for (int i = 0; i < 3; i++) {
		input = bytes_of(whole + i, 1);
		CU_ASSERT(wire_reader_next(&r, &input, &f) == 0);
	}
	input = bytes_of(whole + 3, 1);
	CU_ASSERT(wire_reader_next(&r, &input, &f) == -OCF_ELIMIT);
	wire_reader_fini(&r);
}

static void
test_query_frames(void)
{
	char id[] = "r1", service[] = "wc", method[] = "POST", path[] = "/a?b=c",
	     tenant[] = "uid:7@0a0b0c0d";
	struct query_head head = { .request_id = id,
				   .service = service,
				   .method = method,
				   .path = path,
				   .tenant = tenant,
				   .body_len = -1,
				   .timeout_ms = 5000 };
	struct query_error e = { 0 };
	struct reply_head reply = { .status = 201 };
	struct buf b = BUF_INIT, again = BUF_INIT;
	struct id node;
	struct wire_query q;
	struct wire_frame f;

	wire_put_query_open(&b, 42, &head);
	f = frame_of(&b);
	CU_ASSERT_FATAL(wire_read_query(&f, &q) == 0);
	CU_ASSERT(q.qid == 42 && strcmp(q.head.path, path) == 0 && q.head.body_len == -1);
	CU_ASSERT_STRING_EQUAL(q.head.tenant, tenant);
	wire_query_fini(&q);
	for (size_t len = 0; len < f.payload.len; len++) {
		struct wire_frame cut = { f.type, f.flags, { f.payload.data, len } };

		CU_ASSERT(wire_read_query(&cut, &q) == -OCF_EMALFORMED);
	}
	buf_clear(&b);
	memset(node.b, 7, ID_BYTES);
	wire_put_query_relay(&b, 41, &node, &head);
	f = frame_of(&b);
	CU_ASSERT_FATAL(wire_read_query(&f, &q) == 0);
	CU_ASSERT(q.qid == 41 && id_equal(&q.node, &node));
	CU_ASSERT_STRING_EQUAL(q.head.tenant, tenant);
	CU_ASSERT(strcmp(q.head.path, path) == 0);
	wire_query_fini(&q);
	for (size_t len = 0; len < f.payload.len; len++) {
		struct wire_frame cut = { f.type, f.flags, { f.payload.data, len } };

		CU_ASSERT(wire_read_query(&cut, &q) == -OCF_EMALFORMED);
	}
	buf_clear(&b);
	query_error_set(&e, 502, "line one\nline two");
	wire_put_reply_error(&b, 43, &e, true);
	f = frame_of(&b);
	CU_ASSERT_FATAL(wire_read_query(&f, &q) == 0);
	CU_ASSERT(q.is_final && q.error.status == 502);
	CU_ASSERT(strcmp(q.error.text, "line one\nline two") == 0);
	wire_query_fini(&q);
	/* Passed on with another number, and nothing else. */
	wire_put_query_again(&again, &f, 99);
	CU_ASSERT(again.len == b.len && memcmp(again.data, b.data, 4) == 0);
	CU_ASSERT(get_be64(again.data + 4) == 99);
	CU_ASSERT(memcmp(again.data + 12, b.data + 12, b.len - 12) == 0);
	buf_fini(&again);
	query_error_fini(&e);
	buf_clear(&b);
	wire_put_reply_head(&b, 44, &reply);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && q.reply.status == 201);
	wire_query_fini(&q);
	buf_fini(&b);
}

static void
test_query_parts(void)
{
	uint8_t part[LIMIT_PART_BYTES_MAX + 1] = { 1 };
	struct buf b = BUF_INIT;
	struct wire_query q;
	struct wire_frame f;

	wire_put_query_body(&b, 1, bytes_of(part, LIMIT_PART_BYTES_MAX), false);
	CU_ASSERT(b.len <= LIMIT_FRAME_BYTES_MAX);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && q.data.len == LIMIT_PART_BYTES_MAX);
	CU_ASSERT(!q.is_last);
	buf_clear(&b);
	wire_put_reply_data(&b, 1, BYTES_NONE, true);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && q.is_last && q.data.len == 0);
	f.flags = 0; /* empty and not the last */
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	buf_clear(&b);
	wire_put_query_credit(&b, 1, LIMIT_PARTS_WINDOW, true);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && q.parts == LIMIT_PARTS_WINDOW);
	CU_ASSERT(q.is_to_asker);
	b.data[b.len - 1] = LIMIT_PARTS_WINDOW + 1;
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	b.data[b.len - 1] = 0;
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	buf_fini(&b);
}

static void
test_query_load(void)
{
	struct wire_load load = { 8, 3, 70, 125000 };
	char name[LIMIT_SERVICE_BYTES_MAX + 2];
	struct buf b = BUF_INIT;
	struct wire_query q;
	struct wire_frame f, bad;

	wire_put_query_load(&b, WIRE_QUERY_PULL, 7, "ocr", &load);
	f = frame_of(&b);
	/* Who does not know it goes on without. */
	CU_ASSERT(!(f.flags & WIRE_FLAG_MUST) && wire_type_is_query(f.type));
	CU_ASSERT_FATAL(wire_read_query(&f, &q) == 0 && q.qid == 7);
	CU_ASSERT(strcmp(q.service, "ocr") == 0);
	CU_ASSERT(memcmp(&q.load, &load, sizeof(load)) == 0);
	wire_query_fini(&q);
	/* Cut in the numbers, or before the name. */
	for (bad = f; bad.payload.len > 0;) {
		bad.payload.len--;
		if (wire_read_query(&bad, &q) == 0) {
			CU_ASSERT(bad.payload.len > 8 + 16);
			wire_query_fini(&q);
		}
	}
	b.data[b.len - 1] = '\0';
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	b.data[b.len - 1] = 'r';
	b.data[WIRE_HEADER_BYTES + 8] = 2; /* slots: 2^25 and 8 */
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	buf_clear(&b);
	load.queued = UINT32_MAX;
	wire_put_query_load(&b, WIRE_QUERY_LOAD, 7, "ocr", &load);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && q.load.queued == WIRE_LOAD_MAX);
	wire_query_fini(&q);
	buf_clear(&b);
	memset(name, 'n', sizeof(name));
	name[LIMIT_SERVICE_BYTES_MAX] = '\0';
	wire_put_query_load(&b, WIRE_QUERY_PROBE, 7, name, NULL);
	f = frame_of(&b);
	CU_ASSERT(wire_read_query(&f, &q) == 0 && strcmp(q.service, name) == 0);
	wire_query_fini(&q);
	buf_put(&b, "n", 1);
	f.payload = bytes_of(b.data + WIRE_HEADER_BYTES, b.len - WIRE_HEADER_BYTES);
	CU_ASSERT(wire_read_query(&f, &q) == -OCF_EMALFORMED);
	buf_fini(&b);
}

static void
test_dial_backs(void)
{
	static const char *const one[] = { "a:1b", ":2" }, *const other[] = { "a:1",
									      "b:2" };
	uint64_t token = 0, addresses = 0;
	enum wire_dialled result;
	struct buf b = BUF_INIT;

	wire_put_dial_back(&b, 7, 8);
	CU_ASSERT(wire_read_dial_back(frame_of(&b).payload, &token, &addresses) == 0);
	CU_ASSERT(token == 7 && addresses == 8);
	CU_ASSERT(wire_read_dial_back(BYTES_NONE, &token, &addresses) < 0);
	CU_ASSERT(wire_read_dialled(frame_of(&b).payload, &token, &result) < 0);
	buf_clear(&b);
	wire_put_dialled(&b, 9, WIRE_DIALLED_NOT);
	CU_ASSERT(wire_read_dialled(frame_of(&b).payload, &token, &result) == 0);
	CU_ASSERT(token == 9 && result == WIRE_DIALLED_NOT);
	b.data[b.len - 1] = WIRE_DIALLED_NOT + 1;
	CU_ASSERT(wire_read_dialled(frame_of(&b).payload, &token, &result) < 0);
	CU_ASSERT(wire_addresses_digest(one, 2) != wire_addresses_digest(other, 2));
	CU_ASSERT(wire_addresses_digest(one, 1) != wire_addresses_digest(one, 2));
	buf_fini(&b);
}

static void
test_tree(void)
{
	const struct wire_beacon beacon = {
		.rank = 0x0123456789abcdef, .seq = 0x13579bdf, .distance = 7, .rings = 4
	};
	const uint64_t hashes[3] = { 1, UINT64_MAX, 5 };
	uint8_t payload[WIRE_REFRESH_BYTES] = { 9 };
	static uint64_t many[WIRE_HASHES_MAX + 1];
	struct wire_beacon read;
	struct buf b = BUF_INIT;
	struct bytes found;
	uint64_t rank;

	wire_put_beacon(&b, &beacon);
	CU_ASSERT(b.len == 18 && wire_read_beacon(frame_of(&b).payload, &read) == 0);
	CU_ASSERT(read.rank == beacon.rank && read.seq == beacon.seq &&
		  read.distance == 7 && read.rings == 4);
	CU_ASSERT(wire_read_beacon(bytes_of(b.data + 4, 13), &read) == -OCF_EMALFORMED);
	CU_ASSERT(wire_read_beacon(bytes_of(b.data + 3, 15), &read) == -OCF_EMALFORMED);
	buf_clear(&b);
	wire_put_parent(&b, 77, true);
	CU_ASSERT(b.len == 12 && frame_of(&b).flags == WIRE_FLAG_NO_MORE);
	CU_ASSERT(wire_read_u64(frame_of(&b).payload, &rank) == 0 && rank == 77);
	buf_clear(&b);
	wire_put_hashes(&b, WIRE_ANNOUNCE, hashes, 1);
	CU_ASSERT(b.len == 12); /* one row: 12 bytes */
	buf_clear(&b);
	wire_put_hashes(&b, WIRE_PULL, hashes, 3);
	CU_ASSERT(frame_of(&b).type == WIRE_PULL &&
		  wire_read_hashes(frame_of(&b).payload, &found) == 0);
	CU_ASSERT(found.len == 24 && get_be64(found.data + 8) == UINT64_MAX);
	CU_ASSERT(wire_read_hashes(BYTES_NONE, &found) == -OCF_EMALFORMED);
	CU_ASSERT(wire_read_hashes(bytes_of(b.data, 9), &found) == -OCF_EMALFORMED);
	CU_ASSERT(wire_read_hashes(bytes_of(many, sizeof(many)), &found) ==
		  -OCF_EMALFORMED);
	buf_clear(&b);
	wire_put_hashes(&b, WIRE_PULL, many, WIRE_HASHES_MAX + 1);
	CU_ASSERT(b.len == 8 + 8 * (WIRE_HASHES_MAX + 1)); /* two frames */
	buf_clear(&b);
	wire_put_refresh(&b, bytes_of(payload, sizeof(payload)));
	CU_ASSERT(b.len <= 120 && frame_of(&b).type == WIRE_REFRESH);
	CU_ASSERT(bytes_equal(frame_of(&b).payload, bytes_of(payload, sizeof(payload))));
	buf_fini(&b);
}

static void
test_classes(void)
{
	CU_ASSERT(wire_class_of(WIRE_REFRESH) == WIRE_CLASS_ROWS);
	CU_ASSERT(wire_class_of(WIRE_ANNOUNCE) == WIRE_CLASS_ANNOUNCE);
	CU_ASSERT(wire_class_of(WIRE_PULL) == WIRE_CLASS_ANNOUNCE);
	CU_ASSERT(wire_class_of(WIRE_BEACON) == WIRE_CLASS_CONTROL);

	CU_ASSERT(wire_class_of(WIRE_HELLO) == WIRE_CLASS_HELLO);
	CU_ASSERT(wire_class_of(WIRE_PONG) == WIRE_CLASS_CONTROL);
	CU_ASSERT(wire_class_of(WIRE_ROWS) == WIRE_CLASS_ROWS);
	CU_ASSERT(wire_class_of(WIRE_SYNC) == WIRE_CLASS_SYNC);
	CU_ASSERT(wire_class_of(WIRE_SYNC_ROWS) == WIRE_CLASS_SYNC);
	CU_ASSERT(wire_class_of(WIRE_REPLY_DATA) == WIRE_CLASS_QUERY);
	CU_ASSERT(wire_class_of(200) == WIRE_CLASS_CONTROL);
	for (int c = 0; c < WIRE_CLASSES; c++)
		CU_ASSERT(wire_class_name((enum wire_class)c)[0] != '\0');
	for (int reason = 0; reason < 10; reason++)
		CU_ASSERT(wire_goodbye_text((uint8_t)reason)[0] != '\0');
}

static struct wire_liveness
liveness(enum wire_type type, int votes)
{
	struct wire_liveness l = { .type = type,
				   .incarnation = 0x0102030405060708,
				   .standing = type == WIRE_ALIVE ? WIRE_STANDING_LEFT
								  : 0,
				   .is_isolated = type == WIRE_SUSPECT,
				   .is_lost = type == WIRE_SUSPECT,
				   .votes_len = votes };

	memset(l.subject.b, 0x11, ID_BYTES);
	if (type == WIRE_ALIVE)
		memset(l.signature, 0x22, sizeof(l.signature));
	for (int i = 0; i < votes; i++) {
		memset(l.votes[i].observer.b, 0x33 + i, ID_BYTES);
		memset(l.votes[i].signature, 0x44 + i, WIRE_SIGNATURE_BYTES);
	}
	return l;
}

/* As it was, and so in no other length. */
static void
check_liveness(enum wire_type type, int votes, size_t bytes)
{
	struct wire_liveness l = liveness(type, votes), back;
	struct buf b = BUF_INIT;
	struct wire_frame f;

	wire_put_liveness(&b, &l);
	f = frame_of(&b);
	CU_ASSERT(b.len == bytes && f.type == type);
	CU_ASSERT_FATAL(wire_read_liveness(&f, &back) == 0);
	CU_ASSERT(id_equal(&back.subject, &l.subject) &&
		  back.incarnation == l.incarnation && back.standing == l.standing &&
		  back.is_isolated == l.is_isolated && back.is_lost == l.is_lost &&
		  back.votes_len == votes &&
		  memcmp(back.signature, l.signature, sizeof(l.signature)) == 0);
	for (int i = 0; i < votes; i++)
		CU_ASSERT(memcmp(&back.votes[i], &l.votes[i], sizeof(l.votes[i])) == 0);
	for (size_t len = 0; len < f.payload.len; len++) {
		struct wire_frame cut = f;

		cut.payload.len = len;
		/* A verdict may have fewer votes. */
		CU_ASSERT(wire_read_liveness(&cut, &back) < 0 ||
			  (type == WIRE_VERDICT && (len - 24) % 80 == 0));
	}
	buf_fini(&b);
}

static void
test_liveness(void)
{
	struct wire_liveness l = liveness(WIRE_VERDICT, WIRE_VOTES_MAX), back;
	struct buf b = BUF_INIT, longer = BUF_INIT;
	struct wire_frame f;
	struct id subject;

	check_liveness(WIRE_SUSPECT, 1, 108);
	check_liveness(WIRE_ALIVE, 0, 93);
	check_liveness(WIRE_VERDICT, 1, 108);
	check_liveness(WIRE_VERDICT, WIRE_VOTES_MAX, 508);
	/* One vote too many; none; a standing that is none. */
	wire_put_liveness(&b, &l);
	buf_put(&longer, b.data + WIRE_HEADER_BYTES, b.len - WIRE_HEADER_BYTES);
	buf_put(&longer, &l.votes[0], sizeof(l.votes[0]));
	f = (struct wire_frame){ .type = WIRE_VERDICT, .payload = buf_bytes(&longer) };
	CU_ASSERT(wire_read_liveness(&f, &back) < 0);
	f.payload.len = ID_BYTES + 8;
	CU_ASSERT(wire_read_liveness(&f, &back) < 0);
	f = (struct wire_frame){ .type = WIRE_SUSPECT,
				 .payload = bytes_of(longer.data, 24 + 2 * 80) };
	CU_ASSERT(wire_read_liveness(&f, &back) < 0);
	f = (struct wire_frame){ .type = WIRE_ALIVE,
				 .payload = bytes_of(longer.data, 24 + 65) };
	longer.data[24] = 3;
	CU_ASSERT(wire_read_liveness(&f, &back) < 0);
	longer.data[24] = WIRE_STANDING_THERE;
	CU_ASSERT(wire_read_liveness(&f, &back) == 0);
	buf_clear(&b);
	wire_put_about(&b, WIRE_ASK, &l.subject);
	CU_ASSERT(b.len == 20);
	CU_ASSERT(wire_read_about(frame_of(&b).payload, &subject) == 0 &&
		  id_equal(&subject, &l.subject));
	CU_ASSERT(wire_read_about(bytes_of(b.data, 15), &subject) < 0);
	CU_ASSERT(wire_read_about(bytes_of(b.data, 17), &subject) < 0);
	buf_fini(&b);
	buf_fini(&longer);
}

/* A vote in a verdict is what its voter signed as a SUSPECT; nothing else is the same text. */
static void
test_liveness_text(void)
{
	struct wire_liveness l = liveness(WIRE_SUSPECT, 1), other = l;
	struct id cluster = { { 1 } }, signer = l.votes[0].observer;
	struct buf text = BUF_INIT, texts[6] = { BUF_INIT };

	l.is_isolated = other.is_isolated = false;
	wire_put_liveness_signed(&text, &cluster, &l, &signer);
	other.type = WIRE_VERDICT;
	wire_put_liveness_signed(&texts[0], &cluster, &other, &signer);
	CU_ASSERT(bytes_equal(buf_bytes(&text), buf_bytes(&texts[0])));
	buf_clear(&texts[0]);
	other = l;
	other.is_lost = !l.is_lost; /* how long it is waited for; no verdict needs it */
	wire_put_liveness_signed(&texts[0], &cluster, &other, &signer);
	CU_ASSERT(bytes_equal(buf_bytes(&text), buf_bytes(&texts[0])));
	CU_ASSERT(memcmp(text.data, "ocf-mesh-1", 11) == 0);
	buf_clear(&texts[0]);
	other = l;
	other.is_isolated = true;
	wire_put_liveness_signed(&texts[0], &cluster, &other, &signer);
	other = l;
	other.incarnation++;
	wire_put_liveness_signed(&texts[1], &cluster, &other, &signer);
	other = l;
	other.subject.b[3] ^= 1;
	wire_put_liveness_signed(&texts[2], &cluster, &other, &signer);
	wire_put_liveness_signed(&texts[3], &l.subject, &l, &signer);
	wire_put_liveness_signed(&texts[4], &cluster, &l, &l.subject);
	other = liveness(WIRE_ALIVE, 0);
	wire_put_liveness_signed(&texts[5], &cluster, &other, &signer);
	for (int i = 0; i < 6; i++) {
		CU_ASSERT(!bytes_equal(buf_bytes(&text), buf_bytes(&texts[i])));
		buf_fini(&texts[i]);
	}
	buf_fini(&text);
}

static const struct tap_test tests[] = {
	{ "beacons, PARENT, hashes and refreshes are read back, and nothing of another length",
	  test_tree },
	{ "HELLO is read back the same, cut short it is refused, longer it is accepted",
	  test_hello },
	{ "HELLO with an unprintable address or versions upside down is refused",
	  test_hello_address },
	{ "a heartbeat is 12 bytes; a goodbye's text is cut and made printable",
	  test_small_frames },
	{ "CLOCK and WANT are read back the same, and refused at any other length",
	  test_clock_and_want },
	{ "SUSPECT, ALIVE, VERDICT, ASK and HEARD are read back the same, and small",
	  test_liveness },
	{ "what is signed says who, of whom, what and in which cluster",
	  test_liveness_text },
	{ "DIAL_BACK and DIALLED are read back the same; a digest knows where addresses end",
	  test_dial_backs },
	{ "rows longer than a frame go on in the next", test_rows_continue },
	{ "frames arrive whole from any pieces", test_pieces },
	{ "a frame longer than allowed is refused by its header", test_too_long },
	{ "query frames are read back the same and refused when cut", test_query_frames },
	{ "words of load are bounded, and may be skipped", test_query_load },
	{ "parts and credits outside their bounds are refused", test_query_parts },
	{ "every type has a class and every reason a text", test_classes },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
