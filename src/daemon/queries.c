/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the dispatch core: clients (http/api) and other nodes (links) ask on one side,
 * workers (queries-bus.c) and other nodes answer on the other. Here is only translated; what
 * happens to a query is decided in src/dispatch. */
#include "config.h"

#include "daemon/queries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/budgets.h"
#include "mesh/mesh.h"

enum {
	QUERIES_OFFERS_MAX = 50,	     /* names listed in a 404 */
	QUERIES_RELAYS_MAX = MESH_HOMES_MAX, /* ways to one node that are looked at */
};

/* ---- to clients ---- */

static struct client *
queries_client(const struct queries *qs, uint64_t number)
{
	struct client *c;

	HASH_FIND(hh, qs->clients, &number, sizeof(number), c);
	return c;
}

static void
client_free(struct client *c)
{
	HASH_DEL(c->queries->clients, c);
	free(c);
}

static void
client_do(struct queries *qs, const struct dispatch_action *a)
{
	struct client *c = queries_client(qs, a->query);

	if (c == NULL)
		return;
	switch (a->type) {
	case DISPATCH_ACTION_WANT:
		api_reply_want(c->reply, a->parts);
		break;
	case DISPATCH_ACTION_HEAD:
		api_reply_head(c->reply, a->reply);
		break;
	case DISPATCH_ACTION_DATA:
		if (a->data.len > 0)
			api_reply_data(c->reply, a->data);
		if (!a->is_last)
			break;
		metric_observe(qs->seconds,
			       (double)(loop_now(qs->d->loop) - c->started_ms) /
				       MS_SECOND);
		(*qs->answered)++;
		api_reply_end(c->reply);
		client_free(c);
		break;
	case DISPATCH_ACTION_ERROR:
		(*qs->failed)++;
		api_reply_error(c->reply, a->error);
		client_free(c);
		break;
	default:
		break;
	}
}

/* ---- to other nodes ---- */

void
queries_send(struct queries *qs, uint64_t link)
{
	links_send_query(qs->d->links, link, buf_bytes(&qs->frame));
}

/* Words to the node that asked. */
static void
asker_do(struct queries *qs, const struct dispatch_action *a)
{
	struct buf *out = &qs->frame;

	buf_clear(out);
	switch (a->type) {
	case DISPATCH_ACTION_WANT:
		wire_put_query_credit(out, a->query, a->parts, true);
		break;
	case DISPATCH_ACTION_TAKEN:
		wire_put_query_word(out, WIRE_QUERY_TAKEN, a->query);
		break;
	case DISPATCH_ACTION_HEAD:
		wire_put_reply_head(out, a->query, a->reply);
		break;
	case DISPATCH_ACTION_DATA:
		wire_put_reply_data(out, a->query, a->data, a->is_last);
		break;
	case DISPATCH_ACTION_ERROR:
		wire_put_reply_error(out, a->query, a->error, a->is_final);
		break;
	default:
		return;
	}
	queries_send(qs, a->link);
}

/* Words to the node that answers. */
static void
answerer_do(struct queries *qs, const struct dispatch_action *a)
{
	struct buf *out = &qs->frame;

	buf_clear(out);
	switch (a->type) {
	case DISPATCH_ACTION_RUN_OPEN:
		if (id_is_zero(&a->relay_to))
			wire_put_query_open(out, a->run, a->head);
		else
			wire_put_query_relay(out, a->run, &a->relay_to, a->head);
		break;
	case DISPATCH_ACTION_RUN_BODY:
		wire_put_query_body(out, a->run, a->data, a->is_last);
		break;
	case DISPATCH_ACTION_RUN_GO:
		wire_put_query_word(out, WIRE_QUERY_GO, a->run);
		break;
	case DISPATCH_ACTION_RUN_CREDIT:
		wire_put_query_credit(out, a->run, a->parts, false);
		break;
	case DISPATCH_ACTION_RUN_CANCEL:
		wire_put_query_word(out, WIRE_QUERY_CANCEL, a->run);
		break;
	default:
		return;
	}
	queries_send(qs, a->link);
}

/* ---- the pump ---- */

static bool
queries_is_run(enum dispatch_action_type type)
{
	return type >= DISPATCH_ACTION_RUN_OPEN;
}

