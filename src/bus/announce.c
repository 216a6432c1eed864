/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/announce.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"
#include "bus/registry.h"

enum { ANNOUNCE_SERVER_BYTES_MAX = 256 };

void
announce_services_free(struct bus_service *services, int len)
{
	for (int i = 0; i < len; i++) {
		for (int k = 0; k < services[i].match_len; k++)
			free(services[i].match[k]);
		free(services[i].match);
		free(services[i].name);
	}
	free(services);
}

void
announce_fini(struct announce *a)
{
	announce_services_free(a->services, a->services_len);
	free(a->id);
	free(a->metadata);
	free(a->hardware);
	free(a->machine);
	*a = (struct announce){ 0 };
}

#define announce_bad(err, ...) error_set(err, -OCF_EMALFORMED, __VA_ARGS__)

/* An integer in [min, max]; `otherwise` when the field is absent. */
static int
announce_int(const json_t *root, const char *name, json_int_t min, json_int_t max,
	     json_int_t otherwise, json_int_t *ret, struct errmsg *err)
{
	const json_t *field = json_object_get(root, name);

	if (field == NULL) {
		*ret = otherwise;
		return 0;
	}
	if (!json_is_integer(field) || json_integer_value(field) < min ||
	    json_integer_value(field) > max)
		return announce_bad(
			err,
			"`%s` must be a whole number from %" JSON_INTEGER_FORMAT
			" to %" JSON_INTEGER_FORMAT,
			name, min, max);
	*ret = json_integer_value(field);
	return 0;
}

static int
announce_service(const json_t *item, struct announce *a, struct errmsg *err)
{
	const json_t *name = json_object_get(item, "name");
	const json_t *match = json_object_get(item, "match");
	struct bus_service *s;

	if (!json_is_string(name) || !query_service_is_valid(json_string_value(name)))
		return announce_bad(err,
				    "a service needs a `name` of 1 to %d bytes without "
				    "control characters",
				    LIMIT_SERVICE_BYTES_MAX);
	if (a->is_legacy && !query_service_is_plain(json_string_value(name)))
		return announce_bad(err,
				    "`%.80s` cannot be a NATS subject, and without `v` "
				    "there is no other way to reach it",
				    json_string_value(name));
	for (int i = 0; i < a->services_len; i++)
		if (strcmp(a->services[i].name, json_string_value(name)) == 0)
			return announce_bad(err,
					    "the service `%.80s` stands twice in "
					    "`services`",
					    json_string_value(name));
	if (match != NULL &&
	    (!json_is_array(match) || json_array_size(match) > LIMIT_MATCHES_MAX))
		return announce_bad(err, "`match` must be an array of at most %d texts",
				    LIMIT_MATCHES_MAX);
	a->services = mem_realloc(a->services, (size_t)a->services_len + 1,
				  sizeof(a->services[0]));
	s = &a->services[a->services_len++];
	*s = (struct bus_service){ .name = mem_strdup(json_string_value(name)) };
	if (json_array_size(match) == 0)
		return 0;
	s->match = mem_calloc(json_array_size(match), sizeof(s->match[0]));
	for (size_t i = 0; i < json_array_size(match); i++) {
		const char *text = json_string_value(json_array_get(match, i));

		if (text == NULL ||
		    (strcmp(text, "all") != 0 && !query_selector_is_valid(text)))
			return announce_bad(
				err,
				"`match` of `%.80s` must hold `k=v`, `k=*` or "
				"`all`, each at most %d bytes",
				s->name, LIMIT_MATCH_BYTES_MAX);
		s->match[s->match_len++] = mem_strdup(text);
	}
	return 0;
}

static int
announce_services(const json_t *root, struct announce *a, struct errmsg *err)
{
	const json_t *services = json_object_get(root, "services");
	json_t *single;
	int rc = 0;

	if (a->is_legacy || services == NULL) {
		if (!json_is_string(json_object_get(root, "service")))
			return announce_bad(err, "`service` must be a text");
		single = json_object();
		json_object_set(single, "name", json_object_get(root, "service"));
		rc = announce_service(single, a, err);
		json_decref(single);
		return rc;
	}
	if (!json_is_array(services) || json_array_size(services) < 1 ||
	    json_array_size(services) > LIMIT_SERVICES_MAX)
		return announce_bad(err,
				    "`services` must be an array of 1 to %d services",
				    LIMIT_SERVICES_MAX);
	for (size_t i = 0; i < json_array_size(services) && rc == 0; i++)
		rc = announce_service(json_array_get(services, i), a, err);
	return rc;
}

