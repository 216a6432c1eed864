/* SPDX-License-Identifier: Apache-2.0 */
/* The parser as a table: an input, and the trace of what it must become. Every input is
 * cut at every place, and fed byte by byte; the trace must stay the same. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "http/parse.h"
#include "lib/tap.h"

#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define CHUNKS POST "Transfer-Encoding: chunked\r\n\r\n"
#define HEAD "POST / a/1.1 len=-1 ka|"

/* What happened, as text: "POST /a?b host/1.1 len=5 ka|body|end|", or "!400". */
struct trace {
	struct buf text;
	bool in_body;
	bool is_over;
};

static void
trace_event(struct trace *t, const struct http_event *ev)
{
	const struct http_head *head = ev->head;

	if (ev->kind != HTTP_BODY && ev->kind != HTTP_MORE && t->in_body) {
		buf_put_text(&t->text, "|");
		t->in_body = false;
	}
	switch (ev->kind) {
	case HTTP_HEAD:
		buf_printf(&t->text, "%s %s %s/1.%d len=%lld%s%s", head->method,
			   head->target, head->host, head->minor,
			   (long long)head->body_len, head->keep_alive ? " ka" : "",
			   head->expects_continue ? " 100" : "");
		for (int i = 0; i < head->headers_len; i++)
			if (head->headers[i].name[0] == 'x')
				buf_printf(&t->text, " %s=[%s]", head->headers[i].name,
					   head->headers[i].value);
		buf_put_text(&t->text, "|");
		break;
	case HTTP_BODY:
		t->in_body = true;
		buf_put_bytes(&t->text, ev->body);
		break;
	case HTTP_END:
		buf_put_text(&t->text, "end|");
		break;
	case HTTP_ERROR:
		buf_printf(&t->text, "!%d", ev->status);
		t->is_over = true;
		break;
	case HTTP_MORE:
		break;
	}
}

static void
trace_feed(struct trace *t, struct http_parser *p, struct bytes in)
{
	struct http_event ev = { .kind = HTTP_HEAD };
	/* A copy of its exact size, so that a sanitizer sees a read past the end. */
	uint8_t *copy = mem_alloc(in.len);
	size_t at = 0;

	if (in.len > 0)
		memcpy(copy, in.data, in.len);
	while (ev.kind != HTTP_MORE && !t->is_over) {
		at += http_parser_step(p, bytes_of(copy + at, in.len - at), &ev);
		trace_event(t, &ev);
		if (ev.kind == HTTP_END)
			http_parser_next(p);
	}
	CU_ASSERT(at == in.len || t->is_over);
	free(copy);
}

/* `cut` SIZE_MAX: byte by byte. */
static char *
trace_of(struct bytes in, size_t cut)
{
	struct http_parser p;
	struct trace t = { 0 };
	char *text;

	http_parser_init(&p);
	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < in.len && !t.is_over; i++)
			trace_feed(&t, &p, bytes_of(in.data + i, 1));
	} else {
		trace_feed(&t, &p, bytes_of(in.data, cut));
		if (!t.is_over)
			trace_feed(&t, &p, bytes_of(in.data + cut, in.len - cut));
	}
	if (!t.is_over && !http_parser_is_idle(&p))
		buf_put_text(&t.text, "...");
	http_parser_fini(&p);
	text = mem_strdup(buf_text(&t.text));
	buf_fini(&t.text);
	return text;
}

static void
expect_cut(struct bytes in, const char *wanted, size_t cut)
{
	char *got = trace_of(in, cut), *shown;

	if (strcmp(got, wanted) != 0) {
		shown = mem_dup(in.data, in.len < 60 ? in.len : 60);
		for (char *c = shown; *c != '\0'; c++)
			if (*c < ' ')
				*c = '~';
		tap_note("%s cut at %zd: %.80s, wanted %.80s", shown, (ssize_t)cut, got,
			 wanted);
		free(shown);
		CU_FAIL("another trace");
	}
	free(got);
}

