/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold once all is quiet. */
#include "config.h"

#include <string.h>

#include "sim/table-world.h"

enum {
	SKEW_MS = 108 * MS_SECOND,
	ROUND_MS = 2 * MS_HOUR,
	FIRST_MS = 12 * MS_HOUR, /* by then all have spoken to all several times */
	PART_MS = 29 * MS_HOUR,	 /* so that all hours of the day are checked */
};

/* Whom do those keep out whom nobody keeps out? What a banned machine holds against others
 * may long be taken back. */
static void
world_judge_bans(struct table_world *w)
{
	enum { UNKNOWN, IN, OUT } is[TABLE_IDENTITIES] = { UNKNOWN };

	for (int round = 0; round < TABLE_IDENTITIES; round++)
		for (int about = 0; about < w->identities; about++) {
			bool is_in = true, is_out = false;

			for (int i = 0; i < w->nodes_len; i++) {
				const struct table_node *n = &w->nodes[i];

				if (!n->is_up || n->identity == about ||
				    !node_bans(n, about))
					continue;
				is_in &= is[n->identity] == OUT;
				is_out |= is[n->identity] == IN;
			}
			if (is[about] == UNKNOWN && (is_in || is_out))
				is[about] = is_in ? IN : OUT;
		}
	for (int about = 0; about < w->identities; about++)
		w->is_banned[about] = is[about] != IN;
}

/* Does it take part? A banned or forgotten one goes on by itself; so do two that run under
 * one identity, which have no link with each other, when nobody else is there. */
static bool
world_counts_in(const struct table_world *w, const struct table_node *n)
{
	bool is_alone = true, is_double = false;

	if (!n->is_up || w->is_banned[n->identity])
		return false;
	for (int i = 0; i < w->nodes_len; i++) {
		const struct table_node *o = &w->nodes[i];

		if (!o->is_up || o == n)
			continue;
		is_double |= o->identity == n->identity;
		is_alone &= o->identity == n->identity || w->is_banned[o->identity];
	}
	return !is_double || !is_alone;
}

static void
world_round(struct table_world *w)
{
	for (int i = 0; i < w->nodes_len; i++)
		for (int j = i + 1; j < w->nodes_len; j++)
			if (w->nodes[i].is_up && w->nodes[j].is_up)
				world_sync(w, &w->nodes[i], &w->nodes[j], 100);
}

void
world_quiet(struct table_world *w, ms_t span)
{
	ms_t end = w->now + span;

	w->is_quiet = true;
	memset(w->is_cut, 0, sizeof(w->is_cut));
	for (int i = 0; i < w->messages_len; i++)
		w->messages[i].at = w->now;
	for (int i = 0; i < w->nodes_len; i++)
		w->nodes[i].skew = (ms_t)world_below(w, 2 * SKEW_MS) - SKEW_MS;
	/* Whoever is set up again takes a while to start. */
	world_pass(w, MS_HOUR / 6);
	for (int i = 0; i < w->nodes_len; i++)
		if (!w->nodes[i].is_up && !w->nodes[i].is_gone && !w->nodes[i].is_cloned)
			node_start(&w->nodes[i]);
	world_deliver(w);
	while (w->now < end && w->why[0] == '\0') {
		world_pass(w, ROUND_MS);
		world_deliver(w);
		world_round(w);
	}
}

/* The machine that lives on under an identity; NULL: none does. */
static struct table_node *
world_survivor(struct table_world *w, int identity)
{
	struct table_node *survivor = NULL;

	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (n->identity != identity || !n->is_up)
			continue;
		if (survivor != NULL && world_counts_in(w, n))
			table_world_wrong(w, "machines %d and %d both run as node %d",
					  survivor->index, n->index, identity);
		survivor = n;
	}
	return survivor;
}

static void
world_check_view(struct table_world *w, const struct table_node *n, int identity,
		 const struct table_node *survivor)
{
	bool is_banned = w->is_banned[identity];

	for (int name = 0; name < TABLE_NAMES; name++) {
		int shown = node_shows(n, identity, name);
		int claimed = 0;

		if (survivor != NULL && !is_banned)
			claimed = survivor->claims[name];
		if (survivor == NULL && !is_banned)
			continue; /* the same everywhere; see below */
		if (shown != claimed)
			table_world_wrong(w,
					  "machine %d shows %d as worker %d of node %d, "
					  "which claims %d",
					  n->index, shown, name, identity, claimed);
	}
}

/* A dead owner's rows end with its lease, a banned one's with the ban; but for a lease that
 * a wrong clock gave it. */
