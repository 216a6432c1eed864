/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/owner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/owned.h"
#include "crdt/stamp.h"

struct owner {
	struct owner_config config; /* `actors` is owned */
	struct rng rng;
	struct stamp_clock stamps;
	struct owned *rows;  /* by key */
	struct owned *dirty; /* to be looked at; the node row first */
	struct owned *node;
	uint64_t next_seq;
	/* What this life hands out: of the actor that it began with the numbers from
	 * `first_seq` on, of those behind it in the list all. */
	int first_actor;
	uint64_t first_seq;
	uint64_t renewals;

	struct owned *writing; /* its WRITE is with the driver, */
	struct row seen;       /* with this */
	struct bytes value;    /* and this */
	bool is_renewing;      /* RENEW is with the driver */
	bool is_renew_due, is_renew_failed;
	bool is_restamping; /* the renewal is for stamps of a clock that was wrong */
	char why[OWNER_WHY_SIZE];

	struct dot node_dot; /* of our latest node row in this life; seq 0: none */
	ms_t refresh_at;
	ms_t retry_at; /* when something failed; else 0 */
	bool is_settled, is_clock_wrong, is_withdrawn;

	bool is_cloned, is_clone_told;
	struct row_key clone_key;
	struct row clone_row;

	ms_t wall;
	uint64_t horizon;
};

/* ---- rows ---- */

static struct owned *
own_find(const struct owner *o, const struct row_key *key)
{
	struct owned *r;

	HASH_FIND(hh, o->rows, key, sizeof(*key), r);
	return r;
}

static struct owned *
own_get(struct owner *o, const struct row_key *key)
{
	struct owned *r = own_find(o, key);

	if (r != NULL)
		return r;
	r = mem_calloc(1, sizeof(*r));
	r->key = *key;
	HASH_ADD(hh, o->rows, key, sizeof(r->key), r);
	if (key->kind == ROW_NODE)
		o->node = r;
	return r;
}

static void
own_clean(struct owner *o, struct owned *r)
{
	if (r->is_dirty)
		DL_DELETE(o->dirty, r);
	r->is_dirty = false;
}

static void
own_free(struct owner *o, struct owned *r)
{
	own_clean(o, r);
	HASH_DEL(o->rows, r);
	if (o->node == r)
		o->node = NULL;
	row_fini(&r->held);
	buf_fini(&r->value);
	free(r->covers);
	free(r);
}

/* It is to be looked at. The node row goes first: without it nobody can check the others.
 * That of a node that leaves goes last: who has it has seen the others go. */
static void
own_touch(struct owner *o, struct owned *r)
{
	if (r->is_dirty)
		return;
	r->is_dirty = true;
	if (r->key.kind == ROW_NODE && !o->is_withdrawn)
		DL_PREPEND(o->dirty, r);
	else
		DL_APPEND(o->dirty, r);
}

static void
owner_touch_all(struct owner *o)
{
	struct owned *r, *next;

	HASH_ITER (hh, o->rows, r, next)
		own_touch(o, r);
}

/* ---- what is to be written ---- */

static bool
own_wants_node(const struct owner *o, const struct owned *r)
{
	const struct dot *dot = &r->held.versions[0].dot;

	if (!r->is_claimed)
		return false;
	/* The lease of a node that left just ends. */
	return r->is_forced || o->node_dot.seq == 0 ||
	       (o->wall >= o->refresh_at && !o->is_withdrawn) ||
	       !owned_says(r, buf_bytes(&r->value)) || dot->actor != o->node_dot.actor ||
	       dot->seq != o->node_dot.seq;
}

/* Is a version to be written, and with which value? NULL: a remove. */
static bool
own_wants(const struct owner *o, const struct owned *r, struct bytes *value,
	  const struct bytes **ret_value)
{
	const struct version *v = row_visible(&r->held);

	if (r->is_claimed) {
		*value = buf_bytes(&r->value);
		*ret_value = value;
		return r->key.kind == ROW_NODE ? own_wants_node(o, r)
					       : r->is_forced || !owned_says(r, *value);
	}
	*ret_value = NULL;
	if (r->key.kind == ROW_NODE || r->held.len == 0)
		return false;
	if (v == NULL)
		return r->is_forced;
	if (r->is_released || o->is_settled)
		return true;
	/* Of a former life, and perhaps claimed yet. */
	*value = v->value;
	*ret_value = value;
	return r->is_forced;
}

/* ---- whose numbering it is ---- */

static uint64_t
owner_actor(const struct owner *o)
{
	return o->config.actors[o->config.actors_len - 1];
}

static void
owner_renew(struct owner *o, const char *why)
{
	if (o->is_renew_due || o->is_renewing)
		return;
	o->is_renew_due = true;
	snprintf(o->why, sizeof(o->why), "%s", why);
}

