/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between two nodes over one TLS stream (ALPN "ocf/1"), in order, both directions
 * alike:
 *
 *   len u16 | type u8 | flags u8 | payload (len bytes)        header 4, whole <= 64 KiB
 *
 * Integers are big-endian. The first frame of each direction is HELLO, at most 4 KiB. A type
 * that is not known is skipped, unless it says that it must be understood: then the link is
 * closed. Bytes behind what a payload is known to hold are allowed in HELLO only (later
 * versions add fields there).
 *
 *   HELLO         who, which cluster, which constants, which table (struct wire_hello)
 *   HEARTBEAT     word u64: the first 40 bits of the sender's settled root, 16 bits of the sum
 *                 over those that it holds for dead or gone, and the last byte of the epoch
 *                 for which the root is settled (sync_word()); flags: what the sender
 *                 believes of the receiver (enum wire_status), and in how many seconds its
 *                 next beat on this link comes; 12 bytes in all
 *   PING, PONG    token u64, given back unchanged
 *   CLOCK         wall u64 | horizon u64: the sender's, now, as in HELLO
 *   WANT          owner 16, repeated to the end, at most WIRE_WANT_MAX: the sender holds rows
 *                 of these owners aside, for lack of their node rows; who holds them answers
 *                 with ROWS
 *   GOODBYE       reason u8 (enum wire_goodbye) | text: why the link ends
 *   DIAL_BACK     token u64 | addresses u64: dial me at the addresses of my node row, and tell
 *                 whether I am there. `addresses` is their digest (wire_addresses_digest()):
 *                 who holds another row dials nobody. No address is named, so that none
 *                 can be asked for that is not signed into the sender's own row
 *   DIALLED       token u64 | result u8 (enum wire_dialled): the answer
 *   SUSPECT       subject 16 | incarnation u64 | observer 16 | signature 64 by the observer: it
 *                 watches the subject, and does not hear it. With WIRE_FLAG_ISOLATED it
 *                 hears hardly anybody, and accuses nobody: only that the two are not linked.
 *                 With WIRE_FLAG_LOST, which is not signed: its link to the subject has ended,
 *                 which others may still have, and no dial was refused
 *   ALIVE         subject 16 | incarnation u64 | standing u8 (enum wire_standing) | signature
 *                 64 by the subject itself: it is there, or it leaves
 *   VERDICT       subject 16 | incarnation u64 | (observer 16 | signature 64 of its SUSPECT),
 *                 at most WIRE_VOTES_MAX: it is dead, and who said so
 *   ASK           subject 16: did you hear that node within the last second?
 *   HEARD         subject 16: I did, or just now; who did not hear it says nothing
 *   BEACON        rank u64 | seq u32 | distance u8 | rings u8: the root of the tree by which rows
 *                 travel, and how far the sender is from it
 *   PARENT        rank u64: rows of the tree with that root go over this link, both ways; with
 *                 WIRE_FLAG_NO_MORE: not any more
 *   ANNOUNCE      hash u64, repeated to the end: the sender holds these rows, each named by
 *                 the hash of its encoding, and sends them to who asks
 *   PULL          hash u64, repeated to the end: send me these, as ROWS or REFRESH
 *   REFRESH       owner 16 | actor u64 | seq u64 | stamp u64 | own u64 | signature 64: a new
 *                 version of a node's row, with the same value as the one before and no other
 *                 actors; who does not hold that value asks for the row (WANT)
 *   ROWS          rows that changed: row key and row state (crdt/codec.h), repeated to the
 *                 end. A state too long for one frame travels alone, in several frames with
 *                 WIRE_FLAG_MORE in all but the last; frames of other types may stand
 *                 between them
 *   SYNC          a message of a comparison of tables (sync/wire.h)
 *   SYNC_ROWS     as ROWS: rows that such a comparison found
 *
 * Queries: qid is chosen by the node that asks and is unique on the link while it lives.
 *
 *   from the asker                          from the asked
 *   QUERY_OPEN    qid u64 | query head      QUERY_TAKEN   qid: a worker is ready for it
 *   QUERY_BODY    qid | bytes; LAST         REPLY_HEAD    qid | reply head
 *   QUERY_GO      qid: the worker may start REPLY_DATA    qid | bytes; LAST ends the query
 *   QUERY_CANCEL  qid: forget it            REPLY_ERROR   qid | query error; ends the query,
 *   QUERY_CREDIT  qid | parts u16                         FINAL: no use to try elsewhere
 *                 (reply parts consumed)    QUERY_CREDIT  the same with WIRE_FLAG_TO_ASKER
 *                                                         (body parts consumed)
 *
 *   QUERY_RELAY   qid | node 16 | query head: as QUERY_OPEN, for that node, to which the receiver
 *                 is linked; the sender or that node takes no links itself
 *
 *   QUERY_LOAD    qid | load | service, to the end: from the asked, before the end of its
 *                 reply and when the query has to wait; and the answer to the next two
 *   QUERY_PROBE   qid | service: how is the load there?
 *   QUERY_PULL    qid | load | service: the sender has slots free; the receiver may open a
 *                 query that waits with it, with a qid of its own, and answers in any case
 *
 * A load is four u32: slots, those in use, queries that wait, and the smoothed microseconds
 * that one takes (0: not known). These three may be skipped.
 *
 * A QUERY_RELAY goes on as a QUERY_OPEN, with a qid of its own on that link, and so do the
 * frames that follow, both ways, with nothing changed but the qid. Who passes it on is to the
 * one that answers the one that asks; a QUERY_OPEN is never passed on, so that there is one
 * such hop at most. If a link is lost, the end that is left is told: by QUERY_CANCEL, or by a
 * REPLY_ERROR which says whether a QUERY_TAKEN had passed. So the asker knows as much as it
 * would of a link of its own.
 *
 * A query whose head says body_len 0 has no QUERY_BODY. A part holds at most
 * LIMIT_PART_BYTES_MAX bytes and needs a credit, an empty last part needs none; each side
 * begins with LIMIT_PARTS_WINDOW credits. QUERY_GO is sent for queries that are not
 * idempotent: such a query starts only when its asker has heard QUERY_TAKEN and said so, so
 * that the asker always knows whether a lost link may have lost a running one.
 *
 * Pure functions; nothing here keeps state but struct wire_reader. */
