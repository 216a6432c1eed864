/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/mesh-crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "unit/mesh-rig.h"

enum { CROWD_DELAY_MS = 5 };
#define CROWD_WALL_MS 1700000000000

struct crowd_stream {
	int end[2];
	uint32_t life[2];
	uint64_t link[2]; /* 0: not told yet, or closed there */
	bool is_cut;	  /* for ever, and nobody is told */
};

struct crowd_packet {
	int stream, to;
	uint64_t link;
	bool is_close;
	size_t len;
	uint8_t data[];
};

static void crowd_step(struct crowd_node *n, struct mesh_event *e);

/* ---- streams ---- */

static void
crowd_arrive(struct sim *sim, void *arg, void *data)
{
	struct crowd *c = arg;
	struct crowd_packet *p = data;
	struct crowd_stream *s = &c->streams[p->stream];
	struct crowd_node *n = &c->nodes[s->end[p->to]];
	struct mesh_event e = { .type = p->is_close ? MESH_EVENT_LINK_CLOSED
						    : MESH_EVENT_LINK_DATA,
				.link = s->link[p->to],
				.data = bytes_of(p->data, p->len),
				.why = "reset" };

	(void)sim;
	if (s->is_cut || e.link == 0 || n->mesh == NULL || n->life != s->life[p->to])
		return;
	if (p->is_close)
		s->link[p->to] = 0;
	crowd_step(n, &e);
}

static void
crowd_put(struct crowd *c, int stream, int to, struct bytes data, bool is_close)
{
	struct crowd_packet *p = mem_alloc(sizeof(*p) + data.len);

	*p = (struct crowd_packet){
		.stream = stream, .to = to, .is_close = is_close, .len = data.len
	};
	if (data.len > 0)
		memcpy(p->data, data.data, data.len);
	sim_at(&c->sim, c->sim.now + CROWD_DELAY_MS, crowd_arrive, c, p);
}

static int
crowd_stream_of(const struct crowd_node *n, uint64_t link, int *ret_end)
{
	const struct crowd *c = n->crowd;

	for (int i = c->streams_len - 1; i >= 0; i--)
		for (int end = 0; end < 2; end++)
			if (c->streams[i].end[end] == n->index &&
			    c->streams[i].life[end] == n->life &&
			    c->streams[i].link[end] == link) {
				*ret_end = end;
				return i;
			}
	return -1;
}

static bool
crowd_may_pass(const struct crowd *c, int a, int b)
{
	return c->left == 0 || (a < c->left) == (b < c->left);
}

static void
crowd_open(struct sim *sim, void *arg, void *data)
{
	struct crowd *c = arg;
	struct crowd_packet *p = data;
	struct crowd_stream *s = &c->streams[p->stream];
	struct crowd_node *a = &c->nodes[s->end[0]], *b = &c->nodes[s->end[1]];
	struct mesh_event e = { .type = MESH_EVENT_LINK_OPEN };

	(void)sim;
	if (a->mesh == NULL || a->life != s->life[0] || s->link[0] == 0 ||
	    !crowd_may_pass(c, s->end[0], s->end[1]))
		return;
	if (b->mesh == NULL) {
		e.type = MESH_EVENT_LINK_CLOSED;
		e.link = s->link[0];
		e.why = "connection refused";
		s->link[0] = 0;
		crowd_step(a, &e);
		return;
	}
	s->life[1] = b->life;
	s->link[1] = e.link = mesh_link_new(b->mesh);
	e.node = a->id;
	crowd_step(b, &e);
	e.link = c->streams[p->stream].link[0];
	e.node = b->id;
	if (e.link != 0)
		crowd_step(a, &e);
}

static void
crowd_dial(struct crowd_node *n, const struct mesh_action *a)
{
	struct crowd *c = n->crowd;
	struct crowd_packet *p = mem_calloc(1, sizeof(*p));

	if (c->streams_len == c->streams_cap) {
		c->streams_cap = 2 * c->streams_cap + 256;
		c->streams = mem_realloc(c->streams, (size_t)c->streams_cap,
					 sizeof(c->streams[0]));
	}
	c->streams[c->streams_len] = (struct crowd_stream){
		.end = { n->index, atoi(a->address + 1) },
		.life = { n->life, 0 },
		.link = { a->link, 0 }
	};
	p->stream = c->streams_len++;
	sim_at(&c->sim, c->sim.now + 2 * CROWD_DELAY_MS, crowd_open, c, p);
}

