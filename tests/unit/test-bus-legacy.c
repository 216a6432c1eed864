/* SPDX-License-Identifier: Apache-2.0 */
/* Workers of the 2023 protocol on a bus with a real nats-server: what nobody tells us of
 * them, and the server's connections. What they say of themselves is in
 * test-bus-registry.c. */
#include "config.h"

#include "bus/bus.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bus/clients.h"
#include "bus/protocol.h"
#include "lib/tap.h"
#include "unit/bus-fixture.h"

static void
join(struct fixture *f, struct fixture_worker *w, const char *gpus)
{
	bus_fixture_worker_open(f, w, NULL);
	w->work = bus_conn_subscribe(w->conn, "inference:m", "workers");
	bus_fixture_announce(w,
			     "{\"service\":\"inference:m\",\"gpus\":[%s],"
			     "\"client_id\":%llu,\"status\":\"connected\"}",
			     gpus, (unsigned long long)w->client_id);
}

/* NATS gives a query to any member of the queue group, and nobody knows to which: when one
 * goes, the queries of the others wait no longer than a worker that fell silent may. */
static void
test_a_member_that_goes(void)
{
	struct bus_config config = { .stall_ms = 300 };
	struct fixture f;
	struct fixture_worker a, b;
	char first[80];

	bus_fixture_open(&f, "members", &config);
	join(&f, &a, "");
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	snprintf(first, sizeof(first), "%s", f.up);
	join(&f, &b, "");
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 2));
	CU_ASSERT(bus_fixture_send(&f, first, 1, "inference:m", bytes_text("{}")) == 0);
	CU_ASSERT(bus_fixture_send(&f, f.up, 2, "inference:m", bytes_text("{}")) == 0);
	bus_fixture_turn(&f, 600);
	CU_ASSERT(f.calls[1].errors == 0 && f.calls[2].errors == 0);
	bus_fixture_worker_close(&b);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].errors, 1));
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT_EQUAL(f.calls[1].error_status, 502);
	CU_ASSERT(f.calls[1].outcome == BUS_LOST && f.calls[1].is_taken);
	CU_ASSERT(strstr(f.calls[1].error, "queue group") != NULL);
	CU_ASSERT_EQUAL(f.downs, 1);
	bus_fixture_close_both(&f, &a);
}

/* The connection comes back by itself; the hand-made worker only subscribes again. */
static void
test_found_again_when_the_server_died(void)
{
	struct fixture f;
	struct fixture_worker w;
	int ups;

	bus_fixture_open(&f, "again", NULL);
	join(&f, &w, "{\"name\":\"G\",\"memory\":8}");
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	ups = w.is_up;
	memset(f.hardware, 0, sizeof(f.hardware));
	kill(bus_fixture_server_pid(f.folder), SIGKILL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.is_up, ups + 1));
	bus_sub_free(w.work);
	w.work = bus_conn_subscribe(w.conn, "inference:m", "workers");
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 2));
	/* Its connection may be found before ours is up. */
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	CU_ASSERT_STRING_EQUAL(f.hardware, "{\"gpus\":[{\"memory\":8,\"name\":\"G\"}]}");
	CU_ASSERT(bus_fixture_send(&f, f.up, 1, "inference:m", bytes_text("{}")) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	bus_fixture_reply(&w, bytes_text("1"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	bus_fixture_close_both(&f, &w);
}

struct shown {
	int times;
	char text[16384];
};

static void
on_shown(void *arg, struct bytes json)
{
	struct shown *shown = arg;

	shown->times++;
	snprintf(shown->text, sizeof(shown->text), "%.*s", (int)json.len,
		 (const char *)json.data);
}

static void
test_connections_are_shown(void)
{
	struct bus_config foreign = { 0 };
	struct fixture f, g;
	struct fixture_worker w;
	struct shown shown = { 0 }, hidden = { 0 };

	bus_fixture_open_with_worker(&f, &w, "shown");
	CU_ASSERT_EQUAL(bus_show_clients(f.bus, on_shown, &shown), 0);
	CU_ASSERT_EQUAL(bus_show_clients(f.bus, on_shown, &hidden), 0);
	bus_hide_clients(f.bus, &hidden);
	CU_ASSERT(bus_fixture_until(&f, &shown.times, 1));
	CU_ASSERT(strstr(shown.text, "\"num_connections\":1") != NULL);
	CU_ASSERT(strstr(shown.text, "\"subscriptions_list\":[\"ocf.") != NULL);
	bus_fixture_turn(&f, 100);
	CU_ASSERT(shown.times == 1 && hidden.times == 0);
	foreign.url = f.url;
	bus_fixture_open(&g, "shown-foreign", &foreign);
	CU_ASSERT_EQUAL(bus_show_clients(g.bus, on_shown, &shown), -ENOTSUP);
	bus_fixture_close(&g);
	/* Whoever still waits when the bus is closed is told. */
	CU_ASSERT_EQUAL(bus_show_clients(f.bus, on_shown, &shown), 0);
	bus_fixture_close_both(&f, &w);
	CU_ASSERT(shown.times == 2 && shown.text[0] == '\0');
}

/* The list as the server writes it, and as it does not. */
static void
test_the_list_is_read(void)
{
	static const char *const nonsense[] = { "", "x", "[]", "{\"data\":7}",
						"{\"data\":{\"connections\":{}}}" };
	struct registry_client *list;
	size_t n;

	list = bus_clients_read(
		bytes_text("{\"data\":{\"connections\":["
			   "{\"cid\":5,\"subscriptions_list_detail\":["
			   "{\"subject\":\"inference:b\",\"qgroup\":\"workers\"},"
			   "{\"subject\":\"inference:a\",\"qgroup\":\"workers\"},"
			   "{\"subject\":\"inference:a\",\"qgroup\":\"workers\"},"
			   "{\"subject\":\"inference:*\",\"qgroup\":\"workers\"},"
			   "{\"subject\":\"_INBOX.x\",\"qgroup\":\"workers\"},"
			   "{\"subject\":\"inference:c\",\"qgroup\":\"others\"},"
			   "{\"subject\":\"inference:d\"},{\"subject\":7},8]},"
			   "{\"cid\":6,\"subscriptions_list_detail\":["
			   "{\"subject\":\"ocf.d.w\"}]},"
			   "{\"cid\":-1},{},\"x\"]}}"),
		&n);
	CU_ASSERT_FATAL(list != NULL && n == 5);
	CU_ASSERT(list[0].id == 5 && list[0].services_len == 2 && !list[0].is_v1);
	CU_ASSERT_STRING_EQUAL(list[0].services[0], "inference:a");
	CU_ASSERT_STRING_EQUAL(list[0].services[1], "inference:b");
	CU_ASSERT(list[1].id == 6 && list[1].services_len == 0 && list[1].is_v1);
	for (int i = 2; i < 5; i++)
		CU_ASSERT(list[i].id == 0 && list[i].services_len == 0);
	bus_clients_free_list(list, n);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		CU_ASSERT_PTR_NULL(bus_clients_read(bytes_text(nonsense[i]), &n));
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a member of a queue group that goes leaves nobody waiting",
		  test_a_member_that_goes },
		{ "a worker is found again when the server died, with its gpus",
		  test_found_again_when_the_server_died },
		{ "the server's connections are shown", test_connections_are_shown },
		{ "the server's list is read, whatever is in it", test_the_list_is_read },
	};
	return TAP_MAIN(argc, argv, tests);
}
