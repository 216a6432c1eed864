/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/announcement.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bus/protocol.h"
#include "bus/registry.h"

enum {
	/* More than the numbers in an announcement may grow by. */
	ANNOUNCEMENT_DIGITS_BYTES = 256,
};

static json_t *
announcement_gpus(const struct hw_inventory *inv, bool with_use)
{
	json_t *list = json_array();

	for (int i = 0; i < inv->gpus_len; i++) {
		const struct hw_gpu *gpu = &inv->gpus[i];
		json_t *item = json_pack("{s:s,s:I}", "name", gpu->name, "memory",
					 (json_int_t)gpu->memory);

		if (with_use) {
			uint64_t used = gpu->memory_used < gpu->memory ? gpu->memory_used
								       : gpu->memory;

			json_object_set_new(
				item, "memory_free",
				json_integer((json_int_t)(gpu->memory - used)));
			json_object_set_new(item, "memory_used",
					    json_integer((json_int_t)used));
		}
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *
announcement_services(const struct announcement *a)
{
	const struct worker_config *config = a->config;
	json_t *match = json_array();

	for (int i = 0; i < config->match_len; i++)
		json_array_append_new(match, json_string(config->match[i]));
	for (int i = 0; i < a->found_len; i++)
		json_array_append_new(match, json_string(a->found[i]));
	return json_pack("[{s:s,s:o}]", "name", config->service, "match", match);
}

static json_t *
announcement_metadata(const struct worker_config *config)
{
	json_t *meta = json_object();

	for (int i = 0; i < config->meta_len; i++) {
		size_t len = strcspn(config->meta[i], "=");
		char *key = mem_dup(config->meta[i], len);

		json_object_set_new(meta, key, json_string(config->meta[i] + len + 1));
		free(key);
	}
	return meta;
}

static json_t *
announcement_hardware(const struct hw_inventory *inv)
{
	return json_pack("{s:i,s:I,s:s,s:o}", "cpus", inv->cpus, "memory",
			 (json_int_t)inv->memory, "cpu", inv->cpu_name, "gpus",
			 announcement_gpus(inv, false));
}

int
announcement_fit(struct hw_inventory *inv)
{
	int before = inv->gpus_len;

	for (;; inv->gpus_len--) {
		json_t *hardware = announcement_hardware(inv);
		char *text = json_dumps(hardware, JSON_COMPACT);
		size_t len = text != NULL ? strlen(text) : 0;

		json_decref(hardware);
		free(text);
		if (len <= REGISTRY_OBJECT_BYTES_MAX || inv->gpus_len == 0)
			return before - inv->gpus_len;
	}
}

char *
announcement_text(const struct announcement *a, const char *status)
{
	const struct worker_config *c = a->config;
	const struct hw_inventory *inv = a->inventory;
	json_t *message;
	char *text;

	message = json_pack("{s:i,s:s,s:s,s:s,s:I,s:i,s:i}", "v", BUS_PROTOCOL_VERSION,
			    "id", c->id, "service", c->service, "status", status,
			    "client_id", (json_int_t)a->client_id, "slots", c->slots,
			    "hb_s", BUS_HEARTBEAT_S);
	if (a->server_id != NULL)
		json_object_set_new(message, "server_id", json_string(a->server_id));
	json_object_set_new(message, "services", announcement_services(a));
	json_object_set_new(message, "metadata", announcement_metadata(c));
	json_object_set_new(message, "gpus", announcement_gpus(inv, true));
	json_object_set_new(message, "hardware", announcement_hardware(inv));
	text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	return text;
}

int
announcement_check(const struct announcement *a, struct errmsg *err)
{
	json_t *metadata = announcement_metadata(a->config);
	char *text = json_dumps(metadata, JSON_COMPACT);
	size_t len = text != NULL ? strlen(text) : SIZE_MAX;
	int rc = 0;

	json_decref(metadata);
	free(text);
	if (len > REGISTRY_OBJECT_BYTES_MAX)
		return error_set(err, -OCF_ELIMIT,
				 "all --meta together are over %d bytes",
				 REGISTRY_OBJECT_BYTES_MAX);
	text = announcement_text(a, "disconnected");
	len = text != NULL ? strlen(text) + ANNOUNCEMENT_DIGITS_BYTES : SIZE_MAX;
	if (len > REGISTRY_ANNOUNCE_BYTES_MAX)
		rc = error_set(err, -OCF_ELIMIT,
			       "--match, --meta and what this machine has are together "
			       "over the %d bytes that a worker can announce",
			       REGISTRY_ANNOUNCE_BYTES_MAX);
	free(text);
	return rc;
}
