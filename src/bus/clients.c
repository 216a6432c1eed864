/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/clients.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/query.h"
#include "base/rng.h"
#include "bus/conn.h"
#include "bus/protocol.h"

/* Somebody who wants to see the list. */
struct viewer {
	uint64_t own_id;
	bus_clients_fn *fn;
	void *arg;
	bool is_asked; /* the answer on its way is not older than the wish */
	ms_t since_ms;
	struct viewer *prev, *next;
};

struct bus_clients {
	struct loop *loop;
	const struct bus_clients_handler *handler;
	void *arg;
	struct bus_conn *conn;
	struct bus_sub *connected_sub, *ended_sub, *list_sub;
	char inbox[64]; /* + the number of the question */
	uint64_t asked; /* the number of the last question */
	ms_t asked_ms;
	bool is_asking; /* its answer is waited for */
	bool is_once_more;
	struct loop_timer *ask_timer;	 /* after a client connected */
	struct loop_timer *answer_timer; /* the answer's limit */
	ms_t connected_ms; /* of the first client not asked about; 0: none */
	struct viewer *viewers;
};

/* --- reading the list --- */

/* In the queue group `workers`, and a name that may be a service. */
static void
client_add_subject(struct registry_client *client, const json_t *sub)
{
	const char *subject = json_string_value(json_object_get(sub, "subject"));
	const char *group = json_string_value(json_object_get(sub, "qgroup"));

	if (subject == NULL)
		return;
	if (strncmp(subject, "ocf.", 4) == 0)
		client->is_v1 = true;
	if (group == NULL || strcmp(group, BUS_QUEUE_GROUP) != 0 ||
	    !query_service_is_plain(subject) ||
	    client->services_len == LIMIT_SERVICES_MAX)
		return;
	for (int i = 0; i < client->services_len; i++)
		if (strcmp(client->services[i], subject) == 0)
			return;
	client->services[client->services_len++] = mem_strdup(subject);
}

static int
client_compare_subjects(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
client_read(const json_t *item, struct registry_client *client)
{
	const json_t *subs = json_object_get(item, "subscriptions_list_detail");
	json_int_t id = json_integer_value(json_object_get(item, "cid"));
	size_t max = json_array_size(subs);

	client->id = id > 0 ? (uint64_t)id : 0;
	if (max > LIMIT_SERVICES_MAX)
		max = LIMIT_SERVICES_MAX;
	client->services = mem_calloc(max, sizeof(client->services[0]));
	for (size_t i = 0; i < json_array_size(subs); i++)
		client_add_subject(client, json_array_get(subs, i));
	/* The server has no order of its own, and one worker must not look like two. */
	qsort(client->services, (size_t)client->services_len, sizeof(client->services[0]),
	      client_compare_subjects);
}

static struct registry_client *
clients_read_list(const json_t *list, size_t *ret_n)
{
	size_t n = json_array_size(list);
	struct registry_client *clients = NULL;

	*ret_n = n;
	if (json_is_array(list))
		clients = mem_calloc(n + 1, sizeof(*clients));
	for (size_t i = 0; i < n; i++)
		client_read(json_array_get(list, i), &clients[i]);
	return clients;
}

struct registry_client *
bus_clients_read(struct bytes answer, size_t *ret_n)
{
	json_t *root = json_loadb((const char *)answer.data, answer.len, 0, NULL);
	struct registry_client *clients = clients_read_list(
		json_object_get(json_object_get(root, "data"), "connections"), ret_n);

	json_decref(root);
	return clients;
}

void
bus_clients_free_list(struct registry_client *list, size_t n)
{
	for (size_t i = 0; list != NULL && i < n; i++) {
		for (int k = 0; k < list[i].services_len; k++)
			free(list[i].services[k]);
		free(list[i].services);
	}
	free(list);
}

/* --- asking for it --- */

void
bus_clients_ask(struct bus_clients *c)
{
	char request[96], inbox[96];
	struct viewer *v;

	if (!bus_conn_is_up(c->conn))
		return;
	if (c->is_asking) {
		c->is_once_more = true;
		return;
	}
	c->is_asking = true;
	c->is_once_more = false;
	c->connected_ms = 0;
	c->asked_ms = loop_now(c->loop);
	snprintf(inbox, sizeof(inbox), "%s.%" PRIu64, c->inbox, ++c->asked);
	snprintf(request, sizeof(request),
		 "{\"subscriptions\":true,\"subscriptions_detail\":true,\"limit\":%d}",
		 CLIENTS_MAX);
	bus_conn_publish(c->conn, "$SYS.REQ.ACCOUNT.OCF.CONNZ", inbox, NULL,
			 bytes_text(request));
	loop_timer_set(c->answer_timer, CLIENTS_ANSWER_MS);
	DL_FOREACH (c->viewers, v)
		v->is_asked = true;
}

static void
clients_on_ask(void *arg)
{
	bus_clients_ask(arg);
}

/* Its subscriptions are on their way. */
static void
clients_hear_connected(struct bus_clients *c)
{
	ms_t now = loop_now(c->loop), latest;

	if (c->connected_ms == 0)
		c->connected_ms = now;
	latest = c->connected_ms + CLIENTS_ASK_MS_MAX - now;
	loop_timer_set(c->ask_timer, latest < 0		       ? 0
				     : latest < CLIENTS_ASK_MS ? latest
							       : CLIENTS_ASK_MS);
}

/* --- showing it --- */

static void
viewer_end(struct bus_clients *c, struct viewer *v, struct bytes json)
{
	DL_DELETE(c->viewers, v);
	v->fn(v->arg, json);
	free(v);
}

/* The server's own shape: subjects alone, as its monitoring shows them. */
static json_t *
clients_dump_one(json_t *item)
{
	const json_t *subs = json_object_get(item, "subscriptions_list_detail");
	json_t *copy = json_copy(item), *subjects = json_array();

	for (size_t i = 0; i < json_array_size(subs); i++)
		json_array_append(subjects,
				  json_object_get(json_array_get(subs, i), "subject"));
	json_object_del(copy, "subscriptions_list_detail");
	json_object_set_new(copy, "subscriptions_list", subjects);
	return copy;
}

static char *
clients_dump(json_t *data, uint64_t own_id)
{
	const json_t *list = json_object_get(data, "connections");
	json_t *copy = json_copy(data), *kept = json_array();
	char *text;

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);

		if (json_integer_value(json_object_get(item, "cid")) !=
		    (json_int_t)own_id)
			json_array_append_new(kept, clients_dump_one(item));
	}
	json_object_set_new(copy, "num_connections",
			    json_integer((json_int_t)json_array_size(kept)));
	json_object_set_new(copy, "connections", kept);
	text = json_dumps(copy, JSON_COMPACT);
	json_decref(copy);
	return text;
}

