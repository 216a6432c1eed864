/* SPDX-License-Identifier: Apache-2.0 */
/* How rows travel once there is a tree: what an update costs, what is asked for when a frame
 * is lost, what comes twice, and what a peer could make of asking and announcing. */
#include "config.h"

#include <string.h>

#include "unit/mesh-net.h"
#include "unit/mesh-rig.h"

static struct net net; /* too large for a stack */

static void
start(int len, uint64_t seed)
{
	net_init(&net, len, tap_seed() + seed);
	net_link_rings(&net);
	net_run(&net, MS_MINUTE);
	CU_ASSERT_FATAL(net_is_tree(&net));
	net_forget(&net);
}

/* ---- the cost ---- */

static void
test_cost(void)
{
	enum { UPDATES = 20, RECORD_BYTES = 715 };
	static const int sizes[] = { 2, 3, 7, 10, 20, 40 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t len = (uint64_t)sizes[i], bytes;

		start(sizes[i], i);
		for (int k = 0; k < UPDATES; k++) {
			int row = net_write(&net, (int)rng_below(&net.rng, len), false);

			net_run(&net, MS_SECOND);
			CU_ASSERT(net_having(&net, row) == sizes[i]);
			for (int n = 0; n < sizes[i]; n++)
				CU_ASSERT(net.nodes[n].delivered[row] <= 1);
		}
		bytes = net.bytes[WIRE_CLASS_ROWS] + net.bytes[WIRE_CLASS_ANNOUNCE];
		tap_note("%d nodes: %.4f of the rows, %.4f of the records", sizes[i],
			 (double)bytes / (double)(UPDATES * (len - 1) * NET_ROW_BYTES),
			 (double)bytes / (double)(UPDATES * (len - 1) * RECORD_BYTES));
		CU_ASSERT(net.frames[WIRE_ROWS] == UPDATES * (len - 1));
		CU_ASSERT(net.frames[WIRE_ANNOUNCE] <= UPDATES * 2 * len);
		CU_ASSERT(net.frames[WIRE_PULL] == 0);
		CU_ASSERT(100 * bytes <= 106 * UPDATES * (len - 1) * NET_ROW_BYTES);
		CU_ASSERT(100 * bytes <= 125 * UPDATES * (len - 1) * RECORD_BYTES);
		net_fini(&net);
	}
}

/* Many at once are announced together. */
static void
test_batches(void)
{
	start(20, 50);
	for (int i = 0; i < 100; i++)
		net_write(&net, i % 20, false);
	net_run(&net, MS_SECOND);
	CU_ASSERT(net.frames[WIRE_ROWS] == 100 * 19);
	CU_ASSERT(net.frames[WIRE_ANNOUNCE] <= 2 * 20);
	CU_ASSERT(net.bytes[WIRE_CLASS_ANNOUNCE] <= 2 * 20 * (4 + 100 * 8));
	net_fini(&net);
}

/* ---- what is lost ---- */

static int lost, lose_from, lose_to;

static bool
lose_rows(void *arg, int from, int to, const struct wire_frame *f)
{
	bool is_lost = f->type == WIRE_ROWS && from == lose_from && to == lose_to;

	(void)arg;
	lost += is_lost;
	return !is_lost;
}

static void
test_pull(void)
{
	int pulled = 0;

	for (int round = 0; round < 20; round++) {
		int parents[NET_NODES_MAX], row;

		start(20, 60 + (uint64_t)round);
		do
			lose_to = (int)rng_below(&net.rng, 20);
		while (net_parent(&net, lose_to) < 0);
		lose_from = net_parent(&net, lose_to);
		for (int i = 0; i < 20; i++)
			parents[i] = net_parent(&net, i);
		lost = 0;
		net.pass = lose_rows;
		row = net_write(&net, lose_from, false);
		/* Announced within 100 ms, asked for within 50 more. */
		net_run(&net, MESH_ANNOUNCE_MS + MESH_PULL_MIN_MS + 60);
		CU_ASSERT(lost == 1);
		pulled += net.nodes[lose_to].has[row];
		for (int i = 0; i < 20; i++)
			CU_ASSERT(net_parent(&net, i) == parents[i]);
		/* The next frame takes the same way. */
		net.pass = NULL;
		net_run(&net, MS_SECOND);
		row = net_write(&net, lose_from, false);
		net_run(&net, 50);
		CU_ASSERT(net_having(&net, row) == 20);
		net_fini(&net);
	}
	/* A node whom two announce it to has it soon. One to whom nobody does has to wait for
	 * a comparison of tables. */
	tap_note("%d of 20 rows were pulled", pulled);
	CU_ASSERT(pulled >= 10);
}

