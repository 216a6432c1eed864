/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the mesh core; see mesh/mesh.h. mesh.c: events in, actions out, nodes and
 * seeds. links.c: the life of a link, HELLO and which of two stays. frames.c: what arrives
 * on a link.
 *
 * Who is linked to whom: rings.c; overlay.c: which links this node wants, and which are spare;
 * dials.c: whom it dials, and when; inbound.c: can others dial this node? homes.c: whom a node
 * that takes no links attaches to.
 * Who is there: beats.c: heartbeats, and what is done when one does not come; votes.c: what is
 * held against a node, and when that is a verdict; liveness.c: frames about who is there, and
 * their signatures; reach.c: who can be reached, and what is told of each node.
 * Rows: tree.c: the tree by which they travel; spread.c: how they do, who announces them and
 * who asks.
 * Queries: ways.c: how they reach nodes that are not linked; relay.c: those of others that are
 * passed on. */
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

enum {
	MESH_VOTES_MAX = 4 * MESH_RINGS_MAX, /* kept, for one node */
	MESH_ASKERS_MAX = 4, /* who wait to hear of one node that something came from it */
};

/* What is held for certain of a node's present incarnation. */
enum mesh_verdict {
	MESH_VERDICT_NONE,
	MESH_VERDICT_DEAD,
	MESH_VERDICT_LEFT,
};

/* One that says of a node's present incarnation that it does not hear it. */
struct mesh_ballot {
	struct wire_vote vote;
	bool is_isolated; /* the two are not linked, and no more is said */
	bool is_lost;	  /* its link has ended, and a dial was not refused */
	bool is_judged;	  /* it came with a verdict */
};

/* What was heard of a node, with its proofs. */
struct mesh_evidence {
	struct mesh_ballot *votes; /* owned; against the present incarnation */
	int len;
	ms_t first_at;	/* the first that counts came; 0: none */
	bool is_lost;	/* it was of one whose link has ended */
	ms_t enough_at; /* so many as are needed came; 0: fewer did */
	enum mesh_verdict verdict;
	/* The latest word of its own. */
	uint64_t signed_incarnation; /* 0: there is none */
	enum wire_standing standing;
	uint8_t signature[WIRE_SIGNATURE_BYTES];
};

struct mesh_node {
	struct id id;
	UT_hash_handle hh;
	uint64_t rank; /* among those who may be the tree's root: the lowest is */
	bool is_mute;  /* it was to be, and no beacon of it came */
	/* As root it was followed last by this beacon, with our own distance; see tree.c. */
	bool is_followed;
	struct wire_beacon followed;
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
	bool has_said_goodbye; /* it stops; until it is linked again, or refutes */
	char *barred_why;      /* owned; what it is told when it is gone, or NULL */
	enum mesh_state state;
	struct mesh_evidence *evidence; /* owned; NULL: there is none */
	/* reach.c: connected with us by way of others, since then; and that is believed, or
	 * doubted, for it was not before. */
	bool is_met, is_reached, is_doubtful;
	ms_t met_at;
	bool is_watched; /* by us, as of then, and since: */
	ms_t watched_at;
	bool is_voting;	 /* our vote waits for its signature */
	ms_t suspect_at; /* without a link: when that counts; 0 = not waiting */
	ms_t lost_at;	 /* we have not heard it since; 0: we do, or never tried */
	bool is_refused; /* and nobody takes links at its addresses */
	ms_t vote_due;	 /* when we say so, unless it is linked again; 0: we do not */
	ms_t revote_at;	 /* we said so: and do not begin again before, if it is refuted */
	ms_t revote_ms;
	ms_t dead_at; /* there are votes: when that is a verdict */
	ms_t judged_at;
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

/* A link as an edge of the tree. */
struct mesh_edge {
	bool is_child;	  /* PARENT came by it */
	bool is_no_child; /* with NO_MORE: in the tree of `child_rank` it has another one */
	uint64_t child_rank;
	bool is_parent_told;	/* we said PARENT, */
	bool is_no_parent_told; /* or NO_MORE, in the tree of `told_rank` */
	uint64_t told_rank;
	ms_t heard; /* its latest beacon; 0: none */
	struct wire_beacon beacon;
	struct mesh_rate beacons;
	ms_t lagging_at; /* rows for it have been dropped since then; 0: none are */
};

/* A link by which rows are announced, and asked for. */
struct mesh_lazy {
	struct buf announce; /* hashes that wait to be announced */
	ms_t announce_due;
	struct buf pull; /* those asked for in this tick */
	ms_t lag;	 /* smoothed: by how much the tree is behind its announcements */
	int awaited; /* rows of which it was the first to tell, and which are not here */
	struct mesh_rate pulled; /* bytes sent to it */
	struct mesh_rate refreshes;
	ms_t wanted_until; /* rows that come again are wanted */
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
	uint64_t told_rows, told_horizon, told_liveness;
	ms_t told_wall;
	uint64_t life;
	int protocol;
	uint64_t received_bytes;

