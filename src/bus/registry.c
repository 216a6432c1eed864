/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/registry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bus/announce.h"
#include "bus/protocol.h"

/* A legacy client that said that it leaves, and whose connection has not ended. */
struct registry_left {
	uint64_t client_id;
	UT_hash_handle hh;
};

struct registry {
	const struct registry_handler *handler;
	void *arg;
	int workers_max;
	bool sees_connections;
	struct registry_worker *workers; /* by id */
	struct registry_worker *said;	 /* by said_hash */
	struct registry_worker *lost;	 /* legacy, by nothing; not among `workers` */
	struct registry_left *left;	 /* oldest first */
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
	free(w->machine);
	w->pub.metadata = w->pub.hardware = w->machine = NULL;
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

/* ---- who said that it leaves ---- */

static struct registry_left *
registry_find_left(const struct registry *reg, uint64_t client_id)
{
	struct registry_left *left;

	HASH_FIND(hh, reg->left, &client_id, sizeof(client_id), left);
	return left;
}

static void
registry_forget_left(struct registry *reg, struct registry_left *left)
{
	if (left == NULL)
		return;
	HASH_DEL(reg->left, left);
	free(left);
}

static void
registry_note_left(struct registry *reg, uint64_t client_id)
{
	struct registry_left *left = registry_find_left(reg, client_id);

	if (left != NULL)
		return;
	if (HASH_COUNT(reg->left) >= REGISTRY_LEFT_MAX)
		registry_forget_left(reg, reg->left);
	left = mem_calloc(1, sizeof(*left));
	left->client_id = client_id;
	HASH_ADD(hh, reg->left, client_id, sizeof(left->client_id), left);
}

void
registry_free(struct registry *reg)
{
	struct registry_worker *w, *next;

	if (reg == NULL)
		return;
	HASH_CLEAR(hh_said, reg->said);
	HASH_ITER (hh, reg->workers, w, next) {
		HASH_DEL(reg->workers, w);
		registry_worker_free(w);
	}
	DL_FOREACH_SAFE (reg->lost, w, next)
		registry_worker_free(w);
	while (reg->left != NULL)
		registry_forget_left(reg, reg->left);
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

/* ---- what is only repeated ---- */

static void
registry_forget_said(struct registry *reg, struct registry_worker *w)
{
	if (w->said_hash != 0)
		HASH_DELETE(hh_said, reg->said, w);
	w->said_hash = 0;
}

static struct registry_worker *
registry_find_said(const struct registry *reg, uint64_t hash)
{
	struct registry_worker *w;

	HASH_FIND(hh_said, reg->said, &hash, sizeof(hash), w);
	return w;
}

/* While two announce one id each word counts. */
static void
registry_note_said(struct registry *reg, struct registry_worker *w, struct bytes json)
{
	uint64_t hash = hash64(json, 0);

	registry_forget_said(reg, w);
	if (w->pub.is_legacy || w->is_contested || hash == 0 ||
	    registry_find_said(reg, hash) != NULL)
		return;
	w->said_hash = hash;
	HASH_ADD(hh_said, reg->said, said_hash, sizeof(w->said_hash), w);
}

bool
registry_repeats(struct registry *reg, ms_t now, struct bytes json)
{
	struct registry_worker *w = registry_find_said(reg, hash64(json, 0));

	if (w == NULL)
		return false;
	w->heard_ms = now;
	return true;
}

static void
registry_drop(struct registry *reg, struct registry_worker *w, const char *reason)
{
	registry_forget_said(reg, w);
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
	    w->said_draining != (a->status == ANNOUNCE_DRAINING) ||
	    w->pub.services_len != a->services_len ||
	    strcmp(w->pub.metadata, a->metadata) != 0 ||
	    strcmp(w->machine, a->machine) != 0)
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
	w->said_draining = a->status == ANNOUNCE_DRAINING;
	w->pub.is_draining = w->said_draining || w->is_contested;
	w->pub.services = a->services;
	w->pub.services_len = a->services_len;
	w->pub.metadata = a->metadata;
	w->pub.hardware = a->hardware;
	w->machine = a->machine;
	a->services = NULL;
	a->services_len = 0;
	a->metadata = a->hardware = a->machine = NULL;
}

/* --- one id, two connections --- */

static void
registry_contest(struct registry *reg, struct registry_worker *w, bool is_contested)
{
	if (w->is_contested == is_contested)
		return;
	registry_forget_said(reg, w);
	w->is_contested = is_contested;
	w->pub.is_draining = w->said_draining || is_contested;
	reg->handler->changed(reg->arg, w);
}

/* Who announces last has the id. One that goes on after it was replaced does not know the
 * word, or is another worker by mistake: both listen on the id's subject. */
static void
registry_heard(struct registry *reg, ms_t now, struct registry_worker *w,
	       const struct announce *a)
{
	uint64_t before = w->client_id, server_before = w->server;
	struct errmsg err;

	w->heard_ms = now;
	w->heartbeat_ms = a->heartbeat_ms;
	w->is_found = false;
	if (a->client_id == 0 || (a->client_id == w->client_id && a->server == w->server))
		return;
	w->client_id = a->client_id;
	w->server = a->server;
	if (a->client_id != w->client_id_before || a->server != w->server_before) {
		w->client_id_before = before;
		w->server_before = server_before;
		if (before != 0)
			reg->handler->replaced(reg->arg, w, a->client_id);
		return;
	}
	w->client_id_before = before;
	w->server_before = server_before;
	w->contested_ms = now;
	error_set(&err, 0,
		  "worker `%s`: two connections (%" PRIu64 " and %" PRIu64
		  ") announce this id, so each would get the other's queries; until one "
		  "of them ends it gets none: give each worker an id of its own",
		  w->pub.id, before < a->client_id ? before : a->client_id,
		  before < a->client_id ? a->client_id : before);
	registry_warn(reg, now, &err);
	registry_contest(reg, w, true);
}

/* --- legacy workers that were lost with their server, or with our former life --- */

static bool
registry_serves(const struct bus_service *services, int len, const char *name)
{
	for (int i = 0; i < len; i++)
		if (strcmp(services[i].name, name) == 0)
			return true;
	return false;
}

/* Does the client take all that the lost one offered? One of the same id first. */
static struct registry_worker *
registry_find_lost(const struct registry *reg, const struct announce *a)
{
	struct registry_worker *w, *found = NULL;

	DL_FOREACH (reg->lost, w) {
		bool is_it = w->pub.services_len > 0;

		for (int i = 0; i < w->pub.services_len && is_it; i++)
			is_it = registry_serves(a->services, a->services_len,
						w->pub.services[i].name);
		if (is_it && (found == NULL || strcmp(w->pub.id, a->id) == 0))
			found = w;
	}
	return found;
}

static void
registry_lost_gone(struct registry *reg, struct registry_worker *w)
{
	DL_DELETE(reg->lost, w);
	if (!w->is_told_down)
		reg->handler->down(reg->arg, w, "its connection ended");
	registry_worker_free(w);
}

/* An id is a connection's number, and on a new server the numbers start anew: what
 * was lost under this id is another one's now. */
static void
registry_free_id(struct registry *reg, const char *id)
{
	struct registry_worker *w;

	DL_FOREACH (reg->lost, w) {
		if (strcmp(w->pub.id, id) != 0 || w->is_told_down)
			continue;
		w->is_told_down = true;
		reg->handler->down(reg->arg, w, "its connection ended");
	}
}

/* It takes over what the lost one had said of itself and the client does not say again. */
static void
registry_come_back(struct registry *reg, struct registry_worker *w,
		   struct registry_worker *lost)
{
	DL_DELETE(reg->lost, lost);
	if (w->is_found) {
		struct bus_worker pub = w->pub;
		char *machine = w->machine;

		w->pub = lost->pub;
		w->machine = lost->machine;
		lost->pub = pub;
		lost->machine = machine;
		lost->pub.id = w->pub.id;
		w->pub.id = pub.id;
	}
	/* Known to the daemon by this id: nothing left, something came. */
	if (strcmp(lost->pub.id, w->pub.id) == 0)
		lost->is_told_down = true;
}

static int
registry_add(struct registry *reg, ms_t now, struct announce *a, bool is_found)
{
	struct registry_worker *w, *lost = NULL;
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
	if (a->is_legacy)
		lost = registry_find_lost(reg, a);
	w = mem_calloc(1, sizeof(*w));
	w->pub.id = a->id;
	w->pub.is_legacy = a->is_legacy;
	w->is_found = is_found;
	a->id = NULL;
	registry_take(w, a);
	w->client_id = a->client_id;
	w->server = a->server;
	w->heard_ms = now;
	w->heartbeat_ms = a->heartbeat_ms;
	HASH_ADD_KEYPTR(hh, reg->workers, w->pub.id, strlen(w->pub.id), w);
	if (lost != NULL)
		registry_come_back(reg, w, lost);
	registry_free_id(reg, w->pub.id);
	reg->handler->up(reg->arg, w);
	if (lost != NULL && !lost->is_told_down)
		reg->handler->down(reg->arg, lost, "its connection ended");
	if (lost != NULL)
		registry_worker_free(lost);
	return 0;
}

/* A v1 worker without slots takes its queries as a legacy one does, and may have been found
 * in the list before it announced itself. */
static void
registry_drop_found(struct registry *reg, const struct registry_worker *w)
{
	struct registry_worker *other, *next;

	HASH_ITER (hh, reg->workers, other, next) {
		bool is_it = other->client_id == w->client_id;

		if (!other->is_found || w->pub.is_legacy || w->pub.is_direct)
			continue;
		for (int i = 0; i < w->pub.services_len && w->client_id == 0 && !is_it;
		     i++)
			is_it = registry_serves(other->pub.services,
						other->pub.services_len,
						w->pub.services[i].name);
		if (is_it)
			registry_drop(reg, other, "it announced itself by another id");
	}
}

int
registry_announce(struct registry *reg, ms_t now, struct bytes json)
{
	struct announce a;
	struct errmsg err = { "" };
	struct registry_worker *w;
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1];
	int rc = announce_parse(json, &a, &err);

