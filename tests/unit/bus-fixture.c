/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/bus-fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "bus/protocol.h"
#include "lib/tap.h"

static void
fixture_state(void *arg, enum bus_state state, const char *url, bool is_embedded)
{
	struct fixture *f = arg;

	(void)is_embedded;
	f->states++;
	f->state = state;
	snprintf(f->url, sizeof(f->url), "%s", url);
}

static void
fixture_warning(void *arg, const char *text)
{
	struct fixture *f = arg;

	f->warnings++;
	if (getenv("OCF_TEST_SAY") != NULL)
		tap_note("warning: %s", text);
	snprintf(f->warning, sizeof(f->warning), "%s", text);
}

static void
fixture_fatal(void *arg, const char *text)
{
	struct fixture *f = arg;

	f->fatals++;
	snprintf(f->fatal, sizeof(f->fatal), "%s", text);
}

static void
fixture_take(struct fixture *f, const struct bus_worker *w)
{
	snprintf(f->up, sizeof(f->up), "%s", w->id);
	f->slots = w->slots;
	f->services = w->services_len;
	f->is_draining = w->is_draining;
	f->is_direct = w->is_direct;
	snprintf(f->metadata, sizeof(f->metadata), "%s", w->metadata);
	snprintf(f->hardware, sizeof(f->hardware), "%s", w->hardware);
	snprintf(f->first_service, sizeof(f->first_service), "%s", w->services[0].name);
}

static void
fixture_worker_up(void *arg, const struct bus_worker *w)
{
	struct fixture *f = arg;

	f->ups++;
	fixture_take(f, w);
}

static void
fixture_worker_changed(void *arg, const struct bus_worker *w)
{
	struct fixture *f = arg;

	f->changes++;
	fixture_take(f, w);
}

