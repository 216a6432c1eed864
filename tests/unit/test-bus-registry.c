/* SPDX-License-Identifier: Apache-2.0 */
/* The registry alone: what workers say of themselves, true or not. */
#include "config.h"

#include "bus/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"

struct seen {
	int ups, changes, downs, warnings, losts, replaced, formers;
	uint64_t replaced_by;
	char warning[1024], down[80], reason[80], up[80];
	int slots, services, matches;
	bool is_direct, is_draining;
	char hardware[4200], service[210];
};

static struct seen seen;

static void
take(const struct registry_worker *w)
{
	snprintf(seen.up, sizeof(seen.up), "%s", w->pub.id);
	seen.slots = w->pub.slots;
	seen.is_direct = w->pub.is_direct;
	seen.is_draining = w->pub.is_draining;
	seen.services = w->pub.services_len;
	seen.matches = w->pub.services[0].match_len;
	snprintf(seen.service, sizeof(seen.service), "%s", w->pub.services[0].name);
	snprintf(seen.hardware, sizeof(seen.hardware), "%s", w->pub.hardware);
}

static void
on_up(void *arg, struct registry_worker *w)
{
	(void)arg;
	seen.ups++;
	take(w);
}

static void
on_changed(void *arg, struct registry_worker *w)
{
	(void)arg;
	seen.changes++;
	take(w);
}

static void
on_down(void *arg, struct registry_worker *w, const char *reason)
{
	(void)arg;
	seen.downs++;
	snprintf(seen.down, sizeof(seen.down), "%s", w->pub.id);
	snprintf(seen.reason, sizeof(seen.reason), "%s", reason);
}

static void
on_warning(void *arg, const char *text)
{
	(void)arg;
	seen.warnings++;
	snprintf(seen.warning, sizeof(seen.warning), "%s", text);
}

static void
on_lost(void *arg, struct registry_worker *w)
{
	(void)arg;
	(void)w;
	seen.losts++;
}

static void
on_former_ended(void *arg, struct registry_worker *w)
{
	(void)arg;
	(void)w;
	seen.formers++;
}

static void
on_replaced(void *arg, struct registry_worker *w, uint64_t by)
{
	(void)arg;
	(void)w;
	seen.replaced++;
	seen.replaced_by = by;
}

static const struct registry_handler handler = {
	.up = on_up,
	.changed = on_changed,
	.down = on_down,
	.lost = on_lost,
	.replaced = on_replaced,
	.former_ended = on_former_ended,
	.warning = on_warning,
};

static struct registry *
start(int max)
{
	memset(&seen, 0, sizeof(seen));
	return registry_new(&handler, NULL, max);
}

static int
say(struct registry *reg, ms_t now, const char *text)
{
	return registry_announce(reg, now, bytes_text(text));
}

#define V1(id, more) "{\"v\":1,\"id\":\"" id "\",\"status\":\"connected\"" more "}"

static void
test_announcements(void)
{
	struct registry *reg = start(10);

	CU_ASSERT(
		say(reg, 0,
		    V1("a",
		       ",\"slots\":4,\"client_id\":7,\"services\":[{\"name\":\"llm\","
		       "\"match\":[\"model=x\",\"k=*\",\"all\"]},{\"name\":\"wc\"}]")) ==
		0);
	CU_ASSERT(seen.ups == 1 && seen.slots == 4 && seen.is_direct);
	CU_ASSERT(seen.services == 2 && seen.matches == 3);
	/* The same, in another order of fields: nothing. */
	CU_ASSERT(say(reg, 1,
		      "{\"services\":[{\"match\":[\"model=x\",\"k=*\",\"all\"],\"name\":"
		      "\"llm\"},{\"match\":[],\"name\":\"wc\"}],\"status\":\"connected\","
		      "\"client_id\":7,\"slots\":4,\"id\":\"a\",\"v\":1,\"unknown\":[1]"
		      "}") == 0);
	CU_ASSERT(seen.changes == 0 && seen.ups == 1);
	/* Several on one connection; a re-announcement replaces. */
	CU_ASSERT(say(reg, 1, V1("b", ",\"service\":\"wc\",\"client_id\":7")) == 0);
	CU_ASSERT(seen.ups == 2 && !seen.is_direct && seen.slots == 1);
	CU_ASSERT(say(reg, 2, V1("b", ",\"service\":\"tr\",\"client_id\":7")) == 0);
	CU_ASSERT(seen.changes == 1);
	CU_ASSERT_STRING_EQUAL(seen.service, "tr");
	CU_ASSERT(registry_len(reg) == 2);
	/* Their connection ends. */
	registry_client_ended(reg, 8);
	CU_ASSERT(seen.downs == 0);
	registry_client_ended(reg, 7);
	CU_ASSERT(seen.downs == 2 && registry_len(reg) == 0);
	/* Who left need not be known. */
	CU_ASSERT(say(reg, 3, "{\"v\":1,\"id\":\"b\",\"status\":\"disconnected\"}") == 0);
	CU_ASSERT(seen.downs == 2 && seen.warnings == 0);
	registry_free(reg);
}

