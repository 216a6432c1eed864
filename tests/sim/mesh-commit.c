/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated node's rows, in the order of src/daemon/rows.c. From a link: read, check (a
 * little while), is the owner's node row held, merge, hand on, commit. Of its own: commit,
 * merge, hand on. A crash loses what was not committed, and so nobody ever holds a row of
 * a node that it does not know itself. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/mesh-node.h"
#include "sim/mesh-refresh.h"

/* How a row came here. */
struct arrival {
	uint64_t link; /* 0: it is our own */
	bool is_paged; /* a joining node read it page by page: others have it long ago */
	bool is_refresh;
};

/* A row that changed here, to the core. */
static void
node_hand_on(struct node *n, uint64_t link, uint32_t row, bool is_refresh)
{
	struct buf encoded = BUF_INIT, refresh = BUF_INIT;
	struct mesh_event e = { .type = MESH_EVENT_ROW_CHANGED,
				.link = link,
				.key_hash = hash64(bytes_of(&row, sizeof(row)), 1) };

	mesh_row_put(n->table.rows, &encoded, row, n->table.versions[row]);
	e.rows = buf_bytes(&encoded);
	if (is_refresh)
		mesh_refresh_put(n->table.rows, &refresh, row, n->table.versions[row]);
	e.refresh = buf_bytes(&refresh);
	node_step(n, &e);
	buf_fini(&encoded);
	buf_fini(&refresh);
}

/* How long it took until the last of all had it. */
static void
world_saw(struct world *w, uint32_t row, uint32_t version)
{
	struct mesh_row *r = &w->rows.rows[row];
	uint32_t running = 0;

	if (!w->is_measuring || version != r->version)
		return;
	r->seen++;
	for (int i = 0; i < w->nodes_len; i++)
		running += node_counts(&w->nodes[i]);
	if (r->seen == running && w->latencies_len < MESH_WORLD_LATENCIES_MAX)
		w->latencies[w->latencies_len++] = w->sim.now_us - r->written_us;
}

/* Whether a row of our own may go as a refresh what was held before says; of another one it is
 * what came as such. */
static void
node_merge(struct node *n, const struct arrival *by, uint32_t row, uint32_t version)
{
	uint32_t before = n->table.versions[row];
	bool is_refresh = by->is_refresh;
	struct mesh_held held;

	if (!mesh_table_merge(&n->table, row, version, node_wall(n), by->link == 0))
		return;
	if (node_counts(n))
		world_saw(n->world, row, version);
	if (row < n->table.rows->nodes)
		node_learn(n, row);
	if (by->link == 0 && row < n->table.rows->nodes)
		is_refresh = mesh_refresh_is_one(n->table.rows, row, before, version);
	if (!by->is_paged)
		node_hand_on(n, by->link, row, is_refresh);
	node_tell_root(n);
	/* What waited for it. */
	while (row < n->table.rows->nodes && n->is_running &&
	       mesh_table_take_aside(&n->table, n->table.rows->rows[row].owner, &held))
		node_merge(n, by, held.row, held.version);
}

void
node_learn(struct node *n, uint32_t row)
{
	const struct mesh_row *r = &n->table.rows->rows[row];
	uint32_t version = n->table.versions[row];
	const struct mesh_fact *fact;
	struct id homes[MESH_HOMES_MAX];
	char address[16];
	const char *addresses[] = { address };
	struct mesh_event e = { .type = MESH_EVENT_NODE,
				.node = *n->table.rows->owners[r->owner],
				.addresses = addresses,
				.addresses_len = 1,
				.homes = homes };

	if (version == 0)
		return;
	fact = &r->facts[version - 1];
	snprintf(address, sizeof(address), "n%d", r->owner);
	e.inbound = fact->inbound;
	e.homes_len = fact->homes_len;
	for (int i = 0; i < e.homes_len; i++)
		homes[i] = *n->table.rows->owners[fact->homes[i]];
	if (r->owner != n->index)
		node_step(n, &e);
}

/* ---- commits ---- */

struct commit {
	uint32_t life;
};

