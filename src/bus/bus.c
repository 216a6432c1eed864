/* SPDX-License-Identifier: Apache-2.0 */
/* The bus of a node, put together: the embedded server (server.c) or somebody's; one
 * connection for announcements and queries; with the embedded server a second one into its
 * system account, which tells of every connection's end within milliseconds; the registry
 * of workers (registry.c); the queries that are with them (calls.c).
 *
 * Up, in order: server listens -> connected -> (not ours alone? ask `ocf.node` who has this
 * bus) -> subscribe -> a word to ourselves comes back -> `ocf.hello` -> state BUS_UP -> three
 * heartbeats -> the list of connections (clients.c) -> BUS_SETTLED. */
#include "config.h"

#include "bus/bus-private.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/rng.h"
#include "bus/calls.h"
#include "bus/clients.h"
#include "bus/conn.h"
#include "bus/intake.h"
#include "bus/owner.h"
#include "bus/protocol.h"
#include "bus/registry.h"
#include "bus/server.h"

enum {
	BUS_TICK_MS = MS_SECOND,
	/* How long another node on the same bus has to say that it is there. */
	BUS_NODE_WAIT_MS = 500,
	BUS_SETTLE_WAIT_MS = MS_SECOND, /* then the list is asked for once more */
	/* The embedded server takes no connection for so long: it hangs. */
	BUS_HANGS_MS = 10 * MS_SECOND,
};

static void
bus_set_state(struct bus *bus, enum bus_state state)
{
	bus->state = state;
	bus->handler->state(bus->arg, state, bus->url, bus->is_embedded);
}

void
bus_warn(struct bus *bus, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bus->handler->warning(bus->arg, text);
}

void
bus_fatal(struct bus *bus, const char *text)
{
	if (bus->is_fatal)
		return;
	bus->is_fatal = true;
	bus->handler->fatal(bus->arg, text);
}

/* --- the registry's news --- */

static void
bus_on_worker_up(void *arg, struct registry_worker *w)
{
	struct bus *bus = arg;

	bus_calls_attach(bus->calls, w);
	bus->handler->worker_up(bus->arg, &w->pub);
}

static void
bus_on_worker_changed(void *arg, struct registry_worker *w)
{
	struct bus *bus = arg;

	bus->handler->worker_changed(bus->arg, &w->pub);
}

static void
bus_on_worker_down(void *arg, struct registry_worker *w, const char *reason)
{
	struct bus *bus = arg;

	bus->handler->worker_down(bus->arg, w->pub.id, reason);
	bus_calls_fail_worker(bus->calls, w, reason);
	bus_calls_detach(bus->calls, w);
	bus_calls_doubt(bus->calls, bus->reg, w);
}

static void
bus_on_worker_lost(void *arg, struct registry_worker *w)
{
	struct bus *bus = arg;

	bus_calls_fail_worker(bus->calls, w, "the bus was lost");
	bus_calls_detach(bus->calls, w);
}

/* The one that had the id leaves, if it knows the word, and finishes what it has. On somebody's
 * bus nobody would tell us if instead its connection had ended, as when a server of a
 * cluster dies and its clients go to another: what it had is taken for lost. */
static void
bus_on_worker_replaced(void *arg, struct registry_worker *w, uint64_t by)
{
	struct bus *bus = arg;
	char subject[BUS_SUBJECT_SIZE];
	json_t *message = json_pack("{s:s,s:s,s:I}", "op", "replaced", "id", w->pub.id,
				    "client_id", (json_int_t)by);
	char *text = json_dumps(message, JSON_COMPACT);

	snprintf(subject, sizeof(subject), BUS_SUBJECT_CONTROL "%s", w->pub.id);
	if (text != NULL && bus->conn != NULL)
		bus_conn_publish(bus->conn, subject, NULL, NULL, bytes_text(text));
	free(text);
	json_decref(message);
	w->calls_mark = bus_calls_mark(bus->calls);
	if (!bus->is_embedded)
		bus_calls_fail_worker(bus->calls, w, "it is on another connection now");
}

static void
bus_on_former_ended(void *arg, struct registry_worker *w)
{
	struct bus *bus = arg;

	bus_calls_fail_until(bus->calls, w, w->calls_mark,
			     "it was replaced, and ended before it had finished");
}

