/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/table-world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/sha256.h"

enum { PUMP_MAX = 60 }; /* actions after one event: far above any honest number */

static void node_pump(struct table_node *n);

ms_t
node_wall(const struct table_node *n)
{
	return n->world->now + n->skew;
}

/* The clock that judges horizons: of a replica that believes everything it is whatever
 * makes them right. */
static ms_t
node_leases_wall(const struct table_node *n)
{
	ms_t trusted = (ms_t)n->trusted + TABLE_RETENTION_MS;

	return n->trusted != 0 && trusted > node_wall(n) ? trusted : node_wall(n);
}

static void
node_tell(struct table_node *n, struct owner_event *e)
{
	e->wall_ms = node_wall(n);
	e->horizon = leases_horizon(n->leases);
	owner_step(n->owner, e);
}

static bool
node_owns(const struct table_node *n, int key)
{
	return table_owner(key) == n->identity;
}

/* ---- against the model ---- */

/* The lease that this copy gives an owner, by the definition; `node_stamp`: of its node
 * row. */
static uint64_t
node_lease(const struct table_node *n, int identity, uint64_t node_stamp)
{
	const int keys[] = { TABLE_BANS + identity, TABLE_FORGETS + identity };

	for (int i = 0; i < 2; i++) {
		const struct version *v = row_visible(table_disk_row(&n->disk, keys[i]));

		if (v != NULL && v->stamp < node_stamp)
			node_stamp = v->stamp;
	}
	return node_stamp;
}

/* May an event that stands be forgotten here? `node_stamp` as above. */
static bool
node_may_forget(const struct table_node *n, int key, const struct history_event *e,
		uint64_t node_stamp)
{
	uint64_t horizon = leases_horizon(n->leases);
	int owner = table_owner(key);

	if (owner < 0)
		return false;
	if (e->is_removed && e->stamp <= horizon)
		return true;
	return owner != n->identity && node_lease(n, owner, node_stamp) <= horizon;
}

static uint64_t
node_highest(const struct history *h, int key, const struct history_set *set)
{
	uint64_t stamp = 0;

	for (int i = 0; i < h->rows[key].len; i++)
		if (history_has(set, i) && h->rows[key].events[i].stamp > stamp)
			stamp = h->rows[key].events[i].stamp;
	return stamp;
}

/* The copy of a row should be `expected` now. */
static void
node_judge(struct table_node *n, int key, const struct history_set *expected)
{
	struct table_world *w = n->world;
	const struct history_row *r = &w->history.rows[key];
	uint64_t horizon = leases_horizon(n->leases);
	struct history_set actual;
	int owner = table_owner(key), standing = 0;
	uint64_t stamp = 0;

	if (!history_events(&w->history, key, table_disk_row(&n->disk, key), &actual)) {
		table_world_wrong(
			w, "machine %d holds a version of row %d that nobody wrote",
			n->index, key);
		return;
	}
	for (int i = 0; i < HISTORY_SET_WORDS; i++)
		standing += __builtin_popcountll(expected->bits[i]);
	if (standing > ROW_VERSIONS_MAX) {
		w->counts->versions_over++;
		w->history.rows[key].is_loose = true;
	}
	if (r->is_loose || history_is_same(&actual, expected))
		return;
	if (owner >= 0 && key == table_key_of(owner, -1))
		stamp = node_highest(&w->history, key, expected);
	else if (owner >= 0)
		stamp = row_stamp(table_disk_row(&n->disk, table_key_of(owner, -1)));
	if (owner >= 0 && w->horizons[owner] > horizon)
		horizon = w->horizons[owner];
	/* What its owner has replaced once is nowhere for sure: when the replacement is swept
	 * it may come back from a copy that missed it, and whatever the owner writes next
	 * may cover it or not; so may what it writes after a remove that its own clock, far
	 * ahead, had ended at once. Inside of T nothing comes back. */
	for (int i = 0; i < r->len; i++) {
		const struct history_event *e = &r->events[i];
		bool is_expected = history_has(expected, i);
		bool is_here = history_has(&actual, i);
		uint64_t covered = history_covered_at(&w->history, key, i);

		if (is_expected == is_here || (!is_expected && covered <= horizon) ||
		    (is_expected &&
		     (covered != UINT64_MAX || node_may_forget(n, key, e, stamp) ||
		      (e->is_removed && history_has_later(&actual, i)))))
			continue;
		table_world_wrong(w, "machine %d %s version %llx.%llu (%s) of row %d",
				  n->index, is_expected ? "lost" : "has again",
				  (unsigned long long)e->dot.actor,
				  (unsigned long long)e->dot.seq,
				  e->is_removed ? "removed" : "live", key);
	}
}