static void
test_volatile_memory_is_not_news(void)
{
	struct registry *reg = start(10);

	CU_ASSERT(
		say(reg, 0,
		    V1("a", ",\"service\":\"s\",\"gpus\":[{\"name\":\"G\",\"memory\":10,"
			    "\"memory_free\":9,\"memory_used\":1}]")) == 0);
	CU_ASSERT_STRING_EQUAL(seen.hardware,
			       "{\"gpus\":[{\"memory\":10,\"name\":\"G\"}]}");
	CU_ASSERT(
		say(reg, 0,
		    V1("a", ",\"service\":\"s\",\"gpus\":[{\"name\":\"G\",\"memory\":10,"
			    "\"memory_free\":2,\"memory_used\":8}]")) == 0);
	CU_ASSERT(seen.changes == 0);
	/* The same in `hardware`, beside what no row can have. */
	CU_ASSERT(say(reg, 0,
		      V1("h", ",\"service\":\"s\",\"hardware\":{\"cpus\":4,"
			      "\"load\":0.5,\"gpus\":[{\"name\":\"G\","
			      "\"memory\":10,\"memory_free\":9,\"heat\":40}]}")) == 0);
	CU_ASSERT(say(reg, 0,
		      V1("h", ",\"service\":\"s\",\"hardware\":{\"load\":3.25,"
			      "\"cpus\":4,\"gpus\":[{\"name\":\"G\","
			      "\"memory_free\":1,\"memory\":10,\"heat\":80}]}")) == 0);
	CU_ASSERT(seen.changes == 0 && seen.ups == 2);
	CU_ASSERT(say(reg, 0,
		      V1("h", ",\"service\":\"s\",\"hardware\":{\"cpus\":4,"
			      "\"gpus\":[{\"name\":\"G\",\"memory\":11}]}")) == 0);
	CU_ASSERT(seen.changes == 1);
	/* A legacy worker says it once: what it said first stands. */
	registry_sees_connections(reg, true);
	CU_ASSERT(say(reg, 0,
		      "{\"service\":\"t\",\"client_id\":3,\"status\":\"connected\","
		      "\"gpus\":[{\"name\":\"G\",\"memory\":10,\"memory_free\":9,"
		      "\"memory_used\":1,\"x\":2}]}") == 0);
	CU_ASSERT_STRING_EQUAL(seen.hardware,
			       "{\"gpus\":[{\"memory\":10,\"memory_free\":9,"
			       "\"memory_used\":1,\"name\":\"G\"}]}");
	CU_ASSERT(say(reg, 0,
		      "{\"service\":\"t\",\"client_id\":3,\"status\":\"connected\","
		      "\"gpus\":[{\"name\":\"G\",\"memory\":10,\"memory_free\":4,"
		      "\"memory_used\":6}]}") == 0);
	CU_ASSERT(seen.changes == 1);
	registry_free(reg);
}