static void
bus_on_registry_warning(void *arg, const char *text)
{
	struct bus *bus = arg;

	bus_warn(bus, "%s; ignored", text);
}

static void
bus_on_intake_warning(void *arg, const char *text)
{
	bus_warn(arg, "%s", text);
}

/* Workers of v1 announce at once; legacy ones are found in the list. */
static void
bus_on_ask_again(void *arg)
{
	struct bus *bus = arg;

	bus_conn_publish(bus->conn, BUS_SUBJECT_HELLO, NULL, NULL, BYTES_NONE);
	if (bus->clients != NULL)
		bus_clients_ask(bus->clients);
}

static const struct bus_intake_handler bus_intake_handler = {
	.warning = bus_on_intake_warning,
	.ask_again = bus_on_ask_again,
};

static const struct registry_handler bus_registry_handler = {
	.up = bus_on_worker_up,
	.changed = bus_on_worker_changed,
	.down = bus_on_worker_down,
	.lost = bus_on_worker_lost,
	.replaced = bus_on_worker_replaced,
	.former_ended = bus_on_former_ended,
	.warning = bus_on_registry_warning,
};

static void
bus_on_vanished(void *arg, struct registry_worker *w)
{
	struct bus *bus = arg;
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1];

	/* A legacy worker whose connection stands may listen again; only its calls end. */
	if (w->pub.is_legacy) {
		bus_calls_fail_worker(bus->calls, w, "nobody listens on its subject");
		return;
	}
	snprintf(id, sizeof(id), "%s", w->pub.id);
	registry_remove(bus->reg, id, "nobody listens on its subject");
}

/* --- who has this bus? --- */

/* To an inbox only: who asks names the subject, and what workers must not publish
 * themselves (`ocf.hello`, another's queries) they must not have published by us. */
static void
bus_answer_node(struct bus *bus, struct bus_msg *msg)
{
	const char *to = bus_msg_reply(msg);
	char *text;

	if (to == NULL || strncmp(to, "_INBOX.", 7) != 0 || strcmp(to, bus->inbox) == 0)
		return;
	text = owner_answer(bus->node_name, &bus->node_id, !bus->is_asking);
	if (text != NULL)
		bus_conn_publish(bus->conn, to, NULL, NULL, bytes_text(text));
	free(text);
}

static void
bus_hear_node(struct bus *bus, struct bytes data)
{
	struct errmsg why = { "" };

	if (owner_is_other(data, &bus->node_id, bus->url, &why))
		bus_fatal(bus, why.text);
}

/* --- up and down --- */

static void
bus_attach(struct bus *bus)
{
	bus->is_asking = false;
	bus->status_sub = bus_conn_subscribe(bus->conn, BUS_SUBJECT_STATUS, NULL);
	registry_bus_up(bus->reg, loop_now(bus->loop));
	bus_calls_set_conn(bus->calls, bus->conn);
	for (struct registry_worker *w = registry_first(bus->reg); w != NULL;
	     w = w->hh.next)
		bus_calls_attach(bus->calls, w);
	/* What we send ourselves comes back when the server has all these subscriptions:
	 * a worker that is told of the bus before could announce itself to nobody. */
	bus_conn_publish(bus->conn, bus->barrier, NULL, NULL, bytes_text("0"));
}

static void
bus_attached(struct bus *bus)
{
	if (bus->state != BUS_DOWN || bus->status_sub == NULL)
		return;
	bus_conn_publish(bus->conn, BUS_SUBJECT_HELLO, NULL, NULL, BYTES_NONE);
	loop_timer_set(bus->timer,
		       (ms_t)BUS_HEARTBEATS_MISSED * BUS_HEARTBEAT_S * MS_SECOND);
	if (bus->is_embedded)
		bus->trouble[0] = '\0';
	bus_set_state(bus, BUS_UP);
}

void
bus_settle(struct bus *bus)
{
	bus->is_settling = false;
	registry_settle(bus->reg);
	bus_set_state(bus, BUS_SETTLED);
}

/* Legacy workers, which announce once, have connected again by now: who is in the list is
 * there. */
