/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/sync-world.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/sha256.h"
#include "lib/tap.h"

enum { WORLD_HEADER_BYTES = 4 };

static void node_step(struct sync_world_node *n, struct sync_event *e);

struct packet {
	bool is_rows;
	size_t len;
	uint8_t data[];
};

static ms_t
world_delay(struct sync_world *w, ms_t most)
{
	return 1 + (ms_t)sim_below(&w->sim, (uint64_t)most);
}

static struct sync_world_link *
end_link(const struct sync_world_end *end)
{
	return &end->world->links[end->link];
}

static struct sync_world_node *
end_node(const struct sync_world_end *end)
{
	return &end->world->nodes[end->node];
}

/* Both ends of a link call it by the same number. */
static uint64_t
end_id(const struct sync_world_end *end)
{
	return (uint64_t)end->link + 1;
}

static struct sync_world_end *
node_end(struct sync_world_node *n, uint64_t link)
{
	struct sync_world_link *l = &n->world->links[link - 1];

	return &l->ends[l->ends[0].node == n->index ? 0 : 1];
}

/* Rows. */

static void
end_merge(struct sim *sim, void *arg, void *data)
{
	struct sync_world_end *end = arg;
	struct packet *p = data;

	(void)sim;
	CU_ASSERT(rowset_merge_encoded(&end_node(end)->rows, bytes_of(p->data, p->len)) >
		  0);
}

static uint64_t
rows_count(struct bytes rows)
{
	struct reader r = reader_of(rows);
	uint64_t n = 0;

	while (r.len > 0) {
		struct row_key key;
		struct row row;

		CU_ASSERT_FATAL(codec_read_key(&r, &key) == 0);
		CU_ASSERT_FATAL(codec_read_row(&r, test_sha256, &row) == 0);
		row_fini(&row);
		n++;
	}
	return n;
}

static void
end_arrive_rows(struct sync_world_end *end, const struct packet *p)
{
	struct sync_world *w = end->world;
	struct packet *copy = mem_alloc(sizeof(*p) + p->len);
	struct sync_event e = { .type = SYNC_EVENT_ROWS, .link = end_id(end) };
	ms_t at = w->sim.now + world_delay(w, w->merge_ms);

	memcpy(copy, p, sizeof(*p) + p->len);
	end->merged = at > end->merged ? at : end->merged;
	sim_at(&w->sim, end->merged, end_merge, end, copy);
	e.len = rows_count(bytes_of(p->data, p->len));
	e.bytes = p->len;
	node_step(end_node(end), &e);
}

static void
end_arrive(struct sim *sim, void *arg, void *data)
{
	struct sync_world_end *end = arg;
	struct packet *p = data;
	struct sync_event e = { .type = SYNC_EVENT_FRAME, .link = end_id(end) };

	(void)sim;
	if (!end_link(end)->is_up)
		return;
	e.data = bytes_of(p->data, p->len);
	if (p->is_rows)
		end_arrive_rows(end, p);
	else
		node_step(end_node(end), &e);
}

static void
node_send(struct sync_world_node *n, uint64_t link, struct bytes data, bool is_rows)
{
	struct sync_world *w = n->world;
	struct sync_world_end *to = node_end(n, link);
	struct packet *p = mem_alloc(sizeof(*p) + data.len);
	ms_t at = w->sim.now + world_delay(w, w->latency);

	to = &end_link(to)->ends[to == &end_link(to)->ends[0] ? 1 : 0];
	*(is_rows ? &n->row_bytes : &n->bytes) += WORLD_HEADER_BYTES + data.len;
	p->is_rows = is_rows;
	p->len = data.len;
	memcpy(p->data, data.data, data.len);
	to->arrives = at > to->arrives ? at : to->arrives;
	sim_at(&w->sim, to->arrives, end_arrive, to, p);
}

/* Reading and settling. */

struct task {
	struct sync_world_node *node;
	uint64_t number;
	struct sync_job *job;
	int rc;
};

static void
node_read(struct sim *sim, void *arg, void *data)
{
	struct task *t = data;
	struct sync_world_node *n = t->node;
	struct sync_table table = rowset_table(&n->rows);
	struct sync_event e = { .type = SYNC_EVENT_READ_DONE, .number = t->number };

	(void)arg;
	if (n->fail_reads > 0 && sim_once_in(sim, (uint64_t)n->fail_reads))
		n->rows.fail_after = 1;
	e.made = sync_compare(&table, t->job);
	n->rows.fail_after = 0;
	node_step(n, &e);
}

static void
node_settled(struct sim *sim, void *arg, void *data)
{
	struct task *t = data;
	struct sync_event e = { .type = SYNC_EVENT_SETTLED, .number = t->number };

	(void)sim;
	(void)arg;
	node_step(t->node, &e);
}

