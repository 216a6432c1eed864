/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of the embedded server, as its system account tells of them: the end of each
 * connection within milliseconds, and, asked for, the list of all connections with what they
 * subscribe to. A worker of the 2023 protocol announces itself once and never again; after
 * a restart it connects again without a word, and this list is all that shows it.
 *
 * The list is asked for when we connect, a moment after a client connected (its
 * subscriptions follow within milliseconds), and on request; one question at a time, so
 * that it is known what each answer could not have seen. Loop thread only. */
#ifndef OCF_BUS_CLIENTS_H
#define OCF_BUS_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "bus/bus.h"
#include "bus/registry.h"
#include "net/loop.h"

enum {
	CLIENTS_MAX = 65536, /* of the list that we ask for */
	/* From a client's connecting to the question what it subscribes to; with others
	 * connecting all the time, at the latest after the second. */
	CLIENTS_ASK_MS = MS_SECOND,
	CLIENTS_ASK_MS_MAX = 5 * MS_SECOND,
	CLIENTS_ANSWER_MS = 2 * MS_SECOND, /* for the server's answer */
};

struct bus_clients;

struct bus_clients_handler {
	/* Ends of connections are (not) told from now on. */
	void (*up)(void *arg);
	void (*down)(void *arg);
	void (*ended)(void *arg, uint64_t client_id);
	/* All connections, as they were at some moment since `asked`. */
	void (*listed)(void *arg, ms_t asked, const struct registry_client *clients,
		       size_t n);
	void (*trouble)(void *arg, const char *text);
};

/* The connection to `url` as the user "sys". NULL: nats.c cannot use it. */
struct bus_clients *bus_clients_open(struct loop *loop, const char *url,
				     const char *password, const char *name,
				     const struct bus_clients_handler *handler, void *arg,
				     struct errmsg *err);
void bus_clients_close(struct bus_clients *clients); /* NULL is allowed */
bool bus_clients_is_up(const struct bus_clients *clients);
void bus_clients_retry_now(struct bus_clients *clients);
/* Ask for the list; when one is on its way, once more after it. */
void bus_clients_ask(struct bus_clients *clients);
/* Show the list, less the connection `own_id`, to `fn` once, as the server's JSON (its
 * Connz, with subscriptions_list); without one (BYTES_NONE) when there is no answer within
 * CLIENTS_ANSWER_MS. -ENOTCONN: there is no connection to ask. */
int bus_clients_show(struct bus_clients *clients, uint64_t own_id, bus_clients_fn *fn,
		     void *arg);
void bus_clients_hide(struct bus_clients *clients, void *arg);

/* The server's answer as the registry reads it: subjects of the queue group `workers` that
 * can be a service, and whether the client speaks v1. NULL and 0 when it holds no list. Free
 * with bus_clients_free_list(). */
struct registry_client *bus_clients_read(struct bytes answer, size_t *ret_n);
void bus_clients_free_list(struct registry_client *list, size_t n);

#endif
