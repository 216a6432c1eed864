/* SPDX-License-Identifier: Apache-2.0 */
/* One dispatch core, and what it said in the latest step. */
#ifndef OCF_TESTS_DISPATCH_DESK_H
#define OCF_TESTS_DISPATCH_DESK_H

#include "dispatch/dispatch.h"
#include "lib/tap.h"

enum { DESK_ACTIONS_MAX = 256 };

/* What an action said, without what it pointed to. */
struct desk_said {
	enum dispatch_action_type type;
	uint64_t link, query, run, worker;
	int parts, status, retry_after, attempt, hops;
	size_t len;
	bool is_last, is_final, is_taken;
	ms_t timeout;
	char text[200];
	char who[20];
	struct id relay_to;
};

struct desk {
	struct dispatch *dispatch;
	ms_t now;
	struct desk_said said[DESK_ACTIONS_MAX];
	int len;
	char letters[DESK_ACTIONS_MAX + 1]; /* a letter for each action */
};

void desk_open(struct desk *k);
/* Nothing is left in it. */
void desk_close(struct desk *k);
/* Returns the letters of the actions. */
const char *desk_step(struct desk *k, struct dispatch_event e);
/* Are they these? */
bool desk_did(struct desk *k, struct dispatch_event e, const char *letters);
/* A worker of that number comes, for the service "wc". */
const char *desk_worker(struct desk *k, uint64_t number, int slots, const char *match);

/* A query for it. */
struct desk_ask {
	uint64_t link, query;
	bool is_idempotent;
	int64_t body_len;
	ms_t timeout;
	const char *selector;
	uint64_t nodes[4]; /* links; the node itself is ours */
	int nodes_len;
	bool is_here;
	int hops;
	bool is_relayed; /* the nodes are reached by way of another */
	bool is_far;	 /* or by nobody yet */
	int ways;	 /* that may be looked for */
};
const char *desk_ask(struct desk *k, struct desk_ask a);

/* What is heard of a run. */
struct dispatch_event desk_run_event(enum dispatch_event_type type, uint64_t link,
				     uint64_t run);
struct dispatch_event desk_run_data(uint64_t link, uint64_t run, const char *text,
				    bool is_last);
/* With 502, "it broke". */
struct dispatch_event desk_run_failed(uint64_t link, uint64_t run,
				      enum dispatch_failure failure);

#endif
