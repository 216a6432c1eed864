/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons that people asked for (`ocf-sync compare`, `run`): each has a number, and is
 * asked about by it until it has ended. Bounded: so many are under way, and so many that have
 * ended are still known. One that nobody asks about any more is nobody's. Time is the
 * loop's. */
#ifndef OCF_DAEMON_REQUESTS_H
#define OCF_DAEMON_REQUESTS_H

#include <jansson.h>

#include "base/clock.h"
#include "sync/sync.h"

enum {
	REQUESTS_MAX = 16,	/* under way, */
	REQUESTS_KEPT_MAX = 16, /* and finished ones that may still be asked about, */
	REQUESTS_KEPT_MS = 10 * MS_MINUTE, /* for so long */
	/* Who asked looks every 100 ms; until then it is as good as under way. */
	REQUESTS_TOLD_MS = 2 * MS_SECOND,
	REQUESTS_ASKED_MS = 30 *
			    MS_SECOND, /* nobody asked about it: nobody waits for it */
};

struct request {
	uint64_t number;
	bool is_dry, is_done;
	bool is_told;	 /* its end, to somebody */
	bool is_seeking; /* a way to the node is looked for */
	struct id node;
	ms_t asked_ms; /* about, last */
	ms_t done_ms;
	struct sync_result result; /* once done */
	json_t *rows;		   /* those that differ; NULL before */
	struct request *prev, *next;
};

struct requests {
	struct request *list; /* in the order in which they ended; then the others */
	uint64_t last;	      /* number given */
};

void requests_fini(struct requests *rs);
/* NULL: there are too many; *ret_running says how many. */
struct request *requests_add(struct requests *rs, const struct id *node, bool is_dry,
			     ms_t now, int *ret_running);
struct request *requests_find(const struct requests *rs, uint64_t number);
/* One that looks for a way to the node (NULL: to any), or NULL. */
struct request *requests_seeking(const struct requests *rs, const struct id *node);
void requests_done(struct requests *rs, const struct sync_result *result, ms_t now);
/* One that nobody has asked about for REQUESTS_ASKED_MS, or NULL. */
struct request *requests_forsaken(const struct requests *rs, ms_t now);
/* What people are told; `progress` of one that is not done, NULL where there is none yet.
 * `name` is the other node's. */
json_t *request_json(struct request *r, const struct sync_result *progress,
		     const char *name);

#endif
