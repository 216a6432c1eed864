/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in a simulated cluster. Which of the faults that are allowed are on in a
 * run, and how often each strikes, is drawn from the seed: a run with all at once hides what
 * a run of a few shows. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/mesh-node.h"

enum { FAULT_DRIFT_PPM = 500, FAULT_DRIFT_BAD_PPM = 20000 };

const char *const world_fault_names[WORLD_FAULTS] = {
	[FAULT_RESETS] = "resets",
	[FAULT_SPIKES] = "spikes",
	[FAULT_PARTITIONS] = "partitions",
	[FAULT_ONE_WAY] = "one-way",
	[FAULT_SLOW] = "slow",
	[FAULT_HALF_OPEN] = "half-open",
	[FAULT_PAUSES] = "pauses",
	[FAULT_CRASHES] = "crashes",
	[FAULT_DISK_LOSS] = "disk-loss",
	[FAULT_OLD_DISK] = "old-disk",
	[FAULT_CLONES] = "clones",
	[FAULT_CLOCKS] = "clocks",
	[FAULT_DRIFT] = "drift",
	[FAULT_VERSIONS] = "versions",
	[FAULT_JOINS] = "joins",
	[FAULT_RESTARTS] = "restarts",
	[FAULT_TINY] = "tiny",
};

static struct node *
fault_any(struct world *w)
{
	return &w->nodes[sim_below(&w->sim, (uint64_t)w->nodes_len)];
}

/* Between a tenth of it and all. */
static ms_t
fault_span(struct world *w, ms_t most)
{
	return most / 10 + (ms_t)sim_below(&w->sim, (uint64_t)(most - most / 10));
}

/* ---- the network ---- */

static struct stream *
fault_stream(struct world *w)
{
	if (w->streams_len == 0)
		return NULL;
	return w->streams[sim_below(&w->sim, (uint64_t)w->streams_len)];
}

static void
fault_reset(struct world *w)
{
	struct stream *s = fault_stream(w);

	if (s == NULL)
		return;
	world_trace(w, "the stream between nodes %d and %d is reset",
		    s->end[0].node->index, s->end[1].node->index);
	stream_reset(s);
}

static void
fault_half_open(struct world *w)
{
	struct stream *s = fault_stream(w);

	if (s == NULL)
		return;
	world_trace(w, "the stream between nodes %d and %d is cut silently",
		    s->end[0].node->index, s->end[1].node->index);
	stream_cut(s);
}

static void
fault_spike(struct world *w)
{
	world_delay_more(w, fault_any(w)->index, fault_span(w, 2 * MS_SECOND),
			 fault_span(w, 10 * MS_SECOND));
}

static void
fault_slow(struct world *w)
{
	world_slow_down(
		w, fault_any(w)->index,
		sim_once_in(&w->sim, 2) ? 0 : 1000 + (size_t)sim_below(&w->sim, 50000));
}

/* One that is not in use; NULL when all are. */
static struct cut *
fault_cut(struct world *w)
{
	for (int i = 1; i < MESH_WORLD_CUTS_MAX; i++) {
		struct cut *c = &w->cuts[i];

		if (c->until > w->sim.now)
			continue;
		if (i >= w->cuts_len)
			w->cuts_len = i + 1;
		return c;
	}
	return NULL;
}

static void
fault_heal(struct sim *sim, void *arg, void *data)
{
	struct cut *c = arg;

	(void)data;
	if (c->until <= sim->now)
		c->is_there = c->is_back = false;
}

