/* SPDX-License-Identifier: Apache-2.0 */
/* One mesh core against a scripted peer: whom it dials, when it takes a node for dead, who is
 * no member, how it stops. Whole clusters are in tests/sim. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-script.h"

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

static const struct tap_test tests[] = {
	{ "a node whose heartbeat is late is asked after, suspected, and dead 2 s later",
	  test_silence },
	{ "a process that stood still does not take others for dead", test_own_stall },
	{ "a node that says goodbye has left at once", test_goodbye },
	{ "addresses are dialled in turn, ever later, 30 s at most", test_dials },
	{ "a seed that leads to the node itself is left alone", test_seed_is_self },
	{ "a node that is no member is refused", test_gone },
	{ "one that was banned is told why, until it is taken back", test_barred },
	{ "who is told that it was banned dials again after minutes",
	  test_told_that_barred },
	{ "a node that left is not dialled, and may come back", test_left },
	{ "a stop says goodbye and refuses what comes", test_stop },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
