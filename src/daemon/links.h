/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the daemon's links, for its own files only; the others see what daemon.h shows.
 *
 *	links.c        streams and the mesh core: events in, actions out
 *	links-feed.c   what other parts tell the core, and send
 *	links-views.c  what is told of links: JSON, metrics, answers
 *
 * All on the loop's thread. */
#ifndef OCF_DAEMON_LINKS_H
#define OCF_DAEMON_LINKS_H

#include <uthash.h>

#include "daemon/daemon.h"
#include "daemon/dials.h"
#include "daemon/outbox.h"
#include "daemon/probes.h"
#include "daemon/refusals.h"
#include "mesh/mesh.h"
#include "net/stream.h"
#include "net/strangers.h"

struct link {
	uint64_t number;
	struct links *links;
	struct stream *stream;
	struct outbox outbox;
	uint64_t sent_bytes;
	char *dialled;	  /* the address; NULL when the other side dialled */
	struct id sought; /* whom we dialled; zero: whoever answers */
	bool is_accepted; /* the other side dialled */
	bool is_stranger; /* accepted, not open */
	bool is_open;
	bool is_up;		    /* greeted */
	bool is_loaded, is_lagging; /* as the core was told */
	UT_hash_handle hh;
};

/* When a node that is not there was there last. */
struct seen {
	struct id node;
	ms_t at_ms; /* -1: never, since our start */
	bool is_alive;
	bool has_left; /* and it was said */
	UT_hash_handle hh;
};

struct links {
	struct daemon *d;
	struct mesh *mesh;
	struct link *by_number;
	struct strangers strangers;
	struct refusals refusals;
	struct seen *seen;
	struct dials *dials;
	struct probes *probes;
	struct loop_timer *timer;
	uint64_t *sent_bytes[WIRE_CLASSES]; /* metrics */
	/* On the sockets of links that have ended, TLS and handshakes included. */
	uint64_t ended_received, ended_sent;
	bool is_pumping;
	bool is_closing;
};

/* Feed the core and do what it asks. */
void links_step(struct links *links, struct mesh_event *event);
struct link *links_find(const struct links *links, uint64_t number);
/* Frames for a link; one that is gone is ignored. With a `key` they are one row, see
 * outbox.h. */
void links_send(struct links *links, uint64_t number, enum wire_class class, uint64_t key,
		struct bytes frames);
void links_add_metrics(struct links *links);

#endif