static void
test_heartbeats(void)
{
	struct registry *reg = start(10);

	say(reg, 1000, V1("a", ",\"service\":\"s\",\"hb_s\":2"));
	say(reg, 1000, V1("b", ",\"service\":\"s\""));
	registry_expire(reg, 7000);
	CU_ASSERT(seen.downs == 0);
	registry_expire(reg, 7001);
	CU_ASSERT(seen.downs == 1);
	CU_ASSERT_STRING_EQUAL(seen.down, "a");
	CU_ASSERT_STRING_EQUAL(seen.reason, "it missed three heartbeats");
	say(reg, 15000, V1("b", ",\"service\":\"s\""));
	registry_expire(reg, 30000);
	CU_ASSERT(seen.downs == 1);
	/* A bus that was away is nobody's fault: the count starts again. */
	registry_bus_up(reg, 60000);
	registry_expire(reg, 75000);
	CU_ASSERT(seen.downs == 1);
	registry_expire(reg, 75001);
	CU_ASSERT(seen.downs == 2);
	registry_free(reg);
}

static void
test_legacy(void)
{
	struct registry *reg = start(10);
	const char
		*text = "{\"service\":\"inference:m/x-1.5\",\"gpus\":[],\"client_id\":12,"
			"\"status\":\"connected\",\"offering\":[]}";
	const struct registry_client clients[] = { { .id = 3 }, { .id = 12 } };

	/* Without eyes for connections nothing would ever say that it left. */
	CU_ASSERT(say(reg, 0, text) == -OCF_EMALFORMED && seen.ups == 0);
	CU_ASSERT(strstr(seen.warning, "c12") != NULL);
	registry_sees_connections(reg, true);
	CU_ASSERT(say(reg, 0, text) == 0);
	CU_ASSERT(seen.ups == 1 && !seen.is_direct && seen.slots == 1);
	CU_ASSERT_STRING_EQUAL(seen.up, "c12");
	CU_ASSERT_STRING_EQUAL(seen.service, "inference:m/x-1.5");
	registry_expire(reg, (ms_t)1000 * MS_HOUR);
	registry_listed(reg, 1, 1, clients, 2);
	CU_ASSERT(seen.downs == 0);
	/* A list from before it was there says nothing of it. */
	registry_listed(reg, 1, 0, clients, 1);
	CU_ASSERT(seen.downs == 0);
	CU_ASSERT(say(reg, 0,
		      "{\"service\":\"x\",\"client_id\":12,\"status\":\"busy\"}") == 0);
	CU_ASSERT(seen.changes == 0);
	registry_listed(reg, 1, 1, clients, 1);
	CU_ASSERT(seen.downs == 1);
	CU_ASSERT(say(reg, 0, text) == 0);
	CU_ASSERT(say(reg, 0, "{\"client_id\":12,\"status\":\"disconnected\"}") == 0);
	CU_ASSERT(seen.downs == 2);
	CU_ASSERT(say(reg, 0,
		      "{\"service\":\"a b\",\"client_id\":12,\"status\":\"connected\"}") <
		  0);
	registry_free(reg);
}

