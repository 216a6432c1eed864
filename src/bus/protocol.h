/* SPDX-License-Identifier: Apache-2.0 */
/* Worker protocol v1 in bytes: subjects, header names, and a query's head as NATS headers.
 * What a node and `ocf-worker` must agree on stands here and nowhere else. Pure
 * functions, any thread. */
#ifndef OCF_BUS_PROTOCOL_H
#define OCF_BUS_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/query.h"

#define BUS_SUBJECT_STATUS "worker:status" /* announcements, worker to node */
#define BUS_SUBJECT_HELLO "ocf.hello"	   /* node to workers: announce yourselves */
#define BUS_SUBJECT_NODE "ocf.node"	   /* request: which node has this bus? */
#define BUS_SUBJECT_DIRECT "ocf.d."	   /* + worker id: queries */
#define BUS_SUBJECT_CONTROL "ocf.c."	   /* + worker id: cancel, credit */
#define BUS_SUBJECT_REPLY "ocf.r."	   /* + the node's secret . worker . token */
#define BUS_SUBJECT_SELF "ocf.n."	   /* + random: a node to itself */
#define BUS_QUEUE_GROUP "workers"

/* Request */
#define BUS_H_REQ_ID "Ocf-Req-Id"
#define BUS_H_SERVICE "Ocf-Service"
#define BUS_H_MATCH "Ocf-Match"
#define BUS_H_METHOD "Ocf-Method"
#define BUS_H_PATH "Ocf-Path"
#define BUS_H_DEADLINE "Ocf-Deadline" /* ms left */
#define BUS_H_LENGTH                                                                     \
	"Ocf-Length" /* of the whole body, when it is known beforehand; in
				       * the reply to a HEAD: of what a GET would get */
#define BUS_H_ATTEMPT "Ocf-Attempt"
#define BUS_H_CONTENT_TYPE "Content-Type"
#define BUS_H_TRACEPARENT "traceparent"
#define BUS_H_HTTP "Http-"	/* + a header of the HTTP request or reply */
#define BUS_H_PART "Ocf-Part"	/* index of a body part, from 0 */
#define BUS_H_PARTS "Ocf-Parts" /* on the last one: how many there were */
/* Reply */
#define BUS_H_SEQ "Ocf-Seq"
#define BUS_H_END "Ocf-End" /* how many parts there were */
#define BUS_H_STATUS "Ocf-Status"
#define BUS_H_CTL "Ocf-Ctl"	  /* "busy", "credit" */
#define BUS_H_CREDIT "Ocf-Credit" /* with "credit": how many parts; 1 when absent */
#define BUS_H_ERROR_CODE "Nats-Service-Error-Code"
#define BUS_H_ERROR "Nats-Service-Error"
#define BUS_H_RETRY_AFTER "Ocf-Retry-After" /* seconds */

enum {
	BUS_PROTOCOL_VERSION = 1,
	BUS_HEARTBEAT_S = 5, /* how often a worker announces unless it says otherwise */
	BUS_HEARTBEAT_S_MAX = 3600,
	BUS_HEARTBEATS_MISSED = 3, /* then it is gone */
	BUS_BUSY_MS = 10 *
		      MS_SECOND, /* a silent worker says that it is busy; 15 s allowed */
	BUS_SUBJECT_SIZE = LIMIT_SERVICE_BYTES_MAX + 8,
	/* Headers of one request: the head's own limits and our names. */
	BUS_HEADERS_BYTES_MAX = QUERY_HEAD_BYTES_MAX + 4096,
	BUS_HEADERS_MAX = QUERY_HEADERS_MAX + 16,
	BUS_NUMBER_SIZE = 24,
};

/* Headers of a message that is about to be sent. Their texts are borrowed, but for what is
 * made of a head (numbers, names, joined values), so that a query costs no memory of its own
 * on its way. */
struct bus_headers {
	struct query_headers
		list; /* of `items`: for reading, not for query_headers_fini() */
	struct query_header items[BUS_HEADERS_MAX];
	char deadline[BUS_NUMBER_SIZE], attempt[BUS_NUMBER_SIZE], length[BUS_NUMBER_SIZE];
	int owned_len;
	char *owned
		[QUERY_HEADERS_MAX]; /* a name, or several values joined, of each header */
};

void bus_headers_init(struct bus_headers *h);
void bus_headers_fini(struct bus_headers *h);
/* At most BUS_HEADERS_MAX in all. */
void bus_headers_add(struct bus_headers *h, const char *name, const char *value);

/* 1-64 of [A-Za-z0-9._-], no empty token between dots, since it becomes a subject. */
bool bus_protocol_id_is_valid(const char *id);
/* The subject on which a service's queue group listens: the name itself when it is plain,
 * else "svc." and 16 hex digits of its XXH3-64. Returns `out`. */
char *bus_protocol_subject(const char *service, char out[BUS_SUBJECT_SIZE]);
/* Free of CR, LF and NUL (a C string has none), so that it cannot end a header line. */
bool bus_protocol_value_is_valid(const char *value);
/* May a header of an HTTP message pass to or from a worker? Not hop-by-hop ones, nor what
 * names the client's credentials or the body's framing. `name` is an HTTP token. */
bool bus_protocol_header_may_pass(const char *name);

/* Headers are passed on one by one: what came several times is joined to a list, since NATS
 * clients know a name once; what has no value is left out, since nats.c (3.4.1) takes the
 * line behind it for its value. */

/* A query's head as headers; `req_id` is unique at the worker. -EINVAL: a value that could
 * not be a header, -OCF_ELIMIT: too long or too many; then `ret` is empty. `head` and
 * `req_id` are borrowed until bus_headers_fini(). */
int bus_protocol_request(const struct query_head *head, const char *req_id,
			 struct bus_headers *ret);
/* The same, copied. */
int bus_protocol_request_headers(const struct query_head *head, const char *req_id,
				 struct query_headers *ret);
/* The inverse, for a worker; request_id is Ocf-Req-Id. -OCF_EMALFORMED: no id or service,
 * or a value out of range. Free with query_head_fini. */
int bus_protocol_request_read(const struct query_headers *headers,
			      struct query_head *ret_head);
/* The head of a reply as headers of its first part: what may not pass, or could not be a
 * header, is left out. A content-length goes as Ocf-Length. */
void bus_protocol_reply_headers(const struct reply_head *head, struct query_headers *ret);
/* The head of a reply's first part: status, type and Http- headers; what is not a header is
 * left out. An Ocf-Length that is a number becomes a content-length, which is of use in the
 * reply to a HEAD alone: whoever passes on a body frames it anew. -OCF_EMALFORMED: a status
 * outside 200-599. Free with reply_head_fini. */
int bus_protocol_reply_read(const struct query_headers *headers,
			    struct reply_head *ret_reply);

/* Decimal digits alone, 0 to `max`. -OCF_EMALFORMED otherwise; NULL too. */
int bus_protocol_number(const char *text, uint64_t max, uint64_t *ret_number);

#endif
