/* SPDX-License-Identifier: Apache-2.0 */
/* What this node says of itself: its name, where it is reached, what it has. The answer
 * is its node row, which own.c writes anew at every start, and often enough to renew the
 * lease of all its rows. */
#include "config.h"

#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/starts.h"
#include "hw/hw.h"
#include "net/stream.h"
#include "table/rows.h"

enum {
	SELF_SEEDS_MAX = 32,	       /* in the store */
	SELF_LOOK_MS = 10 * MS_SECOND, /* between looks at the addresses: 0.1 ms each */
};

/* ---- name ---- */

static char *
self_meta(struct daemon *d, const char *name)
{
	struct buf value = BUF_INIT;
	char *text = NULL;

	if (store_meta_get(d->store, name, &value) == 0)
		text = mem_dup(value.data, value.len);
	buf_fini(&value);
	return text;
}

static char *
self_host_name(void)
{
	char name[LIMIT_NODE_NAME_BYTES_MAX + 1];

	if (gethostname(name, sizeof(name)) != 0)
		return mem_strdup("node");
	name[LIMIT_NODE_NAME_BYTES_MAX] = '\0';
	name[strcspn(name, ".")] = '\0';
	return mem_strdup(name[0] != '\0' ? name : "node");
}

static void
self_find_name(struct daemon *d)
{
	if (d->config->node.name[0] != '\0')
		d->name = mem_strdup(d->config->node.name);
	else
		d->name = self_meta(d, "name");
	if (d->name == NULL)
		d->name = self_host_name();
}

/* ---- addresses ---- */

static void
self_add_address(struct daemon *d, const char *address)
{
	for (int i = 0; i < d->addresses_len; i++)
		if (strcmp(d->addresses[i], address) == 0)
			return;
	if (d->addresses_len < DAEMON_ADDRESSES_MAX)
		d->addresses[d->addresses_len++] = mem_strdup(address);
}

/* The address of an interface with our port; NULL for one that others cannot dial. */
static char *
self_interface_address(const struct ifaddrs *i, int port, bool is_loopback)
{
	char host[NI_MAXHOST];
	int family = i->ifa_addr != NULL ? i->ifa_addr->sa_family : AF_UNSPEC;
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6);

	if ((i->ifa_flags & IFF_UP) == 0 ||
	    is_loopback != ((i->ifa_flags & IFF_LOOPBACK) != 0))
		return NULL;
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	if (family == AF_INET6) {
		struct sockaddr_in6 sin6;

		memcpy(&sin6, i->ifa_addr, sizeof(sin6));
		if (IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr))
			return NULL;
	}
	if (getnameinfo(i->ifa_addr, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST) !=
	    0)
		return NULL;
	return mem_printf(family == AF_INET6 ? "[%s]:%d" : "%s:%d", host, port);
}

static void
self_add_interfaces(struct daemon *d, int port, bool is_v4_only, bool is_loopback)
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		char *address = self_interface_address(i, port, is_loopback);

		if (address != NULL && !(is_v4_only && address[0] == '['))
			self_add_address(d, address);
		free(address);
	}
	freeifaddrs(list);
}

/* Then its addresses are the machine's, whichever these are at a time. */
static bool
self_listens_everywhere(const struct daemon *d)
{
	char host[STREAM_ADDRESS_SIZE];
	int port;

	return address_split(listener_address(d->peer_listener), host, sizeof(host),
			     &port) == 0 &&
	       (strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0);
}

