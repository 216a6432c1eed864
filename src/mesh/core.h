/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the mesh core; see mesh/mesh.h. mesh.c: events in, actions out, nodes and
 * seeds. links.c: the life of a link, HELLO and which of two stays. frames.c: what arrives
 * on a link, heartbeats, rows. rings.c: who is linked to whom; overlay.c: which links this
 * node wants, and which are spare; dials.c: whom it dials, and when. inbound.c: can others
 * dial this node? homes.c: whom a node that takes no links attaches to. ways.c: how queries
 * reach nodes that are not linked; relay.c: queries of others that are passed on.
 * attached.c: what others say of nodes that are not linked. */
#ifndef OCF_MESH_CORE_H
#define OCF_MESH_CORE_H

#include <uthash.h>

#include "base/rng.h"
#include "mesh/mesh.h"

enum mesh_link_state {
	MESH_LINK_DIALLING,
	MESH_LINK_GREETING, /* open, our HELLO is sent */
	MESH_LINK_UP,
};

enum {
	MESH_DUPLICATE_MS = 10 * MS_SECOND, /* the larger id has this long to close one */
	MESH_HANDOVER_MS = MS_SECOND, /* between a duplicate's end and the other's HELLO */
	MESH_SELF_MS = 10 *
		       MS_MINUTE, /* until a seed that led to ourselves is tried again */
	MESH_RINGS = 3,		  /* K, named in HELLO and by beacons: this many, */
	MESH_RINGS_MAX = 4,	  /* or, where nodes are very many, this */
	MESH_NEIGHBOURS_MAX = 2 * MESH_RINGS_MAX,
	/* As K is chosen, by those that are there and take links. */
	MESH_RINGS_MORE_NODES = 3000, /* above it for MESH_RINGS_MORE_MS: MESH_RINGS_MAX */
	MESH_RINGS_LESS_NODES = 2000, /* below it: MESH_RINGS */
	MESH_RINGS_MORE_MS = 10 * MS_MINUTE,
	/* Standing ones, reachable ones and those missed, and who is topped up with us. */
	MESH_WANTED_MAX = 6 * MESH_NEIGHBOURS_MAX,
	MESH_ROWS_BYTES_MAX = 256 *
			      1024, /* a continued ROWS; above CODEC_ROW_BYTES_MAX */
};

/* What was told of a node. */
enum mesh_told {
	MESH_TOLD_NOTHING,
	MESH_TOLD_LINKED,
	MESH_TOLD_HEARD,
};

struct mesh_node {
	struct id id;
	UT_hash_handle hh;
	uint64_t places[MESH_RINGS_MAX]; /* on the rings */
	uint16_t region;		 /* a hash of its label */
	bool is_placed, is_on_rings;
	bool is_wanted; /* as of this rings.version: see mesh_is_wanted() */
	uint64_t wanted_version;
	struct id *homes; /* owned; named in its row, in place of the computed ones */
	int homes_len;
	char *addresses[MESH_ADDRESSES_MAX]; /* owned */
	int addresses_len;
	char hello_address[WIRE_ADDRESS_BYTES_MAX + 1]; /* until its row brings others */
	bool is_gone, has_left;
	bool has_said_goodbye; /* it stops: only news revive it, no claim of before */
	char *barred_why;      /* owned; what it is told when it is gone, or NULL */
	enum mesh_state state;
	ms_t suspect_at; /* alive without a link: when it becomes suspect; 0 = not waiting */
	ms_t dead_at;	 /* suspect: when it becomes dead */
	uint64_t incarnation; /* the highest known */
	uint64_t life;	      /* of its latest HELLO */
	uint64_t link;	      /* the one that carries rows and queries; 0 = none is up */
	int links;	      /* of all states */
	int fails;	      /* dials and short links in a row */
	int turn;	      /* of its addresses */
	ms_t next_dial;
	ms_t missed_at;	     /* since when it is not linked, or known */
	bool is_news;	     /* it has other addresses: dialled once, whatever it is */
	ms_t banished_until; /* links are refused: it sent what it must not */
	enum mesh_inbound inbound; /* as its row says */
	ms_t dialled_back;	   /* when it may be dialled back again */
	ms_t ask_after;		   /* it could not dial us back lately */
	enum mesh_told told, told_leaves;
	ms_t busy_until; /* no home of ours: it has too many leaves, or cannot be reached */
	ms_t way_until; /* it is a way, or may be: it is dialled, and its link is kept */
	int way_dials;	/* left, for that */
	struct mesh_way *way; /* to it; NULL: none was looked for lately */
};

