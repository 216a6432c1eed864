/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/lease.h"
#include "sim/mesh-node.h"

void
world_fail(struct world *w, const char *fmt, ...)
{
	char why[WORLD_WHY_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (w->failures == 0)
		memcpy(w->first_failure, why, sizeof(why));
	if (w->failures++ >= MESH_WORLD_FAILURES_SHOWN || w->options.is_only_watched)
		return;
	printf("# seed %llu, %d nodes, at %lld ms: %s\n",
	       (unsigned long long)w->options.seed, w->nodes_len,
	       (long long)(w->sim.now - MS_HOUR), why);
}

void
world_trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->options.is_traced)
		return;
	printf("%lld.%03lld ", (long long)(w->sim.now - MS_HOUR),
	       (long long)(w->sim.now_us % 1000));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- the network ---- */

const char *const world_net_names[NET_WAN + 1] = { [NET_ANY] = "any",
						   [NET_LOOPBACK] = "loopback",
						   [NET_LAN] = "lan",
						   [NET_WAN] = "wan" };

us_t
world_delay(struct world *w, const struct node *from, const struct node *to)
{
	us_t span = w->delay_max - w->delay_min, at = w->delay_min;

	if (w->options.net == NET_WAN && from->region != to->region) {
		at = w->region_delay[from->region][to->region];
		span = at / 10;
	}
	at += (us_t)sim_below(&w->sim, (uint64_t)span + 1);
	if (from->spike_until > w->sim.now_us)
		at += (us_t)sim_below(&w->sim, (uint64_t)from->spike * 1000);
	if (to->spike_until > w->sim.now_us)
		at += (us_t)sim_below(&w->sim, (uint64_t)to->spike * 1000);
	return at;
}

bool
world_is_blocked(const struct world *w, const struct node *from, const struct node *to)
{
	for (int i = 0; i < w->cuts_len; i++) {
		const struct cut *c = &w->cuts[i];
		int a = c->side[from->index], b = c->side[to->index];

		if ((c->is_there && a == 1 && b == 2) || (c->is_back && a == 2 && b == 1))
			return true;
	}
	return false;
}

static void
world_set_net(struct world *w)
{
	struct sim *sim = &w->sim;

	switch (w->options.net) {
	case NET_ANY:
		w->delay_min = 1000;
		w->delay_max = 1000 * (1 + (us_t)sim_below(sim, 200));
		w->pieces = 4;
		w->commit_ms = 10;
		break;
	case NET_LOOPBACK:
		w->delay_min = 20;
		w->delay_max = 100;
		w->commit_ms = 2;
		break;
	case NET_LAN:
	case NET_WAN:
		w->delay_min = 100;
		w->delay_max = 500;
		w->commit_ms = 5;
		break;
	}
	for (int a = 0; a < MESH_WORLD_REGIONS; a++)
		for (int b = 0; b < a; b++)
			w->region_delay[a][b] = w->region_delay[b][a] = 10000 +
									(us_t)sim_below(
										sim,
										140000);
}

/* ---- life ---- */

static void
node_fail(void *arg, const char *why)
{
	struct node *n = arg;

	world_fail(n->world, "node %d: %s", n->index, why);
}

static void
world_add_node(struct world *w, int i)
{
	struct node *n = &w->nodes[i];

	n->world = w;
	n->index = i;
	n->clone_of = -1;
	n->region = (int)sim_below(&w->sim, MESH_WORLD_REGIONS);
	n->is_hidden = i < w->nodes_len && i >= w->nodes_len - w->options.hidden;
	for (int k = 0; k < ID_BYTES; k++)
		n->id.b[k] = (uint8_t)rng_next(&w->sim.rng);
	/* So that a node is found by its id. */
	put_be32(n->id.b + ID_BYTES - 4, (uint32_t)i);
	n->clock.at = (us_t)sim_below(&w->sim, (uint64_t)MS_DAY) * 1000;
	n->seen = mem_calloc((size_t)w->nodes_len, sizeof(n->seen[0]));
	n->seen_at = mem_calloc((size_t)w->nodes_len, sizeof(n->seen_at[0]));
	mesh_table_init(&n->table, &w->rows);
	n->sync = (struct mesh_sync){
		.sim = &w->sim,
		.process = &n->process,
		.clock = &n->clock,
		.table = &n->table,
		.checked_at = &n->checked_at,
		.merge_ms = w->options.net == NET_LOOPBACK ? 0
			    : w->options.net == NET_ANY	   ? w->delay_max / 1000
							   : 1,
		.commit_ms = w->commit_ms,
		.interval_ms = w->options.interval_ms == 0  ? MS_MINUTE
			       : w->options.interval_ms < 0 ? 0
							    : w->options.interval_ms,
		.send = node_send_sync,
		.reject = node_reject,
		.fail = node_fail,
		.arg = n,
	};
}

