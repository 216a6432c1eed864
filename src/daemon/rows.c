/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's hand on the table. A row from a link: decode → (already held? drop) →
 * check its signatures (verify.c) → merge in memory → hand on → commit. A row of our own:
 * next version → sign → merge → commit → hand on, so that nothing of ours is known
 * elsewhere that a power cut could take back here.
 *
 * A row whose owner's node row is not held is put aside, up to a bound, and tried again
 * when a node row arrives; what is dropped comes with the next comparison of tables. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "crdt/stamp.h"
#include "daemon/daemon.h"
#include "daemon/verify.h"

enum {
	/* Rows whose owner is not known yet. The oldest give way, first those of the same
	 * link: one that sends rows of owners who never come takes little from others. */
	ROWS_ASIDE_MAX = 1024,
	ROWS_ASIDE_LINK_MAX = 256,
	ROWS_ASIDE_BYTES_MAX = 16 * 1024 * 1024, /* encoded */
	ROWS_PAGE_BYTES = 48 * 1024,
};

/* A row put aside until its owner's node row is here. */
struct rows_aside {
	uint64_t link;
	struct row_key key;
	struct row row;
	size_t bytes;
	struct rows_aside *prev, *next;
};

struct rows {
	struct daemon *d;
	struct verify *verify;
	struct stamp_clock stamps;
	struct rows_aside *aside;
	int aside_len;
	size_t aside_bytes;
	uint64_t taken_from_aside;
	struct buf unsynced; /* our own rows (rows_note()), not yet asked to be synced */
	struct buf syncing;  /* those that the store is making durable now */
	bool is_dirty;	     /* something changed since the last sync began */
	bool is_syncing;
	int settling; /* in the store's hands */
	bool is_closing;
	uint64_t refused;
	struct log_limit refused_limit, failed_limit;
};

/* ---- handing on ---- */

static void
rows_encode(struct buf *out, const struct row_key *key, const struct row *row)
{
	codec_put_key(out, key);
	codec_put_row(out, row);
}

/* A row that is to be handed on: its length, then itself. */
static void
rows_note(struct buf *out, const struct row_key *key, const struct row *row)
{
	size_t start = out->len;

	buf_put_u32(out, 0);
	rows_encode(out, key, row);
	put_be32(out->data + start, (uint32_t)(out->len - start - 4));
}

/* However many there are, in pages cut between rows: a reader puts a limit on what it must
 * hold before it can read a row. */
static void
rows_hand_on(struct rows *rows, uint64_t link, struct bytes noted)
{
	struct reader r = reader_of(noted);
	struct buf page = BUF_INIT;

	while (r.len > 0) {
		struct bytes row = reader_bytes32(&r);

		if (page.len > 0 && page.len + row.len > ROWS_PAGE_BYTES) {
			links_rows_changed(rows->d->links, link, buf_bytes(&page));
			buf_clear(&page);
		}
		buf_put_bytes(&page, row);
	}
	assert(!r.failed);
	if (page.len > 0)
		links_rows_changed(rows->d->links, link, buf_bytes(&page));
	buf_fini(&page);
}

/* ---- durability ---- */

static void rows_sync(struct rows *rows);

struct rows_synced {
	struct rows *rows;
	int rc;
};

static void
rows_on_synced(void *arg)
{
	struct rows_synced *synced = arg;
	struct rows *rows = synced->rows;
	int rc = synced->rc;

	free(synced);
	rows->is_syncing = false;
	if (rc != 0) {
		/* The store keeps the rows and tries again each second; so do we. */
		buf_put_bytes(&rows->syncing, buf_bytes(&rows->unsynced));
		buf_clear(&rows->unsynced);
		buf_put_bytes(&rows->unsynced, buf_bytes(&rows->syncing));
		buf_clear(&rows->syncing);
		rows->is_dirty = true;
	} else if (!rows->is_closing) {
		rows_hand_on(rows, 0, buf_bytes(&rows->syncing));
		links_root_changed(rows->d->links);
		buf_clear(&rows->syncing);
	}
	if (!rows->is_closing)
		rows_sync(rows);
}

/* On the store's writer thread. */
static void
rows_on_durable(void *arg, int rc)
{
	struct rows_synced *synced = arg;

	synced->rc = rc;
	loop_post(synced->rows->d->loop, rows_on_synced, synced);
}

static void
rows_sync(struct rows *rows)
{
	struct rows_synced *synced;

	if (!rows->is_dirty || rows->is_syncing)
		return;
	assert(rows->syncing.len == 0);
	buf_put_bytes(&rows->syncing, buf_bytes(&rows->unsynced));
	buf_clear(&rows->unsynced);
	rows->is_dirty = false;
	rows->is_syncing = true;
	synced = mem_alloc(sizeof(*synced));
	*synced = (struct rows_synced){ .rows = rows };
	store_sync(rows->d->store, rows_on_durable, synced);
}

