/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: each attempt is a `link` with a connect thread of its own. A
 * link is counted, since the connect thread, nats.c's close notice and hand-offs under way
 * all point to it; `link->conn` is NULL once its owner has given it up. Fields marked
 * (loop) are touched on the loop's thread only. */
#include "config.h"

#include "bus/conn.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "bus/attempt.h"
#include "bus/protocol.h"

enum { LINK_DONE_MAX = 512, LINK_DONE_BYTES_MAX = BUS_CONN_IO_BYTES };

struct bus_link {
	atomic_int refs;
	struct loop *loop;
	pthread_t loop_thread;
	struct bus_conn *conn;	/* (loop) */
	struct attempt attempt; /* the connect thread's until it hands over */
	natsConnection *nc;	/* (loop) from it */
	pthread_t connector;
	bool is_joined;		  /* (loop) */
	int fd;			  /* our dup(2) of its socket, -1 */
	struct loop_watch *watch; /* (loop) */
	bool is_in_turn;	  /* (loop) it reads, and writes at the end of it */
	bool is_waiting;	  /* (loop) for room to write */
	pthread_mutex_t lock;
	pthread_cond_t closed_cond;
	bool is_closed; /* under lock: nats.c said so */
};

enum conn_state { CONN_WAITING, CONN_CONNECTING, CONN_UP };

struct bus_conn {
	struct loop *loop;
	const struct bus_conn_handler *handler;
	void *arg;
	struct attempt_setup setup;
	int place; /* to be tried first */
	struct loop_timer *retry;
	ms_t retry_ms;
	struct rng rng;
	enum conn_state state;
	struct bus_link *link; /* unless waiting */
};

/* nats.c frees messages on a thread of its own, which it wakes for each and which holds up this
 * one's malloc(3) meanwhile. So it is given some hundred together, when a turn has ended. */
struct link_done {
	int len;
	size_t bytes;
	natsMsg *messages[LINK_DONE_MAX];
};
static _Thread_local struct link_done link_done; /* of this thread's loop */

static void conn_connect(void *arg);

static void
link_done_free(void)
{
	for (int i = 0; i < link_done.len; i++)
		natsMsg_Destroy(link_done.messages[i]);
	link_done.len = 0;
	link_done.bytes = 0;
}

