/* SPDX-License-Identifier: Apache-2.0 */
/* The laws of the row, in random histories against the model of tests/lib/model.h; and
 * that the check can fail: merges with well-known mistakes are caught by it. */
#include "config.h"

#include "lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "crdt/row.h"
#include "lib/model.h"
#include "lib/sha256.h"

enum {
	REPLICAS = 5, /* stores that one owner had: each an actor of its own */
	STEPS = 60,
	ROUNDS = 3000,
	ROUNDS_QUICK = 300,
};

typedef bool merge_fn(struct row *into, const struct row *other);

struct replica {
	struct row row;
	uint64_t events;
	uint64_t seq;
};

static int
rounds(void)
{
	return tap_is_quick() ? ROUNDS_QUICK : ROUNDS;
}

/* One step of a history; false when the real state and the model part. */
static bool
step(struct model *m, struct replica *replicas, struct rng *rng, merge_fn *merge)
{
	int i = (int)rng_below(rng, REPLICAS), j = (int)rng_below(rng, REPLICAS);
	struct replica *r = &replicas[i];
	struct row other;
	int event = 0;

	switch (rng_below(rng, 4)) {
	case 0: /* the owner writes at i */
		if (m->n == MODEL_EVENTS_MAX)
			return true;
		r->seq += 1 + rng_below(rng, 3);
		event = model_write(
			m, r->events, &r->row,
			(struct dot){ .actor = 100 + (uint64_t)i, .seq = r->seq },
			rng_below(rng, 3) == 0 ? NULL : "value");
		if (event < 0)
			return false;
		break;
	case 1: /* a single version arrives, late, twice, in any order */
		if (m->n == 0)
			return true;
		event = (int)rng_below(rng, (uint64_t)m->n);
		break;
	default: /* a whole state */
		if (i == j)
			return true;
		merge(&r->row, &replicas[j].row);
		r->events |= replicas[j].events;
		return model_agrees(m, r->events, &r->row);
	}
	model_row(m, event, &other);
	merge(&r->row, &other);
	row_fini(&other);
	r->events |= (uint64_t)1 << event;
	return model_agrees(m, r->events, &r->row);
}

/* A history; false as soon as a replica does not agree with the model. */
static bool
history(uint64_t seed, merge_fn *merge, struct model *m, struct replica *replicas)
{
	struct rng rng;
	bool is_good = true;

	rng_init(&rng, seed);
	model_init(m);
	memset(replicas, 0, REPLICAS * sizeof(*replicas));
	for (int n = 0; n < STEPS && is_good; n++)
		is_good = step(m, replicas, &rng, merge);
	return is_good;
}

static void
history_fini(struct model *m, struct replica *replicas)
{
	for (int i = 0; i < REPLICAS; i++)
		row_fini(&replicas[i].row);
	model_fini(m);
}

static void
test_row_is_what_the_model_says(void)
{
	for (int n = 0; n < rounds(); n++) {
		struct replica replicas[REPLICAS];
		uint64_t seed = tap_seed() + (uint64_t)n;
		struct model m;
		bool is_good = history(seed, row_merge, &m, replicas);

		if (!is_good)
			tap_note("history %llu", (unsigned long long)seed);
		history_fini(&m, replicas);
		CU_ASSERT_TRUE_FATAL(is_good);
	}
}

/* Wrong merges. The first keeps the highest number, as last-writer-wins tables do; it
 * loses what another actor of the owner added. */
static bool
merge_highest_seq(struct row *into, const struct row *other)
{
	struct row both = ROW_INIT, best = ROW_INIT;
	int at = 0;

	row_copy(into, &both);
	row_merge(&both, other);
	for (int i = 1; i < both.len; i++)
		if (both.versions[i].dot.seq > both.versions[at].dot.seq)
			at = i;
	if (both.len > 0) {
		struct row one = { .len = 1, .versions = { both.versions[at] } };

		row_copy(&one, &best);
	}
	row_fini(&both);
	row_fini(into);
	*into = best;
	return true;
}

/* Looks at no context: what was removed comes back. */
static bool
merge_without_contexts(struct row *into, const struct row *other)
{
	for (int i = 0; i < other->len && into->len < ROW_VERSIONS_MAX; i++) {
		struct row one = { .len = 1, .versions = { other->versions[i] } }, copy;
		bool is_there = false;

		for (int j = 0; j < into->len; j++)
			is_there |= into->versions[j].dot.actor ==
					    one.versions[0].dot.actor &&
				    into->versions[j].dot.seq == one.versions[0].dot.seq;
		if (is_there)
			continue;
		row_copy(&one, &copy);
		into->versions[into->len++] = copy.versions[0];
	}
	return true;
}