/* ---- what a change means to the others ---- */

static void
rows_show(struct rows *rows, const struct row_key *key, const struct row *row)
{
	char owner[ID_TEXT_SIZE];
	struct errmsg err = { "" };
	struct id named; /* by a ban or a forget */

	if (catalog_apply(rows->d->catalog, key, row, &err) != 0)
		log_warn("table",
			 "row %u/%s of node %s cannot be read and is not shown: %s",
			 key->kind, key->name, id_text(&key->owner, owner), err.text);
	if (key->kind == ROW_NODE)
		links_node_changed(rows->d->links, &key->owner);
	else if (key->kind != ROW_WORKER && id_parse(key->name, &named) == 0)
		links_node_changed(rows->d->links, &named);
}

/* ---- rows of our own ---- */

/* The owner's next version, unsigned. When the row shows later writes of this store's actor
 * than the store knows of, an older copy of the data was put back, or runs elsewhere too:
 * going on under a new actor, no dot is ever used twice. */
static int
rows_next_version(struct rows *rows, const struct row *held, const struct bytes *value,
		  struct version *ret_version)
{
	struct store *store = rows->d->store;
	uint64_t stamp = stamp_next(&rows->stamps, clock_wall_ms());
	struct dot dot;
	int rc = store_next_dot(store, &dot);

	if (rc == 0)
		rc = version_next(held, dot, stamp, value, ret_version);
	if (rc != -EINVAL)
		return rc;
	log_warn("table",
		 "the table holds later writes of this node than its store: was an "
		 "older copy of it put back? Going on as a new actor");
	rc = store_actor_renew(store);
	if (rc == 0)
		rc = store_next_dot(store, &dot);
	return rc == 0 ? version_next(held, dot, stamp, value, ret_version) : rc;
}

static int
rows_write_version(struct rows *rows, const struct row_key *key, const struct row *held,
		   const struct bytes *value, struct row *ret_row)
{
	struct daemon *d = rows->d;
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct buf text = BUF_INIT;
	struct version v;
	int rc = rows_next_version(rows, held, value, &v);

	if (rc != 0)
		return rc;
	codec_put_signed(&text, &store_constants(d->store)->cluster, key, &v,
			 ident_sha256);
	ident_sign(d->identity->node_key, buf_bytes(&text), signature);
	buf_fini(&text);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, ret_row);
	return 0;
}

/* The row says this already, in one version. */
static bool
rows_says(const struct row *held, const struct bytes *value)
{
	const struct version *visible = row_visible(held);

	if (value == NULL)
		return visible == NULL;
	return visible != NULL && held->len == 1 && bytes_equal(visible->value, *value);
}

int
rows_put(struct rows *rows, enum row_kind kind, const char *name,
	 const struct bytes *value, bool is_forced)
{
	struct daemon *d = rows->d;
	struct row held = ROW_INIT, next = ROW_INIT, merged = ROW_INIT;
	struct row_key key;
	bool has_changed = false;
	int rc = row_key_make(&d->identity->node_id, kind, name, &key);

	if (rc == 0)
		rc = store_get(d->store, &key, &held);
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0 && !is_forced && rows_says(&held, value))
		goto out;
	if (rc == 0)
		rc = rows_write_version(rows, &key, &held, value, &next);
	if (rc == 0)
		rc = store_merge(d->store, &key, &next, &has_changed, &merged);
	if (rc == 0 && has_changed) {
		rows_note(&rows->unsynced, &key, &merged);
		rows->is_dirty = true;
		rows_show(rows, &key, &merged);
		rows_sync(rows);
	}
out:
	row_fini(&held);
	row_fini(&next);
	row_fini(&merged);
	if (rc != 0)
		log_error("table", "row %d/%s could not be written: %s", kind, name,
			  error_text(rc));
	return rc;
}

/* ---- rows from links ---- */

static void
rows_aside_remove(struct rows *rows, struct rows_aside *a)
{
	DL_DELETE(rows->aside, a);
	rows->aside_len--;
	rows->aside_bytes -= a->bytes;
}

static void
rows_aside_drop(struct rows *rows, struct rows_aside *a)
{
	rows_aside_remove(rows, a);
	row_fini(&a->row);
	free(a);
}

