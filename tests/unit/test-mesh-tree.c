/* SPDX-License-Identifier: Apache-2.0 */
/* The tree by which rows travel: cores linked as the rings say, in virtual time; and one core
 * that hears beacons which it should not believe. */
#include "config.h"

#include <string.h>

#include "unit/mesh-net.h"
#include "unit/mesh-rig.h"

static struct net net; /* too large for a stack */

/* ---- a tree ---- */

static void
start(int len, uint64_t seed)
{
	net_init(&net, len, tap_seed() + seed);
	net_link_rings(&net);
	net_run(&net, 5 * MS_SECOND);
	if (!net_is_tree(&net))
		tap_note("no tree of %d nodes", len);
	CU_ASSERT(net_is_tree(&net));
}

static void
test_one_tree(void)
{
	for (int len = 2; len <= 40; len++) {
		uint64_t frames;
		int deepest = 0;

		start(len, (uint64_t)len);
		for (int i = 0; i < len; i++)
			if (net.nodes[i].mesh->tree.beacon.distance > deepest)
				deepest = net.nodes[i].mesh->tree.beacon.distance;
		CU_ASSERT(deepest <= 6);
		/* It stays one, and nobody says so but by beacons, one over each link. */
		net_run(&net, MS_MINUTE);
		net_forget(&net);
		net_run(&net, 10 * MS_MINUTE);
		frames = net.frames[WIRE_PARENT];
		CU_ASSERT(net_is_tree(&net) && frames == 0);
		CU_ASSERT(net.frames[WIRE_BEACON] <= 21 * (uint64_t)net_ends(&net));
		net_fini(&net);
	}
}

/* Links of which one is faster at one beacon and another at the next. */
static bool
jitter(void *arg, int from, int to, const struct wire_frame *f)
{
	(void)arg;
	(void)from;
	(void)to;
	(void)f;
	net.latency = 1 + (ms_t)rng_below(&net.rng, 20);
	return true;
}

static void
test_changing_parents(void)
{
	uint64_t rows;

	net_init(&net, 30, tap_seed());
	net.pass = jitter;
	net_link_rings(&net);
	net_run(&net, MS_MINUTE);
	net_forget(&net);
	for (int i = 0; i < 300; i++) {
		net_write(&net, i % 30, false);
		net_run(&net, 997);
		CU_ASSERT(net_having(&net, i) == 30);
	}
	rows = net.frames[WIRE_ROWS];
	tap_note(
		"%llu frames of rows for 300 rows and 30 nodes, %llu PARENTs, %llu PULLs",
		(unsigned long long)rows, (unsigned long long)net.frames[WIRE_PARENT],
		(unsigned long long)net.frames[WIRE_PULL]);
	CU_ASSERT(net.frames[WIRE_PARENT] > 0);
	CU_ASSERT(rows >= 300 * 29 && 100 * rows < 101 * 300 * 29);
	net_fini(&net);
}

static int beacons_of_leaves;

static bool
watch_leaves(void *arg, int from, int to, const struct wire_frame *f)
{
	(void)arg;
	(void)to;
	beacons_of_leaves += net.nodes[from].is_leaf && f->type == WIRE_BEACON;
	return true;
}

/* Their homes hear no beacon of them, and still send them nothing twice. */
static void
test_leaves(void)
{
	for (int leaves = 1; leaves <= 12; leaves += 3) {
		const int len = 20;

		net_init(&net, len, tap_seed() + 400 + (uint64_t)leaves);
		for (int i = 0; i < leaves; i++)
			net_make_leaf(&net, i);
		beacons_of_leaves = 0;
		net.pass = watch_leaves;
		net_link_rings(&net);
		net_run(&net, MS_MINUTE);
		CU_ASSERT(net_is_tree(&net) && beacons_of_leaves == 0);
		for (int i = 0; i < leaves; i++)
			CU_ASSERT(net_parent(&net, i) >= leaves);
		net_forget(&net);
		for (int i = 0; i < len; i++) {
			int row = net_write(&net, i, false);

			net_run(&net, MS_SECOND);
			CU_ASSERT(net_having(&net, row) == len);
		}
		CU_ASSERT(net.frames[WIRE_ROWS] == (uint64_t)len * (uint64_t)(len - 1));
		CU_ASSERT(net.frames[WIRE_PULL] == 0);
		net_fini(&net);
	}
}

