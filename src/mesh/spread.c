/* SPDX-License-Identifier: Apache-2.0 */
/* How rows travel: at once over the edges of the tree (tree.c), one a frame; by two other
 * links they are announced, by their hashes, and who has not got one soon enough asks for it
 * (as Leitão, Pereira, Rodrigues: "Epidemic Broadcast Trees", 2007, but for that asking
 * never changes the tree). For a while rows are kept, as they were sent, for those who ask,
 * and to know those that come again: such a one is dropped before its signature is checked.
 *
 * A hash names a row, and proves nothing: two rows are the same when their bytes are. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mesh/core.h"

/* ---- who has a row ---- */

static bool
having_has(const struct mesh_having *h, uint64_t link)
{
	for (int i = 0; i < h->len; i++)
		if (h->links[i] == link)
			return true;
	return false;
}

/* More than a few need not be known: such a row is everywhere. */
static void
having_add(struct mesh_having *h, uint64_t link)
{
	if (link != 0 && h->len < MESH_HAVING_MAX && !having_has(h, link))
		h->links[h->len++] = link;
}

/* ---- rows that were announced and are not here ---- */

static struct mesh_awaited *
awaited_find(const struct mesh *m, uint64_t hash)
{
	struct mesh_awaited *a;

	HASH_FIND(hh, m->spread.awaited, &hash, sizeof(hash), a);
	return a;
}

static void
awaited_free(struct mesh *m, struct mesh_awaited *a)
{
	struct mesh_link *first = mesh_link_find(m, a->having.links[0]);

	if (first != NULL)
		first->lazy.awaited--;
	HASH_DEL(m->spread.awaited, a);
	free(a);
}

static void
awaited_want(struct mesh *m, ms_t due)
{
	if (m->spread.pull_due == 0 || due < m->spread.pull_due)
		m->spread.pull_due = due;
	mesh_want(m, due);
}

static void
awaited_add(struct mesh *m, struct mesh_link *l, uint64_t hash)
{
	struct mesh_awaited *a;
	ms_t wait = 2 * l->lazy.lag;

	if (HASH_COUNT(m->spread.awaited) >= MESH_AWAITED_MAX ||
	    l->lazy.awaited >= MESH_AWAITED_OF_LINK_MAX)
		return;
	if (wait < MESH_PULL_MIN_MS)
		wait = MESH_PULL_MIN_MS;
	a = mem_calloc(1, sizeof(*a));
	a->hash = hash;
	a->at = m->now;
	a->pull_due = m->now + (wait < MESH_PULL_MAX_MS ? wait : MESH_PULL_MAX_MS);
	having_add(&a->having, l->id);
	l->lazy.awaited++;
	HASH_ADD(hh, m->spread.awaited, hash, sizeof(a->hash), a);
	awaited_want(m, a->pull_due);
}

/* ---- recent rows ---- */

static struct mesh_recent *
recent_find(const struct mesh *m, uint64_t hash)
{
	struct mesh_recent *r;

	HASH_FIND(hh, m->spread.recents, &hash, sizeof(hash), r);
	return r;
}

static size_t
recent_bytes(const struct mesh_recent *r)
{
	return r->rows->len + (r->refresh != NULL ? r->refresh->len : 0);
}

static void
recent_free(struct mesh *m, struct mesh_recent *r)
{
	m->spread.recents_bytes -= recent_bytes(r);
	HASH_DEL(m->spread.recents, r);
	mesh_blob_release(r->rows);
	mesh_blob_release(r->refresh);
	free(r);
}

/* The oldest go: those whose time is over, and those above what may be kept. */
static void
recents_trim(struct mesh *m)
{
	struct mesh_spread *s = &m->spread;

	while (s->recents != NULL && (m->now - s->recents->at >= MESH_RECENT_MS ||
				      HASH_COUNT(s->recents) > MESH_RECENTS_MAX ||
				      s->recents_bytes > MESH_RECENT_BYTES_MAX))
		recent_free(m, s->recents);
}