static void
bus_begin_settle(struct bus *bus)
{
	if (!bus->is_embedded) {
		bus_settle(bus);
		return;
	}
	if (!bus->is_settling)
		bus->settling_ms = loop_now(bus->loop);
	bus->is_settling = true;
	bus_clients_ask(bus->clients);
	loop_timer_set(bus->timer, BUS_SETTLE_WAIT_MS);
}

static void
bus_on_timer(void *arg)
{
	struct bus *bus = arg;

	if (bus->is_fatal)
		return;
	if (bus->is_asking) {
		bus_attach(bus);
	} else if (bus->state == BUS_UP) {
		bus_begin_settle(bus);
	}
}

/* Both connections are there (the second only with an embedded server). */
void
bus_connected(struct bus *bus)
{
	if (bus->is_fatal || bus->state != BUS_DOWN || !bus_conn_is_up(bus->conn) ||
	    (bus->is_embedded && !bus_clients_is_up(bus->clients)))
		return;
	bus->node_sub = bus_conn_subscribe(bus->conn, BUS_SUBJECT_NODE, NULL);
	bus->barrier_sub = bus_conn_subscribe(bus->conn, bus->barrier, NULL);
	if (bus->is_embedded) {
		bus_attach(bus);
		return;
	}
	bus->trouble[0] = '\0';
	bus->inbox_sub = bus_conn_subscribe(bus->conn, bus->inbox, NULL);
	bus_conn_publish(bus->conn, BUS_SUBJECT_NODE, bus->inbox, NULL, BYTES_NONE);
	bus->is_asking = true;
	loop_timer_set(bus->timer, BUS_NODE_WAIT_MS);
}

/* It goes into JSON, and what a server said may be anything. */
static void
bus_set_trouble(struct bus *bus, const char *prefix, const char *text)
{
	snprintf(bus->trouble, sizeof(bus->trouble), "%s%s", prefix, text);
	utf8_clean(bus->trouble);
}

static void
bus_disconnected(struct bus *bus, const char *reason)
{
	bool was_up = bus->state != BUS_DOWN;

	bus_sub_free(bus->status_sub);
	bus_sub_free(bus->node_sub);
	bus_sub_free(bus->inbox_sub);
	bus_sub_free(bus->barrier_sub);
	bus->status_sub = bus->node_sub = bus->inbox_sub = bus->barrier_sub = NULL;
	bus->is_asking = bus->is_settling = false;
	loop_timer_clear(bus->timer);
	bus_intake_clear(bus->intake);
	bus_calls_set_conn(bus->calls, NULL);
	for (struct registry_worker *w = registry_first(bus->reg); w != NULL;
	     w = w->hh.next)
		bus_calls_detach(bus->calls, w);
	if (!was_up)
		return;
	bus->stats.reconnects++;
	bus_set_trouble(bus, "it was lost: ", reason);
	bus_set_state(bus, BUS_DOWN);
	bus_warn(bus, "the bus at %s was lost (%s); connecting again", bus->url, reason);
	for (struct registry_worker *w = registry_first(bus->reg); w != NULL;
	     w = w->hh.next)
		bus_calls_fail_worker(bus->calls, w, "the bus was lost");
}

static void
bus_on_conn_up(void *arg, uint64_t client_id)
{
	struct bus *bus = arg;

	bus->own_id = client_id;
	bus->shut_ms = 0;
	bus_connected(bus);
}

static void
bus_on_conn_down(void *arg, const char *reason)
{
	bus_disconnected(arg, reason);
}

static void
bus_hear_barrier(struct bus *bus, struct bytes data)
{
	char text[24];
	uint64_t client_id;

	snprintf(text, sizeof(text), "%.*s", (int)data.len, (const char *)data.data);
	if (bus_protocol_number(text, INT64_MAX, &client_id) < 0)
		return;
	if (client_id == 0)
		bus_attached(bus);
	else
		bus_intake_ended(bus->intake, client_id);
}

