/* SPDX-License-Identifier: Apache-2.0 */
/* What an owner writes, one rule at a time, over a table of a few rows in memory; that it
 * all loses nothing together is tests/sim/test-sim-table.c. */
#include "config.h"

#include "crdt/owner.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crdt/stamp.h"
#include "lib/rows.h"
#include "lib/sha256.h"
#include "lib/tap.h"

enum { ROWS = 4, ACTORS = 40 };

static const ms_t retention = 7 * (ms_t)MS_DAY;
static const ms_t start = 1000 * (ms_t)MS_DAY;

/* A node: its core, its table, and what it did. */
struct rig {
	struct owner *owner;
	struct row_key keys[ROWS]; /* [0]: the node row */
	struct row rows[ROWS];
	uint64_t actors[ACTORS];
	int n_actors;
	uint64_t seq;
	ms_t now;
	uint64_t horizon;
	int fail; /* so many actions fail */
	int writes, renewals, clones;
	int last; /* row that was written last */
};

static struct row *
rig_row(struct rig *rig, const struct row_key *key)
{
	for (int i = 0; i < ROWS; i++)
		if (row_key_compare(&rig->keys[i], key) == 0)
			return &rig->rows[i];
	CU_FAIL_FATAL("a row that nobody has");
	return NULL;
}

static void rig_step(struct rig *rig, struct owner_event *e);

static void
rig_write(struct rig *rig, const struct owner_action *a)
{
	struct owner_event e = { .type = OWNER_EVENT_WRITTEN, .key = a->key };
	uint8_t signature[ROW_SIGNATURE_BYTES] = { 7 };
	struct version v;
	struct row row, *held = rig_row(rig, a->key);

	rig->writes++;
	rig->last = (int)(held - rig->rows);
	e.dot = (struct dot){ rig->actors[rig->n_actors - 1], rig->seq++ };
	if (rig->fail > 0) {
		rig->fail--;
		e.rc = -EAGAIN;
	} else {
		e.rc = version_next(a->seen, e.dot, a->stamp, a->value, &v);
		CU_ASSERT_FATAL(e.rc == 0);
		version_seal(&v, signature, test_sha256);
		row_of_version(&v, &row);
		CU_ASSERT(row_merge(held, &row));
		row_fini(&row);
	}
	e.row = held;
	e.wall_ms = rig->now;
	e.horizon = rig->horizon;
	owner_step(rig->owner, &e);
}

static void
rig_renew(struct rig *rig, const struct owner_action *a)
{
	struct owner_event e = { .type = OWNER_EVENT_RENEWED,
				 .wall_ms = rig->now,
				 .horizon = rig->horizon };

	CU_ASSERT(a->why[0] != '\0');
	rig->renewals++;
	if (rig->fail > 0) {
		rig->fail--;
		e.rc = -EIO;
	} else {
		CU_ASSERT_FATAL(rig->n_actors < ACTORS);
		rig->actors[rig->n_actors] = 100 + (uint64_t)rig->n_actors;
		e.dot = (struct dot){ rig->actors[rig->n_actors++], 1 };
		rig->seq = 1;
	}
	owner_step(rig->owner, &e);
}

static void
rig_step(struct rig *rig, struct owner_event *e)
{
	struct owner_action a;

	e->wall_ms = rig->now;
	e->horizon = rig->horizon;
	owner_step(rig->owner, e);
	while (owner_next(rig->owner, &a)) {
		if (a.type == OWNER_ACTION_WRITE)
			rig_write(rig, &a);
		else if (a.type == OWNER_ACTION_RENEW)
			rig_renew(rig, &a);
		else
			rig->clones++;
	}
}

static void
rig_say(struct rig *rig, enum owner_event_type type)
{
	struct owner_event e = { .type = type, .is_ok = true };

	rig_step(rig, &e);
}

static void
rig_claim(struct rig *rig, int row, const char *value)
{
	struct owner_event e = { .type = value != NULL ? OWNER_EVENT_CLAIM
						       : OWNER_EVENT_UNCLAIM,
				 .key = &rig->keys[row] };

	if (value != NULL)
		e.value = bytes_text(value);
	rig_step(rig, &e);
}

