/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the owner core (crdt/owner.h) over the store: what this node claims goes in, and so
 * does what the table holds and hears under its id; out come versions to be signed and
 * written, an actor to be renewed, or the news that another machine has this identity. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/rows.h"
#include "table/rows.h"

enum {
	OWN_LOOK_MS = MS_MINUTE, /* at most: the clock may be set while a timer runs */
	OWN_WAIT_MS = MS_SECOND, /* for what is due and may not be done yet */
};

struct own {
	struct rows *rows;
	struct owner *core;
	struct loop_timer *timer;
	bool is_acting;
	bool is_clock_wrong;
	int removed; /* rows */
	struct log_limit failed_limit;
};

static void
own_step(struct own *own, struct owner_event *event)
{
	event->wall_ms = clock_wall_ms();
	event->horizon = leases_horizon(own->rows->leases);
	owner_step(own->core, event);
}

/* ---- a version of our own ---- */

/* The row of that version, merged: *ret_merged, also when it was not (then empty). */
static int
own_write_version(struct own *own, const struct owner_action *a, struct dot *ret_dot,
		  struct row *ret_merged)
{
	struct rows *rows = own->rows;
	struct version v;
	int rc = store_next_dot(rows->d->store, ret_dot);

	if (rc == 0)
		rc = version_next(a->seen, *ret_dot, a->stamp, a->value, &v);
	if (rc == 0)
		rc = rows_write(rows, a->key, rows->d->identity->node_key, &v,
				ret_merged);
	return rc;
}

static void
own_write(struct own *own, const struct owner_action *a)
{
	struct row merged = ROW_INIT;
	struct row_key key = *a->key;
	struct owner_event done = { .type = OWNER_EVENT_WRITTEN, .key = &key };

	done.rc = own_write_version(own, a, &done.dot, &merged);
	done.row = &merged;
	if (done.rc != 0 && log_limit_pass(&own->failed_limit, "table"))
		log_error("table",
			  "this node's row %s%s could not be written and is tried again: "
			  "%s",
			  key.kind == ROW_NODE ? "of itself" : "of worker ", key.name,
			  error_text(done.rc));
	own->removed += done.rc == 0 && a->value == NULL;
	own_step(own, &done);
	row_fini(&merged);
}

static void
own_renew(struct own *own, const struct owner_action *a)
{
	struct store *store = own->rows->d->store;
	struct owner_event done = { .type = OWNER_EVENT_RENEWED };

	log_error("table",
		  "%s. This node goes on as a new actor and writes its rows anew",
		  a->why);
	done.rc = store_actor_renew(store);
	if (done.rc != 0)
		log_error("table",
			  "no new actor could be taken, and nothing is written until "
			  "then: %s",
			  error_text(done.rc));
	done.dot = (struct dot){ store_actor(store), store_next_seq(store) };
	own_step(own, &done);
}

/* ---- another machine with this identity ---- */

/* Of the versions that this store never wrote, the one with the highest stamp that tells
 * addresses. */
static void
own_put_addresses(struct own *own, const struct row *row, struct buf *out)
{
	const struct version *theirs = NULL;
	struct table_node node;

	for (int i = 0; i < row->len; i++) {
		const struct version *v = &row->versions[i];

		if (!v->is_removed && (theirs == NULL || v->stamp > theirs->stamp) &&
		    !store_actor_is_ours(own->rows->d->store, v->dot.actor))
			theirs = v;
	}
	if (theirs == NULL || table_node_decode(theirs->value, &node, NULL) != 0)
		return;
	for (int i = 0; i < node.addresses_len; i++)
		buf_printf(out, "%s%s", out->len > 0 ? ", " : "", node.addresses[i]);
	table_node_fini(&node);
}

static void
own_stop(struct own *own, const struct owner_action *a)
{
	struct daemon *d = own->rows->d;
	struct buf theirs = BUF_INIT, ours = BUF_INIT;
	struct row_key key = { .owner = d->identity->node_id, .kind = ROW_NODE };
	struct row held;

	if (a->key->kind == ROW_NODE)
		own_put_addresses(own, a->row, &theirs);
	else if (store_get(d->store, &key, &held) == 0) {
		own_put_addresses(own, &held, &theirs);
		row_fini(&held);
	}
	if (theirs.len == 0)
		buf_put_text(&theirs, "an address that its row does not tell");
	for (int i = 0; i < d->addresses_len; i++)
		buf_printf(&ours, "%s%s", i > 0 ? ", " : "", d->addresses[i]);
	free(d->fatal);
	d->fatal = mem_printf(
		"another machine runs with this node's identity: it is at %.*s, this "
		"one at %.*s; one data folder belongs to one machine, so keep one of the "
		"two, and let the other join by an invitation of its own",
		(int)theirs.len, (const char *)theirs.data, (int)ours.len,
		ours.len > 0 ? (const char *)ours.data : "");
	buf_fini(&theirs);
	buf_fini(&ours);
	daemon_stop(d, EXIT_STATUS_CONFIG);
}

/* ---- the core's actions ---- */

static void
own_set_timer(struct own *own)
{
	ms_t now = clock_wall_ms(), due = owner_due(own->core);
	ms_t wait = due <= now ? OWN_WAIT_MS : due - now;

	loop_timer_set(own->timer, wait < OWN_LOOK_MS ? wait : OWN_LOOK_MS);
}

void
own_act(struct own *own)
{
	struct owner_action action;

	if (own->is_acting || own->rows->is_closing)
		return;
	own->is_acting = true;
	while (owner_next(own->core, &action)) {
		if (action.type == OWNER_ACTION_WRITE)
			own_write(own, &action);
		else if (action.type == OWNER_ACTION_RENEW)
			own_renew(own, &action);
		else
			own_stop(own, &action);
	}
	own->is_acting = false;
	own_set_timer(own);
	rows_sync(own->rows);
}