/* ---- losses ---- */

static int
root_of(const struct net *n)
{
	for (int i = 0; i < n->len; i++)
		if (n->nodes[i].mesh != NULL && net_parent(n, i) == -2)
			return i;
	return -1;
}

/* All that live have it, soon. */
static void
write_and_check(int node)
{
	int row;

	while (net.nodes[node].mesh == NULL)
		node = (node + 1) % net.len;
	row = net_write(&net, node, false);
	net_run(&net, 400);
	if (net_having(&net, row) != net_live(&net))
		tap_note("%d of %d have row %d", net_having(&net, row), net_live(&net),
			 row);
	CU_ASSERT(net_having(&net, row) == net_live(&net));
}

/* It is there, but no beacon of it arrives anywhere any more. */
static void
test_silent_root(void)
{
	for (int len = 3; len <= 31; len += 4) {
		ms_t fell_silent;
		int root;

		start(len, 100 + (uint64_t)len);
		net_run(&net, (ms_t)rng_below(&net.rng, MESH_BEACON_MS));
		root = root_of(&net);
		net.nodes[root].is_mute = true;
		fell_silent = net.now;
		CU_ASSERT(!net_is_tree(&net));
		while (!net_is_tree(&net) && net.now - fell_silent < 2 * MESH_ROOT_MS)
			write_and_check((int)rng_below(&net.rng, (uint64_t)len));
		CU_ASSERT(net_is_tree(&net) &&
			  net.now - fell_silent <= MESH_ROOT_MS + 400);
		CU_ASSERT(net_seeing(&net, root, MESH_NODE_ALIVE) == len - 1);
		write_and_check(root);
		/* It is heard again, and followed. */
		net.nodes[root].is_mute = false;
		net_run(&net, MESH_BEACON_MS + MESH_SETTLE_MAX_MS);
		CU_ASSERT(net_is_tree(&net));
		net_fini(&net);
	}
}

/* It dies, and those linked to it say so: within 3 s it is dead for all, and the next is
 * followed by then. */
static void
test_dead_root(void)
{
	for (int len = 3; len <= 31; len += 4) {
		int roots[3], dead = 0;

		start(len, 200 + (uint64_t)len);
		while (dead < 3 && net_live(&net) > 2) {
			ms_t died = net.now;

			roots[dead] = root_of(&net);
			net_kill(&net, roots[dead]);
			while (net.now - died < 3 * MS_SECOND)
				write_and_check((int)rng_below(&net.rng, (uint64_t)len));
			dead++;
			for (int i = 0; i < dead; i++)
				CU_ASSERT(net_seeing(&net, roots[i], MESH_NODE_DEAD) ==
					  net_live(&net));
			net_link_rings(&net);
			net_run(&net, 400);
			CU_ASSERT(net_is_tree(&net));
		}
		write_and_check(root_of(&net));
		net_fini(&net);
	}
}

static void
test_lost_parents(void)
{
	int adopted = 0, orphans = 0;

	for (int round = 0; round < 40; round++) {
		int node, parent;

		start(8 + round % 20, 300 + (uint64_t)round);
		do
			node = (int)rng_below(&net.rng, (uint64_t)net.len);
		while (net_parent(&net, node) < 0);
		parent = net_parent(&net, node);
		net_cut(&net, node, parent);
		net_run(&net, 10);
		if (net_parent(&net, node) >= 0)
			adopted++;
		else
			orphans++;
		net_run(&net, MESH_SETTLE_MAX_MS);
		net_forget(&net);
		for (int i = 0; i < net.len; i++)
			write_and_check(i);
		/* Nobody had to ask: in doubt rows are sent. */
		CU_ASSERT(net.frames[WIRE_PULL] == 0);
		net_run(&net, MESH_BEACON_MS + MESH_SETTLE_MAX_MS);
		CU_ASSERT(net_is_tree(&net));
		net_fini(&net);
	}
	tap_note("%d found another parent at once, %d by the next beacon", adopted,
		 orphans);
	CU_ASSERT(adopted > 0 && orphans > 0);
}

