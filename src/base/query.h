/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a query and of its reply, as http, dispatch, the mesh's frames and the bus
 * hand them to each other. Bodies travel apart, in parts of at most LIMIT_PART_BYTES_MAX
 * with a window of LIMIT_PARTS_WINDOW parts each way, credited by whoever consumed them.
 *
 * All texts are owned (free with _fini), NUL-terminated, and free of CR, LF and NUL: a
 * decoder refuses them. */
#ifndef OCF_BASE_QUERY_H
#define OCF_BASE_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/id.h"

enum {
	QUERY_HEADERS_MAX = 64,
	QUERY_HEAD_BYTES_MAX = 32 * 1024, /* encoded: method, path, headers and all */
	QUERY_REQUEST_ID_BYTES_MAX = 64,
	QUERY_SHARE_MAX = 1000,
	QUERY_TENANT_BYTES_MAX = 96,  /* "token:" and a token's name, or shorter */
	QUERY_ERROR_BYTES_MAX = 4096, /* a worker's error text: the tail of its stderr */
};

struct query_header {
	char *name; /* lower case; an HTTP token */
	char *value;
};

struct query_headers {
	int len;
	struct query_header *items; /* owned */
};

struct query_head {
	char *request_id; /* X-Request-Id: the client's or made */
	char *service;
	char *selector; /* "k=v", or NULL: any worker of the service */
	char *method;	/* "POST" */
	char *path; /* what follows the service, with the query string; "/" at least */
	char *content_type; /* or NULL */
	char *traceparent;  /* or NULL */
	/* Who asks, for turns and bounds: "token:NAME", "uid:N", "addr:ADDRESS" (of IPv6 the
	 * first 64 bits), or NULL: the node that asks. Not for workers. */
	char *tenant;
	struct query_headers headers; /* the others that may be passed on */
	uint8_t fallback; /* 0 exact, 1 also `k=*`, 2 also `all` (interfaces.md: Selection) */
	bool is_idempotent; /* may be sent again after a worker took it */
	uint8_t hops;	    /* nodes it has been forwarded by */
	uint8_t attempt;    /* 0 the first time */
	struct id pin;	    /* zero, or the only node that may answer */
	uint16_t share;	    /* its weight in a queue, by its token; 0: not said, as 1 */
	int64_t body_len;   /* bytes; -1 not known beforehand */
	ms_t timeout_ms;    /* left of the deadline; shrinks at every hop */
};

struct reply_head {
	int status;	    /* an HTTP status, 200 unless the worker said otherwise */
	char *content_type; /* or NULL */
	struct query_headers headers;
	struct id node; /* who answered */
	char *worker;	/* id of the worker */
};

/* Why a query failed, as its client is told (interfaces.md: Errors). */
struct query_error {
	int status; /* 404, 413, 429, 499, 502, 503, 504, 507 */
	char *text; /* one sentence; after a failed command also its stderr's tail */
	int retry_after_s; /* 0: no such header */
	bool is_taken;	   /* a worker had it: it may be sent again only if idempotent */
	struct id node;	   /* where it failed; zero: here, before any node was chosen */
	char *worker;	   /* or NULL */
};

void query_headers_add(struct query_headers *h, const char *name, const char *value);
/* A field that comes several times is one list (RFC 9110, 5.3): to the value of this name, as
 * it is spelt, that is there already. */
void query_headers_join(struct query_headers *h, const char *name, const char *value);
const char *query_headers_get(const struct query_headers *h, const char *name);
void query_headers_copy(const struct query_headers *from, struct query_headers *ret);
void query_headers_fini(struct query_headers *h);

void query_head_copy(const struct query_head *from, struct query_head *ret);
void query_head_fini(struct query_head *q);
void reply_head_copy(const struct reply_head *from, struct reply_head *ret);
void reply_head_fini(struct reply_head *r);
void query_error_set(struct query_error *e, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void query_error_copy(const struct query_error *from, struct query_error *ret);
void query_error_fini(struct query_error *e);

/* Bytes that the following _put write. */
size_t query_head_len(const struct query_head *q);
size_t reply_head_len(const struct reply_head *rh);

/* Bytes for the wire. Reading leaves `r` behind the item; -OCF_EMALFORMED leaves nothing to
 * free. */
void query_head_put(struct buf *out, const struct query_head *q);
int query_head_read(struct reader *r, struct query_head *ret_q);
void reply_head_put(struct buf *out, const struct reply_head *rh);
int reply_head_read(struct reader *r, struct reply_head *ret_rh);
void query_error_put(struct buf *out, const struct query_error *e);
int query_error_read(struct reader *r, struct query_error *ret_e);

/* A name that may be a service: 1–200 bytes of 0x21–0x7e, no `*`, `>`, no empty token
 * (between dots), the first token not `worker:status` or `ocf` and not beginning with `$`
 * or `_` (interfaces.md: names never reach a subject unchecked). */
bool query_service_is_plain(const char *name);
/* Any service name at all: 1–200 bytes of UTF-8 without control characters. */
bool query_service_is_valid(const char *name);
/* "k=v": something on both sides of the first `=`, printable, at most
 * LIMIT_MATCH_BYTES_MAX. */
bool query_selector_is_valid(const char *text);
/* May a query with this method and Idempotency-Key (NULL, "" = none) be sent again after
 * somebody took it? */
bool query_is_repeatable(const char *method, const char *key);
/* Does a worker that announced `match` (n texts; none = everything) serve a query with this
 * selector (NULL = none) at this fallback level? */
bool query_match_serves(char *const *match, int n, const char *selector, int fallback);

#endif
