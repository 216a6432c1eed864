/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dispatch/loads.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/hash.h"
#include "base/mem.h"

uint64_t
loads_key(const char *service)
{
	return hash64(bytes_of(service, strlen(service)), 0);
}

struct known *
loads_known(struct loads *loads, uint64_t service)
{
	struct known *k;

	HASH_FIND(hh, loads->services, &service, sizeof(service), k);
	return k;
}

static void
loads_drop(struct loads *loads, struct load *l)
{
	struct known *k = l->of;

	DL_DELETE(loads->all, l);
	HASH_DEL(k->nodes, l);
	loads->len--;
	free(l);
	if (k->nodes == NULL) {
		HASH_DEL(loads->services, k);
		free(k);
	}
}

void
loads_fini(struct loads *loads)
{
	while (loads->all != NULL)
		loads_drop(loads, loads->all);
}

struct load *
loads_find(struct loads *loads, uint64_t service, const struct id *node)
{
	struct known *k = loads_known(loads, service);
	struct load *l = NULL;

	if (k != NULL)
		HASH_FIND(hh, k->nodes, node, sizeof(*node), l);
	return l;
}

struct load *
loads_get(struct loads *loads, uint64_t service, const struct id *node, ms_t now)
{
	struct load *l = loads_find(loads, service, node);
	struct known *k;

	if (l != NULL) {
		if (l->next != NULL) {
			DL_DELETE(loads->all, l);
			DL_APPEND(loads->all, l);
		}
		return l;
	}
	if (loads->len == LOADS_MAX)
		loads_drop(loads, loads->all);
	k = loads_known(loads, service);
	if (k == NULL) {
		k = mem_calloc(1, sizeof(*k));
		k->service = service;
		HASH_ADD(hh, loads->services, service, sizeof(k->service), k);
	}
	l = mem_calloc(1, sizeof(*l));
	l->node = *node;
	l->of = k;
	l->said_at = l->probed_at = -1;
	l->since = l->seen = now;
	HASH_ADD(hh, k->nodes, node, sizeof(l->node), l);
	DL_APPEND(loads->all, l);
	loads->len++;
	return l;
}

void
load_seen(struct load *l, ms_t now)
{
	if (now - l->seen > LOADS_AWAY_MS)
		l->since = now;
	l->seen = now;
}

void
load_said(struct load *l, const struct dispatch_load *said, ms_t now)
{
	l->said = *said;
	l->said_at = now;
	l->sent = 0;
}

void
load_sent(struct load *l)
{
	l->sent++;
	l->in_flight++;
}

ms_t
loads_ejection(ms_t last)
{
	if (last == 0)
		return LOADS_EJECT_MS;
	return 2 * last < LOADS_EJECT_MS_MAX ? 2 * last : LOADS_EJECT_MS_MAX;
}

bool
load_back(struct load *l, enum load_outcome outcome, ms_t took, ms_t now)
{
	bool is_failed = outcome == LOAD_FAILED;

	if (l->in_flight > 0)
		l->in_flight--;
	if (outcome == LOAD_DROPPED) {
		/* At least so long it would have taken. */
		if (l->took_us > 0 && took * 1000 > l->took_us)
			l->took_us += (took * 1000 - l->took_us) / LOADS_TOOK_WEIGHT;
		return false;
	}
	l->error += ((is_failed ? LOADS_ERROR_ONE : 0) - l->error) / 8;
	if (!is_failed) {
		l->took_us = l->took_us == 0 ? took * 1000 + 1
					     : l->took_us + (took * 1000 - l->took_us) /
								    LOADS_TOOK_WEIGHT;
		l->failures = 0;
		l->ejected_ms = 0;
		return false;
	}
	if (++l->failures < LOADS_FAILURES || l->ejected_until > now)
		return false;
	l->ejected_ms = loads_ejection(l->ejected_ms);
	l->ejected_until = l->since = now + l->ejected_ms;
	return true;
}

bool
load_is_fresh(const struct load *l, ms_t now)
{
	return l->said_at >= 0 && now - l->said_at <= LOADS_OLD_MS;
}

int64_t
load_mean_us(const struct load *l, ms_t now)
{
	bool is_told = l->said_at >= 0 && l->said.mean_us > 0;

	if (l->took_us > 0 && (!is_told || !load_is_fresh(l, now)))
		return l->took_us;
	return is_told ? l->said.mean_us : 0;
}

int
load_ahead(const struct load *l, ms_t now)
{
	int ahead = l->said.running + l->said.queued + l->sent;

	return load_is_fresh(l, now) && ahead > l->in_flight ? ahead : l->in_flight;
}

int64_t
load_cost_us(int slots, int64_t mean_us, int ahead, int wait_weight)
{
	int64_t over = (int64_t)ahead + 1 - slots;

	return mean_us + (over > 0 ? wait_weight * mean_us * over / slots : 0);
}
