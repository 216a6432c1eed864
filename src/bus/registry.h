/* SPDX-License-Identifier: Apache-2.0 */
/* Which workers are attached, by what they announced. Pure: announcements, connection events
 * and time come in, changes go out by callbacks; no I/O, no clock, no NATS.
 *
 * A v1 worker is known by the id it chose and lives while it repeats its announcement; a
 * legacy one (the 2023 protocol, no `v`) is known by its connection and lives as long. An
 * announcement that is wrong in any part changes nothing and gives one warning; the same
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
	REGISTRY_WARNING_AGAIN_MS = MS_MINUTE,
};

struct bus_call;

struct registry_worker {
	struct bus_worker pub; /* what the daemon sees; texts owned */
	bool is_legacy;
	uint64_t client_id; /* of its connection; 0 not known */
	uint64_t client_id_before;
	ms_t heartbeat_ms;
	ms_t heard_ms;
	/* Of the bus, NULL in tests of the registry alone. */
	struct bus_sub *sub;	/* its reply wildcard */
	unsigned number;	/* in that wildcard; 0 before there is one */
	struct bus_call *calls; /* outstanding, oldest first */
	int calls_len;
	struct registry_worker *busy_prev, *busy_next; /* among those with calls */
	UT_hash_handle hh;
};

struct registry_handler {
	void (*up)(void *arg, struct registry_worker *w);
	void (*changed)(void *arg, struct registry_worker *w);
	/* `w` has left the registry and is freed on return. */
	void (*down)(void *arg, struct registry_worker *w, const char *reason);
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
void registry_client_ended(struct registry *reg, uint64_t client_id);
void registry_remove(struct registry *reg, const char *id, const char *reason);
/* The bus is (again) there: everybody gets a full three heartbeats to announce, and client
 * ids start anew. */
void registry_bus_up(struct registry *reg, ms_t now);
/* Remove who missed three heartbeats; legacy workers are left. */
void registry_expire(struct registry *reg, ms_t now);
/* Legacy workers whose connection is not among `ids` are gone, but for those heard of since
 * that list was asked for. */
void registry_keep_clients(struct registry *reg, ms_t asked, const uint64_t *ids,
			   size_t n);

struct registry_worker *registry_find(const struct registry *reg, const char *id);
/* The first; the others by `hh.next`. */
struct registry_worker *registry_first(const struct registry *reg);
int registry_len(const struct registry *reg);

#endif
