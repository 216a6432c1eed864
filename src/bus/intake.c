/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/intake.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* Oldest first. */
struct intake_item {
	struct intake_item *next;
	uint64_t ended; /* a connection's number; 0: an announcement */
	size_t len;
	uint8_t json[];
};

struct bus_intake {
	struct loop *loop;
	struct registry *reg;
	void (*warning)(void *arg, const char *text);
	void *arg;
	struct loop_timer *timer;
	struct intake_item *first, **end;
	size_t bytes;
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
	       void (*warning)(void *arg, const char *text), void *arg)
{
	struct bus_intake *intake = mem_calloc(1, sizeof(*intake));

	intake->loop = loop;
	intake->reg = reg;
	intake->warning = warning;
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
	return item;
}

void
bus_intake_clear(struct bus_intake *intake)
{
	while (intake->first != NULL)
		free(intake_take(intake));
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

static void
intake_put(struct bus_intake *intake, uint64_t ended, struct bytes json)
{
	struct intake_item *item = mem_alloc(sizeof(*item) + json.len);

	*item = (struct intake_item){ .ended = ended, .len = json.len };
	if (json.len > 0)
		memcpy(item->json, json.data, json.len);
	*intake->end = item;
	intake->end = &item->next;
	intake->bytes += sizeof(*item) + item->len;
}

static void
intake_leave_out(struct bus_intake *intake)
{
	ms_t now = loop_now(intake->loop);

	intake->bad++;
	if (intake->was_warned && now - intake->warned_ms < INTAKE_WARNING_AGAIN_MS)
		return;
	intake->was_warned = true;
	intake->warned_ms = now;
	intake->warning(intake->arg,
			"workers announce themselves faster than that can be taken in; "
			"some of it is left out until they say it again");
}

void
bus_intake_announce(struct bus_intake *intake, struct bytes json)
{
	intake->heard++;
	/* One that is too long is refused for its length alone: no more is kept of it. */
	if (json.len > REGISTRY_ANNOUNCE_BYTES_MAX)
		intake->bad += registry_announce(intake->reg, loop_now(intake->loop),
						 json) < 0;
	else if (registry_repeats(intake->reg, loop_now(intake->loop), json))
		return;
	else if (intake->bytes + json.len > INTAKE_BYTES_MAX)
		intake_leave_out(intake);
	else
		intake_put(intake, 0, json);
}

void
bus_intake_ended(struct bus_intake *intake, uint64_t client_id)
{
	registry_client_ended(intake->reg, client_id);
	if (intake->first != NULL)
		intake_put(intake, client_id, BYTES_NONE);
}

void
bus_intake_run(struct bus_intake *intake)
{
	ms_t until = clock_mono_ms() + INTAKE_SLICE_MS;

	while (intake->first != NULL) {
		struct intake_item *item;

		if (clock_mono_ms() >= until) {
			loop_timer_set(intake->timer, INTAKE_REST_MS);
			return;
		}
		item = intake_take(intake);
		if (item->ended != 0)
			registry_client_ended(intake->reg, item->ended);
		else if (registry_announce(intake->reg, loop_now(intake->loop),
					   bytes_of(item->json, item->len)) < 0)
			intake->bad++;
		free(item);
	}
}

void
bus_intake_stats(const struct bus_intake *intake, struct bus_stats *stats)
{
	stats->announcements = intake->heard;
	stats->announcements_bad = intake->bad;
	stats->announcements_bytes = intake->bytes;
}
