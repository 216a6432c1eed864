/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/query.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

static char *
query_text_copy(const char *text)
{
	return text != NULL ? mem_strdup(text) : NULL;
}

void
query_headers_add(struct query_headers *h, const char *name, const char *value)
{
	h->items = mem_realloc(h->items, (size_t)h->len + 1, sizeof(h->items[0]));
	h->items[h->len].name = mem_strdup(name);
	h->items[h->len].value = mem_strdup(value);
	h->len++;
}

void
query_headers_join(struct query_headers *h, const char *name, const char *value)
{
	for (int i = 0; i < h->len; i++) {
		struct query_header *item = &h->items[i];
		char *both;

		if (strcmp(item->name, name) != 0)
			continue;
		both = mem_printf("%s, %s", item->value, value);
		free(item->value);
		item->value = both;
		return;
	}
	query_headers_add(h, name, value);
}

const char *
query_headers_get(const struct query_headers *h, const char *name)
{
	for (int i = 0; i < h->len; i++)
		if (strcasecmp(h->items[i].name, name) == 0)
			return h->items[i].value;
	return NULL;
}

void
query_headers_copy(const struct query_headers *from, struct query_headers *ret)
{
	*ret = (struct query_headers){ 0 };
	for (int i = 0; i < from->len; i++)
		query_headers_add(ret, from->items[i].name, from->items[i].value);
}

void
query_headers_fini(struct query_headers *h)
{
	for (int i = 0; i < h->len; i++) {
		free(h->items[i].name);
		free(h->items[i].value);
	}
	free(h->items);
	*h = (struct query_headers){ 0 };
}

void
query_head_copy(const struct query_head *from, struct query_head *ret)
{
	*ret = *from;
	ret->request_id = query_text_copy(from->request_id);
	ret->service = query_text_copy(from->service);
	ret->selector = query_text_copy(from->selector);
	ret->method = query_text_copy(from->method);
	ret->path = query_text_copy(from->path);
	ret->content_type = query_text_copy(from->content_type);
	ret->traceparent = query_text_copy(from->traceparent);
	query_headers_copy(&from->headers, &ret->headers);
}

void
query_head_fini(struct query_head *q)
{
	free(q->request_id);
	free(q->service);
	free(q->selector);
	free(q->method);
	free(q->path);
	free(q->content_type);
	free(q->traceparent);
	query_headers_fini(&q->headers);
	*q = (struct query_head){ 0 };
}

void
reply_head_copy(const struct reply_head *from, struct reply_head *ret)
{
	*ret = *from;
	ret->content_type = query_text_copy(from->content_type);
	ret->worker = query_text_copy(from->worker);
	query_headers_copy(&from->headers, &ret->headers);
}

void
reply_head_fini(struct reply_head *r)
{
	free(r->content_type);
	free(r->worker);
	query_headers_fini(&r->headers);
	*r = (struct reply_head){ 0 };
}

