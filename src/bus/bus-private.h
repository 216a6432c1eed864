/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the bus share: bus.c, its life, and embedded.c, the server of its own
 * and that server's clients. Nobody else includes this. */
#ifndef OCF_BUS_BUS_PRIVATE_H
#define OCF_BUS_BUS_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/calls.h"
#include "bus/clients.h"
#include "bus/conn.h"
#include "bus/intake.h"
#include "bus/registry.h"
#include "bus/server.h"

enum { BUS_URL_SIZE = 1024 };

struct bus {
	struct loop *loop;
	const struct bus_handler *handler;
	void *arg;
	bool is_embedded;
	bool is_fatal;
	struct id node_id;
	char *node_name;
	char *host;
	char url[BUS_URL_SIZE]; /* where workers connect; "" not known */

	struct bus_server *server;
	ms_t shut_ms; /* since then it listens and takes no connection; 0: it does */
	struct bus_conn *conn;
	uint64_t own_id;	     /* of conn, as the server numbers it */
	struct bus_clients *clients; /* embedded only */
	struct bus_sub *status_sub, *node_sub;
	struct bus_sub *inbox_sub; /* external only */
	struct bus_sub *barrier_sub;
	char inbox[64];	  /* for the answers to what we ask */
	char barrier[64]; /* where we write to ourselves; see bus_on_client_ended() */

	enum bus_state state;
	bool is_asking;	  /* who has this bus? */
	bool is_settling; /* the list of connections settles it */
	ms_t settling_ms;
	struct loop_timer *timer; /* the answer's limit; then the settling */
	struct loop_timer *tick;
	struct registry *reg;
	struct bus_intake *intake; /* into it */
	struct bus_calls *calls;
	struct bus_stats stats;
	char trouble[512];     /* bus_trouble(); "" none */
	uint64_t trouble_told; /* the hash of the one that was warned of last */
	struct log_limit trouble_limit;
};

/* bus.c */

extern const struct bus_conn_handler bus_conn_handler;

void bus_warn(struct bus *bus, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void bus_fatal(struct bus *bus, const char *text);
/* One of its connections is there: go on once both are. */
void bus_connected(struct bus *bus);
void bus_on_trouble(void *arg, const char *text);
/* Whoever has not come back by now is gone. */
void bus_settle(struct bus *bus);

/* embedded.c */

int bus_embedded_open(struct bus *bus, const struct bus_config *config,
		      struct errmsg *err);

#endif
