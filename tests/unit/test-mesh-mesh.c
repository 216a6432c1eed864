/* SPDX-License-Identifier: Apache-2.0 */
/* One mesh core against a scripted peer: what it refuses and says, whom it dials, when it
 * takes a node for dead. Whole clusters are in tests/sim. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/tap.h"
#include "mesh/mesh.h"

enum { WALL = 1700000000, START = 1000 };

struct script {
	struct mesh *mesh;
	ms_t now;
	struct id peer;
	uint64_t link;
	/* What was seen since the last step: */
	char kinds[512]; /* a letter for each action */
	bool is_rowless, is_sync, is_barred;
	uint64_t horizon;
	size_t wanted; /* bytes */
	int wants;     /* sent */
	int clocks;    /* sent, ever */
	struct u128 root, our_root;
	uint64_t rows_len, our_rows_len, word, beat;
	char why[MESH_WHY_SIZE];
	uint8_t types[64]; /* of the frames sent */
	int types_len;
	uint8_t goodbye;
	uint64_t dialled;
	char address[128];
	enum mesh_state state;
	uint64_t incarnation;
	size_t delivered;
};

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

static void
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
	e.wall_ms = WALL + s->now - START;
	mesh_step(s->mesh, s->now, &e);
	while (mesh_next(s->mesh, &a))
		script_do(s, &a);
}

static void
script_start(struct script *s)
{
	struct mesh_config config = { .seed = 1,
				      .incarnation = 10,
				      .retention_ms = MS_DAY,
				      .rows_per_node = 100,
				      .format = 1,
				      .address = "127.0.0.1:1" };

	*s = (struct script){ .now = START };
	memset(config.self.b, 5, ID_BYTES);
	memset(s->peer.b, 9, ID_BYTES);
	s->mesh = mesh_new(&config, s->now);
}

static void
script_accept(struct script *s)
{
	s->link = mesh_link_new(s->mesh);
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					    .link = s->link,
					    .node = s->peer });
}

static struct wire_hello
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
				.wall_ms = WALL + s->now - START,
				.address = "10.0.0.9:1" };

	return h;
}

static void
script_data(struct script *s, const struct buf *b)
{
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
					    .link = s->link,
					    .data = buf_bytes(b) });
}

static void
script_greet(struct script *s, const struct wire_hello *h)
{
	struct buf b = BUF_INIT;

	wire_put_hello(&b, h);
	script_data(s, &b);
	buf_fini(&b);
}

static void
script_frame(struct script *s, uint8_t type, uint8_t flags, const char *payload,
	     size_t len)
{
	struct buf b = BUF_INIT;

	wire_put_frame(&b, type, flags, bytes_of(payload, len));
	script_data(s, &b);
	buf_fini(&b);
}

static void
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

static void
script_end(struct script *s)
{
	mesh_free(s->mesh);
}

/* Tick until that moment. */
static void
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

static void
refused(void (*change)(struct wire_hello *h), const char *says)
{
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_accept(&s);
	h = script_hello(&s);
	change(&h);
	script_greet(&s, &h);
	CU_ASSERT(strcmp(s.kinds, "SC") == 0 && s.goodbye == WIRE_GOODBYE_REFUSED);
	CU_ASSERT(strstr(s.why, says) != NULL);
	CU_ASSERT(mesh_link_of(s.mesh, &s.peer) == 0);
	script_end(&s);
}

static void
change_cluster(struct wire_hello *h)
{
	h->cluster.b[0] = 1;
}

static void
change_node(struct wire_hello *h)
{
	h->node.b[0] ^= 1;
}

static void
change_version(struct wire_hello *h)
{
	h->protocol_min = h->protocol_max = 9;
}

static void
change_constants(struct wire_hello *h)
{
	h->rows_per_node = 5;
}

static void
test_refusals(void)
{
	refused(change_cluster, "belongs to cluster 01000000");
	refused(change_node, "another node than its certificate");
	refused(change_version, "speaks protocol 9 to 9");
	refused(change_constants, "other cluster constants");
}

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

/* The peer, whose address is known, has sent what it must not; returns when. */
static ms_t
script_reject(struct script *s)
{
	const char *addresses[] = { "10.0.0.9:1" };

	script_up(s);
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					    .node = s->peer,
					    .addresses = addresses,
					    .addresses_len = 1 });
	script_step(s, (struct mesh_event){ .type = MESH_EVENT_LINK_REJECT,
					    .link = s->link,
					    .why = "nonsense" });
	return s->now;
}

/* One that sent what it must not is refused for a while, however it comes, and is not dialled
 * earlier either. */
