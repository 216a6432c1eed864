/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar stands in the small functions at the top, each over one whole line; the
 * machine at the bottom only cuts lines and body bytes out of the input. What depends on
 * several headers is checked once, when the head is whole. Section numbers are RFC 9112's
 * unless said otherwise. */
#include "config.h"

#include "http/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum parser_state {
	STATE_START, /* before or inside the request line */
	STATE_HEADERS,
	STATE_BODY, /* `left` bytes */
	STATE_CHUNK_SIZE,
	STATE_CHUNK_DATA, /* `left` bytes */
	STATE_CHUNK_LF,	  /* the CR LF behind a chunk */
	STATE_TRAILERS,
	STATE_END,  /* HTTP_END is to be given */
	STATE_DONE, /* given; waits for http_parser_next() */
	STATE_ERROR,
};

enum {
	HTTP_CHUNK_DIGITS_MAX = 15,  /* below 2^60: sums stay in 64 bits */
	HTTP_LENGTH_DIGITS_MAX = 18, /* below 10^18 */
	HTTP_PORT_DIGITS_MAX = 5,
	HEADERS_CAP_MIN = 8, /* what most clients send */
	PARSER_KEPT_BYTES_MAX = 2048,
};

/* Classes of bytes, several of which one may belong to. */
enum {
	CHAR_TOKEN = 1, /* tchar of RFC 9110 §5.6.2 */
	CHAR_TARGET =
		2, /* RFC 3986's of path and query, and the brackets that browsers send */
	CHAR_ALNUM = 4,
	CHAR_VALUE = 8, /* of a header */
};

#define CHAR_WORD (CHAR_TOKEN | CHAR_TARGET | CHAR_ALNUM | CHAR_VALUE)
#define CHAR_BOTH (CHAR_TOKEN | CHAR_TARGET | CHAR_VALUE)

static const uint8_t char_classes[256] = {
	['\t'] = CHAR_VALUE,
	[' '] = CHAR_VALUE,
	['!'] = CHAR_BOTH,
	['"'] = CHAR_VALUE,
	['#'] = CHAR_TOKEN | CHAR_VALUE,
	['$' ... '\''] = CHAR_BOTH,
	['(' ... ')'] = CHAR_TARGET | CHAR_VALUE,
	['*' ... '+'] = CHAR_BOTH,
	[','] = CHAR_TARGET | CHAR_VALUE,
	['-' ... '.'] = CHAR_BOTH,
	['/'] = CHAR_TARGET | CHAR_VALUE,
	['0' ... '9'] = CHAR_WORD,
	[':' ... ';'] = CHAR_TARGET | CHAR_VALUE,
	['<'] = CHAR_VALUE,
	['='] = CHAR_TARGET | CHAR_VALUE,
	['>'] = CHAR_VALUE,
	['?' ... '@'] = CHAR_TARGET | CHAR_VALUE,
	['A' ... 'Z'] = CHAR_WORD,
	['['] = CHAR_TARGET | CHAR_VALUE,
	['\\'] = CHAR_VALUE,
	[']'] = CHAR_TARGET | CHAR_VALUE,
	['^'] = CHAR_TOKEN | CHAR_VALUE,
	['_'] = CHAR_BOTH,
	['`'] = CHAR_TOKEN | CHAR_VALUE,
	['a' ... 'z'] = CHAR_WORD,
	['{'] = CHAR_VALUE,
	['|'] = CHAR_TOKEN | CHAR_VALUE,
	['}'] = CHAR_VALUE,
	['~'] = CHAR_BOTH,
	[0x80 ... 0xff] = CHAR_VALUE,
};

static bool
char_is(uint8_t c, int classes)
{
	return (char_classes[c] & classes) != 0;
}