/* What stands here in the model, before a change. */
static struct history_set
node_events(struct table_node *n, int key)
{
	struct history_set set = { { 0 } };

	if (!n->world->params.is_lax)
		history_events(&n->world->history, key, table_disk_row(&n->disk, key),
			       &set);
	return set;
}

/* ---- the table ---- */

static void
node_sweep(struct table_node *n, int key)
{
	struct owner_event e = { .type = OWNER_EVENT_HELD, .key = table_key(key) };
	struct history_set before;

	if (n->disk.cells[key].digest == 0)
		return;
	before = node_events(n, key);
	if (!table_disk_sweep(&n->disk, key))
		return;
	n->world->counts->sweeps++;
	world_tell(n->world, "machine %d sweeps row %d", n->index, key);
	if (!n->world->params.is_lax)
		node_judge(n, key, &before);
	leases_note(n->leases, table_key(key), table_disk_row(&n->disk, key));
	if (n->owner != NULL && node_owns(n, key)) {
		e.row = table_disk_row(&n->disk, key);
		node_tell(n, &e);
	}
}

/* The horizon grew: workers first, for whose life their node rows decide. */
static void
node_sweep_all(struct table_node *n)
{
	for (int pass = 0; pass < 2; pass++)
		for (int key = 0; key < TABLE_BANS; key++)
			if ((key % TABLE_KEYS_EACH == 0) == (pass == 1))
				node_sweep(n, key);
}

static void
node_sweep_owner(void *arg, const struct id *owner)
{
	bool *is_over = arg;

	for (int i = 0; i < TABLE_IDENTITIES; i++)
		if (id_equal(table_id(i), owner))
			is_over[i] = true;
}

/* A ban may end a lease that lies behind the horizon already. */
static void
node_sweep_ended(struct table_node *n)
{
	bool is_over[TABLE_IDENTITIES] = { false };

	leases_each_ended(n->leases, node_sweep_owner, is_over);
	for (int i = 0; i < TABLE_IDENTITIES; i++)
		for (int name = TABLE_NAMES - 1; is_over[i] && name >= -1; name--)
			node_sweep(n, table_key_of(i, name));
}

static void
node_horizon(struct table_node *n, bool is_changed)
{
	uint64_t h = leases_horizon(n->leases);

	if (!is_changed)
		return;
	if (h % LEASE_HORIZON_MS != 0 ||
	    (n->world->params.broken == TABLE_RIGHT &&
	     (ms_t)h > node_wall(n) - TABLE_RETENTION_MS + LEASE_AHEAD_MS))
		table_world_wrong(n->world, "machine %d takes the horizon %llu", n->index,
				  (unsigned long long)h);
	n->disk.horizon = h;
	if (h > n->world->horizons[n->identity])
		n->world->horizons[n->identity] = h;
	world_tell(n->world, "machine %d: horizon %.0f", n->index,
		   (double)h / MS_HOUR - 1000);
	node_sweep_all(n);
}

bool
node_hear(struct table_node *n, uint64_t horizon)
{
	bool is_changed, is_good;

	if (n->world->params.broken == TABLE_HORIZON_TRUSTED && horizon > n->trusted)
		n->trusted = horizon;
	is_good = leases_hear(n->leases, horizon, node_leases_wall(n), &is_changed);
	node_horizon(n, is_changed);
	return is_good;
}

/* Merge, and tell whoever must know. */
static void
node_merge(struct table_node *n, int key, const struct row *row,
	   struct history_set *expected)
{
	struct history_set theirs;
	struct table_world *w = n->world;
	bool is_good = true;