/* Sweeping. */

static ms_t
node_wall(const struct sync_world_node *n)
{
	return n->world->sim.now + SYNC_WORLD_WALL_MS + n->skew;
}

/* The rest of an hour's sweep, or the answer to a HORIZON. */
static void
node_sweep(struct sim *sim, void *arg, void *data)
{
	struct sync_world_node *n = arg;
	struct task *t = data;
	struct sync_event e = { .type = SYNC_EVENT_SWEPT };

	(void)sim;
	if (t == NULL || t->rc == 0)
		rowset_sweep(&n->rows);
	if (t == NULL)
		return;
	e.number = t->number;
	e.rc = t->rc;
	node_step(n, &e);
}

static void
node_hear_horizon(struct sync_world_node *n, const struct sync_action *a)
{
	struct sync_world *w = n->world;
	struct task *t = mem_calloc(1, sizeof(*t));
	ms_t at = w->sim.now + world_delay(w, w->merge_ms);
	bool has_changed;

	t->number = a->number;
	if (n->leases == NULL ||
	    !leases_hear(n->leases, a->horizon, node_wall(n), &has_changed))
		t->rc = -ERANGE;
	n->swept_for += t->rc == 0;
	n->disbelieved += t->rc != 0;
	n->swept = at > n->swept ? at : n->swept;
	sim_at(&w->sim, n->swept, node_sweep, n, t);
}

static void
world_tick_leases(struct sim *sim, void *arg, void *data)
{
	struct sync_world *w = arg;

	(void)data;
	for (int i = 0; i < w->nodes_len && w->is_beating; i++) {
		struct sync_world_node *n = &w->nodes[i];

		if (leases_tick(n->leases, 0, node_wall(n)))
			sim_at(sim, sim->now + world_delay(w, w->merge_ms), node_sweep, n,
			       NULL);
	}
	sim_at(sim, sim->now + MS_MINUTE, world_tick_leases, w, NULL);
}

void
sync_world_lease(struct sync_world *w, ms_t retention_ms)
{
	for (int i = 0; i < w->nodes_len; i++) {
		struct sync_world_node *n = &w->nodes[i];

		n->leases = leases_new(&(struct id){ { 0 } }, retention_ms);
		n->rows.leases = n->leases;
		leases_tick(n->leases, 0, node_wall(n));
	}
	world_tick_leases(&w->sim, w, NULL);
}

void
sync_world_empty(struct sync_world *w, int node)
{
	struct sync_world_node *n = &w->nodes[node];

	rowset_fini(&n->rows);
}

static void
node_task(struct sync_world_node *n, const struct sync_action *a)
{
	struct sync_world *w = n->world;
	struct sync_world_end *end = node_end(n, a->link);
	struct task *t = mem_calloc(1, sizeof(*t));
	ms_t at = w->sim.now + world_delay(w, w->read_ms);

	*t = (struct task){ .node = n, .number = a->number, .job = a->job };
	if (a->type == SYNC_ACTION_READ) {
		end->read = at > end->read ? at : end->read;
		sim_at(&w->sim, end->read, node_read, NULL, t);
	} else {
		sim_at(&w->sim, end->merged > w->sim.now ? end->merged : w->sim.now,
		       node_settled, NULL, t);
	}
}

/* Nodes. */

static void
node_done(struct sync_world_node *n, const struct sync_result *r)
{
	n->sessions++;
	n->last = *r;
	n->last.named = NULL;
	buf_clear(&n->named);
	for (int i = 0; i < r->named_len; i++) {
		buf_put_u8(&n->named, r->named[i].is_here);
		buf_put_u8(&n->named, r->named[i].is_there);
		buf_put_bytes8(&n->named, r->named[i].key);
	}
	CU_ASSERT((r->rc == 0) == (r->why[0] == '\0'));
}

static void
node_do(struct sync_world_node *n, const struct sync_action *a)
{
	struct sim *sim = &n->world->sim;
	bool is_up = a->link > 0 && n->world->links[a->link - 1].is_up;

	sim_note_u64(sim, (uint64_t)n->index << 8 | a->type);
	sim_note(sim, a->data.data, a->data.len);
	sim_note(sim, a->rows.data, a->rows.len);
	switch (a->type) {
	case SYNC_ACTION_SEND:
		CU_ASSERT(a->data.len > 0 && a->data.len <= SYNC_PAYLOAD_BYTES_MAX);
		if (is_up)
			node_send(n, a->link, a->data, false);
		break;
	case SYNC_ACTION_SEND_ROWS:
		CU_ASSERT(a->rows.len > 0);
		CU_ASSERT(a->rows.len <= SYNC_ROWS_BYTES_MAX || rows_count(a->rows) == 1);
		if (is_up)
			node_send(n, a->link, a->rows, true);
		break;
	case SYNC_ACTION_READ:
	case SYNC_ACTION_SETTLE:
		node_task(n, a);
		break;
	case SYNC_ACTION_HORIZON:
		node_hear_horizon(n, a);
		break;
	case SYNC_ACTION_REJECT:
		tap_note("node %d rejects: %s", n->index, a->why);
		n->rejects++;
		sync_world_cut(n->world, (int)a->link - 1);
		break;
	case SYNC_ACTION_DONE:
		node_done(n, a->result);
		break;
	}
}