/* ---- nodes ---- */

static void
crowd_send(struct crowd_node *n, const struct mesh_action *a)
{
	int end, stream = crowd_stream_of(n, a->link, &end);

	n->sent_bytes += a->data.len;
	n->sent_beats += a->class == WIRE_CLASS_HEARTBEAT;
	n->sent_votes += a->data.data[2] == WIRE_SUSPECT;
	if (stream >= 0 && crowd_may_pass(n->crowd, n->crowd->streams[stream].end[0],
					  n->crowd->streams[stream].end[1]))
		crowd_put(n->crowd, stream, 1 - end, a->data, false);
}

static void
crowd_close(struct crowd_node *n, const struct mesh_action *a)
{
	int end, stream = crowd_stream_of(n, a->link, &end);

	if (stream < 0)
		return;
	n->crowd->streams[stream].link[end] = 0;
	if (crowd_may_pass(n->crowd, n->crowd->streams[stream].end[0],
			   n->crowd->streams[stream].end[1]))
		crowd_put(n->crowd, stream, 1 - end, bytes_of(NULL, 0), true);
}

static void
crowd_answer(struct crowd_node *n, const struct mesh_action *a)
{
	bool is_check = a->type == MESH_ACTION_VERIFY;
	struct mesh_event e = { .type = is_check ? MESH_EVENT_VERIFIED
						 : MESH_EVENT_SIGNED,
				.number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	rig_hash(is_check ? &a->node : &n->id, a->data, signature);
	e.data = bytes_of(signature, sizeof(signature));
	e.is_valid = is_check && bytes_equal(e.data, a->signature);
	crowd_step(n, &e);
}

static void
crowd_do(struct crowd_node *n, const struct mesh_action *a)
{
	struct mesh_event probed = { .type = MESH_EVENT_PROBED };
	struct mesh_event idle = { .type = MESH_EVENT_IDLE };
	struct crowd *c = n->crowd;

	switch (a->type) {
	case MESH_ACTION_DIAL:
		crowd_dial(n, a);
		break;
	case MESH_ACTION_SEND:
		crowd_send(n, a);
		break;
	case MESH_ACTION_CLOSE:
		crowd_close(n, a);
		break;
	case MESH_ACTION_SIGN:
	case MESH_ACTION_VERIFY:
		crowd_answer(n, a);
		break;
	case MESH_ACTION_PROBE:
		probed.link = a->link;
		probed.node = a->node;
		crowd_step(n, &probed);
		break;
	case MESH_ACTION_IDLE: /* there are no queries */
		idle.link = a->link;
		crowd_step(n, &idle);
		break;
	case MESH_ACTION_LINK_DOWN:
		n->downs++;
		break;
	case MESH_ACTION_INCARNATION:
		n->incarnation = a->incarnation;
		n->refutations++;
		break;
	case MESH_ACTION_NODE_STATE:
		n->deaths += a->state == MESH_NODE_DEAD;
		for (int i = 0; i < c->len; i++)
			if (id_equal(&c->nodes[i].id, &a->node))
				c->told_at[n->index][i] = c->sim.now;
		break;
	default:
		break;
	}
}

static void
crowd_tick(struct sim *sim, void *arg, void *data)
{
	struct crowd_node *n = arg;
	struct mesh_event e = { .type = MESH_EVENT_TICK };

	(void)data;
	if (n->mesh == NULL || n->tick_at == 0 || n->tick_at > sim->now)
		return;
	n->tick_at = 0;
	crowd_step(n, &e);
}

static void
crowd_step(struct crowd_node *n, struct mesh_event *e)
{
	struct sim *sim = &n->crowd->sim;
	struct mesh_action a;
	ms_t due;

	e->wall_ms = sim->now + CROWD_WALL_MS;
	mesh_step(n->mesh, sim->now, e);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (mesh_next(n->mesh, &a))
		crowd_do(n, &a);
	n->is_pumping = false;
	due = mesh_due(n->mesh) + n->late_ms;
	if (n->tick_at == 0 || due < n->tick_at) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, crowd_tick, n, NULL);
	}
}

