/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh in a world where much goes wrong: how many nodes, with which seeds, and what must
 * have come of it. What each history is checked for stands in mesh-world.h. */
#include "config.h"

#include <string.h>

#include "crdt/codec.h"
#include "lib/tap.h"
#include "sim/mesh-table.h"
#include "sim/mesh-world.h"

enum {
	OPEN_MAX = 8, /* nodes, where none is hidden */
	NODES_MAX = 10,
	DEATH_MS_MAX = 6 * MS_SECOND, /* until everybody hides a node that is gone */
	/* A beat may have been due as the process stopped; then it is asked after, suspected
	 * and judged, unless it refutes in time, in delays of at most 200 ms. */
	STALL_MS_MAX = MESH_LATE_BEAT_MS + MESH_CHECK_MS + MESH_DEAD_MS - 500,
	/* The same, when a link ends that is a minute old: a younger one need not be dialled
	 * again at once. */
	STALL_LOST_MS_MAX = MESH_RELINK_MS + MESH_CHECK_MS + MESH_DEAD_MS - 500,
};

static int
rounds(void)
{
	return tap_is_quick() ? 20 : 200;
}

static struct world *
calm(uint64_t seed, int nodes, int hidden)
{
	struct world_options options = { .seed = seed, .nodes = nodes, .hidden = hidden };

	return world_calm(&options);
}

/* The end of a world: nothing in it was wrong. */
static void
end(struct world *w)
{
	CU_ASSERT(world_failures(w) == 0);
	world_free(w);
}

static void
whole(struct world *w)
{
	world_check(w);
	end(w);
}

static void
test_calm(void)
{
	for (int nodes = 2; nodes <= OPEN_MAX; nodes++) {
		struct world *w = calm(tap_seed() + (uint64_t)nodes, nodes, 0);

		for (int i = 0; i < 50; i++)
			world_write(w, i % nodes);
		world_go_on(w, 20 * MS_SECOND);
		whole(w);
	}
}

/* A history with faults; returns its hash. */
static uint64_t
run(uint64_t seed, int nodes, int hidden, unsigned faults)
{
	struct world_options options = {
		.seed = seed, .nodes = nodes, .hidden = hidden, .faults = faults
	};
	struct world_result result;

	world_run(&options, 5 * MS_MINUTE, &result);
	if (result.failures > 0)
		tap_note("failed with seed %llu, %d nodes, %d hidden",
			 (unsigned long long)seed, nodes, hidden);
	CU_ASSERT(result.failures == 0);
	return result.trace;
}

static void
test_faults(void)
{
	for (int i = 0; i < rounds(); i++)
		run(tap_seed() * 1000 + (uint64_t)i, 2 + i % (OPEN_MAX - 1), 0,
		    FAULTS_ALL);
}

/* However a node ends, everybody hides it within 6 s, and is right about the others. */
static void
test_death(void)
{
	ms_t slowest[2] = { 0, 0 }, sum = 0, since;
	int deaths = 0;

	for (int i = 0; i < rounds(); i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 2000 + (uint64_t)i, nodes, 0);
		int victim = world_below(w, nodes);
		ms_t from = world_now(w);

		if (i % 3 == 0)
			world_freeze(w, victim, 2 * MS_MINUTE);
		else
			world_crash(w, victim, i % 3 == 1);
		world_go_on(w, DEATH_MS_MAX);
		for (int k = 0; k < nodes; k++) {
			for (int j = 0; j < nodes && k != victim; j++)
				CU_ASSERT(j == k ||
					  world_seen(w, k, j, NULL) ==
						  (j == victim ? MESH_NODE_DEAD
							       : MESH_NODE_ALIVE));
			world_seen(w, k, victim, &since);
			if (k != victim && since - from > slowest[i % 3 == 2])
				slowest[i % 3 == 2] = since - from;
			sum += k != victim && i % 3 == 1 ? since - from : 0;
			deaths += k != victim && i % 3 == 1;
		}
		/* And back, by itself. */
		if (i % 3 != 0)
			world_start(w, victim);
		world_go_on(w, 2 * MS_MINUTE + 20 * MS_SECOND + MESH_IDLE_MS);
		whole(w);
	}
	tap_note(
		"dead without a word after %lld ms, %lld on average; with one after %lld",
		(long long)slowest[0], (long long)(sum / deaths), (long long)slowest[1]);
}

/* One after the other falls silent, and those that did are hardly back: who was the last to stand
 * still and is slow for a while, or stands on the rings again where another one did, holds up
 * nobody. */
