/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/sim.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

enum { SIM_MILLION = 1000000 };

struct sim_event {
	us_t at;
	uint64_t seq;
	sim_fn *fn;
	void *arg;
	void *data;
};

void
sim_init(struct sim *sim, uint64_t seed)
{
	*sim = (struct sim){ .now = MS_HOUR, .now_us = (us_t)MS_HOUR * 1000 };
	rng_init(&sim->rng, seed);
}

void
sim_fini(struct sim *sim)
{
	for (int i = 1; i <= sim->len; i++)
		free(sim->heap[i].data);
	free(sim->heap);
	*sim = (struct sim){ 0 };
}

static bool
sim_is_earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void
sim_at(struct sim *sim, ms_t at, sim_fn *fn, void *arg, void *data)
{
	sim_at_us(sim, at * 1000, fn, arg, data);
}

void
sim_at_us(struct sim *sim, us_t at, sim_fn *fn, void *arg, void *data)
{
	struct sim_event e = { at > sim->now_us ? at : sim->now_us, sim->next++, fn, arg,
			       data };
	int i;

	assert(sim->len < SIM_EVENTS_MAX);
	if (sim->len + 2 > sim->cap) {
		sim->cap = sim->cap * 2 + 64;
		sim->heap = mem_realloc(sim->heap, (size_t)sim->cap,
					sizeof(sim->heap[0]));
	}
	i = ++sim->len;
	while (i > 1 && sim_is_earlier(&e, &sim->heap[i / 2])) {
		sim->heap[i] = sim->heap[i / 2];
		i /= 2;
	}
	sim->heap[i] = e;
}

static struct sim_event
sim_take(struct sim *sim)
{
	struct sim_event first = sim->heap[1], e = sim->heap[sim->len--];
	int i = 1;

	while (2 * i <= sim->len) {
		int child = 2 * i;

		if (child < sim->len &&
		    sim_is_earlier(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!sim_is_earlier(&sim->heap[child], &e))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = e;
	return first;
}

struct sim_kept {
	sim_fn *fn;
	void *arg, *data;
	struct sim_kept *next;
};

bool
sim_keep(struct sim_process *p, sim_fn *fn, void *arg, const void *data, size_t len)
{
	struct sim_kept **at = &p->kept, *k;

	if (!p->is_frozen)
		return false;
	k = mem_calloc(1, sizeof(*k));
	k->fn = fn;
	k->arg = arg;
	k->data = len > 0 ? mem_dup(data, len) : NULL;
	while (*at != NULL)
		at = &(*at)->next;
	*at = k;
	return true;
}

/* The first of what is kept is the caller's. */
static struct sim_kept *
sim_kept_take(struct sim_process *p)
{
	struct sim_kept *k = p->kept;

	if (k != NULL)
		p->kept = k->next;
	return k;
}

static void
sim_thaw(struct sim *sim, void *arg, void *data)
{
	struct sim_process *p = arg;
	struct sim_kept *k;

	(void)data;
	if (p->until > sim->now)
		return; /* it was frozen once more meanwhile */
	p->is_frozen = false;
	while ((k = sim_kept_take(p)) != NULL) {
		k->fn(sim, k->arg, k->data);
		free(k->data);
		free(k);
	}
}

void
sim_freeze(struct sim *sim, struct sim_process *p, ms_t span)
{
	if (!p->is_frozen || p->until < sim->now + span)
		p->until = sim->now + span;
	p->is_frozen = true;
	sim_at(sim, p->until, sim_thaw, p, NULL);
}

void
sim_process_fini(struct sim_process *p)
{
	struct sim_kept *k;

	while ((k = sim_kept_take(p)) != NULL) {
		free(k->data);
		free(k);
	}
}

void
sim_run(struct sim *sim, ms_t until)
{
	while (sim->len > 0 && sim->heap[1].at <= until * 1000) {
		struct sim_event e = sim_take(sim);

		assert(e.at >= sim->now_us);
		sim->now_us = e.at;
		sim->now = e.at / 1000;
		sim->events++;
		sim_note_u64(sim, (uint64_t)e.at);
		e.fn(sim, e.arg, e.data);
		free(e.data);
	}
	sim->now = until;
	sim->now_us = until * 1000;
}

static us_t
sim_clock_at(const struct sim_clock *c, us_t moment)
{
	us_t span = moment - c->since;

	return c->at + span + span * c->ppm / SIM_MILLION;
}

ms_t
sim_clock_now(const struct sim *sim, const struct sim_clock *c)
{
	return sim_clock_at(c, sim->now_us) / 1000;
}

ms_t
sim_clock_when(const struct sim_clock *c, ms_t shown)
{
	us_t span = (shown * 1000 - c->at) * SIM_MILLION / (SIM_MILLION + c->ppm);
	ms_t at = (c->since + span) / 1000;

	while (sim_clock_at(c, at * 1000) < shown * 1000)
		at++;
	return at;
}

void
sim_clock_set_rate(const struct sim *sim, struct sim_clock *c, int ppm)
{
	assert(ppm > -SIM_MILLION / 2 && ppm < SIM_MILLION / 2);
	*c = (struct sim_clock){ .since = sim->now_us,
				 .at = sim_clock_at(c, sim->now_us),
				 .ppm = ppm };
}

void
sim_note(struct sim *sim, const void *data, size_t len)
{
	sim->trace = hash64(bytes_of(data, len), sim->trace);
}

void
sim_note_u64(struct sim *sim, uint64_t v)
{
	sim_note(sim, &v, sizeof(v));
}

uint64_t
sim_below(struct sim *sim, uint64_t n)
{
	return rng_below(&sim->rng, n);
}

bool
sim_once_in(struct sim *sim, uint64_t n)
{
	return rng_below(&sim->rng, n) == 0;
}
