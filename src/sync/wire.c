/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sync/wire.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

static const char *const entry_names[SYNC_ENTRY_TYPES] = {
	[SYNC_TOP] = "TOP",   [SYNC_CHILDREN] = "CHILDREN", [SYNC_LIST] = "LIST",
	[SYNC_REST] = "REST", [SYNC_MORE] = "MORE",	    [SYNC_WANT] = "WANT",
	[SYNC_LEFT] = "LEFT", [SYNC_PAGE] = "PAGE",	    [SYNC_SHOWN] = "SHOWN",
	[SYNC_NAME] = "NAME", [SYNC_KEYS] = "KEYS",
};

/* Frames. */

static int
wire_fail(const char *why, const char **ret_why)
{
	*ret_why = why;
	return -OCF_EMALFORMED;
}

static void
frame_read_open(struct reader *r, struct sync_frame *f)
{
	f->flags = reader_u8(r);
	f->salt = reader_u64(r);
	f->horizon = reader_u64(r);
	f->epoch = reader_u64(r);
	f->root.sum.hi = reader_u64(r);
	f->root.sum.lo = reader_u64(r);
	f->root.count = reader_u64(r);
}

static struct bytes
frame_rest(struct reader *r)
{
	return reader_take(r, r->len);
}

static void
frame_read_body(struct reader *r, struct sync_frame *f)
{
	switch (f->type) {
	case SYNC_OPEN:
		frame_read_open(r, f);
		break;
	case SYNC_DIFFER:
		f->root.count = reader_u64(r);
		f->entries = frame_rest(r);
		break;
	case SYNC_BUSY:
		reader_copy(r, f->node.b, ID_BYTES);
		break;
	case SYNC_ASK:
		f->seq = reader_u16(r);
		f->flags = reader_u8(r);
		f->salt = reader_u64(r);
		f->entries = frame_rest(r);
		break;
	case SYNC_ANSWER:
		f->seq = reader_u16(r);
		f->answered = reader_u16(r);
		f->rows = reader_u32(r);
		f->entries = frame_rest(r);
		break;
	case SYNC_APART:
		f->horizon = reader_u64(r);
		break;
	case SYNC_SAME:
	case SYNC_END:
		break;
	}
}

int
sync_frame_read(struct bytes payload, struct sync_frame *ret_frame, const char **ret_why)
{
	struct reader r = reader_of(payload);
	uint8_t flags = SYNC_FLAG_DRY | SYNC_FLAG_SETTLE;
	struct sync_frame f = { 0 };

	f.type = reader_u8(&r);
	f.sid = reader_u32(&r);
	if (payload.len > SYNC_PAYLOAD_BYTES_MAX)
		return wire_fail("a sync frame is too long", ret_why);
	if (f.type < SYNC_OPEN || f.type > SYNC_APART)
		return wire_fail("a sync frame is of no known type", ret_why);
	frame_read_body(&r, &f);
	if (!reader_done(&r))
		return wire_fail(r.failed ? "a sync frame is cut off"
					  : "bytes are left behind a sync frame",
				 ret_why);
	if (f.type == SYNC_OPEN)
		flags = SYNC_FLAG_DRY | SYNC_FLAG_WHOLE | SYNC_FLAG_FINAL;
	if (f.flags & ~flags)
		return wire_fail("a sync frame has unknown flags", ret_why);
	*ret_frame = f;
	return 0;
}

void
sync_frame_put(struct buf *out, const struct sync_frame *f)
{
	size_t start = out->len;

	buf_put_u8(out, (uint8_t)f->type);
	buf_put_u32(out, f->sid);
	if (f->type == SYNC_OPEN) {
		buf_put_u8(out, f->flags);
		buf_put_u64(out, f->salt);
		buf_put_u64(out, f->horizon);
		buf_put_u64(out, f->epoch);
		buf_put_u64(out, f->root.sum.hi);
		buf_put_u64(out, f->root.sum.lo);
		buf_put_u64(out, f->root.count);
	} else if (f->type == SYNC_DIFFER) {
		buf_put_u64(out, f->root.count);
	} else if (f->type == SYNC_BUSY) {
		buf_put(out, f->node.b, ID_BYTES);
	} else if (f->type == SYNC_ASK) {
		buf_put_u16(out, f->seq);
		buf_put_u8(out, f->flags);
		buf_put_u64(out, f->salt);
	} else if (f->type == SYNC_ANSWER) {
		buf_put_u16(out, f->seq);
		buf_put_u16(out, f->answered);
		buf_put_u32(out, f->rows);
	} else if (f->type == SYNC_APART) {
		buf_put_u64(out, f->horizon);
	}
	buf_put_bytes(out, f->entries);
	assert(out->len - start <= SYNC_PAYLOAD_BYTES_MAX);
}

