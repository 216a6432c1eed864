/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into structs. The bytes come from other nodes: their length is checked before they
 * are parsed, and every member's type, length and count before it is kept. */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/query.h"
#include "table/base64.h"
#include "table/rows.h"

static int
malformed(struct errmsg *err, const char *name, const char *why)
{
	return error_set(err, -OCF_EMALFORMED, "\"%s\" %s", name, why);
}

/* Length and characters: jansson has checked that it is UTF-8 without NUL; C0, DEL and C1
 * controls could draw on the terminal of whoever lists the table. */
static int
check_text(const json_t *value, const char *name, size_t min, size_t max,
	   struct errmsg *err)
{
	const unsigned char *text = (const unsigned char *)json_string_value(value);
	size_t len = json_string_length(value);

	if (text == NULL)
		return malformed(err, name, "is not a string");
	if (len < min)
		return malformed(err, name, "is empty");
	if (len > max)
		return error_set(err, -OCF_EMALFORMED,
				 "\"%s\" has %zu bytes, more than %zu", name, len, max);
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f ||
		    (text[i] == 0xc2 && text[i + 1] >= 0x80 && text[i + 1] < 0xa0))
			return malformed(err, name, "holds a control character");
	}
	return 0;
}

/* A member that must be there. */
static int
read_text(const json_t *object, const char *name, size_t min, size_t max, char **ret_text,
	  struct errmsg *err)
{
	const json_t *value = json_object_get(object, name);
	int rc;

	if (value == NULL)
		return malformed(err, name, "is missing");
	rc = check_text(value, name, min, max, err);
	if (rc == 0)
		*ret_text = mem_strdup(json_string_value(value));
	return rc;
}

static int
read_optional_text(const json_t *object, const char *name, size_t max, char **ret_text,
		   struct errmsg *err)
{
	if (json_object_get(object, name) == NULL)
		return 0;
	return read_text(object, name, 0, max, ret_text, err);
}

/* An optional number in [0, max]; absent leaves `ret`. */
static int
read_number(const json_t *object, const char *name, int64_t max, int64_t *ret,
	    struct errmsg *err)
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL)
		return 0;
	if (!json_is_integer(value))
		return malformed(err, name, "is not a whole number");
	if (json_integer_value(value) < 0 || json_integer_value(value) > max)
		return malformed(err, name, "is out of range");
	*ret = json_integer_value(value);
	return 0;
}

static int
read_bool(const json_t *object, const char *name, bool *ret, struct errmsg *err)
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL)
		return 0;
	if (!json_is_boolean(value))
		return malformed(err, name, "is neither true nor false");
	*ret = json_is_true(value);
	return 0;
}

/* An optional array of at most `max` items; NULL when absent. */
static int
read_array(const json_t *object, const char *name, size_t max, const json_t **ret_array,
	   struct errmsg *err)
{
	const json_t *value = json_object_get(object, name);

	*ret_array = value;
	if (value == NULL)
		return 0;
	if (!json_is_array(value))
		return malformed(err, name, "is not an array");
	if (json_array_size(value) > max)
		return error_set(err, -OCF_EMALFORMED,
				 "\"%s\" has %zu items, more than %zu", name,
				 json_array_size(value), max);
	return 0;
}

static int
decode_gpu(const json_t *item, struct table_hardware *h, struct errmsg *err)
{
	char *name = NULL;
	int64_t memory = 0, memory_free = 0, memory_used = 0;
	struct table_gpu *gpu;
	int rc;

	if (!json_is_object(item))
		return malformed(err, "gpus", "holds something that is not an object");
	rc = read_text(item, "name", 0, TABLE_GPU_NAME_BYTES_MAX, &name, err);
	if (rc == 0)
		rc = read_number(item, "memory", INT64_MAX, &memory, err);
	if (rc == 0)
		rc = read_number(item, "memory_free", INT64_MAX, &memory_free, err);
	if (rc == 0)
		rc = read_number(item, "memory_used", INT64_MAX, &memory_used, err);
	if (rc == 0) {
		gpu = table_hardware_add_gpu(h, name, memory);
		gpu->memory_free = memory_free;
		gpu->memory_used = memory_used;
	}
	free(name);
	return rc;
}

