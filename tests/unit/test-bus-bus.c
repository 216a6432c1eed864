/* SPDX-License-Identifier: Apache-2.0 */
/* The bus against a real nats-server: workers, replies, and the server itself. Its limits
 * are test-bus-limits.c. */
#include "config.h"

#include "bus/bus.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/protocol.h"
#include "lib/tap.h"
#include "unit/bus-fixture.h"

static void
test_worker_appears_and_leaves(void)
{
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open_with_worker(&f, &w, "appears");
	CU_ASSERT_STRING_EQUAL(f.up, "w1");
	CU_ASSERT_STRING_EQUAL(f.first_service, "wc");
	CU_ASSERT_STRING_EQUAL(f.metadata, "{\"k\":\"v\"}");
	CU_ASSERT(f.slots == 2 && f.is_direct);
	bus_fixture_announce(&w, BUS_FIXTURE_ANNOUNCE_WC,
			     (unsigned long long)w.client_id);
	bus_fixture_announce(&w, "{\"v\":1,\"id\":\"w1\",\"service\":\"wc\",\"slots\":2,"
				 "\"status\":\"draining\",\"metadata\":{\"k\":\"v\"}}");
	CU_ASSERT(bus_fixture_until(&f, &f.changes, 1));
	CU_ASSERT(f.changes == 1 && f.is_draining);
	bus_fixture_announce(&w, "{\"v\":1,\"id\":\"w1\",\"status\":\"disconnected\"}");
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT_STRING_EQUAL(f.down, "w1");
	CU_ASSERT(f.warnings == 0);
	bus_fixture_close_both(&f, &w);
}

static void
test_lost_connection_is_seen(void)
{
	struct fixture f;
	struct fixture_worker w;
	ms_t at;

	bus_fixture_open_with_worker(&f, &w, "lost");
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

	bus_fixture_open_with_worker(&f, &w, "whole");
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
	bus_fixture_close_both(&f, &w);
}

static void
test_broken_replies(void)
{
	static const struct {
		const char *name[3], *value[3];
		const char *body;
	} table[] = {
		{ { BUS_H_SEQ }, { "1" }, "x" },
		{ { BUS_H_SEQ }, { "x" }, "x" },
		{ { BUS_H_SEQ }, { "-1" }, "x" },
		{ { BUS_H_END }, { "1" }, "" },
		{ { BUS_H_END }, { "0" }, "body" },
		{ { BUS_H_SEQ, BUS_H_STATUS }, { "0", "99" }, "x" },
		{ { BUS_H_CTL, BUS_H_CREDIT }, { "credit", "5" }, "" },
	};
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open_with_worker(&f, &w, "broken");
	for (int i = 0; i < (int)(sizeof(table) / sizeof(table[0])); i++) {
		CU_ASSERT(bus_fixture_send(&f, "w1", (uint64_t)i, "wc", BYTES_NONE) == 0);
		CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, i + 1));
		bus_fixture_reply(&w, bytes_text(table[i].body), table[i].name[0],
				  table[i].value[0], table[i].name[1], table[i].value[1],
				  NULL);
		CU_ASSERT(bus_fixture_until(&f, &f.calls[i].errors, 1));
		CU_ASSERT(f.calls[i].error_status == 502 &&
			  f.calls[i].outcome == BUS_LOST);
		CU_ASSERT(bus_fixture_until(&f, &w.controls, i + 1));
		CU_ASSERT(strstr(w.last_control, "cancel") != NULL);
	}
	bus_fixture_close_both(&f, &w);
}

