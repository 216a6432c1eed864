/* SPDX-License-Identifier: Apache-2.0 */
/* Which workers are attached, by what they announced. Pure: announcements, connection events
 * and time come in, changes go out by callbacks; no I/O, no clock, no NATS.
 *
 * A v1 worker is known by the id it chose and lives while it repeats its announcement. The
 * connection that announced an id last has it. When two keep announcing one id, each of them
 * would get the other's queries, so the worker gets none until one of them is gone.
 *
 * A legacy one (the 2023 protocol, no `v`) is known by its connection and lives as long. It
 * announces once and never again: after a restart of the node or of the server it is found
 * in the list of connections by what it subscribes to, and takes over what the worker of
 * before with these services had said of itself (its gpus). One that said `disconnected` is
 * not found again while its connection lasts; one that announced nonsense is, for it serves.
 *
 * An announcement that is wrong in any part changes nothing and gives one warning; the same
 * warning is not repeated within a minute. An announcement that says nothing new is silent.
 *
 * registry_client_ended() must come after the last announcement of that connection. */
#ifndef OCF_BUS_REGISTRY_H
#define OCF_BUS_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/clock.h"
#include "bus/bus.h"

enum {
	/* All of a worker's JSON: with the node's own fields it must fit a row's value. */
	REGISTRY_ANNOUNCE_BYTES_MAX = 12 * 1024,
	REGISTRY_OBJECT_BYTES_MAX = 4 * 1024, /* metadata; hardware */
	REGISTRY_WARNINGS_MAX = 64,	      /* distinct warnings remembered */
	/* Clients that said that they leave and stay connected; of more the first are found
	 * again by what they subscribe to. */
	REGISTRY_LEFT_MAX = 4096,
	REGISTRY_WARNING_AGAIN_MS = MS_MINUTE,
};

struct bus_call;

struct registry_worker {
	struct bus_worker pub; /* what the daemon sees; texts owned */
	char *machine;	       /* its hardware without what changes all the time */
	bool is_found;	       /* legacy: known by its subscriptions alone */
	bool is_told_down;     /* legacy, lost: its id was another's meanwhile */
	bool said_draining;    /* beside what is_contested makes of it */
	/* Of its connection, 0 not known, and of the server that numbers it so: on several
	 * servers a number alone is ambiguous. And of the connection before. */
	uint64_t client_id, server;
	uint64_t client_id_before, server_before;
	bool is_contested; /* both announce this id */
	ms_t contested_ms; /* the last time that they took turns */
	ms_t heartbeat_ms;
	ms_t heard_ms;
	uint64_t said_hash; /* of what it announced last; 0: more than that is new */
	/* Of the bus, NULL in tests of the registry alone. */
	struct bus_sub *sub;	/* its reply wildcard */
	unsigned number;	/* in that wildcard; 0 before there is one */
	struct bus_call *calls; /* outstanding, oldest first */
	uint64_t calls_mark;	/* those up to it are with the connection before */
	int calls_len;
	struct registry_worker *busy_prev, *busy_next; /* among those with calls */
	struct registry_worker *prev, *next;	       /* among the lost */
	UT_hash_handle hh, hh_said;
};

struct registry_handler {
	void (*up)(void *arg, struct registry_worker *w);
	void (*changed)(void *arg, struct registry_worker *w);
	/* `w` has left the registry and is freed on return. */
	void (*down)(void *arg, struct registry_worker *w, const char *reason);
	/* Legacy: its server is gone; nothing more comes of what it has. It has left the
	 * registry, too, but may come back (then `up`), else `down` follows. */
	void (*lost)(void *arg, struct registry_worker *w);
	/* Connection `by` announced this id; the one that had it is to be told. */
	void (*replaced)(void *arg, struct registry_worker *w, uint64_t by);
	/* The connection that was replaced has ended, with all that it had. */
	void (*former_ended)(void *arg, struct registry_worker *w);
	void (*warning)(void *arg, const char *text);
};

struct registry;

/* `sees_connections`: ends of connections will be reported; without, legacy workers are
 * refused, since nothing would ever tell that they left. */
struct registry *registry_new(const struct registry_handler *handler, void *arg,
			      int workers_max);
void registry_free(struct registry *reg); /* no callbacks */
void registry_sees_connections(struct registry *reg, bool sees_connections);

/* 0, or -OCF_EMALFORMED after a warning. */
int registry_announce(struct registry *reg, ms_t now, struct bytes json);
/* True: this is, byte for byte, what a v1 worker announced last; its heartbeat was noted, at
 * a tenth of the cost, and nothing else is to be done about it. */
bool registry_repeats(struct registry *reg, ms_t now, struct bytes json);
void registry_client_ended(struct registry *reg, uint64_t client_id);
void registry_remove(struct registry *reg, const char *id, const char *reason);
/* The bus is (again) there: everybody gets a full three heartbeats to announce, and client
 * ids start anew. */
void registry_bus_up(struct registry *reg, ms_t now);
/* Remove who missed three heartbeats; legacy workers are left. */
void registry_expire(struct registry *reg, ms_t now);

/* A client of the server, as the list of connections shows it. */
struct registry_client {
	uint64_t id;
	bool is_v1;	  /* subscribes to what only a v1 worker knows */
	int services_len; /* what it takes in the queue group, plain names, in order */
	char **services;
};

/* All connections since `asked`: legacy workers without one are gone, but for those heard of
 * since; legacy workers that nobody knows are found. */
void registry_listed(struct registry *reg, ms_t now, ms_t asked,
		     const struct registry_client *clients, size_t n);
/* A server without a memory of the one before: all client ids start anew, and legacy workers
 * are lost until they are found. */
void registry_server_new(struct registry *reg);
/* A legacy worker of a former life of this node: lost until it is found. */
void registry_remember(struct registry *reg, const struct bus_worker *former);
/* Those who are still lost are gone. */
void registry_settle(struct registry *reg);

struct registry_worker *registry_find(const struct registry *reg, const char *id);
/* The first; the others by `hh.next`. */
struct registry_worker *registry_first(const struct registry *reg);
int registry_len(const struct registry *reg);

#endif
