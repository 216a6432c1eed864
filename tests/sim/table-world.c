/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/table-world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/rows.h"
#include "lib/sha256.h"

enum {
	SKEW_MS = 108 * MS_SECOND, /* of a good clock */
	START_HOURS = 1000,
	CLOCKS_APART_MS = 5 * MS_MINUTE, /* then a link carries no rows (mesh, HELLO) */
};

uint64_t
world_below(struct table_world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

bool
world_chance(struct table_world *w, int percent)
{
	return (int)rng_below(&w->rng, 100) < percent;
}

bool
world_has(const struct table_world *w, enum table_fault fault)
{
	return (w->params.faults & fault) != 0;
}

void
table_world_wrong(struct table_world *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->why[0] != '\0')
		return;
	n = snprintf(w->why, sizeof(w->why), "%.1f h: ",
		     (double)(w->now - START_HOURS * (ms_t)MS_HOUR) / MS_HOUR);
	va_start(ap, fmt);
	vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, fmt, ap);
	va_end(ap);
	world_tell(w, "WRONG: %s", w->why);
}

void
world_tell(const struct table_world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->params.is_told)
		return;
	printf("# %8.2f h  ", (double)(w->now - START_HOURS * (ms_t)MS_HOUR) / MS_HOUR);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- wrong merges and sweeps ---- */

static bool
merge_highest_seq(struct row *into, const struct row *other)
{
	const struct version *best = NULL;
	struct row one;

	for (int i = 0; i < into->len + other->len; i++) {
		const struct version *v = i < into->len ? &into->versions[i]
							: &other->versions[i - into->len];

		if (best == NULL || v->dot.seq > best->dot.seq)
			best = v;
	}
	row_copy(&(struct row){ .len = 1, .versions = { *best } }, &one);
	row_fini(into);
	*into = one;
	return true;
}

/* What is covered exactly, and not beyond, stays. */
static bool
merge_ge_for_gt(struct row *into, const struct row *other)
{
	struct row all = ROW_INIT, out = ROW_INIT;

	for (int i = 0; i < into->len + other->len; i++) {
		const struct version *v = i < into->len ? &into->versions[i]
							: &other->versions[i - into->len];
		bool is_there = false;

		for (int j = 0; j < all.len; j++)
			is_there |= memcmp(all.versions[j].hash, v->hash,
					   ROW_HASH_BYTES) == 0;
		if (!is_there && all.len < ROW_VERSIONS_MAX)
			all.versions[all.len++] = *v;
	}
	for (int i = 0; i < all.len; i++) {
		struct dot beyond = { all.versions[i].dot.actor,
				      all.versions[i].dot.seq + 1 };
		bool is_covered = false;

		for (int j = 0; j < all.len; j++)
			is_covered |= version_covers(&all.versions[j], beyond);
		if (!is_covered)
			out.versions[out.len++] = all.versions[i];
	}
	row_copy(&out, &all);
	row_fini(into);
	*into = all;
	return true;
}

static bool
merge_same_dot_mine(struct row *into, const struct row *other)
{
	struct row less = ROW_INIT;

	for (int i = 0; i < other->len; i++) {
		const struct version *v = &other->versions[i];
		bool is_mine = false;

		for (int j = 0; j < into->len; j++)
			is_mine |= into->versions[j].dot.actor == v->dot.actor &&
				   into->versions[j].dot.seq == v->dot.seq;
		if (!is_mine)
			less.versions[less.len++] = *v;
	}
	return row_merge(into, &less);
}

static bool
sweep_own_stamp(const struct leases *l, const struct row_key *key, struct row *row)
{
	bool is_changed = leases_sweep(l, key, row);
	int kept = 0;

	for (int i = 0; i < row->len && key->kind == ROW_WORKER; i++) {
		if (row->versions[i].stamp > leases_horizon(l))
			row->versions[kept++] = row->versions[i];
		else
			version_fini(&row->versions[i]);
	}
	if (key->kind == ROW_WORKER && kept != row->len) {
		row->len = (uint8_t)kept;
		is_changed = true;
	}
	return is_changed;
}