static void
test_errors_of_a_worker(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct fixture_call *c = f.calls;

	bus_fixture_open_with_worker(&f, &w, "errors");
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	bus_fixture_reply(&w, bytes_text("tail\n"), BUS_H_ERROR_CODE, "422", BUS_H_ERROR,
			  "no such voice", NULL);
	CU_ASSERT(bus_fixture_until(&f, &c[1].errors, 1));
	CU_ASSERT_STRING_EQUAL(c[1].error, "no such voice\ntail\n");
	CU_ASSERT(c[1].error_status == 422 && c[1].outcome == BUS_ANSWERED &&
		  c[1].is_taken);
	CU_ASSERT(bus_fixture_send(&f, "w1", 2, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 2));
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_ERROR_CODE, "429", BUS_H_RETRY_AFTER, "7",
			  NULL);
	CU_ASSERT(bus_fixture_until(&f, &c[2].errors, 1));
	CU_ASSERT(c[2].outcome == BUS_RETURNED && c[2].retry_after_s == 7 &&
		  !c[2].is_taken);
	CU_ASSERT(bus_fixture_send(&f, "w1", 3, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 3));
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_ERROR_CODE, "what", BUS_H_ERROR, "x",
			  NULL);
	CU_ASSERT(bus_fixture_until(&f, &c[3].errors, 1));
	CU_ASSERT(c[3].error_status == 502);
	bus_fixture_close_both(&f, &w);
}

/* A worker that is announced, but listens no longer: nobody had the query. */
static void
test_nobody_listens(void)
{
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open_with_worker(&f, &w, "nobody");
	bus_sub_free(w.work);
	w.work = NULL;
	bus_fixture_announce(&w, BUS_FIXTURE_ANNOUNCE_WC,
			     (unsigned long long)w.client_id);
	bus_fixture_turn(&f, 50);
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT(bus_fixture_send(&f, "w1", 2, "wc", BYTES_NONE) == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].errors, 1));
	CU_ASSERT(f.calls[2].outcome == BUS_NOT_TAKEN && !f.calls[2].is_taken);
	CU_ASSERT(f.calls[2].error_status == 503);
	CU_ASSERT(f.downs == 1);
	bus_fixture_close_both(&f, &w);
}

static void
test_silence(void)
{
	struct bus_config config = { .stall_ms = 300 };
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open(&f, "silence", &config);
	bus_fixture_worker_open(&f, &w, "w1");
	bus_fixture_announce(&w, BUS_FIXTURE_ANNOUNCE_WC,
			     (unsigned long long)w.client_id);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT(bus_fixture_send(&f, "w1", 2, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 2));
	bus_fixture_reply(&w, BYTES_NONE, BUS_H_CTL, "busy", NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].errors, 1));
	CU_ASSERT(f.calls[2].error_status == 502);
	/* Who never began may think for as long as the deadline allows. */
	CU_ASSERT(f.calls[1].errors == 0);
	bus_fixture_close_both(&f, &w);
}

static void
test_foreign_replies(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct bus_stats stats;
	size_t len;
	char *last;

	bus_fixture_open_with_worker(&f, &w, "foreign");
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	len = strlen(w.reply);
	CU_ASSERT_FATAL(len + 1 < sizeof(w.reply));
	memcpy(w.reply + len, "z", 2);
	bus_fixture_reply(&w, bytes_text("forged"), NULL);
	w.reply[len] = '\0';
	last = &w.reply[len - 1];
	*last = *last == '0' ? '1' : '0';
	bus_fixture_reply(&w, bytes_text("forged"), NULL);
	*last = 'z';
	bus_fixture_reply(&w, bytes_text("forged"), NULL);
	CU_ASSERT(bus_fixture_send(&f, "w1", 2, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 2));
	bus_fixture_reply(&w, bytes_text("x"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].ends, 1));
	CU_ASSERT(f.calls[1].heads == 0 && f.calls[1].errors == 0);
	bus_get_stats(f.bus, &stats);
	CU_ASSERT(stats.replies_foreign == 3 && stats.sent == 2 &&
		  stats.outstanding == 1);
	bus_fixture_close_both(&f, &w);
}

