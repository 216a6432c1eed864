/* SPDX-License-Identifier: Apache-2.0 */
/* SYNC frames and their entries: what is written is read back the same, and whatever breaks
 * a bound is refused. */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/rng.h"
#include "lib/tap.h"
#include "sync/wire.h"

static struct rng rng;

static struct sync_node
node_random(int depth)
{
	struct sync_node node = { .depth = 0 };

	while (node.depth < depth)
		node = sync_node_child(&node, SYNC_STEP_BITS, (int)rng_below(&rng, 16));
	return node;
}

static void
test_frames(void)
{
	for (int type = SYNC_OPEN; type <= SYNC_APART; type++) {
		struct sync_frame f = { .type = (enum sync_frame_type)type,
					.sid = 0x01020304,
					.entries = bytes_text("entries") },
				  back;
		struct buf b = BUF_INIT, again = BUF_INIT;
		const char *why = NULL;

		if (type != SYNC_DIFFER && type != SYNC_ASK && type != SYNC_ANSWER)
			f.entries = BYTES_NONE;
		f.salt = rng_next(&rng);
		f.epoch = 77;
		f.horizon = 88;
		f.flags = SYNC_FLAG_DRY;
		f.root = (struct sync_digest){ { 1, 2 }, 3 };
		f.seq = 9;
		f.answered = 8;
		f.rows = 7;
		f.node.b[3] = 5;
		sync_frame_put(&b, &f);
		CU_ASSERT(sync_frame_read(buf_bytes(&b), &back, &why) == 0);
		sync_frame_put(&again, &back);
		CU_ASSERT(bytes_equal(buf_bytes(&b), buf_bytes(&again)));
		/* Cut anywhere before the entries, it is none. */
		for (size_t len = 0; len < b.len - f.entries.len; len++)
			CU_ASSERT(sync_frame_read(bytes_of(b.data, len), &back, &why) ==
					  -OCF_EMALFORMED &&
				  why != NULL);
		buf_fini(&b);
		buf_fini(&again);
	}
}

static void
test_frame_bounds(void)
{
	struct sync_frame f = { .type = SYNC_SAME, .sid = 1 }, back;
	struct buf b = BUF_INIT;
	const char *why;

	sync_frame_put(&b, &f);
	buf_put_u8(&b, 0);
	CU_ASSERT(sync_frame_read(buf_bytes(&b), &back, &why) == -OCF_EMALFORMED);
	CU_ASSERT(strstr(why, "left behind") != NULL);
	b.len--;
	for (int type = 0; type < 256; type++) {
		b.data[0] = (uint8_t)type;
		CU_ASSERT((sync_frame_read(buf_bytes(&b), &back, &why) == 0) ==
			  (type == SYNC_SAME || type == SYNC_END));
	}
	buf_clear(&b);
	f = (struct sync_frame){ .type = SYNC_OPEN, .flags = 0x10 };
	sync_frame_put(&b, &f);
	CU_ASSERT(b.len == SYNC_OPEN_BYTES);
	CU_ASSERT(sync_frame_read(buf_bytes(&b), &back, &why) == -OCF_EMALFORMED);
	CU_ASSERT(strstr(why, "flags") != NULL);
	buf_clear(&b);
	f = (struct sync_frame){ .type = SYNC_ASK };
	sync_frame_put(&b, &f);
	CU_ASSERT(b.len == SYNC_ASK_BYTES);
	buf_extend(&b, SYNC_PAYLOAD_BYTES_MAX);
	CU_ASSERT(sync_frame_read(buf_bytes(&b), &back, &why) == -OCF_EMALFORMED);
	CU_ASSERT(strstr(why, "too long") != NULL);
	buf_fini(&b);
}