/* Two sides, one node and the others, or two nodes. */
static void
fault_part(struct world *w, bool is_there, bool is_back)
{
	struct cut *c = fault_cut(w);
	int shape = (int)sim_below(&w->sim, 3), one = fault_any(w)->index;

	if (c == NULL)
		return;
	for (int i = 0; i < w->slots; i++)
		c->side[i] = shape == 0	  ? (uint8_t)(1 + sim_below(&w->sim, 2))
			     : shape == 1 ? (i == one ? 1 : 2)
					  : 0;
	if (shape == 2) {
		c->side[one] = 1;
		c->side[(one + 1 + (int)sim_below(&w->sim, (uint64_t)w->nodes_len)) %
			w->nodes_len] = 2;
	}
	c->is_there = is_there;
	c->is_back = is_back;
	c->until = w->sim.now + fault_span(w, sim_once_in(&w->sim, 3) ? 3 * MS_MINUTE
								      : 20 * MS_SECOND);
	world_trace(w, "a partition%s, until %lld",
		    is_there && is_back ? "" : " of one direction",
		    (long long)(c->until - MS_HOUR));
	sim_at(&w->sim, c->until, fault_heal, c, NULL);
}

static void
fault_partition(struct world *w)
{
	fault_part(w, true, true);
}

static void
fault_one_way(struct world *w)
{
	fault_part(w, true, false);
}

/* ---- nodes ---- */

static void
fault_pause(struct world *w)
{
	struct node *n = fault_any(w);
	ms_t span = 100 + (ms_t)sim_below(&w->sim, 30 * MS_SECOND - 100);

	if (!n->is_running)
		return;
	world_trace(w, "node %d stands still for %lld ms", n->index, (long long)span);
	sim_freeze(&w->sim, &n->process, span);
}

static void
fault_restart(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;

	(void)sim;
	(void)data;
	if (!n->is_running && !n->is_doomed)
		node_start(n);
}

/* It dies, and comes back later; false when it does not run, or stands still. */
static bool
fault_kill(struct world *w, struct node *n, bool is_silent, ms_t most)
{
	if (!n->is_running || n->process.is_frozen)
		return false;
	node_crash(n, is_silent);
	sim_at(&w->sim, w->sim.now + fault_span(w, most), fault_restart, n, NULL);
	return true;
}

static void
fault_crash(struct world *w)
{
	bool is_silent = sim_once_in(&w->sim, 2);

	fault_kill(w, fault_any(w), is_silent, MS_MINUTE);
}

static void
fault_disk_loss(struct world *w)
{
	struct node *n = fault_any(w);

	if (fault_kill(w, n, false, MS_MINUTE)) {
		world_trace(w, "node %d loses its disk", n->index);
		world_lose_disk(w, n->index);
	}
}

static void
fault_old_disk(struct world *w)
{
	struct node *n = fault_any(w);

	if (n->old_disk == NULL || sim_once_in(&w->sim, 2)) {
		free(n->old_disk);
		n->old_disk = mesh_table_copy(&n->table);
		n->old_starts = n->starts;
	} else if (fault_kill(w, n, false, MS_MINUTE)) {
		world_trace(w, "node %d gets an older disk", n->index);
		mesh_table_replace(&n->table, n->old_disk);
		n->starts = n->old_starts;
		n->incarnation = 0;
	}
}

static void
fault_clone_end(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;

	(void)sim;
	(void)data;
	if (n->is_running)
		node_crash(n, false);
}

static void
fault_clone(struct world *w)
{
	struct node *n = fault_any(w), *clone = &w->nodes[w->nodes_len];
	uint32_t *disk;

	while (clone < &w->nodes[w->slots - 1] && clone->is_running)
		clone++;
	if (clone->is_running || !n->is_running)
		return;
	disk = mesh_table_copy(&n->table);
	mesh_table_replace(&clone->table, disk);
	free(disk);
	clone->clone_of = n->index;
	clone->id = n->id;
	clone->is_hidden = n->is_hidden;
	clone->starts = n->starts;
	clone->incarnation = 0;
	world_trace(w, "node %d has a clone, %d", n->index, clone->index);
	node_start(clone);
	sim_at(&w->sim, w->sim.now + fault_span(w, MS_MINUTE), fault_clone_end, clone,
	       NULL);
}

static void
fault_clock(struct world *w)
{
	struct node *n = fault_any(w);
	ms_t span = sim_once_in(&w->sim, 2) ? 10 * MS_SECOND : MS_DAY;

	n->sync.wall_offset = sim_once_in(&w->sim, 2)
				      ? 0
				      : (ms_t)sim_below(&w->sim, (uint64_t)(2 * span)) -
						span;
	world_trace(w, "the clock of node %d is %lld ms off", n->index,
		    (long long)n->sync.wall_offset);
}

