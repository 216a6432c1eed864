/* SPDX-License-Identifier: Apache-2.0 */
/* What the bus lets through, against a real nats-server: windows and credits, what cannot be
 * sent, and the permissions of a client without credentials. */
#include "config.h"

#include "bus/bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/protocol.h"
#include "lib/tap.h"
#include "unit/bus-fixture.h"

static int
send_named(struct fixture *f, uint64_t token, const char *service, const char *selector,
	   const char *path, struct bytes first, bool is_last)
{
	struct query_head head = { .request_id = (char *)"same",
				   .service = (char *)service,
				   .selector = (char *)selector,
				   .method = (char *)"POST",
				   .path = (char *)path,
				   .timeout_ms = 60000,
				   .body_len = -1 };

	return bus_send(f->bus, "w1", token, &head, first, is_last);
}

static void
test_what_send_refuses(void)
{
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open_with_worker(&f, &w, "refuses");
	CU_ASSERT_EQUAL(bus_fixture_send(&f, "nobody", 1, "wc", BYTES_NONE),
			-OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(bus_fixture_send(&f, "w1", 1, "tr", BYTES_NONE), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", "a=b\r\nPUB x", "/", BYTES_NONE, true),
			-EINVAL);
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", NULL, "/\nx", BYTES_NONE, true), -EINVAL);
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", NULL, "/", BYTES_NONE, true), 0);
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", NULL, "/", BYTES_NONE, true), -EEXIST);
	CU_ASSERT_EQUAL(bus_body(f.bus, 1, BYTES_NONE, true), -OCF_ELIMIT);
	CU_ASSERT_EQUAL(bus_body(f.bus, 2, BYTES_NONE, true), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(bus_cancel(f.bus, 17), -OCF_EUNKNOWN);
	bus_credit(f.bus, 17, 3);
	CU_ASSERT(bus_fixture_until(&f, &w.works, 1));
	CU_ASSERT_EQUAL(bus_cancel(f.bus, 1), 0);
	CU_ASSERT(bus_fixture_until(&f, &w.controls, 1));
	CU_ASSERT_STRING_EQUAL(w.last_control, "{\"op\":\"cancel\",\"id\":\"same\"}");
	CU_ASSERT_EQUAL(bus_body(f.bus, 1, BYTES_NONE, true), -OCF_EUNKNOWN);
	/* Its reply comes too late: all that counts is that the worker is free. */
	bus_fixture_reply(&w, bytes_text("late"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT(f.calls[1].error_status == 499 && f.calls[1].data.len == 0);
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", NULL, "/", BYTES_NONE, true), 0);
	CU_ASSERT(bus_fixture_until(&f, &w.works, 2));
	bus_fixture_reply(&w, bytes_text("x"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(bytes_equal_text(buf_bytes(&f.calls[1].data), "x"));
	bus_fixture_close_both(&f, &w);
}

static void
test_parts_of_a_request(void)
{
	struct fixture f;
	struct fixture_worker w;
	uint8_t part[1000] = { 'x' };
	int sent = 1;

	bus_fixture_open_with_worker(&f, &w, "request-parts");
	CU_ASSERT_EQUAL(send_named(&f, 1, "wc", NULL, "/", bytes_of(part, 1000), false),
			0);
	while (bus_body(f.bus, 1, bytes_of(part, 1000), false) == 0)
		sent++;
	CU_ASSERT_EQUAL(sent, 16);
	CU_ASSERT(bus_fixture_until(&f, &w.works, 16));
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.part, BUS_H_PART), "15");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.part, BUS_H_REQ_ID), "same");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.headers, BUS_H_PART), "0");
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_CTL, "credit", NULL);
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_CTL, "credit", BUS_H_CREDIT, "2", NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].credit, 3));
	CU_ASSERT_EQUAL(bus_body(f.bus, 1, bytes_of(part, 1000), false), 0);
	CU_ASSERT_EQUAL(bus_body(f.bus, 1, BYTES_NONE, true), 0);
	CU_ASSERT(bus_fixture_until(&f, &w.works, 18));
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.part, BUS_H_PARTS), "18");
	CU_ASSERT_EQUAL(w.body.len, 17000);
	/* More credit than was sent is a lie. */
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_CTL, "credit", BUS_H_CREDIT, "16", NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT_EQUAL(f.calls[1].error_status, 502);
	/* The end of a body needs no room in the window. */
	CU_ASSERT_EQUAL(send_named(&f, 2, "wc", NULL, "/", bytes_of(part, 1000), false),
			0);
	for (int i = 1; i < 16; i++)
		CU_ASSERT_EQUAL(bus_body(f.bus, 2, bytes_of(part, 1000), false), 0);
	CU_ASSERT_EQUAL(bus_body(f.bus, 2, BYTES_NONE, true), 0);
	CU_ASSERT(bus_fixture_until(&f, &w.works, 18 + 17));
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.part, BUS_H_PARTS), "17");
	bus_fixture_close_both(&f, &w);
}