	w->counts->merges++;
	if (!w->params.is_lax) {
		is_good = history_events(&w->history, key, row, &theirs);
		if (!is_good)
			table_world_wrong(w, "a version of row %d came that nobody wrote",
					  key);
	}
	if (is_good && !w->params.is_lax)
		history_merge(&w->history, key, expected, &theirs);
	if (table_disk_merge(&n->disk, key, row)) {
		w->moved++;
		world_tell(
			w, "machine %d: row %d has %d versions, visible %.*s", n->index,
			key, table_disk_row(&n->disk, key)->len,
			row_visible(table_disk_row(&n->disk, key)) == NULL
				? 1
				: (int)row_visible(table_disk_row(&n->disk, key))
					  ->value.len,
			row_visible(table_disk_row(&n->disk, key)) == NULL
				? "-"
				: (const char *)row_visible(table_disk_row(&n->disk, key))
					  ->value.data);
		leases_note(n->leases, table_key(key), table_disk_row(&n->disk, key));
	}
	if (is_good && !w->params.is_lax)
		node_judge(n, key, expected);
}

static void
node_take_up(struct table_node *n, int owner)
{
	/* The node row may have been swept as soon as it came. */
	if (leases_of(n->leases, table_id(owner)) == 0)
		return;
	for (int i = 0; i < n->aside_len;) {
		struct table_aside a = n->aside[i];

		if (table_owner(a.key) != owner) {
			i++;
			continue;
		}
		n->aside[i] = n->aside[--n->aside_len];
		node_absorb(n, a.key, &a.row);
		row_fini(&a.row);
		i = 0;
	}
}

static void
node_put_aside(struct table_node *n, int key, const struct row *row)
{
	struct table_aside *a;

	n->world->counts->asides++;
	if (n->aside_len == TABLE_ASIDE_MAX)
		row_fini(&n->aside[--n->aside_len].row);
	a = &n->aside[n->aside_len++];
	a->key = key;
	row_copy(row, &a->row);
}

void
node_absorb(struct table_node *n, int key, const struct row *row)
{
	bool is_mine = node_owns(n, key) && n->world->params.broken != TABLE_NO_AUTHORITY;
	struct history_set before;
	uint64_t digest;

	if (!n->is_up)
		return;
	if (!leases_knows(n->leases, table_key(key))) {
		node_put_aside(n, key, row);
		return;
	}
	if (is_mine) {
		struct owner_event e = { .type = OWNER_EVENT_HEARD,
					 .key = table_key(key),
					 .row = row };

		node_tell(n, &e);
	}
	before = node_events(n, key);
	digest = n->disk.cells[key].digest;
	node_merge(n, key, row, &before);
	if (is_mine && n->disk.cells[key].digest != digest) {
		struct owner_event e = { .type = OWNER_EVENT_HELD,
					 .key = table_key(key),
					 .row = table_disk_row(&n->disk, key) };

		node_tell(n, &e);
	}
	if (n->disk.cells[key].digest != digest && key >= TABLE_BANS)
		node_sweep_ended(n);
	if (key < TABLE_BANS && key % TABLE_KEYS_EACH == 0)
		node_take_up(n, table_owner(key));
	node_pump(n);
}

void
node_commit(struct table_node *n)
{
	table_disk_commit(&n->disk);
	n->has_uncommitted = false;
}

/* ---- writing ---- */

void
table_sign(const struct row_key *key, const struct version *v,
	   uint8_t ret_signature[ROW_SIGNATURE_BYTES])
{
	static const struct id cluster = { { 0xc1 } };
	struct buf b = BUF_INIT;

	codec_put_signed(&b, &cluster, key, v, test_sha256);
	for (int i = 0; i < ROW_SIGNATURE_BYTES / 8; i++)
		put_be64(ret_signature + 8 * i, hash64(buf_bytes(&b), 77 + (uint64_t)i));
	buf_fini(&b);
}

int
node_make_version(struct table_world *w, int key, const struct row *seen, struct dot dot,
		  uint64_t stamp, const struct bytes *value,
		  const struct history_set *saw, struct row *ret_row)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct version v;
	int rc = version_next(seen, dot, stamp, value, &v);

	if (rc != 0)
		return rc;
	table_sign(table_key(key), &v, signature);
	version_seal(&v, signature, test_sha256);
	if (!w->params.is_lax && history_write(&w->history, key, &v, saw) < 0)
		w->history.rows[key].is_loose = true;
	/* Some actor may have been left out, whose versions come back until they are covered
	 * again. */
	if (v.context_len == ROW_CONTEXT_MAX) {
		w->counts->actors_over++;
		w->history.rows[key].is_loose = true;
	}
	row_of_version(&v, ret_row);
	return 0;
}

