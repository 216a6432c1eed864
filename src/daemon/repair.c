/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the sync core: tables compared with those of other nodes and made equal. Messages
 * and rows go over the links; the comparing itself reads the store on a lane beside the
 * loop. What a person asks for (`ocf-sync compare`, `run`) is a request with a number, whose
 * state is asked for until it is done. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "daemon/daemon.h"
#include "daemon/replica.h"
#include "daemon/requests.h"
#include "mesh/wire.h"
#include "net/lane.h"
#include "sync/sync.h"

struct repair {
	struct daemon *d;
	struct sync *core;
	struct lane *lane;
	struct loop_timer *timer;
	struct loop_timer *epoch_timer;
	struct requests requests;
	bool is_pumping;
	bool is_closing;
	bool has_compared; /* see repair_has_compared() */
	struct log_limit failed_limit;
	struct buf frames;
};

static void repair_step(struct repair *repair, struct sync_event *event);

/* ---- the lane ---- */

struct repair_read {
	struct repair *repair;
	uint64_t number;
	struct sync_job *job;
	struct sync_made *made;
};

static void
repair_read_work(void *arg)
{
	struct repair_read *read = arg;
	struct sync_table table = replica_table(read->repair->d->store);

	read->made = sync_compare(&table, read->job);
}

static void
repair_read_done(void *arg, bool was_run)
{
	struct repair_read *read = arg;
	struct sync_event event = { .type = SYNC_EVENT_READ_DONE,
				    .number = read->number,
				    .made = read->made };

	if (!was_run)
		sync_job_free(read->job);
	else if (read->repair->is_closing)
		sync_made_free(read->made);
	else
		repair_step(read->repair, &event);
	free(read);
}

static void
repair_on_settled(void *arg, uint64_t number)
{
	struct sync_event event = { .type = SYNC_EVENT_SETTLED, .number = number };

	repair_step(arg, &event);
}

/* ---- the horizon ---- */

static void
repair_swept(struct repair *repair, uint64_t number, int rc)
{
	struct sync_event event = { .type = SYNC_EVENT_SWEPT,
				    .number = number,
				    .rc = rc };

	repair_step(repair, &event);
}

static void
repair_on_swept(void *arg, uint64_t number)
{
	repair_swept(arg, number, 0);
}

static void
repair_hear_horizon(struct repair *repair, const struct sync_action *a)
{
	uint64_t number = a->number;

	if (!rows_hear_horizon(repair->d->rows, a->horizon, repair_on_swept, repair,
			       number))
		repair_swept(repair, number, -ERANGE);
}

/* ---- what was asked for ---- */

static void
repair_cancel(struct repair *repair, uint64_t number)
{
	struct sync_event event = { .type = SYNC_EVENT_CANCEL, .request = number };

	repair_step(repair, &event);
}

/* Whoever asked has gone without a word. One a second is enough. */
static void
repair_cancel_forsaken(struct repair *repair)
{
	struct request *r = requests_forsaken(&repair->requests,
					      loop_now(repair->d->loop));

	if (r != NULL)
		repair_cancel(repair, r->number);
}

/* ---- actions ---- */

static void
repair_log(struct repair *repair, const struct sync_result *r)
{
	char id[ID_TEXT_SIZE];
	uint64_t moved = r->rows_sent + r->rows_received;

	id_text(&r->node, id);
	if (r->rc == 0 && moved > 0 && !r->is_dry)
		log_info("sync",
			 "compared with node %s in %lld ms: %llu row%s received, %llu "
			 "sent; the tables are %s",
			 id, (long long)r->elapsed_ms,
			 (unsigned long long)r->rows_received,
			 r->rows_received == 1 ? "" : "s",
			 (unsigned long long)r->rows_sent,
			 r->is_equal ? "equal now" : "not equal yet");
	else if (r->rc == 0)
		log_debug("sync", "compared with node %s in %lld ms: %s", id,
			  (long long)r->elapsed_ms, r->is_equal ? "equal" : "not equal");
	else if (log_limit_pass(&repair->failed_limit, "sync"))
		log_info("sync", "comparing with node %s ended: %s", id, r->why);
}

