/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/worker.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/conn.h"
#include "bus/protocol.h"
#include "hw/hw.h"
#include "worker/announcement.h"
#include "worker/job.h"

enum {
	/* One that is too long is to be seen as that, not cut to a shorter one. */
	WORKER_URL_SIZE = ACCESS_URL_BYTES_MAX + 2,
	/* A cancelled query's command may take COMMAND_TERM_MS to end, while its slot is
	 * free in the eyes of the node: so many queries may wait for such slots. */
	WORKER_WAITING_PER_SLOT = 1,
	WORKER_RETRY_AFTER_S = 1, /* with a query that goes back */
};
#define WORKER_BUS_DEFAULT "127.0.0.1:8094"

struct worker {
	struct loop *loop;
	const struct worker_config *config;
	struct bus_conn *conn;
	char url[WORKER_URL_SIZE];   /* as connected or tried */
	char shown[WORKER_URL_SIZE]; /* without what is secret */
	struct bus_sub *work, *control, *hello;
	uint64_t client_id;
	struct hw_inventory inventory;
	struct job_host host;
	struct job *running, *waiting; /* by id */
	struct job *ending;	       /* cancelled, not yet gone; see job_ending_add() */
	struct loop_timer *heartbeat, *reopen;
	bool is_ready;	 /* the backend can answer */
	bool was_ready;	 /* it could once: others know of us */
	int matches_len; /* from worker_set_matches() */
	char **matches;
	bool is_draining, is_stopped;
	uint64_t replaced_by; /* the connection that has our id now; 0: we have it */
	struct log_limit trouble_limit;
};

static void worker_connect(void *arg);

/* --- announcements --- */

static struct announcement
worker_announcement(const struct worker *w)
{
	return (struct announcement){
		.config = w->config,
		.inventory = &w->inventory,
		.client_id = w->client_id,
		.server_id = w->conn != NULL ? bus_conn_server_id(w->conn) : NULL,
		.found_len = w->matches_len,
		.found = w->matches,
	};
}

static void
worker_announce(struct worker *w, const char *status)
{
	struct announcement a = worker_announcement(w);
	char *text;

	/* Of an id that is another's we say nothing, nor before there is something to offer. */
	if (!bus_conn_is_up(w->conn) || w->replaced_by != 0 || !w->was_ready)
		return;
	text = announcement_text(&a, status);
	if (text != NULL)
		bus_conn_publish(w->conn, BUS_SUBJECT_STATUS, NULL, NULL,
				 bytes_text(text));
	free(text);
}

static void
worker_on_heartbeat(void *arg)
{
	struct worker *w = arg;

	worker_announce(w, w->is_draining || !w->is_ready ? "draining" : "connected");
	loop_timer_set(w->heartbeat, BUS_HEARTBEAT_S * MS_SECOND);
}

/* --- jobs --- */

static void
worker_stop(struct worker *w)
{
	char text[256];

	w->is_stopped = true;
	worker_announce(w, "disconnected");
	snprintf(
		text, sizeof(text),
		"another worker announced the id %s and has replaced this one; give each "
		"an --id of its own",
		w->config->id);
	w->config->stopped(w->config->arg, w->replaced_by != 0 ? text : NULL);
}

static void
worker_stop_if_idle(struct worker *w)
{
	if (!w->is_draining || w->is_stopped || w->running != NULL ||
	    w->waiting != NULL || w->ending != NULL)
		return;
	worker_stop(w);
}

static void
worker_start_waiting(struct worker *w)
{
	while (w->waiting != NULL &&
	       job_list_len(w->running) + job_ending_len(w->ending) < w->config->slots) {
		struct job *job = w->waiting;

		job_list_remove(&w->waiting, job);
		job_list_add(&w->running, job);
		job_start(job);
	}
}

static void
worker_on_job_over(void *arg, struct job *job)
{
	struct worker *w = arg;

	if (job_find(w->running, job_id(job)) == job)
		job_list_remove(&w->running, job);
	else if (job_find(w->waiting, job_id(job)) == job)
		job_list_remove(&w->waiting, job);
	else
		job_ending_remove(&w->ending, job);
	job_free(job);
	worker_start_waiting(w);
	worker_stop_if_idle(w);
}

/* Ending jobs keep their slot, not their id, which may come again, and be cancelled again:
 * each has a reply subject of its own, and tells of its end there. */
static void
worker_let_end(struct worker *w, struct job **list, struct job *job)
{
	job_list_remove(list, job);
	job_ending_add(&w->ending, job);
}

static void
worker_cancel(struct worker *w, struct job **list, struct job *job)
{
	worker_let_end(w, list, job);
	job_cancel(job);
}

