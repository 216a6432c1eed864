/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/worker-rig.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "lib/tap.h"

enum { RIG_ARGS_MAX = 24 };

static pid_t
spawn(char *const *argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static char *
program(const char *name)
{
	const char *builddir = getenv("OCF_TEST_BUILDDIR");

	return mem_printf("%s/%s", builddir != NULL ? builddir : ".", name);
}

void
worker_rig_end(pid_t *pid, int signo)
{
	if (*pid <= 0)
		return;
	kill(*pid, signo);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* --- the server --- */

char *
worker_rig_file(const struct worker_rig *r, const char *name)
{
	return mem_printf("%s/%s", r->folder, name);
}

void
worker_rig_tell(const struct worker_rig *r, const char *name, const char *text)
{
	char *path = worker_rig_file(r, name);

	CU_ASSERT_FATAL(file_write(path, bytes_text(text), 0644, NULL) == 0);
	free(path);
}

static bool
server_listens(void *arg)
{
	struct worker_rig *r = arg;
	char *path = worker_rig_file(r, "listen");
	struct buf text = BUF_INIT;

	if (file_read(path, sizeof(r->url) - 1, &text, NULL) == 0) {
		snprintf(r->url, sizeof(r->url), "%s", buf_text(&text));
		r->url[strcspn(r->url, "\n")] = '\0';
	}
	buf_fini(&text);
	free(path);
	return r->url[0] != '\0';
}

/* At a port of its own choice the first time, at the same one later. */
void
worker_rig_serve(struct worker_rig *r)
{
	char *path = worker_rig_file(r, "listen"), *port = strrchr(r->url, ':');
	char *argv[] = { program("tests/lib/upstream"), r->folder,
			 mem_strdup(port != NULL ? port + 1 : "0"), NULL };

	unlink(path);
	free(path);
	r->url[0] = '\0';
	r->server = spawn(argv);
	free(argv[0]);
	free(argv[2]);
	CU_ASSERT_FATAL(bus_fixture_until_true(&r->f, server_listens, r));
}

/* --- the worker --- */

void
worker_rig_work(struct worker_rig *r, const char *first, ...)
{
	char *name = program("src/worker/ocf-worker");
	char *argv[RIG_ARGS_MAX] = { name,	   (char *)"--bus",  r->f.url,
				     (char *)"-i", (char *)"w",	     (char *)"-s",
				     (char *)"s",  (char *)"--http", r->url };
	int n = 9;
	va_list ap;

	va_start(ap, first);
	for (const char *arg = first; arg != NULL && n < RIG_ARGS_MAX - 1;
	     arg = va_arg(ap, const char *))
		argv[n++] = (char *)arg;
	va_end(ap);
	r->worker = spawn(argv);
	free(name);
}

void
worker_rig_open_idle(struct worker_rig *r, const char *name)
{
	*r = (struct worker_rig){ 0 };
	bus_fixture_open(&r->f, name, NULL);
	CU_ASSERT_FATAL(bus_fixture_until_up(&r->f));
	r->folder = mem_printf("%s/%s.server", tap_folder(), name);
	CU_ASSERT_FATAL(file_make_dirs(r->folder, 0700, NULL) == 0);
	worker_rig_serve(r);
}

/* With a worker of so many slots, known to the bus. */
void
worker_rig_open(struct worker_rig *r, const char *name, const char *slots)
{
	worker_rig_open_idle(r, name);
	worker_rig_work(r, "-n", slots, NULL);
	CU_ASSERT_FATAL(bus_fixture_until(&r->f, &r->f.ups, 1));
}

void
worker_rig_close(struct worker_rig *r)
{
	worker_rig_end(&r->worker, SIGKILL);
	worker_rig_end(&r->server, SIGKILL);
	bus_fixture_close(&r->f);
	free(r->folder);
}

/* --- queries --- */

struct query_head
worker_rig_head(const char *method, const char *path)
{
	return (struct query_head){ .request_id = (char *)"id-1",
				    .service = (char *)"s",
				    .method = (char *)method,
				    .path = (char *)path,
				    .timeout_ms = 60000,
				    .body_len = -1 };
}

struct fixture_call *
worker_rig_ask(struct worker_rig *r, int token, const char *method, const char *path,
	       const char *body)
{
	struct query_head head = worker_rig_head(method, path);
	struct fixture_call *c = &r->f.calls[token];
	struct buf data = c->data;

	buf_clear(&data);
	*c = (struct fixture_call){ .data = data, .holds_credit = c->holds_credit };
	/* While the bus restarts it knows no worker. */
	if (bus_send(r->f.bus, "w", (uint64_t)token, &head, bytes_text(body), true) < 0)
		c->errors = 1;
	return c;
}

/* … and wait for its end, whatever that is. */
bool
worker_rig_is_over(void *arg)
{
	struct fixture_call *c = arg;

	return c->ends + c->errors > 0;
}

struct fixture_call *
worker_rig_get(struct worker_rig *r, const char *path)
{
	struct fixture_call *c = worker_rig_ask(r, 1, "GET", path, "");

	CU_ASSERT_FATAL(bus_fixture_until_true(&r->f, worker_rig_is_over, c));
	return c;
}

bool
worker_rig_replied(struct fixture_call *c, int status, const char *text)
{
	bool is = c->ends == 1 && c->errors == 0 && c->status == status &&
		  bytes_equal_text(buf_bytes(&c->data), text);

	if (!is)
		tap_note("%d, %d %s; error %d %s", c->ends, c->status, buf_text(&c->data),
			 c->error_status, c->error);
	return is;
}

bool
worker_rig_failed(struct fixture_call *c, int status, enum bus_outcome outcome,
		  const char *says)
{
	bool is = c->ends == 0 && c->errors == 1 && c->error_status == status &&
		  c->outcome == outcome && strstr(c->error, says) != NULL;

	if (!is)
		tap_note("%d, %d %s; error %d %d %s", c->ends, c->status,
			 buf_text(&c->data), c->error_status, c->outcome, c->error);
	return is;
}

/* What the server has counted, asked through the worker. */
struct count {
	struct worker_rig *r;
	const char *what;
	int want, last;
};

static bool
count_is(void *arg)
{
	struct count *c = arg;
	struct fixture_call *call = worker_rig_ask(c->r, 63, "GET", "/stats", "");
	char name[32];
	const char *at;

	CU_ASSERT_FATAL(bus_fixture_until_true(&c->r->f, worker_rig_is_over, call));
	snprintf(name, sizeof(name), "\"%s\":", c->what);
	at = strstr(buf_text(&call->data), name);
	c->last = at != NULL ? atoi(at + strlen(name)) : -1;
	return c->last == c->want;
}

bool
worker_rig_counts(struct worker_rig *r, const char *what, int want)
{
	struct count c = { r, what, want, -1 };
	bool is = bus_fixture_until_true(&r->f, count_is, &c);

	if (!is)
		tap_note("%s: %d, not %d", what, c.last, want);
	return is;
}