#ifndef OCF_MESH_WIRE_H
#define OCF_MESH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/query.h"

enum {
	WIRE_MAGIC = 0x4f434631, /* "OCF1" */
	WIRE_PROTOCOL_MIN = 1,
	WIRE_PROTOCOL_MAX = 1,
	WIRE_HEADER_BYTES = 4,
	WIRE_PAYLOAD_BYTES_MAX = LIMIT_FRAME_BYTES_MAX - WIRE_HEADER_BYTES,
	WIRE_HELLO_BYTES_MAX = 4096, /* payload; its sender is not known yet */
	WIRE_HEARTBEAT_BYTES = 12,   /* the whole frame */
	WIRE_ADDRESS_BYTES_MAX = 127,
	WIRE_GOODBYE_BYTES_MAX = 200, /* of text */
	WIRE_WANT_MAX = 64,	      /* owners */
	WIRE_DIAL_BACK_BYTES = 16,    /* payload */
	WIRE_SIGNATURE_BYTES = 64,    /* Ed25519 */
	WIRE_VOTES_MAX = 6,	      /* of a VERDICT: at most 512 bytes, a SUSPECT 108 */
	WIRE_HASHES_MAX = 1024,	      /* of an ANNOUNCE or a PULL */
	WIRE_REFRESH_BYTES = ID_BYTES + 4 * 8 + WIRE_SIGNATURE_BYTES, /* payload */
	WIRE_BEAT_SECONDS_MAX = 63, /* between two beats over one link */
	WIRE_LOAD_MAX = 1 << 24,    /* slots or queries of a load */
};

