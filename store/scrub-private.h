/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the scrubber share: one look at a part of the store, and what it finds.
 * All but the last of it is called inside the look's transaction. */
#ifndef OCF_STORE_SCRUB_PRIVATE_H
#define OCF_STORE_SCRUB_PRIVATE_H

#include "store/private.h"

enum {
	SCRUB_TOLD_MAX = 16, /* faults that are named, of those of one look */
	SCRUB_TEXT_SIZE = 192,
};

/* Copied out of the transaction: `key` and `value` lie in scrub.data one after the other. */
struct scrub_item {
	size_t at, key_len, value_len;
	bool is_bad;
};

struct scrub {
	struct store *store;
	MDB_txn *txn;
	enum scrub_phase phase;
	bool is_repair;
	struct root root;
	struct buf data;
	struct scrub_item *items;
	int n, cap;
	/* Of the rows, those that their owner did not sign so: K and digest. */
	struct {
		uint8_t k[STORE_K_BYTES];
		struct u128 digest;
	} * forged;
	int n_forged;
	uint64_t faults[STORE_FAULTS];
	int n_told;
	struct {
		enum store_fault fault;
		char text[SCRUB_TEXT_SIZE];
	} told[SCRUB_TOLD_MAX];
	bool is_changed; /* the root, or a row */
	bool is_rebuilt; /* all digests were made anew */
};

/* scrub.c */
/* Something is wrong; in a look that repairs the caller puts it right. */
void scrub_fault(struct scrub *s, enum store_fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void scrub_item_add(struct scrub *s, MDB_val key, MDB_val value, bool is_bad);
struct bytes scrub_key(const struct scrub *s, const struct scrub_item *item);
struct bytes scrub_value(const struct scrub *s, const struct scrub_item *item);
bool scrub_equal(struct store_digest a, struct store_digest b);
struct store_digest scrub_move(struct store_digest d, struct store_digest minus,
			       struct store_digest plus);
/* The sum of all buckets as they are written. -OCF_ECORRUPT: one of them cannot be read. */
int scrub_total(struct scrub *s, struct store_digest *ret_total);
/* All digests anew, from the rows. */
int scrub_rebuild(struct scrub *s);

/* scrub-bucket.c */
/* The bucket at which the pass stands: its rows, what they are listed under, its digest. */
int scrub_bucket(struct scrub *s);
/* Between looking and putting right, with no transaction open, for a signature takes time:
 * which rows of a bucket whose digest does not fit did their owners not sign so? Of any bucket
 * while digests are not to be trusted (scrub_at.doubts). */
void scrub_bucket_ask(struct scrub *s);

/* scrub-list.c */
/* Some entries of the phase's list: does a row make each? Those that look wrong are kept.
 * MDB_NOTFOUND: that was the end of the list. */
int scrub_list_look(struct scrub *s);
/* Those that looked wrong, looked at again, as they are now. */
int scrub_list_repair(struct scrub *s);

#endif
