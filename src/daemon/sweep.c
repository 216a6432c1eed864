/* SPDX-License-Identifier: Apache-2.0 */
/* The horizon H and what it ends (crdt/lease.h). When H grows, by our clock or a peer's
 * word, the store is swept: every row of an owner whose lease is over, then every removed
 * version that is old enough. H is written before the first of them, so that no start finds
 * rows gone and H behind; the owner's node row goes last, so that a start finds by it what
 * was left over.
 *
 * The loop is never held for long: a slice takes at most SWEEP_ROWS rows. Removed versions
 * are found by a list as of the last commit, hence in rounds: commit, look, replace, until
 * a round finds nothing. What is merged meanwhile is trimmed by the same H. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/mem.h"
#include "daemon/rows.h"

enum {
	SWEEP_ROWS = 256, /* a slice: some milliseconds */
	SWEEP_TICK_MS = MS_MINUTE,
	SWEEP_RETRY_MS = MS_SECOND, /* while the store takes nothing */
};

#define SWEEP_META "horizon" /* decimal, ms */

enum sweep_state {
	SWEEP_IDLE,
	SWEEP_OWNERS,  /* whose lease is over */
	SWEEP_COMMIT,  /* the store is asked to be durable */
	SWEEP_REMOVED, /* versions, a round of them */
};

/* An owner with rows in the store at the start. */
struct sweep_owner {
	struct id id;
	UT_hash_handle hh;
};

/* Somebody waits for the end of a sweep. */
struct sweep_wait {
	void (*fn)(void *arg, uint64_t number);
	void *arg;
	uint64_t number;
	struct sweep_wait *prev, *next;
};

struct sweep {
	struct rows *rows;
	enum sweep_state state;
	bool is_again;	/* H grew while a sweep was under way */
	uint64_t kept;	/* H as the store was told it last */
	uint64_t began; /* H at the start */
	/* Those of which the store held rows at the start and no node row, which was damaged
	 * or dropped by hand. A peer has it, or all that they own is swept in an hour or two. */
	struct sweep_owner *orphans;
	struct sweep_wait *waits;      /* for the sweep under way, */
	struct sweep_wait *next_waits; /* and for the one behind it */
	struct loop_timer *tick;
	struct loop_timer *slice;
	uint64_t swept; /* rows, by the sweep under way */
};

static void sweep_run(struct sweep *s);

/* ---- rows to be swept ---- */

struct sweep_page {
	int len;
	struct row_key keys[SWEEP_ROWS];
};

static bool
sweep_take(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	   const struct row *row)
{
	struct sweep_page *page = arg;

	(void)k;
	(void)row;
	page->keys[page->len++] = *key;
	return page->len < SWEEP_ROWS;
}

/* All but the node row. */
static bool
sweep_take_others(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
		  const struct row *row)
{
	return key->kind == ROW_NODE || sweep_take(arg, k, key, row);
}

/* Where a node was is to be remembered beyond its row: after a long absence of all, nobody
 * might know of anybody else. */
static void
sweep_keep_addresses(struct sweep *s, const struct id *owner)
{
	struct daemon *d = s->rows->d;
	struct catalog_node node;

	if (!catalog_node(d->catalog, owner, &node) ||
	    catalog_is_barred(d->catalog, owner))
		return;
	for (int i = 0; i < node.row->addresses_len; i++)
		self_keep_seed(d, node.row->addresses[i]);
}

/* Replace a row by what the horizon leaves of it. 1: another state is held now. */
static int
sweep_row(struct sweep *s, const struct row_key *key)
{
	struct rows *rows = s->rows;
	struct row row = ROW_INIT;
	int rc = store_get(rows->d->store, key, &row);

	if (rc == 0 && leases_sweep(rows->leases, key, &row)) {
		if (key->kind == ROW_NODE)
			sweep_keep_addresses(s, &key->owner);
		rc = store_replace(rows->d->store, key, &row);
		if (rc == 0) {
			rows_changed(rows, key, &row);
			own_held(rows->own, key, &row);
			s->swept++;
			rc = 1;
		}
	}
	row_fini(&row);
	return rc == -EAGAIN ? rc : rc > 0;
}

/* ---- owners ---- */

struct sweep_ended {
	bool is_found;
	struct id owner;
};

static void
sweep_on_ended(void *arg, const struct id *owner)
{
	struct sweep_ended *ended = arg;

	ended->is_found = true;
	ended->owner = *owner;
}

static void
sweep_drop_orphan(struct sweep *s, struct sweep_owner *orphan)
{
	HASH_DEL(s->orphans, orphan);
	free(orphan);
}

