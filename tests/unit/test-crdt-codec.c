/* SPDX-License-Identifier: Apache-2.0 */
/* One state, one encoding: what is decoded encodes to the same bytes, everything else is
 * refused. Also digests and stamps, which are small. */
#include "config.h"

#include "lib/tap.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/codec.h"
#include "crdt/digest.h"
#include "crdt/stamp.h"
#include "lib/sha256.h"

static void
random_version(struct rng *rng, uint64_t actor, bool is_removed, struct version *ret)
{
	struct version v = { .dot = { actor, 1 + rng_below(rng, UINT64_MAX - 1) } };
	uint8_t signature[ROW_SIGNATURE_BYTES];
	uint64_t others = rng_below(rng, ROW_CONTEXT_MAX), last = 0;

	v.stamp = rng_below(rng, ROW_STAMP_MAX);
	for (uint64_t i = 0; i < others; i++) {
		/* Beyond the actors of the row, so that nothing is covered. */
		last += 1 + rng_below(rng, 1000);
		v.context[v.context_len++] = (struct dot){ (1U << 20) + last, 1 + i };
	}
	if (rng_below(rng, 2) && v.dot.seq > 1) {
		memmove(&v.context[1], &v.context[0],
			v.context_len * sizeof(v.context[0]));
		v.context[0] = (struct dot){ actor, 1 + rng_below(rng, v.dot.seq - 1) };
		v.context_len++;
	}
	v.is_removed = is_removed;
	if (!is_removed) {
		size_t len = (size_t)rng_below(rng, 40);
		uint8_t *value = mem_calloc(len, 1);

		for (size_t i = 0; i < len; i++)
			value[i] = (uint8_t)rng_next(rng);
		v.value = bytes_of(value, len);
	}
	for (int i = 0; i < ROW_SIGNATURE_BYTES; i++)
		signature[i] = (uint8_t)rng_next(rng);
	version_seal(&v, signature, test_sha256);
	*ret = v;
}

static void
random_row(struct rng *rng, struct row *ret)
{
	uint64_t n = 1 + rng_below(rng, ROW_VERSIONS_MAX);

	*ret = ROW_INIT;
	for (uint64_t i = 0; i < n; i++)
		random_version(rng, 10 + i, rng_below(rng, 3) == 0,
			       &ret->versions[ret->len++]);
}

static void
test_round_trip(void)
{
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int n = 0; n < 2000; n++) {
		struct buf out = BUF_INIT, again = BUF_INIT;
		struct row row, back;
		struct reader r;

		random_row(&rng, &row);
		codec_put_row(&out, &row);
		r = reader_of(buf_bytes(&out));
		CU_ASSERT_FATAL(codec_read_row(&r, test_sha256, &back) == 0);
		CU_ASSERT(reader_done(&r));
		CU_ASSERT(row_equal(&row, &back));
		for (int i = 0; i < row.len; i++)
			CU_ASSERT(memcmp(row.versions[i].hash, back.versions[i].hash,
					 ROW_HASH_BYTES) == 0);
		codec_put_row(&again, &back);
		CU_ASSERT(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
		buf_fini(&out);
		buf_fini(&again);
		row_fini(&row);
		row_fini(&back);
	}
}

/* Cut anywhere, it is refused; in memory of its own, for a sanitizer to see a bad read.
 */
static void
test_truncated(void)
{
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int n = 0; n < 100; n++) {
		struct buf out = BUF_INIT;
		struct row row, back;

		random_row(&rng, &row);
		codec_put_row(&out, &row);
		for (size_t len = 0; len < out.len; len++) {
			uint8_t *cut = mem_alloc(len);
			struct reader r = reader_of(bytes_of(cut, len));

			memcpy(cut, out.data, len);
			CU_ASSERT_FATAL(codec_read_row(&r, test_sha256, &back) ==
					-OCF_EMALFORMED);
			CU_ASSERT(r.failed);
			free(cut);
		}
		buf_fini(&out);
		row_fini(&row);
	}
}