static void
node_committed(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	const struct commit *c = data;
	int own = n->own_committing;

	(void)sim;
	if (!n->is_running || n->life != c->life ||
	    sim_keep(&n->process, node_committed, arg, data, sizeof(*c)))
		return;
	mesh_table_commit_end(&n->table);
	n->is_committing = false;
	n->own_committing = 0;
	for (int i = 0; i < own && n->is_running; i++) {
		struct own *o = &n->own[i];
		struct mesh_row *r = &n->table.rows->rows[o->row];

		if (o->version > r->durable)
			r->durable = o->version;
		node_merge(n, &(struct arrival){ .link = 0 }, o->row, o->version);
	}
	n->own_len -= own;
	if (n->own_len > 0)
		memmove(n->own, n->own + own, (size_t)n->own_len * sizeof(n->own[0]));
	node_commit(n);
}

/* A group commit of all there is; what comes meanwhile goes into the next one. */
void
node_commit(struct node *n)
{
	struct world *w = n->world;
	us_t span = 100 + (us_t)sim_below(&w->sim, (uint64_t)w->commit_ms * 1000 + 1);
	struct commit c = { n->life };

	if (n->is_committing || (n->own_len == 0 && n->table.undo_len == 0))
		return;
	n->is_committing = true;
	n->own_committing = n->own_len;
	mesh_table_commit_begin(&n->table);
	sim_at_us(&w->sim, w->sim.now_us + span, node_committed, n,
		  mem_dup(&c, sizeof(c)));
}

static void
node_write_fact(struct node *n, uint32_t row, bool is_refresh)
{
	struct world *w = n->world;
	struct mesh_row *r = &w->rows.rows[row];
	struct mesh_fact fact = { .stamp = node_wall(n),
				  .is_refresh = is_refresh,
				  .inbound = n->inbound,
				  .homes_len = n->homes_len };

	assert(r->owner == n->index);
	if (!n->is_running || n->process.is_frozen)
		return;
	if (fact.stamp <= n->stamp)
		fact.stamp = n->stamp + 1; /* the owner's clock made monotone */
	n->stamp = fact.stamp;
	memcpy(fact.homes, n->homes, sizeof(fact.homes));
	if (n->own_len == n->own_cap) {
		n->own_cap = 2 * n->own_cap + 4;
		n->own = mem_realloc(n->own, (size_t)n->own_cap, sizeof(n->own[0]));
	}
	n->own[n->own_len++] = (struct own){ row, mesh_rows_write(&w->rows, row, &fact) };
	r->written_us = w->sim.now_us;
	node_commit(n);
}

void
node_write(struct node *n, uint32_t row)
{
	node_write_fact(n, row, false);
}

void
node_refresh(struct node *n)
{
	node_write_fact(n, (uint32_t)n->index, true);
}

/* ---- from links ---- */

/* What arrived is merged a little later, as by threads that check signatures. */
struct merge {
	uint32_t life;
	struct arrival by;
	size_t len;
	uint8_t rows[];
};

static void
node_want(struct node *n, uint64_t link, int owner)
{
	const struct id *id = n->table.rows->owners[owner];
	struct mesh_event e = { .type = MESH_EVENT_WANT,
				.link = link,
				.data = bytes_of(id->b, ID_BYTES) };

	node_step(n, &e);
}

static void
node_take(struct node *n, const struct arrival *by, uint32_t row, uint32_t version)
{
	int owner = n->table.rows->rows[row].owner;

	if (n->table.versions[row] >= version) {
		return;
	} else if (mesh_table_can_merge(&n->table, row)) {
		node_merge(n, by, row, version);
	} else {
		mesh_table_put_aside(&n->table, row, version);
		node_want(n, by->link, owner);
	}
}

static void
node_merge_late(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct merge *m = data;
	struct reader r = reader_of(bytes_of(m->rows, m->len));
	uint32_t row, version;

	(void)sim;
	if (!n->is_running || n->life != m->life)
		return;
	if (sim_keep(&n->process, node_merge_late, arg, m, sizeof(*m) + m->len))
		return;
	n->checking -= m->len;
	while (r.len > 0 && n->is_running) {
		if (!mesh_row_read(n->table.rows, &r, &row, &version)) {
			world_fail(n->world, "node %d got a row that cannot be read",
				   n->index);
			return;
		}
		node_take(n, &m->by, row, version);
	}
	if (n->is_running)
		node_commit(n);
}