/* The 2023 protocol: no id, no slots, the queue group. */
static void
test_legacy_worker(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct bytes big = { .data = mem_calloc(1, LIMIT_PART_BYTES_MAX),
			     .len = LIMIT_PART_BYTES_MAX };

	bus_fixture_open(&f, "legacy", NULL);
	bus_fixture_worker_open(&f, &w, NULL);
	w.work = bus_conn_subscribe(w.conn, "inference:m", "workers");
	bus_fixture_announce(
		&w,
		"{\"service\":\"inference:m\",\"gpus\":[],\"client_id\":%llu,"
		"\"status\":\"connected\"}",
		(unsigned long long)w.client_id);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(!f.is_direct && f.slots == 1);
	CU_ASSERT(bus_fixture_send(&f, f.up, 1, "inference:m", bytes_text("{}")) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	CU_ASSERT(bytes_equal_text(buf_bytes(&w.body), "{}"));
	bus_fixture_reply(&w, bytes_text("{\"text\":1}"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	/* It knows no parts: one message, or 413. */
	for (uint64_t token = 2; token <= 3; token++) {
		struct query_head head = { .request_id = (char *)"r",
					   .service = (char *)"inference:m",
					   .method = (char *)"POST",
					   .path = (char *)"/",
					   .timeout_ms = 1000 };
		int parts = token == 2 ? 8 : 9;

		CU_ASSERT(bus_send(f.bus, f.up, token, &head, big, false) == 0);
		for (int i = 1; i < parts; i++)
			CU_ASSERT(bus_body(f.bus, token, big, i == parts - 1) == 0);
	}
	CU_ASSERT(bus_fixture_until(&f, &w.works, 2));
	CU_ASSERT_EQUAL(w.body.len, 2 + 8 * (size_t)LIMIT_PART_BYTES_MAX);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[3].errors, 1));
	if (f.calls[3].error_status != 413)
		tap_note("%d: %s", f.calls[3].error_status, f.calls[3].error);
	CU_ASSERT_EQUAL(f.calls[3].error_status, 413);
	/* What is gathered here does not wait for the worker's word to go on. */
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].credit, 7));
	free((void *)(uintptr_t)big.data);
	bus_fixture_close_both(&f, &w);
}

/* A legacy worker announces once, perhaps when nobody listened: it is found by its
 * subscription, at the latest when the bus has settled. */
static void
test_legacy_found(void)
{
	struct fixture f;
	struct fixture_worker w;

	bus_fixture_open(&f, "found", NULL);
	bus_fixture_worker_open(&f, &w, NULL);
	/* Now the first list of connections has been read, on all but the busiest machine. */
	bus_fixture_turn(&f, 100);
	w.work = bus_conn_subscribe(w.conn, "inference:late", "workers");
	CU_ASSERT(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT_STRING_EQUAL(f.first_service, "inference:late");
	bus_fixture_close_both(&f, &w);
}

/* One takes over another's id, and the other dies before it has finished: what it had is
 * lost, and nothing of the new one's. */
static void
test_replaced_one_dies(void)
{
	struct fixture f;
	struct fixture_worker w, v;

	bus_fixture_open_with_worker(&f, &w, "replaced");
	CU_ASSERT(bus_fixture_send(&f, "w1", 1, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.works, 1));
	bus_fixture_worker_open(&f, &v, "w1");
	bus_fixture_announce(&v, BUS_FIXTURE_ANNOUNCE_WC,
			     (unsigned long long)v.client_id);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &w.controls, 1));
	CU_ASSERT(strstr(w.last_control, "replaced") != NULL);
	bus_sub_free(w.work);
	w.work = NULL;
	bus_fixture_turn(&f, 50);
	CU_ASSERT(bus_fixture_send(&f, "w1", 2, "wc", BYTES_NONE) == 0);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &v.works, 1));
	CU_ASSERT(f.calls[1].errors == 0);
	bus_fixture_worker_close(&w);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT(f.calls[1].outcome == BUS_LOST && f.calls[1].error_status == 502);
	bus_fixture_reply(&v, bytes_text("2"), NULL);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].ends, 1));
	CU_ASSERT(f.calls[2].errors == 0 && f.downs == 0);
	bus_fixture_close_both(&f, &v);
}

/* A server of an earlier life, by pid file: replaced. A pid that became another program's:
 * left alone. */