static void
repair_send_rows(struct repair *repair, uint64_t link, struct bytes rows)
{
	buf_clear(&repair->frames);
	wire_put_rows(&repair->frames, WIRE_SYNC_ROWS, rows);
	links_send_sync(repair->d->links, link, buf_bytes(&repair->frames));
}

static void
repair_send(struct repair *repair, uint64_t link, struct bytes message)
{
	buf_clear(&repair->frames);
	wire_put_sync(&repair->frames, message);
	links_send_sync(repair->d->links, link, buf_bytes(&repair->frames));
}

static void
repair_read(struct repair *repair, uint64_t number, struct sync_job *job)
{
	struct repair_read *read = mem_calloc(1, sizeof(*read));

	*read = (struct repair_read){ .repair = repair, .number = number, .job = job };
	lane_put(repair->lane, repair_read_work, repair_read_done, read);
}

static void
repair_do(struct repair *repair, struct sync_action *a)
{
	switch (a->type) {
	case SYNC_ACTION_SEND:
		repair_send(repair, a->link, a->data);
		break;
	case SYNC_ACTION_SEND_ROWS:
		repair_send_rows(repair, a->link, a->rows);
		break;
	case SYNC_ACTION_READ:
		repair_read(repair, a->number, a->job);
		break;
	case SYNC_ACTION_SETTLE:
		rows_settle(repair->d->rows, repair_on_settled, repair, a->number);
		break;
	case SYNC_ACTION_HORIZON:
		repair_hear_horizon(repair, a);
		break;
	case SYNC_ACTION_REJECT:
		links_reject(repair->d->links, a->link, a->why);
		break;
	case SYNC_ACTION_DONE:
		repair_log(repair, a->result);
		if (a->result->request != 0)
			requests_done(&repair->requests, a->result,
				      loop_now(repair->d->loop));
		break;
	}
}

static void
repair_step(struct repair *repair, struct sync_event *event)
{
	ms_t now = loop_now(repair->d->loop);
	struct sync_action action;

	event->wall_ms = (uint64_t)clock_wall_ms();
	event->horizon = rows_horizon(repair->d->rows);
	sync_step(repair->core, now, event);
	if (repair->is_pumping)
		return;
	repair->is_pumping = true;
	while (sync_next(repair->core, &action))
		repair_do(repair, &action);
	repair->is_pumping = false;
	if (!repair->is_closing) {
		ms_t wait = sync_due(repair->core) - now;

		loop_timer_set(repair->timer, wait > 0 ? wait : 0);
	}
}

/* ---- from the links ---- */

uint64_t
repair_word(struct daemon *d)
{
	uint64_t epoch = sync_epoch((uint64_t)clock_wall_ms());
	struct store_digest root = store_root_before(d->store,
						     epoch * (uint64_t)SYNC_EPOCH_MS);

	return sync_word(root.sum, epoch);
}

void
repair_link_up(struct repair *repair, uint64_t link, const struct id *node,
	       const struct store_digest *theirs, const struct store_digest *ours)
{
	struct sync_event event = { .type = SYNC_EVENT_LINK_UP,
				    .link = link,
				    .node = *node,
				    .theirs = { theirs->sum, theirs->count },
				    .ours = { ours->sum, ours->count } };

	repair->has_compared |= u128_equal(theirs->sum, ours->sum);
	repair_step(repair, &event);
}

void
repair_link_down(struct repair *repair, uint64_t link)
{
	struct sync_event event = { .type = SYNC_EVENT_LINK_DOWN, .link = link };

	if (repair != NULL)
		repair_step(repair, &event);
}

