/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dispatch/tenants.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"

static int64_t
flow_charge(const struct tenants *t, int weight)
{
	int64_t cost = t->cost_us > TENANTS_COST_US_MIN ? t->cost_us
							: TENANTS_COST_US_MIN;

	return cost > weight ? cost / weight : 1;
}

static int64_t
later_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Shares. */

static struct share *
share_find(const struct tenants *t, const char *tenant)
{
	struct share *share;

	HASH_FIND_STR(t->shares, tenant, share);
	return share;
}

static struct share *
share_get(struct tenants *t, const char *tenant, int weight)
{
	struct share *share = share_find(t, tenant);

	if (share != NULL)
		return share;
	share = mem_calloc(1, sizeof(*share));
	share->name = mem_strdup(tenant);
	share->weight = weight;
	HASH_ADD_KEYPTR(hh, t->shares, share->name, strlen(share->name), share);
	return share;
}

static void
share_count(struct tenants *t, struct share *share, int n)
{
	bool was_waiting = share->len > 0;

	share->len += n;
	t->len += n;
	if (was_waiting == (share->len > 0))
		return;
	t->shares_len += was_waiting ? -1 : 1;
	t->weights += was_waiting ? -share->weight : share->weight;
}

/* Flows. */

static struct flow *
flow_find(const struct line *line, const struct share *share)
{
	struct flow *flow;

	if (share == NULL)
		return NULL;
	DL_FOREACH2(share->flows, flow, right)
	if (flow->line == line)
		return flow;
	return NULL;
}

static struct flow *
flow_get(struct line *line, struct share *share)
{
	struct flow *flow = flow_find(line, share);

	if (flow != NULL)
		return flow;
	flow = mem_calloc(1, sizeof(*flow));
	flow->line = line;
	flow->share = share;
	flow->start = line->now;
	DL_APPEND2(share->flows, flow, left, right);
	DL_APPEND(line->idle, flow);
	line->idle_len++;
	return flow;
}

/* An idle one is forgotten; what its turns take does not matter any more. */
static void
flow_drop(struct flow *flow)
{
	struct line *line = flow->line;
	struct share *share = flow->share;

	assert(flow->queue == NULL);
	DL_DELETE(line->idle, flow);
	line->idle_len--;
	DL_DELETE2(share->flows, flow, left, right);
	if (share->flows == NULL) {
		assert(share->len == 0);
		HASH_DEL(line->queue->shares, share);
		free(share->name);
		free(share);
	}
	flow->line = NULL;
	flow->share = NULL;
	if (flow->turns == 0)
		free(flow);
}

/* Does it still say something that one which begins anew would not? */
static bool
flow_matters(const struct flow *flow)
{
	return flow->turns > 0 || flow->start > flow->line->now;
}

/* In its place among those that wait. */
static void
flow_place(struct flow *flow)
{
	heap_set(&flow->line->flows, &flow->item, flow->start, flow->queue->turn);
}

/* It has something to wait now. */
static void
flow_wake(struct flow *flow)
{
	struct line *line = flow->line;

	DL_DELETE(line->idle, flow);
	line->idle_len--;
	flow->start = later_of(flow->start, line->now);
}

static void
flow_rest(struct flow *flow)
{
	struct line *line = flow->line;

	heap_remove(&line->flows, &flow->item);
	DL_APPEND(line->idle, flow);
	line->idle_len++;
}

/* Lines. */

static struct line *
line_find(const struct tenants *t, struct u128 key)
{
	struct line *line;

	HASH_FIND(hh, t->lines, &key, sizeof(key), line);
	return line;
}

static struct line *
line_get(struct tenants *t, struct u128 key)
{
	struct line *line = line_find(t, key);

	if (line != NULL)
		return line;
	line = mem_calloc(1, sizeof(*line));
	line->key = key;
	line->queue = t;
	HASH_ADD(hh, t->lines, key, sizeof(line->key), line);
	return line;
}

/* Forget who has nothing here and nothing to answer for; all, when nobody waits. */
static void
line_sweep(struct line *line)
{
	while (line->idle != NULL &&
	       (line->len == 0 || line->idle_len > TENANTS_IDLE_MAX ||
		!flow_matters(line->idle)))
		flow_drop(line->idle);
	if (line->len > 0)
		return;
	assert(line->flows.len == 0);
	HASH_DEL(line->queue->lines, line);
	heap_fini(&line->flows);
	free(line);
}

/* The queue. */

void
tenants_fini(struct tenants *t)
{
	assert(t->len == 0 && t->lines == NULL && t->shares == NULL);
	*t = (struct tenants){ 0 };
}

