/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/multi.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/mem.h"

struct multi {
	struct loop *loop;
	CURLM *curl;
	struct loop_timer *timer; /* as libcurl asked for */
	struct loop_timer *turn;  /* for what was touched outside of libcurl */
	struct multi_request *touched;
};

struct multi_socket {
	struct multi *multi;
	struct loop_watch *watch;
	curl_socket_t fd;
};

/* --- after libcurl --- */

static void
multi_untouch(struct multi_request *request)
{
	if (!request->is_touched)
		return;
	DL_DELETE(request->multi->touched, request);
	request->is_touched = false;
}

/* Callbacks may touch, add and remove any request. What they touch has its turn later, so
 * that none keeps the others waiting. */
static void
multi_call_touched(struct multi *multi)
{
	struct multi_request *request;
	int count;

	DL_COUNT(multi->touched, request, count);
	while (count-- > 0 && (request = multi->touched) != NULL) {
		multi_untouch(request);
		request->touched(request->arg);
	}
	if (multi->touched != NULL)
		loop_timer_set(multi->turn, 0);
}

static void
multi_call_done(struct multi *multi)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi->curl, &left)) != NULL) {
		struct multi_request *request = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		multi_remove(request);
		request->done(request->arg, code);
	}
}

static void
multi_on_turn(void *arg)
{
	multi_call_touched(arg);
}

static void
multi_act(struct multi *multi, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(multi->curl, fd, what, &running);
	multi_call_touched(multi);
	multi_call_done(multi);
}

/* --- what libcurl asks of the loop --- */

static void
multi_on_ready(void *arg, int ready)
{
	struct multi_socket *s = arg;

	multi_act(s->multi, s->fd,
		  ((ready & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
			  ((ready & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
multi_on_timer(void *arg)
{
	multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
multi_note_socket(CURL *easy, curl_socket_t fd, int what)
{
	struct multi_request *request = NULL;

	/* libcurl has handles of its own, too. */
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
	if (request == NULL || !request->is_added)
		return;
	request->fd = fd;
	request->is_reading = what != CURL_POLL_REMOVE && (what & CURL_POLL_IN) != 0;
	if (!request->is_reading)
		multi_touch(request);
}

static int
multi_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct multi *multi = arg;
	struct multi_socket *s = socket;

	multi_note_socket(easy, fd, what);
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			loop_watch_free(s->watch);
		free(s);
		curl_multi_assign(multi->curl, fd, NULL);
		return 0;
	}
	if (s == NULL) {
		s = mem_calloc(1, sizeof(*s));
		s->multi = multi;
		s->fd = fd;
		s->watch = loop_watch_new(multi->loop, fd, multi_on_ready, s);
		curl_multi_assign(multi->curl, fd, s);
	}
	loop_watch_set(s->watch, ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
					 ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0));
	return 0;
}

static int
multi_wants_timer(CURLM *curl, long ms, void *arg)
{
	struct multi *multi = arg;

	(void)curl;
	if (ms < 0)
		loop_timer_clear(multi->timer);
	else
		loop_timer_set(multi->timer, ms);
	return 0;
}

/* --- requests --- */

CURL *
multi_easy_new(const struct target *target)
{
	CURL *easy = curl_easy_init();

	assert(easy != NULL);
	/* The environment's proxies are for the world, not for this machine's servers. */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MULTI_CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)MULTI_IDLE_S);
	curl_easy_setopt(easy, CURLOPT_URL, target->origin);
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, target->socket);
	if (target->ca != NULL) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, target->ca);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	return easy;
}

void
multi_add(struct multi *multi, struct multi_request *request)
{
	CURLMcode code;

	request->multi = multi;
	request->fd = -1;
	curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
	code = curl_multi_add_handle(multi->curl, request->easy);
	assert(code == CURLM_OK);
	(void)code;
	request->is_added = true;
}

void
multi_remove(struct multi_request *request)
{
	if (request->multi == NULL)
		return;
	if (request->is_added)
		curl_multi_remove_handle(request->multi->curl, request->easy);
	request->is_added = false;
	multi_untouch(request);
}

bool
multi_is_left(const struct multi_request *request)
{
	char byte;

	return request->is_added && !request->is_reading && request->fd >= 0 &&
	       recv(request->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void
multi_touch(struct multi_request *request)
{
	if (request->is_touched || request->multi == NULL)
		return;
	request->is_touched = true;
	DL_APPEND(request->multi->touched, request);
	loop_timer_set(request->multi->turn, 0);
}

struct multi *
multi_new(struct loop *loop, int connections)
{
	struct multi *multi = mem_calloc(1, sizeof(*multi));

	multi->loop = loop;
	multi->curl = curl_multi_init();
	assert(multi->curl != NULL);
	multi->timer = loop_timer_new(loop, multi_on_timer, multi);
	multi->turn = loop_timer_new(loop, multi_on_turn, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, multi_wants_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, multi_wants_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, (long)connections);
	return multi;
}

void
multi_free(struct multi *multi)
{
	if (multi == NULL)
		return;
	assert(multi->touched == NULL);
	curl_multi_cleanup(multi->curl);
	loop_timer_free(multi->timer);
	loop_timer_free(multi->turn);
	free(multi);
}
