/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of comparing: what a job holds, what is made of it, and what compare.c (jobs, nodes)
 * and lists.c (entries that name rows) share. One entry is handled by the same function on
 * both sides; what it makes goes into the ANSWER of the responder, and into the next ASK of
 * the initiator. Pure, any thread. */
#ifndef OCF_SYNC_COMPARE_H
#define OCF_SYNC_COMPARE_H

#include "sync/wire.h"

enum sync_job_type {
	SYNC_JOB_ROOT,	 /* initiator: what is our root? */
	SYNC_JOB_OPEN,	 /* responder: does it equal ours, and if not, what is DIFFER? */
	SYNC_JOB_ANSWER, /* responder: of an ASK's entries */
	SYNC_JOB_TAKE,	 /* initiator: of a DIFFER's or an ANSWER's entries */
};

enum {
	/* Rows read for one ASK, so that no one keeps our disk busy with frames that cost
	 * nothing; whatever is left is answered next time. */
	SYNC_SCAN_ROWS_MAX = 65536,
	/* Rows looked through for those wanted, under a node that was listed: few, and those
	 * that came meanwhile. */
	SYNC_WANT_SCAN_ROWS_MAX = 4096,
	/* Pages read for one ANSWER while it has few rows: of the node rows there may be one
	 * in many pages. */
	SYNC_PAGES_MAX = 64,
};

struct sync_job {
	enum sync_job_type type;
	bool is_dry;
	uint64_t salt;
	uint64_t epoch;		   /* ROOT, OPEN */
	struct sync_digest theirs; /* OPEN */
	struct buf entries;	   /* ANSWER: of the ASK; TAKE: of the ANSWER or DIFFER */
	struct buf asked;	   /* TAKE: what the entries answer */
	bool is_opening;	   /* TAKE: of a DIFFER */
	bool is_checked;	   /* TAKE: the rest of a job that was checked */
	uint64_t told_rows;	   /* TAKE: sent with the ANSWER */
	int names_max;		   /* TAKE, dry: that may still be named */
};

struct sync_made {
	enum sync_job_type type;
	int rc;			 /* of our own table */
	char why[SYNC_WHY_SIZE]; /* not "": what the peer sent is malformed */
	struct sync_digest root; /* ROOT, OPEN */
	bool is_same;		 /* OPEN */
	struct buf out;		 /* entries for the other side */
	struct buf rows;	 /* to be sent */
	uint64_t rows_len;
	struct buf pieces; /* u32 each: the lengths in which rows may be sent */
	int handled;	   /* entries */
	struct buf rest;   /* TAKE: those left */
	uint64_t only_here, only_there, differing;
	struct buf names; /* is_here u8 | is_there u8 | key (len u8, bytes) */
	int names_len;
};

struct compare_item {
	uint64_t k, d;
	enum {
		COMPARE_ONLY_THERE,
		COMPARE_SAME,
		COMPARE_DIFFERS,
		COMPARE_LEFT,
	} state;
};

struct compare {
	const struct sync_table *table;
	struct sync_job *job;
	struct sync_made *made;
	bool is_asker; /* the initiator */
	uint64_t scanned;
	int items_len, items_found;
	struct compare_item items[SYNC_SHOWN_ROWS_MAX]; /* of the entry at hand, by k */
};

/* compare.c */
void compare_malformed(struct compare *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* As on the wire. */
uint64_t compare_k(const struct compare *c, const uint8_t k[SYNC_K_BYTES]);
uint64_t compare_row_d(const struct compare *c, struct u128 digest);
void compare_put_k(const struct compare *c, struct buf *out, uint64_t k);
void compare_put_d(const struct compare *c, struct buf *out, uint64_t d);
/* The node's 16 children, or its list when it has few rows. */
void compare_put_children(struct compare *c, const struct sync_node *node);
/* Is there room for a row? The first one always fits. */
bool compare_fits(const struct compare *c, size_t len);
void compare_send_row(struct compare *c, struct bytes encoded);

/* lists.c. False: there is no room for it beside what was made of the entries before. */
bool compare_take_list(struct compare *c, const struct sync_entry *e); /* LIST, REST */
bool compare_take_shown(struct compare *c, const struct sync_entry *e);
bool compare_take_more(struct compare *c, const struct sync_entry *e);
bool compare_take_want(struct compare *c, const struct sync_entry *e);
bool compare_take_name(struct compare *c, const struct sync_entry *e);
bool compare_take_keys(struct compare *c, const struct sync_entry *e);
/* LIST of the node, or its children when it turns out to have more rows. */
void compare_put_list(struct compare *c, const struct sync_node *node);

/* check.c: are these what may answer those? Else compare_malformed(). */
void compare_check_answer(struct compare *c);
/* Is it what an initiator may ask? */
void compare_check_ask(struct compare *c);

#endif
