/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"

static ms_t
world_delay(struct world *w)
{
	return 1 + (ms_t)sim_below(&w->sim, (uint64_t)w->latency);
}

/* Streams. */

static void
stream_arrive(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct packet *p = data;
	struct stream *s = &w->streams[p->stream];
	struct node *n = &w->nodes[s->end[p->to]];
	struct mesh_event e = { .type = MESH_EVENT_LINK_DATA, .link = s->link[p->to] };
	size_t at = 0;

	(void)sim;
	if (sim_keep(&n->process, stream_arrive, arg, p, sizeof(*p) + p->len))
		return;
	if (s->is_cut || s->link[p->to] == 0 || !n->is_running ||
	    n->life != s->life[p->to])
		return;
	if (p->is_close) {
		e.type = MESH_EVENT_LINK_CLOSED;
		e.why = "closed by the other side";
		s->link[p->to] = 0;
		node_step(n, &e);
		return;
	}
	/* In pieces, sometimes byte by byte. */
	while (at < p->len && s->link[p->to] != 0) {
		size_t most = sim_once_in(&w->sim, 8) ? 3 : p->len - at;
		size_t len = 1 + (size_t)sim_below(&w->sim, most);

		if (len > p->len - at)
			len = p->len - at;
		e.data = bytes_of(p->data + at, len);
		node_step(n, &e);
		at += len;
	}
}

void
stream_put(struct world *w, int stream, int to, const void *data, size_t len,
	   bool is_close)
{
	struct stream *s = &w->streams[stream];
	struct packet *p = mem_alloc(sizeof(*p) + len);
	ms_t at = w->sim.now + world_delay(w);

	if (at < s->last[to])
		at = s->last[to];
	s->last[to] = at;
	*p = (struct packet){
		.stream = stream, .to = to, .len = len, .is_close = is_close
	};
	if (len > 0)
		memcpy(p->data, data, len);
	sim_at(&w->sim, at, stream_arrive, w, p);
}

static int
stream_of(struct world *w, const struct node *n, uint64_t link, int *ret_end)
{
	for (int i = w->streams_len - 1; i >= 0; i--)
		for (int end = 0; end < 2; end++)
			if (w->streams[i].end[end] == n->index &&
			    w->streams[i].life[end] == n->life &&
			    w->streams[i].link[end] == link) {
				*ret_end = end;
				return i;
			}
	return -1;
}

/* The accepting side, then the dialling one. */
static void
stream_open(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct packet *p = data;
	struct stream *s = &w->streams[p->stream];
	struct node *a = &w->nodes[s->end[0]], *b = &w->nodes[s->end[1]];
	struct mesh_event e = { .type = MESH_EVENT_LINK_OPEN };

	(void)sim;
	/* Its kernel accepts; TLS waits for the process. */
	if (sim_keep(&a->process, stream_open, arg, p, sizeof(*p)) ||
	    sim_keep(&b->process, stream_open, arg, p, sizeof(*p)))
		return;
	if (!a->is_running || a->life != s->life[0] || s->link[0] == 0)
		return;
	if (w->blocked[a->index][b->index] || (b->is_hidden && p->stream % 2 == 0))
		return; /* the core's own limit ends the dial */
	if (!b->is_running || b->is_hidden) {
		e = (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
					 .link = s->link[0],
					 .why = "connection refused" };
		s->link[0] = 0;
		node_step(a, &e);
		return;
	}
	s->life[1] = b->life;
	s->link[1] = mesh_link_new(b->mesh);
	e.link = s->link[1];
	e.node = a->id;
	node_step(b, &e);
	e.link = s->link[0];
	e.node = b->id;
	if (s->link[0] != 0)
		node_step(a, &e);
}

