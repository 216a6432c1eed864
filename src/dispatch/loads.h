/* SPDX-License-Identifier: Apache-2.0 */
/* What this node knows of the load of others: for each service and node what that said last,
 * what was sent there since, and how it has fared. Words ride on replies and answer probes;
 * nothing is told to nobody in particular, so that a cluster without queries is silent.
 *
 * Bounded: LOADS_MAX in all, and the one that was not looked at for longest gives way. What is
 * forgotten or never was known costs a worse choice, never a wrong one. */
#ifndef OCF_DISPATCH_LOADS_H
#define OCF_DISPATCH_LOADS_H

#include "base/fasthash.h" /* first */

#include <uthash.h>

#include "dispatch/dispatch.h"

enum {
	LOADS_MAX = 8192,
	/* What was said longer ago says nothing of now but how long the service takes. */
	LOADS_OLD_MS = MS_SECOND,
	/* So many failures one after the other, and a node is left alone for a second, then
	 * for two, up to half a minute. */
	LOADS_FAILURES = 5,
	LOADS_EJECT_MS = MS_SECOND,
	LOADS_EJECT_MS_MAX = 30 * MS_SECOND,
	/* A node that is new, or was away, is drawn as often as others after so long. */
	LOADS_RAMP_MS = 10 * MS_SECOND,
	LOADS_AWAY_MS = 5 * MS_SECOND,
	/* When nobody has measured the service yet. */
	LOADS_MEAN_US = 100 * 1000,
	LOADS_MEAN_US_MIN = 100, /* clocks have milliseconds */
	LOADS_WEIGHT = 64, /* of the past in the smoothed time that a service takes, */
	LOADS_TOOK_WEIGHT = 8,	/* and that queries took which were sent there */
	LOADS_ERROR_ONE = 1024, /* errors: all of the latest */
	/* What an error costs, at most: as if the query took so much longer. */
	LOADS_ERROR_US = 5 * 1000 * 1000,
};

struct known;

/* A node, for a service. */
struct load {
	struct id node;
	UT_hash_handle hh;
	struct load *prev, *next; /* all, the one looked at last at the end */
	struct known *of;
	struct dispatch_load said;
	ms_t said_at; /* -1: never */
	int sent;     /* own since then */
	int in_flight;
	int error;	 /* smoothed, in LOADS_ERROR_ONE */
	int64_t took_us; /* smoothed time of own runs there; 0: none yet */
	int failures;
	ms_t ejected_ms, ejected_until;
	ms_t since, seen; /* as a candidate: first, last */
	ms_t probed_at;
	ms_t pull_after; /* it is not asked for a query before */
	int refusals;	 /* one after the other */
};

/* A service. */
struct known {
	uint64_t service; /* loads_key() */
	UT_hash_handle hh;
	struct load *nodes;
};

struct loads {
	struct known *services;
	struct load *all;
	int len;
};

uint64_t loads_key(const char *service);
void loads_fini(struct loads *loads);
/* Made if it is not there. */
struct load *loads_get(struct loads *loads, uint64_t service, const struct id *node,
		       ms_t now);
/* NULL: not there. */
struct load *loads_find(struct loads *loads, uint64_t service, const struct id *node);
struct known *loads_known(struct loads *loads, uint64_t service);
/* It is a candidate now; begins its ramp anew if it was not for long. */
void load_seen(struct load *l, ms_t now);
void load_said(struct load *l, const struct dispatch_load *said, ms_t now);
void load_sent(struct load *l);
/* One that was sent is over, after so long. Dropped: whoever asked wanted it no more, which says
 * nothing of the node. True: it is left alone from now on. */
enum load_outcome { LOAD_DONE, LOAD_FAILED, LOAD_DROPPED };
bool load_back(struct load *l, enum load_outcome outcome, ms_t took, ms_t now);
/* How long who failed again and again is left alone, after so long the last time (0: it was
 * not). */
ms_t loads_ejection(ms_t last);
/* How long the service takes there: as that node has it, or else as it seems from here, what
 * its queries waited included; 0: not known. */
int64_t load_mean_us(const struct load *l, ms_t now);
/* Queries that are ahead there, as far as is known. */
int load_ahead(const struct load *l, ms_t now);
bool load_is_fresh(const struct load *l, ms_t now);

/* What a query costs that comes behind `ahead` others, without the way. Waiting behind a fast
 * node delays all who come later as well: a wait counts so many times what it takes. */
enum { LOADS_WAIT_WEIGHT = 4 };
int64_t load_cost_us(int slots, int64_t mean_us, int ahead, int wait_weight);

#endif