/* A version of ours, by this actor, comes from elsewhere; its writer had seen `seen`. */
static void
rig_hear_after(struct rig *rig, int row, const struct row *seen, struct dot dot,
	       ms_t stamp, const char *value)
{
	struct owner_event e = { .key = &rig->keys[row] };
	uint8_t signature[ROW_SIGNATURE_BYTES] = { 8 };
	struct bytes text = value != NULL ? bytes_text(value) : BYTES_NONE;
	struct row heard;
	struct version v;

	CU_ASSERT_FATAL(version_next(seen, dot, (uint64_t)stamp,
				     value != NULL ? &text : NULL, &v) == 0);
	version_seal(&v, signature, test_sha256);
	row_of_version(&v, &heard);
	e.type = OWNER_EVENT_HEARD;
	e.row = &heard;
	rig_step(rig, &e);
	e.type = OWNER_EVENT_HELD;
	e.row = &rig->rows[row];
	if (row_merge(&rig->rows[row], &heard))
		rig_step(rig, &e);
	row_fini(&heard);
}

static void
rig_hear(struct rig *rig, int row, struct dot dot, ms_t stamp, const char *value)
{
	struct row nothing = ROW_INIT;

	rig_hear_after(rig, row, &nothing, dot, stamp, value);
}

/* Start the core over what the table holds. */
static void
rig_start(struct rig *rig)
{
	struct owner_config config = { .retention_ms = retention,
				       .actors = rig->actors,
				       .actors_len = rig->n_actors,
				       .next_seq = rig->seq,
				       .started_ms = rig->now,
				       .seed = tap_seed() };

	config.self = rig->keys[0].owner;
	owner_free(rig->owner);
	rig->owner = owner_new(&config);
	for (int i = 0; i < ROWS; i++) {
		struct owner_event e = { .type = OWNER_EVENT_LOADED,
					 .key = &rig->keys[i],
					 .row = &rig->rows[i],
					 .wall_ms = rig->now,
					 .horizon = rig->horizon };

		if (rig->rows[i].len > 0)
			owner_step(rig->owner, &e);
	}
	rig_claim(rig, 0, "a node");
}

static void
rig_init(struct rig *rig)
{
	*rig = (struct rig){ .now = start, .seq = 1000, .n_actors = 1 };
	rig->actors[0] = 50;
	for (int i = 0; i < ROWS; i++)
		rig->keys[i] = test_key(1, i - 1);
	rig_start(rig);
	rig_say(rig, OWNER_EVENT_SETTLED);
}

static void
rig_fini(struct rig *rig)
{
	owner_free(rig->owner);
	for (int i = 0; i < ROWS; i++)
		row_fini(&rig->rows[i]);
}

/* What everybody sees of the row, which is one version. */
static bool
rig_shows(struct rig *rig, int row, const char *value)
{
	const struct version *v = row_visible(&rig->rows[row]);

	if (value == NULL)
		return v == NULL;
	return v != NULL && rig->rows[row].len == 1 &&
	       bytes_equal(v->value, bytes_text(value));
}

static void
test_claims(void)
{
	struct rig rig;

	rig_init(&rig);
	CU_ASSERT(rig.writes == 1 && rig_shows(&rig, 0, "a node"));
	rig_claim(&rig, 1, "one");
	rig_claim(&rig, 1, "one");
	rig_claim(&rig, 0, "a node");
	CU_ASSERT(rig.writes == 2 && rig_shows(&rig, 1, "one"));
	CU_ASSERT(owner_has(rig.owner, &rig.keys[1]));
	CU_ASSERT(!owner_has(rig.owner, &rig.keys[2]));
	rig_claim(&rig, 1, "other");
	CU_ASSERT(rig.writes == 3 && rig_shows(&rig, 1, "other"));
	rig_claim(&rig, 1, NULL);
	rig_claim(&rig, 1, NULL);
	CU_ASSERT(rig.writes == 4 && rig_shows(&rig, 1, NULL));
	CU_ASSERT(!owner_has(rig.owner, &rig.keys[1]));
	rig_fini(&rig);
}