	ms_t heard; /* last byte */
	/* Heartbeats: when ours is due, and when the other's is, as it said. */
	ms_t beat_due, expect;
	bool is_told_slow;  /* ours is due in half a minute, as we said */
	bool is_slow;	    /* its beats are not among those of each second, */
	uint64_t slow_view; /* by that view */
	/* A PING that was not answered: the first, and the latest. 0: there is none. */
	ms_t mute_since, pinged_at;
	bool is_probe;		 /* sent to see whether it is not our fault */
	bool is_heard_elsewhere; /* another one says that it heard the node meanwhile */
	bool has_failed;	 /* nothing came in time: it does not count as a link */
	uint64_t askers[MESH_ASKERS_MAX]; /* links */
	int askers_len;
	struct mesh_rate asks, answers;
	/* The exchange of what is held of others. */
	int sum_differs; /* heartbeats in a row with another sum */
	ms_t exchange_after;
	int exchange_at;	/* entries that were sent */
	ms_t exchange_due;	/* of further ones; 0: none is going on */
	bool is_exchange_short; /* what is decided is the same */
	ms_t clock_offset;	/* told last, as the next */
	uint64_t clock_horizon;
	ms_t rtt_due;
	ms_t rtt;
	ms_t skew;
	/* PINGs and WANTs from the peer, and WANTs to it, are counted per second. */
	struct mesh_rate pings, wants, sent_wants, dial_backs;
	ms_t used;	/* a query frame came by it, or it was wanted */
	int relays;	/* from it and to it */
	bool is_loaded; /* MESH_EVENT_LINK_LOADED */
	struct mesh_edge edge;
	struct mesh_lazy lazy;
};

enum mesh_signing_type {
	MESH_SIGNING_VOTE, /* of ours */
	MESH_SIGNING_ALIVE,
	MESH_SIGNING_LEFT,
	MESH_SIGNING_CHECK, /* of another one's */
};

/* A signature that the driver makes or checks. */
struct mesh_signing {
	uint64_t number;
	enum mesh_signing_type type;
	struct wire_liveness said; /* with one vote at most */
	uint64_t link;		   /* it came by this one */
	bool is_judged;		   /* it came with a verdict */
	uint64_t digest;	   /* of what is checked, and its signature */
	UT_hash_handle hh, hh_digest;
};

/* What this node says of itself. */
struct mesh_own {
	bool has_alive, has_left; /* signed, of the present incarnation: */
	uint8_t alive[WIRE_SIGNATURE_BYTES], left[WIRE_SIGNATURE_BYTES];
	bool is_alive_asked, is_left_asked;
	ms_t refuted_at;      /* last */
	ms_t refute_due;      /* 0: nothing waits */
	uint64_t refute_over; /* this incarnation */
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
	bool is_lone; /* and there was no other one to ask */
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

/* The tree by which rows travel, as this node stands in it. */
struct mesh_tree {
	bool is_set;  /* a root is followed, or was */
	bool is_lost; /* it is not any more: whichever is heard next will be */
	struct wire_beacon
		beacon;		/* what we tell: that root, and how far we are from it */
	struct mesh_node *root; /* m->self: this node */
	ms_t heard;		/* when its latest beacon came */
	uint64_t parent;	/* the link; 0: none */
	ms_t settle_due;	/* the former parent is told then; 0: nobody is to be */
	/* Who is to be the root by our view, NULL: nobody; and since when. */
	struct mesh_node *heir;
	ms_t heir_since;
	bool is_heir_stale;
	ms_t beacon_due; /* as root: of the next beacon */
	ms_t beaconed;	 /* and when the last was sent */
	int quick;	 /* so many more come soon one after the other */
	ms_t many_since; /* as root: nodes are enough for one more ring; 0: they are not */
};

/* How many of those who have a row are remembered. */
enum { MESH_HAVING_MAX = 4 };

struct mesh_having {
	uint64_t links[MESH_HAVING_MAX];
	int len;
};

/* A row that came lately, or is ours and new, by the hash of its bytes. */
struct mesh_recent {
	uint64_t hash;
	UT_hash_handle hh;
	struct mesh_blob *rows;	   /* its bytes; of one that came as REFRESH these */
	struct mesh_blob *refresh; /* NULL, or how it is sent instead */
	uint64_t key;
	bool is_held; /* verified and merged; until then it may be rubbish */
	ms_t at;      /* when it came, or was held */
	struct mesh_having having;
	/* It was announced before it came: when, by which link, and from whom we pulled it.
	 * 0: it was not, or that was reckoned with. */
	ms_t announced_at;
	uint64_t announcer, puller;
};

/* A row that was announced and is not here. */
struct mesh_awaited {
	uint64_t hash;
	UT_hash_handle hh;
	ms_t at;
	struct mesh_having having; /* the first is the one that counts it */
	int asked;		   /* how many of them */
	ms_t pull_due;
};

struct mesh_spread {
	struct mesh_recent *recents; /* oldest first */
	size_t recents_bytes;
	struct mesh_awaited *awaited;
	ms_t pull_due; /* of the first; 0: none is awaited */
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
	struct mesh_tree tree;
	struct mesh_spread spread;
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
	ms_t beat_due;		     /* the next whole second of this node */
	ms_t heard;		     /* last byte, of any link */
	ms_t leaf_asked;	     /* a leaf that heard nothing, one of its homes */
	/* How slow this node is itself: its patience with others grows with it. */
	int health;
	ms_t health_due; /* when it gets better by one */
	ms_t stalled_at; /* counted last; 0: never */
	bool is_isolated;
	uint64_t liveness; /* sum over those held for dead or gone */
	uint64_t view;	   /* raised when who counts for the rings has changed */
	uint64_t rings_seen;
	bool is_reach_due, is_alone;
	ms_t reach_after; /* not before */
	uint64_t last_signing;
	struct mesh_signing *signings,
		*checks; /* all, by number; those checked, by digest */
	struct mesh_own own;
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
void mesh_inbound_link_up(struct mesh *m, const struct mesh_node *n);
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
 * another one's: the two nearest on each side, or four homes, on each ring, and who would fill one
 * more gap. */
bool mesh_is_voter(const struct mesh *m, const struct mesh_node *x,
		   const struct mesh_node *voter);
/* Filters. Not gone, left or dead; and not unreachable either. */
bool mesh_is_standing(const struct mesh *m, const struct mesh_node *n,
		      const struct mesh_node *x);
bool mesh_is_reachable(const struct mesh *m, const struct mesh_node *n,
		       const struct mesh_node *x);

/* tree.c */
uint64_t mesh_rank(const struct mesh *m, const struct id *node);
/* What decides who may be the root was learned or changed. */
void mesh_tree_node_changed(struct mesh *m, const struct mesh_node *n);
/* The link is up, and it is known which of several to its node stays. */
void mesh_tree_link_up(struct mesh *m, struct mesh_link *l);
/* It has ended, and is not among m->links any more; or another one has taken its place. */
void mesh_tree_link_down(struct mesh *m, const struct mesh_link *l);
void mesh_tree_tick(struct mesh *m);
void mesh_tree_forgive(struct mesh *m, ms_t late);
/* False when the link was closed. */
bool mesh_frame_beacon(struct mesh *m, struct mesh_link *l, struct bytes payload);
bool mesh_frame_parent(struct mesh *m, struct mesh_link *l, const struct wire_frame *f);
void mesh_link_lagging(struct mesh *m, const struct mesh_event *e);
/* It carries rows, now: up, the node's, and neither end's clock is wrong. */
bool mesh_link_has_rows(const struct mesh_link *l);
/* Are rows sent over it at once, or only announced at most? */
bool mesh_link_is_eager(const struct mesh *m, const struct mesh_link *l);
bool mesh_tree_is_root(const struct mesh *m);

/* spread.c */
void mesh_row_changed(struct mesh *m, const struct mesh_event *e);
/* Each is false when the link was closed. */
bool mesh_rows_arrived(struct mesh *m, struct mesh_link *l, const struct wire_frame *f);
bool mesh_frame_refresh(struct mesh *m, struct mesh_link *l, struct bytes payload);
bool mesh_frame_announce(struct mesh *m, struct mesh_link *l, struct bytes payload);
bool mesh_frame_pull(struct mesh *m, struct mesh_link *l, struct bytes payload);
void mesh_spread_tick(struct mesh *m);
void mesh_spread_link_fini(struct mesh_link *l);
void mesh_spread_free(struct mesh *m);

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

/* beats.c */
/* Are the two to watch each other? */
bool mesh_watches(const struct mesh *m, const struct mesh_node *n);
/* How long an answer to a PING is waited for. */
ms_t mesh_check_ms(const struct mesh *m);
/* Is its PING unanswered for as long? */
bool mesh_link_is_mute(const struct mesh *m, const struct mesh_link *l);
void mesh_health_add(struct mesh *m, int n);
/* A tick came late, or others did not hear us: of both within a second one is the cause of the
 * other, and it counts once. */
void mesh_health_stalled(struct mesh *m);
void mesh_beat_link_up(struct mesh *m, struct mesh_link *l);
void mesh_beat_tick(struct mesh *m);
/* The next one comes in so many seconds; 0: not told. */
void mesh_beat_arrived(struct mesh *m, struct mesh_link *l, uint64_t word, uint8_t flags);
/* Something came by it. */
void mesh_link_heard(struct mesh *m, struct mesh_link *l);
/* See whether it is still there: unless something came within a second. */
void mesh_link_check(struct mesh *m, struct mesh_link *l);
void mesh_link_probe_all(struct mesh *m);
/* True when it was closed, and perhaps others with it. */
bool mesh_link_tick_silence(struct mesh *m, struct mesh_link *l);
bool mesh_frame_about(struct mesh *m, struct mesh_link *l, const struct wire_frame *f);

/* votes.c */
struct mesh_evidence *mesh_evidence_get(struct mesh_node *n);
void mesh_evidence_free(struct mesh_node *n);
/* Nothing is held against it any more, if anything was. */
void mesh_evidence_clear(struct mesh *m, struct mesh_node *n);
/* It is a member no more: its votes do not count, nor those against it. */
void mesh_evidence_end(struct mesh *m, struct mesh_node *n);
/* What is held of the node is of this incarnation now, if that is higher. */
void mesh_node_raise(struct mesh *m, struct mesh_node *n, uint64_t incarnation);
enum mesh_verdict mesh_node_verdict(const struct mesh_node *n);
void mesh_node_set_verdict(struct mesh *m, struct mesh_node *n,
			   enum mesh_verdict verdict);
int mesh_votes_counted(const struct mesh_node *n);
const struct mesh_ballot *mesh_vote_of(const struct mesh_node *n,
				       const struct id *observer);
/* False when it is held already, or one too many. */
bool mesh_vote_add(struct mesh *m, struct mesh_node *n, const struct mesh_ballot *vote);
/* Are we one who may say of it that it is not there? */
bool mesh_vote_is_ours(const struct mesh *m, const struct mesh_node *n);
/* Say that we do not hear it, if we may and have not. */
void mesh_vote(struct mesh *m, struct mesh_node *n);
/* It is not for us to begin again, for a while. */
void mesh_revote_later(struct mesh *m, struct mesh_node *n);
/* We are a leaf, and watch nobody. */
void mesh_votes_withdraw(struct mesh *m);
/* Another one says that it does not hear it, or only that the two are not linked: what do we? */
void mesh_vote_join(struct mesh *m, struct mesh_node *n, bool is_isolated);
/* Enough that watch a node; and how long the votes are waited for to be refuted. */
int mesh_quorum(const struct mesh *m, const struct mesh_node *n);
ms_t mesh_votes_ms(int votes, int quorum);
/* We do not hear it any more, though it is linked. */
void mesh_node_mute(struct mesh *m, struct mesh_node *n);
void mesh_node_linked(struct mesh *m, struct mesh_node *n, struct mesh_link *l);
/* Does the end of its link say that it does not hear us? */
bool mesh_node_is_deaf(const struct mesh_node *n, uint8_t goodbye);
/* Its last link has ended. */
void mesh_node_unlinked(struct mesh *m, struct mesh_node *n, uint8_t goodbye);
/* A dial has led to nobody. */
void mesh_node_not_found(struct mesh *m, struct mesh_node *n);
void mesh_votes_tick(struct mesh *m, struct mesh_node *n);
void mesh_isolation_update(struct mesh *m);

/* liveness.c */
bool mesh_frame_liveness(struct mesh *m, struct mesh_link *l, const struct wire_frame *f);
/* To all links that are up, but that to the node of `origin`. */
void mesh_flood(struct mesh *m, struct bytes frames, uint64_t origin);
void mesh_sign_vote(struct mesh *m, struct mesh_node *n, bool is_isolated, bool is_lost);
void mesh_signed(struct mesh *m, const struct mesh_event *e);
void mesh_verified(struct mesh *m, const struct mesh_event *e);
/* Append what proves what is held of the node. */
void mesh_put_proofs(const struct mesh_node *n, struct buf *out);
enum wire_status mesh_held_status(const struct mesh_node *n);
/* What the peer's HELLO says that it holds of us, and of others. */
void mesh_hello_liveness(struct mesh *m, struct mesh_link *l, const struct wire_hello *h);
/* The peer believes that we are not there. */
void mesh_doubted(struct mesh *m);
void mesh_exchange(struct mesh *m, struct mesh_link *l);
void mesh_liveness_tick(struct mesh *m);
void mesh_liveness_stop(struct mesh *m);
void mesh_signings_free(struct mesh *m);

/* reach.c */
/* Is it linked to us, by a link that works? */
bool mesh_node_is_linked(const struct mesh *m, const struct mesh_node *n);
/* Tell the node's state, if it has changed. */
void mesh_node_update(struct mesh *m, struct mesh_node *n);
/* It is there: it is linked to us, or refutes. */
void mesh_node_found(struct mesh *m, struct mesh_node *n);
/* Who is linked to whom has changed. */
void mesh_reach_changed(struct mesh *m);
void mesh_reach_tick(struct mesh *m);

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
void mesh_ping(struct mesh *m, struct mesh_link *l);
void mesh_want_rows(struct mesh *m, uint64_t link, struct bytes owners);

#endif