static void
rows_aside_make_room(struct rows *rows, uint64_t link, size_t bytes)
{
	struct rows_aside *a, *oldest = NULL;
	int len = 0;

	DL_FOREACH (rows->aside, a) {
		if (a->link != link)
			continue;
		if (len++ == 0)
			oldest = a;
	}
	if (len >= ROWS_ASIDE_LINK_MAX)
		rows_aside_drop(rows, oldest);
	while (rows->aside_len >= ROWS_ASIDE_MAX ||
	       rows->aside_bytes + bytes > ROWS_ASIDE_BYTES_MAX)
		rows_aside_drop(rows, rows->aside);
}

static void
rows_put_aside(struct rows *rows, uint64_t link, struct verify_item *item)
{
	struct rows_aside *a = mem_alloc(sizeof(*a));

	rows_aside_make_room(rows, link, item->bytes);
	*a = (struct rows_aside){
		.link = link, .key = item->key, .row = item->row, .bytes = item->bytes
	};
	item->row = ROW_INIT;
	DL_APPEND(rows->aside, a);
	rows->aside_len++;
	rows->aside_bytes += a->bytes;
}

/* A node row came: those that waited for its owner are checked again. */
static void
rows_take_from_aside(struct rows *rows, const struct id *owner)
{
	struct rows_aside *a, *next;

	DL_FOREACH_SAFE (rows->aside, a, next) {
		struct verify_job *job;

		if (!id_equal(&a->key.owner, owner))
			continue;
		rows_aside_remove(rows, a);
		job = verify_job_new(a->link);
		verify_job_add(job, &a->key, &a->row, a->bytes);
		verify_submit(rows->verify, job);
		rows->taken_from_aside++;
		free(a);
	}
}

static void
rows_refuse(struct rows *rows, uint64_t link, const struct row_key *key)
{
	char owner[ID_TEXT_SIZE];

	rows->refused++;
	if (log_limit_pass(&rows->refused_limit, "table"))
		log_warn("table",
			 "row %u/%s said to be of node %s is not signed by it; the link "
			 "that "
			 "sent it is closed",
			 key->kind, key->name, id_text(&key->owner, owner));
	links_reject(rows->d->links, link, "a row is not signed by its owner");
}

int
rows_import(struct rows *rows, const struct row_key *key, const struct row *row,
	    struct buf *changed, enum rows_import_end *ret_end)
{
	struct row merged = ROW_INIT;
	bool has_changed = false;
	int rc = store_merge(rows->d->store, key, row, &has_changed, &merged);

	if (rc == 0 && has_changed) {
		rows_note(changed, key, &merged);
		rows->is_dirty = true;
		rows_show(rows, key, &merged);
		if (key->kind == ROW_NODE)
			rows_take_from_aside(rows, &key->owner);
		if (id_equal(&key->owner, &rows->d->identity->node_id))
			workers_check_row(rows->d->workers, key);
	}
	*ret_end = merged.len == 0 ? ROWS_IMPORT_ENDED
		   : has_changed   ? ROWS_IMPORT_NEW
				   : ROWS_IMPORT_UNCHANGED;
	row_fini(&merged);
	return rc;
}

void
rows_import_end(struct rows *rows, struct bytes changed)
{
	rows_hand_on(rows, 0, changed);
	rows_sync(rows);
}

/* Merge one verified row; note it in `changed` if there was anything new. */
static void
rows_merge(struct rows *rows, struct verify_item *item, struct buf *changed)
{
	enum rows_import_end end;
	int rc = rows_import(rows, &item->key, &item->row, changed, &end);

	if (rc != 0 && log_limit_pass(&rows->failed_limit, "table"))
		log_warn("table", "a row could not be merged and is left for later: %s",
			 error_text(rc));
}

/* ---- a moment when what came is merged ---- */

/* Passes through the lane behind all rows that came, as often as rows that had been put
 * aside follow it there, and then through the store. */
struct rows_settle {
	struct rows *rows;
	void (*fn)(void *arg, uint64_t number);
	void *arg;
	uint64_t number;
	uint64_t taken_from_aside;
};

static void
rows_on_settled(void *arg)
{
	struct rows_settle *settle = arg;

	settle->rows->settling--;
	if (!settle->rows->is_closing)
		settle->fn(settle->arg, settle->number);
	free(settle);
}

/* On the store's writer thread. A disk that is full settles nothing, but whoever waits has
 * waited long enough. */
static void
rows_on_settle_durable(void *arg, int rc)
{
	struct rows_settle *settle = arg;

	(void)rc;
	loop_post(settle->rows->d->loop, rows_on_settled, settle);
}

static void
rows_settle_wait(struct rows *rows, struct rows_settle *settle)
{
	struct verify_job *job = verify_job_new(0);

	settle->taken_from_aside = rows->taken_from_aside;
	job->settle = settle;
	verify_submit(rows->verify, job); /* without rows it is taken in any case */
}

