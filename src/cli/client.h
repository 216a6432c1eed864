/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's HTTP interface from the other side, over its unix socket or a URL.
 * Whatever goes wrong is said on standard error by client_send() itself, in one sentence
 * with what to do about it, and becomes the exit status of interfaces.md. One thread. */
#ifndef OCF_CLI_CLIENT_H
#define OCF_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cli/command.h"

enum {
	CLIENT_HEADERS_MAX = 16,
	CLIENT_CONNECT_MS = 5 *
			    MS_SECOND,	/* a loopback answers at once, a far host soon */
	CLIENT_ASK_MS = 30 * MS_SECOND, /* for what the daemon knows by heart */
	CLIENT_WORK_MS = 6 * MS_HOUR, /* for all rows of a large table, to a slow disk */
	/* What a list may weigh: a million workers of a kilobyte. */
	CLIENT_BODY_BYTES_MAX = 1024 * 1024 * 1024,
	CLIENT_ERROR_BYTES_MAX = 64 * 1024,
};

struct client_request {
	const char *method;
	const char *path; /* with the query string; percent-encoded */
	int headers_len;
	char *headers[CLIENT_HEADERS_MAX]; /* "Name: value"; owned, see client_add_header
					    */
	bool has_body;
	struct bytes body; /* when body_fd is -1 */
	int body_fd;	   /* read to its end as the daemon takes it; -1: none */
	int64_t body_len;  /* of body_fd; -1: not known */
	ms_t timeout_ms;   /* for all of it */
	bool is_admin;	   /* only the socket will do */
	/* A good reply's body is given to it as it comes, unless NULL: false, and errno, when
	 * it cannot be taken. `sink_name` says where it goes. */
	bool (*sink)(void *arg, struct bytes data);
	void *sink_arg;
	const char *sink_name;
	/* Set by the sink: what came is all that counts, however the connection ends. NULL is
	 * allowed. */
	const bool *is_enough;
	/* Said when a good reply breaks off before that, in place of how; or NULL. */
	const char *broken_off;
};

struct client_reply {
	int status;	  /* 0: none came */
	struct buf body;  /* unless it went to the sink */
	int64_t received; /* bytes of the body */
	int64_t sent;
	char *node;   /* X-Computing-Node, or NULL; so for the others */
	char *worker; /* X-Computing-Worker */
	char *request_id;
	char *server_timing;
	int retry_after_s; /* 0: none */
	double connect_ms;
	double first_ms; /* until the first byte of the reply */
	double total_ms;
};

#define CLIENT_REQUEST_INIT                                                              \
	((struct client_request){                                                        \
		.method = "GET", .body_fd = -1, .timeout_ms = CLIENT_ASK_MS })

/* -EINVAL for CR or LF in the value. */
int client_add_header(struct client_request *r, const char *name, const char *value);
void client_request_fini(struct client_request *r);

/* Send and wait. Returns EXIT_SUCCESS for a 2xx reply, else the exit status; always fills
 * `ret`. */
int client_send(const struct cli *cli, const struct client_request *r,
		struct client_reply *ret);
void client_reply_fini(struct client_reply *reply);

/* GET a JSON document. The text as it came goes to `text` (NULL is allowed). */
int client_get_json(const struct cli *cli, const char *path, json_t **ret_json,
		    struct buf *text);
/* POST `body` (taken over) to an admin route, which only the socket serves, and read the
 * JSON object it answers with. `ret_http`: the reply's HTTP status, 0 when none came; NULL is
 * allowed. */
int client_post_json(const struct cli *cli, const char *path, json_t *body,
		     json_t **ret_json, int *ret_http);

#endif
