/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes and links of the simulated world, what goes wrong with them, and what must hold
 * whatever does. */
#include "config.h"

#include "sim/dispatch-world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "mesh/wire.h"

struct later *
later_new(struct node *n, size_t len)
{
	struct later *l = mem_calloc(1, sizeof(*l) + len);

	l->node = n;
	l->life = n->life;
	l->len = len;
	return l;
}

void
later(struct world *w, ms_t delay, sim_fn *fn, struct later *l)
{
	sim_at(&w->sim, w->sim.now + delay, fn, w, l);
}

bool
later_is_void(const struct later *l)
{
	return !l->node->is_running || l->node->life != l->life;
}

/* Links: frames. */

/* All that are linked, and the node itself, but not `but`. The table may be behind: a node
 * that offers nothing any more is among them. */
static int
node_candidates(struct node *n, int but, struct dispatch_candidate *ret)
{
	struct world *w = n->world;
	int len = 0;

	for (int i = 0; i < w->nodes_len; i++)
		if (i != but && (i == n->index || w->link[n->index][i] != 0)) {
			struct dispatch_candidate *c = &ret[len++];

			*c = (struct dispatch_candidate){ .node = w->nodes[i].id };
			c->is_far = i != n->index && !w->is_tame &&
				    sim_once_in(&w->sim, 6);
			c->ways = (int)sim_below(&w->sim, 3);
			c->slots = (int)sim_below(&w->sim, 4);
			c->rtt_ms = (ms_t)sim_below(&w->sim, 100);
			c->link = c->is_far ? 0 : (uint64_t)w->link[n->index][i];
		}
	return len;
}

static void
link_event(struct node *n, uint64_t link, struct wire_query *q)
{
	struct dispatch_candidate candidates[NODES_MAX];
	const struct link *l = &n->world->links[link - 1];
	int from = l->end[0] == n->index ? l->end[1] : l->end[0];
	static const enum dispatch_event_type types[] = {
		[WIRE_QUERY_OPEN] = DISPATCH_EVENT_QUERY_NEW,
		[WIRE_QUERY_BODY] = DISPATCH_EVENT_QUERY_BODY,
		[WIRE_QUERY_GO] = DISPATCH_EVENT_QUERY_GO,
		[WIRE_QUERY_CANCEL] = DISPATCH_EVENT_QUERY_CANCEL,
		[WIRE_QUERY_CREDIT] = DISPATCH_EVENT_QUERY_CREDIT,
		[WIRE_QUERY_TAKEN] = DISPATCH_EVENT_RUN_TAKEN,
		[WIRE_QUERY_LOAD] = DISPATCH_EVENT_LOAD,
		[WIRE_QUERY_PROBE] = DISPATCH_EVENT_PROBE,
		[WIRE_QUERY_PULL] = DISPATCH_EVENT_PULL,
		[WIRE_REPLY_HEAD] = DISPATCH_EVENT_RUN_HEAD,
		[WIRE_REPLY_DATA] = DISPATCH_EVENT_RUN_DATA,
		[WIRE_REPLY_ERROR] = DISPATCH_EVENT_RUN_FAILED,
	};
	struct dispatch_event e = {
		.type = types[q->type],
		.link = link,
		.query = q->qid,
		.run = q->qid,
		.head = &q->head,
		.reply = &q->reply,
		.error = q->type == WIRE_REPLY_ERROR ? &q->error : NULL,
		.node = n->world->nodes[from].id,
		.service = q->service,
		.load = { .slots = (int)q->load.slots,
			  .running = (int)q->load.running,
			  .queued = (int)q->load.queued,
			  .mean_us = q->load.mean_us },
		.data = q->data,
		.is_last = q->is_last,
		.parts = q->parts,
		.failure = !q->error.is_taken ? DISPATCH_NOT_TAKEN
			   : q->is_final      ? DISPATCH_ANSWERED
					      : DISPATCH_LOST,
	};

	/* What is said of load may be anything; it must not matter but for who is chosen. */
	if (q->service != NULL && !n->world->is_tame && !sim_once_in(&n->world->sim, 8))
		e.load = (struct dispatch_load){
			.slots = (int)sim_below(&n->world->sim, 4),
			.running = (int)sim_below(&n->world->sim, 3),
			.queued = (int)sim_below(&n->world->sim, 2),
			.mean_us = sim_once_in(&n->world->sim, 8)
					   ? (int64_t)sim_below(&n->world->sim, 2000000)
					   : 1000,
		};
	if (q->type == WIRE_QUERY_OPEN && dispatch_would_wait(n->dispatch, &q->head)) {
		e.candidates = candidates;
		e.candidates_len = node_candidates(n, from, candidates);
	}
	if (q->type == WIRE_QUERY_CREDIT && q->is_to_asker)
		e.type = DISPATCH_EVENT_RUN_CREDIT;
	node_step(n, &e);
}