static void
link_unref(struct bus_link *link)
{
	if (atomic_fetch_sub(&link->refs, 1) != 1)
		return;
	assert(link->watch == NULL);
	if (link->fd >= 0)
		close(link->fd);
	if (link->attempt.cancel_fd >= 0)
		close(link->attempt.cancel_fd);
	pthread_cond_destroy(&link->closed_cond);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

static void
link_post(struct bus_link *link, void (*fn)(void *arg))
{
	atomic_fetch_add(&link->refs, 1);
	loop_post(link->loop, fn, link);
}

static void
link_unwatch(struct bus_link *link)
{
	loop_watch_free(link->watch);
	link->watch = NULL;
}

/* --- nats.c's event loop adapter; any thread, with nats.c's locks held --- */

static natsStatus
link_attach(void **data, void *loop, natsConnection *nc, natsSock socket)
{
	struct bus_link *link = loop;

	(void)nc;
	*data = link;
	link->fd = fcntl(socket, F_DUPFD_CLOEXEC, 3);
	return link->fd >= 0 ? NATS_OK : NATS_SYS_ERROR;
}

/* The watch lives from the hand-over until the link is given up; reading stops with it. */
static natsStatus
link_want_read(void *data, bool add)
{
	(void)data;
	(void)add;
	return NATS_OK;
}

/* For room to write; or no more. */
static void
link_wait(struct bus_link *link, bool is_waiting)
{
	link->is_waiting = is_waiting;
	if (link->watch != NULL && !link->is_in_turn)
		loop_watch_set(link->watch, LOOP_READ | (is_waiting ? LOOP_WRITE : 0));
}

static void
link_write_on(void *arg)
{
	struct bus_link *link = arg;

	link_wait(link, true);
	link_unref(link);
}

static natsStatus
link_want_write(void *data, bool add)
{
	struct bus_link *link = data;

	if (!pthread_equal(pthread_self(), link->loop_thread)) {
		/* Only the loop's thread writes, so it alone ever switches this off. */
		if (add)
			link_post(link, link_write_on);
	} else {
		link_wait(link, add);
	}
	return NATS_OK;
}

static natsStatus
link_detach(void *data)
{
	(void)data;
	return NATS_OK;
}

/* --- notices from nats.c's threads --- */

static void link_closed(void *arg);

static void
link_on_closed(natsConnection *nc, void *arg)
{
	struct bus_link *link = arg;

	(void)nc;
	link_post(link, link_closed);
	pthread_mutex_lock(&link->lock);
	link->is_closed = true;
	pthread_cond_broadcast(&link->closed_cond);
	pthread_mutex_unlock(&link->lock);
}

struct link_trouble {
	struct bus_link *link;
	char text[256];
};

static void
link_trouble(void *arg)
{
	struct link_trouble *trouble = arg;
	struct bus_conn *conn = trouble->link->conn;

	if (conn != NULL)
		conn->handler->trouble(conn->arg, trouble->text);
	link_unref(trouble->link);
	free(trouble);
}

static void
link_on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *arg)
{
	struct link_trouble *trouble = mem_calloc(1, sizeof(*trouble));
	const char *text = NULL;

	(void)sub;
	natsConnection_GetLastError(nc, &text);
	trouble->link = arg;
	snprintf(trouble->text, sizeof(trouble->text), "%s",
		 text != NULL && text[0] != '\0' ? text : natsStatus_GetText(status));
	atomic_fetch_add(&trouble->link->refs, 1);
	loop_post(trouble->link->loop, link_trouble, trouble);
}

/* --- the loop's side --- */

/* What is written while something is read goes out at the end of that, all at once. */
static void
link_ready(void *arg, int ready)
{
	struct bus_link *link = arg;
	struct bus_conn *conn = link->conn;
	bool has_room = (ready & LOOP_WRITE) != 0 || !link->is_waiting;

	assert(conn != NULL && conn->link == link);
	link->is_in_turn = true;
	if ((ready & LOOP_READ) != 0) {
		natsConnection_ProcessReadEvent(link->nc);
		conn->handler->readable(conn->arg);
	}
	/* nats.c takes a send(2) of no bytes for the end of the connection. */
	if (has_room && natsConnection_Buffered(link->nc) > 0)
		natsConnection_ProcessWriteEvent(link->nc);
	else if (has_room)
		link->is_waiting = false;
	link->is_in_turn = false;
	link_wait(link, link->is_waiting);
	if (link_done.len >= LINK_DONE_MAX / 2)
		link_done_free();
	/* At end of file nats.c has closed its socket; do not spin until its notice comes. */
	if (natsConnection_IsClosed(link->nc))
		loop_watch_set(link->watch, 0);
}

/* nats.c's own threads are done with it, too. Any thread. */
static void
link_destroy_nc(struct bus_link *link)
{
	natsConnection_Destroy(link->nc);
	link->nc = NULL;
	pthread_mutex_lock(&link->lock);
	while (!link->is_closed)
		pthread_cond_wait(&link->closed_cond, &link->lock);
	pthread_mutex_unlock(&link->lock);
}

/* Give the link up. nats.c waits for a pong on the socket that nobody would read if there
 * were anything left in its buffer, so the caller has emptied it or the socket is dead. */
static void
link_give_up(struct bus_link *link, bool is_patient)
{
	link->conn = NULL;
	link_unwatch(link);
	if (link->nc != NULL)
		link_destroy_nc(link);
	/* The other end of a tunnel is told of the end when no descriptor is left. */
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	bus_tunnel_close(link->attempt.tunnel, is_patient);
	link->attempt.tunnel = NULL;
	link_unref(link);
}

