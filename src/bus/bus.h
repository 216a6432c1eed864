/* SPDX-License-Identifier: Apache-2.0 */
/* A node's message bus: the workers that attach to it, and the queries that they answer.
 * NATS carries both; this header is all that the daemon sees of it.
 *
 * Without a URL the node runs and supervises a `nats-server` of its own, loopback only,
 * with its files in <data>/bus. Workers announce themselves on `worker:status`; each gets
 * queries on its own subject (worker protocol v1, bus/protocol.h). This module knows who
 * is attached and what they serve, and moves the bytes of queries; which worker gets which
 * query, queues, deadlines and retries are the dispatcher's.
 *
 * Threads: every call and every callback is on the loop's thread. A callback may call any
 * function here but bus_close(); what it is given is borrowed and dies when it returns. */
#ifndef OCF_BUS_BUS_H
#define OCF_BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/query.h"
#include "net/loop.h"

enum {
	/* A worker that has sent a first part, or said that it is busy, must send one of the
	 * two at least every 15 s; three missed ones and the query has failed. */
	BUS_STALL_MS = 45 * MS_SECOND,
	/* For a worker to say that it has stopped; those of other makers may not know the
	 * word. */
	BUS_CANCEL_MS = 5 * MS_SECOND,
	/* What a reply may run ahead of the credit given by bus_credit() before its worker
	 * is taken for one that ignores credits, and cut off. */
	BUS_AHEAD_BYTES_MAX = 8 * 1024 * 1024,
	/* One message to a worker that knows no slots and therefore no parts. */
	BUS_SINGLE_BYTES_MAX = 512 * 1024,
	/* Workers of one node; the default of the cluster's `rows per node`. */
	BUS_WORKERS_MAX = 16384,
};

struct bus_config {
	const char
		*url; /* somebody's NATS, several separated by commas; NULL: embedded */
	const char *listen; /* embedded: loopback address and port; port 0: pick one */
	const char *data;   /* the data folder; <data>/bus is made in it, 0700 */
	const char *server; /* "auto" or NULL: search; "none": no bus; else the program */
	/* For `url`, each a file or NULL; see bus/access.h. */
	const char *credentials, *ca, *cert, *key;
	struct id node_id;
	const char *node_name;
	ms_t stall_ms; /* 0: BUS_STALL_MS */
};

struct bus_service {
	char *name;
	int match_len; /* 0: serves every query of the service */
	char **match;  /* "k=v", "k=*" or "all" */
};

struct bus_worker {
	const char *id;	  /* 1-64 of [A-Za-z0-9._-]; a legacy worker's is "c<client_id>",
			 * the number of its connection on the server of now */
	int slots;	  /* queries at once; 1 for a worker that announced no slots */
	bool is_direct;	  /* has a subject of its own, so it knows parts and cancel */
	bool is_legacy;	  /* of the 2023 protocol */
	bool is_draining; /* takes no more queries */
	int services_len; /* at least 1 */
	const struct bus_service *services;
	const char *metadata; /* a compact JSON object; "{}" when none was given */
	const char *hardware; /* likewise */
};

enum bus_state {
	BUS_DOWN, /* no connection; workers are kept, but bus_send() refuses */
	BUS_UP,	  /* workers can be reached; those of before may not have announced yet */
	BUS_SETTLED, /* up for three heartbeats, and the server's connections were looked
		      * through: who is not known by now is not there */
};

/* How a query ended without a whole reply. */
enum bus_outcome {
	BUS_NOT_TAKEN, /* no worker had it: it may go to another, whatever it is */
	BUS_RETURNED, /* its worker gave it back (429, 503); the slot rests retry_after_s */
	BUS_ANSWERED, /* its worker says that it failed: another would say the same */
	BUS_LOST,     /* a worker had it and is gone, silent or broken: again only if
			* idempotent and nothing was sent on */
};

struct bus_handler {
	/* `url` is where workers connect ("127.0.0.1:8094"); "" while not known. */
	void (*state)(void *arg, enum bus_state state, const char *url, bool is_embedded);
	/* A warning ends with what was done about it. After `fatal` the bus stays down: what
	 * is wrong needs a person (a port in use, a bus that another node has). */
	void (*warning)(void *arg, const char *text);
	void (*fatal)(void *arg, const char *text);

	/* An announcement that says nothing new causes none of these. On worker_down the
	 * worker is unknown already; then its queries end, each with reply_error. A legacy
	 * worker whose connection is another one now is a new worker_up, and then
	 * worker_down for its former id. */
	void (*worker_up)(void *arg, const struct bus_worker *worker);
	void (*worker_changed)(void *arg, const struct bus_worker *worker);
	void (*worker_down)(void *arg, const char *id, const char *reason);

