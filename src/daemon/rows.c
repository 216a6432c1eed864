/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's hand on the table. A row from a link: decode → (already held? drop) →
 * check its signatures (verify.c) → is its owner's node row held? else put it aside
 * (aside.c) and ask for that → merge in memory, less what the horizon ended (sweep.c) →
 * hand on → commit. Rows of our own come from own.c: durable first, then handed on, so that
 * nothing of ours is known elsewhere that a power cut could take back here. */
#include "config.h"

#include "daemon/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "daemon/refresh.h"

enum {
	ROWS_PAGE_BYTES = 48 * 1024,
	/* Of bans and forgets, and of rows that were merged and are not committed: what a
	 * link that comes up is told at most. Comparing tables finds the others. */
	ROWS_NOTES_BYTES_MAX = 1024 * 1024,
};

/* ---- handing on ---- */

static void
rows_encode(struct buf *out, const struct row_key *key, const struct row *row)
{
	codec_put_key(out, key);
	codec_put_row(out, row);
}

/* A row that is to be handed on: how it may travel as a REFRESH, if at all, then itself, each
 * behind its length. */
static void
rows_note(struct buf *out, const struct row_key *key, const struct row *row,
	  bool is_refresh)
{
	struct buf refresh = BUF_INIT;
	size_t start;

	if (is_refresh)
		refresh_put(key, row, &refresh);
	buf_put_bytes32(out, buf_bytes(&refresh));
	buf_fini(&refresh);
	start = out->len;
	buf_put_u32(out, 0);
	rows_encode(out, key, row);
	put_be32(out->data + start, (uint32_t)(out->len - start - 4));
}

/* To one link, however many there are, in pages cut between rows: a reader puts a limit on
 * what it must hold before it can read a row. */
static void
rows_send(struct rows *rows, uint64_t link, struct bytes noted)
{
	struct reader r = reader_of(noted);
	struct buf page = BUF_INIT;

	while (r.len > 0) {
		struct bytes row;

		reader_bytes32(&r);
		row = reader_bytes32(&r);
		if (page.len > 0 && page.len + row.len > ROWS_PAGE_BYTES) {
			links_send_rows(rows->d->links, link, buf_bytes(&page));
			buf_clear(&page);
		}
		buf_put_bytes(&page, row);
	}
	assert(!r.failed);
	if (page.len > 0)
		links_send_rows(rows->d->links, link, buf_bytes(&page));
	buf_fini(&page);
}

static void
rows_spread(struct rows *rows, uint64_t link, struct bytes noted)
{
	struct reader r = reader_of(noted);

	while (r.len > 0) {
		struct bytes refresh = reader_bytes32(&r);

		links_row_changed(rows->d->links, link, reader_bytes32(&r), refresh);
	}
	assert(!r.failed);
}

/* Rows that came from `link` and changed something, to all others. */
static void
rows_hand_on(struct rows *rows, uint64_t link, struct bytes noted)
{
	rows_spread(rows, link, noted);
	if (rows->notes.len + noted.len <= ROWS_NOTES_BYTES_MAX)
		buf_put_bytes(&rows->notes, noted);
}

/* Of the cluster's CA: a ban or a forget. */
static bool
rows_key_is_bar(const struct row_key *key)
{
	return key->kind == ROW_BAN || key->kind == ROW_FORGET;
}

/* The rows of the CA, which say who is banned and forgotten, are few and count more than
 * what stands behind them. */
static bool
rows_greet_with_bar(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
		    const struct row *row)
{
	struct buf *noted = arg;

	(void)k;
	rows_note(noted, key, row, false);
	return noted->len < ROWS_NOTES_BYTES_MAX;
}

void
rows_greet(struct rows *rows, uint64_t link)
{
	struct daemon *d = rows->d;
	struct buf bars = BUF_INIT;

	store_owner_each(d->store, &d->identity->cluster_id, rows_greet_with_bar, &bars);
	rows_send(rows, link, buf_bytes(&bars));
	buf_fini(&bars);
	rows_send(rows, link, buf_bytes(&rows->syncing));
	rows_send(rows, link, buf_bytes(&rows->notes));
}

void
rows_answer(struct rows *rows, uint64_t link, struct bytes owners)
{
	struct reader r = reader_of(owners);
	struct buf noted = BUF_INIT;

	while (r.len > 0) {
		struct row_key key = { .kind = ROW_NODE };
		struct row row;

		reader_copy(&r, key.owner.b, ID_BYTES);
		if (r.failed || store_get(rows->d->store, &key, &row) != 0)
			continue;
		rows_note(&noted, &key, &row, false);
		row_fini(&row);
	}
	rows_send(rows, link, buf_bytes(&noted));
	buf_fini(&noted);
}

/* ---- durability ---- */