static void
test_deaths_without_rest(void)
{
	ms_t slowest = 0, since;

	for (int i = 0; i < rounds() / 4; i++) {
		struct world_options options = { .seed = tap_seed() * 17000 + (uint64_t)i,
						 .nodes = 7 + i % 6,
						 .net = NET_LAN,
						 .begin = BEGIN_FULL };
		struct world *w = world_calm(&options);
		int victim = 0;

		for (int k = 0; k < 12; k++) {
			ms_t from = world_now(w);
			ms_t rest = world_below(w, i % 3 == 0 ? 1 : 10 * MS_SECOND);

			victim += 1 + world_below(w, options.nodes - 1);
			victim %= options.nodes;
			world_freeze(w, victim, 9 * MS_SECOND);
			world_go_on(w, DEATH_MS_MAX);
			for (int j = 0; j < options.nodes; j++) {
				if (j == victim)
					continue;
				CU_ASSERT(world_seen(w, j, victim, &since) ==
					  MESH_NODE_DEAD);
				slowest = since - from > slowest ? since - from : slowest;
			}
			world_go_on(w, 9 * MS_SECOND - DEATH_MS_MAX + rest);
		}
		world_go_on(w, 2 * MS_MINUTE + MESH_IDLE_MS);
		whole(w);
	}
	tap_note("dead after %lld ms at the latest", (long long)slowest);
}

/* A process that stands still for some seconds, time and again, is nobody's death. */
static void
test_stalls(void)
{
	for (int i = 0; i < rounds(); i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 3000 + (uint64_t)i, nodes, 0);

		for (int k = 0; k < 10; k++) {
			world_freeze(w, world_below(w, nodes),
				     1 + world_below(w, STALL_MS_MAX));
			world_go_on(w, 2 * STALL_MS_MAX);
		}
		if (world_deaths(w) > 0)
			tap_note("round %d of %d nodes: %d deaths", i, nodes,
				 world_deaths(w));
		CU_ASSERT(world_deaths(w) == 0);
		whole(w);
	}
}

/* Nor when a link of theirs ends meanwhile, so that one who watches them says so early. */
static void
test_stalls_and_resets(void)
{
	for (int i = 0; i < rounds(); i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 13000 + (uint64_t)i, nodes, 0);

		for (int k = 0; k < 10; k++) {
			int sleeper = world_below(w, nodes);

			world_freeze(w, sleeper, 1 + world_below(w, STALL_LOST_MS_MAX));
			world_go_on(w, world_below(w, MS_SECOND));
			world_reset(w, sleeper);
			world_go_on(w, 2 * MESH_DIAL_HEALTHY_MS);
		}
		if (world_deaths(w) > 0)
			tap_note("round %d of %d nodes: %d deaths", i, nodes,
				 world_deaths(w));
		CU_ASSERT(world_deaths(w) == 0);
		whole(w);
	}
}

/* Clocks that run by up to 2 % too fast or too slow are nobody's death, nor wake anybody. */
static void
test_drift(void)
{
	for (int i = 0; i < rounds() / 4; i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 14000 + (uint64_t)i, nodes, 0);

		for (int k = 0; k < nodes; k++)
			world_set_drift(w, k, k % 2 ? 20000 : -20000);
		world_go_on(w, 10 * MS_MINUTE);
		CU_ASSERT(world_deaths(w) == 0);
		whole(w);
	}
}

/* One that stood still for long was dead for the others, and they never for it. */
static void
test_long_stall(void)
{
	for (int i = 0; i < rounds(); i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 4000 + (uint64_t)i, nodes, 0);
		int sleeper = world_below(w, nodes);
		ms_t span = 12 * MS_SECOND + world_below(w, 2 * MS_MINUTE);

		world_freeze(w, sleeper, span);
		world_go_on(w, span + MESH_DEAD_MS);
		for (int k = 0; k < nodes; k++)
			CU_ASSERT(k == sleeper ||
				  world_seen(w, sleeper, k, NULL) != MESH_NODE_DEAD);
		world_go_on(w, 20 * MS_SECOND + MESH_IDLE_MS);
		whole(w);
	}
}

/* Do all nodes see what is right, if the first `left` of them cannot reach the others? Notes
 * the latest time at which any came to see it so. */
