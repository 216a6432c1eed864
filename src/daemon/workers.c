/* SPDX-License-Identifier: Apache-2.0 */
/* The bus's workers become rows of the table and slots of the dispatcher.
 *
 * A worker's row has the lowest free number as its name and the worker's id in its value,
 * so that a worker that returns finds its row again and an unchanged announcement writes
 * nothing. Here rows are claimed; that they are in the table as claimed is own.c's care.
 * After a start the rows of the former life are kept until the bus has been up for three
 * heartbeats; what nobody has claimed by then is removed. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/log.h"
#include "base/mem.h"
#include "crdt/row.h"
#include "daemon/daemon.h"
#include "table/rows.h"

struct worker {
	uint64_t number; /* as dispatch knows it; new each time the bus comes up */
	char *id;
	int row;		/* its number in the table; -1 when it got none */
	struct bus_worker said; /* what it announced; texts are owned */
	struct bus_service *services;
	UT_hash_handle by_id;
	UT_hash_handle by_number;
};

struct workers {
	struct daemon *d;
	struct worker *by_id, *by_number;
	uint64_t last_number;
	int free_from;	 /* lower numbers of rows are taken */
	bool is_settled; /* who has not announced is not there */
	bool is_closing;
	struct log_limit warning_limit, news_limit;
};

/* ---- what a worker said ---- */

static void
worker_forget(struct worker *w)
{
	for (int i = 0; i < w->said.services_len; i++) {
		for (int j = 0; j < w->services[i].match_len; j++)
			free(w->services[i].match[j]);
		free(w->services[i].match);
		free(w->services[i].name);
	}
	free(w->services);
	free((char *)w->said.metadata);
	free((char *)w->said.hardware);
	w->services = NULL;
	w->said = (struct bus_worker){ 0 };
}

static void
worker_remember(struct worker *w, const struct bus_worker *said)
{
	worker_forget(w);
	w->said = *said;
	w->services = mem_calloc((size_t)said->services_len, sizeof(*w->services));
	for (int i = 0; i < said->services_len; i++) {
		const struct bus_service *from = &said->services[i];

		w->services[i].name = mem_strdup(from->name);
		w->services[i].match_len = from->match_len;
		w->services[i].match = mem_calloc((size_t)from->match_len,
						  sizeof(char *));
		for (int j = 0; j < from->match_len; j++)
			w->services[i].match[j] = mem_strdup(from->match[j]);
	}
	w->said.id = w->id;
	w->said.services = w->services;
	w->said.metadata = mem_strdup(said->metadata);
	w->said.hardware = mem_strdup(said->hardware);
}

/* ---- its row ---- */

static int
worker_encode(const struct worker *w, struct buf *out, struct errmsg *err)
{
	struct table_worker row = { 0 };
	int rc;

	row.id = mem_strdup(w->id);
	row.slots = w->said.is_direct ? w->said.slots : 0;
	row.is_draining = w->said.is_draining;
	row.metadata = mem_strdup(w->said.metadata);
	for (int i = 0; i < w->said.services_len; i++) {
		struct table_service *s = table_worker_add_service(&row,
								   w->services[i].name);

		for (int j = 0; j < w->services[i].match_len; j++)
			table_service_add_match(s, w->services[i].match[j]);
	}
	rc = table_hardware_decode(bytes_text(w->said.hardware), &row.hardware, err);
	/* The table holds what a machine has, not what it does. A legacy worker says it once,
	 * and its clients expect it. */
	for (int i = 0; rc == 0 && !w->said.is_legacy && i < row.hardware.gpus_len; i++)
		row.hardware.gpus[i].memory_free = row.hardware.gpus[i].memory_used = 0;
	if (rc == 0)
		rc = table_worker_encode(&row, out, err);
	table_worker_fini(&row);
	return rc;
}

static int
worker_row_name(int row, char name[ROW_NAME_BYTES_MAX + 1])
{
	return snprintf(name, ROW_NAME_BYTES_MAX + 1, "%d", row);
}