struct rows_wait {
	struct rows *rows;
	void (*fn)(void *arg, int rc);
	void *arg;
	int rc;
};

static void
rows_on_durable(void *arg)
{
	struct rows_wait *wait = arg;

	wait->rows->waiting--;
	wait->fn(wait->arg, wait->rc);
	free(wait);
}

/* On the store's writer thread. */
static void
rows_post_durable(void *arg, int rc)
{
	struct rows_wait *wait = arg;

	wait->rc = rc;
	loop_post(wait->rows->d->loop, rows_on_durable, wait);
}

void
rows_when_durable(struct rows *rows, void (*fn)(void *arg, int rc), void *arg)
{
	struct rows_wait *wait = mem_alloc(sizeof(*wait));

	*wait = (struct rows_wait){ .rows = rows, .fn = fn, .arg = arg };
	rows->waiting++;
	store_sync(rows->d->store, rows_post_durable, wait);
}

/* `to` gets what `from` has behind its own. */
static void
rows_move(struct buf *from, struct buf *to)
{
	buf_put_bytes(to, buf_bytes(from));
	buf_clear(from);
}

static void
rows_on_synced(void *arg, int rc)
{
	struct rows *rows = arg;

	rows->is_syncing = false;
	if (rows->is_closing)
		return;
	if (rc != 0) {
		/* The store keeps the rows and tries again each second; so do we. */
		rows->is_dirty = true;
		if (rows->syncing.len > ROWS_NOTES_BYTES_MAX)
			buf_clear(&rows->syncing);
	} else {
		rows_spread(rows, 0, buf_bytes(&rows->own_syncing));
		links_root_changed(rows->d->links);
		buf_clear(&rows->own_syncing);
		buf_clear(&rows->syncing);
	}
	rows_sync(rows);
}

void
rows_sync(struct rows *rows)
{
	if (!rows->is_dirty || rows->is_syncing)
		return;
	rows_move(&rows->own_notes, &rows->own_syncing);
	rows_move(&rows->notes, &rows->syncing);
	rows->is_dirty = false;
	rows->is_syncing = true;
	rows_when_durable(rows, rows_on_synced, rows);
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
	/* One that was swept is dialled as before, as long as this node runs: it may be the
	 * only way to the others after a long absence. */
	if (key->kind == ROW_NODE && row != NULL && row->len > 0)
		links_node_changed(rows->d->links, &key->owner);
	else if (key->kind != ROW_WORKER && id_parse(key->name, &named) == 0)
		links_node_changed(rows->d->links, &named);
}

void
rows_changed(struct rows *rows, const struct row_key *key, const struct row *row)
{
	rows->is_dirty = true;
	leases_note(rows->leases, key, row);
	rows_show(rows, key, row);
	if (rows_key_is_bar(key))
		bars_changed(rows->d, key);
}

int
rows_write(struct rows *rows, const struct row_key *key, const struct key *signer,
	   struct version *v, struct row *ret_merged)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct buf text = BUF_INIT;
	struct row next = ROW_INIT, before = ROW_INIT;
	bool has_changed = false;
	int rc;

	store_get(rows->d->store, key, &before);
	codec_put_signed(&text, &store_constants(rows->d->store)->cluster, key, v,
			 ident_sha256);
	ident_sign(signer, buf_bytes(&text), signature);
	buf_fini(&text);
	version_seal(v, signature, ident_sha256);
	row_of_version(v, &next);
	rc = store_merge(rows->d->store, key, &next, &has_changed, ret_merged);
	if (rc == 0 && key->kind == ROW_NODE && !next.versions[0].is_removed)
		verify_learn(rows->verify, &key->owner, next.versions[0].value);
	row_fini(&next);
	if (rc == 0 && has_changed) {
		if (ret_merged->len > 0)
			rows_note(&rows->own_notes, key, ret_merged,
				  refresh_is_one(&before, ret_merged));
		rows_changed(rows, key, ret_merged);
	}
	row_fini(&before);
	return rc;
}

void
rows_trim(struct rows *rows, const struct row_key *key, struct row *row)
{
	leases_sweep(rows->leases, key, row);
}

/* ---- rows from links ---- */