static struct table_rules
world_rules(enum table_break broken)
{
	struct table_rules rules = { row_merge, leases_sweep };

	if (broken == TABLE_HIGHEST_SEQ)
		rules.merge = merge_highest_seq;
	if (broken == TABLE_GE_FOR_GT)
		rules.merge = merge_ge_for_gt;
	if (broken == TABLE_SAME_DOT_MINE)
		rules.merge = merge_same_dot_mine;
	if (broken == TABLE_OWN_STAMP_AGE)
		rules.sweep = sweep_own_stamp;
	return rules;
}

/* ---- links ---- */

bool
world_linked(const struct table_world *w, const struct table_node *a,
	     const struct table_node *b)
{
	ms_t apart = a->skew - b->skew;

	return a->is_up && b->is_up && a->identity != b->identity &&
	       !w->is_cut[a->identity][b->identity] && apart <= CLOCKS_APART_MS &&
	       apart >= -CLOCKS_APART_MS && !node_bans(a, b->identity) &&
	       !node_bans(b, a->identity);
}

bool
world_greet(struct table_world *w, struct table_node *a, struct table_node *b)
{
	bool is_good_a, is_good_b;

	if (!world_linked(w, a, b))
		return false;
	is_good_a = node_hear(a, leases_horizon(b->leases));
	is_good_b = node_hear(b, leases_horizon(a->leases));
	return is_good_a && is_good_b;
}

/* The bytes of the row, read again. */
static void
world_code(int key, const struct row *row, struct row *ret_row)
{
	struct buf b = BUF_INIT;
	struct row_key same;
	struct reader r;
	int rc;

	codec_put_key(&b, table_key(key));
	codec_put_row(&b, row);
	r = reader_of(buf_bytes(&b));
	rc = codec_read_key(&r, &same);
	assert(rc == 0 && row_key_compare(&same, table_key(key)) == 0);
	rc = codec_read_row(&r, test_sha256, ret_row);
	assert(rc == 0 && reader_done(&r) && row_equal(row, ret_row));
	buf_fini(&b);
}

void
world_transmit(struct table_world *w, int key, const struct row *row, struct row *ret_row)
{
	enum table_break broken = w->params.broken;
	uint8_t signature[ROW_SIGNATURE_BYTES];

	if (broken == TABLE_RIGHT) {
		world_code(key, row, ret_row);
		assert(row_check(table_key(key), ret_row) == 0);
	} else {
		row_copy(row, ret_row);
	}
	for (int i = 0; i < ret_row->len; i++) {
		struct version *v = &ret_row->versions[i];

		if (broken == TABLE_NO_CONTEXT_SENT) {
			v->context_len = 0;
			memcpy(signature, v->signature, sizeof(signature));
			version_seal(v, signature, test_sha256);
		} else if (!w->params.is_lax) {
			table_sign(table_key(key), v, signature);
			assert(memcmp(signature, v->signature, sizeof(signature)) == 0);
		}
	}
}

/* ---- messages ---- */

static void
world_post(struct table_world *w, struct table_node *from, struct table_node *to, int key,
	   const struct row *row)
{
	struct table_message *m;
	ms_t delay = 0;

	if (world_has(w, TABLE_DELAY) && !w->is_quiet && world_chance(w, 40))
		delay = (ms_t)world_below(w, world_chance(w, 10) ? 40 * (ms_t)MS_HOUR
								 : MS_HOUR);
	if (w->messages_len == w->messages_cap) {
		w->messages_cap = w->messages_cap * 2 + 16;
		w->messages = mem_realloc(w->messages, (size_t)w->messages_cap,
					  sizeof(w->messages[0]));
	}
	m = &w->messages[w->messages_len++];
	*m = (struct table_message){
		.at = w->now + delay, .from = from->index, .to = to->index, .key = key
	};
	world_transmit(w, key, row, &m->row);
}

