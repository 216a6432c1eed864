/* SPDX-License-Identifier: Apache-2.0 */
/* A strict HTTP/1.1 request parser (RFC 9112), sans-io: bytes in, events out. It is meant
 * to stand in front of nothing and behind anything, so whatever two parsers could read in
 * two ways is refused: bare LF, folded lines, space before a colon, two Content-Length, a
 * Content-Length beside Transfer-Encoding, any coding but exactly `chunked`, sizes with
 * signs, spaces or 0x, control characters, a missing or second Host.
 *
 * Use: feed bytes to http_parser_step() until it wants more. A request is HEAD, BODY…,
 * END. After END nothing more is taken until http_parser_next(), so that a pipelined
 * request waits in the caller's buffer. After ERROR the connection can only be answered
 * with `status` and closed: where the next request would begin is unknown. Body bytes are
 * views of the input; only an unfinished line is kept. Where the input is cut does not
 * matter. */
#ifndef OCF_HTTP_PARSE_H
#define OCF_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
	HTTP_LINE_BYTES_MAX = 8 *
			      1024, /* request line or header with its CR LF: as nginx */
	HTTP_HEAD_BYTES_MAX = 64 *
			      1024, /* all lines of a head; likewise of the trailers */
	HTTP_HEADERS_MAX = 100,
	HTTP_METHOD_BYTES_MAX = 32,
	/* A chunk's size line; extensions are of no use to us. */
	HTTP_CHUNK_LINE_BYTES_MAX = 256,
	/* Extensions of one body together, so that one byte chunks cannot hide a
	 * flood. */
	HTTP_CHUNK_EXTENSIONS_BYTES_MAX = 16 * 1024,
};

struct http_header {
	const char *name;  /* lower case */
	const char *value; /* trimmed; no control character but tab */
};

/* Texts belong to the parser and live until http_parser_next(). */
struct http_head {
	const char *method;
	const char *target; /* path and query ("/a?b"), or "*"; an absolute form is cut */
	const char *host;   /* "name" or "name:port", lower case; "" when absent */
	int minor;	    /* of HTTP/1.x: 0 or 1 */
	int64_t body_len;   /* bytes; 0 none, -1 chunked */
	bool keep_alive;    /* what the client wants */
	bool expects_continue;
	int headers_len;
	const struct http_header *headers;
};

enum http_event_kind {
	HTTP_MORE,  /* all input was taken; give more */
	HTTP_HEAD,  /* `head` is complete */
	HTTP_BODY,  /* `body`: the next bytes of the body, a view of the input */
	HTTP_END,   /* the request is complete; also given, at once, where no body was */
	HTTP_ERROR, /* `status` and `why`; given again at each further step */
};

struct http_event {
	enum http_event_kind kind;
	const struct http_head *head;
	struct bytes body;
	int status;	 /* 400, 413, 414, 417, 431, 501 or 505 */
	const char *why; /* one sentence, constant */
};

struct http_parser {
	int state;  /* parse.c */
	int status; /* of the error */
	const char *why;
	struct buf line; /* the beginning of an unfinished line */
	struct buf
		text; /* the head's texts, each with a NUL; `head` points in when whole */
	struct http_head head;
	int headers_cap;
	struct http_header *headers; /* of the head, when it is whole */
	struct {
		uint32_t name, value;
	} * offsets; /* in `text` while it grows */
	uint32_t method, target, host;
	bool has_host;	   /* from the target, else from the header */
	bool has_blank;	   /* an empty line before the request was skipped */
	uint64_t left;	   /* of the body, or of the chunk */
	size_t head_bytes; /* lines so far, of the head or of the trailers */
	size_t extension_bytes;
	int trailers;
};

void http_parser_init(struct http_parser *p);
void http_parser_fini(struct http_parser *p);
/* Take from `input` up to the next event; returns the bytes taken. At most one event;
 * call again with the rest until HTTP_MORE. */
size_t http_parser_step(struct http_parser *p, struct bytes input,
			struct http_event *ret_event);
/* After HTTP_END: begin the next request. */
void http_parser_next(struct http_parser *p);
/* No byte of a request was seen since init or next. */
bool http_parser_is_idle(const struct http_parser *p);

/* The value of the header `name` (lower case); NULL when absent. */
const char *http_head_get(const struct http_head *head, const char *name);
/* How many headers have this name. */
int http_head_count(const struct http_head *head, const char *name);
/* Is `token` in the comma-separated list `value`, without regard to case? */
bool http_list_has(const char *value, const char *token);

/* A name is a token; a value has no control character but tab (so no CR, LF, NUL). */
bool http_name_is_valid(const char *name);
bool http_value_is_valid(const char *value);

/* The chunked coding, for replies: what stands before a chunk's `len` bytes, of which there
 * are some (CR LF follows them), and the end of the body. */
void http_chunk_begin(struct buf *out, size_t len);
#define HTTP_CHUNK_END "0\r\n\r\n"

#endif
