/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/registry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "bus/announce.h"
#include "bus/protocol.h"

struct registry {
	const struct registry_handler *handler;
	void *arg;
	int workers_max;
	bool sees_connections;
	struct registry_worker *workers; /* by id */
	struct {
		uint64_t hash;
		ms_t at;
	} warned[REGISTRY_WARNINGS_MAX];
	unsigned warned_next;
};

struct registry *
registry_new(const struct registry_handler *handler, void *arg, int workers_max)
{
	struct registry *reg = mem_calloc(1, sizeof(*reg));

	assert(workers_max > 0);
	reg->handler = handler;
	reg->arg = arg;
	reg->workers_max = workers_max;
	return reg;
}

static void
registry_worker_clear(struct registry_worker *w)
{
	announce_services_free((struct bus_service *)w->pub.services,
			       w->pub.services_len);
	free((char *)w->pub.metadata);
	free((char *)w->pub.hardware);
	w->pub.services = NULL;
	w->pub.services_len = 0;
}

static void
registry_worker_free(struct registry_worker *w)
{
	registry_worker_clear(w);
	free((char *)w->pub.id);
	free(w);
}

void
registry_free(struct registry *reg)
{
	struct registry_worker *w, *next;

	if (reg == NULL)
		return;
	HASH_ITER (hh, reg->workers, w, next) {
		HASH_DEL(reg->workers, w);
		registry_worker_free(w);
	}
	free(reg);
}

void
registry_sees_connections(struct registry *reg, bool sees_connections)
{
	reg->sees_connections = sees_connections;
}

struct registry_worker *
registry_find(const struct registry *reg, const char *id)
{
	struct registry_worker *w;

	HASH_FIND_STR(reg->workers, id, w);
	return w;
}

struct registry_worker *
registry_first(const struct registry *reg)
{
	return reg->workers;
}

int
registry_len(const struct registry *reg)
{
	return (int)HASH_COUNT(reg->workers);
}

