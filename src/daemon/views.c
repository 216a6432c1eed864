/* SPDX-License-Identifier: Apache-2.0 */
/* What people see of a node: the JSON behind `ocf status`, `ocf nodes` and so on
 * (interfaces.md), and the metrics that no other part owns. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "daemon/daemon.h"

static json_t *
views_id(const struct id *id)
{
	char text[ID_TEXT_SIZE];

	return json_string(id_text(id, text));
}

static json_t *
views_u64(uint64_t v)
{
	uint8_t bytes[8];
	char text[17];

	put_be64(bytes, v);
	return json_string(hex_encode(bytes, sizeof(bytes), text));
}

static json_t *
views_table_json(struct daemon *d, const struct catalog_counts *counts)
{
	struct store_digest root = store_root(d->store);
	uint8_t bytes[16];
	char text[33], horizon[CLOCK_TEXT_SIZE];

	put_be64(bytes, root.sum.hi);
	put_be64(bytes + 8, root.sum.lo);
	/* The root is of all that are stored, among them rows that are removed, and those of
	 * nodes that are dead. */
	return json_pack("{s:i, s:I, s:i, s:i, s:s, s:s}", "rows",
			 counts->nodes + counts->workers, "stored",
			 (json_int_t)root.count, "workers", counts->workers, "services",
			 counts->services, "root", hex_encode(bytes, sizeof(bytes), text),
			 "horizon", clock_text((ms_t)rows_horizon(d->rows), horizon));
}

static const char *
views_bus_state(const struct daemon *d)
{
	if (d->bus == NULL)
		return "none";
	return d->bus_state == BUS_DOWN ? "down" : "up";
}

static json_t *
views_status(struct daemon *d)
{
	const char *silent = rows_why_silent(d->rows);
	struct catalog_counts counts;

	catalog_counts(d->catalog, &counts);
	return json_pack(
		"{s:{s:o, s:s, s:s, s:I, s:o, s:s?, s:s?}, s:{s:o, s:i, s:i, s:i}, s:o, "
		"s:{s:s, "
		"s:s, s:b, s:s?}, "
		"s:o, s:o}",
		"node", "id", views_id(&d->identity->node_id), "name", d->name, "version",
		PACKAGE_VERSION, "uptime_s",
		(json_int_t)((clock_mono_ms() - d->started_ms) / MS_SECOND), "actor",
		views_u64(store_actor(d->store)), "silent",
		silent[0] != '\0' ? silent : NULL, "barred", bars_told(d->bars),
		"cluster", "id", views_id(&d->identity->cluster_id), "nodes",
		counts.nodes, "alive", counts.alive, "ca_holders", counts.ca_holders,
		"table", views_table_json(d, &counts), "bus", "state", views_bus_state(d),
		"url", d->bus_url, "embedded", d->bus_is_embedded, "trouble",
		d->bus != NULL ? bus_trouble(d->bus) : NULL, "sync",
		repair_status_json(d->repair), "queue", queries_status_json(d->queries));
}

static struct catalog_contact
views_contact(void *arg, const struct id *node)
{
	struct daemon *d = arg;
	struct catalog_contact contact = { .rtt_ms = -1, .last_seen_s = -1 };
	double unseen_s;

	if (id_equal(node, &d->identity->node_id)) {
		contact.rtt_ms = contact.last_seen_s = 0;
		return contact;
	}
	contact.rtt_ms = links_rtt_ms(d->links, node);
	contact.last_seen_s = links_last_seen_s(d->links, node);
	unseen_s = contact.last_seen_s >= 0
			   ? contact.last_seen_s
			   : (double)(clock_mono_ms() - d->started_ms) / MS_SECOND;
	contact.is_past_grace = unseen_s * MS_SECOND > (double)d->config->mesh.dead_grace;
	return contact;
}

json_t *
views_read(void *daemon, enum api_view view, const struct query_headers *params)
{
	struct daemon *d = daemon;
	const char *all = query_headers_get(params, "all");
	bool is_all = all != NULL && strcmp(all, "0") != 0;

	switch (view) {
	case API_VIEW_STATUS:
		return views_status(d);
	case API_VIEW_NODES:
		return catalog_nodes_json(d->catalog, is_all, views_contact, d);
	case API_VIEW_WORKERS:
		return catalog_workers_json(d->catalog);
	case API_VIEW_SERVICES:
		return catalog_services_json(d->catalog);
	case API_VIEW_PEERS:
		return links_peers_json(d->links);
	}
	return NULL;
}

static void
views_on_change(void *arg, const struct catalog_change *change)
{
	struct daemon *d = arg;

	api_event(d->api, change->kind, change->op, change->id, &change->node,
		  change->row);
}

void
views_watch(void *daemon, bool is_wanted)
{
	struct daemon *d = daemon;

	catalog_watch(d->catalog, is_wanted ? views_on_change : NULL, d);
}

bool
views_ready(void *daemon, struct errmsg *why)
{
	struct daemon *d = daemon;

	if (d->is_stopping)
		error_set(why, -EAGAIN, "the node is stopping");
	else if (d->is_draining)
		error_set(why, -EAGAIN, "the node is draining");
	else if (!d->is_ready)
		error_set(why, -EAGAIN, "the node is starting");
	return d->is_ready && !d->is_stopping && !d->is_draining;
}

int
views_connections(void *daemon, void (*fn)(void *fn_arg, struct bytes json), void *fn_arg,
		  struct errmsg *err)
{
	struct daemon *d = daemon;
	int rc = d->bus != NULL ? bus_show_clients(d->bus, fn, fn_arg) : -ENOTSUP;