/* Any other bit anywhere: refused, or a different state with that very encoding. */
static void
test_every_bit(void)
{
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int n = 0; n < (tap_is_quick() ? 3 : 20); n++) {
		struct buf out = BUF_INIT;
		struct row row;

		random_row(&rng, &row);
		codec_put_row(&out, &row);
		for (size_t bit = 0; bit < out.len * 8; bit++) {
			struct buf again = BUF_INIT;
			struct row back;
			struct reader r;

			out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			r = reader_of(buf_bytes(&out));
			if (codec_read_row(&r, test_sha256, &back) == 0) {
				CU_ASSERT_FALSE(row_equal(&row, &back));
				codec_put_row(&again, &back);
				CU_ASSERT(
					bytes_equal(buf_bytes(&again),
						    bytes_of(out.data, out.len - r.len)));
				row_fini(&back);
			}
			out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			buf_fini(&again);
		}
		buf_fini(&out);
		row_fini(&row);
	}
}

/* A version's bytes as given, whether right or wrong. */
static void
put_raw(struct buf *out, struct dot dot, uint64_t stamp, uint64_t own,
	const struct dot *others, int n, uint16_t value_len)
{
	buf_put_u64(out, dot.actor);
	buf_put_u64(out, dot.seq);
	buf_put_u64(out, stamp);
	buf_put_u64(out, own);
	buf_put_u8(out, (uint8_t)n);
	buf_put_u16(out, value_len);
	for (int i = 0; i < n; i++) {
		buf_put_u64(out, others[i].actor);
		buf_put_u64(out, others[i].seq);
	}
	memset(buf_extend(out, ROW_SIGNATURE_BYTES), 7, ROW_SIGNATURE_BYTES);
	if (value_len != CODEC_VALUE_REMOVED)
		memset(buf_extend(out, value_len), 'v', value_len);
}

static int
read_raw(struct buf *out)
{
	struct reader r = reader_of(buf_bytes(out));
	struct row row;
	int rc = codec_read_row(&r, test_sha256, &row);

	if (rc == 0)
		row_fini(&row);
	buf_fini(out);
	return rc;
}

static int
read_one(uint64_t seq, uint64_t stamp, uint64_t own, const struct dot *others, int n,
	 uint16_t value_len)
{
	struct buf out = BUF_INIT;

	buf_put_u8(&out, 1);
	put_raw(&out, (struct dot){ 50, seq }, stamp, own, others, n, value_len);
	return read_raw(&out);
}

static void
test_version_refused(void)
{
	struct dot many[ROW_CONTEXT_MAX + 1], two[2] = { { 1, 1 }, { 2, 1 } };

	for (int i = 0; i <= ROW_CONTEXT_MAX; i++)
		many[i] = (struct dot){ 100 + (uint64_t)i, 1 };
	CU_ASSERT(read_one(5, 1, 4, two, 2, 3) == 0);
	CU_ASSERT(read_one(0, 1, 0, NULL, 0, 3) == -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, 1, 5, NULL, 0, 3) == -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, ROW_STAMP_MAX, 0, NULL, 0, 3) == 0);
	CU_ASSERT(read_one(5, ROW_STAMP_MAX + 1, 0, NULL, 0, 3) == -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, 1, 0, many, ROW_CONTEXT_MAX, 3) == 0);
	CU_ASSERT(read_one(5, 1, 1, many, ROW_CONTEXT_MAX, 3) == -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, 1, 0, many, ROW_CONTEXT_MAX + 1, 3) == -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, 1, 0, NULL, 0, LIMIT_VALUE_BYTES_MAX) == 0);
	CU_ASSERT(read_one(5, 1, 0, NULL, 0, LIMIT_VALUE_BYTES_MAX + 1) ==
		  -OCF_EMALFORMED);
	CU_ASSERT(read_one(5, 1, 0, NULL, 0, 0xfffe) == -OCF_EMALFORMED);
	two[1].actor = 1; /* twice */
	CU_ASSERT(read_one(5, 1, 0, two, 2, 3) == -OCF_EMALFORMED);
	two[1].actor = 0; /* descending */
	CU_ASSERT(read_one(5, 1, 0, two, 2, 3) == -OCF_EMALFORMED);
	two[1] = (struct dot){ 50, 1 }; /* the own actor among the others */
	CU_ASSERT(read_one(5, 1, 0, two, 2, 3) == -OCF_EMALFORMED);
	two[1] = (struct dot){ 51, 0 }; /* nothing seen */
	CU_ASSERT(read_one(5, 1, 0, two, 2, 3) == -OCF_EMALFORMED);
}

