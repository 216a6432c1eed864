/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/table-disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "lib/tap.h"

/* ---- keys ---- */

struct keys {
	struct id ids[TABLE_IDENTITIES];
	struct row_key keys[TABLE_KEYS];
};

static struct keys *
keys_make(void)
{
	static struct keys k;
	struct id ca = { { 0xca } };
	char name[ID_TEXT_SIZE];

	for (int i = 0; i < TABLE_IDENTITIES; i++) {
		k.ids[i].b[0] = (uint8_t)(i + 1);
		row_key_make(&k.ids[i], ROW_NODE, "", &k.keys[table_key_of(i, -1)]);
		for (int j = 0; j < TABLE_NAMES; j++) {
			snprintf(name, sizeof(name), "%d", j);
			row_key_make(&k.ids[i], ROW_WORKER, name,
				     &k.keys[table_key_of(i, j)]);
		}
		id_text(&k.ids[i], name);
		row_key_make(&ca, ROW_BAN, name, &k.keys[TABLE_BANS + i]);
		row_key_make(&ca, ROW_FORGET, name, &k.keys[TABLE_FORGETS + i]);
	}
	return &k;
}

static const struct keys *
keys(void)
{
	static struct keys *k;

	if (k == NULL)
		k = keys_make();
	return k;
}

int
table_key_of(int identity, int name)
{
	return identity * TABLE_KEYS_EACH + 1 + name;
}

const struct row_key *
table_key(int key)
{
	return &keys()->keys[key];
}

int
table_key_find(const struct row_key *key)
{
	for (int i = 0; i < TABLE_KEYS; i++)
		if (row_key_compare(key, table_key(i)) == 0)
			return i;
	abort();
}

const struct id *
table_id(int identity)
{
	return &keys()->ids[identity];
}

int
table_owner(int key)
{
	return key < TABLE_BANS ? key / TABLE_KEYS_EACH : -1;
}

int
table_about(int key)
{
	if (key < TABLE_BANS)
		return -1;
	return key < TABLE_FORGETS ? key - TABLE_BANS : key - TABLE_FORGETS;
}

/* ---- cells ---- */

static void
cell_weigh(struct table_cell *c)
{
	struct buf b = BUF_INIT;

	c->digest = 0;
	if (c->row.len == 0)
		return;
	codec_put_row(&b, &c->row);
	c->digest = hash64(buf_bytes(&b), 0) | 1;
	buf_fini(&b);
}

const struct row *
table_disk_row(const struct table_disk *d, int key)
{
	return &d->cells[key].row;
}

/* What is held before the first change since the last commit is what a crash brings back. */
static void
disk_save(struct table_disk *d, int key)
{
	struct table_undo *u;

	for (int i = 0; i < d->undo_len; i++)
		if (d->undo[i].key == key)
			return;
	if (d->undo_len == d->undo_cap) {
		d->undo_cap = d->undo_cap * 2 + 4;
		d->undo = mem_realloc(d->undo, (size_t)d->undo_cap, sizeof(d->undo[0]));
	}
	u = &d->undo[d->undo_len++];
	u->key = key;
	row_copy(&d->cells[key].row, &u->row);
}

/* Take over a changed state. */
static void
disk_set(struct table_disk *d, int key, struct row *row)
{
	struct table_cell *c = &d->cells[key];
	uint64_t weight = 2 * (uint64_t)key + 1;

	d->root -= c->digest * weight;
	row_fini(&c->row);
	row_copy(row, &c->row);
	row_fini(row);
	cell_weigh(c);
	d->root += c->digest * weight;
}

static bool
disk_trim(const struct table_disk *d, int key, struct row *row)
{
	return d->leases != NULL && d->rules->sweep(d->leases, table_key(key), row);
}

/* As store_config wants it. */
static void
store_trim(void *arg, const struct row_key *key, struct row *row)
{
	disk_trim(arg, table_key_find(key), row);
}