static void
test_left_over_server(void)
{
	struct fixture f, g;
	pid_t old, stranger, self = getpid();
	char *path, *folder;
	char text[16];

	bus_fixture_open(&f, "left-over", NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	old = bus_fixture_server_pid(f.folder);
	CU_ASSERT_FATAL(old > 1);
	/* The second life starts beside the first, which thinks that its server died. */
	bus_fixture_open(&g, "left-over", NULL);
	CU_ASSERT(bus_fixture_until_up(&g));
	CU_ASSERT(bus_fixture_server_pid(g.folder) != old &&
		  bus_fixture_server_pid(g.folder) > 1);
	folder = mem_strdup(g.folder);
	bus_fixture_close(&f);
	bus_fixture_close(&g);
	stranger = fork();
	if (stranger == 0) {
		while (getppid() == self)
			usleep(10000);
		_exit(0);
	}
	path = mem_printf("%s/bus/nats-server.pid", folder);
	snprintf(text, sizeof(text), "%d\n", (int)stranger);
	CU_ASSERT(file_write(path, bytes_text(text), 0600, NULL) == 0);
	bus_fixture_open(&f, "left-over", NULL);
	CU_ASSERT(bus_fixture_until_up(&f));
	CU_ASSERT(kill(stranger, 0) == 0);
	CU_ASSERT(waitpid(stranger, NULL, WNOHANG) == 0);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
	bus_fixture_close(&f);
	free(path);
	free(folder);
}

/* What a pid file may hold, and a server that was stopped: it cannot take a signal to end. */
static void
test_pid_files(void)
{
	static const char *const texts[] = { "",	 "\n",
					     "nonsense", "-1",
					     "0",	 "1\n",
					     "-00x2",	 "99999999999999999999",
					     "4194305" };
	struct fixture f, g;
	char *path = mem_printf("%s/pids/bus/nats-server.pid", tap_folder()), *folder;
	struct stat st;
	pid_t old;

	bus_fixture_open(&f, "pids", NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	bus_fixture_close(&f);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CU_ASSERT(file_write(path, bytes_text(texts[i]), 0600, NULL) == 0);
		bus_fixture_open(&f, "pids", NULL);
		CU_ASSERT_FATAL(bus_fixture_until_up(&f));
		CU_ASSERT(kill(bus_fixture_server_pid(f.folder), 0) == 0);
		if (i + 1 < sizeof(texts) / sizeof(texts[0]))
			bus_fixture_close(&f);
	}
	folder = mem_printf("%s/bus/jetstream", f.folder);
	CU_ASSERT(stat(folder, &st) == 0 && S_ISDIR(st.st_mode));
	free(folder);
	old = bus_fixture_server_pid(f.folder);
	kill(old, SIGSTOP);
	bus_fixture_open(&g, "pids", NULL);
	CU_ASSERT(bus_fixture_until_up(&g));
	CU_ASSERT(bus_fixture_server_pid(g.folder) != old);
	bus_fixture_turn(&f, 50);
	CU_ASSERT(kill(old, 0) < 0);
	bus_fixture_close(&f);
	bus_fixture_close(&g);
	free(path);
}

/* It is started again at once, then later each time while it does not live long; queries
 * and workers of before are another matter (test-bus-legacy.c, system/death-bus.sh). */
static void
test_restarts_wait(void)
{
	static const ms_t waits[] = { 0, 100, 200, 400 };
	struct fixture f;
	struct bus_stats stats;

	bus_fixture_open(&f, "restarts", NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	for (int i = 0; i < 4; i++) {
		ms_t killed = clock_mono_ms();
		int states = f.states;

		kill(bus_fixture_server_pid(f.folder), SIGKILL);
		/* Down, up again. */
		CU_ASSERT_FATAL(bus_fixture_until(&f, &f.states, states + 2));
		CU_ASSERT(clock_mono_ms() - killed >= waits[i]);
		CU_ASSERT(f.state != BUS_DOWN);
	}
	bus_get_stats(f.bus, &stats);
	CU_ASSERT_EQUAL(stats.server_restarts, 4);
	CU_ASSERT(strstr(f.warning, "was lost") != NULL ||
		  strstr(f.warning, "killed by signal 9") != NULL);
	CU_ASSERT_EQUAL(f.fatals, 0);
	bus_fixture_close(&f);
}

/* The server does not outlive us, however we end. */
static void
test_server_dies_with_us(void)
{
	struct buf folder = BUF_INIT;
	struct fixture f;
	pid_t child, server = 0;

	buf_printf(&folder, "%s/orphan", tap_folder());
	child = fork();
	if (child == 0) {
		bus_fixture_open(&f, "orphan", NULL);
		bus_fixture_until_up(&f);
		raise(SIGKILL);
	}
	waitpid(child, NULL, 0);
	server = bus_fixture_server_pid(buf_text(&folder));
	CU_ASSERT_FATAL(server > 1);
	for (int i = 0; i < 1000 && kill(server, 0) == 0; i++)
		usleep(10000);
	CU_ASSERT(kill(server, 0) < 0);
	buf_fini(&folder);
}

static int
open_error(struct bus_config *config, struct errmsg *err)
{
	static const struct bus_handler nothing = { 0 };
	struct loop *loop = loop_new();
	struct bus *bus = NULL;
	int rc;

	config->data = tap_folder();
	config->node_name = "n";
	rc = bus_open(loop, config, &nothing, NULL, &bus, err);
	bus_close(bus);
	loop_free(loop);
	return rc;
}

static void
test_what_a_person_must_mend(void)
{
	static const char *const listens[] = {
		"127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "0.0.0.0:8094",
		"[::]:8094", "10.1.2.3:1", "example.org:1",   ":8094"
	};
	struct errmsg err = { "" };
	char *path = mem_strdup(getenv("PATH"));

	for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
		struct bus_config config = { .listen = listens[i] };

		CU_ASSERT_EQUAL(open_error(&config, &err), -EINVAL);
		CU_ASSERT(strstr(err.text, "bus.listen") != NULL);
	}
	CU_ASSERT_EQUAL(open_error(&(struct bus_config){ .server = "/no/such" }, &err),
			-ENOENT);
	CU_ASSERT(strstr(err.text, "bus.server") != NULL);
	setenv("PATH", "/nowhere", 1);
	if (access("/usr/sbin/nats-server", X_OK) != 0 &&
	    access("/usr/local/sbin/nats-server", X_OK) != 0) {
		CU_ASSERT_EQUAL(open_error(&(struct bus_config){ 0 }, &err), -ENOENT);
		CU_ASSERT(strstr(err.text, "install the Debian package nats-server") !=
			  NULL);
	}
	setenv("PATH", path, 1);
	CU_ASSERT_EQUAL(open_error(&(struct bus_config){ .server = "none" }, &err), 0);
	free(path);
}

static void
test_port_in_use(void)
{
	struct fixture f, g;
	struct bus_config config = { .listen = f.url };

	bus_fixture_open(&f, "port-a", NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&f));
	bus_fixture_open(&g, "port-b", &config);
	CU_ASSERT(bus_fixture_until(&g, &g.fatals, 1));
	CU_ASSERT(strstr(g.fatal, f.url) != NULL && strstr(g.fatal, "in use") != NULL);
	bus_fixture_close(&g);
	bus_fixture_close(&f);
}

