/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats of one node: whatever becomes of its links, one of those who watch it waits for one
 * within a second, none waits in vain, and no more than one a second is spent on it. */
#include "config.h"

#include "lib/tap.h"
#include "mesh/core.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.0.2.7:8093" };

enum {
	NODES = 9,
	ROUND_MS = NODES * MESH_BEAT_MS, /* in which each link had its turn */
	TOLD_MAX = 128,
	STALL_MS_MAX = 6 * MS_SECOND,
};

/* What the other end of a link was told last. */
struct told {
	uint64_t link;
	ms_t until;   /* the next one comes by then, */
	bool is_void; /* unless the link has not been the node's meanwhile */
	int seconds;
};

/* A node, NODES that know of it, and its links to them. */
struct pulse {
	struct rig rig;
	struct rng rng;
	struct told told[TOLD_MAX];
	int told_len;
	int beats, watched; /* sent; of these to those who watch us */
	int late;	    /* came after they were to */
	int unwatched;	    /* moments without one that was to come within a second */
	ms_t lag; /* of a tick of ours: what was told then is told for so much later */
	uint64_t incarnation; /* of others, as said last */
};

static const struct mesh_link *
pulse_link(const struct pulse *p, uint64_t id)
{
	const struct mesh_link *l = mesh_link_find(p->rig.mesh, id);

	return l != NULL && l->state == MESH_LINK_UP && l->retired_at == 0 ? l : NULL;
}

/* Is the node at its end one that is to notice that we are gone? */
static bool
pulse_is_watched(const struct pulse *p, uint64_t id)
{
	const struct mesh_link *l = pulse_link(p, id);

	return l != NULL && l->node->link == id && mesh_watches(p->rig.mesh, l->node) &&
	       l->node->inbound != MESH_INBOUND_NO;
}

static int
pulse_watchers(const struct pulse *p)
{
	int watchers = 0;

	for (int i = 0; i < p->rig.live_len; i++)
		watchers += pulse_is_watched(p, p->rig.live[i]);
	return watchers;
}

static struct told *
pulse_told(struct pulse *p, uint64_t link)
{
	for (int i = 0; i < p->told_len; i++)
		if (p->told[i].link == link)
			return &p->told[i];
	return NULL;
}

static void
pulse_beat(void *arg, uint64_t link, int seconds)
{
	struct pulse *p = arg;
	struct told *told = pulse_told(p, link);

	p->beats++;
	p->watched += pulse_is_watched(p, link);
	if (told == NULL) {
		CU_ASSERT_FATAL(p->told_len < TOLD_MAX);
		told = &p->told[p->told_len++];
		told->link = link;
	} else if (p->rig.now > told->until && !told->is_void) {
		p->late++;
	}
	told->is_void = false;
	told->until = p->rig.now + seconds * MS_SECOND;
	told->seconds = seconds;
	CU_ASSERT(seconds >= 1 && seconds <= MESH_BEAT_SLOW_MS / MS_SECOND);
}

/* Nobody who is there waits for one that is overdue; and if anybody watches us, one does for
 * one within a second. */
static void
pulse_check(struct pulse *p)
{
	ms_t first = p->rig.now + MS_HOUR;

	for (int i = 0; i < p->told_len; i++) {
		struct told *told = &p->told[i];

		if (mesh_link_find(p->rig.mesh, told->link) == NULL) {
			*told = p->told[--p->told_len];
			i--;
			continue;
		}
		told->is_void |= pulse_link(p, told->link) == NULL;
		p->late += told->until <= p->rig.now && !told->is_void;
		if (pulse_is_watched(p, told->link) && told->until < first)
			first = told->until;
	}
	if (pulse_watchers(p) > 0 && first > p->rig.now + MESH_BEAT_MS + p->lag)
		p->unwatched++;
}

static void
pulse_pass(struct pulse *p, ms_t span)
{
	ms_t until = p->rig.now + span;

	while (p->rig.now < until) {
		ms_t step = mesh_due(p->rig.mesh) - p->rig.now;

		step = step < 1 ? 1 : step > 100 ? 100 : step;
		rig_pass(&p->rig, step < until - p->rig.now ? step : until - p->rig.now);
		pulse_check(p);
	}
}

