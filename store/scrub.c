/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber: the whole store looked at, a little at a time, and put right from its rows.
 *
 * A pass goes through the rows, a bucket at a time: each row decodes, stands where its key
 * hashes to, and is listed among its owner's and, where it should be, the removed; their
 * digests sum up to the bucket's. Then through those lists, an entry at a time: each has a
 * row that makes it. And at last the root is the sum of all buckets.
 *
 * Looking uses a read transaction, whose snapshot no commit disturbs. What looks wrong is
 * looked at again in a write transaction, where it is named and put right at once: so what
 * is named is wrong, whatever goes on beside. */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/scrub-private.h"

enum { SCRUB_ITEMS_MIN = 256 };

const char *
store_fault_text(enum store_fault fault)
{
	static const char *const texts[STORE_FAULTS] = {
		[STORE_FAULT_ROW] = "row",	   [STORE_FAULT_OWNER] = "owner",
		[STORE_FAULT_REMOVED] = "removed", [STORE_FAULT_DIGEST] = "digest",
		[STORE_FAULT_ROOT] = "root",
	};

	return texts[fault];
}

void
scrub_fault(struct scrub *s, enum store_fault fault, const char *fmt, ...)
{
	va_list ap;

	s->faults[fault]++;
	if (s->n_told == SCRUB_TOLD_MAX)
		return;
	s->told[s->n_told].fault = fault;
	va_start(ap, fmt);
	vsnprintf(s->told[s->n_told++].text, SCRUB_TEXT_SIZE, fmt, ap);
	va_end(ap);
}

static uint64_t
scrub_found(const struct scrub *s)
{
	uint64_t n = 0;

	for (int i = 0; i < STORE_FAULTS; i++)
		n += s->faults[i];
	return n;
}

void
scrub_item_add(struct scrub *s, MDB_val key, MDB_val value, bool is_bad)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : SCRUB_ITEMS_MIN;
		s->items = mem_realloc(s->items, (size_t)s->cap, sizeof(s->items[0]));
	}
	s->items[s->n++] = (struct scrub_item){ .at = s->data.len,
						.key_len = key.mv_size,
						.value_len = value.mv_size,
						.is_bad = is_bad };
	buf_put_bytes(&s->data, env_bytes(key));
	buf_put_bytes(&s->data, env_bytes(value));
}

struct bytes
scrub_key(const struct scrub *s, const struct scrub_item *item)
{
	return bytes_of(s->data.data + item->at, item->key_len);
}

struct bytes
scrub_value(const struct scrub *s, const struct scrub_item *item)
{
	return bytes_of(s->data.data + item->at + item->key_len, item->value_len);
}

/* ---- digests ---- */

bool
scrub_equal(struct store_digest a, struct store_digest b)
{
	return a.count == b.count && u128_equal(a.sum, b.sum);
}

struct store_digest
scrub_move(struct store_digest d, struct store_digest minus, struct store_digest plus)
{
	return (struct store_digest){
		.sum = u128_add(u128_sub(d.sum, minus.sum), plus.sum),
		.count = d.count - minus.count + plus.count,
	};
}

int
scrub_total(struct scrub *s, struct store_digest *ret_total)
{
	uint32_t records = (uint32_t)((1U << s->root.bits) / BUCKET_SLOTS);
	struct store_digest slots[BUCKET_SLOTS], total = { .count = 0 }, none = total;
	int rc = 0;

	for (uint32_t i = 0; i < records && rc == 0; i++) {
		rc = buckets_read(s->store, s->txn, i, slots);
		for (int j = 0; j < BUCKET_SLOTS && rc == 0; j++)
			total = scrub_move(total, none, slots[j]);
	}
	if (rc == 0)
		*ret_total = total;
	return rc;
}

int
scrub_rebuild(struct scrub *s)
{
	struct store_digest before = s->root.digest;
	int rc = buckets_rebuild(s->store, s->txn, &s->root);

	s->is_rebuilt = true;
	s->is_changed |= !scrub_equal(before, s->root.digest);
	return rc;
}

static int
scrub_root(struct scrub *s)
{
	struct store_digest total;
	int rc = scrub_total(s, &total);

	if (rc == 0 && scrub_equal(total, s->root.digest))
		return 0;
	if (rc == 0)
		scrub_fault(s, STORE_FAULT_ROOT,
			    "the root stands for %" PRIu64
			    " rows and is not the sum of the %" PRIu64 " in the digests",
			    s->root.digest.count, total.count);
	else if (rc == -OCF_ECORRUPT)
		scrub_fault(s, STORE_FAULT_DIGEST, "a digest record is damaged");
	else
		return rc;
	return s->is_repair ? scrub_rebuild(s) : 0;
}

/* ---- a step ---- */

/* Returns MDB_NOTFOUND behind the last entry of a list. */
static int
scrub_phase(struct scrub *s)
{
	switch (s->phase) {
	case SCRUB_ROWS:
		return scrub_bucket(s);
	case SCRUB_ROOT:
		return scrub_root(s);
	default:
		return s->is_repair ? scrub_list_repair(s) : scrub_list_look(s);
	}
}

