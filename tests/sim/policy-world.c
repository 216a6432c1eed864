/* SPDX-License-Identifier: Apache-2.0 */
/* See policy-world.h. Of the frames between nodes only those that bear on who answers and
 * when are carried: bodies and replies are empty here. */
#include "config.h"

#include "sim/policy-world.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	POLICY_TIMEOUT_MS = MS_HOUR,
	POLICY_QUEUE_MAX = 1000000, /* an unstable policy is to show how much so */
	POLICY_TRIES_MAX = 10,
	POLICY_REST_MS = 60 *
			 MS_SECOND, /* after the last arrival; then it counts as is */
	POLICY_STALE_US = 5 * MS_SECOND * 1000,
	POLICY_STRESS_MS = 2 * MS_SECOND, /* between two of them */
	POLICY_SLOWED_MS = 5 * MS_SECOND,
	POLICY_GONE_MS = 10 * MS_SECOND,
	POLICY_STALL_US = MS_SECOND * 1000,
	POLICY_STALL_IN = 100,
};

struct policy_asked {
	us_t at, arrived, ended;
	double work_us;
	int node, picked, tries;
	int held_before; /* where it arrived */
	bool is_lost;
};

struct policy_job {
	uint64_t run;
	int query;
	double left_us; /* of work, at `since` */
	us_t since;
	uint32_t version;
	struct policy_job *next;
};

/* What is on its way to a node: an event of its core, or the end of a job. */
struct policy_later {
	int node, from;
	uint32_t life, version;
	struct dispatch_event event;
	struct query_head head; /* texts: request_id alone, as a number */
	int query;
	bool is_failed;
	char service[8];
};

static void node_step(struct policy_node *n, struct dispatch_event *e);

const char *
policy_stress_name(enum policy_stress stress)
{
	static const char *const names[POLICY_STRESSES] = {
		[POLICY_CALM] = "calm",	    [POLICY_STALE] = "stale",
		[POLICY_UNTOLD] = "untold", [POLICY_SKEWED] = "skewed",
		[POLICY_SLOWED] = "slowed", [POLICY_FAR] = "far",
		[POLICY_CHURN] = "churn",   [POLICY_STALLS] = "stalls",
	};

	return names[stress];
}

/* Chance. */

static double
chance(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) / 9007199254740992.0;
}

static double
chance_work(struct rng *rng)
{
	double z = sqrt(-2 * log(chance(rng))) * cos(2 * M_PI * chance(rng));

	return POLICY_WORK_US * exp(z - 0.5);
}

/* All nodes, or `only` one, but not `but`. */
static int
ask_candidates(struct policy_node *n, int only, int but, struct dispatch_candidate *ret)
{
	struct policy_world *w = n->world;
	int len = 0;

	for (int i = 0; i < POLICY_NODES; i++) {
		struct policy_node *other = &w->nodes[i];

		if (!other->is_there || (only >= 0 && i != only) || i == but)
			continue;
		ret[len++] = (struct dispatch_candidate){
			.node = other->id,
			.link = i == n->index ? 0 : (uint64_t)i + 1,
			.slots = other->slots,
			.rtt_ms = i == n->index ? 0 : 2 * w->hop_us / 1000,
		};
	}
	return len;
}

/* Links. The number of the link to node i is i + 1. */

/* An opponent's query is where it will be answered. */
static void
node_arrived(struct policy_node *n, int query)
{
	struct policy_asked *q = &n->world->queries[query];

	q->arrived = n->world->sim.now_us;
	q->held_before = n->held++;
	if (n->world->setup->kind->arrived != NULL)
		n->world->setup->kind->arrived(n);
}

static void
link_arrive(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct policy_later *l = data;
	struct policy_node *n = &w->nodes[l->node];
	struct dispatch_candidate candidates[POLICY_NODES];
	char id[16];

	(void)sim;
	if (l->event.type == DISPATCH_EVENT_QUERY_NEW)
		n->coming--;
	if (!n->is_there || n->life != l->life)
		return;
	if (l->event.type == DISPATCH_EVENT_QUERY_NEW) {
		node_arrived(n, l->query);
		snprintf(id, sizeof(id), "%d", l->query);
		l->head.request_id = id;
		l->head.service = l->head.method = l->head.path = l->service;
		l->event.head = &l->head;
		if (dispatch_would_wait(n->dispatch, &l->head)) {
			l->event.candidates = candidates;
			l->event.candidates_len = ask_candidates(n, -1, l->from,
								 candidates);
		}
	}
	node_step(n, &l->event);
}

