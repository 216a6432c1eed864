/* SPDX-License-Identifier: Apache-2.0 */
/* Byte strings: a borrowed view (`struct bytes`), an owned growing buffer (`struct buf`) and
 * a bounds-checked reader (`struct reader`). Integers are big-endian, so that encoded keys
 * sort as their numbers do.
 *
 * A reader never reads past its end: the first short read sets `failed`, every later read
 * gives zeros, and the caller checks once at the end with reader_done(). */
#ifndef OCF_BASE_BYTES_H
#define OCF_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *data; /* not owned; may be NULL when len is 0 */
	size_t len;
};

struct buf {
	uint8_t *data; /* owned; NULL until the first byte */
	size_t len;    /* bytes in use */
	size_t cap;    /* bytes allocated */
};

struct reader {
	const uint8_t *data;
	size_t len; /* bytes left */
	bool failed;
};

#define BYTES_NONE ((struct bytes){ NULL, 0 })

static inline struct bytes
bytes_of(const void *data, size_t len)
{
	return (struct bytes){ .data = data, .len = len };
}
/* The text without its NUL. */
struct bytes bytes_text(const char *text);
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_text(struct bytes a, const char *text);
/* Shorter first among equal prefixes, as memcmp(3) otherwise. */
int bytes_compare(struct bytes a, struct bytes b);

#define BUF_INIT ((struct buf){ NULL, 0, 0 })

/* Release the memory; the buffer is empty and usable again. */
void buf_fini(struct buf *b);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/* `len` uninitialised bytes at the end, counted as in use. */
uint8_t *buf_extend(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_bytes(struct buf *b, struct bytes v);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* A length of one, two or four bytes and then the bytes; longer than fits is a bug. */
void buf_put_bytes8(struct buf *b, struct bytes v);
void buf_put_bytes16(struct buf *b, struct bytes v);
void buf_put_bytes32(struct buf *b, struct bytes v);
void buf_put_text(struct buf *b, const char *text);
void buf_put_decimal(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Drop `len` bytes from the front. */
void buf_drop(struct buf *b, size_t len);
struct bytes buf_bytes(const struct buf *b);
/* The content with a NUL behind it (not counted); valid until the next change. */
const char *buf_text(struct buf *b);

struct reader reader_of(struct bytes v);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
/* A view of the next `len` bytes of the input; empty on failure. */
struct bytes reader_take(struct reader *r, size_t len);
struct bytes reader_bytes8(struct reader *r);
struct bytes reader_bytes16(struct reader *r);
struct bytes reader_bytes32(struct reader *r);
/* Copy `len` bytes out; zeros on failure. */
void reader_copy(struct reader *r, void *out, size_t len);
/* Everything was read and nothing failed. */
bool reader_done(const struct reader *r);

/* The number in decimal digits. Returns `out`. For where printf(3) would cost more than all
 * the rest. */
enum { DECIMAL_SIZE = 21 };
char *decimal_text(uint64_t v, char out[DECIMAL_SIZE]);

/* Store and load integers in place. */
void put_be16(uint8_t *p, uint16_t v);
void put_be32(uint8_t *p, uint32_t v);
void put_be64(uint8_t *p, uint64_t v);
uint16_t get_be16(const uint8_t *p);
uint32_t get_be32(const uint8_t *p);
uint64_t get_be64(const uint8_t *p);

#endif
