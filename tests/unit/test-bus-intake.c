/* SPDX-License-Identifier: Apache-2.0 */
/* The way of announcements into the registry, with more of them than it takes in a while. */
#include "config.h"

#include "bus/intake.h"

#include <stdio.h>
#include <string.h>

#include "lib/tap.h"

enum { FLOOD = 100000 };

static int ups, downs, warnings, intake_warnings, asked;

static void
on_up(void *arg, struct registry_worker *w)
{
	(void)arg;
	(void)w;
	ups++;
}

static void
on_changed(void *arg, struct registry_worker *w)
{
	(void)arg;
	(void)w;
}

static void
on_down(void *arg, struct registry_worker *w, const char *reason)
{
	(void)arg;
	(void)w;
	(void)reason;
	downs++;
}

static void
on_warning(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	warnings++;
}

static void
on_intake_warning(void *arg, const char *text)
{
	(void)arg;
	CU_ASSERT(strstr(text, "faster than that can be taken in") != NULL);
	intake_warnings++;
}

static void
on_ask_again(void *arg)
{
	(void)arg;
	asked++;
}

static const struct bus_intake_handler intake_handler = {
	.warning = on_intake_warning,
	.ask_again = on_ask_again,
};

static const struct registry_handler handler = {
	.up = on_up,
	.changed = on_changed,
	.down = on_down,
	.warning = on_warning,
};

struct rig {
	struct loop *loop;
	struct registry *reg;
	struct bus_intake *intake;
};

static void
rig_open(struct rig *r)
{
	ups = downs = warnings = intake_warnings = asked = 0;
	r->loop = loop_new();
	r->reg = registry_new(&handler, NULL, 16);
	registry_sees_connections(r->reg, true);
	r->intake = bus_intake_new(r->loop, r->reg, &intake_handler, NULL);
}

static void
rig_close(struct rig *r)
{
	bus_intake_free(r->intake);
	registry_free(r->reg);
	loop_free(r->loop);
}

static void
rig_say(struct rig *r, const char *text)
{
	bus_intake_announce(r->intake, bytes_text(text));
}

static struct bus_stats
rig_stats(const struct rig *r)
{
	struct bus_stats stats = { 0 };

	bus_intake_stats(r->intake, &stats);
	return stats;
}

static void
rig_flood(struct rig *r)
{
	char text[512];

	for (int i = 0; i < FLOOD; i++) {
		snprintf(text, sizeof(text),
			 "{\"v\":1,\"id\":\"x-%d\",\"pad\":\"%0400d\"", i, i);
		rig_say(r, text);
	}
}

static void
rig_until_empty(struct rig *r)
{
	ms_t end = clock_mono_ms() + 30 * MS_SECOND;

	while (rig_stats(r).announcements_bytes > 0 && clock_mono_ms() < end)
		loop_turn(r->loop, 10);
	CU_ASSERT(rig_stats(r).announcements_bytes == 0);
}

static const char
	good[] = "{\"v\":1,\"id\":\"good\",\"service\":\"s\",\"slots\":1,\"hb_s\":100,"
		 "\"client_id\":5,\"status\":\"connected\"}";

static void
test_flood(void)
{
	struct rig r;
	struct bus_stats stats;
	size_t waiting;

	rig_open(&r);
	rig_say(&r, good);
	bus_intake_run(r.intake);
	CU_ASSERT(ups == 1);
	rig_flood(&r);
	stats = rig_stats(&r);
	waiting = stats.announcements_bytes;
	CU_ASSERT(waiting > INTAKE_BYTES_MAX / 2 && waiting <= INTAKE_BYTES_MAX);
	CU_ASSERT(stats.announcements == FLOOD + 1 &&
		  stats.announcements_bad > FLOOD / 2);
	CU_ASSERT(intake_warnings == 1 && warnings == 0);
	/* A slice is a slice: others have their turn before the rest. */
	bus_intake_run(r.intake);
	CU_ASSERT(rig_stats(&r).announcements_bytes > 0);
	CU_ASSERT(rig_stats(&r).announcements_bytes < waiting);
	/* Whoever is known is heard behind all that, and does not expire. */
	waiting = rig_stats(&r).announcements_bytes;
	registry_expire(r.reg, loop_now(r.loop) + 200 * MS_SECOND);
	rig_say(&r, good);
	CU_ASSERT(rig_stats(&r).announcements_bytes == waiting);
	rig_until_empty(&r);
	CU_ASSERT(rig_stats(&r).announcements_bad == FLOOD && ups == 1 && downs == 0);
	rig_close(&r);
}

/* An end is heard at once, and what that connection had said before does not outlive it. */
static void
test_ends(void)
{
	struct rig r;

	rig_open(&r);
	rig_say(&r, good);
	bus_intake_run(r.intake);
	rig_flood(&r);
	bus_intake_clear(r.intake);
	for (int i = 0; i < 100; i++)
		rig_say(&r, "no JSON");
	rig_say(&r, "{\"client_id\":5,\"service\":\"old\",\"status\":\"connected\"}");
	CU_ASSERT(downs == 0);
	bus_intake_ended(r.intake, 5);
	CU_ASSERT(downs == 1 && registry_len(r.reg) == 0);
	bus_intake_run(r.intake);
	rig_until_empty(&r);
	CU_ASSERT(ups == 2 && downs == 2 && registry_len(r.reg) == 0);
	rig_close(&r);
}

/* Connections that come and go while a flood waits take no memory without end; and who went
 * among them does not come back by what it had said. */
