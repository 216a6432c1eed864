/* SPDX-License-Identifier: Apache-2.0 */
/* What happens in a history. A kind of trouble that the history has not is a step in which
 * time passes only, so that what is taken from a failing history leaves the rest alike. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/rows.h"
#include "sim/table-world.h"

static struct table_node *
world_any(struct table_world *w)
{
	return &w->nodes[world_below(w, (uint64_t)w->nodes_len)];
}

static char *
world_new_folder(struct table_world *w, const struct table_disk *like)
{
	char name[32];

	if (like->dir == NULL)
		return NULL;
	snprintf(name, sizeof(name), "store-%d", ++w->stores);
	return test_folder(name);
}

/* ---- everyday life ---- */

static void
step_claim(struct table_world *w, struct table_node *n)
{
	node_claim(n, (int)world_below(w, TABLE_NAMES), ++w->values);
	if (world_chance(w, 10) && n->is_up)
		node_say_node(n, ++w->values);
}

static void
step_unclaim(struct table_world *w, struct table_node *n)
{
	int name = (int)world_below(w, TABLE_NAMES);

	for (int i = 0; i < TABLE_NAMES; i++, name = (name + 1) % TABLE_NAMES) {
		if (n->claims[name] == 0)
			continue;
		node_unclaim(n, name);
		/* Removed and added again, while the remove is on its way. */
		if (n->is_up && world_chance(w, 20))
			node_claim(n, name, ++w->values);
		return;
	}
}

static void
step_sync(struct table_world *w, struct table_node *n)
{
	static const int parts[] = { 100, 100, 50 };
	int part = parts[world_below(w, 3)];

	world_sync(w, n, world_any(w), world_has(w, TABLE_CUT_SHORT) ? part : 100);
}

/* ---- what befalls a machine ---- */

static void
step_crash(struct table_world *w, struct table_node *n)
{
	node_stop(n);
	if (!world_chance(w, 30))
		return;
	for (int name = 0; name < TABLE_NAMES; name++) /* workers left meanwhile */
		if (world_chance(w, 50))
			n->claims[name] = 0;
}

/* A life that is lost with its disk: it wrote a row once, having heard of it or not, and
 * sent it to one machine. */
static void
life_write(struct table_world *w, struct table_node *n, struct table_node *to, int key,
	   uint64_t stamp)
{
	static const struct row nothing;
	bool has_heard = world_chance(w, 60);
	const struct row *seen = has_heard ? table_disk_row(&to->disk, key) : &nothing;
	struct bytes value = bytes_text("1");
	bool is_removed = key % TABLE_KEYS_EACH != 0 && world_chance(w, 30);
	struct dot dot = { rng_next(&w->rng), 1 + world_below(w, 1 << 24) };
	struct history_set saw = { { 0 } };
	struct row row;

	if (!w->params.is_lax)
		history_events(&w->history, key, seen, &saw);
	if (node_make_version(w, key, seen, dot, stamp, is_removed ? NULL : &value, &saw,
			      &row) != 0)
		return; /* more actors than a context holds */
	if (to->is_up && world_linked(w, to, to) == false && to != n)
		node_absorb(to, key, &row);
	row_fini(&row);
}

static void
step_lives(struct table_world *w, struct table_node *n)
{
	int lives = 2 + (int)world_below(w, 24);
	int name = (int)world_below(w, TABLE_NAMES);
	uint64_t stamp = (uint64_t)node_wall(n) + 1;

	for (int i = 0; i < lives; i++) {
		struct table_node *to = world_any(w);

		if (!to->is_up || to->identity == n->identity ||
		    node_bans(to, n->identity))
			continue;
		life_write(w, n, to, table_key_of(n->identity, -1), stamp++);
		if (world_chance(w, 70))
			life_write(w, n, to, table_key_of(n->identity, name), stamp++);
	}
}

/* The disk is lost, the identity is not; a while later it starts again. */
static void
step_disk_loss(struct table_world *w, struct table_node *n)
{
	struct dot last = { n->disk.actors[n->disk.actors_len - 1], 0 };
	char *dir = world_new_folder(w, &n->disk);

	node_stop(n);
	table_disk_fini(&n->disk);
	table_disk_init(&n->disk, &w->rules, &w->rng, dir);
	if (w->params.broken == TABLE_ACTOR_REUSED && dir == NULL) {
		n->disk.actors[0] = last.actor;
		n->disk.is_reused = true;
	}
	if (world_has(w, TABLE_LIVES) && world_chance(w, 30))
		step_lives(w, n);
}

static void
step_clock(struct table_world *w, struct table_node *n)
{
	static const ms_t skews[] = {
		-108 * (ms_t)MS_SECOND, 108 * (ms_t)MS_SECOND, 4 * (ms_t)MS_MINUTE,
		-7 * (ms_t)MS_MINUTE,	9 * (ms_t)MS_MINUTE,   10 * (ms_t)MS_HOUR,
		-10 * (ms_t)MS_HOUR,	400 * (ms_t)MS_HOUR,
	};

	n->skew = skews[world_below(w, sizeof(skews) / sizeof(skews[0]))];
}