/* The rows that there are at the beginning, and who holds them. */
static void
world_begin_rows(struct world *w)
{
	struct mesh_fact fact = { .stamp = w->sim.now + MESH_SYNC_WALL_MS - MS_MINUTE };
	bool is_full = w->options.begin == BEGIN_FULL;

	for (int i = 0; i < w->nodes_len; i++) {
		w->rows.owners[i] = &w->nodes[i].id;
		mesh_rows_add(&w->rows, i, MESH_NODE_VALUE_BYTES);
	}
	for (int i = 0; i < w->options.rows; i++)
		mesh_rows_add(&w->rows, i % w->nodes_len, MESH_RECORD_BYTES);
	for (uint32_t row = 0; row < w->rows.len; row++) {
		bool is_node_row = row < (uint32_t)w->nodes_len;
		int owner = w->rows.rows[row].owner;

		if (is_full && is_node_row)
			fact.inbound = w->nodes[owner].is_hidden ? MESH_INBOUND_NO
								 : MESH_INBOUND_YES;
		mesh_rows_write(&w->rows, row, &fact);
		w->rows.rows[row].durable = 1;
		for (int i = 0; i < w->nodes_len; i++)
			if (is_full || owner == i ||
			    (is_node_row && !sim_once_in(&w->sim, 4)))
				mesh_table_set_back(&w->nodes[i].table, row, 1);
		fact.inbound = MESH_INBOUND_UNKNOWN;
	}
}

struct world *
world_open(const struct world_options *options)
{
	struct world *w = mem_calloc(1, sizeof(*w));
	int added = options->added > 0 ? options->added : MESH_WORLD_ROWS_ADDED;

	assert(options->nodes > 0 && options->nodes <= MESH_WORLD_NODES_MAX &&
	       options->hidden < options->nodes);
	sim_init(&w->sim, options->seed);
	w->options = *options;
	w->nodes_len = options->nodes;
	w->slots = options->nodes + MESH_WORLD_CLONES_MAX;
	world_set_net(w);
	w->nodes = mem_calloc((size_t)w->slots, sizeof(w->nodes[0]));
	w->latencies = mem_calloc(MESH_WORLD_LATENCIES_MAX, sizeof(w->latencies[0]));
	mesh_rows_init(&w->rows, (uint32_t)options->nodes,
		       (uint32_t)(options->nodes + options->rows + added));
	for (int i = 0; i < MESH_WORLD_CUTS_MAX; i++)
		w->cuts[i].side = mem_calloc((size_t)w->slots, 1);
	for (int i = 0; i < w->slots; i++)
		world_add_node(w, i);
	world_begin_rows(w);
	for (int i = 0; i < w->nodes_len; i++)
		node_start(&w->nodes[i]);
	return w;
}

void
world_free(struct world *w)
{
	streams_free(w);
	for (int i = 0; i < w->slots; i++) {
		struct node *n = &w->nodes[i];

		sim_process_fini(&n->process);
		mesh_free(n->mesh);
		mesh_sync_stop(&n->sync);
		mesh_table_fini(&n->table);
		watch_fini(n);
		free(n->seen);
		free(n->seen_at);
		free(n->own);
		free(n->old_disk);
	}
	for (int i = 0; i < MESH_WORLD_CUTS_MAX; i++)
		free(w->cuts[i].side);
	mesh_rows_fini(&w->rows);
	sim_fini(&w->sim);
	free(w->latencies);
	free(w->nodes);
	free(w);
}

struct world *
world_calm(const struct world_options *options)
{
	struct world *w = world_open(options);

	if (world_until_whole(w, 10 * MS_MINUTE) < 0)
		world_check(w);
	sim_run(&w->sim, w->sim.now + (ms_t)sim_below(&w->sim, 2 * MS_MINUTE));
	for (int i = 0; i < w->nodes_len; i++)
		w->nodes[i].deaths = 0;
	return w;
}

