/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/mesh-rig.h"

#include <stdio.h>
#include <string.h>

#include "mesh/core.h"

static void
rig_keep(struct rig *r, const struct mesh_action *a)
{
	struct bytes data = a->data;
	struct wire_reader reader;
	struct wire_frame f;

	wire_reader_init(&reader);
	reader.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	while (wire_reader_next(&reader, &data, &f) == 1) {
		struct rig_frame *kept = &r->frames[r->frames_len];

		if (f.type == WIRE_HEARTBEAT && r->on_beat != NULL)
			r->on_beat(r->arg, a->link, wire_beat_seconds(f.flags));
		/* Signs of life, which come all the time. */
		if (r->forgets || f.type == WIRE_HEARTBEAT || f.type == WIRE_PING ||
		    f.type == WIRE_CLOCK)
			continue;
		CU_ASSERT_FATAL(++r->frames_len < RIG_FRAMES);
		*kept = (struct rig_frame){ .link = a->link,
					    .type = f.type,
					    .flags = f.flags,
					    .class = a->class };
		buf_put_bytes(&kept->payload, f.payload);
	}
	wire_reader_fini(&reader);
}

/* A signature that nobody else could make, if this were a secret hash. */
void
rig_hash(const struct id *signer, struct bytes text, uint8_t ret[WIRE_SIGNATURE_BYTES])
{
	for (int i = 0; i < WIRE_SIGNATURE_BYTES / 8; i++)
		put_be64(ret + 8 * i, hash64(text, hash64(bytes_of(signer->b, ID_BYTES),
							  (uint64_t)i)));
}

struct wire_vote
rig_vote(const struct id *subject, uint64_t incarnation, const struct id *observer,
	 bool is_isolated)
{
	struct wire_liveness said = { .type = WIRE_SUSPECT,
				      .is_isolated = is_isolated,
				      .subject = *subject,
				      .incarnation = incarnation,
				      .votes_len = 1 };
	struct id cluster = { { 0 } };
	struct buf text = BUF_INIT;

	said.votes[0].observer = *observer;
	wire_put_liveness_signed(&text, &cluster, &said, observer);
	rig_hash(observer, buf_bytes(&text), said.votes[0].signature);
	buf_fini(&text);
	return said.votes[0];
}

void
rig_put_verdict(struct buf *out, const struct id *subject, uint64_t incarnation,
		const struct id *voters, int len)
{
	struct wire_liveness said = { .type = WIRE_VERDICT,
				      .subject = *subject,
				      .incarnation = incarnation,
				      .votes_len = len };

	for (int i = 0; i < len; i++)
		said.votes[i] = rig_vote(subject, incarnation, &voters[i], false);
	wire_put_liveness(out, &said);
}

void
rig_put_alive(struct buf *out, const struct id *subject, uint64_t incarnation,
	      enum wire_standing standing)
{
	struct wire_liveness said = { .type = WIRE_ALIVE,
				      .subject = *subject,
				      .incarnation = incarnation,
				      .standing = standing };
	struct id cluster = { { 0 } };
	struct buf text = BUF_INIT;

	wire_put_liveness_signed(&text, &cluster, &said, subject);
	rig_hash(subject, buf_bytes(&text), said.signature);
	buf_fini(&text);
	wire_put_liveness(out, &said);
}

static void
rig_sign(struct rig *r, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_SIGNED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];
	struct id self;

	memset(self.b, 5, ID_BYTES);
	rig_hash(&self, a->data, signature);
	e.data = bytes_of(signature, sizeof(signature));
	e.wall_ms = RIG_WALL_MS + r->now;
	mesh_step(r->mesh, r->now, &e);
}

static void
rig_verify(struct rig *r, const struct mesh_action *a)
{
	struct mesh_event e = { .type = MESH_EVENT_VERIFIED, .number = a->number };
	uint8_t signature[WIRE_SIGNATURE_BYTES];

	r->verifies++;
	if (r->keeps_verifies)
		return;
	rig_hash(&a->node, a->data, signature);
	e.is_valid = bytes_equal(bytes_of(signature, sizeof(signature)), a->signature);
	e.wall_ms = RIG_WALL_MS + r->now;
	mesh_step(r->mesh, r->now, &e);
}

static void
rig_drop(struct rig *r, uint64_t link)
{
	for (int i = 0; i < r->live_len; i++)
		if (r->live[i] == link) {
			r->live[i] = r->live[--r->live_len];
			return;
		}
}

