/* SPDX-License-Identifier: Apache-2.0 */
/* The row of the Distributed Node Table: an observed-remove set of signed versions.
 *
 * A row is keyed (owner, kind, name) and holds a set of versions. A version is one write
 * by the row's owner: a dot that names it, the context of earlier dots that it replaces,
 * a stamp, a value (or none: a remove) and the owner's signature over all of that.
 * Merging two states keeps every version of either that no other version's context covers
 * (Almeida, Shoker, Baquero: "Delta state replicated data types", 2018; the causal
 * context is kept per row, since one for the whole table is what implementations get
 * wrong and lose rows by). An add that a remove did not see survives it: add wins.
 *
 * The laws, tested as properties: merge is commutative, associative and idempotent; an
 * add that no later context covers stays; a covered version never returns. Two things
 * that only an owner out of order brings about are commutative and idempotent, but which
 * versions are left may depend on the order of arrival until the owner's next version
 * covers them all: two versions of one dot with different contexts, and more than
 * ROW_VERSIONS_MAX at once.
 *
 * Pure: no I/O, no clock, no allocation failure (base/mem.h). Not thread-safe by itself;
 * values are immutable and may be read from any thread. */
#ifndef OCF_CRDT_ROW_H
#define OCF_CRDT_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/id.h"

enum row_kind {
	ROW_NODE = 1,	/* name empty; owned by the node */
	ROW_WORKER = 2, /* name = a number below the cluster's rows per node */
	ROW_BAN = 3,	/* name = 32 hex digits of the node; owned by the cluster's CA */
	ROW_FORGET = 4, /* likewise */
	/* Kinds of later versions, with the rules of ROW_WORKER: owned by a node, numbered,
	 * swept with its lease. Kept, compared and handed on untouched; nothing reads them. */
	ROW_LATER_FIRST = 16,
	ROW_LATER_LAST = 19,
};

enum {
	ROW_NAME_BYTES_MAX = 32,
	ROW_VERSIONS_MAX = 8, /* uncovered versions kept: highest (stamp, actor, hash) */
	ROW_CONTEXT_MAX = 16, /* actors in one version's context, its own included */
	ROW_SIGNATURE_BYTES = 64, /* Ed25519, RFC 8032 */
	ROW_HASH_BYTES = 32,	  /* SHA-256 */
};

struct row_key {
	struct id owner;
	uint8_t kind; /* enum row_kind */
	uint8_t name_len;
	char name[ROW_NAME_BYTES_MAX + 1]; /* NUL-terminated for convenience */
};

/* The highest sequence number seen of an actor. Actors are random 64-bit numbers made
 * with a store; a sequence number is at least 1. */
struct dot {
	uint64_t actor;
	uint64_t seq;
};

struct version {
	struct dot dot;
	uint64_t stamp; /* ms since 1970 UTC, the owner's clock made monotone */
	uint8_t context_len;
	struct dot context[ROW_CONTEXT_MAX]; /* ascending actors, each once */
	bool is_removed;		     /* a version without a value */
	struct bytes value;		     /* owned; empty when removed */
	uint8_t signature[ROW_SIGNATURE_BYTES];
	/* SHA-256 of the encoded version, signature included: breaks ties between
	 * versions of one dot. */
	uint8_t hash[ROW_HASH_BYTES];
};

/* A row state. Versions ascend by dot (actor, then seq), each dot once, none covered by
 * another's context, at most ROW_VERSIONS_MAX. The empty state is allowed in memory
 * ("not held") and never stored or sent. */
struct row {
	uint8_t len;
	struct version versions[ROW_VERSIONS_MAX];
};

#define ROW_INIT ((struct row){ .len = 0 })

/* A stamp above this is malformed: exact in JSON and in a double, and so far ahead that
 * the owner's clock can always count on. */
#define ROW_STAMP_MAX UINT64_C(0x1fffffffffffff)

/* SHA-256 is the caller's (OpenSSL's, through src/ident): this folder stays pure. */
typedef void row_sha256_fn(const void *data, size_t len, uint8_t out[ROW_HASH_BYTES]);

/* "node", "worker", "ban", "forget", "later-16", …; "unknown" for any other. */
const char *row_kind_text(uint8_t kind);
/* Does a row of this kind live by the lease of its owner's node row, and need that row? */
bool row_kind_is_leased(uint8_t kind);
/* Its number, or -OCF_EUNKNOWN. */
int row_kind_find(const char *text);
/* -OCF_EMALFORMED for an unknown kind, a name too long, or one that the kind does not
 * allow (see enum row_kind; `rows_per_node` is the cluster constant). */
int row_key_check(const struct row_key *key, uint32_t rows_per_node);
int row_key_make(const struct id *owner, enum row_kind kind, const char *name,
		 struct row_key *ret_key);
int row_key_compare(const struct row_key *a, const struct row_key *b);

/* -OCF_EMALFORMED for a state that no owner makes: an empty one, and a node row with a
 * removed version (one that withdraws writes a value that says so, and its lease ends it). */
int row_check(const struct row_key *key, const struct row *row);

void row_fini(struct row *row); /* free the values; the row is ROW_INIT again */
void row_copy(const struct row *from, struct row *ret_row);
/* Same versions, byte for byte. */
bool row_equal(const struct row *a, const struct row *b);

/* into := into merged with other. Returns true when `into` changed. */
bool row_merge(struct row *into, const struct row *other);

/* The visible version: of those with a value the one with the highest (stamp, actor,
 * hash); NULL when the row is removed or empty. Points into `row`. */
const struct version *row_visible(const struct row *row);
/* The highest stamp of any version, live or removed; 0 when empty. */
uint64_t row_stamp(const struct row *row);
/* The highest seq of `actor` in any dot or context; 0 when never seen. */
uint64_t row_seen(const struct row *row, uint64_t actor);

/* Start the owner's next version of a row: its context covers everything that `seen` (may
 * be empty) shows. `value` NULL makes a remove; it is copied. Signature and hash are left
 * for version_seal(). -OCF_ELIMIT when more than ROW_CONTEXT_MAX actors wrote this row or
 * the value is longer than LIMIT_VALUE_BYTES_MAX; -EINVAL when `seen` shows this dot or a
 * later one of its actor (the caller takes a new actor) or the stamp is above
 * ROW_STAMP_MAX. */
int version_next(const struct row *seen, struct dot dot, uint64_t stamp,
		 const struct bytes *value, struct version *ret_version);
/* Set the signature and compute the hash. */
void version_seal(struct version *v, const uint8_t signature[ROW_SIGNATURE_BYTES],
		  row_sha256_fn *sha256);
void version_fini(struct version *v);
/* True when `v`'s context covers `dot`. */
bool version_covers(const struct version *v, struct dot dot);
/* A row of this one version, which is moved. */
void row_of_version(struct version *v, struct row *ret_row);

/* Drop what the horizon (ms, stamps at or below it) ends: removed versions. Node rows and
 * ban and forget rows are never swept this way. Returns true when the row changed. */
bool row_sweep(struct row *row, const struct row_key *key, uint64_t horizon);

#endif