static void
test_start(void)
{
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "stays");
	rig_claim(&rig, 2, "leaves");
	rig_claim(&rig, 3, "changes");
	rig.now += MS_MINUTE;
	rig_start(&rig);
	CU_ASSERT(rig.writes == 5); /* the node row, anew */
	CU_ASSERT(rig_shows(&rig, 2, "leaves"));
	CU_ASSERT(owner_has(rig.owner, &rig.keys[2]));
	rig_claim(&rig, 1, "stays");
	rig_claim(&rig, 3, "changed");
	rig_say(&rig, OWNER_EVENT_SETTLED);
	CU_ASSERT(rig.writes == 7);
	CU_ASSERT(rig_shows(&rig, 1, "stays") && rig_shows(&rig, 2, NULL) &&
		  rig_shows(&rig, 3, "changed"));
	/* One that is gone is gone also before that. */
	rig_start(&rig);
	rig_claim(&rig, 1, NULL);
	CU_ASSERT(rig_shows(&rig, 1, NULL) && rig_shows(&rig, 3, "changed"));
	rig_fini(&rig);
}

/* A former life under another actor, whose store is lost. */
static void
test_former_life(void)
{
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	rig_hear(&rig, 0, (struct dot){ 7, 500 }, start - MS_HOUR, "an older node");
	rig_hear(&rig, 1, (struct dot){ 7, 501 }, start - MS_HOUR, "an older one");
	rig_hear(&rig, 2, (struct dot){ 7, 502 }, start - MS_HOUR, "nobody's");
	CU_ASSERT(rig_shows(&rig, 0, "a node") && rig_shows(&rig, 1, "one") &&
		  rig_shows(&rig, 2, NULL));
	CU_ASSERT(rig.renewals == 0 && rig.clones == 0);
	/* Swept meanwhile, and still claimed: written again. */
	row_fini(&rig.rows[1]);
	rig_step(&rig,
		 &(struct owner_event){ .type = OWNER_EVENT_HELD, .key = &rig.keys[1] });
	CU_ASSERT(rig_shows(&rig, 1, "one"));
	rig_fini(&rig);
}

static void
test_clone(void)
{
	struct rig rig;
	int writes;

	rig_init(&rig);
	rig.now += MS_MINUTE;
	/* A clock so far ahead is none that runs now. */
	rig_hear(&rig, 1, (struct dot){ 7, 1 }, rig.now + 2 * OWNER_AHEAD_MS, "strange");
	CU_ASSERT(rig.clones == 0 && rig_shows(&rig, 1, NULL));
	/* A former life whose clock was ahead of ours looks like one that runs, but for what
	 * it has seen. */
	rig_hear(&rig, 0, (struct dot){ 8, 500 }, start + MS_SECOND, "the other");
	CU_ASSERT(rig.clones == 0 && rig_shows(&rig, 0, "a node"));
	rig_hear_after(&rig, 0, &rig.rows[0], (struct dot){ 8, 501 }, start + MS_SECOND,
		       "the other again");
	CU_ASSERT(rig.clones == 1 && owner_why_silent(rig.owner)[0] != '\0');
	writes = rig.writes;
	rig_claim(&rig, 1, "one");
	rig_hear(&rig, 0, (struct dot){ 8, 502 }, start + MS_MINUTE, "again");
	CU_ASSERT(rig.writes == writes && rig.clones == 1);
	rig_fini(&rig);
}

/* Two whose clocks were far ahead when they started, and are right now. */
static void
test_clone_of_late(void)
{
	struct rig rig;

	rig_init(&rig);
	rig.now -= 400 * (ms_t)MS_HOUR;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig.renewals == 1 && rig_shows(&rig, 0, "a node"));
	rig_hear_after(&rig, 0, &rig.rows[0], (struct dot){ 8, 501 }, rig.now, "another");
	CU_ASSERT(rig.clones == 1);
	rig_fini(&rig);
}