static void
node_dial(struct node *n, const struct mesh_action *a)
{
	struct world *w = n->world;
	struct packet *p = mem_calloc(1, sizeof(*p));
	struct stream *s = &w->streams[w->streams_len];

	CU_ASSERT_FATAL(w->streams_len < STREAMS_MAX);
	*s = (struct stream){ .end = { n->index, a->address[1] - '0' },
			      .life = { n->life, 0 },
			      .link = { a->link, 0 } };
	p->stream = w->streams_len++;
	sim_at(&w->sim, w->sim.now + world_delay(w), stream_open, w, p);
}

/* Rows. */

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

static void
node_want(struct node *n, uint64_t link, uint32_t row)
{
	uint8_t id[ID_BYTES] = { 0 };
	struct mesh_event e = { .type = MESH_EVENT_WANT,
				.link = link,
				.data = bytes_of(id, sizeof(id)) };

	put_be32(id, row);
	node_step(n, &e);
}

/* What arrived is merged a little later, as by a store's writer. */
struct merge {
	uint32_t life;
	uint64_t link;
	size_t len;
	uint8_t rows[];
};

static void
node_merge(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct merge *m = data;
	struct reader r = reader_of(bytes_of(m->rows, m->len));
	struct mesh_event e = { .type = MESH_EVENT_ROWS_CHANGED, .link = m->link };
	struct buf changed = BUF_INIT;

	(void)sim;
	if (sim_keep(&n->process, node_merge, arg, m, sizeof(*m) + m->len))
		return;
	if (!n->is_running || n->life != m->life)
		return;
	while (r.len > 0 && !r.failed) {
		uint32_t wanted;

		if (!mesh_table_merge(&n->table, mesh_row_read(&r), &changed, &wanted))
			node_want(n, m->link, wanted);
		if (changed.len == 0)
			continue;
		/* One, and what waited for it: all at once may be more than a link reads. */
		e.rows = buf_bytes(&changed);
		node_step(n, &e);
		node_tell_root(n);
		buf_clear(&changed);
	}
	CU_ASSERT(reader_done(&r));
	buf_fini(&changed);
}

static void
node_deliver(struct node *n, const struct mesh_action *a)
{
	struct merge *m = mem_alloc(sizeof(*m) + a->rows.len);

	m->life = n->life;
	m->link = a->link;
	m->len = a->rows.len;
	memcpy(m->rows, a->rows.data, a->rows.len);
	sim_at(&n->world->sim, n->world->sim.now + world_delay(n->world), node_merge, n,
	       m);
}

/* Nodes. */

static void
node_send(struct node *n, uint64_t link, enum wire_class class, struct bytes data)
{
	int end, stream = stream_of(n->world, n, link, &end);

	n->sent[class] += data.len;
	if (stream >= 0)
		stream_put(n->world, stream, 1 - end, data.data, data.len, false);
}

void
node_send_sync(void *arg, uint64_t link, struct bytes frames)
{
	node_send(arg, link, WIRE_CLASS_SYNC, frames);
}

void
node_reject(void *arg, uint64_t link, const char *why)
{
	struct mesh_event e = { .type = MESH_EVENT_LINK_REJECT,
				.link = link,
				.why = why };

	node_step(arg, &e);
}

/* Those of the rows asked for that are held. */
static void
node_answer(struct node *n, const struct mesh_action *a)
{
	struct reader r = reader_of(a->data);
	struct buf rows = BUF_INIT, frames = BUF_INIT;
	uint8_t id[ID_BYTES];

	for (reader_copy(&r, id, sizeof(id)); !r.failed; reader_copy(&r, id, sizeof(id)))
		if (n->table.has[get_be32(id)])
			mesh_row_put(&rows, get_be32(id));
	if (rows.len > 0)
		wire_put_rows(&frames, WIRE_ROWS, buf_bytes(&rows));
	node_send(n, a->link, WIRE_CLASS_ROWS, buf_bytes(&frames));
	buf_fini(&rows);
	buf_fini(&frames);
}

