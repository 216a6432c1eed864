/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/row.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"

enum { ROW_BAN_NAME_BYTES = 32 }; /* a node id in hex */

static const char *const row_kinds[] = {
	[ROW_NODE] = "node",
	[ROW_WORKER] = "worker",
	[ROW_BAN] = "ban",
	[ROW_FORGET] = "forget",
	[ROW_LATER_FIRST] = "later-16",
	[ROW_LATER_FIRST + 1] = "later-17",
	[ROW_LATER_FIRST + 2] = "later-18",
	[ROW_LATER_LAST] = "later-19",
};
enum { ROW_KINDS = sizeof(row_kinds) / sizeof(row_kinds[0]) };
_Static_assert(ROW_KINDS == ROW_LATER_LAST + 1 && ROW_LATER_LAST == ROW_LATER_FIRST + 3,
	       "every kind has a name");

const char *
row_kind_text(uint8_t kind)
{
	return kind < ROW_KINDS && row_kinds[kind] != NULL ? row_kinds[kind] : "unknown";
}

bool
row_kind_is_leased(uint8_t kind)
{
	return kind == ROW_WORKER || (kind >= ROW_LATER_FIRST && kind <= ROW_LATER_LAST);
}

int
row_kind_find(const char *text)
{
	for (int kind = ROW_NODE; kind < ROW_KINDS; kind++)
		if (row_kinds[kind] != NULL && strcmp(text, row_kinds[kind]) == 0)
			return kind;
	return -OCF_EUNKNOWN;
}