static void
expect(struct bytes in, const char *wanted)
{
	size_t step = in.len > 1000 ? in.len / 7 : 1;

	for (size_t cut = 0; cut <= in.len; cut += step)
		expect_cut(in, wanted, cut);
	expect_cut(in, wanted, SIZE_MAX);
}

struct parse_case {
	const char *in;
	const char *trace;
	size_t len; /* where the input has a NUL */
};

static void
expect_all(const struct parse_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = cases[i].len > 0 ? cases[i].len : strlen(cases[i].in);

		expect(bytes_of(cases[i].in, len), cases[i].trace);
	}
}
#define EXPECT_ALL(cases) expect_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void
test_valid_requests(void)
{
	static const struct parse_case cases[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", "GET / a/1.1 len=0 ka|end|", 0 },
		{ "\r\nGET /a?b=%20&c[]=1 HTTP/1.1\r\nHOST:\t A.Example:80 \t\r\n\r\n",
		  "GET /a?b=%20&c[]=1 a.example:80/1.1 len=0 ka|end|", 0 },
		{ "GET / HTTP/1.0\r\n\r\n", "GET / /1.0 len=0|end|", 0 },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" H "\r\n",
		  "GET / a/1.0 len=0 ka|end|", 0 },
		{ "GET / HTTP/1.1\r\nConnection: x, close\r\n" H "\r\n",
		  "GET / a/1.1 len=0|end|", 0 },
		{ "GET / HTTP/1.1\r\nConnection: x\r\nConnection: ,,CLOSE\r\n" H "\r\n",
		  "GET / a/1.1 len=0|end|", 0 },
		{ "OPTIONS * HTTP/1.1\r\nHost: [::1]:8092\r\n\r\n",
		  "OPTIONS * [::1]:8092/1.1 len=0 ka|end|", 0 },
		{ "GET http://Other:81/x?y HTTP/1.1\r\n" H "\r\n",
		  "GET /x?y other:81/1.1 len=0 ka|end|", 0 },
		{ "GET HTTPS://o?y HTTP/1.1\r\n" H "\r\n", "GET /?y o/1.1 len=0 ka|end|",
		  0 },
		{ "GET http://o HTTP/1.1\r\n" H "\r\n", "GET / o/1.1 len=0 ka|end|", 0 },
		{ "GET //o/ HTTP/1.1\r\n" H "\r\n", "GET //o/ a/1.1 len=0 ka|end|", 0 },
		{ "M-SEARCH / HTTP/1.1\r\n" H "\r\n", "M-SEARCH / a/1.1 len=0 ka|end|",
		  0 },
		{ "POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
		  "POST /p a/1.1 len=5 ka|hello|end|", 0 },
		{ "POST /p HTTP/1.1\r\n" H "Content-Length: 0005\r\nX-A:\r\n"
		  "x-b: \"q\" \xc3\xa9\r\n\r\nhello",
		  "POST /p a/1.1 len=5 ka x-a=[] x-b=[\"q\" \xc3\xa9]|hello|end|", 0 },
		{ "PUT /p HTTP/1.1\r\n" H
		  "Content-Length: 0\r\nExpect: 100-Continue\r\n\r\n",
		  "PUT /p a/1.1 len=0 ka|end|", 0 },
		{ "PUT /p HTTP/1.1\r\n" H
		  "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\nx",
		  "PUT /p a/1.1 len=1 ka 100|x|end|", 0 },
		{ "POST /p HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
		  "5\r\nhello\r\n00A;x=\"y\"; z\r\n, world!!!\r\n0\r\n\r\n",
		  "POST /p a/1.1 len=-1 ka|hello, world!!!|end|", 0 },
		{ CHUNKS "1\r\nx\r\n000;last\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n"
			 "GET / HTTP/1.1\r\n" H "\r\n",
		  HEAD "x|end|GET / a/1.1 len=0 ka|end|", 0 },
		{ "POST /1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
		  "GET /2 HTTP/1.1\r\n" H "X-I: 2\r\n\r\n\r\nGET /3 HTTP/1.1\r\n" H
		  "\r\n",
		  "POST /1 a/1.1 len=3 ka|abc|end|GET /2 a/1.1 len=0 ka x-i=[2]|end|"
		  "GET /3 a/1.1 len=0 ka|end|",
		  0 },
		{ "GET / HTTP/1.1\r\n" H "Con", "...", 0 },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc",
		  "POST / a/1.1 len=9 ka|abc...", 0 },
	};

	EXPECT_ALL(cases);
}

