/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events over real sockets: what is told, where a client goes on that was away, and
 * what becomes of one that does not read. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "http/events.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

static const struct id node = { .b = { 0xab } };

/* Something changes: the worker of this name. */
static void
change(struct bench *b, const char *name, size_t row_bytes)
{
	char *text = mem_alloc(row_bytes + 1);
	json_t *row;

	memset(text, 'x', row_bytes);
	text[row_bytes] = '\0';
	row = json_pack("{s:s}", "text", text);
	api_event(b->api, "worker", "add", name, &node, row);
	json_decref(row);
	free(text);
}

/* Turn until these words came; forgets all up to them. */
static bool
comes(struct raw *r, const char *words)
{
	ms_t until = loop_now(r->loop) + RAW_WAIT_MS;

	while (loop_now(r->loop) < until) {
		const char *at = strstr(buf_text(&r->in), words);

		if (at != NULL) {
			buf_drop(&r->in,
				 (size_t)(at - (const char *)r->in.data) + strlen(words));
			return true;
		}
		if (r->is_eof)
			break;
		raw_turn(r);
	}
	tap_note("'%s' does not come: %.300s", words, buf_text(&r->in));
	return false;
}

/* Follow, from behind `last` (NULL: as one who is new). */
static void
follow(struct bench *b, struct raw *r, const char *last)
{
	char *request = mem_printf("GET /v1/events HTTP/1.1\r\n" H "%s%s%s\r\n",
				   last != NULL ? "Last-Event-ID: " : "",
				   last != NULL ? last : "", last != NULL ? "\r\n" : "");

	raw_open(r, b->loop, api_address(b->api));
	raw_send(r, request);
	free(request);
	CU_ASSERT(comes(r, "HTTP/1.1 200 OK\r\n"));
}

/* The id of the next event, from its line. */
static void
take_id(struct raw *r, char out[64])
{
	CU_ASSERT_FATAL(comes(r, "id: "));
	while (memchr(r->in.data, '\n', r->in.len) == NULL)
		raw_turn(r);
	snprintf(out, 64, "%.*s", (int)strcspn(buf_text(&r->in), "\n"),
		 (const char *)r->in.data);
}

static void
test_told_and_resumed(void)
{
	char first[64], last[64];
	struct raw a, again;
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	CU_ASSERT_EQUAL(b.watched, 0);
	change(&b, "before", 1); /* to nobody */
	follow(&b, &a, NULL);
	CU_ASSERT(comes(&a, "text/event-stream"));
	CU_ASSERT(comes(&a, "event: reset\n"));
	take_id(&a, first);
	CU_ASSERT_EQUAL(b.watched, 1);
	change(&b, "one", 1);
	change(&b, "two", 1);
	CU_ASSERT(comes(&a, "\ndata: {\"seq\":1,\"time\":\""));
	CU_ASSERT(comes(&a, "\"kind\":\"worker\",\"op\":\"add\",\"id\":\"one\",\"node\":"
			    "\"ab000000000000000000000000000000\",\"row\":{\"text\":"));
	take_id(&a, last);
	CU_ASSERT(comes(&a, "\"id\":\"two\""));
	raw_close(&a);
	change(&b, "three", 1);
	/* Behind the second, behind the reset, and behind the last: nothing yet. */
	follow(&b, &again, last);
	CU_ASSERT(comes(&again, "\"id\":\"three\""));
	CU_ASSERT(comes(&again, ": all of it\n"));
	raw_close(&again);
	follow(&b, &again, first);
	CU_ASSERT(comes(&again, "\"id\":\"one\""));
	CU_ASSERT(comes(&again, "\"id\":\"two\""));
	CU_ASSERT(comes(&again, "\"id\":\"three\""));
	CU_ASSERT(comes(&again, ": all of it\n"));
	change(&b, "four", 1);
	CU_ASSERT(comes(&again, "\"id\":\"four\""));
	raw_close(&again);
	bench_close(&b);
}

