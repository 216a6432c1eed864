/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of a SYNC frame. The initiator of a session sends OPEN, ASK and END, the other
 * side, the responder, SAME, DIFFER, ANSWER, BUSY and APART. Integers are big-endian.
 *
 *   OPEN    1 | sid u32 | flags u8 | salt u64 | horizon u64 | epoch u64 | root sum 16 |
 *               root count u64
 *   SAME    2 | sid
 *   DIFFER  3 | sid | rows u64 | one entry: TOP, or LIST of the whole table
 *   BUSY    4 | sid | node 16: another one to try, or zeros
 *   ASK     5 | sid | seq u16 | flags u8 | salt u64 | entries
 *   ANSWER  6 | sid | seq u16 | entries of the ASK that are answered u16 | rows sent for
 *               them, before this frame, u32 | entries
 *   END     7 | sid
 *   APART   8 | sid | horizon u64: mine, which is not that of the OPEN; nothing was compared
 *
 * An entry is about one node of the trie over K: its first `depth` bits, a multiple of 4.
 * Its first byte is (type << 4 | depth / 4); ceil(depth / 8) bytes of K follow, unused bits
 * zero; then, with k and d the salted hashes of a row's K and of its digest or of a node's
 * digest, both 3 bytes (8 and 4 in a dry session, where nothing puts a collision right later):
 *
 *   TOP       256 × d          of the nodes at depth 8; in DIFFER
 *   CHILDREN  16 × d
 *   LIST      n u8, n × (k d)  all my rows under the node
 *   REST      from 16, n u8, n × (k d)    those from K `from` on: send me what I lack of them
 *   MORE      from 16          there was more to send than fits: list yours from here on
 *   WANT      n u8, m u8, n × k           send me these; the first m I hold in another state
 *   LEFT      n u8, n × k      of those you wanted: not sent yet, ask again
 *   PAGE      cursor 16        send me your table from here on; answered by where to go on
 * and in dry sessions only, where rows do not move:
 *   SHOWN     from 16, until 16 (zeros: the node's end), n u16, n × (k d)   answers MORE
 *   NAME      from 16, n u8, n × k        what are the keys of these?
 *   KEYS      n u8, n × (len u8, encoded key)
 *
 * Reading believes nothing: each bound is checked, and what a side may not say to the other
 * is refused by check.c. Pure; any thread. */
#ifndef OCF_SYNC_WIRE_H
#define OCF_SYNC_WIRE_H

#include "crdt/row.h"
#include "sync/sync.h"

enum sync_frame_type {
	SYNC_OPEN = 1,
	SYNC_SAME,
	SYNC_DIFFER,
	SYNC_BUSY,
	SYNC_ASK,
	SYNC_ANSWER,
	SYNC_END,
	SYNC_APART,
};

enum {
	SYNC_FLAG_DRY = 1,   /* OPEN, ASK: move nothing */
	SYNC_FLAG_WHOLE = 2, /* OPEN: the root is the whole one, the epoch says nothing */
	SYNC_FLAG_FINAL = 4, /* OPEN: settle first */
	SYNC_FLAG_SETTLE = 8, /* ASK: likewise */
	SYNC_OPEN_BYTES = 54,
	SYNC_ASK_BYTES = 16,	     /* without entries */
	SYNC_ANSWER_BYTES = 13,	     /* likewise */
	SYNC_FRAME_HEADER_BYTES = 4, /* of the mesh's frame around it; see mesh/wire.h */
};

struct sync_frame {
	enum sync_frame_type type;
	uint32_t sid;
	uint8_t flags;
	uint64_t salt, epoch;
	uint64_t horizon;	 /* OPEN, APART */
	struct sync_digest root; /* OPEN; DIFFER: its count */
	struct id node;
	uint16_t seq, answered;
	uint32_t rows;
	struct bytes entries; /* a view */
};

/* On failure -OCF_EMALFORMED and a sentence without an end. Entries are not looked at. */
int sync_frame_read(struct bytes payload, struct sync_frame *ret_frame,
		    const char **ret_why);
void sync_frame_put(struct buf *out, const struct sync_frame *frame);

enum sync_entry_type {
	SYNC_TOP = 1,
	SYNC_CHILDREN,
	SYNC_LIST,
	SYNC_REST,
	SYNC_MORE,
	SYNC_WANT,
	SYNC_LEFT,
	SYNC_PAGE,
	SYNC_SHOWN,
	SYNC_NAME,
	SYNC_KEYS,
	SYNC_ENTRY_TYPES,
};

enum {
	SYNC_FANOUT = 1 << SYNC_STEP_BITS,
	SYNC_TOP_FANOUT = 1 << SYNC_TOP_BITS,
	/* A table so small is listed rather than shown by 256 digests: as many bytes, and the
	 * comparison is done. */
	SYNC_SMALL_ROWS_MAX = 128,
	SYNC_SHOWN_ROWS_MAX = 1024, /* 12 KiB: four of them in an answer */
	SYNC_NAME_ROWS_MAX = 16,
	SYNC_KEY_BYTES_MAX = 18 + ROW_NAME_BYTES_MAX, /* as encoded by crdt/codec.h */
	/* The longest answer to one entry: 16 lists; in a dry session SHOWN. */
	SYNC_REPLY_BYTES_MAX = SYNC_FANOUT * (10 + SYNC_LIST_ROWS_MAX * 6),
	SYNC_REPLY_DRY_BYTES_MAX = 64 + SYNC_SHOWN_ROWS_MAX * 12,
};

struct sync_node {
	int depth;
	uint8_t prefix[SYNC_K_BYTES]; /* bits behind `depth` are zero */
};

struct sync_entry {
	enum sync_entry_type type;
	struct sync_node node;
	uint8_t from[SYNC_K_BYTES];  /* REST, MORE, PAGE, SHOWN, NAME */
	uint8_t until[SYNC_K_BYTES]; /* SHOWN; zeros: to the end */
	int n;			     /* digests or rows */
	int m;			     /* WANT */
	struct bytes body; /* n items of sync_entry_width() bytes; KEYS: as sent */
};

/* Read the next entry of `r`, which must not be empty. -OCF_EMALFORMED and a sentence. */
int sync_entry_read(struct reader *r, bool is_dry, struct sync_entry *ret_entry,
		    const char **ret_why);
/* Bytes of an item of this type; 0 for none. */
size_t sync_entry_width(enum sync_entry_type type, bool is_dry);
/* What begins every entry. The rest follows by buf_put_…. */
void sync_entry_put(struct buf *out, enum sync_entry_type type,
		    const struct sync_node *node);
const char *sync_entry_name(enum sync_entry_type type);
/* How many rows a LIST, REST, WANT or LEFT of a node at this depth may have. */
int sync_list_max(int depth);

/* Nodes. */
struct sync_node sync_node_child(const struct sync_node *node, int bits, int i);
bool sync_node_has(const struct sync_node *node, const uint8_t k[SYNC_K_BYTES]);
bool sync_node_equal(const struct sync_node *a, const struct sync_node *b);
/* Is `child` one step below `node`? */
bool sync_node_is_child(const struct sync_node *node, const struct sync_node *child);

/* Salted hashes: of 64 bits, of which k and d are the lowest. */
uint64_t sync_salted_node(uint64_t salt, const struct sync_node *node,
			  const struct sync_digest *digest);
uint64_t sync_salted_k(uint64_t salt, const uint8_t k[SYNC_K_BYTES]);
uint64_t sync_salted_row(uint64_t salt, struct u128 digest);
int sync_k_bytes(bool is_dry);
int sync_d_bytes(bool is_dry);
void sync_put_hash(struct buf *out, uint64_t hash, int bytes);
uint64_t sync_get_hash(const uint8_t *p, int bytes);
uint64_t sync_cut_hash(uint64_t hash, int bytes);

#endif