/* Is this id in use? One whose failure was told already may come again at once. */
static bool
worker_runs(struct worker *w, const char *id)
{
	struct job **lists[] = { &w->running, &w->waiting };

	for (int i = 0; i < 2; i++) {
		struct job *job = job_find(*lists[i], id);

		if (job != NULL && !job_has_failed(job))
			return true;
		if (job != NULL)
			worker_let_end(w, lists[i], job);
	}
	return false;
}

static void
worker_new_job(struct worker *w, struct bus_msg *msg, struct query_head *head,
	       bool is_whole)
{
	const char *reply = bus_msg_reply(msg), *why = NULL;
	struct job *job;

	if (w->is_draining)
		why = "this worker is leaving";
	else if (!w->is_ready)
		why = "the server behind this worker is not there or not well";
	else if (job_list_len(w->waiting) >= WORKER_WAITING_PER_SLOT * w->config->slots)
		why = "all slots of this worker are in use";
	if (why != NULL) {
		job_refuse(w->conn, reply, 503, why, WORKER_RETRY_AFTER_S);
		query_head_fini(head);
		return;
	}
	if (worker_runs(w, head->request_id)) {
		job_refuse(w->conn, reply, 400, "a query with this Ocf-Req-Id is running",
			   -1);
		query_head_fini(head);
		return;
	}
	job = job_new(&w->host, head, reply);
	job_list_add(&w->waiting, job);
	job_body(job, 0, bus_msg_data(msg), is_whole);
	worker_start_waiting(w);
}

/* A first part brings a reply subject and a head, a further one only the id. */
static void
worker_on_work(struct worker *w, struct bus_msg *msg)
{
	const char *part_text = bus_msg_header(msg, BUS_H_PART);
	const char *id = bus_msg_header(msg, BUS_H_REQ_ID);
	bool is_last = part_text == NULL || bus_msg_header(msg, BUS_H_PARTS) != NULL;
	struct query_headers headers;
	struct query_head head;
	struct job *job = NULL;
	uint64_t part = 0;

	if (part_text != NULL && bus_protocol_number(part_text, INT64_MAX, &part) < 0) {
		log_warn("worker", "a query with a malformed Ocf-Part; ignored");
		return;
	}
	if (part > 0) {
		job = id != NULL ? job_find(w->running, id) : NULL;
		if (job == NULL && id != NULL)
			job = job_find(w->waiting, id);
		if (job != NULL)
			job_body(job, part, bus_msg_data(msg), is_last);
		return; /* else of a query that ended already */
	}
	if (bus_msg_reply(msg) == NULL) {
		log_warn("worker", "a query without a reply subject; ignored");
		return;
	}
	bus_msg_headers(msg, &headers);
	if (bus_protocol_request_read(&headers, &head) == 0)
		worker_new_job(w, msg, &head, is_last);
	else
		job_refuse(w->conn, bus_msg_reply(msg), 400,
			   "a query needs Ocf-Req-Id and Ocf-Service", -1);
	query_headers_fini(&headers);
}

/* What runs here was given to us, and is finished; what comes now is the other one's. */
static void
worker_on_replaced(struct worker *w, uint64_t by)
{
	if (by == 0 || by == w->client_id || w->replaced_by != 0)
		return;
	w->replaced_by = by;
	w->is_draining = true;
	bus_sub_free(w->work);
	w->work = NULL;
	loop_timer_clear(w->heartbeat);
	worker_stop_if_idle(w);
}

static void
worker_on_control(struct worker *w, struct bytes data)
{
	json_t *root = json_loadb((const char *)data.data, data.len, 0, NULL);
	const char *op = json_string_value(json_object_get(root, "op"));
	const char *id = json_string_value(json_object_get(root, "id"));
	json_int_t n = json_integer_value(json_object_get(root, "n"));
	struct job *running = id != NULL ? job_find(w->running, id) : NULL;
	struct job *waiting = id != NULL ? job_find(w->waiting, id) : NULL;

	if (op != NULL && strcmp(op, "cancel") == 0) {
		if (running != NULL)
			worker_cancel(w, &w->running, running);
		if (waiting != NULL)
			worker_cancel(w, &w->waiting, waiting);
	} else if (op != NULL && strcmp(op, "credit") == 0 && running != NULL && n > 0) {
		job_credit(running, (uint64_t)n);
	} else if (op != NULL && strcmp(op, "replaced") == 0) {
		worker_on_replaced(w, (uint64_t)json_integer_value(
					      json_object_get(root, "client_id")));
	}
	json_decref(root);
}

/* --- the connection --- */