static void
link_send(struct policy_node *n, int to, const struct dispatch_event *e,
	  const struct query_head *head)
{
	struct policy_world *w = n->world;
	struct policy_later *l;

	if (!w->nodes[to].is_there)
		return;
	l = mem_calloc(1, sizeof(*l));
	l->node = to;
	l->from = n->index;
	l->life = w->nodes[to].life;
	l->event = *e;
	l->event.link = (uint64_t)n->index + 1;
	l->event.service = l->service;
	snprintf(l->service, sizeof(l->service), "s");
	if (head != NULL) {
		w->nodes[to].coming++;
		l->query = (int)strtol(head->request_id, NULL, 10);
		l->head = (struct query_head){ .is_idempotent = head->is_idempotent,
					       .hops = head->hops,
					       .attempt = head->attempt,
					       .timeout_ms = head->timeout_ms };
	}
	sim_at_us(&w->sim, w->sim.now_us + w->hop_us, link_arrive, w, l);
}

void
policy_tell(struct policy_world *w, sim_fn *fn, const void *data, size_t len)
{
	sim_at_us(&w->sim, w->sim.now_us + w->hop_us, fn, w, mem_dup(data, len));
	w->frames++;
}

/* Workers. */

static void
job_end(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct policy_later *l = data;
	struct policy_node *n = &w->nodes[l->node];
	struct dispatch_event e = { .type = DISPATCH_EVENT_RUN_DATA, .is_last = true };
	struct policy_job **at = &n->jobs, *j;

	if (!n->is_there || n->life != l->life)
		return;
	while (*at != NULL && (*at)->run != l->event.run)
		at = &(*at)->next;
	j = *at;
	if (j == NULL || j->version != l->version)
		return;
	*at = j->next;
	n->held--;
	e.run = j->run;
	if (w->setup->kind->done != NULL)
		w->setup->kind->done(n, sim->now_us - w->queries[j->query].arrived,
				     w->queries[j->query].held_before);
	free(j);
	node_step(n, &e);
}

static void
job_schedule(struct policy_node *n, struct policy_job *j)
{
	struct policy_later *l = mem_calloc(1, sizeof(*l));

	l->node = n->index;
	l->life = n->life;
	l->version = ++j->version;
	l->event.run = j->run;
	sim_at_us(&n->world->sim, j->since + (us_t)(j->left_us / n->speed), job_end,
		  n->world, l);
}

static void
job_open(struct policy_node *n, const struct dispatch_action *a)
{
	struct policy_world *w = n->world;
	struct policy_job *j = mem_calloc(1, sizeof(*j));

	j->run = a->run;
	j->query = (int)strtol(a->head->request_id, NULL, 10);
	j->left_us = w->queries[j->query].work_us;
	if (w->setup->stress == POLICY_STALLS &&
	    rng_below(&w->sim.rng, POLICY_STALL_IN) == 0)
		j->left_us += POLICY_STALL_US * n->speed;
	j->since = w->sim.now_us;
	j->next = n->jobs;
	n->jobs = j;
	job_schedule(n, j);
}

/* Its slot is free at once. */
static void
job_cancel(struct policy_node *n, uint64_t run)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_RUN_FAILED,
				    .run = run,
				    .failure = DISPATCH_ANSWERED };
	struct policy_job **at = &n->jobs, *j;

	while (*at != NULL && (*at)->run != run)
		at = &(*at)->next;
	j = *at;
	if (j == NULL)
		return;
	*at = j->next;
	n->held--;
	free(j);
	node_step(n, &e);
}

static void
node_speed(struct policy_node *n, double speed)
{
	us_t now = n->world->sim.now_us;

	for (struct policy_job *j = n->jobs; j != NULL; j = j->next) {
		j->left_us -= (double)(now - j->since) * n->speed;
		j->since = now;
	}
	n->speed = speed;
	for (struct policy_job *j = n->jobs; j != NULL; j = j->next)
		job_schedule(n, j);
}

/* Clients. */

static void
ask(struct policy_node *n, int query)
{
	struct policy_world *w = n->world;
	struct policy_asked *q = &w->queries[query];
	const struct policy_kind *kind = w->setup->kind;
	struct dispatch_candidate candidates[POLICY_NODES];
	char id[16], service[] = "s";
	struct query_head head = { .request_id = id,
				   .service = service,
				   .method = service,
				   .path = service,
				   .is_idempotent = true,
				   .timeout_ms = POLICY_TIMEOUT_MS };
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .query = (uint64_t)query | (uint64_t)q->tries << 32,
				    .head = &head,
				    .candidates = candidates };

	q->picked = kind->pick != NULL ? kind->pick(n) : -1;
	snprintf(id, sizeof(id), "%d", query);
	e.candidates_len = ask_candidates(n, q->picked, -1, candidates);
	if (q->picked == n->index)
		node_arrived(n, query);
	node_step(n, &e);
}