static void
test_too_old(void)
{
	static const char *const wrong[] = { "0",   "x", "00000000.1",
					     "1.1", "",	 "ffffffffff.1" };
	char first[64], foreign[80];
	struct raw r;
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	follow(&b, &r, NULL);
	CU_ASSERT(comes(&r, "event: reset\n"));
	take_id(&r, first);
	raw_close(&r);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		follow(&b, &r, wrong[i]);
		CU_ASSERT(comes(&r, "event: reset\n"));
		raw_close(&r);
	}
	/* A number that was not given yet. */
	snprintf(foreign, sizeof(foreign), "%.9s7", first);
	follow(&b, &r, foreign);
	CU_ASSERT(comes(&r, "event: reset\n"));
	raw_close(&r);
	/* By number: the ring holds so many. */
	for (int i = 0; i < EVENTS_RING_MAX; i++)
		change(&b, "w", 1);
	follow(&b, &r, first);
	CU_ASSERT(comes(&r, "\"seq\":1,"));
	CU_ASSERT(comes(&r, ": all of it\n"));
	raw_close(&r);
	change(&b, "w", 1);
	follow(&b, &r, first);
	CU_ASSERT(comes(&r, "event: reset\n"));
	CU_ASSERT(comes(&r, "not kept any more"));
	raw_close(&r);
	/* By bytes. */
	follow(&b, &r, NULL);
	CU_ASSERT(comes(&r, "event: reset\n"));
	take_id(&r, first);
	raw_close(&r);
	for (int i = 0; i < 3; i++)
		change(&b, "w", EVENTS_RING_BYTES_MAX / 2 - 1000);
	follow(&b, &r, first);
	CU_ASSERT(comes(&r, "not kept any more"));
	raw_close(&r);
	bench_close(&b);
}

static void
test_slow(void)
{
	struct raw slow, quick;
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	follow(&b, &slow, NULL);
	follow(&b, &quick, NULL);
	CU_ASSERT(comes(&slow, "event: reset\n"));
	CU_ASSERT(comes(&quick, "event: reset\n"));
	slow.is_deaf = true;
	/* More than a client may leave, and what both kernels hold. */
	for (int i = 0; i < 40; i++) {
		change(&b, "w", 512 * 1024);
		CU_ASSERT(comes(&quick, "\"id\":\"w\""));
		CU_ASSERT(comes(&quick, "\n\n"));
	}
	bench_ask(&b, &b.raw, GET("/metrics"), 200);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "ocf_http_events_cut_total 1\n") !=
		  NULL);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "ocf_http_events_followers 1\n") !=
		  NULL);
	raw_close(&slow);
	raw_close(&quick);
	bench_close(&b);
}

static void
test_ends(void)
{
	char *path = mem_printf("%s/tokens", tap_folder()), hex[65], *text;
	struct access_config access = { .token_file = path,
					.local_tokens = true,
					.sha256 = bench_sha256 };
	uint8_t hash[32];
	struct raw r[EVENTS_FOLLOWERS_MAX];
	struct errmsg err;
	struct bench b;

	bench_sha256("secret", 6, hash);
	text = mem_printf("me:%s\n", hex_encode(hash, 32, hex));
	CU_ASSERT_EQUAL(file_write(path, bytes_text(text), 0600, &err), 0);
	bench_open(&b, access);
	raw_open(&r[0], b.loop, api_address(b.api));
	raw_send(&r[0],
		 "GET /v1/events HTTP/1.1\r\n" H "Authorization: Bearer secret\r\n\r\n");
	CU_ASSERT(comes(&r[0], "event: reset\n"));
	/* A token that is gone follows no more. */
	CU_ASSERT_EQUAL(file_write(path, BYTES_NONE, 0600, &err), 0);
	CU_ASSERT_EQUAL(api_reload(b.api, &access, &err), 0);
	CU_ASSERT(comes(&r[0], "\r\n0\r\n\r\n"));
	raw_close(&r[0]);
	access = (struct access_config){ .sha256 = bench_sha256 };
	CU_ASSERT_EQUAL(api_reload(b.api, &access, &err), 0);
	/* So many may follow, and one more is told to come later. */
	for (int i = 0; i < EVENTS_FOLLOWERS_MAX; i++)
		follow(&b, &r[i], NULL);
	bench_ask(&b, &b.raw, GET("/v1/events"), 503);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "retry-after"), "15");
	raw_close(&r[0]);
	while (api_running(b.api) == EVENTS_FOLLOWERS_MAX)
		loop_turn(b.loop, 10);
	bench_ask(&b, &b.raw, "HEAD /v1/events HTTP/1.1\r\n" H "\r\n", 200);
	/* A node that drains ends the streams in order. */
	api_drain(b.api);
	for (int i = 1; i < EVENTS_FOLLOWERS_MAX; i++) {
		CU_ASSERT(comes(&r[i], "\r\n0\r\n\r\n"));
		raw_close(&r[i]);
	}
	raw_close(&b.raw);
	raw_open(&b.raw, b.loop, api_address(b.api));
	bench_ask(&b, &b.raw, GET("/v1/events"), 503);
	bench_close(&b);
	free(text);
	free(path);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "changes are told, and behind Last-Event-ID it goes on",
		  test_told_and_resumed },
		{ "who was away for too long is told so", test_too_old },
		{ "one that does not read is cut, and no other", test_slow },
		{ "streams end with their token, and with the node", test_ends },
	};

	return TAP_MAIN(argc, argv, tests);
}
