/* SPDX-License-Identifier: Apache-2.0 */
/* Entries that name rows: comparing a list with one's own rows, sending what the other lacks
 * and asking for what one lacks oneself. See sync/compare.h. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crdt/codec.h"
#include "sync/compare.h"

static const uint8_t k_zeros[SYNC_K_BYTES];

/* A reading of our rows under a node. */
struct scan {
	struct compare *c;
	const struct sync_entry *e;
	uint64_t rows, rows_max;
	bool is_sending; /* there is room yet */
	bool is_more;	 /* the reading ended at `cursor`, or the sending did */
	uint8_t cursor[SYNC_K_BYTES];
	struct buf *out; /* of a list, or of keys */
	int keys_len;
};

static void
scan_rows(struct compare *c, const uint8_t from[SYNC_K_BYTES], sync_row_fn *fn,
	  struct scan *w)
{
	int rc = c->table->rows(c->table->arg, from, fn, w);

	c->scanned += w->rows;
	if (rc < 0)
		c->made->rc = rc;
}

static void
scan_stop_at(struct scan *w, const uint8_t k[SYNC_K_BYTES])
{
	memcpy(w->cursor, k, SYNC_K_BYTES);
	w->is_more = true;
}

/* Items. */

static int
item_compare(const void *a, const void *b)
{
	const struct compare_item *x = a, *y = b;

	return x->k < y->k ? -1 : x->k > y->k;
}

static void
compare_read_items(struct compare *c, const struct sync_entry *e)
{
	size_t width = sync_entry_width(e->type, c->job->is_dry);
	int k_bytes = sync_k_bytes(c->job->is_dry), d_bytes = (int)width - k_bytes;

	assert(e->n <= SYNC_SHOWN_ROWS_MAX);
	for (int i = 0; i < e->n; i++) {
		const uint8_t *p = e->body.data + (size_t)i * width;

		c->items[i] = (struct compare_item){
			.k = sync_get_hash(p, k_bytes),
			.d = sync_get_hash(p + k_bytes, d_bytes),
		};
	}
	c->items_len = e->n;
	c->items_found = 0;
	if (e->n > 1)
		qsort(c->items, (size_t)e->n, sizeof(c->items[0]), item_compare);
}

static struct compare_item *
compare_find_item(struct compare *c, const uint8_t k[SYNC_K_BYTES])
{
	struct compare_item wanted = { .k = compare_k(c, k) }, *found;

	if (c->items_len == 0)
		return NULL;
	found = bsearch(&wanted, c->items, (size_t)c->items_len, sizeof(c->items[0]),
			item_compare);
	if (found != NULL && found->state == COMPARE_ONLY_THERE)
		c->items_found++;
	return found;
}

/* Names, of a dry session. */

static void
compare_name(struct compare *c, bool is_here, bool is_there, struct bytes key)
{
	struct sync_made *m = c->made;

	if (m->names_len >= c->job->names_max || key.len == 0)
		return;
	buf_put_u8(&m->names, is_here);
	buf_put_u8(&m->names, is_there);
	buf_put_bytes8(&m->names, key);
	m->names_len++;
}

/* The key at the front of a row; empty when it is none. */
static struct bytes
encoded_key(struct bytes encoded)
{
	struct reader r = reader_of(encoded);
	struct row_key key;

	if (codec_read_key(&r, &key) < 0)
		return BYTES_NONE;
	return bytes_of(encoded.data, encoded.len - r.len);
}

/* LIST and REST. */

static void
scan_tally(struct scan *w, const struct compare_item *item)
{
	if (item == NULL)
		w->c->made->only_here++;
	else
		w->c->made->differing++;
}

static bool
scan_compare(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	     struct bytes encoded)
{
	struct scan *w = arg;
	struct compare *c = w->c;
	struct compare_item *item;

	if (!sync_node_has(&w->e->node, k))
		return false;
	/* All that is left to learn is which of theirs we hold. */
	if (!w->is_sending && (w->e->type == SYNC_REST || c->items_found == c->items_len))
		return false;
	w->rows++;
	item = compare_find_item(c, k);
	if (item != NULL) {
		bool is_same = compare_row_d(c, digest) == item->d;

		item->state = is_same ? COMPARE_SAME : COMPARE_DIFFERS;
		if (is_same)
			return true;
	}
	if (w->is_sending && !compare_fits(c, encoded.len)) {
		w->is_sending = false;
		scan_stop_at(w, k);
	} else if (w->is_sending) {
		compare_send_row(c, encoded);
		scan_tally(w, item);
	}
	return true;
}