/* The node row of the owner came: those that waited for it are checked again. */
static void
rows_take_from_aside(struct rows *rows, const struct id *owner)
{
	struct aside_row row;

	while (aside_take(rows->aside, owner, &row)) {
		struct verify_job *job = verify_job_new(row.link);

		job->is_joining = row.is_joining;
		verify_job_add(job, &row.key, &row.row, row.bytes);
		verify_submit(rows->verify, job);
		rows->checked_again++;
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

/* Merge one verified row; note it in `changed` if there was anything new. */
static int
rows_merge(struct rows *rows, const struct row_key *key, const struct row *row,
	   bool is_refresh, struct buf *changed, struct row *ret_merged,
	   bool *ret_has_changed)
{
	int rc;

	own_heard(rows->own, key, row);
	rc = store_merge(rows->d->store, key, row, ret_has_changed, ret_merged);
	if (rc == 0 && *ret_has_changed) {
		if (ret_merged->len > 0)
			rows_note(changed, key, ret_merged,
				  is_refresh && row_equal(ret_merged, row));
		rows_changed(rows, key, ret_merged);
		own_held(rows->own, key, ret_merged);
		if (key->kind == ROW_NODE)
			rows_take_from_aside(rows, &key->owner);
	}
	return rc;
}

int
rows_import(struct rows *rows, const struct row_key *key, const struct row *row,
	    struct buf *changed, enum rows_import_end *ret_end)
{
	struct row merged = ROW_INIT;
	bool has_changed = false;
	int rc = -OCF_EUNKNOWN;

	if (leases_knows(rows->leases, key))
		rc = rows_merge(rows, key, row, false, changed, &merged, &has_changed);
	if (merged.len == 0)
		*ret_end = ROWS_IMPORT_ENDED;
	else
		*ret_end = has_changed ? ROWS_IMPORT_NEW : ROWS_IMPORT_UNCHANGED;
	row_fini(&merged);
	return rc;
}

void
rows_import_end(struct rows *rows, struct bytes changed)
{
	rows_hand_on(rows, 0, changed);
	own_act(rows->own);
	rows_sync(rows);
}

static void
rows_merge_item(struct rows *rows, struct verify_item *item, struct buf *changed)
{
	struct row merged = ROW_INIT;
	bool has_changed = false;
	int rc = rows_merge(rows, &item->key, &item->row, item->is_refresh, changed,
			    &merged, &has_changed);

	if (rc != 0 && log_limit_pass(&rows->failed_limit, "table"))
		log_warn("table", "a row could not be merged and is left for later: %s",
			 error_text(rc));
	row_fini(&merged);
}

/* Its owner's key or lease is not known. When the key is known by now, the check that found
 * it ran at the same time: once more. Else the row waits, and its owner is noted in `wanted`
 * if the node row is to be asked for. */
static void
rows_put_aside(struct rows *rows, const struct verify_job *of, struct verify_item *item,
	       struct buf *wanted)
{
	struct aside_row row = { .link = of->link,
				 .key = item->key,
				 .row = item->row,
				 .bytes = item->bytes,
				 .is_joining = of->is_joining };

	item->row = ROW_INIT;
	if (leases_knows(rows->leases, &row.key) && !item->is_again) {
		struct verify_job *job = verify_job_new(row.link);

		job->is_joining = row.is_joining;
		verify_job_add(job, &row.key, &row.row, row.bytes);
		job->items[0].is_again = true;
		verify_submit(rows->verify, job);
		rows->checked_again++;
	} else if (aside_put(rows->aside, &row, loop_now(rows->d->loop))) {
		buf_put(wanted, row.key.owner.b, ID_BYTES);
	}
}

/* ---- a moment when what came is merged ---- */

/* Passes through the checks behind all rows that came, as often as rows that are checked
 * again follow it there, and then through the store. */
struct rows_settle {
	struct rows *rows;
	void (*fn)(void *arg, uint64_t number);
	void *arg;
	uint64_t number;
	uint64_t checked_again;
};

/* A disk that is full settles nothing, but whoever waits has waited long enough. */
static void
rows_on_settled(void *arg, int rc)
{
	struct rows_settle *settle = arg;

	(void)rc;
	if (!settle->rows->is_closing)
		settle->fn(settle->arg, settle->number);
	free(settle);
}

static void
rows_settle_wait(struct rows *rows, struct rows_settle *settle)
{
	struct verify_job *job = verify_job_new(0);

	settle->checked_again = rows->checked_again;
	job->settle = settle;
	verify_submit(rows->verify, job); /* without rows it is taken in any case */
}

static void
rows_settle_merged(struct rows *rows, struct rows_settle *settle)
{
	if (settle->checked_again != rows->checked_again)
		rows_settle_wait(rows, settle);
	else
		rows_when_durable(rows, rows_on_settled, settle);
}

static void
rows_on_verified(void *arg, struct verify_job *job)
{
	struct rows *rows = arg;
	struct buf changed = BUF_INIT, wanted = BUF_INIT;

	for (int i = 0; i < job->len; i++) {
		struct verify_item *item = &job->items[i];

		if (item->rc == -OCF_EUNKNOWN ||
		    (item->rc == 0 && !leases_knows(rows->leases, &item->key)))
			rows_put_aside(rows, job, item, &wanted);
		else if (item->rc == 0)
			rows_merge_item(rows, item, &changed);
		else if (item->is_refresh) /* of another value than ours */
			buf_put(&wanted, item->key.owner.b, ID_BYTES);
		else
			rows_refuse(rows, job->link, &item->key);
	}
	if (!job->is_joining)
		rows_hand_on(rows, job->link, buf_bytes(&changed));
	links_want(rows->d->links, job->link, buf_bytes(&wanted));
	buf_fini(&changed);
	buf_fini(&wanted);
	own_act(rows->own);
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
 * checked before is most of the cost of a flooded row. Of our own every state counts that is
 * not the one held: it may show another machine's writing (crdt/owner.h). */
static bool
rows_is_new(struct rows *rows, const struct row_key *key, const struct row *row)
{
	struct row held = ROW_INIT;
	bool is_new;

	if (store_get(rows->d->store, key, &held) != 0)
		return true;
	if (id_equal(&key->owner, &rows->d->identity->node_id))
		is_new = !row_equal(&held, row);
	else
		is_new = row_merge(&held, row);
	row_fini(&held);
	return is_new;
}

int
rows_deliver(struct rows *rows, uint64_t link, struct bytes encoded, bool is_joining,
	     uint64_t *ret_len)
{
	uint32_t rows_per_node = store_constants(rows->d->store)->rows_per_node;
	struct verify_job *job = verify_job_new(link), *bars = verify_job_new(link);
	struct reader r = reader_of(encoded);
	uint64_t len = 0;

	job->is_joining = is_joining;
	for (; r.len > 0; len++) {
		size_t left = r.len;
		struct row_key key;
		struct row row;

		if (codec_read_key(&r, &key) != 0 ||
		    row_key_check(&key, rows_per_node) != 0 ||
		    codec_read_row(&r, ident_sha256, &row) != 0) {
			verify_job_free(job);
			verify_job_free(bars);
			return -OCF_EMALFORMED;
		}
		if (rows_is_new(rows, &key, &row))
			verify_job_add(rows_key_is_bar(&key) ? bars : job, &key, &row,
				       left - r.len);
		row_fini(&row);
	}
	/* Here and now, so that no row is merged, and shown, that came behind a ban. */
	if (bars->len > 0)
		verify_run(rows->verify, bars);
	else
		verify_job_free(bars);
	if (job->len == 0)
		verify_job_free(job);
	else if (verify_submit(rows->verify, job) != 0 &&
		 log_limit_pass(&rows->failed_limit, "table"))
		log_warn("table",
			 "too many rows at once; some wait for the next comparison");
	*ret_len = len;
	return 0;
}

int
rows_deliver_refresh(struct rows *rows, uint64_t link, struct bytes payload)
{
	struct row held = ROW_INIT, row = ROW_INIT;
	struct verify_job *job;
	struct refresh refresh;
	const struct row_key *key = &refresh.key;

	if (refresh_read(payload, &refresh) != 0)
		return -OCF_EMALFORMED;
	store_get(rows->d->store, key, &held);
	if (row_seen(&held, refresh.v.dot.actor) >= refresh.v.dot.seq) {
		row_fini(&held);
		return 0; /* held, or older than what is */
	}
	if (refresh_apply(&refresh, &held, ident_sha256, &row)) {
		job = verify_job_new(link);
		verify_job_add(job, key, &row, payload.len);
		job->items[0].is_refresh = true;
		verify_submit(rows->verify, job);
	} else {
		links_want(rows->d->links, link, bytes_of(key->owner.b, ID_BYTES));
	}
	row_fini(&held);
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
	leases_note(rows->leases, key, row);
	sweep_met(rows->sweep, &key->owner);
	own_loaded(rows->own, key, row);
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
	rows->leases = leases_new(&d->identity->node_id,
				  store_constants(d->store)->retention_ms);
	rows->aside = aside_new();
	rows->verify = verify_open(d->loop, d->identity, rows_on_verified, rows);
	rows->own = own_open(rows);
	rows->sweep = sweep_open(rows);
	return rows;
}

void
rows_load(struct rows *rows)
{
	int rc = store_each(rows->d->store, rows_on_loaded, rows);

	if (rc != 0)
		log_error("table", "the table could not be read whole: %s",
			  error_text(rc));
	sweep_begin(rows->sweep);
}

void
rows_close(struct rows *rows)
{
	if (rows == NULL)
		return;
	rows->is_closing = true;
	verify_close(rows->verify);
	while (rows->waiting > 0)
		loop_turn(rows->d->loop, 100);
	sweep_close(rows->sweep);
	own_close(rows->own);
	aside_free(rows->aside);
	leases_free(rows->leases);
	buf_fini(&rows->own_notes);
	buf_fini(&rows->own_syncing);
	buf_fini(&rows->notes);
	buf_fini(&rows->syncing);
	free(rows);
}

uint64_t
rows_refused(const struct rows *rows)
{
	return rows->refused;
}