/* "Above" where "at or above" is meant. */
static bool
merge_off_by_one(struct row *into, const struct row *other)
{
	struct row copy;

	row_copy(other, &copy);
	for (int i = 0; i < copy.len; i++)
		for (int j = 0; j < copy.versions[i].context_len; j++)
			copy.versions[i].context[j].seq--;
	row_merge(into, &copy);
	row_fini(&copy);
	return true;
}

/* Takes the other side's state whenever it is not empty. */
static bool
merge_last_arrival(struct row *into, const struct row *other)
{
	if (other->len == 0)
		return false;
	row_fini(into);
	row_copy(other, into);
	return true;
}

static void
test_the_check_can_fail(void)
{
	merge_fn *wrong[] = { merge_highest_seq, merge_without_contexts, merge_off_by_one,
			      merge_last_arrival };

	for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
		int caught = 0;

		for (int n = 0; n < 100; n++) {
			struct replica replicas[REPLICAS];
			struct model m;

			caught += !history(tap_seed() + (uint64_t)n, wrong[w], &m,
					   replicas);
			history_fini(&m, replicas);
		}
		tap_note("wrong merge %zu: caught in %d of 100 histories", w, caught);
		CU_ASSERT(caught > 90);
	}
}

static bool
merged_equal(const struct row *a, const struct row *b, const struct row *c)
{
	struct row left, right, swapped, again;
	bool is_good;

	row_copy(a, &left); /* (a b) c */
	row_merge(&left, b);
	row_merge(&left, c);
	row_copy(b, &right); /* a (b c) */
	row_merge(&right, c);
	row_copy(a, &swapped);
	row_merge(&swapped, &right);
	row_merge(&right, a); /* (b c) a */
	row_copy(&left, &again);
	is_good = row_equal(&left, &right) && row_equal(&left, &swapped) &&
		  !row_merge(&again, &left) && !row_merge(&again, b);
	row_fini(&left);
	row_fini(&right);
	row_fini(&swapped);
	row_fini(&again);
	return is_good;
}

static void
test_merge_laws(void)
{
	for (int n = 0; n < rounds() / 3; n++) {
		struct replica replicas[REPLICAS];
		struct model m;

		CU_ASSERT_TRUE_FATAL(
			history(tap_seed() + (uint64_t)n, row_merge, &m, replicas));
		for (int i = 0; i < REPLICAS; i++)
			for (int j = 0; j < REPLICAS; j++)
				for (int k = 0; k < REPLICAS; k++)
					CU_ASSERT_TRUE_FATAL(merged_equal(
						&replicas[i].row, &replicas[j].row,
						&replicas[k].row));
		history_fini(&m, replicas);
	}
}

/* A sealed version with these parts; the signature is all `mark`. */
static struct row
row_of(struct dot dot, uint64_t stamp, struct dot saw, const char *value, uint8_t mark)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct version v = { .dot = dot, .stamp = stamp, .is_removed = value == NULL };
	struct row row;

	memset(signature, mark, sizeof(signature));
	if (saw.seq > 0)
		v.context[v.context_len++] = saw;
	if (value != NULL)
		v.value = bytes_of(mem_strdup(value), strlen(value));
	version_seal(&v, signature, test_sha256);
	row_of_version(&v, &row);
	return row;
}

static const struct dot none = { 0, 0 };

static void
test_add_wins(void)
{
	struct row add = row_of((struct dot){ 1, 5 }, 10, none, "a", 1);
	struct row removed = row_of((struct dot){ 1, 6 }, 11, (struct dot){ 1, 5 }, NULL,
				    2);
	struct row again = row_of((struct dot){ 2, 1 }, 9, (struct dot){ 1, 5 }, "b", 3);
	struct row row;

	row_copy(&add, &row);
	CU_ASSERT(row_merge(&row, &removed));
	CU_ASSERT(row.len == 1 && row_visible(&row) == NULL);
	CU_ASSERT_FALSE(row_merge(&row, &add));
	CU_ASSERT(row_merge(&row, &again));
	CU_ASSERT_FATAL(row.len == 2 && row_visible(&row) != NULL);
	CU_ASSERT(bytes_equal_text(row_visible(&row)->value, "b"));
	CU_ASSERT(row_stamp(&row) == 11 && row_seen(&row, 1) == 6 &&
		  row_seen(&row, 3) == 0);
	row_fini(&row);
	row_fini(&add);
	row_fini(&removed);
	row_fini(&again);
}

static void
test_visible_is_the_latest(void)
{
	struct row row = row_of((struct dot){ 1, 1 }, 20, none, "later", 1);
	struct row other = row_of((struct dot){ 9, 9 }, 10, none, "earlier", 1);
	struct row equal = row_of((struct dot){ 5, 1 }, 20, none, "higher actor", 1);

	row_merge(&row, &other);
	CU_ASSERT(bytes_equal_text(row_visible(&row)->value, "later"));
	row_merge(&row, &equal);
	CU_ASSERT(bytes_equal_text(row_visible(&row)->value, "higher actor"));
	row_fini(&row);
	row_fini(&other);
	row_fini(&equal);
}