/* Those that we hold in another state first. */
static void
compare_put_wants(struct compare *c, const struct sync_node *node)
{
	struct buf *out = &c->made->out;
	int n = 0, m = 0;

	for (int i = 0; i < c->items_len; i++) {
		n += c->items[i].state != COMPARE_SAME;
		m += c->items[i].state == COMPARE_DIFFERS;
	}
	if (n == 0)
		return;
	sync_entry_put(out, SYNC_WANT, node);
	buf_put_u8(out, (uint8_t)n);
	buf_put_u8(out, (uint8_t)m);
	for (int i = 0; i < c->items_len; i++)
		if (c->items[i].state == COMPARE_DIFFERS)
			compare_put_k(c, out, c->items[i].k);
	for (int i = 0; i < c->items_len; i++)
		if (c->items[i].state == COMPARE_ONLY_THERE)
			compare_put_k(c, out, c->items[i].k);
	c->made->only_there += (uint64_t)(n - m);
}

bool
compare_take_list(struct compare *c, const struct sync_entry *e)
{
	size_t rows_before = c->made->rows.len;
	struct scan w = { .c = c, .e = e, .is_sending = true };

	if (c->job->is_dry)
		return compare_take_shown(c, e);
	compare_read_items(c, e);
	scan_rows(c, e->type == SYNC_LIST ? e->node.prefix : e->from, scan_compare, &w);
	if (w.is_more && rows_before > 0 && c->made->rows.len == rows_before)
		return false; /* not even the first row has room: later */
	if (e->type == SYNC_LIST)
		compare_put_wants(c, &e->node);
	if (w.is_more) {
		sync_entry_put(&c->made->out, SYNC_MORE, &e->node);
		buf_put(&c->made->out, w.cursor, SYNC_K_BYTES);
	}
	return true;
}

/* What is ours, as a list. */

static bool
scan_list(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	  struct bytes encoded)
{
	struct scan *w = arg;

	(void)encoded;
	if (!sync_node_has(&w->e->node, k))
		return false;
	if (w->rows == w->rows_max) {
		scan_stop_at(w, k);
		return false;
	}
	w->rows++;
	compare_put_k(w->c, w->out, compare_k(w->c, k));
	compare_put_d(w->c, w->out, compare_row_d(w->c, digest));
	return true;
}

/* At most `max` rows from `from` on; false when there are more. */
static bool
compare_gather(struct compare *c, const struct sync_node *node,
	       const uint8_t from[SYNC_K_BYTES], int max, struct buf *list,
	       uint64_t *ret_rows, uint8_t ret_cursor[SYNC_K_BYTES])
{
	struct sync_entry e = { .node = *node };
	struct scan w = { .c = c, .e = &e, .rows_max = (uint64_t)max, .out = list };

	scan_rows(c, from, scan_list, &w);
	*ret_rows = w.rows;
	memcpy(ret_cursor, w.cursor, SYNC_K_BYTES);
	return !w.is_more;
}

void
compare_put_list(struct compare *c, const struct sync_node *node)
{
	uint8_t cursor[SYNC_K_BYTES];
	struct buf list = BUF_INIT;
	uint64_t rows;
	bool is_all = compare_gather(c, node, node->prefix, sync_list_max(node->depth),
				     &list, &rows, cursor);

	/* More came since they were counted. At SYNC_DEPTH_MAX it would take 11 keys with 60
	 * bits of SHA-256 in common. */
	if (c->made->rc == 0 && !is_all && node->depth < SYNC_DEPTH_MAX) {
		if (node->depth >= SYNC_TOP_BITS)
			compare_put_children(c, node);
	} else if (c->made->rc == 0) {
		sync_entry_put(&c->made->out, SYNC_LIST, node);
		buf_put_u8(&c->made->out, (uint8_t)rows);
		buf_put_bytes(&c->made->out, buf_bytes(&list));
	}
	buf_fini(&list);
}