static int
decode_hardware_object(const json_t *object, struct table_hardware *h, struct errmsg *err)
{
	const json_t *gpus, *item;
	size_t i;
	int rc = read_number(object, "cpus", TABLE_CPUS_MAX, &h->cpus, err);

	if (rc == 0)
		rc = read_number(object, "memory", INT64_MAX, &h->memory, err);
	if (rc == 0)
		rc = read_array(object, "gpus", TABLE_GPUS_MAX, &gpus, err);
	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)gpus, i, item)
	{
		rc = decode_gpu(item, h, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
decode_hardware(const json_t *object, struct table_hardware *h, struct errmsg *err)
{
	const json_t *value = json_object_get(object, "hardware");

	if (value == NULL)
		return 0;
	if (!json_is_object(value))
		return malformed(err, "hardware", "is not an object");
	return decode_hardware_object(value, h, err);
}

/* "host:port": no more than that it can be split and holds nothing odd; dialling tells.
 */
static int
check_address(const json_t *item, struct errmsg *err)
{
	const char *text = json_string_value(item), *colon;
	int rc = check_text(item, "addresses", 1, TABLE_ADDRESS_BYTES_MAX, err);
	long port;
	char *end;

	if (rc != 0)
		return rc;
	colon = strrchr(text, ':');
	/* Each reader's own sockets are no addresses of the node. */
	if (colon == NULL || colon == text || strchr(text, ' ') != NULL ||
	    strncmp(text, "unix:", 5) == 0)
		return malformed(err, "addresses", "holds one that is not host:port");
	port = colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : 0;
	if (port < 1 || port > 65535 || *end != '\0')
		return malformed(err, "addresses", "holds one without a port");
	return 0;
}

static int
decode_addresses(const json_t *object, struct table_node *n, struct errmsg *err)
{
	const json_t *array, *item;
	size_t i;
	int rc = read_array(object, "addresses", TABLE_ADDRESSES_MAX, &array, err);

	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)array, i, item)
	{
		rc = check_address(item, err);
		if (rc != 0)
			return rc;
		table_node_add_address(n, json_string_value(item));
	}
	return 0;
}

static int
decode_homes(const json_t *object, struct table_node *n, struct errmsg *err)
{
	const json_t *array, *item;
	size_t i;
	int rc = read_array(object, "homes", TABLE_HOMES_MAX, &array, err);

	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)array, i, item)
	{
		const char *text = json_string_value(item);

		if (text == NULL || id_parse(text, &n->homes[n->homes_len]) != 0)
			return malformed(err, "homes", "holds one that is no node's id");
		n->homes_len++;
	}
	return 0;
}

static int
compare_labels(const void *a, const void *b)
{
	const struct table_label *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int
decode_labels(const json_t *object, struct table_node *n, struct errmsg *err)
{
	json_t *labels = json_object_get(object, "labels"), *value;
	const char *name;

	if (labels == NULL)
		return 0;
	if (!json_is_object(labels))
		return malformed(err, "labels", "is not an object");
	if (json_object_size(labels) > TABLE_LABELS_MAX)
		return malformed(err, "labels", "has too many members");
	json_object_foreach(labels, name, value)
	{
		json_t *key = json_string(name);
		int rc = check_text(key, "labels", 1, TABLE_LABEL_NAME_BYTES_MAX, err);

		json_decref(key);
		if (rc == 0)
			rc = check_text(value, "labels", 0, TABLE_LABEL_VALUE_BYTES_MAX,
					err);
		if (rc != 0)
			return rc;
		table_node_add_label(n, name, json_string_value(value));
	}
	if (n->labels_len > 1)
		qsort(n->labels, (size_t)n->labels_len, sizeof(*n->labels),
		      compare_labels);
	return 0;
}

static int
decode_cert(const json_t *object, struct table_node *n, struct errmsg *err)
{
	enum { TEXT_BYTES_MAX = (TABLE_CERT_BYTES_MAX + 2) / 3 * 4 };
	char *text = NULL;
	int rc = read_text(object, "cert", 1, TEXT_BYTES_MAX, &text, err);

	if (rc == 0 && base64_decode(text, &n->cert) != 0)
		rc = malformed(err, "cert", "is not base64");
	if (rc == 0 && n->cert.len > TABLE_CERT_BYTES_MAX)
		rc = malformed(err, "cert", "is too long");
	free(text);
	return rc;
}

/* Absent is ready; a word of a later version is taken for what asks less of the owner. */
static int
decode_state(const json_t *object, bool *ret_is_draining, struct errmsg *err)
{
	char *state = NULL;
	int rc = read_optional_text(object, "state", TABLE_REGION_BYTES_MAX, &state, err);

	if (rc == 0)
		*ret_is_draining = state != NULL && strcmp(state, "ready") != 0;
	free(state);
	return rc;
}

static int
decode_node(const json_t *object, struct table_node *n, struct errmsg *err)
{
	int64_t incarnation = 0;
	int rc = decode_cert(object, n, err);

	if (rc == 0)
		rc = read_bool(object, "left", &n->has_left, err);
	if (rc == 0 && n->has_left) {
		n->name = mem_strdup("");
		n->version = mem_strdup("");
		return 0;
	}
	if (rc == 0)
		rc = read_text(object, "name", 1, LIMIT_NODE_NAME_BYTES_MAX, &n->name,
			       err);
	if (rc == 0)
		rc = decode_addresses(object, n, err);
	if (rc == 0)
		rc = read_bool(object, "inbound", &n->is_inbound, err);
	n->is_inbound_known = json_object_get(object, "inbound") != NULL;
	if (rc == 0)
		rc = decode_homes(object, n, err);
	if (rc == 0)
		rc = read_optional_text(object, "region", TABLE_REGION_BYTES_MAX,
					&n->region, err);
	if (rc == 0)
		rc = decode_labels(object, n, err);
	if (rc == 0)
		rc = decode_hardware(object, &n->hardware, err);
	if (rc == 0)
		rc = read_text(object, "version", 0, TABLE_VERSION_BYTES_MAX, &n->version,
			       err);
	if (rc == 0)
		rc = read_number(object, "incarnation", INT64_MAX, &incarnation, err);
	if (rc == 0)
		rc = decode_state(object, &n->is_draining, err);
	if (rc == 0)
		rc = read_bool(object, "ca", &n->holds_ca, err);
	n->incarnation = (uint64_t)incarnation;
	return rc;
}

/* The value as a JSON object; the caller's reference. */
static int
decode_object(struct bytes value, json_t **ret_object, struct errmsg *err)
{
	json_error_t why;
	json_t *object;

	if (value.len > LIMIT_VALUE_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED, "the value has %zu bytes",
				 value.len);
	object = json_loadb((const char *)value.data, value.len, JSON_REJECT_DUPLICATES,
			    &why);
	if (object == NULL)
		return error_set(err, -OCF_EMALFORMED, "the value is not JSON (byte %d)",
				 why.position);
	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(err, -OCF_EMALFORMED, "the value is not an object");
	}
	*ret_object = object;
	return 0;
}

