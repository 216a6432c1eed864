/* SPDX-License-Identifier: Apache-2.0 */
/* What waits to be sent over a link: whose turn it is, and how much may wait. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "daemon/outbox.h"
#include "mesh/mesh.h"
#include "lib/tap.h"

enum { LONG_FRAME = 60 * 1024 };

/* A frame of `len` bytes of payload, the first of which (of at least 4) are its number. */
static bool
put(struct outbox *box, enum wire_class class, size_t len, uint32_t number)
{
	uint8_t *payload = mem_calloc(1, len);
	struct buf frame = BUF_INIT;
	bool is_good;

	put_be32(payload, number);
	wire_put_frame(&frame, WIRE_PING, 0, bytes_of(payload, len));
	is_good = outbox_put(box, class, 0, buf_bytes(&frame)) == OUTBOX_TAKEN;
	buf_fini(&frame);
	free(payload);
	return is_good;
}

/* The number of the next frame, -1 when there is none. */
static int64_t
take(struct outbox *box)
{
	enum wire_class class;
	struct bytes frame;

	if (!outbox_take(box, &frame, &class))
		return -1;
	CU_ASSERT(frame.len == WIRE_HEADER_BYTES + (size_t)get_be16(frame.data));
	return get_be32(frame.data + WIRE_HEADER_BYTES);
}

static void
test_the_most_urgent_goes_first(void)
{
	struct outbox box = { 0 };

	CU_ASSERT_EQUAL(take(&box), -1);
	put(&box, WIRE_CLASS_SYNC, 8, 5);
	put(&box, WIRE_CLASS_ROWS, 8, 3);
	put(&box, WIRE_CLASS_ROWS, 9, 4);
	CU_ASSERT_EQUAL(take(&box), 3);
	put(&box, WIRE_CLASS_HEARTBEAT, 8, 1);
	put(&box, WIRE_CLASS_CONTROL, 8, 2);
	for (int64_t i = 1; i <= 5; i++)
		if (i != 3)
			CU_ASSERT_EQUAL(take(&box), i);
	CU_ASSERT_EQUAL(take(&box), -1);
	outbox_fini(&box);
}

static void
test_queries_and_comparisons_share_by_halves(void)
{
	struct outbox box = { 0 };
	size_t queries = 0, syncs = 0;

	for (uint32_t i = 0; i < 100; i++) {
		put(&box, WIRE_CLASS_QUERY, 1000, 1);
		put(&box, WIRE_CLASS_SYNC, 3000, 2);
	}
	for (int i = 0; i < 80; i++) {
		if (take(&box) == 1)
			queries += 1000;
		else
			syncs += 3000;
	}
	CU_ASSERT(queries + 4000 >= syncs && syncs + 4000 >= queries);
	/* What one leaves is the other's. */
	while (outbox_has(&box, OUTBOX_SYNC))
		take(&box);
	CU_ASSERT_FALSE(outbox_has(&box, OUTBOX_QUERY));
	put(&box, WIRE_CLASS_SYNC, 8, 7);
	CU_ASSERT_EQUAL(take(&box), 7);
	outbox_fini(&box);
}

static void
test_much_that_is_passed_on(void)
{
	struct outbox box = { 0 };
	int n = 0;

	CU_ASSERT(put(&box, WIRE_CLASS_QUERY, 60000, 1));
	while (!outbox_is_loaded(&box) && n < 1000) {
		CU_ASSERT(put(&box, WIRE_CLASS_RELAY, 60000, 2));
		n++;
	}
	/* Far below where the link would be lost. */
	CU_ASSERT(n * 60000 > 8000000 && n * 60000 < 9000000);
	for (int i = 0; i < MESH_RELAYS_MAX * LIMIT_PARTS_WINDOW; i++)
		CU_ASSERT(put(&box, WIRE_CLASS_RELAY, 60000, 2));
	while (take(&box) >= 0)
		;
	CU_ASSERT(!outbox_is_loaded(&box));
	outbox_fini(&box);
}