static bool
char_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int
char_hex(uint8_t c)
{
	if (char_is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
bytes_are(struct bytes v, int classes)
{
	for (size_t i = 0; i < v.len; i++)
		if (!char_is(v.data[i], classes))
			return false;
	return true;
}

static bool
bytes_are_token(struct bytes v)
{
	return v.len > 0 && bytes_are(v, CHAR_TOKEN);
}

static bool
bytes_are_value(struct bytes v)
{
	return bytes_are(v, CHAR_VALUE);
}

bool
http_name_is_valid(const char *name)
{
	return bytes_are_token(bytes_text(name));
}

bool
http_value_is_valid(const char *value)
{
	return bytes_are_value(bytes_text(value));
}

static bool
target_is_valid(struct bytes v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (!char_is(v.data[i], CHAR_TARGET))
			return false;
		if (v.data[i] == '%' && (i + 2 >= v.len || char_hex(v.data[i + 1]) < 0 ||
					 char_hex(v.data[i + 2]) < 0))
			return false;
	}
	return true;
}

/* A name, an IPv4 or a bracketed IPv6 address; then maybe a colon and a port. */
static bool
host_is_valid(struct bytes v)
{
	size_t i = 0, name_len, digits;

	if (v.len > 0 && v.data[0] == '[') {
		for (i = 1; i < v.len && v.data[i] != ']'; i++)
			if (char_hex(v.data[i]) < 0 && v.data[i] != ':' &&
			    v.data[i] != '.')
				return false;
		if (i < 3 || i == v.len)
			return false;
		i++;
	} else {
		while (i < v.len &&
		       (char_is(v.data[i], CHAR_ALNUM) ||
			(v.data[i] != '\0' && strchr("-._~", v.data[i]) != NULL)))
			i++;
	}
	name_len = i;
	if (name_len == 0 || i == v.len)
		return name_len > 0;
	if (v.data[i++] != ':')
		return false;
	for (digits = 0; i < v.len && char_is_digit(v.data[i]); i++)
		digits++;
	return i == v.len && digits <= HTTP_PORT_DIGITS_MAX;
}

static struct bytes
bytes_trim(struct bytes v)
{
	while (v.len > 0 && (v.data[0] == ' ' || v.data[0] == '\t'))
		v = bytes_of(v.data + 1, v.len - 1);
	while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t'))
		v.len--;
	return v;
}

static int
parser_fail(struct http_parser *p, int status, const char *why)
{
	p->state = STATE_ERROR;
	p->status = status;
	p->why = why;
	return -1;
}

/* Keep a text with a NUL; returns its offset. */
static uint32_t
parser_keep(struct http_parser *p, struct bytes v)
{
	size_t at = p->text.len;

	buf_put_bytes(&p->text, v);
	buf_put_u8(&p->text, '\0');
	return (uint32_t)at;
}

static uint32_t
parser_keep_lower(struct http_parser *p, struct bytes v)
{
	uint32_t at = parser_keep(p, v);

	for (uint8_t *c = p->text.data + at; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
	return at;
}

/* §3.2.2: the authority of an absolute target replaces the Host header. */
static int
parser_target_absolute(struct http_parser *p, struct bytes v)
{
	size_t scheme = 0, end;
	struct bytes authority, rest;

	if (v.len > 7 && strncasecmp((const char *)v.data, "http://", 7) == 0)
		scheme = 7;
	else if (v.len > 8 && strncasecmp((const char *)v.data, "https://", 8) == 0)
		scheme = 8;
	else
		return parser_fail(p, 400,
				   "the request target is neither a path nor an "
				   "http URL");
	for (end = scheme; end < v.len && v.data[end] != '/' && v.data[end] != '?';)
		end++;
	authority = bytes_of(v.data + scheme, end - scheme);
	rest = bytes_of(v.data + end, v.len - end);
	if (!host_is_valid(authority))
		return parser_fail(p, 400, "the host in the request target is not valid");
	p->has_host = true;
	p->host = parser_keep_lower(p, authority);
	p->target = (uint32_t)p->text.len;
	if (rest.len == 0 || rest.data[0] != '/')
		buf_put_u8(&p->text, '/');
	parser_keep(p, rest);
	return 0;
}

static int
parser_target(struct http_parser *p, struct bytes method, struct bytes v)
{
	if (bytes_equal_text(v, "*")) {
		if (!bytes_equal_text(method, "OPTIONS"))
			return parser_fail(p, 400, "only OPTIONS may ask for *");
		p->target = parser_keep(p, v);
		return 0;
	}
	if (v.len == 0 || !target_is_valid(v))
		return parser_fail(p, 400,
				   "the request target has a character that must be "
				   "percent-encoded, or a broken percent-encoding");
	if (v.data[0] != '/')
		return parser_target_absolute(p, v);
	p->target = parser_keep(p, v);
	return 0;
}

static int
parser_request_line(struct http_parser *p, struct bytes line)
{
	const uint8_t *end = line.data + line.len, *first, *second;
	struct bytes method, target, version;

	first = memchr(line.data, ' ', line.len);
	second = first != NULL ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
	if (second == NULL)
		return parser_fail(p, 400,
				   "the request line is not METHOD TARGET HTTP/1.1");
	method = bytes_of(line.data, (size_t)(first - line.data));
	target = bytes_of(first + 1, (size_t)(second - first - 1));
	version = bytes_of(second + 1, (size_t)(end - second - 1));
	if (!bytes_are_token(method))
		return parser_fail(p, 400, "the method is not a token");
	if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 ||
	    !char_is_digit(version.data[5]) || version.data[6] != '.' ||
	    !char_is_digit(version.data[7]))
		return parser_fail(p, 400, "the request line does not end in HTTP/1.1");
	if (version.data[5] != '1' || version.data[7] > '1')
		return parser_fail(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	if (method.len > HTTP_METHOD_BYTES_MAX || bytes_equal_text(method, "CONNECT") ||
	    bytes_equal_text(method, "TRACE"))
		return parser_fail(p, 501, "this method is not implemented");
	p->head.minor = version.data[7] - '0';
	p->method = parser_keep(p, method);
	return parser_target(p, method, target);
}

/* Name, colon, value: no blank before the colon, no folded line (§5.1, §5.2). */
static int
parser_field(struct http_parser *p, struct bytes line, struct bytes *ret_name,
	     struct bytes *ret_value)
{
	const uint8_t *colon = memchr(line.data, ':', line.len);
	struct bytes name, value;

	if (line.data[0] == ' ' || line.data[0] == '\t')
		return parser_fail(p, 400,
				   "a header line is folded or begins with a blank");
	if (colon == NULL)
		return parser_fail(p, 400, "a header line has no colon");
	name = bytes_of(line.data, (size_t)(colon - line.data));
	value = bytes_trim(bytes_of(colon + 1, line.len - name.len - 1));
	if (!bytes_are_token(name))
		return parser_fail(p, 400, "a header's name is not a token");
	if (!bytes_are_value(value))
		return parser_fail(p, 400, "a header's value has a control character");
	*ret_name = name;
	*ret_value = value;
	return 0;
}

static void
parser_grow_headers(struct http_parser *p)
{
	p->headers_cap = p->headers_cap == 0 ? HEADERS_CAP_MIN : 2 * p->headers_cap;
	p->headers = mem_realloc(p->headers, (size_t)p->headers_cap, sizeof(*p->headers));
	p->offsets = mem_realloc(p->offsets, (size_t)p->headers_cap, sizeof(*p->offsets));
}

static int
parser_header(struct http_parser *p, struct bytes line)
{
	struct bytes name, value;
	int n = p->head.headers_len;

	if (n == HTTP_HEADERS_MAX)
		return parser_fail(p, 431, "more than 100 headers");
	if (parser_field(p, line, &name, &value) < 0)
		return -1;
	if (n == p->headers_cap)
		parser_grow_headers(p);
	p->offsets[n].name = parser_keep_lower(p, name);
	p->offsets[n].value = parser_keep(p, value);
	p->head.headers_len = n + 1;
	if (!p->has_host &&
	    strcmp((char *)p->text.data + p->offsets[n].name, "host") == 0) {
		p->has_host = true;
		p->host = parser_keep_lower(p, value);
	}
	return 0;
}

/* §3.2: exactly one Host in HTTP/1.1, at most one before. */
static int
head_check_host(struct http_parser *p)
{
	struct http_head *head = &p->head;
	const char *host = http_head_get(head, "host");
	int n = http_head_count(head, "host");

	if (n > 1)
		return parser_fail(p, 400, "more than one Host header");
	if (n == 0 && head->minor == 1)
		return parser_fail(p, 400, "the Host header is missing");
	if (n == 1 && !host_is_valid(bytes_text(host)))
		return parser_fail(p, 400, "the Host header is not a host and port");
	return 0;
}

static int
head_check_length(struct http_parser *p, const char *length)
{
	size_t digits = strspn(length, "0123456789");
	int64_t n = 0;

	if (http_head_count(&p->head, "content-length") > 1)
		return parser_fail(p, 400, "more than one Content-Length header");
	if (digits == 0 || length[digits] != '\0')
		return parser_fail(p, 400, "Content-Length is not a number");
	for (; *length == '0'; length++)
		digits--;
	if (digits > HTTP_LENGTH_DIGITS_MAX)
		return parser_fail(p, 413, "Content-Length is beyond any limit");
	for (; *length != '\0'; length++)
		n = n * 10 + (*length - '0');
	p->head.body_len = n;
	return 0;
}

/* §6.1: a coding that we do not know is 501; one that does not end in chunked leaves the
 * body's end unknown; both headers at once is the classic smuggling attack. */
static int
head_check_coding(struct http_parser *p, const char *coding)
{
	size_t len = strlen(coding);

	if (p->head.minor == 0)
		return parser_fail(p, 400, "Transfer-Encoding in an HTTP/1.0 request");
	if (http_head_get(&p->head, "content-length") != NULL)
		return parser_fail(p, 400, "Content-Length beside Transfer-Encoding");
	if (http_head_count(&p->head, "transfer-encoding") > 1)
		return parser_fail(p, 400, "more than one Transfer-Encoding header");
	if (strcasecmp(coding, "chunked") != 0) {
		bool is_last = len > 8 && strcasecmp(coding + len - 7, "chunked") == 0 &&
			       strchr(", \t", coding[len - 8]) != NULL;

		return parser_fail(p, is_last ? 501 : 400,
				   "only the transfer coding chunked is understood");
	}
	p->head.body_len = -1;
	return 0;
}

static int
head_check_connection(struct http_parser *p)
{
	struct http_head *head = &p->head;
	const char *expect = http_head_get(head, "expect");
	bool is_closed = false, is_kept = false;

	for (int i = 0; i < head->headers_len; i++) {
		if (strcmp(head->headers[i].name, "connection") != 0)
			continue;
		is_closed |= http_list_has(head->headers[i].value, "close");
		is_kept |= http_list_has(head->headers[i].value, "keep-alive");
	}
	head->keep_alive = !is_closed && (head->minor == 1 || is_kept);
	if (expect != NULL && head->minor == 1) {
		if (strcasecmp(expect, "100-continue") != 0 ||
		    http_head_count(head, "expect") > 1)
			return parser_fail(p, 417, "Expect is not 100-continue");
		head->expects_continue = head->body_len != 0;
	}
	return 0;
}

static void
head_point(struct http_parser *p)
{
	const char *text = (const char *)p->text.data;

	p->head.method = text + p->method;
	p->head.target = text + p->target;
	p->head.host = p->has_host ? text + p->host : "";
	p->head.headers = p->headers;
	for (int i = 0; i < p->head.headers_len; i++) {
		p->headers[i].name = text + p->offsets[i].name;
		p->headers[i].value = text + p->offsets[i].value;
	}
}

static int
parser_head_end(struct http_parser *p)
{
	const char *coding, *length;
	int rc;

	head_point(p);
	if (head_check_host(p) < 0)
		return -1;
	coding = http_head_get(&p->head, "transfer-encoding");
	length = http_head_get(&p->head, "content-length");
	if (coding != NULL)
		rc = head_check_coding(p, coding);
	else if (length != NULL)
		rc = head_check_length(p, length);
	else
		rc = 0;
	if (rc < 0 || head_check_connection(p) < 0)
		return -1;
	p->left = p->head.body_len > 0 ? (uint64_t)p->head.body_len : 0;
	if (p->head.body_len < 0)
		p->state = STATE_CHUNK_SIZE;
	else
		p->state = p->left > 0 ? STATE_BODY : STATE_END;
	p->head_bytes = 0;
	return 1;
}

/* §7.1: digits, then maybe extensions, which are dropped. */
static int
parser_chunk_size(struct http_parser *p, struct bytes line)
{
	size_t i;

	p->left = 0;
	for (i = 0; i < line.len && char_hex(line.data[i]) >= 0; i++) {
		if (i == HTTP_CHUNK_DIGITS_MAX)
			return parser_fail(p, 400, "a chunk's size has too many digits");
		p->left = p->left * 16 + (uint64_t)char_hex(line.data[i]);
	}
	if (i == 0 || (i < line.len && line.data[i] != ';'))
		return parser_fail(p, 400, "a chunk's size is not a hexadecimal number");
	if (!bytes_are_value(line))
		return parser_fail(p, 400, "a chunk extension has a control character");
	p->extension_bytes += line.len - i;
	if (p->extension_bytes > HTTP_CHUNK_EXTENSIONS_BYTES_MAX)
		return parser_fail(p, 400, "too many bytes of chunk extensions");
	p->state = p->left > 0 ? STATE_CHUNK_DATA : STATE_TRAILERS;
	return 0;
}

/* Trailers are checked and dropped: nothing here wants them, and merging them into the
 * head would let a body overrule it (§7.1.2). */
static int
parser_trailer(struct http_parser *p, struct bytes line)
{
	struct bytes name, value;

	if (line.len == 0) {
		p->state = STATE_END;
		return 0;
	}
	if (++p->trailers > HTTP_HEADERS_MAX)
		return parser_fail(p, 431, "more than 100 trailers");
	return parser_field(p, line, &name, &value);
}

/* 1: the head is whole; 0: go on; -1: failed. */
static int
parser_line_take(struct http_parser *p, struct bytes line)
{
	switch (p->state) {
	case STATE_START:
		/* §2.2: an empty line before a request is forgiven, once. */
		if (line.len == 0 && !p->has_blank) {
			p->has_blank = true;
			return 0;
		}
		p->state = STATE_HEADERS;
		p->head_bytes = line.len + 2;
		return parser_request_line(p, line);
	case STATE_CHUNK_SIZE:
		return parser_chunk_size(p, line);
	case STATE_CHUNK_LF:
		p->state = STATE_CHUNK_SIZE;
		return 0;
	default:
		break;
	}
	p->head_bytes += line.len + 2;
	if (p->head_bytes > HTTP_HEAD_BYTES_MAX)
		return parser_fail(p, 431, "more than 64 KiB of headers");
	if (p->state == STATE_TRAILERS)
		return parser_trailer(p, line);
	return line.len == 0 ? parser_head_end(p) : parser_header(p, line);
}

static int
parser_line_too_long(struct http_parser *p)
{
	switch (p->state) {
	case STATE_START:
		return parser_fail(p, 414, "the request line is longer than 8 KiB");
	case STATE_CHUNK_SIZE:
		return parser_fail(p, 400,
				   "a chunk's size line is longer than 256 bytes");
	case STATE_CHUNK_LF:
		return parser_fail(p, 400, "a chunk is longer than its size says");
	default:
		return parser_fail(p, 431, "a header line is longer than 8 KiB");
	}
}

/* Cut one line from `in` and take it. As parser_line_take(). */
static int
parser_line(struct http_parser *p, struct bytes *in)
{
	size_t max = p->state == STATE_CHUNK_SIZE ? HTTP_CHUNK_LINE_BYTES_MAX
		     : p->state == STATE_CHUNK_LF ? 2
						  : HTTP_LINE_BYTES_MAX;
	const uint8_t *lf = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
	size_t n = lf != NULL ? (size_t)(lf - in->data) + 1 : in->len;
	struct bytes line = bytes_of(in->data, n);
	int rc;

	if (p->line.len + n > max || (lf == NULL && p->line.len + n == max))
		return parser_line_too_long(p);
	if (lf == NULL || p->line.len > 0) {
		buf_put(&p->line, in->data, n);
		line = buf_bytes(&p->line);
	}
	*in = bytes_of(in->data + n, in->len - n);
	if (lf == NULL)
		return 0;
	if (line.len < 2 || line.data[line.len - 2] != '\r')
		return parser_fail(p, 400, "a line ends in LF without CR");
	rc = parser_line_take(p, bytes_of(line.data, line.len - 2));
	buf_clear(&p->line);
	return rc;
}

static void
parser_body(struct http_parser *p, struct bytes *in, struct http_event *ev)
{
	size_t n = in->len < p->left ? in->len : (size_t)p->left;

	ev->kind = HTTP_BODY;
	ev->body = bytes_of(in->data, n);
	*in = bytes_of(in->data + n, in->len - n);
	p->left -= n;
	if (p->left == 0)
		p->state = p->state == STATE_BODY ? STATE_END : STATE_CHUNK_LF;
}

size_t
http_parser_step(struct http_parser *p, struct bytes input, struct http_event *ret_event)
{
	struct bytes in = input;
	struct http_event ev = { .kind = HTTP_MORE };

	while (ev.kind == HTTP_MORE) {
		if (p->state == STATE_ERROR) {
			ev.kind = HTTP_ERROR;
			ev.status = p->status;
			ev.why = p->why;
		} else if (p->state == STATE_END) {
			ev.kind = HTTP_END;
			p->state = STATE_DONE;
		} else if (p->state == STATE_DONE || in.len == 0) {
			break;
		} else if (p->state == STATE_BODY || p->state == STATE_CHUNK_DATA) {
			parser_body(p, &in, &ev);
		} else if (parser_line(p, &in) > 0) {
			ev.kind = HTTP_HEAD;
			ev.head = &p->head;
		}
	}
	*ret_event = ev;
	return input.len - in.len;
}

void
http_parser_init(struct http_parser *p)
{
	memset(p, 0, sizeof(*p));
}

void
http_parser_fini(struct http_parser *p)
{
	buf_fini(&p->line);
	buf_fini(&p->text);
	free(p->headers);
	free(p->offsets);
}

/* Memory is kept for the next request, unless an idle connection would hold much of it. */
static void
parser_reuse(struct buf *b)
{
	if (b->cap > PARSER_KEPT_BYTES_MAX)
		buf_fini(b);
	buf_clear(b);
}

void
http_parser_next(struct http_parser *p)
{
	struct http_parser kept = *p;

	assert(p->state == STATE_DONE);
	http_parser_init(p);
	p->line = kept.line;
	p->text = kept.text;
	p->headers_cap = kept.headers_cap;
	p->headers = kept.headers;
	p->offsets = kept.offsets;
	parser_reuse(&p->line);
	parser_reuse(&p->text);
}

bool
http_parser_is_idle(const struct http_parser *p)
{
	return p->state == STATE_START && p->line.len == 0;
}

static bool
header_has_name(const struct http_header *header, const char *name)
{
	/* Most differ in their first letter, which saves the call. */
	return header->name[0] == name[0] && strcmp(header->name, name) == 0;
}

const char *
http_head_get(const struct http_head *head, const char *name)
{
	for (int i = 0; i < head->headers_len; i++)
		if (header_has_name(&head->headers[i], name))
			return head->headers[i].value;
	return NULL;
}

int
http_head_count(const struct http_head *head, const char *name)
{
	int n = 0;

	for (int i = 0; i < head->headers_len; i++)
		n += header_has_name(&head->headers[i], name);
	return n;
}

bool
http_list_has(const char *value, const char *token)
{
	size_t len = strlen(token);

	while (*value != '\0') {
		size_t n = strcspn(value, ",");
		struct bytes item = bytes_trim(bytes_of(value, n));

		if (item.len == len &&
		    strncasecmp((const char *)item.data, token, len) == 0)
			return true;
		value += n + (value[n] == ',');
	}
	return false;
}

void
http_chunk_begin(struct buf *out, size_t len)
{
	char digits[2 * sizeof(len)];
	size_t at = sizeof(digits);

	assert(len > 0); /* it would end the body */
	for (; len > 0; len >>= 4)
		digits[--at] = "0123456789abcdef"[len & 0xf];
	buf_put(out, digits + at, sizeof(digits) - at);
	buf_put_text(out, "\r\n");
}
