/* SPDX-License-Identifier: Apache-2.0 */
/* Structs into JSON. What was written is read once more before it is handed out: whatever
 * a reader would refuse is refused here, in the same words, before it is signed. */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "table/base64.h"
#include "table/rows.h"

/* `object` (and a list) may be NULL after an earlier failure; jansson then refuses, and
 * the NULL reaches the end, where it is one error. The usual cause is a text that is not
 * UTF-8. */
static void
put(json_t *object, const char *name, json_t *value, bool *ok)
{
	if (json_object_set_new(object, name, value) != 0)
		*ok = false;
}

static void
put_item(json_t *array, json_t *value, bool *ok)
{
	if (json_array_append_new(array, value) != 0)
		*ok = false;
}

static json_t *
encode_hardware(const struct table_hardware *h, bool *ok)
{
	json_t *object = json_object(), *gpus = json_array();

	for (int i = 0; i < h->gpus_len; i++) {
		json_t *gpu = json_object();

		put(gpu, "name", json_string(h->gpus[i].name), ok);
		put(gpu, "memory", json_integer(h->gpus[i].memory), ok);
		if (h->gpus[i].memory_free > 0)
			put(gpu, "memory_free", json_integer(h->gpus[i].memory_free), ok);
		if (h->gpus[i].memory_used > 0)
			put(gpu, "memory_used", json_integer(h->gpus[i].memory_used), ok);
		put_item(gpus, gpu, ok);
	}
	put(object, "cpus", json_integer(h->cpus), ok);
	put(object, "memory", json_integer(h->memory), ok);
	put(object, "gpus", gpus, ok);
	return object;
}

static json_t *
encode_texts(char *const *texts, int len, bool *ok)
{
	json_t *array = json_array();

	for (int i = 0; i < len; i++)
		put_item(array, json_string(texts[i]), ok);
	return array;
}

static json_t *
encode_ids(const struct id *ids, int len, bool *ok)
{
	json_t *array = json_array();
	char text[ID_TEXT_SIZE];

	for (int i = 0; i < len; i++)
		put_item(array, json_string(id_text(&ids[i], text)), ok);
	return array;
}

/* The object's canonical bytes; drops the reference. */
static int
encode_finish(json_t *object, bool ok, struct buf *ret_value, struct errmsg *err)
{
	char *text = NULL;
	size_t len;
	int rc = 0;

	if (ok)
		text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(object);
	if (text == NULL)
		return error_set(err, -EINVAL, "a text in it is not valid UTF-8");
	len = strlen(text);
	if (len > LIMIT_VALUE_BYTES_MAX)
		rc = error_set(err, -OCF_ELIMIT,
			       "its description has %zu bytes, more than %d", len,
			       LIMIT_VALUE_BYTES_MAX);
	else
		buf_put(ret_value, text, len);
	free(text);
	return rc;
}

static json_t *
encode_node(const struct table_node *n, bool *ok)
{
	json_t *object = json_object(), *labels = json_object();

	put(object, "name", json_string(n->name != NULL ? n->name : ""), ok);
	put(object, "addresses", encode_texts(n->addresses, n->addresses_len, ok), ok);
	if (n->is_inbound_known)
		put(object, "inbound", json_boolean(n->is_inbound), ok);
	if (n->homes_len > 0)
		put(object, "homes", encode_ids(n->homes, n->homes_len, ok), ok);
	if (n->region != NULL)
		put(object, "region", json_string(n->region), ok);
	if (n->is_draining)
		put(object, "state", json_string("draining"), ok);
	for (int i = 0; i < n->labels_len; i++)
		put(labels, n->labels[i].name, json_string(n->labels[i].value), ok);
	if (n->holds_ca)
		put(object, "ca", json_true(), ok);
	put(object, "labels", labels, ok);
	put(object, "hardware", encode_hardware(&n->hardware, ok), ok);
	put(object, "version", json_string(n->version != NULL ? n->version : ""), ok);
	if (n->incarnation > INT64_MAX)
		*ok = false;
	else
		put(object, "incarnation", json_integer((json_int_t)n->incarnation), ok);
	return object;
}

