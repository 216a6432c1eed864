/* SPDX-License-Identifier: Apache-2.0 */
/* One dispatch core, step by step: queries to nodes that are not linked. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/dispatch-desk.h"

/* Who is reached by way of another is named to that one; all else is as with a link. */
static void
test_by_way_of_another(void)
{
	struct desk k;
	struct id node;

	desk_open(&k);
	memset(node.b, 5, ID_BYTES);
	desk_ask(&k, (struct desk_ask){ .query = 1, .nodes = { 5 }, .nodes_len = 1 });
	CU_ASSERT(k.said[0].type == DISPATCH_ACTION_RUN_OPEN);
	CU_ASSERT(id_is_zero(&k.said[0].relay_to));
	desk_did(&k,
		 (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
					  .query = 1 },
		 "x");
	desk_ask(&k, (struct desk_ask){ .query = 2,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_relayed = true });
	CU_ASSERT(k.said[0].type == DISPATCH_ACTION_RUN_OPEN && k.said[0].link == 5);
	CU_ASSERT(id_equal(&k.said[0].relay_to, &node));
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_RUN_TAKEN,
						    .link = 5,
						    .run = k.said[0].run },
			   "Tg"));
	CU_ASSERT(id_is_zero(&k.said[1].relay_to));
	CU_ASSERT(desk_did(
		&k,
		(struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN, .link = 5 },
		"E"));
	CU_ASSERT(k.said[0].status == 502 && k.said[0].is_taken);
	desk_close(&k);
}

/* It waits for a way; none: it goes elsewhere. */
static void
test_no_way_yet(void)
{
	struct dispatch_event way = { .type = DISPATCH_EVENT_WAY };
	struct desk k;

	desk_open(&k);
	memset(way.node.b, 5, ID_BYTES);
	for (int round = 0; round < 2; round++) {
		uint64_t query = 1 + (uint64_t)round;

		CU_ASSERT(strcmp(desk_ask(&k, (struct desk_ask){ .query = query,
								 .nodes = { 5 },
								 .nodes_len = 1,
								 .is_far = true }),
				 "w") == 0);
		/* Of another node. */
		way.node.b[0] = 6;
		CU_ASSERT(desk_did(&k, way, ""));
		way.node.b[0] = 5;
		way.link = round == 0 ? 77 : 0;
		way.is_relayed = true;
		if (round == 1) {
			CU_ASSERT(desk_did(&k, way, "E"));
			CU_ASSERT(k.said[0].status == 503 && k.said[0].retry_after > 0);
			continue;
		}
		CU_ASSERT(!dispatch_uses(k.dispatch, 77));
		CU_ASSERT(desk_did(&k, way, "o"));
		CU_ASSERT(k.said[0].link == 77 &&
			  id_equal(&k.said[0].relay_to, &way.node));
		CU_ASSERT(dispatch_uses(k.dispatch, 77) &&
			  !dispatch_uses(k.dispatch, 78));
		CU_ASSERT(desk_did(&k, way, "")); /* it is found already */
		CU_ASSERT(desk_did(
			&k,
			(struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
						 .query = 1 },
			"x"));
	}
	/* The deadline does not wait. */
	desk_ask(&k, (struct desk_ask){ .query = 3,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_far = true,
					.timeout = 50 });
	k.now += 50;
	CU_ASSERT(desk_did(&k, (struct dispatch_event){ .type = DISPATCH_EVENT_TICK },
			   "E"));
	CU_ASSERT(k.said[0].status == 504);
	CU_ASSERT(desk_did(&k, way, ""));
	desk_close(&k);
}

/* The error of a node that was to pass the query on. */
static struct dispatch_event
relay_failed(uint64_t link, uint64_t run)
{
	static struct query_error error;
	static char text[] = "no";
	struct dispatch_event e = desk_run_failed(link, run, DISPATCH_NOT_TAKEN);

	error = (struct query_error){ .status = 503, .text = text };
	memset(error.node.b, 99, ID_BYTES);
	e.error = &error;
	return e;
}