static void
rig_do(struct rig *r, const struct mesh_action *a)
{
	switch (a->type) {
	case MESH_ACTION_SEND:
		rig_keep(r, a);
		break;
	case MESH_ACTION_DIAL:
		if (r->dials < RIG_DIALS) {
			struct rig_dial *d = &r->dialled[r->dials];

			*d = (struct rig_dial){ .node = a->node, .link = a->link };
			snprintf(d->address, sizeof(d->address), "%s", a->address);
		}
		r->dials++;
		break;
	case MESH_ACTION_CLOSE:
		r->closed++;
		rig_drop(r, a->link);
		for (int i = 0; i < RIG_PEERS; i++)
			if (r->links[i] == a->link)
				r->links[i] = 0;
		break;
	case MESH_ACTION_NODE_STATE:
		for (int i = 0; i < RIG_PEERS; i++)
			if (id_equal(&r->peers[i], &a->node))
				r->states[i] = a->state;
		break;
	case MESH_ACTION_LINK_UP:
	case MESH_ACTION_LINK_DOWN:
		r->is_spare = a->is_spare;
		break;
	case MESH_ACTION_PROBE:
		r->probes++;
		r->probe = a->link;
		snprintf(r->address, sizeof(r->address), "%s", a->address);
		break;
	case MESH_ACTION_PROBE_END:
		r->probe_ends++;
		break;
	case MESH_ACTION_WAY:
		r->ways++;
		r->way = a->link;
		break;
	case MESH_ACTION_IDLE:
		r->idles++;
		r->idle = a->link;
		break;
	case MESH_ACTION_HOMES:
		r->homes++;
		buf_clear(&r->homes_told);
		buf_put_bytes(&r->homes_told, a->data);
		break;
	case MESH_ACTION_QUERY:
		r->handed_on++;
		break;
	case MESH_ACTION_SIGN:
		rig_sign(r, a);
		break;
	case MESH_ACTION_VERIFY:
		rig_verify(r, a);
		break;
	case MESH_ACTION_INCARNATION:
		r->incarnation = a->incarnation;
		break;
	default:
		break;
	}
}

void
rig_step(struct rig *r, struct mesh_event e)
{
	struct mesh_action a;

	e.wall_ms = RIG_WALL_MS + r->now;
	mesh_step(r->mesh, r->now, &e);
	while (mesh_next(r->mesh, &a))
		rig_do(r, &a);
}

/* One that holds of others what we do. */
static void
rig_put_beat(const struct rig *r, struct buf *out)
{
	wire_put_heartbeat(out, (r->mesh->liveness & 0xffff) << 8, WIRE_STATUS_ALIVE, 0);
}

/* Peers that are linked say something now and then, so that they are not called silent. */
void
rig_pass(struct rig *r, ms_t span)
{
	ms_t until = r->now + span;

	while (r->now < until) {
		ms_t due = mesh_due(r->mesh);

		r->now = due > until ? until : due > r->now ? due : r->now;
		for (int i = 0; i < RIG_PEERS; i++) {
			struct buf b = BUF_INIT;

			if (r->links[i] == 0)
				continue;
			rig_put_beat(r, &b);
			rig_hear(r, i, &b);
		}
		for (int i = 0; i < r->live_len; i++) {
			struct buf b = BUF_INIT;

			rig_put_beat(r, &b);
			rig_hear_link(r, r->live[i], &b);
		}
		if (mesh_due(r->mesh) <= r->now)
			rig_step(r, (struct mesh_event){ .type = MESH_EVENT_TICK });
	}
}

void
rig_init(struct rig *r, const char *const *addresses, int len)
{
	struct mesh_config config = { .seed = tap_seed(),
				      .incarnation = 10,
				      .retention_ms = MS_DAY,
				      .rows_per_node = 100,
				      .format = 1 };

	*r = (struct rig){ .now = 1000 };
	memset(config.self.b, 5, ID_BYTES);
	for (int i = 0; i < RIG_PEERS; i++)
		memset(r->peers[i].b, 0x10 + i, ID_BYTES);
	r->mesh = mesh_new(&config, r->now);
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_SELF,
					 .addresses = addresses,
					 .addresses_len = len });
}

void
rig_is_reached(struct rig *r)
{
	r->mesh->test.found = r->mesh->self.inbound = MESH_INBOUND_YES;
}

void
rig_forget(struct rig *r)
{
	for (int i = 0; i < r->frames_len; i++)
		buf_fini(&r->frames[i].payload);
	r->frames_len = 0;
	r->verifies = 0;
	r->probes = r->probe_ends = r->handed_on = r->closed = r->dials = 0;
}