/* None of these is an announcement. */
static const char *const nonsense[] = {
	"",
	"x",
	"[]",
	"null",
	"{}",
	"{\"v\":1}",
	"{\"v\":1,\"id\":\"n\"}",
	"{\"v\":2,\"id\":\"n\",\"status\":\"connected\",\"service\":\"s\"}",
	"{\"v\":\"1\",\"id\":\"n\",\"status\":\"connected\",\"service\":\"s\"}",
	"{\"v\":1,\"id\":\"n\",\"status\":\"gone\",\"service\":\"s\"}",
	"{\"v\":1,\"id\":7,\"status\":\"connected\",\"service\":\"s\"}",
	"{\"v\":1,\"id\":\"n\",\"id\":\"m\",\"status\":\"connected\",\"service\":"
	"\"s\"}",
	V1("", ",\"service\":\"s\""),
	V1("a b", ",\"service\":\"s\""),
	V1(".n", ",\"service\":\"s\""),
	V1("n.", ",\"service\":\"s\""),
	V1("n..m", ",\"service\":\"s\""),
	V1("n*", ",\"service\":\"s\""),
	V1("n>", ",\"service\":\"s\""),
	V1("n\\r\\nPUB x", ",\"service\":\"s\""),
	V1("n\\u0000", ",\"service\":\"s\""),
	V1("n\\u00e9", ",\"service\":\"s\""),
	V1("01234567890123456789012345678901234567890123456789012345678901234",
	   ",\"service\":\"s\""),
	V1("n", ""),
	V1("n", ",\"service\":\"\""),
	V1("n", ",\"service\":5"),
	V1("n", ",\"service\":\"a\\r\\nb\""),
	V1("n", ",\"service\":\"a\\tb\""),
	V1("n", ",\"services\":[]"),
	V1("n", ",\"services\":{}"),
	V1("n", ",\"services\":[7]"),
	V1("n", ",\"services\":[{}]"),
	V1("n", ",\"services\":[{\"name\":\"s\"},{\"name\":\"s\"}]"),
	V1("n", ",\"services\":[{\"name\":\"s\",\"match\":\"all\"}]"),
	V1("n", ",\"services\":[{\"name\":\"s\",\"match\":[7]}]"),
	V1("n", ",\"services\":[{\"name\":\"s\",\"match\":[\"model\"]}]"),
	V1("n", ",\"services\":[{\"name\":\"s\",\"match\":[\"=x\"]}]"),
	V1("n", ",\"services\":[{\"name\":\"s\",\"match\":[\"a=\\n\"]}]"),
	V1("n", ",\"service\":\"s\",\"slots\":0"),
	V1("n", ",\"service\":\"s\",\"slots\":-1"),
	V1("n", ",\"service\":\"s\",\"slots\":4097"),
	V1("n", ",\"service\":\"s\",\"slots\":1.5"),
	V1("n", ",\"service\":\"s\",\"slots\":\"1\""),
	V1("n", ",\"service\":\"s\",\"slots\":99999999999999999999"),
	V1("n", ",\"service\":\"s\",\"hb_s\":0"),
	V1("n", ",\"service\":\"s\",\"hb_s\":3601"),
	V1("n", ",\"service\":\"s\",\"client_id\":-1"),
	V1("n", ",\"service\":\"s\",\"metadata\":[]"),
	V1("n", ",\"service\":\"s\",\"metadata\":\"x\""),
	V1("n", ",\"service\":\"s\",\"hardware\":7"),
	V1("n", ",\"service\":\"s\",\"gpus\":{}"),
	"{\"service\":\"s\",\"status\":\"connected\"}",
	"{\"service\":\"s\",\"status\":\"connected\",\"client_id\":0}",
	"{\"service\":\"s\",\"status\":\"connected\",\"client_id\":\"5\"}",
	"{\"v\":1,\"id\":\"\xff\",\"status\":\"connected\",\"service\":\"s\"}",
};

static void
test_nonsense(void)
{
	struct registry *reg = start(100);
	char *deep = mem_alloc(3000), *huge = mem_alloc(20000);

	say(reg, 0, V1("ok", ",\"service\":\"s\""));
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		seen.warnings = 0;
		if (say(reg, (ms_t)i * 100 * MS_SECOND, nonsense[i]) != -OCF_EMALFORMED)
			tap_note("was taken: %s", nonsense[i]);
		CU_ASSERT(seen.warnings == 1);
		CU_ASSERT(strpbrk(seen.warning, "\r\n") == NULL);
		CU_ASSERT(seen.ups == 1 && seen.changes == 0 && registry_len(reg) == 1);
	}
	memset(deep, '[', 2999);
	deep[2999] = '\0';
	CU_ASSERT(say(reg, 0, deep) < 0);
	memset(huge, ' ', 19999);
	huge[19999] = '\0';
	memcpy(huge, "{}", 2);
	CU_ASSERT(say(reg, 0, huge) < 0);
	CU_ASSERT(strstr(seen.warning, "over the limit") != NULL);
	CU_ASSERT(registry_len(reg) == 1);
	free(deep);
	free(huge);
	registry_free(reg);
}