static struct dispatch_event
way_found(uint64_t link, bool is_relayed)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_WAY,
				    .link = link,
				    .is_relayed = is_relayed };

	memset(e.node.b, 5, ID_BYTES);
	return e;
}

/* Who was to pass it on could not: others are asked, and then the same node by another way, as
 * often as it may be. */
static void
test_another_way(void)
{
	struct id node;
	struct desk k;

	memset(node.b, 5, ID_BYTES);
	desk_open(&k);
	desk_ask(&k, (struct desk_ask){ .query = 1,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_relayed = true,
					.ways = 3 });
	CU_ASSERT(desk_did(&k, relay_failed(5, 1), "w") && k.said[0].link == 5);
	CU_ASSERT(desk_did(&k, way_found(6, true), "o") && k.said[0].link == 6);
	CU_ASSERT(id_equal(&k.said[0].relay_to, &node) && k.said[0].attempt == 1);
	/* A link that is lost is no better. */
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						    .link = 6 },
			   "w") &&
		  k.said[0].link == 6);
	/* One of its own. */
	CU_ASSERT(desk_did(&k, way_found(7, false), "o") && k.said[0].link == 7);
	CU_ASSERT(id_is_zero(&k.said[0].relay_to));
	/* What the node itself says counts. */
	CU_ASSERT(desk_did(&k, relay_failed(7, 3), "E") && k.said[0].status == 503);

	/* So many, and no more. */
	desk_ask(&k, (struct desk_ask){ .query = 2,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_relayed = true,
					.ways = 2 });
	CU_ASSERT(desk_did(&k, relay_failed(5, 4), "w"));
	CU_ASSERT(desk_did(&k, way_found(6, true), "o"));
	CU_ASSERT(desk_did(&k, relay_failed(6, 5), "w"));
	CU_ASSERT(desk_did(&k, way_found(7, true), "o"));
	CU_ASSERT(desk_did(&k, relay_failed(7, 6), "E"));
	/* None is found. */
	desk_ask(&k, (struct desk_ask){ .query = 3,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_relayed = true,
					.ways = 2 });
	CU_ASSERT(desk_did(&k, relay_failed(5, 7), "w"));
	CU_ASSERT(desk_did(&k, way_found(0, false), "E") && k.said[0].status == 503);
	/* A worker has it: then nothing may be repeated by whatever way. */
	desk_ask(&k, (struct desk_ask){ .query = 4,
					.nodes = { 5 },
					.nodes_len = 1,
					.is_relayed = true,
					.ways = 2 });
	CU_ASSERT(desk_did(&k, desk_run_event(DISPATCH_EVENT_RUN_TAKEN, 5, 8), "Tg"));
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						    .link = 5 },
			   "E") &&
		  k.said[0].status == 502);
	desk_close(&k);
}

static void
test_another_way_comes_last(void)
{
	uint64_t first, second;
	struct desk k;

	desk_open(&k);
	desk_ask(&k,
		 (struct desk_ask){
			 .query = 1, .nodes = { 5, 6, 7 }, .nodes_len = 3, .ways = 1 });
	first = k.said[0].link;
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						    .link = first },
			   "o"));
	second = k.said[0].link;
	CU_ASSERT(second != first);
	/* The link of one that is not asked yet. */
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_LINK_DOWN,
						    .link = 18 - first - second },
			   ""));
	CU_ASSERT(desk_did(&k, desk_run_failed(second, 2, DISPATCH_NOT_TAKEN), "w"));
	CU_ASSERT(k.said[0].link == first || k.said[0].link == 18 - first - second);
	CU_ASSERT(desk_did(&k,
			   (struct dispatch_event){ .type = DISPATCH_EVENT_QUERY_CANCEL,
						    .query = 1 },
			   ""));
	desk_close(&k);
}

static const struct tap_test tests[] = {
	{ "a query waits for a way to a node, and goes elsewhere without one",
	  test_no_way_yet },
	{ "a query whose way fails goes by another one, a few times", test_another_way },
	{ "after all other nodes", test_another_way_comes_last },
	{ "a node that is reached by way of another is named to that one",
	  test_by_way_of_another },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
