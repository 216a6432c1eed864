/* SPDX-License-Identifier: Apache-2.0 */
/* The program ocf-worker, as it is run, against a real bus. */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "bus/protocol.h"
#include "lib/tap.h"
#include "unit/bus-fixture.h"

enum { ARGS_MAX = 24 };

/* Run ocf-worker with these arguments (NULL at the end) in the fixture's folder. */
static pid_t
spawn(struct fixture *f, const char *first, ...)
{
	const char *builddir = getenv("OCF_TEST_BUILDDIR");
	char *program = mem_printf("%s/src/worker/ocf-worker",
				   builddir != NULL ? builddir : ".");
	char *argv[ARGS_MAX] = { program, (char *)"--bus", f->url };
	int n = 3;
	va_list ap;
	pid_t pid;

	va_start(ap, first);
	for (const char *arg = first; arg != NULL && n < ARGS_MAX - 1;
	     arg = va_arg(ap, const char *))
		argv[n++] = (char *)arg;
	va_end(ap);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(program, argv);
		_exit(127);
	}
	free(program);
	return pid;
}

static void
end_worker(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

struct process {
	pid_t pid;
	int status;
	bool has_exited;
};

static bool
has_exited(void *arg)
{
	struct process *p = arg;

	if (!p->has_exited)
		p->has_exited = waitpid(p->pid, &p->status, WNOHANG) == p->pid;
	return p->has_exited;
}

static bool
is_gone(void *arg)
{
	return kill(*(pid_t *)arg, 0) < 0;
}

static void
start(struct fixture *f, const char *name)
{
	bus_fixture_open(f, name, NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(f));
}

static int
send_timed(struct fixture *f, const char *worker, uint64_t token, const char *body,
	   ms_t timeout_ms)
{
	char id[32];
	struct query_head head = {
		.request_id = id,
		.service = (char *)"s",
		.selector = (char *)"model=a b",
		.method = (char *)"PUT",
		.path = (char *)"/x?y=z",
		.content_type = (char *)"text/plain; charset=utf-8",
		.timeout_ms = timeout_ms,
		.body_len = -1,
	};

	snprintf(id, sizeof(id), "id-%llu", (unsigned long long)token);
	return bus_send(f->bus, worker, token, &head, bytes_text(body), true);
}

static int
send_query(struct fixture *f, const char *worker, uint64_t token, const char *body)
{
	return send_timed(f, worker, token, body, 60000);
}

static bool
data_is(struct fixture *f, int token, const char *text)
{
	bool is = bytes_equal_text(buf_bytes(&f->calls[token].data), text);

	if (!is)
		tap_note("got: %s; error: %s", buf_text(&f->calls[token].data),
			 f->calls[token].error);
	return is;
}

static void
test_text_tool(void)
{
	struct fixture f;
	pid_t pid;

	start(&f, "wc");
	pid = spawn(&f, "--service", "s", "--meta", "who=me", "--meta", "a=b=c",
		    "--match", "model=a b", "--slots", "3", "--", "wc", "-w", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(strncmp(f.up, "s-", 2) == 0 && strlen(f.up) == 10);
	CU_ASSERT_STRING_EQUAL(f.metadata, "{\"a\":\"b=c\",\"who\":\"me\"}");
	CU_ASSERT(strstr(f.hardware, "\"cpus\":") != NULL);
	CU_ASSERT(f.slots == 3 && f.is_direct && f.services == 1);
	CU_ASSERT(send_query(&f, f.up, 1, "one two  three") == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(data_is(&f, 1, "3\n") && f.calls[1].heads == 1);
	CU_ASSERT_STRING_EQUAL(f.calls[1].worker, f.up);
	CU_ASSERT(f.warnings == 0);
	end_worker(pid);
	bus_fixture_close(&f);
}

static void
test_environment(void)
{
	struct fixture f;
	pid_t pid;

	start(&f, "environment");
	pid = spawn(
		&f, "-s", "s", "-i", "w", "--", "sh", "-c",
		"echo \"$OCF_REQUEST_ID|$OCF_SERVICE|$OCF_MATCH|$OCF_METHOD|$OCF_PATH|"
		"$CONTENT_TYPE\"; cat",
		NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(data_is(&f, 1,
			  "id-1|s|model=a b|PUT|/x?y=z|text/plain; charset=utf-8\n"));
	end_worker(pid);
	bus_fixture_close(&f);
}

static void
test_hardware(void)
{
	const char *builddir = getenv("OCF_TEST_BUILDDIR");
	char *library = mem_printf("%s/tests/lib/nvml.so",
				   builddir != NULL ? builddir : ".");
	struct fixture f;
	pid_t pid;

	start(&f, "hardware");
	setenv("OCF_TEST_NVML", library, 1);
	setenv("CUDA_VISIBLE_DEVICES", "0,2", 1);
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "cat", NULL);
	unsetenv("OCF_TEST_NVML");
	unsetenv("CUDA_VISIBLE_DEVICES");
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(strstr(f.hardware, "\"cpus\":") != NULL);
	CU_ASSERT(strstr(f.hardware, "\"memory\":") != NULL);
	CU_ASSERT(strstr(f.hardware,
			 "{\"memory\":85899345920,\"name\":\"NVIDIA Test 80GB\"},"
			 "{\"memory\":25769803776,\"name\":\"NVIDIA Test 24GB\"}]") !=
		  NULL);
	/* Telemetry would write a row whenever it changed. */
	CU_ASSERT(strstr(f.hardware, "memory_used") == NULL);
	tap_note("%s", f.hardware);
	end_worker(pid);
	free(library);
	bus_fixture_close(&f);
}

/* Send `len` bytes in parts as credit allows; the last part is empty. */
static void
send_parts(struct fixture *f, uint64_t token, const uint8_t *data, size_t len)
{
	struct fixture_call *c = &f->calls[token];
	struct query_head head = { .request_id = (char *)"big",
				   .service = (char *)"s",
				   .method = (char *)"POST",
				   .path = (char *)"/",
				   .timeout_ms = 60000,
				   .body_len = -1 };
	ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;
	size_t at = LIMIT_PART_BYTES_MAX;
	int sent = 1;
	bool is_done = false;

	CU_ASSERT_FATAL(bus_send(f->bus, "w", token, &head, bytes_of(data, at), false) ==
			0);
	while (!is_done && clock_mono_ms() < end && c->errors == 0) {
		while (!is_done && sent - c->credit < LIMIT_PARTS_WINDOW) {
			size_t n = len - at < LIMIT_PART_BYTES_MAX ? len - at
								   : LIMIT_PART_BYTES_MAX;

			is_done = n == 0;
			CU_ASSERT(bus_body(f->bus, token, bytes_of(data + at, n),
					   is_done) == 0);
			at += n;
			sent++;
		}
		loop_turn(f->loop, 5);
	}
	CU_ASSERT(is_done);
}

static void
test_large_both_ways(void)
{
	enum { LEN = 1000000 };
	struct fixture f;
	uint8_t *data = mem_alloc(LEN);
	struct rng rng;
	pid_t pid;

	rng_init(&rng, tap_seed());
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)rng_next(&rng);
	start(&f, "large");
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "cat", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	send_parts(&f, 2, data, LEN);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].ends, 1));
	CU_ASSERT(bytes_equal(buf_bytes(&f.calls[2].data), bytes_of(data, LEN)));
	end_worker(pid);
	free(data);
	bus_fixture_close(&f);
}

