/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a scripted peer: what one mesh core hands on, asks for, skips and does not bear. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-script.h"

static void
test_malformed(void)
{
	static const struct {
		uint8_t type, flags;
		size_t len;
	} bad[] = {
		{ WIRE_HEARTBEAT, 0, 3 }, { WIRE_PING, 0, 9 },
		{ WIRE_ROWS, 0, 0 },	  { WIRE_SYNC_ROWS, 0, 0 },
		{ WIRE_HELLO, 0, 50 },	  { 99, WIRE_FLAG_MUST, 2 },
		{ WIRE_GOODBYE, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static const char zeros[64];
		struct script s;

		script_up(&s);
		script_frame(&s, bad[i].type, bad[i].flags, zeros, bad[i].len);
		CU_ASSERT(strchr(s.kinds, 'C') != NULL && s.why[0] != '\0');
		CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
		CU_ASSERT(strchr(s.kinds, 'W') != NULL && s.state == MESH_NODE_SUSPECT);
		script_end(&s);
	}
}

static void
test_skipped(void)
{
	struct mesh_stats stats;
	struct script s;

	script_up(&s);
	script_frame(&s, 99, 0, "new", 3);
	CU_ASSERT(s.kinds[0] == '\0');
	mesh_stats(s.mesh, &stats);
	CU_ASSERT(stats.skipped_frames == 1 && stats.links_up == 1);
	script_end(&s);
}

static void
test_wants(void)
{
	static const uint8_t owners[600 * ID_BYTES];
	struct mesh_event want = { .type = MESH_EVENT_WANT,
				   .data = bytes_of(owners, 65 * ID_BYTES) };
	struct script s;

	script_up(&s);
	want.link = s.link + 1;
	script_step(&s, want);
	CU_ASSERT(s.wants == 0);
	want.link = s.link;
	script_step(&s, want);
	CU_ASSERT(s.wants == 2);
	want.data.len = sizeof(owners);
	script_step(&s, want);
	CU_ASSERT(s.wants == MESH_WANTS_SENT_MAX - 2);
	s.now += MS_SECOND;
	want.data.len = ID_BYTES;
	script_step(&s, want);
	CU_ASSERT(s.wants == 1);
	for (int i = 0; i < MESH_WANTS_MAX; i++) {
		script_frame(&s, WIRE_WANT, 0, (const char *)owners, 3 * ID_BYTES);
		CU_ASSERT(strcmp(s.kinds, "A") == 0 && s.wanted == 3 * ID_BYTES);
	}
	script_frame(&s, WIRE_WANT, 0, (const char *)owners, ID_BYTES);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED && s.wanted == 0);
	script_end(&s);
}

/* Our HELLO tells the root as it was; what changes before the other's comes must follow. */
static void
test_early_rows(void)
{
	const struct mesh_event changed = { .type = MESH_EVENT_ROW_CHANGED,
					    .rows = bytes_text("mine") };
	const char *const address = "10.0.0.9:1";
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_SEEDS,
					     .addresses = &address,
					     .addresses_len = 1 });
	script_wait(&s, s.now + 1);
	CU_ASSERT_FATAL(s.dialled != 0);
	script_step(&s, changed);
	CU_ASSERT(s.types_len == 0);
	s.link = s.dialled;
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					     .link = s.link,
					     .node = s.peer });
	CU_ASSERT(s.types_len == 1 && s.types[0] == WIRE_HELLO);
	script_step(&s, changed);
	CU_ASSERT(s.types_len == 1 && s.types[0] == WIRE_ROWS);
	h = script_hello(&s);
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL);
	script_step(&s, changed);
	CU_ASSERT(s.types_len == 1 && s.types[0] == WIRE_ROWS);
	script_end(&s);
}