int
table_node_encode(const struct table_node *n, struct buf *out, struct errmsg *err)
{
	struct buf value = BUF_INIT, cert = BUF_INIT;
	struct table_node check;
	bool ok = true;
	json_t *object;
	int rc;

	if (n->incarnation > INT64_MAX)
		return error_set(err, -EINVAL, "its incarnation is over 2^63 - 1");
	object = n->has_left ? json_object() : encode_node(n, &ok);
	if (n->has_left)
		put(object, "left", json_true(), &ok);
	base64_encode(buf_bytes(&n->cert), &cert);
	put(object, "cert", json_string(buf_text(&cert)), &ok);
	buf_fini(&cert);
	rc = encode_finish(object, ok, &value, err);
	if (rc == 0 && table_node_decode(buf_bytes(&value), &check, err) == 0) {
		table_node_fini(&check);
		buf_put_bytes(out, buf_bytes(&value));
	} else if (rc == 0) {
		rc = -EINVAL;
	}
	buf_fini(&value);
	return rc;
}

static json_t *
encode_worker(const struct table_worker *w, bool *ok)
{
	json_t *object = json_object(), *services = json_array();

	put(object, "id", json_string(w->id != NULL ? w->id : ""), ok);
	for (int i = 0; i < w->services_len; i++) {
		const struct table_service *s = &w->services[i];
		json_t *service = json_object();

		put(service, "name", json_string(s->name), ok);
		put(service, "match", encode_texts(s->match, s->match_len, ok), ok);
		put_item(services, service, ok);
	}
	put(object, "services", services, ok);
	put(object, "slots", json_integer(w->slots), ok);
	put(object, "hardware", encode_hardware(&w->hardware, ok), ok);
	if (w->is_draining)
		put(object, "state", json_string("draining"), ok);
	return object;
}

int
table_worker_encode(const struct table_worker *w, struct buf *out, struct errmsg *err)
{
	struct buf value = BUF_INIT;
	struct table_worker check;
	json_t *object, *metadata = NULL;
	json_error_t why;
	bool ok = true;
	int rc;

	if (w->metadata != NULL) {
		metadata = json_loads(w->metadata, JSON_REJECT_DUPLICATES, &why);
		if (metadata == NULL)
			return error_set(err, -EINVAL, "its metadata is not JSON: %s",
					 why.text);
	}
	object = encode_worker(w, &ok);
	put(object, "metadata", metadata != NULL ? metadata : json_object(), &ok);
	rc = encode_finish(object, ok, &value, err);
	if (rc == 0 && table_worker_decode(buf_bytes(&value), &check, err) == 0) {
		table_worker_fini(&check);
		buf_put_bytes(out, buf_bytes(&value));
	} else if (rc == 0) {
		rc = -EINVAL;
	}
	buf_fini(&value);
	return rc;
}

int
table_bar_encode(const struct table_bar *b, struct buf *out, struct errmsg *err)
{
	json_t *object = json_object();
	struct buf value = BUF_INIT;
	struct table_bar check;
	char by[ID_TEXT_SIZE];
	bool ok = true;
	int rc;

	put(object, "by", json_string(id_text(&b->by, by)), &ok);
	if (b->name != NULL && b->name[0] != '\0')
		put(object, "name", json_string(b->name), &ok);
	if (b->reason != NULL && b->reason[0] != '\0')
		put(object, "reason", json_string(b->reason), &ok);
	rc = encode_finish(object, ok, &value, err);
	if (rc == 0 && table_bar_decode(buf_bytes(&value), &check, err) == 0) {
		table_bar_fini(&check);
		buf_put_bytes(out, buf_bytes(&value));
	} else if (rc == 0) {
		rc = -EINVAL;
	}
	buf_fini(&value);
	return rc;
}