static void
conn_retry_later(struct bus_conn *conn)
{
	conn->state = CONN_WAITING;
	conn->link = NULL;
	loop_timer_set(
		conn->retry,
		conn->retry_ms / 2 +
			(ms_t)rng_below(&conn->rng, (uint64_t)conn->retry_ms / 2 + 1));
	conn->retry_ms = conn->retry_ms * 2 < BUS_CONN_RETRY_MS_MAX
				 ? conn->retry_ms * 2
				 : BUS_CONN_RETRY_MS_MAX;
}

static void
link_closed(void *arg)
{
	struct bus_link *link = arg;
	struct bus_conn *conn = link->conn;

	if (conn != NULL && conn->link == link && conn->state == CONN_UP) {
		const char *reason = NULL;

		natsConnection_GetLastError(link->nc, &reason);
		log_debug("bus", "connection lost: %s", reason != NULL ? reason : "");
		/* The others first. */
		conn->place = link->attempt.place + 1;
		conn_retry_later(conn);
		conn->handler->down(conn->arg,
				    reason != NULL && reason[0] != '\0'
					    ? reason
					    : "the server closed the connection");
		link_give_up(link, false);
	}
	link_unref(link);
}

static void
link_join(struct bus_link *link)
{
	if (!link->is_joined)
		pthread_join(link->connector, NULL);
	link->is_joined = true;
}

/* The connect thread is done. */
static void
link_connected(void *arg)
{
	struct bus_link *link = arg;
	struct bus_conn *conn = link->conn;
	uint64_t client_id = 0;
	bool is_closed;

	if (conn == NULL) {
		link_unref(link);
		return;
	}
	link_join(link);
	link->nc = link->attempt.nc;
	pthread_mutex_lock(&link->lock);
	is_closed = link->is_closed;
	pthread_mutex_unlock(&link->lock);
	if (link->nc == NULL || is_closed) {
		/* One that takes connections and ends them at once: the others first. */
		conn->place = link->attempt.place + (link->nc != NULL);
		conn_retry_later(conn);
		conn->handler->trouble(conn->arg, link->attempt.why.text[0] != '\0'
							  ? link->attempt.why.text
							  : "the server closed the "
							    "connection at once");
		link_give_up(link, false);
	} else {
		conn->state = CONN_UP;
		conn->retry_ms = BUS_CONN_RETRY_MS_MIN;
		link->watch = loop_watch_new(link->loop, link->fd, link_ready, link);
		link_wait(link, true);
		natsConnection_GetClientID(link->nc, &client_id);
		log_debug("bus", "connected as client %llu",
			  (unsigned long long)client_id);
		conn->handler->up(conn->arg, client_id);
	}
	link_unref(link);
}

/* --- the connect thread --- */

static natsStatus
link_set_hooks(void *arg, natsOptions *o)
{
	struct bus_link *link = arg;
	natsStatus s = natsOptions_SetSendAsap(o, true);

	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(o, BUS_CONN_PING_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxPingsOut(o, 2);
	if (s == NATS_OK)
		s = natsOptions_SetIOBufSize(o, BUS_CONN_IO_BYTES);
	if (s == NATS_OK)
		s = natsOptions_SetClosedCB(o, link_on_closed, link);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(o, link_on_error, link);
	if (s == NATS_OK)
		s = natsOptions_SetEventLoop(o, link, link_attach, link_want_read,
					     link_want_write, link_detach);
	return s;
}

static void *
link_connect_thread(void *arg)
{
	struct bus_link *link = arg;

	attempt_run(&link->attempt);
	link_post(link, link_connected);
	nats_ReleaseThreadMemory();
	return NULL;
}

static void
conn_connect(void *arg)
{
	struct bus_conn *conn = arg;
	struct bus_link *link = mem_calloc(1, sizeof(*link));

	atomic_init(&link->refs, 1);
	link->loop = conn->loop;
	link->loop_thread = pthread_self();
	link->conn = conn;
	link->fd = -1;
	link->attempt = (struct attempt){
		.setup = &conn->setup,
		.place = conn->place,
		.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.set_hooks = link_set_hooks,
		.arg = link,
	};
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->closed_cond, NULL);
	if (link->attempt.cancel_fd < 0 ||
	    pthread_create(&link->connector, NULL, link_connect_thread, link) != 0) {
		conn_retry_later(conn);
		link_unref(link);
		return;
	}
	conn->link = link;
	conn->state = CONN_CONNECTING;
}