static void
queries_do(struct queries *qs, const struct dispatch_action *a)
{
	if (a->type == DISPATCH_ACTION_WAY)
		links_find_way(qs->d->links, &a->node, a->link);
	else if (a->type == DISPATCH_ACTION_LOAD || a->type == DISPATCH_ACTION_PROBE ||
		 a->type == DISPATCH_ACTION_PULL)
		queries_load_do(qs, a);
	else if (!queries_is_run(a->type))
		a->link == 0 ? client_do(qs, a) : asker_do(qs, a);
	else
		a->link == 0 ? queries_worker_do(qs, a) : answerer_do(qs, a);
}

/* For when the core wants it, or earlier: deadlines mostly move away, and a tick too many
 * costs less than the timer would, set anew at each step. */
static void
queries_arm(struct queries *qs, ms_t now)
{
	ms_t due = dispatch_due(qs->dispatch);

	if (due < 0 || qs->is_closing || (qs->timer_at >= 0 && qs->timer_at <= due))
		return;
	qs->timer_at = due;
	loop_timer_set(qs->timer, due > now ? due - now : 0);
}

void
queries_step(struct queries *qs, const struct dispatch_event *event)
{
	struct dispatch_action action;
	ms_t now = loop_now(qs->d->loop);

	dispatch_step(qs->dispatch, now, event);
	if (qs->is_pumping)
		return;
	qs->is_pumping = true;
	while (dispatch_next(qs->dispatch, &action))
		queries_do(qs, &action);
	qs->is_pumping = false;
	queries_arm(qs, now);
}

static void
queries_on_timer(void *arg)
{
	((struct queries *)arg)->timer_at = -1;
	queries_step(arg, &(struct dispatch_event){ .type = DISPATCH_EVENT_TICK });
}

/* ---- from clients ---- */

/* The answer to a query that no node can be asked. */
static void
queries_explain(struct queries *qs, const struct query_head *head,
		enum catalog_answer answer, struct query_error *ret_error)
{
	const struct catalog *catalog = qs->d->catalog;
	struct buf list = BUF_INIT;

	switch (answer) {
	case CATALOG_NO_SERVICE:
		catalog_offers(catalog, QUERIES_OFFERS_MAX, &list);
		query_error_set(ret_error, 404, "No node offers the service %s. %s%s.",
				head->service,
				list.len > 0 ? "Offered are: " : "Nothing is offered",
				buf_text(&list));
		break;
	case CATALOG_NO_MATCH:
		catalog_matches(catalog, head->service, QUERIES_OFFERS_MAX, &list);
		query_error_set(ret_error, 404,
				"The service %s is not offered for %s, but for: %s.",
				head->service, head->selector, buf_text(&list));
		break;
	case CATALOG_NO_NODE:
		query_error_set(ret_error, 404,
				"The node asked for does not offer the service %s.",
				head->service);
		break;
	default:
		query_error_set(ret_error, 503,
				"The service %s is known, but none of its nodes can be "
				"reached now.",
				head->service);
		ret_error->retry_after_s = 5;
	}
	buf_fini(&list);
}

/* How the node is reached: by a link, or else by one of those who pass queries on to it, or by
 * a way that is to be found. False: not at all. */
static bool
queries_way(struct queries *qs, const struct catalog_provider *to,
	    struct dispatch_candidate *ret)
{
	const struct id *node = &to->node;
	uint64_t relays[QUERIES_RELAYS_MAX];
	struct daemon *d = qs->d;
	int n;

	*ret = (struct dispatch_candidate){ .node = *node,
					    .slots = to->slots,
					    .ways = QUERIES_RELAYS_MAX };
	if (id_equal(node, &d->identity->node_id))
		return true;
	ret->link = links_of_node(d->links, node);
	if (ret->link != 0) {
		double rtt = links_rtt_ms(d->links, node);

		ret->rtt_ms = rtt > 0 ? (ms_t)rtt : 0;
		return true;
	}
	n = links_relays_to(d->links, node, relays, QUERIES_RELAYS_MAX);
	if (n == 0) {
		ret->is_far = links_may_find_way(d->links, node);
		return ret->is_far;
	}
	ret->link = relays[rng_below(&d->rng, (uint64_t)n)];
	ret->is_relayed = true;
	return true;
}

/* The nodes that may be asked, but not `but`, and the links to them. More than the core takes
 * are drawn from, uniformly; this node itself stays. */
