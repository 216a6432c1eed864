/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a dump, as people and their scripts may have changed it: it is refused with a
 * sentence that can be printed, or the row that it gives is written and read as the same
 * one again. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "table/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* As in fuzz-codec.c. */
static void
fuzz_hash(const void *data, size_t len, uint8_t out[ROW_HASH_BYTES])
{
	memset(out, 0, ROW_HASH_BYTES);
	put_be64(out, hash64(bytes_of(data, len), 1));
}

/* Of one line, and of UTF-8: it goes into JSON, and to a terminal. */
static void
fuzz_refused(int rc, const struct errmsg *err)
{
	assert(rc == -OCF_EMALFORMED || rc == -OCF_EVERSION);
	assert(err->text[0] != '\0' && utf8_is_valid(err->text));
	for (const char *p = err->text; *p != '\0'; p++)
		assert((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void
fuzz_head(struct bytes line)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct errmsg err = { "" };
	struct dump_head head;
	int rc = dump_read_head(line, &head, &err);

	if (rc != 0) {
		fuzz_refused(rc, &err);
		return;
	}
	dump_put_head(&head, 0, &once);
	rc = dump_read_head(buf_bytes(&once), &head, &err);
	assert(rc == 0);
	dump_put_head(&head, 0, &twice);
	assert(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bytes line = bytes_of(data, len);
	struct dump_line first, second;
	struct errmsg err = { "" };
	struct buf text = BUF_INIT;
	int rc;

	fuzz_head(line);
	rc = dump_read_line(line, 16384, fuzz_hash, &first, &err);
	if (rc != 0) {
		fuzz_refused(rc, &err);
		return 0;
	}
	if (first.is_end)
		return 0;
	dump_put_row(&first.key, &first.row, &text);
	assert(text.len <= DUMP_LINE_BYTES_MAX);
	rc = dump_read_line(buf_bytes(&text), 16384, fuzz_hash, &second, &err);
	assert(rc == 0 && !second.is_end);
	assert(row_key_compare(&first.key, &second.key) == 0);
	assert(row_equal(&first.row, &second.row));
	row_fini(&first.row);
	row_fini(&second.row);
	buf_fini(&text);
	return 0;
}