/* --- the owner's side --- */

struct bus_conn *
bus_conn_open(struct loop *loop, const struct bus_conn_config *config,
	      const struct bus_conn_handler *handler, void *arg, struct errmsg *err)
{
	struct bus_conn *conn = mem_calloc(1, sizeof(*conn));
	int rc = attempt_setup_init(&conn->setup, config, err);

	if (rc < 0) {
		error_prefix(err, rc, "the bus cannot be used");
		attempt_setup_fini(&conn->setup);
		free(conn);
		return NULL;
	}
	conn->loop = loop;
	conn->handler = handler;
	conn->arg = arg;
	conn->retry_ms = BUS_CONN_RETRY_MS_MIN;
	rng_init(&conn->rng, rng_seed_from_os());
	conn->retry = loop_timer_new(loop, conn_connect, conn);
	conn_connect(conn);
	return conn;
}

void
bus_conn_close(struct bus_conn *conn)
{
	if (conn == NULL)
		return;
	for (int i = 0; i < 50 && bus_conn_buffered(conn) > 0; i++) {
		struct pollfd p = { .fd = conn->link->fd, .events = POLLOUT };

		if (poll(&p, 1, 10) > 0)
			natsConnection_ProcessWriteEvent(conn->link->nc);
	}
	if (conn->link != NULL) {
		bool is_up = conn->state == CONN_UP;

		eventfd_write(conn->link->attempt.cancel_fd, 1);
		link_join(conn->link);
		conn->link->nc = conn->link->attempt.nc;
		link_give_up(conn->link, is_up);
	}
	link_done_free();
	loop_timer_free(conn->retry);
	attempt_setup_fini(&conn->setup);
	free(conn);
}

const char *
bus_conn_server_id(const struct bus_conn *conn)
{
	return conn->state == CONN_UP ? conn->link->attempt.server_id : "";
}

bool
bus_conn_is_up(const struct bus_conn *conn)
{
	return conn != NULL && conn->state == CONN_UP;
}

void
bus_conn_retry_now(struct bus_conn *conn)
{
	if (conn->state != CONN_WAITING)
		return;
	conn->retry_ms = BUS_CONN_RETRY_MS_MIN;
	loop_timer_set(conn->retry, 0);
}

size_t
bus_conn_buffered(const struct bus_conn *conn)
{
	int n = bus_conn_is_up(conn) ? natsConnection_Buffered(conn->link->nc) : 0;

	return n > 0 ? (size_t)n : 0;
}

/* To nats.c (3.4.1) each header is four pieces of memory and a place in a table. It writes a
 * name as it is, so to it the lines are one header, whose name ends in the last of them. */
static natsStatus
conn_set_headers(natsMsg *msg, struct buf *lines)
{
	char *name = (char *)lines->data, *last, *colon;

	lines->data[lines->len - strlen("\r\n")] = '\0';
	last = strrchr(name, '\n');
	colon = strchr(last != NULL ? last : name, ':');
	*colon = '\0';
	buf_clear(lines);
	return natsMsgHeader_Set(msg, name, colon + strlen(": "));
}

int
bus_conn_publish(struct bus_conn *conn, const char *subject, const char *reply,
		 struct buf *lines, struct bytes data)
{
	natsMsg *msg = NULL;
	natsStatus s;