static int
queries_candidates(struct queries *qs, const struct id *but,
		   struct dispatch_candidate *ret)
{
	const struct id *self = &qs->d->identity->node_id;
	int n = 0;

	for (int i = 0; i < qs->providers.len; i++) {
		struct dispatch_candidate c;
		uint64_t place;

		if ((but != NULL && id_equal(&qs->providers.items[i].node, but)) ||
		    !queries_way(qs, &qs->providers.items[i], &c))
			continue;
		n++;
		place = n <= DISPATCH_CANDIDATES_MAX
				? (uint64_t)n - 1
				: rng_below(&qs->d->rng, (uint64_t)n);
		if (place >= DISPATCH_CANDIDATES_MAX && id_equal(&c.node, self))
			place = rng_below(&qs->d->rng, DISPATCH_CANDIDATES_MAX);
		if (place < DISPATCH_CANDIDATES_MAX &&
		    (place == (uint64_t)n - 1 || !id_equal(&ret[place].node, self)))
			ret[place] = c;
	}
	return n < DISPATCH_CANDIDATES_MAX ? n : DISPATCH_CANDIDATES_MAX;
}

static void *
queries_on_open(void *daemon, struct api_query *reply, const struct query_head *head)
{
	struct queries *qs = ((struct daemon *)daemon)->queries;
	struct dispatch_candidate candidates[DISPATCH_CANDIDATES_MAX];
	struct client *c = mem_calloc(1, sizeof(*c));
	struct query_error error = { 0 };
	struct dispatch_event event = { .type = DISPATCH_EVENT_QUERY_NEW, .head = head };
	enum catalog_answer answer;

	c->number = event.query = ++qs->last_number;
	c->queries = qs;
	c->reply = reply;
	c->started_ms = loop_now(qs->d->loop);
	HASH_ADD(hh, qs->clients, number, sizeof(c->number), c);
	answer = catalog_providers(qs->d->catalog, head->service, head->selector,
				   head->fallback, &head->pin, &qs->providers);
	if (answer == CATALOG_FOUND) {
		event.candidates = candidates;
		event.candidates_len = queries_candidates(qs, NULL, candidates);
		if (event.candidates_len == 0)
			answer = CATALOG_NONE_READY;
	}
	if (qs->d->is_leaving) {
		query_error_set(&error, 503,
				"The node is stopping and takes no more queries.");
		error.retry_after_s = DISPATCH_DRAIN_RETRY_S;
		event.error = &error;
	} else if (answer != CATALOG_FOUND) {
		queries_explain(qs, head, answer, &error);
		event.error = &error;
	}
	queries_step(qs, &event);
	query_error_fini(&error);
	/* Answered already: the API then does not use what is returned. */
	return queries_client(qs, event.query);
}

static void
queries_on_body(void *token, struct bytes part, bool is_last)
{
	struct client *c = token;
	struct dispatch_event event = { .type = DISPATCH_EVENT_QUERY_BODY,
					.query = c->number,
					.data = part,
					.is_last = is_last };

	queries_step(c->queries, &event);
}

static void
queries_on_consumed(void *token, int parts)
{
	struct client *c = token;
	struct dispatch_event event = { .type = DISPATCH_EVENT_QUERY_CREDIT,
					.query = c->number,
					.parts = parts };

	queries_step(c->queries, &event);
}

static void
queries_on_cancel(void *token)
{
	struct client *c = token;
	struct queries *qs = c->queries;
	struct dispatch_event event = { .type = DISPATCH_EVENT_QUERY_CANCEL,
					.query = c->number };

	client_free(c);
	queries_step(qs, &event);
}

void
queries_fill_host(struct api_host *host)
{
	host->query_open = queries_on_open;
	host->query_body = queries_on_body;
	host->query_consumed = queries_on_consumed;
	host->query_cancel = queries_on_cancel;
}

/* ---- from other nodes ---- */

/* An error that a node reports about a run of ours. */
static void
queries_on_run_error(struct queries *qs, struct dispatch_event *event,
		     const struct wire_query *q)
{
	event->type = DISPATCH_EVENT_RUN_FAILED;
	event->error = &q->error;
	event->failure = q->is_final	     ? DISPATCH_ANSWERED
			 : q->error.is_taken ? DISPATCH_LOST
					     : DISPATCH_NOT_TAKEN;
	queries_step(qs, event);
}

