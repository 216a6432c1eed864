/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP parser on any bytes: the first says how to cut the rest. Two parsers, one fed
 * everything, one fed pieces, must agree on all heads, bodies and errors. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
	struct buf text;
	bool is_over;
};

static void
seen_head(struct seen *s, const struct http_head *head)
{
	buf_printf(&s->text, "\n%s %s %s %d %lld %d %d\n", head->method, head->target,
		   head->host, head->minor, (long long)head->body_len, head->keep_alive,
		   head->expects_continue);
	assert(http_name_is_valid(head->method) && head->target[0] != '\0');
	assert(head->target[0] == '/' || strcmp(head->target, "*") == 0);
	assert(head->body_len >= -1 && head->headers_len <= HTTP_HEADERS_MAX);
	assert(head->minor == 0 || head->host[0] != '\0');
	for (int i = 0; i < head->headers_len; i++) {
		assert(http_name_is_valid(head->headers[i].name));
		assert(http_value_is_valid(head->headers[i].value));
		buf_printf(&s->text, "%s=%s\n", head->headers[i].name,
			   head->headers[i].value);
	}
}

/* The input is copied, so that a sanitizer sees a read past its end. */
static void
seen_feed(struct seen *s, struct http_parser *p, const uint8_t *data, size_t len)
{
	uint8_t *copy = mem_dup(data, len);
	struct http_event ev = { .kind = HTTP_HEAD };
	size_t at = 0;

	copy = mem_realloc(copy, len, 1);
	while (!s->is_over && ev.kind != HTTP_MORE) {
		at += http_parser_step(p, bytes_of(copy + at, len - at), &ev);
		assert(at <= len);
		if (ev.kind == HTTP_HEAD) {
			seen_head(s, ev.head);
		} else if (ev.kind == HTTP_BODY) {
			assert(ev.body.len > 0);
			buf_put_bytes(&s->text, ev.body);
		} else if (ev.kind == HTTP_END) {
			buf_put_text(&s->text, "\nend\n");
			http_parser_next(p);
		} else if (ev.kind == HTTP_ERROR) {
			assert(ev.status >= 400 && ev.status <= 505 && ev.why != NULL);
			buf_printf(&s->text, "\nerror %d %s\n", ev.status, ev.why);
			s->is_over = true;
		} else {
			assert(at == len);
		}
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_parser whole, cut;
	struct seen a = { 0 }, b = { 0 };
	size_t piece;

	if (len == 0)
		return 0;
	piece = (size_t)data[0] % 64 + 1;
	data++;
	len--;
	http_parser_init(&whole);
	http_parser_init(&cut);
	seen_feed(&a, &whole, data, len);
	for (size_t at = 0; at < len && !b.is_over; at += piece)
		seen_feed(&b, &cut, data + at, len - at < piece ? len - at : piece);
	assert(bytes_equal(buf_bytes(&a.text), buf_bytes(&b.text)));
	assert(a.is_over == b.is_over);
	assert(http_parser_is_idle(&whole) == http_parser_is_idle(&cut));
	http_parser_fini(&whole);
	http_parser_fini(&cut);
	buf_fini(&a.text);
	buf_fini(&b.text);
	return 0;
}
