/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/mesh-stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/mesh-node.h"

enum {
	STREAM_RETRY_MS = 200,
	STREAM_RETRY_MS_MAX = 5000,
	STREAM_KEPT_BYTES = 2048,
};

static void stream_arm(struct stream_end *e, us_t at);

/* ---- life ---- */

static struct stream *
stream_new(struct world *w, struct node *from, struct node *to)
{
	struct stream *s = mem_calloc(1, sizeof(*s));

	s->end[0] = (struct stream_end){ .stream = s, .node = from, .life = from->life };
	s->end[1] = (struct stream_end){ .stream = s, .node = to };
	s->refs = 1;
	s->is_kept = true;
	if (w->streams_len == w->streams_cap) {
		w->streams_cap = 2 * w->streams_cap + 64;
		w->streams = mem_realloc(w->streams, (size_t)w->streams_cap,
					 sizeof(struct stream *));
	}
	s->place = w->streams_len;
	w->streams[w->streams_len++] = s;
	return s;
}

static void
end_forget(struct stream_end *e)
{
	while (e->first != NULL) {
		struct packet *p = e->first;

		e->first = p->next;
		free(p);
	}
	e->last = NULL;
	e->flight = 0;
}

static void
stream_free(struct stream *s)
{
	struct world *w = s->end[0].node->world;

	for (int i = 0; i < 2; i++) {
		end_forget(&s->end[i]);
		outbox_fini(&s->end[i].outbox);
	}
	w->streams[s->place] = w->streams[--w->streams_len];
	w->streams[s->place]->place = s->place;
	free(s);
}

static void
stream_release(struct stream *s)
{
	if (--s->refs == 0)
		stream_free(s);
}

static void
end_open(struct stream_end *e, uint64_t link)
{
	e->link = link;
	HASH_ADD(hh, e->node->ends, link, sizeof(e->link), e);
}

/* No more of it here. */
static void
end_close(struct stream_end *e)
{
	struct stream *s = e->stream;

	if (e->link == 0)
		return;
	HASH_DEL(e->node->ends, e);
	e->link = 0;
	if (s->is_kept && s->end[0].link == 0 && s->end[1].link == 0) {
		s->is_kept = false;
		stream_release(s);
	}
}

struct stream_end *
stream_end_find(const struct node *n, uint64_t link)
{
	struct stream_end *e;

	HASH_FIND(hh, n->ends, &link, sizeof(link), e);
	return e;
}

struct stream_end *
stream_other(struct stream_end *e)
{
	return &e->stream->end[e == &e->stream->end[0]];
}

/* ---- out ---- */

static void
end_put(struct stream_end *to, const struct buf *data, bool is_close)
{
	struct world *w = to->node->world;
	struct packet *p = mem_alloc(sizeof(*p) + data->len);
	us_t at = w->sim.now_us + world_delay(w, stream_other(to)->node, to->node);

	if (at < to->last_at)
		at = to->last_at;
	to->last_at = at;
	*p = (struct packet){ .at = at, .len = data->len, .is_close = is_close };
	if (data->len > 0)
		memcpy(p->data, data->data, data->len);
	if (to->last != NULL)
		to->last->next = p;
	else
		to->first = p;
	to->last = p;
	to->flight += data->len;
	if (to->first == p)
		stream_arm(to, at);
}

/* A HELLO that goes out: within a life of its disk a node never tells a lower incarnation. */
static void
end_watch_hello(struct node *n, struct bytes frame)
{
	struct reader r = reader_of(frame);
	struct wire_hello h;

	reader_take(&r, WIRE_HEADER_BYTES);
	if (wire_read_hello(bytes_of(r.data, r.len), &h) != 0) {
		world_fail(n->world, "node %d sends a HELLO that cannot be read",
			   n->index);
		return;
	}
	n->world->hellos++;
	if (h.incarnation < n->incarnation)
		world_fail(n->world, "node %d: its incarnation went down", n->index);
	n->incarnation = h.incarnation;
}

/* A daemon may keep the memory of a crowd for each of its links; thousands in one process
 * may not. */
static void
end_trim(struct stream_end *e)
{
	size_t kept = 0;

	for (int q = 0; q < OUTBOX_QUEUES; q++) {
		if (outbox_has(&e->outbox, (enum outbox_queue)q))
			return;
		kept += e->outbox.queues[q].cap;
	}
	if (kept <= STREAM_KEPT_BYTES)
		return;
	outbox_fini(&e->outbox);
	memset(e->outbox.taken, 0, sizeof(e->outbox.taken));
}