/* A query that would wait here is told who else offers the service. */
static void
queries_on_node_open(struct queries *qs, struct dispatch_event *event,
		     const struct id *asker)
{
	const struct query_head *head = event->head;
	struct dispatch_candidate candidates[DISPATCH_CANDIDATES_MAX];

	event->type = DISPATCH_EVENT_QUERY_NEW;
	if (dispatch_would_wait(qs->dispatch, head) &&
	    catalog_providers(qs->d->catalog, head->service, head->selector,
			      head->fallback, &head->pin,
			      &qs->providers) == CATALOG_FOUND) {
		event->candidates = candidates;
		event->candidates_len = queries_candidates(qs, asker, candidates);
	}
	queries_step(qs, event);
}

int
queries_frame(struct queries *qs, uint64_t link, const struct id *node,
	      const struct wire_frame *frame)
{
	struct wire_query q;
	struct dispatch_event event = { .link = link, .node = *node };

	if (wire_read_query(frame, &q) != 0)
		return -OCF_EMALFORMED;
	event.query = event.run = q.qid;
	event.data = q.data;
	event.is_last = q.is_last;
	event.parts = q.parts;
	switch (q.type) {
	case WIRE_QUERY_OPEN:
		event.head = &q.head;
		queries_on_node_open(qs, &event, node);
		break;
	case WIRE_QUERY_LOAD:
	case WIRE_QUERY_PROBE:
	case WIRE_QUERY_PULL:
		queries_load_frame(qs, &q, &event);
		break;
	case WIRE_QUERY_BODY:
		event.type = DISPATCH_EVENT_QUERY_BODY;
		queries_step(qs, &event);
		break;
	case WIRE_QUERY_GO:
		event.type = DISPATCH_EVENT_QUERY_GO;
		queries_step(qs, &event);
		break;
	case WIRE_QUERY_CANCEL:
		event.type = DISPATCH_EVENT_QUERY_CANCEL;
		queries_step(qs, &event);
		break;
	case WIRE_QUERY_CREDIT:
		event.type = q.is_to_asker ? DISPATCH_EVENT_RUN_CREDIT
					   : DISPATCH_EVENT_QUERY_CREDIT;
		queries_step(qs, &event);
		break;
	case WIRE_QUERY_TAKEN:
		event.type = DISPATCH_EVENT_RUN_TAKEN;
		queries_step(qs, &event);
		break;
	case WIRE_REPLY_HEAD:
		event.type = DISPATCH_EVENT_RUN_HEAD;
		event.reply = &q.reply;
		queries_step(qs, &event);
		break;
	case WIRE_REPLY_DATA:
		event.type = DISPATCH_EVENT_RUN_DATA;
		queries_step(qs, &event);
		break;
	case WIRE_REPLY_ERROR:
		queries_on_run_error(qs, &event, &q);
		break;
	default:
		break;
	}
	wire_query_fini(&q);
	return 0;
}

void
queries_way_found(struct queries *qs, const struct id *node, uint64_t link)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_WAY,
					.node = *node,
					.link = link };

	event.is_relayed = link != links_of_node(qs->d->links, node);
	queries_step(qs, &event);
}

bool
queries_use(const struct queries *qs, uint64_t link)
{
	return dispatch_uses(qs->dispatch, link);
}

void
queries_link_down(struct queries *qs, uint64_t link)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_LINK_DOWN, .link = link };

	queries_step(qs, &event);
}

/* ---- drain and stop ---- */

void
queries_drain(struct queries *qs, bool is_draining)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_DRAIN,
					.is_draining = is_draining };

	queries_step(qs, &event);
}

void
queries_stop(struct queries *qs)
{
	queries_step(qs, &(struct dispatch_event){ .type = DISPATCH_EVENT_STOP });
}

static struct dispatch_stats
queries_stats(const struct queries *qs)
{
	struct dispatch_stats stats;

	dispatch_stats(qs->dispatch, &stats);
	return stats;
}

int
queries_running(const struct queries *qs)
{
	return queries_stats(qs).queries;
}

/* ---- views and life ---- */

