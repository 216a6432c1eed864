/* SPDX-License-Identifier: Apache-2.0 */
/* ocf-worker --http, as it is run, between a real bus (bus-fixture.h) and a server that does
 * what it is told (lib/upstream.c), for the tests of the worker. */
#ifndef OCF_TESTS_WORKER_RIG_H
#define OCF_TESTS_WORKER_RIG_H

#include "unit/bus-fixture.h"

/* A bus, a server and, once started, a worker between them. */
struct worker_rig {
	struct fixture f;
	char *folder; /* the server's */
	char url[128];
	pid_t server, worker;
};

/* Bus and server, in folders of their own below tap_folder(); and with a worker of so many
 * slots, known to the bus. */
void worker_rig_open_idle(struct worker_rig *r, const char *name);
void worker_rig_open(struct worker_rig *r, const char *name, const char *slots);
void worker_rig_close(struct worker_rig *r);
void worker_rig_end(pid_t *pid, int signo); /* and wait; none is allowed */

/* Start the server: at a port of its own choice the first time, at the same one later. */
void worker_rig_serve(struct worker_rig *r);
/* Write a file in its folder, which tells it what to do; the path of one, to be freed. */
void worker_rig_tell(const struct worker_rig *r, const char *name, const char *text);
char *worker_rig_file(const struct worker_rig *r, const char *name);
/* Does the server count so many, sooner or later? Asked through the worker, token 63. */
bool worker_rig_counts(struct worker_rig *r, const char *what, int want);

/* Start a worker "w" of service "s"; more options, NULL at the end. */
void worker_rig_work(struct worker_rig *r, const char *first, ...);

struct query_head worker_rig_head(const char *method, const char *path);
/* Send a query; while the bus knows no worker that is counted as an error of the call. */
struct fixture_call *worker_rig_ask(struct worker_rig *r, int token, const char *method,
				    const char *path, const char *body);
/* A GET with token 1, and wait for its end, whatever that is. */
struct fixture_call *worker_rig_get(struct worker_rig *r, const char *path);
bool worker_rig_is_over(void *call);
/* Did it end so? If not, a note says how. */
bool worker_rig_replied(struct fixture_call *c, int status, const char *text);
bool worker_rig_failed(struct fixture_call *c, int status, enum bus_outcome outcome,
		       const char *says);

#endif