static void
test_warnings_name_who_and_why_once(void)
{
	struct registry *reg = start(1);

	say(reg, 0, V1("bad", ",\"service\":\"s\",\"slots\":0"));
	CU_ASSERT_STRING_EQUAL(seen.warning,
			       "worker `bad`: `slots` must be a whole number "
			       "from 1 to 4096");
	for (ms_t now = 5000; now < MS_MINUTE; now += 5000)
		say(reg, now, V1("bad", ",\"service\":\"s\",\"slots\":0"));
	CU_ASSERT(seen.warnings == 1);
	say(reg, MS_MINUTE, V1("bad", ",\"service\":\"s\",\"slots\":0"));
	CU_ASSERT(seen.warnings == 2);
	say(reg, MS_MINUTE, "{\"service\":5,\"client_id\":9,\"status\":\"connected\"}");
	CU_ASSERT(strstr(seen.warning, "connection 9") != NULL);
	/* One more than may be. */
	say(reg, 0, V1("a", ",\"service\":\"s\""));
	CU_ASSERT(say(reg, 0, V1("b", ",\"service\":\"s\"")) < 0);
	CU_ASSERT(strstr(seen.warning, "limit of 1 workers") != NULL);
	registry_free(reg);
}

#define OLD(id, service, gpus)                                                           \
	"{\"service\":\"" service "\",\"gpus\":[" gpus "],\"client_id\":" id             \
	",\"status\":\"connected\"}"
#define GPU(name) "{\"name\":\"" name "\",\"memory\":8}"

static char *one[] = { (char *)"inference:one" };
static char *two[] = { (char *)"inference:two" };
static char *both[] = { (char *)"inference:one", (char *)"inference:two" };
static char *plain[] = { (char *)"plain" };

static void
test_found_in_the_list(void)
{
	struct registry *reg = start(10);
	const struct registry_client clients[] = {
		{ .id = 4 },					  /* a listener */
		{ .id = 5, .services_len = 2, .services = both }, /* a worker */
		{ .id = 6, .services_len = 1, .services = plain, .is_v1 = true },
		{ .id = 0, .services_len = 1, .services = one }, /* no number */
		{ .id = 7, .services_len = 1, .services = plain },
	};

	registry_sees_connections(reg, true);
	registry_listed(reg, 10, 5, clients, 4);
	CU_ASSERT(seen.ups == 1 && seen.services == 2 && seen.slots == 1);
	CU_ASSERT(!seen.is_direct);
	CU_ASSERT_STRING_EQUAL(seen.up, "c5");
	registry_listed(reg, 11, 10, clients, 4);
	CU_ASSERT(seen.ups == 1 && seen.changes == 0);
	/* Its announcement, late: what it says of itself counts. */
	CU_ASSERT(say(reg, 12, OLD("5", "inference:one", GPU("A"))) == 0);
	CU_ASSERT(seen.changes == 1 && seen.services == 1);
	registry_listed(reg, 13, 13, clients, 4);
	CU_ASSERT(seen.ups == 1 && seen.downs == 0 && seen.changes == 1);
	/* A v1 worker without slots and number is taken for one until it announces itself. */
	registry_listed(reg, 14, 14, clients, 5);
	CU_ASSERT(seen.ups == 2);
	CU_ASSERT_STRING_EQUAL(seen.up, "c7");
	CU_ASSERT(say(reg, 15, V1("w", ",\"service\":\"plain\"")) == 0);
	CU_ASSERT(seen.ups == 3 && seen.downs == 1);
	CU_ASSERT_STRING_EQUAL(seen.down, "c7");
	registry_listed(reg, 16, 16, clients, 5);
	CU_ASSERT(seen.ups == 3 && seen.downs == 1 && registry_len(reg) == 2);
	/* An empty list ends them, but for those who live by heartbeats. */
	registry_listed(reg, 17, 17, clients, 0);
	CU_ASSERT(seen.downs == 2 && registry_len(reg) == 1);
	CU_ASSERT_STRING_EQUAL(seen.down, "c5");
	registry_free(reg);
}