static void
test_new_root(void)
{
	int lowest = 0;

	net_init(&net, 20, tap_seed());
	for (int i = 1; i < net.len; i++)
		if (net.nodes[i].mesh->self.rank < net.nodes[lowest].mesh->self.rank)
			lowest = i;
	net_link_rings(&net);
	for (int i = 0; i < net.len; i++)
		net_cut(&net, lowest, i);
	net_run(&net, 3 * MS_MINUTE);
	CU_ASSERT(root_of(&net) >= 0);
	net_link_rings(&net);
	net_run(&net, MS_SECOND);
	CU_ASSERT(net_is_tree(&net) && net_parent(&net, lowest) == -2);
	write_and_check(lowest);
	net_fini(&net);
}

/* Each half takes the other one for dead or out of reach, and has a tree of its own. One link
 * across shows that both are there; by those that the rings want then the trees become one. */
static void
test_halves(void)
{
	int roots;

	start(24, 7);
	net_split(&net, 12);
	net_run(&net, MS_MINUTE);
	net_link_rings(&net);
	for (int i = 0; i < net.len; i++) /* who has no link at all dials everybody */
		for (int k = 0; k < net.len && net.nodes[i].mesh->links == NULL; k++)
			net_link(&net, i, k);
	net_run(&net, 3 * MESH_ROOT_MS);
	roots = 0;
	for (int i = 0; i < net.len; i++) {
		roots += net_parent(&net, i) == -2;
		CU_ASSERT(net_parent(&net, i) != -1);
		CU_ASSERT(net_seeing(&net, i, MESH_NODE_ALIVE) == 11);
	}
	CU_ASSERT(roots == 2 && !net_is_tree(&net));
	net_split(&net, 0);
	net_link(&net, 3, 20);
	net_run(&net, MS_SECOND);
	net_link_rings(&net);
	net_run(&net, MS_SECOND);
	CU_ASSERT(net_is_tree(&net));
	write_and_check(23);
	net_run(&net, MESH_FEW_MS);
	for (int i = 0; i < net.len; i++)
		CU_ASSERT(net_seeing(&net, i, MESH_NODE_ALIVE) == 23);
	net_fini(&net);
}

/* A clock that is wrong by more than beacons may be off: no tree for this node, and nothing
 * lost. */
static void
test_wrong_clocks(void)
{
	net_init(&net, 12, tap_seed());
	for (int i = 0; i < 3; i++)
		net.nodes[4 * i].skew = (2 * i - 3) * MS_MINUTE;
	net_link_rings(&net);
	net_run(&net, 5 * MS_MINUTE);
	for (int i = 0; i < net.len; i++)
		write_and_check(i);
	net_fini(&net);
}

/* ---- links that are too slow ---- */

static void
lag(int node, int peer, bool is_lagging)
{
	net_step(&net, node,
		 (struct mesh_event){ .type = MESH_EVENT_LINK_LAGGING,
				      .link = net.nodes[node].links[peer],
				      .is_lagging = is_lagging });
}

static int sent_rows, sent_hashes, slow_from, slow_to;

static bool
count_slow(void *arg, int from, int to, const struct wire_frame *f)
{
	(void)arg;
	if (from == slow_from && to == slow_to) {
		sent_rows += f->type == WIRE_ROWS;
		sent_hashes += f->type == WIRE_ANNOUNCE;
	}
	return true;
}

static void
test_lagging_child(void)
{
	start(20, 11);
	slow_to = 0;
	while (net_parent(&net, slow_to) < 0)
		slow_to++;
	slow_from = net_parent(&net, slow_to);
	net.pass = count_slow;
	lag(slow_from, slow_to, true);
	sent_rows = sent_hashes = 0;
	write_and_check(slow_from);
	CU_ASSERT(sent_rows == 1);
	lag(slow_from, slow_to, true);
	net_run(&net, MESH_LAGGING_MS);
	/* It is told of the row, and asks. */
	sent_rows = sent_hashes = 0;
	net.nodes[slow_to].delivered[net.rows] = 0;
	write_and_check(slow_from);
	CU_ASSERT(sent_hashes == 1 && net.frames[WIRE_PULL] >= 1);
	/* It takes them again. */
	lag(slow_from, slow_to, false);
	sent_rows = sent_hashes = 0;
	write_and_check(slow_from);
	CU_ASSERT(sent_rows == 1 && sent_hashes == 0);
	/* Or not any more. */
	lag(slow_from, slow_to, true);
	net_run(&net, MESH_LAGGED_MS - MS_SECOND);
	CU_ASSERT(net.nodes[slow_from].links[slow_to] != 0);
	net_run(&net, 2 * MS_SECOND);
	CU_ASSERT(net.nodes[slow_from].links[slow_to] == 0 &&
		  net.nodes[slow_to].links[slow_from] == 0);
	write_and_check(slow_from);
	net.pass = NULL;
	net_fini(&net);
}