static void
world_check_over(struct table_world *w, const struct table_node *n, int identity)
{
	for (int name = -1; name < TABLE_NAMES; name++) {
		const struct row *row = table_disk_row(&n->disk,
						       table_key_of(identity, name));
		uint64_t lease = row_stamp(
			table_disk_row(&n->disk, table_key_of(identity, -1)));

		if (row->len > 0 && n->identity != identity &&
		    (ms_t)lease + TABLE_RETENTION_MS + 2 * MS_HOUR < w->now)
			table_world_wrong(w, "machine %d still holds rows of node %d",
					  n->index, identity);
	}
}

static void
world_check_same(struct table_world *w)
{
	struct table_node *first = NULL;

	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (!world_counts_in(w, n))
			continue;
		if (first == NULL)
			first = n;
		node_hear(n, leases_horizon(first->leases));
		node_hear(first, leases_horizon(n->leases));
	}
	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (!world_counts_in(w, n))
			continue;
		node_hear(n, leases_horizon(first->leases));
		for (int key = 0; key < TABLE_KEYS; key++)
			if (!row_equal(table_disk_row(&first->disk, key),
				       table_disk_row(&n->disk, key)))
				table_world_wrong(w,
						  "machines %d and %d differ in row %d "
						  "at the same horizon",
						  first->index, n->index, key);
		if (!table_disk_verify(&n->disk))
			table_world_wrong(w, "the store of machine %d is wrong",
					  n->index);
	}
}

static bool
rows_share_dot(const struct row *a, const struct row *b, uint64_t horizon)
{
	for (int i = 0; i < a->len; i++)
		for (int j = 0; j < b->len; j++) {
			const struct version *va = &a->versions[i];
			const struct version *vb = &b->versions[j];

			if (va->dot.actor == vb->dot.actor &&
			    va->dot.seq == vb->dot.seq && va->stamp > horizon &&
			    vb->stamp > horizon && !(va->is_removed && vb->is_removed))
				return true;
		}
	return false;
}

/* No dot has two contents, not in two rows either (in one there is no room for it). Its owner
 * puts that right, if there is one; of what it wrote before the horizon it cannot tell, and
 * two removes it lets be. */
static void
world_check_dots(struct table_world *w, const struct table_node *n)
{
	for (int a = 0; a < TABLE_BANS; a++) {
		int owner = table_owner(a);

		if (w->is_banned[owner] || world_survivor(w, owner) == NULL)
			continue;
		for (int b = a + 1; b < TABLE_BANS && table_owner(b) == owner; b++)
			if (rows_share_dot(table_disk_row(&n->disk, a),
					   table_disk_row(&n->disk, b),
					   leases_horizon(n->leases)))
				table_world_wrong(w, "rows %d and %d have the same dot",
						  a, b);
	}
}

void
world_check(struct table_world *w, bool are_dead_over)
{
	struct table_node *survivors[TABLE_IDENTITIES];

	world_judge_bans(w);
	for (int i = 0; i < w->identities; i++)
		survivors[i] = world_survivor(w, i);
	for (int i = 0; i < w->nodes_len; i++) {
		struct table_node *n = &w->nodes[i];

		if (!world_counts_in(w, n))
			continue;
		for (int k = 0; k < w->identities; k++) {
			world_check_view(w, n, k, survivors[k]);
			if (are_dead_over && (survivors[k] == NULL || w->is_banned[k]))
				world_check_over(w, n, k);
		}
		world_check_dots(w, n);
	}
	world_check_same(w);
	w->moved = 0;
	world_round(w);
	if (w->moved > 0)
		table_world_wrong(w, "a session between equal machines moved %llu rows",
				  (unsigned long long)w->moved);
}

/* Somebody removed the copy, and starts the other one again where both had stopped. */
static bool
world_decide_clones(struct table_world *w)
{
	bool is_restarted = false;

	for (int i = 0; i < w->identities; i++) {
		struct table_node *last = NULL;
		bool is_any_up = false;

		for (int k = 0; k < w->nodes_len; k++) {
			struct table_node *n = &w->nodes[k];

			if (n->identity != i || n->is_gone)
				continue;
			is_any_up |= n->is_up;
			if (n->is_cloned)
				last = n;
		}
		if (is_any_up || last == NULL)
			continue;
		last->is_cloned = false;
		is_restarted = true;
	}
	return is_restarted;
}

void
world_check_end(struct table_world *w)
{
	ms_t start;

	world_quiet(w, FIRST_MS);
	for (int i = 0; i < 3 && world_decide_clones(w); i++)
		world_quiet(w, FIRST_MS);
	world_check(w, false);
	/* Nothing but refreshes may be written from here on. */
	w->writes = 0;
	start = w->now;
	while (w->now < start + TABLE_RETENTION_MS + 6 * MS_HOUR && w->why[0] == '\0') {
		world_quiet(w, PART_MS);
		world_check(w, false);
	}
	world_check(w, true);
	if (w->writes > 0)
		table_world_wrong(w, "%llu rows were written while nothing happened",
				  (unsigned long long)w->writes);
}