/* As the newest. */
static void
recent_renew(struct mesh *m, struct mesh_recent *r)
{
	r->at = m->now;
	HASH_DEL(m->spread.recents, r);
	HASH_ADD(hh, m->spread.recents, hash, sizeof(r->hash), r);
}

static struct mesh_recent *
recent_add(struct mesh *m, uint64_t hash, struct mesh_blob *rows)
{
	struct mesh_recent *r = mem_calloc(1, sizeof(*r));
	struct mesh_awaited *a = awaited_find(m, hash);

	r->hash = hash;
	r->rows = rows;
	rows->refs++;
	r->at = m->now;
	if (a != NULL) {
		r->having = a->having;
		r->announced_at = a->at;
		r->announcer = a->having.links[0];
		r->puller = a->asked > 0 ? a->having.links[a->asked - 1] : 0;
		awaited_free(m, a);
	}
	m->spread.recents_bytes += rows->len;
	HASH_ADD(hh, m->spread.recents, hash, sizeof(r->hash), r);
	return r;
}

/* Rows take other ways by their origins: what matters is the slow ones, which need not be
 * many, so that it grows fast and shrinks slowly. */
static void
lag_learn(struct mesh_link *l, ms_t lag)
{
	ms_t *smoothed = &l->lazy.lag;

	if (lag > *smoothed)
		*smoothed += (lag - *smoothed + 1) / 2;
	else
		*smoothed -= (*smoothed - lag) / 16;
}

/* How long the tree took longer than the announcement: what was pulled does not tell. */
static void
recent_learn_lag(struct mesh *m, struct mesh_recent *r, const struct mesh_link *from)
{
	struct mesh_link *l = mesh_link_find(m, r->announcer);
	ms_t lag = m->now - r->announced_at;

	if (r->announced_at == 0 || from->id == r->puller)
		return;
	r->announced_at = 0;
	if (l != NULL)
		lag_learn(l, lag);
}

static bool
recent_is(const struct mesh_recent *r, const struct mesh_blob *rows)
{
	return r->rows->len == rows->len &&
	       memcmp(r->rows->data, rows->data, rows->len) == 0;
}

/* It came by `l`. False when it did so before, and is merged, or about to be. */
static bool
recent_arrived(struct mesh *m, const struct mesh_link *l, struct mesh_blob *rows,
	       uint64_t seed)
{
	uint64_t hash = hash64(bytes_of(rows->data, rows->len), seed);
	struct mesh_recent *r;
	bool is_new = true;

	recents_trim(m);
	r = recent_find(m, hash);
	if (r == NULL) {
		r = recent_add(m, hash, rows);
	} else if (!recent_is(r, rows)) {
		return true;
	} else {
		m->stats.duplicates++;
		m->stats.in_flight += !r->is_held;
		is_new = !r->is_held && m->now - r->at >= MESH_IN_FLIGHT_MS;
		if (is_new)
			recent_renew(m, r);
	}
	having_add(&r->having, l->id);
	recent_learn_lag(m, r, l);
	return is_new;
}

/* ---- rows sent ---- */

static void
spread_send(struct mesh *m, struct mesh_link *l, struct mesh_blob *frame, uint64_t key)
{
	mesh_send_blob(m, l, WIRE_CLASS_ROWS, frame);
	m->last->action.key = key;
}

static struct mesh_blob *
spread_frame(struct bytes rows, struct bytes refresh)
{
	struct mesh_blob *frame;
	struct buf b = BUF_INIT;

	if (refresh.len > 0)
		wire_put_refresh(&b, refresh);
	else
		wire_put_rows(&b, WIRE_ROWS, rows);
	frame = mesh_blob_new(buf_bytes(&b));
	buf_fini(&b);
	return frame;
}