static void
test_lagging_parent(void)
{
	int node = 0, parent;

	start(20, 12);
	while (net_parent(&net, node) < 0)
		node++;
	parent = net_parent(&net, node);
	lag(node, parent, true);
	net_run(&net, MESH_LAGGING_MS - 100);
	net_run(&net, 200);
	CU_ASSERT(net_parent(&net, node) != parent);
	write_and_check(node);
	net_fini(&net);
}

/* ---- beacons that are not to be believed ---- */

static void
rig_beacon(struct rig *r, int from, const struct wire_beacon *b)
{
	struct buf frame = BUF_INIT;

	wire_put_beacon(&frame, b);
	rig_hear(r, from, &frame);
}

/* Peers 0 to 4 are up; returns the index of that with the lowest rank of these, which is
 * lower than our own. */
static int
rig_start(struct rig *r)
{
	static const char *const own[] = { "10.0.0.99:1" };
	int lowest = 0;

	rig_init(r, own, 1);
	for (int i = 0; i < 5; i++) {
		rig_row(r, i, MESH_INBOUND_YES);
		rig_up(r, i, false);
		if (mesh_rank(r->mesh, &r->peers[i]) <
		    mesh_rank(r->mesh, &r->peers[lowest]))
			lowest = i;
	}
	CU_ASSERT_FATAL(mesh_rank(r->mesh, &r->peers[lowest]) < r->mesh->self.rank);
	rig_pass(r, 100);
	rig_forget(r);
	return lowest;
}

static bool
rig_follows(const struct rig *r, int i)
{
	struct id root;

	return mesh_root(r->mesh, &root) && id_equal(&root, &r->peers[i]);
}

enum { UNITS = RIG_WALL_MS / MESH_BEACON_UNIT_MS };

static void
test_odd_beacons(void)
{
	struct wire_beacon good = { .seq = UNITS, .rings = 3 }, b;
	const struct rig_frame *f;
	struct rig r;
	int root = rig_start(&r), other = (root + 1) % 5;

	good.rank = mesh_rank(r.mesh, &r.peers[root]);
	b = good;
	b.rank++; /* nobody's */
	rig_beacon(&r, other, &b);
	b = good;
	b.rank = mesh_rank(r.mesh, &r.peers[5]); /* not known */
	rig_beacon(&r, other, &b);
	b = good;
	b.seq = UNITS + MESH_BEACON_UNITS + 1;
	rig_beacon(&r, other, &b);
	b.seq = UNITS - MESH_BEACON_UNITS - 1;
	rig_beacon(&r, other, &b);
	b = good;
	b.distance = 255;
	rig_beacon(&r, other, &b);
	CU_ASSERT(!rig_follows(&r, root) && r.mesh->tree.parent == 0);
	CU_ASSERT(r.frames_len == 0 && r.closed == 0);
	/* The last that may go on, but not from us. */
	b = good;
	b.distance = 254;
	b.seq = UNITS - MESH_BEACON_UNITS;
	rig_beacon(&r, other, &b);
	CU_ASSERT(rig_follows(&r, root) && r.mesh->tree.parent == r.links[other]);
	CU_ASSERT(rig_sent(&r, other, WIRE_PARENT, NULL) == 1);
	CU_ASSERT(rig_sent(&r, root, WIRE_BEACON, NULL) == 0);
	/* A good one goes to all but whom it came from, one farther. */
	rig_beacon(&r, root, &good);
	CU_ASSERT(r.mesh->tree.parent == r.links[root]);
	for (int i = 0; i < 5; i++)
		CU_ASSERT(rig_sent(&r, i, WIRE_BEACON, &f) == (i != root));
	CU_ASSERT(f->payload.len == 14 && f->payload.data[12] == 1);
	rig_forget(&r);
	/* The same once more, or an older one: no. */
	rig_beacon(&r, other, &good);
	b = good;
	b.seq--;
	rig_beacon(&r, other, &b);
	CU_ASSERT(r.mesh->tree.parent == r.links[root] && r.frames_len == 0);
	/* The former parent is told a moment later. */
	rig_pass(&r, MS_SECOND);
	CU_ASSERT(rig_sent(&r, other, WIRE_PARENT, &f) == 1 &&
		  f->flags == WIRE_FLAG_NO_MORE);
	rig_fini(&r);
}

