/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-node.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

ms_t
node_wall(const struct node *n)
{
	return n->world->sim.now + MESH_SYNC_WALL_MS + n->sync.wall_offset;
}

bool
node_counts(const struct node *n)
{
	return n->is_running && n->clone_of < 0;
}

struct node *
world_node_of(struct world *w, const struct id *id)
{
	uint32_t i = get_be32(id->b + ID_BYTES - 4); /* see world_new() */

	if (i >= (uint32_t)w->nodes_len || !id_equal(&w->nodes[i].id, id))
		return NULL;
	return &w->nodes[i];
}

/* Addresses are "n<number>", of the place in the world. */
static struct node *
world_node_at(struct world *w, const char *address)
{
	unsigned long i = strtoul(address + 1, NULL, 10);

	if (address[0] != 'n' || i >= (unsigned long)w->slots) {
		world_fail(w, "a dial to \"%s\", which is no address here", address);
		return &w->nodes[0];
	}
	return &w->nodes[i];
}

void
node_tell_root(struct node *n)
{
	struct mesh_event e = { .type = MESH_EVENT_ROOT,
				.root = n->table.root.sum,
				.rows_len = n->table.root.count,
				.horizon = n->horizon,
				.word = mesh_sync_word(&n->sync) };

	node_step(n, &e);
}

/* ---- dial-backs ---- */

struct probe {
	struct node *to;
	uint32_t life;
	uint64_t number;
};

static void
node_probe(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct probe *p = data;
	struct mesh_event e = { .type = MESH_EVENT_PROBED, .link = p->number };

	(void)sim;
	if (!n->is_running || n->life != p->life ||
	    sim_keep(&n->process, node_probe, arg, p, sizeof(*p)))
		return;
	if (p->to->is_running && !p->to->is_hidden &&
	    !world_is_blocked(n->world, n, p->to) &&
	    !world_is_blocked(n->world, p->to, n))
		e.node = p->to->id;
	node_step(n, &e);
}

static void
node_dial_back(struct node *n, const struct mesh_action *a)
{
	struct world *w = n->world;
	struct probe p = { world_node_at(w, a->address), n->life, a->link };

	sim_at_us(&w->sim, w->sim.now_us + 4 * world_delay(w, n, p.to), node_probe, n,
		  mem_dup(&p, sizeof(p)));
}

static void
node_found_inbound(struct node *n, const struct mesh_action *a)
{
	n->inbound = a->inbound;
	if (n->clone_of < 0)
		node_write(n, (uint32_t)n->index);
}

static void
node_found_homes(struct node *n, const struct mesh_action *a)
{
	struct reader r = reader_of(a->data);
	struct id id;

	n->homes_len = 0;
	for (reader_copy(&r, id.b, ID_BYTES); !r.failed;
	     reader_copy(&r, id.b, ID_BYTES)) {
		const struct node *home = world_node_of(n->world, &id);

		WORLD_CHECK(n->world, home != NULL && n->homes_len < MESH_HOMES_MAX);
		n->homes[n->homes_len++] = (uint16_t)home->index;
	}
	if (n->clone_of < 0)
		node_write(n, (uint32_t)n->index);
}

/* ---- what is wanted ---- */

bool
node_is_to_link(const struct node *a, const struct node *b)
{
	struct mesh_node *n = mesh_node_find(a->mesh, &b->id);

	return n != NULL && mesh_is_wanted(a->mesh, n);
}

/* Exactly once per change. */
static void
node_saw(struct node *n, const struct mesh_action *a)
{
	struct world *w = n->world;
	struct node *other = world_node_of(w, &a->node);

	if (other == NULL) {
		world_fail(w, "node %d is told of a node that never was", n->index);
		return;
	}
	if (n->seen[other->index] == (uint8_t)a->state)
		world_fail(w, "node %d is told twice that node %d is in state %d",
			   n->index, other->index, a->state);
	world_trace(w, "node %d: node %d is in state %d", n->index, other->index,
		    a->state);
	if (a->state == MESH_NODE_DEAD && other->is_running &&
	    !world_is_blocked(w, n, other) && !world_is_blocked(w, other, n))
		w->false_deaths++;
	n->seen[other->index] = (uint8_t)a->state;
	n->seen_at[other->index] = w->sim.now;
	n->deaths += a->state == MESH_NODE_DEAD || a->state == MESH_NODE_UNREACHABLE;
}

static void
node_close(struct node *n, const struct mesh_action *a)
{
	struct stream_end *e = stream_end_find(n, a->link);

	WORLD_CHECK(n->world, a->why[0] != '\0');
	world_trace(n->world, "node %d closes link %llu: %s", n->index,
		    (unsigned long long)a->link, a->why);
	if (e != NULL)
		stream_close(e);
}