/* A way to a node that is not linked. */
struct mesh_way {
	struct mesh_node *node;
	ms_t due; /* 0: it is not looked for now */
	struct mesh_node
		*not_by[MESH_NEIGHBOURS_MAX]; /* those who could not pass it on */
	int not_by_len;
	ms_t until;    /* what is known of it is kept */
	ms_t again_at; /* none was found: until then none will be */
	struct mesh_way *prev, *next;
};

struct mesh_seed {
	char address[WIRE_ADDRESS_BYTES_MAX + 1];
	struct id node; /* who answered there; zero: not known */
	uint64_t link;	/* while dialling or greeting */
	int fails;
	ms_t next_dial;
};

struct mesh_rate {
	ms_t since;
	int count;
};

struct mesh_link {
	uint64_t id;
	UT_hash_handle hh;
	enum mesh_link_state state;
	bool is_inbound;
	bool is_rowless;
	bool is_near;		/* over a private address */
	struct mesh_node *node; /* NULL while a seed is dialled */
	char address[WIRE_ADDRESS_BYTES_MAX + 1];
	ms_t since;
	ms_t retired_at; /* not the node's link any more; 0 = it is, or is not up */
	struct wire_reader reader;
	struct buf rows, sync_rows; /* the beginning of a continued row */
	struct u128 told_root;	    /* in our HELLO, as the next */
	uint64_t told_rows, told_horizon;
	ms_t told_wall;
	uint64_t life;
	int protocol;
	uint64_t received_bytes;

	ms_t heard;	/* last byte */
	bool is_pinged; /* since then */
	ms_t rtt_due;
	ms_t rtt;
	ms_t skew;
	/* PINGs and WANTs from the peer, and WANTs to it, are counted per second. */
	struct mesh_rate pings, wants, sent_wants, dial_backs;
	struct mesh_claim *claims;
	bool is_leaf;	/* and is told what leaves are told */
	ms_t used;	/* a query frame came by it, or it was wanted */
	int relays;	/* from it and to it */
	bool is_loaded; /* MESH_EVENT_LINK_LOADED */
	struct mesh_rate unclaims;
};

/* A node that the peer of a link is linked to, as it says. */
struct mesh_claim {
	struct id node;
	bool is_heard; /* it is not linked, but knows */
	UT_hash_handle hh;
};

struct mesh_relay_key {
	uint64_t link, qid;
};

/* A query that is passed on. */
struct mesh_relay {
	struct mesh_relay_key key; /* of the asker */
	uint64_t out_link, out_qid;
	UT_hash_handle hh, hh_out; /* by key; by out_qid */
	int body_room, reply_room; /* parts that may come */
	int words;		   /* of those that need no credit */
	bool is_taken;
};

enum mesh_relayed {
	MESH_RELAYED_NOT, /* the frame is of another query */
	MESH_RELAYED,
	MESH_RELAYED_CLOSED, /* the link was closed for it */
};

/* The test whether others can dial this node. */
struct mesh_test {
	enum mesh_inbound found;
	uint64_t addresses; /* digest; 0: none are advertised */
	ms_t due;	    /* of the next question; 0: waits for a link */
	uint64_t link;	    /* that was asked, and waits for its answer; 0: none */
	uint64_t token;
	ms_t until;
	bool has_failed; /* one said no: */
	struct id failed;
};

/* All that take links, this node too, in the order of their places on each ring. */
struct mesh_rings {
	int count; /* K */
	struct mesh_node **nodes[MESH_RINGS_MAX];
	int len, cap;
	uint64_t version; /* another one: whoever computed from them computes anew */
};