/* The next behind us on a ring, of the links by which rows may be announced. */
static struct mesh_link *
spread_next_on(struct mesh *m, int ring, const struct mesh_link * not )
{
	struct mesh_link *best = NULL;
	uint64_t best_way = 0;

	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		uint64_t way;

		if (l == not || !mesh_link_has_rows(l) || mesh_link_is_eager(m, l) ||
		    mesh_link_is_spare(m, l) || l->edge.lagging_at != 0 ||
		    l->node->inbound == MESH_INBOUND_NO)
			continue;
		way = l->node->places[ring] - m->self.places[ring];
		if (best == NULL || way < best_way) {
			best = l;
			best_way = way;
		}
	}
	return best;
}

static void
spread_announce_to(struct mesh *m, struct mesh_link *l, const struct mesh_recent *r)
{
	if (having_has(&r->having, l->id) ||
	    l->lazy.announce.len >= (size_t)WIRE_HASHES_MAX * 8)
		return;
	if (l->lazy.announce.len == 0)
		l->lazy.announce_due = m->now + MESH_ANNOUNCE_MS;
	mesh_want(m, l->lazy.announce_due);
	buf_put_u64(&l->lazy.announce, r->hash);
}

/* To the next ones on the first rings, and to those who would have got it at once if they
 * were not so slow. */
static void
spread_announce(struct mesh *m, const struct mesh_recent *r)
{
	struct mesh_link *first = NULL, *l;
	int n = 0;

	for (int ring = 0; ring < m->rings.count && n < MESH_ANNOUNCE_LINKS; ring++) {
		l = spread_next_on(m, ring, first);
		if (l == NULL)
			break;
		spread_announce_to(m, l, r);
		first = l;
		n++;
	}
	for (l = m->links; l != NULL; l = l->hh.next)
		if (l->edge.lagging_at != 0 && l->edge.is_child &&
		    mesh_link_has_rows(l) && !mesh_link_is_eager(m, l))
			spread_announce_to(m, l, r);
}

void
mesh_row_changed(struct mesh *m, const struct mesh_event *e)
{
	const struct mesh_link *from = mesh_link_find(m, e->link);
	struct mesh_blob *rows, *frame;
	struct mesh_recent *r;
	uint64_t hash;

	if (e->rows.len == 0)
		return;
	recents_trim(m);
	hash = hash64(e->rows, 0);
	rows = mesh_blob_new(e->rows);
	frame = spread_frame(e->rows, e->refresh);
	r = recent_find(m, hash);
	if (r != NULL && !recent_is(r, rows)) {
		recent_free(m, r);
		r = NULL;
	}
	if (r == NULL)
		r = recent_add(m, hash, rows);
	mesh_blob_release(rows);
	r->is_held = true;
	r->key = e->key_hash;
	if (e->refresh.len > 0 && r->refresh == NULL) {
		r->refresh = mesh_blob_new(e->refresh);
		m->spread.recents_bytes += r->refresh->len;
	}
	recent_renew(m, r);
	if (from != NULL) {
		having_add(&r->having, from->id);
		recent_learn_lag(m, r, from);
	}
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next)
		if (l->state != MESH_LINK_DIALLING && mesh_link_is_eager(m, l) &&
		    (from == NULL || l->node != from->node) &&
		    !having_has(&r->having, l->id))
			spread_send(m, l, frame, r->key);
	mesh_blob_release(frame);
	spread_announce(m, r);
	recents_trim(m);
}

/* ---- rows that come ---- */

/* False when the link was closed; else `*ret_rows` are whole rows, or none yet. */
static bool
rows_gather(struct mesh *m, struct mesh_link *l, const struct wire_frame *f,
	    struct bytes *ret_rows)
{
	struct buf *begun = f->type == WIRE_SYNC_ROWS ? &l->sync_rows : &l->rows;

	*ret_rows = f->payload;
	if (begun->len > 0 || (f->flags & WIRE_FLAG_MORE)) {
		if (begun->len + f->payload.len > MESH_ROWS_BYTES_MAX) {
			mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED,
					"a row of more than %d bytes",
					MESH_ROWS_BYTES_MAX);
			return false;
		}
		buf_put_bytes(begun, f->payload);
		*ret_rows = f->flags & WIRE_FLAG_MORE ? bytes_of(NULL, 0)
						      : buf_bytes(begun);
	}
	if (ret_rows->len == 0 && !(f->flags & WIRE_FLAG_MORE)) {
		mesh_link_close(m, l, WIRE_GOODBYE_MALFORMED, "a frame of no rows");
		return false;
	}
	return true;
}

