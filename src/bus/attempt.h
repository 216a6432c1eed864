/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt to connect, on a thread that may block: the servers in turn, who we are, TLS.
 * Of the bus's connections (conn.c) alone. */
#ifndef OCF_BUS_ATTEMPT_H
#define OCF_BUS_ATTEMPT_H

#include <nats/nats.h>

#include "base/error.h"
#include "bus/access.h"
#include "bus/conn.h"
#include "bus/tunnel.h"

enum { ATTEMPT_SERVER_ID_SIZE = 64 };

/* What never changes; all texts are owned. */
struct attempt_setup {
	char *url; /* NULL: by `access` */
	struct bus_access access;
	struct access_place places[ACCESS_PLACES_MAX];
	int places_len;
	char *name, *user, *password; /* as they stand between the quotes of JSON */
};

struct attempt {
	const struct attempt_setup *setup;
	int cancel_fd; /* readable: nobody wants the connection */
	int place;     /* in: tried first; out: connected to */
	natsStatus (*set_hooks)(void *arg, natsOptions *options);
	void *arg;
	/* The outcome */
	natsConnection *nc;	   /* or NULL, and: */
	struct errmsg why;	   /* each server with its reason */
	struct bus_tunnel *tunnel; /* that nc goes through, or NULL */
	char server_id[ATTEMPT_SERVER_ID_SIZE];
};

void attempt_run(struct attempt *at);

int attempt_setup_init(struct attempt_setup *setup, const struct bus_conn_config *config,
		       struct errmsg *err);
void attempt_setup_fini(struct attempt_setup *setup);

#endif
