/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh: whom this node is linked to, who is alive, and how rows reach everybody.
 *
 * A sans-io core: mesh_step(core, now, event) changes its state and queues actions, which
 * the driver takes out with mesh_next() and performs; mesh_due() says when it wants a
 * MESH_EVENT_TICK. No system call, no clock, no log. Two drivers run it: src/daemon over
 * net/stream.h, and tests/sim in virtual time. A run is its seed and its events.
 *
 * What it does: opens and keeps the links that the rings want, below; keeps exactly one link to
 * each node (of two, that dialled by the smaller id stays, the larger id closes the other; a
 * link of a former life of the peer gives way to a new one); checks HELLO; sends every changed
 * row to all nodes, over a tree; sends one heartbeat a second, round-robin, and tells
 * what others' say of their tables, so that sync/sync.h can compare them; knows of every node
 * whether it is there. A link between two clocks that are too far apart, or of which one end
 * has forgotten more than the other's clock allows, carries no rows: both ends judge so by the
 * same two HELLOs. Clocks and horizons are told again from time to time, and when the answer
 * is another the link is greeted anew.
 *
 * The overlay. K rings (3, or 4 where nodes are very many) order all nodes that take links:
 * ring 0 by hash(id), each other one by region and hash(k, id). A node's neighbours are the
 * nearest before and behind it on each ring; where rings overlap the next ones on ring 0 are
 * taken too, so that it has min(2 K, all others). Everybody computes them from its table alone.
 * Up to 2 K + 1 nodes all are linked to all; of more each has 2 K links, and with half of the
 * nodes gone 98 % of the others are still connected.
 *
 * Wanted are the links to the neighbours among those that are standing (not gone, left or
 * dead), and to those among the reachable ones: the former watch each other, the latter keep
 * their part of the cluster connected. Two are to be linked when either wants it (topping up
 * is not symmetric). A neighbour that died is wanted for MESH_MISSED_MS more: most come back
 * soon. What is wanted is dialled with full jitter, 200 ms to 30 s apart; another address in a
 * node's row begins that anew. A link that neither is wanted nor has carried a query for
 * MESH_IDLE_MS is spare, and closed; but while one that is wanted is not up yet and has not
 * failed either, no link is spare (make before break).
 *
 * The dead and the unreachable are dialled too, for no split may last for ever: each node tries
 * one of them about every MESH_REDIAL_MS, with the chance that there are so many of them for
 * each one that is there. Seeds are dialled, 30 s apart at most, while it is not known who
 * answers there, or that one is dead or unreachable, or wanted and not linked. Without any link
 * for MESH_LOST_MS all nodes are dialled in turn, MESH_LOST_DIALS_MAX at a time.
 *
 * Whether this node takes links from others it cannot know by itself: a while after it has a
 * link, then hourly, and when its addresses change, it asks a peer to dial them (DIAL_BACK).
 * The peer dials what that node's row advertises, for MESH_PROBE_MS at most, and only an
 * answer with that node's certificate counts. One yes is believed; a no only when another
 * peer says the same, if there is one. Peers at public addresses are asked before those
 * of the same private network, to whom an address may be good that is none for the others.
 *
 * What a hostile member could make of it: its row may name a stranger's address. So may every
 * row, and each node of a cluster dials what rows name, more often than it dials back: a
 * dial-back is one connection to each of MESH_ADDRESSES_MAX addresses, at most once in
 * MESH_DIAL_BACK_MS for each member, with nothing in it that the member chose. Nor does the
 * answer tell anything of a stranger: a no comes when the time is over, whatever was there.
 *
 * Leaves are nodes that take no links, as their rows say (`inbound`). They stand on no ring. A
 * leaf attaches to homes: on each ring the next two that stand behind its own place there,
 * topped up as neighbours are. It dials these and no others, and nobody dials it, but as all
 * that are dead. One that has MESH_LEAVES_MAX leaves says BUSY, and the leaf goes on to the
 * next of the ring for MESH_BUSY_MS; so it does with one that does not answer it, if there is
 * a next one. Then it names the homes that it has in its row (MESH_ACTION_HOMES), and for
 * everybody these stand in place of the computed ones.
 *
 * Who is there. Every node knows from its table who is to be linked to whom, and so who watches
 * whom (rings.c): the neighbours on the rings, or of a leaf its homes. Each of these gets a
 * heartbeat of a node in turn, one a second in all, which says by when the next one comes; so
 * the first of those who watch a node misses one a second after it died, at any size of the
 * cluster. It PINGs, and asks two others who watch it (ASK, HEARD). Who hears nothing for
 * MESH_CHECK_MS, and whose link was reset and is not there again after MESH_RELINK_MS, says so:
 * SUSPECT, a vote, once for each incarnation of the node, signed, told over all links. When
 * half of those who watch it have said so, three at most, and it did not answer for
 * MESH_DEAD_MS, it is dead; fewer votes are waited for longer (MESH_FEW_MS). That time begins with
 * the first vote, or, if that is of one whose link has ended, with the last that was needed: for
 * links end also while a node only stands still. (Where one is enough it waits for MESH_CHECK_MS
 * more.) Not so where a dial was refused. Everybody judges for itself, by the votes it has. The
 * node, which hears its own SUSPECT over any link, takes the next incarnation and says so (ALIVE,
 * signed): whatever was said before is over. Votes are taken of those that may watch the node by
 * any view that is a little old; each signature is checked (MESH_ACTION_VERIFY) before it counts
 * and is handed on. A node that stops says so (ALIVE, with
 * WIRE_STANDING_LEFT).
 *
 * What is decided, who is dead and who has left, with the votes or the word that prove it, is the
 * same everywhere in the end: HELLO and heartbeats carry a sum over it, and two that differ send
 * each other all they have (VERDICT, ALIVE, SUSPECT). A verdict that comes so counts by its
 * signatures alone; but of a node that is heard here it is not believed: that one is told.
 * HELLO says also what each side holds of the other, so that one that was away hears of its own
 * death in one round trip.
 *
 * A node that lost more than half of three links or more within MESH_ISOLATED_MS takes itself for
 * the one that is cut off: it accuses nobody, and its SUSPECTs say no more than that two are not
 * linked. And of the links that should be, less those that by a SUSPECT are not, each node
 * reckons whom it can reach (reach.c): others are unreachable, which is told to nobody.
 *
 * A process that stands still for less than 3.5 s (delays up to 200 ms) is nobody's death: the
 * first beat that fails to come, its PING and the votes take MESH_LATE_BEAT_MS + MESH_CHECK_MS
 * + MESH_DEAD_MS, and it refutes when it goes on. When a tick of this process comes late, what
 * others sent meanwhile is still unread: that time counts against nobody, and it is more patient
 * for a while.
 *
 * What a hostile member could make of it: it may vote against those that it watches, alone: after
 * 15 s its victim would be dead, if it did not refute, which takes a round trip and is at most
 * once in MESH_REFUTE_MS. It may claim a high incarnation, of which there are 2^63; banned, it
 * says nothing more that counts.
 *
 * Queries reach a node that is not linked by a way (MESH_EVENT_WAY). To one that takes links a
 * link is opened, which is spare, and so stays for the next query. To a leaf, or to one of
 * which it is not known, they pass through one of its homes, or neighbours (QUERY_RELAY): one
 * that is linked already, or else all are dialled, and the first that takes the link passes
 * them on. It may turn out not to be linked to the leaf: then it says so before anything was
 * done, and the query goes by another one; for a while none is sent that way. At most
 * MESH_RELAYS_MAX are under way over one link, each with the window of parts that every query
 * has. A leaf that cannot open a link to a node asks a neighbour of it in the same way.
 *
 * A link goes: MESH_ACTION_DIAL or mesh_link_new() for an accepted stream; then
 * MESH_EVENT_LINK_OPEN when TLS is up; MESH_ACTION_LINK_UP after both HELLOs. It ends by
 * MESH_ACTION_CLOSE (the driver writes what is pending, closes, and reports nothing) or by
 * MESH_EVENT_LINK_CLOSED (the other side or the network; no CLOSE follows). A link that was
 * up also gets exactly one MESH_ACTION_LINK_DOWN.
 *
 * Rows are opaque here: (key, row state) encoded by crdt/codec.h, one after the other.
 *
 * A row that changed goes over the links that are edges of a tree, so that N nodes take N - 1
 * frames of it. The tree is made by its root, the node of the lowest rank, a hash of the
 * cluster's id and its own, among those that take links: it sends a beacon every
 * MESH_BEACON_MS. A node follows the lowest rank of which it hears; the link by which a
 * beacon came first leads to its parent, which is told so (PARENT), and the beacon goes on
 * over all other links. Leaves pass none on. A root of which no beacon came for MESH_ROOT_MS,
 * or which is dead, is followed by the next; until that is heard the old tree stays in use.
 *   In doubt rows are sent: over a link whose other end is not known to have another parent
 * in the same tree, and over all links of a node that has none. Who lost its parent takes
 * one that was nearer to the root by the same beacon, or else says PARENT to all.
 *   Two links that are no edges are told each row's hash (ANNOUNCE, 12 bytes for one, together
 * with others of the same MESH_ANNOUNCE_MS); who has not got the row after a while, which it
 * learns for each link, asks for it (PULL), and then the next of those who announced it. The
 * tree is not changed by it. What is missed all the same the comparison of tables finds.
 *   A driver that cannot get rid of rows for a link drops them and says so (LINK_LAGGING): after
 * MESH_LAGGING_MS the link is no edge, but told of rows; after MESH_LAGGED_MS it is closed.
 *
 * What a hostile member could make of it: with beacons of a low rank, or by taking PARENT and
 * sending nothing, it can keep rows from those behind it until they ask the two others that
 * announce them, or compare tables. It cannot alter rows, nor have them sent to somebody who
 * is no peer. A beacon costs the receiver no more than passing MESH_BEACONS_MAX on a second;
 * an announcement one of MESH_AWAITED_OF_LINK_MAX places and one question, asked of itself;
 * its own questions are answered with MESH_PULL_BYTES_MAX a second. */