json_t *
queries_status_json(const struct queries *qs)
{
	struct dispatch_stats stats = queries_stats(qs);

	return json_pack("{s:i, s:i, s:i, s:i}", "queued", stats.queued, "running",
			 stats.running, "forwarded", stats.forwarded, "tenants",
			 stats.tenants);
}

static double
queries_read_queued(void *arg)
{
	return queries_stats(arg).queued;
}

static double
queries_read_running(void *arg)
{
	return queries_stats(arg).running;
}

static double
queries_read_buffered(void *arg)
{
	return (double)queries_stats(arg).buffered_bytes;
}

static double
queries_read_alive(void *arg)
{
	return queries_stats(arg).queries;
}

static double
queries_read_clients(void *arg)
{
	const struct queries *qs = arg;

	return HASH_COUNT(qs->clients);
}

static double
queries_read_openings(void *arg)
{
	const struct queries *qs = arg;

	return HASH_COUNT(qs->openings);
}

static double
queries_read_forwarded(void *arg)
{
	return queries_stats(arg).forwarded;
}

static double
queries_read_bus(void *arg)
{
	const struct queries *qs = arg;
	struct bus_stats stats = { 0 };

	if (qs->d->bus != NULL)
		bus_get_stats(qs->d->bus, &stats);
	return stats.outstanding;
}

/* Wherever a query leaves something until it has ended: all are 0 when none is under way,
 * as each system test shows at its end. */
static void
queries_add_pending_metrics(struct queries *qs)
{
	static const struct {
		const char *label;
		double (*read)(void *arg);
	} places[] = {
		{ "at=\"dispatch\"", queries_read_alive },
		{ "at=\"clients\"", queries_read_clients },
		{ "at=\"openings\"", queries_read_openings },
		{ "at=\"bus\"", queries_read_bus },
		{ "at=\"nodes\"", queries_read_forwarded },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		metrics_gauge_read(qs->d->metrics, "ocf_queries_pending",
				   "Queries that have not ended, by what holds them.",
				   places[i].label, places[i].read, qs);
}

static void
queries_add_metrics(struct queries *qs)
{
	struct metrics *m = qs->d->metrics;

	qs->seconds = metrics_histogram(m, "ocf_query_duration_seconds",
					"From a client's query to the end of its reply.",
					NULL, NULL, 0);
	qs->answered = metrics_counter(m, "ocf_queries_total", "Queries of clients here.",
				       "outcome=\"answered\"");
	qs->failed = metrics_counter(m, "ocf_queries_total", "Queries of clients here.",
				     "outcome=\"failed\"");
	metrics_gauge_read(m, "ocf_queue_length", "Queries waiting here for a worker.",
			   NULL, queries_read_queued, qs);
	metrics_gauge_read(m, "ocf_slots_busy", "Slots of workers here that are in use.",
			   NULL, queries_read_running, qs);
	queries_load_add_metrics(qs);
	queries_bounds_add_metrics(qs);
	metrics_gauge_read(m, "ocf_query_buffered_bytes", "Bytes of bodies held here.",
			   NULL, queries_read_buffered, qs);
	queries_add_pending_metrics(qs);
}

int
queries_open(struct daemon *d)
{
	struct dispatch_config config = {
		.self = d->identity->node_id,
		.seed = rng_next(&d->rng),
		.retries = (int)d->config->dispatch.retries,
		.hedge_percent = d->config->dispatch.hedge ? BUDGET_HEDGE_PERCENT : 0,
		.body_bytes_max = d->config->http.max_body,
		.policy = queries_policy(d->config->dispatch.policy),
	};
	struct queries *qs = mem_calloc(1, sizeof(*qs));

	queries_bounds_configure(d->config, &config);
	qs->d = d;
	qs->dispatch = dispatch_new(&config);
	qs->timer = loop_timer_new(d->loop, queries_on_timer, qs);
	qs->timer_at = -1;
	queries_add_metrics(qs);
	d->queries = qs;
	return 0;
}

void
queries_close(struct queries *qs)
{
	struct client *c, *next_c;

	if (qs == NULL)
		return;
	qs->is_closing = true;
	queries_drop_openings(qs, 0);
	HASH_ITER (hh, qs->clients, c, next_c) {
		client_free(c);
	}
	loop_timer_free(qs->timer);
	dispatch_free(qs->dispatch);
	catalog_providers_fini(&qs->providers);
	buf_fini(&qs->frame);
	free(qs);
}