bool
mesh_rows_arrived(struct mesh *m, struct mesh_link *l, const struct wire_frame *f)
{
	bool is_sync = f->type == WIRE_SYNC_ROWS;
	struct mesh_blob *blob;
	struct mesh_item *item;
	struct bytes rows;

	if (l->is_rowless)
		return true;
	if (!rows_gather(m, l, f, &rows))
		return false;
	if (rows.len == 0)
		return true;
	blob = mesh_blob_new(rows);
	buf_fini(is_sync ? &l->sync_rows : &l->rows);
	/* A comparison counts each row that it asked for. */
	if (!is_sync && !recent_arrived(m, l, blob, 0) &&
	    l->lazy.wanted_until <= m->now) {
		mesh_blob_release(blob);
		return true;
	}
	item = mesh_act(m, MESH_ACTION_DELIVER_ROWS, l->id);
	item->blob = blob;
	item->action.node = l->node->id;
	item->action.rows = bytes_of(blob->data, blob->len);
	item->action.is_sync = is_sync;
	return true;
}

bool
mesh_frame_refresh(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct mesh_blob *blob;
	struct mesh_item *item;

	if (payload.len != WIRE_REFRESH_BYTES)
		return mesh_malformed(m, l, "a REFRESH");
	if (l->is_rowless || !mesh_rate_pass(m, &l->lazy.refreshes, MESH_REFRESHES_MAX))
		return true;
	blob = mesh_blob_new(payload);
	if (!recent_arrived(m, l, blob, WIRE_REFRESH)) {
		mesh_blob_release(blob);
		return true;
	}
	item = mesh_act(m, MESH_ACTION_DELIVER_REFRESH, l->id);
	item->blob = blob;
	item->action.node = l->node->id;
	item->action.data = bytes_of(blob->data, blob->len);
	return true;
}

/* ---- announcements and pulls ---- */

bool
mesh_frame_announce(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct bytes hashes;

	if (wire_read_hashes(payload, &hashes) < 0)
		return mesh_malformed(m, l, "an ANNOUNCE");
	if (!mesh_link_has_rows(l))
		return true;
	for (size_t at = 0; at < hashes.len; at += 8) {
		uint64_t hash = get_be64(hashes.data + at);
		struct mesh_recent *r = recent_find(m, hash);
		struct mesh_awaited *a = awaited_find(m, hash);

		if (r != NULL) {
			having_add(&r->having, l->id);
			lag_learn(l, 0);
		} else if (a != NULL) {
			having_add(&a->having, l->id);
		} else {
			awaited_add(m, l, hash);
		}
	}
	return true;
}

/* May so many bytes more go to this peer within this second? */
static bool
pull_may_send(const struct mesh *m, struct mesh_rate *rate, size_t len)
{
	if (m->now - rate->since >= MS_SECOND)
		*rate = (struct mesh_rate){ .since = m->now };
	if ((size_t)rate->count + len > MESH_PULL_BYTES_MAX)
		return false;
	rate->count += (int)len;
	return true;
}

static void
pull_answer(struct mesh *m, struct mesh_link *l, struct mesh_recent *r)
{
	struct bytes refresh = { 0 };
	struct mesh_blob *frame;

	if (r->refresh != NULL)
		refresh = bytes_of(r->refresh->data, r->refresh->len);
	if (!pull_may_send(m, &l->lazy.pulled,
			   refresh.len > 0 ? refresh.len : r->rows->len))
		return;
	frame = spread_frame(bytes_of(r->rows->data, r->rows->len), refresh);
	spread_send(m, l, frame, r->key);
	mesh_blob_release(frame);
	having_add(&r->having, l->id);
	m->stats.pulls_answered++;
}