void
repair_root_heard(struct repair *repair, uint64_t link, uint64_t word)
{
	uint64_t epoch = sync_epoch((uint64_t)clock_wall_ms());
	struct sync_event event = { .type = SYNC_EVENT_ROOT, .link = link };
	struct store_digest ours;

	if (!sync_word_epoch(word, epoch, &event.epoch))
		return;
	ours = store_root_before(repair->d->store, event.epoch * (uint64_t)SYNC_EPOCH_MS);
	event.theirs.sum.hi = word & SYNC_WORD_ROOT;
	event.ours.sum.hi = ours.sum.hi & SYNC_WORD_ROOT;
	repair_step(repair, &event);
}

void
repair_message(struct repair *repair, uint64_t link, struct bytes message)
{
	struct sync_event event = { .type = SYNC_EVENT_FRAME,
				    .link = link,
				    .data = message };

	repair_step(repair, &event);
}

void
repair_rows(struct repair *repair, uint64_t link, uint64_t len, size_t bytes)
{
	struct sync_event event = {
		.type = SYNC_EVENT_ROWS, .link = link, .len = len, .bytes = bytes
	};

	repair_step(repair, &event);
}

bool
repair_has_compared(const struct repair *repair)
{
	struct sync_stats stats;

	sync_stats(repair->core, &stats);
	return repair->has_compared || stats.last_ok >= 0 || stats.rows_received > 0;
}

/* ---- POST /v1/admin/sync ---- */

static int
repair_find_node(struct repair *repair, const char *with, struct id *ret_node,
		 uint64_t *ret_link, struct errmsg *err)
{
	struct daemon *d = repair->d;
	int rc;

	if (with == NULL) {
		*ret_link = links_any(d->links, ret_node);
		if (*ret_link != 0)
			return 200;
		error_set(
			err, -ENOTCONN,
			"this node has no link that carries rows now; 'ocf peers' shows "
			"its links");
		return 409;
	}
	rc = catalog_find_node(d->catalog, with, ret_node);
	if (rc == -ENOTUNIQ) {
		error_set(err, rc, "several nodes are called '%s'; use an id", with);
		return 404;
	}
	if (rc != 0) {
		error_set(err, rc, "there is no node '%s'; 'ocf nodes' lists them", with);
		return 404;
	}
	if (id_equal(ret_node, &d->identity->node_id)) {
		error_set(err, -EINVAL, "'%s' is this node itself", with);
		return 400;
	}
	*ret_link = links_of_node(d->links, ret_node);
	if (*ret_link == 0) {
		error_set(err, -ENOTCONN, "this node is not linked with %s now", with);
		return 409;
	}
	return 200;
}

static const char *
repair_node_name(const struct repair *repair, const struct id *id)
{
	struct catalog_node node;

	return catalog_node(repair->d->catalog, id, &node) ? node.row->name : "";
}

static int
repair_start(struct repair *repair, bool is_dry, const char *with, json_t **ret_reply,
	     struct errmsg *err)
{
	struct sync_event event = { .type = SYNC_EVENT_START, .is_dry = is_dry };
	char id[ID_TEXT_SIZE];
	struct request *r;
	struct id node;
	int running, status;

	status = repair_find_node(repair, with, &node, &event.link, err);
	if (status != 200)
		return status;
	r = requests_add(&repair->requests, &node, is_dry, loop_now(repair->d->loop),
			 &running);
	if (r == NULL) {
		error_set(err, -EAGAIN, "%d comparisons are under way already", running);
		return 429;
	}
	event.request = r->number;
	*ret_reply = json_pack("{s:I, s:s, s:s}", "request", (json_int_t)r->number,
			       "node", id_text(&node, id), "name",
			       repair_node_name(repair, &node));
	repair_step(repair, &event);
	return 200;
}

/* The request that somebody asks about, who so waits for it still. */
static int
repair_find_request(struct repair *repair, json_int_t number,
		    struct request **ret_request, struct errmsg *err)
{
	struct request *r = requests_find(&repair->requests, (uint64_t)number);