/* Quartz is off by tens of ppm, and a virtual machine may be by much more. It goes on for ever,
 * also when all else is whole again. */
static void
faults_set_drift(struct world *w)
{
	for (int i = 0; i < w->slots; i++) {
		int most = sim_once_in(&w->sim, 4) ? FAULT_DRIFT_BAD_PPM
						   : FAULT_DRIFT_PPM;

		world_set_drift(w, i, world_below(w, 2 * most + 1) - most);
	}
}

static void
fault_mass_restart(struct world *w)
{
	bool is_silent = sim_once_in(&w->sim, 3);

	for (int i = 0; i < w->nodes_len; i++)
		if (!sim_once_in(&w->sim, 8))
			fault_kill(w, &w->nodes[i], is_silent, 10 * MS_SECOND);
}

/* A frame that must be understood ends a link, and nothing else. */
static void
fault_version(struct world *w)
{
	struct node *n = fault_any(w);
	struct stream *s = fault_stream(w);
	struct buf frames = BUF_INIT;

	n->is_newer = !n->is_newer;
	if (s == NULL || s->end[0].link == 0 || s->end[1].link == 0 ||
	    !s->end[0].node->is_newer)
		return;
	wire_put_frame(&frames, 201, sim_once_in(&w->sim, 4) ? WIRE_FLAG_MUST : 0,
		       BYTES_NONE);
	stream_send(s->end[0].node, s->end[0].link, WIRE_CLASS_CONTROL, 0,
		    buf_bytes(&frames));
	buf_fini(&frames);
}

/* Those that had not begun yet: with empty disks, all at once. */
static void
fault_join(struct world *w)
{
	for (int i = 0; i < w->nodes_len; i++)
		if (!w->nodes[i].is_running && w->nodes[i].starts == 0)
			node_start(&w->nodes[i]);
}

/* ---- when ---- */

static const struct fault_kind {
	void (*strike)(struct world *w);
	ms_t mean; /* of ten nodes */
} fault_kinds[WORLD_FAULTS] = {
	[FAULT_RESETS] = { fault_reset, 5 * MS_SECOND },
	[FAULT_SPIKES] = { fault_spike, 20 * MS_SECOND },
	[FAULT_PARTITIONS] = { fault_partition, 40 * MS_SECOND },
	[FAULT_ONE_WAY] = { fault_one_way, 40 * MS_SECOND },
	[FAULT_SLOW] = { fault_slow, 20 * MS_SECOND },
	[FAULT_HALF_OPEN] = { fault_half_open, 15 * MS_SECOND },
	[FAULT_PAUSES] = { fault_pause, 15 * MS_SECOND },
	[FAULT_CRASHES] = { fault_crash, 15 * MS_SECOND },
	[FAULT_DISK_LOSS] = { fault_disk_loss, MS_MINUTE },
	[FAULT_OLD_DISK] = { fault_old_disk, 30 * MS_SECOND },
	[FAULT_CLONES] = { fault_clone, 90 * MS_SECOND },
	[FAULT_CLOCKS] = { fault_clock, MS_MINUTE },
	[FAULT_VERSIONS] = { fault_version, 20 * MS_SECOND },
	[FAULT_JOINS] = { fault_join, MS_MINUTE },
	[FAULT_RESTARTS] = { fault_mass_restart, 3 * MS_MINUTE },
};

struct fault_timer {
	enum world_fault fault;
	ms_t mean;
};

static void
fault_wait(struct world *w, const struct fault_timer *t, sim_fn *fn)
{
	sim_at(&w->sim,
	       w->sim.now + 1 + (ms_t)sim_below(&w->sim, (uint64_t)(2 * t->mean)), fn, w,
	       mem_dup(t, sizeof(*t)));
}