static void
check_halves(const struct world *w, int nodes, int left, ms_t *slowest)
{
	enum mesh_state state;
	ms_t since;

	for (int k = 0; k < nodes; k++)
		for (int j = 0; j < nodes; j++) {
			bool is_there = (k < left) == (j < left) || left == 0;

			if (j == k)
				continue;
			state = world_seen(w, k, j, &since);
			CU_ASSERT(is_there ? state == MESH_NODE_ALIVE
					   : state == MESH_NODE_DEAD ||
						     state == MESH_NODE_UNREACHABLE);
			if (since > *slowest)
				*slowest = since;
		}
}

/* Two halves, however long apart: each hides the other within 10 s, and a minute after the
 * network is whole all are linked again; then all rows are everywhere. */
static void
test_halves(void)
{
	ms_t slowest_link = 0;

	for (int i = 0; i < rounds() / 2; i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 5000 + (uint64_t)i, nodes, 0);
		int left = 1 + world_below(w, nodes - 1);
		ms_t seen = 0, healed;

		world_split(w, left, true);
		world_go_on(w, 10 * MS_SECOND);
		check_halves(w, nodes, left, &seen);
		/* And does not show it again, whoever links with whom. */
		for (int k = 0; k < 150; k++) {
			world_go_on(w, 100);
			check_halves(w, nodes, left, &seen);
		}
		for (int k = 0; k < nodes; k++)
			world_write(w, k);
		world_go_on(w, 1 + world_below(w, i % 4 == 0 ? MS_HOUR : MS_MINUTE));
		world_split(w, left, false);
		healed = seen = world_now(w);
		world_go_on(w, MS_MINUTE);
		check_halves(w, nodes, 0, &seen);
		if (seen - healed > slowest_link)
			slowest_link = seen - healed;
		world_go_on(w, 30 * MS_SECOND);
		whole(w);
	}
	tap_note("linked again after %lld ms at the latest", (long long)slowest_link);
}

/* Some take no links: those are alive for each other by what others say. */
static void
test_hidden(void)
{
	for (int i = 0; i < rounds(); i++) {
		int nodes = 3 + i % (NODES_MAX - 2);

		run(tap_seed() * 8000 + (uint64_t)i, nodes, 1 + i % (nodes - 1),
		    i % 4 != 0 ? FAULTS_ALL : 0);
	}
}

/* Such a node that dies, and one of two that say who is there. */
static void
test_hidden_death(void)
{
	ms_t slowest = 0, since;

	for (int i = 0; i < rounds(); i++) {
		int nodes = 4 + i % (NODES_MAX - 3);
		int hidden = 2 + i % (nodes - 3);
		struct world *w = calm(tap_seed() * 9000 + (uint64_t)i, nodes, hidden);
		int victim = i % 2 ? nodes - 1 : world_below(w, nodes - hidden);
		ms_t from = world_now(w);

		if (i % 3 == 0)
			world_freeze(w, victim, 2 * MS_MINUTE);
		else
			world_crash(w, victim, i % 3 == 1);
		world_go_on(w, DEATH_MS_MAX);
		for (int k = 0; k < nodes; k++) {
			for (int j = 0; j < nodes && k != victim; j++)
				CU_ASSERT(j == k ||
					  world_seen(w, k, j, NULL) ==
						  (j == victim ? MESH_NODE_DEAD
							       : MESH_NODE_ALIVE));
			world_seen(w, k, victim, &since);
			if (k != victim && since - from > slowest)
				slowest = since - from;
		}
		if (i % 3 != 0)
			world_start(w, victim);
		world_go_on(w, 2 * MS_MINUTE + 20 * MS_SECOND + MESH_IDLE_MS);
		whole(w);
	}
	tap_note("dead after %lld ms at the latest", (long long)slowest);
}

/* Processes that stand still are no deaths, whoever tells of whom. */
static void
test_hidden_stalls(void)
{
	for (int i = 0; i < rounds() / 2; i++) {
		int nodes = 3 + i % (NODES_MAX - 2);
		struct world *w = calm(tap_seed() * 11000 + (uint64_t)i, nodes,
				       1 + i % (nodes - 1));

		for (int k = 0; k < 10; k++) {
			world_freeze(w, world_below(w, nodes),
				     1 + world_below(w, STALL_MS_MAX));
			world_go_on(w, 10 * MS_SECOND);
		}
		CU_ASSERT(world_deaths(w) == 0);
		whole(w);
	}
}