#ifndef OCF_MESH_MESH_H
#define OCF_MESH_MESH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "mesh/wire.h"

struct mesh;

enum {
	MESH_NODES_MAX = 16384, /* known; more are ignored */
	MESH_LINKS_MAX = 1024,	/* of all states; a further inbound one gets BUSY */
	MESH_ADDRESSES_MAX = 8, /* of one node */
	/* Of all states, with one node; a further one that it dials gets BUSY. Above what one
	 * has whose links break without a word while it dials ever later, or which dials all
	 * addresses back. */
	MESH_LINKS_OF_NODE_MAX = 2 * MESH_ADDRESSES_MAX,
	MESH_SEEDS_MAX = 64,
	MESH_REGION_BYTES_MAX = 64, /* of a region's label; a longer one counts as none */
	MESH_WHY_SIZE = 256,
	MESH_DIAL_BASE_MS = 200,
	MESH_DIAL_CAP_MS = 30 * MS_SECOND,
	MESH_DIAL_HEALTHY_MS = 60 * MS_SECOND, /* a link this old resets the back-off */
	MESH_DIAL_YIELD_MS = 1000, /* the larger id of two waits this long, so that both
				     * rarely dial at once */
	MESH_OPEN_MS = 15 * MS_SECOND,	/* for a dial to open */
	MESH_HELLO_MS = 10 * MS_SECOND, /* for HELLO to arrive on an open link */
	MESH_BEAT_MS = 1000,
	MESH_BEAT_SLOW_MS = 30 * MS_SECOND, /* to leaves, and where nobody watches */
	MESH_BEAT_FIRST_MS = 8 * MS_SECOND, /* to a link that told no interval yet */
	/* The first of those who watch a node that dies hears no beat within a second; then it
	 * takes MESH_LATE_BEAT_MS + MESH_CHECK_MS + MESH_DEAD_MS, and a node that only stood
	 * still has nearly as long to say that it is there. The second is multiplied by 1 to
	 * 1 + MESH_HEALTH_MAX, as slow as the watcher itself is; others are asked at once. */
	MESH_LATE_BEAT_MS = MS_SECOND,	/* an overdue heartbeat is asked after */
	MESH_CHECK_MS = MS_SECOND,	/* and for so long an answer is waited for */
	MESH_SILENT_MS = 5 * MS_SECOND, /* a PING without an answer: the link is closed */
	MESH_LEAF_SILENT_MS = 3 * MS_SECOND, /* a leaf hears nobody: is it cut off? */
	MESH_RELINK_MS = MS_SECOND / 2, /* for a link that was lost to be there again */
	MESH_DEAD_MS = 2 * MS_SECOND,	/* for enough votes to be refuted */
	MESH_FEW_MS = 15 * MS_SECOND,	/* for the first of too few */
	MESH_QUORUM_MAX = 3,
	/* A node that we are to watch and are not linked to is no cause for a vote before. */
	MESH_KNOWN_MS = 10 * MS_SECOND,
	MESH_REVOTE_MS = 10 *
			 MS_SECOND, /* after one that was refuted: begun again; doubled */
	MESH_REVOTE_MS_MAX = 5 * MS_MINUTE, /* up to this, while there is no link */
	MESH_ISOLATED_MS = 10 * MS_SECOND,
	MESH_TOLD_MS = MS_SECOND /
		       2, /* after a first link, for what the other end holds to come */
	MESH_HEALTH_MAX = 8,
	MESH_HEALTH_MS = 10 * MS_SECOND,     /* of quiet: one less */
	MESH_HEALTH_LATE_MS = MS_SECOND / 4, /* a tick so late: one more */
	MESH_REFUTE_MS = MS_SECOND / 4,	     /* between two refutations */
	MESH_DOUBTED_MS = 5 * MS_SECOND,     /* for a refutation to get around */
	MESH_EXCHANGE_MS = 10 * MS_SECOND,   /* between exchanges over one link, */
	MESH_EXCHANGE_MAX = 64,		/* of which so many entries a second are sent */
	MESH_VERIFIES_MAX = 1024,	/* signatures being checked; more are dropped */
	MESH_ASKS_MAX = 64,		/* a second from one peer, more are dropped */
	MESH_ANSWERS_MAX = 16,		/* a second to what is known to be old */
	MESH_RTT_MS = 5 * MS_MINUTE,	/* between measurements of the round trip */
	MESH_CLOCK_STEP_MS = MS_MINUTE, /* our clock was set by more: all are told */
	/* A tick this late says that this process did not run: what others sent meanwhile is
	 * still unread, so that this time counts against nobody. */
	MESH_LATE_MS = MS_SECOND,
	MESH_CLOCK_SKEW_MS = 5 * MS_MINUTE, /* beyond it a link carries no rows */
	/* No link with a node that sent what it must not; half of MESH_DIAL_CAP_MS, which is
	 * how long that node itself waits at least. */
	MESH_BANISH_MS = MESH_DIAL_CAP_MS / 2,
	/* A node that hears that it was banned or forgotten dials the one that said so again
	 * after a half to a whole of this: those who take it back will dial it, and where they
	 * cannot, it finds out soon enough. */
	MESH_BARRED_MS = 5 * MS_MINUTE,
	MESH_PINGS_MAX = 16, /* a second from one peer */
	/* WANTs a second: sent over one link, more are dropped, and taken from one peer. */
	MESH_WANTS_SENT_MAX = 8,
	MESH_WANTS_MAX = 16,
	/* Dial-backs. */
	MESH_PROBE_MS = 10 * MS_SECOND, /* for the addresses of a node to answer */
	MESH_DIAL_BACK_MS = MS_MINUTE,	/* between two of them for one node */
	MESH_PROBES_MAX = 16,		/* nodes that are dialled back at once */
	MESH_INBOUND_MS = MS_HOUR,	/* until it is tested again */
	/* After a link or new addresses: for our row to get there. */
	MESH_INBOUND_FIRST_MS = MS_SECOND,
	MESH_INBOUND_AGAIN_MS = 5 * MS_SECOND, /* for one who could not try */
	MESH_DIAL_BACKS_MAX = 4,	       /* a second from one peer */
	/* Queries passed on over one link, from or to it. What waits of each is about 1 MiB each
	 * way: so all together stay within half of what may wait for a link. */
	MESH_RELAYS_MAX = 32,
	/* Of one of these: QUERY_GO, QUERY_TAKEN and REPLY_HEAD, which need no credit. Above
	 * what all tries of a query come to. */
	MESH_RELAY_WORDS_MAX = 32,
	/* Leaves. */
	MESH_HOMES_MAX = 8,	       /* two on each ring */
	MESH_LEAVES_MAX = 512,	       /* attached to one node */
	MESH_BUSY_MS = 10 * MS_MINUTE, /* until one that was too busy is asked again */
	/* Links. */
	MESH_IDLE_MS = MS_MINUTE, /* one that nobody wants lives that long unused */
	/* A neighbour that died is dialled for so long as if it were there; then as all that
	 * are dead or unreachable, of which each node tries one in about MESH_REDIAL_MS. */
	MESH_MISSED_MS = 10 * MS_MINUTE,
	MESH_REDIAL_MS = 30 * MS_SECOND,
	/* Without any link for so long all nodes are dialled, so many at once. */
	MESH_LOST_MS = 2 * MS_SECOND,
	MESH_LOST_DIALS_MAX = 32,
	MESH_WAY_MS = 5 * MS_SECOND, /* for a way to be found */
	/* The tree. */
	MESH_BEACON_MS = 30 * MS_SECOND,
	MESH_QUICK_MS = 2 * MS_SECOND,	     /* when the root's links changed, */
	MESH_QUICK_BEACONS = 3,		     /* so many times */
	MESH_BEACON_UNIT_MS = 2 * MS_SECOND, /* of a beacon's seq, by the wall clock; */
	MESH_BEACON_UNITS =
		30, /* and so many off at most: one of long ago counts no more */
	MESH_ROOT_MS = 75 *
		       MS_SECOND, /* a root of which no beacon came is none any more */
	MESH_DISTANCE_MAX = 254,  /* from the root; who is farther passes no beacon on */
	MESH_BEACONS_MAX = 32,	  /* a second from one peer; more are ignored */
	/* A former parent is told so late that the new one knows already, and no row falls
	 * between the two: two round trips, which are between these. */
	MESH_SETTLE_MIN_MS = 100,
	MESH_SETTLE_MAX_MS = 2 * MS_SECOND,
	MESH_LAGGING_MS = 10 * MS_SECOND, /* then the link is no edge of the tree, */
	MESH_LAGGED_MS = MS_MINUTE,	  /* and then it is closed */
	/* Announcements. */
	MESH_ANNOUNCE_LINKS = 2,
	MESH_ANNOUNCE_MS = 100, /* collected for so long */
	MESH_PULL_MIN_MS = 50,	/* until a row that was announced is asked for */
	MESH_PULL_MAX_MS = 5 * MS_SECOND,
	MESH_PULL_AGAIN_MS = MS_SECOND, /* until another one is asked */
	/* A second from one peer; more are dropped. One whose value is another than ours costs a
	 * check of its signature, and is nobody's fault. */
	MESH_REFRESHES_MAX = 256,
	MESH_PULL_BYTES_MAX = 1024 * 1024, /* of rows, a second to one peer that asks */
	/* Rows of which it was told and which are not here, in all and first by one link; more
	 * are not waited for, and found when tables are compared. */
	MESH_AWAITED_MAX = 4096,
	MESH_AWAITED_OF_LINK_MAX = 1024,
	/* Rows kept for those who ask, and to know those that come again. */
	MESH_RECENT_MS = 30 * MS_SECOND,
	MESH_RECENTS_MAX = 8192,
	MESH_RECENT_BYTES_MAX = 1024 * 1024,
	/* One that came is being verified and merged for so long at most, and dropped when it
	 * comes again. */
	MESH_IN_FLIGHT_MS = 2 * MS_SECOND,
	/* But not from whom rows were wanted: what is asked for may have been here, and lost. */
	MESH_WANTED_MS = 10 * MS_SECOND,
};

