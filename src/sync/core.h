/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the core; see sync/sync.h. sync.c: events in, actions out, links. schedule.c:
 * which session runs next. session.c: the one that we drive: its states and its end; walk.c:
 * its ASKs and ANSWERs. join.c: a table read page by page. answer.c: those that others
 * drive. */
#ifndef OCF_SYNC_CORE_H
#define OCF_SYNC_CORE_H

#include <uthash.h>

#include "base/rng.h"
#include "sync/compare.h"

enum {
	SYNC_SIDS = 8,		/* ended sessions of a link whose late frames are known */
	SYNC_REQUESTS_MAX = 64, /* of people, waiting */
	SYNC_OPENS_BURST = 32,	/* OPENs of a link at once, */
	SYNC_OPENS_EVERY_MS = 500, /* and later one in so long */
	/* A table that is larger is a lie: 10,000 nodes with 16,384 rows each are fewer. */
	SYNC_ROWS_MAX = 1 << 28,
	/* What a session may say to find out what differs, and in how many ASKs: so much, and
	 * so much for each row that either side has. A row is listed twice at most (32 bytes
	 * with its share of the entry), wanted once (12), and the nodes above it weigh 6. */
	SYNC_DISCOVERY_BYTES_BASE = 512 * 1024,
	SYNC_DISCOVERY_BYTES_PER_ROW = 128,
	SYNC_ASKS_BASE = 4096,
	SYNC_FEW_ROWS = 256, /* more than a FEW_FACTOR and so many: read all pages */
	/* Rows sent, or ANSWERs with rows received, before both sides let their stores catch
	 * up. */
	SYNC_UNSETTLED_BYTES_MAX = 1024 * 1024,
	SYNC_UNSETTLED_ANSWERS_MAX = 16,
	SYNC_BUSY_MS = MS_SECOND, /* after BUSY: doubled each time up to */
	SYNC_BUSY_MS_MAX = MS_MINUTE,
	SYNC_BUSY_TRIES = 6, /* for a person: half a minute */
	/* Who was told BUSY comes again within so long. Till then its place is not for the one
	 * that had it meanwhile, who has it for no longer than a turn. */
	SYNC_BUSY_WAIT_MS = 3 * SYNC_BUSY_MS_MAX / 2,
	SYNC_TURN_MS = 5 * MS_MINUTE,
	SYNC_TURNS = 4 * SYNC_INBOUND_MAX, /* remembered */
};

/* What was asked of the driver. */
enum sync_wait_type {
	SYNC_WAIT_ROOT,	  /* READ of our root, for OPEN */
	SYNC_WAIT_SWEEP,  /* to the other side's horizon, before the next OPEN */
	SYNC_WAIT_TAKE,	  /* READ of an ANSWER or DIFFER */
	SYNC_WAIT_SETTLE, /* before the final OPEN */
	SYNC_WAIT_PACE,	  /* before the next ASK */
	SYNC_WAIT_OPEN,	  /* for a responder: READ of an OPEN, */
	SYNC_WAIT_ASK,	  /* of an ASK */
};

enum sync_asked {
	SYNC_ASKED_READ,
	SYNC_ASKED_SETTLE,
	SYNC_ASKED_SWEEP,
};

struct sync_wait {
	uint64_t number;
	UT_hash_handle hh;
	enum sync_wait_type type;
	uint64_t link;
	uint32_t sid;
	uint16_t seq;
	int round;
	enum sync_asked asked;
	/* A responder's: SWEEP, SETTLE and READ follow one another as far as needed. */
	uint64_t horizon;     /* SWEEP: to this one */
	bool is_final;	      /* and then SETTLE */
	struct sync_job *job; /* owned until READ */
};

struct sync_inbound {
	bool is_open;
	uint32_t sid;
	ms_t heard;
	uint64_t theirs;      /* rows, as OPEN told */
	uint64_t asks, bytes; /* of this pass */
	uint64_t asks_max, bytes_max;
};

/* When a node last had one of our places, over whichever link. */
struct sync_turn {
	struct id node;
	ms_t from, until; /* INT64_MAX: it has it now */
};

enum sync_want {
	SYNC_WANT_NOTHING,
	SYNC_WANT_SETTLED, /* a session that compares settled roots */
	SYNC_WANT_WHOLE,
};

struct sync_link {
	uint64_t id;
	UT_hash_handle hh;
	struct id node;
	bool is_rejected;
	uint64_t rows_received;