static int
self_find_addresses(struct daemon *d, struct errmsg *err)
{
	const struct config_list *given = &d->config->peer.advertise;
	const char *bound = listener_address(d->peer_listener);
	char host[STREAM_ADDRESS_SIZE];
	int port;

	if (given->len > DAEMON_ADDRESSES_MAX)
		return error_set(
			err, -EINVAL,
			"peer.advertise: %d addresses, and a node has at most %d",
			given->len, DAEMON_ADDRESSES_MAX);
	for (int i = 0; i < given->len; i++)
		self_add_address(d, given->items[i]);
	if (given->len > 0)
		return 0;
	if (address_split(bound, host, sizeof(host), &port) != 0)
		return error_set(err, -EINVAL, "peer.listen: %s", bound);
	if (!self_listens_everywhere(d)) {
		self_add_address(d, bound);
		return 0;
	}
	self_add_interfaces(d, port, host[0] == '0', false);
	if (d->addresses_len ==
	    0) /* a machine without a network: nodes beside each other */
		self_add_interfaces(d, port, host[0] == '0', true);
	return 0;
}

/* ---- addresses that change ---- */

static bool
self_has_address(char *const *addresses, int len, const char *address)
{
	for (int i = 0; i < len; i++)
		if (strcmp(addresses[i], address) == 0)
			return true;
	return false;
}

static void
self_free_addresses(char **addresses, int len)
{
	for (int i = 0; i < len; i++)
		free(addresses[i]);
}

static bool
self_is_local_only(const struct daemon *d)
{
	for (int i = 0; i < d->addresses_len; i++)
		if (!address_is_loopback(d->addresses[i]))
			return false;
	return true;
}

/* Others in any order are the same. A machine that has just lost its network keeps what it
 * had: others will look for it there first. */
static bool
self_look_for_addresses(struct daemon *d)
{
	char *old[DAEMON_ADDRESSES_MAX];
	int old_len = d->addresses_len;
	struct errmsg err = { "" };
	bool is_change;

	memcpy(old, d->addresses, sizeof(old));
	d->addresses_len = 0;
	is_change = self_find_addresses(d, &err) == 0 && !self_is_local_only(d);
	if (is_change && d->addresses_len == old_len) {
		is_change = false;
		for (int i = 0; i < old_len; i++)
			is_change |= !self_has_address(old, old_len, d->addresses[i]);
	}
	if (is_change) {
		self_free_addresses(old, old_len);
		return true;
	}
	self_free_addresses(d->addresses, d->addresses_len);
	memcpy(d->addresses, old, sizeof(old));
	d->addresses_len = old_len;
	return false;
}

static void
self_on_look(void *arg)
{
	struct daemon *d = arg;

	loop_timer_set(d->address_timer, SELF_LOOK_MS);
	if (d->is_stopping || !self_look_for_addresses(d))
		return;
	log_info("node", "this machine has other addresses now; the first is %s",
		 d->addresses[0]);
	links_self_changed(d->links);
	self_announce(d);
}

void
self_follow_addresses(struct daemon *d)
{
	d->address_timer = loop_timer_new(d->loop, self_on_look, d);
	if (d->config->peer.advertise.len == 0 && self_listens_everywhere(d))
		loop_timer_set(d->address_timer, SELF_LOOK_MS);
}

void
self_found_inbound(struct daemon *d, bool is_known, bool is_inbound)
{
	d->is_inbound_known = is_known;
	d->is_inbound = is_inbound;
	if (d->address_timer != NULL)
		self_announce(d);
}

void
self_found_homes(struct daemon *d, struct bytes homes)
{
	d->homes_len = (int)(homes.len / ID_BYTES);
	if (d->homes_len > TABLE_HOMES_MAX)
		d->homes_len = TABLE_HOMES_MAX;
	for (int i = 0; i < d->homes_len; i++)
		memcpy(d->homes[i].b, homes.data + (size_t)i * ID_BYTES, ID_BYTES);
	if (d->address_timer != NULL)
		self_announce(d);
}

