/* SPDX-License-Identifier: Apache-2.0 */
/* Words of load between nodes, to and from frames (see dispatch/moves.c), and the metrics of
 * what dispatch does beside the first attempt of a query. */
#include "config.h"

#include "daemon/queries.h"

#include <string.h>

enum dispatch_policy
queries_policy(const char *name)
{
	if (strcmp(name, "random") == 0)
		return DISPATCH_RANDOM;
	if (strcmp(name, "least-loaded") == 0)
		return DISPATCH_LEAST_LOADED;
	return DISPATCH_BEST;
}

void
queries_load_do(struct queries *qs, const struct dispatch_action *a)
{
	const struct dispatch_load *l = &a->load;
	struct wire_load load = {
		.slots = (uint32_t)l->slots,
		.running = (uint32_t)l->running,
		.queued = (uint32_t)l->queued,
		.mean_us = l->mean_us < UINT32_MAX ? (uint32_t)l->mean_us : UINT32_MAX,
	};
	bool is_answer = a->type == DISPATCH_ACTION_LOAD;
	uint64_t link = is_answer ? a->link : links_of_node(qs->d->links, &a->node);
	enum wire_type type = is_answer				? WIRE_QUERY_LOAD
			      : a->type == DISPATCH_ACTION_PULL ? WIRE_QUERY_PULL
								: WIRE_QUERY_PROBE;

	if (link == 0)
		return;
	buf_clear(&qs->frame);
	wire_put_query_load(&qs->frame, type, is_answer ? a->query : a->run, a->service,
			    &load);
	queries_send(qs, link);
}

void
queries_load_frame(struct queries *qs, const struct wire_query *q,
		   struct dispatch_event *event)
{
	event->service = q->service;
	event->load = (struct dispatch_load){ .slots = (int)q->load.slots,
					      .running = (int)q->load.running,
					      .queued = (int)q->load.queued,
					      .mean_us = q->load.mean_us };
	event->type = q->type == WIRE_QUERY_LOAD   ? DISPATCH_EVENT_LOAD
		      : q->type == WIRE_QUERY_PULL ? DISPATCH_EVENT_PULL
						   : DISPATCH_EVENT_PROBE;
	queries_step(qs, event);
}

static struct dispatch_stats
queries_load_stats(void *arg)
{
	struct dispatch_stats stats;

	dispatch_stats(((struct queries *)arg)->dispatch, &stats);
	return stats;
}

static double
queries_read_onward(void *arg)
{
	return (double)queries_load_stats(arg).onward;
}

static double
queries_read_given(void *arg)
{
	return (double)queries_load_stats(arg).given;
}

static double
queries_read_pulls(void *arg)
{
	return (double)queries_load_stats(arg).pulls;
}

static double
queries_read_probes(void *arg)
{
	return (double)queries_load_stats(arg).probes;
}

static double
queries_read_repeated(void *arg)
{
	return (double)queries_load_stats(arg).repeated;
}

static double
queries_read_unrepeated(void *arg)
{
	return (double)queries_load_stats(arg).unrepeated;
}

static double
queries_read_hedges(void *arg)
{
	return (double)queries_load_stats(arg).hedges;
}

static double
queries_read_hedges_won(void *arg)
{
	return (double)queries_load_stats(arg).hedges_won;
}

static double
queries_read_held(void *arg)
{
	return (double)queries_load_stats(arg).held;
}

static double
queries_read_ejected_nodes(void *arg)
{
	return (double)queries_load_stats(arg).ejected_nodes;
}

static double
queries_read_ejected_workers(void *arg)
{
	return (double)queries_load_stats(arg).ejected_workers;
}

static void
queries_load_add_attempts(struct queries *qs)
{
	static const struct {
		const char *name, *help, *label;
		double (*read)(void *arg);
	} counters[] = {
		{ "ocf_query_retries_total",
		  "Attempts after a worker had the query and failed: made, or refused "
		  "because the budget was spent.",
		  "outcome=\"made\"", queries_read_repeated },
		{ "ocf_query_retries_total",
		  "Attempts after a worker had the query and failed: made, or refused "
		  "because the budget was spent.",
		  "outcome=\"refused\"", queries_read_unrepeated },
		{ "ocf_query_hedges_total",
		  "Queries sent to a second worker as well, and those that it answered.",
		  "outcome=\"sent\"", queries_read_hedges },
		{ "ocf_query_hedges_total",
		  "Queries sent to a second worker as well, and those that it answered.",
		  "outcome=\"won\"", queries_read_hedges_won },
		{ "ocf_queries_held_total",
		  "Queries that waited for a faster worker while a slow one was free.",
		  NULL, queries_read_held },
		{ "ocf_ejections_total",
		  "Nodes and workers left alone because they failed again and again.",
		  "of=\"node\"", queries_read_ejected_nodes },
		{ "ocf_ejections_total",
		  "Nodes and workers left alone because they failed again and again.",
		  "of=\"worker\"", queries_read_ejected_workers },
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		metrics_counter_read(qs->d->metrics, counters[i].name, counters[i].help,
				     counters[i].label, counters[i].read, qs);
}

void
queries_load_add_metrics(struct queries *qs)
{
	static const char moves[] = "ocf_query_moves_total";
	static const char
		moves_help[] = "Queries that would have waited here, and went to "
			       "another node: by this node's choice, or because "
			       "it asked.";
	static const char asked[] = "ocf_load_requests_total";
	static const char
		asked_help[] = "Words to other nodes: how is the load there, and "
			       "does a query wait there?";
	struct metrics *m = qs->d->metrics;

	metrics_counter_read(m, moves, moves_help, "move=\"onward\"", queries_read_onward,
			     qs);
	metrics_counter_read(m, moves, moves_help, "move=\"given\"", queries_read_given,
			     qs);
	metrics_counter_read(m, asked, asked_help, "word=\"probe\"", queries_read_probes,
			     qs);
	metrics_counter_read(m, asked, asked_help, "word=\"pull\"", queries_read_pulls,
			     qs);
	queries_load_add_attempts(qs);
}