static bool
owner_had(const struct owner *o, uint64_t actor)
{
	for (int i = 0; i < o->config.actors_len; i++)
		if (o->config.actors[i] == actor)
			return true;
	return false;
}

/* A version by an actor that we never were, whose writer runs now: it has seen what we wrote
 * since we began, which no former life can have, whatever its clock said. Where it saw an
 * actor that we took since then that is certain. Of the actor that we began with, the numbers
 * of a store that was put back may be lower than those of its lost life: there the stamp is
 * asked as well, and a clock that is further ahead than clocks may be is none that runs now. */
static bool
owner_is_foreign(const struct owner *o, const struct version *v)
{
	struct dot first = { o->config.actors[o->first_actor], o->first_seq };

	if (owner_had(o, v->dot.actor))
		return false;
	for (int i = o->first_actor + 1; i < o->config.actors_len; i++)
		if (version_covers(v, (struct dot){ o->config.actors[i], 1 }))
			return true;
	return version_covers(v, first) && v->stamp > (uint64_t)o->config.started_ms &&
	       (int64_t)v->stamp <= o->wall + OWNER_AHEAD_MS;
}

static void
owner_clone(struct owner *o, const struct row_key *key, const struct row *row)
{
	if (o->is_cloned)
		return;
	o->is_cloned = true;
	o->clone_key = *key;
	row_copy(row, &o->clone_row);
}

static const char owner_why_later[] =
	"the table holds later writes of this node than its store: an older copy of it was "
	"put back, or runs elsewhere too";
static const char owner_why_same[] =
	"the table holds another write of this node under the same number: an older copy of "
	"its store was put back, or runs elsewhere too";

static void
owner_check_numbers(struct owner *o, const struct row *row)
{
	if (row_seen(row, owner_actor(o)) >= o->next_seq)
		owner_renew(o, owner_why_later);
}

/* Is this a version that we never wrote, under a number of ours? What we wrote to a row in
 * this life is held there, or covered by what is; unless the horizon ended that. */
static bool
owner_is_double(const struct owner *o, const struct row *held, const struct version *v)
{
	int present = o->config.actors_len - 1;
	uint64_t first = present == o->first_actor ? o->first_seq : 1;

	if (v->dot.actor != owner_actor(o))
		return false;
	for (int i = 0; held != NULL && i < held->len; i++) {
		const struct version *mine = &held->versions[i];

		if (mine->dot.actor == v->dot.actor && mine->dot.seq == v->dot.seq)
			return memcmp(v->hash, mine->hash, ROW_HASH_BYTES) != 0;
		if (version_covers(mine, v->dot))
			return false;
	}
	return v->dot.seq >= first && v->stamp > o->horizon;
}

static void
owner_heard(struct owner *o, const struct row_key *key, const struct row *row)
{
	const struct owned *r = own_find(o, key);

	owner_check_numbers(o, row);
	for (int i = 0; i < row->len; i++) {
		if (owner_is_foreign(o, &row->versions[i])) {
			owner_clone(o, key, row);
			return;
		}
		if (owner_is_double(o, r != NULL ? &r->held : NULL, &row->versions[i]))
			owner_renew(o, owner_why_same);
	}
}

static void
owner_renewed(struct owner *o, const struct owner_event *e)
{
	struct owned *r, *next;
	int n = o->config.actors_len;

	assert(o->is_renewing);
	o->is_renewing = false;
	if (e->rc < 0) {
		o->is_renew_failed = true;
		o->retry_at = o->wall + OWNER_RETRY_MS;
		return;
	}
	o->config.actors = mem_realloc((uint64_t *)o->config.actors, (size_t)n + 1,
				       sizeof(o->config.actors[0]));
	((uint64_t *)o->config.actors)[n] = e->dot.actor;
	o->config.actors_len = n + 1;
	o->next_seq = e->dot.seq;
	o->renewals++;
	if (o->is_restamping)
		o->stamps.last = 0;
	HASH_ITER (hh, o->rows, r, next) {
		r->is_forced = r->is_claimed || owned_is_live(r) || o->is_restamping;
		own_touch(o, r);
	}
	o->is_renew_due = o->is_restamping = false;
	o->why[0] = '\0';
}

/* Stamps that lead the clock by so much are of a clock that was wrong. */
static void
owner_check_clock(struct owner *o)
{
	if (o->is_clock_wrong || o->is_renew_due || o->is_renewing ||
	    o->stamps.last <= (uint64_t)(o->wall + OWNER_AHEAD_MS))
		return;
	o->is_restamping = true;
	owner_renew(o, "this node's clock was ahead and is right now");
}

/* ---- events ---- */