	if (rc != 0)
		return rc < 0 ? registry_warn(reg, now, &err) : 0;
	snprintf(id, sizeof(id), "%s", a.id);
	w = registry_find(reg, id);
	if (a.is_legacy && a.status == ANNOUNCE_DISCONNECTED)
		registry_note_left(reg, a.client_id);
	else if (a.is_legacy)
		registry_forget_left(reg, registry_find_left(reg, a.client_id));
	if (a.status == ANNOUNCE_DISCONNECTED) {
		if (w != NULL && w->pub.is_legacy == a.is_legacy)
			registry_drop(reg, w, "it left");
	} else if (w != NULL && w->pub.is_legacy != a.is_legacy) {
		error_set(&err, 0,
			  "worker `%s`: a worker that announces %s `v` has this id", id,
			  a.is_legacy ? "with" : "without");
		rc = registry_warn(reg, now, &err);
	} else if (w == NULL) {
		rc = registry_add(reg, now, &a, false);
	} else {
		registry_heard(reg, now, w, &a);
		/* While two say different things of one id, neither is news. */
		if (!w->is_contested && !registry_is_same(w, &a)) {
			registry_take(w, &a);
			reg->handler->changed(reg->arg, w);
		}
	}
	w = rc == 0 && a.status != ANNOUNCE_DISCONNECTED && !a.is_legacy
		    ? registry_find(reg, id)
		    : NULL;
	if (w != NULL) {
		registry_note_said(reg, w, json);
		registry_drop_found(reg, w);
	}
	announce_fini(&a);
	return rc;
}