static void
link_arrive(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct later *l = data;
	struct link *link = &w->links[l->link - 1];
	struct bytes input = bytes_of(l->data, l->len);
	struct wire_reader r;
	struct wire_frame f;
	struct wire_query q;

	(void)sim;
	if (later_is_void(l) || link->is_down[l->to])
		return;
	wire_reader_init(&r);
	r.payload_max = WIRE_PAYLOAD_BYTES_MAX;
	CU_ASSERT_FATAL(wire_reader_next(&r, &input, &f) == 1);
	CU_ASSERT_FATAL(wire_read_query(&f, &q) == 0);
	link_event(l->node, l->link, &q);
	wire_query_fini(&q);
	wire_reader_fini(&r);
}

static void
link_send(struct node *n, uint64_t number, const struct buf *frame)
{
	struct world *w = n->world;
	struct link *link = &w->links[number - 1];
	int to = link->end[0] == n->index ? 1 : 0;
	struct later *l = later_new(&w->nodes[link->end[to]], frame->len);
	ms_t at = w->sim.now + 1 + (ms_t)sim_below(&w->sim, 50);

	if (at < link->last[to])
		at = link->last[to];
	link->last[to] = at;
	l->link = number;
	l->to = to;
	memcpy(l->data, frame->data, frame->len);
	later(w, at - w->sim.now, link_arrive, l);
}

static void
link_told_down(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct later *l = data;
	struct dispatch_event e = { .type = DISPATCH_EVENT_LINK_DOWN, .link = l->link };

	(void)sim;
	w->links[l->link - 1].is_down[l->to] = true;
	if (!later_is_void(l))
		node_step(l->node, &e);
}

static void
link_cut(struct world *w, int a, int b)
{
	int number = w->link[a][b];

	if (number == 0)
		return;
	w->link[a][b] = w->link[b][a] = 0;
	for (int to = 0; to < 2; to++) {
		struct later *l = later_new(&w->nodes[w->links[number - 1].end[to]], 0);

		l->link = (uint64_t)number;
		l->to = to;
		later(w, (ms_t)sim_below(&w->sim, 2000), link_told_down, l);
	}
}

static void
link_make(struct world *w, int a, int b)
{
	if (a == b || w->link[a][b] != 0 || !w->nodes[a].is_running ||
	    !w->nodes[b].is_running || w->links_len == LINKS_MAX)
		return;
	w->links[w->links_len++] = (struct link){ .end = { a, b } };
	w->link[a][b] = w->link[b][a] = w->links_len;
}

/* Nodes. */

static void
load_put(struct buf *b, const struct dispatch_action *a)
{
	struct wire_load load = { .slots = (uint32_t)a->load.slots,
				  .running = (uint32_t)a->load.running,
				  .queued = (uint32_t)a->load.queued,
				  .mean_us = (uint32_t)a->load.mean_us };

	CU_ASSERT(a->load.running >= 0 && a->load.queued >= 0 && a->load.mean_us >= 0);
	if (a->type == DISPATCH_ACTION_LOAD)
		wire_put_query_load(b, WIRE_QUERY_LOAD, a->query, a->service, &load);
	else
		wire_put_query_load(b,
				    a->type == DISPATCH_ACTION_PULL ? WIRE_QUERY_PULL
								    : WIRE_QUERY_PROBE,
				    a->run, a->service, &load);
}

/* To a node, if it is linked. */
static void
word_do(struct node *n, const struct dispatch_action *a)
{
	struct world *w = n->world;
	struct buf b = BUF_INIT;
	int to = 0;

	while (!id_equal(&w->nodes[to].id, &a->node))
		to++;
	load_put(&b, a);
	if (w->link[n->index][to] != 0)
		link_send(n, (uint64_t)w->link[n->index][to], &b);
	buf_fini(&b);
}