/* A plain server, whose port is found by letting one of ours pick and go. */
static pid_t
plain_start(const char *name, int *ret_port)
{
	struct fixture owner;
	char *conf = mem_printf("%s/%s.conf", tap_folder(), name), *text;
	pid_t pid;

	bus_fixture_open(&owner, name, NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&owner));
	*ret_port = (int)strtol(strrchr(owner.url, ':') + 1, NULL, 10);
	bus_fixture_close(&owner);
	text = mem_printf("listen: \"127.0.0.1:%d\"\n", *ret_port);
	CU_ASSERT(file_write(conf, bytes_text(text), 0600, NULL) == 0);
	free(text);
	pid = fork();
	if (pid == 0) {
		fclose(stderr);
		execlp("nats-server", "nats-server", "-c", conf, (char *)NULL);
		execl("/usr/sbin/nats-server", "nats-server", "-c", conf, (char *)NULL);
		_exit(127);
	}
	free(conf);
	return pid;
}

static void
plain_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Somebody's NATS: the second node learns the name of the first. */
static void
test_bus_is_taken(void)
{
	struct fixture first, second;
	struct bus_config config = { .node_name = "first" };
	char *url;
	int port;
	pid_t pid = plain_start("external", &port);

	url = mem_printf("nats://user:secret@127.0.0.1:%d", port);
	config.url = url;
	bus_fixture_open(&first, "first", &config);
	CU_ASSERT_FATAL(bus_fixture_until_up(&first));
	CU_ASSERT(strstr(first.url, "secret") == NULL);
	config.node_name = "second";
	config.node_id.b[0] = 3;
	bus_fixture_open(&second, "second", &config);
	while (second.fatals == 0 && second.state == BUS_DOWN) {
		loop_turn(first.loop, 5);
		loop_turn(second.loop, 5);
	}
	CU_ASSERT(second.fatals == 1 && second.state == BUS_DOWN);
	CU_ASSERT(strstr(second.fatal, "taken by node first") != NULL);
	CU_ASSERT(strstr(second.fatal, "secret") == NULL);
	CU_ASSERT(first.fatals == 0 && first.state != BUS_DOWN);
	bus_fixture_close(&second);
	/* Here no one tells of connections: heartbeats alone, and no legacy workers. */
	bus_fixture_close(&first);
	plain_stop(pid);
	free(url);
}