/* Those that are new are checked one after the other, and take some time on top of it. */
void
node_deliver(struct node *n, const struct mesh_action *a)
{
	struct sim *sim = &n->world->sim;
	struct reader r = reader_of(a->rows);
	uint32_t row, version;
	struct merge *m;

	if (n->checking + a->rows.len > MESH_WORLD_CHECK_BYTES)
		return; /* they wait for the next comparison */
	n->checking += a->rows.len;
	m = mem_alloc(sizeof(*m) + a->rows.len);
	m->life = n->life;
	m->by = (struct arrival){ .link = a->link,
				  .is_paged = sync_is_paging(n->sync.core, a->link) };
	m->len = a->rows.len;
	memcpy(m->rows, a->rows.data, a->rows.len);
	if (n->checked_at < sim->now_us)
		n->checked_at = sim->now_us;
	while (r.len > 0 && mesh_row_read(n->table.rows, &r, &row, &version))
		if (n->table.versions[row] < version)
			n->checked_at += MESH_WORLD_CHECK_US;
	sim_at_us(sim,
		  n->checked_at +
			  (us_t)sim_below(sim, (uint64_t)n->sync.merge_ms * 1000 + 1),
		  node_merge_late, n, m);
}

/* ---- refreshes ---- */

struct refreshed {
	uint32_t life;
	uint64_t link;
	struct mesh_refresh refresh;
};

/* Its signature is good, or not: then the value is another than was held. */
static void
node_refreshed(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	const struct refreshed *r = data;
	struct arrival by = { .link = r->link, .is_refresh = true };

	(void)sim;
	if (!n->is_running || n->life != r->life ||
	    sim_keep(&n->process, node_refreshed, arg, r, sizeof(*r)))
		return;
	if (r->refresh.found != MESH_REFRESH_GOOD) {
		node_want(n, r->link, (int)r->refresh.row);
		n->world->refreshes.pulled++;
		return;
	}
	n->world->refreshes.merged++;
	node_take(n, &by, r->refresh.row, r->refresh.version);
	if (n->is_running)
		node_commit(n);
}

void
node_deliver_refresh(struct node *n, const struct mesh_action *a)
{
	struct sim *sim = &n->world->sim;
	struct refreshed r = { .life = n->life, .link = a->link };

	if (!mesh_refresh_read(&n->table, a->data, &r.refresh)) {
		world_fail(n->world, "node %d got a REFRESH that cannot be read",
			   n->index);
		return;
	}
	if (r.refresh.found == MESH_REFRESH_OLD)
		return;
	if (r.refresh.found == MESH_REFRESH_WANTED) {
		node_want(n, a->link, (int)r.refresh.row);
		n->world->refreshes.pulled++;
		return;
	}
	if (n->checked_at < sim->now_us)
		n->checked_at = sim->now_us;
	n->checked_at += MESH_WORLD_CHECK_US;
	sim_at_us(sim,
		  n->checked_at +
			  (us_t)sim_below(sim, (uint64_t)n->sync.merge_ms * 1000 + 1),
		  node_refreshed, n, mem_dup(&r, sizeof(r)));
}

/* ---- out ---- */

void
node_send_sync(void *arg, uint64_t link, struct bytes frames)
{
	stream_send(arg, link, WIRE_CLASS_SYNC, 0, frames);
}

void
node_reject(void *arg, uint64_t link, const char *why)
{
	struct node *n = arg;
	struct mesh_event e = { .type = MESH_EVENT_LINK_REJECT,
				.link = link,
				.why = why };

	world_fail(n->world, "node %d rejects an honest one: %s", n->index, why);
	node_step(n, &e);
}

/* Those of the node rows asked for that are held. */
void
node_answer(struct node *n, const struct mesh_action *a)
{
	struct reader r = reader_of(a->data);
	struct buf rows = BUF_INIT, frames = BUF_INIT;
	struct id id;

	for (reader_copy(&r, id.b, ID_BYTES); !r.failed;
	     reader_copy(&r, id.b, ID_BYTES)) {
		struct node *owner = world_node_of(n->world, &id);
		uint32_t row = owner != NULL ? (uint32_t)owner->index : 0;

		if (owner != NULL && n->table.versions[row] > 0)
			mesh_row_put(n->table.rows, &rows, row, n->table.versions[row]);
	}
	if (rows.len > 0) {
		wire_put_rows(&frames, WIRE_ROWS, buf_bytes(&rows));
		stream_send(n, a->link, WIRE_CLASS_ROWS, 0, buf_bytes(&frames));
	}
	buf_fini(&rows);
	buf_fini(&frames);
}