/* Long enough after it that links which are not needed any more have gone, that rows stamped in
 * the future are settled everywhere, and that homes which could not be reached are homes again
 * (MESH_BUSY_MS). */
static void
world_look_at_idle(struct world *w, double *ret_rate)
{
	struct world_bytes since;

	*ret_rate = 0;
	if (w->options.idle_max <= 0 || w->failures > 0)
		return;
	sim_run(&w->sim, w->sim.now + MESH_BUSY_MS + 2 * MS_MINUTE);
	world_bytes(w, -1, &since);
	sim_run(&w->sim, w->sim.now + MS_MINUTE);
	*ret_rate = world_rate(w, &since);
	/* Where clocks were wrong by up to a day tables are compared in vain until all stamps are
	 * of the past. */
	if (*ret_rate > w->options.idle_max &&
	    !((w->options.faults & FAULT_BIT(FAULT_CLOCKS)) != 0 &&
	      world_sent(w, &since, 1u << WIRE_CLASS_SYNC) > 0))
		world_fail(w, "idle, %.1f bytes a second go in and out of a node",
			   *ret_rate);
	for (int c = 0; c < WIRE_CLASSES && w->options.is_traced; c++)
		world_trace(w, "idle: %llu bytes of class %s",
			    (unsigned long long)world_sent(w, &since, 1u << c),
			    wire_class_name((enum wire_class)c));
	world_check(w);
}

static void
world_heal(struct world *w, struct world_result *ret_result)
{
	ms_t since = w->sim.now;

	faults_end(w);
	ret_result->healed_ms = world_until_whole(w, MESH_WORLD_BOUND_MS);
	world_trace(w, "whole after %lld ms", (long long)(w->sim.now - since));
	world_check(w);
	world_look_at_idle(w, &ret_result->idle);
}

void
world_run(const struct world_options *options, ms_t span, struct world_result *ret_result)
{
	struct world *w = world_open(options);

	*ret_result = (struct world_result){ .healed_ms = -1 };
	faults_begin(w);
	ret_result->faults = w->options.faults;
	sim_run(&w->sim, w->sim.now + span);
	if (!options->is_only_watched)
		world_heal(w, ret_result);
	ret_result->trace = w->sim.trace;
	ret_result->events = w->sim.events;
	ret_result->failures = w->failures;
	ret_result->watched = w->watched;
	memcpy(ret_result->first_failure, w->first_failure, sizeof(w->first_failure));
	world_free(w);
}

/* ---- step by step ---- */

void
world_go_on(struct world *w, ms_t span)
{
	sim_run(&w->sim, w->sim.now + span);
}

ms_t
world_now(const struct world *w)
{
	return w->sim.now;
}

int
world_below(struct world *w, int n)
{
	return (int)sim_below(&w->sim, (uint64_t)n);
}

uint64_t
world_events(const struct world *w)
{
	return w->sim.events;
}

struct world_watched
world_watched(const struct world *w)
{
	return w->watched;
}

int
world_failures(const struct world *w)
{
	return w->failures;
}

void
world_freeze(struct world *w, int node, ms_t span)
{
	sim_freeze(&w->sim, &w->nodes[node].process, span);
}

void
world_crash(struct world *w, int node, bool is_silent)
{
	node_crash(&w->nodes[node], is_silent);
}

void
world_start(struct world *w, int node)
{
	node_start(&w->nodes[node]);
}

void
world_lose_disk(struct world *w, int node)
{
	struct node *n = &w->nodes[node];

	assert(!n->is_running);
	mesh_table_replace(&n->table, NULL);
	n->starts = 0;
	n->incarnation = 0;
}

void
world_doom(struct world *w, int node)
{
	w->nodes[node].is_doomed = true;
}

void
world_split(struct world *w, int left, bool is_cut)
{
	struct cut *c = &w->cuts[0];

	if (w->cuts_len == 0)
		w->cuts_len = 1;
	c->is_there = c->is_back = is_cut;
	for (int i = 0; i < w->slots; i++)
		c->side[i] = i < left ? 1 : 2;
}

void
world_reset(struct world *w, int node)
{
	struct stream_end *e = w->nodes[node].ends;
	int left = world_below(w, (int)HASH_COUNT(w->nodes[node].ends) + 1);

	for (; e != NULL && left > 1; left--)
		e = e->hh.next;
	if (e != NULL)
		stream_reset(e->stream);
}

