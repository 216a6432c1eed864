/* SPDX-License-Identifier: Apache-2.0 */
/* How many attempts a service may have beyond the first of each query, and when a second one
 * is worth it.
 *
 * Two token buckets for each service. Every query pays a share of a token into each, and every
 * attempt beyond its first takes a whole one out: so, of many queries, retries are at most
 * BUDGET_RETRY_PERCENT and hedges as many as the caller allows, whatever fails. A service that
 * is down is not asked four times as much as one that is well. Retries have a reserve beside
 * that, which time alone refills: the death of one worker, with what it had, is no storm.
 * Hedges have none.
 *
 * And a histogram of how long first replies took, in steps of an eighth, of which half is
 * forgotten again and again: its 95th percentile is when a hedge is due. (Dean and Barroso,
 * "The tail at scale", 2013.)
 *
 * Bounded: BUDGETS_MAX services, and the one that was not asked for longest gives way. */
#ifndef OCF_DISPATCH_BUDGETS_H
#define OCF_DISPATCH_BUDGETS_H

#include "base/fasthash.h" /* first */

#include <stdbool.h>
#include <uthash.h>

#include "base/clock.h"

enum {
	BUDGETS_MAX = 1024,
	BUDGET_RETRY_PERCENT = 20,
	BUDGET_HEDGE_PERCENT = 2,
	/* Retries that are there without any query, and how many a second bring them back. */
	BUDGET_RETRY_RESERVE = 100,
	BUDGET_RETRY_PER_S = 10,
	/* The most that is saved up for bad times. */
	BUDGET_RETRY_MAX = 1000,
	BUDGET_HEDGE_MAX = 10,
	/* First replies that were seen before the percentile is believed, and those after
	 * which half are forgotten. */
	BUDGET_SEEN_MIN = 32,
	BUDGET_SEEN_MAX = 1024,
	/* No hedge before that: it would cost as much as it could gain. */
	BUDGET_HEDGE_MS_MIN = 5,
	BUDGET_BINS = 208, /* up to 2^28 ms; the rest is in the last */
};

struct budget {
	uint64_t service; /* loads_key() */
	UT_hash_handle hh;
	struct budget *prev, *next; /* all, the one asked last at the end */
	int64_t retries, hedges;    /* thousandths of a token */
	ms_t at;		    /* when the reserve was looked at */
	ms_t p95;		    /* -1: not known yet */
	int seen, unread;	    /* in the bins; since p95 was made */
	uint16_t bins[BUDGET_BINS];
};

struct budgets {
	struct budget *services;
	struct budget *all;
	int len;
};

void budgets_fini(struct budgets *budgets);
/* Made if it is not there. Valid until the next call of this. */
struct budget *budgets_get(struct budgets *budgets, uint64_t service, ms_t now);
/* A query has come; so many hedges for a hundred are allowed. */
void budget_query(struct budget *b, int hedge_percent);
/* May there be one more? Then it is taken. */
bool budget_retry(struct budget *b, ms_t now);
bool budget_hedge(struct budget *b);
bool budget_has_hedge(const struct budget *b);
/* A first reply came after so long, or an attempt was given up after so long without one. */
void budget_seen(struct budget *b, ms_t took);
/* So long after an attempt began a hedge is due; -1: not known. */
ms_t budget_hedge_after(const struct budget *b);

#endif