/* Mostly it is the latest of all. */
static void
flow_insert(struct flow *flow, struct waiting *w)
{
	struct waiting *before = flow->queue;

	if (before == NULL || before->turn > w->turn) {
		DL_PREPEND(flow->queue, w);
		return;
	}
	before = before->prev; /* the last */
	while (before->turn > w->turn)
		before = before->prev;
	DL_APPEND_ELEM(flow->queue, before, w);
}

void
tenants_put(struct tenants *t, struct waiting *w, const char *tenant, int weight,
	    struct u128 workers)
{
	struct flow *flow;

	assert(w->flow == NULL && w->turn != 0 && weight > 0);
	flow = flow_get(line_get(t, workers), share_get(t, tenant, weight));
	flow_insert(flow, w);
	w->flow = flow;
	if (flow->len++ == 0)
		flow_wake(flow);
	flow_place(flow);
	flow->line->len++;
	share_count(t, flow->share, 1);
}

static void
flow_unlink(struct waiting *w)
{
	struct flow *flow = w->flow;

	DL_DELETE(flow->queue, w);
	w->flow = NULL;
	flow->len--;
	flow->line->len--;
	share_count(flow->line->queue, flow->share, -1);
}

void
tenants_remove(struct waiting *w)
{
	struct flow *flow = w->flow;
	struct line *line = flow->line;

	flow_unlink(w);
	if (flow->len > 0)
		flow_place(flow);
	else
		flow_rest(flow);
	line_sweep(line);
}

void
tenants_take(struct waiting *w, uint64_t served, struct turn *ret_turn)
{
	struct flow *flow = w->flow;
	struct line *line = flow->line;
	bool is_next = heap_first(&line->flows) == &flow->item;
	int64_t charge = flow_charge(line->queue, flow->share->weight);

	flow->start += charge;
	flow->served = served;
	if (is_next) {
		line->now = flow->start;
		line->served = served;
	}
	if (ret_turn != NULL) {
		*ret_turn = (struct turn){ .flow = flow,
					   .weight = flow->share->weight,
					   .charged = charge,
					   .served = served };
		flow->turns++;
	}
	flow_unlink(w);
	if (flow->len > 0)
		flow_place(flow);
	else
		flow_rest(flow);
	line_sweep(line);
}

/* It took so much more or less than was charged. */
static void
turn_end(struct turn *turn, int64_t more)
{
	struct flow *flow = turn->flow;

	turn->flow = NULL;
	flow->turns--;
	if (flow->line == NULL) {
		if (flow->turns == 0)
			free(flow);
		return;
	}
	flow->start += more;
	if (flow->line->served == turn->served)
		flow->line->now += more;
	if (flow->len > 0)
		flow_place(flow);
	else if (!flow_matters(flow))
		flow_drop(flow);
}

void
tenants_done(struct turn *turn, int64_t took_us)
{
	if (turn->flow == NULL)
		return;
	if (took_us < TENANTS_COST_US_MIN)
		took_us = TENANTS_COST_US_MIN;
	turn_end(turn, took_us / turn->weight - turn->charged);
}

void
tenants_back(struct turn *turn)
{
	if (turn->flow != NULL)
		turn_end(turn, -turn->charged);
}

struct waiting *
tenants_next(const struct line *line)
{
	return ((struct flow *)heap_first(&line->flows))->queue;
}

static uint64_t
waiting_since(const struct waiting *w)
{
	return w->turn > w->flow->served ? w->turn : w->flow->served;
}

bool
tenants_is_before(const struct waiting *a, const struct waiting *b)
{
	uint64_t since_a = waiting_since(a), since_b = waiting_since(b);

	return since_a < since_b || (since_a == since_b && a->turn < b->turn);
}

int
tenants_len(const struct tenants *t, const char *tenant)
{
	const struct share *share = share_find(t, tenant);

	return share != NULL ? share->len : 0;
}

int
tenants_fair(const struct tenants *t, const char *tenant, int weight, int max)
{
	int weights = t->weights;
	int64_t fair;

	if (tenants_len(t, tenant) == 0)
		weights += weight;
	fair = (int64_t)max * weight / weights;
	return fair > 0 ? (int)fair : 1;
}

/* Of a flow, those that go before one that starts then. */
static int
flow_ahead(const struct flow *flow, int64_t start)
{
	int64_t n;

	if (flow->start > start)
		return 0;
	n = (start - flow->start) / flow_charge(flow->line->queue, flow->share->weight) +
	    1;
	return n < flow->len ? (int)n : flow->len;
}