static void
pulse_tick(struct pulse *p)
{
	rig_step(&p->rig, (struct mesh_event){ .type = MESH_EVENT_TICK });
}

/* The process stands still. */
static void
pulse_stall(struct pulse *p, ms_t span)
{
	ms_t lag;

	p->rig.now += span;
	lag = p->rig.now - p->rig.mesh->beat_due;
	if (lag > p->lag && lag < MESH_BEAT_MS)
		p->lag = lag;
	for (int i = 0; i < p->told_len; i++)
		if (p->told[i].until < p->rig.now)
			p->told[i].until = p->rig.now;
	pulse_tick(p);
	pulse_check(p);
}

/* Half of the others have a smaller id than we, and half a larger one: of two links to one
 * node another end closes one. */
static struct id
pulse_node(int i)
{
	return rig_id(i % 2 == 0 ? i : 0x10000000 + i);
}

/* It has not died, if we thought so. */
static void
pulse_open(struct pulse *p, int i)
{
	struct id node = pulse_node(i);
	uint64_t link = rig_open(&p->rig, &node);
	struct buf b = BUF_INIT;

	rig_put_alive(&b, &node, ++p->incarnation, WIRE_STANDING_THERE);
	if (mesh_link_find(p->rig.mesh, link) != NULL)
		rig_hear_link(&p->rig, link, &b);
	buf_fini(&b);
	pulse_tick(p);
}

static void
pulse_learn(struct pulse *p, int i, enum mesh_inbound inbound)
{
	struct id node = pulse_node(i);

	rig_learn(&p->rig, &node, inbound, 1);
	pulse_tick(p);
}

static void
pulse_start(struct pulse *p, int links)
{
	*p = (struct pulse){ .incarnation = 3 };
	rig_init(&p->rig, home, 1);
	rig_is_reached(&p->rig);
	p->rig.forgets = true;
	p->rig.on_beat = pulse_beat;
	p->rig.arg = p;
	for (int i = 0; i < NODES; i++)
		pulse_learn(p, i, MESH_INBOUND_YES);
	for (int i = 0; i < links; i++) {
		pulse_open(p, i);
		pulse_pass(p, 300);
	}
	/* Those who are not linked are dead by then. */
	pulse_pass(p, MESH_KNOWN_MS + MESH_FEW_MS + 2 * ROUND_MS);
}

static void
pulse_end(struct pulse *p)
{
	CU_ASSERT(p->late == 0);
	CU_ASSERT(p->unwatched == 0);
	rig_fini(&p->rig);
}

/* Nothing happens: there is one a second, and each of those who watch us is told its turn. */
static void
pulse_is_steady(struct pulse *p)
{
	int watchers = pulse_watchers(p), before = p->watched;

	pulse_pass(p, ROUND_MS);
	CU_ASSERT(p->watched - before == (watchers > 0 ? ROUND_MS / MESH_BEAT_MS : 0));
	for (int i = 0; i < p->told_len; i++)
		CU_ASSERT(!pulse_is_watched(p, p->told[i].link) ||
			  p->told[i].seconds == watchers);
}

static void
test_steady(void)
{
	for (int links = 1; links <= NODES; links++) {
		struct pulse p;

		pulse_start(&p, links);
		CU_ASSERT(pulse_watchers(&p) == (links < 7 ? links : 7));
		pulse_is_steady(&p);
		pulse_end(&p);
	}
}

/* Of those who watch us, the one that is told to wait for so many seconds. */
static uint64_t
pulse_waits(const struct pulse *p, int seconds)
{
	for (int i = 0; i < p->told_len; i++)
		if (pulse_is_watched(p, p->told[i].link) &&
		    (p->told[i].until - p->rig.now + MS_SECOND - 1) / MS_SECOND ==
			    seconds)
			return p->told[i].link;
	CU_FAIL_FATAL("nobody waits for that second");
	return 0;
}