static void
ask_done(struct policy_node *n, uint64_t number, bool is_failed)
{
	struct policy_world *w = n->world;
	struct policy_asked *q = &w->queries[number & UINT32_MAX];

	if (q->picked >= 0 && w->setup->kind->replied != NULL)
		w->setup->kind->replied(n, q->picked);
	if (is_failed && q->picked >= 0 && ++q->tries < POLICY_TRIES_MAX) {
		ask(n, (int)(number & UINT32_MAX));
		return;
	}
	q->ended = w->sim.now_us;
	q->is_lost = is_failed;
	w->open--;
}

/* Nodes. */

static void
node_do_run(struct policy_node *n, const struct dispatch_action *a)
{
	struct dispatch_event e = { .query = a->run };

	if (a->link == 0) {
		if (a->type == DISPATCH_ACTION_RUN_OPEN)
			job_open(n, a);
		else if (a->type == DISPATCH_ACTION_RUN_CANCEL)
			job_cancel(n, a->run);
		return;
	}
	if (a->type == DISPATCH_ACTION_RUN_OPEN)
		e.type = DISPATCH_EVENT_QUERY_NEW;
	else if (a->type == DISPATCH_ACTION_RUN_CANCEL)
		e.type = DISPATCH_EVENT_QUERY_CANCEL;
	else
		return;
	link_send(n, (int)a->link - 1, &e, a->head);
}

/* Words of load. */
static void
node_do_load(struct policy_node *n, const struct dispatch_action *a)
{
	struct policy_world *w = n->world;
	struct dispatch_event e = { .node = n->id, .load = a->load };
	int to = (int)a->link - 1;

	w->frames++;
	if (a->type == DISPATCH_ACTION_LOAD) {
		e.type = DISPATCH_EVENT_LOAD;
		e.run = a->query;
		if (w->setup->stress == POLICY_UNTOLD ||
		    (w->setup->stress == POLICY_STALE && n->told[to] > 0 &&
		     w->sim.now_us - n->told[to] < POLICY_STALE_US))
			return;
		n->told[to] = w->sim.now_us;
	} else {
		e.type = a->type == DISPATCH_ACTION_PULL ? DISPATCH_EVENT_PULL
							 : DISPATCH_EVENT_PROBE;
		e.query = a->run;
		for (to = 0; !id_equal(&w->nodes[to].id, &a->node);)
			to++;
	}
	link_send(n, to, &e, NULL);
}

static void
node_do(struct policy_node *n, const struct dispatch_action *a)
{
	struct dispatch_event e = { .run = a->query };

	if (a->type >= DISPATCH_ACTION_RUN_OPEN) {
		node_do_run(n, a);
		return;
	}
	if (a->type == DISPATCH_ACTION_LOAD || a->type == DISPATCH_ACTION_PROBE ||
	    a->type == DISPATCH_ACTION_PULL) {
		node_do_load(n, a);
		return;
	}
	if (a->type == DISPATCH_ACTION_TAKEN) {
		e.type = DISPATCH_EVENT_RUN_TAKEN;
	} else if (a->type == DISPATCH_ACTION_DATA) {
		e.type = DISPATCH_EVENT_RUN_DATA;
		e.is_last = true;
	} else if (a->type == DISPATCH_ACTION_ERROR) {
		e.type = DISPATCH_EVENT_RUN_FAILED;
		e.failure = a->error->is_taken ? DISPATCH_LOST : DISPATCH_NOT_TAKEN;
		e.error = NULL;
	} else {
		return;
	}
	if (a->link != 0)
		link_send(n, (int)a->link - 1, &e, NULL);
	else if (a->type != DISPATCH_ACTION_TAKEN)
		ask_done(n, a->query, a->type == DISPATCH_ACTION_ERROR);
}

static void
node_tick(struct sim *sim, void *arg, void *data)
{
	struct policy_node *n = arg;
	struct dispatch_event e = { .type = DISPATCH_EVENT_TICK };

	(void)data;
	if (!n->is_there || n->tick_at != sim->now)
		return;
	n->tick_at = 0;
	node_step(n, &e);
}