void
crowd_start(struct crowd *c, int node)
{
	struct crowd_node *n = &c->nodes[node];
	struct mesh_config config = { .self = n->id,
				      .seed = rng_next(&c->sim.rng),
				      .retention_ms = MS_DAY,
				      .rows_per_node = 100,
				      .format = 1 };
	const char *own = config.address;
	struct mesh_event e = { .type = MESH_EVENT_SELF,
				.addresses = &own,
				.addresses_len = 1 };

	n->incarnation = (uint64_t)++n->life << 32;
	config.incarnation = n->incarnation;
	snprintf(config.address, sizeof(config.address), "n%d", node);
	n->mesh = mesh_new(&config, c->sim.now);
	n->tick_at = 0;
	crowd_step(n, &e);
	e.type = MESH_EVENT_NODE;
	e.inbound = MESH_INBOUND_YES;
	for (int i = 0; i < c->len; i++) {
		snprintf(config.address, sizeof(config.address), "n%d", i);
		e.node = c->nodes[i].id;
		if (i != node)
			crowd_step(n, &e);
	}
}

void
crowd_init(struct crowd *c, int len)
{
	*c = (struct crowd){ .len = len };
	sim_init(&c->sim, tap_seed());
	for (int i = 0; i < len; i++) {
		c->nodes[i].crowd = c;
		c->nodes[i].index = i;
		for (int k = 0; k < ID_BYTES; k++)
			c->nodes[i].id.b[k] = (uint8_t)rng_next(&c->sim.rng);
	}
	for (int i = 0; i < len; i++)
		crowd_start(c, i);
	crowd_go_on(c, 30 * MS_SECOND + (ms_t)sim_below(&c->sim, 10 * MS_SECOND));
	for (int i = 0; i < len; i++)
		c->nodes[i].deaths = c->nodes[i].refutations = c->nodes[i].sent_bytes =
			c->nodes[i].sent_beats = c->nodes[i].sent_votes = 0;
}

void
crowd_fini(struct crowd *c)
{
	for (int i = 0; i < c->len; i++)
		mesh_free(c->nodes[i].mesh);
	free(c->streams);
	sim_fini(&c->sim);
}

void
crowd_go_on(struct crowd *c, ms_t span)
{
	sim_run(&c->sim, c->sim.now + span);
}

void
crowd_crash(struct crowd *c, int node, bool is_silent)
{
	struct crowd_node *n = &c->nodes[node];

	for (int i = 0; i < c->streams_len; i++)
		for (int end = 0; end < 2; end++) {
			struct crowd_stream *s = &c->streams[i];

			if (s->end[end] != node || s->life[end] != n->life ||
			    s->link[end] == 0)
				continue;
			s->link[end] = 0;
			s->is_cut = is_silent;
			if (!is_silent)
				crowd_put(c, i, 1 - end, bytes_of(NULL, 0), true);
		}
	mesh_free(n->mesh);
	n->mesh = NULL;
}

void
crowd_stop(struct crowd *c, int node)
{
	struct mesh_event e = { .type = MESH_EVENT_STOP };

	crowd_step(&c->nodes[node], &e);
	mesh_free(c->nodes[node].mesh);
	c->nodes[node].mesh = NULL;
}

void
crowd_reset(struct crowd *c, int a, int b)
{
	for (int i = 0; i < c->streams_len; i++) {
		struct crowd_stream *s = &c->streams[i];

		if (s->link[0] == 0 || s->link[1] == 0 ||
		    !((s->end[0] == a && s->end[1] == b) ||
		      (s->end[0] == b && s->end[1] == a)))
			continue;
		crowd_put(c, i, 0, bytes_of(NULL, 0), true);
		crowd_put(c, i, 1, bytes_of(NULL, 0), true);
	}
}

/* What was under way when the halves came apart is lost, and so is each stream. */
void
crowd_split(struct crowd *c, int left)
{
	c->left = left;
	for (int i = 0; i < c->streams_len; i++)
		if (!crowd_may_pass(c, c->streams[i].end[0], c->streams[i].end[1]))
			c->streams[i].is_cut = true;
}

enum mesh_state
crowd_sees(const struct crowd *c, int node, int other)
{
	return mesh_node_state(c->nodes[node].mesh, &c->nodes[other].id);
}

int
crowd_count(const struct crowd *c, int other, enum mesh_state state)
{
	int n = 0;

	for (int i = 0; i < c->len; i++)
		n += i != other && c->nodes[i].mesh != NULL &&
		     crowd_sees(c, i, other) == state;
	return n;
}

ms_t
crowd_last_told(const struct crowd *c, int other)
{
	ms_t last = 0;

	for (int i = 0; i < c->len; i++)
		if (i != other && c->nodes[i].mesh != NULL && c->told_at[i][other] > last)
			last = c->told_at[i][other];
	return last;
}