static int
workers_free_row_from(const struct workers *ws, int row)
{
	uint32_t rows_per_node = store_constants(ws->d->store)->rows_per_node;
	char name[ROW_NAME_BYTES_MAX + 1];

	for (; (uint32_t)row < rows_per_node; row++) {
		worker_row_name(row, name);
		if (!rows_has_claim(ws->d->rows, name))
			return row;
	}
	return -1;
}

/* Thousands that announce themselves at once do not each try all the numbers below; one
 * that became free otherwise than by worker_remove_row() is found when there are no more. */
static int
workers_free_row(struct workers *ws)
{
	int row = workers_free_row_from(ws, ws->free_from);

	if (row < 0)
		row = workers_free_row_from(ws, 0);
	if (row >= 0)
		ws->free_from = row;
	return row;
}

/* Its number in the table: that of an earlier life, or the lowest free one; -1 when there
 * is none left. */
static int
worker_find_row(struct workers *ws, const struct worker *w)
{
	struct daemon *d = ws->d;
	int row = catalog_worker_row(d->catalog, &d->identity->node_id, w->id);

	if (row < 0)
		row = workers_free_row(ws);
	if (row < 0)
		log_warn("workers",
			 "worker %s is not offered: this node has all the %u rows "
			 "that the cluster allows a node",
			 w->id, store_constants(d->store)->rows_per_node);
	return row;
}

static void
worker_remove_row(struct workers *ws, struct worker *w)
{
	char name[ROW_NAME_BYTES_MAX + 1];

	if (w->row < 0)
		return;
	worker_row_name(w->row, name);
	rows_unclaim(ws->d->rows, name);
	if (w->row < ws->free_from)
		ws->free_from = w->row;
	w->row = -1;
}

static void
worker_free(struct workers *ws, struct worker *w)
{
	HASH_DELETE(by_id, ws->by_id, w);
	HASH_DELETE(by_number, ws->by_number, w);
	worker_forget(w);
	free(w->id);
	free(w);
}

static struct worker *
workers_find(const struct workers *ws, const char *id)
{
	struct worker *w;

	HASH_FIND(by_id, ws->by_id, id, strlen(id), w);
	return w;
}

/* Show it to the cluster, and give it queries. One whose description no row can hold gets
 * neither, also when it was offered with an earlier one. */
static void
workers_offer(struct workers *ws, struct worker *w)
{
	char name[ROW_NAME_BYTES_MAX + 1];
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };

	if (worker_encode(w, &value, &err) != 0) {
		log_warn("workers", "worker %s is not offered: %s", w->id, err.text);
		worker_remove_row(ws, w);
		queries_worker_gone(ws->d->queries, w->number);
		buf_fini(&value);
		return;
	}
	if (w->row < 0)
		w->row = worker_find_row(ws, w);
	if (w->row >= 0) {
		worker_row_name(w->row, name);
		rows_claim(ws->d->rows, ROW_WORKER, name, buf_bytes(&value));
		queries_worker(ws->d->queries, w->number, &w->said);
	}
	buf_fini(&value);
}

/* ---- legacy workers of a former life ---- */

/* What a row says of a worker of the 2023 protocol: no slots, and a connection's number as
 * its id. Such a worker announces itself once; when it is found again, only its row tells
 * what it had said of its hardware. */
static void
workers_remember(struct workers *ws, const struct table_worker *said, struct bytes row)
{
	json_t *value = json_loadb((const char *)row.data, row.len, 0, NULL);
	char *hardware = json_dumps(json_object_get(value, "hardware"),
				    JSON_COMPACT | JSON_SORT_KEYS);
	struct bus_service *services = mem_calloc((size_t)said->services_len,
						  sizeof(*services));
	struct bus_worker former = { .id = said->id,
				     .slots = 1,
				     .services_len = said->services_len,
				     .services = services,
				     .metadata = "{}",
				     .hardware = hardware != NULL ? hardware : "{}" };

	for (int i = 0; i < said->services_len; i++)
		services[i].name = said->services[i].name;
	bus_remember(ws->d->bus, &former);
	free(services);
	free(hardware);
	json_decref(value);
}

