/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bench/raw-nats.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	RAW_IO_BYTES = 256 * 1024, /* as src/bus has it */
	/* nats.c pings from a thread of its own; there is none while something is measured. */
	RAW_PING_MS = MS_HOUR,
	RAW_PENDING_MAX = 1000 * 1000, /* messages of one subscription */
};

void
raw_nats_must(natsStatus status, const char *what)
{
	if (status == NATS_OK)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, natsStatus_GetText(status));
	exit(1);
}

/* ---- the adapter ---- */

static natsStatus
raw_attach(void **ret_data, void *raw, natsConnection *nc, natsSock socket)
{
	(void)nc;
	((struct raw_nats *)raw)->fd = socket;
	*ret_data = raw;
	return NATS_OK;
}

static natsStatus
raw_want_read(void *data, bool add)
{
	(void)data, (void)add;
	return NATS_OK;
}

static natsStatus
raw_want_write(void *data, bool add)
{
	struct raw_nats *raw = data;

	if (raw->watch != NULL)
		loop_watch_set(raw->watch, LOOP_READ | (add ? LOOP_WRITE : 0));
	return NATS_OK;
}

static natsStatus
raw_detach(void *data)
{
	(void)data;
	return NATS_OK;
}

static void
raw_ready(void *arg, int ready)
{
	struct raw_nats *raw = arg;

	if ((ready & LOOP_WRITE) != 0 && natsConnection_Buffered(raw->nc) > 0)
		natsConnection_ProcessWriteEvent(raw->nc);
	else if ((ready & LOOP_WRITE) != 0)
		loop_watch_set(raw->watch, LOOP_READ);
	if ((ready & LOOP_READ) == 0)
		return;
	natsConnection_ProcessReadEvent(raw->nc);
	if (natsConnection_IsClosed(raw->nc))
		raw_nats_must(NATS_CONNECTION_CLOSED, "NATS");
	raw->readable(raw->arg);
}

/* ---- */

void
raw_nats_open(struct raw_nats *raw, struct loop *loop, const char *url, const char *name,
	      void (*readable)(void *arg), void *arg)
{
	natsOptions *o = NULL;

	*raw = (struct raw_nats){ loop, NULL, NULL, -1, readable, arg };
	raw_nats_must(natsOptions_Create(&o), "options");
	raw_nats_must(natsOptions_SetURL(o, url), url);
	raw_nats_must(natsOptions_SetName(o, name), name);
	raw_nats_must(natsOptions_SetAllowReconnect(o, false), "options");
	raw_nats_must(natsOptions_SetSendAsap(o, true), "options");
	raw_nats_must(natsOptions_SetPingInterval(o, RAW_PING_MS), "options");
	raw_nats_must(natsOptions_SetIOBufSize(o, RAW_IO_BYTES), "options");
	raw_nats_must(natsOptions_SetMaxPendingMsgs(o, RAW_PENDING_MAX), "options");
	raw_nats_must(natsOptions_SetEventLoop(o, raw, raw_attach, raw_want_read,
					       raw_want_write, raw_detach),
		      "options");
	raw_nats_must(natsConnection_Connect(&raw->nc, o), url);
	natsOptions_Destroy(o);
	raw->watch = loop_watch_new(loop, raw->fd, raw_ready, raw);
	loop_watch_set(raw->watch, LOOP_READ | LOOP_WRITE);
}

void
raw_nats_close(struct raw_nats *raw)
{
	loop_watch_free(raw->watch);
	raw->watch = NULL;
	natsConnection_Destroy(raw->nc);
}

natsSubscription *
raw_nats_subscribe(struct raw_nats *raw, const char *subject, const char *queue)
{
	natsSubscription *sub = NULL;

	if (queue != NULL)
		raw_nats_must(
			natsConnection_QueueSubscribeSync(&sub, raw->nc, subject, queue),
			subject);
	else
		raw_nats_must(natsConnection_SubscribeSync(&sub, raw->nc, subject),
			      subject);
	return sub;
}

natsMsg *
raw_nats_next(natsSubscription *sub)
{
	natsMsg *msg = NULL;
	uint64_t waiting = 0;

	/* Asking first is cheaper than nats.c's error stack for "nothing there". */
	raw_nats_must(natsSubscription_QueuedMsgs(sub, &waiting), "a subscription");
	if (waiting == 0)
		return NULL;
	raw_nats_must(natsSubscription_NextMsg(&msg, sub, 0), "a message");
	return msg;
}
