/* SPDX-License-Identifier: Apache-2.0 */
/* The structs of the rows: filling and freeing them. Their JSON is in rows-encode.c and
 * rows-decode.c. */
#include "config.h"

#include "table/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
table_node_add_address(struct table_node *n, const char *address)
{
	n->addresses = mem_realloc(n->addresses, (size_t)n->addresses_len + 1,
				   sizeof(*n->addresses));
	n->addresses[n->addresses_len++] = mem_strdup(address);
}

void
table_node_add_label(struct table_node *n, const char *name, const char *value)
{
	n->labels = mem_realloc(n->labels, (size_t)n->labels_len + 1, sizeof(*n->labels));
	n->labels[n->labels_len++] = (struct table_label){
		.name = mem_strdup(name),
		.value = mem_strdup(value),
	};
}

struct table_gpu *
table_hardware_add_gpu(struct table_hardware *h, const char *name, int64_t memory)
{
	h->gpus = mem_realloc(h->gpus, (size_t)h->gpus_len + 1, sizeof(*h->gpus));
	h->gpus[h->gpus_len++] = (struct table_gpu){
		.name = mem_strdup(name),
		.memory = memory,
	};
	return &h->gpus[h->gpus_len - 1];
}

struct table_service *
table_worker_add_service(struct table_worker *w, const char *name)
{
	struct table_service *s;

	w->services = mem_realloc(w->services, (size_t)w->services_len + 1,
				  sizeof(*w->services));
	s = &w->services[w->services_len++];
	*s = (struct table_service){ .name = mem_strdup(name) };
	return s;
}

void
table_service_add_match(struct table_service *s, const char *match)
{
	s->match = mem_realloc(s->match, (size_t)s->match_len + 1, sizeof(*s->match));
	s->match[s->match_len++] = mem_strdup(match);
}

void
table_hardware_fini(struct table_hardware *h)
{
	for (int i = 0; i < h->gpus_len; i++)
		free(h->gpus[i].name);
	free(h->gpus);
	memset(h, 0, sizeof(*h));
}

void
table_node_fini(struct table_node *n)
{
	for (int i = 0; i < n->addresses_len; i++)
		free(n->addresses[i]);
	free(n->addresses);
	for (int i = 0; i < n->labels_len; i++) {
		free(n->labels[i].name);
		free(n->labels[i].value);
	}
	free(n->labels);
	free(n->name);
	free(n->region);
	free(n->version);
	buf_fini(&n->cert);
	table_hardware_fini(&n->hardware);
	memset(n, 0, sizeof(*n));
}

void
table_worker_fini(struct table_worker *w)
{
	for (int i = 0; i < w->services_len; i++) {
		for (int k = 0; k < w->services[i].match_len; k++)
			free(w->services[i].match[k]);
		free(w->services[i].match);
		free(w->services[i].name);
	}
	free(w->services);
	free(w->id);
	free(w->metadata);
	table_hardware_fini(&w->hardware);
	memset(w, 0, sizeof(*w));
}

void
table_bar_fini(struct table_bar *b)
{
	free(b->name);
	free(b->reason);
	memset(b, 0, sizeof(*b));
}
