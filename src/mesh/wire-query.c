/* SPDX-License-Identifier: Apache-2.0 */
/* The query frames: see mesh/wire.h. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "mesh/wire.h"

/* Words of load help to choose; who does not know them chooses without. */
static bool
wire_may_skip(enum wire_type type)
{
	return type == WIRE_QUERY_LOAD || type == WIRE_QUERY_PROBE ||
	       type == WIRE_QUERY_PULL;
}

static void
wire_put_qid(struct buf *out, enum wire_type type, uint8_t flags, uint64_t qid,
	     struct bytes rest)
{
	uint8_t header[WIRE_HEADER_BYTES + 8];

	assert(rest.len <= WIRE_PAYLOAD_BYTES_MAX - 8);
	put_be16(header, (uint16_t)(8 + rest.len));
	header[2] = (uint8_t)type;
	header[3] = wire_may_skip(type) ? flags : flags | WIRE_FLAG_MUST;
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

static uint32_t
wire_load_count(uint32_t n)
{
	return n < WIRE_LOAD_MAX ? n : WIRE_LOAD_MAX;
}

void
wire_put_query_load(struct buf *out, enum wire_type type, uint64_t qid,
		    const char *service, const struct wire_load *load)
{
	struct buf b = BUF_INIT;

	assert(wire_may_skip(type) && strlen(service) <= LIMIT_SERVICE_BYTES_MAX);
	if (type != WIRE_QUERY_PROBE) {
		buf_put_u32(&b, wire_load_count(load->slots));
		buf_put_u32(&b, wire_load_count(load->running));
		buf_put_u32(&b, wire_load_count(load->queued));
		buf_put_u32(&b, load->mean_us);
	}
	buf_put(&b, service, strlen(service));
	wire_put_qid(out, type, 0, qid, buf_bytes(&b));
	buf_fini(&b);
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

/* The service is set only if all of it is good. */
static void
wire_read_query_load(struct reader *r, struct wire_query *q)
{
	struct wire_load *l = &q->load;
	char name[LIMIT_SERVICE_BYTES_MAX + 1];
	struct bytes rest;

	if (q->type != WIRE_QUERY_PROBE) {
		l->slots = reader_u32(r);
		l->running = reader_u32(r);
		l->queued = reader_u32(r);
		l->mean_us = reader_u32(r);
	}
	rest = reader_take(r, r->len);
	if (r->failed || rest.len > LIMIT_SERVICE_BYTES_MAX ||
	    memchr(rest.data, '\0', rest.len) != NULL || l->slots > WIRE_LOAD_MAX ||
	    l->running > WIRE_LOAD_MAX || l->queued > WIRE_LOAD_MAX) {
		r->failed = true;
		return;
	}
	memcpy(name, rest.data, rest.len);
	name[rest.len] = '\0';
	if (query_service_is_valid(name))
		q->service = mem_strdup(name);
	else
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
	case WIRE_QUERY_LOAD:
	case WIRE_QUERY_PROBE:
	case WIRE_QUERY_PULL:
		wire_read_query_load(&r, &q);
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
	free(q->service);
	q->service = NULL;
}