	if (!bus_conn_is_up(conn))
		return -ENOTCONN;
	if (bus_conn_buffered(conn) + data.len > BUS_CONN_BUFFER_BYTES_MAX)
		return -ENOBUFS;
	s = natsMsg_Create(&msg, subject, reply, (const char *)data.data, (int)data.len);
	if (s == NATS_OK && lines != NULL && lines->len > 0)
		s = conn_set_headers(msg, lines);
	if (s == NATS_OK)
		s = natsConnection_PublishMsg(conn->link->nc, msg);
	bus_msg_free((struct bus_msg *)msg);
	if (s == NATS_OK)
		return 0;
	return s == NATS_MAX_PAYLOAD	       ? -EMSGSIZE
	       : s == NATS_INSUFFICIENT_BUFFER ? -ENOBUFS
					       : -ENOTCONN;
}

struct bus_sub *
bus_conn_subscribe(struct bus_conn *conn, const char *subject, const char *queue)
{
	natsSubscription *sub = NULL;
	natsStatus s;

	if (!bus_conn_is_up(conn))
		return NULL;
	if (queue != NULL)
		s = natsConnection_QueueSubscribeSync(&sub, conn->link->nc, subject,
						      queue);
	else
		s = natsConnection_SubscribeSync(&sub, conn->link->nc, subject);
	return s == NATS_OK ? (struct bus_sub *)sub : NULL;
}

void
bus_sub_free(struct bus_sub *sub)
{
	natsSubscription_Destroy((natsSubscription *)sub);
}

enum bus_next
bus_sub_next(struct bus_sub *sub, struct bus_msg **ret_msg)
{
	natsMsg *msg = NULL;
	uint64_t waiting = 0;
	natsStatus s;

	/* Asking first is cheaper than nats.c's error stack for "nothing there". */
	if (sub == NULL ||
	    natsSubscription_QueuedMsgs((natsSubscription *)sub, &waiting) != NATS_OK ||
	    waiting == 0)
		return BUS_NEXT_NONE;
	s = natsSubscription_NextMsg(&msg, (natsSubscription *)sub, 0);
	if (s == NATS_NO_RESPONDERS)
		return BUS_NEXT_NO_RESPONDERS;
	if (s != NATS_OK)
		return BUS_NEXT_NONE;
	*ret_msg = (struct bus_msg *)msg;
	return BUS_NEXT_MSG;
}

const char *
bus_msg_subject(const struct bus_msg *msg)
{
	return natsMsg_GetSubject((const natsMsg *)msg);
}

const char *
bus_msg_reply(const struct bus_msg *msg)
{
	return natsMsg_GetReply((const natsMsg *)msg);
}

struct bytes
bus_msg_data(const struct bus_msg *msg)
{
	return bytes_of(natsMsg_GetData((const natsMsg *)msg),
			(size_t)natsMsg_GetDataLength((const natsMsg *)msg));
}

const char *
bus_msg_header(struct bus_msg *msg, const char *name)
{
	const char *value = NULL;

	return natsMsgHeader_Get((natsMsg *)msg, name, &value) == NATS_OK ? value : NULL;
}

void
bus_msg_headers(struct bus_msg *msg, struct query_headers *ret)
{
	const char **names = NULL;
	int n = 0;

	*ret = (struct query_headers){ 0 };
	if (natsMsgHeader_Keys((natsMsg *)msg, &names, &n) != NATS_OK)
		return;
	for (int i = 0; i < n && i < 2 * QUERY_HEADERS_MAX; i++) {
		const char *value = bus_msg_header(msg, names[i]);

		if (value != NULL)
			query_headers_add(ret, names[i], value);
	}
	free(names);
}

void
bus_msg_free(struct bus_msg *msg)
{
	if (msg == NULL)
		return;
	link_done.messages[link_done.len++] = (natsMsg *)msg;
	link_done.bytes += bus_msg_data(msg).len;
	if (link_done.len == LINK_DONE_MAX || link_done.bytes > LINK_DONE_BYTES_MAX)
		link_done_free();
}