static void
test_what_is_passed_on_has_at_most_half(void)
{
	struct outbox box = { 0 };
	size_t bytes[4] = { 0 };

	for (uint32_t i = 0; i < 300; i++) {
		put(&box, WIRE_CLASS_QUERY, 1000, 1);
		put(&box, WIRE_CLASS_SYNC, 2000, 2);
		put(&box, WIRE_CLASS_RELAY, 3000, 3);
		put(&box, WIRE_CLASS_RELAY, 3000, 3);
	}
	for (int i = 0; i < 200; i++) {
		int64_t which = take(&box);

		bytes[which] += 1000 * (size_t)which + WIRE_HEADER_BYTES;
		CU_ASSERT(bytes[3] <= bytes[1] + bytes[2] + 4000);
	}
	CU_ASSERT(bytes[3] + 4000 >= bytes[1] + bytes[2]);
	CU_ASSERT(bytes[1] + 3000 >= bytes[2] && bytes[2] + 3000 >= bytes[1]);
	/* What nobody else wants is for it. */
	while (outbox_has(&box, OUTBOX_QUERY) || outbox_has(&box, OUTBOX_SYNC))
		take(&box);
	CU_ASSERT(outbox_has(&box, OUTBOX_RELAY));
	CU_ASSERT_EQUAL(take(&box), 3);
	put(&box, WIRE_CLASS_QUERY, 8, 1);
	CU_ASSERT_EQUAL(take(&box), 1);
	outbox_fini(&box);
}

/* Something else always waits: of whatever goes over the link no more than half is bulk, and
 * one frame. */
static void
test_bulk_has_at_most_half(void)
{
	static const enum wire_class others[] = { WIRE_CLASS_CONTROL, WIRE_CLASS_ROWS,
						  WIRE_CLASS_ANNOUNCE, WIRE_CLASS_QUERY };
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int round = 0; round < 40; round++) {
		enum wire_class other = others[round % 4];
		size_t most = 8 + rng_below(&rng, LONG_FRAME);
		size_t bulk = 0, rest = 0, waits = 0, waiting = 0;
		struct outbox box = { 0 };

		for (int i = 0; i < 300; i++) {
			enum wire_class class;
			struct bytes frame;

			while (waits < 2) {
				size_t len = 4 + rng_below(&rng, most);

				put(&box, other, len, 1);
				waits++;
				waiting += len + WIRE_HEADER_BYTES;
			}
			put(&box, WIRE_CLASS_SYNC, 4 + rng_below(&rng, 48 * 1024), 2);
			CU_ASSERT_FATAL(outbox_take(&box, &frame, &class));
			if (get_be32(frame.data + WIRE_HEADER_BYTES) == 2) {
				bulk += frame.len;
			} else {
				rest += frame.len;
				waits--;
			}
			CU_ASSERT(bulk <= rest + LONG_FRAME);
		}
		CU_ASSERT(rest > 0 && waiting >= rest);
		/* What is more urgent than queries goes alone. */
		CU_ASSERT(other == WIRE_CLASS_QUERY ? bulk > 0 : bulk == 0);
		outbox_fini(&box);
	}
}

/* As a row, of `len` bytes with the header. */
static enum outbox_end
put_row(struct outbox *box, uint8_t type, uint64_t key, size_t len, uint32_t number)
{
	uint8_t *payload = mem_calloc(1, len);
	struct buf frames = BUF_INIT;
	enum outbox_end end;

	put_be32(payload, number);
	if (type == WIRE_ROWS)
		wire_put_rows(&frames, WIRE_ROWS, bytes_of(payload, len));
	else
		wire_put_frame(&frames, type, 0, bytes_of(payload, len));
	end = outbox_put(box, WIRE_CLASS_ROWS, key, buf_bytes(&frames));
	buf_fini(&frames);
	free(payload);
	return end;
}

