/* SPDX-License-Identifier: Apache-2.0 */
/* Connections counted by the address they come from, until they show who they are. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "lib/tap.h"
#include "net/strangers.h"

#define ENTERS(peer) CU_ASSERT_EQUAL(strangers_enter(&strangers, peer, &err), 0)
#define IS_REFUSED(peer, words)                                                          \
	do {                                                                             \
		CU_ASSERT_EQUAL(strangers_enter(&strangers, peer, &err), -EBUSY);        \
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));                         \
	} while (0)

static void
test_an_address_has_its_share(void)
{
	struct strangers strangers = { .max = 5, .of_address_max = 2 };
	struct errmsg err;

	ENTERS("192.0.2.1:1000");
	ENTERS("192.0.2.1:1001");
	IS_REFUSED("192.0.2.1:1002", "2 connections from its address");
	ENTERS("192.0.2.2:1000");
	ENTERS("192.0.2.2:1001");
	ENTERS("192.0.2.3:1000");
	IS_REFUSED("192.0.2.3:1001", "5 connections have not shown");
	/* Whoever has its own share used up is told that, too. */
	IS_REFUSED("192.0.2.2:1002", "from its address");
	strangers_leave(&strangers, "192.0.2.1:1000");
	IS_REFUSED("192.0.2.2:1002", "from its address");
	ENTERS("192.0.2.1:1003");
	CU_ASSERT_EQUAL(strangers.len, 5);
	strangers_fini(&strangers);
	CU_ASSERT_EQUAL(strangers.len, 0);
}

static void
test_a_network_of_ipv6_is_one_address(void)
{
	struct strangers strangers = { .max = 100, .of_address_max = 1 };
	struct errmsg err;

	ENTERS("[2001:db8:0:1::1]:1000");
	IS_REFUSED("[2001:db8:0:1:ffff::2]:1000", "from its address");
	ENTERS("[2001:db8:0:2::1]:1000");
	/* Neighbours are not one another's fault. */
	ENTERS("[fe80::1%eth0]:1000");
	ENTERS("[fe80::2%eth0]:1000");
	IS_REFUSED("[fe80::2%eth0]:1001", "from its address");
	/* The same bytes, but another family. */
	ENTERS("32.1.13.184:1000");
	strangers_fini(&strangers);
}

static void
test_what_has_no_address_is_counted_together(void)
{
	struct strangers strangers = { .max = 100, .of_address_max = 2 };
	struct errmsg err;

	ENTERS("unix:/a");
	ENTERS("");
	IS_REFUSED("unix:/b", "from its address");
	ENTERS("0.0.0.0:1");
	strangers_leave(&strangers, "unix:/a");
	ENTERS("unix:/b");
	strangers_fini(&strangers);
}

/* Whatever comes and goes: the sums are right, and nothing is kept of those that left. */
static void
test_nothing_is_kept_of_those_that_left(void)
{
	enum { ADDRESSES = 20, SHARE = 3, ALL = 30, ROUNDS = 20000 };
	struct strangers strangers = { .max = ALL, .of_address_max = SHARE };
	unsigned held[ADDRESSES] = { 0 }, all = 0;
	struct errmsg err;
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < ROUNDS; i++) {
		unsigned at = (unsigned)rng_below(&rng, ADDRESSES);
		char peer[32];

		snprintf(peer, sizeof(peer), "198.51.100.%u:%u", at,
			 (unsigned)i % 60000U);
		if (rng_below(&rng, 2) == 0) {
			unsigned may = held[at] < SHARE && all < ALL ? 1 : 0;

			CU_ASSERT_EQUAL(strangers_enter(&strangers, peer, &err),
					may > 0 ? 0 : -EBUSY);
			held[at] += may;
			all += may;
		} else if (held[at] > 0) {
			strangers_leave(&strangers, peer);
			held[at]--;
			all--;
		}
		CU_ASSERT_EQUAL(strangers.len, all);
	}
	for (unsigned at = 0; at < ADDRESSES; at++) {
		char peer[32];

		snprintf(peer, sizeof(peer), "198.51.100.%u:1", at);
		while (held[at]-- > 0)
			strangers_leave(&strangers, peer);
	}
	CU_ASSERT_PTR_NULL(strangers.addresses);
}

static const struct tap_test tests[] = {
	{ "an address has its share, and all together have theirs",
	  test_an_address_has_its_share },
	{ "a network of IPv6 is one address, neighbours on a link are not",
	  test_a_network_of_ipv6_is_one_address },
	{ "what has no address is counted together",
	  test_what_has_no_address_is_counted_together },
	{ "nothing is kept of those that left", test_nothing_is_kept_of_those_that_left },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