static void
node_step(struct policy_node *n, struct dispatch_event *e)
{
	struct sim *sim = &n->world->sim;
	struct dispatch_action a;
	ms_t due;

	dispatch_step(n->dispatch, sim->now, e);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (dispatch_next(n->dispatch, &a)) {
		uint64_t words[] = { (uint64_t)n->index, (uint64_t)a.type, a.link,
				     a.query, a.run };

		sim_note(sim, words, sizeof(words));
		node_do(n, &a);
	}
	n->is_pumping = false;
	due = dispatch_due(n->dispatch);
	if (due >= 0 && (n->tick_at == 0 || due < n->tick_at)) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, node_tick, n, NULL);
	}
}

static void
node_start(struct policy_node *n)
{
	struct policy_world *w = n->world;
	struct dispatch_config config = {
		.self = n->id,
		.seed = rng_next(&w->sim.rng),
		.queue_max = POLICY_QUEUE_MAX,
		.buffer_bytes_max = 1024 * 1024,
		.retries = 3,
		.body_bytes_max = 1024 * 1024,
		.policy = w->setup->kind->policy,
		.hedge_percent = w->setup->kind->hedge_percent,
	};
	struct dispatch_service service = { .name = "s" };
	struct dispatch_worker worker = { .worker = ++w->next_worker,
					  .name = "w",
					  .slots = n->slots,
					  .services = &service,
					  .services_len = 1 };
	struct dispatch_event e = { .type = DISPATCH_EVENT_WORKER, .worker = &worker };

	n->is_there = true;
	n->life++;
	n->tick_at = 0;
	n->held = 0;
	n->speed = n->usual_speed;
	n->dispatch = dispatch_new(&config);
	n->opponent = mem_calloc(1, w->setup->kind->size + 1);
	node_step(n, &e);
}

static void
node_stop(struct policy_node *n)
{
	struct policy_world *w = n->world;
	struct dispatch_stats stats;

	while (n->jobs != NULL) {
		struct policy_job *j = n->jobs;

		n->jobs = j->next;
		free(j);
	}
	/* Who asked it has no answer; that is no policy's fault. */
	for (int i = 0; i < w->queries_len; i++)
		if (w->queries[i].node == n->index && w->queries[i].ended == 0) {
			w->queries[i].ended = w->is_over ? 0 : -1;
			w->open--;
		}
	dispatch_stats(n->dispatch, &stats);
	w->moved += stats.onward + stats.given;
	n->is_there = false;
	dispatch_free(n->dispatch);
	free(n->opponent);
	n->dispatch = NULL;
	n->opponent = NULL;
}

/* Stress. */

static void
stress_restart(struct sim *sim, void *arg, void *data)
{
	(void)sim;
	(void)data;
	node_start(arg);
}

static void
stress_recover(struct sim *sim, void *arg, void *data)
{
	struct policy_node *n = arg;

	(void)sim;
	(void)data;
	node_speed(n, n->usual_speed);
}

static void
stress_leave(struct policy_world *w, struct policy_node *n)
{
	struct dispatch_event down = { .type = DISPATCH_EVENT_LINK_DOWN,
				       .link = (uint64_t)n->index + 1 };

	node_stop(n);
	for (int i = 0; i < POLICY_NODES; i++)
		if (w->nodes[i].is_there)
			node_step(&w->nodes[i], &down);
	sim_at(&w->sim, w->sim.now + POLICY_GONE_MS, stress_restart, n, NULL);
}

static void
stress_next(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct policy_node *n = &w->nodes[rng_below(&w->fate, POLICY_NODES)];

	(void)data;
	if (sim->now_us >= w->counted_to)
		return;
	sim_at(sim, sim->now + POLICY_STRESS_MS, stress_next, w, NULL);
	if (!n->is_there || n->speed < n->usual_speed)
		return;
	if (w->setup->stress == POLICY_CHURN) {
		stress_leave(w, n);
		return;
	}
	node_speed(n, n->usual_speed / 5);
	sim_at(sim, sim->now + POLICY_SLOWED_MS, stress_recover, n, NULL);
}

/* Runs. */

static int
world_asked_node(struct policy_world *w)
{
	double x = chance(&w->fate);
	int i = 0;

	if (w->setup->stress != POLICY_SKEWED)
		i = (int)(x * POLICY_NODES);
	else
		while (i < POLICY_NODES - 1 && x >= w->zipf[i])
			i++;
	while (!w->nodes[i].is_there)
		i = (i + 1) % POLICY_NODES;
	return i;
}