static void
end_flush(struct stream_end *e, size_t window)
{
	struct stream_end *to = stream_other(e);
	struct buf data = BUF_INIT;
	enum wire_class class;
	struct bytes frame;

	while (to->flight + data.len < window &&
	       outbox_take(&e->outbox, &frame, &class)) {
		e->node->sent[class] += frame.len;
		if (frame.data[2] == WIRE_HELLO)
			end_watch_hello(e->node, frame);
		buf_put_bytes(&data, frame);
	}
	if (data.len > 0)
		end_put(to, &data, false);
	buf_fini(&data);
	end_trim(e);
}

static size_t
stream_window(const struct world *w)
{
	return w->is_tiny ? STREAM_WINDOW_TINY : STREAM_WINDOW;
}

static void
end_lose(struct stream_end *e)
{
	struct buf nothing = BUF_INIT;

	if (e->link == 0)
		return;
	end_forget(e);
	end_put(e, &nothing, true);
}

/* The peer takes nothing more: as src/daemon/links.c. */
static void
stream_drop(struct stream_end *e)
{
	struct node *n = e->node;
	struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED,
				    .link = e->link,
				    .why = "it takes its frames too slowly" };

	world_trace(n->world, "node %d drops link %llu: its outbox is full", n->index,
		    (unsigned long long)e->link);
	end_lose(stream_other(e));
	end_close(e);
	node_step(n, &event);
}

/* As src/daemon/links.c: rows begin to be dropped, until all that waited are out. */
static void
stream_weigh(struct node *n, uint64_t link, bool has_dropped)
{
	struct stream_end *e = stream_end_find(n, link);
	struct mesh_event event = { .type = MESH_EVENT_LINK_LAGGING, .link = link };

	if (e == NULL)
		return;
	event.is_lagging = has_dropped ||
			   (e->is_lagging && outbox_has(&e->outbox, OUTBOX_ROWS));
	if (event.is_lagging == e->is_lagging)
		return;
	e->is_lagging = event.is_lagging;
	node_step(n, &event);
}

void
stream_send(struct node *n, uint64_t link, enum wire_class class, uint64_t key,
	    struct bytes frames)
{
	struct stream_end *e = stream_end_find(n, link);
	enum outbox_end end;

	if (e == NULL)
		return;
	end = outbox_put(&e->outbox, class, key, frames);
	if (end == OUTBOX_FULL) {
		stream_drop(e);
		return;
	}
	end_flush(e, stream_window(n->world));
	stream_weigh(n, link, end == OUTBOX_DROPPED);
}

void
stream_close(struct stream_end *e)
{
	struct buf nothing = BUF_INIT;

	end_flush(e, SIZE_MAX);
	if (stream_other(e)->link != 0)
		end_put(stream_other(e), &nothing, true);
	end_close(e);
}

/* ---- ends ---- */

void
stream_reset(struct stream *s)
{
	s->refs++;
	end_lose(&s->end[0]);
	end_lose(&s->end[1]);
	stream_release(s);
}

void
stream_cut(struct stream *s)
{
	s->end[0].is_cut = s->end[1].is_cut = true;
}

void
streams_die(struct node *n, bool is_silent)
{
	struct stream_end *e, *next;

	HASH_ITER (hh, n->ends, e, next) {
		struct stream *s = e->stream;

		s->refs++;
		if (is_silent)
			stream_cut(s);
		else
			end_lose(stream_other(e));
		end_close(e);
		stream_release(s);
	}
}

void
streams_free(struct world *w)
{
	while (w->streams_len > 0) {
		struct stream *s = w->streams[0];

		for (int i = 0; i < 2; i++)
			if (s->end[i].link != 0)
				HASH_DEL(s->end[i].node->ends, &s->end[i]);
		stream_free(s);
	}
	free(w->streams);
}

/* ---- in ---- */

/* In pieces, sometimes byte by byte. */
static void
end_read(struct stream_end *e, const struct packet *p)
{
	struct node *n = e->node;
	struct sim *sim = &n->world->sim;
	struct mesh_event event = { .type = MESH_EVENT_LINK_DATA };
	bool is_cut_up = n->world->pieces > 0 &&
			 sim_once_in(sim, (uint64_t)n->world->pieces);

	for (size_t at = 0, len; at < p->len && e->link != 0; at += len) {
		len = p->len - at;
		if (is_cut_up)
			len = 1 + (size_t)sim_below(sim, sim_once_in(sim, 8) ? 3 : len);
		if (len > p->len - at)
			len = p->len - at;
		event.link = e->link;
		event.data = bytes_of(p->data + at, len);
		node_step(n, &event);
	}
}