static void
test_one_dot_with_two_contents(void)
{
	struct row a = row_of((struct dot){ 1, 1 }, 20, none, "one", 1);
	struct row b = row_of((struct dot){ 1, 1 }, 20, none, "two", 2);
	int c = memcmp(a.versions[0].hash, b.versions[0].hash, ROW_HASH_BYTES);
	struct row ab, ba;

	row_copy(&a, &ab);
	row_copy(&b, &ba);
	CU_ASSERT(row_merge(&ab, &b) == (c < 0));
	CU_ASSERT(row_merge(&ba, &a) == (c > 0));
	CU_ASSERT(ab.len == 1 && row_equal(&ab, &ba));
	CU_ASSERT(row_equal(&ab, c > 0 ? &a : &b));
	row_fini(&a);
	row_fini(&b);
	row_fini(&ab);
	row_fini(&ba);
}

static void
test_too_many_versions(void)
{
	struct row row = ROW_INIT, back = ROW_INIT;
	enum { N = ROW_VERSIONS_MAX + 4 };

	for (uint64_t i = 1; i <= N; i++) {
		struct row one = row_of((struct dot){ 100 - i, 1 }, i, none, "x", 1);
		struct row other = row_of((struct dot){ 100 - (N + 1 - i), 1 }, N + 1 - i,
					  none, "x", 1);

		row_merge(&row, &one);
		row_merge(&back, &other);
		CU_ASSERT(row.len <= ROW_VERSIONS_MAX);
		row_fini(&one);
		row_fini(&other);
	}
	CU_ASSERT(row.len == ROW_VERSIONS_MAX && row_equal(&row, &back));
	for (int i = 0; i < row.len; i++) {
		CU_ASSERT(row.versions[i].stamp > N - ROW_VERSIONS_MAX);
		CU_ASSERT(i == 0 ||
			  row.versions[i].dot.actor > row.versions[i - 1].dot.actor);
	}
	row_fini(&row);
	row_fini(&back);
}

static void
test_next_version_limits(void)
{
	char *large = mem_calloc(1, LIMIT_VALUE_BYTES_MAX + 1);
	struct bytes value = bytes_of(large, LIMIT_VALUE_BYTES_MAX);
	struct row seen = row_of((struct dot){ 7, 5 }, 1, (struct dot){ 7, 4 }, "x", 1),
		   next;
	struct version v;

	CU_ASSERT(version_next(&seen, (struct dot){ 7, 5 }, 2, NULL, &v) == -EINVAL);
	CU_ASSERT(version_next(&seen, (struct dot){ 7, 6 }, ROW_STAMP_MAX + 1, NULL,
			       &v) == -EINVAL);
	CU_ASSERT_FATAL(version_next(&seen, (struct dot){ 7, 6 }, 2, &value, &v) == 0);
	CU_ASSERT(version_covers(&v, (struct dot){ 7, 5 }) && v.context_len == 1);
	CU_ASSERT_FALSE(version_covers(&v, (struct dot){ 7, 6 }));
	CU_ASSERT_FALSE(version_covers(&v, (struct dot){ 8, 1 }));
	version_fini(&v);
	value.len++;
	CU_ASSERT(version_next(&seen, (struct dot){ 7, 6 }, 2, &value, &v) ==
		  -OCF_ELIMIT);
	/* One actor after the other writes: the sixteenth before it is the last that
	 * fits. */
	for (uint64_t i = 1; i <= ROW_CONTEXT_MAX + 1; i++) {
		int rc = version_next(&seen, (struct dot){ 100 - i, 1 }, 2, NULL, &v);

		CU_ASSERT(rc == (i <= ROW_CONTEXT_MAX ? 0 : -OCF_ELIMIT));
		if (rc != 0)
			break;
		version_seal(&v, (uint8_t[ROW_SIGNATURE_BYTES]){ 0 }, test_sha256);
		for (int j = 1; j < v.context_len; j++)
			CU_ASSERT(v.context[j].actor > v.context[j - 1].actor);
		row_of_version(&v, &next);
		row_merge(&seen, &next);
		CU_ASSERT(seen.len == 1);
		row_fini(&next);
	}
	row_fini(&seen);
	free(large);
}