/* A decimal number without leading zeros, below `limit`. */
static bool
row_name_is_number(const struct row_key *key, uint32_t limit)
{
	uint64_t n = 0;

	if (key->name_len < 1 || key->name_len > 10 ||
	    (key->name_len > 1 && key->name[0] == '0'))
		return false;
	for (int i = 0; i < key->name_len; i++) {
		if (key->name[i] < '0' || key->name[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(key->name[i] - '0');
	}
	return n < limit;
}

static bool
row_name_is_id(const struct row_key *key)
{
	if (key->name_len != ROW_BAN_NAME_BYTES)
		return false;
	for (int i = 0; i < key->name_len; i++) {
		char c = key->name[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

int
row_key_check(const struct row_key *key, uint32_t rows_per_node)
{
	bool is_good = false;

	if (key->name_len > ROW_NAME_BYTES_MAX)
		return -OCF_EMALFORMED;
	if (key->kind == ROW_NODE)
		is_good = key->name_len == 0;
	else if (row_kind_is_leased(key->kind))
		is_good = row_name_is_number(key, rows_per_node);
	else if (key->kind == ROW_BAN || key->kind == ROW_FORGET)
		is_good = row_name_is_id(key);
	return is_good ? 0 : -OCF_EMALFORMED;
}

int
row_key_make(const struct id *owner, enum row_kind kind, const char *name,
	     struct row_key *ret_key)
{
	struct row_key key = { .owner = *owner, .kind = (uint8_t)kind };
	size_t len = strlen(name);

	if (len > ROW_NAME_BYTES_MAX)
		return -OCF_EMALFORMED;
	key.name_len = (uint8_t)len;
	memcpy(key.name, name, len);
	if (row_key_check(&key, UINT32_MAX) != 0)
		return -OCF_EMALFORMED;
	*ret_key = key;
	return 0;
}

int
row_key_compare(const struct row_key *a, const struct row_key *b)
{
	int c = id_compare(&a->owner, &b->owner);

	if (c == 0)
		c = (a->kind > b->kind) - (a->kind < b->kind);
	if (c == 0)
		c = bytes_compare(bytes_of(a->name, a->name_len),
				  bytes_of(b->name, b->name_len));
	return c;
}

int
row_check(const struct row_key *key, const struct row *row)
{
	for (int i = 0; i < row->len && key->kind == ROW_NODE; i++)
		if (row->versions[i].is_removed)
			return -OCF_EMALFORMED;
	return row->len > 0 ? 0 : -OCF_EMALFORMED;
}

static int
dot_compare(struct dot a, struct dot b)
{
	if (a.actor != b.actor)
		return a.actor < b.actor ? -1 : 1;
	return (a.seq > b.seq) - (a.seq < b.seq);
}

/* Which of two versions a reader prefers: by (stamp, actor, hash). */
static int
version_rank(const struct version *a, const struct version *b)
{
	if (a->stamp != b->stamp)
		return a->stamp < b->stamp ? -1 : 1;
	if (a->dot.actor != b->dot.actor)
		return a->dot.actor < b->dot.actor ? -1 : 1;
	return memcmp(a->hash, b->hash, ROW_HASH_BYTES);
}

static bool
version_equal(const struct version *a, const struct version *b)
{
	if (dot_compare(a->dot, b->dot) != 0 || a->stamp != b->stamp ||
	    a->context_len != b->context_len || a->is_removed != b->is_removed)
		return false;
	for (int i = 0; i < a->context_len; i++)
		if (dot_compare(a->context[i], b->context[i]) != 0)
			return false;
	return bytes_equal(a->value, b->value) &&
	       memcmp(a->signature, b->signature, ROW_SIGNATURE_BYTES) == 0;
}

static void
version_copy(const struct version *from, struct version *ret)
{
	*ret = *from;
	if (from->is_removed)
		ret->value = BYTES_NONE;
	else
		ret->value.data = mem_dup(from->value.data, from->value.len);
}

void
version_fini(struct version *v)
{
	free((void *)v->value.data);
	v->value = BYTES_NONE;
}

bool
version_covers(const struct version *v, struct dot dot)
{
	for (int i = 0; i < v->context_len; i++)
		if (v->context[i].actor == dot.actor)
			return v->context[i].seq >= dot.seq;
	return false;
}

void
row_fini(struct row *row)
{
	for (int i = 0; i < row->len; i++)
		version_fini(&row->versions[i]);
	row->len = 0;
}

void
row_copy(const struct row *from, struct row *ret_row)
{
	ret_row->len = from->len;
	for (int i = 0; i < from->len; i++)
		version_copy(&from->versions[i], &ret_row->versions[i]);
}

bool
row_equal(const struct row *a, const struct row *b)
{
	if (a->len != b->len)
		return false;
	for (int i = 0; i < a->len; i++)
		if (!version_equal(&a->versions[i], &b->versions[i]))
			return false;
	return true;
}

/* A version that may be in the merged row, and whose it is. */
struct row_pick {
	struct version *mine; /* moved when picked; NULL: the other's */
	const struct version *v;
};

enum { ROW_PICKS_MAX = 2 * ROW_VERSIONS_MAX };

/* Both sides' versions, each dot once: of two versions of one dot (an owner that broke
 * the rules) the one with the larger hash, which is the same choice everywhere. */
static int
row_merge_collect(struct row *into, const struct row *other, struct row_pick *picks)
{
	int n = 0;

	for (int i = 0; i < into->len; i++)
		picks[n++] = (struct row_pick){ &into->versions[i], &into->versions[i] };
	for (int i = 0; i < other->len; i++) {
		const struct version *v = &other->versions[i];
		int j = 0;

		while (j < into->len && dot_compare(picks[j].v->dot, v->dot) != 0)
			j++;
		if (j == into->len)
			picks[n++] = (struct row_pick){ NULL, v };
		else if (memcmp(picks[j].v->hash, v->hash, ROW_HASH_BYTES) < 0)
			picks[j] = (struct row_pick){ NULL, v };
	}
	return n;
}

static int
row_merge_uncovered(struct row_pick *picks, int n)
{
	bool is_covered[ROW_PICKS_MAX] = { false };
	int kept = 0;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n && !is_covered[i]; j++)
			is_covered[i] = j != i &&
					version_covers(picks[j].v, picks[i].v->dot);
	for (int i = 0; i < n; i++)
		if (!is_covered[i])
			picks[kept++] = picks[i];
	return kept;
}

static int
row_pick_by_rank(const void *a, const void *b)
{
	return version_rank(((const struct row_pick *)b)->v,
			    ((const struct row_pick *)a)->v);
}

static int
row_pick_by_dot(const void *a, const void *b)
{
	return dot_compare(((const struct row_pick *)a)->v->dot,
			   ((const struct row_pick *)b)->v->dot);
}

bool
row_merge(struct row *into, const struct row *other)
{
	struct row_pick picks[ROW_PICKS_MAX];
	struct row out; /* large: only what is used is written */
	bool is_changed;
	int n;

	assert(into != other);
	n = row_merge_collect(into, other, picks);
	n = row_merge_uncovered(picks, n);
	if (n > ROW_VERSIONS_MAX) {
		qsort(picks, (size_t)n, sizeof(picks[0]), row_pick_by_rank);
		n = ROW_VERSIONS_MAX;
	}
	is_changed = n != into->len;
	for (int i = 0; i < n; i++)
		is_changed |= picks[i].mine == NULL;
	if (!is_changed)
		return false;
	if (n > 1)
		qsort(picks, (size_t)n, sizeof(picks[0]), row_pick_by_dot);
	for (int i = 0; i < n; i++) {
		if (picks[i].mine != NULL) {
			out.versions[i] = *picks[i].mine;
			picks[i].mine->value = BYTES_NONE;
		} else {
			version_copy(picks[i].v, &out.versions[i]);
		}
	}
	row_fini(into);
	into->len = (uint8_t)n;
	memcpy(into->versions, out.versions, (size_t)n * sizeof(out.versions[0]));
	return true;
}

const struct version *
row_visible(const struct row *row)
{
	const struct version *best = NULL;

	for (int i = 0; i < row->len; i++) {
		const struct version *v = &row->versions[i];

		if (!v->is_removed && (best == NULL || version_rank(v, best) > 0))
			best = v;
	}
	return best;
}

uint64_t
row_stamp(const struct row *row)
{
	uint64_t stamp = 0;

	for (int i = 0; i < row->len; i++)
		if (row->versions[i].stamp > stamp)
			stamp = row->versions[i].stamp;
	return stamp;
}

uint64_t
row_seen(const struct row *row, uint64_t actor)
{
	uint64_t seq = 0;

	for (int i = 0; i < row->len; i++) {
		const struct version *v = &row->versions[i];

		if (v->dot.actor == actor && v->dot.seq > seq)
			seq = v->dot.seq;
		for (int j = 0; j < v->context_len; j++)
			if (v->context[j].actor == actor && v->context[j].seq > seq)
				seq = v->context[j].seq;
	}
	return seq;
}

/* Join one dot into the context, which stays ascending by actor. */
static int
version_next_see(struct version *v, struct dot dot)
{
	int i = 0;

	while (i < v->context_len && v->context[i].actor < dot.actor)
		i++;
	if (i < v->context_len && v->context[i].actor == dot.actor) {
		if (v->context[i].seq < dot.seq)
			v->context[i].seq = dot.seq;
		return 0;
	}
	if (v->context_len == ROW_CONTEXT_MAX)
		return -OCF_ELIMIT;
	memmove(&v->context[i + 1], &v->context[i],
		(size_t)(v->context_len - i) * sizeof(v->context[0]));
	v->context[i] = dot;
	v->context_len++;
	return 0;
}

int
version_next(const struct row *seen, struct dot dot, uint64_t stamp,
	     const struct bytes *value, struct version *ret_version)
{
	struct version v = { .dot = dot, .stamp = stamp, .is_removed = value == NULL };
	int rc = 0;

	assert(dot.seq > 0);
	if (stamp > ROW_STAMP_MAX || row_seen(seen, dot.actor) >= dot.seq)
		return -EINVAL;
	if (value != NULL && value->len > LIMIT_VALUE_BYTES_MAX)
		return -OCF_ELIMIT;
	for (int i = 0; i < seen->len && rc == 0; i++) {
		const struct version *s = &seen->versions[i];

		rc = version_next_see(&v, s->dot);
		for (int j = 0; j < s->context_len && rc == 0; j++)
			rc = version_next_see(&v, s->context[j]);
	}
	if (rc != 0)
		return rc;
	if (value != NULL)
		v.value = bytes_of(mem_dup(value->data, value->len), value->len);
	*ret_version = v;
	return 0;
}

void
row_of_version(struct version *v, struct row *ret_row)
{
	ret_row->len = 1;
	ret_row->versions[0] = *v;
	v->value = BYTES_NONE;
}

bool
row_sweep(struct row *row, const struct row_key *key, uint64_t horizon)
{
	int kept = 0;

	if (!row_kind_is_leased(key->kind))
		return false;
	for (int i = 0; i < row->len; i++) {
		struct version *v = &row->versions[i];

		if (v->is_removed && v->stamp <= horizon)
			version_fini(v);
		else if (kept++ != i)
			row->versions[kept - 1] = *v;
	}
	if (kept == row->len)
		return false;
	row->len = (uint8_t)kept;
	return true;
}