static void
peer_do(struct node *n, const struct dispatch_action *a)
{
	struct buf b = BUF_INIT;

	switch (a->type) {
	case DISPATCH_ACTION_LOAD:
		load_put(&b, a);
		break;
	case DISPATCH_ACTION_WANT:
		wire_put_query_credit(&b, a->query, a->parts, true);
		break;
	case DISPATCH_ACTION_TAKEN:
		wire_put_query_word(&b, WIRE_QUERY_TAKEN, a->query);
		break;
	case DISPATCH_ACTION_HEAD:
		wire_put_reply_head(&b, a->query, a->reply);
		break;
	case DISPATCH_ACTION_DATA:
		wire_put_reply_data(&b, a->query, a->data, a->is_last);
		break;
	case DISPATCH_ACTION_ERROR:
		wire_put_reply_error(&b, a->query, a->error, a->is_final);
		break;
	case DISPATCH_ACTION_RUN_OPEN:
		wire_put_query_open(&b, a->run, a->head);
		break;
	case DISPATCH_ACTION_RUN_BODY:
		wire_put_query_body(&b, a->run, a->data, a->is_last);
		break;
	case DISPATCH_ACTION_RUN_GO:
		wire_put_query_word(&b, WIRE_QUERY_GO, a->run);
		break;
	case DISPATCH_ACTION_RUN_CREDIT:
		wire_put_query_credit(&b, a->run, a->parts, false);
		break;
	case DISPATCH_ACTION_RUN_CANCEL:
		wire_put_query_word(&b, WIRE_QUERY_CANCEL, a->run);
		break;
	default:
		break;
	}
	link_send(n, a->link, &b);
	buf_fini(&b);
}

/* A way is found after a while, if there is one, mostly. */
static void
way_found(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct later *l = data;
	struct dispatch_event e = { .type = DISPATCH_EVENT_WAY,
				    .node = w->nodes[l->to].id };

	if (later_is_void(l))
		return;
	if (!sim_once_in(sim, 3))
		e.link = (uint64_t)w->link[l->node->index][l->to];
	node_step(l->node, &e);
}

static void
way_find(struct node *n, const struct dispatch_action *a)
{
	struct world *w = n->world;
	struct later *l = later_new(n, 0);

	while (!id_equal(&w->nodes[l->to].id, &a->node))
		l->to++;
	later(w, (ms_t)sim_below(&w->sim, 1000), way_found, l);
}

static void
node_do(struct node *n, const struct dispatch_action *a)
{
	uint64_t words[] = {
		(uint64_t)n->index, (uint64_t)a->type, a->link, a->query, a->run,
		a->data.len
	};

	sim_note(&n->world->sim, words, sizeof(words));
	if (a->type == DISPATCH_ACTION_WAY)
		way_find(n, a);
	else if (a->type == DISPATCH_ACTION_PROBE || a->type == DISPATCH_ACTION_PULL)
		word_do(n, a);
	else if (a->link != 0)
		peer_do(n, a);
	else if (a->type >= DISPATCH_ACTION_RUN_OPEN)
		worker_do(n, a);
	else
		client_do(n, a);
}

static void
node_tick(struct sim *sim, void *arg, void *data)
{
	struct node *n = arg;
	struct dispatch_event e = { .type = DISPATCH_EVENT_TICK };

	(void)data;
	if (!n->is_running || n->tick_at != sim->now)
		return;
	n->tick_at = 0;
	node_step(n, &e);
}

void
node_step(struct node *n, struct dispatch_event *e)
{
	struct sim *sim = &n->world->sim;
	struct dispatch_stats stats;
	struct dispatch_action a;
	ms_t due;

	dispatch_step(n->dispatch, sim->now, e);
	if (n->is_pumping)
		return;
	n->is_pumping = true;
	while (dispatch_next(n->dispatch, &a))
		node_do(n, &a);
	n->is_pumping = false;
	dispatch_stats(n->dispatch, &stats);
	CU_ASSERT(stats.buffered_bytes <= 2 * BUFFER_BYTES);
	due = dispatch_due(n->dispatch);
	if (due >= 0 && (n->tick_at == 0 || due < n->tick_at)) {
		n->tick_at = due > sim->now ? due : sim->now;
		sim_at(sim, n->tick_at, node_tick, n, NULL);
	}
}