void
world_broadcast(struct table_world *w, struct table_node *from, int key,
		const struct row *row)
{
	int part = world_has(w, TABLE_CUT_SHORT) ? 70 : 100;

	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *to = &w->nodes[i];

		if (!world_linked(w, from, to) || !world_chance(w, part))
			continue;
		world_post(w, from, to, key, row);
		if (world_has(w, TABLE_DELAY) && world_chance(w, 15))
			world_post(w, from, to, key, row);
	}
}

/* The first of those due that was sent for the earliest moment; -1: none. */
static int
world_next_message(const struct table_world *w)
{
	int first = -1;

	for (int i = 0; i < w->messages_len; i++)
		if (w->messages[i].at <= w->now &&
		    (first < 0 || w->messages[i].at < w->messages[first].at))
			first = i;
	return first;
}

void
world_deliver(struct table_world *w)
{
	/* What is wrong already may write and send for ever. */
	for (int i; w->why[0] == '\0' && (i = world_next_message(w)) >= 0;) {
		struct table_message m = w->messages[i];
		struct table_node *from = &w->nodes[m.from], *to = &w->nodes[m.to];

		w->messages[i] = w->messages[--w->messages_len];
		if (world_greet(w, from, to))
			node_absorb(to, m.key, &m.row);
		row_fini(&m.row);
	}
}

/* ---- the quick form of a session ---- */

/* Keys in the order in which their rows come: what the CA says, then node rows, then the
 * others; or in any order, so that rows are put aside. */
static int
world_order(struct table_world *w, int keys[TABLE_KEYS])
{
	int n = 0;

	for (int key = TABLE_BANS; key < TABLE_KEYS; key++)
		keys[n++] = key;
	for (int key = 0; key < TABLE_BANS; key += TABLE_KEYS_EACH)
		keys[n++] = key;
	for (int key = 0; key < TABLE_BANS; key++)
		if (key % TABLE_KEYS_EACH != 0)
			keys[n++] = key;
	if (!world_has(w, TABLE_DELAY) || !world_chance(w, 30))
		return n;
	for (int i = n - 1; i > 0; i--) {
		int j = (int)world_below(w, (uint64_t)i + 1), key = keys[i];

		keys[i] = keys[j];
		keys[j] = key;
	}
	return n;
}

struct parcel {
	int key;
	bool is_to_a;
	struct row row;
};

void
world_sync(struct table_world *w, struct table_node *a, struct table_node *b, int percent)
{
	struct parcel *parcels = NULL;
	int keys[TABLE_KEYS], n = 0, len = 0;

	if (!world_greet(w, a, b))
		return;
	if (a->has_uncommitted)
		node_commit(a);
	if (b->has_uncommitted)
		node_commit(b);
	w->counts->sessions++;
	if (a->disk.root == b->disk.root)
		return;
	if (w->params.session_once > 0 && w->params.broken == TABLE_RIGHT &&
	    world_below(w, (uint64_t)w->params.session_once) == 0) {
		world_session(w, a, b, percent == 100 ? 100000 : (int)world_below(w, 12));
		return;
	}
	for (int i = 0, keys_len = world_order(w, keys); i < keys_len; i++) {
		for (int side = 0; side < 2; side++) {
			const struct table_node *from = side == 0 ? a : b,
						*to = side == 0 ? b : a;
			const struct row *row = table_disk_row(&from->disk, keys[i]);

			if (row->len == 0 || from->disk.cells[keys[i]].digest ==
						     to->disk.cells[keys[i]].digest)
				continue;
			if (len == n) {
				n = n * 2 + 16;
				parcels = mem_realloc(parcels, (size_t)n,
						      sizeof(parcels[0]));
			}
			parcels[len].key = keys[i];
			parcels[len].is_to_a = side == 1;
			world_transmit(w, keys[i], row, &parcels[len++].row);
		}
	}
	for (int i = 0; i < len; i++) {
		if (world_has(w, TABLE_HOUR) && !w->is_quiet && world_chance(w, 1))
			world_pass(w, MS_HOUR);
		if (world_chance(w, percent))
			node_absorb(parcels[i].is_to_a ? a : b, parcels[i].key,
				    &parcels[i].row);
		row_fini(&parcels[i].row);
	}
	free(parcels);
	world_deliver(w);
}