/* A node that starts again on a bus that went on asks its workers, whatever their hearts
 * beat like, and knows them before they would have said a word. */
static void
test_hello(void)
{
	struct fixture f;
	struct fixture_worker w;
	struct bus_config config = { .node_name = "again" };
	struct bus_sub *hello = NULL;
	int port, heard = 0;
	pid_t pid = plain_start("hello", &port);
	char *url = mem_printf("127.0.0.1:%d", port);

	config.url = url;
	bus_fixture_open(&f, "again", &config);
	bus_fixture_worker_open(&f, &w, "w1");
	hello = bus_conn_subscribe(w.conn, BUS_SUBJECT_HELLO, NULL);
	bus_fixture_turn(&f, 50);
	for (int life = 0; life < 3; life++) {
		struct bus_msg *msg;
		struct loop *loop = f.loop;

		if (life > 0)
			bus_fixture_reopen(&f, &config);
		CU_ASSERT(f.loop == loop);
		CU_ASSERT_FATAL(bus_fixture_until_up(&f));
		for (ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;
		     life > 0 && heard < life && clock_mono_ms() < end;) {
			bus_fixture_turn(&f, 5);
			if (bus_sub_next(hello, &msg) == BUS_NEXT_MSG) {
				heard++;
				bus_msg_free(msg);
			}
		}
		CU_ASSERT_EQUAL(heard, life);
		bus_fixture_announce(
			&w, "{\"v\":1,\"id\":\"w1\",\"service\":\"s\",\"slots\":1,"
			    "\"status\":\"connected\",\"hb_s\":3600}");
		CU_ASSERT(bus_fixture_until(&f, &f.ups, life + 1));
	}
	bus_sub_free(hello);
	bus_fixture_close_both(&f, &w);
	plain_stop(pid);
	free(url);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		/* First: for the thread sanitizer a child forked beside threads starts none. */
		{ "the server dies with us", test_server_dies_with_us },
		{ "a worker appears, drains and leaves", test_worker_appears_and_leaves },
		{ "a connection that ends takes its worker with it within a second",
		  test_lost_connection_is_seen },
		{ "one message is a whole reply", test_whole_reply },
		{ "a reply that breaks the protocol is a 502 and cancelled",
		  test_broken_replies },
		{ "a worker's error is told, and some give the query back",
		  test_errors_of_a_worker },
		{ "a query that nobody listened for was not taken", test_nobody_listens },
		{ "who begins and falls silent has failed", test_silence },
		{ "a forged reply is dropped and counted", test_foreign_replies },
		{ "a replaced worker that dies loses what it had",
		  test_replaced_one_dies },
		{ "a legacy worker is served by its queue group", test_legacy_worker },
		{ "a legacy worker that was missed is found by its subscription",
		  test_legacy_found },
		{ "a server left over is replaced, a stranger is not",
		  test_left_over_server },
		{ "a pid file may hold anything, and a server that stands is replaced",
		  test_pid_files },
		{ "a server that dies is started again, later each time",
		  test_restarts_wait },
		{ "what a person must mend is said in a sentence",
		  test_what_a_person_must_mend },
		{ "a port in use is fatal and named", test_port_in_use },
		{ "a second node on a bus learns the first one's name",
		  test_bus_is_taken },
		{ "a node that starts again asks the workers that are there",
		  test_hello },
	};

	if (getenv("OCF_TEST_SAY") != NULL)
		log_configure(LOG_DEBUG, LOG_FORMAT_TEXT);
	return TAP_MAIN(argc, argv, tests);
}
