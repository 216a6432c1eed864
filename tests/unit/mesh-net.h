/* SPDX-License-Identifier: Apache-2.0 */
/* Some mesh cores linked to each other in virtual time, without loss unless a test wants it,
 * and without tables: a row is a number, held or not. Who is linked to whom is the test's to
 * say; nobody dials. Signatures are hashes, as a rig's. */
#ifndef OCF_TESTS_MESH_NET_H
#define OCF_TESTS_MESH_NET_H

#include "lib/tap.h"
#include "mesh/core.h"

enum {
	NET_NODES_MAX = 48,
	NET_LINKS_MAX = 16, /* of one node */
	NET_ROWS_MAX = 512,
	NET_ROW_BYTES =
		833, /* a record of 715 bytes with its key, context and signature */
	NET_TYPES = 64,
	NET_WALL_MS = 1700000000,
};

struct net_node {
	struct mesh *mesh; /* NULL: it died */
	struct id id;
	uint64_t links[NET_NODES_MAX]; /* to each other node; 0: none */
	ms_t arrived[NET_NODES_MAX];   /* from each of them, at the latest */
	ms_t skew;		       /* of its clock */
	bool is_leaf;
	bool is_mute; /* the beacons that it sends are lost */
	bool has[NET_ROWS_MAX];
	ms_t got[NET_ROWS_MAX];	     /* when */
	int delivered[NET_ROWS_MAX]; /* how often */
	uint64_t refreshes;	     /* delivered as such */
};

struct net_packet;

struct net {
	int len;
	ms_t now;
	ms_t latency, merge_ms;
	int left; /* of a split */
	struct rng rng;
	struct net_node nodes[NET_NODES_MAX];
	struct net_packet *queue;
	int rows; /* numbers given so far */
	/* Sent since net_forget(): */
	uint64_t frames[NET_TYPES], bytes[WIRE_CLASSES];
	/* May this frame pass? NULL: all do. */
	bool (*pass)(void *arg, int from, int to, const struct wire_frame *f);
	void *arg;
};

/* All know each other and take links; none is linked. */
void net_init(struct net *net, int len, uint64_t seed);
void net_fini(struct net *net);
void net_forget(struct net *net);
void net_link(struct net *net, int a, int b);
/* It takes no links, and all know. */
void net_make_leaf(struct net *net, int node);
/* Both ends are told. */
void net_cut(struct net *net, int a, int b);
/* Nothing links the first `left` with the others, until it is 0. */
void net_split(struct net *net, int left);
/* As the rings say, of those that stand, and of those that can be reached. */
void net_link_rings(struct net *net);
/* It ends, and its links with it. */
void net_kill(struct net *net, int node);
/* How many of those that live hold it for that. */
int net_seeing(const struct net *net, int node, enum mesh_state state);
void net_step(struct net *net, int node, struct mesh_event e);
void net_run(struct net *net, ms_t span);
/* The node writes a row; its number. With `is_refresh` it may travel without its value. */
int net_write(struct net *net, int node, bool is_refresh);
/* How many nodes live, and how many of these have the row. */
int net_live(const struct net *net);
int net_having(const struct net *net, int row);
/* Ends of links. */
int net_ends(const struct net *net);
/* The node's parent, -1: none, -2: it is the root. */
int net_parent(const struct net *net, int node);
/* Is there one tree of all that live and are not mute: one root, of the lowest rank, to which
 * all parents lead, each of which knows its children, and nobody says PARENT to anyone else? */
bool net_is_tree(const struct net *net);

#endif