void
rig_fini(struct rig *r)
{
	rig_forget(r);
	buf_fini(&r->homes_told);
	mesh_free(r->mesh);
}

void
rig_row(struct rig *r, int i, enum mesh_inbound inbound)
{
	char address[32];
	const char *addresses[] = { address };

	snprintf(address, sizeof(address), "10.0.0.%d:1", i);
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					 .node = r->peers[i],
					 .inbound = inbound,
					 .addresses = addresses,
					 .addresses_len = 1 });
}

/* It is open, and greeted. */
static void
rig_greet(struct rig *r, uint64_t link, const struct id *node, bool is_near)
{
	struct wire_hello h = { .protocol_min = 1,
				.protocol_max = 1,
				.node = *node,
				.life = 77,
				.incarnation = 3,
				.retention_ms = MS_DAY,
				.rows_per_node = 100,
				.format = 1,
				.wall_ms = RIG_WALL_MS + r->now };
	struct buf b = BUF_INIT;

	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					 .link = link,
					 .node = *node,
					 .is_near = is_near });
	wire_put_hello(&b, &h);
	rig_hear_link(r, link, &b);
}

void
rig_up(struct rig *r, int i, bool is_near)
{
	r->links[i] = mesh_link_new(r->mesh);
	rig_greet(r, r->links[i], &r->peers[i], is_near);
	CU_ASSERT(mesh_link_of(r->mesh, &r->peers[i]) == r->links[i]);
}

struct id
rig_id(int i)
{
	struct id id = { { 0 } };

	memset(id.b, 0x55, ID_BYTES);
	put_be32(id.b, (uint32_t)i);
	return id;
}

void
rig_learn(struct rig *r, const struct id *node, enum mesh_inbound inbound, int addresses)
{
	char texts[MESH_ADDRESSES_MAX][48];
	const char *list[MESH_ADDRESSES_MAX];

	for (int i = 0; i < addresses; i++) {
		snprintf(texts[i], sizeof(texts[i]), "node-%u-%d:1", get_be32(node->b),
			 i);
		list[i] = texts[i];
	}
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_NODE,
					 .node = *node,
					 .inbound = inbound,
					 .addresses = list,
					 .addresses_len = addresses });
}

static void
rig_live(struct rig *r, uint64_t link, const struct id *node)
{
	CU_ASSERT_FATAL(r->live_len < RIG_LIVE);
	r->live[r->live_len++] = link;
	rig_greet(r, link, node, false);
}

uint64_t
rig_open(struct rig *r, const struct id *node)
{
	uint64_t link = mesh_link_new(r->mesh);

	rig_live(r, link, node);
	return link;
}

void
rig_answer(struct rig *r, int dial)
{
	struct rig_dial *d = &r->dialled[dial];

	if (!d->is_answered)
		rig_live(r, d->link, &d->node);
	d->is_answered = true;
}

void
rig_refuse(struct rig *r, int dial)
{
	if (!r->dialled[dial].is_answered)
		rig_cut(r, r->dialled[dial].link);
	r->dialled[dial].is_answered = true;
}

void
rig_cut(struct rig *r, uint64_t link)
{
	rig_drop(r, link);
	rig_step(r, (struct mesh_event){
			    .type = MESH_EVENT_LINK_CLOSED, .link = link, .why = "cut" });
}

void
rig_hear_link(struct rig *r, uint64_t link, struct buf *b)
{
	rig_step(r, (struct mesh_event){ .type = MESH_EVENT_LINK_DATA,
					 .link = link,
					 .data = buf_bytes(b) });
	buf_fini(b);
}

void
rig_down(struct rig *r, int i)
{
	uint64_t link = r->links[i];

	r->links[i] = 0;
	rig_step(r, (struct mesh_event){
			    .type = MESH_EVENT_LINK_CLOSED, .link = link, .why = "cut" });
}

void
rig_hear(struct rig *r, int i, struct buf *b)
{
	rig_hear_link(r, r->links[i], b);
}

int
rig_sent(const struct rig *r, int i, uint8_t type, const struct rig_frame **ret_last)
{
	int n = 0;

	for (int k = 0; k < r->frames_len; k++) {
		if (r->frames[k].link != r->links[i] || r->frames[k].type != type)
			continue;
		n++;
		if (ret_last != NULL)
			*ret_last = &r->frames[k];
	}
	return n;
}