/* Nodes. */

struct sync_node
sync_node_child(const struct sync_node *node, int bits, int i)
{
	struct sync_node child = *node;
	int at = node->depth / 8;

	assert(bits == SYNC_STEP_BITS || (bits == SYNC_TOP_BITS && node->depth == 0));
	child.depth += bits;
	if (bits == SYNC_TOP_BITS || node->depth % 8 != 0)
		child.prefix[at] |= (uint8_t)i;
	else
		child.prefix[at] |= (uint8_t)(i << 4);
	return child;
}

bool
sync_node_has(const struct sync_node *node, const uint8_t k[SYNC_K_BYTES])
{
	size_t whole = (size_t)node->depth / 8;

	if (memcmp(node->prefix, k, whole) != 0)
		return false;
	return node->depth % 8 == 0 || k[whole] >> 4 == node->prefix[whole] >> 4;
}

bool
sync_node_equal(const struct sync_node *a, const struct sync_node *b)
{
	return a->depth == b->depth && memcmp(a->prefix, b->prefix, SYNC_K_BYTES) == 0;
}

bool
sync_node_is_child(const struct sync_node *node, const struct sync_node *child)
{
	return child->depth == node->depth + SYNC_STEP_BITS &&
	       sync_node_has(node, child->prefix);
}

int
sync_list_max(int depth)
{
	return depth == 0 ? SYNC_SMALL_ROWS_MAX : SYNC_LIST_ROWS_MAX;
}

/* Entries. */

size_t
sync_entry_width(enum sync_entry_type type, bool is_dry)
{
	size_t k = (size_t)sync_k_bytes(is_dry), d = (size_t)sync_d_bytes(is_dry);

	switch (type) {
	case SYNC_TOP:
	case SYNC_CHILDREN:
		return d;
	case SYNC_LIST:
	case SYNC_REST:
	case SYNC_SHOWN:
		return k + d;
	case SYNC_WANT:
	case SYNC_LEFT:
	case SYNC_NAME:
		return k;
	default:
		return 0;
	}
}

const char *
sync_entry_name(enum sync_entry_type type)
{
	assert(type > 0 && type < SYNC_ENTRY_TYPES);
	return entry_names[type];
}

void
sync_entry_put(struct buf *out, enum sync_entry_type type, const struct sync_node *node)
{
	assert(node->depth >= 0 && node->depth <= SYNC_DEPTH_MAX &&
	       node->depth % SYNC_STEP_BITS == 0);
	buf_put_u8(out, (uint8_t)((int)type * 16 + node->depth / SYNC_STEP_BITS));
	buf_put(out, node->prefix, (size_t)(node->depth + 7) / 8);
}

static bool
entry_has_from(enum sync_entry_type type)
{
	return type == SYNC_REST || type == SYNC_MORE || type == SYNC_PAGE ||
	       type == SYNC_SHOWN || type == SYNC_NAME;
}

static int
entry_read_node(struct reader *r, struct sync_entry *e, const char **ret_why)
{
	uint8_t tag = reader_u8(r);

	e->type = tag / 16;
	e->node.depth = (tag & 0xf) * SYNC_STEP_BITS;
	if (e->type < SYNC_TOP || e->type >= SYNC_ENTRY_TYPES)
		return wire_fail("an entry is of no known type", ret_why);
	reader_copy(r, e->node.prefix, (size_t)(e->node.depth + 7) / 8);
	if (e->node.depth % 8 != 0 && (e->node.prefix[e->node.depth / 8] & 0xf) != 0)
		return wire_fail("an entry's prefix has bits behind its depth", ret_why);
	if ((e->type == SYNC_TOP || e->type == SYNC_PAGE) && e->node.depth != 0)
		return wire_fail("an entry about the whole table names a node", ret_why);
	if (e->type == SYNC_CHILDREN && e->node.depth == SYNC_DEPTH_MAX)
		return wire_fail("a node is too deep", ret_why);
	return 0;
}

static int
entry_read_range(struct reader *r, struct sync_entry *e, const char **ret_why)
{
	static const uint8_t zeros[SYNC_K_BYTES];

	if (!entry_has_from(e->type))
		return 0;
	reader_copy(r, e->from, SYNC_K_BYTES);
	if (e->type == SYNC_SHOWN)
		reader_copy(r, e->until, SYNC_K_BYTES);
	if (r->failed || e->type == SYNC_PAGE)
		return 0;
	if (!sync_node_has(&e->node, e->from))
		return wire_fail("an entry's beginning is outside of its node", ret_why);
	if (memcmp(e->until, zeros, SYNC_K_BYTES) == 0)
		return 0;
	if (!sync_node_has(&e->node, e->until) ||
	    memcmp(e->until, e->from, SYNC_K_BYTES) <= 0)
		return wire_fail("an entry ends before it begins", ret_why);
	return 0;
}