static void
test_row_refused(void)
{
	const struct dot one = { 1, 3 }, two = { 2, 1 };
	struct buf out = BUF_INIT;

	buf_put_u8(&out, 2);
	put_raw(&out, one, 1, 0, NULL, 0, 0);
	put_raw(&out, two, 1, 0, &(struct dot){ 1, 2 }, 1, 0);
	CU_ASSERT(read_raw(&out) == 0);
	buf_put_u8(&out, 0);
	CU_ASSERT(read_raw(&out) == -OCF_EMALFORMED);
	buf_put_u8(&out, ROW_VERSIONS_MAX + 1);
	for (uint64_t i = 1; i <= ROW_VERSIONS_MAX + 1; i++)
		put_raw(&out, (struct dot){ i, 1 }, 1, 0, NULL, 0, 0);
	CU_ASSERT(read_raw(&out) == -OCF_EMALFORMED);
	buf_put_u8(&out, 2); /* not ascending */
	put_raw(&out, two, 1, 0, NULL, 0, 0);
	put_raw(&out, one, 1, 0, NULL, 0, 0);
	CU_ASSERT(read_raw(&out) == -OCF_EMALFORMED);
	buf_put_u8(&out, 2); /* one dot twice */
	put_raw(&out, two, 1, 0, NULL, 0, 0);
	put_raw(&out, two, 1, 0, NULL, 0, 1);
	CU_ASSERT(read_raw(&out) == -OCF_EMALFORMED);
	buf_put_u8(&out, 2); /* the second covers the first */
	put_raw(&out, one, 1, 0, NULL, 0, 0);
	put_raw(&out, two, 1, 0, &one, 1, 0);
	CU_ASSERT(read_raw(&out) == -OCF_EMALFORMED);
}

static void
test_overhead(void)
{
	struct version v = { .dot = { 1, 2 }, .context_len = 1, .context = { { 1, 1 } } };
	struct id owner = { { 3 } };
	struct buf out = BUF_INIT;
	struct row_key key;
	struct row row;

	row_key_make(&owner, ROW_NODE, "", &key);
	v.value = bytes_of(mem_strdup("12345"), 5);
	version_seal(&v, (uint8_t[ROW_SIGNATURE_BYTES]){ 0 }, test_sha256);
	row_of_version(&v, &row);
	codec_put_key(&out, &key);
	codec_put_row(&out, &row);
	CU_ASSERT(out.len == CODEC_ROW_OVERHEAD_BYTES + 5);
	buf_fini(&out);
	row_fini(&row);
}

static void
test_keys(void)
{
	struct id owner = { { 1, 2, 3 } };
	struct row_key key, back;
	struct buf out = BUF_INIT;
	struct reader r;

	row_key_make(&owner, ROW_WORKER, "4094", &key);
	codec_put_key(&out, &key);
	r = reader_of(buf_bytes(&out));
	CU_ASSERT(codec_read_key(&r, &back) == 0 && reader_done(&r));
	CU_ASSERT(row_key_compare(&key, &back) == 0 && strcmp(back.name, "4094") == 0);
	for (size_t len = 0; len < out.len; len++) {
		r = reader_of(bytes_of(out.data, len));
		CU_ASSERT(codec_read_key(&r, &back) == -OCF_EMALFORMED);
	}
	out.data[17] = 200; /* a length beyond the limit */
	memset(buf_extend(&out, 300), '1', 300);
	r = reader_of(buf_bytes(&out));
	CU_ASSERT(codec_read_key(&r, &back) == -OCF_EMALFORMED);
	buf_fini(&out);
}