static json_t *
self_stored_seeds(struct daemon *d)
{
	char *text = self_meta(d, "seeds");
	json_t *list = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL)
				    : NULL;

	free(text);
	if (json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

void
self_keep_seed(struct daemon *d, const char *address)
{
	json_t *list = self_stored_seeds(d), *item;
	bool is_there = false;
	char *text;
	size_t i;

	json_array_foreach(list, i, item)
	{
		is_there |= json_is_string(item) &&
			    strcmp(json_string_value(item), address) == 0;
	}
	if (!is_there) {
		json_array_append_new(list, json_string(address));
		while (json_array_size(list) > SELF_SEEDS_MAX)
			json_array_remove(list, 0);
		text = json_dumps(list, JSON_COMPACT);
		if (store_meta_set(d->store, "seeds", bytes_text(text)) != 0)
			log_warn("node", "the address %s could not be kept", address);
		free(text);
	}
	json_decref(list);
}

int
self_seeds(struct daemon *d, char *ret_seeds[], int max)
{
	json_t *list = self_stored_seeds(d), *item;
	size_t i;
	int n = 0;

	for (int j = 0; j < d->config->peer.seeds.len && n < max; j++)
		ret_seeds[n++] = mem_strdup(d->config->peer.seeds.items[j]);
	json_array_foreach(list, i, item)
	{
		if (json_is_string(item) && n < max)
			ret_seeds[n++] = mem_strdup(json_string_value(item));
	}
	json_decref(list);
	return n;
}

/* ---- the node row ---- */

static void
self_describe_hardware(struct table_hardware *ret)
{
	struct hw_inventory *hw = mem_calloc(1, sizeof(*hw));

	hw_inventory_read("", hw);
	ret->cpus = hw->cpus;
	ret->memory = (int64_t)hw->memory;
	for (int i = 0; i < hw->gpus_len; i++)
		table_hardware_add_gpu(ret, hw->gpus[i].name,
				       (int64_t)hw->gpus[i].memory);
	free(hw);
}

static int
self_describe(const struct daemon *d, struct buf *out, struct errmsg *err)
{
	struct table_node node = { 0 };
	int rc;

	node.name = mem_strdup(d->name);
	for (int i = 0; i < d->addresses_len; i++)
		table_node_add_address(&node, d->addresses[i]);
	if (d->config->node.region[0] != '\0')
		node.region = mem_strdup(d->config->node.region);
	for (int i = 0; i < d->config->node.labels.len; i++) {
		const char *label = d->config->node.labels.items[i];
		char *name = mem_dup(label, strcspn(label, "="));

		table_node_add_label(&node, name, strchr(label, '=') + 1);
		free(name);
	}
	self_describe_hardware(&node.hardware);
	node.version = mem_strdup(PACKAGE_VERSION);
	node.incarnation = d->incarnation;
	node.is_draining = d->is_draining;
	node.holds_ca = d->identity->ca_key != NULL;
	node.is_inbound_known = d->is_inbound_known;
	node.is_inbound = d->is_inbound;
	node.homes_len = d->homes_len;
	memcpy(node.homes, d->homes, sizeof(node.homes));
	buf_put_bytes(&node.cert, buf_bytes(&d->identity->node_cert));
	rc = table_node_encode(&node, out, err);
	table_node_fini(&node);
	if (rc != 0)
		error_prefix(err, rc, "this node cannot be described to others");
	return rc;
}

void
self_announce(struct daemon *d)
{
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };

	if (self_describe(d, &value, &err) == 0)
		rows_claim(d->rows, ROW_NODE, "", buf_bytes(&value));
	else
		log_error("node", "%s", err.text);
	buf_fini(&value);
}

/* A name or a label that cannot stand in the node's row is found here, and not by a node
 * that runs and is seen by nobody. */
int
self_open(struct daemon *d, struct errmsg *err)
{
	struct buf value = BUF_INIT;
	int rc;

	self_find_name(d);
	rc = starts_count(d->store, &d->incarnation);
	if (rc != 0)
		return error_set(err, rc, "the store cannot be written: %s",
				 error_text(rc));
	rc = self_find_addresses(d, err);
	if (rc == 0 && self_describe(d, &value, err) != 0)
		rc = -EINVAL;
	buf_fini(&value);
	return rc;
}

void
self_close(struct daemon *d)
{
	self_free_addresses(d->addresses, d->addresses_len);
	d->addresses_len = 0;
	free(d->name);
	d->name = NULL;
}