void
query_error_set(struct query_error *e, int status, const char *fmt, ...)
{
	char text[QUERY_ERROR_BYTES_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*e = (struct query_error){ .status = status, .text = mem_strdup(text) };
}

void
query_error_copy(const struct query_error *from, struct query_error *ret)
{
	*ret = *from;
	ret->text = query_text_copy(from->text);
	ret->worker = query_text_copy(from->worker);
}

void
query_error_fini(struct query_error *e)
{
	free(e->text);
	free(e->worker);
	*e = (struct query_error){ 0 };
}

/* A text is two bytes of length and its bytes; NULL has the length 0xffff. */
enum { QUERY_TEXT_NULL = 0xffff };

static void
query_put_text(struct buf *out, const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (text == NULL) {
		buf_put_u16(out, QUERY_TEXT_NULL);
		return;
	}
	assert(len <= QUERY_HEAD_BYTES_MAX);
	buf_put_u16(out, (uint16_t)len);
	buf_put(out, text, len);
}

/* `allow_lines`: an error's text may hold line ends and tabs. */
static char *
query_read_text(struct reader *r, size_t max, bool is_required, bool allow_lines)
{
	uint16_t len = reader_u16(r);
	struct bytes v;

	if (len == QUERY_TEXT_NULL && !r->failed) {
		r->failed = is_required;
		return NULL;
	}
	if (len > max)
		r->failed = true;
	v = reader_take(r, len);
	for (size_t i = 0; i < v.len; i++) {
		bool is_line = v.data[i] == '\n' || v.data[i] == '\r';

		if (v.data[i] == '\0' || (is_line && !allow_lines))
			r->failed = true;
	}
	return r->failed ? NULL : mem_dup(v.data, v.len);
}

static void
query_put_headers(struct buf *out, const struct query_headers *h)
{
	assert(h->len <= QUERY_HEADERS_MAX);
	buf_put_u8(out, (uint8_t)h->len);
	for (int i = 0; i < h->len; i++) {
		query_put_text(out, h->items[i].name);
		query_put_text(out, h->items[i].value);
	}
}

static void
query_read_headers(struct reader *r, struct query_headers *ret)
{
	int len = reader_u8(r);

	*ret = (struct query_headers){ 0 };
	if (len > QUERY_HEADERS_MAX)
		r->failed = true;
	for (int i = 0; i < len && !r->failed; i++) {
		char *name = query_read_text(r, QUERY_HEAD_BYTES_MAX, true, false);
		char *value = query_read_text(r, QUERY_HEAD_BYTES_MAX, true, false);

		if (!r->failed)
			query_headers_add(ret, name, value);
		free(name);
		free(value);
	}
}

static size_t
query_text_len(const char *text)
{
	return sizeof(uint16_t) + (text != NULL ? strlen(text) : 0);
}

static size_t
query_headers_len(const struct query_headers *h)
{
	size_t len = sizeof(uint8_t);

	for (int i = 0; i < h->len; i++)
		len += query_text_len(h->items[i].name) +
		       query_text_len(h->items[i].value);
	return len;
}

size_t
query_head_len(const struct query_head *q)
{
	return query_text_len(q->request_id) + query_text_len(q->service) +
	       query_text_len(q->selector) + query_text_len(q->method) +
	       query_text_len(q->path) + query_text_len(q->content_type) +
	       query_text_len(q->traceparent) + query_headers_len(&q->headers) +
	       4 * sizeof(uint8_t) + ID_BYTES + 2 * sizeof(uint64_t);
}

size_t
reply_head_len(const struct reply_head *rh)
{
	return sizeof(uint16_t) + query_text_len(rh->content_type) +
	       query_headers_len(&rh->headers) + ID_BYTES + query_text_len(rh->worker);
}

void
query_head_put(struct buf *out, const struct query_head *q)
{
	query_put_text(out, q->request_id);
	query_put_text(out, q->service);
	query_put_text(out, q->selector);
	query_put_text(out, q->method);
	query_put_text(out, q->path);
	query_put_text(out, q->content_type);
	query_put_text(out, q->traceparent);
	query_put_headers(out, &q->headers);
	buf_put_u8(out, q->fallback);
	buf_put_u8(out, q->is_idempotent);
	buf_put_u8(out, q->hops);
	buf_put_u8(out, q->attempt);
	buf_put(out, q->pin.b, ID_BYTES);
	buf_put_u64(out, (uint64_t)q->body_len);
	buf_put_u64(out, (uint64_t)q->timeout_ms);
}

int
query_head_read(struct reader *r, struct query_head *ret_q)
{
	struct query_head q = { 0 };

	q.request_id = query_read_text(r, QUERY_REQUEST_ID_BYTES_MAX, true, false);
	q.service = query_read_text(r, QUERY_HEAD_BYTES_MAX, true, false);
	q.selector = query_read_text(r, QUERY_HEAD_BYTES_MAX, false, false);
	q.method = query_read_text(r, QUERY_HEAD_BYTES_MAX, true, false);
	q.path = query_read_text(r, QUERY_HEAD_BYTES_MAX, true, false);
	q.content_type = query_read_text(r, QUERY_HEAD_BYTES_MAX, false, false);
	q.traceparent = query_read_text(r, QUERY_HEAD_BYTES_MAX, false, false);
	query_read_headers(r, &q.headers);
	q.fallback = reader_u8(r);
	q.is_idempotent = reader_u8(r) != 0;
	q.hops = reader_u8(r);
	q.attempt = reader_u8(r);
	reader_copy(r, q.pin.b, ID_BYTES);
	q.body_len = (int64_t)reader_u64(r);
	q.timeout_ms = (ms_t)reader_u64(r);
	if (r->failed || q.fallback > 2 || q.body_len < -1 || q.timeout_ms < 0 ||
	    !query_service_is_valid(q.service) || !utf8_is_valid(q.request_id)) {
		r->failed = true;
		query_head_fini(&q);
		return -OCF_EMALFORMED;
	}
	*ret_q = q;
	return 0;
}

void
reply_head_put(struct buf *out, const struct reply_head *rh)
{
	buf_put_u16(out, (uint16_t)rh->status);
	query_put_text(out, rh->content_type);
	query_put_headers(out, &rh->headers);
	buf_put(out, rh->node.b, ID_BYTES);
	query_put_text(out, rh->worker);
}

int
reply_head_read(struct reader *r, struct reply_head *ret_rh)
{
	struct reply_head rh = { 0 };

	rh.status = reader_u16(r);
	rh.content_type = query_read_text(r, QUERY_HEAD_BYTES_MAX, false, false);
	query_read_headers(r, &rh.headers);
	reader_copy(r, rh.node.b, ID_BYTES);
	rh.worker = query_read_text(r, LIMIT_WORKER_ID_BYTES_MAX, false, false);
	if (r->failed || rh.status < 200 || rh.status > 599) {
		r->failed = true;
		reply_head_fini(&rh);
		return -OCF_EMALFORMED;
	}
	*ret_rh = rh;
	return 0;
}

void
query_error_put(struct buf *out, const struct query_error *e)
{
	buf_put_u16(out, (uint16_t)e->status);
	query_put_text(out, e->text);
	buf_put_u32(out, (uint32_t)e->retry_after_s);
	buf_put_u8(out, e->is_taken);
	buf_put(out, e->node.b, ID_BYTES);
	query_put_text(out, e->worker);
}

int
query_error_read(struct reader *r, struct query_error *ret_e)
{
	struct query_error e = { 0 };
	uint32_t after;

	e.status = reader_u16(r);
	e.text = query_read_text(r, QUERY_ERROR_BYTES_MAX, true, true);
	after = reader_u32(r);
	e.retry_after_s = after > 86400 ? 86400 : (int)after;
	e.is_taken = reader_u8(r) != 0;
	reader_copy(r, e.node.b, ID_BYTES);
	e.worker = query_read_text(r, LIMIT_WORKER_ID_BYTES_MAX, false, false);
	if (r->failed || e.status < 400 || e.status > 599) {
		r->failed = true;
		query_error_fini(&e);
		return -OCF_EMALFORMED;
	}
	*ret_e = e;
	return 0;
}

bool
query_service_is_plain(const char *name)
{
	size_t len = strlen(name), first = strcspn(name, ".");

	if (len < 1 || len > LIMIT_SERVICE_BYTES_MAX || name[0] == '$' || name[0] == '_')
		return false;
	if ((first == 3 && strncmp(name, "ocf", 3) == 0) ||
	    (first == 13 && strncmp(name, "worker:status", 13) == 0))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < 0x21 || name[i] > 0x7e || name[i] == '*' || name[i] == '>')
			return false;
		if (name[i] == '.' && (i == 0 || i + 1 == len || name[i + 1] == '.'))
			return false;
	}
	return true;
}

bool
query_service_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > LIMIT_SERVICE_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return utf8_is_valid(name);
}

bool
query_is_repeatable(const char *method, const char *key)
{
	static const char *const list[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (strcmp(method, list[i]) == 0)
			return true;
	return key != NULL && key[0] != '\0';
}

bool
query_selector_is_valid(const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = strlen(text);

	if (len > LIMIT_MATCH_BYTES_MAX || equals == NULL || equals == text ||
	    equals[1] == '\0')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return utf8_is_valid(text);
}

bool
query_match_serves(char *const *match, int n, const char *selector, int fallback)
{
	size_t key;

	if (n == 0 || selector == NULL)
		return true;
	key = strcspn(selector, "=") + 1;
	for (int i = 0; i < n; i++) {
		if (strcmp(match[i], selector) == 0)
			return true;
		if (fallback >= 1 && strncmp(match[i], selector, key) == 0 &&
		    strcmp(match[i] + key, "*") == 0)
			return true;
		if (fallback >= 2 && strcmp(match[i], "all") == 0)
			return true;
	}
	return false;
}