/* The tree is slower than announcements: after some that were in vain few ask. */
static bool
slow_rows(void *arg, int from, int to, const struct wire_frame *f)
{
	(void)arg;
	(void)from;
	(void)to;
	net.latency = f->type == WIRE_ROWS ? 150 : 1;
	return true;
}

static void
test_slow_tree(void)
{
	uint64_t first = 0, later;

	start(20, 90);
	net.pass = slow_rows;
	for (int i = 0; i < 90; i++) {
		int row = net_write(&net, i % 20, false);

		net_run(&net, 3 * MS_SECOND);
		CU_ASSERT(net_having(&net, row) == 20);
		if (i == 29)
			first = net.frames[WIRE_PULL];
		if (i == 59)
			net_forget(&net);
	}
	later = net.frames[WIRE_PULL];
	tap_note("%llu asked, then %llu", (unsigned long long)first,
		 (unsigned long long)later);
	CU_ASSERT(first > 0 && 5 * later < 4 * first);
	net_fini(&net);
}

/* ---- what comes twice ---- */

static bool
without_beacons(void *arg, int from, int to, const struct wire_frame *f)
{
	(void)arg;
	(void)from;
	(void)to;
	net.latency = 1 + (ms_t)rng_below(&net.rng, 30);
	return f->type != WIRE_BEACON;
}

/* Without a tree rows come by all links, most of them while the first is being verified. */
static void
test_twice(void)
{
	uint64_t in_flight = 0, duplicates = 0;

	start(8, 92);
	net.merge_ms = 60;
	net.pass = without_beacons;
	for (int i = 0; i < 8; i++) /* as it would be were no beacon heard */
		net.nodes[i].mesh->tree = (struct mesh_tree){ 0 };
	for (int i = 0; i < 8; i++)
		for (struct mesh_link *l = net.nodes[i].mesh->links; l != NULL;
		     l = l->hh.next)
			l->edge = (struct mesh_edge){ 0 };
	net_write(&net, 0, false);
	net_run(&net, 500);
	CU_ASSERT(net_having(&net, 0) == 8 && net.frames[WIRE_ROWS] > 2 * 7);
	for (int i = 0; i < 8; i++) {
		struct mesh_stats stats;

		CU_ASSERT(net.nodes[i].delivered[0] == (i != 0));
		mesh_stats(net.nodes[i].mesh, &stats);
		duplicates += stats.duplicates;
		in_flight += stats.in_flight;
	}
	tap_note("%llu came again, %llu of them too early",
		 (unsigned long long)duplicates, (unsigned long long)in_flight);
	CU_ASSERT(in_flight > 0 && duplicates == net.frames[WIRE_ROWS] - 7);
	CU_ASSERT(net.frames[WIRE_PULL] == 0);
	net_fini(&net);
}

/* Peers 0 to 4 are up, and we are the root: the others say that they have other parents. */
static void
rig_start(struct rig *r)
{
	static const char *const own[] = { "10.0.0.99:1" };
	struct wire_beacon b = { .seq = RIG_WALL_MS / MESH_BEACON_UNIT_MS, .rings = 3 };

	rig_init(r, own, 1);
	for (int i = 0; i < 5; i++) {
		rig_row(r, i, MESH_INBOUND_YES);
		rig_up(r, i, false);
		mesh_node_find(r->mesh, &r->peers[i])->is_mute = true;
	}
	rig_pass(r, MS_SECOND);
	for (int i = 0; i < 5; i++) {
		struct buf frame = BUF_INIT;

		mesh_node_find(r->mesh, &r->peers[i])->is_mute = true;
		mesh_tree_node_changed(r->mesh, mesh_node_find(r->mesh, &r->peers[i]));
		rig_pass(r, 1);
		b.rank = r->mesh->self.rank;
		b.distance = 2;
		wire_put_beacon(&frame, &b);
		rig_hear(r, i, &frame);
	}
	CU_ASSERT_FATAL(mesh_tree_is_root(r->mesh));
	rig_forget(r);
}