static void
test_body_that_nobody_reads(void)
{
	enum { LEN = 3000000 };
	struct fixture f;
	uint8_t *data = mem_calloc(1, LEN);
	pid_t pid;

	start(&f, "unread");
	memset(data, 'x', LEN);
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "sh", "-c",
		    "head -c 1; exec 0<&-; sleep 0.3", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	send_parts(&f, 2, data, LEN);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].ends, 1));
	CU_ASSERT(data_is(&f, 2, "x"));
	end_worker(pid);
	free(data);
	bus_fixture_close(&f);
}

static void
test_slow_reader_holds_the_command(void)
{
	struct fixture f;
	struct fixture_call *c = &f.calls[1];
	pid_t pid;

	start(&f, "slow");
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "head", "-c", "4000000", "/dev/zero",
		    NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	c->holds_credit = true;
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c->parts, LIMIT_PARTS_WINDOW));
	bus_fixture_turn(&f, 300);
	CU_ASSERT_EQUAL(c->parts, LIMIT_PARTS_WINDOW);
	c->holds_credit = false;
	bus_credit(f.bus, 1, LIMIT_PARTS_WINDOW);
	CU_ASSERT(bus_fixture_until(&f, &c->ends, 1));
	CU_ASSERT_EQUAL(c->data.len, 4000000);
	end_worker(pid);
	bus_fixture_close(&f);
}