int
tenants_ahead(const struct tenants *t, const char *tenant, int weight,
	      struct u128 workers)
{
	const struct line *line = line_find(t, workers);
	const struct flow *own;
	int64_t start;
	int ahead = 0;

	if (line == NULL)
		return 0;
	own = flow_find(line, share_find(t, tenant));
	if (own == NULL)
		start = line->now;
	else if (own->len == 0)
		start = later_of(line->now, own->start);
	else
		start = own->start + own->len * flow_charge(t, weight);
	for (int i = 1; i <= line->flows.len; i++) {
		const struct flow *flow = (const struct flow *)line->flows.items[i];

		ahead += flow == own ? own->len : flow_ahead(flow, start);
	}
	return ahead;
}

struct waiting *
tenants_most(const struct tenants *t)
{
	const struct share *most = NULL;
	const struct flow *flow;
	struct waiting *latest = NULL;

	for (const struct share *s = t->shares; s != NULL; s = s->hh.next)
		if (most == NULL ||
		    (int64_t)s->len * most->weight > (int64_t)most->len * s->weight)
			most = s;
	if (most == NULL)
		return NULL;
	DL_FOREACH2(most->flows, flow, right)
	if (flow->queue != NULL &&
	    (latest == NULL || flow->queue->prev->turn > latest->turn))
		latest = flow->queue->prev;
	return latest;
}

static int
waiting_compare(const void *a, const void *b)
{
	const struct waiting *const *left = a, *const *right = b;

	return (*left)->turn < (*right)->turn ? -1 : (*left)->turn > (*right)->turn;
}

struct waiting **
tenants_list(const struct tenants *t)
{
	struct waiting **list = mem_calloc((size_t)t->len, sizeof(struct waiting *)), *w;
	int n = 0;

	for (const struct line *line = t->lines; line != NULL; line = line->hh.next)
		for (int i = 1; i <= line->flows.len; i++) {
			const struct flow *flow = (const struct flow *)
							  line->flows.items[i];

			DL_FOREACH (flow->queue, w)
				list[n++] = w;
		}
	assert(n == t->len);
	if (n > 1)
		qsort(list, (size_t)n, sizeof(struct waiting *), waiting_compare);
	return list;
}

/* Walks. Of each line the time is its own: starts are compared by how far ahead of it they are. */

void
tenants_walk_begin(struct tenants_walk *walk, const struct tenants *t)
{
	walk->len = walk->steps = 0;
	for (const struct line *line = t->lines; line != NULL; line = line->hh.next)
		for (int i = 1; i <= line->flows.len && walk->len < TENANTS_WALK_MAX;
		     i++) {
			const struct flow *flow = (const struct flow *)
							  line->flows.items[i];

			walk->at[walk->len] = flow->queue;
			walk->starts[walk->len++] = flow->start - line->now;
		}
}

struct waiting *
tenants_walk_next(struct tenants_walk *walk)
{
	struct waiting *w;
	int least = 0;

	if (walk->len == 0 || walk->steps == TENANTS_WALK_MAX)
		return NULL;
	walk->steps++;
	for (int i = 1; i < walk->len; i++)
		if (walk->starts[i] < walk->starts[least] ||
		    (walk->starts[i] == walk->starts[least] &&
		     walk->at[i]->turn < walk->at[least]->turn))
			least = i;
	w = walk->at[least];
	walk->starts[least] += flow_charge(w->flow->line->queue, w->flow->share->weight);
	walk->at[least] = w->next;
	if (w->next == NULL) {
		walk->len--;
		walk->at[least] = walk->at[walk->len];
		walk->starts[least] = walk->starts[walk->len];
	}
	return w;
}

/* Names. */

static bool
tenant_is_of_one_machine(const char *tenant)
{
	return strncmp(tenant, "uid:", 4) == 0 || strncmp(tenant, "addr:127.", 9) == 0 ||
	       strcmp(tenant, "addr:::1") == 0;
}

void
tenants_name(const char *tenant, const struct id *self, const struct id *from,
	     char ret[QUERY_TENANT_BYTES_MAX + 1])
{
	const struct id *node = id_is_zero(from) ? self : from;
	char text[ID_TEXT_SIZE];

	if (tenant == NULL)
		snprintf(ret, QUERY_TENANT_BYTES_MAX + 1, "node:%s", id_text(node, text));
	else if (tenant_is_of_one_machine(tenant) && strchr(tenant, '@') == NULL)
		snprintf(ret, QUERY_TENANT_BYTES_MAX + 1, "%s@%.8s", tenant,
			 id_text(node, text));
	else
		snprintf(ret, QUERY_TENANT_BYTES_MAX + 1, "%s", tenant);
}