/* How many rings there are is for the root to say, within what they may be. */
static void
test_rings_by_the_root(void)
{
	static const struct {
		uint8_t said;
		int count;
	} cases[] = { { 4, 4 }, { 9, 4 }, { 0, 4 }, { 3, 3 }, { 2, 3 }, { 4, 4 } };
	struct wire_beacon b = { .seq = UNITS };
	struct rig r;
	int root = rig_start(&r);

	b.rank = mesh_rank(r.mesh, &r.peers[root]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b.seq++;
		b.rings = cases[i].said;
		rig_beacon(&r, root, &b);
		CU_ASSERT(r.mesh->rings.count == cases[i].count);
	}
	rig_fini(&r);
}

/* And the root says four once there have been many nodes for ten minutes. */
static void
test_many_nodes(void)
{
	const struct rig_frame *f = NULL;
	struct rig r;

	rig_init(&r, (const char *const[]){ "192.0.2.1:8093" }, 1);
	r.mesh->self.rank = 0; /* none is lower */
	/* Some of them are found dead meanwhile, for want of links. */
	for (int i = 0; i < MESH_RINGS_MORE_NODES + 1000; i++) {
		struct id id = rig_id(i);

		rig_learn(&r, &id, MESH_INBOUND_YES, 0);
	}
	rig_row(&r, 0, MESH_INBOUND_YES);
	rig_up(&r, 0, false);
	rig_pass(&r, MS_MINUTE);
	CU_ASSERT(r.mesh->rings.count == 3);
	CU_ASSERT(rig_sent(&r, 0, WIRE_BEACON, &f) > 0 && f->payload.data[13] == 3);
	rig_forget(&r);
	rig_pass(&r, MESH_RINGS_MORE_MS);
	CU_ASSERT(r.mesh->rings.count == 4);
	CU_ASSERT(rig_sent(&r, 0, WIRE_BEACON, &f) > 0 && f->payload.data[13] == 4);
	rig_fini(&r);
}

static void
test_roots_that_are_none(void)
{
	struct wire_beacon b = { .seq = UNITS, .rings = 3 };
	struct buf frame = BUF_INIT;
	struct rig r;
	int root = rig_start(&r), other = (root + 1) % 5;

	b.rank = mesh_rank(r.mesh, &r.peers[root]);
	/* A leaf cannot be one, nor pass anything on. */
	rig_row(&r, root, MESH_INBOUND_NO);
	rig_beacon(&r, other, &b);
	CU_ASSERT(!rig_follows(&r, root));
	rig_row(&r, root, MESH_INBOUND_YES);
	rig_row(&r, other, MESH_INBOUND_NO);
	rig_beacon(&r, other, &b);
	CU_ASSERT(!rig_follows(&r, root));
	rig_row(&r, other, MESH_INBOUND_YES);
	/* Nor one that is dead: nobody but us says so, which takes a while. */
	rig_down(&r, root);
	rig_pass(&r, MESH_RELINK_MS + MESH_FEW_MS);
	CU_ASSERT(r.states[root] == MESH_NODE_DEAD);
	rig_beacon(&r, other, &b);
	CU_ASSERT(!rig_follows(&r, root));
	/* And one that is followed is not any more when it is found dead. */
	rig_up(&r, root, false);
	CU_ASSERT(r.states[root] == MESH_NODE_DEAD); /* it greets as the one that died */
	rig_put_alive(&frame, &r.peers[root], 4, WIRE_STANDING_THERE);
	rig_hear(&r, root, &frame);
	CU_ASSERT(r.states[root] == MESH_NODE_ALIVE);
	rig_beacon(&r, other, &b);
	CU_ASSERT(rig_follows(&r, root));
	rig_down(&r, root);
	rig_pass(&r, MESH_RELINK_MS + MESH_FEW_MS - 1);
	CU_ASSERT(r.states[root] == MESH_NODE_SUSPECT && rig_follows(&r, root));
	rig_pass(&r, 1);
	CU_ASSERT(r.states[root] == MESH_NODE_DEAD && !rig_follows(&r, root));
	rig_fini(&r);
}