/* An entry of `n` items (or none) as it should be. */
static void
entry_put(struct buf *b, enum sync_entry_type type, const struct sync_node *node, int n,
	  bool is_dry)
{
	sync_entry_put(b, type, node);
	if (type == SYNC_REST || type == SYNC_MORE || type == SYNC_PAGE ||
	    type == SYNC_SHOWN || type == SYNC_NAME)
		buf_put(b, node->prefix, SYNC_K_BYTES);
	if (type == SYNC_SHOWN) {
		memset(buf_extend(b, SYNC_K_BYTES), 0, SYNC_K_BYTES);
		buf_put_u16(b, (uint16_t)n);
	}
	if (type == SYNC_LIST || type == SYNC_REST || type == SYNC_WANT ||
	    type == SYNC_LEFT || type == SYNC_NAME || type == SYNC_KEYS)
		buf_put_u8(b, (uint8_t)n);
	if (type == SYNC_WANT)
		buf_put_u8(b, (uint8_t)(n / 2));
	if (type == SYNC_TOP)
		n = SYNC_TOP_FANOUT;
	if (type == SYNC_CHILDREN)
		n = SYNC_FANOUT;
	for (int i = 0; type == SYNC_KEYS && i < n; i++)
		buf_put_bytes8(b, bytes_text("key"));
	memset(buf_extend(b, (size_t)n * sync_entry_width(type, is_dry)), 0x5a,
	       (size_t)n * sync_entry_width(type, is_dry));
}

static void
test_entries(void)
{
	for (int i = 0; i < 20000; i++) {
		enum sync_entry_type type = 1 + (enum sync_entry_type)rng_below(
							&rng, SYNC_ENTRY_TYPES - 1);
		int depth = 4 * (int)rng_below(&rng, SYNC_DEPTH_MAX / 4);
		struct sync_node node = node_random(
			type == SYNC_TOP || type == SYNC_PAGE ? 0 : depth);
		int n = 1 + (int)rng_below(&rng, SYNC_LIST_ROWS_MAX);
		bool is_dry = rng_below(&rng, 2) == 0;
		struct buf b = BUF_INIT;
		struct sync_entry e;
		struct reader r;
		const char *why = NULL;

		entry_put(&b, type, &node, n, is_dry);
		buf_put_u8(&b, 0xee); /* of the next one */
		r = reader_of(buf_bytes(&b));
		CU_ASSERT_FATAL(sync_entry_read(&r, is_dry, &e, &why) == 0);
		CU_ASSERT(r.len == 1 && e.type == type &&
			  sync_node_equal(&e.node, &node));
		if (type != SYNC_KEYS)
			CU_ASSERT(e.body.len ==
				  (size_t)e.n * sync_entry_width(type, is_dry));
		r = reader_of(bytes_of(b.data, rng_below(&rng, b.len - 1)));
		CU_ASSERT(sync_entry_read(&r, is_dry, &e, &why) == -OCF_EMALFORMED);
		buf_fini(&b);
	}
}

static bool
entry_is_refused(struct buf *b, bool is_dry, const char *words)
{
	struct reader r = reader_of(buf_bytes(b));
	struct sync_entry e;
	const char *why = "";
	bool is_refused = sync_entry_read(&r, is_dry, &e, &why) == -OCF_EMALFORMED &&
			  strstr(why, words) != NULL;

	buf_fini(b);
	return is_refused;
}