/* The layout of what is signed, spelled out once by hand: other programs rely on it. */
static void
test_signed_bytes(void)
{
	struct id cluster = { { 0xc1 } }, owner = { { 0x0a } };
	struct version v = { .dot = { 7, 9 },
			     .stamp = 258,
			     .context_len = 2,
			     .context = { { 3, 4 }, { 7, 8 } },
			     .is_removed = true };
	struct buf out = BUF_INIT;
	struct row_key key;
	char *hex;

	row_key_make(&owner, ROW_WORKER, "5", &key);
	codec_put_signed(&out, &cluster, &key, &v, test_sha256);
	hex = mem_calloc(2 * out.len + 1, 1);
	hex_encode(out.data, out.len, hex);
	CU_ASSERT_STRING_EQUAL(
		hex, "6f63662d726f772d3100"
		     "c1000000000000000000000000000000"
		     "0a000000000000000000000000000000"
		     "020135"
		     "000000000000000700000000000000090000000000000102"
		     "0000000000000008"
		     "01"
		     "00000000000000030000000000000004"
		     "01"
		     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	free(hex);
	buf_fini(&out);
}

static void
test_digests(void)
{
	struct id cluster = { { 1 } }, other = { { 2 } };
	uint8_t k[16], k2[16], block[32], in[28];
	struct table_key tk, tk2;
	struct row_key key;
	struct u128 a, b;

	table_key_derive(&cluster, test_sha256, &tk);
	table_key_derive(&other, test_sha256, &tk2);
	memcpy(in, "ocf-table-1", 11);
	memcpy(in + 11, cluster.b, ID_BYTES);
	in[27] = 5;
	test_sha256(in, sizeof(in), block);
	CU_ASSERT(memcmp(tk.b + 160, block, 32) == 0);
	row_key_make(&cluster, ROW_NODE, "", &key);
	digest_key(&tk, &key, test_sha256, k);
	digest_key(&tk2, &key, test_sha256, k2);
	CU_ASSERT(memcmp(k, k2, 16) != 0);
	a = digest_row(&tk, k, bytes_text("state"));
	CU_ASSERT(u128_equal(a, digest_row(&tk, k, bytes_text("state"))));
	CU_ASSERT_FALSE(u128_equal(a, digest_row(&tk, k2, bytes_text("state"))));
	CU_ASSERT_FALSE(u128_equal(a, digest_row(&tk2, k, bytes_text("state"))));
	b = digest_row(&tk, k2, bytes_text("other"));
	CU_ASSERT(u128_equal(u128_add(a, b), u128_add(b, a)));
	CU_ASSERT(u128_equal(u128_sub(u128_add(a, b), b), a));
}

static void
test_stamps(void)
{
	struct stamp_clock clock = { 0 };

	CU_ASSERT(stamp_next(&clock, -5) == 1);
	CU_ASSERT(stamp_next(&clock, 1000) == 1000);
	CU_ASSERT(stamp_next(&clock, 1000) == 1001);
	CU_ASSERT(stamp_next(&clock, 10) == 1002);
	stamp_seen(&clock, 5000);
	stamp_seen(&clock, 4000);
	CU_ASSERT(stamp_next(&clock, 2000) == 5001);
	CU_ASSERT(stamp_horizon(5, 10) == 0);
	CU_ASSERT(stamp_horizon(10 * MS_HOUR + 5, MS_HOUR) == 9 * MS_HOUR);
	CU_ASSERT(stamp_horizon(10 * MS_HOUR - 1, MS_HOUR) == 8 * MS_HOUR);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a row encodes and decodes to the same, byte for byte",
		  test_round_trip },
		{ "a row cut at any byte is refused", test_truncated },
		{ "a row with any bit flipped is refused or canonical", test_every_bit },
		{ "versions that nobody would encode are refused", test_version_refused },
		{ "states that no merge leaves are refused", test_row_refused },
		{ "a row costs 118 bytes beside its name and value", test_overhead },
		{ "keys encode, decode, and are refused when cut", test_keys },
		{ "the signed bytes are as documented", test_signed_bytes },
		{ "digests are keyed by cluster and key, and add up", test_digests },
		{ "stamps only rise; the horizon is in whole hours", test_stamps },
	};

	return TAP_MAIN(argc, argv, tests);
}