static int
registry_warn(struct registry *reg, ms_t now, struct errmsg *err)
{
	uint64_t hash = hash64(bytes_text(err->text), 0);
	unsigned slot;

	/* It quotes what the worker said of itself. */
	for (char *p = err->text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	for (slot = 0; slot < REGISTRY_WARNINGS_MAX; slot++) {
		if (reg->warned[slot].hash != hash)
			continue;
		if (now - reg->warned[slot].at < REGISTRY_WARNING_AGAIN_MS)
			return -OCF_EMALFORMED;
		break;
	}
	if (slot == REGISTRY_WARNINGS_MAX)
		slot = reg->warned_next++ % REGISTRY_WARNINGS_MAX;
	reg->warned[slot].hash = hash;
	reg->warned[slot].at = now;
	reg->handler->warning(reg->arg, err->text);
	return -OCF_EMALFORMED;
}

static void
registry_drop(struct registry *reg, struct registry_worker *w, const char *reason)
{
	HASH_DEL(reg->workers, w);
	reg->handler->down(reg->arg, w, reason);
	registry_worker_free(w);
}

static bool
registry_service_equal(const struct bus_service *a, const struct bus_service *b)
{
	if (strcmp(a->name, b->name) != 0 || a->match_len != b->match_len)
		return false;
	for (int i = 0; i < a->match_len; i++)
		if (strcmp(a->match[i], b->match[i]) != 0)
			return false;
	return true;
}

static bool
registry_is_same(const struct registry_worker *w, const struct announce *a)
{
	if (w->pub.slots != (a->slots > 0 ? a->slots : 1) ||
	    w->pub.is_direct != (a->slots > 0) ||
	    w->pub.is_draining != (a->status == ANNOUNCE_DRAINING) ||
	    w->pub.services_len != a->services_len ||
	    strcmp(w->pub.metadata, a->metadata) != 0 ||
	    strcmp(w->pub.hardware, a->hardware) != 0)
		return false;
	for (int i = 0; i < a->services_len; i++)
		if (!registry_service_equal(&w->pub.services[i], &a->services[i]))
			return false;
	return true;
}

/* Move what was announced into the worker; `a` keeps only its id. */
static void
registry_take(struct registry_worker *w, struct announce *a)
{
	registry_worker_clear(w);
	w->pub.slots = a->slots > 0 ? a->slots : 1;
	w->pub.is_direct = a->slots > 0;
	w->pub.is_draining = a->status == ANNOUNCE_DRAINING;
	w->pub.services = a->services;
	w->pub.services_len = a->services_len;
	w->pub.metadata = a->metadata;
	w->pub.hardware = a->hardware;
	a->services = NULL;
	a->services_len = 0;
	a->metadata = a->hardware = NULL;
}

static void
registry_heard(struct registry *reg, ms_t now, struct registry_worker *w,
	       const struct announce *a)
{
	struct errmsg err;

	w->heard_ms = now;
	w->heartbeat_ms = a->heartbeat_ms;
	if (a->client_id == w->client_id)
		return;
	if (a->client_id != 0 && a->client_id == w->client_id_before) {
		error_set(&err, 0,
			  "worker `%s`: two connections (%" PRIu64 " and %" PRIu64
			  ") announce this id, so each gets the other's queries; "
			  "give each worker an id of its own",
			  w->pub.id, w->client_id, a->client_id);
		registry_warn(reg, now, &err);
	}
	w->client_id_before = w->client_id;
	w->client_id = a->client_id;
}

static int
registry_add(struct registry *reg, ms_t now, struct announce *a)
{
	struct registry_worker *w;
	struct errmsg err;

	if (registry_len(reg) >= reg->workers_max) {
		error_set(&err, 0,
			  "worker `%s`: this node has its limit of %d workers; ignored",
			  a->id, reg->workers_max);
		return registry_warn(reg, now, &err);
	}
	if (a->is_legacy && !reg->sees_connections) {
		error_set(
			&err, 0,
			"worker `%s`: it announces without `v` and `id`, and on this bus "
			"the node cannot see when its connection ends; ignored",
			a->id);
		return registry_warn(reg, now, &err);
	}
	w = mem_calloc(1, sizeof(*w));
	w->pub.id = a->id;
	w->is_legacy = a->is_legacy;
	a->id = NULL;
	registry_take(w, a);
	w->client_id = a->client_id;
	w->heard_ms = now;
	w->heartbeat_ms = a->heartbeat_ms;
	HASH_ADD_KEYPTR(hh, reg->workers, w->pub.id, strlen(w->pub.id), w);
	reg->handler->up(reg->arg, w);
	return 0;
}

int
registry_announce(struct registry *reg, ms_t now, struct bytes json)
{
	struct announce a;
	struct errmsg err = { "" };
	struct registry_worker *w;
	int rc = announce_parse(json, &a, &err);

	if (rc != 0)
		return rc < 0 ? registry_warn(reg, now, &err) : 0;
	w = registry_find(reg, a.id);
	if (a.status == ANNOUNCE_DISCONNECTED) {
		if (w != NULL)
			registry_drop(reg, w, "it left");
	} else if (w == NULL) {
		rc = registry_add(reg, now, &a);
	} else {
		registry_heard(reg, now, w, &a);
		if (!registry_is_same(w, &a)) {
			registry_take(w, &a);
			reg->handler->changed(reg->arg, w);
		}
	}
	announce_fini(&a);
	return rc;
}

void
registry_client_ended(struct registry *reg, uint64_t client_id)
{
	struct registry_worker *w, *next;

	HASH_ITER (hh, reg->workers, w, next)
		if (w->client_id == client_id)
			registry_drop(reg, w, "its connection ended");
}

void
registry_remove(struct registry *reg, const char *id, const char *reason)
{
	struct registry_worker *w = registry_find(reg, id);

	if (w != NULL)
		registry_drop(reg, w, reason);
}

void
registry_bus_up(struct registry *reg, ms_t now)
{
	for (struct registry_worker *w = reg->workers; w != NULL; w = w->hh.next) {
		w->heard_ms = now;
		if (!w->is_legacy)
			w->client_id = w->client_id_before = 0;
	}
}

void
registry_expire(struct registry *reg, ms_t now)
{
	struct registry_worker *w, *next;

	HASH_ITER (hh, reg->workers, w, next)
		if (!w->is_legacy &&
		    now - w->heard_ms > BUS_HEARTBEATS_MISSED * w->heartbeat_ms)
			registry_drop(reg, w, "it missed three heartbeats");
}

void
registry_keep_clients(struct registry *reg, ms_t asked, const uint64_t *ids, size_t n)
{
	struct registry_worker *w, *next;

	HASH_ITER (hh, reg->workers, w, next) {
		bool is_there = !w->is_legacy || w->heard_ms >= asked;

		for (size_t i = 0; i < n && !is_there; i++)
			is_there = ids[i] == w->client_id;
		if (!is_there)
			registry_drop(reg, w, "its connection ended");
	}
}
