/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/intake.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

/* Oldest first. */
struct intake_item {
	struct intake_item *next;
	uint64_t ended; /* a connection's number; 0: an announcement */
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1]; /* whose; "" not known */
	size_t len;
	uint8_t *json;
	UT_hash_handle hh;
};

struct bus_intake {
	struct loop *loop;
	struct registry *reg;
	const struct bus_intake_handler *handler;
	void *arg;
	struct loop_timer *timer;
	struct intake_item *first, **end;
	struct intake_item *by_id;
	size_t bytes;
	int ends; /* items that are ends of connections */
	uint64_t heard, bad;
	ms_t warned_ms;
	bool was_warned;
};

static void
intake_on_timer(void *arg)
{
	bus_intake_run(arg);
}

struct bus_intake *
bus_intake_new(struct loop *loop, struct registry *reg,
	       const struct bus_intake_handler *handler, void *arg)
{
	struct bus_intake *intake = mem_calloc(1, sizeof(*intake));

	intake->loop = loop;
	intake->reg = reg;
	intake->handler = handler;
	intake->arg = arg;
	intake->end = &intake->first;
	intake->timer = loop_timer_new(loop, intake_on_timer, intake);
	return intake;
}

static struct intake_item *
intake_take(struct bus_intake *intake)
{
	struct intake_item *item = intake->first;

	intake->first = item->next;
	if (intake->first == NULL)
		intake->end = &intake->first;
	intake->bytes -= sizeof(*item) + item->len;
	intake->ends -= item->ended != 0;
	if (item->id[0] != '\0')
		HASH_DEL(intake->by_id, item);
	return item;
}

static void
intake_item_free(struct intake_item *item)
{
	free(item->json);
	free(item);
}

void
bus_intake_clear(struct bus_intake *intake)
{
	while (intake->first != NULL)
		intake_item_free(intake_take(intake));
	loop_timer_clear(intake->timer);
}

void
bus_intake_free(struct bus_intake *intake)
{
	if (intake == NULL)
		return;
	bus_intake_clear(intake);
	loop_timer_free(intake->timer);
	free(intake);
}

/* A string of JSON that begins at `at`: the text between its quotes, and where it ends. */
static const uint8_t *
intake_string(const uint8_t *at, const uint8_t *end, struct bytes *ret)
{
	const uint8_t *p = at + 1;

	while (p < end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	*ret = bytes_of(at + 1, p < end ? (size_t)(p - at - 1) : 0);
	return p < end ? p + 1 : end;
}

/* The member `id` of the outermost object, as it is written, at a fraction of what reading it
 * all costs. What is no JSON, or has none, has none. */
static struct bytes
intake_id(struct bytes json)
{
	const uint8_t *p = json.data, *end = json.data + json.len;
	struct bytes text = BYTES_NONE;
	bool is_named = false; /* the string before was "id", and a colon came */
	int depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = intake_string(p, end, &text);
			if (is_named)
				return text;
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		is_named = depth == 1 && bytes_equal_text(text, "id") &&
			   (*p == ':' || (is_named && *p == ' '));
		if (*p != ' ' && *p != ':')
			text = BYTES_NONE;
		p++;
	}
	return BYTES_NONE;
}

static void
intake_put(struct bus_intake *intake, uint64_t ended, struct bytes id, struct bytes json)
{
	struct intake_item *item = mem_calloc(1, sizeof(*item));

	item->ended = ended;
	item->len = json.len;
	item->json = json.len > 0 ? mem_dup(json.data, json.len) : NULL;
	if (id.len > 0 && id.len < sizeof(item->id) &&
	    memchr(id.data, 0, id.len) == NULL) {
		memcpy(item->id, id.data, id.len);
		HASH_ADD_STR(intake->by_id, id, item);
	}
	*intake->end = item;
	intake->end = &item->next;
	intake->bytes += sizeof(*item) + item->len;
	intake->ends += ended != 0;
}

/* What a worker says replaces what it had said before and nobody has taken in. */
static void
intake_replace(struct bus_intake *intake, struct intake_item *item, struct bytes json)
{
	free(item->json);
	intake->bytes = intake->bytes - item->len + json.len;
	item->len = json.len;
	item->json = mem_dup(json.data, json.len);
}

static struct intake_item *
intake_find(const struct bus_intake *intake, struct bytes id)
{
	struct intake_item *item = NULL;

	if (id.len > 0 && id.len < sizeof(item->id))
		HASH_FIND(hh, intake->by_id, id.data, id.len, item);
	return item;
}

static void
intake_leave_out(struct bus_intake *intake, uint64_t n)
{
	ms_t now = loop_now(intake->loop);

	intake->bad += n;
	if (intake->was_warned && now - intake->warned_ms < INTAKE_WARNING_AGAIN_MS)
		return;
	intake->was_warned = true;
	intake->warned_ms = now;
	intake->handler->warning(
		intake->arg,
		"workers announce themselves faster than that can be taken in; "
		"some of it is left out until they say it again");
}

void
bus_intake_announce(struct bus_intake *intake, struct bytes json)
{
	struct intake_item *before;
	bool is_heartbeat;
	struct bytes id;

	intake->heard++;
	/* One that is too long is refused for its length alone: no more is kept of it. */
	if (json.len > REGISTRY_ANNOUNCE_BYTES_MAX) {
		intake->bad += registry_announce(intake->reg, loop_now(intake->loop),
						 json) < 0;
		return;
	}
	is_heartbeat = registry_repeats(intake->reg, loop_now(intake->loop), json);
	if (is_heartbeat && intake->first == NULL)
		return;
	id = intake_id(json);
	before = intake_find(intake, id);
	if (is_heartbeat && before == NULL)
		return;
	if (intake->bytes + sizeof(*before) + json.len > INTAKE_BYTES_MAX)
		intake_leave_out(intake, 1);
	else if (before != NULL)
		intake_replace(intake, before, json);
	else
		intake_put(intake, 0, id, json);
}

/* Each of the ends that wait was heard when it came, so without the announcements none of
 * them is needed. */
static void
intake_give_up(struct bus_intake *intake)
{
	uint64_t announcements = 0;

	for (const struct intake_item *item = intake->first; item != NULL;
	     item = item->next)
		announcements += item->ended == 0;
	bus_intake_clear(intake);
	intake_leave_out(intake, announcements);
	intake->handler->ask_again(intake->arg);
}

void
bus_intake_ended(struct bus_intake *intake, uint64_t client_id)
{
	registry_client_ended(intake->reg, client_id);
	if (intake->first == NULL)
		return;
	if (intake->ends >= INTAKE_ENDS_MAX)
		intake_give_up(intake);
	else
		intake_put(intake, client_id, BYTES_NONE, BYTES_NONE);
}

void
bus_intake_run(struct bus_intake *intake)
{
	ms_t until = clock_mono_ms() + INTAKE_SLICE_MS;

	while (intake->first != NULL) {
		struct intake_item *item;

		if (clock_mono_ms() >= until) {
			loop_timer_set(intake->timer, 0);
			return;
		}
		item = intake_take(intake);
		if (item->ended != 0)
			registry_client_ended(intake->reg, item->ended);
		else if (registry_announce(intake->reg, loop_now(intake->loop),
					   bytes_of(item->json, item->len)) < 0)
			intake->bad++;
		intake_item_free(item);
	}
}

void
bus_intake_stats(const struct bus_intake *intake, struct bus_stats *stats)
{
	stats->announcements = intake->heard;
	stats->announcements_bad = intake->bad;
	stats->announcements_bytes = intake->bytes;
}
