/* SPDX-License-Identifier: Apache-2.0 */
/* One announcement: the JSON that a worker publishes on `worker:status`, checked field by
 * field. Pure. */
#ifndef OCF_BUS_ANNOUNCE_H
#define OCF_BUS_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"

enum announce_status { ANNOUNCE_CONNECTED, ANNOUNCE_DRAINING, ANNOUNCE_DISCONNECTED };

struct announce {
	bool is_legacy;
	char *id;	    /* a legacy worker's is "c<client_id>" */
	uint64_t client_id; /* 0: not given */
	uint64_t server;    /* a hash of server_id; 0: not given */
	enum announce_status status;
	int slots; /* 0: none announced */
	ms_t heartbeat_ms;
	int services_len;
	struct bus_service *services;
	char *metadata; /* compact JSON objects */
	char *machine; /* the hardware without memory counters that change all the time */
	char *hardware; /* the same; of a legacy worker with them, as it says them once */
};

/* 0, or -OCF_EMALFORMED with `err` naming the worker (as far as it said who it is) and the
 * reason. 1: nothing to do (a legacy status that is not ours to understand). */
int announce_parse(struct bytes json, struct announce *ret_announce, struct errmsg *err);
void announce_fini(struct announce *a);
void announce_services_free(struct bus_service *services, int len);

#endif