static int
announce_object(const json_t *root, const char *name, char **ret, struct errmsg *err)
{
	const json_t *field = json_object_get(root, name);
	char *text;
	size_t len;

	if (field == NULL) {
		*ret = mem_strdup("{}");
		return 0;
	}
	if (!json_is_object(field))
		return announce_bad(err, "`%s` must be an object", name);
	text = json_dumps(field, JSON_COMPACT | JSON_SORT_KEYS);
	len = text != NULL ? strlen(text) : 0;
	if (text == NULL || len > REGISTRY_OBJECT_BYTES_MAX) {
		free(text);
		return announce_bad(err,
				    "`%s` is longer than %d bytes: it has %zu without "
				    "blanks; its worker is not listed until it says less",
				    name, REGISTRY_OBJECT_BYTES_MAX, len);
	}
	*ret = text;
	return 0;
}

static json_t *
announce_gpus(const json_t *gpus, bool with_use)
{
	static const char *const fields[] = { "name", "memory", "memory_free",
					      "memory_used" };
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(gpus); i++) {
		const json_t *gpu = json_array_get(gpus, i);
		json_t *kept = json_object();

		for (size_t k = 0; k < (with_use ? 4 : 2); k++)
			if (json_object_get(gpu, fields[k]) != NULL)
				json_object_set(kept, fields[k],
						json_object_get(gpu, fields[k]));
		json_array_append_new(list, kept);
	}
	return list;
}

/* Of `hardware` what a row can have of it: temperatures, loads and what else a worker may tell
 * are no news. What is wrong with these members is said when the row is made. */
static char *
announce_machine(const json_t *hardware)
{
	static const char *const fields[] = { "cpus", "memory", "gpus" };
	json_t *machine = json_object();
	char *text;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		json_t *value = json_object_get(hardware, fields[i]);

		if (json_is_array(value))
			json_object_set_new(machine, fields[i],
					    announce_gpus(value, false));
		else if (value != NULL)
			json_object_set(machine, fields[i], value);
	}
	text = json_dumps(machine, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(machine);
	return text != NULL ? text : mem_strdup("{}");
}

/* 2023's `gpus`, beside or instead of `hardware`. The free and used memory change with
 * every announcement; the table holds what a machine has, not what it does. Only a legacy
 * worker's are kept, as it says them once. */
static int
announce_hardware(const json_t *root, struct announce *a, struct errmsg *err)
{
	const json_t *gpus = json_object_get(root, "gpus");
	json_t *hardware;
	int rc = 0;

	if (gpus != NULL && !json_is_array(gpus))
		return announce_bad(err, "`gpus` must be an array");
	if (json_object_get(root, "hardware") != NULL || json_array_size(gpus) == 0) {
		rc = announce_object(root, "hardware", &a->hardware, err);
		if (rc == 0)
			a->machine = announce_machine(json_object_get(root, "hardware"));
		return rc;
	}
	hardware = json_pack("{s:{s:o}, s:{s:o}}", "hardware", "gpus",
			     announce_gpus(gpus, a->is_legacy), "machine", "gpus",
			     announce_gpus(gpus, false));
	rc = announce_object(hardware, "hardware", &a->hardware, err);
	if (rc == 0)
		rc = announce_object(hardware, "machine", &a->machine, err);
	json_decref(hardware);
	return rc;
}

static int
announce_status(const json_t *root, struct announce *a, struct errmsg *err)
{
	const char *status = json_string_value(json_object_get(root, "status"));

	if (status != NULL && strcmp(status, "connected") == 0)
		a->status = ANNOUNCE_CONNECTED;
	else if (status != NULL && strcmp(status, "disconnected") == 0)
		a->status = ANNOUNCE_DISCONNECTED;
	else if (!a->is_legacy && status != NULL && strcmp(status, "draining") == 0)
		a->status = ANNOUNCE_DRAINING;
	else if (a->is_legacy && status != NULL)
		return 1;
	else
		return announce_bad(
			err, "`status` must be connected, draining or disconnected");
	return 0;
}