static void
compare_put_shown(struct compare *c, const struct sync_entry *e)
{
	uint8_t cursor[SYNC_K_BYTES];
	struct buf list = BUF_INIT;
	uint64_t rows;
	bool is_all = compare_gather(c, &e->node, e->from, SYNC_SHOWN_ROWS_MAX, &list,
				     &rows, cursor);

	sync_entry_put(&c->made->out, SYNC_SHOWN, &e->node);
	buf_put(&c->made->out, e->from, SYNC_K_BYTES);
	buf_put(&c->made->out, is_all ? k_zeros : cursor, SYNC_K_BYTES);
	buf_put_u16(&c->made->out, (uint16_t)rows);
	buf_put_bytes(&c->made->out, buf_bytes(&list));
	buf_fini(&list);
}

bool
compare_take_more(struct compare *c, const struct sync_entry *e)
{
	uint8_t cursor[SYNC_K_BYTES];
	struct buf list = BUF_INIT;
	uint64_t rows;
	bool is_all;

	if (c->job->is_dry) {
		compare_put_shown(c, e);
		return true;
	}
	is_all = compare_gather(c, &e->node, e->from, sync_list_max(e->node.depth), &list,
				&rows, cursor);
	if (is_all || e->node.depth == SYNC_DEPTH_MAX) {
		sync_entry_put(&c->made->out, SYNC_REST, &e->node);
		buf_put(&c->made->out, e->from, SYNC_K_BYTES);
		buf_put_u8(&c->made->out, (uint8_t)rows);
		buf_put_bytes(&c->made->out, buf_bytes(&list));
	} else if (e->node.depth >= SYNC_TOP_BITS) {
		compare_put_children(c, &e->node); /* much has come meanwhile */
	}
	buf_fini(&list);
	return true;
}

/* WANT. */

static bool
scan_want(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	  struct bytes encoded)
{
	struct scan *w = arg;
	struct compare_item *item;

	(void)digest;
	if (!sync_node_has(&w->e->node, k) || w->rows == SYNC_WANT_SCAN_ROWS_MAX)
		return false;
	w->rows++;
	item = compare_find_item(w->c, k);
	if (item == NULL)
		return true;
	if (compare_fits(w->c, encoded.len)) {
		if (item->state == COMPARE_ONLY_THERE)
			item->state = COMPARE_SAME;
		compare_send_row(w->c, encoded);
	} else {
		item->state = COMPARE_LEFT;
	}
	return true;
}

bool
compare_take_want(struct compare *c, const struct sync_entry *e)
{
	struct buf *out = &c->made->out;
	uint64_t rows_before = c->made->rows_len, sent;
	struct scan w = { .c = c, .e = e };
	int n = 0;

	compare_read_items(c, e);
	scan_rows(c, e->node.prefix, scan_want, &w);
	sent = c->made->rows_len - rows_before;
	for (int i = 0; i < c->items_len; i++)
		n += c->items[i].state == COMPARE_LEFT;
	if (n > 0 && sent == 0 && c->made->rows.len > 0)
		return false;
	if (c->is_asker) {
		c->made->differing += (uint64_t)e->m;
		c->made->only_here += sent > (uint64_t)e->m ? sent - (uint64_t)e->m : 0;
	}
	/* All of them left: two rows of one k. The next session brings the other. */
	if (n == 0 || n == e->n)
		return true;
	sync_entry_put(out, SYNC_LEFT, &e->node);
	buf_put_u8(out, (uint8_t)n);
	for (int i = 0; i < c->items_len; i++)
		if (c->items[i].state == COMPARE_LEFT)
			compare_put_k(c, out, c->items[i].k);
	return true;
}

/* SHOWN, NAME and KEYS: a dry session. */