static void
rig_change(struct rig *r, uint64_t link, const char *row, struct bytes refresh)
{
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_ROW_CHANGED,
					 .link = link,
					 .rows = bytes_text(row),
					 .refresh = refresh,
					 .key_hash = 77 });
}

static void
rig_hashes(struct rig *r, int from, enum wire_type type, const uint64_t *hashes,
	   size_t len)
{
	struct buf b = BUF_INIT;

	wire_put_hashes(&b, type, hashes, len);
	rig_hear(r, from, &b);
}

static void
rig_parent(struct rig *r, int from, bool is_no_more)
{
	struct buf b = BUF_INIT;

	wire_put_parent(&b, r->mesh->self.rank, is_no_more);
	rig_hear(r, from, &b);
}

static void
test_eager(void)
{
	struct buf b = BUF_INIT;
	struct rig r;
	int told = 0;
	uint64_t hash;

	rig_start(&r);
	rig_parent(&r, 1, false);
	rig_parent(&r, 2, false);
	rig_change(&r, 0, "a row", BYTES_NONE);
	for (int i = 0; i < 5; i++)
		CU_ASSERT(rig_sent(&r, i, WIRE_ROWS, NULL) == (i == 1 || i == 2));
	rig_pass(&r, MESH_ANNOUNCE_MS);
	for (int i = 0; i < 5; i++) {
		int n = rig_sent(&r, i, WIRE_ANNOUNCE, NULL);

		CU_ASSERT(n == 0 || (i != 1 && i != 2));
		told += n;
	}
	CU_ASSERT(told == MESH_ANNOUNCE_LINKS);
	/* Whom it came from, and who announced it, gets neither. */
	rig_forget(&r);
	hash = hash64(bytes_text("another"), 0);
	rig_hashes(&r, 2, WIRE_ANNOUNCE, &hash, 1);
	rig_hashes(&r, 3, WIRE_ANNOUNCE, &hash, 1);
	wire_put_rows(&b, WIRE_ROWS, bytes_text("another"));
	rig_hear(&r, 1, &b);
	rig_change(&r, r.links[1], "another", BYTES_NONE);
	rig_pass(&r, MESH_ANNOUNCE_MS);
	CU_ASSERT(rig_sent(&r, 1, WIRE_ROWS, NULL) == 0);
	CU_ASSERT(rig_sent(&r, 2, WIRE_ROWS, NULL) == 0);
	CU_ASSERT(rig_sent(&r, 3, WIRE_ANNOUNCE, NULL) == 0);
	/* A child that has another parent is none. */
	rig_forget(&r);
	rig_parent(&r, 1, true);
	rig_change(&r, 0, "a third", BYTES_NONE);
	CU_ASSERT(rig_sent(&r, 1, WIRE_ROWS, NULL) == 0);
	CU_ASSERT(rig_sent(&r, 2, WIRE_ROWS, NULL) == 1);
	rig_fini(&r);
}

static void
test_refresh(void)
{
	uint8_t payload[WIRE_REFRESH_BYTES] = { 1, 2, 3 };
	const struct rig_frame *f;
	struct buf b = BUF_INIT;
	struct rig r;
	uint64_t hash = hash64(bytes_text("a row"), 0);

	rig_start(&r);
	rig_parent(&r, 1, false);
	rig_change(&r, 0, "a row", bytes_of(payload, sizeof(payload)));
	CU_ASSERT(rig_sent(&r, 1, WIRE_ROWS, NULL) == 0);
	CU_ASSERT(rig_sent(&r, 1, WIRE_REFRESH, &f) == 1 && f->class == WIRE_CLASS_ROWS);
	CU_ASSERT(
		bytes_equal(buf_bytes(&f->payload), bytes_of(payload, sizeof(payload))));
	/* Also to one who asks. */
	rig_hashes(&r, 3, WIRE_PULL, &hash, 1);
	CU_ASSERT(rig_sent(&r, 3, WIRE_REFRESH, NULL) == 1);
	rig_fini(&r);

	/* Among cores: as REFRESH all the way. */
	start(20, 95);
	CU_ASSERT(net_write(&net, 3, true) == 0);
	net_run(&net, MS_SECOND);
	CU_ASSERT(net_having(&net, 0) == 20 && net.frames[WIRE_ROWS] == 0);
	CU_ASSERT(net.frames[WIRE_REFRESH] == 19 && net.frames[WIRE_PULL] == 0);
	CU_ASSERT(net.bytes[WIRE_CLASS_ROWS] == 19 * 116);
	net_fini(&net);

	/* One of another length is none. */
	rig_start(&r);
	wire_put_frame(&b, WIRE_REFRESH, 0, bytes_of(payload, sizeof(payload) - 1));
	rig_hear(&r, 0, &b);
	CU_ASSERT(r.closed == 1);
	rig_fini(&r);
}