static void
test_banished(void)
{
	struct script s;
	ms_t from;

	from = script_reject(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
	s.now = from + MESH_BANISH_MS - 1;
	script_accept(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_REFUSED);
	CU_ASSERT(strstr(s.why, "may come back in 1 s") != NULL);
	s.now = from + MESH_BANISH_MS;
	script_accept(&s);
	CU_ASSERT(s.types_len == 1 && s.types[0] == WIRE_HELLO);
	script_end(&s);

	from = script_reject(&s);
	s.dialled = 0;
	while (s.dialled == 0 && s.now < from + MS_MINUTE) {
		s.now++;
		script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	}
	CU_ASSERT(s.dialled != 0 && s.now >= from + MESH_BANISH_MS);
	script_end(&s);
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
test_hello_first(void)
{
	struct script s;
	ms_t by;

	script_start(&s);
	script_accept(&s);
	script_frame(&s, WIRE_SYNC, 0, NULL, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_MALFORMED);
	CU_ASSERT(strstr(s.why, "no HELLO") != NULL);
	for (by = s.now + MESH_BANISH_MS; s.now < by;)
		script_wait(&s, by); /* its node is given up meanwhile */
	CU_ASSERT(s.state == MESH_NODE_DEAD);
	script_accept(&s);
	script_wait(&s, s.now + MESH_HELLO_MS);
	CU_ASSERT(strchr(s.kinds, 'C') != NULL &&
		  strstr(s.why, "no HELLO within") != NULL);
	script_end(&s);
}

static void
script_beat(struct script *s, int next_s)
{
	struct buf b = BUF_INIT;

	wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, next_s);
	script_data(s, &b);
	buf_fini(&b);
}

static void
test_silence(void)
{
	struct script s;
	ms_t from;

	script_up(&s);
	script_beat(&s, 3);
	from = s.now + 3 * MS_SECOND; /* when the next one is due */
	script_wait(&s, from + MS_MINUTE);
	CU_ASSERT(s.state == MESH_NODE_SUSPECT);
	CU_ASSERT(s.now == from + MESH_LATE_BEAT_MS + MESH_CHECK_MS);
	from = s.now;
	script_wait(&s, from + MS_MINUTE);
	CU_ASSERT(s.state == MESH_NODE_DEAD && s.now == from + MESH_DEAD_MS);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_SILENT);
	script_end(&s);
}

/* This process stood still: what it did not hear is not the fault of others. */
static void
test_own_stall(void)
{
	struct script s;
	ms_t from;

	script_up(&s);
	script_beat(&s, 3);
	s.now += MS_MINUTE;
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(strchr(s.kinds, 'C') == NULL && s.state == MESH_NODE_ALIVE);
	/* From here on it counts, and twice as long as for one that was never late. */
	from = s.now;
	script_wait(&s, from + MS_MINUTE);
	CU_ASSERT(s.state == MESH_NODE_SUSPECT);
	CU_ASSERT(s.now <=
		  from + 3 * MS_SECOND + 2 * MESH_LATE_BEAT_MS + 2 * MESH_CHECK_MS);
	CU_ASSERT(s.now > from + 3 * MS_SECOND + MESH_LATE_BEAT_MS + MESH_CHECK_MS);
	/* The same for the verdict. */
	from = s.now;
	s.now += MS_MINUTE;
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(s.state == MESH_NODE_SUSPECT);
	script_wait(&s, s.now + MS_MINUTE);
	CU_ASSERT(s.state == MESH_NODE_DEAD && s.now > from + MS_MINUTE);
	CU_ASSERT(s.now <= from + MS_MINUTE + MESH_DEAD_MS);
	script_end(&s);
}

static void
test_goodbye(void)
{
	struct buf b = BUF_INIT;
	struct script s;

	script_up(&s);
	wire_put_goodbye(&b, WIRE_GOODBYE_LEAVING, "we stop");
	script_data(&s, &b);
	CU_ASSERT(s.state == MESH_NODE_LEFT && strstr(s.why, "we stop") != NULL);
	for (ms_t by = s.now + MS_MINUTE; s.now < by;)
		script_wait(&s, by);
	CU_ASSERT(s.state == MESH_NODE_LEFT);
	buf_fini(&b);
	script_end(&s);
}