static void
test_streamed_reply(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct fixture_call *c = &f.calls[4];
	uint8_t *big = mem_calloc(1, 64 * 1024);

	bus_fixture_open_with_worker(&f, &w, "streamed");
	CU_ASSERT(bus_fixture_send(&f, "w1", 4, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	c->holds_credit = true;
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_CTL, "busy", NULL);
	bus_fixture_reply(&w, bytes_text("ab"), BUS_H_SEQ, "0", BUS_H_STATUS, "201",
			  "Content-Type", "text/x", "Http-X-Foo", "bar", NULL);
	bus_fixture_reply(&w, bytes_of(big, 64 * 1024), BUS_H_SEQ, "1", NULL);
	CU_ASSERT(bus_fixture_until(&f, &c->parts, 3));
	CU_ASSERT(c->heads == 1 && c->status == 201);
	CU_ASSERT_STRING_EQUAL(c->type, "text/x");
	/* 64 KiB came in two pieces, and are one part of the worker's. */
	bus_credit(f.bus, 4, 3);
	CU_ASSERT(bus_fixture_until(&f, &w.controls, 1));
	CU_ASSERT_STRING_EQUAL(w.last_control,
			       "{\"op\":\"credit\",\"id\":\"req-1\",\"n\":2}");
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_END, "2", NULL);
	CU_ASSERT(bus_fixture_until(&f, &c->ends, 1));
	CU_ASSERT(c->data.len == 2 + 64 * 1024 && c->errors == 0);
	free(big);
	bus_fixture_close_both(&f, &w);
}

/* The daemon is never given more than its window has room for, however much a worker
 * sends at once. */
static void
test_reply_beyond_window(void)
{
	enum { PART = 64 * 1024, PARTS = 16, WHOLE = 1500 * 1000 };
	struct fixture f;
	struct fixture_worker w;
	uint8_t *big = mem_alloc(WHOLE);
	char seq[8];

	for (int i = 0; i < WHOLE; i++)
		big[i] = (uint8_t)(i / 1000);
	bus_fixture_open_with_worker(&f, &w, "beyond-window");
	for (uint64_t token = 1; token <= 2; token++) {
		struct fixture_call *c = &f.calls[token];
		size_t len = token == 1 ? WHOLE : PART * PARTS;
		int credited = 0;

		c->holds_credit = true;
		CU_ASSERT(bus_fixture_send(&f, "w1", token, "wc", BYTES_NONE) == 0);
		CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, (int)token));
		for (int i = 0; i < PARTS && token == 2; i++) {
			snprintf(seq, sizeof(seq), "%d", i);
			bus_fixture_reply(&w, bytes_of(big + i * PART, PART), BUS_H_SEQ,
					  seq, NULL);
		}
		if (token == 1)
			bus_fixture_reply(&w, bytes_of(big, WHOLE), NULL);
		else
			bus_fixture_reply(&w, BYTES_NONE, BUS_H_END, "16", NULL);
		CU_ASSERT(bus_fixture_until(&f, &c->parts, LIMIT_PARTS_WINDOW));
		bus_fixture_turn(&f, 50);
		CU_ASSERT_EQUAL(c->parts, LIMIT_PARTS_WINDOW);
		while (c->ends == 0 && c->errors == 0 && credited < c->parts) {
			bus_credit(f.bus, token, 1);
			credited++;
			bus_fixture_turn(&f, 5);
			CU_ASSERT(c->parts - credited <= LIMIT_PARTS_WINDOW);
		}
		CU_ASSERT(c->ends == 1 && c->errors == 0);
		CU_ASSERT(bytes_equal(buf_bytes(&c->data), bytes_of(big, len)));
	}
	free(big);
	bus_fixture_close_both(&f, &w);
}

