/* SPDX-License-Identifier: Apache-2.0 */
/* What one side makes of the other's entries; see sync/compare.h. */
#include "config.h"

#include "sync/compare.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

void
compare_malformed(struct compare *c, const char *fmt, ...)
{
	va_list ap;

	if (c->made->why[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(c->made->why, sizeof(c->made->why), fmt, ap);
	va_end(ap);
}

uint64_t
compare_k(const struct compare *c, const uint8_t k[SYNC_K_BYTES])
{
	return sync_cut_hash(sync_salted_k(c->job->salt, k),
			     sync_k_bytes(c->job->is_dry));
}

uint64_t
compare_row_d(const struct compare *c, struct u128 digest)
{
	return sync_cut_hash(sync_salted_row(c->job->salt, digest),
			     sync_d_bytes(c->job->is_dry));
}

static uint64_t
compare_node_d(const struct compare *c, const struct sync_node *node,
	       const struct sync_digest *digest)
{
	return sync_cut_hash(sync_salted_node(c->job->salt, node, digest),
			     sync_d_bytes(c->job->is_dry));
}

void
compare_put_k(const struct compare *c, struct buf *out, uint64_t k)
{
	sync_put_hash(out, k, sync_k_bytes(c->job->is_dry));
}

void
compare_put_d(const struct compare *c, struct buf *out, uint64_t d)
{
	sync_put_hash(out, d, sync_d_bytes(c->job->is_dry));
}

bool
compare_fits(const struct compare *c, size_t len)
{
	return c->made->rows.len == 0 || c->made->rows.len + len <= SYNC_SHIP_BYTES_MAX;
}

void
compare_send_row(struct compare *c, struct bytes encoded)
{
	struct sync_made *m = c->made;
	size_t at = m->pieces.len;
	uint32_t len = (uint32_t)encoded.len;

	buf_put_bytes(&m->rows, encoded);
	m->rows_len++;
	if (at > 0 && get_be32(m->pieces.data + at - 4) + len <= SYNC_ROWS_BYTES_MAX)
		put_be32(m->pieces.data + at - 4,
			 get_be32(m->pieces.data + at - 4) + len);
	else
		buf_put_u32(&m->pieces, len);
}

/* Nodes. */

static bool
compare_digests(struct compare *c, const struct sync_node *node, int bits,
		struct sync_digest *ret_children)
{
	int rc = c->table->digests(c->table->arg, node->prefix, node->depth, bits,
				   ret_children);

	if (rc < 0)
		c->made->rc = rc;
	return rc == 0;
}

static void
compare_put_digests(struct compare *c, enum sync_entry_type type,
		    const struct sync_node *node, int bits)
{
	struct sync_digest digests[SYNC_TOP_FANOUT];

	if (!compare_digests(c, node, bits, digests))
		return;
	sync_entry_put(&c->made->out, type, node);
	for (int i = 0; i < 1 << bits; i++) {
		struct sync_node child = sync_node_child(node, bits, i);

		compare_put_d(c, &c->made->out, compare_node_d(c, &child, &digests[i]));
	}
}

void
compare_put_children(struct compare *c, const struct sync_node *node)
{
	compare_put_digests(c, SYNC_CHILDREN, node, SYNC_STEP_BITS);
}

static void
compare_put_more(struct compare *c, const struct sync_node *node)
{
	sync_entry_put(&c->made->out, SYNC_MORE, node);
	buf_put(&c->made->out, node->prefix, SYNC_K_BYTES);
}

/* A child that differs. Who asks in a dry session does not list, for it is the one that is
 * to know both lists in the end. */
static void
compare_descend(struct compare *c, const struct sync_node *child, uint64_t count)
{
	bool is_listed = count <= SYNC_LIST_ROWS_MAX || child->depth == SYNC_DEPTH_MAX;

	if (!is_listed)
		compare_put_children(c, child);
	else if (c->is_asker && c->job->is_dry)
		compare_put_more(c, child);
	else
		compare_put_list(c, child);
}

static void
compare_take_digests(struct compare *c, const struct sync_entry *e, int bits)
{
	struct sync_digest ours[SYNC_TOP_FANOUT];
	int d_bytes = sync_d_bytes(c->job->is_dry);

	assert(e->n == 1 << bits);
	if (!compare_digests(c, &e->node, bits, ours))
		return;
	for (int i = 0; i < e->n && c->made->rc == 0; i++) {
		struct sync_node child = sync_node_child(&e->node, bits, i);
		uint64_t theirs = sync_get_hash(e->body.data + i * d_bytes, d_bytes);

		if (compare_node_d(c, &child, &ours[i]) != theirs)
			compare_descend(c, &child, ours[i].count);
	}
}

/* The whole table. */

static bool
compare_page_row(void *arg, const uint8_t k[SYNC_K_BYTES], struct u128 digest,
		 struct bytes encoded)
{
	(void)k;
	(void)digest;
	compare_send_row(arg, encoded);
	return true;
}

/* Rows from the cursor on, which moves: at least one, or *ret_is_last. */
static void
compare_put_page(struct compare *c, uint8_t cursor[SYNC_K_BYTES], bool *ret_is_last)
{
	struct sync_made *m = c->made;
	uint8_t next[SYNC_K_BYTES];

	*ret_is_last = false;
	for (int i = 0; !*ret_is_last && m->rc == 0 &&
			(m->rows.len == 0 ||
			 (m->rows.len < SYNC_SHIP_BYTES_MAX / 2 && i < SYNC_PAGES_MAX));
	     i++) {
		memset(next, 0, sizeof(next));
		m->rc = c->table->page(c->table->arg, cursor,
				       SYNC_SHIP_BYTES_MAX - m->rows.len,
				       compare_page_row, c, next, ret_is_last);
		if (!*ret_is_last && memcmp(cursor, next, SYNC_K_BYTES) == 0)
			*ret_is_last = true; /* it goes round in circles */
		memcpy(cursor, next, SYNC_K_BYTES);
	}
}

static bool
compare_take_page(struct compare *c, const struct sync_entry *e)
{
	uint8_t cursor[SYNC_K_BYTES];
	bool is_last = false;

	memcpy(cursor, e->from, SYNC_K_BYTES);
	if (!c->is_asker && c->made->rows.len > 0)
		return false;
	if (!c->is_asker)
		compare_put_page(c, cursor, &is_last);
	if (is_last || c->made->rc != 0)
		return true;
	sync_entry_put(&c->made->out, SYNC_PAGE, &e->node);
	buf_put(&c->made->out, cursor, SYNC_K_BYTES);
	return true;
}

/* Entries. */

static bool
compare_entry(struct compare *c, const struct sync_entry *e)
{
	switch (e->type) {
	case SYNC_TOP:
		compare_take_digests(c, e, SYNC_TOP_BITS);
		return true;
	case SYNC_CHILDREN:
		compare_take_digests(c, e, SYNC_STEP_BITS);
		return true;
	case SYNC_LIST:
	case SYNC_REST:
		return compare_take_list(c, e);
	case SYNC_MORE:
		return compare_take_more(c, e);
	case SYNC_WANT:
		return compare_take_want(c, e);
	case SYNC_LEFT: /* ask again */
		sync_entry_put(&c->made->out, SYNC_WANT, &e->node);
		buf_put_u8(&c->made->out, (uint8_t)e->n);
		buf_put_u8(&c->made->out, 0);
		buf_put_bytes(&c->made->out, e->body);
		return true;
	case SYNC_PAGE:
		return compare_take_page(c, e);
	case SYNC_SHOWN:
		return compare_take_shown(c, e);
	case SYNC_NAME:
		return compare_take_name(c, e);
	case SYNC_KEYS:
		return compare_take_keys(c, e);
	case SYNC_ENTRY_TYPES:
		break;
	}
	assert(false);
	return true;
}

/* Is there no room for whatever the next entry may make? */
static bool
compare_is_full(const struct compare *c)
{
	size_t most = c->job->is_dry ? SYNC_REPLY_DRY_BYTES_MAX : SYNC_REPLY_BYTES_MAX;

	if (c->made->rows.len >= SYNC_SHIP_BYTES_MAX)
		return true;
	if (c->is_asker)
		return false; /* bounded by what came in, and packed by the core */
	return SYNC_ANSWER_BYTES + c->made->out.len + most > SYNC_PAYLOAD_BYTES_MAX ||
	       c->scanned >= SYNC_SCAN_ROWS_MAX;
}

static void
compare_entries(struct compare *c)
{
	struct reader r = reader_of(buf_bytes(&c->job->entries));
	struct sync_made *m = c->made;

	while (r.len > 0 && m->rc == 0) {
		struct reader before = r;
		struct sync_entry e;
		const char *why;
		size_t out = m->out.len;
		int rc = sync_entry_read(&r, c->job->is_dry, &e, &why);

		assert(rc == 0); /* as checked before */
		if ((m->handled > 0 && compare_is_full(c)) || !compare_entry(c, &e)) {
			assert(m->handled > 0);
			m->out.len = out;
			if (c->is_asker)
				buf_put(&m->rest, before.data, before.len);
			return;
		}
		m->handled++;
	}
}

/* Jobs. */

static void
compare_open(struct compare *c)
{
	const struct sync_digest *theirs = &c->job->theirs, *ours = &c->made->root;
	struct sync_node top = { .depth = 0 };

	c->made->is_same = u128_equal(ours->sum, theirs->sum) &&
			   ours->count == theirs->count;
	if (c->made->is_same)
		return;
	if (ours->count <= SYNC_SMALL_ROWS_MAX)
		compare_put_list(c, &top);
	if (c->made->out.len == 0 && c->made->rc == 0)
		compare_put_digests(c, SYNC_TOP, &top, SYNC_TOP_BITS);
}

static void
compare_do(struct compare *c)
{
	struct sync_made *m = c->made;

	switch (c->job->type) {
	case SYNC_JOB_ROOT:
	case SYNC_JOB_OPEN:
		m->rc = c->table->root(c->table->arg, c->job->epoch, &m->root);
		if (m->rc == 0 && c->job->type == SYNC_JOB_OPEN)
			compare_open(c);
		break;
	case SYNC_JOB_ANSWER:
		compare_check_ask(c);
		if (m->why[0] == '\0')
			compare_entries(c);
		break;
	case SYNC_JOB_TAKE:
		if (!c->job->is_checked)
			compare_check_answer(c);
		if (m->why[0] == '\0')
			compare_entries(c);
		break;
	}
}

struct sync_made *
sync_compare(const struct sync_table *table, struct sync_job *job)
{
	struct compare *c = mem_calloc(1, sizeof(*c));
	struct sync_made *m = mem_calloc(1, sizeof(*m));

	m->type = job->type;
	c->table = table;
	c->job = job;
	c->made = m;
	c->is_asker = job->type == SYNC_JOB_TAKE;
	compare_do(c);
	if (m->rc < 0 || m->why[0] != '\0') {
		buf_clear(&m->out);
		buf_clear(&m->rows);
		buf_clear(&m->pieces);
		buf_clear(&m->rest);
		m->rows_len = 0;
	}
	free(c);
	sync_job_free(job);
	return m;
}

void
sync_job_free(struct sync_job *job)
{
	if (job == NULL)
		return;
	buf_fini(&job->entries);
	buf_fini(&job->asked);
	free(job);
}

void
sync_made_free(struct sync_made *made)
{
	if (made == NULL)
		return;
	buf_fini(&made->out);
	buf_fini(&made->rows);
	buf_fini(&made->pieces);
	buf_fini(&made->rest);
	buf_fini(&made->names);
	free(made);
}