/* A slice of its rows. -EAGAIN: the store takes nothing now. */
static int
sweep_owner(struct sweep *s, const struct id *owner, bool *ret_is_done)
{
	struct row_key key = { .owner = *owner, .kind = ROW_NODE };
	struct sweep_page page = { 0 };
	int done = 0, rc;

	store_owner_each(s->rows->d->store, owner, sweep_take_others, &page);
	for (int i = 0; i < page.len; i++) {
		rc = sweep_row(s, &page.keys[i]);
		if (rc < 0)
			return rc;
		done += rc;
	}
	if (done > 0 && page.len == SWEEP_ROWS)
		return 0;
	rc = sweep_row(s, &key);
	if (rc < 0)
		return rc;
	*ret_is_done = true;
	return 0;
}

static int
sweep_ended_owner(struct sweep *s, const struct id *owner)
{
	struct row_key key = { .owner = *owner, .kind = ROW_NODE };
	bool is_done = false;
	int rc = sweep_owner(s, owner, &is_done);

	/* Also a node row that cannot be read is held no more. */
	if (is_done)
		leases_note(s->rows->leases, &key, NULL);
	return rc;
}

static int
sweep_orphan(struct sweep *s, struct sweep_owner *orphan)
{
	bool is_done = leases_of(s->rows->leases, &orphan->id) != 0;
	int rc = is_done ? 0 : sweep_owner(s, &orphan->id, &is_done);

	if (is_done)
		sweep_drop_orphan(s, orphan);
	return rc;
}

/* One slice of the owners' rows. */
static int
sweep_owners(struct sweep *s)
{
	struct sweep_ended ended = { false };

	leases_each_ended(s->rows->leases, sweep_on_ended, &ended);
	if (ended.is_found)
		return sweep_ended_owner(s, &ended.owner);
	if (s->orphans != NULL &&
	    leases_horizon(s->rows->leases) > s->began + LEASE_HORIZON_MS)
		return sweep_orphan(s, s->orphans);
	s->state = SWEEP_COMMIT;
	return 0;
}

/* ---- the end ---- */

static void
sweep_end(struct sweep *s)
{
	struct sweep_wait *told = s->waits, *wait, *next;

	if (s->swept > 0)
		log_info("table", "%llu row%s whose time was over %s forgotten",
			 (unsigned long long)s->swept, s->swept == 1 ? "" : "s",
			 s->swept == 1 ? "is" : "are");
	s->swept = 0;
	s->state = s->is_again ? SWEEP_OWNERS : SWEEP_IDLE;
	s->is_again = false;
	s->waits = s->next_waits;
	s->next_waits = NULL;
	DL_FOREACH_SAFE (told, wait, next) {
		wait->fn(wait->arg, wait->number);
		free(wait);
	}
}

/* ---- removed versions ---- */

static int
sweep_removed(struct sweep *s)
{
	struct sweep_page page = { 0 };
	bool has_more = false;
	int done = 0, rc;

	rc = store_removed_each(s->rows->d->store, leases_horizon(s->rows->leases),
				SWEEP_ROWS, sweep_take, &page, &has_more);
	if (rc != 0)
		return rc;
	for (int i = 0; i < page.len; i++) {
		rc = sweep_row(s, &page.keys[i]);
		if (rc < 0)
			return rc;
		done += rc;
	}
	if (done > 0)
		s->state = SWEEP_COMMIT;
	else
		sweep_end(s);
	return 0;
}

/* ---- slices ---- */

static void
sweep_on_durable(void *arg, int rc)
{
	struct sweep *s = arg;

	if (s->rows->is_closing)
		return;
	s->state = rc == 0 ? SWEEP_REMOVED : SWEEP_COMMIT;
	loop_timer_set(s->slice, rc == 0 ? 0 : SWEEP_RETRY_MS);
}

/* Before anything is swept by it. */
static int
sweep_keep(struct sweep *s)
{
	uint64_t horizon = leases_horizon(s->rows->leases);
	char text[24];
	int rc = 0;

	if (horizon == s->kept)
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)horizon);
	rc = store_meta_set(s->rows->d->store, SWEEP_META, bytes_text(text));
	if (rc == 0)
		s->kept = horizon;
	return rc;
}

static void
sweep_run(struct sweep *s)
{
	int rc = sweep_keep(s);

	if (rc == 0 && s->state == SWEEP_OWNERS)
		rc = sweep_owners(s);
	else if (rc == 0 && s->state == SWEEP_REMOVED)
		rc = sweep_removed(s);
	own_act(s->rows->own);
	rows_sync(s->rows);
	if (s->state == SWEEP_COMMIT)
		rows_when_durable(s->rows, sweep_on_durable, s);
	else if (s->state != SWEEP_IDLE)
		loop_timer_set(s->slice, rc == 0 ? 0 : SWEEP_RETRY_MS);
}