static bool
workers_on_former(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
		  const struct row *row)
{
	const struct version *v = row_visible(row);
	struct table_worker said;

	(void)k;
	if (key->kind != ROW_WORKER || v == NULL ||
	    table_worker_decode(v->value, &said, NULL) != 0)
		return true;
	if (said.slots == 0 && said.id[0] == 'c' && said.id[1] != '\0' &&
	    strspn(said.id + 1, "0123456789") == strlen(said.id + 1))
		workers_remember(arg, &said, v->value);
	table_worker_fini(&said);
	return true;
}

/* One that came back by another id, or not at all. */
static void
workers_remove_former(struct workers *ws, const char *id)
{
	int row = catalog_worker_row(ws->d->catalog, &ws->d->identity->node_id, id);
	char name[ROW_NAME_BYTES_MAX + 1];

	if (row < 0)
		return;
	worker_row_name(row, name);
	rows_unclaim(ws->d->rows, name);
}

/* ---- the bus's words ---- */

static void
workers_on_up(void *arg, const struct bus_worker *said)
{
	struct workers *ws = arg;
	struct worker *w = workers_find(ws, said->id);
	bool is_new = w == NULL;

	if (is_new) {
		w = mem_calloc(1, sizeof(*w));
		w->id = mem_strdup(said->id);
		w->number = ++ws->last_number;
		w->row = -1;
		HASH_ADD_KEYPTR(by_id, ws->by_id, w->id, strlen(w->id), w);
		HASH_ADD(by_number, ws->by_number, number, sizeof(w->number), w);
	}
	worker_remember(w, said);
	if (log_limit_pass(&ws->news_limit, "workers"))
		log_info("workers", "worker %s %s: %s%s, %d slot%s%s", w->id,
			 is_new ? "joined" : "changed", w->services[0].name,
			 said->services_len > 1 ? " and others" : "", said->slots,
			 said->slots == 1 ? "" : "s",
			 said->is_draining ? ", draining" : "");
	workers_offer(ws, w);
}

static void
workers_on_down(void *arg, const char *id, const char *reason)
{
	struct workers *ws = arg;
	struct worker *w = workers_find(ws, id);
	uint64_t number;

	if (w == NULL) {
		workers_remove_former(ws, id);
		return;
	}
	if (log_limit_pass(&ws->news_limit, "workers"))
		log_info("workers", "worker %s left: %s", id, reason);
	number = w->number;
	worker_remove_row(ws, w);
	worker_free(ws, w);
	queries_worker_gone(ws->d->queries, number);
}

/* While the bus is down no worker can be reached; once it is up those that are still
 * known can. */
static void
workers_renumber(struct workers *ws)
{
	struct worker *w, *next;

	HASH_ITER (by_id, ws->by_id, w, next) {
		HASH_DELETE(by_number, ws->by_number, w);
		/* One that announced itself in the moment before the bus was called up. */
		queries_worker_gone(ws->d->queries, w->number);
		w->number = ++ws->last_number;
		HASH_ADD(by_number, ws->by_number, number, sizeof(w->number), w);
		workers_offer(ws, w);
	}
}

static void
workers_on_state(void *arg, enum bus_state state, const char *url, bool is_embedded)
{
	struct workers *ws = arg;
	struct daemon *d = ws->d;
	enum bus_state old = d->bus_state;

	d->bus_state = state;
	d->bus_is_embedded = is_embedded;
	free(d->bus_url);
	d->bus_url = mem_strdup(url);
	if (ws->is_closing)
		return;
	if (state == BUS_DOWN && old != BUS_DOWN) {
		log_warn("bus", "the bus is down; its workers cannot be reached until it "
				"is back");
		queries_bus_down(d->queries);
	}
	if (state != BUS_DOWN && old == BUS_DOWN) {
		log_info("bus", "the bus is up; workers connect to %s", url);
		workers_renumber(ws);
	}
	if (state == BUS_SETTLED && !ws->is_settled) {
		ws->is_settled = true;
		rows_claims_settled(d->rows);
	}
	daemon_check_ready(d);
}