static void
node_close(struct node *n, const struct mesh_action *a)
{
	int end, stream = stream_of(n->world, n, a->link, &end);

	if (stream < 0)
		return;
	n->world->streams[stream].link[end] = 0;
	stream_put(n->world, stream, 1 - end, NULL, 0, true);
}

/* Dial-backs. */

static void
node_probe(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct packet *p = data;
	struct node *other = &n->world->nodes[p->to];
	struct mesh_event e = { .type = MESH_EVENT_PROBED, .link = p->link };

	(void)sim;
	if (sim_keep(&n->process, node_probe, arg, p, sizeof(*p)))
		return;
	if (!n->is_running || n->life != (uint32_t)p->stream)
		return;
	if (other->is_running && !other->is_hidden &&
	    !n->world->blocked[n->index][other->index])
		e.node = other->id;
	node_step(n, &e);
}

static void
node_dial_back(struct node *n, const struct mesh_action *a)
{
	struct world *w = n->world;
	struct packet *p = mem_calloc(1, sizeof(*p));

	*p = (struct packet){ .link = a->link,
			      .to = a->address[1] - '0',
			      .stream = (int)n->life };
	sim_at(&w->sim, w->sim.now + 2 * world_delay(w), node_probe, n, p);
}

/* Its row says something else, and reaches the others. */
static void
node_learn_late(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;

	(void)sim;
	(void)data;
	if (sim_keep(&n->process, node_learn_late, arg, NULL, 0))
		return;
	if (n->is_running)
		node_learn(n, true);
}

static void
node_found_inbound(struct node *n, enum mesh_inbound inbound)
{
	struct world *w = n->world;

	n->inbound = inbound;
	for (int i = 0; i < w->nodes_len; i++)
		if (i != n->index)
			sim_at(&w->sim, w->sim.now + world_delay(w), node_learn_late,
			       &w->nodes[i], NULL);
}

bool
node_is_to_link(const struct node *a, const struct node *b)
{
	struct id homes[MESH_HOMES_MAX];
	int len;

	if (!a->is_hidden && !b->is_hidden)
		return true;
	if (a->is_hidden && b->is_hidden)
		return false;
	if (b->is_hidden)
		return node_is_to_link(b, a);
	len = mesh_homes(a->mesh, &a->id, homes);
	for (int i = 0; i < len; i++)
		if (id_equal(&homes[i], &b->id))
			return true;
	return false;
}

static void
node_end_idle(struct node *n, uint64_t link)
{
	struct mesh_event e = { .type = MESH_EVENT_IDLE, .link = link };

	node_step(n, &e);
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
node_do(struct node *n, const struct mesh_action *a)
{
	struct world *w = n->world;
	uint32_t words[4] = { (uint32_t)n->index, (uint32_t)a->type, (uint32_t)a->link,
			      (uint32_t)a->data.len };

	sim_note(&w->sim, words, sizeof(words));
	sim_note(&w->sim, a->data.data, a->data.len);
	switch (a->type) {
	case MESH_ACTION_DIAL:
		node_dial(n, a);
		break;
	case MESH_ACTION_SEND:
		node_send(n, a->link, a->class, a->data);
		break;
	case MESH_ACTION_CLOSE:
		CU_ASSERT(a->why[0] != '\0');
		node_close(n, a);
		break;
	case MESH_ACTION_NODE_STATE:
		for (int i = 0; i < w->nodes_len; i++)
			if (id_equal(&w->nodes[i].id, &a->node)) {
				n->seen[i] = a->state;
				n->seen_at[i] = w->sim.now;
				n->deaths += a->state == MESH_NODE_DEAD ||
					     a->state == MESH_NODE_UNREACHABLE;
			}
		break;
	case MESH_ACTION_DELIVER_ROWS:
		node_deliver(n, a);
		mesh_sync_hear(&n->sync, a);
		break;
	case MESH_ACTION_WANTED:
		node_answer(n, a);
		break;
	case MESH_ACTION_SIGN:
		node_sign(n, a);
		break;
	case MESH_ACTION_VERIFY:
		node_verify(n, a);
		break;
	case MESH_ACTION_PROBE:
		node_dial_back(n, a);
		break;
	case MESH_ACTION_WAY:
		n->ways++;
		n->ways_found += a->link != 0;
		break;
	case MESH_ACTION_IDLE:
		node_end_idle(n, a->link);
		break;
	case MESH_ACTION_INBOUND:
		node_found_inbound(n, a->inbound);
		break;
	case MESH_ACTION_LINK_UP:
	case MESH_ACTION_LINK_DOWN:
	case MESH_ACTION_ROOT_HEARD:
	case MESH_ACTION_SYNC:
		mesh_sync_hear(&n->sync, a);
		break;
	default:
		break;
	}
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
	struct mesh_action a;
	ms_t due;

	e->wall_ms = sim->now + MESH_SYNC_WALL_MS;
	mesh_step(n->mesh, sim->now, e);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (mesh_next(n->mesh, &a))
		node_do(n, &a);
	n->is_pumping = false;
	due = mesh_due(n->mesh);
	if (n->tick_at == 0 || due < n->tick_at) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, node_tick, n, NULL);
	}
}