/* Does `n` count, when the neighbours of `x` are asked for? */
typedef bool mesh_filter(const struct mesh *m, const struct mesh_node *n,
			 const struct mesh_node *x);

/* The links that this node wants, by its view of rings.version `made_of`. */
struct mesh_overlay {
	uint64_t made_of;
	struct mesh_node *nodes[MESH_WANTED_MAX]; /* none of our leaves: they dial us */
	int len;
	bool is_whole; /* all are up or have failed, one at least is up, or there is none */
	ms_t homes_due; /* one that was busy is to be asked again; 0: none */
	struct id homes
		[MESH_NEIGHBOURS_MAX]; /* ours as we told them; none: the computed ones */
	int homes_len;
};

/* A node that is being dialled back; `number` 0: none. */
struct mesh_probe {
	uint64_t number, link, token;
	struct id node;
	ms_t until;
};

/* Bytes shared by the sends of one flood. */
struct mesh_blob {
	int refs;
	size_t len;
	uint8_t data[];
};

struct mesh_item {
	struct mesh_action action;
	struct mesh_blob *blob; /* what the action points to; or NULL */
	struct mesh_item *next;
};

struct mesh {
	struct mesh_config config;
	uint64_t incarnation, life;
	struct rng rng;
	ms_t now, wall, due;
	bool is_stopped;
	uint64_t next_link;
	struct mesh_node self; /* on the rings among the others, unless it is a leaf */
	char self_region[MESH_REGION_BYTES_MAX + 1];
	struct mesh_node *nodes;
	struct mesh_rings rings;
	struct mesh_link *links;
	struct mesh_seed seeds[MESH_SEEDS_MAX];
	int seeds_len;
	struct u128 root;
	uint64_t rows, horizon;
	uint64_t word; /* of heartbeats */
	struct mesh_test test;
	struct mesh_probe probes[MESH_PROBES_MAX];
	uint64_t last_probe;
	struct mesh_relay *relays, *relays_out;
	uint64_t last_relay;
	bool is_leaving;
	struct mesh_overlay overlay;
	uint64_t overlay_version; /* raised when another link is wanted, or one less */
	struct mesh_way *ways;
	bool has_link;		     /* as of the latest tick, */
	ms_t has_link_at;	     /* or not, since then */
	ms_t redial_due;	     /* of one of the dead */
	bool has_news;		     /* of one of them */
	struct mesh_node *lost_turn; /* whom to try next for want of any link */
	ms_t beat_due;
	uint64_t beat_link; /* the last that got one */
	struct mesh_item *first, *last, *taken;
	struct mesh_stats stats;
};

/* mesh.c */
void mesh_want(struct mesh *m, ms_t at); /* a tick by then */
struct mesh_item *mesh_act(struct mesh *m, enum mesh_action_type type, uint64_t link);
void mesh_act_text(struct mesh_item *item, const char *text, const char **ret_field);
struct mesh_blob *mesh_blob_new(struct bytes v);
void mesh_blob_release(struct mesh_blob *b);
void mesh_send(struct mesh *m, struct mesh_link *l, enum wire_class class,
	       struct bytes v);
void mesh_send_blob(struct mesh *m, struct mesh_link *l, enum wire_class class,
		    struct mesh_blob *b);
struct mesh_link *mesh_link_find(const struct mesh *m, uint64_t id);
struct mesh_node *mesh_node_find(const struct mesh *m, const struct id *id);
/* Found or made; NULL at MESH_NODES_MAX. */
struct mesh_node *mesh_node_get(struct mesh *m, const struct id *id);
void mesh_node_set_state(struct mesh *m, struct mesh_node *n, enum mesh_state state);

