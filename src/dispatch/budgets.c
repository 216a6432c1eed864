/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dispatch/budgets.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"

enum { TOKEN = 1000, UNREAD_MAX = 16 };

static void
budgets_drop(struct budgets *budgets, struct budget *b)
{
	DL_DELETE(budgets->all, b);
	HASH_DEL(budgets->services, b);
	budgets->len--;
	free(b);
}

void
budgets_fini(struct budgets *budgets)
{
	while (budgets->all != NULL)
		budgets_drop(budgets, budgets->all);
}

struct budget *
budgets_get(struct budgets *budgets, uint64_t service, ms_t now)
{
	struct budget *b;

	HASH_FIND(hh, budgets->services, &service, sizeof(service), b);
	if (b != NULL) {
		if (b->next != NULL) {
			DL_DELETE(budgets->all, b);
			DL_APPEND(budgets->all, b);
		}
		return b;
	}
	if (budgets->len == BUDGETS_MAX)
		budgets_drop(budgets, budgets->all);
	b = mem_calloc(1, sizeof(*b));
	b->service = service;
	b->retries = (int64_t)BUDGET_RETRY_RESERVE * TOKEN;
	b->at = now;
	b->p95 = -1;
	HASH_ADD(hh, budgets->services, service, sizeof(b->service), b);
	DL_APPEND(budgets->all, b);
	budgets->len++;
	return b;
}

/* Tokens. */

static void
budget_pay(int64_t *tokens, int percent, int64_t max)
{
	*tokens += (int64_t)percent * TOKEN / 100;
	if (*tokens > max * TOKEN)
		*tokens = max * TOKEN;
}

void
budget_query(struct budget *b, int hedge_percent)
{
	budget_pay(&b->retries, BUDGET_RETRY_PERCENT, BUDGET_RETRY_MAX);
	budget_pay(&b->hedges, hedge_percent, BUDGET_HEDGE_MAX);
}

static bool
budget_take(int64_t *tokens)
{
	if (*tokens < TOKEN)
		return false;
	*tokens -= TOKEN;
	return true;
}

bool
budget_retry(struct budget *b, ms_t now)
{
	int64_t reserve = (int64_t)BUDGET_RETRY_RESERVE * TOKEN;
	int64_t more = (now - b->at) * BUDGET_RETRY_PER_S * TOKEN / MS_SECOND;

	b->at = now;
	if (b->retries < reserve)
		b->retries = more < reserve - b->retries ? b->retries + more : reserve;
	return budget_take(&b->retries);
}

bool
budget_hedge(struct budget *b)
{
	return budget_take(&b->hedges);
}

bool
budget_has_hedge(const struct budget *b)
{
	return b->hedges >= TOKEN;
}

/* The histogram: 0 … 7 have a bin each, and every octave after that has eight. */

static int
bin_of(ms_t took)
{
	int octave = 0;
	int64_t v = took > 0 ? took : 0;

	while (v >= 16) {
		v /= 2;
		octave++;
	}
	v += (int64_t)octave * 8;
	return v < BUDGET_BINS ? (int)v : BUDGET_BINS - 1;
}

/* The least that is beyond it. */
static ms_t
bin_end(int bin)
{
	int octave = bin < 16 ? 0 : bin / 8 - 1;

	return (ms_t)(bin - octave * 8 + 1) << octave;
}

static void
budget_forget(struct budget *b)
{
	b->seen = 0;
	for (int i = 0; i < BUDGET_BINS; i++) {
		b->bins[i] /= 2;
		b->seen += b->bins[i];
	}
}

static void
budget_read(struct budget *b)
{
	int beyond = 0, bin = BUDGET_BINS;

	b->unread = 0;
	while (bin > 0 && (beyond + b->bins[bin - 1]) * 20 <= b->seen)
		beyond += b->bins[--bin];
	b->p95 = bin_end(bin > 0 ? bin - 1 : 0);
}

void
budget_seen(struct budget *b, ms_t took)
{
	b->bins[bin_of(took)]++;
	if (++b->seen == BUDGET_SEEN_MAX)
		budget_forget(b);
	if (++b->unread >= UNREAD_MAX && b->seen >= BUDGET_SEEN_MIN)
		budget_read(b);
}

ms_t
budget_hedge_after(const struct budget *b)
{
	if (b->p95 < 0)
		return -1;
	return b->p95 > BUDGET_HEDGE_MS_MIN ? b->p95 : BUDGET_HEDGE_MS_MIN;
}