static void
node_end_idle(struct node *n, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_IDLE, .link = a->link };

	node_step(n, &e);
}

static void
node_link_up(struct node *n, const struct mesh_action *a)
{
	struct buf frames = BUF_INIT;

	world_trace(n->world, "node %d: link %llu is up%s", n->index,
		    (unsigned long long)a->link, a->is_rowless ? ", without rows" : "");
	mesh_sync_hear(&n->sync, a);
	if (!n->is_newer)
		return;
	/* What a later version may add: a frame that can be skipped. */
	wire_put_frame(&frames, 200, 0, bytes_of("later", 5));
	stream_send(n, a->link, WIRE_CLASS_CONTROL, 0, buf_bytes(&frames));
	buf_fini(&frames);
}

/* A signature that nobody else could make, if this were a secret hash. */
static void
node_hash(const struct id *signer, struct bytes text, uint8_t ret[WIRE_SIGNATURE_BYTES])
{
	for (int i = 0; i < WIRE_SIGNATURE_BYTES / 8; i++)
		put_be64(ret + 8 * i, hash64(text, hash64(bytes_of(signer->b, ID_BYTES),
							  (uint64_t)i)));
}

static void
node_sign(struct node *n, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_SIGNED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	node_hash(&n->id, a->data, signature);
	e.data = bytes_of(signature, sizeof(signature));
	node_step(n, &e);
}

static void
node_verify(struct node *n, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_VERIFIED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	node_hash(&a->node, a->data, signature);
	e.is_valid = bytes_equal(bytes_of(signature, sizeof(signature)), a->signature);
	node_step(n, &e);
}

static void
node_dial(struct node *n, const struct mesh_action *a)
{
	world_trace(n->world, "node %d dials %s as link %llu", n->index, a->address,
		    (unsigned long long)a->link);
	stream_dial(n, world_node_at(n->world, a->address), a->link);
}

static void
node_send(struct node *n, const struct mesh_action *a)
{
	stream_send(n, a->link, a->class, a->key, a->data);
}

static void
node_link_down(struct node *n, const struct mesh_action *a)
{
	world_trace(n->world, "node %d: link %llu is down", n->index,
		    (unsigned long long)a->link);
	mesh_sync_hear(&n->sync, a);
}

static void
node_take_rows(struct node *n, const struct mesh_action *a)
{
	node_deliver(n, a);
	mesh_sync_hear(&n->sync, a);
}

static void
node_compare(struct node *n, const struct mesh_action *a)
{
	mesh_sync_hear(&n->sync, a);
}

static void
node_found_way(struct node *n, const struct mesh_action *a)
{
	n->ways++;
	n->ways_found += a->link != 0;
}

/* Kept, so that the next start is above it. */
static void
node_keep_incarnation(struct node *n, const struct mesh_action *a)
{
	if (n->starts < a->incarnation >> 32)
		n->starts = (uint32_t)(a->incarnation >> 32);
}

typedef void node_act(struct node *n, const struct mesh_action *a);

/* Of others there is nothing to do here. */
static node_act *const node_acts[] = {
	[MESH_ACTION_DIAL] = node_dial,
	[MESH_ACTION_SEND] = node_send,
	[MESH_ACTION_CLOSE] = node_close,
	[MESH_ACTION_LINK_UP] = node_link_up,
	[MESH_ACTION_LINK_DOWN] = node_link_down,
	[MESH_ACTION_NODE_STATE] = node_saw,
	[MESH_ACTION_DELIVER_ROWS] = node_take_rows,
	[MESH_ACTION_DELIVER_REFRESH] = node_deliver_refresh,
	[MESH_ACTION_ROOT_HEARD] = node_compare,
	[MESH_ACTION_WANTED] = node_answer,
	[MESH_ACTION_SYNC] = node_compare,
	[MESH_ACTION_INCARNATION] = node_keep_incarnation,
	[MESH_ACTION_PROBE] = node_dial_back,
	[MESH_ACTION_INBOUND] = node_found_inbound,
	[MESH_ACTION_WAY] = node_found_way,
	[MESH_ACTION_IDLE] = node_end_idle,
	[MESH_ACTION_HOMES] = node_found_homes,
	[MESH_ACTION_SIGN] = node_sign,
	[MESH_ACTION_VERIFY] = node_verify,
};

static void
node_do(struct node *n, const struct mesh_action *a)
{
	struct sim *sim = &n->world->sim;
	uint32_t words[4] = { (uint32_t)n->index, (uint32_t)a->type, (uint32_t)a->link,
			      (uint32_t)a->data.len };
	size_t type = (size_t)a->type;

	sim_note(sim, words, sizeof(words));
	sim_note(sim, a->data.data, a->data.len);
	if (type < sizeof(node_acts) / sizeof(node_acts[0]) && node_acts[type] != NULL)
		node_acts[type](n, a);
}