static void
worker_on_up(void *arg, uint64_t client_id)
{
	struct worker *w = arg;
	char subject[BUS_SUBJECT_SIZE];

	w->client_id = client_id;
	if (w->replaced_by != 0)
		return;
	snprintf(subject, sizeof(subject), BUS_SUBJECT_DIRECT "%s", w->config->id);
	w->work = bus_conn_subscribe(w->conn, subject, NULL);
	snprintf(subject, sizeof(subject), BUS_SUBJECT_CONTROL "%s", w->config->id);
	w->control = bus_conn_subscribe(w->conn, subject, NULL);
	w->hello = bus_conn_subscribe(w->conn, BUS_SUBJECT_HELLO, NULL);
	log_info("worker", "attached to %s as %s: service %s, %d slot%s", w->shown,
		 w->config->id, w->config->service, w->config->slots,
		 w->config->slots == 1 ? "" : "s");
	w->trouble_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 1 };
	worker_on_heartbeat(w);
}

static void
worker_unsubscribe(struct worker *w)
{
	bus_sub_free(w->work);
	bus_sub_free(w->control);
	bus_sub_free(w->hello);
	w->work = w->control = w->hello = NULL;
}

/* The node has given up what was running here; nobody would hear of it. */
static void
worker_on_down(void *arg, const char *reason)
{
	struct worker *w = arg;

	worker_unsubscribe(w);
	loop_timer_clear(w->heartbeat);
	log_warn("worker", "the bus at %s was lost (%s), connecting again", w->shown,
		 reason);
	while (w->running != NULL)
		worker_cancel(w, &w->running, w->running);
	while (w->waiting != NULL)
		worker_cancel(w, &w->waiting, w->waiting);
}

static void
worker_on_readable(void *arg)
{
	struct worker *w = arg;
	struct bus_msg *msg;

	while (bus_sub_next(w->work, &msg) == BUS_NEXT_MSG) {
		worker_on_work(w, msg);
		bus_msg_free(msg);
	}
	while (bus_sub_next(w->control, &msg) == BUS_NEXT_MSG) {
		worker_on_control(w, bus_msg_data(msg));
		bus_msg_free(msg);
	}
	if (bus_sub_next(w->hello, &msg) == BUS_NEXT_MSG) {
		bus_msg_free(msg);
		worker_on_heartbeat(w);
	}
}

/* Where the bus is: as told, or as the daemon's run.json has it now. While that file is away
 * the daemon is, and its worker waits for it where it was: the default address, which is
 * for a first start without that file, may be another node's by now. */
static void
worker_find_bus(const struct worker *w, char url[WORKER_URL_SIZE])
{
	const char *bus = w->config->bus;
	struct buf text = BUF_INIT;
	json_t *run = NULL;

	if (bus == NULL && w->config->run_file != NULL &&
	    file_read(w->config->run_file, 65536, &text, NULL) == 0)
		run = json_loadb((const char *)text.data, text.len, 0, NULL);
	if (bus == NULL)
		bus = json_string_value(json_object_get(run, "bus"));
	if (bus != NULL && bus[0] != '\0')
		snprintf(url, WORKER_URL_SIZE, "%s", bus);
	else if (w->url[0] == '\0')
		snprintf(url, WORKER_URL_SIZE, "%s", WORKER_BUS_DEFAULT);
	else if (url != w->url)
		snprintf(url, WORKER_URL_SIZE, "%s", w->url);
	json_decref(run);
	buf_fini(&text);
}

static void
worker_on_trouble(void *arg, const char *text)
{
	struct worker *w = arg;
	char url[WORKER_URL_SIZE];

	if (log_limit_pass(&w->trouble_limit, "worker"))
		log_warn("worker", "the bus at %s: %s, trying again", w->shown, text);
	if (bus_conn_is_up(w->conn))
		return;
	worker_find_bus(w, url);
	if (strcmp(url, w->url) != 0)
		loop_timer_set(w->reopen, 0);
}

static const struct bus_conn_handler worker_conn_handler = {
	.up = worker_on_up,
	.down = worker_on_down,
	.readable = worker_on_readable,
	.trouble = worker_on_trouble,
};

static int
worker_dial(struct worker *w, struct errmsg *err)
{
	static const struct access_names names = { "--bus", "--credentials", "--ca",
						   "--cert", "--key" };
	struct bus_access access = w->config->access;
	struct bus_conn_config config = { .access = &access, .name = w->config->id };
	int rc;

	worker_find_bus(w, w->url);
	access.url = w->url;
	rc = access_check(&access, &names, err);
	if (rc < 0)
		return rc;
	access_text(&access, w->shown, sizeof(w->shown));
	w->conn = bus_conn_open(w->loop, &config, &worker_conn_handler, w, err);
	w->host.conn = w->conn;
	return w->conn != NULL ? 0 : -EINVAL;
}