int
table_node_decode(struct bytes value, struct table_node *ret_n, struct errmsg *err)
{
	struct table_node n = { .name = NULL };
	json_t *object;
	int rc = decode_object(value, &object, err);

	if (rc != 0)
		return rc;
	rc = decode_node(object, &n, err);
	json_decref(object);
	if (rc != 0)
		table_node_fini(&n);
	else
		*ret_n = n;
	return rc;
}

int
table_node_cert(struct bytes value, struct buf *out)
{
	struct table_node n;
	int rc = table_node_decode(value, &n, NULL);

	if (rc != 0)
		return rc;
	buf_put_bytes(out, buf_bytes(&n.cert));
	table_node_fini(&n);
	return 0;
}

int
table_hardware_decode(struct bytes value, struct table_hardware *ret_h,
		      struct errmsg *err)
{
	struct table_hardware h = { .cpus = 0 };
	json_t *object;
	int rc = decode_object(value, &object, err);

	if (rc != 0)
		return rc;
	rc = decode_hardware_object(object, &h, err);
	json_decref(object);
	if (rc != 0)
		table_hardware_fini(&h);
	else
		*ret_h = h;
	return rc;
}

static bool
match_is_valid(const char *match)
{
	return strcmp(match, "all") == 0 || query_selector_is_valid(match);
}

static int
decode_matches(const json_t *object, struct table_service *s, struct errmsg *err)
{
	const json_t *array, *item;
	size_t i;
	int rc = read_array(object, "match", LIMIT_MATCHES_MAX, &array, err);

	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)array, i, item)
	{
		rc = check_text(item, "match", 1, LIMIT_MATCH_BYTES_MAX, err);
		if (rc != 0)
			return rc;
		if (!match_is_valid(json_string_value(item)))
			return malformed(err, "match",
					 "holds one that is not k=v, k=* or all");
		for (int k = 0; k < s->match_len; k++) {
			if (strcmp(s->match[k], json_string_value(item)) == 0)
				return malformed(err, "match", "holds one twice");
		}
		table_service_add_match(s, json_string_value(item));
	}
	return 0;
}

static int
decode_service(const json_t *item, struct table_worker *w, struct errmsg *err)
{
	char *name = NULL;
	int rc;

	if (!json_is_object(item))
		return malformed(err, "services",
				 "holds something that is not an object");
	rc = read_text(item, "name", 1, LIMIT_SERVICE_BYTES_MAX, &name, err);
	if (rc == 0 && !query_service_is_valid(name))
		rc = malformed(err, "services", "holds a name that no service may have");
	for (int i = 0; rc == 0 && i < w->services_len; i++) {
		if (strcmp(w->services[i].name, name) == 0)
			rc = malformed(err, "services", "holds a name twice");
	}
	if (rc == 0)
		rc = decode_matches(item, table_worker_add_service(w, name), err);
	free(name);
	return rc;
}

