/* SPDX-License-Identifier: Apache-2.0 */
/* The bus against a real nats-server. */
#include "config.h"

#include "bus/bus.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "bus/protocol.h"
#include "lib/tap.h"
#include "unit/bus-fixture.h"

#define ANNOUNCE_WC                                                                      \
	"{\"v\":1,\"id\":\"w1\",\"service\":\"wc\",\"slots\":2,\"status\":\"connected\"," \
	"\"client_id\":%llu,\"gpus\":[],\"metadata\":{\"k\":\"v\"}}"

static void
open_with_worker(struct fixture *f, struct fixture_worker *w, const char *name)
{
	bus_fixture_open(f, name, NULL);
	bus_fixture_worker_open(f, w, "w1");
	bus_fixture_announce(w, ANNOUNCE_WC, (unsigned long long)w->client_id);
	CU_ASSERT_FATAL(bus_fixture_until(f, &f->ups, 1));
}

static void
close_both(struct fixture *f, struct fixture_worker *w)
{
	bus_fixture_worker_close(w);
	bus_fixture_close(f);
}

static void
test_worker_appears_and_leaves(void)
{
	struct fixture f;
	struct fixture_worker w;

	open_with_worker(&f, &w, "appears");
	CU_ASSERT_STRING_EQUAL(f.up, "w1");
	CU_ASSERT_STRING_EQUAL(f.first_service, "wc");
	CU_ASSERT_STRING_EQUAL(f.metadata, "{\"k\":\"v\"}");
	CU_ASSERT(f.slots == 2 && f.is_direct);
	bus_fixture_announce(&w, ANNOUNCE_WC, (unsigned long long)w.client_id);
	bus_fixture_announce(&w, "{\"v\":1,\"id\":\"w1\",\"service\":\"wc\",\"slots\":2,"
				 "\"status\":\"draining\",\"metadata\":{\"k\":\"v\"}}");
	CU_ASSERT(bus_fixture_until(&f, &f.changes, 1));
	CU_ASSERT(f.changes == 1 && f.is_draining);
	bus_fixture_announce(&w, "{\"v\":1,\"id\":\"w1\",\"status\":\"disconnected\"}");
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT_STRING_EQUAL(f.down, "w1");
	CU_ASSERT(f.warnings == 0);
	close_both(&f, &w);
}

static void
test_lost_connection_is_seen(void)
{
	struct fixture f;
	struct fixture_worker w;
	ms_t at;

	open_with_worker(&f, &w, "lost");
	bus_fixture_worker_close(&w);
	at = clock_mono_ms();
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT(clock_mono_ms() - at < 1000);
	tap_note("seen after %lld ms", (long long)(clock_mono_ms() - at));
	CU_ASSERT_STRING_EQUAL(f.reason, "its connection ended");
	bus_fixture_close(&f);
}

static void
test_whole_reply(void)
{
	struct fixture f;
	struct fixture_worker w;

	open_with_worker(&f, &w, "whole");
	CU_ASSERT(bus_fixture_send(&f, "w1", 3, "wc", bytes_text("a b c")) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	CU_ASSERT(bytes_equal_text(buf_bytes(&w.body), "a b c"));
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.headers, BUS_H_SERVICE), "wc");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.headers, BUS_H_REQ_ID), "req-1");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&w.headers, BUS_H_PATH), "/a?b=c");
	CU_ASSERT(query_headers_get(&w.headers, BUS_H_PART) == NULL);
	bus_fixture_reply(&w, bytes_text("3"), NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.calls[3].ends, 1));
	CU_ASSERT(f.calls[3].heads == 1 && f.calls[3].status == 200);
	CU_ASSERT(bytes_equal_text(buf_bytes(&f.calls[3].data), "3"));
	CU_ASSERT_STRING_EQUAL(f.calls[3].worker, "w1");
	close_both(&f, &w);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a worker appears, drains and leaves", test_worker_appears_and_leaves },
		{ "a connection that ends takes its worker with it within a second",
		  test_lost_connection_is_seen },
		{ "one message is a whole reply", test_whole_reply },
	};
	return TAP_MAIN(argc, argv, tests);
}