/* ---- time ---- */

/* Does its clock disagree with most of those that it could be linked to? */
static bool
world_clock_is_wrong(const struct table_world *w, const struct table_node *n)
{
	int good = 0, bad = 0;

	for (int i = 0; i < w->nodes_len; i++) {
		const struct table_node *o = &w->nodes[i];
		ms_t apart = n->skew - o->skew;

		if (!o->is_up || o->identity == n->identity ||
		    w->is_cut[n->identity][o->identity])
			continue;
		if (apart <= CLOCKS_APART_MS && apart >= -CLOCKS_APART_MS)
			good++;
		else
			bad++;
	}
	return bad > good;
}

void
world_pass(struct table_world *w, ms_t span)
{
	w->now += span;
	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (n->is_up)
			node_clock(n, world_clock_is_wrong(w, n));
		if (n->is_up)
			node_tick(n);
	}
}

/* ---- the world ---- */

static char *
world_store_folder(struct table_world *w)
{
	char name[32];

	if (w->params.store_once == 0 ||
	    world_below(w, (uint64_t)w->params.store_once) != 0)
		return NULL;
	w->counts->store_machines++;
	snprintf(name, sizeof(name), "store-%d", ++w->stores);
	return test_folder(name);
}

struct table_node *
world_add(struct table_world *w, int identity)
{
	struct table_node *n = &w->nodes[w->nodes_len];

	assert(w->nodes_len < TABLE_MACHINES);
	memset(n, 0, sizeof(*n));
	n->world = w;
	n->index = w->nodes_len++;
	n->identity = identity;
	n->skew = (ms_t)world_below(w, 2 * SKEW_MS) - SKEW_MS;
	n->node_value = ++w->values;
	return n;
}

static void
world_clear(struct table_world *w)
{
	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (n->is_up)
			node_stop(n);
		table_disk_fini(&n->disk);
		if (n->backup != NULL)
			table_disk_fini(n->backup);
		free(n->backup);
	}
	w->nodes_len = 0;
	while (w->messages_len > 0)
		row_fini(&w->messages[--w->messages_len].row);
	w->dots_len = 0;
	history_clear(&w->history);
}

static void
world_begin(struct table_world *w, const struct table_params *params)
{
	int steps;

	w->params = *params;
	w->rules = world_rules(params->broken);
	rng_init(&w->rng, params->seed);
	w->now = START_HOURS * (ms_t)MS_HOUR;
	w->identities = 2 + (int)world_below(w, TABLE_IDENTITIES - 1);
	steps = 20 + (int)world_below(w, 101);
	if (params->nodes != 0)
		w->identities = params->nodes;
	w->params.nodes = w->identities;
	if (params->steps == 0)
		w->params.steps = steps;
	memset(w->is_cut, 0, sizeof(w->is_cut));
	memset(w->is_doubled, 0, sizeof(w->is_doubled));
	w->values = 0;
	w->is_quiet = false;
	w->why[0] = '\0';
	for (int i = 0; i < w->identities; i++) {
		struct table_node *n = world_add(w, i);

		table_disk_init(&n->disk, &w->rules, &w->rng, world_store_folder(w));
		node_start(n);
	}
	world_deliver(w);
}

const char *
table_world_run(struct table_world *w, const struct table_params *params,
		struct table_counts *counts)
{
	w->counts = counts;
	world_clear(w);
	world_begin(w, params);
	for (int i = 0; i < w->params.steps && w->why[0] == '\0'; i++)
		world_step(w);
	if (w->why[0] == '\0')
		world_last_step(w);
	counts->steps += (uint64_t)w->params.steps;
	counts->histories++;
	if (w->why[0] == '\0')
		world_check_end(w);
	world_clear(w);
	return w->why;
}

void
table_world_fini(struct table_world *w)
{
	world_clear(w);
	history_fini(&w->history);
	free(w->messages);
	free(w->dots);
	w->messages = NULL;
	w->dots = NULL;
}
