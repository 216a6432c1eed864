/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/opentela.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool
node_is_there(const json_t *node)
{
	return json_is_true(json_object_get(node, "alive"));
}

static const char *
text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

static json_int_t
number_of(const json_t *object, const char *member)
{
	return (json_int_t)json_number_value(json_object_get(object, member));
}

/* A known shape of known texts. */
static json_t *
made(json_t *value)
{
	assert(value != NULL);
	return value;
}

/* ---- the table ---- */

static json_t *
hardware_of(const json_t *from)
{
	json_t *gpus = json_array(), *gpu;
	size_t i;

	json_array_foreach(json_object_get(from, "gpus"), i, gpu)
	{
		json_array_append_new(
			gpus,
			made(json_pack("{s:s, s:I, s:I}", "name", text_of(gpu, "name"),
				       "total_memory", number_of(gpu, "memory"),
				       "used_memory", number_of(gpu, "memory_used"))));
	}
	return made(json_pack("{s:o, s:I, s:i, s:i}", "gpus", gpus, "host_memory",
			      number_of(from, "memory"), "host_memory_bandwidth", 0,
			      "host_memory_used", 0));
}

/* A worker without a match serves every query of its service, which is their `all`. */
static json_t *
identities_of(const json_t *service)
{
	json_t *match = json_object_get(service, "match");

	return json_array_size(match) > 0 ? json_incref(match)
					  : made(json_pack("[s]", "all"));
}

static json_t *
service_of(const json_t *worker, const json_t *service)
{
	return made(json_pack("{s:s, s:o, s:s, s:s, s:s, s:o}", "name",
			      text_of(service, "name"), "hardware",
			      hardware_of(json_object_get(worker, "hardware")), "status",
			      "connected", "host", "", "port", "", "identity_group",
			      identities_of(service)));
}

static json_t *
services_of(const json_t *workers, const char *node)
{
	json_t *all = json_array(), *worker, *service;
	size_t i, k;

	json_array_foreach(workers, i, worker)
	{
		if (strcmp(text_of(worker, "node"), node) != 0 ||
		    strcmp(text_of(worker, "state"), "ready") != 0)
			continue;
		json_array_foreach(json_object_get(worker, "services"), k, service)
		{
			json_array_append_new(all, service_of(worker, service));
		}
	}
	return all;
}

static json_t *
peer_of(const json_t *node, const json_t *workers, ms_t now)
{
	ms_t seen = now - 1000 * (ms_t)number_of(node, "last_seen_s");
	const json_t *addresses = json_object_get(node, "addresses");
	const char *address = json_string_value(json_array_get(addresses, 0));
	char *host = mem_strdup(address != NULL ? address : "");
	char *colon = strrchr(host, ':');
	json_t *peer;

	if (colon != NULL)
		*colon = '\0';
	peer = json_pack(
		"{s:s, s:I, s:b, s:s, s:[], s:[], s:s, s:[], s:o, s:I, s:s, s:s, s:o, s:b, s:[]}",
		"id", text_of(node, "id"), "latency", number_of(node, "rtt_ms"),
		"privileged", 0, "owner", "", "current_offering", "role", "status",
		"connected", "available_offering", "service",
		services_of(workers, text_of(node, "id")), "last_seen",
		(json_int_t)(seen / 1000), "version", text_of(node, "version"),
		"public_address", host, "hardware",
		hardware_of(json_object_get(node, "hardware")), "connected", 1, "load");
	free(host);
	return made(peer);
}

json_t *
opentela_table(const json_t *nodes, const json_t *workers, ms_t now)
{
	json_t *table = json_object(), *node;
	char *key;
	size_t i;

	json_array_foreach(nodes, i, node)
	{
		if (!node_is_there(node))
			continue;
		key = mem_printf("/%s", text_of(node, "id"));
		json_object_set_new(table, key, peer_of(node, workers, now));
		free(key);
	}
	return table;
}

/* ---- peers ---- */

/* "192.0.2.1:8093" or "[2001:db8::1]:8093" or "host:8093" as a multiaddress; NULL: it is none. */
static char *
multiaddress(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : 0;

	if (len == 0)
		return NULL;
	if (address[0] == '[')
		return mem_printf("/ip6/%.*s/tcp/%s", (int)len - 2, address + 1,
				  colon + 1);
	return mem_printf("/%s/%.*s/tcp/%s",
			  strspn(address, "0123456789.") == len ? "ip4" : "dns", (int)len,
			  address, colon + 1);
}

static json_t *
details_of(const json_t *nodes)
{
	json_t *all = json_array(), *node, *address;
	size_t i, k;

	json_array_foreach(nodes, i, node)
	{
		json_t *addresses = json_array();

		json_array_foreach(json_object_get(node, "addresses"), k, address)
		{
			char *text = multiaddress(json_string_value(address));

			if (text != NULL)
				json_array_append_new(addresses, json_string(text));
			free(text);
		}
		if (node_is_there(node))
			json_array_append_new(all, made(json_pack("{s:s, s:O}", "ID",
								  text_of(node, "id"),
								  "Addrs", addresses)));
		json_decref(addresses);
	}
	return all;
}

json_t *
opentela_peers(const json_t *nodes)
{
	return made(json_pack("{s:o}", "peers", details_of(nodes)));
}

json_t *
opentela_stats(const json_t *nodes)
{
	json_t *connected = details_of(nodes), *all = json_array(), *node;
	size_t i;

	json_array_foreach(nodes, i, node)
	{
		json_array_append_new(
			all,
			made(json_pack(
				"{s:s, s:s}", "id", text_of(node, "id"), "connectedness",
				node_is_there(node) ? "Connected" : "NotConnected")));
	}
	return made(json_pack("{s:I, s:I, s:o, s:o, s:s}", "connected_peers",
			      (json_int_t)json_array_size(connected), "total_peers_known",
			      (json_int_t)json_array_size(all), "connected_peer_details",
			      connected, "all_peer_details", all, "message",
			      "GET /metrics has what this node uses"));
}

/* ---- routes ---- */

static void
opentela_answer(const struct api_call *call, json_t *(*of)(const json_t *nodes))
{
	json_t *nodes = api_read(call, API_VIEW_NODES);

	if (nodes != NULL)
		api_send_json(call, 200, of(nodes));
	else
		api_refuse(call, 503, "this node cannot tell now; ask again in a moment");
	json_decref(nodes);
}

void
opentela_peers_run(const struct api_call *call)
{
	opentela_answer(call, opentela_peers);
}

void
opentela_stats_run(const struct api_call *call)
{
	opentela_answer(call, opentela_stats);
}

void
opentela_table_run(const struct api_call *call)
{
	json_t *nodes = api_read(call, API_VIEW_NODES);
	json_t *workers = api_read(call, API_VIEW_WORKERS);

	if (nodes != NULL && workers != NULL)
		api_send_json(call, 200, opentela_table(nodes, workers, clock_wall_ms()));
	else
		api_refuse(call, 503, "this node cannot tell now; ask again in a moment");
	json_decref(nodes);
	json_decref(workers);
}