static void
test_rollback(void)
{
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	rig_claim(&rig, 2, "two");
	rig_claim(&rig, 3, "three");
	rig_claim(&rig, 3, NULL);
	/* Handed out in this life, or before it. */
	rig_hear(&rig, 1, (struct dot){ 50, 900 }, start, "of old");
	CU_ASSERT(rig.renewals == 0 && rig_shows(&rig, 1, "one"));
	/* Beyond that. */
	rig.writes = 0;
	rig_hear(&rig, 1, (struct dot){ 50, 2000 }, start, "of a lost time");
	CU_ASSERT(rig.renewals == 1 && owner_renewals(rig.owner) == 1);
	CU_ASSERT(rig_shows(&rig, 0, "a node") && rig_shows(&rig, 1, "one") &&
		  rig_shows(&rig, 2, "two"));
	for (int i = 0; i < 3; i++)
		CU_ASSERT(rig.rows[i].versions[0].dot.actor == rig.actors[1]);
	/* Again by the new one, it is ours. */
	rig_hear(&rig, 1, (struct dot){ 50, 2001 }, start + MS_SECOND, "late");
	CU_ASSERT(rig.renewals == 1 && rig.clones == 0 && rig_shows(&rig, 1, "one"));
	rig_fini(&rig);
}

static void
test_same_dot(void)
{
	struct rig rig;
	struct dot dot;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	dot = rig.rows[1].versions[0].dot;
	rig_hear(&rig, 1, dot, start, "not one");
	CU_ASSERT(rig.renewals == 1 && rig_shows(&rig, 1, "one"));
	CU_ASSERT(rig.rows[1].versions[0].dot.actor == rig.actors[1]);
	/* The number that one row has, given to another. */
	dot = rig.rows[1].versions[0].dot;
	rig_claim(&rig, 2, "two");
	rig_hear(&rig, 3, dot, start, "three");
	CU_ASSERT(rig.renewals == 2 && rig_shows(&rig, 3, NULL));
	CU_ASSERT(rig.rows[1].versions[0].dot.actor == rig.actors[2]);
	rig_fini(&rig);
}

static void
test_refresh(void)
{
	struct rig rig;
	ms_t due;

	rig_init(&rig);
	for (int i = 0; i < 20; i++) {
		due = owner_due(rig.owner);
		CU_ASSERT(due - rig.now >= retention / 2 - retention / 20);
		CU_ASSERT(due - rig.now <= retention / 2 + retention / 20);
		rig.now = due - 1;
		rig.writes = 0;
		rig_say(&rig, OWNER_EVENT_TICK);
		CU_ASSERT(rig.writes == 0);
		rig.now = due;
		rig_say(&rig, OWNER_EVENT_TICK);
		CU_ASSERT(rig.writes == 1);
		CU_ASSERT(rig.rows[0].versions[0].stamp == (uint64_t)due);
	}
	rig_fini(&rig);
}

static void
test_failures(void)
{
	struct rig rig;

	rig_init(&rig);
	rig.fail = 1;
	rig_claim(&rig, 1, "one");
	CU_ASSERT(rig_shows(&rig, 1, NULL));
	CU_ASSERT(owner_has(rig.owner, &rig.keys[1]));
	CU_ASSERT(owner_due(rig.owner) == rig.now + OWNER_RETRY_MS);
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig_shows(&rig, 1, NULL));
	rig.now += OWNER_RETRY_MS;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig_shows(&rig, 1, "one"));
	/* Without its new actor it writes nothing. */
	rig.fail = 1;
	rig_hear(&rig, 1, (struct dot){ 50, 5000 }, start, "of a lost time");
	rig_claim(&rig, 2, "two");
	CU_ASSERT(rig_shows(&rig, 2, NULL) && owner_why_silent(rig.owner)[0] != '\0');
	/* Also when the clock was set back meanwhile. */
	rig.now -= MS_MINUTE;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig_shows(&rig, 1, "one") && rig_shows(&rig, 2, "two"));
	CU_ASSERT(rig.renewals == 2 && owner_renewals(rig.owner) == 1);
	CU_ASSERT(owner_why_silent(rig.owner)[0] == '\0');
	rig_fini(&rig);
}