/* Those that have no home in common find a way all the same, and the links for it end. */
static void
test_hidden_ways(void)
{
	int far = 0;

	for (int i = 0; i < rounds() / 2; i++) {
		struct world *w = calm(tap_seed() * 12000 + (uint64_t)i, NODES_MAX,
				       2 + i % 2);

		far += world_look_for_ways(w);
		world_go_on(w, MESH_WAY_MS);
		CU_ASSERT(world_lost_ways(w) == 0);
		world_go_on(w, MESH_IDLE_MS + 5 * MS_SECOND);
		whole(w);
	}
	tap_note("%d pairs had no home in common", far);
}

static void
test_repeatable(void)
{
	for (int i = 0; i < (tap_is_quick() ? 2 : 6); i++) {
		uint64_t seed = tap_seed() + 77 + (uint64_t)i;

		CU_ASSERT(run(seed, 3 + i % 5, i % 3, FAULTS_ALL) ==
			  run(seed, 3 + i % 5, i % 3, FAULTS_ALL));
	}
}

/* A row that one node cannot merge, for lack of its owner's node row, which all the others
 * hold: it asks whoever sent it, and need not wait until tables are compared. */
static void
test_wants(void)
{
	for (int i = 0; i < rounds() / 2; i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 6000 + (uint64_t)i, nodes, 0);
		int loser = world_below(w, nodes), owner;

		owner = world_lose_node_row(w, loser);
		world_rewrite(w, owner, 100);
		world_go_on(w, 3 * MS_SECOND);
		whole(w);
	}
}

/* A node row that is written with the value that it has goes to each node in the 116 bytes of a
 * REFRESH, and hardly ever twice: when a beacon changes the tree meanwhile. */
static void
test_refreshes(void)
{
	uint64_t sent = 0, all = 0;

	for (int i = 0; i < rounds() / 20; i++) {
		struct world_options options = { .seed = tap_seed() * 15000 + (uint64_t)i,
						 .nodes = 2 + 3 * i,
						 .net = NET_LAN,
						 .begin = BEGIN_FULL };
		struct world *w = world_calm(&options);
		struct world_bytes since;
		uint64_t merges;

		world_go_on(w, 3 * MS_MINUTE); /* spare links are gone */
		merges = world_refreshes(w).merged;
		world_bytes(w, -1, &since);
		for (int k = 0; k < options.nodes; k++) {
			world_refresh(w, k);
			world_go_on(w, 100);
		}
		world_go_on(w, MS_SECOND);
		merges = world_refreshes(w).merged - merges;
		CU_ASSERT(merges == (uint64_t)(options.nodes * (options.nodes - 1)));
		CU_ASSERT(world_refreshes(w).pulled == 0);
		sent += world_sent(w, &since, 1u << WIRE_CLASS_ROWS);
		all += merges * (WIRE_HEADER_BYTES + WIRE_REFRESH_BYTES);
		whole(w);
	}
	CU_ASSERT(sent >= all && sent * 100 <= all * 106);
	tap_note("%llu bytes of rows, of which %llu are needed", (unsigned long long)sent,
		 (unsigned long long)all);
}

/* Who does not hold the value, or an older one, asks for the row at once. */
static void
test_refreshes_without_value(void)
{
	for (int i = 0; i < rounds() / 2; i++) {
		int nodes = 2 + i % (OPEN_MAX - 1);
		struct world *w = calm(tap_seed() * 16000 + (uint64_t)i, nodes, 0);
		int owner = world_below(w, nodes), loser = (owner + 1) % nodes;
		uint64_t pulled = world_refreshes(w).pulled;

		world_write_node_row(w, owner);
		world_go_on(w, 3 * MS_SECOND);
		if (i % 2)
			world_age_node_row(w, loser, owner);
		else
			owner = world_lose_node_row(w, loser);
		world_refresh(w, owner);
		world_go_on(w, 3 * MS_SECOND);
		CU_ASSERT(world_refreshes(w).pulled > pulled);
		whole(w);
	}
}

static uint64_t
timeouts(const struct world *w)
{
	struct world_sessions sessions;

	world_sessions(w, &sessions);
	return sessions.timeouts;
}

/* One that has forgotten more than any clock allows is linked with all without rows, and its
 * end of each link knows: nothing is sent for nobody, and no comparison waits in vain. When
 * the clocks have caught up rows are everywhere again. */