static int
announce_identity(const json_t *root, struct announce *a, struct errmsg *err)
{
	const json_t *v = json_object_get(root, "v");
	const json_t *id = json_object_get(root, "id");
	const json_t *server = v != NULL ? json_object_get(root, "server_id") : NULL;
	json_int_t client_id;
	int rc = announce_int(root, "client_id", v == NULL ? 1 : 0, INT64_MAX, 0,
			      &client_id, err);

	if (rc < 0)
		return rc;
	a->client_id = (uint64_t)client_id;
	a->is_legacy = v == NULL;
	if (server != NULL && (!json_is_string(server) ||
			       json_string_length(server) > ANNOUNCE_SERVER_BYTES_MAX))
		return announce_bad(err,
				    "`server_id` must be a string of at most %d bytes",
				    ANNOUNCE_SERVER_BYTES_MAX);
	if (server != NULL)
		a->server = hash64(bytes_text(json_string_value(server)), 0);
	if (v == NULL && client_id == 0)
		return announce_bad(err, "neither `v` and `id` nor `client_id` is there");
	if (v == NULL) {
		a->id = mem_printf("c%" PRIu64, a->client_id);
		return 0;
	}
	if (!json_is_integer(v) || json_integer_value(v) != BUS_PROTOCOL_VERSION)
		return announce_bad(err, "`v` must be %d, the version this node speaks",
				    BUS_PROTOCOL_VERSION);
	if (!json_is_string(id) || !bus_protocol_id_is_valid(json_string_value(id)))
		return announce_bad(
			err,
			"`id` must be 1 to %d of [A-Za-z0-9._-] without empty "
			"parts between dots",
			LIMIT_WORKER_ID_BYTES_MAX);
	a->id = mem_strdup(json_string_value(id));
	return 0;
}

static int
announce_fields(const json_t *root, struct announce *a, struct errmsg *err)
{
	json_int_t slots = 0, heartbeat_s = BUS_HEARTBEAT_S;
	int rc = announce_identity(root, a, err);

	if (rc == 0)
		rc = announce_status(root, a, err);
	/* Who leaves need not say once more what it served. */
	if (rc != 0 || a->status == ANNOUNCE_DISCONNECTED)
		return rc;
	if (!a->is_legacy) {
		rc = announce_int(root, "slots", 1, LIMIT_SLOTS_MAX, 0, &slots, err);
		if (rc == 0)
			rc = announce_int(root, "hb_s", 1, BUS_HEARTBEAT_S_MAX,
					  BUS_HEARTBEAT_S, &heartbeat_s, err);
	}
	a->slots = (int)slots;
	a->heartbeat_ms = heartbeat_s * MS_SECOND;
	if (rc == 0)
		rc = announce_services(root, a, err);
	if (rc == 0 && a->is_legacy)
		a->metadata = mem_strdup("{}");
	else if (rc == 0)
		rc = announce_object(root, "metadata", &a->metadata, err);
	if (rc == 0)
		rc = announce_hardware(root, a, err);
	return rc;
}

/* "worker `x`" for a warning, from whatever it said of itself. */
static void
announce_name(const json_t *root, struct errmsg *ret)
{
	const char *id = json_string_value(json_object_get(root, "id"));
	const json_t *client = json_object_get(root, "client_id");

	if (id != NULL)
		error_set(ret, 0, "worker `%.64s`", id);
	else if (json_is_integer(client))
		error_set(ret, 0, "the worker of connection %" JSON_INTEGER_FORMAT,
			  json_integer_value(client));
	else
		error_set(ret, 0, "a worker that does not say who it is");
}

/* The same from what is no JSON: whoever looks for the culprit needs its number. */
static void
announce_guess_name(struct bytes text, struct errmsg *ret)
{
	static const char field[] = "client_id";
	const uint8_t *at, *end;
	int len = 0;

	/* An empty message has no bytes at all. */
	if (text.len == 0 ||
	    (at = memmem(text.data, text.len, field, strlen(field))) == NULL)
		return;
	end = text.data + text.len;
	for (at += strlen(field); at < end && strchr("\"': \t", *at) != NULL && *at != 0;)
		at++;
	while (at + len < end && at[len] >= '0' && at[len] <= '9' && len < 19)
		len++;
	if (len > 0)
		error_set(ret, 0, "the worker of connection %.*s", len, (const char *)at);
}

int
announce_parse(struct bytes json, struct announce *ret_announce, struct errmsg *err)
{
	struct announce a = { 0 };
	struct errmsg who = { "a worker" };
	json_error_t where;
	json_t *root;
	int rc;

	if (json.len > REGISTRY_ANNOUNCE_BYTES_MAX)
		return announce_bad(err,
				    "a worker's announcement of %zu bytes is over the "
				    "limit of %d",
				    json.len, REGISTRY_ANNOUNCE_BYTES_MAX);
	root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES,
			  &where);
	if (root == NULL) {
		announce_guess_name(json, &who);
		return announce_bad(err,
				    "%s: its announcement is not JSON: %s, at byte %d",
				    who.text, where.text, where.position);
	}
	announce_name(root, &who);
	rc = json_is_object(root)
		     ? announce_fields(root, &a, err)
		     : announce_bad(err, "the announcement must be an object");
	json_decref(root);
	if (rc != 0)
		announce_fini(&a);
	if (rc < 0)
		return error_prefix(err, rc, "%s", who.text);
	if (rc == 0)
		*ret_announce = a;
	return rc;
}