static void
test_entry_bounds(void)
{
	struct sync_node top = { .depth = 0 }, deep = node_random(8),
			 odd = node_random(12), bottom = node_random(SYNC_DEPTH_MAX);
	struct buf b = BUF_INIT;

	entry_put(&b, SYNC_LIST, &deep, SYNC_LIST_ROWS_MAX + 1, false);
	CU_ASSERT(entry_is_refused(&b, false, "too long"));
	entry_put(&b, SYNC_LIST, &top, SYNC_SMALL_ROWS_MAX + 1, false);
	CU_ASSERT(entry_is_refused(&b, false, "too long"));
	entry_put(&b, SYNC_SHOWN, &top, SYNC_SHOWN_ROWS_MAX + 1, true);
	CU_ASSERT(entry_is_refused(&b, true, "too long"));
	entry_put(&b, SYNC_NAME, &deep, SYNC_NAME_ROWS_MAX + 1, true);
	CU_ASSERT(entry_is_refused(&b, true, "too long"));
	entry_put(&b, SYNC_WANT, &deep, 0, false);
	CU_ASSERT(entry_is_refused(&b, false, "counts wrongly"));
	entry_put(&b, SYNC_WANT, &deep, 4, false);
	b.data[3] = 5; /* m > n */
	CU_ASSERT(entry_is_refused(&b, false, "counts wrongly"));
	entry_put(&b, SYNC_LIST, &odd, 1, false);
	b.data[2] |= 1;
	CU_ASSERT(entry_is_refused(&b, false, "behind its depth"));
	entry_put(&b, SYNC_CHILDREN, &bottom, 0, false);
	CU_ASSERT(entry_is_refused(&b, false, "too deep"));
	entry_put(&b, SYNC_TOP, &deep, 0, false);
	CU_ASSERT(entry_is_refused(&b, false, "whole table"));
	entry_put(&b, SYNC_MORE, &deep, 0, false);
	b.data[2] ^= 1; /* `from` is another node's */
	CU_ASSERT(entry_is_refused(&b, false, "outside"));
	entry_put(&b, SYNC_SHOWN, &deep, 1, true);
	memcpy(b.data + 2 + SYNC_K_BYTES, b.data + 2, SYNC_K_BYTES); /* until = from */
	if (deep.prefix[0] != 0)
		CU_ASSERT(entry_is_refused(&b, true, "before it begins"));
	buf_fini(&b);
	entry_put(&b, SYNC_KEYS, &deep, 1, true);
	b.data[3] = SYNC_KEY_BYTES_MAX + 1;
	buf_extend(&b, 100);
	CU_ASSERT(entry_is_refused(&b, true, "too long"));
	for (int type = 0; type < 16; type++)
		if (type == 0 || type >= SYNC_ENTRY_TYPES) {
			buf_put_u8(&b, (uint8_t)(type << 4));
			CU_ASSERT(entry_is_refused(&b, false, "no known type"));
		}
}

static void
test_nodes(void)
{
	for (int i = 0; i < 1000; i++) {
		uint8_t k[SYNC_K_BYTES];
		struct sync_node node = { .depth = 0 };

		put_be64(k, rng_next(&rng));
		put_be64(k + 8, rng_next(&rng));
		CU_ASSERT(sync_node_has(&node, k));
		while (node.depth < SYNC_DEPTH_MAX) {
			int shift = node.depth % 8 == 0 ? 4 : 0;
			int nibble = k[node.depth / 8] >> shift & 0xf;
			struct sync_node child = sync_node_child(&node, SYNC_STEP_BITS,
								 nibble);
			struct sync_node other = sync_node_child(&node, SYNC_STEP_BITS,
								 nibble ^ 1);

			CU_ASSERT(sync_node_has(&child, k) && !sync_node_has(&other, k));
			CU_ASSERT(sync_node_is_child(&node, &child));
			CU_ASSERT(!sync_node_is_child(&child, &node));
			CU_ASSERT(!sync_node_is_child(&other, &child));
			node = child;
		}
	}
}

static void
test_salt(void)
{
	struct sync_digest d = { { 5, 6 }, 7 }, other = d;
	struct sync_node a = node_random(8), b = node_random(12);

	CU_ASSERT(sync_salted_node(1, &a, &d) == sync_salted_node(1, &a, &d));
	CU_ASSERT(sync_salted_node(1, &a, &d) != sync_salted_node(2, &a, &d));
	CU_ASSERT(sync_salted_node(1, &a, &d) != sync_salted_node(1, &b, &d));
	other.count++; /* the sum alone is not enough */
	CU_ASSERT(sync_salted_node(1, &a, &d) != sync_salted_node(1, &a, &other));
	CU_ASSERT(sync_salted_row(1, d.sum) != sync_salted_row(2, d.sum));
}

static const struct tap_test tests[] = {
	{ "frames are read as they were written, and not when cut", test_frames },
	{ "frames with more, or of other types or flags, are refused",
	  test_frame_bounds },
	{ "entries are read as they were written, and not when cut", test_entries },
	{ "entries that break a bound are refused, and it is said which",
	  test_entry_bounds },
	{ "a node has the keys that begin with it", test_nodes },
	{ "hashes depend on the salt, the node, the sum and the count", test_salt },
};

int
main(int argc, char **argv)
{
	rng_init(&rng, tap_seed());
	return TAP_MAIN(argc, argv, tests);
}
