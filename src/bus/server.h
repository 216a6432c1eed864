/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded bus: a `nats-server` of our own, as a child that is watched, restarted and
 * never outlives us.
 *
 * Its files are in one folder (0700): nats-server.conf (0600, written at each start with
 * new passwords), nats-server.pid, ports/ and jetstream/. It dies with us by
 * PR_SET_PDEATHSIG; should one survive a life of ours that was killed, its pid file and
 * command line give it away and it is replaced. The accounts are SYS and OCF; in OCF a
 * client without credentials is a worker, and may only what a worker needs
 * (bus_server_config_text). Loop thread only. */
#ifndef OCF_BUS_SERVER_H
#define OCF_BUS_SERVER_H

#include "base/error.h"
#include "net/loop.h"

enum {
	BUS_SERVER_PASSWORD_SIZE = 33,	      /* 128 random bits in hex */
	BUS_SERVER_READY_MS = 10 * MS_SECOND, /* killed if it does not listen by then */
	BUS_SERVER_STOP_MS = 2 * MS_SECOND,   /* after SIGTERM; then SIGKILL */
	/* Restarts wait 0, 100, 200 ms, doubling up to: */
	BUS_SERVER_RETRY_MS_MAX = 10 * MS_SECOND,
	BUS_SERVER_STEADY_MS = 10 *
			       MS_SECOND, /* up for so long: the next wait is 0 again */
	BUS_SERVER_WARNINGS_MAX = 10, /* of its lines that are our warnings, a minute */
	BUS_SERVER_PAYLOAD_BYTES_MAX = 2 * 1024 * 1024,
};

struct bus_server;

struct bus_server_config {
	const char *program; /* path, from bus_server_find() */
	const char *folder;  /* made when missing */
	const char *name;    /* server_name: plain characters */
	const char *host;    /* a loopback address */
	int port;	     /* 0: any; the one it got is kept over restarts */
};

struct bus_server_handler {
	void (*ready)(void *arg, int port);
	/* `is_fatal`: it will not be restarted, a person must act. */
	void (*died)(void *arg, const char *reason, bool is_fatal);
};

/* The program: `wanted` itself, or with NULL or "auto" from PATH, /usr/sbin and
 * /usr/local/sbin. free(3) it. -ENOENT with a sentence that says what to do. */
int bus_server_find(const char *wanted, char **ret_path, struct errmsg *err);
/* "127.0.0.1:8094" or "[::1]:0". Workers attach without credentials, so the address must be
 * one that only this machine's users reach: else -EINVAL. free(3) *ret_host. */
int bus_server_parse_listen(const char *listen, char **ret_host, int *ret_port,
			    struct errmsg *err);
int bus_server_open(struct loop *loop, const struct bus_server_config *config,
		    const struct bus_server_handler *handler, void *arg,
		    struct bus_server **ret_server, struct errmsg *err);
/* SIGTERM, wait, at last SIGKILL. NULL is allowed. */
void bus_server_close(struct bus_server *server);

const char *bus_server_node_password(const struct bus_server *server); /* user "node" */
const char *bus_server_sys_password(const struct bus_server *server);  /* user "sys" */
/* It listens and does not answer any more: it is killed, `died` follows, and it is started
 * again. */
void bus_server_replace(struct bus_server *server, const char *reason);
/* How often it died. */
unsigned bus_server_restarts(const struct bus_server *server);

#endif