static void
clients_show(struct bus_clients *c, json_t *data)
{
	struct viewer *v, *next;
	char *text;

	DL_FOREACH_SAFE (c->viewers, v, next) {
		if (!v->is_asked)
			continue;
		text = clients_dump(data, v->own_id);
		viewer_end(c, v, text != NULL ? bytes_text(text) : BYTES_NONE);
		free(text);
	}
}

/* Nobody answers them any more. */
static void
clients_show_none(struct bus_clients *c, bool all)
{
	struct viewer *v, *next;

	DL_FOREACH_SAFE (c->viewers, v, next)
		if (all || v->is_asked)
			viewer_end(c, v, BYTES_NONE);
}

int
bus_clients_show(struct bus_clients *c, uint64_t own_id, bus_clients_fn *fn, void *arg)
{
	struct viewer *v;

	if (!bus_clients_is_up(c))
		return -ENOTCONN;
	v = mem_calloc(1, sizeof(*v));
	*v = (struct viewer){ .own_id = own_id, .fn = fn, .arg = arg };
	DL_APPEND(c->viewers, v);
	bus_clients_ask(c);
	return 0;
}

void
bus_clients_hide(struct bus_clients *c, void *arg)
{
	struct viewer *v, *next;

	if (c == NULL)
		return;
	DL_FOREACH_SAFE (c->viewers, v, next) {
		if (v->arg != arg)
			continue;
		DL_DELETE(c->viewers, v);
		free(v);
	}
}

/* --- the connection --- */

static void
clients_answered(struct bus_clients *c)
{
	c->is_asking = false;
	loop_timer_clear(c->answer_timer);
	if (c->is_once_more)
		bus_clients_ask(c);
}

static void
clients_on_no_answer(void *arg)
{
	struct bus_clients *c = arg;

	clients_show_none(c, false);
	clients_answered(c);
}

static void
clients_hear_list(struct bus_clients *c, const struct bus_msg *msg)
{
	struct bytes text = bus_msg_data(msg);
	const char *dot = strrchr(bus_msg_subject(msg), '.');
	struct registry_client *list;
	json_t *root, *data;
	uint64_t number;
	size_t n;

	/* An answer that came too late could be taken for one to a later question. */
	if (dot == NULL || bus_protocol_number(dot + 1, INT64_MAX, &number) < 0 ||
	    number != c->asked || !c->is_asking)
		return;
	root = json_loadb((const char *)text.data, text.len, 0, NULL);
	data = json_object_get(root, "data");
	list = clients_read_list(json_object_get(data, "connections"), &n);
	if (list != NULL) {
		clients_show(c, data);
		c->handler->listed(c->arg, c->asked_ms, list, n);
	} else {
		clients_show_none(c, false);
	}
	bus_clients_free_list(list, n);
	json_decref(root);
	clients_answered(c);
}

