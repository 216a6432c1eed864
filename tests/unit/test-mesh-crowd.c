/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there: what many cores make of each other. What one makes of what it is told is
 * test-mesh-votes.c's. */
#include "config.h"

#include "lib/tap.h"
#include "mesh/core.h"
#include "unit/mesh-crowd.h"

/* However few or many: gone without a word, gone with one, stopped. */
static void
test_deaths(void)
{
	static const int sizes[] = { 2, 3, 4, 5, 7, 10, 30, 50 };
	ms_t sum = 0, most = 0, word = 0;
	struct crowd c;
	ms_t from;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int n = sizes[i], dead = (int)i % n;
		ms_t took;

		crowd_init(&c, n);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_ALIVE) == n - 1);
		from = c.sim.now;
		crowd_crash(&c, dead, true);
		crowd_go_on(&c, 6 * MS_SECOND);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_DEAD) == n - 1);
		took = crowd_last_told(&c, dead) - from;
		sum += took;
		most = took > most ? took : most;
		crowd_start(&c, dead);
		crowd_go_on(&c, 40 * MS_SECOND);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_ALIVE) == n - 1);
		from = c.sim.now;
		crowd_crash(&c, dead, false);
		crowd_go_on(&c, 3 * MS_SECOND);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_DEAD) == n - 1);
		took = crowd_last_told(&c, dead) - from;
		word = took > word ? took : word;
		crowd_start(&c, dead);
		crowd_go_on(&c, 40 * MS_SECOND);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_ALIVE) == n - 1);
		crowd_stop(&c, dead);
		crowd_go_on(&c, 100);
		CU_ASSERT(crowd_count(&c, dead, MESH_NODE_LEFT) == n - 1);
		crowd_fini(&c);
	}
	tap_note("silent: %lld ms on average, %lld at most; reset: %lld at most",
		 (long long)(sum / (ms_t)(sizeof(sizes) / sizeof(sizes[0]))),
		 (long long)most, (long long)word);
}

/* Two of five are cut off: they accuse nobody. */
static void
test_isolated(void)
{
	struct crowd c;

	for (int left = 1; left <= 2; left++) {
		crowd_init(&c, 5);
		crowd_split(&c, left);
		crowd_go_on(&c, 10 * MS_SECOND);
		for (int i = 0; i < 5; i++) {
			CU_ASSERT(mesh_is_isolated(c.nodes[i].mesh) == (i < left));
			for (int k = 0; k < 5; k++)
				if ((i < left) != (k < left))
					CU_ASSERT(crowd_sees(&c, i, k) ==
						  (i < left ? MESH_NODE_UNREACHABLE
							    : MESH_NODE_DEAD));
		}
		CU_ASSERT(c.nodes[0].deaths == 0);
		crowd_split(&c, 0);
		crowd_go_on(&c, MS_MINUTE);
		for (int i = 0; i < 5; i++) {
			CU_ASSERT(crowd_count(&c, i, MESH_NODE_ALIVE) == 4);
			CU_ASSERT(!mesh_is_isolated(c.nodes[i].mesh));
			CU_ASSERT(c.nodes[i].mesh->liveness == 0);
		}
		crowd_fini(&c);
	}
}

/* Fifty, with six links each, fall into halves; one dies that only its own half can know. */
static void
test_halves(void)
{
	struct crowd c;
	int wrong = 0, alive = 0;

	crowd_init(&c, 50);
	crowd_split(&c, 25);
	crowd_go_on(&c, 5 * MS_SECOND);
	crowd_crash(&c, 3, true);
	/* Those of the other half that too few accuse take 15 s, perhaps twice; then who was
	 * cut off behind them is believed to be there after 15 s more. */
	crowd_go_on(&c, 55 * MS_SECOND);
	for (int i = 0; i < 50; i++)
		for (int k = 0; k < 50; k++) {
			bool is_there = (i < 25) == (k < 25) && k != 3;

			if (i == k || i == 3)
				continue;
			alive += is_there && crowd_sees(&c, i, k) != MESH_NODE_ALIVE;
			wrong += !is_there && crowd_sees(&c, i, k) != MESH_NODE_DEAD &&
				 crowd_sees(&c, i, k) != MESH_NODE_UNREACHABLE;
		}
	if (wrong + alive > 0)
		tap_note("%d are taken to be there, %d not to be", wrong, alive);
	CU_ASSERT(wrong == 0 && alive == 0);
	crowd_split(&c, 0);
	crowd_go_on(&c, 90 * MS_SECOND);
	for (int i = 0; i < 50; i++)
		CU_ASSERT(i == 3 ? crowd_count(&c, i, MESH_NODE_DEAD) == 49
				 : crowd_count(&c, i, MESH_NODE_ALIVE) == 48);
	for (int i = 1; i < 50; i++)
		CU_ASSERT(i == 3 ||
			  c.nodes[i].mesh->liveness == c.nodes[0].mesh->liveness);
	crowd_fini(&c);
}