static void
end_take(struct stream_end *e)
{
	struct node *n = e->node;
	struct packet *p = e->first;

	e->first = p->next;
	if (e->first == NULL)
		e->last = NULL;
	e->flight -= p->len;
	sim_note_u64(&n->world->sim, (uint64_t)n->index << 32 | p->len);
	if (n->rate > 0)
		e->ready_at = n->world->sim.now_us +
			      (us_t)(p->len * UINT64_C(1000000) / n->rate);
	if (p->is_close && e->link != 0) {
		struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED,
					    .link = e->link,
					    .why = "closed by the other side" };

		end_close(e);
		node_step(n, &event);
	} else {
		end_read(e, p);
	}
	free(p);
}

/* When the next packet can be taken: now, later, or (0) never. */
static us_t
end_next(struct stream_end *e)
{
	struct node *n = e->node;
	struct world *w = n->world;
	us_t at;

	if (e->first == NULL || e->is_cut || e->link == 0 || !n->is_running)
		return 0;
	at = e->first->at > e->ready_at ? e->first->at : e->ready_at;
	if (n->process.is_frozen && (us_t)n->process.until * 1000 > at)
		at = (us_t)n->process.until * 1000;
	if (at > w->sim.now_us)
		return at;
	if (world_is_blocked(w, stream_other(e)->node, n)) {
		e->retry = e->retry == 0 ? STREAM_RETRY_MS : 2 * e->retry;
		if (e->retry > STREAM_RETRY_MS_MAX)
			e->retry = STREAM_RETRY_MS_MAX;
		return w->sim.now_us + (us_t)e->retry * 1000;
	}
	e->retry = 0;
	return at;
}

static void
end_arrive(struct sim *sim, void *arg, void *data)
{
	struct stream_end *e = arg, *other = stream_other(e);
	us_t at;

	(void)data;
	e->is_armed = false;
	while ((at = end_next(e)) != 0 && at <= sim->now_us)
		end_take(e);
	if (at != 0)
		stream_arm(e, at);
	if (other->link != 0) {
		end_flush(other, stream_window(e->node->world));
		stream_weigh(other->node, other->link, false);
	}
	stream_release(e->stream);
}

static void
stream_arm(struct stream_end *e, us_t at)
{
	if (e->is_armed)
		return;
	e->is_armed = true;
	e->stream->refs++;
	sim_at_us(&e->node->world->sim, at, end_arrive, e, NULL);
}

/* ---- dials ---- */

static void
dial_refuse(struct stream_end *e)
{
	struct node *n = e->node;
	struct mesh_event event = { .type = MESH_EVENT_LINK_CLOSED,
				    .link = e->link,
				    .why = "connection refused" };

	end_close(e);
	node_step(n, &event);
}

/* The accepting side, then the dialling one. */
static void
dial_arrive(struct sim *sim, void *arg, void *data)
{
	struct stream *s = arg;
	struct node *a = s->end[0].node, *b = s->end[1].node;
	struct mesh_event e = { .type = MESH_EVENT_LINK_OPEN };

	(void)data;
	/* Its kernel accepts; TLS waits for the process. */
	for (int i = 0; i < 2; i++)
		if (s->end[i].node->process.is_frozen &&
		    s->end[i].node->process.until > sim->now) {
			sim_at(sim, s->end[i].node->process.until, dial_arrive, s, NULL);
			return;
		}
	if (s->end[0].link == 0) {
		/* The one that dialled has given up. */
	} else if (world_is_blocked(a->world, a, b) || world_is_blocked(a->world, b, a) ||
		   b->is_host_down || (b->is_hidden && s->end[0].link % 2 == 0)) {
		/* The core's own limit ends the dial. */
	} else if (!b->is_running || b->is_hidden) {
		dial_refuse(&s->end[0]);
	} else {
		s->end[1].life = b->life;
		end_open(&s->end[1], mesh_link_new(b->mesh));
		e.link = s->end[1].link;
		e.node = a->id;
		node_step(b, &e);
		e.link = s->end[0].link;
		e.node = b->id;
		if (s->end[0].link != 0)
			node_step(a, &e);
	}
	stream_release(s);
}

void
stream_dial(struct node *n, struct node *to, uint64_t link)
{
	struct world *w = n->world;
	struct stream *s = stream_new(w, n, to);

	end_open(&s->end[0], link);
	s->refs++;
	/* TCP and TLS go there and back. */
	sim_at_us(&w->sim,
		  w->sim.now_us + 2 * world_delay(w, n, to) + world_delay(w, to, n),
		  dial_arrive, s, NULL);
}