static void
owner_set_refresh(struct owner *o, uint64_t stamp)
{
	ms_t half = o->config.retention_ms / 2;
	ms_t tenth = half / 10 > 0 ? half / 10 : 1;

	o->refresh_at = (ms_t)stamp + half - tenth +
			(ms_t)rng_below(&o->rng, 2 * (uint64_t)tenth);
}

static void
owner_held(struct owner *o, const struct row_key *key, const struct row *row)
{
	struct owned *r = own_get(o, key);

	owned_hold(r, row);
	own_touch(o, r);
}

/* What it held is remembered, so that the next version covers it. */
static void
owner_lost(struct owner *o, const struct row_key *key)
{
	struct owned *r = own_find(o, key);

	if (r == NULL || (r->held.len == 0 && !r->is_claimed))
		return;
	r->is_forced = true;
	own_touch(o, r);
}

static void
owner_written(struct owner *o, const struct owner_event *e)
{
	struct owned *r = o->writing;

	assert(r != NULL);
	o->writing = NULL;
	row_fini(&o->seen);
	if (e->rc < 0) {
		r->is_failed = true;
		o->retry_at = o->wall + OWNER_RETRY_MS;
		return;
	}
	r->is_forced = false;
	if (e->dot.seq >= o->next_seq)
		o->next_seq = e->dot.seq + 1;
	if (r->key.kind == ROW_NODE) {
		o->node_dot = e->dot;
		owner_set_refresh(o, row_stamp(e->row));
	}
	owned_hold(r, e->row);
	own_touch(o, r);
}

static void
owner_claim(struct owner *o, const struct row_key *key, struct bytes value)
{
	struct owned *r;

	if (o->is_withdrawn)
		return;
	r = own_get(o, key);
	buf_clear(&r->value);
	buf_put_bytes(&r->value, value);
	r->is_claimed = true;
	own_touch(o, r);
}

static void
owner_unclaim(struct owner *o, const struct row_key *key)
{
	struct owned *r = own_get(o, key);

	r->is_claimed = false;
	r->is_released = true;
	own_touch(o, r);
}

static void
owner_withdraw(struct owner *o, struct bytes value)
{
	struct row_key key;
	struct owned *r, *next;
	int rc = row_key_make(&o->config.self, ROW_NODE, "", &key);

	assert(rc == 0);
	owner_claim(o, &key, value);
	own_clean(o, o->node);
	o->is_settled = o->is_withdrawn = true;
	HASH_ITER (hh, o->rows, r, next) {
		r->is_claimed = r == o->node;
		if (r != o->node)
			own_touch(o, r);
	}
	own_touch(o, o->node);
}

/* What failed is tried again; also when the clock was set back meanwhile. */
static void
owner_retry(struct owner *o)
{
	struct owned *r, *next;

	if (o->retry_at == 0 ||
	    (o->wall < o->retry_at && o->wall >= o->retry_at - OWNER_RETRY_MS))
		return;
	o->retry_at = 0;
	o->is_renew_failed = false;
	HASH_ITER (hh, o->rows, r, next) {
		if (!r->is_failed)
			continue;
		r->is_failed = false;
		own_touch(o, r);
	}
}

static void
owner_event_row(struct owner *o, const struct owner_event *e)
{
	if (!id_equal(&e->key->owner, &o->config.self) ||
	    (e->key->kind != ROW_NODE && e->key->kind != ROW_WORKER))
		return;
	switch (e->type) {
	case OWNER_EVENT_LOADED:
		owner_check_numbers(o, e->row);
		owner_held(o, e->key, e->row);
		stamp_seen(&o->stamps, row_stamp(e->row));
		break;
	case OWNER_EVENT_HEARD:
		owner_heard(o, e->key, e->row);
		break;
	case OWNER_EVENT_HELD:
		owner_held(o, e->key, e->row);
		break;
	case OWNER_EVENT_LOST:
		owner_lost(o, e->key);
		break;
	case OWNER_EVENT_CLAIM:
		owner_claim(o, e->key, e->value);
		break;
	default:
		owner_unclaim(o, e->key);
		break;
	}
}

void
owner_step(struct owner *o, const struct owner_event *e)
{
	uint64_t horizon = stamp_horizon(e->wall_ms, o->config.retention_ms);

	o->wall = e->wall_ms;
	/* Of a clock that was set right just now the horizon may still be wrong. */
	o->horizon = e->horizon < horizon ? e->horizon : horizon;
	owner_retry(o);
	switch (e->type) {
	case OWNER_EVENT_TICK:
		break;
	case OWNER_EVENT_LOADED:
	case OWNER_EVENT_HEARD:
	case OWNER_EVENT_HELD:
	case OWNER_EVENT_LOST:
	case OWNER_EVENT_CLAIM:
	case OWNER_EVENT_UNCLAIM:
		owner_event_row(o, e);
		break;
	case OWNER_EVENT_SETTLED:
		o->is_settled = true;
		owner_touch_all(o);
		break;
	case OWNER_EVENT_WITHDRAW:
		owner_withdraw(o, e->value);
		break;
	case OWNER_EVENT_WRITTEN:
		owner_written(o, e);
		break;
	case OWNER_EVENT_RENEWED:
		owner_renewed(o, e);
		break;
	case OWNER_EVENT_CLOCK:
		o->is_clock_wrong = !e->is_ok;
		owner_touch_all(o);
		break;
	}
	owner_check_clock(o);
	if (o->node != NULL && o->wall >= o->refresh_at && !o->is_withdrawn)
		own_touch(o, o->node);
}