/* The second of a link that has ended goes to another one, whichever it was, also the next. */
static void
test_ended(void)
{
	for (int seconds = 1; seconds <= 6; seconds++) {
		struct pulse p;
		int before, left;

		pulse_start(&p, NODES);
		pulse_pass(&p, 250);
		before = p.watched;
		left = pulse_watchers(&p);
		CU_ASSERT_FATAL(left >= 6);
		rig_cut(&p.rig, pulse_waits(&p, seconds));
		CU_ASSERT(pulse_watchers(&p) == left - 1);
		pulse_pass(&p, 5 * MS_SECOND);
		CU_ASSERT(p.watched - before >= 5 && p.watched - before <= 6);
		pulse_end(&p);
	}
}

/* One that takes links again watches us again, and does not wait for half a minute to be told
 * so, whoever has the turn. */
static void
test_watched_again(void)
{
	for (int node = 0; node < 5; node++) {
		const struct told *told;
		struct id id = pulse_node(node);
		struct pulse p;
		uint64_t link;

		pulse_start(&p, 5);
		link = mesh_link_of(p.rig.mesh, &id);
		CU_ASSERT(pulse_is_watched(&p, link));
		pulse_learn(&p, node, MESH_INBOUND_NO);
		pulse_pass(&p, ROUND_MS);
		told = pulse_told(&p, link);
		CU_ASSERT_FATAL(told != NULL && !pulse_is_watched(&p, link));
		CU_ASSERT(told->seconds == MESH_BEAT_SLOW_MS / MS_SECOND);
		pulse_learn(&p, node, MESH_INBOUND_YES);
		pulse_pass(&p, MS_SECOND);
		CU_ASSERT(pulse_is_watched(&p, link) && told->seconds <= NODES);
		pulse_end(&p);
	}
}

/* A process that stood still keeps what it told before, as far as it can. */
static void
test_stood_still(void)
{
	for (ms_t span = 100; span < STALL_MS_MAX; span += 377) {
		struct pulse p;

		pulse_start(&p, NODES);
		pulse_pass(&p, 123);
		pulse_stall(&p, span);
		pulse_pass(&p, ROUND_MS);
		pulse_is_steady(&p);
		pulse_end(&p);
	}
}

/* ---- whatever happens ---- */

static void
pulse_happen(struct pulse *p)
{
	struct rng *rng = &p->rng;
	int node = (int)rng_below(rng, NODES), live = p->rig.live_len;

	switch (rng_below(rng, 8)) {
	case 0:
	case 1:
	case 2:
		pulse_open(p, node);
		break;
	case 3:
	case 4:
		if (live > 0)
			rig_cut(&p->rig, p->rig.live[rng_below(rng, (uint64_t)live)]);
		break;
	case 5:
		pulse_learn(p, node, MESH_INBOUND_NO);
		break;
	case 6:
		pulse_learn(p, node, MESH_INBOUND_YES);
		break;
	default:
		pulse_stall(p, (ms_t)rng_below(rng, STALL_MS_MAX));
		break;
	}
}

static void
test_whatever_happens(void)
{
	int rounds = tap_is_quick() ? 20 : 500;
	struct pulse p;

	for (int i = 0; i < rounds; i++) {
		int events = 20, before, others;
		ms_t from;

		pulse_start(&p, 1 + i % NODES);
		rng_init(&p.rng, tap_seed() * 1000 + (uint64_t)i);
		before = p.beats;
		from = p.rig.now;
		for (int k = 0; k < events; k++) {
			pulse_happen(&p);
			pulse_pass(&p, 1 + (ms_t)rng_below(&p.rng, 2500));
		}
		CU_ASSERT(p.beats - before <=
			  (p.rig.now - from) / MESH_BEAT_MS + 3 * events);
		/* Those who are not linked any more are dead, in the end. */
		pulse_pass(&p, MS_MINUTE);
		before = p.beats - p.watched;
		pulse_is_steady(&p);
		others = p.rig.live_len - pulse_watchers(&p);
		CU_ASSERT(p.beats - p.watched - before <= others);
		pulse_end(&p);
	}
}

/* ---- those of others ---- */

static int
asked(const struct rig *r)
{
	int asks = 0;

	for (int i = 0; i < r->frames_len; i++)
		asks += r->frames[i].type == WIRE_ASK;
	return asks;
}