enum mesh_state {
	MESH_NODE_SUSPECT, /* one that watches it does not hear it */
	MESH_NODE_ALIVE,
	MESH_NODE_DEAD,
	/* Of those who watch it none can be reached; also every node at our start. */
	MESH_NODE_UNREACHABLE,
	MESH_NODE_LEFT, /* it said so itself */
};

/* Can others open links to a node? */
enum mesh_inbound {
	MESH_INBOUND_UNKNOWN, /* not tested yet: as if they could */
	MESH_INBOUND_NO,
	MESH_INBOUND_YES,
};

struct mesh_config {
	struct id self;
	struct id cluster;
	uint64_t seed;	      /* of the core's randomness */
	uint64_t incarnation; /* above every earlier one: (starts << 32) will do */
	ms_t retention_ms;    /* cluster constants */
	uint32_t rows_per_node;
	uint16_t format;
	char address[WIRE_ADDRESS_BYTES_MAX + 1]; /* advertised; "" behind NAT */
};

enum mesh_event_type {
	/* The time of mesh_due() has come. */
	MESH_EVENT_TICK,
	/* Seeds from the configuration: `addresses`. Replaces the earlier list. */
	MESH_EVENT_SEEDS,
	/* What this node advertises is now `addresses`; the first goes into HELLO. To be given
	 * at the start, before any link. Other ones than before are tested anew. */
	MESH_EVENT_SELF,
	/* A node's row was learned or changed: `node`, `addresses`. With `is_gone` it was
	 * banned or forgotten: links to it are closed and refused, and it is told `why`. With
	 * `has_left` it withdrew and says goodbye itself: it is not dialled any more, but may
	 * come back. `inbound`, `region`, `homes`: what it says of itself. */
	MESH_EVENT_NODE,
	/* A dialled or accepted `link` is open; TLS says that `node` is at the other end. With
	 * `is_near` its address is a private one. */
	MESH_EVENT_LINK_OPEN,
	/* `data` arrived on `link`; all of it is taken. */
	MESH_EVENT_LINK_DATA,
	/* `link` has ended, or a dial failed: `why`. */
	MESH_EVENT_LINK_CLOSED,
	/* The peer of `link` sent what it must not (a bad signature, a row or query that
	 * cannot be read): close it, saying `why`. */
	MESH_EVENT_LINK_REJECT,
	/* A row changed here: `rows`, its key and its state, encoded; it came from `link`, or is
	 * our own (0). To be given once per change and never for a row that was already held,
	 * nor for one that a joining node read page by page. `key_hash`: of its key, the
	 * same for each state of it. `refresh`: the payload of a REFRESH that says as much to
	 * who holds its value, or empty. */
	MESH_EVENT_ROW_CHANGED,
	/* Rows for `link` are being dropped, since it takes them too slowly (`is_lagging`), or
	 * are not any more. Given when that changes. */
	MESH_EVENT_LINK_LAGGING,
	/* The table's `root`, number of rows (`rows_len`) and `horizon` are now these, and
	 * `word` is what heartbeats tell of it. */
	MESH_EVENT_ROOT,
	/* Ask the peer of `link` for the node rows of the owners in `data`, ids one behind the
	 * other: as many as may be asked for in a second, what is above that is dropped. */
	MESH_EVENT_WANT,
	/* One dial of the probe `link` has ended: `node` answered, or nobody did (zero). */
	MESH_EVENT_PROBED,
	/* A query wants to go to `node`, and neither a link nor a relay leads there: see
	 * MESH_ACTION_WAY. `link`: 0, or one by which it did not get there: not by that. */
	MESH_EVENT_WAY,
	/* No query uses `link` now: the answer to MESH_ACTION_IDLE. */
	MESH_EVENT_IDLE,
	/* This node is about to stop: it passes on no further queries. */
	MESH_EVENT_LEAVING,
	/* Say goodbye on every link, close them all, dial no more. */
	MESH_EVENT_STOP,
	/* Much that is passed on for others waits for `link` (`is_loaded`), or not any more:
	 * until then no further query is passed on over it. */
	MESH_EVENT_LINK_LOADED,
	/* Answers to the action of this `number`: the signature, in `data`; whether it was
	 * one (`is_valid`). */
	MESH_EVENT_SIGNED,
	MESH_EVENT_VERIFIED,
};

