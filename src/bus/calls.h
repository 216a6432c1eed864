/* SPDX-License-Identifier: Apache-2.0 */
/* Queries that are with workers: requests cut into parts, replies put together again, with
 * windows both ways. A call is known to the daemon by its token and to the worker by a
 * reply subject that holds a number and 64 random bits, so that nobody can answer a query
 * that was not given to it.
 *
 * Each worker has one reply wildcard. The server's 503 for a request that reached nobody
 * comes through it without saying which request it was; since a worker that is gone stays
 * gone, n of them belong to the n newest requests. Loop thread only. */
#ifndef OCF_BUS_CALLS_H
#define OCF_BUS_CALLS_H

#include "bus/bus.h"
#include "bus/conn.h"
#include "bus/registry.h"

struct bus_calls;

struct bus_calls_config {
	struct id node_id;
	ms_t stall_ms;
	const struct bus_handler *handler;
	void *handler_arg;
	/* A request to this worker reached nobody: it is to be removed, and its calls failed
	 * by bus_calls_fail_worker(). */
	void (*vanished)(void *arg, struct registry_worker *w);
	void *vanished_arg;
};

struct bus_calls *bus_calls_new(struct loop *loop, const struct bus_calls_config *config);
/* Calls left are dropped without a callback. */
void bus_calls_free(struct bus_calls *calls, struct registry *reg);

/* Connected (then bus_calls_attach() each worker), or NULL: lost. */
void bus_calls_set_conn(struct bus_calls *calls, struct bus_conn *conn);
void bus_calls_attach(struct bus_calls *calls, struct registry_worker *w);
void bus_calls_detach(struct bus_calls *calls, struct registry_worker *w);
/* End every call of `w`; `reason` completes "the worker ... ". */
void bus_calls_fail_worker(struct bus_calls *calls, struct registry_worker *w,
			   const char *reason);
/* The last call given to any worker: those of now are told from later ones by it. */
uint64_t bus_calls_mark(const struct bus_calls *calls);
/* As bus_calls_fail_worker(), for the calls of `w` up to the mark. */
void bus_calls_fail_until(struct bus_calls *calls, struct registry_worker *w,
			  uint64_t mark, const char *reason);
/* `w` is gone, and shared a queue group with others: nobody knows which of its members had
 * which query. Those of the others fail when nothing is heard for the stall limit. */
void bus_calls_doubt(struct bus_calls *calls, struct registry *reg,
		     const struct registry_worker *w);
/* Take in what arrived, once a read. */
void bus_calls_drain(struct bus_calls *calls, struct registry *reg);
/* Once a second: silent workers; late messages of idle ones. */
void bus_calls_tick(struct bus_calls *calls, struct registry *reg, ms_t now);
void bus_calls_stats(const struct bus_calls *calls, struct bus_stats *stats);

int bus_calls_send(struct bus_calls *calls, struct registry_worker *w, uint64_t token,
		   const struct query_head *head, struct bytes first, bool is_last);
int bus_calls_body(struct bus_calls *calls, uint64_t token, struct bytes part,
		   bool is_last);
int bus_calls_cancel(struct bus_calls *calls, uint64_t token);
void bus_calls_credit(struct bus_calls *calls, uint64_t token, int n);

#endif
