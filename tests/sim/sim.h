/* SPDX-License-Identifier: Apache-2.0 */
/* A world in virtual time for the sans-io cores: events in the order of (time, arrival), one
 * source of randomness, and a running hash of everything that happened. A run is its seed:
 * the same seed gives the same hash, or something depends on what it must not (pointers,
 * hash order, memory that was never written). */
#ifndef OCF_TESTS_SIM_SIM_H
#define OCF_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/rng.h"

struct sim;
struct sim_event;

enum { SIM_EVENTS_MAX = 1 << 26 }; /* that wait; more are a world that feeds itself */

typedef int64_t us_t; /* microseconds of virtual time */

/* `data` is freed after the call. */
typedef void sim_fn(struct sim *sim, void *arg, void *data);

struct sim {
	ms_t now;	 /* what cores are told */
	us_t now_us;	 /* the same moment, finer */
	uint64_t events; /* that have happened */
	uint64_t trace;
	struct rng rng;
	uint64_t next;
	struct sim_event *heap; /* [1 … len] */
	int len, cap;
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_fini(struct sim *sim); /* frees the data of what has not happened */
/* Call fn(arg, data) at that moment, after all that was asked for before for the same one.
 * Takes `data` (from malloc; may be NULL). */
void sim_at(struct sim *sim, ms_t at, sim_fn *fn, void *arg, void *data);
void sim_at_us(struct sim *sim, us_t at, sim_fn *fn, void *arg, void *data);
/* A process that may stand still: what happens to it meanwhile is kept, in order. */
struct sim_process {
	bool is_frozen;
	ms_t until; /* frozen: when it goes on */
	struct sim_kept *kept;
};
void sim_freeze(struct sim *sim, struct sim_process *p, ms_t span);
/* Called first by a sim_fn of the process: true when it stands still, and the call with a
 * copy of `data` is repeated when it goes on. */
bool sim_keep(struct sim_process *p, sim_fn *fn, void *arg, const void *data, size_t len);
void sim_process_fini(struct sim_process *p);
/* Until nothing is left or the next event is later than `until`; then it is `until`. */
void sim_run(struct sim *sim, ms_t until);
/* A clock that runs by itself, `ppm` millionths too fast; zero shows the world's time. */
struct sim_clock {
	us_t since, at; /* then it showed that */
	int ppm;
};
ms_t sim_clock_now(const struct sim *sim, const struct sim_clock *c);
/* When it shows that, or more, if its rate stays. */
ms_t sim_clock_when(const struct sim_clock *c, ms_t shown);
/* From now on; what it shows goes on from where it is. */
void sim_clock_set_rate(const struct sim *sim, struct sim_clock *c, int ppm);
/* Add to the trace. */
void sim_note(struct sim *sim, const void *data, size_t len);
void sim_note_u64(struct sim *sim, uint64_t v);
/* A number in [0, n). */
uint64_t sim_below(struct sim *sim, uint64_t n);
/* True once in n times. */
bool sim_once_in(struct sim *sim, uint64_t n);

#endif