void
registry_client_ended(struct registry *reg, uint64_t client_id)
{
	struct registry_worker *w, *next;

	registry_forget_left(reg, registry_find_left(reg, client_id));
	HASH_ITER (hh, reg->workers, w, next) {
		if (w->client_id == client_id && w->is_contested) {
			w->client_id = w->client_id_before;
			w->client_id_before = 0;
			registry_contest(reg, w, false);
		} else if (w->client_id == client_id) {
			registry_drop(reg, w, "its connection ended");
		} else if (w->client_id_before == client_id) {
			w->client_id_before = 0;
			/* While both say the id, nobody knows which had what. */
			if (!w->is_contested)
				reg->handler->former_ended(reg->arg, w);
			registry_contest(reg, w, false);
		}
	}
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
		if (w->pub.is_legacy)
			continue;
		registry_forget_said(reg, w);
		w->client_id = w->client_id_before = 0;
		registry_contest(reg, w, false);
	}
}

void
registry_expire(struct registry *reg, ms_t now)
{
	struct registry_worker *w, *next;

	HASH_ITER (hh, reg->workers, w, next) {
		ms_t limit = BUS_HEARTBEATS_MISSED * w->heartbeat_ms;

		if (w->pub.is_legacy)
			continue;
		if (now - w->heard_ms > limit) {
			registry_drop(reg, w, "it missed three heartbeats");
		} else if (w->is_contested && now - w->contested_ms > limit) {
			w->client_id_before = 0;
			registry_contest(reg, w, false);
		}
	}
}

