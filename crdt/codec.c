/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/codec.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"

static const char codec_signed_prefix[] = "ocf-row-1"; /* its NUL is signed too */

_Static_assert(CODEC_ROW_BYTES_MAX == 1 + ROW_VERSIONS_MAX * (99 + 16 * ROW_CONTEXT_MAX +
							      LIMIT_VALUE_BYTES_MAX),
	       "the largest row");

void
codec_put_key(struct buf *out, const struct row_key *key)
{
	assert(key->name_len <= ROW_NAME_BYTES_MAX);
	buf_put(out, key->owner.b, ID_BYTES);
	buf_put_u8(out, key->kind);
	buf_put_bytes8(out, bytes_of(key->name, key->name_len));
}

/* The context's entry of the version's own actor stands apart, so that the common case, a
 * row that only one actor ever wrote, has no list at all. */
static uint64_t
codec_own(const struct version *v)
{
	for (int i = 0; i < v->context_len; i++)
		if (v->context[i].actor == v->dot.actor)
			return v->context[i].seq;
	return 0;
}

static void
codec_put_others(struct buf *out, const struct version *v)
{
	for (int i = 0; i < v->context_len; i++) {
		if (v->context[i].actor == v->dot.actor)
			continue;
		buf_put_u64(out, v->context[i].actor);
		buf_put_u64(out, v->context[i].seq);
	}
}

void
codec_put_version(struct buf *out, const struct version *v)
{
	uint64_t own = codec_own(v);

	assert(v->dot.seq > own && v->context_len <= ROW_CONTEXT_MAX);
	assert(v->value.len <= LIMIT_VALUE_BYTES_MAX && v->stamp <= ROW_STAMP_MAX);
	buf_put_u64(out, v->dot.actor);
	buf_put_u64(out, v->dot.seq);
	buf_put_u64(out, v->stamp);
	buf_put_u64(out, own);
	buf_put_u8(out, (uint8_t)(v->context_len - (own != 0)));
	buf_put_u16(out, v->is_removed ? CODEC_VALUE_REMOVED : (uint16_t)v->value.len);
	codec_put_others(out, v);
	buf_put(out, v->signature, ROW_SIGNATURE_BYTES);
	if (!v->is_removed)
		buf_put_bytes(out, v->value);
}

void
codec_put_row(struct buf *out, const struct row *row)
{
	assert(row->len >= 1 && row->len <= ROW_VERSIONS_MAX);
	buf_put_u8(out, row->len);
	for (int i = 0; i < row->len; i++)
		codec_put_version(out, &row->versions[i]);
}

void
version_seal(struct version *v, const uint8_t signature[ROW_SIGNATURE_BYTES],
	     row_sha256_fn *sha256)
{
	struct buf out = BUF_INIT;

	memcpy(v->signature, signature, ROW_SIGNATURE_BYTES);
	codec_put_version(&out, v);
	sha256(out.data, out.len, v->hash);
	buf_fini(&out);
}

int
codec_read_key(struct reader *r, struct row_key *ret_key)
{
	struct row_key key = { .kind = 0 };
	struct bytes name;

	reader_copy(r, key.owner.b, ID_BYTES);
	key.kind = reader_u8(r);
	name = reader_bytes8(r);
	if (name.len > ROW_NAME_BYTES_MAX)
		r->failed = true;
	if (!r->failed) {
		key.name_len = (uint8_t)name.len;
		if (name.len > 0)
			memcpy(key.name, name.data, name.len);
		r->failed = row_key_check(&key, UINT32_MAX) != 0;
	}
	if (r->failed)
		return -OCF_EMALFORMED;
	*ret_key = key;
	return 0;
}

/* `own` and `others` entries into the ascending context of `v`. */
static void
codec_read_context(struct reader *r, uint64_t own, int others, struct version *v)
{
	uint64_t last = 0;

	if (own >= v->dot.seq || others + (own != 0) > ROW_CONTEXT_MAX)
		r->failed = true;
	for (int i = 0; i < others && !r->failed; i++) {
		struct dot d;

		d.actor = reader_u64(r);
		d.seq = reader_u64(r);
		if ((i > 0 && d.actor <= last) || d.actor == v->dot.actor || d.seq == 0)
			r->failed = true;
		last = d.actor;
		if (own != 0 && d.actor > v->dot.actor) {
			v->context[v->context_len++] = (struct dot){ v->dot.actor, own };
			own = 0;
		}
		v->context[v->context_len++] = d;
	}
	if (own != 0 && !r->failed)
		v->context[v->context_len++] = (struct dot){ v->dot.actor, own };
}