static void
fault_strike(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct fault_timer *t = data;

	(void)sim;
	if (w->is_quiet)
		return;
	fault_kinds[t->fault].strike(w);
	fault_wait(w, t, fault_strike);
}

static void
fault_write(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;

	(void)sim;
	if (w->is_quiet)
		return;
	world_write(w, fault_any(w)->index);
	fault_wait(w, data, fault_write);
}

/* A process that gets the processor seldom: it stands still most of the time. */
static void
fault_starve(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	ms_t span = 500 + (ms_t)sim_below(sim, 2500);

	(void)data;
	if (!n->is_starved)
		return;
	sim_freeze(sim, &n->process, span);
	sim_at(sim, sim->now + span + 100, fault_starve, n, NULL);
}

void
world_starve(struct world *w, int node, bool is_starved)
{
	struct node *n = &w->nodes[node];
	bool was_starved = n->is_starved;

	n->is_starved = is_starved;
	if (is_starved && !was_starved)
		fault_starve(&w->sim, n, NULL);
}

/* Streams that end beside all other faults, at a rate that tests set. */
static void
fault_steady_reset(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	uint64_t per_minute = (uint64_t)w->resets_per_minute * (uint64_t)w->streams_len;
	struct fault_timer t = { .mean = MS_MINUTE };

	(void)sim;
	(void)data;
	if (w->resets_per_minute == 0)
		return;
	if (data != NULL)
		fault_reset(w);
	if (per_minute > 0)
		t.mean = (ms_t)(MS_MINUTE * UINT64_C(1000000) / per_minute) + 1;
	fault_wait(w, &t, fault_steady_reset);
}

void
world_set_resets(struct world *w, unsigned per_million)
{
	bool is_on = w->resets_per_minute > 0;

	w->resets_per_minute = per_million;
	if (!is_on)
		fault_steady_reset(&w->sim, w, NULL);
}

void
faults_begin(struct world *w)
{
	unsigned on = 0;

	for (int f = 0; f < WORLD_FAULTS; f++) {
		struct fault_timer t = { .fault = (enum world_fault)f };
		bool is_drawn = sim_once_in(&w->sim, 2);

		if ((w->options.faults & FAULT_BIT(f)) == 0 || !is_drawn)
			continue;
		on |= FAULT_BIT(f);
		world_trace(w, "faults that will be: %s", world_fault_names[f]);
		t.mean = fault_span(w, 4 * fault_kinds[f].mean + 10);
		if (fault_kinds[f].strike != NULL)
			fault_wait(w, &t, fault_strike);
	}
	w->options.faults = on;
	if (on & FAULT_BIT(FAULT_DRIFT))
		faults_set_drift(w);
	w->is_tiny = (on & FAULT_BIT(FAULT_TINY)) != 0;
	if (w->is_tiny) {
		w->commit_ms = 2 * MS_SECOND;
		w->pieces = 1;
	}
	for (int i = 0; i < w->nodes_len; i++) {
		struct node *n = &w->nodes[i];

		if (w->is_tiny)
			n->sync.commit_ms = w->commit_ms;
		if ((on & FAULT_BIT(FAULT_JOINS)) == 0 || i == 0 ||
		    !sim_once_in(&w->sim, 3))
			continue;
		node_crash(n, true);
		world_lose_disk(w, i);
	}
	fault_wait(w, &(struct fault_timer){ .mean = MS_SECOND }, fault_write);
}

void
faults_end(struct world *w)
{
	world_trace(w, "all faults end");
	w->is_quiet = true;
	w->is_tiny = false;
	w->resets_per_minute = 0;
	for (int i = 0; i < MESH_WORLD_CUTS_MAX; i++)
		w->cuts[i].is_there = w->cuts[i].is_back = false;
	for (int i = 0; i < w->slots; i++) {
		struct node *n = &w->nodes[i];

		n->rate = 0;
		n->spike_until = 0;
		n->sync.wall_offset = 0;
		if (i >= w->nodes_len && n->is_running)
			node_crash(n, false);
		else if (i < w->nodes_len && !n->is_running && !n->is_doomed)
			node_start(n);
	}
}