/* ms; what a clock may say, with room to reckon: the year 10,000 is before it. */
#define WIRE_WALL_MAX ((ms_t)1 << 48)

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_HEARTBEAT = 2,
	WIRE_PING = 3,
	WIRE_PONG = 4,
	WIRE_GOODBYE = 5,
	WIRE_CLOCK = 6,
	WIRE_WANT = 7,
	WIRE_DIAL_BACK = 8,
	WIRE_DIALLED = 9,
	WIRE_SUSPECT = 11,
	WIRE_ALIVE = 12,
	WIRE_VERDICT = 13,
	WIRE_ASK = 14,
	WIRE_HEARD = 15,
	WIRE_ROWS = 16,
	WIRE_SYNC = 17,
	WIRE_SYNC_ROWS = 18,
	WIRE_BEACON = 19,
	WIRE_PARENT = 20,
	WIRE_ANNOUNCE = 21,
	WIRE_PULL = 22,
	WIRE_REFRESH = 23,
	WIRE_QUERY_OPEN = 32,
	WIRE_QUERY_BODY = 33,
	WIRE_QUERY_GO = 34,
	WIRE_QUERY_CANCEL = 35,
	WIRE_QUERY_CREDIT = 36,
	WIRE_QUERY_TAKEN = 37,
	WIRE_REPLY_HEAD = 38,
	WIRE_REPLY_DATA = 39,
	WIRE_REPLY_ERROR = 40,
	WIRE_QUERY_RELAY = 41,
	WIRE_QUERY_LOAD = 42,
	WIRE_QUERY_PROBE = 43,
	WIRE_QUERY_PULL = 44,
};

enum {
	WIRE_FLAG_MUST = 0x80,	   /* close the link rather than skip an unknown type */
	WIRE_FLAG_MORE = 0x40,	   /* ROWS: the next frame of this type goes on */
	WIRE_FLAG_LAST = 0x01,	   /* QUERY_BODY, REPLY_DATA */
	WIRE_FLAG_FINAL = 0x01,	   /* REPLY_ERROR: the worker itself answered so */
	WIRE_FLAG_TO_ASKER = 0x01, /* QUERY_CREDIT: of the body */
	WIRE_FLAG_NO_MORE = 0x01,  /* PARENT */
	WIRE_FLAG_ISOLATED = 0x01, /* SUSPECT, as the next */
	WIRE_FLAG_LOST = 0x02,
	WIRE_FLAGS_STATUS = 0x03, /* HEARTBEAT: enum wire_status */
};

/* The label of ocf_peer_sent_bytes_total and of the output queues, most urgent first after
 * hello. */
enum wire_class {
	WIRE_CLASS_HELLO,
	WIRE_CLASS_HEARTBEAT,
	WIRE_CLASS_CONTROL,
	WIRE_CLASS_ROWS,
	WIRE_CLASS_ANNOUNCE,
	WIRE_CLASS_SYNC,
	WIRE_CLASS_QUERY,
	WIRE_CLASS_RELAY, /* of queries between two others */
	WIRE_CLASSES,
};

enum wire_status {
	WIRE_STATUS_UNKNOWN,
	WIRE_STATUS_ALIVE,
	WIRE_STATUS_SUSPECT,
	WIRE_STATUS_DEAD,
};

enum wire_standing {
	WIRE_STANDING_THERE = 1,
	WIRE_STANDING_LEFT = 2, /* it stops, of its own will */
};

enum wire_goodbye {
	WIRE_GOODBYE_LEAVING = 1,   /* the node stops, now */
	WIRE_GOODBYE_DUPLICATE = 2, /* another link between the two stays */
	WIRE_GOODBYE_REFUSED = 3,   /* cluster, constants, version, membership */
	WIRE_GOODBYE_MALFORMED = 4, /* something that should not have been sent */
	WIRE_GOODBYE_SILENT = 5,    /* nothing was heard for too long */
	WIRE_GOODBYE_BUSY = 6,	    /* too many links */
	WIRE_GOODBYE_CLOCK = 7,	 /* greet anew: the clocks differ otherwise than before */
	WIRE_GOODBYE_BARRED = 8, /* the receiver was banned or forgotten: who, when, why */
	WIRE_GOODBYE_IDLE = 9,	 /* the link was for a query that is over */
};

enum wire_dialled {
	WIRE_DIALLED_FAILED,  /* at no address did that node answer within the time */
	WIRE_DIALLED_REACHED, /* it answered, with its certificate */
	WIRE_DIALLED_NOT, /* not tried: too soon, too much to do, or its row is not here */
};

struct wire_frame {
	uint8_t type;
	uint8_t flags;
	struct bytes payload;
};

