/* SPDX-License-Identifier: Apache-2.0 */
/* Frames about who is there, and about the tree by which rows travel. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "mesh/wire.h"

enum {
	LIVENESS_HEAD_BYTES = ID_BYTES + 8, /* subject, incarnation */
	LIVENESS_VOTE_BYTES = ID_BYTES + WIRE_SIGNATURE_BYTES,
	BEACON_BYTES = 14,
};

_Static_assert(WIRE_HEADER_BYTES + LIVENESS_HEAD_BYTES + LIVENESS_VOTE_BYTES <= 160,
	       "a SUSPECT is small enough to be flooded");
_Static_assert(WIRE_HEADER_BYTES + LIVENESS_HEAD_BYTES +
			       WIRE_VOTES_MAX * LIVENESS_VOTE_BYTES <=
		       512,
	       "a verdict carries its votes in 512 bytes");
_Static_assert(WIRE_HEADER_BYTES + WIRE_REFRESH_BYTES <= 120, "a refresh is 120 bytes");

/* ---- who is there ---- */

void
wire_put_liveness(struct buf *out, const struct wire_liveness *l)
{
	uint8_t flags = (uint8_t)((l->is_isolated ? WIRE_FLAG_ISOLATED : 0) |
				  (l->is_lost ? WIRE_FLAG_LOST : 0));
	struct buf b = BUF_INIT;

	assert(l->votes_len <= WIRE_VOTES_MAX);
	assert(l->type == WIRE_ALIVE ? l->votes_len == 0 : l->votes_len > 0);
	assert(l->type != WIRE_SUSPECT || l->votes_len == 1);
	buf_put(&b, l->subject.b, ID_BYTES);
	buf_put_u64(&b, l->incarnation);
	if (l->type == WIRE_ALIVE) {
		buf_put_u8(&b, (uint8_t)l->standing);
		buf_put(&b, l->signature, WIRE_SIGNATURE_BYTES);
	}
	for (int i = 0; i < l->votes_len; i++) {
		buf_put(&b, l->votes[i].observer.b, ID_BYTES);
		buf_put(&b, l->votes[i].signature, WIRE_SIGNATURE_BYTES);
	}
	wire_put_frame(out, (uint8_t)l->type, flags, buf_bytes(&b));
	buf_fini(&b);
}

int
wire_read_liveness(const struct wire_frame *f, struct wire_liveness *ret_l)
{
	struct reader r = reader_of(f->payload);
	struct wire_liveness l = { .type = (enum wire_type)f->type };

	reader_copy(&r, l.subject.b, ID_BYTES);
	l.incarnation = reader_u64(&r);
	if (f->type == WIRE_ALIVE) {
		l.standing = (enum wire_standing)reader_u8(&r);
		reader_copy(&r, l.signature, WIRE_SIGNATURE_BYTES);
		if (!reader_done(&r) || l.standing < WIRE_STANDING_THERE ||
		    l.standing > WIRE_STANDING_LEFT)
			return -OCF_EMALFORMED;
		*ret_l = l;
		return 0;
	}
	l.is_isolated = f->type == WIRE_SUSPECT && (f->flags & WIRE_FLAG_ISOLATED);
	l.is_lost = f->type == WIRE_SUSPECT && (f->flags & WIRE_FLAG_LOST);
	while (r.len > 0 && !r.failed && l.votes_len < WIRE_VOTES_MAX) {
		reader_copy(&r, l.votes[l.votes_len].observer.b, ID_BYTES);
		reader_copy(&r, l.votes[l.votes_len].signature, WIRE_SIGNATURE_BYTES);
		l.votes_len++;
	}
	if (!reader_done(&r) || l.votes_len == 0 ||
	    (f->type == WIRE_SUSPECT && l.votes_len > 1))
		return -OCF_EMALFORMED;
	*ret_l = l;
	return 0;
}

void
wire_put_liveness_signed(struct buf *out, const struct id *cluster,
			 const struct wire_liveness *l, const struct id *signer)
{
	static const char intent[] = "ocf-mesh-1"; /* with its NUL */
	bool is_alive = l->type == WIRE_ALIVE;

	buf_put(out, intent, sizeof(intent));
	buf_put(out, cluster->b, ID_BYTES);
	/* A verdict is made of what its voters signed: of SUSPECTs. */
	buf_put_u8(out, is_alive ? WIRE_ALIVE : WIRE_SUSPECT);
	buf_put_u8(out, l->is_isolated ? WIRE_FLAG_ISOLATED : 0);
	buf_put(out, l->subject.b, ID_BYTES);
	buf_put_u64(out, l->incarnation);
	buf_put(out, signer->b, ID_BYTES);
	buf_put_u8(out, is_alive ? (uint8_t)l->standing : 0);
}

void
wire_put_about(struct buf *out, enum wire_type type, const struct id *subject)
{
	assert(type == WIRE_ASK || type == WIRE_HEARD);
	wire_put_frame(out, (uint8_t)type, 0, bytes_of(subject->b, ID_BYTES));
}

int
wire_read_about(struct bytes payload, struct id *ret_subject)
{
	if (payload.len != ID_BYTES)
		return -OCF_EMALFORMED;
	memcpy(ret_subject->b, payload.data, ID_BYTES);
	return 0;
}

/* ---- the tree ---- */

void
wire_put_beacon(struct buf *out, const struct wire_beacon *beacon)
{
	struct buf b = BUF_INIT;

	buf_put_u64(&b, beacon->rank);
	buf_put_u32(&b, beacon->seq);
	buf_put_u8(&b, beacon->distance);
	buf_put_u8(&b, beacon->rings);
	wire_put_frame(out, WIRE_BEACON, 0, buf_bytes(&b));
	buf_fini(&b);
}

int
wire_read_beacon(struct bytes payload, struct wire_beacon *ret_beacon)
{
	struct reader r = reader_of(payload);

	if (payload.len != BEACON_BYTES)
		return -OCF_EMALFORMED;
	ret_beacon->rank = reader_u64(&r);
	ret_beacon->seq = reader_u32(&r);
	ret_beacon->distance = reader_u8(&r);
	ret_beacon->rings = reader_u8(&r);
	return 0;
}

void
wire_put_parent(struct buf *out, uint64_t rank, bool is_no_more)
{
	uint8_t payload[8];

	put_be64(payload, rank);
	wire_put_frame(out, WIRE_PARENT, is_no_more ? WIRE_FLAG_NO_MORE : 0,
		       bytes_of(payload, sizeof(payload)));
}

void
wire_put_hashes(struct buf *out, enum wire_type type, const uint64_t *hashes, size_t len)
{
	assert(type == WIRE_ANNOUNCE || type == WIRE_PULL);
	for (size_t at = 0; at < len; at += WIRE_HASHES_MAX) {
		struct buf b = BUF_INIT;

		for (size_t i = at; i < len && i < at + WIRE_HASHES_MAX; i++)
			buf_put_u64(&b, hashes[i]);
		wire_put_frame(out, (uint8_t)type, 0, buf_bytes(&b));
		buf_fini(&b);
	}
}

int
wire_read_hashes(struct bytes payload, struct bytes *ret_hashes)
{
	if (payload.len == 0 || payload.len % 8 != 0 || payload.len / 8 > WIRE_HASHES_MAX)
		return -OCF_EMALFORMED;
	*ret_hashes = payload;
	return 0;
}

void
wire_put_refresh(struct buf *out, struct bytes payload)
{
	assert(payload.len == WIRE_REFRESH_BYTES);
	wire_put_frame(out, WIRE_REFRESH, 0, payload);
}