/* Is there another than one that is not gone for ever? */
static bool
world_has_others(const struct table_world *w)
{
	int there = 0;

	for (int i = 0; i < w->nodes_len; i++)
		there += !w->nodes[i].is_gone;
	return there >= 2;
}

static void
step_gone(struct table_world *w, struct table_node *n)
{
	if (!world_has_others(w) || !world_chance(w, 30))
		return;
	node_stop(n);
	n->is_gone = true;
}

/* It withdraws, what is on its way to it comes in meanwhile, and it stops; sometimes for
 * ever. */
static void
step_leave(struct table_world *w, struct table_node *n)
{
	node_withdraw(n, ++w->values);
	world_deliver(w);
	if (n->is_up)
		node_stop(n);
	if (world_has(w, TABLE_GONE) && !n->is_cloned)
		n->is_gone = world_chance(w, 10) && world_has_others(w);
}

/* ---- old disks and copies ---- */

static void
step_backup(struct table_world *w, struct table_node *n)
{
	if (n->backup == NULL)
		n->backup = mem_calloc(1, sizeof(*n->backup));
	else
		table_disk_fini(n->backup);
	node_commit(n);
	table_disk_copy(&n->disk, n->backup, world_new_folder(w, &n->disk));
	n->backup_wall = node_wall(n) - (w->now - n->started);
}

/* From here on its numbers may have been given out before, and its rows show it. */
static void
world_double(struct table_world *w, int identity)
{
	w->is_doubled[identity] = true;
	for (int name = -1; name < TABLE_NAMES; name++)
		w->history.rows[table_key_of(identity, name)].is_loose = true;
}

/* The backup becomes the disk, and is used up. The machine is off. */
static void
node_put_back(struct table_node *n)
{
	table_disk_fini(&n->disk);
	n->disk = *n->backup;
	free(n->backup);
	n->backup = NULL;
}

static void
step_rollback(struct table_world *w, struct table_node *n)
{
	if (n->backup == NULL)
		return;
	world_double(w, n->identity);
	node_stop(n);
	node_put_back(n);
}

static void
step_rollback_run(struct table_world *w, struct table_node *n)
{
	if (n->backup == NULL || n->disk.dir != NULL)
		return;
	world_double(w, n->identity);
	node_stop(n);
	node_put_back(n);
	node_resume(n, n->backup_wall);
}

static void
step_restore(struct table_world *w, struct table_node *n)
{
	if (n->backup == NULL || n->disk.dir != NULL)
		return;
	node_stop(n);
	node_put_back(n);
	table_disk_renew(&n->disk, &w->rng);
}

static void
step_clone(struct table_world *w, struct table_node *n)
{
	struct table_node *c;
	char *dir;

	if (w->nodes_len == TABLE_MACHINES || !world_chance(w, 50))
		return;
	world_double(w, n->identity);
	dir = world_new_folder(w, &n->disk);
	c = world_add(w, n->identity);
	if (n->backup != NULL && world_chance(w, 50))
		table_disk_copy(n->backup, &c->disk, dir);
	else
		table_disk_copy(&n->disk, &c->disk, dir);
	memcpy(c->claims, n->claims, sizeof(c->claims));
	c->node_value = n->node_value;
	/* Started at the next steps. */
}

/* An older life of somebody's disk wrote something else under the same number, and it turns
 * up now; perhaps when its owner is gone and cannot put it right any more. */
static void
step_twin(struct table_world *w, struct table_node *n)
{
	int owner = (int)world_below(w, (uint64_t)w->identities);
	const struct row *row;
	int key;
	struct table_node *to = world_any(w);
	struct bytes value = bytes_text("2");
	struct history_set saw = { { 0 } };
	struct row nothing = ROW_INIT, twin;
	const struct version *v;

	for (int i = 0; i < w->nodes_len; i++)
		if (w->nodes[i].is_gone)
			owner = w->nodes[i].identity;
	key = table_key_of(owner, (int)world_below(w, TABLE_KEYS_EACH) - 1);
	row = table_disk_row(&n->disk, key);
	if (row->len == 0 || !to->is_up || to->identity == owner || node_bans(to, owner))
		return;
	world_double(w, owner);
	v = &row->versions[world_below(w, row->len)];
	if (node_make_version(w, key, &nothing, v->dot, v->stamp, &value, &saw, &twin) !=
	    0)
		return;
	node_absorb(to, key, &twin);
	row_fini(&twin);
}

void
world_last_step(struct table_world *w)
{
	struct table_node *n = world_any(w);

	if (!world_has(w, TABLE_TWIN) || !world_has(w, TABLE_GONE) || !n->is_up ||
	    !world_chance(w, 30))
		return;
	step_gone(w, n);
	for (int i = 0; n->is_gone && i < 4; i++)
		step_twin(w, world_any(w));
	world_deliver(w);
}

