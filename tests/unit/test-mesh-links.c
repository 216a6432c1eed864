/* SPDX-License-Identifier: Apache-2.0 */
/* Links of one mesh core to a scripted peer: whom it refuses and why, and when one carries no
 * rows. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-script.h"

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
	script_clock(&s, SCRIPT_WALL_MS - MESH_CLOCK_SKEW_MS, 0);
	CU_ASSERT(s.kinds[0] == '\0');
	script_clock(&s, SCRIPT_WALL_MS - MESH_CLOCK_SKEW_MS - 1, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK && strchr(s.kinds, 'W') != NULL);
	CU_ASSERT(s.state == MESH_NODE_ALIVE);
	script_accept(&s);
	h = script_hello(&s);
	h.wall_ms -= MESH_CLOCK_SKEW_MS + 1;
	script_greet(&s, &h);
	CU_ASSERT(s.is_rowless);
	script_clock(&s, SCRIPT_WALL_MS, 0);
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
	const uint64_t bound = SCRIPT_WALL_MS - MS_DAY + 10 * MS_MINUTE;
	struct wire_hello h;
	struct script s;

	script_start(&s);
	script_accept(&s);
	h = script_hello(&s);
	h.horizon = bound;
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL && !s.is_rowless && s.horizon == bound);
	script_clock(&s, SCRIPT_WALL_MS, bound + 1);
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
	const uint64_t bound = SCRIPT_WALL_MS - MS_DAY + 10 * MS_MINUTE;
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
	h.wall_ms = SCRIPT_WALL_MS - MS_MINUTE;
	script_greet(&s, &h);
	CU_ASSERT(strchr(s.kinds, 'U') != NULL && !s.is_rowless);
	script_clock(&s, SCRIPT_WALL_MS + MS_MINUTE, 0);
	CU_ASSERT(s.kinds[0] == '\0');
	script_clock(&s, SCRIPT_WALL_MS, 0);
	CU_ASSERT(s.goodbye == WIRE_GOODBYE_CLOCK);
	script_accept(&s);
	h.wall_ms = SCRIPT_WALL_MS;
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

static const struct tap_test tests[] = {
	{ "another cluster, node, version or constants are refused with a reason",
	  test_refusals },
	{ "who sends what it must not is refused for a while", test_banished },
	{ "a link begins with HELLO, within its time", test_hello_first },
	{ "with clocks too far apart a link carries no rows", test_clocks },
	{ "a clock that is set changes that", test_clock_set },
	{ "nor does a link to a table that has forgotten what our clock remembers",
	  test_horizon },
	{ "a horizon of ours that the other clock does not allow ends rows at both ends",
	  test_own_horizon },
	{ "a clock that differs from those of most links, and of two, is the wrong one",
	  test_clock_disagrees },
	{ "a node that started again replaces its old link and is told of its death",
	  test_restart },
	{ "one node has so many links and no more", test_links_of_one },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