/* Its connection goes on, with what it subscribes to. */
static void
test_left_and_listed(void)
{
	static const char bye[] = "{\"client_id\":5,\"status\":\"disconnected\"}";
	struct registry *reg = start(10);
	const struct registry_client clients[] = {
		{ .id = 5, .services_len = 1, .services = one },
	};

	registry_sees_connections(reg, true);
	say(reg, 0, OLD("5", "inference:one", ""));
	CU_ASSERT(say(reg, 1, bye) == 0 && seen.downs == 1);
	registry_listed(reg, 2, 0, clients, 1);
	registry_listed(reg, 3, 2, clients, 1);
	CU_ASSERT(seen.ups == 1 && registry_len(reg) == 0);
	/* Said before it was ever known. */
	registry_client_ended(reg, 5);
	CU_ASSERT(say(reg, 4, bye) == 0);
	registry_listed(reg, 5, 5, clients, 1);
	CU_ASSERT(seen.ups == 1);
	/* It may change its mind, and its number may become another's. */
	CU_ASSERT(say(reg, 6, OLD("5", "inference:one", "")) == 0 && seen.ups == 2);
	CU_ASSERT(say(reg, 7, bye) == 0 && seen.downs == 2);
	registry_client_ended(reg, 5);
	registry_listed(reg, 8, 8, clients, 1);
	CU_ASSERT(seen.ups == 3);
	CU_ASSERT(say(reg, 9, bye) == 0);
	registry_server_new(reg);
	registry_listed(reg, 10, 10, clients, 1);
	CU_ASSERT(seen.ups == 4);
	/* However many say so. */
	for (int i = 0; i < REGISTRY_LEFT_MAX + 10; i++) {
		char text[80];

		snprintf(text, sizeof(text),
			 "{\"client_id\":%d,\"status\":\"disconnected\"}", 100 + i);
		CU_ASSERT(say(reg, 11, text) == 0);
	}
	registry_free(reg);
}

/* On a new server two workers get each other's numbers: each keeps its gpus. */
static void
test_found_again_on_a_new_server(void)
{
	struct registry *reg = start(10);
	const struct registry_client swapped[] = {
		{ .id = 5, .services_len = 1, .services = two },
		{ .id = 6, .services_len = 1, .services = one },
	};

	registry_sees_connections(reg, true);
	say(reg, 0, OLD("5", "inference:one", GPU("A")));
	say(reg, 0, OLD("6", "inference:two", GPU("B")));
	say(reg, 0, OLD("7", "inference:gone", GPU("C")));
	CU_ASSERT(seen.ups == 3);
	registry_server_new(reg);
	CU_ASSERT(seen.losts == 3 && seen.downs == 0 && registry_len(reg) == 0);
	registry_listed(reg, 10, 9, &swapped[0], 1);
	CU_ASSERT(seen.ups == 4);
	CU_ASSERT_STRING_EQUAL(seen.up, "c5");
	CU_ASSERT_STRING_EQUAL(seen.hardware,
			       "{\"gpus\":[{\"memory\":8,\"name\":\"B\"}]}");
	/* The former c5 made place, the former c6 is c5 now. */
	CU_ASSERT_EQUAL(seen.downs, 2);
	registry_listed(reg, 11, 10, swapped, 2);
	CU_ASSERT(seen.ups == 5 && seen.downs == 2);
	CU_ASSERT_STRING_EQUAL(seen.up, "c6");
	CU_ASSERT_STRING_EQUAL(seen.hardware,
			       "{\"gpus\":[{\"memory\":8,\"name\":\"A\"}]}");
	registry_settle(reg);
	CU_ASSERT(seen.downs == 3 && registry_len(reg) == 2);
	CU_ASSERT_STRING_EQUAL(seen.down, "c7");
	/* With the same number it never left. */
	registry_server_new(reg);
	CU_ASSERT(say(reg, 20, OLD("6", "inference:one", GPU("A"))) == 0);
	CU_ASSERT(seen.ups == 6 && seen.downs == 3);
	registry_server_new(reg);
	registry_free(reg);
}