static void
rows_settle_merged(struct rows *rows, struct rows_settle *settle)
{
	if (settle->taken_from_aside != rows->taken_from_aside) {
		rows_settle_wait(rows, settle);
		return;
	}
	rows->settling++;
	store_sync(rows->d->store, rows_on_settle_durable, settle);
}

static void
rows_on_verified(void *arg, struct verify_job *job)
{
	struct rows *rows = arg;
	struct buf changed = BUF_INIT;

	for (int i = 0; i < job->len; i++) {
		struct verify_item *item = &job->items[i];

		if (item->rc == 0)
			rows_merge(rows, item, &changed);
		else if (item->rc == -OCF_EUNKNOWN)
			rows_put_aside(rows, job->link, item);
		else
			rows_refuse(rows, job->link, &item->key);
	}
	rows_hand_on(rows, job->link, buf_bytes(&changed));
	buf_fini(&changed);
	rows_sync(rows);
	if (job->settle != NULL)
		rows_settle_merged(rows, job->settle);
	job->settle = NULL;
	verify_job_free(job);
}

void
rows_settle(struct rows *rows, void (*fn)(void *arg, uint64_t number), void *arg,
	    uint64_t number)
{
	struct rows_settle *settle = mem_alloc(sizeof(*settle));

	*settle = (struct rows_settle){
		.rows = rows, .fn = fn, .arg = arg, .number = number
	};
	rows_settle_wait(rows, settle);
}

/* Would merging this state change what is held? Sparing the check of signatures that were
 * checked before is most of the cost of a flooded row. */
static bool
rows_is_new(struct rows *rows, const struct row_key *key, const struct row *row)
{
	struct row held = ROW_INIT;
	bool is_new;

	if (store_get(rows->d->store, key, &held) != 0)
		return true;
	is_new = row_merge(&held, row);
	row_fini(&held);
	return is_new;
}

int
rows_deliver(struct rows *rows, uint64_t link, struct bytes encoded, uint64_t *ret_len)
{
	uint32_t rows_per_node = store_constants(rows->d->store)->rows_per_node;
	struct verify_job *job = verify_job_new(link);
	struct reader r = reader_of(encoded);
	uint64_t len = 0;

	for (; r.len > 0; len++) {
		size_t left = r.len;
		struct row_key key;
		struct row row;

		if (codec_read_key(&r, &key) != 0 ||
		    row_key_check(&key, rows_per_node) != 0 ||
		    codec_read_row(&r, ident_sha256, &row) != 0) {
			verify_job_free(job);
			return -OCF_EMALFORMED;
		}
		if (rows_is_new(rows, &key, &row))
			verify_job_add(job, &key, &row, left - r.len);
		row_fini(&row);
	}
	if (job->len == 0)
		verify_job_free(job);
	else if (verify_submit(rows->verify, job) != 0 &&
		 log_limit_pass(&rows->failed_limit, "table"))
		log_warn("table",
			 "too many rows at once; some wait for the next comparison");
	*ret_len = len;
	return 0;
}

/* ---- life ---- */

static bool
rows_on_loaded(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	       const struct row *row)
{
	struct rows *rows = arg;
	const struct version *visible = row_visible(row);

	(void)k;
	if (key->kind == ROW_NODE && visible != NULL)
		verify_learn(rows->verify, &key->owner, visible->value);
	if (id_equal(&key->owner, &rows->d->identity->node_id))
		stamp_seen(&rows->stamps, row_stamp(row));
	rows_show(rows, key, row);
	return true;
}

struct rows *
rows_open(struct daemon *d)
{
	struct rows *rows = mem_calloc(1, sizeof(*rows));

	rows->d = d;
	rows->refused_limit = (struct log_limit){ .span_ms = 10 * MS_SECOND, .burst = 3 };
	rows->failed_limit = rows->refused_limit;
	rows->verify = verify_open(d->loop, d->identity, rows_on_verified, rows);
	return rows;
}

void
rows_load(struct rows *rows)
{
	int rc = store_each(rows->d->store, rows_on_loaded, rows);

	if (rc != 0)
		log_error("table", "the table could not be read whole: %s",
			  error_text(rc));
}

void
rows_close(struct rows *rows)
{
	struct rows_aside *a, *next;

	if (rows == NULL)
		return;
	rows->is_closing = true;
	verify_close(rows->verify);
	while (rows->is_syncing || rows->settling > 0)
		loop_turn(rows->d->loop, 100);
	DL_FOREACH_SAFE (rows->aside, a, next)
		rows_aside_drop(rows, a);
	buf_fini(&rows->unsynced);
	buf_fini(&rows->syncing);
	free(rows);
}

uint64_t
rows_refused(const struct rows *rows)
{
	return rows->refused;
}