static void
test_rows_of_one_key(void)
{
	struct outbox box = { 0 };

	for (uint32_t i = 0; i < 100; i++) {
		CU_ASSERT(put_row(&box, WIRE_ROWS, 10, 100, 1000 + i) == OUTBOX_TAKEN);
		CU_ASSERT(put_row(&box, WIRE_ROWS, 20, 100, 2000 + i) == OUTBOX_TAKEN);
		if (i % 10 == 0) /* a row of which nothing is known */
			CU_ASSERT(put_row(&box, WIRE_ROWS, 0, 100, i) == OUTBOX_TAKEN);
	}
	/* The latest of each, where the first stood. */
	CU_ASSERT_EQUAL(take(&box), 1099);
	CU_ASSERT_EQUAL(take(&box), 2099);
	for (uint32_t i = 0; i < 100; i += 10)
		CU_ASSERT_EQUAL(take(&box), i);
	CU_ASSERT(take(&box) == -1 && box.rows_bytes == 0);
	/* What is out is not replaced. */
	put_row(&box, WIRE_ROWS, 10, 100, 1);
	CU_ASSERT_EQUAL(take(&box), 1);
	put_row(&box, WIRE_ROWS, 10, 100, 2);
	CU_ASSERT_EQUAL(take(&box), 2);
	outbox_fini(&box);
}

static void
test_refreshes_in_the_queue(void)
{
	struct outbox box = { 0 };

	/* The value first, then the latest that goes on with it. */
	put_row(&box, WIRE_ROWS, 10, 100, 1);
	put_row(&box, WIRE_REFRESH, 10, WIRE_REFRESH_BYTES, 2);
	put_row(&box, WIRE_REFRESH, 10, WIRE_REFRESH_BYTES, 3);
	CU_ASSERT_EQUAL(take(&box), 1);
	CU_ASSERT_EQUAL(take(&box), 3);
	CU_ASSERT_EQUAL(take(&box), -1);
	/* A row says all that stands before it. */
	put_row(&box, WIRE_ROWS, 10, 100, 1);
	put_row(&box, WIRE_REFRESH, 10, WIRE_REFRESH_BYTES, 2);
	put_row(&box, WIRE_ROWS, 10, 100, 4);
	CU_ASSERT_EQUAL(take(&box), 4);
	CU_ASSERT_EQUAL(take(&box), -1);
	outbox_fini(&box);
}

/* One that is partly out goes on, and its successor stands behind it. */
static void
test_long_rows_are_not_cut(void)
{
	struct outbox box = { 0 };
	enum wire_class class;
	struct bytes frame;

	put_row(&box, WIRE_ROWS, 10, 150000, 1);
	CU_ASSERT_EQUAL(take(&box), 1);
	put_row(&box, WIRE_ROWS, 10, 150000, 2);
	put(&box, WIRE_CLASS_CONTROL, 8, 9);
	CU_ASSERT_EQUAL(take(&box), 9);
	for (int i = 0; i < 2; i++)
		CU_ASSERT(outbox_take(&box, &frame, &class) && class == WIRE_CLASS_ROWS &&
			  (frame.data[3] & WIRE_FLAG_MORE) ==
				  (i == 0 ? WIRE_FLAG_MORE : 0));
	CU_ASSERT_EQUAL(take(&box), 2);
	while (take(&box) >= 0)
		;
	CU_ASSERT(box.rows_bytes == 0);
	outbox_fini(&box);
}

/* What each frame is counted as. */
static void
test_classes(void)
{
	static const struct {
		enum wire_class class;
		uint8_t type;
	} frames[] = {
		{ WIRE_CLASS_HELLO, WIRE_HELLO },
		{ WIRE_CLASS_HEARTBEAT, WIRE_HEARTBEAT },
		{ WIRE_CLASS_CONTROL, WIRE_BEACON },
		{ WIRE_CLASS_ROWS, WIRE_REFRESH },
		{ WIRE_CLASS_ANNOUNCE, WIRE_PULL },
		{ WIRE_CLASS_SYNC, WIRE_SYNC_ROWS },
		{ WIRE_CLASS_QUERY, WIRE_QUERY_RELAY },
		{ WIRE_CLASS_RELAY, WIRE_QUERY_BODY },
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct outbox box = { 0 };
		struct buf frame = BUF_INIT;
		enum wire_class class = WIRE_CLASSES;
		struct bytes out;

		wire_put_frame(&frame, frames[i].type, 0, bytes_text("12345678"));
		outbox_put(&box, frames[i].class, 0, buf_bytes(&frame));
		CU_ASSERT(outbox_take(&box, &out, &class) && class == frames[i].class);
		buf_fini(&frame);
		outbox_fini(&box);
	}
}

