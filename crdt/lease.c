/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/lease.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/hex.h"
#include "base/mem.h"
#include "crdt/stamp.h"

/* What is known of an owner's life: 0 where nothing is. */
struct lease {
	struct id owner;
	uint64_t node;	    /* the highest stamp of its node row */
	uint64_t banned;    /* the stamp of the ban that stands, */
	uint64_t forgotten; /* of the forget */
	UT_hash_handle hh;
};

struct leases {
	struct id self;
	ms_t retention_ms;
	uint64_t horizon;
	struct lease *owners;
};

struct leases *
leases_new(const struct id *self, ms_t retention_ms)
{
	struct leases *l = mem_calloc(1, sizeof(*l));

	l->self = *self;
	l->retention_ms = retention_ms;
	return l;
}

void
leases_free(struct leases *l)
{
	struct lease *o, *next;

	if (l == NULL)
		return;
	HASH_ITER (hh, l->owners, o, next) {
		HASH_DEL(l->owners, o);
		free(o);
	}
	free(l);
}

/* ---- whose rows live how long ---- */

static struct lease *
leases_find(const struct leases *l, const struct id *owner)
{
	struct lease *o;

	HASH_FIND(hh, l->owners, owner, sizeof(*owner), o);
	return o;
}

/* The node that a ban or a forget is about: its id in hex is the row's name. */
static bool
leases_named(const struct row_key *key, struct id *ret_node)
{
	return (key->kind == ROW_BAN || key->kind == ROW_FORGET) &&
	       hex_decode(key->name, ret_node->b, ID_BYTES) == 0;
}

void
leases_note(struct leases *l, const struct row_key *key, const struct row *row)
{
	const struct version *visible = row != NULL ? row_visible(row) : NULL;
	struct id owner = key->owner;
	struct lease *o;

	if (key->kind != ROW_NODE && !leases_named(key, &owner))
		return;
	o = leases_find(l, &owner);
	if (o == NULL) {
		o = mem_calloc(1, sizeof(*o));
		o->owner = owner;
		HASH_ADD(hh, l->owners, owner, sizeof(o->owner), o);
	}
	if (key->kind == ROW_NODE)
		o->node = row != NULL ? row_stamp(row) : 0;
	else if (key->kind == ROW_BAN)
		o->banned = visible != NULL ? visible->stamp : 0;
	else
		o->forgotten = visible != NULL ? visible->stamp : 0;
	if (o->node == 0 && o->banned == 0 && o->forgotten == 0) {
		HASH_DEL(l->owners, o);
		free(o);
	}
}

bool
leases_knows(const struct leases *l, const struct row_key *key)
{
	return !row_kind_is_leased(key->kind) || leases_of(l, &key->owner) != 0;
}

/* What a node row with this highest stamp is worth. */
static uint64_t
leases_worth(const struct lease *o, uint64_t node)
{
	if (o != NULL && o->banned != 0 && o->banned < node)
		node = o->banned;
	if (o != NULL && o->forgotten != 0 && o->forgotten < node)
		node = o->forgotten;
	return node;
}

uint64_t
leases_of(const struct leases *l, const struct id *owner)
{
	const struct lease *o = leases_find(l, owner);

	return o != NULL ? leases_worth(o, o->node) : 0;
}

bool
leases_is_over(const struct leases *l, const struct id *owner, ms_t wall_ms)
{
	ms_t end = wall_ms - l->retention_ms;

	return leases_of(l, owner) == 0 ||
	       (end > 0 && leases_of(l, owner) <= (uint64_t)end);
}

/* ---- the horizon ---- */

uint64_t
leases_horizon(const struct leases *l)
{
	return l->horizon;
}

/* The highest H that our clock lets us believe. */
static uint64_t
leases_bound(const struct leases *l, ms_t wall_ms)
{
	ms_t bound = wall_ms - l->retention_ms + LEASE_AHEAD_MS;

	return bound > 0 ? (uint64_t)bound : 0;
}

bool
leases_believes(const struct leases *l, uint64_t theirs, ms_t wall_ms)
{
	return theirs % LEASE_HORIZON_MS == 0 && theirs <= leases_bound(l, wall_ms);
}

bool
leases_tick(struct leases *l, uint64_t stored, ms_t wall_ms)
{
	uint64_t before = l->horizon;
	uint64_t clock = stamp_horizon(wall_ms, l->retention_ms);

	if (stored > l->horizon)
		l->horizon = stored;
	if (!leases_believes(l, l->horizon, wall_ms) || clock > l->horizon)
		l->horizon = clock;
	return l->horizon != before;
}

bool
leases_hear(struct leases *l, uint64_t theirs, ms_t wall_ms, bool *ret_changed)
{
	*ret_changed = leases_tick(l, 0, wall_ms);
	if (!leases_believes(l, theirs, wall_ms))
		return false;
	if (theirs > l->horizon) {
		l->horizon = theirs;
		*ret_changed = true;
	}
	return true;
}

/* ---- the sweep ---- */

static bool
leases_has_ended(const struct leases *l, const struct id *owner, uint64_t lease)
{
	return lease <= l->horizon && !id_equal(owner, &l->self);
}

bool
leases_sweep(const struct leases *l, const struct row_key *key, struct row *row)
{
	uint64_t lease;

	if (row->len == 0 || (key->kind != ROW_NODE && !row_kind_is_leased(key->kind)))
		return false;
	lease = key->kind == ROW_NODE
			? leases_worth(leases_find(l, &key->owner), row_stamp(row))
			: leases_of(l, &key->owner);
	if (leases_has_ended(l, &key->owner, lease)) {
		row_fini(row);
		return true;
	}
	return row_sweep(row, key, l->horizon);
}

void
leases_each_ended(const struct leases *l, void (*fn)(void *arg, const struct id *owner),
		  void *arg)
{
	const struct lease *o, *next;

	for (o = l->owners; o != NULL; o = next) {
		next = o->hh.next;
		if (o->node != 0 &&
		    leases_has_ended(l, &o->owner, leases_worth(o, o->node)))
			fn(arg, &o->owner);
	}
}