bool
table_disk_merge(struct table_disk *d, int key, const struct row *row)
{
	struct row merged;
	bool is_changed = false;

	if (d->store != NULL) {
		int rc = store_merge(d->store, table_key(key), row, &is_changed, &merged);

		assert(rc == 0);
	} else {
		uint64_t before = d->cells[key].digest;
		struct table_cell now;

		row_copy(table_disk_row(d, key), &merged);
		if (d->rules->merge(&merged, row)) {
			disk_trim(d, key, &merged);
			now.row = merged;
			cell_weigh(&now);
			is_changed = now.digest != before;
		}
	}
	if (is_changed) {
		disk_save(d, key);
		disk_set(d, key, &merged);
	} else {
		row_fini(&merged);
	}
	return is_changed;
}

bool
table_disk_sweep(struct table_disk *d, int key)
{
	struct row row;

	if (d->cells[key].row.len == 0)
		return false;
	row_copy(&d->cells[key].row, &row);
	if (!disk_trim(d, key, &row)) {
		row_fini(&row);
		return false;
	}
	disk_save(d, key);
	if (d->store != NULL) {
		int rc = store_replace(d->store, table_key(key), &row);

		assert(rc == 0);
	}
	disk_set(d, key, &row);
	return true;
}

/* ---- life ---- */

/* Store folders come and go with histories; only this test's own ones. */
static void
disk_shell(char *command)
{
	if (system(command) != 0)
		abort();
	free(command);
}

static void
disk_forget_undo(struct table_disk *d)
{
	for (int i = 0; i < d->undo_len; i++)
		row_fini(&d->undo[i].row);
	d->undo_len = 0;
}

static bool
disk_mirror_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
		const struct row *row)
{
	struct table_disk *d = arg;
	struct row copy;

	(void)k;
	row_copy(row, &copy);
	disk_set(d, table_key_find(key), &copy);
	return true;
}

