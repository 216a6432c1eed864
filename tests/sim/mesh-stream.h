/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between simulated nodes, as TCP gives them: bytes in order and in any pieces; a
 * sender that is not read waits (its frames in the daemon's own outbox); a direction that is
 * blocked holds what it has until it is open again; one that is cut carries nothing more
 * and tells nobody. Each direction of a stream has at most one event in the heap. */
#ifndef OCF_TESTS_SIM_MESH_STREAM_H
#define OCF_TESTS_SIM_MESH_STREAM_H

#include <uthash.h>

#include "daemon/outbox.h"
#include "sim/sim.h"

struct node;
struct world;
struct packet;

enum {
	STREAM_WINDOW = 128 * 1024, /* on the way, or in the buffers of two kernels */
	STREAM_WINDOW_TINY = 64,    /* where limits are: so a frame at a time */
};

struct stream_end {
	struct stream *stream;
	struct node *node;
	uint32_t life; /* of the node when it opened */
	uint64_t link; /* 0: not told yet, or closed there */
	UT_hash_handle hh;
	struct outbox outbox; /* what this end has to send */
	bool is_lagging;      /* as the core was told */
	/* What comes in here: */
	struct packet *first, *last;
	size_t flight;
	us_t last_at;  /* the latest arrival */
	us_t ready_at; /* a slow reader takes no more until then */
	ms_t retry;    /* blocked: until it is tried again */
	bool is_armed; /* its event is in the heap */
	bool is_cut;
};

struct stream {
	struct stream_end end[2]; /* [0] dialled */
	int place;		  /* in the world's list */
	int refs;		  /* of events and calls; and one while an end is open */
	bool is_kept;		  /* that one */
};

/* The node dials. */
void stream_dial(struct node *n, struct node *to, uint64_t link);
/* The end of a node's link; NULL when it has none. */
struct stream_end *stream_end_find(const struct node *n, uint64_t link);
struct stream_end *stream_other(struct stream_end *e);
/* Whole frames go out by a link. */
void stream_send(struct node *n, uint64_t link, enum wire_class class, uint64_t key,
		 struct bytes frames);
/* This end is closed; the other one hears of it behind what was sent. */
void stream_close(struct stream_end *e);
/* Both ends are told that it was reset; what was on the way is lost. */
void stream_reset(struct stream *s);
/* Neither end is told anything. */
void stream_cut(struct stream *s);
/* All ends of a node that dies: with its host nobody is told. */
void streams_die(struct node *n, bool is_silent);
void streams_free(struct world *w);

#endif
