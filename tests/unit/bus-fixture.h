/* SPDX-License-Identifier: Apache-2.0 */
/* A bus with a real nats-server in a folder of its own, and a hand-made worker on a raw
 * connection, for the tests of bus and worker. Everything that the daemon would be told is
 * written down; bus_fixture_until() turns the loop until a condition holds. */
#ifndef OCF_TESTS_BUS_FIXTURE_H
#define OCF_TESTS_BUS_FIXTURE_H

#include <sys/types.h>

#include "bus/bus.h"
#include "bus/conn.h"

/* For bus_fixture_announce(), with the connection's client_id. */
#define BUS_FIXTURE_ANNOUNCE_WC                                                           \
	"{\"v\":1,\"id\":\"w1\",\"service\":\"wc\",\"slots\":2,\"status\":\"connected\"," \
	"\"client_id\":%llu,\"gpus\":[],\"metadata\":{\"k\":\"v\"}}"

enum {
	FIXTURE_WAIT_MS =
		MS_MINUTE, /* for what takes a moment, on a crowded machine too */
	FIXTURE_CALLS = 64,
};

struct fixture_call { /* of the token that is its index */
	int heads, ends, errors, credit;
	int status;
	char type[64];
	char length[24]; /* its content-length, "" none */
	char worker[80];
	char error[QUERY_ERROR_BYTES_MAX];
	int error_status, retry_after_s;
	bool is_taken;
	enum bus_outcome outcome;
	struct buf data;
	int parts;
	bool holds_credit; /* give none back */
};

struct fixture {
	struct loop *loop;
	struct bus *bus;
	char *folder;
	char url[128];
	enum bus_state state;
	int states, ups, changes, downs, warnings, fatals;
	char warning[1024], fatal[1024];
	char up[80], down[80], reason[256];
	int slots, services;
	bool is_draining, is_direct;
	char metadata[4200], hardware[4200], first_service[210];
	struct fixture_call calls[FIXTURE_CALLS];
};

/* Port 0, folder `name` below tap_folder(). `config` may be NULL. */
void bus_fixture_open(struct fixture *f, const char *name,
		      const struct bus_config *config);
void bus_fixture_close(struct fixture *f);
/* The bus's next life, on the same loop; what was counted goes on. */
void bus_fixture_reopen(struct fixture *f, const struct bus_config *config);
/* Turn until *value >= want; false after FIXTURE_WAIT_MS. */
bool bus_fixture_until(struct fixture *f, const int *value, int want);
bool bus_fixture_until_true(struct fixture *f, bool (*holds)(void *arg), void *arg);
bool bus_fixture_until_up(struct fixture *f);
void bus_fixture_turn(struct fixture *f, ms_t span_ms);
int bus_fixture_send(struct fixture *f, const char *worker, uint64_t token,
		     const char *service, struct bytes body);

/* A hand-made worker. */
struct fixture_worker {
	struct fixture *f;
	struct bus_conn *conn;
	struct bus_sub *work, *control;
	int is_up; /* how often */
	uint64_t client_id;
	char trouble[512];
	int troubles;
	int works, controls;
	char reply[256];
	struct query_headers headers; /* of the last work with a reply subject */
	struct query_headers part;    /* of the last work */
	struct buf body;
	char last_control[512];
};

/* The nats-server that a bus with this folder runs, by its pid file; it must be there. */
pid_t bus_fixture_server_pid(const char *folder);

/* Connect without credentials and, with `id`, subscribe as a v1 worker. */
void bus_fixture_worker_open(struct fixture *f, struct fixture_worker *w, const char *id);
void bus_fixture_worker_close(struct fixture_worker *w);
void bus_fixture_announce(struct fixture_worker *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A message to the last reply subject; names and values end with NULL. */
void bus_fixture_reply(struct fixture_worker *w, struct bytes data, ...);

/* The worker "w1" of the service wc, with 2 slots, known to the bus. */
void bus_fixture_open_with_worker(struct fixture *f, struct fixture_worker *w,
				  const char *name);
void bus_fixture_close_both(struct fixture *f, struct fixture_worker *w);

#endif