static int
decode_services(const json_t *object, struct table_worker *w, struct errmsg *err)
{
	const json_t *array, *item;
	size_t i;
	int rc = read_array(object, "services", LIMIT_SERVICES_MAX, &array, err);

	if (rc == 0 && json_array_size(array) == 0)
		rc = malformed(err, "services", "names no service");
	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)array, i, item)
	{
		rc = decode_service(item, w, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* 1–64 of [A-Za-z0-9._-] (interfaces.md: identity), as it is part of a NATS subject. */
static int
decode_worker_id(const json_t *object, struct table_worker *w, struct errmsg *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789._-";
	int rc = read_text(object, "id", 1, LIMIT_WORKER_ID_BYTES_MAX, &w->id, err);

	if (rc == 0 && w->id[strspn(w->id, allowed)] != '\0')
		rc = malformed(err, "id",
			       "holds something beside letters, digits, . _ -");
	return rc;
}

static int
json_depth(const json_t *value, int left)
{
	json_t *child;
	const char *name;
	size_t i;

	if (left < 0)
		return -OCF_ELIMIT;
	if (json_is_object(value)) {
		json_object_foreach((json_t *)value, name, child)
		{
			if (json_depth(child, left - 1) != 0)
				return -OCF_ELIMIT;
		}
	} else if (json_is_array(value)) {
		json_array_foreach((json_t *)value, i, child)
		{
			if (json_depth(child, left - 1) != 0)
				return -OCF_ELIMIT;
		}
	}
	return 0;
}

static int
decode_metadata(const json_t *object, struct table_worker *w, struct errmsg *err)
{
	const json_t *value = json_object_get(object, "metadata");

	if (value == NULL)
		return 0;
	if (!json_is_object(value))
		return malformed(err, "metadata", "is not an object");
	if (json_depth(value, TABLE_METADATA_DEPTH_MAX) != 0)
		return malformed(err, "metadata", "is nested too deep");
	w->metadata = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	if (w->metadata == NULL || strlen(w->metadata) > TABLE_METADATA_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED,
				 "\"metadata\" has more than %d bytes",
				 TABLE_METADATA_BYTES_MAX);
	return 0;
}

static int
decode_worker(const json_t *object, struct table_worker *w, struct errmsg *err)
{
	int64_t slots = 0;
	int rc = decode_worker_id(object, w, err);

	if (rc == 0)
		rc = decode_services(object, w, err);
	if (rc == 0)
		rc = read_number(object, "slots", LIMIT_SLOTS_MAX, &slots, err);
	if (rc == 0)
		rc = decode_hardware(object, &w->hardware, err);
	if (rc == 0)
		rc = decode_metadata(object, w, err);
	if (rc == 0)
		rc = decode_state(object, &w->is_draining, err);
	w->slots = (int)slots;
	return rc;
}

int
table_worker_decode(struct bytes value, struct table_worker *ret_w, struct errmsg *err)
{
	struct table_worker w = { .id = NULL };
	json_t *object;
	int rc = decode_object(value, &object, err);

	if (rc != 0)
		return rc;
	rc = decode_worker(object, &w, err);
	json_decref(object);
	if (rc != 0)
		table_worker_fini(&w);
	else
		*ret_w = w;
	return rc;
}

static int
decode_bar(const json_t *object, struct table_bar *b, struct errmsg *err)
{
	char *by = NULL;
	int rc = read_text(object, "by", ID_TEXT_SIZE - 1, ID_TEXT_SIZE - 1, &by, err);

	if (rc == 0 && id_parse(by, &b->by) != 0)
		rc = malformed(err, "by", "is not a node's id");
	free(by);
	if (rc == 0)
		rc = read_optional_text(object, "name", LIMIT_NODE_NAME_BYTES_MAX,
					&b->name, err);
	if (rc == 0)
		rc = read_optional_text(object, "reason", TABLE_REASON_BYTES_MAX,
					&b->reason, err);
	if (b->name == NULL)
		b->name = mem_strdup("");
	if (b->reason == NULL)
		b->reason = mem_strdup("");
	return rc;
}

int
table_bar_decode(struct bytes value, struct table_bar *ret_b, struct errmsg *err)
{
	struct table_bar b = { .name = NULL };
	json_t *object;
	int rc = decode_object(value, &object, err);

	if (rc != 0)
		return rc;
	rc = decode_bar(object, &b, err);
	json_decref(object);
	if (rc != 0)
		table_bar_fini(&b);
	else
		*ret_b = b;
	return rc;
}