	struct sync_inbound inbound;
	bool is_refused; /* for lack of a place, and had none since */
	ms_t refused_at;
	int under_way;	  /* OPENs and ASKs of theirs that we have not answered */
	ms_t opens_until; /* the token bucket, as a moment: full at or before now */
	uint32_t sids[SYNC_SIDS];     /* theirs, ended */
	uint32_t our_sids[SYNC_SIDS]; /* ours, ended */
	int sids_len, our_sids_len;

	enum sync_want want;
	bool is_random;
	ms_t want_at, next_at;
	ms_t retry_ms, busy_ms;
	int differs; /* epochs one after the other at which the settled roots did */
	uint64_t differs_epoch; /* the last of them */
};

struct sync_request {
	uint64_t request;
	uint64_t link;
	bool is_dry;
	ms_t at, since;
	int tries;
};

/* Entries that wait to be asked. */
struct sync_chunk {
	struct sync_chunk *next;
	struct buf entries;
	size_t at;
	int round;
};

/* A job that waits until the responder's store has caught up. */
struct sync_held {
	struct sync_held *next;
	struct sync_job *job;
	int round;
};

struct sync_pending_ask {
	uint16_t seq;
	struct buf entries;
	int n;
	int round;
	bool is_settling;
};

enum sync_state {
	SYNC_STATE_ROOT,   /* reading our root */
	SYNC_STATE_OPEN,   /* OPEN is sent */
	SYNC_STATE_SWEEP,  /* to their horizon, before the next OPEN */
	SYNC_STATE_WALK,   /* ASKs and ANSWERs */
	SYNC_STATE_SETTLE, /* ours, before the next OPEN */
};

/* Ours. */
struct sync_session {
	uint32_t sid;
	uint64_t link;
	struct sync_request request; /* request 0: begun by ourselves */
	bool is_random, is_sent;
	bool is_known;	     /* to the other side, that it has ended */
	enum sync_want want; /* why */
	enum sync_state state;
	ms_t started, heard;
	int passes, empty_passes, sweeps;
	bool is_final;
	uint64_t salt;
	uint8_t flags;
	uint64_t epoch, horizon;
	struct sync_digest ours; /* as of the last OPEN */
	uint64_t theirs;	 /* rows, as DIFFER told */

	struct sync_chunk *queue;
	struct sync_held *held;
	struct sync_pending_ask asks[SYNC_WINDOW];
	int asks_len;
	uint16_t next_seq;
	int reads; /* TAKEs with the driver */
	bool is_pacing, is_settling;
	uint64_t unsettled_bytes;
	int unsettled_answers;
	uint64_t rows_base, told_rows; /* see walk.c */
	uint64_t pass_bytes;
	uint64_t pass_found; /* rows that differ */
	bool pass_moved;
	bool is_paging;
	ms_t walk_started;
	/* See session_is_trickle(). */
	bool was_waiting;
	ms_t seen, waited;
	uint64_t waited_bytes;
	int legs, rounds;

	/* How much an entry of an ASK brings, as seen lately. */
	size_t children_bytes;
	uint64_t list_rows, rows_max;

	struct sync_result result;
	struct buf names;
};

/* Between the first page and the check with another node; see join.c. */
struct sync_join {
	enum {
		SYNC_JOIN_NONE,
		SYNC_JOIN_PAGES,
		SYNC_JOIN_CHECK,
	} state;
	uint8_t cursor[SYNC_K_BYTES]; /* PAGES: where the next one begins */
	struct id donor;	      /* CHECK: not with this one */
	uint64_t rows, of;
	ms_t since; /* this session's, and `rows` then */
	uint64_t rows_before;
};

struct sync_item {
	struct sync_item *next;
	struct sync_action action;
	struct buf data, names;
	struct sync_result result;
	struct sync_named *named;
	char why[SYNC_WHY_SIZE];
};

struct sync {
	struct sync_config config;
	struct rng rng;
	ms_t now, due;
	uint64_t wall, horizon;
	uint64_t next_number;
	uint32_t next_sid;
	struct sync_link *links;
	struct sync_wait *waits;
	struct sync_session *session;
	struct sync_join join;
	struct sync_turn turns[SYNC_TURNS];
	struct sync_request requests[SYNC_REQUESTS_MAX];
	int requests_len;
	ms_t random_at;
	int random_factor;
	struct sync_item *first, *last, *taken;
	struct sync_stats stats;
};