/* As nodes learn of each other by rows, all in the end, or some. */
void
node_learn(struct node *n, bool all)
{
	char address[] = "n0";
	const char *addresses[] = { address };
	struct mesh_event e = { .type = MESH_EVENT_NODE,
				.addresses = addresses,
				.addresses_len = 1 };

	for (int i = 0; i < n->world->nodes_len; i++) {
		if (!all && sim_once_in(&n->world->sim, 4) && n->life == 1)
			continue;
		address[1] = (char)('0' + i);
		e.node = n->world->nodes[i].id;
		e.inbound = n->world->nodes[i].inbound;
		node_step(n, &e);
	}
}

void
node_start(struct node *n)
{
	struct world *w = n->world;
	struct mesh_config config = {
		.self = n->id,
		.seed = rng_next(&w->sim.rng),
		.incarnation = (uint64_t)++n->life << 32,
		.retention_ms = MESH_WORLD_RETENTION_MS,
		.rows_per_node = 16384,
		.format = 1,
	};
	const char *seed = "n0", *own = config.address;
	struct mesh_event self = { .type = MESH_EVENT_SELF,
				   .addresses = &own,
				   .addresses_len = 1 };
	struct mesh_event e = { .type = MESH_EVENT_SEEDS,
				.addresses = &seed,
				.addresses_len = 1 };

	snprintf(config.address, sizeof(config.address), "n%d", n->index);
	n->mesh = mesh_new(&config, w->sim.now);
	mesh_sync_start(&n->sync, &n->id);
	n->is_running = true;
	n->tick_at = 0;
	memset(n->seen, 0, sizeof(n->seen));
	memset(n->table.aside, 0, sizeof(n->table.aside));
	n->inbound = MESH_INBOUND_UNKNOWN;
	node_step(n, &self);
	node_tell_root(n);
	/* All know node 0 by its address alone, and some know the others by their rows. */
	node_step(n, &e);
	node_learn(n, false);
}

void
node_crash(struct node *n, bool is_silent)
{
	struct world *w = n->world;

	for (int i = 0; i < w->streams_len; i++) {
		struct stream *s = &w->streams[i];

		for (int end = 0; end < 2; end++) {
			if (s->end[end] != n->index || s->life[end] != n->life ||
			    s->link[end] == 0)
				continue;
			s->link[end] = 0;
			if (is_silent)
				s->is_cut = true;
			else
				stream_put(w, i, 1 - end, NULL, 0, true);
		}
	}
	mesh_free(n->mesh);
	mesh_sync_stop(&n->sync);
	n->mesh = NULL;
	n->is_running = false;
}