static void
workers_on_warning(void *arg, const char *text)
{
	struct workers *ws = arg;

	if (log_limit_pass(&ws->warning_limit, "bus"))
		log_warn("bus", "%s", text);
}

static void
workers_on_fatal(void *arg, const char *text)
{
	struct workers *ws = arg;

	if (ws->d->fatal == NULL)
		ws->d->fatal = mem_strdup(text);
	daemon_stop(ws->d, EXIT_STATUS_CONFIG);
}

static void
workers_on_head(void *arg, uint64_t token, const struct reply_head *head)
{
	struct workers *ws = arg;

	queries_run_head(ws->d->queries, token, head);
}

static void
workers_on_data(void *arg, uint64_t token, struct bytes part, bool is_last)
{
	struct workers *ws = arg;

	queries_run_data(ws->d->queries, token, part, is_last);
}

static void
workers_on_error(void *arg, uint64_t token, const struct query_error *error,
		 enum bus_outcome outcome)
{
	struct workers *ws = arg;

	queries_run_error(ws->d->queries, token, error, outcome);
}

static void
workers_on_credit(void *arg, uint64_t token, int n)
{
	struct workers *ws = arg;

	queries_run_credit(ws->d->queries, token, n);
}

static const struct bus_handler workers_handler = {
	.state = workers_on_state,
	.warning = workers_on_warning,
	.fatal = workers_on_fatal,
	.worker_up = workers_on_up,
	.worker_changed = workers_on_up,
	.worker_down = workers_on_down,
	.reply_head = workers_on_head,
	.reply_data = workers_on_data,
	.reply_error = workers_on_error,
	.request_credit = workers_on_credit,
};

/* ---- life ---- */

const char *
workers_id(const struct workers *ws, uint64_t number)
{
	struct worker *w;

	HASH_FIND(by_number, ws->by_number, &number, sizeof(number), w);
	return w != NULL ? w->id : NULL;
}

void
workers_configure(const struct config *c, struct bus_config *ret)
{
	*ret = (struct bus_config){
		.url = c->bus.url[0] != '\0' ? c->bus.url : NULL,
		.listen = c->bus.listen,
		.server = c->bus.server,
		.credentials = c->bus.credentials,
		.ca = c->bus.ca,
		.cert = c->bus.cert,
		.key = c->bus.key,
	};
}

int
workers_open(struct daemon *d, struct errmsg *err)
{
	const struct config *c = d->config;
	struct bus_config config;
	struct workers *ws = mem_calloc(1, sizeof(*ws));
	int rc;

	workers_configure(c, &config);
	config.data = d->places->data;
	config.node_id = d->identity->node_id;
	config.node_name = d->name;
	ws->d = d;
	ws->warning_limit = (struct log_limit){ .span_ms = 10 * MS_SECOND, .burst = 20 };
	/* A worker that comes and goes all the time must not fill the disk with that. */
	ws->news_limit = (struct log_limit){ .span_ms = 10 * MS_SECOND, .burst = 200 };
	d->workers = ws;
	d->bus_url = mem_strdup("");
	d->bus_state = BUS_DOWN;
	if (strcmp(c->bus.server, "none") == 0) {
		rows_claims_settled(d->rows);
		return 0;
	}
	rc = bus_open(d->loop, &config, &workers_handler, ws, &d->bus, err);
	if (rc == 0)
		store_owner_each(d->store, &d->identity->node_id, workers_on_former, ws);
	return rc;
}

void
workers_close(struct workers *ws)
{
	struct worker *w, *next;

	if (ws == NULL)
		return;
	ws->is_closing = true;
	bus_close(ws->d->bus);
	ws->d->bus = NULL;
	HASH_ITER (by_id, ws->by_id, w, next) {
		worker_free(ws, w);
	}
	free(ws->d->bus_url);
	ws->d->bus_url = NULL;
	free(ws);
}