/* --- the list of connections --- */

static bool
registry_knows(const struct registry *reg, const struct registry_client *client)
{
	if (registry_find_left(reg, client->id) != NULL)
		return true;
	for (const struct registry_worker *w = reg->workers; w != NULL; w = w->hh.next) {
		if (w->client_id == client->id)
			return true;
		if (w->pub.is_legacy || w->pub.is_direct || w->client_id != 0)
			continue;
		/* It may be this one, which does not say its number. */
		for (int i = 0; i < client->services_len; i++)
			if (registry_serves(w->pub.services, w->pub.services_len,
					    client->services[i]))
				return true;
	}
	return false;
}

static void
registry_found(struct registry *reg, ms_t now, const struct registry_client *client)
{
	struct announce a = {
		.is_legacy = true,
		.id = mem_printf("c%" PRIu64, client->id),
		.client_id = client->id,
		.status = ANNOUNCE_CONNECTED,
		.services_len = client->services_len,
		.services = mem_calloc((size_t)client->services_len,
				       sizeof(a.services[0])),
		.metadata = mem_strdup("{}"),
		.hardware = mem_strdup("{}"),
		.machine = mem_strdup("{}"),
	};

	for (int i = 0; i < client->services_len; i++)
		a.services[i].name = mem_strdup(client->services[i]);
	if (registry_find(reg, a.id) == NULL)
		registry_add(reg, now, &a, true);
	announce_fini(&a);
}

void
registry_listed(struct registry *reg, ms_t now, ms_t asked,
		const struct registry_client *clients, size_t n)
{
	struct registry_worker *w, *next;

	HASH_ITER (hh, reg->workers, w, next) {
		bool is_there = !w->pub.is_legacy || w->heard_ms >= asked;

		for (size_t i = 0; i < n && !is_there; i++)
			is_there = clients[i].id == w->client_id;
		if (!is_there)
			registry_drop(reg, w, "its connection ended");
	}
	for (size_t i = 0; i < n; i++)
		if (clients[i].id != 0 && !clients[i].is_v1 &&
		    clients[i].services_len > 0 && !registry_knows(reg, &clients[i]))
			registry_found(reg, now, &clients[i]);
}

void
registry_server_new(struct registry *reg)
{
	struct registry_worker *w, *next;

	while (reg->left != NULL)
		registry_forget_left(reg, reg->left);
	HASH_ITER (hh, reg->workers, w, next) {
		registry_forget_said(reg, w);
		w->client_id = w->client_id_before = 0;
		if (!w->pub.is_legacy)
			continue;
		HASH_DEL(reg->workers, w);
		DL_APPEND(reg->lost, w);
		reg->handler->lost(reg->arg, w);
	}
}

void
registry_remember(struct registry *reg, const struct bus_worker *former)
{
	struct registry_worker *w = mem_calloc(1, sizeof(*w));
	struct bus_service *services = mem_calloc((size_t)former->services_len,
						  sizeof(*services));

	for (int i = 0; i < former->services_len; i++)
		services[i].name = mem_strdup(former->services[i].name);
	w->pub = *former;
	w->pub.is_legacy = true;
	w->pub.id = mem_strdup(former->id);
	w->pub.services = services;
	w->pub.metadata = mem_strdup(former->metadata);
	w->pub.hardware = mem_strdup(former->hardware);
	w->machine = mem_strdup(former->hardware);
	DL_APPEND(reg->lost, w);
}

void
registry_settle(struct registry *reg)
{
	while (reg->lost != NULL)
		registry_lost_gone(reg, reg->lost);
}