/* links.c */
struct mesh_link *mesh_link_make(struct mesh *m, uint64_t id, bool is_inbound);
void mesh_link_opened(struct mesh *m, const struct mesh_event *e);
void mesh_link_greeted(struct mesh *m, struct mesh_link *l, struct bytes payload);
/* Close from our side: GOODBYE, CLOSE, and all that follows. `l` is gone afterwards. */
void mesh_link_close(struct mesh *m, struct mesh_link *l, enum wire_goodbye reason,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* It has ended; `goodbye` 0 when nobody said why. `l` is gone afterwards. */
void mesh_link_ended(struct mesh *m, struct mesh_link *l, uint8_t goodbye,
		     const char *why);
/* As that, of a link to a node that is gone. */
void mesh_link_bar(struct mesh *m, struct mesh_link *l);
void mesh_links_tick(struct mesh *m);
/* The peer told its clock and horizon; false when the link was closed for it. */
bool mesh_link_clock(struct mesh *m, struct mesh_link *l, ms_t wall, uint64_t horizon);

/* inbound.c */
void mesh_self_set(struct mesh *m, const struct mesh_event *e);
void mesh_inbound_link_up(struct mesh *m);
void mesh_inbound_link_down(struct mesh *m, const struct mesh_link *l);
void mesh_inbound_tick(struct mesh *m);
void mesh_probed(struct mesh *m, const struct mesh_event *e);
/* False when the link was closed. */
bool mesh_frame_dial_back(struct mesh *m, struct mesh_link *l, struct bytes payload);
bool mesh_frame_dialled(struct mesh *m, struct mesh_link *l, struct bytes payload);

/* dials.c */
/* A moment in [0, span) of full jitter after `fails` failures. */
ms_t mesh_backoff(struct mesh *m, int fails);
/* Where to dial it next; NULL: no address of it is known. */
const char *mesh_node_address(const struct mesh_node *n);
void mesh_seeds_set(struct mesh *m, const struct mesh_event *e);
/* If its turn has come, and it has no link. */
void mesh_dial_node(struct mesh *m, struct mesh_node *n);
void mesh_dials_tick(struct mesh *m);

/* overlay.c */
/* Are the two to be linked, by our view: neighbours, whichever way, or home and leaf? Also
 * with one that is dead, if they were to be were it not. */
bool mesh_is_wanted(const struct mesh *m, struct mesh_node *n);
/* A link that is up and that nobody wants, now that those that are wanted are there. */
bool mesh_link_is_spare(const struct mesh *m, const struct mesh_link *l);
/* It has been one for MESH_IDLE_MS, and no query came by it: to be asked each tick. */
bool mesh_link_is_idle(const struct mesh *m, struct mesh_link *l);
/* There is a link to it now. */
void mesh_overlay_link_up(struct mesh *m, struct mesh_node *n);
/* Choose anew whom to be linked with, if anything changed. */
void mesh_overlay_tick(struct mesh *m);
/* The node's state, or that it has left, has changed: does that change who counts? */
void mesh_overlay_state(struct mesh *m, enum mesh_state was, enum mesh_state is);

/* rings.c */
/* K, for a root that says `count` now and sees `live` nodes that take links. *above_since:
 * since when there are more than MESH_RINGS_MORE_NODES, 0 at first and while there are not. */
int mesh_rings_judge(int count, int live, ms_t now, ms_t *above_since);
/* K is `count` now; a number that cannot be is ignored. */
void mesh_rings_set_count(struct mesh *m, int count);
/* What decides where the node stands (inbound, is_gone, region) was learned or changed. */
void mesh_rings_update(struct mesh *m, struct mesh_node *n, const char *region);
void mesh_rings_free(struct mesh *m);
/* Of those that pass the filter: the nearest before and behind x on each ring, topped up to
 * 2 K or all there are; if x is a leaf its homes, those that its row names or two behind it
 * on each ring. Returns how many; x itself is none of them, this node may be. */
int mesh_neighbours(const struct mesh *m, const struct mesh_node *x, mesh_filter *filter,
		    struct mesh_node *ret[MESH_NEIGHBOURS_MAX]);
/* The nearest before x on ring 0 that pass, at most `max`. */
int mesh_rings_before(const struct mesh *m, const struct mesh_node *x,
		      mesh_filter *filter, struct mesh_node **ret, int max);
/* Is n among the standing neighbours of x? Topping up is not symmetric: who wants to know
 * whether two are to be linked asks both ways. */
bool mesh_is_neighbour_of(const struct mesh *m, const struct mesh_node *x,
			  const struct mesh_node *n);
/* May `voter` say of x that it is not there? Who watches x, by our view, and who may by
 * another one's: the two nearest on each side, or four homes, on each ring. */
bool mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
		   const struct mesh_node *voter);