static void
test_bad_request_lines(void)
{
	static const struct parse_case cases[] = {
		{ "GET / HTTP/1.1\n" H "\r\n", "!400", 0 },
		{ "\nGET / HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ " GET / HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET  / HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /  HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.1 \r\n" H "\r\n", "!400", 0 },
		{ "GET\t/\tHTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /a b HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\r\n", "!400", 0 },
		{ "GET\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\r\n" H "\r\n", "!400", 0 },
		{ "G(T / HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET / http/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.10\r\n" H "\r\n", "!400", 0 },
		{ "GET / HTTP/11\r\n" H "\r\n", "!400", 0 },
		{ "GET / XTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.2\r\n" H "\r\n", "!505", 0 },
		{ "GET / HTTP/2.0\r\n" H "\r\n", "!505", 0 },
		{ "GET / HTTP/0.9\r\n" H "\r\n", "!505", 0 },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505", 0 },
		{ "\x16\x03\x01\x02\x01\x01\xfc\x03\x03\r\n", "!400", 0 },
		{ "CONNECT a:80 HTTP/1.1\r\n" H "\r\n", "!501", 0 },
		{ "TRACE / HTTP/1.1\r\n" H "\r\n", "!501", 0 },
		{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H "\r\n", "!501",
		  0 },
		{ "GET * HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET a HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /#f HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\\ HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\"<> HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /%2 HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /%zz HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /% HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\x01 HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\x7f HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET /\0 HTTP/1.1\r\n" H "\r\n", "!400", 28 },
		{ "GET http:///x HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET http://u@o/ HTTP/1.1\r\n" H "\r\n", "!400", 0 },
		{ "GET ftp://o/ HTTP/1.1\r\n" H "\r\n", "!400", 0 },
	};

	EXPECT_ALL(cases);
}

static void
test_bad_headers(void)
{
	static const struct parse_case cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n", "!400", 0 },
		{ "GET http://o/ HTTP/1.1\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.0\r\n" H H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: []\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X Y: a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X\t: a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X\xc3: a\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", "!400", 0 },
		{ "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", "!400", 35 },
		{ "GET / HTTP/1.1\r\n" H "X\0Y: a\r\n\r\n", "!400", 35 },
		{ "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: x\r\n\r\n", "!417",
		  0 },
	};

	EXPECT_ALL(cases);
}

static void
test_bad_framing(void)
{
	static const struct parse_case cases[] = {
		{ POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "!400", 0 },
		{ POST "Content-Length: 1\r\ncontent-length: 1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: 1, 1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: +1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: -1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: 0x1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: 1 1\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: 1.0\r\n\r\na", "!400", 0 },
		{ POST "Content-Length:\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: \"1\"\r\n\r\na", "!400", 0 },
		{ POST "Content-Length: 18446744073709551617\r\n\r\na", "!413", 0 },
		{ POST "Content-Length: 99999999999999999999999\r\n\r\na", "!413", 0 },
		{ POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "!400",
		  0 },
		{ POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "!400",
		  0 },
		{ POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		  "!400", 0 },
		{ POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
		  "!400", 0 },
		{ POST "Transfer-Encoding: gzip, chunked\r\n\r\n", "!501", 0 },
		{ POST "Transfer-Encoding: chunked, identity\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding: identity\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding: xchunked\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding: \"chunked\"\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding: chunked;q=1\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding:\x0b"
		       "chunked\r\n\r\n",
		  "!400", 0 },
		{ POST "Transfer-Encoding:\r\n\r\n", "!400", 0 },
		{ POST "Transfer-Encoding : chunked\r\n\r\n", "!400", 0 },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  "!400", 0 },
	};

	EXPECT_ALL(cases);
}

