/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of ocf and ocf-sync: the nearest command, numbers for people, addresses,
 * URLs, who is linked. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/network.h"
#include "cli/format.h"
#include "cli/linked.h"
#include "cli/nearest.h"
#include "lib/tap.h"

static void
test_distance_counts_single_mistakes(void)
{
	CU_ASSERT_EQUAL(nearest_distance("nodes", "nodes"), 0);
	CU_ASSERT_EQUAL(nearest_distance("", "abc"), 3);
	CU_ASSERT_EQUAL(nearest_distance("abc", ""), 3);
	CU_ASSERT_EQUAL(nearest_distance("nodse", "nodes"), 1); /* swapped */
	CU_ASSERT_EQUAL(nearest_distance("stats", "status"), 1);
	CU_ASSERT_EQUAL(nearest_distance("quuery", "query"), 1);
	CU_ASSERT_EQUAL(nearest_distance("kitten", "sitting"), 3);
	CU_ASSERT_EQUAL(nearest_distance("a", "123456789012345678901234567890123456789"
					      "01234567890123456789012345"),
			-1);
}

static void
test_only_near_words_are_proposed(void)
{
	CU_ASSERT(nearest_is_likely("stats", "status"));
	CU_ASSERT(nearest_is_likely("serv", "services"));
	CU_ASSERT(nearest_is_likely("wokers", "workers"));
	CU_ASSERT_FALSE(nearest_is_likely("", "init"));
	CU_ASSERT_FALSE(nearest_is_likely("delete", "init"));
	CU_ASSERT_FALSE(nearest_is_likely("x", "services"));
}

static void
test_sizes_have_units(void)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} table[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1024 * 1024 - 1, "1.0 MiB" },
		{ 67108864000, "62.5 GiB" },
		{ INT64_MAX, "8.0 EiB" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[FORMAT_SIZE];

		CU_ASSERT_STRING_EQUAL(format_bytes(table[i].bytes, text), table[i].text);
	}
}

static void
test_spans_have_two_units_at_most(void)
{
	static const struct {
		double seconds;
		const char *text;
	} table[] = {
		{ -1, "0.0 s" },
		{ 0.44, "0.4 s" },
		{ 9.94, "9.9 s" },
		{ 9.96, "10 s" },
		{ 59.4, "59 s" },
		{ 59.6, "1 min" },
		{ 200, "3 min 20 s" },
		{ 2520, "42 min" },
		{ 18720, "5 h 12 min" },
		{ 86400, "1 d" },
		{ 86400 + 7200, "1 d 2 h" },
		{ 30 * 86400.0, "30 d" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[FORMAT_SIZE];

		CU_ASSERT_STRING_EQUAL(format_span(table[i].seconds, text),
				       table[i].text);
	}
}

static void
test_milliseconds_have_two_or_three_digits(void)
{
	char text[FORMAT_SIZE];

	CU_ASSERT_STRING_EQUAL(format_ms(0.214, text), "0.21 ms");
	CU_ASSERT_STRING_EQUAL(format_ms(3.44, text), "3.4 ms");
	CU_ASSERT_STRING_EQUAL(format_ms(99.96, text), "100 ms");
	CU_ASSERT_STRING_EQUAL(format_ms(1200, text), "1200 ms");
}

static void
test_names_are_escaped_in_urls(void)
{
	struct buf out = BUF_INIT;

	format_path_segment("a/b c?d#e%ü~", &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "a%2Fb%20c%3Fd%23e%25%C3%BC~");
	buf_clear(&out);
	format_path("v1/x y?q=1&r=a%20b#f", &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "/v1/x%20y?q=1&r=a%20b%23f");
	buf_fini(&out);
}

static void
test_private_addresses_are_known(void)
{
	static const char *const private[] = {
		"10.1.2.3:8093",    "172.16.0.1:1",   "172.31.255.255:1",
		"192.168.0.1:1",    "127.0.0.1:8093", "169.254.1.1:1",
		"100.64.0.1:1",	    "100.127.0.1:1",  "[::1]:8093",
		"[fe80::1%eth0]:1", "[fd00::1]:1",    "[::ffff:10.0.0.1]:1",
		"localhost:1",	    "Box.Local:1",    "nas.lan:1",
	};
	static const char *const public[] = {
		"8.8.8.8:1",	      "172.32.0.1:1",  "172.15.0.1:1",
		"192.169.0.1:1",      "100.128.0.1:1", "[2001:db8::1]:1",
		"[::ffff:8.8.8.8]:1", "example.org:1", "notlocal:1",
	};

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		CU_ASSERT(network_is_private(private[i]));
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
		CU_ASSERT_FALSE(network_is_private(public[i]));
}

static json_t *
link_json(int node, const char *state)
{
	char id[40];

	snprintf(id, sizeof(id), "%032x", (unsigned)node);
	return json_pack("{s:s, s:s}", "node", id, "state", state);
}

/* Many, since every node of a small cluster is linked with every other. */
static void
test_linked_nodes_are_named_once(void)
{
	enum { NODES = 500 };
	json_t *peers = json_array(), *nodes;

	json_array_append_new(peers, json_pack("{s:n, s:s}", "node", "state", "up"));
	json_array_append_new(peers, link_json(NODES, "greeting"));
	for (int i = 0; i < 2 * NODES; i++)
		json_array_append_new(peers, link_json(i % NODES, "up"));
	nodes = linked_nodes(peers);
	CU_ASSERT_EQUAL(json_array_size(nodes), NODES);
	for (int i = 0; i < NODES; i++)
		CU_ASSERT(json_equal(
			json_array_get(nodes, (size_t)i),
			json_object_get(json_array_get(peers, (size_t)i + 2), "node")));
	json_decref(nodes);
	nodes = linked_nodes(NULL);
	CU_ASSERT(json_is_array(nodes) && json_array_size(nodes) == 0);
	json_decref(nodes);
	json_decref(peers);
}

static const struct tap_test tests[] = {
	{ "the distance of words counts inserted, dropped, changed and swapped letters",
	  test_distance_counts_single_mistakes },
	{ "only a word that is near is proposed", test_only_near_words_are_proposed },
	{ "sizes have units", test_sizes_have_units },
	{ "spans of time have two units at most", test_spans_have_two_units_at_most },
	{ "milliseconds have as many digits as matter",
	  test_milliseconds_have_two_or_three_digits },
	{ "names are escaped in URLs, paths only where they must be",
	  test_names_are_escaped_in_urls },
	{ "private addresses are told from public ones",
	  test_private_addresses_are_known },
	{ "a node with two links is named once", test_linked_nodes_are_named_once },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
