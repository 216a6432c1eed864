/* SPDX-License-Identifier: Apache-2.0 */
/* What people see of the catalog, in the shapes of interfaces.md. Texts come out of JSON
 * and were checked, so that json_string() cannot refuse them. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "table/catalog-private.h"
#include "table/catalog.h"

static json_t *
json_id(const struct id *id)
{
	char text[ID_TEXT_SIZE];

	return json_string(id_text(id, text));
}

static json_t *
json_texts(char *const *texts, int len)
{
	json_t *array = json_array();

	for (int i = 0; i < len; i++)
		json_array_append_new(array, json_string(texts[i]));
	return array;
}

static json_t *
json_hardware(const struct table_hardware *h)
{
	json_t *gpus = json_array();

	for (int i = 0; i < h->gpus_len; i++) {
		const struct table_gpu *gpu = &h->gpus[i];
		json_t *item = json_pack("{s:s, s:I}", "name", gpu->name, "memory",
					 (json_int_t)gpu->memory);

		if (gpu->memory_free > 0)
			json_object_set_new(item, "memory_free",
					    json_integer(gpu->memory_free));
		if (gpu->memory_used > 0)
			json_object_set_new(item, "memory_used",
					    json_integer(gpu->memory_used));
		json_array_append_new(gpus, item);
	}
	return json_pack("{s:I, s:I, s:o}", "cpus", (json_int_t)h->cpus, "memory",
			 (json_int_t)h->memory, "gpus", gpus);
}

/* ---- Nodes ---- */

static int
compare_names(const void *a, const void *b)
{
	struct node *const *x = a, *const *y = b;
	int rc = strcmp(node_name(*x), node_name(*y));

	return rc != 0 ? rc : id_compare(&(*x)->id, &(*y)->id);
}

static json_t *
json_number_or_null(double value)
{
	return value < 0 ? json_null() : json_real(value);
}

/* Who took the node out, when and why. */
static json_t *
bar_json(const struct bar *bar)
{
	const char *reason = bar->row.reason != NULL ? bar->row.reason : "";
	char at[CLOCK_TEXT_SIZE];

	return json_pack("{s:o, s:s, s:s?}", "by", json_id(&bar->row.by), "at",
			 clock_text((ms_t)bar->stamp, at), "reason",
			 reason[0] != '\0' ? reason : NULL);
}

json_t *
node_json(const struct node *n, const struct catalog_contact *contact)
{
	const struct table_node *row = &n->row;
	json_t *o = json_object(), *labels = json_object();

	for (int i = 0; i < row->labels_len; i++)
		json_object_set_new(labels, row->labels[i].name,
				    json_string(row->labels[i].value));
	json_object_set_new(o, "id", json_id(&n->id));
	json_object_set_new(o, "name", json_string(node_name(n)));
	json_object_set_new(o, "alive", json_boolean(node_is_live(n)));
	json_object_set_new(o, "state", json_string(catalog_state_text(node_state(n))));
	json_object_set_new(o, "addresses",
			    json_texts(row->addresses, row->addresses_len));
	json_object_set_new(o, "inbound",
			    row->is_inbound_known ? json_boolean(row->is_inbound)
						  : json_null());
	json_object_set_new(o, "region",
			    row->region != NULL ? json_string(row->region) : json_null());
	json_object_set_new(o, "labels", labels);
	json_object_set_new(o, "hardware", json_hardware(&row->hardware));
	if (contact != NULL)
		json_object_set_new(o, "workers",
				    json_integer(node_is_live(n) ? n->readable : 0));
	json_object_set_new(o, "version",
			    json_string(row->version != NULL ? row->version : ""));
	json_object_set_new(o, "ca", json_boolean(row->holds_ca));
	if (contact != NULL) {
		json_object_set_new(o, "rtt_ms", json_number_or_null(contact->rtt_ms));
		json_object_set_new(o, "last_seen_s",
				    json_number_or_null(contact->last_seen_s));
	}
	if (n->ban != NULL)
		json_object_set_new(o, "ban", bar_json(n->ban));
	if (n->forget != NULL)
		json_object_set_new(o, "forget", bar_json(n->forget));
	return o;
}