bool
mesh_frame_pull(struct mesh *m, struct mesh_link *l, struct bytes payload)
{
	struct bytes hashes;

	if (wire_read_hashes(payload, &hashes) < 0)
		return mesh_malformed(m, l, "a PULL");
	if (!mesh_link_has_rows(l))
		return true;
	recents_trim(m);
	for (size_t at = 0; at < hashes.len; at += 8) {
		struct mesh_recent *r = recent_find(m, get_be64(hashes.data + at));

		/* What is not verified is handed on to nobody. */
		if (r != NULL && r->is_held)
			pull_answer(m, l, r);
	}
	return true;
}

static void
spread_send_hashes(struct mesh *m, struct mesh_link *l, enum wire_type type,
		   struct bytes hashes)
{
	struct buf b = BUF_INIT;

	if (hashes.len > 0)
		wire_put_frame(&b, (uint8_t)type, 0, hashes);
	if (b.len > 0)
		mesh_send(m, l, WIRE_CLASS_ANNOUNCE, buf_bytes(&b));
	buf_fini(&b);
}

/* Less those that it has by now. */
static void
announce_flush(struct mesh *m, struct mesh_link *l)
{
	struct reader r = reader_of(buf_bytes(&l->lazy.announce));
	struct buf hashes = BUF_INIT;

	while (r.len > 0) {
		uint64_t hash = reader_u64(&r);
		const struct mesh_recent *row = recent_find(m, hash);

		if (row != NULL && !having_has(&row->having, l->id))
			buf_put_u64(&hashes, hash);
	}
	buf_clear(&l->lazy.announce);
	if (mesh_link_has_rows(l))
		spread_send_hashes(m, l, WIRE_ANNOUNCE, buf_bytes(&hashes));
	buf_fini(&hashes);
}

/* Ask the next one of those who announced it. False when there is none left. */
static bool
pull_ask(struct mesh *m, struct mesh_awaited *a)
{
	while (a->asked < a->having.len) {
		struct mesh_link *l = mesh_link_find(m, a->having.links[a->asked++]);

		if (l == NULL || !mesh_link_has_rows(l))
			continue;
		buf_put_u64(&l->lazy.pull, a->hash);
		if (l->lazy.pull.len == (size_t)WIRE_HASHES_MAX * 8) {
			spread_send_hashes(m, l, WIRE_PULL, buf_bytes(&l->lazy.pull));
			buf_clear(&l->lazy.pull);
		}
		a->pull_due = m->now + MESH_PULL_AGAIN_MS;
		m->stats.pulled++;
		return true;
	}
	return false;
}

static void
pulls_tick(struct mesh *m)
{
	struct mesh_awaited *a, *next;

	if (m->spread.pull_due == 0)
		return;
	if (m->spread.pull_due > m->now) {
		mesh_want(m, m->spread.pull_due);
		return;
	}
	m->spread.pull_due = 0;
	HASH_ITER (hh, m->spread.awaited, a, next) {
		if (a->pull_due <= m->now && !pull_ask(m, a))
			awaited_free(m, a);
		else
			awaited_want(m, a->pull_due);
	}
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		spread_send_hashes(m, l, WIRE_PULL, buf_bytes(&l->lazy.pull));
		buf_clear(&l->lazy.pull);
	}
}

void
mesh_spread_tick(struct mesh *m)
{
	recents_trim(m);
	pulls_tick(m);
	for (struct mesh_link *l = m->links; l != NULL; l = l->hh.next) {
		if (l->lazy.announce.len == 0)
			continue;
		if (l->lazy.announce_due <= m->now)
			announce_flush(m, l);
		else
			mesh_want(m, l->lazy.announce_due);
	}
}

/* ---- life ---- */

void
mesh_spread_link_fini(struct mesh_link *l)
{
	buf_fini(&l->lazy.announce);
	buf_fini(&l->lazy.pull);
}

void
mesh_spread_free(struct mesh *m)
{
	while (m->spread.recents != NULL)
		recent_free(m, m->spread.recents);
	while (m->spread.awaited != NULL)
		awaited_free(m, m->spread.awaited);
}