static void
test_horizons(void)
{
	for (int i = 0; i < rounds() / 4; i++) {
		int nodes = 2 + i % (OPEN_MAX - 2); /* all are linked to all */
		struct world *w = calm(tap_seed() * 7000 + (uint64_t)i, nodes, 0);
		int ahead = world_below(w, nodes);
		uint64_t before = timeouts(w);

		world_advance_horizon(w, ahead, 10 * MS_MINUTE);
		world_go_on(w, MS_MINUTE);
		for (int k = 0; k < nodes; k++)
			CU_ASSERT(k == ahead || (world_is_rowless(w, k, ahead) &&
						 world_is_rowless(w, ahead, k)));
		for (int k = 0; k < nodes; k++)
			world_write(w, k);
		world_go_on(w, 8 * MS_MINUTE);
		CU_ASSERT(timeouts(w) == before);
		world_go_on(w, 5 * MS_MINUTE);
		for (int k = 0; k < nodes; k++)
			CU_ASSERT(!world_is_rowless(w, k, ahead));
		whole(w);
	}
}

static void
no_sha256(const void *data, size_t len, uint8_t out[ROW_HASH_BYTES])
{
	(void)data;
	memset(out, (int)(len & 0xff), ROW_HASH_BYTES);
}

/* So that what is counted is what a real table costs. */
static void
test_rows(void)
{
	static const size_t lens[] = { MESH_NODE_VALUE_BYTES, 0, 1, 715, 14000, 100000 };
	struct id owner = { { 1, 2, 3 } };
	struct mesh_fact fact = { .stamp = 1000000 };
	struct mesh_rows rows;

	mesh_rows_init(&rows, 1, 10);
	rows.owners[0] = &owner;
	for (uint32_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct buf b = BUF_INIT;
		struct reader r;
		struct row_key key;
		struct row row = ROW_INIT;
		uint32_t number, version;

		CU_ASSERT(mesh_rows_add(&rows, 0, lens[i]) == i);
		mesh_rows_write(&rows, i, &fact);
		CU_ASSERT(mesh_rows_write(&rows, i, &fact) == 2);
		mesh_row_put(&rows, &b, i, 2);
		CU_ASSERT(b.len == mesh_row_len(&rows, i));
		CU_ASSERT(lens[i] > 14000 ||
			  b.len == CODEC_ROW_OVERHEAD_BYTES + lens[i] + (i > 0 ? 1 : 0));
		r = reader_of(buf_bytes(&b));
		CU_ASSERT(mesh_row_read(&rows, &r, &number, &version));
		CU_ASSERT(r.len == 0 && number == i && version == 2);
		r = reader_of(buf_bytes(&b));
		CU_ASSERT(codec_read_key(&r, &key) == 0 &&
			  row_key_check(&key, 16384) == 0);
		CU_ASSERT(codec_read_row(&r, no_sha256, &row) == 0 && r.len == 0);
		CU_ASSERT(row_stamp(&row) == 1000000);
		row_fini(&row);
		buf_fini(&b);
	}
	mesh_rows_fini(&rows);
}

static const struct tap_test tests[] = {
	{ "a row of a simulated table has the bytes of a real one", test_rows },
	{ "2 to 8 nodes link to each other once and share all rows", test_calm },
	{ "after resets, partitions, crashes and restarts all is whole again",
	  test_faults },
	{ "a node that dies, with a word, without one or by standing still, is hidden within "
	  "6 s",
	  test_death },
	{ "so is one of 7 to 12 that falls silent while the last one is hardly back",
	  test_deaths_without_rest },
	{ "processes that stand still for less than 3.5 s are no deaths", test_stalls },
	{ "nor are those of 3 s while one of their links ends", test_stalls_and_resets },
	{ "monotonic clocks that are 2 % off are no deaths", test_drift },
	{ "one that stood still for long takes nobody for dead, and is alive again",
	  test_long_stall },
	{ "halves hide each other within 10 s; a minute after they can, all are linked again",
	  test_halves },
	{ "a row that needs one which is lost here brings that one, too", test_wants },
	{ "a row that is refreshed goes to each node once, without its value",
	  test_refreshes },
	{ "where its value is not held, or another one is, it is asked for",
	  test_refreshes_without_value },
	{ "a horizon beyond the clocks ends rows at both ends of each link, until it is not",
	  test_horizons },
	{ "nodes that take no links find it out, and are alive for each other by way of others",
	  test_hidden },
	{ "when one of them dies, or who tells of it, all are right within 6 s",
	  test_hidden_death },
	{ "two of them without a common home find a way", test_hidden_ways },
	{ "for them, too, processes that stand still for 3.5 s are no deaths",
	  test_hidden_stalls },
	{ "a seed gives the same history twice", test_repeatable },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