static void
test_failures(void)
{
	struct fixture f;
	struct fixture_call *c = f.calls;
	pid_t pid;

	start(&f, "failures");
	pid = spawn(
		&f, "-s", "s", "-i", "w", "--", "sh", "-c",
		"read what; case $what in fail) echo oops >&2; exit 3;; die) kill -9 $$;; "
		"late) echo begun; echo sorry >&2; exit 4;; "
		"loud) head -c 100000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 5;; "
		"much) head -c 100000 /dev/zero; exit 6;; slow) sleep 100;; esac",
		NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "fail\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[1].errors, 1));
	CU_ASSERT_STRING_EQUAL(c[1].error, "the command exited with status 3\noops\n");
	CU_ASSERT(c[1].error_status == 502 && c[1].outcome == BUS_ANSWERED &&
		  c[1].is_taken);
	CU_ASSERT(send_query(&f, "w", 2, "die\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[2].errors, 1));
	CU_ASSERT_STRING_EQUAL(c[2].error, "the command was killed by signal 9 (Killed)");
	CU_ASSERT(send_query(&f, "w", 3, "late\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[3].errors, 1));
	CU_ASSERT_STRING_EQUAL(c[3].error, "the command exited with status 4\nsorry\n");
	CU_ASSERT(c[3].data.len == 0 && c[3].ends == 0);
	CU_ASSERT(send_query(&f, "w", 4, "loud\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[4].errors, 1));
	CU_ASSERT(strlen(c[4].error) ==
		  2048 + strlen("the command exited with status 5\n"));
	CU_ASSERT(strstr(c[4].error, "xEND\n") != NULL ||
		  strstr(c[4].error, "END\n") != NULL);
	CU_ASSERT(send_timed(&f, "w", 5, "slow\n", 300) == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[5].errors, 1));
	CU_ASSERT_EQUAL(c[5].error_status, 504);
	CU_ASSERT(send_query(&f, "w", 6, "much\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[6].errors, 1));
	CU_ASSERT(c[6].data.len == 100000 && c[6].ends == 0);
	/* After all of that it still works. */
	CU_ASSERT(send_query(&f, "w", 7, "fine\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &c[7].ends, 1));
	end_worker(pid);
	bus_fixture_close(&f);
}

/* Two process ids, of a command and of what it started, from its output. */
static bool
has_two_numbers(void *arg)
{
	struct buf *data = arg;

	return data->len > 0 && strchr(buf_text(data), '\n') != NULL;
}

#define FAMILY "sleep 1000 & echo $$ $!; wait"

static void
read_family(struct fixture *f, int token, pid_t ret[2])
{
	struct buf *data = &f->calls[token].data;

	ret[0] = ret[1] = 0;
	CU_ASSERT(bus_fixture_until_true(f, has_two_numbers, data));
	CU_ASSERT(sscanf(buf_text(data), "%d %d", &ret[0], &ret[1]) == 2);
}

static void
test_cancel_ends_the_whole_family(void)
{
	struct fixture f;
	pid_t pid, family[2];

	start(&f, "cancel");
	pid = spawn(&f, "-s", "s", "-i", "w", "--stream", "--", "sh", "-c", FAMILY, NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	read_family(&f, 1, family);
	bus_cancel(f.bus, 1);
	CU_ASSERT(bus_fixture_until_true(&f, is_gone, &family[0]));
	CU_ASSERT(bus_fixture_until_true(&f, is_gone, &family[1]));
	/* Its end is told once, and the one slot is free again. */
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT(f.calls[1].error_status == 499 && f.calls[1].ends == 0);
	CU_ASSERT(send_query(&f, "w", 2, "") == 0);
	read_family(&f, 2, family);
	end_worker(pid);
	bus_fixture_close(&f);
}

/* Somebody who gives the worker queries as the node does, under the node's name. */
struct asker {
	struct bus_conn *conn;
	struct bus_sub *inbox;
	/* By reply subject: refusals, since the one before still runs; any other word; ends */
	int refused[3], said[3], ends[3];
	int is_up;
};

static void
ask_by_hand(struct asker *a, int number)
{
	struct buf lines = BUF_INIT;
	char reply[64];

	bus_headers_put(&lines, BUS_H_REQ_ID, "same");
	bus_headers_put(&lines, BUS_H_SERVICE, "s");
	snprintf(reply, sizeof(reply), "ocf.r.asker.%d", number);
	CU_ASSERT(bus_conn_publish(a->conn, "ocf.d.w", reply, &lines, BYTES_NONE) == 0);
	buf_fini(&lines);
}

static void
cancel_by_hand(struct asker *a)
{
	CU_ASSERT(bus_conn_publish(a->conn, "ocf.c.w", NULL, NULL,
				   bytes_text("{\"op\":\"cancel\",\"id\":\"same\"}")) ==
		  0);
}

static void
asker_is_told(void *arg)
{
	(void)arg;
}

static void
asker_is_up(void *arg, uint64_t client_id)
{
	struct asker *a = arg;

	(void)client_id;
	a->is_up = 1;
}

static void
asker_hears(void *arg, const char *text)
{
	(void)arg;
	tap_note("the asker: %s", text);
}

static void
asker_open(struct asker *a, struct fixture *f)
{
	static const struct bus_conn_handler handler = { .up = asker_is_up,
							 .down = asker_hears,
							 .readable = asker_is_told,
							 .trouble = asker_hears };
	static const char before[] = "{ user: node, password: \"";
	char *path = mem_printf("%s/bus/nats-server.conf", f->folder), *password,
	     url[256];
	struct bus_conn_config config = { .url = url, .name = "asker", .user = "node" };
	struct buf text = BUF_INIT;

	CU_ASSERT_FATAL(file_read(path, 65536, &text, NULL) == 0);
	password = strstr(buf_text(&text), before);
	CU_ASSERT_FATAL(password != NULL);
	password += strlen(before);
	password[strcspn(password, "\"")] = '\0';
	config.password = password;
	snprintf(url, sizeof(url), "nats://%s", f->url);
	a->conn = bus_conn_open(f->loop, &config, &handler, a, NULL);
	CU_ASSERT_FATAL(a->conn != NULL && bus_fixture_until(f, &a->is_up, 1));
	a->inbox = bus_conn_subscribe(a->conn, "ocf.r.asker.*", NULL);
	CU_ASSERT_FATAL(a->inbox != NULL);
	buf_fini(&text);
	free(path);
}

static void
asker_listen(struct asker *a)
{
	struct bus_msg *msg;

	while (bus_sub_next(a->inbox, &msg) == BUS_NEXT_MSG) {
		const char *code = bus_msg_header(msg, "Nats-Service-Error-Code");
		int number = bus_msg_subject(msg)[strlen("ocf.r.asker.")] - '0';

		if (code == NULL)
			a->said[number]++;
		else if (strcmp(code, "499") == 0)
			a->ends[number]++;
		else
			a->refused[number]++;
		bus_msg_free(msg);
	}
}

static bool
both_ended(void *arg)
{
	struct asker *a = arg;

	asker_listen(a);
	return a->ends[1] > 0 && a->ends[2] > 0;
}

static bool
second_is_answered(void *arg)
{
	struct asker *a = arg;

	asker_listen(a);
	return a->said[2] > 0 || a->refused[2] > 0;
}

static bool
first_runs(void *arg)
{
	struct asker *a = arg;

	asker_listen(a);
	return a->said[1] > 1; /* busy, and its first output */
}

/* A node that gave up waiting may use an id again while its first query is still ending: each
 * of both tells of its end, once, however often it is cancelled. */
static void
test_cancelled_twice(void)
{
	struct fixture f;
	struct asker a = { 0 };
	pid_t pid, family[2];

	start(&f, "again");
	pid = spawn(&f, "-s", "s", "-i", "w", "-n", "3", "--stream", "--", "sh", "-c",
		    "trap '' TERM; " FAMILY, NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	asker_open(&a, &f);
	ask_by_hand(&a, 1);
	CU_ASSERT(bus_fixture_until_true(&f, first_runs, &a));
	cancel_by_hand(&a);
	cancel_by_hand(&a);
	/* A worker reads its queries before its control. */
	do {
		a.refused[2] = 0;
		ask_by_hand(&a, 2);
		CU_ASSERT_FATAL(bus_fixture_until_true(&f, second_is_answered, &a));
	} while (a.said[2] == 0);
	CU_ASSERT(a.ends[1] == 0);
	cancel_by_hand(&a);
	cancel_by_hand(&a);
	CU_ASSERT(bus_fixture_until_true(&f, both_ended, &a));
	CU_ASSERT(a.ends[1] == 1 && a.ends[2] == 1);
	/* Its slots are free. */
	for (int token = 1; token <= 3; token++) {
		CU_ASSERT(send_query(&f, "w", (uint64_t)token, "") == 0);
		read_family(&f, token, family);
	}
	bus_sub_free(a.inbox);
	bus_conn_close(a.conn);
	end_worker(pid);
	bus_fixture_close(&f);
}

static void
test_killed_worker_leaves_nothing(void)
{
	struct fixture f;
	pid_t pid, family[2];
	ms_t at;

	start(&f, "killed");
	pid = spawn(&f, "-s", "s", "-i", "w", "--stream", "--", "sh", "-c", FAMILY, NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	read_family(&f, 1, family);
	at = clock_mono_ms();
	end_worker(pid);
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT(clock_mono_ms() - at < 1000);
	tap_note("a killed worker was missed after %lld ms",
		 (long long)(clock_mono_ms() - at));
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].errors, 1));
	CU_ASSERT(f.calls[1].outcome == BUS_LOST && f.calls[1].error_status == 502);
	CU_ASSERT(bus_fixture_until_true(&f, is_gone, &family[0]));
	CU_ASSERT(bus_fixture_until_true(&f, is_gone, &family[1]));
	bus_fixture_close(&f);
}

static void
test_drain(void)
{
	struct fixture f;
	struct process p = { 0 };

	start(&f, "drain");
	p.pid = spawn(&f, "-s", "s", "-i", "w", "--", "sh", "-c",
		      "read x; sleep 0.5; echo $x", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "done\n") == 0);
	bus_fixture_turn(&f, 50);
	kill(p.pid, SIGTERM);
	CU_ASSERT(bus_fixture_until(&f, &f.changes, 1));
	CU_ASSERT(f.is_draining && f.downs == 0);
	/* One that comes too late is given back. */
	CU_ASSERT(send_query(&f, "w", 2, "late\n") == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].errors, 1));
	CU_ASSERT(f.calls[2].outcome == BUS_RETURNED && f.calls[2].retry_after_s == 1);
	CU_ASSERT(!f.calls[2].is_taken);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(data_is(&f, 1, "done\n"));
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT_STRING_EQUAL(f.reason, "it left");
	CU_ASSERT(bus_fixture_until_true(&f, has_exited, &p));
	CU_ASSERT(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 0);
	bus_fixture_close(&f);
}

static void
test_twice_is_at_once(void)
{
	struct fixture f;
	struct process p = { 0 };
	pid_t family[2];

	start(&f, "twice");
	p.pid = spawn(&f, "-s", "s", "-i", "w", "--stream", "--", "sh", "-c", FAMILY,
		      NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	read_family(&f, 1, family);
	kill(p.pid, SIGTERM);
	CU_ASSERT(bus_fixture_until(&f, &f.changes, 1));
	kill(p.pid, SIGTERM);
	CU_ASSERT(bus_fixture_until(&f, &f.downs, 1));
	CU_ASSERT(bus_fixture_until_true(&f, has_exited, &p));
	CU_ASSERT(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 0);
	CU_ASSERT(bus_fixture_until_true(&f, is_gone, &family[1]));
	bus_fixture_close(&f);
}

/* Each of four waits until all four are there, so they end only when they run together. */
static void
test_slots_run_together(void)
{
	struct fixture f;
	char script[512];
	pid_t pid;

	start(&f, "slots");
	snprintf(
		script, sizeof(script),
		"touch %s/mark.$$; while [ $(ls %s/mark.* | wc -l) -lt 4 ]; do sleep 0.05; done",
		f.folder, f.folder);
	pid = spawn(&f, "-s", "s", "-i", "w", "-n", "4", "--", "sh", "-c", script, NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	for (uint64_t i = 1; i <= 4; i++)
		CU_ASSERT(send_query(&f, "w", i, "") == 0);
	for (int i = 1; i <= 4; i++)
		CU_ASSERT(bus_fixture_until(&f, &f.calls[i].ends, 1));
	end_worker(pid);
	bus_fixture_close(&f);
}

/* More than slots: as many again wait, the rest is given back. */
static void
test_more_than_slots(void)
{
	struct fixture f;
	pid_t pid;

	start(&f, "more");
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "sleep", "0.3", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	for (uint64_t i = 1; i <= 3; i++)
		CU_ASSERT(send_query(&f, "w", i, "") == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[3].errors, 1));
	CU_ASSERT(f.calls[3].outcome == BUS_RETURNED && f.calls[3].error_status == 503);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(bus_fixture_until(&f, &f.calls[2].ends, 1));
	end_worker(pid);
	bus_fixture_close(&f);
}

/* A command that goes on in the background does not hold up its reply. */
static void
test_background_is_not_waited_for(void)
{
	struct fixture f;
	pid_t pid;

	start(&f, "background");
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "sh", "-c",
		    "setsid sleep 5 & echo now", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	CU_ASSERT(send_query(&f, "w", 1, "") == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.calls[1].ends, 1));
	CU_ASSERT(data_is(&f, 1, "now\n"));
	end_worker(pid);
	bus_fixture_close(&f);
}

static void
test_server_killed(void)
{
	struct fixture f;
	struct bus_stats stats;
	char url[128];
	pid_t pid;
	int states;

	start(&f, "server");
	pid = spawn(&f, "-s", "s", "-i", "w", "--", "cat", NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&f, &f.ups, 1));
	snprintf(url, sizeof(url), "%s", f.url);
	for (uint64_t round = 1; round <= 3; round++) {
		states = f.states;
		kill(bus_fixture_server_pid(f.folder), SIGKILL);
		CU_ASSERT(bus_fixture_until(&f, &f.states, states + 2));
		CU_ASSERT_EQUAL(f.state, BUS_UP);
		CU_ASSERT_STRING_EQUAL(f.url, url);
		/* The worker may still be on its way. */
		for (int i = 0; i < 200 && f.calls[round].ends == 0; i++) {
			f.calls[round].errors = 0;
			if (send_query(&f, "w", round, "hello") == 0)
				while (f.calls[round].ends + f.calls[round].errors == 0)
					loop_turn(f.loop, 10);
			bus_fixture_turn(&f, 20);
		}
		CU_ASSERT(f.calls[round].ends == 1 && data_is(&f, (int)round, "hello"));
	}
	bus_get_stats(f.bus, &stats);
	tap_note("%llu restarts, %llu reconnects",
		 (unsigned long long)stats.server_restarts,
		 (unsigned long long)stats.reconnects);
	CU_ASSERT(stats.server_restarts == 3 && stats.reconnects == 3);
	end_worker(pid);
	bus_fixture_close(&f);
}

/* A worker that is told of no bus, only of the daemon's folder. */
static pid_t
spawn_local(const struct fixture *f)
{
	const char *builddir = getenv("OCF_TEST_BUILDDIR");
	char *program = mem_printf("%s/src/worker/ocf-worker",
				   builddir != NULL ? builddir : ".");
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "--data", f->folder, "-s", "s", "-i", "w", "--",
		      "cat", (char *)NULL);
		_exit(127);
	}
	free(program);
	return pid;
}

static void
test_finds_the_local_daemon(void)
{
	struct fixture f;
	char *path, *text;
	pid_t pid;

	start(&f, "local");
	path = mem_printf("%s/run.json", f.folder);
	text = mem_printf("{\"bus\":\"%s\"}", f.url);
	CU_ASSERT(file_write(path, bytes_text("{\"bus\":\"127.0.0.1:1\"}"), 0644, NULL) ==
		  0);
	pid = spawn_local(&f);
	/* The daemon comes later, and elsewhere. */
	bus_fixture_turn(&f, 300);
	CU_ASSERT(f.ups == 0);
	CU_ASSERT(file_write(path, bytes_text(text), 0644, NULL) == 0);
	CU_ASSERT(bus_fixture_until(&f, &f.ups, 1));
	free(path);
	free(text);
	end_worker(pid);
	bus_fixture_close(&f);
}

/* Wait for the worker to connect, and turn it away. */
static bool
turn_away(int listener)
{
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	int fd = poll(&ready, 1, FIXTURE_WAIT_MS) == 1 ? accept(listener, NULL, NULL)
						       : -1;

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Its node stops, and run.json goes: at the default address another node may listen. */
static void
test_waits_for_its_own_node(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct fixture f = { .folder = mem_printf("%s/own", tap_folder()) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);
	char *path = mem_printf("%s/run.json", f.folder), *text;
	pid_t pid;

	CU_ASSERT_FATAL(file_make_dirs(f.folder, 0700, NULL) == 0);
	CU_ASSERT_FATAL(bind(listener, (struct sockaddr *)&at, len) == 0);
	CU_ASSERT_FATAL(listen(listener, 8) == 0);
	CU_ASSERT_FATAL(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	text = mem_printf("{\"bus\":\"127.0.0.1:%d\"}", ntohs(at.sin_port));
	CU_ASSERT(file_write(path, bytes_text(text), 0644, NULL) == 0);
	pid = spawn_local(&f);
	CU_ASSERT(turn_away(listener));
	CU_ASSERT(unlink(path) == 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(turn_away(listener));
	end_worker(pid);
	close(listener);
	free(path);
	free(text);
	free(f.folder);
}

static void
test_bad_usage(void)
{
	struct fixture f = { .url = "127.0.0.1:1" };
	static const struct {
		const char *args[5];
		int status;
	} table[] = {
		{ { "-s", "s", "--", "no-such-command-at-all", NULL }, 78 },
		{ { "-s", "s", "--", "/etc/passwd", NULL }, 78 },
		{ { "-s", "s", "-n", "0", NULL }, 2 },
		{ { "-s", "s", "-n", "4097", NULL }, 2 },
		{ { "-s", "s", "-i", "a b", NULL }, 2 },
		{ { "-s", "s", "-i", "a..b", NULL }, 2 },
		{ { "-s", "s", "-m", "model", NULL }, 2 },
		{ { "-s", "", "--", "cat", NULL }, 2 },
		{ { "-s", "s", NULL }, 2 },
		{ { "--", "cat", NULL }, 2 },
		{ { "--help", NULL }, 0 },
		{ { "--version", NULL }, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const *a = table[i].args;
		int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
		int null_fd = open("/dev/null", O_WRONLY), status = -1;
		pid_t pid;

		dup2(null_fd, STDOUT_FILENO);
		dup2(null_fd, STDERR_FILENO);
		pid = spawn(&f, a[0], a[1], a[2], a[3], a[4], NULL);
		waitpid(pid, &status, 0);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		close(out);
		close(err);
		close(null_fd);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != table[i].status)
			tap_note("case %zu: %d", i, WEXITSTATUS(status));
		CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == table[i].status);
	}
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a text tool answers a query", test_text_tool },
		{ "the command sees the query in its environment", test_environment },
		{ "its hardware is announced, with the processors that it may use",
		  test_hardware },
		{ "a megabyte goes there and back in parts", test_large_both_ways },
		{ "a body that the command does not read is swallowed",
		  test_body_that_nobody_reads },
		{ "a slow reader holds the command up after 16 parts",
		  test_slow_reader_holds_the_command },
		{ "a failed command gives its status and the tail of its errors",
		  test_failures },
		{ "a cancelled query ends its command and what that started",
		  test_cancel_ends_the_whole_family },
		{ "an id that is cancelled, used and cancelled again ends twice",
		  test_cancelled_twice },
		{ "a killed worker is missed within a second and leaves no process",
		  test_killed_worker_leaves_nothing },
		{ "SIGTERM drains", test_drain },
		{ "SIGTERM twice ends at once", test_twice_is_at_once },
		{ "slots run together", test_slots_run_together },
		{ "queries beyond slots wait or are given back", test_more_than_slots },
		{ "a background process does not hold up the reply",
		  test_background_is_not_waited_for },
		{ "after the server was killed the worker is back and answers",
		  test_server_killed },
		{ "without --bus it finds the local daemon, also later",
		  test_finds_the_local_daemon },
		{ "it waits for its own node when that has stopped",
		  test_waits_for_its_own_node },
		{ "bad usage has its exit status", test_bad_usage },
	};
	if (getenv("OCF_TEST_SAY") != NULL)
		log_configure(LOG_DEBUG, LOG_FORMAT_TEXT);
	return TAP_MAIN(argc, argv, tests);
}