/* The daemon has moved (port 0): its new bus is another connection. */
static void
worker_connect(void *arg)
{
	struct worker *w = arg;
	struct errmsg err = { "" };

	if (bus_conn_is_up(w->conn))
		return;
	worker_unsubscribe(w);
	bus_conn_close(w->conn);
	w->conn = w->host.conn = NULL;
	if (worker_dial(w, &err) < 0) {
		log_warn("worker", "%s, trying again in 2 s", err.text);
		loop_timer_set(w->reopen, 2 * MS_SECOND);
	}
}

int
worker_open(struct loop *loop, const struct worker_config *config,
	    struct worker **ret_worker, struct errmsg *err)
{
	struct worker *w = mem_calloc(1, sizeof(*w));
	struct announcement a;
	int left_out, rc;

	w->loop = loop;
	w->config = config;
	w->host = (struct job_host){
		.loop = loop,
		.backend = config->backend,
		.over = worker_on_job_over,
		.arg = w,
	};
	w->heartbeat = loop_timer_new(loop, worker_on_heartbeat, w);
	w->reopen = loop_timer_new(loop, worker_connect, w);
	w->trouble_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 1 };
	hw_inventory_read("", &w->inventory);
	left_out = announcement_fit(&w->inventory);
	if (left_out > 0)
		log_warn("worker",
			 "this machine has more graphics processors than a worker can "
			 "announce; %d of them are left out",
			 left_out);
	a = worker_announcement(w);
	rc = announcement_check(&a, err);
	if (rc == 0)
		rc = worker_dial(w, err);
	if (rc < 0) {
		worker_close(w);
		return rc;
	}
	*ret_worker = w;
	return 0;
}

static void
worker_free_matches(struct worker *w)
{
	for (int i = 0; i < w->matches_len; i++)
		free(w->matches[i]);
	free(w->matches);
	w->matches = NULL;
	w->matches_len = 0;
}

static void
worker_free_jobs(struct job **list)
{
	while (*list != NULL) {
		struct job *job = *list;

		job_list_remove(list, job);
		job_free(job);
	}
}

void
worker_close(struct worker *w)
{
	if (w == NULL)
		return;
	worker_free_jobs(&w->running);
	worker_free_jobs(&w->waiting);
	while (w->ending != NULL) {
		struct job *job = w->ending;

		job_ending_remove(&w->ending, job);
		job_free(job);
	}
	worker_unsubscribe(w);
	bus_conn_close(w->conn);
	loop_timer_free(w->heartbeat);
	loop_timer_free(w->reopen);
	worker_free_matches(w);
	free(w);
}

void
worker_set_ready(struct worker *w, bool is_ready)
{
	if (w->is_ready == is_ready)
		return;
	w->is_ready = is_ready;
	w->was_ready = w->was_ready || is_ready;
	if (bus_conn_is_up(w->conn) && w->replaced_by == 0)
		worker_on_heartbeat(w);
}

int
worker_set_matches(struct worker *w, int len, char *const *matches)
{
	char **copy = mem_calloc((size_t)len + 1, sizeof(*copy));
	int room = LIMIT_MATCHES_MAX - w->config->match_len;
	bool is_new = false;
	struct announcement a;

	for (int i = 0; i < len; i++)
		copy[i] = mem_strdup(matches[i]);
	a = worker_announcement(w);
	a.found = copy;
	a.found_len = len < room ? len : room;
	while (a.found_len > 0 && announcement_check(&a, NULL) < 0)
		a.found_len--;
	for (int i = a.found_len; i < len; i++)
		free(copy[i]);
	is_new = a.found_len != w->matches_len;
	for (int i = 0; i < a.found_len && !is_new; i++)
		is_new = strcmp(copy[i], w->matches[i]) != 0;
	worker_free_matches(w);
	w->matches = copy;
	w->matches_len = a.found_len;
	if (is_new && bus_conn_is_up(w->conn) && w->replaced_by == 0)
		worker_on_heartbeat(w);
	return a.found_len;
}

void
worker_drain(struct worker *w)
{
	if (w->is_draining && !w->is_stopped) {
		worker_stop(w);
		return;
	}
	w->is_draining = true;
	log_info("worker", "draining: %d running, %d waiting", job_list_len(w->running),
		 job_list_len(w->waiting));
	worker_announce(w, "draining");
	worker_stop_if_idle(w);
}