static void
test_clocks(void)
{
	struct wire_hello h;
	struct script s;
	struct mesh_peer peer;

	script_start(&s);
	script_accept(&s);
	h = script_hello(&s);
	h.wall_ms += MESH_CLOCK_SKEW_MS + 1;
	h.root.hi = 4;
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL && s.state == MESH_NODE_ALIVE);
	CU_ASSERT(s.is_rowless);
	script_frame(&s, WIRE_SYNC, 0, "compare", 7);
	script_frame(&s, WIRE_SYNC_ROWS, 0, "rows", 4);
	script_frame(&s, WIRE_HEARTBEAT, 0, "\0\0\0\0\0\0\0\4", 8);
	CU_ASSERT(s.kinds[0] == '\0');
	script_frame(&s, WIRE_ROWS, 0, "rows", 4);
	CU_ASSERT(s.delivered == 0);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_ROW_CHANGED,
					     .rows = bytes_text("mine") });
	CU_ASSERT(s.types_len == 0);
	CU_ASSERT(mesh_peers(s.mesh, &peer, 1) == 1 && peer.is_rowless);
	script_end(&s);
}

static void
script_clock(struct script *s, ms_t wall_ms, uint64_t horizon)
{
	struct buf b = BUF_INIT;

	wire_put_clock(&b, wall_ms, horizon);
	script_data(s, &b);
	buf_fini(&b);
}

/* A clock that was set while the link was up is noticed, and the link greeted anew. */
static void
test_clock_set(void)
{
	struct wire_hello h;
	struct script s;
	int told;

	script_up(&s);
	script_clock(&s, WALL - MESH_CLOCK_SKEW_MS, 0);
	CU_ASSERT(s.kinds[0] == '\0');
	script_clock(&s, WALL - MESH_CLOCK_SKEW_MS - 1, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK && strchr(s.kinds, 'W') != NULL);
	CU_ASSERT(s.state == MESH_NODE_ALIVE);
	script_accept(&s);
	h = script_hello(&s);
	h.wall_ms -= MESH_CLOCK_SKEW_MS + 1;
	script_greet(&s, &h);
	CU_ASSERT(s.is_rowless);
	script_clock(&s, WALL, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK);
	/* Ours is told with each measurement of the round trip. */
	script_accept(&s);
	h = script_hello(&s);
	script_greet(&s, &h);
	told = s.clocks;
	for (int i = 0; i < MESH_RTT_MS / MS_SECOND; i++) {
		s.now += MS_SECOND;
		script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
		script_beat(&s, 2);
	}
	CU_ASSERT(s.clocks == told + 1);
	script_end(&s);
}

/* The horizon of a table that has forgotten what our clock still remembers. */
static void
test_horizon(void)
{
	const uint64_t bound = WALL - MS_DAY + 10 * MS_MINUTE;
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_accept(&s);
	h = script_hello(&s);
	h.horizon = bound;
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL && !s.is_rowless && s.horizon == bound);
	script_clock(&s, WALL, bound + 1);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK);
	script_accept(&s);
	h.horizon = bound + 1;
	script_greet(&s, &h);
	CU_ASSERT(s.is_rowless && strstr(s.why, "forgotten") != NULL);
	script_end(&s);
}

/* And that of ours, which the other side does not believe: both ends judge by the same two
 * HELLOs, or the one would send rows and comparisons that the other throws away. */
static void
test_own_horizon(void)
{
	const uint64_t bound = WALL - MS_DAY + 10 * MS_MINUTE;
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_ROOT,
					     .horizon = bound - MS_MINUTE });
	script_accept(&s);
	/* What we say of it later is not what our HELLO said. */
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_ROOT,
					     .horizon = bound + MS_MINUTE });
	h = script_hello(&s);
	h.wall_ms = WALL - MS_MINUTE;
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL && !s.is_rowless);
	script_clock(&s, WALL + MS_MINUTE, 0);
	CU_ASSERT(s.kinds[0] == '\0');
	script_clock(&s, WALL, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK);
	script_accept(&s);
	h.wall_ms = WALL;
	script_greet(&s, &h);
	CU_ASSERT(s.is_rowless && strstr(s.why, "this node has forgotten") != NULL);
	script_end(&s);
}

static void
script_more(struct script *s, uint8_t node, ms_t skew)
{
	struct wire_hello h;

	memset(s->peer.b, node, ID_BYTES);
	script_accept(s);
	h = script_hello(s);
	h.wall_ms += skew;
	script_greet(s, &h);
	CU_ASSERT(strchr(s->kinds, 'U') != NULL);
}