/* Fields that an event does not name are zero. Everything is borrowed for the call. */
struct mesh_event {
	enum mesh_event_type type;
	ms_t wall_ms; /* the wall clock; needed with LINK_OPEN, LINK_DATA and TICK */
	uint64_t link;
	struct id node;
	bool is_gone, has_left;
	bool is_near;
	bool is_loaded, is_lagging;
	bool is_valid;
	uint64_t number;
	enum mesh_inbound inbound;
	struct bytes data;
	struct bytes rows, refresh;
	uint64_t key_hash;
	uint64_t rows_len;
	struct u128 root;
	uint64_t horizon;
	uint64_t word;
	const char *const *addresses;
	int addresses_len;
	const char *region;	/* NODE, SELF: the label, NULL as "" */
	const struct id *homes; /* NODE: those that the row of a leaf names */
	int homes_len;
	const char *why;
};

enum mesh_action_type {
	/* Connect to `address`; the stream is `link`. */
	MESH_ACTION_DIAL,
	/* Write `data`, whole frames, to `link`, queued as `class`. With a `key` that is not 0
	 * they are a row: of two with the same key that wait, the later will do, unless it is
	 * a REFRESH and the earlier is none. */
	MESH_ACTION_SEND,
	/* Close `link` once its output is written (1 s at most), and forget it; `why` is for
	 * the log, as is `goodbye`, whichever side said it. `is_barred`: the other side says
	 * that we were banned or forgotten. */
	MESH_ACTION_CLOSE,
	/* Both HELLOs are there: `link` to `node` may carry queries, and rows unless it
	 * `is_rowless`, `why`. The other table's `root`, number of rows (`rows_len`) and
	 * `horizon` as its HELLO told them, and `our_root` and `our_rows_len` as ours did: of
	 * this pair both ends know, and what changed since is on its way. `is_spare`: the rings
	 * do not want it. */
	MESH_ACTION_LINK_UP,
	/* It was up and has ended: what queries it carried are cut off. `is_spare` as above. */
	MESH_ACTION_LINK_DOWN,
	/* `node` is now in `state`. */
	MESH_ACTION_NODE_STATE,
	/* Verify and merge `rows` from `link`; what changed comes back as ROW_CHANGED, one by
	 * one. `is_sync`: a comparison of tables found them. */
	MESH_ACTION_DELIVER_ROWS,
	/* The heartbeat of `link`, which carries rows, told this `word`. */
	MESH_ACTION_ROOT_HEARD,
	/* The peer of `link` wants the node rows of the owners in `data`, ids one behind the
	 * other. */
	MESH_ACTION_WANTED,
	/* A frame of a comparison of tables from `link`: `frame`, its payload a message. */
	MESH_ACTION_SYNC,
	/* A query frame from `link` for dispatch: `frame` (wire_read_query()). */
	MESH_ACTION_QUERY,
	/* Our incarnation was raised: another node held us for dead. Keep it for the next
	 * start. */
	MESH_ACTION_INCARNATION,
	/* Connect to `address` for the probe `link`, look whose certificate is there, close,
	 * and tell by MESH_EVENT_PROBED. There may be several of one probe, at once. */
	MESH_ACTION_PROBE,
	/* The probe `link` is over: what is still under way of it is closed, and nothing told. */
	MESH_ACTION_PROBE_END,
	/* Others can, or cannot, open links to this node, or that is not known any more:
	 * `inbound`. */
	MESH_ACTION_INBOUND,
	/* Queries go to `node` by `link`: its own (mesh_link_of()), or of one who passes them
	 * on; 0: no way was found. Once for each MESH_EVENT_WAY, or once for several at a
	 * time. */
	MESH_ACTION_WAY,
	/* `link` is not needed but for queries, and none came by it for MESH_IDLE_MS: if there
	 * are none, say so (MESH_EVENT_IDLE), and it is closed. */
	MESH_ACTION_IDLE,
	/* As DELIVER_ROWS, one row as REFRESH: `data`, that frame's payload. Who does not hold
	 * its value asks `link` for the row (MESH_EVENT_WANT). */
	MESH_ACTION_DELIVER_REFRESH,
	/* The homes of this node are those in `data`, ids one behind the other, which its row is
	 * to name; none: those that everybody computes. */
	MESH_ACTION_HOMES,
	/* Sign `data` with this node's key, and answer with `number`, soon: it is a word about
	 * who is there. */
	MESH_ACTION_SIGN,
	/* Has `node` signed `data` with `signature`? Answer with `number`, in any order; a node
	 * whose key is not known has not. At most MESH_VERIFIES_MAX are under way. */
	MESH_ACTION_VERIFY,
};