static void
test_clocks(void)
{
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	rig_step(&rig, &(struct owner_event){ .type = OWNER_EVENT_CLOCK });
	CU_ASSERT(owner_why_silent(rig.owner)[0] != '\0');
	rig.writes = 0;
	rig_claim(&rig, 2, "two");
	CU_ASSERT(rig.writes == 0);
	rig_say(&rig, OWNER_EVENT_CLOCK);
	CU_ASSERT(rig.writes == 1 && rig_shows(&rig, 2, "two"));
	/* Set back, by little: stamps go on; by much: a new actor. */
	rig.now -= OWNER_AHEAD_MS / 2;
	rig_claim(&rig, 2, "2");
	CU_ASSERT(rig.renewals == 0 && rig.rows[2].versions[0].stamp > (uint64_t)start);
	rig.now -= MS_HOUR;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig.renewals == 1);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT(rig.rows[i].versions[0].dot.actor == rig.actors[1]);
		CU_ASSERT(rig.rows[i].versions[0].stamp >= (uint64_t)rig.now &&
			  rig.rows[i].versions[0].stamp < (uint64_t)rig.now + 100);
	}
	rig_fini(&rig);
}

/* Contexts do not fill up: actors of long ago are left out, and when there are too many of
 * late those that were covered first. */
static void
test_contexts(void)
{
	struct rig rig;
	int most = 0;

	rig_init(&rig);
	for (int i = 0; i < ACTORS - 5; i++) {
		rig_hear(&rig, 0, (struct dot){ rig.actors[rig.n_actors - 1], 100000 },
			 rig.now, "of a lost time");
		CU_ASSERT(rig_shows(&rig, 0, "a node"));
		if (rig.rows[0].versions[0].context_len > most)
			most = rig.rows[0].versions[0].context_len;
		rig.now += MS_SECOND;
	}
	CU_ASSERT(rig.renewals == ACTORS - 5 && most == ROW_CONTEXT_MAX);
	/* A horizon that our clock does not know of yet decides nothing. */
	rig.horizon = (uint64_t)rig.now;
	rig_claim(&rig, 0, "a node");
	rig_claim(&rig, 0, "the node");
	CU_ASSERT(rig.rows[0].versions[0].context_len == ROW_CONTEXT_MAX);
	rig_claim(&rig, 0, "a node");
	rig.now += retention + MS_HOUR;
	rig.horizon = stamp_horizon(rig.now, retention);
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig_shows(&rig, 0, "a node"));
	CU_ASSERT(rig.rows[0].versions[0].context_len == 1);
	rig_fini(&rig);
}

/* The store lost what it held: it is written again, and what others still have of it is
 * covered, and no sign of another life. */
static void
test_lost(void)
{
	struct row_key keys[ROWS];
	struct row before[3];
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "a worker");
	rig_claim(&rig, 2, "another one");
	rig_claim(&rig, 2, NULL);
	CU_ASSERT(owner_keys(rig.owner, NULL, 0) == 3);
	CU_ASSERT(owner_keys(rig.owner, keys, ROWS) == 3);
	for (int i = 0; i < 3; i++) {
		row_copy(rig_row(&rig, &keys[i]), &before[i]);
		row_fini(rig_row(&rig, &keys[i]));
		rig_step(&rig, &(struct owner_event){ .type = OWNER_EVENT_LOST,
						      .key = &keys[i] });
	}
	CU_ASSERT(rig_shows(&rig, 0, "a node") && rig_shows(&rig, 1, "a worker"));
	CU_ASSERT(rig.rows[2].len == 1 && row_visible(&rig.rows[2]) == NULL);
	for (int i = 0; i < 3; i++) {
		struct row *row = rig_row(&rig, &keys[i]);

		CU_ASSERT(version_covers(&row->versions[0], before[i].versions[0].dot));
		rig_step(&rig, &(struct owner_event){ .type = OWNER_EVENT_HEARD,
						      .key = &keys[i],
						      .row = &before[i] });
		row_fini(&before[i]);
	}
	CU_ASSERT(rig.renewals == 0 && rig.clones == 0);
	/* Of one that is neither claimed nor was held nothing is written. */
	rig.writes = 0;
	rig_step(&rig,
		 &(struct owner_event){ .type = OWNER_EVENT_LOST, .key = &rig.keys[3] });
	CU_ASSERT(rig.writes == 0);
	rig_fini(&rig);
}

static void
rig_withdraw(struct rig *rig)
{
	struct owner_event e = { .type = OWNER_EVENT_WITHDRAW,
				 .value = bytes_text("left") };

	rig_step(rig, &e);
}