static void
test_full_queues(void)
{
	struct outbox box = { 0 };
	uint32_t n = 0;

	while (n < 1000000 &&
	       put_row(&box, WIRE_ROWS, 1000 + 2 * n, 800, n) == OUTBOX_TAKEN)
		n++;
	CU_ASSERT(n > 4000 && box.rows_bytes <= 4 * 1024 * 1024);
	/* The next is left out; a new state of one that waits has a place. */
	CU_ASSERT(put_row(&box, WIRE_ROWS, 5, 800, 7) == OUTBOX_DROPPED);
	CU_ASSERT(put_row(&box, WIRE_ROWS, 1000, 800, 8) == OUTBOX_TAKEN);
	CU_ASSERT_EQUAL(take(&box), 8);
	CU_ASSERT_EQUAL(take(&box), 1);
	while (take(&box) >= 0)
		n--;
	CU_ASSERT(n == 2 && box.rows_bytes == 0);
	/* So with announcements. */
	n = 0;
	while (n < 1000 && put(&box, WIRE_CLASS_ANNOUNCE, 8000, n))
		n++;
	CU_ASSERT(n == 8);
	outbox_fini(&box);
}

static void
test_a_queue_over_its_cap_is_told(void)
{
	struct outbox box = { 0 };
	uint32_t n = 0;

	while (n < 1000 && put(&box, WIRE_CLASS_ROWS, LONG_FRAME, n))
		n++;
	CU_ASSERT(n == 4 * 1024 * 1024 / (LONG_FRAME + WIRE_HEADER_BYTES + 100));
	/* Others have room of their own; and so has this one, once some are out. */
	CU_ASSERT(put(&box, WIRE_CLASS_CONTROL, 8, n));
	CU_ASSERT_EQUAL(take(&box), n);
	CU_ASSERT_EQUAL(take(&box), 0);
	CU_ASSERT_EQUAL(take(&box), 1);
	CU_ASSERT(put(&box, WIRE_CLASS_ROWS, LONG_FRAME, n + 1));
	outbox_fini(&box);
}

static void
test_a_crowd_leaves_no_memory_behind(void)
{
	struct outbox box = { 0 };
	const uint32_t n = 1000;

	for (uint32_t i = 0; i < n; i++)
		CU_ASSERT(put(&box, WIRE_CLASS_QUERY, LONG_FRAME, i));
	for (uint32_t i = 0; i < n / 2; i++)
		CU_ASSERT_EQUAL(take(&box), i);
	for (uint32_t i = 0; i < n / 2; i++)
		CU_ASSERT(put(&box, WIRE_CLASS_QUERY, LONG_FRAME, n + i));
	for (uint32_t i = n / 2; i < n + n / 2; i++)
		CU_ASSERT_EQUAL(take(&box), i);
	CU_ASSERT_EQUAL(take(&box), -1);
	CU_ASSERT(box.queues[OUTBOX_QUERY].cap <= 256 * 1024);
	outbox_fini(&box);
}

static const struct tap_test tests[] = {
	{ "the most urgent frame goes first, those of one class in order",
	  test_the_most_urgent_goes_first },
	{ "queries and comparisons share by halves",
	  test_queries_and_comparisons_share_by_halves },
	{ "a link on which much waits that is passed on says so before it is lost",
	  test_much_that_is_passed_on },
	{ "what is passed on for others has at most half of a link that is wanted",
	  test_what_is_passed_on_has_at_most_half },
	{ "bulk has at most half of a link that others want, whatever their sizes",
	  test_bulk_has_at_most_half },
	{ "of rows with one key the latest waits, where the first stood",
	  test_rows_of_one_key },
	{ "a refresh stands behind the row whose value it has, and goes with it",
	  test_refreshes_in_the_queue },
	{ "a row of several frames is not cut off by its successor",
	  test_long_rows_are_not_cut },
	{ "each frame is counted in its class", test_classes },
	{ "rows and announcements above the cap are left out, and nothing else",
	  test_full_queues },
	{ "a queue over its cap is told, others have room",
	  test_a_queue_over_its_cap_is_told },
	{ "a crowd leaves in order, and no memory behind",
	  test_a_crowd_leaves_no_memory_behind },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