struct mesh_action {
	enum mesh_action_type type;
	uint64_t link;
	struct id node;
	enum mesh_state state;
	enum mesh_inbound inbound;
	enum wire_class class;
	uint64_t key;
	uint8_t goodbye; /* enum wire_goodbye; 0: none was said */
	struct bytes data;
	struct bytes rows;
	struct wire_frame frame;
	bool is_rowless, is_sync, is_barred, is_spare;
	struct u128 root, our_root;
	uint64_t rows_len, our_rows_len;
	uint64_t horizon;
	uint64_t word;
	uint64_t incarnation;
	uint64_t number;
	struct bytes signature;
	const char *address;
	const char *why;
};

struct mesh *mesh_new(const struct mesh_config *config, ms_t now);
void mesh_free(struct mesh *m); /* NULL is allowed */
void mesh_step(struct mesh *m, ms_t now, const struct mesh_event *event);
/* The next action, in order; false when there is none. What it points to is valid until the
 * next call of mesh_next() or mesh_free(). Steps may come in between. */
bool mesh_next(struct mesh *m, struct mesh_action *ret_action);
/* The moment of the next tick; always known. */
ms_t mesh_due(const struct mesh *m);

/* A fresh link number for a stream that was accepted. Numbers are never used twice. */
uint64_t mesh_link_new(struct mesh *m);
/* The link by which queries reach the node; 0 when there is none. */
uint64_t mesh_link_of(const struct mesh *m, const struct id *node);
/* The links of those who can pass queries on to a node that is not linked to us itself; at
 * most `max`. Returns how many. */