	if (r == NULL) {
		error_set(err, -ENOENT,
			  "there is no request %lld (any more): was this node started "
			  "anew?",
			  (long long)number);
		return 404;
	}
	r->asked_ms = loop_now(repair->d->loop);
	*ret_request = r;
	return 200;
}

static json_t *
repair_state(struct repair *repair, struct request *r)
{
	struct sync_result now;
	bool is_under_way = !r->is_done && sync_progress(repair->core, r->number, &now);

	return request_json(r, is_under_way ? &now : NULL,
			    repair_node_name(repair, &r->node));
}

static int
repair_request_op(struct repair *repair, const char *op, json_int_t number,
		  json_t **ret_reply, struct errmsg *err)
{
	struct request *r;
	int status = repair_find_request(repair, number, &r, err);

	if (status == 200 && strcmp(op, "cancel") == 0)
		repair_cancel(repair, r->number);
	if (status == 200)
		*ret_reply = repair_state(repair, r);
	return status;
}

static json_t *
repair_root_json(struct repair *repair)
{
	struct store_digest root = store_root(repair->d->store);
	uint8_t bytes[16];
	char text[33];

	put_be64(bytes, root.sum.hi);
	put_be64(bytes + 8, root.sum.lo);
	return json_pack("{s:s, s:I}", "root", hex_encode(bytes, sizeof(bytes), text),
			 "rows", (json_int_t)root.count);
}

int
repair_admin(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	struct repair *repair = d->repair;
	const char *op = NULL, *with = NULL;
	json_int_t number = 0;
	json_error_t error;

	if (json_unpack_ex((json_t *)body, &error, JSON_STRICT, "{s:s, s?s, s?I}", "op",
			   &op, "with", &with, "request", &number) != 0) {
		error_set(err, -EINVAL, "%s", error.text);
		return 400;
	}
	if (strcmp(op, "compare") == 0 || strcmp(op, "run") == 0)
		return repair_start(repair, strcmp(op, "compare") == 0, with, ret_reply,
				    err);
	if (strcmp(op, "state") == 0 || strcmp(op, "cancel") == 0)
		return repair_request_op(repair, op, number, ret_reply, err);
	if (strcmp(op, "root") == 0) {
		*ret_reply = repair_root_json(repair);
		return 200;
	}
	error_set(err, -EINVAL, "op is not one of compare, run, state, cancel, root");
	return 400;
}

/* ---- what people see ---- */

static json_t *
repair_joining_json(const struct repair *repair)
{
	struct sync_joining j;

	if (!sync_joining(repair->core, &j))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:o}", "rows", (json_int_t)j.rows, "of",
			 (json_int_t)j.of, "rows_s", (json_int_t)j.rows_s, "remaining_s",
			 j.remaining_ms < 0
				 ? json_null()
				 : json_real((double)j.remaining_ms / MS_SECOND));
}

json_t *
repair_status_json(const struct repair *repair)
{
	struct sync_stats stats;

	sync_stats(repair->core, &stats);
	return json_pack("{s:o, s:I, s:o}", "last_ok_s",
			 stats.last_ok < 0 ? json_null()
					   : json_integer((loop_now(repair->d->loop) -
							   stats.last_ok) /
							  MS_SECOND),
			 "repairs", (json_int_t)stats.rows_received, "joining",
			 repair_joining_json(repair));
}

enum repair_metric {
	REPAIR_EQUAL,
	REPAIR_MOVED,
	REPAIR_FAILED,
	REPAIR_ANSWERED,
	REPAIR_BUSY,
	REPAIR_SENT,
	REPAIR_RECEIVED,
	REPAIR_METRICS,
};

struct repair_reader {
	struct repair *repair;
	enum repair_metric metric;
};

