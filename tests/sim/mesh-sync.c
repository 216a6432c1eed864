/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-sync.h"

#include <errno.h>

#include "base/mem.h"

static void mesh_sync_step(struct mesh_sync *s, struct sync_event *e);

static uint64_t
mesh_sync_wall(const struct mesh_sync *s)
{
	return (uint64_t)(s->sim->now + MESH_SYNC_WALL_MS + s->wall_offset);
}

static void
mesh_sync_read(struct mesh_sync *s, struct sync_job *job, uint64_t number)
{
	struct sync_table table = mesh_table_view(s->table);
	struct sync_event e = { .type = SYNC_EVENT_READ_DONE,
				.number = number,
				.made = sync_compare(&table, job) };

	mesh_sync_step(s, &e);
}

struct settle {
	uint32_t life;
	uint64_t number;
};

static void
mesh_sync_settled(struct sim *sim, void *arg, void *data)
{
	struct mesh_sync *s = arg;
	struct settle *settle = data;
	struct sync_event e = { .type = SYNC_EVENT_SETTLED, .number = settle->number };

	(void)sim;
	if (s->core != NULL && s->life == settle->life &&
	    !sim_keep(s->process, mesh_sync_settled, arg, settle, sizeof(*settle)))
		mesh_sync_step(s, &e);
}

static void
mesh_sync_settle(struct mesh_sync *s, uint64_t number)
{
	struct settle *settle = mem_alloc(sizeof(*settle));
	us_t at = *s->checked_at > s->sim->now_us ? *s->checked_at : s->sim->now_us;

	*settle = (struct settle){ s->life, number };
	sim_at_us(s->sim, at + 1000 * (us_t)(s->merge_ms + 2 * s->commit_ms + 2),
		  mesh_sync_settled, s, settle);
}

/* All of them have the same horizon: nothing is swept here. */
static void
mesh_sync_refuse_horizon(struct mesh_sync *s, uint64_t number)
{
	struct sync_event e = { .type = SYNC_EVENT_SWEPT,
				.number = number,
				.rc = -ERANGE };

	mesh_sync_step(s, &e);
}

static void
mesh_sync_done(struct mesh_sync *s, const struct sync_result *r)
{
	bool is_moved = r->rows_sent + r->rows_received > 0;

	if ((r->rc == 0) != (r->why[0] == '\0'))
		s->fail(s->arg, "a session that failed says why, and no other");
	s->timeouts += r->rc == -ETIMEDOUT;
	s->moved += is_moved;
	s->compared += !is_moved && r->rc == 0 && r->legs <= 2;
	s->needless += !is_moved && (r->rc != 0 || r->legs > 2);
}

static void
mesh_sync_do(struct mesh_sync *s, const struct sync_action *a)
{
	struct buf frames = BUF_INIT;

	switch (a->type) {
	case SYNC_ACTION_SEND:
		wire_put_sync(&frames, a->data);
		s->send(s->arg, a->link, buf_bytes(&frames));
		break;
	case SYNC_ACTION_SEND_ROWS:
		wire_put_rows(&frames, WIRE_SYNC_ROWS, a->rows);
		s->send(s->arg, a->link, buf_bytes(&frames));
		break;
	case SYNC_ACTION_READ:
		mesh_sync_read(s, a->job, a->number);
		break;
	case SYNC_ACTION_SETTLE:
		mesh_sync_settle(s, a->number);
		break;
	case SYNC_ACTION_HORIZON:
		mesh_sync_refuse_horizon(s, a->number);
		break;
	case SYNC_ACTION_REJECT:
		s->reject(s->arg, a->link, a->why);
		break;
	case SYNC_ACTION_DONE:
		mesh_sync_done(s, a->result);
		break;
	}
	buf_fini(&frames);
}

static void
mesh_sync_tick(struct sim *sim, void *arg, void *data)
{
	struct mesh_sync *s = arg;
	struct sync_event e = { .type = SYNC_EVENT_TICK };

	(void)data;
	if (s->core == NULL || s->tick_at == 0 || s->tick_at > sim->now ||
	    sim_keep(s->process, mesh_sync_tick, arg, NULL, 0))
		return;
	s->tick_at = 0;
	mesh_sync_step(s, &e);
}

static void
mesh_sync_step(struct mesh_sync *s, struct sync_event *e)
{
	struct sync_action a;
	ms_t due;

	e->wall_ms = mesh_sync_wall(s);
	sync_step(s->core, sim_clock_now(s->sim, s->clock), e);
	if (s->is_pumping)
		return;
	s->is_pumping = true;
	while (sync_next(s->core, &a))
		mesh_sync_do(s, &a);
	s->is_pumping = false;
	due = sim_clock_when(s->clock, sync_due(s->core));
	if (s->tick_at == 0 || due < s->tick_at) {
		s->tick_at = due > s->sim->now ? due : s->sim->now;
		sim_at(s->sim, s->tick_at, mesh_sync_tick, s, NULL);
	}
}

void
mesh_sync_start(struct mesh_sync *s, const struct id *self)
{
	struct sync_config config = { .self = *self,
				      .seed = rng_next(&s->sim->rng),
				      .interval_ms = s->interval_ms };

	s->core = sync_new(&config, sim_clock_now(s->sim, s->clock));
	s->life++;
	s->tick_at = 0;
}

void
mesh_sync_stop(struct mesh_sync *s)
{
	sync_free(s->core);
	s->core = NULL;
}

void
mesh_sync_wake(struct mesh_sync *s)
{
	struct sync_event e = { .type = SYNC_EVENT_TICK };

	s->tick_at = 0;
	mesh_sync_step(s, &e);
}

uint64_t
mesh_sync_word(const struct mesh_sync *s)
{
	uint64_t epoch = sync_epoch(mesh_sync_wall(s));
	struct sync_table table = mesh_table_view(s->table);
	struct sync_digest settled;

	table.root(table.arg, epoch, &settled);
	return sync_word(settled.sum, epoch);
}

void
mesh_sync_hear(struct mesh_sync *s, const struct mesh_action *a)
{
	struct sync_event e = { .type = SYNC_EVENT_LINK_DOWN,
				.link = a->link,
				.node = a->node };
	struct sync_table table = mesh_table_view(s->table);
	struct reader r = reader_of(a->rows);
	uint32_t row, version;

	switch (a->type) {
	case MESH_ACTION_LINK_UP:
		if (a->is_rowless)
			return;
		e.type = SYNC_EVENT_LINK_UP;
		e.theirs = (struct sync_digest){ a->root, a->rows_len };
		e.ours = (struct sync_digest){ a->our_root, a->our_rows_len };
		break;
	case MESH_ACTION_ROOT_HEARD:
		if (!sync_word_epoch(a->word, sync_epoch(mesh_sync_wall(s)), &e.epoch))
			return;
		e.type = SYNC_EVENT_ROOT;
		table.root(table.arg, e.epoch, &e.ours);
		e.ours.sum.hi &= SYNC_WORD_ROOT;
		e.theirs.sum.hi = a->word & SYNC_WORD_ROOT;
		break;
	case MESH_ACTION_SYNC:
		e.type = SYNC_EVENT_FRAME;
		e.data = a->frame.payload;
		break;
	case MESH_ACTION_DELIVER_ROWS:
		if (!a->is_sync)
			return;
		e.type = SYNC_EVENT_ROWS;
		e.bytes = r.len;
		for (; r.len > 0; e.len++)
			if (!mesh_row_read(s->table->rows, &r, &row, &version))
				return; /* whoever merges it says so */
		break;
	default:
		break;
	}
	mesh_sync_step(s, &e);
}