int mesh_relays_to(const struct mesh *m, const struct id *node, uint64_t *ret_links,
		   int max);
/* May MESH_EVENT_WAY find one? */
bool mesh_may_open_way(const struct mesh *m, const struct id *node);
/* Who is linked to the node by the rings: its neighbours, or, if it is a leaf, its homes, as
 * far as this node knows; returns how many. */
int mesh_homes(const struct mesh *m, const struct id *node,
	       struct id ret[MESH_HOMES_MAX]);
/* Queries that are being passed on now. */
int mesh_relays(const struct mesh *m);
/* Round trip to it, smoothed; -1: not linked, or not measured yet. */
ms_t mesh_rtt_of(const struct mesh *m, const struct id *node);
/* UNREACHABLE for a node that is not known. */
enum mesh_state mesh_node_state(const struct mesh *m, const struct id *node);

/* Most of those whom this node watches were lost at once: it accuses nobody, and what it can
 * reach is all that it should count on. */
bool mesh_is_isolated(const struct mesh *m);

/* What the last test has found of this node itself. */
enum mesh_inbound mesh_inbound(const struct mesh *m);

/* For /v1/peers. */
struct mesh_peer {
	uint64_t link;
	struct id node;				  /* zero while dialling a seed */
	char address[WIRE_ADDRESS_BYTES_MAX + 1]; /* dialled or, inbound, as advertised */
	const char *state; /* "dialling", "greeting", "up", "closing" */
	bool is_inbound;
	bool is_rowless;	  /* clocks too far apart: liveness and queries only */
	bool is_parent, is_child; /* by the tree, of this node */
	bool is_lagging;	  /* it takes its rows too slowly */
	ms_t rtt_ms;		  /* smoothed; -1 not measured */
	ms_t clock_skew_ms;	  /* theirs less ours, when they told it last */
	ms_t since_ms;		  /* monotonic: when it came into this state */
	int protocol;		  /* agreed; 0 before HELLO */
	uint64_t received_bytes;
};
/* The root of the tree by which rows travel; false when none is followed. */
bool mesh_root(const struct mesh *m, struct id *ret_root);
/* Our clock is the one that is wrong: it differs by more than MESH_CLOCK_SKEW_MS from those
 * of most nodes linked to us, and of two at least. */
bool mesh_clock_disagrees(const struct mesh *m);
/* Up to `max` links, ascending; returns how many there are. */
int mesh_peers(const struct mesh *m, struct mesh_peer *ret_peers, int max);

/* Counted since the start, headers included. Sent bytes are the driver's to count, at the
 * one place where it writes to a link. */
struct mesh_stats {
	uint64_t received_bytes[WIRE_CLASSES];
	uint64_t received_frames[WIRE_CLASSES];
	uint64_t skipped_frames; /* of unknown types */
	uint64_t refused_links;	 /* by HELLO or for malformed frames */
	uint64_t relayed;	 /* queries passed on for others */
	uint64_t duplicates;	 /* rows that came again while they were recent, */
	uint64_t in_flight;	 /* and of these, before the first was merged */
	uint64_t pulled;	 /* rows asked for, since only an announcement came */
	uint64_t pulls_answered; /* rows sent to those who asked so */
	int links_up;
};
void mesh_stats(const struct mesh *m, struct mesh_stats *ret_stats);

#endif
