/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh in many histories, with faults drawn from their seeds, for so many seconds of real
 * time ($OCF_TEST_SIM_SECONDS), and so many at least ($OCF_TEST_SIM_SEEDS); and some that
 * others have met: each has the name of where. */
#include "config.h"

#include <stdlib.h>

#include "lib/tap.h"
#include "sim/mesh-world.h"

enum {
	SWARM_NODES_MIN = 3,
	SWARM_NODES_MAX = 50,
	SWARM_SEEDS_MIN = 6, /* however long they take */
	SWARM_TWICE = 10,    /* one in so many is run once more */
	SWARM_IDLE_MAX = 50, /* bytes a second, in and out of a node */
};

static ms_t
swarm_span(void)
{
	const char *text = getenv("OCF_TEST_SIM_SECONDS");

	if (text != NULL)
		return strtoll(text, NULL, 10) * MS_SECOND;
	return (tap_is_quick() ? 3 : 45) * MS_SECOND;
}

static int
swarm_seeds(void)
{
	const char *text = getenv("OCF_TEST_SIM_SEEDS");

	return text != NULL ? atoi(text) : SWARM_SEEDS_MIN;
}

/* Small ones are as good at finding most things, and there can be more of them. */
static int
swarm_nodes(uint64_t seed)
{
	uint64_t h = hash64(bytes_of(&seed, sizeof(seed)), 1) % 1000;

	return SWARM_NODES_MIN +
	       (int)(h * h * h * (SWARM_NODES_MAX + 1 - SWARM_NODES_MIN) / 1000000000);
}

static void
swarm_one(uint64_t seed, bool is_twice, ms_t *slowest)
{
	struct world_options options = { .seed = seed,
					 .nodes = swarm_nodes(seed),
					 .net = (enum world_net)(seed % (NET_WAN + 1)),
					 .faults = FAULTS_ALL };
	struct world_result result, again;

	options.hidden = seed % 3 == 0 ? options.nodes / 4 : 0;
	options.idle_max = SWARM_IDLE_MAX;
	world_run(&options, 2 * MS_MINUTE, &result);
	CU_ASSERT(result.failures == 0);
	if (result.failures > 0)
		tap_note("again with: sim --seed %llu --nodes %d --hidden %d --net %s "
			 "--minutes 2 --idle %.0f",
			 (unsigned long long)seed, options.nodes, options.hidden,
			 world_net_names[options.net], options.idle_max);
	if (result.healed_ms > *slowest)
		*slowest = result.healed_ms;
	if (!is_twice)
		return;
	world_run(&options, 2 * MS_MINUTE, &again);
	CU_ASSERT(again.trace == result.trace);
}

static void
test_swarm(void)
{
	ms_t until = clock_mono_ms() + swarm_span();
	ms_t slowest = 0;
	int seeds = 0;

	while (seeds < swarm_seeds() || clock_mono_ms() < until) {
		swarm_one(tap_seed() * 100000 + (uint64_t)seeds, seeds % SWARM_TWICE == 0,
			  &slowest);
		seeds++;
	}
	tap_note("%d seeds; whole again after %lld s at the latest", seeds,
		 (long long)(slowest / MS_SECOND));
}

/* $OCF_TEST_SIM_LARGE: so many clusters of 300; else one that is smaller. */
static void
test_large(void)
{
	const char *text = getenv("OCF_TEST_SIM_LARGE");
	int seeds = text != NULL ? atoi(text) : 1;
	struct world_options options = { .nodes = text != NULL	   ? 300
						  : tap_is_quick() ? 20
								   : 60,
					 .net = NET_LAN,
					 .begin = BEGIN_FULL,
					 .rows = 300,
					 .faults = FAULTS_ALL };
	struct world_result result;

	options.idle_max = SWARM_IDLE_MAX;
	for (int i = 0; i < seeds; i++) {
		options.seed = tap_seed() * 300 + (uint64_t)i;
		world_run(&options, MS_MINUTE, &result);
		CU_ASSERT(result.failures == 0);
		tap_note("%d nodes, seed %llu: %llu events, whole after %lld s, idle "
			 "%.1f B/s",
			 options.nodes, (unsigned long long)options.seed,
			 (unsigned long long)result.events,
			 (long long)(result.healed_ms / MS_SECOND), result.idle);
	}
}

static struct world *
world_of(int nodes, int rows)
{
	struct world_options options = { .seed = tap_seed(),
					 .nodes = nodes,
					 .net = NET_LAN,
					 .begin = BEGIN_FULL,
					 .rows = rows };

	return world_calm(&options);
}

/* It is whole within the span, and nothing was wrong. */
static void
end_whole(struct world *w, ms_t span)
{
	ms_t took = world_until_whole(w, span);

	CU_ASSERT(took >= 0);
	if (took < 0)
		world_check(w);
	else
		tap_note("whole after %lld s", (long long)(took / MS_SECOND));
	CU_ASSERT(world_failures(w) == 0);
	world_free(w);
}