/* ---- hostile peers ---- */

static void
test_flood_of_announcements(void)
{
	uint64_t hashes[WIRE_HASHES_MAX];
	uint64_t asked = 0;
	struct rig r;

	rig_start(&r);
	for (int i = 0; i < 50; i++) {
		for (size_t k = 0; k < WIRE_HASHES_MAX; k++)
			hashes[k] = rng_next(&r.mesh->rng);
		rig_hashes(&r, i % 2, WIRE_ANNOUNCE, hashes, WIRE_HASHES_MAX);
	}
	CU_ASSERT(HASH_COUNT(r.mesh->spread.awaited) == 2 * MESH_AWAITED_OF_LINK_MAX);
	/* Others still have room. */
	rig_hashes(&r, 2, WIRE_ANNOUNCE, hashes, 10);
	CU_ASSERT(HASH_COUNT(r.mesh->spread.awaited) ==
		  2 * MESH_AWAITED_OF_LINK_MAX + 10);
	rig_pass(&r, MESH_PULL_MIN_MS);
	for (int i = 0; i < r.frames_len; i++)
		if (r.frames[i].type == WIRE_PULL)
			asked += r.frames[i].payload.len / 8;
	CU_ASSERT(asked == 2 * MESH_AWAITED_OF_LINK_MAX + 10);
	/* Nothing comes: nobody is waited for any more. */
	rig_pass(&r, 3 * MS_SECOND);
	CU_ASSERT(r.mesh->spread.awaited == NULL);
	for (int i = 0; i < 5; i++)
		CU_ASSERT(mesh_link_find(r.mesh, r.links[i])->lazy.awaited == 0);
	rig_fini(&r);
}

static void
test_asked_next(void)
{
	uint64_t hash = 5;
	struct rig r;

	rig_start(&r);
	rig_hashes(&r, 0, WIRE_ANNOUNCE, &hash, 1);
	rig_pass(&r, 10);
	rig_hashes(&r, 1, WIRE_ANNOUNCE, &hash, 1);
	rig_hashes(&r, 2, WIRE_ANNOUNCE, &hash, 1);
	rig_hashes(&r, 0, WIRE_ANNOUNCE, &hash, 1);
	rig_pass(&r, MESH_PULL_MIN_MS - 11);
	CU_ASSERT(rig_sent(&r, 0, WIRE_PULL, NULL) == 0);
	rig_pass(&r, 1);
	CU_ASSERT(rig_sent(&r, 0, WIRE_PULL, NULL) == 1);
	CU_ASSERT(rig_sent(&r, 1, WIRE_PULL, NULL) == 0);
	rig_down(&r, 1);
	rig_pass(&r, MESH_PULL_AGAIN_MS);
	CU_ASSERT(rig_sent(&r, 2, WIRE_PULL, NULL) == 1);
	rig_pass(&r, 10 * MS_SECOND);
	CU_ASSERT(rig_sent(&r, 0, WIRE_PULL, NULL) == 1 &&
		  rig_sent(&r, 2, WIRE_PULL, NULL) == 1);
	CU_ASSERT(r.mesh->spread.awaited == NULL);
	rig_fini(&r);
}