/* ---- actions ---- */

static bool
owner_next_write(struct owner *o, struct owner_action *ret_action)
{
	while (o->dirty != NULL) {
		struct owned *r = o->dirty;
		const struct bytes *says;

		own_clean(o, r);
		if (r->is_failed)
			continue;
		if (!own_wants(o, r, &o->value, &says)) {
			if (!r->is_claimed && r->held.len == 0)
				own_free(o, r);
			continue;
		}
		owned_put_seen(r, owner_actor(o), o->horizon, &o->seen);
		o->writing = r;
		*ret_action = (struct owner_action){
			.type = OWNER_ACTION_WRITE,
			.key = &r->key,
			.seen = &o->seen,
			.stamp = stamp_next(&o->stamps, o->wall),
			.value = says,
		};
		return true;
	}
	return false;
}

bool
owner_next(struct owner *o, struct owner_action *ret_action)
{
	assert(o->writing == NULL && !o->is_renewing);
	if (o->is_cloned) {
		if (o->is_clone_told)
			return false;
		o->is_clone_told = true;
		*ret_action = (struct owner_action){ .type = OWNER_ACTION_CLONE,
						     .key = &o->clone_key,
						     .row = &o->clone_row };
		return true;
	}
	if (o->is_clock_wrong || o->is_renew_failed)
		return false;
	if (o->is_renew_due) {
		o->is_renewing = true;
		*ret_action = (struct owner_action){ .type = OWNER_ACTION_RENEW,
						     .why = o->why };
		return true;
	}
	return owner_next_write(o, ret_action);
}

ms_t
owner_due(const struct owner *o)
{
	ms_t due = o->retry_at != 0 ? o->retry_at : INT64_MAX;

	if (o->node != NULL && o->node->is_claimed && o->node_dot.seq != 0 &&
	    !o->is_withdrawn && o->refresh_at < due)
		due = o->refresh_at;
	return o->is_cloned ? INT64_MAX : due;
}

bool
owner_has(const struct owner *o, const struct row_key *key)
{
	const struct owned *r = own_find(o, key);

	return r != NULL && (r->is_claimed || owned_is_live(r));
}

bool
owner_has_withdrawn(const struct owner *o)
{
	if (!o->is_withdrawn || o->is_renew_due)
		return false;
	for (const struct owned *r = o->rows; r != NULL; r = r->hh.next)
		if (r->is_forced ||
		    (r == o->node ? own_wants_node(o, r) : owned_is_live(r)))
			return false;
	return true;
}

const char *
owner_why_silent(const struct owner *o)
{
	if (o->is_cloned)
		return "another machine runs with this identity";
	if (o->is_clock_wrong)
		return "this machine's clock disagrees with those of most nodes it is "
		       "linked to";
	return o->is_renew_failed ? o->why : "";
}

int
owner_keys(const struct owner *o, struct row_key *ret_keys, int max)
{
	const struct owned *r;
	int n = 0;

	for (r = o->rows; r != NULL; r = r->hh.next, n++)
		if (n < max)
			ret_keys[n] = r->key;
	return n;
}

uint64_t
owner_renewals(const struct owner *o)
{
	return o->renewals;
}

/* ---- life ---- */

struct owner *
owner_new(const struct owner_config *config)
{
	struct owner *o = mem_calloc(1, sizeof(*o));

	assert(config->actors_len > 0);
	o->config = *config;
	o->config.actors = mem_dup(config->actors, (size_t)config->actors_len *
							   sizeof(config->actors[0]));
	o->next_seq = o->first_seq = config->next_seq;
	o->first_actor = config->actors_len - 1;
	o->wall = config->started_ms;
	rng_init(&o->rng, config->seed);
	return o;
}

void
owner_free(struct owner *o)
{
	struct owned *r, *next;

	if (o == NULL)
		return;
	HASH_ITER (hh, o->rows, r, next)
		own_free(o, r);
	row_fini(&o->seen);
	row_fini(&o->clone_row);
	free((uint64_t *)o->config.actors);
	free(o);
}
