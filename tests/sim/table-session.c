/* SPDX-License-Identifier: Apache-2.0 */
/* A session between two machines by the core of src/sync: frames pass at once, rows are
 * absorbed as they come, and after some frames the link is cut. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/rowset.h"
#include "lib/sha256.h"
#include "sim/table-world.h"
#include "sync/sync.h"

enum { LINK = 1, SETTLE_MS = 1 };

struct parcel {
	bool is_rows;
	struct buf data;
};

struct side {
	struct session *session;
	struct table_node *node;
	struct sync *sync;
	struct rowset rows; /* the table as it stands in the order of K */
	struct parcel *inbox;
	int inbox_len;
	bool is_done;
};

struct session {
	struct table_world *world;
	struct side sides[2];
	ms_t now;
	bool is_cut;
	int frames; /* left */
};

/* The table is read from a copy that is made anew when rows came. */
static void
side_read(struct side *s)
{
	rowset_fini(&s->rows);
	if (s->node->has_uncommitted)
		node_commit(s->node);
	for (int key = 0; key < TABLE_KEYS; key++)
		if (table_disk_row(&s->node->disk, key)->len > 0)
			rowset_merge(&s->rows, table_key(key),
				     table_disk_row(&s->node->disk, key));
}

static void
side_post(struct side *s, struct bytes data, bool is_rows)
{
	struct session *x = s->session;
	struct side *to = &x->sides[s == &x->sides[0] ? 1 : 0];
	struct parcel *p;

	if (x->is_cut)
		return;
	to->inbox = mem_realloc(to->inbox, (size_t)to->inbox_len + 1,
				sizeof(to->inbox[0]));
	p = &to->inbox[to->inbox_len++];
	*p = (struct parcel){ .is_rows = is_rows, .data = BUF_INIT };
	buf_put_bytes(&p->data, data);
	if (--x->frames <= 0)
		x->is_cut = true;
}

static void side_step(struct side *s, struct sync_event *e);

static void
side_do(struct side *s, const struct sync_action *a)
{
	struct sync_event e = { .number = a->number, .link = LINK };
	struct sync_table table;

	switch (a->type) {
	case SYNC_ACTION_SEND:
		side_post(s, a->data, false);
		break;
	case SYNC_ACTION_SEND_ROWS:
		side_post(s, a->rows, true);
		break;
	case SYNC_ACTION_READ:
		if (s->node->is_up)
			side_read(s);
		table = rowset_table(&s->rows);
		e.type = SYNC_EVENT_READ_DONE;
		e.made = sync_compare(&table, a->job);
		side_step(s, &e);
		break;
	case SYNC_ACTION_SETTLE:
		e.type = SYNC_EVENT_SETTLED;
		side_step(s, &e);
		break;
	case SYNC_ACTION_HORIZON:
		e.type = SYNC_EVENT_SWEPT;
		e.rc = node_hear(s->node, a->horizon) ? 0 : -ERANGE;
		side_step(s, &e);
		break;
	case SYNC_ACTION_REJECT:
		table_world_wrong(s->session->world, "machine %d rejects a session: %s",
				  s->node->index, a->why);
		s->session->is_cut = true;
		break;
	case SYNC_ACTION_DONE:
		s->is_done = true;
		break;
	}
}

static void
side_step(struct side *s, struct sync_event *e)
{
	struct sync_action a;

	/* It stopped as a clone in the middle. */
	if (!s->node->is_up) {
		s->session->is_cut = true;
		sync_made_free(e->made);
		return;
	}
	e->wall_ms = (uint64_t)node_wall(s->node);
	e->horizon = leases_horizon(s->node->leases);
	sync_step(s->sync, s->session->now, e);
	while (sync_next(s->sync, &a)) {
		/* What it points to lives until the next one is taken. */
		struct buf data = BUF_INIT, rows = BUF_INIT;
		struct sync_action copy = a;

		buf_put_bytes(&data, a.data);
		buf_put_bytes(&rows, a.rows);
		copy.data = buf_bytes(&data);
		copy.rows = buf_bytes(&rows);
		side_do(s, &copy);
		buf_fini(&data);
		buf_fini(&rows);
	}
}

static uint64_t
side_absorb(struct side *s, struct bytes rows)
{
	struct reader r = reader_of(rows);
	uint64_t n = 0;

	while (r.len > 0) {
		struct row_key key;
		struct row row;

		if (codec_read_key(&r, &key) != 0 ||
		    codec_read_row(&r, test_sha256, &row) != 0)
			abort();
		node_absorb(s->node, table_key_find(&key), &row);
		row_fini(&row);
		n++;
	}
	return n;
}

static void
side_take(struct side *s)
{
	struct parcel p = s->inbox[0];
	struct sync_event e = { .link = LINK };

	memmove(s->inbox, s->inbox + 1, (size_t)--s->inbox_len * sizeof(s->inbox[0]));
	if (p.is_rows) {
		e.type = SYNC_EVENT_ROWS;
		e.len = side_absorb(s, buf_bytes(&p.data));
	} else {
		e.type = SYNC_EVENT_FRAME;
		e.data = buf_bytes(&p.data);
	}
	side_step(s, &e);
	buf_fini(&p.data);
}

static void
side_link(struct side *s, enum sync_event_type type)
{
	struct session *x = s->session;
	struct side *other = &x->sides[s == &x->sides[0] ? 1 : 0];
	struct sync_event e = { .type = type,
				.link = LINK,
				.node = *table_id(other->node->identity),
				.ours = s->rows.root,
				.theirs = other->rows.root };

	side_step(s, &e);
}

void
world_session(struct table_world *w, struct table_node *a, struct table_node *b,
	      int frames)
{
	struct session x = { .world = w, .frames = frames, .is_cut = frames == 0 };
	struct sync_digest roots[2];

	w->counts->real_sessions++;
	for (int i = 0; i < 2; i++) {
		struct sync_config config = { .seed = rng_next(&w->rng) };
		struct side *s = &x.sides[i];

		s->session = &x;
		s->node = i == 0 ? a : b;
		config.self = *table_id(s->node->identity);
		s->sync = sync_new(&config, 0);
		side_read(s);
		roots[i] = s->rows.root;
	}
	for (int i = 0; i < 2; i++) {
		/* Both are told the same pair, whatever the first one did already. */
		x.sides[i].rows.root = roots[i];
	}
	side_link(&x.sides[0], SYNC_EVENT_LINK_UP);
	side_link(&x.sides[1], SYNC_EVENT_LINK_UP);
	for (int i = 0; x.sides[0].inbox_len + x.sides[1].inbox_len > 0; i++)
		if (x.sides[i % 2].inbox_len > 0)
			side_take(&x.sides[i % 2]);
	for (int i = 0; i < 2; i++) {
		struct side *s = &x.sides[i];

		x.is_cut = true;
		side_link(s, SYNC_EVENT_LINK_DOWN);
	}
	for (int i = 0; i < 2; i++) {
		sync_free(x.sides[i].sync);
		rowset_fini(&x.sides[i].rows);
		free(x.sides[i].inbox);
	}
	world_deliver(w);
}
