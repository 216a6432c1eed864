/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface on the event loop: its sockets are watches, its timer is a
 * timer, its connections are kept for the next request.
 *
 * libcurl calls back (data, headers, body wanted) from inside curl_multi_socket_action()
 * and curl_easy_pause(), where hardly any of its functions may be called. So a request's
 * callbacks only take down what came and call multi_touch(); when libcurl has returned,
 * `touched` is called, where everything may be done, and `done` after it.
 *
 * Loop thread only. curl_global_init(3) must have been called. */
#ifndef OCF_WORKER_MULTI_H
#define OCF_WORKER_MULTI_H

#include <curl/curl.h>
#include <stdbool.h>

#include "net/loop.h"
#include "worker/target.h"

enum {
	MULTI_CONNECT_MS = 5 * MS_SECOND, /* to get a connection */
	/* Servers close idle connections after a while, some after 5 s, and a request that
	 * crosses such an end on its way is lost: be earlier. */
	MULTI_IDLE_S = 4,
};

struct multi;

/* In its owner's memory. */
struct multi_request {
	CURL *easy;
	void (*touched)(void *arg);
	void (*done)(void *arg, CURLcode code); /* the easy handle was removed before */
	void *arg;
	struct multi *multi; /* the others are multi.c's */
	bool is_touched, is_added;
	bool is_reading; /* libcurl waits for something on `fd` */
	curl_socket_t fd;
	struct multi_request *prev, *next;
};

/* `connections`: how many are kept while idle. */
struct multi *multi_new(struct loop *loop, int connections);
void multi_free(struct multi *multi); /* all requests must be gone; NULL is allowed */

/* An easy handle with what all our requests have in common, to `target`, which must outlive
 * it; its path is the caller's. */
CURL *multi_easy_new(const struct target *target);
/* Begin; callbacks come from the loop. easy, touched, done and arg are set. */
void multi_add(struct multi *multi, struct multi_request *request);
/* End it at once, its connection too when it is in use; no callback any more. Free the easy
 * handle after it. Nothing to do for one that is done or was never added. */
void multi_remove(struct multi_request *request);
/* Has the server closed the connection, without that libcurl would say so? It does not while
 * it waits for more of the body (CURL_READFUNC_PAUSE): it only stops to read, which touches
 * the request. */
bool multi_is_left(const struct multi_request *request);
/* Call `touched` when libcurl has returned. From anywhere. */
void multi_touch(struct multi_request *request);

#endif