void
node_tick_now(struct node *n)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_TICK };

	node_step(n, &e);
}

static void
node_start(struct node *n)
{
	struct dispatch_config config = {
		.self = n->id,
		.seed = rng_next(&n->world->sim.rng),
		.queue_max = 6,
		.buffer_bytes_max = BUFFER_BYTES,
		.retries = 2,
		.body_bytes_max = 64 * 1024 * 1024,
		.policy = n->world->policy,
	};

	if (n->is_running)
		return;
	n->is_running = true;
	n->life++;
	n->tick_at = n->drains_since = 0;
	n->dispatch = dispatch_new(&config);
	for (int i = 0; i < WORKERS_MAX; i++)
		n->workers[i] = (struct worker){ .world = n->world, .node = n->index };
	for (int i = 0; i < n->world->nodes_len; i++)
		link_make(n->world, n->index, i);
}

static void
node_crash(struct node *n)
{
	struct world *w = n->world;

	if (!n->is_running)
		return;
	for (int i = 0; i < w->nodes_len; i++)
		link_cut(w, n->index, i);
	dispatch_free(n->dispatch);
	n->dispatch = NULL;
	n->is_running = false;
}

/* Begin, or end. */
static void
node_drain(struct node *n)
{
	struct dispatch_event e = { .type = DISPATCH_EVENT_DRAIN };

	if (!n->is_running)
		return;
	n->drains_since = n->drains_since == 0 ? n->world->sim.now : 0;
	e.is_draining = n->drains_since != 0;
	node_step(n, &e);
}

/* What happens. */

static void
world_ask(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct node *n = &w->nodes[sim_below(sim, (uint64_t)w->nodes_len)];
	struct asked *q = &w->queries[w->queries_len];
	struct dispatch_candidate candidates[NODES_MAX];
	char id[16], service[] = "a", method[] = "POST", path[] = "/";
	struct query_head head = {
		.request_id = id, .service = service, .method = method, .path = path
	};
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .head = &head,
				    .candidates = candidates };

	(void)data;
	if (w->queries_len == QUERIES_MAX)
		return;
	sim_at(sim, sim->now + (ms_t)sim_below(sim, w->is_tame || w->is_slow ? 500 : 150),
	       world_ask, w, NULL);
	if (!n->is_running)
		return;
	head.timeout_ms = 1 + (ms_t)sim_below(sim, w->is_tame ? 600000 : 30000);
	if (w->is_tame)
		head.timeout_ms += 10 * MS_MINUTE;
	*q = (struct asked){ .index = w->queries_len++,
			     .node = n->index,
			     .life = n->life,
			     .granted = LIMIT_PARTS_WINDOW,
			     .is_idempotent = sim_once_in(sim, 2),
			     .parts = (int)sim_below(sim, BODY_PARTS_MAX),
			     .deadline = sim->now + head.timeout_ms,
			     .reads_never = !w->is_tame && sim_once_in(sim, 15) };
	for (int i = 0; i < q->parts; i++) {
		q->body_bytes += body_part_len(q->index, i);
		q->body_sum += body_part_len(q->index, i) * (uint64_t)i;
	}
	snprintf(id, sizeof(id), "q%d", q->index);
	service[0] = sim_once_in(sim, 2) ? 'a' : 'b';
	head.is_idempotent = q->is_idempotent;
	head.body_len = q->parts > 0 && sim_once_in(sim, 2) ? -1 : (int64_t)q->body_bytes;
	e.query = (uint64_t)q->index;
	e.candidates_len = node_candidates(n, -1, candidates);
	node_step(n, &e);
	client_feed_later(n, q);
	if (!w->is_tame && sim_once_in(sim, 10)) {
		struct later *l = later_new(n, 0);

		l->asked = q;
		later(w, (ms_t)sim_below(sim, 5000), client_leave, l);
	}
}