static double
repair_read_metric(void *arg)
{
	const struct repair_reader *r = arg;
	struct sync_stats stats;

	sync_stats(r->repair->core, &stats);
	switch (r->metric) {
	case REPAIR_EQUAL:
		return (double)stats.sessions_equal;
	case REPAIR_MOVED:
		return (double)(stats.sessions - stats.sessions_equal);
	case REPAIR_FAILED:
		return (double)stats.sessions_failed;
	case REPAIR_ANSWERED:
		return (double)stats.sessions_answered;
	case REPAIR_BUSY:
		return (double)stats.busy;
	case REPAIR_SENT:
		return (double)stats.rows_sent;
	default:
		return (double)stats.rows_received;
	}
}

static void
repair_add_metrics(struct repair *repair)
{
	static const struct {
		const char *name, *help, *label, *value;
	} texts[REPAIR_METRICS] = {
		[REPAIR_EQUAL] = { "ocf_sync_sessions_total",
				   "Comparisons of tables that this node began.",
				   "result", "equal" },
		[REPAIR_MOVED] = { "ocf_sync_sessions_total",
				   "Comparisons of tables that this node began.",
				   "result", "differing" },
		[REPAIR_FAILED] = { "ocf_sync_sessions_total",
				    "Comparisons of tables that this node began.",
				    "result", "failed" },
		[REPAIR_ANSWERED] = { "ocf_sync_sessions_answered_total",
				      "Comparisons that other nodes began.", NULL, NULL },
		[REPAIR_BUSY] = { "ocf_sync_sessions_busy_total",
				  "Comparisons refused, for too many were under way.",
				  NULL, NULL },
		[REPAIR_SENT] = { "ocf_sync_rows_total", "Rows that comparisons moved.",
				  "direction", "sent" },
		[REPAIR_RECEIVED] = { "ocf_sync_rows_total",
				      "Rows that comparisons moved.", "direction",
				      "received" },
	};
	static struct repair_reader readers[REPAIR_METRICS];

	for (int i = 0; i < REPAIR_METRICS; i++) {
		char *labels = texts[i].label != NULL
				       ? metrics_labels(texts[i].label, texts[i].value,
							(char *)NULL)
				       : NULL;

		readers[i] = (struct repair_reader){ repair, (enum repair_metric)i };
		metrics_counter_read(repair->d->metrics, texts[i].name, texts[i].help,
				     labels, repair_read_metric, &readers[i]);
		free(labels);
	}
}

/* ---- life ---- */

static void
repair_on_timer(void *arg)
{
	struct sync_event event = { .type = SYNC_EVENT_TICK };
	struct repair *repair = arg;

	if (!repair->is_closing)
		repair_step(repair, &event);
}

/* What heartbeats tell of the table changes with the time too. */
static void
repair_on_epoch(void *arg)
{
	struct repair *repair = arg;

	if (repair->d->links != NULL)
		links_root_changed(repair->d->links);
	repair_cancel_forsaken(repair);
	loop_timer_set(repair->epoch_timer, MS_SECOND);
}

struct repair *
repair_open(struct daemon *d)
{
	struct sync_config config = { .self = d->identity->node_id,
				      .seed = rng_next(&d->rng),
				      .interval_ms = d->config->sync.interval };
	struct repair *repair = mem_calloc(1, sizeof(*repair));

	repair->d = d;
	/* Other numbers than before a restart: somebody may still ask for those. */
	repair->requests.last = (uint64_t)d->started_wall_ms;
	repair->failed_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 5 };
	repair->core = sync_new(&config, loop_now(d->loop));
	repair->lane = lane_open(d->loop);
	repair->timer = loop_timer_new(d->loop, repair_on_timer, repair);
	repair->epoch_timer = loop_timer_new(d->loop, repair_on_epoch, repair);
	loop_timer_set(repair->epoch_timer, MS_SECOND);
	repair_add_metrics(repair);
	return repair;
}

void
repair_close(struct repair *repair)
{
	if (repair == NULL)
		return;
	repair->is_closing = true;
	lane_close(repair->lane);
	requests_fini(&repair->requests);
	loop_timer_free(repair->timer);
	loop_timer_free(repair->epoch_timer);
	sync_free(repair->core);
	buf_fini(&repair->frames);
	free(repair);
}