/* What the comparison of tables needs is handed on: roots, messages, rows. */
static void
test_sync(void)
{
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_ROOT,
					     .root = { 1, 2 },
					     .rows_len = 3,
					     .word = 0x1234567800000041 });
	script_accept(&s);
	/* Our HELLO is out: the pair of roots is the one that the peer knows, too. */
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_ROOT,
					     .root = { 7, 8 },
					     .rows_len = 9,
					     .word = 0x1234567800000042 });
	h = script_hello(&s);
	h.root = (struct u128){ 4, 5 };
	h.rows = 6;
	script_greet(&s, &h);
	CU_ASSERT(!s.is_rowless && s.root.hi == 4 && s.root.lo == 5 && s.rows_len == 6);
	CU_ASSERT(s.our_root.hi == 1 && s.our_root.lo == 2 && s.our_rows_len == 3);
	script_frame(&s, WIRE_HEARTBEAT, 0, "\0\0\0\0\0\0\0\4", 8);
	CU_ASSERT(strcmp(s.kinds, "H") == 0 && s.word == 4);
	script_frame(&s, WIRE_SYNC, 0, "compare", 7);
	CU_ASSERT(strcmp(s.kinds, "Y") == 0);
	/* Two long rows, of both kinds, each in the gaps of the other. */
	script_frame(&s, WIRE_ROWS, WIRE_FLAG_MORE, "begin", 5);
	CU_ASSERT(s.delivered == 0);
	script_frame(&s, WIRE_SYNC_ROWS, WIRE_FLAG_MORE, "BEGI", 4);
	script_frame(&s, WIRE_ROWS, 0, "end", 3);
	CU_ASSERT(s.delivered == 8 && !s.is_sync);
	script_frame(&s, WIRE_SYNC_ROWS, 0, "END", 3);
	CU_ASSERT(s.delivered == 7 && s.is_sync);
	/* Our own heartbeat tells the word of the last root. */
	s.now += MESH_BEAT_MS;
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(s.beat == 0x1234567800000042);
	script_end(&s);
}

/* A row that never ends. */
static void
test_endless_row(void)
{
	static const char zeros[60000];
	struct script s;

	script_up(&s);
	for (int i = 0; i < 4; i++)
		script_frame(&s, WIRE_ROWS, WIRE_FLAG_MORE, zeros, sizeof(zeros));
	CU_ASSERT(s.goodbye == 0);
	script_frame(&s, WIRE_ROWS, WIRE_FLAG_MORE, zeros, sizeof(zeros));
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
	script_end(&s);
}

static void
test_pings(void)
{
	struct script s;

	script_up(&s);
	for (int i = 0; i < MESH_PINGS_MAX; i++) {
		script_frame(&s, WIRE_PING, 0, "12345678", 8);
		CU_ASSERT(s.types_len == 1 && s.types[0] == WIRE_PONG);
	}
	script_frame(&s, WIRE_PING, 0, "12345678", 8);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
	script_end(&s);
}

static void
test_query_frame(void)
{
	struct script s;

	script_up(&s);
	script_frame(&s, WIRE_QUERY_CANCEL, WIRE_FLAG_MUST, "12345678", 8);
	CU_ASSERT(strcmp(s.kinds, "Q") == 0);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_REJECT,
					     .link = s.link,
					     .why = "a bad signature" });
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
	CU_ASSERT(strcmp(s.why, "a bad signature") == 0);
	script_end(&s);
}

static const struct tap_test tests[] = {
	{ "a malformed frame closes the link with a reason", test_malformed },
	{ "an unknown frame that need not be understood is skipped", test_skipped },
	{ "node rows are asked for, not too often", test_wants },
	{ "rows that change between the two HELLOs of a link are not missed",
	  test_early_rows },
	{ "roots, messages and rows of comparisons are handed on", test_sync },
	{ "a row that goes on for ever ends the link", test_endless_row },
	{ "PINGs without end are not answered for ever", test_pings },
	{ "query frames go to dispatch; what it rejects ends the link",
	  test_query_frame },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