static void
test_sweep(void)
{
	struct id owner = { { 1 } };
	struct row_key worker, node;
	struct row row = row_of((struct dot){ 1, 1 }, 10, none, NULL, 1);
	struct row live = row_of((struct dot){ 2, 1 }, 5, none, "old but live", 1);
	struct row late = row_of((struct dot){ 3, 1 }, 11, none, NULL, 1);

	row_key_make(&owner, ROW_WORKER, "3", &worker);
	row_key_make(&owner, ROW_NODE, "", &node);
	row_merge(&row, &live);
	row_merge(&row, &late);
	CU_ASSERT_FALSE(row_sweep(&row, &worker, 9));
	CU_ASSERT_FALSE(row_sweep(&row, &node, 100));
	CU_ASSERT(row_sweep(&row, &worker, 10));
	CU_ASSERT(row.len == 2 && row.versions[0].dot.actor == 2);
	CU_ASSERT(row_sweep(&row, &worker, 11));
	CU_ASSERT(row.len == 1 && row_visible(&row) != NULL);
	CU_ASSERT_FALSE(row_sweep(&row, &worker, 1000));
	row_fini(&row);
	row_fini(&live);
	row_fini(&late);
}

static void
test_keys(void)
{
	static const struct {
		enum row_kind kind;
		const char *name;
		int rc; /* with 100 rows per node */
	} cases[] = {
		{ ROW_NODE, "", 0 },
		{ ROW_NODE, "x", -OCF_EMALFORMED },
		{ ROW_WORKER, "0", 0 },
		{ ROW_WORKER, "99", 0 },
		{ ROW_WORKER, "100", -OCF_EMALFORMED },
		{ ROW_WORKER, "007", -OCF_EMALFORMED },
		{ ROW_WORKER, "", -OCF_EMALFORMED },
		{ ROW_WORKER, "-1", -OCF_EMALFORMED },
		{ ROW_WORKER, "1 ", -OCF_EMALFORMED },
		{ ROW_WORKER, "99999999999999999999", -OCF_EMALFORMED },
		{ ROW_BAN, "0123456789abcdef0123456789abcdef", 0 },
		{ ROW_FORGET, "0123456789abcdef0123456789abcdef", 0 },
		{ ROW_BAN, "0123456789ABCDEF0123456789abcdef", -OCF_EMALFORMED },
		{ ROW_BAN, "0123456789abcdef", -OCF_EMALFORMED },
		{ (enum row_kind)0, "", -OCF_EMALFORMED },
		{ (enum row_kind)5, "", -OCF_EMALFORMED },
		{ ROW_LATER_FIRST, "99", 0 },
		{ ROW_LATER_LAST, "0", 0 },
		{ ROW_LATER_LAST, "100", -OCF_EMALFORMED },
		{ ROW_LATER_LAST, "", -OCF_EMALFORMED },
		{ (enum row_kind)(ROW_LATER_LAST + 1), "0", -OCF_EMALFORMED },
		{ (enum row_kind)(ROW_LATER_FIRST - 1), "0", -OCF_EMALFORMED },
	};
	struct id owner = { { 9 } };
	struct row_key a, b;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct row_key key = { .owner = owner, .kind = (uint8_t)cases[i].kind };

		key.name_len = (uint8_t)strlen(cases[i].name);
		memcpy(key.name, cases[i].name, key.name_len);
		CU_ASSERT(row_key_check(&key, 100) == cases[i].rc);
	}
	for (int kind = 0; kind <= UINT8_MAX; kind++) {
		const char *text = row_kind_text((uint8_t)kind);

		CU_ASSERT(row_kind_find(text) ==
			  (strcmp(text, "unknown") == 0 ? -OCF_EUNKNOWN : kind));
	}
	CU_ASSERT(row_key_make(&owner, ROW_WORKER, "12345678901234567890123456789012x",
			       &a) == -OCF_EMALFORMED);
	CU_ASSERT(row_key_make(&owner, ROW_WORKER, "1", &a) == 0);
	CU_ASSERT(row_key_make(&owner, ROW_WORKER, "10", &b) == 0);
	CU_ASSERT(row_key_compare(&a, &b) < 0 && row_key_compare(&b, &a) > 0);
	CU_ASSERT(row_key_compare(&a, &a) == 0);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "in random histories a row holds what the model keeps standing",
		  test_row_is_what_the_model_says },
		{ "the check against the model catches wrong merges",
		  test_the_check_can_fail },
		{ "merge is commutative, associative and idempotent", test_merge_laws },
		{ "an add that a remove did not see wins; a removed one stays away",
		  test_add_wins },
		{ "the visible version is the one with the highest stamp and actor",
		  test_visible_is_the_latest },
		{ "of two versions of one dot everyone keeps the same",
		  test_one_dot_with_two_contents },
		{ "beyond eight versions the highest are kept", test_too_many_versions },
		{ "the next version covers what was seen, within its limits",
		  test_next_version_limits },
		{ "a sweep drops removed versions of worker rows only", test_sweep },
		{ "keys are checked by kind", test_keys },
	};

	return TAP_MAIN(argc, argv, tests);
}