static void
test_ends_are_bounded(void)
{
	struct rig r;
	struct bus_stats stats;
	size_t most = 0;

	rig_open(&r);
	rig_say(&r, good);
	bus_intake_run(r.intake);
	for (int i = 0; i < 100; i++)
		rig_say(&r, "no JSON");
	rig_say(&r, "{\"client_id\":9,\"service\":\"old\",\"status\":\"connected\"}");
	for (uint64_t id = 100; id < 100 + 10 * INTAKE_ENDS_MAX; id++) {
		bus_intake_ended(r.intake, id == 500 ? 9 : id);
		stats = rig_stats(&r);
		if (stats.announcements_bytes > most)
			most = stats.announcements_bytes;
	}
	CU_ASSERT(most > 0 && most < INTAKE_ENDS_MAX * 256 + 65536);
	/* Once: behind that nothing waits any more, and an end has nothing to wait for. */
	CU_ASSERT(asked == 1 && intake_warnings == 1);
	CU_ASSERT(rig_stats(&r).announcements_bad == 101);
	bus_intake_run(r.intake);
	rig_until_empty(&r);
	CU_ASSERT(ups == 1 && downs == 0 && registry_len(r.reg) == 1);
	bus_intake_ended(r.intake, 5);
	CU_ASSERT(downs == 1);
	rig_close(&r);
}

/* While others wait, the last word of each worker is the one that counts, in its first one's
 * place; a name that stands elsewhere than in its id is nobody's. */
static void
test_last_words(void)
{
	struct rig r;
	struct bus_stats one, stats;
	char text[512];

	rig_open(&r);
	rig_say(&r,
		"{\"v\":1, \"metadata\":{\"id\":\"x\"}, \"id\" : \"x\",\"status\":\"\"}");
	one = rig_stats(&r);
	for (int i = 0; i < 10000; i++) {
		snprintf(
			text, sizeof(text),
			"{\"v\":1,\"pad\":[\"\\\"id\",\"id\"],\"id\":\"x\",\"service\":\"s\","
			"\"status\":\"%s\",\"metadata\":{\"n\":%d}}",
			i % 2 == 0 ? "disconnected" : "connected", i);
		rig_say(&r, text);
	}
	stats = rig_stats(&r);
	CU_ASSERT(stats.announcements_bytes < one.announcements_bytes + sizeof(text));
	/* None of these is x's, or anybody's. */
	rig_say(&r, "{\"metadata\":{\"id\":\"x\"}}");
	rig_say(&r, "[\"id\",\"x\"]");
	rig_say(&r, "{\"name\":\"id\",\"x\":1}");
	rig_say(&r, "{\"id\":7,\"x\":\"x\"}");
	rig_say(&r, "{\"id\":\"x");
	rig_say(&r, "{\"id\":\"x\\");
	bus_intake_run(r.intake);
	rig_until_empty(&r);
	CU_ASSERT(ups == 1 && downs == 0 && rig_stats(&r).announcements_bad == 6);
	CU_ASSERT_STRING_EQUAL(registry_find(r.reg, "x")->pub.metadata, "{\"n\":9999}");
	rig_close(&r);
}

/* Only what says nothing new is passed over. */
static void
test_repeats(void)
{
	static const char
		other[] = "{\"v\":1,\"id\":\"good\",\"service\":\"s\",\"slots\":1,"
			  "\"hb_s\":1,\"client_id\":6,\"status\":\"connected\"}";
	struct rig r;

	rig_open(&r);
	CU_ASSERT_FALSE(registry_repeats(r.reg, 0, bytes_text(good)));
	CU_ASSERT(registry_announce(r.reg, 0, bytes_text(good)) == 0);
	CU_ASSERT(registry_repeats(r.reg, 2900, bytes_text(good)));
	registry_expire(r.reg, 5800);
	CU_ASSERT(registry_len(r.reg) == 1);
	CU_ASSERT_FALSE(registry_repeats(r.reg, 5800, bytes_text("{}")));
	/* Its bus was away: the number of its connection must be learned anew. */
	registry_bus_up(r.reg, 5800);
	CU_ASSERT_FALSE(registry_repeats(r.reg, 5800, bytes_text(good)));
	CU_ASSERT(registry_announce(r.reg, 5800, bytes_text(good)) == 0);
	registry_client_ended(r.reg, 5);
	CU_ASSERT(downs == 1);
	CU_ASSERT_FALSE(registry_repeats(r.reg, 5900, bytes_text(good)));
	/* It left by its own word. */
	CU_ASSERT(registry_announce(r.reg, 6000, bytes_text(other)) == 0);
	CU_ASSERT(registry_repeats(r.reg, 6000, bytes_text(other)));
	CU_ASSERT(
		registry_announce(
			r.reg, 6000,
			bytes_text(
				"{\"v\":1,\"id\":\"good\",\"status\":\"disconnected\"}")) ==
		0);
	CU_ASSERT_FALSE(registry_repeats(r.reg, 6000, bytes_text(other)));
	rig_close(&r);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a flood is bounded, sliced, and no heartbeat waits in it",
		  test_flood },
		{ "who has gone is not brought back by what it had said", test_ends },
		{ "ends of connections are bounded, and what is lost by that is asked for",
		  test_ends_are_bounded },
		{ "of what one worker said and that waits the last counts",
		  test_last_words },
		{ "what is repeated byte for byte is a heartbeat and no more",
		  test_repeats },
	};
	return TAP_MAIN(argc, argv, tests);
}