struct wire_hello {
	uint16_t protocol_min, protocol_max;
	struct id cluster;
	struct id node;
	uint64_t life;	      /* random, made anew at every start */
	uint64_t incarnation; /* (starts << 32 | refutations); never goes down */
	ms_t retention_ms;    /* cluster constants */
	uint32_t rows_per_node;
	uint16_t format;
	ms_t wall_ms;	  /* the sender's clock, now */
	uint64_t horizon; /* ms */
	struct u128 root; /* of the whole table */
	uint64_t rows;
	uint8_t rings;	     /* K */
	uint8_t held_status; /* enum wire_status: what the sender holds of the receiver, */
	uint64_t held_incarnation; /* and at which incarnation; 0: nothing */
	char address[WIRE_ADDRESS_BYTES_MAX + 1]; /* advertised, or "" */
	uint64_t liveness; /* sum over those that the sender holds for dead or gone */
};

struct wire_vote {
	struct id observer;
	uint8_t signature[WIRE_SIGNATURE_BYTES];
};

/* SUSPECT (one vote), ALIVE (a signature, no vote), VERDICT. */
struct wire_liveness {
	enum wire_type type;
	bool is_isolated, is_lost; /* SUSPECT */
	struct id subject;
	uint64_t incarnation;
	enum wire_standing standing;		 /* ALIVE */
	uint8_t signature[WIRE_SIGNATURE_BYTES]; /* ALIVE */
	struct wire_vote votes[WIRE_VOTES_MAX];
	int votes_len;
};

struct wire_beacon {
	uint64_t rank;
	uint32_t seq;
	uint8_t distance;
	uint8_t rings;
};

struct wire_load {
	uint32_t slots, running, queued; /* at most WIRE_LOAD_MAX */
	uint32_t mean_us;
};

/* One query frame, read. `head`, `reply`, `error` and `service` are owned, see wire_query_fini();
 * `data` points into the frame. */
struct wire_query {
	enum wire_type type;
	uint64_t qid;
	bool is_last;	  /* QUERY_BODY, REPLY_DATA */
	bool is_final;	  /* REPLY_ERROR */
	bool is_to_asker; /* QUERY_CREDIT */
	int parts;	  /* QUERY_CREDIT: 1 … LIMIT_PARTS_WINDOW */
	struct bytes data;
	struct id node; /* QUERY_RELAY: who is to answer */
	struct query_head head;
	struct reply_head reply;
	struct query_error error;
	char *service;	       /* QUERY_LOAD, QUERY_PROBE, QUERY_PULL */
	struct wire_load load; /* of the first and the last of these */
};

const char *wire_class_name(enum wire_class c); /* "heartbeat" */
enum wire_class wire_class_of(uint8_t type);	/* unknown types are control */
bool wire_type_is_query(uint8_t type);
const char *wire_goodbye_text(uint8_t reason); /* never NULL */

/* Frames out of a byte stream. */
struct wire_reader {
	struct buf part;    /* the beginning of a frame that is not whole yet */
	bool is_taken;	    /* `part` is the frame that was returned last */
	size_t payload_max; /* WIRE_HELLO_BYTES_MAX until raised */
};
void wire_reader_init(struct wire_reader *r);
void wire_reader_fini(struct wire_reader *r);
/* Take bytes from the front of `input`. 1: a frame, whose payload points into `input` or
 * into the reader and is valid until the next call; 0: everything was taken and no frame is
 * whole; -OCF_ELIMIT: a frame longer than payload_max. */
int wire_reader_next(struct wire_reader *r, struct bytes *input,
		     struct wire_frame *ret_frame);

/* Append one frame. */
void wire_put_frame(struct buf *out, uint8_t type, uint8_t flags, struct bytes payload);
void wire_put_hello(struct buf *out, const struct wire_hello *h);
void wire_put_heartbeat(struct buf *out, uint64_t word, enum wire_status belief,
			int next_s); /* at most WIRE_BEAT_SECONDS_MAX */
void wire_put_liveness(struct buf *out, const struct wire_liveness *l);
/* What is signed: of a SUSPECT, and so of each vote, by `signer`, of an ALIVE by its subject. */
void wire_put_liveness_signed(struct buf *out, const struct id *cluster,
			      const struct wire_liveness *l, const struct id *signer);
/* ASK or HEARD. */
void wire_put_about(struct buf *out, enum wire_type type, const struct id *subject);
void wire_put_beacon(struct buf *out, const struct wire_beacon *beacon);
void wire_put_parent(struct buf *out, uint64_t rank, bool is_no_more);
/* ANNOUNCE or PULL; `len` of them, as many frames as it takes. */
void wire_put_hashes(struct buf *out, enum wire_type type, const uint64_t *hashes,
		     size_t len);