	if (rc == 0)
		return 0;
	if (d->bus == NULL)
		error_set(err, rc, "this node has no bus (bus.server = none)");
	else if (rc == -ENOTSUP)
		error_set(err, rc,
			  "the bus at %s is not this node's own: ask its nats-server",
			  d->bus_url);
	else
		error_set(err, rc, "the bus is down; ask again in a moment");
	return 503;
}

void
views_connections_cancel(void *daemon, void *fn_arg)
{
	struct daemon *d = daemon;

	if (d->bus != NULL)
		bus_hide_clients(d->bus, fn_arg);
}

/* ---- metrics ---- */

static double
views_rows(void *arg)
{
	struct daemon *d = arg;

	return (double)store_root(d->store).count;
}

static double
views_pending(void *arg)
{
	struct daemon *d = arg;
	struct store_stats stats;

	store_stats(d->store, &stats);
	return (double)stats.pending_rows;
}

static double
views_damaged(void *arg)
{
	struct daemon *d = arg;
	struct store_stats stats;

	store_stats(d->store, &stats);
	return (double)stats.damaged;
}

static double
views_refused(void *arg)
{
	struct daemon *d = arg;

	return (double)rows_refused(d->rows);
}

static double
views_renewals(void *arg)
{
	struct daemon *d = arg;

	return (double)rows_renewals(d->rows);
}

static double
views_nodes_alive(void *arg)
{
	struct daemon *d = arg;
	struct catalog_counts counts;

	catalog_counts(d->catalog, &counts);
	return counts.alive;
}

static struct bus_stats
views_bus_stats(const struct daemon *d)
{
	struct bus_stats stats = { 0 };

	if (d->bus != NULL)
		bus_get_stats(d->bus, &stats);
	return stats;
}

static double
views_workers(void *arg)
{
	return views_bus_stats(arg).workers;
}

static double
views_announcements(void *arg)
{
	return (double)views_bus_stats(arg).announcements;
}

static double
views_bad_announcements(void *arg)
{
	return (double)views_bus_stats(arg).announcements_bad;
}

static double
views_late_replies(void *arg)
{
	return (double)views_bus_stats(arg).replies_late;
}

static double
views_foreign_replies(void *arg)
{
	return (double)views_bus_stats(arg).replies_foreign;
}

static double
views_bus_restarts(void *arg)
{
	return (double)views_bus_stats(arg).server_restarts;
}

static double
views_reply_subscriptions(void *arg)
{
	return views_bus_stats(arg).reply_subs;
}

static double
views_bus_held(void *arg)
{
	return (double)views_bus_stats(arg).held_bytes;
}

static double
views_announcements_waiting(void *arg)
{
	return (double)views_bus_stats(arg).announcements_bytes;
}

static double
views_bus_buffered(void *arg)
{
	return (double)views_bus_stats(arg).buffered_bytes;
}

static void
views_add_bus_metrics(struct daemon *d)
{
	static const char dropped[] = "Messages to reply subjects that were dropped.";
	struct metrics *m = d->metrics;

	metrics_gauge_read(m, "ocf_workers", "Workers attached to this node.", NULL,
			   views_workers, d);
	metrics_counter_read(m, "ocf_bus_announcements_total",
			     "Announcements of workers that were heard.", NULL,
			     views_announcements, d);
	metrics_counter_read(m, "ocf_bus_announcements_bad_total",
			     "Announcements of workers that were refused.", NULL,
			     views_bad_announcements, d);
	metrics_gauge_read(m, "ocf_bus_announcements_waiting_bytes",
			   "Bytes of announcements heard and not yet taken in.", NULL,
			   views_announcements_waiting, d);
	metrics_counter_read(m, "ocf_bus_replies_dropped_total", dropped,
			     "reason=\"late\"", views_late_replies, d);
	metrics_counter_read(m, "ocf_bus_replies_dropped_total", dropped,
			     "reason=\"foreign\"", views_foreign_replies, d);
	metrics_gauge_read(m, "ocf_bus_reply_subscriptions",
			   "Reply subjects listened on; one for each worker.", NULL,
			   views_reply_subscriptions, d);
	metrics_gauge_read(m, "ocf_bus_held_bytes",
			   "Bytes of bodies that wait between workers and dispatch.",
			   NULL, views_bus_held, d);
	metrics_gauge_read(m, "ocf_bus_buffered_bytes",
			   "Bytes written to the bus and not yet on its socket.", NULL,
			   views_bus_buffered, d);
	metrics_counter_read(m, "ocf_bus_server_restarts_total",
			     "Times that the embedded nats-server died.", NULL,
			     views_bus_restarts, d);
}

void
views_add_metrics(struct daemon *d)
{
	struct metrics *m = d->metrics;
	char *labels = metrics_labels("version", PACKAGE_VERSION, (char *)NULL);

	*metrics_gauge(m, "ocf_build_info", "Always 1; the version is in the label.",
		       labels) = 1;
	free(labels);
	metrics_gauge_read(m, "ocf_table_rows", "Rows of the table, on disk.", NULL,
			   views_rows, d);
	metrics_gauge_read(m, "ocf_store_pending_rows", "Rows not yet on disk.", NULL,
			   views_pending, d);
	metrics_counter_read(m, "ocf_store_damaged_total", "Rows found damaged on disk.",
			     NULL, views_damaged, d);
	metrics_counter_read(m, "ocf_rows_refused_total",
			     "Rows from other nodes that their owner had not signed.",
			     NULL, views_refused, d);
	metrics_counter_read(m, "ocf_actor_renewals_total",
			     "Times that this node had to go on as a new actor.", NULL,
			     views_renewals, d);
	metrics_gauge_read(m, "ocf_nodes_alive",
			   "Nodes that are alive, this one included.", NULL,
			   views_nodes_alive, d);
	views_add_bus_metrics(d);
}