/* A dot is given out once, unless numbering was put back or runs twice. */
static struct dot
node_dot(struct table_node *n)
{
	struct table_world *w = n->world;
	struct dot dot = table_disk_dot(&n->disk);

	for (int i = 0; i < w->dots_len && !w->is_doubled[n->identity]; i++)
		if (w->dots[i].actor == dot.actor && w->dots[i].seq == dot.seq)
			table_world_wrong(w, "machine %d gives out dot %llx.%llu again",
					  n->index, (unsigned long long)dot.actor,
					  (unsigned long long)dot.seq);
	if (w->dots_len == w->dots_cap) {
		w->dots_cap = w->dots_cap * 2 + 64;
		w->dots = mem_realloc(w->dots, (size_t)w->dots_cap, sizeof(w->dots[0]));
	}
	w->dots[w->dots_len++] = dot;
	return dot;
}

/* A replica that forgets what the versions it covers had covered themselves. */
static void
row_copy_bare(const struct row *row, struct row *ret_row)
{
	row_copy(row, ret_row);
	for (int i = 0; i < ret_row->len; i++)
		ret_row->versions[i].context_len = 0;
}

static int
node_write(struct table_node *n, int key, const struct row *seen, uint64_t stamp,
	   const struct bytes *value, struct dot *ret_dot)
{
	struct table_world *w = n->world;
	struct history_set saw = node_events(n, key);
	struct row row, bare = ROW_INIT;
	int rc;

	if (world_has(w, TABLE_WRITE_FAILS) && !w->is_quiet && world_chance(w, 5))
		return -EAGAIN;
	*ret_dot = node_dot(n);
	if (w->params.broken == TABLE_CONTEXT_NOT_JOINED) {
		row_copy_bare(seen, &bare);
		seen = &bare;
	}
	rc = node_make_version(w, key, seen, *ret_dot, stamp, value, &saw, &row);
	row_fini(&bare);
	if (rc != 0)
		return rc;
	w->counts->writes++;
	world_tell(w, "machine %d writes row %d: %.*s, %x.%llu, stamp %.2f", n->index,
		   key, value != NULL ? (int)value->len : 1,
		   value != NULL ? (const char *)value->data : "-",
		   (unsigned)(ret_dot->actor >> 48), (unsigned long long)ret_dot->seq,
		   (double)stamp / MS_HOUR - 1000);
	if (key >= TABLE_BANS || key % TABLE_KEYS_EACH != 0)
		w->writes++;
	node_merge(n, key, &row, &saw);
	/* Durable before it leaves; here and there it is neither yet. */
	if (world_has(w, TABLE_LAZY) && !w->is_quiet && world_chance(w, 15)) {
		n->has_uncommitted = true;
	} else {
		/* The version alone or the whole state; there is none when the horizon has
		 * ended it already. */
		const struct row *held = table_disk_row(&n->disk, key);

		node_commit(n);
		world_broadcast(w, n, key,
				held->len == 0 || world_chance(w, 50) ? &row : held);
	}
	row_fini(&row);
	return 0;
}

void
node_decree(struct table_node *n, int key, int value)
{
	uint64_t stamp = row_stamp(table_disk_row(&n->disk, key)) + 1;
	char text[16];
	struct bytes v;
	struct dot dot;

	if ((int64_t)stamp < node_wall(n))
		stamp = (uint64_t)node_wall(n);
	snprintf(text, sizeof(text), "%d", value);
	v = bytes_text(text);
	if (node_write(n, key, table_disk_row(&n->disk, key), stamp,
		       value != 0 ? &v : NULL, &dot) == 0)
		node_sweep_ended(n);
	node_pump(n);
}

static void
node_do_write(struct table_node *n, const struct owner_action *a)
{
	int key = table_key_find(a->key);
	struct owner_event e = { .type = OWNER_EVENT_WRITTEN, .key = table_key(key) };
	struct row copy = ROW_INIT;
	bool is_old = n->world->params.broken == TABLE_NO_REFRESH &&
		      key % TABLE_KEYS_EACH == 0 &&
		      table_disk_row(&n->disk, key)->len == 1;

	if (is_old)
		e.dot = table_disk_row(&n->disk, key)->versions[0].dot;
	else
		e.rc = node_write(n, key, a->seen, a->stamp, a->value, &e.dot);
	if (e.rc != 0 && e.rc != -EAGAIN)
		table_world_wrong(n->world, "machine %d cannot write row %d: %s",
				  n->index, key, error_text(e.rc));
	row_copy(table_disk_row(&n->disk, key), &copy);
	if (is_old)
		copy.versions[0].stamp = a->stamp;
	e.row = &copy;
	node_tell(n, &e);
	row_fini(&copy);
}