static void
clients_hear_ended(struct bus_clients *c, struct bytes data)
{
	json_t *event = json_loadb((const char *)data.data, data.len, 0, NULL);
	json_int_t id = json_integer_value(
		json_object_get(json_object_get(event, "client"), "id"));

	if (id > 0)
		c->handler->ended(c->arg, (uint64_t)id);
	json_decref(event);
}

static void
clients_on_readable(void *arg)
{
	struct bus_clients *c = arg;
	struct bus_msg *msg;

	while (bus_sub_next(c->connected_sub, &msg) == BUS_NEXT_MSG) {
		clients_hear_connected(c);
		bus_msg_free(msg);
	}
	while (bus_sub_next(c->list_sub, &msg) == BUS_NEXT_MSG) {
		clients_hear_list(c, msg);
		bus_msg_free(msg);
	}
	while (bus_sub_next(c->ended_sub, &msg) == BUS_NEXT_MSG) {
		clients_hear_ended(c, bus_msg_data(msg));
		bus_msg_free(msg);
	}
}

static void
clients_on_up(void *arg, uint64_t client_id)
{
	struct bus_clients *c = arg;
	char inbox[sizeof(c->inbox) + 2];

	(void)client_id;
	snprintf(inbox, sizeof(inbox), "%s.*", c->inbox);
	c->connected_sub = bus_conn_subscribe(c->conn, "$SYS.ACCOUNT.OCF.CONNECT", NULL);
	c->ended_sub = bus_conn_subscribe(c->conn, "$SYS.ACCOUNT.OCF.DISCONNECT", NULL);
	c->list_sub = bus_conn_subscribe(c->conn, inbox, NULL);
	c->handler->up(c->arg);
	bus_clients_ask(c);
	/* Who connected just before us may not have subscribed yet. */
	clients_hear_connected(c);
}

static void
clients_unsubscribe(struct bus_clients *c)
{
	bus_sub_free(c->connected_sub);
	bus_sub_free(c->ended_sub);
	bus_sub_free(c->list_sub);
	c->connected_sub = c->ended_sub = c->list_sub = NULL;
}

static void
clients_on_down(void *arg, const char *reason)
{
	struct bus_clients *c = arg;

	(void)reason;
	clients_unsubscribe(c);
	loop_timer_clear(c->ask_timer);
	loop_timer_clear(c->answer_timer);
	c->is_asking = c->is_once_more = false;
	clients_show_none(c, true);
	c->handler->down(c->arg);
}

static void
clients_on_trouble(void *arg, const char *text)
{
	struct bus_clients *c = arg;

	c->handler->trouble(c->arg, text);
}

static const struct bus_conn_handler clients_conn_handler = {
	.up = clients_on_up,
	.down = clients_on_down,
	.readable = clients_on_readable,
	.trouble = clients_on_trouble,
};

struct bus_clients *
bus_clients_open(struct loop *loop, const char *url, const char *password,
		 const char *name, const struct bus_clients_handler *handler, void *arg,
		 struct errmsg *err)
{
	struct bus_clients *c = mem_calloc(1, sizeof(*c));
	struct bus_conn_config config = {
		.url = url, .name = name, .user = "sys", .password = password
	};

	c->loop = loop;
	c->handler = handler;
	c->arg = arg;
	snprintf(c->inbox, sizeof(c->inbox), "_INBOX.ocf.%016" PRIx64,
		 rng_seed_from_os());
	c->ask_timer = loop_timer_new(loop, clients_on_ask, c);
	c->answer_timer = loop_timer_new(loop, clients_on_no_answer, c);
	c->conn = bus_conn_open(loop, &config, &clients_conn_handler, c, err);
	if (c->conn != NULL)
		return c;
	bus_clients_close(c);
	return NULL;
}

void
bus_clients_close(struct bus_clients *c)
{
	if (c == NULL)
		return;
	clients_unsubscribe(c);
	bus_conn_close(c->conn);
	clients_show_none(c, true);
	loop_timer_free(c->ask_timer);
	loop_timer_free(c->answer_timer);
	free(c);
}

bool
bus_clients_is_up(const struct bus_clients *c)
{
	return c != NULL && c->ended_sub != NULL && bus_conn_is_up(c->conn);
}

void
bus_clients_retry_now(struct bus_clients *c)
{
	bus_conn_retry_now(c->conn);
}