/* *ret_end: the end of the phase. */
static int
scrub_look(struct scrub *s, bool *ret_end)
{
	int rc = env_read_begin(s->store, &s->txn);

	if (rc != 0)
		return rc;
	rc = store_get_root(s->store, s->txn, &s->root);
	if (rc == 0)
		rc = scrub_phase(s);
	else if (rc == -OCF_ECORRUPT) {
		s->faults[STORE_FAULT_ROOT]++;
		rc = 0;
	}
	env_read_end(s->store, s->txn);
	*ret_end = rc == MDB_NOTFOUND;
	return *ret_end ? 0 : env_code(rc);
}

static int
scrub_write(struct store *store, MDB_txn *txn, void *arg)
{
	struct scrub *s = arg;
	struct root written;
	int rc;

	s->txn = txn;
	s->is_repair = true;
	s->is_changed = false;
	s->n_told = 0;
	memset(s->faults, 0, sizeof(s->faults));
	s->root = store->root; /* changed under write_lock only, which is ours */
	rc = store_get_root(store, txn, &written);
	if (rc == -OCF_ECORRUPT)
		scrub_fault(s, STORE_FAULT_ROOT, "the root is damaged");
	else if (rc == 0 && (written.bits != s->root.bits ||
			     !scrub_equal(written.digest, s->root.digest)))
		scrub_fault(s, STORE_FAULT_ROOT, "the root is not what was written");
	else if (rc != 0)
		return rc;
	rc = scrub_phase(s);
	return rc == 0 ? store_put_root(store, txn, &s->root) : rc;
}

static void
scrub_tell(struct scrub *s, int rc)
{
	uint64_t found = scrub_found(s);

	for (int i = 0; i < s->n_told; i++) {
		const char *text = s->told[i].text;

		if (rc != 0)
			store_report(s->store, rc,
				     "%s; it cannot be put right just now: %s", text,
				     error_text(rc));
		else if (s->told[i].fault == STORE_FAULT_ROW)
			store_report(s->store, -OCF_ECORRUPT,
				     "%s; it was dropped, and the other nodes bring it "
				     "back",
				     text);
		else
			store_report(s->store, -OCF_ECORRUPT, "%s; it was put right",
				     text);
	}
	if (found > (uint64_t)s->n_told)
		store_report(s->store, -OCF_ECORRUPT, "and %" PRIu64 " more faults",
			     found - (uint64_t)s->n_told);
}

static int
scrub_repair(struct scrub *s)
{
	struct store *store = s->store;
	int rc;

	pthread_mutex_lock(&store->write_lock);
	rc = env_write(store, scrub_write, s);
	pthread_mutex_lock(&store->lock);
	if (rc == 0)
		store->root = s->root;
	for (int i = 0; i < STORE_FAULTS; i++)
		store->scrub.faults[i] += s->faults[i];
	if (rc == 0)
		store->scrub.repaired += scrub_found(s);
	if (s->is_rebuilt)
		store->scrub.doubts = SCRUB_DOUBTS;
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_unlock(&store->write_lock);
	scrub_tell(s, rc);
	return rc;
}

int
scrub_mend(struct store *store)
{
	struct scrub s = { .store = store, .phase = SCRUB_ROOT };

	return scrub_repair(&s);
}

/* On to what the next step looks at, also after a failure: the next pass comes by again.
 * True at the end of a pass. */
static bool
scrub_advance(struct scrub *s, bool is_end)
{
	struct scrub_at *at = &s->store->scrub;

	if (s->root.bits == 0) /* nothing could be read at all */
		return false;
	if (at->phase == SCRUB_ROWS) {
		uint64_t next = (at->prefix >> (64 - s->root.bits)) + 1;

		is_end = next == (uint64_t)1 << s->root.bits;
		at->prefix = is_end ? 0 : next << (64 - s->root.bits);
		pthread_mutex_lock(&s->store->lock);
		at->buckets++;
		pthread_mutex_unlock(&s->store->lock);
	}
	if (!is_end && at->phase != SCRUB_ROOT)
		return false;
	buf_clear(&at->key);
	if (at->phase != SCRUB_ROOT) {
		at->phase++;
		return false;
	}
	at->phase = SCRUB_ROWS;
	pthread_mutex_lock(&s->store->lock);
	at->doubts -= at->doubts > 0;
	pthread_mutex_unlock(&s->store->lock);
	return true;
}

int
store_scrub(struct store *store, bool *ret_changed, bool *ret_end)
{
	struct scrub s = { .store = store };
	bool is_end = false;
	int rc;

	assert(!store->config.is_read_only);
	pthread_mutex_lock(&store->scrub_lock);
	s.phase = store->scrub.phase;
	rc = scrub_look(&s, &is_end);
	if (rc == 0 && s.phase == SCRUB_ROWS)
		scrub_bucket_ask(&s);
	if (rc == 0 && (scrub_found(&s) > 0 || s.n_forged > 0))
		rc = scrub_repair(&s);
	*ret_changed = rc == 0 && s.is_changed;
	*ret_end = scrub_advance(&s, is_end || rc != 0);
	pthread_mutex_unlock(&store->scrub_lock);
	free(s.items);
	free(s.forged);
	buf_fini(&s.data);
	return rc;
}