static void
test_flood_of_pulls(void)
{
	static char row[60000];
	uint64_t hashes[WIRE_HASHES_MAX];
	struct rig r;
	uint64_t bytes = 0;

	rig_start(&r);
	memset(row, 'x', sizeof(row) - 1);
	rig_change(&r, 0, row, BYTES_NONE);
	rig_forget(&r);
	for (size_t k = 0; k < WIRE_HASHES_MAX; k++)
		hashes[k] = hash64(bytes_text(row), 0);
	for (int i = 0; i < 20; i++)
		rig_hashes(&r, 0, WIRE_PULL, hashes, WIRE_HASHES_MAX);
	for (int i = 0; i < r.frames_len; i++)
		bytes += r.frames[i].payload.len;
	CU_ASSERT(bytes > 0 && bytes <= MESH_PULL_BYTES_MAX && r.closed == 0);
	/* Another one gets it all the same. */
	rig_hashes(&r, 1, WIRE_PULL, hashes, 1);
	CU_ASSERT(rig_sent(&r, 1, WIRE_ROWS, NULL) == 1);
	/* What is not known, or was not verified, is sent to nobody. */
	rig_forget(&r);
	hashes[0] = 1;
	rig_hashes(&r, 2, WIRE_PULL, hashes, 1);
	{
		struct buf b = BUF_INIT;

		wire_put_rows(&b, WIRE_ROWS, bytes_text("who knows"));
		rig_hear(&r, 3, &b);
	}
	hashes[0] = hash64(bytes_text("who knows"), 0);
	rig_hashes(&r, 2, WIRE_PULL, hashes, 1);
	CU_ASSERT(rig_sent(&r, 2, WIRE_ROWS, NULL) == 0);
	/* Nor what is too old. */
	rig_pass(&r, MESH_RECENT_MS);
	rig_hashes(&r, 1, WIRE_PULL, hashes + 1, 1);
	CU_ASSERT(rig_sent(&r, 1, WIRE_ROWS, NULL) == 0);
	rig_fini(&r);
}

/* Rows kept for who asks take no more memory than they may. */
static void
test_memory(void)
{
	char row[8192];
	struct rig r;

	rig_start(&r);
	memset(row, 'x', sizeof(row) - 1);
	row[sizeof(row) - 1] = '\0';
	for (int i = 0; i < 1000; i++) {
		struct buf b = BUF_INIT;

		snprintf(row, sizeof(row) - 1, "%d", i);
		row[strlen(row)] = 'x';
		wire_put_rows(&b, WIRE_ROWS, bytes_text(row));
		rig_hear(&r, 0, &b);
		if (i % 2 == 0)
			rig_change(&r, r.links[0], row, BYTES_NONE);
		CU_ASSERT(r.mesh->spread.recents_bytes <=
			  MESH_RECENT_BYTES_MAX + sizeof(row));
		rig_forget(&r);
	}
	for (int i = 0; i < 2 * MESH_RECENTS_MAX; i++) {
		snprintf(row, sizeof(row), "%d", i);
		rig_change(&r, 0, row, BYTES_NONE);
		rig_forget(&r);
	}
	CU_ASSERT(HASH_COUNT(r.mesh->spread.recents) <= MESH_RECENTS_MAX);
	rig_fini(&r);
}

static void
test_malformed(void)
{
	static const uint8_t zeros[8 * WIRE_HASHES_MAX + 8];
	static const size_t lengths[] = { 0, 1, 7, 9, 8 * WIRE_HASHES_MAX + 8 };
	static const enum wire_type types[] = { WIRE_ANNOUNCE, WIRE_PULL, WIRE_PARENT };

	for (size_t t = 0; t < 3; t++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct buf b = BUF_INIT;
			struct rig r;

			rig_start(&r);
			wire_put_frame(&b, (uint8_t)types[t], 0,
				       bytes_of(zeros, lengths[i]));
			rig_hear(&r, 0, &b);
			CU_ASSERT(r.closed == 1);
			rig_fini(&r);
		}
}

static const struct tap_test tests[] = {
	{ "an update takes N - 1 frames, and with what announces it 1.06 of the rows' bytes",
	  test_cost },
	{ "rows that change at once are announced together", test_batches },
	{ "a frame that is lost is asked for, and the tree stays as it is", test_pull },
	{ "where the tree is slower than announcements they learn to wait",
	  test_slow_tree },
	{ "a row that comes again is not verified again, also before it is merged",
	  test_twice },
	{ "rows go to the parent and children, and are announced to two others",
	  test_eager },
	{ "a refresh travels as one, to all and to who asks", test_refresh },
	{ "who announces what is not there is asked once for each, and for so many at most",
	  test_flood_of_announcements },
	{ "when one who announced a row does not send it the next one is asked",
	  test_asked_next },
	{ "who asks gets so many bytes a second, of verified and recent rows",
	  test_flood_of_pulls },
	{ "recent rows take so much memory at most", test_memory },
	{ "announcements, pulls and PARENTs that cannot be read close the link",
	  test_malformed },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
