/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/bytes.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BUF_CAP_MIN = 64 };

struct bytes
bytes_text(const char *text)
{
	return bytes_of(text, strlen(text));
}

bool
bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool
bytes_equal_text(struct bytes a, const char *text)
{
	return bytes_equal(a, bytes_text(text));
}

int
bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.data, b.data, n) : 0;

	if (c != 0)
		return c;
	return (a.len > b.len) - (a.len < b.len);
}

void
buf_fini(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
}

static void
buf_grow(struct buf *b, size_t more)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_CAP_MIN;

	assert(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
	while (cap < b->len + more)
		cap *= 2;
	b->data = mem_realloc(b->data, cap, 1);
	b->cap = cap;
}

/* Short, so that it becomes part of those who append. */
static void
buf_reserve(struct buf *b, size_t more)
{
	if (more > b->cap - b->len)
		buf_grow(b, more);
}

uint8_t *
buf_extend(struct buf *b, size_t len)
{
	uint8_t *p;

	buf_reserve(b, len);
	p = b->data + b->len;
	b->len += len;
	return p;
}

void
buf_put(struct buf *b, const void *data, size_t len)
{
	if (len > 0)
		memcpy(buf_extend(b, len), data, len);
}

void
buf_put_bytes(struct buf *b, struct bytes v)
{
	buf_put(b, v.data, v.len);
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
	*buf_extend(b, 1) = v;
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
	put_be16(buf_extend(b, 2), v);
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
	put_be32(buf_extend(b, 4), v);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	put_be64(buf_extend(b, 8), v);
}

void
buf_put_bytes8(struct buf *b, struct bytes v)
{
	assert(v.len <= UINT8_MAX);
	buf_put_u8(b, (uint8_t)v.len);
	buf_put_bytes(b, v);
}

void
buf_put_bytes16(struct buf *b, struct bytes v)
{
	assert(v.len <= UINT16_MAX);
	buf_put_u16(b, (uint16_t)v.len);
	buf_put_bytes(b, v);
}

void
buf_put_bytes32(struct buf *b, struct bytes v)
{
	assert(v.len <= UINT32_MAX);
	buf_put_u32(b, (uint32_t)v.len);
	buf_put_bytes(b, v);
}

void
buf_put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

char *
decimal_text(uint64_t v, char out[DECIMAL_SIZE])
{
	char digits[DECIMAL_SIZE], *to = out;
	int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	while (n > 0)
		*to++ = digits[--n];
	*to = '\0';
	return out;
}

void
buf_put_decimal(struct buf *b, uint64_t v)
{
	char text[DECIMAL_SIZE];

	buf_put_text(b, decimal_text(v, text));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	buf_reserve(b, (size_t)n + 1);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	b->len += (size_t)n;
}

void
buf_drop(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len -= len;
	if (b->len > 0)
		memmove(b->data, b->data + len, b->len);
}

struct bytes
buf_bytes(const struct buf *b)
{
	return bytes_of(b->data, b->len);
}

const char *
buf_text(struct buf *b)
{
	buf_reserve(b, 1);
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

struct reader
reader_of(struct bytes v)
{
	return (struct reader){ .data = v.data, .len = v.len };
}

struct bytes
reader_take(struct reader *r, size_t len)
{
	struct bytes v;

	if (r->failed || len > r->len) {
		r->failed = true;
		return BYTES_NONE;
	}
	v = bytes_of(r->data, len);
	if (len > 0)
		r->data += len;
	r->len -= len;
	return v;
}

void
reader_copy(struct reader *r, void *out, size_t len)
{
	struct bytes v = reader_take(r, len);

	if (r->failed)
		memset(out, 0, len);
	else if (len > 0)
		memcpy(out, v.data, len);
}

uint8_t
reader_u8(struct reader *r)
{
	struct bytes v = reader_take(r, 1);

	return v.len == 1 ? v.data[0] : 0;
}

uint16_t
reader_u16(struct reader *r)
{
	struct bytes v = reader_take(r, 2);

	return v.len == 2 ? get_be16(v.data) : 0;
}

uint32_t
reader_u32(struct reader *r)
{
	struct bytes v = reader_take(r, 4);

	return v.len == 4 ? get_be32(v.data) : 0;
}

uint64_t
reader_u64(struct reader *r)
{
	struct bytes v = reader_take(r, 8);

	return v.len == 8 ? get_be64(v.data) : 0;
}

struct bytes
reader_bytes8(struct reader *r)
{
	return reader_take(r, reader_u8(r));
}

struct bytes
reader_bytes16(struct reader *r)
{
	return reader_take(r, reader_u16(r));
}

struct bytes
reader_bytes32(struct reader *r)
{
	return reader_take(r, reader_u32(r));
}

bool
reader_done(const struct reader *r)
{
	return !r->failed && r->len == 0;
}

void
put_be16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

void
put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

void
put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

uint16_t
get_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

uint32_t
get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

uint64_t
get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}