	/* Per query: reply_head once, reply_data at least once (each part wants one
	 * bus_credit() when it was passed on, and at most LIMIT_PARTS_WINDOW come beyond
	 * what was credited; an empty one only as the last); or at any point reply_error.
	 * After the last part or reply_error the token is forgotten. reply->node
	 * is this node. */
	void (*reply_head)(void *arg, uint64_t token, const struct reply_head *reply);
	void (*reply_data)(void *arg, uint64_t token, struct bytes part, bool is_last);
	void (*reply_error)(void *arg, uint64_t token, const struct query_error *error,
			    enum bus_outcome outcome);
	/* The worker consumed `n` parts of the request: so many more may be sent. */
	void (*request_credit)(void *arg, uint64_t token, int n);
};

struct bus_stats {
	uint64_t announcements;	    /* heard */
	uint64_t announcements_bad; /* of these: refused, or left out, with a warning */
	size_t announcements_bytes; /* heard, and not yet taken in */
	uint64_t sent;		    /* queries given to workers */
	uint64_t replies_late;	    /* parts for a query already ended; dropped */
	uint64_t replies_foreign;   /* messages with a token never given out; dropped */
	uint64_t server_restarts;   /* the embedded server died */
	uint64_t reconnects;
	int workers;
	int outstanding;       /* queries with workers now */
	int reply_subs;	       /* reply wildcards: while the bus is up, one a worker */
	size_t held_bytes;     /* of bodies, waiting for credit or to be complete */
	size_t buffered_bytes; /* written, not yet on the socket */
};

struct bus;

/* Is what `config` says of a `url` well formed, are its files as they must be? 0 without one.
 * The sentence names the option. */
int bus_check(const struct bus_config *config, struct errmsg *err);
/* Check the configuration, replace a server left over by a life of this node that was
 * killed (waiting for at most 3 s), start; all else follows by callbacks, the first from
 * loop_run(). The strings of `config` are copied; `handler` must outlive the bus. Errors a
 * person must mend: -ENOENT no nats-server, -EINVAL a bad listen or url, -EACCES and
 * others on the folder, and those of bus_check(). */
int bus_open(struct loop *loop, const struct bus_config *config,
	     const struct bus_handler *handler, void *arg, struct bus **ret_bus,
	     struct errmsg *err);
/* Outstanding queries end without a callback; the embedded server is stopped and waited
 * for (at most 3 s, then killed). NULL is allowed. */
void bus_close(struct bus *bus);
void bus_get_stats(const struct bus *bus, struct bus_stats *ret_stats);
/* While it is down: what came of the last attempt to connect; NULL: nothing yet. Also while
 * it is up and somebody's NATS forbids us what we need. */
const char *bus_trouble(const struct bus *bus);

/* A legacy worker that was there when this node last ran, for its description: one that is
 * found with the same services takes it over. worker_down follows when the bus has settled
 * without it, or it came back by another id. Before loop_run(). */
void bus_remember(struct bus *bus, const struct bus_worker *former);

/* The embedded server's list of its connections but our own: its Connz as JSON, given to
 * `fn` once; empty when the server did not answer. -ENOTCONN: not now, -ENOTSUP:
 * never, since the bus is not ours. bus_hide_clients(): not wanted any more. */
typedef void bus_clients_fn(void *arg, struct bytes json);
int bus_show_clients(struct bus *bus, bus_clients_fn *fn, void *arg);
void bus_hide_clients(struct bus *bus, void *arg);

/* Give a query to a worker. `token` is the caller's, unique among its outstanding ones.
 * `first` is the first part of the body (at most LIMIT_PART_BYTES_MAX; may be empty) and,
 * with `is_last`, the whole of it. At most LIMIT_PARTS_WINDOW parts, the first included,
 * may be sent beyond what request_credit gave back.
 * -ENOTCONN: down. -OCF_EUNKNOWN: no such worker, or it does not offer the service. -EINVAL:
 * CR, LF or NUL in a value of `head`. -ENOBUFS: the connection is congested. -EEXIST: the
 * token is in use. After an error the token is not known and no callback follows. */
int bus_send(struct bus *bus, const char *worker_id, uint64_t token,
	     const struct query_head *head, struct bytes first, bool is_last);
/* The next part. -OCF_EUNKNOWN: the token has ended; -OCF_ELIMIT: beyond the window (an
 * empty last part needs no room in it). Over BUS_SINGLE_BYTES_MAX for a worker without
 * slots: reply_error 413 follows from loop_run(). */
int bus_body(struct bus *bus, uint64_t token, struct bytes part, bool is_last);
/* The worker is told to stop. One reply_error (499) follows when it has, at the latest
 * after BUS_CANCEL_MS, and nothing else. -OCF_EUNKNOWN: the token has ended already. */
int bus_cancel(struct bus *bus, uint64_t token);
/* `n` parts of the reply were passed on. Unknown token: ignored. */
void bus_credit(struct bus *bus, uint64_t token, int n);

#endif