/* All restart within 3 s; those whose disk is lost come back below the incarnation that the
 * others know. */
static void
test_mass_restart(void)
{
	struct world *w = world_of(20, 200);

	for (int i = 0; i < 20; i++)
		world_crash(w, i, true);
	for (int i = 0; i < 20; i++) {
		if (i % 4 == 1)
			world_lose_disk(w, i);
		world_start(w, i);
		world_go_on(w, 150);
	}
	CU_ASSERT(world_until_whole(w, MESH_WORLD_BOUND_MS) >= 0);
	/* And a half that the other half holds for dead. */
	for (int i = 0; i < 20; i += 2)
		world_crash(w, i, true);
	world_go_on(w, MS_MINUTE);
	for (int i = 0; i < 20; i += 2)
		CU_ASSERT(world_dead_since(w, i) >= 0);
	for (int i = 0; i < 20; i += 2) {
		if (i % 4 == 0)
			world_lose_disk(w, i);
		world_start(w, i);
	}
	end_whole(w, MESH_WORLD_BOUND_MS);
}

static void
test_day_apart(void)
{
	struct world *w = world_of(10, 100);

	world_split(w, 5, true);
	for (int hour = 0; hour < 25; hour++) {
		world_go_on(w, MS_HOUR);
		for (int i = 0; i < 10; i++)
			world_write(w, i);
	}
	world_split(w, 10, false);
	end_whole(w, MESH_WORLD_BOUND_MS);
}

static void
test_starved(void)
{
	struct world *w = world_of(50, 50);
	int before = world_false_deaths(w);

	world_starve(w, world_below(w, 50), true);
	world_go_on(w, tap_is_quick() ? MS_MINUTE : 10 * MS_MINUTE);
	CU_ASSERT(world_false_deaths(w) == before);
	CU_ASSERT(world_failures(w) == 0);
	world_free(w);
}

/* The root of the tree dies, with its host, while 100 rows a second are written. */
static void
test_root_dies(void)
{
	struct world *w = world_of(20, 200);
	int root = world_root(w);

	for (int i = 0; i < 1000; i++) {
		int node = world_below(w, 20);

		if (i == 300) {
			world_doom(w, root);
			world_crash(w, root, true);
		}
		if (node != root || i < 300)
			world_rewrite(w, node, MESH_RECORD_BYTES);
		world_go_on(w, 10);
	}
	end_whole(w, MESH_WORLD_BOUND_MS);
}

static uint64_t
sync_bytes(const struct world *w, int node)
{
	struct world_bytes bytes;

	world_bytes(w, node, &bytes);
	return bytes.sent[WIRE_CLASS_SYNC];
}

/* Whoever has sent most of the pages dies in the middle of them. */
static void
test_donor_dies(void)
{
	struct world *w = world_of(5, 10000);
	uint64_t before[5], most = 0;
	int donor = 0;

	world_crash(w, 4, false);
	world_lose_disk(w, 4);
	world_go_on(w, 20 * MS_SECOND);
	for (int i = 0; i < 4; i++)
		before[i] = sync_bytes(w, i);
	world_start(w, 4);
	for (int i = 0; i < 10000 && world_held(w, 4) < 3000; i++)
		world_go_on(w, 1);
	CU_ASSERT(world_held(w, 4) >= 3000 && world_held(w, 4) < 9000);
	for (int i = 0; i < 4; i++)
		if (sync_bytes(w, i) - before[i] > most) {
			most = sync_bytes(w, i) - before[i];
			donor = i;
		}
	world_doom(w, donor);
	world_crash(w, donor, true);
	end_whole(w, MESH_WORLD_BOUND_MS);
}

/* A fifth dies at once, and a row is written before anybody has seen it. */
static void
test_fifth_dies(void)
{
	struct world *w = world_of(50, 100);
	int before = world_false_deaths(w);

	for (int i = 0; i < 50; i += 5) {
		world_doom(w, i);
		world_crash(w, i, true);
	}
	for (int i = 1; i < 5; i++)
		world_rewrite(w, i, MESH_RECORD_BYTES);
	world_go_on(w, 20 * MS_SECOND);
	for (int i = 0; i < 50; i += 5)
		CU_ASSERT(world_dead_since(w, i) >= 0);
	CU_ASSERT(world_false_deaths(w) == before);
	end_whole(w, MESH_WORLD_BOUND_MS);
}

static const struct tap_test tests[] = {
	{ "whatever goes wrong, clusters are whole again, and the same twice",
	  test_swarm },
	{ "so is a large one", test_large },
	{ "all nodes restart at once, some without their disks (memberlist #311)",
	  test_mass_restart },
	{ "halves that were apart for 25 hours heal by themselves (gravity #2100)",
	  test_day_apart },
	{ "one starved node of 50 is nobody's death, nor its own", test_starved },
	{ "the root of the tree dies under many writes", test_root_dies },
	{ "who sends a new node its table dies midway", test_donor_dies },
	{ "a fifth of the nodes dies silently, and the others miss nothing",
	  test_fifth_dies },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