static void
bus_on_conn_readable(void *arg)
{
	struct bus *bus = arg;
	struct bus_msg *msg;

	/* Replies before announcements: a worker's last reply precedes its leave. */
	bus_calls_drain(bus->calls, bus->reg);
	while (bus_sub_next(bus->status_sub, &msg) == BUS_NEXT_MSG) {
		bus_intake_announce(bus->intake, bus_msg_data(msg));
		bus_msg_free(msg);
	}
	bus_intake_run(bus->intake);
	while (bus_sub_next(bus->node_sub, &msg) == BUS_NEXT_MSG) {
		bus_answer_node(bus, msg);
		bus_msg_free(msg);
	}
	while (bus_sub_next(bus->inbox_sub, &msg) == BUS_NEXT_MSG) {
		bus_hear_node(bus, bus_msg_data(msg));
		bus_msg_free(msg);
	}
	while (bus_sub_next(bus->barrier_sub, &msg) == BUS_NEXT_MSG) {
		bus_hear_barrier(bus, bus_msg_data(msg));
		bus_msg_free(msg);
	}
}

/* It may have been stopped, or wait for a disk: a new one is started in its place. */
static void
bus_find_hanging(struct bus *bus, bool is_up)
{
	ms_t now = loop_now(bus->loop);

	if (is_up)
		bus->shut_ms = 0;
	else if (bus->shut_ms == 0)
		bus->shut_ms = now;
	else if (now - bus->shut_ms >= BUS_HANGS_MS) {
		bus->shut_ms = 0;
		bus_server_replace(bus->server, "it listened and did not answer");
	}
}

/* Another trouble than the last is told at once, the same one once a minute. With the
 * embedded server its own end was told already. */
void
bus_on_trouble(void *arg, const char *text)
{
	struct bus *bus = arg;
	bool is_up = bus_conn_is_up(bus->conn);
	uint64_t hash = hash64(bytes_text(text), 0);

	bus_set_trouble(bus, "", text);
	log_debug("bus", "%s: %s", bus->url, text);
	if (bus->is_embedded) {
		bus_find_hanging(bus, is_up);
		return;
	}
	if (hash != bus->trouble_told)
		bus->trouble_limit.used = 0;
	bus->trouble_told = hash;
	if (!log_limit_pass(&bus->trouble_limit, "bus"))
		return;
	if (is_up)
		bus_warn(bus,
			 "the bus at %s: %s; what a node must be allowed there is in "
			 "ocf-protocol(7)",
			 bus->url, text);
	else
		bus_warn(bus, "the bus at %s cannot be used: %s; trying again", bus->url,
			 text);
}

const struct bus_conn_handler bus_conn_handler = {
	.up = bus_on_conn_up,
	.down = bus_on_conn_down,
	.readable = bus_on_conn_readable,
	.trouble = bus_on_trouble,
};

/* --- what the daemon does --- */

void
bus_remember(struct bus *bus, const struct bus_worker *former)
{
	registry_remember(bus->reg, former);
}

static struct bus_access
bus_access_of(const struct bus_config *config)
{
	return (struct bus_access){ .url = config->url,
				    .credentials = config->credentials,
				    .ca = config->ca,
				    .cert = config->cert,
				    .key = config->key };
}

int
bus_check(const struct bus_config *config, struct errmsg *err)
{
	struct bus_access access = bus_access_of(config);

	return config->url != NULL ? access_check(&access, NULL, err) : 0;
}

static int
bus_open_external(struct bus *bus, const struct bus_config *config, struct errmsg *err)
{
	struct bus_access access = bus_access_of(config);
	struct bus_conn_config conn = { .access = &access, .name = bus->node_name };
	int rc = bus_check(config, err);

	if (rc < 0)
		return rc;
	/* For people: without the password that may stand in it. */
	access_text(&access, bus->url, sizeof(bus->url));
	bus->conn = bus_conn_open(bus->loop, &conn, &bus_conn_handler, bus, err);
	return bus->conn != NULL ? 0 : -EINVAL;
}

static void
bus_on_tick(void *arg)
{
	struct bus *bus = arg;
	ms_t now = loop_now(bus->loop);

	loop_timer_set(bus->tick, BUS_TICK_MS);
	if (bus->state == BUS_DOWN)
		return;
	registry_expire(bus->reg, now);
	bus_calls_tick(bus->calls, bus->reg, now);
}