static void
node_tick(struct sim *sim, void *arg, void *data)
{
	struct sync_world_node *n = arg;
	struct sync_event e = { .type = SYNC_EVENT_TICK };

	(void)data;
	if (n->tick_at != sim->now)
		return;
	n->tick_at = 0;
	node_step(n, &e);
}

static void
node_step(struct sync_world_node *n, struct sync_event *e)
{
	struct sim *sim = &n->world->sim;
	struct sync_action a;
	ms_t due;

	e->wall_ms = (uint64_t)node_wall(n);
	e->horizon = n->leases != NULL ? leases_horizon(n->leases) : 0;
	sync_step(n->sync, sim->now, e);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (sync_next(n->sync, &a))
		node_do(n, &a);
	n->is_pumping = false;
	due = sync_due(n->sync);
	if (due != INT64_MAX && (n->tick_at == 0 || due < n->tick_at)) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, node_tick, n, NULL);
	}
}

/* Heartbeats, as far as they concern sync. */

static struct sync_digest
node_settled_root(struct sync_world_node *n, uint64_t epoch)
{
	struct sync_table table = rowset_table(&n->rows);
	struct sync_digest root;

	table.root(table.arg, epoch, &root);
	root.sum.hi &= ~UINT64_C(0xff);
	return root;
}

static void
world_beat(struct sim *sim, void *arg, void *data)
{
	struct sync_world *w = arg;
	uint64_t epoch = sync_epoch((uint64_t)(sim->now + SYNC_WORLD_WALL_MS));

	(void)data;
	for (int i = 0; i < w->links_len && w->is_beating; i++)
		for (int end = 0; end < 2 && w->links[i].is_up; end++) {
			struct sync_world_end *here = &w->links[i].ends[end];
			struct sync_event e = { .type = SYNC_EVENT_ROOT,
						.link = end_id(here),
						.epoch = epoch };

			e.ours = node_settled_root(&w->nodes[here->node], epoch);
			e.theirs = node_settled_root(&w->nodes[here->peer], epoch);
			node_step(&w->nodes[here->node], &e);
		}
	sim_at(sim, sim->now + w->beat_ms, world_beat, w, NULL);
}

/* The world. */

void
sync_world_init(struct sync_world *w, uint64_t seed, int nodes, ms_t interval)
{
	memset(w, 0, sizeof(*w));
	sim_init(&w->sim, seed);
	w->links = mem_calloc(SYNC_WORLD_LINKS_MAX, sizeof(w->links[0]));
	w->nodes_len = nodes;
	w->latency = 1 + (ms_t)sim_below(&w->sim, 100);
	w->read_ms = 1 + (ms_t)sim_below(&w->sim, 10);
	w->merge_ms = 1 + (ms_t)sim_below(&w->sim, 50);
	w->is_beating = true;
	w->beat_ms = MS_SECOND;
	for (int i = 0; i < nodes; i++) {
		struct sync_world_node *n = &w->nodes[i];
		struct sync_config config = { .interval_ms = interval };

		n->world = w;
		n->index = i;
		for (int k = 0; k < ID_BYTES; k++)
			n->id.b[k] = (uint8_t)rng_next(&w->sim.rng);
		config.self = n->id;
		config.seed = rng_next(&w->sim.rng);
		n->sync = sync_new(&config, w->sim.now);
	}
	world_beat(&w->sim, w, NULL);
}

void
sync_world_fini(struct sync_world *w)
{
	/* Jobs that are on their way are the driver's. */
	for (int i = 0; i < w->links_len; i++)
		sync_world_cut(w, i);
	w->is_beating = false;
	sim_run(&w->sim, w->sim.now + MS_MINUTE);
	for (int i = 0; i < w->nodes_len; i++) {
		sync_free(w->nodes[i].sync);
		rowset_fini(&w->nodes[i].rows);
		leases_free(w->nodes[i].leases);
		buf_fini(&w->nodes[i].named);
	}
	sim_fini(&w->sim);
	free(w->links);
}