/* Its latest beat told of the next one in a second, and none comes. */
static void
falls_silent(struct rig *r, int peer)
{
	struct buf b = BUF_INIT;
	int before;

	wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, 1);
	rig_hear(r, peer, &b);
	r->links[peer] = 0;
	rig_forget(r);
	rig_pass(r, MS_SECOND + MESH_LATE_BEAT_MS - 1);
	before = asked(r);
	rig_pass(r, 1);
	CU_ASSERT(asked(r) == before + 2);
}

/* However slow one is oneself, others are asked as soon; only what one says waits. */
static void
test_slow_asks(void)
{
	for (int health = 0; health < 4; health++) {
		struct rig r;

		rig_init(&r, home, 1);
		for (int i = 0; i < 4; i++) {
			rig_row(&r, i, MESH_INBOUND_YES);
			rig_up(&r, i, false);
		}
		rig_pass(&r, MS_SECOND);
		r.mesh->health = health;
		r.mesh->health_due = r.now + MS_HOUR;
		falls_silent(&r, 0);
		CU_ASSERT(asked(&r) == 2);
		rig_pass(&r, mesh_check_ms(r.mesh) - 1);
		CU_ASSERT(r.states[0] == MESH_NODE_ALIVE);
		rig_pass(&r, 1);
		CU_ASSERT(r.states[0] == MESH_NODE_SUSPECT);
		CU_ASSERT(mesh_check_ms(r.mesh) == MESH_CHECK_MS * (1 + health));
		rig_fini(&r);
	}
}

/* A PING that was sent to see whether the fault is our own holds up nothing either. */
static void
test_asks_while_trying(void)
{
	struct buf b = BUF_INIT;
	struct rig r;

	rig_init(&r, home, 1);
	for (int i = 0; i < 4; i++) {
		rig_row(&r, i, MESH_INBOUND_YES);
		rig_up(&r, i, false);
	}
	rig_pass(&r, MS_SECOND);
	wire_put_heartbeat(&b, 0, WIRE_STATUS_ALIVE, 1);
	rig_hear(&r, 0, &b);
	r.links[0] = 0;
	rig_pass(&r, MS_SECOND / 2);
	falls_silent(&r, 1);
	/* Of the first one half a second ago, by which the second was tried, too. */
	CU_ASSERT(asked(&r) == 4);
	rig_fini(&r);
}

/* Who gets the beat of a node in turn need not watch it, by a view that is another: it asks
 * those who do. */
static void
test_asks_who_watches(void)
{
	struct mesh_node *n = NULL;
	struct rig r;
	int peer;

	rig_init(&r, home, 1);
	for (int i = 0; i < 30; i++) {
		struct id node = rig_id(i);

		rig_learn(&r, &node, MESH_INBOUND_YES, 1);
		rig_open(&r, &node);
	}
	for (int i = 0; i < RIG_PEERS; i++) {
		rig_row(&r, i, MESH_INBOUND_YES);
		rig_up(&r, i, false);
	}
	rig_pass(&r, MS_SECOND);
	for (peer = 0; peer < RIG_PEERS; peer++) {
		n = mesh_node_find(r.mesh, &r.peers[peer]);
		if (!mesh_watches(r.mesh, n))
			break;
	}
	CU_ASSERT_FATAL(peer < RIG_PEERS);
	falls_silent(&r, peer);
	CU_ASSERT(asked(&r) == 2);
	rig_pass(&r, MESH_SILENT_MS - 1);
	/* It says nothing itself. */
	CU_ASSERT(r.states[peer] == MESH_NODE_ALIVE && mesh_votes_counted(n) == 0);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "one a second, in turn to those who watch us", test_steady },
	{ "the second of a link that has ended goes to another one", test_ended },
	{ "who watches us again is told at once", test_watched_again },
	{ "who stood still keeps to what it told before", test_stood_still },
	{ "whatever happens, one of those who watch us waits for the next second",
	  test_whatever_happens },
	{ "who misses one asks others at once, however slow it is itself",
	  test_slow_asks },
	{ "and whatever it tries meanwhile", test_asks_while_trying },
	{ "also who does not watch the node by its own view", test_asks_who_watches },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
