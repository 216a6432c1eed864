/* SPDX-License-Identifier: Apache-2.0 */
/* One mesh core and some peers made of bare hands, for unit tests: what the core does is
 * kept. */
#ifndef OCF_TESTS_MESH_RIG_H
#define OCF_TESTS_MESH_RIG_H

#include "lib/tap.h"
#include "mesh/mesh.h"

enum {
	RIG_PEERS = 6,
	RIG_FRAMES = 512,
	RIG_WALL_MS = 1700000000,
	RIG_DIALS = 512,
	RIG_LIVE = 128,
};

struct rig_dial {
	struct id node; /* zero: a seed */
	uint64_t link;
	char address[WIRE_ADDRESS_BYTES_MAX + 1];
	bool is_answered;
};

/* A frame that was sent. */
struct rig_frame {
	uint64_t link;
	uint8_t type, flags;
	enum wire_class class;
	struct buf payload;
};

struct rig {
	struct mesh *mesh;
	ms_t now;
	struct id peers[RIG_PEERS];
	uint64_t links[RIG_PEERS]; /* 0: not linked */
	struct rig_frame frames[RIG_FRAMES];
	int frames_len;
	bool forgets; /* keeps no frames */
	/* Told of each HEARTBEAT, which is not kept; or NULL. */
	void (*on_beat)(void *arg, uint64_t link, int seconds);
	void *arg;
	/* What was asked for since rig_forget(): */
	int probes, probe_ends, handed_on; /* queries for the dispatcher */
	uint64_t probe;
	char address[WIRE_ADDRESS_BYTES_MAX + 1]; /* of the latest probe */
	int closed;
	int dials;
	struct rig_dial dialled[RIG_DIALS]; /* the first of these */
	uint64_t live[RIG_LIVE];	    /* links beside those of peers that are up */
	int live_len;
	int ways; /* told */
	uint64_t way;
	int idles;
	uint64_t idle;
	int homes; /* told */
	struct buf homes_told;
	int verifies;
	bool keeps_verifies;		   /* signatures are not checked, ever */
	uint64_t incarnation;		   /* as raised last */
	enum mesh_state states[RIG_PEERS]; /* as told last */
	bool is_spare;			   /* the link that came up, or ended, last */
};

/* We advertise `addresses`; our id is 5. */
void rig_init(struct rig *r, const char *const *addresses, int len);
/* Others have dialled it back: it is no leaf, and knows. */
void rig_is_reached(struct rig *r);
void rig_fini(struct rig *r);
void rig_forget(struct rig *r);
void rig_step(struct rig *r, struct mesh_event e);
/* What a rig takes for the signature of that node. */
void rig_hash(const struct id *signer, struct bytes text,
	      uint8_t ret[WIRE_SIGNATURE_BYTES]);
/* Words about who is there, signed by who says so: a vote; a VERDICT; an ALIVE. */
struct wire_vote rig_vote(const struct id *subject, uint64_t incarnation,
			  const struct id *observer, bool is_isolated);
void rig_put_verdict(struct buf *out, const struct id *subject, uint64_t incarnation,
		     const struct id *voters, int len);
void rig_put_alive(struct buf *out, const struct id *subject, uint64_t incarnation,
		   enum wire_standing standing);
/* Until then, with all ticks. */
void rig_pass(struct rig *r, ms_t span);
/* The node row of peer `i`, with one address "10.0.0.<i>:1". */
void rig_row(struct rig *r, int i, enum mesh_inbound inbound);
/* It opens a link; over a private address with `is_near`. */
void rig_up(struct rig *r, int i, bool is_near);
void rig_down(struct rig *r, int i);
/* A node that is none of the peers: its row, with so many addresses; it opens a link to us; one
 * that was dialled takes the link, or does not. Links that are up go on as those of peers. */
void rig_learn(struct rig *r, const struct id *node, enum mesh_inbound inbound,
	       int addresses);
uint64_t rig_open(struct rig *r, const struct id *node);
void rig_answer(struct rig *r, int dial);
void rig_refuse(struct rig *r, int dial);
/* One of their links ends; whole frames come by one. */
void rig_cut(struct rig *r, uint64_t link);
void rig_hear_link(struct rig *r, uint64_t link, struct buf *b);
/* A number of its own. */
struct id rig_id(int i);
/* Whole frames from it; `b` is emptied. */
void rig_hear(struct rig *r, int i, struct buf *b);
/* How many frames of the type were sent to it; *ret_last is the latest, if not NULL. */
int rig_sent(const struct rig *r, int i, uint8_t type, const struct rig_frame **ret_last);

#endif