int
bus_open(struct loop *loop, const struct bus_config *config,
	 const struct bus_handler *handler, void *arg, struct bus **ret_bus,
	 struct errmsg *err)
{
	struct bus *bus = mem_calloc(1, sizeof(*bus));
	struct bus_calls_config calls = {
		.node_id = config->node_id,
		.stall_ms = config->stall_ms > 0 ? config->stall_ms : BUS_STALL_MS,
		.handler = handler,
		.handler_arg = arg,
		.vanished = bus_on_vanished,
		.vanished_arg = bus,
	};
	uint64_t random = rng_seed_from_os();
	int rc = 0;

	bus->loop = loop;
	bus->handler = handler;
	bus->arg = arg;
	bus->node_id = config->node_id;
	bus->node_name = mem_strdup(config->node_name != NULL ? config->node_name
							      : "ocfd");
	bus->is_embedded = config->url == NULL;
	bus->trouble_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 1 };
	snprintf(bus->inbox, sizeof(bus->inbox), "_INBOX.ocf.%016" PRIx64, random);
	snprintf(bus->barrier, sizeof(bus->barrier), BUS_SUBJECT_SELF "%016" PRIx64,
		 random);
	bus->reg = registry_new(&bus_registry_handler, bus, BUS_WORKERS_MAX);
	bus->intake = bus_intake_new(loop, bus->reg, &bus_intake_handler, bus);
	bus->calls = bus_calls_new(loop, &calls);
	bus->timer = loop_timer_new(loop, bus_on_timer, bus);
	bus->tick = loop_timer_new(loop, bus_on_tick, bus);
	if (config->server != NULL && strcmp(config->server, "none") == 0)
		bus->is_embedded = false; /* a node without workers: down, for ever */
	else if (bus->is_embedded)
		rc = bus_embedded_open(bus, config, err);
	else
		rc = bus_open_external(bus, config, err);
	if (rc < 0) {
		bus_close(bus);
		return rc;
	}
	loop_timer_set(bus->tick, BUS_TICK_MS);
	*ret_bus = bus;
	return 0;
}

void
bus_close(struct bus *bus)
{
	if (bus == NULL)
		return;
	bus_calls_free(bus->calls, bus->reg);
	bus_sub_free(bus->status_sub);
	bus_sub_free(bus->node_sub);
	bus_sub_free(bus->inbox_sub);
	bus_sub_free(bus->barrier_sub);
	bus_clients_close(bus->clients);
	bus_conn_close(bus->conn);
	bus_server_close(bus->server);
	bus_intake_free(bus->intake);
	registry_free(bus->reg);
	loop_timer_free(bus->timer);
	loop_timer_free(bus->tick);
	free(bus->node_name);
	free(bus->host);
	free(bus);
}

void
bus_get_stats(const struct bus *bus, struct bus_stats *ret_stats)
{
	*ret_stats = bus->stats;
	bus_calls_stats(bus->calls, ret_stats);
	bus_intake_stats(bus->intake, ret_stats);
	ret_stats->workers = registry_len(bus->reg);
	ret_stats->server_restarts = bus->server != NULL
					     ? bus_server_restarts(bus->server)
					     : 0;
	ret_stats->buffered_bytes = bus->conn != NULL ? bus_conn_buffered(bus->conn) : 0;
}

const char *
bus_trouble(const struct bus *bus)
{
	return bus->trouble[0] != '\0' ? bus->trouble : NULL;
}

int
bus_send(struct bus *bus, const char *worker_id, uint64_t token,
	 const struct query_head *head, struct bytes first, bool is_last)
{
	struct registry_worker *w = registry_find(bus->reg, worker_id);

	if (bus->state == BUS_DOWN)
		return -ENOTCONN;
	if (w == NULL)
		return -OCF_EUNKNOWN;
	return bus_calls_send(bus->calls, w, token, head, first, is_last);
}

int
bus_body(struct bus *bus, uint64_t token, struct bytes part, bool is_last)
{
	return bus_calls_body(bus->calls, token, part, is_last);
}

int
bus_cancel(struct bus *bus, uint64_t token)
{
	return bus_calls_cancel(bus->calls, token);
}

void
bus_credit(struct bus *bus, uint64_t token, int n)
{
	bus_calls_credit(bus->calls, token, n);
}