static void
test_clock_disagrees(void)
{
	const ms_t far = 2 * MESH_CLOCK_SKEW_MS;
	struct script s;

	script_start(&s);
	CU_ASSERT(!mesh_clock_disagrees(s.mesh));
	script_more(&s, 10, far);
	CU_ASSERT(!mesh_clock_disagrees(s.mesh)); /* who of the two? */
	script_more(&s, 11, far);
	CU_ASSERT(mesh_clock_disagrees(s.mesh));
	script_more(&s, 12, 0);
	CU_ASSERT(mesh_clock_disagrees(s.mesh));
	script_more(&s, 13, 0);
	CU_ASSERT(!mesh_clock_disagrees(s.mesh)); /* half is not most */
	script_more(&s, 14, -far);
	CU_ASSERT(mesh_clock_disagrees(s.mesh));
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
test_restart(void)
{
	struct script s;
	struct wire_hello h;
	uint64_t first;

	script_up(&s);
	first = s.link;
	script_accept(&s);
	h = script_hello(&s);
	h.life = 78;
	h.held_status = WIRE_STATUS_DEAD;
	h.held_incarnation = 10;
	script_greet(&s, &h);
	CU_ASSERT(mesh_link_of(s.mesh, &s.peer) == s.link && s.link != first);
	CU_ASSERT(s.incarnation == 11);
	CU_ASSERT(mesh_node_state(s.mesh, &s.peer) == MESH_NODE_ALIVE);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_DUPLICATE);
	script_end(&s);
}

static void
test_dials(void)
{
	const char *addresses[] = { "a:1", "b:1" };
	ms_t longest = 0, last;
	struct script s;

	script_start(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					     .node = s.peer,
					     .addresses = addresses,
					     .addresses_len = 2 });
	last = s.now;
	for (int i = 0; i < 40; i++) {
		s.dialled = 0;
		while (s.dialled == 0 && s.now < 100 * MS_MINUTE) {
			s.now = mesh_due(s.mesh) > s.now ? mesh_due(s.mesh) : s.now;
			script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
		}
		CU_ASSERT(strcmp(s.address, addresses[i % 2]) == 0);
		if (s.now - last > longest)
			longest = s.now - last;
		last = s.now;
		script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
						     .link = s.dialled,
						     .why = "refused" });
	}
	CU_ASSERT(longest > 5 * MS_SECOND && longest <= MESH_DIAL_CAP_MS + 1);
	script_end(&s);
}

static void
test_seed_is_self(void)
{
	const char *seed[] = { "me:1" };
	struct script s;
	struct id self;

	script_start(&s);
	memset(self.b, 5, ID_BYTES);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_SEEDS,
					     .addresses = seed,
					     .addresses_len = 1 });
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT(s.dialled != 0);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					     .link = s.dialled,
					     .node = self });
	CU_ASSERT(strcmp(s.kinds, "C") == 0 && strstr(s.why, "itself") != NULL);
	s.dialled = 0;
	script_wait(&s, s.now + 9 * MS_MINUTE);
	CU_ASSERT(s.dialled == 0);
	script_end(&s);
}

static void
test_gone(void)
{
	struct script s;

	script_up(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					     .node = s.peer,
					     .is_gone = true });
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_REFUSED);
	script_accept(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_REFUSED && s.types[0] == WIRE_GOODBYE);
	script_end(&s);
}

/* One that withdrew is left alone, and let in when it comes back. */
static void
test_left(void)
{
	const char *address[] = { "peer:1" };
	struct wire_hello h;
	struct script s;

	script_up(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					     .node = s.peer,
					     .has_left = true });
	CU_ASSERT(s.goodbye == 0 && s.kinds[0] == '\0');
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
					     .link = s.link });
	s.dialled = 0;
	script_wait(&s, s.now + 10 * MS_MINUTE);
	CU_ASSERT(s.dialled == 0 && s.state == MESH_NODE_LEFT);
	script_accept(&s);
	h = script_hello(&s);
	script_greet(&s, &h);
	CU_ASSERT(s.goodbye == 0 && mesh_link_of(s.mesh, &s.peer) == s.link);
	/* Its row says that it is back. */
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					     .node = s.peer,
					     .addresses = address,
					     .addresses_len = 1 });
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
					     .link = s.link });
	script_wait(&s, s.now + MS_MINUTE);
	CU_ASSERT(s.dialled != 0 && strcmp(s.address, "peer:1") == 0);
	script_end(&s);
}