static void
world_fault(struct sim *sim, void *arg, void *data)
{
	struct world *w = arg;
	struct node *n = &w->nodes[sim_below(sim, (uint64_t)w->nodes_len)];
	struct worker *k = &n->workers[sim_below(sim, WORKERS_MAX)];
	int other = (int)sim_below(sim, (uint64_t)w->nodes_len);
	struct dispatch_event bus = { .type = DISPATCH_EVENT_BUS_DOWN };

	(void)data;
	if (w->is_quiet)
		return;
	switch (sim_below(sim, 26)) {
	case 0:
		node_crash(n);
		break;
	case 1:
	case 2:
		link_cut(w, n->index, other);
		break;
	case 3:
		if (!n->is_running)
			break;
		node_tick_now(n);
		for (int i = 0; i < WORKERS_MAX; i++)
			n->workers[i].number = 0;
		node_step(n, &bus);
		break;
	case 4:
	case 5:
	case 6:
		worker_stop(n, k);
		break;
	case 7:
	case 8:
		node_start(n);
		break;
	case 9:
	case 10:
	case 11:
	case 12:
		link_make(w, n->index, other);
		break;
	case 13:
	case 14:
		node_drain(n);
		break;
	default:
		worker_start(w, n, k);
		break;
	}
	sim_at(sim, sim->now + (ms_t)sim_below(sim, 800), world_fault, w, NULL);
}

/* Runs. */

static void
world_check(struct world *w)
{
	for (int i = 0; i < w->queries_len; i++) {
		struct asked *q = &w->queries[i];
		struct node *n = &w->nodes[q->node];
		bool is_lost = q->has_left || !n->is_running || n->life != q->life;

		if (is_lost ? q->ends > 1 : q->ends != 1)
			tap_note("query %d ended %d times", i, q->ends);
		CU_ASSERT(is_lost ? q->ends <= 1 : q->ends == 1);
		if (w->is_tame && q->status != 0 && q->status != 503)
			tap_note("query %d: %d", i, q->status);
		CU_ASSERT(!w->is_tame || q->status == 0 || q->status == 503);
	}
	for (int i = 0; i < w->nodes_len; i++) {
		struct dispatch_stats s;

		if (!w->nodes[i].is_running)
			continue;
		dispatch_stats(w->nodes[i].dispatch, &s);
		w->onward += s.onward;
		w->given += s.given;
		if (s.queries + s.queued + s.running + s.forwarded != 0)
			tap_note(
				"node %d: %d queries, %d queued, %d running, %d forwarded",
				i, s.queries, s.queued, s.running, s.forwarded);
		CU_ASSERT(s.queries == 0 && s.queued == 0);
		CU_ASSERT(s.running == 0 && s.forwarded == 0);
		CU_ASSERT(s.buffered_bytes == 0);
		CU_ASSERT(dispatch_due(w->nodes[i].dispatch) == -1);
	}
}

struct outcome
world_run(uint64_t seed, int nodes, bool is_tame)
{
	/* All policies have their turn, ours the most. */
	static const enum dispatch_policy policies[] = { DISPATCH_RANDOM, DISPATCH_BEST,
							 DISPATCH_BEST, DISPATCH_BEST,
							 DISPATCH_LEAST_LOADED };
	struct world *w = mem_calloc(1, sizeof(*w));
	struct outcome out;

	sim_init(&w->sim, seed);
	w->nodes_len = nodes;
	w->is_tame = is_tame;
	w->policy = policies[seed % 5];
	w->is_slow = sim_once_in(&w->sim, 2);
	for (int i = 0; i < nodes; i++) {
		struct node *n = &w->nodes[i];

		n->world = w;
		n->index = i;
		memset(n->id.b, i + 1, ID_BYTES);
		node_start(n);
	}
	for (int i = 0; i < nodes; i++)
		for (int k = 0; k < (is_tame ? WORKERS_MAX : 2); k++)
			worker_start(w, &w->nodes[i], &w->nodes[i].workers[k]);
	sim_at(&w->sim, w->sim.now, world_ask, w, NULL);
	if (!is_tame)
		sim_at(&w->sim, w->sim.now, world_fault, w, NULL);
	sim_run(&w->sim, w->sim.now + 2 * MS_MINUTE);
	w->is_quiet = true;
	sim_run(&w->sim, w->sim.now + 30 * MS_MINUTE);
	world_check(w);
	out = (struct outcome){ .trace = w->sim.trace,
				.done = w->done,
				.asked = w->queries_len,
				.onward = w->onward,
				.given = w->given };
	memcpy(out.errors, w->errors, sizeof(out.errors));
	for (int i = 0; i < nodes; i++)
		dispatch_free(w->nodes[i].dispatch);
	sim_fini(&w->sim);
	free(w);
	return out;
}
