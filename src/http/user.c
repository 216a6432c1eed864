/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket holds millionths of requests: `rate_milli` of them flow in each millisecond. */
#include "config.h"

#include "http/user.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	USER_REQUEST = 1000 * 1000, /* of the bucket */
	USER_SMOOTHING = 8, /* requests over which the time that one takes is smoothed */
};

struct user {
	int refs;
	struct tokens_entry e;
	int64_t level; /* of the bucket, at: */
	ms_t filled_at;
	int64_t running;
	double took_ms; /* a request, smoothed; 0: none has ended yet */
	/* NULL until he is counted for the first time. */
	uint64_t *requests, *refused_rate, *refused_concurrency, *refused_service;
	double *running_gauge;
};

static int64_t
user_bucket(const struct user *u)
{
	return tokens_burst(&u->e) * USER_REQUEST;
}

struct user *
user_new(struct tokens_entry *e, ms_t now)
{
	struct user *u = mem_calloc(1, sizeof(*u));

	u->refs = 1;
	u->e = *e;
	*e = (struct tokens_entry){ .line = 0 };
	u->level = user_bucket(u);
	u->filled_at = now;
	return u;
}

struct user *
user_ref(struct user *u)
{
	u->refs++;
	return u;
}

void
user_unref(struct user *u)
{
	if (u == NULL || --u->refs > 0)
		return;
	assert(u->running == 0);
	tokens_entry_fini(&u->e);
	free(u);
}

static void
user_fill(struct user *u, ms_t now)
{
	int64_t room = user_bucket(u) - u->level;
	ms_t passed = now - u->filled_at;

	u->filled_at = now;
	if (u->e.rate_milli == 0 || room <= 0)
		return;
	/* Divided, for a long time times a high rate is more than a number holds. */
	u->level += passed > room / u->e.rate_milli ? room : passed * u->e.rate_milli;
}

void
user_set_limits(struct user *u, struct tokens_entry *e, ms_t now)
{
	bool had_rate = u->e.rate_milli > 0;

	user_fill(u, now);
	tokens_entry_fini(&u->e);
	u->e = *e;
	*e = (struct tokens_entry){ .line = 0 };
	if (!had_rate || u->level > user_bucket(u))
		u->level = user_bucket(u);
}

const char *
user_name(const struct user *u)
{
	return u != NULL ? u->e.name : NULL;
}

int
user_share(const struct user *u)
{
	return u != NULL && u->e.share > 0 ? (int)u->e.share : 1;
}

/* ---- counting ---- */

void
user_counts_fini(struct user_counts *counts)
{
	for (int i = 0; i < counts->names_len; i++)
		free(counts->names[i]);
	counts->names_len = 0;
}

static const char *
user_label(struct user_counts *counts, const char *name)
{
	for (int i = 0; i < counts->names_len; i++)
		if (strcmp(counts->names[i], name) == 0)
			return name;
	if (counts->names_len == USER_LABELS_MAX)
		return "other";
	counts->names[counts->names_len++] = mem_strdup(name);
	return name;
}

static uint64_t *
user_refused_counter(struct metrics *m, const char *label, const char *reason)
{
	char *labels = metrics_labels("token", label, "reason", reason, (char *)NULL);
	uint64_t *counter = metrics_counter(
		m, "ocf_http_token_refused_total",
		"Requests with a token that went beyond what it allows, by token and "
		"reason.",
		labels);

	free(labels);
	return counter;
}

static void
user_find_counts(struct user *u, struct user_counts *counts)
{
	const char *label;
	char *labels;

	if (u->requests != NULL)
		return;
	label = user_label(counts, u->e.name);
	labels = metrics_labels("token", label, (char *)NULL);
	u->requests = metrics_counter(counts->metrics, "ocf_http_token_requests_total",
				      "Requests with a token that were let in, by token.",
				      labels);
	u->running_gauge = metrics_gauge(counts->metrics, "ocf_http_token_running",
					 "Those that run, by token.", labels);
	free(labels);
	u->refused_rate = user_refused_counter(counts->metrics, label, "rate");
	u->refused_concurrency = user_refused_counter(counts->metrics, label,
						      "concurrency");
	u->refused_service = user_refused_counter(counts->metrics, label, "service");
}

/* ---- limits ---- */

static int
user_seconds(double ms)
{
	double s = ms / MS_SECOND;

	if (s >= INT32_MAX)
		return INT32_MAX;
	return s <= 1 ? 1 : (int)s + ((double)(int)s < s);
}

/* All places are taken: when is one free, if what runs takes as long as before? */
static int
user_wait_s(const struct user *u)
{
	int s = user_seconds(u->took_ms / (double)u->e.concurrency);

	return s < USER_RETRY_S_MAX ? s : USER_RETRY_S_MAX;
}

int
user_enter(struct user *u, struct user_counts *counts, ms_t now, int *ret_retry_after_s,
	   struct errmsg *err)
{
	const struct tokens_entry *e = &u->e;

	user_find_counts(u, counts);
	if (e->concurrency > 0 && u->running >= e->concurrency) {
		(*u->refused_concurrency)++;
		*ret_retry_after_s = user_wait_s(u);
		error_set(err, 0,
			  "the token %s may have %lld request%s under way at the same "
			  "time",
			  e->name, (long long)e->concurrency,
			  e->concurrency == 1 ? "" : "s");
		return 429;
	}
	user_fill(u, now);
	if (e->rate_milli > 0 && u->level < USER_REQUEST) {
		(*u->refused_rate)++;
		*ret_retry_after_s = user_seconds((double)(USER_REQUEST - u->level) /
						  (double)e->rate_milli);
		error_set(err, 0,
			  "the token %s may send %g requests a second, and %lld at once",
			  e->name, (double)e->rate_milli / 1000,
			  (long long)tokens_burst(e));
		return 429;
	}
	if (e->rate_milli > 0)
		u->level -= USER_REQUEST;
	u->running++;
	(*u->requests)++;
	(*u->running_gauge)++;
	return 0;
}

void
user_leave(struct user *u, ms_t took)
{
	assert(u->running > 0);
	u->running--;
	(*u->running_gauge)--;
	u->took_ms += u->took_ms == 0 ? (double)took
				      : ((double)took - u->took_ms) / USER_SMOOTHING;
}

int
user_check_service(struct user *u, struct user_counts *counts, const char *service,
		   struct errmsg *err)
{
	if (u == NULL || u->e.services_len == 0)
		return 0;
	for (int i = 0; i < u->e.services_len; i++)
		if (strcmp(u->e.services[i], service) == 0)
			return 0;
	user_find_counts(u, counts);
	(*u->refused_service)++;
	error_set(err, 0, "the token %s is not for the service %s", u->e.name, service);
	return 403;
}