/* ---- what the cluster's CA says ---- */

static void
step_decree(struct table_world *w, struct table_node *n)
{
	/* The first half are the admins, and ban none of themselves: who was banned by whom
	 * would be anybody's guess. */
	int admins = (w->identities + 1) / 2;
	int about = admins + (int)world_below(w, (uint64_t)(w->identities - admins));
	int key = TABLE_BANS + about;
	int banned = 0;

	/* The number of a row that others may write too is not judged by what is under its
	 * own id: whose store was put back does not decree. */
	if (w->is_doubled[n->identity] || n->identity >= admins)
		return;
	for (int i = 0; i < w->nodes_len; i++)
		if (w->nodes[i].identity == about && !w->nodes[i].is_gone)
			key = TABLE_BANS + about;
		else if (w->nodes[i].identity == about && world_chance(w, 50))
			key = TABLE_FORGETS + about;
	for (int i = 0; i < w->identities; i++)
		banned += node_bans(n, i);
	if (row_visible(table_disk_row(&n->disk, key)) != NULL)
		node_decree(n, key, 0);
	else if (banned * 2 + 2 < w->identities)
		node_decree(n, key, ++w->values);
}

/* ---- a step ---- */

struct step_kind {
	int percent;
	unsigned fault; /* 0: everyday life */
	const char *name;
	void (*run)(struct table_world *w, struct table_node *n);
};

static const struct step_kind step_kinds[] = {
	{ 24, 0, "claim", step_claim },
	{ 12, 0, "unclaim", step_unclaim },
	{ 24, 0, "sync", step_sync },
	{ 4, TABLE_BAN, "decree", step_decree },
	{ 6, TABLE_CRASH, "crash", step_crash },
	{ 4, TABLE_DISK_LOSS, "disk_loss", step_disk_loss },
	{ 3, TABLE_CLOCK, "clock", step_clock },
	{ 2, TABLE_GONE, "gone", step_gone },
	{ 2, TABLE_LEAVE, "leave", step_leave },
	{ 3, TABLE_ROLLBACK | TABLE_ROLLBACK_RUN | TABLE_RESTORE | TABLE_CLONE, "backup",
	  step_backup },
	{ 1, TABLE_ROLLBACK, "rollback", step_rollback },
	{ 1, TABLE_ROLLBACK_RUN, "rollback_run", step_rollback_run },
	{ 1, TABLE_RESTORE, "restore", step_restore },
	{ 1, TABLE_CLONE, "clone", step_clone },
	{ 3, TABLE_TWIN, "twin", step_twin },
};

static void
step_partition(struct table_world *w, const struct table_node *n)
{
	const struct table_node *o = world_any(w);

	if (o->identity == n->identity)
		return;
	world_tell(w, "-- nodes %d and %d are cut or joined", n->identity, o->identity);
	w->is_cut[n->identity][o->identity] ^= true;
	w->is_cut[o->identity][n->identity] ^= true;
}

/* A machine that is off; one that stopped as a clone is started again by somebody who knows
 * of no other that runs. */
static void
step_off(struct table_world *w, struct table_node *n)
{
	bool is_alone = true;

	for (int i = 0; i < w->nodes_len; i++)
		is_alone &= w->nodes[i].identity != n->identity || !w->nodes[i].is_up;
	if (n->is_gone || (n->is_cloned && !is_alone) || !world_chance(w, 30))
		return;
	n->is_cloned = false;
	node_start(n);
}

void
world_step(struct table_world *w)
{
	static const ms_t spans[] = {
		6 * (ms_t)MS_MINUTE, 6 * (ms_t)MS_MINUTE, MS_HOUR,	     MS_HOUR,
		5 * (ms_t)MS_HOUR,   24 * (ms_t)MS_HOUR,  60 * (ms_t)MS_HOUR
	};
	struct table_node *n = world_any(w);
	ms_t span = spans[world_below(w, sizeof(spans) / sizeof(spans[0]))];
	int k = (int)world_below(w, 100);

	world_pass(w, span);
	world_deliver(w);
	if (!n->is_up) {
		step_off(w, n);
		world_deliver(w);
		return;
	}
	for (size_t i = 0; i < sizeof(step_kinds) / sizeof(step_kinds[0]); i++) {
		const struct step_kind *kind = &step_kinds[i];

		k -= kind->percent;
		if (k >= 0)
			continue;
		if (kind->fault == 0 || (w->params.faults & kind->fault) != 0) {
			world_tell(w, "-- %s at machine %d", kind->name, n->index);
			kind->run(w, n);
		}
		world_deliver(w);
		return;
	}
	if (k < 7 && world_has(w, TABLE_PARTITION))
		step_partition(w, n);
	else if (k >= 7)
		node_commit(n);
	world_deliver(w);
}
