/* SPDX-License-Identifier: Apache-2.0 */
/* The bus with a server of its own: that server (server.c), the two connections to it, and
 * what its system account tells of its clients (clients.c). The rest is bus.c. */
#include "config.h"

#include "bus/bus-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- the server's clients --- */

/* A connection's end is told on another connection of ours than the last that was sent on
 * it, and may be told first. What we send ourselves after hearing of the end comes back
 * behind all of that: then it has ended. */
static void
bus_on_client_ended(void *arg, uint64_t client_id)
{
	struct bus *bus = arg;
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, client_id);
	if (bus->barrier_sub == NULL ||
	    bus_conn_publish(bus->conn, bus->barrier, NULL, NULL, bytes_text(text)) < 0)
		bus_intake_ended(bus->intake, client_id);
}

static void
bus_on_clients_up(void *arg)
{
	struct bus *bus = arg;

	registry_sees_connections(bus->reg, true);
	bus_connected(bus);
}

static void
bus_on_clients_down(void *arg)
{
	struct bus *bus = arg;

	registry_sees_connections(bus->reg, false);
}

static void
bus_on_listed(void *arg, ms_t asked, const struct registry_client *clients, size_t n)
{
	struct bus *bus = arg;
	int len = registry_len(bus->reg);

	registry_listed(bus->reg, loop_now(bus->loop), asked, clients, n);
	/* One found may have ended before we were told who it was. */
	if (registry_len(bus->reg) > len)
		bus_clients_ask(bus->clients);
	if (bus->is_settling && asked >= bus->settling_ms) {
		loop_timer_clear(bus->timer);
		bus_settle(bus);
	}
}

static const struct bus_clients_handler bus_clients_handler = {
	.up = bus_on_clients_up,
	.down = bus_on_clients_down,
	.ended = bus_on_client_ended,
	.listed = bus_on_listed,
	.trouble = bus_on_trouble,
};

int
bus_show_clients(struct bus *bus, bus_clients_fn *fn, void *arg)
{
	if (!bus->is_embedded)
		return -ENOTSUP;
	if (bus->clients == NULL)
		return -ENOTCONN;
	return bus_clients_show(bus->clients, bus->own_id, fn, arg);
}

void
bus_hide_clients(struct bus *bus, void *arg)
{
	bus_clients_hide(bus->clients, arg);
}

/* --- the embedded server --- */

static void
bus_on_server_ready(void *arg, int port)
{
	struct bus *bus = arg;
	bool is_v6 = strchr(bus->host, ':') != NULL;
	char url[BUS_URL_SIZE + 8];
	struct bus_conn_config config = { .url = url, .name = bus->node_name };
	struct errmsg err = { "" };

	snprintf(bus->url, sizeof(bus->url), is_v6 ? "[%s]:%d" : "%s:%d", bus->host,
		 port);
	if (bus->conn != NULL) {
		bus_conn_retry_now(bus->conn);
		bus_clients_retry_now(bus->clients);
		return;
	}
	snprintf(url, sizeof(url), "nats://%s", bus->url);
	config.user = "node";
	config.password = bus_server_node_password(bus->server);
	bus->conn = bus_conn_open(bus->loop, &config, &bus_conn_handler, bus, &err);
	bus->clients = bus_clients_open(bus->loop, url,
					bus_server_sys_password(bus->server),
					bus->node_name, &bus_clients_handler, bus, &err);
	if (bus->conn == NULL || bus->clients == NULL)
		bus_fatal(bus, err.text);
}

static void
bus_on_server_died(void *arg, const char *reason, bool is_fatal)
{
	struct bus *bus = arg;

	bus->shut_ms = 0;
	/* Before anybody can be connected to the next one: we may be, before we are told
	 * that it is ready. */
	registry_server_new(bus->reg);
	if (is_fatal)
		bus_fatal(bus, reason);
	else
		bus_warn(bus, "the embedded nats-server ended (%s); starting it again",
			 reason);
}

static const struct bus_server_handler bus_server_handler = {
	.ready = bus_on_server_ready,
	.died = bus_on_server_died,
};

int
bus_embedded_open(struct bus *bus, const struct bus_config *config, struct errmsg *err)
{
	struct bus_server_config server = { 0 };
	char *program = NULL, *folder;
	char name[64], id[ID_TEXT_SIZE];
	int rc = bus_server_parse_listen(config->listen != NULL ? config->listen
								: "127.0.0.1:8094",
					 &bus->host, &server.port, err);

	if (rc == 0)
		rc = bus_server_find(config->server, &program, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "ocf-%.16s", id_text(&bus->node_id, id));
	folder = mem_printf("%s/bus", config->data);
	server.program = program;
	server.folder = folder;
	server.name = name;
	server.host = bus->host;
	rc = bus_server_open(bus->loop, &server, &bus_server_handler, bus, &bus->server,
			     err);
	free(folder);
	free(program);
	return rc;
}