/* A member cannot take all links, by greeting on none. */
static void
test_links_of_one(void)
{
	uint64_t first;
	struct script s;

	script_start(&s);
	script_accept(&s);
	first = s.link;
	for (int i = 1; i < MESH_LINKS_OF_NODE_MAX; i++)
		script_accept(&s);
	CU_ASSERT(s.goodbye == 0 && s.types_len == 1 && s.types[0] == WIRE_HELLO);
	script_accept(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_BUSY && s.types_len == 1);
	script_step(&s,
		    (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED, .link = first });
	script_accept(&s);
	CU_ASSERT(s.goodbye == 0 && s.types[0] == WIRE_HELLO);
	script_end(&s);
}

static void
test_barred(void)
{
	static const char why[] = "banned on Monday by node n1: a reason";
	struct script s;

	script_up(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE,
					     .node = s.peer,
					     .is_gone = true,
					     .why = why });
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_BARRED && strcmp(s.why, why) == 0);
	CU_ASSERT(mesh_link_of(s.mesh, &s.peer) == 0 && !s.is_barred);
	script_accept(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_BARRED && s.types_len == 1);
	/* Taken back. */
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_NODE, .node = s.peer });
	script_accept(&s);
	CU_ASSERT(s.goodbye == 0 && s.types[0] == WIRE_HELLO);
	script_end(&s);
}

/* Who hears that it was banned says so, and stops trying so hard. */
static void
test_told_that_barred(void)
{
	const char *seed[] = { "peer:1" };
	struct script s;
	ms_t told;

	script_start(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_SEEDS,
					     .addresses = seed,
					     .addresses_len = 1 });
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_TICK });
	CU_ASSERT_FATAL(s.dialled != 0);
	s.link = s.dialled;
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					     .link = s.link,
					     .node = s.peer });
	script_frame(&s, WIRE_GOODBYE, 0, "\010banned", 7);
	CU_ASSERT(strcmp(s.kinds, "C") == 0 && s.is_barred);
	CU_ASSERT(strcmp(s.why, "the other side says: banned") == 0);
	told = s.now;
	s.dialled = 0;
	while (s.now < told + MESH_BARRED_MS / 2 - 1)
		script_wait(&s, told + MESH_BARRED_MS / 2 - 1);
	CU_ASSERT(s.dialled == 0);
	while (s.now < told + MESH_BARRED_MS + MS_SECOND)
		script_wait(&s, told + MESH_BARRED_MS + MS_SECOND);
	CU_ASSERT(s.dialled != 0);
	script_end(&s);
}

static void
test_stop(void)
{
	struct script s;

	script_up(&s);
	script_step(&s, (struct mesh_event){ .type = MESH_EVENT_STOP });
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_LEAVING && strchr(s.kinds, 'C') != NULL);
	script_accept(&s);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_LEAVING);
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
	{ "another cluster, node, version or constants are refused with a reason",
	  test_refusals },
	{ "a malformed frame closes the link with a reason", test_malformed },
	{ "who sends what it must not is refused for a while", test_banished },
	{ "an unknown frame that need not be understood is skipped", test_skipped },
	{ "a link begins with HELLO, within its time", test_hello_first },
	{ "a node whose heartbeat is late is asked after, suspected, and dead 2 s later",
	  test_silence },
	{ "a process that stood still does not take others for dead", test_own_stall },
	{ "a node that says goodbye has left at once", test_goodbye },
	{ "with clocks too far apart a link carries no rows", test_clocks },
	{ "a clock that is set changes that", test_clock_set },
	{ "nor does a link to a table that has forgotten what our clock remembers",
	  test_horizon },
	{ "a horizon of ours that the other clock does not allow ends rows at both ends",
	  test_own_horizon },
	{ "a clock that differs from those of most links, and of two, is the wrong one",
	  test_clock_disagrees },
	{ "node rows are asked for, not too often", test_wants },
	{ "rows that change between the two HELLOs of a link are not missed",
	  test_early_rows },
	{ "roots, messages and rows of comparisons are handed on", test_sync },
	{ "a row that goes on for ever ends the link", test_endless_row },
	{ "PINGs without end are not answered for ever", test_pings },
	{ "a node that started again replaces its old link and is told of its death",
	  test_restart },
	{ "addresses are dialled in turn, ever later, 30 s at most", test_dials },
	{ "a seed that leads to the node itself is left alone", test_seed_is_self },
	{ "a node that is no member is refused", test_gone },
	{ "one node has so many links and no more", test_links_of_one },
	{ "one that was banned is told why, until it is taken back", test_barred },
	{ "who is told that it was banned dials again after minutes",
	  test_told_that_barred },
	{ "a node that left is not dialled, and may come back", test_left },
	{ "a stop says goodbye and refuses what comes", test_stop },
	{ "query frames go to dispatch; what it rejects ends the link",
	  test_query_frame },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