/* Workers first, the node row behind them, and it is not removed: it dates the others. */
static void
test_withdraw(void)
{
	struct rig rig;
	uint64_t stamp;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	rig_claim(&rig, 2, "two");
	CU_ASSERT(!owner_has_withdrawn(rig.owner));
	stamp = row_stamp(&rig.rows[0]);
	rig.writes = 0;
	rig_withdraw(&rig);
	CU_ASSERT(rig.writes == 3 && rig.last == 0);
	CU_ASSERT(rig_shows(&rig, 0, "left") && rig_shows(&rig, 1, NULL) &&
		  rig_shows(&rig, 2, NULL));
	CU_ASSERT(row_stamp(&rig.rows[0]) > stamp);
	CU_ASSERT(owner_has_withdrawn(rig.owner) && !owner_has(rig.owner, &rig.keys[1]));
	/* Nothing undoes it in this life, nor is its lease renewed. */
	rig_claim(&rig, 0, "a node");
	rig_claim(&rig, 3, "late");
	CU_ASSERT(rig.writes == 3 && rig_shows(&rig, 3, NULL));
	CU_ASSERT(owner_due(rig.owner) == INT64_MAX);
	rig.now += retention - MS_HOUR;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig.writes == 3);
	/* A version of a former life is covered by the same. */
	rig_hear(&rig, 0, (struct dot){ 7, 500 }, start - MS_HOUR, "an older node");
	rig_hear(&rig, 1, (struct dot){ 7, 501 }, start - MS_HOUR, "an older one");
	CU_ASSERT(rig_shows(&rig, 0, "left") && rig_shows(&rig, 1, NULL));
	/* The next life is a member as ever. */
	rig_start(&rig);
	CU_ASSERT(rig_shows(&rig, 0, "a node") && !owner_has_withdrawn(rig.owner));
	rig_claim(&rig, 1, "one");
	CU_ASSERT(rig_shows(&rig, 1, "one"));
	rig_fini(&rig);
}

/* Rows of a former life that nobody has claimed yet go too; what could not be written or
 * needs a new actor is waited for. */
static void
test_withdraw_late(void)
{
	struct rig rig;

	rig_init(&rig);
	rig_claim(&rig, 1, "one");
	rig_start(&rig);
	rig.fail = 1;
	rig_withdraw(&rig);
	CU_ASSERT(rig_shows(&rig, 1, "one") && !owner_has_withdrawn(rig.owner));
	rig.now += OWNER_RETRY_MS;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(rig_shows(&rig, 0, "left") && rig_shows(&rig, 1, NULL));
	CU_ASSERT(owner_has_withdrawn(rig.owner));
	rig.fail = 1;
	rig_hear(&rig, 1, (struct dot){ 50, 5000 }, start, "of a lost time");
	CU_ASSERT(!owner_has_withdrawn(rig.owner));
	rig.now += OWNER_RETRY_MS;
	rig_say(&rig, OWNER_EVENT_TICK);
	CU_ASSERT(owner_has_withdrawn(rig.owner) && rig.renewals == 2);
	CU_ASSERT(rig_shows(&rig, 0, "left") && rig_shows(&rig, 1, NULL));
	CU_ASSERT(rig.rows[0].versions[0].dot.actor == rig.actors[1]);
	rig_fini(&rig);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "what is claimed is written once, what is not is removed",
		  test_claims },
		{ "rows of a former start count as claimed until settled", test_start },
		{ "a former life's rows are covered, a swept one is written again",
		  test_former_life },
		{ "another machine with this identity is told once, and all stops",
		  test_clone },
		{ "also where clocks have been set back since", test_clone_of_late },
		{ "numbers beyond those handed out make a new actor", test_rollback },
		{ "so does a number with other bytes", test_same_dot },
		{ "the node row is refreshed every half of the retention", test_refresh },
		{ "what fails is tried again", test_failures },
		{ "a clock that is wrong, and one that was", test_clocks },
		{ "contexts stay short", test_contexts },
		{ "what the store lost is written again", test_lost },
		{ "who withdraws removes its workers, and says last that it left",
		  test_withdraw },
		{ "also what was not claimed, or failed at first", test_withdraw_late },
	};

	return TAP_MAIN(argc, argv, tests);
}
