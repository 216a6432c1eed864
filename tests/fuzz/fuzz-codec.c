/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and rows as they come from the disk and from peers: whatever decodes must encode
 * to the very bytes it was read from (canonical), and be a state that merging with itself
 * leaves alone. The first byte says which of the two the rest is. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "crdt/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not SHA-256: a fuzzer needs speed, the codec only needs some function of the bytes. */
static void
fuzz_hash(const void *data, size_t len, uint8_t out[ROW_HASH_BYTES])
{
	uint64_t h = hash64(bytes_of(data, len), 1);

	memset(out, 0, ROW_HASH_BYTES);
	put_be64(out, h);
}

static void
fuzz_same(struct buf *again, const uint8_t *data, const struct reader *r)
{
	assert(bytes_equal(buf_bytes(again), bytes_of(data, (size_t)(r->data - data))));
	buf_fini(again);
}

static void
fuzz_key(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(bytes_of(data, len));
	struct buf again = BUF_INIT;
	struct row_key key;

	if (codec_read_key(&r, &key) != 0) {
		assert(r.failed);
		return;
	}
	codec_put_key(&again, &key);
	fuzz_same(&again, data, &r);
}

static void
fuzz_row(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(bytes_of(data, len));
	struct buf again = BUF_INIT;
	struct row row, copy;

	if (codec_read_row(&r, fuzz_hash, &row) != 0) {
		assert(r.failed);
		return;
	}
	codec_put_row(&again, &row);
	fuzz_same(&again, data, &r);
	row_copy(&row, &copy);
	assert(row_equal(&row, &copy) && !row_merge(&copy, &row));
	row_fini(&copy);
	assert(row_merge(&copy, &row) && row_equal(&copy, &row));
	row_fini(&copy);
	row_fini(&row);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == 'k')
		fuzz_key(data + 1, len - 1);
	else
		fuzz_row(data + 1, len - 1);
	return 0;
}