static int
entry_read_count(struct reader *r, struct sync_entry *e, const char **ret_why)
{
	int max = sync_list_max(e->node.depth);

	switch (e->type) {
	case SYNC_TOP:
		e->n = max = SYNC_TOP_FANOUT;
		break;
	case SYNC_CHILDREN:
		e->n = max = SYNC_FANOUT;
		break;
	case SYNC_SHOWN:
		max = SYNC_SHOWN_ROWS_MAX;
		e->n = reader_u16(r);
		break;
	case SYNC_MORE:
	case SYNC_PAGE:
		break;
	case SYNC_NAME:
	case SYNC_KEYS:
		max = SYNC_NAME_ROWS_MAX;
		e->n = reader_u8(r);
		break;
	default:
		e->n = reader_u8(r);
		break;
	}
	if (e->type == SYNC_WANT)
		e->m = reader_u8(r);
	if (r->failed)
		return wire_fail("an entry is cut off", ret_why);
	if (e->n > max)
		return wire_fail("a list is too long", ret_why);
	if (e->m > e->n || (e->n == 0 && (e->type == SYNC_WANT || e->type == SYNC_LEFT ||
					  e->type == SYNC_NAME)))
		return wire_fail("a list counts wrongly", ret_why);
	return 0;
}

static int
entry_read_keys(struct reader *r, struct sync_entry *e, const char **ret_why)
{
	const uint8_t *start = r->data;

	for (int i = 0; i < e->n; i++) {
		struct bytes key = reader_bytes8(r);

		if (key.len > SYNC_KEY_BYTES_MAX)
			return wire_fail("a key is too long", ret_why);
	}
	if (!r->failed)
		e->body = bytes_of(start, (size_t)(r->data - start));
	return 0;
}

int
sync_entry_read(struct reader *r, bool is_dry, struct sync_entry *ret_entry,
		const char **ret_why)
{
	struct sync_entry e = { 0 };
	int rc = entry_read_node(r, &e, ret_why);

	if (rc == 0)
		rc = entry_read_range(r, &e, ret_why);
	if (rc == 0)
		rc = entry_read_count(r, &e, ret_why);
	if (rc == 0 && e.type == SYNC_KEYS)
		rc = entry_read_keys(r, &e, ret_why);
	else if (rc == 0)
		e.body = reader_take(r, (size_t)e.n * sync_entry_width(e.type, is_dry));
	if (rc == 0 && r->failed)
		rc = wire_fail("an entry is cut off", ret_why);
	if (rc == 0)
		*ret_entry = e;
	return rc;
}

/* Salted hashes. */

int
sync_k_bytes(bool is_dry)
{
	return is_dry ? 8 : 3;
}

int
sync_d_bytes(bool is_dry)
{
	return is_dry ? 4 : 3;
}

uint64_t
sync_cut_hash(uint64_t hash, int bytes)
{
	return bytes == 8 ? hash : hash & ((UINT64_C(1) << 8 * bytes) - 1);
}

void
sync_put_hash(struct buf *out, uint64_t hash, int bytes)
{
	uint8_t b[8];

	put_be64(b, hash);
	buf_put(out, b + sizeof(b) - bytes, (size_t)bytes);
}

uint64_t
sync_get_hash(const uint8_t *p, int bytes)
{
	uint64_t hash = 0;

	for (int i = 0; i < bytes; i++)
		hash = hash << 8 | p[i];
	return hash;
}

uint64_t
sync_salted_node(uint64_t salt, const struct sync_node *node,
		 const struct sync_digest *digest)
{
	uint8_t in[1 + 8 + 16 + 8];

	in[0] = (uint8_t)node->depth;
	memcpy(in + 1, node->prefix, 8); /* of at most 64 bits */
	put_be64(in + 9, digest->sum.hi);
	put_be64(in + 17, digest->sum.lo);
	put_be64(in + 25, digest->count);
	return hash64(bytes_of(in, sizeof(in)), salt);
}

uint64_t
sync_salted_k(uint64_t salt, const uint8_t k[SYNC_K_BYTES])
{
	return hash64(bytes_of(k, SYNC_K_BYTES), salt);
}

uint64_t
sync_salted_row(uint64_t salt, struct u128 digest)
{
	uint8_t in[16];

	put_be64(in, digest.hi);
	put_be64(in + 8, digest.lo);
	return hash64(bytes_of(in, sizeof(in)), salt);
}