static bool
all_are_late(void *arg)
{
	const struct fixture *f = arg;
	struct bus_stats stats;

	bus_get_stats(f->bus, &stats);
	return stats.replies_late >= 80000;
}

/* A worker goes on after its reply: all of it is taken off the connection and dropped; nats.c
 * would keep 65,536 messages, and 64 MiB, for each worker. */
static void
test_late_replies_do_not_collect(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct bus_stats stats;

	bus_fixture_open_with_worker(&f, &w, "late");
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	bus_fixture_reply(&w, bytes_text("x"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	for (int i = 0; i < 80000; i++)
		bus_fixture_reply(&w, bytes_text("late"), NULL);
	CU_ASSERT(bus_fixture_until_true(&f, all_are_late, &f));
	bus_get_stats(f.bus, &stats);
	CU_ASSERT(stats.replies_late == 80000 && stats.replies_foreign == 0);
	CU_ASSERT(stats.reply_subs == 1 && stats.held_bytes == 0);
	bus_fixture_close_both(&f, &w);
}

/* One by one, what a client without credentials may not. */
static void
test_permissions(void)
{
	static const struct {
		bool is_publish, is_allowed;
		const char *subject;
	} table[] = {
		{ false, false, "worker:status" },
		{ false, false, "ocf.r.x.1.2" },
		{ false, false, "ocf.r.>" },
		{ false, false, "ocf.n.x" },
		{ false, false, "ocf.node" },
		{ false, false, "$JS.>" },
		{ false, false, "$JS.API.INFO" },
		{ false, false, "$SYS.>" },
		{ false, false, "$SYS.ACCOUNT.OCF.DISCONNECT" },
		{ false, true, "ocf.hello" },
		{ false, true, "ocf.d.x" },
		{ false, true, "inference:m" },
		{ false, true, "svc.0123456789abcdef" },
		{ false, true, "_INBOX.x.y" },
		{ true, false, "ocf.hello" },
		{ true, false, "ocf.d.x" },
		{ true, false, "ocf.c.x" },
		{ true, false, "ocf.n.x" },
		{ true, false, "$JS.API.STREAM.CREATE.x" },
		{ true, false, "$SYS.REQ.SERVER.PING" },
		{ true, false, "inference:m" },
		{ true, true, "worker:status" },
		{ true, true, "ocf.node" },
		{ true, true, "_INBOX.x.y" },
		{ true, true, "ocf.r.x.1.2" },
	};
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open(&f, "permissions", NULL);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bus_sub *sub = NULL, *fence;
		struct bus_msg *msg;

		bus_fixture_worker_open(&f, &w, NULL);
		if (table[i].is_publish)
			bus_conn_publish(w.conn, table[i].subject, NULL, NULL,
					 BYTES_NONE);
		else
			sub = bus_conn_subscribe(w.conn, table[i].subject, NULL);
		/* When our own message is back, the answer to the one before was there. */
		fence = bus_conn_subscribe(w.conn, "_INBOX.fence", NULL);
		bus_conn_publish(w.conn, "_INBOX.fence", NULL, NULL, BYTES_NONE);
		for (int k = 0; k < 2000 && bus_sub_next(fence, &msg) != BUS_NEXT_MSG;
		     k++)
			loop_turn(f.loop, 5);
		bus_msg_free(msg);
		if (!table[i].is_allowed)
			CU_ASSERT(bus_fixture_until(&f, &w.troubles, 1));
		if (table[i].is_allowed != (w.troubles == 0))
			tap_note("%s %s: %s",
				 table[i].is_publish ? "publish" : "subscribe",
				 table[i].subject, w.trouble);
		CU_ASSERT_EQUAL(table[i].is_allowed, w.troubles == 0);
		CU_ASSERT(table[i].is_allowed ||
			  strstr(w.trouble, "ermissions Violation") != NULL);
		bus_sub_free(sub);
		bus_sub_free(fence);
		bus_fixture_worker_close(&w);
	}
	bus_fixture_close(&f);
}

/* Who asks whose bus this is names the subject of the answer: an inbox, or none comes. */
static void
test_node_answers_inboxes(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct bus_sub *hello, *inbox;
	struct bus_msg *msg = NULL, *answer = NULL;
	bool was_answered = false;

	bus_fixture_open(&f, "inboxes", NULL);
	bus_fixture_worker_open(&f, &w, NULL);
	hello = bus_conn_subscribe(w.conn, BUS_SUBJECT_HELLO, NULL);
	inbox = bus_conn_subscribe(w.conn, "_INBOX.a.b", NULL);
	/* Asked again: the node's subscription may reach the server after the question. */
	for (ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;
	     !was_answered && clock_mono_ms() < end;) {
		bus_conn_publish(w.conn, BUS_SUBJECT_NODE, BUS_SUBJECT_HELLO, NULL,
				 BYTES_NONE);
		bus_conn_publish(w.conn, BUS_SUBJECT_NODE, "_INBOX.a.b", NULL,
				 BYTES_NONE);
		bus_fixture_turn(&f, 20);
		was_answered = bus_sub_next(inbox, &answer) == BUS_NEXT_MSG;
	}
	CU_ASSERT_FATAL(was_answered);
	/* What the node itself says there when it starts is no answer. */
	CU_ASSERT(bus_msg_data(answer).len > 0);
	while (bus_sub_next(hello, &msg) == BUS_NEXT_MSG) {
		CU_ASSERT_FALSE(bytes_equal(bus_msg_data(msg), bus_msg_data(answer)));
		bus_msg_free(msg);
	}
	bus_msg_free(answer);
	bus_sub_free(hello);
	bus_sub_free(inbox);
	bus_fixture_close_both(&f, &w);
}

/* A wildcard is allowed, and does not get what is denied. */
static void
test_wildcards_do_not_listen_in(void)
{
	struct fixture f;
	struct fixture_worker w, spy;

	bus_fixture_open_with_worker(&f, &w, "spy");
	bus_fixture_worker_open(&f, &spy, NULL);
	spy.work = bus_conn_subscribe(spy.conn, ">", NULL);
	bus_fixture_turn(&f, 50);
	bus_fixture_announce(&w, BUS_FIXTURE_ANNOUNCE_WC,
			     (unsigned long long)w.client_id);
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", bytes_text("q")) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	bus_fixture_reply(&w, bytes_text("secret"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(bus_fixture_until(&f, &spy.works, 1));
	bus_fixture_turn(&f, 50);
	CU_ASSERT(bytes_equal_text(buf_bytes(&spy.body), "q"));
	bus_fixture_worker_close(&spy);
	bus_fixture_close_both(&f, &w);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "what cannot be sent is refused", test_what_send_refuses },
		{ "a request goes in parts, with a window of 16",
		  test_parts_of_a_request },
		{ "a reply comes in parts, with credit", test_streamed_reply },
		{ "of a large reply no more is handed on than there is room for",
		  test_reply_beyond_window },
		{ "what comes after a reply's end is dropped at once",
		  test_late_replies_do_not_collect },
		{ "permissions are enforced one by one", test_permissions },
		{ "the node tells whose bus it is to inboxes only",
		  test_node_answers_inboxes },
		{ "a wildcard does not listen in", test_wildcards_do_not_listen_in },
	};

	if (getenv("OCF_TEST_SAY") != NULL)
		log_configure(LOG_DEBUG, LOG_FORMAT_TEXT);
	return TAP_MAIN(argc, argv, tests);
}
