/* SPDX-License-Identifier: Apache-2.0 */
/* A node's HTTP interface over real sockets, TCP and unix, for the tests of its routes; this
 * program plays the daemon. What it does with a query goes by the service: "none" and "busy"
 * are refused, "hold" is left without an answer, "big" gets REPLY_PARTS parts, "torn" half a
 * reply; others get back their body. The 2023 original's "inference:" before it does not
 * matter; of OpenAI's service the model is the word. */
#ifndef OCF_TESTS_HTTP_BENCH_H
#define OCF_TESTS_HTTP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/query.h"
#include "http/api.h"
#include "http/metrics.h"
#include "unit/http-raw.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define QUERY(path, headers) "GET /v1/service/" path " HTTP/1.1\r\n" H headers "\r\n"

enum { WORK_PIECES = 100, WORK_PIECE = 128 * 1024 };
/* What it says of the services. */
#define BENCH_SERVICES                                                                   \
	"[{\"name\":\"echo\",\"match\":\"model=a\",\"workers\":1},"                      \
	"{\"name\":\"echo\",\"match\":\"model=b\",\"workers\":1},"                       \
	"{\"name\":\"llm\",\"match\":\"model=org/small\",\"workers\":2},"                \
	"{\"name\":\"llm\",\"match\":\"model=gone\",\"workers\":0},"                     \
	"{\"name\":\"llm\",\"match\":\"model=*\",\"workers\":1},"                        \
	"{\"name\":\"llm\",\"match\":\"lang=en\",\"workers\":1},"                        \
	"{\"name\":\"llm\",\"match\":\"model=large\",\"workers\":1},"                    \
	"{\"name\":\"wc\",\"match\":null,\"workers\":1}]"

enum { REPLY_PARTS = 200, BENCH_TIMEOUT_MS = 45 * MS_SECOND, BENCH_KEEPALIVE_MS = 20 };

/* A query that the daemon has. */
struct job {
	struct bench *bench;
	struct api_query *q;
	int left; /* reply parts */
};

/* One node's HTTP interface, and what its daemon saw. */
struct bench {
	struct loop *loop;
	struct metrics *metrics;
	struct api *api;
	struct raw raw, socket;
	struct raw_reply reply;
	char *path;		/* of the unix socket */
	struct query_head head; /* of the last query */
	struct job *job;	/* running */
	bool is_ready;
	bool was_cancelled;
	int watched;	       /* it is asked to tell changes; else 0 */
	int parts, parts_last; /* of the last query's body, and marked as last */
	struct buf body;
	int under_way; /* reply parts not reported as taken */
	int under_way_max;
	/* A work: what it was asked, and its pieces, which go out on a timer. */
	struct api_work *work;
	struct loop_timer *work_timer;
	struct buf work_body;
	bool work_is_strict;
	int work_left;	/* pieces */
	int work_waits; /* how often it was told to wait */
	/* Who waits for the bus's connections; NULL: nobody. */
	void (*connections_fn)(void *fn_arg, struct bytes json);
	void *connections_arg;
};

/* An `access` without its sha256, which is bench_sha256(). */
void bench_open(struct bench *b, struct access_config access);
void bench_close(struct bench *b);
/* Send `request` over b->raw or b->socket, opened again where the server has closed it; the
 * reply, which must have that status, is b->reply. */
void bench_ask(struct bench *b, struct raw *raw, const char *request, int status);
/* The reply's body, owned by the caller; NULL: it is not JSON. */
json_t *bench_json(struct bench *b);
void bench_sha256(const void *data, size_t len, uint8_t out[ACCESS_HASH_BYTES]);

#endif
