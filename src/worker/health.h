/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the HTTP server behind a worker can answer, and which models it has.
 *
 * It is asked again and again, one question at a time, each bounded in time and size:
 *
 *	asked for            how                         how often while all is well
 *	health, a path       GET it: 2xx is well         HEALTH_EVERY_MS
 *	models               GET /v1/models, a list of   HEALTH_MODELS_EVERY_MS, or after
 *	                     at least one model          each good health
 *	neither              a connection comes about    only after health_unreachable() or
 *	                                                 health_doubt()
 *
 * and every HEALTH_RETRY_MS while it is not. At the start it is not well until the first
 * answer, so that a worker may be started before its server. What changes is logged here.
 * Loop thread only. */
#ifndef OCF_WORKER_HEALTH_H
#define OCF_WORKER_HEALTH_H

#include <stdbool.h>

#include "net/loop.h"
#include "worker/models.h"
#include "worker/multi.h"
#include "worker/target.h"

enum {
	HEALTH_EVERY_MS = 3 * MS_SECOND,
	HEALTH_MODELS_EVERY_MS = 30 * MS_SECOND,
	HEALTH_RETRY_MS = MS_SECOND,
	HEALTH_TIMEOUT_MS = 5 * MS_SECOND, /* for one question, its answer read */
};

struct health;

struct health_config {
	const struct target *target;
	struct multi *multi;
	const char *path; /* --health; or NULL */
	bool wants_models;
	/* Something is not as it was when this was last called. `models` is NULL unless they
	 * are wanted, and the last ones known while the server is not well. */
	void (*changed)(void *arg, bool is_well, const struct models *models);
	void *arg;
};

/* Begins to ask. What `config` points to must outlive it. */
struct health *health_new(struct loop *loop, const struct health_config *config);
void health_free(struct health *health); /* NULL is allowed */
/* A query found out that it cannot be connected to: it is not well from now on. */
void health_unreachable(struct health *health, const char *why);
/* A query found something odd: ask now, at most once in HEALTH_RETRY_MS. */
void health_doubt(struct health *health);

#endif