/* sync.c */
struct sync_item *sync_act(struct sync *s, enum sync_action_type type, uint64_t link);
/* `f` to the link; returns the bytes with the frame's header. */
size_t sync_send(struct sync *s, uint64_t link, const struct sync_frame *f);
void sync_send_rows(struct sync *s, uint64_t link, const struct sync_made *made);
struct sync_link *sync_link_find(const struct sync *s, uint64_t id);
/* Close the link, and end what runs over it. */
void sync_reject(struct sync *s, struct sync_link *l, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct sync_wait *sync_wait_new(struct sync *s, enum sync_wait_type type, uint64_t link,
				uint32_t sid);
/* Takes the job. */
void sync_read(struct sync *s, struct sync_wait *wait, struct sync_job *job);
void sync_settle(struct sync *s, struct sync_wait *wait);
void sync_sweep(struct sync *s, struct sync_wait *wait, uint64_t horizon);
void sync_sids_add(uint32_t sids[SYNC_SIDS], int *len, uint32_t sid);
bool sync_sids_has(const uint32_t sids[SYNC_SIDS], int len, uint32_t sid);
void sync_wake(struct sync *s, ms_t at); /* a tick by then */
uint64_t sync_discovery_max(uint64_t ours, uint64_t theirs);
/* DONE, of a session or of a request that became none. */
void sync_done(struct sync *s, const struct sync_result *result, struct buf *names);

/* schedule.c */
void schedule_link_up(struct sync *s, struct sync_link *l, const struct sync_event *e);
void schedule_root(struct sync *s, struct sync_link *l, const struct sync_event *e);
void schedule_request(struct sync *s, const struct sync_event *e);
void schedule_cancel(struct sync *s, uint64_t request);
void schedule_link_down(struct sync *s, const struct sync_link *l);
/* A session of ours has ended. `busy`: the node named, or NULL. */
void schedule_ended(struct sync *s, struct sync_link *l,
		    const struct sync_session *session, const struct id *busy);
/* Does a person's session that met a busy node begin again later? */
bool schedule_again(struct sync *s, const struct sync_session *session);
/* Begin what is due, and say when the next is. */
void schedule_run(struct sync *s);

/* session.c */
void session_begin(struct sync *s, struct sync_link *l,
		   const struct sync_request *request, enum sync_want want,
		   bool is_random);
void session_frame(struct sync *s, struct sync_link *l, const struct sync_frame *f,
		   size_t len);
void session_read_done(struct sync *s, const struct sync_wait *wait,
		       struct sync_made *made);
void session_settled(struct sync *s, const struct sync_wait *wait);
void session_swept(struct sync *s, const struct sync_wait *wait, int rc);
void session_tick(struct sync *s);
/* rc and a sentence; `busy` as schedule_ended(). Nothing when there is no session. */
void session_end(struct sync *s, int rc, const struct id *busy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void session_free(struct sync_session *x);
void session_result(const struct sync *s, struct sync_result *ret_result);
void session_settle(struct sync *s);

/* walk.c */
void walk_begin(struct sync *s, const struct sync_frame *differ);
void walk_answer(struct sync *s, struct sync_link *l, const struct sync_frame *f);
void walk_taken(struct sync *s, const struct sync_wait *wait, struct sync_made *made);
void walk_settled(struct sync *s);
/* Ask what there is to be asked; go on to the end when there is nothing. */
void walk_pump(struct sync *s);
void walk_clear(struct sync_session *x);

/* join.c */
/* Are the other's pages to be read, of a table of so many rows? Then the cursor. */
bool join_begin(struct sync *s, uint64_t theirs, uint8_t ret_cursor[SYNC_K_BYTES]);
/* So many rows came; then, where to go on. */
void join_rows(struct sync *s, uint64_t rows);
void join_go_on(struct sync *s, const uint8_t cursor[SYNC_K_BYTES]);
void join_read_all(struct sync *s, const struct id *donor);
/* A session of ours has ended, or none was needed: `is_equal` with this node's table. */
void join_ended(struct sync *s, const struct id *node, int rc, bool is_equal);
/* May a session over this link go on with it? */
bool join_wants(const struct sync *s, const struct sync_link *l);

/* answer.c */
void answer_frame(struct sync *s, struct sync_link *l, const struct sync_frame *f,
		  size_t len);
void answer_read_done(struct sync *s, const struct sync_wait *wait,
		      struct sync_made *made);
/* False: the wait is over. */
bool answer_swept(struct sync *s, struct sync_wait *wait);
void answer_tick(struct sync *s);
void answer_close(struct sync *s, struct sync_link *l);

#endif