/* The value is borrowed from the input; codec_read_row copies it once all is well. */
static void
codec_read_version(struct reader *r, row_sha256_fn *sha256, struct version *v)
{
	const uint8_t *start = r->data;
	uint16_t value_len;
	uint64_t own;
	uint8_t others;

	*v = (struct version){ .dot.actor = reader_u64(r) };
	v->dot.seq = reader_u64(r);
	v->stamp = reader_u64(r);
	own = reader_u64(r);
	others = reader_u8(r);
	value_len = reader_u16(r);
	v->is_removed = value_len == CODEC_VALUE_REMOVED;
	if (v->dot.seq == 0 || v->stamp > ROW_STAMP_MAX ||
	    (!v->is_removed && value_len > LIMIT_VALUE_BYTES_MAX))
		r->failed = true;
	codec_read_context(r, own, others, v);
	reader_copy(r, v->signature, ROW_SIGNATURE_BYTES);
	if (!v->is_removed)
		v->value = reader_take(r, value_len);
	if (!r->failed)
		sha256(start, (size_t)(r->data - start), v->hash);
}

/* Ascending dots, and no version that another one covers. */
static bool
codec_row_is_canonical(const struct row *row)
{
	for (int i = 0; i < row->len; i++) {
		const struct version *v = &row->versions[i];

		if (i > 0 &&
		    (v->dot.actor < v[-1].dot.actor ||
		     (v->dot.actor == v[-1].dot.actor && v->dot.seq <= v[-1].dot.seq)))
			return false;
		for (int j = 0; j < row->len; j++)
			if (j != i && version_covers(&row->versions[j], v->dot))
				return false;
	}
	return true;
}

int
codec_read_row(struct reader *r, row_sha256_fn *sha256, struct row *ret_row)
{
	struct row row; /* large: only what is read is written */
	int len = reader_u8(r);

	if (len < 1 || len > ROW_VERSIONS_MAX)
		r->failed = true;
	row.len = 0;
	for (int i = 0; i < len && !r->failed; i++) {
		codec_read_version(r, sha256, &row.versions[i]);
		row.len++;
	}
	if (!r->failed && !codec_row_is_canonical(&row))
		r->failed = true;
	if (r->failed)
		return -OCF_EMALFORMED;
	row_copy(&row, ret_row);
	return 0;
}

bool
codec_oldest_removed(struct bytes encoded_row, uint64_t *ret_stamp)
{
	struct reader r = reader_of(encoded_row);
	uint64_t oldest = UINT64_MAX;

	for (int n = reader_u8(&r); n > 0 && !r.failed; n--) {
		uint64_t stamp;
		uint8_t others;
		uint16_t len;

		reader_take(&r, 16); /* actor, seq */
		stamp = reader_u64(&r);
		reader_u64(&r); /* own */
		others = reader_u8(&r);
		len = reader_u16(&r);
		reader_take(&r, 16 * (size_t)others + ROW_SIGNATURE_BYTES);
		if (len != CODEC_VALUE_REMOVED)
			reader_take(&r, len);
		else if (!r.failed && stamp < oldest)
			oldest = stamp;
	}
	if (oldest == UINT64_MAX)
		return false;
	*ret_stamp = oldest;
	return true;
}

void
codec_put_signed(struct buf *out, const struct id *cluster, const struct row_key *key,
		 const struct version *v, row_sha256_fn *sha256)
{
	uint64_t own = codec_own(v);
	uint8_t hash[ROW_HASH_BYTES];

	sha256(v->value.data, v->value.len, hash);
	buf_put(out, codec_signed_prefix, sizeof(codec_signed_prefix));
	buf_put(out, cluster->b, ID_BYTES);
	codec_put_key(out, key);
	buf_put_u64(out, v->dot.actor);
	buf_put_u64(out, v->dot.seq);
	buf_put_u64(out, v->stamp);
	buf_put_u64(out, own);
	buf_put_u8(out, (uint8_t)(v->context_len - (own != 0)));
	codec_put_others(out, v);
	buf_put_u8(out, v->is_removed);
	buf_put(out, hash, sizeof(hash));
}