/* `payload`: WIRE_REFRESH_BYTES. */
void wire_put_refresh(struct buf *out, struct bytes payload);
void wire_put_ping(struct buf *out, enum wire_type ping_or_pong, uint64_t token);
void wire_put_clock(struct buf *out, ms_t wall_ms, uint64_t horizon);
/* `owners`: ids, one behind the other, at most WIRE_WANT_MAX. */
void wire_put_want(struct buf *out, struct bytes owners);
void wire_put_dial_back(struct buf *out, uint64_t token, uint64_t addresses);
void wire_put_dialled(struct buf *out, uint64_t token, enum wire_dialled result);
/* Of a node's addresses, in their order. */
uint64_t wire_addresses_digest(const char *const *addresses, int len);
/* `text` is cut at WIRE_GOODBYE_BYTES_MAX. */
void wire_put_goodbye(struct buf *out, enum wire_goodbye reason, const char *text);
/* Encoded rows, any length: as many frames as it takes, ROWS or SYNC_ROWS. */
void wire_put_rows(struct buf *out, enum wire_type type, struct bytes rows);
/* A whole message, at most WIRE_PAYLOAD_BYTES_MAX. */
void wire_put_sync(struct buf *out, struct bytes message);

void wire_put_query_open(struct buf *out, uint64_t qid, const struct query_head *head);
void wire_put_query_relay(struct buf *out, uint64_t qid, const struct id *node,
			  const struct query_head *head);
/* The same frame, any but OPEN and RELAY, with another qid. */
void wire_put_query_again(struct buf *out, const struct wire_frame *f, uint64_t qid);
void wire_put_query_body(struct buf *out, uint64_t qid, struct bytes part, bool is_last);
/* QUERY_GO, QUERY_CANCEL, QUERY_TAKEN: a qid and nothing else. */
void wire_put_query_word(struct buf *out, enum wire_type type, uint64_t qid);
void wire_put_query_credit(struct buf *out, uint64_t qid, int parts, bool is_to_asker);
/* QUERY_LOAD, QUERY_PULL; and QUERY_PROBE, which has no `load`. What is more than fits is
 * told as the most. */
void wire_put_query_load(struct buf *out, enum wire_type type, uint64_t qid,
			 const char *service, const struct wire_load *load);
void wire_put_reply_head(struct buf *out, uint64_t qid, const struct reply_head *head);
void wire_put_reply_data(struct buf *out, uint64_t qid, struct bytes part, bool is_last);
void wire_put_reply_error(struct buf *out, uint64_t qid, const struct query_error *e,
			  bool is_final);

/* Read a payload: 0 or -OCF_EMALFORMED. HELLO checks form only: foreign clusters and other
 * versions are for its reader to judge. */
int wire_read_hello(struct bytes payload, struct wire_hello *ret_h);
/* SUSPECT, ALIVE, VERDICT. */
int wire_read_liveness(const struct wire_frame *f, struct wire_liveness *ret_l);
int wire_read_about(struct bytes payload, struct id *ret_subject);
int wire_read_beacon(struct bytes payload, struct wire_beacon *ret_beacon);
/* ANNOUNCE, PULL: whole hashes, one at least; read them by get_be64(). */
int wire_read_hashes(struct bytes payload, struct bytes *ret_hashes);
/* HEARTBEAT (its seconds: wire_beat_seconds()), PING, PONG, PARENT. */
int wire_beat_seconds(uint8_t flags);
int wire_read_u64(struct bytes payload, uint64_t *ret_v);
int wire_read_clock(struct bytes payload, ms_t *ret_wall_ms, uint64_t *ret_horizon);
int wire_read_want(struct bytes payload, struct bytes *ret_owners);
int wire_read_dial_back(struct bytes payload, uint64_t *ret_token,
			uint64_t *ret_addresses);
int wire_read_dialled(struct bytes payload, uint64_t *ret_token,
		      enum wire_dialled *ret_result);
/* `ret_text` gets printable characters only, and a NUL. */
int wire_read_goodbye(struct bytes payload, uint8_t *ret_reason,
		      char ret_text[WIRE_GOODBYE_BYTES_MAX + 1]);
/* Any frame of which wire_type_is_query() is true. */
int wire_read_query(const struct wire_frame *f, struct wire_query *ret_q);
void wire_query_fini(struct wire_query *q);

#endif