static void
test_remembered_from_a_former_life(void)
{
	struct registry *reg = start(10);
	const struct bus_service service = { .name = one[0] };
	const struct bus_worker former = { .id = "c9",
					   .slots = 1,
					   .services_len = 1,
					   .services = &service,
					   .metadata = "{}",
					   .hardware = "{\"gpus\":[]}" };
	const struct registry_client client = { .id = 4,
						.services_len = 2,
						.services = both };

	registry_sees_connections(reg, true);
	registry_remember(reg, &former);
	registry_remember(reg, &former);
	CU_ASSERT(registry_len(reg) == 0 && seen.ups == 0);
	registry_listed(reg, 1, 1, &client, 1);
	CU_ASSERT(seen.ups == 1 && seen.downs == 1 && seen.services == 1);
	CU_ASSERT_STRING_EQUAL(seen.up, "c4");
	CU_ASSERT_STRING_EQUAL(seen.down, "c9");
	CU_ASSERT_STRING_EQUAL(seen.hardware, "{\"gpus\":[]}");
	registry_settle(reg);
	registry_settle(reg);
	CU_ASSERT(seen.downs == 2 && registry_len(reg) == 1);
	registry_free(reg);
}

static void
test_bad_json_names_its_connection(void)
{
	static const char *const texts[] = {
		"{\"service\":\"inference:m\",\"client_id\":41,\"status\":",
		"{'client_id': 41, 'status': 'connected'}",
		"client_id=41",
		"{\"client_id\" : \"41\", oops",
	};
	struct registry *reg = start(10);

	registry_sees_connections(reg, true);
	for (size_t i = 0; i < 4; i++) {
		bool is_named;

		CU_ASSERT(say(reg, (ms_t)i * MS_HOUR, texts[i]) == -OCF_EMALFORMED);
		is_named = strstr(seen.warning, "connection 41") != NULL;
		CU_ASSERT(is_named == (i != 2));
	}
	CU_ASSERT(seen.warnings == 4);
	CU_ASSERT(say(reg, 9 * MS_HOUR, "\"client_id") < 0);
	CU_ASSERT(say(reg, 10 * MS_HOUR, "\"client_id\":") < 0);
	CU_ASSERT(registry_len(reg) == 0 && seen.ups == 0);
	registry_free(reg);
}

