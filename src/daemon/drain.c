/* SPDX-License-Identifier: Apache-2.0 */
/* Draining: a state in which this node lets other nodes choose elsewhere, while what runs
 * here goes on. A node that is told to stop drains first, so that nobody loses a reply; the
 * row that says so travels like any other, and a query that crosses it on its way is given
 * back before a worker has taken it. */
#include "config.h"

#include "base/log.h"
#include "daemon/daemon.h"

enum {
	DRAIN_LOOK_MS = 20, /* between looks at what still runs */
	/* After the last query, for its reply to leave for the node that asked: as long as
	 * a link that is closed has for its output. A table on its way is not waited for
	 * any longer. */
	DRAIN_FLUSH_MS = MS_SECOND,
};

void
drain_set(struct daemon *d, bool is_draining)
{
	if (d->is_draining == is_draining)
		return;
	d->is_draining = is_draining;
	self_announce(d);
	queries_drain(d->queries, is_draining);
}

/* Queries that run, and those that others run by way of this node. */
static int
drain_left(const struct daemon *d)
{
	return queries_running(d->queries) + links_relaying(d->links);
}

static bool
drain_is_done(struct daemon *d)
{
	ms_t now = loop_now(d->loop);

	if (drain_left(d) > 0 || api_unsent(d->api) > 0) {
		d->drain_idle_since = 0;
		return false;
	}
	if (d->drain_idle_since == 0)
		d->drain_idle_since = now;
	return !links_are_busy(d->links) || now - d->drain_idle_since >= DRAIN_FLUSH_MS;
}

static void
drain_look(void *arg)
{
	struct daemon *d = arg;
	bool is_done;
	int left;

	if (d->is_stopping)
		return;
	is_done = drain_is_done(d);
	left = drain_left(d);
	if (!is_done && loop_now(d->loop) < d->drain_until) {
		loop_timer_set(d->drain_timer, DRAIN_LOOK_MS);
		return;
	}
	if (leave_drained(d, left)) {
		if (left > 0)
			log_warn("node",
				 "queries that still run after node.drain_timeout, and "
				 "are cut off: %d",
				 left);
		return;
	}
	if (is_done)
		log_info("node", "stopping");
	else if (left == 0)
		log_warn("node", "stopping, though a client has not read its reply");
	else
		log_warn(
			"node",
			"stopping, though %d quer%s still run%s after node.drain_timeout",
			left, left == 1 ? "y" : "ies", left == 1 ? "s" : "");
	daemon_stop(d, d->status);
}

void
drain_and_stop(struct daemon *d)
{
	d->is_leaving = true;
	links_leave(d->links);
	d->drain_until = loop_now(d->loop) + d->config->node.drain_timeout;
	/* With nothing to wait for, the goodbye says all; but a node that leaves the cluster
	 * has rows to write before it. */
	if (d->leave != NULL ||
	    (!drain_is_done(d) && d->config->node.drain_timeout > 0)) {
		log_info(
			"node",
			"draining: queries that run: %d; stopping when they have ended, in "
			"%lld s at the latest",
			drain_left(d),
			(long long)(d->config->node.drain_timeout / MS_SECOND));
		api_drain(d->api);
		drain_set(d, true);
	}
	d->drain_timer = loop_timer_new(d->loop, drain_look, d);
	drain_look(d);
}

void
drain_close(struct daemon *d)
{
	loop_timer_free(d->drain_timer);
	d->drain_timer = NULL;
}