static void
world_ask(struct sim *sim, void *arg, void *data)
{
	struct policy_world *w = arg;
	struct policy_asked *q;

	(void)data;
	if (sim->now_us >= w->counted_to)
		return;
	if (w->queries_len == w->queries_cap) {
		w->queries_cap = w->queries_cap * 2 + 1024;
		w->queries = mem_realloc(w->queries, (size_t)w->queries_cap,
					 sizeof(w->queries[0]));
	}
	q = &w->queries[w->queries_len++];
	*q = (struct policy_asked){ .at = sim->now_us,
				    .work_us = chance_work(&w->fate),
				    .node = world_asked_node(w) };
	w->open++;
	sim_at_us(sim, sim->now_us + (us_t)(-log(chance(&w->fate)) / w->rate), world_ask,
		  w, NULL);
	ask(&w->nodes[q->node], w->queries_len - 1);
}

static void
world_init(struct policy_world *w, const struct policy_setup *setup)
{
	double capacity = 0, sum = 0;

	w->setup = setup;
	sim_init(&w->sim, setup->seed);
	rng_init(&w->fate, setup->seed ^ 0x5eed);
	w->hop_us = setup->stress == POLICY_FAR ? 25000 : POLICY_HOP_US;
	for (int i = 0; i < POLICY_NODES; i++) {
		struct policy_node *n = &w->nodes[i];

		n->world = w;
		n->index = i;
		memset(n->id.b, i + 1, ID_BYTES);
		n->slots = 1 + (int)rng_below(&w->fate, POLICY_SLOTS_MAX);
		n->usual_speed = 0.5 * pow(8, chance(&w->fate));
		capacity += n->slots * n->usual_speed;
		sum += 1.0 / (i + 1);
	}
	for (int i = 0; i < POLICY_NODES; i++)
		w->zipf[i] = (i > 0 ? w->zipf[i - 1] : 0) + 1 / (i + 1.0) / sum;
	w->rate = setup->load * capacity / POLICY_WORK_US;
	w->counted_from = w->sim.now_us + setup->warm_ms * 1000;
	w->counted_to = w->counted_from + setup->span_ms * 1000;
	for (int i = 0; i < POLICY_NODES; i++)
		node_start(&w->nodes[i]);
	sim_at_us(&w->sim, w->sim.now_us, world_ask, w, NULL);
	if (setup->stress == POLICY_SLOWED || setup->stress == POLICY_CHURN)
		sim_at(&w->sim, w->sim.now, stress_next, w, NULL);
}

static int
result_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
world_result(const struct policy_world *w, struct policy_result *r)
{
	double *ms = mem_calloc((size_t)w->queries_len + 1, sizeof(ms[0]));
	int n = 0;

	*r = (struct policy_result){ .trace = w->sim.trace };
	for (int i = 0; i < w->queries_len; i++) {
		const struct policy_asked *q = &w->queries[i];

		if (q->at < w->counted_from || q->ended < 0)
			continue;
		r->lost += q->is_lost;
		/* One that is not done has taken so long at least. */
		ms[n] = (double)((q->ended > 0 ? q->ended : w->sim.now_us) - q->at) /
			1000;
		r->mean_ms += ms[n++];
	}
	qsort(ms, (size_t)n, sizeof(ms[0]), result_order);
	r->queries = n;
	if (n > 0) {
		r->mean_ms /= n;
		r->p50_ms = ms[n / 2];
		r->p90_ms = ms[n - 1 - n / 10];
		r->p99_ms = ms[n - 1 - n / 100];
		r->frames = (double)w->frames / w->queries_len;
		r->moved = (double)w->moved / w->queries_len;
	}
	free(ms);
}

void
policy_run(const struct policy_setup *setup, struct policy_result *ret_result)
{
	struct policy_world *w = mem_calloc(1, sizeof(*w));
	ms_t end;

	world_init(w, setup);
	sim_run(&w->sim, w->counted_to / 1000);
	for (end = w->sim.now + POLICY_REST_MS; w->open > 0 && w->sim.now < end;)
		sim_run(&w->sim, w->sim.now + MS_SECOND);
	w->is_over = true;
	for (int i = 0; i < POLICY_NODES; i++)
		if (w->nodes[i].is_there)
			node_stop(&w->nodes[i]);
	world_result(w, ret_result);
	sim_fini(&w->sim);
	free(w->queries);
	free(w);
}