static void
sweep_on_slice(void *arg)
{
	struct sweep *s = arg;

	if (s->state != SWEEP_IDLE && !s->rows->is_closing)
		sweep_run(s);
}

/* ---- the horizon ---- */

/* H is another: tell it, sweep. */
static void
sweep_start(struct sweep *s)
{
	links_root_changed(s->rows->d->links);
	if (s->state != SWEEP_IDLE) {
		s->is_again = true;
		return;
	}
	s->state = SWEEP_OWNERS;
	loop_timer_set(s->slice, 0);
}

static void
sweep_on_tick(void *arg)
{
	struct sweep *s = arg;
	struct daemon *d = s->rows->d;
	ms_t wall = clock_wall_ms();

	loop_timer_set(s->tick, SWEEP_TICK_MS);
	if (leases_tick(s->rows->leases, 0, wall))
		sweep_start(s);
	catalog_expire(d->catalog, wall - store_constants(d->store)->retention_ms);
}

static uint64_t
sweep_stored(struct sweep *s)
{
	struct buf text = BUF_INIT;
	uint64_t horizon = 0;

	if (store_meta_get(s->rows->d->store, SWEEP_META, &text) == 0) {
		buf_put_u8(&text, 0);
		horizon = strtoull((const char *)text.data, NULL, 10);
	}
	buf_fini(&text);
	return horizon;
}

uint64_t
rows_horizon(const struct rows *rows)
{
	return leases_horizon(rows->leases);
}

bool
rows_hear_horizon(struct rows *rows, uint64_t theirs,
		  void (*fn)(void *arg, uint64_t number), void *arg, uint64_t number)
{
	struct sweep *s = rows->sweep;
	struct sweep_wait *wait;
	bool has_changed;

	if (!leases_hear(rows->leases, theirs, clock_wall_ms(), &has_changed))
		return false;
	if (has_changed)
		sweep_start(s);
	if (fn == NULL)
		return true;
	if (s->state == SWEEP_IDLE) {
		fn(arg, number);
		return true;
	}
	wait = mem_alloc(sizeof(*wait));
	*wait = (struct sweep_wait){ .fn = fn, .arg = arg, .number = number };
	if (s->is_again)
		DL_APPEND(s->next_waits, wait);
	else
		DL_APPEND(s->waits, wait);
	return true;
}

/* ---- life ---- */

void
sweep_met(struct sweep *s, const struct id *owner)
{
	struct sweep_owner *o;

	HASH_FIND(hh, s->orphans, owner, sizeof(*owner), o);
	if (o != NULL)
		return;
	o = mem_calloc(1, sizeof(*o));
	o->id = *owner;
	HASH_ADD(hh, s->orphans, id, sizeof(o->id), o);
}

/* Owners that need no node row, or whose own it is, are none. */
static void
sweep_find_orphans(struct sweep *s)
{
	struct sweep_owner *o, *next;

	HASH_ITER (hh, s->orphans, o, next) {
		struct row_key key = { .owner = o->id, .kind = ROW_WORKER };

		if (!leases_knows(s->rows->leases, &key) &&
		    !id_equal(&o->id, &s->rows->d->identity->node_id) &&
		    !id_equal(&o->id, &s->rows->d->identity->cluster_id))
			continue;
		sweep_drop_orphan(s, o);
	}
}

void
sweep_begin(struct sweep *s)
{
	struct daemon *d = s->rows->d;
	ms_t wall = clock_wall_ms();

	sweep_find_orphans(s);
	s->kept = sweep_stored(s);
	leases_tick(s->rows->leases, s->kept, wall);
	s->began = leases_horizon(s->rows->leases);
	catalog_expire(d->catalog, wall - store_constants(d->store)->retention_ms);
	loop_timer_set(s->tick, SWEEP_TICK_MS);
	/* Also at the H of before: a crash may have cut a sweep short. */
	sweep_start(s);
}

struct sweep *
sweep_open(struct rows *rows)
{
	struct sweep *s = mem_calloc(1, sizeof(*s));

	s->rows = rows;
	s->tick = loop_timer_new(rows->d->loop, sweep_on_tick, s);
	s->slice = loop_timer_new(rows->d->loop, sweep_on_slice, s);
	return s;
}

static void
sweep_drop_waits(struct sweep_wait *waits)
{
	struct sweep_wait *wait, *next;

	DL_FOREACH_SAFE (waits, wait, next)
		free(wait);
}

void
sweep_close(struct sweep *s)
{
	struct sweep_owner *o, *next;

	if (s == NULL)
		return;
	HASH_ITER (hh, s->orphans, o, next) {
		sweep_drop_orphan(s, o);
	}
	sweep_drop_waits(s->waits);
	sweep_drop_waits(s->next_waits);
	loop_timer_free(s->tick);
	loop_timer_free(s->slice);
	free(s);
}