static bool
scan_shown(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	   struct bytes encoded)
{
	struct scan *w = arg;
	struct compare *c = w->c;
	struct compare_item *item;

	if (!sync_node_has(&w->e->node, k) ||
	    (memcmp(w->e->until, k_zeros, SYNC_K_BYTES) != 0 &&
	     memcmp(k, w->e->until, SYNC_K_BYTES) >= 0))
		return false;
	w->rows++;
	item = compare_find_item(c, k);
	if (item != NULL && compare_row_d(c, digest) == item->d) {
		item->state = COMPARE_SAME;
		return true;
	}
	if (item != NULL)
		item->state = COMPARE_DIFFERS;
	scan_tally(w, item);
	compare_name(c, true, item != NULL, encoded_key(encoded));
	return true;
}

/* Ask for the keys of those that only they have, while there is room for names. */
static void
compare_put_names(struct compare *c, const struct sync_entry *e,
		  const uint8_t from[SYNC_K_BYTES])
{
	struct buf *out = &c->made->out;
	int i = 0;

	while (i < c->items_len && c->job->names_max > c->made->names_len) {
		struct buf list = BUF_INIT;
		int n = 0, max = c->job->names_max - c->made->names_len;

		for (; i < c->items_len && n < SYNC_NAME_ROWS_MAX && n < max; i++)
			if (c->items[i].state == COMPARE_ONLY_THERE) {
				compare_put_k(c, &list, c->items[i].k);
				n++;
			}
		if (n > 0) {
			sync_entry_put(out, SYNC_NAME, &e->node);
			buf_put(out, from, SYNC_K_BYTES);
			buf_put_u8(out, (uint8_t)n);
			buf_put_bytes(out, buf_bytes(&list));
			c->job->names_max -= n;
		}
		buf_fini(&list);
	}
}

bool
compare_take_shown(struct compare *c, const struct sync_entry *e)
{
	const uint8_t *from = e->type == SYNC_LIST ? e->node.prefix : e->from;
	struct scan w = { .c = c, .e = e };

	compare_read_items(c, e);
	scan_rows(c, from, scan_shown, &w);
	for (int i = 0; i < c->items_len; i++)
		c->made->only_there += c->items[i].state == COMPARE_ONLY_THERE;
	compare_put_names(c, e, from);
	if (memcmp(e->until, k_zeros, SYNC_K_BYTES) != 0) {
		sync_entry_put(&c->made->out, SYNC_MORE, &e->node);
		buf_put(&c->made->out, e->until, SYNC_K_BYTES);
	}
	return true;
}

static bool
scan_name(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
	  struct bytes encoded)
{
	struct scan *w = arg;
	struct bytes key;

	(void)digest;
	if (!sync_node_has(&w->e->node, k) || w->rows == SYNC_WANT_SCAN_ROWS_MAX)
		return false;
	w->rows++;
	if (compare_find_item(w->c, k) == NULL || w->keys_len == w->e->n)
		return true;
	key = encoded_key(encoded);
	if (key.len == 0 || key.len > SYNC_KEY_BYTES_MAX)
		return true;
	buf_put_bytes8(w->out, key);
	w->keys_len++;
	return true;
}

bool
compare_take_name(struct compare *c, const struct sync_entry *e)
{
	struct buf keys = BUF_INIT;
	struct scan w = { .c = c, .e = e, .out = &keys };

	compare_read_items(c, e);
	scan_rows(c, e->from, scan_name, &w);
	if (w.keys_len > 0) {
		sync_entry_put(&c->made->out, SYNC_KEYS, &e->node);
		buf_put_u8(&c->made->out, (uint8_t)w.keys_len);
		buf_put_bytes(&c->made->out, buf_bytes(&keys));
	}
	buf_fini(&keys);
	return true;
}

bool
compare_take_keys(struct compare *c, const struct sync_entry *e)
{
	struct reader r = reader_of(e->body);

	while (r.len > 0) {
		struct bytes key = reader_bytes8(&r);
		struct reader of_key = reader_of(key);
		struct row_key decoded;

		/* What cannot be read is not named; it was counted. */
		if (codec_read_key(&of_key, &decoded) == 0 && reader_done(&of_key))
			compare_name(c, false, true, key);
	}
	return true;
}