static void
node_tick(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct mesh_event e = { .type = MESH_EVENT_TICK };

	(void)data;
	if (!n->is_running || n->tick_at == 0 || n->tick_at > sim->now ||
	    sim_keep(&n->process, node_tick, arg, NULL, 0))
		return;
	n->tick_at = 0;
	node_tell_root(n); /* what is settled changes with the time */
	node_step(n, &e);
}

void
node_step(struct node *n, struct mesh_event *e)
{
	struct sim *sim = &n->world->sim;
	struct watched_vote vote = watch_before(n, e);
	struct mesh_action a;
	ms_t due;

	e->wall_ms = node_wall(n);
	mesh_step(n->mesh, sim_clock_now(sim, &n->clock), e);
	watch_after(n, e, &vote);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (mesh_next(n->mesh, &a))
		node_do(n, &a);
	n->is_pumping = false;
	due = sim_clock_when(&n->clock, mesh_due(n->mesh));
	if (n->tick_at == 0 || due < n->tick_at) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, node_tick, n, NULL);
	}
}

void
node_wake(struct node *n)
{
	struct mesh_event e = { .type = MESH_EVENT_TICK };

	if (n->process.is_frozen)
		return; /* it will see */
	n->tick_at = 0;
	node_step(n, &e);
	mesh_sync_wake(&n->sync);
}

/* ---- life ---- */

void
node_start(struct node *n)
{
	struct world *w = n->world;
	uint32_t row = (uint32_t)(n->clone_of < 0 ? n->index : n->clone_of);
	const struct mesh_fact *fact;
	bool has_homes = false;
	struct mesh_config config = {
		.self = n->id,
		.seed = rng_next(&w->sim.rng),
		.incarnation = (uint64_t)++n->starts << 32,
		.retention_ms = MESH_WORLD_RETENTION_MS,
		.rows_per_node = 16384,
		.format = 1,
	};
	const char *seeds[] = { "n0", "n1", "n2" }, *own = config.address;
	struct mesh_event self = { .type = MESH_EVENT_SELF,
				   .addresses = &own,
				   .addresses_len = 1 };
	struct mesh_event e = { .type = MESH_EVENT_SEEDS,
				.addresses = seeds,
				.addresses_len = w->nodes_len > 10 ? 3 : 1 };

	n->life++;
	snprintf(config.address, sizeof(config.address), "n%d", n->index);
	world_trace(w, "node %d starts", n->index);
	n->mesh = mesh_new(&config, sim_clock_now(&w->sim, &n->clock));
	watch_start(n);
	mesh_sync_start(&n->sync, &n->id);
	n->is_running = true;
	n->is_host_down = false;
	n->tick_at = 0;
	memset(n->seen, MESH_NODE_ALIVE, (size_t)w->nodes_len);
	n->inbound = MESH_INBOUND_UNKNOWN;
	n->homes_len = 0;
	if (n->table.versions[row] > 0) {
		fact = &w->rows.rows[row].facts[n->table.versions[row] - 1];
		n->inbound = fact->inbound;
		has_homes = fact->homes_len > 0;
	}
	node_step(n, &self);
	node_tell_root(n);
	/* All know node 0 by its address alone, and some know the others by their rows. */
	node_step(n, &e);
	for (int i = 0; i < w->nodes_len; i++)
		node_learn(n, (uint32_t)i);
	if (n->clone_of < 0 && (n->table.versions[row] == 0 || has_homes))
		node_write(n, row);
}

void
node_crash(struct node *n, bool is_silent)
{
	struct mesh_stats stats;

	world_trace(n->world, "node %d dies%s", n->index, is_silent ? " silently" : "");
	streams_die(n, is_silent);
	mesh_stats(n->mesh, &stats);
	for (int i = 0; i < WIRE_CLASSES; i++)
		n->stats.received_bytes[i] += stats.received_bytes[i];
	mesh_free(n->mesh);
	mesh_sync_stop(&n->sync);
	n->mesh = NULL;
	mesh_table_crash(&n->table);
	n->own_len = n->own_committing = 0;
	n->checked_at = 0;
	n->checking = 0;
	n->is_committing = false;
	n->is_running = false;
	n->is_host_down = is_silent;
	n->process.is_frozen = false; /* the next one is another process */
}

void
node_stats(const struct node *n, struct mesh_stats *ret_stats)
{
	if (n->mesh == NULL) {
		*ret_stats = (struct mesh_stats){ .links_up = 0 };
	} else {
		mesh_stats(n->mesh, ret_stats);
	}
	for (int i = 0; i < WIRE_CLASSES; i++)
		ret_stats->received_bytes[i] += n->stats.received_bytes[i];
}