static void
node_do_renew(struct table_node *n)
{
	struct table_world *w = n->world;
	struct owner_event e = { .type = OWNER_EVENT_RENEWED };

	if (world_has(w, TABLE_WRITE_FAILS) && !w->is_quiet && world_chance(w, 10)) {
		e.rc = -EIO;
	} else {
		w->counts->renewals++;
		world_tell(w, "machine %d takes a new actor", n->index);
		table_disk_renew(&n->disk, &w->rng);
		e.dot = (struct dot){ n->disk.actors[n->disk.actors_len - 1],
				      n->disk.next_seq };
	}
	node_tell(n, &e);
}

static void
node_do_clone(struct table_node *n)
{
	n->world->counts->clones++;
	world_tell(n->world, "machine %d stops as a clone", n->index);
	n->is_cloned = true;
	if (!n->world->is_doubled[n->identity])
		table_world_wrong(n->world,
				  "machine %d stops as a clone, and there was none",
				  n->index);
}

static void
node_pump(struct table_node *n)
{
	struct owner_action a;
	int left = PUMP_MAX;

	if (n->is_pumping || !n->is_up)
		return;
	n->is_pumping = true;
	while (!n->is_cloned && n->world->why[0] == '\0' && owner_next(n->owner, &a)) {
		if (a.type == OWNER_ACTION_WRITE)
			node_do_write(n, &a);
		else if (a.type == OWNER_ACTION_RENEW)
			node_do_renew(n);
		else
			node_do_clone(n);
		if (--left == 0) {
			table_world_wrong(n->world, "machine %d writes for ever",
					  n->index);
			break;
		}
	}
	n->is_pumping = false;
	if (n->is_cloned)
		node_stop(n);
}

/* ---- claims ---- */

static void
node_tell_claim(struct table_node *n, int key, int value)
{
	struct owner_event e = { .type = OWNER_EVENT_CLAIM, .key = table_key(key) };
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	e.value = bytes_text(text);
	node_tell(n, &e);
	node_pump(n);
}

void
node_claim(struct table_node *n, int name, int value)
{
	n->claims[name] = value;
	n->is_announced[name] = true;
	node_tell_claim(n, table_key_of(n->identity, name), value);
}

void
node_unclaim(struct table_node *n, int name)
{
	struct owner_event e = { .type = OWNER_EVENT_UNCLAIM,
				 .key = table_key(table_key_of(n->identity, name)) };

	n->claims[name] = 0;
	if (!n->is_announced[name])
		return;
	n->is_announced[name] = false;
	node_tell(n, &e);
	node_pump(n);
}

void
node_say_node(struct table_node *n, int value)
{
	n->node_value = value;
	node_tell_claim(n, table_key_of(n->identity, -1), value);
}

void
node_withdraw(struct table_node *n, int value)
{
	struct owner_event e = { .type = OWNER_EVENT_WITHDRAW };
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	e.value = bytes_text(text);
	node_tell(n, &e);
	node_pump(n);
	if (n->is_up)
		n->world->counts->left += owner_has_withdrawn(n->owner);
}

/* ---- life ---- */

