/* SPDX-License-Identifier: Apache-2.0 */
/* The query frames: see mesh/wire.h. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "mesh/wire.h"

static void
wire_put_qid(struct buf *out, enum wire_type type, uint8_t flags, uint64_t qid,
	     struct bytes rest)
{
	uint8_t header[WIRE_HEADER_BYTES + 8];

	assert(rest.len <= WIRE_PAYLOAD_BYTES_MAX - 8);
	put_be16(header, (uint16_t)(8 + rest.len));
	header[2] = (uint8_t)type;
	header[3] = flags | WIRE_FLAG_MUST;
	put_be64(header + WIRE_HEADER_BYTES, qid);
	buf_put(out, header, sizeof(header));
	buf_put_bytes(out, rest);
}

void
wire_put_query_open(struct buf *out, uint64_t qid, const struct query_head *head)
{
	struct buf b = BUF_INIT;

	query_head_put(&b, head);
	wire_put_qid(out, WIRE_QUERY_OPEN, 0, qid, buf_bytes(&b));
	buf_fini(&b);
}

void
wire_put_query_relay(struct buf *out, uint64_t qid, const struct id *node,
		     const struct query_head *head)
{
	struct buf b = BUF_INIT;

	buf_put(&b, node->b, ID_BYTES);
	query_head_put(&b, head);
	wire_put_qid(out, WIRE_QUERY_RELAY, 0, qid, buf_bytes(&b));
	buf_fini(&b);
}

void
wire_put_query_again(struct buf *out, const struct wire_frame *f, uint64_t qid)
{
	assert(f->type != WIRE_QUERY_OPEN && f->type != WIRE_QUERY_RELAY &&
	       f->payload.len >= 8);
	wire_put_qid(out, f->type, f->flags, qid,
		     bytes_of(f->payload.data + 8, f->payload.len - 8));
}

void
wire_put_query_body(struct buf *out, uint64_t qid, struct bytes part, bool is_last)
{
	assert(part.len <= LIMIT_PART_BYTES_MAX);
	wire_put_qid(out, WIRE_QUERY_BODY, is_last ? WIRE_FLAG_LAST : 0, qid, part);
}

void
wire_put_query_word(struct buf *out, enum wire_type type, uint64_t qid)
{
	assert(type == WIRE_QUERY_GO || type == WIRE_QUERY_CANCEL ||
	       type == WIRE_QUERY_TAKEN);
	wire_put_qid(out, type, 0, qid, BYTES_NONE);
}

void
wire_put_query_credit(struct buf *out, uint64_t qid, int parts, bool is_to_asker)
{
	uint8_t n[2];

	assert(parts >= 1 && parts <= LIMIT_PARTS_WINDOW);
	put_be16(n, (uint16_t)parts);
	wire_put_qid(out, WIRE_QUERY_CREDIT, is_to_asker ? WIRE_FLAG_TO_ASKER : 0, qid,
		     bytes_of(n, sizeof(n)));
}

void
wire_put_reply_head(struct buf *out, uint64_t qid, const struct reply_head *head)
{
	struct buf b = BUF_INIT;

	reply_head_put(&b, head);
	wire_put_qid(out, WIRE_REPLY_HEAD, 0, qid, buf_bytes(&b));
	buf_fini(&b);
}

void
wire_put_reply_data(struct buf *out, uint64_t qid, struct bytes part, bool is_last)
{
	assert(part.len <= LIMIT_PART_BYTES_MAX);
	wire_put_qid(out, WIRE_REPLY_DATA, is_last ? WIRE_FLAG_LAST : 0, qid, part);
}

void
wire_put_reply_error(struct buf *out, uint64_t qid, const struct query_error *e,
		     bool is_final)
{
	struct buf b = BUF_INIT;

	query_error_put(&b, e);
	wire_put_qid(out, WIRE_REPLY_ERROR, is_final ? WIRE_FLAG_FINAL : 0, qid,
		     buf_bytes(&b));
	buf_fini(&b);
}

static void
wire_read_query_part(struct reader *r, const struct wire_frame *f, struct wire_query *q)
{
	q->is_last = f->flags & WIRE_FLAG_LAST;
	q->data = reader_take(r, r->len);
	if (q->data.len > LIMIT_PART_BYTES_MAX || (q->data.len == 0 && !q->is_last))
		r->failed = true;
}

static void
wire_read_query_credit(struct reader *r, const struct wire_frame *f, struct wire_query *q)
{
	q->is_to_asker = f->flags & WIRE_FLAG_TO_ASKER;
	q->parts = reader_u16(r);
	if (q->parts < 1 || q->parts > LIMIT_PARTS_WINDOW)
		r->failed = true;
}

int
wire_read_query(const struct wire_frame *f, struct wire_query *ret_q)
{
	struct reader r = reader_of(f->payload);
	struct wire_query q = { .type = f->type };

	assert(wire_type_is_query(f->type));
	q.qid = reader_u64(&r);
	switch (q.type) {
	case WIRE_QUERY_RELAY:
		reader_copy(&r, q.node.b, ID_BYTES);
		if (r.failed)
			return -OCF_EMALFORMED;
		/* fall through */
	case WIRE_QUERY_OPEN:
		if (r.len > QUERY_HEAD_BYTES_MAX || query_head_read(&r, &q.head) < 0)
			return -OCF_EMALFORMED;
		break;
	case WIRE_QUERY_BODY:
	case WIRE_REPLY_DATA:
		wire_read_query_part(&r, f, &q);
		break;
	case WIRE_QUERY_CREDIT:
		wire_read_query_credit(&r, f, &q);
		break;
	case WIRE_REPLY_HEAD:
		if (reply_head_read(&r, &q.reply) < 0)
			return -OCF_EMALFORMED;
		break;
	case WIRE_REPLY_ERROR:
		q.is_final = f->flags & WIRE_FLAG_FINAL;
		if (query_error_read(&r, &q.error) < 0)
			return -OCF_EMALFORMED;
		break;
	default:
		break;
	}
	if (!reader_done(&r)) {
		wire_query_fini(&q);
		return -OCF_EMALFORMED;
	}
	*ret_q = q;
	return 0;
}

void
wire_query_fini(struct wire_query *q)
{
	query_head_fini(&q->head);
	reply_head_fini(&q->reply);
	query_error_fini(&q->error);
}