static void
disk_open_store(struct table_disk *d)
{
	struct store_config config = {
		.dir = d->dir, .sha256 = test_sha256, .trim = store_trim, .trim_arg = d
	};
	struct errmsg err = { "" };
	struct buf horizon = BUF_INIT;

	if (store_open(&config, &d->store, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
	for (int i = 0; i < TABLE_KEYS; i++) {
		row_fini(&d->cells[i].row);
		d->cells[i].digest = 0;
	}
	d->root = 0;
	if (store_each(d->store, disk_mirror_row, d) != 0)
		abort();
	d->actors_len = store_actors(d->store, d->actors, TABLE_ACTORS_MAX);
	d->next_seq = store_next_seq(d->store);
	if (store_meta_get(d->store, "horizon", &horizon) == 0 && horizon.len == 8)
		d->horizon = get_be64(horizon.data);
	buf_fini(&horizon);
}

void
table_disk_init(struct table_disk *d, const struct table_rules *rules, struct rng *rng,
		char *dir)
{
	memset(d, 0, sizeof(*d));
	d->rules = rules;
	d->dir = dir;
	if (dir != NULL)
		test_store_create(dir);
	else
		table_disk_renew(d, rng);
}

void
table_disk_fini(struct table_disk *d)
{
	store_close(d->store);
	d->store = NULL;
	for (int i = 0; i < TABLE_KEYS; i++) {
		row_fini(&d->cells[i].row);
		d->cells[i].digest = 0;
	}
	d->root = 0;
	disk_forget_undo(d);
	free(d->undo);
	if (d->dir != NULL)
		disk_shell(mem_printf("rm -rf '%s'", d->dir));
	free(d->dir);
	d->undo = NULL;
	d->dir = NULL;
}

void
table_disk_open(struct table_disk *d, struct rng *rng)
{
	if (d->dir != NULL) {
		disk_open_store(d);
		return;
	}
	d->next_seq = d->reserved + 1 + rng_below(rng, 1 << 24);
	d->reserved = d->next_seq + TABLE_BLOCK;
}

void
table_disk_commit(struct table_disk *d)
{
	uint8_t horizon[8];

	if (d->store != NULL) {
		put_be64(horizon, d->horizon);
		store_meta_set(d->store, "horizon", bytes_of(horizon, 8));
		if (test_store_wait(d->store) != 0)
			abort();
	}
	disk_forget_undo(d);
	d->committed_horizon = d->horizon;
}

void
table_disk_crash(struct table_disk *d)
{
	if (d->dir != NULL) {
		table_disk_commit(d);
		store_close(d->store);
		d->store = NULL;
		return;
	}
	for (int i = 0; i < d->undo_len; i++) {
		struct table_undo *u = &d->undo[i];

		disk_set(d, u->key, &u->row);
	}
	disk_forget_undo(d);
	d->horizon = d->committed_horizon;
}

void
table_disk_copy(struct table_disk *from, struct table_disk *ret_d, char *dir)
{
	table_disk_commit(from);
	memset(ret_d, 0, sizeof(*ret_d));
	ret_d->rules = from->rules;
	ret_d->root = from->root;
	ret_d->horizon = ret_d->committed_horizon = from->horizon;
	memcpy(ret_d->actors, from->actors, sizeof(from->actors));
	ret_d->actors_len = from->actors_len;
	ret_d->next_seq = from->next_seq;
	ret_d->reserved = from->reserved;
	ret_d->dir = dir;
	if (dir != NULL)
		disk_shell(mem_printf("cp -r '%s' '%s'", from->dir, dir));
	for (int i = 0; i < TABLE_KEYS; i++) {
		row_copy(&from->cells[i].row, &ret_d->cells[i].row);
		ret_d->cells[i].digest = from->cells[i].digest;
	}
}

struct dot
table_disk_dot(struct table_disk *d)
{
	struct dot dot = { .actor = d->actors[d->actors_len - 1], .seq = d->next_seq };

	if (d->store != NULL) {
		int rc = store_next_dot(d->store, &dot);

		for (int i = 0; rc == -EAGAIN && i < 100; i++) {
			test_store_wait(d->store);
			rc = store_next_dot(d->store, &dot);
		}
		assert(rc == 0);
	} else if (d->next_seq == d->reserved) {
		d->reserved += TABLE_BLOCK;
	}
	d->next_seq = dot.seq + 1;
	return dot;
}

void
table_disk_renew(struct table_disk *d, struct rng *rng)
{
	if (d->store != NULL) {
		int rc = store_actor_renew(d->store);

		assert(rc == 0);
		d->actors_len = store_actors(d->store, d->actors, TABLE_ACTORS_MAX);
		d->next_seq = store_next_seq(d->store);
		return;
	}
	if (d->actors_len == TABLE_ACTORS_MAX)
		memmove(d->actors, d->actors + 1,
			(size_t)--d->actors_len * sizeof(d->actors[0]));
	d->actors[d->actors_len++] = rng_next(rng);
	d->next_seq = 1 + rng_below(rng, 1 << 24);
	d->reserved = d->next_seq + TABLE_BLOCK;
}

static void
disk_note(void *arg, const char *text)
{
	(void)arg;
	tap_note("%s", text);
}

static bool
disk_verify_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
		const struct row *row)
{
	const struct row **cells = arg;
	int i = table_key_find(key);

	(void)k;
	if (!row_equal(cells[i], row))
		return false;
	cells[i] = NULL;
	return true;
}

bool
table_disk_verify(struct table_disk *d)
{
	const struct row *cells[TABLE_KEYS];
	uint64_t differences = 0;

	if (d->store == NULL)
		return true;
	for (int i = 0; i < TABLE_KEYS; i++)
		cells[i] = table_disk_row(d, i);
	if (store_each(d->store, disk_verify_row, cells) != 0)
		return false;
	for (int i = 0; i < TABLE_KEYS; i++)
		if (cells[i] != NULL && cells[i]->len > 0)
			return false;
	table_disk_commit(d);
	return store_verify(d->store, disk_note, NULL, &differences) == 0;
}