void
world_slow_down(struct world *w, int node, size_t rate)
{
	w->nodes[node].rate = rate;
}

void
world_set_clock(struct world *w, int node, ms_t offset)
{
	w->nodes[node].sync.wall_offset = offset;
}

void
world_set_drift(struct world *w, int node, int ppm)
{
	struct node *n = &w->nodes[node];

	sim_clock_set_rate(&w->sim, &n->clock, ppm);
	if (n->is_running)
		node_wake(n);
}

void
world_delay_more(struct world *w, int node, ms_t most, ms_t span)
{
	w->nodes[node].spike = most;
	w->nodes[node].spike_until = w->sim.now_us + span * 1000;
}

void
world_write(struct world *w, int node)
{
	struct node *n = &w->nodes[node];
	uint32_t row;

	if (!n->is_running || n->process.is_frozen)
		return;
	/* Every 12th row is longer than a frame. */
	if (w->rows.len < w->rows.max && sim_once_in(&w->sim, 2)) {
		row = mesh_rows_add(&w->rows, node,
				    w->rows.len % 12 == 11 ? 100000 : w->rows.len % 700);
	} else {
		row = (uint32_t)sim_below(&w->sim, w->rows.len);
		if (w->rows.rows[row].owner != node)
			row = (uint32_t)node;
	}
	if (row == (uint32_t)node && sim_once_in(&w->sim, 2))
		node_refresh(n);
	else
		node_write(n, row);
}

void
world_write_node_row(struct world *w, int node)
{
	node_write(&w->nodes[node], (uint32_t)node);
}

void
world_refresh(struct world *w, int node)
{
	node_refresh(&w->nodes[node]);
}

struct world_refreshes
world_refreshes(const struct world *w)
{
	return w->refreshes;
}

static uint32_t
world_first_row(const struct world *w, int node)
{
	for (uint32_t row = (uint32_t)w->nodes_len; row < w->rows.len; row++)
		if (w->rows.rows[row].owner == node)
			return row;
	return w->rows.len;
}

void
world_rewrite(struct world *w, int node, size_t len)
{
	uint32_t row = world_first_row(w, node);

	if (row == w->rows.len)
		row = mesh_rows_add(&w->rows, node, len);
	node_write(&w->nodes[node], row);
}

size_t
world_rewritten_bytes(const struct world *w, int node)
{
	return mesh_row_len(&w->rows, world_first_row(w, node));
}

int
world_lose_node_row(struct world *w, int node)
{
	int owner = (node + 1 + world_below(w, w->nodes_len - 1)) % w->nodes_len;

	mesh_table_set_back(&w->nodes[node].table, (uint32_t)owner, 0);
	node_tell_root(&w->nodes[node]);
	return owner;
}

void
world_age_node_row(struct world *w, int node, int owner)
{
	struct mesh_table *t = &w->nodes[node].table;

	assert(t->versions[owner] > 1);
	mesh_table_set_back(t, (uint32_t)owner, t->versions[owner] - 1);
	node_tell_root(&w->nodes[node]);
}

void
world_advance_horizon(struct world *w, int node, ms_t span)
{
	struct node *n = &w->nodes[node];

	n->horizon = (uint64_t)(w->sim.now + MESH_SYNC_WALL_MS + LEASE_AHEAD_MS -
				MESH_WORLD_RETENTION_MS + span);
	node_tell_root(n);
}

bool
world_is_running(const struct world *w, int node)
{
	return w->nodes[node].is_running;
}

int
world_look_for_ways(struct world *w)
{
	struct mesh_event e = { .type = MESH_EVENT_WAY };
	int far = 0;

	for (int i = 0; i < w->nodes_len; i++)
		for (int k = 0; k < w->nodes_len; k++) {
			uint64_t link;

			if (i == k || !w->nodes[i].is_hidden || !w->nodes[k].is_hidden)
				continue;
			e.node = w->nodes[k].id;
			far += mesh_relays_to(w->nodes[i].mesh, &e.node, &link, 1) == 0;
			node_step(&w->nodes[i], &e);
		}
	return far;
}

int
world_lost_ways(const struct world *w)
{
	int lost = 0, looked = 0;

	for (int i = 0; i < w->nodes_len; i++) {
		lost += w->nodes[i].ways - w->nodes[i].ways_found;
		looked += w->nodes[i].ways;
	}
	return looked > 0 ? lost : -1;
}