json_t *
catalog_nodes_json(const struct catalog *c, bool with_gone, catalog_contact_fn *contact,
		   void *arg)
{
	json_t *array = json_array();
	int len;
	struct node **nodes = catalog_sorted_nodes(c, with_gone, &len);

	qsort(nodes, (size_t)len, sizeof(*nodes), compare_names);
	for (int i = 0; i < len; i++) {
		struct catalog_contact known = { -1, -1, false };
		enum catalog_state state = node_state(nodes[i]);

		if (contact != NULL)
			known = contact(arg, &nodes[i]->id);
		if (!with_gone && (state >= CATALOG_LEFT ||
				   (state == CATALOG_DEAD && known.is_past_grace)))
			continue;
		json_array_append_new(array, node_json(nodes[i], &known));
	}
	free(nodes);
	return array;
}

/* ---- Workers ---- */

static int
compare_numbers(const struct worker *a, const struct worker *b)
{
	return (a->number > b->number) - (a->number < b->number);
}

static json_t *
worker_services_json(const struct table_worker *row)
{
	json_t *array = json_array();

	for (int i = 0; i < row->services_len; i++) {
		const struct table_service *s = &row->services[i];

		json_array_append_new(array, json_pack("{s:s, s:o, s:i}", "name", s->name,
						       "match",
						       json_texts(s->match, s->match_len),
						       "slots", row->slots));
	}
	return array;
}

const char *
worker_state_text(const struct worker *w, bool is_live, bool is_draining)
{
	if (!is_live)
		return "hidden";
	return w->row.is_draining || is_draining ? "draining" : "ready";
}

json_t *
worker_json(const struct worker *w)
{
	const struct table_worker *row = &w->row;
	json_t *o = json_object(), *metadata = NULL;
	const char *state = worker_state_text(w, node_is_live(w->node),
					      node_state(w->node) == CATALOG_DRAINING);

	if (row->metadata != NULL)
		metadata = json_loads(row->metadata, 0, NULL);
	json_object_set_new(o, "id", json_string(row->id));
	json_object_set_new(o, "node", json_id(&w->node->id));
	json_object_set_new(o, "node_name", json_string(w->node->row.name));
	json_object_set_new(o, "services", worker_services_json(row));
	json_object_set_new(o, "hardware", json_hardware(&row->hardware));
	json_object_set_new(o, "metadata", metadata != NULL ? metadata : json_object());
	json_object_set_new(o, "state", json_string(state));
	return o;
}

json_t *
catalog_workers_json(const struct catalog *c)
{
	json_t *array = json_array();
	int len;
	struct node **nodes = catalog_sorted_nodes(c, false, &len);

	for (int i = 0; i < len; i++) {
		struct worker *w, *next;

		if (!node_is_visible(nodes[i]))
			continue;
		HASH_SORT(nodes[i]->workers, compare_numbers);
		HASH_ITER (hh, nodes[i]->workers, w, next) {
			if (w->is_readable)
				json_array_append_new(array, worker_json(w));
		}
	}
	free(nodes);
	return array;
}

/* ---- Services ---- */

static json_t *
offer_json(const char *service, const struct offer *o)
{
	json_int_t nodes = 0, workers = 0, slots = 0;

	for (int i = 0; i < o->len; i++) {
		if (!node_is_live(o->stakes[i].node))
			continue;
		nodes++;
		workers += o->stakes[i].ready + o->stakes[i].draining;
		slots += o->stakes[i].slots;
	}
	return json_pack("{s:s, s:s?, s:I, s:I, s:I}", "name", service, "match",
			 o->match[0] != '\0' ? o->match : NULL, "nodes", nodes, "workers",
			 workers, "slots", slots);
}

json_t *
catalog_services_json(const struct catalog *c)
{
	json_t *array = json_array();
	int len;
	struct service **services = catalog_sorted_services(c, &len);

	for (int i = 0; i < len; i++) {
		int offers_len;
		struct offer **offers = service_sorted_offers(services[i], &offers_len);

		for (int k = 0; k < offers_len; k++) {
			if (offer_is_live(offers[k]))
				json_array_append_new(
					array, offer_json(services[i]->name, offers[k]));
		}
		free(offers);
	}
	free(services);
	return array;
}