/* The one that announces last has the id; while two keep at it, it gets no queries. */
static void
test_one_id_on_two_connections(void)
{
	struct registry *reg = start(10);

	say(reg, 0, V1("a", ",\"service\":\"s\",\"client_id\":5"));
	say(reg, 1, V1("a", ",\"service\":\"s\",\"client_id\":6"));
	CU_ASSERT(seen.warnings == 0 && seen.replaced == 1 && seen.replaced_by == 6);
	CU_ASSERT(!seen.is_draining && seen.changes == 0);
	say(reg, 2, V1("a", ",\"service\":\"other\",\"client_id\":5"));
	CU_ASSERT(seen.warnings == 1 && strstr(seen.warning, "an id of its own") != NULL);
	CU_ASSERT(seen.changes == 1 && seen.is_draining);
	CU_ASSERT_STRING_EQUAL(seen.service, "s");
	say(reg, 3, V1("a", ",\"service\":\"s\",\"client_id\":6"));
	say(reg, 4, V1("a", ",\"service\":\"other\",\"client_id\":5"));
	CU_ASSERT(seen.changes == 1 && seen.warnings == 1 && seen.replaced == 1);
	/* One ends: the other has it. */
	registry_client_ended(reg, 6);
	CU_ASSERT(seen.downs == 0 && seen.changes == 2 && !seen.is_draining);
	say(reg, 5, V1("a", ",\"service\":\"other\",\"client_id\":5"));
	CU_ASSERT(seen.changes == 3);
	CU_ASSERT_STRING_EQUAL(seen.service, "other");
	/* The last to announce ends: the one before has it. */
	say(reg, 6, V1("a", ",\"service\":\"s\",\"client_id\":8"));
	say(reg, 7, V1("a", ",\"service\":\"s\",\"client_id\":5"));
	CU_ASSERT(seen.is_draining);
	registry_client_ended(reg, 5);
	CU_ASSERT(seen.downs == 0 && !seen.is_draining);
	say(reg, 8, V1("a", ",\"service\":\"s\",\"client_id\":7"));
	registry_client_ended(reg, 8);
	CU_ASSERT(seen.downs == 0 && seen.formers == 1);
	say(reg, 8, V1("a", ",\"service\":\"s\",\"client_id\":8"));
	/* One falls silent: three heartbeats later the other has it. */
	say(reg, 8, V1("a", ",\"service\":\"s\",\"client_id\":9"));
	say(reg, 9, V1("a", ",\"service\":\"s\",\"client_id\":8"));
	CU_ASSERT(seen.is_draining);
	say(reg, 15 * MS_SECOND + 9, V1("a", ",\"service\":\"s\",\"client_id\":8"));
	registry_expire(reg, 15 * MS_SECOND + 9);
	CU_ASSERT(seen.is_draining);
	registry_expire(reg, 15 * MS_SECOND + 10);
	CU_ASSERT(!seen.is_draining && seen.downs == 0);
	registry_client_ended(reg, 9);
	CU_ASSERT(seen.downs == 0);
	registry_client_ended(reg, 8);
	CU_ASSERT(seen.downs == 1);
	registry_free(reg);
}

/* A number of a connection is one server's: that of another is another connection. */
static void
test_numbers_of_several_servers(void)
{
	struct registry *reg = start(10);

#define FROM(server) V1("a", ",\"service\":\"s\",\"client_id\":5,\"server_id\":" server)
	CU_ASSERT(say(reg, 0, FROM("\"N1\"")) == 0);
	CU_ASSERT(say(reg, 1, FROM("\"N1\"")) == 0);
	CU_ASSERT(seen.ups == 1 && seen.replaced == 0 && seen.changes == 0);
	CU_ASSERT(say(reg, 2, FROM("\"N2\"")) == 0);
	CU_ASSERT(seen.replaced == 1 && seen.replaced_by == 5 && seen.warnings == 0);
	/* Two of them. */
	CU_ASSERT(say(reg, 3, FROM("\"N1\"")) == 0);
	CU_ASSERT(seen.warnings == 1 && seen.is_draining);
	CU_ASSERT(say(reg, 4, FROM("7")) == -OCF_EMALFORMED);
	CU_ASSERT(strstr(seen.warning, "`server_id`") != NULL);
#undef FROM
	registry_free(reg);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "workers appear, change and leave", test_announcements },
		{ "free memory of a gpu is not news", test_volatile_memory_is_not_news },
		{ "three missed heartbeats are the end", test_heartbeats },
		{ "a legacy worker lives as long as its connection", test_legacy },
		{ "nonsense changes nothing and gives one warning", test_nonsense },
		{ "a warning names who and why, once a minute",
		  test_warnings_name_who_and_why_once },
		{ "one id on two connections gets no queries until it is one",
		  test_one_id_on_two_connections },
		{ "a connection's number is its server's",
		  test_numbers_of_several_servers },
		{ "a legacy worker is found by what it subscribes to",
		  test_found_in_the_list },
		{ "one that said that it leaves is not found by its subscriptions",
		  test_left_and_listed },
		{ "on a new server it is found again, with its gpus",
		  test_found_again_on_a_new_server },
		{ "so is one of a former life of the node",
		  test_remembered_from_a_former_life },
		{ "bad JSON is told with the connection that it names",
		  test_bad_json_names_its_connection },
	};
	return TAP_MAIN(argc, argv, tests);
}