static void
node_begin(struct table_node *n, ms_t started_wall)
{
	struct table_world *w = n->world;
	struct owner_config config = { .self = *table_id(n->identity),
				       .retention_ms = TABLE_RETENTION_MS,
				       .actors = n->disk.actors,
				       .actors_len = n->disk.actors_len,
				       .next_seq = n->disk.next_seq,
				       .started_ms = started_wall,
				       .seed = rng_next(&w->rng) };

	world_tell(w, "machine %d starts as node %d", n->index, n->identity);
	n->is_up = true;
	n->is_settled = n->is_clock_wrong = false;
	n->started = w->now;
	n->leases = leases_new(table_id(n->identity), TABLE_RETENTION_MS);
	n->disk.leases = n->leases;
	for (int key = 0; key < TABLE_KEYS; key++)
		leases_note(n->leases, table_key(key), table_disk_row(&n->disk, key));
	node_horizon(n, leases_tick(n->leases, n->disk.horizon, node_leases_wall(n)));
	/* Who counts from 1 again takes no notice of what its owner's side would say. */
	if (w->params.broken == TABLE_NUMBERS_AGAIN ||
	    w->params.broken == TABLE_ACTOR_REUSED)
		config.next_seq = UINT64_MAX;
	if (w->params.broken == TABLE_NUMBERS_AGAIN || n->disk.is_reused)
		n->disk.next_seq = 1;
	n->disk.is_reused = false;
	n->owner = owner_new(&config);
	for (int name = -1; name < TABLE_NAMES; name++) {
		int key = table_key_of(n->identity, name);
		struct owner_event e = { .type = OWNER_EVENT_LOADED,
					 .key = table_key(key),
					 .row = table_disk_row(&n->disk, key) };

		if (e.row->len > 0 && w->params.broken != TABLE_NO_AUTHORITY)
			node_tell(n, &e);
	}
	node_say_node(n, n->node_value);
	for (int name = 0; name < TABLE_NAMES; name++) {
		n->is_announced[name] = false;
		if (n->is_up && n->claims[name] != 0 && world_chance(w, 50))
			node_claim(n, name, n->claims[name]);
	}
}

void
node_start(struct table_node *n)
{
	table_disk_open(&n->disk, &n->world->rng);
	node_begin(n, node_wall(n));
}

void
node_resume(struct table_node *n, ms_t started_wall)
{
	node_begin(n, started_wall);
}

void
node_stop(struct table_node *n)
{
	world_tell(n->world, "machine %d stops", n->index);
	n->is_up = false;
	n->has_uncommitted = false;
	owner_free(n->owner);
	n->owner = NULL;
	n->disk.leases = NULL;
	table_disk_crash(&n->disk);
	leases_free(n->leases);
	n->leases = NULL;
	while (n->aside_len > 0)
		row_fini(&n->aside[--n->aside_len].row);
}

void
node_clock(struct table_node *n, bool is_wrong)
{
	struct owner_event e = { .type = OWNER_EVENT_CLOCK, .is_ok = !is_wrong };

	if (is_wrong == n->is_clock_wrong)
		return;
	n->is_clock_wrong = is_wrong;
	node_tell(n, &e);
	node_pump(n);
}

static void
node_settle(struct table_node *n)
{
	struct owner_event e = { .type = OWNER_EVENT_SETTLED };

	n->is_settled = true;
	node_tell(n, &e);
	node_pump(n);
}

void
node_tick(struct table_node *n)
{
	struct owner_event e = { .type = OWNER_EVENT_TICK };
	ms_t settle = n->started + MS_HOUR / 2;

	node_horizon(n, leases_tick(n->leases, 0, node_leases_wall(n)));
	/* Workers that were slow to come back; one may come after all was settled. */
	for (int name = 0; name < TABLE_NAMES; name++)
		if (n->is_up && n->claims[name] != 0 && !n->is_announced[name] &&
		    (n->is_settled ||
		     (n->world->now >= settle && world_chance(n->world, 90))))
			node_claim(n, name, n->claims[name]);
	if (n->is_up && !n->is_settled && n->world->now >= settle)
		node_settle(n);
	/* Whether it is due or not: the clock may have been set back since it said when. */
	if (n->is_up) {
		node_tell(n, &e);
		node_pump(n);
	}
}

/* ---- look-ups ---- */

bool
node_bans(const struct table_node *n, int identity)
{
	return row_visible(table_disk_row(&n->disk, TABLE_BANS + identity)) != NULL ||
	       row_visible(table_disk_row(&n->disk, TABLE_FORGETS + identity)) != NULL;
}

int
node_shows(const struct table_node *n, int identity, int name)
{
	const struct version *v = row_visible(
		table_disk_row(&n->disk, table_key_of(identity, name)));
	char text[16] = "";

	if (v == NULL || node_bans(n, identity) ||
	    leases_is_over(n->leases, table_id(identity), node_wall(n)))
		return 0;
	assert(v->value.len < sizeof(text));
	memcpy(text, v->value.data, v->value.len);
	return atoi(text);
}