static void
fixture_worker_down(void *arg, const char *id, const char *reason)
{
	struct fixture *f = arg;

	f->downs++;
	snprintf(f->down, sizeof(f->down), "%s", id);
	snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static void
fixture_reply_head(void *arg, uint64_t token, const struct reply_head *reply)
{
	struct fixture_call *c = &((struct fixture *)arg)->calls[token];
	const char *length = query_headers_get(&reply->headers, "content-length");

	c->heads++;
	c->status = reply->status;
	snprintf(c->length, sizeof(c->length), "%s", length != NULL ? length : "");
	snprintf(c->type, sizeof(c->type), "%s",
		 reply->content_type != NULL ? reply->content_type : "");
	snprintf(c->worker, sizeof(c->worker), "%s", reply->worker);
}

static void
fixture_reply_data(void *arg, uint64_t token, struct bytes part)
{
	struct fixture *f = arg;
	struct fixture_call *c = &f->calls[token];

	c->parts++;
	buf_put_bytes(&c->data, part);
	if (!c->holds_credit)
		bus_credit(f->bus, token, 1);
}

static void
fixture_reply_end(void *arg, uint64_t token)
{
	((struct fixture *)arg)->calls[token].ends++;
}

static void
fixture_reply_error(void *arg, uint64_t token, const struct query_error *error,
		    enum bus_outcome outcome)
{
	struct fixture_call *c = &((struct fixture *)arg)->calls[token];

	c->errors++;
	c->error_status = error->status;
	c->retry_after_s = error->retry_after_s;
	c->is_taken = error->is_taken;
	c->outcome = outcome;
	snprintf(c->error, sizeof(c->error), "%s", error->text);
}

static void
fixture_request_credit(void *arg, uint64_t token, int n)
{
	((struct fixture *)arg)->calls[token].credit += n;
}

static const struct bus_handler fixture_handler = {
	.state = fixture_state,
	.warning = fixture_warning,
	.fatal = fixture_fatal,
	.worker_up = fixture_worker_up,
	.worker_changed = fixture_worker_changed,
	.worker_down = fixture_worker_down,
	.reply_head = fixture_reply_head,
	.reply_data = fixture_reply_data,
	.reply_end = fixture_reply_end,
	.reply_error = fixture_reply_error,
	.request_credit = fixture_request_credit,
};

static void
fixture_open_bus(struct fixture *f, const struct bus_config *config)
{
	struct bus_config own = config != NULL ? *config : (struct bus_config){ 0 };
	struct errmsg err = { "" };

	own.data = f->folder;
	if (own.listen == NULL)
		own.listen = "127.0.0.1:0";
	if (own.node_name == NULL)
		own.node_name = "fixture";
	if (id_is_zero(&own.node_id))
		own.node_id.b[0] = 7;
	if (bus_open(f->loop, &own, &fixture_handler, f, &f->bus, &err) < 0) {
		tap_note("bus_open: %s", err.text);
		CU_FAIL_FATAL("the bus opens");
	}
}

void
bus_fixture_open(struct fixture *f, const char *name, const struct bus_config *config)
{
	memset(f, 0, sizeof(*f));
	f->loop = loop_new();
	f->folder = mem_printf("%s/%s", tap_folder(), name);
	CU_ASSERT_FATAL(file_make_dirs(f->folder, 0700, NULL) == 0);
	fixture_open_bus(f, config);
}

void
bus_fixture_reopen(struct fixture *f, const struct bus_config *config)
{
	bus_close(f->bus);
	f->state = BUS_DOWN;
	fixture_open_bus(f, config);
}

void
bus_fixture_close(struct fixture *f)
{
	bus_close(f->bus);
	loop_free(f->loop);
	free(f->folder);
	for (int i = 0; i < FIXTURE_CALLS; i++)
		buf_fini(&f->calls[i].data);
}

bool
bus_fixture_until(struct fixture *f, const int *value, int want)
{
	ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;

	while (*value < want && clock_mono_ms() < end)
		loop_turn(f->loop, 10);
	return *value >= want;
}

bool
bus_fixture_until_true(struct fixture *f, bool (*holds)(void *arg), void *arg)
{
	ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;

	while (!holds(arg) && clock_mono_ms() < end)
		loop_turn(f->loop, 10);
	return holds(arg);
}

void
bus_fixture_turn(struct fixture *f, ms_t span_ms)
{
	ms_t end = clock_mono_ms() + span_ms;

	while (clock_mono_ms() < end)
		loop_turn(f->loop, 5);
}

static bool
fixture_is_up(void *arg)
{
	return ((struct fixture *)arg)->state != BUS_DOWN;
}

bool
bus_fixture_until_up(struct fixture *f)
{
	return bus_fixture_until_true(f, fixture_is_up, f);
}

int
bus_fixture_send(struct fixture *f, const char *worker, uint64_t token,
		 const char *service, struct bytes body)
{
	struct query_head head = {
		.request_id = (char *)"req-1",
		.service = (char *)service,
		.method = (char *)"POST",
		.path = (char *)"/a?b=c",
		.content_type = (char *)"text/plain",
		.timeout_ms = 60000,
		.body_len = (int64_t)body.len,
	};

	return bus_send(f->bus, worker, token, &head, body, true);
}

static void
worker_up(void *arg, uint64_t client_id)
{
	struct fixture_worker *w = arg;

	w->client_id = client_id;
	w->is_up++;
}

static void
worker_down(void *arg, const char *reason)
{
	struct fixture_worker *w = arg;

	(void)reason;
	bus_sub_free(w->work);
	bus_sub_free(w->control);
	w->work = w->control = NULL;
}

static void
worker_take(struct fixture_worker *w, struct bus_msg *msg)
{
	query_headers_fini(&w->part);
	bus_msg_headers(msg, &w->part);
	if (bus_msg_reply(msg) != NULL) {
		snprintf(w->reply, sizeof(w->reply), "%s", bus_msg_reply(msg));
		query_headers_fini(&w->headers);
		query_headers_copy(&w->part, &w->headers);
	}
	buf_put_bytes(&w->body, bus_msg_data(msg));
	w->works++;
	bus_msg_free(msg);
}

static void
worker_readable(void *arg)
{
	struct fixture_worker *w = arg;
	struct bus_msg *msg;

	while (bus_sub_next(w->work, &msg) == BUS_NEXT_MSG)
		worker_take(w, msg);
	while (bus_sub_next(w->control, &msg) == BUS_NEXT_MSG) {
		struct bytes data = bus_msg_data(msg);

		snprintf(w->last_control, sizeof(w->last_control), "%.*s", (int)data.len,
			 (const char *)data.data);
		w->controls++;
		bus_msg_free(msg);
	}
}

static void
worker_trouble(void *arg, const char *text)
{
	struct fixture_worker *w = arg;

	snprintf(w->trouble, sizeof(w->trouble), "%s", text);
	w->troubles++;
}

static const struct bus_conn_handler worker_handler = {
	.up = worker_up,
	.down = worker_down,
	.readable = worker_readable,
	.trouble = worker_trouble,
};

void
bus_fixture_worker_open(struct fixture *f, struct fixture_worker *w, const char *id)
{
	char url[256], subject[128];
	struct bus_conn_config config = { .url = url, .name = "a worker" };

	memset(w, 0, sizeof(*w));
	w->f = f;
	CU_ASSERT_FATAL(bus_fixture_until_up(f));
	snprintf(url, sizeof(url), "nats://%s", f->url);
	w->conn = bus_conn_open(f->loop, &config, &worker_handler, w, NULL);
	CU_ASSERT_FATAL(w->conn != NULL);
	CU_ASSERT_FATAL(bus_fixture_until(f, &w->is_up, 1));
	if (id == NULL)
		return;
	snprintf(subject, sizeof(subject), BUS_SUBJECT_DIRECT "%s", id);
	w->work = bus_conn_subscribe(w->conn, subject, NULL);
	snprintf(subject, sizeof(subject), BUS_SUBJECT_CONTROL "%s", id);
	w->control = bus_conn_subscribe(w->conn, subject, NULL);
	CU_ASSERT_FATAL(w->work != NULL && w->control != NULL);
}

void
bus_fixture_worker_close(struct fixture_worker *w)
{
	bus_sub_free(w->work);
	bus_sub_free(w->control);
	bus_conn_close(w->conn);
	query_headers_fini(&w->headers);
	query_headers_fini(&w->part);
	buf_fini(&w->body);
}

void
bus_fixture_announce(struct fixture_worker *w, const char *fmt, ...)
{
	char text[16384];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	CU_ASSERT(bus_conn_publish(w->conn, BUS_SUBJECT_STATUS, NULL, NULL,
				   bytes_text(text)) == 0);
}

void
bus_fixture_reply(struct fixture_worker *w, struct bytes data, ...)
{
	struct query_headers headers = { 0 };
	const char *name;
	va_list ap;

	va_start(ap, data);
	while ((name = va_arg(ap, const char *)) != NULL)
		query_headers_add(&headers, name, va_arg(ap, const char *));
	va_end(ap);
	CU_ASSERT(bus_conn_publish(w->conn, w->reply, NULL, &headers, data) == 0);
	query_headers_fini(&headers);
}

void
bus_fixture_open_with_worker(struct fixture *f, struct fixture_worker *w,
			     const char *name)
{
	bus_fixture_open(f, name, NULL);
	bus_fixture_worker_open(f, w, "w1");
	/* As workers do, more than once: the node's subscription may reach the server after
	 * the first. */
	for (ms_t end = clock_mono_ms() + FIXTURE_WAIT_MS;
	     f->ups == 0 && clock_mono_ms() < end;) {
		bus_fixture_announce(w, BUS_FIXTURE_ANNOUNCE_WC,
				     (unsigned long long)w->client_id);
		bus_fixture_turn(f, 20);
	}
	CU_ASSERT_FATAL(f->ups == 1);
}

void
bus_fixture_close_both(struct fixture *f, struct fixture_worker *w)
{
	bus_fixture_worker_close(w);
	bus_fixture_close(f);
}

pid_t
bus_fixture_server_pid(const char *folder)
{
	char *path = mem_printf("%s/bus/nats-server.pid", folder);
	struct buf text = BUF_INIT;
	pid_t pid = 0;

	if (file_read(path, 64, &text, NULL) == 0)
		pid = (pid_t)strtol(buf_text(&text), NULL, 10);
	buf_fini(&text);
	free(path);
	/* Callers kill it: 0 would be this very process's group. */
	CU_ASSERT_FATAL(pid > 1);
	return pid;
}