static void
test_bad_chunks(void)
{
	static const struct parse_case cases[] = {
		{ CHUNKS "0x5\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "+5\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "-5\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS " 5\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5 \r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5 ;x\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5_0\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS ";x\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5g\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5;a\nb\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5;a\rb\r\nhello\r\n0\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "5\r\nhello!\r\n0\r\n\r\n", HEAD "hello|!400", 0 },
		{ CHUNKS "5\r\nhello\n0\r\n\r\n", HEAD "hello|!400", 0 },
		{ CHUNKS "5\r\nhello0\r\n\r\n", HEAD "hello|!400", 0 },
		{ CHUNKS "10000000000000000\r\nx", HEAD "!400", 0 },
		{ CHUNKS "fffffffffffffffff\r\nx", HEAD "!400", 0 },
		{ CHUNKS "0\r\nX : 1\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "0\r\n X: 1\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "0\r\nX: 1\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "0\r\nX: \x01\r\n\r\n", HEAD "!400", 0 },
		{ CHUNKS "0\r\n\n", HEAD "!400", 0 },
	};

	EXPECT_ALL(cases);
}

/* `times` times `item` between the two. */
static void
repeat(const char *before, const char *item, int times, const char *after,
       const char *trace)
{
	struct buf in = BUF_INIT;

	buf_put_text(&in, before);
	for (int i = 0; i < times; i++)
		buf_put_text(&in, item);
	buf_put_text(&in, after);
	expect(buf_bytes(&in), trace);
	buf_fini(&in);
}

/* 16 bytes of extension with each chunk of one byte. */
static void
test_limits_extensions(int chunks, const char *fate)
{
	struct buf trace = BUF_INIT;

	buf_put_text(&trace, HEAD);
	memset(buf_extend(&trace, 1024), 'y', 1024);
	buf_printf(&trace, "|%s", fate);
	repeat(CHUNKS, "1;xxxxxxxxxxxxxxx\r\ny\r\n", chunks, "0\r\n\r\n",
	       buf_text(&trace));
	buf_fini(&trace);
}

static void
test_limits(void)
{
	const char *ok = "GET / a/1.1 len=0 ka|end|";
	char line[8000];

	/* "GET /" and " HTTP/1.1\r\n" are 16 bytes, "Y: " and the CR LF 5. */
	repeat("GET /", "a", HTTP_LINE_BYTES_MAX - 15, " HTTP/1.1\r\n" H "\r\n", "!414");
	repeat("", "a", HTTP_LINE_BYTES_MAX, "", "!414");
	repeat("GET / HTTP/1.1\r\n" H "Y: ", "a", HTTP_LINE_BYTES_MAX - 4, "\r\n\r\n",
	       "!431");
	repeat("GET / HTTP/1.1\r\n" H "Y: ", "a", HTTP_LINE_BYTES_MAX - 5, "\r\n\r\n",
	       ok);
	repeat("GET / HTTP/1.1\r\n" H, "Y: 1\r\n", HTTP_HEADERS_MAX - 1, "\r\n", ok);
	repeat("GET / HTTP/1.1\r\n" H, "Y: 1\r\n", HTTP_HEADERS_MAX, "\r\n", "!431");
	memset(line, 'a', sizeof(line));
	memcpy(line, "Y: ", 3);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	repeat("GET / HTTP/1.1\r\n" H, line, 8, "\r\n", ok);
	repeat("GET / HTTP/1.1\r\n" H, line, 9, "\r\n", "!431");
	repeat(CHUNKS "0\r\n", line, 9, "\r\n", HEAD "!431");
	repeat(CHUNKS "0\r\n", "Y: 1\r\n", HTTP_HEADERS_MAX, "\r\n", HEAD "end|");
	repeat(CHUNKS "0\r\n", "Y: 1\r\n", HTTP_HEADERS_MAX + 1, "\r\n", HEAD "!431");
	repeat(CHUNKS "1;", "x", HTTP_CHUNK_LINE_BYTES_MAX - 4, "\r\ny\r\n0\r\n\r\n",
	       HEAD "y|end|");
	repeat(CHUNKS "1;", "x", HTTP_CHUNK_LINE_BYTES_MAX - 3, "\r\ny\r\n0\r\n\r\n",
	       HEAD "!400");
	repeat(CHUNKS, "0", HTTP_CHUNK_LINE_BYTES_MAX, "", HEAD "!400");
	test_limits_extensions(1024, "end|");
	test_limits_extensions(1025, "!400");
}

/* Whatever the bytes are, all cuts give the same, nothing crashes, and an error stays. */
static void
test_mutations(void)
{
	static const char *const seeds[] = {
		"POST /p?q HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\nConnection: "
		"close\r\n"
		"\r\nhelloGET / HTTP/1.1\r\n" H "\r\n",
		"POST http://x/p HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nExpect: "
		"100-continue\r\n\r\n5;e=f\r\nhello\r\n0\r\nT: v\r\n\r\nGET / "
		"HTTP/1.0\r\n\r\n",
	};
	static const char
		bytes[] = "\r\n\r\n \t:;,0123456789abcdefx/?%\"\x7f\x80\x00\x01HTTP";
	int rounds = tap_is_quick() ? 500 : 5000;
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < rounds; i++) {
		const char *seed = seeds[rng_below(&rng, 2)];
		size_t len = strlen(seed);
		uint8_t *in = mem_dup(seed, len);
		char *whole;

		for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
			in[rng_below(&rng, len)] = (uint8_t)
				bytes[rng_below(&rng, sizeof(bytes) - 1)];
		whole = trace_of(bytes_of(in, len), 0);
		expect_cut(bytes_of(in, len), whole, rng_below(&rng, len));
		expect_cut(bytes_of(in, len), whole, SIZE_MAX);
		free(whole);
		free(in);
	}
}

static void
test_lists_and_values(void)
{
	CU_ASSERT(http_list_has("a, B ,c", "b"));
	CU_ASSERT(http_list_has(" close", "close"));
	CU_ASSERT(!http_list_has("closed, xclose", "close"));
	CU_ASSERT(!http_list_has("", "close"));
	CU_ASSERT(!http_list_has(",,", "close"));
	CU_ASSERT(http_name_is_valid("X-Computing-Node"));
	CU_ASSERT(!http_name_is_valid(""));
	CU_ASSERT(!http_name_is_valid("a b"));
	CU_ASSERT(!http_name_is_valid("a:"));
	CU_ASSERT(http_value_is_valid("a\tb \xff"));
	CU_ASSERT(!http_value_is_valid("a\r\nSet-Cookie: x"));
	CU_ASSERT(!http_value_is_valid("a\nb"));
	CU_ASSERT(!http_value_is_valid("a\x01"));
}

static void
test_chunk_encoder(void)
{
	static const char *const parts[] = { "hello", ", a longer chunk of some bytes" };
	struct buf out = BUF_INIT;

	buf_put_text(&out, CHUNKS);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		http_chunk_begin(&out, strlen(parts[i]));
		buf_put_text(&out, parts[i]);
		buf_put_text(&out, "\r\n");
	}
	buf_put_text(&out, HTTP_CHUNK_END);
	expect(buf_bytes(&out), HEAD "hello, a longer chunk of some bytes|end|");
	buf_fini(&out);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "valid requests are read, however they are cut", test_valid_requests },
		{ "a bad request line is refused with its status",
		  test_bad_request_lines },
		{ "a bad header is refused", test_bad_headers },
		{ "ambiguous lengths and codings are refused", test_bad_framing },
		{ "bad chunks are refused", test_bad_chunks },
		{ "every limit holds, and one less passes", test_limits },
		{ "damaged requests give the same result however they are cut",
		  test_mutations },
		{ "lists, names and values are judged rightly", test_lists_and_values },
		{ "what the chunk encoder writes, the parser reads", test_chunk_encoder },
	};

	return TAP_MAIN(argc, argv, tests);
}