int
sync_world_link(const struct sync_world *w, int a, int b)
{
	for (int i = 0; i < w->links_len; i++) {
		const struct sync_world_link *l = &w->links[i];

		if (l->is_up && ((l->ends[0].node == a && l->ends[1].node == b) ||
				 (l->ends[0].node == b && l->ends[1].node == a)))
			return i;
	}
	return -1;
}

int
sync_world_connect(struct sync_world *w, int a, int b)
{
	int number = w->links_len, nodes[2] = { a, b };
	struct sync_digest roots[2] = { w->nodes[a].rows.root, w->nodes[b].rows.root };

	if (sync_world_link(w, a, b) >= 0 || number == SYNC_WORLD_LINKS_MAX)
		return -1;
	w->links_len++;
	w->links[number].is_up = true;
	for (int i = 0; i < 2; i++)
		w->links[number].ends[i] = (struct sync_world_end){
			.world = w, .node = nodes[i], .peer = nodes[1 - i], .link = number
		};
	for (int i = 0; i < 2; i++) {
		struct sync_event e = { .type = SYNC_EVENT_LINK_UP,
					.link = (uint64_t)number + 1,
					.node = w->nodes[nodes[1 - i]].id,
					.ours = roots[i],
					.theirs = roots[1 - i] };

		node_step(&w->nodes[nodes[i]], &e);
	}
	return number;
}

void
sync_world_connect_all(struct sync_world *w)
{
	for (int a = 0; a < w->nodes_len; a++)
		for (int b = a + 1; b < w->nodes_len; b++)
			sync_world_connect(w, a, b);
}

void
sync_world_cut(struct sync_world *w, int link)
{
	struct sync_world_link *l = &w->links[link];

	if (!l->is_up)
		return;
	l->is_up = false;
	for (int i = 0; i < 2; i++) {
		struct sync_event e = { .type = SYNC_EVENT_LINK_DOWN,
					.link = (uint64_t)link + 1 };

		node_step(&w->nodes[l->ends[i].node], &e);
	}
}

void
sync_world_write(struct sync_world *w, int node, const struct row_key *key, int len)
{
	struct sync_world_node *n = &w->nodes[node];
	struct dot dot = { .actor = (uint64_t)node + 1, .seq = ++n->seq };
	uint8_t signature[ROW_SIGNATURE_BYTES] = { 0 };
	uint8_t *value = mem_calloc((size_t)(len < 0 ? 0 : len), 1);
	struct bytes v = bytes_of(value, (size_t)(len < 0 ? 0 : len));
	struct version version;
	struct row seen, row;
	int rc;

	for (int i = 0; i < len; i++)
		value[i] = (uint8_t)rng_next(&w->sim.rng);
	rowset_get(&n->rows, key, &seen);
	rc = version_next(&seen, dot, (uint64_t)node_wall(n), len < 0 ? NULL : &v,
			  &version);
	assert(rc == 0);
	signature[0] = (uint8_t)node;
	version_seal(&version, signature, test_sha256);
	row_of_version(&version, &row);
	rowset_merge(&n->rows, key, &row);
	row_fini(&row);
	row_fini(&seen);
	free(value);
}

struct sync_result
sync_world_start(struct sync_world *w, int from, int to, bool is_dry)
{
	struct sync_world_node *n = &w->nodes[from];
	struct sync_event e = { .type = SYNC_EVENT_START,
				.link = (uint64_t)sync_world_link(w, from, to) + 1,
				.request = 1 + (uint64_t)w->sim.now,
				.is_dry = is_dry };
	struct sync_result progress;

	node_step(n, &e);
	for (int i = 0; i < 3600 * 10 && sync_progress(n->sync, e.request, &progress);
	     i++)
		sync_world_run(w, 100);
	CU_ASSERT(n->last.request == e.request);
	return n->last;
}

void
sync_world_run(struct sync_world *w, ms_t span)
{
	sim_run(&w->sim, w->sim.now + span);
}

bool
sync_world_is_equal(const struct sync_world *w)
{
	for (int i = 1; i < w->nodes_len; i++) {
		const struct sync_digest *a = &w->nodes[0].rows.root;
		const struct sync_digest *b = &w->nodes[i].rows.root;

		if (!u128_equal(a->sum, b->sum) || a->count != b->count)
			return false;
	}
	return true;
}

ms_t
sync_world_converge(struct sync_world *w, ms_t most)
{
	ms_t start = w->sim.now;

	while (!sync_world_is_equal(w)) {
		if (w->sim.now - start >= most)
			return -1;
		sync_world_run(w, MS_SECOND);
	}
	return w->sim.now - start;
}