static void
own_on_timer(void *arg)
{
	struct owner_event event = { .type = OWNER_EVENT_TICK };
	struct own *own = arg;

	own_step(own, &event);
	own_act(own);
}

/* ---- events ---- */

static void
own_tell(struct own *own, enum owner_event_type type, const struct row_key *key,
	 const struct row *row)
{
	struct owner_event event = { .type = type, .key = key, .row = row };

	if (id_equal(&key->owner, &own->rows->d->identity->node_id))
		own_step(own, &event);
}

void
own_loaded(struct own *own, const struct row_key *key, const struct row *row)
{
	own_tell(own, OWNER_EVENT_LOADED, key, row);
}

void
own_heard(struct own *own, const struct row_key *key, const struct row *row)
{
	own_tell(own, OWNER_EVENT_HEARD, key, row);
}

void
own_held(struct own *own, const struct row_key *key, const struct row *row)
{
	own_tell(own, OWNER_EVENT_HELD, key, row);
}

void
rows_look_again(struct rows *rows)
{
	struct own *own = rows->own;
	int len = owner_keys(own->core, NULL, 0);
	struct row_key *keys = mem_calloc((size_t)len, sizeof(keys[0]));

	owner_keys(own->core, keys, len);
	for (int i = 0; i < len; i++) {
		struct row held = ROW_INIT;

		if (store_get(rows->d->store, &keys[i], &held) == -ENOENT)
			own_tell(own, OWNER_EVENT_LOST, &keys[i], NULL);
		row_fini(&held);
	}
	free(keys);
	own_act(own);
}

void
rows_claim(struct rows *rows, enum row_kind kind, const char *name, struct bytes value)
{
	struct owner_event event = { .type = OWNER_EVENT_CLAIM, .value = value };
	struct row_key key;

	if (row_key_make(&rows->d->identity->node_id, kind, name, &key) != 0)
		return; /* no name that this program makes */
	event.key = &key;
	own_step(rows->own, &event);
	own_act(rows->own);
}

void
rows_unclaim(struct rows *rows, const char *name)
{
	struct owner_event event = { .type = OWNER_EVENT_UNCLAIM };
	struct row_key key;

	if (row_key_make(&rows->d->identity->node_id, ROW_WORKER, name, &key) != 0)
		return;
	event.key = &key;
	own_step(rows->own, &event);
	own_act(rows->own);
}

void
rows_claims_settled(struct rows *rows)
{
	struct owner_event event = { .type = OWNER_EVENT_SETTLED };
	struct own *own = rows->own;

	own->removed = 0;
	own_step(own, &event);
	own_act(own);
	if (own->removed > 0)
		log_info("workers", "removed the rows of %d worker%s that %s gone",
			 own->removed, own->removed == 1 ? "" : "s",
			 own->removed == 1 ? "is" : "are");
}

void
rows_withdraw(struct rows *rows, struct bytes value)
{
	struct owner_event event = { .type = OWNER_EVENT_WITHDRAW, .value = value };

	own_step(rows->own, &event);
	own_act(rows->own);
}

bool
rows_has_withdrawn(const struct rows *rows)
{
	return owner_has_withdrawn(rows->own->core) && rows->own_notes.len == 0 &&
	       rows->own_syncing.len == 0;
}

bool
rows_has_claim(const struct rows *rows, const char *name)
{
	struct row_key key;

	return row_key_make(&rows->d->identity->node_id, ROW_WORKER, name, &key) == 0 &&
	       owner_has(rows->own->core, &key);
}

void
rows_clock_agrees(struct rows *rows, bool is_ok)
{
	struct owner_event event = { .type = OWNER_EVENT_CLOCK, .is_ok = is_ok };
	struct own *own = rows->own;

	if (own->is_clock_wrong == !is_ok)
		return;
	own->is_clock_wrong = !is_ok;
	own_step(own, &event);
	if (is_ok)
		log_info("table", "this machine's clock agrees with those of other "
				  "nodes again: this node's rows are written again");
	else
		log_error("table",
			  "%s: nothing is written under this node's id until it is right",
			  owner_why_silent(own->core));
	own_act(own);
}

const char *
rows_why_silent(const struct rows *rows)
{
	return owner_why_silent(rows->own->core);
}

uint64_t
rows_renewals(const struct rows *rows)
{
	return owner_renewals(rows->own->core);
}

/* ---- life ---- */

struct own *
own_open(struct rows *rows)
{
	struct daemon *d = rows->d;
	int len = store_actors(d->store, NULL, 0);
	uint64_t *actors = mem_calloc((size_t)len, sizeof(actors[0]));
	struct owner_config config = {
		.self = d->identity->node_id,
		.retention_ms = store_constants(d->store)->retention_ms,
		.actors = actors,
		.actors_len = store_actors(d->store, actors, len),
		.next_seq = store_next_seq(d->store),
		.started_ms = d->started_wall_ms,
		.seed = rng_next(&d->rng),
	};
	struct own *own = mem_calloc(1, sizeof(*own));

	own->rows = rows;
	own->failed_limit = (struct log_limit){ .span_ms = 10 * MS_SECOND, .burst = 3 };
	own->core = owner_new(&config);
	own->timer = loop_timer_new(d->loop, own_on_timer, own);
	free(actors);
	return own;
}

void
own_close(struct own *own)
{
	if (own == NULL)
		return;
	loop_timer_free(own->timer);
	owner_free(own->core);
	free(own);
}