/* Filters. Not gone, left or dead; and not unreachable either. */
bool mesh_is_standing(const struct mesh *m, const struct mesh_node *n,
		      const struct mesh_node *x);
bool mesh_is_reachable(const struct mesh *m, const struct mesh_node *n,
		       const struct mesh_node *x);

/* homes.c */
/* This node takes no links itself. */
bool mesh_is_leaf(const struct mesh *m);
/* May the node be a home of ours? A filter of mesh_neighbours(). */
bool mesh_is_fit_home(const struct mesh *m, const struct mesh_node *n,
		      const struct mesh_node *x);
/* It is none of ours for a while. */
void mesh_home_put_off(struct mesh *m, struct mesh_node *n);
/* Of a leaf: put off those that cannot be reached, and tell the driver what its homes are. */
void mesh_homes_tick(struct mesh *m);
/* Are there too many leaves for this one? */
bool mesh_is_full_for(const struct mesh *m, const struct mesh_node *n);
/* Its row names these; false: as before. */
bool mesh_node_set_homes(struct mesh_node *n, const struct id *homes, int len);

/* ways.c */
void mesh_way_open(struct mesh *m, const struct mesh_event *e);
void mesh_ways_link_up(struct mesh *m, struct mesh_node *n);
void mesh_ways_tick(struct mesh *m);
void mesh_ways_free(struct mesh *m);

/* attached.c */
/* The node's link, state or row has changed: tell the others if it is to be told. */
void mesh_attached_update(struct mesh *m, struct mesh_node *n);
/* We are a leaf now, or not any more. */
void mesh_attached_update_all(struct mesh *m);
/* A peer is a leaf now, or not any more: its links are told what it is to know then. */
void mesh_attached_change(struct mesh *m, struct mesh_node *n);
/* Tell a link that is up what all others were told. */
void mesh_attached_greet(struct mesh *m, struct mesh_link *l);
/* Does anybody say that it is linked to it? */
bool mesh_node_is_claimed(const struct mesh *m, struct mesh_node *n);
/* Set the state of a node without a link to what others say. */
void mesh_node_weigh(struct mesh *m, struct mesh_node *n);
/* Whom we are to be linked with has changed. */
void mesh_nodes_weigh(struct mesh *m);
bool mesh_frame_attached(struct mesh *m, struct mesh_link *l, const struct wire_frame *f);
/* The link has ended. */
void mesh_claims_end(struct mesh *m, struct mesh_link *l);

/* relay.c */
enum mesh_relayed mesh_frame_relay(struct mesh *m, struct mesh_link *l,
				   const struct wire_frame *f);
void mesh_link_loaded(struct mesh *m, const struct mesh_event *e);
void mesh_relays_link_down(struct mesh *m, const struct mesh_link *l);
void mesh_relays_free(struct mesh *m);

/* frames.c */
/* Close for a frame that is not what it should be; false. */
bool mesh_malformed(struct mesh *m, struct mesh_link *l, const char *what);
/* May this be done once more within this second? */
bool mesh_rate_pass(const struct mesh *m, struct mesh_rate *rate, int max);
bool mesh_rate_pass_in(const struct mesh *m, struct mesh_rate *rate, int max, ms_t span);
void mesh_link_data(struct mesh *m, uint64_t link, struct bytes data);
void mesh_rows_changed(struct mesh *m, uint64_t origin, struct bytes rows);
void mesh_beat_tick(struct mesh *m);
void mesh_ping(struct mesh *m, struct mesh_link *l);
void mesh_want_rows(struct mesh *m, uint64_t link, struct bytes owners);

#endif