/* One that was given up and is there again may be heard of by whoever has it from us. */
static void
test_root_taken_up_again(void)
{
	struct wire_beacon b = { .seq = UNITS + 5, .rings = 3 }, second = b;
	struct buf frame = BUF_INIT;
	struct rig r;
	int root = rig_start(&r), other = (root + 1) % 5, next = (root + 2) % 5;

	b.rank = mesh_rank(r.mesh, &r.peers[root]);
	b.distance = 1;
	rig_beacon(&r, next, &b); /* so that we are two from it */
	CU_ASSERT(rig_follows(&r, root) && r.mesh->tree.parent == r.links[next]);
	rig_down(&r, root);
	rig_pass(&r, MESH_RELINK_MS + MESH_FEW_MS);
	CU_ASSERT(r.states[root] == MESH_NODE_DEAD && !rig_follows(&r, root));
	second.rank = mesh_rank(r.mesh, &r.peers[next]);
	rig_beacon(&r, next, &second);
	CU_ASSERT(rig_follows(&r, next));
	rig_put_alive(&frame, &r.peers[root], 4, WIRE_STANDING_THERE);
	rig_hear(&r, other, &frame);
	CU_ASSERT(r.states[root] == MESH_NODE_ALIVE);
	b.distance = 3;
	rig_beacon(&r, other, &b);
	b.distance = 2;
	rig_beacon(&r, other, &b);
	b.seq--;
	b.distance = 0;
	rig_beacon(&r, other, &b);
	CU_ASSERT(!rig_follows(&r, root));
	/* From nearer than we were, or a later one. */
	b.seq++;
	b.distance = 1;
	rig_beacon(&r, other, &b);
	CU_ASSERT(rig_follows(&r, root) && r.mesh->tree.parent == r.links[other]);
	rig_fini(&r);
}

static void
test_flood_of_beacons(void)
{
	struct wire_beacon b = { .rings = 3 };
	struct rig r;
	int root = rig_start(&r), sent = 0;

	b.rank = mesh_rank(r.mesh, &r.peers[root]);
	for (uint32_t i = 0; i < 1000; i++) {
		b.seq = UNITS - MESH_BEACON_UNITS + i % 61;
		rig_beacon(&r, root, &b);
		sent += rig_sent(&r, (root + 1) % 5, WIRE_BEACON, NULL);
		rig_forget(&r);
	}
	CU_ASSERT(sent <= MESH_BEACONS_MAX && r.mesh->tree.parent == r.links[root]);
	for (size_t len = 0; len < 20; len++) {
		static const uint8_t zeros[20];
		struct buf frame = BUF_INIT;

		if (len == 14)
			continue;
		wire_put_frame(&frame, WIRE_BEACON, 0, bytes_of(zeros, len));
		rig_forget(&r);
		rig_hear(&r, root, &frame);
		CU_ASSERT(r.closed == 1);
		rig_pass(&r, MS_MINUTE);
		rig_up(&r, root, false);
	}
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "2 to 40 nodes make one tree, in which all are reached, and keep it",
	  test_one_tree },
	{ "leaves hang on it, and pass nothing on", test_leaves },
	{ "where beacons take other ways each time no row is lost",
	  test_changing_parents },
	{ "a root that says nothing any more is followed by the next within 75 s; rows arrive "
	  "all the while",
	  test_silent_root },
	{ "a root that is dead, and its heirs, are followed by the next at once",
	  test_dead_root },
	{ "who loses its parent has another, or says so to all, and misses nothing",
	  test_lost_parents },
	{ "a node of a lower rank is the root once it is linked", test_new_root },
	{ "two trees become one when they meet", test_halves },
	{ "a node whose clock is wrong gets its rows without a tree", test_wrong_clocks },
	{ "a link that is too slow is no edge after 10 s, and closed after a minute",
	  test_lagging_child },
	{ "a parent that takes rows too slowly is given up", test_lagging_parent },
	{ "beacons of nobody, of another time or from too far are ignored",
	  test_odd_beacons },
	{ "the root says how many rings there are, within bounds",
	  test_rings_by_the_root },
	{ "where nodes are many for ten minutes it says four", test_many_nodes },
	{ "leaves and the dead are no roots", test_roots_that_are_none },
	{ "a root that was given up is not taken up again from behind us",
	  test_root_taken_up_again },
	{ "a flood of beacons goes no further", test_flood_of_beacons },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