/* All are started anew at once (memberlist issue 311: they went on telling each other that
 * they were dead), one stays away. */
static void
test_mass_restart(void)
{
	struct crowd c;

	crowd_init(&c, 20);
	for (int i = 0; i < 20; i++)
		crowd_crash(&c, i, i % 2);
	crowd_go_on(&c, 3 * MS_SECOND);
	for (int i = 1; i < 20; i++) {
		crowd_start(&c, i);
		crowd_go_on(&c, 200);
	}
	crowd_go_on(&c, MS_MINUTE);
	for (int i = 0; i < 20; i++)
		CU_ASSERT(crowd_count(&c, i, i == 0 ? MESH_NODE_DEAD : MESH_NODE_ALIVE) ==
			  (i == 0 ? 19 : 18));
	crowd_fini(&c);
}

/* Links that break, and one node that is slow: nobody is dead for that. And when nothing
 * happens, nearly nothing is sent. */
static void
test_no_deaths(void)
{
	int minutes = tap_is_quick() ? 20 : 600;
	uint64_t deaths = 0, refutations = 0, downs = 0, most = 0;
	struct crowd c;

	crowd_init(&c, 30);
	/* Links of the start that nobody wants end. */
	crowd_go_on(&c, 3 * MS_MINUTE);
	for (int i = 0; i < 30; i++)
		c.nodes[i].sent_bytes = c.nodes[i].sent_beats = 0;
	crowd_go_on(&c, 10 * MS_MINUTE);
	for (int i = 0; i < 30; i++) {
		CU_ASSERT(c.nodes[i].sent_beats <= 600 + 1 && c.nodes[i].sent_votes == 0);
		/* With beacons. The budget is twice as much in and out. */
		CU_ASSERT(c.nodes[i].sent_bytes < 25 * 600);
		c.nodes[i].downs = 0;
		most = c.nodes[i].sent_bytes > most ? c.nodes[i].sent_bytes : most;
	}
	c.nodes[7].late_ms = 700;
	for (int i = 0; i < minutes; i++)
		for (int k = 0; k < 6; k++) {
			for (int a = 0; a < 30; a++)
				for (int b = 0; b < a; b++)
					if (sim_once_in(&c.sim, 600))
						crowd_reset(&c, a, b);
			crowd_go_on(&c, 10 * MS_SECOND);
		}
	for (int i = 0; i < 30; i++) {
		deaths += c.nodes[i].deaths;
		refutations += c.nodes[i].refutations;
		downs += c.nodes[i].downs;
	}
	tap_note(
		"%llu links ended, %llu refutations in %d min; idle, %.1f B/s sent at most",
		(unsigned long long)downs, (unsigned long long)refutations, minutes,
		(double)most / 600);
	CU_ASSERT(deaths == 0 && downs > (uint64_t)minutes);
	crowd_fini(&c);
}

static const struct tap_test tests[] = {
	{ "2 to 50 nodes: one that is gone is dead for all, in time", test_deaths },
	{ "who is cut off from most accuses nobody", test_isolated },
	{ "halves of 50 nodes do not reach each other; together again, all agree",
	  test_halves },
	{ "all start anew at once, and see each other", test_mass_restart },
	{ "broken links and a slow node are no deaths; idle, a node sends little",
	  test_no_deaths },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
