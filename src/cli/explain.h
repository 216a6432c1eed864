/* SPDX-License-Identifier: Apache-2.0 */
/* Which daemon is meant, and one sentence with an exit status for whatever keeps it from
 * answering. For client.c; curl's codes stay between the two. */
#ifndef OCF_CLI_EXPLAIN_H
#define OCF_CLI_EXPLAIN_H

#include <stdbool.h>

#include "base/clock.h"
#include "cli/command.h"

struct client_reply;

struct client_target {
	char *socket; /* NULL: by URL */
	char *url;    /* without a slash at its end; "http://localhost" beside a socket */
	char *token;  /* or NULL */
	char *ca;     /* a file of certificates by which an https URL is known, or NULL */
	char *data;   /* the data folder that goes with the socket */
	bool is_admin; /* no URL would do */
};

/* --socket, --url, --data, $OCF_SOCKET, $OCF_URL, or the socket of base/places.h: the
 * first that there is. Returns an exit status. `is_admin`: a URL will not do. */
int explain_target(const struct cli *cli, bool is_admin,
		   struct client_target *ret_target);
/* Does the environment name a daemon? */
bool explain_is_target_set(void);
void client_target_fini(struct client_target *t);

/* Does anybody answer at this socket? 0, or why not: -ENOENT, -ECONNREFUSED, -EACCES, … */
int explain_connect(const char *path);
/* The group whose members may use the socket: its own, or that of the first folder on the
 * way to it that can be seen. Free(3) it. */
char *explain_group(const char *path);
/* A reply that is not 2xx: says why, returns the exit status. */
int explain_reply(const struct client_target *t, const struct client_reply *reply);
/* No whole reply: `code` and `text` are curl's. */
int explain_failure(const struct client_target *t, const struct client_reply *reply,
		    int code, const char *text, ms_t timeout_ms);

#endif
